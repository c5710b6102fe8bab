# SPDX-License-Identifier: Apache-2.0
"""Retention by rules of bytes, in a store whose segments have one session each: so it can be told which goes."""
import fcntl
import os

import pytest

import live
import processes
from gogetway import program
from pruning import KIB, block_of, check_once, folder, prune

pytestmark = pytest.mark.usefixtures("require_program")


@pytest.fixture
def apart(server, configured):
    """A store with a segment for each of six sessions, in turn of the listeners web and ssh."""
    web, ssh = live.listener(server.address, name="web"), live.listener(server.address, name="ssh")
    configured.write(web, ssh, workers=1)
    process = configured.start()
    for number in range(6):
        live.said((web, ssh)[number % 2]["listen"], block_of(number))
        processes.wait_until(lambda: all(session.state == "closed" for session in configured.sessions()), 10, "closed")
        configured.command("rotate")
    assert process.stop() == 0
    names = sorted(folder(configured))
    assert len(names) == 6
    configured.listeners = (web, ssh)
    return configured, names


def test_bytes_by_rule(apart):
    store, names = apart
    size = folder(store)[names[1]]
    assert prune(store, "--rule", f"listener=ssh max_bytes={4 * size}")[1] == []
    rule = ["--rule", f"listener=ssh max_bytes={60 * KIB}"]  # more than the newest has, with its echo; less than two
    os.unlink(store.directory / "catalogue.db")  # it is not needed
    _, told, _ = prune(store, *rule, "--dry-run")
    assert [(segment["segment"], segment["why"]) for segment in told] == [(names[1], "rule")]
    _, told, summary = prune(store, *rule)
    assert [segment["segment"] for segment in told] == [names[1]] and summary["met"]
    left = [session["listener"] for session in store.sessions()]
    assert left.count("ssh") == 2 and left.count("web") == 3
    assert prune(store, *rule)[1] == []
    store.command("tag", min(session.id for session in store.sessions()), "+evidence")
    _, told, _ = prune(store, "--rule", "tag=evidence max_age=0", "--rule", "listener=web max_bytes=1")
    assert [segment["segment"] for segment in told] == [names[2]]  # the first one has a rule of its own


def test_what_is_due_pushes_nothing_out(apart):
    store, names = apart
    sizes = folder(store)
    limit = sum(sizes[name] for name in names[0::2]) + sizes[names[5]]
    _, told, summary = prune(store, "--rule", "listener=ssh max_bytes=1", "--max-bytes", limit)
    assert sorted(folder(store)) == sorted(set(names) - {names[1], names[3]}) and summary["met"]
    assert {segment["why"] for segment in told} == {"rule"}


def test_a_gateway_s_bytes_by_rule(apart):
    """One that knows nothing of its store yet, and a rule that comes with a reload."""
    store, names = apart
    store.write(*store.listeners, workers=1, retention={"rules": ["listener=web max_bytes=1"]})
    process = store.start()
    left = set(names) - {names[0], names[2]}
    processes.wait_until(lambda: not set(folder(store)) & {names[0], names[2]}, 20, "the older ones of web to go")
    assert left <= set(folder(store))
    store.write(*store.listeners, workers=1,
                retention={"rules": ["listener=web max_bytes=1", "listener=ssh max_bytes=1"]})
    assert store.reload()[0] == 0
    # The newest of all is taken for one that is written, for a minute, and does not count yet.
    processes.wait_until(lambda: names[1] not in folder(store), 20, "the older one of ssh to go")
    assert {names[4], names[5]} <= set(folder(store))
    assert process.stop() == 0


def test_a_hold_that_waits_wins(apart, scratch):
    """It waits for the journal for longer than a pass waits for it, and what it is to hold would go meanwhile."""
    store, names = apart
    session_id, = (session.id for session in store.sessions() if session["segments"] == [names[0]])
    before = store.payloads()[session_id]
    store.command("tag", session_id, "+x")  # there is a journal
    claimed = ["flock", "--exclusive", "--nonblock", store.directory / "segments", "true"]
    rule = ["--rule", "listener=web max_bytes=1"]
    with open(store.directory / "journal" / "marks.jsonl", "r+b") as journal:
        fcntl.lockf(journal, fcntl.LOCK_EX)
        with processes.Process([program(), "hold", session_id, "--dir", store.directory], scratch, "hold") as holding:
            processes.wait_until(lambda: processes.run(claimed, check=False).returncode, 20, "it to claim the store")
            status, told, _ = prune(store, *rule, check=False)
            assert status == 3 and {segment["fate"] for segment in told} == {"read"}
            assert holding.running() and set(folder(store)) == set(names)
            fcntl.lockf(journal, fcntl.LOCK_UN)
            assert holding.wait(20) == 0
    prune(store, *rule, check=False)
    assert names[2] not in folder(store) and check_once(store)[session_id]["held"]
    assert store.payloads()[session_id] == before
