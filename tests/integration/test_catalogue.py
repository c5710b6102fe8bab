# SPDX-License-Identifier: Apache-2.0
"""The catalogue: what is recorded is in it, whatever happens to the gateway, to who makes it anew, and to its file.

`reindex --check` makes one from the segments alone and compares it, row by row, with the one that is there.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

import endpoints
import faults
import gogetway
import processes
import torture
from gogetway import TEST_ALL, Store, program

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20240601"))
OPEN, CLOSED, CUT = range(3)
CAUGHT_UP = "catalogue brought up to date"
KEPT = {"catalogue.db", "catalogue.db.lock", "catalogue.db-wal", "catalogue.db-shm"}
MISSING = "sessions are not in the catalogue"


def file_of(store):
    return pathlib.Path(store.directory) / "catalogue.db"


def rows(store, text="SELECT id, state FROM sessions"):
    """What the database says; nothing while there is none."""
    if not file_of(store).exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{file_of(store)}?mode=ro", uri=True, timeout=10)) as database:
        try:
            return database.execute(text).fetchall()
        except sqlite3.OperationalError:  # being made
            return []


def check(store):
    """Nothing is missing, nothing is listed twice, and all is as the segments tell it."""
    done = store.command("reindex", "--check", "--json", check=False, seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["different"] == 0
    scanned = {session.id for session in store.sessions()}
    listed = [row[0] for row in rows(store)]
    assert len(listed) == len(set(listed)) == found["sessions"]
    assert set(listed) == scanned
    return found


def wait_rows(store, count, state=None, seconds=20):
    def there():
        return sum(state in (None, row[1]) for row in rows(store)) >= count
    processes.wait_until(there, seconds, f"{count} sessions in the catalogue", interval=0.02)


def say(gateway):
    """A short session with an echo."""
    with faults.connect(gateway.listen) as client:
        client.sendall(b"x")
        assert faults.read_exactly(client, 1) == b"x"


def without_catalogue():
    return "catalogue" in subprocess.run([program(), "reindex", "--dir", "/nonexistent"], capture_output=True,
                                         text=True, check=False).stderr


pytestmark = pytest.mark.skipif(os.access(program(), os.X_OK) and without_catalogue(), reason="built without SQLite")


# ── What is recorded ─────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("segment", ["64KiB", "1GiB"])
def test_random_sessions_are_in_the_catalogue(gateways, scratch, segment):
    """In one segment of each worker, and over many; and the same after the database is made anew."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--segment-max-bytes", segment, "--workers", "2"])
    result = endpoints.Endpoints(scratch, SEED, 2000 if TEST_ALL else 300, gateway.listen, upstream, deadline=120,
                                 concurrency=32, bytes_max=256 << 10).start().finish(200)
    gateway.wait_sessions_closed(len(result.sessions), 60)
    status, log = gateway.stop()
    assert status == 0, log
    found = check(gateway)
    assert found["segments"] > 10 if segment == "64KiB" else found["segments"] <= 2
    assert all(complete for complete, in rows(gateway, "SELECT complete FROM segments"))
    file_of(gateway).unlink()
    gateway.command("reindex")
    check(gateway)


def test_a_session_is_there_within_a_second(gateways):
    """Open, then with what was said, then closed."""
    late = []
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address)
        for number in range(5):
            with faults.connect(gateway.listen) as client, upstream.accept() as server:
                began = time.monotonic()
                wait_rows(gateway, 1, OPEN)
                late.append(time.monotonic() - began)
                client.sendall(b"x" * 1000)
                faults.read_exactly(server, 1000)
                query = "SELECT bytes_client FROM sessions WHERE state = 0"
                processes.wait_until(lambda: rows(gateway, query) == [(1000 - 2 ** 63,)], 20, "its bytes")
            wait_rows(gateway, number + 1, CLOSED)
    assert sorted(late)[2] < 1, late


def test_tags_and_holds_are_in_the_catalogue(gateways):
    """As they are given, and when it was lost."""
    tags, held = "SELECT tag FROM tags", "SELECT id FROM sessions WHERE held = 1"
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        say(gateway)
        gateway.wait_sessions_closed(1)
        session = gateway.sessions()[0].id
        gateway.command("tag", session, "+interesting")
        gateway.command("hold", session)
        processes.wait_until(lambda: rows(gateway, tags) == [("interesting",)], 20, "the tag")
        processes.wait_until(lambda: rows(gateway, held) == [(session,)], 20, "the hold")
        gateway.stop()
    file_of(gateway).unlink()
    gateway.command("reindex")
    assert rows(gateway, tags) == [("interesting",)] and rows(gateway, held) == [(session,)]
    check(gateway)


