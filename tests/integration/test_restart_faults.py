# SPDX-License-Identifier: Apache-2.0
"""Hot restart when one of the two processes fails, dies, stands still, or is told to end half-way."""
import contextlib
import os
import pathlib
import random
import signal
import socket
import time

import pytest

import faults
import processes
from faults import connect
from gogetway import TEST_ALL
from live import Clients, Configured, exchange, listener, said
from restarting import Between, descriptors, earlier, halt, take_over, taking_over

pytestmark = pytest.mark.usefixtures("require_program")


def test_a_new_process_that_fails_changes_nothing(configured, scratch, server):
    web = listener(server.address, name="web")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local"}
    configured.write(web, local)
    old = configured.start()
    said(web["listen"])
    before = descriptors(old)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        configured.write(web, local, {"listen": processes.address(*taken.getsockname()), "upstream": "none"})
        for count in range(3):
            new = configured.start("--takeover", wait=False)
            assert new.wait(20) == 3 and "in use" in new.errors()
            configured.wait_event(old, "not taken over", count=count + 1)
    another = configured.start(wait=False)
    assert another.wait(20) == 3 and f"in use by gogetway process {old.pid}" in another.errors()
    said(web["listen"])
    said(local["listen"])
    processes.wait_until(lambda: descriptors(old) <= before, 10, "no more descriptors than before")
    configured.write(web, local, sessions_max=7)
    assert configured.reload()[0] == 0  # refused only while somebody takes over
    new = configured.start("--takeover")
    assert old.wait(20) == 0
    said(web["listen"])
    assert new.stop() == 0
    configured.verify()


def settled(file):
    """What is in it when it has not been written for a while: who was told to write it does so at once."""
    while time.time() - file.stat().st_mtime < 1:
        time.sleep(0.05)
    return file.read_text()


def test_a_hand_over_that_is_refused_leaves_the_sockets_as_they_were(configured, scratch, server):
    """The new process serves already when the old one cannot let go: its end is not the sockets', nor the metrics'."""
    web = listener(server.address, name="web")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local"}
    totals = scratch / "metrics"
    configured.write(web, local, stats={"metrics_file": str(totals), "metrics_interval": "1s"})
    old = configured.start()
    said(web["listen"])
    configured.write(web, local, stats={"metrics_file": str(totals), "metrics_interval": "23h"})
    assert configured.reload()[0] == 0  # it writes the file, and the names that it began with are another file's
    before = settled(totals)
    assert "gogetway_sessions_opened_total 1" in before
    (configured.directory / f"control.{old.pid}").mkdir()  # where its control socket would go
    new = configured.start("--takeover", wait=False)
    assert new.wait(20) == 3
    assert f"cannot make {configured.directory}/control.{old.pid}" in new.errors()
    assert old.running() and totals.read_text() == before
    for _ in range(20):
        said(web["listen"])
        said(local["listen"])
    assert old.stop() == 0
    assert not (scratch / "socket").exists()
    configured.verify()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_new_process_that_ends_while_the_old_one_drains(configured, server, number):
    """The old one has the store, and serves nobody: the next one serves beside it, and writes what the dead left."""
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start("--log-flush-interval", "60s")
    with connect(web["listen"]) as stays:
        exchange(stays, b"by the first")
        new = configured.start("--log-flush-interval", "60s", "--takeover")
        with connect(web["listen"]) as lost:
            exchange(lost, b"by the second")
            if number == signal.SIGTERM:
                lost.close()
            new.popen.send_signal(number)
            new.popen.wait(20)
        exchange(stays, b"it goes on")
        plain = configured.start(wait=False)
        assert plain.wait(20) == 3
        assert f"process {old.pid}" in plain.errors() and "--takeover" in plain.errors()
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
            configured.write(web, {"listen": processes.address(*taken.getsockname()), "upstream": "none"})
            for count in range(2):  # one that fails changes nothing
                failing = configured.start("--takeover", wait=False)
                assert failing.wait(20) == 3 and "in use" in failing.errors()
                configured.wait_event(old, "not taken over", count=count + 1)
        configured.write(web)
        third = configured.start("--takeover")
        said(web["listen"])
        exchange(stays, b"and on")
        fourth = configured.start("--takeover")
        assert third.wait(20) == 0
        said(web["listen"])
    assert old.wait(20) == 0
    said(web["listen"])
    assert fourth.stop() == 0
    configured.verify()
    sessions = configured.sessions()
    assert sorted(session["bytes"]["client"] for session in sessions) == sorted([28, 13, 7, 7, 7])
    assert sum(session.state != "closed" for session in sessions) == (number == signal.SIGKILL)


