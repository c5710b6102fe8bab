# SPDX-License-Identifier: Apache-2.0
"""Small messages of one wait are all received before the first of them is sent on, and each arrives all the same. The
gateway is stopped while many clients send, so that one wait brings what they sent."""
import contextlib
import os
import re
import signal
import socket
import struct

import pytest

import faults
import live
import processes
from gogetway import Stream

CLIENTS = 20
SMALL, LARGE = 64, 16 << 10  # one that is put off, one that is sent at once
CALL = re.compile(r"^(recvfrom|readv|sendto|sendmsg)\((\d+), .* = (\d+)$")


@pytest.fixture
def peers(gateways, server):
    """A gateway before a server that echoes, and clients that have each exchanged something."""
    with contextlib.ExitStack() as stack:
        gateway = gateways(server.address, options=["--workers", "1"])
        clients = [stack.enter_context(faults.connect(gateway.listen)) for _ in range(CLIENTS)]
        for client in clients:
            live.exchange(client, b"hello")
        yield gateway, clients


@contextlib.contextmanager
def stopped(gateway):
    """What is sent meanwhile comes in one wait."""
    os.kill(gateway.process.pid, signal.SIGSTOP)
    try:
        processes.wait_until(lambda: processes.stopped(gateway.process.pid), 20, "a stop of every thread")
        yield
    finally:
        os.kill(gateway.process.pid, signal.SIGCONT)


def blocks(size):
    return [bytes([number]) * size for number in range(1, CLIENTS + 1)]


def receive(peer, size):
    got = b""
    while len(got) < size:
        part = peer.recv(size - len(got))
        assert part, f"ended after {len(got)} of {size} bytes"
        got += part
    return got


def burst(gateway, clients, sent):
    with stopped(gateway):
        for client, block in zip(clients, sent):
            client.sendall(block)
    for client, block in zip(clients, sent):
        assert receive(client, len(block)) == block


def traced(gateway, scratch, log):
    return faults.traced(gateway, scratch, log, "-e", "trace=recvfrom,readv,sendto,sendmsg", thread="gg-worker-0")


def calls(path):
    """What the gateway received and sent, in order: ("r" or "s", bytes)."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = [CALL.match(line) for line in file]
    return [("r" if match[1] in ("recvfrom", "readv") else "s", int(match[3])) for match in found if match]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_order_of_receiving_and_sending(peers, scratch, size):
    gateway, clients = peers
    log = os.path.join(scratch, "calls")
    with traced(gateway, scratch, log):
        burst(gateway, clients, blocks(size))
        live.exchange(clients[0], b"x")  # the worker has come back from its last send, and strace has seen it
    order = "".join(call for call, count in calls(log) if count == size)
    assert order.count("r") == order.count("s") == 2 * CLIENTS, order
    if size == SMALL:
        assert order.startswith("r" * CLIENTS + "s" * CLIENTS), order
    else:
        assert order.startswith("rsrs"), order


def test_bulk_is_not_waited_for(peers, scratch):
    """A flow whose last read was full may take long: what came before it is sent before it is read."""
    gateway, (bulk, *clients) = peers
    full = b"b" * (32 << 10)
    live.exchange(bulk, full)
    log = os.path.join(scratch, "calls")
    with traced(gateway, scratch, log):
        with stopped(gateway):
            for client in clients:
                client.sendall(b"s" * SMALL)
            bulk.sendall(full)
        for client in clients:
            receive(client, SMALL)
        receive(bulk, len(full))
    small, large = len(clients), len(full)
    assert calls(log)[:2 * small + 1] == [("r", SMALL)] * small + [("s", SMALL)] * small + [("r", large)]


def test_every_message_is_recorded_and_arrives(peers):
    gateway, clients = peers
    rounds = 20
    for _ in range(rounds):
        burst(gateway, clients, blocks(SMALL))
    for client in clients:
        client.close()
    gateway.wait_sessions_closed(CLIENTS)
    gateway.stop()
    payloads = gateway.payloads()
    assert len(payloads) == CLIENTS
    expected = {Stream.of_bytes(b"hello" + rounds * block) for block in blocks(SMALL)}
    for side in ("client", "server"):
        assert {sides[side] for sides in payloads.values()} == expected
    gateway.verify()


def test_some_are_reset_in_the_same_wait(peers):
    """A reset behind a message ends that session alone."""
    gateway, clients = peers
    sent = blocks(SMALL)
    with stopped(gateway):
        for number, (client, block) in enumerate(zip(clients, sent)):
            client.sendall(block)
            if number % 2 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
    for number, (client, block) in enumerate(zip(clients, sent)):
        if number % 2:
            assert receive(client, SMALL) == block
            live.exchange(client, b"still here")

    def ended():
        states = [session.state for session in gateway.sessions()]
        return states.count("closed") == CLIENTS // 2 and len(states) == CLIENTS
    processes.wait_until(ended, 20, "the sessions that were reset closed, and no other", interval=0.2)
    gateway.verify()


def test_an_end_behind_a_message(peers):
    """The FIN that came with a message is passed on behind it."""
    gateway, clients = peers
    sent = blocks(SMALL)
    with stopped(gateway):
        for client, block in zip(clients, sent):
            client.sendall(block)
            client.shutdown(socket.SHUT_WR)
    for client, block in zip(clients, sent):
        assert receive(client, SMALL) == block
        assert client.recv(1) == b""
    gateway.wait_sessions_closed(CLIENTS)
