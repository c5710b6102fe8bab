# SPDX-License-Identifier: Apache-2.0
"""`gogetway grep` beside searches that know nothing of it: Python's re and GNU grep over the raw bytes of the export.

Sessions say random letters of few kinds, in pieces that cut what is searched for anywhere, several at a time, over
several segments. GOGETWAY_TEST_ALL=1 does it with 2 GB.
"""
import base64
import collections
import json
import mmap
import random
import re
import struct
import subprocess
import threading

import pytest

from faults import Echo, connect
from gogetway import SIDES, TEST_ALL, Gateway, Store, program
import processes

pytestmark = pytest.mark.usefixtures("require_program")
MIB = 1 << 20
SIZE = (1024 if TEST_ALL else 8) * MIB  # that clients say; an echo doubles it
TOGETHER = 16
NEEDLES = (b"flag{0123abc}", b"password=hunter2\n", b"GET / HTTP/1.1\r\n", b"\x7fELF\x00\xff\xfe")
PATTERNS = (rb"flag\{[a-z0-9]+\}", rb"^GET [^ ]+ HTTP/1\.[01]\r$", rb"password=\w+$", rb"\x7fELF[\x00-\xff]{3}",
            rb"(?i)PASSWORD=HUNTER", rb"(?<=flag\{)0123", rb"(ab)+c(?=d)", rb"dd+c\nab?")
LITERALS = (b"flag{0123abc}", b"abcd", b"\x7fELF\x00\xff\xfe")


def grep(place, *words, check=None, **options):
    """The lines that it tells; `check`: its exit status."""
    done = processes.run([program(), "grep", *words, "--dir", place], 600, check=False, **options)
    expected = (0, 1) if check is None else (check,)
    assert done.returncode in expected, done.stderr.decode()[:2000]
    return done.stdout.decode().splitlines()


def matches(place, *words):
    """(session, side) -> [(offset, bytes)]"""
    found = collections.defaultdict(list)
    for line in grep(place, "--json", "--secrets", *words):
        told = json.loads(line)
        data = base64.b64decode(told["data"])
        assert len(data) == told["length"]
        found[told["session"], told["from"]].append((told["offset"], data))
    return found


def streams(raw):
    for file in sorted(raw.iterdir()):
        if file.stat().st_size:
            session, side = file.name.rsplit(".", 1)
            with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield (session, side), data


def by_python(raw, pattern):
    expression = re.compile(pattern, re.MULTILINE)
    return {key: found for key, data in streams(raw)
            if (found := [(match.start(), match.group()) for match in expression.finditer(data)])}


def by_grep(raw, words):
    """By GNU grep, of one file at a time; -z: lines end in NUL there, so that a newline is a letter like others."""
    found = collections.defaultdict(list)
    for file in sorted(raw.iterdir()):
        done = subprocess.run(["grep", "-obUa", *words, file], stdout=subprocess.PIPE, env={"LC_ALL": "C"}, check=False)
        for line in done.stdout.split(b"\n")[:-1]:
            offset, data = line.split(b":", 1)
            found[tuple(file.name.rsplit(".", 1))].append((int(offset), data))
    return found


# ── Traffic ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def talk(listen, seed, size):
    """Says random letters and now and then a needle, in pieces of random length, and hears all of it."""
    chance = random.Random(seed)
    letters = bytes(b"abcd\n"[byte % 5] for byte in chance.randbytes(64 << 10))
    with connect(listen) as peer:
        peer.settimeout(60)
        said, heard = 0, 0
        while said < size:
            at = chance.randrange(len(letters) - 20000)
            data = letters[at:at + chance.choice((3, 700, 20000))] + chance.choice(NEEDLES)
            while data:
                piece = data[:chance.choice((1, 5, 1000, 30000))]
                peer.sendall(piece)
                said += len(piece)
                data = data[len(piece):]
            while heard < said:
                got = len(peer.recv(1 << 16))
                assert got
                heard += got


