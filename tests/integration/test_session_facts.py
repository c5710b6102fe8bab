# SPDX-License-Identifier: Apache-2.0
"""What is known of a session beside its bytes, made by real peers: how its connection went, in Zeek's words; its first
bytes; Community IDs of both its connections, by tshark; verdict, tags and masked bytes; and how soon it is listed."""
import base64
import contextlib
import hashlib
import ipaddress
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import pytest

import processes
from faults import Echo, Upstream, connect, host_port, read_exactly, read_to_end, reset
from gogetway import SIDES, program
from live import exchange, listener

pytestmark = pytest.mark.usefixtures("require_program")


def community_id(one, other):
    """By the specification: of the ordered ends of a TCP connection, (address, port) each."""
    ends = sorted((ipaddress.ip_address(host).packed, port) for host, port in (one[:2], other[:2]))
    key = b"\0\0" + ends[0][0] + ends[1][0] + b"\x06\0" + struct.pack(">HH", ends[0][1], ends[1][1])
    return "1:" + base64.b64encode(hashlib.sha1(key).digest()).decode()


def tshark_ids(file):
    """The Community IDs that tshark finds in a capture."""
    done = processes.run(["tshark", "-n", "-r", file, "--enable-protocol", "communityid", "-T", "fields", "-e",
                          "communityid"], 60)
    return set(done.stdout.decode().split())


def only(gateway):
    gateway.wait_sessions_closed(1)
    session, = gateway.sessions()
    return session


def check(session, history, conn_state):
    """`history`: the letters that must be there, in order; ACKs alone may stand anywhere."""
    letters = "".join(letter for letter in session["history"][3:] if letter not in "Aa")
    assert session["history"].startswith("ShA"), session
    assert (letters, session["conn_state"]) == (history, conn_state), session


# ── How the connection went ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["client", "server"])
def test_an_orderly_end(gateways, first):
    with Upstream() as upstream:
        gateway = gateways(upstream.address)
        with connect(gateway.listen) as peer, upstream.accept() as behind:
            peer.sendall(b"a question that is longer than sixteen bytes")
            assert behind.recv(100)
            behind.sendall(b"an answer")
            assert peer.recv(100)
            one, other = (peer, behind) if first == "client" else (behind, peer)
            one.shutdown(socket.SHUT_WR)
            assert read_to_end(other) == (b"", False)
            other.shutdown(socket.SHUT_WR)
            assert read_to_end(one) == (b"", False)
    session = only(gateway)
    check(session, "DdFf" if first == "client" else "DdfF", "SF")
    assert base64.b64decode(session["first"]["client"]) == b"a question that "
    assert base64.b64decode(session["first"]["server"]) == b"an answer"


def test_a_refused_upstream(gateways):
    """The client's connection was established, and then reset by whom it took for the server."""
    gateway = gateways(processes.free_address())
    with contextlib.suppress(ConnectionResetError), connect(gateway.listen) as peer:
        read_to_end(peer)
    session = only(gateway)
    assert session["close"] == "connect-refused"
    check(session, "r", "RSTR")
    assert session["community_id"]["client"] and not session["community_id"]["upstream"]


def test_a_reset_by_the_client(gateways):
    with Upstream() as upstream:
        gateway = gateways(upstream.address)
        peer = connect(gateway.listen)
        with upstream.accept() as behind:
            exchanged(peer, behind)
            reset(peer)
            read_to_end(behind)
    check(only(gateway), "DdR", "RSTO")


def test_a_reset_by_the_server(gateways):
    with Upstream() as upstream:
        gateway = gateways(upstream.address)
        with connect(gateway.listen) as peer:
            behind = upstream.accept()
            exchanged(peer, behind)
            reset(behind)
            read_to_end(peer)
    check(only(gateway), "Ddr", "RSTR")


def exchanged(peer, behind):
    peer.sendall(b"hello")
    assert read_exactly(behind, 5) == b"hello"
    behind.sendall(b"you")
    assert read_exactly(peer, 3) == b"you"


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_closed_and_still_open(gateways, first):
    with Upstream() as upstream:
        gateway = gateways(upstream.address)
        with connect(gateway.listen) as peer, upstream.accept() as behind:
            exchanged(peer, behind)
            one, other = (peer, behind) if first == "client" else (behind, peer)
            one.shutdown(socket.SHUT_WR)
            assert other.recv(1) == b""
            letter, state = ("F", "S2") if first == "client" else ("f", "S3")
            session = processes.wait_until(
                lambda: next((session for session in gateway.sessions() if letter in session["history"]), None), 20,
                "a session that is half closed")
            assert session.state == "open"
            check(session, "Dd" + letter, state)


def test_a_time_out(gateways):
    with Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--timeouts-idle", "300ms"])
        with connect(gateway.listen) as peer, upstream.accept() as behind:
            exchanged(peer, behind)
            read_to_end(peer)
    session = only(gateway)
    assert session["close"] == "idle-timeout"
    check(session, "Ddr", "RSTR")


def test_what_a_kill_has_cut(gateways, server, rings):
    """Its state is as far as it went, also once the next gateway has written what was left."""
    gateway = gateways(server.address, options=["--log-dir", rings])
    with connect(gateway.listen) as peer:
        exchange(peer, b"hello")
        gateway.kill()
        gateway.start()
        gateway.stop()
    session, = gateway.sessions()
    assert session.state == "cut"
    check(session, "Dd", "S1")
    assert base64.b64decode(session["first"]["server"]) == b"hello"


