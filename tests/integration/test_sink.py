# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that get the recording: the same bytes as the segments, and what becomes of traffic when one fails or lags.

The tests' own sink keeps what it is given in its state directory, and does what files there say: `fail` refuses every
block, `sleep` does not return while it is there.
"""
import filecmp
import json
import os
import pathlib
import random
import socket
import threading
import time

import pytest

import faults
import processes
import prometheus
from faults import connect
from gogetway import Stream, program
from live import Clients, exchange, listener, said
from plugging import Kit
from test_disk import SMALL_LOG, Sender, check_gap, check_whole

pytestmark = pytest.mark.usefixtures("require_program")
SINK_FILE = pathlib.Path(os.path.realpath(program())).parent / "plugins/sink-file/sink-file.so"
KIB, MIB = 1 << 10, 1 << 20
SIZE = 24 * MIB
POLICIES = ["required", "best-effort"]

SOURCE = r"""
#include <gogetway/plugin.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_there(const struct gg_host *host, const char *name)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", host->state_dir, name);
  return access(path, F_OK) == 0;
}

static void note(const struct gg_host *host, const char *file, const char *line)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", host->state_dir, file);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (write(fd, line, strlen(line)) < 0)
    host->log(host, GG_PLUGIN_ERROR, "cannot note");
  close(fd);
}

static int on_sink(void *self, const struct gg_sink_block *block, struct gg_failure *failure)
{
  const struct gg_host *host = self;
  char text[512];
  while (is_there(host, "sleep"))
    usleep(5000);
  if (is_there(host, "fail"))
    return gg_plugin_fail(failure, GG_ERR_IO, "as it was told");
  snprintf(text, sizeof text, "%s/got", host->state_dir);
  mkdir(text, 0700);
  snprintf(text, sizeof text, "%s/got/%s", host->state_dir, block->segment);
  int fd = open(text, O_WRONLY | O_CREAT, 0600);
  if (pwrite(fd, block->bytes, block->length, (off_t)block->offset) != (ssize_t)block->length)
    host->log(host, GG_PLUGIN_ERROR, "cannot write");
  close(fd);
  snprintf(text, sizeof text, "[\"%s\", %llu, %zu, %llu, %d]\n", block->segment, (unsigned long long)block->offset,
           block->length, (unsigned long long)block->lost, block->last);
  note(host, "blocks", text);
  return 0;
}

static void on_sealed(void *self, const struct gg_sealed *sealed)
{
  char line[512];
  snprintf(line, sizeof line, "[\"%s\", \"%s\", %llu, %d]\n", sealed->name, sealed->path,
           (unsigned long long)sealed->bytes, sealed->recovered);
  note(self, "sealed", line);
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "probe", .sink = on_sink, .sealed = on_sealed};
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    if not Kit.available():
        pytest.skip("needs meson, cc, pkg-config and a build directory")
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def probe(configured, kit, scratch):
    """probe(upstream, "required", on_full="gap", ...): a started gateway with the tests' own sink; None: without it."""
    def make(upstream, sink, options=None, **more):
        configured.so = kit.build(scratch / "probe", SOURCE)
        configured.own = configured.directory / "plugins/probe"
        configured.own.mkdir(parents=True)
        configured.where = listener(upstream, name="web", **more)
        configured.listen = configured.address = configured.where["listen"]
        configured.entry = {"path": str(configured.so), "sink": sink}
        configured.write(configured.where, plugins=[configured.entry] if sink else [], **(options or {}))
        configured.process = configured.start("--segment-max-bytes", "1MiB", "--sandbox", "off", *SMALL_LOG)
        configured.stats = lambda: configured.ask("stats")
        return configured
    return make


