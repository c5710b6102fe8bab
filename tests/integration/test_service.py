# SPDX-License-Identifier: Apache-2.0
"""The gateway as a service: what the service manager is told, who it runs as, and the files of packaging/."""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

import faults
import processes
from faults import events
from gogetway import ROOT, Gateway, program, tool

pytestmark = pytest.mark.usefixtures("require_program")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, name):
        self.name = str(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.heard = []

    def environment(self, watchdog_seconds=None):
        found = {"NOTIFY_SOCKET": self.name}
        if watchdog_seconds:
            found["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1e6))
        return found

    def message(self, seconds=20):
        """The next message, as a dictionary."""
        self.socket.settimeout(seconds)
        data = self.socket.recv(65536)
        fields = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.heard.append(fields)
        return fields

    def until(self, name, seconds=20):
        """The next message with that field; those before it are passed over, the watchdog's are the usual ones."""
        while True:
            fields = self.message(seconds)
            if name in fields:
                return fields

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture
def upstream():
    with faults.Upstream() as accepting:
        yield accepting


def echo(gateway, upstream):
    """A byte each way through it."""
    with faults.connect(gateway.listen) as client, upstream.accept() as server:
        client.sendall(b"a")
        assert server.recv(1) == b"a"
        server.sendall(b"b")
        assert client.recv(1) == b"b"


# ── The service manager ──────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_manager_is_told_of_start_and_end(scratch, upstream, kind):
    name = scratch / "notify" if kind == "path" else f"@gogetway-test-{os.getpid()}"
    with Manager(name) as manager:
        gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch, env=manager.environment())
        with gateway:
            ready = manager.message()
            assert ready["READY"] == "1" and ready["MAINPID"] == str(gateway.process.pid)
            assert ready["STATUS"] == "relaying and recording, 1 listener"
            assert gateway.stop()[0] == 0
            assert manager.message()["STOPPING"] == "1"
        with pytest.raises(TimeoutError):
            manager.message(0.1)
        assert not any("WATCHDOG" in message for message in manager.heard)


def test_a_start_that_fails_is_never_ready(scratch, upstream):
    with Manager(scratch / "notify") as manager:
        done = processes.run([program(), "run", "--listen", upstream.address, "--upstream", "127.0.0.1:9", "--dir",
                              scratch / "rec"], 20, check=False, env={**os.environ, **manager.environment()})
        assert done.returncode == 3
        with pytest.raises(TimeoutError):
            manager.message(0.1)


@pytest.mark.parametrize("name", ["relative/path", "vsock:2:1", "@", "/" + 120 * "x"])
def test_a_manager_that_cannot_be_is_warned_of(scratch, upstream, name):
    gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch, env={"NOTIFY_SOCKET": name})
    with gateway:
        warning, = events(gateway, "the service manager cannot be told")
        assert "neither a path nor an abstract name" in warning["error"]
        echo(gateway, upstream)
        assert gateway.stop()[0] == 0


def test_a_manager_that_is_gone_is_warned_of_once(scratch, upstream):
    gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch,
                      env={"NOTIFY_SOCKET": str(scratch / "gone"), "WATCHDOG_USEC": "100000"})
    with gateway:
        processes.wait_until(lambda: events(gateway, "the service manager cannot be told"), 10, "a warning")
        echo(gateway, upstream)
        assert gateway.stop()[0] == 0
        assert len(events(gateway, "the service manager cannot be told")) == 1


