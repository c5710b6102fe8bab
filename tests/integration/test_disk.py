# SPDX-License-Identifier: Apache-2.0
"""The disk is slower than the traffic, or full; the rings' tmpfs is full. For each policy what it promises: `block`
loses nothing, `gap` counts what is missing to the byte, `close` closes; and the other listener feels nothing."""
import base64
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import endpoints
import faults
import live
import processes
import recording
import torture
from gogetway import SIDES, TEST_ALL, Gateway, Stream, tool

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20241101"))
KIB, MIB = 1 << 10, 1 << 20
LOG_MAX = 1 * MIB
SMALL_LOG = ["--log-ring", "256KiB", "--log-max", "1MiB", "--workers", 1]
SIZE = (200 if TEST_ALL else 8) * MIB
DISK = 2 * SIZE + 56 * MIB                 # holds all of it and its export, once it is relieved
SLOW_MS = 20 if TEST_ALL else 150          # of each write: some 800 or 30 of them


# ── Disks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

class SmallDisk:
    """A file system that is full but for `free` bytes, until relieve()."""

    def __init__(self, place, kind, free):
        self.place = place
        self.ballast = place / "ballast"
        status = os.statvfs(place)
        left = status.f_bavail * status.f_frsize - free
        with open(self.ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, left)
        self.kind = kind

    def relieve(self):
        self.ballast.unlink()


@contextlib.contextmanager
def small_disk(scratch, kind, free):
    place = scratch / "disk"
    place.mkdir()
    if kind == "tmpfs":
        with faults.mounted(place, size=DISK):
            yield SmallDisk(place, kind, free)
        return
    image = scratch / "image"
    with open(image, "wb") as file:
        file.truncate(DISK + 32 * MIB)
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root and mkfs.ext4")
    processes.run(["mkfs.ext4", "-q", "-F", "-m", "0", image])
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"loop mounts are not permitted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(place, kind, free)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


# ── What is looked at ────────────────────────────────────────────────────────────────────────────────────────────────

class Memory:
    """The highest resident size while it is watched."""

    def __init__(self, gateway):
        self.gateway, self.most, self.stopping = gateway, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.stopping.wait(0.02):
            with contextlib.suppress(OSError):
                self.most = max(self.most, self.gateway.resident_bytes())

    def __enter__(self):
        self.first = self.gateway.resident_bytes()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(5)

    def check(self):
        """Grown by no more than the log may, what two sessions may keep, and what an allocator rounds."""
        assert self.most <= self.first + LOG_MAX + 8 * MIB, f"resident: {self.first} at first, {self.most} at most"


class Sender:
    """Sends random bytes on a thread, and says how it went."""

    def __init__(self, sock, size, seed=SEED):
        self.data = random.Random(seed).randbytes(size)
        self.sock, self.sent, self.error = sock, False, None
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self):
        try:
            self.sock.settimeout(120)
            self.sock.sendall(self.data)
            self.sock.shutdown(socket.SHUT_WR)
            self.sent = True
        except OSError as error:
            self.error = error

    def finish(self, seconds=120):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "it still sends"


class EchoTalk:
    """One small message after the other through a listener, for as long as it is wanted: nothing may hold it up."""

    def __init__(self, address):
        self.sock = faults.connect(address)
        self.count, self.longest, self.error = 0, 0.0, None
        self.said = bytearray()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._talk, daemon=True)
        self.thread.start()

    def _talk(self):
        try:
            while not self.stopping.wait(0.005):
                message = b"message %08d;" % self.count
                begun = time.monotonic()
                self.sock.sendall(message)
                assert faults.read_exactly(self.sock, len(message)) == message
                self.longest = max(self.longest, time.monotonic() - begun)
                self.said += message
                self.count += 1
        except (OSError, AssertionError) as error:
            self.error = error

    def finish(self):
        self.stopping.set()
        self.thread.join(30)
        own = processes.address(*self.sock.getsockname())
        self.sock.close()
        assert self.error is None, f"after {self.count} messages: {self.error!r}"
        assert self.count > 0
        return own, Stream.of_bytes(bytes(self.said))


def start(gateways, disk, policy, upstream, more=(), **options):
    directory = disk.place / "rec" if disk else None
    return gateways(upstream, directory=directory, options=["--on-stall", policy, "--on-full", policy, *more,
                                                            *SMALL_LOG, "--segment-max-bytes", "1GiB"], **options)


