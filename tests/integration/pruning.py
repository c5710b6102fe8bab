# SPDX-License-Identifier: Apache-2.0
"""What the tests of retention share: stores with many small segments, and what is in them."""
import collections
import contextlib
import json
import os
import random
import threading
import time

import pytest

import faults
import live
import processes
from gogetway import Gateway, Store

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20241101"))
KIB, MIB = 1 << 10, 1 << 20
SMALL = ["--workers", "1", "--segment-max-bytes", "64KiB", "--log-ring", "256KiB", "--log-max", "4MiB",
         "--log-flush-interval", "10ms"]


def block_of(number, size=24 * KIB):
    return random.Random(SEED + number).randbytes(size)


def prune(store, *words, check=True, seconds=60):
    """(exit status, the segments that it told of, its summary)."""
    done = store.command("prune", *words, "--json", check=False, seconds=seconds)
    assert not check or done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    summary = lines.pop() if lines and lines[-1].get("summary") else None
    return done.returncode, lines, summary


def said(store, *words, status):
    """The one line that it says on standard error."""
    done = store.command("prune", *words, check=False)
    assert done.returncode == status, done.stderr
    line, = done.stderr.decode().splitlines()
    assert line.startswith("gogetway: ")
    return line


def folder(store):
    sizes = {}
    for file in (store.directory / "segments").glob("*.pcapng"):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            sizes[file.name] = file.stat().st_size
    return sizes


def snapshot(store):
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns, file.read_bytes())
            for file in sorted(store.directory.rglob("*")) if file.is_file()}


def facts(session):
    """All that is told of a session but for where it is."""
    return {key: value for key, value in session.items() if key not in ("segments", "generation", "held", "state")}


def check_once(store):
    """Nobody is listed twice. Returns the sessions by id."""
    sessions = store.sessions()
    twice = [key for key, count in collections.Counter(session.id for session in sessions).items() if count > 1]
    assert not twice
    return {session.id: session for session in sessions}


@pytest.fixture
def recorded(scratch, server):
    """A store that nobody writes any more: 40 sessions of 48 KiB in segments of 64 KiB, and one through all of them."""
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        with faults.connect(gateway.listen) as through:
            for number in range(40):
                live.exchange(through, b"%06d" % number)
                live.said(gateway.listen, block_of(number))
        gateway.wait_sessions_closed(41)
        assert gateway.stop()[0] == 0
    store = Store(scratch / "rec")
    assert len(folder(store)) >= 10
    return store


def through(store):
    """The one that is in all segments."""
    return max(store.sessions(), key=lambda session: len(session["segments"]))

class Load:
    """Clients one after the other, on threads, until it is told to stop; what each sent and got back is compared."""

    def __init__(self, address, threads=2, size=24 * KIB, pause=0):
        self.address, self.size, self.pause = address, size, pause
        self.stopping, self.done, self.failures = False, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._talk, args=(number,), daemon=True) for number in range(threads)]

    def _talk(self, number):
        while not self.stopping:
            try:
                live.said(self.address(), block_of(number % 8, self.size))
                time.sleep(self.pause)
                with self.lock:
                    self.done += 1
            except OSError as failure:  # its gateway was killed
                self.failures.append(failure)
                time.sleep(0.005)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(30)


def streams_of(store, session_id):
    """Also while the file that it is in is changed for another one: then the command is given again."""
    def read():
        with contextlib.suppress(AssertionError):
            return store.payloads(f"id={session_id}")[session_id]
        return None
    return processes.wait_until(read, 20, f"the streams of {session_id}")
