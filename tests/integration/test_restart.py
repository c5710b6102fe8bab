# SPDX-License-Identifier: Apache-2.0
"""Hot restart: a new process takes over store and sockets, the old one drains. And sockets from a parent."""
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import sys

import pytest

import faults
import processes
import prometheus
from faults import connect
from gogetway import TEST_ALL
from live import Clients, Configured, exchange, listener, said
from restarting import ask_pid, check_all_end, lent, start_with, stats_of, take_over, taking_over

pytestmark = pytest.mark.usefixtures("require_program")

# A parent like systemd: opens sockets, and becomes the command with them from descriptor 3 on.
PARENT = """
import os, socket, sys
names, addresses, command = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
listeners = []
for address in addresses:
    if address.startswith("unix:"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address[5:])
        listener.listen(64)
    else:
        host, port = address.rsplit(":", 1)
        listener = socket.create_server((host, int(port)), backlog=64)
    listeners.append(os.dup2(listener.fileno(), os.dup(listener.fileno()) + 50))
for number, fd in enumerate(listeners):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(listeners)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


# ── One process after the other ──────────────────────────────────────────────────────────────────────────────────────

NOBODY = "nothing to take over, starting afresh"


@pytest.mark.parametrize("place", ["missing", "empty", "other things"])
def test_without_a_gateway_it_starts_as_always(configured, server, place):
    """It says so. Where no gateway ever was it warns: that may be the wrong directory; where one was, it does not."""
    web = listener(server.address)
    configured.write(web)
    if place != "missing":
        configured.directory.mkdir()
    if place == "other things":
        (configured.directory / "lost+found").mkdir()  # a file system of its own has that from the beginning
    for level in ("warning", "info"):
        process = configured.start("--takeover")
        told, = configured.events(process, NOBODY)
        assert told["level"] == level and told["dir"] == str(configured.directory)
        assert ("effect" in told) == (level == "warning")
        said(web["listen"])
        assert process.stop() == 0
    process = configured.start()
    assert not configured.events(process, NOBODY)
    assert process.stop() == 0
    assert len(configured.sessions()) == 2


def test_a_store_that_was_killed_is_started_afresh(configured, server):
    """Its control socket is left, and what it had received is written."""
    web = listener(server.address)
    configured.write(web)
    old = configured.start()
    with connect(web["listen"]) as peer:
        exchange(peer, b"to the end")
        old.kill()
    new = configured.start("--takeover")
    assert configured.events(new, NOBODY)[0]["level"] == "info"
    said(web["listen"])
    assert new.stop() == 0
    assert len(configured.sessions()) == 2
    configured.verify()


def test_the_wrong_directory(configured, scratch, server):
    """The gateway that was meant goes on, and the one that was started by mistake says where it looked."""
    web = listener(server.address)
    configured.write(web)
    configured.start()
    (scratch / "other").mkdir()
    with Configured(scratch / "other") as other:
        other.write(web)
        new = other.start("--takeover", wait=False)
        assert new.wait(20) == 3 and other.events(new, NOBODY)
        assert web["listen"] in new.errors() and "in use" in new.errors()
        assert f"nothing was taken over, since no gateway runs on {other.directory}" in new.errors()
    said(web["listen"])


def test_a_directory_that_is_none(configured, scratch, server):
    configured.write(listener(server.address))
    configured.directory.write_text("a file")
    new = configured.start("--takeover", wait=False)
    assert new.wait(20) == 3 and f"{configured.directory}: Not a directory" in new.errors()
    assert configured.directory.read_text() == "a file"


def test_a_store_of_one_that_cannot_be_asked(configured, server):
    """Held by a process that has no control socket, as a replay that records into it has none."""
    configured.write(listener(server.address))
    assert configured.start().stop() == 0
    with open(configured.directory / "lock", "r+b") as lock:
        fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))  # F_OFD_SETLK: the first byte
        new = configured.start("--takeover", wait=False)
        assert new.wait(20) == 3
    assert "in use" in new.errors() and "no control socket" in new.errors() and "with --takeover" not in new.errors()


def test_a_new_process_serves_and_the_old_one_drains(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=2)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"with the old one")
        new = take_over(configured, old)
        assert configured.ask("stats")["pid"] == new.pid
        with socket.socket(socket.AF_UNIX) as aside:  # the old one can still be asked
            aside.settimeout(10)
            aside.connect(str(configured.directory / f"control.{old.pid}"))
            aside.sendall(b'{"command":"stats"}\n')
            assert b'"state":"draining"' in aside.recv(65536)
        mine, others = ask_pid(configured, old.pid), ask_pid(configured, new.pid)
        assert mine["pid"] == old.pid and mine["state"] == "draining" and mine["metrics"]["sessions_open"] == 1
        assert others["pid"] == new.pid and others["state"] == "running"
        for _ in range(20):
            said(web["listen"])
        assert configured.ask("stats")["metrics"]["sessions_opened"] >= 20
        exchange(stays, b"still with the old one")
        assert old.running()
        told = prometheus.parse(stats_of(configured, old.pid, "--format", "prometheus").stdout.decode())
        both = len(b"with the old one" + b"still with the old one")
        assert prometheus.value(told, prometheus.FLOW["received"], listener="web", side="client") == both
    assert old.wait(20) == 0
    configured.wait_event(new, "earlier process ended")
    assert not (configured.directory / f"control.{old.pid}").exists()
    gone = stats_of(configured, old.pid, check=False)
    assert gone.returncode == 3 and f"no gateway with process id {old.pid} runs on".encode() in gone.stderr
    said(web["listen"])
    assert new.stop() == 0
    warnings = [line["event"] for line in configured.events(new) if line["level"] != "info"]
    assert set(warnings) <= {"runs as root", "the file system refuses direct writes, using the page cache"}
    assert len(configured.sessions()) == 22
    configured.verify()


def test_many_restarts_under_load_lose_nobody(configured, server):
    restarts, staying = (20, 500) if TEST_ALL else (4, 30)
    web = listener(server.address, name="web")
    configured.write(web, workers=2, timeouts={"drain": "1m"})
    configured.start()
    with faults.descriptors(4 * staying + 1000), Clients(web["listen"], staying=staying) as clients:
        for _ in range(restarts):
            take_over(configured, configured.processes[-1])
            clients.more(20)
        clients.stay(b"goodbye")
        sent = clients.end()
    check_all_end(configured, sent)


def test_totals_of_a_chain_are_what_it_recorded(configured, scratch, server):
    """Three processes at work at once under load: each can be asked for what it counted until it ends, and leaves it in
    stats.file then. Added up they are what the recording holds; the metrics file is the last one's alone."""
    web = listener(server.address, name="web")
    totals, last = scratch / "totals.json", scratch / "gogetway.prom"
    configured.write(web, workers=2, timeouts={"drain": "1m"}, stats={"file": str(totals), "metrics_file": str(last)})
    counts = []
    with contextlib.ExitStack() as stack:
        configured.start()
        clients = stack.enter_context(Clients(web["listen"], staying=20))
        staying = []
        for number in range(3):
            if number:
                before = configured.processes[-1]
                configured.start("--takeover")
                configured.wait_event(before, "handed over")
            staying.append(stack.enter_context(connect(web["listen"])))
            exchange(staying[-1], b"by number %d" % number * 1000)
            clients.more(30)
            clients.stay(b"under load")
        sent = clients.end()

        def ask_all():
            told = [prometheus.parse(stats_of(configured, process.pid, "--format", "prometheus").stdout.decode(), False)
                    for process in configured.processes]
            closed = sum(prometheus.value(one, prometheus.FLOW["closed"], listener="web") for one in told)
            return told if closed >= len(sent) else None
        asked = processes.wait_until(ask_all, 20, "the clients' sessions are over")
        for one, peer, process in zip(asked, staying, configured.processes):
            assert prometheus.value(one, prometheus.FLOW["open"], listener="web") == 1
            peer.close()
            assert (process.stop() if process is configured.processes[-1] else process.wait(30)) == 0
            counts.append(json.loads(totals.read_text())["metrics"])
            assert counts[-1]["sessions_closed"] == prometheus.value(one, prometheus.FLOW["closed"]) + 1
            for side in ("client", "server"):  # it said nothing more
                assert counts[-1][f"received_{side}_bytes"] == prometheus.value(one, prometheus.FLOW["received"],
                                                                                side=side)
    prometheus.check_sums(counts, configured)
    assert prometheus.value(prometheus.parse(last.read_text()), "gogetway_sessions_closed_total") == counts[-1][
        "sessions_closed"]


