#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a store of millions of sessions answers, and how fast: it is written through the encoder, indexed from its
segments, and asked by the program. README.md says how, and what the figures mean."""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from proxies import BenchError
from run import TOP, machine

FULL = {"sessions": 5_000_000, "rounds": 11, "runs": 5}  # 20 GB
QUICK = {"sessions": 200_000, "rounds": 1, "runs": 3}
TOGETHER = 2000
SECONDS_MAX = 1800
BAR_MS, SHOW_BAR_MS = 100, 50

# What people ask, as docs/store.md lists it. The store begins with 2024; {hour} is an hour before its end.
QUERIES = [
    ("the latest", ["sessions", "--sort", "-start", "--limit", "50"]),
    ("of a small network", ["sessions", "client=10.3.7.0/24"]),
    ("of a large one, the latest", ["sessions", "client=10.0.0.0/8", "--sort", "-start", "--limit", "50"]),
    ("of a listener, lately", ["sessions", "listener=ssh", "since={hour}", "--limit", "50"]),
    ("that ended so, lately", ["sessions", "close=server-reset", "since={hour}", "--limit", "50"]),
    ("with a tag", ["sessions", "tag=scanner", "--sort", "-start", "--limit", "50"]),
    ("the largest", ["sessions", "--filter", "bytes > 1M and not tag = noise", "--sort", "-bytes", "--limit", "50"]),
    ("by the beginning of an id", ["sessions", "{id}"]),
    ("without an end", ["sessions", "state=cut", "--limit", "50"]),
    ("with gaps", ["sessions", "gaps=1..", "state=closed", "--limit", "50"]),
    ("by a community ID, of an alert", ["sessions", "community_id={community}"]),
    ("totals by hour", ["stats", "--totals", "--by", "hour"]),
]


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=SECONDS_MAX, check=False, **options)
    if done.returncode not in (0, 1):
        raise BenchError(f"{' '.join(str(word) for word in words[:4])}: {done.stderr.decode().strip()[-500:]}")
    return done


def timed(*words):
    """Milliseconds of a whole process, and what it printed."""
    began = time.monotonic()
    output = run(*words).stdout
    return (time.monotonic() - began) * 1e3, output


def spent(*words):
    """Seconds of a process whose output nobody wants, and its most resident bytes."""
    began = time.monotonic()
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(words[:2])} failed")
    return time.monotonic() - began, usage.ru_maxrss * 1024


def forget(store):
    """Takes the store's files out of the page cache, as far as they are written."""
    os.sync()
    for folder, _, names in os.walk(store):
        for name in names:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def size_of(store, under=""):
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(os.path.join(store, under))
               for name in names)


def measured(program, store, settings):
    found = {}
    began = time.monotonic()
    run(os.path.join(TOP, "build", "tests", "tools", "encode_many"), store, settings["sessions"], TOGETHER,
        settings["rounds"], "varied")
    found["written_s"], found["bytes"] = time.monotonic() - began, size_of(store)
    segments = [os.path.join(store, "segments", name) for name in sorted(os.listdir(os.path.join(store, "segments")))]
    forget(store)
    found["cat_s"], _ = spent("cat", *segments)
    forget(store)
    seconds, found["reindex_memory"] = spent(program, "reindex", "--dir", store)
    found["reindex_ms"] = seconds * 1e3
    found["catalogue_bytes"] = os.path.getsize(os.path.join(store, "catalogue.db"))
    _, text = timed(program, "sessions", "--dir", store, "--json", "--limit", "1", "--sort", "-start")
    last = json.loads(text)
    hour = datetime.datetime.fromisoformat(last["start"][:19]) - datetime.timedelta(hours=1)
    found["queries"] = {}
    for name, words in QUERIES:
        words = [word.format(id=last["id"][:20], hour=hour.isoformat() + "Z",
                             community=last["community_id"]["client"]) for word in words]
        samples = [timed(program, words[0], "--dir", store, *words[1:]) for _ in range(settings["runs"])]
        found["queries"][name] = {"ms": [one for one, _ in samples], "lines": samples[0][1].count(b"\n"),
                                  "words": words}
    found["show_ms"] = []
    for number in range(settings["runs"]):
        forget(store)
        _, text = timed(program, "sessions", "--dir", store, "--json", "--limit", str(10 + number))
        session = json.loads(text.splitlines()[-1])["id"]
        forget(store)
        found["show_ms"].append(timed(program, "show", "--dir", store, session)[0])
    return found


def show(result):
    about, settings, found = result["machine"], result["settings"], result["found"]
    print(f"{about['cpu']}, Linux {about['kernel']}, on {about['recording_on']}: {settings['sessions']:,} sessions, "
          f"{found['bytes'] / 1e9:.1f} GB of segments, catalogue {found['catalogue_bytes'] / 1e9:.2f} GB\n")
    print("| what | seen |\n|---|---:|")
    print(f"| reindex | {found['reindex_ms'] / 1e3:.1f} s, {settings['sessions'] / found['reindex_ms'] * 1e3:,.0f} "
          f"sessions/s, {found['bytes'] / found['reindex_ms'] / 1e6:.2f} GB/s, "
          f"{found['reindex_memory'] / 2 ** 20:.0f} MiB at most |")
    print(f"| `cat` of the same segments | {found['cat_s']:.1f} s, {found['bytes'] / found['cat_s'] / 1e9:.2f} GB/s |")
    print(f"\n| question | lines | median ms (least to most of {settings['runs']}) | at most {BAR_MS} |\n"
          "|---|---:|---:|---|")
    for name, one in found["queries"].items():
        median = statistics.median(one["ms"])
        print(f"| {name}: `{' '.join(one['words'])}` | {one['lines']} | {median:.0f} ({min(one['ms']):.0f} to "
              f"{max(one['ms']):.0f}) | {'met' if median <= BAR_MS else 'missed'} |")
    median = statistics.median(found["show_ms"])
    print(f"| one session, nothing in the page cache: `show ID` | | {median:.0f} ({min(found['show_ms']):.0f} to "
          f"{max(found['show_ms']):.0f}) | {'met' if median <= SHOW_BAR_MS else 'missed'} ({SHOW_BAR_MS}) |")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sessions: to try, not to quote")
    parser.add_argument("--sessions", type=int, metavar="N", help="how many (5000000; 200000 with --quick)")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where the store is written: a real disk with 6 kB free for each session (build/bench)")
    chosen = parser.parse_args(arguments)
    settings = dict(QUICK if chosen.quick else FULL)
    settings["sessions"] = chosen.sessions or settings["sessions"]
    program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="store-", dir=chosen.dir) as directory:
            result = {"machine": machine(chosen.dir), "settings": settings,
                      "found": measured(program, os.path.join(directory, "rec"), settings)}
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
