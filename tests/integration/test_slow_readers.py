# SPDX-License-Identifier: Apache-2.0
"""Very many clients that stopped reading, beside one that is honest: memory stays under its bound, the honest one is
served, and everything arrives when they read on.

They connect to a unix socket: what the kernel keeps for a slow reader there is 208 KiB, not the 3 MiB of a TCP
connection, so that two thousand of them reach the gateway's own memory."""
import hashlib
import random
import select
import socket
import struct
import threading
import time

import pytest

import faults
import processes
import torture
from gogetway import TEST_ALL

READERS = 2000
KIB, MIB = 1 << 10, 1 << 20
PAYLOAD = random.Random(7).randbytes(1 << 20)
REPLY = (512 if TEST_ALL else 320) * KIB
PENDING_TOTAL, LOG_MAX = 64 * MIB, 16 * MIB
DECODINGS = 64 * MIB  # of sessions that are open (docs/config.md, "Bounds")


class Floods(faults.Upstream):
    """Sends REPLY bytes, another part of PAYLOAD for each connection, to whoever connects and says which."""

    def __init__(self):
        super().__init__()
        self.listener.setblocking(False)
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        poller = select.epoll()
        poller.register(self.listener.fileno(), select.EPOLLIN)
        work = {}
        while not self.stopping:
            for descriptor, _ in poller.poll(0.1):
                if descriptor == self.listener.fileno():
                    while True:
                        try:
                            sock, _ = self.listener.accept()
                        except BlockingIOError:
                            break
                        sock.setblocking(False)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * KIB)
                        work[sock.fileno()] = [sock, None]
                        poller.register(sock.fileno(), select.EPOLLIN)
                    continue
                self._move(poller, work, descriptor)
        for sock, _ in work.values():
            sock.close()
        poller.close()

    @staticmethod
    def _move(poller, work, descriptor):
        entry = work[descriptor]
        try:
            if entry[1] is None:
                number, = struct.unpack(">I", entry[0].recv(4))
                entry[1] = memoryview(reply(number))
                poller.modify(descriptor, select.EPOLLOUT)
            while entry[1]:
                entry[1] = entry[1][entry[0].send(entry[1]):]
        except BlockingIOError:
            return
        except (OSError, struct.error):
            pass
        poller.unregister(descriptor)
        entry[0].close()
        del work[descriptor]

    def close(self):
        self.stopping = True
        self.thread.join(20)
        super().close()


def reply(number):
    """REPLY bytes that differ for each number, without a copy each."""
    start = number * 251 % (len(PAYLOAD) - REPLY)
    return PAYLOAD[start:start + REPLY]


def honest_latencies(address, count):
    """Round trips of small messages, sorted."""
    taken = []
    with faults.connect(address, seconds=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(count):
            message = b"%064d" % number
            begun = time.monotonic()
            sock.sendall(message)
            assert faults.read_exactly(sock, len(message)) == message
            taken.append(time.monotonic() - begun)
    return sorted(taken)


@pytest.mark.parametrize("decode, decodings", [("off", 0), ("on", DECODINGS)])
def test_two_thousand_readers_that_stopped(gateways, scratch, decode, decodings):
    quiet = processes.address("127.0.0.1", processes.free_port())
    with faults.descriptors(3 * READERS), Floods() as floods, faults.Echo() as echo:
        gateway = gateways(floods.address, listen=f"unix:{scratch}/listen", options=[
            "--listen", quiet, "--upstream", echo.address, "--decode", decode, "--workers", 2,
            "--relay-pending-max", "16KiB", "--relay-pending-total", f"{PENDING_TOTAL // MIB}MiB", "--log-max",
            f"{LOG_MAX // MIB}MiB"])
        base = gateway.resident_bytes()
        baseline = honest_latencies(quiet, 1000)
        clients = []
        for number in range(READERS):
            client = faults.connect(gateway.listen, seconds=60)
            client.sendall(struct.pack(">I", number))
            clients.append(client)
        faults.wait_metric(gateway, "sessions_open", READERS, 60)

        def stopped():
            before = faults.metric(gateway, "received_server_bytes")
            time.sleep(0.3)  # an interval without progress is what is looked for
            return faults.metric(gateway, "received_server_bytes") == before
        processes.wait_until(stopped, 60, "nothing moves any more")
        metrics = gateway.stats()["metrics"]
        assert metrics["sessions_open"] == READERS and metrics["pending_exhausted"] == 0, metrics
        assert metrics["forwarded_server_bytes"] < READERS * REPLY * 9 // 10, "they have not stopped"
        assert metrics["pending_bytes"] > 0
        loaded = honest_latencies(quiet, 1000)
        resident = gateway.resident_bytes()
        bound = base + PENDING_TOTAL + LOG_MAX + READERS * KIB + decodings + 8 * MIB
        assert resident <= bound or not torture.preload_works(), f"resident {resident}, bound {bound}"
        assert metrics["pending_bytes"] <= PENDING_TOTAL
        bar = max(0.05, 20 * baseline[989])
        assert loaded[989] <= bar, f"p99 {loaded[989]:.4f} s, alone {baseline[989]:.4f} s"
        read_on(clients)
        faults.wait_metric(gateway, "sessions_closed", READERS + 2, 60)
        status, log = gateway.stop(60)
        assert status == 0, log
    floods = [session for session in gateway.sessions() if session["upstream"] != echo.address]
    assert len(floods) == READERS
    assert all(session.received("server") == session.forwarded("server") == REPLY for session in floods)
    gateway.verify()


def read_on(clients):
    """All of them read to the end: every byte is there."""
    poller = select.epoll()
    left = {}
    for number, client in enumerate(clients):
        client.setblocking(False)
        left[client.fileno()] = [client, number, 0, hashlib.sha256()]
        poller.register(client.fileno(), select.EPOLLIN)
    deadline = time.monotonic() + 150
    while left:
        assert time.monotonic() < deadline, f"{len(left)} readers wait for the rest"
        for descriptor, _ in poller.poll(1, 256):
            entry = left[descriptor]
            part = entry[0].recv(256 * KIB)
            entry[3].update(part)
            entry[2] += len(part)
            if part:
                continue
            number = entry[1]
            assert entry[2] == REPLY, f"reader {number}: {entry[2]} bytes of {REPLY}"
            assert entry[3].digest() == hashlib.sha256(reply(number)).digest(), f"reader {number}: another SHA-256"
            poller.unregister(descriptor)
            entry[0].close()
            del left[descriptor]
    poller.close()


def test_readers_beyond_the_memory_for_them(gateways, scratch):
    """When what waits would exceed relay.pending_total, those that have stalled longest go: counted, recorded."""
    with Floods() as floods:
        gateway = gateways(floods.address, listen=f"unix:{scratch}/listen", options=[
            "--workers", 1, "--relay-pending-max", "64KiB", "--relay-pending-total", "5MiB"])
        clients = []
        for number in range(400):
            client = faults.connect(gateway.listen)
            client.sendall(struct.pack(">I", number))
            clients.append(client)
        faults.wait_metric(gateway, "pending_exhausted", 1, 30)
        assert faults.metric(gateway, "pending_bytes") <= 5 * MIB
        for client in clients:
            client.close()
        faults.wait_metric(gateway, "sessions_closed", 400, 30)
        metrics = gateway.stats()["metrics"]
        assert gateway.stop()[0] == 0
    closes = [session["close"] for session in gateway.sessions()]
    assert closes.count("limit") == metrics["pending_exhausted"] > 0
    gateway.verify()
