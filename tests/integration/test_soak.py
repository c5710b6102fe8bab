# SPDX-License-Identifier: Apache-2.0
"""The soak's harness (tests/soak): a small one holds, and a recording that is not what was sent is found."""
import json
import math
import os
import pathlib
import random
import signal
import struct
import sys
import threading

import pytest

import gogetway
import processes

SOAK = pathlib.Path(gogetway.ROOT) / "tests/soak"
sys.path.insert(0, str(SOAK))

import checker  # noqa: E402
import events  # noqa: E402
import health  # noqa: E402
import instance  # noqa: E402
import ledger  # noqa: E402
import setting  # noqa: E402
import traffic  # noqa: E402

SEED = 23
MINUTES = "0.2"
NEVER_LEFT_OUT = ("restless kill", "restless drain", "restless overlap-kill-old", "steady flap", "steady policies")


def test_a_small_soak_holds(scratch, require_program):
    done = processes.run([sys.executable, SOAK / "soak.py", MINUTES, "--seed", SEED, "--report", scratch / "report"],
                         240, check=False)
    said = processes.as_text(done.stdout + done.stderr)
    assert done.returncode == 0, said[-6000:]
    found = json.loads((scratch / "report/soak.json").read_text())
    assert found["result"] == "held" and not found["broken"]
    assert all(found["events"].get(kind) for kind in NEVER_LEFT_OUT), found["events"]
    made = {row["check"]: row["made"] for row in found["checks"]}
    for name in (checker.EQUAL, checker.RECEIVED, checker.SENT, checker.COUNTS, checker.METRICS, checker.TSHARK,
                 checker.VERIFY, events.EXIT, "private: flat"):
        assert made.get(name, 0) > 0, f"never made: {name}"
    assert f"seed {SEED}" in (scratch / "report/soak.md").read_text()
    assert (scratch / "report/soak.svg").read_text().startswith("<svg")


def test_the_plan_is_the_seeds():
    decks = {("a", "process"): ["kill", "drain"], ("a", "world"): ["clock-step"]}
    first, again, other = (events.plan(seed, 600, decks) for seed in (7, 7, 8))
    assert first == again != other
    kinds = [event.kind for event in first if event.track == "process"]
    assert all(set(kinds[at:at + 2]) == {"kill", "drain"} for at in range(0, len(kinds) - 1, 2))
    assert first == sorted(first, key=lambda event: event.at) and first[-1].at < 600


def test_an_error_is_excused_by_its_own_disturbance_only():
    windows = ledger.Windows()
    with windows.during("upstream-down", "echo"):
        pass
    window, = windows.windows
    assert windows.overlapping(window.begin - 1, window.end + 1, "echo") == [window]
    assert not windows.overlapping(window.begin - 1, window.end + 1, "plain")
    assert not windows.overlapping(window.end + 0.1, window.end + 1, "echo")
    assert not windows.overlapping(window.begin - 2, window.begin - 1, "echo")


class SmallSite:
    """As much of a site as a checker needs: one gateway, one generator."""
    name = "small"

    def __init__(self, scratch):
        self.scratch, self.seed, self.checks = scratch, "1 small", ledger.Checks()
        self.stopping, self.other = threading.Event(), self
        upstream, listen = (processes.address("127.0.0.1", processes.free_port()) for _ in range(2))
        self.instance = instance.Instance(self.name, scratch / "rec", scratch, [
            {"name": "plain", "listen": listen, "upstream": upstream}], {"workers": 1}, self.checks)
        self.instance.start()
        self.loads, self.excused_errors = [], 0
        self.checker = checker.Checker(self, {"plain"}, {"plain"})
        traffic.Generated(self, "plain", upstream, sessions=40, urgent_percent=0).round()
        assert self.instance.drain(20) == 0
        self.instance.over = True

    @staticmethod
    def excused(*_):
        return []

    @staticmethod
    def policies(*_):
        return {("block", "block")}

    def broken(self):
        return {entry["check"] for entry in self.checks.broken}


def flip(segment, session):
    """One byte of a payload, and both checksums' sum as it was: nothing but the content is wrong."""
    data = bytearray(segment.read_bytes())
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        frame = at + 28
        if kind == 6 and data[frame + 12:frame + 14] == b"\x08\x00":
            head = frame + 14 + 20
            port, = struct.unpack_from(">H", data, head)
            payload = head + (data[head + 12] >> 4) * 4
            end = frame + 14 + struct.unpack_from(">H", data, frame + 16)[0]
            if port == session.client_port and end - payload > 100:
                data[payload + 40] ^= 1
                # The checksum is a sum of words of 16 bits: what one word gains, the next but one of its half loses.
                data[payload + 42] ^= 1
                if (data[payload + 40] & 1) == (data[payload + 42] & 1):
                    data[payload + 42] ^= 1
                    data[payload + 40] ^= 1
                    at += length
                    continue
                segment.write_bytes(data)
                return True
        at += length
    return False


