# SPDX-License-Identifier: Apache-2.0
"""Messages of Redis as `show --as messages` tells them: of redis-cli and raw pipelines with a real server, compared
with tshark's dissection of the recording and with what the server's MONITOR has printed."""
import re
import shutil
import socket
import subprocess
import time

import pytest

import peers
import processes
from conversations import Conversation
from test_messages import value, values

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("redis-server") or not shutil.which("tshark"),
                                 reason="needs redis and tshark")]

PASSWORD = "hunter2hunter2"
COMMANDS = [["SET", "key", "a value"], ["GET", "key"], ["INCR", "number"], ["LPUSH", "list", "a", "b", "c"],
            ["LRANGE", "list", "0", "-1"], ["GET", "missing"], ["HSET", "key", "field", "1"], ["PING", "hello"],
            ["SET", "empty", ""], ["GET", "empty"], ["LPUSH", "key", "no list"]]
COMPARED = ["resp.bulk_string.value", "resp.string", "resp.error", "resp.integer"]


@pytest.fixture
def server(scratch):
    place = scratch / "redis"
    place.mkdir()
    with peers.redis(place) as process:
        yield process


def coded(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)


def cli(conversation, *words):
    return processes.run(["redis-cli", "-h", conversation.host, "-p", str(conversation.port), *words], 20).stdout


def received(peer, ending):
    """What comes, until it ends so."""
    data = b""
    while not data.endswith(ending):
        data += (piece := peer.recv(1 << 16))
        assert piece, data
    return data