def test_a_process_that_takes_over_becomes_the_main_one(scratch, upstream):
    """The one before says nothing any more: its end is not the service's. Neither needs what the sandbox refuses."""
    with Manager(scratch / "notify") as manager:
        old = Gateway(scratch / "rec", upstream.address, scratch=scratch, env=manager.environment())
        new = Gateway(scratch / "rec", upstream.address, listen=old.listen, scratch=scratch / "new",
                      env=manager.environment(), options=["--takeover"])
        (scratch / "new").mkdir()
        with old, new:
            assert manager.message()["MAINPID"] == str(old.process.pid)
            assert manager.message()["MAINPID"] == str(new.process.pid)
            echo(new, upstream)
            assert old.process.wait(20) == 0
            with pytest.raises(TimeoutError):
                manager.message(0.1)
            assert new.stop()[0] == 0
            assert manager.message()["STOPPING"] == "1"
        for gateway in (old, new):
            assert "not permitted" not in gateway.process.errors()


@pytest.mark.parametrize("how", ["command", "signal", "refused"])
def test_the_manager_is_told_of_a_reload(configured, scratch, upstream, how):
    """Between the two it waits; it hears that it is over, whatever came of it."""
    first = {"listen": f"127.0.0.1:{processes.free_port()}", "upstream": upstream.address}
    second = {"listen": f"127.0.0.1:{processes.free_port()}", "upstream": upstream.address}
    with Manager(scratch / "notify") as manager:
        configured.write(first)
        process = configured.start(env=manager.environment())
        assert manager.message()["STATUS"] == "relaying and recording, 1 listener"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        configured.write(first, {"listen": "nonsense"} if how == "refused" else second)
        if how == "signal":
            process.popen.send_signal(signal.SIGHUP)
        else:
            assert (configured.reload()[0] == 0) == (how == "command")
        begun, ended = manager.message(), manager.message()
        assert begun["RELOADING"] == "1" and begun["STATUS"] == "reloading"
        assert before // 1000 <= int(begun["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert ended["READY"] == "1" and ended["MAINPID"] == str(process.pid)
        assert ended["STATUS"].endswith("1 listener" if how == "refused" else "2 listeners")
        assert process.stop() == 0
        assert manager.message()["STOPPING"] == "1"


# ── The watchdog ─────────────────────────────────────────────────────────────────────────────────────────────────────

def test_the_watchdog_is_fed_while_nothing_happens(scratch, upstream):
    with Manager(scratch / "notify") as manager:
        gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch, env=manager.environment(0.4),
                          options=["--log-flush-interval", "1m"])
        with gateway:
            for _ in range(8):
                assert manager.until("WATCHDOG", 2)["WATCHDOG"] == "1"
            assert gateway.stop()[0] == 0
        assert not events(gateway, "a worker hangs")


def test_a_watchdog_for_another_process_is_not_fed(scratch, upstream):
    with Manager(scratch / "notify") as manager:
        gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch,
                          env={**manager.environment(0.1), "WATCHDOG_PID": "1"})
        with gateway:
            manager.until("READY")
            with pytest.raises(TimeoutError):
                manager.message(0.5)
            assert gateway.stop()[0] == 0


@pytest.mark.parametrize("where", ["epoll_wait", "recv"])
def test_a_worker_that_hangs_starves_the_watchdog(scratch, upstream, where):
    """One of two workers hangs in a call, busy or idle: the manager hears nothing until it goes on."""
    switch = scratch / "hang"
    switch.write_bytes(bytes(4096))
    with Manager(scratch / "notify") as manager:
        gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch,
                          options=["--workers", "2", "--timeouts-drain", "1s"],
                          env={**manager.environment(1), "LD_PRELOAD": tool("preload_hang.so"),
                               "PRELOAD_HANG": str(switch), "PRELOAD_HANG_CALL": where})
        with gateway:
            manager.until("WATCHDOG")
            switch_hang(switch, 1)
            client = faults.connect(gateway.listen)
            client.sendall(b"x")
            processes.wait_until(lambda: events(gateway, "a worker hangs"), 20, "a worker hangs")
            with contextlib.suppress(BlockingIOError):
                manager.socket.setblocking(False)
                while manager.socket.recv(65536):
                    pass
            with pytest.raises(TimeoutError):
                manager.message(3)
            switch_hang(switch, 0)
            client.close()
            assert manager.until("WATCHDOG")["WATCHDOG"] == "1"
            assert gateway.stop()[0] == 0
        assert len(events(gateway, "a worker hangs")) == 1


