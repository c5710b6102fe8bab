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
import guard  # noqa: E402
import ledger  # noqa: E402
import members  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import setting  # noqa: E402

SMALL_MINUTES = 1.0     # below: fewer servers, shorter segments
PROGRESS_SECONDS = 10
SITES = ("restless", "steady")
TRACKS = ("process", "world")
RINGS_BYTES = 640 << 20     # a tmpfs of this size has all rings, of the dead and the living
FREE_BYTES_MIN = 1 << 30    # of memory and of the disk: when there is less, the soak ends
ROOM = "the soak leaves room for others"


class Soak:
    def __init__(self, minutes, seed, scratch):
        self.minutes, self.seed, self.scratch = minutes, seed, scratch
        self.checks = ledger.Checks()
        self.date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        self.sites, self.events, self.left_out = [], [], []
        self.servers = None
        self.rings = None
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
            self.rings = setting.Rings(self.scratch, RINGS_BYTES)
            self.servers = setting.Servers(self.scratch, small)
            inners = [processes.address("127.0.0.1", members.quiet_port()) for _ in SITES]
            for number, name in enumerate(SITES):
                self.sites.append(setting.Site(
                    name, self.scratch, self.seed, self.servers, self.rings, self.checks, small,
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
            if self.rings:
                self.rings.close()

    def finish(self, site):
        with self.checks.no_exception("the soak ran to its end"):
            site.finish()

    def judge_room(self):
        with open("/proc/meminfo") as file:
            memory = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
        free = {"memory": memory, str(self.scratch): shutil.disk_usage(self.scratch).free}
        problems = [f"{name}: {count >> 20} MiB are left" for name, count in free.items() if count < FREE_BYTES_MIN]
        self.checks.judge(ROOM, problems)
        if problems:
            self.over.set()

    def work(self, seconds):
        begun = time.monotonic()
        for site in self.sites:
            site.start(self.events)
        while not self.over.is_set() and self.seconds < seconds:
            self.over.wait(min(PROGRESS_SECONDS, max(0.0, begun + seconds - time.monotonic())))
            self.seconds = time.monotonic() - begun
            self.progress()
            self.judge_room()
        for site in self.sites:  # all of them first: they end side by side
            site.stopping.set()
        for site in self.sites:
            site.quiet()
        threads = [threading.Thread(target=self.finish, args=(site,)) for site in self.sites]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.progress()


def tell(soak, found, folder):
    for entry in found["broken"][:20]:
        print(f"BROKEN at {entry['second']} s: {entry['check']}: {entry['text'][:1000]}", file=sys.stderr)
    made = sum(row["made"] for row in found["checks"])
    print(f"{found['result']}: {made} checks, {soak.checks.broken_count} broken; report in {folder}")
    if soak.checks.broken_count:
        print(f"seed {soak.seed}; again: {soak.repeat()}", file=sys.stderr)


def work(soak, options):
    """Its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the guard's
    signal.signal(signal.SIGTERM, soak.interrupt)
    try:
        with soak.checks.no_exception("the soak ran to its end"):
            soak.run()
    finally:
        found = report.write(soak, options.report)
        shutil.rmtree(options.report / "evidence", ignore_errors=True)  # of one before
        if (soak.scratch / "evidence").exists():
            shutil.copytree(soak.scratch / "evidence", options.report / "evidence", dirs_exist_ok=True)
        if options.keep:
            print(f"kept: {soak.scratch}")
        else:
            shutil.rmtree(soak.scratch, ignore_errors=True)
    tell(soak, found, options.report)
    return 1 if soak.checks.broken_count else 0


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
    print(f"soak of {options.minutes:g} minutes, seed {seed}, in {scratch}", flush=True)
    return guard.run(lambda: work(Soak(options.minutes, seed, scratch), options), scratch, options.keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
