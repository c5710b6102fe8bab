# SPDX-License-Identifier: Apache-2.0
"""`gogetway tag` and `gogetway hold`: what was said is there, whatever happens to the one who says it or to the disk;
and tags by the rules of a configuration."""
import json
import os
import random
import shutil
import subprocess
import time

import pytest

import faults
import live
import processes
from gogetway import Store, program, tool

pytestmark = pytest.mark.usefixtures("require_program")

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20240601"))
SESSIONS = 90
NOBODY = 65534


def make_store(place, count=SESSIONS):
    """A store of that many short sessions, at the ports from 4001 on."""
    segments = place / "segments"
    segments.mkdir(parents=True)
    lines = [f"file {segments}/20240101T000001.000Z-w0-block-000001.pcapng"]
    for number in range(1, count + 1):
        lines += [f"session {number} 4 {4000 + number} 1 2", f"open {number}", f"send {number} c {number}",
                  f"close {number} orderly"]
    processes.run([tool("encode_sample")], input=("\n".join(lines) + "\n").encode())
    return Store(place)


@pytest.fixture
def store(scratch):
    return make_store(scratch / "rec")


@pytest.fixture(params=["scanned", "catalogue"])
def small(scratch, request):
    """Whose sessions are found in the segments, or in a catalogue."""
    made = make_store(scratch / "rec", 4)
    if request.param == "catalogue":
        done = made.command("reindex", check=False)
        if b"built without" in done.stderr:
            pytest.skip("built without a database")
        assert done.returncode == 0, done.stderr
    return made


def tags(store, *filters):
    """id -> its tags, and "held" behind them if it is."""
    return {s.id: s["tags"] + ["held"] * s["held"] for s in store.sessions(*filters)}


