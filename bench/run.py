#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures gogetway beside HAProxy and nginx, all in one run. README.md says how, and what the figures mean."""
import argparse
import datetime
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import curves
import figures
import proxies
from proxies import BenchError

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOAD = os.path.join(TOP, "build", "bench", "load")
SETTLE_SECONDS = 1.5  # after the load, before CPU time is read: longer than the timed flush of a recording
LOAD_SECONDS_MAX = 300

FULL = {"rounds": 5, "bulk_bytes": 4_000_000_000, "messages": 200_000, "sessions": 20_000, "idle": 2_000,
        "steady_messages": 400_000, "curve_messages": 60_000, "curve_bytes": 1_500_000_000, "curve_rounds": 2}
QUICK = {"rounds": 2, "bulk_bytes": 500_000_000, "messages": 30_000, "sessions": 3_000, "idle": 500,
         "steady_messages": 150_000, "curve_messages": 10_000, "curve_bytes": 200_000_000, "curve_rounds": 1}


def worst_second(metric, result):
    """The worst whole second's rate over the mean second's, of a load that took at least two."""
    seconds = result["by_second"]
    return {metric: min(seconds) / (sum(seconds) / len(seconds))} if len(seconds) > 1 else {}


class Bench:
    def __init__(self, settings, directory, cores):
        self.settings = settings
        self.directory = directory
        self.proxy_core, self.load_core = cores
        self.upstream_port = proxies.free_port()
        self.upstream = None

    def load_command(self, *arguments):
        return ["taskset", "-c", str(self.load_core), LOAD] + [str(a) for a in arguments]

    def start_upstream(self):
        self.upstream = subprocess.Popen(self.load_command("serve", self.upstream_port), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True)
        if self.upstream.stdout.readline() != "ready\n":
            raise BenchError("the upstream did not start")

    def stop_upstream(self):
        if self.upstream:
            self.upstream.kill()
            self.upstream.wait()

    @staticmethod
    def say(line):
        print(line, file=sys.stderr)

    def measure(self, proxy, command, connections, count, *more):
        """Runs one load through a proxy. Returns the load's own figures and the proxy's CPU seconds."""
        before = proxy.cpu_seconds()
        count = max(int(count * proxy.share), connections)
        done = subprocess.run(self.load_command(command, proxy.port, connections, count, *more), check=False,
                              text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=LOAD_SECONDS_MAX)
        if done.returncode != 0:
            raise BenchError(f"{command} through {proxy.name}: {done.stderr.strip()}")
        if not isinstance(proxy, proxies.Direct):
            time.sleep(SETTLE_SECONDS)
        return json.loads(done.stdout), proxy.cpu_seconds() - before

    def bulk(self, proxy):
        result, cpu = self.measure(proxy, "bulk", 4, self.settings["bulk_bytes"])
        gigabytes = result["bytes"] / 1e9
        return {"bulk_cpu": cpu / gigabytes, "bulk_rate": gigabytes / result["seconds"],
                **worst_second("bulk_worst", result)}, result["bytes"]

    def pingpong(self, proxy, connections):
        result, cpu = self.measure(proxy, "pingpong", connections, self.settings["messages"])
        row = f"pingpong_{connections}"
        return {f"{row}_cpu": cpu * 1e6 / result["done"], f"{row}_p99": result["p99_us"]}, 2 * result["bytes"]

    def setup(self, proxy):
        result, cpu = self.measure(proxy, "setup", 32, self.settings["sessions"])
        return {"setup_rate": result["done"] / cpu if cpu > 0 else None}, 2 * result["bytes"]

    def empty(self, proxy):
        result, cpu = self.measure(proxy, "empty", 32, self.settings["sessions"])
        return {"empty_cpu": cpu * 1e6 / result["done"]}, 0

    def steady(self, proxy):
        """A recording gateway is judged by its worst interval: a writer's or a sync's turn must not be one."""
        result, _ = self.measure(proxy, "pingpong", 64, self.settings["steady_messages"])
        return worst_second("steady_worst", result), 2 * result["bytes"]

    def idle(self, proxy):
        if isinstance(proxy, proxies.Direct):
            return {}, 0
        time.sleep(0.5)  # start-up work that goes on behind the listening socket
        start = proxy.memory_bytes()
        count = self.settings["idle"]
        load = subprocess.Popen(self.load_command("idle", proxy.port, count), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        try:
            if load.stdout.readline() != "ready\n":
                raise BenchError(f"idle sessions through {proxy.name} did not open")
            time.sleep(SETTLE_SECONDS)
            grown = proxy.memory_bytes() - start
        finally:
            load.stdin.close()
            load.wait(LOAD_SECONDS_MAX)
        return {"idle_memory": grown / count, "start_memory": start / 1024}, 2 * 64 * count

    def rows(self):
        return [("bulk", self.bulk), ("ping-pong 64", lambda p: self.pingpong(p, 64)),
                ("ping-pong 512", lambda p: self.pingpong(p, 512)), ("setup", self.setup), ("empty", self.empty),
                ("steady", self.steady), ("idle", self.idle)]

    def run_one(self, row, kind):
        """One measurement with a proxy that was started for it, and its recording checked for size and removed."""
        proxy = kind(os.path.join(self.directory, "proxy"), self.proxy_core)
        os.sync()  # what the one before has left to be written is not in this one's bill
        try:
            proxy.start(self.upstream_port)
            values, payload = row(proxy)
            proxy.stop()
            recorded = proxy.recorded_bytes()
            if recorded < payload if proxy.records else recorded > 0:
                raise BenchError(f"{proxy.name} recorded {recorded} bytes of {payload}")
            return proxy.name, values
        finally:
            if proxy.process:
                proxy.process.kill()
                proxy.process.wait()
            proxy.clean()

    def run(self, kinds, wanted):
        samples = {}
        self.start_upstream()
        rows = [(name, row) for name, row in self.rows() if not wanted or wanted in name]
        for number in range(self.settings["rounds"] * self.settings["repeat"]):
            for name, row in rows:
                # Another order each time, so that none always runs behind the same one, whose files are being freed.
                order = random.Random(f"{number} {name}")
                for kind in order.sample(kinds, len(kinds)):
                    if kind.rows is not None and name not in kind.rows:
                        continue
                    proxy, values = self.run_one(row, kind)
                    print(f"round {number + 1} {name}: {proxy} "
                          + " ".join(f"{k}={v:.3f}" for k, v in values.items() if v is not None), file=sys.stderr)
                    for metric, value in values.items():
                        if value is not None:
                            samples.setdefault(metric, {}).setdefault(proxy, []).append(value)
        return samples


def output_lines(command):
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.splitlines() or [""]


def machine(directory):
    cpu = [line.split(":", 1)[1].strip() for line in proxies.read_text("/proc/cpuinfo").splitlines()
           if line.startswith("model name")]
    disk = output_lines(["df", "--output=source,fstype", directory])[-1]
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.isoformat(timespec="seconds"), "cpu": cpu[0] if cpu else platform.machine(),
            "cores": os.cpu_count(), "kernel": platform.release(),
            "haproxy": output_lines(["haproxy", "-v"])[0].split(" - ")[0], "nginx": output_lines(["nginx", "-v"])[0],
            "recording_on": " ".join(disk.split()), "load_average_before": os.getloadavg()[0]}