@pytest.fixture
def copied(configured, server):
    """copied("required", sync=True): a started gateway with sink-file in front of an echo."""
    def make(sink=None, words=(), **config):
        entry = {"path": str(SINK_FILE), "config": config, **({"sink": sink} if sink else {})}
        configured.where = listener(server.address, name="web")
        configured.address = configured.where["listen"]
        configured.copies = configured.directory / "plugins/sink-file/segments"
        configured.entry = entry
        configured.write(configured.where, plugins=[entry])
        configured.process = configured.start(*words)
        return configured
    return make


def lines(gateway, name):
    file = gateway.own / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def order(gateway, word, on=True):
    if on:
        (gateway.own / word).touch()
    else:
        (gateway.own / word).unlink()


def stop(gateway, status=0):
    gateway.process.popen.send_signal(15)
    assert gateway.process.wait(30) == status, gateway.process.errors()


def check_copies(segments, copies):
    """Byte for byte, and no file more or less."""
    assert segments and sorted(os.listdir(copies)) == sorted(path.name for path in segments)
    for path in segments:
        assert filecmp.cmp(path, copies / path.name, shallow=False), path.name


def traffic(address, size=3 * MIB, seed=1):
    """A bulk transfer there and back, and some small sessions."""
    data = random.Random(seed).randbytes(size)
    with connect(address) as peer:
        for at in range(0, size, 64 * KIB):
            exchange(peer, data[at:at + 64 * KIB])
    for number in range(20):
        said(address, b"session %d" % number)


def counted(gateway, name):
    """A metric of the only plug-in."""
    told = prometheus.parse(gateway.command("stats", "--format", "prometheus").stdout.decode())
    return prometheus.value(told, f"gogetway_{name}_total", plugin="probe")


def check_blocks(gateway, losses=False):
    """Parts of a file come in order, without a hole but what is told, and end once."""
    have, ended, lost = {}, set(), 0
    for name, offset, length, missing, last in lines(gateway, "blocks"):
        assert name not in ended and offset - missing == have.get(name, 0)
        assert length > 0 or last
        lost += missing
        have[name] = offset + length
        if last:
            ended.add(name)
    assert losses or not lost
    return have, ended, lost


# ── The same bytes ───────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("sink", [None, *POLICIES])
def test_copies_are_the_segments_byte_for_byte(copied, sink, sync):
    gateway = copied(sink, ["--segment-max-bytes", "1MiB", "--workers", "2"], sync=sync)
    with Clients(gateway.address, staying=4) as clients:
        traffic(gateway.address)
        gateway.command("rotate")
        traffic(gateway.address, seed=2)
        clients.more()
        clients.end()
    stop(gateway)
    gateway.verify()
    assert len(gateway.segments()) > 4
    check_copies(gateway.segments(), gateway.copies)


@pytest.mark.parametrize("sink", POLICIES)
def test_each_block_once_in_order_and_every_file_sealed(probe, server, sink):
    gateway = probe(server.address, sink)
    traffic(gateway.address)
    gateway.command("rotate")
    processes.wait_until(lambda: lines(gateway, "sealed"), 10, "files that are sealed")
    traffic(gateway.address, seed=2)
    stop(gateway)
    have, ended, _ = check_blocks(gateway)
    sizes = {path.name: path.stat().st_size for path in gateway.segments()}
    assert have == sizes and ended == set(sizes)
    sealed = lines(gateway, "sealed")
    assert {name: size for name, _, size, _ in sealed} == sizes and len(sealed) == len(sizes)
    for name, path, _, recovered in sealed:
        assert filecmp.cmp(path, gateway.own / "got" / name, shallow=False) and not recovered


@pytest.mark.parametrize("sink", POLICIES)
def test_copies_are_completed_after_a_kill(copied, sink):
    for round_number in range(3):
        gateway = copied(sink, ["--log-flush-interval", "10s"] if round_number else ["--segment-max-bytes", "1MiB"])
        with connect(gateway.address) as peer:
            exchange(peer, random.Random(round_number).randbytes(700 * KIB))
            gateway.process.popen.kill()
            gateway.process.wait(20)
    gateway = copied(sink)
    said(gateway.address)
    stop(gateway)
    gateway.verify()
    assert gateway.events(gateway.process, "recovered")
    check_copies(gateway.segments(), gateway.copies)


