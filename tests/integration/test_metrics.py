# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text form of the metrics: what it says against a strict parser, and against the recording."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import stat
import threading
import time

import pytest

import faults
import gogetway
import peers
import processes
from processes import free_address
from prometheus import BUILD, CONNECT, FAILURES, FIRST_BYTE, FLOW, START, check_against_recording, parse, value


def test_the_parser_forgives_nothing():
    good = ('# HELP gogetway_a_seconds x\n# TYPE gogetway_a_seconds histogram\n'
            'gogetway_a_seconds_bucket{l="\\"\\\\\\n",le="0.5"} 1\n'
            'gogetway_a_seconds_bucket{l="\\"\\\\\\n",le="+Inf"} 2\n'
            'gogetway_a_seconds_sum{l="\\"\\\\\\n"} 1.25\ngogetway_a_seconds_count{l="\\"\\\\\\n"} 2\n')
    assert value(parse(good), "gogetway_a_seconds", "_sum", l='"\\\n') == 1.25
    lines = good.splitlines(keepends=True)
    bad = {
        "no HELP": "".join(lines[1:]), "no TYPE": "".join(lines[:1] + lines[2:]), "cut": good[:-1],
        "twice": good + lines[-1], "an empty line": good + "\n", "no +Inf": "".join(lines[:3] + lines[4:]),
        "unordered": "".join(lines[:2] + [lines[3], lines[2]] + lines[4:]), "no count": "".join(lines[:-1]),
        "falling": good.replace('0.5"} 1', '0.5"} 3'), "another count": good.replace("} 2\n", "} 3\n", 1),
        "a bad sum": good.replace("1.25", "0.25"), "a wrong type": good.replace("histogram", "counter"),
        "a name among others": good + "gogetway_b 1\n", "not a number": good.replace("1.25", "1,25"),
        "no quote": good.replace('le="0.5"', "le=0.5"), "TYPE last": "".join(lines[:1] + lines[2:] + lines[1:2]),
        "an info of 2": "# HELP gogetway_a_info x\n# TYPE gogetway_a_info gauge\ngogetway_a_info{l=\"x\"} 2\n",
        "an info of nothing": "# HELP gogetway_a_info x\n# TYPE gogetway_a_info gauge\ngogetway_a_info 1\n",
        "a bad escape": good.replace("\\n", "\\t"), "nothing": "\n",
    }
    for what, text in bad.items():
        with pytest.raises((AssertionError, KeyError, IndexError, ValueError)):
            parse(text)
            pytest.fail(f"{what}: it was taken")


QUEUE = "gogetway_listener_accept_queue_clients"
QUEUE_LONGEST = "gogetway_listener_accept_queue_longest_clients"
QUEUE_LIMIT = "gogetway_listener_accept_queue_limit_clients"


# ── Against the recording ─────────────────────────────────────────────────────────────────────────────────────────────

def asked(gateway):
    """By the program, and by the control socket itself: both are parsed, and are the same but for what goes on."""
    text = gateway.command("stats", "--format", "prometheus").stdout.decode()
    reply = gateway.ask("metrics")
    assert reply["ok"] is True and reply["content_type"] == "text/plain; version=0.0.4; charset=utf-8"
    first, second = parse(text), parse(reply["text"])
    assert {name: list(family.samples) for name, family in first.items()} == {
        name: list(family.samples) for name, family in second.items()}
    return second


def listener_words(name, listen, upstream, *more):
    return ["--listen", listen, "--upstream", upstream, "--name", name, *more]


def fetch(address, path, more=()):
    processes.run(["curl", "-sS", "-o", "/dev/null", *more, f"http://{address}/{path}"], 60)


