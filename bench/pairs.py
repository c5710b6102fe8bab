#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What plug-ins cost: a gateway with one beside the same gateway without, both up at once and loaded by turns.
README.md says how, and what the figures mean."""
import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import proxies
from proxies import BenchError
from run import LOAD_SECONDS_MAX, TOP, Bench, machine, prepare

FULL = {"groups": 30, "others": 6, "pairs": 10, "bulk_bytes": 300_000_000, "messages": 10_000, "sessions": 1_500}
QUICK = {"groups": 3, "others": 3, "pairs": 4, "bulk_bytes": 100_000_000, "messages": 5_000, "sessions": 500}
SETTLE_SECONDS = 0.05  # a writer's turn that begins behind one's load is not in the other's way
NONE_BAR = 1.02
SURE_LEAST = 0.9  # that the median is in the interval: five groups at the least

# load: (connections, which of the settings is its count, what the table calls it)
LOADS = {"bulk": (4, "bulk_bytes", "bulk, 4 connections: CPU per GB"),
         "pingpong": (64, "messages", "ping-pong 64 B, 64 connections: CPU per round trip"),
         "setup": (32, "sessions", "session of 64 B there and back: CPU")}
P99 = "pingpong_p99"
METRICS = {**{name: title for name, (_, _, title) in LOADS.items()},
           P99: "ping-pong 64 B, 64 connections: p99"}


class Pair:
    """Two gateways that are up at once, on one core."""
    beside = proxies.GogetwayOn

    def __init__(self, bench, kind):
        self.bench = bench
        self.without = self.beside(os.path.join(bench.directory, "without"), bench.proxy_core)
        self.with_it = kind(os.path.join(bench.directory, "with"), bench.proxy_core)

    def __enter__(self):
        for gateway in random.sample((self.without, self.with_it), 2):
            gateway.start(self.bench.upstream_port)
        return self

    def __exit__(self, *_):
        for gateway in (self.without, self.with_it):
            if gateway.process:
                gateway.process.kill()
                gateway.process.wait()
            gateway.clean()

    def run(self, gateway, load):
        """One load: the client's p99 or None."""
        connections, count, _ = LOADS[load]
        done = subprocess.run(
            self.bench.load_command(load, gateway.port, connections, self.bench.settings[count]), check=False,
            text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=LOAD_SECONDS_MAX)
        if done.returncode != 0:
            raise BenchError(f"{load} through {gateway.name}: {done.stderr.strip()}")
        return json.loads(done.stdout).get("p99_us")

    def slice(self, gateway, load):
        """One load: (CPU seconds, the client's p99 or None)."""
        before = gateway.cpu_exactly()
        late = self.run(gateway, load)
        time.sleep(SETTLE_SECONDS)
        return gateway.cpu_exactly() - before, late

    def group(self, load, pairs):
        """{metric: the ratio} of as many slices of each by turns, the first of each not counted: its rings grow."""
        cpu = {self.without: 0.0, self.with_it: 0.0}
        p99 = {self.without: [], self.with_it: []}
        for number in range(pairs + 1):
            for gateway in random.sample((self.without, self.with_it), 2):
                seconds, late = self.slice(gateway, load)
                if number > 0:
                    cpu[gateway] += seconds
                    p99[gateway].append(late)
        found = {load: cpu[self.with_it] / cpu[self.without]}
        if load == "pingpong":
            found[P99] = statistics.median(p99[self.with_it]) / statistics.median(p99[self.without])
        for gateway in (self.without, self.with_it):
            gateway.stop()
            if gateway.recorded_bytes() == 0:
                raise BenchError(f"{gateway.name} recorded nothing")
        return found


def measured(bench, kinds, loads):
    """{metric: {kind: a ratio for each group}}"""
    samples = {}
    settings = bench.settings
    groups = {kind: settings["groups" if kind is proxies.GogetwayPlugin else "others"] for kind in kinds}
    for number in range(max(groups.values())):
        for kind in kinds:
            for load in loads if number < groups[kind] else ():
                os.sync()
                with Pair(bench, kind) as pair:
                    found = pair.group(load, settings["pairs"])
                    name = pair.with_it.name.removeprefix("gogetway plug-in ")
                for metric, ratio in found.items():
                    samples.setdefault(metric, {}).setdefault(name, []).append(ratio)
                print(f"group {number + 1} {name}: " + " ".join(f"{k}={v:.3f}" for k, v in found.items()),
                      file=sys.stderr)
    return samples


