# SPDX-License-Identifier: Apache-2.0
"""Messages of HTTP/2 as `show --as messages --json` tells them, of real clients, servers and a proxy, compared header
by header with what Python's hpack and hyperframe read in the recorded bytes."""
import collections
import json
import shutil

import pytest

import peers
import processes

hpack = pytest.importorskip("hpack")
hyperframe = pytest.importorskip("hyperframe.frame")

SBIN = "/usr/sbin/"
pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not all(shutil.which(name) or shutil.which(SBIN + name)
                                         for name in ("nghttp", "nghttpd", "nghttpx", "h2load", "curl")),
                                 reason="needs nghttp2 and curl")]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PSEUDO = {"http.method": ":method", "http.target": ":path", "http.host": ":authority", "http.status": ":status"}
CONTROL = {hyperframe.SettingsFrame: "settings", hyperframe.PingFrame: "ping", hyperframe.PriorityFrame: "priority",
           hyperframe.WindowUpdateFrame: "window-update", hyperframe.RstStreamFrame: "reset",
           hyperframe.GoAwayFrame: "goaway"}


def located(name):
    return shutil.which(name) or SBIN + name


@pytest.fixture
def site(scratch):
    root = scratch / "site"
    root.mkdir(mode=0o755)
    for name, size in (("small", 10), ("page", 3000), ("style", 77), ("large", 300_000)):
        peers.random_file(root / name, size, seed=size)
    return root


@pytest.fixture
def begin(scratch):
    """begin("nghttpd", option, ...): on the port that goes where `{}` stands."""
    started = []

    def start(name, *words):
        place = scratch / f"{name}-{len(started)}"
        place.mkdir()
        port = processes.free_port()
        command = [located(name), *[word.replace("{}", str(port)) for word in words]]
        process = processes.Process(command, place, name=name)
        process.address = f"{peers.HOST}:{port}"
        started.append(process)
        process.wait_listening(process.address)
        return process
    yield start
    for process in reversed(started):
        process.stop(15)


# ── What hpack and hyperframe read ───────────────────────────────────────────────────────────────────────────────────

def frames(data):
    data, at = memoryview(data), 0
    while len(data) - at >= 9:
        frame, length = hyperframe.Frame.parse_frame_header(data[at:at + 9])
        if len(data) - at - 9 < length:
            return
        frame.parse_body(data[at + 9:at + 9 + length])
        at += 9 + length
        yield frame


def read(client, server):
    """({(kind, stream): [headers of each block, ..., bytes of data]}, how many frames of control there are)"""
    told, control = {}, collections.Counter()
    for side, data in (("client", client), ("server", server)):
        decoder = hpack.Decoder(max_header_list_size=1 << 24)
        decoder.max_allowed_table_size = 1 << 20
        for frame in frames(data):
            kind, stream = "request" if side == "client" else "response", frame.stream_id
            if isinstance(frame, (hyperframe.HeadersFrame, hyperframe.PushPromiseFrame)):
                block = b""
                if isinstance(frame, hyperframe.PushPromiseFrame):
                    kind, stream = "request", frame.promised_stream_id
                flow = told.setdefault((kind, stream), [0])
            if isinstance(frame, (hyperframe.HeadersFrame, hyperframe.PushPromiseFrame, hyperframe.ContinuationFrame)):
                block += frame.data
                if "END_HEADERS" in frame.flags:
                    headers = decoder.decode(block, raw=True)
                    flow.insert(-1, [(name.decode(), value.decode()) for name, value in headers])
            elif isinstance(frame, hyperframe.DataFrame):
                told[kind, stream][-1] += len(frame.data)
            else:
                control[CONTROL[type(frame)]] += 1
    return told, control


# ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────────

def shown(store, session):
    done = store.command("show", session.id, "--as", "messages", "--json", "--secrets")
    return [json.loads(line) for line in done.stdout.splitlines()]


def told_of(messages):
    told, control = {}, collections.Counter()
    for message in messages:
        if message["kind"] in CONTROL.values():
            control[message["kind"]] += 1
        if message["kind"] not in ("request", "response") or message["decoder"] != "http2":
            continue
        blocks = [[], []]
        for field in message["fields"]:
            name = PSEUDO.get(field["name"], field.get("key"))
            if name:
                blocks[field["name"] == "http.trailer"].append((name, str(field.get("value", field.get("number")))))
        flow = told.setdefault((message["kind"], message["stream"]), [0])
        flow[-1:-1] = [block for block in blocks if block]
        flow[-1] += message["body_length"]
    return told, control


