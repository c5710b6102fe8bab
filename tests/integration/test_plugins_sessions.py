# SPDX-License-Identifier: Apache-2.0
"""What plug-ins do with sessions, seen from both ends: the probe (tests/tools/probe.c) does what each test wants."""
import contextlib
import hashlib
import json
import os
import socket
import threading
import time

import pytest

import processes
import prometheus
import recording
from faults import Echo, Upstream, connect, read_exactly, read_to_end, reset
from gogetway import tool
from live import Clients, exchange, listener, said


class Probed:
    """A gateway with one listener and the probe, configured by `config`."""

    def __init__(self, configured, upstream, config, more=None, **options):
        self.gateway = configured
        self.where = listener(upstream, **(more or {}))
        self.options = options
        self.write(**config)
        self.process = configured.start()
        self.address = self.where["listen"]

    def write(self, **config):
        probe = tool("probe-masking.so" if config.get("mode") == "mask" else "probe.so")
        self.gateway.write(self.where, plugins=[{"path": str(probe), "config": config}], **self.options)

    def seen(self):
        lines = self.gateway.command("probe", "seen").stdout.decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def wait(self, **least):
        def enough():
            seen = self.seen()
            return all(seen[name] >= value for name, value in least.items()) and seen
        return processes.wait_until(enough, 20, f"a probe that has seen {least}")

    def metric(self, name):
        return self.gateway.ask("stats")["metrics"][name]

    def command(self, *words, **more):
        return self.gateway.command("probe", *words, **more).stdout.decode()


@pytest.fixture
def probed(configured):
    def make(to, more=None, options=None, **config):
        return Probed(configured, to, config, more, **(options or {}))
    return make


def rest_of(peer):
    return read_to_end(peer)[0]


def first_of(address):
    """What a client gets: all of it, or None if it is reset, be it before it has seen that it is connected."""
    with contextlib.suppress(ConnectionResetError), connect(address) as peer:
        data, cut = read_to_end(peer)
        return None if cut else data
    return None


def was_reset(peer):
    """Nothing came, and its end is no FIN; unless a send has been told of that already."""
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


def last_comment(probed):
    """The closing facts of the store's only session, when the gateway has ended."""
    if probed.process.running():
        probed.process.stop()
    facts = [fact for fact in recording.comments(probed.gateway.segments()) if "close" in fact]
    assert len(facts) == 1
    return facts[0]


# ── Accept ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_accept_passes(probed, server):
    gateway = probed(server.address)
    said(gateway.address)
    assert gateway.seen()["accepted"] == 1


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_accept_refuses(probed, server, kind):
    gateway = probed(server.address, accept=kind)
    for _ in range(3):
        assert first_of(gateway.address) == (b"" if kind == "close" else None)
    assert server.accepted == 0 and gateway.gateway.sessions() == []
    assert gateway.metric("hook_refused_connections") == 3


def test_accept_leaves_hanging(probed, server):
    """Until timeouts.tarpit has passed; then it is reset. Who leaves before is let go."""
    gateway = probed(server.address, options={"timeouts": {"tarpit": "700ms"}}, accept="tarpit")
    with connect(gateway.address) as peer:
        begun = time.monotonic()
        peer.sendall(b"anybody there?")
        with connect(gateway.address):
            processes.wait_until(lambda: gateway.metric("tarpitted_clients") == 2, 10, "two that hang")
        processes.wait_until(lambda: gateway.metric("tarpitted_clients") <= 1, 10, "one that has left")
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
        assert time.monotonic() - begun > 0.6
    processes.wait_until(lambda: gateway.metric("tarpitted_clients") == 0, 10, "nobody")
    assert server.accepted == 0