def test_a_taker_that_dies_before_it_serves_changes_nothing(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start()
    before = descriptors(old)
    with taking_over(configured):
        second = configured.start("--takeover", wait=False)
        assert second.wait(20) == 3
        assert f"process {os.getpid()} is taking over already" in second.errors()
        status, reply = configured.reload()
        assert status == 3 and "taking over" in reply["error"]
    configured.wait_event(old, "not taken over")
    said(web["listen"])
    processes.wait_until(lambda: descriptors(old) <= before, 10, "no more descriptors than before")
    assert configured.ask("handed-over", taken="1")["ok"] is False
    assert configured.ask("takeover", protocol="2")["error"].count("protocol") == 1
    new = configured.start("--takeover")
    assert old.wait(20) == 0 and new.stop() == 0


def test_a_taker_with_more_workers_is_killed_before_it_serves(configured, server):
    """It has sockets for the workers that the old one does not have; who was in their queues would be reset."""
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    old = configured.start()
    with Clients(web["listen"], staying=5, threads=4) as clients:
        configured.write(web, workers=4)
        for count, moment in enumerate(("asked", "answered", "clients came"), 1):
            between = Between(configured)
            new = configured.start("--takeover", wait=False)
            between.asked()
            if moment != "asked":
                between.answered()
            if moment == "clients came":
                clients.more(100)
            new.kill()
            between.close()
            configured.wait_event(old, "not taken over", count=count)
            clients.more(50)
            clients.check()
        new = take_over(configured, old)
        clients.more(200)
        sent = clients.end()
    assert old.wait(30) == 0 and new.stop(30) == 0
    assert configured.digests() == sent
    # The new one's logs have its number behind their names; every worker has had a client.
    logs = {segment.name.split("-", 1)[1].rsplit("-", 1)[0] for segment in configured.segments()}
    assert logs == {"w0-block", "w0-block-2", "w1-block-2", "w2-block-2", "w3-block-2"}
    configured.verify()


def check_what_a_killed_process_left(configured, server, log, new_log):
    """One is killed while it drains: what it had in its ring is written by the new one, and so is what comes then."""
    web = listener(server.address, name="web")
    configured.write(web, log=log)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"in the old one's ring")
        configured.write(web, log=new_log)
        new = take_over(configured, old)
        exchange(stays, b", and more of it")
        rings = f"gogetway-{configured.ask('stats')['store']}.w0-block.*"
        assert any(pathlib.Path(log.get("dir", "/dev/shm")).glob(rings))
        old.kill()
        ended = configured.wait_event(new, "earlier process ended")
        assert ended["pid"] == old.pid and ended["rings"] > 0 and ended["bytes"] > 0
        assert not (configured.directory / f"control.{old.pid}").exists()
    said(web["listen"])
    assert new.stop() == 0
    payloads = [configured.payload(session.id, "client") for session in configured.sessions()]
    assert sorted(payloads) == [b"a block", b"in the old one's ring, and more of it"]
    configured.verify()


def test_an_old_process_that_is_killed_while_it_drains_is_recovered(configured, server):
    log = {"flush_interval": "1m"}
    check_what_a_killed_process_left(configured, server, log, log)


