# SPDX-License-Identifier: Apache-2.0
"""Sockets that a parent keeps, as systemd does, when the listener that has one is removed, and comes back."""
import select
import signal
import socket
import time

import pytest

import faults
import processes
from faults import connect
from live import exchange, listener, said
from restarting import Between, lent, start_with, taking_over

pytestmark = pytest.mark.usefixtures("require_program")


def refused(address):
    """Whether who comes is sent away, and not left waiting."""
    try:
        with connect(address, seconds=5) as peer:
            peer.sendall(b"is anybody there?")
            return peer.recv(1) == b""
    except ConnectionError:  # as soon as it has connected, perhaps
        return True


def warned_of(address):
    return [f"{address} is a parent's socket without a listener: clients there are refused, and so is the next start "
            "if the parent still has it"]


@pytest.mark.parametrize("kind", ("one", "shared", "unix"))
def test_a_listener_of_a_parents_socket_goes_and_comes_back(configured, scratch, server, kind):
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    if kind == "unix":
        web["listen"] = f"unix:{scratch}/socket"
    with lent(web["listen"], stays["listen"], share=kind == "shared") as listeners:
        configured.write(web, stays, workers=2)
        process = start_with(configured, listeners)
        with connect(web["listen"]) as open_one:
            exchange(open_one, b"before")
            for count in range(3):
                configured.write(stays, workers=2)
                status, reply = configured.reload()
                assert status == 0 and reply["changed"] == [f"listener web: removed, was at {web['listen']}"]
                assert reply["warnings"] == warned_of(web["listen"])
                for _ in range(20):
                    assert refused(web["listen"])
                    said(stays["listen"])
                exchange(open_one, b"still there")
                assert configured.reload()[1]["warnings"] == warned_of(web["listen"])
                configured.write(web, stays, workers=2)
                status, reply = configured.reload()
                assert status == 0 and reply["warnings"] == []
                for _ in range(20):
                    said(web["listen"])
        told = configured.events(process, "refused at a parent's socket")
        assert told and {line["address"] for line in told} == {web["listen"]}
        assert process.stop() == 0
        connect(web["listen"]).close()  # it is the parent's, who listens on
        assert (scratch / "socket").exists() == (kind == "unix")
    assert len(configured.sessions()) == 1 + 60 + 60
    configured.verify()


def test_who_waits_there_when_it_is_removed_is_served(configured, server):
    web, stays = listener(server.address, name="web", sessions_max=1), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners:
        configured.write(web, stays, workers=2)
        process = start_with(configured, listeners)
        peers = [connect(web["listen"]) for _ in range(40)]
        exchange(peers[0], b"the only place")
        configured.write(stays, workers=2)
        assert configured.reload()[0] == 0
        for peer in peers:
            peer.sendall(b"served all the same")
        while peers:
            ready, _, _ = select.select(peers, [], [], 20)
            assert ready, f"{len(peers)} are not served"
            for peer in ready:
                assert faults.read_exactly(peer, 19) == b"served all the same"
                peer.close()
                peers.remove(peer)
        processes.wait_until(lambda: refused(web["listen"]), 20, "nobody is served there")  # one with a place may be
        assert process.stop() == 0
    assert len(configured.sessions()) >= 40
    configured.verify()


def start_and_leave(configured, listeners, web, stays):
    """A gateway whose listener `web` a reload has removed."""
    configured.write(web, stays)
    process = start_with(configured, listeners)
    configured.write(stays)
    assert configured.reload()[0] == 0
    return process


def test_who_comes_between_two_processes_waits(configured, server):
    """The one that ends does not send away who is the next one's client, though it had no listener there."""
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners:
        first = start_and_leave(configured, listeners, web, stays)
        assert refused(web["listen"])
        with connect(stays["listen"]) as open_one:
            exchange(open_one, b"this keeps it draining")
            first.popen.send_signal(signal.SIGTERM)
            configured.wait_event(first, "draining")
            waiting = [connect(web["listen"]) for _ in range(5)]
            exchange(open_one, b"and it has had turns enough to refuse somebody")
        assert first.wait(20) == 0
        configured.write(web, stays)
        second = start_with(configured, listeners)
        for peer in waiting:
            with peer:
                exchange(peer, b"at last")
        assert second.stop() == 0


