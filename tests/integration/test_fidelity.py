# SPDX-License-Identifier: Apache-2.0
"""Random sessions through the gateway: what the ends sent and received, what our reader finds, what tshark finds.

Seeds are fixed; GOGETWAY_TEST_SEED tries another. A failure names the session's index, and
`endpoints stream --seed S --index I --side X` makes the stream again.
"""
import os
import random
import selectors
import socket
import struct

import pytest

import endpoints
import faults
import processes
import recording
from gogetway import SIDES, TEST_ALL, Stream

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20240501"))
GIB = 1 << 30


def drive(gateway, listen, scratch, seed, sessions, deadline=180, **options):
    """Runs the generator through the gateway and stops the gateway: (result, its exit status, its log)."""
    run = endpoints.Endpoints(scratch, seed, sessions, gateway.listen, listen, deadline=deadline, **options)
    result = run.start().finish(deadline + 60)
    status, log = gateway.stop()
    return result, status, log


def check_everything(result, gateway, scratch, expected=None):
    """All of it: ends, our reader, facts, tshark. Fails with every problem found."""
    raw = scratch / "raw"
    recorded = gateway.sessions()
    payloads = gateway.payloads(keep=raw)
    problems = endpoints.check_endpoints(result)
    pairs, unmatched = endpoints.match_sessions(result, recorded, raw)
    problems += unmatched
    problems += endpoints.check_payloads(result, pairs, payloads, raw)
    problems += endpoints.check_facts(result, pairs, payloads)
    reading = recording.tshark_read(gateway.segments())
    problems += endpoints.check_conversations(result, pairs, payloads, reading, len(recorded))
    if len(recorded) != (expected or len(result.sessions)):
        problems.append(f"{len(recorded)} sessions are recorded of {len(result.sessions)}")
    assert not problems, endpoints.show(problems)
    return pairs, payloads, raw


def tcpflow_sample(gateway, result, pairs, payloads, scratch, count=25):
    """A third reader, for some sessions: exported by us as classic pcap, reassembled by tcpflow."""
    small = [session for session in result.sessions if endpoints.is_orderly(session) and session["index"] in pairs]
    chosen = random.Random(SEED).sample(small, min(count, len(small)))
    files = []
    for session in chosen:
        target = scratch / f"sample-{session['index']}.pcap"
        gateway.command("export", f"id={pairs[session['index']].id}", "--format", "pcap", "-o", target)
        files.append(target)
    flows = recording.tcpflow_read(files, scratch)
    for session in chosen:
        recorded = pairs[session["index"]]
        for side, key in (("client", (recorded.client, recorded["server"])),
                          ("server", (recorded["server"], recorded.client))):
            wanted = payloads[recorded.id][side]
            if wanted.count > 0:
                assert flows.get(key) == wanted, f"session {session['index']}: tcpflow, {side}"


def test_random_sessions(gateways, scratch):
    """The rule of the house: 2,000 sessions (10,000 in all mode), every byte accounted for four times."""
    count = 10000 if TEST_ALL else 2000
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream)
    result, status, log = drive(gateway, upstream, scratch, SEED, count, deadline=120 if not TEST_ALL else 600,
                                concurrency=64, unique_source=True)
    assert status == 0, log
    pairs, payloads, raw = check_everything(result, gateway, scratch)
    gateway.verify()
    tcpflow_sample(gateway, result, pairs, payloads, scratch)


@pytest.mark.parametrize("splice", ["on", "off"])
def test_random_sessions_by_splice_and_in_place(gateways, scratch, splice):
    """Long streams and mixed writes, so that a session changes between the two ways of relaying."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--relay-splice", splice])
    result, status, log = drive(gateway, upstream, scratch, SEED + 1, 150, concurrency=16, unique_source=True,
                                bytes_max=32 << 20, slow_percent=2)
    assert status == 0, log
    check_everything(result, gateway, scratch)


def test_urgent_bytes_near_the_end_of_spliced_streams(gateways, scratch):
    """With the peer's FIN already there, splice(2) returns 0 at an urgent byte, long before the stream's end."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--relay-splice", "on"])
    result, status, log = drive(gateway, upstream, scratch, SEED + 7, 400, concurrency=100, unique_source=True,
                                bytes_max=2 << 20, urgent_percent=100, reset_percent=0, slow_percent=0)
    assert status == 0, log
    check_everything(result, gateway, scratch)