def test_the_number_of_workers_may_change(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    configured.start()
    with Clients(web["listen"], staying=5) as clients:
        for workers in (3, 2, 4, 1):
            configured.write(web, workers=workers)
            take_over(configured, configured.processes[-1])
            clients.more(50)
            assert configured.ask("stats")["workers"] == workers
        sent = clients.end()
    check_all_end(configured, sent)


def test_the_old_process_drains_for_a_bounded_time(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, timeouts={"drain": "300ms"})
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"too long")
        new = configured.start("--takeover")
        assert old.wait(20) == 0
        with contextlib.suppress(ConnectionError):
            assert stays.recv(1) == b""
    said(web["listen"])
    assert new.stop() == 0
    configured.verify()


def test_the_new_process_reloads_and_the_old_one_does_not(configured, server):
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    configured.write(web)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"a word")
        new = take_over(configured, old)
        configured.write(web, ssh)
        old.popen.send_signal(signal.SIGHUP)
        configured.wait_event(old, "not reloaded")
        assert configured.reload()[0] == 0
        said(ssh["listen"])
        configured.write(ssh)
        assert configured.reload()[0] == 0
        processes.wait_until(lambda: not processes.is_listening(web["listen"]), 10, "no listener")
        exchange(stays, b"another")
    assert old.wait(20) == 0 and new.stop() == 0


