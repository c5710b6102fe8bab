# SPDX-License-Identifier: Apache-2.0
"""`gogetway run` and `stats` as a person meets them: start, stop, exit status, messages, and what is asked of a gateway
that runs."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import processes
from gogetway import ROOT, Gateway, program, tool

pytestmark = pytest.mark.usefixtures("require_program")
NOBODY = 65534


class Upstream:
    """Accepts on a free port of 127.0.0.1; what comes is the test's."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.address = processes.address(*self.listener.getsockname())

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(20)
        return connection


@pytest.fixture
def upstream():
    up = Upstream()
    with contextlib.closing(up.listener):
        yield up


def connect(listen):
    host, port = listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20)


@contextlib.contextmanager
def open_session(gateway, upstream):
    """A session through the gateway over which a byte has passed each way."""
    with connect(gateway.listen) as client, upstream.accept() as server:
        client.sendall(b"a")
        assert server.recv(1) == b"a"
        server.sendall(b"b")
        assert client.recv(1) == b"b"
        yield client, server


def run(*words, **options):
    return processes.run([program(), *words], check=False, text=True, **options)


def events(errors):
    return [json.loads(line) for line in errors.splitlines() if line.startswith("{")]


def event(errors, name):
    found = [entry for entry in events(errors) if entry["event"] == name]
    assert found, f"no {name!r} in:\n{errors}"
    return found[-1]


# ── The program ──────────────────────────────────────────────────────────────────────────────────────────────────────

