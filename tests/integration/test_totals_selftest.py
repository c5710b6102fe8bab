# SPDX-License-Identifier: Apache-2.0
"""Tests of the tests: the comparison of metrics with the recording must pass a good pair, and see each fault."""
import json
import re

import pytest

import faults
import processes
import prometheus

SIZES = (0, 1, 5000, 70000)


@pytest.fixture
def ended(gateways, totals):
    """A gateway that has ended, and the text of its metrics. That it spoils both is not to be told once more."""
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address)
        for size in SIZES:
            with faults.connect(gateway.listen) as client:
                client.sendall(bytes(size))
                assert faults.read_exactly(client, size) == bytes(size)
        faults.wait_metric(gateway, "sessions_closed", len(SIZES))
        assert gateway.stop()[0] == 0
    file = totals.pop(gateway)
    assert prometheus.check_ended(gateway, file) is None
    return gateway, file


def off_by_one(name):
    """The first series of that name that is not 0 has one more."""
    def spoil(_, file):
        text, count = re.subn(rf"^({name}(?:{{.*}})?) ([1-9]\d*)$", lambda found: f"{found[1]} {int(found[2]) + 1}",
                              file.read_text(), count=1, flags=re.MULTILINE)
        assert count == 1, f"there is no {name}"
        file.write_text(text)
    return spoil


def without_a_packet(gateway, _):
    """Some of the longest session's bytes are not in the recording."""
    spoil_segment(gateway, cut_packet)


def cut_packet(data):
    """The first block with much payload becomes one that readers skip, of the same length."""
    at = 0
    while at < len(data):
        kind, length = (int.from_bytes(data[at + offset:at + offset + 4], "little") for offset in (0, 4))
        if kind == 6 and length > 4000:
            return data[:at] + (0x0bad).to_bytes(4, "little") + data[at + 4:]
        at += length
    raise AssertionError("no large packet")


def spoil_segment(gateway, change):
    segment = max(gateway.segments(), key=lambda file: file.stat().st_size)
    segment.write_bytes(change(segment.read_bytes()))


def without_a_segment(gateway, _):
    max(gateway.segments(), key=lambda file: file.stat().st_size).unlink()


def longer(gateway, _):
    spoil_segment(gateway, lambda data: data + data[-4096:])


SPOILS = {
    "a session too many": off_by_one("gogetway_sessions_closed_total"),
    "a route's session": off_by_one("gogetway_route_sessions_closed_total"),
    "a route's byte in": off_by_one("gogetway_route_received_bytes_total"),
    "a route's byte out": off_by_one("gogetway_route_forwarded_bytes_total"),
    "a client's byte": off_by_one("gogetway_received_client_bytes_total"),
    "a server's byte sent": off_by_one("gogetway_forwarded_server_bytes_total"),
    "a byte written": off_by_one("gogetway_log_written_bytes_total"),
    "a packet lost": without_a_packet,
    "a segment lost": without_a_segment,
    "a segment with more": longer,
}


@pytest.mark.parametrize("fault", SPOILS)
def test_each_fault_is_seen(ended, fault):
    for file in ended[0].directory.glob("catalogue.db*"):  # it was made of the segment before that is spoilt
        file.unlink()
    SPOILS[fault](*ended)
    with pytest.raises(AssertionError):
        prometheus.check_ended(*ended)


def test_what_was_not_counted_is_seen(ended):
    """Bytes that went on unrecorded are gaps of the recording, or one of the two is wrong."""
    gateway, file = ended
    file.write_text(re.sub(r"^(gogetway_unrecorded_bytes_total) 0$", r"\1 5", file.read_text(), flags=re.MULTILINE))
    with pytest.raises(AssertionError):
        prometheus.check_ended(gateway, file)


@pytest.mark.parametrize("name", ("sessions_closed", "received_client_bytes", "forwarded_server_bytes",
                                  "log_written_bytes", "unrecorded_bytes"))
def test_a_process_that_counts_wrong_is_seen_in_the_sum(gateways, scratch, name):
    with faults.Echo() as upstream:
        gateway = gateways(upstream.address, options=["--stats", scratch / "stats"])
        with faults.connect(gateway.listen) as client:
            client.sendall(bytes(100))
            assert faults.read_exactly(client, 100) == bytes(100)
        assert gateway.stop()[0] == 0
    counts = json.loads((scratch / "stats").read_text())["metrics"]
    prometheus.check_sums([counts, {}], gateway)
    with pytest.raises(AssertionError):
        prometheus.check_sums([counts, {name: 1}], gateway)


def test_why_it_is_not_compared_is_said(gateways, totals):
    gateway = gateways("none")
    file = totals.pop(gateway)
    gateway.kill()
    assert prometheus.check_ended(gateway, file) == "killed, or ended with an error"
    gateway.start()
    gateway.stop()
    assert prometheus.check_ended(gateway, file) == "not the only process on its store"
    processes.wait_until(file.exists, 5, "the file")
