# SPDX-License-Identifier: Apache-2.0
"""Retention: `gogetway prune`, and the running gateway's own. What goes is old or too much; what is held stays, with
equal bytes, whenever anybody is killed."""
import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import threading
import time

import pytest

import faults
import live
import processes
from gogetway import Gateway, Store, program
from pruning import (KIB, MIB, SMALL, Load, block_of, check_once, facts, folder, prune,  # noqa: F401 (a fixture)
                     recorded, said, snapshot, streams_of, through)

pytestmark = pytest.mark.usefixtures("require_program")

# ── What goes ────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_the_oldest_go_by_bytes(recorded):
    before = folder(recorded)
    limit = sum(before.values()) // 2
    _, told, summary = prune(recorded, "--max-bytes", limit)
    after = folder(recorded)
    gone = sorted(set(before) - set(after))
    assert [segment["segment"] for segment in told] == gone == sorted(before)[:len(gone)]
    assert {segment["why"] for segment in told} == {"bytes"} and {segment["fate"] for segment in told} == {"gone"}
    assert sum(after.values()) <= limit < sum(after.values()) + before[gone[-1]]
    assert summary["bytes_left"] == sum(after.values()) and summary["met"]
    recorded.verify()
    left = check_once(recorded)
    assert any(session["beginning_missing"] for session in left.values())
    assert prune(recorded, "--max-bytes", limit)[1] == []


def test_a_dry_run_changes_nothing(recorded):
    recorded.command("hold", through(recorded).id)
    before = snapshot(recorded)
    _, would, summary = prune(recorded, "--max-bytes", "100KiB", "--dry-run")
    assert snapshot(recorded) == before
    _, told, really = prune(recorded, "--max-bytes", "100KiB")
    assert [segment["segment"] for segment in would] == [segment["segment"] for segment in told]
    assert {key: summary[key] for key in ("segments", "bytes", "kept_sessions", "kept_bytes", "bytes_left")} \
        == {key: really[key] for key in ("segments", "bytes", "kept_sessions", "kept_bytes", "bytes_left")}


def test_age(scratch, server):
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        live.said(gateway.listen, b"old")
        gateway.wait_sessions_closed(1)
        gateway.command("rotate")
        old = folder(gateway)
        between = time.time()
        processes.wait_until(lambda: time.time() > between + 1.5, 10, "the clock to go on")
        live.said(gateway.listen, b"new")
        gateway.wait_sessions_closed(2)
        assert gateway.stop()[0] == 0
    store = Store(scratch / "rec")
    _, told, _ = prune(store, "--max-age", "1h")
    assert told == []
    _, told, _ = prune(store, "--max-age", f"{int((time.time() - between) * 1000)}ms")
    assert {segment["segment"] for segment in told} == set(old) and told[0]["why"] == "age"
    assert [store.payload(session.id, "client") for session in store.sessions()] == [b"new"]


def test_ages_by_rule(scratch, server, configured):
    web, ssh = live.listener(server.address, name="web"), live.listener(server.address, name="ssh")
    configured.write(web, ssh, workers=1)
    process = configured.start()
    for listener in (web, ssh, web):
        live.said(listener["listen"], listener["name"].encode())
        processes.wait_until(lambda: all(session.state == "closed" for session in configured.sessions()), 10, "closed")
        configured.command("rotate")
    live.said(web["listen"], b"mixed")
    live.said(ssh["listen"], b"mixed")
    processes.wait_until(lambda: sum(session.state == "closed" for session in configured.sessions()) == 5, 10, "closed")
    assert process.stop() == 0
    assert len(folder(configured)) == 4
    rule = ["--rule", "listener=web max_age=1ms"]
    _, told, summary = prune(configured, "--max-age", "1d", *rule)
    assert len(told) == 2 and summary["met"]
    left = sorted((session["listener"], configured.payload(session.id, "client")) for session in configured.sessions())
    assert left == [("ssh", b"mixed"), ("ssh", b"ssh"), ("web", b"mixed")]  # a segment goes when all in it may
    assert prune(configured, "--max-age", "1ms", "--rule", "listener=ssh max_age=0")[1] == []
    assert len(prune(configured, *rule, "--rule", "listener=ssh max_age=1ms")[1]) == 2


