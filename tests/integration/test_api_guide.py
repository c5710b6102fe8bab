# SPDX-License-Identifier: Apache-2.0
"""docs/api.md does what it says: its programs are taken out of it, built by pkg-config alone, as C and as C++, and run.

A program is a fenced block below a comment with its file's name, `<!-- program: first.c -->`. What the page shows of a
program's own output is looked for in it, so that it cannot go stale.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket

import pytest

import processes
import test_sandbox
from faults import Echo, connect, read_to_end
from gogetway import ROOT, Store
from live import exchange, listener, said
from plugging import Kit
from test_library import public_functions

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory"),
              pytest.mark.skipif(test_sandbox.is_instrumented(),
                                 reason="a program would have to be instrumented as the library is")]

PAGE = (ROOT / "docs/api.md").read_text()
PROGRAMS = dict(re.findall(r"^<!-- program: (\S+)\.c -->\n```c\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
C = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wpedantic", "-Wconversion", "-Wshadow"]
CXX = ["-std=c++17", "-Wpedantic"]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="module", params=["c", "c++"])
def built(request, kit, tmp_path_factory):
    """built("first"): that program of the page, as C and then as C++."""
    made, place = {}, tmp_path_factory.mktemp("programs")
    if request.param == "c++" and not shutil.which("c++"):
        pytest.skip("needs c++")

    def build(name):
        if name not in made:
            more = {"compiler": "c++", "suffix": ".cc"} if request.param == "c++" else {}
            made[name] = kit.build(place / name, PROGRAMS[name], *(CXX if more else C), package="gogetway", **more)
        return made[name]
    return build


@pytest.fixture
def run(built, kit, scratch):
    """run("first", word, ...): the program, running in the scratch directory."""
    with contextlib.ExitStack() as stack:
        def begin(name, *words, stdin="/dev/null"):
            numbers[0] += 1
            command = ["sh", "-c", 'input=$1; shift; exec "$@" < "$input"', "sh", stdin, built(name), *words]
            return stack.enter_context(processes.Process(command, scratch, cwd=scratch, name=f"{name}-{numbers[0]}",
                                                         env={"LD_LIBRARY_PATH": kit.libraries()}))
        numbers = [0]
        yield begin


def on_page(text):
    """A line that a program has printed is on the page, indented."""
    assert re.search(rf"^    {re.escape(text)}$", PAGE, re.MULTILINE), text


def sessions_of(directory):
    return Store(directory).sessions()


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_every_program_is_tried():
    assert sorted(PROGRAMS) == ["again", "change", "first", "hooks", "several", "slowest"]
    assert len(PROGRAMS) == len(re.findall("^```c$", PAGE, re.MULTILINE))


def test_names_on_the_page_are_the_librarys():
    named = set(re.findall(r"`(gg_(?:gateway|store|reader|replay|tail|control|filter|session)_\w+)`", PAGE))
    assert len(named) > 10
    assert {name for name in named if name not in public_functions() and not name.endswith("_")} <= {
        "gg_session_info"}


@pytest.mark.parametrize("compiler", ["cc", "clang", "clang-14"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_programs_build_in_strict_c11(kit, scratch, name, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    kit.build(scratch / "strict", PROGRAMS[name], *C, package="gogetway", compiler=compiler)


# ── Gateways ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_first(run, kit, server, scratch):
    """As the page has it, by its own command of the compiler."""
    line = re.search(r"^    (cc first\.c .*)$", PAGE, re.MULTILINE)[1]
    (scratch / "first.c").write_text(PROGRAMS["first"])
    processes.run(["sh", "-c", line], cwd=scratch, env=kit.env)
    assert (scratch / "first").exists()
    address = processes.free_address()
    process = run("first", address, server.address)
    process.wait_listening(address)
    with connect(address) as peer:
        exchange(peer, b"hello")
        process.popen.send_signal(signal.SIGINT)  # the open session goes on
        processes.wait_until(lambda: '"event":"draining"' in process.errors(), 20, "it drains")
        exchange(peer, b"and more")
    assert process.wait(20) == 0
    session, = sessions_of(scratch / "rec")
    assert session.received("client") == 13
    wrong = run("first", "nowhere", server.address)
    assert wrong.wait(20) == 1
    on_page(wrong.errors().splitlines()[0])


def test_change(run, server, scratch):
    """The page's commands with the page's answers, and then some. A client is served by what was added."""
    web = listener("127.0.0.1:80", name="web")
    (scratch / "g.yaml").write_text(json.dumps({"listeners": [web]}))
    shown = re.search(r"^    add web (.*\n)+?    unlisten db\n    done\n", PAGE, re.MULTILINE)[0]
    lines = [line.strip().replace("':5432'", f"'{processes.free_address()}'") for line in shown.splitlines()]
    asked = list(zip(lines[::2], lines[1::2]))
    asked += [(f"add web {server.address} name=server", "done"), ("remove web 127.0.0.1:80", "done"),
              ("remove web b", "done"), ("reload", "done"), ("dance", "INVALID: there is no command 'dance'")]
    assert [command.split()[0] for command, _ in asked] == ["add", "remove", "listen", "unlisten", "add", "remove",
                                                            "remove", "reload", "dance"]
    os.mkfifo(scratch / "commands")
    process = run("change", "-c", "g.yaml", "--dir", "rec", stdin="commands")
    with open(scratch / "commands", "w", buffering=1) as commands:
        def answer(command):
            before = process.output().count("\n")
            commands.write(command + "\n")
            processes.wait_until(lambda: process.output().count("\n") > before, 30, f"the answer to {command}")
            return process.output().splitlines()[before]
        for command, expected in asked:
            assert answer(command) == expected, command
        said(web["listen"], b"7 bytes")
        stats = json.loads(answer("stats"))
        assert [found["name"] for found in stats["listeners"]] == ["web"]
    assert process.wait(20) == 0  # the end of its input
    session, = sessions_of(scratch / "rec")
    assert session.received("server") == 7


def test_hooks(run, server, scratch):
    address = processes.free_address()
    where = {"listen": address, "upstream": server.address, "name": "web"}
    (scratch / "g.yaml").write_text(json.dumps({"listeners": [where]}))
    process = run("hooks", "-c", "g.yaml", "--dir", "rec")
    process.wait_listening(address)
    with connect(address) as peer:
        exchange(peer, b"good morning")
    with connect(address) as peer:
        local = "%s:%u" % peer.getsockname()
        peer.sendall(b"EVIL")
        assert read_to_end(peer)[1]
    processes.wait_until(lambda: process.output().count("\n") == 2, 20, "both sessions")
    assert process.stop(20) == 0
    good, evil = sorted(process.output().splitlines(), key=lambda line: "verdict" in line)
    assert good.endswith(": client-fin ")
    assert evil == f"web {local}: verdict it said so"
    on_page(evil.replace(local, "127.0.0.1:40000"))
    assert server.accepted == 1


def test_several(run, scratch):
    with Echo() as one, Echo() as two:
        process = run("several", one.address, two.address)
        processes.wait_until(lambda: process.output().count("\n") == 2, 20, "its addresses")
        addresses = [line.split(" > ") for line in process.output().splitlines()]
        assert [upstream for _, upstream in addresses] == [one.address, two.address]
        with connect(addresses[0][0]) as first, connect(addresses[1][0]) as second:
            exchange(first, b"to the first")
            exchange(second, b"and to the second")
            first.shutdown(socket.SHUT_WR)
        assert process.stop(20) == 0
        assert (one.accepted, two.accepted) == (1, 1)
    assert [session.received("client") for number in (0, 1) for session in sessions_of(scratch / f"rec-{number}")] == [
        12, 17]


# ── Recordings ───────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture
def recorded(run, server, scratch):
    """The store of three sessions with what has become of it."""
    address = processes.free_address()
    process = run("first", address, server.address)
    process.wait_listening(address)
    for block in (b"one", b"and two", b"three"):
        said(address, block)
    assert process.stop(20) == 0
    return scratch / "rec"


def test_slowest(run, recorded):
    process = run("slowest", recorded)
    assert process.wait(20) == 0
    lines = [line.split() for line in process.output().splitlines()]
    assert [line[0] for line in lines] == [session["id"] for session in sessions_of(recorded)] and len(lines) == 3
    assert all(0 < int(line[2]) < 5000000 and line[3] == "us" for line in lines)
    assert run("slowest", recorded / "nothing").wait(20) == 1


def test_again(run, recorded, server):
    with Echo() as canary:
        process = run("again", recorded, canary.address)
        assert process.wait(60) == 0
        on_page(process.output().strip())
        assert canary.accepted == 3
    refused = run("again", recorded, server.address)  # where it was recorded
    assert refused.wait(60) == 1 and "allow-original" in refused.errors()
