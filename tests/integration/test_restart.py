# SPDX-License-Identifier: Apache-2.0
"""Hot restart: a new process takes over store and sockets, the old one drains. And sockets from a parent."""
import contextlib
import json
import os
import random
import signal
import socket
import sys

import pytest

import faults
import processes
import prometheus
from gogetway import TEST_ALL, program
from live import Clients, Configured, EchoServer, connect, exchange

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

# Becomes the command with sockets that its parent keeps.
LENDER = """
import os, sys
fds, command = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
aside = [os.dup2(fd, 100 + number, inheritable=False) for number, fd in enumerate(fds)]
for number, fd in enumerate(aside):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(command[0], command)
"""

# A gateway that hands over all it has, and does what it is told when it was taken over.
EARLIER = """
import fcntl, json, os, signal, socket, struct, sys
directory, listen, end = sys.argv[1:]
lock = os.open(directory + "/lock", os.O_RDWR)
fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))  # F_OFD_SETLK: the first byte
host, port = listen.rsplit(":", 1)
listener = socket.create_server((host, int(port)))
control = socket.socket(socket.AF_UNIX)
control.bind(directory + "/control.new")
control.listen(1)
os.rename(directory + "/control.new", directory + "/control")
peer, _ = control.accept()
lines = peer.makefile("rb")
assert b'"takeover"' in lines.readline()
reply = {"ok": True, "pid": os.getpid(), "siblings": [], "listeners": [{"name": "web", "listen": listen, "sockets": 1}]}
socket.send_fds(peer, [json.dumps(reply).encode() + b"\\n"], [lock, listener.fileno()])
assert b'"handed-over"' in lines.readline()
exec(end)
"""


@pytest.fixture
def server():
    with EchoServer() as echo:
        yield echo


@pytest.fixture
def configured(scratch):
    with Configured(scratch) as gateway:
        yield gateway


def listener(upstream, **more):
    return {"listen": processes.address("127.0.0.1", processes.free_port()), "upstream": upstream, **more}


def said(address, block=b"a block"):
    with connect(address) as peer:
        exchange(peer, block)


def halt(process):
    """Stops it, and waits until each of its threads has: one that was woken meanwhile goes on until it sees it."""
    process.popen.send_signal(signal.SIGSTOP)

    def halted():
        for task in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{task}/stat", encoding="utf-8") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True
    processes.wait_until(halted, 20, "every thread stopped")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def taking_over(configured):
    """A taker that has all it asked for: its connection and the descriptors."""
    with socket.socket(socket.AF_UNIX) as taker, contextlib.ExitStack() as stack:
        taker.settimeout(20)
        taker.connect(str(configured.directory / "control"))
        taker.sendall(b'{"command":"takeover","protocol":"1"}\n')
        data, fds, _, _ = socket.recv_fds(taker, 65536, 253)
        for fd in fds:
            stack.callback(os.close, fd)
        while not data.endswith(b"\n"):
            data += taker.recv(65536)
        assert b'"ok":true' in data and len(fds) >= 2
        yield taker, fds


@contextlib.contextmanager
def earlier(configured, web, end):
    command = [sys.executable, "-c", EARLIER, configured.directory, web["listen"], end]
    with processes.Process(command, configured.scratch) as old:
        processes.wait_until((configured.directory / "control").exists, 20, "the old one's socket")
        yield old


def stats_of(configured, pid, *words, **options):
    return configured.command("stats", "--pid", str(pid), *words, **options)


def ask_pid(configured, pid):
    return json.loads(stats_of(configured, pid, "--json").stdout)


# ── One process after the other ──────────────────────────────────────────────────────────────────────────────────────

def test_without_a_gateway_it_starts_as_always(configured, server):
    web = listener(server.address)
    configured.write(web)
    process = configured.start("--takeover")
    said(web["listen"])
    assert process.stop() == 0
    assert len(configured.sessions()) == 1


