# SPDX-License-Identifier: Apache-2.0
"""Whoever reads sessions while retention takes their segments: what is held is read whole, wherever it is by then, and
of what is not, one line says that it has gone."""
import contextlib
import fcntl
import os
import re
import subprocess

import pytest

import faults
import live
from gogetway import Gateway, Store, Stream, program
from test_prune import SMALL, block_of, folder, prune, through

pytestmark = pytest.mark.usefixtures("require_program")

PIPE_BYTES = 4096
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
    process = subprocess.Popen([program(), "export", "--dir", str(listed.directory), "--format", "raw", "-o",
                                str(target), "--force"], stderr=subprocess.PIPE)
    with open(first, "rb") as slow:
        fcntl.fcntl(slow, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        data = slow.read(1)
        prune(listed, "--max-bytes", "1", check=False)
        data += slow.read()
    _, said = process.communicate(timeout=60)
    lost = {re.search(r"warning: (\w{24}) is not exported:", line)[1] for line in said.decode().splitlines()}
    assert process.returncode == 3 and lost and held not in lost
    assert expected["client"] == Stream.of_bytes(data)
    assert {file.name.split(".")[0] for file in target.iterdir()} == ids - lost
