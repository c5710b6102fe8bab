# SPDX-License-Identifier: Apache-2.0
"""sync.mode always: nothing is sent on before it is on stable storage; and traffic is what it was."""
import os
import random
import re
import shutil

import pytest

import faults
import processes
from gogetway import Stream
from test_fidelity import check_everything, drive

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "20240901"))


def test_random_sessions_with_every_byte_synced(gateways, scratch):
    upstream = processes.address("127.0.0.1", processes.free_port())
    gateway = gateways(upstream, options=["--sync-mode", "always"])
    result, status, log = drive(gateway, upstream, scratch, SEED, 150, deadline=120, concurrency=32,
                                unique_source=True, bytes_max=256 << 10, slow_percent=0)
    assert status == 0, log
    check_everything(result, gateway, scratch)
    gateway.verify()


def calls(trace):
    """(time-ordered) system calls of a trace by strace -f: (name, the rest of the line). A call that was interrupted by
    another thread's is placed where it began if it sends, and where it ended if it syncs: the stricter way."""
    begun = {}
    for line in trace.splitlines():
        found = re.match(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)", line)
        if not found:
            continue
        thread, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest
            if name in ("sendto", "sendmsg"):
                yield name, rest, line
        elif "resumed>" in line:
            if name not in ("sendto", "sendmsg"):
                yield name, begun.pop(thread, "") + rest, line
        else:
            yield name, rest, line


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_nothing_is_sent_before_it_is_synced(gateways, scratch):
    """By strace: between a chunk's arrival and its sending its bytes are written, and then fdatasync has returned."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--sync-mode", "always", "--workers", 1])
        trace = scratch / "trace"
        with faults.connect(gateway.listen) as client, upstream.accept() as server:
            command = ["strace", "-f", "-s", "65536", "-o", trace, "-e",
                       "trace=pwrite64,fdatasync,sendto,sendmsg", "-p", gateway.process.pid]
            with processes.Process(command, scratch, name="strace") as strace:
                processes.wait_until(lambda: "attached" in strace.errors() or not strace.running(), 20, "strace")
                if "Operation not permitted" in strace.errors():
                    pytest.skip("ptrace is not permitted here")
                words = []
                for number in range(20):
                    for sender, receiver, side in ((client, server, "client"), (server, client, "server")):
                        word = f"MARK-{number}-{side}.".encode()
                        words.append(word)
                        sender.sendall(word)
                        assert faults.read_exactly(receiver, len(word)) == word
        strace.wait(20) if strace.running() else None
        assert gateway.stop()[0] == 0
    written, synced, sent = set(), set(), []
    for name, rest, line in calls(trace.read_text(errors="replace")):
        marks = set(re.findall(r"MARK-\d+-\w+\.", rest))
        if name == "pwrite64":
            written |= marks
        elif name == "fdatasync":
            if re.search(r"= 0$", rest):
                synced |= written
        else:
            for mark in marks:
                assert mark in synced, f"sent before it was synced: {line[:200]}"
                sent.append(mark)
    assert sorted(sent) == sorted(word.decode() for word in words), "the trace has not seen every send"


def test_a_bulk_transfer_with_every_byte_synced(gateways):
    payload = random.Random(SEED).randbytes(4 << 20)
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--sync-mode", "always", "--relay-splice", "on"])
        with faults.connect(gateway.listen, seconds=60) as client, upstream.accept(60) as server:
            reader = faults.Hasher(server)
            client.sendall(payload)
            client.close()
            assert reader.finish() == Stream.of_bytes(payload)
        assert faults.metric(gateway, "spliced_bytes") == 0
        assert gateway.stop()[0] == 0
    session, = gateway.sessions()
    assert gateway.payloads()[session.id]["client"] == Stream.of_bytes(payload)
