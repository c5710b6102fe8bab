# SPDX-License-Identifier: Apache-2.0
"""Running `gogetway replay`, reading its report, and recordings to be played: through a gateway, or made by hand.

    server = Server(scratch, "vault")
    recorded = record(gateways, server.address, [talk_vault] * 3)    # a Store
    done = replay(recorded.directory, server.address, scratch, "--level", "bytes")
    assert done.status == 0 and done.verdicts == {"equal": 3}
"""
import collections
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import socket
import struct
import sys
import threading
import time

import faults
import gogetway
import processes
import talk

HERE = pathlib.Path(__file__).resolve().parent
SECOND = 1_000_000_000
FAST_FLUSH = ["--log-flush-interval", "100ms"]
_count = 0


class Server(processes.Process):
    """One of replay_servers.py, listening. `done()`: what it told of ended connections."""

    def __init__(self, directory, kind, address=None, **options):
        global _count
        _count += 1
        self.address = address or processes.address("127.0.0.1", processes.free_port())
        words = [f"{name}={value}" for name, value in options.items()]
        super().__init__([sys.executable, HERE / "replay_servers.py", kind, self.address, *words], directory,
                         name=f"{kind}-{_count}")
        self.wait_listening(self.address)

    def done(self):
        return [json.loads(line) for line in self.output().splitlines()]

    def wait_done(self, count, seconds=20):
        processes.wait_until(lambda: len(self.done()) >= count, seconds, f"{count} ended connections at {self.name}")
        return self.done()


@dataclasses.dataclass
class Played:
    """What `gogetway replay` left."""
    status: int
    output: str
    errors: str
    report: dict  # None if there is none
    seconds: float
    memory_bytes: int
    descriptors: int

    @property
    def outcome(self):
        return self.report["outcome"]

    @property
    def sessions(self):
        return self.report["sessions"]

    @property
    def verdicts(self):
        """Of the sums: verdict -> how many, without those that are none."""
        return {name: count for name, count in self.outcome["sessions"].items() if count}

    def different(self):
        return [session for session in self.sessions if session["verdict"] == "different"]

    def explain(self):
        rows = self.different() if self.report else []
        kinds = dict(collections.Counter(row["difference"]["kind"] for row in rows))
        return f"status {self.status}, {kinds}\n{self.errors[-3000:]}\n{self.output[-3000:]}"


class Replay(processes.Process):
    """A replay that runs. finish() waits for it and reads its report; meanwhile its memory is watched."""

    def __init__(self, directory, to, scratch, *words, report=True, prefix=(), **popen):
        global _count
        _count += 1
        self.report_path = pathlib.Path(scratch) / f"report-{_count}.json"
        command = [*prefix, gogetway.program(), "replay", *words, "--dir", directory, "--to", to]
        if report:
            command += ["--report", self.report_path]
        self.memory_bytes = self.descriptors = 0
        self.begun = time.monotonic()
        super().__init__(command, scratch, name=f"replay-{_count}", **popen)

    def watch(self):
        """Whether it still runs; VmHWM never falls, so the last look counts."""
        if not self.running():
            return False
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/status") as file:
                for line in file:
                    if line.startswith("VmHWM:"):
                        self.memory_bytes = max(self.memory_bytes, int(line.split()[1]) * 1024)
            self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{self.pid}/fd")))
        return True

    def finish(self, seconds=60):
        try:
            processes.wait_until(lambda: not self.watch(), seconds, f"the end of {self.name}", interval=0.02)
        except processes.DeadlineExceeded:
            self.kill()
            raise AssertionError(f"{' '.join(self.command)} did not end in {seconds} s:\n{self.errors()}") from None
        report = json.loads(self.report_path.read_text()) if self.report_path.exists() else None
        return Played(self.popen.returncode, self.output(), self.errors(), report, time.monotonic() - self.begun,
                      self.memory_bytes, self.descriptors)


def replay(directory, to, scratch, *words, seconds=60, **more):
    """A whole replay."""
    with Replay(directory, to, scratch, *words, **more) as running:
        return running.finish(seconds)


# ---- Recordings through a gateway ------------------------------------------------------------------------------------
def record(gateways, upstream, clients, options=()):
    """Every client (a function of an address) on a thread of its own, through a gateway that is then stopped."""
    gateway = gateways(upstream, options=[*FAST_FLUSH, *options])
    failures = []

    def run(client):
        try:
            client(gateway.listen)
        except BaseException as error:  # noqa: BLE001: it is raised again below
            failures.append(error)
    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client does not end"
    if failures:
        raise failures[0]
    status, log = gateway.stop()
    assert status == 0, log
    return gateway


def chunks(store, session_id):
    """[(side, offset, length)] in recorded order."""
    shown = store.command("show", session_id, "--as", "json").stdout.splitlines()
    return [(line["from"], line["offset"], line["length"]) for line in map(json.loads, shown)]