# ── Open, and where to ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["close", "reset", "reply"])
def test_open_ends_it(probed, server, kind):
    gateway = probed(server.address, open=kind, reply="go away\n")
    assert first_of(gateway.address) == {"close": b"", "reset": None, "reply": b"go away\n"}[kind]
    gateway.wait(closed=1)
    assert server.accepted == 0
    facts = last_comment(gateway)
    assert facts["close"] == "verdict"
    assert facts["verdict"] == {"plugin": "probe", "kind": kind, "reason": "as configured"}
    recording.tshark_approves(gateway.gateway.segments())


def test_open_chooses_the_upstream(probed, servers):
    """One of the list by its name, or an address that is in no list."""
    one, two, other = servers("one", "two", "other")
    names = [f"{one.address} name=one", f"{two.address} name=two"]
    gateway = probed(names, upstream="two")
    for _ in range(4):
        with connect(gateway.address) as peer:
            assert read_exactly(peer, 3) == b"two"
    gateway.write(upstream=other.address)
    status, _ = gateway.gateway.reload()
    assert status == 0
    with connect(gateway.address) as peer:
        assert read_exactly(peer, 5) == b"other"
    gateway.write(upstream="nobody")
    assert gateway.gateway.reload()[0] == 0
    assert first_of(gateway.address) is None
    assert any("cannot be had" in line["event"] for line in gateway.gateway.log())


def test_first_bytes_choose_the_upstream(probed, server):
    """By what the client says first; one that says less in time, or nothing, goes by the list."""
    with Echo() as other:
        gateway = probed(server.address, first_bytes="4B", first_time="300ms", match="GET ", upstream=other.address)
        with connect(gateway.address) as peer:
            exchange(peer, b"GET / HTTP/1.0\r\n\r\n")
        assert (server.accepted, other.accepted) == (0, 1)
        with connect(gateway.address) as peer:
            exchange(peer, b"PUT / HTTP/1.0\r\n\r\n")
        assert (server.accepted, other.accepted) == (1, 1)
        with connect(gateway.address) as peer:
            peer.sendall(b"GE")
            assert read_exactly(peer, 2) == b"GE"
            exchange(peer, b"T and more")
        assert (server.accepted, other.accepted) == (2, 1)
        with connect(gateway.address) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
        assert gateway.wait(firsts=4, closed=4)["firsts"] == 4


@pytest.mark.parametrize("splice", ["on", "off"])
@pytest.mark.parametrize("said_first", [b"", b"my p", b"my pin is 4711 and"])
def test_a_mask_is_asked_for_at_first(probed, server, said_first, splice):
    """By then the plug-in may have seen the client's first bytes, and the recording has none of them yet."""
    gateway = probed(server.address, options={"relay": {"splice": splice}}, first_bytes="8B", first_time="100ms",
                     mode="mask", want_first=True, match="4711", keep="3B", **{"from": "both"})
    rest = (b"my pin is 4711 and" + b" 47" * 30_000 + b"11.")[len(said_first):]
    with connect(gateway.address) as peer:
        peer.sendall(said_first)
        gateway.wait(firsts=1)
        sender = threading.Thread(target=peer.sendall, args=(rest,))
        sender.start()
        assert read_exactly(peer, len(said_first + rest)) == said_first + rest
        sender.join()
        peer.shutdown(socket.SHUT_WR)
        assert rest_of(peer) == b""
    seen = gateway.wait(closed=1)
    assert (seen["firsts"], seen["refused"]) == (1, 0)
    assert last_comment(gateway)["masked"] == {"client": 8, "server": 8}
    session, = gateway.gateway.sessions()
    for side in ("client", "server"):
        assert gateway.gateway.payload(session.id, side) == (said_first + rest).replace(b"4711", b"####")


def test_connect_is_refused(probed, servers):
    """Not this one: the next."""
    one, two = servers("one", "two")
    gateway = probed([f"{one.address} name=one", f"{two.address} name=two"], options={"workers": 1}, avoid="one")
    for _ in range(6):
        with connect(gateway.address) as peer:
            assert read_exactly(peer, 3) == b"two"
    seen = gateway.wait(closed=6)
    assert seen["connected"] == 6 and seen["connects"] == 9 and seen["failed"] == 0


