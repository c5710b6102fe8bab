# SPDX-License-Identifier: Apache-2.0
"""The harness: a gateway under test, its sessions, and what its recording says, read back by our own reader.

    with Gateway(tmp_path / "rec", upstream="127.0.0.1:80", scratch=tmp_path) as gateway:
        ... connect to gateway.listen ...
        status, log = gateway.stop()
    for session in gateway.sessions(): ...
    payloads = gateway.payloads()           # id -> {"client": Stream, "server": Stream}

The independent readers are in recording.py. Environment: GOGETWAY is the program (default build/gogetway of this tree),
GOGETWAY_TEST_ALL=1 runs everything at full size.
"""
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket

import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIDES = ("client", "server")
TEST_ALL = os.environ.get("GOGETWAY_TEST_ALL", "0") not in ("", "0")


def program():
    """The program under test, as an absolute path."""
    if "GOGETWAY" in os.environ:
        return os.path.abspath(os.environ["GOGETWAY"])
    for candidate in (ROOT / "build/gogetway", ROOT / "build/cli/gogetway"):
        if candidate.is_file():
            return str(candidate)
    return str(ROOT / "build/gogetway")


def tool(name):
    """A helper of tests/tools, from the same build as the program."""
    places = [pathlib.Path(os.path.realpath(program())).parent, pathlib.Path(program()).parent, ROOT / "build"]
    for place in places:
        for folder in (place, place.parent):
            candidate = folder / "tests/tools" / name
            if candidate.is_file():
                return str(candidate)
    raise AssertionError(f"{name} is not built beside {program()} (it needs libssl-dev)")


@dataclasses.dataclass(frozen=True)
class Stream:
    """One direction of one session: how many bytes, and their SHA-256."""
    count: int
    sha256: str

    @classmethod
    def of_bytes(cls, data):
        return cls(len(data), hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path):
        hasher = hashlib.sha256()
        count = 0
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
                count += len(chunk)
        return cls(count, hasher.hexdigest())


EMPTY = Stream.of_bytes(b"")


class Session(dict):
    """A session as `gogetway sessions --json` tells it, with names for what tests ask most.

    Objects per direction have the members "client" and "server": session["bytes"]["client"].
    """

    @property
    def id(self):
        return self["id"]

    @property
    def client(self):
        return self["client"]

    @property
    def client_port(self):
        return int(self["client"].rsplit(":", 1)[1])

    @property
    def state(self):
        return self["state"]

    def received(self, side):
        """Bytes that the gateway received from `side`, by the closing record."""
        return self["received"][side]

    def forwarded(self, side):
        """Bytes of `side` that were sent on."""
        return self["forwarded"][side]


def tried_in(segment):
    """What Store.tried tells, of one segment."""
    comments = re.finditer(rb'"listener":"([^"]*)"[^\0]{0,2000}?"tried":(\[[^\]\0]*\])', segment.read_bytes())
    return [(comment[1].decode(), json.loads(comment[2])) for comment in comments]


