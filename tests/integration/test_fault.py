# SPDX-License-Identifier: Apache-2.0
"""plugins/fault: what is measured at both ends is what was set. Lower bounds are strict, since nothing may be early or
too much; upper ones leave room for a loaded machine."""
import contextlib
import os
import pathlib
import socket
import statistics
import threading
import time

import pytest

import processes
import recording
from faults import Upstream, connect, read_exactly, read_to_end
from gogetway import program
from live import exchange, listener

pytestmark = pytest.mark.usefixtures("require_program")
FAULT = pathlib.Path(os.path.realpath(program())).parent / "plugins/fault/fault.so"
LATE_S = 1.5  # what a machine that does other things may add


class Faulty:
    def __init__(self, gateway, to, config, options):
        self.gateway = gateway
        self.where = listener(to)
        gateway.write(self.where, plugins=[{"path": str(FAULT), "config": config}],
                      **{"timeouts": {"drain": "200ms"}, **options})
        self.process = gateway.start()
        self.address = self.where["listen"]

    def command(self, *words, check=True):
        return self.gateway.command("fault", *words, check=check)

    def status(self):
        lines = self.command("status").stdout.decode().splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def facts(self):
        self.process.stop()
        return [fact for fact in recording.comments(self.gateway.segments()) if "close" in fact]


@pytest.fixture
def faulty(configured):
    def make(to, options=None, **config):
        return Faulty(configured, to, config, options or {})
    return make


@contextlib.contextmanager
def pair(gateway, upstream):
    with connect(gateway.address) as peer, upstream.accept() as behind:
        yield peer, behind


def took(sender, receiver, data=b"x"):
    begun = time.monotonic()
    sender.sendall(data)
    assert read_exactly(receiver, len(data)) == data
    return time.monotonic() - begun


# ── Latency and jitter ──────────────────────────────────────────────────────────────────────────────────────────────


def test_latency_of_each_direction(faulty):
    """40 ms one way, 90 ms the other: never less, and the median within 100 ms of it."""
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="40ms", to_client_latency="90ms")
        with pair(gateway, upstream) as (peer, behind):
            there = [took(peer, behind) for _ in range(15)]
            back = [took(behind, peer) for _ in range(15)]
    assert min(there) >= 0.040 and statistics.median(there) < 0.140, there
    assert min(back) >= 0.090 and statistics.median(back) < 0.190, back


def test_jitter_is_between_latency_and_the_sum_and_keeps_the_order(faulty):
    """20 ms and up to 60 more: 40 messages are spread over it, and the bytes come as they went."""
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="20ms", to_server_jitter="60ms", seed=7)
        with pair(gateway, upstream) as (peer, behind):
            times = [took(peer, behind) for _ in range(40)]
            block = os.urandom(30_000)
            for at in range(0, len(block), 300):
                peer.sendall(block[at:at + 300])
            assert read_exactly(behind, len(block)) == block
    assert min(times) >= 0.020 and sorted(times)[35] < 0.250, times
    assert max(times) - min(times) > 0.025 and statistics.median(times) > 0.030, times


def test_many_are_late_at_the_same_time(faulty):
    """Latency is not throughput: what is sent within it arrives together, one latency later."""
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="300ms")
        with pair(gateway, upstream) as (peer, behind):
            begun = time.monotonic()
            for _ in range(20):
                peer.sendall(b"0123456789")
                time.sleep(0.005)
            assert read_exactly(behind, 200) == b"0123456789" * 20
            assert 0.3 <= time.monotonic() - begun < 0.3 + LATE_S


def test_the_delay_buffer_is_bounded(faulty):
    """relay.pending_max of each direction waits, however much is sent; and all of it arrives in the end."""
    block = os.urandom(400_000)
    with Upstream() as upstream:
        gateway = faulty(upstream.address, options={"relay": {"pending_max": "16KiB"}}, to_server_latency="1s")
        with pair(gateway, upstream) as (peer, behind):
            sender = threading.Thread(target=peer.sendall, args=(block,))
            sender.start()
            time.sleep(0.5)
            assert 0 < gateway.gateway.ask("stats")["metrics"]["received_client_bytes"] <= 16384
            gateway.command("set", "to_server_latency", "1ms")
            assert read_exactly(behind, len(block)) == block
            sender.join()