def switch_hang(file, value):
    with open(file, "r+b") as opened:
        opened.write(bytes([value]))


# ── Privileges ───────────────────────────────────────────────────────────────────────────────────────────────────────

def status_of(pid):
    """/proc/PID/status of each thread."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({name: value.split() for name, value in (line.split(":", 1) for line in lines)})
    return found


def start_as(scratch, upstream, user, *options, **more):
    home = scratch / "home"
    if not home.exists():
        home.mkdir()
    return Gateway(home / "rec", upstream.address, scratch=scratch, options=["--user", user, *options], **more)


@needs_root
@pytest.mark.parametrize("user, group", [("nobody", None), ("65534", "65534"), ("nobody", "daemon"),
                                         ("54321", "54321")])
def test_root_becomes_the_user_for_good(scratch, upstream, user, group):
    uid = pwd.getpwnam(user).pw_uid if user.isalpha() else int(user)
    gid = (grp.getgrnam(group).gr_gid if group.isalpha() else int(group)) if group else pwd.getpwnam(user).pw_gid
    with start_as(scratch, upstream, user, *(["--group", group] if group else [])) as gateway:
        echo(gateway, upstream)
        threads = status_of(gateway.process.pid)
        assert len(threads) >= 5
        for thread in threads:
            assert thread["Uid"] == [str(uid)] * 4 and thread["Gid"] == [str(gid)] * 4
            assert set(thread["Groups"]) <= {str(gid)}
            assert thread["NoNewPrivs"] == ["1"]
            assert {int(thread[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        for place in [gateway.directory, *gateway.directory.rglob("*")]:
            assert (place.stat().st_uid, place.stat().st_gid) == (uid, gid), place
        rings = list(pathlib.Path("/dev/shm").glob(f"gogetway-{gateway.stats()['store']}.*"))
        assert rings and all(ring.stat().st_uid == uid for ring in rings)
        assert not events(gateway, "runs as root")
        assert gateway.stop()[0] == 0
    assert not [ring for ring in rings if ring.exists()]
    session, = gateway.sessions()
    assert session.received("client") == 1


@needs_root
def test_a_port_below_1024_is_bound_before_the_last_capability_goes(scratch, upstream):
    with start_as(scratch, upstream, "nobody", listen="127.0.0.1:923") as gateway:
        echo(gateway, upstream)
        assert all(int(thread["CapPrm"][0], 16) == 0 for thread in status_of(gateway.process.pid))


@needs_root
def test_what_a_killed_user_left_is_recovered_by_that_user(scratch, upstream):
    gateway = start_as(scratch, upstream, "nobody")
    with gateway:
        echo(gateway, upstream)
        gateway.kill()
        gateway.start()
        assert gateway.stop()[0] == 0
    assert len(gateway.sessions()) == 1


@needs_root
def test_a_directory_that_exists_keeps_its_owner(scratch, upstream):
    gateway = start_as(scratch, upstream, "nobody")
    gateway.directory.mkdir()
    gateway.start(wait=False)
    assert gateway.process.wait(20) == 3
    assert "Permission denied" in gateway.process.errors() or "Operation not permitted" in gateway.process.errors()
    assert gateway.directory.stat().st_uid == 0
    assert stat.S_IMODE(gateway.directory.stat().st_mode) == 0o755


def refused(scratch, upstream, *options, seconds=20, **more):
    words = ["--listen", f"127.0.0.1:{processes.free_port()}", "--upstream", upstream.address, "--dir", scratch / "rec"]
    done = processes.run([program(), "run", *words, *options], seconds, check=False, text=True, **more)
    assert done.returncode in (2, 3)
    return done.stderr


def test_users_that_cannot_be(scratch, upstream):
    assert "there is no user 'nosuchuser'" in refused(scratch, upstream, "--user", "nosuchuser")
    assert "there is no group 'nosuchgroup'" in refused(scratch, upstream, "--user", "nobody", "--group", "nosuchgroup")
    assert "group must be given" in refused(scratch, upstream, "--user", "54321")
    assert "group has no effect without user" in refused(scratch, upstream, "--group", "daemon")
    assert not (scratch / "rec").exists()


@needs_root
def test_root_is_not_a_user_to_become(scratch, upstream):
    assert "user 'root' is root" in refused(scratch, upstream, "--user", "root")
    errors = refused(scratch, upstream, "--user", "daemon", user=65534, group=65534, extra_groups=[])
    assert "only root can become user 'daemon'" in errors


@needs_root
def test_root_is_warned_once(scratch, upstream):
    with Gateway(scratch / "rec", upstream.address, scratch=scratch) as gateway:
        warning, = events(gateway, "runs as root")
        assert warning["level"] == "warning" and "'user'" in warning["effect"]


# ── The files of packaging/ ──────────────────────────────────────────────────────────────────────────────────────────

EXPOSURE_MAX = 2.0
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def packaged(name):
    """A file of packaging/ as the build made it."""
    return pathlib.Path(os.path.realpath(program())).parent / "packaging" / name


@pytest.fixture
def units(scratch):
    """The two units, with the program where it is: the place where it will be installed is empty."""
    place = scratch / "units"
    place.mkdir()
    for name in ("gogetway.service", "gogetway.socket"):
        text = packaged(f"systemd-{name}").read_text()
        (place / name).write_text(re.sub(r"(?m)^(Exec\w+=)\S+/gogetway ", rf"\1{program()} ", text))
    return place


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60)


@needs_systemd
def test_the_units_are_sound(units):
    for name in ("gogetway.service", "gogetway.socket"):
        done = analyze("verify", "--man=no", units / name)
        complaints = [line for line in done.stderr.splitlines() if "gogetway" in line]
        assert done.returncode == 0 and not complaints, done.stderr
    unit = units / "gogetway.service"
    unit.write_text(unit.read_text() + "[Service]\nNonsense=1\n")
    assert "Nonsense" in analyze("verify", "--man=no", unit).stderr


@needs_systemd
def test_the_unit_exposes_little(units):
    done = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE_MAX * 10)}", "--no-pager",
                   units / "gogetway.service")
    exposure = float(re.search(r"Overall exposure level for gogetway.service: ([0-9.]+)", done.stdout).group(1))
    assert done.returncode == 0 and exposure < EXPOSURE_MAX, done.stdout


def test_the_units_commands_start_and_reload_the_example(scratch, units):
    """What stands in the files goes together: the commands, the configuration, and the socket's address, which is that
    of one of its listeners. Only places are the test's."""
    unit, sockets = ((units / name).read_text() for name in ("gogetway.service", "gogetway.socket"))
    listen, = re.findall(r"(?m)^ListenStream=(.*)$", sockets)
    example = (ROOT / "packaging/etc/gogetway.yaml").read_text()
    assert example.count(f"listen: {listen}\n") == 1
    file, free = scratch / "gogetway.yaml", f"127.0.0.1:{processes.free_port()}"
    file.write_text(example.replace(listen, free))

    def command(name):
        words = re.search(rf"(?m)^{name}=(.*)$", unit).group(1).split()
        for option, value in (("-c", file), ("--dir", scratch / "rec")):
            if option in words:
                words[words.index(option) + 1] = str(value)
        assert words[0] == program() and "--dir" in words
        return words
    with Manager(scratch / "notify") as manager:
        with processes.Process(command("ExecStart"), scratch, env=manager.environment()) as process:
            manager.until("READY")
            assert processes.is_listening(free)
            other = f"127.0.0.1:{processes.free_port()}"
            file.write_text(file.read_text().replace(free, other))
            processes.run(command("ExecReload"), 20)
            assert manager.until("RELOADING") and manager.until("READY")
            assert processes.is_listening(other)
            file.write_text("listeners: 7\n")
            assert processes.run(command("ExecReload"), 20, check=False).returncode != 0
            assert process.stop() == 0


