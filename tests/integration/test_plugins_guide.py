# SPDX-License-Identifier: Apache-2.0
"""docs/plugins.md does what it says: its programs are taken out of it, built with pkg-config alone, loaded and used.

A program is a fenced block below a comment with its file's name, `<!-- program: mine.c -->`. What the page shows of the
program's own output is looked for in it, so that it cannot go stale.
"""
import contextlib
import os
import re
import shutil
import socket
import threading
import time

import pytest

import processes
import recording
from faults import Echo, Upstream, connect, read_exactly, read_to_end
from gogetway import ROOT, program
from live import exchange, listener, said
from plugging import Kit

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]

PAGE = (ROOT / "docs/plugins.md").read_text()
PROGRAMS = dict(re.findall(r"^<!-- program: (\S+) -->\n```c\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def guide(configured, kit, scratch):
    """guide("mine", upstream, config) : a started gateway with that program of the page, `.address` to connect to."""
    def make(name, upstream, config=None, **options):
        configured.so = kit.build(scratch / name, PROGRAMS[f"{name}.c"])
        configured.where = listener(upstream, name="web")
        configured.address = configured.where["listen"]
        entry = {"path": str(configured.so)} if config is None else {"path": str(configured.so), "config": config}
        configured.write(configured.where, plugins=[entry], **options)
        configured.process = configured.start()
        return configured
    return make


def last_comment(gateway):
    gateway.process.stop()
    fact, = [fact for fact in recording.comments(gateway.segments()) if "close" in fact]
    return fact


def calls(gateway, hook):
    return sum(point["calls"] for point in gateway.ask("plugins")["plugins"][0]["hooks"] if point["hook"] == hook)


def was_reset(peer):
    return read_to_end(peer)[1]


def on_page(text):
    """A line that the program has printed is on the page, indented."""
    assert re.search(rf"^    {re.escape(text)}$", PAGE, re.MULTILINE), text


def test_every_program_is_tried():
    assert sorted(PROGRAMS) == ["ask.c", "flags.c", "fresh.c", "keys.c", "mine.c", "no-drop.c", "plain.c", "quota.c",
                                "scanners.c", "ship.c"]
    assert len(PROGRAMS) == len(re.findall("^```c$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("compiler", ["cc", "clang", "clang-14"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_programs_build_in_strict_c11(kit, scratch, name, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    kit.build(scratch / "strict", PROGRAMS[name], "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wconversion", "-Wshadow",
              "-Wno-missing-field-initializers", compiler=compiler)


def test_the_first_one(guide, kit, scratch, server):
    """As the page has it: the command of the compiler, the file's path relative to the configuration, the table."""
    line = re.search(r"^    (cc .* mine\.c .*)$", PAGE, re.MULTILINE)[1]
    (scratch / "mine.c").write_text(PROGRAMS["mine.c"])
    processes.run(["sh", "-c", line], cwd=scratch, env=kit.env)
    text = re.sub("^    ", "", re.search(r"^    listeners:\n(    .*\n)+", PAGE, re.MULTILINE)[0], flags=re.MULTILINE)
    address = processes.free_address()
    text = text.replace("127.0.0.1:9000", address).replace("127.0.0.1:80", server.address)
    (scratch / "gateway.yaml").write_text(text)
    with processes.Process([program(), "run", "-c", "gateway.yaml", "--dir", "rec"], scratch, cwd=scratch) as process:
        process.wait_listening(address)
        with connect(address) as peer:
            exchange(peer, b"7 bytes")
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
        processes.wait_until(lambda: "client-fin after 14 bytes" in process.errors(), 20, "its message")
        table = processes.run([program(), "plugins", "--dir", "rec"], cwd=scratch).stdout.decode().splitlines()
        shown = re.search(r"^    \$ gogetway plugins --dir rec\n((    .*\n)+)", PAGE, re.MULTILINE)[1]
        shown = [words.split() for words in shown.replace("127.0.0.1:9000", address).splitlines()]
        assert [line.split()[:2] for line in table] == [words[:2] for words in shown], table
        assert process.stop(20) == 0


# ── A gate ───────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("pieces, arrived, seen", [
    ([b"x DROP TABLE users;"], b"", 1), ([b"x DROP TA", b"BLE users;"], b"x ", 2),
    ([bytes([byte]) for byte in b"x DDROP TABLE users"], b"x D", 13)])
def test_no_drop(guide, pieces, arrived, seen):
    """Nothing of the pattern arrives, however it is cut; what came in a read before it does. `seen`: the reads up to
    the one that completes it."""
    with Upstream() as upstream:
        gateway = guide("no-drop", upstream.address)
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            told = False
            for number, piece in enumerate(pieces):
                processes.wait_until(lambda: calls(gateway, "gate") >= min(number, seen), 20, "the gate has seen it")
                with contextlib.suppress(OSError):
                    told = True
                    peer.sendall(piece)
                    told = False
            assert told or was_reset(peer)
        assert read_to_end(behind)[0] == arrived
        behind.close()
    facts = last_comment(gateway)
    assert facts["close"] == "verdict"
    assert facts["verdict"] == {"plugin": "no-drop", "kind": "reset", "reason": "DROP TABLE"}
    assert facts["received"]["client"] > facts["forwarded"]["client"] == len(arrived)


def test_no_drop_keeps_back_what_it_must(guide):
    with Upstream() as upstream:
        gateway = guide("no-drop", upstream.address)
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"a DROP TA")
            assert read_exactly(behind, 2) == b"a "
            behind.settimeout(0.3)
            with pytest.raises(TimeoutError):
                behind.recv(1)
            behind.settimeout(20)
            peer.sendall(b"XI and DROP DROP T")
            assert read_exactly(behind, 7 + 7 + 5) == b"DROP TAXI and DROP "
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind)[0] == b"DROP T"
            behind.close()


