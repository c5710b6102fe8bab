# SPDX-License-Identifier: Apache-2.0
"""The operator's live commands: what they say of what they did, how they fail, and what they make of wrong words."""
import contextlib
import json
import os
import re
import socket
import threading

import pytest

import faults
import processes
from faults import connect
from gogetway import program
from live import exchange, listener

pytestmark = pytest.mark.usefixtures("require_program")

LIVE = {"stats": ["stats"], "stats --pid": ["stats", "--pid", "1"], "reload": ["reload"], "rotate": ["rotate"],
        "upstreams": ["upstreams"], "drain": ["upstreams", "drain", "a"], "resume": ["upstreams", "resume", "a"]}


def run(*words, **options):
    done = processes.run([program(), *words], check=False, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def refusal(words, directory):
    """What a command with --json says of its failure: the same as without, but there on standard error."""
    status, out, errors = run(*words, "--json", "--dir", directory)
    assert status == 3 and errors == "" and out.count("\n") == 1, (out, errors)
    reply = json.loads(out)
    assert reply["ok"] is False
    status, out, errors = run(*words, "--dir", directory)
    assert status == 3 and out == "" and errors.startswith("gogetway: ")
    assert not errors.startswith("gogetway: gogetway")
    return reply, errors.removeprefix("gogetway: ").rstrip("\n")


# ── Draining ─────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture
def two(configured, server):
    """A gateway with two listeners: web has upstreams a and b, ssh a only."""
    with faults.Echo() as other:
        configured.server, configured.other = server, other
        configured.web = listener([f"{server.address} name=a", f"{other.address} name=b"], name="web")
        configured.ssh = listener([f"{server.address} name=a"], name="ssh")
        configured.write(configured.web, configured.ssh, workers=1)
        configured.start()
        yield configured


def said(gateway, *words):
    """(standard output, standard error) of `gogetway upstreams`."""
    done = gateway.command("upstreams", *words)
    return done.stdout.decode(), done.stderr.decode()


def told(gateway, *words):
    done = gateway.command("upstreams", *words, "--json")
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1
    return json.loads(done.stdout)


def test_draining_says_what_happened(two):
    a, b = two.server.address, two.other.address
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # two each, by turns
            peer = stack.enter_context(connect(two.web["listen"]))
            exchange(peer, b"hello")
        assert said(two, "drain", "a", "--listener", "web") == (
            f"listener web: a ({a}) is drained; 2 sessions go on\n", "")
        assert said(two, "drain", "a", "--listener", "web") == (
            f"listener web: a ({a}) was drained already; 2 sessions go on\n", "")
    processes.wait_until(lambda: told(two, "drain", "a", "--listener", "web")["upstreams"][0]["sessions"] == 0, 10,
                         "its sessions have ended")
    assert said(two, "resume", "a", "--listener", "web") == (
        f"listener web: a ({a}) is resumed; no session is open\n", "")
    assert said(two, "resume", "b") == (f"listener web: b ({b}) was not drained; no session is open\n", "")
    with connect(two.ssh["listen"]) as peer:
        exchange(peer, b"hello")
        reply = told(two, "drain", "a")  # of each listener that has one of this name
        shown = [(entry["listener"], entry["name"], entry["address"], entry["state"], entry["sessions"],
                  entry["changed"]) for entry in reply["upstreams"]]
        assert shown == [("web", "a", a, "drained", 0, True), ("ssh", "a", a, "drained", 1, True)]
    assert [entry["changed"] for entry in told(two, "drain", "a", "--listener", "ssh")["upstreams"]] == [False]


def test_draining_the_last_one_is_done_and_warned_of(two):
    warning = "listener {} has no upstream left: new clients are turned away until one is resumed"
    out, errors = said(two, "drain", "b", "--listener", "web")
    assert out.count("\n") == 1 and errors == ""
    out, errors = said(two, "drain", "a")
    assert out.count(" is drained; ") == 2
    assert errors.splitlines() == [f"gogetway: {warning.format(name)}" for name in ("web", "ssh")]
    with contextlib.suppress(ConnectionResetError), connect(two.web["listen"]) as peer:  # at once, or a little later
        assert peer.recv(1) == b""
    reply = told(two, "drain", "a")  # once more: it is still so
    assert reply["no_upstream"] == ["web", "ssh"]
    assert reply["warnings"] == [warning.format(name) for name in ("web", "ssh")]
    reply = told(two, "resume", "b")
    assert reply["no_upstream"] == reply["warnings"] == []
    reply = told(two, "drain", "b")
    assert reply["no_upstream"] == ["web"] and reply["warnings"] == [warning.format("web")]  # ssh is not meant
    reply = told(two, "resume", "a", "--listener", "ssh")
    assert reply["no_upstream"] == []
    with connect(two.ssh["listen"]) as peer:
        exchange(peer, b"hello")


def test_what_is_left_may_be_out(configured, server):
    """Then new clients are tried on it all the same, which is worth a word; and one that is resumed may be out too."""
    dead = processes.address("127.0.0.1", processes.free_port())
    web = listener([f"{server.address} name=a", f"{dead} name=b"], name="web", health_out="1h", health_out_max="1h")
    configured.write(web, workers=1)
    configured.start()

    def is_out():
        with connect(web["listen"]) as peer:
            exchange(peer, b"hello")
        listed = map(json.loads, configured.command("upstreams", "--json").stdout.splitlines())
        return [entry["name"] for entry in listed if entry["state"] == "out"] == ["b"]
    processes.wait_until(is_out, 10, "b is out")
    reply = told(configured, "drain", "a")
    assert reply["no_upstream"] == []
    assert reply["warnings"] == ["listener web has only upstreams left that are out: new clients are tried on those"]
    out, errors = said(configured, "drain", "a")
    assert errors == f"gogetway: {reply['warnings'][0]}\n"
    assert told(configured, "drain", "b")["no_upstream"] == ["web"]
    out, errors = said(configured, "resume", "b")
    assert re.fullmatch(rf"listener web: b \({dead}\) is resumed; no session is open; it is out, and tried again in "
                        r"3\d\d\d\.\ds\n", out) and errors == ""


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("words", LIVE.values(), ids=LIVE)
def test_nobody_to_ask(scratch, words):
    """What was looked for is told, and where, and the option that says where to look."""
    hint = " (--dir names the directory that the gateway records into)"
    empty, missing, file = scratch / "empty", scratch / "missing", scratch / "file"
    empty.mkdir()
    file.write_text("")
    for directory, why in ((empty, '"control"'), (missing, "no such directory"), (file, "no such directory")):
        reply, error = refusal(words, directory)
        assert reply == {"ok": False, "error": error}
        assert error.startswith(f"no gateway runs on {directory}: ") and why in error and hint in error, error
    left = socket.socket(socket.AF_UNIX)  # of one that was killed
    left.bind(str(empty / "control"))
    left.close()
    error = refusal(words, empty)[1]
    assert error.startswith(f"no gateway runs on {empty}: nobody listens") and '"control"' in error, error


@pytest.mark.parametrize("words", LIVE.values(), ids=LIVE)
def test_nobody_to_ask_at_the_default(scratch, words):
    environment = {name: value for name, value in os.environ.items() if name != "GOGETWAY_DIR"}
    for more, place, hint in (({}, "./gogetway-data", "(the default; --dir DIR says where the gateway records)"),
                              ({"GOGETWAY_DIR": "some/where"}, "some/where",
                               "(from $GOGETWAY_DIR; --dir DIR says where the gateway records)")):
        status, out, errors = run(*words, cwd=scratch, env={**environment, **more})
        assert status == 3 and out == ""
        then = "; 'gogetway stats --totals' adds up what is recorded, without one" if words[0] == "stats" else ""
        assert errors == f"gogetway: no gateway runs on {place}: there is no such directory {hint}{then}\n"


def test_a_path_of_any_bytes(scratch):
    """JSON is UTF-8, and a path need not be."""
    directory = os.fsencode(scratch) + b"/\xff\x1b[31m"
    for words in LIVE.values():
        reply, error = refusal(words, directory)
        assert reply["error"] == error and "\\xff\\x1b[31m" in error


def test_what_the_gateway_refuses(two):
    refused = {("upstreams", "drain", "x"): "no listener has an upstream x",
               ("upstreams", "resume", "x"): "no listener has an upstream x",
               ("upstreams", "drain", "b", "--listener", "ssh"): "listener ssh has no upstream b",
               ("upstreams", "drain", "b", "--listener", "nowhere"): "listener nowhere has no upstream b"}
    for words, why in refused.items():
        assert refusal(words, two.directory) == ({"ok": False, "error": why}, why)
    two.write_text("nonsense: 1\n")
    status, out, errors = run("reload", "--json", "--dir", two.directory)
    reply = json.loads(out)
    assert status == 3 and errors == "" and reply["ok"] is False and reply["error"] == reply["errors"][0]
    status, out, errors = run("reload", "--dir", two.directory)
    assert status == 3 and out == "" and f"gogetway: {reply['error']}\n" in errors
    reply, error = refusal(["stats", "--pid", "1"], two.directory)
    assert reply["error"] == error and "no gateway with process id 1 runs on" in error


@contextlib.contextmanager
def pretender(directory, line):
    """Answers whatever is asked with this line."""
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(directory / "control"))
        control.listen(8)

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = control.accept()
                    with peer, contextlib.suppress(OSError):
                        peer.makefile("rb").readline()
                        peer.sendall(line)
        thread = threading.Thread(target=answer)
        thread.start()
        yield
        control.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("line, why", [(b"nonsense\n", "gave no sensible reply"), (b"[1]\n", "gave no sensible reply"),
                                       (b'{"ok":false}\n', "the gateway refused, and did not say why"),
                                       (b'{"ok":false,"error":"not\\u001b[31m now"}\n', "not\\x1b[31m now"),
                                       (b"", "ended before it answered")])
