# SPDX-License-Identifier: Apache-2.0
"""The rules of the recording format, each by its number, on recordings that tests/tools/encode_sample makes.

What only a running gateway can show (padding, torn tails, live files) is in the tests of the log and of the gateway.
"""
import itertools
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIELDS = ("frame.number", "tcp.stream", "frame.p2p_dir", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.len",
          "tcp.window_size_value", "tcp.analysis.flags", "ip.checksum.status", "tcp.checksum.status",
          "frame.time_epoch", "frame.comment", "frame.interface_id", "ip.src", "tcp.options.mss_val",
          "tcp.options.wscale.shift", "_ws.malformed",
          "tcp.payload")
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
S1 = f"{1:024}"  # session 1's id


def closing(client, server):
    counts = {"client": client, "server": server}
    return {"close": "sample", "received": counts, "forwarded": counts}


def encoder():
    places = [pathlib.Path(os.environ["GOGETWAY"]).resolve().parent] if "GOGETWAY" in os.environ else []
    for place in [*places, ROOT / "build", ROOT / "build-land"]:
        for folder in (place, place.parent):
            if (folder / "tests/tools/encode_sample").is_file():
                return folder / "tests/tools/encode_sample"
    raise AssertionError("encode_sample is not built")


@pytest.fixture
def place():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gogetway-format-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def encode(path, *lines):
    """Runs a script; `file` lines are given by the caller when there is more than one segment."""
    script = list(lines) if lines[0].startswith("file") else [f"file {path}", *lines]
    subprocess.run([encoder()], input="\n".join(script).encode() + b"\n", check=True, timeout=60)
    return path


PATTERN = bytes((7 * i + 13 * (i >> 8)) & 0xff for i in range(65536))


