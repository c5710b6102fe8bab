# SPDX-License-Identifier: Apache-2.0
"""Replays that wait by messages: real servers whose answers are longer, shorter or framed in another way than they were
when they were recorded. What came to the server when is looked at in the recording of a second gateway."""
import collections
import re
import shutil

import pytest

import faults
import peers
import processes
import replaying

NAMES = ("one", "two", "three", "four")


@pytest.fixture
def start(scratch):
    """start(function, ...): a server of peers.py, ended with the test."""
    started = []

    def begin(function, *arguments):
        place = scratch / f"server-{len(started)}"
        place.mkdir(mode=0o755)
        started.append(function(place, *arguments))
        return started[-1]
    yield begin
    for process in reversed(started):
        process.stop(15)


def site(scratch, name, size):
    root = scratch / name
    root.mkdir(mode=0o755)
    for number, file in enumerate(NAMES):
        peers.random_file(root / file, size + number, seed=size)
    return root


# ---- What a client had when it went on -------------------------------------------------------------------------------
def whole_http(data):
    """How many answers are whole at the beginning of these bytes."""
    count = at = 0
    while (end := data.find(b"\r\n\r\n", at)) >= 0:
        head = data[at:end].lower()
        at = end + 4
        if length := re.search(rb"\r\ncontent-length: (\d+)", head):
            at += int(length[1])
        elif b"\r\ntransfer-encoding: chunked" in head:
            while (line := data.find(b"\r\n", at)) >= 0 and (size := int(data[at:line], 16)) > 0:
                at = line + 2 + size + 2
            at = line + 4 if line >= 0 else len(data) + 1
        if at > len(data):
            break
        count += 1
    return count


def whole_redis(data):
    """Of bulk strings alone."""
    count = at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        at = line + 2 + int(data[at + 1:line]) + 2
        if at > len(data):
            break
        count += 1
    return count


def early(target, whole):
    """Requests that went before all answers to those before them had come: one chunk is one request."""
    found = []
    for session in target.sessions():
        said, had, asked = target.payload(session.id, "server"), 0, 0
        for side, _, length in replaying.chunks(target, session.id):
            if side == "server":
                had += length
            elif length:
                if whole(said[:had]) < asked:
                    found.append(f"{session.id}: request {asked + 1}, {had} bytes had come")
                asked += 1
    return found


def play(gateways, recorded, server, scratch, whole, *words):
    target = gateways(server.address, options=replaying.FAST_FLUSH)
    played = replaying.replay(recorded.directory, target.listen, scratch, "--speed", "max", *words)
    status, log = target.stop()
    assert status == 0, log
    assert played.outcome["timeouts"] == 0 and played.outcome["chunks_unsent"] == 0, played.explain()
    found = early(target, whole)
    released = {name: count for name, count in played.outcome["released"].items() if count}
    print("released by:", released)
    assert not found, found
    return played, released


# ---- HTTP ------------------------------------------------------------------------------------------------------------
def curl(address, names=NAMES):
    urls = [word for name in names for word in ("-o", "/dev/null", f"http://{address}/{name}")]
    processes.run(["curl", "-sS", "--max-time", "30", *urls])


def curl_backwards(address):
    """So that bytes learn nothing of how answers end."""
    curl(address, NAMES[::-1])


LIVE = {  # bytes of a body, and what else the server does
    "longer, with a pause": (100_000, "limit_rate 60k;"),  # of a second, behind 60 KiB
    "shorter": (10, ""),
    "chunked": (3000, "ssi on; ssi_types *;"),
    "other headers": (1000, "add_header X-More than-there-were;"),
}


@pytest.mark.parametrize("live", LIVE)
def test_nginx_with_other_bodies(start, gateways, scratch, live):
    size, more = LIVE[live]
    recorded = replaying.record(gateways, start(peers.nginx, site(scratch, "recorded", 1000)).address,
                                [curl, curl_backwards])
    server = start(peers.nginx, site(scratch, "live", size), more)
    played, released = play(gateways, recorded, server, scratch, whole_http, "-v")
    assert released == {"start": 2, "decoder": 2 * (len(NAMES) - 1)}
    assert [row["decoder"] for row in played.sessions] == ["http1"] * 2
    assert (played.outcome["waited_by_messages"], played.outcome["waited_by_bytes"]) == (2, 0)
    assert re.search(r"^ +waited +2 sessions by messages, 0 by bytes alone$", played.output, re.MULTILINE)
    assert played.output.count(", waited by messages of http1") == 2


