# SPDX-License-Identifier: Apache-2.0
"""Clients that want too much: limits of sources, time-outs, slow drips, hostile headers, floods. Others are served
meanwhile."""
import contextlib
import os
import pathlib
import select
import signal
import socket
import struct
import threading
import time

import pytest

import faults
import processes
from gogetway import TEST_ALL
from recording import finish
from test_proxy_protocol import SIGNATURE, v1, v2
from test_slow_readers import REPLY, Floods, reply

KIB, MIB = 1 << 10, 1 << 20
TRUST = ["--proxy-protocol-in", "any", "--trusted", "127.0.0.0/8"]


def is_served(sock, data=b"hello"):
    """Whether an echo comes back; False: it was reset. Anything else fails."""
    try:
        sock.sendall(data)
        return faults.read_exactly(sock, len(data)) == data
    except ConnectionError:
        return False


def kept(sock, header=b""):
    """The socket if it is served, None if it is reset."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(header)
        if is_served(sock):
            return sock
    sock.close()
    return None


def visit(address, source):
    """Connects from there: the socket if it is served, None if it is reset."""
    try:
        return kept(faults.connect(address, source=source))
    except ConnectionError:
        return None


def check_served(address, source, count=5):
    for _ in range(count):
        sock = visit(address, source)
        assert sock, f"{source} was refused"
        sock.close()


def closes(sessions):
    return sorted(session["close"] for session in sessions)


REFUSED = "clients of one source are refused"
AS_RECORDED = 0.9  # a session is recorded a little after its accept, from which its time-outs count


# ── Sources ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_of_a_source(gateways):
    """The fourth of one source is reset and leaves no record; other sources are served; a place that is free is had."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--limits-source-sessions", 3, "--workers", 2])
        held = [visit(gateway.listen, "127.0.0.5") for _ in range(3)]
        assert all(held)
        for _ in range(40):
            assert visit(gateway.listen, "127.0.0.5") is None
        check_served(gateway.listen, "127.0.0.6")
        assert all(is_served(sock) for sock in held)
        assert faults.metric(gateway, "refused_source_sessions") == 40
        assert faults.metric(gateway, "sources") == 1
        held.pop().close()
        closed = 5 + 1
        faults.wait_metric(gateway, "sessions_closed", closed)
        held.append(visit(gateway.listen, "127.0.0.5"))
        assert held[-1]
        assert visit(gateway.listen, "127.0.0.5") is None
        lines = faults.events(gateway, REFUSED)
        assert lines[0]["client"] == "127.0.0.5" and lines[0]["refused"] == 1
        assert 1 <= len(lines) < 20 and sum(line["refused"] for line in lines) <= 41
        for sock in held:
            sock.close()
        faults.wait_metric(gateway, "sessions_closed", closed + 3)
        assert faults.metric(gateway, "sources") == 0
        sessions = finish(gateway)
    assert closes(sessions) == ["client-fin"] * (closed + 3)


def test_new_sessions_of_a_source(gateways):
    """A burst of one second's worth, then the rate; another source has its own bucket."""
    rate = 10
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--limits-source-rate", rate])
        begun = time.monotonic()
        served = sum(1 for _ in range(60) if close_if(visit(gateway.listen, "127.0.0.7")))
        took = time.monotonic() - begun
        assert rate <= served <= rate + rate * took + 1
        check_served(gateway.listen, "127.0.0.8", rate)
        assert faults.metric(gateway, "refused_source_rate") == 60 - served
        assert {line["reason"] for line in faults.events(gateway, REFUSED)} == {"limits.source_rate is reached"}
        processes.wait_until(lambda: close_if(visit(gateway.listen, "127.0.0.7")), 5, "the bucket to fill")
        served += 1
        sessions = finish(gateway)
    assert len(sessions) == served + rate


def close_if(sock):
    if sock:
        sock.close()
    return sock is not None


def proxied(address, header):
    """A client behind a proxy: the socket if it is served, None if it is reset."""
    return kept(faults.connect(address), header)


def client(ip, port=4711):
    server = "2001:db8::1" if ":" in ip else "198.51.100.1"
    return v2((ip, port), (server, 443))


