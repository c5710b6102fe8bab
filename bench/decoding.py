#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What decoding costs: a gateway that decodes what it records beside the same gateway that does not, both with a
catalogue, up at once on one core and loaded by turns, with HTTP. README.md says how, and what the figures mean."""
import os
import re
import subprocess
import sys
import time

import catalogue
import proxies
import run
from proxies import BenchError
from replay import HttpServer
from run import LOAD_SECONDS_MAX
from sustained import metrics

FULL = {"groups": 10, "pairs": 6, "bulk_bytes": 300_000_000, "messages": 20_000, "sessions": 1_500}
QUICK = {"groups": 2, "pairs": 3, "bulk_bytes": 100_000_000, "messages": 5_000, "sessions": 500}
LARGE_BYTES = 1 << 20
REST_SECONDS_MAX, STILL_SECONDS = 120, 1
LOADS = {"messages": "pages of 600 B over 64 connections: CPU per request",
         "bodies": "bodies of 1 MiB over 4 connections: CPU per GB",
         "sessions": "session of one page: CPU"}


class Bench(run.Bench):
    """A web server behind the gateways, on the load's core."""

    def start_upstream(self):
        self.upstream = HttpServer(os.path.join(self.directory, "server"), self.load_core)
        self.upstream.start(0)
        self.upstream_port = self.upstream.port
        with open(os.path.join(self.upstream.directory, "html", "large"), "wb") as file:
            file.write(os.urandom(LARGE_BYTES))

    def stop_upstream(self):
        if self.upstream and self.upstream.process:
            self.upstream.stop()


class Pair(catalogue.Pair):
    """One that decodes, one that does not."""
    beside = proxies.GogetwayCatalogue

    def run(self, gateway, load):
        """One load: the client's p99 of a request, in microseconds."""
        settings = self.bench.settings
        count, connections, page = {"messages": (settings["messages"], 64, "index.html"),
                                    "bodies": (settings["bulk_bytes"] // LARGE_BYTES, 4, "large"),
                                    "sessions": (settings["sessions"], settings["sessions"], "index.html")}[load]
        log = os.path.join(self.bench.directory, "requests")
        done = subprocess.run(
            ["taskset", "-c", str(self.bench.load_core), "h2load", "--h1", "-t", "1", "-n", str(count), "-c",
             str(connections), "--log-file", log, f"http://127.0.0.1:{gateway.port}/{page}"], check=False, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=LOAD_SECONDS_MAX)
        if done.returncode != 0 or not re.search(rf"\b{count} succeeded\b", done.stdout):
            raise BenchError(f"{load} through {gateway.name}: {(done.stderr or done.stdout).strip()[-500:]}")
        with open(log, encoding="ascii") as file:  # start, status, microseconds
            took = sorted(int(line.split()[2]) for line in file)
        os.unlink(log)
        return took[len(took) * 99 // 100]

    def rest(self, gateway):
        """Until all that has ended is decoded, so that it is counted: nothing waits, and nothing has been done for a
        while (what is being decoded does not wait)."""
        super().rest(gateway)
        until, since, done = time.monotonic() + REST_SECONDS_MAX, None, None
        while since is None or time.monotonic() < since + STILL_SECONDS:
            if time.monotonic() > until:
                raise BenchError(f"{gateway.name} is behind after {REST_SECONDS_MAX} s")
            time.sleep(0.2)
            now = metrics(os.path.join(gateway.directory, "recording"))
            waiting = [now.get(name) for name in ("catalogue_lag_bytes", "catalogue_open_sessions",
                                                  "decode_backlog_sessions")]
            if any(waiting) or now.get("decode_bytes") != done:
                since = None
            elif since is None:
                since = time.monotonic()
            done = now.get("decode_bytes")
        if gateway is self.with_it and not done:
            raise BenchError(f"{gateway.name} decoded nothing")


class Measurement(catalogue.Measurement):
    name, title = "decoding", "decode on over off"
    about = __doc__
    pair, kind, bench = Pair, proxies.GogetwayDecoding, Bench
    loads = LOADS
    full, quick = FULL, QUICK


if __name__ == "__main__":
    sys.exit(catalogue.main(sys.argv[1:], Measurement))
