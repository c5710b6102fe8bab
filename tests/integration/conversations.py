# SPDX-License-Identifier: Apache-2.0
"""Conversations with real peers in which every byte is seen from outside of the gateway: client, tap, gateway, tap,
server; and what tshark reads in the recording of it."""
import contextlib
import json
import socket
import threading

import processes
from test_messages import shown


class Tap:
    """A relay that keeps what passes by: `taken` has [bytes of the client, bytes of the server] of each connection."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.taken, self.threads = [], []
        self.listener = socket.create_server(("127.0.0.1", processes.free_port()))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.begin(self.accept)

    def begin(self, function, *words):
        self.threads.append(threading.Thread(target=function, args=words, daemon=True))
        self.threads[-1].start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target, 20)
                server.settimeout(None)
                taken = [bytearray(), bytearray()]
                self.taken.append(taken)
                self.begin(self.pump, client, server, taken[0])
                self.begin(self.pump, server, client, taken[1])

    @staticmethod
    def pump(source, target, taken):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                taken += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def streams(self):
        return sorted((bytes(client), bytes(server)) for client, server in self.taken)


class Conversation:
    """Connect to `address`; when all is said, `finish` returns the sessions, whose bytes are what both taps have."""

    def __init__(self, gateways, scratch, upstream, decode="on"):
        self.back = Tap(upstream)
        self.gateway = gateways(self.back.address, options=["--decode", decode])
        self.front = Tap(self.gateway.listen)
        self.address, self.scratch = self.front.address, scratch
        self.host, self.port = "127.0.0.1", int(self.address.rsplit(":", 1)[1])

    def wait_found(self, text, count=1):
        """Until the catalogue knows of so many sessions for which that is true: a gateway that stops leaves sessions
        that nobody has decoded yet to the next one."""
        processes.wait_until(lambda: len(self.gateway.sessions(text)) == count, 20, f"{count} with {text}", 0.1)

    def finish(self):
        self.gateway.wait_sessions_closed(len(self.front.taken))
        status, log = self.gateway.stop()
        assert status == 0, log
        self.front.stop()
        self.back.stop()
        sessions = self.gateway.sessions()
        raw = self.gateway.export_raw(self.gateway.directory.parent / "all")
        recorded = sorted(tuple((raw / f"{session.id}.{side}").read_bytes() for side in ("client", "server"))
                          for session in sessions)
        assert recorded == self.front.streams() and recorded == self.back.streams() and recorded
        return sessions

    def told(self, session, *words):
        """(messages, why sides were not decoded to their ends) of `show --as messages --json`."""
        everything = shown(self.gateway, session.id, *words)
        return [one for one in everything if "opaque" not in one], {one["opaque"] for one in everything
                                                                    if "opaque" in one}

    def dissect(self, protocol, fields):
        """client port -> its packets of that protocol: each the values of `fields`, and of which side it is."""
        port = int(self.gateway.listen.rsplit(":", 1)[1])
        capture = self.gateway.directory.parent / "dissected.pcapng"
        self.gateway.command("export", "--format", "pcapng", "-o", capture)
        words = [word for field in ("tcp.srcport", "tcp.dstport", *fields) for word in ("-e", field)]
        done = processes.run(["tshark", "-n", "-r", capture, "-d", f"tcp.port=={port},{protocol}", "-Y", protocol,
                              "-T", "json", *words], 60)
        found = {}
        for packet in json.loads(done.stdout):
            layers = packet["_source"]["layers"]
            source, target = int(layers.pop("tcp.srcport")[0]), int(layers.pop("tcp.dstport")[0])
            layers["from"] = "client" if target == port else "server"
            found.setdefault(source if target == port else target, []).append(layers)
        return found