def test_catalogue_off(gateways):
    """Nothing is made; and reindex may make it while the gateway records."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--catalogue", "off"])
        say(gateway)
        gateway.wait_sessions_closed(1)
        assert not list(gateway.directory.glob("catalogue*"))
        done = json.loads(gateway.command("reindex", "--json").stdout)
        assert done["sessions"] == 1


def test_one_writer(gateways):
    """A gateway that keeps it does not let another make it; and says what to do."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        processes.wait_until(file_of(gateway).exists, 20, "the catalogue")
        done = gateway.command("reindex", check=False)
        assert done.returncode == 3 and b"--catalogue off" in done.stderr and done.stderr.count(b"\n") == 1


def test_hot_restart(gateways, scratch):
    """The new process goes on where the old one was, and indexes what that still records."""
    with faults.Upstream() as upstream:
        old = gateways(upstream.address)
        with faults.connect(old.listen) as client, upstream.accept() as server:
            wait_rows(old, 1, OPEN)
            new = gateways(upstream.address, listen=old.listen, options=["--takeover"], directory=old.directory)
            client.sendall(b"said to the old one")
            faults.read_exactly(server, 19)
            with faults.connect(new.listen), upstream.accept():
                wait_rows(new, 2, OPEN)
        old.process.wait(40)
        wait_rows(new, 2, CLOSED)
        assert not faults.events(new, "ended")
        new.stop()
    check(Store(old.directory))


# ── Kills ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_gateway_killed_at_random_moments(gateways, scratch, rings):
    """Under load, twice in a row; the next start repairs it, and says so."""
    told = 0
    for number in range(50 if TEST_ALL else 4):
        chance = random.Random(SEED + number)
        upstream = processes.address("127.0.0.1", processes.free_port())
        gateway = gateways(upstream, options=["--log-dir", rings, "--segment-max-bytes",
                                              chance.choice(["64KiB", "1MiB", "1GiB"])])
        run = endpoints.Endpoints(scratch, SEED + number, 600, gateway.listen, upstream, deadline=60, concurrency=32,
                                  bytes_max=64 << 10, slow_percent=30).start()
        faults.wait_metric(gateway, "received_client_bytes", 1)
        faults.sleep_to_a_random_moment(chance, 2)
        gateway.kill()
        run.finish(120)
        gateway.start()
        faults.sleep_to_a_random_moment(chance, 0.3)
        gateway.kill()
        gateway.start()
        told += bool(faults.events(gateway, CAUGHT_UP))
        processes.wait_until(lambda: faults.metric(gateway, "catalogue_lag_bytes") == 0, 20, "no lag")
        status, log = gateway.stop()
        assert status == 0, f"round {number}: {log}"
        told += bool(faults.events(gateway, CAUGHT_UP))
        check(gateway)
        shutil.rmtree(gateway.directory)
    assert told > 0, "no start said that it had to catch up"


def store_of(gateways, scratch, sessions):
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--segment-max-bytes", "1MiB"])
    result = endpoints.Endpoints(scratch, SEED, sessions, gateway.listen, upstream, deadline=120, concurrency=64,
                                 bytes_max=32 << 10).start().finish(200)
    gateway.wait_sessions_closed(len(result.sessions), 60)
    gateway.stop()
    return gateway


def test_reindex_killed_at_random_moments(gateways, scratch):
    """There is the old one, the new one or none; never half of one."""
    store = store_of(gateways, scratch, 1500)
    check(store)
    began = time.monotonic()
    store.command("reindex")
    took = time.monotonic() - began
    chance = random.Random(SEED)
    for number in range(50 if TEST_ALL else 6):
        process = processes.Process([program(), "reindex", "--dir", store.directory], scratch, name=f"reindex-{number}")
        faults.sleep_to_a_random_moment(chance, took)
        process.kill()
        assert len(rows(store)) in (0, 1500)
        if file_of(store).exists():
            check(store)
    store.command("reindex")
    check(store)
    assert {path.name for path in store.directory.glob("catalogue.db*")} <= KEPT


@contextlib.contextmanager
def long_sessions(gateways, count, data):
    """A gateway with this many sessions at one time, each of which is in many segments, and some short ones."""
    with faults.Echo() as upstream, contextlib.ExitStack() as clients:
        gateway = gateways(upstream.address, options=["--segment-max-bytes", "64KiB"])
        sockets = [clients.enter_context(faults.connect(gateway.listen)) for _ in range(count)]
        for at in range(0, len(data), 16 << 10):
            for client in sockets:
                client.sendall(data[at:at + (16 << 10)])
                faults.read_exactly(client, len(data[at:at + (16 << 10)]))
            say(gateway)
        yield gateway