def test_strange_replies(scratch, line, why):
    with pretender(scratch, line):
        for name, words in LIVE.items():
            if name != "stats --pid":  # nobody has that id
                reply, error = refusal(words, scratch)
                assert why in error, name
                assert "error" not in reply or reply["error"].replace("\x1b", "\\x1b") == error


# ── Wrong words ──────────────────────────────────────────────────────────────────────────────────────────────────────

WRONG = {
    "reload x": "reload: unexpected word 'x'",
    "reload --jsno": "reload: unknown option --jsno; did you mean --json?",
    "reload --json=yes": "reload: --json takes no value",
    "reload -x": "reload: unknown option -x",
    "reload --dir": "--dir needs a value: --dir DIR",
    "rotate x": "rotate: unexpected word 'x'",
    "rotate --force": "rotate: unknown option --force",
    "rotate --json=": "rotate: --json takes no value",
    "rotate -x": "rotate: unknown option -x",
    "stats x": "stats: unexpected word 'x'",
    "stats --pdi 1": "stats: unknown option --pdi; did you mean --pid?",
    "stats --json=1": "stats: --json takes no value",
    "stats --format": "stats: --format needs a value: --format FORM",
    "stats --format xml": "stats: --format xml is not known; it is table, json, prometheus or config",
    "stats --pid": "stats: --pid needs a value: --pid PID",
    "stats --pid=": "stats: --pid '' is no process id",
    "stats --pid x": "stats: --pid 'x' is no process id",
    "stats --pid 1x": "stats: --pid '1x' is no process id",
    "stats --pid 0": "stats: --pid '0' is no process id",
    "stats --pid -5": "stats: --pid '-5' is no process id",
    "stats --pid 99999999999999999999": "stats: --pid '99999999999999999999' is no process id",
    "upstreams --json drain": "upstreams drain: which? give the name of an upstream",
    "upstreams resume": "upstreams resume: which? give the name of an upstream",
    "upstreams dry a": "upstreams: 'dry' is neither drain nor resume",
    "upstreams drain a b": "upstreams: unexpected word 'b'",
    "upstreams drain a --listener": "upstreams: --listener needs a value: --listener NAME",
    "upstreams drain a --listner web": "upstreams: unknown option --listner; did you mean --listener?",
    "upstreams drain a --json=1": "upstreams: --json takes no value",
    "upstreams --listener web": "upstreams: --listener goes with drain or resume",
    "metrics": "unknown command 'metrics'",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words(words):
    """Each is named, in words and with status 2, with --json too."""
    status, out, errors = run(*words.split(" "))
    assert status == 2 and out == "" and errors.count("\n") == 1
    assert errors.startswith(f"gogetway: {WRONG[words]}"), errors


RUN = ["run", "--listen", "127.0.0.1:0", "--upstream", "none", "--check-config"]
WRONG_RUN = {
    "--takeovr": "--takeovr", "--takeover=perhaps": "--takeover", "word": "word",
    "--metrics-file": "--metrics-file", "--metrics-interval": "--metrics-interval",
    "--metrics-interval soon": "--metrics-interval", "--metrics-interval 10": "--metrics-interval",
    "--metrics-interval 1ms": "--metrics-interval", "--sandbox perhaps": "--sandbox", "--record some": "--record",
    "--balance best": "--balance", "--connect-tries x": "--connect-tries", "--health-failures -1": "--health-failures",
    "--health-out x": "--health-out", "--health-out-max x": "--health-out-max", "--check-interval x":
    "--check-interval", "--check-timeout x": "--check-timeout", "--slow-start x": "--slow-start",
    "--listener-sessions-max x": "--listener-sessions-max", "--limits-source-sessions x": "--limits-source-sessions",
    "--limits-source-rate x": "--limits-source-rate", "--limits-source-prefix6 129": "--limits-source-prefix6",
    "--timeouts-first-byte x": "--timeouts-first-byte", "--timeouts-session x": "--timeouts-session",
    "--timeouts-stall x": "--timeouts-stall", "--user": "--user", "--group": "--group",
}


@pytest.mark.parametrize("words", WRONG_RUN)
def test_wrong_words_for_run(words, scratch):
    """Of the options that have to do with reload, limits, restart and service."""
    status, out, errors = run(*RUN, "--dir", scratch / "rec", *words.split(" "))
    assert status == 2 and out == "", errors
    assert WRONG_RUN[words] in errors and errors.startswith("gogetway: "), errors
    assert not (scratch / "rec").exists()


@pytest.mark.parametrize("command", ["run", "reload", "rotate", "upstreams", "stats"])
def test_help_is_what_is_there(command, scratch):
    """Each option that the help names is known, and takes a value if and only if the help says so."""
    status, out, errors = run(command, "--help")
    assert status == 0 and errors == "" and out.startswith("usage: gogetway " + command)
    options = re.findall(r"^  +(?:-\w, )?--([a-z0-9-]+)( [^ ]+)?", out, re.MULTILINE)
    assert ("dir", " DIR") in options or command == "run"
    for name, value in options:
        if name in ("help", "dir"):
            continue
        if value:
            status, out, errors = run(command, "--dir", scratch / "none", f"--{name}")
            assert status == 2 and f"--{name}" in errors and "unknown" not in errors, (name, errors)
        else:
            status, out, errors = run(command, "--dir", scratch / "none", f"--{name}=a b")
            assert status == 2 and f"--{name}" in errors and "unknown" not in errors, (name, errors)
