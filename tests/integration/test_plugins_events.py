# SPDX-License-Identifier: Apache-2.0
"""plugins/events: sessions as lines of JSON, whoever reads them, or does not."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import socket
import threading
import time

import pytest

import faults
import processes
from faults import Upstream, connect, mounted, read_to_end, remount, reset
from gogetway import ROOT, program
from live import exchange, listener, said
from plugging import Kit

pytestmark = pytest.mark.usefixtures("require_program")
EVENTS = pathlib.Path(os.path.realpath(program())).parent / "plugins/events/events.so"
START = ["event", "time", "id", "listener", "client", "server", "upstream", "opened"]
END = [*START, "bytes", "forwarded", "duration_ns", "close", "reason", "tags"]


@pytest.fixture
def events(configured, server):
    """events(file="x", ...): a started gateway in front of an echo, with the plug-in's options."""
    def make(*more, options=None, **config):
        configured.where = listener(server.address, name="web")
        configured.address = configured.where["listen"]
        configured.own = configured.directory / "plugins/events"

        def write(**config):
            configured.write(configured.where, plugins=[{"path": str(EVENTS), "config": config}, *more],
                             **(options or {}))
        configured.put = write
        write(**config)
        configured.process = configured.start()
        return configured
    return make


def shown(gateway):
    lines = gateway.command("events", "show").stdout.decode().splitlines()
    return {name: int(value) if value.isdigit() else value for name, value in (line.split(" ", 1) for line in lines)}


def wait_shown(gateway, **least):
    def enough():
        found = shown(gateway)
        return all(found[name] >= value for name, value in least.items()) and found
    return processes.wait_until(enough, 20, f"events with {least}")


def wait_all(gateway, sessions):
    """Until both lines of so many sessions have found room, or are counted as lost."""
    def counted():
        found = shown(gateway)
        return found["written"] + found["waiting"] + found["lost"] == 2 * sessions and found
    return processes.wait_until(counted, 20, f"both lines of {sessions} sessions")


def lines_of(text):
    """Each line is one object, and none is cut."""
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.decode().splitlines()]


class Reader:
    """A unix socket that is bound and read by a thread until it is closed; `stopped` while it does not read."""

    def __init__(self, path, kind):
        self.path, self.kind = path, kind
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind(str(path))
        self.listener.settimeout(0.05)
        if kind == socket.SOCK_STREAM:
            self.listener.listen(5)
        self.got = b""
        self.count = 0
        self.ending = False
        self.reading = threading.Event()
        self.reading.set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        peer = self.listener if self.kind == socket.SOCK_DGRAM else None
        while not self.ending:
            self.reading.wait(20)
            with contextlib.suppress(TimeoutError):
                if peer is None:
                    peer = self.listener.accept()[0]
                    peer.settimeout(0.05)
                data = peer.recv(1 << 16)
                if self.kind == socket.SOCK_DGRAM:
                    assert b"\n" not in data
                    data += b"\n"
                elif not data:
                    peer = None
                self.got += data
        if peer not in (None, self.listener):
            peer.close()

    def lines(self):
        return self.got[:self.got.rfind(b"\n") + 1]

    def wait(self, count):
        processes.wait_until(lambda: self.lines().count(b"\n") >= count, 30, f"{count} lines")
        return self.lines()

    def close(self):
        self.ending = True
        self.reading.set()
        self.thread.join(20)
        self.listener.close()
        self.path.unlink()


# ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_session_is_told(events, server):
    before = datetime.datetime.now(datetime.timezone.utc)
    gateway = events(file="sessions.json")
    with connect(gateway.address) as peer:
        client = "%s:%d" % peer.getsockname()
        exchange(peer, b"seven b")
        wait_shown(gateway, written=1)
        start, = lines_of((gateway.own / "sessions.json").read_bytes())
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    wait_shown(gateway, written=2)
    assert gateway.process.stop(20) == 0
    told, end = lines_of((gateway.own / "sessions.json").read_bytes())
    session, = gateway.sessions()
    assert told == start and list(start) == START and list(end) == END
    assert (start["event"], end["event"]) == ("start", "end")
    for line in (start, end):
        assert (line["id"], line["listener"], line["client"]) == (session.id, "web", client)
        assert line["server"] == gateway.address
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
        opened = datetime.datetime.fromisoformat(line["opened"].replace("Z", "+00:00"))
        assert 0 <= (opened - before).total_seconds() < 60
    assert (start["upstream"], end["upstream"]) == ("", server.address)
    assert end["bytes"] == end["forwarded"] == {"client": 7, "server": 7}
    assert (end["close"], end["reason"], end["tags"]) == ("client-fin", "", [])
    assert end["duration_ns"] > 0