def test_a_refused_trial_says_nothing_about_the_upstream(probed, servers):
    """One that was out, and would be tried again: the plug-in does not let this session, and the next one may try."""
    one, two = servers("one", "two")
    one.stop()
    gateway = probed([f"{one.address} name=one", f"{two.address} name=two backup"],
                     more={"health_failures": 1, "health_out": "3s"}, options={"workers": 1})

    def answer():
        with connect(gateway.address) as peer:
            return read_exactly(peer, 3)

    def refused():
        """Whether it was offered to this session."""
        assert answer() == b"two"
        seen = gateway.seen()
        return seen["connects"] > seen["connected"]

    assert answer() == b"two"
    one.start()
    gateway.write(avoid="one")
    assert gateway.gateway.reload()[0] == 0
    processes.wait_until(refused, 20, "a session that might have tried it")
    gateway.write()
    assert gateway.gateway.reload()[0] == 0
    assert answer() == b"one"


def test_a_failed_connect_is_told(probed, servers):
    one, = servers("one")
    gateway = probed([f"{processes.free_address()} name=dead", f"{one.address} name=one"],
                     more={"health_failures": 0}, options={"workers": 1})
    for _ in range(4):
        with connect(gateway.address) as peer:
            assert read_exactly(peer, 3) == b"one"
    seen = gateway.wait(closed=4)
    assert (seen["connected"], seen["failed"]) == (4, 2)


# ── What is recorded ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("policy, kept", [("full", 100_000), ("first", 1000), ("metadata", 0), ("off", None)])
def test_recording_policy(probed, server, policy, kept):
    gateway = probed(server.address, recording=policy, record_first=1000, tags=["small"])
    block = os.urandom(100_000)
    with connect(gateway.address) as peer:
        exchange(peer, block)
    gateway.wait(closed=1)
    gateway.process.stop()
    store = gateway.gateway
    if kept is None:
        assert store.sessions() == []
        return
    session, = store.sessions()
    for side in ("client", "server"):
        stream = store.payloads()[session.id][side]
        assert stream.sha256 == hashlib.sha256(block[:kept]).hexdigest()
    facts = last_comment(gateway)
    assert facts["tags"] == ["small"] and facts["received"] == {"client": 100_000, "server": 100_000}
    assert facts.get("gaps", {"client": 0})["client"] == 100_000 - kept


# ── Counting and gates ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("splice", ["on", "off"])
def test_count(probed, server, splice):
    gateway = probed(server.address, options={"relay": {"splice": splice}}, mode="count", **{"from": "both"})
    block = os.urandom(3_000_000)
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
    seen = gateway.wait(closed=1)
    assert seen["counted_bytes"] == 6_000_000 and seen["gates"] == 0
    assert (gateway.metric("spliced_bytes") > 0) == (splice == "on")


def test_a_gate_sees_everything_in_order(probed, server):
    gateway = probed(server.address, mode="gate", **{"from": "both"})
    block = os.urandom(3_000_000)
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    seen = gateway.wait(closed=1)
    assert (seen["gated_bytes"], seen["disorder"], seen["ends"]) == (6_000_000, 0, 2)
    assert gateway.metric("spliced_bytes") == 0


