# SPDX-License-Identifier: Apache-2.0
"""The commands that read recordings: our own, other programs' captures, and files that are out to hurt.

Captures of others are written by scapy and editcap; what we export is read back by tshark, which checks every checksum
and whose analysis has to stay silent.
"""
import base64
import hashlib
import json
import os
import random
import re
import shutil
import stat
import struct

import pytest
from scapy.all import IP, TCP, UDP, CookedLinux, Dot1Q, Ether, IPv6, Raw, wrpcap, wrpcapng

import gogetway
import processes
import recording
import torture
from gogetway import SIDES

pytestmark = pytest.mark.usefixtures("require_program")
READING = (("sessions",), ("sessions", "--json"), ("verify",), ("verify", "--json"))


def run(*words, check=True, **options):
    return processes.run([gogetway.program(), *map(str, words)], check=check, **options)


def sessions(place, *filters):
    output = run("sessions", "--json", *filters, "--dir", place).stdout.decode()
    return [json.loads(line) for line in output.splitlines()]


def stream(place, session, side):
    return run("show", session["id"], "--as", "raw", "--from", side, "--dir", place).stdout


def digest(data):
    return hashlib.sha256(data).hexdigest()


def sample_byte(session, side, at):
    return (7 * at + 13 * (at >> 8) + 101 * side + 29 * session) & 255


def encode(script):
    """Recordings of our own encoder; see tests/tools/encode_sample.c."""
    processes.run([gogetway.tool("encode_sample")], input=script.encode())


@pytest.fixture
def store(scratch):
    """A store with four sessions over three segments: one in all of them, one with a gap, one cut, one of IPv6."""
    segments = scratch / "rec/segments"
    segments.mkdir(parents=True)
    names = [segments / f"20240101T00000{i}.000Z-w0-block-00000{i}.pcapng" for i in (1, 2, 3)]
    encode(f"""file {names[0]}
session 1 4 4001 4294960000 77
open 1
send 1 c 100
send 1 s 200000
session 2 4 4002 5 6
open 2
send 2 c 10
gap 2 c 5000 stall
send 2 c 10
close 2 client
file {names[1]}
send 1 c 70000
session 3 6 4003 1000 2000
open 3
send 3 s 3
fin 3 s
fin 3 c
close 3 orderly
file {names[2]}
send 1 s 9
session 4 4 4004 1 2
open 4
send 4 c 1
close 1 orderly
""")
    return scratch / "rec"


def in_order(place):
    """The store's sessions by the client's port."""
    return {int(s["client"].rsplit(":", 1)[1]): s for s in sessions(place)}


# ---- our own recordings ----------------------------------------------------------------------------------------------

def test_sessions_of_a_store(store):
    found = in_order(store)
    assert sorted(found) == [4001, 4002, 4003, 4004]
    assert found[4001]["bytes"] == {"client": 70100, "server": 200009}
    assert len(found[4001]["segments"]) == 3
    assert found[4002]["gaps"] == {"client": 5000, "server": 0}
    assert found[4003]["client"].startswith("[")
    assert found[4004]["state"] == "cut"
    assert stream(store, found[4001], "client") == bytes(sample_byte(1, 0, i) for i in range(70100))
    assert stream(store, found[4001], "server") == bytes(sample_byte(1, 1, i) for i in range(200009))


def test_show_as_json_gives_every_byte_and_its_place(store):
    session = in_order(store)[4002]
    lines = run("show", session["id"], "--as", "json", "--dir", store).stdout.decode().splitlines()
    chunks = [json.loads(line) for line in lines]
    assert [(c["from"], c["offset"], c["length"], c.get("gap")) for c in chunks] == [
        ("client", 0, 10, None), ("client", 10, 0, 5000), ("client", 5010, 10, None)]
    assert base64.b64decode(chunks[0]["data"]) == bytes(sample_byte(2, 0, i) for i in range(10))


