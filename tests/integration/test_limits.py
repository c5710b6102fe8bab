# SPDX-License-Identifier: Apache-2.0
"""Limits: descriptors, sessions, ports; and that nothing is left behind after very many sessions."""
import contextlib
import os
import select
import subprocess
import threading
import time

import pytest

import endpoints
import faults
import processes
import torture
from gogetway import TEST_ALL, Gateway, program


def started(scratch, totals, upstream, nofile, options=()):
    """A gateway with a limit on descriptors, as a context manager."""
    listen = processes.address("127.0.0.1", processes.free_port())
    command = ["prlimit", f"--nofile={nofile}:{nofile}", program(), "run", "--listen", listen, "--upstream", upstream,
               "--dir", scratch / "rec", "--metrics-file", scratch / "rec.prom", *options]
    run = processes.Process(command, scratch)
    gateway = Gateway(scratch / "rec", upstream, listen=listen, scratch=scratch)
    gateway.process = run
    totals[gateway] = scratch / "rec.prom"
    gateway.wait_ready()
    return gateway


def check_idle(gateway, seconds=2.0):
    """While nothing can be accepted the process must not spin: a quarter of one core is far more than it needs."""
    before, begun = faults.cpu_seconds(gateway.process.pid), time.monotonic()
    time.sleep(seconds)  # the measured interval
    used, took = faults.cpu_seconds(gateway.process.pid) - before, time.monotonic() - begun
    assert used < 0.25 * took, f"{used} CPU seconds in {took} s of waiting"


def serve_all(clients, wanted, seconds=60):
    """Ends the clients as they are served, in whatever order that is; each must have had its echo."""
    poller = select.poll()
    waiting = {client.fileno(): client for client in clients}
    for descriptor in waiting:
        poller.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(clients)} clients were not served"
        for descriptor, _ in poller.poll(1000):
            client = waiting.pop(descriptor)
            poller.unregister(descriptor)
            assert faults.read_exactly(client, 6) == wanted[client]
            client.close()
    return len(clients)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_limit_on_descriptors(scratch, require_program, totals, workers):
    """More clients than descriptors: accepting pauses without spinning, goes on when sessions end, all are served."""
    nofile, count = (20000, 11000) if TEST_ALL else (400, 400)
    with faults.descriptors(count + 1000), faults.echo_process(scratch) as upstream:
        with started(scratch, totals, upstream, nofile, ["--workers", workers]) as gateway:
            clients, wanted = [], {}
            for number in range(count):
                client = faults.connect(gateway.listen, source=f"127.8.{number // 250}.{number % 250 + 1}", seconds=60)
                client.sendall(b"%06d" % number)
                clients.append(client)
                wanted[client] = b"%06d" % number
            faults.wait_metric(gateway, "accept_pauses", 1)
            opened = processes.wait_until(lambda: faults.metric(gateway, "sessions_open"), 20, "sessions")
            assert opened < count
            assert gateway.descriptors() <= nofile
            check_idle(gateway)
            assert faults.events(gateway, "accepting pauses"), "no line in the log says why clients wait"
            assert serve_all(clients, wanted) == count
            faults.wait_metric(gateway, "sessions_closed", count, seconds=60)
            assert faults.events(gateway, "accepting again")
            status, log = gateway.stop()
            assert status == 0, log
    sessions = gateway.sessions()
    assert len(sessions) == count and all(session["close"] == "client-fin" for session in sessions)
    gateway.verify()


