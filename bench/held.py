#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one honest session sees of ten thousand others that a plug-in holds: its round trips before, beside and after
them, in the same process. README.md says how, and what the figures mean."""
import argparse
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import proxies
from proxies import BenchError
from run import TOP, Bench, machine, prepare

FULL = {"rounds": 5, "held": 10_000, "messages": 20_000}
QUICK = {"rounds": 2, "held": 2_000, "messages": 5_000}
SPARE = 400  # descriptors of a process beside those of sessions, two each in the gateway
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]  # each has ports of its own
HELD_SECONDS_MAX = 60
ECHO = struct.pack("=QQ", 2, 0)  # load.h: the upstream is to give back what it gets
TIMES = ("before", "beside", "after")


class Holding(proxies.Gogetway):
    """One worker, and the tests' probe as a gate on what clients say: it holds who says WAIT."""
    name = "gogetway that holds"

    @property
    def plugins(self):
        probe = os.path.join(TOP, "build", "tests", "tools", "probe.so")
        return f"[{{path: {probe}, config: {{mode: gate, match: WAIT, verdict: hold}}}}]"

    def ask(self, *words):
        done = subprocess.run([self.program, "probe", *words, "--dir", os.path.join(self.directory, "recording")],
                              check=True, stdout=subprocess.PIPE, text=True)
        return dict(line.split() for line in done.stdout.splitlines())


def hold(gateway, count):
    """As many sessions, each of which has said a message that is held."""
    peers = []
    for number in range(count):
        peer = socket.socket()
        peer.bind((SOURCES[number % len(SOURCES)], 0))
        peer.connect(("127.0.0.1", gateway.port))
        peer.settimeout(HELD_SECONDS_MAX)
        peer.sendall(ECHO + b"WAIT".ljust(64))
        peers.append(peer)
    deadline = time.monotonic() + HELD_SECONDS_MAX
    while int(gateway.ask("seen")["held"]) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"not all of {count} are held")
        time.sleep(0.1)
    return peers


def one_round(bench, settings):
    """{when: (p50, p99, CPU us a round trip)}, of one session's round trips of 64 bytes."""
    found = {}
    gateway = Holding(os.path.join(bench.directory, "proxy"), bench.proxy_core)

    def measure(when):
        result, cpu = bench.measure(gateway, "pingpong", 1, settings["messages"])
        found[when] = (result["p50_us"], result["p99_us"], cpu * 1e6 / result["done"])
    try:
        gateway.start(bench.upstream_port)
        measure("before")
        peers = hold(gateway, settings["held"])
        measure("beside")
        gateway.ask("resume", "pass")
        for peer in peers:
            left = 64
            while left > 0 and (got := len(peer.recv(left))) > 0:
                left -= got
            if left > 0:
                raise BenchError("a session that was held has lost bytes")
            peer.close()
        measure("after")
        gateway.stop()
        return found
    finally:
        if gateway.process:
            gateway.process.kill()
            gateway.process.wait()
        gateway.clean()


def show(samples, settings, about):
    print(f"{about['cpu']}, Linux {about['kernel']}; recording on {about['recording_on']}; one session's round trips "
          f"of 64 bytes, {settings['held']:,} held beside it; medians of {len(samples)} rounds (least to most)\n")
    print("| | p50, us | p99, us | CPU, us |\n|---|---:|---:|---:|")
    for when in TIMES:
        cells = []
        for index in range(3):
            values = [sample[when][index] for sample in samples]
            cells.append(f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        print(f"| {when} | " + " | ".join(cells) + " |")
    over = sorted(sample["beside"][1] / sample["before"][1] for sample in samples)
    print(f"\np99 beside them over before, by round: {statistics.median(over):.2f} ({over[0]:.2f} to {over[-1]:.2f})")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench held", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: to try, not to quote")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (5; 2 with --quick)")
    parser.add_argument("--held", type=int, metavar="N", help="sessions that are held (10000; 2000 with --quick)")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where recordings are written during the run: a real disk (build/bench)")
    chosen = parser.parse_args(arguments)
    settings = {**(QUICK if chosen.quick else FULL), "bulk_bytes": 0}
    settings["rounds"] = chosen.rounds or settings["rounds"]
    most = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE) // 2
    settings["held"] = min(chosen.held or settings["held"], most)
    proxies.Gogetway.program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    try:
        cores = prepare(chosen, settings)
        about = machine(chosen.dir)
        with tempfile.TemporaryDirectory(prefix="run-", dir=chosen.dir) as directory:
            bench = Bench(settings, directory, cores)
            try:
                bench.start_upstream()
                samples = [one_round(bench, settings) for _ in range(settings["rounds"])]
            finally:
                bench.stop_upstream()
    except (BenchError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    show(samples, settings, about)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
