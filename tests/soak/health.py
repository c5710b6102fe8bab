# SPDX-License-Identifier: Apache-2.0
"""Whether memory, descriptors and threads of a process stay what they are, and readers that are at work all the time.

Flat is, of the second half of the life of a process: the straight line through the lowest samples of each of some
stretches of time grows by no more than a bound. (What is taken and given back is not growth; what leaks raises the
lowest, too.) The bound of memory is so much a day, and some more for what a heap still settles in: all of it together
is a few bytes for each session of a soak of 30 minutes. Private memory is what is not shared (the rings are shared
memory, and have a bound of their own). Descriptors are counted without the pipes of the pool and without the two of
each open session, of which the gateway tells the number a moment later: hence its slack. Without any slack they are
counted when nothing goes on, at the beginning and at the end: then they must be the same, and so must threads.
"""
import collections
import contextlib
import os
import random
import select
import signal
import subprocess
import threading
import time

import gogetway
import processes
import prometheus

KIB, MIB = 1 << 10, 1 << 20
DAY_SECONDS = 24 * 3600
SAMPLE_SECONDS = 1.0
STRETCHES_MAX = 30        # of the second half, ...
STRETCH_SAMPLES = 5       # ... with so many in each at least
SETTLED_SECONDS = 60      # a process that is younger takes for the first time much of what it will have
PRIVATE_A_DAY = 16 * MIB
# By whether it had settled when the second half began.
SLACKS = {"private": {True: 256 * KIB, False: 4 * MIB}, "descriptors": {True: 10, False: 32},
          "threads": {True: 0.5, False: 0.5}}
IDLE_SECONDS = 30         # until the last session has ended, and nothing is left of it
UNITS = {"private": MIB, "resident": MIB, "descriptors": 1, "threads": 1}
IDLE = "descriptors and threads are what they were before, when nothing goes on"
TAIL_SECONDS = 15         # for the gateways that it asks, and the packet that its reader has begun with
TSHARK_SECONDS = 60       # to begin with, and for what is left in a pipe
READERS, TAIL = "readers of the store at work succeed", "tail | tshark reads what is being recorded"