def test_a_new_process_serves_and_the_old_one_drains(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=2)
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"with the old one")
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
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
    with Clients(web["listen"], staying=staying) as clients:
        for _ in range(restarts):
            before = configured.processes[-1]
            configured.start("--takeover")
            configured.wait_event(before, "handed over")
            clients.more(20)
        clients.stay(b"goodbye")
        sent = clients.end()
    for process in configured.processes[:-1]:
        assert process.wait(30) == 0
    assert configured.processes[-1].stop(30) == 0
    assert configured.digests() == sent
    configured.verify()


def test_the_number_of_workers_may_change(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, workers=1)
    configured.start()
    with Clients(web["listen"], staying=5) as clients:
        for workers in (3, 2, 4, 1):
            before = configured.processes[-1]
            configured.write(web, workers=workers)
            configured.start("--takeover")
            configured.wait_event(before, "handed over")
            clients.more(50)
            assert configured.ask("stats")["workers"] == workers
        sent = clients.end()
    for process in configured.processes[:-1]:
        assert process.wait(30) == 0
    assert configured.processes[-1].stop(30) == 0
    assert configured.digests() == sent
    configured.verify()


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
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
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
    new = configured.start("--takeover")
    configured.wait_event(old, "handed over")
    said(web["listen"])
    said(ftp["listen"])
    processes.wait_until(lambda: not processes.is_listening(ssh["listen"]), 10, "no listener")
    assert old.wait(20) == 0
    said(web["listen"])
    assert new.stop() == 0


def test_a_drained_upstream_stays_drained(configured, server):
    """Over two takeovers, and until it is resumed; the same name at another listener is not drained."""
    with EchoServer() as other:
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
    with socket.socket(socket.AF_UNIX) as taker:
        taker.settimeout(10)
        taker.connect(str(configured.directory / "control"))
        taker.sendall(b'{"command":"takeover","protocol":"1"}\n')
        data, fds, _, _ = socket.recv_fds(taker, 65536, 253)
        for fd in fds:
            os.close(fd)
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
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
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


# ── What goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────

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


def test_a_hand_over_that_is_refused_leaves_the_sockets_as_they_were(configured, scratch, server):
    """The new process serves already when the old one cannot let go: its end is not the sockets'."""
    web = listener(server.address, name="web")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local"}
    configured.write(web, local)
    old = configured.start()
    (configured.directory / f"control.{old.pid}").mkdir()  # where its control socket would go
    new = configured.start("--takeover", wait=False)
    assert new.wait(20) == 3
    assert old.running()
    for _ in range(20):
        said(web["listen"])
        said(local["listen"])
    assert old.stop() == 0
    assert not (scratch / "socket").exists()
    configured.verify()


