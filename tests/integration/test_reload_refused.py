# SPDX-License-Identifier: Apache-2.0
"""Files of every bad kind, read again under load: each is refused and says why, and all that is in force stays."""
import contextlib
import copy
import json
import os
import random
import re
import shutil
import signal
import socket

import pytest

import processes
from faults import connect
from live import Clients, exchange, listener, said
from restarting import descriptors

pytestmark = pytest.mark.usefixtures("require_program")

AT = r":\d+:\d+: "  # line and column


def good(server, scratch):
    """Something else than the default wherever it does no harm."""
    return {
        "listeners": [
            listener(server.address, name="web", on_stall="gap", sessions_max=1000),
            listener([f"{server.address} name=a weight=3", "127.0.0.1:1 name=b backup"], name="ssh", balance="hash",
                     health_failures=7, health_out="3s"),
            {"listen": f"unix:{scratch}/socket", "upstream": server.address, "name": "local", "unix_mode": "0600"},
        ],
        "workers": 2,
        "sessions_max": 4321,
        "timeouts": {"idle": "77s", "connect": "3s"},
        "limits": {"source_sessions": 2000},
        "message": {"level": "info"},
        "relay": {"splice": "off", "pending_max": "8KiB"},
        "resolve": {"interval": "33s"},
    }


def changed(path, value):
    """The good one with one value set anew."""
    def make(config, _):
        at = config = copy.deepcopy(config)
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value(config) if callable(value) else value
        return json.dumps(config, indent=1)
    return make


def added(entry):
    def make(config, place):
        return json.dumps({**config, "listeners": config["listeners"] + [entry(config, place)]}, indent=1)
    return make


def another(config, **fields):
    return {"upstream": config["listeners"][0]["upstream"], "name": "another", **fields}


def text_of(change):
    return lambda config, _: change(json.dumps(config, indent=1))


def in_use(config, place):
    return another(config, listen=place.taken)


