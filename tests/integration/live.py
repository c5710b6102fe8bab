# SPDX-License-Identifier: Apache-2.0
"""A gateway by a configuration file, and clients that do not stop: for what changes while it serves.

    with faults.Echo() as server, Clients(address) as clients:
        ...
        clients.check()        # not one of them has seen an error so far

Every client has its own connections to the gateway, sends blocks that name it, and expects each back as it was.
"""
import contextlib
import hashlib
import json
import os
import socket
import threading
import time

import processes
from faults import connect
from gogetway import Store, program


def exchange(peer, block):
    peer.sendall(block)
    got = b""
    while len(got) < len(block):
        chunk = peer.recv(len(block) - len(got))
        if not chunk:
            raise ConnectionError(f"ended after {len(got)} of {len(block)} bytes")
        got += chunk
    if got != block:
        raise AssertionError("another block came back")


def listener(upstream, **more):
    """A listener of a configuration, at a free port."""
    return {"listen": processes.free_address(), "upstream": upstream, **more}


def said(address, block=b"a block"):
    """One client's session from beginning to end."""
    with connect(address) as peer:
        exchange(peer, block)


class Clients:
    """Some connections that stay, and some threads that open one after the other, without a pause."""

    def __init__(self, address, staying=20, threads=2, rounds=3):
        self.address = address
        self.rounds = rounds
        self.errors = []
        self.done = 0
        self.sent = {}  # the client's port -> SHA-256 of what it sent, once it has ended in good order
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.staying = []
        for number in range(staying):
            peer = connect(address)
            self.staying.append((peer, hashlib.sha256(), number))
        self.stay(b"hello")
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def stay(self, word):
        """Each connection that stays says something and hears it back."""
        for peer, hasher, number in self.staying:
            block = b"%s from %d;" % (word, number)
            exchange(peer, block)
            hasher.update(block)

    def session(self, name):
        hasher = hashlib.sha256()
        with connect(self.address) as peer:
            for count in range(self.rounds):
                block = b"%s %d;" % (name, count) * 10
                exchange(peer, block)
                hasher.update(block)
            port = peer.getsockname()[1]
            peer.shutdown(socket.SHUT_WR)
            if peer.recv(1) != b"":
                raise AssertionError("something came after the end")
        with self.lock:
            self.sent.setdefault(port, []).append(hasher.hexdigest())
            self.done += 1

    def run(self, number):
        count = 0
        while not self.ending.is_set():
            count += 1
            try:
                self.session(b"client %d.%d" % (number, count))
            except (OSError, AssertionError) as error:
                with self.lock:
                    self.errors.append(f"{time.time():.3f} client {number}.{count}: {error!r}")
                if len(self.errors) > 20:
                    return

    def check(self):
        with self.lock:
            assert not self.errors, "\n".join(self.errors)

    def more(self, count=5, seconds=20):
        """Until so many more sessions have ended well."""
        until = self.done + count
        processes.wait_until(lambda: self.done >= until or self.errors, seconds, "more sessions")
        self.check()

    def end(self):
        """Everybody ends in good order; what all of them sent: a sorted list of SHA-256."""
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client does not end"
        for peer, hasher, _ in self.staying:
            port = peer.getsockname()[1] if peer.family != socket.AF_UNIX else 0
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
            peer.close()
            self.sent.setdefault(port, []).append(hasher.hexdigest())
        self.staying = []
        self.check()
        return sorted(digest for digests in self.sent.values() for digest in digests)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
        for peer, _, _ in self.staying:
            peer.close()


class Configured(Store):
    """A gateway that reads `file`, which write() replaces. Several may be started on one store, one after the other."""

    def __init__(self, scratch, directory=None):
        super().__init__(directory or scratch / "rec")
        self.scratch = scratch
        self.file = scratch / "gateway.yaml"
        self.processes = []

    def write(self, *listeners, **options):
        """Listeners as objects; JSON is YAML."""
        self.write_text(json.dumps({"listeners": listeners, **options}))

    def write_text(self, text):
        other = self.file.with_suffix(".new")
        other.write_text(text)
        os.replace(other, self.file)

    def start(self, *words, wait=True, by=(), **more):
        """`by`: a command that becomes the gateway, whose own comes behind it."""
        command = [*by, program(), "run", "-c", self.file, "--dir", self.directory, *words]
        process = processes.Process(command, self.scratch, name=f"gateway-{len(self.processes) + 1}", **more)
        self.processes.append(process)
        if wait:
            self.wait_event(process, "ready")
        return process

    @staticmethod
    def events(process, name=None):
        whole = process.errors().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if name in (None, line["event"])]

    def log(self):
        """The lines so far of the last that was started."""
        return self.events(self.processes[-1])

    def wait_event(self, process, name, seconds=20, count=1):
        def seen():
            found = self.events(process, name)
            if len(found) >= count:
                return found
            if not process.running():
                raise AssertionError(f"ended with {process.popen.returncode} before {name!r}:\n{process.errors()}")
            return None
        return processes.wait_until(seen, seconds, name)[-1]

    def reload(self):
        """`gogetway reload --json`: (exit status, the reply)."""
        done = self.command("reload", "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def digests(self):
        """What the clients sent by the recording: a sorted list of SHA-256, of the sessions with any bytes."""
        return sorted(streams["client"].sha256 for streams in self.payloads().values() if streams["client"].count)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in self.processes:
            if process.running():
                with contextlib.suppress(processes.DeadlineExceeded):
                    process.stop(20)
        for process in self.processes if kind is None else ():
            process.check_no_crash()