def stream(session, direction, begin, end):
    """What the encoder's streams hold from one offset to another."""
    shift = (101 * direction + 29 * session) & 0xff
    table = bytes((i + shift) & 0xff for i in range(256))
    return (PATTERN * ((end - 1) // 65536 + 1))[begin:end].translate(table) if end > begin else b""


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=60)


def packets(path):
    """Every packet as tshark sees it, checksums validated."""
    result = run("tshark", "-n", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
                 "-o", "tcp.desegment_tcp_streams:FALSE", "--disable-protocol", "data", "-T", "fields",
                 *itertools.chain.from_iterable(("-e", field) for field in FIELDS))
    complaints = [line for line in result.stderr.decode().splitlines() if line and "Running as user" not in line]
    assert not complaints
    found = []
    for line in result.stdout.decode().splitlines():
        values = dict(zip(FIELDS, line.split("\t")))
        packet = {name.split(".", 1)[-1]: value for name, value in values.items()}
        packet.update(flags=int(values["tcp.flags"], 16), stream=int(values["tcp.stream"]),
                      seq=int(values["tcp.seq_raw"]), ack=int(values["tcp.ack_raw"]), len=int(values["tcp.len"]),
                      analysis=values["tcp.analysis.flags"], direction=1 - int(values["frame.p2p_dir"]),
                      payload=bytes.fromhex(values["tcp.payload"].replace(":", "")),
                      ip_checksum=values["ip.checksum.status"], tcp_checksum=values["tcp.checksum.status"],
                      comment=values["frame.comment"].replace('\\"', '"'))
        found.append(packet)
    return found


def check(path, gaps=False):
    """What holds for every recording. Returns its packets."""
    found = packets(path)
    for packet in found:
        assert packet["malformed"] == "", packet
        assert packet["tcp_checksum"] == "1", packet
        assert packet["ip_checksum"] in ("", "1"), packet
        assert gaps or packet["analysis"] == "", packet
    return found


def comments(found):
    return [json.loads(packet["comment"]) for packet in found if packet["comment"]]


def blocks(path):
    """(type, bytes) of every block, read by the book."""
    data = pathlib.Path(path).read_bytes()
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert struct.unpack_from("=I", data, at + length - 4)[0] == length
        yield kind, data[at:at + length]
        at += length


def payload(found, direction, number=0):
    return b"".join(packet["payload"] for packet in found
                    if packet["direction"] == direction and packet["stream"] == number)


EXCHANGE = ("session 1 4 40001 1000 2000", "open 1", "send 1 c 100", "send 1 s 70000", "fin 1 c", "send 1 s 5",
            "fin 1 s", "close 1 orderly")


def test_rule_01_one_section_one_ethernet_interface(place):
    path = encode(place / "a.pcapng", *EXCHANGE)
    kinds = [kind for kind, _ in blocks(path)]
    assert kinds[:2] == [0x0a0d0d0a, 1] and set(kinds[2:]) == {6}
    for packet in check(path):
        assert packet["interface_id"] == "0"
    macs = run("tshark", "-n", "-r", path, "-T", "fields", "-e", "eth.src", "-e", "eth.dst").stdout.decode().split()
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "locally administered, not multicast"
    information = run("capinfos", "-t", "-E", "-I", path).stdout.decode()
    assert "ethernet" in information.lower() and "nanoseconds" in information


def test_rule_02_no_packet_block_is_too_long(place):
    path = encode(place / "a.pcapng", "session 1 6 40001 1 1", "open 1", "send 1 c 1048576", "send 1 s 65537",
                  "close 1 client")
    assert max(len(block) for _, block in blocks(path)) <= 65543
    found = check(path)
    assert payload(found, 0) == stream(1, 0, 0, 1048576)
    assert payload(found, 1) == stream(1, 1, 0, 65537)


def test_rule_03_handshake_with_options(place):
    for family in (4, 6, 46):
        first = check(encode(place / "a.pcapng", f"session 1 {family} 40001 4294967295 2000", "open 1",
                             "close 1 server"))[:3]
        assert [packet["flags"] for packet in first] == [SYN, SYN | ACK, ACK]
        assert [packet["direction"] for packet in first] == [0, 1, 0]
        assert [packet["seq"] for packet in first] == [4294967295, 2000, 0]
        assert [packet["ack"] for packet in first[1:]] == [0, 2001]
        assert len({packet["time_epoch"] for packet in first}) == 1
        for packet in first[:2]:
            assert int(packet["options.mss_val"]) >= 1460 and int(packet["options.wscale.shift"]) > 0
        assert {packet["window_size_value"] for packet in first} == {"65535"}


def test_rule_03_chunks_push_and_time(place):
    """The packets of one read share their time, and only the last has PSH."""
    found = check(encode(place / "a.pcapng", "session 1 4 40001 5 5", "open 1", "send 1 c 200000", "send 1 c 32768",
                         "send 1 c 1", "close 1 client"))
    chunks = {}
    for packet in found:
        if packet["len"] > 0:
            chunks.setdefault(packet["time_epoch"], []).append(packet)
    assert [sum(packet["len"] for packet in chunk) for chunk in chunks.values()] == [200000, 32768, 1]
    for chunk in chunks.values():
        assert [bool(packet["flags"] & PSH) for packet in chunk] == [False] * (len(chunk) - 1) + [True]


def test_rule_03_acknowledgements(place):
    """Never more than 64 KiB and a packet unacknowledged, never an ACK that says nothing new."""
    lines = ["session 1 4 40001 7 9", "open 1"] + ["send 1 s 1048576", "send 1 s 1000"] * 3
    found = check(encode(place / "a.pcapng", *lines, "close 1 client"))
    end, acknowledged, pure = 0, 0, 0
    for packet in found[3:-1]:
        if packet["direction"] == 1:
            end = packet["seq"] + packet["len"]
            acknowledged = acknowledged or packet["seq"]
        else:
            assert packet["ack"] == end > acknowledged and packet["len"] == 0
            acknowledged = end
            pure += 1
        assert end - acknowledged < (64 << 10) + (32 << 10)
    assert pure >= 3 * 16


@pytest.mark.parametrize("counts", [[65535], [32768, 32767], [32767, 32768], [65535 - 1460] + [1460], [200000]])
def test_rule_03_the_first_flight_fills_no_window(place, counts):
    """Until the server answers its window is that of its SYN, which is never scaled."""
    lines = ["session 1 4 40001 7 9", "open 1"] + [f"send 1 c {count}" for count in counts] + ["send 1 s 5"]
    found = check(encode(place / "a.pcapng", *lines, "close 1 orderly"))
    assert not [packet for packet in found if packet["analysis"]]
    assert sum(packet["len"] for packet in found if packet["direction"] == 0) == sum(counts)


@pytest.mark.parametrize("family", [4, 6, 46])
def test_rule_03_analysis_is_silent(place, family):
    """Seeded random conversations: directions interleaved, half-closes in every order, resets at any moment."""
    rng = random.Random(family)
    lines, expected = [], {}
    for k in range(60):
        lines.append(f"session {k} {family} {40000 + k} {rng.choice([rng.getrandbits(32), 2**32 - 70000, 2**32 - 1])} "
                     f"{rng.choice([rng.getrandbits(32), 2**32 - 2, 0])}")
        lines.append(f"open {k}")
        sent, open_directions = [0, 0], [0, 1]
        for _ in range(rng.randrange(12)):
            action = rng.random()
            if open_directions and action < 0.85:
                direction = rng.choice(open_directions)
                count = rng.choice([1, 2, 64, 1460, 32767, 32768, 32769, 65535, 65536, 98304, rng.randrange(1, 200000)])
                lines.append(f"send {k} {'cs'[direction]} {count}")
                sent[direction] += count
            elif open_directions:
                direction = rng.choice(open_directions)
                open_directions.remove(direction)
                lines.append(f"fin {k} {'cs'[direction]}")
        if rng.random() < 0.5:
            rng.shuffle(open_directions)
            lines += [f"fin {k} {'cs'[direction]}" for direction in open_directions]
            lines.append(f"close {k} orderly")
        else:
            lines.append(f"close {k} {rng.choice(['client', 'server'])}")
        expected[k] = sent
    found = check(encode(place / "a.pcapng", *lines))
    streams = {packet["stream"] for packet in found}
    assert len(streams) == len(expected)
    for number, (k, sent) in enumerate(expected.items()):
        for direction in (0, 1):
            assert payload(found, direction, number) == stream(k, direction, 0, sent[direction])


@pytest.mark.parametrize("ends", ["cs", "sc"])
def test_rule_03_fins_in_their_order(place, ends):
    found = check(encode(place / "a.pcapng", "session 1 4 40001 5 5", "open 1", "send 1 c 10", f"fin 1 {ends[0]}",
                         f"send 1 {ends[1]} 100000", f"fin 1 {ends[1]}", "close 1 orderly"))
    fins = [packet for packet in found if packet["flags"] & FIN]
    assert [packet["direction"] for packet in fins] == ["cs".index(end) for end in ends]
    assert found[-1]["flags"] == ACK and found[-1]["ack"] == fins[1]["seq"] + 1
    assert found[-1]["direction"] == fins[0]["direction"]


def test_rule_03_resets(place):
    for side, direction in (("client", 0), ("server", 1)):
        for before in ([], ["send 1 c 5"], ["fin 1 c"], ["fin 1 s", "send 1 c 9"], ["fin 1 s", "fin 1 c"]):
            found = check(encode(place / "a.pcapng", "session 1 4 40001 5 5", "open 1", *before, f"close 1 {side}"))
            assert found[-1]["flags"] == RST | ACK and found[-1]["direction"] == direction


def test_rule_03_sequence_numbers_wrap(place):
    """Payload across 2^32 in both directions, within a packet and between two."""
    found = check(encode(place / "a.pcapng", "session 1 4 40001 4294930000 4294967290", "open 1", "send 1 c 100000",
                         "send 1 s 70000", "send 1 c 100000", "fin 1 c", "fin 1 s", "close 1 orderly"))
    assert payload(found, 0) == stream(1, 0, 0, 200000)
    assert payload(found, 1) == stream(1, 1, 0, 70000)
    assert any(packet["direction"] == 0 and packet["len"] and packet["seq"] < 200000 for packet in found)


def test_rule_03_tcpflow_and_editcap_agree(place):
    path = encode(place / "a.pcapng", *EXCHANGE)
    check(path)
    run("editcap", "-F", "nsecpcap", path, place / "a.pcap")
    assert int(run("capinfos", "-c", "-M", "-T", "-r", place / "a.pcap").stdout.split()[-1]) == len(packets(path))
    run("tcpflow", "-q", "-r", place / "a.pcap", "-o", place / "flow", "-S", "enable_report=NO")
    flows = {file.name: file.read_bytes() for file in (place / "flow").iterdir() if file.suffix != ".xml"}
    assert sorted(flows.values(), key=len) == [stream(1, 0, 0, 100), stream(1, 1, 0, 70005)]


def test_rule_03_tcpdump_finds_no_wrong_checksum(place):
    for family in (4, 6):
        path = encode(place / "a.pcapng", *[line.replace("session 1 4", f"session 1 {family}") for line in EXCHANGE])
        text = run("tcpdump", "-n", "-vv", "-r", path).stdout.decode()
        assert "incorrect" not in text and "bad cksum" not in text and "correct" in text


def test_rule_04_direction_in_the_flags(place):
    found = check(encode(place / "a.pcapng", *EXCHANGE))
    for packet in found:
        assert packet["direction"] == (0 if packet["src"].startswith("10.") else 1)


def test_rule_05_comments_of_a_session(place):
    found = check(encode(place / "a.pcapng", *EXCHANGE))
    assert [index for index, packet in enumerate(found) if packet["comment"]] == [0, len(found) - 1]
    assert comments(found) == [{"gogetway": 1, "id": S1, "listener": "sample"},
                               {"gogetway": 1, "id": S1, "listener": "sample", **closing(100, 70005)}]


def test_rule_05_continued_segments_alone_and_merged(place):
    one, two, three = (place / f"{name}.pcapng" for name in "abc")
    encode(None, f"file {one}", "session 1 4 40001 4294967000 2000", "open 1", "send 1 c 1000", "send 1 s 70000",
           f"file {two}", "send 1 s 70001", "send 1 c 300000", "fin 1 c", f"file {three}", "send 1 s 3", "fin 1 s",
           "close 1 orderly")
    second = check(two)
    assert payload(second, 1) == stream(1, 1, 70000, 140001) and payload(second, 0) == stream(1, 0, 1000, 301000)
    assert comments(second) == [{"gogetway": 1, "id": S1, "listener": "sample", "continued": True,
                                 "client_offset": 1000, "server_offset": 70000}]
    assert second[0]["comment"]
    assert comments(check(three))[0]["server_offset"] == 140001
    run("mergecap", "-w", place / "all.pcapng", one, two, three)
    merged = check(place / "all.pcapng")
    assert {packet["stream"] for packet in merged} == {0}
    assert payload(merged, 0) == stream(1, 0, 0, 301000) and payload(merged, 1) == stream(1, 1, 0, 140004)


def test_rule_05_a_close_alone_in_its_segment(place):
    one, two = place / "a.pcapng", place / "b.pcapng"
    encode(None, f"file {one}", "session 1 4 40001 1 2", "open 1", "send 1 c 7", f"file {two}", "close 1 server")
    assert comments(check(two)) == [{"gogetway": 1, "id": S1, "listener": "sample", "continued": True,
                                     "client_offset": 7, "server_offset": 0, **closing(7, 0)}]


def test_rule_05_no_custom_blocks_and_no_custom_options(place):
    for kind, block in blocks(encode(place / "a.pcapng", *EXCHANGE)):
        assert kind not in (0xbad, 0x40000bad)
        if kind == 6:
            at = 28 + (struct.unpack_from("=I", block, 20)[0] + 3) // 4 * 4
            codes = []
            while not codes or codes[-1] != 0:
                code, length = struct.unpack_from("=HH", block, at)
                codes.append(code)
                at += 4 + (length + 3) // 4 * 4
            assert at == len(block) - 4 and codes in ([2, 0], [1, 2, 0])


@pytest.mark.parametrize("missing, step", [(5, 5), (70000, 70000), (1 << 30, 1 << 30), (5 << 30, 1 << 30)])
def test_rule_08_a_gap_moves_the_sequence_number(place, missing, step):
    """tshark shows the hole, once, and takes nothing behind it for old."""
    found = check(encode(place / "a.pcapng", "session 1 4 40001 4294967000 9", "open 1", "send 1 c 100",
                         f"gap 1 c {missing} stall", "send 1 s 10", "send 1 c 100", "send 1 s 10", "send 1 c 100000",
                         "fin 1 c", "fin 1 s", "close 1 orderly"), gaps=True)
    data = [packet for packet in found if packet["direction"] == 0 and packet["len"]]
    assert (data[1]["seq"] - data[0]["seq"] - 100) % 2**32 == step
    assert json.loads(data[1]["comment"])["gap"] == {"bytes": missing, "reason": "stall"}
    flagged = run("tshark", "-n", "-r", place / "a.pcapng", "-Y", "tcp.analysis.flags", "-T", "fields", "-e",
                  "frame.number", "-e", "tcp.analysis.lost_segment", "-e",
                  "tcp.analysis.ack_lost_segment").stdout.decode().splitlines()
    number = int(data[1]["number"])
    assert flagged == [f"{number}\t1\t", f"{number + 1}\t\t1"], "the hole, and that it was acknowledged"
    assert comments(found)[-1]["gaps"] == {"client": missing, "server": 0}
    assert payload(found, 0) == (stream(1, 0, 0, 100) + stream(1, 0, 100 + missing, 200 + missing) +
                                 stream(1, 0, 200 + missing, 100200 + missing)) if missing < 1 << 20 else True


def test_rule_08_gaps_at_the_edges(place):
    """Before the first byte, before a FIN, and one that nothing follows."""
    found = check(encode(place / "a.pcapng", "session 1 4 40001 1 1", "gap 1 c 50 stall", "open 1", "send 1 c 10",
                         "gap 1 c 7 disk-full", "fin 1 c", "gap 1 s 3 stall", "close 1 client"), gaps=True)
    assert [comment.get("gap") for comment in comments(found)] == [
        None, {"bytes": 50, "reason": "stall"}, {"bytes": 7, "reason": "disk-full"}, None]
    assert comments(found)[-1]["gaps"] == {"client": 57, "server": 3}
    fin = next(packet for packet in found if packet["flags"] & FIN)
    assert fin["seq"] == 2 + 50 + 10 + 7


def test_rule_10_mixed_ends_are_written_as_ipv6(place):
    found = check(encode(place / "a.pcapng", "session 3 46 40001 1 1", "open 3", "close 3 client"))
    ends = run("tshark", "-n", "-r", place / "a.pcapng", "-T", "fields", "-e", "ipv6.src", "-e",
               "ipv6.dst").stdout.decode().splitlines()[0].split()
    assert ends == ["::ffff:10.0.0.3", "fd02::9"] and len(found) == 4
