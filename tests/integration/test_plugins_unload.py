# SPDX-License-Identifier: Apache-2.0
"""Plug-ins beside sessions that are open: which sees what, when an old one goes, and what it has cost."""
import json

import pytest

import processes
import prometheus
import recording
from faults import connect
from gogetway import ROOT
from live import Clients, exchange, listener
from plugging import Kit

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]

# Behind plugging.SOURCE's table: it counts who it sees, and can be slow.
WATCHING = r"""
static _Atomic int opened, closed;
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct plug *plug = self;
  (void)session, (void)open;
  opened++;
  if (plug->number == 50)
    usleep(30000);
}
static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct plug *plug = self;
  (void)session, (void)summary;
  closed++;
  note(plug->host, "close");
}
static _Atomic int ticks;
static void on_tick(void *self)
{
  struct plug *plug = self;
  if (ticks++ == 0)
    note(plug->host, "tick");
}
"""
TABLE = ".open = on_open, .close = on_close, .tick = on_tick, .tick_interval_ns = 20000000"


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def watched(configured, server, scratch, kit):
    configured.web = listener(server.address, name="web")
    configured.ssh = listener(server.address, name="ssh")

    def build(mark):
        source = kit.table(mark=mark, more=TABLE).replace("GG_PLUGIN_EXPORT", WATCHING + "GG_PLUGIN_EXPORT")
        return kit.build(scratch / "plug", source)
    configured.build = build
    configured.so = build("1")

    def put(*entries):
        configured.write(configured.web, configured.ssh, plugins=list(entries), workers=2)
    configured.put = put
    return configured


def plugins(gateway):
    return [json.loads(line) for line in gateway.command("plugins", "--json").stdout.splitlines()]


def calls(plugin):
    return {point["hook"]: point["calls"] for point in plugin["hooks"]}


def notes(gateway):
    return [line for line in (gateway.directory / "plugins/plug/notes").read_text().splitlines() if "tick" not in line]


def until_noted(gateway, expected, what):
    processes.wait_until(lambda: notes(gateway) == expected, 10, what)


def test_a_plugin_lives_as_long_as_its_last_session(watched):
    watched.put({"path": str(watched.so)})
    process = watched.start()
    with connect(watched.web["listen"]) as old:
        exchange(old, b"by the first")
        watched.build("2")
        assert watched.reload()[0] == 0
        with connect(watched.web["listen"]) as new:
            exchange(new, b"by the second")
            loaded, leaving = plugins(watched)
            assert (loaded["state"], leaving["state"]) == ("loaded", "leaving") and leaving["listeners"] == []
            text = watched.command("plugins").stdout.decode()
            assert "listeners  none: it is unloaded when the last session that it sees has ended" in text
            watched.put()
            status, reply = watched.reload()
            assert status == 0
            assert "plug-in plug: unloaded when the last session that it sees has ended" in reply["changed"], reply
            assert [found["state"] for found in plugins(watched)] == ["leaving", "leaving"]
            with connect(watched.web["listen"]) as third:
                exchange(third, b"by none")
            exchange(old, b"still there")
        until_noted(watched, ["create 1", "create 2", "close 2", "destroy 2"], "the second is destroyed")
        assert [found["state"] for found in plugins(watched)] == ["leaving"]
        exchange(old, b"and the first is, too")
    until_noted(watched, ["create 1", "create 2", "close 2", "destroy 2", "close 1", "destroy 1"], "the first's end")
    assert plugins(watched) == []
    assert process.stop(20) == 0
    assert len(watched.events(process, "plug-in unloaded")) == 2


def test_counts_go_on_and_are_the_listeners(watched):
    watched.put({"path": str(watched.so), "listeners": ["web"]})
    watched.start()
    for name in ("web", "ssh", "web"):
        with connect(getattr(watched, name)["listen"]) as peer:
            exchange(peer, b"hello")
    processes.wait_until(lambda: calls(plugins(watched)[0])["close"] == 2, 10, "two are closed")
    watched.build("2")
    watched.put({"path": str(watched.so), "listeners": ["ssh"]})
    assert watched.reload()[0] == 0
    for name in ("web", "ssh"):
        with connect(getattr(watched, name)["listen"]) as peer:
            exchange(peer, b"hello")
    processes.wait_until(lambda: calls(plugins(watched)[0])["close"] == 3, 10, "and one more")
    processes.wait_until(lambda: len(plugins(watched)) == 1, 10, "the first is gone")
    found, = plugins(watched)
    assert found["listeners"] == ["ssh"] and calls(found)["open"] == 3 and found["slow_calls"] == 0
    processes.wait_until(lambda: calls(plugins(watched)[0])["tick"] > 3, 10, "it ticks")
    told = prometheus.parse(watched.command("stats", "--format", "prometheus").stdout.decode())
    assert prometheus.value(told, "gogetway_plugin_calls_total", plugin="plug", hook="open") == 3
    assert 0 < prometheus.value(told, "gogetway_plugin_call_seconds_total", plugin="plug", hook="close") < 1
    assert prometheus.value(told, "gogetway_plugin_slow_calls_total", plugin="plug", hook="close") == 0