def test_sessions_over_many_segments(gateways):
    """What the gateway put together bit by bit is what is made of all segments at once: one row, with its tags."""
    with long_sessions(gateways, 5, random.Random(SEED).randbytes(1 << 20)) as gateway:
        longest = max(gateway.sessions(), key=lambda session: session["bytes"]["client"]).id
        gateway.command("tag", longest, "+long")
        gateway.command("hold", longest)
        wait_rows(gateway, 64, CLOSED)
    gateway.wait_sessions_closed(69)
    gateway.stop()
    check(gateway)
    spread = "SELECT count(*) FROM sessions WHERE segments > 30"
    facts = "SELECT id, tag, held, segments FROM sessions JOIN tags ON session = number ORDER BY id"
    made = rows(gateway, facts)
    assert rows(gateway, spread) == [(5,)] and len(made) == 1
    file_of(gateway).unlink()
    order = []
    for _ in range(2):
        gateway.command("reindex")
        check(gateway)
        assert rows(gateway, spread) == [(5,)] and rows(gateway, facts) == made
        order.append(rows(gateway, "SELECT number, id FROM sessions ORDER BY number"))
    assert order[0] == order[1], "which thread is ahead must not matter"
    assert rows(gateway, "PRAGMA integrity_check") == [("ok",)]


def test_a_segment_that_is_there_twice(gateways):
    """Somebody has copied it: the sessions in it are still one row each, as who adds to a catalogue finds them."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--workers", "1"])
        for _ in range(300):
            say(gateway)
        gateway.wait_sessions_closed(300)
        gateway.stop()
        first = min(pathlib.Path(gateway.directory, "segments").iterdir())
        copy = first.with_name("zz-copy.pcapng")
        shutil.copy(first, copy)
        gateway.start()
        processes.wait_until(lambda: len(rows(gateway, "SELECT id FROM sessions WHERE segments > 1")) == 300, 20,
                             "the copy in the catalogue")
        gateway.stop()
    check(gateway)
    gateway.command("reindex")
    check(gateway)
    assert len(rows(gateway)) == 300
    copy.unlink()


KILLED_AT = ["pread64", "pwrite64", "fsync", "unlink", "rename", "ftruncate", "clone3"]


def test_reindex_killed_in_each_phase(gateways, scratch):
    """At a call that reads segments, writes rows, sorts, makes indexes, syncs, takes the old one away, renames: the old
    one is there, or none, or the new one, and each is whole."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    with long_sessions(gateways, 2, bytes(1 << 20)) as gateway:
        pass
    gateway.wait_sessions_closed(66)
    gateway.stop()
    check(gateway)
    log, command = scratch / "calls", [program(), "reindex", "--dir", gateway.directory]
    traced = ["strace", "-f", "-q", "-o", log, "-e", "trace=" + ",".join(KILLED_AT)]
    counted = processes.run([*traced, *command], 120, check=False)
    if counted.returncode != 0:
        pytest.skip(f"ptrace is not permitted here: {counted.stderr[-200:]}")
    made, killed = log.read_text(), 0
    for call in KILLED_AT:
        total = made.count(f" {call}(")
        for at in torture.sample(total, 40 if TEST_ALL else 6):
            done = processes.run([*traced, "-e", f"inject={call}:signal=KILL:when={at}", *command], 120, check=False)
            killed += done.returncode != 0
            if file_of(gateway).exists():
                assert rows(gateway, "PRAGMA integrity_check") == [("ok",)], (call, at)
                check(gateway)
            else:
                gateway.command("reindex")
    assert killed > 12
    gateway.command("reindex")
    check(gateway)
    assert {path.name for path in gateway.directory.glob("catalogue.db*")} <= KEPT


