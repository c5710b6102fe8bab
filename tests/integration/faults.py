# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: plain peers, small mounts, and the checks for sessions that were cut short."""
import contextlib
import hashlib
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import endpoints
import processes
from gogetway import EMPTY, SIDES, Stream

OTHER = endpoints.OTHER


def host_port(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def connect(address, receive_bytes=None, source=None, seconds=20):
    """A client's socket at `address` (host:port or unix:PATH). `receive_bytes`: SO_RCVBUF, set before the handshake."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        target = address[5:]
    else:
        target = host_port(address)
        sock = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
        if source:
            sock.bind((source, 0))
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(seconds)
    try:
        sock.connect(target)
    except OSError:
        sock.close()
        raise
    return sock


def read_exactly(sock, count):
    parts = []
    while count > 0:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            raise AssertionError(f"the stream ended {count} bytes early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_to_end(sock):
    """Everything up to the end of the stream; a reset ends it too. Returns (bytes, whether it was a reset)."""
    parts = []
    try:
        while part := sock.recv(1 << 20):
            parts.append(part)
    except ConnectionError:
        return b"".join(parts), True
    return b"".join(parts), False


def read_from_all(socks, data, seconds=20):
    """Each of them gets `data`, in whatever order they are served, and is closed then."""
    waiting = list(socks)
    while waiting:
        ready, _, _ = select.select(waiting, [], [], seconds)
        assert ready, f"{len(waiting)} are not served"
        for sock in ready:
            assert read_exactly(sock, len(data)) == data
            sock.close()
            waiting.remove(sock)


def attempt(address, data=b""):
    """A client that may be refused at any moment: connects, sends, reads to the end. (bytes, whether it was reset)."""
    try:
        with connect(address) as sock:
            if data:
                sock.sendall(data)
            return read_to_end(sock)
    except ConnectionError:
        return b"", True


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def stop_accepting(listener, thread):
    """Closes a listener that a thread accepts at, after that thread has ended.

    A thread that waits in accept(2) keeps a socket listening whose descriptor was closed; and when the kernel lets it
    call again, it takes the connections of whatever socket has the descriptor's number by then.
    """
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)
    assert not thread.is_alive(), "a thread still accepts"
    listener.close()


class Upstream:
    """Accepts on a free port of 127.0.0.1, or where it is told; what comes is the test's."""

    def __init__(self, address=None, backlog=4096):
        if address is None:
            address = processes.free_address()
        self.address = address
        if address.startswith("unix:"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(address[5:])
        else:
            self.listener = socket.socket(socket.AF_INET)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(host_port(address))
        self.listener.listen(backlog)
        self.listener.settimeout(20)

    def accept(self, seconds=20):
        connection, _ = self.listener.accept()
        connection.settimeout(seconds)
        return connection

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Echo(Upstream):
    """An upstream that sends back what it gets, each connection on one thread of poll; for many small sessions."""

    def __init__(self, address=None):
        super().__init__(address)
        self.listener.setblocking(False)
        self.stopping = False
        self.accepted = self.served = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        poller = select.epoll()
        poller.register(self.listener.fileno(), select.EPOLLIN)
        open_sockets = {}
        while not self.stopping:
            for descriptor, _ in poller.poll(0.1):
                if descriptor == self.listener.fileno():
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            sock, _ = self.listener.accept()
                            sock.settimeout(20)
                            self.accepted += 1
                            open_sockets[sock.fileno()] = sock
                            poller.register(sock.fileno(), select.EPOLLIN)
                    continue
                sock = open_sockets[descriptor]
                try:
                    data = sock.recv(65536)
                    if data:
                        sock.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    self.served += 1
                    poller.unregister(descriptor)
                    del open_sockets[descriptor]
                    sock.close()
        for sock in open_sockets.values():
            sock.close()
        poller.close()

    def close(self):
        self.stopping = True
        self.thread.join(10)
        super().close()


@contextlib.contextmanager
def echo_process(scratch):
    """An Echo in a process of its own, with all descriptors that it may have. Gives its address."""
    address = processes.free_address()
    with processes.Process([sys.executable, __file__, address], scratch, name="echo") as echo:
        echo.wait_listening(address)
        yield address


class Hasher:
    """Reads a socket to its end on a thread of its own: how many bytes, and their SHA-256."""

    def __init__(self, sock):
        self.sock, self.count, self.sha = sock, 0, hashlib.sha256()
        self.was_reset = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while part := self.sock.recv(1 << 20):
                self.sha.update(part)
                self.count += len(part)
        except OSError:
            self.was_reset = True

    def finish(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"no end of the stream after {self.count} bytes"
        return Stream(self.count, self.sha.hexdigest())


def events(gateway, name):
    return [line for line in gateway.log() if line["event"] == name]


def wait_event(gateway, name, seconds=20):
    return processes.wait_until(lambda: events(gateway, name), seconds, f"the log's line {name!r}")[-1]


def metric(gateway, name):
    return gateway.stats()["metrics"][name]


def wait_metric(gateway, name, least, seconds=20):
    return processes.wait_until(lambda: metric(gateway, name) >= least, seconds, f"{name} >= {least}", interval=0.02)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def private_bytes(pid):
    """Resident memory without shared mappings: rings are shared memory, grow with a slow disk, and have a bound."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/PID/status")


@contextlib.contextmanager
def mounted(directory, kind="tmpfs", **options):
    """A small file system, for as long as the test wants it; the test is skipped where mounts are not permitted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    directory.mkdir(exist_ok=True)
    words = ",".join(f"{key}={value}" for key, value in options.items())
    done = subprocess.run(["mount", "-t", kind, "-o", words, "none", directory], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounts are not permitted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def remount(directory, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=True)


@contextlib.contextmanager
def traced(gateway, scratch, log, *options, thread=None):
    """strace of all the gateway's threads, or of the one with that name, into the file `log`."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    pid = gateway.process.pid
    whom = ["-f", "-p", pid] if thread is None else ["-p", processes.thread(pid, thread)]
    command = ["strace", "-o", log, *options, *whom]
    with processes.Process(command, scratch, name="strace") as strace:
        processes.wait_until(lambda: "attached" in strace.errors() or not strace.running(), 20, "strace")
        if not strace.running():
            pytest.skip(f"ptrace is not permitted here: {strace.errors()[-200:]}")
        yield
        strace.popen.send_signal(signal.SIGINT)
        strace.wait(20)


def slow_disk(gateway, scratch, milliseconds):
    """Each write of the gateway takes so much longer."""
    return traced(gateway, scratch, "/dev/null", "-e", "trace=pwrite64", "-e",
                  f"inject=pwrite64:delay_enter={milliseconds * 1000}")


def check_cut_short(result, store, raw):
    """For a gateway that was killed: what each end received is a prefix of the recording, and the recording is one of
    what was sent. Returns (problems, recorded sessions, recorded bytes)."""
    recorded = {session.client: session for session in store.sessions()}
    payloads = store.payloads(keep=raw)
    problems, entries, total = [], [], 0
    for session in result.sessions:
        where = processes.address(session["client_address"], session["client_port"])
        found = recorded.get(where)
        streams = payloads.get(found.id, dict.fromkeys(SIDES, EMPTY)) if found else dict.fromkeys(SIDES, EMPTY)
        name = f"session {session['index']} from {where}{'' if found else ' (not recorded)'}"
        for side in SIDES:
            sender, receiver = session[side], session[OTHER[side]]
            count = streams[side].count
            total += count
            if receiver and receiver["received"] > count:
                problems.append(f"{name}: the {OTHER[side]} received {receiver['received']} bytes, {count} recorded")
            if receiver and receiver["first_difference"] is not None:
                problems.append(f"{name}: the {OTHER[side]} received a wrong byte at {receiver['first_difference']}")
            if count > (sender["sent"] if sender else 0):
                problems.append(f"{name}: {count} bytes of the {side} are recorded, it sent "
                                f"{sender['sent'] if sender else 'nothing'}")
            if count > 0:
                entries.append((session["index"], side, raw / f"{found.id}.{side}"))
    for line in endpoints.verify_prefixes(result.seed, entries):
        if line["first_difference"] is not None:
            problems.append(f"session {line['index']}: the recording of what the {line['side']} sent is wrong at byte "
                            f"{line['first_difference']}")
    return problems, len(recorded), total


@contextlib.contextmanager
def descriptors(least):
    """This process's own limit on descriptors raised as far as it may be; skipped if that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < least:
        pytest.skip(f"the limit on descriptors is {hard}, {least} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, least), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sleep_to_a_random_moment(random, most):
    """The moment is the test's input, drawn from its seed; nothing is waited for."""
    time.sleep(random.uniform(0, most))


@contextlib.contextmanager
def silent_address():
    """A TCP address that never answers: its listener's backlog is full, so the kernel drops every SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        probe = stack.enter_context(socket.socket())
        probe.settimeout(0.3)
        if probe.connect_ex(listener.getsockname()) == 0:
            pytest.skip("a full backlog accepts connections here")
        yield processes.address(*listener.getsockname())


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Echo(sys.argv[1]).thread.join()
