# SPDX-License-Identifier: Apache-2.0
"""Listeners that only forward (record: off): every byte and every end arrives as it does otherwise, the store never
hears of it, and nothing that happens to the recording holds it up."""
import os
import random
import socket

import pytest

import endpoints
import faults
import processes
import prometheus
import recording
from gogetway import Stream, program
from live import Clients, Configured
from processes import free_address
from test_disk import MIB, SIZE, SMALL_LOG, EchoTalk, Sender, small_disk
from test_fidelity import drive
from test_proxy_protocol import CLIENT, SERVER, TRUST, parse, v1

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20241122"))
OFF = ["--record", "off"]


def check_no_trace(gateway):
    """The store is one in which nothing ever happened."""
    assert gateway.segments() == [] and gateway.sessions() == []
    gateway.verify()


def finish(gateway):
    assert recording.finish(gateway) == [] and gateway.segments() == []


# ── Every byte ───────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("options", [["--relay-splice", "on"], ["--relay-splice", "off"], ["--sync-mode", "always"]],
                         ids=" ".join)
def test_random_sessions(gateways, scratch, options):
    """Half-closes, resets, urgent bytes, slow readers, both ways of relaying: the ends agree."""
    upstream = free_address()
    gateway = gateways(upstream, options=[*OFF, *options])
    result, status, log = drive(gateway, upstream, scratch, SEED, 300, concurrency=32, unique_source=True,
                                bytes_max=8 << 20, slow_percent=2)
    assert status == 0, log
    problems = endpoints.check_endpoints(result)
    assert not problems, endpoints.show(problems)
    check_no_trace(gateway)


@pytest.mark.parametrize("client,server", [("127.0.0.1", "unix"), ("unix", "127.0.0.1"), ("::1", "::1")])
def test_random_sessions_over_other_sockets(gateways, scratch, client, server):
    def place(kind, name):
        return f"unix:{scratch}/{name}" if kind == "unix" else free_address(kind)
    upstream = place(server, "upstream")
    gateway = gateways(upstream, place(client, "listen"), options=OFF)
    result, status, log = drive(gateway, upstream, scratch, SEED + 1, 150, concurrency=32, unique_source=True,
                                bytes_max=4 << 20, reset_percent=0, urgent_percent=0)
    assert status == 0, log
    problems = endpoints.check_endpoints(result)
    assert not problems, endpoints.show(problems)
    check_no_trace(gateway)


@pytest.mark.parametrize("splice", ["auto", "on", "off"])
def test_bulk_and_half_close(gateways, splice):
    """Where nothing is recorded there is no tee whose pages could change: auto splices from this host too."""
    data, answer = random.Random(SEED).randbytes(24 * MIB), b"got it"
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=[*OFF, "--relay-splice", splice, "--workers", 1])
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            reader = faults.Hasher(server)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert reader.finish() == Stream.of_bytes(data)
            server.sendall(answer)
            server.close()
            assert faults.read_to_end(client) == (answer, False)
        faults.wait_metric(gateway, "sessions_closed", 1)
        metrics = gateway.stats()["metrics"]
        assert metrics["forwarded_client_bytes"] == metrics["record_off_client_bytes"] == len(data)
        assert metrics["forwarded_server_bytes"] == metrics["record_off_server_bytes"] == len(answer)
        assert (metrics["spliced_bytes"] > len(data) // 2) == (splice != "off"), metrics
        assert metrics["unrecorded_bytes"] == metrics["tee_short"] == 0
        finish(gateway)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_is_passed_on(gateways, side):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=OFF)
        client, server = faults.connect(gateway.listen), upstream.accept()
        client.sendall(b"hello")
        assert faults.read_exactly(server, 5) == b"hello"
        gone, stays = (client, server) if side == "client" else (server, client)
        faults.reset(gone)
        assert faults.read_to_end(stays) == (b"", True)
        stays.close()
        faults.wait_metric(gateway, f"resets_{side}", 1)
        finish(gateway)


def test_a_slow_receiver_gets_everything(gateways):
    """What cannot be sent waits: the gateway stops reading, and goes on to the end."""
    data = random.Random(SEED).randbytes(8 * MIB)
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=[*OFF, "--relay-splice", "off"])
        with faults.connect(gateway.listen) as client:
            with upstream.accept() as server:
                sender = Sender(client, len(data), SEED)
                faults.wait_metric(gateway, "pending_bytes", 1)
                reader = faults.Hasher(server)
                sender.finish()
                assert reader.finish() == Stream.of_bytes(data) and sender.error is None
        finish(gateway)


def test_an_upstream_that_refuses(gateways):
    gateway = gateways(free_address(), options=OFF)
    for _ in range(3):
        assert faults.attempt(gateway.listen, b"anybody?") == (b"", True)
    faults.wait_metric(gateway, "sessions_record_off", 3)
    assert faults.metric(gateway, "connects_refused") == 3
    finish(gateway)


