# SPDX-License-Identifier: Apache-2.0
"""The segment is read while it is being written, a thousand times: always whole records, never an error.

Our reader does all thousand. tshark, tcpdump, editcap and capinfos take turns for 60 of them, since a start of tshark
costs a third of a second; in all mode they read a thousand times as well.
"""
import itertools
import struct

import endpoints
import processes
import recording
from gogetway import TEST_ALL

READS = 1000
FOREIGN_READS = 1000 if TEST_ALL else 60
# Reading takes longer the more there is: a thousand reads of a segment that only grows would take hours.
SEGMENT_BYTES = 8 << 20


class Load:
    """Generators one after the other with growing seeds, so that there is traffic for as long as it is wanted."""

    def __init__(self, gateway, listen, scratch, concurrency=3):
        self.gateway, self.listen, self.scratch, self.concurrency = gateway, listen, scratch, concurrency
        self.seeds = itertools.count(900)
        self.finished = []
        self.current = self.begin()

    def begin(self):
        # Small sessions with pauses: the segment grows all the time, but not to a size that takes long to read.
        return endpoints.Endpoints(self.scratch, next(self.seeds), 200, self.gateway.listen, self.listen, deadline=120,
                                   concurrency=self.concurrency, bytes_max=8192, slow_percent=100,
                                   unique_source=True).start()

    def go_on(self):
        if not self.current.running():
            self.finished.append(self.current.finish(10))
            self.current = self.begin()

    def finish(self):
        self.finished.append(self.current.finish(180))
        problems = [problem for result in self.finished for problem in endpoints.check_endpoints(result)]
        assert not problems, endpoints.show(problems)
        return sum(len(result.sessions) for result in self.finished)


def whole_records(data, at=0):
    """The number of blocks; AssertionError unless the data are whole pcapng blocks from `at` to the end."""
    count = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length >= 12 and length % 4 == 0 and at + length <= len(data), f"torn at {at} of {len(data)}"
        assert struct.unpack_from("<I", data, at + length - 4)[0] == length, f"block lengths disagree at {at}"
        assert kind in (0x0A0D0D0A, 1, 5, 6), f"block of type {kind:#x} at {at}"
        at += length
        count += 1
    return count


def foreign_reader(number, scratch):
    def tshark(file):
        recording.tshark_approves([file])

    def editcap(file):
        recording.editcap_read(file, scratch / "editcap.pcap")
    # Never an error; how many packets there are depends on the moment.
    readers = (recording.capinfos_packets, recording.tcpdump_read, tshark, editcap)
    return readers[number % len(readers)]


def test_a_segment_is_whole_at_every_moment(gateways, scratch):
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--workers", 1, "--segment-max-bytes", SEGMENT_BYTES])
    load = Load(gateway, upstream, scratch)
    processes.wait_until(lambda: gateway.segments() and gateway.segments()[-1].stat().st_size > 4096, 10, "a segment")
    sizes = set()
    before = {}
    for number in range(READS):
        load.go_on()
        segment = gateway.segments()[-1]
        data = segment.read_bytes()
        sizes.add(len(data))
        assert len(data) % 4096 == 0, f"{segment.name} has {len(data)} bytes"
        known = before.get(segment, b"")
        assert data.startswith(known), f"{segment.name}: what was written has changed"
        whole_records(data, len(known))
        before[segment] = data
        if number % (READS // FOREIGN_READS) == 0:
            foreign_reader(number // (READS // FOREIGN_READS), scratch)(segment)
    assert len(sizes) > 5, f"the segment hardly grew while it was read: {sorted(sizes)}"
    sessions = load.finish()
    status, log = gateway.stop()
    assert status == 0, log
    assert len(gateway.sessions()) == sessions


def test_our_reader_while_it_is_written(gateways, scratch):
    """`sessions`, `verify` and `export` of an open store, over and over."""
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream)
    load = Load(gateway, upstream, scratch, concurrency=1)
    processes.wait_until(gateway.segments, 10, "a segment")
    seen = 0
    for number in range(READS):
        load.go_on()
        sessions = gateway.sessions()
        assert len(sessions) >= seen, f"{seen} sessions were there, now {len(sessions)}"
        seen = len(sessions)
        if number % 100 == 50:
            gateway.verify()
            gateway.payloads()
        if number % 100 == 0:
            gateway.command("export", "--format", "pcapng", "-o", scratch / f"part-{number}.pcapng")
            recording.tshark_approves([scratch / f"part-{number}.pcapng"])
    count = load.finish()
    status, log = gateway.stop()
    assert status == 0, log
    assert len(gateway.sessions()) == count
