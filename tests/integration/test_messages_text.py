# SPDX-License-Identifier: Apache-2.0
"""Messages of SMTP, PROXY headers and SOCKS 5 as `show --as messages` tells them: of real peers,
compared with tshark's dissection of the recording and with what the peers have said and understood."""
import os
import shutil
import smtplib
import socket
import ssl
import subprocess

import pytest

import peers
import processes
from conversations import Conversation
from test_messages import nginx, value, values  # noqa: F401 (a fixture)

controller = pytest.importorskip("aiosmtpd.controller")
smtp = pytest.importorskip("aiosmtpd.smtp")

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")]

USER, PASSWORD = "anna", "hunter2hunter2"
MAIL = "Subject: a word\r\n\r\nfirst\r\n.\r\n..two\r\n.three\r\nlast\r\n"


# ── SMTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

class Mailbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, _session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 taken"


def login(_server, _session, _envelope, mechanism, data):
    return smtp.AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()))


@pytest.fixture
def mail(scratch):
    """aiosmtpd, with logins and STARTTLS."""
    processes.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                   "/CN=mx.example.org", "-keyout", scratch / "key", "-out", scratch / "certificate"], 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "certificate", scratch / "key")
    server = controller.Controller(Mailbox(), hostname=peers.HOST, port=processes.free_port(), authenticator=login,
                                   auth_require_tls=False, tls_context=context, server_hostname="mx.example.org")
    server.start()
    server.address = f"{peers.HOST}:{server.port}"
    yield server
    server.stop()


def send(conversation):
    with smtplib.SMTP(conversation.host, conversation.port, "client.example.org", timeout=20) as client:
        client.login(USER, PASSWORD)
        client.sendmail("ann@example.org", ["bob@example.org", "eve@example.org"], MAIL)


def pipelined(conversation):
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        lines = peer.makefile("rb")
        lines.readline()
        peer.sendall(b"HELO pipe.example.org\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nNOOP\r\n"
                     b"RSET\r\nQUIT\r\n")
        return lines.read()


def encrypted(conversation):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(conversation.host, conversation.port, "client.example.org", timeout=20) as client:
        client.starttls(context=context)
        client.sendmail("secret@example.org", ["bob@example.org"], MAIL)


def test_smtp_as_tshark_and_the_server_have_it(gateways, mail, scratch):
    """Compared: which codes there are, with tshark; sender, recipients and how many mails with the server. And which
    reply answers which of several commands at once."""
    conversation = Conversation(gateways, scratch, mail.address)
    send(conversation)
    pipelined(conversation)
    sessions = conversation.finish()
    told = conversation.dissect("smtp", ["smtp.response.code"])
    for session in sessions:
        messages, opaque = conversation.told(session)
        assert not opaque
        codes = [int(code) for packet in told[session.client_port] if packet["from"] == "server"
                 for code in packet.get("smtp.response.code", [])]
        ours = [one for one in messages if one["kind"] == "reply"]
        for one in ours:
            assert "answers" in one or one is ours[0], one
        assert {value(one, "smtp.code") for one in ours} == set(codes)
    (sender, recipients, content), = mail.handler.mails
    messages, _ = conversation.told(sessions[0])
    assert [text for one in messages for text in values(one, "smtp.from")] == [sender]
    assert [text for one in messages for text in values(one, "smtp.to")] == recipients
    assert len([one for one in messages if one["kind"] == "mail"]) == 1
    assert content == MAIL.encode()
    messages, _ = conversation.told(sessions[1])
    commands = [one for one in messages if one["kind"] == "command"]
    assert [value(one, "smtp.command") for one in commands] == ["HELO", "MAIL", "RCPT", "NOOP", "RSET", "QUIT"]
    replies = [one for one in messages if one["kind"] == "reply"]
    assert [one.get("answers") for one in replies] == [None] + [one["number"] for one in commands]