def test_only_ends(events):
    gateway = events(file="sessions.json", starts=False)
    said(gateway.address)
    gateway.process.stop(20)
    line, = lines_of((gateway.own / "sessions.json").read_bytes())
    assert line["event"] == "end"


def test_two_thousand_sessions(events):
    """All are told, the last ones too, which end with the gateway."""
    gateway = events(file="sessions.json")
    for _ in range(1980):
        said(gateway.address, b"x")
    staying = [connect(gateway.address) for _ in range(20)]
    for peer in staying:
        exchange(peer, b"y")
    process = gateway.process
    process.popen.terminate()
    time.sleep(0.05)
    for peer in staying:
        peer.close()
    assert process.wait(20) == 0
    lines = lines_of((gateway.own / "sessions.json").read_bytes())
    known = {session.id for session in gateway.sessions()}
    assert len(lines) == 4000 and len(known) == 2000
    for event in ("start", "end"):
        assert {line["id"] for line in lines if line["event"] == event} == known


# ── Options ──────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("config, reason", [
    ({}, "one of file, unix and syslog must be given"),
    ({"file": "a", "unix": "/b"}, "file and unix are both given: one of file, unix and syslog is enough"),
    ({"file": "none/a"}, "No such file or directory"),
    ({"unix": "/" + "x" * 107}, "107")])
def test_options_are_refused(events, config, reason):
    gateway = events(file="fine")
    gateway.put(**config)
    status, reply = gateway.reload()
    assert status == 3 and reason in reply["errors"][0], reply


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("how", ["rename", "command"])
def test_rotation(events, how):
    """No line is lost, and none is in two files."""
    gateway = events(file="sessions.json")
    file = gateway.own / "sessions.json"
    names = []
    for number in range(4):
        for _ in range(10):
            said(gateway.address)
        wait_shown(gateway, written=20 * (number + 1))
        other = file.with_suffix(f".{number}")
        os.rename(file, other)
        names.append(other)
        if how == "command":
            gateway.command("events", "reopen")
            processes.wait_until(file.exists, 10, "the new file")
    gateway.process.stop(20)
    assert [len(lines_of(name.read_bytes())) for name in names] == [20] * 4
    assert not file.exists() or file.read_bytes() == b""


def test_it_appends(events):
    gateway = events(file="sessions.json")
    said(gateway.address)
    gateway.process.stop(20)
    gateway.start()
    said(gateway.address)
    gateway.processes[-1].stop(20)
    assert len(lines_of((gateway.own / "sessions.json").read_bytes())) == 4


def test_a_file_elsewhere(events, scratch):
    """It is open before the sandbox closes, but cannot be opened anew: it is written on."""
    gateway = events(file=str(scratch / "sessions.json"))
    said(gateway.address)
    wait_shown(gateway, written=2)
    gateway.command("events", "reopen")
    said(gateway.address)
    gateway.process.stop(20)
    assert len(lines_of((scratch / "sessions.json").read_bytes())) == 4


def test_a_full_disk(events, scratch):
    """Sessions go on; lines wait while there is room, are counted when there is none, and go on when the disk does.
    None is cut in the middle."""
    with mounted(scratch / "small", size="64k") as small:
        gateway = events(file=str(small / "sessions.json"), queue="64KiB")
        (small / "filler").write_bytes(bytes(45056))
        for _ in range(500):
            said(gateway.address)
        found = wait_shown(gateway, lost=1)
        lines = lines_of((small / "sessions.json").read_bytes())
        assert 0 < len(lines) == found["written"]
        assert any("cannot write to" in line.get("text", "") for line in gateway.log())
        remount(small, "4m")
        processes.wait_until(lambda: shown(gateway)["waiting"] == 0, 20, "all that waited is written")
        said(gateway.address)
        found = wait_all(gateway, 501)
        gateway.process.stop(20)
        lines = lines_of((small / "sessions.json").read_bytes())
        assert len(lines) == 1002 - found["lost"] == found["written"] + found["waiting"]
        assert any("lines are lost" in line.get("text", "") for line in gateway.log())


