# SPDX-License-Identifier: Apache-2.0
"""Messages of telnet and of lines as `show --as messages` tells them, and what was on the screen: of real clients and
servers, compared with tshark's dissection of the recording, with the client's terminal, and with what was typed."""
import decimal
import json
import os
import shutil
import socket
import threading

import pytest

import peers
import processes
import terminals
from conversations import Conversation
from terminals import PASSWORD, USER
from test_messages import nanoseconds, time_ns, value, values

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")]
needs_telnet = pytest.mark.skipif(not terminals.there(), reason="needs telnet and telnetd")
needs_haproxy = pytest.mark.skipif(not os.access(HAPROXY, os.X_OK), reason="needs haproxy")

# RFC 854, 856 to 860, 1073, 1079, 1091, 1116, 1184, 1372, 1408, 1416, 1572, 2941, 2946
CODES = {"SE": 240, "SB": 250, "WILL": 251, "WONT": 252, "DO": 253, "DONT": 254}
OPTIONS = {"binary": 0, "echo": 1, "suppress-go-ahead": 3, "status": 5, "terminal-type": 24, "window-size": 31,
           "terminal-speed": 32, "flow-control": 33, "linemode": 34, "x-display": 35, "environ": 36,
           "authentication": 37, "encrypt": 38, "new-environ": 39}


# ── telnet ───────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture
def at_terminal(gateways, scratch):
    """(the conversation, its only session, what was on the client's screen)."""
    with terminals.Telnetd(scratch) as server:
        conversation = Conversation(gateways, scratch, server.address)
        command = ["telnet", conversation.host, str(conversation.port)]
        with terminals.Terminal(command, width=100, height=40) as terminal:
            for prompt, word in ((b"login: ", USER.encode()), (b"Password: ", PASSWORD.encode()), (b"$ ", b"high"),
                                 (b"$ ", "ä € ".encode() + b"\xff")):
                terminal.wait_for(prompt)
                terminal.type(word + b"\r")
            terminal.wait_for(b"$ ")
            terminal.resize(132, 50)
            terminal.type(b"size\r")
            terminal.wait_for(b"50 132\r\n$ ")
            terminal.type(b"exit\r")
            assert terminal.wait() == 0
        conversation.wait_found(f"telnet.user={USER}")
        (session,) = conversation.finish()
    seen = terminal.seen
    before, after = b"Escape character is '^]'.\r\n", b"Connection closed by foreign host.\r\n"
    assert seen.endswith(after)
    return conversation, session, seen[seen.index(before) + len(before):-len(after)]


def dissected(conversation, session):
    return conversation.dissect("telnet", [
        "frame.time_epoch", "telnet.cmd", "telnet.subcmd", "telnet.data", "telnet.naws_subopt.width",
        "telnet.naws_subopt.height", "telnet.string_subopt.value"])[session.client_port]


def commands_of(packets, side):
    """[(code, option), ...] as tshark has them."""
    found = []
    for packet in packets:
        options = iter(packet.get("telnet.subcmd", []))
        for code in map(int, packet.get("telnet.cmd", []) if packet["from"] == side else []):
            if code == CODES["SE"]:
                continue
            found.append((code, int(next(options))))
            if found[-1] == (CODES["SB"], OPTIONS["terminal-type"]):
                next(options)  # whether it is asked or said
    return found


@needs_telnet
def test_telnet_as_tshark_has_it(at_terminal):
    """Compared: each command and its option in order, sizes of the window, type of the terminal; and which bytes of
    each side are text, and when they came."""
    conversation, session, _ = at_terminal
    packets = dissected(conversation, session)
    messages, opaque = conversation.told(session, "--secrets")
    assert not opaque and {one["kind"] for one in messages} == {"text", "command"}
    commands = [one for one in messages if one["kind"] == "command"]
    for side in ("client", "server"):
        ours = [(CODES[value(one, "telnet.command")], OPTIONS[value(one, "telnet.option")]) for one in commands
                if one["from"] == side]
        assert ours == commands_of(packets, side) and len(ours) > 15
    for name, theirs in (("telnet.width", "telnet.naws_subopt.width"), ("telnet.height", "telnet.naws_subopt.height"),
                         ("telnet.terminal", "telnet.string_subopt.value")):
        assert [str(one) for message in commands for one in values(message, name)] == \
            [one for packet in packets for one in packet.get(theirs, [])], name
    assert [one for message in commands for one in values(message, "telnet.width")] == [100, 132]
    text = {nanoseconds(packet["frame.time_epoch"][0]) for packet in packets if "telnet.data" in packet}
    told = {time_ns(one["first"]) for one in messages if one["kind"] == "text"}
    assert told == text and len(told) > 10


