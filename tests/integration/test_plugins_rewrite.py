# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that say what goes on instead of what came (tests/tools/rewriter.c), seen from both ends and in the
recording: what came as one conversation, what was sent as another."""
import base64
import contextlib
import json
import os
import random
import socket
import threading

import pytest

import faults
import processes
import recording
import torture
from faults import Upstream, connect, read_exactly, read_to_end
from gogetway import ROOT, Stream, tool
from live import listener
from test_disk import small_disk

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
    assert came["community_id"]["upstream"] == sent["community_id"]["client"] != came["community_id"]["client"]
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


def test_a_unix_upstream(rewritten, scratch):
    """Its conversation has addresses that are made up, and the path among the facts."""
    with Upstream(f"unix:{scratch}/up.sock") as upstream:
        gateway = rewritten(upstream.address, rewriter={"find": "a", "put": "bcd"})
        with session(gateway, upstream) as (client, server):
            client.sendall(b"abracadabra")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(server)[0] == b"bcdbrbcdcbcddbcdbrbcd"
            server.sendall(b"as it is")
            server.close()
            assert read_to_end(client)[0] == b"as it is"
        came, sent = gateway.end()
        assert sent["upstream"] == upstream.address
        assert sent["client"].startswith("127.0.0.1:") and sent["server"].startswith("127.0.0.1:")
        assert gateway.payload(sent) == b"bcdbrbcdcbcddbcdbrbcd" and gateway.payload(sent, "server") == b""
        assert gateway.payload(came, "server") == b"as it is"
        recording.tshark_approves(gateway.gateway.segments())


def test_through_the_gateway_twice(configured, server):
    """The first listener leads to the second: what one sends is what the other one's session has, in one store."""
    first, second = listener(None, name="first"), listener(server.address, name="second")
    first["upstream"] = second["listen"]
    entry = {"path": str(tool("rewriter.so")), "listeners": ["first"], "config": {"from": "both", "times": 2}}
    configured.write(first, second, plugins=[entry], workers=1)
    process = configured.start()
    with connect(first["listen"]) as client:
        for _ in range(5):
            client.sendall(b"abc")
            assert read_exactly(client, 12) == b"aaaabbbbcccc"
    processes.wait_until(lambda: configured.ask("stats")["metrics"]["sessions_closed"] == 2, 10, "the ends")
    assert process.stop() == 0
    configured.verify()
    recording.tshark_approves(configured.segments())
    sessions = {("as_sent_of" in one, one["listener"]): one for one in configured.sessions()}
    found = {which: configured.payload(one.id, "client") for which, one in sessions.items()}
    assert found == {(False, "first"): b"abc" * 5, (True, "first"): b"aabbcc" * 5, (False, "second"): b"aabbcc" * 5}
    ids = {which: one["community_id"] for which, one in sessions.items()}
    assert ids[False, "first"]["upstream"] == ids[False, "second"]["client"]  # one connection, seen from both ends


