# SPDX-License-Identifier: Apache-2.0
"""The configuration is read again while the gateway serves: what changes, what does not, and that nobody notices."""
import contextlib
import signal
import socket

import pytest

import faults
import processes
from faults import connect
from gogetway import TEST_ALL, program
from live import Clients, exchange, listener, said

pytestmark = pytest.mark.usefixtures("require_program")


# ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────────

def test_nothing_has_changed(configured, server):
    configured.write(listener(server.address))
    configured.start()
    assert configured.reload() == (0, {"ok": True, "changed": [], "restart": [], "warnings": []})
    done = configured.command("reload")
    assert done.stdout == b"nothing has changed\n"


def test_no_gateway_to_ask(scratch):
    done = processes.run([program(), "reload", "--dir", scratch], check=False)
    assert done.returncode == 3 and b"no gateway runs" in done.stderr
    assert processes.run([program(), "reload", "x"], check=False).returncode == 2


def test_what_needs_a_restart_is_named_each_time_and_the_rest_is_applied(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    process = configured.start()
    configured.write(web, workers=2, sessions_max=5, segment={"max_bytes": "1MiB"}, dir="/elsewhere")
    named = ["workers: 1 -> 2 needs a restart", "segment.max_bytes: 1GiB -> 1MiB needs a restart"]
    assert configured.reload() == (0, {"ok": True, "changed": ["sessions_max: 100000 -> 5"], "restart": named,
                                       "warnings": []})
    assert configured.reload()[1] == {"ok": True, "changed": [], "restart": named, "warnings": []}
    table = configured.command("reload").stdout.decode().splitlines()
    assert table == named
    told = [line["what"] for line in configured.events(process, "configuration needs a restart")]
    assert told == named * 3
    assert configured.ask("stats")["workers"] == 1
    said(web["listen"])


def test_every_error_of_a_bad_file_is_told_and_nothing_changes(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    process = configured.start()
    configured.write_text(f"listeners:\n  - listen: {web['listen']}\n    upstrem: x:1\nworkers: 9999\nlgo: 1\n")
    status, reply = configured.reload()
    assert status == 3 and not reply["ok"]
    places = [error.split(": ")[0] for error in reply["errors"]]
    assert f"{configured.file}:3:5" in places and f"{configured.file}:4:10" in places
    assert f"{configured.file}:5:1" in places and reply["error"] == reply["errors"][0]
    done = configured.command("reload", check=False)
    assert done.returncode == 3 and done.stdout == b""
    for error in reply["errors"]:
        assert error in done.stderr.decode()
    assert "nothing has changed" in done.stderr.decode()
    process.popen.send_signal(signal.SIGHUP)
    configured.wait_event(process, "not reloaded", count=3)
    assert [line["what"] for line in configured.events(process, "configuration refused")] == reply["errors"] * 3
    said(web["listen"])
    configured.file.unlink()
    status, reply = configured.reload()
    assert status == 3 and str(configured.file) in reply["error"]
    said(web["listen"])


def test_a_file_that_could_not_be_written_is_refused(configured, scratch, server):
    web = listener(server.address)
    configured.write(web)
    configured.start()
    configured.write(web, stats={"metrics_file": str(scratch / "none" / "x.prom")}, sessions_max=7)
    status, reply = configured.reload()
    assert status == 3 and "cannot write" in reply["error"]
    configured.write(web)
    assert configured.reload()[1]["changed"] == []


# ── What changes ─────────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_hangup_reloads(configured, server):
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    configured.write(web)
    process = configured.start()
    configured.write(web, ssh, message={"level": "debug"})
    process.popen.send_signal(signal.SIGHUP)
    configured.wait_event(process, "reloaded")
    assert {line["what"] for line in configured.events(process, "configuration changed")} == {
        "message.level: info -> debug", f"listener ssh: added at {ssh['listen']}, upstream {server.address}"}
    said(ssh["listen"])
    configured.write(web, ssh, message={"level": "error"})
    assert configured.reload()[1]["changed"] == ["message.level: debug -> error"]
    before = len(configured.events(process))
    configured.write(web, message={"level": "error"})
    assert len(configured.reload()[1]["changed"]) == 1
    assert len(configured.events(process)) == before  # an error would be told, this is none


def test_listeners_come_and_go_and_sessions_stay(configured, server):
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    configured.write(web, ssh)
    process = configured.start()
    with connect(ssh["listen"]) as stays:
        exchange(stays, b"before")
        configured.write(web)
        assert configured.reload()[1]["changed"] == [f"listener ssh: removed, was at {ssh['listen']}"]
        processes.wait_until(lambda: not processes.is_listening(ssh["listen"]), 10, "no listener")
        exchange(stays, b"after")
        assert [entry["name"] for entry in configured.ask("stats")["listeners"]] == ["web"]
        configured.write(web, ssh)
        assert configured.reload()[0] == 0
        said(ssh["listen"])
        exchange(stays, b"at last")
    assert process.stop() == 0
    assert len(configured.sessions()) == 2
    configured.verify()


def test_a_port_in_use_refuses_all_of_it(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    configured.start()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        there = processes.address(*taken.getsockname())
        configured.write(web, listener(server.address, name="new"), {"listen": there, "upstream": "none"})
        status, reply = configured.reload()
        assert status == 3 and there in reply["error"] and "in use" in reply["error"]
    assert len(configured.ask("stats")["listeners"]) == 1
    said(web["listen"])


def test_limits_of_a_source_are_in_force_when_they_are_reloaded(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    configured.start()
    configured.write(web, limits={"source_sessions": 1})
    assert configured.reload()[0] == 0
    with connect(web["listen"]) as first:
        exchange(first, b"one")
        with pytest.raises(ConnectionError), connect(web["listen"]) as second:
            exchange(second, b"two")
        configured.write(web)
        assert configured.reload()[0] == 0
        with connect(web["listen"]) as third:
            exchange(third, b"three")


def test_an_upstream_changes_for_new_sessions(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    configured.start()
    with faults.Echo() as other, connect(web["listen"]) as stays:
        exchange(stays, b"to the first")
        configured.write(dict(web, upstream=other.address))
        assert configured.reload()[0] == 0
        said(web["listen"])
        assert other.accepted == 1 and server.accepted == 1
        exchange(stays, b"still to the first")
        assert configured.ask("stats")["listeners"][0]["upstream"] == other.address


def test_a_name_that_does_not_resolve_is_told(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    configured.start()
    configured.write(dict(web, upstream="nowhere.invalid:80"))
    status, reply = configured.reload()
    assert status == 0 and reply["warnings"] == [
        "nowhere.invalid does not resolve: its sessions are refused until it does"]
    configured.write(dict(web, upstream=f"localhost:{server.address.rsplit(':', 1)[1]}"))
    assert configured.reload()[1]["warnings"] == []
    said(web["listen"])


def test_the_metrics_file_moves(configured, scratch, server):
    web = listener(server.address, name="web")
    first, second = scratch / "a.prom", scratch / "b.prom"
    configured.write(web, stats={"metrics_file": str(first), "metrics_interval": "1d"})
    configured.start()
    said(web["listen"])
    configured.write(web, stats={"metrics_file": str(second), "metrics_interval": "1d"})
    assert configured.reload()[0] == 0
    processes.wait_until(second.exists, 10, "the new file")
    assert "gogetway_sessions_opened_total" in first.read_text()
    assert "gogetway_sessions_opened_total 1" in second.read_text()


# ── Under load ───────────────────────────────────────────────────────────────────────────────────────────────────────

def test_many_reloads_under_load_lose_nobody(configured, server):
    staying, reloads = (5000, 100) if TEST_ALL else (100, 30)
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    configured.write(web)
    process = configured.start("--workers", "2")
    with faults.descriptors(4 * staying + 1000), Clients(web["listen"], staying=staying) as clients:
        for count in range(reloads):
            if count % 5 == 4:
                configured.write_text("listeners: [\n")
                assert configured.reload()[0] == 3
            elif count % 2:
                configured.write(web, sessions_max=50000 + count, timeouts={"idle": f"{count + 100}s"})
                assert configured.reload()[0] == 0
            else:
                configured.write(dict(web, on_stall="gap" if count % 4 else "block", sessions_max=40000 + count), ssh,
                                 relay={"splice": "off"})
                assert configured.reload()[0] == 0
                said(ssh["listen"])
            clients.check()
        clients.more()
        clients.stay(b"goodbye")
        sent = clients.end()
    extra = sum(1 for count in range(reloads) if count % 5 != 4 and not count % 2)
    assert process.stop(60) == 0
    recorded = configured.digests()
    assert len(recorded) == len(sent) + extra
    for digest in sent:
        recorded.remove(digest)
    assert len(set(recorded)) == 1  # the extra ones all say the same
    configured.verify()


def test_clients_that_wait_at_a_removed_listener_are_served(configured, server):
    """Nine of ten are in the kernel's queues when it is removed, since the listener is at its limit."""
    web = listener(server.address, name="web")
    for round_ in range(5):
        gone = listener(server.address, name=f"gone-{round_}", sessions_max=10)
        configured.write(web, gone)
        if round_ == 0:
            configured.start("--workers", "2")
        else:
            assert configured.reload()[0] == 0
        peers = [connect(gone["listen"]) for _ in range(100)]
        open_now = configured.ask("stats")["metrics"]["sessions_open"]
        assert open_now <= 11  # two workers may each see the last free place
        configured.write(web)
        assert configured.reload()[0] == 0
        for peer in peers:
            peer.sendall(b"served all the same")
        faults.read_from_all(peers, b"served all the same")
