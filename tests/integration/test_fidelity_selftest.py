# SPDX-License-Identifier: Apache-2.0
"""Tests of the tests: a recording made by hand from a run without a gateway passes every check of fidelity, and each
lie told about it, or in it, is found out."""
import copy
import dataclasses
import pathlib

import pytest

import endpoints
import gogetway
import processes
import recording
from gogetway import SIDES, Session, Stream
from talk import Talk, pcapng

SEED = 77
SESSIONS = 90
OPTIONS = {"bytes_max": 20000, "reset_percent": 25, "zero_percent": 10, "slow_percent": 0, "urgent_percent": 10}
FIRST = {"client_first": "client", "client_closes": "client"}


@dataclasses.dataclass
class Made:
    """All that the checks see; each test spoils its own copy."""
    result: endpoints.Result
    sessions: list
    talks: list       # in order of `sessions`
    streams: dict     # (index, side) -> bytes
    directory: pathlib.Path

    def problems(self):
        raw = self.directory / "raw"
        raw.mkdir(exist_ok=True)
        for (index, side), data in self.streams.items():
            (raw / f"{index:024x}.{side}").write_bytes(data)
        payloads = {}
        for (index, side), data in self.streams.items():
            payloads.setdefault(f"{index:024x}", {})[side] = Stream.of_bytes(data)
        segment = self.directory / "made.pcapng"
        segment.write_bytes(pcapng([packet for talk in self.talks for packet in talk.packets]))
        problems = endpoints.check_endpoints(self.result)
        pairs, unmatched = endpoints.match_sessions(self.result, self.sessions, raw)
        problems += unmatched
        problems += endpoints.check_payloads(self.result, pairs, payloads, raw)
        problems += endpoints.check_facts(self.result, pairs, payloads)
        reading = recording.tshark_read([segment])
        return problems + endpoints.check_conversations(self.result, pairs, payloads, reading, len(self.sessions))