@pytest.mark.parametrize("sink", POLICIES)
def test_copies_with_one_process_after_the_other(copied, sink):
    """Each has its own files; both have a sink on the same directory."""
    gateway = copied(sink)
    with Clients(gateway.address, staying=4) as clients:
        clients.more()
        before = gateway.process
        gateway.process = gateway.start("--takeover")
        clients.more()
        clients.end()
    assert before.wait(30) == 0
    stop(gateway)
    gateway.verify()
    check_copies(gateway.segments(), gateway.copies)


def test_copies_of_one_that_is_killed_while_it_drains(copied):
    """The process that has taken over completes what the other has left, and tells its own sink."""
    gateway = copied()
    before = gateway.process
    with connect(gateway.address) as peer:
        exchange(peer, random.Random(1).randbytes(300 * KIB))
        gateway.process = gateway.start("--takeover", "--log-flush-interval", "5s")
        peer.sendall(b"a moment before")
        before.popen.kill()
        before.wait(20)
    gateway.wait_event(gateway.process, "recovered")
    said(gateway.address)
    stop(gateway)
    gateway.verify()
    assert len(gateway.segments()) == 2
    check_copies(gateway.segments(), gateway.copies)


def test_two_sinks_at_once(probe, server):
    """One that fails does not keep the other from what it takes, nor gives it anything twice."""
    gateway = probe(server.address, "best-effort")
    gateway.write(gateway.where, plugins=[gateway.entry, {"path": str(SINK_FILE)}])
    assert gateway.reload()[0] == 0
    traffic(gateway.address, MIB)
    order(gateway, "fail")
    traffic(gateway.address, MIB, seed=2)
    gateway.command("rotate")
    processes.wait_until(lambda: counted(gateway, "plugin_sink_errors"), 10, "refusals")
    order(gateway, "fail", False)
    traffic(gateway.address, MIB, seed=3)
    stop(gateway)
    gateway.verify()
    check_copies(gateway.segments(), gateway.directory / "plugins/sink-file/segments")
    check_blocks(gateway, losses=True)


def test_a_sink_that_comes_and_goes_by_a_reload(copied, server):
    """It begins where the files are, and what it has missed before is taken from them when they are complete."""
    gateway = copied("required")
    gateway.write(gateway.where)
    assert gateway.reload()[0] == 0
    traffic(gateway.address, 300 * KIB)
    gateway.write(gateway.where, plugins=[gateway.entry])
    assert gateway.reload()[0] == 0
    traffic(gateway.address, 300 * KIB, seed=2)
    gateway.write(gateway.where, plugins=[{**gateway.entry, "sink": "best-effort"}])  # another instance
    assert gateway.reload()[0] == 0
    traffic(gateway.address, 300 * KIB, seed=3)
    stop(gateway)
    assert any("completed: " in event.get("text", "") for event in gateway.events(gateway.process, "plug-in"))
    check_copies(gateway.segments(), gateway.copies)


def test_a_sink_that_comes_later_is_told_where_it_begins(probe, server):
    gateway = probe(server.address, None)
    said(gateway.address)
    size = processes.wait_until(lambda: gateway.segments() and gateway.segments()[0].stat().st_size, 10, "a block")
    gateway.write(gateway.where, plugins=[{"path": str(gateway.so)}])
    assert gateway.reload()[0] == 0
    said(gateway.address)
    stop(gateway)
    first = lines(gateway, "blocks")[0]
    assert first[1] >= size and first[3] == 0
    segment, = gateway.segments()
    whole = segment.read_bytes()
    assert whole[first[1]:] == (gateway.own / "got" / segment.name).read_bytes()[first[1]:]


# ── Required ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def check_got(gateway):
    """The sink has all, whatever was refused in between."""
    for path in gateway.segments():
        assert filecmp.cmp(path, gateway.own / "got" / path.name, shallow=False), path.name
    check_blocks(gateway)


