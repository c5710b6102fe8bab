# SPDX-License-Identifier: Apache-2.0
"""How cost grows with the number of sessions and with the size of messages: points for the plots in results/."""
import os
import random
import statistics

import plot
import proxies

CONNECTIONS = [1, 4, 16, 64, 256, 1024, 4000]
SIZES = [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576]
SIZE_CONNECTIONS = 16
KINDS = [proxies.Haproxy, proxies.GogetwayOn, proxies.GogetwayOff]


def _sessions(bench, connections):
    def row(proxy):
        count = max(bench.settings["curve_messages"], 2 * connections)
        result, cpu = bench.measure(proxy, "pingpong", connections, count)
        return {"point": cpu * 1e6 / result["done"]}, 2 * result["bytes"]
    return row


def _messages(bench, size):
    def row(proxy):
        count = int(min(bench.settings["curve_messages"], bench.settings["curve_bytes"] / size))
        result, cpu = bench.measure(proxy, "reply", SIZE_CONNECTIONS, count, size)
        return {"point": cpu * 1e6 / result["done"]}, result["bytes"]
    return row


def _size_text(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB" if size >= 1 << 10 else f"{size} B"


CURVES = {
    "sessions": (CONNECTIONS, _sessions, "64 B there and back: CPU per round trip", "sessions, each with one message "
                 "under way", str),
    "messages": (SIZES, _messages, f"64 B there, more back, {SIZE_CONNECTIONS} sessions: CPU per round trip",
                 "size of the reply", _size_text),
}


def measure(bench):
    """name of the curve: proxy: [(x, median microseconds)]"""
    curves = {}
    for name, (points, row, *_) in CURVES.items():
        for x in points:
            samples = {}
            for number in range(bench.settings["curve_rounds"]):
                for kind in random.Random(f"{number} {name} {x}").sample(KINDS, len(KINDS)):
                    proxy, values = bench.run_one(row(bench, x), kind)
                    samples.setdefault(proxy, []).append(values["point"])
            for proxy, values in samples.items():
                curves.setdefault(name, {}).setdefault(proxy, []).append((x, statistics.median(values)))
            bench.say(f"{name} {x}: " + " ".join(f"{p}={statistics.median(v):.2f}us" for p, v in samples.items()))
    return curves


def draw(curves, stem):
    """Writes STEM-sessions.svg and STEM-messages.svg. A point without any CPU time that was seen is left out."""
    for name, series in curves.items():
        _, _, title, x_title, x_label = CURVES[name]
        shown = {proxy: [(x, y) for x, y in line if y > 0] for proxy, line in series.items()}
        with open(f"{stem}-{name}.svg", "w", encoding="utf-8") as file:
            file.write(plot.chart(title, x_title, "microseconds", shown, x_label))
        print(f"wrote {os.path.relpath(stem)}-{name}.svg")
