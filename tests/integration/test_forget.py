# SPDX-License-Identifier: Apache-2.0
"""Tags and holds of sessions that are gone: they are forgotten, but for holds, which somebody has to let go."""
import json
import random
import shutil

import pytest

import faults
import live
import processes
from gogetway import TEST_ALL
from test_tags import SEED, journal, lines, make_store, refused, rule, tags

pytestmark = pytest.mark.usefixtures("require_program")

ROUNDS, SESSIONS = (60, 40) if TEST_ALL else (30, 30)
KIB = 1 << 10
RETENTION = {"max_bytes": "4MiB"}
SEGMENT = {"max_bytes": "64KiB"}
LOG = {"ring": "256KiB", "flush_interval": "10ms"}


def said(store):
    """Sessions of which the journal says something."""
    ids = set()
    for line in journal(store).read_text().splitlines(True):
        if not line.endswith("\n"):  # it is being written
            continue
        line = json.loads(line)
        if line.get("forget"):
            ids.discard(line["session"])
        if line.get("add") or line.get("hold"):
            ids.add(line["session"])
    return ids


def exist(store):
    return {session.id for session in store.sessions()}


def closed(store):
    return {session.id for session in store.sessions() if session.state == "closed"}


def write(configured, listener, **more):
    configured.write(listener, tags=[rule("closed", "state=closed")], retention=RETENTION, segment=SEGMENT, log=LOG,
                     workers=1, **more)


@pytest.fixture
def catalogue(scratch):
    """Only where there is one."""
    if b"built without" in make_store(scratch / "asked", 1).command("reindex", check=False).stderr:
        pytest.skip("built without a database")


def hold(store, session):
    """One that was there a moment ago may be gone."""
    return store.command("hold", session, check=False).returncode == 0


def test_rules_and_retention(configured, server, catalogue):
    """However many sessions come and go, the journal has those that are there, and the catalogue likewise."""
    listener = live.listener(server.address)
    write(configured, listener)
    came, files = 0, set()
    with configured.start() as process:
        for _ in range(ROUNDS):
            for _ in range(SESSIONS):
                live.said(listener["listen"], random.Random(came).randbytes(20 * KIB))
                came += 1
            processes.wait_until(lambda: journal(configured).exists() and closed(configured) <= said(configured), 20,
                                 "tags", 0.1)
            files.add(journal(configured).stat().st_ino)
        # One that has lost its end to retention may have lost it before the rules were asked.
        processes.wait_until(lambda: closed(configured) <= said(configured) <= exist(configured), 30,
                             "the journal to forget", 0.3)
        assert process.stop() == 0
    assert closed(configured) <= said(configured) <= exist(configured)
    assert len(exist(configured)) < came / 2
    assert len(files) > 1, len(lines(configured))
    assert len(lines(configured)) < 1024 + 512  # it was written anew
    assert all(tags(configured)[session] == ["closed"] for session in closed(configured))
    configured.command("reindex", "--check")


def test_rules_and_retention_and_kills(configured, server, catalogue):
    """Whenever the gateway is killed, no session that is there loses what is said of it, and none that is not keeps
    it, but for one that is held."""
    chance = random.Random(SEED)
    listener = live.listener(server.address)
    write(configured, listener)
    held = None
    for _ in range(10):
        with configured.start() as process:
            for number in range(12):
                live.said(listener["listen"], chance.randbytes(20 * KIB))
            if not held:
                held = processes.wait_until(lambda: next((s for s in sorted(closed(configured), reverse=True) if hold(
                    configured, s)), None), 20, "one to hold")
            faults.sleep_to_a_random_moment(chance, 0.5)
            process.kill()
    with configured.start() as process:
        def all_is_said():
            return held in closed(configured) and closed(configured) <= said(configured) <= exist(configured)
        processes.wait_until(all_is_said, 30, "what is said of what is there", 0.3)
        assert process.stop() == 0
    assert tags(configured, "held")[held] == ["closed", "held"]


# ── Sessions whose files are gone ────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture(params=["scanned", "catalogue"])
def lost(scratch, request):
    """A store with a session that is held, tagged, and not there, and one that is held and there."""
    store = make_store(scratch / "rec", 2)
    gone = make_store(scratch / "other", 3)
    here, away = sorted(exist(store))[0], sorted(exist(gone))[-1]
    gone.command("hold", away)
    gone.command("tag", away, "+x", "+y")
    shutil.copytree(gone.directory / "journal", store.directory / "journal")
    store.command("hold", here)
    if request.param == "catalogue":
        request.getfixturevalue("catalogue")
        store.command("reindex")
    return store, here, away


def held(store):
    return [json.loads(line) for line in store.command("hold", "--list", "--json").stdout.splitlines()]


def test_holds_are_listed(lost):
    store, here, away = lost
    there, missing = held(store)
    assert (there["id"], there["recorded"], missing["id"], missing["recorded"]) == (here, True, away, False)
    assert missing["tags"] == ["x", "y"] and missing["said"].endswith("Z")
    text = store.command("hold", "--list").stdout.decode().splitlines()
    assert text[0].startswith(here) and " -> 192.0.2.9:9999" in text[0]
    assert text[1].startswith(away) and text[1].endswith("no recording of it is here")
    assert refused(store.command("hold", "--list", here, check=False), 2, "--list")
    assert refused(store.command("hold", "--list", "--release", check=False), 2, "--list")


def test_what_is_gone_is_let_go(lost):
    store, here, away = lost
    assert refused(store.command("hold", away, check=False), 3, "no session begins with")
    assert refused(store.command("hold", "ff" + away[2:20], "--release", check=False), 3, "no session begins with")
    done = store.command("hold", away.upper(), here, "--release")
    assert f"no recording of {away} is here".encode() in done.stderr and done.stdout == b"released 2 sessions\n"
    assert held(store) == [] and tags(store, "held") == {}
    assert refused(store.command("hold", away, "--release", check=False), 3, "neither recorded nor held")


def test_what_is_gone_loses_its_tags(lost):
    store, here, away = lost
    assert refused(store.command("tag", away, "+z", check=False), 3, "no session begins with")
    assert refused(store.command("tag", away, "-x", "+z", check=False), 3, "no session begins with")
    done = store.command("tag", away, "-x")
    assert f"no recording of {away} is here".encode() in done.stderr and done.stdout == b"untagged 1 session\n"
    assert held(store)[1]["tags"] == ["y"]
    assert refused(store.command("tag", away, "-x", check=False), 3, "neither recorded nor tagged so")
    done = store.command("tag", away, "-y", "--json")
    assert json.loads(done.stdout) == {"id": away, "recorded": False}
    assert held(store)[1]["tags"] == []
