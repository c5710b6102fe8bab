# SPDX-License-Identifier: Apache-2.0
"""One gateway under soak: its configuration, and the processes ("generations") that run it one after the other, or,
while one takes over from another, two at a time.

Which generation recorded a session is learned from the names of its segments: the logs of processes that are at work
side by side have different names (src/record/process.c), and of those that follow one another with the same number each
begins when the segments of the earlier are there. (What a process has open tells less: a segment may be begun and over
between two looks, and who recovers has segments of the dead open.)
"""
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time

import gogetway
import ledger
import processes

# The group is the process' number, if it is not 1.
SEGMENT_NAME = re.compile(r"[0-9TZ.]+-w\d+-([a-z]+)(?:-([a-z]+))?(?:-(\d+))?-\d+\.pcapng")
LOG_SLACK = 20.0      # seconds between what causes a message and its being read

# A warning or an error: the disturbances that explain it. () is always fine.
EXPECTED_MESSAGES = {
    "the disk will be full": (),  # the soak is on small ones
    "wall clock was set; the recording keeps its time until the next segment": ("clock-step",),
    "the log cannot grow; traffic is held back when it is full": ("disk-full", "disk-slow", "disk-hang"),
    "bytes pass without being recorded": ("disk-full", "disk-slow", "disk-hang"),
    "recording again": ("disk-full", "disk-slow", "disk-hang"),
    "recording cannot be written, trying again": ("disk-full",),
    "cannot write the store's `running` file, trying again": ("disk-full",),
    "upstream cannot be had": ("upstream-down", "upstream-hang", "kill", "drain", "reload-remove", "takeover"),
    "upstream is out": ("upstream-down", "upstream-hang", "kill", "drain", "reload-remove", "flap"),
    "session closed by the gateway": ("disk-full", "disk-slow", "disk-hang", "drain", "takeover", "reload-remove",
                                      "upstream-hang", "kill"),
    "ended with a failure": ("disk-full", "disk-hang"),
    "not taken over": ("taker-killed",),
    "what an earlier process left is not written": ("disk-full",),
    "the file system refuses direct writes, using the page cache": (),
    "runs as root": (),
    "configuration refused": ("reload",),
    "not reloaded": ("reload",),
}


def log_of(segment):
    """w0-block of 20261122T123759.123Z-w0-block-000001.pcapng: names sort in the order in which segments begin."""
    return segment.split("-", 1)[1].rsplit("-", 1)[0]


def policies_of(segment):
    """("gap", "close"): of the log that it belongs to, on_stall and on_full."""
    found = SEGMENT_NAME.fullmatch(segment)
    return found.group(1), found.group(2) or found.group(1)


