# SPDX-License-Identifier: Apache-2.0
"""Tests of the tests: the independent readers must pass a good recording, and their checks must see each fault."""
import pytest

import recording
from gogetway import Stream
from talk import INBOUND, OUTBOUND, Talk, pcapng

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


def test_a_port_used_again_is_no_fault(scratch):
    first, second = good_talk(), Talk(port=40000)
    second.packets.clear()
    second.next = {"client": 5, "server": 6}
    for side, flags in (("client", "S"), ("server", "SA"), ("client", "A")):
        second.packet(side, flags)
    second.close()
    first.packets += second.packets
    reading = read(scratch, first)
    assert reading.anomalies == [] and len(reading.conversations) == 2


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
