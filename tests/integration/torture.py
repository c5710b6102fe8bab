# SPDX-License-Identifier: Apache-2.0
"""What test_torture.py is made of: the fault that moves from call to call (tests/tools/failnth.c), and sessions whose
every byte is known at both ends."""
import concurrent.futures
import contextlib
import mmap
import os
import random
import socket
import struct
import threading

import faults
import processes
from gogetway import SIDES, TEST_ALL, tool

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "1"))
ONLY_AT = int(os.environ.get("GOGETWAY_TEST_TORTURE_AT", "0"))
KINDS = ("memory", "system")
PARALLEL = 2
SESSION_SECONDS = 10  # a session that is neither done nor refused by then hangs
_PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_ARMED, _AT, _TIMES, _ERRNO, _COUNT, _HITS, _LAST, _NAMES = 0, 8, 16, 24, 48, 56, 64, 256


class Faults:
    """The control block of a process with failnth.so: calls are counted, and call number `at` fails."""

    def __init__(self, path, calls):
        self.path = path
        self.calls = calls
        with open(path, "wb") as file:
            file.write(bytes(4096))
        with open(path, "r+b") as file:
            self.block = mmap.mmap(file.fileno(), 4096)

    def environment(self, at=0, armed=True):
        return {"LD_PRELOAD": tool("failnth.so"), "FAILNTH_CONTROL": str(self.path), "FAILNTH_CALLS": self.calls,
                "FAILNTH_AT": str(at), "FAILNTH_ARM": str(int(armed))}

    def _get(self, offset):
        return struct.unpack_from("<Q", self.block, offset)[0]

    def _set(self, offset, value):
        struct.pack_into("<Q", self.block, offset, value)

    def arm(self, at):
        self.disarm()
        self._set(_COUNT, 0)
        self._set(_HITS, 0)
        self._set(_AT, at)
        self._set(_ARMED, 1)

    def disarm(self):
        self._set(_ARMED, 0)

    @property
    def count(self):
        return self._get(_COUNT)

    @property
    def hits(self):
        return self._get(_HITS)

    @property
    def hit(self):
        """The name of the call that failed, or None."""
        start = _NAMES + 32 * self._get(_LAST)
        return self.block[start:start + 32].rstrip(b"\0").decode() if self.hits else None


def preload_works():
    """A program with a sanitizer has a malloc of its own, and wants no other library before it."""
    from gogetway import program
    with open(program(), "rb") as file:
        content = file.read()
    return b"__asan_init" not in content and b"__tsan_init" not in content


def sample(total, most):
    """The numbers to try of 1..total: all of them, `most` of them drawn by the seed, or the one that is asked for."""
    if ONLY_AT:
        return [ONLY_AT]
    if TEST_ALL or total <= most:
        return list(range(1, total + 1))
    return sorted(random.Random(SEED).sample(range(1, total + 1), most))


def in_parallel(function, items):
    """All texts of all lists that function(item) returns, two items at a time."""
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return [text for texts in pool.map(function, items) for text in texts]


def payload(index, side, size):
    """`size` bytes that begin with the index, the same ones at every call."""
    return struct.pack("<Q", index) + random.Random(f"{SEED} {index} {side}").randbytes(size - 8)


def whose(data):
    """Says whose payload it is, for a finding: of another session, of the other side (an echo), or nobody's."""
    if len(data) < 8:
        return f"{len(data)} bytes"
    index = struct.unpack_from("<Q", data)[0]
    for side in SIDES:
        if index < 1 << 32 and data == payload(index, side, len(data)):
            return f"{len(data)} bytes of the {side} of session {index}"
    return f"{len(data)} bytes of nobody, {bytes(data[:16])!r}..."


