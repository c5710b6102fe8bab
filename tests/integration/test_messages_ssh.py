# SPDX-License-Identifier: Apache-2.0
"""Messages of SSH as `show --as messages` tells them: of OpenSSH's client and server, compared with tshark's dissection
of the recording, with what the client says with -v, and with ssh-keygen's fingerprint of the host's key."""
import os
import re
import shutil
import subprocess

import pytest

import peers
from conversations import Conversation
from test_messages import value, values

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("ssh") or not os.path.exists("/usr/sbin/sshd")
                                 or not shutil.which("tshark"), reason="needs OpenSSH and tshark")]

COMPARED = ["ssh.protocol", "ssh.kex_algorithms", "ssh.kex.hassh", "ssh.kex.hasshserver", "ssh.host_key.type"]


@pytest.fixture
def server(scratch):
    place = scratch / "sshd"
    place.mkdir()
    with peers.sshd(place) as process:
        process.place = place
        yield process


def ssh(server, conversation, *words):
    """What the server's commands have said, and what the client tells of itself."""
    done = subprocess.run(["ssh", "-o", "LogLevel=DEBUG", *map(str, server.client_words), *words, "-p",
                           str(conversation.port), f"{server.user}@{conversation.host}", "echo a word; cat"],
                          input=b"x" * 50_000, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.decode()


def of_kind(messages, kind):
    """The one of each side."""
    return [next(one for one in messages if (one["kind"], one["from"]) == (kind, side))
            for side in ("client", "server")]


@pytest.mark.parametrize("words", [(), ("-c", "aes128-ctr", "-m", "hmac-sha2-256-etm@openssh.com")])
def test_openssh_as_tshark_and_the_client_have_it(gateways, server, scratch, words):
    """Compared: banners, methods of key exchange that are offered, HASSH of both sides and type of the host's key with
    tshark; what is chosen for key exchange, host key, cipher and MAC with the client; fingerprint with ssh-keygen."""
    conversation = Conversation(gateways, scratch, server.address)
    output, log = ssh(server, conversation, *words)
    assert output == b"a word\n" + b"x" * 50_000
    (session,) = conversation.finish()
    messages, opaque = conversation.told(session)
    assert opaque <= {"encrypted"} and not [one for one in messages if value(one, "ssh.odd")]
    packets = conversation.dissect("ssh", COMPARED)[session.client_port]

    def theirs(side, name):
        return [text for packet in packets if packet["from"] == side for text in packet.get(name, [])]
    raw = dict(zip(("client", "server"), conversation.front.streams()[0]))
    for banner, side in zip(of_kind(messages, "banner"), ("client", "server")):
        (said,) = theirs(side, "ssh.protocol")
        software, _, comment = said.removeprefix("SSH-2.0-").partition(" ")
        assert (value(banner, "ssh.version"), value(banner, f"ssh.{side}"), value(banner, "ssh.comment") or "") == \
            ("2.0", software, comment)
        assert raw[side].startswith(said.encode())
    offers = of_kind(messages, "kexinit")
    assert [value(offers[0], "ssh.hassh")] == theirs("client", "ssh.kex.hassh")
    assert [value(offers[1], "ssh.hassh_server")] == theirs("server", "ssh.kex.hasshserver")
    for offer, side in zip(offers, ("client", "server")):
        assert values(offer, "ssh.offer")[:1] == theirs(side, "ssh.kex_algorithms")
    chosen = {name: [text for one in offers for text in values(one, name)]
              for name in ("ssh.kex", "ssh.key_algorithm", "ssh.cipher", "ssh.mac")}
    ciphers = dict(re.findall(r"kex: (server->client|client->server) cipher: (\S+)", log))
    macs = set(re.findall(r"MAC: (\S+)", log)) - {"<implicit>"}
    assert chosen["ssh.kex"] == re.findall(r"kex: algorithm: (\S+)", log)
    assert chosen["ssh.key_algorithm"] == re.findall(r"kex: host key algorithm: (\S+)", log)
    assert set(chosen["ssh.cipher"]) == set(ciphers.values()) and set(chosen["ssh.mac"]) == macs
    (keyed,) = [one for one in messages if value(one, "ssh.fingerprint")]
    assert [value(keyed, "ssh.host_key")] == theirs("server", "ssh.host_key.type")
    asked = subprocess.run(["ssh-keygen", "-lf", server.place / "host_key.pub"], capture_output=True, timeout=10)
    assert value(keyed, "ssh.fingerprint") == asked.stdout.decode().split()[1]


def test_the_rest_is_told_as_encrypted(gateways, server, scratch):
    """Behind NEWKEYS each byte of either side is in a message of that kind, or of none; no word of it is told."""
    conversation = Conversation(gateways, scratch, server.address)
    ssh(server, conversation)
    (session,) = conversation.finish()
    messages, _ = conversation.told(session)
    for side, stream in zip(("client", "server"), conversation.front.streams()[0]):
        ours = sorted((one for one in messages if one["from"] == side and one["kind"] != "estimate"),
                      key=lambda one: one["number"])
        kinds = [one["kind"] for one in ours]
        assert kinds[:2] == ["banner", "kexinit"] and kinds.count("newkeys") == 1
        behind = ours[kinds.index("newkeys") + 1:]
        assert behind and {one["kind"] for one in behind} == {"encrypted"}
        newkeys = ours[kinds.index("newkeys")]
        rest = len(stream) - newkeys["offset"] - newkeys["length"]
        assert sum(value(one, "ssh.bytes") for one in behind) == rest > 50_000
    text = conversation.gateway.command("show", session.id, "--as", "messages", "--body", "-v", "--secrets").stdout
    assert b"a word" not in text and b"xxxx" not in text


def test_nothing_is_changed_by_decoding(gateways, server, scratch):
    """What passes by is what is recorded, with decoders and without: see Conversation."""
    for decode in ("on", "off"):
        conversation = Conversation(gateways, scratch, server.address, decode)
        assert len(ssh(server, conversation)[0]) == 50_007
        assert len(conversation.finish()) == 1