def test_required_that_fails_under_block(probe):
    """Traffic stops, as by a full disk, and goes on when the sink does."""
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "required", on_full="block", on_stall="block")
        order(gateway, "fail")
        with connect(gateway.address) as client, upstream.accept() as server:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "log_disk_full", 1, 30)
            faults.wait_metric(gateway, "worker_stalls", 1, 30)
            begun, before = time.monotonic(), faults.cpu_seconds(gateway.process.pid)
            held = reader.count
            time.sleep(0.5)  # the interval that is measured
            assert faults.cpu_seconds(gateway.process.pid) - before < 0.4 * (time.monotonic() - begun), "it spins"
            assert held <= reader.count < SIZE and not sender.sent
            refused, = gateway.events(gateway.process, "a sink does not take the recording, trying again")
            assert refused["sink"] == "probe" and refused["reason"] == "as it was told"
            order(gateway, "fail", False)
            sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
        faults.wait_metric(gateway, "sessions_closed", 1)
        metrics = gateway.stats()["metrics"]
        assert metrics["unrecorded_bytes"] == 0 and metrics["log_disk_full"] == 0
        assert counted(gateway, "plugin_sink_errors") > 0 and counted(gateway, "plugin_sink_lost_bytes") == 0
    stop(gateway)
    assert gateway.events(gateway.process, "recording is written again, nothing was lost")
    session, = gateway.sessions()
    check_whole(gateway, session, "client", sender.data)
    check_got(gateway)


def test_required_that_fails_under_gap(probe):
    """Traffic goes on; what is missing in the recording is counted to the byte, and what is in it the sink has."""
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "required", on_full="gap", on_stall="gap")
        order(gateway, "fail")
        with connect(gateway.address) as client, upstream.accept() as server:
            reader, data = faults.Hasher(server), random.Random(1).randbytes(SIZE)
            client.settimeout(60)
            client.sendall(data)
            processes.wait_until(lambda: reader.count == SIZE, 60, "all of it")
            assert faults.metric(gateway, "unrecorded_bytes") > 0
            order(gateway, "fail", False)
            processes.wait_until(lambda: faults.metric(gateway, "log_disk_full") == 0, 20, "taken again")
            processes.wait_until(lambda: faults.metric(gateway, "log_fill_bytes") < 64 * KIB, 20, "room")
            last = b"and this is recorded again"
            client.sendall(last)
            client.shutdown(socket.SHUT_WR)
            assert reader.finish() == Stream.of_bytes(data + last)
        faults.wait_metric(gateway, "sessions_closed", 1)
        metrics = gateway.stats()["metrics"]
    stop(gateway)
    session, = gateway.sessions()
    check_gap(gateway, metrics, session, "client", data + last)
    check_got(gateway)


def test_required_that_fails_under_close(probe):
    """The session is closed; when the sink takes blocks again, others are served."""
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "required", on_full="close", on_stall="close")
        order(gateway, "fail")
        with connect(gateway.address) as client, upstream.accept() as server:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "stall_closed", 1, 30)
            sender.finish(30)
            got = reader.finish()
            assert isinstance(sender.error, ConnectionError) and reader.was_reset
        order(gateway, "fail", False)
        processes.wait_until(lambda: faults.metric(gateway, "log_disk_full") == 0, 20, "taken again")
        with connect(gateway.address) as client, upstream.accept() as server:
            client.sendall(b"served again")
            assert faults.read_exactly(server, 12) == b"served again"
    stop(gateway)
    first, second = sorted(gateway.sessions(), key=lambda session: session["start"])
    assert first["close"] == "stall" and got.count <= first.forwarded("client")
    assert gateway.payload(second.id, "client") == b"served again"
    check_got(gateway)