def test_version_help_and_unknown_commands():
    assert run("--version").stdout.startswith("gogetway 0.")
    assert run("help").returncode == 0
    for command in ("run", "stats"):
        assert command in run("help").stdout
        for words in (("help", command), (command, "--help"), ("--help", command)):
            done = run(*words)
            assert done.returncode == 0 and "--dir" in done.stdout
    done = run("rnu")
    assert done.returncode == 2 and "did you mean 'run'?" in done.stderr
    assert run().returncode == 2
    done = run("stats", "--jsno")
    assert done.returncode == 2 and "did you mean --json?" in done.stderr
    done = run("\x1b[31mred")
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_the_manual_has_every_command_and_option():
    page = (ROOT / "docs/man/gogetway.1").read_text()
    commands = re.findall(r"^  ([a-z]+)  ", run("help").stdout, re.MULTILINE)
    assert "run" in commands and "stats" in commands
    for command in commands:
        assert f".It Cm {command}\n" in page, command
        for option in re.findall(r"^  +(?:-\w, )?--([a-z-]+)", run("help", command).stdout, re.MULTILINE):
            assert f"Fl -{option}" in page, f"{command} --{option}"


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([program(), "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3 and "No space left" in done.stderr


def test_all_errors_of_a_configuration_are_told_at_once(scratch):
    file = scratch / "bad.yaml"
    file.write_text("listeners:\n  - listen: 127.0.0.1:9000\n    upstrem: 127.0.0.1:80\n"
                    "workers: 9999\nlgo:\n  max: 1\n")
    done = run("run", "--check-config", "-c", str(file))
    assert done.returncode == 2 and done.stdout == ""
    assert f"{file}:3:5:" in done.stderr and "upstream" in done.stderr
    assert f"{file}:4:10:" in done.stderr
    assert f"{file}:5:1:" in done.stderr
    assert run("run", "-c", str(scratch / "none.yaml"), "--check-config").returncode == 2
    assert run("run").returncode == 2


def test_a_printed_configuration_reads_back_as_itself(scratch):
    words = ["--listen", "127.0.0.1:9000", "--upstream", "none", "--greeting", r"hi\r\n", "--listen", ":9001",
             "--upstream", "unix:/run/x", "--dir", str(scratch / "rec"), "--log-max", "64MiB"]
    first = run("run", "--print-config", *words)
    assert first.returncode == 0 and "64MiB" in first.stdout
    file = scratch / "printed.yaml"
    file.write_text(first.stdout)
    second = run("run", "--print-config", "-c", str(file))
    assert second.returncode == 0 and second.stdout == first.stdout
    assert run("run", "--check-config", "-c", str(file)).returncode == 0
    assert not (scratch / "rec").exists()


def test_a_start_waits_for_a_pipe(scratch):
    """Longer than a reload may (2 s): for somebody who writes to it, and for what he has to say."""
    main, pipe = scratch / "main.yaml", scratch / "more.yaml"
    main.write_text("listeners: [{listen: 127.0.0.1:9000, upstream: none}]\n")
    os.mkfifo(pipe)
    with subprocess.Popen([program(), "run", "--print-config", "-c", main, "-c", pipe], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        def open_end():
            """Which fails while nobody reads."""
            with contextlib.suppress(OSError):
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            assert started.poll() is None, "it ended without the pipe"
            return None
        end = processes.wait_until(open_end, 20, "a reader of the pipe")
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                started.wait(2.5)
            os.write(end, b"sessions_max: 4321\n")
        finally:
            os.close(end)
        out, errors = started.communicate(timeout=20)
    assert started.returncode == 0 and errors == "" and "sessions_max: 4321" in out


def test_dir_may_stand_anywhere(scratch):
    listen = ["--listen", "127.0.0.1:9000", "--upstream", "none", "--print-config"]
    expected = f'dir: "{scratch}/x"'
    assert expected in run("--dir", f"{scratch}/x", "run", *listen).stdout
    assert expected in run("run", f"--dir={scratch}/x", *listen).stdout
    assert expected in run("run", *listen, "--dir", f"{scratch}/x").stdout
    assert expected in run("run", *listen, env=dict(os.environ, GOGETWAY_DIR=f"{scratch}/x")).stdout


# ── Start and stop ───────────────────────────────────────────────────────────────────────────────────────────────────

def test_ready_says_where_it_listens(gateways, upstream):
    gateway = gateways(upstream.address)
    ready = event(gateway.process.errors(), "ready")
    assert ready["pid"] == gateway.process.pid
    assert ready["listeners"] == gateway.listen
    status, errors = gateway.stop()
    assert status == 0
    event(errors, "ended")


def test_a_port_of_zero_is_told(scratch, upstream):
    gateway = Gateway(scratch / "rec", upstream.address, listen="127.0.0.1:0", scratch=scratch)
    with contextlib.closing(upstream.listener):
        gateway.start(wait=False)
        try:
            processes.wait_until(lambda: any(line["event"] == "ready" for line in gateway.log()), 20, "ready")
            gateway.listen = event(gateway.process.errors(), "ready")["listeners"]
            assert not gateway.listen.endswith(":0")
            with open_session(gateway, upstream):
                pass
        finally:
            assert gateway.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(gateways, upstream, number):
    gateway = gateways(upstream.address)
    with open_session(gateway, upstream) as (client, server):
        gateway.process.popen.send_signal(number)
        processes.wait_until(lambda: any(line["event"] == "draining" for line in gateway.log()), 10, "draining")
        processes.wait_until(lambda: not processes.is_listening(gateway.listen), 10, "no more sessions")
        client.sendall(b"still here")
        assert server.recv(10) == b"still here"
        assert gateway.process.running()
    assert gateway.process.wait(10) == 0
    session, = gateway.sessions()
    assert session.state == "closed" and session.received("client") == 11


def test_the_drain_has_a_deadline(gateways, upstream):
    gateway = gateways(upstream.address, options=["--timeouts-drain", "300ms"])
    with open_session(gateway, upstream) as (client, _):
        status, _ = gateway.stop(10)
        assert status == 0
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""
    session, = gateway.sessions()
    assert session.state == "closed" and session.received("client") == 1


def test_a_second_signal_ends_at_once(gateways, upstream):
    gateway = gateways(upstream.address, options=["--timeouts-drain", "1h"])
    with open_session(gateway, upstream):
        gateway.process.popen.send_signal(signal.SIGTERM)
        processes.wait_until(lambda: any(line["event"] == "draining" for line in gateway.log()), 10, "draining")
        status, errors = gateway.stop(10)
        assert status == 0
        event(errors, "stopping")
    session, = gateway.sessions()
    assert session.state == "closed"


def test_a_hangup_without_a_file_changes_nothing(gateways, upstream):
    gateway = gateways(upstream.address)
    gateway.process.popen.send_signal(signal.SIGHUP)
    processes.wait_until(lambda: any(line["event"] == "reloaded" for line in gateway.log()), 10, "hangup")
    with open_session(gateway, upstream):
        pass
    assert gateway.stop()[0] == 0


def test_a_recording_is_private_whatever_the_umask(scratch, upstream):
    gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch)
    before = os.umask(0)
    try:
        gateway.start()
    finally:
        os.umask(before)
    with gateway:
        with open_session(gateway, upstream):
            pass
    places = [gateway.directory, *gateway.directory.rglob("*")]
    assert len(places) > 2
    for place in places:
        assert stat.S_IMODE(place.stat().st_mode) == (0o700 if place.is_dir() else 0o600), place


# ── What cannot be done ──────────────────────────────────────────────────────────────────────────────────────────────

def refused(*words, **options):
    done = run("run", *words, seconds=20, **options)
    assert done.returncode == 3, f"{done.returncode}: {done.stderr}"
    return done.stderr


def test_a_directory_given_twice(scratch):
    for command in ("run", "sessions"):
        done = run(command, "--dir", str(scratch), f"--dir={scratch}")
        assert done.returncode == 2 and "--dir was already given" in done.stderr
    assert "--dir needs a value" in run("sessions", "--dir").stderr


def test_a_port_in_use(scratch, upstream):
    errors = refused("--listen", upstream.address, "--upstream", "127.0.0.1:9", "--dir", str(scratch / "rec"))
    assert f"cannot listen on {upstream.address}: Address already in use" in errors


def test_a_port_in_use_by_another_gateway(gateways, scratch, upstream):
    gateway = gateways(upstream.address)
    errors = refused("--listen", gateway.listen, "--upstream", upstream.address, "--dir", str(scratch / "other"))
    assert f"cannot listen on {gateway.listen}: Address already in use" in errors
    with open_session(gateway, upstream):
        pass


def test_a_start_that_failed_leaves_the_store_fit(scratch, upstream):
    directory = scratch / "rec"
    refused("--listen", upstream.address, "--upstream", "127.0.0.1:9", "--dir", str(directory))
    assert not list(pathlib.Path("/dev/shm").glob(f"*{(directory / 'store').read_text().split()[-1]}*"))
    with Gateway(directory, upstream.address, scratch=scratch) as gateway:
        with open_session(gateway, upstream):
            pass


def test_rings_that_are_not_on_a_tmpfs_are_warned_of(gateways, rings, upstream):
    slow = pathlib.Path(program()).parent / f"rings-{os.getpid()}"
    if subprocess.run(["stat", "-f", "-c", "%T", slow.parent], stdout=subprocess.PIPE).stdout.strip() == b"tmpfs":
        pytest.skip("the build directory is on a tmpfs")
    slow.mkdir()
    try:
        gateway = gateways(upstream.address, options=["--log-dir", slow])
        warning, = [line for line in gateway.log() if line["event"] == "log.dir is not a tmpfs"]
        assert warning["level"] == "warning" and warning["dir"] == str(slow)
        gateway.stop()
    finally:
        shutil.rmtree(slow)
    gateway = Gateway(gateway.directory, upstream.address, options=["--log-dir", rings])
    with gateway:
        assert not [line for line in gateway.log() if line["event"] == "log.dir is not a tmpfs"]


def test_a_store_in_use_names_its_process(gateways, upstream):
    gateway = gateways(upstream.address)
    errors = refused("--listen", f"127.0.0.1:{processes.free_port()}", "--upstream", upstream.address, "--dir",
                     str(gateway.directory))
    assert str(gateway.process.pid) in errors and str(gateway.directory) in errors


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_a_directory_that_is_not_writable(scratch, upstream):
    parent = scratch / "closed"
    parent.mkdir(mode=0o755)
    done = processes.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program(), "run",
                          "--listen", f"127.0.0.1:{processes.free_port()}", "--upstream", upstream.address, "--dir",
                          parent / "rec"], 20, check=False, text=True)
    assert done.returncode == 3
    assert str(parent / "rec") in done.stderr and "Permission denied" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_disk_that_stays_full_leaves_the_rest_for_the_next_start(scratch, upstream):
    directory = scratch / "small"
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", directory]).returncode != 0:
        pytest.skip("mounts are not permitted here")
    payload = os.urandom(3 << 20)
    try:
        gateway = Gateway(directory / "rec", upstream.address, scratch=scratch, options=["--timeouts-drain", "1s"])
        gateway.start()
        with connect(gateway.listen) as client, upstream.accept() as server:
            client.settimeout(3)
            with contextlib.suppress(TimeoutError):
                client.sendall(payload)
            status, errors = gateway.stop(40)
            received = b""
            with contextlib.suppress(ConnectionError):
                while chunk := server.recv(1 << 20):
                    received += chunk
        assert status == 3
        assert errors.splitlines()[-1].count("the next start") == 1 and str(directory) in errors.splitlines()[-1]
        assert 0 < len(received) < len(payload) and payload.startswith(received)
        subprocess.run(["mount", "-o", "remount,size=64m", directory], check=True)
        with gateway.start():
            pass
        session, = gateway.sessions()
        assert gateway.payload(session.id, "client").startswith(received)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def test_a_name_that_does_not_resolve_is_a_warning(scratch, upstream):
    port = upstream.address.rsplit(":", 1)[1]
    hosts = scratch / "hosts"
    hosts.write_text("")
    # The preloaded resolver reads a file that no configuration names.
    gateway = Gateway(scratch / "rec", f"server.test:{port}", scratch=scratch, options=["--sandbox", "off"],
                      env={"LD_PRELOAD": tool("preload_hosts.so"), "PRELOAD_HOSTS": str(hosts),
                           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
    with gateway:
        warning = event(gateway.process.errors(), "name does not resolve")
        assert warning["level"] == "warning" and warning["name"] == "server.test"
        with contextlib.suppress(ConnectionError), connect(gateway.listen) as client:
            client.sendall(b"refused")
            assert client.recv(1) == b""
        assert gateway.stats()["metrics"]["sessions_unresolved"] == 1
        hosts.write_text("server.test 127.0.0.1\n")
        processes.wait_until(lambda: any(line["event"] == "name resolved" for line in gateway.log()), 10, "resolved")
        with open_session(gateway, upstream):
            pass
        assert gateway.stop()[0] == 0
    assert len(gateway.sessions()) == 2


# ── Asking it ────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_stats_are_read_from_a_running_gateway(gateways, upstream):
    gateway = gateways(upstream.address, options=["--workers", "1"])
    with open_session(gateway, upstream):
        stats = gateway.stats()
        assert stats["ok"] and stats["pid"] == gateway.process.pid and stats["workers"] == 1
        assert stats["state"] == "running" and stats["version"].startswith("0.")
        listener, = stats["listeners"]
        assert listener["listen"] == gateway.listen and listener["upstream"] == upstream.address
        assert stats["metrics"]["sessions_open"] == 1
        assert stats["metrics"]["received_client_bytes"] == 1
        table = gateway.command("stats").stdout.decode()
        assert gateway.listen in table and "sessions_open" in table
    gateway.stop()
    done = gateway.command("stats", check=False)
    assert done.returncode == 3 and b"no gateway runs" in done.stderr


def test_the_control_socket_is_private_and_lives_as_long_as_the_gateway(gateways, upstream):
    gateway = gateways(upstream.address)
    path = gateway.directory / "control"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(path))
        peer.sendall(b'nonsense\n{"command":"logs"}\n{"command":"stop"}\n')
        lines = peer.makefile()
        replies = [json.loads(lines.readline()) for _ in range(3)]
    assert [reply["ok"] for reply in replies] == [False, True, True]
    assert replies[1]["logs"][0]["name"].startswith("w0-")
    assert gateway.process.wait(10) == 0
    assert not path.exists()


def test_stats_are_written_at_the_end(gateways, scratch, upstream):
    file = scratch / "stats.json"
    file.write_text("old")
    gateway = gateways(upstream.address, options=["--stats", file])
    with open_session(gateway, upstream):
        pass
    assert gateway.stop()[0] == 0
    stats = json.loads(file.read_text())
    assert stats["metrics"]["sessions_closed"] == 1 and stats["state"] == "ended"
    assert stats["metrics"]["log_fill_bytes"] == 0
    assert [entry.name for entry in scratch.iterdir() if "stats" in entry.name] == ["stats.json"]


def test_stats_that_cannot_be_written_are_told_at_start(scratch, upstream):
    directory = scratch / "rec"
    words = ["--listen", f"127.0.0.1:{processes.free_port()}", "--upstream", upstream.address, "--dir", str(directory)]
    for file, text in ((scratch / "none" / "stats.json", "No such file"), (scratch, "Is a directory")):
        errors = refused(*words, "--stats", str(file))
        assert f"cannot write {file}: {text}" in errors
    with Gateway(directory, upstream.address, scratch=scratch, options=["--stats", directory / "stats.json"]):
        assert not list(directory.glob("stats.json*"))
    assert json.loads((directory / "stats.json").read_text())["state"] == "ended"


def test_stats_that_cannot_be_written_any_more_are_told(gateways, scratch, upstream):
    place = scratch / "place"
    place.mkdir()
    gateway = gateways(upstream.address, options=["--stats", place / "stats.json"])
    place.rmdir()
    status, errors = gateway.stop()
    assert status == 3 and str(place / "stats.json") in errors.splitlines()[-1]
