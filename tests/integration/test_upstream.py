# SPDX-License-Identifier: Apache-2.0
"""What becomes of a session when the upstream refuses, never answers, dies, or comes back; and how it is recorded."""
import contextlib
import os
import random
import socket

import pytest

import endpoints
import faults
import processes
import recording


def only_session(gateway):
    """Stops the gateway and returns its one session, after tshark has found nothing amiss."""
    status, log = gateway.stop()
    assert status == 0, log
    gateway.verify()
    reading = recording.tshark_approves(gateway.segments())
    session, = gateway.sessions()
    assert session.state == "closed"
    return session, reading.conversations[0]


@pytest.mark.parametrize("way", ["reset", "close"])
def test_an_upstream_that_refuses(gateways, way):
    """The client is told at once, as configured; what it had sent is recorded, and nothing was forwarded."""
    gateway = gateways(processes.address("127.0.0.1", processes.free_port()), options=["--on-connect-failure", way])
    data, was_reset = faults.attempt(gateway.listen, b"is anybody there?")
    assert data == b"" and (was_reset or way == "close")
    faults.wait_metric(gateway, "connects_refused", 1)
    session, conversation = only_session(gateway)
    assert session["close"] == "connect-refused" and session.forwarded("client") == 0
    assert session.received("client") in (0, 17) and session["bytes"]["client"] == session.received("client")
    assert bool(conversation.resets) == (way == "reset")


@pytest.mark.parametrize("way", ["reset", "close"])
def test_an_upstream_that_never_answers(gateways, silent, way):
    gateway = gateways(silent, options=["--timeouts-connect", "500ms", "--on-connect-failure", way])
    with faults.connect(gateway.listen) as client:
        client.sendall(b"hello?")
        data, was_reset = faults.read_to_end(client)
        assert data == b"" and (was_reset or way == "close")
    faults.wait_metric(gateway, "connects_timed_out", 1)
    session, conversation = only_session(gateway)
    assert session["close"] == "connect-timeout"
    assert session.received("client") == 6 and session.forwarded("client") == 0
    assert session["why"] == "not-connected"
    assert bool(conversation.resets) == (way == "reset")


def test_a_client_that_leaves_while_the_upstream_is_awaited(gateways, silent):
    gateway = gateways(silent, options=["--timeouts-connect", "10s"])
    client = faults.connect(gateway.listen)
    faults.wait_metric(gateway, "sessions_open", 1)
    faults.reset(client)
    faults.wait_metric(gateway, "sessions_closed", 1, seconds=5)
    session, _ = only_session(gateway)
    assert session["close"] == "client-reset"


@pytest.mark.parametrize("bytes_first", [0, 1, 3 << 20])
def test_an_upstream_that_dies_in_the_middle(gateways, bytes_first):
    """Reset by the server while the client still sends: what came before arrives, the reset is passed on."""
    payload = random.Random(bytes_first).randbytes(bytes_first)
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address)
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            reader = faults.Hasher(client)
            server.sendall(payload)
            processes.wait_until(lambda: reader.count == bytes_first, 20, "the reply")
            faults.reset(server)
            reader.finish()
            assert reader.was_reset
    faults.wait_metric(gateway, "resets_server", 1)
    session, conversation = only_session(gateway)
    assert session["close"] == "server-reset" and conversation.resets == ("server",)
    assert session.received("server") == session.forwarded("server") == bytes_first