@pytest.mark.parametrize("kind", ["close", "reset", "tarpit", "reply"])
def test_what_a_gate_stops_never_arrives(probed, kind):
    """Neither the read that it stops, nor what follows; what came before does. The recording has all of it."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict=kind, reply="no\n")
        with connect(gateway.address) as peer:
            peer.sendall(b"SELECT 1;")
            behind = upstream.accept()
            assert read_exactly(behind, 9) == b"SELECT 1;"
            peer.sendall(b"x; DROP TABLE t;")
            gateway.wait(gates=2)
            with contextlib.suppress(OSError):
                peer.sendall(b"and more")
            assert read_to_end(behind) == (b"", kind in ("reset", "tarpit"))
            if kind == "close":
                assert read_to_end(peer) == (b"", False)
            elif kind == "reset":
                assert was_reset(peer)
            elif kind == "reply":
                assert rest_of(peer) == b"no\n"
            else:
                peer.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    peer.recv(1)
        gateway.wait(closed=1)
        behind.close()
    gateway.process.stop()
    facts = last_comment(gateway)
    assert facts["close"] == "verdict" and facts["forwarded"]["client"] == 9
    assert facts["verdict"] == {"plugin": "probe", "kind": kind, "reason": "matched"}
    session, = gateway.gateway.sessions()
    said_by_client = gateway.gateway.payload(session.id, "client")
    assert said_by_client.startswith(b"SELECT 1;x; DROP TABLE t;")
    assert gateway.gateway.payload(session.id, "server") == (b"no\n" if kind == "reply" else b"")
    recording.tshark_approves(gateway.gateway.segments())


def test_a_reply_reaches_a_client_that_goes_on_sending(probed):
    """What it still sends must not reset it before it has read the reply."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="STOP", verdict="reply", reply="x" * 4000)
        with connect(gateway.address) as peer:
            peer.sendall(b"STOP" + bytes(200_000))
            assert rest_of(peer) == b"x" * 4000
        assert gateway.wait(closed=1)["closed"] == 1


def test_a_gate_of_the_server(probed):
    """What the server must not say does not reach the client."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="SECRET", verdict="reset", **{"from": "server"})
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            behind.sendall(b"hello ")
            assert read_exactly(peer, 6) == b"hello "
            behind.sendall(b"the SECRET is 42")
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        behind.close()


def test_what_a_gate_keeps_back(probed):
    """The last bytes stay until more come, or the end."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", keep=3)
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"abcdef")
            assert read_exactly(behind, 3) == b"abc"
            peer.sendall(b"g")
            assert read_exactly(behind, 1) == b"d"
            behind.settimeout(0.2)
            with pytest.raises(TimeoutError):
                behind.recv(1)
            behind.settimeout(20)
            peer.shutdown(socket.SHUT_WR)
            assert rest_of(behind) == b"efg"
            behind.close()
            assert peer.recv(1) == b""
        assert gateway.wait(closed=1, ends=1)["disorder"] == 0


def test_bulk_with_bytes_kept_back(probed, server):
    gateway = probed(server.address, mode="gate", keep=1000, **{"from": "both"})
    block = os.urandom(2_000_000)
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=lambda: (peer.sendall(block), peer.shutdown(socket.SHUT_WR)))
        sender.start()
        assert rest_of(peer) == block
        sender.join()
    assert gateway.wait(closed=1)["disorder"] == 0


@pytest.mark.parametrize("kind", ["pass", "reset", "close", "reply"])
def test_hold_and_resume(probed, kind):
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="WAIT", verdict="hold", reply="held\n")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"first")
            assert read_exactly(behind, 5) == b"first"
            peer.sendall(b"WAIT for it")
            gateway.wait(held=1)
            peer.sendall(b", and this too")
            behind.settimeout(0.2)
            with pytest.raises(TimeoutError):
                behind.recv(1)
            behind.settimeout(20)
            gateway.command("resume", kind)
            if kind == "pass":
                assert read_exactly(behind, 25) == b"WAIT for it, and this too"
                behind.sendall(b"done")
                assert read_exactly(peer, 4) == b"done"
            else:
                assert read_to_end(behind) == (b"", kind == "reset")
                assert read_to_end(peer) == (b"held\n" if kind == "reply" else b"", kind == "reset")
        behind.close()
        assert gateway.wait(closed=1)["held"] == 0


def test_a_client_that_leaves_while_it_is_held(probed, server):
    gateway = probed(server.address, mode="gate", match="WAIT", verdict="hold")
    with connect(gateway.address) as peer:
        peer.sendall(b"WAIT")
        gateway.wait(held=1)
        reset(peer)
    gateway.wait(closed=1)
    assert gateway.command("resume", "pass") == ""