def test_show_hex_is_hexdump(store):
    session = in_order(store)[4001]
    output = run("show", session["id"], "--as", "hex", "--from", "server", "--dir", store).stdout.decode()
    data = bytes(int(pair, 16) for line in output.splitlines() if re.match(r"[0-9a-f]{8}  ", line)
                 for pair in line[10:58].split())
    assert digest(data) == digest(stream(store, session, "server"))


def test_ambiguous_and_unknown_ids(store):
    ids = [s["id"] for s in sessions(store)]
    common = os.path.commonprefix(ids)
    result = run("show", common or "0", "--dir", store, check=False)
    if common or sum(i.startswith("0") for i in ids) > 1:
        assert result.returncode == 2
        assert all(i.encode() in result.stderr for i in ids if i.startswith(common or "0"))
    result = run("show", "fffffffffffffffffffffff0", "--dir", store, check=False)
    assert result.returncode == 3 and b"no session" in result.stderr


def test_verify_is_content_and_finds_each_damage(store):
    assert run("verify", "--dir", store).stdout.decode().strip().endswith(": 0 problems")
    segments = sorted((store / "segments").iterdir())
    whole = segments[1].read_bytes()
    # Any byte of a packet with payload that is changed is found.
    marker = bytes(sample_byte(1, 0, i) for i in range(500, 540))
    at = whole.index(marker)
    segments[1].write_bytes(whole[:at] + b"!" + whole[at + 1:])
    result = run("verify", "--dir", store, check=False)
    assert result.returncode == 1 and b": checksum: session " in result.stdout
    # A segment that is gone: retention may have taken it. If another has its number, a part of a session is missing.
    segments[1].unlink()
    result = run("verify", "--json", "--dir", store, check=False)
    problems = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert any(p.get("problem") == "offset" and p["information"] and p["text"].startswith("from the client")
               for p in problems)
    moved = segments[2].with_name(segments[2].name.rsplit("-", 1)[0] + "-" + segments[1].name.rsplit("-", 1)[1])
    segments[2].rename(moved)
    result = run("verify", "--json", "--dir", store, check=False)
    problems = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1
    assert any(p.get("problem") == "offset" and not p["information"] for p in problems)
    moved.rename(segments[2])
    segments[1].write_bytes(whole)
    # A packet that is gone: its bytes are missing without a mark.
    at = whole.index(marker)
    start = whole.rindex(struct.pack("<I", 6), 0, at - 400)
    length = struct.unpack_from("<I", whole, start + 4)[0]
    segments[1].write_bytes(whole[:start] + whole[start + length:])
    result = run("verify", "--dir", store, check=False)
    assert result.returncode == 1 and re.search(rb": (gap|offset|count): session ", result.stdout)
    segments[1].write_bytes(whole[:-3])
    result = run("verify", "--dir", store, check=False)
    assert result.returncode == 1 and b": torn: " in result.stdout and b"cut off" in result.stdout
    segments[1].write_bytes(b"not a capture" * 100)
    assert run("verify", "--dir", store, check=False).returncode == 3


