# SPDX-License-Identifier: Apache-2.0
"""Recorded through the gateway, played again against the same server, and looked at there: through a second gateway,
whose recording says how many connections came and what each sent, in which order. At both levels and three speeds."""
import collections
import re
import socket
import struct
import threading
import time

import pytest

import endpoints
import faults
import peers
import processes
import replaying
from gogetway import SIDES, TEST_ALL

SPEEDS = ("1x", "10x", "max")
RUNS = [(level, speed) for level in ("causal", "bytes") for speed in SPEEDS]


@pytest.fixture
def start(scratch):
    """start(function, ...): a server of peers.py or replaying.Server, ended with the test."""
    started = []

    def begin(function, *arguments):
        place = scratch / f"server-{len(started)}"
        place.mkdir(mode=0o755)
        started.append(function(place, *arguments))
        return started[-1]
    yield begin
    for process in reversed(started):
        process.stop(15)


# ---- The check -------------------------------------------------------------------------------------------------------
def check_order(before, after, name):
    """No dependent byte of the client came to the server before the reply that it had followed. Both: chunks()."""
    sent = []  # (first offset, offset behind, bytes of the server before it) as it was played
    served = 0
    for side, offset, length in after:
        if side == "server":
            served += length
        elif length:
            sent.append((offset, offset + length, served))
    needed, fresh = 0, False
    for side, offset, length in before:
        if side == "server":
            needed, fresh = needed + length, True
        elif length and fresh:
            fresh = False
            had = next((served for first, behind, served in sent if first <= offset < behind), None)
            if had is None or had < needed:
                yield f"{name}: byte {offset} was sent after {had} bytes of the server, recorded: after {needed}"


def check_played(recorded, target, runs, same_replies=True):
    """`runs`: [(name, Played)] in order, all through the gateway `target`, which has stopped."""
    originals, streams = recorded.payloads(), target.payloads()
    by_client = collections.defaultdict(list)
    sessions = target.sessions()
    for session in sorted(sessions, key=lambda session: session.id):
        by_client[session.client].append(session)
    problems = []
    wanted = sum(len(played.sessions) for _, played in runs)
    if len(sessions) != wanted:
        problems.append(f"{len(sessions)} connections came, {wanted} were recorded and played")
    for name, played in runs:
        if sorted(row["id"] for row in played.sessions) != sorted(originals):
            problems.append(f"{name}: not every session was played once")
        for number, row in enumerate(played.sessions):
            which = f"{name}, {row['id']} from {row['local']}"
            found = by_client.get(row["local"])
            if not found:
                problems.append(f"{which}: the server never saw it")
                continue
            session = found.pop(0)
            for side in SIDES if same_replies else ("client",):
                if streams[session.id][side] != originals[row["id"]][side]:
                    problems.append(f"{which}: from the {side} {streams[session.id][side].count} bytes, recorded "
                                    f"{originals[row['id']][side].count}, or other ones")
            if name.startswith("causal") and number < 3:
                problems += check_order(replaying.chunks(recorded, row["id"]), replaying.chunks(target, session.id),
                                        which)
    return problems


def play_all(gateways, server, scratch, recorded, fresh=lambda: None, statuses=(0,), same_replies=True):
    """Every level and speed through one more gateway; returns the runs after checking what must hold for all."""
    target = gateways(server.address, options=replaying.FAST_FLUSH)
    runs = []
    for level, speed in RUNS:
        fresh()
        played = replaying.replay(recorded.directory, target.listen, scratch, "--level", level, "--speed", speed)
        assert played.status in statuses, f"{level} {speed}: {played.explain()}"
        least_ns = played.report["plan"]["duration_ns"]
        if level == "causal":  # what comes after a reply comes sooner if the reply does
            factor = {"1x": 1, "10x": 0.1, "max": 0}[speed]
            least_ns -= factor * max(replaying.waits_ns(recorded, row["id"]) for row in played.sessions)
        assert played.outcome["elapsed_ns"] >= 0.9 * least_ns, f"{level} {speed}: too quick"
        runs.append((f"{level} {speed}", played))
    status, log = target.stop()
    assert status == 0, log
    problems = check_played(recorded, target, runs, same_replies)
    assert not problems, endpoints.show(problems)
    return runs, target