# ── Over several segments ───────────────────────────────────────────────────────────────────────────────────────────


def test_it_goes_on_in_further_segments(gateways, server):
    gateway = gateways(server.address)
    with connect(gateway.listen) as peer:
        for piece in (b"0123", b"4567", b"89abcdefgh"):
            exchange(peer, piece)
            gateway.command("rotate")
        own = peer.getsockname()
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session = only(gateway)
    assert len(session["segments"]) > 2
    check(session, "DdFf", "SF")
    for side in SIDES:
        assert base64.b64decode(session["first"][side]) == b"0123456789abcdef"
    assert session["community_id"]["client"] == community_id(own, host_port(gateway.listen))


# ── Community IDs ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def captured(port, file):
    """tcpdump of what the port of the loopback sees, until the end of the block; None if it may not."""
    if not shutil.which("tcpdump"):
        yield None
        return
    process = subprocess.Popen(["tcpdump", "-i", "lo", "-U", "-Z", "root", "-w", file, f"tcp port {port}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    begun = process.stderr.readline()
    try:
        yield file if b"listening on" in begun else None
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_community_ids_are_those_of_tshark(gateways, scratch, host):
    """Of the client's connection in the recording; of the other one as it was on the wire."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as upstream:
        upstream.settimeout(20)
        upstream.bind((host.strip("[]"), 0))
        upstream.listen()
        port = upstream.getsockname()[1]
        gateway = gateways(f"{host}:{port}", listen=f"{host}:{processes.free_port()}")
        with captured(port, scratch / "back.pcap") as capture:
            with connect(gateway.listen) as peer:
                behind, back = upstream.accept()
                exchanged(peer, behind)
                front = peer.getsockname()
                peer.shutdown(socket.SHUT_WR)
                assert behind.recv(1) == b""
                behind.close()
                assert peer.recv(1) == b""
            if capture:
                processes.wait_until(lambda: pathlib.Path(capture).stat().st_size > 500, 20, "packets")
    session = only(gateway)
    assert session["community_id"]["client"] == community_id(front, host_port(gateway.listen))
    assert session["community_id"]["upstream"] == community_id(back, (host.strip("[]"), port))
    recorded = set()
    for segment in gateway.segments():
        recorded |= tshark_ids(segment)
    assert recorded == {session["community_id"]["client"]}
    if capture:
        assert tshark_ids(capture) == {session["community_id"]["upstream"]}


def test_a_unix_upstream_has_none(gateways, scratch):
    with Upstream(f"unix:{scratch}/behind") as upstream:
        gateway = gateways(upstream.address)
        with connect(gateway.listen) as peer, upstream.accept() as behind:
            exchanged(peer, behind)
    session = only(gateway)
    assert session["community_id"]["client"] and not session["community_id"]["upstream"]


# ── What plug-ins have made of it ───────────────────────────────────────────────────────────────────────────────────


def test_verdict_and_tags(scripted, server):
    script = scripted(server.address, """
        function open(session) session:want("client", "gate") end
        function gate(session, data)
          if data.bytes:find("DROP") then session:tag("drop") session:tag("alert") return "reset" end
        end""")
    with connect(script.address) as peer:
        exchange(peer, b"hello")
        peer.sendall(b"DROP TABLE")
        read_to_end(peer)
    found = processes.wait_until(lambda: [one for one in script.gateway.sessions() if one.state == "closed"], 20,
                                 "a closed session")
    session, = found
    assert (session["verdict"], session["verdict_by"]) == ("reset", "lua"), session
    assert session["tags"] == ["alert", "drop"]
    check(session, "Ddr", "RSTR")


def test_masked_bytes(configured, server):
    where = listener(server.address)
    redact = pathlib.Path(os.path.realpath(program())).parent / "plugins/redact/redact.so"
    configured.write(where, plugins=[{"path": str(redact), "config": {"literals": ["hunter2"]}}])
    configured.start()
    with connect(where["listen"]) as peer:
        exchange(peer, b"user me pass hunter2 and more")
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    session, = processes.wait_until(lambda: [one for one in configured.sessions() if one.state == "closed"], 20,
                                    "a closed session")
    assert session["masked"] == {"client": 7, "server": 7}
    assert base64.b64decode(session["first"]["client"]) == b"user me pass xxx"
    assert session["verdict"] is None and session["tags"] == ["redacted"]


# ── How soon ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_silent_session_is_listed_within_a_second(gateways):
    """Of a gateway that was quiet, without a byte said: from accept until `gogetway sessions` tells of it."""
    waits = []
    with Upstream() as upstream, contextlib.ExitStack() as open_ones:
        gateway = gateways(upstream.address)
        for count in range(1, 6):
            begun = time.monotonic()
            open_ones.enter_context(connect(gateway.listen))
            open_ones.enter_context(upstream.accept())
            processes.wait_until(lambda: len(gateway.sessions("state=open")) == count, 20, "the session is listed")
            waits.append(time.monotonic() - begun)
            time.sleep(0.13 * count)  # at another phase of the flush interval
    assert max(waits) < 1, waits
    print("listed after", [round(wait, 3) for wait in waits])
