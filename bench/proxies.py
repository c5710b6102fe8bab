# SPDX-License-Identifier: Apache-2.0
"""What the benchmark compares: how each proxy is started, stopped, and what its process tree has used."""
import os
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS_MAX = 10
STOP_SECONDS_MAX = 30
SESSIONS_MAX = 4096  # each proxy is told to make room for as many; descriptors are twice that and a few
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, log):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    with open(log, encoding="utf-8", errors="replace") as file:
        raise BenchError(f"{process.args[0]} did not start:\n{file.read()[-2000:]}")


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def process_tree(root):
    """The process and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        stat = read_text(f"/proc/{name}/stat") if name.isdigit() else ""
        if stat:
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    tree, pending = [], [root]
    while pending:
        pid = pending.pop()
        tree.append(pid)
        pending += children.get(pid, [])
    return tree


def cpu_seconds(root):
    """User and system time of the tree: all threads of the living, and what the root's dead children had used."""
    ticks = 0
    for pid in process_tree(root):
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if fields:
            ticks += sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / TICKS_PER_SECOND


def cpu_exactly(root):
    """What the living threads of one process have used, as the scheduler counts it: seconds, to the nanosecond."""
    tasks = f"/proc/{root}/task"
    return sum(int(text.split()[0]) for text in (read_text(f"{tasks}/{task}/schedstat") for task in os.listdir(tasks))
               if text) / 1e9


def memory_bytes(root):
    """Resident memory of the tree. Shared memory is counted once, however often it is mapped."""
    total = 0
    for pid in process_tree(root):
        status = dict(line.split(":", 1) for line in read_text(f"/proc/{pid}/status").splitlines() if ":" in line)
        rollup = dict(line.split(":", 1) for line in read_text(f"/proc/{pid}/smaps_rollup").splitlines()[1:])
        for table, key in ((status, "RssAnon"), (status, "RssFile"), (rollup, "Pss_Shmem")):
            total += int(table.get(key, "0 kB").split()[0]) * 1024
    return total


class Proxy:
    """One way from the load to the upstream. Subclasses write a configuration and give the command."""
    name = ""
    records = False
    rows = None  # only in the rows with these names; None: in all
    share = 1.0  # of each load: for what is slow by its nature

    def __init__(self, directory, core):
        self.directory = directory
        self.core = core
        self.process = None
        self.port = None

    def command(self, upstream_port):
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def start(self, upstream_port):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.port = free_port()
        log = os.path.join(self.directory, "messages")
        with open(log, "wb") as messages:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(self.core)] + self.command(upstream_port), stdin=subprocess.DEVNULL,
                stdout=messages, stderr=messages)
        wait_for_port(self.port, self.process, log)

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def cpu_exactly(self):
        return cpu_exactly(self.process.pid)

    def memory_bytes(self):
        return memory_bytes(self.process.pid)

    def recorded_bytes(self):
        return 0

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BenchError(f"{self.name} did not stop within {STOP_SECONDS_MAX} s") from None
        finally:
            self.process = None

    def clean(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class Direct(Proxy):
    """No proxy: what the load itself costs in time."""
    name = "direct"

    def start(self, upstream_port):
        self.port = upstream_port

    def cpu_seconds(self):
        return 0.0

    def memory_bytes(self):
        return 0


class Haproxy(Proxy):
    name = "haproxy"
    option = ""

    def command(self, upstream_port):
        path = self.write("haproxy.cfg", f"""global
    nbthread 1
    maxconn {SESSIONS_MAX}
defaults
    mode tcp
    timeout connect 10s
    timeout client 300s
    timeout server 300s
{self.option}
listen bench
    bind 127.0.0.1:{self.port}
    server upstream 127.0.0.1:{upstream_port}
""")
        return ["haproxy", "-db", "-f", path]


class HaproxySplice(Haproxy):
    name = "haproxy splice"
    # Not "option splice-auto": its heuristics never spliced this load (CPU and rate were those of plain TCP mode).
    option = "    option splice-request\n    option splice-response"


class Nginx(Proxy):
    name = "nginx stream"

    def command(self, upstream_port):
        path = self.write("nginx.conf", f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log error;
events {{ worker_connections {2 * SESSIONS_MAX + 64}; }}
stream {{
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        proxy_pass 127.0.0.1:{upstream_port};
        proxy_timeout 300s;
    }}
}}
""")
        return ["nginx", "-p", self.directory, "-e", f"{self.directory}/error.log", "-c", path]


class Gogetway(Proxy):
    """One worker, recording everything into a fresh directory on the disk that was asked for."""
    records = True
    splice = "auto"
    workers = 1
    sync = "interval"
    record = "full"
    catalogue = "off"  # behind the data path, and a measurement of its own: catalogue.py
    decode = "off"     # ... and decoding.py
    program = "build/gogetway"
    plugins = "[]"

    @property
    def name(self):
        return f"gogetway splice {self.splice}"

    def command(self, upstream_port):
        path = self.write("gogetway.yaml", f"""dir: {self.directory}/recording
