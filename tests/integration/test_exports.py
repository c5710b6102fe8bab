# SPDX-License-Identifier: Apache-2.0
"""`export --format har`, `--format curl` and `--files`, of real clients and servers: against the schema of HAR, the
dissection of tshark, what a server hears when the script runs, and the files that were served."""
import base64
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import smtplib
import socket
import socketserver
import subprocess
import threading

import pytest

import faults
import peers
import processes
from gogetway import program
from test_messages import SECRET, curl, dissect, finish, nginx, talked  # noqa: F401 (fixtures)

pytestmark = pytest.mark.usefixtures("require_program")

SCHEMA = json.loads(pathlib.Path(__file__).with_name("har.schema.json").read_text())
needs_nginx = pytest.mark.skipif(not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx"),
                                 reason="needs nginx")
HOSTILE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


# ── The schema ───────────────────────────────────────────────────────────────────────────────────────────────────────

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
KNOWN = {"title", "type", "required", "additionalProperties", "properties", "patternProperties", "items", "$ref",
         "definitions", "enum", "pattern", "minimum"}


def wrong(value, schema, place="$"):
    """Where a value is not as JSON Schema has it: of the words in KNOWN, all others are refused."""
    assert set(schema) <= KNOWN, schema
    if "$ref" in schema:
        return wrong(value, SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]], place)
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{place} is no {kind}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place} is {value!r}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place} is {value!r}")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{place} is {value}")
    if isinstance(value, list):
        for at, item in enumerate(value):
            found += wrong(item, schema.get("items", {}), f"{place}[{at}]")
    if isinstance(value, dict):
        found += [f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            if name in schema.get("properties", {}):
                found += wrong(item, schema["properties"][name], f"{place}.{name}")
            elif schema.get("additionalProperties") is False and \
                    not any(re.search(pattern, name) for pattern in schema.get("patternProperties", ())):
                found.append(f"{place}.{name} is not known")
    return found


def archive(store, *words):
    """A HAR, checked."""
    done = store.command("export", "--format", "har", "-o", "-", *words)
    har = json.loads(done.stdout)
    assert wrong(har, SCHEMA) == []
    for entry in har["log"]["entries"]:
        timings = entry["timings"]
        assert abs(entry["time"] - timings["send"] - timings["wait"] - timings["receive"]) < 1e-5
    return har["log"]["entries"]


def test_the_schema_refuses():
    fine = {"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": []}}
    assert wrong(fine, SCHEMA) == []
    assert wrong({"log": {**fine["log"], "entries": [{}]}}, SCHEMA)
    assert wrong({"log": {**fine["log"], "more": 1}}, SCHEMA)
    assert wrong({"log": {**fine["log"], "version": "1.1"}}, SCHEMA)


def body_of(content, encoding="encoding"):
    text = content.get("text", "")
    return base64.b64decode(text) if content.get(encoding) == "base64" else text.encode()


# ── HAR ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

@needs_nginx
def test_har_as_tshark_has_it(talked, scratch):  # noqa: F811
    """Compared: method, target, version, status, reason, headers in order, of each request and its answer."""
    store, server, sessions = talked
    told = dissect(store, scratch, int(store.listen.rsplit(":", 1)[1]))
    entries = archive(store, "--secrets")
    compared = 0
    for session, _ in sessions:
        others = told[int(session.client.rsplit(":", 1)[1])]
        ours = [entry for entry in entries if entry["connection"] == session.id]
        requests = [other for other in others if other["method"]]
        answers = [other for other in others if other["status"] and int(other["status"]) >= 101]
        assert len(ours) == len(requests) == len(answers)
        for entry, request, answer in zip(ours, requests, answers):
            lines = lambda side: [f"{one['name']}: {one['value']}" for one in entry[side]["headers"]]  # noqa: E731
            assert entry["request"]["method"] == request["method"]
            assert entry["request"]["url"].endswith(request["uri"])
            assert entry["request"]["httpVersion"] == request["version"]
            assert lines("request") == request["headers"]
            assert (entry["response"]["status"], entry["response"]["statusText"]) == \
                (int(answer["status"]), answer["reason"])
            assert lines("response") == [line for line in answer["headers"] if not line.startswith("X-Sum")]
            assert entry["serverIPAddress"] == peers.HOST
            compared += 1
    assert compared >= 15
    page = (server.place / "root/page").read_bytes()
    pages = [entry["response"] for entry in entries
             if entry["request"]["url"].endswith("/page") and entry["request"]["method"] == "GET"]
    assert len(pages) == 3 and all(body_of(one["content"]) == page for one in pages)
    coded = [one for one in pages if any(header["value"] == "gzip" for header in one["headers"])]
    assert len(coded) == 1 and coded[0]["content"]["size"] == len(page)
    assert coded[0]["content"]["compression"] == len(page) - coded[0]["bodySize"] > 0
    posted = [entry["request"] for entry in entries if entry["request"]["bodySize"] == 70000]
    assert posted and posted[0]["postData"]["text"] == "x" * 70000