# ── Rate ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rate, size", [(100_000, 80_000), (2_000_000, 1_500_000), (200, 150)])
def test_rate(faulty, rate, size):
    """No more than the rate and two slices of 20 ms; at least half of it."""
    block = os.urandom(size)
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_client_rate=rate)
        with pair(gateway, upstream) as (peer, behind):
            assert took(peer, behind, b"the other way is as fast as ever") < LATE_S
            sender = threading.Thread(target=behind.sendall, args=(block,))
            begun = time.monotonic()
            sender.start()
            assert read_exactly(peer, size) == block
            seconds = time.monotonic() - begun
            sender.join()
    assert (size - 2 * max(1, rate // 50)) / rate <= seconds < 2 * size / rate + LATE_S


# ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_slow_close(faulty):
    """The bytes come at once, and their end 400 ms later."""
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_slow_close="400ms")
        with pair(gateway, upstream) as (peer, behind):
            begun = time.monotonic()
            peer.sendall(b"all")
            peer.shutdown(socket.SHUT_WR)
            assert read_exactly(behind, 3) == b"all"
            assert behind.recv(1) == b""
            assert 0.4 <= time.monotonic() - begun < 0.4 + LATE_S
            behind.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
    assert [fact["close"] for fact in gateway.facts()] == ["client-fin"]


def test_the_end_is_late_as_the_bytes_are(faulty):
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="200ms")
        with pair(gateway, upstream) as (peer, behind):
            begun = time.monotonic()
            peer.sendall(b"all")
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind) == (b"all", False)
            assert 0.2 <= time.monotonic() - begun < 0.2 + LATE_S


@pytest.mark.parametrize("after, sent", [(10_000, 50_000), (10_000, 10_000), (1, 5), (40_000, 300_000)])
def test_reset_after_exactly_so_many_bytes(faulty, after, sent):
    block = os.urandom(sent)
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_client_reset_after=after)
        with pair(gateway, upstream) as (peer, behind):
            behind.sendall(block)
            assert read_to_end(peer) == (block[:after], True)
            with contextlib.suppress(OSError):
                assert read_to_end(behind) == (b"", True)
        processes.wait_until(lambda: gateway.status()["resets"] == "1", 10, "a reset")
    fact, = gateway.facts()
    assert fact["verdict"] == {"plugin": "fault", "kind": "reset", "reason": "reset_after"}
    assert fact["forwarded"]["server"] == after and fact["tags"] == ["fault"]


def test_fewer_bytes_are_not_reset(faulty):
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_reset_after="1KiB")
        with pair(gateway, upstream) as (peer, behind):
            peer.sendall(bytes(1023))
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind) == (bytes(1023), False)
            behind.close()
            assert peer.recv(1) == b""
    assert [fact["close"] for fact in gateway.facts()] == ["client-fin"]


def test_all_at_once(faulty):
    """Late, slow and cut off: none forgets the others."""
    block = os.urandom(60_000)
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="150ms", to_server_jitter="50ms", to_server_rate=100_000,
                         to_server_reset_after=40_000)
        with pair(gateway, upstream) as (peer, behind):
            begun = time.monotonic()
            peer.sendall(block)
            assert read_to_end(behind) == (block[:40_000], True)
            assert 0.15 + 36_000 / 100_000 <= time.monotonic() - begun < 1 + LATE_S


# ── A wrong byte ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", [0, 5, 70_000, 199_999])
def test_a_wrong_byte(faulty, at):
    """One, where it was asked for, each direction by its own; the recording has what was said."""
    block = os.urandom(200_000)
    wrong = block[:at] + bytes([block[at] ^ 0xFF]) + block[at + 1:]
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_corrupt_at=at)
        with pair(gateway, upstream) as (peer, behind):
            sender = threading.Thread(target=peer.sendall, args=(block,))
            sender.start()
            assert read_exactly(behind, len(block)) == wrong
            sender.join()
            behind.sendall(b"as it is")
            assert read_exactly(peer, 8) == b"as it is"
        processes.wait_until(lambda: gateway.status()["corrupted"] == "1", 10, "a wrong byte")
    gateway.process.stop()
    payloads = [gateway.gateway.payload(session.id, "client") for session in gateway.gateway.sessions()]
    assert block in payloads and wrong in payloads


def test_a_wrong_byte_of_an_open_session(faulty):
    with Upstream() as upstream:
        gateway = faulty(upstream.address, on=False, to_client_corrupt_at=3)
        with pair(gateway, upstream) as (peer, behind):
            took(behind, peer, b"ab")
            gateway.command("on")
            behind.sendall(b"cdef")
            assert read_exactly(peer, 4) == b"c" + bytes([ord("d") ^ 0xFF]) + b"ef"
            gateway.command("set", "to_client_corrupt_at", "off")
            gateway.command("set", "to_client_latency", "200ms")
            took(behind, peer)
            assert took(behind, peer) >= 0.2