def control(directory, command, **arguments):
    """One request to the gateway's control socket, without a process; None if nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(directory / "control"))
            sock.sendall(json.dumps(dict(arguments, command=command)).encode() + b"\n")
            reply = b""
            while not reply.endswith(b"\n"):
                piece = sock.recv(1 << 16)
                if not piece:
                    return None
                reply += piece
            return json.loads(reply)
    except (OSError, ValueError):
        return None


class Generation:
    """One process."""

    def __init__(self, number, process, prefix, before, took_over=False, in_store=1):
        self.number, self.process = number, process
        self.in_store = in_store  # the number that the names of its logs have
        self.before, self.took_over = before, took_over  # segments that were there when it was started
        self.stats_file, self.metrics_file = prefix.with_suffix(".json"), prefix.with_suffix(".prom")
        self.begun = time.monotonic()
        self.ended = None       # how: kill, drain, stop
        self.ended_at = None
        self.status = None
        self.log_read = 0       # bytes
        self.facts = []         # of its sessions that were checked
        self.tried = []         # of those for which an upstream was not to be had: gogetway.Store.tried
        self.judged = False     # its metrics were held against them

    @property
    def pid(self):
        return self.process.pid

    def open_segments(self):
        """Those that it writes now. Its catalogue and its decoding thread read others that are complete, perhaps one of
        a log whose next is not open: that one would be checked without the beginnings that are in this."""
        found = set()
        with contextlib.suppress(OSError):  # it has just ended
            for name in os.listdir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(FileNotFoundError):  # closed since they were listed
                    target = os.readlink(f"/proc/{self.pid}/fd/{name}")
                    if target.endswith(".pcapng") and self._writes(name):
                        found.add(os.path.basename(target))
        return found

    def _writes(self, descriptor):
        with open(f"/proc/{self.pid}/fdinfo/{descriptor}") as file:
            flags = next(line for line in file if line.startswith("flags:"))
        return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY


class Instance(gogetway.Store):
    """A store, and whoever runs on it. The lock is held while processes begin and end."""

    def __init__(self, name, directory, scratch, listeners, settings, checks, clock=None):
        super().__init__(directory)
        self.name, self.scratch, self.checks = name, scratch, checks
        self.listeners, self.settings = listeners, settings
        self.clock = clock
        self.windows = ledger.Windows()
        self.windows_of_others = []  # of gateways that this one connects to, or that share its host's disk
        self.config = scratch / f"{name}.yaml"
        self.generations = []
        self.numbers = ledger.Numbers()
        self.lock = threading.RLock()
        self.up = threading.Event()
        self.over = False       # it has ended for good: all segments are complete
        self.write_config()

    def listen(self, name):
        return next(listener["listen"] for listener in self.listeners if listener["name"] == name)

    def write_config(self, listeners=None, **settings):
        """JSON is YAML."""
        text = json.dumps(dict(self.settings, **settings, listeners=listeners or self.listeners), indent=1)
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.config)

    @property
    def current(self):
        return self.generations[-1]

    @property
    def process(self):
        """As a gogetway.Gateway has it, for the functions of other modules."""
        return self.current.process

    def begin(self, words=(), took_over=False):
        """A process that is not one of the store's yet: one that takes over may never be."""
        number = self.numbers.next()
        prefix = self.scratch / f"{self.name}-{number}"
        environment = {}
        if self.clock:
            environment = {"LD_PRELOAD": gogetway.tool("preload_clock.so"), "PRELOAD_CLOCK": str(self.clock.path)}
        command = [gogetway.program(), "run", "-c", self.config, "--dir", self.directory, "--stats",
                   prefix.with_suffix(".json"), "--metrics-file", prefix.with_suffix(".prom"), *words]
        before = {file.name for file in (self.directory / "segments").glob("*.pcapng")}
        process = processes.Process(command, self.scratch, name=prefix.name, env=environment)
        return Generation(number, process, prefix, before, took_over)

    def start(self, wait=True, words=(), seconds=30, took_over=False):
        self.generations.append(self.begin(words, took_over))
        if wait:
            self.wait_ready(seconds)
        return self.current

    def messages(self, generation):
        whole = generation.process.errors().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def wait_ready(self, seconds=30):
        generation = self.current

        def ready():
            if not generation.process.running():
                raise AssertionError(f"{self.name}: the gateway ended with {generation.process.popen.returncode} when "
                                     f"it was started:\n{generation.process.errors()[-2000:]}")
            return any(line["event"] == "ready" for line in self.messages(generation))
        processes.wait_until(ready, seconds, f"{self.name}: gogetway ready")
        generation.in_store = processes.wait_until(
            lambda: self.numbers_in_store().get(generation.pid), 5,
            f"{self.name}: a running file of process {generation.number}", interval=0.05)
        if not generation.took_over:  # what it recovered, perhaps into segments of their own, is not its either
            names = {file.name for file in (self.directory / "segments").glob("*.pcapng")}
            generation.before |= names - generation.open_segments() - self.running_segments()
        self.up.set()

    def running_segments(self):
        """What the stores' `running` files name: begun, and not known to be complete."""
        found = set()
        for path in self.directory.glob("running*"):
            with contextlib.suppress(OSError):  # replaced since
                found |= {line.split()[2] for line in path.read_text().splitlines() if line.startswith("segment ")}
        return found

    def numbers_in_store(self):
        """Process id -> the number that its logs have, by the `running` files. One that is renamed into place just now
        may not be listed."""
        found = {}
        for path in self.directory.glob("running*"):
            with contextlib.suppress(OSError):  # replaced since
                pid = re.search(r"^pid (\d+)$", path.read_text(), re.MULTILINE)
                if pid and path.suffix != ".new":
                    found[int(pid.group(1))] = int(path.suffix[1:] or 1)
        return found

    def end(self, generation, how):
        """After its process has ended."""
        generation.status = generation.process.popen.returncode
        generation.ended_at = time.monotonic()
        generation.ended = how

    def kill(self):
        self.up.clear()
        generation = self.current
        generation.process.kill()
        self.end(generation, "kill")

    def drain(self, seconds, signals=1):
        """SIGTERM, `signals` times; returns the exit status."""
        self.up.clear()
        generation = self.current
        for _ in range(signals):
            generation.process.popen.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        generation.process.wait(seconds)
        self.end(generation, "drain")
        return generation.status

    def alive(self):
        return [generation for generation in self.generations if generation.ended is None]

    def ask(self, command):
        return control(self.directory, command)

    def stats(self):
        reply = self.ask("stats")
        return reply["metrics"] if reply and "metrics" in reply else None

    def look(self):
        """Once a second or so: what the processes say."""
        for generation in self.generations[-6:]:
            self.read_messages(generation)

    def read_messages(self, generation):
        with open(generation.process.err_path, "rb") as file:
            file.seek(generation.log_read)
            whole = file.read().rpartition(b"\n")[0]
        generation.log_read += len(whole)
        now = time.monotonic()
        for line in (json.loads(text) for text in whole.splitlines() if text.startswith(b"{")):
            if line["level"] not in ("warning", "error"):
                continue
            kinds = EXPECTED_MESSAGES.get(line["event"])
            fine = kinds == () or (kinds and any(windows.overlapping(now - LOG_SLACK, now, kinds=kinds)
                                                 for windows in (self.windows, *self.windows_of_others)))
            self.checks.judge("messages are explained by what was done", [] if fine else
                              [f"{self.name}, process {generation.number}: {json.dumps(line)[:600]}"])

    def owner(self, segment):
        """The process that wrote a segment, or None while that is not known."""
        in_store = int(SEGMENT_NAME.fullmatch(segment).group(3) or 1)
        same = [generation for generation in self.generations if generation.in_store == in_store]
        for generation, later in zip(same, same[1:] + [None]):
            if segment not in generation.before and (later is None or segment in later.before):
                return generation
        return None

    def generation_of(self, session):
        return self.owner(session["segments"][-1])
