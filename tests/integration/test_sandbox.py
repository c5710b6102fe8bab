# SPDX-License-Identifier: Apache-2.0
"""The sandbox from inside: a preloaded library does in a worker what somebody would who took it over. Nearly all
other tests run with the sandbox on, so they say that nothing that is needed is refused."""
import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest

import faults
import live
import processes
from faults import connect, events
from gogetway import Gateway, program, tool
from live import said

pytestmark = pytest.mark.usefixtures("require_program")

REFUSED = {
    "read_passwd": errno.EACCES, "read_victim": errno.EACCES, "write_victim": errno.EACCES,
    "make_newcomer": errno.EACCES, "remove_victim": errno.EACCES, "list_root": errno.EACCES,
    "link_into_store": errno.EPERM, "fork": errno.EPERM, "io_uring": errno.EPERM, "packet_socket": errno.EPERM,
    "raw_socket": errno.EPERM, "executable_memory": errno.EPERM, "signal_parent": errno.EPERM,
    "become_root": errno.EPERM, "memory_file": errno.EPERM, "netlink_socket": errno.EPERM,
    "sequenced_socket": errno.EPERM, "virtual_machine_socket": errno.EPERM, "make_pipe": errno.EPERM,
    "process_memory": errno.EACCES,
}
KERNEL_HAS_NONE = (errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
PERMITTED = ("write_store", "stream_socket")
DEADLY = ("execute", "trace", "mount", "bpf", "load_module", "unshare")


def is_instrumented():
    with open(program(), "rb") as file:
        data = file.read()
    return b"__asan_init" in data or b"__tsan_init" in data


pytestmark = [pytestmark, pytest.mark.skipif(is_instrumented(), reason="the sandbox is left open in such a build")]


class Inside:
    """A gateway that accepts only, with the probe in it."""

    def __init__(self, scratch, options=()):
        self.place = scratch / "elsewhere"
        self.place.mkdir()
        (self.place / "victim").write_text("victim")
        self.report = scratch / "report"
        self.gateway = Gateway(scratch / "rec", "none", scratch=scratch, options=options,
                               env={"LD_PRELOAD": tool("preload_probe.so"), "PRELOAD_PROBE": str(self.report),
                                    "PRELOAD_PROBE_DIR": str(self.place),
                                    "PRELOAD_PROBE_STORE": str(scratch / "rec")})

    def outcome(self, name):
        if not self.report.exists():
            return None
        found = [line.split() for line in self.report.read_text().splitlines()]
        return next((int(error) for what, error in found if what == name), None)

    def attempt(self, name):
        """The number of its error, 0 for success; None: the process did not live to tell."""
        with faults.connect(self.gateway.listen) as client:
            client.sendall(b"TRY " + name.encode())
            processes.wait_until(lambda: self.outcome(name) is not None or not self.gateway.process.running(), 20, name)
        return self.outcome(name)

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *details):
        self.gateway.__exit__(*details)


@pytest.fixture
def needs_kernel(scratch):
    """Skips where this kernel or container has no sandbox to give."""
    with Gateway(scratch / "look", "none", scratch=scratch) as gateway:
        missing = events(gateway, "sandbox incomplete")
    if missing:
        pytest.skip(missing[0]["missing"])


def test_the_sandbox_refuses_what_is_not_needed(scratch, needs_kernel):
    with Inside(scratch) as inside:
        assert {name: inside.attempt(name) for name in PERMITTED} == dict.fromkeys(PERMITTED, 0)
        assert {name: inside.attempt(name) for name in REFUSED} == REFUSED
        assert (inside.place / "victim").read_text() == "victim"
        assert not (inside.place / "newcomer").exists()
        told, = events(inside.gateway, "sandbox")
        assert told["files"] and told["calls"] and told["landlock"] >= 1
        assert inside.gateway.stop()[0] == 0
    assert len(inside.gateway.sessions()) == len(REFUSED) + len(PERMITTED)