# ── Share, and switching ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_share_of_sessions(faulty, server):
    """Of 600 sessions 25 %: 150, and by the binomial distribution within 4.5 standard deviations of 10.6."""
    gateway = faulty(server.address, share="25%", seed=11, to_server_latency="1ms")
    for _ in range(600):
        with connect(gateway.address) as peer:
            exchange(peer, b"hello")
    processes.wait_until(lambda: gateway.status()["sessions"] == "600", 10, "600 sessions")
    hit = int(gateway.status()["faulty"])
    assert 102 <= hit <= 198
    tagged = sum(fact.get("tags") == ["fault"] for fact in gateway.facts())
    assert tagged == hit


def test_a_seed_draws_the_same(faulty, server, configured):
    hits = []
    for _ in range(2):
        gateway = faulty(server.address, options={"workers": 1}, share="50%", seed=3, to_server_latency="1ms")
        drawn = []
        for _ in range(30):
            with connect(gateway.address) as peer:
                exchange(peer, b"hello")
                drawn.append(gateway.status()["faulty"])
        hits.append(drawn)
        gateway.process.stop()
    assert hits[0] == hits[1] and 0 < int(hits[0][-1]) < 30


def test_switched_on_and_off_for_open_sessions(faulty):
    with Upstream() as upstream:
        gateway = faulty(upstream.address, on=False, to_server_latency="300ms")
        with pair(gateway, upstream) as (peer, behind):
            assert min(took(peer, behind) for _ in range(3)) < 0.2
            gateway.command("on")
            assert took(peer, behind) >= 0.3
            gateway.command("set", "to_server_latency", "100ms")
            assert 0.1 <= min(took(peer, behind) for _ in range(3)) < 0.28
            gateway.command("off")
            assert min(took(peer, behind) for _ in range(3)) < 0.09
            assert gateway.status()["state"] == "off"


def test_a_fault_that_nothing_was_set_of_before(faulty):
    """An open session asks for its gate with the next bytes; and gives it back when nothing is set any more."""
    with Upstream() as upstream:
        gateway = faulty(upstream.address)
        with pair(gateway, upstream) as (peer, behind):
            took(peer, behind)
            gateway.command("set", "to_server_latency", "200ms")
            took(peer, behind)
            assert min(took(peer, behind) for _ in range(2)) >= 0.2
            gateway.command("set", "to_server_latency", "off")
            took(peer, behind)
            assert min(took(peer, behind) for _ in range(3)) < 0.15
            assert gateway.status()["to_server_latency"] == "off"
            gateway.command("set", "share", "0%")
            gateway.command("set", "to_server_latency", "10s")
            assert max(took(peer, behind) for _ in range(3)) < 5


def test_reset_of_an_open_session(faulty):
    with Upstream() as upstream:
        gateway = faulty(upstream.address, to_server_latency="1ms")
        with pair(gateway, upstream) as (peer, behind):
            took(peer, behind, bytes(1000))
            gateway.command("set", "to_server_reset_after", "1500")
            peer.sendall(bytes(1000))
            assert read_to_end(behind) == (bytes(500), True)


# ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("config, said", [
    ({"share": "101%"}, "which is not 0% to 100%"),
    ({"share": "a lot"}, "which is not 0% to 100%"),
    ({"to_server_corrupt_at": 5, "to_server_latency": "1ms"}, "do not go together"),
    ({"to_server_rate": 0}, "to_server_rate"),
    ({"to_moon_latency": "1s"}, "to_moon_latency"),
])
def test_what_cannot_be_is_refused(configured, server, config, said):
    configured.write(listener(server.address), plugins=[{"path": str(FAULT), "config": config}])
    process = configured.start(wait=False)
    assert process.wait(15) != 0 and said in process.errors()


@pytest.mark.parametrize("words, said", [
    (("set", "to_server_latency"), "a name and a value"),
    (("set", "to_server_latency", "soon"), "is not a time"),
    (("set", "to_server_latency", "2h"), "is not a time"),
    (("set", "to_server_latency", "61m"), "is not a time"),
    (("set", "to_server_latency", "-1s"), "is not a time"),
    (("set", "to_client_rate", "0"), "nothing go on"),
    (("set", "to_client_rate", "1TiB"), "is not a number of bytes"),
    (("set", "to_client_corrupt_at", "5"), "do not go together"),
    (("set", "share", "-1%"), "is not 0%"),
    (("set", "beauty", "1"), "there is no 'beauty'"),
    (("on", "now"), "takes no words"),
])
def test_words_that_are_wrong(faulty, server, words, said):
    gateway = faulty(server.address, to_client_latency="20ms")
    before = gateway.status()
    done = gateway.command(*words, check=False)
    assert done.returncode != 0 and said in done.stderr.decode()
    assert gateway.status() == before
