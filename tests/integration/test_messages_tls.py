# SPDX-License-Identifier: Apache-2.0
"""Messages of TLS as `show --as messages` tells them: of OpenSSL's client and server, compared with tshark's dissection
of the recording, with the names that OpenSSL has for cipher suites, and with its view of the certificate."""
import shutil
import subprocess

import pytest

import processes
from conversations import Conversation
from test_messages import value, values

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("tshark"),
                                 reason="needs openssl and tshark")]

NAME = "www.example.org"
SUBJECT = f"/C=DE/O=A house/CN={NAME}"
HELLO = "tls.handshake."
COMPARED = [HELLO + name for name in (
    "type", "version", "ciphersuite", "session_id", "ja3", "ja3_full", "ja3s", "extensions_server_name",
    "extensions_alpn_str", "extensions.supported_version")] + ["tls.alert_message.desc", "tls.alert_message.level"]
VERSIONS = {0x0303: "1.2", 0x0304: "1.3"}
ALERTS = {40: "handshake_failure"}


@pytest.fixture
def server(scratch):
    """Takes AEADs only, and says a page to a GET."""
    place = scratch / "tls"
    place.mkdir()
    processes.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                   SUBJECT, "-days", "2", "-addext", f"subjectAltName=DNS:{NAME},DNS:*.example.net", "-keyout",
                   place / "key", "-out", place / "certificate"], 30)
    address = processes.free_address()
    command = ["openssl", "s_server", "-accept", address, "-cert", place / "certificate", "-key", place / "key", "-www",
               "-alpn", "http/1.1", "-cipher", "ECDHE+AESGCM"]
    with processes.Process(command, place, name="s_server") as process:
        process.address, process.certificate = address, place / "certificate"
        process.wait_listening(address)
        yield process


def client(address, *words, check=True):
    done = subprocess.run(["openssl", "s_client", "-connect", address, "-servername", NAME, "-alpn", "h2,http/1.1",
                           "-ign_eof", *map(str, words)], input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True,
                          timeout=20)
    assert not check or (done.returncode == 0 and b"HTTP/1.0 200 ok" in done.stdout), done.stderr
    return done.stdout


def talk(address, scratch, version):
    """A first session, one that resumes it, and one that the server does not take."""
    kept = scratch / f"session{version}"
    client(address, version, "-sess_out", kept)
    assert b"Reused, " in client(address, version, "-sess_in", kept)
    refusing = ["-cipher", "AES128-SHA"] if version == "-tls1_2" else ["-sigalgs", "rsa_pss_rsae_sha256"]
    client(address, version, *refusing, check=False)


