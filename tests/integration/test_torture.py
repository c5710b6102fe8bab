# SPDX-License-Identifier: Apache-2.0
"""Torture: the Nth allocation and the Nth system call fail, for each N in turn (tests/tools/failnth.c).

Whatever fails, the program says so and ends (status 2 or 3), or refuses the one session that it struck, or works on.
It does not crash or hang, its recording is never wrong, and the next start finds nothing in its way.

A finding is printed with its number. It is repeated by GOGETWAY_TEST_TORTURE_AT=17 and the test's name; FAILNTH_TRACE
in the environment names a file that keeps the stacks of the calls that failed. Normally numbers are drawn by
GOGETWAY_TEST_SEED; all are tried with GOGETWAY_TEST_ALL=1.
"""
import collections
import contextlib
import os
import pathlib
import shutil
import socket
import tempfile

import pytest

import processes
from gogetway import TEST_ALL, Gateway
from recording import tshark_read
from torture import KINDS, ONLY_AT, SEED, Faults, Talk, Upstream, in_parallel, preload_works, recording_faults, sample

pytestmark = pytest.mark.usefixtures("require_program", "preload")
START_MAX, STOP_MAX, READ_MAX = 24, 12, 16  # numbers that are tried of each kind in a normal run
ROUNDS_MAX = 400                            # faults that one gateway takes, at the most
FLUSH_MAX = 120 if TEST_ALL else 40        # faults of flush and rotation
SMALL, SEGMENTS, BULK = 3000, 100_000, 400_000
LEAST_SEGMENT = ["--segment-max-bytes", "64KiB", "--log-flush-interval", "20ms", "--sync-interval", "50ms"]


@pytest.fixture
def preload():
    if not preload_works():
        pytest.skip("a build with a sanitizer has a malloc of its own")


@pytest.fixture
def ring_dir():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gogetway-test-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


class Place:
    """A store of its own with its gateway, whose fault is moved by `faults`."""

    def __init__(self, scratch, ring_dir, upstream, name, kind, options=()):
        self.directory = scratch / name
        self.rings = ring_dir / name
        self.directory.mkdir()
        self.rings.mkdir(mode=0o700)
        self.upstream = upstream
        self.name = name
        self.faults = Faults(self.directory / "control", kind)
        self.options = ["--workers", 1, "--log-dir", self.rings, "--log-ring", "256KiB", "--log-max", "8MiB", *options]
        self.listen = processes.address("127.0.0.1", processes.free_port())

    def gateway(self, env=None):
        return Gateway(self.directory / "rec", self.upstream.address, self.listen, self.options, self.directory, env)

    def text(self, at, what):
        return f"{self.name}, call {at} of '{self.faults.calls}' ({self.faults.hit}), seed {SEED}: {what}"


def is_ready(gateway):
    return any(line.get("event") == "ready" for line in gateway.log())


def ended_well(status, errors):
    """None, or what is wrong with an end of a program in which a call failed: 0, or 2 or 3 and one message."""
    if status == 0:
        return None
    if status not in (2, 3):
        return f"exit status {status}:\n{errors[-1500:]}"
    messages = [line for line in errors.splitlines() if line.startswith("gogetway: ")]
    return None if len(messages) == 1 else f"exit status {status} and not one message:\n{errors[-1500:]}"


def next_start(place, talks):
    """After a fault: an ordinary start works, with a session, and the store is as it should be."""
    texts = []
    with place.gateway() as gateway:
        talk = Talk(place.upstream, len(place.upstream.received) + 10_000 * len(talks) + 5000, SMALL).run(place.listen)
        place.upstream.settle()
        status, errors = gateway.stop()
    if not talk.right():
        texts.append(f"the next start's session is wrong: {talk.said()}")
    if status != 0:
        texts.append(f"the next start ended with {status}: {errors[-1000:]}")
    left = [file.name for file in place.rings.iterdir()]
    if left:
        texts.append(f"left in the rings' directory: {left}")
    return texts + recording_faults(gateway, [*talks, talk])


# ── Start ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def count_of_start(place):
    """How many calls of the kind there are until it is ready."""
    gateway = place.gateway(place.faults.environment())
    with gateway:
        count = place.faults.count
    return count


