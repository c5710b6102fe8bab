# SPDX-License-Identifier: Apache-2.0
"""Filters on real recordings: what the program chooses is what one would choose by its JSON; errors; order; limits."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

import processes
from gogetway import Gateway, Store, program, tool

SIZES = [0, 1, 700, 5000, 70000, 300000]


class Answering:
    """Takes a number and a newline, and answers with so many bytes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(ConnectionResetError):
                line = peer.makefile("rb").readline()
                peer.sendall(b"x" * int(line or 0))

    def close(self):
        self.listener.close()


def ask(address, size):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(b"%d\n" % size)
        while peer.recv(65536):
            pass


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a session for each size, and one that is reset before it has said anything."""
    folder = tmp_path_factory.mktemp("filters")
    server = Answering()
    with Gateway(folder / "rec", upstream=server.address, scratch=folder) as gateway:
        for size in SIZES:
            ask(gateway.listen, size)
        peer = socket.create_connection(gateway.listen.rsplit(":", 1))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        processes.wait_until(lambda: len(gateway.sessions("state=closed")) == len(SIZES) + 1, 20, "all sessions closed")
        gateway.stop()
    server.close()
    assert len(gateway.sessions()) == len(SIZES) + 1
    return gateway


def told(store, *words, check=False):
    return store.command(*words, check=check, text=True)


def chosen(store, *words):
    return [session.id for session in store.sessions(*words)]


def total(session):
    return session["bytes"]["client"] + session["bytes"]["server"]


def by(store, choose):
    return [session.id for session in store.sessions() if choose(session)]


def test_expressions_choose_what_the_json_says(store):
    sessions = store.sessions()
    first = sessions[0]
    port = int(first["server"].rsplit(":", 1)[1])
    cases = {
        "bytes > 1k": lambda s: total(s) > 1024,
        "bytes.server = 5000": lambda s: s["bytes"]["server"] == 5000,
        "bytes.client = 0 and not close = client-fin":
            lambda s: s["bytes"]["client"] == 0 and s["close"] != "client-fin",
        "bytes.server in (1, 700, 65k..)": lambda s: s["bytes"]["server"] in (1, 700) or s["bytes"]["server"] >= 66560,
        "not (bytes.server < 700 or bytes.server > 70000)": lambda s: 700 <= s["bytes"]["server"] <= 70000,
        "packets.server >= 3 or close = client-reset":
            lambda s: s["packets"]["server"] >= 3 or s["close"] == "client-reset",
        "client = 127.0.0.0/8 and client != 10.0.0.0/8": lambda s: True,
        f"client = {first['client']}": lambda s: s["client"] == first["client"],
        f"port = {port} and server.port = {port}": lambda s: True,
        f"client.port = {first.client_port}": lambda s: s.client_port == first.client_port,
        f"{first.id}": lambda s: s.id == first.id,
        f"id = {first.id} or bytes.server = 1": lambda s: s.id == first.id or s["bytes"]["server"] == 1,
        "close = client-*": lambda s: s["close"].startswith("client-"),
        "close in (client-reset, drain)": lambda s: s["close"] in ("client-reset", "drain"),
        "state = closed": lambda s: s["state"] == "closed",
        f"start <= {first['start']}": lambda s: s["start"] <= first["start"],
        f"start > {first['start']} and end < {sessions[-1]['end']}":
            lambda s: s["start"] > first["start"] and s["end"] < sessions[-1]["end"],
        "start > -1h since=1h until=now": lambda s: True,
        "start < -1h": lambda s: False,
        "duration < 1h and duration >= 0s": lambda s: True,
        f"duration > {first['duration_ns']}ns": lambda s: s["duration_ns"] > first["duration_ns"],
        "segments = 1 and not foreign and partial = no and gaps = 0": lambda s: True,
        "held": lambda s: s["held"],
        "tag != nothing": lambda s: True,
        f"upstream = '{first['upstream']}'": lambda s: s["upstream"] == first["upstream"],
        "conn_state = SF": lambda s: s["conn_state"] == "SF",
        "history = Sh*": lambda s: s["history"].startswith("Sh"),
        "verdict = '' and why = ''": lambda s: not s["verdict"] and not s["why"],
    }
    for expression, choose in cases.items():
        assert chosen(store, "--filter", expression) == by(store, choose), expression
        assert chosen(store, "--filter", f"not ({expression})") == by(store, lambda s: not choose(s)), expression


def test_words_and_expressions_all_hold(store):
    assert chosen(store, "bytes.server=700..", "--filter", "bytes.server < 70000") == \
        by(store, lambda s: 700 <= s["bytes"]["server"] < 70000)
    assert chosen(store, "--filter", "bytes.server > 0", "--filter", "bytes.server <= 1") == \
        by(store, lambda s: s["bytes"]["server"] == 1)
    assert chosen(store, "bytes.server>700") == by(store, lambda s: s["bytes"]["server"] > 700)
    assert chosen(store, "--filter", "") == chosen(store)


def test_regular_expressions(store):
    done = told(store, "sessions", "--filter", "close ~ x")
    if "without regular expressions" in done.stderr:
        pytest.skip("built without PCRE2")
    assert chosen(store, "--filter", "close ~ '^client-(fin|reset)$'") == \
        by(store, lambda s: re.search("^client-(fin|reset)$", s["close"]))
    assert chosen(store, "close!~reset") == by(store, lambda s: "reset" not in s["close"])


def test_order_and_limit(store):
    def sizes(*words):
        return [total(session) for session in store.sessions(*words)]

    everything = sizes()
    assert sizes("--sort", "bytes") == sorted(everything)
    assert sizes("--sort=-bytes") == sorted(everything, reverse=True)
    assert sizes("--sort", "-bytes", "--limit", "2") == sorted(everything, reverse=True)[:2]
    assert sizes("--limit", "3") == everything[:3]
    assert sizes("-n1", "-s", "-bytes", "--filter", "bytes < 70000") == [max(n for n in everything if n < 70000)]
    assert [s["start"] for s in store.sessions("--sort", "-start")] == \
        sorted((s["start"] for s in store.sessions()), reverse=True)
    table = told(store, "sessions", "--sort", "-bytes", "--limit", "1", check=True).stdout.splitlines()
    assert len(table) == 2 and " 300000 " in table[1]


def test_following_in_order(store, tmp_path):
    """What is there comes first, so many of it, in the order asked for."""
    command = [program(), "sessions", "--follow", "--json", "--sort", "-bytes", "--limit", "2", "--dir",
               store.directory]
    with processes.Process(command, tmp_path, name="follow") as child:
        processes.wait_until(lambda: child.output().count("\n") >= 2, 20, "two sessions")
        assert child.stop() == 0
        lines = [json.loads(line) for line in child.output().splitlines()]
    assert [total(line) for line in lines] == sorted((total(s) for s in store.sessions()), reverse=True)[:2]


def test_other_commands_take_expressions(store, tmp_path):
    one = by(store, lambda s: s["bytes"]["server"] == 700)[0]
    raw = told(store, "show", "--filter", "bytes.server = 700", "--as", "raw", "--from", "server").stdout
    assert raw == "x" * 700
    assert store.command("show", "--filter", "bytes.server > 0", check=False).returncode == 2
    store.command("export", "--filter", "bytes.server = 700", "--format", "raw", "-o", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"{one}.client", f"{one}.server"]
    assert store.command("verify", "--filter", "bytes.server = 700").returncode == 0
    plan = told(store, "replay", "--filter", "bytes.server = 700", "--to", "127.0.0.1:9", "--dry-run", "--json").stdout
    assert plan.count(one) >= 1 and not any(other in plan for other in chosen(store) if other != one)


def test_tags_and_holds_are_asked_for(store):
    store.command("tag", "--filter", "bytes.server in (1, 700)", "+small", "+odd")
    store.command("tag", "--filter", "bytes.server = 1", "+tiny", "-odd")
    store.command("hold", "--filter", "tag = tiny")
    for expression, sizes in {"tag = small": [1, 700], "tag = small and tag != odd": [1], "not tag in (tiny, odd)":
                              [0, 5000, 70000, 300000, 0], "held": [1], "tag = ?*y": [1]}.items():
        assert [s["bytes"]["server"] for s in store.sessions("--filter", expression)] == sizes, expression


def test_what_a_kill_has_cut(tmp_path):
    """Open while its gateway is there, cut when it is gone, whatever was noted of it meanwhile."""
    server = Answering()
    states = ["state = open", "state = cut", "state != closed", "not state in (open, closed)",
              "state = c* and held = no"]
    with Gateway(tmp_path / "rec", upstream=server.address, scratch=tmp_path) as gateway:
        ask(gateway.listen, 5)
        with socket.create_connection(gateway.listen.rsplit(":", 1)):
            processes.wait_until(lambda: gateway.sessions("state=open") and gateway.sessions("state=closed"), 20,
                                 "a session that is open and one that is closed")
            assert [len(gateway.sessions("--filter", text)) for text in states] == [1, 0, 1, 0, 1]
            gateway.kill()
        assert [len(gateway.sessions("--filter", text)) for text in states] == [0, 1, 1, 1, 2]
        assert len(gateway.sessions("--filter", "state = cut", "--sort", "-start", "--limit", "1")) == 1
    server.close()


@pytest.mark.parametrize("words, says, caret", [
    (["--filter", "bytes > 1M and clinet = 1"], "column 16: unknown field 'clinet'; did you mean 'client'?", 16),
    (["--filter", "port in (80, x)"], "column 14: port='x' is not understood; right would be 80", 14),
    (["--filter", "held ("], "column 7: a comparison", 7),
    (["--filter", "listener = 'ä' and x = 1"], "column 20: unknown field 'x'", 20),
    (["--filter", "x\033[31m = 1"], "column 1: unknown field 'x", None),
    (["--filter", " or ".join(f"port = {n}" for n in range(40)) + " or prot = 1"], "unknown field 'prot'", None),
    (["--filter", "(" * 33], "column 33: more than 32", 33),
    (["bytes>x"], "bytes='x' is not understood", None),
    (["--limit", "0"], "--limit 0 is no number from 1", None),
    (["--limit", "-1"], "--limit -1 is no number from 1", None),
    (["--sort", "byts"], "--sort: there is no field 'byts' to sort by; did you mean 'bytes'?", None),
    (["--sort", "tag"], "'tag' has no order to sort by", None),
    (["--filter"], "--filter needs a value", None),
])
def test_errors_say_where(store, words, says, caret):
    done = told(store, "sessions", *words)
    assert done.returncode == 2 and not done.stdout
    lines = done.stderr.splitlines()
    assert says in lines[0], lines
    assert "\033" not in done.stderr
    if caret:
        assert lines[1] == "  " + words[1] and lines[2] == " " * (caret + 1) + "^", lines
    elif "--filter" in words and len(words) > 1:
        assert len(lines) == 3 and lines[2].strip() == "^"
    else:
        assert len(lines) == 1


def test_every_field_of_the_help_works(store):
    """Each example of `gogetway help filters` is understood as a word and as an expression, and each * sorts."""
    text = processes.run([program(), "help", "filters"], text=True).stdout
    rows = [line.split(None, 3) for line in text[text.index("FIELD   "):].splitlines()
            if re.match(r"[a-z][a-z0-9_.]* +[a-z]+ +\S+ +\S", line)]
    assert len(rows) > 35 and sum("." in row[0] for row in rows) > 10  # of sessions, and of decoders
    for name, kind, example, told in rows:
        assert example.startswith(name) and kind and told
        words, expression = chosen(store, example), chosen(store, "--filter", example)
        assert words == expression, example
        done = store.command("sessions", "--json", "--sort", f"-{name}", check=False)
        assert done.returncode == (0 if told.endswith("*") else 2), name


# ── Totals ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = {"listener": lambda session: session["listener"], "protocol": lambda session: session["protocol"] or "",
        "hour": lambda session: session["start"][:13] + ":00Z", "day": lambda session: session["start"][:10],
        "close": lambda session: session["close"],
        "client": lambda session: session["client"].rsplit(":", 1)[0]}


def added(sessions, key):
    """{key: what a line of the totals says of it}"""
    sums = {}
    for session in sessions:
        entry = sums.setdefault(KEYS[key](session), {"sessions": 0, **{of: {"client": 0, "server": 0}
                                                                       for of in ("bytes", "gaps")}})
        entry["sessions"] += 1
        for of in ("bytes", "gaps"):
            for side in ("client", "server"):
                entry[of][side] += session[of][side]
    return sums


@pytest.mark.parametrize("words", [[], ["close=server-fin"], ["--filter", "bytes > 1K"], ["bytes=1M.."]], ids=str)
def test_totals_are_sums_of_the_sessions(store, words):
    lines = [json.loads(line) for line in store.command("stats", "--totals", "--json", *words).stdout.splitlines()]
    for key in KEYS:
        done = store.command("stats", "--totals", "--json", "--by", key, *words)
        told_of = {line.pop(key): line for line in map(json.loads, done.stdout.splitlines())}
        assert told_of == added(store.sessions(*words), key)
        if key in ("listener", "protocol", "hour"):  # as they are without --by
            assert {line[key]: {name: line[name] for name in line if name != key} for line in lines if key in line} == \
                told_of


def test_totals_of_more_than_a_day(scratch):
    """Of many hours the last are shown, and how to see the others."""
    made = scratch / "rec"
    processes.run([tool("encode_many"), made, "2000", "10", "1", "varied", str(20 * 10 ** 9)])
    store = Store(made)
    hours = told(store, "stats", "--totals").stdout.split("\n\n")[2].splitlines()
    assert hours[0].startswith("HOUR") and len(hours) == 1 + 1 + 24 + 1
    assert re.fullmatch(r"\(\d+ earlier: gogetway stats --totals --by hour\)", hours[1])
    every = told(store, "stats", "--totals", "--by", "hour").stdout.splitlines()
    assert every[-25:] == hours[-25:] and len(every) == 2 + 24 + int(hours[1][1:].split()[0])


# ── Long lists ───────────────────────────────────────────────────────────────────────────────────────────────────────

def listed(made, *words):
    """(the ids, the process's most resident bytes)"""
    with subprocess.Popen([program(), "sessions", "--json", "--dir", made, *words], stdout=subprocess.PIPE) as process:
        ids = [json.loads(line)["id"] for line in process.stdout]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return ids, usage.ru_maxrss << 10


def test_a_list_longer_than_memory(scratch):
    """In order, each once, whatever is on the border of two pages; and it takes no more memory than a page."""
    made = scratch / "rec"
    processes.run([tool("encode_many"), made, "65000", "5000", "1", "varied", "0"])  # all begin at one time, or nearly
    questions = ((), ("--limit", "30000"), ("listener=web", "--limit", "21000"))
    swept = {words: listed(made, *words)[0] for words in questions}
    processes.run([program(), "reindex", "--dir", made])
    assert {words: listed(made, *words)[0] for words in questions} == swept
    assert len(swept[()]) == len(set(swept[()])) == 65000
    shutil.rmtree(made)
    most = []
    for count in ("45000", "90000"):
        processes.run([tool("encode_many"), made, count, "5000", "1", "varied"])
        processes.run([program(), "reindex", "--dir", made])
        ids, memory = listed(made)
        assert len(ids) == len(set(ids)) == int(count)
        most.append(memory)
        shutil.rmtree(made)
    assert most[1] < most[0] * 1.25, most
