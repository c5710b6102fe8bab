# SPDX-License-Identifier: Apache-2.0
"""Bulk transfers and what disturbs them: urgent data, pipes refused, files that change while they are sent, and the
changes between in place and splice. Recorded equals received in all of them."""
import contextlib
import mmap
import os
import random
import resource
import shutil
import socket
import threading

import pytest

import faults
import processes
import recording
from gogetway import TEST_ALL, Gateway, Stream, program
from test_fidelity import check_everything, drive

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20241001"))
MIB = 1 << 20
NOBODY = 65534


def finish(gateway, tshark=True):
    session, = recording.finish(gateway, tshark)
    assert session.state == "closed"
    return session, gateway.payloads()[session.id]


def transfer(client, server, total, act=None, chance=None):
    """Sends `total` random bytes from client to server, calling act(offset) now and then. (sent, received)."""
    chance = chance or random.Random(SEED)
    reader = faults.Hasher(server)
    sent = bytearray()
    while len(sent) < total:
        part = chance.randbytes(min(total - len(sent), 256 << 10))
        client.sendall(part)
        sent += part
        if act:
            sent += act(len(sent)) or b""
    client.shutdown(socket.SHUT_WR)
    return Stream.of_bytes(bytes(sent)), reader.finish(120)


@pytest.mark.parametrize("splice", ["on", "off"])
def test_urgent_data_during_a_bulk_transfer(gateways, splice):
    """After an urgent byte splice(2) says EAGAIN for ever: the gateway takes it in place, and goes on."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--relay-splice", splice])
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

            def urgent(offset):
                byte = bytes([offset // MIB & 255])
                client.send(byte, socket.MSG_OOB)
                return byte
            sent, received = transfer(client, server, 16 * MIB, urgent)
            assert received == sent
        faults.wait_metric(gateway, "sessions_closed", 1)
        metrics = gateway.stats()["metrics"]
        assert (metrics["spliced_bytes"] > 0) == (splice == "on"), metrics
    session, payloads = finish(gateway)
    assert payloads["client"] == sent and session.forwarded("client") == sent.count


def test_pipes_refused_for_want_of_descriptors(gateways):
    """No descriptor is left for a pipe: the transfer stays in place and is right."""
    with faults.Upstream() as upstream:
        with gateways(upstream.address, options=["--relay-splice", "on", "--workers", 1]) as gateway:
            with faults.connect(gateway.listen) as client, upstream.accept() as server:
                client.sendall(b"x")
                assert server.recv(1) == b"x"
                faults.wait_metric(gateway, "log_written_bytes", 1)  # the segment's file is open
                used = max(int(name) for name in os.listdir(f"/proc/{gateway.process.pid}/fd")) + 1
                soft, hard = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (used, hard))
                sent, received = transfer(client, server, 16 * MIB)
                assert received == sent
                metrics = gateway.stats()["metrics"] if gateway.command("stats", check=False).returncode == 0 else None
            resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            if metrics is None:  # the control socket may have needed that descriptor
                metrics = gateway.stats()["metrics"]
            assert metrics["pipes_refused"] > 0, metrics
            session, payloads = finish(gateway)
    assert payloads["client"] == Stream.of_bytes(b"x" + random_bytes(16 * MIB)), "recorded is not what was sent"
    assert session.forwarded("client") == 16 * MIB + 1


def random_bytes(total):
    """What transfer() sends, again."""
    chance = random.Random(SEED)
    out = bytearray()
    while len(out) < total:
        out += chance.randbytes(min(total - len(out), 256 << 10))
    return bytes(out)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_small_pipes_of_a_user_who_has_used_up_his_share(scratch, require_program, totals):
    """Beyond pipe-user-pages-soft a user's new pipes have two pages or one: of no use, so in place."""
    home = scratch / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with open("/proc/sys/fs/pipe-user-pages-soft") as file:
        pages = int(file.read())
    if pages == 0:
        pytest.skip("pipe-user-pages-soft is 0: there is no share to use up")
    hog = ("import os,fcntl,sys,time\nkeep=[]\nfor _ in range(%d):\n p=os.pipe(); keep.append(p)\n"
           " try: fcntl.fcntl(p[1],1031,1<<20)\n except OSError: pass\nprint('used',flush=True)\ntime.sleep(600)\n"
           % (pages // 256 + 80))
    with faults.Upstream() as upstream, contextlib.ExitStack() as stack:
        hogs = stack.enter_context(processes.Process([*as_nobody, "/usr/bin/python3", "-c", hog], scratch, name="hog"))
        processes.wait_until(lambda: "used" in hogs.output() or not hogs.running(), 20, "pipes used up")
        assert hogs.running(), hogs.errors()
        listen = processes.address("127.0.0.1", processes.free_port())
        run = stack.enter_context(processes.Process(
            [*as_nobody, program(), "run", "--listen", listen, "--upstream", upstream.address, "--dir", home / "rec",
             "--relay-splice", "on", "--workers", 1, "--metrics-file", home / "rec.prom"], scratch, name="gogetway"))
        run.wait_listening(listen)
        gateway = Gateway(home / "rec", upstream.address, listen=listen, scratch=scratch)
        gateway.process = run
        totals[gateway] = home / "rec.prom"
        with faults.connect(listen) as client, upstream.accept() as server:
            sent, received = transfer(client, server, 16 * MIB)
            assert received == sent
        metrics = gateway.stats()["metrics"]
        assert metrics["pipes_refused"] > 0 and metrics["spliced_bytes"] == 0, metrics
        _, payloads = finish(gateway)
    assert payloads["client"] == sent


def test_a_file_that_changes_while_it_is_sent(gateways, scratch):
    """sendfile's pages are the file's: with splice auto a local sender is read in place, so what was recorded is what
    was sent on, whatever the file says by then."""
    size = 32 * MIB
    path = scratch / "changing"
    path.write_bytes(bytes(size))
    with faults.Upstream() as upstream, open(path, "r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        gateway = gateways(upstream.address, options=["--relay-splice", "auto"])
        stop = threading.Event()

        def scribble():
            value = 0
            while not stop.is_set():
                value = (value + 1) & 255
                for at in range(0, size, 1 << 16):
                    memory[at:at + 64] = bytes([value]) * 64
        thread = threading.Thread(target=scribble, daemon=True)
        thread.start()
        try:
            with faults.connect(gateway.listen) as client, upstream.accept() as server:
                reader = faults.Hasher(server)
                client.settimeout(None)
                offset = 0
                while offset < size:
                    offset += os.sendfile(client.fileno(), file.fileno(), offset, min(MIB, size - offset))
                client.shutdown(socket.SHUT_WR)
                received = reader.finish()
        finally:
            stop.set()
            thread.join(10)
        assert received.count == size
        _, payloads = finish(gateway)
    assert payloads["client"] == received, "what is recorded is not what was received"


def test_changes_between_in_place_and_splice(gateways, scratch):
    """Bursts and single bytes in turn, both ways at once, urgent bytes among them: directions change to and fro."""
    total = (256 if TEST_ALL else 16) * MIB
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--relay-splice", "on", "--workers", 1])
        with faults.connect(gateway.listen, seconds=60) as client, upstream.accept(60) as server:
            for sock in (client, server):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            readers = {"client": faults.Hasher(server), "server": faults.Hasher(client)}
            sent, errors = {}, []

            def talk(side, sock):
                chance = random.Random(f"{SEED}-{side}")
                said = bytearray()
                try:
                    while len(said) < total:
                        way = chance.random()
                        if way < 0.5:
                            burst = chance.randbytes(chance.randrange(MIB, 4 * MIB))
                            sock.sendall(burst)
                            said += burst
                            continue
                        for _ in range(chance.randrange(1, 40)):
                            small = chance.randbytes(chance.randrange(1, 300))
                            if chance.random() < 0.05:
                                sock.send(small[:1], socket.MSG_OOB)
                                said += small[:1]
                                continue
                            sock.sendall(small)
                            said += small
                            wanted = len(said)
                            # One at a time, so that the gateway sees small reads.
                            processes.wait_until(lambda: readers[side].count >= wanted, 60, "the other end")
                    sock.shutdown(socket.SHUT_WR)
                except Exception as error:
                    errors.append(error)
                sent[side] = Stream.of_bytes(bytes(said))
            threads = [threading.Thread(target=talk, args=pair) for pair in (("client", client), ("server", server))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(200)
            assert not errors, errors
            received = {side: reader.finish() for side, reader in readers.items()}
            assert received == sent
        metrics = gateway.stats()["metrics"]
        assert metrics["splice_begun"] > 1 and metrics["splice_ended"] > 1, metrics
        _, payloads = finish(gateway, tshark=not TEST_ALL)
    assert payloads == sent


def test_random_sessions_with_few_pipes(scratch, require_program, totals):
    """Descriptors run short again and again while many bulk flows want pipes: each does what it can, all are right."""
    address = processes.address("127.0.0.1", processes.free_port())
    listen = processes.address("127.0.0.1", processes.free_port())
    with processes.Process(["prlimit", "--nofile=120:120", program(), "run", "--listen", listen, "--upstream", address,
                            "--dir", scratch / "rec", "--relay-splice", "on", "--workers", 1, "--metrics-file",
                            scratch / "rec.prom"], scratch) as run:
        run.wait_listening(listen)
        gateway = Gateway(scratch / "rec", address, listen=listen, scratch=scratch)
        gateway.process = run
        totals[gateway] = scratch / "rec.prom"
        result, status, log = drive(gateway, address, scratch, SEED, 120, deadline=120, concurrency=30,
                                    unique_source=True, bytes_max=4 * MIB, slow_percent=5)
    assert status == 0, log
    check_everything(result, gateway, scratch)
