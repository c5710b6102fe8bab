# SPDX-License-Identifier: Apache-2.0
"""Whoever reads sessions while retention takes their segments: what is held is read whole, wherever it is by then, and
of what is not, one line says that it has gone."""
import contextlib
import fcntl
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import faults
import live
import replaying
from gogetway import Gateway, Store, Stream, program
from test_prune import SMALL, block_of, folder, prune, through

pytestmark = pytest.mark.usefixtures("require_program")

PIPE_BYTES = 4096
OPEN_MAX = 64  # segments that a replay has open
ROUNDS = 120
GONE = "has gone since the store was read"


@pytest.fixture
def recorded(scratch, server):
    """Sessions of others in segments of 64 KiB, and one that says as much between them; it is held."""
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        with faults.connect(gateway.listen) as long:
            for number in range(20):
                live.exchange(long, block_of(number))
                live.said(gateway.listen, block_of(100 + number))
        gateway.wait_sessions_closed(21)
        assert gateway.stop()[0] == 0
    store = Store(scratch / "rec")
    store.command("hold", through(store).id)
    assert len(through(store)["segments"]) >= 9
    return store


@pytest.fixture
def lasting(scratch, server):
    """A held session in more segments than a replay has open, which reads all of it before it plays; in each of them
    something goes."""
    with Gateway(scratch / "rec", server.address, options=SMALL, scratch=scratch) as gateway:
        with faults.connect(gateway.listen) as long:
            for number in range(ROUNDS):
                live.exchange(long, block_of(number))
                live.said(gateway.listen)
        gateway.wait_sessions_closed(1 + ROUNDS)
        assert gateway.stop()[0] == 0
    store = Store(scratch / "rec")
    store.command("hold", through(store).id)
    assert len(through(store)["segments"]) >= OPEN_MAX + 16
    return store