def test_its_last_word(rewritten, upstream):
    """Nothing before the end; then all of it, a word more, and the FIN."""
    gateway = rewritten(upstream.address, rewriter={"wait": True, "suffix": "; goodbye"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"so far")
        processes.wait_until(lambda: gateway.seen()["bytes"] == 6, 10, "bytes")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recv(1)
        server.settimeout(20)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(server)[0] == b"so far; goodbye"
        server.sendall(b"well")
        server.close()
        assert read_to_end(client)[0] == b"well"
    came, sent = gateway.end()
    assert came["close"] == sent["close"] == "client-fin"
    assert gateway.payload(came) == b"so far" and gateway.payload(sent) == b"so far; goodbye"


def test_nothing_comes_of_it(rewritten, upstream):
    """Not a byte goes on, and the FIN does."""
    gateway = rewritten(upstream.address, rewriter={"find": "silence"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"silence" * 1000)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(server) == (b"", False)
        server.close()
        assert read_to_end(client) == (b"", False)
    came, sent = gateway.end()
    assert sent is None and len(gateway.payload(came)) == 7000
    (fact,), _ = gateway.facts()
    assert fact["forwarded"] == {"client": 0, "server": 0} and "why" not in fact and "as_sent" not in fact


def test_one_after_the_other_then_gates(rewritten, upstream):
    """The second rewrites what the first has put out, with its offsets; a gate decides about what both have made."""
    gateway = rewritten(upstream.address, rewriter={"find": "a", "put": "<b>"}, rewriter_b={"find": "b", "put": "no"},
                        probe={"mode": "gate", "match": "n<no><no>", "verdict": "reset"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"banana")
        assert read_exactly(server, 16) == b"no<no>n<no>n<no>"
        client.sendall(b"naa")
        assert read_to_end(server) == (b"", True) and read_to_end(client) == (b"", True)
    seen, gated = [gateway.seen(name) for name in ("rewriter", "rewriter-b")], gateway.seen("probe")
    assert [one["disorder"] for one in seen] == [0, 0] and gated["disorder"] == 0
    assert seen[1]["bytes"] == seen[0]["out"] and gated["gated_bytes"] == seen[1]["out"]
    came, sent = gateway.end()
    assert gateway.payload(came) == b"banananaa" and gateway.payload(sent) == b"no<no>n<no>n<no>n<no><no>"
    assert sent.forwarded("client") == 16 and sent.received("client") == 25


@pytest.mark.parametrize("times", [1, 50])
def test_too_much(rewritten, upstream, times):
    """More than relay.pending_max in one call: nothing of the call goes on, and the session is reset."""
    gateway = rewritten(upstream.address, rewriter={"too_much": "65537", "times": times})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"x")
        assert read_to_end(server) == (b"", True) and read_to_end(client) == (b"", True)
    assert gateway.seen()["refused"] == 1
    came, sent = gateway.end()
    assert sent is None and came["close"] == "verdict" and gateway.payload(came) == b"x"
    (fact,), _ = gateway.facts()
    assert fact["verdict"] == {"plugin": "rewriter", "kind": "reset", "reason": "it put out more than may be"}
    assert fact["received"]["client"] == 1 and fact["forwarded"]["client"] == 0 and fact["why"] == "cut"


def test_a_slow_receiver(rewritten, upstream):
    """What one read becomes is more than may wait; the client is held up, and nothing is lost."""
    gateway = rewritten(upstream.address, rewriter={"times": 2}, rewriter_b={"times": 2}, options={"workers": 1})
    said = random.Random(SEED).randbytes(24 << 20)
    with session(gateway, upstream) as (client, server):
        before = faults.private_bytes(gateway.process.pid)
        client.settimeout(1)
        told = 0
        with pytest.raises(TimeoutError):
            while True:
                told += client.send(said[told:told + 65536])
        if torture.preload_works():  # a sanitizer keeps what was freed for a while
            assert faults.private_bytes(gateway.process.pid) - before < 6 << 20
        client.settimeout(20)
        sender = sends(client, said[told:])
        reader = faults.Hasher(server)
        sender.join(60)
        doubled = bytearray(4 * len(said))
        for at in range(4):
            doubled[at::4] = said
        assert reader.finish(60) == Stream.of_bytes(doubled)


def test_given_back(rewritten, upstream):
    """In the middle of a bulk transfer: from then on it is spliced. As sent is recorded what was rewritten."""
    gateway = rewritten(upstream.address, options={"relay": {"splice": "on"}},
                        rewriter={"times": 2, "give_back": "1MiB"})
    said = random.Random(SEED).randbytes(20_000_000)
    with session(gateway, upstream) as (client, server):
        sender = sends(client, said)
        got = read_to_end(server)[0]
        sender.join(30)
    seen = gateway.seen()
    assert seen["disorder"] == 0 and 1 << 20 <= seen["bytes"] < 2 << 20 and seen["out"] == 2 * seen["bytes"]
    doubled = bytearray(2 * seen["bytes"])
    doubled[0::2] = doubled[1::2] = said[:seen["bytes"]]
    assert got == doubled + said[seen["bytes"]:]
    assert gateway.metric("spliced_bytes") > 10_000_000 and gateway.metric("left_out_bytes") == 0
    came, sent = gateway.end()
    assert gateway.payload(came) == said and gateway.payload(sent) == got[:sent["bytes"]["client"]]
    assert len(doubled) <= sent["bytes"]["client"] < len(doubled) + (64 << 10)  # the rest of that read, as it came
    assert sent["gaps"] == {"client": 0, "server": 0} and sent.received("client") == sent["bytes"]["client"]
    assert came.forwarded("client") == len(got)
    recording.tshark_approves(gateway.gateway.segments())


def test_wanted_later(rewritten, upstream):
    """What went on before as it came is in the session, and a gap in what was sent, at the offsets of that."""
    gateway = rewritten(upstream.address, rewriter={"late": "10", "find": "x", "put": "yy"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"first x..x")
        assert read_exactly(server, 10) == b"first x..x"
        client.sendall(b"xx")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(server)[0] == b"yyyy"
    assert gateway.seen()["disorder"] == 0
    came, sent = gateway.end()
    assert gateway.payload(came) == b"first x..xxx"
    assert sent["bytes"]["client"] == 4 and sent["gaps"]["client"] == 10 and sent.received("client") == 14
    shown = gateway.gateway.command("show", sent.id, "--as", "json").stdout.splitlines()
    assert [(line["offset"], line.get("gap"), line.get("text")) for line in map(json.loads, shown)] == [
        (0, 10, None), (10, None, "yyyy")]


@pytest.mark.parametrize("policy", ["first", "metadata", "off"])
def test_what_is_left_out_stays_so(rewritten, upstream, policy):
    gateway = rewritten(upstream.address, rewriter={"times": 2},
                        probe={"mode": "none", "recording": policy, "record_first": "7"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"0123456789")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(server)[0] == b"00112233445566778899"
    if policy == "off":
        assert gateway.process.stop() == 0
        assert gateway.gateway.sessions() == []
        return
    metric = gateway.metric("left_out_bytes")
    came, sent = gateway.end()
    kept = 7 if policy == "first" else 0
    assert gateway.payload(came) == b"0123456789"[:kept] and gateway.payload(sent) == b"00112233445566778899"[:kept]
    assert came["gaps"]["client"] == 10 - kept and sent["gaps"]["client"] == 20 - kept
    assert metric == came["gaps"]["client"] + sent["gaps"]["client"]


def test_without_an_upstream(rewritten):
    """What the client says is shown to the rewriter, and goes nowhere; a greeting is not rewritten."""
    gateway = rewritten("none", more={"greeting": "welcome"}, rewriter={"from": "both", "times": 2})
    with connect(gateway.address) as client:
        client.sendall(b"hello")
        assert read_exactly(client, 7) == b"welcome"
        processes.wait_until(lambda: gateway.seen()["bytes"] == 5, 10, "bytes")
    processes.wait_until(lambda: gateway.seen()["closed"] == 1, 10, "its end")
    assert gateway.seen()["refused"] == 1 and gateway.seen()["disorder"] == 0
    came, sent = gateway.end()
    assert sent is None and gateway.payload(came) == b"hello"


def test_synced(rewritten, upstream):
    gateway = rewritten(upstream.address, options={"sync": {"mode": "always"}},
                        rewriter={"from": "both", "find": "needle", "put": "pin"})
    said = haystack(300_000)
    with session(gateway, upstream) as (client, server):
        for word in (b"needle", b"no needles", b"x"):
            client.sendall(word)
            assert read_exactly(server, len(word.replace(b"needle", b"pin"))) == word.replace(b"needle", b"pin")
            server.sendall(word)
            assert read_exactly(client, len(word.replace(b"needle", b"pin"))) == word.replace(b"needle", b"pin")
        sender = sends(client, said)
        assert read_to_end(server)[0] == said.replace(b"needle", b"pin")
        sender.join(30)
    came, sent = gateway.end()
    assert gateway.payload(came) == b"needleno needlesx" + said
    assert gateway.payload(sent) == b"pinno pinsx" + said.replace(b"needle", b"pin")


def test_a_gate_replies(rewritten, upstream):
    """The reply is nobody's to rewrite; what the gate has stopped is recorded as sent, and was not."""
    gateway = rewritten(upstream.address, rewriter={"from": "both", "find": "a", "put": "bb"},
                        probe={"mode": "gate", "match": "bbbb", "verdict": "reply", "reply": "a reply\n"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"a")
        assert read_exactly(server, 2) == b"bb"
        server.sendall(b"aha")
        assert read_exactly(client, 5) == b"bbhbb"
        client.sendall(b"aa")
        assert read_to_end(client) == (b"a reply\n", False)
        assert read_to_end(server)[0] == b""
    came, sent = gateway.end()
    assert gateway.payload(came) == b"aaa" and gateway.payload(came, "server") == b"ahaa reply\n"
    assert gateway.payload(sent) == b"bbbbbb" and gateway.payload(sent, "server") == b"bbhbb"
    assert sent.forwarded("client") == 2 and sent["why"] == "cut"


def test_diverted(rewritten):
    """A gate sends elsewhere what the rewriter has made, of which nothing had gone on."""
    with Upstream() as one, Upstream() as two:
        gateway = rewritten(one.address, rewriter={"find": "a", "put": "bb"},
                            probe={"mode": "gate", "match": "bb!", "verdict": "divert", "upstream": two.address})
        with connect(gateway.address) as client:
            client.sendall(b"a!")
            with two.accept() as server:
                assert read_exactly(server, 3) == b"bb!"
                client.sendall(b"more as")
                assert read_exactly(server, 8) == b"more bbs"
        came, sent = gateway.end()
        assert gateway.payload(came) == b"a!more as" and gateway.payload(sent) == b"bb!more bbs"
        assert came["upstream"] == sent["upstream"] == two.address


def test_killed(rewritten, upstream, rings):
    """Whatever the upstream has got is in what was recorded as sent; whatever made it, in what came."""
    for number in range(8):
        chance = random.Random(SEED + number)
        gateway = rewritten(upstream.address, options={"log": {"dir": str(rings)}, "workers": 1},
                            rewriter={"find": "needle", "put": chance.choice(["x", "a long, long pin"])})
        put = gateway.gateway.file.read_text()
        said = haystack(2 << 20, SEED + number)
        got = bytearray()
        with session(gateway, upstream) as (client, server):
            sender = sends(client, said)
            while len(got) < chance.randrange(1 << 20):
                got += server.recv(65536)
            gateway.process.kill()
            with contextlib.suppress(ConnectionResetError):
                while data := server.recv(65536):
                    got += data
            sender.join(30)
        gateway.process = gateway.gateway.start()
        made = said.replace(b"needle", b"x" if '"put": "x"' in put else b"a long, long pin")
        came, sent = gateway.end()
        assert said.startswith(gateway.payload(came))
        recorded = gateway.payload(sent)
        assert len(got) > 0 and recorded.startswith(bytes(got)) and made.startswith(recorded)
        gateway.gateway.directory.rename(gateway.gateway.directory.with_name(f"rec-{number}"))


def test_a_full_disk_under_gap(configured, scratch, upstream):
    """Traffic goes on; both conversations say what is missing of them."""
    with small_disk(scratch, "tmpfs", 2 << 20) as disk:
        configured.directory = disk.place / "rec"
        gateway = Rewritten(configured, upstream.address, {"rewriter": {"times": 2}},
                            {"on_stall": "gap", "on_full": "gap"}, workers=1,
                            log={"ring": "256KiB", "max": "1MiB"})
        said = random.Random(SEED).randbytes(8 << 20)
        with session(gateway, upstream) as (client, server):
            sender = sends(client, said)
            reader = faults.Hasher(server)
            sender.join(60)
            doubled = bytearray(2 * len(said))
            doubled[0::2] = doubled[1::2] = said
            assert reader.finish(60) == Stream.of_bytes(doubled)
            disk.relieve()
            processes.wait_until(lambda: gateway.metric("log_disk_full") == 0, 20, "written again")
            processes.wait_until(lambda: gateway.metric("log_fill_bytes") < 65536, 20, "room")
            server.close()
            read_to_end(client)
        metrics = gateway.gateway.ask("stats")["metrics"]
        came, sent = gateway.end()
        for one, whole in ((came, said), (sent, bytes(doubled))):
            assert one["bytes"]["client"] > 0 and one["gaps"]["client"] > 0
            assert one["bytes"]["client"] + one["gaps"]["client"] == one.received("client") == len(whole)
            at = 0
            shown = gateway.gateway.command("show", one.id, "--as", "json", "--from", "client").stdout
            for line in map(json.loads, shown.splitlines()):
                assert line["offset"] == at
                data = base64.b64decode(line.get("data", ""))
                assert data == whole[at:at + len(data)]
                at += line.get("gap", len(data))
        assert metrics["unrecorded_bytes"] == came["gaps"]["client"] + sent["gaps"]["client"]


def test_a_full_disk_under_block(configured, scratch, upstream):
    """What a rewriter has put out waits until it can be recorded, and does not go on before."""
    with small_disk(scratch, "tmpfs", 2 << 20) as disk:
        configured.directory = disk.place / "rec"
        gateway = Rewritten(configured, upstream.address, {"rewriter": {"times": 2}}, workers=1,
                            log={"ring": "256KiB", "max": "1MiB"})
        said = random.Random(SEED).randbytes(8 << 20)
        with session(gateway, upstream) as (client, server):
            sender = sends(client, said)
            reader = faults.Hasher(server)
            processes.wait_until(lambda: gateway.metric("worker_stalls") > 0, 60, "a stall")
            assert reader.count < 8 << 20
            disk.relieve()
            sender.join(60)
            doubled = bytearray(2 * len(said))
            doubled[0::2] = doubled[1::2] = said
            assert reader.finish(60) == Stream.of_bytes(doubled)
        came, sent = gateway.end()
        assert gateway.payload(came) == said and gateway.payload(sent) == bytes(doubled)


def test_unloaded(rewritten, upstream):
    """A reload takes it away: who has come before is rewritten to the end, who comes then is not."""
    gateway = rewritten(upstream.address, rewriter={"find": "a", "put": "bb"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"a")
        assert read_exactly(server, 2) == b"bb"
        gateway.write({})
        assert gateway.gateway.reload()[0] == 0
        with session(gateway, upstream) as (other, other_server):
            other.sendall(b"a")
            assert read_exactly(other_server, 1) == b"a"
        client.sendall(b"aa")
        assert read_exactly(server, 4) == b"bbbb"
    processes.wait_until(lambda: "the rewriter is gone" in gateway.process.errors(), 20, "its end")
    assert gateway.process.stop() == 0
    gateway.gateway.verify()
    sessions = {("as_sent_of" in one, gateway.payload(one)) for one in gateway.gateway.sessions()}
    assert sessions == {(False, b"aaa"), (True, b"bbbbbb"), (False, b"a")}


def test_commands(rewritten, upstream):
    """sessions marks it, replay plays what the client said, or what was sent if it is named."""
    gateway = rewritten(upstream.address, rewriter={"find": "a", "put": "bb"})
    with session(gateway, upstream) as (client, server):
        client.sendall(b"aaa")
        assert read_exactly(server, 6) == b"bbbbbb"
    calls = gateway.gateway.ask("plugins")["plugins"][0]
    assert "rewrite" in json.dumps(calls)
    came, sent = gateway.end()
    lines = gateway.gateway.command("sessions").stdout.decode().splitlines()
    assert [line for line in lines if line.startswith(sent.id)][0].endswith(f", as sent of {came.id}")
    assert not [line for line in lines if line.startswith(came.id)][0].endswith(f"as sent of {came.id}")
    for words, played in (((), [came.id]), ((f"id={sent.id}",), [sent.id]), ((f"id={came.id[:8]}",), [came.id])):
        done = gateway.gateway.command("replay", *words, "--to", upstream.address, "--dry-run", "--json",
                                       "--allow-original")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["id"] for one in found if "id" in one] == played


MASK = r"""
#include <gogetway/plugin.h>

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  if (host->want(host, session, GG_SIDE_CLIENT, GG_MODE_MASK) != 0)
    host->log(host, GG_PLUGIN_ERROR, "no mask");
}

static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  (void)self, (void)session;
  for (size_t i = 0; i < piece->length; i++)
    if (piece->bytes[i] >= '0' && piece->bytes[i] <= '9') {
      piece->bytes[i] = 'x';
      piece->masked++;
    }
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "digits", .open = on_open, .mask = on_mask, .mask_longest = 1};
"""


def test_what_is_masked_is_not_recorded_as_sent(configured, scratch, upstream):
    """The rewriter is shown the bytes as they came, and the recording has them nowhere."""
    source, made = scratch / "digits.c", scratch / "digits.so"
    source.write_text(MASK)
    processes.run(["cc", "-shared", "-fPIC", "-I", ROOT / "include", source, "-o", made])
    where = listener(upstream.address)
    configured.write(where, plugins=[{"path": str(made)}, {"path": str(tool("rewriter.so")),
                                                           "config": {"from": "both", "find": "pin", "put": "code"}}])
    process = configured.start()
    with connect(where["listen"]) as client, upstream.accept() as server:
        client.sendall(b"my pin is 4711")
        assert read_exactly(server, 15) == b"my code is 4711"
        server.sendall(b"pinned")
        assert read_exactly(client, 7) == b"codened"
    processes.wait_until(lambda: configured.ask("stats")["metrics"]["sessions_closed"] == 1, 10, "its end")
    assert process.stop() == 0
    configured.verify()
    assert not [file for file in configured.segments() if b"4711" in file.read_bytes()]
    came, = [one for one in configured.sessions() if "as_sent_of" not in one]
    sent, = [one for one in configured.sessions() if "as_sent_of" in one]
    assert configured.payload(came.id, "client") == b"my pin is xxxx"
    assert sent["bytes"] == {"client": 0, "server": 7} and sent["gaps"] == {"client": 15, "server": 0}
    assert configured.payload(sent.id, "server") == b"codened"