def interval(values):
    """Where the median lies with at least 95 %, whatever the distribution: (least, most, how sure, of 1). Of fewer than
    six values it is their whole range, of which one is less sure."""
    values, count = sorted(values), len(values)
    outside, beyond = 0, 0.5 ** count  # of either side: values left out, and the chance that the median is beyond them
    while True:
        more = beyond + math.comb(count, outside + 1) * 0.5 ** count
        if 2 * more > 0.05 or outside + 1 > (count - 1) // 2:
            break
        outside, beyond = outside + 1, more
    return values[outside], values[count - 1 - outside], 1 - 2 * beyond


def table(samples):
    """The medians of the groups' ratios, and where each lies."""
    names = list(dict.fromkeys(name for by_name in samples.values() for name in by_name))
    lines = [f"| over the same without a plug-in | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for metric, title in METRICS.items():
        if metric not in samples:
            continue
        cells = []
        for name in names:
            values = samples[metric].get(name, [])
            least, most, _ = interval(values) if values else (0, 0, 0)
            cells.append(f"{statistics.median(values):.3f} ({least:.3f} to {most:.3f})" if values else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def bars(samples):
    """Whether a plug-in that wants nothing costs at most 2 %. What the interval does not decide is not decided."""
    lines = ["| plug-in none | bar | seen | the median is, with | within | |", "|---|---:|---:|---:|---|---|"]
    for load in LOADS:
        values = samples.get(load, {}).get("none")
        if not values:
            continue
        least, most, sure = interval(values)
        met, missed = most <= NONE_BAR and sure > SURE_LEAST, least > NONE_BAR and sure > SURE_LEAST
        lines.append(f"| {METRICS[load]} | at most {NONE_BAR:.2f} | {statistics.median(values):.3f} | {sure:.0%} | "
                     f"{least:.3f} to {most:.3f} | "
                     f"{'met' if met else 'missed' if missed else 'not decided: more groups'} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def show(result):
    about, settings = result["machine"], result["settings"]
    print(f"{about['cpu']}, Linux {about['kernel']}; recording on {about['recording_on']}; medians of "
          f"{settings['groups']} groups (others than none: {settings['others']}) of {settings['pairs']} pairs, in "
          f"brackets where they lie\n")
    print(table(result["samples"]))
    if text := bars(result["samples"]):
        print("\n" + text)


def main(arguments):
    known = {kind.mode: kind for kind in proxies.PLUGINS}
    parser = argparse.ArgumentParser(prog="./dev bench plugins", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: to try, not to quote")
    parser.add_argument("--groups", type=int, metavar="N", help="groups of pairs with the plug-in that wants nothing "
                        "(30; 3 with --quick)")
    parser.add_argument("--others", type=int, metavar="N", help="with each of the others (6; 3 with --quick)")
    parser.add_argument("--only", choices=known, action="append", help="this plug-in alone")
    parser.add_argument("--load", choices=LOADS, action="append", help="this load alone")
    parser.add_argument("--json", metavar="FILE", help="write every group's ratios there")
    parser.add_argument("--from", metavar="FILE", dest="earlier", help="measure nothing: show what such a file says")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where recordings are written during the run: a real disk (build/bench)")
    chosen = parser.parse_args(arguments)
    if chosen.earlier:
        with open(chosen.earlier, encoding="utf-8") as file:
            show(json.load(file))
        return 0
    settings = dict(QUICK if chosen.quick else FULL)
    settings["groups"] = chosen.groups or settings["groups"]
    settings["others"] = chosen.others or settings["others"]
    proxies.Gogetway.program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    try:
        group_bytes = settings["bulk_bytes"] * 2 * (settings["pairs"] + 1)
        cores = prepare(chosen, {"bulk_bytes": group_bytes})
        result = {"machine": machine(chosen.dir), "settings": settings}
        with tempfile.TemporaryDirectory(prefix="run-", dir=chosen.dir) as directory:
            bench = Bench(settings, directory, cores)
            try:
                bench.start_upstream()
                result["samples"] = measured(bench, [known[mode] for mode in chosen.only or known],
                                             chosen.load or list(LOADS))
            finally:
                bench.stop_upstream()
    except (BenchError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    show(result)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