def suites():
    """number -> name, as OpenSSL has it."""
    listed = processes.run(["openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]).stdout.decode()
    found = {0xff: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"}
    for line in listed.splitlines():
        number, _, name = line.split()[:3]
        found[int(number.replace(",0x", ""), 16)] = name
    return found


def numbers(packet, name):
    return [int(text, 0) for text in packet.get(name, [])]


def hello_of(packet, names):
    """What a packet with a hello in front has, in the form of `told_of`."""
    versions = [VERSIONS[number] for number in numbers(packet, HELLO + "extensions.supported_version")] or \
        [VERSIONS[number] for number in numbers(packet, HELLO + "version")]
    return {"versions": versions, "ciphers": [names[number] for number in numbers(packet, HELLO + "ciphersuite")],
            "session_id": packet.get(HELLO + "session_id", [])[:1], "ja3": packet.get(HELLO + "ja3", []),
            "ja3_text": packet.get(HELLO + "ja3_full", []), "ja3s": packet.get(HELLO + "ja3s", []),
            "sni": packet.get(HELLO + "extensions_server_name", []),
            "alpn": packet.get(HELLO + "extensions_alpn_str", [])}


def told_of(message):
    whose = "offered_" if message["kind"] == "client-hello" else ""
    return {"versions": values(message, f"tls.{whose}version"), "ciphers": values(message, f"tls.{whose}cipher"),
            **{name: values(message, f"tls.{name}") for name in ("session_id", "ja3", "ja3_text", "ja3s", "sni",
                                                                 "alpn")}}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_as_tshark_has_it(gateways, server, scratch, version):
    """Compared: of hellos versions, cipher suites, session ID, JA3 with its text, JA3S, SNI and ALPN; description and
    level of the alert; of the certificate, in TLS 1.2, subject, issuer, serial number and names. And which way a
    session was resumed."""
    conversation = Conversation(gateways, scratch, server.address)
    talk(conversation.address, scratch, version)
    sessions = conversation.finish()
    told, names = conversation.dissect("tls", COMPARED), suites()
    hellos = alerts = 0
    everything = []
    for session in sessions:
        messages, opaque = conversation.told(session)
        assert opaque <= {"encrypted"} and not [one for one in messages if value(one, "tls.odd")]
        theirs = told[session.client_port]
        ours = [one for one in messages if one["kind"] in ("client-hello", "server-hello")]
        packets = [packet for packet in theirs if {"1", "2"} & set(packet.get(HELLO + "type", []))]
        assert [one["from"] for one in ours] == [packet["from"] for packet in packets]
        for message, packet in zip(ours, packets):
            assert told_of(message) == hello_of(packet, names)
            hellos += 1
        wanted = [(ALERTS[number], {1: "warning", 2: "fatal"}[level]) for packet in theirs for number, level in
                  zip(numbers(packet, "tls.alert_message.desc"), numbers(packet, "tls.alert_message.level"))]
        assert [(value(one, "tls.alert"), value(one, "tls.level")) for one in messages if value(one, "tls.alert")] \
            == wanted
        alerts += len(wanted)
        everything.append(messages)
    assert (hellos, alerts) == (5, 1)
    first, second, refused = everything
    ways = [{value(one, "tls.resumed") for one in messages} - {None} for messages in everything]
    assert ways == [set(), {"ticket" if version == "-tls1_2" else "psk"}, set()]
    assert refused[-1]["kind"] == "alert" and refused[-1]["from"] == "server"
    for messages in (first, second):
        assert {one["from"] for one in messages if one["kind"] == "encrypted"} == {"client", "server"}
    certificates = [one for messages in everything for one in messages if one["kind"] == "certificate"]
    assert len(certificates) == (1 if version == "-tls1_2" else 0)
    for certificate in certificates:
        asked = processes.run(["openssl", "x509", "-in", server.certificate, "-noout", "-subject", "-issuer",
                               "-serial", "-nameopt", "sname,sep_comma_plus_space"]).stdout.decode()
        subject, issuer, serial = [line.split("=", 1)[1] for line in asked.splitlines()]
        assert value(certificate, "tls.subject") == subject and value(certificate, "tls.issuer") == issuer
        assert value(certificate, "tls.serial").lower().lstrip("0") == serial.lower().lstrip("0")
        assert values(certificate, "tls.name") == [NAME, "*.example.net"]


def test_sessions_are_found_by_it(gateways, server, scratch):
    conversation = Conversation(gateways, scratch, server.address)
    talk(conversation.address, scratch, "-tls1_2")
    processes.wait_until(lambda: conversation.gateway.sessions("tls.alert=handshake_failure"), 20, "what decoders find",
                         interval=0.2)
    sessions = conversation.finish()
    for words, wanted in ((f"tls.sni={NAME}", sessions), ("proto=tls", sessions), ("tls.version=1.2", sessions[:2]),
                          ("tls.resumed=ticket", sessions[1:2]), ("tls.alert=handshake_failure", sessions[2:])):
        assert [one.id for one in conversation.gateway.sessions(words)] == [one.id for one in wanted], words


def test_nothing_is_changed_by_decoding(gateways, server, scratch):
    """What passes by is what is recorded, with decoders and without: see Conversation."""
    for decode in ("on", "off"):
        conversation = Conversation(gateways, scratch, server.address, decode)
        talk(conversation.address, scratch, "-tls1_3")
        assert len(conversation.finish()) == 3
