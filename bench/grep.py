#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `gogetway grep` costs beside `grep -c` over the raw bytes of the same sessions, on as many cores. README.md says
how, and what the figures mean."""
import argparse
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from proxies import BenchError
from run import TOP, machine

FULL = {"rounds": 5, "bulk_bytes": 1 << 30, "small_sessions": 2000, "small_rounds": 1000}
QUICK = {"rounds": 3, "bulk_bytes": 128 << 20, "small_sessions": 1000, "small_rounds": 200}
PROGRAM = os.path.join(TOP, "build", "gogetway")
ENCODE_MANY = os.path.join(TOP, "build", "tests", "tools", "encode_many")
BULK_SESSIONS = 16
TOGETHER = 100  # of the small ones
SECONDS_MAX = 300
NEEDLE = b"flag{0123abc}"
LINE_BYTES = 80
# What is searched for, of gogetway, and of GNU grep.
SEARCHES = [
    ("a text", ["-F", "flag{0123abc}"], ["-F", "flag{0123abc}"]),
    ("a text, any case", ["-F", "-i", "FLAG{0123ABC}"], ["-F", "-i", "FLAG{0123ABC}"]),
    ("an expression", [r"flag\{[a-z0-9]+\}"], ["-P", r"flag\{[a-z0-9]+\}"]),
    ("one without a first letter", [r"[a-z]{3}\{[0-9]+abc"], ["-P", r"[a-z]{3}\{[0-9]+abc"]),
]


def timed(command, cores):
    """Seconds by the clock and of CPU, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(["taskset", "-c", cores, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=SECONDS_MAX, check=False, env={**os.environ, "LC_ALL": "C"})
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1, 123):  # xargs: some grep found nothing
        raise BenchError(f"{' '.join(map(str, command))[:200]}: {done.stderr.decode()[-500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, done.stdout.decode()


# ── Stores ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(size):
    """Lines of random words, one in some thousands with the needle: each is found once a line, as grep -c counts."""
    chance = random.Random(7)
    words = [bytes(chance.choices(b"etaoinshrdlucmfwypvbgkjqxz", k=chance.randint(2, 9))) for _ in range(2000)]
    made = []
    for number in range(size // LINE_BYTES):
        line = b" ".join(chance.choices(words, k=14))[:LINE_BYTES - 1].ljust(LINE_BYTES - 1, b".")
        made.append((NEEDLE + line[len(NEEDLE):] if number % 5000 == 0 else line) + b"\n")
    return b"".join(made)


def download(address):
    with socket.create_connection(address) as peer:
        peer.settimeout(SECONDS_MAX)
        room = bytearray(1 << 20)
        while peer.recv_into(room):
            pass


def make_bulk(store, size):
    """Recorded by a gateway: BULK_SESSIONS downloads, all at once."""
    data = memoryview(lines(8 << 20))
    repeats = max(1, size // BULK_SESSIONS // len(data))

    def serve(listener):
        for _ in range(BULK_SESSIONS):
            peer, _ = listener.accept()
            threading.Thread(target=send, args=(peer,)).start()

    def send(peer):
        with peer:
            for _ in range(repeats):
                peer.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        gateway = subprocess.Popen([PROGRAM, "run", "--listen", f"127.0.0.1:{port}", "--upstream",
                                    f"127.0.0.1:{listener.getsockname()[1]}", "--dir", store],
                                   stderr=subprocess.PIPE, text=True)
        try:
            while '"ready"' not in gateway.stderr.readline():
                if gateway.poll() is not None:
                    raise BenchError("the gateway did not start")
            peers = [threading.Thread(target=download, args=(("127.0.0.1", port),)) for _ in range(BULK_SESSIONS)]
            for peer in peers:
                peer.start()
            for peer in peers:
                peer.join()
        finally:
            gateway.terminate()
            gateway.communicate(timeout=SECONDS_MAX)


def make_small(store, sessions, rounds):
    """Written by the encoder: many sessions of small messages, TOGETHER interleaved at a time."""
    timed([ENCODE_MANY, store, sessions, TOGETHER, rounds], "0-1")


# ── Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────


def counted(output):
    return sum(int(line.rsplit(None, 1)[-1].rsplit(":", 1)[-1]) for line in output.splitlines())


def compare(store, raw, name, ours, theirs, settings, samples):
    for cores, count in (("0", 1), ("0-1", 2)):
        gogetway = [PROGRAM, "grep", "-c", *ours, "--dir", store]
        gnu = ["sh", "-c", f'find "$0" -type f -print0 | xargs -0 -P {count} -n 16 grep -c -a "$@" --', raw, *theirs]
        rows = samples.setdefault((name, count), [])
        for _ in range(settings["rounds"]):
            found = {}
            for who, command in random.sample([("ours", gogetway), ("gnu", gnu)], 2):
                seconds, cpu, output = timed(command, cores)
                found[who] = seconds, cpu, counted(output)
            if found["ours"][2] != found["gnu"][2]:
                raise BenchError(f"{name}: {found['ours'][2]} found, and {found['gnu'][2]} by grep")
            rows.append(found)


def show(title, samples, size):
    print(f"\n### {title}: {size >> 20} MiB of payload\n")
    print("| | cores | gogetway, s | grep -c, s | ratio | CPU s | of grep | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for (name, cores), rows in samples.items():
        cells = []
        for index in range(2):
            ours, gnu = ([row[who][index] for row in rows] for who in ("ours", "gnu"))
            ratio = [one / max(other, 1e-6) for one, other in zip(ours, gnu)]
            cells += [f"{statistics.median(ours):.2f}", f"{statistics.median(gnu):.2f}",
                      f"{statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"]
        print(f"| {name} | {cores} | " + " | ".join(cells) + " |")


def measure(title, store, directory, settings):
    raw = os.path.join(directory, "raw")
    timed([PROGRAM, "export", "--format", "raw", "-o", raw, "--dir", store], "0-1")
    timed([PROGRAM, "reindex", "--dir", store], "0-1")
    size = sum(entry.stat().st_size for entry in os.scandir(raw))
    samples = {}
    for name, ours, theirs in SEARCHES:
        if title.startswith("small"):
            ours = [word.replace("FLAG{0123ABC}", "REPLY 77 7").replace("flag{0123abc}", "reply 77 7")
                    .replace(r"flag\{[a-z0-9]+\}", r"reply [0-9]+7 7\b").replace(r"\{[0-9]+abc", r"ly 7[0-9]+ 77\b")
                    for word in ours]
            theirs = [*theirs[:-1], ours[-1]]
        compare(store, raw, name, ours, theirs, settings, samples)
    show(title, samples, size)
    first = subprocess.run([PROGRAM, "sessions", "--json", "--dir", store], capture_output=True, check=True, text=True)
    session = first.stdout.splitlines()[0].split('"id":"')[1][:24]
    spans = [timed([PROGRAM, "grep", "-c", "-F", "nothing has this", session, "--dir", store], "0-1")[0] * 1e3
             for _ in range(settings["rounds"])]
    print(f"\none session of it: {statistics.median(spans):.0f} ms ({min(spans):.0f} to {max(spans):.0f})")
    subprocess.run(["rm", "-rf", raw, store], check=True)


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench grep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller stores and three rounds: to try, not to quote")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (5; 3 with --quick)")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"),
                        help="where stores are made for the run (build/bench)")
    chosen = parser.parse_args(arguments)
    settings = dict(QUICK if chosen.quick else FULL)
    settings["rounds"] = chosen.rounds or settings["rounds"]
    os.makedirs(chosen.dir, exist_ok=True)
    about = machine(chosen.dir)
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; load average before "
          f"{about['load_average_before']:.1f}; medians of {settings['rounds']} rounds (least to most); all of it in "
          f"the page cache")
    try:
        with tempfile.TemporaryDirectory(prefix="grep-", dir=chosen.dir) as directory:
            store = os.path.join(directory, "store")
            make_bulk(store, settings["bulk_bytes"])
            measure("bulk", store, directory, settings)
            make_small(store, settings["small_sessions"], settings["small_rounds"])
            measure("small messages", store, directory, settings)
    except (BenchError, subprocess.SubprocessError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
