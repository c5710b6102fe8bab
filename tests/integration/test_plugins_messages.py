# SPDX-License-Identifier: Apache-2.0
"""`decode: inline`: plug-ins that decide about messages before these go on (tests/tools/talk.c), seen from both ends
and in the recording."""
import concurrent.futures
import contextlib
import random
import shutil
import socket

import pytest

import faults
import peers
import processes
from faults import Upstream, connect, read_exactly, read_to_end
from gogetway import ROOT, Stream, tool
from live import listener
from plugging import Kit

pytestmark = pytest.mark.usefixtures("require_program")

GET = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
DELETE = b"DELETE /two HTTP/1.1\r\nHost: a\r\n\r\n"
FORBIDDEN = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
UNSUPPORTED = -15  # error.h
REFUSED = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
AT_DELETE = {"at": "head", "field": "http.method", "value": "DELETE"}


class Talking:
    """A gateway with one listener and the plug-in."""

    def __init__(self, configured, upstream, config, decode="inline", plugin="talk", **more):
        self.gateway = configured
        where = listener(upstream, name="web", decode=decode, **more)
        configured.write(where, plugins=[{"path": str(tool(plugin + ".so")), "config": config}], workers=1,
                         relay={"splice": "on"})
        self.process = configured.start()
        self.address = where["listen"]

    def heard(self):
        lines = self.gateway.command("talk", "heard").stdout.decode().splitlines()
        return lines[0], lines[1:]

    def end(self):
        """The recorded sessions; every reader finds them sound."""
        assert self.process.stop() == 0
        self.gateway.verify()
        return self.gateway.sessions()


@contextlib.contextmanager
def talking(configured, config, **more):
    with Upstream() as upstream:
        yield Talking(configured, upstream.address, config, **more), upstream


def in_background(function, *arguments):
    """A function that waits for its end, and returns what it did."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(function, *arguments)
    pool.shutdown(wait=False)
    return lambda: future.result(30)


def received(sock, seconds=5):
    """What came until nothing more comes, or the end."""
    sock.settimeout(seconds)
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := sock.recv(1 << 16):
            data += piece
    return data


def test_it_is_told_what_is_said(configured):
    with talking(configured, {}) as (talking_, upstream), connect(talking_.address) as client:
        client.sendall(GET)
        with upstream.accept() as server:
            assert read_exactly(server, len(GET)) == GET
            server.sendall(OK[:20])
            assert read_exactly(client, 20) == OK[:20]
            server.sendall(OK[20:])
            assert read_exactly(client, len(OK) - 20) == OK[20:]
        first, lines = processes.wait_until(lambda: (heard := talking_.heard()) and len(heard[1]) == 4 and heard, 5,
                                            "four are told")
        assert first == "refusal 0 inlined 1 told 4"
        assert [line.split()[:4] for line in lines] == [
            ["client", "head", "request", "0"], ["client", "end", "request", "0"],
            ["server", "head", "response", "0"], ["server", "end", "response", "0"]]
        assert lines[1].split()[4] == str(len(GET)) and lines[3].split()[4] == str(len(OK))


def test_a_request_is_answered_in_the_servers_name(configured):
    config = {**AT_DELETE, "verdict": "reply", "text": FORBIDDEN, "from": "client"}
    with talking(configured, config) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(GET)
            with upstream.accept() as server:
                assert read_exactly(server, len(GET)) == GET
                server.sendall(OK)
                assert read_exactly(client, len(OK)) == OK
                client.sendall(DELETE)
                assert read_to_end(client) == (FORBIDDEN.encode(), False)
                assert received(server) == b""
        session, = talking_.end()
    assert session["close"] == "verdict" and session["verdict_by"] == "talk", session
    assert session.received("client") == len(GET + DELETE) and session.forwarded("client") == len(GET)


def test_in_pieces_nobody_gets_a_whole_one(configured):
    """Each byte by itself: what is before the head's end goes on, its last byte does not."""
    with talking(configured, {**AT_DELETE, "verdict": "reset", "from": "client"}) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with upstream.accept() as server:
                for at in range(len(DELETE) - 1):
                    client.sendall(DELETE[at:at + 1])
                    assert read_exactly(server, 1) == DELETE[at:at + 1]
                client.sendall(DELETE[-1:])
                assert received(server) == b"" and received(client) == b""
        session, = talking_.end()
    assert session["close"] == "verdict" and session.forwarded("client") == len(DELETE) - 1


