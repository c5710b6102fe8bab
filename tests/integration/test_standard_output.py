# SPDX-License-Identifier: Apache-2.0
"""Who reads standard output closes it, at once or after some bytes: each command ends without a word, as one that has
done what was asked of it. A disk that is full is another matter."""
import os
import select
import socket
import subprocess
import threading

import pytest

import peers
from gogetway import program

pytestmark = pytest.mark.usefixtures("require_program")

LINES = b"".join(b"this is line number %d of what is on the screen\r\n" % number for number in range(8000))

# What writes more than a pipe holds.
LARGE = {
    **{f"show-{form}": ["show", "{id}", "--as", form] for form in ("text", "hex", "json", "raw")},
    "show-bodies": ["show", "{id}", "--as", "messages", "--body", "--decoder", "lines"],
    "messages": ["messages", "--decoder", "lines"],
    "messages-json": ["messages", "--json", "--body", "--decoder", "lines"],
    "grep": ["grep", "line number"],
    "grep-json": ["grep", "--json", "line number"],
    "pcapng": ["export", "-o", "-"],
    "pcap": ["export", "--format", "pcap", "-o", "-"],
    "har": ["export", "--format", "har", "-o", "-"],
    "curl": ["export", "--format", "curl", "-o", "-"],
    "python": ["export", "{id}", "--format", "python", "-o", "-"],
    "asciicast": ["export", "{id}", "--format", "asciicast", "--decoder", "lines", "-o", "-"],
}
SMALL = {
    "sessions": ["sessions"],
    "sessions-json": ["sessions", "--json"],
    "show-messages": ["show", "{id}", "--as", "messages"],
    "totals": ["stats", "--totals", "--by", "listener"],
    "totals-json": ["stats", "--totals", "--by", "listener", "--json"],
    "stats": ["stats"],
    "upstreams": ["upstreams"],
    "tag": ["tag", "{id}", "+seen"],
    "hold": ["hold", "{id}"],
    "verify": ["verify"],
    "verify-json": ["verify", "--json"],
    "prune": ["prune", "--dry-run", "--max-bytes", "1GiB"],
    "plan": ["replay", "{id}", "--to", "127.0.0.1:9", "--dry-run"],
    "plan-json": ["replay", "{id}", "--to", "127.0.0.1:9", "--dry-run", "--json"],
    "tail": ["tail", "--from-start"],
    "protocols": ["protocols"],
    "plugins": ["plugins"],
    "help": ["help"],
    "help-show": ["show", "--help"],
    "version": ["--version"],
}


@pytest.fixture
def recorded(gateways):
    """A gateway that runs, and a session whose sides both say more than a pipe holds."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(LINES)
    ask = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(LINES)
    with socket.create_server((peers.HOST, 0)) as server:
        def serve():
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as said:
                said.read(len(ask) + len(LINES))
                connection.sendall(head + LINES)
        thread = threading.Thread(target=serve)
        thread.start()
        gateway = gateways(f"{peers.HOST}:{server.getsockname()[1]}")
        host, port = gateway.listen.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 20) as client:
            client.sendall(ask + LINES)
            while client.recv(1 << 16):
                pass
        thread.join(20)
    gateway.wait_sessions_closed(1)
    return gateway


def start(recorded, words, out):
    words = [word.replace("{id}", recorded.sessions()[0].id) for word in words]
    return subprocess.Popen([program(), "--dir", recorded.directory, *words], stdin=subprocess.DEVNULL, stdout=out,
                            stderr=subprocess.PIPE)


def ended(process):
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.decode()


SILENT = (0, "")


def test_nobody_reads(recorded):
    told = {}
    for name, words in {**LARGE, **SMALL}.items():
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as out:
            told[name] = ended(start(recorded, words, out))
    assert told == dict.fromkeys(told, SILENT)


def test_who_reads_has_enough(recorded):
    told = {}
    for name, words in LARGE.items():
        with start(recorded, words, subprocess.PIPE) as process:
            assert process.stdout.read(5)
            process.stdout.close()
            process.stdout = None
            told[name] = ended(process)
    assert told == dict.fromkeys(told, SILENT)


def test_a_socket_that_is_closed(recorded):
    """As a pipe."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = start(recorded, LARGE["show-raw"], theirs)
        assert ours.recv(5)
        ours.close()
        assert ended(process) == SILENT


def test_a_full_disk_is_told(recorded):
    for words in (LARGE["show-raw"], LARGE["har"], LARGE["pcapng"], SMALL["sessions"]):
        with open("/dev/full", "wb") as full:
            status, errors = ended(start(recorded, words, full))
        line, = errors.splitlines()
        assert status == 3 and "cannot write to standard output" in line


def test_what_is_no_standard_output(recorded, scratch):
    """A pipe with a name is a file like others: what was asked for has not been done."""
    pipe = scratch / "pipe"
    os.mkfifo(pipe)
    for words in (LARGE["har"], LARGE["pcapng"], LARGE["python"]):
        reader = os.open(pipe, os.O_RDWR)
        process = start(recorded, [*words[:-1], str(pipe)], subprocess.DEVNULL)
        assert select.select([reader], [], [], 60)[0] and os.read(reader, 5)
        os.close(reader)
        status, errors = ended(process)
        assert status == 3 and f"nobody reads {pipe} any more" in errors