def sample(generation, sessions_open):
    fields = {}
    with open(f"/proc/{generation.pid}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields[name] = value.split()
    pipes = others = 0
    directory = f"/proc/{generation.pid}/fd"
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{directory}/{name}").startswith("pipe:"):
                pipes += 1
            else:
                others += 1
    return {"generation": generation.number, "private": int(fields["RssAnon"][0]) * 1024,
            "resident": int(fields["VmRSS"][0]) * 1024, "threads": int(fields["Threads"][0]),
            "descriptors": others - 2 * sessions_open, "pipes": pipes, "sessions": sessions_open}


def slope(points):
    """Of the line of least squares, by second."""
    count = len(points)
    mean_x, mean_y = (sum(point[axis] for point in points) / count for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def lowest(points):
    """Of each stretch of time: when it was, and the lowest value."""
    begin, end = points[0][0], points[-1][0]
    count = max(2, min(STRETCHES_MAX, len(points) // STRETCH_SAMPLES))
    stretches = collections.defaultdict(list)
    for second, value in points:
        stretches[min(count - 1, int(count * (second - begin) / max(end - begin, 1e-9)))].append((second, value))
    return [(sum(second for second, _ in stretch) / len(stretch), min(value for _, value in stretch))
            for _, stretch in sorted(stretches.items())]


def bound_of(name, begin, seconds):
    slack = SLACKS[name][begin >= SETTLED_SECONDS]
    return slack + PRIVATE_A_DAY * seconds / DAY_SECONDS if name == "private" else slack


def idle_state(pid):
    """What a process has that does not come and go with its work: kind -> count. Segments are opened when something is
    recorded, pipes when something is spliced, the catalogue when the threads that keep it come to that: their numbers
    are bounded, the first two by what is configured."""
    found = collections.Counter()
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"{directory}/{name}")
            if not target.startswith("pipe:") and not target.endswith(".pcapng") and "/catalogue.db" not in target:
                found[target if target.startswith(("anon_inode:", "/dev/")) else target.partition(":[")[0]] += 1
    found["threads"] = len(os.listdir(f"/proc/{pid}/task"))
    return found


class Health:
    """Samples of a site's processes."""

    def __init__(self, site):
        self.site = site
        self.samples = []
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"{site.name}-health")

    def start(self):
        self.begun = time.monotonic()
        self.thread.start()

    def _run(self):
        while not self.site.over.wait(SAMPLE_SECONDS):
            with self.site.checks.no_exception("the harness itself works"):
                self.site.instance.look()
                metrics = None if self.site.stopping.is_set() else self.site.instance.stats()
                if metrics:
                    with contextlib.suppress(OSError):
                        found = sample(self.site.instance.current, metrics["sessions_open"])
                        self.samples.append(dict(found, second=time.monotonic() - self.begun))

    def note_idle(self):
        """Before the first session. What is open for a moment only, to check an upstream, is not counted."""
        self.idle = idle_state(self.site.instance.current.pid)
        for _ in range(20):
            self.idle &= idle_state(self.site.instance.current.pid)
            time.sleep(0.02)  # between two looks

    def judge_idle(self, checks):
        """After the last session of a process that was looked at before the first: exactly what it had then."""
        generation, found = self.site.instance.current, None

        def is_as_before():
            nonlocal found
            if (self.site.instance.stats() or {}).get("sessions_open", 1) > 0:
                found = "sessions are open"
                return False
            found = idle_state(generation.pid)
            return found == self.idle
        with contextlib.suppress(processes.DeadlineExceeded):
            processes.wait_until(is_as_before, IDLE_SECONDS, IDLE, interval=0.05)
            found = self.idle
        problems = [] if found == self.idle else [f"{self.site.name}: {found}"] if isinstance(found, str) else [
            f"{self.site.name}: more {dict(found - self.idle)}, less {dict(self.idle - found)}"]
        checks.judge(IDLE, problems)

    def growth(self):
        """Of the process that lived longest: name -> (growth in the time looked at, bound, seconds)."""
        lives = {}
        for entry in self.samples:
            lives.setdefault(entry["generation"], []).append(entry)
        longest = max(lives.values(), key=len, default=[])
        if len(longest) < 8:
            return {}
        begin, end = longest[0]["second"], longest[-1]["second"]
        half = (begin + end) / 2
        rest = [entry for entry in longest if entry["second"] >= half]
        found = {}
        for name in SLACKS:
            rise = slope(lowest([(entry["second"], entry[name]) for entry in rest])) * (end - half)
            found[name] = (rise, bound_of(name, half - begin, end - half), end - half)
        return found

    def judge(self, checks):
        for name, (rise, bound, seconds) in self.growth().items():
            unit = UNITS[name]
            checks.judge(f"{name}: flat", [] if rise <= bound else [
                f"{self.site.name}: {name} grew by {rise / unit:.2f} in {seconds:.0f} s, the bound is "
                f"{bound / unit:.2f}; in a day that were {rise / unit * DAY_SECONDS / seconds:.1f}"])


def _state_of(pid):
    """What a process that should have ended does: its state, where it waits, what it read and wrote."""
    texts = []
    for name in ("status", "wchan", "io", "stat"):
        try:
            with open(f"/proc/{pid}/{name}", errors="replace") as file:
                text = file.read()
        except OSError as error:
            text = str(error)
        if name == "status":
            text = next((line for line in text.splitlines() if line.startswith("State")), "")
        texts.append(f"{name} {' '.join(text.split())[:300]}")
    return "; ".join(texts)


class Readers:
    """Our commands and tshark, on a store that is being written."""

    def __init__(self, site):
        self.site, self.checks, self.instance = site, site.checks, site.instance
        self.random = random.Random(f"{site.seed} readers")
        self.threads = [threading.Thread(target=self._run, args=(work, pause), daemon=True)
                        for work, pause in ((self.read, 2.0), (self.tail, 4.0))]

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self, seconds):
        for thread in self.threads:
            thread.join(seconds)

    def _run(self, work, pause):
        while not self.site.stopping.wait(self.random.uniform(0, 2 * pause)):
            if self.instance.up.wait(0.2):
                with self.checks.no_exception("the harness itself works"):
                    work()

    def read(self):
        kind = self.random.choice(["sessions", "show", "export", "verify", "stats", "prometheus"])
        name = f"{READERS}: {kind}"
        began = time.monotonic()
        with self.site.checker.gate:
            try:
                self.one(kind)
            except AssertionError as error:
                live = kind in ("stats", "prometheus")  # they ask a process, which may be gone
                gone = live and self.instance.windows.overlapping(began, time.monotonic(),
                                                                  kinds=("kill", "drain", "takeover"))
                self.checks.judge(name, [] if gone else [f"{self.site.name}: {str(error)[:1500]}"])
            else:
                self.checks.judge(name, [])

    def one(self, kind):
        if kind == "sessions":
            self.instance.sessions()
        elif kind == "show":
            sessions = self.instance.sessions("bytes=1..100k")
            for session in self.random.sample(sessions, min(3, len(sessions))):
                self.instance.command("show", session.id, "--as", self.random.choice(["text", "hex", "json"]))
        elif kind == "export":
            self.instance.command("export", "bytes=1..10k", "--format", self.random.choice(["pcapng", "pcap"]), "-o",
                                  self.site.scratch / f"export-{self.site.name}", "--force")
        elif kind == "verify":
            self.instance.command("verify")
        elif kind == "stats":
            self.instance.command("stats", "--json")
        else:
            prometheus.parse(self.instance.command("stats", "--format", "prometheus").stdout.decode(), still=False)

    def tail(self):
        """For some seconds; it also ends when the gateway does."""
        began = time.monotonic()
        errors = self.site.scratch / f"tail-{self.site.name}.stderr"
        with open(errors, "wb") as file:
            tail = subprocess.Popen([gogetway.program(), "tail", "--dir", str(self.instance.directory)],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file)
            words = ["-Y", "frame.number == 1 || _ws.malformed", "-T", "fields", "-e", "frame.number"]
            tshark = subprocess.Popen(["tshark", "-n", "-l", "-r", "-", "-Q", *words], stdin=tail.stdout, bufsize=0,
                                      stdout=subprocess.PIPE, stderr=file, env=dict(os.environ, **self.site.tshark))
            tail.stdout.close()
        # Before it has begun to read, which takes seconds on a busy machine, it is no reader.
        select.select([tshark.stdout], [], [], TSHARK_SECONDS)
        self.site.stopping.wait(self.random.uniform(2, 8))
        if tail.poll() is None:
            tail.send_signal(signal.SIGTERM)
        try:  # first the one, however slow the other is; what that has to read then is no more than a pipe holds
            tail.wait(TAIL_SECONDS)
            shown = tshark.communicate(timeout=TSHARK_SECONDS)[0]
        except subprocess.TimeoutExpired:
            states = [_state_of(process.pid) for process in (tail, tshark)]
            for process in (tail, tshark):
                process.kill()
                process.wait()
            self.checks.judge(TAIL, [f"{self.site.name}: no end after a signal; tail {states[0]}, tshark {states[1]}"])
            return
        statuses = tail.returncode, tshark.returncode
        said = [line for line in errors.read_text(errors="replace").splitlines()
                if line.strip() and not line.startswith("Running as user")]
        if statuses == (3, 0) and self.instance.windows.overlapping(began, time.monotonic(), kinds=("kill", "drain")):
            return  # the gateway was gone before it began
        problems = [] if statuses == (0, 0) and shown in (b"", b"1\n") and not said else [
            f"{self.site.name}: statuses {statuses}, malformed frames {shown[:300]!r}, said {said[:5]}"]
        self.checks.judge(TAIL, problems)
