# SPDX-License-Identifier: Apache-2.0
"""One recording with a credential in every place where one is known, and every view of it: its bytes are in none, and
in all with --secrets. What does not mask says so in its help."""
import base64
import contextlib
import gzip
import json
import re
import socket
import threading

import pytest

import faults
import processes
from gogetway import program

pytestmark = pytest.mark.usefixtures("require_program")

HIDDEN = b"geh31mZq77"  # looks made up, and is in nothing else


def http(first, *headers, body=b"", coding=b""):
    sent = gzip.compress(body) if coding else body
    lines = [first, *headers, *([b"Content-Encoding: " + coding] if coding else []), b"Content-Length: %d" % len(sent)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + sent


def chunked(first, *headers, pieces):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return b"\r\n".join([first, *headers, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + body


JSON = b'{"user":"ann","password":"%s","credentials":{"a":["%s"]},"log":"GET /?token=%s&x=1"}' % ((HIDDEN,) * 3)
XML = b'<?xml version="1.0"?>\n<a><password>%s</password><b token="%s"/></a>' % ((HIDDEN,) * 2)
TEXT = b"user = ann\npassword=%s\nAuthorization: Bearer %s\n" % ((HIDDEN,) * 2)
PARTS = (b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n%s\r\n'
         b'--b\r\nContent-Disposition: form-data; name="more"\r\nContent-Type: application/json\r\n\r\n{"pin":"%s"}\r\n'
         b"--b--\r\n") % ((HIDDEN,) * 2)
HOST, OK = b"Host: h.example", b"HTTP/1.1 200 OK"

# Each conversation: what it is, and who says what.
WEB = [
    ("client", http(b"POST /login?token=%s&x=1 HTTP/1.1" % HIDDEN, HOST, b"Authorization: Bearer " + HIDDEN,
                    b"Cookie: sid=" + HIDDEN, b"X-Api-Key: " + HIDDEN, b"Referer: http://h/?access_token=" + HIDDEN,
                    b"X-Note: password=" + HIDDEN, b"Content-Type: application/x-www-form-urlencoded",
                    body=b"user=ann&password=" + HIDDEN)),
    ("server", http(b"HTTP/1.1 302 Found", b"Set-Cookie: sid=%s; Path=/" % HIDDEN,
                    b"Location: http://h/cb#access_token=" + HIDDEN, b"Content-Type: application/json", body=JSON)),
]
BODIES = [(b"application/json", JSON), (b"text/xml", XML), (b"text/plain", TEXT),
          (b"multipart/form-data; boundary=b", PARTS), (b"", TEXT)]
for kind, content in BODIES:
    typed = [b"Content-Type: " + kind] if kind else []
    WEB.append(("client", http(b"PUT /it HTTP/1.1", HOST, *typed, body=content)))
    WEB.append(("server", http(OK, *typed, body=content)))
CHUNKED = [
    ("client", chunked(b"PUT /it HTTP/1.1", HOST, b"Content-Type: application/json",
                       pieces=[JSON[:32], JSON[32:40], JSON[40:]])),
    ("server", chunked(OK, b"Content-Type: text/plain", pieces=[TEXT[:24], TEXT[24:]])),
]
CODED = [("client", http(b"PUT /it HTTP/1.1", HOST, b"Content-Type: application/json", body=JSON, coding=b"gzip")),
         ("server", http(OK, b"Content-Type: application/json", body=JSON, coding=b"gzip"))]
REDIS = [
    ("client", b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(HIDDEN), HIDDEN)), ("server", b"+OK\r\n"),
    ("client", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%s\r\n" % (len(JSON), JSON)), ("server", b"+OK\r\n"),
    ("client", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), ("server", b"$%d\r\n%s\r\n" % (len(JSON), JSON)),
]
POP = [("server", b"+OK ready\r\n"), ("client", b"USER ann\r\n"), ("server", b"+OK\r\n"),
       ("client", b"PASS %s\r\n" % HIDDEN), ("server", b"+OK\r\n"), ("client", b"QUIT\r\n"), ("server", b"+OK\r\n")]
TELNET = [("server", b"\xff\xfd\x18\xff\xfb\x01login: "), ("client", b"\xff\xfb\x18ann\r\n"), ("server", b"ann\r\n"),
          ("server", b"Password: "), ("client", HIDDEN + b"\r\n"), ("server", b"\r\nwelcome\r\n$ ")]
CONVERSATIONS = {"web": WEB, "chunked": CHUNKED, "coded": CODED, "redis": REDIS, "pop": POP, "telnet": TELNET}


@pytest.fixture
def store(gateways):
    """The recording; `by` has its sessions by name."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gateway = gateways(f"127.0.0.1:{listening.getsockname()[1]}")
        for steps in CONVERSATIONS.values():
            with faults.connect(gateway.listen) as client, listening.accept()[0] as server:
                server.settimeout(20)
                for side, data in steps:
                    sender, other = (client, server) if side == "client" else (server, client)
                    sender.sendall(data)
                    assert faults.read_exactly(other, len(data)) == data
    gateway.wait_sessions_closed(len(CONVERSATIONS))
    status, log = gateway.stop()
    assert status == 0, log
    gateway.by = dict(zip(CONVERSATIONS, gateway.sessions()))
    return gateway


@contextlib.contextmanager
def answering(talk):
    """A server of one connection: its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve():
            with contextlib.suppress(OSError), listening.accept()[0] as peer:
                peer.settimeout(20)
                talk(peer)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "%s:%d" % listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def said(store, *words):
    return store.command(*words).stdout


def unpacked(value):
    """All bytes that a document of JSON tells, Base64 undone."""
    if isinstance(value, dict):
        return b"".join(base64.b64decode(one) if name in ("data", "base64") or (
            name == "text" and "base64" in (value.get("encoding"), value.get("_encoding"))) else unpacked(one) + b"\n"
            for name, one in value.items())
    if isinstance(value, list):
        return b"\n".join(unpacked(one) for one in value)
    return str(value).encode()


def of_lines(output):
    return b"\n".join(unpacked(json.loads(line)) for line in output.splitlines())


def of_hex(output):
    """The bytes, whichever line they stand in."""
    return b"".join(bytes.fromhex(line[10:58].decode()) for line in output.splitlines()
                    if re.match(rb"[0-9a-f]{8}  ", line)) + output


def check(store, look):
    """`look(more)` has what a view says with these words more."""
    masked, bare = look([]), look(["--secrets"])
    at = masked.find(HIDDEN)
    assert at < 0, masked[max(0, at - 200):at + 60]
    assert HIDDEN in bare


FORMS = {"messages": (["--as", "messages", "-v", "--body"], bytes), "text": (["--as", "text"], bytes),
         "JSON of messages": (["--as", "messages", "--body", "--json"], of_lines),
         "hex": (["--as", "hex"], of_hex), "json": (["--as", "json"], of_lines)}


def test_views_of_a_session(store):
    for name, session in store.by.items():
        for form, (words, read) in FORMS.items():
            if name == "coded" and form in ("text", "hex", "json"):
                assert b"**********" in said(store, "show", session.id, "--as", "text")
                continue  # nobody reads it there
            look = lambda more: read(said(store, "show", session.id, *words, *more))  # noqa: E731
            check(store, look)
        check(store, lambda more: said(store, "messages", f"id={session.id}", "-v", "--body", *more))
        check(store, lambda more: of_lines(said(store, "messages", f"id={session.id}", "--json", "--body", *more)))


def test_what_is_not_masked_says_so(store):
    assert HIDDEN in said(store, "show", store.by["pop"].id, "--as", "raw")
    for command, words in (("export", "never hide anything"), ("tail", "Nothing is masked"),
                           ("show", "raw never masks"), ("grep", "they are searched all the same")):
        assert words in processes.run([program(), "help", command], 20).stdout.decode(), command


def test_grep(store):
    for words in ([], ["--from", "server"]):
        masked = said(store, "grep", "(?s).{0,20}" + HIDDEN.decode() + ".{0,20}", *words)
        assert masked.count(b"**********") >= 5 and HIDDEN not in masked
    check(store, lambda more: said(store, "grep", "-F", HIDDEN.decode(), *more))
    check(store, lambda more: of_lines(said(store, "grep", "-F", HIDDEN.decode(), "--json", *more)))
    check(store, lambda more: said(store, "grep", "-o", HIDDEN.decode(), *more))


def test_lists(store):
    """Facts are never credentials: there is nothing that --secrets could show."""
    for words in (["sessions"], ["sessions", "--json"], ["stats"], ["stats", "--json"]):
        done = store.command(*words, check=words[0] == "sessions")
        assert HIDDEN not in done.stdout + done.stderr
    store.command("reindex")
    (web,) = store.command("sessions", "http.path=/login").stdout.splitlines()[-1:]
    assert store.by["web"].id.encode() in web
    dry = store.command("replay", "--to", "127.0.0.1:1", "--dry-run", "--json", check=False)
    assert HIDDEN not in dry.stdout + dry.stderr


def test_what_replay_finds(store):
    """A server that says something else."""
    with answering(lambda peer: peer.sendall(b"+OK other\r\n+OK\r\n+OK\r\n-no\r\n")) as address:
        done = store.command("replay", f"id={store.by['pop'].id}", "--to", address, "--json", "-v", "--speed", "max",
                             check=False)
    assert done.returncode == 1 and HIDDEN not in done.stdout + done.stderr


def test_har(store):
    for name in ("web", "chunked", "coded"):
        words = ["export", f"id={store.by[name].id}", "--format", "har", "-o", "-"]
        check(store, lambda more: unpacked(json.loads(said(store, *words, *more))))


def test_curl(store, scratch):
    for name in ("web", "chunked"):
        words = ["export", f"id={store.by[name].id}", "--format", "curl", "-o", "-"]
        check(store, lambda more: said(store, *words, *more))
    text = said(store, *words).decode()
    assert "PASSWORD_1:?" in text and '"$GOGETWAY_TOKEN_1"' in text and "SECRET" not in text
    words = ["export", f"id={store.by['coded'].id}", "--format", "curl", "-o", "-"]
    assert b"curl cannot send it again: its body has credentials, and is coded" in said(store, *words)
    assert b"| curl" in said(store, *words, "--secrets")


@pytest.mark.parametrize("name", ["web", "chunked", "redis", "pop", "telnet"])
def test_python(store, scratch, name):
    """Without the credentials, and with them from the environment it says the same bytes."""
    words = ["export", f"id={store.by[name].id}", "--format", "python", "-o", "-"]
    check(store, lambda more: said(store, *words, *more))
    text = said(store, *words).decode()
    program_file = scratch / "again.py"
    program_file.write_text(text)
    wanted = re.findall(r"^# (.*)\nPASSWORD_(\d+) =", text, re.M)
    assert wanted
    values, split = {}, HIDDEN.decode()
    for of, number in wanted:
        fixed = re.search(r": (\d+) bytes, for something else says", of)
        length = int(fixed.group(1)) if fixed else len(split)
        if name == "redis" and "credentials" in of:  # a field is text: all of the object
            values[f"GOGETWAY_PASSWORD_{number}"] = '{"a":["%s"]}' % split
            continue
        before = "Bearer " if "uthorization of" in of else ""
        values[f"GOGETWAY_PASSWORD_{number}"] = before + split[:length - len(before)] if fixed else before + split
        split = split[length:] if fixed and length < len(split) else HIDDEN.decode()  # two chunks have a part each
    heard = []

    def talk(peer):
        for side, data in CONVERSATIONS[name]:
            if side == "server":
                peer.sendall(data)
            else:
                heard.append(faults.read_exactly(peer, len(data)))
    with answering(talk) as address:
        processes.run(["/usr/bin/python3", "-I", program_file, *address.split(":")], 60, env=values)
    assert heard == [data for side, data in CONVERSATIONS[name] if side == "client"]


def test_python_refuses_what_it_cannot_leave_out(store):
    words = ["export", f"id={store.by['coded'].id}", "--format", "python", "-o", "-"]
    done = store.command(*words, check=False)
    assert done.returncode == 3 and b"has credentials, or may have, that cannot be left out" in done.stderr
    compile(said(store, *words, "--secrets"), "again.py", "exec")


def test_asciicast(store):
    words = ["export", f"id={store.by['telnet'].id}", "--format", "asciicast", "-o", "-"]
    check(store, lambda more: said(store, *words, *more))