def refused(done, status, *words):
    """One line on standard error that has these words; nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == status and done.stdout == b"", (done.returncode, text)
    assert text.startswith("gogetway: ") and text.count("\n") == 1, text
    for word in words:
        assert word in text
    return True


def journal(store):
    return store.directory / "journal/marks.jsonl"


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_one_session(small):
    first, second, *_ = [session.id for session in small.sessions()]
    assert small.command("tag", first, "+interesting", "+noise").stdout == b"tagged 1 session\n"
    assert small.command("tag", first, "-noise").stdout == b"untagged 1 session\n"
    assert small.command("tag", first, "+interesting", "-noise").stdout == b"nothing to do: 1 session is so already\n"
    assert small.command("tag", first).stdout == b"interesting\n"
    assert small.command("tag", second).stdout == b""
    assert small.command("hold", second).stdout == b"held 1 session\n"
    told = json.loads(small.command("tag", second, "+\u00e4", "--json").stdout)
    assert (told["id"], told["tags"], told["held"]) == (second, ["\u00e4"], True)
    assert small.command("hold", second, "--release").stdout == b"released 1 session\n"
    assert tags(small) == dict.fromkeys(tags(small), []) | {first: ["interesting"], second: ["\u00e4"]}
    assert json.loads(journal(small).read_text().splitlines()[0])["session"] == first  # any tool can read it
    small.verify()


def test_several_sessions(small):
    ids = [session.id for session in small.sessions()]
    assert small.command("tag", ids[0], ids[1], "+x").stdout == b"tagged 2 sessions\n"
    assert small.command("tag", "bytes=2..", "+x", "+y").stdout == b"tagged 3 sessions\n"
    assert small.command("tag", "bytes=1..", "+x").stdout == b"nothing to do: 4 sessions are so already\n"
    assert small.command("tag", "bytes=1..", "+y").stdout == b"tagged 1 session; 3 more were so already\n"
    assert small.command("hold", "bytes=3..").stdout == b"held 2 sessions\n"
    assert tags(small) == {ids[0]: ["x", "y"], ids[1]: ["x", "y"], ids[2]: ["x", "y", "held"],
                           ids[3]: ["x", "y", "held"]}
    small.command("tag", ids[2], "-x", "+one")
    assert small.command("tag", "--list").stdout.decode().split() == ["4", "y", "3", "x", "1", "one"]
    assert [json.loads(line) for line in small.command("tag", "--list", "bytes=3", "--json").stdout.splitlines()] == [
        {"tag": "one", "sessions": 1}, {"tag": "y", "sessions": 1}]
    shown = small.command("tag", "bytes=2..3").stdout.decode().splitlines()
    assert shown == [f"{ids[1]} x y", f"{ids[2]} one y"]


def test_the_table(small):
    ids = [session.id for session in small.sessions()]
    small.command("tag", ids[1], "+interesting", "+b")
    small.command("tag", ids[2], *[f"+{'long' * 12}{number}" for number in range(20)])
    small.command("hold", ids[1])
    title, *rows = small.command("sessions").stdout.decode().splitlines()
    assert title.split()[-1] == "TAGS"
    column = title.index("TAGS")
    assert rows[0] == rows[0].rstrip() and len(rows[0]) <= column  # without tags nothing stands there
    assert rows[1][column:] == "b,interesting" and " held " in rows[1]
    assert rows[2].endswith(",...") and len(rows[2]) < column + 200


def test_tags_like_options(small):
    first = small.sessions()[0].id
    small.command("tag", first, "+h", "+json")
    assert small.command("tag", first, "-json").stdout == b"untagged 1 session\n"
    done = processes.run([program(), "tag", "--dir", small.directory, "--", first, "-h"])
    assert done.stdout == b"untagged 1 session\n"
    assert b"usage" in small.command("tag", "--help").stdout and b"usage" in small.command("hold", "--help").stdout


def test_wrong_words(small, scratch):
    ids = [session.id for session in small.sessions()]
    done = small.command("tag", ids[0][:-1], "+x", check=False)
    assert done.returncode == 2 and done.stdout == b""
    text = done.stderr.decode()
    assert "4 sessions begin with" in text and all(session in text for session in ids)
    assert small.command("tag", f"id={ids[0][:-1]}", "+x").stdout == b"tagged 4 sessions\n"  # that is what it says
    small.command("tag", "bytes=0..", "-x")
    before = journal(small).read_bytes()

    def wrong(status, *words, expect):
        return refused(small.command(*words, check=False), status, *expect)
    assert wrong(2, "tag", "+x", expect=["which session"])
    assert wrong(2, "hold", expect=["which session"])
    assert wrong(3, "tag", "ffff", "+x", expect=["no session begins with 'ffff'", "gogetway sessions"])
    assert wrong(3, "hold", "bytes=1M..", expect=["no session matches"])
    assert wrong(2, "tag", ids[0], "bytes=1", "+x", expect=["either all or none"])
    assert wrong(2, "tag", ids[0], "+a b", expect=["'a b' is no tag"])
    assert wrong(2, "tag", ids[0], "+a\x1b[2J", expect=["is no tag"])
    assert wrong(2, "tag", ids[0], "+" + "x" * 65, expect=["is no tag"])
    assert wrong(2, "tag", ids[0], "+", expect=["empty"])
    assert wrong(2, "tag", ids[0], "+x", "-x", expect=["both"])
    assert wrong(2, "tag", "byts=1", "+x", expect=["byts"])
    assert wrong(2, "tag", "--list", "+x", expect=["--list"])
    assert wrong(2, "tag", ids[0], "--jsn", expect=["--json"])
    assert journal(small).read_bytes() == before
    assert refused(processes.run([program(), "hold", ids[0], "--dir", small.segments()[0]], check=False), 3, "no store")
    done = processes.run([program(), "tag", ids[0], "+x", "--dir", scratch / "no"], check=False)
    assert refused(done, 3, "no recording")


# ── While a gateway runs ─────────────────────────────────────────────────────────────────────────────────────────────

def test_beside_a_running_gateway(gateways, server, scratch):
    gateway = gateways(server.address)
    live.said(gateway.listen)
    gateway.wait_sessions_closed(1)
    session, = gateway.sessions()
    follower = processes.Process([program(), "sessions", "--follow", "--json", "--dir", gateway.directory], scratch,
                                 name="follower")
    with follower:
        def seen():
            return [json.loads(line)["tags"] for line in follower.output().splitlines() if line.endswith("}")]
        processes.wait_until(lambda: len(seen()) == 1, 20, "the session")
        gateway.command("tag", session.id, "+while")
        processes.wait_until(lambda: len(seen()) == 2, 20, "the session again")
        assert seen() == [[], ["while"]]
    with faults.connect(gateway.listen) as peer:  # one that is open, too
        live.exchange(peer, b"hello")
        opened = processes.wait_until(lambda: gateway.sessions("state=open"), 20, "an open session")[0]
        gateway.command("hold", opened.id)
        gateway.command("tag", opened.id, "+early")
        assert tags(gateway)[opened.id] == ["early", "held"]
    gateway.wait_sessions_closed(2)
    assert tags(gateway)[opened.id] == ["early", "held"]
    assert gateway.stop()[0] == 0
    assert tags(gateway) == {session.id: ["while"], opened.id: ["early", "held"]}
    gateway.start()  # and again
    assert tags(gateway) == {session.id: ["while"], opened.id: ["early", "held"]}
    assert gateway.stop()[0] == 0


def test_what_root_makes_is_the_owners(small):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for file in [small.directory, *small.directory.rglob("*")]:
        os.chown(file, NOBODY, NOBODY)
    small.command("tag", "bytes=0..", "+x")
    assert {file.stat().st_uid for file in [journal(small), journal(small).parent]} == {NOBODY}


# ── Kills, and disks ─────────────────────────────────────────────────────────────────────────────────────────────────

def test_killed_at_random_moments(store):
    """50 commands, each killed somewhere: what was said to be done is there, and nothing is damaged. Tags are kept,
    holds go on and off, so that the journal is written anew again and again."""
    chance = random.Random(SEED)
    began = time.monotonic()
    store.command("hold", "bytes=0..", "--release")
    usual = time.monotonic() - began
    done_tags, maybe_tags, holds, said, lengths = set(), set(), {False}, 0, [0]
    for number in range(50):
        if number % 5 == 0:
            command = ["tag", "bytes=0..", f"+t{number}"]
        else:
            command = ["hold", "bytes=0..", *(["--release"] if number % 2 else [])]
        process = subprocess.Popen([program(), *command, "--dir", store.directory], stdout=subprocess.PIPE)
        faults.sleep_to_a_random_moment(chance, 1.5 * usual)
        process.kill()
        done = bool(process.communicate()[0])
        said += done
        if command[0] == "tag":
            (done_tags if done else maybe_tags).add(f"t{number}")
        elif done:
            holds = {len(command) == 2}
        else:
            holds = holds | {len(command) == 2}
        listing = store.command("sessions", "--json")
        assert listing.stderr == b"", number  # no line is damaged
        for line in listing.stdout.splitlines():
            session = json.loads(line)
            found = set(session["tags"])
            assert done_tags <= found <= done_tags | maybe_tags, number
            assert session["held"] in holds, number
        for words in [], ["--release"]:  # some that nobody disturbs, to wear the journal out
            store.command("hold", "bytes=0..", *words)
        holds = {False}
        lengths.append(journal(store).stat().st_size)
    assert 0 < said < 50, "every kill came too late, or too early"
    assert any(now < before for before, now in zip(lengths, lengths[1:])), "the journal was never written anew"


def test_two_at_once(store):
    commands = [["tag", "bytes=0..", f"+by-{number}"] for number in range(6)]
    running = [subprocess.Popen([program(), *command, "--dir", store.directory], stdout=subprocess.PIPE)
               for command in commands]
    assert [process.communicate(timeout=60)[0] for process in running] == [b"tagged %d sessions\n" % SESSIONS] * 6
    assert all(found == [f"by-{number}" for number in range(6)] for found in tags(store).values())


def test_a_full_disk(scratch):
    with faults.mounted(scratch / "disk", size=4 << 20) as disk:
        store = make_store(disk / "rec")
        store.command("tag", "bytes=0..", "+before")
        free = os.statvfs(disk)
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 4096)
        before = journal(store).read_bytes()
        for _ in range(3):
            assert refused(store.command("tag", "bytes=0..", "+after", check=False), 3, "No space left on device")
            assert refused(store.command("hold", "bytes=0..", check=False), 3, "No space left on device")
        assert journal(store).read_bytes() == before
        assert set(map(tuple, tags(store).values())) == {("before",)}
        ballast.unlink()
        store.command("tag", "bytes=0..", "+after")
        assert set(map(tuple, tags(store).values())) == {("after", "before")}


@pytest.mark.parametrize("tagged", [False, True])
def test_a_read_only_disk(scratch, tagged):
    with faults.mounted(scratch / "disk", size=4 << 20) as disk:
        store = make_store(disk / "rec", 4)
        if tagged:
            store.command("tag", "bytes=0..", "+before")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert refused(store.command("tag", "bytes=0..", "+after", check=False), 3, "Read-only file system")
        assert refused(store.command("hold", "bytes=0..", check=False), 3, "Read-only file system")
        assert set(map(tuple, tags(store).values())) == {("before",) if tagged else ()}


def test_a_damaged_line(small):
    ids = [session.id for session in small.sessions()]
    for session in ids:
        small.command("tag", session, "+x")
    text = journal(small).read_bytes()
    journal(small).write_bytes(text.replace(ids[1].encode(), b"f" * 24))
    listing = small.command("sessions", "--json")
    assert listing.stderr.decode().count("\n") == 1 and b"marks.jsonl: the line at byte" in listing.stderr
    assert [json.loads(line)["tags"] for line in listing.stdout.splitlines()] == [["x"], [], ["x"], ["x"]]
    assert small.command("tag", ids[1], "+x").stdout == b"tagged 1 session\n"
    assert set(map(tuple, tags(small).values())) == {("x",)}


def test_a_store_without_its_journal(small):
    small.command("tag", "bytes=0..", "+x")
    shutil.rmtree(journal(small).parent)
    assert set(map(tuple, tags(small).values())) == {()}


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_wrong_rules_have_a_place(configured):
    configured.write_text("""listeners:
  - {listen: 127.0.0.1:0, upstream: none}