# ---- Redis -----------------------------------------------------------------------------------------------------------
def get_thrice(key, value):
    def client(address):
        with faults.connect(address) as sock:
            for _ in range(3):
                replaying.ask(sock, b"*2\r\n$3\r\nGET\r\n$1\r\n%s\r\n" % key, value + b"\r\n")
    return client


@pytest.mark.parametrize("value", [b"\r\n" * 2_000_000, b"", b"other"], ids=["long", "empty", "as long"])
def test_redis_with_another_value(start, gateways, scratch, value):
    server = start(peers.redis)

    def put(key, text):
        with faults.connect(server.address) as sock:
            replaying.ask(sock, b"*3\r\n$3\r\nSET\r\n$1\r\n%s\r\n$%d\r\n%s\r\n" % (key, len(text), text), b"+OK\r\n")
    values = {b"a": b"value", b"b": b"a longer one"}
    for key, text in values.items():
        put(key, text)
    recorded = replaying.record(gateways, server.address, [get_thrice(*one) for one in values.items()])
    for key in values:
        put(key, value)
    played, released = play(gateways, recorded, server, scratch, whole_redis)
    assert released == {"start": 2, "decoder": 4}
    assert [row["decoder"] for row in played.sessions] == ["redis"] * 2


def test_redis_where_nobody_publishes(start, gateways, scratch):
    """The recorded client heard of something, and later went on: it does not wait for that in vain."""
    server = start(peers.redis)

    def client(address):
        with faults.connect(address) as sock:
            replaying.ask(sock, b"SUBSCRIBE channel\r\n", b":1\r\n")
            processes.run(["redis-cli", "-p", server.port, "PUBLISH", "channel", "message"])
            replaying.read_until(sock, b"message\r\n$7\r\nchannel\r\n$7\r\nmessage\r\n")
            replaying.ask(sock, b"PING\r\n", b"pong\r\n$0\r\n\r\n")
    recorded = replaying.record(gateways, server.address, [client])
    played = replaying.replay(recorded.directory, server.address, scratch, "--speed", "max", "--allow-original")
    assert played.outcome["timeouts"] == 0, played.explain()
    assert played.outcome["chunks_unsent"] == 0 and played.seconds < 9, played.explain()


# ---- HTTP/2 ----------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(not shutil.which("h2load") or not (shutil.which("nghttpd") or shutil.which("/usr/sbin/nghttpd")),
                    reason="needs nghttp2")
@pytest.mark.parametrize("size", [10, 9000])
def test_nghttpd_with_other_bodies(start, gateways, scratch, require_program, size):
    """Three requests at once on one connection, and as each is answered the next."""
    def client(address):
        processes.run(["h2load", "-n", 30, "-c", 1, "-m", 3, *[f"http://{address}/{name}" for name in NAMES]])
    recorded = replaying.record(gateways, start(peers.nghttpd, site(scratch, "recorded", 1000)).address, [client])
    server = start(peers.nghttpd, site(scratch, "live", size))
    target = gateways(server.address, options=replaying.FAST_FLUSH)
    played = replaying.replay(recorded.directory, target.listen, scratch, "--speed", "max")
    assert target.stop()[0] == 0
    released = collections.Counter(played.outcome["released"])
    print("released by:", dict(+released))
    assert played.outcome["timeouts"] == 0 and played.outcome["chunks_unsent"] == 0, played.explain()
    assert [row["decoder"] for row in played.sessions] == ["http2"] and released["decoder"] > 0
    shown = target.command("show", target.sessions()[0].id, "--as", "messages").stdout
    assert len(re.findall(rb"\b200\b", shown)) >= 30, shown[-3000:]
