# SPDX-License-Identifier: Apache-2.0
"""The seeded generator of random sessions (tests/tools/endpoints.c), and what must be true of what it saw.

    run = Endpoints(connect=gateway.listen, listen=upstream, seed=7, sessions=2000, scratch=scratch).start()
    result = run.finish(120)
    problems = check_endpoints(result)                      # the two ends against each other
    problems += check_recording(result, gateway, reading)   # the ends against our reader and tshark

Checks return texts, one for each fault, so that a run's report shows all of them and a test of the tests can see which.
"""
import collections
import dataclasses
import json

import gogetway
import processes
from gogetway import EMPTY, SIDES

OTHER = {"client": "server", "server": "client"}
HEADER_BYTES = 16


@dataclasses.dataclass
class Result:
    seed: int
    sessions: list   # one object for each session, in order of index
    anonymous: list  # servers' halves whose header never came
    summary: dict

    @property
    def payload_bytes(self):
        return sum(half["sent"] for session in self.sessions for half in (session["client"], session["server"]) if half)


class Endpoints:
    """One run of the generator. Keyword options become words: reset_percent=0 is --reset-percent 0."""

    def __init__(self, scratch, seed, sessions, connect=None, listen=None, **options):
        self.seed = seed
        self.scratch = scratch
        self.server_only = listen if connect is None else None
        words = ["--seed", seed, "--sessions", sessions]
        for name, value in dict(options, connect=connect, listen=listen).items():
            if value is True:
                words.append("--" + name.replace("_", "-"))
            elif value is not None and value is not False:
                words += ["--" + name.replace("_", "-"), value]
        self.command = [gogetway.tool("endpoints"), "run", *words]
        self.process = None

    def start(self):
        self.process = processes.Process(self.command, self.scratch, name=f"endpoints-{self.seed}-{id(self)}")
        if self.server_only:  # with clients in the same process it listens before they connect
            self.process.wait_listening(self.server_only)
        return self

    def running(self):
        return self.process.running()

    def finish(self, seconds=300):
        """Waits for its end and reads what it printed."""
        status = self.process.wait(seconds)
        assert status == 0, f"endpoints: exit status {status}\n{self.process.errors()}"
        lines = [json.loads(line) for line in self.process.output().splitlines()]
        assert lines and "summary" in lines[-1], "endpoints: no summary"
        sessions = [line for line in lines[:-1] if line["index"] is not None]
        anonymous = [line["server"] for line in lines[:-1] if line["index"] is None]
        return Result(self.seed, sessions, anonymous, lines[-1])


def verify_prefixes(seed, entries):
    """For (index, side, path) entries: whether each file is a prefix of that stream. Yields the tool's objects."""
    if not entries:
        return []
    text = "".join(f"{index} {side} {path}\n" for index, side, path in entries)
    done = processes.run([gogetway.tool("endpoints"), "verify", "--seed", seed], 300, input=text.encode())
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_orderly(session):
    """Whether nothing in its script cuts it short: everything must arrive."""
    return session["ending"] == "orderly" and session["zero"] == "no"