def test_an_old_process_with_another_log_dir_is_recovered(configured, scratch, server):
    """Its rings are out of the new one's directories, and the sandbox is on."""
    places = [scratch / "rings-1", scratch / "rings-2"]
    for place in places:
        place.mkdir()
    check_what_a_killed_process_left(configured, server, *({"flush_interval": "1m", "dir": str(place)}
                                                           for place in places))
    assert not any(places[0].iterdir())


def test_what_a_killed_process_left_is_written_when_the_disk_has_room_again(scratch, server):
    """The disk is full when it is killed, and for a while; nobody waits for it at work, nor has to be started anew."""
    web = listener(server.address, name="web")
    block = random.Random(4).randbytes(256 * 1024)
    with faults.mounted(scratch / "disk", size="2m") as disk, Configured(scratch, disk / "rec") as configured:
        configured.write(web, workers=1, log={"flush_interval": "1m"})
        old = configured.start()
        with connect(web["listen"]) as stays:
            exchange(stays, b"a word")
            new = take_over(configured, old)
            ballast = disk / "ballast"
            with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            exchange(stays, block)
            old.kill()
            refused = configured.wait_event(new, "what an earlier process left is not written")
        assert refused["pid"] == old.pid and "space" in refused["error"]
        before = faults.cpu_seconds(new.pid)
        for _ in range(20):
            said(web["listen"])
            assert not configured.events(new, "earlier process ended")
        assert configured.ask("stats")["state"] == "running"
        ballast.unlink()
        ended = configured.wait_event(new, "earlier process ended")
        assert faults.cpu_seconds(new.pid) - before < 1  # of the five between two tries
        assert ended["pid"] == old.pid and ended["rings"] > 0 and ended["bytes"] > len(block)
        assert len(configured.events(new, "what an earlier process left is not written")) == 1
        assert new.stop() == 0
        payloads = [configured.payload(session.id, "client") for session in configured.sessions()]
        assert sorted(payloads, key=len) == [b"a block"] * 20 + [b"a word" + block]
        configured.verify()


def test_sockets_that_killed_processes_left_are_removed(configured, server):
    """A taker that was killed before it served, and with it the one that it would have taken over from."""
    configured.write(listener(server.address))
    assert configured.start().stop() == 0
    for name in ("control", "control.new.99999", "control.99998"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(configured.directory / name))
    process = configured.start()
    assert [path.name for path in configured.directory.glob("control*")] == ["control"]
    assert process.stop() == 0


def leave(path):
    """A socket's name, as a killed process leaves it."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_the_socket_of_a_killed_taker_is_removed_at_once(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start()
    with taking_over(configured):
        leave(configured.directory / f"control.new.{os.getpid()}")
    configured.wait_event(old, "not taken over")
    assert [path.name for path in configured.directory.glob("control*")] == ["control"]
    assert configured.ask("stats")["state"] == "running"
    assert old.stop() == 0


def test_sockets_of_killed_processes_are_removed_by_who_takes_over(configured, server):
    """Not those that somebody listens on, whatever process has the number: that may be another's by now."""
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start()
    names = [f"control.new.{old.pid}", "control.new.1", "control.99998"]  # of two that live, and of none
    for name in names:
        leave(configured.directory / name)
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(configured.directory / "control.new.99997"))
        alive.listen(1)
        new = configured.start("--takeover")
        left = sorted(path.name for path in configured.directory.glob("control*"))
        assert not set(left) & set(names) and "control.new.99997" in left
    assert old.wait(20) == 0
    third = configured.start("--takeover")
    assert new.wait(20) == 0
    assert [path.name for path in configured.directory.glob("control*")] == ["control"]
    said(web["listen"])
    assert third.stop() == 0