@needs_nginx
def test_har_hides_credentials(talked):  # noqa: F811
    store, _, _ = talked
    shown, hidden = json.dumps(archive(store, "--secrets")), json.dumps(archive(store))
    assert SECRET in shown and SECRET not in hidden and "****" in hidden
    assert base64.b64encode(f"anna:{SECRET}".encode()).decode() not in hidden


def hear(connection):
    """One request, as it came; None: there is none."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(1 << 16)
        if not more:
            return None
        said += more
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
    if b"100-continue" in head:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    chunked = re.search(rb"(?i)\r\ntransfer-encoding:\s*chunked", head)
    while not body.endswith(b"\r\n\r\n") if chunked else len(body) < int(length.group(1) if length else 0):
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


class Listening:
    """A server that keeps each request as it came, answers what `answer` says, and closes."""

    def __init__(self):
        self.heard, self.answer = [], lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.socket = socket.create_server((peers.HOST, 0), backlog=64)
        self.address = f"{peers.HOST}:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(20)
                request = hear(connection)
                if request is None:
                    continue
                if request.startswith(b"GET /ended HTTP"):
                    return
                self.heard.append(request)
                connection.sendall(self.answer(request))

    def close(self):
        with socket.create_connection(tuple(self.socket.getsockname()), 20) as last:
            last.sendall(b"GET /ended HTTP/1.1\r\n\r\n")
        self.thread.join(20)
        self.socket.close()


@pytest.fixture
def listening():
    server = Listening()
    yield server
    server.close()


def say(address, *requests):
    host, port = address.rsplit(":", 1)
    for request in requests:
        with socket.create_connection((host, int(port)), 20) as peer:
            peer.sendall(request)
            while peer.recv(1 << 16):
                pass


def with_body(head, body):
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_har_of_bodies_and_names(gateways, listening):
    gateway = gateways(listening.address)
    binary = bytes(range(256)) * 20
    listening.answer = lambda request: with_body(
        b"HTTP/1.1 302 Found\r\nLocation: /next?access_token=geheim\r\nContent-Type: application/json\r\n"
        b"Set-Cookie: sid=geheim; Path=/a; HttpOnly\r\nSet-Cookie: b=c; Expires=Tue, 29 Feb 2028 23:59:59 GMT\r\n"
        b"Set-Cookie: d=e; Max-Age=3600; expires=Thu, 01 Jan 1970 00:00:00 GMT\r\nSet-Cookie: f=g; Expires=soon\r\n",
        b'{"a":"\xc3\xa4\\n","refresh_token":"geheim"}')
    say(gateway.listen,
        with_body(b"POST /a?b=c%20d&password=geheim&e HTTP/1.1\r\nHost: h.example\r\nCookie: a=geheim; b=geheim\r\n"
                  b"Content-Type: application/x-www-form-urlencoded\r\n", b"x=1+2&pwd=geheim"),
        with_body(b"PUT /binary HTTP/1.1\r\nHost: h.example\r\n", binary),
        with_body(b"POST /multi HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\n",
                  b'--B\r\nContent-Disposition: form-data; name="password"\r\n\r\ngeheim\r\n--B--\r\n'))
    gateway.wait_sessions_closed(3)
    form, put, multi = archive(gateway)
    assert "geheim" not in json.dumps([form, put, multi])
    assert form["request"]["url"] == "http://h.example/a?b=c%20d&password=****&e"
    assert [(one["name"], one["value"]) for one in form["request"]["queryString"]] == \
        [("b", "c d"), ("password", "****"), ("e", "")]
    assert form["request"]["postData"]["params"] == [{"name": "x", "value": "1 2"}, {"name": "pwd", "value": "****"}]
    assert form["request"]["postData"]["text"] == "x=1+2&pwd=****"
    assert form["request"]["cookies"] == [{"name": "a", "value": "****"}, {"name": "b", "value": "****"}]
    assert form["request"]["headersSize"] + form["request"]["bodySize"] == len(listening.heard[0])
    assert form["response"]["redirectURL"] == "/next?access_token=****"
    began = datetime.datetime.fromisoformat(form["startedDateTime"][:23] + "+00:00")
    cookies = form["response"]["cookies"]
    ends = datetime.datetime.fromisoformat(cookies[2].pop("expires").replace("Z", "+00:00"))
    assert datetime.timedelta(0) <= ends - began - datetime.timedelta(hours=1) < datetime.timedelta(seconds=60)
    flags = {"value": "****", "httpOnly": False, "secure": False}
    assert cookies == [{**flags, "name": "sid", "path": "/a", "httpOnly": True},
                       {**flags, "name": "b", "expires": "2028-02-29T23:59:59Z"}, {**flags, "name": "d"},
                       {**flags, "name": "f"}]
    assert form["response"]["content"]["text"] == '{"a":"ä\\n","refresh_token":"****"}'
    assert body_of(put["request"]["postData"], "_encoding") == binary
    assert "****" in multi["request"]["postData"]["text"]
    shown = archive(gateway, "--secrets")[0]
    assert shown["request"]["postData"]["text"] == "x=1+2&pwd=geheim"
    assert shown["request"]["cookies"][1] == {"name": "b", "value": "geheim"}


def test_har_of_what_is_not_whole(gateways, listening):
    """No answer, half an answer, a body that is longer than is kept of one, and escapes."""
    gateway = gateways(listening.address)
    long = b"y" * (17 << 20)
    answers = iter([b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                    with_body(b"HTTP/1.1 200 \x1b[2J\r\nX: \x1b]0;a\x07\r\n", long)])
    listening.answer = lambda request: next(answers)
    say(gateway.listen, *[b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(3)])
    gateway.wait_sessions_closed(3)
    done = gateway.command("export", "--format", "har", "-o", "-")
    assert not HOSTILE.search(done.stdout if isinstance(done.stdout, bytes) else done.stdout.encode())
    none, half, cut = archive(gateway)
    assert none["response"]["status"] == 0 and none["response"]["bodySize"] == -1
    assert half["response"]["content"]["text"] == "half" and "before it is complete" in half["comment"]
    assert half["response"]["bodySize"] == -1
    assert cut["response"]["bodySize"] == len(long) and "first" in cut["comment"]
    assert cut["response"]["content"]["size"] == len(cut["response"]["content"]["text"]) == 16 << 20


# ── curl ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

REQUESTS = [
    b"GET /plain HTTP/1.1\r\nHost: h.example\r\n\r\n",
    b"GET /a/../b//c?x=[1-3]&y={a,b}&z=%zz HTTP/1.1\r\nUser-Agent: it's \"$HOME\" `id` $(id) \\n !x\r\n"
    b"X-Twice: 1\r\nHost: h.example:81\r\nx-twice: 2\r\nAccept: text/html\r\n\r\n",
    b"GET /#frag|^ HTTP/1.1\r\nHost: h.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h.example\r\n\r\n",
    b"GET http://far.example/x?y HTTP/1.1\r\nHost: far.example\r\n\r\n",
    b"GET /old HTTP/1.0\r\n\r\n",
    b"HEAD /head HTTP/1.1\r\nHost: h.example\r\nUser-Agent: x\r\n\r\n",
    b"GET /latin HTTP/1.1\r\nHost: h.example\r\nX: na\xefve \xc3\xa4 \x1b[2J\r\nX-E: 1\r\n\r\n",
    b"GET /c HTTP/1.1\r\nHost: h.example\r\nCookie: a=geheim; b=c\r\nAuthorization: Bearer geheim\r\n\r\n",
    b"GET /q?token=ge%20heim&b=c HTTP/1.1\r\nHost: h.example\r\nReferer: http://x/?api_key=geheim\r\n\r\n",
    with_body(b"POST /form HTTP/1.1\r\nHost: h.example\r\nContent-Type: application/x-www-form-urlencoded\r\n",
              b"user=anna&password=geheim&x='"),
    with_body(b"POST /at HTTP/1.1\r\nHost: h.example\r\n", b"@/etc/hostname\r\n\n"),
    with_body(b"PUT /nul HTTP/1.1\r\nHost: h.example\r\nContent-Type: application/octet-stream\r\n",
              bytes(range(256)) * 3),
    with_body(b"POST /long HTTP/1.1\r\nHost: h.example\r\n", b"0123456789abcdef" * 100000),
    with_body(b"POST /long-form HTTP/1.1\r\nHost: h.example\r\nContent-Type: application/x-www-form-urlencoded\r\n",
              b"password=geheim&x=" + b"\0" + b"z" * 40000),
    with_body(b"DELETE /d HTTP/1.1\r\nHost: h.example\r\nX-Empty:\r\n", b""),
    with_body(b"POST /expect HTTP/1.1\r\nHost: h.example\r\nExpect: 100-continue\r\n", b"abc"),
    with_body(b"POST /json HTTP/1.1\r\nHost: h.example\r\nContent-Type: application/json\r\n",
              b'{"password": "geheim", "b": "\xc3\xa4"}'),
]
ODD = [
    with_body(b"POST /odd HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n", b"abc"),
    b"GET /nul HTTP/1.1\r\nHost: h\r\nX: a\0b\x1b[2J\r\n\r\n",
    b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
]


def answer_all(request):
    if request.startswith(b"HEAD"):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    if b"Upgrade: x" in request:
        return b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def script_of(store, scratch, *words):
    path = scratch / "again.sh"
    store.command("export", "--format", "curl", "--force", "-o", path, *words)
    assert path.stat().st_mode & 0o777 == 0o600
    data = path.read_bytes()
    assert not HOSTILE.search(data)
    return path, data.decode()


def run_script(path, seconds=120, **environment):
    """Without the user's own settings, and with a proxy that nothing may go to."""
    return processes.run(["bash", path], seconds, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent",
                                                       "http_proxy": "http://127.0.0.1:1", **environment})