@pytest.mark.parametrize("verdict", ["close", "reply"])
def test_what_stands_before_it_in_the_same_read_goes_on(configured, verdict):
    config = {**AT_DELETE, "verdict": verdict, "text": FORBIDDEN, "from": "client"}
    with talking(configured, config) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(GET + DELETE + GET)
            with upstream.accept() as server:
                assert read_to_end(server) == (GET, False)
            assert received(client) == (FORBIDDEN.encode() if verdict == "reply" else b"")
        session, = talking_.end()
    assert session.received("client") == len(GET + DELETE + GET) and session.forwarded("client") == len(GET)


def test_a_head_that_is_kept_back_is_diverted_whole(configured):
    with Upstream() as other:
        config = {**AT_DELETE, "verdict": "divert", "text": other.address, "from": "client"}
        with talking(configured, config, plugin="talk-gating") as (talking_, upstream):
            with connect(talking_.address) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(0, len(DELETE), 7):
                    client.sendall(DELETE[at:at + 7])
                with other.accept() as server:
                    assert read_exactly(server, len(DELETE)) == DELETE
                    server.sendall(OK)
                    assert read_exactly(client, len(OK)) == OK
                with upstream.accept() as server:
                    assert received(server) == b""
            session, = talking_.end()
    assert session["upstream"] == other.address


def test_an_answer_is_judged(configured):
    config = {"at": "head", "field": "http.status", "value": "500", "verdict": "reset", "from": "server"}
    bad = OK.replace(b"200 OK", b"500 No")
    with talking(configured, config) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(GET + GET)
            with upstream.accept() as server:
                assert read_exactly(server, 2 * len(GET)) == GET + GET
                server.sendall(OK)
                assert read_exactly(client, len(OK)) == OK
                server.sendall(bad)
                assert received(client) == b""
        session, = talking_.end()
    assert session["close"] == "verdict" and session.forwarded("server") == len(OK)


def test_unknown_bytes_are_told_as_opaque(configured):
    junk = random.Random(3).randbytes(4096)
    with talking(configured, {"at": "opaque", "verdict": "reset", "from": "client"}) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(junk)
            with upstream.accept() as server:
                assert received(server) == b"" and received(client) == b""
        session, = talking_.end()
    assert session["close"] == "verdict" and session.forwarded("client") == 0


def test_hold_is_no_verdict_about_a_message(configured):
    with talking(configured, {**AT_DELETE, "verdict": "hold", "from": "client"}) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(DELETE)
            with upstream.accept() as server:
                assert received(server) == b"" and received(client) == b""
        told, = faults.events(talking_.gateway, "plug-in gives a verdict that cannot be there")
        assert told["hook"] == "message" and told["plugin"] == "talk"


@pytest.mark.parametrize("side", ["client", "both"])
def test_a_gate_that_is_given_back_is_told_nothing_more(configured, side):
    """In the call itself; and the session is spliced from then on."""
    with talking(configured, {"at": "end", "verdict": "leave", "from": side}) as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(GET)
            with upstream.accept() as server:
                assert read_exactly(server, len(GET)) == GET
                big = random.Random(5).randbytes(8 << 20)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big)
                server.sendall(head)
                assert read_exactly(client, len(head)) == head
                sender = in_background(lambda: server.sendall(big))
                assert read_exactly(client, len(big)) == big
                sender()
        processes.wait_until(lambda: talking_.gateway.ask("stats")["metrics"]["spliced_bytes"], 5, "splice")
        _, lines = talking_.heard()
        assert [line.split()[:2] for line in lines] == [["client", "head"], ["client", "end"]]
        talking_.end()


def test_without_it_a_gate_of_messages_alone_cannot_be_had(configured):
    with talking(configured, AT_DELETE, decode="behind") as (talking_, upstream):
        with connect(talking_.address) as client:
            client.sendall(DELETE)
            with upstream.accept() as server:
                assert read_exactly(server, len(DELETE)) == DELETE
        assert talking_.heard() == (f"refusal {UNSUPPORTED} inlined 0 told 0", [])


