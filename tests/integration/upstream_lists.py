# SPDX-License-Identifier: Apache-2.0
"""What the tests of lists of upstreams share: servers that say who they are and can go away in several ways, and what a
gateway tells of its upstreams."""
import collections
import contextlib
import ctypes
import json
import os
import re
import socket
import struct
import subprocess
import threading

import pytest

import faults
import processes

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # of asm-generic/socket.h

class Server:
    """Says its name to everybody and closes; or, with `hold`, keeps the connection until the client ends it. It can be
    stopped (its port then refuses) and started again."""

    def __init__(self, name, hold=False, host="127.0.0.1", port=None):
        self.name, self.hold, self.host = name, hold, host
        self.port = port or processes.free_port()
        self.address = processes.address(host, self.port)
        self.received = []
        self.listener = None

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(256)
        self._begin()
        return self

    def _begin(self):
        self.acceptor = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.acceptor.start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.sendall(self.name.encode())
            if self.hold:
                data = b""
                while chunk := connection.recv(4096):
                    data += chunk
                self.received.append(data)

    def stop(self):
        if self.listener:
            faults.stop_accepting(self.listener, self.acceptor)
            self.listener = None

    close = stop


class HidingServer(Server):
    """On a unix path, which goes away and comes back: new connects are refused, and who was connected is still served.
    (A TCP listener that closes resets those who wait in its backlog: they were connected.)"""

    def __init__(self, name, path):
        super().__init__(name)
        self.path, self.address = path, f"unix:{path}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(256)
        self._begin()

    def hide(self):
        self.path.rename(self.path.with_suffix(".away"))

    def show(self):
        self.path.with_suffix(".away").rename(self.path)


class HangingServer(Server):
    """Whose machine can fall silent: a filter drops what comes to its listener, so no SYN is answered; who was
    connected is still served."""

    def hang(self):
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K: take 0 bytes of it
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        self.listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def answer(self):
        self.listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


class Namespace:
    """A network of its own, with a loopback interface that is up; only root makes one. What is reached by unix sockets
    is reached from outside too."""

    def __init__(self, scratch):
        if os.geteuid() != 0:
            pytest.skip("needs root for a network namespace")
        self.holder = processes.Process(["unshare", "-n", "sleep", "1h"], scratch, name="namespace")
        own = os.readlink("/proc/self/ns/net")
        theirs = f"/proc/{self.holder.pid}/ns/net"
        processes.wait_until(lambda: not self.holder.running() or os.readlink(theirs) != own, 10, "a namespace")
        if not self.holder.running():
            pytest.skip(f"network namespaces are not permitted here: {self.holder.errors().strip()}")
        self.inside = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.ip("link", "set", "lo", "up")

    def enter(self):
        """For this thread; as Popen's preexec_fn, for a child."""
        if self.libc.setns(self.inside, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    @contextlib.contextmanager
    def entered(self):
        self.enter()
        try:
            yield
        finally:
            assert self.libc.setns(self.outside, 0) == 0

    def ip(self, *words):
        done = subprocess.run(["ip", *words], preexec_fn=self.enter, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def close(self):
        os.close(self.inside)
        os.close(self.outside)
        self.holder.kill()


def upstreams_of(*words):
    """(the first upstream, options for the others)"""
    return words[0], [part for word in words[1:] for part in ("--upstream", word)]


def ask(gateway, source=None, seconds=10):
    """Who answers a client: a name; empty if nobody did."""
    data = b""
    with contextlib.suppress(ConnectionResetError), faults.connect(gateway.listen, None, source, seconds) as client:
        while chunk := client.recv(4096):
            data += chunk
    return data.decode()


def open_one(gateway):
    """A session that stays: (socket, who answers)"""
    client = faults.connect(gateway.listen)
    return client, client.recv(4096).decode()


def states(gateway):
    """name -> what `gogetway upstreams --json` says of it"""
    lines = gateway.command("upstreams", "--json").stdout.splitlines()
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def wait_state(gateway, name, state, seconds=10):
    processes.wait_until(lambda: states(gateway)[name]["state"] == state, seconds, f"{name} {state}", interval=0.05)


def events(gateway, event, name):
    return [line for line in gateway.log() if line["event"] == event and line["upstream"] == name]


def seconds_of(line):
    hours, minutes, seconds = re.search(r"T(\d+):(\d+):([\d.]+)Z", line["time"]).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def gauges(gateway, listener="web"):
    """{"up": {"a": 1, ...}, "out": ..., "drained": ..., "outs_total": ..., "weight": ..., "weight_ratio": ...} of a
    listener's upstreams."""
    text = gateway.command("stats", "--format", "prometheus").stdout.decode()
    told = collections.defaultdict(dict)
    series = rf'gogetway_route_upstream_(\w+){{listener="{listener}",upstream="(\w+)"}}'
    for what, name, count in re.findall(rf"^{series} ([\d.]+)$", text, re.M):
        told[what][name] = float(count)
    return told