def options(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller loads and two rounds: to try, not to quote")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (5; 2 with --quick)")
    parser.add_argument("--repeat", type=int, metavar="N", default=1,
                        help="the whole run N times, to see how they agree")
    parser.add_argument("--json", metavar="FILE",
                        help="write every sample there, plots beside it (a whole run: bench/results/DATE.json)")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where recordings are written during the run: a real disk (build/bench)")
    parser.add_argument("--row", metavar="NAME", default="",
                        help="only rows whose name holds this: bulk, setup, curves, ...")
    parser.add_argument("--without", metavar="NAME", action="append", default=[], help="leave out a proxy")
    parser.add_argument("--from", metavar="FILE", dest="earlier",
                        help="measure nothing: show what an earlier run's JSON says (with --json: write it anew)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    if chosen.repeat < 1:
        parser.error("--repeat must be at least 1")
    if not chosen.json and not chosen.quick and not chosen.row and not chosen.earlier:
        chosen.json = os.path.join(TOP, "bench", "results", f"{datetime.date.today().isoformat()}.json")
    return chosen


def prepare(chosen, settings):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxies, one for the load")
    if not os.path.exists(LOAD):
        raise BenchError(f"{LOAD} is missing: ./dev build makes it")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = settings["bulk_bytes"] * 3 // 2
    if shutil.disk_usage(chosen.dir).free < needed:
        raise BenchError(f"{chosen.dir} needs {needed / 1e9:.1f} GB free for a recording")
    return cores[:2]


def measured(chosen):
    """Measures everything that was asked for. Returns what the JSON holds."""
    settings = dict(QUICK if chosen.quick else FULL)
    settings["rounds"] = chosen.rounds or settings["rounds"]
    settings["repeat"] = chosen.repeat
    proxies.Gogetway.program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    cores = prepare(chosen, settings)
    with tempfile.TemporaryDirectory(prefix="run-", dir=chosen.dir) as directory:
        kinds = [kind for kind in proxies.ALL if kind(directory, 0).name not in chosen.without]
        about = machine(chosen.dir)
        bench = Bench(settings, directory, cores)
        try:
            samples = bench.run(kinds, chosen.row)
            points = curves.measure(bench) if chosen.row in "curves" else {}
        finally:
            bench.stop_upstream()
    return {"machine": about, "settings": settings, "quick": chosen.quick,
            **figures.report(samples, settings["rounds"]), "curves": points}


def read_earlier(path):
    """An earlier run's samples, with everything that follows from them worked out again."""
    with open(path, encoding="utf-8") as file:
        result = json.load(file)
    samples = {metric: {name: one["samples"] for name, one in row["proxies"].items()}
               for metric, row in result["metrics"].items()}
    return {**result, **figures.report(samples, result["settings"]["rounds"])}


def show(result):
    about, settings = result["machine"], result["settings"]
    rounds = settings["rounds"]
    samples = {metric: {name: one["samples"] for name, one in row["proxies"].items()}
               for metric, row in result["metrics"].items()}
    if samples:
        print(f"{about['cpu']}, Linux {about['kernel']}, {about['haproxy']}, {about['nginx']}; recording on "
              f"{about['recording_on']}; medians of {rounds} rounds; in brackets the ratio to HAProxy\n")
        print(figures.table(samples, rounds))
    if result["bars"]:
        print("\n" + figures.verdict_table(result["bars"]))
    if settings.get("repeat", 1) > 1:
        spread = result["spread"]
        print(f"\nThe ratios of {settings['repeat']} runs are within {spread['most']:.0%} of each other "
              f"({spread['where']}).")


def main(arguments):
    chosen = options(arguments)
    try:
        result = read_earlier(chosen.earlier) if chosen.earlier else measured(chosen)
    except (BenchError, subprocess.TimeoutExpired) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    except (OSError, ValueError, KeyError) as problem:
        if not chosen.earlier:
            raise
        print(f"bench: {chosen.earlier}: not a result of this bench ({problem!r})", file=sys.stderr)
        return 2
    show(result)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    if chosen.json or not chosen.earlier:
        curves.draw(result["curves"], (chosen.json or os.path.join(chosen.dir, "bench")).removesuffix(".json"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