def stop(gateway):
    status, log = gateway.stop(60)
    assert status == 0, log
    gateway.verify()


def check_whole(gateway, session, side, data):
    assert session["gaps"] == {"client": 0, "server": 0}
    assert session.received(side) == session.forwarded(side) == len(data)
    assert gateway.payloads()[session.id][side] == Stream.of_bytes(data)
    recording.tshark_approves(gateway.segments())


def check_gap(gateway, metrics, session, side, data):
    """Recorded plus missing is all; each recorded chunk stands at its place; tshark sees the holes and nothing else."""
    shown = gateway.command("show", session.id, "--as", "json").stdout.splitlines()
    recorded = missing = at = 0
    for line in map(json.loads, shown):
        if line.get("from") != side:
            continue
        assert line["offset"] == at, f"a chunk at {line['offset']}, expected {at}"
        if "gap" in line:
            missing += line["gap"]
            at += line["gap"]
            continue
        chunk = base64.b64decode(line["data"])
        assert chunk == data[at:at + len(chunk)], f"the chunk at {at} is not what was sent there"
        recorded += len(chunk)
        at += len(chunk)
    assert missing > 0, "nothing is missing: the test has not tested anything"
    assert recorded == session["bytes"][side]
    assert recorded + session["gaps"][side] == len(data) == session.received(side) == session.forwarded(side)
    # A gap behind the last recorded byte is told by the closing facts alone.
    assert missing <= session["gaps"][side]
    assert metrics["unrecorded_bytes"] == metrics["log_gap_bytes"] == session["gaps"][side] + session["gaps"][
        endpoints.OTHER[side]]
    reading = recording.tshark_read(gateway.segments())
    other = [text for text in reading.anomalies if "tcp.analysis.flags" not in text and "in all" not in text]
    assert not other, endpoints.show(other)
    done = processes.run(["tshark", "-r", gateway.segments()[0], "-Y", "tcp.analysis.flags", "-T", "fields", "-e",
                          "tcp.analysis.lost_segment", "-e", "tcp.analysis.ack_lost_segment", "-e", "frame.number"],
                         120, env=dict(os.environ, **recording.tshark_environment()))
    flagged = [line.split(b"\t") for line in done.stdout.splitlines()]
    assert flagged and all(lost or ack for lost, ack, _ in flagged), flagged[:10]
    assert any(lost for lost, _, _ in flagged), "tshark saw no lost segment"


# ── Full ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_under_block(gateways, scratch, kind):
    """Traffic stops and nothing is lost; memory is flat; with space it goes on to the end."""
    with small_disk(scratch, kind, 2 * MIB) as disk, faults.Upstream() as upstream:
        gateway = start(gateways, disk, "block", upstream.address)
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server, Memory(gateway) as memory:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "log_disk_full", 1, 60)
            faults.wait_metric(gateway, "worker_stalls", 1, 60)
            held = reader.count
            before, begun = faults.cpu_seconds(gateway.process.pid), time.monotonic()
            time.sleep(1.0)  # the interval that is measured
            assert faults.cpu_seconds(gateway.process.pid) - before < 0.4 * (time.monotonic() - begun), "it spins"
            assert reader.count < SIZE and held <= reader.count and not sender.sent
            assert faults.events(gateway, "recording cannot be written, trying again")
            disk.relieve()
            sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
        assert faults.wait_event(gateway, "recording is written again, nothing was lost")
        assert faults.metric(gateway, "unrecorded_bytes") == 0
        memory.check()
        stop(gateway)
        session, = gateway.sessions()
        check_whole(gateway, session, "client", sender.data)


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("splice", ["on", "off"])
def test_a_full_disk_under_gap(gateways, scratch, kind, splice):
    """Traffic goes on; what is missing is counted to the byte, shown by tshark, and the rest is right."""
    with small_disk(scratch, kind, 2 * MIB) as disk, faults.Upstream() as upstream:
        gateway = start(gateways, disk, "gap", upstream.address, ["--relay-splice", splice])
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server, Memory(gateway) as memory:
            reader = faults.Hasher(server)
            data = random.Random(SEED).randbytes(SIZE)
            client.settimeout(60)
            client.sendall(data)  # goes through although the disk is full
            processes.wait_until(lambda: reader.count == SIZE, 60, "all of it")
            assert faults.metric(gateway, "unrecorded_bytes") > 0
            disk.relieve()
            processes.wait_until(lambda: faults.metric(gateway, "log_disk_full") == 0, 20, "written again")
            processes.wait_until(lambda: faults.metric(gateway, "log_fill_bytes") < 64 * KIB, 20, "room")
            last = b"and this is recorded again"
            client.sendall(last)
            client.shutdown(socket.SHUT_WR)
            assert reader.finish() == Stream.of_bytes(data + last)
        faults.wait_metric(gateway, "sessions_closed", 1)
        memory.check()
        metrics = gateway.stats()["metrics"]
        stop(gateway)
        session, = gateway.sessions()
        check_gap(gateway, metrics, session, "client", data + last)


