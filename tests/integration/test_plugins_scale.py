# SPDX-License-Identifier: Apache-2.0
"""Ten thousand sessions that a gate holds, resumed from another thread (that of the control socket), beside one that it
does not: every byte is right. bench/held.py measures what the one sees of them."""
import contextlib
import os
import random
import resource
import select
import subprocess
import sys
import threading
import time

import pytest

import faults
import processes
import recording
from faults import connect
from gogetway import TEST_ALL, tool
from live import exchange, listener

SESSIONS = 10_000 if TEST_ALL else 2_000
SPARE = 400  # descriptors of a process beside those of sessions, two each in the gateway
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]  # clients' addresses: each has ports of its own


def sessions_max():
    """As many as the limit on descriptors lets a gateway have."""
    return min(SESSIONS, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE) // 2)


@contextlib.contextmanager
def echo_process():
    """An upstream that gives back what it gets, with descriptors of its own."""
    address = processes.free_address()
    process = subprocess.Popen([sys.executable, faults.__file__, address])
    try:
        processes.wait_until(lambda: reachable(address), 20, "an upstream")
        yield address
    finally:
        process.kill()
        process.wait()


def reachable(address):
    with contextlib.suppress(OSError), connect(address):
        return True
    return False


class Honest(threading.Thread):
    """Exchanges bytes in a session that nobody holds, until it is told to end."""

    def __init__(self, address, seed):
        super().__init__()
        self.address, self.random = address, random.Random(seed)
        self.over = threading.Event()
        self.count, self.problem = 0, None

    def run(self):
        try:
            with connect(self.address) as peer:
                while not self.over.is_set():
                    exchange(peer, b"honest" + self.random.randbytes(self.random.randrange(1, 2000)))
                    self.count += 1
        except (OSError, AssertionError) as problem:
            self.problem = problem

    def end(self):
        self.over.set()
        self.join(30)
        assert not self.is_alive() and self.problem is None, self.problem
        return self.count


def read_all(expected, seconds):
    """expected: the bytes that each socket gets, and no more; whoever is ready is read."""
    poller = select.epoll()
    left = {peer.fileno(): [peer, data] for peer, data in expected.items()}
    for number in left:
        poller.register(number, select.EPOLLIN)
    deadline = time.monotonic() + seconds
    while left:
        ready = poller.poll(max(0, deadline - time.monotonic()))
        assert ready, f"{len(left)} wait for their bytes"
        for number, _ in ready:
            peer, data = left[number]
            got = peer.recv(65536)
            assert got and data.startswith(got), f"other bytes, or none: {got[:80]}"
            left[number][1] = data[len(got):]
            if not left[number][1]:
                poller.unregister(number)
                del left[number]
    poller.close()


@pytest.mark.parametrize("sides", ["client", "both"])
def test_held_sessions_are_resumed_from_another_thread(configured, sides):
    count = sessions_max()
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {count} sessions")
    chance = random.Random(seed)
    with faults.descriptors(count + SPARE), echo_process() as upstream, contextlib.ExitStack() as stack:
        where = listener(upstream)
        configured.write(where, workers=2, plugins=[{"path": str(tool("probe.so")), "config": {
            "mode": "gate", "match": "WAIT", "verdict": "hold", "from": sides}}])
        process = configured.start()

        def seen():
            lines = configured.command("probe", "seen").stdout.decode().splitlines()
            return {name: int(value) for name, value in (line.split() for line in lines)}

        expected, before, behind = {}, {}, {}
        for number in range(count):
            peer = stack.enter_context(connect(where["listen"], source=SOURCES[number % len(SOURCES)]))
            before[peer] = b"before %d " % number
            expected[peer] = b"WAIT %d " % number + chance.randbytes(chance.randrange(0, 600))
            behind[peer] = b"behind %d " % number + chance.randbytes(chance.randrange(0, 300))
            peer.sendall(before[peer])
        read_all(before, 120)
        for peer, data in expected.items():
            peer.sendall(data)
        processes.wait_until(lambda: seen()["held"] == count, 120, "all are held")
        honest = Honest(where["listen"], seed)
        honest.start()
        for peer, data in behind.items():  # nobody reads it before the resume
            peer.sendall(data)
        processes.wait_until(lambda: honest.count > 200 or honest.problem, 60, "the honest one is served")
        resumes = 1 if sides == "client" else 2  # where the server's side is held too, what it echoes is held again
        configured.command("probe", "resume", "pass")
        if resumes == 2:
            processes.wait_until(lambda: seen()["held"] == count, 120, "all are held on their way back")
            configured.command("probe", "resume", "pass")
        read_all({peer: data + behind[peer] for peer, data in expected.items()}, 120)
        assert honest.end() > 200
        told = seen()
        assert (told["disorder"], told["held"], told["opened"]) == (0, 0, count + 1)
        for peer in expected:
            peer.close()
        processes.wait_until(lambda: seen()["closed"] == count + 1, 120, "all have ended")
        assert process.stop(60) == 0
    facts = [fact for fact in recording.comments(configured.segments()) if "close" in fact]
    assert len(facts) == count + 1 and {fact["close"] for fact in facts} == {"client-fin"}
    assert all(fact["forwarded"] == fact["received"] for fact in facts)
    sizes = sorted(len(before[peer]) + len(expected[peer]) + len(behind[peer]) for peer in expected)
    told = sorted(fact["forwarded"]["client"] for fact in facts)
    told.remove(max(told))  # the honest one's
    assert told == sizes == sorted(fact["forwarded"]["server"] for fact in facts)[:-1]