# ── Hold and resume ──────────────────────────────────────────────────────────────────────────────────────────────────

def test_plain(guide):
    """Cut anywhere, the head goes on without that line, and what follows as it comes."""
    request = b"POST / HTTP/1.1\r\nHost: web\r\nAccept-Encoding: gzip, br\r\nContent-Length: 26\r\n\r\n"
    body = b"Accept-Encoding: is a body"
    sent = request.replace(b"Accept-Encoding: gzip, br\r\n", b"") + body
    with Upstream() as upstream:
        gateway = guide("plain", upstream.address)
        for cut in (1, 40, len(request) - 2, len(request), len(request) + 3):
            with connect(gateway.address) as peer, upstream.accept() as behind:
                for piece in ((request + body)[:cut], (request + body)[cut:]):
                    peer.sendall(piece)
                    time.sleep(0.02)  # so that these are two reads, now and then
                assert read_exactly(behind, len(sent)) == sent
                behind.sendall(b"an answer")
                assert read_exactly(peer, 9) == b"an answer"
                peer.sendall(b"Accept-Encoding: x\n")
                assert read_exactly(behind, 19) == b"Accept-Encoding: x\n"
        with connect(gateway.address) as peer, upstream.accept() as behind:
            peer.sendall(b"no head\nAccept-Encoding: is kept\n")
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind)[0] == b"no head\nAccept-Encoding: is kept\n"
        with connect(gateway.address) as peer, upstream.accept() as behind:
            peer.sendall(b"x" * 20000)
            assert read_exactly(behind, 20000) == b"x" * 20000
    assert gateway.process.stop(20) == 0
    gateway.verify()
    listed = gateway.sessions()
    found = {one["as_sent_of"]: gateway.payload(one.id, "client") for one in listed if "as_sent_of" in one}
    assert len(found) == 7 and set(found) == {one.id for one in listed if "as_sent_of" not in one}
    line, = {line for line in PAGE.splitlines() if ", as sent of " in line}
    assert line.split()[-1] in PAGE.split(line)[0]


def test_ask(guide):
    with Upstream() as upstream:
        gateway = guide("ask", upstream.address)
        closed = gateway.directory / "plugins/ask/closed-web"
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"may I?")
            assert read_exactly(behind, 6) == b"may I?"
            behind.sendall(b"yes")
            assert read_exactly(peer, 3) == b"yes"
            peer.sendall(b"more")
            assert read_exactly(behind, 4) == b"more"
            behind.close()
        closed.touch()
        with connect(gateway.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"and now?")
            assert was_reset(peer)
            assert read_to_end(behind)[0] == b""
            behind.close()
        closed.unlink()
    with Echo(upstream.address):
        for _ in range(50):
            said(gateway.address)
    assert gateway.process.stop(20) == 0


# ── An observer ──────────────────────────────────────────────────────────────────────────────────────────────────────

def test_flags(guide, server):
    """Also where it comes in two pieces; a session without one has no tag."""
    gateway = guide("flags", server.address)
    with connect(gateway.address) as peer:
        exchange(peer, b"nothing")
    with connect(gateway.address) as peer:
        exchange(peer, b"a FLFLA")
        exchange(peer, b"G{3e} and FLAG{4f}")
        events = processes.wait_until(
            lambda: [event for event in gateway.events(gateway.process, "plug-in") if "a flag" in event["text"]][1:]
            and gateway.events(gateway.process, "plug-in"), 20, "two flags")
        assert [event["text"].split(": ")[1] for event in events] == [f"a flag ends at byte {at}" for at in (8, 21)]
    assert calls(gateway, "observe") >= 4
    assert gateway.process.stop(20) == 0
    facts = [fact for fact in recording.comments(gateway.segments()) if "close" in fact]
    assert sorted(fact.get("tags", []) for fact in facts) == [[], ["flag"]]


