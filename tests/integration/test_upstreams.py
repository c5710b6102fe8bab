# SPDX-License-Identifier: Apache-2.0
"""Lists of upstreams: shares, stability, and what happens when some of them refuse, hang, come back or are drained."""
import collections
import contextlib
import re
import socket
import threading
import time

import pytest

import faults
import live
import processes
from upstream_lists import (HangingServer, HidingServer, ask, events, gauges, open_one, seconds_of, states,
                            upstreams_of, wait_state)

ONE_WORKER = ["--workers", "1"]  # turns are each worker's own: with one they are exact


def test_turns_are_shares_by_weight(gateways, servers):
    a, b, c = servers("a", "b", "c")
    first, others = upstreams_of(f"{a.address} weight=3 name=a", f"{b.address} name=b", f"{c.address} weight=2 name=c")
    gateway = gateways(first, options=ONE_WORKER + others)
    count = collections.Counter(ask(gateway) for _ in range(60))
    assert count == {"a": 30, "b": 10, "c": 20}
    assert {name: entry["weight"] for name, entry in states(gateway).items()} == {"a": 3, "b": 1, "c": 2}


def test_the_table_shows_long_names_whole(gateways, servers):
    a, = servers("a")
    name = "a-name-that-is-longer-than-48-bytes-and-is-shown-as-it-is"
    gateway = gateways(f"{a.address} name={name}", options=ONE_WORKER)
    head, line = gateway.command("upstreams").stdout.decode().splitlines()
    assert line.split()[1:3] == [name, a.address] and line.index(a.address) == head.index("ADDRESS")


def test_the_fewest_open_sessions(gateways, servers):
    a, b = servers("a", "b", hold=True)
    first, others = upstreams_of(f"{a.address} weight=2 name=a", f"{b.address} name=b")
    gateway = gateways(first, options=[*others, "--balance", "least-sessions"])  # over all workers
    with contextlib.ExitStack() as stack:
        opened = [open_one(gateway) for _ in range(9)]
        for client, _ in opened:
            stack.enter_context(client)
        assert collections.Counter(name for _, name in opened) == {"a": 6, "b": 3}
        assert {name: entry["sessions"] for name, entry in states(gateway).items()} == {"a": 6, "b": 3}
        for client, name in opened:
            if name == "a":
                client.close()
        processes.wait_until(lambda: states(gateway)["a"]["sessions"] == 0, 5, "a has no session")
        more = [open_one(gateway) for _ in range(4)]
        for client, _ in more:
            stack.enter_context(client)
        assert [name for _, name in more] == ["a"] * 4


@pytest.mark.parametrize("way", ["refuses", "drained", "removed"])
def test_hash_is_stable_when_one_leaves_and_comes_back(configured, servers, way):
    """While one is away its own clients go elsewhere, nobody else moves, and then all are where they were."""
    a, b, c = servers("a", "b", "c")
    words = [f"{server.address} name={server.name}" for server in (a, b, c)]

    def change(refuse, drain, *listed):
        if way == "refuses":
            refuse()
        elif way == "drained":
            configured.command("upstreams", drain, "b")
        else:
            web(configured, *listed, balance="hash", health_out="300ms")
            assert configured.reload()[0] == 0
    web(configured, *words, balance="hash", health_out="300ms")
    configured.start()
    clients = [f"127.0.{1 + number // 100}.{1 + number % 100}" for number in range(150)]
    before = {client: ask(configured, client) for client in clients}
    assert before == {client: ask(configured, client) for client in clients}
    shares = collections.Counter(before.values())
    assert set(shares) == {"a", "b", "c"} and min(shares.values()) > 25  # 50 each, five standard deviations: 29
    change(b.stop, "drain", words[0], words[2])
    away = {client: ask(configured, client) for client in clients}
    assert "b" not in away.values() and "" not in away.values()
    moved = [client for client in clients if away[client] != before[client]]
    assert len(moved) == shares["b"] and all(before[client] == "b" for client in moved)
    assert {away[client] for client in moved} == {"a", "c"}
    change(b.start, "resume", words[2], words[1], words[0])  # the order in the list says nothing
    lost = moved[0]
    processes.wait_until(lambda: ask(configured, lost) == "b", 10, "its client is at b again", interval=0.05)
    assert before == {client: ask(configured, client) for client in clients}


