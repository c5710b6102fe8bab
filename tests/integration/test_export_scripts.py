# SPDX-License-Identifier: Apache-2.0
"""Sessions exported as programs that say them again, and as what was on a screen: run against real servers that answer
otherwise than recorded, and made of bytes that mean harm."""
import ast
import base64
import contextlib
import decimal
import http.client
import http.server
import json
import os
import random
import shutil
import smtplib
import socket
import socketserver
import threading

import pytest

import peers
import processes
from replaying import nanoseconds

pytestmark = pytest.mark.usefixtures("require_program")

PYTHON = "/usr/bin/python3"
PASSWORD = "hunter2 and more"


def finish(gateway, count=1):
    gateway.wait_sessions_closed(count)
    status, log = gateway.stop()
    assert status == 0, log


def export(store, target, *words, form="python"):
    """The program's text."""
    store.command("export", *words, "--format", form, "-o", target)
    return target.read_text()


def run(program, address, check=True, **environment):
    host, port = address.rsplit(":", 1)
    done = processes.run([PYTHON, "-I", "-W", "error", program, host, port], 60, check=False,
                         env={"PATH": os.environ["PATH"], **environment})
    assert not check or done.returncode == 0, (done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def serving(handler, **facts):
    """A server of that handler on any port; what it has seen is its `seen`."""
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
    with Server((peers.HOST, 0), handler) as server:
        server.seen, server.facts = [], facts
        server.address = f"{peers.HOST}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def stream_to(address):
    with socket.create_connection(tuple(address.rsplit(":", 1)), 10) as client, client.makefile("rwb") as stream:
        yield stream


# ── HTTP: a login with a cookie and a token ──────────────────────────────────────────────────────────────────────────

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, chunked=False, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding" if chunked else "Content-Length", "chunked" if chunked else len(body))
        self.end_headers()
        if self.command == "HEAD":
            return
        if chunked:
            for at in range(0, len(body), 1000):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body[at:at + 1000]), body[at:at + 1000]))
            body = b"0\r\n\r\n"
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        facts = self.server.facts
        if self.path == "/login":
            good = self.headers["Authorization"] == "Basic " + base64.b64encode(
                f"ann:{facts['password']}".encode()).decode()
            self.server.seen.append(("POST", self.path, good, body))
            self.answer(200, b'{"padding": "%s", "token": "%s"}\n' % (b"-" * facts["padding"], facts["token"].encode()),
                        headers=[("Set-Cookie", "theme=dark"), ("Set-Cookie", f"sid={facts['cookie']}; HttpOnly")])
            return
        good = (f"sid={facts['cookie']}" in self.headers["Cookie"]
                and body == b"token=%s&amount=1" % facts["token"].encode())
        self.server.seen.append(("POST", self.path, good, len(body) - len(facts["token"])))
        self.answer(200, b"paid\n" * facts["padding"], chunked=True)

    def do_GET(self):
        facts = self.server.facts
        good = (f"sid={facts['cookie']}" in self.headers["Cookie"]
                and self.headers["Authorization"] == f"Bearer {facts['token']}")
        self.server.seen.append((self.command, self.path.replace(facts["token"], "TOKEN"), good, None))
        self.answer(200, b"x" * facts["padding"] * 100)

    do_HEAD = do_GET


def browse(address, facts):
    client = http.client.HTTPConnection(address, timeout=10)

    def ask(*words, **more):
        client.request(*words, **more)
        return client.getresponse().read()
    basic = base64.b64encode(f"ann:{facts['password']}".encode()).decode()
    ask("POST", "/login", body=b"hello\n\x00\xff", headers={"Authorization": f"Basic {basic}"})
    after = {"Cookie": f"theme=dark; sid={facts['cookie']}", "Authorization": f"Bearer {facts['token']}"}
    ask("GET", f"/home?of={facts['token']}", headers=after)
    ask("HEAD", "/home", headers=after)
    ask("POST", "/pay", body=f"token={facts['token']}&amount=1", headers=after)
    ask("GET", "/bye", headers=after)
    client.close()