# ── Sockets ──────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket(events, scratch, kind):
    """Nobody reads at first; then one does, goes away, and another comes."""
    path = scratch / "collector"
    gateway = events(unix=str(path))
    said(gateway.address)
    first = Reader(path, KINDS[kind])
    lines = lines_of(first.wait(2))
    assert [line["event"] for line in lines] == ["start", "end"]
    first.close()
    said(gateway.address)
    second = Reader(path, KINDS[kind])
    said(gateway.address)
    lines = lines_of(second.wait(2))
    assert {line["event"] for line in lines} == {"start", "end"}
    gateway.process.stop(20)
    second.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_stops(events, scratch, kind):
    """No session waits; what found no room is counted, and all others arrive, whole."""
    path = scratch / "collector"
    reader = Reader(path, KINDS[kind])
    gateway = events(unix=str(path), queue="64KiB")
    said(gateway.address)
    reader.wait(2)
    reader.reading.clear()
    longest = 0
    sessions = 1
    while shown(gateway)["lost"] < 50:
        assert sessions < 20_000
        for _ in range(100):
            begun = time.monotonic()
            said(gateway.address)
            longest = max(longest, time.monotonic() - begun)
            sessions += 1
    assert longest < 5
    found = wait_all(gateway, sessions)
    reader.reading.set()
    lines = lines_of(reader.wait(2 * sessions - found["lost"]))
    assert len(lines) == 2 * sessions - found["lost"]
    assert found["lost"] == shown(gateway)["lost"]
    assert gateway.process.stop(20) == 0
    reader.close()


@pytest.mark.parametrize("kind", KINDS)
def test_syslog(events, scratch, kind):
    reader = Reader(scratch / "log", KINDS[kind])
    gateway = events(syslog=str(scratch / "log"))
    said(gateway.address)
    for line, event in zip(reader.wait(2).decode().splitlines(), ("start", "end"), strict=True):
        head = re.fullmatch(r"<30>1 (\S+Z) (\S+) gogetway (\d+) session-(\w+) - (\{.*\})", line)
        assert head, line
        assert head[2] == socket.gethostname() and int(head[3]) == gateway.process.pid and head[4] == event
        assert json.loads(head[5])["time"] == head[1]
    gateway.process.stop(20)
    reader.close()


def test_the_end_of_the_gateway_waits_for_nobody(events, scratch):
    reader = Reader(scratch / "collector", socket.SOCK_STREAM)
    gateway = events(unix=str(scratch / "collector"))
    said(gateway.address)
    reader.wait(2)
    reader.reading.clear()
    for _ in range(1500):
        said(gateway.address)
    begun = time.monotonic()
    assert gateway.process.stop(20) == 0
    assert time.monotonic() - begun < 6
    reader.close()


# ── Hostile names ────────────────────────────────────────────────────────────────────────────────────────────────────

ECHO_REASON = r"""
#include <gogetway/plugin.h>
#include <stdlib.h>
#include <string.h>

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = self;
  (void)open;
  host->state_set(host, session, calloc(1, GG_REASON_MAX));
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE);
}
static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  const struct gg_host *host = self;
  char *reason = host->state(host, session);
  memcpy(reason, data->bytes, data->length < GG_REASON_MAX - 1 ? data->length : GG_REASON_MAX - 1);
  *verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = reason};
}
static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  const struct gg_host *host = self;
  (void)summary;
  free(host->state(host, session));
}
GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "echo-reason", .open = on_open, .gate = on_gate, .close = on_close};
"""

@pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")
def test_what_a_client_says_breaks_no_line(events, tmp_path_factory, scratch):
    """A plug-in gives the client's own bytes as the reason."""
    other = Kit(tmp_path_factory.mktemp("kit")).build(scratch / "echo-reason", ECHO_REASON)
    gateway = events({"path": str(other)}, file="sessions.json", starts=False)
    for text in (b'a"b\\c\n{"event":"start"}\r\t\x1b[31m\x7f', b"\xff\xc0\x80", b"\x01" * 200):
        with connect(gateway.address) as peer:
            peer.sendall(text)
            read_to_end(peer)
    gateway.process.stop(20)
    text = (gateway.own / "sessions.json").read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", text)
    lines = lines_of(text)
    told, = (line["reason"] for line in lines if line["reason"].startswith('a"b\\c'))  # of two workers: in any order
    assert '{"event":"start"}' in told
    assert {line["close"] for line in lines} == {"verdict"} and len(lines) == 3