@pytest.fixture
def small(scratch, require_program):
    return SmallSite(scratch)


def test_a_sound_recording_is_taken(small):
    small.checker.cycle(last=True)
    assert not small.checks.broken and small.checker.sessions == 40
    assert not small.instance.segments(), "it was checked, and not deleted"


def test_a_flipped_byte_is_found(small):
    """Even where both checksums still fit."""
    orderly = [one for one in small.instance.sessions() if one["close"] in ("client-fin", "server-fin")]
    session = max(orderly, key=lambda one: one["bytes"]["client"])
    assert any(flip(segment, session) for segment in small.instance.segments())
    small.checker.cycle(last=True)
    assert small.broken() & {checker.EQUAL, checker.SENT}
    assert checker.VERIFY not in small.broken(), "the checksums tell it: the test has not tested the comparison"


def test_a_lost_session_and_a_stranger_are_found(small):
    first, second = list(small.checker.pending.values())[:2]
    for one in (first, second):
        one.received = {"client": 1, "server": 1}
    small.checker.expected.clear()
    small.checker.pending = {id(first): first}
    small.checker.cycle(last=True)
    assert {checker.KNOWN, checker.RECORDED} <= small.broken()


def test_a_port_that_is_used_again_is_no_fault(scratch):
    """Two sessions of the same client's address, which the recording has in the other order: a clock was set back."""
    class Site:
        name, checks, instance = "alone", ledger.Checks(), None
    Site.scratch = scratch

    def expectation(words):
        return traffic.Expectation("trap", "127.0.0.1:9", 0, 1, True, False,
                                   {"client": gogetway.Stream.of_bytes(words), "server": None},
                                   {"client": None, "server": 0}, content={"client": words, "server": b""})

    def claimed(words, any_of_them=False):
        files = {"client": scratch / "said"}
        files["client"].write_bytes(words)
        session = gogetway.Session(listener="trap", client="127.0.0.1:9", bytes={"client": len(words), "server": 0},
                                   gaps={"client": 0, "server": 0})
        return alone.claim(session, b"", files, any_of_them)
    alone = checker.Checker(Site, {"trap"})
    first, second, third = (expectation(words) for words in (b"one", b"two", b"three"))
    for one in (first, second, third):
        alone.expect(one)
    assert claimed(b"three") is third and claimed(b"two") is second
    assert claimed(b"two") is None, "its own is still to be told"
    assert claimed(b"two", any_of_them=True) is first and not alone.pending and not alone.expected


def test_only_the_beginning_of_a_log_is_deleted(small):
    """A session that was checked may have its end in a segment that stays: what lies between stays, too."""
    def segment(number, log="w0-block"):
        path = small.scratch / f"20260101T00000{number}.000Z-{log}-00000{number}.pcapng"
        path.write_bytes(b"")
        return path
    files = [segment(number) for number in (1, 2, 3, 4)] + [segment(1, "w1-block"), segment(2, "w1-block")]

    def session(name, *numbers):
        return Session(id=name, segments=[files[number].name for number in numbers])

    class Session(dict):
        id = property(lambda self: self["id"])
    sessions = [session("done", 0, 1, 2, 3), session("open", 1, 3), session("other", 4), session("late", 5)]
    small.checker.checked = {"done": True, "other": True}
    small.checker.delete(checker.View(files, sessions, small.scratch))
    assert [path.exists() for path in files] == [False, True, True, True, False, True]


# ── Flat, or not ─────────────────────────────────────────────────────────────────────────────────────────────────────

def life(seconds, **leaks):
    """Samples as of a gateway in a soak (a heap that settles, values that come and go), and what leaks a second."""
    chance = random.Random(5)
    return [{"second": float(second), "generation": 1,
             "private": int((2 << 20) + 250_000 * math.log1p(second / 8) + chance.expovariate(1 / 40_000)
                            + (chance.randrange(8 << 20) if chance.random() < 0.05 else 0)
                            + leaks.get("private", 0) * second),
             "descriptors": 60 + chance.randrange(-3, 4) + (20 if chance.random() < 0.05 else 0)
             + int(leaks.get("descriptors", 0) * second),
             "threads": 9 + int(leaks.get("threads", 0) * second)} for second in range(seconds)]


