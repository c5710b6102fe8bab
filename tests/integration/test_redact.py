# SPDX-License-Identifier: Apache-2.0
"""plugins/redact: secrets go on as they came, and are in no file at any time, whatever becomes of the gateway."""
import contextlib
import json
import mmap
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import faults
import processes
import recording
from faults import Echo, Upstream, connect, read_exactly, read_to_end, reset
from gogetway import ROOT, SIDES, TEST_ALL, Stream, program
from live import exchange, listener

pytestmark = pytest.mark.usefixtures("require_program")
REDACT = pathlib.Path(os.path.realpath(program())).parent / "plugins/redact/redact.so"
SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20261123"))
MIB = 1 << 20

LITERAL = b"hunter2-battery-staple"
BYTES = bytes.fromhex("deadbe7702cafe00ff")
CARD = b"4929-1234-5678-9012"
TOKEN = b"Bearer eyJhbGciOiJ"
SECRETS = (LITERAL, BYTES, CARD, TOKEN)
RULES = {"literals": [LITERAL.decode()], "bytes": ["de ad be ?? 02 CA fe 00 f?"],
         "regex": [r"\d{4}(?:-\d{4}){3}", "(?i)bearer [a-z0-9]{11}"]}
AS_PYTHON = re.compile(rb"hunter2-battery-staple|\xde\xad\xbe[\x00-\xff]\x02\xca\xfe\x00[\xf0-\xff]|"
                       rb"[0-9]{4}(?:-[0-9]{4}){3}|[Bb][Ee][Aa][Rr][Ee][Rr] [A-Za-z0-9]{11}", re.DOTALL)
MIXED = b"GET / " + LITERAL + b" x " + BYTES + BYTES + b"; " + CARD + b"/" + TOKEN + b" end " + LITERAL[:7]


def masked(data, fill=b"x"):
    return AS_PYTHON.sub(lambda found: fill * len(found[0]), data)


