# SPDX-License-Identifier: Apache-2.0
"""The checks of test_replay_peers.py and the servers' own must be able to fail: here they do."""
import sys

import processes
import pytest
import replaying
from gogetway import EMPTY, Stream
from replaying import Server, replay
from test_replay_peers import check_order, check_played

GREETED = [("server", 0, 10), ("client", 0, 5), ("server", 10, 3), ("client", 5, 5)]


def test_order_is_held_against_the_recording():
    assert not list(check_order(GREETED, GREETED, "x"))
    assert not list(check_order(GREETED, [("server", 0, 4), ("server", 4, 6), *GREETED[1:]], "x"))
    early = [("server", 0, 10), ("client", 0, 5), ("server", 10, 2), ("client", 5, 5), ("server", 12, 1)]
    assert list(check_order(GREETED, early, "x")) == [
        "x: byte 5 was sent after 12 bytes of the server, recorded: after 13"]
    together = [("server", 0, 10), ("client", 0, 10), ("server", 10, 3)]
    assert len(list(check_order(GREETED, together, "x"))) == 1
    assert len(list(check_order(GREETED, GREETED[:3], "x"))) == 1, "a byte that was never sent"


class FakeStore:
    def __init__(self, streams, clients):
        self.streams, self.clients = streams, clients

    def payloads(self):
        return self.streams

    def sessions(self):
        return [replaying.gogetway.Session(id=id_, client=client) for id_, client in self.clients.items()]


def test_connections_and_bytes_are_held_against_the_recording():
    one, other = Stream.of_bytes(b"one"), Stream.of_bytes(b"two")
    recorded = FakeStore({"a": {"client": one, "server": EMPTY}}, {})
    played = replaying.Played(0, "", "", {"sessions": [{"id": "a", "local": "l:1"}]}, 0, 0, 0)
    runs = [("bytes 1x", played)]

    def target(stream=one, client="l:1"):
        return FakeStore({"b": {"client": stream, "server": EMPTY}}, {"b": client})
    assert not check_played(recorded, target(), runs)
    assert "from the client" in check_played(recorded, target(other), runs)[0]
    assert "never saw it" in check_played(recorded, target(client="l:2"), runs)[0]
    assert "connections came" in check_played(recorded, FakeStore({}, {}), runs)[0]
    more = FakeStore(dict(target().streams, c={"client": one, "server": EMPTY}), {"b": "l:1", "c": "l:3"})
    assert "2 connections came" in check_played(recorded, more, runs)[0]
    recorded.streams["c"] = recorded.streams["a"]
    assert "not every session" in check_played(recorded, target(), runs)[0]


def test_the_server_of_steps_sees_who_does_not_wait(gateways, scratch):
    """Level bytes waits for nobody."""
    with Server(scratch, "steps") as quick:
        recorded = replaying.record(gateways, quick.address, [replaying.talk_steps(b"1", 20, "prompt")])
    with Server(scratch, "steps", delay=20, pause=20) as slow:
        replay(recorded.directory, slow.address, scratch, "--level", "bytes", "--speed", "max")
        (seen,) = slow.wait_done(1)
    assert seen["early"] > 10, seen


@pytest.mark.parametrize("fault", ["flip", "drop", "duplicate", "truncate"])
def test_a_relay_that_does_wrong_makes_a_difference(gateways, scratch, fault):
    """One of three connections goes through it with a fault."""
    with Server(scratch, "vault") as server:
        recorded = replaying.record(gateways, server.address, [replaying.talk_vault([b"help", b"quit"])] * 3)
        listen = processes.address("127.0.0.1", processes.free_port())
        command = [sys.executable, replaying.HERE / "relay.py", listen, server.address, fault, 2]
        with processes.Process(command, scratch, name="relay") as relay:
            relay.wait_listening(listen)
            played = replay(recorded.directory, listen, scratch, "--reply-timeout", "500ms")
    assert played.status == 1 and played.verdicts == {"equal": 2, "different": 1}, played.explain()
