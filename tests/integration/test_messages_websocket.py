# SPDX-License-Identifier: Apache-2.0
"""Messages of WebSocket as `show --as messages` tells them: of a real client and server, with permessage-deflate as it
may be agreed upon and without, compared with what the two have sent and with tshark's dissection of the recording."""
import asyncio
import collections
import contextlib
import os
import random
import shutil
import threading

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as OfClient
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory as OfServer

import processes
from test_messages import finish, shown, value, values

pytestmark = pytest.mark.usefixtures("require_program")

OFFERS = {
    "plain": None,
    "deflate": OfClient(),
    "forgetful": OfClient(server_no_context_takeover=True, client_no_context_takeover=True),
    "small windows": OfClient(server_max_window_bits=9, client_max_window_bits=10),
}
OPCODES = {"text": "1", "binary": "2", "close": "8", "ping": "9", "pong": "10"}


class Echo:
    """websockets' server on a thread of its own: it says everything again, and pings after each third message."""

    def __init__(self):
        self.port = processes.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)

    @staticmethod
    async def echo(socket, _path=None):
        count = 0
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in socket:
                await socket.send(message)
                count += 1
                if count % 3 == 0:
                    await (await socket.ping(b"are you there %d" % count))

    async def serve(self):
        self.over = self.loop.create_future()
        async with websockets.serve(self.echo, "127.0.0.1", self.port, max_size=None, compression=None,
                                    ping_interval=None, extensions=[OfServer()]):
            self.ready.set()
            await self.over

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.serve())
        self.loop.close()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.over.set_result, None)
        self.thread.join(10)


def things_to_say(seed):
    """Texts and bytes of all codings of lengths; lists are sent in fragments."""
    dice = random.Random(seed)
    said = ["", b"", "x" * 125, "x" * 126, b"y" * 65535, b"y" * 65536, ["frag", "men", "ted " * 100],
            [b"b" * 1000, b"", b"c"]]
    for _ in range(20):
        length = dice.choice([1, 5, 100, 1000, 20000])
        said.append("".join(dice.choice("ab äöü€😀") for _ in range(length)) if dice.random() < 0.5
                    else bytes(dice.choice(b"\0\1\2\3\xff") for _ in range(length)))
    return said


def joined(thing):
    return thing if not isinstance(thing, list) else type(thing[0])().join(thing)


async def talk(address, offer, said):
    async with websockets.connect(f"ws://{address}/chat", max_size=None, compression=None, ping_interval=None,
                                  extensions=[offer] if offer else None) as client:
        for thing in said:
            await client.send(thing)
            assert await client.recv() == joined(thing)
        await (await client.ping(b"and you"))
        await client.close(4321, "tschüss")


def frames(store, scratch, port):
    """How many frames of each opcode tshark finds, by side; and each close's code."""
    capture = scratch / "dissected.pcapng"
    store.command("export", "--format", "pcapng", "-o", capture)
    done = processes.run(["tshark", "-n", "-r", capture, "-d", f"tcp.port=={port},http", "-Y", "websocket", "-T",
                          "fields", "-e", "tcp.dstport", "-e", "websocket.opcode", "-e",
                          "websocket.payload.close.status_code"], 60)
    found = collections.Counter()
    codes = []
    for line in done.stdout.decode().splitlines():
        to, opcodes, code = (line + "\t\t").split("\t")[:3]
        found.update(("client" if int(to) == port else "server", opcode) for opcode in opcodes.split(",") if opcode)
        codes += [int(one) for one in code.split(",") if one]
    return found, codes


def check_messages(messages, said, agreed):
    """As the peers have it. How many frames of each opcode there were, by side."""
    wanted = [("text" if isinstance(thing, str) else "binary", len(thing.encode() if isinstance(thing, str) else thing))
              for thing in map(joined, said)]
    ours = collections.Counter()
    for side in ("client", "server"):
        told = [one for one in messages if one["from"] == side]
        assert [(one["kind"], one["body_length"]) for one in told if one["kind"] in ("text", "binary")] == wanted
        for one in told:
            ours[side, OPCODES[one["kind"]]] += 1
            ours[side, "0"] += (value(one, "ws.fragments") or 1) - 1
    by_number = {one["number"]: one for one in messages}
    for pong in (one for one in messages if one["kind"] == "pong"):
        ping = by_number[pong["answers"]]
        assert ping["kind"] == "ping" and ping["from"] != pong["from"] and ping["body_length"] == pong["body_length"]
    first, second = (one for one in messages if one["kind"] == "close")
    assert first["from"] == "client" and second["answers"] == first["number"]
    assert [values(one, "ws.close_code") + values(one, "ws.close_reason") for one in (first, second)] == \
        [[4321, "tschüss"]] * 2
    assert not [one for one in messages if value(one, "ws.odd")]
    compressed = {value(one, "ws.compressed") for one in messages if one["kind"] in ("text", "binary")}
    assert compressed == ({None} if agreed == "plain" else {"inflated"})
    return ours


