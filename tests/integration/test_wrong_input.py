# SPDX-License-Identifier: Apache-2.0
"""What each store command says when it is asked for what cannot be: one line, which says what to do."""
import contextlib
import os
import shutil
import sqlite3

import pytest

import faults
import live
import processes
from gogetway import Gateway, Store, program

pytestmark = pytest.mark.usefixtures("require_program")

WRONG, FAILED = 2, 3  # the command was wrong; it could not be done
WHERE = ["--dir DIR says where the recording is"]
LISTS = ["'gogetway sessions' lists them"]
NOBODY = ["no gateway runs", "--dir names the directory"]
ANEW = ["'gogetway reindex' makes it anew"]
OWNER = ["Permission denied", "the rights of the store's owner"]
ELSEWHERE = ["Read-only file system", "a copy of that on another disk"]

READ = {"sessions": "sessions", "grep": "grep said", "show": "show ID", "export": "export -o OUT", "tags": "tag --list",
        "totals": "stats --totals", "replay": "replay --to 127.0.0.1:9 --dry-run"}
MARK = {"tag": "tag ID +x", "untag": "tag ID -x", "hold": "hold ID"}
KEEP = {"prune": "prune --max-bytes 1", "reindex": "reindex", "verify": "verify", "tail": "tail"}
ASK = {"stats": "stats", "rotate": "rotate", "reload": "reload", "upstreams": "upstreams"}
STORE = {**READ, **MARK, **KEEP}
CHOOSE = {key: words.replace(" ID", "") for key, words in {**READ, **MARK}.items() if key not in ("tags", "show")}
FILTER = "--filter 'bytes > 1M and clinet = 3'"


def rows():
    """(what is wrong, the place, words, exit status, what the line has). A status of 0: it is done, and it warns."""
    for words in STORE.values():
        yield "no directory", "nowhere", words, FAILED, ["there is no recording at", *WHERE]
        yield "no store", "plain", words, FAILED, ["is no store", *WHERE]
    for words in ASK.values():
        yield "no directory", "nowhere", words, FAILED, NOBODY
        yield "nobody runs", "rec", words, FAILED, NOBODY
    for words in MARK.values():
        yield "a capture", "capture", words, FAILED, ["only in such sessions can be tagged and held"]
    for words in ("prune --max-bytes 1", "reindex"):
        yield "a capture", "capture", words, FAILED, [*WHERE]
    for words in CHOOSE.values():
        yield "a field", "rec", f"{words} {FILTER}", WRONG, ["column 16", "did you mean 'client'?"]
        yield "a word", "rec", f"{words} bytes=abc", WRONG, ["bytes='abc'", "right would be"]
    for key in ("sessions", "grep", "export", "totals", "replay"):
        yield "a short id", "rec", f"{CHOOSE[key]} 01a", WRONG, ["6 hexadecimal digits or more"]
    for key in ("tag", "untag", "hold", "export", "replay"):
        yield "no session", "rec", f"{CHOOSE[key]} ffffff", FAILED, ["no session", *LISTS]
    yield "no session", "rec", "show ffffff", FAILED, ["no session matches 'ffffff'", *LISTS]
    for words in ("tag +x", "tag -x", "tag", "hold", "hold --release"):
        yield "two sessions", "rec", f"{words} TWO", WRONG, ["more of the id tells them apart"]
    yield "two sessions", "rec", "show TWO", WRONG, ["give more digits of one"]
    for words in ("tag ID +x", "hold ID"):
        yield "not ours", "ours", words, FAILED, OWNER
        yield "a read-only disk", "view", words, FAILED, ELSEWHERE
    for words in ("reindex", "reindex --check"):
        yield "not ours", "ours", words, FAILED, OWNER
        yield "a read-only disk", "view", words, FAILED, ELSEWHERE
    for place in ("ours", "view"):
        yield "only read", place, "sessions", 0, []
        yield "only read", place, "grep said", 0, []
        yield "none can go", place, "prune --max-bytes 1", FAILED, ["as is said above"]
    run = "run --listen 127.0.0.1:0 --upstream 127.0.0.1:9"
    yield "a read-only disk", "view", run, FAILED, ["Read-only file system", "has to be able to write there"]
    yield "not ours", "ours", run, FAILED, ["has to be able to write there"]
    for place in ("damaged", "later"):
        for words in [*READ.values(), *MARK.values()]:
            if words.startswith("replay"):
                continue  # it asks no catalogue
            yield f"a {place} catalogue", place, words, 0, ["gogetway: warning: the catalogue", *ANEW]
        yield f"a {place} catalogue", place, "reindex --check", FAILED, ANEW
    yield "no limit", "rec", "prune", WRONG, ["--max-bytes 100GiB"]
    yield "no order", "rec", "sessions --sort colour", WRONG, ["'gogetway help filters'"]
    yield "no sum", "rec", "stats --totals --by colour", WRONG, ["there are by listener"]


