# SPDX-License-Identifier: Apache-2.0
"""What the tests of hot restart share: a takeover, processes that stand still, and ends of the hand-over that are made
by hand."""
import contextlib
import json
import os
import signal
import socket
import sys

import processes

# A gateway that hands over all it has, and does what it is told when it was taken over.
EARLIER = """
import fcntl, json, os, signal, socket, struct, sys
directory, listen, end = sys.argv[1:]
lock = os.open(directory + "/lock", os.O_RDWR)
fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))  # F_OFD_SETLK: the first byte
host, port = listen.rsplit(":", 1)
listener = socket.create_server((host, int(port)))
control = socket.socket(socket.AF_UNIX)
control.bind(directory + "/control.new")
control.listen(1)
os.rename(directory + "/control.new", directory + "/control")
peer, _ = control.accept()
lines = peer.makefile("rb")
assert b'"takeover"' in lines.readline()
reply = {"ok": True, "pid": os.getpid(), "siblings": [], "listeners": [{"name": "web", "listen": listen, "sockets": 1}]}
socket.send_fds(peer, [json.dumps(reply).encode() + b"\\n"], [lock, listener.fileno()])
assert b'"handed-over"' in lines.readline()
exec(end)
"""

# Becomes the command with sockets that its parent keeps.
LENDER = """
import os, sys
fds, command = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
aside = [os.dup2(fd, 100 + number, inheritable=False) for number, fd in enumerate(fds)]
for number, fd in enumerate(aside):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(command[0], command)
"""


def halt(process):
    """Stops it, and waits until each of its threads has: one that was woken meanwhile goes on until it sees it."""
    process.popen.send_signal(signal.SIGSTOP)

    def halted():
        for task in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{task}/stat", encoding="utf-8") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True
    processes.wait_until(halted, 20, "every thread stopped")


def descriptors(process):
    """How many it has, but for those of the catalogue, which is opened when its thread comes to it."""
    place = f"/proc/{process.pid}/fd"
    found = 0
    for name in os.listdir(place):
        with contextlib.suppress(FileNotFoundError):  # closed since they were listed
            found += "/catalogue.db" not in os.readlink(f"{place}/{name}")
    return found


def accepts(process):
    """Whether it has a TCP socket that listens."""
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="utf-8") as lines:
            listening |= {f"socket:[{line.split()[9]}]" for line in lines if line.split()[3] == "0A"}
    place = f"/proc/{process.pid}/fd"
    for name in os.listdir(place) if process.running() else ():
        with contextlib.suppress(FileNotFoundError):  # closed since they were listed
            if os.readlink(f"{place}/{name}") in listening:
                return True
    return False


def take_over(configured, old):
    """A new process that has all that `old` had, which drains: new clients are the new one's from here on."""
    new = configured.start("--takeover")
    configured.wait_event(old, "handed over")
    processes.wait_until(lambda: not accepts(old), 20, "the old one to accept no more")
    return new


def check_all_end(configured, sent):
    """Every process but the last has drained, that one is ended, and what all clients have sent is recorded."""
    for process in configured.processes[:-1]:
        assert process.wait(30) == 0
    assert configured.processes[-1].stop(30) == 0
    assert configured.digests() == sent
    configured.verify()


def handed(peer):
    """What comes from one that hands over: a line, and descriptors, which are the caller's."""
    data, fds, _, _ = socket.recv_fds(peer, 65536, 253)
    while not data.endswith(b"\n"):
        data += peer.recv(65536)
    return data, fds


@contextlib.contextmanager
def taking_over(configured):
    """A taker that has all it asked for: its connection and the descriptors."""
    with socket.socket(socket.AF_UNIX) as taker, contextlib.ExitStack() as stack:
        taker.settimeout(20)
        taker.connect(str(configured.directory / "control"))
        taker.sendall(b'{"command":"takeover","protocol":"1"}\n')
        data, fds = handed(taker)
        for fd in fds:
            stack.callback(os.close, fd)
        assert b'"ok":true' in data and len(fds) >= 2
        yield taker, fds


class Between:
    """Stands between a taker and the one that runs, and says when each word of theirs has come."""

    def __init__(self, configured):
        self.place, self.aside = configured.directory / "control", configured.directory / "control.aside"
        self.place.rename(self.aside)
        self.listener, self.old, self.taker = (socket.socket(socket.AF_UNIX) for _ in range(3))
        self.taker.close()
        self.old.settimeout(20)
        self.listener.settimeout(20)
        self.old.connect(str(self.aside))
        self.listener.bind(str(self.place))
        self.listener.listen(1)

    def asked(self):
        self.taker, _ = self.listener.accept()
        self.taker.settimeout(20)
        self.lines = self.taker.makefile("rb")
        self.old.sendall(self.lines.readline())
        self.reply, self.fds = handed(self.old)

    def answered(self):
        """And it has said that it could serve, which nobody hears."""
        socket.send_fds(self.taker, [self.reply], self.fds)
        assert b'"handed-over"' in self.lines.readline()

    def close(self):
        for fd in self.fds:
            os.close(fd)
        for peer in (self.lines, self.taker, self.old, self.listener):
            peer.close()
        self.aside.replace(self.place)


@contextlib.contextmanager
def earlier(configured, web, end):
    """One that hands over to the next process, made by hand, and then does what `end` says."""
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
    command = [sys.executable, "-c", EARLIER, configured.directory, web["listen"], end]
    with processes.Process(command, configured.scratch) as old:
        processes.wait_until((configured.directory / "control").exists, 20, "the old one's socket")
        yield old


def stats_of(configured, pid, *words, **options):
    return configured.command("stats", "--pid", str(pid), *words, **options)


def ask_pid(configured, pid):
    return json.loads(stats_of(configured, pid, "--json").stdout)


@contextlib.contextmanager
def lent(*addresses, share=False):
    """Listening sockets that this process keeps, as systemd does."""
    with contextlib.ExitStack() as stack:
        listeners = []
        for address in addresses:
            if address.startswith("unix:"):
                listeners.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
                listeners[-1].bind(address[5:])
                listeners[-1].listen(64)
            else:
                host, port = address.rsplit(":", 1)
                listeners.append(stack.enter_context(
                    socket.create_server((host, int(port)), backlog=64, reuse_port=share)))
        yield listeners


def start_with(configured, listeners, *words, wait=True):
    fds = [listener.fileno() for listener in listeners]
    return configured.start(*words, wait=wait, by=[sys.executable, "-c", LENDER, ",".join(map(str, fds))], pass_fds=fds)