class Upstream:
    """Reads a client to its end, answers with payload(index, "server"), closes; keeps what it received, by index."""

    def __init__(self, answer_bytes):
        self.answer_bytes = answer_bytes
        self.received = {}
        self.accepted = 0
        self.open = 0
        self.lock = threading.Lock()
        # Not any port that is free now: another thread's gateway may have been promised it.
        self.listener = socket.create_server(("127.0.0.1", processes.free_port()), backlog=128)
        self.address = processes.address(*self.listener.getsockname())
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with self.lock:
                    self.open += 1
                    self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        got = bytearray()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(SESSION_SECONDS)
            while chunk := connection.recv(1 << 16):
                got += chunk
                if got.startswith(_PROXY_V2):
                    del got[:16 + int.from_bytes(got[14:16], "big")]  # one segment of loopback: it is whole
                if len(got) >= 8:
                    self.received[struct.unpack_from("<Q", got)[0]] = got
            if len(got) >= 8:
                index = struct.unpack_from("<Q", got)[0]
                connection.sendall(payload(index, "server", self.answer_bytes))
        with self.lock:
            self.open -= 1

    def settle(self):
        processes.wait_until(lambda: self.open == 0, 2 * SESSION_SECONDS, "the upstream's connections ended")

    def close(self):
        faults.stop_accepting(self.listener, self.acceptor)


class Talk:
    """One session through the gateway: what was sent, and what came back before it ended, however it ended."""

    def __init__(self, upstream, index, size, slow=False):
        self.slow = slow
        self.upstream = upstream
        self.index = index
        self.sent = payload(index, "client", size)
        self.answer = payload(index, "server", upstream.answer_bytes)
        self.received = bytearray()
        self.client = None
        self.error = None

    def run(self, listen):
        host, port = listen.rsplit(":", 1)
        source = f"127.{20 + self.index // 62500}.{self.index // 250 % 250}.{self.index % 250 + 1}"
        try:
            with socket.socket() as client:
                if self.slow:  # with so little room, the gateway has to keep what it cannot send
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.settimeout(SESSION_SECONDS)
                client.bind((source, 0))
                client.connect((host, int(port)))
                self.client = processes.address(*client.getsockname())
                sender = threading.Thread(target=self._send, args=(client,), daemon=True)
                sender.start()
                while chunk := client.recv(1 << 16):
                    self.received += chunk
                sender.join()
        except OSError as error:
            self.error = error
        return self

    def _send(self, client):
        with contextlib.suppress(OSError):
            client.sendall(self.sent)
            client.shutdown(socket.SHUT_WR)

    @property
    def forwarded(self):
        """What the upstream received."""
        return bytes(self.upstream.received.get(self.index, b""))

    def hangs(self):
        return isinstance(self.error, TimeoutError)

    def right(self):
        return not self.error and bytes(self.received) == self.answer and self.forwarded == self.sent

    def said(self):
        """What came back and what the upstream received, for a finding."""
        return (f"{self.error}, {whose(self.received)} came back, {whose(self.forwarded)} reached the upstream, which "
                f"has {sorted(self.upstream.received)[-5:]}")

    def faults(self, recorded):
        """What is wrong with the recording of it: `recorded` is {"client": bytes, "server": bytes} or None."""
        if recorded is None:
            nothing = not self.received and not self.forwarded
            return [] if nothing else [f"session {self.index}: bytes passed, and nothing is recorded"]
        texts = []
        whole = {"client": self.sent, "server": self.answer}
        passed = {"client": self.forwarded, "server": bytes(self.received)}
        for side in SIDES:
            if not recorded[side].startswith(passed[side]):
                texts.append(f"session {self.index}: {len(passed[side])} bytes of the {side} passed, they are not "
                             f"the beginning of the {len(recorded[side])} recorded ones")
            if not whole[side].startswith(recorded[side]):
                texts.append(f"session {self.index}: recorded of the {side} what was never sent: "
                             f"{whose(recorded[side])}")
            if self.right() and recorded[side] != whole[side]:
                texts.append(f"session {self.index}: {len(recorded[side])} bytes of the {side} are recorded, "
                             f"{len(whole[side])} were sent and received")
        return texts


def recorded(store):
    """client "address:port" -> {"client": bytes, "server": bytes} of every session of the store."""
    target = store.directory.parent / f"raw-{store.directory.name}"
    store.export_raw(target)
    found = {}
    for session in store.sessions():
        files = {side: target / f"{session.id}.{side}" for side in SIDES}
        found[session.client] = {side: file.read_bytes() if file.exists() else b"" for side, file in files.items()}
    return found


def recording_faults(store, talks):
    """`talks` against the recording, and verify; a text for each thing that is wrong."""
    found = recorded(store)
    texts = [text for talk in talks for text in talk.faults(found.get(talk.client))]
    done = store.command("verify", check=False)
    if done.returncode != 0:
        texts.append(f"verify: status {done.returncode}: {processes.as_text(done.stdout + done.stderr)[-600:]}")
    return texts
