# SPDX-License-Identifier: Apache-2.0
"""The library inside somebody else's program: the examples, built against an installation by pkg-config alone, in C and
as C++; and what the library keeps outside of what a program has made."""
import json
import os
import pathlib
import re
import shutil
import signal

import pytest

import processes
import test_sandbox
from gogetway import ROOT, Gateway, program
from plugging import Kit
from test_run import connect, open_session, upstream  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]
instrumented = pytest.mark.skipif(test_sandbox.is_instrumented(),
                                  reason="a program would have to be instrumented as the library is")
LINES_MAX = 200


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture(params=["c", "c++"])
def build(request, kit, scratch):
    """build(name): the example as a program, and how it is run."""
    if request.param == "c++" and not shutil.which("c++"):
        pytest.skip("needs c++")

    def one(name):
        source = (ROOT / "examples" / f"{name}.c").read_text()
        assert source.count("\n") < LINES_MAX
        if request.param == "c":
            return kit.build(scratch / name, source, "-std=gnu11", "-Wpedantic", package="gogetway")
        return kit.build(scratch / name, source, "-std=c++17", package="gogetway", compiler="c++", suffix=".cc")
    return one


@pytest.fixture
def run(kit, scratch):
    def begin(example, *words):
        process = processes.Process([example, *words], scratch, env={"LD_LIBRARY_PATH": kit.libraries()})
        processes.wait_until(lambda: process.output().count("\n") >= 1, 20, "its address")
        return process
    return begin


def talk(client, server, question, answer):
    client.sendall(question)
    got = b""
    while len(got) < len(question):
        got += server.recv(65536)
    assert got == question
    server.sendall(answer)
    got = b""
    while len(got) < len(answer):
        got += client.recv(65536)
    assert got == answer


# ── The examples ─────────────────────────────────────────────────────────────────────────────────────────────────────

@instrumented
def test_embed_gateway_does_what_it_says(build, run, scratch, upstream):  # noqa: F811
    with run(build("embed-gateway"), upstream.address, scratch / "rec", "3") as embed:
        gateway = Gateway(scratch / "rec", upstream.address, listen=embed.output().splitlines()[0])
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, b"question " * 1000, b"answer " * 1000)
        with connect(gateway.listen) as client, upstream.accept() as server:
            with pytest.raises(ConnectionError):
                for _ in range(20000):  # it is cut with more than a megabyte
                    client.sendall(b"x" * 4096)
                    server.recv(65536)
        assert embed.wait(20) == 0
        assert '"event":"ended"' in embed.errors()
        stats = json.loads(embed.output().splitlines()[1])
    assert stats["state"] == "ended" and stats["metrics"]["sessions_closed"] == 2
    whole, cut = sorted(gateway.sessions(), key=lambda session: session.received("client"))
    assert whole.received("client") == 9000 and whole.received("server") == 7000
    assert cut.received("client") > 1 << 20 and cut["close"] == "verdict"


