# SPDX-License-Identifier: Apache-2.0
"""Holds the recording against what the ends of its sessions saw, as it grows, and deletes what has been checked.

    every few seconds: the segments that are complete ──► sessions, verify, raw bytes (and tshark, of some)
        each session whose end is there (or whose process has ended) against its Expectation
        a segment is deleted when all sessions in it, and in those of its log before it, were checked

A segment is complete when no process has it open, `running` does not name it, and a later one of its log is there or,
of a log that no listener uses any more, nothing was added to it for a while; or when its process has ended and its
successor has recovered what there was.
"""
import base64
import collections
import dataclasses
import json
import pathlib
import shutil
import threading
import time
import zlib

import endpoints
import gogetway
import processes
import prometheus
import recording
from gogetway import EMPTY, SIDES, Stream
from instance import log_of, policies_of
from traffic import HEADER, OTHER

GAPS_MAX = 6           # sessions with gaps that are looked at in a cycle: each takes two processes
WAITING_SECONDS = 5.0  # a client that is gone may be in a listener's queue for so long
IDLE_SECONDS = 20.0    # longer than a segment's greatest age
PATIENCE = 100.0       # an expected session is in complete segments by then, and a recorded one's ends were heard
EVIDENCE_MAX = 12      # segments in which something is wrong that are kept for who reads the report
SEEN_MAX = 200_000     # ids of checked sessions that are remembered
TSHARK_BYTES = 6 << 20  # a cycle, ...
TSHARK_SEGMENTS = 3     # ... and not more files than this: a start of it takes half a second; in a small soak one

EQUAL = "what was sent is what is recorded (SHA-256)"
RECEIVED = "what was received is a prefix of the recording"
SENT = "the recording is a prefix of what was sent"
COUNTS = "forwarded <= received = recorded + gaps"
GAPS = "a recording with gaps has its bytes at their places"
RECORDED = "every session that passed bytes is recorded"
KNOWN = "every recorded session is somebody's"
VERIFY, TSHARK = "verify finds nothing in complete segments", "tshark finds nothing in complete segments"
POLICY = "a session is in the log of its listener's policies"
CLOSED = "sessions are open only where a process was killed"
METRICS = "metrics equal the recording"


class Fact:
    """What prometheus.check_against_recording asks of a session, in little memory."""
    __slots__ = ("listener", "close", "counts", "gaps")
    state = "closed"

    def __init__(self, session):
        self.listener, self.close = session["listener"], session["close"]
        self.gaps = tuple(session["gaps"][side] for side in SIDES)
        self.counts = tuple(session[what][side] for what in ("received", "forwarded") for side in SIDES)

    def __getitem__(self, name):
        if name == "gaps":
            return dict(zip(SIDES, self.gaps))
        if name == "bytes":  # what is not missing
            return {side: self.counts[number] - self.gaps[number] for number, side in enumerate(SIDES)}
        return getattr(self, name)

    def forwarded(self, side):
        return self.counts[2 + SIDES.index(side)]


@dataclasses.dataclass
class View:
    """Complete segments, and what is in them."""
    segments: list
    sessions: list
    raw: pathlib.Path

    def file(self, session, side):
        return self.raw / f"{session.id}.{side}"