def test_totals_are_the_recordings(gateways, scratch):
    """Real clients over two listeners; refused, silent and unresolved upstreams; a honeypot; a bad PROXY header."""
    root = scratch / "root"
    root.mkdir()
    sizes = [0, 1, 1000, 70000, 3 << 20]
    for number, size in enumerate(sizes):
        peers.random_file(root / f"file{number}", size, number)
    metrics_file = scratch / "gogetway.prom"
    listen = {name: free_address() for name in ("echo", "refused", "silent", "unresolved", "pot", "proxied")}
    listen["unix"] = f"unix:{scratch}/in \"quoted\"\\"
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(peers.nginx(scratch, root))
        echo = stack.enter_context(faults.Echo(f"unix:{scratch}/echo \"quoted\"\\"))
        silent = stack.enter_context(faults.silent_address())
        refused = free_address()
        words = ["--name", "web", "--workers", "2", "--timeouts-connect", "400ms", "--metrics-file", metrics_file,
                 "--metrics-interval", "100ms"]
        words += listener_words("echo", listen["echo"], echo.address)
        words += listener_words("refused", listen["refused"], refused)
        words += listener_words("silent", listen["silent"], silent)
        words += listener_words("unresolved", listen["unresolved"], "nowhere.invalid:80")
        words += listener_words("pot", listen["pot"], "none", "--greeting", "login: ")
        words += listener_words("proxied", listen["proxied"], web.address, "--proxy-protocol-in", "v1", "--trusted",
                                "127.0.0.0/8")
        words += listener_words("unix", listen["unix"], echo.address)
        gateway = gateways(web.address, options=words)
        for number in range(len(sizes)):
            fetch(gateway.listen, f"file{number}")
        fetch(gateway.listen, "file[0-4]")  # one connection
        fetch(gateway.listen, "missing", ["--http1.0"])
        fetch(listen["proxied"], "file3", ["--haproxy-protocol"])
        assert faults.attempt(listen["proxied"], b"GET / HTTP/1.0\r\n\r\n")[0] == b""
        generator = random.Random(5)
        for name, count in (("echo", 20), ("unix", 3)):
            for _ in range(count):
                data = generator.randbytes(generator.randrange(1, 100000))
                with faults.connect(listen[name]) as client:
                    client.sendall(data)
                    assert faults.read_exactly(client, len(data)) == data
        for name, count in (("refused", 3), ("silent", 2), ("unresolved", 2)):
            for _ in range(count):
                assert faults.attempt(listen[name], b"anybody?")[0] == b""
        for _ in range(4):
            with faults.connect(listen["pot"]) as client:
                assert faults.read_exactly(client, 7) == b"login: "
                client.sendall(b"root\r\n")
                client.shutdown(socket.SHUT_WR)
                assert faults.read_to_end(client) == (b"", False)
        with faults.connect(listen["echo"]) as waiting:  # open while it is asked
            waiting.sendall(b"x")
            assert faults.read_exactly(waiting, 1) == b"x"
            families = asked(gateway)
            assert value(families, FLOW["open"], listener="echo", upstream=echo.address) == 1
        faults.wait_metric(gateway, "sessions_closed", value(families, "gogetway_sessions_opened_total"))
        before = asked(gateway)
        status, log = gateway.stop()
    assert status == 0, log
    sessions = gateway.sessions()
    after = parse(metrics_file.read_text())
    for families in (before, after):
        check_against_recording(families, sessions)
        assert value(families, FAILURES, listener="refused", upstream=refused, kind="refused") == 3
        assert value(families, FAILURES, listener="silent", upstream=silent, kind="timed_out") == 2
        assert value(families, FAILURES, listener="unresolved", upstream="nowhere.invalid:80", kind="unresolved") == 2
        assert value(families, FLOW["closed"], listener="pot", upstream="none") == 4
        assert value(families, FLOW["received"], listener="pot", upstream="none", side="server") == 4 * 7
        assert value(families, FLOW["closed"], listener="proxied", upstream="") == 1
        assert value(families, FLOW["closed"], listener="proxied", upstream=web.address) == 1
        assert not any(dict(labels)["listener"] == "pot" for _, labels in families[CONNECT].samples)
        for name, count in (("echo", 21), ("unix", 3), ("web", 7)):
            assert value(families, CONNECT, "_count", listener=name) == count
            assert value(families, FIRST_BYTE, "_count", listener=name) == count
        for name in ("refused", "silent", "unresolved"):
            assert value(families, CONNECT, "_count", listener=name) == 0
            assert value(families, FLOW["received"], listener=name, side="server") == 0
    assert stat.S_IMODE(os.stat(metrics_file).st_mode) == 0o644


