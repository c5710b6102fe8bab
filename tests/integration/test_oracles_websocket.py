# SPDX-License-Identifier: Apache-2.0
"""Messages of WebSocket as wslay reads them (tests/tools/read_websocket.c): of real traffic, and of random frames, some
of which are not as RFC 6455 has them."""
import asyncio
import json
import os
import random
import struct

import pytest

import gogetway
import processes
from replaying import Tape
from test_messages import finish, values
from test_messages_websocket import OFFERS, OPCODES, Echo, talk, things_to_say

pytestmark = pytest.mark.usefixtures("require_program")

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "7"))
CONVERSATIONS = 3000 if gogetway.TEST_ALL else 300
OPENING = (b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
           b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
SIDES = ("client", "server")
PACKET = 16384


@pytest.fixture
def read_websocket():
    try:
        return gogetway.tool("read_websocket")
    except AssertionError:
        pytest.skip("needs libwslay-dev when it is built")


# ── Comparison ───────────────────────────────────────────────────────────────────────────────────────────────────────

def fnv_1a(data):
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{found:016x}"


def bodies(store, target, directory):
    """(session, number of the message) -> its bytes, of those that have some."""
    store("export", "--files", "-o", target, "--dir", directory)
    entries = map(json.loads, (target / "manifest.jsonl").read_text().splitlines())
    return {(entry["session"], entry["message"]): (target / entry["name"]).read_bytes() for entry in entries}


def checked(ours, theirs, body_of):
    """How many messages of a side are the same up to where wslay would have failed the connection, which has to be odd
    here; what is odd behind that, or behind a close, is not looked at."""
    whole = [one for one in ours if "cut" not in one.get("flags", ())]
    for one, other in zip(whole, theirs["messages"]):
        compressed = bool(other["rsv"])
        assert (OPCODES.get(one["kind"]), values(one, "ws.fragments") or [1], bool(values(one, "ws.compressed"))) == \
            (str(other["opcode"]), [other["fragments"]], compressed), (one, other)
        assert compressed or (one["body_length"], fnv_1a(body_of.get((one["session"], one["number"]), b""))) == \
            (other["length"], other["sum"]), (one, other)
        assert not values(one, "ws.odd"), (one, other)
    same = len(theirs["messages"])
    rest = ours[same:]
    closed = same and theirs["messages"][-1]["opcode"] == 8
    if theirs["failed"]:
        assert [one for one in rest if "opaque" in one or values(one, "ws.odd")], (theirs, rest)
    elif not closed:
        assert not [one for one in rest if "opaque" not in one and "cut" not in one["flags"]], rest
    return same


def compare(read_websocket, scratch, store, directory, pairs):
    """`pairs`: session -> files of its sides. How many messages are the same."""
    done = processes.run([read_websocket, *(file for pair in pairs.values() for file in pair)], 120)
    theirs = iter(map(json.loads, done.stdout.splitlines()))
    ours = {}
    for line in store("messages", "--json", "--dir", directory).stdout.splitlines():
        one = json.loads(line)
        side = one["from"]
        if one.get("decoder") == "websocket" or "opaque" in one:
            ours.setdefault((one["session"], side), []).append(one)
    body_of = bodies(store, scratch / "files", directory)
    return sum(checked(ours.get((session, side), []), next(theirs), body_of) for session in pairs for side in SIDES)


@pytest.mark.parametrize("agreed", OFFERS)
def test_websockets(gateways, read_websocket, scratch, agreed):
    said = things_to_say(agreed)
    with Echo() as server:
        gateway = gateways(server.address)
        asyncio.run(talk(gateway.listen, OFFERS[agreed], said))
        gateway.wait_sessions_closed(1)
        finish(gateway)
    (session,) = gateway.sessions()
    raw = gateway.export_raw(scratch / "raw")
    pairs = {session.id: [raw / f"{session.id}.{side}" for side in SIDES]}
    same = compare(read_websocket, scratch, lambda *words: processes.run([gogetway.program(), *words], 60),
                   gateway.directory, pairs)
    assert same >= 2 * len(said) + 4


# ── Random frames ────────────────────────────────────────────────────────────────────────────────────────────────────

def frame(dice, side, opcode, payload, last=True, bits=0, width=None, masked=None):
    """`width`: bytes of the length, if not the least."""
    width = width if width is not None else 0 if len(payload) < 126 else 2 if len(payload) < 65536 else 8
    code = len(payload) if width == 0 else 126 if width == 2 else 127
    masked = side == "client" if masked is None else masked
    out = bytes([last << 7 | bits << 4 | opcode, masked << 7 | code]) + (
        b"" if width == 0 else struct.pack(">H" if width == 2 else ">Q", len(payload)))
    if not masked:
        return out + payload
    mask = dice.randbytes(4)
    return out + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def wrong(dice, side):
    """Frames that RFC 6455 does not allow; wslay lets a close of one byte through."""
    return dice.choice([
        lambda: frame(dice, side, 0, b"goes on with nothing"),
        lambda: frame(dice, side, dice.choice([3, 7, 11, 15]), b"reserved"),
        lambda: frame(dice, side, 9, b"in pieces", last=False),
        lambda: frame(dice, side, 9, b"x" * 126),
        lambda: frame(dice, side, 1, b"bits", bits=dice.choice([1, 2])),
        lambda: frame(dice, side, 1, b"\xc3\x28"),
        lambda: frame(dice, side, 1, b"\xe2\x82", last=False) + frame(dice, side, 0, b""),
        lambda: frame(dice, side, 1, b"a", last=False) + frame(dice, side, 1, b"b"),
        lambda: frame(dice, side, 2, b"long", width=2),
        lambda: frame(dice, side, 2, b"longer", width=8),
        lambda: frame(dice, side, 1, b"mask", masked=side == "server"),
        lambda: frame(dice, side, 8, struct.pack(">H", dice.choice([0, 999, 1004, 1005, 1006, 1015, 2999, 5000]))),
        lambda: frame(dice, side, 8, b"\3\xe8\xff")])()


def message(dice, side):
    text = dice.random() < 0.5
    length = dice.choice([0, 1, 10, 125, 126, 1000, 65535, 65536] if dice.random() < 0.1 else [0, 1, 10, 125, 126, 300])
    payload = ("é€😀a" * length)[:length].encode() if text else dice.randbytes(length)
    cuts = sorted(dice.randint(0, len(payload)) for _ in range(dice.choice([0, 0, 0, 1, 2, 5])))
    out = b""
    for at, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)])):
        out += frame(dice, side, 0 if at else 1 if text else 2, payload[begin:end], last=at == len(cuts))
        if at < len(cuts) and dice.random() < 0.3:
            out += frame(dice, side, dice.choice([9, 10]), dice.randbytes(dice.randint(0, 125)))
    return out


