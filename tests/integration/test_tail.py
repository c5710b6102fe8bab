# SPDX-License-Identifier: Apache-2.0
"""`tail` and `sessions --follow` beside a gateway that records: everything, in order of time, to a clean end."""
import array
import fcntl
import json
import signal
import socket
import subprocess
import termios

import pytest

import faults
import gogetway
import processes
import recording


@pytest.fixture
def echo():
    with faults.Echo() as upstream:
        yield upstream.address


def exchange(gateway, data):
    with faults.connect(gateway.listen) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert faults.read_to_end(client) == (data, False)


def start(gateway, *words, out):
    return subprocess.Popen([gogetway.program(), *words, "--dir", str(gateway.directory)], stdout=out,
                            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def test_tail_has_everything_in_order(gateways, echo, scratch):
    gateway = gateways(echo, options=["--log-flush-interval", "100ms"])
    exchange(gateway, b"before")
    gateway.wait_sessions_closed(1)
    outputs = {"whole": scratch / "whole.pcapng", "new": scratch / "new.pcapng"}
    with open(outputs["whole"], "wb") as whole, open(outputs["new"], "wb") as new:
        tails = [start(gateway, "tail", "--from-start", out=whole), start(gateway, "tail", out=new)]
        processes.wait_until(lambda: outputs["whole"].stat().st_size > 500, 10, "what was there already")
        processes.wait_until(lambda: outputs["new"].stat().st_size > 0, 10, "the head of the live capture")
        for number in range(20):
            exchange(gateway, b"%d" % number * 3000)
        gateway.stop()
        for tail in tails:
            assert tail.wait(20) == 0, tail.stderr.read()
            tail.stderr.close()
    recorded = {s["id"]: s["bytes"] for s in gateway.sessions()}
    assert len(recorded) == 21
    assert {s["id"]: s["bytes"] for s in gogetway.Store(outputs["whole"]).sessions()} == recorded
    assert len(gogetway.Store(outputs["new"]).sessions()) == 20
    for path in outputs.values():
        gogetway.Store(path).verify()
        times = processes.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.time_epoch"]).stdout.split()
        assert times == sorted(times) and len(times) > 100
        assert recording.tshark_read([path]).packets == len(times)


def test_tail_goes_on_behind_a_name_of_the_future(gateways, echo, scratch):
    """The clock was ahead when an earlier run recorded: its segments sort behind all that is written now."""
    first = gateways(echo)
    exchange(first, b"then")
    first.stop()
    segment, = first.segments()
    number = segment.name.split("-", 1)[1]
    segment.rename(segment.with_name("20991122T000000.000Z-" + number))
    gateway = gateways(echo, directory=first.directory, options=["--log-flush-interval", "100ms"])
    path = scratch / "new.pcapng"
    with open(path, "wb") as out:
        tail = start(gateway, "tail", out=out)
        processes.wait_until(lambda: path.stat().st_size > 0, 10, "the head of the live capture")
        for _ in range(5):
            exchange(gateway, b"now")
        processes.wait_until(lambda: len(gogetway.Store(path).sessions()) == 5, 10, "five sessions while it runs")
        gateway.stop()
        assert tail.wait(20) == 0
        tail.stderr.close()
    assert [s["bytes"]["client"] for s in gogetway.Store(path).sessions()] == [3] * 5


def test_a_killed_gateway_is_told(gateways, echo, rings):
    """What only the rings have is not in the listing, and the listing says so until the next start."""
    gateway = gateways(echo, options=["--log-dir", rings, "--log-flush-interval", "1m"])
    exchange(gateway, b"lost?")
    gateway.kill()
    told = b"ended without closing this store; what it had not written yet is in " + str(rings).encode()
    for words in (("sessions",), ("verify",)):
        result = gateway.command(*words)
        assert told in result.stdout + result.stderr, result
    gateway.start()
    assert told not in gateway.command("sessions").stderr
    gateway.stop()
    for words in (("sessions",), ("verify",)):
        result = gateway.command(*words)
        assert b"closing this store" not in result.stdout + result.stderr
    assert [s["bytes"]["client"] for s in gateway.sessions()] == [5]


def test_tail_ends_when_nobody_reads(gateways, echo):
    gateway = gateways(echo)
    tail = start(gateway, "tail", out=subprocess.PIPE)
    assert tail.stdout.read(4) == b"\n\r\r\n"
    tail.stdout.close()
    assert tail.wait(10) == 0
    assert tail.stderr.read() == b""
    tail.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("tail",), ("sessions", "--follow")])