def test_sources_behind_a_proxy(gateways):
    """Who is counted is the header's client, not the proxy; who is refused is recorded, with a reason of its own."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[*TRUST, "--limits-source-sessions", 2])
        held = []
        for ip in ("192.0.2.1", "192.0.2.2", "2001:db8:1:1::1", "2001:db8:1:2::1"):
            for number in range(2):
                held.append(proxied(gateway.listen, client(ip, 1000 + number)))
        local = SIGNATURE + b"\x20\x00\x00\x00"
        held += [proxied(gateway.listen, local) for _ in range(5)]  # the proxy speaks for itself: nobody's source
        assert all(held)
        assert proxied(gateway.listen, client("192.0.2.1", 2000)) is None
        assert proxied(gateway.listen, v1(("192.0.2.2", 2000))) is None
        assert proxied(gateway.listen, client("2001:db8:1:1:ffff::9", 2000)) is None  # of the same network
        assert all(is_served(sock) for sock in held)
        assert faults.metric(gateway, "refused_source_sessions") == 3
        assert faults.metric(gateway, "sources") == 4
        for sock in held:
            sock.close()
        faults.wait_metric(gateway, "sessions_closed", len(held) + 3)
        assert faults.metric(gateway, "sources") == 0
        sessions = finish(gateway)
    refused = [session for session in sessions if session["close"] == "source-sessions"]
    assert sorted(session["client"] for session in refused) == ["192.0.2.1:2000", "192.0.2.2:2000",
                                                                "[2001:db8:1:1:ffff::9]:2000"]
    assert len(sessions) == len(held) + 3
    assert gateway.sessions("close=source-sessions") == refused


def test_the_rate_behind_a_proxy(gateways):
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[*TRUST, "--limits-source-rate", 1])
        assert close_if(proxied(gateway.listen, client("192.0.2.1")))
        assert proxied(gateway.listen, client("192.0.2.1", 4712)) is None  # a port of its own, as connections have
        assert close_if(proxied(gateway.listen, client("192.0.2.2")))
        sessions = finish(gateway)
    assert closes(sessions) == ["client-fin", "client-fin", "source-rate"]


def test_unix_peers_have_no_source(gateways, scratch):
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, listen=f"unix:{scratch}/listen",
                           options=["--limits-source-sessions", 1, "--limits-source-rate", 1])
        held = [faults.connect(gateway.listen) for _ in range(10)]
        assert all(is_served(sock) for sock in held)
        for sock in held:
            sock.close()
        assert len(finish(gateway)) == 10


def test_a_flood_of_one_source(gateways):
    """Thousands of connections from one address: others are served while it goes on, memory stays."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--limits-source-sessions", 5, "--workers", 2])
        check_served(gateway.listen, "127.0.0.10")
        base, stop = faults.private_bytes(gateway.process.pid), threading.Event()
        made, lock = [0], threading.Lock()

        def flood():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    faults.connect(gateway.listen, source="127.0.0.9").close()
                    with lock:
                        made[0] += 1
        floods = [threading.Thread(target=flood, daemon=True) for _ in range(4)]
        for thread in floods:
            thread.start()
        try:
            processes.wait_until(lambda: made[0] > 500, 30, "a flood")
            for _ in range(20):
                begun = time.monotonic()
                check_served(gateway.listen, "127.0.0.10", 1)
                assert time.monotonic() - begun < 5
            processes.wait_until(lambda: made[0] > 2000, 60, "more of the flood")
        finally:
            stop.set()
            for thread in floods:
                thread.join(20)
        assert faults.private_bytes(gateway.process.pid) - base < 4 * MIB
        total = 5 + 20 + made[0]

        def ended():
            metrics = gateway.stats()["metrics"]
            done = metrics["sessions_closed"] + metrics["refused_source_sessions"] >= total
            return done and metrics["sessions_open"] == 0 and metrics
        metrics = processes.wait_until(ended, 20, "the end of all")
        assert metrics["sessions_open"] == metrics["sources"] == 0 and metrics["refused_source_sessions"] > 0
        finish(gateway)


