# SPDX-License-Identifier: Apache-2.0
"""SIGKILL, at random moments under load and at every system call of a recovery; segments cut short; planted rings.

The contract: a byte is in the log before it goes on, so after a kill each end has received a prefix of what the
recording has, and the recording has nothing that was not sent.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess

import pytest

import endpoints
import faults
import processes
import recording
from gogetway import SIDES, TEST_ALL, Gateway, Store, Stream, program

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20240601"))
NOBODY = 65534
SECTION, INTERFACE, PACKET, STATISTICS = 0x0A0D0D0A, 1, 6, 5


def check_readable(store):
    """All readers find the recording sound."""
    store.verify()
    return recording.tshark_approves(store.segments())


# ── At random moments ────────────────────────────────────────────────────────────────────────────────────────────────

def test_killed_at_random_moments(gateways, scratch, rings):
    """Under load; then twice more while it recovers; then a start that has to find everything."""
    rounds = 50 if TEST_ALL else 5
    told = cut = recorded_bytes = 0
    for number in range(rounds):
        chance = random.Random(SEED + number)
        upstream = processes.address("127.0.0.1", processes.free_port())
        gateway = gateways(upstream, options=[
            "--log-dir", rings, "--workers", chance.choice([1, 2]), "--relay-splice", chance.choice(["on", "off"]),
            "--segment-max-bytes", chance.choice(["1MiB", "1GiB"]),
            "--sync-mode", chance.choice(["interval", "interval", "never", "always"])])
        run = endpoints.Endpoints(scratch, SEED + number, 600, gateway.listen, upstream, deadline=60, concurrency=32,
                                  unique_source=True, bytes_max=256 << 10, slow_percent=30).start()
        faults.wait_metric(gateway, "received_client_bytes", 1)
        faults.sleep_to_a_random_moment(chance, 0.5)
        gateway.kill()
        result = run.finish(120)
        lines = []
        for _ in range(2):
            gateway.start(wait=False)
            faults.sleep_to_a_random_moment(chance, 0.015)
            gateway.kill()
            lines += faults.events(gateway, "recovered")
        gateway.start()
        lines += faults.events(gateway, "recovered")
        status, log = gateway.stop()
        assert status == 0, f"round {number}: {log}"
        raw = scratch / f"raw-{number}"
        problems, _, count = faults.check_cut_short(result, gateway, raw)
        assert not problems, f"round {number} (seed {SEED + number}):" + endpoints.show(problems)
        check_readable(gateway)
        assert not list(rings.iterdir()), f"round {number}: rings are left"
        told += any(line["bytes"] > 0 for line in lines)
        cut += any(session.state != "closed" for session in gateway.sessions())
        recorded_bytes += count
        shutil.rmtree(raw)
        shutil.rmtree(gateway.directory)
    assert recorded_bytes > 0
    assert told > 0, "no start said that it recovered anything"
    assert cut > 0, "every kill came when no session was open"


# ── While it recovers ────────────────────────────────────────────────────────────────────────────────────────────────

class Crash:
    """A store and its rings as a SIGKILL left them, to be laid out again and again in the same places."""

    def __init__(self, gateways, scratch, rings, sessions=3, options=()):
        self.rings, self.scratch = rings, scratch
        self.upstream = faults.Upstream()
        self.options = ["--log-dir", rings, "--workers", 1, "--log-flush-interval", "1m", *options]
        self.gateway = gateways(self.upstream.address, options=self.options)
        self.expected = {}
        with contextlib.ExitStack() as stack:
            for number in range(sessions):
                chance = random.Random(number)
                sent = {side: chance.randbytes(3000 * (number + 1)) for side in SIDES}
                client = stack.enter_context(faults.connect(self.gateway.listen))
                server = stack.enter_context(self.upstream.accept())
                client.sendall(sent["client"])
                assert faults.read_exactly(server, len(sent["client"])) == sent["client"]
                server.sendall(sent["server"])
                assert faults.read_exactly(client, len(sent["server"])) == sent["server"]
                where = processes.address(*client.getsockname())
                self.expected[where] = {side: Stream.of_bytes(sent[side]) for side in SIDES}
            self.gateway.kill()
        self.copy = scratch / "crashed"
        shutil.copytree(self.gateway.directory, self.copy / "rec", ignore=lambda *_: ["control"])
        shutil.copytree(rings, self.copy / "rings")

    def lay_out(self):
        shutil.rmtree(self.gateway.directory)
        shutil.copytree(self.copy / "rec", self.gateway.directory)
        for file in self.rings.iterdir():
            file.unlink()
        for file in (self.copy / "rings").iterdir():
            shutil.copy2(file, self.rings / file.name)

    def check(self, what):
        payloads = self.gateway.payloads()
        found = {session.client: payloads[session.id] for session in self.gateway.sessions()}
        assert found == self.expected, what


@pytest.fixture
def crash(gateways, scratch, rings):
    made = Crash(gateways, scratch, rings)
    yield made
    made.upstream.close()


def test_a_crash_is_recovered_and_told(crash):
    assert not crash.gateway.segments(), "it was flushed already: nothing is left to recover"
    with crash.gateway.start():
        line = faults.wait_event(crash.gateway, "recovered")
        assert line["rings"] == 1 and line["segments"] == 1 and line["bytes"] > 36000, line
        assert line["rings_missing"] == 0 and line["rings_refused"] == 0
    crash.check("after one start")
    check_readable(crash.gateway)


CALLS = "pwrite64,ftruncate,fdatasync,fsync,unlinkat,unlink,renameat,rename,renameat2,fchmod"


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_killed_at_every_system_call_of_a_recovery(crash, scratch):
    """strace kills the starting gateway at its Nth call that changes a file, for N = 1, 2, ... until it succeeds."""
    kills = 0
    for number in range(1, 200):
        crash.lay_out()
        command = ["strace", "-o", scratch / "strace", "-e", f"trace={CALLS}", "-e",
                   f"inject={CALLS}:signal=SIGKILL:when={number}", program(), "run", "--listen", crash.gateway.listen,
                   "--upstream", crash.upstream.address, "--dir", crash.gateway.directory, *crash.options]
        with processes.Process(command, scratch, name=f"killed-{number}") as traced:
            processes.wait_until(lambda: not traced.running() or '"event":"ready"' in traced.errors(), 30,
                                 "killed, or ready")
            if traced.running():
                lock = (crash.gateway.directory / "lock").read_text()
                os.kill(int(lock.split()[0]), signal.SIGKILL)
                traced.wait(10)
                break
        if "Operation not permitted" in traced.errors() and kills == 0:
            pytest.skip("ptrace is not permitted here")
        assert traced.popen.returncode == -signal.SIGKILL, traced.errors()
        kills += 1
        with crash.gateway.start():
            pass
        crash.check(f"killed at call {number}: {(scratch / 'strace').read_text()}")
        assert not list(crash.rings.iterdir()), f"killed at call {number}: rings are left"
        if number % 4 == 1 or TEST_ALL:
            check_readable(crash.gateway)
    assert 4 <= kills < 150, f"{kills} kills"


# ── Torn ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

def blocks_of(data):
    """(type, start, end) of every block; the data must be whole."""
    at, found = 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        found.append((kind, at, at + length))
        at += length
    assert at == len(data)
    return found


def payload_of(data, start):
    """(side of the sender, payload bytes) of an Enhanced Packet Block with Ethernet, IPv4 and TCP."""
    captured, = struct.unpack_from("<I", data, start + 20)
    frame = data[start + 28:start + 28 + captured]
    flags, = struct.unpack_from(">H", frame, 12)
    assert flags == 0x0800
    ip_bytes = (frame[14] & 15) * 4
    total, = struct.unpack_from(">H", frame, 16)
    tcp = frame[14 + ip_bytes:14 + total]
    return struct.unpack_from(">HH", tcp), tcp[(tcp[12] >> 4) * 4:]


def make_small_segment(gateways, upstream):
    gateway = gateways(upstream.address, options=["--workers", 1, "--log-flush-interval", "1m"])
    with faults.connect(gateway.listen) as client, upstream.accept() as server:
        for text in (b"first", b"the second one"):
            client.sendall(text)
            assert faults.read_exactly(server, len(text)) == text
            server.sendall(text * 2)
            assert faults.read_exactly(client, 2 * len(text)) == text * 2
    assert gateway.stop()[0] == 0
    segment, = gateway.segments()
    return gateway, segment.read_bytes()


def expected_at(data, blocks, cut, client_port):
    """The two streams that the whole packets in front of `cut` hold, and how many packets there are."""
    streams, packets = {side: b"" for side in SIDES}, 0
    for kind, start, end in blocks:
        if kind == PACKET and end <= cut:
            (source, _), payload = payload_of(data, start)
            streams["client" if source == client_port else "server"] += payload
            packets += 1
    return streams, packets


def test_a_segment_cut_at_every_byte(gateways, scratch):
    """Every whole record is kept, none invented, whatever byte the file ends at."""
    with faults.Upstream() as upstream:
        gateway, data = make_small_segment(gateways, upstream)
    session, = gateway.sessions()
    blocks = blocks_of(data)
    last_packet = max(end for kind, _, end in blocks if kind == PACKET)
    cuts = [*range(last_packet + 40), *range(last_packet + 40, len(data), 97), len(data)]

    def look(cut):
        place = scratch / f"cut-{cut}"
        shutil.copytree(gateway.directory, place, ignore=lambda *_: ["control", "segments"])
        (place / "segments").mkdir(mode=0o700)
        (place / "segments" / gateway.segments()[0].name).write_bytes(data[:cut])
        try:
            return Store(place).sessions()
        finally:
            shutil.rmtree(place)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for cut, found in zip(cuts, pool.map(look, cuts)):
            streams, packets = expected_at(data, blocks, cut, session.client_port)
            if packets == 0:
                assert not found, f"cut at {cut}: {found}"
                continue
            assert [entry.id for entry in found] == [session.id], f"cut at {cut}"
            assert found[0]["bytes"] == {side: len(streams[side]) for side in SIDES}, f"cut at {cut}"
            assert (found[0].state == "closed") == (cut >= last_packet), f"cut at {cut}"


def test_a_torn_segment_is_completed_by_the_next_start(gateways, scratch, rings):
    """The ring is gone (the machine went down): the open segment is cut after its last whole block, and marked."""
    with faults.Upstream() as upstream:
        gateway, data = make_small_segment(gateways, upstream)
        session, = gateway.sessions()
        blocks = blocks_of(data)
        name = gateway.segments()[0].name
        uuid = (gateway.directory / "store").read_text().split()[-1]
        # What a gateway that recorded only this wrote into its `running` file.
        with Gateway(scratch / "other", upstream.address, scratch=scratch,
                     options=["--log-dir", rings, "--workers", 1]) as other:
            with faults.connect(other.listen) as client, upstream.accept():
                client.sendall(b"x")
                processes.wait_until(other.segments, 10, "a segment", interval=0.05)
            other_uuid = (other.directory / "store").read_text().split()[-1]
            other_name = other.segments()[0].name
            listed = other.directory / "running"
            processes.wait_until(lambda: other_name in listed.read_text(), 10, "the segment listed", interval=0.05)
            running = listed.read_text()
            other.kill()
        running = running.replace(other_uuid, uuid).replace(other_name, name)
        assert name in running and uuid in running
        chance = random.Random(SEED)
        cuts = {0, 1, 27, len(data) - 1, *(end for _, _, end in blocks[:3]),
                *(chance.randrange(1, len(data)) for _ in range(60 if TEST_ALL else 8))}
        for cut in sorted(cuts):
            shutil.rmtree(gateway.directory / "segments")
            (gateway.directory / "segments").mkdir(mode=0o700)
            for file in gateway.directory.glob("catalogue.db*"):  # another file of this name, and perhaps of its size
                file.unlink()
            (gateway.directory / "segments" / name).write_bytes(data[:cut])
            (gateway.directory / "running").write_text(running)
            with gateway.start():
                line = faults.wait_event(gateway, "recovered")
                assert line["rings_missing"] >= 1, line
            streams, packets = expected_at(data, blocks, cut, session.client_port)
            found = gateway.sessions()
            assert len(found) == (packets > 0), f"cut at {cut}"
            if found:
                assert gateway.payloads()[session.id] == {side: Stream.of_bytes(streams[side]) for side in SIDES}
                assert b"may be missing" in gateway.segments()[0].read_bytes()
                check_readable(gateway)


# ── Rings that are not ours ──────────────────────────────────────────────────────────────────────────────────────────

def plant(crash, ring):
    """Lays strange things beside the ring that is left. Returns {path: why it must be refused}."""
    planted = {}
    head = ring.name.rsplit(".", 1)[0]
    whole = ring.read_bytes()

    def place(generation):
        return crash.rings / f"{head}.{generation}"

    def write(generation, data, reason, mode=0o600):
        path = place(generation)
        path.write_bytes(data)
        path.chmod(mode)
        planted[path] = reason
        return path

    target = crash.scratch / "precious"
    target.write_bytes(whole)
    target.chmod(0o600)
    place(900).symlink_to(target)
    planted[place(900)] = "symbolic links"
    write(901, whole, "mode is not 0600", 0o644)
    write(902, os.urandom(1 << 20), "header is not complete")
    write(904, whole[:len(whole) // 2], "size is wrong")
    write(905, whole, "its name is not the one in its header")
    os.link(write(906, whole, "its name is not the one in its header"), place(907))
    os.link(ring, place(909))
    planted[place(907)] = planted[place(909)] = "its name is not the one in its header"
    os.mkfifo(place(908), 0o600)
    planted[place(908)] = "not a regular file"
    if os.geteuid() == 0:
        os.chown(write(910, whole, "owned by somebody else"), NOBODY, NOBODY)
    return planted


def test_planted_rings_are_refused_and_left_alone(crash):
    crash.lay_out()
    ring, = crash.rings.iterdir()
    planted = plant(crash, ring)
    before = {path: path.lstat() for path in planted}
    with crash.gateway.start():
        line = faults.wait_event(crash.gateway, "recovered")
        assert line["rings_refused"] == len(planted) and line["rings"] == 1, line
        warnings = {entry["ring"]: entry["reason"] for entry in crash.gateway.log()
                    if entry["level"] == "warning" and "ring" in entry}
        for path, reason in planted.items():
            assert reason in warnings.get(path.name, "nothing said"), f"{path.name}: {warnings.get(path.name)}"
    for path, status in before.items():
        now = path.lstat()
        assert (now.st_ino, now.st_size, now.st_mode) == (status.st_ino, status.st_size, status.st_mode), path.name
        if path.name != f"{ring.name.rsplit('.', 1)[0]}.909":  # the other name of a ring that was recovered
            assert now.st_mtime_ns == status.st_mtime_ns, f"{path.name} was touched"
    crash.check("beside planted rings")
    check_readable(crash.gateway)


@pytest.mark.parametrize("named", [True, False])
def test_many_planted_rings_hide_none(crash, named):
    """Anybody may make files in /dev/shm, under names that a listing of it shows: as many as they like."""
    crash.lay_out()
    ring, = crash.rings.iterdir()
    if not named:
        (crash.gateway.directory / "running").unlink()
    head = ring.name.rsplit(".", 1)[0]
    for number in range(5000):
        path = crash.rings / f"{head}.{1000 + number}"
        path.touch(0o644)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    with crash.gateway.start():
        line = faults.wait_event(crash.gateway, "recovered")
        assert line["rings"] == 1 and line["rings_refused"] == 5000 and line["rings_missing"] == 0, line
    crash.check("among 5000 planted rings")


@pytest.mark.parametrize("name", [b"../../precious.pcapng", b"/etc/precious.pcapng", b".hidden.pcapng", b"no-suffix"])
def test_a_ring_that_names_a_strange_segment_is_refused(crash, name):
    """A ring of ours in all but the name of its segment: nothing may be written anywhere."""
    crash.lay_out()
    ring, = crash.rings.iterdir()
    data = ring.read_bytes()
    at = data.find(b".pcapng\0", 0, 65536)
    assert at > 0, "no segment's name in the ring's header"
    start = data.rfind(b"\0", 0, at) + 1
    old = data[start:at + 8]
    ring.write_bytes(data.replace(old, name.ljust(len(old), b"\0")[:len(old) - 1] + b"\0", 1))
    before = sorted(path for path in crash.gateway.directory.parent.rglob("*"))
    with crash.gateway.start():
        line = faults.wait_event(crash.gateway, "recovered")
        assert line["rings_refused"] == 1 and line["rings"] == 0, line
    assert not crash.gateway.segments()
    new = {path.name for path in crash.gateway.directory.parent.rglob("*")} - {path.name for path in before}
    assert not [entry for entry in new if "precious" in entry or "hidden" in entry or "suffix" in entry], new
    assert not pathlib.Path("/etc/precious.pcapng").exists()


def test_a_damaged_ring_gives_what_is_whole(crash):
    """One bit of a length in the middle is wrong: what stands before it is kept, and it is said."""
    crash.lay_out()
    ring, = crash.rings.iterdir()
    data = bytearray(ring.read_bytes())
    header = len(data) & 0xFFFF  # the data are a power of two, the header is what is more
    at, count = header, 0
    while count < 9:
        kind, length = struct.unpack_from("<II", data, at)
        count += kind == PACKET
        at += length
    data[at + 4] ^= 0x40
    ring.write_bytes(data)
    with crash.gateway.start():
        assert any("damaged blocks" in line["event"] for line in crash.gateway.log())
    found = crash.gateway.sessions()
    payloads = crash.gateway.payloads()
    assert 0 < len(found) <= len(crash.expected)
    for session in found:
        for side in SIDES:
            assert payloads[session.id][side].count <= crash.expected[session.client][side].count
    check_readable(crash.gateway)


def test_the_next_start_while_the_first_lives_touches_nothing(crash):
    """Recovery is the lock holder's alone: another start is told the process id, and changes no file."""
    with crash.gateway.start():
        before = {path: path.stat().st_mtime_ns for path in crash.gateway.directory.rglob("*")}
        rings = sorted(path.name for path in crash.rings.iterdir())
        done = subprocess.run([program(), "run", "--listen", f"127.0.0.1:{processes.free_port()}", "--upstream",
                               crash.upstream.address, "--dir", crash.gateway.directory, "--log-dir", crash.rings],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 3 and str(crash.gateway.process.pid) in done.stderr
        assert sorted(path.name for path in crash.rings.iterdir()) == rings
        after = {path: path.stat().st_mtime_ns for path in crash.gateway.directory.rglob("*")}
        assert {path for path in before if before[path] != after.get(path)} <= {crash.gateway.directory / "segments"}