def test_who_is_slow_is_named(watched):
    watched.put({"path": str(watched.so), "config": {"number": 50}})
    process = watched.start()
    for _ in range(3):
        with connect(watched.web["listen"]) as peer:
            exchange(peer, b"hello")
    told, = watched.events(process, "plug-in is slow")  # once in ten seconds
    assert told["plugin"] == "plug" and told["hook"] == "open" and told["level"] == "warning"
    assert 30 <= told["milliseconds"] < 10000
    found, = plugins(watched)
    point = next(point for point in found["hooks"] if point["hook"] == "open")
    assert point["slow_calls"] == point["calls"] == found["slow_calls"] == 3
    assert point["mean_ns"] >= 30e6 and point["ns"] >= 90e6


def test_reloads_under_sessions(watched):
    watched.put({"path": str(watched.so)})
    process = watched.start()
    with Clients(watched.web["listen"]) as clients:
        for number in range(12):
            entry = {"path": str(watched.so), "config": {"number": number % 5}}
            if number % 4 == 1:
                watched.build(str(number))
            watched.put(*([] if number % 4 == 3 else [entry]))
            status, reply = watched.reload()
            assert status == 0, reply
            clients.more(5)
        clients.end()
    watched.put()
    assert watched.reload()[0] == 0
    processes.wait_until(lambda: plugins(watched) == [], 10, "all are gone")
    assert process.stop(20) == 0
    words = [line.split()[0] for line in notes(watched)]
    assert words.count("create") == words.count("destroy") > 5


def test_the_example_does_what_it_says(configured, server, scratch, kit):
    so = kit.build(scratch / "hello", (ROOT / "examples/plugin-hello.c").read_text())
    configured.write(listener(server.address, name="web"), plugins=[{"path": str(so), "config": {"large": "1KiB"}}])
    configured.start()
    address = json.loads(configured.file.read_text())["listeners"][0]["listen"]
    with connect(address) as small, connect(address) as large:
        exchange(small, b"x" * 100)
        exchange(large, b"y" * 2000)
        said = configured.command("hello", "show").stdout.decode().splitlines()
        assert said == ["sessions 2", "open 2", "tagged 1", "client bytes 2100", "server bytes 2100"]
    configured.processes[-1].stop(20)
    facts = [fact for fact in recording.comments(configured.segments()) if "close" in fact]
    assert sorted(fact.get("tags", []) for fact in facts) == [[], ["large"]]


def test_a_hot_restart(watched):
    """Each process has an instance of its own, and the old one's ends with its sessions."""
    watched.put({"path": str(watched.so)})
    old = watched.start()
    with connect(watched.web["listen"]) as peer:
        exchange(peer, b"by the old one")
        new = watched.start("--takeover")
        assert notes(watched) == ["create 1", "create 1"]
        exchange(peer, b"still there")
        with connect(watched.web["listen"]) as other:
            exchange(other, b"by the new one")
        until_noted(watched, ["create 1", "create 1", "close 1"], "the new one's session has ended")
        assert watched.command("plug", "state").stdout == b"7 none 1\n"
    assert old.wait(20) == 0
    assert notes(watched) == ["create 1", "create 1", "close 1", "close 1", "destroy 1"]
    assert new.stop(20) == 0


def test_a_plugin_that_is_told_to_go_while_the_gateway_ends(watched):
    """A drain with a session that stays: the plug-in sees its end, and then its own."""
    watched.put({"path": str(watched.so)})
    process = watched.start()
    with connect(watched.web["listen"]) as peer:
        exchange(peer, b"hello")
        process.popen.terminate()
        watched.wait_event(process, "draining")
        exchange(peer, b"still")
    assert process.wait(20) == 0
    assert notes(watched) == ["create 1", "close 1", "destroy 1"]
