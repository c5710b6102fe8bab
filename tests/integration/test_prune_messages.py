# SPDX-License-Identifier: Apache-2.0
"""Messages, and exports of them, of a session of which a part has gone by retention, before or while it is read: what
is there is told, what is missing is said, and the exit status says whether it went meanwhile."""
import json
import socket
import threading

import pytest

import faults
from gogetway import Gateway, Store
from pruning import SMALL, prune, through
from test_prune_readers import GONE, Reader

pytestmark = pytest.mark.usefixtures("require_program")

COUNT = 40
NOTE = b"n" * 4000  # of a request, so that what is made of all of them is more than waits in pipes and buffers
BODY = b"0123456789" * 2000


def serve(listening):
    """Answers requests, one connection after the other, until it is closed."""
    def talk(peer):
        said = b""
        with peer:
            while data := peer.recv(1 << 16):
                said += data
                while b"\r\n\r\n" in said:
                    said = said.partition(b"\r\n\r\n")[2]
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    threads = []
    try:
        while True:
            threads.append(threading.Thread(target=talk, args=(listening.accept()[0],)))
            threads[-1].start()
    except OSError:
        for thread in threads:
            thread.join()


def ask(client, number):
    client.sendall(b"GET /%d HTTP/1.1\r\nHost: h\r\nX-Note: %s\r\n\r\n" % (number, NOTE))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += faults.read_exactly(client, 1)
    assert faults.read_exactly(client, len(BODY)) == BODY


@pytest.fixture
def recorded(scratch):
    """A session through many segments of 64 KiB, with others between its requests."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        with Gateway(scratch / "rec", "127.0.0.1:%d" % listening.getsockname()[1], options=SMALL,
                     scratch=scratch) as gateway:
            with faults.connect(gateway.listen) as long:
                for number in range(COUNT):
                    ask(long, number)
                    if number % 4 == 0:
                        with faults.connect(gateway.listen) as other:
                            ask(other, COUNT + number)
            gateway.wait_sessions_closed(1 + COUNT // 4)
            assert gateway.stop()[0] == 0
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    store = Store(scratch / "rec")
    assert len(through(store)["segments"]) >= 9
    return store


def told(store, *words, status=0):
    done = store.command(*words, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def numbers(store, session):
    """Which requests the messages are of, and from where on which side is not decoded."""
    lines = [json.loads(line) for line in told(store, "show", session, "--as", "messages", "--json")[0].splitlines()]
    requests = [int(one["summary"].split("/")[1].split()[0]) for one in lines if one.get("kind") == "request"]
    return requests, {one["from"]: one["opaque"] for one in lines if "opaque" in one}


def test_its_beginning_has_gone(recorded, scratch):
    session = through(recorded).id
    prune(recorded, "--max-bytes", "400KiB")
    assert through(recorded).id == session and through(recorded)["beginning_missing"]
    assert numbers(recorded, session) == ([], {"client": "gap", "server": "gap"})
    text, _ = told(recorded, "show", session, "--as", "messages", "-v", "--body")
    assert ">>> from byte 0 of the client on it is not decoded: gap: bytes are missing" in text
    har, said = told(recorded, "export", f"id={session}", "--format", "har", "-o", "-")
    assert json.loads(har)["log"]["entries"] == [] and "warning: 1 sessions were not understood to their end" in said
    _, said = told(recorded, "export", f"id={session}", "--format", "curl", "-o", "-")
    assert "warning: 1 sessions were not understood to their end" in said
    for words in ([], ["--secrets"]):
        text, said = told(recorded, "export", f"id={session}", "--format", "python", "-o", scratch / "no.py", *words,
                          status=3)
        assert f"session {session} lacks bytes that the client said, at 0" in said
    assert not (scratch / "no.py").exists()


@pytest.mark.parametrize("known", ["by the catalogue", "by a sweep"])
def test_its_middle_has_gone(recorded, scratch, known):
    """As when segments are lost by other hands: the catalogue still has them, or not."""
    session = through(recorded)
    names = session["segments"]
    for name in names[len(names) // 2:len(names) // 2 + 2]:
        (recorded.directory / "segments" / name).unlink()
    recorded.command("reindex")
    if known == "by a sweep":
        for file in recorded.directory.glob("catalogue.db*"):
            file.unlink()
    requests, opaque = numbers(recorded, session.id)
    assert requests[0] == 0 and 0 < len(requests) < COUNT and "gap" in opaque.values()
    har, said = told(recorded, "export", f"id={session.id}", "--format", "har", "-o", "-")
    entries = json.loads(har)["log"]["entries"]
    whole = [one for one in entries if one["response"]["bodySize"] == len(BODY)]
    assert len(requests) - 2 <= len(whole) <= len(entries) <= len(requests)
    assert "warning: 1 sessions were not understood to their end" in said
    script, said = told(recorded, "export", f"id={session.id}", "--format", "curl", "-o", "-")
    assert len(entries) - 1 <= script.count("\ncurl ") <= len(entries)
    assert "warning: 1 sessions were not understood to their end" in said
    _, said = told(recorded, "export", f"id={session.id}", "--format", "python", "-o", scratch / "no.py", status=3)
    assert f"session {session.id} lacks bytes that the client said" in said and not (scratch / "no.py").exists()


WORDS = [["show", "--as", "messages", "-v"], ["messages", "-v"], ["export", "--format", "har", "-o", "-"],
         ["export", "--format", "curl", "-o", "-"]]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words[:3]))
def test_it_goes_while_it_is_read(recorded, words):
    session = through(recorded).id
    whole = recorded.command(*words, f"id={session}").stdout
    reader = Reader(recorded, *words, f"id={session}")
    prune(recorded, "--max-bytes", "1", check=False)
    status, data, said = reader.finish()
    line, = said
    assert status == 3 and line.startswith("gogetway: ")
    if words[0] == "export":
        assert f"warning: {session} is not exported whole" in line
    else:
        assert GONE in line
    if "har" in words:
        entries, all_of_them = json.loads(data)["log"]["entries"], json.loads(whole)["log"]["entries"]
        assert 0 < len(entries) < COUNT
        assert entries[:-1] == all_of_them[:len(entries) - 1]  # the last one may be cut
    else:
        assert 0 < len(data) < len(whole) and whole.startswith(data[:data.rfind(b"\n", 0, -5000)])