def test_required_that_sleeps_is_a_slow_disk(probe):
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "required", on_full="close", on_stall="block")
        order(gateway, "sleep")
        with connect(gateway.address) as client, upstream.accept() as server:
            reader, sender = faults.Hasher(server), Sender(client, SIZE)
            faults.wait_metric(gateway, "worker_stalls", 1, 30)
            assert faults.metric(gateway, "log_disk_full") == 0 and reader.count < SIZE
            order(gateway, "sleep", False)
            sender.finish()
            assert reader.finish() == Stream.of_bytes(sender.data)
    stop(gateway)
    session, = gateway.sessions()
    check_whole(gateway, session, "client", sender.data)
    check_got(gateway)


def test_required_with_sync_always(probe):
    """Nothing goes on that the sink does not have."""
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "required", {"sync": {"mode": "always"}})
        with connect(gateway.address) as client, upstream.accept() as server:
            client.sendall(b"first")
            assert faults.read_exactly(server, 5) == b"first"
            order(gateway, "fail")
            client.sendall(b"second")
            processes.wait_until(lambda: counted(gateway, "plugin_sink_errors") > 2, 10, "refusals")
            server.settimeout(0.2)
            with pytest.raises(TimeoutError):
                server.recv(1)
            server.settimeout(20)
            order(gateway, "fail", False)
            assert faults.read_exactly(server, 6) == b"second"
    stop(gateway)
    check_got(gateway)