def test_http_with_a_login(gateways, scratch):
    """Another password, cookie and token than recorded, of other lengths, and replies of other lengths: the server sees
    the same conversation."""
    recorded = {"password": PASSWORD, "cookie": "c00kie0000000001", "token": "t0ken-0000000001", "padding": 3}
    live = {"password": "other", "cookie": "another-c00kie-that-is-longer", "token": "t9", "padding": 700}
    with serving(Web, **recorded) as server:
        gateway = gateways(server.address)
        browse(gateway.listen, recorded)
        finish(gateway)
    text = export(gateway, scratch / "again.py")
    for secret in (PASSWORD, base64.b64encode(f"ann:{PASSWORD}".encode()).decode(), recorded["cookie"]):
        assert secret not in text
    assert "from the reply above: Set-Cookie sid" in text and "HOST = " in text.split("def ")[0]
    basic = "Basic " + base64.b64encode(f"ann:{live['password']}".encode()).decode()
    with serving(Web, **live) as other:
        done = run(scratch / "again.py", other.address, check=False)
        assert done.returncode == 1 and b"GOGETWAY_PASSWORD_1" in done.stderr and not other.seen
        head = (scratch / "again.py").read_text().partition("\nimport ")[0]
        assert "It needs a credential there, GOGETWAY_PASSWORD_1" in head
        run(scratch / "again.py", other.address, GOGETWAY_PASSWORD_1=basic)
        assert other.seen == server.seen and len(other.seen) == 5 and all(seen[2] for seen in other.seen)
    with serving(Web, **recorded) as same:
        text = export(gateway, scratch / "with.py", "--secrets")
        assert base64.b64encode(f"ann:{PASSWORD}".encode()).decode() in text
        run(scratch / "with.py", same.address)
        assert same.seen == server.seen


