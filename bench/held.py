#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one honest session sees of ten thousand others that a plug-in holds: its round trips before and beside them, and
beside as many that nobody holds. README.md says how, and what the figures mean."""
import argparse
import os
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import proxies
from pairs import interval
from proxies import BenchError
from run import TOP, Bench, machine, prepare

FULL = {"rounds": 8, "held": 10_000, "messages": 20_000}
QUICK = {"rounds": 2, "held": 2_000, "messages": 5_000}
SPARE = 400  # descriptors of a process beside those of sessions, two each in the gateway
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]  # each has ports of its own
HELD_SECONDS_MAX = 60
ECHO = struct.pack("=QQ", 2, 0)  # load.h: the upstream is to give back what it gets


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


class Idle(proxies.Gogetway):
    """The same worker without a plug-in: as many sessions beside, none of them held."""
    name = "gogetway beside idle ones"


def meet(gateway, count):
    """As many sessions, each of which has said a message."""
    peers = []
    for number in range(count):
        peer = socket.socket()
        peer.bind((SOURCES[number % len(SOURCES)], 0))
        peer.connect(("127.0.0.1", gateway.port))
        peer.settimeout(HELD_SECONDS_MAX)
        peer.sendall(ECHO + b"WAIT".ljust(64))
        peers.append(peer)
    return peers


def wait_held(gateway, count):
    deadline = time.monotonic() + HELD_SECONDS_MAX
    while int(gateway.ask("seen")["held"]) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"not all of {count} are held")
        time.sleep(0.1)


def take_echoes(peers):
    for peer in peers:
        left = 64
        while left > 0 and (got := len(peer.recv(left))) > 0:
            left -= got
        if left > 0:
            raise BenchError("a session that was held has lost bytes")


def one_round(bench, settings, kind):
    """{when: (p50, p99, CPU us a round trip)}, of one session's round trips of 64 bytes."""
    found = {}
    gateway = kind(os.path.join(bench.directory, "proxy"), bench.proxy_core)
    peers = []

    def measure(when):
        result, cpu = bench.measure(gateway, "pingpong", 1, settings["messages"])
        found[when] = (result["p50_us"], result["p99_us"], cpu * 1e6 / result["done"])
    try:
        gateway.start(bench.upstream_port)
        measure("before")
        peers = meet(gateway, settings["held"])
        if kind is Holding:
            wait_held(gateway, settings["held"])
            measure("beside held ones")
            gateway.ask("resume", "pass")
        take_echoes(peers)
        measure("beside idle ones")
        for peer in peers:
            peer.close()
        gateway.stop()
        return found
    finally:
        for peer in peers:
            peer.close()
        if gateway.process:
            gateway.process.kill()
            gateway.process.wait()
        gateway.clean()


def show(samples, settings, about):
    print(f"{about['cpu']}, Linux {about['kernel']}; recording on {about['recording_on']}; one session's round trips "
          f"of 64 bytes, {settings['held']:,} sessions beside it; medians of {settings['rounds']} rounds (least to "
          f"most)\n")
    print("| | p50, us | p99, us | CPU, us |\n|---|---:|---:|---:|")
    for kind, rounds in samples.items():
        for when in rounds[0]:
            cells = []
            for index in range(3):
                values = [found[when][index] for found in rounds]
                cells.append(f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
            print(f"| {kind}, {when} | " + " | ".join(cells) + " |")
    held, idle = (samples[kind.name] for kind in (Holding, Idle))
    over = [one["beside held ones"][1] / other["beside idle ones"][1] for one, other in zip(held, idle)]
    least, most, sure = interval(over)
    print(f"\np99 beside held ones over beside idle ones of a gateway without a plug-in: {statistics.median(over):.2f} "
          f"({least:.2f} to {most:.2f}; the median lies there with {sure:.0%})")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench held", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: to try, not to quote")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (8; 2 with --quick)")
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
                samples = {kind.name: [] for kind in (Holding, Idle)}
                for _ in range(settings["rounds"]):
                    for kind in random.sample((Holding, Idle), 2):
                        samples[kind.name].append(one_round(bench, settings, kind))
            finally:
                bench.stop_upstream()
    except (BenchError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    show(samples, settings, about)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