def test_proxy_headers(gateways):
    """Read from the client, told to the upstream, and not among the payload."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=[*OFF, "--proxy-protocol-in", "v1", *TRUST,
                                                      "--proxy-protocol-out", "v2"])
        with faults.connect(gateway.listen) as client:
            client.sendall(v1() + b"hello")
            client.shutdown(socket.SHUT_WR)
            with upstream.accept() as server:
                got, _ = faults.read_to_end(server)
            client_told, server_told, used = parse(got)
            assert (client_told, server_told, got[used:]) == (CLIENT, SERVER, b"hello")
        assert faults.attempt(gateway.listen, b"GET / HTTP/1.0\r\n\r\n")[0] == b""
        faults.wait_metric(gateway, "sessions_closed", 2)
        assert faults.metric(gateway, "record_off_client_bytes") == 5
        assert faults.metric(gateway, "proxy_headers_invalid") == 1
        finish(gateway)


def test_time_outs_count(gateways):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=[*OFF, "--timeouts-idle", "200ms"])
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            client.sendall(b"and then nothing")
            assert faults.read_exactly(server, 16)
            assert faults.read_to_end(client)[0] == b""
        assert faults.metric(gateway, "idle_timeouts") == 1
        finish(gateway)


# ── Beside one that records ──────────────────────────────────────────────────────────────────────────────────────────

def test_a_full_disk_does_not_hold_it_up(gateways, scratch):
    """The disk is full under block: the recorded listener stands still; the other one goes on, with old sessions and
    with new ones. With space, nothing of the recorded one is lost."""
    quiet = free_address()
    with small_disk(scratch, "tmpfs", 2 * MIB) as disk, faults.Upstream() as upstream, faults.Echo() as echo:
        gateway = gateways(upstream.address, directory=disk.place / "rec", options=[
            *SMALL_LOG, "--listen", quiet, "--upstream", echo.address, *OFF])
        with faults.connect(gateway.listen) as client, upstream.accept(120) as server:
            talk = EchoTalk(quiet)
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "log_disk_full", 1, 60)
            faults.wait_metric(gateway, "worker_stalls", 1, 60)
            held, during = reader.count, talk.count
            for number in range(50):
                with faults.connect(quiet) as other:
                    message = b"%d" % number * 100
                    other.sendall(message)
                    assert faults.read_exactly(other, len(message)) == message
            processes.wait_until(lambda: talk.count > during + 50 or talk.error, 20, "messages during it")
            where, said = talk.finish()
            faults.wait_metric(gateway, "sessions_record_off", 51)
            assert reader.count < SIZE and not sender.sent and faults.metric(gateway, "log_disk_full") == 1, held
            disk.relieve()
            sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
        assert talk.longest < 5, f"a message took {talk.longest} s"
        assert faults.metric(gateway, "unrecorded_bytes") == 0 and said.count > 0
        status, log = gateway.stop(60)
        assert status == 0, log
        gateway.verify()
        session, = gateway.sessions()
        assert session.client != where and gateway.payloads()[session.id]["client"] == Stream.of_bytes(sender.data)


def test_no_log_at_all_and_then_one(scratch, require_program):
    """Reloads from off to full and back while clients come and go: nobody notices; what was accepted under full is
    recorded whole, and nothing else; the metrics say how much was left out."""
    with faults.Echo() as server, Configured(scratch) as gateway:
        web = {"listen": free_address(), "upstream": server.address, "name": "web"}
        off = dict(web, record="off")
        gateway.write(off)
        process = gateway.start("--workers", "2", "--metrics-file", scratch / "web.prom")
        line, = gateway.events(process, "listening")
        assert line["level"] == "warning" and line["record"] == "off"
        with Clients(web["listen"], staying=20) as clients:
            clients.more()
            assert gateway.segments() == []
            for number in range(10):
                gateway.write(dict(web, on_full="gap") if number % 4 == 2 else web)
                status, reply = gateway.reload()
                assert status == 0 and "listener web: record: off -> full" in reply["changed"] and not reply["warnings"]
                clients.more()
                clients.stay(b"under full")
                gateway.write(off)
                status, reply = gateway.reload()
                assert status == 0 and "listener web: record: full -> off" in reply["changed"]
                assert reply["warnings"] == ["listener web: new sessions are not recorded"]
                clients.more()
                clients.stay(b"under off")
                clients.check()
            stats = gateway.ask("stats")
            assert [listener["record"] for listener in stats["listeners"]] == ["off"]
            assert b"(not recorded)" in gateway.command("stats").stdout
            sent = clients.end()
        assert process.stop(60) == 0
        gateway.verify()
        recorded = gateway.digests()
        assert 0 < len(recorded) < len(sent)
        for digest in recorded:  # the clients that stay began under off, and are not among them
            sent.remove(digest)
        sessions = gateway.sessions()
        assert all(session.state == "closed" for session in sessions)
        families = prometheus.parse((scratch / "web.prom").read_text())
        assert prometheus.value(families, "gogetway_sessions_record_off_total") == len(sent)
        prometheus.check_against_recording(families, sessions)


def test_who_follows_waits_for_no_log(gateways, scratch):
    """`tail` of a gateway without a log, and then its end."""
    with faults.Echo() as echo:
        gateway = gateways(echo.address, options=OFF)
        with processes.Process([program(), "tail", "--dir", gateway.directory], scratch, name="tail") as tail:
            with faults.connect(gateway.listen) as client:
                client.sendall(b"hello")
                assert faults.read_exactly(client, 5) == b"hello"
            assert tail.running(), tail.errors()
            finish(gateway)
            assert tail.wait(20) == 0, tail.errors()


def test_what_makes_no_sense_is_refused(gateways, scratch, require_program):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=OFF)
        for words in (["--upstream", "none", *OFF], ["--upstream", upstream.address, "--record", "some"]):
            done = gateway.command("run", "--listen", free_address(), *words, "--check-config", check=False)
            assert done.returncode == 2 and b"record: " in done.stderr
        finish(gateway)