def test_hash_moves_only_to_one_that_is_new_or_heavier(configured, servers):
    """A third one takes a third of the clients, and with four times the weight of the others two thirds; nobody goes
    from one of those that stayed as they were to another."""
    a, b, c = servers("a", "b", "c")
    old = [f"{a.address} name=a", f"{b.address} name=b"]
    web(configured, *old, balance="hash")
    configured.start()
    clients = [f"127.0.{1 + number // 100}.{1 + number % 100}" for number in range(150)]
    before = {client: ask(configured, client) for client in clients}
    for weight, least, most in ((1, 25, 75), (4, 75, 125)):  # 50 and 100 of 150, more than four standard deviations
        web(configured, *old, f"{c.address} name=c weight={weight}", balance="hash")
        assert configured.reload()[0] == 0
        after = {client: ask(configured, client) for client in clients}
        assert {after[client] for client in clients if after[client] != before[client]} == {"c"}
        assert least < list(after.values()).count("c") < most
        before = after


def test_one_that_refuses_is_out_for_growing_times_and_comes_back(gateways, servers):
    """200 ms, 400 ms, 800 ms and not longer; no client notices; and when it answers again it gets its share."""
    a, b = servers("a", "b")
    b.stop()
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--health-out", "200ms", "--health-out-max", "800ms"])
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert ask(gateway) == "a"
        time.sleep(0.005)
    out = events(gateway, "upstream is out", "b")
    assert out[0]["failures"] == 3 and out[0]["reason"] == "connect-refused"
    times = [line["seconds"] for line in out]
    assert times[:4] == [0.2, 0.4, 0.8, 0.8] and set(times[4:]) <= {0.8}
    for line, following in zip(out, out[1:]):
        gap = seconds_of(following) - seconds_of(line)
        assert line["seconds"] - 0.002 <= gap < line["seconds"] + 0.5, (line, following)  # each trial at its time
    assert states(gateway)["b"]["state"] == "out" and states(gateway)["b"]["failures"] == 3 + len(out) - 1
    b.start()
    processes.wait_until(lambda: ask(gateway) == "b", 5, "b is back")
    assert len(events(gateway, "upstream is back", "b")) == 1
    assert collections.Counter(ask(gateway) for _ in range(40)) == {"a": 20, "b": 20}
    # The growing has ended: the next time begins with the shortest.
    b.stop()
    processes.wait_until(lambda: ask(gateway) == "a" and states(gateway)["b"]["state"] == "out", 5, "b is out")
    assert events(gateway, "upstream is out", "b")[-1]["seconds"] == 0.2


def test_one_that_hangs_is_out_and_nobody_sees_an_error(gateways, servers, silent):
    a, = servers("a")
    first, others = upstreams_of(f"{silent} name=silent", f"{a.address} name=a")
    gateway = gateways(first, options=ONE_WORKER + others + ["--timeouts-connect", "300ms", "--health-out", "1m"])
    begun = time.monotonic()
    assert [ask(gateway) for _ in range(12)] == ["a"] * 12
    assert time.monotonic() - begun < 3  # three waited 300 ms
    out, = events(gateway, "upstream is out", "silent")
    assert out["reason"] == "connect-timeout" and out["seconds"] == 60
    begun = time.monotonic()
    assert [ask(gateway) for _ in range(10)] == ["a"] * 10
    assert time.monotonic() - begun < 0.3 * 3
    stats = gateway.stats()["metrics"]
    assert stats["connects_timed_out"] == 3 and stats["sessions_closed"] >= 21


@pytest.mark.parametrize("way", ["refuses", "hangs"])
def test_many_clients_while_one_flaps(gateways, servers, scratch, way):
    """Two workers, eight clients at a time: as long as one upstream is healthy every one of them is served."""
    a, = servers("a")
    b = HidingServer("b", scratch / "b.sock") if way == "refuses" else HangingServer("b").start()
    leave, come_back = (b.hide, b.show) if way == "refuses" else (b.hang, b.answer)
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=["--workers", "2", *others, "--health-out", "50ms", "--health-out-max", "100ms",
                                       "--timeouts-connect", "50ms"])
    wrong, served, ending = [], collections.Counter(), threading.Event()

    def client():
        while not ending.is_set():
            try:
                name = ask(gateway)
            except OSError as error:
                wrong.append(repr(error))
                return
            served[name] += 1
            if name not in ("a", "b"):
                wrong.append(name)
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        leave()
        time.sleep(0.25)
        come_back()
        time.sleep(0.25)
    ending.set()
    for thread in threads:
        thread.join()
    b.stop()
    assert not wrong and served["a"] > 20 and served["b"] > 20, (wrong, served)
    assert events(gateway, "upstream is out", "b") and events(gateway, "upstream is back", "b")