def test_passwords_of_smtp_are_masked(gateways, mail, scratch):
    conversation = Conversation(gateways, scratch, mail.address)
    send(conversation)
    (session,) = conversation.finish()
    for words, wanted in (((), False), (("--secrets",), True)):
        told = [text for one in conversation.told(session, *words)[0] for text in values(one, "smtp.password")]
        assert (PASSWORD in told) == wanted, told


def test_starttls_goes_on_as_tls(gateways, mail, scratch):
    conversation = Conversation(gateways, scratch, mail.address)
    encrypted(conversation)
    (session,) = conversation.finish()
    messages, opaque = conversation.told(session)
    assert opaque <= {"encrypted"}
    decoders = [one["decoder"] for one in sorted(messages, key=lambda one: one["number"])]
    assert sorted(set(decoders)) == ["smtp", "tls"] and decoders == sorted(decoders)
    assert {one["kind"] for one in messages} >= {"client-hello", "server-hello", "encrypted"}
    assert not [one for one in messages if value(one, "smtp.from")] and len(mail.handler.mails) == 1


# ── PROXY, SOCKS ─────────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.mark.skipif(not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx"), reason="needs nginx")
@pytest.mark.parametrize("version", [1, 2])
def test_proxy_headers_in_front_of_http(gateways, nginx, scratch, version):  # noqa: F811
    """Compared: version, addresses and ports with what was sent. nginx refuses such a request."""
    conversation = Conversation(gateways, scratch, nginx.address)
    request = b"GET /small HTTP/1.0\r\n\r\n"
    header = b"PROXY TCP4 192.0.2.1 192.0.2.80 4000 80\r\n" if version == 1 else \
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x50\x0f\xa0\0\x50"
    with socket.create_connection((conversation.host, conversation.port), 20) as peer:
        peer.sendall(header + request)
        while peer.recv(1 << 16):
            pass
    (session,) = conversation.finish()
    first, second = [one for one in conversation.told(session)[0] if one["from"] == "client"]
    assert first["kind"] == "proxy" and [value(first, f"proxy.{name}") for name in (
        "version", "source", "source_port", "destination", "destination_port")] == \
        [version, "192.0.2.1", 4000, "192.0.2.80", 80]
    assert (second["decoder"], value(second, "http.target"), second["offset"]) == ("http1", "/small", len(header))


def test_socks_by_curl_and_sshd(gateways, nginx, scratch):  # noqa: F811
    """The name of who is asked for, the answer, and HTTP behind it; and the version as tshark has it."""
    place = scratch / "sshd"
    place.mkdir()
    with peers.sshd(place) as server:
        address = processes.free_address()
        command = ["ssh", *server.client_words, "-N", "-D", address, "-p", server.port, f"{server.user}@{server.host}"]
        with processes.Process(command, place, name="ssh-D") as proxy:
            proxy.wait_listening(address)
            conversation = Conversation(gateways, scratch, address)
            done = subprocess.run(["curl", "-sS", "--max-time", "20", "-x", f"socks5h://{conversation.address}",
                                   f"http://{nginx.address}/small"], capture_output=True, timeout=30)
            assert done.stdout == b"hello\n", done.stderr
            (session,) = conversation.finish()
    messages, _ = conversation.told(session)
    assert [one["kind"] for one in messages] == ["greeting", "method", "request", "reply", "request", "response"]
    assert [text for one in messages for text in values(one, "socks.destination")] == [nginx.address]
    packets = conversation.dissect("socks", ["socks.dst", "socks.port", "socks.version"])[session.client_port]
    assert {packet["socks.version"][0] for packet in packets if "socks.version" in packet} == {"5"}


def test_nothing_is_changed_by_decoding(gateways, mail, scratch):
    """What passes by is what is recorded, with decoders and without: see Conversation."""
    answers = []
    for decode in ("on", "off"):
        conversation = Conversation(gateways, scratch, mail.address, decode)
        send(conversation)
        answers.append(pipelined(conversation))
        encrypted(conversation)
        assert len(conversation.finish()) == 3
    assert answers[0] == answers[1]