def test_listeners_that_are_gone_and_new_ones(configured, server):
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    configured.write(web, ssh)
    old = configured.start()
    ftp = listener(server.address, name="ftp")
    configured.write(ftp, web)
    new = take_over(configured, old)
    said(web["listen"])
    said(ftp["listen"])
    processes.wait_until(lambda: not processes.is_listening(ssh["listen"]), 10, "no listener")
    assert old.wait(20) == 0
    said(web["listen"])
    assert new.stop() == 0


def test_a_drained_upstream_stays_drained(configured, server):
    """Over two takeovers, and until it is resumed; the same name at another listener is not drained."""
    with faults.Echo() as other:
        web = listener([f"{server.address} name=a", f"{other.address} name=b"], name="web")
        ssh = listener([f"{server.address} name=a", f"{other.address} name=b"], name="ssh")
        configured.write(web, ssh)
        process = configured.start()
        configured.command("upstreams", "drain", "a", "--listener", "web")

        def drained():
            listed = map(json.loads, configured.command("upstreams", "--json").stdout.splitlines())
            return [(entry["listener"], entry["name"]) for entry in listed if entry["state"] == "drained"]
        assert drained() == [("web", "a")]
        for _ in range(2):
            new = configured.start("--takeover")
            assert process.wait(20) == 0
            assert drained() == [("web", "a")]
            for _ in range(6):
                said(web["listen"])
            process = new
        assert {session["upstream"] for session in configured.sessions()} == {other.address}
        configured.write({**web, "upstream": other.address})
        new = configured.start("--takeover")  # where it is gone
        gone, = configured.events(new, "an upstream that was drained is not there any more")
        assert (gone["listener"], gone["upstream"]) == ("web", "a") and drained() == []
        assert process.wait(20) == 0 and new.stop() == 0


def test_while_somebody_takes_over_nothing_is_drained(configured, server):
    web = listener([f"{server.address} name=a"], name="web")
    configured.write(web)
    old = configured.start()
    with taking_over(configured):
        reply = configured.ask("upstream-drain", upstream="a")
        assert reply["ok"] is False and "taking over" in reply["error"]
    configured.wait_event(old, "not taken over")
    assert configured.ask("upstream-drain", upstream="a")["ok"] is True


def test_rotate_ends_the_segments_of_the_old_process_too(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"before")
        new = take_over(configured, old)
        with connect(web["listen"]) as other:
            exchange(other, b"with the new one")
            assert json.loads(configured.command("rotate", "--json").stdout) == {"ok": True, "rotated": True}
            assert len(configured.segments()) == 2
            exchange(stays, b" and after")
            assert configured.command("rotate").stdout == b""
            assert len(configured.segments()) == 3
    assert old.wait(20) == 0 and new.stop() == 0
    assert sorted(configured.payload(session.id, "client") for session in configured.sessions()) == [
        b"before and after", b"with the new one"]
    configured.verify()


def test_a_unix_listener_stays_at_its_path(configured, scratch, server):
    path = f"unix:{scratch}/socket"
    configured.write({"listen": path, "upstream": server.address, "name": "local"})
    old = configured.start()
    new = configured.start("--takeover")
    assert old.wait(20) == 0
    said(path)
    assert new.stop() == 0
    assert not (scratch / "socket").exists()


# ── Sockets from a parent ────────────────────────────────────────────────────────────────────────────────────────────