# ── PROXY headers ─────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = {
    "v1-too-long": b"PROXY TCP4 " + b"1" * 200,
    "v1-no-end": b"PROXY UNKNOWN " + b"x" * 200,
    "v1-end-at-108": b"PROXY UNKNOWN " + b"x" * (108 - 14 - 2) + b"\r\n",
    "v1-nul": b"PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n",
    "v1-port": b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
    "v1-newline": b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
    "v2-length-65535": SIGNATURE + b"\x21\x11\xff\xff",
    "v2-longer-than-4096": SIGNATURE + b"\x21\x11" + struct.pack(">H", 4096 - 16 + 1),
    "v2-too-short": SIGNATURE + b"\x21\x11\x00\x04abcd",
    "v2-tlv-beyond-the-end": v2(more=b"\x04\xff\xff"),
    "v2-version": SIGNATURE + b"\x31\x11\x00\x00",
    "neither": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(gateways, name):
    """Refused as soon as it is certain, not when the time is up; the next client is served."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[*TRUST, "--timeouts-proxy-header", "1m"])
        with faults.connect(gateway.listen) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(HOSTILE[name])
            assert faults.read_to_end(sock) == (b"", True)
        assert close_if(proxied(gateway.listen, v1()))
        sessions = finish(gateway)
    assert closes(sessions) == ["client-fin", "proxy-invalid"]
    assert sum(session.forwarded("client") for session in sessions) == len(b"hello")


REST = 4096 - 16 - 12 - 3  # what is left for one TLV's value


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN " + b"x" * (107 - 14 - 2) + b"\r\n",
                                    v2(more=b"\x04" + struct.pack(">H", REST) + bytes(REST))],
                         ids=["v1-of-107", "v2-of-4096"])
def test_the_longest_headers(gateways, header):
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=TRUST)
        assert len(header) in (107, 4096)
        assert close_if(proxied(gateway.listen, header))
        assert closes(finish(gateway)) == ["client-fin"]


def test_headers_that_drip(gateways):
    """Very many clients send their header byte by byte: each is closed when its time is up, others are served."""
    count = 3000 if TEST_ALL else 1000
    header = v1()[:-1]
    with faults.descriptors(count + 500), faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[*TRUST, "--timeouts-proxy-header", "2s"])
        base = faults.private_bytes(gateway.process.pid)
        clients = {}
        for number in range(count):
            sock = faults.connect(gateway.listen, source=f"127.9.{number >> 8}.{number & 255}")
            sock.setblocking(False)
            clients[sock.fileno()] = sock
        most, at, begun = 0, 0, time.monotonic()
        while time.monotonic() - begun < 8 and clients:
            for descriptor, sock in list(clients.items()):
                try:
                    sock.send(header[at % len(header):][:1])
                except (ConnectionError, BlockingIOError):
                    sock.close()
                    del clients[descriptor]
            at += 1
            most = max(most, faults.private_bytes(gateway.process.pid))
            assert close_if(proxied(gateway.listen, v1(("192.0.2.9", at))))  # two of one port may overlap
        assert not clients, f"{len(clients)} clients still drip"
        assert most - base < count * KIB + 4 * MIB
        honest = at
        faults.wait_metric(gateway, "sessions_closed", count + honest)
        assert faults.metric(gateway, "proxy_headers_invalid") == count
        sessions = finish(gateway)
    assert closes(sessions) == ["client-fin"] * honest + ["proxy-invalid"] * count


# ── Slow readers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_readers_that_take_one_byte_at_a_time(gateways, scratch):
    """Each holds at most pending_max bytes of ours, however long it goes on; what they read is right."""
    count, pending_max = 1000, 16 * KIB
    quiet = processes.address("127.0.0.1", processes.free_port())
    with faults.descriptors(3 * count), Floods() as floods, faults.Echo() as echo:
        gateway = gateways(floods.address, listen=f"unix:{scratch}/listen", options=[
            "--listen", quiet, "--upstream", echo.address, "--relay-pending-max", "16KiB", "--log-max", "16MiB",
            "--catalogue", "off"])  # which has memory of its own for each open session
        base, clients = faults.private_bytes(gateway.process.pid), []
        for number in range(count):
            sock = faults.connect(gateway.listen, seconds=60)
            sock.sendall(struct.pack(">I", number))
            clients.append(sock)
        faults.wait_metric(gateway, "sessions_open", count, 60)
        got = [b""] * count
        samples = []
        for _ in range(6):
            for number, sock in enumerate(clients):
                got[number] += faults.read_exactly(sock, 1)
            check_served(quiet, "127.0.0.1", 3)
            samples.append(faults.private_bytes(gateway.process.pid) - base)
        bound = count * (pending_max + KIB) + 8 * MIB
        assert max(samples) < bound, f"{samples} of at most {bound}"
        assert 0 < faults.metric(gateway, "pending_bytes") <= bound
        assert faults.metric(gateway, "pending_exhausted") == 0
        for number, sock in enumerate(clients):
            assert reply(number)[:len(got[number])] == got[number]
        for number in (0, count - 1):  # they get the rest when they want it
            rest = faults.read_exactly(clients[number], REPLY - len(got[number]))
            assert got[number] + rest == reply(number)
        for sock in clients:
            sock.close()
        processes.wait_until(lambda: faults.metric(gateway, "sessions_open") == 0, 60, "all sessions ended")
        assert gateway.stop()[0] == 0


# ── Time-outs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Banner(faults.Upstream):
    """Says something at once, then echoes."""

    def __init__(self, banner=b"220 hello\r\n"):
        super().__init__()
        self.banner = banner
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._talk, args=(self.accept(60),), daemon=True).start()

    def _talk(self, sock):
        with sock, contextlib.suppress(OSError):
            sock.sendall(self.banner)
            while data := sock.recv(65536):
                sock.sendall(data)


def reset_after(sock):
    """Seconds until the peer resets."""
    begun = time.monotonic()
    data, was_reset = faults.read_to_end(sock)
    assert was_reset, f"an orderly end after {data!r}"
    return time.monotonic() - begun


def test_a_client_that_says_nothing(gateways):
    """It is closed whatever the server said; one that said something may be silent then."""
    with Banner() as upstream:
        gateway = gateways(upstream.address, options=["--timeouts-first-byte", "700ms"])
        with faults.connect(gateway.listen) as talker, faults.connect(gateway.listen) as silent:
            begun = time.monotonic()
            talker.sendall(b"x")
            assert faults.read_exactly(silent, len(upstream.banner)) == upstream.banner
            waited = reset_after(silent)
            assert 0.3 < waited < 10
            while time.monotonic() - begun < 1.5:  # twice its time-out
                time.sleep(0.05)  # the silence is the test's input
            assert faults.read_exactly(talker, len(upstream.banner) + 1) == upstream.banner + b"x"
            assert is_served(talker)
        assert faults.metric(gateway, "first_byte_timeouts") == 1
        sessions = finish(gateway)
    assert closes(sessions) == ["client-fin", "first-byte-timeout"]
    late = next(session for session in sessions if session["close"] == "first-byte-timeout")
    assert late["duration_ns"] >= 700e6 * AS_RECORDED


def test_the_longest_life(gateways):
    """A session that is never silent ends when it is as old as it may be."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--timeouts-session", "1s", "--timeouts-idle", "300ms"])
        with faults.connect(gateway.listen) as busy, faults.connect(gateway.listen) as idle:
            begun = time.monotonic()
            assert is_served(idle)
            while is_served(busy):
                assert time.monotonic() - begun < 20
                time.sleep(0.01)  # a pause of less than the idle time-out
            assert time.monotonic() - begun >= 0.9
            assert faults.read_to_end(idle)[1]
        sessions = finish(gateway)
    assert closes(sessions) == ["idle-timeout", "session-timeout"]
    old = next(session for session in sessions if session["close"] == "session-timeout")
    assert 1e9 * AS_RECORDED <= old["duration_ns"] < 10e9