def judged(samples):
    class Site:
        name = "alone"
        checks = ledger.Checks()
    watched = health.Health.__new__(health.Health)
    watched.site, watched.samples = Site, samples
    watched.judge(Site.checks)
    return {entry["check"] for entry in Site.checks.broken}


@pytest.mark.parametrize("minutes", (0.5, 3, 30, 24 * 60))
def test_what_comes_and_goes_is_flat(minutes):
    assert judged(life(int(60 * minutes))) == set()


# By second: at 120 sessions a second 720 are 6 bytes a session; and a descriptor every two minutes.
LEAKS = {"private": (720, 1800), "descriptors": (1 / 60, 1800), "threads": (1 / 1200, 1800)}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found(name):
    rate, seconds = LEAKS[name]
    assert judged(life(seconds, **{name: rate})) == {f"{name}: flat"}


def test_a_large_leak_is_found_soon():
    assert judged(life(30, private=1 << 20)) == {"private: flat"}


@pytest.mark.parametrize("share,waits", [(0.4, False), (0.6, True)])
def test_loads_wait_for_the_checks(share, waits):
    """Or the disk would be full without anybody having filled it."""
    class Site:
        stopping, lagged_seconds = threading.Event(), 0.0

        class disk:
            @staticmethod
            def share_used():
                return share
    assert setting.Site.checks_lag(Site) == waits and (Site.lagged_seconds > 0.4) == waits


def test_what_is_left_when_nothing_goes_on_is_found(scratch, monkeypatch):
    """Of a process: this one."""
    class Site:
        name, checks = "alone", ledger.Checks()

        class instance:
            current = processes
            stats = staticmethod(lambda: {"sessions_open": 0})
    monkeypatch.setattr(processes, "pid", os.getpid(), raising=False)
    monkeypatch.setattr(health, "IDLE_SECONDS", 1)
    watched = health.Health(Site)
    watched.note_idle()
    watched.judge_idle(Site.checks)
    assert not Site.checks.broken
    with open(scratch / "left", "w"):
        watched.judge_idle(Site.checks)
    assert len(Site.checks.broken) == 1 and "left" in Site.checks.broken[0]["text"]
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    watched.judge_idle(Site.checks)
    over.set()
    thread.join()
    assert "'threads': 1" in Site.checks.broken[1]["text"]
    Site.instance.stats = staticmethod(lambda: {"sessions_open": 1})
    watched.judge_idle(Site.checks)
    assert "sessions are open" in Site.checks.broken[2]["text"]


# ── What is left of it: nothing ──────────────────────────────────────────────────────────────────────────────────────

GUARDED = """
import os, pathlib, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
import guard
scratch = pathlib.Path(sys.argv[2])

def work():
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", scratch], check=False)
    (scratch / "file").write_text("x")
    orphan = "sleep 1000 & echo $! $PPID; exec >&-; wait"
    child = subprocess.Popen(["setsid", "sh", "-c", orphan], stdout=subprocess.PIPE, text=True)
    print(os.getpid(), *child.stdout.readline().split(), flush=True)
    time.sleep(1000)

sys.exit(guard.run(work, scratch.parent, False))
"""


def is_there(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("whom", ["soak", "guard"])
def test_nothing_is_left_of_who_was_killed(scratch, whom):
    """No process, not even one of another session whose parent is gone; no mount; no file."""
    place = scratch / "soak" / "place"
    place.mkdir(parents=True)
    (scratch / "guarded.py").write_text(GUARDED)
    guard = processes.Process([sys.executable, scratch / "guarded.py", SOAK, place], scratch, name="guard")
    processes.wait_until(lambda: guard.output().endswith("\n"), 20, "its children")
    pids = [int(word) for word in guard.output().split()]
    os.kill(guard.pid if whom == "guard" else pids[0], signal.SIGKILL)
    if whom == "soak":
        assert guard.wait(20) == 1 and not place.parent.exists()
        assert not any(is_there(pid) for pid in pids) and str(place) not in pathlib.Path("/proc/mounts").read_text()
    else:  # whose soak is told, and would end in order
        assert guard.wait(20) == -signal.SIGKILL
        processes.wait_until(lambda: not is_there(pids[0]), 20, "the soak's end")
        os.kill(pids[1], signal.SIGKILL)
        processes.run(["umount", "-l", place], check=False)