@pytest.mark.parametrize("client,server", [("::1", "::1"), ("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_random_sessions_over_ipv6(gateways, scratch, client, server):
    upstream = processes.address(server, processes.free_port(server))
    listen = processes.address(client, processes.free_port(client))
    gateway = gateways(upstream, listen)
    result, status, log = drive(gateway, upstream, scratch, SEED + 2, 300, concurrency=32, unique_source=True)
    assert status == 0, log
    check_everything(result, gateway, scratch)


@pytest.mark.parametrize("client,server", [("unix", "unix"), ("127.0.0.1", "unix"), ("unix", "127.0.0.1")])
def test_random_sessions_over_unix_sockets(gateways, scratch, client, server):
    """A unix socket knows neither resets nor urgent bytes."""
    def place(kind, name):
        return f"unix:{scratch}/{name}" if kind == "unix" else processes.address(kind, processes.free_port(kind))
    upstream = place(server, "upstream")
    gateway = gateways(upstream, place(client, "listen"))
    result, status, log = drive(gateway, upstream, scratch, SEED + 3, 300, concurrency=32, unique_source=True,
                                reset_percent=0, urgent_percent=0)
    assert status == 0, log
    check_everything(result, gateway, scratch)


def test_random_sessions_over_many_segments(gateways, scratch):
    """Small segments: sessions go on from one to the next, and tshark still sees one conversation each."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--segment-max-bytes", "1MiB"])
    result, status, log = drive(gateway, upstream, scratch, SEED + 4, 400, concurrency=32, unique_source=True)
    assert status == 0, log
    assert len(gateway.segments()) > 10
    check_everything(result, gateway, scratch)


def test_one_session_at_a_time_is_recorded_in_order(gateways, scratch):
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream)
    result, status, log = drive(gateway, upstream, scratch, SEED + 5, 60, concurrency=1, unique_source=True,
                                bytes_max=65536)
    assert status == 0, log
    pairs, _, _ = check_everything(result, gateway, scratch)
    # An id begins with the milliseconds of its accept; within one, workers do not agree on an order.
    starts = [pairs[session["index"]].id[:12] for session in result.sessions]
    assert starts == sorted(starts), "ids are not in order of time"


@pytest.mark.skipif(not TEST_ALL, reason="writes 4.3 GB; GOGETWAY_TEST_ALL=1")
def test_a_session_longer_than_the_sequence_numbers(gateways, scratch):
    """Over 4.2 GiB one way: sequence numbers wrap, segments follow each other."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream)
    result, status, log = drive(gateway, upstream, scratch, SEED + 6, 1, deadline=300,
                                client_bytes=int(4.25 * GIB), server_bytes=1 << 20)
    assert status == 0, log
    assert not endpoints.check_endpoints(result)
    session, = gateway.sessions()
    sent = {side: Stream(result.sessions[0][side]["sent"], result.sessions[0][side]["sent_sha256"]) for side in SIDES}
    assert sent["client"].count > 4.2 * GIB
    assert {side: session.received(side) for side in SIDES} == {side: sent[side].count for side in SIDES}
    assert gateway.payloads()[session.id] == sent
    assert len(gateway.segments()) > 1
    reading = recording.tshark_approves(gateway.segments(), seconds=1800)
    conversation, = reading.conversations
    assert conversation.streams == sent


# ---- Ports that are taken again ------------------------------------------------------------------------------------
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets, and the kernel has done with the port


def connect_from(address, to, message):
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.bind(address)
    peer.setblocking(False)
    peer.connect_ex(to)
    peer.send(message)
    return peer


def talk_and_reset(addresses, to, rounds, seconds=60):
    """From each address one session after the other, without a pause. Returns what each of them has said."""
    said, left = [], dict.fromkeys(addresses, rounds)
    with selectors.DefaultSelector() as selector:
        def begin(address):
            left[address] -= 1
            said.append(b"%08d" % len(said))
            selector.register(connect_from(address, to, said[-1]), selectors.EVENT_READ, (address, said[-1]))
        for address in addresses:
            begin(address)
        while selector.get_map():
            ready = selector.select(seconds)
            assert ready, f"{len(selector.get_map())} sessions have no answer"
            for key, _ in ready:
                address, message = key.data
                assert key.fileobj.recv(100) == message
                selector.unregister(key.fileobj)
                key.fileobj.close()
                if left[address]:
                    begin(address)
    return said


def test_ports_that_are_taken_again_at_once(gateways, scratch):
    """The gateway accepts a port's next session before it has seen the last one's reset: each has its own bytes, and
    its listener's name, nevertheless."""
    port = processes.free_port()
    addresses = [(f"127.77.0.{number}", port) for number in range(1, 49)]
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        host, _, listening = gateway.listen.rpartition(":")
        said = talk_and_reset(addresses, (host, int(listening)), 40)
        gateway.wait_sessions_closed(len(said))
        assert gateway.stop()[0] == 0
    sessions, payloads = gateway.sessions(), gateway.payloads()
    assert len(sessions) == len(said)
    for side in SIDES:
        assert all(session["bytes"][side] == session.received(side) for session in sessions)
        recorded = sorted((payload[side].count, payload[side].sha256) for payload in payloads.values())
        assert recorded == sorted((len(message), Stream.of_bytes(message).sha256) for message in said)
    gateway.verify()
