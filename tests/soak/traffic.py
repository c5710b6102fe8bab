# SPDX-License-Identifier: Apache-2.0
"""The load of a soak: sessions of which every byte is known at both ends, and real clients of real servers.

Everything here ends by itself soon: a session lasts a minute at the most, so that the segments it is in can be checked
and deleted. What a session was is told to the checker as an `Expectation`; who failed without being disturbed is told
at once.
"""
import asyncio
import dataclasses
import itertools
import random
import socket
import struct
import threading
import time

import endpoints
import faults
import processes
import test_peers
from gogetway import EMPTY, SIDES, Stream
from torture import preload_works  # noqa: F401

OTHER = endpoints.OTHER
HEADER = struct.Struct(">4sIQ")  # of tests/tools/endpoints: magic, index, seed
NO_ERROR = "no client fails without a cause"
NOT_DRAINED = "a drained upstream gets no new session"
BACKUP = "a backup serves only while others are away"
CLIENT_SECONDS = 60
OUT_SECONDS_MAX = 4  # an upstream that failed is tried again after this at the latest


@dataclasses.dataclass
class Expectation:
    """A session as its ends saw it."""
    listener: str
    client: str  # its address as the gateway sees it; "" over unix sockets
    began: float
    ended: float
    orderly: bool            # everything that was sent arrived, and the ends saw it
    empty: bool              # not a byte went either way: it may have been gone before it was accepted
    sent: dict               # side -> Stream of what that side gave to its socket; None: not known
    received: dict           # side -> byte count that arrived from that side; None: not known
    generator: tuple = None  # (seed, index): its streams are those of tests/tools/endpoints
    content: dict = None     # side -> the bytes themselves: a prefix of them is recorded
    told: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def name(self):
        return f"{self.listener} session {self.generator or ''} from {self.client or 'a unix socket'}"


class Load:
    """A thread that does the same thing over and over while its gateway is up."""

    def __init__(self, site, name, listener, pause):
        self.site, self.name, self.listener, self.pause = site, name, listener, pause
        self.random = random.Random(f"{site.seed} {name}")
        self.rounds = self.failures = 0
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"{site.name}-{name}")

    def start(self):
        self.thread.start()
        return self

    def _run(self):
        while not self.site.stopping.is_set():
            if not self.site.instance.up.wait(0.2) or self.site.checks_lag():
                continue
            with self.site.checks.no_exception("the harness itself works"):
                self.round()
            self.rounds += 1
            self.site.stopping.wait(self.random.uniform(0, 2 * self.pause))

    def round(self):
        raise NotImplementedError

    @property
    def address(self):
        return self.site.instance.listen(self.listener)

    def judge(self, began, ended, problems, scope=None):
        """Errors at a client, unless what was done to the gateway or its upstream explains them."""
        if problems and self.site.excused(scope or self.listener, began, ended):
            self.failures += 1
            self.site.excused_errors += 1
            problems = []
        self.site.checks.judge(NO_ERROR, (f"{self.site.name}/{self.name}: {problem}" for problem in problems))


# ── Sessions of the generator ────────────────────────────────────────────────────────────────────────────────────────

def is_never_fine(text):
    """Of check_endpoints' texts those that no disturbance explains: bytes that nobody sent."""
    return "wrong byte" in text or "another SHA-256" in text or text.endswith(" sent")


class Generated(Load):
    """Batches of tests/tools/endpoints through a listener: half-closes in every order, resets, early closes, urgent
    bytes, slow readers and writers. `also`: (site, listener) behind the first, which records the same sessions."""

    def __init__(self, site, listener, upstream, pause=1.0, also=None, sessions=24, **options):
        super().__init__(site, f"{site.name}-generated-{listener}", listener, pause)
        self.upstream, self.sessions = upstream, sessions
        self.places = [(site, listener)] + ([also] if also else [])
        self.seed = self.random.getrandbits(48)
        self.first = itertools.count(0, sessions)
        self.options = dict({"concurrency": 8, "bytes_max": 192 << 10, "slow_percent": 8, "deadline": 90}, **options)
        self.running = None  # when the batch at work began: its sessions are not known yet

    def round(self):
        first = next(self.first)
        unique = {} if self.address.startswith("unix:") else {"unique_source": True}
        self.running = time.monotonic()
        run = endpoints.Endpoints(self.site.scratch, self.seed, self.sessions, self.address, self.upstream, first=first,
                                  **unique, **self.options)
        run.start()
        try:
            result = run.finish(self.options["deadline"] + 60)
            for session in result.sessions:
                self.take(session, result.seed)
            self.judge(self.running, time.monotonic(), endpoints.check_endpoints(
                endpoints.Result(result.seed, [], result.anonymous, result.summary)))
        finally:
            self.running = None
            for path in (run.process.out_path, run.process.err_path):
                processes.os.unlink(path)

    def take(self, session, seed):
        halves = [session[side] for side in SIDES if session[side]]
        began, ended = min(half["began_s"] for half in halves), max(half["ended_s"] for half in halves)
        problems = endpoints.check_endpoints(endpoints.Result(seed, [session], [], {}))
        never = [text for text in problems if is_never_fine(text)]
        self.site.checks.judge("what arrives is what was sent", (
            f"{self.name}, seed {seed}: {text}: {session}" for text in never))
        self.judge(began, ended, [text for text in problems if text not in never])
        orderly = endpoints.is_orderly(session) and [half["end"] for half in halves] == ["orderly", "orderly"]
        where = session["client_address"]
        for site, listener in self.places:
            site.checker.expect(Expectation(
                listener, processes.address(where, session["client_port"]) if where else "", began, ended, orderly,
                session["zero"] != "no" or not any(half["received"] for half in halves),
                {side: Stream(session[side]["sent"], session[side]["sent_sha256"]) if session[side] else EMPTY
                 for side in SIDES},
                {side: session[OTHER[side]]["received"] if session[OTHER[side]] else 0 for side in SIDES},
                generator=(seed, session["index"])))


