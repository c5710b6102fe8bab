# SPDX-License-Identifier: Apache-2.0
"""Real clients and servers with the gateway between them: the clients are content, the recording is what they say."""
import asyncio
import collections
import hashlib
import json
import os
import random
import re
import socket
import struct
import threading

import pytest
import websockets

import endpoints
import peers
import processes
import recording
from gogetway import SIDES, Stream

MIB = 1 << 20


@pytest.fixture
def start(scratch):
    """start(peers.nginx, ...): a server that ends with the test."""
    started = []

    def begin(function, *arguments):
        place = scratch / f"{function.__name__}-{len(started)}"
        place.mkdir(mode=0o755)
        started.append(function(place, *arguments))
        return started[-1]
    yield begin
    for process in reversed(started):
        process.stop(15)


def finish(gateway, scratch):
    """Stops the gateway and checks what must hold whatever was said: returns (sessions, raw directory)."""
    status, log = gateway.stop()
    assert status == 0, log
    gateway.verify()
    raw = scratch / "raw"
    sessions = gateway.sessions()
    payloads = gateway.payloads(keep=raw)
    reading = recording.tshark_read(gateway.segments())
    problems = list(reading.anomalies)
    by_client = reading.by_client()
    for session in sessions:
        if session.state != "closed":
            problems.append(f"{session.id}: {session.state}")
            continue
        for side in SIDES:
            count = payloads[session.id][side].count
            if not session["bytes"][side] == session.received(side) == count >= session.forwarded(side):
                problems.append(f"{session.id}: {side}: {session}, but {count} bytes recorded")
        found = by_client.get(session.client)
        if not found:
            problems.append(f"{session.id}: tshark has no stream from {session.client}")
        elif found.pop(0).streams != payloads[session.id]:
            problems.append(f"{session.id}: tshark read something else")
    if len(reading.conversations) != len(sessions):
        problems.append(f"tshark has {len(reading.conversations)} streams of {len(sessions)} sessions")
    assert not problems, endpoints.show(problems)
    return sessions, raw


def stream(raw, session, side):
    return (raw / f"{session.id}.{side}").read_bytes()


def forwarded_all(sessions):
    return all(session.forwarded(side) == session.received(side) for session in sessions for side in SIDES)


# ---- HTTP/1 ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def site(scratch):
    root = scratch / "site"
    root.mkdir(mode=0o755)
    for name, size in (("small", 1000), ("page", 20_000), ("middle", 300_000), ("empty", 0)):
        peers.random_file(root / name, size, seed=size)
    return root


def curl(*words, check=True):
    return processes.run(["curl", "-sS", "--max-time", "60", *words], 70, check)


def split_response(data):
    """(status line, headers, the rest)"""
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
    return lines[0], headers, rest