def test_backup_only_when_no_other_is_left(gateways, servers):
    a, b, spare = servers("a", "b", "spare")
    first, others = upstreams_of(f"{spare.address} name=spare backup", f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--health-out", "200ms"])
    assert collections.Counter(ask(gateway) for _ in range(20)) == {"a": 10, "b": 10}
    a.stop()
    assert {ask(gateway) for _ in range(10)} == {"b"}
    b.stop()
    assert {ask(gateway) for _ in range(10)} == {"spare"}
    a.start()
    processes.wait_until(lambda: ask(gateway) == "a", 5, "a is back")
    assert {ask(gateway) for _ in range(10)} == {"a"}


def test_draining_by_name(gateways, servers):
    a, b = servers("a", "b", hold=True)
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--name", "web", "--on-connect-failure", "close"])
    client, name = open_one(gateway)
    with client:
        assert name == "a"
        gateway.command("upstreams", "drain", "a", "--listener", "web")
        assert len(events(gateway, "upstream is drained", "a")) == 1
        assert states(gateway)["a"]["state"] == "drained" and states(gateway)["a"]["sessions"] == 1
        for _ in range(4):
            other, name = open_one(gateway)
            other.close()
            assert name == "b"
        gateway.command("upstreams", "drain", "b")
        assert ask(gateway) == ""
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert a.received == [b"still here"]
    gateway.command("upstreams", "resume", "a")
    assert len(events(gateway, "upstream is not drained any more", "a")) == 1
    other, name = open_one(gateway)
    other.close()
    assert name == "a"
    table = gateway.command("upstreams").stdout.decode()
    assert re.search(rf"web +b +{re.escape(b.address)} +drained ", table), table
    for words in (["drain", "x"], ["drain", "a", "--listener", "x"], ["resume", "x"]):
        assert gateway.command("upstreams", *words, check=False).returncode == 3
    for words in (["drain"], ["dry", "a"], ["drain", "a", "b"], ["--listener", "web"]):
        assert gateway.command("upstreams", *words, check=False).returncode == 2
    gateway.stop()
    closes = collections.Counter(session["close"] for session in gateway.sessions())
    assert closes["unavailable"] == 1


def test_slow_start(gateways, servers):
    a, b = servers("a", "b")
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--name", "web", "--slow-start", "4s", "--health-out",
                                                            "100ms"])
    b.stop()
    processes.wait_until(lambda: ask(gateway) == "a" and states(gateway)["b"]["state"] == "out", 5, "b is out")
    b.start()
    begun = time.monotonic()  # it is not back before that
    while ask(gateway) != "b":
        begun = time.monotonic()
    back, = events(gateway, "upstream is back", "b")
    assert back["slow_start_seconds"] == 4
    assert states(gateway)["b"]["state"] == "slow_start"
    early = collections.Counter()
    while time.monotonic() - begun < 0.8:
        early[ask(gateway)] += 1
    # Its weight was below a fifth of the other's all the time, so it got less than a sixth, give or take a turn.
    assert sum(early.values()) > 5 and early["b"] <= sum(early.values()) / 6 + 1, early
    parts = [0]  # as the metric says it, and the list, in turn
    while parts[-1] < 1 and time.monotonic() - begun < 60:
        for tell in (lambda: gauges(gateway)["weight_ratio"], lambda: {"b": states(gateway)["b"]["weight_ratio"]}):
            parts.append(tell()["b"])
            assert 4 * parts[-1] <= time.monotonic() - begun
        table = gateway.command("upstreams").stdout.decode()
        assert re.search(r"slow_start +- +1 +\d+%|up +- +1 +100%", table.splitlines()[2]), table
    assert parts[1] > 0 and parts[-1] == 1 and parts == sorted(parts) and 0 < parts[2] < 1, parts
    assert gauges(gateway)["weight_ratio"] == {"a": 1, "b": 1} and gauges(gateway)["weight"] == {"a": 1, "b": 1}
    assert states(gateway)["b"]["state"] == "up" and time.monotonic() - begun >= 4
    assert collections.Counter(ask(gateway) for _ in range(40)) == {"a": 20, "b": 20}