@pytest.mark.parametrize("name", DEADLY)
def test_the_sandbox_kills_who_would_execute_or_trace(scratch, needs_kernel, name):
    with Inside(scratch) as inside:
        assert inside.attempt(name) is None
        assert inside.gateway.process.wait(20) == -signal.SIGSYS
        inside.gateway.env = None
        inside.gateway.start()  # recovers
        assert inside.gateway.stop()[0] == 0
    assert len(inside.gateway.sessions()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="what is tried needs root")
def test_without_the_sandbox_the_same_can_be_done(scratch):
    with Inside(scratch, ["--sandbox", "off"]) as inside:
        for name in (*PERMITTED, *REFUSED):
            if name == "remove_victim":
                continue
            assert inside.attempt(name) in (0, errno.EFAULT, *KERNEL_HAS_NONE), name
        assert inside.attempt("remove_victim") == 0 and not (inside.place / "victim").exists()
        assert inside.attempt("mount") == errno.ENOENT
        assert inside.attempt("trace") == errno.ESRCH
        assert not events(inside.gateway, "sandbox")
        inside.gateway.kill()


def test_without_the_sandbox_a_program_is_executed(scratch):
    with Inside(scratch, ["--sandbox", "off"]) as inside:
        assert inside.attempt("execute") is None
        assert inside.gateway.process.wait(20) == 0 and not events(inside.gateway, "ended")


def thread_names(pid):
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/comm") as file:
            found.add(file.read().strip())
    return found


def test_every_thread_is_inside(scratch, needs_kernel):
    options = ["--workers", "2", "--metrics-file", scratch / "m.prom"]
    with Gateway(scratch / "rec", "none", scratch=scratch, options=options) as gateway:
        pid = gateway.process.pid
        names = thread_names(pid)
        assert {"gg-worker-0", "gg-worker-1", "gg-writer", "gg-sync", "gg-provision", "gg-metrics"} <= names
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as file:
                lines = dict(line.split(":", 1) for line in file.read().splitlines())
            assert lines["Seccomp"].strip() == "2" and lines["NoNewPrivs"].strip() == "1"


def test_a_kernel_without_it_is_warned_of(scratch):
    """strace answers both calls as a kernel or a container would that has neither. (-D: the process that is started
    is the gateway, and is what is ended; strace ends with it.)"""
    if subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("ptrace is not permitted here")
    listen = f"127.0.0.1:{processes.free_port()}"
    command = ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset,seccomp",
               "-e", "inject=landlock_create_ruleset:error=EOPNOTSUPP", "-e", "inject=seccomp:error=EINVAL",
               program(), "run", "--listen", listen, "--upstream", "none", "--dir", scratch / "rec"]
    gateway = Gateway(scratch / "rec", "none", listen=listen, scratch=scratch)
    with processes.Process(command, scratch, name="gogetway-1") as process:
        gateway.process = process
        gateway.wait_ready()
        warning, = events(gateway, "sandbox incomplete")
        assert warning["level"] == "warning"
        assert "landlock" in warning["missing"] and "seccomp" in warning["missing"]
        assert process.stop() == 0


# ── What a reload cannot have any more ───────────────────────────────────────────────────────────────────────────────

def trap(listen, **more):
    return {"listen": listen, "upstream": "none", **more}


def test_a_reload_that_the_sandbox_refuses_says_so(configured, scratch, needs_kernel):
    here, elsewhere = scratch / "here", scratch / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    first, second = trap(f"unix:{here}/first"), trap(f"unix:{here}/second")
    configured.write(first)
    configured.start()
    configured.write(first, second)  # a directory that was named at start
    assert configured.reload()[0] == 0 and (here / "second").is_socket()
    configured.write(first, second, trap(f"unix:{elsewhere}/third"))
    status, reply = configured.reload()
    assert status == 3 and "Permission denied" in reply["error"] and str(elsewhere) in reply["error"]
    assert "directories that the configuration named then" in reply["error"] and "restart" in reply["error"]
    configured.write(first)
    assert configured.reload()[0] == 0 and not (here / "second").exists()