# ── Sessions by hand ─────────────────────────────────────────────────────────────────────────────────────────────────

class Talk(Load):
    """One client of ours, whose server (an echo, or nobody) is not asked what it saw."""

    def session(self, conversation):
        """conversation(sock, sent, got) says and hears, and keeps what it did; returns whether all of it went well."""
        sent, got, problems = bytearray(), bytearray(), []
        began, client, reached = time.monotonic(), "", False
        try:
            with faults.connect(self.address, source=self.source(), seconds=CLIENT_SECONDS) as sock:
                client = processes.address(*sock.getsockname())
                reached = True
                conversation(sock, sent, got)
        except (OSError, AssertionError) as error:
            problems = [f"{client}: after {len(sent)} bytes sent and {len(got)} received: {error!r}"]
        ended = time.monotonic()
        self.judge(began, ended, problems)
        if reached:
            self.site.checker.expect(Expectation(
                self.listener, client, began, ended, not problems, not got,
                {"client": Stream.of_bytes(bytes(sent)), "server": None}, {"client": None, "server": len(got)},
                content={"client": bytes(sent), "server": bytes(got)}))
        return not problems


    def source(self):
        """Where it comes from; None: the kernel knows."""
        return None


def say(sock, sent, data):
    sent += data  # before: what a failing call has sent is not known
    sock.sendall(data)


def hear(sock, got, count):
    while count > 0:
        piece = sock.recv(min(count, 1 << 16))
        if not piece:
            raise AssertionError(f"the stream ended {count} bytes early")
        got += piece
        count -= len(piece)