def test_a_taker_that_dies_before_it_serves_changes_nothing(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    old = configured.start()
    before = descriptors(old)
    with socket.socket(socket.AF_UNIX) as taker:
        taker.settimeout(10)
        taker.connect(str(configured.directory / "control"))
        taker.sendall(b'{"command":"takeover","protocol":"1"}\n')
        data, fds, _, _ = socket.recv_fds(taker, 65536, 253)
        while not data.endswith(b"\n"):
            data += taker.recv(65536)
        assert b'"ok":true' in data and len(fds) >= 2
        second = configured.start("--takeover", wait=False)
        assert second.wait(20) == 3
        assert f"process {os.getpid()} is taking over already" in second.errors()
        status, reply = configured.reload()
        assert status == 3 and "taking over" in reply["error"]
        for fd in fds:
            os.close(fd)
    configured.wait_event(old, "not taken over")
    said(web["listen"])
    processes.wait_until(lambda: descriptors(old) <= before, 10, "no more descriptors than before")
    assert configured.ask("handed-over", taken="1")["ok"] is False
    assert configured.ask("takeover", protocol="2")["error"].count("protocol") == 1
    new = configured.start("--takeover")
    assert old.wait(20) == 0 and new.stop() == 0


class Between:
    """Stands between a taker and the one that runs, and says when each word of theirs has come."""

    def __init__(self, configured):
        self.place, self.aside = configured.directory / "control", configured.directory / "control.aside"
        self.place.rename(self.aside)
        self.listener, self.old, self.taker = (socket.socket(socket.AF_UNIX) for _ in range(3))
        self.taker.close()
        self.old.settimeout(20)
        self.listener.settimeout(20)
        self.old.connect(str(self.aside))
        self.listener.bind(str(self.place))
        self.listener.listen(1)

    def asked(self):
        self.taker, _ = self.listener.accept()
        self.taker.settimeout(20)
        self.lines = self.taker.makefile("rb")
        self.old.sendall(self.lines.readline())
        self.reply, self.fds, _, _ = socket.recv_fds(self.old, 65536, 253)
        while not self.reply.endswith(b"\n"):
            self.reply += self.old.recv(65536)

    def answered(self):
        """And it has said that it could serve, which nobody hears."""
        socket.send_fds(self.taker, [self.reply], self.fds)
        assert b'"handed-over"' in self.lines.readline()

    def close(self):
        for fd in self.fds:
            os.close(fd)
        for peer in (self.lines, self.taker, self.old, self.listener):
            peer.close()
        self.aside.replace(self.place)


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
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
        clients.more(200)
        sent = clients.end()
    assert old.wait(30) == 0 and new.stop(30) == 0
    assert configured.digests() == sent
    # The new one's logs have its number behind their names; every worker has had a client.
    logs = {segment.name.split("-", 1)[1].rsplit("-", 1)[0] for segment in configured.segments()}
    assert logs == {"w0-block", "w0-block-2", "w1-block-2", "w2-block-2", "w3-block-2"}
    configured.verify()


def test_an_old_process_that_is_killed_while_it_drains_is_recovered(configured, server):
    web = listener(server.address, name="web")
    configured.write(web, log={"flush_interval": "1m"})
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"in the old one's ring")
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
        exchange(stays, b", and more of it")
        old.kill()
        ended = configured.wait_event(new, "earlier process ended")
        assert ended["pid"] == old.pid and ended["bytes"] > 0
        assert not (configured.directory / f"control.{old.pid}").exists()
    said(web["listen"])
    assert new.stop() == 0
    payloads = [configured.payload(session.id, "client") for session in configured.sessions()]
    assert sorted(payloads) == [b"a block", b"in the old one's ring, and more of it"]
    configured.verify()


def test_what_a_killed_process_left_is_written_when_the_disk_has_room_again(scratch, server):
    """The disk is full when it is killed, and for a while; nobody waits for it at work, nor has to be started anew."""
    web = listener(server.address, name="web")
    block = random.Random(4).randbytes(256 * 1024)
    with faults.mounted(scratch / "disk", size="2m") as disk, Configured(scratch, disk / "rec") as configured:
        configured.write(web, workers=1, log={"flush_interval": "1m"})
        old = configured.start()
        with connect(web["listen"]) as stays:
            exchange(stays, b"a word")
            new = configured.start("--takeover")
            configured.wait_event(old, "handed over")
            ballast = disk / "ballast"
            with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            exchange(stays, block)
            old.kill()
            refused = configured.wait_event(new, "what an earlier process left is not written")
        assert refused["pid"] == old.pid and "space" in refused["error"]
        before = processor_seconds(new)
        for _ in range(20):
            said(web["listen"])
            assert not configured.events(new, "earlier process ended")
        assert configured.ask("stats")["state"] == "running"
        ballast.unlink()
        ended = configured.wait_event(new, "earlier process ended")
        assert processor_seconds(new) - before < 1  # of the five between two tries
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


