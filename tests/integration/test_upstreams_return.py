# SPDX-License-Identifier: Apache-2.0
"""An upstream of a list goes away and comes back, in every way in which one can: it refuses, hangs, cannot be reached,
has no address. It is taken out and tried again at the stated times, and no client sees anything of it.

"Not before" is asserted without any tolerance: there is one client at a time, so an attempt begins after its client has
and has ended before its client is answered. "Not long after" is asserted generously: a loaded machine may be slow.
"""
import collections
import contextlib
import os
import re
import time

import pytest

import faults
import processes
import upstream_lists
from gogetway import tool
from upstream_lists import ask, events, gauges, states

CONNECT = 0.3  # timeouts.connect, in seconds
GENEROUS = 20


class Refuses:
    """Nobody listens at its port."""
    reason, kind, takes, out, there = "connect-refused", "refused", 0, 0.5, True

    def __init__(self, scratch):
        self.server = upstream_lists.Server("b").start()
        self.upstream, self.how = self.server.address, {}
        self.go, self.come = self.server.stop, self.server.start

    def close(self):
        self.server.stop()


class Hangs:
    """No SYN is answered."""
    reason, kind, takes, out, there = "connect-timeout", "timed_out", CONNECT, 0.5, True

    def __init__(self, scratch):
        self.server = upstream_lists.HangingServer("b").start()
        self.upstream, self.how = self.server.address, {}
        self.go, self.come, self.close = self.server.hang, self.server.answer, self.server.stop


class NoRoute:
    """connect(2) says at once that there is no way: the gateway is in a network of its own that has the address, or has
    it not."""
    reason, kind, takes, out, there = "connect-failed", "other", 0, 0.5, True
    routes = ()

    def __init__(self, scratch):
        self.namespace = upstream_lists.Namespace(scratch)
        self.come()
        self.server = upstream_lists.Server("b", host="192.0.2.1")
        with self.namespace.entered():
            self.server.start()
        for route in self.routes:
            self.namespace.ip("route", "add", route, "192.0.2.1/32")
        self.upstream, self.how = self.server.address, {"preexec_fn": self.namespace.enter}

    def go(self):
        self.namespace.ip("address", "del", "192.0.2.1/32", "dev", "lo")

    def come(self):
        self.namespace.ip("address", "add", "192.0.2.1/32", "dev", "lo")

    def close(self):
        self.server.stop()
        self.namespace.close()


class Unreachable(NoRoute):
    routes = ("unreachable",)


class Blackhole(NoRoute):
    routes = ("blackhole",)


class Unresolved:
    """Its name has no address yet. (One that has had an address keeps it.) It is asked for again every second."""
    reason, kind, takes, out, there = "unresolved", "unresolved", 0, 2, False

    def __init__(self, scratch):
        self.server = upstream_lists.Server("b").start()
        self.hosts = scratch / "hosts"
        self.hosts.write_text("")
        self.upstream = f"server.test:{self.server.port}"
        self.how = resolving(self.hosts)
        self.go, self.close = lambda: None, self.server.stop

    def come(self):
        self.hosts.write_text("server.test 127.0.0.1\n")


def resolving(hosts):
    """How a gateway is started that resolves names by that file, which no configuration names: not in a sandbox."""
    return {"words": ["--sandbox", "off"],
            "env": {"LD_PRELOAD": tool("preload_hosts.so"), "PRELOAD_HOSTS": str(hosts),
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}}


def milliseconds(seconds):
    return f"{round(seconds * 1000)}ms"


def start(gateway, words=(), **how):
    gateway.start(*words, "--timeouts-connect", milliseconds(CONNECT), **how)


def connect_failures(gateway, name):
    """kind -> how many, of that upstream"""
    text = gateway.command("stats", "--format", "prometheus").stdout.decode()
    series = rf'gogetway_route_connect_failures_total{{listener="web",upstream="{name}",kind="(\w+)"}}'
    found = re.findall(rf"^{series} (\d+)$", text, re.M)
    return {kind: int(count) for kind, count in found if count != "0"}


def ask_until(gateway, condition, answers=("a",)):
    """Asks until condition(answer); all answers but the last are among those given. Returns when the last client began,
    and when it had its answer."""
    deadline = time.monotonic() + 60
    while True:
        begun = time.monotonic()
        answer = ask(gateway)
        ended = time.monotonic()
        if condition(answer):
            return begun, ended
        assert answer in answers, f"a client got {answer!r}"
        assert ended < deadline, "it takes too long"
        time.sleep(0.002)  # not one session after the other without a breath: that would only be load


@pytest.fixture
def away(request, scratch):
    with contextlib.closing(request.param(scratch)) as way:
        yield way


