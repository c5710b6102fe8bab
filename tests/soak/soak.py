# SPDX-License-Identifier: Apache-2.0
"""soak.py MINUTES [--seed N] [--report DIR]: a day compressed. See README.md beside this file.

Exit status: 0 every invariant held; 1 one was broken, or it could not run to its end; 2 the command was wrong.
"""
import argparse
import datetime
import os
import pathlib
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import events  # noqa: E402
import gogetway  # noqa: E402
import ledger  # noqa: E402
import members  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import setting  # noqa: E402

SMALL_MINUTES = 1.0     # below: fewer servers, shorter segments
PROGRESS_SECONDS = 10
SITES = ("restless", "steady")
TRACKS = ("process", "world")


class Soak:
    def __init__(self, minutes, seed, scratch):
        self.minutes, self.seed, self.scratch = minutes, seed, scratch
        self.checks = ledger.Checks()
        self.date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        self.sites, self.events, self.left_out = [], [], []
        self.servers = None
        self.seconds = 0.0
        self.interrupted = False
        self.over = threading.Event()

    def repeat(self):
        return f"./dev soak {self.minutes:g} --seed {self.seed}"

    def interrupt(self, *_):
        """Ctrl-C: everything ends as it would at the end of the time."""
        self.interrupted = True
        self.over.set()

    def progress(self):
        done = sum(event.begun is not None for event in self.events)
        checked = sum(site.checker.sessions for site in self.sites)
        total = sum(site.checker.recorded_bytes for site in self.sites)
        last = {site.name: site.health.samples[-1] for site in self.sites if site.health.samples}
        places = "; ".join(f"{name} {one['private'] / (1 << 20):.1f} MiB {one['descriptors']} fds "
                           f"{one['sessions']} open" for name, one in last.items())
        print(f"{self.seconds:6.0f} s  {done}/{len(self.events)} events, {checked} sessions, {total / 1e6:.0f} MB "
              f"checked, {self.checks.broken_count} broken; {places}", flush=True)

    def run(self):
        small = self.minutes < SMALL_MINUTES
        try:
            self.servers = setting.Servers(self.scratch, small)
            inners = [processes.address("127.0.0.1", members.quiet_port()) for _ in SITES]
            for number, name in enumerate(SITES):
                self.sites.append(setting.Site(name, self.scratch, self.seed, self.servers, self.checks, small,
                                               (inners[number], inners[1 - number])))
            for number, site in enumerate(self.sites):
                site.make_loads(self.servers, small, self.sites[1 - number])
            self.left_out = self.servers.left_out + [f"{site.name}: {text}" for site in self.sites
                                                     for text in site.left_out]
            self.events = events.plan(self.seed, 60 * self.minutes, {
                (site.name, track): site.deck(track) for site in self.sites for track in TRACKS})
            self.work(60 * self.minutes)
        finally:
            for site in self.sites:
                site.close()
            if self.servers:
                self.servers.close()

    def work(self, seconds):
        begun = time.monotonic()
        for site in self.sites:
            site.start(self.events)
        while not self.over.is_set() and self.seconds < seconds:
            self.over.wait(min(PROGRESS_SECONDS, max(0.0, begun + seconds - time.monotonic())))
            self.seconds = time.monotonic() - begun
            self.progress()
        for site in self.sites:  # all of them first: they end side by side
            site.stopping.set()
        for site in self.sites:
            site.quiet()
        for site in self.sites:
            site.finish()
        self.progress()


def tell(soak, found, folder):
    for entry in found["broken"][:20]:
        print(f"BROKEN at {entry['second']} s: {entry['check']}: {entry['text'][:1000]}", file=sys.stderr)
    made = sum(row["made"] for row in found["checks"])
    print(f"{found['result']}: {made} checks, {soak.checks.broken_count} broken; report in {folder}")
    if soak.checks.broken_count:
        print(f"seed {soak.seed}; again: {soak.repeat()}", file=sys.stderr)


def main(words):
    parser = argparse.ArgumentParser(prog="./dev soak", description="A day of use and misuse, compressed.")
    parser.add_argument("minutes", type=float, help="how long; below 1 a small one")
    parser.add_argument("--seed", type=int, default=None, help="what happens when is drawn by it (default: another)")
    parser.add_argument("--report", type=pathlib.Path, default=gogetway.ROOT / "build/soak",
                        help="folder of the report")
    parser.add_argument("--keep", action="store_true", help="the scratch directory stays (recordings, messages)")
    options = parser.parse_args(words)
    if not 0 < options.minutes <= 7 * 24 * 60:
        parser.error("MINUTES is between 0 and a week")
    seed = secrets.randbits(31) if options.seed is None else options.seed
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="gogetway-soak-"))
    os.chmod(scratch, 0o755)
    soak = Soak(options.minutes, seed, scratch)
    signal.signal(signal.SIGINT, soak.interrupt)
    signal.signal(signal.SIGTERM, soak.interrupt)
    print(f"soak of {options.minutes:g} minutes, seed {seed}, in {scratch}", flush=True)
    try:
        with soak.checks.no_exception("the soak ran to its end"):
            soak.run()
    finally:
        found = report.write(soak, options.report)
        if options.keep:
            print(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    tell(soak, found, options.report)
    return 1 if soak.checks.broken_count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
