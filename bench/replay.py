#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a replay costs beside wrk: the same requests, over as many connections, to the same nginx."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import proxies
from proxies import BenchError
from run import TOP, machine

FULL = {"rounds": 5, "connections": 64, "requests": 200_000, "wrk_seconds": 4}
QUICK = {"rounds": 2, "connections": 64, "requests": 30_000, "wrk_seconds": 1}
RUN_SECONDS_MAX = 300
BODY = "<!doctype html>\n<title>bench</title>\n" + "<p>A page of six hundred bytes or so, always the same.</p>\n" * 9


class HttpServer(proxies.Proxy):
    """nginx as the web server that everything is sent to."""
    name = "nginx"

    def command(self, upstream_port):
        os.makedirs(os.path.join(self.directory, "html"))
        self.write("html/index.html", BODY)
        user = "user root;" if os.geteuid() == 0 else ""  # others may not read the folder of a run
        path = self.write("nginx.conf", f"""daemon off;
{user}
worker_processes 1;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {self.directory}/body;
    proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/fastcgi;
    uwsgi_temp_path {self.directory}/uwsgi;
    scgi_temp_path {self.directory}/scgi;
    server {{ listen 127.0.0.1:{self.port} backlog=4096; root {self.directory}/html; }}
}}
""")
        return ["nginx", "-p", self.directory, "-e", f"{self.directory}/error.log", "-c", path]


def run(core, command, allowed=(0,)):
    """A client on its core. Returns its output and the CPU seconds of its process and all its threads."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(["timeout", str(RUN_SECONDS_MAX), "taskset", "-c", str(core)] + command,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in allowed:
            raise BenchError(f"{command[0]} ended with {process.returncode}:\n{err.read()[-2000:]}")
        return out.read(), usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, settings, directory, cores):
        self.settings, self.directory = settings, directory
        self.client_core, self.server_core = cores
        self.server = HttpServer(os.path.join(directory, "server"), self.server_core)
        self.recorder = proxies.Gogetway(os.path.join(directory, "recorder"), self.server_core)
        self.store = os.path.join(directory, "recorder", "recording")

    def record(self):
        """As many requests as asked for, by a client that ends in order."""
        self.recorder.start(self.server.port)
        count, connections = self.settings["requests"], self.settings["connections"]
        run(self.client_core, ["h2load", "--h1", "-n", str(count), "-c", str(connections), "-t", "1",
                               f"http://127.0.0.1:{self.recorder.port}/index.html"])
        self.recorder.stop()

    def wrk(self):
        out, cpu = run(self.client_core, ["wrk", "-t", "1", "-c", str(self.settings["connections"]), "-d",
                                          f"{self.settings['wrk_seconds']}s",
                                          f"http://127.0.0.1:{self.server.port}/index.html"])
        if "Non-2xx" in out:
            raise BenchError("the server did not serve the page to wrk")
        return int(re.search(r"(\d+) requests in", out).group(1)), cpu

    def h2load(self):
        """Another client that asks a given number of times, as the recording was made."""
        count = self.settings["requests"]
        out, cpu = run(self.client_core, ["h2load", "--h1", "-n", str(count), "-c", str(self.settings["connections"]),
                                          "-t", "1", f"http://127.0.0.1:{self.server.port}/index.html"])
        succeeded = int(re.search(r"(\d+) succeeded", out).group(1))
        if succeeded != count:
            raise BenchError(f"h2load had {succeeded} replies to {count} requests")
        return succeeded, cpu

    def replay(self):
        """Exit status 1 is expected: nginx sends the date of today."""
        path = os.path.join(self.directory, "report.json")
        _, cpu = run(self.client_core,
                     [proxies.Gogetway.program, "replay", "--dir", self.store, "--to", f"127.0.0.1:{self.server.port}",
                      "--speed", "max", "--level", "causal", "--allow-original", "--report", path], allowed=(0, 1))
        with open(path, encoding="utf-8") as file:
            outcome = json.load(file)["outcome"]
        replies = outcome["replies"]
        if replies < self.settings["requests"]:
            raise BenchError(f"the replay had {replies} replies to {self.settings['requests']} requests")
        return replies, cpu

    def rounds(self):
        clients = [("wrk", self.wrk), ("h2load", self.h2load), ("gogetway replay", self.replay)]
        samples = {name: [] for name, _ in clients}
        self.server.start(0)
        self.record()
        for number in range(self.settings["rounds"]):
            shift = number % len(clients)
            for name, client in clients[shift:] + clients[:shift]:
                messages, cpu = client()
                samples[name].append(messages / cpu)
                print(f"round {number + 1}: {name} {messages} messages, {cpu:.2f} CPU s", file=sys.stderr)
        return samples

    def end(self):
        for process in (self.server, self.recorder):
            if process.process:
                process.process.kill()
                process.process.wait()


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests and two rounds: to try, not to quote")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (5; 2 with --quick)")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--dir", metavar="DIR", default=os.path.join(TOP, "build", "bench"))
    chosen = parser.parse_args(arguments)
    settings = dict(QUICK if chosen.quick else FULL)
    settings["rounds"] = chosen.rounds or settings["rounds"]
    proxies.Gogetway.program = os.path.join(TOP, "build", "gogetway")
    os.makedirs(chosen.dir, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    try:
        if len(cores) < 2:
            raise BenchError("two cores are needed: one for the clients, one for the server")
        with tempfile.TemporaryDirectory(prefix="replay-", dir=chosen.dir) as directory:
            bench = Bench(settings, directory, cores[:2])
            try:
                samples = bench.rounds()
            finally:
                bench.end()
        about = machine(chosen.dir)
    except (BenchError, subprocess.TimeoutExpired) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 3
    medians = {name: statistics.median(values) for name, values in samples.items()}
    print(f"{about['cpu']}, Linux {about['kernel']}; HTTP/1.1 keep-alive, {settings['connections']} connections, "
          f"medians of {settings['rounds']}\n")
    print("| client | messages per CPU second | ratio to wrk |\n|---|---:|---:|")
    for name, median in medians.items():
        print(f"| {name} | {median:.0f} | {median / medians['wrk']:.2f} |")
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "settings": settings, "quick": chosen.quick,
                       "messages_per_cpu_second": {name: {"samples": values, "median": medians[name],
                                                          "ratio_to_wrk": medians[name] / medians["wrk"]}
                                                   for name, values in samples.items()}}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