def start_with_fault(place, at, before=()):
    gateway = place.gateway(place.faults.environment(at))
    gateway.start(wait=False)
    talks = list(before)
    texts = []
    try:
        processes.wait_until(lambda: is_ready(gateway) or not gateway.process.running(), 15, "ready or ended")
        struck = place.faults.hits > 0
        if is_ready(gateway):
            place.faults.disarm()
            talk = Talk(place.upstream, at, SMALL).run(place.listen)
            place.upstream.settle()
            talks.append(talk)
            if struck and not talk.right():
                texts.append(f"it started, and its session is wrong: {talk.said()}:\n{gateway.process.errors()[-800:]}")
        status, errors = gateway.stop(20)
    except processes.DeadlineExceeded as error:
        gateway.kill()
        return [f"hangs: {error}"]
    wrong = ended_well(status, errors)
    if wrong:
        texts.append(wrong)
    return texts + next_start(place, talks)


@pytest.mark.parametrize("kind", KINDS)
def test_start_with_a_failing_call(scratch, ring_dir, kind):
    upstreams = []

    def one(at):
        upstreams.append(up := Upstream(SMALL))
        place = Place(scratch, ring_dir, up, f"start-{kind}-{at}", kind)
        with contextlib.closing(up):
            return [place.text(at, text) for text in start_with_fault(place, at)]

    with contextlib.closing(Upstream(SMALL)) as up:
        total = count_of_start(Place(scratch, ring_dir, up, "count", kind))
    assert total > 20, "the faults are not in the program"
    texts = in_parallel(one, sample(total, START_MAX))
    assert not texts, "\n".join(texts)


def recover_with_fault(place, at):
    """A killed gateway left its last session in the ring; the start that recovers it has a failing call."""
    with place.gateway() as gateway:
        talk = Talk(place.upstream, 100_000 + at, SMALL).run(place.listen)
        assert talk.right()
        place.upstream.settle()
        gateway.kill()
    return start_with_fault(place, at, [talk])


@pytest.mark.parametrize("kind", KINDS)
def test_recovery_with_a_failing_call(scratch, ring_dir, kind):
    """Not a byte that passed before the kill is missing after the fault and the start that follows it."""
    def one(at):
        with contextlib.closing(Upstream(SMALL)) as up:
            place = Place(scratch, ring_dir, up, f"recover-{kind}-{at}", kind, ["--log-flush-interval", "60s"])
            return [place.text(at, text) for text in recover_with_fault(place, at)]

    with contextlib.closing(Upstream(SMALL)) as up:
        place = Place(scratch, ring_dir, up, "count", kind, ["--log-flush-interval", "60s"])
        assert recover_with_fault(place, 0) == []
        total = place.faults.count
    texts = in_parallel(one, sample(total, START_MAX))
    assert not texts, "\n".join(texts)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def held(place, gateway, connections):
    """One more idle session: the gateway's spare memory is taken, and the next accept has to allocate."""
    host, port = gateway.listen.rsplit(":", 1)
    before = place.upstream.accepted
    connections.enter_context(socket.create_connection((host, int(port)), 10))
    processes.wait_until(lambda: place.upstream.accepted > before, 10, "a session that is held")
    yield


def rounds(place, gateway, size, slow=False, talk_of=Talk):
    """Sessions with the fault at call 1, 2, 3, ... of theirs, each followed by one without, until it is not reached.

    Returns the talks and what was wrong."""
    talks, texts = [], []
    with contextlib.ExitStack() as connections:
        for at in range(1, ROUNDS_MAX + 1):
            with held(place, gateway, connections):
                place.faults.arm(ONLY_AT or at)
                struck = talk_of(place.upstream, 2 * at, size, slow).run(gateway.listen)
                place.faults.disarm()
            hit = place.faults.hit
            clean = talk_of(place.upstream, 2 * at + 1, SMALL).run(gateway.listen)
            talks += [struck, clean]
            if not gateway.process.running():
                errors = gateway.process.errors()[-1500:]
                texts.append(place.text(at, f"the gateway ended: {gateway.process.popen.returncode}\n{errors}"))
                break
            for talk, wrong in ((struck, struck.hangs()), (clean, not clean.right())):
                if wrong:
                    texts.append(place.text(at, f"session {talk.index} hangs or is wrong after the fault: "
                                                f"{talk.said()}"))
            if hit is None and at > 1 or ONLY_AT or len(texts) > 5:
                break
        else:
            texts.append(place.text(at, "there was no end of it"))
    assert ONLY_AT or at > 1, "the faults are not in the program"
    return talks, texts


