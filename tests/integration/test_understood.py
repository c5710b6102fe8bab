# SPDX-License-Identifier: Apache-2.0
"""Sessions are found by what was said in them: by the gateway's decoding thread, and when a catalogue is made anew.

The oracle is what the clients here have said, and what their servers have counted.
"""
import contextlib
import http.server
import json
import os
import random
import shutil
import sqlite3
import threading
import time

import pytest

import faults
import processes
from gogetway import Gateway, Store, program

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20261123"))
STATUS = {"/ok": 200, "/made": 201, "/no": 404, "/bad": 503}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path; /slow half a second later."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/slow":
            time.sleep(0.5)
        body = b"x" * 10
        self.send_response(STATUS.get(path, 200))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1:%d" % server.server_address[1]
    server.shutdown()


class Client:
    """One connection; what it says and hears."""

    def __init__(self, address):
        self.peer = faults.connect(address)
        self.stream = self.peer.makefile("rb")

    def ask(self, path, headers=""):
        self.peer.sendall(f"GET {path} HTTP/1.1\r\nHost: some.test\r\n{headers}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.stream.readline()
        assert len(self.stream.read(10)) == 10
        return int(head.split()[1])

    def close(self):
        self.stream.close()
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def found(store, *words):
    return {session.id for session in store.sessions(*words)}


def wait_found(store, count, *words, seconds=30):
    processes.wait_until(lambda: len(found(store, *words)) == count, seconds, f"{count} sessions by {words}",
                         interval=0.2)
    return found(store, *words)


def facts(store):
    """{(session, field): values}, but for how much was decoded"""
    path = f"file:{store.directory}/catalogue.db?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
        rows = database.execute("SELECT id, field, text, facts.number, overflow FROM facts JOIN sessions"
                                " ON sessions.number = session WHERE field <> '.decoded'").fetchall()
    told = {}
    for session, field, text, number, overflow in rows:
        value = "..." if overflow else text if number is None else number + (1 << 63)
        told.setdefault((session, field), set()).add(value)
    return told


def wait_decoded(store, count, seconds=30):
    """Until so many sessions have ended in the catalogue, and the facts of each are of all of it."""
    path = f"file:{store.directory}/catalogue.db?mode=ro"

    def decoded():
        with contextlib.closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
            try:
                return database.execute("SELECT count(*) FROM sessions JOIN facts ON session = sessions.number WHERE"
                                        " state = 1 AND field = '.decoded' AND facts.number = packets AND overflow = 3"
                                        ).fetchone()[0]
            except sqlite3.OperationalError:  # being made
                return -1
    processes.wait_until(lambda: decoded() == count, seconds, f"{count} sessions to be decoded", interval=0.1)


def started(gateways, upstream, **more):
    """A gateway whose catalogue is there."""
    gateway = gateways(upstream, **more)
    processes.wait_until(lambda: gateway.command("sessions", "http.status=1", check=False).returncode == 0, 10,
                         "the catalogue")
    return gateway


def test_it_is_found(gateways, web):
    gateway = started(gateways, web)
    with Client(gateway.listen) as client:
        assert client.ask("/ok?secret=1") == 200
        assert client.ask("/bad", "Authorization: Basic Ym9iOnMzY3JldA==\r\nUser-Agent: thing/1\r\n") == 503
    with Client(gateway.listen) as client:
        client.ask("/slow")
    with faults.connect(gateway.listen) as client:
        client.sendall(bytes(range(256)))
    wait_decoded(gateway, 3)
    both = found(gateway, "proto=http")
    assert len(both) == 2
    first = found(gateway, "http.user=bob")
    assert len(first) == 1 and first == found(gateway, "http.path=/bad") == found(gateway, "http.agent=thing/*")
    assert first == found(gateway, "http.status=500..599") == found(gateway, "http.path=/ok")  # any of its messages
    assert found(gateway, "http.status!=503") == {s.id for s in gateway.sessions()} - first  # none of them
    assert found(gateway, "--filter", "http.status = 200 and http.status = 503") == first
    assert found(gateway, "message.slowest=500..") == both - first
    assert found(gateway, "message.requests=2") == first
    assert found(gateway, "http.host=some.test", "http.type=text/plain") == both
    assert "s3cret" not in json.dumps([sorted(map(str, values)) for values in facts(gateway).values()])
    totals = json.loads(gateway.command("stats", "--totals", "--by", "protocol", "--json").stdout.splitlines()[0])
    assert totals, totals


def test_of_a_session_that_stays_open(gateways, web):
    """Every few seconds, on from where it was; and completely when it closes."""
    gateway = started(gateways, web)
    with Client(gateway.listen) as client:
        client.ask("/ok")
        wait_found(gateway, 1, "http.status=200", "state=open")
        client.ask("/no")
        wait_found(gateway, 1, "http.status=404", "state=open")
        for _ in range(40):
            client.ask("/made")
        wait_found(gateway, 1, "message.requests=42", "state=open")
        client.ask("/bad")
    wait_found(gateway, 1, "http.status=503", "message.requests=43", "state=closed")
    (session,) = found(gateway)
    told = facts(gateway)
    assert told[session, "message.requests"] == {43}  # those before it are gone
    assert told[session, "message.count"] == {86}
    assert told[session, "http.status"] == {200, 201, 404, 503}


def test_more_values_than_are_kept(gateways, web):
    gateway = started(gateways, web)
    with Client(gateway.listen) as client:
        for number in range(100):
            client.ask(f"/n{number}")
    (session,) = wait_found(gateway, 1, "message.requests=100")
    values = facts(gateway)[session, "http.path"]
    assert len(values) == 65 and "..." in values
    assert found(gateway, "http.path=/n3") == {session}


def test_switched_off(gateways, web):
    gateway = started(gateways, web, options=["--decode", "off"])
    with Client(gateway.listen) as client:
        client.ask("/ok")
    gateway.wait_sessions_closed(1)
    processes.wait_until(lambda: len(gateway.sessions("state=closed")) == 1, 10, "the session")
    time.sleep(2)
    assert not facts(gateway) and not found(gateway, "proto=http")
    status, log = gateway.stop()
    assert status == 0, log
    gateway.command("reindex")
    assert len(found(gateway, "proto=http", "http.path=/ok")) == 1


def test_reindex_finds_the_same(gateways, web):
    gateway = started(gateways, web)
    for number in range(30):
        with Client(gateway.listen) as client:
            for path in random.Random(SEED + number).choices(sorted(STATUS), k=number % 5):
                client.ask(path)
    gateway.wait_sessions_closed(30)
    wait_decoded(gateway, 30)
    status, log = gateway.stop()
    assert status == 0, log
    before, listed = facts(gateway), gateway.sessions()
    os.unlink(f"{gateway.directory}/catalogue.db")
    gateway.command("reindex")
    assert facts(gateway) == before
    assert gateway.sessions() == listed
    check = gateway.command("reindex", "--check", "--json")
    assert json.loads(check.stdout)["different"] == 0


def test_killed_while_it_decodes(scratch, web, require_program):
    """At any moment: the next one goes on, nothing is missing, and nothing stands there twice."""
    seed = random.Random(SEED)
    store = Store(scratch / "rec")
    said = 0
    for _ in range(6):
        with Gateway(scratch / "rec", upstream=web, scratch=scratch) as gateway:
            for _ in range(20):
                with Client(gateway.listen) as client:
                    client.ask(f"/s{said}")
                said += 1
            gateway.wait_sessions_closed(20)
            time.sleep(seed.random() * 1.5)
            gateway.kill()
    with Gateway(scratch / "rec", upstream=web, scratch=scratch) as gateway:
        wait_decoded(gateway, said)
        assert gateway.stop()[0] == 0
    paths = sorted(value for (_, field), values in facts(store).items() if field == "http.path" for value in values)
    assert paths == sorted(f"/s{number}" for number in range(said))


def test_segments_that_go(gateways, web):
    """What is gone before it was decoded is no trouble."""
    gateway = gateways(web, options=["--segment-max-bytes", "64KiB", "--decode", "off"])
    for number in range(300):
        with Client(gateway.listen) as client:
            client.ask(f"/{number}")
    gateway.wait_sessions_closed(300)
    status, log = gateway.stop()
    assert status == 0, log
    copy = f"{gateway.directory}.copy"
    shutil.copytree(gateway.directory, copy)
    store = Store(copy)
    with Gateway(copy, upstream=web) as other:
        other.command("prune", "--max-bytes", "250KiB")
        left = store.sessions()
        assert 0 < len(left) < 300
        wait_decoded(store, len(left))
        assert other.stop()[0] == 0
    assert len(found(store, "proto=http")) >= len(left) - 2  # of one whose beginning has gone nothing is told


def test_a_flood_is_not_in_the_way(gateways, server):
    """Sessions that say nothing that is understood, many at once: the catalogue has them, and all are looked at."""
    gateway = started(gateways, server.address)

    def say(count):
        for _ in range(count):
            with faults.connect(gateway.listen) as client:
                client.sendall(b"\x00\x01\x02")
                assert faults.read_exactly(client, 3) == b"\x00\x01\x02"
    threads = [threading.Thread(target=say, args=(200,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway.wait_sessions_closed(800, seconds=60)
    wait_decoded(gateway, 800)
    assert not found(gateway, "proto=http")


def test_without_a_catalogue(gateways, web, scratch):
    """What is asked for is found by decoding: in a store without a catalogue, in a capture, and where a field has more
    values than are kept."""
    gateway = started(gateways, web)
    with Client(gateway.listen) as client:
        for number in range(100):
            client.ask(f"/n{number}")
    with Client(gateway.listen) as client:
        client.ask("/bad")
    wait_decoded(gateway, 2)
    many, bad = (session.id for session in gateway.sessions())
    assert found(gateway, "http.path=/n99") == {many}  # which is not among those that are kept
    assert found(gateway, "http.path!=/n99") == {bad}
    assert found(gateway, "message.requests=100") == {many}
    assert gateway.stop()[0] == 0
    os.unlink(f"{gateway.directory}/catalogue.db")
    assert found(gateway, "http.path=/n99") == {many} and found(gateway, "http.status=503") == {bad}
    assert found(gateway, "message.requests=1") == {bad}
    for word, protocol in (("http.status=503", "http"), ("proto=http", "http"), (f"id={bad}", None)):
        told = gateway.command("sessions", "--json", word).stdout.splitlines()
        assert json.loads(told[-1])["protocol"] == protocol, word  # of what nobody asked, nobody decodes it
    gateway.command("export", "-o", str(scratch / "all.pcapng"))
    words = ["sessions", "--json", "http.status=503", "--dir", str(scratch / "all.pcapng")]
    told = processes.run([program(), *words], text=True).stdout.splitlines()
    assert [json.loads(line)["id"] for line in told] == [bad]


def test_a_replay_of_what_was_said(gateways, web, scratch):
    """Sessions that are chosen by messages are played and verified, with a catalogue and without."""
    gateway = started(gateways, web)
    for path in ("/ok", "/bad", "/no"):
        with Client(gateway.listen) as client:
            client.ask(path)
    with faults.connect(gateway.listen) as client:
        client.sendall(b"\x00\x01\x02")
    wait_decoded(gateway, 4)
    assert gateway.stop()[0] == 0

    def planned(*words):
        done = gateway.command("replay", *words, "--to", "127.0.0.1:9", "--dry-run", "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]
    for catalogue in (True, False):
        if not catalogue:
            os.unlink(f"{gateway.directory}/catalogue.db")
        assert len(found(gateway, "proto=http")) == 3 and len(found(gateway, "proto!=http")) == 1
        (session,) = found(gateway, "http.status=503")
        plan = json.dumps(planned("proto=http", "http.status=503"))
        assert session in plan and not any(other in plan for other in found(gateway) - {session})
        assert gateway.command("verify", "http.status=503").returncode == 0