class Idlers(Talk):
    """A crowd through the echo: a word, a long silence, a word."""

    def __init__(self, site, listener, pause=1.0, crowd=6, silence=20.0):
        super().__init__(site, f"idlers-{listener}", listener, pause)
        self.crowd, self.silence = crowd, silence

    def round(self):
        silences = [self.random.uniform(0, self.silence) for _ in range(self.crowd)]
        words = [self.random.randbytes(self.random.randrange(1, 3000)) for _ in range(self.crowd)]
        threads = [threading.Thread(target=self.idle, args=pair, daemon=True) for pair in zip(silences, words)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def idle(self, silence, word):
        def conversation(sock, sent, got):
            say(sock, sent, word)
            hear(sock, got, len(word))
            self.site.stopping.wait(silence)
            say(sock, sent, word[::-1])
            hear(sock, got, len(word))
        self.session(conversation)


class Pooled(Talk):
    """Clients of a list of upstreams that flap and are drained: as long as one of them serves, nobody sees an error."""

    def __init__(self, site, listener, pause=0.5, crowd=4, silence=3.0):
        super().__init__(site, f"pooled-{listener}", listener, pause)
        self.crowd, self.silence = crowd, silence

    def source(self):
        return f"127.77.{self.random.randrange(4)}.{self.random.randrange(1, 255)}"

    def round(self):
        silences = [self.random.choice((0, self.random.uniform(0, self.silence))) for _ in range(self.crowd)]
        words = [self.random.randbytes(self.random.randrange(1, 3000)) for _ in range(self.crowd)]
        threads = [threading.Thread(target=self.visit, args=pair, daemon=True) for pair in zip(silences, words)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def visit(self, silence, word):
        began = time.monotonic()

        def conversation(sock, sent, got):
            hear(sock, got, 1)
            self.judge_choice(began, time.monotonic(), got.decode())
            say(sock, sent, word)
            hear(sock, got, len(word))
            self.site.stopping.wait(silence)
            say(sock, sent, word[::-1])
            hear(sock, got, len(word))
            if bytes(got[1:]) != word + word[::-1]:
                raise AssertionError("something else came back")
        self.session(conversation)

    def judge_choice(self, began, heard, name):
        """Who serves a client that came then."""
        windows = self.site.instance.windows
        drained = [window for window in windows.overlapping(began, heard, kinds=("upstream-drained",))
                   if window.detail == name and window.begin <= began and window.end >= heard]
        self.site.checks.judge(NOT_DRAINED, [f"{self.site.name}: {self.listener}: {name}"] if drained else [])
        if name == self.site.backup.name:
            why = windows.overlapping(began - OUT_SECONDS_MAX, heard, kinds=("flap",))
            self.site.checks.judge(BACKUP, [] if why else [f"{self.site.name}: {self.listener}"])


class Strangers(Talk):
    """Clients of a honeypot: they read its greeting, say something, and wait for it to end. Now and then a storm."""

    def __init__(self, site, listener, greeting, pause=1.0, storm=60):
        super().__init__(site, f"strangers-{listener}", listener, pause)
        self.greeting, self.storm = greeting, storm

    def round(self):
        for _ in range(self.storm if self.random.random() < 0.1 else 3):
            word = self.random.randbytes(self.random.randrange(0, 2000))
            self.session(lambda sock, sent, got, word=word: self.meet(sock, sent, got, word))

    def meet(self, sock, sent, got, word):
        hear(sock, got, len(self.greeting))
        if bytes(got) != self.greeting:
            raise AssertionError(f"greeted with {bytes(got)!r}")
        say(sock, sent, word)
        sock.shutdown(socket.SHUT_WR)
        rest, was_reset = faults.read_to_end(sock)
        if rest or was_reset:
            raise AssertionError(f"a honeypot answered {rest!r}, reset: {was_reset}")


# ── Real clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

class Real(Load):
    """A client program, whose word is taken for how it went."""

    def __init__(self, site, listener, server, pause=1.0):
        super().__init__(site, f"{type(self).__name__.lower()}-{listener}", listener, pause)
        self.server = server

    def round(self):
        began, problems = time.monotonic(), []
        try:
            self.visit()
        except Exception as error:  # of any of the clients' libraries
            problems = [f"{type(error).__name__}: {error}"[:800]]
        self.judge(began, time.monotonic(), problems)

    @property
    def port(self):
        return self.address.rsplit(":", 1)[1]

    def visit(self):
        raise NotImplementedError


class Curl(Real):
    """Several files over one connection, the same bytes that the server has."""

    def visit(self):
        names = self.random.choices(list(self.server.files), k=self.random.randrange(1, 6))
        words = [word for name in names for word in (f"http://{self.address}/{name}",)]
        got = processes.run(["curl", "-sS", "--fail", "--max-time", CLIENT_SECONDS, *words], CLIENT_SECONDS + 10).stdout
        wanted = b"".join(self.server.files[name.rsplit("/", 1)[-1]] for name in names)
        assert got == wanted, f"{names}: {len(got)} bytes, not the {len(wanted)} that they have"


class RedisBenchmark(Real):
    """It needs less than a second; cut off it may turn in circles, and never end."""
    SECONDS = 20  # longer than a disk is full, hangs or is slow

    def visit(self):
        done = processes.run(["redis-benchmark", "-h", "127.0.0.1", "-p", self.port, "-t", "set,get", "-n", 400,
                              "-c", 5, "-P", 2, "-d", 100, "-q"], self.SECONDS)
        assert b"GET:" in done.stdout, done.stdout[-300:]


class Ssh(Real):
    def visit(self):
        word = f"{self.random.getrandbits(64):x}"
        done = processes.run(["ssh", *self.server.client_words, "-o", "ServerAliveInterval=20", "-p", self.port,
                              f"{self.server.user}@127.0.0.1", f"head -c 100000 /dev/zero; echo {word}"],
                             CLIENT_SECONDS)
        assert done.stdout == bytes(100000) + word.encode() + b"\n", f"{len(done.stdout)} bytes"


class WebSocket(Real):
    def visit(self):
        messages = [self.random.randbytes(int(2 ** self.random.uniform(0, 15))) for _ in range(20)]

        async def talk():
            return await asyncio.wait_for(test_peers.websocket_talk(self.address, messages), CLIENT_SECONDS)
        assert asyncio.run(talk()) == messages, "other messages came back"


class PgBench(Real):
    def visit(self):
        environment = dict(processes.os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", PGHOST="127.0.0.1",
                           PGUSER="postgres", PGDATABASE="postgres", PGPORT=self.port)
        done = processes.run(["pgbench", "-n", "-c", 2, "-t", 10], CLIENT_SECONDS, env=environment)
        assert b"20/20" in done.stdout, done.stdout[-300:]