def waits_ns(store, session_id):
    """How long its client waited for replies: from the end of what it said to the first that it heard."""
    shown = store.command("show", session_id, "--as", "json").stdout.splitlines()
    waited, asked = 0, None
    for line in map(json.loads, shown):
        at = nanoseconds(line["time"])
        if line["from"] == "client":
            asked = at
        elif asked is not None:
            waited, asked = waited + at - asked, None
    return waited


def nanoseconds(text):
    """Of a time as the program writes it: 2026-11-22T01:02:03.123456789Z."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0") or 0)


def read_until(sock, end):
    data = b""
    while not data.endswith(end):
        part = sock.recv(65536)
        assert part, f"the end came before {end}"
        data += part
    return data


def ask(sock, data, end):
    think()
    sock.sendall(data)
    return read_until(sock, end)


def think():
    """As clients do; it gives a recording times that a replay has to keep."""
    time.sleep(0.02)


# ---- Recordings made by hand -----------------------------------------------------------------------------------------
class Tape:
    """Conversations with times of one's own, as somebody's capture: no gateway, nothing to wait for."""

    def __init__(self):
        self.packets = []
        self.ports = 40000

    def talk(self, start_ns, said, end_ns=None, handshake=True, fin=True, client="127.0.0.1"):
        """said: (ns since start, side, bytes) in order."""
        self.ports += 1
        one = talk.Talk(port=self.ports, client=client)
        if not handshake:
            one.packets.clear()
        times = [start_ns] * len(one.packets)
        last = start_ns

        def until_now(ns):
            nonlocal last
            last = start_ns + ns
            times.extend([last] * (len(one.packets) - len(times)))
        for ns, side, data in said:
            one.say(side, data)
            until_now(ns)
        if fin:
            one.close()
            until_now(last - start_ns if end_ns is None else end_ns)
        self.packets += [(time_ns, len(self.packets) + number, packet)
                         for number, (time_ns, packet) in enumerate(zip(times, one.packets))]
        return one

    def write(self, path):
        out = talk.block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        out += talk.block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0))
        parts = [out]
        for time_ns, _, (direction, frame) in sorted(self.packets, key=lambda packet: packet[:2]):
            time_ns += 1_700_000_000 * SECOND
            body = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(frame), len(frame))
            body += frame + b"\0" * (-len(frame) % 4) + struct.pack("<HHIHH", 2, 4, direction, 0, 0)
            parts.append(talk.block(6, body))
        pathlib.Path(path).write_bytes(b"".join(parts))
        return path


# ---- Clients of replay_servers.py ------------------------------------------------------------------------------------
def talk_http(sizes):
    def client(address):
        with faults.connect(address) as sock:
            for size in sizes:
                think()
                sock.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(1)
                left = size - len(head.partition(b"\r\n\r\n")[2])
                faults.read_exactly(sock, left)
    return client


def talk_vault(words):
    def client(address):
        with faults.connect(address) as sock:
            read_until(sock, b"\n> ")
            for word in words:
                ask(sock, word + b"\n", b"bye\n" if word == b"quit" else b"\n> ")
            if words[-1] == b"quit":
                assert sock.recv(1) == b""
    return client


def talk_smtp(lines):
    def client(address):
        with faults.connect(address) as sock:
            read_until(sock, b"220 mail.example ESMTP\r\n")
            ask(sock, b"EHLO there\r\n", b"250 HELP\r\n")
            ask(sock, b"MAIL FROM:<a@example>\r\n", b"250 ok\r\n")
            ask(sock, b"RCPT TO:<b@example>\r\n", b"250 ok\r\n")
            ask(sock, b"DATA\r\n", b"354 go ahead\r\n")
            for number in range(lines):
                sock.sendall(b"line %d\r\n" % number)
                time.sleep(0.005)  # a chunk each, as a person's mail program may do
            ask(sock, b".\r\n", b"lines taken\r\n")
            ask(sock, b"QUIT\r\n", b"221 bye\r\n")
            assert sock.recv(1) == b""
    return client


def talk_records(tag, bodies):
    def client(address):
        with faults.connect(address) as sock:
            for number, body in enumerate(bodies):
                body = tag + body if number == 0 else body
                think()
                sock.sendall(struct.pack(">I", len(body)) + body)
                assert faults.read_exactly(sock, len(body) + 4)[4:] == body[::-1]
    return client


def talk_steps(name, count, form):
    def client(address):
        with faults.connect(address) as sock:
            for number in range(count):
                sock.sendall(b"step %d %s\n" % (number, name))
                if form == "prompt":
                    read_until(sock, b"\n> ")
                elif form == "length":
                    faults.read_exactly(sock, 64)
                else:
                    quiet_reply(sock)
    return client


def quiet_reply(sock, quiet=0.05):
    """A reply whose end nobody can know: what comes, until nothing comes."""
    sock.settimeout(20)
    sock.recv(65536)
    sock.settimeout(quiet)
    with contextlib.suppress(socket.timeout):
        while sock.recv(65536):
            pass
    sock.settimeout(20)