def problems(place):
    result = run("verify", "--json", "--dir", place, check=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, {(p["problem"], p["information"]) for p in lines if "problem" in p}


def block_ends(data):
    ends, at = [], 0
    while at < len(data):
        at += struct.unpack_from("<I", data, at + 4)[0]
        ends.append(at)
    return ends


def test_verify_tells_every_cut(scratch):
    """A store that ended in order and has lost an end is never called good without a word."""
    place, path = small_store(scratch)
    whole = path.read_bytes()
    assert problems(place) == (0, set())
    ends = block_ends(whole)
    for length in range(len(whole)):
        if length in ends or length % 29 == 0:
            path.write_bytes(whole[:length])
            status, found = problems(place)
            if length in ends[2:]:  # at a block's end: only the session tells
                assert (status, found) == (0, {("cut", True)}), length
            elif length not in ends:
                assert status == 1 and ("torn", False) in found, length


@pytest.mark.parametrize("name", ["running", "running.2", "running.64"])
def test_verify_believes_running(scratch, name):
    """What the gateway's `running` file names may end anywhere: its next start completes it. One that took over from
    another has a number in the name of its own."""
    place, path = small_store(scratch)
    whole = path.read_bytes()
    running = place / name
    if name == "running.64":
        (place / "running").write_text("gogetway running 1\nboot x\n")
    running.write_text(f"gogetway running 1\nboot x\nring w0-block /dev/shm/\x1b[1m/gogetway-x.w0-block.1\n"
                       f"segment w0-block {path.name}\n")
    for length in (0, 1000, len(whole) - 40):
        path.write_bytes(whole[:length])
        status, found = problems(place)
        assert status == 0 and found == {("torn", True), ("unclosed", True)}, length
    for words in READING:
        assert b"ended without closing this store" in survive(place, words).stdout + survive(place, words).stderr
    running.write_text("gogetway running 1\nboot x\n")
    assert problems(place)[0] == 1
    (place / "lock").write_text("1\n")  # made before: the name has not come into `running` yet
    path.write_bytes(whole[:1000])
    assert problems(place) == (0, {("torn", True), ("unclosed", True)})
    os.utime(path, (1, 1))
    assert problems(place)[0] == 1


def test_a_recovery_explains_sessions_without_an_end(scratch):
    """Also those that were silent in the segment that has the mark, but not those of another run."""
    segments = scratch / "rec/segments"
    segments.mkdir(parents=True)
    names = [segments / f"20240101T00000{i}.000Z-w0-block-00000{number}.pcapng" for i, number in enumerate((1, 1, 2))]
    encode("".join(f"file {name}\nsession {i + 1} 4 {4001 + i} 5 6\nopen {i + 1}\nsend {i + 1} c 10\n"
                   for i, name in enumerate(names)))
    comment = b'{"recovered":{"bytes":4096}}'
    block = struct.pack("<IIIIIHH", 5, 28 + len(comment) + 4, 0, 0, 0, 1, len(comment)) + comment + bytes(4)
    names[2].write_bytes(names[2].read_bytes() + block + struct.pack("<I", len(block) + 4))
    result = run("verify", "--dir", scratch / "rec")
    assert result.stdout.count(b": information: cut: ") == 1
    assert names[0].name.encode() in result.stdout.splitlines()[0]


def test_closing_counts_are_verified(store):
    segments = sorted((store / "segments").iterdir())
    text = segments[2].read_bytes()
    match = re.search(rb'"received":\{"client":(\d)', text)
    if not match:
        pytest.skip("the encoder's sample writes no counts")
    digit = b"9" if match.group(1) != b"9" else b"8"
    segments[2].write_bytes(text[:match.start(1)] + digit + text[match.end(1):])
    result = run("verify", "--dir", store, check=False)
    assert result.returncode == 1 and b": count: session " in result.stdout


# ---- export ----------------------------------------------------------------------------------------------------------

def raw_digests(place):
    return {s["id"]: tuple(digest(stream(place, s, side)) for side in SIDES) for s in sessions(place)}


@pytest.mark.parametrize("mtu", [None, 1500, 576])
def test_export_round_trip(store, scratch, mtu):
    out = scratch / "out.pcapng"
    run("export", "--dir", store, "-o", out, *(("--mtu", mtu) if mtu else ()))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert raw_digests(out) == raw_digests(store)
    assert run("verify", "--dir", out).returncode == 0
    reading = recording.tshark_read([out])
    assert reading.packets > 0
    lengths = processes.run(["tshark", "-r", out, "-T", "fields", "-e", "ip.len", "-e", "ipv6.plen"]).stdout.split()
    if mtu:
        assert max(map(int, lengths)) <= mtu


def test_export_is_silent_in_tshark(store, scratch):
    for mtu in ((), ("--mtu", "1400")):
        out = scratch / f"silent{len(mtu)}.pcapng"
        run("export", "--dir", store, "port=80..65535", "-o", out, *mtu)
        found = processes.run(["tshark", "-r", out, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
                               "-T", "fields", "-e", "tcp.port", "-e", "tcp.analysis.flags", "-e",
                               "tcp.checksum.status"]).stdout.decode()
        for line in found.splitlines():
            port, flags, status = line.split("\t")[:3]
            assert status == "1", line
            assert not flags or "4002" in port, line  # the one with a gap


def test_export_classic_pcap_has_the_same_packets(store, scratch):
    run("export", "--dir", store, "-o", scratch / "a.pcapng")
    run("export", "--dir", store, "--format", "pcap", "-o", scratch / "a.pcap")
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.seq_raw", "-e", "tcp.len"]
    texts = [processes.run(["tshark", "-r", scratch / name, *fields]).stdout for name in ("a.pcapng", "a.pcap")]
    assert texts[0] == texts[1] and texts[0].count(b"\n") > 10
    times = [float(line.split(b"\t")[0]) for line in texts[0].splitlines()]
    assert times == sorted(times)


def test_export_to_a_pipe_is_the_same(store, scratch):
    run("export", "--dir", store, "-o", scratch / "a.pcapng")
    assert run("export", "--dir", store, "-o", "-").stdout == (scratch / "a.pcapng").read_bytes()


def test_export_raw(store, scratch):
    result = run("export", "--dir", store, "--format", "raw", "-o", scratch / "raw")
    assert b"5000 bytes from the client are missing at offset 10" in result.stderr
    assert stat.S_IMODE((scratch / "raw").stat().st_mode) == 0o700
    for session in sessions(store):
        for side in SIDES:
            path = scratch / "raw" / f"{session['id']}.{side}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert path.read_bytes() == stream(store, session, side)


def test_export_refuses_to_overwrite(store, scratch):
    out = scratch / "there"
    out.write_text("precious")
    result = run("export", "--dir", store, "-o", out, check=False)
    assert result.returncode == 3 and b"exists already" in result.stderr and b"--force" in result.stderr
    assert out.read_text() == "precious"
    run("export", "--dir", store, "-o", out, "--force")
    assert len(sessions(out)) == 4


def test_export_on_a_full_disk(store):
    result = run("export", "--dir", store, "-o", "/dev/full", check=False)
    assert result.returncode == 3 and b"No space left" in result.stderr


def test_export_of_a_part_gets_a_handshake(store, scratch):
    sorted((store / "segments").iterdir())[0].unlink()
    session = in_order(store)[4001]
    assert session["beginning_missing"]
    out = scratch / "part.pcapng"
    run("export", session["id"], "--dir", store, "-o", out)
    lines = processes.run(["tshark", "-r", out, "-T", "fields", "-e", "tcp.flags.str", "-e",
                           "tcp.analysis.flags"]).stdout.decode().splitlines()
    assert [line.split("\t")[0].strip("·") for line in lines[:3]] == ["S", "A··S", "A"]
    assert all(not line.split("\t")[1] for line in lines)
    for side in SIDES:
        assert stream(out, session, side) == stream(store, session, side)


# ---- captures of others ----------------------------------------------------------------------------------------------

CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 80)