def test_a_full_disk_under_close(gateways, scratch):
    """The session is closed, and says why; with space others are served again."""
    with small_disk(scratch, "tmpfs", 2 * MIB) as disk, faults.Upstream() as upstream:
        gateway = start(gateways, disk, "close", upstream.address)
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "stall_closed", 1, 60)
            sender.finish(30)
            got = reader.finish()
            assert isinstance(sender.error, ConnectionError) and reader.was_reset
        disk.relieve()
        processes.wait_until(lambda: faults.metric(gateway, "log_disk_full") == 0, 20, "written again")
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            client.sendall(b"served again")
            assert faults.read_exactly(server, 12) == b"served again"
        stop(gateway)
        first, second = sorted(gateway.sessions(), key=lambda session: session["start"])
        assert first["close"] == "stall" and first.state == "closed" and first["gaps"] == {"client": 0, "server": 0}
        assert got.count <= first.forwarded("client") <= first.received("client")
        recorded = gateway.payload(first.id, "client")
        assert sender.data.startswith(recorded) and len(recorded) == first.received("client")
        assert Stream.of_bytes(recorded[:got.count]) == got
        assert gateway.payload(second.id, "client") == b"served again"


# ── Slow ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("policy", ["block", "gap", "close"])
def test_a_disk_slower_than_the_traffic(gateways, scratch, policy):
    with faults.Upstream() as upstream:
        gateway = start(gateways, None, policy, upstream.address)
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server, Memory(gateway) as memory:
            reader = faults.Hasher(server)
            with faults.slow_disk(gateway, scratch, SLOW_MS):
                sender = Sender(client, SIZE)
                sender.finish()
                if policy != "close":
                    assert sender.error is None
            if policy != "close":
                assert reader.finish() == Stream.of_bytes(sender.data)
        faults.wait_metric(gateway, "sessions_closed", 1)
        metrics = gateway.stats()["metrics"]
        memory.check()
        stop(gateway)
        session, = gateway.sessions()
        if policy == "block":
            assert metrics["worker_stalls"] > 0 and metrics["unrecorded_bytes"] == 0
            check_whole(gateway, session, "client", sender.data)
        elif policy == "gap":
            check_gap(gateway, metrics, session, "client", sender.data)
        else:
            assert metrics["stall_closed"] == 1 and session["close"] == "stall"
            recorded = gateway.payload(session.id, "client")
            assert sender.data.startswith(recorded) and len(recorded) == session.received("client")


@pytest.mark.parametrize("policy", ["block", "gap", "close"])
def test_the_other_listener_feels_nothing(gateways, scratch, policy):
    """Two listeners of one gateway with different policies: one drowns in bulk on a slow disk, the other's small
    messages go on, none is lost, none waits for the first one's ring."""
    other_policy = "block" if policy == "gap" else "gap"
    quiet = processes.address("127.0.0.1", processes.free_port())
    with faults.Upstream() as upstream, faults.Echo() as echo:
        gateway = start(gateways, None, policy, upstream.address, [
            "--listen", quiet, "--upstream", echo.address, "--on-stall", other_policy, "--on-full", other_policy])
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server:
            reader = faults.Hasher(server)
            talk = EchoTalk(quiet)
            processes.wait_until(lambda: talk.count >= 20, 20, "messages before")
            with faults.slow_disk(gateway, scratch, 100):
                sender = Sender(client, SIZE)
                sender.finish()
                during = talk.count
                processes.wait_until(lambda: talk.count > during + 20 or talk.error, 20, "messages during it")
            where, said = talk.finish()
            client.close()
            reader.finish()
        faults.wait_metric(gateway, "sessions_closed", 2)
        metrics = gateway.stats()["metrics"]
        assert talk.longest < 5, f"a message took {talk.longest} s"
        stop(gateway)
        by_client = {session.client: session for session in gateway.sessions()}
        session = by_client.pop(where)
        assert session["close"] == "client-fin" and session["gaps"] == {"client": 0, "server": 0}
        assert gateway.payloads()[session.id] == {side: said for side in SIDES}
        bulk, = by_client.values()
        if policy == "gap":
            assert metrics["unrecorded_bytes"] == bulk["gaps"]["client"] > 0
        elif policy == "block":
            assert metrics["worker_stalls"] > 0 and metrics["unrecorded_bytes"] == 0
            assert gateway.payloads()[bulk.id]["client"] == Stream.of_bytes(sender.data)
        else:
            assert bulk["close"] == "stall"