def make_places(place, rec):
    """Stores and others, by their names in the table."""
    (place / "plain").mkdir()
    (place / "plain/a").touch()
    segment = max((rec / "segments").iterdir(), key=lambda file: file.stat().st_size)
    shutil.copy(segment, place / "capture")
    for kind in ("damaged", "later", "ours"):
        shutil.copytree(rec, place / kind)
    (place / "damaged/catalogue.db").write_bytes(b"no database" * 1000)
    with contextlib.closing(sqlite3.connect(place / "later/catalogue.db")) as database:
        database.execute("PRAGMA user_version = 99")
    for file in [place, place / "ours", *(place / "ours").rglob("*")]:
        os.chmod(file, 0o755 if file.is_dir() else 0o644)


@contextlib.contextmanager
def view_of(rec, place):
    """The store on a disk that cannot be written, or None where nothing may be mounted."""
    (place / "view").mkdir()
    mounted = os.geteuid() == 0 and processes.run(["mount", "--bind", rec, place / "view"], check=False).returncode == 0
    try:
        if mounted:
            processes.run(["mount", "-o", "remount,bind,ro", place / "view"])
        yield mounted
    finally:
        if mounted:
            processes.run(["umount", "-l", place / "view"])


def said(words, at, by):
    done = processes.run([*by, "sh", "-c", f'exec "$0" {words} --dir "$1"', program(), at], check=False, seconds=30)
    lines = done.stderr.decode().splitlines()
    events = [line for line in lines if line.startswith("{")]  # of a gateway that was about to run
    return done.returncode, [line for line in lines if line not in events]


def is_one_line(lines, what):
    """What stands below it is a list to choose from, or shows the place in the expression."""
    below = what in ("a field", "two sessions")
    return bool(lines) and lines[0].startswith("gogetway: ") and (below or len(lines) == 1)


def test_each_says_what_to_do(scratch, server):
    with Gateway(scratch / "rec", server.address, options=["--workers", "1"], scratch=scratch) as gateway:
        for number in range(3):
            with faults.connect(gateway.listen) as client:
                live.exchange(client, b"said %02d" % number)
        gateway.wait_sessions_closed(3)
        assert gateway.stop()[0] == 0
    ids = sorted(session.id for session in Store(scratch / "rec").sessions())
    make_places(scratch, scratch / "rec")
    slips, seen = [], 0
    with view_of(scratch / "rec", scratch) as mounted:
        for what, place, words, status, texts in rows():
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if place == "ours" else []
            if (place == "view" and not mounted) or (nobody and os.geteuid() != 0):
                continue
            out = scratch / f"out-{seen}.pcapng"
            words = words.replace("ID", ids[0]).replace("TWO", ids[0][:6]).replace("OUT", str(out))
            got, lines = said(words, scratch / place, nobody)
            seen += 1
            good = is_one_line(lines, what) if texts else not lines
            if got != status or not good or any(text not in lines[0] for text in texts):
                slips.append(f"{what}: {words} --dir {place}: {got}, not {status}: {lines}")
    assert not slips, "\n".join(slips)
    assert seen > 100


@pytest.mark.parametrize("damage", ["damaged", "later"])
def test_recording_goes_on(scratch, server, damage):
    """Beside a catalogue that cannot be read."""
    store = scratch / "rec"
    for turn in range(2):
        with Gateway(store, server.address, options=["--workers", "1"], scratch=scratch) as gateway:
            with faults.connect(gateway.listen) as client:
                live.exchange(client, b"said %02d" % turn)
            gateway.wait_sessions_closed(turn + 1)
            assert gateway.stop()[0] == 0
        if damage == "damaged":
            (store / "catalogue.db").write_bytes(b"no database" * 1000)
        else:
            with contextlib.closing(sqlite3.connect(store / "catalogue.db")) as database:
                database.execute("PRAGMA user_version = 99")
    assert len(Store(store).sessions()) == 2