@pytest.mark.parametrize("address_is", ["name", "address"])
def test_divert(probed, address_is):
    """All that the client said goes to the other one, and the first has seen none of it."""
    with Upstream() as upstream, Echo() as honeypot:
        names = [upstream.address, f"{honeypot.address} name=honeypot backup"]
        gateway = probed(names, mode="gate", match="exploit", verdict="divert",
                         upstream="honeypot" if address_is == "name" else honeypot.address)
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            exchange(peer, b"an exploit")
            exchange(peer, b"and more")
            with contextlib.suppress(ConnectionResetError):
                assert behind.recv(1) == b""
            behind.close()
        gateway.wait(closed=1)
        gateway.process.stop()
        facts = last_comment(gateway)
        assert facts["close"] == "client-fin" and facts["upstream"] == honeypot.address


def test_divert_comes_too_late(probed, server):
    gateway = probed(server.address, mode="gate", match="exploit", verdict="divert", upstream=server.address)
    with connect(gateway.address) as peer:
        exchange(peer, b"hello")
        peer.sendall(b"exploit")
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
    gateway.wait(closed=1)
    assert "diverted" in last_comment(gateway)["verdict"]["reason"]


def test_throttle(probed):
    """Seen by the upstream: at no time has it got more than the rate allows and one read, which is a twentieth of a
    second's; and all of it in not much more time, as far as the machine lets it."""
    rate, seconds = 200_000, 1.5
    block = os.urandom(int(rate * seconds))
    with Upstream() as upstream:
        gateway = probed(upstream.address, rate=rate)
        with connect(gateway.address) as peer, upstream.accept() as behind:
            peer.sendall(b"first")
            assert read_exactly(behind, 5) == b"first"
            sender = threading.Thread(target=peer.sendall, args=(block,))
            begun = time.monotonic()
            sender.start()
            got, seen = bytearray(), []
            while len(got) < len(block):
                got += behind.recv(1 << 20)
                seen.append((time.monotonic() - begun, len(got)))
            sender.join()
            assert got == block
            behind.sendall(block)  # the other direction is not slow
            assert read_exactly(peer, len(block)) == block
    too_early = [(took, count) for took, count in seen if count > rate * (took + 0.1)]
    assert not too_early
    assert 0.9 * seconds < seen[-1][0] < 5 * seconds


def test_a_gate_is_given_back(probed, server):
    """In the middle of a bulk transfer: from then on it is spliced, and the bytes are the same."""
    gateway = probed(server.address, options={"relay": {"splice": "on"}}, mode="gate", give_back="1MiB")
    block = os.urandom(20_000_000)
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
    seen = gateway.wait(closed=1)
    assert 1 << 20 <= seen["gated_bytes"] < 2 << 20
    assert gateway.metric("spliced_bytes") > 10_000_000
    session, = gateway.gateway.sessions()
    assert gateway.gateway.payloads()[session.id]["client"].sha256 == hashlib.sha256(block).hexdigest()


def test_a_gate_is_given_back_and_its_plugin_unloaded(probed, server):
    """Both amid a bulk transfer, which neither stops nor loses a byte; the plug-in goes with its session."""
    gateway = probed(server.address, options={"relay": {"splice": "on"}}, mode="gate", give_back="4MiB",
                     **{"from": "both"})
    block = os.urandom(16_000_000)
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, 1_000_000) == block[:1_000_000]  # the gates are there, and the rest waits
        gateway.gateway.write(gateway.where, **gateway.options)
        status, reply = gateway.gateway.reload()
        assert status == 0 and "unloaded when the last session" in str(reply["changed"])
        assert read_exactly(peer, len(block) - 1_000_000) == block[1_000_000:]
        sender.join()
        spliced = gateway.metric("spliced_bytes")
        assert spliced > 8_000_000
        exchange(peer, block)  # and again, when nobody has it in his configuration any more
        assert gateway.metric("spliced_bytes") > spliced + 16_000_000
        assert "the probe is gone" not in gateway.process.errors()
        peer.shutdown(socket.SHUT_WR)
        assert rest_of(peer) == b""
    processes.wait_until(lambda: "the probe is gone" in gateway.process.errors(), 20, "an unloaded plug-in")
    assert gateway.process.stop() == 0
    session, = gateway.gateway.sessions()
    for side in ("client", "server"):
        told = gateway.gateway.payloads()[session.id][side]
        assert told.sha256 == hashlib.sha256(block + block).hexdigest()


