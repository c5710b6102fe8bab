# SPDX-License-Identifier: Apache-2.0
"""When gates are called without new bytes, how sessions that they close end, and what those cost that wait."""
import contextlib
import os
import socket
import statistics
import threading
import time

import pytest

import processes
import recording
from faults import Upstream, connect, read_exactly, read_to_end
from test_plugins_sessions import Probed, last_comment

LINGER_S = 5  # GG_LINGER_NS


@pytest.fixture
def probed(configured):
    def make(to, more=None, options=None, **config):
        return Probed(configured, to, config, more, **(options or {}))
    return make


def nothing_for(peer, seconds):
    before = peer.gettimeout()
    peer.settimeout(seconds)
    with pytest.raises(TimeoutError):
        peer.recv(1)
    peer.settimeout(before)


# ── Due ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hold_ends_when_its_time_has_come(probed):
    """Not before; what came meanwhile follows; and it is asked once."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="WAIT", verdict="hold", after="300ms")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            begun = time.monotonic()
            peer.sendall(b"WAIT for it")
            gateway.wait(held=1)
            peer.sendall(b", and this too")
            assert read_exactly(behind, 25) == b"WAIT for it, and this too"
            assert 0.3 <= time.monotonic() - begun < 5
            behind.sendall(b"done")
            assert read_exactly(peer, 4) == b"done"
        behind.close()
        seen = gateway.wait(closed=1)
        assert (seen["dues"], seen["disorder"]) == (1, 0)


def test_what_is_kept_back_goes_when_nothing_more_comes(probed):
    """A call before takes the time back: it counts from the last one."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", keep=3, after="400ms")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"abcdef")
            assert read_exactly(behind, 3) == b"abc"
            time.sleep(0.2)
            last = time.monotonic()
            peer.sendall(b"g")
            assert read_exactly(behind, 1) == b"d"
            assert read_exactly(behind, 3) == b"efg"
            assert 0.4 <= time.monotonic() - last < 5
            assert gateway.seen()["dues"] == 1
        behind.close()


def test_the_end_waits_for_what_is_kept_back_until_its_time(probed):
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", keep=3, after="300ms")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            begun = time.monotonic()
            peer.sendall(b"abcdef")
            peer.shutdown(socket.SHUT_WR)
            assert read_exactly(behind, 3) == b"abc"
            assert read_to_end(behind) == (b"def", False)
            assert 0.3 <= time.monotonic() - begun < 5
            behind.close()
            assert peer.recv(1) == b""
        assert gateway.wait(closed=1)["dues"] == 1
    assert last_comment(gateway)["close"] == "client-fin"


@pytest.mark.parametrize("kind", ["close", "reset", "reply", "tarpit", "hold"])
def test_what_a_gate_says_when_it_is_due(probed, kind):
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="WAIT", verdict="hold", after="100ms", on_due=kind,
                         reply="late\n")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"WAIT for it")
            gateway.wait(dues=3 if kind == "hold" else 1)
            if kind == "hold":
                nothing_for(behind, 0.2)
                gateway.command("resume", "pass")
                assert read_exactly(behind, 11) == b"WAIT for it"
                return
            assert read_to_end(behind) == (b"", kind in ("reset", "tarpit"))
            if kind == "tarpit":
                nothing_for(peer, 0.3)
            else:
                assert read_to_end(peer) == (b"late\n" if kind == "reply" else b"", kind == "reset")
        behind.close()
        gateway.wait(closed=1)
    facts = last_comment(gateway)
    assert (facts["close"], facts["verdict"]["kind"], facts["forwarded"]["client"]) == ("verdict", kind, 0)


def test_a_gate_is_due_to_the_millisecond_or_so(probed):
    """Never early. How late depends on this machine; the least of many tells how exact it is."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", keep="1KiB", after="2ms")
        took = []
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            for _ in range(50):
                begun = time.monotonic()
                peer.sendall(b"x")
                assert read_exactly(behind, 1) == b"x"
                took.append(time.monotonic() - begun)
        behind.close()
    assert min(took) >= 0.002
    assert min(took) < 0.008, statistics.median(took)


def test_what_waits_costs_nothing(probed):
    """Sessions that are held for a minute, or throttled to a crawl, do not turn the workers' loops."""
    with Upstream() as upstream, contextlib.ExitStack() as open_ones:
        gateway = probed(upstream.address, mode="gate", match="WAIT", verdict="hold", after="1m", rate=1,
                         options={"workers": 1, "timeouts": {"drain": "100ms"}})
        for number in range(220):
            peer = open_ones.enter_context(connect(gateway.address))
            open_ones.callback(upstream.accept().close)
            peer.sendall(bytes(60) if number < 20 else b"WAIT")
            if number == 19:
                gateway.command("rate", "0")
        gateway.wait(held=200)
        before, begun = gateway.metric("loop_iterations"), time.monotonic()
        time.sleep(2)
        turns = (gateway.metric("loop_iterations") - before) / (time.monotonic() - begun)
        assert turns < 60, f"{turns} turns a second"  # each that is throttled reads once


