# SPDX-License-Identifier: Apache-2.0
"""What is done to a gateway: the plan, drawn by a seed before anything runs, and the doing.

Each site has two tracks that run beside each other, so that a process may be killed while its disk is full: what
happens to the process, and what happens to the world around it. A track does one thing at a time.
"""
import contextlib
import dataclasses
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

import faults
import members
import overlap
import processes

MIB = 1 << 20
DRAIN_SECONDS = overlap.DRAIN_SECONDS
EXIT = overlap.EXIT
ROTATED, RELOADED = "rotate is done when it is asked for", "a reload takes a good file, and refuses a broken one"
REMOVED = "a listener is gone when a reload removed it, and back when one added it"
DRAINED = "an upstream is drained until it is resumed, over a takeover too"
POLICIES = (("block", "block"), ("gap", "gap"), ("close", "close"), ("block", "gap"))
RECOVERED = "a start after a kill recovers, and leaves no rings of the dead"


@dataclasses.dataclass
class Event:
    at: float
    site: str
    track: str
    kind: str
    seed: int
    begun: float = None
    seconds: float = None

    def row(self):
        return {name: round(value, 2) if isinstance(value, float) else value
                for name, value in dataclasses.asdict(self).items()}


def plan(seed, seconds, decks):
    """`decks`: (site, track) -> kinds, the frequent ones more than once. Every deck is dealt to its end before it is
    shuffled again, so that nothing is left out for long."""
    events = []
    gap = min(12.0, max(2.0, seconds / 8))
    for (site, track), kinds in sorted(decks.items()):
        chance = random.Random(f"{seed} {site} {track}")
        at, left = gap * chance.uniform(0.6, 1.0), []
        while kinds and at < seconds - gap / 2:
            if not left:
                left = list(kinds)
                chance.shuffle(left)
            events.append(Event(round(at, 2), site, track, left.pop(), chance.getrandbits(32)))
            at += gap * chance.uniform(0.4, 1.6)
    return sorted(events, key=lambda event: event.at)


# ── The world ────────────────────────────────────────────────────────────────────────────────────────────────────────