def test_a_linked_configuration_file_is_read_again(configured, scratch, needs_kernel):
    """The link leads to a directory that the configuration does not name; there the file is replaced, as editors do."""
    here, real = scratch / "here", scratch / "real"
    here.mkdir()
    real.mkdir()
    link = here / "gateway.yaml"
    link.symlink_to(real / "file")
    configured.file = real / "file"
    configured.write(trap(f"127.0.0.1:{processes.free_port()}"))
    configured.file = link
    configured.start()
    second = f"127.0.0.1:{processes.free_port()}"
    configured.file = real / "file"
    configured.write(trap(second))
    status, reply = configured.reload()
    assert status == 0, reply
    processes.wait_until(lambda: processes.is_listening(second), 10, "the new listener")


def test_a_configuration_file_out_of_reach_says_so(configured, scratch, needs_kernel):
    elsewhere = scratch / "elsewhere"
    (scratch / "here").mkdir()
    elsewhere.mkdir()
    configured.file = scratch / "here" / "gogetway.yaml"
    configured.write(trap(f"127.0.0.1:{processes.free_port()}"))
    configured.start()
    configured.file.rename(elsewhere / "file")
    configured.file.symlink_to(elsewhere / "file")
    status, reply = configured.reload()
    assert status == 3 and "Permission denied" in reply["error"] and "restart" in reply["error"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_reload_cannot_have_roots_ports_back(configured, scratch):
    home = scratch / "home"
    home.mkdir()
    configured.directory = home / "rec"
    first = trap("127.0.0.1:924")
    configured.write(first, user="nobody", sandbox="off")
    configured.file.chmod(0o644)
    configured.start()
    configured.write(first, trap("127.0.0.1:925"), user="nobody", sandbox="off")
    configured.file.chmod(0o644)
    status, reply = configured.reload()
    assert status == 3 and "127.0.0.1:925" in reply["error"] and "no rights of root's" in reply["error"]


def test_a_metrics_file_out_of_reach_says_so(configured, scratch, needs_kernel):
    """Below a directory that was named it may go anywhere; elsewhere it may not, and what was in effect stays."""
    here, elsewhere = scratch / "here", scratch / "elsewhere"
    (here / "below").mkdir(parents=True)
    elsewhere.mkdir()
    first = trap(f"127.0.0.1:{processes.free_port()}")

    def write(directory):
        configured.write(first, stats={"metrics_file": str(directory / "m.prom"), "metrics_interval": "100ms"})
    write(here)
    configured.start()
    write(here / "below")
    assert configured.reload()[0] == 0
    processes.wait_until((here / "below/m.prom").exists, 10, "metrics in the directory below")
    write(elsewhere)
    status, reply = configured.reload()
    assert status == 3 and str(elsewhere) in reply["error"] and "restart" in reply["error"]
    (here / "below/m.prom").unlink()
    processes.wait_until((here / "below/m.prom").exists, 10, "metrics where they were")
    assert not any(elsewhere.iterdir())


def test_a_name_is_resolved_inside(scratch, server, needs_kernel):
    """test_names.py has the ways to ask for one, and needs a network of its own."""
    with Gateway(scratch / "rec", f"localhost:{server.address.rsplit(':', 1)[1]}", scratch=scratch) as gateway:
        said(gateway.listen)
        assert server.accepted == 1
        resolved, = events(gateway, "name resolved")
        assert resolved["name"] == "localhost" and resolved["address"].startswith("127.0.0.1")


# ── What is called rarely ────────────────────────────────────────────────────────────────────────────────────────────

REFUSALS = re.compile(r"(?m)^\d+ +(?:<\.\.\. )?(\w+).* = -1 (EPERM|EACCES|ENOSYS) ")


@contextlib.contextmanager
def traced(process, scratch):
    """Which of its calls were refused from now on, as (name, error): a function that tells, for when it has ended."""
    trace = scratch / f"trace-{process.pid}"
    command = ["strace", "-f", "-p", process.pid, "-o", trace, "-e", "status=failed,unfinished"]
    with processes.Process(command, scratch, name=f"strace-{process.pid}") as strace:
        processes.wait_until(lambda: "attached" in strace.errors() or not strace.running(), 20, "strace")
        if not strace.running():
            pytest.skip(f"ptrace is not permitted here: {strace.errors()[-200:]}")
        yield lambda: strace.wait(20) in (0, 1) and set(REFUSALS.findall(trace.read_text()))


def everything(configured, web, scratch):
    """What an operator does in a year."""
    first = {"name": "web", **web}
    unix = trap(f"unix:{scratch}/here/first")
    for listeners, more in (
        ([first, unix], {"message": {"level": "debug"}}),
        ([{**first, "check_interval": "50ms"}], {"relay": {"splice": "off"}}),
        ([{**first, "upstream": [web["upstream"], "localhost:9 backup"], "balance": "hash"},
          trap(f"127.0.0.1:{processes.free_port()}"), trap("unix:@gogetway-test")], {"relay": {"splice": "off"}}),
        ([first], {"stats": {"metrics_file": str(scratch / "here/m.prom"), "file": str(scratch / "here/stats")}}),
    ):
        configured.write(*listeners, **more)
        status, reply = configured.reload()
        assert status == 0, reply
        for _ in range(3):
            bulk(web["listen"])
        for words in (["rotate"], ["stats"], ["upstreams"], ["stats", "--format", "prometheus"]):
            configured.command(*words)
    configured.write_text("listeners: [")
    assert configured.reload()[0] != 0
    configured.write(first)
    configured.processes[-1].popen.send_signal(signal.SIGHUP)
    assert configured.reload()[0] == 0


def bulk(address):
    """Enough to be spliced, to fill segments, and to make a ring grow."""
    block = os.urandom(1 << 20)
    with connect(address) as peer:
        sender = threading.Thread(target=lambda: peer.sendall(block))
        sender.start()
        got = b""
        while len(got) < len(block):
            part = peer.recv(1 << 20)
            assert part, "the stream ended"
            got += part
        sender.join()
    assert got.endswith(block[-1000:])


def fill(disk):
    with open(disk / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_nothing_that_is_needed_rarely_is_refused(scratch, server, needs_kernel):
    """Reloads, rotation, a full disk, a takeover, the recovery of a killed process, and an end, all watched. A process
    that asks for what it may not have shows that the watch sees it."""
    (scratch / "here").mkdir()
    web = {"listen": f"127.0.0.1:{processes.free_port()}", "upstream": server.address, "on_full": "gap"}
    common = ["--segment-max-bytes", "256KiB", "--log-ring", "256KiB", "--workers", "2", "--metrics-file",
              scratch / "here/m.prom", "--metrics-interval", "100ms"]
    probe = {"LD_PRELOAD": tool("preload_probe.so"), "PRELOAD_PROBE": str(scratch / "report"),
             "PRELOAD_PROBE_DIR": str(scratch / "elsewhere"), "PRELOAD_PROBE_STORE": str(scratch / "disk")}
    with faults.mounted(scratch / "disk", size="200m") as disk, live.Configured(scratch, disk / "rec") as configured:
        configured.write(web, trap(f"unix:{scratch}/here/first"), relay={"splice": "on"})
        old = configured.start(*common)
        with traced(old, scratch) as of_old, connect(web["listen"]) as stays:
            live.exchange(stays, b"hello")
            everything(configured, web, scratch)
            fill(disk)
            for _ in range(8):
                bulk(web["listen"])
            (disk / "ballast").unlink()
            bulk(web["listen"])
            configured.write(web, trap(f"unix:{scratch}/here/first"))
            new = configured.start(*common, "--takeover", env=probe)
            with traced(new, scratch) as of_new:
                configured.wait_event(old, "handed over")
                live.exchange(stays, b"again")
                old.kill()
                configured.wait_event(new, "earlier process ended")
                everything(configured, web, scratch)
                with connect(web["listen"]) as peer:
                    peer.sendall(b"TRY signal_parent")
                    assert peer.recv(100)
                assert new.stop() == 0
        # SQLite, as root, gives its files the owner of the database, which they have: it goes on without.
        spared = {("clone3", "ENOSYS"), ("fchown", "EPERM")}
        assert of_old() <= spared
        assert of_new() - spared == {("getppid", "EPERM"), ("kill", "EPERM")}