# ── First bytes, options ─────────────────────────────────────────────────────────────────────────────────────────────

SCANNERS = {"beginnings": ["GET /cgi-bin/", "SSH-2.0-Go"], "wait": "300ms"}


def test_scanners(guide, server):
    with Echo() as honeypot:
        gateway = guide("scanners", server.address, {**SCANNERS, "honeypot": honeypot.address})
        for text in (b"GET /cgi-bin/luci HTTP/1.0\r\n\r\n", b"SSH-2.0-Go\r\n"):
            with connect(gateway.address) as peer:
                exchange(peer, text)
        assert (server.accepted, honeypot.accepted) == (0, 2)
        for text in (b"GET / HTTP/1.0\r\n\r\n", b"GE"):
            with connect(gateway.address) as peer:
                exchange(peer, text)
        begun = time.monotonic()
        with connect(gateway.address) as peer:
            exchange(peer, b"x")
        assert 0.25 < time.monotonic() - begun
        assert (server.accepted, honeypot.accepted) == (3, 2)
        gateway.process.stop()
        facts = [fact for fact in recording.comments(gateway.segments()) if "close" in fact]
        assert [fact["upstream"] for fact in facts if fact.get("tags") == ["scanner"]] == [honeypot.address] * 2


def test_what_is_said_of_wrong_options(guide, server, scratch):
    gateway = guide("scanners", server.address, {**SCANNERS, "honeypot": "127.0.0.1:1"})
    bad = scratch / "bad.yaml"
    text = re.search(r"With this `bad\.yaml`:\n\n((    .*\n)+)", PAGE)[1]
    bad.write_text(re.sub("^    ", "", text, flags=re.MULTILINE))
    done = processes.run([program(), "run", "-c", "bad.yaml", "--check-config"], check=False, cwd=scratch)
    assert done.returncode == 2
    for line in done.stderr.decode().splitlines():
        on_page(line)
    gateway.write(gateway.where, plugins=[{"path": str(gateway.so), "config": {
        **SCANNERS, "honeypot": "127.0.0.1:1", "bytes": 4}}])
    status, reply = gateway.reload()
    assert status == 3
    assert reply["errors"][0].endswith("beginning 'GET /cgi-bin/' is longer than the 4 bytes that are waited for")
    assert "beginning 'GET /cgi-bin/' is longer than the 4 bytes that are waited for" in PAGE


# ── State and commands ───────────────────────────────────────────────────────────────────────────────────────────────

def test_quota(guide, server):
    gateway = guide("quota", server.address, {"free": "1MiB", "rate": "1GiB"})
    block = os.urandom(3 << 20)
    with connect(gateway.address) as quick, connect(gateway.address) as peer:
        exchange(quick, b"not much")
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
        lines = gateway.command("quota", "show").stdout.decode().splitlines()
        assert lines[0] == "slowed so far: 1" and len(lines) == 3
        assert sorted(line.split()[2:] for line in lines[1:]) == [[str(len(block)), "slowed"], ["8"]]
    assert gateway.command("quota", "set", "1000000").stdout == b""
    with connect(gateway.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        begun = time.monotonic()
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
        assert 0.7 < time.monotonic() - begun  # 2 MiB at a megabyte a second, but for the reads before the order is due
    done = gateway.command("quota", "set", "few", check=False)
    assert done.returncode == 2 and b"set takes a number of bytes a second, at least 1024" in done.stderr


# ── What the rest of the page says ───────────────────────────────────────────────────────────────────────────────────

def spliced_of(guide, name, blocks_max, least):
    """How much of a block goes by splice, through that gate: of the first for which it is so much, or the most."""
    block = os.urandom(7_999_999) + b"\n"  # the gate would keep back what may begin its words
    found = []
    with Upstream() as upstream:
        gateway = guide(name, upstream.address, relay={"splice": "on"})

        def spliced():
            return gateway.ask("stats")["metrics"]["spliced_bytes"]
        with connect(gateway.address) as peer, upstream.accept() as behind:
            peer.sendall(b"first")
            assert read_exactly(behind, 5) == b"first"
            while len(found) < blocks_max and max(found, default=0) < least:
                before = spliced()
                sender = threading.Thread(target=peer.sendall, args=(block,))
                sender.start()
                assert read_exactly(behind, len(block)) == block
                sender.join()
                found.append(spliced() - before)
    gateway.process.stop()
    return max(found), len(found)


def test_what_costs_what(guide):
    """A gate that is given back returns its direction to splice; one that stays does not. What comes in pieces that
    fill no read is not spliced in any case, so where the sender has to wait for its turn there is more than one try."""
    least = 4_000_000
    spliced, tries = spliced_of(guide, "ask", 20, least)
    assert spliced >= least
    assert spliced_of(guide, "no-drop", tries, least)[0] == 0


def test_messages_are_limited(guide, server):
    gateway = guide("mine", server.address)
    for _ in range(100):
        said(gateway.address)
    gateway.process.stop()
    told = gateway.events(gateway.process, "plug-in")
    assert 10 <= len(told) < 60  # ten a second


def test_list_is_of_all_sessions(guide, server):
    """Also of those that the plug-in does not see."""
    gateway = guide("quota", server.address)
    other = listener(server.address, name="other")
    gateway.write(gateway.where, other, plugins=[{"path": str(gateway.so), "listeners": ["web"]}])
    assert gateway.reload()[0] == 0
    with connect(other["listen"]) as peer:
        exchange(peer, b"hello")
        assert len(gateway.command("quota", "show").stdout.splitlines()) == 2


# ── What the recording does not get ──────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("pieces", [
    [b"id AKIAIOSFODNN7EXAMPLE, AKIA"], [b"id AK", b"IAIOSFODNN7EXAMPL", b"E, AKIA"],
    [bytes([byte]) for byte in b"id AKIAIOSFODNN7EXAMPLE, AKIA"]])