def test_curl_sends_the_same_bytes(gateways, listening, scratch):
    listening.answer = answer_all
    gateway = gateways(listening.address)
    say(gateway.listen, *REQUESTS)
    gateway.wait_sessions_closed(len(REQUESTS))
    assert listening.heard == REQUESTS
    path, text = script_of(gateway, scratch, "--secrets")
    assert text.count("\ncurl ") + text.count("} | curl ") == len(REQUESTS) and "cannot" not in text
    run_script(path)
    again = listening.heard[len(REQUESTS):]
    for ours, theirs in zip(again, REQUESTS):
        assert ours == theirs
    assert len(again) == len(REQUESTS)


def test_curl_takes_credentials_from_the_environment(gateways, listening, scratch):
    listening.answer = answer_all
    gateway = gateways(listening.address)
    say(gateway.listen, *REQUESTS)
    gateway.wait_sessions_closed(len(REQUESTS))
    path, text = script_of(gateway, scratch)
    assert "heim" not in text and "Z2VoZWlt" not in text
    names = set(re.findall(r"\$\{(GOGETWAY_\w+):\?\}", text))
    assert {name for name in re.findall(r'"\$(GOGETWAY_\w+)"', text)} == names
    assert {"GOGETWAY_AUTHORIZATION_1", "GOGETWAY_COOKIE_1", "GOGETWAY_PASSWORD_1", "GOGETWAY_TOKEN_1"} <= names
    values = {name: "geheim" for name in names}
    values.update(GOGETWAY_AUTHORIZATION_1="Bearer geheim", GOGETWAY_COOKIE_1="a=geheim; b=c",
                  GOGETWAY_TOKEN_1="ge%20heim")
    run_script(path, **values)
    assert listening.heard[len(REQUESTS):] == REQUESTS
    done = processes.run(["bash", path], 60, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode != 0 and b"GOGETWAY_" in processes.as_text(done.stderr).encode()


def test_curl_says_what_it_cannot(gateways, listening, scratch):
    listening.answer = answer_all
    gateway = gateways(listening.address)
    say(gateway.listen, *ODD)
    gateway.wait_sessions_closed(len(ODD))
    path, text = script_of(gateway, scratch)
    assert text.count("# curl cannot send it again: ") == len(ODD) and "\ncurl" not in text
    run_script(path)
    assert listening.heard == ODD


@pytest.mark.skipif(not shutil.which("nghttpd") or not shutil.which("nghttp"), reason="needs nghttp and nghttpd")
def test_http2_in_all_forms(gateways, scratch):
    root = scratch / "root"
    root.mkdir()
    files = {name: peers.random_file(root / name, size, seed)
             for seed, (name, size) in enumerate((("small", 10), ("large", 3_000_000), ("other.txt", 70_000)))}
    with peers.nghttpd(scratch, root) as server:
        gateway = gateways(server.address)
        urls = [f"http://{gateway.listen}/{name}?{turn}" for turn in range(3) for name in files]
        processes.run(["nghttp", "-n", "-H", "x-own: a'b", *urls], 60)  # all of them at once, on one connection
        gateway.wait_sessions_closed(1)
        count = len(gateway.sessions())
        entries = archive(gateway)
        assert len(entries) == len(urls)
        served = {name: (root / name).read_bytes() for name in files}
        for entry in entries:
            name = entry["request"]["url"].rsplit("/", 1)[1].split("?")[0]
            assert entry["request"]["url"] in urls
            assert entry["request"]["httpVersion"] == entry["response"]["httpVersion"] == "HTTP/2"
            assert entry["response"]["status"] == 200 and body_of(entry["response"]["content"]) == served[name]
        check_files(gateway, scratch / "bodies", sorted(list(served.values()) * 3))
        path, _ = script_of(gateway, scratch)
        run_script(path)
        gateway.wait_sessions_closed(count + len(urls))
        again = archive(gateway)[len(urls):]
        shape = lambda entry: (entry["request"]["method"], entry["request"]["url"],  # noqa: E731
                               [(one["name"], one["value"]) for one in entry["request"]["headers"]
                                if one["name"][0] != ":"])
        assert sorted(map(shape, again)) == sorted(map(shape, entries))


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def check_files(store, target, bodies, *words):
    """Carves, and compares with the bodies, in any order; the lines of the manifest."""
    store.command("export", "--files", "-o", target, *words)
    lines = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert sorted(os.listdir(target)) == sorted([line["name"] for line in lines] + ["manifest.jsonl"])
    assert target.stat().st_mode & 0o777 == 0o700
    for line in lines:
        path = target / line["name"]
        data = path.read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest() and line["bytes"] == len(data)
        assert path.stat().st_mode & 0o777 == 0o600 and not path.is_symlink()
    assert sorted(line["sha256"] for line in lines) == sorted(hashlib.sha256(body).hexdigest() for body in bodies)
    return lines


@needs_nginx
def test_files_as_they_were_served(gateways, nginx, scratch):  # noqa: F811
    gateway = gateways(nginx.address)
    url = f"http://{gateway.listen}"
    curl(f"{url}/page", f"{url}/small", f"{url}/chunked/page")
    curl("--compressed", f"{url}/gzip/page")
    curl("-d", "posted", f"{url}/post")
    gateway.wait_sessions_closed(3)
    page = (nginx.place / "root/page").read_bytes()
    lines = check_files(gateway, scratch / "bodies", [page, b"hello\n", page, page, b"posted", b"taken\n"])
    assert [line["name"].split("-", 2)[2] for line in lines] == ["page", "small", "page", "page", "post", "post"]
    assert [line.get("coding") for line in lines] == [None, None, None, "gzip", None, None]
    assert lines[4]["from"] == "client" and lines[4]["type"] == "application/x-www-form-urlencoded"


NAMES = {
    b'attachment; filename="../../../../tmp/evil"': "evil",
    b"attachment; filename*=UTF-8''%2e%2e%2f%2e%2e%2fna%C3%AFve.txt": "naïve.txt",
    b'attachment; filename="/etc/passwd"': "passwd",
    b'attachment; filename="manifest.jsonl"': "manifest.jsonl",
    b'attachment; filename=".."': "page",
    b'attachment; filename="a\x1b[2Jb.txt"': "a_2Jb.txt",
    b'attachment; filename="' + b"x" * 3000 + b'.html"': None,
    b'attachment; filename="-rf"': "rf",
    b'attachment; filename="same"': "same",
    b'attachment; filename="same" ': "same",
}


def test_files_of_hostile_names(gateways, listening, scratch):
    said = list(NAMES)
    listening.answer = lambda request: with_body(b"HTTP/1.1 200 OK\r\nContent-Disposition: %s\r\n"
                                                 % said[len(listening.heard) - 1], b"%d" % len(listening.heard))
    gateway = gateways(listening.address)
    say(gateway.listen, *[b"GET /a/page?x HTTP/1.1\r\nHost: h\r\n\r\n"] * len(said))
    gateway.wait_sessions_closed(len(said))
    target = scratch / "deep/er"
    target.parent.mkdir()
    lines = check_files(gateway, target, [b"%d" % (number + 1) for number in range(len(said))])
    names = [line["name"].split("-", 2)[2] for line in lines]
    assert [ours for ours, wanted in zip(names, NAMES.values()) if wanted and ours != wanted] == []
    assert names[6].endswith("x.html") and max(len(line["name"]) for line in lines) < 200
    assert os.listdir(target.parent) == ["er"]


def test_files_of_damaged_codings(gateways, listening, scratch):
    """What came out is there, and the manifest says what was the matter."""
    answers = iter([with_body(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", b"no gzip"),
                    with_body(b"HTTP/1.1 200 OK\r\nContent-Encoding: own\r\n", b"as it is"),
                    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
    listening.answer = lambda request: next(answers)
    gateway = gateways(listening.address)
    say(gateway.listen, *[b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"] * 3)
    gateway.wait_sessions_closed(3)
    damaged, unknown, half = check_files(gateway, scratch / "bodies", [b"", b"as it is", b"half"])
    assert damaged["error"] and "as it was coded" in unknown["error"] and half["incomplete"]


class Mailbox(socketserver.StreamRequestHandler):
    """Takes every mail."""

    def handle(self):
        said = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}
        self.wfile.write(b"220 box ESMTP\r\n")
        for line in self.rfile:
            word = line.strip().upper()
            self.wfile.write(said.get(word, b"250 fine") + b"\r\n")
            if word == b"DATA":
                while self.rfile.readline() != b".\r\n":
                    pass
                self.wfile.write(b"250 taken\r\n")
            if word == b"QUIT":
                return


def test_files_of_mails(gateways, scratch):
    mail = b"From: a@example\r\nTo: b@example\r\nSubject: c\r\n\r\n.a line with a dot\r\n" + b"x" * 500 + b"\r\n"
    with socketserver.ThreadingTCPServer((peers.HOST, 0), Mailbox) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            gateway = gateways(f"{peers.HOST}:{server.server_address[1]}")
            host, port = gateway.listen.rsplit(":", 1)
            with smtplib.SMTP(host, int(port), timeout=20) as client:
                client.sendmail("a@example", ["b@example"], mail)
            gateway.wait_sessions_closed(1)
        finally:
            server.shutdown()
    line, = check_files(gateway, scratch / "bodies", [mail])
    assert line["name"].endswith("-mail.eml") and line["from"] == "client" and line["protocol"] == "smtp"


def test_files_of_websockets(gateways, listening, scratch):
    listening.answer = lambda request: (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                        b"Upgrade: websocket\r\n\r\n\x81\x05hello\x02\x01\x00\x80\x02\xff\xfe")
    gateway = gateways(listening.address)
    say(gateway.listen, b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    gateway.wait_sessions_closed(1)
    lines = check_files(gateway, scratch / "bodies", [b"hello", b"\x00\xff\xfe"])
    assert {line["protocol"] for line in lines} == {"websocket"}
    entry, = archive(gateway)
    assert entry["response"]["status"] == 101


def test_what_exists_stays_unless_forced(gateways, listening, scratch):
    gateway = gateways(listening.address)
    say(gateway.listen, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    gateway.wait_sessions_closed(1)
    for words, path in ((["--format", "har"], scratch / "x.har"), (["--format", "curl"], scratch / "x.sh"),
                        (["--files"], scratch / "dir")):
        gateway.command("export", *words, "-o", path)
        done = gateway.command("export", *words, "-o", path, check=False)
        assert done.returncode != 0 and "--force" in processes.as_text(done.stderr)
        gateway.command("export", *words, "-o", path, "--force")
    assert len(os.listdir(scratch / "dir")) == 2


# ── Disks that are full ──────────────────────────────────────────────────────────────────────────────────────────────

FORMS = {"pcapng": [], "har": ["--format", "har"], "curl": ["--format", "curl"], "python": ["--format", "python"],
         "asciicast": ["--format", "asciicast", "--decoder", "lines"]}
DIRECTORIES = {"raw": ["--format", "raw"], "files": ["--files"]}


@pytest.fixture
def large(gateways, listening):
    """A session that takes more room than there is, in each form, and a small one."""
    line = b"all of this is on the screen, and no two lines are the same: "
    lines = b"".join(b"%s%d\r\n" % (line, number) for number in range(6000))
    gateway = gateways(listening.address)
    listening.answer = lambda request: with_body(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", lines)
    say(gateway.listen, with_body(b"POST /large HTTP/1.1\r\nHost: h\r\n", lines))
    say(gateway.listen, b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
    gateway.wait_sessions_closed(2)
    return gateway, f"id={gateway.sessions()[0].id}"


def check_full(done, where):
    """One line, with what could not be written, and why."""
    line, = processes.as_text(done.stderr).splitlines()
    assert done.returncode == 3 and where in line and "No space left on device" in line, line


@pytest.mark.parametrize("words", FORMS.values(), ids=FORMS)
def test_no_room_for_a_file(large, scratch, words):
    gateway, one = large
    check_full(gateway.command("export", one, *words, "-o", "/dev/full", "--force", check=False), "/dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program(), "--dir", gateway.directory, "export", one, *words, "-o", "-"],
                                        stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        check_full(done, "standard output")
    with faults.mounted(scratch / "small", size="64k") as small:
        check_full(gateway.command("export", one, *words, "-o", small / "out", check=False), str(small / "out"))
        assert not list(small.iterdir()), "a piece of it is left"
        (small / "out").write_text("mine")
        check_full(gateway.command("export", one, *words, "-o", small / "out", "--force", check=False), "out")
        assert (small / "out").read_text() == "mine" and len(list(small.iterdir())) == 1


@pytest.mark.parametrize("words", DIRECTORIES.values(), ids=DIRECTORIES)
def test_no_room_for_a_directory(large, scratch, words):
    gateway, one = large
    with faults.mounted(scratch / "small", size="64k") as small:
        check_full(gateway.command("export", one, *words, "-o", small / "out", check=False), str(small / "out"))
        assert all(file.name == "manifest.jsonl" and file.read_text() == "" for file in (small / "out").iterdir())


@pytest.mark.parametrize("words", [["--files", "-o", "-"], ["--files", "--format", "har", "-o", "x"],
                                   ["--format", "raw", "--secrets", "-o", "x"], ["--format", "har", "--mtu", "900",
                                                                                 "-o", "x"],
                                   ["--decoder", "http1", "-o", "x"], ["--files"], ["--format", "hra", "-o", "x"]])
def test_wrong_words(scratch, words):
    done = processes.run([program(), "--dir", scratch, "export", *words], 20, check=False)
    assert done.returncode == 2 and len(processes.as_text(done.stderr).strip().splitlines()) == 1