def test_required_that_fails_is_taken_away_by_a_reload(probe, server):
    gateway = probe(server.address, "required", on_full="block")
    order(gateway, "fail")
    with connect(gateway.address) as peer:
        done = threading.Thread(target=lambda: exchange(peer, bytes(SIZE // 4)), daemon=True)
        done.start()
        faults.wait_metric(gateway, "worker_stalls", 1, 30)
        gateway.write({**gateway.where}, plugins=[])
        assert gateway.reload()[0] == 0
        done.join(30)
        assert not done.is_alive()
    stop(gateway)
    gateway.verify()


def test_required_that_fails_at_the_end(probe, server):
    """What it did not take stays in the rings: the next start writes it, and tells the sink by `sealed`."""
    gateway = probe(server.address, "required")
    said(gateway.address)
    processes.wait_until(lambda: lines(gateway, "blocks"), 10, "a block")
    order(gateway, "fail")
    said(gateway.address, b"that it does not take")
    begun = time.monotonic()
    stop(gateway, 3)
    assert 9 < time.monotonic() - begun < 13
    assert "a plug-in's sink takes no more" in gateway.process.errors()
    order(gateway, "fail", False)
    gateway.process = gateway.start()
    name, _, size, recovered = processes.wait_until(lambda: lines(gateway, "sealed"), 10, "the complete file")[0]
    assert recovered and size == gateway.segments()[0].stat().st_size and name == gateway.segments()[0].name
    stop(gateway)
    assert [gateway.payload(session.id, "client") for session in gateway.sessions()] == [
        b"a block", b"that it does not take"]


def test_required_that_does_not_return_at_the_end(probe, server):
    """The gateway ends by its deadline, and the next start has what was left."""
    gateway = probe(server.address, "required")
    order(gateway, "sleep")
    said(gateway.address, b"nobody has it yet")
    processes.wait_until(lambda: gateway.segments() and gateway.segments()[0].stat().st_size, 10, "a block")
    begun = time.monotonic()
    stop(gateway, 3)
    assert 9 < time.monotonic() - begun < 14
    assert "a plug-in's sink, was too slow" in gateway.process.errors()
    order(gateway, "sleep", False)
    gateway.process = gateway.start()
    assert processes.wait_until(lambda: lines(gateway, "sealed"), 10, "the complete file")[0][3] == 1
    stop(gateway)
    session, = gateway.sessions()
    assert gateway.payload(session.id, "client") == b"nobody has it yet"


# ── Best-effort ──────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("how", ["fail", "sleep"])
def test_best_effort_that_does_not_take_hurts_nobody(probe, how):
    """All of the traffic goes by and is recorded; what the sink did not get is told and counted exactly."""
    with faults.Upstream() as upstream:
        gateway = probe(upstream.address, "best-effort", on_full="close", on_stall="block")
        with connect(gateway.address) as client, upstream.accept() as server:
            client.sendall(b"begin")
            processes.wait_until(lambda: lines(gateway, "blocks"), 10, "a block")
            order(gateway, how)
            reader, sender = faults.Hasher(server), Sender(client, 2 * SIZE)
            sender.finish()
            assert reader.finish() == Stream.of_bytes(b"begin" + sender.data)
        faults.wait_metric(gateway, "sessions_closed", 1)
        processes.wait_until(lambda: counted(gateway, "plugin_sink_lost_bytes"), 10, "losses")
        order(gateway, how, False)
        gateway.command("rotate")
        with connect(gateway.address) as client, upstream.accept() as server:
            client.sendall(b"taken again")
            assert faults.read_exactly(server, 11) == b"taken again"
        name = processes.wait_until(lambda: len(gateway.segments()) > 1 and gateway.segments()[-1].name, 10, "a file")
        processes.wait_until(lambda: any(line[0] == name for line in lines(gateway, "blocks")), 10, "a block of it")
        metrics = gateway.stats()["metrics"]
        assert metrics["unrecorded_bytes"] == 0 and metrics["log_disk_full"] == 0 and metrics["stall_closed"] == 0
        lost = counted(gateway, "plugin_sink_lost_bytes")
        shown, = gateway.ask("plugins")["plugins"]
        assert (shown["sink"], shown["sink_lost_bytes"]) == ("best-effort", lost)
        assert f"  sink       best-effort, {lost:.0f} bytes of" in gateway.command("plugins").stdout.decode()
    stop(gateway)
    gateway.verify()
    got = sum(length for _, _, length, _, _ in lines(gateway, "blocks"))
    assert lost > 0 and lost + got == sum(path.stat().st_size for path in gateway.segments())
    assert gateway.events(gateway.process, "a sink misses blocks")
    _, ended, told = check_blocks(gateway, losses=True)
    if how == "sleep":  # of each file the sink was told of the end
        assert told == lost and len(ended) == len(gateway.segments())
    session = min(gateway.sessions(), key=lambda session: session["start"])
    assert session.received("client") == 2 * SIZE + 5


def test_best_effort_that_does_not_return_at_the_end(probe, server):
    """The gateway ends all the same, by its deadline."""
    gateway = probe(server.address, "best-effort")
    order(gateway, "sleep")
    said(gateway.address)
    processes.wait_until(lambda: gateway.segments() and gateway.segments()[0].stat().st_size, 10, "a block")
    begun = time.monotonic()
    stop(gateway)
    assert 9 < time.monotonic() - begun < 14
    assert gateway.events(gateway.process, "a plug-in's sink does not return")
    assert [session.received("client") for session in gateway.sessions()] == [len(b"a block")]


# ── The configuration ────────────────────────────────────────────────────────────────────────────────────────────────

def test_sink_of_a_plug_in_that_is_none_is_refused(configured, kit, scratch, server):
    other = kit.build(scratch / "other", SOURCE.replace(".sink = on_sink, ", "").replace("probe", "other"),
                      "-Wno-unused-function")
    configured.write_text("listeners:\n  - {listen: '127.0.0.1:0', upstream: '127.0.0.1:1'}\nplugins:\n"
                          f"  - path: {other}\n    sink: required\n  - path: {SINK_FILE}\n    sink: perhaps\n")
    done = processes.run([program(), "run", "-c", configured.file, "--check-config"], check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        f"gogetway: {configured.file}:7:11: sink: 'perhaps' is not one of required, best-effort"]
    configured.write_text(configured.file.read_text().replace("perhaps", "best-effort"))
    done = processes.run([program(), "run", "-c", configured.file, "--check-config"], check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        f"gogetway: {configured.file}:5:11: plug-in other does not get the recording, so 'sink' says nothing"]