def test_what_is_wanted_at_present_is_told(probed, server):
    """Each open session has two directions, in some mode each."""
    gateway = probed(server.address, mode="gate", give_back="10B", match="STOP", verdict="reply", reply="no")

    def directions():
        found = json.loads(gateway.gateway.command("plugins", "--json").stdout)
        return {mode: count for mode, count in found["directions"].items() if count}

    def text():
        lines = gateway.gateway.command("plugins").stdout.decode().splitlines()
        return next(line.split(maxsplit=1)[1] for line in lines if line.startswith("  directions "))

    assert directions() == {} and text() == "none is open"
    with connect(gateway.address) as first:
        exchange(first, b"hello")
        with connect(gateway.address) as second, connect(gateway.address) as third:
            exchange(second, b"hello")
            exchange(third, b"hello")
            assert directions() == {"none": 3, "gate": 3} and text() == "3 none, 3 gate"
            told = prometheus.parse(gateway.gateway.command("stats", "--format", "prometheus").stdout.decode())
            for mode, count in {"none": 3, "count": 0, "observe": 0, "gate": 3, "rewrite": 0, "mask": 0}.items():
                assert prometheus.value(told, "gogetway_plugin_directions", plugin="probe", mode=mode) == count
            exchange(second, b"hello again")
            assert directions() == {"none": 4, "gate": 2}
            third.sendall(b"STOP")
            assert read_exactly(third, 2) == b"no"  # and it lingers: nothing is wanted of it any more
            assert directions() == {"none": 5, "gate": 1}
        processes.wait_until(lambda: directions() == {"none": 1, "gate": 1}, 20, "the ends of two")
    processes.wait_until(lambda: directions() == {}, 20, "the end of the last")


# ── From outside ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["close", "reset", "tarpit"])
def test_cut_by_order(probed, server, kind):
    gateway = probed(server.address, tags=["known"])
    with connect(gateway.address) as peer:
        exchange(peer, b"hello")
        line, = gateway.command("list").splitlines()
        key, _, client, upstream, received, forwarded, tag = line.split()
        assert (client, upstream) == ("%s:%d" % peer.getsockname(), server.address)
        assert (received, forwarded, tag) == ("5", "5", "known")
        gateway.command("cut", key, kind)
        gateway.wait(closed=1)
        if kind == "close":
            assert peer.recv(1) == b""
        elif kind == "reset":
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        else:
            peer.settimeout(0.3)
            with pytest.raises(TimeoutError):
                peer.recv(1)
        assert gateway.command("list") == ""
        done = gateway.gateway.command("probe", "cut", key, kind, check=False)
        assert done.returncode == 3 and b"no session" in done.stderr


@pytest.mark.parametrize("kind", ["close", "reset", "tarpit"])
@pytest.mark.parametrize("point", ["open", "first", "connect", "connected", "failed", "tick",
                                   "count", "observe", "gate", "rewrite", "mask"])