@instrumented
def test_embed_event_loop_does_what_it_says(build, run, scratch, upstream):  # noqa: F811
    with run(build("embed-event-loop"), upstream.address, scratch / "rec") as embed:
        gateway = Gateway(scratch / "rec", upstream.address, listen=embed.output().splitlines()[0])
        with open_session(gateway, upstream) as (client, server):
            talk(client, server, b"question " * 1000, b"answer " * 1000)
            processes.wait_until(lambda: "\n1 open\n" in embed.output(), 10, "its own timer's line")
            names = {(task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{embed.pid}/task").iterdir()}
            assert not any(name.startswith("gg-worker") for name in names)
            embed.popen.send_signal(signal.SIGTERM)  # the open session goes on
            processes.wait_until(lambda: '"event":"draining"' in embed.errors(), 10, "it drains")
            talk(client, server, b"more", b"and more")
        assert embed.wait(20) == 0
        assert '"event":"ended"' in embed.errors()
    session, = gateway.sessions()
    assert session.received("client") == 9005 and session.received("server") == 7009


@instrumented
def test_read_recording_does_what_it_says(build, kit, scratch, upstream):  # noqa: F811
    """Sessions, chunks, their times and places, as the gateway's own program shows them; and what cannot be read."""
    program_path = build("read-recording")

    def read(*words):
        done = processes.run([program_path, *words], check=False, env={**os.environ,
                                                                      "LD_LIBRARY_PATH": kit.libraries()})
        return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()
    with Gateway(scratch / "rec", upstream.address) as gateway:
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, b"question\x1b[2J", b"answer " * 10)
            talk(client, server, b"more", b"and more")
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, b"x", b"y")
    first, second = gateway.sessions()
    status, lines, errors = read(scratch / "rec")
    assert (status, errors) == (0, "")
    heads = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in heads] == [first["id"], second["id"]]
    assert heads[0].split()[1:4] == [first["client"], ">", first["server"]] and heads[0].split()[4] == "closed"
    chunks = [line.split(maxsplit=4) for line in lines[1:lines.index(heads[1])]]
    assert [chunk[1:4] for chunk in chunks] == [["client", "@0", "12"], ["server", "@0", "70"], ["client", "@12", "4"],
                                                ["server", "@70", "8"]]
    assert [chunk[4] for chunk in chunks] == [r"question\x1b[2J", ("answer " * 10)[:48] + "...", "more", "and more"]
    times = [float(chunk[0]) for chunk in chunks]
    assert times == sorted(times) and 0 <= times[0] and times[-1] < 60
    assert [line for line in read(scratch / "rec", f"id={second['id']}")[1] if not line.startswith(" ")] == [heads[1]]
    assert read(scratch / "rec", "state=open") == (0, [], "")
    assert read(scratch / "rec", "nonsense=1")[0] == 2
    status, lines, errors = read(scratch / "nowhere")
    assert (status, lines) == (1, []) and "nowhere" in errors


@instrumented
def test_read_messages_does_what_it_says(build, kit, scratch, upstream):  # noqa: F811
    """A line for each message, with what it answers; where nothing is understood, why."""
    program_path = build("read-messages")
    with Gateway(scratch / "rec", upstream.address) as gateway:
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, bytes(range(200, 256)), b"\0\1")
    first, second = gateway.sessions()
    environment = {**os.environ, "LD_LIBRARY_PATH": kit.libraries()}
    done = processes.run([program_path, scratch / "rec"], env=environment)
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == [f"{first['id']} 1 client GET /\\e[2J (0 bytes of body)",
                         f"{first['id']} 2 server 200 OK (4 bytes of body, answers 1, cut)"]
    assert lines[2].startswith(f"{second['id']} - client not decoded from byte 0 on: unknown: binary, ")
    only = processes.run([program_path, scratch / "rec", f"id={second['id']}"], env=environment)
    assert only.stdout.decode().splitlines() == lines[2:]
    assert processes.run([program_path, scratch / "rec", "nonsense=1"], check=False, env=environment).returncode == 2
    assert processes.run([program_path, scratch / "nowhere"], check=False, env=environment).returncode == 1