def secrets_in(*places):
    """(file, secret) of each that is there, in a part long enough to be no accident."""
    parts = [(secret, secret[at:at + 8]) for secret in SECRETS for at in (0, len(secret) - 8)]
    found = []
    for place in places:
        for file in sorted(pathlib.Path(place).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # it was renamed since it was listed
                if not file.is_file() or file.stat().st_size == 0:
                    continue
                with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as content:
                    found += [(str(file), secret) for secret, part in parts if content.find(part) >= 0]
    return found


def closing_facts(store, session):
    """The last comment of a session, as docs/format.md has it."""
    begin = b'{"gogetway":1,"id":"%s"' % session.id.encode()
    content = b"".join(file.read_bytes() for file in store.segments())
    facts, _ = json.JSONDecoder().raw_decode(content[content.rindex(begin):][:4096].decode(errors="replace"))
    assert "close" in facts
    return facts


class Redacted:
    """A gateway with one listener and redact, whose rings are in a directory of the test's own."""

    def __init__(self, configured, rings, upstream, more=None, rules=RULES, plugins=(), **options):
        self.gateway, self.rings = configured, rings
        self.where = listener(upstream, name="web", **(more or {}))
        self.address = self.where["listen"]
        options.setdefault("log", {"dir": str(rings), "ring": "512KiB", "max": "4MiB"})
        configured.write(self.where, plugins=[{"path": str(REDACT), "config": rules}, *plugins], **options)
        self.process = configured.start()

    def metric(self, name):
        return self.gateway.ask("stats")["metrics"][name]

    def check_clean(self):
        assert not secrets_in(self.gateway.directory, self.rings)

    def ended(self, count=1, holes=False):
        """The sessions, when so many have ended and the gateway has."""
        processes.wait_until(lambda: self.metric("sessions_closed") >= count, 20, "ended sessions")
        self.check_clean()
        assert self.process.stop(30) == 0
        self.check_clean()
        self.gateway.verify()
        if not holes:
            recording.tshark_approves(self.gateway.segments())
        sessions = self.gateway.sessions()
        assert len(sessions) == count
        return sessions


@pytest.fixture
def redacted(configured, rings):
    return lambda upstream, *words, **more: Redacted(configured, rings, upstream, *words, **more)


def test_the_search_finds_what_is_there(scratch):
    """Or nothing that follows has tested anything."""
    (scratch / "ring").write_bytes(bytes(5000) + CARD + bytes(5000))
    (scratch / "cut").write_bytes(LITERAL[-10:])
    assert {secret for _, secret in secrets_in(scratch)} == {CARD, LITERAL}


# ── What is masked ───────────────────────────────────────────────────────────────────────────────────────────────────

def test_byte_by_byte_both_ways(redacted, server):
    gateway = redacted(server.address)
    with connect(gateway.address) as peer:
        for byte in MIXED:
            exchange(peer, bytes([byte]))
            gateway.check_clean() if byte == MIXED[-1] else None
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended()
    expected = masked(MIXED)
    assert expected.count(b"x") > 70 and expected.endswith(LITERAL[:7])
    for side in SIDES:
        assert gateway.gateway.payload(session.id, side) == expected
        assert session.received(side) == session.forwarded(side) == len(MIXED)
    changed = sum(a != b for a, b in zip(MIXED, expected))
    facts = closing_facts(gateway.gateway, session)
    assert facts["masked"] == {"client": changed, "server": changed}
    assert facts["tags"] == ["redacted"] and session["gaps"] == {"client": 0, "server": 0}


@pytest.mark.parametrize("pieces", [1, 2])
def test_every_split(redacted, pieces):
    """One session a place, with the secret cut there; nothing is kept back that cannot be a beginning."""
    with Echo() as server:
        gateway = redacted(server.address)
        text = b"a" + LITERAL + BYTES + b"z"
        places = range(1, len(text)) if pieces == 2 else [len(text)]
        for place in places:
            with connect(gateway.address) as peer:
                for part in (text[:place], text[place:]):
                    if part:
                        exchange(peer, part)
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(1) == b""
        sessions = gateway.ended(len(places))
        expected = Stream.of_bytes(masked(text))
        for streams in gateway.gateway.payloads().values():
            assert streams == {"client": expected, "server": expected}
        assert len(sessions) == len(places)


def planted(chance, size):
    """Random bytes, with a secret somewhere in each 4096 of them."""
    data = bytearray(chance.randbytes(size).replace(b"-", b"+"))
    for begin in range(0, size - 4095, 4096):
        secret = chance.choice(SECRETS)
        at = begin + chance.randrange(4096 - len(secret))
        data[at:at + len(secret)] = secret
    return bytes(data)


def test_bulk_both_ways(redacted, server):
    chance = random.Random(SEED)
    data = planted(chance, (64 if TEST_ALL else 8) * MIB)
    gateway = redacted(server.address, relay={"splice": "on"})
    with connect(gateway.address, seconds=120) as peer:
        reader = faults.Hasher(peer)
        at = 0
        while at < len(data):
            part = chance.choice([1, 7, 1000, 65536, MIB])
            peer.sendall(data[at:at + part])
            at += part
            if chance.randrange(50) == 0:
                gateway.check_clean()
        peer.shutdown(socket.SHUT_WR)
        assert reader.finish(120) == Stream.of_bytes(data)
    assert gateway.metric("spliced_bytes") == 0
    session, = gateway.ended()
    expected = masked(data)
    assert expected.count(b"x") > data.count(b"x") + 5000
    assert gateway.gateway.payloads()[session.id] == dict.fromkeys(SIDES, Stream.of_bytes(expected))


def test_one_side(redacted, server):
    gateway = redacted(server.address, rules={"literals": ["tell"], "sides": "client", "with": "*"})
    with connect(gateway.address) as peer:
        exchange(peer, b"do not tell")
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended()
    assert closing_facts(gateway.gateway, session)["masked"] == {"client": 4, "server": 0}
    assert gateway.gateway.payload(session.id, "client") == b"do not ****"
    assert gateway.gateway.payload(session.id, "server") == b"do not tell"


def test_what_cannot_be_a_secret_is_recorded_at_once(redacted, server):
    """Of an idle session only the beginning of a match is kept back."""
    gateway = redacted(server.address)
    with connect(gateway.address) as peer:
        exchange(peer, b"nothing of that kind; hunter2")
        session = processes.wait_until(
            lambda: next((s for s in gateway.gateway.sessions() if s["bytes"]["server"]), None), 20, "a session")
        assert gateway.gateway.payload(session.id, "client") == b"nothing of that kind; "
        exchange(peer, b"!")
        processes.wait_until(lambda: gateway.gateway.payload(session.id, "client") ==
                             b"nothing of that kind; hunter2!", 20, "the rest")
    gateway.ended()


# ── Ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

SENT = b"a " + CARD + b" and " + LITERAL[:7]  # the last part is kept back until the end


def client_resets(gateway, peer, server):
    reset(peer)


def server_resets(gateway, peer, server):
    reset(server)
    with contextlib.suppress(ConnectionError):
        peer.recv(1)


def client_ends(gateway, peer, server):
    peer.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.close()


def it_idles(gateway, peer, server):
    with contextlib.suppress(ConnectionError):
        peer.recv(1)


def it_drains(gateway, peer, server):
    gateway.process.popen.terminate()
    with contextlib.suppress(ConnectionError):
        peer.recv(1)


@pytest.mark.parametrize("end, close", [
    (client_resets, "client-reset"), (server_resets, "server-reset"), (client_ends, "client-fin"),
    (it_idles, "idle-timeout"), (it_drains, "drain")], ids=lambda value: value if isinstance(value, str) else "")
def test_the_last_bytes_are_recorded(redacted, end, close):
    timeouts = {"idle": "2s" if end is it_idles else "1d", "drain": "100ms"}
    with Upstream() as upstream:
        gateway = redacted(upstream.address, timeouts=timeouts)
        with connect(gateway.address) as peer, upstream.accept() as server:
            peer.sendall(SENT)
            assert read_exactly(server, len(SENT)) == SENT
            server.sendall(b"as you say: " + SENT)
            assert read_exactly(peer, 12 + len(SENT)) == b"as you say: " + SENT
            end(gateway, peer, server)
        if end is it_drains:
            gateway.process.wait(30)
            gateway.check_clean()
            session, = gateway.gateway.sessions()
        else:
            session, = gateway.ended()
        assert session["close"] == close and session.state == "closed"
        assert gateway.gateway.payload(session.id, "client") == masked(SENT)
        assert gateway.gateway.payload(session.id, "server") == b"as you say: " + masked(SENT)
        assert session["gaps"] == {"client": 0, "server": 0}


def test_an_upstream_that_refuses(redacted):
    """What the client had sent is evidence, and masked."""
    gateway = redacted(processes.free_address())
    with contextlib.suppress(ConnectionError), connect(gateway.address) as peer:
        peer.sendall(SENT)
        read_to_end(peer)
    session, = gateway.ended()
    assert session["close"] == "connect-refused"
    assert gateway.gateway.payload(session.id, "client") in (masked(SENT), b"")


def test_a_client_held_up_until_the_upstream_refuses(redacted, silent):
    gateway = redacted(silent, timeouts={"connect": "1s"})
    with connect(gateway.address) as peer:
        peer.sendall(SENT)
        read_to_end(peer)
    session, = gateway.ended()
    assert session["close"] == "connect-timeout"
    assert gateway.gateway.payload(session.id, "client") == masked(SENT)


def test_a_header_that_is_none(redacted, server):
    """Nobody can say of these bytes whether they are to be masked: they are not recorded."""
    gateway = redacted(server.address, {"proxy_protocol_in": "v1", "trusted": ["127.0.0.0/8"]})
    with connect(gateway.address) as peer:
        peer.sendall(b"PROXY " + SENT + b"\r\n" + SENT)
        read_to_end(peer)
    session, = gateway.ended()
    assert session["close"] == "proxy-invalid" and gateway.gateway.payloads().get(session.id) is None or (
        gateway.gateway.payloads()[session.id]["client"].count == 0)


def test_without_an_upstream(redacted):
    gateway = redacted("none", {"greeting": "hello " + CARD.decode() + " hunter2"})
    with connect(gateway.address) as peer:
        assert read_exactly(peer, 33) == b"hello " + CARD + b" hunter2"
        peer.sendall(SENT)
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended()
    assert gateway.gateway.payload(session.id, "client") == masked(SENT)
    assert gateway.gateway.payload(session.id, "server") == b"hello " + b"x" * len(CARD) + b" hunter2"


# ── SIGKILL ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_killed_at_random_moments(redacted, configured, rings, scratch):
    """Nothing is found where the dead process has left it, nor by the start that completes it."""
    chance = random.Random(SEED)
    block = planted(chance, MIB)
    for number in range(40 if TEST_ALL else 8):
        with Echo() as server:
            gateway = redacted(server.address, relay={"splice": chance.choice(["on", "off"])},
                               segment={"max_bytes": chance.choice(["256KiB", "1GiB"])})
            ending = threading.Event()

            def talk(part):
                with contextlib.suppress(OSError, AssertionError):  # the end came early: it was killed
                    with connect(gateway.address) as peer:
                        while not ending.is_set():
                            for at in range(0, len(block), part):
                                peer.sendall(block[at:at + part])
                                read_exactly(peer, len(block[at:at + part]))
            threads = [threading.Thread(target=talk, args=(part,), daemon=True) for part in (40, 3000, 200000)]
            for thread in threads:
                thread.start()
            processes.wait_until(lambda: gateway.metric("masked_bytes") > 0, 20, "masked bytes")
            faults.sleep_to_a_random_moment(chance, 0.4)
            gateway.process.kill()
            ending.set()
            gateway.check_clean()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
    process = configured.start()
    gateway.check_clean()
    assert process.stop(30) == 0
    gateway.check_clean()
    configured.verify()
    recording.tshark_approves(configured.segments())
    assert len(configured.sessions()) >= number


# ── When there is no room ────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("policy", ["gap", "block"])
def test_a_full_disk(redacted, configured, scratch, policy):
    """What is recorded is masked; with `gap` the rest is counted to the byte, with `block` there is no rest."""
    disk = scratch / "disk"
    data = planted(random.Random(SEED), 6 * MIB)
    with faults.mounted(disk, size="40m"), Upstream() as upstream:
        configured.directory = disk / "rec"
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 38 * MIB)
        gateway = redacted(upstream.address, {"on_full": policy, "on_stall": policy}, workers=1)
        with connect(gateway.address, seconds=60) as peer, upstream.accept() as server:
            reader = faults.Hasher(server)
            sender = threading.Thread(target=peer.sendall, args=(data,))
            sender.start()
            if policy == "gap":
                processes.wait_until(lambda: reader.count == len(data), 60, "all of it")
            else:
                processes.wait_until(lambda: gateway.metric("worker_stalls") > 0, 60, "a stall")
            gateway.check_clean()
            ballast.unlink()
            sender.join(60)
            processes.wait_until(lambda: gateway.metric("log_disk_full") == 0 and
                                 gateway.metric("log_fill_bytes") < 65536, 30, "room")
            peer.sendall(SENT)
            peer.shutdown(socket.SHUT_WR)
            assert reader.finish(60) == Stream.of_bytes(data + SENT)
        processes.wait_until(lambda: gateway.metric("sessions_closed") == 1, 20, "its end")
        unrecorded = gateway.metric("unrecorded_bytes")
        assert gateway.process.stop(30) == 0
        gateway.check_clean()
        configured.verify()
        session, = configured.sessions()
        whole, recorded = masked(data + SENT), configured.payload(session.id, "client")
        assert session["gaps"]["client"] == unrecorded and session.received("client") == len(whole)
        assert len(recorded) + unrecorded == len(whole)
        if policy == "block":
            assert recorded == whole and unrecorded == 0
        else:
            assert unrecorded > 0 and whole.endswith(recorded[-len(SENT):]) and whole.startswith(recorded[:100000])