def test_the_active_check(gateways, servers):
    """It finds out without any session, both ways, and is not a session itself."""
    a, b = servers("a", "b")
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=[*others, "--check-interval", "50ms", "--health-out", "1h", "--health-out-max",
                                       "1h"])
    assert {entry["state"] for entry in states(gateway).values()} == {"up"}
    b.stop()
    wait_state(gateway, "b", "out", 3)
    assert {ask(gateway) for _ in range(10)} == {"a"}
    assert gateway.stats()["metrics"]["connects_refused"] == 0
    b.start()
    wait_state(gateway, "b", "up", 3)
    assert {ask(gateway) for _ in range(10)} == {"a", "b"}
    gateway.stop()
    assert len(gateway.sessions()) == 20


def test_the_active_check_times_out(gateways, servers):
    """No session waits for one that hangs; and it is back with the first check that it answers, whatever its time."""
    a, = servers("a")
    with contextlib.closing(HangingServer("b").start()) as b:
        b.hang()
        first, others = upstreams_of(f"{b.address} name=b", f"{a.address} name=a")
        gateway = gateways(first, options=[*others, "--check-interval", "50ms", "--check-timeout", "100ms",
                                           "--health-out", "1h", "--health-out-max", "1h"])
        wait_state(gateway, "b", "out", 5)
        assert {ask(gateway) for _ in range(10)} == {"a"} and gateway.stats()["metrics"]["connects_timed_out"] == 0
        assert events(gateway, "upstream is out", "b")[0]["reason"] == "connect-timeout"
        b.answer()
        wait_state(gateway, "b", "up", 5)
        assert {ask(gateway) for _ in range(10)} == {"a", "b"}


def test_all_are_down(gateways, servers):
    """Then the client is told, the recording says who was tried, and the first that is back serves at once, though both
    are out for an hour."""
    a, b = servers("a", "b")
    a.stop()
    b.stop()
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--health-out", "1h", "--health-out-max", "1h"])
    for _ in range(5):
        data, was_reset = faults.attempt(gateway.listen, b"anybody?")
        assert data == b"" and was_reset
    assert {entry["state"] for entry in states(gateway).values()} == {"out"}
    b.start()
    assert ask(gateway) == "b"
    gateway.stop()
    sessions = gateway.sessions()
    assert [session["close"] for session in sessions[:5]] == ["connect-refused"] * 5
    tried = gateway.tried()
    assert len(tried) in (5, 6) and all({entry["upstream"] for entry in found} == {"a", "b"} for _, found in tried[:5])
    assert sessions[5]["upstream"] == b.address


def test_as_many_tries_as_configured(gateways, servers):
    a, b = servers("a", "b")
    a.stop()
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--connect-tries", "1", "--health-failures", "0"])
    answers = collections.Counter(ask(gateway) for _ in range(10))
    assert answers == {"": 5, "b": 5}
    assert states(gateway)["a"]["state"] == "up"