class Store:
    """A directory of recordings, read by the program's own commands. Needs no running gateway."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def command(self, *words, seconds=120, check=True, **options):
        return processes.run([program(), *words, "--dir", self.directory], seconds, check, **options)

    def ask(self, command, **arguments):
        """A request over the control socket of the gateway that runs on it, as a program would send it."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(str(self.directory / "control"))
            peer.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            return json.loads(peer.makefile().readline())

    def segments(self):
        """The segment files, oldest first."""
        files = (self.directory / "segments").glob("*.pcapng")
        return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))

    def sessions(self, *filters):
        done = self.command("sessions", *filters, "--json")
        return [Session(json.loads(line)) for line in done.stdout.splitlines() if line.strip()]

    def tried(self):
        """(listener, [{"upstream": name, "close": reason}, ...]) of each session that an upstream was not to be had
        for, out of the segments' closing comments."""
        return [found for file in self.segments() for found in tried_in(file)]

    def export_raw(self, target, *filters):
        """Writes <id>.client and <id>.server of each session to the new directory `target`."""
        self.command("export", *filters, "--format", "raw", "-o", target, seconds=600)
        return pathlib.Path(target)

    def payload(self, session_id, side):
        """The bytes of one direction."""
        target = self.directory.parent / f"raw-{session_id}-{side}"
        try:
            return (self.export_raw(target, f"id={session_id}") / f"{session_id}.{side}").read_bytes()
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def payloads(self, *filters, keep=None):
        """id -> {"client": Stream, "server": Stream} by our reader. `keep`: a directory for the raw files."""
        target = pathlib.Path(keep) if keep else self.directory.parent / "raw-payloads"
        try:
            self.export_raw(target, *filters)
            found = {}
            for file in target.iterdir():
                session_id, side = file.name.rsplit(".", 1)
                found.setdefault(session_id, dict.fromkeys(SIDES, EMPTY))[side] = Stream.of_file(file)
            return found
        finally:
            if keep is None:
                shutil.rmtree(target, ignore_errors=True)

    def verify(self):
        """`gogetway verify` must find nothing wrong."""
        return self.command("verify", seconds=300)


class Gateway(Store):
    """`gogetway run`, one listener. As a context manager it is started, and ended on the way out.

    listen:   an address, or None for a free port of 127.0.0.1
    options:  more words for the command line
    scratch:  a directory for its output (default: the parent of `directory`)
    """

    def __init__(self, directory, upstream, listen=None, options=(), scratch=None, env=None):
        super().__init__(directory)
        self.listen = listen or processes.free_address()
        self.upstream = upstream
        self.options = [str(word) for word in options]
        self.scratch = pathlib.Path(scratch or self.directory.parent)
        self.env = env
        self.process = None
        self.starts = 0

    def start(self, wait=True, seconds=20):
        self.starts += 1
        command = [program(), "run", "--listen", self.listen, "--upstream", self.upstream, "--dir", self.directory,
                   *self.options]
        self.process = processes.Process(command, self.scratch, name=f"gogetway-{self.starts}", env=self.env)
        if wait:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=20):
        """Until it says {"event":"ready",...} on standard error."""
        def ready():
            if not self.process.running():
                raise AssertionError(f"gogetway ended with {self.process.popen.returncode}:\n{self.process.errors()}")
            return any(line.get("event") == "ready" for line in self.log())
        processes.wait_until(ready, seconds, "gogetway ready")
        assert processes.is_listening(self.listen), f"ready, but nothing listens at {self.listen}"

    def log(self):
        """The log so far: each whole line of standard error as the object that it must be."""
        whole = self.process.errors().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def stop(self, seconds=30, number=signal.SIGTERM):
        """Ends it by a signal; returns its exit status and what it wrote to standard error."""
        status = self.process.stop(seconds, number)
        return status, self.process.errors()

    def kill(self):
        """SIGKILL. Returns when the process is gone."""
        return self.process.kill()

    def stats(self):
        """`gogetway stats --json` of the running gateway."""
        return json.loads(self.command("stats", "--json").stdout)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def descriptors_open(self):
        """What they lead to, as /proc tells it."""
        directory = f"/proc/{self.process.pid}/fd"
        found = []
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):  # closed since they were listed
                found.append(os.readlink(f"{directory}/{name}"))
        return found

    def wait_sessions_closed(self, count, seconds=20):
        """Until the recording holds `count` sessions, all of them closed. (A flush takes up to a second.)"""
        def closed():
            sessions = self.sessions()
            return len(sessions) >= count and all(session.state == "closed" for session in sessions)
        processes.wait_until(closed, seconds, f"{count} closed sessions", interval=0.2)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if self.process and self.process.running():
            try:
                self.stop(10)
            except processes.DeadlineExceeded:
                self.kill()
        if self.process and kind is None:
            self.process.check_no_crash()
