# SPDX-License-Identifier: Apache-2.0
"""Retention that is killed, as `gogetway prune` and with its gateway: nothing is lost, and nobody is listed twice."""
import random
import shutil
import signal
import time

import pytest

import faults
import processes
from gogetway import TEST_ALL, Gateway, Store, program
from pruning import KIB, SEED, SMALL, Load, check_once, prune, recorded, streams_of, through  # noqa: F401 (fixture)

pytestmark = pytest.mark.usefixtures("require_program")

KILLS = 50 if TEST_ALL else 15


def fresh(store, place):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(store.directory, place)
    return Store(place)


def check_mended(store, held, before):
    """Behind a kill: nobody is lost or twice; and the next one brings it to where it was to come."""
    assert held <= set(check_once(store))
    payloads = store.payloads()
    assert all(payloads[session_id] == before[session_id] for session_id in held)
    prune(store, "--max-bytes", "1", check=False)
    assert set(check_once(store)) == held
    payloads = store.payloads()
    assert all(payloads[session_id] == before[session_id] for session_id in held)
    assert not list((store.directory / "segments").glob("*.new"))


def hold_some(store):
    sessions = sorted(store.sessions(), key=lambda session: session["start"])
    held = {session.id for session in sessions[::4]} | {through(store).id}
    for session_id in held:
        store.command("hold", session_id)
    return held, store.payloads()


def test_killed_prunes_lose_nothing(recorded, scratch):
    moments = random.Random(SEED)
    held, before = hold_some(recorded)
    begun = time.monotonic()
    prune(fresh(recorded, scratch / "copy"), "--max-bytes", "1", check=False)
    seconds, killed = time.monotonic() - begun, 0
    for number in range(KILLS):
        store = fresh(recorded, scratch / "copy")
        for attempt in range(2):  # the second one meets what the first one has left
            with processes.Process([program(), "prune", "--max-bytes", "1", "--dir", store.directory], scratch,
                                   name=f"prune-{number}-{attempt}") as process:
                faults.sleep_to_a_random_moment(moments, seconds)
                killed += process.running()
                process.kill()
        check_mended(store, held, before)
    assert killed
    store.verify()


@pytest.mark.parametrize("call", ["openat", "write", "utimensat", "fdatasync", "renameat", "fsync", "unlinkat"])
def test_killed_at_each_call(recorded, scratch, call):
    """SIGKILL when it makes the call for the nth time: in front of it, and (the next one) right behind it."""
    held, before = hold_some(recorded)
    killed = 0
    for count in (1, 2, 5, 9):
        store = fresh(recorded, scratch / "copy")
        done = processes.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                              f"inject={call}:signal=KILL:when={count + 30 * (call == 'openat')}", program(), "prune",
                              "--max-bytes", "1", "--dir", store.directory], check=False)
        if b"ptrace" in done.stderr.lower():
            pytest.skip("nobody may be traced here")
        killed += done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        check_mended(store, held, before)
    assert killed >= 2


def test_killed_gateways_lose_nothing(scratch, server):
    moments = random.Random(SEED)
    options = [*SMALL, "--retention-max-bytes", "512KiB"]
    with Gateway(scratch / "rec", server.address, options=options, scratch=scratch) as gateway:
        held = {}
        with Load(lambda: gateway.listen) as load:
            for number in range(KILLS):
                if number % 10 == 0 or not held:  # one may go before it is held
                    done = load.done
                    processes.wait_until(lambda: load.done > done + 3, 20, "some sessions")
                    session = processes.wait_until(lambda: next((
                        session for session in reversed(gateway.sessions()) if session.state == "closed"
                        and session["bytes"]["client"] == 24 * KIB and session.id not in held), None), 20, "another")
                    if gateway.command("hold", session.id, check=False).returncode == 0 \
                            and session.id in check_once(gateway):
                        held[session.id] = streams_of(gateway, session.id)
                faults.sleep_to_a_random_moment(moments, 0.15)
                gateway.kill()
                assert held.keys() <= check_once(gateway).keys()
                gateway.start()
            assert load.done > KILLS
        assert held
        assert gateway.stop()[0] == 0
        check_once(gateway)
        payloads = gateway.payloads()
        assert all(payloads[session_id] == streams for session_id, streams in held.items())
        gateway.verify()