def test_an_upstream_that_dies_and_comes_back(gateways, scratch):
    """Served, refused while it is away, served again; no session of one time is mixed with another's."""
    address = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(address)
    wanted = []
    for turn in range(3):
        with faults.Upstream(address) as upstream, faults.connect(gateway.listen) as client:
            with upstream.accept() as server:
                client.sendall(b"turn %d" % turn)
                assert faults.read_exactly(server, 6) == b"turn %d" % turn
        faults.wait_metric(gateway, "sessions_closed", 2 * turn + 1)
        wanted.append("server-fin")
        assert faults.attempt(gateway.listen)[0] == b""
        faults.wait_metric(gateway, "sessions_closed", 2 * turn + 2)
        wanted.append("connect-refused")
    assert gateway.stop()[0] == 0
    closes = [session["close"] for session in sorted(gateway.sessions(), key=lambda entry: entry["start"])]
    assert [close.replace("client-fin", "server-fin") for close in closes] == wanted
    gateway.verify()


def test_a_process_of_the_upstream_that_is_killed(gateways, scratch):
    """The generator's server is killed under load: every client sees an end, the gateway goes on."""
    address = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(address)
    server = endpoints.Endpoints(scratch, 5, 1000, listen=address, deadline=60, bytes_max=1 << 20).start()
    clients = endpoints.Endpoints(scratch, 5, 1000, connect=gateway.listen, deadline=60, concurrency=32,
                                  bytes_max=1 << 20).start()
    faults.wait_metric(gateway, "received_server_bytes", 1 << 20)
    server.process.kill()
    result = clients.finish(90)
    problems = []
    for session in result.sessions:
        half = session["client"]
        if half and half["end"] == "timeout":
            problems.append(f"session {session['index']}: the client was left hanging")
        if half and half["first_difference"] is not None:
            problems.append(f"session {session['index']}: a wrong byte at {half['first_difference']}")
    assert not problems, endpoints.show(problems)
    metrics = gateway.stats()["metrics"]
    assert metrics["resets_server"] + metrics["connects_refused"] > 0
    with faults.Upstream(address) as upstream, faults.connect(gateway.listen) as client, upstream.accept() as again:
        client.sendall(b"again")
        assert faults.read_exactly(again, 5) == b"again"
    status, log = gateway.stop()
    assert status == 0, log
    assert len(gateway.sessions()) == metrics["sessions_opened"] + 1
    assert all(session.state == "closed" for session in gateway.sessions())
    recording.tshark_approves(gateway.segments())


def test_a_unix_upstream_that_is_not_there_and_then_full(gateways, scratch):
    """No such path is a refusal; a full backlog is tried again until the time is up."""
    path = scratch / "upstream"
    gateway = gateways(f"unix:{path}", options=["--timeouts-connect", "2s"])
    assert faults.attempt(gateway.listen)[0] == b""
    faults.wait_metric(gateway, "connects_refused", 1)
    with faults.Upstream(f"unix:{path}", backlog=0) as upstream, contextlib.ExitStack() as stack:
        fillers = []
        while True:
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            if filler.connect_ex(str(path)) != 0:
                break
            fillers.append(filler)
        assert faults.attempt(gateway.listen)[0] == b""
        faults.wait_metric(gateway, "connects_timed_out", 1)
        with faults.connect(gateway.listen) as client:
            client.sendall(b"late")
            for _ in fillers:
                upstream.accept().close()
            with upstream.accept() as server:
                assert faults.read_exactly(server, 4) == b"late"
    assert gateway.stop()[0] == 0
    closes = sorted(session["close"] for session in gateway.sessions())
    assert closes[:2] == ["connect-refused", "connect-timeout"] and len(closes) == 3
    gateway.verify()


def test_an_upstream_across_an_unreachable_network(gateways):
    """An address that the kernel has no route to, where there is one: a failure, told to the client at once."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        error = probe.connect_ex(("240.0.0.1", 9))
    if os.strerror(error) not in ("Network is unreachable", "No route to host", "Invalid argument"):
        pytest.skip(f"240.0.0.1: {os.strerror(error)}")
    gateway = gateways("240.0.0.1:9")
    assert faults.attempt(gateway.listen)[0] == b""
    faults.wait_metric(gateway, "connects_failed", 1)
    session, _ = only_session(gateway)
    assert session["close"] == "connect-failed"