@needs_telnet
def test_who_logged_in_by_telnet(at_terminal):
    conversation, session, _ = at_terminal
    messages, _ = conversation.told(session)
    (user,) = [one for one in messages if value(one, "telnet.user")]
    (password,) = [one for one in messages if value(one, "telnet.password")]
    assert (value(user, "telnet.user"), value(password, "telnet.password")) == (USER, "****")
    (password,) = [one for one in conversation.told(session, "--secrets")[0] if value(one, "telnet.password")]
    assert value(password, "telnet.password") == PASSWORD and password["body_length"] == 0
    for words in ((), ("--json",), ("-v", "--body")):
        assert PASSWORD.encode() not in conversation.gateway.command(
            "show", session.id, "--as", "messages", *words).stdout
    assert [one.id for one in conversation.gateway.sessions(f"telnet.user={USER}", "telnet.terminal=VT100")] == \
        [session.id]


@needs_telnet
def test_the_screen_of_telnet(at_terminal, scratch):
    """Compared: what the terminal had on it, byte for byte but for what is no UTF-8; what was typed; and the time of
    each piece with tshark's, to the nanosecond."""
    conversation, session, seen = at_terminal
    conversation.gateway.command("export", session.id, "--format", "asciicast", "-o", scratch / "out.cast")
    first, *lines = (scratch / "out.cast").read_text().splitlines()
    header, events = json.loads(first), [json.loads(line) for line in lines]
    assert (header["width"], header["height"], header["env"]) == (100, 40, {"TERM": "VT100"})
    said = {code: "".join(data for _, one, data in events if one == code) for code in "oir"}
    assert said["o"] == seen.decode(errors="replace") and "\ufffd" in said["o"] and "ä €" in said["o"]
    assert said["i"] == f"{USER}\r{'*' * len(PASSWORD)}\rhigh\rä € \ufffd\rsize\rexit\r"
    assert said["r"] == "132x50"
    exact = [(int(decimal.Decimal(line[1:].split(",")[0]) * 10**9), json.loads(line)[1]) for line in lines]
    start, wanted = time_ns(session["start"]), []
    for packet in dissected(conversation, session):
        since = nanoseconds(packet["frame.time_epoch"][0]) - start
        sizes = "132" in packet.get("telnet.naws_subopt.width", [])
        wanted += [(since, "r")] * sizes
        wanted += [(since, "i" if packet["from"] == "client" else "o")] * ("telnet.data" in packet)
    assert exact == wanted


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture
def console(scratch):
    """haproxy's command line, which has a prompt for who asks for one."""
    port, other = processes.free_port(), processes.free_port()
    (scratch / "haproxy.cfg").write_text(f"""
global
  stats socket ipv4@{peers.HOST}:{port} level user
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen one
  bind {peers.HOST}:{other}
  server none {peers.HOST}:1
""")
    with processes.Process([HAPROXY, "-db", "-f", scratch / "haproxy.cfg"], scratch, name="haproxy") as process:
        process.address = f"{peers.HOST}:{port}"
        process.wait_listening(process.address)
        yield process


def ask(peer, line):
    """What comes before the next prompt."""
    peer.sendall(line + b"\n")
    answer = b""
    while not f"\n{answer.decode()}".endswith("\n> "):
        answer += (piece := peer.recv(1 << 16))
        assert piece, answer
    return answer[:-2].decode()