def test_each_attempt_has_its_own_proxy_header(gateways, servers):
    dead, b = servers("dead", "b", hold=True)
    dead.stop()
    first, others = upstreams_of(f"{dead.address} name=dead", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--proxy-protocol-out", "v1"])
    client, name = open_one(gateway)
    with client:
        assert name == "b"
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    processes.wait_until(lambda: b.received, 5, "b has read it")
    assert re.fullmatch(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nhello", b.received[0])


def test_metrics_tell_the_states(gateways, servers):
    a, b = servers("a", "b")
    b.stop()
    first, others = upstreams_of(f"{a.address} name=a", f"{b.address} name=b")
    gateway = gateways(first, options=ONE_WORKER + others + ["--name", "web", "--health-out", "1h", "--health-out-max",
                                                            "1h"])
    while states(gateway)["b"]["state"] != "out":
        assert ask(gateway) == "a"
    gateway.command("upstreams", "drain", "a")
    assert gauges(gateway) == {"up": {"a": 0, "b": 0}, "out": {"a": 0, "b": 1}, "drained": {"a": 1, "b": 0},
                               "outs_total": {"a": 0, "b": 1}, "weight": {"a": 1, "b": 1},
                               "weight_ratio": {"a": 0, "b": 0}}


@pytest.fixture
def configured(scratch, require_program):
    with live.Configured(scratch) as gateway:
        gateway.listen = processes.address("127.0.0.1", processes.free_port())
        yield gateway


def web(gateway, *upstreams, **more):
    """A configuration: one listener with these upstreams."""
    gateway.write({"name": "web", "listen": gateway.listen, "upstream": list(upstreams), "health_out": "1h",
                   "health_out_max": "1h", **more}, workers=1)


def test_a_reload_keeps_what_is_known(configured, servers):
    """Out, drained, open sessions: by name. One that is gone keeps its sessions; one at another address its state."""
    a, b, c = servers("a", "b", "c", hold=True)
    d, = servers("d")
    b.stop()
    web(configured, f"{a.address} name=a", f"{b.address} name=b", f"{c.address} name=c")
    configured.start()
    client, name = open_one(configured)
    with client:
        assert name == "a"
        while states(configured)["b"]["state"] != "out":
            open_one(configured)[0].close()
        configured.command("upstreams", "drain", "c")
        web(configured, f"{b.address} name=b weight=9", f"{d.address} name=c", f"{d.address} name=d", balance="hash")
        status, reply = configured.reload()
        assert status == 0 and reply["ok"], reply
        told = states(configured)
        assert set(told) == {"b", "c", "d"}
        assert told["b"]["state"] == "out" and told["b"]["weight"] == 9 and told["b"]["back_in_ns"] > 3000 * 10 ** 9
        assert told["c"]["state"] == "drained" and told["c"]["address"] == d.address
        assert told["d"]["state"] == "up" and {ask(configured) for _ in range(5)} == {"d"}
        web(configured, f"{a.address} name=a")
        assert configured.reload()[0] == 0
        client.sendall(b"over two reloads")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    processes.wait_until(lambda: b"over two reloads" in a.received, 5, "a has read it")
    assert states(configured)["a"]["state"] == "up"


def test_a_listener_that_moves_keeps_what_is_known(configured, servers):
    """To another port, then to another name, with sessions that are of the list before. Gauges tell of the new one."""
    a, b, c = servers("a", "b", "c", hold=True)
    b.stop()
    names = [f"{a.address} name=a", f"{b.address} name=b", f"{c.address} name=c"]
    web(configured, *names)
    configured.start()
    while states(configured)["b"]["state"] != "out":
        open_one(configured)[0].close()
    configured.command("upstreams", "drain", "c")
    with contextlib.ExitStack() as stack:
        for name in ("web", "site"):
            stack.enter_context(open_one(configured)[0])
            if name == "web":
                configured.listen = processes.address("127.0.0.1", processes.free_port())
            web(configured, *names, name=name)
            assert configured.reload()[0] == 0
            assert {key: entry["state"] for key, entry in states(configured).items()} == {
                "a": "up", "b": "out", "c": "drained"}
            told = gauges(configured, name)
            assert told["up"] == {"a": 1, "b": 0, "c": 0}
            assert told["out"] == {"a": 0, "b": 1, "c": 0} and told["drained"] == {"a": 0, "b": 0, "c": 1}
        told = gauges(configured, "site")
        assert told["weight_ratio"] == {"a": 1, "b": 0, "c": 0} and told["weight"] == {"a": 1, "b": 1, "c": 1}
        before = gauges(configured, "web")
        assert set(before["up"]) == {"a", "b", "c"}
        assert not any(sum(told.values()) for what, told in before.items() if what != "outs_total")


def test_a_reload_that_turns_health_off(configured, servers):
    """Who is out comes back with it: metrics, list, log and what sessions do agree; and it is not taken out again."""
    a, = servers("a")
    with contextlib.closing(HangingServer("b").start()) as b:
        words = [f"{a.address} name=a", f"{b.address} name=b"]
        b.hang()
        web(configured, *words)
        configured.start("--timeouts-connect", "500ms")

        def eight():
            clients = [faults.connect(configured.listen) for _ in range(8)]
            for client in clients:
                with client:
                    assert client.recv(10) == b"a"
        eight()
        assert states(configured)["b"]["state"] == "out" and gauges(configured)["out"] == {"a": 0, "b": 1}
        web(configured, *words, health_failures=0)
        assert configured.reload()[0] == 0
        back, = events(configured, "upstream is back", "b")
        assert back["reason"] == "health_failures is 0 now"

        def agree():
            told = gauges(configured)
            assert told["up"] == {"a": 1, "b": 1} and told["out"] == {"a": 0, "b": 0}
            assert told["outs_total"] == {"a": 0, "b": 1} and told["weight_ratio"] == {"a": 1, "b": 1}
            assert {name: entry["state"] for name, entry in states(configured).items()} == {"a": "up", "b": "up"}
        agree()
        failures = states(configured)["b"]["failures"]
        assert failures >= 3
        eight()
        assert states(configured)["b"]["failures"] == failures + 4  # each second of them tried it
        agree()
        b.answer()
        assert collections.Counter(ask(configured) for _ in range(10)) == {"a": 5, "b": 5}
        assert states(configured)["b"]["failures"] == 0
        agree()
        assert len(events(configured, "upstream is out", "b")) == len(events(configured, "upstream is back", "b")) == 1


def by_listener(configured):
    """(listener, name) -> what the list says"""
    return {(entry["listener"], entry["name"]): entry for entry in configured.ask("upstreams")["upstreams"]}


def test_two_listeners_with_the_same_list(configured, servers):
    """Each counts its own sessions, over a reload too, and finds out by itself who is out."""
    a, b, c = servers("a", "b", "c", hold=True)
    other = processes.address("127.0.0.1", processes.free_port())

    def write(*listed):
        each = {"upstream": [f"{server.address} name={server.name}" for server in listed], "health_out": "1h",
                "health_out_max": "1h", "balance": "least-sessions"}
        configured.write({"name": "web", "listen": configured.listen, **each},
                         {"name": "site", "listen": other, **each}, workers=2)
    write(a, b)
    configured.start()
    web_at, opened = configured.listen, []
    with contextlib.ExitStack() as stack:
        def opens(address, count):
            found = []
            for _ in range(count):
                client = stack.enter_context(faults.connect(address))
                found.append(client.recv(10).decode())
                opened.append((client, found[-1]))
            return collections.Counter(found)

        def sessions():
            return {key: entry["sessions"] for key, entry in by_listener(configured).items()}
        assert opens(web_at, 8) == {"a": 4, "b": 4}
        for client, name in opened:
            if name == "b":
                client.close()
        processes.wait_until(lambda: sessions()["web", "b"] == 0, 5, "b has no session")
        assert opens(other, 4) == {"a": 2, "b": 2}  # that a has four of the other's is nothing to it
        assert sessions() == {("web", "a"): 4, ("web", "b"): 0, ("site", "a"): 2, ("site", "b"): 2}
        assert opens(web_at, 4) == {"b": 4}
        write(a, b, c)
        assert configured.reload()[0] == 0
        assert opens(web_at, 4) == {"c": 4} and opens(other, 2) == {"c": 2}
        b.stop()
        for _ in range(20):
            if by_listener(configured)["web", "b"]["state"] == "out":
                break
            opens(web_at, 1)
        told = by_listener(configured)
        assert told["web", "b"]["state"] == "out"
        assert told["site", "b"]["state"] == "up" and told["site", "b"]["failures"] == 0
        assert gauges(configured, "site")["up"]["b"] == 1 and gauges(configured, "web")["up"]["b"] == 0


def test_the_check_goes_on_over_reloads(configured, servers):
    """It begins with a reload that asks for it, follows the list, and ends with one that does not."""
    a, b = servers("a", "b")
    b.stop()
    web(configured, f"{a.address} name=a", f"{b.address} name=b")
    configured.start()
    for number in range(3):
        web(configured, f"{a.address} name=a", f"{b.address} name=b", check_interval=f"{20 + number}ms")
        assert configured.reload()[0] == 0
    wait_state(configured, "b", "out", 5)
    b.start()
    wait_state(configured, "b", "up", 5)
    web(configured, f"{a.address} name=a", f"{b.address} name=b")
    assert configured.reload()[0] == 0
    b.stop()
    time.sleep(0.3)  # fifteen checks' time: nobody may notice
    assert states(configured)["b"]["state"] == "up" and states(configured)["b"]["failures"] == 0


def test_a_session_goes_on_with_the_list_that_it_found(configured, servers, silent):
    """One that waits for an upstream that hangs goes to the next of its own list, by the address a name had, though
    a reload has taken list and names away."""
    a, b = servers("a", "b")
    web(configured, f"{silent} name=silent", f"localhost:{a.port} name=a backup", health_failures=0)
    configured.start("--timeouts-connect", "1s")
    host, port = configured.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as client:
        processes.wait_until(lambda: states(configured)["silent"]["sessions"] == 1, 5, "it waits")
        web(configured, f"{b.address} name=b")
        assert configured.reload()[0] == 0
        assert ask(configured) == "b"
        assert client.recv(100) == b"a"