def all_equal(runs, count):
    for name, played in runs:
        assert played.verdicts == {"equal": count}, f"{name}: {played.explain()}"
        assert played.outcome["connections_made"] == count and not played.outcome["partial"]
        for row in played.sessions:
            assert row["chunks_unsent"] == 0 and row["timeouts"] == 0, f"{name}: {row}"


def releases(runs):
    """What released chunks in the causal runs."""
    total = collections.Counter()
    for name, played in runs:
        if name.startswith("causal"):
            total.update(played.outcome["released"])
    return +total


# ---- Redis, memcached ------------------------------------------------------------------------------------------------
def redis_cli(server, *words):
    processes.run(["redis-cli", "-h", server.host, "-p", server.port, *words])


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark(start, gateways, scratch, pipeline):
    server = start(peers.redis)

    def fresh():
        redis_cli(server, "FLUSHALL")
        redis_cli(server, "SET", "key:__rand_int__", "VXK")

    def client(tests, connections):
        def run(address):
            host, port = address.split(":")
            processes.run(["redis-benchmark", "-h", host, "-p", port, "-t", tests, "-n", 160, "-c", connections, "-P",
                           pipeline, "-q"])
        return run
    fresh()
    # What is asked of several connections has one answer whatever comes first; only one connection counts.
    recorded = replaying.record(gateways, server.address, [client("ping_inline,ping_mbulk,set,get", 4),
                                                           client("incr", 1)])
    count = len(recorded.sessions())
    assert count >= 4 * 4 + 1
    runs, _ = play_all(gateways, server, scratch, recorded, fresh)
    all_equal(runs, count)
    print("released by:", dict(releases(runs)))


def talk_memcached(name):
    def client(address):
        with faults.connect(address) as sock:
            replaying.ask(sock, b"version\r\n", b"\r\n")
            for number in range(8):
                value = b"%s-%d-" % (name, number) * (number * number + 1)
                replaying.ask(sock, b"set %s.%d 7 0 %d\r\n%s\r\n" % (name, number, len(value), value), b"STORED\r\n")
                replaying.ask(sock, b"get %s.%d none\r\n" % (name, number), b"END\r\n")
            replaying.ask(sock, b"set %s.n 0 0 2\r\n10\r\nincr %s.n 5\r\ndelete %s.n\r\n" % (name, name, name),
                          b"DELETED\r\n")
    return client


def test_memcached(start, gateways, scratch):
    server = start(peers.memcached)

    def fresh():
        with faults.connect(server.address) as sock:
            replaying.ask(sock, b"flush_all\r\n", b"OK\r\n")
    recorded = replaying.record(gateways, server.address, [talk_memcached(b"client%d" % n) for n in range(5)])
    runs, _ = play_all(gateways, server, scratch, recorded, fresh)
    all_equal(runs, 5)


# ---- HTTP ------------------------------------------------------------------------------------------------------------
def test_http_keep_alive_at_a_deterministic_server(start, gateways, scratch):
    server = start(replaying.Server, "http")
    recorded = replaying.record(gateways, server.address, [replaying.talk_http([1, 5000, 0, 70000, 12, n])
                                                           for n in range(6)])
    runs, _ = play_all(gateways, server, scratch, recorded)
    all_equal(runs, 6)


