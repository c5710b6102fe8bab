# SPDX-License-Identifier: Apache-2.0
"""Upstreams of a list that flap: they refuse, or do not answer, and come back; who is connected is still served.

A listener that is closed resets those who wait in its backlog, and these were connected: a gateway cannot try another
upstream for them. So a member first lets nothing in, by a filter that drops every packet to its listener, then accepts
who had come, and only then closes. With the filter alone it is one that hangs.
"""
import contextlib
import ctypes
import queue
import random
import selectors
import socket
import struct
import threading
import time

import faults
import processes

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
SETTLE_SECONDS = 0.2    # handshakes that had begun when the filter came are over
BPF_RETURN = 0x06       # return 0: take no byte of it

GIVEN_PORTS = set()


class Member:
    """Says its name, one letter, to who connects, and sends back what it gets. One thread of selectors."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.orders = queue.SimpleQueue()
        self.selector = selectors.DefaultSelector()
        self.wake, self.waker = socket.socketpair()
        self.selector.register(self.wake, selectors.EVENT_READ)
        self.filter = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
        self.listener = None
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"member-{name}")
        self.thread.start()
        self.serve()

    # ── Asked by others ──────────────────────────────────────────────────────────────────────────────────────────

    def serve(self):
        self._order(self._open)

    def hang(self):
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(self.filter))
        self._order(lambda: self.listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program))

    def refuse(self):
        self.hang()
        time.sleep(SETTLE_SECONDS)
        self._order(self._shut)

    def close(self):
        self.over = True
        self.waker.send(b"x")
        self.thread.join(20)

    # ── On its thread ────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self, action):
        done = queue.SimpleQueue()
        self.orders.put((action, done))
        self.waker.send(b"x")
        error = done.get(timeout=30)
        if error:
            raise error

    def _open(self):
        if self.listener:
            with contextlib.suppress(FileNotFoundError):  # it has no filter
                self.listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            return
        self.listener = socket.create_server(faults.host_port(self.address), backlog=1024)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def _shut(self):
        self._accept()
        self.selector.unregister(self.listener)
        self.listener.close()
        self.listener = None

    def _accept(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                sock.settimeout(20)
                with contextlib.suppress(OSError):  # a check, which has gone
                    sock.sendall(self.name.encode())
                self.selector.register(sock, selectors.EVENT_READ)

    def _answer(self, sock):
        with contextlib.suppress(OSError):
            data = sock.recv(65536)
            if data:
                sock.sendall(data)
                return
        self.selector.unregister(sock)
        sock.close()

    def _obey(self):
        self.wake.recv(4096)
        with contextlib.suppress(queue.Empty):
            while True:
                action, done = self.orders.get_nowait()
                try:
                    action()
                except OSError as error:
                    done.put(error)
                else:
                    done.put(None)

    def _run(self):
        while not self.over:
            for key, _ in self.selector.select():
                if key.fileobj is self.wake:
                    self._obey()
                elif key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj.fileno() >= 0:
                    self._answer(key.fileobj)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.waker.close()


def quiet_port():
    """A port that the kernel gives nobody as the source of a connection: it can be left, and taken again."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    for _ in range(1000):
        port = random.randrange(10_000, lowest) if lowest > 12_000 else processes.free_port()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in GIVEN_PORTS:
                GIVEN_PORTS.add(port)
                return port
    raise AssertionError("no free port")