class Reader:
    """A command whose output nobody takes before finish()."""

    def __init__(self, store, *words):
        self.output, writing = os.pipe()
        fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.process = subprocess.Popen([program(), words[0], "--dir", str(store.directory), *map(str, words[1:])],
                                        stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        self.first = os.read(self.output, 1)

    def finish(self):
        """(exit status, all that it wrote, its lines on standard error)"""
        with open(self.output, "rb") as rest:
            data = self.first + rest.read()
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, data, said.decode().splitlines()


@contextlib.contextmanager
def beside(store, *words):
    """A reader that stands still while all goes that may go."""
    before = folder(store)
    reader = Reader(store, *words)
    yield reader
    prune(store, "--max-bytes", "1", check=False)
    prune(store, "--max-bytes", "1", check=False)
    after = folder(store)
    assert len(set(after) & set(before)) < len(before) // 2 and any(".kept" in name for name in after)


@pytest.fixture(params=["by the catalogue", "by a sweep"])
def listed(request, recorded):
    """With what knows the sessions' places, and without."""
    if request.param == "by a sweep":
        for file in recorded.directory.glob("catalogue.db*"):
            file.unlink()
    return recorded


@pytest.mark.parametrize("form", ["raw", "json", "hex"])
def test_show_of_a_held_session(listed, form):
    words = ["show", "--as", form, through(listed).id]
    whole = listed.command(*words).stdout
    with beside(listed, *words) as reader:
        pass
    assert reader.finish() == (0, whole, [])
    assert listed.command(*words).stdout == whole


def test_show_of_what_was_kept_twice(recorded, scratch):
    """Another session is held in the same segments, and let go: what is read is the second generation."""
    words = ["show", "--as", "raw", through(recorded).id]
    whole = recorded.command(*words).stdout
    others = [session.id for session in recorded.sessions() if session.id != through(recorded).id]
    recorded.command("hold", f"--filter=id in ({', '.join(others[::2])})")
    reader = Reader(recorded, *words)
    prune(recorded, "--max-bytes", "1", check=False)
    recorded.command("hold", "--release", f"--filter=id in ({', '.join(others)})")
    prune(recorded, "--max-bytes", "1", check=False)
    assert any(".kept2." in name for name in folder(recorded))
    assert reader.finish() == (0, whole, [])


def test_show_of_one_that_was_not_held(recorded):
    recorded.command("hold", "--release", through(recorded).id)
    reader = Reader(recorded, "show", "--as", "raw", through(recorded).id)
    prune(recorded, "--max-bytes", "1", check=False)
    status, _, said = reader.finish()
    line, = said
    assert status == 3 and GONE in line and line.startswith("gogetway: ")


class Target:
    """What a replay is played to: one connection, whose blocks come back. The first one does when go_on() is called."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.got = b""
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        with self.socket, self.socket.accept()[0] as peer, contextlib.suppress(ConnectionError):  # a replay ends
            peer.settimeout(60)
            while data := peer.recv(1 << 16):
                self.got += data
                self.begun.set()
                self.go_on.wait(60)
                peer.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go_on.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()


def play_beside_prune(store, scratch, *words):
    """(how the replay ended, the bytes that its target was sent); what may go goes behind the first of them."""
    before = folder(store)
    with Target() as target, replaying.Replay(store.directory, target.address, scratch, *words) as running:
        assert target.begun.wait(60)
        prune(store, "--max-bytes", "1", check=False)
        assert len(set(before) - set(folder(store))) > 10
        target.go_on.set()
        played = running.finish()
    return played, target.got


def test_replay_of_a_held_session(lasting, scratch):
    held = through(lasting).id
    played, got = play_beside_prune(lasting, scratch, f"id={held}", "--reply-timeout", "60s")
    assert played.status == 0 and played.verdicts == {"equal": 1}, played.explain()
    assert Stream.of_bytes(got) == lasting.payloads(f"id={held}")[held]["client"]
    assert got == b"".join(block_of(number) for number in range(ROUNDS))


def test_replay_of_one_that_was_not_held(lasting, scratch):
    lasting.command("hold", "--release", through(lasting).id)
    played, got = play_beside_prune(lasting, scratch, f"id={through(lasting).id}", "--reply-timeout", "60s")
    assert played.status == 3 and "has gone since it was planned" in played.errors, played.explain()
    assert played.outcome["partial"] and 0 < len(got) < ROUNDS * len(block_of(0))


def test_export_of_all(listed, scratch):
    held, ids = through(listed).id, {session.id for session in listed.sessions()}
    expected = listed.payloads(f"id={held}")[held]
    with beside(listed, "export", "-o", "-") as reader:
        pass
    status, data, said = reader.finish()
    lost = {re.search(r"warning: (\w{24}) is not exported whole", line)[1] for line in said}
    assert status == 3 and len(said) == len(lost) and lost and held not in lost and lost < ids
    file = scratch / "out.pcapng"
    file.write_bytes(data)
    copies = Store(file).payloads()
    assert copies[held] == expected and set(copies) >= ids - lost
    Store(file).verify()


def test_export_of_bytes(listed, scratch):
    """Each session is one of its own, so those that have gone are left out whole. The held one comes first."""
    held, ids = through(listed).id, {session.id for session in listed.sessions()}
    expected = listed.payloads(f"id={held}")[held]
    target = scratch / "raw"
    target.mkdir()
    first = target / f"{held}.client"
    os.mkfifo(first)
    small = os.open(first, os.O_RDWR)  # before anybody writes: a pipe that has more in it cannot be made smaller
    fcntl.fcntl(small, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    process = subprocess.Popen([program(), "export", "--dir", str(listed.directory), "--format", "raw", "-o",
                                str(target), "--force"], stderr=subprocess.PIPE)
    with open(first, "rb") as slow:
        data = slow.read(1)
        os.close(small)
        prune(listed, "--max-bytes", "1", check=False)
        data += slow.read()
    _, said = process.communicate(timeout=60)
    lost = {re.search(r"warning: (\w{24}) is not exported:", line)[1] for line in said.decode().splitlines()}
    assert process.returncode == 3 and lost and held not in lost
    assert expected["client"] == Stream.of_bytes(data)
    assert {file.name.split(".")[0] for file in target.iterdir()} == ids - lost


def test_verify_knows_what_went_while_a_segment_was_read(recorded):
    """Newer ones go instead: a session misses its middle, and nothing is wrong with that. It is, if all are there."""
    recorded.command("hold", "--release", through(recorded).id)
    segments = sorted((recorded.directory / "segments").glob("*.pcapng"))
    with open(segments[0], "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        left = segments[:1] + segments[3:]
        prune(recorded, "--max-bytes", sum(file.stat().st_size for file in left), check=False)
    left = sorted((recorded.directory / "segments").glob("*.pcapng"))
    assert left[0] == segments[0] and left[1] in segments[2:], left
    told = [json.loads(line) for line in recorded.command("verify", "--json").stdout.splitlines()]
    gone = [line for line in told if line.get("problem") == "offset"]
    assert gone and all(line["information"] and "segments in between are gone" in line["text"] for line in gone), told
    left[1].rename(left[1].with_name(left[1].name.rsplit("-", 1)[0] + "-" + segments[1].name.rsplit("-", 1)[1]))
    done = recorded.command("verify", "--json", check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode != 0 and any(line.get("problem") == "offset" and not line["information"] for line in told)
