# SPDX-License-Identifier: Apache-2.0
"""What independent programs read from a recording: tshark, tcpflow, tcpdump, editcap, capinfos.

tshark does the whole check in one pass over all segments, merged by time. Dissectors above TCP are switched off (by a
configuration directory of our own), so that random payload is taken for no protocol and the pass is fast: about 20,000
packets a second on one core.
"""
import atexit
import collections
import dataclasses
import hashlib
import ipaddress
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import endpoints
import processes
from gogetway import SIDES, Stream

_KEPT_PROTOCOLS = {"frame", "eth", "ethertype", "ip", "ipv6", "tcp", "data", "pkt_comment", "_ws.malformed",
                   "_ws.expert", "_ws.unreassembled", "_ws.short", "_ws.type_length"}
_FIELDS = ("frame.number", "tcp.stream", "frame.p2p_dir", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst",
           "tcp.dstport", "tcp.flags", "tcp.analysis.flags", "tcp.analysis.reused_ports", "tcp.checksum.status",
           "ip.checksum.status", "_ws.malformed", "tcp.payload")
_PREFERENCES = ("tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "tcp.desegment_tcp_streams:FALSE",
                "tcp.try_heuristic_first:FALSE", "tcp.relative_sequence_numbers:FALSE")
_CHECKSUM_GOOD = "1"
_FLAG_FIN, _FLAG_SYN, _FLAG_RST, _FLAG_ACK = 0x01, 0x02, 0x04, 0x10
ANOMALIES_MAX = 50
_config = None


def tshark_environment():
    """tshark with nothing above TCP. Made once a run."""
    global _config
    if _config is None:
        _config = tempfile.mkdtemp(prefix="gogetway-tshark-")
        atexit.register(shutil.rmtree, _config, ignore_errors=True)
        listing = processes.run(["tshark", "-G", "protocols"]).stdout.decode(errors="replace")
        names = {line.split("\t")[2] for line in listing.splitlines() if line.count("\t") >= 2}
        assert _KEPT_PROTOCOLS & names, "tshark -G protocols: not what it was"
        with open(os.path.join(_config, "disabled_protos"), "w") as file:
            file.write("\n".join(sorted(names - _KEPT_PROTOCOLS)) + "\n")
    return {"WIRESHARK_CONFIG_DIR": _config}


@dataclasses.dataclass
class Conversation:
    """A TCP stream as tshark numbers them."""
    number: int
    client: str = ""  # address:port of who sent the SYN, or whose packets are marked inbound
    server: str = ""
    streams: dict = dataclasses.field(default_factory=dict)  # side -> Stream
    packets: int = 0
    syn: int = 0
    synack: int = 0
    fins: tuple = ()      # sides, in the order in which they came
    resets: tuple = ()


@dataclasses.dataclass
class TsharkReading:
    conversations: list
    anomalies: list  # texts: what tshark had against a frame, the first ANOMALIES_MAX
    packets: int

    def by_client(self):
        """client "address:port" -> its conversations, in order."""
        found = collections.defaultdict(list)
        for conversation in self.conversations:
            found[conversation.client].append(conversation)
        return found


class _Accumulator:
    def __init__(self):
        self.conversations = {}
        self.hashes = {}
        self.anomalies = []
        self.anomaly_count = 0
        self.packets = 0

    def anomaly(self, text):
        self.anomaly_count += 1
        if len(self.anomalies) < ANOMALIES_MAX:
            self.anomalies.append(text)

    def line(self, line):
        (number, stream, direction, ip4_src, ip6_src, src_port, ip4_dst, ip6_dst, dst_port, flags, analysis, reused,
         tcp_sum, ip_sum, malformed, payload) = line.rstrip(b"\n").split(b"\t")
        self.packets += 1
        where = f"frame {number.decode()}"
        if not stream:
            self.anomaly(f"{where}: not TCP")
            return
        # A client that takes a port again is the truth, and tshark starts a new stream: nothing is amiss.
        if analysis and not reused:
            self.anomaly(f"{where}, stream {stream.decode()}: tcp.analysis.flags {analysis.decode()}")
        if tcp_sum != _CHECKSUM_GOOD.encode():
            self.anomaly(f"{where}: TCP checksum status {tcp_sum.decode()!r}")
        if ip4_src and ip_sum != _CHECKSUM_GOOD.encode():
            self.anomaly(f"{where}: IP checksum status {ip_sum.decode()!r}")
        if malformed:
            self.anomaly(f"{where}: malformed")
        source = processes.address((ip4_src or ip6_src).decode(), int(src_port))
        target = processes.address((ip4_dst or ip6_dst).decode(), int(dst_port))
        self.packet(int(stream), source, target, int(flags, 16), direction, payload, where)

    def packet(self, stream, source, target, flags, direction, payload, where):
        conversation = self.conversations.get(stream)
        if conversation is None:
            conversation = self.conversations[stream] = Conversation(stream)
            self.hashes[stream] = {side: [hashlib.sha256(), 0] for side in SIDES}
            # epb_flags: inbound is shown as 1 (received), outbound as 0 (sent).
            from_client = direction != b"0"
            conversation.client, conversation.server = (source, target) if from_client else (target, source)
        conversation.packets += 1
        side = "client" if source == conversation.client else "server"
        if direction and (direction == b"1") != (side == "client"):
            self.anomaly(f"{where}: frame.p2p_dir {direction.decode()} from the {side}")
        if flags & _FLAG_SYN:
            if flags & _FLAG_ACK:
                conversation.synack += 1
            else:
                conversation.syn += 1
        if flags & _FLAG_FIN:
            conversation.fins += (side,)
        if flags & _FLAG_RST:
            conversation.resets += (side,)
        if payload:
            data = bytes.fromhex(payload.decode())
            entry = self.hashes[stream][side]
            entry[0].update(data)
            entry[1] += len(data)

    def reading(self):
        for number, conversation in self.conversations.items():
            conversation.streams = {side: Stream(count, hasher.hexdigest())
                                    for side, (hasher, count) in self.hashes[number].items()}
        if self.anomaly_count > len(self.anomalies):
            self.anomalies.append(f"... {self.anomaly_count} in all")
        return TsharkReading(list(self.conversations.values()), self.anomalies, self.packets)


