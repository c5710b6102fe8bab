# SPDX-License-Identifier: Apache-2.0
"""What a replay finds, says and leaves: the flipped byte, the report, the exit status; its own recording; copies under
a limit; what it does not play; being stopped; disks that are full and recordings that go away."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import random
import re
import select
import signal
import ssl
import struct
import subprocess
import termios
import threading

import pytest

import faults
import gogetway
import peers
import processes
import recording
import replaying
from gogetway import TEST_ALL, Store
from replaying import SECOND, Replay, Server, Tape, replay

@pytest.fixture
def games(scratch):
    """Three games with the vault, as somebody's capture."""
    said = [(0, "server", b"=== the vault ===\nthree words, and it opens\n> "),
            (SECOND // 50, "client", b"help\n"), (SECOND // 40, "server", b"say WORD\nlist\nquit\n> "),
            (SECOND // 20, "client", b"quit\n"), (SECOND // 19, "server", b"bye\n")]
    tape = Tape()
    for number in range(3):
        tape.talk(number * SECOND // 20, said, end_ns=SECOND // 15)
    return tape.write(scratch / "games.pcapng")


def long_game(scratch, seconds=30):
    """One that takes long: a line now, and one at the end."""
    tape = Tape()
    greeting = b"=== the vault ===\nthree words, and it opens\n> "
    tape.talk(0, [(0, "server", greeting), (SECOND // 50, "client", b"help\n"),
                  (SECOND // 40, "server", b"say WORD\nlist\nquit\n> "),
                  (seconds * SECOND, "client", b"quit\n"), (seconds * SECOND + 1000, "server", b"bye\n")],
              end_ns=seconds * SECOND + 2000)
    return tape.write(scratch / "long.pcapng")


# ---- Differences ------------------------------------------------------------------------------------------------
def test_one_flipped_byte_is_named(gateways, scratch):
    bodies = [bytes(65 + number for _ in range(size)) for number, size in enumerate((10, 3000, 200, 20000, 7))]
    with Server(scratch, "records") as server:
        recorded = replaying.record(gateways, server.address,
                                    [replaying.talk_records(b"client %d" % number, bodies) for number in range(5)])
    sent = {session.id: recorded.payload(session.id, "client") for session in recorded.sessions()}
    (wanted,) = [key for key, data in sent.items() if data[4:12] == b"client 3"]
    offset = (4 + 8 + 10) + (4 + 3000) + (4 + 200) + 12345
    chunk, served = 0, 0
    for side, first, length in replaying.chunks(recorded, wanted):
        if side == "server" and length:
            if first <= offset < first + length:
                break
            chunk += 1
    expected = recorded.payload(wanted, "server")[offset]
    for level in ("causal", "bytes"):
        with Server(scratch, "records", flip=f"client 3:{offset}") as server:
            played = replay(recorded.directory, server.address, scratch, "--level", level)
        assert played.status == 1, played.explain()
        assert played.verdicts == {"equal": 4, "different": 1}
        (row,) = played.different()
        difference = row["difference"]
        assert (row["id"], difference["kind"], difference["chunk"], difference["offset"]) == (
            wanted, "bytes", chunk, offset)
        assert difference["expected"][:2] == "%02x" % expected and difference["got"][:2] == "%02x" % (expected ^ 0x20)
        line = next(line for line in played.output.splitlines() if wanted in line)
        assert f"chunk {chunk}, offset {offset}, " in line and 'expected "DDDD' in line and 'got "dDDD' in line, line


def test_json_on_standard_output_is_the_report(games, scratch):
    with Server(scratch, "vault") as server:
        played = replay(games, server.address, scratch, "--json", "-v", report=False)
    report = json.loads(played.output)
    assert played.status == 0 and report["outcome"]["sessions"]["equal"] == 3
    assert len(report["sessions"]) == 3 and report["plan"]["played"] == 3
    assert played.errors.count(" equal copy 0 loop 0 from 127.0.0.1:") == 3


def test_people_get_a_summary_and_a_line_for_each_connection(games, scratch):
    with Server(scratch, "vault") as server:
        played = replay(games, server.address, scratch, "-v", "--loop", "2")
    assert played.status == 0, played.explain()
    lines = played.output.splitlines()
    assert [line.split()[1] for line in lines[:6]] == ["equal"] * 6
    assert lines[6].startswith(f"Played against {server.address} in ") and lines[6].endswith(": all as recorded")
    text = "\n".join(lines[6:])
    assert re.search(r"sessions +6 equal\n", text) and re.search(r"connections +6 made, 0 refused", text)
    assert re.search(r"latency +p50 .*max ", text)


def test_a_terminal_gets_a_bar(games, scratch):
    """On a terminal of 80 columns one line is drawn again, and is gone in the end."""
    mine, its = pty.openpty()
    with Server(scratch, "vault") as server:
        command = [gogetway.program(), "replay", "--dir", games, "--to", server.address, "--loop", "10"]
        child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=its)
        os.close(its)
        drawn = b""
        while select.select([mine], [], [], 20)[0]:
            try:
                data = os.read(mine, 65536)
            except OSError:
                break
            if not data:
                break
            drawn += data
        os.close(mine)
        assert child.wait(20) == 0
        child.stdout.close()
    frames = [frame for frame in drawn.split(b"\r") if b"sessions" in frame]
    assert len(frames) >= 2 and all(b"/30 sessions" in frame for frame in frames), drawn
    assert all(frame.startswith(b"[") and frame.endswith(b"\x1b[K") and len(frame) < 84 for frame in frames)
    assert drawn.endswith(b"\r\x1b[K") and b"\n" not in drawn


def test_without_a_terminal_a_line_every_five_seconds(scratch):
    with Server(scratch, "vault") as server:
        played = replay(long_game(scratch, 6), server.address, scratch)
    assert played.status == 0, played.explain()
    lines = [line for line in played.errors.splitlines() if line.startswith("gogetway: replay: ")]
    assert len(lines) == 1 and "0/1 sessions, 1 chunks" in lines[0] and " left" in lines[0], played.errors


# ---- The wrong command ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words, message", [
    ([], "--to HOST:PORT"),
    (["--to", "127.0.0.1:1", "--speed", "2000x"], "0.01x to 1000x"),
    (["--to", "127.0.0.1:1", "--sped", "1x"], "did you mean --speed?"),
    (["--to", "127.0.0.1:1", "--level", "byte"], "did you mean 'bytes'?"),
    (["--to", "127.0.0.1:1", "--copies", "0"], "1 to 1000000"),
    (["--to", "127.0.0.1:1", "--source", "nowhere"], "nowhere"),
    (["--to", "127.0.0.1"], "127.0.0.1"),
    (["--to", "127.0.0.1:1", "prot=80"], "did you mean"),
    (["--to", "127.0.0.1:1", "--json", "--report", "x.json"], "one of them"),
    (["--to", "127.0.0.1:1", "--dry-run", "--record", "x"], "a dry run sends nothing"),
])
def test_wrong_commands(games, words, message):
    done = processes.run([gogetway.program(), "replay", "--dir", games, *words], 20, check=False)
    assert done.returncode == 2 and message in done.stderr.decode(), done.stderr
    assert done.stdout == b""


# ---- What cannot be played --------------------------------------------------------------------------------------
def test_no_session_and_no_recording(games, scratch):
    nobody = processes.address("127.0.0.1", processes.free_port())
    played = replay(games, nobody, scratch, "port=1")
    assert played.status == 3 and "no session" in played.errors and played.report is None
    played = replay(scratch / "absent", nobody, scratch)
    assert played.status == 3 and "absent" in played.errors


def test_the_original_server_needs_to_be_allowed(gateways, scratch):
    with Server(scratch, "vault") as server:
        recorded = replaying.record(gateways, server.address, [replaying.talk_vault([b"help", b"quit"])])
        (session,) = recorded.sessions()
        before = len(server.wait_done(1))
        played = replay(recorded.directory, server.address, scratch)
        assert played.status == 3 and played.report is None, played.explain()
        assert all(text in played.errors for text in ("option allow-original", server.address, session.id))
        played = replay(recorded.directory, server.address, scratch, "--allow-original")
        assert played.status == 0 and played.verdicts == {"equal": 1}, played.explain()
        assert len(server.wait_done(before + 1)) == before + 1


def test_the_original_server_in_all_its_forms(gateways, scratch):
    """Unix sockets on both sides of the gateway, and this host's any address."""
    upstream, front = f"unix:{scratch}/back", f"unix:{scratch}/front"
    with Server(scratch, "vault", address=upstream) as server:
        gateway = gateways(upstream, listen=front, options=replaying.FAST_FLUSH)
        replaying.talk_vault([b"help", b"quit"])(front)
        assert gateway.stop()[0] == 0
        for to, said in ((upstream, "was recorded on its way to"), (front, "the client of session")):
            played = replay(gateway.directory, to, scratch)
            assert played.status == 3 and said in played.errors and to in played.errors, played.explain()
        assert len(server.done()) <= 1, "something was sent"
    with Server(scratch, "vault") as server:
        recorded = replaying.record(gateways, server.address, [replaying.talk_vault([b"help", b"quit"])])
        for host in ("0.0.0.0", ""):
            played = replay(recorded.directory, f"{host}:{server.address.split(':')[1]}", scratch)
            assert played.status == 3 and server.address in played.errors, played.explain()


@contextlib.contextmanager
def tls_server(scratch):
    """A real TLS server that answers each line, on a thread."""
    processes.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", scratch / "key", "-out",
                   scratch / "certificate", "-days", "2", "-subj", "/CN=localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "certificate", scratch / "key")
    upstream = faults.Upstream()

    def serve():
        while True:
            try:
                plain, _ = upstream.listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as sock:
                    sock.settimeout(10)
                    while data := sock.recv(1000):
                        sock.sendall(data)
            except OSError:
                pass
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        faults.stop_accepting(upstream.listener, thread)


def talk_tls(address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(faults.connect(address)) as sock:
        sock.sendall(b"secret")
        assert sock.recv(100) == b"secret"


def test_real_tls_and_ssh_are_opaque(gateways, scratch):
    """Named, counted, not sent; and if there is nothing else, it is said what to do."""
    (scratch / "ssh").mkdir()
    sshd = peers.sshd(scratch / "ssh")

    def talk_ssh(address):
        host, port = address.split(":")
        processes.run(["ssh", *sshd.client_words, "-p", port, f"{sshd.user}@{host}", "true"])
    with Server(scratch, "vault") as vault, tls_server(scratch) as secret, sshd:
        directory = scratch / "all"
        for upstream, client in ((secret.address, talk_tls), (sshd.address, talk_ssh),
                                 (vault.address, replaying.talk_vault([b"help", b"quit"]))):
            gateway = gateways(upstream, directory=directory, options=replaying.FAST_FLUSH)
            client(gateway.listen)
            assert gateway.stop()[0] == 0
        secure = Store(directory)
        port = {session["upstream"]: session["server"].rsplit(":", 1)[1] for session in secure.sessions()}
    with Server(scratch, "vault") as live:
        played = replay(directory, live.address, scratch)
        assert played.status == 0, played.explain()
        assert played.verdicts == {"equal": 1, "opaque": 2}
        assert played.outcome["connections_made"] == 1 and len(live.wait_done(1)) == 1
        assert "2 of 3 sessions" in played.output and "TLS" in played.output
        listed = processes.run([gogetway.program(), "replay", "--dir", directory, "--to", live.address, "--dry-run"])
        rows = listed.stdout.decode().splitlines()
        assert sum(row.endswith("opaque: TLS") for row in rows) == 1
        assert sum(row.endswith("opaque: SSH") for row in rows) == 1
        only = replay(directory, live.address, scratch, f"port={port[secret.address]}")
        assert only.status == 3 and "encrypted end to end" in only.errors and "record" in only.errors, only.explain()
        assert len(live.done()) == 1, "something was sent"


def test_partial_sessions_are_skipped_unless_wanted(scratch):
    tape = Tape()
    greeting = b"=== the vault ===\nthree words, and it opens\n> "
    whole = [(0, "server", greeting), (1000, "client", b"quit\n"), (2000, "server", b"bye\n")]
    tape.talk(0, whole)
    tape.talk(1000, whole, handshake=False)  # the capture began in the middle
    path = tape.write(scratch / "partial.pcapng")
    with Server(scratch, "vault") as server:
        played = replay(path, server.address, scratch)
        assert played.status == 0 and played.verdicts == {"equal": 1, "partial": 1}, played.explain()
        assert "1 of 2 sessions" in played.output and "--include-partial" in played.output
        played = replay(path, server.address, scratch, "--include-partial")
        assert played.status == 0 and played.verdicts == {"equal": 2}, played.explain()
        alone = Tape()
        alone.talk(0, whole, handshake=False)
        played = replay(alone.write(scratch / "alone.pcapng"), server.address, scratch)
        assert played.status == 3 and "--include-partial" in played.errors, played.explain()


def test_a_dry_run_sends_nothing(games, scratch):
    with faults.Upstream() as upstream:
        words = [gogetway.program(), "replay", "--dir", games, "--to", upstream.address, "--dry-run", "--copies", "4"]
        table = processes.run(words).stdout.decode().splitlines()
        lines = [json.loads(line) for line in processes.run([*words, "--json"]).stdout.splitlines()]
        upstream.listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            upstream.listener.accept()
        fastest = processes.run([*words, "--speed", "max"]).stdout.decode().splitlines()[-1]
        nothing = processes.run([*words, "port=1"], check=False).stdout.decode().splitlines()[-1]
        assert fastest.endswith("; as fast as possible") and nothing.endswith("; takes 0us"), (fastest, nothing)
        assert " takes " in table[-1]
    assert table[0].split() == ["ID", "DUE", "DURATION", "CLIENT", "SERVER", "CHUNKS", "BYTES", "SKIPPED"]
    assert [row.split()[1] for row in table[1:4]] == ["0us", "50.0ms", "100.0ms"]
    assert all(row.split()[5:7] == ["2", "10"] for row in table[1:4]), table
    assert f"12 connections to {upstream.address}, 8 at once at most" in table[4], table[4]
    assert [line["due_ns"] for line in lines[:3]] == [0, SECOND // 20, SECOND // 10]
    summary = lines[3]
    assert summary["summary"] is True and (summary["connections"], summary["chunks"], summary["bytes"]) == (12, 24, 120)


# ---- Copies -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cap", [64, 0])
def test_a_thousand_copies(scratch, cap):
    """From the addresses of a network; with a cap, under a limit on descriptors that is far below their number."""
    tape = Tape()
    tape.talk(0, [(0, "client", b"once\n"), (1000, "server", b"ok\n"), (2000, "client", b"and again\n"),
                  (SECOND // 100, "server", b"ok\n")])
    path = tape.write(scratch / "one.pcapng")
    words, prefix = ["--copies", "1000", "--source", "127.0.0.0/24"], ()
    if cap:
        words += ["--max-connections", cap]
        prefix = ("prlimit", "--nofile=128:128")
    with Server(scratch, "ticks") as server:
        played = replay(path, server.address, scratch, *words, prefix=prefix)
        seen = server.wait_done(1000)
    assert played.status == 0, played.explain()
    assert played.verdicts == {"equal": 1000} and played.outcome["connections_made"] == 1000
    assert played.outcome["connections_refused"] == 0
    locals_ = [row["local"] for row in played.sessions]
    assert sorted(locals_) == sorted(one["peer"] for one in seen)
    assert len({local.rsplit(":", 1)[0] for local in locals_}) >= 250
    assert sorted(row["copy"] for row in played.sessions) == list(range(1000))
    if cap:
        assert played.outcome["connections_peak"] <= cap and played.descriptors <= 128
        assert played.outcome["sessions_held"] > 0 and "--max-connections" in played.output


# ---- The replay is recorded -------------------------------------------------------------------------------------
def test_the_replay_is_recorded_like_anything_else(gateways, scratch):
    chance = random.Random(3)
    bodies = [chance.randbytes(size) for size in (1, 300, 100000, 12)]
    with Server(scratch, "records") as server:
        recorded = replaying.record(gateways, server.address,
                                    [replaying.talk_records(b"client %d" % number, bodies) for number in range(4)])
    with Server(scratch, "records") as server:
        played = replay(recorded.directory, server.address, scratch, "--record", scratch / "again", "--copies", "2")
    assert played.status == 0 and played.verdicts == {"equal": 8}, played.explain()
    again = Store(scratch / "again")
    again.verify()
    reading = recording.tshark_read(again.segments())
    assert not reading.anomalies and len(reading.conversations) == 8, reading.anomalies
    streams, originals = again.payloads(), recorded.payloads()
    rows = {row["local"]: row for row in played.sessions}
    for session in again.sessions():
        row = rows[session.client]
        assert session.state == "closed" and session["listener"] == "replay"
        assert streams[session.id] == originals[row["id"]]
    comments = processes.run(["tshark", "-n", "-r", again.segments()[0], "-Y", "frame.comment", "-T", "fields", "-e",
                              "frame.comment"]).stdout.decode()
    for row in played.sessions:
        assert re.search(rf'"original":"{row["id"]}","copy":{row["copy"]},"loop":0', comments), row
    # It can be played in its turn.
    with Server(scratch, "records") as server:
        played = replay(again.directory, server.address, scratch, "--speed", "max")
    assert played.status == 0 and played.verdicts == {"equal": 8}, played.explain()


# ---- Being stopped ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(scratch, number):
    with Server(scratch, "vault") as server:
        with Replay(long_game(scratch), server.address, scratch, "--copies", "3", "--record", scratch / "again"
                    ) as running:
            processes.wait_until(lambda: established(running.pid) == 3, 20, "three connections")
            os.kill(running.pid, number)
            played = running.finish(10)
    assert played.status == 3 and "stopped before its end" in played.errors, played.explain()
    assert played.outcome["partial"] is True and played.verdicts == {"unfinished": 3}
    assert played.output.startswith("Partly played against ")
    Store(scratch / "again").verify()


def test_a_signal_while_it_plans_ends_it_before_anything_is_sent(scratch):
    processes.run([gogetway.tool("encode_many"), scratch / "rec", "100000", "1000", "2"])
    with Server(scratch, "vault") as server:
        with Replay(scratch / "rec", server.address, scratch) as running:
            processes.wait_until(lambda: any(target.endswith(".pcapng") for target in open_files(running.pid)), 20,
                                 "it reads a segment")
            os.kill(running.pid, signal.SIGINT)
            played = running.finish(10)
        assert played.status == 3 and "nothing was sent" in played.errors, played.explain()
        assert played.report is None and not server.done()


def open_files(pid):
    """What its descriptors are."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def established(pid):
    """How many TCP connections a process has."""
    inodes = {target[8:-1] for target in open_files(pid) if target.startswith("socket:[")}
    with open("/proc/net/tcp") as table:
        return sum(line.split()[3] == "01" and line.split()[9] in inodes for line in table.readlines()[1:])


def test_stopped_with_a_difference_is_a_difference(scratch):
    """One session has differed already when the signal comes."""
    tape = Tape()
    tape.talk(0, [(0, "client", b"once\n"), (1000, "server", b"no\n")], end_ns=2000)
    tape.talk(0, [(0, "client", b"once\n"), (1000, "server", b"ok\n"), (30 * SECOND, "client", b"again\n")])
    path = tape.write(scratch / "two.pcapng")
    with Server(scratch, "ticks") as server:
        with Replay(path, server.address, scratch, "-v") as running:
            server.wait_done(1)
            processes.wait_until(lambda: established(running.pid) == 1, 20, "one connection left")
            os.kill(running.pid, signal.SIGINT)
            played = running.finish(10)
    assert played.status == 1 and played.outcome["partial"], played.explain()
    assert played.verdicts == {"different": 1, "unfinished": 1}


def waiting_in(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_a_second_signal_ends_it_at_once(scratch):
    """The report is a pipe that nobody reads from, so that it cannot end in good order."""
    pipe = scratch / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    tape = Tape()
    for _ in range(300):
        tape.talk(0, [(0, "client", b"help\n"), (30 * SECOND, "client", b"quit\n")], end_ns=31 * SECOND)
    path = tape.write(scratch / "many.pcapng")
    with Server(scratch, "vault") as server:
        with Replay(path, server.address, scratch, "--report", pipe, report=False) as running:
            processes.wait_until(lambda: established(running.pid) == 300, 20, "three hundred connections")
            os.kill(running.pid, signal.SIGINT)
            processes.wait_until(lambda: waiting_in(reader) >= 60000, 20, "a full pipe")
            assert running.running(), "the report went into a full pipe"
            os.kill(running.pid, signal.SIGTERM)
            assert running.popen.wait(10) == -signal.SIGTERM
    os.close(reader)


# ---- Disks ------------------------------------------------------------------------------------------------------
def test_no_room_for_the_report(games, scratch):
    with Server(scratch, "vault") as server, faults.mounted(scratch / "small", size="64k") as small:
        played = replay(games, server.address, scratch, "--copies", "100", "--speed", "max", "--report",
                        small / "report.json", report=False)
        assert played.status == 3 and "No space left" in played.errors and "report.json" in played.errors
        assert not list(small.iterdir()), "a piece of a report is left"
        played = replay(games, server.address, scratch, "--report", scratch / "absent" / "report.json", report=False)
        assert played.status == 3 and "absent" in played.errors and len(server.done()) <= 300


def test_no_room_to_record_at_all(games, scratch):
    with Server(scratch, "vault") as server, faults.mounted(scratch / "small", size="16k") as small:
        with open(small / "ballast", "wb") as ballast:
            ballast.write(bytes(12 << 10))
        played = replay(games, server.address, scratch, "--record", small / "again", seconds=100)
        assert played.status == 3 and played.seconds < 20, played.explain()
        assert re.search("[Nn]o space left|the disk is full", played.errors) and str(small) in played.errors


@pytest.mark.skipif(not TEST_ALL, reason="it waits for half a minute whether there comes room")
def test_no_more_room_for_the_recording(gateways, scratch):
    chance = random.Random(3)
    with Server(scratch, "records") as server:
        client = replaying.talk_records(b"", [chance.randbytes(60000) for _ in range(60)])
        recorded = replaying.record(gateways, server.address, [client])
        with faults.mounted(scratch / "small", size="1m") as small:
            played = replay(recorded.directory, server.address, scratch, "--allow-original", "--record",
                            small / "again", seconds=100)
        assert played.status == 3 and played.outcome["partial"], played.explain()
        assert "the disk is full" in played.errors and str(small / "again") in played.errors, played.errors


def test_a_signal_ends_the_wait_for_room(gateways, scratch):
    """The disk is full, and the replay waits for half a minute whether there comes room; nobody has to wait with it."""
    chance = random.Random(4)
    sizes = []

    def full():
        """Half a second long nothing was added, and it is not whole."""
        sizes.append(sum(path.stat().st_size for path in (scratch / "small" / "again").rglob("*.pcapng")))
        return len(sizes) > 50 and 0 < sizes[-50] == sizes[-1]
    with Server(scratch, "records") as server:
        client = replaying.talk_records(b"", [chance.randbytes(60000) for _ in range(60)])
        recorded = replaying.record(gateways, server.address, [client])
        with faults.mounted(scratch / "small", size="1m") as small:
            with Replay(recorded.directory, server.address, scratch, "--allow-original", "--record", small / "again"
                        ) as running:
                processes.wait_until(full, 20, "a full disk")
                os.kill(running.pid, signal.SIGINT)
                played = running.finish(10)
        assert played.status == 3 and str(small / "again") in played.errors, played.explain()
        assert re.search("the disk is full|is not whole yet", played.errors), played.errors


@pytest.mark.parametrize("how", ["removed", "cut", "another"])
def test_a_segment_that_goes_away_is_an_error(scratch, how):
    """The first client speaks at once, the second one after its file has gone, of which nothing had been read yet."""
    folder = scratch / "folder"
    folder.mkdir()
    first, second = Tape(), Tape()
    first.talk(0, [(0, "client", b"once\n"), (8 * SECOND, "client", b"the end\n")])
    second.talk(3 * SECOND, [(n, "client", b"%6000d\n" % n) for n in range(100)])
    first.write(folder / "first.pcapng")
    path = pathlib.Path(second.write(folder / "goes.pcapng"))
    with Server(scratch, "silent") as server:
        with Replay(folder, server.address, scratch, "--reply-timeout", "1s") as running:
            processes.wait_until(lambda: established(running.pid) == 1, 20, "the first connection")
            if how == "cut":
                os.truncate(path, 4096)
            else:
                path.unlink()
            if how == "another":
                first.write(path)
            played = running.finish(20)
    assert played.status == 3 and "goes.pcapng" in played.errors, played.explain()
    assert played.outcome["partial"] and played.seconds < 8


# ---- When, and how many at once ----------------------------------------------------------------------------------
def starts(played):
    return sorted(row["begun_ns"] for row in played.sessions)


def short_ones(scratch, count):
    """All at once, and over in 20 ms."""
    tape = Tape()
    for _ in range(count):
        tape.talk(0, [(0, "client", b"once\n"), (SECOND // 1000, "server", b"ok\n")], end_ns=SECOND // 50)
    return tape.write(scratch / "short.pcapng")


def test_a_rate_spreads_what_was_recorded_at_once(scratch):
    with Server(scratch, "ticks") as server:
        played = replay(short_ones(scratch, 40), server.address, scratch, "--rate", "50/s")
    assert played.status == 0 and played.verdicts == {"equal": 40}, played.explain()
    assert [row["due_ns"] for row in sorted(played.sessions, key=lambda row: row["due_ns"])] == [
        number * SECOND // 50 for number in range(40)]
    assert all(abs(begun - number * SECOND // 50) < SECOND // 5 for number, begun in enumerate(starts(played)))


def test_a_ramp_begins_slowly(scratch):
    with Server(scratch, "ticks") as server:
        played = replay(short_ones(scratch, 40), server.address, scratch, "--rate", "40/s", "--ramp", "1s")
    assert played.status == 0, played.explain()
    due = sorted(row["due_ns"] for row in played.sessions)
    gaps = [after - before for before, after in zip(due, due[1:])]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 5 * gaps[-1]
    assert abs(due[-1] - 1.475 * SECOND) < SECOND // 20  # 39 sessions at 40/s, and half of the ramp


def test_a_cap_keeps_the_order_and_loops_come_one_after_the_other(scratch):
    tape = Tape()
    for number in range(5):
        tape.talk(number * 1000, [(0, "client", b"once\n"), (1000, "server", b"ok\n")], end_ns=SECOND // 20)
    path = tape.write(scratch / "five.pcapng")
    order = [session.id for session in Store(path).sessions()]
    with Server(scratch, "ticks") as server:
        played = replay(path, server.address, scratch, "--max-connections", "1", "--loop", "2", "--copies", "2")
    assert played.status == 0 and played.verdicts == {"equal": 20}, played.explain()
    assert played.outcome["connections_peak"] == 1
    rows = sorted(played.sessions, key=lambda row: row["begun_ns"])
    assert [(row["loop"], row["id"], row["copy"]) for row in rows] == [
        (loop, id_, copy) for loop in range(2) for id_ in order for copy in range(2)]
    assert played.outcome["sessions_held"] >= 18


# ---- Sessions that led nowhere, and recordings that grow ---------------------------------------------------------
def test_failed_connects_are_played_too(gateways, scratch):
    """The recorded client got no further than the gateway, whose upstream refused."""
    gateway = gateways(processes.address("127.0.0.1", processes.free_port()), options=replaying.FAST_FLUSH)
    for _ in range(3):
        faults.attempt(gateway.listen, b"help\n")
    assert gateway.stop()[0] == 0
    assert {session["close"] for session in gateway.sessions()} == {"connect-refused"}
    nobody = processes.address("127.0.0.1", processes.free_port())
    played = replay(gateway.directory, nobody, scratch)
    assert played.status == 0 and played.verdicts == {"equal": 3}, played.explain()
    assert played.outcome["connections_refused"] == 3
    with Server(scratch, "vault") as server:
        played = replay(gateway.directory, server.address, scratch)
    assert played.status == 1 and {row["difference"]["kind"] for row in played.different()} == {"connected"}


def test_while_the_gateway_records(gateways, scratch):
    """What is there is played, beside the gateway; and its store is not taken for the replay's own recording."""
    with Server(scratch, "vault") as server:
        gateway = gateways(server.address, options=replaying.FAST_FLUSH)
        replaying.talk_vault([b"help", b"quit"])(gateway.listen)
        gateway.wait_sessions_closed(1)
        with Server(scratch, "vault") as other:
            played = replay(gateway.directory, other.address, scratch)
            assert played.status == 0 and played.verdicts == {"equal": 1}, played.explain()
            before = len(other.wait_done(1))
            played = replay(gateway.directory, other.address, scratch, "--record", gateway.directory)
            assert played.status == 2 and str(gateway.directory) in played.errors, played.explain()
            assert len(other.done()) == before, "something was sent"
        assert gateway.stop()[0] == 0
    gateway.verify()


# ---- Where to ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["127.0.0.1", "[::1]", "localhost", "unix"])
def test_addresses_of_every_kind(games, scratch, target):
    if target == "unix":
        where = to = f"unix:{scratch}/socket"
    else:
        port = processes.free_port()
        where, to = f"{target.replace('localhost', '127.0.0.1')}:{port}", f"{target}:{port}"
    with Server(scratch, "vault", address=where):
        played = replay(games, to, scratch, "--record", scratch / "again")
    assert played.status == 0 and played.verdicts == {"equal": 3}, played.explain()
    again = Store(scratch / "again")
    again.verify()
    assert len(again.sessions()) == 3 and not recording.tshark_read(again.segments()).anomalies
