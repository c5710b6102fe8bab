# SPDX-License-Identifier: Apache-2.0
"""Servers that libc asks for names: DNS, over UDP and TCP, and nscd's socket."""
import contextlib
import os
import socket
import struct
import threading

A, AAAA = 1, 28
NAME_ERROR, TRUNCATED, ANSWER = 3, 0x0200, 0x8180
DATAGRAM_MAX = 512  # without EDNS: whatever is longer is to be asked for over TCP


class Dns:
    """DNS at 127.0.0.1:53, or another address. `hosts` has the IPv4 addresses of each name, and may be changed at any
    time; `asked` is what came: (transport, name, type)."""

    def __init__(self, hosts, address=("127.0.0.1", 53)):
        self.hosts = hosts
        self.asked = []
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(address)
        self.listener = socket.create_server(address)
        for serve in (self.serve_datagrams, self.serve_streams):
            threading.Thread(target=serve, daemon=True).start()

    def count(self, transport, name):
        return sum(1 for how, what, _ in self.asked if (how, what) == (transport, name))

    def answer(self, question, transport):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name, kind = ".".join(labels), struct.unpack(">H", question[at + 1:at + 3])[0]
        self.asked.append((transport, name, kind))
        addresses = self.hosts.get(name)
        found = addresses if addresses and kind == A else []
        records = b"".join(struct.pack(">HHHIH4s", 0xC00C, A, 1, 0, 4, socket.inet_aton(ip)) for ip in found)
        flags = ANSWER | (NAME_ERROR if addresses is None else 0)
        body = question[12:at + 5]
        if transport == "udp" and 12 + len(body) + len(records) > DATAGRAM_MAX:
            flags, found, records = flags | TRUNCATED, [], b""
        return question[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + body + records

    def serve_datagrams(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.datagrams.recvfrom(4096)
                self.datagrams.sendto(self.answer(question, "udp"), peer)

    def serve_streams(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self.serve_stream, args=(peer,), daemon=True).start()

    def serve_stream(self, peer):
        with peer, contextlib.suppress(OSError), peer.makefile("rb") as stream:
            while len(head := stream.read(2)) == 2:
                reply = self.answer(stream.read(struct.unpack(">H", head)[0]), "tcp")
                peer.sendall(struct.pack(">H", len(reply)) + reply)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.datagrams.close()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def silent(address):
    """A server that takes datagrams and never answers."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(address)
    return server


class Nscd:
    """libc's daemon of names at /run/nscd/socket: it tells one IPv4 address for every name. `asked` has the names."""

    VERSION, GETAI, FOUND = 2, 14, 1

    def __init__(self, run, ip):
        self.ip = ip
        self.asked = []
        os.makedirs(run / "nscd")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(run / "nscd/socket"))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with peer, contextlib.suppress(OSError), peer.makefile("rb") as stream:
                    self.answer(peer, stream)

    def answer(self, peer, stream):
        _, kind, length = struct.unpack("=iii", stream.read(12))
        name = stream.read(length).rstrip(b"\0").decode()
        if kind != self.GETAI:
            return  # libc would map the daemon's memory: it asks when it cannot
        self.asked.append(name)
        head = struct.pack("=iiiiii", self.VERSION, self.FOUND, 1, 4, len(name) + 1, 0)
        peer.sendall(head + socket.inet_aton(self.ip) + bytes([socket.AF_INET]) + name.encode() + b"\0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