def test_http_that_waits_for_continue_and_for_the_end(gateways, scratch):
    """100 Continue in the middle of a request, and a response that only the end of the session ends."""
    class Slow(socketserver.StreamRequestHandler):
        def handle(self):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.rfile.readline()
            if self.server.facts["interim"]:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self.rfile.read(5000)
            self.server.seen.append((head.split(b"\r\n")[0], body))
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * self.server.facts["size"])
    with serving(Slow, interim=True, size=10) as server:
        gateway = gateways(server.address)
        with socket.create_connection(tuple(gateway.listen.rsplit(":", 1)), 10) as client:
            client.sendall(b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(bytes(range(250)) * 20)
            while client.recv(1000):
                pass
        finish(gateway)
    text = export(gateway, scratch / "again.py")
    assert "expect_continue()" in text and "base64.b64decode" in text
    for interim in (True, False):
        with serving(Slow, interim=interim, size=100000) as other:
            done = run(scratch / "again.py", other.address)
            assert other.seen == server.seen
            assert b"<<< 100019 bytes" in done.stdout


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def redis_ask(stream, *words):
    """The reply's first line, and the bulk behind it."""
    stream.write(command(*words))
    stream.flush()
    line = stream.readline()
    return line + (stream.read(int(line[1:]) + 2) if line[:1] == b"$" and line != b"$-1\r\n" else b"")


@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
def test_redis(gateways, scratch):
    """A password and a value that comes back, both of other lengths; pipelines; values that are binary."""
    places = []
    with contextlib.ExitStack() as stack:
        for name, password, handed in (("a", b"sesame-open", b"n0nce-12345678"), ("b", b"x", b"n1")):
            (scratch / name).mkdir()
            server = stack.enter_context(peers.redis(scratch / name))
            with stream_to(server.address) as stream:
                assert redis_ask(stream, b"SET", b"nonce", handed) == b"+OK\r\n"
                assert redis_ask(stream, b"SET", b"long", b"l" * (10 if name == "a" else 300000)) == b"+OK\r\n"
                assert redis_ask(stream, b"CONFIG", b"SET", b"requirepass", password) == b"+OK\r\n"
            places.append((server, password, handed))
        gateway = gateways(places[0][0].address)
        with stream_to(gateway.listen) as stream:
            assert redis_ask(stream, b"AUTH", b"sesame-open") == b"+OK\r\n"
            handed = redis_ask(stream, b"GET", b"nonce").split(b"\r\n")[1]
            assert redis_ask(stream, b"SET", b"proof", b"<" + handed + b">") == b"+OK\r\n"
            assert len(redis_ask(stream, b"GET", b"long")) == 17
            assert redis_ask(stream, b"SET", b"binary", bytes(range(256)) * 4) == b"+OK\r\n"
            stream.write(command(b"INCR", b"n") * 500 + command(b"LRANGE", b"none", b"0", b"-1"))
            stream.flush()
            assert [stream.readline() for _ in range(501)][-1] == b"*0\r\n"
        finish(gateway)
        text = export(gateway, scratch / "again.py")
        assert "sesame" not in text and "bulk_of(reply)" in text
        other, password, handed = places[1]
        run(scratch / "again.py", other.address, GOGETWAY_PASSWORD_1=password.decode())
        with stream_to(other.address) as stream:
            assert redis_ask(stream, b"AUTH", password) == b"+OK\r\n"
            assert redis_ask(stream, b"GET", b"proof").split(b"\r\n")[1] == b"<" + handed + b">"
            assert redis_ask(stream, b"GET", b"binary").split(b"\r\n", 1)[1] == bytes(range(256)) * 4 + b"\r\n"
            assert redis_ask(stream, b"GET", b"n").split(b"\r\n")[1] == b"500"


# ── SMTP, and lines with prompts ─────────────────────────────────────────────────────────────────────────────────────

class Mail(socketserver.StreamRequestHandler):
    """Answers of several lines, as many as its facts say."""

    def say(self, code, text="ok"):
        lines = [text] * self.server.facts["lines"]
        self.wfile.write(b"".join(b"%d%s%s\r\n" % (code, b"-" if at + 1 < len(lines) else b" ", line.encode())
                                  for at, line in enumerate(lines)))

    def handle(self):
        self.say(220, "mail.example ESMTP")
        while line := self.rfile.readline():
            self.server.seen.append(line)
            if line.upper().startswith(b"EHLO"):
                self.say(250, "AUTH PLAIN")
            elif line.upper().startswith(b"DATA"):
                self.say(354)
                while self.server.seen[-1] != b".\r\n":
                    self.server.seen.append(self.rfile.readline())
                self.say(250)
            else:
                self.say(235 if line.upper().startswith(b"AUTH") else 221 if line.upper().startswith(b"QUIT") else 250)
                if line.upper().startswith(b"QUIT"):
                    return


def test_smtp(gateways, scratch):
    with serving(Mail, lines=2) as server:
        gateway = gateways(server.address)
        host, port = gateway.listen.rsplit(":", 1)
        with smtplib.SMTP(host, int(port), local_hostname="there", timeout=10) as client:
            client.login("ann", PASSWORD)
            client.sendmail("ann@example.org", ["bob@example.org"],
                            "Subject: hello\r\n\r\nA text\r\n.dotted\r\n\"\"\"\r\n")
        finish(gateway)
    text = export(gateway, scratch / "again.py")
    coded = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    assert coded not in text and text.count("expect_code()") >= 7
    with serving(Mail, lines=9) as other:
        run(scratch / "again.py", other.address, GOGETWAY_PASSWORD_1=coded)
        assert other.seen == server.seen and len(other.seen) > 10
    with serving(Mail, lines=1) as third:
        run(scratch / "again.py", third.address, GOGETWAY_PASSWORD_1="other")
        assert third.seen == [line.replace(coded.encode(), b"other") for line in server.seen]


class Console(socketserver.StreamRequestHandler):
    def handle(self):
        for prompt in ("login: ", "Password: "):
            self.wfile.write(prompt.encode())
            self.server.seen.append(self.rfile.readline())
        while True:
            self.wfile.write(b"box$ ")
            line = self.rfile.readline()
            self.server.seen.append(line)
            if line in (b"exit\r\n", b""):
                return
            for number in range(self.server.facts["lines"]):
                self.wfile.write(b"line %d of $ \xc3\xa9\r\n" % number)
                self.wfile.flush()


def type_in(address):
    with socket.create_connection(tuple(address.rsplit(":", 1)), 10) as client:
        heard = b""
        for prompt, line in ((b"login: ", b"ann"), (b"Password: ", PASSWORD.encode()), (b"box$ ", b"ls"),
                             (b"box$ ", b"ls"), (b"box$ ", b"exit")):
            while not heard.endswith(prompt):
                heard += client.recv(1000)
            client.sendall(line + b"\r\n")
            heard = b""
        while client.recv(1000):
            pass


def test_lines_with_prompts(gateways, scratch):
    with serving(Console, lines=2) as server:
        gateway = gateways(server.address)
        type_in(gateway.listen)
        finish(gateway)
    text = export(gateway, scratch / "again.py")
    assert PASSWORD not in text and text.count('expect_prompt(b"box$ ")') == 3
    with serving(Console, lines=3000) as other:
        run(scratch / "again.py", other.address, GOGETWAY_PASSWORD_1="what?")
        assert other.seen == [line.replace(PASSWORD.encode(), b"what?") for line in server.seen]
        assert len(other.seen) == 5


# ── Other framings, and none ─────────────────────────────────────────────────────────────────────────────────────────

class Framed(socketserver.StreamRequestHandler):
    """A length of two bytes in front of each message."""

    def handle(self):
        while len(size := self.rfile.read(2)) == 2:
            self.server.seen.append(self.rfile.read(int.from_bytes(size, "big")))
            answer = b"\x00" * self.server.facts["size"]
            self.wfile.write(len(answer).to_bytes(2, "big"))
            self.wfile.flush()
            self.wfile.write(answer)


def test_a_framing_and_none(gateways, scratch):
    with serving(Framed, size=5) as server:
        gateway = gateways(server.address)
        with stream_to(gateway.listen) as stream:
            for body in (b"\x01one", b"\xfe\x00two", b"\x03"):
                stream.write(len(body).to_bytes(2, "big") + body)
                stream.flush()
                assert stream.read(7) == b"\x00\x05" + bytes(5)
        finish(gateway)
    framed = export(gateway, scratch / "framed.py", "--framing", "length width=2")
    unknown = export(gateway, scratch / "unknown.py")
    assert framed.count("\nexpect_length(0, 2, \"big\", 0)") == 3 and "def expect_quiet" not in framed
    assert unknown.count("\nexpect_quiet()") == 3 and "until the server is silent" in unknown
    for name in ("framed.py", "unknown.py"):
        with serving(Framed, size=40000) as other:
            run(scratch / name, other.address)
            assert other.seen == server.seen and len(other.seen) == 3


# ── Bytes that mean harm ─────────────────────────────────────────────────────────────────────────────────────────────

HARM = [b'"', b"'", b"\\", b'"""', b"'''", b"\n", b"\r", b"\r\n", b"\x00", b"\x0c", b"\x1c", b"\x85", "\u2028".encode(),
        "\u2029".encode(), b"#", b"\\\n", b"\\N{DASH}", b"%s", b"{0}", b"import os\n", b'")\nraise SystemExit(7)\n(b"',
        b"GET / HTTP/1.1\r\n", b"Cookie: a\"=b'\\\r\n", b"Set-Cookie: x\"y=1\\\r\n", b"HTTP/1.1 200 OK\r\n",
        b"\r\n\r\n", b"Content-Length: 3\r\n", b"+OK\r\n", b"*1\r\n$4\r\nPING\r\n", b"220 a\r\n", b"AUTH PLAIN ", b"$ ",
        b"\xff\xfb\x01", b"abcdef123456", b"\x1b[2J", b"\xf0\x9f\x98\x80", b"-*- coding: utf-7 -*-"]


def harmful(generator):
    return b"".join(generator.choice(HARM) if generator.random() < 0.8 else generator.randbytes(generator.randrange(40))
                    for _ in range(generator.randrange(1, 30)))


class Sink(socketserver.BaseRequestHandler):
    """Takes all there is, and answers with bytes that mean harm."""

    def handle(self):
        taken = b""
        while data := self.request.recv(65536):
            taken += data
            with contextlib.suppress(OSError):
                self.request.sendall(b"!" + harmful(self.server.facts["generator"]))
        self.server.seen.append(taken)


def test_nothing_breaks_out_of_a_literal(gateways, scratch):
    """Random sessions of such bytes: each program compiles, without a warning, and has no statements but those it is
    made of; those that are run say the same bytes."""
    seed = random.randrange(1 << 32)
    generator = random.Random(seed)
    print("seed", seed)
    count = 120
    with serving(Sink, generator=random.Random(seed + 1)) as server:
        gateway = gateways(server.address)
        for _ in range(count):
            with socket.create_connection(tuple(gateway.listen.rsplit(":", 1)), 10) as client:
                for _ in range(generator.randrange(1, 4)):
                    client.sendall(harmful(generator))
                    client.recv(65536)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
        finish(gateway, count)
    gateway.command("export", "--format", "python", "--secrets", "-o", scratch / "harm")
    programs = sorted((scratch / "harm").iterdir())
    assert len(programs) == count
    for program in programs:
        text = program.read_bytes()
        assert not set(text) - set(b"\n" + bytes(range(32, 127))), program
        tree = compile(text, str(program), "exec", ast.PyCF_ONLY_AST)
        for statement in tree.body:
            assert isinstance(statement, (ast.FunctionDef, ast.Import, ast.Assign, ast.If, ast.Expr)), program
            if isinstance(statement, ast.Expr):
                name = statement.value.func
                assert (name.id if isinstance(name, ast.Name) else name.attr) in (
                    "send", "send_http", "shutdown", "finish") or name.id.startswith("expect_"), program
    quiet = [program for program in programs if set(
        word.split("(")[0] for word in program.read_text().split() if word.startswith("expect_")) <= {"expect_quiet"}]
    assert len(quiet) >= 5
    for program in quiet[:5]:
        session = next(one for one in gateway.sessions() if one.id == program.stem)
        with serving(Sink, generator=random.Random(seed + 2)) as other:
            run(program, other.address)
            processes.wait_until(lambda: other.seen, 10, "the whole of it")
            assert other.seen == [gateway.payload(session.id, "client")], (seed, program)


# ── asciicast ────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_asciicast_of_lines(gateways, scratch):
    """Each piece at its very time; the password, which nobody has seen on the screen, in stars."""
    with serving(Console, lines=2) as server:
        gateway = gateways(server.address)
        type_in(gateway.listen)
        finish(gateway)
    session = gateway.sessions()[0]
    text = export(gateway, scratch / "out.cast", form="asciicast")
    header, *events = [json.loads(line) for line in text.splitlines()]
    assert header["version"] == 2 and (header["width"], header["height"]) == (80, 24)
    assert header["env"] == {"TERM": "xterm"} and session.id in header["title"]
    assert PASSWORD not in text and "*" * len(PASSWORD) in text
    said = {"o": "", "i": ""}
    for at, code, data in events:
        said[code] += data
    assert said["i"] == "ann\r\n" + "*" * len(PASSWORD) + "\r\nls\r\nls\r\nexit\r\n"
    assert said["o"].startswith(
        "login: ann\r\nPassword: " + "*" * len(PASSWORD) + "\r\nbox$ ls\r\nline 0 of $ \u00e9\r\n")
    chunks = [json.loads(line) for line in gateway.command("show", session.id, "--as", "json").stdout.splitlines()]
    expected = []
    for chunk in chunks:
        since = nanoseconds(chunk["time"]) - nanoseconds(session["start"])
        expected += [(since, code) for code in (["i", "o"] if chunk["from"] == "client" else ["o"])]
    exact = [(int(decimal.Decimal(line[1:].split(",")[0]) * 10**9), json.loads(line)[1])
             for line in text.splitlines()[1:]]
    assert exact == expected
    assert "*" not in "".join(json.loads(line)[2] for line in export(
        gateway, scratch / "secret.cast", "--secrets", form="asciicast").splitlines()[1:])


class Telnet(socketserver.StreamRequestHandler):
    """Asks for the window's size, echoes, and has a prompt with commands of telnet around it."""

    def handle(self):
        self.wfile.write(b"\xff\xfd\x1f\xff\xfb\x01")
        self.server.seen.append(self.rfile.read(12))
        for prompt in (b"login: ", b"$ \xff\xf9", b"$ "):
            self.wfile.write(b"\xff\xf1" + b"x" * self.server.facts["size"] + b"\r\n" + prompt)
            line = self.rfile.readline()
            self.server.seen.append(line)
            self.wfile.write(line)


def test_telnet(gateways, scratch):
    with serving(Telnet, size=10) as server:
        gateway = gateways(server.address)
        with stream_to(gateway.listen) as stream:
            assert stream.read(6) == b"\xff\xfd\x1f\xff\xfb\x01"
            stream.write(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x28\xff\xf0")
            stream.flush()
            for prompt, line in ((b"login: ", b"ann"), (b"$ \xff\xf9", b"ls"), (b"$ ", b"exit")):
                assert stream.read(14 + len(prompt)).endswith(prompt)
                stream.write(line + b"\r\n")
                stream.flush()
                assert stream.read(len(line) + 2) == line + b"\r\n"
        finish(gateway)
    export(gateway, scratch / "again.py")
    with serving(Telnet, size=50000) as other:
        run(scratch / "again.py", other.address)
        assert other.seen == server.seen and len(other.seen) == 4
    header, *events = map(json.loads, export(gateway, scratch / "out.cast", form="asciicast").splitlines())
    assert (header["width"], header["height"]) == (100, 40)
    shown = "".join(data for _, code, data in events if code == "o")
    assert shown == f"{'x' * 10}\r\nlogin: ann\r\n{'x' * 10}\r\n$ ls\r\n{'x' * 10}\r\n$ exit\r\n"


def test_asciicast_refuses_what_is_no_text(gateways, scratch):
    with serving(Web, password="a", cookie="b", token="c", padding=1) as server:
        gateway = gateways(server.address)
        browse(gateway.listen, server.facts)
        finish(gateway)
    done = gateway.command("export", "--format", "asciicast", "-o", scratch / "no.cast", check=False)
    assert done.returncode == 3 and b"is http1, and no telnet or lines" in done.stderr
    assert not (scratch / "no.cast").exists()


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_files_and_words(gateways, scratch):
    """Of several sessions, each is a file; one that cannot be written is told. Nothing is replaced without --force."""
    with serving(Console, lines=1) as server:
        gateway = gateways(server.address)
        type_in(gateway.listen)
        type_in(gateway.listen)
        finish(gateway, 2)
    ids = sorted(session.id for session in gateway.sessions())
    gateway.command("export", "--format", "python", "-o", scratch / "all")
    assert sorted(path.name for path in (scratch / "all").iterdir()) == [f"{one}.py" for one in ids]
    assert (scratch / "all").stat().st_mode & 0o777 == 0o700
    assert (scratch / "all" / f"{ids[0]}.py").stat().st_mode & 0o777 == 0o600
    again = gateway.command("export", "--format", "python", "-o", scratch / "all", check=False)
    assert again.returncode == 3 and b"--force" in again.stderr
    gateway.command("export", "--format", "python", "-o", scratch / "all", "--force")
    one = gateway.command("export", ids[0], "--format", "python", "-o", "-").stdout
    assert one == (scratch / "all" / f"{ids[0]}.py").read_bytes()
    for words, why in ((["--format", "python", "-o", "-"], b"several need a directory"),):
        done = gateway.command("export", *words, check=False)
        assert done.returncode == 3 and why in done.stderr
    for words in (["--format", "python", "-o", "x", "--mtu", "600"], ["--secrets", "-o", "x"],
                  ["--format", "python", "-o", "x", "--decoder", "nobody"],
                  ["--format", "asciicast", "-o", "x", "--framing", "fixed 3"],
                  ["--format", "python", "-o", "x", "--framing", "fixed"], ["--format", "pyton", "-o", "x"]):
        assert gateway.command("export", *words, check=False, cwd=scratch).returncode == 2, words
    assert not (scratch / "x").exists()
