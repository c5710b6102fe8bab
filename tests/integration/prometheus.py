# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text exposition format 0.0.4, by a parser written from its description; it forgives nothing. And what the
gateway's metrics say, against what its recording holds.
"""
import collections
import dataclasses
import re

from gogetway import SIDES

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
UNESCAPED = {"\\": "\\", '"': '"', "n": "\n"}


@dataclasses.dataclass
class Family:
    name: str
    help: str
    type: str = ""
    samples: dict = dataclasses.field(default_factory=dict)  # (suffix, ((label, value), ...)) -> number


def parse_labels(text):
    """`{a="b",c="d"}` at the beginning of text: the pairs, and what follows."""
    labels, rest = [], text[1:]
    while not rest.startswith("}"):
        if labels:
            assert rest[0] == ",", f"no comma: {rest!r}"
            rest = rest[1:]
        name = LABEL.match(rest)
        assert name and rest[name.end():name.end() + 2] == '="', f"no label: {rest!r}"
        rest, value = rest[name.end() + 2:], ""
        while rest[0] != '"':
            if rest[0] == "\\":
                value, rest = value + UNESCAPED[rest[1]], rest[2:]
            else:
                value, rest = value + rest[0], rest[1:]
        rest = rest[1:]
        assert name.group() not in dict(labels), f"label {name.group()} twice"
        labels.append((name.group(), value))
    assert labels, "empty braces"
    return labels, rest[1:]


def suffix_of(family, name):
    suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
    for suffix in suffixes:
        if name == family.name + suffix:
            return suffix
    raise AssertionError(f"{name} stands among the samples of {family.name}, a {family.type}")


def parse(text, still=True):
    """name -> Family. `still`: nothing was counted while it was written, so a histogram's sum fits its buckets too."""
    assert text.endswith("\n"), "the last line does not end"
    families, current = {}, None
    for line in text[:-1].split("\n"):
        assert line == line.strip() and line, f"an empty line, or spaces: {line!r}"
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            assert NAME.fullmatch(name) and help_text and name not in families, line
            assert current is None or current.samples, f"{current.name} has no sample"
            families[name] = current = Family(name, help_text)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert current and name == current.name and not current.type and not current.samples, line
            assert kind in TYPES, line
            current.type = kind
        else:
            name = NAME.match(line)
            assert name and current and current.type, f"a sample without HELP and TYPE: {line!r}"
            rest = line[name.end():]
            labels, rest = parse_labels(rest) if rest.startswith("{") else ([], rest)
            assert rest.startswith(" ") and NUMBER.fullmatch(rest[1:]), f"no value: {line!r}"
            key = suffix_of(current, name.group()), tuple(labels)
            assert key not in current.samples, f"twice: {line!r}"
            current.samples[key] = float(rest[1:]) if re.search(r"[^\d]", rest[1:]) else int(rest[1:])
    assert current and current.samples, "nothing"
    for family in families.values():
        check_family(family, still)
    return families


def check_family(family, still):
    assert family.name.startswith("gogetway_"), family.name
    assert not re.search(r"_(ns|ms|us|kib|mib)(_|$)", family.name), f"{family.name}: not a base unit"
    assert (family.type == "counter") == family.name.endswith("_total"), f"{family.name} is a {family.type}"
    names = {tuple(name for name, _ in labels if name != "le") for _, labels in family.samples}
    assert len(names) == 1, f"{family.name}: its samples have different labels: {names}"
    if family.name.endswith("_info"):
        assert family.type == "gauge" and all(labels and value == 1 for (_, labels), value in family.samples.items())
    if family.type == "counter":
        assert all(value >= 0 for value in family.samples.values()), family.name
    if family.type == "histogram":
        check_histogram(family, still)


def check_histogram(family, still):
    series = collections.defaultdict(lambda: {"_bucket": [], "_sum": [], "_count": []})
    for (suffix, labels), value in family.samples.items():
        plain = tuple(pair for pair in labels if pair[0] != "le")
        assert (suffix == "_bucket") == ("le" in dict(labels)), labels
        series[plain][suffix].append((dict(labels).get("le"), value))
    for labels, parts in series.items():
        where = f"{family.name}{labels}"
        edges = [float(edge) for edge, _ in parts["_bucket"]]
        counts = [count for _, count in parts["_bucket"]]
        assert edges == sorted(set(edges)) and parts["_bucket"][-1][0] == "+Inf", f"{where}: {edges}"
        assert counts == sorted(counts), f"{where}: not cumulative: {counts}"
        assert len(parts["_sum"]) == len(parts["_count"]) == 1, where
        count, total = parts["_count"][0][1], parts["_sum"][0][1]
        assert counts[-1] == count, f"{where}: +Inf is {counts[-1]}, count {count}"
        # What lies in a bucket is between its edges: the sum is between the sums of them. (1 ns a value for rounding.)
        least = most = 0.0
        for index, edge in enumerate(edges):
            inside = counts[index] - (counts[index - 1] if index else 0)
            least += inside * (edges[index - 1] if index else 0)
            most += inside * edge if inside else 0
        fits = least - 1e-9 * count <= total <= most + 1e-9 * count
        assert fits or not still, f"{where}: sum {total}, {least} to {most}"


def value(families, name, suffix="", **labels):
    """The sum of the samples that have these labels."""
    found = [number for (end, pairs), number in families[name].samples.items()
             if end == suffix and labels.items() <= dict(pairs).items()]
    assert found, f"no {name}{suffix}{labels}"
    return sum(found)


