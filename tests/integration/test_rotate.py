# SPDX-License-Identifier: Apache-2.0
"""`gogetway rotate`: segments are ended now, and sessions go on in new ones."""
import json

import pytest

import faults
import processes
from gogetway import program

pytestmark = pytest.mark.usefixtures("require_program")


def test_a_session_goes_on_in_a_new_segment(gateways):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--workers", "1"])
        with faults.connect(gateway.listen) as client, upstream.accept() as peer:
            for count in range(3):
                client.sendall(b"round %d" % count)
                assert peer.recv(7) == b"round %d" % count
                reply = json.loads(gateway.command("rotate", "--json").stdout)
                assert reply == {"ok": True, "rotated": True}
                assert len(gateway.segments()) == count + 1
            assert gateway.command("rotate").stdout == b""  # nothing is open: nothing to end
            assert len(gateway.segments()) == 3
            client.sendall(b"the end")
    gateway.wait_sessions_closed(1)
    assert gateway.stop()[0] == 0
    session, = gateway.sessions()
    assert gateway.payload(session.id, "client") == b"round 0round 1round 2the end"
    gateway.verify()


def test_no_gateway_to_ask(scratch):
    done = processes.run([program(), "rotate", "--dir", scratch], check=False)
    assert done.returncode == 3 and b"no gateway runs" in done.stderr