def test_http_keep_alive_at_nginx_differs_in_the_date_only(start, gateways, scratch):
    site = scratch / "site"
    site.mkdir(mode=0o755)
    for name, size in (("small", 1000), ("page", 20_000), ("middle", 100_000)):
        peers.random_file(site / name, size, seed=size)
    server = start(peers.nginx, site)

    def client(address):
        urls = [word for name in ("small", "middle", "page", "small", "absent") for word in
                ("-o", "/dev/null", f"http://{address}/{name}")]
        processes.run(["curl", "-sS", "--max-time", "30", *urls])
    recorded = replaying.record(gateways, server.address, [client] * 4)
    originals = {session.id: recorded.payload(session.id, "server") for session in recorded.sessions()}
    assert len(originals) == 4 and all(data.count(b"HTTP/1.1 ") == 5 for data in originals.values())
    runs, target = play_all(gateways, server, scratch, recorded, statuses=(0, 1), same_replies=False)

    def undated(data):
        return re.sub(rb"\r\nDate: [^\r]*\r\n", b"\r\nDate:\r\n", data)
    wanted = collections.Counter(undated(data) for data in originals.values())
    got = collections.Counter(undated((target.payload(session.id, "server"))) for session in target.sessions())
    assert got == {data: count * len(runs) for data, count in wanted.items()}
    for name, played in runs:
        for row in played.different():
            difference = row["difference"]
            assert difference["kind"] == "bytes", f"{name}: {row}"
            dates = [match.span() for match in re.finditer(rb"\r\nDate: [^\r]*\r\n", originals[row["id"]])]
            assert any(first <= difference["offset"] < end for first, end in dates), f"{name}: {row}"


# ---- Lines, mail, binary ---------------------------------------------------------------------------------------------
def test_a_service_of_lines(start, gateways, scratch):
    server = start(replaying.Server, "vault")
    games = [[b"help", b"say sesame", b"say open", b"list", b"say now", b"quit"],
             [b"say a", b"what", b"say b", b"say c"], [b"list", b"quit"], [b"help"] * 7]
    recorded = replaying.record(gateways, server.address, [replaying.talk_vault(words) for words in games])
    runs, _ = play_all(gateways, server, scratch, recorded)
    all_equal(runs, len(games))
    found = releases(runs)
    assert found["terminator"] > 0 and not found["timeout"], found


def test_smtp_where_the_server_speaks_first(start, gateways, scratch):
    server = start(replaying.Server, "smtp")
    recorded = replaying.record(gateways, server.address, [replaying.talk_smtp(lines) for lines in (0, 3, 20)])
    runs, _ = play_all(gateways, server, scratch, recorded)
    all_equal(runs, 3)
    assert releases(runs)["terminator"] > 0


def test_binary_records(start, gateways, scratch):
    server = start(replaying.Server, "records")
    bodies = [bytes([number]) * size for number, size in enumerate((0, 1, 3, 700, 65536, 5, 30000, 2))]
    recorded = replaying.record(gateways, server.address, [replaying.talk_records(b"client %d" % number, bodies)
                                                           for number in range(4)])
    runs, _ = play_all(gateways, server, scratch, recorded)
    all_equal(runs, 4)


# ---- How sessions begin and end --------------------------------------------------------------------------------------
def test_half_closes_resets_and_silent_sessions_are_played_too(start, gateways, scratch):
    """What a client did without a word: ended its side early, reset, only connected; the server sees it again."""
    def half_close(address):
        with faults.connect(address) as sock:
            sock.sendall(b"all that I say")
            sock.shutdown(socket.SHUT_WR)
            assert faults.read_to_end(sock) == (b"all that I say", False)

    def reset(address):
        sock = faults.connect(address)
        sock.sendall(b"and away")
        faults.read_exactly(sock, 8)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def nothing(address):
        faults.connect(address).close()
    with faults.echo_process(scratch) as address:
        recorded = replaying.record(gateways, address, [half_close, reset, nothing])
        assert len(recorded.sessions()) == 3
        target = gateways(address, options=replaying.FAST_FLUSH)
        runs = []
        for level, speed in RUNS:
            played = replaying.replay(recorded.directory, target.listen, scratch, "--level", level, "--speed", speed)
            assert played.status == 0, f"{level} {speed}: {played.explain()}"
            runs.append((f"{level} {speed}", played))
        assert target.stop()[0] == 0
    all_equal(runs, 3)
    assert not check_played(recorded, target, runs)
    closes = collections.Counter(session["close"] for session in recorded.sessions())
    assert collections.Counter(session["close"] for session in target.sessions()) == {
        close: count * len(runs) for close, count in closes.items()}