def test_an_old_process_with_another_log_dir_is_recovered(configured, scratch, server):
    """Its rings are out of the new one's directories, and the sandbox is on."""
    web = listener(server.address, name="web")
    places = [scratch / "rings-1", scratch / "rings-2"]
    for place in places:
        place.mkdir()
    configured.write(web, log={"flush_interval": "1m", "dir": str(places[0])})
    old = configured.start()
    with connect(web["listen"]) as stays:
        exchange(stays, b"in the old one's ring")
        configured.write(web, log={"flush_interval": "1m", "dir": str(places[1])})
        new = configured.start("--takeover")
        configured.wait_event(old, "handed over")
        exchange(stays, b", and more of it")
        assert any(places[0].iterdir())
        old.kill()
        ended = configured.wait_event(new, "earlier process ended")
        assert ended["pid"] == old.pid and ended["rings"] > 0 and ended["bytes"] > 0
    assert not any(places[0].iterdir())
    said(web["listen"])
    assert new.stop() == 0
    payloads = [configured.payload(session.id, "client") for session in configured.sessions()]
    assert sorted(payloads) == [b"a block", b"in the old one's ring, and more of it"]
    configured.verify()


def test_an_old_process_that_dies_when_it_is_to_let_go(configured, server):
    web = listener(server.address, name="web")
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
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
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
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
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
    with earlier(configured, web, "signal.pause()"):
        new = configured.start("--takeover", wait=False)
        configured.wait_event(new, "the process before does not let go yet")
        new.popen.send_signal(signal.SIGTERM)
        assert new.wait(20) == 3 and "does not hand over" in new.errors()
        connect(web["listen"]).close()  # it has left the other's sockets as they were


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
    configured.write(web)
    assert configured.start().stop() == 0  # makes the store
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


# ── Sockets from a parent ────────────────────────────────────────────────────────────────────────────────────────────

def start_by_parent(configured, names, addresses, *words, wait=True):
    command = [sys.executable, "-c", PARENT, names, ",".join(addresses), program(), "run", "-c", configured.file,
               "--dir", configured.directory, *words]
    process = processes.Process(command, configured.scratch, name=f"gateway-{len(configured.processes) + 1}")
    configured.processes.append(process)
    if wait:
        configured.wait_event(process, "ready")
    return process


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
    other = processes.address("127.0.0.1", processes.free_port())
    process = start_by_parent(configured, "a:b", [web["listen"], other], wait=False)
    assert process.wait(20) == 3
    assert f"listens on {other}" in process.errors() and "'b'" in process.errors()


@contextlib.contextmanager
def lent(*addresses, share=False):
    """Listening sockets that this process keeps, as systemd does."""
    with contextlib.ExitStack() as stack:
        listeners = []
        for address in addresses:
            if address.startswith("unix:"):
                listeners.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
                listeners[-1].bind(address[5:])
                listeners[-1].listen(64)
            else:
                host, port = address.rsplit(":", 1)
                listeners.append(stack.enter_context(
                    socket.create_server((host, int(port)), backlog=64, reuse_port=share)))
        yield listeners


def start_with(configured, listeners, *words, wait=True):
    fds = [listener.fileno() for listener in listeners]
    command = [sys.executable, "-c", LENDER, ",".join(map(str, fds)), program(), "run", "-c", configured.file,
               "--dir", configured.directory, *words]
    process = processes.Process(command, configured.scratch, name=f"gateway-{len(configured.processes) + 1}",
                                pass_fds=fds)
    configured.processes.append(process)
    if wait:
        configured.wait_event(process, "ready")
    return process


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
    process = processes.Process(["systemd-socket-activate", "-l", web["listen"], program(), "run", "-c",
                                 configured.file, "--dir", configured.directory], configured.scratch, name="activated")
    configured.processes.append(process)
    processes.wait_until(lambda: processes.is_listening(web["listen"]), 20, "systemd-socket-activate")
    said(web["listen"])  # the first connection starts it
    configured.wait_event(process, "ready")
    said(web["listen"])
    assert process.stop() == 0
    assert len(configured.sessions()) == 2