def pipeline(conversation, commands, pieces=1):
    """All at once, or in pieces that end in the middle of a command; the last is a PING of its own."""
    said = b"".join(map(coded, [*commands, ["PING", "the end"]]))
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(pieces):
            peer.sendall(said[len(said) * at // pieces:len(said) * (at + 1) // pieces])
            time.sleep(0.01 if pieces > 1 else 0)  # else the kernel may hand them over as one
        return received(peer, b"the end\r\n")


def subscribe(conversation):
    """Two messages that nobody has asked for."""
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        peer.sendall(coded(["SUBSCRIBE", "news"]))
        received(peer, b":1\r\n")
        assert cli(conversation, "PUBLISH", "news", "first") == b"1\n"
        received(peer, b"first\r\n")
        assert cli(conversation, "PUBLISH", "news", "second") == b"1\n"
        received(peer, b"second\r\n")


def log_in(conversation):
    cli(conversation, "ACL", "SETUSER", "anna", "on", "+@all", "~*", f">{PASSWORD}")
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        peer.sendall(coded(["AUTH", "anna", PASSWORD]))
        received(peer, b"+OK\r\n")


def arguments(message):
    """A command as it was said, in any case of its name."""
    return [value(message, "redis.command")] + [
        str(field.get("value", field.get("number"))) for field in message["fields"]
        if field["name"] in ("redis.arg", "redis.user", "redis.password")]


def upper(words):
    return [words[0].upper(), *words[1:]]


def monitored(text):
    """The commands of each client port, of what MONITOR prints."""
    found = {}
    for line in text.splitlines():
        at = re.match(r'\+?\d+\.\d+ \[\d+ 127\.0\.0\.1:(\d+)\] (.*)', line)
        if at:
            found.setdefault(int(at[1]), []).append(re.findall(r'"((?:[^"\\]|\\.)*)"', at[2]))
    return found


def test_redis_as_tshark_and_monitor_have_it(gateways, server, scratch):
    """Compared: name and arguments of each command with both; kind and value of each reply, its order and which
    command it answers with tshark and what was said."""
    with processes.Process(["redis-cli", "-p", server.port, "MONITOR"], scratch, name="monitor") as monitor:
        processes.wait_until(lambda: "OK" in monitor.output(), 10, "MONITOR")
        conversation = Conversation(gateways, scratch, server.address)
        for words in COMMANDS[:4]:
            cli(conversation, *words)
        pipeline(conversation, COMMANDS)
        pipeline(conversation, COMMANDS, 20)
        sessions = conversation.finish()
        assert sessions[-1]["packets"]["client"] > 10
        processes.wait_until(lambda: monitor.output().count("the end") == 2, 10, "MONITOR's last line")
    by_port = monitored(monitor.output())
    theirs_of = conversation.dissect("resp", COMPARED)
    logged = sorted(list(map(upper, commands)) for commands in by_port.values())
    ours, compared = [], 0
    for session in sessions:
        messages, opaque = conversation.told(session)
        assert not opaque
        commands = [one for one in messages if one["kind"] == "command"]
        replies = [one for one in messages if one["kind"] == "reply"]
        ours.append([arguments(one) for one in sorted(commands, key=lambda one: one["number"])])
        packets = theirs_of[session.client_port]
        bulk = read(packets, "client", "resp.bulk_string.value")
        said = [[word for word in command if word] for command in ours[-1]]  # tshark has no empty ones
        assert tells(bulk, said)
        assert [one["answers"] for one in sorted(replies, key=lambda one: one["number"])] == \
            sorted(one["number"] for one in commands)
        assert all("completes" in one["flags"] for one in replies)
        for name, kinds in (("resp.bulk_string.value", ("bulk", "array")), ("resp.string", ("status",)),
                            ("resp.error", ("error",)), ("resp.integer", ("integer",))):
            told = [text for one in replies if value(one, "redis.type") in kinds for text in
                    map(str, values(one, "redis.message") or values(one, "redis.value")) if text]
            assert told == read(packets, "server", name), name
            compared += len(told)
    assert sorted(ours) == logged
    assert len(sessions) == 6 and compared >= 14


def read(packets, side, name):
    """The values of that field in the packets of a side; bulk strings are in hex."""
    texts = [text for packet in packets if packet["from"] == side for text in packet.get(name, [])]
    return [bytes.fromhex(text).decode() for text in texts] if name == "resp.bulk_string.value" else texts


def in_common(texts, command):
    """How many words both begin with; the name of a command may be in any case."""
    return next((at for at, (text, word) in enumerate(zip(texts, command)) if (text if at else text.upper()) != word),
                min(len(texts), len(command)))


def tells(texts, commands):
    """Whether tshark's flat list of strings is these commands. It tells the beginning of one that is cut each time that
    a packet brings more of it."""
    for command in commands:
        same = 0
        while same < len(command):
            same = in_common(texts, command)
            if same == 0:
                return False
            texts = texts[same:]
    return texts == []


def test_what_is_published_answers_nothing(gateways, server, scratch):
    conversation = Conversation(gateways, scratch, server.address)
    subscribe(conversation)
    messages, _ = conversation.told(conversation.finish()[0])
    first, answer, *pushed = messages
    assert first["kind"] == "command" and answer["answers"] == first["number"] and len(pushed) == 2
    for message, text in zip(pushed, ("first", "second")):
        assert message["kind"] == "push" and "answers" not in message and "unsolicited" in message["flags"]
        assert values(message, "redis.value") == ["message", "news", text]


def test_passwords_are_masked(gateways, server, scratch):
    conversation = Conversation(gateways, scratch, server.address)
    log_in(conversation)
    sessions = conversation.finish()
    assert len(sessions) == 2
    for words, there in (((), False), (("--secrets",), True)):
        for session in sessions:
            for more in ([], ["--json"], ["-v", "--body"]):
                text = conversation.gateway.command("show", session.id, "--as", "messages", *more, *words).stdout
                assert (PASSWORD.encode() in text) == (there and more != []), (more, words, text)
    (login,) = [one for session in sessions for one in conversation.told(session, "--secrets")[0]
                if value(one, "redis.command") == "AUTH"]
    assert (value(login, "redis.user"), value(login, "redis.password")) == ("anna", PASSWORD)


def test_nothing_is_changed_by_decoding(gateways, server, scratch):
    """What passes by is what is recorded, with decoders and without: see Conversation."""
    answers = []
    for decode in ("on", "off"):
        cli_server = subprocess.run(["redis-cli", "-p", str(server.port), "FLUSHALL"], capture_output=True, timeout=20)
        assert cli_server.stdout == b"OK\n"
        conversation = Conversation(gateways, scratch, server.address, decode)
        answers.append(pipeline(conversation, COMMANDS))
        subscribe(conversation)
        log_in(conversation)
        assert len(conversation.finish()) == 6
    assert answers[0] == answers[1]