def frames(dice, side):
    out = b"".join(message(dice, side) for _ in range(dice.randint(0, 6)))
    if dice.random() < 0.4:
        out += wrong(dice, side) + message(dice, side)
    elif dice.random() < 0.5:
        out += frame(dice, side, 8, dice.choice([b"", b"\3\xe8", b"\x0f\xa0" + "tschüss".encode()]))
    elif dice.random() < 0.2:
        out = out[:dice.randint(0, len(out))]
    return out


def test_random_frames(read_websocket, scratch):
    dice, tape, said = random.Random(SEED), Tape(), []
    for number in range(CONVERSATIONS):
        said.append([OPENING[at] + frames(dice, side) for at, side in enumerate(SIDES)])
        tape.talk(number * 1000, [(100, side, opening) for side, opening in zip(SIDES, OPENING)] + [
            (200, side, data[at:at + PACKET]) for side, opening, data in zip(SIDES, OPENING, said[-1])
            for at in range(len(opening), len(data), PACKET)])
    place = scratch / "store"
    place.mkdir()
    tape.write(place / "all.pcapng")
    store = lambda *words: processes.run([gogetway.program(), *words], 120)  # noqa: E731
    sessions = [json.loads(line)["id"] for line in store("sessions", "--json", "--dir", place).stdout.splitlines()]
    pairs = {}
    for number, (session, sides) in enumerate(zip(sessions, said)):
        pairs[session] = [scratch / f"{number}.{side}" for side in SIDES]
        for file, data in zip(pairs[session], sides):
            file.write_bytes(data)
    assert compare(read_websocket, scratch, store, place, pairs) > CONVERSATIONS * 2, SEED