workers: {self.workers}
catalogue: {self.catalogue}
decode: {self.decode}
sync:
  mode: {self.sync}
relay:
  splice: {self.splice}
listeners:
  - listen: 127.0.0.1:{self.port}
    upstream: 127.0.0.1:{upstream_port}
    record: {self.record}
plugins: {self.plugins}
""")
        return [self.program, "run", "-c", path]

    def recorded_bytes(self):
        return sum(os.path.getsize(os.path.join(directory, name))
                   for directory, _, names in os.walk(os.path.join(self.directory, "recording", "segments"))
                   for name in names)


class GogetwayOn(Gogetway):
    splice = "on"


class GogetwayOff(Gogetway):
    splice = "off"


class GogetwayRecordOff(GogetwayOn):
    """What an operator has who sets `record: off`: the same relay without a log."""
    name = "gogetway record off"
    records = False
    record = "off"
    rows = ("bulk", "ping-pong 64", "ping-pong 512", "setup")


class GogetwayTwo(GogetwayOn):
    """Both workers on the one core of the proxies: what sharing the connections costs, not what a second core gives."""
    name = "gogetway 2 workers"
    workers = 2
    rows = ("bulk", "ping-pong 64", "setup")


class GogetwaySyncAlways(Gogetway):
    """Nothing goes on before it is on stable storage: each round trip waits for the disk twice."""
    name = "gogetway sync always"
    sync = "always"
    rows = ("bulk", "ping-pong 64", "setup")
    share = 0.1


class GogetwayCatalogue(GogetwayOn):
    """It keeps a catalogue of what it records."""
    name = "gogetway catalogue on"
    catalogue = "on"


class GogetwayDecoding(GogetwayCatalogue):
    """As it comes: what it records is decoded, too."""
    name = "gogetway decode on"
    decode = "on"


class GogetwayPlugin(GogetwayOn):
    """With a plug-in that sees every session begin and end, and wants nothing more."""
    mode = "none"

    @property
    def name(self):
        return f"gogetway plug-in {self.mode}"

    @property
    def plugins(self):
        return f"[{{path: {os.path.abspath('build/tests/tools/witness.so')}}}]"


class GogetwayPluginPoints(GogetwayPlugin):
    """With the tests' probe, which is called at every point of a session, five or six times, and wants no bytes."""
    mode = "every point"
    wants = "none"

    @property
    def plugins(self):
        probe = os.path.abspath("build/tests/tools/probe.so")
        return f"[{{path: {probe}, config: {{mode: {self.wants}, from: both}}}}]"


class GogetwayPluginCount(GogetwayPluginPoints):
    """The same, and it counts each chunk of both directions."""
    mode = wants = "count"


class GogetwayPluginGate(GogetwayPluginPoints):
    """The same, and it is shown all bytes of both directions before they go on, and passes them."""
    mode = wants = "gate"


class GogetwayLuaGate(GogetwayPlugin):
    """A script: it is shown all bytes of both directions, and passes them."""
    mode = "Lua gate"
    script = """function open(session) session:want("both", "gate") end
function gate(session, data) end
"""

    @property
    def plugins(self):
        library = os.path.abspath("build/plugins/lua/lua.so")
        return f"[{{path: {library}, config: {{script: {self.write('pass.lua', self.script)}}}}}]"


class GogetwayPluginObserve(GogetwayPlugin):
    """With the tests' observer, which is shown the bytes of both directions behind the data path."""
    mode = "observe"
    sleep = "0s"

    @property
    def plugins(self):
        observer = os.path.abspath("build/tests/tools/observer.so")
        return f"[{{path: {observer}, config: {{sleep: {self.sleep}}}}}]"


class GogetwayPluginSleeps(GogetwayPluginObserve):
    mode = "observe asleep"
    sleep = "1s"


ALL = [Direct, Haproxy, HaproxySplice, Nginx, GogetwayOn, Gogetway, GogetwayOff, GogetwayRecordOff, GogetwayTwo,
       GogetwaySyncAlways]
PLUGINS = [GogetwayPlugin, GogetwayPluginPoints, GogetwayPluginCount, GogetwayPluginGate, GogetwayLuaGate,
           GogetwayPluginObserve, GogetwayPluginSleeps]
if not os.path.exists("build/plugins/lua/lua.so"):  # a build without Lua
    PLUGINS.remove(GogetwayLuaGate)
