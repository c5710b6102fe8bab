# SPDX-License-Identifier: Apache-2.0
"""Messages of HTTP/1 as `show --as messages` and `messages` tell them: of real clients and a real server, compared
field by field with tshark's dissection of the same recording and with the server's own log; and of clients that mean
harm."""
import contextlib
import decimal
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import peers
import processes
import test_sandbox
from gogetway import TEST_ALL, program

pytestmark = pytest.mark.usefixtures("require_program")

SECRET = "hunter2hunter2"
ESCAPES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture
def nginx(scratch):
    """With a log of what it has understood, an answer to POST, gzip, trailers, and files whose length it does not
    know."""
    place = scratch / "nginx"
    place.mkdir()
    root = place / "root"
    root.mkdir()
    (root / "page").write_text("".join(f"line {number}\n" for number in range(2000)))
    (root / "small").write_text("hello\n")
    port = processes.free_port()
    (place / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {place}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  log_format told '$remote_port $request_method $request_uri $status $body_bytes_sent $http_host';
  access_log {place}/access.log told; keepalive_timeout 30s; types {{ }} default_type text/plain;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{
    listen {peers.HOST}:{port}; root {root}; client_max_body_size 0;
    location /post {{ add_header Set-Cookie "sid={SECRET}"; return 200 "taken\\n"; }}
    location /chunked/ {{ alias {root}/; ssi on; ssi_types *; add_trailer X-Sum "a sum"; }}
    location /gzip/ {{ alias {root}/; gzip on; gzip_types *; gzip_min_length 1; }}
    location /json {{ gzip on; gzip_types *; gzip_min_length 1; default_type application/json;
                      return 200 '{{"id":12345678901234567890,"access_token":"{SECRET}","list":[1.10]}}'; }}
  }}
}}
""")
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", place, "-c", place / "nginx.conf", "-e", "stderr"]
    with processes.Process(command, place, name="nginx") as process:
        process.address, process.place = f"{peers.HOST}:{port}", place
        process.wait_listening(process.address)
        yield process


def finish(gateway):
    status, log = gateway.stop()
    assert status == 0, log


def shown(store, session_id, *words):
    """The objects of `show --as messages --json`."""
    done = store.command("show", session_id, "--as", "messages", "--json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def values(message, name, key=None):
    return [field.get("value", field.get("number")) for field in message["fields"]
            if field["name"] == name and (key is None or field.get("key", "").lower() == key)]


def value(message, name, key=None):
    found = values(message, name, key)
    return found[0] if found else None


# ── tshark's view of it ──────────────────────────────────────────────────────────────────────────────────────────────

def pairs(items):
    """An object with the same name several times, as tshark writes them."""
    return list(items)


def all_of(tree, name):
    """The values of that name anywhere in a layer, in order."""
    for key, item in tree:
        if key == name:
            yield item
        elif isinstance(item, list) and item and isinstance(item[0], tuple):
            yield from all_of(item, name)


def nanoseconds(text):
    return int(decimal.Decimal(text) * 1_000_000_000)


def dissect(store, scratch, port):
    """client port -> its messages, each with its side, its facts and the times of its first and last frame."""
    capture = scratch / "dissected.pcapng"
    store.command("export", "--format", "pcapng", "-o", capture)
    done = processes.run(["tshark", "-n", "-r", capture, "-d", f"tcp.port=={port},http", "-T", "json", "-J",
                          "frame tcp http tcp.segments"], 300)
    frames = [dict(dict(packet)["_source"])["layers"] for packet in json.loads(done.stdout, object_pairs_hook=pairs)]
    times, found = {}, {}
    for layers in frames:
        frame = dict(layers)["frame"]
        number = next(all_of(frame, "frame.number"))
        times[number] = nanoseconds(next(all_of(frame, "frame.time_epoch")))
        tcp = dict(layers)["tcp"]
        segments = [list(all_of(layer, "tcp.segment")) for name, layer in layers if name == "tcp.segments"]
        from_client = int(next(all_of(tcp, "tcp.dstport"))) == port
        client = int(next(all_of(tcp, "tcp.srcport" if from_client else "tcp.dstport")))
        https = [layer for name, layer in layers if name == "http"]
        for at, http in enumerate(https):
            one = lambda name: next(all_of(http, name), None)  # noqa: E731
            lines = list(all_of(http, "http.request.line")) + list(all_of(http, "http.response.line"))
            first = segments[at][0] if at < len(segments) and len(https) == len(segments) else number
            found.setdefault(client, []).append({
                "from": "client" if from_client else "server",
                "method": one("http.request.method"), "uri": one("http.request.uri"), "host": one("http.host"),
                "status": one("http.response.code"), "reason": one("http.response.phrase"),
                "version": one("http.request.version") or one("http.response.version"),
                "length": one("http.content_length_header"), "headers": [line.rstrip("\r\n") for line in lines],
                "chunks": [int(size) for size in all_of(http, "http.chunk_size")],
                "first": times.get(first), "last": times[number], "alone": len(https) == 1})
    return found


def time_ns(text):
    whole, fraction = text[:-1].split(".")
    return int(time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone) * 10 ** 9 + \
        int(fraction)


def same(message, other):
    """Where a message and tshark's are not the same: the names of what differs."""
    headers = values(message, "http.header")
    keys = [field["key"] for field in message["fields"] if field["name"] == "http.header"]
    trailers = [f"{field['key']}: {field['value']}" for field in message["fields"] if field["name"] == "http.trailer"]
    ours = {
        "from": message["from"], "method": value(message, "http.method"), "uri": value(message, "http.target"),
        "host": value(message, "http.header", "host"),
        "status": None if value(message, "http.status") is None else str(value(message, "http.status")),
        "reason": value(message, "http.reason"), "version": f"HTTP/{value(message, 'http.version')}",
        "length": value(message, "http.header", "content-length"),
        "headers": [f"{key}: {text}" for key, text in zip(keys, headers)],
    }
    wrong = [name for name, ours_is in ours.items() if name != "headers" and ours_is != other[name]]
    if ours["headers"] != [line for line in other["headers"] if line not in trailers]:
        wrong.append("headers")
    if other["chunks"] and sum(other["chunks"]) != message["body_length"]:
        wrong.append("chunks")
    if not other["chunks"] and other["length"] and message["body_length"] not in (0, int(other["length"])):
        wrong.append("body_length")
    timed = other["alone"] and (other["length"] or other["chunks"] or other["method"])
    if timed and time_ns(message["first"]) != other["first"]:
        wrong.append("first")
    if timed and time_ns(message["last"]) != other["last"]:
        wrong.append("last")
    return wrong, bool(timed)