def test_the_rings_outlive_the_service(units):
    text = (units / "gogetway.service").read_text()
    assert "\nRemoveIPC=no\n" in text and "DynamicUser" not in text


def listed_calls():
    """The calls that the modules' own lists name."""
    found = set()
    for file in ROOT.glob("src/*/syscalls.c"):
        found |= set(re.findall(r"GG_SYSCALL(?:_IF2?)?\((\w+)", file.read_text()))
    return found


def filter_of(names):
    """The calls behind the groups and names of a SystemCallFilter=."""
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        lines = [line.strip() for line in analyze("syscall-filter", name).stdout.splitlines()[1:]]
        found |= filter_of(line for line in lines if line and not line.startswith("#"))
    return found


def permitted_by(unit):
    permitted = set()
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit.read_text()):
        if line.startswith("~"):
            permitted -= filter_of(line[1:].split())
        else:
            permitted |= filter_of(line.split())
    return permitted


@needs_systemd
def test_the_unit_permits_what_the_program_lists(units):
    permitted, listed = permitted_by(units / "gogetway.service"), listed_calls()
    assert len(listed) > 80 and "splice" in listed
    assert listed <= permitted, listed - permitted
    for name in ("seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"):
        assert name in permitted


@needs_systemd
def test_the_unit_permits_what_a_start_needs(scratch, units, upstream):
    """What is called before the program's own sandbox closes stands in none of its lists: a start is watched."""
    if subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("ptrace is not permitted here")
    trace = scratch / "trace"
    gateway = Gateway(scratch / "rec", upstream.address, scratch=scratch)
    with Manager(scratch / "notify") as manager:
        command = ["strace", "-D", "-f", "-o", trace, program(), "run", "--listen", gateway.listen, "--upstream",
                   upstream.address, "--dir", gateway.directory]
        with processes.Process(command, scratch, name="gogetway-1", env=manager.environment(5)) as process:
            gateway.process = process
            gateway.wait_ready()
            manager.until("WATCHDOG")
            echo(gateway, upstream)
            assert process.stop() == 0
    processes.wait_until(lambda: "+++ exited with 0 +++" in trace.read_text(), 20, "the trace's end")
    made = set(re.findall(r"(?m)^\d+ +(\w+)\(", trace.read_text()))
    assert {"execve", "bind", "seccomp", "landlock_restrict_self"} <= made
    permitted = permitted_by(units / "gogetway.service")
    assert made <= permitted, made - permitted


@needs_systemd
@pytest.mark.skipif(not shutil.which("systemd-sysusers") or os.geteuid() != 0, reason="needs systemd-sysusers and root")
def test_user_and_directories_are_made(scratch):
    root = scratch / "root"
    (root / "etc").mkdir(parents=True)
    for command, folder in ((["systemd-sysusers"], "sysusers.d"), (["systemd-tmpfiles", "--create"], "tmpfiles.d")):
        processes.run([*command, f"--root={root}", packaged(f"{folder}-gogetway.conf")])
    user, = [line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("gogetway:")]
    assert 0 < int(user.split(":")[2]) < 1000 and user.split(":")[5] == "/var/lib/gogetway"
    state = (root / "var/lib/gogetway").stat()
    assert stat.S_IMODE(state.st_mode) == 0o700 and state.st_uid == int(user.split(":")[2])


def test_the_example_configuration_is_good():
    done = processes.run([program(), "run", "--check-config", "-c", ROOT / "packaging/etc/gogetway.yaml"], 20)
    assert b"the configuration is good" in done.stdout