def check_endpoints(result, orderly_must_finish=True):
    """The two ends against each other and against the script. `orderly_must_finish`: nothing in between was killed."""
    problems = []
    for session in result.sessions:
        name = f"session {session['index']} ({session['order']}, {session['ending']}, zero {session['zero']})"
        for side in SIDES:
            half = session[side]
            if half is None:
                if side == "client" or is_orderly(session):
                    problems.append(f"{name}: the {side} never had it")
                continue
            if half["first_difference"] is not None:
                problems.append(f"{name}: the {side} received a wrong byte at {half['first_difference']}")
            if half["end"] in ("timeout", "connect_failed"):
                problems.append(f"{name}: the {side} ended by {half['end']} {half['error']}")
            if is_orderly(session) and orderly_must_finish:
                wanted = session[f"{side}_bytes"], session[f"{OTHER[side]}_bytes"]
                if (half["sent"], half["received"]) != wanted:
                    problems.append(f"{name}: the {side} sent {half['sent']} and received {half['received']}, "
                                    f"not {wanted}")
                elif half["end"] != "orderly":
                    problems.append(f"{name}: the {side} ended by {half['end']} {half['error']}")
            other = session[OTHER[side]]
            if other and half["received"] > other["sent"]:
                problems.append(f"{name}: the {side} received {half['received']} of {other['sent']} sent")
            if other and half["received"] == other["sent"] and half["received_sha256"] != other["sent_sha256"]:
                problems.append(f"{name}: what the {side} received has another SHA-256")
        if session["ending"] == "reset" and session["server"]:
            other = session[OTHER[session["ending_side"]]]
            if other["end"] == "eof_early":
                problems.append(f"{name}: the {session['ending_side']}'s reset came as an end of stream")
        if session["zero"] == "half_close" and session["client"] and session["client"]["end"] != "orderly":
            problems.append(f"{name}: the client saw {session['client']['end']}")
    for half in result.anonymous:
        if half["received"] >= HEADER_BYTES:
            problems.append(f"a server's half received {half['received']} bytes, and no header of this seed")
    return problems


def match_sessions(result, recorded, raw=None):
    """Pairs the generator's sessions with the gateway's. Returns ({index: Session}, problems).

    By the client's address; over unix sockets, which have none, by the header at the beginning of the raw export in
    `raw`: sessions without a byte then can only be counted.
    """
    problems = []
    pairs = {}
    by_client = collections.defaultdict(list)
    for session in recorded:
        by_client[session.client].append(session)
    for session in result.sessions:
        if not session["client_address"]:
            continue
        where = processes.address(session["client_address"], session["client_port"])
        found = by_client.get(where, [])
        if found:
            pairs[session["index"]] = found.pop(0)
        else:
            problems.append(f"session {session['index']} (zero {session['zero']}, {session['ending']}) from {where} "
                            "is not in the recording")
    if any(not session["client_address"] for session in result.sessions):
        pairs, problems = _match_by_header(result, recorded, raw)
    matched = {session.id for session in pairs.values()}
    left = [session for session in recorded if session.id not in matched]
    empty = sum(1 for session in result.sessions if session["index"] not in pairs)
    if len(left) != empty and not problems:
        problems.append(f"{len(left)} recorded sessions belong to nobody, {empty} were expected: {left[:3]}")
    return pairs, problems


def _match_by_header(result, recorded, raw):
    pairs = {}
    problems = []
    for session in recorded:
        with open(raw / f"{session.id}.client", "rb") as file:
            header = file.read(HEADER_BYTES)
        if len(header) == HEADER_BYTES:
            index = int.from_bytes(header[4:8], "big")
            if header[:4] != b"ggEP" or int.from_bytes(header[8:], "big") != result.seed or index in pairs:
                problems.append(f"recorded session {session.id} begins with {header!r}")
            pairs[index] = session
    for session in result.sessions:
        if is_orderly(session) and session["index"] not in pairs:
            problems.append(f"session {session['index']} is not in the recording")
    return pairs, problems


def check_payloads(result, pairs, payloads, raw, gaps=False):
    """The ends against our reader: each recorded stream a prefix of what was sent, and what was received one of it."""
    problems = []
    entries = []
    for session in result.sessions:
        recorded = pairs.get(session["index"])
        if recorded is None:
            continue
        streams = payloads.get(recorded.id, dict.fromkeys(SIDES, EMPTY))
        name = f"session {session['index']} ({recorded.id}, {session['order']}, {session['ending']})"
        for side in SIDES:
            problems += _check_stream(session, side, streams[side], name)
            if not is_orderly(session) and streams[side].count > 0:
                entries.append((session["index"], side, raw / f"{recorded.id}.{side}"))
    if not gaps:
        for line in verify_prefixes(result.seed, entries):
            if line["first_difference"] is not None:
                problems.append(f"session {line['index']}: the recording of what the {line['side']} sent is wrong at "
                                f"byte {line['first_difference']}")
    return problems


