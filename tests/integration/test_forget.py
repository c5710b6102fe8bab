# SPDX-License-Identifier: Apache-2.0
"""Tags and holds of sessions that are gone: somebody has to let them go."""
import json
import shutil

import pytest

from test_tags import make_store, refused, tags

pytestmark = pytest.mark.usefixtures("require_program")


def exist(store):
    return {session.id for session in store.sessions()}


@pytest.fixture
def catalogue(scratch):
    """Only where there is one."""
    if b"built without" in make_store(scratch / "asked", 1).command("reindex", check=False).stderr:
        pytest.skip("built without a database")


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