def dechunk(data):
    """The body of a chunked message, and what follows it."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            assert data.startswith(b"\r\n")
            return body, data[2:]
        body += data[:length]
        assert data[length:length + 2] == b"\r\n"
        data = data[length + 2:]


def test_http_1_0(start, gateways, scratch, site):
    server = start(peers.nginx, site)
    gateway = gateways(server.address)
    got = curl("--http1.0", f"http://{gateway.listen}/middle").stdout
    assert got == (site / "middle").read_bytes()
    (session,), raw = finish(gateway, scratch)
    status, headers, body = split_response(stream(raw, session, "server"))
    assert status.startswith("HTTP/1.1 200") and headers["connection"] == "close"
    assert body == got
    assert stream(raw, session, "client").startswith(b"GET /middle HTTP/1.0\r\n")
    assert forwarded_all([session])


def test_http_keep_alive_has_all_requests_in_one_session(start, gateways, scratch, site):
    server = start(peers.nginx, site)
    gateway = gateways(server.address)
    names = ["small", "middle", "empty", "small", "absent", "middle"]
    words = [word for number, name in enumerate(names)
             for word in ("-o", scratch / f"got-{number}", f"http://{gateway.listen}/{name}")]
    curl(*words)
    (session,), raw = finish(gateway, scratch)
    data = stream(raw, session, "server")
    for number, name in enumerate(names):
        status, headers, rest = split_response(data)
        assert status == ("HTTP/1.1 404 Not Found" if name == "absent" else "HTTP/1.1 200 OK")
        length = int(headers["content-length"])
        body, data = rest[:length], rest[length:]
        assert body == (scratch / f"got-{number}").read_bytes(), name
        assert name == "absent" or body == (site / name).read_bytes()
    assert data == b""
    requests = re.findall(rb"^GET /(\w+) HTTP/1.1\r$", stream(raw, session, "client"), re.MULTILINE)
    assert [request.decode() for request in requests] == names


def test_http_chunked(start, gateways, scratch, site):
    server = start(peers.nginx, site)
    gateway = gateways(server.address)
    got = curl(f"http://{gateway.listen}/chunked/middle").stdout
    assert got == (site / "middle").read_bytes()
    (session,), raw = finish(gateway, scratch)
    _, headers, rest = split_response(stream(raw, session, "server"))
    assert headers["transfer-encoding"] == "chunked"
    assert dechunk(rest) == (got, b"")


@pytest.mark.parametrize("splice", ["auto", "on", "off"])
def test_http_100_mb_by_sendfile(start, gateways, scratch, site, splice):
    big = peers.random_file(site / "big", 100 * MIB)
    wanted = Stream.of_file(big)
    server = start(peers.nginx, site)
    gateway = gateways(server.address, options=["--relay-splice", splice])
    curl("-o", scratch / "got", f"http://{gateway.listen}/big")
    assert Stream.of_file(scratch / "got") == wanted
    (session,), raw = finish(gateway, scratch)
    with open(raw / f"{session.id}.server", "rb") as file:
        head = file.read(4096)
        file.seek(head.index(b"\r\n\r\n") + 4)
        hasher = hashlib.sha256()
        while chunk := file.read(MIB):
            hasher.update(chunk)
    assert hasher.hexdigest() == wanted.sha256
    assert forwarded_all([session])


# ---- HTTP/2 ----------------------------------------------------------------------------------------------------------
def h2_frames(data):
    """(type, flags, stream, payload) of each frame; the data must end with one."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at:at + 3], "big")
        kind, flags, number = struct.unpack(">BBI", data[at + 3:at + 9])
        assert at + 9 + length <= len(data), "a frame is cut"
        yield kind, flags, number & 0x7FFFFFFF, data[at + 9:at + 9 + length]
        at += 9 + length


def test_h2load_against_nghttpd(start, gateways, scratch, site):
    requests, clients = 2000, 20
    server = start(peers.nghttpd, site)
    gateway = gateways(server.address)
    output = processes.run(["h2load", "-n", requests, "-c", clients, "-m", 10, f"http://{gateway.listen}/page"], 60)
    text = output.stdout.decode()
    assert f"{requests} succeeded, 0 failed" in text, text
    traffic = int(re.search(r"traffic: \S+ \((\d+)\) total", text).group(1))
    sessions, raw = finish(gateway, scratch)
    assert len(sessions) == clients
    assert sum(session.received("server") for session in sessions) == traffic
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    headers = 0
    bodies = []
    for session in sessions:
        data = stream(raw, session, "client")
        assert data.startswith(preface)
        headers += sum(1 for kind, *_ in h2_frames(data[len(preface):]) if kind == 1)
        body = collections.defaultdict(bytes)
        for kind, flags, number, payload in h2_frames(stream(raw, session, "server")):
            if kind == 0:
                assert flags & 8 == 0
                body[number] += payload
        bodies += body.values()
    assert headers == requests
    wanted = (site / "page").read_bytes()
    assert len(bodies) == requests and all(body == wanted for body in bodies)


# ---- WebSocket -------------------------------------------------------------------------------------------------------
class EchoServer:
    """websockets' echo on a thread of its own."""

    def __init__(self):
        self.port = processes.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)

    async def echo(self, socket, _path=None):
        async for message in socket:
            await socket.send(message)

    async def serve(self):
        self.over = self.loop.create_future()
        async with websockets.serve(self.echo, "127.0.0.1", self.port, max_size=None, compression=None):
            self.ready.set()
            await self.over

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.serve())
        self.loop.close()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.over.set_result, None)
        self.thread.join(10)