def others(descriptors):
    """All but pipes, and but what the threads of the catalogue and of decoding open when they come to that: its files,
    and a segment."""
    return sum(not end.startswith("pipe:") and "/catalogue.db" not in end and not end.endswith(".pcapng")
               for end in descriptors)


def no_descriptor_leaks(gateway, before):
    """There are those of `before`, but for two of the pool's; the segment, written and read; the catalogue, once to be
    written and once to be read."""
    def same():
        now = gateway.descriptors_open()
        return (others(now) <= others(before) + 2
                and sum(end.endswith(".pcapng") for end in now) <= 2
                and sum("/catalogue.db" in end for end in now) <= 7)
    try:
        processes.wait_until(same, 10, "no descriptor leaks")
    except processes.DeadlineExceeded as error:
        more = collections.Counter(gateway.descriptors_open()) - collections.Counter(before)
        raise AssertionError(f"{error}; more than before: {dict(more)}") from None


SESSION_OPTIONS = {
    "in-place": ["--relay-splice", "off"],
    "splice": ["--relay-splice", "on"],
    "always": ["--sync-mode", "always"],
    "slow": ["--relay-splice", "off"],
    "proxy": ["--proxy-protocol-out", "v2"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", SESSION_OPTIONS)
def test_sessions_with_a_failing_call(scratch, ring_dir, kind, way):
    size = BULK if way == "splice" else SMALL
    with contextlib.closing(Upstream(BULK if way == "slow" else SMALL)) as upstream:
        place = Place(scratch, ring_dir, upstream, f"session-{way}-{kind}", kind, SESSION_OPTIONS[way])
        with place.gateway(place.faults.environment(armed=False)) as gateway:
            assert Talk(upstream, 0, size).run(gateway.listen).right()
            before = gateway.descriptors_open()
            talks, texts = rounds(place, gateway, size, way == "slow")
            upstream.settle()
            if gateway.process.running():
                no_descriptor_leaks(gateway, before)
                # Pipes stay in their pool, as many as were ever needed at once; its tap may have been thrown away.
                spare = 2 * gateway.stats()["metrics"]["pipes_open"]
                pipes = sum(end.startswith("pipe:") for end in gateway.descriptors_open())
                assert pipes in (spare, spare + 2), "no pipe leaks"
            status, errors = gateway.stop()
        assert not texts, "\n".join(texts)
        assert status == 0, errors
        texts = recording_faults(gateway, talks)
        assert not texts, "\n".join(texts)


# ── Flush and rotation ───────────────────────────────────────────────────────────────────────────────────────────────

FLUSH_CALLS = ("openat,open,close,fstat,mkdirat,fchmod,linkat,rename,renameat,unlink,unlinkat,ftruncate,"
               "posix_fallocate,posix_fadvise,fdatasync,fsync,fcntl")


@pytest.mark.parametrize("sync", ("interval", "always"))
@pytest.mark.parametrize("calls", (FLUSH_CALLS, "pwrite"), ids=("all", "pwrite"))
def test_flush_and_rotation_with_a_failing_call(scratch, ring_dir, calls, sync):
    """Nothing is lost under block: every session is whole, at both ends and in the recording."""
    if sync == "interval":  # with always every session has pending bytes, and ends where there is no memory for them
        calls += ",mmap,munmap"
    with contextlib.closing(Upstream(SMALL)) as upstream:
        place = Place(scratch, ring_dir, upstream, f"flush-{sync}", calls, [*LEAST_SEGMENT, "--sync-mode", sync])
        talks, texts = [], []
        with place.gateway(place.faults.environment(armed=False)) as gateway:
            for at in [ONLY_AT] if ONLY_AT else range(1, FLUSH_MAX + 1):
                place.faults.arm(at)
                talks.append(Talk(upstream, at, SEGMENTS).run(gateway.listen))
                # What the session set off goes on behind it: the next one's calls are counted in this one's round.
                talks.append(Talk(upstream, FLUSH_MAX + at, SMALL).run(gateway.listen))
                place.faults.disarm()
                texts += [place.text(at, f"session {talk.index}: {talk.said()}")
                          for talk in talks[-2:] if not talk.right()]
                if not gateway.process.running() or len(texts) > 5:
                    break
            upstream.settle()
            status, errors = gateway.stop()
        assert not texts, "\n".join([*texts, errors[-1500:]])
        assert status == 0, errors
        texts = recording_faults(gateway, talks) + tshark_read(gateway.segments()).anomalies
        assert not texts, "\n".join(texts)
        assert not list(place.rings.iterdir())


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def stop_with_fault(place, at):
    gateway = place.gateway(place.faults.environment(armed=False)).start()
    talk = Talk(place.upstream, at, SMALL).run(place.listen)
    place.upstream.settle()
    place.faults.arm(at)
    try:
        status, errors = gateway.stop(20)
    except processes.DeadlineExceeded as error:
        return [f"hangs: {error}"]
    texts = [] if talk.right() else [f"the session is wrong: {talk.said()}"]
    wrong = ended_well(status, errors)
    return texts + ([wrong] if wrong else []) + next_start(place, [talk])


@pytest.mark.parametrize("kind", KINDS)
def test_stop_with_a_failing_call(scratch, ring_dir, kind):
    """Whatever fails while it ends, the recording is whole after the next start."""
    def one(at):
        with contextlib.closing(Upstream(SMALL)) as up:
            place = Place(scratch, ring_dir, up, f"stop-{kind}-{at}", kind)
            return [place.text(at, text) for text in stop_with_fault(place, at)]

    with contextlib.closing(Upstream(SMALL)) as up:
        place = Place(scratch, ring_dir, up, "count", kind)
        assert stop_with_fault(place, 0) == []
    texts = in_parallel(one, sample(place.faults.count, STOP_MAX))
    assert not texts, "\n".join(texts)


# ── Readers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Some sessions over several segments."""
    directory = tmp_path_factory.mktemp("store")
    with contextlib.closing(Upstream(SMALL)) as up:
        with Gateway(directory / "rec", up.address, options=["--workers", 1, *LEAST_SEGMENT]) as gateway:
            for index in range(6):
                assert Talk(up, index, SEGMENTS).run(gateway.listen).right()
            gateway.stop()
    return gateway


READERS = {
    "sessions": ["sessions", "--json"],
    "show": ["show", "ID", "--as", "hex"],
    "export": ["export", "-o", "-"],
    "pcap": ["export", "--format", "pcap", "--mtu", "1500", "-o", "-"],
    "raw": ["export", "--format", "raw", "-o", "OUT"],
    "verify": ["verify"],
}


def read(store, words, out, faults=None, at=0):
    """Exit status, errors and all that the command put out."""
    first = store.first_id
    words = [{"ID": first, "OUT": out}.get(word, word) for word in words]
    # jansson 2.14 drops a character and says nothing where the buffer of a token cannot grow.
    env = dict(os.environ, **faults.environment(at), FAILNTH_NOT="libjansson") if faults else None
    done = store.command(*words, check=False, seconds=20, env=env)
    files = [done.stdout]
    if out.exists():
        files += [file.name.encode() + file.read_bytes() for file in sorted(out.iterdir())]
        shutil.rmtree(out)
    return done.returncode, processes.as_text(done.stderr), files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_readers_with_a_failing_call(scratch, store, kind, reader):
    """Exit status 0 means the right output, to the last byte, or a warning that names the segment that is missing."""
    store.first_id = store.sessions()[0].id
    _, _, right = read(store, READERS[reader], scratch / "right")
    counted = Faults(scratch / "control", kind)
    assert read(store, READERS[reader], scratch / "count", counted)[0] == 0

    def one(at):
        faults = Faults(scratch / f"control-{at}", kind)
        status, errors, output = read(store, READERS[reader], scratch / f"out-{at}", faults, at)
        where = f"{reader}, call {at} of '{kind}' ({faults.hit}), seed {SEED}: "
        told = errors + processes.as_text(output[0]) if reader == "verify" else errors
        if status not in (0, 1, 3) or (status and not told.strip()):
            return [f"{where}status {status}: {errors[-500:]}"]
        if status == 0 and output != right and "warning: " not in errors:
            return [f"{where}status 0, and the output is not right: {errors[-500:]}"]
        return []

    texts = in_parallel(one, sample(counted.count, READ_MAX))
    assert not texts, "\n".join(texts)