# What is wrong, the text that says so, and what the errors must say: of the first, with its place in the file.
BAD = {
    "syntax": (text_of(lambda text: text.replace('"workers": 2', '"workers": 2]')), AT),
    "indentation": (text_of(lambda _: "listeners:\n  - listen: 127.0.0.1:1\n upstream: none\n"), AT),
    "no map": (text_of(lambda _: "just words\n"), AT),
    "a list": (text_of(lambda _: "- listen: 127.0.0.1:1\n  upstream: none\n"), AT),
    "two documents": (text_of(lambda text: text + "\n---\nworkers: 2\n"), AT),
    "cut": (text_of(lambda text: text[:len(text) // 2]), AT),
    "cut in a word": (text_of(lambda text: text[:text.index("sessions_max") + 3]), AT),
    "empty": (text_of(lambda _: ""), "listener"),
    "only a comment": (text_of(lambda _: "# nothing yet\n"), "listener"),
    "binary": (text_of(lambda _: random.Random(1).randbytes(5000)), ""),
    "zeros": (text_of(lambda _: bytes(4096)), ""),
    "another encoding": (text_of(lambda text: text.encode("utf-16")), ""),
    "too large": (text_of(lambda text: text + "\n# " + "x" * (1 << 20)), "1MiB|1 MiB|1048576|too (large|long|big)"),
    "an alias bomb": (text_of(lambda _: "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), AT),
    "nested too deep": (text_of(lambda _: "listeners: " + "[" * 200 + "]" * 200), AT),
    "an unknown key": (changed(["sesions_max"], 5), AT + ".*sesions_max"),
    "an unknown key of a listener": (changed(["listeners", 0, "upstrem"], "x:1"), AT + ".*upstrem"),
    "an unknown key in a group": (changed(["timeouts", "idel"], "1s"), AT + ".*idel"),
    "a key twice": (text_of(lambda text: text.replace('"workers": 2', '"workers": 2, "workers": 3')), AT + ".*workers"),
    "a list for a number": (changed(["sessions_max"], [1, 2]), AT + ".*sessions_max"),
    "a map for a number": (changed(["workers"], {"a": 1}), AT + ".*workers"),
    "a number for a group": (changed(["timeouts"], 5), AT + ".*timeouts"),
    "a word for a number": (changed(["sessions_max"], "many"), AT + ".*sessions_max"),
    "a fraction": (changed(["sessions_max"], 1.5), AT + ".*sessions_max"),
    "null": (changed(["sessions_max"], None), AT + ".*sessions_max"),
    "no duration": (changed(["timeouts", "idle"], "7 parsecs"), AT + ".*timeouts.idle"),
    "no choice": (changed(["relay", "splice"], "maybe"), AT + ".*relay.splice"),
    "no level": (changed(["message", "level"], "shout"), AT + ".*message.level"),
    "no mode": (changed(["listeners", 2, "unix_mode"], "0999"), AT + ".*unix_mode"),
    "too many": (changed(["workers"], 9999), AT + ".*workers"),
    "too few": (changed(["sessions_max"], -1), AT + ".*sessions_max"),
    "too long": (changed(["timeouts", "connect"], "11m"), AT + ".*timeouts.connect"),
    "more than 64 bits": (changed(["sessions_max"], 2**70), AT + ".*sessions_max"),
    "no listener": (changed(["listeners"], []), "listener"),
    "65 listeners": (changed(["listeners"], [{"listen": f"127.0.0.1:{port}", "upstream": "none"}
                                             for port in range(20000, 20065)]), "64"),
    "a listener without upstream": (added(lambda config, place: {"listen": place.free}), "upstream"),
    "a listener without address": (added(lambda config, place: another(config)), "listen"),
    "no address": (changed(["listeners", 0, "listen"], "127.0.0.1"), AT + ".*127.0.0.1"),
    "no port": (changed(["listeners", 0, "listen"], "127.0.0.1:99999"), AT + ".*99999"),
    "no upstream": (changed(["listeners", 0, "upstream"], "127.0.0.1"), AT + ".*127.0.0.1"),
    "no upstream's port": (changed(["listeners", 0, "upstream"], "127.0.0.1:0"), AT + ".*127.0.0.1:0"),
    "an upstream's word": (changed(["listeners", 1, "upstream", 0], "127.0.0.1:1 heavy"), AT + ".*heavy"),
    "an upstream twice": (changed(["listeners", 1, "upstream"], ["127.0.0.1:1", "127.0.0.1:1"]), AT + ".*127.0.0.1:1"),
    "two of one name": (changed(["listeners", 1, "name"], "web"), ".*web"),
    "two at one address": (changed(["listeners", 1, "listen"], lambda config: config["listeners"][0]["listen"]),
                           "{web}"),
    "one of all addresses": (added(lambda config, place: another(
        config, listen=":" + config["listeners"][0]["listen"].rsplit(":", 1)[1])), "{web_port}"),
    "in use by another": (added(in_use), "{taken}.*in use"),
    "in use, behind changes": (lambda config, place: added(in_use)(
        {**config, "sessions_max": 1, "message": {"level": "error"}}, place), "{taken}.*in use"),
    "not this host's": (added(lambda config, place: another(config, listen="192.0.2.1:80")), "192.0.2.1:80"),
    "no directory for a socket": (added(lambda config, place: another(
        config, listen=f"unix:{place.scratch}/none/socket")), "none/socket"),
    "a file is where a socket would be": (added(lambda config, place: another(
        config, listen=f"unix:{place.ballast}")), "ballast.*in use"),
    "a file that cannot be written": (lambda config, place: json.dumps(
        {**config, "stats": {"metrics_file": f"{place.scratch}/none/x.prom"}}), "cannot write.*none/x.prom"),
}


class Place:
    """What the bad ones refer to."""

    def __init__(self, scratch, stack):
        self.scratch = scratch
        self.taken = processes.address(*stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname())
        self.free = processes.address("127.0.0.1", processes.free_port())
        self.ballast = scratch / "ballast"
        self.ballast.write_text("not a socket")


def in_force(configured, process):
    """All that can be seen of it from outside, but for what is counted."""
    stats = configured.ask("stats")
    upstreams = configured.ask("upstreams")["upstreams"]
    metrics = configured.ask("metrics")["text"]
    return {
        "config": configured.ask("config")["text"],
        "stats": {name: stats[name] for name in ("pid", "state", "started", "dir", "store", "workers", "listeners")},
        "upstreams": [[upstream[name] for name in ("listener", "name", "address", "state", "backup", "weight")]
                      for upstream in upstreams],
        "series": sorted({re.sub(r" \S+$", "", line) for line in metrics.splitlines()}),
        "listening": sockets_of(process),
    }


def sockets_of(process):
    """The addresses on which it listens, by the kernel's word."""
    inodes = set()
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(OSError):
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{process.pid}/fd/{name}"))
            inodes |= {found.group(1)} if found else set()
    with open("/proc/net/tcp") as table:
        fields = [line.split() for line in table.readlines()[1:]]
    return sorted((line[1], line[9]) for line in fields if line[3] == "0A" and line[9] in inodes)


def check_refused(configured, expected, words):
    """By the command, for programs and for people: the same errors, and where they are."""
    status, reply = configured.reload()
    assert status == 3 and reply["ok"] is False and reply["errors"], reply
    assert reply["error"] == reply["errors"][0]
    pattern = expected.format(**words) if "{" in expected else expected
    if pattern.startswith(AT):
        pattern = re.escape(str(configured.file)) + pattern
    assert any(re.search(pattern, error) for error in reply["errors"]), (pattern, reply["errors"])
    done = configured.command("reload", check=False)
    assert done.returncode == 3 and done.stdout == b"" and b"nothing has changed" in done.stderr
    for error in reply["errors"]:
        assert error in done.stderr.decode()


def write(configured, text):
    if isinstance(text, bytes):
        other = configured.file.with_suffix(".new")
        other.write_bytes(text)
        os.replace(other, configured.file)
    else:
        configured.write_text(text)


def test_no_bad_file_changes_anything_under_load(configured, scratch, server):
    config = good(server, scratch)
    web, ssh, local = config["listeners"]
    configured.write_text(json.dumps(config, indent=1))
    process = configured.start()
    with contextlib.ExitStack() as stack:
        place = Place(scratch, stack)
        words = {"web": re.escape(web["listen"]), "web_port": web["listen"].rsplit(":", 1)[1],
                 "taken": re.escape(place.taken)}
        clients = stack.enter_context(Clients(web["listen"], staying=50, rounds=200))  # few and long ones
        before = in_force(configured, process)
        assert "sessions_max: 4321" in before["config"] and "level: info" in before["config"]
        for name, (make, expected) in BAD.items():
            write(configured, make(config, place))
            try:
                check_refused(configured, expected, words)
                after = in_force(configured, process)
                assert after == before
                for entry in (web, ssh, local):
                    said(entry["listen"])
                clients.more(1)
                clients.stay(b"not disturbed")
            except (AssertionError, OSError) as error:
                raise AssertionError(f"{name}: {error}") from error
        # Compared by the gateway itself, option by option: what is read now is what it works by.
        configured.write_text(json.dumps(config, indent=1))
        assert configured.reload() == (0, {"ok": True, "changed": [], "restart": [], "warnings": []})
        sent = clients.end()
        assert in_force(configured, process)["config"] == before["config"]
    assert process.stop(60) == 0
    recorded = configured.digests()
    assert len(recorded) == len(sent) + 3 * len(BAD)
    for digest in sent:
        recorded.remove(digest)
    configured.verify()


def no_file(configured):
    configured.file.unlink()


def a_directory(configured):
    configured.file.unlink()
    configured.file.mkdir()


def a_pipe(configured):
    configured.file.unlink()
    os.mkfifo(configured.file)


def a_loop(configured):
    configured.file.unlink()
    configured.file.symlink_to(configured.file.name)


def an_unreadable_one(configured):
    configured.file.chmod(0)


def a_device(configured):
    configured.file.unlink()
    configured.file.symlink_to("/dev/null")


def no_directory(configured):
    configured.file.parent.rename(configured.file.parent.with_name("elsewhere"))


def give_back(configured, text):
    """As it was."""
    elsewhere = configured.file.parent.with_name("elsewhere")
    if elsewhere.exists():
        elsewhere.rename(configured.file.parent)
    if configured.file.is_dir() and not configured.file.is_symlink():
        shutil.rmtree(configured.file)
    configured.write_text(text)


@pytest.mark.parametrize("break_it", (no_file, a_directory, a_pipe, a_loop, an_unreadable_one, a_device, no_directory))
def test_no_file_that_cannot_be_read_changes_anything_under_load(configured, scratch, server, break_it):
    user = ["--user", "nobody"] if break_it is an_unreadable_one and os.geteuid() == 0 else []  # root reads every file
    place = scratch / "etc"
    place.mkdir()
    configured.file = place / "gateway.yaml"
    config = good(server, scratch)
    web = config["listeners"][0]
    if user:
        del config["listeners"][2]  # whose path that user may not make
        (scratch / "home").mkdir()
        configured.directory = scratch / "home" / "rec"
    text = json.dumps(config, indent=1)
    configured.write_text(text)
    process = configured.start(*user)
    with Clients(web["listen"], staying=20) as clients:
        before, held = in_force(configured, process), descriptors(process)
        break_it(configured)
        empty = break_it is a_device  # and where the sandbox is, no device can be read
        unwritten = ": nobody writes to this pipe" if break_it is a_pipe else ""
        check_refused(configured, "listener|denied" if empty else re.escape(str(configured.file)) + unwritten, {})
        process.popen.send_signal(signal.SIGHUP)
        configured.wait_event(process, "not reloaded", count=3)
        assert in_force(configured, process) == before
        clients.more(5)
        clients.stay(b"not disturbed")
        give_back(configured, text)
        assert configured.reload()[1]["changed"] == []
        clients.end()
    processes.wait_until(lambda: descriptors(process) < held, 20, "no more descriptors than before")
    assert process.stop() == 0


def test_a_pipe_that_says_nothing_holds_nobody_up(configured, scratch, server):
    """Somebody has its other end open: the gateway gives up, and ends when it is told to."""
    text = json.dumps(good(server, scratch), indent=1)
    web = json.loads(text)["listeners"][0]
    configured.write_text(text)
    process = configured.start()
    configured.file.unlink()
    os.mkfifo(configured.file)
    end = os.open(configured.file, os.O_RDWR)
    try:
        check_refused(configured, "timed out", {})
        said(web["listen"])
    finally:
        os.close(end)
    give_back(configured, text)
    assert configured.reload()[1]["changed"] == []
    assert process.stop() == 0


def test_what_needs_a_restart_is_not_in_force_before_it(configured, scratch, server):
    config = good(server, scratch)
    configured.write_text(json.dumps(config, indent=1))
    process = configured.start()
    with Clients(config["listeners"][0]["listen"], staying=20) as clients:
        before = in_force(configured, process)
        configured.write_text(json.dumps({**config, "workers": 1, "log": {"max": "1GiB"}, "sync": {"mode": "never"}}))
        status, reply = configured.reload()
        assert status == 0 and reply["changed"] == [] and len(reply["restart"]) == 3
        for key, line in zip(("log.max", "sync.mode", "workers"), sorted(reply["restart"])):
            assert line.startswith(key) and line.endswith("needs a restart")
        assert in_force(configured, process) == before
        clients.more(5)
        clients.end()
    assert process.stop() == 0


def test_what_is_in_force_is_told(configured, scratch, server):
    """By the same words as --print-config, which a gateway can be started by."""
    config = good(server, scratch)
    configured.write_text(json.dumps(config, indent=1))
    process = configured.start()
    told = configured.command("stats", "--format", "config").stdout.decode()
    assert told == configured.ask("config")["text"]
    configured.write_text(json.dumps({**config, "sessions_max": 17}))
    assert "sessions_max: 17" not in configured.command("stats", "--format", "config").stdout.decode()
    assert configured.reload()[0] == 0
    assert "sessions_max: 17" in configured.command("stats", "--format", "config").stdout.decode()
    assert process.stop() == 0
    configured.write_text(told)
    process = configured.start()
    assert configured.ask("config")["text"] == told
    with connect(config["listeners"][0]["listen"]) as peer:
        exchange(peer, b"by its own words")
    assert process.stop() == 0