async def websocket_talk(address, messages):
    """All of them sent without waiting, while the echoes are read."""
    async with websockets.connect(f"ws://{address}/", max_size=None, compression=None) as client:
        async def send():
            for message in messages:
                await client.send(message)
        sender = asyncio.create_task(send())
        echoes = [await client.recv() for _ in messages]
        await sender
    return echoes


def websocket_messages(data):
    """The data messages of a direction, unmasked and put together."""
    _, _, data = data.partition(b"\r\n\r\n")
    messages, parts, at = [], [], 0
    while at < len(data):
        first, second = data[at:at + 2]
        at += 2
        length = second & 0x7F
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at:at + size], "big")
            at += size
        key = data[at:at + 4] if second & 0x80 else None
        at += 4 if key else 0
        payload = data[at:at + length]
        assert len(payload) == length, "a frame is cut"
        at += length
        if key:
            mask = (key * (length // 4 + 1))[:length]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
        if first & 0x0F < 8:
            parts.append(payload)
            if first & 0x80:
                messages.append(b"".join(parts))
                parts = []
    return messages


def test_websocket_echo(gateways, scratch):
    generator = random.Random(4)
    messages = [generator.randbytes(int(2 ** generator.uniform(0, 19))) for _ in range(200)]
    with EchoServer() as server:
        gateway = gateways(server.address)
        echoes = asyncio.run(websocket_talk(gateway.listen, messages))
        assert echoes == messages
        (session,), raw = finish(gateway, scratch)
    assert websocket_messages(stream(raw, session, "client")) == messages
    assert websocket_messages(stream(raw, session, "server")) == messages
    assert forwarded_all([session])


# ---- SSH -------------------------------------------------------------------------------------------------------------
def test_ssh_and_scp_50_mb(start, gateways, scratch):
    server = start(peers.sshd)
    gateway = gateways(server.address)
    port = gateway.listen.rsplit(":", 1)[1]
    target = f"{server.user}@127.0.0.1"
    big = peers.random_file(scratch / "big", 50 * MIB)
    wanted = Stream.of_file(big)
    said = processes.run(["ssh", *server.client_words, "-p", port, target, "echo hello; exit 7"], 60, check=False)
    assert (said.returncode, said.stdout) == (7, b"hello\n"), said.stderr
    processes.run(["scp", *server.client_words, "-q", "-P", port, big, f"{target}:{scratch}/up"], 120)
    assert Stream.of_file(scratch / "up") == wanted
    processes.run(["scp", *server.client_words, "-q", "-P", port, f"{target}:{big}", scratch / "down"], 120)
    assert Stream.of_file(scratch / "down") == wanted
    sessions, raw = finish(gateway, scratch)
    assert len(sessions) == 3
    for session in sessions:
        for side in SIDES:
            with open(raw / f"{session.id}.{side}", "rb") as file:
                assert file.read(8) == b"SSH-2.0-"
    assert sessions[1].received("client") > 50 * MIB and sessions[2].received("server") > 50 * MIB


# ---- Redis -----------------------------------------------------------------------------------------------------------
def redis_info(server, section):
    """INFO, without the gateway."""
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(b"INFO %s\r\n" % section.encode())
        file = connection.makefile("rb")
        text = file.read(int(file.readline()[1:])).decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def test_redis_benchmark(start, gateways, scratch):
    server = start(peers.redis)
    gateway = gateways(server.address)
    done = processes.run(["redis-benchmark", "-h", "127.0.0.1", "-p", gateway.listen.rsplit(":", 1)[1], "-t", "set,get",
                          "-n", 10000, "-c", 20, "-P", 4, "-d", 200, "-r", 1000, "--csv"], 60)
    assert done.stdout.count(b"\n") >= 3, done.stdout
    stats = redis_info(server, "commandstats")
    calls = {name: int(re.search(r"calls=(\d+)", stats[f"cmdstat_{name}"]).group(1)) for name in ("set", "get")}
    assert min(calls.values()) >= 10000
    sessions, raw = finish(gateway, scratch)
    assert len(sessions) >= 40
    sent = b"".join(stream(raw, session, "client") for session in sessions)
    # What the gateway received after a client had gone need not have been executed; nothing executed may be missing.
    for name in ("set", "get"):
        assert sent.count(b"$3\r\n%s\r\n" % name.upper().encode()) >= calls[name]
    received = b"".join(stream(raw, session, "server") for session in sessions)
    assert received.count(b"+OK\r\n") >= calls["set"]


def test_redis_traffic_is_counted_to_the_byte(start, gateways, scratch):
    """The server's own count of bytes read and written against the recording's."""
    server = start(peers.redis)
    gateway = gateways(server.address)
    commands = b"".join(b"SET key:%d %s\r\n" % (number, b"x" * (number % 300)) for number in range(2000))
    host, port = gateway.listen.rsplit(":", 1)
    # PING is an extra command that ends the reply, so that everything has been read before the close.
    with socket.create_connection((host, int(port)), 10) as connection:
        sender = threading.Thread(target=connection.sendall, args=(commands + b"PING\r\n",))
        sender.start()
        reply = b""
        while not reply.endswith(b"+PONG\r\n"):
            reply += connection.recv(65536)
        sender.join()
    stats = redis_info(server, "stats")
    (session,), raw = finish(gateway, scratch)
    assert stream(raw, session, "client") == commands + b"PING\r\n"
    assert stream(raw, session, "server") == reply
    assert int(stats["total_net_input_bytes"]) == session.received("client") + len(b"INFO stats\r\n")
    assert int(stats["total_net_output_bytes"]) == session.received("server")


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------
def postgres_queries(data):
    """The texts of a client's simple queries."""
    at = 0
    length, = struct.unpack(">I", data[:4])
    at += length
    queries = []
    while at < len(data):
        kind = data[at:at + 1]
        length, = struct.unpack(">I", data[at + 1:at + 5])
        if kind == b"Q":
            queries.append(data[at + 5:at + length].rstrip(b"\0"))
        at += 1 + length
    assert at == len(data), "a message is cut"
    return queries


def test_pgbench(start, gateways, scratch):
    server = start(peers.postgres)
    gateway = gateways(server.address)
    environment = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", PGHOST="127.0.0.1", PGUSER="postgres",
                       PGDATABASE="postgres", PGPORT=gateway.listen.rsplit(":", 1)[1])
    processes.run(["pgbench", "-i", "-q", "-s", 1], 90, env=environment)
    done = processes.run(["pgbench", "-n", "-c", 8, "-j", 2, "-t", 50], 90, env=environment)
    assert b"number of transactions actually processed: 400/400" in done.stdout, done.stdout
    sums = processes.run(["psql", "-XAtc", "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts) "
                          "from pgbench_history"], 30, env=environment)
    assert sums.stdout == b"400|t\n"
    sessions, raw = finish(gateway, scratch)
    queries = [query for session in sessions for query in postgres_queries(stream(raw, session, "client"))]
    assert queries.count(b"END;") == 400
    assert sum(query.startswith(b"INSERT INTO pgbench_history") for query in queries) == 400


# ---- iperf3 ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("direction", ["up", "down"])
def test_iperf3(start, gateways, scratch, direction):
    cookie_bytes = 37
    server = start(peers.iperf3)
    gateway = gateways(server.address)
    done = processes.run(["iperf3", "-c", "127.0.0.1", "-p", gateway.listen.rsplit(":", 1)[1], "-n", "50M", "-P", 2,
                          "-J", *(["-R"] if direction == "down" else [])], 60)
    end = json.loads(done.stdout)["end"]
    sessions, raw = finish(gateway, scratch)
    assert len(sessions) == 3  # one for control
    data_side = "client" if direction == "up" else "server"
    data = [session for session in sessions if session.received(data_side) > MIB]
    assert len(data) == 2
    recorded = sum(session.received(data_side) for session in data) - (2 * cookie_bytes if direction == "up" else 0)
    # At the end iperf3 closes with bytes on their way: what came to the gateway is recorded, all that was read is.
    assert end["sum_sent"]["bytes"] >= recorded >= end["sum_received"]["bytes"] > 10 * MIB
