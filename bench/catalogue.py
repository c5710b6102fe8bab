#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the catalogue costs: a gateway that keeps one beside the same gateway without, both up at once on one core and
loaded by turns. README.md says how, and what the figures mean."""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import pairs
import proxies
from pairs import LOADS, interval
from proxies import BenchError
from run import TOP, Bench, machine, prepare

FULL = {"groups": 10, "pairs": 6, "bulk_bytes": 300_000_000, "messages": 10_000, "sessions": 1_500}
QUICK = {"groups": 2, "pairs": 3, "bulk_bytes": 100_000_000, "messages": 5_000, "sessions": 500}
BEHIND_SECONDS = 1.5  # the catalogue's thread has then taken what a load left: it rests for a second at most
WORKERS, P99 = " of the workers alone", "_p99"


def cpu_of_workers(root):
    """As proxies.cpu_exactly, of the threads in the data path only."""
    tasks = f"/proc/{root}/task"
    return sum(int(proxies.read_text(f"{tasks}/{task}/schedstat").split()[0]) for task in os.listdir(tasks)
               if proxies.read_text(f"{tasks}/{task}/comm").startswith("gg-worker")) / 1e9


class Pair(pairs.Pair):
    """One with what is measured, one without."""

    def rest(self, gateway):
        """What is done behind a load is over when this returns."""
        time.sleep(BEHIND_SECONDS)

    def slice(self, gateway, load):
        """One load, and what is done behind it: ((CPU seconds, those of the workers), the client's p99 or None)."""
        before = gateway.cpu_exactly()
        workers = cpu_of_workers(gateway.process.pid)
        _, late = super().slice(gateway, load)
        workers = cpu_of_workers(gateway.process.pid) - workers
        self.rest(gateway)
        return (gateway.cpu_exactly() - before, workers), late

    def group(self, load, count):
        """{metric: the ratio} of as many slices of each by turns, the first of each not counted."""
        cpu = {self.without: [0.0, 0.0], self.with_it: [0.0, 0.0]}
        p99 = {self.without: [], self.with_it: []}
        for number in range(count + 1):
            for gateway in random.sample((self.without, self.with_it), 2):
                seconds, late = self.slice(gateway, load)
                if number > 0:
                    cpu[gateway] = [sum(pair) for pair in zip(cpu[gateway], seconds)]
                    p99[gateway].append(late)
        found = {load: cpu[self.with_it][0] / cpu[self.without][0],
                 load + WORKERS: cpu[self.with_it][1] / cpu[self.without][1]}
        if None not in p99[self.without]:
            found[load + P99] = statistics.median(p99[self.with_it]) / statistics.median(p99[self.without])
        for gateway in (self.without, self.with_it):
            gateway.stop()
            if gateway.recorded_bytes() == 0:
                raise BenchError(f"{gateway.name} recorded nothing")
        return found


class Measurement:
    """What is compared, by which loads; decoding.py has another."""
    name, title = "catalogue", "catalogue on over off"
    about = __doc__
    pair, kind, bench = Pair, proxies.GogetwayCatalogue, Bench
    loads = {name: title for name, (_, _, title) in LOADS.items()}
    full, quick = FULL, QUICK

    @classmethod
    def title_of(cls, metric):
        if metric.endswith(P99):
            return cls.loads[metric.removesuffix(P99)].partition(": CPU")[0] + ": p99"
        return cls.loads[metric.removesuffix(WORKERS)] + (WORKERS if metric.endswith(WORKERS) else "")


def measured(bench, what, loads):
    """{metric: a ratio for each group}"""
    samples = {}
    for number in range(bench.settings["groups"]):
        for load in loads:
            os.sync()
            with what.pair(bench, what.kind) as pair:
                found = pair.group(load, bench.settings["pairs"])
            for metric, ratio in found.items():
                samples.setdefault(metric, []).append(ratio)
            print(f"group {number + 1} {load}: " + " ".join(f"{k}={v:.3f}" for k, v in found.items()), file=sys.stderr)
    return samples


def show(result, what):
    about, settings = result["machine"], result["settings"]
    print(f"{about['cpu']}, Linux {about['kernel']}; recording on {about['recording_on']}; medians of "
          f"{settings['groups']} groups of {settings['pairs']} pairs, and where they lie\n\n"
          f"| {what.title} | median | within | with |\n|---|---:|---|---:|")
    for metric, values in result["samples"].items():
        least, most, sure = interval(values)
        print(f"| {what.title_of(metric)} | {statistics.median(values):.3f} | {least:.3f} to {most:.3f} | {sure:.0%} |")


def main(arguments, what=Measurement):
    parser = argparse.ArgumentParser(prog=f"./dev bench {what.name}", description=what.about)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: to try, not to quote")
    parser.add_argument("--groups", type=int, metavar="N", help="groups of pairs (10; 2 with --quick)")
    parser.add_argument("--load", choices=what.loads, action="append", help="this load alone")
    parser.add_argument("--json", metavar="FILE", help="write every group's ratios there")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where recordings are written during the run: a real disk (build/bench)")
    chosen = parser.parse_args(arguments)
    settings = dict(what.quick if chosen.quick else what.full)
    settings["groups"] = chosen.groups or settings["groups"]
    proxies.Gogetway.program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    try:
        cores = prepare(chosen, {"bulk_bytes": settings["bulk_bytes"] * 2 * (settings["pairs"] + 1)})
        result = {"machine": machine(chosen.dir), "settings": settings}
        with tempfile.TemporaryDirectory(prefix="run-", dir=chosen.dir) as directory:
            bench = what.bench(settings, directory, cores)
            try:
                bench.start_upstream()
                result["samples"] = measured(bench, what, chosen.load or list(what.loads))
            finally:
                bench.stop_upstream()
    except (BenchError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    show(result, what)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