def conversation(data, piece=1000, address=(IP, "10.0.0.1", "10.0.0.2"), port=40000, ack=True):
    """A conversation in which the client sends `data` and the server answers with it backwards."""
    layer, client, server = address
    made, sequence = [], [1000, 0xfffffff0]

    def packet(side, flags, payload=b""):
        ends = (client, server, port, 80) if side == 0 else (server, client, 80, port)
        tcp = TCP(sport=ends[2], dport=ends[3], seq=sequence[side], ack=sequence[1 - side] if ack else 0, flags=flags)
        one = layer(src=ends[0], dst=ends[1]) / tcp
        made.append(one / Raw(payload) if payload else one)
        sequence[side] = (sequence[side] + len(payload) + ("S" in flags or "F" in flags)) & 0xffffffff

    packet(0, "S")
    packet(1, "SA")
    packet(0, "A")
    for side, content in ((0, data), (1, data[::-1])):
        for at in range(0, len(content), piece):
            packet(side, "PA", content[at:at + piece])
    packet(0, "FA")
    packet(1, "FA")
    packet(0, "A")
    return made


def timed(packets):
    for number, packet in enumerate(packets):
        packet.time = 1700000000 + number / 1000
    return packets


def random_bytes(count, seed=1):
    return random.Random(seed).randbytes(count)


