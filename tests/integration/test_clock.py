# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set while sessions are recorded (tests/tools/preload_clock.c)."""
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
