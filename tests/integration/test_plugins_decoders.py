# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that bring decoders along: what their sessions are found by, and what a reload leaves of them."""
import json
import pathlib
import re

import pytest

import faults
import processes
from gogetway import ROOT
from live import listener
from plugging import Kit
from test_understood import facts, found, wait_decoded, wait_found

SOURCE = (ROOT / "examples/plugin-ident.c").read_text()

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def decoding(configured, server, scratch, kit):
    """configured, with the example (`so`) in its plug-ins; put(entry, ...) writes the file with others."""
    configured.so = kit.build(scratch / "ident", SOURCE)
    configured.web = listener(server.address, name="web")
    configured.listen = configured.web["listen"]

    def put(*entries):
        configured.write(configured.web, plugins=[{"path": str(entry)} for entry in entries], workers=1)
    configured.put = put
    put(configured.so)
    return configured


def asked(gateway, ports):
    """A session: the server says back what it was asked."""
    with faults.connect(gateway.listen) as client:
        for byte in f"{ports}\r\n".encode():
            client.sendall(bytes([byte]))
        heard = b""
        while not heard.endswith(b"\n"):
            heard += client.recv(100)
    return heard


def test_its_sessions_are_found(decoding):
    process = decoding.start()
    processes.wait_until(lambda: (decoding.directory / "catalogue.db").exists(), 10, "the catalogue")
    assert asked(decoding, "6193, 23") == b"6193, 23\r\n"
    with faults.connect(decoding.listen) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100)
    wait_found(decoding, 1, "proto=ident")
    wait_decoded(decoding, 2)
    session, = found(decoding, "proto=ident")
    told = facts(decoding)
    assert told[session, "ident.ports"] == {"6193, 23"} and told[session, "message.layer"] == {"ident"}
    assert told[session, "message.count"] == {2} and told[session, "message.requests"] == {1}
    assert (session, "ident.said") not in told  # it is no fact
    shown, = map(json.loads, decoding.command("sessions", "proto=ident", "--json").stdout.splitlines())
    assert shown["protocol"] == "ident"
    refused = decoding.command("sessions", "ident.ports=1", check=False)
    assert refused.returncode == 2 and b"ident.ports" in refused.stderr  # only who has the plug-in knows its fields
    assert process.stop(20) == 0
    assert found(decoding, "proto=ident") == {session}  # by whoever reads the catalogue, plug-in or not


def test_a_session_is_called_so_while_it_is_open(decoding):
    decoding.start()
    with faults.connect(decoding.listen) as client:
        client.sendall(b"1, 2\r\n")
        assert client.recv(100)
        wait_found(decoding, 1, "proto=ident", "state=open")


def test_a_reload_takes_them_and_brings_them(decoding):
    """The one that is gone is closed, though nothing was recorded since; what comes is decoded without it."""
    decoding.start()
    asked(decoding, "1, 2")
    wait_found(decoding, 1, "proto=ident")

    def mapped():
        return re.search(r"/ident\.so$", pathlib.Path(f"/proc/{decoding.processes[-1].pid}/maps").read_text(), re.M)
    assert mapped()
    decoding.put()
    assert decoding.reload()[0] == 0
    processes.wait_until(lambda: not mapped(), 10, "the plug-in to be closed")
    asked(decoding, "3, 4")
    wait_decoded(decoding, 2)
    assert len(found(decoding, "proto=ident")) == 1
    decoding.put(decoding.so)
    assert decoding.reload()[0] == 0
    asked(decoding, "5, 6")
    wait_found(decoding, 2, "proto=ident")


def test_reloads_while_it_decodes(decoding, kit, scratch):
    """Each time with another file of it: the tables are those of libraries that come and go."""
    process = decoding.start()
    for turn in range(12):
        for _ in range(20):
            asked(decoding, f"{turn}, 2")
        decoding.put(*([] if turn % 3 == 2 else [decoding.so]))
        kit.build(scratch / "ident", SOURCE.replace("LINE_MAX = 1000", f"LINE_MAX = {1000 + turn}"))
        assert decoding.reload()[0] == 0
    wait_decoded(decoding, 240)
    assert process.stop(20) == 0
    assert found(decoding, "proto=ident")


def test_a_wrong_one_is_refused(decoding, kit, scratch):
    wrong = kit.build(scratch / "wrong", SOURCE.replace('.protocol = "ident"', '.protocol = "ID"'))
    decoding.put(wrong)
    process = decoding.start(wait=False)
    assert process.wait(20) != 0
    line, = process.errors().splitlines()
    assert f"{wrong}: decoders[0]: protocol is 'ID', which is not a-z and then a-z and 0-9" in line
