# SPDX-License-Identifier: Apache-2.0
"""Child processes, ports and waiting, for tests that start everything they need and end it with themselves.

Nothing here sleeps for luck: every wait is for a condition and has a deadline.
"""
import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import threading
import time


class DeadlineExceeded(AssertionError):
    pass


def wait_until(condition, seconds, what, interval=0.01):
    """Calls condition() until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{what}: not within {seconds} s")
        time.sleep(interval)


_given_ports = set()
_given_ports_lock = threading.Lock()


def some_port():
    """For bind(2): any, or one of this worker's own when tests run beside each other (pytest-xdist). The kernel gives
    none of these to anybody, so nobody takes a port between the moment it was found free and that of its use."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return random.randrange(10_000, 15_000) + 5_000 * (int(worker[2:]) % 4) if worker else 0


def free_port(host="127.0.0.1"):
    """A TCP port of `host` that nobody listens on, and that this process has not given out before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, some_port()))
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise
                continue
            port = probe.getsockname()[1]
        with _given_ports_lock:
            if port not in _given_ports:
                _given_ports.add(port)
                return port
    raise AssertionError("no free port")


def thread(pid, name):
    """The number of a process's thread with that name."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
            if file.read().strip() == name:
                return int(task)
    raise AssertionError(f"process {pid} has no thread {name}")


def stopped(pid):
    """Whether all threads of a process have taken a SIGSTOP, traced or not."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
            states.append(file.read().rsplit(")", 1)[1].split()[0])
    return all(state in "Tt" for state in states)


def address(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_address(host="127.0.0.1"):
    return address(host, free_port(host))


def is_listening(target):
    """Whether something listens at `host:port`, `[v6]:port` or `unix:PATH`, without connecting to it.

    A connection would be a session to whatever is under test, and would be recorded.
    """
    if target.startswith("unix:"):
        with open("/proc/net/unix") as table:
            return any(line.split()[-1] == target[5:] and line.split()[5] == "01" for line in table.readlines()[1:])
    host, port = target.rsplit(":", 1)
    name = "/proc/net/tcp6" if host.startswith("[") else "/proc/net/tcp"
    with open(name) as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == int(port):
                return True
    return False


CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


class Process:
    """A child with its output in files. As a context manager it is ended on the way out."""

    def __init__(self, command, directory, name=None, env=None, **popen):
        self.command = [str(word) for word in command]
        self.name = name or os.path.basename(self.command[0])
        self.out_path = os.path.join(directory, self.name + ".stdout")
        self.err_path = os.path.join(directory, self.name + ".stderr")
        environment = dict(os.environ, **(env or {}))
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          env=environment, **popen)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def output(self):
        with open(self.out_path, errors="replace") as file:
            return file.read()

    def errors(self):
        with open(self.err_path, errors="replace") as file:
            return file.read()

    def wait_listening(self, target, seconds=15):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.name} ended with {self.popen.returncode}:\n"
                                     f"{self.errors()[-4000:]}{self.output()[-1000:]}")
            return is_listening(target)
        wait_until(ready, seconds, f"{self.name} listening at {target}")
        return self

    def wait(self, seconds):
        """Its exit status; killed and an error when it takes longer."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DeadlineExceeded(f"{self.name} did not end within {seconds} s:\n{self.errors()[-4000:]}") from None

    def stop(self, seconds=15, number=signal.SIGTERM):
        if self.running():
            self.popen.send_signal(number)
        return self.wait(seconds)

    def kill(self):
        if self.running():
            self.popen.kill()
        return self.popen.wait()

    def check_no_crash(self):
        """That nobody waited for its end does not hide what end it was."""
        status = self.popen.poll()
        assert status is None or -status not in CRASHES, f"{self.name}: signal {-status}\n{self.errors()[-4000:]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running():
            with contextlib.suppress(DeadlineExceeded):
                self.stop(5)


def run(command, seconds=60, check=True, **options):
    """A command to its end, with captured output; its exit status must be 0 unless check is False."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL if "input" not in options else None, capture_output=True,
                          timeout=seconds, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)[:300]}: exit status {done.returncode}\n"
                             f"{as_text(done.stderr)[-4000:]}{as_text(done.stdout)[-2000:]}")
    return done


def as_text(data):
    return data if isinstance(data, str) else data.decode(errors="replace")
