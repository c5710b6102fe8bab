# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set while sessions are recorded (tests/tools/preload_clock.c)."""
import os
import struct

import pytest

import faults
import gogetway
import processes
import recording
from gogetway import Stream
from torture import preload_works


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_step_while_a_session_goes_on_over_segments(gateways, scratch, step):
    """Its bytes are in order, whatever the times of the segments say; verify knows that order."""
    if not preload_works():
        pytest.skip("a program with a sanitizer takes no LD_PRELOAD")
    clock = scratch / "clock"
    clock.write_bytes(bytes(8))
    environment = {"LD_PRELOAD": gogetway.tool("preload_clock.so"), "PRELOAD_CLOCK": str(clock)}
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, env=environment, options=[
            "--workers", 1, "--segment-max-age", "300ms", "--log-flush-interval", "50ms"])
        said = b""
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            def segments():
                """One more than there were, while bytes pass."""
                nonlocal said
                client.sendall(b"more")
                faults.read_exactly(server, 4)
                said += b"more"
                return len(gateway.segments()) >= wanted
            for wanted in (2, 4, 6):
                processes.wait_until(segments, 20, f"{wanted} segments", interval=0.05)
                with open(clock, "r+b") as file:
                    file.write(struct.pack("<q", step * 10**9))
        assert gateway.stop()[0] == 0
    session, = gateway.sessions()
    assert len(session["segments"]) >= 6
    assert gateway.payloads()[session.id]["client"] == Stream.of_bytes(said)
    gateway.verify()
    gogetway.Store(gateway.directory / "segments").verify()
    for segment in gateway.segments():
        assert not recording.tshark_read([segment]).anomalies


class Clock:
    """What a program under preload_clock sees is so far from the real time."""

    def __init__(self, scratch):
        self.file = scratch / "clock"
        self.set(0)
        self.environment = {"LD_PRELOAD": gogetway.tool("preload_clock.so"), "PRELOAD_CLOCK": str(self.file)}

    def set(self, seconds):
        self.file.write_bytes(struct.pack("<q", seconds * 10**9))


@pytest.fixture
def clock(scratch):
    if not preload_works():
        pytest.skip("a program with a sanitizer takes no LD_PRELOAD")
    return Clock(scratch)


def states(store):
    """By id; the same whoever is asked: with its catalogue, without one, and by a filter."""
    def agreed():
        told = {session.id: session["state"] for session in store.sessions()}
        for state in ("open", "cut", "closed"):
            found = {session.id for session in store.sessions(f"state={state}")}
            if found != {key for key, value in told.items() if value == state}:
                return None
        return told
    return processes.wait_until(agreed, 20, "one answer")


def begin(gateway, upstream):
    """A session that is recorded and says no more, and its id."""
    before = {session.id for session in gateway.sessions()}
    client = faults.connect(gateway.listen)
    server = upstream.accept()
    client.sendall(b"hello")
    faults.read_exactly(server, 5)

    def fresh():
        return {session.id for session in gateway.sessions() if session["bytes"]["client"] == 5} - before
    return (client, server), processes.wait_until(fresh, 20, "the session").pop()


OPTIONS = ["--workers", 1, "--log-flush-interval", "50ms"]


@pytest.mark.parametrize("catalogue", ["on", "off"])
@pytest.mark.parametrize("step", [-3600, 3600])
def test_who_lives_is_open_after_a_step(gateways, clock, step, catalogue):
    """Also who is quiet, and so in no segment that is being written."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, env=clock.environment, options=[*OPTIONS, "--catalogue", catalogue])
        early, first = begin(gateway, upstream)
        clock.set(step)
        late, second = begin(gateway, upstream)
        gateway.ask("rotate")
        assert states(gateway) == {first: "open", second: "open"}
        third, last = begin(gateway, upstream)
        assert states(gateway) == dict.fromkeys([first, second, last], "open")
        for pair in (early, late, third):
            for peer in pair:
                peer.close()
        gateway.wait_sessions_closed(3)


@pytest.mark.parametrize("catalogue", ["on", "off"])
@pytest.mark.parametrize("step", [-3600, 3600])
def test_who_was_killed_is_cut_after_a_step(gateways, clock, step, catalogue):
    """The next gateway began before it, to believe its clock."""
    with faults.Upstream() as upstream:
        options = [*OPTIONS, "--catalogue", catalogue]
        gateway = gateways(upstream.address, env=clock.environment, options=options)
        early, first = begin(gateway, upstream)
        gateway.kill()
        assert states(gateway) == {first: "cut"}
        clock.set(step)
        gateway = gateways(upstream.address, env=clock.environment, options=options, directory=gateway.directory)
        late, second = begin(gateway, upstream)
        assert states(gateway) == {first: "cut", second: "open"}
        os.utime(gateway.directory / "lock", (1, 1))
        assert states(gateway) == {first: "cut", second: "open"}
        for peer in (*early, *late):
            peer.close()
        processes.wait_until(lambda: states(gateway) == {first: "cut", second: "closed"}, 20, "its end")