def test_ages_by_tag(recorded):
    first = min(recorded.sessions(), key=lambda session: session["start"])
    if recorded.command("prune", "--rule", "tag=noise max_age=1d", "--dry-run", check=False).returncode != 0:
        pytest.skip("filters do not know tags here")
    recorded.command("tag", first.id, "+evidence")
    names = first["segments"]
    prune(recorded, "--max-age", "1ms", "--rule", "tag=evidence max_age=0")
    assert sorted(folder(recorded)) == sorted(names)
    recorded.command("tag", first.id, "-evidence")
    prune(recorded, "--max-age", "1ms", "--rule", "tag=evidence max_age=0")
    assert folder(recorded) == {}


def test_free_space(scratch, server):
    with faults.mounted(scratch / "disk", size="16M") as disk:
        with Gateway(disk / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
            for number in range(60):
                live.said(gateway.listen, block_of(number))
            gateway.wait_sessions_closed(60)
            assert gateway.stop()[0] == 0
        store, before = Store(disk / "rec"), os.statvfs(disk)
        wanted = before.f_bavail * before.f_frsize + MIB
        _, told, summary = prune(store, "--min-free", wanted)
        after = os.statvfs(disk)
        assert summary["met"] and {segment["why"] for segment in told} == {"free"}
        assert wanted <= after.f_bavail * after.f_frsize < wanted + 256 * KIB
        status, _, summary = prune(store, "--min-free", "1GiB", check=False)
        assert status == 3 and not summary["met"] and folder(store) == {}


# ── What stays ───────────────────────────────────────────────────────────────────────────────────────────────────────

def test_held_sessions_stay_with_equal_bytes(recorded):
    sessions = sorted(recorded.sessions(), key=lambda session: session["start"])
    held = [through(recorded).id, sessions[3].id, sessions[20].id]
    before, told_before = recorded.payloads(), check_once(recorded)
    for session_id in held:
        recorded.command("hold", session_id)
    total = sum(folder(recorded).values())
    for share in (3, 2, 1, 0):  # of some segments first, then of all
        status, _, summary = prune(recorded, "--max-bytes", max(total * share // 4, 1), check=False)
        assert status in (0, 3)
        left = check_once(recorded)
        for session_id in held:
            assert facts(left[session_id]) == facts(told_before[session_id])
            assert len(left[session_id]["segments"]) == len(told_before[session_id]["segments"])
        payloads = recorded.payloads()
        assert all(payloads[session_id] == before[session_id] for session_id in held)
        recorded.verify()
    assert status == 3 and set(left) == set(held)
    assert all(".kept1." in name for name in folder(recorded))
    for session_id in held[:2]:
        recorded.command("hold", session_id, "--release")
    prune(recorded, "--max-bytes", "1", check=False)
    assert set(check_once(recorded)) == {held[2]} and recorded.payloads()[held[2]] == before[held[2]]
    recorded.verify()
    recorded.command("hold", held[2], "--release")
    assert prune(recorded, "--max-bytes", "1")[2]["met"] and folder(recorded) == {}


def test_limits_that_holds_are_in_the_way_of(recorded):
    recorded.command("hold", through(recorded).id)
    assert "what is left is held" in said(recorded, "--max-bytes", "1KiB", status=3)
    assert "segments have to go and cannot" in said(recorded, "--max-bytes", "1KiB", status=3)
    recorded.command("hold", "--release", through(recorded).id)
    assert prune(recorded, "--max-bytes", "1KiB")[2]["met"]


def opened(store, scratch):
    """The segments that `sessions` opens, and what it says."""
    trace = scratch / "opened"
    done = processes.run(["strace", "-f", "-o", trace, "-e", "trace=openat,open", program(), "sessions", "--json",
                          "--dir", store.directory], check=False)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("nobody may be traced here")
    assert done.returncode == 0 and not done.stderr
    return [line for line in trace.read_text().splitlines() if ".pcapng" in line], done.stdout


def test_the_catalogue_hears_of_it(recorded, scratch):
    """It is as one that is made anew, of what was kept as well; so the next command reads no segment."""
    held = through(recorded).id
    recorded.command("hold", held)
    assert opened(recorded, scratch)[0] == []
    prune(recorded, "--max-bytes", sum(folder(recorded).values()) // 2)
    assert any(".kept1." in name for name in folder(recorded))
    read, told = opened(recorded, scratch)
    assert read == [] and held in told.decode()
    assert recorded.command("reindex", "--check", check=False).returncode == 0


def test_no_catalogue_is_made_for_it(recorded):
    for file in recorded.directory.glob("catalogue.db*"):
        file.unlink()
    prune(recorded, "--max-bytes", sum(folder(recorded).values()) // 2)
    assert not list(recorded.directory.glob("catalogue.db*"))


@pytest.mark.parametrize("damage", ["busy", "damaged", "later"])
def test_a_catalogue_that_cannot_be_told_keeps_nothing(recorded, damage):
    path = recorded.directory / "catalogue.db"
    if damage == "damaged":
        path.write_bytes(b"no database" * 1000)
    elif damage == "later":
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 99")
    lock = os.open(recorded.directory / "catalogue.db.lock", os.O_RDWR | os.O_CREAT)
    if damage == "busy":
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a classic lock is in the way of an OFD lock, too
    assert prune(recorded, "--max-bytes", "1")[2]["met"]
    os.close(lock)
    assert folder(recorded) == {} and check_once(recorded) == {}


def test_what_is_read_is_passed_over(recorded):
    names = sorted(folder(recorded))
    with open(recorded.directory / "segments" / names[1], "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        status, told, summary = prune(recorded, "--max-age", "1ms", check=False)
        assert status == 3 and summary["passed"] == 1 and sorted(folder(recorded)) == [names[1]]
        assert [segment["segment"] for segment in told if segment["fate"] == "read"] == [names[1]]
    assert prune(recorded, "--max-age", "1ms")[2]["segments"] == 1


def test_a_command_that_reads_is_not_disturbed(recorded, scratch):
    """Its output is a pipe that nobody takes from, so it stands in the middle of a segment."""
    reading, writing = os.pipe()
    pid = os.posix_spawn(program(), [program(), "export", "--format", "pcapng", "-o", "-", "--dir",
                                     str(recorded.directory)], os.environ,
                         file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    os.close(writing)
    first = os.read(reading, 65536)
    _, told, _ = prune(recorded, "--max-age", "1ms", check=False)
    reads = [segment for segment in told if segment["fate"] == "read"]
    assert reads and all(segment["text"] for segment in reads)
    with open(reading, "rb") as rest:
        data = first + rest.read()
    os.waitpid(pid, 0)
    assert data


def test_a_gateway_s_open_segments_stay(scratch, server):
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        with faults.connect(gateway.listen) as client:
            live.exchange(client, b"before")
            processes.wait_until(lambda: sum(folder(gateway).values()) > 0, 10, "the first bytes in a file")
            status, told, summary = prune(gateway, "--max-bytes", "1", check=False)
            assert status == 3 and told == [] and summary["open"] == 1
            assert "gogetway rotate" in said(gateway, "--max-bytes", "1", status=3)
            live.exchange(client, b"behind")
        gateway.wait_sessions_closed(1)
        session, = gateway.sessions()
        assert gateway.payload(session.id, "client") == b"beforebehind"
        gateway.kill()
        names = folder(gateway)
        assert prune(gateway, "--max-bytes", "1", check=False)[1] == [] and folder(gateway) == names
        gateway.start()
        assert gateway.stop()[0] == 0
    assert prune(Store(scratch / "rec"), "--max-bytes", "1")[2]["met"]


def test_what_its_writer_still_has_is_passed_over(scratch, server):
    """Its gateway is alive, and nothing else says that this segment is being written: not `running`, nor its time."""
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        with faults.connect(gateway.listen) as client:
            live.exchange(client, b"before")
            processes.wait_until(lambda: sum(folder(gateway).values()) > 0, 10, "the first bytes in a file")
            name, = folder(gateway)
            running = gateway.directory / "running"
            processes.wait_until(lambda: name in running.read_text(), 10, "it to be named")
            running.write_text(running.read_text().replace(name, "another.pcapng"))
            os.utime(gateway.directory / "segments" / name, (1, 1))
            status, told, summary = prune(gateway, "--max-bytes", "1", check=False)
            assert status == 3 and summary["open"] == 0
            assert [(segment["segment"], segment["fate"]) for segment in told] == [(name, "read")]
            live.exchange(client, b"behind")
        gateway.wait_sessions_closed(1)
        session, = gateway.sessions()
        assert gateway.payload(session.id, "client") == b"beforebehind"
        assert gateway.stop()[0] == 0


def damage(store, session_id):
    """The first line of the journal that speaks of it."""
    file = store.directory / "journal" / "marks.jsonl"
    file.write_bytes(file.read_bytes().replace(session_id.encode(), b"f" * 24, 1))


def test_a_damaged_mark_may_have_been_a_hold(recorded):
    first, other = sorted(session.id for session in recorded.sessions())[2:4]
    recorded.command("hold", first)
    recorded.command("hold", other)
    damage(recorded, first)
    before = folder(recorded)
    for dry in ([], ["--dry-run"]):
        line = said(recorded, "--max-bytes", "1", *dry, status=3)
        assert "marks.jsonl has 1 damaged line;" in line
        for way_out in ("gogetway hold --damaged", "gogetway hold --mend", "--ignore-damaged-marks"):
            assert way_out in line
    assert folder(recorded) == before
    shown = recorded.command("hold", "--damaged").stdout.decode()
    assert shown.startswith("byte 0: {") and '"hold":true' in shown and "\n1 damaged line; " in shown
    recorded.command("hold", first)
    assert recorded.command("hold", "--damaged").stdout.decode() == shown
    assert recorded.command("hold", "--mend").stdout.decode().splitlines()[-1].startswith("took out 1 damaged line;")
    assert recorded.command("hold", "--mend").stdout == b"no line of the journal is damaged\n"
    assert b"f" * 24 in (recorded.directory / "journal" / "marks.jsonl.damaged").read_bytes()
    prune(recorded, "--max-bytes", "1", check=False)
    assert {first, other} <= set(check_once(recorded))
    damage(recorded, first)
    prune(recorded, "--max-bytes", "1", "--ignore-damaged-marks", check=False)
    assert set(check_once(recorded)) == {other}
    for words in (["--mend", "--damaged"], ["--mend", other], ["--damaged", "--json"]):
        assert recorded.command("hold", *words, check=False).returncode == 2


def test_a_gateway_with_a_damaged_mark_removes_nothing(recorded, scratch, configured, server):
    session_id = min(session.id for session in recorded.sessions())
    recorded.command("hold", session_id)
    before = recorded.payloads()[session_id]
    damage(recorded, session_id)
    names = set(folder(recorded))
    configured.directory = recorded.directory
    configured.write(live.listener(server.address), workers=1, retention={"max_bytes": "128KiB"})
    process = configured.start()
    failed = configured.wait_event(process, "retention failed")
    assert failed["level"] == "error" and "gogetway hold --mend" in failed["error"]
    configured.command("hold", session_id)
    assert names <= set(folder(recorded)) and len(configured.events(process, "retention failed")) == 1
    configured.command("hold", "--mend")
    configured.wait_event(process, "retention works again")
    processes.wait_until(lambda: sum(folder(recorded).values()) < 256 * KIB, 20, "the others to go")
    assert process.stop() == 0
    assert streams_of(recorded, session_id) == before


# ── While it runs ────────────────────────────────────────────────────────────────────────────────────────────────────

class Watched:
    """The most bytes that the segments have had while it is watched, and behind the first second."""

    def __init__(self, store):
        self.store, self.most, self.later, self.stopping = store, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        first = time.monotonic() + 1
        while not self.stopping.wait(0.005):
            total = 0
            for entry in os.scandir(self.store.directory / "segments"):
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    pass
            self.most = max(self.most, total)
            self.later = max(self.later, total if time.monotonic() > first else 0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(10)


def hold_first(gateway):
    """A session that is held: its id and streams."""
    live.said(gateway.listen, block_of(1000))
    gateway.wait_sessions_closed(1)
    session, = gateway.sessions()
    gateway.command("hold", session.id)
    return session.id, gateway.payloads()[session.id]


def test_bytes_hold_under_load(scratch, server):
    limit = 16 * MIB
    options = [*SMALL, "--retention-max-bytes", limit]
    options[options.index("64KiB")] = "256KiB"
    with Gateway(scratch / "rec", server.address, options=options, scratch=scratch) as gateway:
        held, streams = hold_first(gateway)
        begun = time.monotonic()
        with Watched(gateway) as watched, Load(lambda: gateway.listen, size=128 * KIB, pause=0.02) as load:
            processes.wait_until(lambda: faults.metric(gateway, "log_written_bytes") > 8 * limit, 60, "enough traffic")
        seconds = time.monotonic() - begun
        assert faults.metric(gateway, "log_segments_opened") / seconds > 10
        assert not load.failures
        assert limit / 4 < watched.later < limit * 1.25 and watched.most < 4 * limit
        gateway.wait_sessions_closed(1)
        assert gateway.stop()[0] == 0
        assert sum(folder(gateway).values()) <= limit
        assert gateway.payloads()[held] == streams
        check_once(gateway)
        gateway.verify()
        assert faults.events(gateway, "segments removed")


def test_a_small_disk_is_never_full(scratch, server):
    """More goes through it than it holds, in seconds; on_full would close."""
    options = [*SMALL, "--retention-min-free", "4MiB", "--on-full", "close", "--on-stall", "block"]
    with faults.mounted(scratch / "disk", size="12M") as disk:
        with Gateway(disk / "rec", server.address, options=options, scratch=scratch) as gateway:
            held, streams = hold_first(gateway)
            with Load(lambda: gateway.listen, size=512 * KIB) as load:
                processes.wait_until(lambda: faults.metric(gateway, "log_written_bytes") > 48 * MIB, 60, "traffic")
            assert not load.failures
            assert not [session for session in gateway.sessions() if session["close"] == "disk-full"]
            assert not faults.events(gateway, "recording cannot be written, trying again")
            assert gateway.stop()[0] == 0
            assert gateway.payloads()[held] == streams
            check_once(gateway)
            gateway.verify()


def test_room_is_made_when_it_is_gone_all_at_once(scratch, server):
    """Somebody else fills the disk between two looks: the writer meets ENOSPC, and nobody notices."""
    options = [*SMALL, "--retention-min-free", "2MiB", "--on-full", "close"]
    with faults.mounted(scratch / "disk", size="16M") as disk:
        with Gateway(disk / "rec", server.address, options=options, scratch=scratch) as gateway:
            with Load(lambda: gateway.listen, size=256 * KIB) as load:
                for number in range(5):
                    done = load.done
                    processes.wait_until(lambda: load.done > done + 10, 60, "traffic")
                    with open(disk / "ballast", "wb", buffering=0) as file, pytest.raises(OSError):
                        while True:
                            file.write(bytes(64 * KIB))
                    done = load.done
                    processes.wait_until(lambda: load.done > done + 4, 60, "traffic on the full disk")
                    (disk / "ballast").unlink()
            assert not load.failures
            assert gateway.stop()[0] == 0
            assert not [session for session in gateway.sessions() if session["close"] == "disk-full"]
            gateway.verify()


def test_a_large_segment_is_sealed_when_nothing_else_can_go(scratch, server):
    options = ["--workers", "1", "--log-flush-interval", "10ms", "--retention-max-bytes", "2MiB"]
    with Gateway(scratch / "rec", server.address, options=options, scratch=scratch) as gateway:
        with Load(lambda: gateway.listen, size=256 * KIB) as load:
            processes.wait_until(lambda: faults.metric(gateway, "log_written_bytes") > 12 * MIB, 60, "traffic")
        assert not load.failures
        processes.wait_until(lambda: sum(folder(gateway).values()) <= 2 * MIB, 10, "the limit")
        assert gateway.stop()[0] == 0
        gateway.verify()


def test_limits_follow_a_reload(configured, server):
    listener = live.listener(server.address)
    segment = {"max_bytes": "64KiB"}
    configured.write(listener, workers=1, segment=segment, log={"flush_interval": "10ms"})
    process = configured.start()
    for number in range(40):
        live.said(listener["listen"], block_of(number))
    processes.wait_until(lambda: sum(folder(configured).values()) > 40 * 48 * KIB, 20, "all of it in files")
    configured.write(listener, workers=1, segment=segment, log={"flush_interval": "10ms"},
                     retention={"max_bytes": "512KiB", "rules": ["listener=x max_age=1d"]})
    status, reply = configured.reload()
    assert status == 0 and any("retention.max_bytes" in line for line in reply["changed"])
    processes.wait_until(lambda: sum(folder(configured).values()) <= 512 * KIB, 5, "the new limit")
    configured.write(listener, workers=1, retention={"rules": ["listener=x"]})
    status, reply = configured.reload()
    assert status == 3 and "max_age" in json.dumps(reply)
    assert process.stop() == 0
    configured.verify()


def test_it_warns_before_the_disk_is_full(scratch, server):
    with faults.mounted(scratch / "disk", size="64M") as disk:
        with Gateway(disk / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
            with Load(lambda: gateway.listen, threads=1, size=4 * KIB, pause=0.004):
                line = faults.wait_event(gateway, "the disk will be full", 40)
            assert 0 < line["seconds"] < 3600 and "min_free" in line["effect"]
            text = gateway.command("stats", "--format", "prometheus").stdout.decode()
            full, = [float(line.split()[1]) for line in text.splitlines()
                     if line.startswith("gogetway_store_full_seconds ")]
            assert full < 3600
            assert gateway.stop()[0] == 0


# ── Two at once, and what is wrong ───────────────────────────────────────────────────────────────────────────────────

def test_two_at_once(recorded):
    descriptor = os.open(recorded.directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    released = threading.Timer(0.5, os.close, [descriptor])
    released.start()
    begun = time.monotonic()
    assert prune(recorded, "--max-bytes", "1")[2]["met"]
    assert time.monotonic() - begun > 0.4
    descriptor = os.open(recorded.directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert "another" in said(recorded, "--max-bytes", "1", status=3)
    os.close(descriptor)


def test_beside_the_gateway_s_own(scratch, server):
    with Gateway(scratch / "rec", server.address, options=[*SMALL, "--retention-max-bytes", "1MiB"],
                 scratch=scratch) as gateway:
        held, streams = hold_first(gateway)
        with Load(lambda: gateway.listen) as load:
            for limit in range(10):
                prune(gateway, "--max-bytes", f"{900 - 50 * limit}KiB", check=False)
                assert held in check_once(gateway)
        assert not load.failures
        assert gateway.stop()[0] == 0
        assert gateway.payloads()[held] == streams
        gateway.verify()


def test_tail_goes_on(scratch, server):
    """Segments go while it follows; what it has written is a capture, and has the held session once."""
    with Gateway(scratch / "rec", server.address, options=[*SMALL, "--retention-max-bytes", "512KiB"],
                 scratch=scratch) as gateway:
        held, streams = hold_first(gateway)
        out = scratch / "tail.pcapng"
        with open(out, "wb") as file, processes.Process([program(), "tail", "--from-start", "--dir", gateway.directory],
                                                        scratch, name="tail") as tail:
            with Load(lambda: gateway.listen):
                processes.wait_until(lambda: faults.metric(gateway, "retention_segments") > 20, 60, "some to go")
            gateway.stop()
            tail.stop(20)
            file.write(open(tail.out_path, "rb").read())
        assert Store(out).payloads(f"id={held}")[held] == streams


@pytest.mark.parametrize("words, text", [
    (["--max-bytes", "lots"], "--max-bytes: 'lots' is no size"),
    (["--max-age", "7"], "--max-age: '7' is no time"),
    (["--min-free", "-1"], "--min-free"),
    (["--rule", "listener=x"], "max_age"),
    (["--rule", "nothing=x max_age=1d"], "nothing"),
    ([], "it needs a limit"),
    (["--max-bytes", "1", "word"], "unexpected word"),
    (["--max-byte", "1"], "--max-byte"),
])
def test_wrong_words(recorded, words, text):
    before = folder(recorded)
    assert text in said(recorded, *words, status=2)
    assert folder(recorded) == before


def test_wrong_places(scratch, recorded):
    assert "no recording" in said(Store(scratch / "nothing"), "--max-bytes", "1", status=3)
    assert "no gateway's store" in said(Store(recorded.directory / "segments"), "--max-bytes", "1", status=3)
    file = next((recorded.directory / "segments").iterdir())
    assert "no gateway's store" in said(Store(file), "--max-bytes", "1", status=3)
    done = processes.run([program(), "run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--dir",
                          scratch / "other", "--retention-rule", "listener=x"], check=False)
    assert done.returncode == 2 and b"--retention-rule" in done.stderr


def test_a_read_only_store(scratch, recorded):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    (scratch / "view").mkdir()
    processes.run(["mount", "--bind", recorded.directory, scratch / "view"])
    try:
        processes.run(["mount", "-o", "remount,bind,ro", scratch / "view"])
        before = folder(recorded)
        status, told, _ = prune(Store(scratch / "view"), "--max-bytes", "1", check=False)
        assert status == 3 and {segment["fate"] for segment in told} == {"failed"}
        assert "Read-only" in told[0]["text"] and folder(recorded) == before
    finally:
        processes.run(["umount", "-l", scratch / "view"])


def test_a_signal_stops_it(recorded, scratch):
    with processes.Process([program(), "prune", "--max-age", "1ms", "--dir", recorded.directory], scratch) as process:
        process.stop(20, signal.SIGTERM)
    recorded.verify()