class Clock:
    """The wall clock of the processes that have tests/tools/preload_clock."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)

    def step(self, seconds):
        ahead, = struct.unpack("<q", self.map[:8])
        self.map[:8] = struct.pack("<q", ahead + int(seconds * 1e9))


class Disk:
    """A small file system of its own, ext4 in a file, that can be filled and frozen."""

    def __init__(self, image, place, size):
        self.image, self.place = image, place
        self.lock = threading.Lock()  # of who fills it
        self.ballast = place / "ballast"
        with open(image, "wb") as file:
            file.truncate(size)
        processes.run(["mkfs.ext4", "-q", "-F", "-m", "0", image])
        place.mkdir()
        processes.run(["mount", "-o", "loop", image, place])

    def fill(self, leave):
        with open(self.ballast, "wb") as file:
            while True:
                status = os.statvfs(self.place)
                room = status.f_bavail * status.f_frsize - leave
                if room <= 0:
                    return
                with contextlib.suppress(OSError):  # the gateway was quicker: less is left
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, room)

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def share_used(self):
        """Of its size, the ballast left out."""
        status = os.statvfs(self.place)
        ballast = 0
        with contextlib.suppress(FileNotFoundError):
            ballast = self.ballast.stat().st_blocks * 512
        return 1 - (status.f_bfree * status.f_frsize + ballast) / (status.f_blocks * status.f_frsize)

    def freeze(self, seconds):
        processes.run(["fsfreeze", "-f", self.place])
        try:
            time.sleep(seconds)  # the length of the disturbance
        finally:
            processes.run(["fsfreeze", "-u", self.place])

    def close(self):
        self.free()
        subprocess.run(["umount", "-l", self.place], check=False)
        self.image.unlink()


class Echo:
    """An echo in a process, which can be stopped, made to hang, and started again."""

    def __init__(self, scratch, name):
        self.scratch, self.name = scratch, name
        self.address = processes.address("127.0.0.1", members.quiet_port())
        self.process = None
        self.start()

    def start(self):
        self.process = processes.Process([sys.executable, faults.__file__, self.address], self.scratch, name=self.name)
        self.process.wait_listening(self.address)

    def stop(self):
        self.process.kill()


# ── The doing ────────────────────────────────────────────────────────────────────────────────────────────────────────

class Events(overlap.Overlaps):
    """Carries the plan out on one site."""

    def __init__(self, site, events):
        self.site, self.instance, self.checks = site, site.instance, site.checks
        self.windows = site.instance.windows
        self.events = events
        self.threads = [threading.Thread(target=self._run, args=(track,), daemon=True, name=f"{site.name}-{track}")
                        for track in ("process", "world")]
        self.begun = None

    def start(self):
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()

    def join(self, seconds):
        for thread in self.threads:
            thread.join(seconds)

    def _run(self, track):
        for event in self.events:
            if event.track != track:
                continue
            if self.site.stopping.wait(max(0.0, self.begun + event.at - time.monotonic())):
                return
            began = time.monotonic()
            with self.checks.no_exception(f"event {event.kind}"):
                getattr(self, event.kind.replace("-", "_"))(random.Random(event.seed))
            event.begun, event.seconds = began - self.begun, time.monotonic() - began

    def pause(self, seconds):
        """The length of a disturbance, drawn from the seed; cut short when the soak ends."""
        self.site.stopping.wait(seconds)

    def start_again(self, chance):
        """A start that must succeed, unless the disk has no room for what has to be recovered."""
        for _ in range(60):
            try:
                self.instance.start()
                return
            except AssertionError:
                generation = self.instance.current
                generation.process.wait(5)
                self.instance.end(generation, "kill")
                full = self.windows.overlapping(generation.begun, time.monotonic(), kinds=("disk-full",))
                if not full:
                    raise
            time.sleep(chance.uniform(0.3, 0.7))  # between two tries, as a service manager waits
        raise AssertionError("no start succeeded")

    # ── Of the process ───────────────────────────────────────────────────────────────────────────────────────────

    def kill(self, chance):
        with self.instance.lock, self.windows.during("kill", after=0.2):
            self.instance.kill()
            self.pause(chance.uniform(0, 0.5))
            self.start_again(chance)
        self.check_rings()

    def kill_in_recovery(self, chance):
        """Killed, and the next one while it recovers, twice."""
        with self.instance.lock, self.windows.during("kill", after=0.2):
            self.instance.kill()
            for _ in range(2):
                self.instance.start(wait=False)
                faults.sleep_to_a_random_moment(chance, 0.03)
                self.instance.kill()
            self.start_again(chance)
        self.check_rings()

    def kill_in_drain(self, chance):
        with self.instance.lock, self.windows.during("kill", after=0.2):
            self.instance.current.process.popen.terminate()
            faults.sleep_to_a_random_moment(chance, 1.0)
            self.instance.kill()
            self.start_again(chance)

    def drain(self, chance):
        window = self.windows.open("drain", deadline=time.monotonic() + DRAIN_SECONDS)
        self.end_and_start(chance, window, 1)

    def end_at_once(self, chance):
        """A second SIGTERM: sessions are cut, and recorded as that."""
        self.end_and_start(chance, self.windows.open("kill"), 2)

    def end_and_start(self, chance, window, signals):
        with self.instance.lock:
            began = time.monotonic()
            status = self.instance.drain(DRAIN_SECONDS + 30, signals)
            full = self.windows.overlapping(began - 15, time.monotonic(), kinds=("disk-full", "disk-hang", "disk-slow"))
            seconds = time.monotonic() - began
            problems = []
            if status != 0 and not (full and status == 3):
                problems.append(f"{self.site.name}: status {status}\n{self.instance.process.errors()[-1500:]}")
            if seconds > (DRAIN_SECONDS if signals == 1 else 0) + 3 and not full:
                problems.append(f"{self.site.name}: it took {seconds:.1f} s to end")
            self.checks.judge(EXIT, problems)
            self.start_again(chance)
            window.end = time.monotonic() + 0.2

    def rotate(self, _):
        """All segments end, and nothing else does."""
        done = self.instance.command("rotate", check=False)
        down = not self.instance.up.is_set()
        self.checks.judge(ROTATED, [] if done.returncode == 0 or down else [
            f"{self.site.name}: status {done.returncode}: {processes.as_text(done.stderr)}"])

    def reload(self, chance):
        """A listener comes, serves and goes, or limits change, or the file is broken: and no client notices."""
        with self.instance.lock, self.windows.during("reload"):
            kind = chance.choice(["listener", "limits", "broken"])
            try:
                if kind == "broken":
                    self.instance.write_config(sessions_max="a few")
                    self.ask_to_reload(False)
                elif kind == "limits":
                    self.instance.write_config(sessions_max=chance.randrange(20000, 40000),
                                               message={"level": chance.choice(["info", "debug"])})
                    self.ask_to_reload(True)
                else:
                    self.a_guest_listener()
            finally:
                self.instance.write_config()
            self.ask_to_reload(True)

    def a_guest_listener(self):
        where = processes.address("127.0.0.1", members.quiet_port())
        self.instance.write_config(self.instance.listeners + [
            {"name": "guest", "listen": where, "upstream": "none", "greeting": "hello"}])
        self.ask_to_reload(True)
        with faults.connect(where) as sock:
            self.checks.judge(RELOADED, [] if faults.read_exactly(sock, 5) == b"hello" else
                              [f"{self.site.name}: the new listener greets otherwise"])

    def policies(self, chance):
        """A busy listener has other policies for a while: sessions of before keep theirs."""
        listener = chance.choice(["plain", "gap", "shut", "local"])
        pair = chance.choice(POLICIES)
        changed = [dict(one, on_stall=pair[0], on_full=pair[1]) if one["name"] == listener else one
                   for one in self.instance.listeners]
        with self.windows.during("policies", detail=(listener, pair)):
            self.reload_for_a_while(changed, chance)

    def listener_away(self, chance):
        """A busy listener is removed: who came before is served to the end; and it is added again."""
        name = chance.choice([one["name"] for one in self.instance.listeners])
        others = [one for one in self.instance.listeners if one["name"] != name]
        where = self.instance.listen(name)
        with self.windows.during("reload-remove", name, after=0.3):
            self.reload_for_a_while(others, chance, lambda: processes.wait_until(
                lambda: not processes.is_listening(where), 10, f"{name} removed"))
            self.checks.judge(REMOVED, [] if processes.is_listening(where) else [f"{self.site.name}: {name}"])

    def reload_for_a_while(self, listeners, chance, check=lambda: None):
        try:
            self.instance.write_config(listeners)
            self.ask_to_reload(True)
            with self.checks.no_exception(REMOVED):
                check()
            self.pause(chance.uniform(0.5, 4))
        finally:
            self.instance.write_config()
            self.ask_to_reload(True)

    def upstream_drain(self, chance):
        """One of a list gets no new session, whatever is reloaded, and whoever takes over."""
        member = chance.choice(self.site.draining)
        window = None
        try:
            self.upstreams("drain", member.name)
            window = self.windows.open("upstream-drained", detail=member.name)
            self.pause(chance.uniform(0.5, 3))
            if self.site.name == "restless" and chance.random() < 0.5:
                self.takeover(chance)
            else:
                self.reload(chance)
            self.judge_drained([member.name])
            self.pause(chance.uniform(0, 1))
        finally:
            if window:
                window.end = time.monotonic()
            self.upstreams("resume", member.name)
        self.judge_drained([])

    def upstreams(self, *words):
        done = self.instance.command("upstreams", *words, check=False)
        self.checks.judge(DRAINED, [] if done.returncode == 0 else [
            f"{self.site.name}: {words}: status {done.returncode}: {processes.as_text(done.stderr)}"])

    def judge_drained(self, names):
        listed = map(json.loads, self.instance.command("upstreams", "--json").stdout.splitlines())
        found = sorted((entry["listener"], entry["name"]) for entry in listed if entry["state"] == "drained")
        wanted = sorted((listener, name) for listener in ("pool", "hashed") for name in names)
        self.checks.judge(DRAINED, [] if found == wanted else [f"{self.site.name}: {found}, not {wanted}"])

    def ask_to_reload(self, good):
        done = self.instance.command("reload", check=False)
        self.checks.judge(RELOADED, [] if (done.returncode == 0) == good else [
            f"{self.site.name}: a {'good' if good else 'broken'} file: status {done.returncode}: "
            f"{processes.as_text(done.stdout + done.stderr)[-1000:]}"])

    def check_rings(self):
        """A ring that a dead process had is gone when its successor is ready."""
        lines = [line for line in self.instance.messages(self.instance.current) if line["event"] == "recovered"]
        refused = [line for line in lines if line["rings_refused"] or line["rings_missing"]]
        self.checks.judge(RECOVERED, [f"{self.site.name}: {line}" for line in refused])

    # ── Of the world ─────────────────────────────────────────────────────────────────────────────────────────────

    def disk_full(self, chance):
        with self.full_disk(chance):
            self.pause(chance.uniform(0.5, 4))

    @contextlib.contextmanager
    def full_disk(self, chance):
        disk = self.site.disk
        with disk.lock, self.site.checker.hold, self.windows.during("disk-full", after=3.0):
            disk.fill(int(chance.uniform(0, 2 * MIB)))
            try:
                with contextlib.suppress(processes.DeadlineExceeded):
                    processes.wait_until(lambda: (self.instance.stats() or {}).get("log_disk_full") or
                                         self.site.stopping.is_set(), 8, "a full disk", interval=0.1)
                yield
            finally:
                disk.free()
            with contextlib.suppress(processes.DeadlineExceeded):
                processes.wait_until(lambda: not (self.instance.stats() or {}).get("log_disk_full"), 15, "room",
                                     interval=0.1)

    def disk_hang(self, chance):
        with self.windows.during("disk-hang", after=3.0):
            self.site.disk.freeze(chance.uniform(0.3, 2.5))

    def disk_slow(self, chance):
        """strace makes every write wait."""
        with self.windows.during("disk-slow", after=3.0):
            with contextlib.suppress(pytest.skip.Exception):  # the process was just not there to be attached to
                with self.site.slow_disk(self.instance, chance.randrange(20, 200)):
                    self.pause(chance.uniform(2, 6))

    def upstream_down(self, chance):
        with self.windows.during("upstream-down", "echo", after=1.0):
            self.site.echo.stop()
            self.pause(chance.uniform(0.5, 4))
            self.site.echo.start()

    def upstream_hang(self, chance):
        with self.windows.during("upstream-hang", "echo", after=1.0):
            self.site.echo.process.popen.send_signal(signal.SIGSTOP)
            try:
                self.pause(chance.uniform(0.5, 4))
            finally:
                self.site.echo.process.popen.send_signal(signal.SIGCONT)

    def flap(self, chance):
        """One of a list, or two of four, refuse or do not answer; nobody may see it."""
        away = chance.choice([self.site.flapping, self.site.flapping[:1], self.site.flapping[1:]])
        with self.windows.during("flap", after=1.0):
            try:
                for member in away:
                    chance.choice([member.hang, member.refuse])()
                self.pause(chance.uniform(1, 8))
            finally:
                for member in away:
                    member.serve()

    def clock_step(self, chance):
        with self.windows.during("clock-step", after=15.0):
            size = 10 ** chance.uniform(-1, 3.6)
            self.site.clock.step(size if chance.random() < 0.5 else -size)
