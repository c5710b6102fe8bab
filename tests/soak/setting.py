# SPDX-License-Identifier: Apache-2.0
"""Where a soak happens: the real servers, and the sites, each a gateway with all that is around it.

    site "restless"   its process is killed, drained, restarted
    site "steady"     one process from the beginning to the end: its memory, descriptors and threads are looked at

Both have the same listeners and loads, and disks, upstreams and clocks of their own that go wrong.
"""
import os
import shutil
import tempfile
import threading
import time

import checker
import events
import gogetway
import health
import instance
import members
import peers
import processes
import recording
import traffic

MIB = 1 << 20
GREETING = b"login: "
DISK_BYTES = 900 * MIB
LAG_SHARE = 0.5  # of a disk: filled by segments that are still to be checked
NO_RINGS = "no ring is left when the last process has ended"


class Rings:
    """Where the rings are: a small tmpfs of its own, so that what a soak leaves or loses cannot fill the machine's.
    Without mounts a directory in /dev/shm."""

    def __init__(self, scratch, most):
        self.place = scratch / "rings"
        self.place.mkdir()
        done = processes.run(["mount", "-t", "tmpfs", "-o", f"size={most},mode=755", "none", self.place], check=False)
        self.mounted = done.returncode == 0
        if not self.mounted:
            self.place.rmdir()
            self.place.symlink_to(tempfile.mkdtemp(prefix="gogetway-soak-", dir="/dev/shm"))

    def of(self, name):
        place = self.place.resolve() / name
        place.mkdir()
        return place

    def close(self):
        if self.mounted:
            processes.run(["umount", "-l", self.place], check=False)
        else:
            shutil.rmtree(self.place.resolve(), ignore_errors=True)


class Servers:
    """What real clients visit; both sites share them."""

    def __init__(self, scratch, small):
        self.left_out = []
        self.started = []
        root = scratch / "www"
        root.mkdir()
        for name, size in (("small", 500), ("page", 20_000), ("image", 300_000), ("download", 2_000_000)):
            peers.random_file(root / name, size, seed=size)
        self.nginx = self.begin(scratch, peers.nginx, root)
        if self.nginx:
            self.nginx.files = {path.name: path.read_bytes() for path in root.iterdir()}
        self.redis = self.begin(scratch, peers.redis)
        self.sshd = None if small else self.begin(scratch, peers.sshd)
        self.postgres = None if small else self.begin(scratch, peers.postgres)
        if self.postgres:
            environment = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", PGHOST="127.0.0.1",
                               PGUSER="postgres", PGDATABASE="postgres", PGPORT=str(self.postgres.port))
            processes.run(["pgbench", "-i", "-q", "-s", 1], 90, env=environment)
        self.websocket = None
        if not small:
            self.websocket = traffic.test_peers.EchoServer()
            self.websocket.__enter__()

    def begin(self, scratch, function, *arguments):
        """A server, or None where it is not installed."""
        place = scratch / function.__name__
        place.mkdir(mode=0o755)
        try:
            self.started.append(function(place, *arguments))
        except (OSError, ValueError, AssertionError) as error:
            self.left_out.append(f"{function.__name__}: {str(error)[:200]}")
            return None
        return self.started[-1]

    def close(self):
        if self.websocket:
            self.websocket.__exit__()
        for process in reversed(self.started):
            process.stop(15)