def start_by_parent(configured, names, addresses, *words, wait=True):
    return configured.start(*words, wait=wait, by=[sys.executable, "-c", PARENT, names, ",".join(addresses)])


def test_sockets_of_a_parent_are_used(configured, scratch, server):
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local"}
    configured.write(web, ssh, local, workers=2)
    process = start_by_parent(configured, "x:local", [web["listen"], local["listen"]])
    environment = open(f"/proc/{process.pid}/environ").read()
    assert "LISTEN_FDS=2" in environment  # what it was started with; its children would not see it
    for entry in (web, ssh, local):
        for _ in range(5):
            said(entry["listen"])
    new = configured.start("--takeover")
    assert process.wait(20) == 0
    said(web["listen"])
    assert new.stop() == 0


def test_a_parents_unix_socket_stays_the_parents_over_takeovers(configured, scratch, server):
    """Its mode and its path are the parent's: of the second generation too, and when the third ends."""
    path = scratch / "socket"
    local = {"listen": f"unix:{path}", "upstream": server.address, "name": "local", "unix_mode": "0600"}
    configured.write(local)
    process = start_by_parent(configured, "local", [local["listen"]])
    before = path.stat()
    assert before.st_mode & 0o777 != 0o600
    for _ in range(2):
        new = configured.start("--takeover")
        assert process.wait(20) == 0
        said(local["listen"])
        process = new
    assert process.stop() == 0
    assert (path.stat().st_mode, path.stat().st_ino) == (before.st_mode, before.st_ino)


def test_a_socket_that_is_no_listeners_is_an_error(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    other = processes.free_address()
    process = start_by_parent(configured, "a:b", [web["listen"], other], wait=False)
    assert process.wait(20) == 3
    assert f"listens on {other}" in process.errors() and "'b'" in process.errors()


def test_both_processes_have_the_sockets_of_one_parent(configured, scratch, server):
    """As one: nobody is refused, reset or left waiting, they are the parent's at the end, and so is the path."""
    web, ssh = listener(server.address, name="web"), listener(server.address, name="ssh")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local", "unix_mode": "0600"}
    with lent(web["listen"], local["listen"], ssh["listen"]) as listeners:
        mode = (scratch / "socket").stat().st_mode
        configured.write(web, local, workers=1)
        process = start_with(configured, listeners[:2])
        with Clients(web["listen"], staying=5) as clients:
            configured.write(web, ssh, local, workers=3)
            for _ in range(3):
                new = start_with(configured, listeners, "--takeover")  # ssh is new the first time
                configured.wait_event(process, "handed over")
                clients.more(20)
                for entry in (ssh, local):
                    said(entry["listen"])
                processes_before, process = process, new
            clients.end()
        assert processes_before.wait(30) == 0 and process.stop() == 0
        assert (scratch / "socket").stat().st_mode == mode
        for entry in (web, ssh, local):
            connect(entry["listen"]).close()  # they listen on
    configured.verify()


@pytest.mark.parametrize("kind", ("tcp", "unix"))
def test_another_socket_of_a_parent_is_refused_at_a_takeover(configured, scratch, server, kind):
    """Both would have clients, and one of them nobody who accepts."""
    web = listener(server.address, name="web")
    if kind == "unix":
        web["listen"] = f"unix:{scratch}/socket"
    configured.write(web)
    old = configured.start()
    said(web["listen"])
    if kind == "unix":
        (scratch / "socket").rename(scratch / "aside")  # as if it had been removed
    with lent(web["listen"], share=True) as listeners:
        new = start_with(configured, listeners, "--takeover", wait=False)
        assert new.wait(20) == 3
        assert "LISTEN_FDS: descriptor 3" in new.errors() and "another socket" in new.errors()
    configured.wait_event(old, "not taken over")
    if kind == "unix":
        (scratch / "aside").rename(scratch / "socket")
    said(web["listen"])
    assert old.stop() == 0


@pytest.mark.skipif(not any(os.access(f"{place}/systemd-socket-activate", os.X_OK) for place in ("/usr/bin", "/bin")),
                    reason="needs systemd-socket-activate")
def test_systemd_activates_it(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    process = configured.start(wait=False, by=["systemd-socket-activate", "-l", web["listen"]])
    processes.wait_until(lambda: processes.is_listening(web["listen"]), 20, "systemd-socket-activate")
    said(web["listen"])  # the first connection starts it
    configured.wait_event(process, "ready")
    said(web["listen"])
    assert process.stop() == 0
    assert len(configured.sessions()) == 2