@pytest.mark.parametrize("agreed", OFFERS)
def test_websockets_as_its_peers_and_tshark_have_it(gateways, scratch, agreed):
    """Compared: kind and bytes of each message of either side, what pongs and closes answer, the code and the words of
    the closes; and how many frames there were of each opcode."""
    said = things_to_say(agreed)
    with Echo() as server:
        gateway = gateways(server.address)
        asyncio.run(talk(gateway.listen, OFFERS[agreed], said))
        gateway.wait_sessions_closed(1)
        finish(gateway)
    (session,) = gateway.sessions()
    messages = [one for one in shown(gateway, session.id) if one.get("decoder") == "websocket"]
    assert not [one for one in shown(gateway, session.id) if "opaque" in one]
    ours = check_messages(messages, said, agreed)
    found, codes = frames(gateway, scratch, int(gateway.listen.rsplit(":", 1)[1]))
    assert +ours == found and codes == [4321, 4321]


# ── Over HTTP/2 (RFC 8441) ───────────────────────────────────────────────────────────────────────────────────────────

HAPROXY, NGHTTPX = (shutil.which(name) or f"/usr/sbin/{name}" for name in ("haproxy", "nghttpx"))
TO_HTTP_2 = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
frontend front
  bind {address}
  default_backend back
backend back
  server one {target} ws h2 proto h2
"""
FROM_HTTP_2 = TO_HTTP_2.replace("{address}", "{address} proto h2").replace(" ws h2 proto h2", "")
TO_NGHTTPX = TO_HTTP_2 + "  http-request del-header sec-websocket-key\n"  # nghttpx makes one of its own


@contextlib.contextmanager
def proxy(scratch, kind, target):
    address = processes.free_address()
    host, port = address.split(":")
    if kind == "nghttpx":
        command = [NGHTTPX, "-f", f"{host},{port};no-tls", "-b", target.replace(":", ","), "-L", "FATAL"]
    else:
        file = scratch / f"haproxy-{port}"
        file.write_text(kind.format(address=address, target=target))
        command = [HAPROXY, "-db", "-f", file]
    with processes.Process(command, scratch, name=f"proxy-{port}") as process:
        process.wait_listening(address)
        yield address


@pytest.mark.skipif(not os.access(HAPROXY, os.X_OK) or not os.access(NGHTTPX, os.X_OK), reason="needs haproxy, nghttpx")
@pytest.mark.parametrize("agreed", OFFERS)
@pytest.mark.parametrize("server", ["haproxy", "nghttpx"])
def test_websockets_on_streams(gateways, scratch, server, agreed):
    """websockets' client and server, with haproxy that makes HTTP/2 of it and another proxy that makes HTTP/1 of that
    again. Compared as above; and which messages are the stream's."""
    said = things_to_say(agreed)
    with Echo() as echo, proxy(scratch, FROM_HTTP_2 if server == "haproxy" else server, echo.address) as behind:
        gateway = gateways(behind)
        with proxy(scratch, TO_HTTP_2 if server == "haproxy" else TO_NGHTTPX, gateway.listen) as front:
            asyncio.run(talk(front, OFFERS[agreed], said))
        processes.wait_until(lambda: gateway.sessions("ws.close_code=4321"), 20, "what decoders find", interval=0.2)
        gateway.wait_sessions_closed(1)
        finish(gateway)
    (session,) = gateway.sessions()
    told = shown(gateway, session.id)
    assert not [one for one in told if "opaque" in one] and {one["decoder"] for one in told} == {"http2"}
    (request,) = [one for one in told if one["kind"] == "request"]
    assert (value(request, "http.method"), value(request, "http.header", ":protocol")) == ("CONNECT", "websocket")
    messages = [one for one in told if one["kind"] in OPCODES and "stream" in one]
    assert {one["stream"] for one in messages} == {request["stream"]}
    check_messages(messages, said, agreed)
