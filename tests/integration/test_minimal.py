# SPDX-License-Identifier: Apache-2.0
"""A build without any of the optional parts: libc and libyaml are all that the library needs; it records
and reads."""
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

import test_sandbox
from gogetway import ROOT, Gateway
from test_run import connect, open_session, upstream  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.skipif(test_sandbox.is_instrumented(), reason="it builds a program of its own"),
              pytest.mark.skipif(not shutil.which("meson"), reason="needs meson and cc")]


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def without_the_parts(build):
    """Builds the program and the library. Returns what was left out, and the library."""
    parts = re.findall(r"option\('(\w+)', type: 'feature'", (ROOT / "meson_options.txt").read_text())
    setup = ["meson", "setup", str(build), str(ROOT), "-Doptimization=0", "-Dwerror=true"]
    run(*setup, *[f"-D{part}=disabled" for part in parts])
    targets = run("ninja", "-C", str(build), "-t", "targets", "all")
    (library,) = re.findall(r"^(libgogetway\.so\.\S+): c_LINKER", targets, re.MULTILINE)
    run("ninja", "-C", str(build), "-j", "2", "gogetway", library)
    return parts, build / library


def needed(path):
    return set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", path)))


def test_without_the_optional_parts(scratch, upstream, monkeypatch):
    build = pathlib.Path(scratch) / "build"
    parts, library = without_the_parts(build)
    assert "lua" in parts
    assert needed(library) <= {"libc.so.6", "libyaml-0.so.2"}
    assert not list(build.rglob("lua.so"))
    monkeypatch.setenv("GOGETWAY", str(build / "gogetway"))
    with Gateway(scratch / "recording", upstream=upstream.address, scratch=scratch) as gateway:
        with open_session(gateway, upstream) as (client, server):
            client.sendall(b"what is left")
            assert server.recv(64) == b"what is left"
            client.shutdown(socket.SHUT_WR)
            assert server.recv(64) == b""
        assert gateway.stop()[0] == 0
        (session,) = gateway.sessions()
    assert session["bytes"]["client"] == 13 and session["close"] == "client-fin"
