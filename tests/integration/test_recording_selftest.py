# SPDX-License-Identifier: Apache-2.0
"""Tests of the tests: the independent readers must pass a good recording, and their checks must see each fault."""
import struct

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

import recording
from gogetway import Stream

INBOUND, OUTBOUND = 1, 2


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def pcapng(packets):
    """A segment of (direction, frame) pairs, a microsecond apart."""
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", 1, 0, 262144) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0))
    for number, (direction, frame) in enumerate(packets):
        time = 1_700_000_000_000_000_000 + number * 1000
        body = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
        body += frame + b"\0" * (-len(frame) % 4)
        body += struct.pack("<HHIHH", 2, 4, direction, 0, 0)
        out += block(6, body)
    return out


class Talk:
    """A conversation packet by packet, right until told otherwise."""

    def __init__(self, version=4, port=40000):
        self.version = version
        self.ends = {"client": port, "server": 80}
        self.next = {"client": 1000 + port, "server": 0xFFFFFF00}
        self.packets = []
        for side, flags in (("client", "S"), ("server", "SA"), ("client", "A")):
            self.packet(side, flags)

    def frame(self, side, flags, data=b"", **tcp):
        other = "server" if side == "client" else "client"
        addresses = {4: {"client": "127.0.0.1", "server": "127.0.0.2"}, 6: {"client": "::1", "server": "fd00::2"}}
        addresses = addresses[self.version]
        layer = IP if self.version == 4 else IPv6
        fields = {"seq": self.next[side], "ack": self.next[other] if "A" in flags else 0, "window": 65535} | tcp
        options = [("MSS", 1460), ("WScale", 8)] if "S" in flags else []
        header = TCP(sport=self.ends[side], dport=self.ends[other], flags=flags, options=options, **fields)
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        return bytes(packet / layer(src=addresses[side], dst=addresses[other]) / header / data)

    def packet(self, side, flags, data=b"", **tcp):
        frame = self.frame(side, flags, data, **tcp)
        self.packets.append((INBOUND if side == "client" else OUTBOUND, frame))
        self.next[side] = (self.next[side] + len(data) + ("S" in flags) + ("F" in flags)) & 0xFFFFFFFF

    def say(self, side, data):
        self.packet(side, "PA", data)
        self.packet("server" if side == "client" else "client", "A")

    def close(self):
        for side, flags in (("client", "FA"), ("server", "FA"), ("client", "A")):
            self.packet(side, flags)


def good_talk(version=4, port=40000):
    talk = Talk(version, port)
    talk.say("client", b"hello")
    talk.say("server", bytes(range(256)) * 100)
    talk.say("client", b"bye")
    talk.close()
    return talk


def read(scratch, *talks):
    files = []
    for number, talk in enumerate(talks):
        files.append(scratch / f"{number}.pcapng")
        files[-1].write_bytes(pcapng(talk.packets))
    return recording.tshark_read(files)


@pytest.mark.parametrize("version", [4, 6])
def test_a_good_recording_passes(scratch, version):
    reading = read(scratch, good_talk(version), good_talk(version, port=40001))
    assert reading.anomalies == []
    assert len(reading.conversations) == 2
    for conversation in reading.conversations:
        assert conversation.streams == {"client": Stream.of_bytes(b"hellobye"),
                                        "server": Stream.of_bytes(bytes(range(256)) * 100)}
        assert (conversation.syn, conversation.synack) == (1, 1)
        assert conversation.fins == ("client", "server") and not conversation.resets
    assert conversation.client.rsplit(":", 1)[1] in ("40000", "40001")


def spoil_checksum(talk, offset):
    direction, frame = talk.packets[3]
    talk.packets[3] = direction, frame[:offset] + bytes([frame[offset] ^ 1]) + frame[offset + 1:]


FAULTS = {
    "TCP checksum": lambda talk: spoil_checksum(talk, 14 + 20 + 16),
    "IP checksum": lambda talk: spoil_checksum(talk, 14 + 10),
    "payload": lambda talk: spoil_checksum(talk, 14 + 20 + 20),
    "missing packet": lambda talk: talk.packets.pop(5),
    "repeated packet": lambda talk: talk.packets.insert(4, talk.packets[3]),
    "order": lambda talk: talk.packets.insert(3, talk.packets.pop(7)),
    "wrong direction": lambda talk: talk.packets.__setitem__(3, (OUTBOUND, talk.packets[3][1])),
    "ACK of nothing": lambda talk: talk.packets.insert(4, (OUTBOUND, talk.frame("server", "A", ack=999999))),
    "zero window": lambda talk: talk.packets.insert(4, (OUTBOUND, talk.frame("server", "A", window=0))),
    "malformed": lambda talk: talk.packets.__setitem__(3, (INBOUND, talk.packets[3][1][:40])),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_seen(scratch, fault):
    talk = good_talk()
    FAULTS[fault](talk)
    assert read(scratch, talk).anomalies, fault


def test_a_torn_file_is_seen(scratch):
    file = scratch / "torn.pcapng"
    file.write_bytes(pcapng(good_talk().packets)[:-10])
    assert recording.tshark_read([file]).anomalies
    with pytest.raises(AssertionError):
        recording.tcpdump_read(file)
    with pytest.raises(AssertionError):
        recording.editcap_read(file, scratch / "copy.pcap")


def test_the_other_readers_pass_a_good_one(scratch):
    file = scratch / "good.pcapng"
    talk = good_talk()
    file.write_bytes(pcapng(talk.packets))
    assert recording.tcpdump_read(file) == recording.capinfos_packets(file) == len(talk.packets)
    recording.editcap_read(file, scratch / "copy.pcap")
    flows = recording.tcpflow_read([file], scratch)
    assert flows["127.0.0.1:40000", "127.0.0.2:80"] == Stream.of_bytes(b"hellobye")
    assert flows["127.0.0.2:80", "127.0.0.1:40000"] == Stream.of_bytes(bytes(range(256)) * 100)