def tshark_read(files, seconds=600):
    """One pass of tshark over the files merged by time. A complaint of tshark's own is an anomaly too."""
    files = [str(file) for file in files]
    assert files, "nothing to read"
    preferences = [word for preference in _PREFERENCES for word in ("-o", preference)]
    fields = [word for field in _FIELDS for word in ("-e", field)]
    environment = dict(os.environ, **tshark_environment())
    merge = None
    source = files[0]
    errors = tempfile.TemporaryFile()
    if len(files) > 1:
        merge = subprocess.Popen(["mergecap", "-w", "-", *files], stdout=subprocess.PIPE, stderr=errors)
        source = "-"
    tshark = subprocess.Popen(["timeout", str(seconds), "tshark", "-n", "-Q", "-r", source, *preferences, "-T",
                               "fields", *fields], stdin=merge.stdout if merge else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=errors, env=environment, bufsize=1 << 20)
    if merge:
        merge.stdout.close()
    accumulator = _Accumulator()
    for line in tshark.stdout:
        accumulator.line(line)
    tshark.stdout.close()
    statuses = {"tshark": tshark.wait()} | ({"mergecap": merge.wait()} if merge else {})
    errors.seek(0)
    for line in errors.read().decode(errors="replace").splitlines():
        if line.strip() and not line.startswith("Running as user"):
            accumulator.anomaly(f"message: {line}")
    for name, status in statuses.items():
        if status != 0:
            accumulator.anomaly(f"{name}: exit status {status}")
    return accumulator.reading()


def comments(files, seconds=600):
    """What the recording says of its sessions beside their bytes: the JSON of every packet's comment, in order."""
    found = []
    for file in files:
        done = subprocess.run(["tshark", "-r", file, "-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, check=True,
                              env=tshark_environment())
        found += [json.loads(line) for line in done.stdout.splitlines()]
    return found


def tshark_approves(files, seconds=600):
    """tshark has nothing against them. Its reading."""
    reading = tshark_read(files, seconds)
    assert not reading.anomalies, endpoints.show(reading.anomalies)
    return reading


def finish(gateway, tshark=False, seconds=30):
    """Ends the gateway in good order; `verify` finds nothing wrong, nor does tshark. Its sessions."""
    status, log = gateway.stop(seconds)
    assert status == 0, log
    gateway.verify()
    if tshark:
        tshark_approves(gateway.segments())
    return gateway.sessions()


def tcpflow_read(files, scratch, seconds=120):
    """(source, target) -> Stream as tcpflow reassembles them from classic pcap; for samples, it is slow."""
    scratch = pathlib.Path(scratch)
    merged = scratch / "tcpflow.pcap"
    processes.run(["mergecap", "-F", "nsecpcap", "-w", merged, *files], seconds)
    target = scratch / "tcpflow"
    processes.run(["tcpflow", "-q", "-r", merged, "-o", target, "-S", "enable_report=NO", "-T", "%A:%a-%B:%b%V%v"],
                  seconds)
    found = {}
    for file in target.iterdir():
        if file.name == "report.xml" or not file.is_file():
            continue
        source, destination = (_tcpflow_address(text) for text in file.name.split("-", 1))
        found[source, destination] = Stream.of_file(file)
    return found


def _tcpflow_address(text):
    """127.000.000.001:00080 as everybody else writes it."""
    host, port = text.rsplit(":", 1)
    return processes.address(str(ipaddress.ip_address(".".join(part.lstrip("0") or "0" for part in host.split("."))
                                                      if "." in host else host)), int(port))


def tcpdump_read(file, seconds=60):
    """How many packets tcpdump prints; any complaint is an error."""
    done = processes.run(["tcpdump", "-n", "-q", "-r", file], seconds)
    complaints = [line for line in done.stderr.decode(errors="replace").splitlines()
                  if line and not line.startswith("reading from file")]
    assert not complaints, f"tcpdump: {complaints}"
    return done.stdout.count(b"\n")


def editcap_read(file, target, seconds=60):
    """Copies with editcap to classic pcap: it must take every packet."""
    done = processes.run(["editcap", "-F", "nsecpcap", file, target], seconds)
    complaints = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    assert not complaints, f"editcap: {complaints}"


def capinfos_packets(file, seconds=60):
    """The packet count by capinfos; any complaint is an error."""
    done = processes.run(["capinfos", "-c", "-M", "-T", "-r", file], seconds)
    assert not done.stderr.strip(), f"capinfos: {done.stderr.decode(errors='replace')}"
    return int(done.stdout.split()[-1])