@pytest.mark.parametrize("option", ["--sessions-max", "--listener-sessions-max"])
def test_the_limit_on_sessions(gateways, option):
    """The next client waits in the kernel's queue until one has left."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[option, 5])
        clients, wanted = [], {}
        for number in range(12):
            client = faults.connect(gateway.listen)
            client.sendall(b"%06d" % number)
            clients.append(client)
            wanted[client] = b"%06d" % number
        faults.wait_metric(gateway, "accept_pauses", 1)
        assert faults.metric(gateway, "sessions_open") <= 5 + 1  # two workers may each see the last free place
        check_idle(gateway, 1.0)
        assert serve_all(clients, wanted) == 12
        faults.wait_metric(gateway, "sessions_closed", 12)
        assert gateway.stop()[0] == 0
    assert len(gateway.sessions()) == 12
    gateway.verify()


def test_a_listeners_limit_is_its_own(gateways):
    """One listener at its limit; the other accepts."""
    second = processes.address("127.0.0.1", processes.free_port())
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--listener-sessions-max", 1, "--listen", second, "--upstream",
                                                      upstream.address])
        with faults.connect(gateway.listen) as first, faults.connect(gateway.listen) as waiting:
            first.sendall(b"a")
            assert first.recv(1) == b"a"
            waiting.sendall(b"b")
            faults.wait_metric(gateway, "accept_pauses", 1)
            for _ in range(5):
                with faults.connect(second) as other:
                    other.sendall(b"c")
                    assert other.recv(1) == b"c"
            waiting.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting.recv(1)
            waiting.settimeout(20)
            first.close()
            assert waiting.recv(1) == b"b"
        assert gateway.stop()[0] == 0


@pytest.mark.parametrize("holder", ["somebody", "unix-somebody", "wildcard"])
def test_a_port_that_is_taken(scratch, require_program, holder):
    """Exit status 3 and one clear line with the address and why; the holder is not disturbed."""
    with contextlib.ExitStack() as stack:
        if holder == "unix-somebody":
            held = stack.enter_context(faults.Upstream(f"unix:{scratch}/held"))
            listen = held.address
        else:
            held = stack.enter_context(faults.Upstream())
            listen = held.address if holder == "somebody" else ":" + held.address.rsplit(":", 1)[1]
        done = subprocess.run([program(), "run", "--listen", listen, "--upstream", "none", "--dir", scratch / "rec"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 3
        last = done.stderr.splitlines()[-1]
        assert "cannot listen on" in last and "Address already in use" in last and listen.lstrip(":") in last
        with faults.connect(held.address):
            held.accept().close()


@pytest.mark.parametrize("count", [100000 if TEST_ALL else 5000])
def test_nothing_is_left_after_very_many_sessions(gateways, scratch, count):
    """Descriptors are as many as at the beginning, and memory does not grow with the number of sessions. (The cache of
    the database does, up to its size: test_catalogue.py looks at that.)"""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--catalogue", "off"])
    half = count // 2

    def drive(seed, sessions):
        run = endpoints.Endpoints(scratch, seed, sessions, gateway.listen, upstream, deadline=500, concurrency=64,
                                  bytes_max=2000, slow_percent=0, reset_percent=20, zero_percent=10).start()
        run.finish(600)
        processes.wait_until(lambda: faults.metric(gateway, "sessions_open") == 0, 20, "all sessions closed")
        processes.wait_until(lambda: faults.metric(gateway, "log_fill_bytes") == 0, 20, "all is written")
        return gateway.descriptors(), faults.private_bytes(gateway.process.pid)
    drive(1, 500)  # rings, slabs, spare sessions and the segment's file are there now
    first = drive(2, half)
    second = drive(3, count - half)
    assert second[0] <= first[0] + 2, f"descriptors: {first[0]}, then {second[0]}"
    if torture.preload_works():  # a sanitizer keeps what was freed for a while, and has memory of its own beside it
        assert second[1] <= first[1] + (1 << 20), f"private: {first[1]}, then {second[1]} after {count - half} more"
    metrics = gateway.stats()["metrics"]
    assert metrics["sessions_opened"] == metrics["sessions_closed"]
    assert metrics["accept_failures"] == 0 and metrics["pending_exhausted"] == 0
    status, log = gateway.stop()
    assert status == 0, log
    assert len(gateway.sessions()) == metrics["sessions_opened"]


@pytest.mark.skipif("GOGETWAY_ASAN" not in os.environ, reason="GOGETWAY_ASAN names a build with AddressSanitizer")
def test_leak_sanitizer_finds_nothing(scratch):
    upstream = processes.address("127.0.0.1", processes.free_port())
    listen = processes.address("127.0.0.1", processes.free_port())
    run = processes.Process([os.environ["GOGETWAY_ASAN"], "run", "--listen", listen, "--upstream", upstream, "--dir",
                             scratch / "rec"], scratch, env={"ASAN_OPTIONS": "detect_leaks=1"})
    with run:
        run.wait_listening(listen)
        endpoints.Endpoints(scratch, 4, 2000, listen, upstream, deadline=200, concurrency=64,
                            bytes_max=20000).start().finish(300)
        assert run.stop(60) == 0, run.errors()
    assert "LeakSanitizer" not in run.errors() and "AddressSanitizer" not in run.errors(), run.errors()


def test_clients_that_come_and_go_at_the_limit(scratch, require_program, totals):
    """Clients that reset while they wait, again and again, do not take the others' turns."""
    with faults.Echo() as upstream:
        with started(scratch, totals, upstream.address, 260, ["--workers", 1]) as gateway:
            stop = threading.Event()

            def churn():
                while not stop.wait(0.01):  # at full speed it would only measure the length of the kernel's queue
                    with contextlib.suppress(OSError):
                        sock = faults.connect(gateway.listen, seconds=2)
                        sock.sendall(b"x")
                        faults.reset(sock)
            threads = [threading.Thread(target=churn, daemon=True) for _ in range(2)]
            for thread in threads:
                thread.start()
            try:
                for number in range(50):
                    with faults.connect(gateway.listen, seconds=30) as client:
                        client.sendall(b"%06d" % number)
                        assert faults.read_exactly(client, 6) == b"%06d" % number
            finally:
                stop.set()
                for thread in threads:
                    thread.join(10)
            assert gateway.stop()[0] == 0