def test_a_server_that_no_longer_hears_the_client_out_is_not_equal(gateways, scratch):
    """It says all that it said and ends, as it did; but what it read then goes into a reset now."""
    def client(address):
        with faults.connect(address) as sock:
            assert faults.read_exactly(sock, 3) == b"hi\n"
            time.sleep(0.3)  # the recorded think time, long enough for the end to come first
            sock.sendall(b"a line\n")
            sock.shutdown(socket.SHUT_WR)
            assert faults.read_to_end(sock) == (b"", False)

    def serve(server, hears):
        with server.accept() as sock:
            sock.sendall(b"hi\n")
            if hears:
                assert faults.read_to_end(sock) == (b"a line\n", False)
    with faults.Upstream() as server:
        thread = threading.Thread(target=serve, args=(server, True))
        thread.start()
        recorded = replaying.record(gateways, server.address, [client])
        thread.join(20)
        for hears, level, verdict in ((True, "causal", "equal"), (False, "causal", "different"),
                                      (True, "bytes", "equal"), (False, "bytes", "different")):
            thread = threading.Thread(target=serve, args=(server, hears))
            thread.start()
            played = replaying.replay(recorded.directory, server.address, scratch, "--level", level, "--allow-original")
            thread.join(20)
            assert played.verdicts == {verdict: 1}, f"{level}: {played.explain()}"
            if not hears:
                assert played.sessions[0]["difference"]["kind"] == "closed", played.explain()
                assert played.outcome["closed_early"] == 1


# ---- Anything --------------------------------------------------------------------------------------------------------
def test_random_sessions_at_a_server_that_knows_what_must_come(gateways, scratch):
    """Hundreds of random sessions at once, of all sizes, with half-closes and pauses, where both ends speak as they
    like. The server's half of the generator knows every byte that has to come, and says what came."""
    count, seed = (2000, 7) if TEST_ALL else (300, 5)
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=replaying.FAST_FLUSH)
    endpoints.Endpoints(scratch, seed, count, gateway.listen, upstream, deadline=60, concurrency=64, reset_percent=0
                        ).start().finish(100)
    assert gateway.stop()[0] == 0
    assert len(gateway.sessions()) == count
    for level, speed in RUNS:
        live = processes.address("127.0.0.1", processes.free_port())
        server = endpoints.Endpoints(scratch, seed, count, listen=live, deadline=60, reset_percent=0).start()
        played = replaying.replay(gateway.directory, live, scratch, "--level", level, "--speed", speed)
        name = f"{level} {speed}"
        assert played.outcome["connections_made"] == count, f"{name}: {played.explain()}"
        # It ends by itself; those that said nothing have no index.
        halves = [session for session in server.finish(30).sessions if session["server"]]
        assert len(halves) >= 0.9 * count, f"{name}: {server.process.output()[-300:]}"
        assert played.status == 0 and not played.different(), f"{name}: {played.explain()}"
        wrong = [f"{name}: session {session['index']}: another byte came at {session['server']['first_difference']}"
                 for session in halves if session["server"]["first_difference"] is not None]
        whole = sum(session["server"]["received"] == session["client_bytes"] for session in halves)
        if whole < len(halves):
            wrong.append(f"{name}: {whole} of {len(halves)} sessions came whole")
        assert not wrong, endpoints.show(wrong)