@instrumented
def test_decoder_netstring_does_what_it_says(build, kit, scratch, upstream):  # noqa: F811
    """What its decoder tells of a session that the gateway has recorded and exported, and of one that is none."""
    program_path = build("decoder-netstring")
    requests, replies = [b"5:hello,", b"0:,", b"70000:" + b"x" * 70000 + b","], [b"2:ok,", b"3:a:b,"]
    with Gateway(scratch / "rec", upstream.address) as gateway:
        with connect(gateway.listen) as client, upstream.accept() as server:
            talk(client, server, b"".join(requests), b"".join(replies) + b"x:,")

    def decode(*files):
        done = processes.run([program_path, *files], check=False, env={**os.environ,
                                                                       "LD_LIBRARY_PATH": kit.libraries()})
        return done.returncode, done.stdout.decode().splitlines()
    session, = gateway.sessions()
    processes.run([program(), "--dir", scratch / "rec", "export", "--format", "raw", "-o", scratch / "streams"])
    client, server = (scratch / "streams" / f"{session['id']}.{side}" for side in ("client", "server"))
    assert decode(client, server) == (0, [
        "1 client request 0+8 netstring.length=5", "2 client request 8+3 netstring.length=0",
        "3 client request 11+70007 netstring.length=70000", "4 server reply 0+5 answers 1 netstring.length=2",
        "5 server reply 5+6 answers 2 netstring.length=3", "server from 11: failed: no length"])
    assert decode(server, client)[1][0] == "1 client request 0+5 netstring.length=2"
    (scratch / "none").write_bytes(b"\x00\x01")
    assert decode(scratch / "none", scratch / "none")[1][0].startswith("client from 0: unknown: binary")
    assert decode(client, scratch / "nowhere")[0] == 1


def test_every_example_is_tried():
    """Here, or with the plug-ins."""
    tried = "".join((ROOT / "tests/integration" / name).read_text()
                    for name in sorted(os.listdir(ROOT / "tests/integration")) if name.startswith("test_"))
    for file in sorted((ROOT / "examples").glob("*.c*")):
        assert f'"{file.stem}"' in tried or f"examples/{file.stem}" in tried, file.name
        assert file.read_text().count("\n") < LINES_MAX


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


@instrumented
@pytest.mark.parametrize("words", [[], ["best-effort"]])
def test_custom_sink_does_what_it_says(build, run, scratch, upstream, words):  # noqa: F811
    with run(build("custom-sink"), upstream.address, scratch / "rec", *words) as embed:
        gateway = Gateway(scratch / "rec", upstream.address, listen=embed.output().splitlines()[0])
        with open_session(gateway, upstream) as (client, server):
            talk(client, server, b"question " * 1000, b"answer " * 1000)
            gateway.command("rotate")
            processes.wait_until(lambda: embed.output().count("\n") >= 2, 10, "the first file")
            talk(client, server, b"more", b"and more")
        embed.popen.send_signal(signal.SIGTERM)
        assert embed.wait(20) == 0
        told = embed.output().splitlines()[1:]
    files = [(path.name, path.read_bytes()) for path in gateway.segments()]
    assert len(files) == 2 and sorted(told) == [f"{name} {len(data)} {fnv(data)}" for name, data in files]


# ── What the library keeps for itself ────────────────────────────────────────────────────────────────────────────────

# Everything writable that outlives a gateway, and why it may.
WRITABLE = {
    "once": "of the seed",
    "seed": "of hashes, drawn once a process and never changed",
    "facts": "what filters ask of decoders, made once a process and never changed",
    "facts_lock": "of that",
    r"openings\.\d+": "counts libraries that were opened, which are the process' too",
    r"drop_new\.\d+": "a socket filter, which the kernel's interface wants without const; never written",
}


@pytest.mark.skipif(test_sandbox.is_instrumented(), reason="the instrumentation has its own")
@pytest.mark.skipif(not shutil.which("objdump"), reason="needs objdump")
def test_the_library_has_no_state_of_its_own():
    library = pathlib.Path(os.path.realpath(program())).parent / "libgogetway.a"
    symbols = processes.run(["objdump", "-t", library]).stdout.decode()
    if "covrec" in symbols or "__gcov" in symbols:
        pytest.skip("built for coverage")
    # Sections that are written to after the relocations: .data.rel.ro is not.
    lines = re.findall(r"^[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)$", symbols, re.M)
    found = {name for section, size, name in lines
             if re.match(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)|\*COM\*", section) and int(size, 16) > 0
             and not name.startswith(".")}
    assert len(lines) > 1000 and found
    assert {name for name in found if not any(re.fullmatch(allowed, name) for allowed in WRITABLE)} == set()
    assert {allowed for allowed in WRITABLE if not any(re.fullmatch(allowed, name) for name in found)} == set()
