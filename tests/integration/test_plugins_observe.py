# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that observe: what they are shown, what they miss, and that nobody waits for them. The one that the tests
load (tests/tools/observer.c) keeps what it is shown at its place in a file of each stream."""
import contextlib
import os
import signal
import socket
import threading
import time

import pytest

import processes
from faults import Echo, connect, read_exactly
from gogetway import tool
from live import exchange, listener
from restarting import take_over

SIDES = ("client", "server")


class Stream:
    def __init__(self, line):
        key, side, *numbers = line.split()
        self.key, self.side = key, side
        self.start, self.next, self.received, self.missed, self.ended = map(int, numbers)

    def check(self):
        assert self.received + self.missed == self.next - self.start, vars(self)


class Observed:
    """A gateway with one listener and the observer, configured by `config`."""

    def __init__(self, configured, upstream, config, more=None, **options):
        self.gateway = configured
        self.options = options
        self.where = listener(upstream, **(more or {}))
        self.address = self.where["listen"]
        self.write(**config)
        self.process = configured.start()

    def write(self, loaded=True, **config):
        plugins = [{"path": str(tool("observer.so")), "config": config}] if loaded else []
        self.gateway.write(self.where, plugins=plugins, **self.options)

    def seen(self):
        lines = self.gateway.command("observer", "seen").stdout.decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def wait(self, **least):
        def enough():
            seen = self.seen()
            return all(seen[name] >= value for name, value in least.items()) and seen
        return processes.wait_until(enough, 30, f"an observer that has seen {least}")

    def streams(self):
        return [Stream(line) for line in self.gateway.command("observer", "streams").stdout.decode().splitlines()]

    def kept(self, stream):
        return (self.gateway.directory / "plugins/observer" / f"{stream.key}.{stream.side}").read_bytes()

    def metric(self, name):
        return self.gateway.ask("stats")["metrics"][name]

    def plugin(self):
        return self.gateway.ask("plugins")["plugins"][0]


@pytest.fixture
def observed(configured):
    def make(to, more=None, options=None, **config):
        return Observed(configured, to, config, more, **(options or {}))
    return make


def transfer(address, block):
    """There and back again, and an orderly end."""
    with connect(address) as peer:
        def send():
            peer.sendall(block)
            peer.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        assert read_exactly(peer, len(block)) == block
        assert peer.recv(1) == b""
        sender.join()


@pytest.mark.parametrize("splice", ["on", "off"])
def test_it_sees_what_was_recorded(observed, server, splice):
    """All of it, in order, both ways; and with splice, which stays on."""
    gateway = observed(server.address, options={"relay": {"splice": splice}, "log": {"max": "64MiB"}}, keep=True)
    block = os.urandom(3_000_000)
    transfer(gateway.address, block)
    seen = gateway.wait(ended=2)
    assert (seen["streams"], seen["disorder"], seen["total"]) == (2, 0, 6_000_000)
    for stream in gateway.streams():
        stream.check()
        if stream.missed == 0:  # nothing is kept of one that was missed whole
            assert gateway.kept(stream) == block
    assert (gateway.metric("spliced_bytes") > 0) == (splice == "on")
    plugin = gateway.plugin()
    observe = next(point for point in plugin["hooks"] if point["hook"] == "observe")
    assert observe["calls"] == seen["calls"] and plugin["missed_bytes"] == seen["missed"]


def test_small_messages_are_all_seen(observed, server):
    gateway = observed(server.address, keep=True)
    said = [b"message %d;" % number for number in range(500)]
    with connect(gateway.address) as peer:
        for message in said:
            exchange(peer, message)
    seen = gateway.wait(ended=2)
    assert (seen["missed"], seen["disorder"]) == (0, 0)
    for stream in gateway.streams():
        assert gateway.kept(stream) == b"".join(said)


def test_one_direction_only(observed, server):
    gateway = observed(server.address, keep=True, **{"from": "server"})
    transfer(gateway.address, b"there and back")
    seen = gateway.wait(ended=1)
    stream, = gateway.streams()
    assert seen["streams"] == 1 and stream.side == "server" and gateway.kept(stream) == b"there and back"


def test_many_sessions_at_once(observed, server):
    gateway = observed(server.address, keep=True)
    blocks = [b"client %d says " % number + os.urandom(3000) for number in range(300)]
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(gateway.address)) for _ in blocks]
        for peer, block in zip(peers, blocks):
            peer.sendall(block)
        for peer, block in zip(peers, blocks):
            assert read_exactly(peer, len(block)) == block
    seen = gateway.wait(ended=600)
    assert (seen["streams"], seen["disorder"], seen["missed"]) == (600, 0, 0)
    for side in SIDES:
        assert sorted(gateway.kept(stream) for stream in gateway.streams() if stream.side == side) == sorted(blocks)


def test_one_that_sleeps_delays_nobody_and_knows_what_it_missed(observed, server):
    """More passes while it sleeps than is kept for it. Every session ends meanwhile; then each byte was either seen, as
    it was, or counted."""
    gateway = observed(server.address, options={"log": {"ring": "256KiB", "max": "1MiB"}}, keep=True, sleep_once="3s")
    block = os.urandom(6_000_000)
    begun = time.monotonic()
    for _ in range(4):
        transfer(gateway.address, block)
    took = time.monotonic() - begun
    assert gateway.seen()["ended"] == 0 or took > 2.5  # it sleeps, or this machine does
    seen = gateway.wait(ended=8)
    assert (seen["streams"], seen["disorder"], seen["total"]) == (8, 0, 8 * len(block))
    assert seen["received"] + seen["missed"] == seen["total"] and seen["missed"] > 8 * len(block) - 16_000_000
    for stream in gateway.streams():
        stream.check()
        if stream.received == 0:
            continue
        kept = gateway.kept(stream)
        holes = sum(length for length in differing(kept.ljust(len(block), b"\0"), block))
        assert holes <= stream.missed
    assert gateway.plugin()["missed_bytes"] == seen["missed"]


def differing(kept, block):
    """The lengths of the parts of 4 KiB that are not the same, less what of them is."""
    for at in range(0, len(block), 4096):
        one, other = kept[at:at + 4096], block[at:at + 4096]
        if one != other:
            yield sum(a != b for a, b in zip(one, other))


def test_it_is_given_back_and_wanted_anew(observed, server):
    """In the middle of a session: what passes between is not its, and not missed either."""
    gateway = observed(server.address, keep=True, stop_at="40KB", again_at="80KB", **{"from": "client"})
    block = os.urandom(10_000)
    with connect(gateway.address) as peer:
        for _ in range(12):
            exchange(peer, block)
    gateway.wait(ended=2)
    first, second = gateway.streams()
    for stream in (first, second):
        stream.check()
        assert stream.missed == 0 and stream.ended == 1
    assert first.start == 0 and 40_000 <= first.next <= 50_000
    assert 80_000 <= second.start <= 90_000 and second.next == 120_000
    kept = gateway.kept(first)
    assert kept[:first.next] == (block * 12)[:first.next] and kept[second.start:] == (block * 12)[second.start:]


@pytest.mark.parametrize("policy", ["off", "metadata"])
def test_what_is_not_recorded_is_missed(observed, server, policy):
    gateway = observed(server.address, recording=policy)
    transfer(gateway.address, b"x" * 5000)
    seen = gateway.wait(ended=2)
    assert (seen["received"], seen["missed"], seen["total"]) == (0, 10_000, 10_000)


def test_a_listener_that_does_not_record_cannot_be_observed(observed, server):
    gateway = observed(server.address, more={"record": "off"})
    transfer(gateway.address, b"x" * 5000)
    seen = gateway.wait(refused=2)
    assert seen["streams"] == 0 and seen["refusal"] != 0


def test_a_session_that_is_cut_is_seen_to_its_end(observed, server):
    """What a gate has stopped was recorded, and is observed."""
    gateway = observed(server.address, keep=True, gate="DROP", **{"from": "client"})
    with connect(gateway.address) as peer:
        exchange(peer, b"SELECT 1;")
        peer.sendall(b"DROP TABLE t;")
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    gateway.wait(ended=1)
    stream, = gateway.streams()
    stream.check()
    assert stream.missed == 0 and gateway.kept(stream) == b"SELECT 1;DROP TABLE t;"


def test_it_is_unloaded_while_it_observes(observed, server):
    """By a reload: sessions go on, and it is gone when the last that it has seen has ended and it was told so."""
    gateway = observed(server.address, sleep="20ms")
    with connect(gateway.address) as peer:
        exchange(peer, b"before")
        gateway.write(loaded=False)
        assert gateway.gateway.reload()[0] == 0
        exchange(peer, b"after")
        assert gateway.plugin()["state"] == "leaving"
    processes.wait_until(lambda: gateway.gateway.ask("plugins")["plugins"] == [], 20, "an unloaded plug-in")
    events = gateway.gateway.events(gateway.process)
    assert any("the observer is gone" in str(event) for event in events)
    transfer(gateway.address, b"and without it")


def test_the_gateway_ends_although_it_sleeps(observed, server):
    """What it could not be told is counted, and told in the log."""
    gateway = observed(server.address, sleep="400ms")
    with connect(gateway.address) as peer:
        for _ in range(30):
            exchange(peer, b"something")
    begun = time.monotonic()
    gateway.process.stop()
    assert time.monotonic() - begun < 8
    told, = gateway.gateway.events(gateway.process, "plug-in has not observed all")
    assert told["plugin"] == "observer" and told["directions"] >= 1 and told["missed_bytes"] > 0


def test_the_gateway_ends_although_a_call_does_not(observed, server):
    """It is left behind; the recording does not wait for it, and is whole."""
    gateway = observed(server.address, sleep="60s")
    transfer(gateway.address, b"something")
    processes.wait_until(lambda: (gateway.gateway.directory / "plugins/observer").exists(), 20, "an observer")
    begun = time.monotonic()
    gateway.process.stop()
    assert time.monotonic() - begun < 20
    told, = gateway.gateway.events(gateway.process, "a plug-in's observe does not return")
    assert told["plugin"] == "observer"
    gateway.gateway.verify()
    session, = gateway.gateway.sessions()
    assert session["close"] == "client-fin"


def test_what_was_recorded_last_is_seen_when_the_gateway_ends(observed):
    with Echo() as server:
        gateway = observed(server.address, keep=True)
        with connect(gateway.address) as peer:
            exchange(peer, b"nearly the end")
            os.kill(gateway.process.pid, signal.SIGTERM)
            gateway.gateway.wait_event(gateway.process, "draining")
            os.kill(gateway.process.pid, signal.SIGTERM)
            with contextlib.suppress(ConnectionResetError):
                peer.recv(1)
        gateway.process.wait(20)
    kept = sorted((gateway.gateway.directory / "plugins/observer").iterdir())
    assert [file.read_bytes() for file in kept] == [b"nearly the end"] * 2


# ── Hot restart ──────────────────────────────────────────────────────────────────────────────────────────────────────


def told_at_the_end(gateway, process):
    """What the observer of a process that has ended says it had seen in all."""
    text, = [line["text"] for line in gateway.events(process, "plug-in") if "streams " in line["text"]]
    words = text.replace(",", " ").split()
    return {name: int(value) for name, value in zip(words[-18::2], words[-17::2])}


def says(peer, block):
    """And hears it back."""
    sender = threading.Thread(target=peer.sendall, args=(block,))
    sender.start()
    assert read_exactly(peer, len(block)) == block
    sender.join()


@pytest.mark.parametrize("lag", [{}, {"sleep_once": "2s"}], ids=["prompt", "lagging"])
def test_each_process_observes_its_own_sessions(observed, server, lag):
    """Over a hot restart: who has a session sees it to its end, or counts what it missed; nobody else sees it."""
    gateway = observed(server.address, options={"log": {"ring": "256KiB", "max": "1MiB"}, "timeouts": {"drain": "1m"}},
                       keep=True, **lag)
    store, old = gateway.gateway, gateway.process
    before, after, later = (os.urandom(6_000_000) for _ in range(3))
    with connect(gateway.address) as stays:
        begun = time.monotonic()
        says(stays, before)
        took = time.monotonic() - begun
        new = take_over(store, old)
        with connect(gateway.address) as peer:
            says(peer, later)
            says(stays, after)
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
        seen = gateway.wait(ended=2)
        assert seen["streams"] == 2  # it is asked of the new one, and the other session goes on
        exchange(stays, b"the last words")
        stays.shutdown(socket.SHUT_WR)
        assert stays.recv(1) == b""
    assert old.wait(20) == 0 and new.stop() == 0
    blocks = {session.id: store.payload(session.id, "client") for session in store.sessions()}
    assert sorted(blocks.values()) == sorted([before + after + b"the last words", later])
    for process, block in ((old, before + after + b"the last words"), (new, later)):
        seen = told_at_the_end(store, process)
        assert (seen["streams"], seen["ended"], seen["disorder"]) == (2, 2, 0)
        assert seen["received"] + seen["missed"] == seen["total"] == 2 * len(block)
        key, = [key for key, payload in blocks.items() if payload == block]
        holes = 0
        for side in SIDES:
            file = gateway.gateway.directory / "plugins/observer" / f"{key}.{side}"
            kept = file.read_bytes() if file.exists() else b""
            holes += sum(differing(kept.ljust(len(block), b"\0"), block))
        assert holes <= seen["missed"]
        assert process is not old or not lag or seen["missed"] > 0 or took > 1.5  # or this machine sleeps too