def conversations(seed):
    """What clients say, and servers: of protocols, cut and joined, and of none."""
    chance = random.Random(seed)
    said = [(GET, OK), (DELETE * 3, OK * 3), (b"*1\r\n$4\r\nPING\r\n" * 5, b"+PONG\r\n" * 5),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\0\0\0\0\0"),
            (b"SSH-2.0-a\r\n" + chance.randbytes(3000), b"SSH-2.0-b\r\n" + chance.randbytes(90000)),
            (b"\x16\x03\x01" + chance.randbytes(600), b"\x15\x03\x03\0\2\2\x28"),
            (chance.randbytes(200000), chance.randbytes(300000)), (b"hello\n" * 4000, b"login: " + b"x\n" * 9000),
            (GET[:-3], b""), (b"", b"220 hi\r\n")]
    for client, server in said:
        yield client, server
        joined = bytearray(client + said[chance.randrange(len(said))][0])
        for _ in range(3):
            if joined:
                joined[chance.randrange(len(joined))] ^= 1 << chance.randrange(8)
        yield bytes(joined), server


@pytest.mark.parametrize("decode", ["off", "behind", "inline"])
def test_what_goes_on_and_is_recorded_is_the_same(configured, decode):
    """Decoders off, behind, and in the worker with a plug-in that listens."""
    with Upstream() as upstream:
        where = listener(upstream.address, name="web", **({"decode": "inline"} if decode == "inline" else {}))
        plugins = [{"path": str(tool("talk.so")), "config": {}}] if decode == "inline" else []
        configured.write(where, plugins=plugins, workers=1, decode="off" if decode == "off" else "on")
        process = configured.start()
        wanted = {}
        for client_says, server_says in conversations(11):
            with connect(where["listen"]) as client, upstream.accept() as server:
                done = [in_background(lambda: (client.sendall(client_says), client.shutdown(socket.SHUT_WR))),
                        in_background(lambda: (server.sendall(server_says), server.shutdown(socket.SHUT_WR)))]
                at_server = in_background(lambda: read_to_end(server))
                assert read_to_end(client) == (server_says, False)
                assert at_server() == (client_says, False)
                for finish in done:
                    finish()
                wanted["%s:%d" % client.getsockname()] = (Stream.of_bytes(client_says), Stream.of_bytes(server_says))
        if decode == "inline":
            assert int(configured.command("talk", "heard").stdout.split()[5]) > 10000
        assert process.stop() == 0
    configured.verify()
    payloads = configured.payloads()
    by_client = {session.client: session.id for session in configured.sessions()}
    assert {who: (payloads[name]["client"], payloads[name]["server"]) for who, name in by_client.items()} == wanted


@pytest.mark.skipif(not Kit.available() or not shutil.which("nginx"), reason="needs meson, cc, pkg-config and nginx")
def test_the_example(configured, scratch):
    """curl and nginx: GET is served, DELETE is answered by the plug-in, and h2 is cut."""
    so = Kit(scratch / "kit").build(scratch / "readonly", (ROOT / "examples/plugin-readonly.c").read_text())
    for folder in ("kit", "nginx", "www"):
        (scratch / folder).mkdir(exist_ok=True)
    (scratch / "www/page").write_text("hello")
    server = peers.nginx(scratch / "nginx", scratch / "www")
    try:
        where = listener(server.address, name="web", decode="inline")
        configured.write(where, plugins=[{"path": str(so)}])
        process = configured.start()
        curl = ["curl", "-sS", "-m", "10", "-w", "\n%{http_code}", f"http://{where['listen']}/page"]
        assert processes.run(curl).stdout == b"hello\n200"
        assert processes.run([*curl, "-X", "DELETE"]).stdout == b"\n405"
        assert processes.run([*curl, "-d", "x" * 90000]).stdout == b"\n405"
        assert processes.run([*curl, "--http2-prior-knowledge"], check=False).returncode != 0
        for said in (b"set /x HTTP/1.1\r\n\r\n", b"FLUSHALL\r\n", b"\0\1\2", b"GE"):
            with connect(where["listen"]) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                assert received(client) in (b"", REFUSED)
        with connect(where["listen"]) as client:  # an answer in front of another request's would be taken for its
            client.sendall(GET + DELETE)
            assert received(client) == b""
        configured.write({**where, "decode": "behind"}, plugins=[{"path": str(so)}])
        assert configured.reload()[0] == 0
        assert processes.run(curl, check=False).returncode != 0  # nothing can be decided
    finally:
        server.kill()
        assert process.stop() == 0
    sessions = configured.sessions()
    verdicts = [session["verdict"] for session in sessions]
    assert verdicts[:4] == [None, "reply", "reply", "reset"] and verdicts[-2:] == ["close", "reset"]
    assert all(verdicts[4:])
    assert [session.forwarded("client") for session in sessions[3:8]] == [0] * 5