def converse(gateway, size, together=TOGETHER, sessions=2 * TOGETHER):
    seeds = iter(range(sessions))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                seed = next(seeds, None)
            if seed is None:
                return
            talk(gateway.listen, seed, size // sessions)
    threads = [threading.Thread(target=work) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store with such traffic in several segments, and its raw bytes."""
    scratch = tmp_path_factory.mktemp("grep")
    with Echo() as upstream:
        with Gateway(scratch / "rec", upstream.address, options=["--segment-max-bytes", f"{SIZE // 4}"]) as gateway:
            converse(gateway, SIZE)
            with connect(gateway.listen):
                pass  # a session without bytes
            gateway.wait_sessions_closed(2 * TOGETHER + 1)
    store = Store(scratch / "rec")
    assert len(store.segments()) > 3
    yield store, store.export_raw(scratch / "raw")
    processes.run(["rm", "-rf", scratch])


# ── Beside others ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_python_does(recorded, pattern):
    store, raw = recorded
    expected = by_python(raw, pattern)
    assert expected, "the traffic has none"
    assert matches(store.directory, pattern.decode("latin-1")) == expected


@pytest.mark.parametrize("literal", LITERALS)
def test_a_literal(recorded, literal):
    store, raw = recorded
    expected = by_python(raw, re.escape(literal))
    assert expected
    assert matches(store.directory, "--hex", literal.hex(" ")) == expected


def test_as_gnu_grep_does(recorded):
    store, raw = recorded
    assert matches(store.directory, "-F", "flag{0123abc}") == by_grep(raw, ["-F", "flag{0123abc}"])
    assert matches(store.directory, r"c(a|bd)*b\b") == by_grep(raw, ["-P", r"c(a|bd)*b\b"])


def test_forms_agree(recorded):
    store, raw = recorded
    every = matches(store.directory, "-F", "flag{")
    counted = dict(line.split() for line in grep(store.directory, "-F", "-c", "flag{"))
    sums = collections.Counter()
    for (session, _), found in every.items():
        sums[session] += len(found)
    assert {session: int(count) for session, count in counted.items()} == dict(sums)
    assert set(grep(store.directory, "-F", "-l", "flag{")) == set(sums)
    assert len(grep(store.directory, "-F", "-o", "flag{")) == sum(sums.values())
    assert len(grep(store.directory, "-F", "-m", "3", "flag{")) == 3 * len(sums)
    client = matches(store.directory, "-F", "flag{", "--from", "client")
    assert client == {key: found for key, found in every.items() if key[1] == "client"}
    session = next(iter(sums))
    assert {key[0] for key in matches(store.directory, "-F", "flag{", f"id={session}")} == {session}
    starts = [json.loads(line)["session"] for line in grep(store.directory, "-F", "--json", "flag{")]
    listed = [session.id for session in store.sessions()]
    assert list(dict.fromkeys(starts)) == [session for session in listed if session in sums]


def test_times_and_context(recorded):
    """The time is that of the chunk with the first byte; context is what stands around it in the stream."""
    store, raw = recorded
    session = store.sessions("bytes=1..")[0].id
    chunks = [json.loads(line) for line in store.command("show", session, "--as", "json").stdout.splitlines()]
    data = {side: (raw / f"{session}.{side}").read_bytes() for side in SIDES}
    lines = grep(store.directory, "--json", "--secrets", "-F", "flag{", "-B", "7", "-A", "9", f"id={session}")
    assert lines
    for line in lines:
        told = json.loads(line)
        offset, side, end = told["offset"], told["from"], told["offset"] + told["length"]
        times = {chunk["time"] for chunk in chunks
                 if chunk["from"] == side and chunk["offset"] <= offset < chunk["offset"] + chunk["length"]}
        assert times == {told["time"]}
        assert base64.b64decode(told.get("before", "")) == data[side][max(0, offset - 7):offset]
        assert base64.b64decode(told.get("after", "")) == data[side][end:end + 9]


# ── Trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_damaged_segment(recorded, tmp_path):
    """What is damaged is told and left out; what is found is where it was."""
    store, _ = recorded
    processes.run(["cp", "-r", store.directory, tmp_path / "rec"])
    damaged = Store(tmp_path / "rec")
    every = matches(store.directory, "-F", "flag{")
    segment = damaged.segments()[1]
    data = bytearray(segment.read_bytes())
    at = 0
    while at < len(data) // 2:  # to a block's beginning
        at += struct.unpack_from("<I", data, at + 4)[0]
    data[at:at + 8] = b"\xff" * 8
    segment.write_bytes(data)
    done = processes.run([program(), "grep", "--json", "-F", "flag{", "--dir", damaged.directory], 600, check=False)
    assert done.returncode in (0, 3) and b"warning: " in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    known = {(*key, offset) for key, places in every.items() for offset, _ in places}
    assert 0 < len(found) < len(known)
    assert {(told["session"], told["from"], told["offset"]) for told in found} <= known


def test_a_store_that_grows(gateways):
    with Echo() as upstream:
        gateway = gateways(upstream.address)
        talker = threading.Thread(target=converse, args=(gateway, 8 * MIB, 4, 8))
        talker.start()
        before = 0
        while talker.is_alive():
            now = sum(len(found) for found in matches(gateway.directory, "-F", "flag{").values())
            assert now >= before
            before = now
        talker.join()
        gateway.wait_sessions_closed(8)
        raw = gateway.export_raw(gateway.directory.parent / "raw")
        assert matches(gateway.directory, "-F", "flag{") == by_python(raw, rb"flag\{")


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_exit_status_and_errors(recorded, tmp_path):
    store, _ = recorded
    assert grep(store.directory, "-F", "flag{", check=0)
    assert not grep(store.directory, "-F", "nobody said this", check=1)
    for words, told in (((), "PATTERN"), (("(",), "column 2"), (("--hex", "7g"), "column 1"), (("-F", ""), "empty"),
                        (("a", "nonsense=1"), "nonsense"), (("a", "-C", "5000"), "4096"),
                        (("a", "--from", "x"), "both"), (("a", "-c", "-l"), "only one")):
        done = processes.run([program(), "grep", *words, "--dir", store.directory], check=False)
        assert done.returncode == 2 and told in done.stderr.decode() and done.stderr.count(b"\n") == 1, (words, done)
    done = processes.run([program(), "grep", "a", "--dir", tmp_path / "nothing"], check=False)
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1


def test_a_pattern_that_takes_too_long(recorded):
    store, _ = recorded
    done = processes.run([program(), "grep", r"([abcd\n]+)+#", "--dir", store.directory, "-c", "--from", "client",
                          f"id={store.sessions('bytes=1..')[0].id}"], 120, check=False)
    assert done.returncode == 3 and b"were left out" in done.stderr


def test_who_reads_no_further(recorded):
    store, _ = recorded
    done = subprocess.run(["sh", "-c", '"$0" grep a --dir "$1" | head -2; echo done', program(), store.directory],
                          capture_output=True, timeout=60, check=True)
    assert done.stdout.count(b"\n") == 3 and done.stderr == b""


def test_no_escapes_reach_the_terminal(gateways):
    hostile = b"\x1b]0;owned\x07needle\x9b31m\xe2\x80\xae\r\n\x00"
    with Echo() as upstream:
        gateway = gateways(upstream.address)
        with connect(gateway.listen) as peer:
            peer.sendall(hostile)
            peer.recv(100)
        gateway.wait_sessions_closed(1)
        for words in (["-F", "needle"], ["-o", r"(?s)\x1b.*needle.*"], ["--json", "needle"]):
            done = processes.run([program(), "grep", *words, "--dir", gateway.directory])
            assert done.stdout.count(b"\n") == 2
            assert all(byte in range(0x20, 0x7f) for byte in done.stdout.replace(b"\n", b""))
        shown = processes.run([program(), "grep", "needle", "--color", "always", "--dir", gateway.directory]).stdout
        assert b"\x1b[1;31mneedle\x1b[0m" in shown and b"\x1b]" not in shown