def one_session(path):
    found = sessions(path)
    assert len(found) == 1, found
    return found[0]


def expect(path, data):
    session = one_session(path)
    assert session["foreign"] and session["client"].endswith(":40000") and session["gaps"] == {"client": 0, "server": 0}
    assert session["bytes"] == {"client": len(data), "server": len(data)}
    assert stream(path, session, "client") == data
    assert stream(path, session, "server") == data[::-1]
    return session


LINKS = {
    "ethernet": lambda p: Ether() / p,
    "vlan": lambda p: Ether() / Dot1Q(vlan=7) / p,
    "two vlans": lambda p: Ether(type=0x88a8) / Dot1Q(vlan=7) / Dot1Q(vlan=8) / p,
    "cooked": lambda p: CookedLinux() / p,
    "raw": lambda p: p,
}


@pytest.mark.parametrize("link", LINKS)
def test_link_layers(scratch, link):
    data = random_bytes(20000)
    path = scratch / "a.pcapng"
    wrpcap(str(scratch / "a.pcap"), timed([LINKS[link](p) for p in conversation(data)]))  # wrpcapng knows Ethernet only
    processes.run(["editcap", "-F", "pcapng", scratch / "a.pcap", path])
    session = expect(path, data)
    assert session["state"] == "closed" and session["close"] == "client-fin"
    assert one_session(path)["id"] == session["id"]
    out = scratch / "out.pcapng"
    run("export", "--dir", path, "-o", out)
    expect(out, data)


def test_ipv6(scratch):
    data = random_bytes(5000)
    path = scratch / "a.pcapng"
    packets = conversation(data, address=(IPv6, "2001:db8::1", "2001:db8::2"))
    wrpcapng(str(path), timed([Ether() / p for p in packets]))
    assert expect(path, data)["server"] == "[2001:db8::2]:80"


def test_reordered_and_retransmitted(scratch):
    data = random_bytes(60000)
    packets = conversation(data)
    dice = random.Random(3)
    middle = packets[3:-3]
    for at in range(0, len(middle) - 4, 4):  # within a window, and some twice
        window = middle[at:at + 4]
        dice.shuffle(window)
        middle[at:at + 4] = window
    middle = [copy for p in middle for copy in ([p, p.copy()] if dice.random() < 0.2 else [p])]
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / p for p in packets[:3] + middle + packets[-3:]]))
    expect(path, data)


def test_overlapping_retransmission(scratch):
    data = random_bytes(4000)
    packets = conversation(data)
    longer = packets[4].copy()  # the second kilobyte again, with the third behind it
    longer[TCP].payload = Raw(data[1000:3000])
    packets.insert(5, longer)
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / p for p in packets]))
    expect(path, data)


def test_holes_are_gaps(scratch):
    data = random_bytes(10000)
    packets = conversation(data)
    del packets[5]  # the third kilobyte from the client
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / p for p in packets]))
    session = one_session(path)
    assert session["gaps"] == {"client": 1000, "server": 0}
    assert session["bytes"]["client"] == 9000
    assert stream(path, session, "client") == data[:2000] + data[3000:]
    lines = run("show", session["id"], "--as", "json", "--from", "client", "--dir", path).stdout.splitlines()
    assert [json.loads(line)["offset"] for line in lines if b'"gap"' in line] == [2000]


