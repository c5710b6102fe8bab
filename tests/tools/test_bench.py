#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own arithmetic: whole process trees, memory shared and not, medians and ratios."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import figures
import pairs  # noqa: E402
import proxies  # noqa: E402

BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
SHARED = """
import mmap, os, sys
first = mmap.mmap(-1, 32 << 20)
first.write(b'x' * (32 << 20))
if os.fork() == 0:
    first.seek(0)
    first.read(32 << 20)
print('ready', flush=True)
sys.stdin.read()
"""


class BenchTest(unittest.TestCase):
    def process(self, code, lines):
        process = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.communicate)
        for _ in range(lines):
            self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def test_cpu_of_living_and_dead_children_and_threads(self):
        code = ("import os, sys, threading\n" + f"burn = {BURN!r}\n"
                "if os.fork() == 0:\n  exec(burn)\n  os._exit(0)\n"
                "os.wait()\n"
                "t = threading.Thread(target=lambda: exec(burn, {}))\nt.start()\nt.join()\n"
                "if os.fork() == 0:\n  exec(burn)\n"
                "print('ready', flush=True)\nsys.stdin.read()\n")
        process = self.process(code, 2)
        self.assertGreaterEqual(len(proxies.process_tree(process.pid)), 2)
        self.assertGreater(proxies.cpu_seconds(process.pid), 0.55)
        self.assertLess(proxies.cpu_seconds(process.pid), 2)

    def test_shared_memory_counts_once(self):
        process = self.process(SHARED, 2)
        memory = proxies.memory_bytes(process.pid)
        self.assertGreater(memory, 32 << 20)
        self.assertLess(memory, 64 << 20)

    def test_medians_and_ratios(self):
        samples = {"bulk_cpu": {"haproxy": [1.0, 2.0, 9.0], "gogetway splice on": [1.0, 1.5, 1.0]}}
        result = figures.report(samples, 3)["metrics"]["bulk_cpu"]["proxies"]
        self.assertEqual(result["gogetway splice on"]["median"], 1.0)
        self.assertEqual(result["gogetway splice on"]["ratio_to_haproxy"], [0.5])
        self.assertIn("| 2.000 | 1.000 (0.50) |", figures.table(samples, 3))

    def test_bars_are_judged_by_the_median_of_the_runs(self):
        samples = {"bulk_cpu": {"haproxy": [1.0] * 3, "gogetway splice on": [0.6, 0.69, 0.9]},
                   "setup_rate": {"haproxy": [100.0] * 3, "gogetway splice on": [99.0, 90.0, 120.0]},
                   "start_memory": {"gogetway splice on": [17000.0, 17000.0, 100.0]}}
        found = {one["what"]: one for one in figures.verdicts(samples, 1)}
        self.assertEqual({what: one["met"] for what, one in found.items()},
                         {"bulk, 4 connections: CPU per GB": True, "sessions set up per CPU second": False,
                          "resident memory at start": False})
        self.assertEqual(found["bulk, 4 connections: CPU per GB"]["runs"], [0.6, 0.69, 0.9])
        text = figures.verdict_table(list(found.values()))
        self.assertIn("| at most 0.70 | 0.60 | 0.69 | 0.60 to 0.90 | met |", text)
        self.assertIn("| at least 1.00 | 1.10 | 0.99 | 0.90 to 1.20 | missed |", text)
        self.assertIn("| at most 16,384 KiB | 8,192 KiB | 17,000 KiB | 100 KiB to 17,000 KiB | missed |", text)

    def test_what_plugins_cost_is_told_by_groups(self):
        samples = {"bulk": {"none": [1.0, 1.05], "count": [1.1, 1.1], "gate": [2.0, 2.5]}}
        text = pairs.table(samples)
        self.assertIn("| none | count | gate |", text)
        self.assertIn("| 1.025 (1.000 to 1.050) | 1.100 (1.100 to 1.100) | 2.250 (2.000 to 2.500) |", text)
        self.assertNotIn("ping-pong", text)  # of those that were measured
        samples["setup"] = {"count": [1.5]}
        self.assertIn("|  | 1.500 (1.500 to 1.500) |  |", pairs.table(samples))

    def test_where_a_median_lies(self):
        self.assertEqual(pairs.interval([3.0, 1.0, 2.0, 5.0, 4.0]), (1.0, 5.0, 1 - 2 / 32))
        self.assertEqual(pairs.interval([float(i) for i in range(6)]), (0.0, 5.0, 1 - 2 / 64))
        least, most, sure = pairs.interval([float(i) for i in range(10)])
        self.assertEqual((least, most), (1.0, 8.0))
        self.assertAlmostEqual(sure, 1 - 2 * 11 / 1024)
        self.assertEqual(pairs.interval([7.0])[:2], (7.0, 7.0))

    def test_what_wants_nothing_costs_nothing(self):
        def verdict(none):
            return pairs.bars({"bulk": {"none": none}}).splitlines()[-1]
        self.assertIn("| at most 1.02 | 1.010 | 97% | 1.000 to 1.020 | met |", verdict([1.0, 1.01, 1.02] * 2))
        self.assertIn("| 1.010 | 97% | 1.000 to 1.030 | not decided: more groups |", verdict([1.0, 1.01, 1.03] * 2))
        self.assertIn("| 1.040 | 97% | 1.030 to 1.050 | missed |", verdict([1.03, 1.04, 1.05] * 2))
        self.assertIn("| 75% | 1.000 to 1.000 | not decided: more groups |", verdict([1.0] * 3))
        self.assertEqual(pairs.bars({"bulk": {"count": [1.0] * 6}}), "")


if __name__ == "__main__":
    unittest.main()
