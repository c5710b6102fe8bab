# SPDX-License-Identifier: Apache-2.0
"""Tests in a network and with mounts of their own, so that they may be the DNS server of this host, replace files of
/etc, and change what the kernel does about floods.

    @namespaces.own
    def test_something(scratch):
        ...        # 127.0.0.1 is there, and nobody else on it

The test's function runs in a child process; fixtures are made and ended outside of it, so it starts itself what it
needs, by `with`. It is skipped where that is not permitted.
"""
import ctypes
import fcntl
import functools
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

import pytest

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SECONDS_MAX = 120
PASSED, FAILED, SKIPPED = b"passed", b"failed", b"skipped"


def own(test):
    """Decorates a test: it runs in its own namespaces."""
    @functools.wraps(test)
    def outside(*arguments, **fixtures):
        if os.geteuid() != 0:
            pytest.skip("needs root for namespaces")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            run_and_exit(lambda: test(*arguments, **fixtures), writer)
        os.close(writer)
        outcome, _, told = outcome_of(child, reader).partition(b"\n")
        if outcome == SKIPPED:
            pytest.skip(told.decode())
        assert outcome == PASSED, f"in its own namespaces:\n{told.decode(errors='replace')}"
    return outside


def run_and_exit(function, writer):
    """In the child. Nothing of the parent's is closed, flushed or ended here."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # so that whatever was started is ended
    try:
        enter()
        function()
        told = PASSED
    except pytest.skip.Exception as why:
        told = SKIPPED + b"\n" + str(why).encode()
    except BaseException:  # whatever it is, it is the parent's to tell
        told = FAILED + b"\n" + traceback.format_exc().encode()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while told:
        told = told[os.write(writer, told):]
    os._exit(0)


def outcome_of(child, reader):
    deadline, told = time.monotonic() + SECONDS_MAX, b""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
                os.kill(child, signal.SIGTERM if time.monotonic() < deadline + 1 else signal.SIGKILL)
                deadline = time.monotonic() + 20
                continue
            part = pipe.read(65536)
            if not part:
                break
            told += part
    os.waitpid(child, 0)
    return told or FAILED + b"\nit ended without a word"


def enter():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        pytest.skip(f"namespaces are not permitted here: {os.strerror(ctypes.get_errno())}")
    mount("--make-rprivate", "/")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def mount(*words):
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounts are not permitted here: {done.stderr.strip()}")


def own_etc(directory, **files):
    """A directory that is /etc from now on: what a program needs to start, and `files` ("resolv.conf" is written
    resolv_conf=...). Returns /etc."""
    directory.mkdir()
    for name in ("passwd", "group", "ld.so.cache", "localtime"):
        if os.path.exists(f"/etc/{name}"):
            shutil.copy(f"/etc/{name}", directory / name)
    for name, text in {"nsswitch_conf": "hosts: files dns\n", "hosts": "127.0.0.1 localhost\n", **files}.items():
        (directory / name.replace("_", ".")).write_text(text)
    mount("--bind", directory, "/etc")
    return pathlib.Path("/etc")


def own_run():
    """An empty /run from now on."""
    mount("-t", "tmpfs", "none", "/run")
    return pathlib.Path("/run")


def set_kernel(name, value):
    """A sysctl of this network: "net.ipv4.tcp_syncookies"."""
    pathlib.Path("/proc/sys", *name.split(".")).write_text(str(value))