def test_the_recording_does_not_get_it(guide, server, pieces):
    gateway = guide("keys", server.address)
    with connect(gateway.address) as peer:
        for piece in pieces:
            exchange(peer, piece)
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    assert last_comment(gateway)["masked"] == {"client": 16, "server": 16}
    session, = gateway.sessions()
    for side in ("client", "server"):
        assert gateway.payload(session.id, side) == b"id AKIAxxxxxxxxxxxxxxxx, AKIA"


# ── The recording, as it is written ──────────────────────────────────────────────────────────────────────────────────

def collect(path, files, lines_max):
    """Whatever is sent to a unix socket until `lines_max` lines were: put together in `files`, as the page says."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(path))
        bound.listen()
        peer, _ = bound.accept()
        with contextlib.closing(peer), peer.makefile("rb") as stream:
            for _ in range(lines_max):
                line = stream.readline().split()
                if not line:
                    return
                name, offset, length = line[0].decode(), int(line[1]), int(line[2])
                block = stream.read(length)
                if len(block) == length:
                    whole = files.setdefault(name, bytearray())
                    assert offset == len(whole) or offset + length <= len(whole)
                    whole[offset:offset + length] = block
    os.unlink(path)


def test_the_recording_goes_to_a_socket(guide, server, scratch):
    """Nobody is there at first, and then one who leaves: all of it comes nevertheless."""
    gateway = guide("ship", server.address, {"socket": str(scratch / "collector")}, sandbox="off")
    said(gateway.address, b"before anybody is there")
    processes.wait_until(lambda: gateway.events(gateway.process, "a sink does not take the recording, trying again"),
                         10, "a refusal")
    files = {}
    for lines_max in (1, 1 << 30):
        reader = threading.Thread(target=collect, args=(scratch / "collector", files, lines_max), daemon=True)
        reader.start()
        processes.wait_until(lambda: files, 10, "the first block")
        said(gateway.address, b"and this" * 10000)
        if lines_max == 1:
            reader.join(20)
            assert not reader.is_alive()
    assert gateway.process.stop() == 0
    reader.join(20)
    assert not reader.is_alive()
    assert {path.name: path.read_bytes() for path in gateway.segments()} == {
        name: bytes(whole) for name, whole in files.items()}


# ── In a replay ──────────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_replay_says_something_else(guide, kit, scratch, server):
    gateway = guide("mine", server.address)
    said(gateway.address, b"token-1, then token-1")
    gateway.process.stop()
    so = kit.build(scratch / "fresh", PROGRAMS["fresh.c"])
    words = re.search(r"--plugin (\S+) (--plugin-config .*)$", PAGE, re.MULTILINE)
    assert words[1] == "./fresh.so"
    with Upstream() as target:
        process = processes.Process([program(), "replay", "--dir", gateway.directory, "--to", target.address,
                                     "--plugin", so, *words[2].split()], scratch)
        with process, contextlib.closing(target.accept()) as peer:
            assert read_exactly(peer, 21) == b"token-2, then token-2"
            peer.sendall(b"token-1, then token-1")
            assert read_to_end(peer)[0] == b""
            peer.close()
            assert process.wait(20) == 0, process.errors()
        assert "1 pieces replaced by the plug-in" in process.output()