tags:
  - tag: a b
    filter: port=80
  - {tag: x, filter: byts=1}
  - {tag: x, filter: port=1 and start > -2s}
  - tag: x
""")
    done = configured.command("run", "-c", configured.file, "--check-config", check=False)
    lines = [line.split(f"{configured.file}:")[-1] for line in done.stderr.decode().splitlines()]
    assert done.returncode == 2 and len(lines) == 4
    assert lines[0].startswith("4:10: tag: 'a b' is no tag")
    assert lines[1].startswith("6:22: filter: ") and "byts" in lines[1]
    assert lines[2].startswith("7:22: filter: ") and "no moment" in lines[2]
    assert lines[3].startswith("8:5: the rule for tags has no 'filter'")
    configured.write({"listen": "127.0.0.1:0", "upstream": "none"}, catalogue="off",
                     tags=[{"tag": "x", "filter": "port=1"}])
    done = configured.command("run", "-c", configured.file, "--check-config", check=False)
    assert done.returncode == 2 and b"rules for tags have no effect with catalogue: off" in done.stderr


def rule(tag, words):
    return {"tag": tag, "filter": words}


def lines(store):
    """What the journal says: (session, tags added) of each line."""
    said = [json.loads(line) for line in journal(store).read_text().splitlines()] if journal(store).exists() else []
    return [(line["session"], line.get("add")) for line in said]


def wait_tags(store, expected, *filters):
    def there():
        return sorted(tags(store, *filters).values()) == sorted(expected)
    processes.wait_until(there, 20, f"tags {expected}", 0.1)


def test_rules(configured, server):
    """Sessions are tagged as they close, also by rules that came with a reload; once, and not against a person's
    word."""
    listener = live.listener(server.address)
    configured.write(listener, tags=[rule("talks", "bytes >= 1 and not port = 1"), rule("never", "port = 1")])
    with configured.start() as process:
        with faults.connect(listener["listen"]) as peer:
            live.exchange(peer, b"hello")
            live.said(listener["listen"])
            wait_tags(configured, [["talks"]], "state=closed")
            assert list(tags(configured, "state=open").values()) == [[]]
        wait_tags(configured, [["talks"]] * 2)
        first, second = [session.id for session in configured.sessions()]
        assert sorted(lines(configured)) == sorted([(first, ["talks"]), (second, ["talks"])])
        configured.command("tag", first, "-talks")
        configured.write(listener, tags=[rule("talks", "bytes=1.."), rule("later", "bytes=1..")])
        status, reply = configured.reload()
        assert status == 0 and any("tags" in line for line in reply["changed"]), reply
        live.said(listener["listen"])
        wait_tags(configured, [[], ["talks"], ["later", "talks"]])
        assert process.stop() == 0
    before = lines(configured)
    with configured.start() as process:  # which sees their segments again
        live.said(listener["listen"])
        wait_tags(configured, [[], ["talks"], ["later", "talks"], ["later", "talks"]])
        assert process.stop() == 0
    assert lines(configured)[:-1] == before
    done = configured.command("reindex", check=False)
    if done.returncode == 0:  # built with a database
        assert sorted(tags(configured).values()) == sorted([[], ["talks"], ["later", "talks"], ["later", "talks"]])


def test_rules_and_kills(configured, server):
    """Whenever the gateway is killed, in the end each session that closed has its tag, by one line."""
    chance = random.Random(SEED)
    listener = live.listener(server.address)
    configured.write(listener, tags=[rule("closed", "bytes=1..")])
    for _ in range(8):
        with configured.start() as process:
            for _ in range(20):
                live.said(listener["listen"])
            faults.sleep_to_a_random_moment(chance, 0.8)
            process.kill()
    with configured.start() as process:
        def all_tagged():
            found = [s for s in configured.sessions() if s.state == "closed"]
            return len(found) >= 8 and all(s["tags"] == ["closed"] for s in found)
        processes.wait_until(all_tagged, 20, "every session's tag", 0.2)
        assert process.stop() == 0
    said = [session for session, _ in lines(configured)]
    assert len(said) == len(set(said)) > 100


def test_rules_without_a_journal(configured, server):
    """It cannot be written: recording goes on, it is told once, and when it can be, nothing was forgotten."""
    listener = live.listener(server.address)
    configured.write(listener, tags=[rule("closed", "bytes=1..")])
    with configured.start() as process:
        folder = configured.directory / "journal"
        folder.rmdir()
        folder.write_text("in the way")
        live.said(listener["listen"])
        warning = configured.wait_event(process, "sessions are not in the catalogue")
        assert "journal" in warning["error"]
        live.said(listener["listen"])
        folder.unlink()
        folder.mkdir(0o700)  # in its sandbox the gateway cannot
        wait_tags(configured, [["closed"]] * 2)
        assert process.stop() == 0