BUILD, START = "gogetway_build_info", "gogetway_start_time_seconds"
FLOW = {"closed": "gogetway_route_sessions_closed_total", "open": "gogetway_route_sessions_open",
        "received": "gogetway_route_received_bytes_total", "forwarded": "gogetway_route_forwarded_bytes_total"}
FAILURES = "gogetway_route_connect_failures_total"
CONNECT, FIRST_BYTE = "gogetway_route_connect_seconds", "gogetway_route_first_byte_seconds"
KINDS = {"connect-refused": "refused", "connect-timeout": "timed_out", "unresolved": "unresolved",
         "connect-failed": "other"}


def check_against_recording(families, sessions, tried=()):
    """Each listener's totals are the recording's; and all listeners' together are the gateway's own. `tried`: of the
    sessions with several upstreams, as Store.tried tells. Where all of them failed the last is also the session's.
    Where some of a listener's sessions were not to be recorded, its own totals say nothing: then all together are
    compared, less what was left out."""
    by_listener = collections.defaultdict(list)
    for session in sessions:
        assert session.state == "closed", session
        by_listener[session["listener"]].append(session)
    listeners = {dict(labels)["listener"] for _, labels in families[FLOW["closed"]].samples}
    assert set(by_listener) <= listeners
    left_out = value(families, "gogetway_sessions_record_off_total")
    connecting = {dict(labels)["listener"] for _, labels in families[FAILURES].samples} if FAILURES in families else ()
    for listener in () if left_out else listeners:
        own = by_listener[listener]
        assert value(families, FLOW["closed"], listener=listener) == len(own), listener
        assert value(families, FLOW["open"], listener=listener) == 0, listener
        for side in SIDES:
            labels = {"listener": listener, "side": side}
            held = sum(session["bytes"][side] + session["gaps"][side] for session in own)
            assert value(families, FLOW["received"], **labels) == held, labels
            assert value(families, FLOW["forwarded"], **labels) == sum(session.forwarded(side) for session in own)
        for close, kind in KINDS.items():
            failed = [session for session in own if session["close"] == close]
            attempts = [entries for name, entries in tried if name == listener]
            wanted = sum(entry["close"] == close for entries in attempts for entry in entries)
            upstreams = {dict(labels)["upstream"] for _, labels in families[FAILURES].samples
                         if dict(labels)["listener"] == listener} if FAILURES in families else ()
            if len(upstreams) <= 1:
                wanted = len(failed)
            labels = {"listener": listener, "kind": kind}
            if wanted or listener in connecting:
                assert value(families, FAILURES, **labels) == wanted, labels
    closed = value(families, FLOW["closed"])
    assert closed == value(families, "gogetway_sessions_closed_total") == len(sessions) + left_out
    for side in SIDES:
        recorded = sum(session["bytes"][side] + session["gaps"][side] for session in sessions)
        left_out = value(families, f"gogetway_record_off_{side}_bytes_total")
        assert value(families, FLOW["received"], side=side) == recorded + left_out, side
        for what in ("received", "forwarded"):
            total = value(families, f"gogetway_{what}_{side}_bytes_total")
            assert value(families, FLOW[what], side=side) == total
    gaps = sum(session["gaps"][side] for session in sessions for side in SIDES)
    assert value(families, "gogetway_unrecorded_bytes_total") == value(families, "gogetway_log_gap_bytes_total") == gaps
    answers = value(families, "gogetway_connect_latency_seconds", "_count")
    assert answers == (value(families, CONNECT, "_count") if connecting else 0)


def check_sums(counts, store):
    """What all processes that were at work on a store counted last, added up, is what it holds. `counts`: of each its
    metrics as `stats --json` and stats.file have them."""
    total = collections.Counter()
    for one in counts:
        total.update({name: number for name, number in one.items() if isinstance(number, int)})
    sessions = store.sessions()
    assert all(session.state == "closed" for session in sessions)
    wanted = {"sessions_closed": len(sessions), "sessions_open": 0,
              "unrecorded_bytes": sum(session["gaps"][side] for session in sessions for side in SIDES),
              "log_written_bytes": sum(segment.stat().st_size for segment in store.segments())}
    for side in SIDES:
        wanted[f"received_{side}_bytes"] = sum(session["bytes"][side] + session["gaps"][side] for session in sessions)
        wanted[f"forwarded_{side}_bytes"] = sum(session.forwarded(side) for session in sessions)
    told = {name: total[name] for name in wanted}
    assert told == wanted, f"told {told}, recorded {wanted}"


def check_ended(gateway, file):
    """After any test, for a gateway that began with an empty store: what its metrics said last is what the recording
    holds. Returns why that could not be looked at, or None."""
    if gateway.starts > 1 or gateway.process is None:
        return "not the only process on its store"
    if gateway.process.popen.returncode != 0:
        return "killed, or ended with an error"
    families = parse(file.read_text())
    assert value(families, BUILD) == 1 and value(families, START) > 0
    if value(families, "gogetway_log_sessions_lost_total"):
        return "ends of sessions found no room"
    written = value(families, "gogetway_log_written_bytes_total")
    size = sum(segment.stat().st_size for segment in gateway.segments())
    assert written == size, f"{written} bytes were written, and the segments have {size}"
    check_against_recording(families, gateway.sessions(), gateway.tried())
    return None
