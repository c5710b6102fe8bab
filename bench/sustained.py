#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Short sessions as fast as they come for a minute, with the catalogue on: whether all of them are in it afterwards,
how far it lags meanwhile, and what memory it takes. README.md says how, and what the figures mean."""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from proxies import BenchError
from run import TOP, machine

CONNECTIONS, AT_ONCE, WORKERS = 64, 200_000, 2
BAR_PER_SECOND = 20_000
LOAD_SECONDS_MAX, REST_SECONDS_MAX = 120, 900
PROGRAM, LOAD = (os.path.join(TOP, "build", name) for name in ("gogetway", "bench/load"))


def asked(*words):
    done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          timeout=REST_SECONDS_MAX)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(words[:2])}: {done.stderr.decode().strip()[-500:]}")
    return done.stdout


def metrics(store):
    return json.loads(asked("stats", "--dir", store, "--json"))["metrics"]


def resident_bytes(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def sampled(process, store):
    """A list of (seconds since the beginning, resident bytes, bytes that the catalogue has not taken), each second."""
    samples, over = [], threading.Event()
    began = time.monotonic()

    def sample():
        while not over.wait(1):
            samples.append((time.monotonic() - began, resident_bytes(process), metrics(store)["catalogue_lag_bytes"]))
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def loaded(place, seconds):
    """(how many sessions there were, how many in each whole second of each load)"""
    done, by_second = 0, []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        load = subprocess.run([LOAD, "setup", place, str(CONNECTIONS), str(AT_ONCE)], stdin=subprocess.DEVNULL,
                              capture_output=True, check=False, timeout=LOAD_SECONDS_MAX)
        if load.returncode != 0:
            raise BenchError(load.stderr.decode())
        told = json.loads(load.stdout)
        done += told["done"]
        by_second += told["by_second"]
    return done, by_second


def rested(process, store, done):
    """Seconds until the catalogue has all that was recorded."""
    began = time.monotonic()
    while time.monotonic() - began < REST_SECONDS_MAX:
        now = metrics(store)
        if now["catalogue_lag_bytes"] == 0 and now["catalogue_open_sessions"] == 0 and now["sessions_closed"] == done:
            return time.monotonic() - began
        if process.poll() is not None:
            raise BenchError("the gateway ended")
        time.sleep(0.2)
    raise BenchError(f"the catalogue is behind after {REST_SECONDS_MAX} s")


@contextlib.contextmanager
def running(command, place, log):
    """A process that listens at the path of a socket."""
    with open(log, "wb") as messages:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages)
    try:
        while not os.path.exists(place):
            if process.poll() is not None:
                raise BenchError(f"{command[0]}: ended with {process.returncode}; see {log}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def measured(directory, sockets, seconds):
    store = os.path.join(directory, "rec")
    inside, outside = os.path.join(sockets, "in"), os.path.join(sockets, "up")
    gateway = [PROGRAM, "run", "--workers", str(WORKERS), "--listen", f"unix:{inside}", "--upstream", f"unix:{outside}",
               "--dir", store]
    found = {}
    with (running([LOAD, "serve", outside], outside, os.path.join(directory, "upstream.log")),
          running(gateway, inside, os.path.join(directory, "gateway.log")) as process):
        time.sleep(1)
        found["memory_before"] = resident_bytes(process)
        began = time.monotonic()
        with sampled(process, store) as samples:
            found["sessions"], found["by_second"] = loaded(inside, seconds)
            found["seconds"] = time.monotonic() - began
            found["rest_seconds"] = rested(process, store, found["sessions"])
        found["samples"] = samples
    totals = asked("stats", "--dir", store, "--totals", "--by", "listener", "--json").splitlines()
    found["listed"] = sum(json.loads(total)["sessions"] for total in totals)
    found["ids"] = len(set(line.split()[0] for line in asked("sessions", "--dir", store).splitlines()[1:]))
    asked("reindex", "--dir", store, "--check")
    return found


def show(result):
    about, found = result["machine"], result["found"]
    whole = sorted(found["by_second"])
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; recording on {about['recording_on']}; "
          "load, gateway and upstream on the same cores, over unix sockets\n\n| | |\n|---|---:|")
    print(f"| sessions in {found['seconds']:.0f} s | {found['sessions']:,} |")
    print(f"| a second: all; the median of seconds, the least | {found['sessions'] / found['seconds']:,.0f}; "
          f"{statistics.median(whole):,.0f}, {whole[0]:,} (bar {BAR_PER_SECOND:,}) |")
    print(f"| in the catalogue afterwards; different ids | {found['listed']:,}; {found['ids']:,} |")
    print(f"| until it had them, after the last | {found['rest_seconds']:.1f} s |")
    print(f"| farthest that it was behind | {max(lag for _, _, lag in found['samples']) / 2 ** 20:,.0f} MiB |")
    print(f"| memory of the gateway before, at most | {found['memory_before'] / 2 ** 20:,.0f} MiB, "
          f"{max(bytes_ for _, bytes_, _ in found['samples']) / 2 ** 20:,.0f} MiB |")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench sustained", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten seconds: to try, not to quote")
    parser.add_argument("--seconds", type=int, metavar="N", help="how long (60; 10 with --quick)")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where the recording is written: a real disk with 5 GB free (build/bench)")
    chosen = parser.parse_args(arguments)
    os.makedirs(chosen.dir, exist_ok=True)
    try:
        with (tempfile.TemporaryDirectory(prefix="sustained-", dir=chosen.dir) as directory,
              tempfile.TemporaryDirectory() as sockets):
            result = {"machine": machine(chosen.dir),
                      "found": measured(directory, sockets, chosen.seconds or (10 if chosen.quick else 60))}
    except (BenchError, OSError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    show(result)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    missing = result["found"]["sessions"] - result["found"]["listed"]
    return 1 if missing or result["found"]["listed"] != result["found"]["ids"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