def test_mid_stream_and_reuse(scratch):
    first, second = conversation(b"a" * 100), conversation(b"b" * 200)
    second[0][TCP].seq = 5000  # scapy's second SYN has to be another one
    for packet in second[1:]:
        if packet[TCP].sport == 40000:
            packet[TCP].seq += 4000
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / p for p in first[3:] + second]))
    found = sessions(path)
    assert [s["bytes"]["client"] for s in found] == [100, 200]
    assert [s["beginning_missing"] for s in found] == [True, False]
    assert stream(path, found[1], "client") == b"b" * 200


def test_cut_packets_are_gaps(scratch):
    data = random_bytes(3000)
    whole, cut = scratch / "whole.pcapng", scratch / "cut.pcapng"
    wrpcapng(str(whole), timed([Ether() / p for p in conversation(data)]))
    processes.run(["editcap", "-s", "154", whole, cut])  # 100 bytes of each payload stay
    session = one_session(cut)
    assert session["bytes"]["client"] == 300 and session["gaps"]["client"] == 2700


def test_byte_swapped(scratch):
    """A big-endian file, written by hand: no tool here writes one."""
    data = random_bytes(3000)
    blocks = [struct.pack(">IIIHHqI", 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0, -1, 28),
              struct.pack(">IIHHII", 1, 20, 1, 0, 0, 20)]
    for number, packet in enumerate(conversation(data)):
        frame = bytes(Ether() / packet)
        padded = frame + bytes(-len(frame) % 4)
        time = 1700000000000000 + number
        blocks.append(struct.pack(">IIIIIII", 6, 32 + len(padded), 0, time >> 32, time & 0xffffffff, len(frame),
                                  len(frame)) + padded + struct.pack(">I", 32 + len(padded)))
    path = scratch / "big.pcapng"
    path.write_bytes(b"".join(blocks))
    assert expect(path, data)["start"].startswith("2023-11-14T22:13:20")


def test_classic_pcap_is_named(scratch):
    path = scratch / "a.pcap"
    wrpcap(str(path), timed([Ether() / p for p in conversation(b"x")]))
    for words in READING:
        result = run(*words, "--dir", path, check=False)
        assert result.returncode == 3 and b"classic pcap" in result.stderr + result.stdout


def test_nothing_understood_is_said(scratch):
    """A capture of UDP, or over a link layer that is not known, is not simply empty."""
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53) for _ in range(7)]))
    result = run("sessions", "--json", "--dir", path)
    assert result.stdout == b"" and b"a.pcapng: 7 packets are not TCP over a known link type" in result.stderr
    result = run("verify", "--dir", path)
    assert b"information: packet: 7 packets are not TCP over a known link type" in result.stdout
    wrpcap(str(scratch / "a.pcap"), timed(conversation(b"x")), linktype=147)
    processes.run(["editcap", "-F", "pcapng", scratch / "a.pcap", path])
    assert b"packets are not TCP" in run("sessions", "--dir", path).stderr
    wrpcapng(str(path), timed([Ether() / p for p in conversation(b"x")] + [Ether() / IP() / UDP(dport=53)]))
    assert run("sessions", "--dir", path).stderr == b""
    assert b"information: packet: 1 packet is not TCP" in run("verify", "--dir", path).stdout


def test_folder_of_captures(scratch):
    for number in range(3):
        packets = conversation(b"%d" % number, port=40000 + number)
        wrpcapng(str(scratch / f"{number}.pcapng"), timed([Ether() / p for p in packets]))
    (scratch / "notes.txt").write_text("no capture")
    assert len(sessions(scratch)) == 3
    assert len(sessions(scratch, "client=10.0.0.1:40001")) == 1


# ---- hostile files ---------------------------------------------------------------------------------------------------

def survive(path, words):
    """No crash, a stated status, no terminal escape, something said."""
    result = run(*words, "--dir", path, check=False)
    assert result.returncode in (0, 1, 2, 3), (words, result)
    assert b"\x1b" not in result.stdout + result.stderr
    assert result.returncode == 0 or result.stdout + result.stderr
    assert b"AddressSanitizer" not in result.stderr and b"runtime error" not in result.stderr, result.stderr.decode()
    return result