def _check_stream(session, side, recorded, name):
    sender, receiver = session[side], session[OTHER[side]]
    if is_orderly(session) and sender and sender["end"] == "orderly":
        if (recorded.count, recorded.sha256) != (sender["sent"], sender["sent_sha256"]):
            yield (f"{name}: of the {side}'s {sender['sent']} bytes {recorded.count} are recorded"
                   + (", with another SHA-256" if recorded.count == sender["sent"] else ""))
        return
    if sender and recorded.count > sender["sent"]:
        yield f"{name}: {recorded.count} bytes recorded of {sender['sent']} that the {side} sent"
    if receiver and receiver["received"] > recorded.count:
        yield (f"{name}: the {OTHER[side]} received {receiver['received']} bytes, "
               f"but only {recorded.count} are recorded")


def check_facts(result, pairs, payloads):
    """The closing record's counts against the recording and the ends."""
    problems = []
    for session in result.sessions:
        recorded = pairs.get(session["index"])
        if recorded is None:
            continue
        name = f"session {session['index']} ({recorded.id}, {session['order']}, {session['ending']})"
        if recorded.state != "closed":
            problems.append(f"{name}: state {recorded.state}")
            continue
        for side in SIDES:
            count = payloads.get(recorded.id, dict.fromkeys(SIDES, EMPTY))[side].count
            received, forwarded = recorded.received(side), recorded.forwarded(side)
            receiver = session[OTHER[side]]
            if not recorded["bytes"][side] == received == count:
                problems.append(f"{name}: {side}: bytes {recorded['bytes'][side]}, received {received}, "
                                f"but {count} in the recording")
            if forwarded > received or (is_orderly(session) and forwarded != received):
                problems.append(f"{name}: {side}: forwarded {forwarded} of {received}")
            if receiver and receiver["received"] > forwarded:
                problems.append(f"{name}: the {OTHER[side]} received {receiver['received']}, "
                                f"said to be forwarded: {forwarded}")
    return problems


_FIRST_FIN = {"client_first": "client", "client_closes": "client", "server_first": "server", "server_closes": "server"}


def check_conversations(result, pairs, payloads, reading, expected_sessions):
    """tshark against our reader and the scripts: nothing amiss, as many streams as sessions, every end as it was."""
    problems = [f"tshark: {anomaly}" for anomaly in reading.anomalies]
    if len(reading.conversations) != expected_sessions:
        problems.append(f"tshark has {len(reading.conversations)} streams of {expected_sessions} sessions")
    by_client = reading.by_client()
    for session in result.sessions:
        recorded = pairs.get(session["index"])
        if recorded is None:
            continue
        name = f"session {session['index']} ({recorded.id}, {session['order']}, {session['ending']})"
        found = by_client.get(recorded.client, [])
        if not found:
            problems.append(f"{name}: tshark has no stream from {recorded.client}")
            continue
        conversation = found.pop(0)
        streams = payloads.get(recorded.id, dict.fromkeys(SIDES, EMPTY))
        if conversation.streams != streams:
            problems.append(f"{name}: tshark read {conversation.streams}, we {streams}")
        if (conversation.syn, conversation.synack) != (1, 1):
            problems.append(f"{name}: {conversation.syn} SYN and {conversation.synack} SYN-ACK")
        problems += _check_end(session, conversation, name)
    return problems


def _check_end(session, conversation, name):
    if is_orderly(session):
        if conversation.resets or sorted(conversation.fins) != ["client", "server"]:
            yield f"{name}: FINs {conversation.fins}, RSTs {conversation.resets}"
        elif conversation.fins[0] != _FIRST_FIN.get(session["order"], conversation.fins[0]):
            yield f"{name}: the {conversation.fins[0]}'s FIN is recorded first"
    elif session["ending"] == "reset" and session["client"] and session["server"]:
        other = session[OTHER[session["ending_side"]]]
        if other["end"] == "reset_received" and not conversation.resets:
            yield f"{name}: reset by the {session['ending_side']}, but no RST is recorded"


def show(problems, limit=20):
    """For assert: the first of them."""
    more = [f"... {len(problems)} in all"] if len(problems) > limit else []
    return "\n".join([""] + problems[:limit] + more)
