# SPDX-License-Identifier: Apache-2.0
"""`--upstream none`: accept, greet, record what comes, say nothing more."""
import contextlib
import random
import socket

import pytest

import endpoints
import faults
import recording
from gogetway import EMPTY, Stream


def finish(gateway):
    return recording.finish(gateway, tshark=True), gateway.payloads()


def place(kind, scratch):
    return f"unix:{scratch}/honeypot" if kind == "unix" else None


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("greeting", [b"", b"220 mail.example ready\r\n", b"\x00\xff\r\n", b"x" * 1000],
                         ids=["none", "text", "binary", "long"])
def test_what_comes_is_recorded_and_only_the_greeting_is_said(gateways, scratch, kind, greeting):
    words = "".join(f"\\x{byte:02x}" for byte in greeting)
    gateway = gateways("none", listen=place(kind, scratch), options=["--greeting", words] if greeting else [])
    payload = random.Random(len(greeting)).randbytes(700000)
    with faults.connect(gateway.listen) as client:
        assert faults.read_exactly(client, len(greeting)) == greeting
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)
        assert faults.read_to_end(client) == (b"", False)
    session, = (found := finish(gateway))[0]
    assert session["close"] == "client-fin" and not session["upstream"]
    assert found[1][session.id] == {"client": Stream.of_bytes(payload),
                                    "server": Stream.of_bytes(greeting) if greeting else EMPTY}
    assert session.received("client") == len(payload) and session.forwarded("server") == len(greeting)
    assert session.forwarded("client") == 0 and session["why"] == "no-upstream"


def test_many_clients_at_once_with_a_greeting(gateways):
    gateway = gateways("none", options=["--greeting", "hello\\n", "--workers", 2])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(faults.connect(gateway.listen)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for client in clients:
            assert faults.read_exactly(client, 6) == b"hello\n"
    sessions, payloads = finish(gateway)
    assert len(sessions) == 200
    assert sorted(payloads[session.id]["client"].sha256 for session in sessions) == sorted(
        Stream.of_bytes(b"%d" % number).sha256 for number in range(200))
    assert {payloads[session.id]["server"] for session in sessions} == {Stream.of_bytes(b"hello\n")}


@pytest.mark.parametrize("how", ["silence", "reset", "reset-unread"])
def test_a_client_that_says_nothing_or_resets(gateways, how):
    gateway = gateways("none", options=["--greeting", "hello"])
    client = faults.connect(gateway.listen)
    if how == "silence":
        assert faults.read_exactly(client, 5) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert faults.read_to_end(client) == (b"", False)
        client.close()
    else:
        client.sendall(b"probe")
        faults.wait_metric(gateway, "received_client_bytes", 5)
        if how == "reset":
            faults.read_exactly(client, 5)
        faults.reset(client)
    faults.wait_metric(gateway, "sessions_closed", 1)
    session, = finish(gateway)[0]
    assert session["close"] == ("client-fin" if how == "silence" else "client-reset")
    assert session.received("client") == (0 if how == "silence" else 5)


def test_a_silent_client_is_closed_for_silence(gateways):
    gateway = gateways("none", options=["--timeouts-idle", "300ms", "--greeting", "hello"])
    with faults.connect(gateway.listen) as client:
        data, _ = faults.read_to_end(client)
        assert data == b"hello"
    faults.wait_metric(gateway, "idle_timeouts", 1)
    session, = finish(gateway)[0]
    assert session["close"] == "idle-timeout"


@pytest.mark.parametrize("listen,upstream", [("unix", "unix"), ("tcp", "unix"), ("unix", "tcp"), ("tcp", "tcp")])
@pytest.mark.parametrize("first", ["client", "server"])
def test_half_closes_either_way(gateways, scratch, listen, upstream, first):
    """One side has ended; the other still sends for long, and then ends too."""
    late = random.Random(1).randbytes(1 << 20)
    with faults.Upstream(f"unix:{scratch}/upstream" if upstream == "unix" else None) as up:
        gateway = gateways(up.address, listen=f"unix:{scratch}/listen" if listen == "unix" else None)
        with faults.connect(gateway.listen) as client, up.accept() as server:
            early, other = (client, server) if first == "client" else (server, client)
            early.sendall(b"all I have to say")
            early.shutdown(socket.SHUT_WR)
            assert faults.read_to_end(other) == (b"all I have to say", False)
            reader = faults.Hasher(early)
            other.sendall(late)
            other.shutdown(socket.SHUT_WR)
            assert reader.finish() == Stream.of_bytes(late) and not reader.was_reset
    session, = (found := finish(gateway))[0]
    assert session["close"] == f"{first}-fin" and session.state == "closed"
    other_side = endpoints.OTHER[first]
    assert found[1][session.id] == {first: Stream.of_bytes(b"all I have to say"), other_side: Stream.of_bytes(late)}