def test_what_runs_and_since_when(gateways, scratch):
    """By the socket and in the file, once each; it stays while the gateway runs, and is another at the next start."""
    file = scratch / "gogetway.prom"
    version = processes.run([gogetway.program(), "--version"]).stdout.decode().split()[1]
    began = []
    for _ in range(2):
        before = time.time()
        gateway = gateways("none", options=["--metrics-file", file, "--metrics-interval", "1d"])
        after = time.time()
        families = asked(gateway)
        assert families[BUILD].samples == {("", (("version", version),)): 1} and families[BUILD].type == "gauge"
        assert before <= value(families, START) <= after and families[START].type == "gauge"
        assert gateway.stats()["metrics"]["start_time_ns"] == pytest.approx(value(families, START) * 1e9, abs=1e3)
        assert gateway.stop()[0] == 0
        last = parse(file.read_text())
        assert value(last, START) == value(families, START) and value(last, BUILD, version=version) == 1
        began.append(value(last, START))
    assert began[0] < began[1]


def test_the_first_byte_is_timed_from_the_connect(gateways):
    """An upstream that takes its time to say something, and one that never says anything."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address)
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            client.sendall(b"hello")
            assert faults.read_exactly(server, 5) == b"hello"
            assert value(asked(gateway), FIRST_BYTE, "_count") == 0
            assert not processes_ready(server, 0.3)  # the upstream's time to think is the test's input
            server.sendall(b"a")
            assert faults.read_exactly(client, 1) == b"a"
            server.sendall(b"b")
            assert faults.read_exactly(client, 1) == b"b"
        with faults.connect(gateway.listen), upstream.accept():
            faults.wait_metric(gateway, "sessions_opened", 2)
        faults.wait_metric(gateway, "sessions_closed", 2)
        families = asked(gateway)
        assert value(families, CONNECT, "_count") == 2 and value(families, FIRST_BYTE, "_count") == 1
        assert 0.3 <= value(families, FIRST_BYTE, "_sum") < 20
        assert value(families, CONNECT, "_sum") < 0.3


def processes_ready(sock, seconds):
    """Whether something can be read within the time."""
    sock.settimeout(seconds)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        sock.settimeout(20)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_waits_to_be_accepted(gateways, scratch, workers):
    """A listener at its limit: the gauge tells those that it leaves waiting, as ss does; a unix listener has none."""
    path = f"unix:{scratch}/in"
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=[
            "--name", "web", "--workers", workers, "--listener-sessions-max", 3,
            *listener_words("other", free_address(), upstream.address),
            *listener_words("unix", path, upstream.address)])
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(faults.connect(gateway.listen)) for _ in range(10)]
            faults.wait_metric(gateway, "sessions_open", 3)
            faults.wait_metric(gateway, "accept_pauses", 1)
            families = asked(gateway)
            waiting = 10 - value(families, FLOW["open"], listener="web")
            assert waiting >= 10 - 3 - (workers - 1)  # two workers may each see the last free place
            assert value(families, QUEUE, listener="web") == waiting
            assert waiting / workers <= value(families, QUEUE_LONGEST, listener="web") <= waiting
            limit = min(4096, int(pathlib.Path("/proc/sys/net/core/somaxconn").read_text()))
            assert value(families, QUEUE_LIMIT, listener="web") == limit
            assert value(families, QUEUE, listener="other") == 0
            assert value(families, QUEUE_LIMIT, listener="other") == limit
            assert {dict(labels)["listener"] for _, labels in families[QUEUE].samples} == {"web", "other"}
            if shutil.which("ss"):
                port = gateway.listen.rsplit(":", 1)[1]
                lines = processes.run(["ss", "-Hltn", f"sport = :{port}"]).stdout.decode().splitlines()
                assert sum(int(line.split()[1]) for line in lines) == waiting
                assert {int(line.split()[2]) for line in lines} == {limit}
            for client in clients:
                client.sendall(b"x")
            faults.read_from_all(clients, b"x")  # whose turn it is depends on the worker whose queue it is in
        faults.wait_metric(gateway, "sessions_closed", 10)
        families = asked(gateway)
        assert value(families, QUEUE, listener="web") == value(families, QUEUE_LONGEST, listener="web") == 0
        assert gateway.stop()[0] == 0


# ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_the_file_is_whole_whenever_it_is_read(gateways, scratch):
    """Looked for and read in a loop while it is replaced: it is always there, each time with a whole text, whose
    counters only grow. Who has it open keeps what he opened."""
    file = scratch / "gogetway.prom"
    stop = threading.Event()
    texts, failures, times = [], [], set()
    with faults.Echo() as echo:
        gateway = gateways(echo.address, options=["--metrics-file", file, "--metrics-interval", "100ms"])
        processes.wait_until(file.exists, 5, "the metrics file")

        def read():
            try:
                while not stop.is_set():
                    for _ in range(100):
                        times.add(os.stat(file).st_mtime_ns)
                    text = file.read_text()
                    if not texts or texts[-1] != text:
                        texts.append(text)
            except OSError as error:
                failures.append(error)
        reader = threading.Thread(target=read)
        reader.start()
        held = file.open()
        held_text = held.read()
        try:
            for number in range(200):
                with faults.connect(gateway.listen) as client:
                    client.sendall(b"x" * number)
                    faults.read_exactly(client, number)
            processes.wait_until(lambda: failures or len(times) >= 15, 20, "fifteen writes")
        finally:
            stop.set()
            reader.join()
        inode = os.stat(file).st_ino
        processes.wait_until(lambda: os.stat(file).st_ino != inode, 20, "another file of the name")
        assert gateway.stop()[0] == 0
    assert not failures
    with held:
        held.seek(0)
        assert held.read() == held_text
    last = 0
    assert len(texts) > 1
    for text in texts:
        total = value(parse(text, still=False), FLOW["closed"])
        assert total >= last
        last = total
    final = parse(file.read_text())
    assert value(final, FLOW["closed"]) == 200 and value(final, FLOW["received"]) == 2 * sum(range(200))
    assert [path.name for path in scratch.glob("gogetway.prom*")] == [file.name], "a temporary file is left"


def test_it_is_written_at_start_and_at_exit(gateways, scratch):
    """With an interval that never comes; whatever the umask, everybody may read it."""
    file = scratch / "gogetway.prom"
    mask = os.umask(0o077)
    try:
        with faults.Echo() as echo:
            gateway = gateways(echo.address, options=["--metrics-file", file, "--metrics-interval", "1d"])
            processes.wait_until(file.exists, 20, "the metrics file")
            assert value(parse(file.read_text()), FLOW["closed"]) == 0
            with faults.connect(gateway.listen) as client:
                client.sendall(b"abc")
                assert faults.read_exactly(client, 3) == b"abc"
            assert gateway.stop()[0] == 0
    finally:
        os.umask(mask)
    check_against_recording(parse(file.read_text()), gateway.sessions())
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o644


@pytest.mark.parametrize("path", ["missing/gogetway.prom", "directory"])
def test_a_path_that_cannot_be_written_is_an_error_at_start(scratch, require_program, path):
    (scratch / "directory").mkdir()
    gateway = gogetway.Gateway(scratch / "rec", "none", options=["--metrics-file", scratch / path], scratch=scratch)
    gateway.start(wait=False)
    assert gateway.process.wait(20) == 3
    assert f"cannot write {scratch / path}" in gateway.process.errors()


def test_a_failure_later_is_a_warning(gateways, scratch):
    """The directory goes and comes back: warned of once, written again, and the gateway's end is good."""
    place = scratch / "collector"
    place.mkdir()
    # A directory that is made anew is another one to the sandbox.
    gateway = gateways("none", options=["--metrics-file", place / "gogetway.prom", "--metrics-interval", "100ms",
                                        "--sandbox", "off"])
    place.rename(scratch / "elsewhere")
    faults.wait_event(gateway, "metrics file not written")
    place.mkdir()
    faults.wait_event(gateway, "metrics file written again")
    parse((place / "gogetway.prom").read_text())
    (scratch / "gone").mkdir()
    place.rename(scratch / "gone" / "away")
    processes.wait_until(lambda: len(faults.events(gateway, "metrics file not written")) == 2, 20, "the second warning")
    status, log = gateway.stop()
    assert status == 0, log
    warnings = faults.events(gateway, "metrics file not written")
    assert len(warnings) == 2 and all(line["level"] == "warning" for line in warnings)


def test_words_that_are_wrong(gateways, scratch):
    gateway = gateways("none")
    done = gateway.command("stats", "--format", "xml", check=False)
    assert done.returncode == 2 and b"--format xml is not known" in done.stderr
    assert json.loads(gateway.command("stats", "--format", "json").stdout)["ok"] is True
    same = pathlib.Path(scratch) / "same"
    done = gateway.command("run", "--listen", "127.0.0.1:0", "--upstream", "none", "--stats", same, "--metrics-file",
                           same, "--check-config", check=False)
    assert done.returncode == 2 and b"are the same file" in done.stderr
