# SPDX-License-Identifier: Apache-2.0
"""Whether memory, descriptors and threads of a process stay what they are, and readers that are at work all the time.

Flat is: a straight line through the samples after the warm-up grows, over the whole time, by no more than a bound.
Private memory is what is not shared (the rings are shared memory, and have a bound of their own). Descriptors are
counted without the pipes of the pool and without the two of each open session, of which the gateway tells the number
a moment later: hence its slack.
"""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import gogetway
import prometheus

MIB = 1 << 20
SAMPLE_SECONDS = 1.0
WARM_UP = 0.25            # of the time, ...
WARM_UP_SECONDS = 60      # ... but no more than this
BOUNDS = {"private": 8 * MIB, "descriptors": 32, "threads": 1}
UNITS = {"private": MIB, "resident": MIB, "descriptors": 1, "threads": 1}
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

    def growth(self):
        """Of the process that lived longest: name -> (growth over the time looked at, bound, seconds)."""
        lives = {}
        for entry in self.samples:
            lives.setdefault(entry["generation"], []).append(entry)
        longest = max(lives.values(), key=len, default=[])
        if len(longest) < 8:
            return {}
        begin, end = longest[0]["second"], longest[-1]["second"]
        warm = begin + min(WARM_UP_SECONDS, WARM_UP * (end - begin))
        rest = [entry for entry in longest if entry["second"] >= warm]
        found = {}
        for name, bound in BOUNDS.items():
            rise = slope([(entry["second"], entry[name]) for entry in rest]) * (end - warm)
            found[name] = (rise, bound, end - warm)
        return found

    def judge(self, checks):
        for name, (rise, bound, seconds) in self.growth().items():
            unit = UNITS[name]
            checks.judge(f"{name}: flat", [] if rise <= bound else [
                f"{self.site.name}: {name} grew by {rise / unit:.2f} in {seconds:.0f} s, the bound is "
                f"{bound / unit:.2f}"])


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
            tshark = subprocess.Popen(["tshark", "-n", "-r", "-", "-Q", "-Y", "_ws.malformed"], stdin=tail.stdout,
                                      stdout=subprocess.PIPE, stderr=file, env=dict(os.environ, **self.site.tshark))
            tail.stdout.close()
        self.site.stopping.wait(self.random.uniform(2, 8))
        if tail.poll() is None:
            tail.send_signal(signal.SIGTERM)
        try:
            shown = tshark.communicate(timeout=120)[0]
        except subprocess.TimeoutExpired:
            states = [_state_of(process.pid) for process in (tail, tshark)]
            for process in (tail, tshark):
                process.kill()
                process.wait()
            self.checks.judge(TAIL, [f"{self.site.name}: no end after a signal; tail {states[0]}, tshark {states[1]}"])
            return
        statuses = tail.wait(30), tshark.returncode
        said = [line for line in errors.read_text(errors="replace").splitlines()
                if line.strip() and not line.startswith("Running as user")]
        if statuses == (3, 0) and self.instance.windows.overlapping(began, time.monotonic(), kinds=("kill", "drain")):
            return  # the gateway was gone before it began
        problems = [] if statuses == (0, 0) and not shown and not said else [
            f"{self.site.name}: statuses {statuses}, malformed {shown[:300]!r}, said {said[:5]}"]
        self.checks.judge(TAIL, problems)