def make_talk(session, streams):
    talk = Talk(port=session["client_port"], client=session["client_address"])
    for side in SIDES:
        if streams[side]:
            talk.say(side, streams[side])
    if session["ending"] == "reset" or session["zero"] == "reset":
        talk.packet(session["ending_side"] if session["zero"] == "no" else "client", "RA")
        return talk
    first = FIRST.get(session["order"], "server" if session["order"].startswith("server") else "client")
    second = endpoints.OTHER[first]
    for side, flags in ((first, "FA"), (second, "FA"), (first, "A")):
        talk.packet(side, flags)
    return talk


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A run without anything between, and a faultless recording of it."""
    scratch = tmp_path_factory.mktemp("made")
    where = processes.address("127.0.0.1", processes.free_port())
    run = endpoints.Endpoints(scratch, SEED, SESSIONS, where, where, unique_source=True, **OPTIONS)
    result = run.start().finish(60)
    made = Made(result, [], [], {}, scratch)
    words = [word for name, value in OPTIONS.items() for word in ("--" + name.replace("_", "-"), value)]
    for session in result.sessions:
        own = {}
        for side in SIDES:
            sent = session[side]["sent"] if session[side] else 0
            own[side] = processes.run([gogetway.tool("endpoints"), "stream", "--seed", SEED, "--index",
                                       session["index"], "--side", side, "--offset", 0, "--bytes", sent, *words]).stdout
            made.streams[session["index"], side] = own[side]
        counts = {side: len(own[side]) for side in SIDES}
        client = f"{session['client_address']}:{session['client_port']}"
        made.sessions.append(Session(id=f"{session['index']:024x}", client=client, server="127.0.0.2:80", bytes=counts,
                                     state="closed", received=dict(counts), forwarded=dict(counts)))
        made.talks.append(make_talk(session, own))
    return made


@pytest.fixture
def made(run_once, scratch):
    return dataclasses.replace(copy.deepcopy(run_once), directory=scratch)


def pick(made, **wanted):
    """The index of a session of that kind with something said by both sides."""
    wanted = {"ending": "orderly", "zero": "no"} | wanted
    for session in made.result.sessions:
        if all(session[name] == value for name, value in wanted.items()) and min(
                len(made.streams[session["index"], side]) for side in SIDES) > 100:
            return session["index"]
    raise AssertionError(f"no session of {wanted}: choose another seed")


def test_a_faultless_recording_passes(made):
    problems = made.problems()
    assert not problems, endpoints.show(problems)
    assert {session["ending"] for session in made.result.sessions} == {"orderly", "reset", "early_close"}


def spoil(data):
    return data[:50] + bytes([data[50] ^ 1]) + data[51:]


def fault_reader_wrong_byte(made):
    index = pick(made)
    made.streams[index, "client"] = spoil(made.streams[index, "client"])


def fault_wrong_byte_everywhere(made):
    """Our reader and tshark agree, but what is recorded was not sent."""
    index = pick(made)
    made.streams[index, "server"] = spoil(made.streams[index, "server"])
    made.talks[index] = make_talk(made.result.sessions[index], {side: made.streams[index, side] for side in SIDES})


def fault_wrong_byte_before_a_reset(made):
    index = pick(made, ending="reset")
    made.streams[index, "client"] = spoil(made.streams[index, "client"])
    made.talks[index] = make_talk(made.result.sessions[index], {side: made.streams[index, side] for side in SIDES})


def fault_less_recorded_than_received(made):
    index = pick(made, ending="reset")
    session = made.result.sessions[index]
    received = {side: session[endpoints.OTHER[side]]["received"] for side in SIDES}
    side = max(SIDES, key=received.get)
    assert received[side] > 10
    made.streams[index, side] = made.streams[index, side][:received[side] - 1]
    made.sessions[index]["received"][side] = made.sessions[index]["bytes"][side] = received[side] - 1
    made.talks[index] = make_talk(session, {side: made.streams[index, side] for side in SIDES})


def fault_session_missing(made):
    index = pick(made)
    del made.sessions[index], made.talks[index]


def fault_session_twice(made):
    """Two streams of one session: the same 4-tuple with other sequence numbers."""
    index = pick(made)
    again = copy.deepcopy(made.talks[index])
    again.packets.clear()
    again.next = {"client": 5, "server": 6}
    for side, flags in (("client", "S"), ("server", "SA"), ("client", "A")):
        again.packet(side, flags)
    made.talks.append(again)


def fault_foreign_session(made):
    made.sessions.append(Session(made.sessions[0], id="f" * 24, client="127.9.9.9:9"))


def fault_state_open(made):
    made.sessions[pick(made)]["state"] = "open"


def fault_received_too_high(made):
    made.sessions[pick(made)]["received"]["client"] += 1


def fault_forwarded_too_low(made):
    made.sessions[pick(made)]["forwarded"]["server"] -= 1


def fault_streams_exchanged(made):
    one, two = pick(made, order="both"), pick(made, order="client_first")
    for side in SIDES:
        made.streams[one, side], made.streams[two, side] = made.streams[two, side], made.streams[one, side]


def fault_fin_order(made):
    index = pick(made, order="server_first")
    session = dict(made.result.sessions[index], order="client_first")
    made.talks[index] = make_talk(session, {side: made.streams[index, side] for side in SIDES})


def fault_reset_as_fin(made):
    index = pick(made, ending="reset")
    session = dict(made.result.sessions[index], ending="orderly")
    made.talks[index] = make_talk(session, {side: made.streams[index, side] for side in SIDES})


def fault_fin_as_reset(made):
    index = pick(made)
    session = dict(made.result.sessions[index], ending="reset")
    made.talks[index] = make_talk(session, {side: made.streams[index, side] for side in SIDES})


def fault_packet_missing(made):
    made.talks[pick(made)].packets.pop(3)


def fault_endpoint_received_less(made):
    made.result.sessions[pick(made)]["server"]["received"] -= 1


def fault_endpoint_received_wrong(made):
    made.result.sessions[pick(made)]["client"]["first_difference"] = 12


FAULTS = [fault for name, fault in list(globals().items()) if name.startswith("fault_")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__[6:])
def test_each_lie_is_found_out(made, fault):
    fault(made)
    problems = made.problems()
    assert problems, fault.__name__