@pytest.mark.parametrize("moment", ("asked", "answered"))
@pytest.mark.parametrize("then", ("a reload", "a takeover", "a start"))
def test_the_path_of_a_new_listener_of_a_killed_taker_can_be_had(configured, scratch, server, moment, then):
    web = listener(server.address, name="web")
    here = {"listen": f"unix:{scratch}/here", "upstream": server.address, "name": "here"}
    there = {"listen": f"unix:{scratch}/there", "upstream": server.address, "name": "there"}
    configured.write(web, here)
    old = configured.start()
    configured.write(web, here, there)
    between = Between(configured)
    new = configured.start("--takeover", wait=False)
    between.asked()
    if moment == "answered":
        between.answered()
        assert (scratch / "there").exists()
    new.kill()
    between.close()
    configured.wait_event(old, "not taken over")
    for entry in (web, here):
        said(entry["listen"])
    if then == "a reload":
        assert configured.reload()[0] == 0
        last = old
    else:
        if then == "a start":
            assert old.stop() == 0
        last = configured.start(*(["--takeover"] if then == "a takeover" else []))
        assert old.wait(20) == 0
        assert not list(configured.directory.glob("control.new.*"))
    for entry in (web, here, there):
        said(entry["listen"])
    assert last.stop() == 0
    assert not (scratch / "there").exists() and not (scratch / "here").exists()
    configured.verify()


def test_an_old_process_that_dies_when_it_is_to_let_go(configured, server):
    web = listener(server.address, name="web")
    with earlier(configured, web, "os.kill(os.getpid(), 9)") as old:
        new = configured.start("--takeover")
        assert configured.wait_event(new, "taken over from a process that is gone")["pid"] == old.pid
        assert configured.wait_event(new, "earlier process ended")["pid"] == old.pid
        said(web["listen"])
        assert configured.ask("stats")["pid"] == new.pid
        assert new.stop() == 0
    configured.verify()


def test_an_old_process_is_not_let_go_by_a_taker_that_gave_up(configured, server):
    """It reads that it was taken over when the one who said so is gone."""
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"before")
        with taking_over(configured) as (taker, _):
            halt(old)
            taker.sendall(b'{"command":"handed-over","taken":"1"}\n')
        old.popen.send_signal(signal.SIGCONT)
        configured.wait_event(old, "not taken over")
        exchange(stays, b"after")
    said(web["listen"])
    assert configured.ask("stats")["state"] == "running"
    new = configured.start("--takeover")
    assert old.wait(20) == 0
    said(web["listen"])
    assert new.stop() == 0
    configured.verify()


def test_a_new_process_serves_until_a_stopped_one_answers(configured, scratch, server):
    web = listener(server.address, name="web")
    gate = scratch / "gate"
    os.mkfifo(gate)
    end = f"open({str(gate)!r}).read(); listener.close(); peer.sendall(b'{{\"ok\":true}}\\n'); peer.recv(1)"
    with earlier(configured, web, end) as old:
        new = configured.start("--takeover", wait=False)
        assert configured.wait_event(new, "the process before does not let go yet")["pid"] == old.pid
        said(web["listen"])
        gate.write_bytes(b"go on")
        configured.wait_event(new, "ready")
        assert configured.wait_event(new, "earlier process ended")["pid"] == old.pid
        said(web["listen"])
        assert configured.ask("stats")["pid"] == new.pid
        assert new.stop() == 0
    assert len(configured.sessions()) == 2
    configured.verify()


def test_a_new_process_that_waits_for_an_answer_can_be_ended(configured, server):
    web = listener(server.address, name="web")
    with earlier(configured, web, "signal.pause()") as old:
        new = configured.start("--takeover", wait=False)
        configured.wait_event(new, "the process before does not let go yet")
        new.popen.send_signal(signal.SIGTERM)
        assert new.wait(20) == 3
        why = f"gogetway: process {old.pid}, the gateway on {configured.directory}, does not hand over: "
        assert why in new.errors()
        connect(web["listen"]).close()  # it has left the other's sockets as they were