# ── What else plug-ins say ───────────────────────────────────────────────────────────────────────────────────────────

PLUGIN = r"""
#include <gogetway/plugin.h>
#include <stdlib.h>
#include <string.h>

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)config, (void)failure;
  *self = (void *)(uintptr_t)host;
  return 0;
}
%s
GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "%s", .create = on_create, %s};
"""
FIRST = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)self, (void)session;
  open->recording = GG_RECORDING_FIRST;
  open->record_first = 12;
}
"""
REPLY = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE);
}
static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  (void)self, (void)session;
  if (data->length > 0)
    *verdict = (struct gg_verdict){
      .kind = GG_VERDICT_REPLY, .reply = "no, hunter2-battery-staple!", .reply_length = 27};
}
"""
# Has a mask and does not use it: it ends the session instead.
UNABLE = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)self, (void)session;
  *open = (struct gg_open){.size = open->size, .verdict = {.kind = %s, .reply = "sorry", .reply_length = 5}};
}
static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  (void)self, (void)session, (void)piece;
  return 0;
}
"""
# Asks for its mask only when it has seen the first bytes, and a verdict comes before that.
LATE = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)self, (void)session;
  open->hold_first_bytes = 100;
  open->hold_first_ns = 60000000000;
  open->verdict = (struct gg_verdict){.kind = %s, .reply = "sorry", .reply_length = 5};
}
static void on_first(void *self, struct gg_live *session, const uint8_t *bytes, size_t length, struct gg_open *open)
{
  (void)self, (void)session, (void)bytes, (void)length, (void)open;
}
"""
# Holds the end of the server, and answers in its name when the client says more.
INSTEAD = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE);
  host->want(host, session, GG_SIDE_SERVER, GG_MODE_GATE);
}
static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  (void)self, (void)session;
  if (data->from == GG_SIDE_SERVER && data->ended)
    verdict->kind = GG_VERDICT_HOLD;
  if (data->from == GG_SIDE_CLIENT && data->length == 4)
    *verdict = (struct gg_verdict){.kind = GG_VERDICT_REPLY, .reply = "-battery", .reply_length = 8};
}
"""
# Puts out what came, with "<>" behind it.
REWRITER = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_REWRITE);
}
static void on_rewrite(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output)
{
  const struct gg_host *host = self;
  (void)session;
  host->emit(host, output, data->bytes, data->length);
  host->emit(host, output, "<>", data->length > 0 ? 2 : 0);
}
"""
# Writes what it observes of the client to a file.
OBSERVER = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_OBSERVE);
}
static void on_observe(void *self, const struct gg_observed *piece)
{
  const struct gg_host *host = self;
  char path[4096];
  snprintf(path, sizeof path, "%s/seen", host->state_dir);
  FILE *file = fopen(path, "a");
  if (!file)
    return;
  fwrite(piece->bytes, 1, piece->length, file);
  if (piece->ended)
    fputs("|end", file);
  fclose(file);
}
"""
# Keeps 1000 bytes back, makes every q an x, and gives itself back when it has seen a million bytes.
KEEPER = """
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_MASK);
}
static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  const struct gg_host *host = self;
  size_t keep = piece->ended || piece->length < 1000 ? piece->length : 1000;
  for (size_t i = piece->seen; i < piece->length; i++)
    if (piece->bytes[i] == 'q') {
      piece->bytes[i] = 'x';
      piece->masked++;
    }
  if (piece->offset + piece->length >= 1000000)
    host->want(host, session, GG_SIDE_CLIENT, GG_MODE_NONE);
  return piece->ended ? 0 : keep;
}
"""


@pytest.fixture
def built(scratch):
    if not shutil.which("cc"):
        pytest.skip("needs cc")

    def build(name, source, *operations):
        (scratch / f"{name}.c").write_text(PLUGIN % (source, name, ", ".join(operations)))
        processes.run(["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include",
                       scratch / f"{name}.c", "-o", scratch / f"{name}.so"])
        return {"path": str(scratch / f"{name}.so")}
    return build


def test_the_first_bytes_only(redacted, built, server):
    """A secret that begins before the limit is masked as far as it is recorded."""
    gateway = redacted(server.address, plugins=[built("first", FIRST, ".open = on_open")])
    with connect(gateway.address) as peer:
        exchange(peer, b"number ")
        exchange(peer, CARD[:10])
        exchange(peer, CARD[10:] + b" and more")
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended(holes=True)
    assert gateway.gateway.payload(session.id, "client") == b"number xxxxx"
    assert session["gaps"] == dict.fromkeys(SIDES, 7 + len(CARD) + 9 - 12)


def test_a_verdict_that_replies(redacted, built, server):
    """What the client says behind the verdict is masked, and the reply is."""
    gateway = redacted(server.address,
                       plugins=[built("reply", REPLY, ".open = on_open", ".gate = on_gate")])
    with connect(gateway.address) as peer:
        peer.sendall(b"please, 4929-1234-")
        assert read_exactly(peer, 27) == b"no, " + LITERAL + b"!"
        peer.sendall(b"5678-9012 " + LITERAL)
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended()
    assert session["close"] == "verdict"
    assert gateway.gateway.payload(session.id, "client") == b"please, " + b"x" * 19 + b" " + b"x" * len(LITERAL)
    assert gateway.gateway.payload(session.id, "server") == b"no, " + b"x" * len(LITERAL) + b"!"


@pytest.mark.parametrize("kind", ["GG_VERDICT_CLOSE", "GG_VERDICT_REPLY"])
@pytest.mark.parametrize("source, operations", [(UNABLE, (".open = on_open", ".mask = on_mask", ".mask_longest = 9")),
                                                (LATE, (".open = on_open", ".first = on_first"))])
def test_a_verdict_before_it_is_masked(redacted, built, server, source, operations, kind):
    """What the client says all the same is left out: nobody has said what the recording may have of it."""
    gateway = redacted(server.address, plugins=[built("unable", source % kind, *operations)])
    with connect(gateway.address) as peer:
        peer.sendall(b"a password that no pattern knows")
        data = peer.recv(100)
        assert data == (b"sorry" if kind == "GG_VERDICT_REPLY" else b"")
        peer.shutdown(socket.SHUT_WR)
        assert not data or peer.recv(1) == b""
    session, = gateway.ended(holes=True)
    assert session["close"] == "verdict" and session["received"]["client"] == 32
    assert not any(b"a password" in file.read_bytes() for file in gateway.gateway.segments())


def test_a_reply_behind_the_end(redacted, built):
    """The server has ended with the beginning of a secret, and nothing more can be said in its name."""
    with Upstream() as upstream:
        gateway = redacted(upstream.address, plugins=[built("instead", INSTEAD, ".open = on_open", ".gate = on_gate")])
        with connect(gateway.address) as peer, upstream.accept() as server:
            server.sendall(b"hunter2")
            server.shutdown(socket.SHUT_WR)
            assert read_exactly(peer, 7) == b"hunter2"
            peer.sendall(b"more")
            assert peer.recv(1) == b""
            peer.shutdown(socket.SHUT_WR)
            server.close()
        session, = gateway.ended()
        assert session["close"] == "verdict"


def test_what_is_rewritten_is_not_recorded_as_sent(redacted, built):
    """It would bring the secret back."""
    with Upstream() as upstream:
        rewriter = built("rewriter", REWRITER, ".open = on_open", ".rewrite = on_rewrite")
        gateway = redacted(upstream.address, plugins=[rewriter])
        with connect(gateway.address) as peer, upstream.accept() as server:
            peer.sendall(SENT)
            assert read_exactly(server, len(SENT) + 2) == SENT + b"<>"
            peer.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
            server.close()
            assert peer.recv(1) == b""
        processes.wait_until(lambda: gateway.metric("sessions_closed") == 1, 20, "its end")
        assert gateway.process.stop(30) == 0
        gateway.check_clean()
        payloads = [gateway.gateway.payload(session.id, "client") for session in gateway.gateway.sessions()]
        assert sorted(payloads) == [b"", masked(SENT)]


def test_observers_see_what_is_recorded(redacted, built, configured, server):
    gateway = redacted(server.address, plugins=[built("watch", OBSERVER, ".open = on_open", ".observe = on_observe")])
    with connect(gateway.address) as peer:
        for at in range(0, len(MIXED), 10):
            exchange(peer, MIXED[at:at + 10])
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    seen = configured.directory / "plugins/watch/seen"
    processes.wait_until(lambda: seen.is_file() and seen.read_bytes().endswith(b"|end"), 20, "the observer")
    assert seen.read_bytes() == masked(MIXED) + b"|end"
    gateway.ended()


def test_two_masks_of_which_one_is_given_back(redacted, built, server):
    """The second sees what the first has let go; what it kept back is recorded, and the first goes on."""
    keeper = built("keeper", KEEPER, ".open = on_open", ".mask = on_mask", ".mask_longest = 1001")
    gateway = redacted(server.address, plugins=[keeper])
    chance = random.Random(SEED)
    data = planted(chance, 2 * MIB).replace(b"qqq", b"qqx")
    with connect(gateway.address, seconds=60) as peer:
        for at in range(0, len(data), 50000):
            exchange(peer, data[at:at + 50000])
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = gateway.ended()
    recorded, expected = gateway.gateway.payload(session.id, "client"), masked(data)
    assert len(recorded) == len(expected)
    assert recorded[:999000] == expected[:999000].replace(b"q", b"x")
    assert recorded[-900000:] == expected[-900000:]
    assert b"q" in recorded[1100000:]


def test_given_back_it_is_spliced(redacted, built, configured, server):
    keeper = built("keeper", KEEPER, ".open = on_open", ".mask = on_mask", ".mask_longest = 1001")
    where = listener(server.address, name="web")
    configured.write(where, plugins=[keeper], relay={"splice": "on"})
    process = configured.start()
    data = random.Random(SEED).randbytes(16 * MIB)
    with connect(where["listen"], seconds=60) as peer:
        reader = faults.Hasher(peer)
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        assert reader.finish(60) == Stream.of_bytes(data)
    assert configured.ask("stats")["metrics"]["spliced_bytes"] > MIB
    assert process.stop(30) == 0
    session, = configured.sessions()
    recorded = configured.payload(session.id, "client")
    assert len(recorded) == len(data) and recorded[:999000] == data[:999000].replace(b"q", b"x")
    assert recorded[2 * MIB:] == data[2 * MIB:]
    configured.verify()
    recording.tshark_approves(configured.segments())


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def check_config(configured):
    done = subprocess.run([program(), "run", "-c", configured.file, "--dir", configured.directory, "--check-config"],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_not_with_sync_always(configured, server, scratch):
    where = listener(server.address)
    configured.write_text("listeners:\n  - listen: %s\n    upstream: %s\nsync: {mode: always}\nplugins:\n"
                          "  - path: %s\n    config: {literals: [%s]}\n" %
                          (where["listen"], server.address, REDACT, LITERAL.decode()))
    status, text = check_config(configured)
    assert status != 0 and f"{configured.file}:6:" in text and "sync.mode: always" in text
    process = configured.start(wait=False)
    assert process.wait(20) != 0 and "sync.mode: always" in process.errors()
    assert LITERAL.decode() not in text + process.errors()


def test_a_reload_does_not_bring_it_beside_sync_always(configured, server):
    where = listener(server.address)
    redact = {"path": str(REDACT), "config": RULES}
    configured.write(where, sync={"mode": "always"})
    process = configured.start("--sandbox", "off")
    configured.write(where, sync={"mode": "interval"}, plugins=[redact])  # which needs a restart
    status, reply = configured.reload()
    assert status != 0 and "sync.mode: always" in str(reply)
    with connect(where["listen"]) as peer:
        exchange(peer, b"still here")
    assert process.stop(20) == 0


@pytest.mark.parametrize("rules, says", [
    ({}, "one of literals, bytes and regex"),
    ({"regex": ["hunter2-.*"]}, "regex, item 1: at character 10: it has no upper bound"),
    ({"regex": ["ok", "(hunter2-"]}, "regex, item 2"),
    ({"bytes": ["hunter2-"]}, "bytes, item 1"),
    ({"literals": [""]}, "literals"),
    ({"literals": ["hunter2-"], "with": "**"}, "with"),
    ({"literals": ["hunter2-"], "hunters": "a"}, "hunters"),
    ({"literals": ["hunter2-" * 600]}, "4800 bytes, 4096"),
])
def test_refused(configured, server, rules, says):
    """And no message has a word of what is to be kept secret."""
    configured.write(listener(server.address), plugins=[{"path": str(REDACT), "config": rules}])
    process = configured.start(wait=False)
    assert process.wait(20) != 0
    assert says in process.errors() and "hunter2-" not in process.errors()


def test_no_secret_is_told(redacted, configured, server):
    """Neither at start, nor by a reload that changes them, nor by what can be asked."""
    gateway = redacted(server.address)
    other = dict(RULES, literals=["another-secret"])
    configured.write(gateway.where, plugins=[{"path": str(REDACT), "config": other}],
                     log={"dir": str(gateway.rings), "ring": "512KiB", "max": "4MiB"})
    status, reply = configured.reload()
    assert status == 0 and "redact: loaded again" in str(reply)
    with connect(gateway.address) as peer:
        exchange(peer, b"say another-secret twice")
    shown = configured.command("plugins").stdout + configured.command("redact", "show").stdout
    assert b"bytes " in shown
    text = str(reply) + gateway.process.errors() + shown.decode()
    assert "another" not in text and "hunter" not in text
    gateway.ended()
