# SPDX-License-Identifier: Apache-2.0
"""What the samples of a run say: medians, ratios to HAProxy's, how far runs agree, and whether the bars are met."""
import statistics

BASE = "haproxy"

# metric: (what the table calls it, unit, decimals)
METRICS = {
    "bulk_cpu": ("bulk, 4 connections: CPU per GB", "s", 3),
    "bulk_rate": ("bulk, 4 connections: rate", "GB/s", 2),
    "pingpong_64_cpu": ("ping-pong 64 B, 64 connections: CPU per round trip", "us", 2),
    "pingpong_64_p99": ("ping-pong 64 B, 64 connections: p99", "us", 0),
    "pingpong_512_cpu": ("ping-pong 64 B, 512 connections: CPU per round trip", "us", 2),
    "pingpong_512_p99": ("ping-pong 64 B, 512 connections: p99", "us", 0),
    "setup_rate": ("sessions set up per CPU second", "/s", 0),
    "empty_cpu": ("session without a byte, accept to close: CPU", "us", 1),
    "steady_worst": ("ping-pong 64 B, 64 connections: worst second's rate over the mean", "", 2),
    "bulk_worst": ("bulk, 4 connections: worst second's rate over the mean", "", 2),
    "idle_memory": ("memory per idle session", "B", 0),
    "start_memory": ("resident memory at start", "KiB", 0),
}

# What DESIGN's bars are held against: the proxy that records every byte and lets the kernel move what it can.
JUDGED = "gogetway splice on"

# metric, whether the ratio to HAProxy's counts or the value itself, what the bar is, and the next thing to aim at
BARS = [
    ("bulk_cpu", "ratio", "at most", 0.70, 0.60),
    ("pingpong_64_cpu", "ratio", "at most", 1.0, 0.85),
    ("pingpong_512_cpu", "ratio", "at most", 0.9, 0.80),
    ("pingpong_64_p99", "ratio", "at most", 1.1, 1.0),
    ("pingpong_512_p99", "ratio", "at most", 1.1, 1.0),
    ("setup_rate", "ratio", "at least", 1.0, 1.1),
    ("idle_memory", "value", "at most", 1024, 512),
    ("start_memory", "value", "at most", 16 * 1024, 8 * 1024),
]


def ratios(samples, metric, name, rounds):
    """The ratio of the medians to HAProxy's, of each run."""
    by_proxy = samples.get(metric, {})
    base, own = by_proxy.get(BASE, []), by_proxy.get(name, [])
    found = []
    for start in range(0, min(len(base), len(own)), rounds):
        below = statistics.median(base[start:start + rounds])
        if below > 0:
            found.append(statistics.median(own[start:start + rounds]) / below)
    return found

WORST = {"steady_worst", "bulk_worst"}  # of these the least of all rounds is shown: the worst second that was seen


def _names(samples):
    """Every proxy that was measured, in the order in which it first was."""
    return list(dict.fromkeys(name for by_proxy in samples.values() for name in by_proxy))


def table(samples, rounds):
    """Medians over all runs, or the worst. In brackets the ratio to HAProxy; of more than one run, their least and most
    too."""
    names = _names(samples)
    lines = ["| what | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for metric, (title, unit, decimals) in METRICS.items():
        if metric not in samples:
            continue
        cells = []
        for name in names:
            if name not in samples[metric] or (name == "direct" and metric.endswith("_cpu")):
                cells.append("")
                continue
            shown = min if metric in WORST else statistics.median
            cell = f"{shown(samples[metric][name]):.{decimals}f}"
            compared = name not in (BASE, "direct") and metric not in WORST
            found = ratios(samples, metric, name, rounds) if compared else []
            if len(found) == 1:
                cell += f" ({found[0]:.2f})"
            elif found:
                cell += f" ({statistics.median(found):.2f}; {min(found):.2f} to {max(found):.2f})"
            cells.append(cell)
        lines.append(f"| {title}{', ' if unit else ''}{unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(samples, rounds):
    """For machines: every sample, the median, the ratio to HAProxy's of each run, and the bars."""
    metrics = {}
    for metric, by_proxy in samples.items():
        metrics[metric] = {"what": METRICS[metric][0], "unit": METRICS[metric][1], "proxies": {
            name: {"samples": values, "median": statistics.median(values), "least": min(values), "most": max(values),
                   "ratio_to_haproxy": ratios(samples, metric, name, rounds)}
            for name, values in by_proxy.items()}}
    far, where = spread(samples, rounds)
    return {"metrics": metrics, "bars": verdicts(samples, rounds), "spread": {"most": far, "where": where}}


def spread(samples, rounds):
    """How far the runs' ratios are apart at the most, as a part of their median, and where."""
    worst, where = 0.0, "nothing"
    for metric in samples.keys() - WORST:
        for name in samples[metric]:
            found = ratios(samples, metric, name, rounds) if name not in (BASE, "direct") else []
            if len(found) > 1 and (max(found) - min(found)) / statistics.median(found) > worst:
                worst, where = (max(found) - min(found)) / statistics.median(found), f"{METRICS[metric][0]}, {name}"
    return worst, where


def verdicts(samples, rounds):
    """One for each bar that was measured. A bar is met when the median of the runs meets it; the runs are there too."""
    found = []
    for metric, kind, side, bar, goal in BARS:
        values = samples.get(metric, {}).get(JUDGED, [])
        runs = ratios(samples, metric, JUDGED, rounds) if kind == "ratio" else [
            statistics.median(values[start:start + rounds]) for start in range(0, len(values), rounds)]
        if not runs:
            continue
        median = statistics.median(runs)
        unit = "" if kind == "ratio" else METRICS[metric][1]
        found.append({"what": METRICS[metric][0], "proxy": JUDGED, "kind": kind, "unit": unit,
                      "side": side, "bar": bar, "goal": goal, "runs": runs, "median": median,
                      "met": median <= bar if side == "at most" else median >= bar})
    return found


def _figure(one, value):
    return f"{value:.2f}" if one["kind"] == "ratio" else f"{value:,.0f} {one['unit']}"


def verdict_table(found):
    lines = [f"| {JUDGED} | bar | goal | seen | runs | |", "|---|---:|---:|---:|---|---|"]
    for one in found:
        what = one["what"] + (", over HAProxy's" if one["kind"] == "ratio" else "")
        cells = [what, f"{one['side']} {_figure(one, one['bar'])}", _figure(one, one["goal"]),
                 _figure(one, one["median"]), f"{_figure(one, min(one['runs']))} to {_figure(one, max(one['runs']))}",
                 "met" if one["met"] else "missed"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
