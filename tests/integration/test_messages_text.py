# SPDX-License-Identifier: Apache-2.0
"""Messages of SMTP, PROXY headers and SOCKS 5 as `show --as messages` tells them: of real peers,
compared with tshark's dissection of the recording and with what the peers have said and understood."""
import contextlib
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


HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
PROXIES = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
"""
TAKES_HEADERS = """
frontend told
  bind {address} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port] \
%[fc_pp_unique_id]"
"""
SENDS_HEADERS = """
frontend asked
  bind {address}
  unique-id-format id-%[src_port]
  default_backend behind
backend behind
  server one {target} send-proxy-v2 proxy-v2-options crc32c,unique-id
"""


@contextlib.contextmanager
def haproxy(scratch, text, **words):
    address = processes.free_address()
    file = scratch / f"haproxy-{address.rsplit(':', 1)[1]}"
    file.write_text(PROXIES + text.format(address=address, **words))
    with processes.Process([HAPROXY, "-db", "-f", file], scratch, name=file.name) as process:
        process.wait_listening(address)
        yield address


def asked(address, *words):
    return processes.run(["curl", "-sS", "--max-time", 20, *words, f"http://{address}/small"], 30).stdout.decode()


@pytest.mark.skipif(not os.access(HAPROXY, os.X_OK), reason="needs haproxy")
def test_proxy_headers_of_curl_and_haproxy(gateways, scratch):
    """Compared: addresses, ports and the connection's identifier with what the server behind it has understood."""
    with haproxy(scratch, TAKES_HEADERS) as server:
        conversation = Conversation(gateways, scratch, server)
        with haproxy(scratch, SENDS_HEADERS, target=conversation.address) as proxy:
            answers = [asked(conversation.address, "--haproxy-protocol"), asked(proxy)]
        conversation.wait_found("proto=http", 2)
        sessions = conversation.finish()
    assert len(sessions) == 2 and "id-" in answers[1]
    for version, session, answer in zip((1, 2), sessions, answers):
        messages, opaque = conversation.told(session)
        assert not opaque
        header, request, response = messages
        told = [str(value(header, f"proxy.{name}")) for name in ("source", "source_port", "destination",
                                                                 "destination_port")]
        assert (header["kind"], value(header, "proxy.version")) == ("proxy", version)
        assert told + values(header, "proxy.unique_id") == answer.split()
        assert (value(header, "proxy.crc32c") is None) == (version == 1) and not values(header, "proxy.odd")
        assert [(one["kind"], one["decoder"]) for one in (request, response)] == \
            [("request", "http1"), ("response", "http1")]
        assert (request["offset"], response["answers"]) == (header["length"], request["number"])
        assert [one.id for one in conversation.gateway.sessions(
            "proto=http", f"proxy.version={version}", f"proxy.source={answer.split()[0]}")] == [session.id]


def proxied(conversation, scheme, target):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "-x", f"{scheme}://{USER}:{PASSWORD}@"
                           f"{conversation.address}", f"http://{target}/small"], capture_output=True, timeout=30)
    assert done.stdout == b"hello\n", done.stderr


def check_socks(conversation, kinds, target):
    """Compared with tshark: the version, who asks and by which password, for whom, and what the answer is."""
    conversation.wait_found("proto=http")
    (session,) = conversation.finish()
    messages, opaque = conversation.told(session, "--secrets")
    assert not opaque and [one["kind"] for one in messages] == [*kinds, "request", "response"]
    assert [one["decoder"] for one in messages] == ["socks"] * len(kinds) + ["http1"] * 2
    assert [text for one in messages for text in values(one, "socks.destination")] == [target]
    packets = conversation.dissect("socks", [
        "socks.dst", "socks.port", "socks.dstport", "socks.version", "socks.username", "socks.password",
        "socks.auth_method", "socks.auth_accepted_method", "socks.auth_status", "socks.v4a_dns_name"])
    packets = packets[session.client_port][:len(kinds)]  # tshark says it again of what comes behind them
    theirs = {name: [text for packet in packets for text in packet.get(f"socks.{name}", [])] for name in
              ("username", "password", "auth_status", "v4a_dns_name", "auth_method", "auth_accepted_method", "version")}
    ours = {name: [str(text) for one in messages for text in values(one, f"socks.{name}")] for name in
            ("user", "password", "status", "version", "method")}
    methods = {"none": "0", "gssapi": "1", "password": "2"}
    assert (ours["user"], ours["password"], ours["status"]) == \
        (theirs["username"], theirs["password"], theirs["auth_status"])
    assert [methods[one] for one in ours["method"]] == theirs["auth_method"] + theirs["auth_accepted_method"]
    assert ours["version"] == ["4a" if theirs["v4a_dns_name"] else theirs["version"][0]]
    host, port = target.split(":")
    assert any(packet.get("socks.v4a_dns_name", packet.get("socks.dst")) == [host] and
               (packet.get("socks.port") or packet.get("socks.dstport")) == [port] for packet in packets)
    masked = conversation.gateway.command("show", session.id, "--as", "messages", "--json").stdout
    assert PASSWORD.encode() not in masked
    assert [one.id for one in conversation.gateway.sessions("proto=http", f"socks.destination={target}")] == \
        [session.id]


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5h"])
def test_socks_by_curl_and_sshd(gateways, nginx, scratch, scheme):  # noqa: F811
    place = scratch / "sshd"
    place.mkdir()
    with peers.sshd(place) as server:
        address = processes.free_address()
        command = ["ssh", *server.client_words, "-N", "-D", address, "-p", server.port, f"{server.user}@{server.host}"]
        with processes.Process(command, place, name="ssh-D") as proxy:
            proxy.wait_listening(address)
            conversation = Conversation(gateways, scratch, address)
            proxied(conversation, scheme, nginx.address)
            check_socks(conversation, ["greeting", "method", "request", "reply"] if scheme == "socks5h" else
                        ["request", "reply"], nginx.address)


@pytest.mark.skipif(not shutil.which("microsocks"), reason="needs microsocks")
def test_socks_by_password(gateways, nginx, scratch):  # noqa: F811
    host, port = processes.free_address().split(":")
    with processes.Process(["microsocks", "-i", host, "-p", port, "-u", USER, "-P", PASSWORD], scratch) as proxy:
        proxy.wait_listening(f"{host}:{port}")
        conversation = Conversation(gateways, scratch, f"{host}:{port}")
        proxied(conversation, "socks5", nginx.address)
        check_socks(conversation, ["greeting", "method", "password", "status", "request", "reply"], nginx.address)


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