class Site:
    def __init__(self, name, scratch, seed, servers, rings, checks, small, inners):
        """`inners`: where this site's listener for PROXY headers is, and where the other's."""
        self.name, self.scratch, self.seed, self.checks = name, scratch, f"{seed} {name}", checks
        self.stopping = threading.Event()  # no new load, no new event
        self.over = threading.Event()      # the gateway has ended
        self.left_out = []
        self.excused_errors = 0
        self.lagged_seconds = 0.0  # of all loads, that they waited for the checks
        self.tshark = recording.tshark_environment()
        self.rings = rings.of(name)
        self.clock = self.make_clock()
        self.disk = self.make_disk()
        self.echo = events.Echo(scratch, f"echo-{name}")
        self.members = [members.Member(letter, processes.address("127.0.0.1", members.quiet_port()))
                        for letter in "abcd"]
        self.flapping, self.draining, self.backup = self.members[:2], self.members[2:], self.members[3]
        place = (self.disk.place if self.disk else scratch) / f"rec-{name}"
        self.listeners = self.make_listeners(servers, *inners)
        settings = {"workers": 2, "timeouts": {"drain": f"{events.DRAIN_SECONDS}s", "connect": "3s"},
                    "segment": {"max_bytes": "8MiB", "max_age": "3s" if small else "8s"},
                    "log": {"ring": "2MiB", "max": "64MiB", "dir": str(self.rings)}}
        self.instance = instance.Instance(name, place, scratch, self.listeners, settings, checks, self.clock)
        self.instance.start()
        self.loads = []
        self.health = health.Health(self)
        self.make_all_logs()
        self.health.note_idle()
        self.other = None  # the site at the other end of the chain
        own = {"plain", "local", "gap", "shut", "outer", "inner", "trap", "echo", "pool", "hashed"}
        self.checker = checker.Checker(self, own, strict={"plain", "gap", "trap", "echo", "pool", "hashed"},
                                       tshark_starts=1 if small else checker.TSHARK_SEGMENTS)
        self.readers = health.Readers(self)
        self.events = None
        self.interval = 3.0 if small else 6.0
        self.threads = [threading.Thread(target=self._check, daemon=True, name=f"{name}-checker")]

    def checks_lag(self):
        """Whether segments that are still to be checked fill half of the disk: a machine on which much else goes on.
        The loads wait then, or the disk would be full without anybody having filled it."""
        if not self.disk or self.disk.share_used() < LAG_SHARE:
            return False
        began = time.monotonic()
        self.stopping.wait(0.5)
        self.lagged_seconds += time.monotonic() - began
        return True

    # ── Making ───────────────────────────────────────────────────────────────────────────────────────────────────

    def make_clock(self):
        if not traffic.preload_works():
            self.left_out.append("clock steps: a program with a sanitizer takes no LD_PRELOAD")
            return None
        return events.Clock(self.scratch / f"clock-{self.name}")

    def make_disk(self):
        try:
            return events.Disk(self.scratch / f"image-{self.name}", self.scratch / f"disk-{self.name}", DISK_BYTES)
        except (OSError, AssertionError) as error:
            self.left_out.append(f"full and hanging disks: no loop mount here: {str(error)[-200:]}")
            return None

    def make_listeners(self, servers, inner, inner_of_the_other):
        def port():
            return processes.address("127.0.0.1", members.quiet_port())
        unix = f"unix:{self.scratch}/{self.name}"
        self.upstreams = {name: port() for name in ("plain", "gap", "shut", "inner")} | {"local": f"{unix}-server"}
        listeners = [
            {"name": "plain", "listen": port(), "upstream": self.upstreams["plain"]},
            {"name": "local", "listen": f"{unix}-listener", "upstream": self.upstreams["local"]},
            {"name": "gap", "listen": port(), "upstream": self.upstreams["gap"], "on_stall": "gap", "on_full": "gap"},
            {"name": "shut", "listen": port(), "upstream": self.upstreams["shut"], "on_stall": "close",
             "on_full": "close"},
            {"name": "outer", "listen": port(), "upstream": inner_of_the_other, "proxy_protocol_out": "v2"},
            {"name": "inner", "listen": inner, "upstream": self.upstreams["inner"], "proxy_protocol_in": "any",
             "trusted": ["127.0.0.0/8"]},
            {"name": "trap", "listen": port(), "upstream": "none", "greeting": GREETING.decode()},
            {"name": "echo", "listen": port(), "upstream": self.echo.address},
        ]
        names = [f"{member.address} name={member.name}" + (" backup" if member is self.backup else "")
                 for member in self.members]
        health = {"health_failures": 2, "health_out": "1s", "health_out_max": f"{traffic.OUT_SECONDS_MAX}s"}
        listeners += [
            {"name": "pool", "listen": port(), "upstream": names, "balance": "least-sessions", **health},
            {"name": "hashed", "listen": port(), "upstream": names, "balance": "hash", "check_interval": "500ms",
             "check_timeout": "1s", **health},
        ]
        for name, server in (("web", servers.nginx), ("redis", servers.redis), ("ssh", servers.sshd),
                             ("websocket", servers.websocket), ("postgres", servers.postgres)):
            if server:
                listeners.append({"name": name, "listen": port(), "upstream": server.address})
        return listeners

    def make_all_logs(self):
        """Those of policies that a listener has only for a while, too: a worker keeps what it needs for them."""
        for pair in (*events.POLICIES, None):
            self.instance.write_config([dict(one, on_stall=pair[0], on_full=pair[1]) if pair and one["name"] == "plain"
                                        else one for one in self.instance.listeners])
            self.instance.command("reload")

    def make_loads(self, servers, small, other):
        """Through `outer` to the other site's `inner`, whose upstream is the generator's."""
        self.other = other
        self.instance.windows_of_others = [other.instance.windows]
        pause = 2.0 if small else 1.0
        loads = [traffic.Generated(self, "plain", self.upstreams["plain"], pause),
                 traffic.Generated(self, "local", self.upstreams["local"], 2 * pause, urgent_percent=0,
                                   reset_percent=0),
                 traffic.Generated(self, "gap", self.upstreams["gap"], pause),
                 traffic.Generated(self, "shut", self.upstreams["shut"], pause),
                 traffic.Generated(self, "outer", other.upstreams["inner"], pause, also=(other, "inner")),
                 traffic.Idlers(self, "echo", pause, silence=3 if small else 20),
                 traffic.Strangers(self, "trap", GREETING, pause),
                 traffic.Pooled(self, "pool"), traffic.Pooled(self, "hashed")]
        for name, kind, server in (("web", traffic.Curl, servers.nginx), ("ssh", traffic.Ssh, servers.sshd),
                                   ("redis", traffic.RedisBenchmark, servers.redis),
                                   ("websocket", traffic.WebSocket, servers.websocket),
                                   ("postgres", traffic.PgBench, servers.postgres)):
            if server:
                loads.append(kind(self, name, server, 2 * pause))
        self.loads = loads
        # A visit of these may be several connections.
        self.several = {load.listener for load in loads if isinstance(load, traffic.Real)}

    def deck(self, track):
        """The kinds of events that this site can have."""
        if track == "process":
            commands = ["rotate", "reload", "policies", "listener-away", "upstream-drain"]
            if self.name == "steady":
                return commands
            return ["kill", "kill", "kill-in-recovery", "kill-in-drain", "drain", "drain", "end-at-once", "takeover",
                    "takeover", "overlap-kill-old", "overlap-kill-taker", "overlap-reload", "overlap-disk-full",
                    *commands]
        kinds = ["upstream-down", "upstream-hang", "flap", "flap"]
        if self.clock:
            kinds += ["clock-step"]
        if self.disk:
            kinds += ["disk-full", "disk-full", "disk-hang"]
        if shutil.which("strace"):
            kinds += ["disk-slow"]
        return kinds

    # ── Asked by the others ──────────────────────────────────────────────────────────────────────────────────────

    def policies(self, listener, began, ended):
        """The pairs (on_stall, on_full) that sessions of these times may have."""
        usual = next((one for one in self.listeners if one["name"] == listener), {})
        changed = self.instance.windows.overlapping(began, ended, kinds=("policies",))
        return {(usual.get("on_stall", "block"), usual.get("on_full", "block"))} | {
            window.detail[1] for window in changed if window.detail[0] == listener}

    def excused(self, listener, began, ended):
        """The disturbances that explain an error of a client's between these times."""
        found = self.excused_here(listener, began, ended)
        if listener in ("outer", "inner"):
            found += self.other.excused_here({"outer": "inner", "inner": "outer"}[listener], began, ended)
        return found

    def excused_here(self, listener, began, ended):
        found = []
        for window in self.instance.windows.overlapping(began, ended, listener):
            if window.kind.startswith("disk"):
                fine = any("close" in pair for pair in self.policies(listener, began, ended))
            elif window.kind == "reload-remove":  # who came before is served
                fine = listener in self.several or began > window.begin - 0.2
            elif window.kind == "takeover":  # who came before the new process served has until the old one's deadline
                fine = began < (window.detail or window.deadline) and ended > window.deadline - 0.5
            elif window.kind == "overlap-kill":
                fine = began < window.detail
            elif window.kind == "drain":  # who came before it has until its deadline
                fine = began > window.begin - 1.0 or ended > window.deadline - 0.5
            else:
                fine = window.kind in ("kill", "upstream-down", "upstream-hang")
            if fine:
                found.append(window)
        return found

    def generator_words(self, listener):
        """The options that shape the generator's scripts, for its other commands."""
        load = next(load for site in (self, self.other) for load in site.loads
                    if isinstance(load, traffic.Generated) and (site, listener) in load.places)
        return [word for name, value in load.options.items() if name.endswith(("percent", "max"))
                for word in ("--" + name.replace("_", "-"), value)]

    @staticmethod
    def slow_disk(gateway, milliseconds):
        return traffic.faults.slow_disk(gateway, gateway.scratch, milliseconds)

    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, planned):
        self.events = events.Events(self, [event for event in planned if event.site == self.name])
        self.health.start()
        self.readers.start()
        for load in self.loads:
            load.start()
        for thread in self.threads:
            thread.start()
        self.events.start()

    def _check(self):
        while not self.stopping.wait(self.interval):
            with self.checks.no_exception("the harness itself works"):
                self.checker.cycle()

    def quiet(self):
        """All that is at work ends."""
        self.events.join(60)
        for load in self.loads:
            load.thread.join(200)
        self.readers.join(150)
        for thread in self.threads:
            thread.join(120)

    def finish(self):
        """The gateway ends, and everything is checked that was not."""
        if len(self.instance.generations) == 1:
            self.health.judge_idle(self.checks)
        with self.checks.no_exception(events.EXIT):
            status = self.instance.drain(events.DRAIN_SECONDS + 30)
            assert status == 0, f"{self.name}: status {status}\n{self.instance.process.errors()[-1500:]}"
        self.instance.look()
        self.over.set()
        self.health.thread.join(60)
        self.instance.over = True
        self.checker.cycle(last=True)
        self.health.judge(self.checks)
        left = [file.name for file in (self.instance.directory / "segments").glob("*.pcapng")]
        self.checks.judge(NO_RINGS, [f"{self.name}: {name} is left" for name in os.listdir(self.rings)])
        self.checks.judge("every segment was checked", [f"{self.name}: {name} is left" for name in left])

    def close(self):
        """Whatever happened before."""
        self.stopping.set()
        self.over.set()
        for generation in self.instance.alive():
            generation.process.kill()
        self.echo.stop()
        for member in self.members:
            member.close()
        if self.disk:
            self.disk.close()