# ── The rings' tmpfs ─────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_ring_that_cannot_grow(gateways, scratch):
    """log_max allows more than the tmpfs has: a warning, and the traffic is held back; nothing is lost."""
    with faults.mounted(scratch / "rings", size="1m") as rings, faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--log-dir", rings, "--log-ring", "256KiB", "--log-max", "64MiB",
                                                      "--workers", 1])
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server:
            reader = faults.Hasher(server)
            with faults.slow_disk(gateway, scratch, 100):
                sender = Sender(client, SIZE)
                faults.wait_event(gateway, "the log cannot grow; traffic is held back when it is full")
                sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
        assert faults.metric(gateway, "log_grow_refusals") > 0
        stop(gateway)
        session, = gateway.sessions()
        check_whole(gateway, session, "client", sender.data)
        assert not list(rings.iterdir())


def test_a_tmpfs_that_others_fill(gateways, scratch):
    """The ring's pages are its own from the start: what fills the tmpfs later is no SIGBUS."""
    with faults.mounted(scratch / "rings", size="1m") as rings, faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--log-dir", rings, "--log-ring", "512KiB", "--workers", 1])
        with open(rings / "ballast", "wb") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
        stop(gateway)
        session, = gateway.sessions()
        check_whole(gateway, session, "client", sender.data)


def test_a_tmpfs_without_room_for_the_first_ring(scratch, require_program):
    with faults.mounted(scratch / "rings", size="128k") as rings:
        gateway = Gateway(scratch / "rec", "none", scratch=scratch, options=["--log-dir", rings])
        gateway.start(wait=False)
        assert gateway.process.wait(20) == 3
        last = gateway.process.errors().splitlines()[-1]
        assert "No space left on device" in last and "ring" in last
        assert not list(rings.iterdir()), "a ring is left behind"


# ── A disk that hangs ────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("thread,call", [("gg-retention", "unlinkat"), ("gg-writer", "pwrite64"),
                                         ("gg-sync", "fdatasync"), ("gg-catalogue", "pwrite64")])
def test_a_gateway_ends_though_the_disk_hangs(server, scratch, thread, call):
    """A thread does not come back from a call: the others do not wait for it for good, and what is there is whole."""
    if not torture.preload_works():
        pytest.skip("a sanitizer's own calls come first")
    switch = scratch / "hang"
    switch.write_bytes(bytes(4096))
    options = [*SMALL_LOG, "--segment-max-bytes", "64KiB", "--timeouts-drain", "1s"]
    if thread == "gg-retention":
        options += ["--retention-max-bytes", "256KiB"]
    hang = {"LD_PRELOAD": tool("preload_hang.so"), "PRELOAD_HANG": str(switch), "PRELOAD_HANG_CALL": call,
            "PRELOAD_HANG_THREAD": thread}
    with Gateway(scratch / "rec", server.address, options=options, scratch=scratch, env=hang) as gateway:
        live.said(gateway.listen, b"first")
        gateway.wait_sessions_closed(1)
        with open(switch, "r+b") as file:
            file.write(b"\1")
        with contextlib.closing(faults.connect(gateway.listen)) as client:
            while not switch.read_bytes()[1]:  # with what comes, segments grow, and old ones go
                live.exchange(client, bytes(16 * KIB))
            gateway.process.popen.send_signal(signal.SIGTERM)
            status = gateway.process.wait(90)
        assert status == (3 if thread in ("gg-writer", "gg-sync") else 0), gateway.process.errors()
        gateway.process.check_no_crash()
    with Gateway(scratch / "rec", server.address, options=SMALL_LOG, scratch=scratch) as gateway:
        assert gateway.stop()[0] == 0
        gateway.verify()
