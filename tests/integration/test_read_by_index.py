# SPDX-License-Identifier: Apache-2.0
"""Whoever reads one session out of a large store reads little else; and finds the same as one who reads all of it."""
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

import faults
import processes
from gogetway import Gateway, Store, program
from replaying import replay

pytestmark = pytest.mark.usefixtures("require_program")
LARGE = 700_000
LARGE_COUNT = 40
SMALL = 1000
LETTERS = bytes(range(256)) * (LARGE // 256 + 1)


class Answering:
    """Takes numbers, a line each, and answers each with so many bytes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            with peer, peer.makefile("rb") as lines:
                for line in lines:
                    peer.sendall(LETTERS[:int(line)])
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.close()


def ask(peer, size):
    peer.sendall(b"%d\n" % size)
    assert faults.read_exactly(peer, size) == LETTERS[:size]


def record(directory, scratch):
    """Large sessions, one after the other; a long one that says a little between them; a small one in the middle."""
    with Answering() as server, Gateway(directory, upstream=server.address, scratch=scratch,
                                        options=["--segment-max-bytes", "2MiB", "--decode", "off"]) as gateway:
        with faults.connect(gateway.listen) as long:
            for number in range(LARGE_COUNT):
                with faults.connect(gateway.listen) as large:
                    ask(large, LARGE)
                if number == LARGE_COUNT // 2:
                    with faults.connect(gateway.listen) as small:
                        ask(small, SMALL)
                if number % 8 == 0:
                    ask(long, 10 + number)
        gateway.wait_sessions_closed(LARGE_COUNT + 2)
        status, log = gateway.stop()
        assert status == 0, log
    return Store(directory)


class Recorded:
    def __init__(self, store):
        self.store = store
        self.directory = store.directory
        sizes = {session["bytes"]["server"]: session for session in store.sessions()}
        self.small = sizes[SMALL]
        self.large = sizes[LARGE]
        self.long, = [session for size, session in sizes.items() if size not in (SMALL, LARGE)]
        self.segments = sorted((self.directory / "segments").iterdir())
        self.bytes = sum(path.stat().st_size for path in self.segments)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """To be left as it is; `copied` may be changed."""
    folder = tmp_path_factory.mktemp("by-index")
    found = Recorded(record(folder / "rec", folder))
    if not (found.directory / "catalogue.db").exists():
        pytest.skip("this gogetway was built without catalogues")
    assert len(found.segments) > 8 and len(found.long["segments"]) > 3, found.segments
    return found


@pytest.fixture
def copied(recorded, scratch):
    shutil.copytree(recorded.directory, scratch / "copied")
    return Recorded(Store(scratch / "copied"))


@pytest.fixture
def bare(recorded, scratch):
    """The same without a catalogue."""
    shutil.copytree(recorded.directory, scratch / "bare", ignore=shutil.ignore_patterns("catalogue.db*"))
    return scratch / "bare"


def run(directory, scratch, *words, status=0):
    """The bytes that system calls have read for it (files, and what is no file), and what it wrote."""
    with open(scratch / "out", "w+b") as out, open(scratch / "err", "w+b") as errors:
        child = subprocess.Popen([program(), *[str(word) for word in words], "--dir", directory], stdout=out,
                                 stderr=errors, stdin=subprocess.DEVNULL)
        try:
            processes.wait_until(
                lambda: os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), 60, "its end")
            with open(f"/proc/{child.pid}/io") as counts:
                read = int(dict(line.split(": ") for line in counts)["rchar"])
        finally:
            child.kill()
            child.wait()
        out.seek(0)
        errors.seek(0)
        written, told = out.read(), errors.read().decode()
    assert child.returncode == status, told
    return read, written, told


def planned(directory, scratch, *words):
    read, written, told = run(directory, scratch, "replay", *words, "--to", "127.0.0.1:1", "--dry-run", "--json")
    return read, [json.loads(line) for line in written.splitlines()], told


def test_a_plan_reads_what_it_plays(recorded, bare, scratch):
    """And is the same as if it had read all."""
    for words, part in (([recorded.small.id], 20), ([recorded.large.id], 10), ([recorded.long.id], 2),
                        (["bytes.server=1000..2000"], 20), (["--filter", "segments > 3"], 2)):
        some, by_catalogue, told = planned(recorded.directory, scratch, *words)
        whole, by_all, told_of_all = planned(bare, scratch, *words)
        assert by_catalogue == by_all and len(by_all) == 2, words
        assert told == told_of_all == ""
        assert whole > recorded.bytes
        assert some < recorded.bytes / part, f"{words}: {some} of {recorded.bytes} bytes"
    for words in (["--filter", "bytes > 100"], ["state=closed"], []):
        _, by_catalogue, _ = planned(recorded.directory, scratch, *words)
        _, by_all, _ = planned(bare, scratch, *words)
        assert by_catalogue == by_all and len(by_all) == LARGE_COUNT + 3


def test_a_replay_reads_what_it_plays(recorded, bare, scratch):
    with Answering() as server:
        for session, part in ((recorded.small, 20), (recorded.long, 2)):
            read, _, _ = run(recorded.directory, scratch, "replay", session.id, "--to", server.address, "--level",
                             "bytes", "--speed", "max")
            assert read < recorded.bytes / part, f"{read} of {recorded.bytes} bytes"
            rows = []
            for directory in (recorded.directory, bare):
                done = replay(directory, server.address, scratch, session.id, "--level", "bytes", "--speed", "max")
                assert done.status == 0 and done.verdicts == {"equal": 1}, done.explain()
                rows.append({name: done.outcome[name] for name in ("chunks_sent", "bytes_sent", "bytes_received",
                                                                   "bytes_expected", "replies_equal")})
            assert rows[0] == rows[1] and rows[0]["bytes_received"] == session["bytes"]["server"]


def test_who_else_reads_one_session(recorded, copied, bare, scratch):
    """Tags and holds are written: to a copy."""
    small = recorded.small.id
    for words in (["show", small], ["show", small, "--as", "json"], ["export", small, "-o", "-"],
                  ["export", small, "--format", "pcap", "-o", "-"], ["sessions", small, "--json"],
                  ["grep", "^1000$", small], ["stats", "--totals", "--json", small]):
        some, written, told = run(recorded.directory, scratch, *words)
        _, of_all, told_of_all = run(bare, scratch, *words)
        assert written == of_all and told == told_of_all == "" and written, words
        assert some < recorded.bytes / 20, f"{words}: {some} of {recorded.bytes} bytes"
    for number, directory in enumerate((recorded.directory, bare)):
        some, _, _ = run(directory, scratch, "export", small, "--format", "raw", "-o", scratch / f"raw-{number}")
        assert number or some < recorded.bytes / 20
        assert (scratch / f"raw-{number}" / f"{small}.server").read_bytes() == LETTERS[:SMALL]
    for words in (["tag", small, "+seen"], ["tag", small], ["hold", small]):
        some, _, _ = run(copied.directory, scratch, *words)
        assert some < recorded.bytes / 20, f"{words}: {some} of {recorded.bytes} bytes"


def test_what_people_say_chooses(copied, scratch):
    copied.store.command("tag", copied.small.id, "+seen")
    copied.store.command("hold", copied.long.id)
    for words, session in ((["tag=seen"], copied.small), (["held"], copied.long)):
        some, by_catalogue, _ = planned(copied.directory, scratch, *words)
        assert [row["id"] for row in by_catalogue[:-1]] == [session.id]
        assert some < copied.bytes / 2
    for path in copied.directory.glob("catalogue.db*"):
        path.unlink()
    for words, session in ((["tag=seen"], copied.small), (["held"], copied.long)):
        _, by_all, _ = planned(copied.directory, scratch, *words)
        assert [row["id"] for row in by_all[:-1]] == [session.id]


def lines_of(copied, scratch, words, status):
    _, _, told = run(copied.directory, scratch, *words, status=status)
    return told.splitlines()


def test_retention_has_taken_its_segments(copied, scratch):
    """One line, and the same whether the catalogue has heard of it or not."""
    small = copied.small
    for name in small["segments"]:
        (copied.directory / "segments" / name).unlink()
    for _ in range(2):
        told = lines_of(copied, scratch, ["replay", small.id, "--to", "127.0.0.1:1"], 3)
        assert len(told) == 1 and "matches" in told[0], told
        for words in (["show", small.id], ["export", small.id, "-o", scratch / "out.pcapng"]):
            told = lines_of(copied, scratch, words, 3)
            assert len(told) == 1 and "match" in told[0], told
        copied.store.command("prune", "--max-bytes", "100GiB")
        copied.store.command("reindex")


def test_damage_is_told_where_it_is_read(copied, scratch):
    """And what is left is the same as for who reads all; who reads another segment is not told."""
    for path in [copied.directory / "segments" / name for name in copied.small["segments"]]:
        content = bytearray(path.read_bytes())
        at = content.find(b"1000\n")
        if at > 0:
            break
    assert at > 0
    content[at - 200:at + 40] = b"\xff" * 240
    path.write_bytes(content)
    other = next(session for session in copied.store.sessions()
                 if session["bytes"]["server"] == LARGE and path.name not in session["segments"])
    _, rows, told = planned(copied.directory, scratch, other.id)
    assert len(rows) == 2 and told == ""
    _, by_catalogue, told = planned(copied.directory, scratch, copied.small.id)
    for file in copied.directory.glob("catalogue.db*"):
        file.unlink()
    assert planned(copied.directory, scratch, copied.small.id)[1:] == (by_catalogue, told)
    assert len(told.splitlines()) == 1 and path.name in told


def test_a_catalogue_that_cannot_be_read(copied, bare, scratch):
    """One line says so, and all is read."""
    (copied.directory / "catalogue.db").write_bytes(b"no database, this is" * 1000)
    read, rows, told = planned(copied.directory, scratch, copied.small.id)
    assert read > copied.bytes and rows == planned(bare, scratch, copied.small.id)[1]
    assert len(told.splitlines()) == 1 and "gogetway reindex" in told


def chunks_of_open(directory, scratch):
    return planned(directory, scratch, "state=open")[1][-1]["chunks"]


def test_open_sessions_of_a_running_gateway(gateways, scratch):
    """As far as they are recorded, whether the catalogue has it or not; and what a kill has cut."""
    with Answering() as server:
        gateway = gateways(server.address, options=["--segment-max-bytes", "1MiB", "--log-flush-interval", "100ms"])
        with faults.connect(gateway.listen) as peer:
            processes.wait_until(lambda: gateway.sessions("state=open"), 20, "the session in the recording")
            for number in range(8):
                ask(peer, LARGE)
                processes.wait_until(lambda: chunks_of_open(gateway.directory, scratch) == number + 1, 20,
                                     "all that was said in the plan")
            gateway.kill()
        rows = []
        for hidden in (False, True):
            for path in gateway.directory.glob("catalogue.db*") if hidden else ():
                path.unlink()
            rows.append(planned(gateway.directory, scratch, "state=cut"))
        assert rows[0][1:] == rows[1][1:] and rows[0][1][0]["bytes"]["server"] >= 7 * LARGE