class Checker:
    def __init__(self, site, own, strict=(), tshark_starts=TSHARK_SEGMENTS):
        """`own`: listeners whose sessions are all expected. `strict`: of these, where empty sessions are too."""
        self.site, self.checks, self.instance = site, site.checks, site.instance
        self.own, self.strict = set(own), set(strict)
        self.lock = threading.Lock()
        self.gate = threading.Lock()    # readers hold it: nothing is deleted under them
        self.hold = threading.Lock()    # who holds it wants no room to be made
        self.expected = collections.defaultdict(list)  # (listener, client or (seed, index)) -> expectations
        self.pending = {}               # id(expectation) -> expectation
        self.first_seen = {}            # session id -> when
        self.checked = {}               # session id -> True, in the order in which they were
        self.tsharked = set()
        self.tshark_starts = tshark_starts
        self.sessions = self.recorded_bytes = self.compared_bytes = self.deleted = self.deleted_bytes = 0
        self.cycles = self.gaps_left = 0
        self.evidence = site.scratch / "evidence"
        self.dead = []                  # processes that had ended when the view was taken

    # ── What the ends tell ───────────────────────────────────────────────────────────────────────────────────────

    def expect(self, expectation):
        with self.lock:
            self.pending[id(expectation)] = expectation
            for key in self.keys(expectation):
                self.expected[key].append(expectation)

    @staticmethod
    def keys(expectation):
        if expectation.client:
            yield expectation.listener, expectation.client
        if expectation.generator:
            yield expectation.listener, expectation.generator

    def claim(self, session, header, files, any_of_them):
        """The expectation that is this session's, by the header of the generator or by the client's address. A port is
        used again, and the clock that orders sessions may be set back: of several it is one that fits, and only when
        nothing else is to be expected, `any_of_them`, the first."""
        keys = [(session["listener"], session.client)]
        if len(header) == HEADER.size and header.startswith(b"ggEP"):
            _, index, seed = HEADER.unpack(header)
            keys.insert(0, (session["listener"], (seed, index)))
        with self.lock:
            candidates = [one for key in keys for one in self.expected.get(key, ())]
            fitting = [one for one in candidates if self.fits(one, session, files)]
            found = min(fitting, default=None,
                        key=lambda one: sum(one.sent[side].count for side in SIDES if one.sent[side]))
            if not found and candidates and any_of_them:
                found = candidates[0]
            if found:
                for key in self.keys(found):
                    self.expected[key] = [entry for entry in self.expected[key] if entry is not found]
                    if not self.expected[key]:
                        del self.expected[key]
                del self.pending[id(found)]
            return found

    @staticmethod
    def fits(one, session, files):
        """By the number of bytes, and by those that a client of ours has said."""
        for side in SIDES:
            count, sent, received = session["bytes"][side] + session["gaps"][side], one.sent[side], one.received[side]
            if received is not None and received > count or sent and count > sent.count or (
                    one.orderly and sent and count != sent.count):
                return False
        return not one.content or any(session["gaps"].values()) or one.content["client"].startswith(
            files["client"].read_bytes())

    # ── Which segments ───────────────────────────────────────────────────────────────────────────────────────────

    def complete_segments(self):
        """While no process begins or ends."""
        instance = self.instance
        files = sorted((instance.directory / "segments").glob("*.pcapng"))
        alive = instance.alive()
        if instance.over:
            return files
        if not alive:
            return []
        # In this order: a segment is open, or named, before and until it is complete.
        busy = set().union(*(generation.open_segments() for generation in alive))
        running = instance.running_segments()
        newest = {log_of(file.name): file.name for file in files}

        def is_over(name):  # also those that a process began while another was taking over from it
            owner = instance.owner(name)
            return name in instance.current.before or owner is not None and owner.ended

        def is_idle(file):
            return time.time() - file.stat().st_mtime > IDLE_SECONDS
        return [file for file in files if file.name not in busy and file.name not in running and
                (file.name not in newest.values() or is_over(file.name) or is_idle(file))]

    # ── A cycle ──────────────────────────────────────────────────────────────────────────────────────────────────

    def cycle(self, last=False):
        """`last`: the gateway has ended, and all expectations are told."""
        self.cycles, self.gaps_left = self.cycles + 1, GAPS_MAX
        with self.instance.lock:  # no process begins or ends meanwhile
            looked = time.monotonic()
            files = self.complete_segments()
            self.dead = [generation for generation in self.instance.generations if generation.ended]
        if files:
            place = self.site.scratch / f"view-{self.site.name}"
            shutil.rmtree(place, ignore_errors=True)
            (place / "segments").mkdir(parents=True)
            for file in files:
                (place / "segments" / file.name).symlink_to(file)
            try:
                view = self.look(place, files)
                if view:
                    self.check(view, last)
                    self.delete(view)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        self.miss(looked, last)
        self.judge_metrics(last)

    def look(self, place, files):
        """None: nothing that can be checked."""
        store = gogetway.Store(place)
        done = store.command("verify", check=False, seconds=300)
        said = [line for line in processes.as_text(done.stdout + done.stderr).splitlines()
                if ": information: " not in line]
        problems = [] if done.returncode == 0 else [f"{self.site.name}: status {done.returncode}: {said[:8]}"]
        if problems:
            self.keep(file for file in files if any(file.name in line for line in said))
        self.checks.judge(VERIFY, problems, len(files))
        sessions = [session for session in store.sessions() if not session["foreign"]]
        raw = store.export_raw(place / "raw")
        view = View(files, sessions, raw)
        self.tshark(view)
        return view

    def check(self, view, last):
        prefixes = collections.defaultdict(list)  # seed -> (index, side, path)
        batches = [load.running for site in (self.site, self.site.other) for load in site.loads
                   if getattr(load, "running", None)]
        for session in view.sessions:
            if session.id in self.checked:
                continue
            generation = self.instance.generation_of(session)
            if session.state != "closed" and generation not in self.dead:
                continue
            broken = self.checks.broken_count
            if not self.check_one(view, session, generation, prefixes, batches, last):
                continue
            if self.checks.broken_count != broken:  # perhaps somebody else's: a few files too many
                self.keep(file for file in view.segments if file.name in session["segments"])
            self.checked[session.id] = True
            self.first_seen.pop(session.id, None)
            self.sessions += 1
            self.recorded_bytes += sum(session["bytes"].values())
        for seed, entries in prefixes.items():
            self.checks.judge(SENT, (
                f"{self.site.name}: seed {seed}, session {line['index']}: what is recorded of the {line['side']} is "
                f"wrong at byte {line['first_difference']}" for line in endpoints.verify_prefixes(seed, entries)
                if line["first_difference"] is not None), len(entries))
        while len(self.checked) > SEEN_MAX:
            del self.checked[next(iter(self.checked))]

    def check_one(self, view, session, generation, prefixes, batches, last):
        """False: not yet, its ends may still be telling what they saw."""
        listener = session["listener"]
        seen = self.first_seen.setdefault(session.id, time.monotonic())
        expectation = None
        if generation is None and not last and time.monotonic() - seen < PATIENCE:
            return False
        if listener in self.own:
            with open(view.file(session, "client"), "rb") as file:
                header = file.read(HEADER.size)
            waited = time.monotonic() - seen
            expectation = self.claim(session, header, {side: view.file(session, side) for side in SIDES},
                                     last or waited > PATIENCE)
            if expectation is None:
                if not last and (waited < PATIENCE or any(begun < seen for begun in batches)) and waited < 3 * PATIENCE:
                    return False
                # Over before its client could know its own address, or before a byte came.
                refused = session.state == "closed" and session["close"] in prometheus.KINDS
                few = sum(session["bytes"].values()) < HEADER.size
                nothing = few and (refused or listener not in self.strict)
                self.checks.judge(KNOWN, [] if nothing or self.is_cut(session, generation) else
                                  [f"{self.site.name}: nobody had {dict(session)}"])
        self.check_counts(view, session, generation)
        if expectation:
            pair = policies_of(session["segments"][0])
            fine = pair in self.site.policies(listener, expectation.began, expectation.ended)
            self.checks.judge(POLICY, [] if fine else [f"{self.site.name}: {pair}, not so: {dict(session)}"])
            self.checks.judge(KNOWN, [])
            self.check_bytes(view, session, expectation, prefixes)
        return True

    @staticmethod
    def is_cut(session, generation):
        """Whether a process that was killed had it: its ends are those of a session that nobody finished."""
        return session.state != "closed" and generation is not None and generation.ended == "kill"

    def check_counts(self, view, session, generation):
        name = f"{self.site.name}: {session.id} ({session['listener']}, {session['close']})"
        if session["beginning_missing"]:
            self.checks.judge(RECORDED, [f"{name}: its beginning is not in the recording: {dict(session)}"])
            return
        if session.state != "closed":
            cut = self.is_cut(session, generation)
            self.checks.judge(CLOSED, [] if cut else [f"{name}: {session.state}, and its process was not killed"])
            return
        problems = []
        for side in SIDES:
            count, gaps = session["bytes"][side], session["gaps"][side]
            if session.received(side) != count + gaps or session.forwarded(side) > session.received(side):
                problems.append(f"{name}: {side}: received {session.received(side)}, forwarded "
                                f"{session.forwarded(side)}, recorded {count}, gaps {gaps}")
            if view.file(session, side).stat().st_size != count:
                problems.append(f"{name}: {side}: {count} bytes, {view.file(session, side).stat().st_size} exported")
            if gaps and "gap" not in policies_of(session["segments"][0]):
                problems.append(f"{name}: {side}: {gaps} bytes are missing, and its listener's policy is not gap")
        self.checks.judge(COUNTS, problems)
        if generation:
            generation.facts.append(Fact(session))

    def check_bytes(self, view, session, expectation, prefixes):
        name = f"{self.site.name}: {expectation.name} ({session.id}, {session['close']})"
        gaps = session["gaps"]
        for side in SIDES:
            if gaps[side]:
                if expectation.generator and self.gaps_left > 0:
                    self.gaps_left -= 1
                    self.check_gaps(session, side, expectation, name)
                continue
            path = view.file(session, side)
            count, sent, received = session["bytes"][side], expectation.sent[side], expectation.received[side]
            self.compared_bytes += count if sent or expectation.content else 0
            if expectation.orderly and sent:
                found = Stream.of_file(path)
                self.checks.judge(EQUAL, [] if found == sent else [
                    f"{name}: of the {side}'s {sent.count} bytes {count} are recorded" +
                    (", with another SHA-256" if count == sent.count else "")])
            elif expectation.content:
                self.check_content(name, side, path.read_bytes(), expectation)
            else:
                self.checks.judge(SENT, [f"{name}: {count} bytes of the {side} are recorded, it sent {sent.count}"]
                                  if sent and count > sent.count else [])
                if count:
                    prefixes[expectation.generator[0]].append((expectation.generator[1], side, path))
            if received is not None:
                forwarded = session.forwarded(side) if session.state == "closed" else count
                self.checks.judge(RECEIVED, [] if received <= forwarded else [
                    f"{name}: {received} bytes of the {side} were received by the other, {count} are recorded, "
                    f"{forwarded} said to be forwarded"])

    def check_content(self, name, side, recorded, expectation):
        told = expectation.content[side]
        if side == "client":
            self.checks.judge(SENT, [] if told.startswith(recorded) else
                              [f"{name}: {len(recorded)} bytes are recorded that the client did not send so"])
        else:
            fine = recorded == told if expectation.orderly else recorded.startswith(told)
            self.checks.judge(RECEIVED, [] if fine else
                              [f"{name}: the client received {len(told)} bytes, other ones are recorded"])

    def check_gaps(self, session, side, expectation, name):
        """Each recorded chunk of a stream with holes stands where the generator has it."""
        seed, index = expectation.generator
        with self.gate:
            done = self.instance.command("show", session.id, "--as", "json", "--from", side, check=False)
        stream = processes.run([gogetway.tool("endpoints"), "stream", "--seed", seed, "--index", index, "--side", side,
                                *self.site.generator_words(session["listener"])]).stdout
        problems, at = [] if done.returncode == 0 else [f"{name}: show: {processes.as_text(done.stderr)}"], 0
        for line in map(json.loads, done.stdout.splitlines()):
            if line.get("from") != side:
                continue
            chunk = b"" if "gap" in line else base64.b64decode(line["data"])
            if line["offset"] != at or chunk != stream[at:at + len(chunk)]:
                problems.append(f"{name}: {side}: a chunk at {line['offset']}, behind {at} bytes, is not what was sent")
                break
            at += line.get("gap", len(chunk))
            self.compared_bytes += len(chunk)
        self.checks.judge(GAPS, problems)

    def keep(self, files):
        """What is wrong with them cannot be seen when they were deleted."""
        self.evidence.mkdir(exist_ok=True)
        for file in files:
            if len(list(self.evidence.iterdir())) < EVIDENCE_MAX:
                shutil.copy(file, self.evidence / f"{self.site.name}-{file.name}")

    # ── tshark ───────────────────────────────────────────────────────────────────────────────────────────────────

    def tshark(self, view):
        """Segments that it has not read yet, as many as the cycle may cost. Streams that lie wholly in one of them are
        compared as well; what a gap shows is no complaint."""
        budget, starts = TSHARK_BYTES, self.tshark_starts
        by_segment = collections.defaultdict(list)
        for session in view.sessions:
            for segment in session["segments"]:
                by_segment[segment].append(session)
        for file in sorted(view.segments, key=lambda file: zlib.crc32(file.name.encode())):
            size = file.stat().st_size
            if file.name in self.tsharked or size > budget or starts == 0:
                continue
            budget, starts = budget - size, starts - 1
            self.tsharked.add(file.name)
            with self.checks.no_exception(TSHARK):
                self.tshark_one(view, file, by_segment[file.name])

    def tshark_one(self, view, file, sessions):
        reading = recording.tshark_read([file])
        holey = {session.client for session in sessions
                 if any(session["gaps"].values()) or len(session["segments"]) > 1}
        excused = {str(one.number) for one in reading.conversations if one.client in holey or one.server in holey}
        problems = []
        for text in reading.anomalies:
            stream = text.partition("stream ")[2].partition(":")[0]
            if "tcp.analysis.flags" not in text or stream not in excused:
                problems.append(f"{self.site.name}: {file.name}: {text}")
        by_client = reading.by_client()
        for session in sessions:
            found = by_client.get(session.client, [])
            if len(session["segments"]) == 1 and len(found) == 1 and not any(session["gaps"].values()):
                wanted = {side: Stream.of_file(view.file(session, side)) for side in SIDES}
                if found[0].streams != wanted:
                    problems.append(f"{self.site.name}: {session.id}: tshark read {found[0].streams}, we {wanted}")
        self.checks.judge(TSHARK, problems)
        if problems:
            self.keep([file])

    # ── What is over ─────────────────────────────────────────────────────────────────────────────────────────────

    def delete(self, view):
        """Of each log from its beginning on: a session that goes on in a later segment would have a hole else."""
        left = {session.id for session in view.sessions if session.id not in self.checked}
        keep = {segment for session in view.sessions if session.id in left for segment in session["segments"]}
        stopped = set()
        with self.hold, self.gate:
            for file in sorted(view.segments, key=lambda file: file.name):
                log = log_of(file.name)
                if file.name in keep or log in stopped:
                    stopped.add(log)
                    continue
                owner = self.instance.owner(file.name)
                if owner:
                    owner.tried += gogetway.tried_in(file)
                self.deleted += 1
                self.deleted_bytes += file.stat().st_size
                self.tsharked.discard(file.name)
                file.unlink()

    def miss(self, looked, last):
        """Sessions that no segment had that was complete then (how long it took to read them does not matter): fine if
        nothing passed, or if it was a process' end that they met."""
        with self.lock:
            late = [one for one in self.pending.values() if last or looked - one.told > PATIENCE]
            for one in late:
                del self.pending[id(one)]
                for key in self.keys(one):
                    self.expected[key] = [entry for entry in self.expected[key] if entry is not one]
                    if not self.expected[key]:
                        del self.expected[key]
        for one in late:
            passed = sum(count or 0 for count in one.received.values())
            # Who says nothing may be gone before it is accepted; who was to accept it may be killed then.
            until = one.ended + (WAITING_SECONDS if one.empty else 0)
            fine = passed == 0 and (one.empty or self.site.excused(one.listener, one.began, until))
            if one.empty and one.listener in self.strict:
                fine = bool(self.site.excused(one.listener, one.began, until))
            at = [round(moment - self.checks.begun, 2) for moment in (one.began, one.ended)]
            self.checks.judge(RECORDED, [] if fine else [
                f"{self.site.name}: {one.name}, from {at[0]} to {at[1]} s, is not in the recording: {one.received} "
                "were received"])

    def judge_metrics(self, last):
        """Of each process that ended well, when all its sessions were checked: to the byte."""
        with self.instance.lock:
            files = [file.name for file in (self.instance.directory / "segments").glob("*.pcapng")]
            owners = [self.instance.owner(name) for name in files]
        for generation in self.instance.generations:
            if generation.judged or not generation.ended or not last and (generation in owners or None in owners):
                continue
            generation.judged = True
            if generation.ended != "kill" and generation.status == 0:
                with self.checks.no_exception(METRICS):
                    self.compare(generation)
            generation.facts, generation.tried = [], []

    def compare(self, generation):
        counts = json.loads(generation.stats_file.read_text())["metrics"]
        if counts["log_sessions_lost"]:
            return
        if generation.ended != "takeover":
            families = prometheus.parse(generation.metrics_file.read_text())
            self.compare_counts(generation, families)
            prometheus.check_against_recording(families, generation.facts, generation.tried)
        # One that was taken over from has left the metrics file to its successor: the sums of listeners tell it.
        told = {"sessions": counts["sessions_closed"]}
        recorded = {"sessions": len(generation.facts)}
        for number, side in enumerate(SIDES):
            for at, what in enumerate(("received", "forwarded")):
                told[what, side] = counts[f"{what}_{side}_bytes"]
                recorded[what, side] = sum(fact.counts[2 * at + number] for fact in generation.facts)
        assert told == recorded, f"{self.site.name}, process {generation.number}: told {told}, recorded {recorded}"

    def compare_counts(self, generation, families):
        """First the counts of all listeners: what differs is then told with its numbers."""
        closed = families[prometheus.FLOW["closed"]].samples
        counted = collections.Counter()
        for (_, labels), number in closed.items():
            counted[dict(labels)["listener"]] += number
        recorded = collections.Counter(fact.listener for fact in generation.facts)
        different = {name: (counted[name], recorded[name]) for name in counted | recorded
                     if counted[name] != recorded[name]}
        assert not different, (f"{self.site.name}, process {generation.number} ({generation.ended}): closed sessions "
                               f"by the metrics and in the recording differ: {different}")