LINES = r"""
#include "events.h"
#include <string.h>

/* Every text of a session is what comes on standard input, as much as has room. */
static char text[4096];
static void fill(char *to, size_t size)
{
  memset(to, 0, size);
  memcpy(to, text, strlen(text) < size ? strlen(text) : size - 1);
}

int main(int argc, char **argv)
{
  struct gg_session_info info = {.size = sizeof info, .key = {"0123456789abcdef01234567"}, .tag_count = GG_TAGS_MAX};
  char reason[GG_REASON_MAX], line[LINE_MAX_BYTES];
  struct gg_session_summary summary = {.size = sizeof summary, .close = "verdict", .reason = reason};
  struct line_head head;
  (void)argv;
  if (fread(text, 1, sizeof text - 1, stdin) == 0)
    return 1;
  fill(info.listener, sizeof info.listener);
  fill(info.client, sizeof info.client);
  fill(info.server, sizeof info.server);
  fill(info.upstream, sizeof info.upstream);
  fill(reason, sizeof reason);
  for (unsigned i = 0; i < GG_TAGS_MAX; i++)
    memset(info.tags[i], 't', GG_TAG_MAX - 1);
  line_head_init(&head, argc > 1);
  memset(&summary.received, 0xff, sizeof summary.received);
  memset(&summary.forwarded, 0xff, sizeof summary.forwarded);
  size_t length = line_write(line, &head, &info, &summary, UINT64_MAX);
  return fwrite(line, 1, length, stdout) == length ? 0 : 1;
}
"""

HOSTILE = [
    (b'a"b\\c\n{"event":"start"}\r\t\x1b[31m\x7f', 'a"b\\c\n{"event":"start"}\r\t\x1b[31m\x7f'),
    ("\u2028\u2029\u00e9\U0001f600\u0085\u009b".encode(), "\u2028\u2029\u00e9\U0001f600\u0085\u009b"),
    (b"\xff\xc0\x80\xed\xa0\x80\xf5\xe2\x82", "\ufffd" * 9),
    (b"\xf0\x80\x80\x80\xf4\x90\x80\x80\xe0\x80\x80", "\ufffd" * 11),
    (b"\x01" * 200, "\x01" * 63),
    (b"\xff" * 200, "\ufffd" * 63),
    ("x".encode() + "\u20ac".encode() * 30, "x" + "\u20ac" * 20 + "\ufffd" * 2),
]


@pytest.fixture(scope="module")
def line_program(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("needs cc")
    place = tmp_path_factory.mktemp("line")
    (place / "main.c").write_text(LINES)
    processes.run(["cc", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-g", "-I",
                   ROOT / "include", "-I", ROOT / "plugins/events", place / "main.c", ROOT / "plugins/events/line.c",
                   "-o", place / "line"])
    return place / "line"


@pytest.mark.parametrize("form", ["plain", "syslog"])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_whatever_a_text_holds_it_is_one_line(line_program, number, form):
    given, expected = HOSTILE[number]
    out = processes.run([line_program, *(["syslog"] if form == "syslog" else [])], input=given).stdout
    assert out.endswith(b"}\n") and not re.search(rb"[\x00-\x1f\x7f]", out[:-1])
    text = out.decode()
    assert len(text.splitlines()) == 1  # by all that Python takes for the end of a line
    line = json.loads(text[text.index("{"):])
    assert line["reason"] == expected and len(line["tags"]) == 16
    assert line["listener"].startswith(expected[:20])
    assert line["upstream"] and line["bytes"]["client"] == 2**64 - 1


def test_sessions_that_end_badly(events):
    with Upstream() as upstream:
        gateway = events(file="sessions.json", starts=False)
        gateway.where["upstream"] = upstream.address
        gateway.put(file="sessions.json", starts=False)
        assert gateway.reload()[0] == 0
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            reset(behind)
            read_to_end(peer)
    with contextlib.suppress(ConnectionError), connect(gateway.address) as peer:
        read_to_end(peer)
    gateway.process.stop(20)
    lines = lines_of((gateway.own / "sessions.json").read_bytes())
    assert [line["close"] for line in lines] == [session["close"] for session in gateway.sessions()]
    assert lines[0]["close"] == "server-reset" and lines[1]["close"].startswith("connect")