def survive_all(path, scratch):
    for words in READING:
        survive(path, words)
    survive(path, ("show", "id!=ffffff"))
    survive(path, ("export", "-o", scratch / "hostile.out", "--force", "--mtu", "600"))


def test_garbage(scratch):
    dice = random.Random(7)
    path = scratch / "x.pcapng"
    for size in (0, 1, 3, 4, 11, 12, 27, 28, 1000, 100000):
        path.write_bytes(dice.randbytes(size))
        survive_all(path, scratch)
    head = struct.pack("<IIIHHqI", 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0, -1, 28)
    for size in (1, 8, 50, 5000):
        path.write_bytes(head + dice.randbytes(size))
        survive_all(path, scratch)


def small_store(scratch):
    segments = scratch / "small/segments"
    segments.mkdir(parents=True)
    path = segments / "20240101T000001.000Z-w0-block-000001.pcapng"
    encode(f"file {path}\nsession 1 4 4001 9 8\nopen 1\nsend 1 c 40\nsend 1 s 30\ngap 1 c 9 stall\nsend 1 c 5\n"
           "close 1 orderly\n")
    return scratch / "small", path


def test_every_truncation(scratch):
    place, path = small_store(scratch)
    whole = path.read_bytes()
    step = 1 if gogetway.TEST_ALL else 7
    for length in range(0, len(whole), step):
        path.write_bytes(whole[:length])
        for words in (("sessions", "--json"), ("verify",), ("show", "id!=ffffff", "--as", "hex")):
            survive(place, words)


def test_every_kind_of_damage(scratch):
    place, path = small_store(scratch)
    whole = path.read_bytes()
    dice = random.Random(11)
    for _ in range(2000 if gogetway.TEST_ALL else 40):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 1, 0x7f, 0x80, 0xff, dice.randrange(256)))
        path.write_bytes(damaged)
        survive_all(place, scratch)


HOSTILE_TEXTS = [b"\x1b[31mred\x1b]0;title\x07", "\u009b31mC1\u0085".encode(), b"\x9b31m",
                 "\u202egnp.exe\u2066".encode(),
                 b"\x00\x08\x7f\r", "\u2028\u2029\u200b\ufeff".encode(), b"\xf0\x9f\x98", "ok \u00e4\u4e2d".encode()]
FORBIDDEN = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u200b-\u200f"
                       "\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.mark.parametrize("form", ["text", "hex", "json"])
def test_no_escape_reaches_the_terminal(scratch, form):
    path = scratch / "a.pcapng"
    data = b"\n".join(HOSTILE_TEXTS) + bytes(range(256))
    wrpcapng(str(path), timed([Ether() / p for p in conversation(data)]))
    session = one_session(path)
    for side in SIDES:
        output = run("show", session["id"], "--as", form, "--from", side, "--dir", path).stdout.decode()  # UTF-8
        assert not FORBIDDEN.search(output), repr(FORBIDDEN.search(output))
        if form == "json":
            assert base64.b64decode(json.loads(output.splitlines()[0])["data"])
        if form == "text" and side == "client":
            assert "ok \u00e4\u4e2d" in output
    assert stream(path, session, "client") == data


