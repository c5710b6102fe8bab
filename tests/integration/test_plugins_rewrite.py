# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that say what goes on instead of what came (tests/tools/rewriter.c), seen from both ends and in the
recording: what came as one conversation, what was sent as another."""
import contextlib
import json
import os
import random
import signal
import socket
import threading

import pytest

import faults
import processes
import recording
from faults import Upstream, connect, read_exactly, read_to_end
from gogetway import Stream, tool
from live import listener

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20261123"))


class Rewritten:
    """A gateway with one listener and plug-ins: {"rewriter": {...}, "probe": {...}}, in this order."""

    def __init__(self, configured, upstream, plugins, more=None, **options):
        self.gateway = configured
        self.where = listener(upstream, **(more or {}))
        self.options = options
        self.write(plugins)
        self.process = configured.start()
        self.address = self.where["listen"]

    def write(self, plugins):
        entries = [{"path": str(tool(name + ".so")), "config": config} for name, config in plugins.items()]
        self.gateway.write(self.where, plugins=entries, **self.options)

    def seen(self, name="rewriter"):
        lines = self.gateway.command(name, "seen").stdout.decode().splitlines()
        return {word: int(value) for word, value in (line.split() for line in lines)}

    def metric(self, name):
        return self.gateway.ask("stats")["metrics"][name]

    def end(self):
        """The one session as it came, and as it was sent (None: there is none). Every reader finds them sound."""
        if self.process.running():
            assert self.process.stop() == 0
        return self.recorded()

    def recorded(self):
        self.gateway.verify()
        sessions = self.gateway.sessions()
        came = [session for session in sessions if "as_sent_of" not in session]
        sent = [session for session in sessions if "as_sent_of" in session]
        assert len(came) == 1 and len(sent) < 2
        assert not sent or sent[0]["as_sent_of"] == came[0].id
        return came[0], sent[0] if sent else None

    def payload(self, session, side="client"):
        return self.gateway.command("show", session.id, "--as", "raw", "--from", side).stdout

    def facts(self):
        """The closing comments: of what came, and of what was sent."""
        facts = [fact for fact in recording.comments(self.gateway.segments()) if "close" in fact]
        return ([fact for fact in facts if "as_sent_of" not in fact], [fact for fact in facts if "as_sent_of" in fact])


@pytest.fixture
def rewritten(configured):
    def make(to, more=None, options=None, **plugins):
        return Rewritten(configured, to, {name.replace("_b", "-b"): config for name, config in plugins.items()}, more,
                         **(options or {}))
    return make


@pytest.fixture
def upstream():
    with Upstream() as made:
        yield made


@contextlib.contextmanager
def session(gateway, upstream, **more):
    with connect(gateway.address, **more) as client, upstream.accept() as server:
        yield client, server


def sends(peer, data, ends=True):
    """On a thread: who sends may have to wait for who reads."""
    def run():
        with contextlib.suppress(OSError):
            peer.sendall(data)
            if ends:
                peer.shutdown(socket.SHUT_WR)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def haystack(size, seed=SEED):
    """Text with needles, some of which will be cut."""
    chance = random.Random(seed)
    made = bytearray()
    while len(made) < size:
        made += chance.randbytes(chance.choice([1, 10, 100, 1000, 5000])).replace(b"n", b"m") + b"needle"
    return bytes(made)


@pytest.mark.parametrize("put", ["x", "a needle that is so much longer than what was found", None])
@pytest.mark.parametrize("splice", ["on", "off"])
def test_both_are_recorded(rewritten, upstream, put, splice):
    """Shorter, longer, nothing: both ends see it, and tshark reads both conversations."""
    config = {"from": "both", "find": "needle", **({"put": put} if put else {})}
    gateway = rewritten(upstream.address, options={"relay": {"splice": splice}}, rewriter=config)
    said, answered = haystack(1 << 20), haystack(300_000, SEED + 1)
    instead = (put or "").encode()
    with session(gateway, upstream) as (client, server):
        back = processes.address(*server.getpeername())
        one, two = sends(client, said), sends(server, answered)
        got = {}
        reader = threading.Thread(target=lambda: got.update(client=read_to_end(client)[0]))
        reader.start()
        assert read_to_end(server)[0] == said.replace(b"needle", instead)
        for thread in (reader, one, two):
            thread.join(30)
        assert got["client"] == answered.replace(b"needle", instead)
    seen = gateway.seen()
    assert seen["disorder"] == 0 and seen["refused"] == 0 and seen["ends"] == 2
    assert seen["bytes"] == len(said) + len(answered)
    came, sent = gateway.end()
    assert gateway.payload(came) == said and gateway.payload(came, "server") == answered
    assert gateway.payload(sent) == said.replace(b"needle", instead)
    assert gateway.payload(sent, "server") == answered.replace(b"needle", instead)
    assert (sent["client"], sent["server"]) == (back, upstream.address)
    reading = recording.tshark_approves(gateway.gateway.segments())
    assert {conversation.client for conversation in reading.conversations} == {came["client"], back}
    by_client = reading.by_client()
    assert by_client[back][0].streams == {"client": Stream.of_bytes(said.replace(b"needle", instead)),
                                          "server": Stream.of_bytes(answered.replace(b"needle", instead))}
    (fact,), (other,) = gateway.facts()
    assert fact["as_sent"] == sent.id == other["id"] and other["as_sent_of"] == came.id
    lengths = {"client": len(said.replace(b"needle", instead)), "server": len(answered.replace(b"needle", instead))}
    assert fact["received"] == {"client": len(said), "server": len(answered)}
    assert fact["forwarded"] == other["received"] == other["forwarded"] == lengths
    assert "why" not in fact and "why" not in other and other["close"] == fact["close"] == came["close"]