@needs_haproxy
def test_prompts_are_learned(gateways, console, scratch):
    """Compared: which lines and which prompt answer each line, with what the client has got for it. The first prompt is
    known as one when the client speaks, the others at once."""
    said = [b"prompt", b"show info", b"nonsense", b"show stat typed", b"help"]
    conversation = Conversation(gateways, scratch, console.address)
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        got = [ask(peer, line) for line in said]
        peer.shutdown(socket.SHUT_WR)  # at a prompt
        assert peer.recv(1) == b""
    (session,) = conversation.finish()
    messages, opaque = conversation.told(session)
    assert not opaque and {one["decoder"] for one in messages} == {"lines"}
    lines = [one for one in messages if one["from"] == "client"]
    assert [value(one, "lines.text") for one in lines] == [line.decode() for line in said]
    assert ["request" in one["flags"] for one in lines] == [False] + [True] * (len(said) - 1)
    for line, text in zip(lines, got):
        *answer, prompt = [one for one in messages if one.get("answers") == line["number"]]
        assert [value(one, "lines.text") or "" for one in answer] == text.split("\n")[:-1]
        assert (prompt["kind"], value(prompt, "lines.prompt"), prompt["flags"]) == ("prompt", "> ", ["completes"])
        assert "completes" not in [flag for one in answer for flag in one["flags"]]
    assert len([one for one in messages if one["kind"] == "prompt"]) == len(said)
    assert [one for one in messages if one["from"] == "server" and "answers" not in one] == []


class Files:
    """pyftpdlib's server with one user, on a thread of its own."""

    def __init__(self, root):
        authorizers, handlers, servers = (pytest.importorskip(f"pyftpdlib.{name}") for name in
                                          ("authorizers", "handlers", "servers"))
        root.mkdir()
        peers.random_file(root / "file", 1000)
        known = authorizers.DummyAuthorizer()
        known.add_user(USER, PASSWORD, str(root))
        handler = type("Handler", (handlers.FTPHandler,), {"authorizer": known, "use_sendfile": False})
        self.server = servers.FTPServer((peers.HOST, 0), handler)
        self.address = f"{peers.HOST}:{self.server.address[1]}"
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            self.server.serve_forever(timeout=0.05, blocking=False)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)
        self.server.close_all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ftp_as_tshark_has_it(gateways, scratch):
    """Compared: each command with its argument; the first line of each packet of the server; which command it answers,
    and after how many nanoseconds."""
    with Files(scratch / "root") as server:
        conversation = Conversation(gateways, scratch, server.address)
        done = processes.run(["curl", "-sS", "--max-time", 20, "--ftp-skip-pasv-ip", "-u", f"{USER}:{PASSWORD}", "-Q",
                              "FEAT", "-Q", "*NONSENSE", f"ftp://{conversation.address}/file"], 30)
        assert done.stdout == (scratch / "root" / "file").read_bytes()
        (session,) = conversation.finish()
    messages, opaque = conversation.told(session, "--secrets")
    assert not opaque and {one["decoder"] for one in messages} == {"lines"}
    packets = conversation.dissect("ftp", ["frame.time_epoch", "ftp.request.command", "ftp.request.arg",
                                           "ftp.response.code", "ftp.response.arg"])[session.client_port]
    ours = [one for one in messages if one["from"] == "client"]
    assert ["".join(values(one, "lines.text") + values(one, "lines.password")) for one in ours] == \
        [" ".join(packet["ftp.request.command"] + packet.get("ftp.request.arg", [])) for packet in packets
         if packet["from"] == "client"]
    assert [value(one, "lines.user") for one in ours if value(one, "lines.user")] == [USER]
    first_of, asked, asked_ns = {}, None, 0
    for one in (one for one in messages if one["from"] == "server"):
        first_of.setdefault(time_ns(one["first"]), one)
    for packet in packets:
        now = nanoseconds(packet["frame.time_epoch"][0])
        if packet["from"] == "client":
            asked, asked_ns = ours[0 if asked is None else ours.index(asked) + 1], now
            continue
        one = first_of.pop(now)
        text = value(one, "lines.text") or value(one, "lines.banner")
        code = "".join(packet.get("ftp.response.code", []))
        assert (text[:len(code)], text[len(code) + 1 if code else 0:]) == (code, packet["ftp.response.arg"][0])
        assert (one.get("answers"), one.get("answer_first_ns")) == \
            ((asked["number"], now - asked_ns) if asked else (None, None)), one
    assert not first_of and len(ours) > 8
    for words in ((), ("--json",), ("-v", "--body")):
        assert PASSWORD.encode() not in conversation.gateway.command(
            "show", session.id, "--as", "messages", *words).stdout
