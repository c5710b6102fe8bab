# SPDX-License-Identifier: Apache-2.0
"""What a soak leaves: soak.json, soak.md, and a drawing of memory, descriptors and threads over its time."""
import collections
import json
import os
import platform
import subprocess

import gogetway
import health

WIDTH, ROW, LEFT, RIGHT, TOP = 860, 96, 110, 90, 30
SERIES = (("private", "private memory, MiB", 1 << 20), ("resident", "resident, with rings, MiB", 1 << 20),
          ("descriptors", "descriptors", 1), ("threads", "threads", 1), ("sessions", "open sessions", 1))
POINTS_MAX = 400
FLAT = f"""Flat is: in the second half of the life of the process that lived longest, the straight line through the
lowest samples of each thirtieth of it grows by no more than the bound, which for memory is
{health.PRIVATE_A_DAY >> 20} MiB a day, and {health.SLACKS["private"][True] >> 10} KiB for what a heap still settles in
({health.SLACKS["private"][False] >> 20} MiB in the first minute). Descriptors are counted without pipes and without the
two of each open session. With nothing open, at the beginning and at the end, descriptors and threads of `steady` are
the same to the last one."""
ROWS = 12  # of the table of what a site's processes took, over the time
COLORS = {"steady": "#1f6fb2", "restless": "#c2571a"}


def machine():
    model = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    commit = subprocess.run(["git", "-C", gogetway.ROOT, "describe", "--always", "--dirty"], capture_output=True,
                            text=True)
    version = subprocess.run([gogetway.program(), "--version"], capture_output=True, text=True)
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit.stdout.strip(),
            "version": version.stdout.strip(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1)}