def compare(store, scratch, sessions):
    """Each session; returns how many messages of HTTP/2 were the same in both."""
    raw = scratch / "raw"
    store.command("export", "--format", "raw", "-o", raw)
    same = 0
    for session in sessions:
        client, server = ((raw / f"{session.id}.{side}").read_bytes() for side in ("client", "server"))
        client = client[client.index(PREFACE) + len(PREFACE):]
        if server.startswith(b"HTTP/1.1 101 "):
            server = server[server.index(b"\r\n\r\n") + 4:]
        messages = shown(store, session)
        assert not [message for message in messages if "opaque" in message]
        theirs, ours = read(client, server), told_of(messages)
        assert ours[1] == theirs[1]
        assert ours[0].keys() == theirs[0].keys()
        for key, flow in theirs[0].items():
            assert ours[0][key] == flow, key
        same += len(theirs[0])
        number_of = {message["stream"]: message["number"] for message in messages
                     if message["kind"] == "request" and "stream" in message}
        for message in messages:
            if message["kind"] == "response" and message["decoder"] == "http2" and message["stream"] in number_of:
                assert message["answers"] == number_of[message["stream"]]
    return same


def finish(gateway):
    status, log = gateway.stop()
    assert status == 0, log
    return gateway.sessions()


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_ten_thousand_requests_on_one_connection(begin, gateways, site, scratch):
    server = begin("nghttpd", "--no-tls", "-a", peers.HOST, "-d", str(site), "{}")
    gateway = gateways(server.address)
    done = processes.run(["h2load", "-n", 10000, "-c", 1, "-m", 50, f"http://{gateway.listen}/small"], 60)
    assert b"10000 succeeded, 0 failed" in done.stdout
    assert compare(gateway, scratch, finish(gateway)) == 20000


def test_padding_pushes_trailers_and_tables(begin, gateways, site, scratch):
    server = begin("nghttpd", "--no-tls", "-a", peers.HOST, "-d", str(site), "--push=/page=/style",
                   "--trailer=x-end: yes", "-b", "30", "{}")
    gateway = gateways(server.address)
    url = f"http://{gateway.listen}"
    for words in ([f"{url}/page", f"{url}/large", f"{url}/missing"],
                  ["-d", site / "large", "--trailer", "t: 1", f"{url}/small"],
                  ["--header-table-size=65536", "--continuation", "-m", 5, f"{url}/large"],
                  ["--header-table-size=256", "--encoder-header-table-size=100", "-m", 20, f"{url}/small"]):
        processes.run(["nghttp", "-n", *words], 30)
    sessions = finish(gateway)
    assert len(sessions) == 4
    promised = [message for message in shown(gateway, sessions[0]) if message["kind"] == "request"
                and message["from"] == "server"]
    assert len(promised) == 1
    assert compare(gateway, scratch, sessions) == 8 + 2 + 10 + 40


def test_the_way_from_http_1(begin, gateways, site, scratch):
    """The first response comes on stream 1, and answers the request that HTTP/1 has told of."""
    server = begin("nghttpd", "--no-tls", "-a", peers.HOST, "-d", str(site), "{}")
    host, port = server.address.split(":")
    proxy = begin("nghttpx", "-f", f"{peers.HOST},{{}};no-tls", "-b", f"{host},{port};;proto=h2", "-L", "FATAL")
    gateway = gateways(proxy.address)
    curl = ["curl", "-sS", "--http2", "--max-time", 20]
    processes.run([*curl, "-o", scratch / "out", f"http://{gateway.listen}/page"], 30)
    processes.run([*curl, "-I", f"http://{gateway.listen}/large"], 30)
    sessions = finish(gateway)
    assert len(sessions) == 2
    assert compare(gateway, scratch, sessions) == 2
    for session in sessions:
        messages = shown(gateway, session)
        (answer,) = [message for message in messages if message["kind"] == "response" and message.get("stream") == 1]
        assert (answer["answers"], "completes" in answer["flags"], "odd" in answer["flags"]) == (1, True, False)
        assert [message["decoder"] for message in messages[:3]] == ["http1", "http1", "http2"]
