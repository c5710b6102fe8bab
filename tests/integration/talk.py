# SPDX-License-Identifier: Apache-2.0
"""Recordings made by hand, packet by packet, with scapy: what the tests of the tests read, whole or spoiled."""
import struct

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

INBOUND, OUTBOUND = 1, 2
_ADDRESSES = {4: {"client": "127.0.0.1", "server": "127.0.0.2"}, 6: {"client": "::1", "server": "fd00::2"}}


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

    def __init__(self, version=4, port=40000, client=None):
        self.version = version
        self.addresses = dict(_ADDRESSES[version])
        if client:
            self.addresses["client"] = client
        self.ends = {"client": port, "server": 80}
        self.next = {"client": 1000 + port, "server": 0xFFFFFF00}
        self.packets = []
        for side, flags in (("client", "S"), ("server", "SA"), ("client", "A")):
            self.packet(side, flags)

    def frame(self, side, flags, data=b"", **tcp):
        other = "server" if side == "client" else "client"
        layer = IP if self.version == 4 else IPv6
        fields = {"seq": self.next[side], "ack": self.next[other] if "A" in flags else 0, "window": 65535} | tcp
        options = [("MSS", 1460), ("WScale", 8)] if "S" in flags else []
        header = TCP(sport=self.ends[side], dport=self.ends[other], flags=flags, options=options, **fields)
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        return bytes(packet / layer(src=self.addresses[side], dst=self.addresses[other]) / header / data)

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