def thinned(samples):
    step = max(1, len(samples) // POINTS_MAX)
    return samples[::step]


def draw(sites, events, seconds):
    """One row a series, one colour a site, a thin line for each event."""
    height = TOP + ROW * len(SERIES) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
           f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>']
    span = max(seconds, 1)

    def x(second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / span
    for number, (name, color) in enumerate(sorted(COLORS.items())):
        out.append(f'<text x="{LEFT + 110 * number}" y="16" fill="{color}">{name}</text>')
    for row, (name, title, unit) in enumerate(SERIES):
        base, top = TOP + ROW * (row + 1) - 18, TOP + ROW * row
        values = [sample[name] / unit for site in sites for sample in site.health.samples] or [0]
        most = max(max(values) * 1.1, 1)
        out.append(f'<text x="4" y="{top + 12}">{title.split(",")[0]}</text>'
                   f'<text x="{WIDTH - RIGHT + 6}" y="{top + 10}">{most:.4g}</text>'
                   f'<text x="{WIDTH - RIGHT + 6}" y="{base}">0</text>'
                   f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="#999"/>')
        if row == 0:
            out += [f'<line x1="{x(event.begun):.1f}" y1="{TOP}" x2="{x(event.begun):.1f}" y2="{height - 30}" '
                    f'stroke="{COLORS[event.site]}" stroke-opacity="0.15"><title>{event.site}: {event.kind}</title>'
                    '</line>' for event in events if event.begun is not None]
        for site in sites:
            lives = collections.defaultdict(list)
            for sample in thinned(site.health.samples):
                lives[sample["generation"]].append(
                    f"{x(sample['second']):.1f},{base - (base - top) * sample[name] / unit / most:.1f}")
            out += [f'<polyline fill="none" stroke="{COLORS[site.name]}" points="{" ".join(points)}"/>'
                    for points in lives.values()]
    out.append(f'<text x="{LEFT}" y="{height - 8}">0 s</text>'
               f'<text x="{WIDTH - RIGHT - 30}" y="{height - 8}">{seconds:.0f} s</text></svg>')
    return "\n".join(out) + "\n"


def table(rows, columns):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def flatness(sites):
    rows = []
    for site in sites:
        for name, (rise, bound, seconds) in site.health.growth().items():
            unit = (1 << 20) if name == "private" else 1
            rows.append({"site": site.name, "what": f"{name}{', MiB' if unit > 1 else ''}",
                         "growth of the line": round(rise / unit, 3), "bound": round(bound / unit, 3),
                         "over seconds": round(seconds),
                         "so in a day": round(rise / unit * health.DAY_SECONDS / seconds, 1)})
    return rows


def collect(soak):
    done = [event for event in soak.events if event.begun is not None]
    checkers = {site.name: site.checker for site in soak.sites}
    return {
        "result": "broken" if soak.checks.broken_count else "interrupted" if soak.interrupted else "held",
        "date": soak.date, "machine": machine(), "minutes": round(soak.seconds / 60, 2), "asked_minutes": soak.minutes,
        "seed": soak.seed, "repeat": soak.repeat(),
        "events": dict(sorted(collections.Counter(f"{event.site} {event.kind}" for event in done).items())),
        "processes": {site.name: len(site.instance.generations) for site in soak.sites},
        "sessions": {name: checker.sessions for name, checker in checkers.items()},
        "recorded_bytes": {name: checker.recorded_bytes for name, checker in checkers.items()},
        "compared_bytes": {name: checker.compared_bytes for name, checker in checkers.items()},
        "segments": {name: checker.deleted for name, checker in checkers.items()},
        "segment_bytes": {name: checker.deleted_bytes for name, checker in checkers.items()},
        "seconds_that_loads_waited_for_checks": {site.name: round(site.lagged_seconds, 1) for site in soak.sites},
        "client_errors_that_events_explain": {site.name: site.excused_errors for site in soak.sites},
        "loads": {site.name: {load.name: load.rounds for load in site.loads} for site in soak.sites},
        "left_out": soak.left_out,
        "checks": soak.checks.as_rows(), "broken_count": soak.checks.broken_count, "broken": soak.checks.broken,
        "flat": flatness(soak.sites),
        "plan": [event.row() for event in soak.events],
        "samples": {site.name: thinned(site.health.samples) for site in soak.sites},
    }


def over_time(samples):
    """Some samples, the first and the last among them."""
    count = min(ROWS, len(samples))
    chosen = [samples[round(number * (len(samples) - 1) / max(1, count - 1))] for number in range(count)]
    return table([{"second": round(one["second"]), "process": one["generation"],
                   "private, MiB": f"{one['private'] / (1 << 20):.1f}",
                   "with rings, MiB": f"{one['resident'] / (1 << 20):.1f}", "descriptors": one["descriptors"],
                   "pipes": one["pipes"], "threads": one["threads"], "open sessions": one["sessions"]}
                  for one in chosen],
                 ["second", "process", "private, MiB", "with rings, MiB", "descriptors", "pipes", "threads",
                  "open sessions"])


def verdict(found):
    made = sum(row["made"] for row in found["checks"])
    if found["broken_count"]:
        return f"**Broken**: {found['broken_count']:,} of {made:,} checks."
    whole = "" if found["result"] == "held" else " It was interrupted before its time."
    return f"**Held**: {made:,} checks, none broken.{whole}"


def events_by_site(found):
    counts = collections.defaultdict(dict)
    for name, count in found["events"].items():
        site, _, kind = name.partition(" ")
        counts[kind][site] = count
    sites = list(found["processes"])
    return table([{"event": kind, **{site: by_site.get(site, 0) for site in sites}}
                  for kind, by_site in sorted(counts.items())], ["event", *sites])


def write(soak, folder):
    folder.mkdir(parents=True, exist_ok=True)
    found = collect(soak)
    (folder / "soak.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "soak.svg").write_text(draw(soak.sites, soak.events, soak.seconds))
    host = found["machine"]
    broken = "\n".join(f"- at {entry['second']} s, {entry['check']}: `{entry['text'][:600]}`"
                       for entry in found["broken"][:30])
    names = ("sessions", "recorded_bytes", "compared_bytes", "segments", "processes",
             "client_errors_that_events_explain", "seconds_that_loads_waited_for_checks")
    rows = [{"": name.replace("_", " "), **{site: f"{count:,}" for site, count in found[name].items()}}
            for name in names]
    columns = ["", *found["processes"]]
    grown = "\n\n".join(f"### {site.name}\n\n{over_time(site.health.samples)}" for site in soak.sites
                        if site.health.samples)
    (folder / "soak.md").write_text(f"""# Soak of {found['minutes']:g} minutes: {found['result']}

    {found['repeat']}

{verdict(found)}

| | |
|---|---|
| date | {found['date']} |
| machine | {host['cores']} x {host['cpu']}, {host['memory_gib']} GiB |
| kernel | {host['kernel']} |
| program | {host['version']}, commit {host['commit']} |
| seed | {found['seed']} |
| minutes | {found['minutes']} of {found['asked_minutes']:g} asked |
| events | {sum(found['events'].values())} of {len(found['plan'])} planned |
| left out | {'; '.join(found['left_out']) or 'nothing'} |

Two gateways side by side, under the same loads: `restless` is killed, drained, taken over from and started again,
`steady` is one process all the time. What is done to them and what is checked is in
tests/soak/README.md. Segments are deleted when every session in them was checked;
compared are bytes that were held against what the ends of their session sent, by SHA-256 or byte by byte.

{table(rows, columns)}

{('## Broken' + chr(10) + chr(10) + broken + chr(10)) if broken else ''}
## Checks

{table([dict(row, check=row["check"].replace("|", chr(92) + "|")) for row in found['checks']],
       ["check", "made", "broken"])}

## Events

{events_by_site(found)}

## Memory, descriptors, threads

{FLAT}

{table(found['flat'], ["site", "what", "growth of the line", "bound", "over seconds", "so in a day"])}

{grown}

![memory, descriptors and threads](soak.svg)
""")
    return found