# ── Real peers ───────────────────────────────────────────────────────────────────────────────────────────────────────

def curl(*words):
    return processes.run(["curl", "-sS", "--http1.1", "--max-time", "20", *words], 40).stdout


def pipeline(address, count):
    """Requests in two pieces with the cut in the middle of one, all before the first answer."""
    host, port = address.rsplit(":", 1)
    said = b"".join(b"GET /small?%d HTTP/1.1\r\nHost: pipe\r\n%s\r\n" % (
        number, b"Connection: close\r\n" if number == count - 1 else b"") for number in range(count))
    with socket.create_connection((host, int(port)), 20) as peer:
        peer.sendall(said[:len(said) // 2 + 7])
        time.sleep(0.1)
        peer.sendall(said[len(said) // 2 + 7:])
        while peer.recv(1 << 16):
            pass


def talk(address, scratch):
    """All of it, one connection after the other."""
    url = f"http://{address}"
    body = scratch / "body"
    body.write_bytes(b"x" * 70000)
    assert curl(f"{url}/small", f"{url}/page", f"{url}/small?again").count(b"hello") == 2  # one connection
    pipeline(address, 5)
    curl(f"{url}/chunked/page")
    curl("-I", f"{url}/page")
    assert curl("-H", "Expect: 100-continue", "--data-binary", f"@{body}", f"{url}/post") == b"taken\n"
    assert curl("-u", f"anna:{SECRET}", "-d", "a=b&c=d", f"{url}/post") == b"taken\n"
    assert curl("--compressed", f"{url}/gzip/page").startswith(b"line 0")
    assert curl("-0", f"{url}/chunked/small") == b"hello\n"  # until close
    curl("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", f"{url}/small")
    curl(f"{url}/missing")
    processes.run(["curl", "-sS", "--max-time", "20", "-p", "-x", f"http://{address}", "http://far.example/"], 40,
                  check=False)


@pytest.fixture
def talked(gateways, nginx, scratch):
    """(recording, nginx, messages by session in order of sessions)"""
    gateway = gateways(nginx.address)
    talk(gateway.listen, scratch)
    gateway.wait_sessions_closed(11)
    processes.wait_until(lambda: gateway.sessions("http.status=404"), 20, "what decoders find", interval=0.2)
    finish(gateway)
    nginx.stop()
    sessions = gateway.sessions()
    return gateway, nginx, [(session, shown(gateway, session.id)) for session in sessions]


@pytest.mark.skipif(not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx"), reason="needs nginx")
def test_curl_and_nginx_as_tshark_has_them(talked, scratch):
    """Compared: side, method, uri, host, status, reason, version, Content-Length, header names and values in order,
    sizes of chunks, time of the first and of the last byte."""
    store, _, sessions = talked
    told = dissect(store, scratch, int(store.listen.rsplit(":", 1)[1]))
    compared = timed = 0
    for session, _ in sessions:
        others = told[int(session.client.rsplit(":", 1)[1])]
        messages = shown(store, session.id, "--secrets")
        assert not [message for message in messages if "opaque" in message], messages
        for side in ("client", "server"):
            ours = [message for message in messages if message["from"] == side]
            theirs = [other for other in others if other["from"] == side]
            assert [value(one, "http.method") or value(one, "http.status") for one in ours] == \
                [one["method"] or int(one["status"]) for one in theirs], session
            for message, other in zip(ours, theirs):
                wrong, with_times = same(message, other)
                assert wrong == [], (message, other)
                compared += 1
                timed += with_times
    assert compared >= 30 and timed >= 20


def test_curl_and_nginx_as_the_server_has_them(talked):
    """Method, target, status, bytes of the body, host: of each line of its log."""
    _, nginx, sessions = talked
    logged = [line.split(" ", 5) for line in (nginx.place / "access.log").read_text().splitlines()]
    told = []
    for _, messages in sessions:
        requests = {message["number"]: message for message in messages if message["kind"] == "request"}
        for message in messages:
            if message["kind"] == "response" and value(message, "http.status") >= 200:
                request = requests[message["answers"]]
                told.append([value(request, "http.method"), value(request, "http.target"),
                             str(value(message, "http.status")), message["body_length"],
                             value(request, "http.header", "host") or "-"])
    ours = sorted(entry[:3] + entry[4:] for entry in told if entry[0] != "CONNECT")
    theirs = sorted(entry[1:4] + entry[5:] for entry in logged if entry[1] not in ("-", "CONNECT"))
    assert ours == theirs and len(ours) >= 15
    sizes = {(entry[1], entry[2]): int(entry[4]) for entry in logged}
    for method, target, _, body_length, _ in told:
        if method == "GET" and not target.startswith(("/chunked", "/gzip")):  # whose log counts the framing too
            assert sizes[method, target] == body_length, target


def test_each_kind_of_exchange(talked):
    """What each connection has shown, as far as neither tshark nor the log say it: which answers which, what completes,
    where a body ends."""
    _, _, sessions = talked
    exchanges = [messages for _, messages in sessions]

    def flow(messages):
        return [(one["from"], one.get("answers"), one["body_length"], "cut" in one["flags"],
                 "completes" in one["flags"]) for one in messages]
    page = sum(len(f"line {number}\n") for number in range(2000))
    kept, piped, chunked, head, expected, posted, zipped, until_close, refused, missing, connect = exchanges
    assert flow(kept) == [("client", None, 0, False, False), ("server", 1, 6, False, True),
                          ("client", None, 0, False, False), ("server", 3, page, False, True),
                          ("client", None, 0, False, False), ("server", 5, 6, False, True)]
    by_number = sorted(piped, key=lambda one: one["number"])
    requests = [one["number"] for one in by_number if one["from"] == "client"]
    assert [one["answers"] for one in by_number if one["from"] == "server"] == requests and len(requests) == 5
    assert flow(chunked)[1] == ("server", 1, page, False, True)
    assert value(chunked[1], "http.trailer", "x-sum") == "a sum"
    assert flow(head)[1] == ("server", 1, 0, False, True) and \
        value(head[1], "http.header", "content-length") == str(page)
    assert [value(one, "http.status") for one in expected if one["from"] == "server"] == [100, 200]
    assert [one["body_length"] for one in expected if one["from"] == "client"] == [70000]
    assert posted[0]["body_length"] == 7 and value(posted[0], "http.user") == "anna"
    assert value(zipped[1], "http.header", "content-encoding") == "gzip" and \
        0 < zipped[1]["body_length"] < page
    assert flow(until_close)[1] == ("server", 1, 6, False, True)
    assert value(until_close[1], "http.header", "content-length") is None
    assert value(refused[1], "http.status") == 200 and flow(refused)[1][4]
    assert value(missing[1], "http.status") == 404
    assert value(connect[0], "http.method") == "CONNECT" and value(connect[1], "http.status") >= 400


def test_the_conversation_for_people(talked):
    """Each message is a line, in order; answers say after how long; with more words, fields and bodies."""
    store, _, sessions = talked
    session = sessions[0][0]
    text = store.command("show", session.id, "--as", "messages").stdout.decode()
    lines = text.splitlines()
    assert lines[0] == "http: HTTP/1.0 and HTTP/1.1 (RFC 9112)"
    assert re.fullmatch(r" +0\.\d{6} >>>   1 request   GET /small", lines[1])
    assert re.fullmatch(r" +0\.\d{6} <<<   2 response  200 OK, 6 bytes of body, answers 1 after 0\.\d{9}"
                        r"(, whole after 0\.\d{9})?", lines[2])
    assert len(lines) == 7 and "\033" not in text
    assert [int(line.split()[2]) for line in lines[1:]] == [1, 2, 3, 4, 5, 6]
    only = store.command("show", session.id, "--as", "messages", "--from", "server").stdout.decode().splitlines()
    assert [line.split()[2] for line in only[1:]] == ["2", "4", "6"] and "answers 1 after" in only[1]
    more = store.command("show", session.id, "--as", "messages", "-v", "--body").stdout.decode()
    assert f"        http.header Host: {store.listen}\n" in more and "        http.status: 200\n" in more
    assert "      | hello\n" in more and "      | line 0\n      | line 1\n" in more
    assert re.search(r"      \| \.\.\. \d+ more bytes\n", more)


def test_messages_of_many_sessions(talked):
    """The same messages as of each by itself, with its id."""
    store, _, sessions = talked
    done = store.command("messages", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(told, key=lambda one: (one["session"], one["number"])) == sorted(
        (one for _, messages in sessions for one in messages), key=lambda one: (one["session"], one["number"]))
    by_fact = [json.loads(line) for line in
               store.command("messages", "http.status=404", "proto=http", "--json").stdout.splitlines()]
    assert {one["session"] for one in by_fact} == {sessions[9][0].id} and len(by_fact) == 2
    first = sessions[0][0]
    lines = store.command("messages", f"id={first.id}").stdout.decode().splitlines()
    assert len(lines) == 6 and all(line.startswith(f"{first.id} ") for line in lines)
    assert "http request   GET /small" in lines[0]


def on_terminal(store, *words, **environment):
    """What the program writes to a terminal."""
    main, other = os.openpty()
    environment = {name: text for name, text in {**os.environ, "NO_COLOR": None, **environment}.items() if text}
    process = subprocess.Popen([program(), *words, "--dir", str(store.directory)], stdout=other, env=environment)
    os.close(other)
    said = b""
    with contextlib.suppress(OSError):  # a terminal whose program has ended
        while data := os.read(main, 1 << 16):
            said += data
    os.close(main)
    assert process.wait(30) == 0
    return said


def test_colours_belong_to_terminals(talked):
    store, _, sessions = talked
    for words in (["show", sessions[0][0].id, "--as", "messages"], ["messages"], ["show", sessions[0][0].id]):
        assert b"\033[36m" in on_terminal(store, *words)
        assert b"\033" not in on_terminal(store, *words, NO_COLOR="1")
        assert b"\033" not in store.command(*words).stdout


# ── Credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────

def test_credentials_are_masked_unless_asked_for(talked):
    """In each view of messages and bytes, and in what is searched; raw has the bytes as they are."""
    store, _, sessions = talked
    posted = sessions[5][0]
    coded = b"YW5uYTpodW50ZXIyaHVudGVyMg=="
    pattern = "Authorization: Basic .*|sid=.*"
    views = [["show", posted.id, "--as", "messages", "-v", "--body"], ["show", posted.id, "--as", "messages", "--json"],
             ["messages", "-v"], ["messages", "--json"], ["show", posted.id], ["grep", pattern],
             ["grep", "-o", pattern]]
    for words in views:
        masked = store.command(*words).stdout
        assert SECRET.encode() not in masked and coded not in masked, words
        assert b"****" in masked, words
        bare = store.command(*words, "--secrets").stdout
        assert coded in bare and SECRET.encode() in bare, words
    chunks = [json.loads(line) for line in store.command("show", posted.id, "--json").stdout.splitlines()]
    assert [chunk["masked"] for chunk in chunks] == [len("Basic ") + len(coded), len("sid=") + len(SECRET)]
    assert all(SECRET not in chunk["text"] for chunk in chunks)
    hexed = store.command("show", posted.id, "--as", "hex").stdout
    assert hexed.count(b" 2a 2a 2a") > 3
    raw = store.command("show", posted.id, "--as", "raw").stdout
    assert coded in raw and SECRET.encode() in raw
    masked = store.command("show", posted.id).stdout
    assert len(masked) == len(store.command("show", posted.id, "--secrets").stdout)  # byte for byte


# ── What is not understood ───────────────────────────────────────────────────────────────────────────────────────────

def exchange(address, said, wait=0.0):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 60) as peer:
        for piece in said if isinstance(said, list) else [said]:
            peer.sendall(piece)
        time.sleep(wait)
        with contextlib.suppress(OSError):  # the other one has reset it
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 16):
                pass


class Answering:
    """A server that says the same to everybody, once it has heard the first bytes (`late`: all of them), and reads all
    that comes."""

    def __init__(self, said, late=False):
        self.said, self.late = said, late
        self.socket = socket.create_server((peers.HOST, 0))
        self.address = "%s:%d" % self.socket.getsockname()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer = self.socket.accept()[0]
                threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def answer(self, peer):
        with peer, contextlib.suppress(OSError):
            while peer.recv(1 << 20) and self.late:
                pass
            for piece in self.said if isinstance(self.said, list) else [self.said]:
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 20):
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def recorded(gateways, answer, said, late=False, **more):
    """The store and the only session of one exchange."""
    with Answering(answer, late) as server:
        gateway = gateways(server.address)
        exchange(gateway.listen, said, **more)
        gateway.wait_sessions_closed(1, 120)
        finish(gateway)
    return gateway, gateway.sessions()[0]


def test_an_unknown_protocol_says_what_it_looks_like(gateways):
    store, session = recorded(gateways, b"\x00\x01\x02", bytes(range(200, 256)) + bytes(64))
    text = store.command("show", session.id, "--as", "messages").stdout.decode()
    assert re.fullmatch(r"unknown protocol: binary, \d\.\d bits of entropy a byte, begins c8 c9 .*; "
                        rf"'gogetway show {session.id} --as hex' shows the bytes\n", text)
    told = shown(store, session.id)
    assert [(one["opaque"], one["from"], one["offset"]) for one in told] == [
        ("unknown", "client", 0), ("unknown", "server", 0)]
    forced = store.command("show", session.id, "--as", "messages", "--decoder", "http1").stdout.decode()
    assert "failed: a line that is no" in forced or "cut: ends in the middle" in forced
    wrong = store.command("show", session.id, "--as", "messages", "--decoder", "nobody", check=False)
    assert wrong.returncode == 2 and b"'gogetway protocols' lists them" in wrong.stderr


def test_a_tunnel_is_opaque_behind_its_answer(gateways):
    store, session = recorded(gateways, b"HTTP/1.1 200 Connected\r\n\r\n\x01\x02\x03\xff",
                              b"CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\n\r\n\x16\x03\x01")
    messages = shown(store, session.id)
    assert [one["kind"] for one in messages if "kind" in one] == ["request", "response"]
    assert {one["from"]: one["offset"] for one in messages if "opaque" in one} == {"client": 43, "server": 26}
    text = store.command("show", session.id, "--as", "messages").stdout.decode()
    assert ">>> from byte 43 of the client on it is not decoded: unknown: binary," in text


def test_a_reset_cuts_an_answer(gateways):
    """It has no length: only a FIN would say that it is whole."""
    class Resetting(Answering):
        def answer(self, peer):
            peer.recv(1 << 16)
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
            time.sleep(0.3)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
    with Resetting(b"") as server:
        gateway = gateways(server.address)
        with contextlib.suppress(ConnectionError):
            exchange(gateway.listen, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", wait=1)
        gateway.wait_sessions_closed(1)
        finish(gateway)
    session = gateway.sessions()[0]
    assert session["close"] == "server-reset"
    assert "cut" in shown(gateway, session.id)[1]["flags"]
    text = gateway.command("show", session.id, "--as", "messages").stdout.decode()
    assert ", cut\n" in text


# ── Hostile sessions ─────────────────────────────────────────────────────────────────────────────────────────────────

EVIL = b"\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\xe2\x80\xae"


def test_escapes_never_reach_the_terminal(gateways):
    """In a path, in a header's name and value, in a reason, in bodies: in no view, also on a terminal."""
    store, session = recorded(
        gateways, b"HTTP/1.1 200 " + EVIL.replace(b"\r", b"") + b"\r\nX-A: " + EVIL.replace(b"\r", b"") +
        b"\r\nContent-Length: 64\r\n\r\n" + (EVIL * 8)[:64],
        b"POST /" + EVIL.replace(b"\r", b"") + b" HTTP/1.1\r\nHost: a\r\nX" + EVIL.replace(b"\r", b"") +
        b": v\r\nCookie: " + EVIL.replace(b"\r", b"") + b"\r\nContent-Length: 8\r\n\r\n" + EVIL[:8])
    said = store.command("show", session.id, "--as", "messages").stdout
    assert b"POST /" in said and b"200 " in said
    for words in (["show", session.id, "--as", "messages"], ["messages"], ["show", session.id], ["messages", "--json"],
                  ["show", session.id, "--as", "messages", "--json"]):
        for more in ([], ["--secrets"]) if "--json" in words or words == ["show", session.id] else (
                [], ["-v", "--body"], ["-v", "--body", "--secrets"]):
            said = store.command(*words, *more).stdout
            if words == ["show", session.id]:
                said = said.replace(b"\r\n", b"\n")
            assert not ESCAPES.search(said) and b"\x9b" not in said and b"\xe2\x80\xae" not in said, (words, more)
    terminal = on_terminal(store, "show", session.id, "--as", "messages", "-v", "--body", NO_COLOR="1")
    assert not ESCAPES.search(terminal.replace(b"\r\n", b"\n"))


# A process has begun with as much memory as who has made it: that is to be a small one.
MEASURE = "import resource, subprocess, sys\nstatus = subprocess.call(sys.argv[1:])\n" \
          "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(status)"


def peak_kib(store, scratch, *words, seconds=600):
    """How much memory the program had at most, and what it wrote."""
    out = scratch / "said"
    with open(out, "wb") as file:
        done = subprocess.run([sys.executable, "-c", MEASURE, program(), *words, "--dir", str(store.directory)],
                              stdout=file, stderr=subprocess.PIPE, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]), out


MEMORY_KIB = (1000 if test_sandbox.is_instrumented() else 64) << 10


def test_a_header_of_a_hundred_megabytes(gateways, scratch):
    """1 GB at full size. Whoever looks at it needs no more memory than of any other, and is told that it was cut."""
    piece = b"A" * (1 << 20)
    pieces = 1000 if TEST_ALL else 100
    store, session = recorded(
        gateways, b"HTTP/1.1 204 No\r\n\r\n",
        [b"GET /a HTTP/1.1\r\nHost: a\r\nCookie: " + SECRET.encode(), *[piece] * pieces, b"\r\nX: y\r\n\r\n"],
        late=True)
    size = pieces << 20
    assert session["bytes"]["client"] > size
    for words in (["show", session.id, "--as", "messages"], ["show", session.id, "--as", "messages", "-v", "--body"],
                  ["show", session.id, "--as", "messages", "--json"], ["messages", "-v"]):
        kib, out = peak_kib(store, scratch, *words)
        assert kib < MEMORY_KIB, words
        assert out.stat().st_size < 100_000, words
    request = shown(store, session.id)[0]
    assert request["flags"] == ["request", "fields_cut", "odd"] and value(request, "http.odd") == "long-header"
    assert request["length"] > size and value(request, "http.header", "x") == "y"
    text = store.command("show", session.id, "--as", "messages").stdout.decode()
    assert "longer fields or more of them than are kept, odd: long-header\n" in text
    # Nobody knows how far the credential reaches: all of the message is masked.
    kib, out = peak_kib(store, scratch, "show", session.id, "--from", "client")
    assert kib < MEMORY_KIB
    with open(out, "rb") as file:
        while data := file.read(1 << 20):
            assert b"AAAA" not in data and SECRET.encode() not in data


def test_a_million_chunks_of_one_byte(gateways, scratch):
    chunks = 1_000_000
    store, session = recorded(gateways, [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                         *[b"1\r\na\r\n" * 10_000] * (chunks // 10_000), b"0\r\n\r\n"],
                              b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    kib, out = peak_kib(store, scratch, "show", session.id, "--as", "messages", "--body")
    assert kib < MEMORY_KIB
    assert f"{chunks} bytes of body" in out.read_text()
    response = shown(store, session.id)[1]
    assert response["body_length"] == chunks and "completes" in response["flags"] and "cut" not in response["flags"]


def test_a_hundred_thousand_messages(gateways, scratch):
    """Pipelined: the lines of a conversation come in order."""
    count = 50_000
    store, session = recorded(gateways, [b"HTTP/1.1 204 No\r\n\r\n" * 1000] * (count // 1000),
                              [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000] * (count // 1000), late=True)
    kib, out = peak_kib(store, scratch, "show", session.id, "--as", "messages")
    assert kib < MEMORY_KIB
    lines = out.read_text().splitlines()
    told = [line for line in lines if re.match(r" +\d+\.\d{6} (>>>|<<<)", line)]
    numbers = [int(line.split()[2]) for line in told]
    assert numbers == list(range(1, 2 * count + 1))
    assert len([line for line in told if "204 No, answers" in line]) == count


# ── Following ────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_followed_messages_come_as_they_end(gateways, nginx, scratch):
    """Of those that are there already, of some that stay open, and of more than are decoded at once; each once."""
    gateway = gateways(nginx.address, options=["--log-flush-interval", "100ms"])
    host, port = gateway.listen.rsplit(":", 1)
    curl(f"http://{gateway.listen}/small?before")
    command = [program(), "messages", "--follow", "--json", "--dir", gateway.directory]
    with processes.Process(command, scratch, name="follow") as following:
        def told():
            lines = following.output().splitlines(keepends=True)
            return [json.loads(line) for line in lines if line.endswith("\n")]

        def targets():
            return [value(one, "http.target") for one in told() if one["kind"] == "request"]
        processes.wait_until(lambda: "/small?before" in targets(), 20, "what was there")
        with contextlib.ExitStack() as stack:
            kept = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(70)]
            for turn in range(3):
                for number, peer in enumerate(kept):
                    peer.sendall(b"GET /small?%d.%d HTTP/1.1\r\nHost: a\r\n\r\n" % (number, turn))
                for peer in kept:
                    peer.recv(1 << 16)
                # 64 of them are decoded while they are open
                processes.wait_until(
                    lambda: len([one for one in targets() if one.endswith(f".{turn}")]) >= 64, 20, "their messages")
        expected = {f"/small?{number}.{turn}" for number in range(70) for turn in range(3)} | {"/small?before"}
        processes.wait_until(lambda: set(targets()) == expected, 30, "all messages")
        time.sleep(1)
        assert sorted(targets()) == sorted(expected)  # each once
        assert len([one for one in told() if one["kind"] == "response"]) == len(expected)
        status = following.stop(10, signal.SIGINT)
        assert status == 0 and following.errors() == ""


# ── Decoders ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_protocols_are_listed(scratch):
    def command(*words, check=True):
        return processes.run([program(), "protocols", *words], check=check)
    listed = command().stdout.decode().splitlines()
    assert listed[0].split() == ["DECODER", "PROTOCOL", "TITLE"]
    decoders = [json.loads(line) for line in command("--json").stdout.splitlines()]
    assert [line.split()[0] for line in listed[1:]] == [one["name"] for one in decoders]
    http = next(one for one in decoders if one["name"] == "http1")
    assert http["protocol"] == "http" and http["kinds"][:2] == ["request", "response"]
    assert {"name": "http.status", "kind": "number", "fact": True, "help": "of a response",
            "example": "http.status=500.."} in http["fields"]
    fields = command("http1").stdout.decode()
    assert all(field["name"] in fields for field in http["fields"])
    assert command("htp1", check=False).stderr == \
        b"gogetway: protocols: there is no decoder 'htp1'; did you mean http1?\n"


def test_options_that_do_not_go_together(talked):
    store, _, sessions = talked
    session = sessions[0][0].id
    for words, said in ((["show", session, "--body"], b"--body goes with --as messages"),
                        (["show", session, "--as", "raw", "--json"], b"--json goes with --as messages, or alone"),
                        (["show", session, "--decoder", "nobody"], b"'gogetway protocols' lists them"),
                        (["messages", "--decoder", "nobody"], b"'gogetway protocols' lists them"),
                        (["messages", "--from", "both sides"], b"client, server and both are")):
        done = store.command(*words, check=False)
        assert done.returncode == 2 and said in done.stderr, words


# ── Coded bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────

def body_lines(store, session, *words):
    text = store.command("show", session.id, "--as", "messages", "--body", *words).stdout.decode()
    return [line.removeprefix("      | ") for line in text.splitlines() if line.startswith("      | ")]


def test_coded_bodies_are_shown_as_they_were(talked):
    store, _, sessions = talked
    lines = body_lines(store, sessions[6][0])
    assert lines[:2] == ["line 0", "line 1"] and lines[-1] == "... 14794 more bytes"


def coded(coding, body):
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding, len(body), body)


def test_coded_bodies_that_are_none(gateways, scratch):
    """Damaged: up to there; a coding that nobody knows: as it came; a bomb: its beginning, in no more memory."""
    zipped = gzip.compress(b"a plain text\n" * 3)
    bomb = gzip.compress(bytes(100 << 20))
    answers = [coded(b"gzip", zipped[:-6] + b"\xff\xff\xff\xff\xff\xff"), coded(b"mystery", zipped),
               coded(b"gzip", b"no gzip at all"), coded(b"gzip", bomb), coded(b"gzip", zipped)]
    store, session = recorded(gateways, b"".join(answers), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * len(answers),
                              late=True)
    kib, out = peak_kib(store, scratch, "show", session.id, "--as", "messages", "--body", "--from", "server")
    assert kib < MEMORY_KIB
    bodies = [[line for line in part.splitlines() if line.startswith("      | ")]
              for part in re.split(r"(?m)^ +\d+\.\d{6} <<< .*$", out.read_text())[1:]]
    text = ["      | a plain text"] * 3
    assert bodies[0] == [*text, "      | ... it is not coded as it says"]
    assert bodies[1][0].startswith("      | binary (mystery), 36 bytes, begins 1f 8b 08")
    assert bodies[2] == ["      | ... it is not coded as it says"]
    assert bodies[3] == ["      | binary, 1048576 bytes or more, begins" + " 00" * 16]
    assert bodies[4] == text


@pytest.mark.skipif(not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx"), reason="needs nginx")
def test_bodies_are_laid_out(gateways, nginx, scratch):
    """JSON that nginx has compressed, a form and an upload of curl: laid out, credentials masked, as lines and JSON."""
    gateway = gateways(nginx.address)
    url = f"http://{gateway.listen}"
    image = scratch / "image.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    assert SECRET.encode() in curl("--compressed", f"{url}/json")
    curl("-d", f"user=anna&password={SECRET}&note=%1b[2J", f"{url}/post")
    curl("-F", f"file=@{image};type=image/png", "-F", f"password={SECRET}", "-F",
         f'more={{"token":"{SECRET}","n":1}};type=application/json', f"{url}/post")
    gateway.wait_sessions_closed(3)
    finish(gateway)
    fetched, posted, uploaded = gateway.sessions()
    expected = ["{", '  "id": 12345678901234567890,', '  "access_token": "****",', '  "list": [', "    1.10", "  ]",
                "}"]
    assert body_lines(gateway, fetched) == expected
    form = ["user: anna", "password: ****", "note: \\e[2J"]
    assert body_lines(gateway, posted) == [*form, "taken"]
    parts = body_lines(gateway, uploaded)
    assert [line for line in parts if line.startswith("---")] == ["--- part 1", "--- part 2", "--- part 3"]
    assert "binary (image/png), 5008 bytes, begins 89 50 4e 47 0d 0a 1a 0a" + " 00" * 8 in parts
    assert parts.count("****") == 1 and '  "token": "****",' in parts and parts[-1] == "taken"
    for session, count in ((fetched, 1), (posted, 1), (uploaded, 2)):
        for words in ([], ["--json"]):
            show = ["show", session.id, "--as", "messages", "--body", *words]
            assert SECRET.encode() not in gateway.command(*show).stdout
            bodies = gateway.command(*show, "--secrets").stdout.replace(f"sid={SECRET}".encode(), b"")
            assert bodies.count(SECRET.encode()) == count, (session, words)
    bodies = [one["body"] for one in shown(gateway, fetched.id, "--body") if "body" in one]
    assert bodies == [{"text": "\n".join(expected) + "\n", "bytes": 73}]
    bodies = [one["body"] for one in shown(gateway, posted.id, "--body")]
    assert bodies[0]["text"].splitlines() == form and bodies[1] == {"text": "taken\n", "bytes": 6}
    assert all("body" not in one for one in shown(gateway, posted.id))


def test_messages_of_a_protocol_of_ones_own(gateways):
    store, session = recorded(gateways, b"\x00\x03abc\x00\x01d", b"\x00\x02hi\x00\x04ho\xff!", late=True)
    framing = "length offset=0 width=2 endian=big header=2 requests=client"
    messages = shown(store, session.id, "--framing", framing)
    assert [(one["from"], one["length"], one["body_length"], one.get("answers")) for one in messages] == [
        ("client", 4, 2, None), ("client", 6, 4, None), ("server", 5, 3, 1), ("server", 3, 1, 2)]
    text = store.command("messages", f"id={session.id}", "--framing", framing, "--body").stdout.decode()
    assert "      | hi\n" in text and "      | abc\n" in text
    for words, said in ((["--framing", "length width=9"], b"--framing, column 14: width is"),
                        (["--decoder", "framing"], b"needs --framing"),
                        (["--decoder", "http1", "--framing", "fixed 2"], b"is for the decoder 'framing'")):
        for command in (["show", session.id], ["messages"]):
            done = store.command(*command, *words, check=False)
            assert done.returncode == 2 and said in done.stderr, (command, words, done.stderr)