@pytest.mark.parametrize("away", [Refuses, Hangs, NoRoute, Unreachable, Blackhole, Unresolved], indirect=True)
def test_away_and_back_at_the_stated_times(configured, scratch, require_program, away):
    out, takes = away.out, away.takes
    configured.listen = f"unix:{scratch}/listen"  # it may be in another network
    with contextlib.closing(upstream_lists.HidingServer("a", scratch / "a")) as a:
        configured.write({"name": "web", "listen": configured.listen, "health_out": milliseconds(out),
                          "upstream": [f"{a.address} name=a", f"{away.upstream} name=b"]}, workers=1)
        start(configured, **away.how)

        def outs():
            return events(configured, "upstream is out", "b")
        if away.there:
            assert collections.Counter(ask(configured) for _ in range(10)) == {"a": 5, "b": 5}
        away.go()

        # Three failures, and it is out; nobody is given to it then.
        first, _ = ask_until(configured, lambda _: outs())
        line, = outs()
        assert line["failures"] == 3 and line["reason"] == away.reason and line["seconds"] == out
        told = gauges(configured)
        assert told["up"] == {"a": 1, "b": 0} and told["out"] == {"a": 0, "b": 1} and told["outs_total"]["b"] == 1
        assert told["weight_ratio"] == {"a": 1, "b": 0}
        entry = states(configured)["b"]
        assert entry["state"] == "out" and entry["failures"] == 3 and entry["back_in_ns"] <= out * 1e9
        assert connect_failures(configured, "b") == {away.kind: 3}

        # One tries it at its time, and it is out for twice as long.
        second, ended = ask_until(configured, lambda _: len(outs()) == 2)
        assert ended - first >= takes + out + takes
        assert ended - first <= takes + out + takes + GENEROUS
        assert outs()[1]["seconds"] == 2 * out and connect_failures(configured, "b") == {away.kind: 4}

        # It is there again at once, but nobody is given to it before its time.
        away.come()
        _, ended = ask_until(configured, lambda answer: answer == "b")
        assert ended - second >= takes + 2 * out
        assert ended - second <= takes + 2 * out + GENEROUS
        assert len(outs()) == 2 and len(events(configured, "upstream is back", "b")) == 1
        told = gauges(configured)
        assert told["up"] == {"a": 1, "b": 1} and told["out"] == {"a": 0, "b": 0} and told["outs_total"]["b"] == 2
        assert told["weight_ratio"] == {"a": 1, "b": 1}
        entry = states(configured)["b"]
        assert entry["state"] == "up" and entry["failures"] == 0
        assert collections.Counter(ask(configured) for _ in range(20)) == {"a": 10, "b": 10}

        # The next time begins with the shortest again.
        if away.there:
            away.go()
            ask_until(configured, lambda _: len(outs()) == 3)
            assert outs()[2]["seconds"] == out and outs()[2]["failures"] == 3


def test_a_name_that_stops_resolving(configured, servers, scratch, require_program):
    """It keeps its address, so nobody notices; when nobody answers there any more it is out, and it comes back at the
    stated time at the address that the name has by then."""
    a, b = servers("a", "b")
    hosts, out = scratch / "hosts", 2
    hosts.write_text("server.test 127.0.0.1\n")
    configured.listen = processes.address("127.0.0.1", processes.free_port())
    configured.write({"name": "web", "listen": configured.listen, "health_out": f"{out}s",
                      "upstream": [f"{a.address} name=a", f"server.test:{b.port} name=b"]},
                     workers=1, resolve={"interval": "1s"})
    start(configured, **resolving(hosts))
    assert collections.Counter(ask(configured) for _ in range(10)) == {"a": 5, "b": 5}
    hosts.write_text("")
    line = faults.wait_event(configured, "name no longer resolves")
    assert (line["level"], line["name"], line["effect"]) == ("warning", "server.test", "the addresses it had are used")
    assert collections.Counter(ask(configured) for _ in range(10)) == {"a": 5, "b": 5}
    assert states(configured)["b"]["state"] == "up" and connect_failures(configured, "b") == {}
    b.stop()
    first, _ = ask_until(configured, lambda _: events(configured, "upstream is out", "b"))
    line, = events(configured, "upstream is out", "b")
    assert line["reason"] == "connect-refused" and line["seconds"] == out
    assert gauges(configured)["out"] == {"a": 0, "b": 1} and connect_failures(configured, "b") == {"refused": 3}
    hosts.write_text("server.test 127.0.0.2\n")
    with contextlib.closing(upstream_lists.Server("b again", host="127.0.0.2", port=b.port).start()) as other:
        _, ended = ask_until(configured, lambda answer: answer == other.name)
    assert out <= ended - first <= 2 * out + out + GENEROUS  # or it was tried before the name was asked for again
    assert len(events(configured, "upstream is back", "b")) == 1