def test_a_signal_is_a_way_to_end(gateways, echo, words, number):
    gateway = gateways(echo)
    follower = start(gateway, *words, out=subprocess.PIPE)
    assert follower.stdout.read(1)  # it is at work
    follower.send_signal(number)
    follower.stdout.read()
    assert follower.wait(10) == 0
    assert follower.stderr.read() == b""
    for stream in (follower.stdout, follower.stderr):
        stream.close()


def wait_full(pipe):
    """Until its writer waits within a packet: much is in it, and for a while no more comes."""
    seen = array.array("i", [0])
    before = []

    def is_full():
        fcntl.ioctl(pipe, termios.FIONREAD, seen)
        before.append(seen[0])
        return seen[0] > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) / 2 and before[-50:] == [seen[0]] * 50
    processes.wait_until(is_full, 20, "a pipe that is not read")


def test_a_signal_ends_it_while_its_reader_is_slow(gateways, echo, scratch):
    """Behind a whole packet, soon, and not first all that there is."""
    gateway = gateways(echo)
    for _ in range(10):
        exchange(gateway, bytes(150_000))
    gateway.wait_sessions_closed(10)
    tail = start(gateway, "tail", "--from-start", out=subprocess.PIPE)
    wait_full(tail.stdout)
    tail.send_signal(signal.SIGTERM)
    path = scratch / "read.pcapng"
    path.write_bytes(tail.stdout.read())
    assert tail.wait(10) == 0 and tail.stderr.read() == b""
    assert path.stat().st_size < 3 << 19  # of 3 MB, what it had at hand
    assert recording.tshark_read([path]).packets > 0
    gogetway.Store(path).command("sessions")
    for stream in (tail.stdout, tail.stderr):
        stream.close()


def test_a_signal_ends_it_when_nobody_reads_what_is_there(gateways, echo):
    gateway = gateways(echo)
    for _ in range(10):
        exchange(gateway, bytes(150_000))
    gateway.wait_sessions_closed(10)
    tail = start(gateway, "tail", "--from-start", out=subprocess.PIPE)
    wait_full(tail.stdout)
    tail.send_signal(signal.SIGTERM)
    assert tail.wait(10) == 3 and b"cut short" in tail.stderr.read()
    for stream in (tail.stdout, tail.stderr):
        stream.close()


def test_tail_passes_over_what_cannot_be_opened(gateways, echo, scratch):
    """With a warning, and it is at work still: it takes what comes, and a signal ends it."""
    gateway = gateways(echo, options=["--log-flush-interval", "100ms"])
    exchange(gateway, b"before")
    gateway.wait_sessions_closed(1)
    segment, = gateway.segments()
    link = segment.with_name("20200101T000000.000Z-" + segment.name.split("-", 1)[1])
    link.symlink_to("nowhere")
    path = scratch / "whole.pcapng"
    with open(path, "wb") as out:
        tail = start(gateway, "tail", "--from-start", out=out)
        processes.wait_until(lambda: path.stat().st_size > 500, 10, "what was there already")
        exchange(gateway, b"now")
        processes.wait_until(lambda: len(gogetway.Store(path).sessions()) == 2, 10, "two sessions while it runs")
        tail.send_signal(signal.SIGTERM)
        assert tail.wait(10) == 0
    lines = tail.stderr.read().decode().splitlines()
    tail.stderr.close()
    link.unlink()
    assert lines == [f"gogetway: warning: cannot open {link}: No such file or directory"]


def test_follow_tells_new_sessions(gateways, echo):
    gateway = gateways(echo, options=["--log-flush-interval", "100ms"])
    follower = start(gateway, "sessions", "--json", "--follow", out=subprocess.PIPE)
    exchange(gateway, b"hello")
    line = json.loads(follower.stdout.readline())
    while line["state"] != "closed":
        line = json.loads(follower.stdout.readline())
    assert line["bytes"] == {"client": 5, "server": 5}
    follower.stdout.close()
    assert follower.wait(10) == 0
    follower.stderr.close()