@pytest.mark.parametrize("given", (False, True))
def test_who_takes_over_has_the_sockets_of_no_listener_too(configured, scratch, server, given):
    """By the process before, whether or not the parent gives them to the new one as well."""
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    local = {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local"}
    every = (web, local, stays)
    with lent(*(entry["listen"] for entry in every)) as listeners:
        configured.write(*every)
        old = start_with(configured, listeners)
        configured.write(local, stays)
        assert configured.reload()[1]["warnings"] == warned_of(web["listen"])
        if given:  # of which the new one needs each to be a listener's
            new = start_with(configured, listeners[1:], "--takeover")
        else:
            new = configured.start("--takeover")
        assert old.wait(20) == 0
        assert refused(web["listen"])
        said(stays["listen"])
        configured.write(stays)
        both = warned_of(web["listen"]) + warned_of(local["listen"])
        assert sorted(configured.reload()[1]["warnings"]) == sorted(both)
        assert refused(local["listen"])
        configured.write(*every)
        assert configured.reload()[1]["warnings"] == []
        for entry in every:
            said(entry["listen"])
        third = configured.start("--takeover")
        assert new.wait(20) == 0
        configured.write(web, stays)
        assert configured.reload()[1]["warnings"] == warned_of(local["listen"])
        assert refused(local["listen"])
        said(web["listen"])
        assert third.stop() == 0
        assert (scratch / "socket").exists()
        for entry in every:
            connect(entry["listen"]).close()
    configured.verify()


def test_a_socket_that_its_parent_has_shut_holds_up_no_other(configured, server):
    web, shut, stays = (listener(server.address, name=name) for name in ("web", "shut", "stays"))
    with lent(web["listen"], shut["listen"], stays["listen"]) as listeners:
        configured.write(web, shut, stays)
        process = start_with(configured, listeners)
        configured.write(stays)
        assert configured.reload()[0] == 0
        assert refused(web["listen"]) and refused(shut["listen"])
        listeners[1].shutdown(socket.SHUT_RDWR)
        began = time.monotonic()
        for _ in range(20):  # which would wait for as many looks at all of them together
            assert refused(web["listen"])
        assert time.monotonic() - began < 3
        assert process.stop() == 0


def waits(peer):
    """Whether nobody answers, or sends it away, for longer than a gateway takes to look there."""
    return not select.select([peer], [], [], 1.5)[0]


def test_nobody_is_refused_while_somebody_takes_over(configured, server):
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners:
        old = start_and_leave(configured, listeners, web, stays)
        assert refused(web["listen"])
        with taking_over(configured):
            peer = connect(web["listen"], seconds=20)
            assert waits(peer)
        configured.wait_event(old, "not taken over")
        with peer, pytest.raises(ConnectionResetError):
            peer.recv(1)
        assert old.stop() == 0


@pytest.mark.parametrize("given", (False, True))
def test_nobody_is_served_there_before_the_hand_over(configured, server, given):
    """By one that takes over and has a listener where the old one has none."""
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners:
        old = start_and_leave(configured, listeners, web, stays)
        configured.write(web, stays)
        between = Between(configured)
        if given:
            taker = start_with(configured, listeners, "--takeover", wait=False)
        else:
            taker = configured.start("--takeover", wait=False)
        between.asked()
        between.answered()
        peer = connect(web["listen"], seconds=20)
        peer.sendall(b"is anybody there?")
        assert waits(peer)
        taker.kill()
        between.close()
        configured.wait_event(old, "not taken over")
        with peer, pytest.raises(ConnectionResetError):
            peer.recv(1)
        new = configured.start("--takeover")
        assert old.wait(20) == 0
        said(web["listen"])
        assert new.stop() == 0
    configured.verify()


def test_who_waits_where_the_next_process_has_no_listener_is_served(configured, server):
    """By the one before, which has promised it; not sent away by the next, which has the socket as well."""
    web, stays = listener(server.address, name="web", sessions_max=1), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners:
        configured.write(web, stays)
        old = start_with(configured, listeners)
        with connect(web["listen"]) as first:
            exchange(first, b"the only place")
            waiting = connect(web["listen"], seconds=20)
            waiting.sendall(b"served all the same")
            configured.write(stays)
            new = configured.start("--takeover", wait=False)
            configured.wait_event(old, "handed over")
        with waiting:
            assert faults.read_exactly(waiting, 19) == b"served all the same"
        assert old.wait(20) == 0
        assert refused(web["listen"])
        configured.wait_event(new, "ready")
        assert new.stop() == 0
    configured.verify()


def test_a_reload_that_is_refused_takes_nothing_away(configured, server):
    web, stays = listener(server.address, name="web"), listener(server.address, name="stays")
    with lent(web["listen"], stays["listen"]) as listeners, socket.create_server(("127.0.0.1", 0)) as taken:
        configured.write(web, stays)
        process = start_with(configured, listeners)
        bad = {"listen": processes.address(*taken.getsockname()), "upstream": "none"}
        configured.write(stays, bad)
        assert configured.reload()[0] == 3
        said(web["listen"])
        configured.write(stays)
        assert configured.reload()[0] == 0
        assert refused(web["listen"])
        configured.write(web, stays, bad)
        assert configured.reload()[0] == 3
        assert refused(web["listen"])
        configured.write(web, stays)
        assert configured.reload()[0] == 0
        said(web["listen"])
        assert process.stop() == 0