def test_one_that_drains_and_ends_when_it_is_asked(configured, server):
    """Then there is nothing to take over; and what fails afterwards is told as it is."""
    web = listener(server.address, name="web")
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as aside, contextlib.closing(
            socket.create_server(("127.0.0.1", int(web["listen"].rsplit(":", 1)[1])))):
        aside.bind(str(configured.directory / f"control.{os.getpid()}"))
        aside.listen(1)
        aside.settimeout(20)
        new = configured.start("--takeover", wait=False)
        aside.accept()[0].close()
        aside.close()
        assert new.wait(20) == 3
    told, = [line for line in new.errors().splitlines() if line.startswith("gogetway: ")]
    assert web["listen"] in told and "in use" in told and "does not hand over" not in told


def test_told_to_end_while_it_is_taken_over(configured, server):
    """It waits for the taker: sockets that leave accept nobody, and the taker has no others."""
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"before")
        with taking_over(configured) as (taker, fds):
            old.popen.send_signal(signal.SIGTERM)
            configured.wait_event(old, "to drain when it is taken over")
            said(web["listen"])
            taker.sendall(b'{"command":"handed-over","taken":"1"}\n')
            assert b'"ok":true' in taker.recv(65536)
            configured.wait_event(old, "handed over")
            with socket.socket(fileno=os.dup(fds[1])) as ours, socket.socket() as client:
                client.settimeout(20)
                ours.settimeout(20)
                client.connect(ours.getsockname())
                ours.accept()[0].close()
            exchange(stays, b"after")
    assert old.wait(20) == 0


@pytest.mark.skipif(not TEST_ALL, reason="takes longer than a minute; GOGETWAY_TEST_ALL=1 runs it")
def test_a_taker_may_take_longer_than_others_may_be_silent(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    old = configured.start()
    with taking_over(configured) as (taker, _), socket.socket(socket.AF_UNIX) as idle:
        idle.settimeout(90)
        idle.connect(str(configured.directory / "control"))
        assert idle.recv(1) == b""  # it came after the taker was last heard of
        said(web["listen"])
        taker.sendall(b'{"command":"handed-over","taken":"1"}\n')
        assert b'"ok":true' in taker.recv(65536)
        configured.wait_event(old, "handed over")
    assert old.wait(20) == 0


@pytest.mark.parametrize("signals", (1, 2))
def test_told_to_end_and_the_taker_dies(configured, server, signals):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    old = configured.start()
    with taking_over(configured) as (_, fds):
        old.popen.send_signal(signal.SIGTERM)
        configured.wait_event(old, "to drain when it is taken over")
        if signals == 2:
            old.popen.send_signal(signal.SIGTERM)
            assert old.wait(20) == 0
            with socket.socket(fileno=os.dup(fds[1])) as ours, socket.socket() as client:
                client.settimeout(20)
                client.connect(ours.getsockname())
    assert old.wait(20) == 0


def test_a_new_process_that_cannot_publish_serves(configured, server):
    web = listener(server.address, name="web")
    end = ("[os.unlink(directory + '/' + name) for name in os.listdir(directory) if name.startswith('control.new')];"
           "listener.close(); peer.sendall(b'{\"ok\":true}\\n'); peer.recv(1)")
    with earlier(configured, web, end) as old:
        new = configured.start("--takeover")
        configured.wait_event(new, "commands do not find this gateway")
        assert configured.wait_event(new, "earlier process ended")["pid"] == old.pid
        said(web["listen"])
        assert new.stop() == 0
    configured.verify()


def test_a_gateway_that_cannot_hand_over_says_so(configured, server):
    """An earlier version has no such command; its reply is played here."""
    configured.write(listener(server.address))
    configured.directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(configured.directory / "control"))
        earlier.listen(1)
        new = configured.start("--takeover", wait=False)
        earlier.settimeout(20)
        connection, _ = earlier.accept()
        with connection:
            assert b'"takeover"' in connection.recv(4096)
            connection.sendall(b'{"ok":false,"error":"unknown command \\"takeover\\""}\n')
            assert new.wait(20) == 3
    assert "of a version that cannot" in new.errors() and str(os.getpid()) in new.errors()