def pour(sock, stop):
    """Sends until it is told to stop or the peer is gone."""
    sock.setblocking(False)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not stop.is_set():
            select.select([], [sock], [], 0.1)
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(bytes(65536))
    return sent


@pytest.mark.parametrize("splice", ["off", "on"])
@pytest.mark.parametrize("deaf", ["client", "server"])
def test_a_receiver_that_takes_nothing(gateways, splice, deaf):
    """It is closed after the time-out although the other side goes on sending; a slow one is not."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--timeouts-stall", "1s", "--relay-splice", splice])
        stop = threading.Event()
        pairs = []
        for _ in range(2):
            near = faults.connect(gateway.listen, receive_bytes=64 * KIB)
            far = upstream.accept()
            pairs.append((near, far) if deaf == "client" else (far, near))
        (stalled, source), (slow, other) = pairs
        threads = [threading.Thread(target=pour, args=(sock, stop), daemon=True) for sock in (source, other)]
        for thread in threads:
            thread.start()
        try:
            slow.settimeout(10)
            begun = time.monotonic()
            faults.wait_metric(gateway, "received_server_bytes" if deaf == "client" else "received_client_bytes", MIB)
            while time.monotonic() - begun < 4 or not faults.metric(gateway, "stall_timeouts"):
                assert time.monotonic() - begun < 30, "the stalled session was not closed"
                for _ in range(8):
                    assert slow.recv(64 * KIB), "the slow one was closed"
                time.sleep(0.1)  # it is slow
            assert faults.metric(gateway, "stall_timeouts") == 1
            assert faults.metric(gateway, "sessions_open") == 1
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
        for sock in (stalled, source, slow, other):
            faults.reset(sock)
        sessions = finish(gateway)
    assert "stall-timeout" in closes(sessions) and len(sessions) == 2


def test_a_pause_of_reading_is_no_stall_by_default(gateways):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address)
        with faults.connect(gateway.listen, receive_bytes=64 * KIB) as reader, upstream.accept() as far:
            far.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += far.send(bytes(65536))
                    time.sleep(0.001)  # the gateway takes it
            time.sleep(2)  # the pause is the test's input
            faults.read_exactly(reader, sent)
        assert gateway.stop()[0] == 0


def test_very_many_deadlines(gateways, scratch):
    """Hundreds of sessions with four time-outs each, one timer: all end in time."""
    count = 600
    with faults.descriptors(count + 500), faults.echo_process(scratch) as upstream:
        gateway = gateways(upstream, options=["--timeouts-session", "2s", "--timeouts-idle", "1m",
                                              "--timeouts-first-byte", "1s", "--timeouts-stall", "1m"])
        clients = [faults.connect(gateway.listen, source=f"127.9.0.{number % 250 + 1}") for number in range(count)]
        for sock in clients[::2]:
            sock.sendall(b"x")
        processes.wait_until(lambda: faults.metric(gateway, "sessions_closed") == count, 20, "the end of all")
        for sock in clients:
            sock.close()
        sessions = finish(gateway)
    assert closes(sessions) == ["first-byte-timeout"] * (count // 2) + ["session-timeout"] * (count // 2)
    for session in sessions:
        least = 2e9 if session["close"] == "session-timeout" else 1e9
        assert least * AS_RECORDED <= session["duration_ns"] < least + 5e9


# ── What the kernel counts ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backlog_that_overflows(gateways):
    """While the gateway is stopped the kernel's queue fills: its counters tell, and who is in the queue is served."""
    queue = min(4096, int(pathlib.Path("/proc/sys/net/core/somaxconn").read_text()))
    with faults.descriptors(queue + 1000), faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--workers", 1, "--sessions-max", 50])
        before = faults.metric(gateway, "kernel_listen_overflows"), faults.metric(gateway, "kernel_listen_drops")
        os.kill(gateway.process.pid, signal.SIGSTOP)
        clients = []
        try:
            for number in range(queue + 100):
                sock = socket.socket()
                sock.setblocking(False)
                sock.bind((f"127.10.{number >> 8}.{number & 255}", 0))
                sock.connect_ex(faults.host_port(gateway.listen))
                clients.append(sock)
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
        processes.wait_until(lambda: faults.metric(gateway, "kernel_listen_overflows") > before[0], 20, "overflows")
        assert faults.metric(gateway, "kernel_listen_drops") > before[1]
        clients[0].settimeout(20)
        assert is_served(clients[0])
        for sock in clients:
            faults.reset(sock)
        processes.wait_until(lambda: faults.metric(gateway, "sessions_open") == 0, 60, "all sessions ended")
        check_served(gateway.listen, "127.0.0.11")
        assert gateway.stop()[0] == 0