# ── Close ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["close", "reply"])
def test_both_sides_get_a_fin_however_much_is_unread(probed, kind):
    """Also of one that goes on sending, as long as it stops some time; and what it sends is recorded, and goes
    nowhere."""
    block = os.urandom(500_000)
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict=kind, reply="no\n")
        with connect(gateway.address) as peer:
            peer.sendall(b"SELECT 1;")
            behind = upstream.accept()
            assert read_exactly(behind, 9) == b"SELECT 1;"
            behind.sendall(block)
            assert read_exactly(peer, len(block)) == block
            peer.sendall(b"x; DROP TABLE t;" + block)
            behind.sendall(b"more")
            assert read_to_end(behind) == (b"", False)
            told, cut = read_to_end(peer)
            assert not cut
            assert told in ((b"no\n", b"moreno\n") if kind == "reply" else (b"", b"more"))
        behind.close()
        processes.wait_until(lambda: gateway.seen()["closed"] == 1, 3, "a session that both have left")
    facts = last_comment(gateway)
    assert (facts["close"], facts["forwarded"]["client"]) == ("verdict", 9)
    assert facts["verdict"] == {"plugin": "probe", "kind": kind, "reason": "matched"}
    session, = gateway.gateway.sessions()
    assert gateway.gateway.payload(session.id, "client") == b"SELECT 1;x; DROP TABLE t;" + block
    recording.tshark_approves(gateway.gateway.segments())


def test_what_was_passed_reaches_a_slow_receiver_before_the_fin(probed):
    """Both ways: what the gate let go, no more and no less, and no reset behind it."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict="close",
                         options={"relay": {"pending_max": "64KiB"}}, **{"from": "both"})
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            for one in (peer, behind):
                one.settimeout(0.5)
                with pytest.raises(TimeoutError):  # until everything on the way is full
                    while True:
                        one.sendall(b"passed " * 10_000)
                one.settimeout(20)
            taken = []
            reader = threading.Thread(target=lambda: taken.append(read_to_end(behind)))
            behind.shutdown(socket.SHUT_WR)
            peer.shutdown(socket.SHUT_WR)
            gateway.command("cut", gateway.command("list").split()[0], "close")
            time.sleep(0.3)
            reader.start()
            taken.append(read_to_end(peer))
            reader.join()
            assert [cut for _, cut in taken] == [False, False]
        behind.close()
        gateway.wait(closed=1)
    facts = last_comment(gateway)
    assert facts["close"] == "verdict"
    lengths = {len(data) for data, _ in taken}
    assert lengths == {facts["forwarded"]["client"], facts["forwarded"]["server"]} and min(lengths) > 65536
    for data, _ in taken:
        assert data == (b"passed " * (len(data) // 7 + 1))[:len(data)]


def test_a_close_before_there_is_an_upstream(probed):
    """Whoever has sent something is not reset, and what it sent is recorded."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, open="close")
        for _ in range(20):
            with connect(gateway.address) as peer:
                peer.sendall(bytes(100_000))
                assert read_to_end(peer) == (b"", False)
        gateway.wait(closed=20)
    gateway.process.stop()
    sizes = {len(gateway.gateway.payload(session.id, "client")) for session in gateway.gateway.sessions()}
    assert sizes == {100_000}


def test_an_order_closes_what_is_held(probed):
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="WAIT", verdict="hold")
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"WAIT for it")
            gateway.wait(held=1)
            peer.sendall(b"and more")
            gateway.command("cut", gateway.command("list").split()[0], "close")
            assert read_to_end(peer) == (b"", False)
            assert read_to_end(behind) == (b"", False)
        behind.close()
        gateway.wait(closed=1)
    facts = last_comment(gateway)
    assert (facts["close"], facts["forwarded"]["client"], facts["received"]["client"]) == ("verdict", 0, 19)


def parted(gateway, upstream, open_ones):
    """A session that a gate has closed, and whose two sides stay: its ends."""
    peer = open_ones.enter_context(connect(gateway.address))
    behind = open_ones.enter_context(upstream.accept())
    peer.sendall(b"DROP it")
    assert peer.recv(1) == b"" and behind.recv(1) == b""
    return peer, behind


def test_who_does_not_leave_is_left(probed):
    with Upstream() as upstream, contextlib.ExitStack() as open_ones:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict="close")
        begun = time.monotonic()
        parted(gateway, upstream, open_ones)
        gateway.wait(closed=1)
        assert LINGER_S - 0.1 <= time.monotonic() - begun < 3 * LINGER_S
    assert last_comment(gateway)["close"] == "verdict"


def test_a_drain_and_an_order_cut_it_short(probed):
    with Upstream() as upstream, contextlib.ExitStack() as open_ones:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict="close",
                         options={"timeouts": {"drain": "300ms"}})
        begun = time.monotonic()
        parted(gateway, upstream, open_ones)
        key = gateway.command("list").split()[0]
        gateway.command("cut", key, "close")  # it ends so already
        assert gateway.seen()["closed"] == 0
        gateway.command("cut", key, "reset")
        gateway.wait(closed=1)
        peer, behind = parted(gateway, upstream, open_ones)
        assert gateway.process.stop(LINGER_S) == 0
        assert time.monotonic() - begun < LINGER_S
        with contextlib.suppress(OSError):
            peer.sendall(b"?")
            behind.sendall(b"?")
    facts = [fact for fact in recording.comments(gateway.gateway.segments()) if "close" in fact]
    assert [fact["close"] for fact in facts] == ["verdict", "verdict"]
    assert [fact["verdict"]["kind"] for fact in facts] == ["reset", "close"]


def test_one_that_is_reset_has_left(probed):
    """What the other one was to get, it gets."""
    with Upstream() as upstream:
        gateway = probed(upstream.address, mode="gate", match="DROP", verdict="close")
        peer = connect(gateway.address)
        behind = upstream.accept()
        behind.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                behind.sendall(bytes(65536))
        peer.sendall(b"DROP it")
        gateway.wait(gates=1)
        behind.close()  # with a FIN unread or not: nothing more comes from it
        data, cut = read_to_end(peer)
        assert not cut and len(data) > 65536
        peer.close()
        processes.wait_until(lambda: gateway.seen()["closed"] == 1, 3, "a session that both have left")
    facts = last_comment(gateway)
    assert (facts["close"], facts["forwarded"]["server"]) == ("verdict", len(data))