def test_a_session_is_cut_from_within_each_callback(probed, server, point, kind):
    """The last ones are called by their modes."""
    modes = ("count", "observe", "gate", "rewrite", "mask")
    config = {"close_in": point, "cut_kind": kind, "mode": point if point in modes else "gate"}
    if point == "first":
        config.update(first_bytes=1, first_time="2s")
    to = server.address if point != "failed" else [processes.free_address(), f"{server.address} backup"]
    gateway = probed(to, more={"health_failures": 0} if point == "failed" else {}, **config)
    count = 12
    with contextlib.ExitStack() as hanging:
        for _ in range(count):
            with contextlib.suppress(OSError):
                peer = hanging.enter_context(connect(gateway.address))
                peer.sendall(b"hello")
                if kind != "tarpit":
                    read_to_end(peer)
                    peer.close()
        assert gateway.wait(closed=count)["closed"] == count
        if kind == "tarpit":
            assert gateway.metric("tarpitted_clients") == count
    assert gateway.process.stop() == 0
    facts = [fact for fact in recording.comments(gateway.gateway.segments())
             if "close" in fact and "as_sent_of" not in fact]
    assert len(facts) == count and {fact["close"] for fact in facts} == {"verdict"}
    assert all(fact["verdict"] == {"plugin": "probe", "kind": kind, "reason": point} for fact in facts)


@pytest.mark.parametrize("kind", ["close", "reset", "tarpit"])
def test_a_session_that_has_ended_is_cut_by_its_last_callback(probed, server, kind):
    """It has ended as it has; the order finds nobody."""
    gateway = probed(server.address, close_in="close", cut_kind=kind, mode="gate", **{"from": "both"})
    for _ in range(20):
        said(gateway.address)
    assert gateway.wait(closed=20)["closed"] == 20
    with connect(gateway.address) as peer:
        exchange(peer, b"the next one")
    assert gateway.process.stop() == 0
    facts = [fact for fact in recording.comments(gateway.gateway.segments()) if "close" in fact]
    assert len(facts) == 21 and {fact["close"] for fact in facts} == {"client-fin"}


def test_a_slow_gate_is_named(probed, server):
    gateway = probed(server.address, mode="gate", sleep="50ms")
    said(gateway.address)
    processes.wait_until(lambda: [line for line in gateway.gateway.log() if line.get("plugin") == "probe" and
                                  line.get("hook") == "gate"], 10, "a message about the slow gate")


def test_many_are_held_and_one_is_not(probed, server):
    """They cost the one nothing, and all go on when they are let go."""
    gateway = probed(server.address, mode="gate", match="WAIT", verdict="hold")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(gateway.address)) for _ in range(500)]
        for peer in held:
            peer.sendall(b"WAIT")
        gateway.wait(held=500)
        with Clients(gateway.address, staying=2, threads=1) as clients:
            clients.more(50)
            clients.end()
        gateway.command("resume", "pass")
        for peer in held:
            assert read_exactly(peer, 4) == b"WAIT"


def test_reload_while_sessions_are_gated(probed, server):
    """Those that are open keep the instance that they have; new ones have the new one."""
    gateway = probed(server.address, mode="gate", match="OLD", verdict="reset")
    with connect(gateway.address) as before:
        exchange(before, b"hello")
        gateway.write(mode="gate", match="NEW", verdict="reset")
        assert gateway.gateway.reload()[0] == 0
        exchange(before, b"NEW is nothing to me")
        with connect(gateway.address) as after:
            exchange(after, b"OLD is nothing to me")
            after.sendall(b"NEW")
            with pytest.raises(ConnectionResetError):
                after.recv(1)
        before.sendall(b"OLD")
        with pytest.raises(ConnectionResetError):
            before.recv(1)


def test_no_plugin_at_all_after_a_reload(probed, server):
    gateway = probed(server.address, mode="gate", match="DROP", verdict="reset")
    with connect(gateway.address) as before:
        exchange(before, b"hello")
        gateway.gateway.write(gateway.where)
        assert gateway.gateway.reload()[0] == 0
        with connect(gateway.address) as after:
            exchange(after, b"DROP")
        exchange(before, b"still here")
    processes.wait_until(lambda: "the probe is gone" in gateway.process.errors(), 10, "an unloaded plug-in")