def test_text_leaves_line_ends_alone(scratch):
    """HTTP ends its lines with CR LF; a CR anywhere else moves the cursor."""
    path = scratch / "a.pcapng"
    wrpcapng(str(path), timed([Ether() / p for p in conversation(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nover\rwritten\r")]))
    output = run("show", one_session(path)["id"], "--from", "client", "--dir", path).stdout
    assert b"GET / HTTP/1.1\r\nHost: x\r\n\r\nover\\x0dwritten\\x0d\n" in output


def test_names_in_facts_are_made_safe(store):
    """A comment is a stranger's text as well."""
    path = sorted((store / "segments").iterdir())[0]
    text = path.read_bytes()
    at = text.index(b'"id":"')
    hostile = text.replace(text[at:at + 6], b'"id":"', 1)
    match = re.search(rb'"listener":"([^"]{6,})"', hostile)
    if match:
        evil = b"\\u001b[1m"[:len(match.group(1))].ljust(len(match.group(1)), b"x")
        path.write_bytes(hostile[:match.start(1)] + evil + hostile[match.end(1):])
    for words in READING:
        survive(store, words)


# ---- the command line ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, message", [
    (("sessions", "--jsno"), b"did you mean --json"),
    (("sessions", "clinet=1.2.3.4"), b"did you mean 'client'"),
    (("show",), b"which session"),
    (("show", "a", "b"), b"one session at a time"),
    (("show", "a", "--as", "hx"), b"did you mean hex"),
    (("show", "a", "--from", "me"), b"client, server and both"),
    (("export",), b"-o FILE"),
    (("export", "-o", "x", "--mtu", "12"), b"576"),
    (("export", "-o", "x", "--format", "pcapn"), b"did you mean pcapng"),
    (("export", "-o", "-", "--format", "raw"), b"directory"),
    (("verify", "--quick"), b"unknown option"),
    (("tail", "x"), b"takes no words"),
])
def test_wrong_commands(store, words, message):
    result = run(*words, "--dir", store, check=False)
    assert result.returncode == 2 and message in result.stderr, result


def test_not_a_store(scratch):
    empty = scratch / "empty"
    empty.mkdir()
    for words in (("sessions",), ("verify",), ("export", "-o", scratch / "x"), ("show", "aa"), ("tail",)):
        result = run(*words, "--dir", empty, check=False)
        assert result.returncode == 3 and b"no store" in result.stderr
        result = run(*words, "--dir", scratch / "nowhere", check=False)
        assert result.returncode == 3 and b"no recording" in result.stderr


def test_a_store_of_another_user(store):
    """What may not be read is not absent."""
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    for closed in (store, store / "segments"):
        closed.chmod(0o700 if other else 0)
        for words in (("sessions",), ("verify",)):
            result = run(*words, "--dir", store, check=False, **other)
            assert result.returncode == 3 and b"Permission denied" in result.stderr, result
            assert b"no store" not in result.stderr
        closed.chmod(0o755)


def test_help_has_examples():
    for command in ("sessions", "show", "export", "verify", "tail"):
        text = run(command, "--help").stdout.decode()
        assert f"  gogetway {command}" in text and "examples:" in text


def test_a_start_that_fails_early_says_why(scratch):
    """Before the configuration is read: no wrong command, and not silent."""
    if not torture.preload_works():
        pytest.skip("a build with a sanitizer wants no other library before it")
    environment = {**os.environ, "LD_PRELOAD": gogetway.tool("failnth.so"), "FAILNTH_CALLS": "eventfd",
                   "FAILNTH_AT": "1"}
    result = run("run", "--listen", "127.0.0.1:0", "--upstream", "none", "--dir", scratch / "rec", check=False,
                 env=environment)
    assert result.returncode == 3 and b"eventfd" in result.stderr, result


def test_tail_without_a_gateway(store):
    result = run("tail", "--dir", store, check=False)
    assert result.returncode == 3 and b"no gateway" in result.stderr


def test_a_full_output_is_an_error(store):
    for words in (("sessions",), ("verify",), ("show", "state=cut")):
        command = f"{gogetway.program()} {' '.join(words)} --dir {store} > /dev/full"
        result = processes.run(["sh", "-c", command], check=False)
        assert result.returncode == 3 and b"cannot write" in result.stderr, words


def test_stores_are_never_changed(store):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted((store / "segments").iterdir())}
    for words in READING:
        run(*words, "--dir", store)
    copy = shutil.copytree(store, str(store) + ".copy")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted((store / "segments").iterdir())} == before
    assert {s["id"] for s in sessions(copy)} == {s["id"] for s in sessions(store)}
