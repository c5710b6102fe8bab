# SPDX-License-Identifier: Apache-2.0
"""A telnet server of the system behind a socket of ours, and a client of the system on a terminal of ours."""
import contextlib
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import termios
import threading
import time

import processes

TELNETD = "/usr/sbin/telnetd"
USER, PASSWORD = "ann", "hunter2hunter2"

# Asks for a name and a password as login does, and obeys some words.
LOGIN = """#!/bin/sh
printf 'login: '
read name
stty -echo
printf 'Password: '
read word
stty echo
printf '\\nWelcome, %s, on %s\\n' "$name" "$TERM"
while printf '$ ' && read line; do
  case $line in
    size) stty size ;;
    high) printf 'one \\303\\244 and 255: \\377\\n' ;;
    exit) break ;;
    *) echo "no $line here" ;;
  esac
done
"""


def there():
    return os.access(TELNETD, os.X_OK) and shutil.which("telnet") is not None


class Telnetd:
    """telnetd as inetd starts it, for each that connects."""

    def __init__(self, place):
        self.login = place / "login"
        self.login.write_text(LOGIN)
        self.login.chmod(0o755)
        self.listener = socket.create_server(("127.0.0.1", processes.free_port()))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.children = []
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                peer, _ = self.listener.accept()
                with peer:
                    self.children.append(subprocess.Popen([TELNETD, "-h", "-E", self.login], stdin=peer, stdout=peer,
                                                          stderr=subprocess.DEVNULL))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Terminal:
    """A program on a terminal: `seen` has the bytes that were on its screen."""

    def __init__(self, command, width=80, height=24, kind="vt100"):
        self.ours, theirs = os.openpty()
        self.resize(width, height)
        self.seen, self.looked = b"", 0
        self.popen = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                      env=dict(os.environ, TERM=kind),
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)

    def resize(self, width, height):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text):
        os.write(self.ours, text)

    def more(self, seconds):
        """False: the program has ended."""
        ready, _, _ = select.select([self.ours], [], [], max(0, seconds))
        assert ready, f"nothing more on the screen: {self.seen}"
        try:
            data = os.read(self.ours, 1 << 16)
        except OSError:  # nobody has the terminal open any more
            return False
        self.seen += data
        return bool(data)

    def wait_for(self, text, seconds=20):
        """Until that has come on the screen, behind what was waited for before."""
        deadline = time.monotonic() + seconds
        while text not in self.seen[self.looked:]:
            assert self.more(deadline - time.monotonic()), f"no {text} on the screen: {self.seen}"
        self.looked = self.seen.index(text, self.looked) + len(text)

    def wait(self, seconds=20):
        deadline = time.monotonic() + seconds
        while self.more(deadline - time.monotonic()):
            pass
        return self.popen.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self.ours)