def test_reindex_when_calls_fail(gateways, scratch):
    """Memory, threads and the disk are refused, now here, now there: it says so in one line, and the old one stays."""
    if not torture.preload_works():
        pytest.skip("a build with a sanitizer wants no other library before it")
    with long_sessions(gateways, 2, bytes(256 << 10)) as gateway:
        pass
    gateway.wait_sessions_closed(18)
    gateway.stop()
    check(gateway)
    def reindex(faulty, at):
        return gateway.command("reindex", check=False, env={**os.environ, **faulty.environment(at)})

    refused = 0
    for calls in ("memory", "pthread_create", "open", "pwrite", "fsync", "rename", "pread"):
        counting = torture.Faults(scratch / "counting", calls)
        assert reindex(counting, 0).returncode == 0
        for at in torture.sample(counting.count, 300 if TEST_ALL else 25):
            done = reindex(torture.Faults(scratch / "faulty", calls), at)
            assert done.returncode in (0, 3), (calls, at, done)
            assert done.returncode == 0 or done.stderr.count(b"\n") == 1, (calls, at, done)
            refused += done.returncode == 3
            assert len(rows(gateway)) == 18 or (calls in ("open", "fsync", "rename") and not file_of(gateway).exists())
    assert refused > 20
    gateway.command("reindex")
    check(gateway)
    assert {path.name for path in gateway.directory.glob("catalogue.db*")} <= KEPT


# ── Trouble with the file ────────────────────────────────────────────────────────────────────────────────────────────

def test_deleted_while_recording(gateways):
    """It is made again."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        for _ in range(20):
            say(gateway)
        wait_rows(gateway, 20, CLOSED)
        for file in gateway.directory.glob("catalogue.db*"):
            file.unlink()
        say(gateway)
        wait_rows(gateway, 21, CLOSED)
        faults.wait_event(gateway, "the catalogue was taken away")
        gateway.stop()
    check(gateway)


def damage(file):
    with open(file, "r+b") as database:
        database.write(b"no database, this is")


def later_version(file):
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("trouble", [damage, later_version])
def test_damaged_or_of_a_later_version(gateways, trouble):
    """One line that says what to do; recording goes on; when that was done, the gateway takes it up."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        say(gateway)
        gateway.wait_sessions_closed(1)
        gateway.stop()
        trouble(file_of(gateway))
        gateway.start()
        say(gateway)
        gateway.wait_sessions_closed(2)
        lines = faults.events(gateway, MISSING)
        assert len(lines) == 1 and "gogetway reindex" in lines[0]["error"], lines
        gateway.command("reindex")
        say(gateway)
        wait_rows(gateway, 3, CLOSED, 30)
        assert len(faults.events(gateway, MISSING)) == 1
        gateway.stop()
    check(gateway)


def test_a_catalogue_that_cannot_be_opened(gateways):
    """Recording goes on, and it is caught up with when it can."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        say(gateway)
        wait_rows(gateway, 1, CLOSED)
        gateway.stop()
        os.rename(file_of(gateway), gateway.directory / "kept")
        file_of(gateway).mkdir()
        gateway.start()
        say(gateway)
        gateway.wait_sessions_closed(2)
        faults.wait_event(gateway, MISSING)
        file_of(gateway).rmdir()
        os.rename(gateway.directory / "kept", file_of(gateway))
        wait_rows(gateway, 2, CLOSED, 30)
        gateway.stop()
    check(gateway)


# ── Many ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

def load_program():
    for place in (pathlib.Path(os.path.realpath(program())).parent, gogetway.ROOT / "build"):
        if (place / "bench/load").is_file():
            return str(place / "bench/load")
    return None


def test_many_short_sessions(gateways, scratch):
    """20,000 a second for a minute, or what the machine gives: nothing is missing, memory is bounded."""
    load = load_program()
    if not load:
        pytest.skip("bench/load is not built")
    count = 1_200_000 if TEST_ALL else 20_000
    port = processes.free_port()
    with processes.Process([load, "serve", str(port)], scratch, name="upstream") as upstream:
        upstream.wait_listening(f"127.0.0.1:{port}")
        gateway = gateways(f"127.0.0.1:{port}")
        before = faults.private_bytes(gateway.process.pid)
        done = processes.run([load, "setup", gateway.listen.rsplit(":", 1)[1], "64", str(count)], 600)
        speed = count / json.loads(done.stdout.splitlines()[-1])["seconds"]
        processes.wait_until(lambda: faults.metric(gateway, "catalogue_lag_bytes") == 0, 300, "no lag", interval=0.5)
        grown = faults.private_bytes(gateway.process.pid) - before
        wait_rows(gateway, count, CLOSED, 60)
        assert grown < 128 << 20, f"{grown} bytes more"  # its cache alone may have 64 MiB
        status, log = gateway.stop()
        assert status == 0, log
    print(f"{speed:.0f} sessions a second, {grown >> 20} MiB more memory")
    done = gateway.command("reindex", "--check", "--json", seconds=600)
    assert json.loads(done.stdout)["different"] == 0
