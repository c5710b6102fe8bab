# SPDX-License-Identifier: Apache-2.0
"""Servers that tests record and replay against. Deterministic ones say the same to the same client for ever; the others
are told how they go wrong.

    replay_servers.py KIND HOST:PORT|unix:PATH [NAME=VALUE...]

    http      HTTP/1.1 with keep-alive: GET /N has N bytes, made from N; no Date
    vault     a game of lines: it greets, and everything ends in "\\n> "
    smtp      speaks first; EHLO has many lines; after QUIT it closes
    records   4 bytes of length, so many bytes, and the same backwards. flip=TAG:OFFSET: for the client whose first
              record begins with TAG one bit of the byte at OFFSET of all that is sent is another one
    steps     "step N\\n", and for each a reply. form=prompt (ends in "\\n> "), length (64 bytes) or free (no end to be
              learned); delay, pause (milliseconds, at most, drawn from seed=) before it and inside of it;
              stretch=PERCENT: so much longer or shorter; longer=PERCENT: so much longer, in two parts: what there was
              before, and the rest. It looks whether the next step came before its reply was out
    ticks     "ok\\n" for each line; it notes when each came
    silent    reads, and never answers
    closing   closes after the first bytes
    flood     answers the first bytes with bytes without end

One line of JSON on standard output for each connection that has ended: {"peer":..., "received": bytes, ...}.
"""
import asyncio
import json
import random
import resource
import socket
import sys
import time

BACKLOG = 4096


class Connection:
    def __init__(self, reader, writer, options):
        self.reader, self.writer, self.options = reader, writer, options
        self.sent = 0
        peer = writer.get_extra_info("peername")
        self.report = {"peer": "%s:%d" % peer[:2] if peer else ""}

    async def say(self, data):
        self.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def line(self):
        """The next line without its end, or None at the end."""
        data = await self.reader.readline()
        return data.rstrip(b"\r\n") if data.endswith(b"\n") else None


async def http(one):
    while head := await one.reader.readuntil(b"\r\n\r\n"):
        count = int(head.split(b" ", 2)[1][1:])
        body = random.Random(count).randbytes(count)
        await one.say(b"HTTP/1.1 200 OK\r\nServer: replay\r\nContent-Length: %d\r\n\r\n%s" % (count, body))


async def vault(one):
    await one.say(b"=== the vault ===\nthree words, and it opens\n> ")
    known = []
    while (line := await one.line()) is not None:
        if line == b"quit":
            await one.say(b"bye\n")
            return
        if line == b"help":
            await one.say(b"say WORD\nlist\nquit\n> ")
        elif line == b"list":
            await one.say(b"".join(b"%d. %s\n" % (number, word) for number, word in enumerate(known)) + b"\n> ")
        elif line.startswith(b"say "):
            known.append(line[4:])
            await one.say(b"flag{%s}\n> " % b"-".join(known) if len(known) == 3 else b"noted\n> ")
        else:
            await one.say(b"what?\n> ")


async def smtp(one):
    await one.say(b"220 mail.example ESMTP\r\n")
    while (line := await one.line()) is not None:
        verb = line.split(b" ")[0].upper()
        if verb == b"EHLO":
            await one.say(b"250-mail.example\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 HELP\r\n")
        elif verb == b"DATA":
            await one.say(b"354 go ahead\r\n")
            count = 0
            while (line := await one.line()) not in (b".", None):
                count += 1
            await one.say(b"250 %d lines taken\r\n" % count)
        elif verb == b"QUIT":
            await one.say(b"221 bye\r\n")
            return
        else:
            await one.say(b"250 ok\r\n")


async def records(one):
    flip, at = None, 0
    while True:
        head = await one.reader.readexactly(4)
        body = await one.reader.readexactly(int.from_bytes(head, "big"))
        if one.sent == 0 and "flip" in one.options:
            tag, at = one.options["flip"].split(":")
            flip, at = body.startswith(tag.encode()), int(at)
        reply = bytearray(head + body[::-1])
        if flip and one.sent <= at < one.sent + len(reply):
            reply[at - one.sent] ^= 0x20
        await one.say(bytes(reply))


def step_reply(form, number, chance, stretch, longer):
    """Its parts; the last one ends the reply."""
    size = 16 + number * 7 % 64
    size += size * chance.choice((-1, 0, 1)) * stretch // 100
    if form == "length":
        size = 60
    text = bytes(chance.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in range(size))
    if form == "prompt":
        text = b"%d %s\n> " % (number, text)
    elif form == "length":
        text = b"%04d%s" % (number, text)
    if longer:
        return text, text[:len(text) * longer // 100]
    cuts = sorted(chance.sample(range(1, len(text)), 2))
    return text[:cuts[0]], text[cuts[0]:cuts[1]], text[cuts[1]:]


async def steps(one):
    form, stretch = one.options.get("form", "prompt"), int(one.options.get("stretch", 0))
    longer = int(one.options.get("longer", 0))
    delay, pause = (float(one.options.get(name, 0)) / 1000 for name in ("delay", "pause"))
    one.report.update(replies=0, early=0)
    chance = random.Random(int(one.options.get("seed", 1)))
    while (line := await one.line()) is not None:
        number = int(line.split()[1])
        if number == 0:
            chance = random.Random(f"{one.options.get('seed', 1)} {line.split()[2].decode()}")
        parts = step_reply(form, number, chance, stretch, longer)
        if delay:
            await asyncio.sleep(chance.uniform(0, delay))
        for part in parts[:-1]:
            await one.say(part)
            if pause:
                await asyncio.sleep(chance.uniform(0, pause))
        # Whatever is here now was sent before the reply was whole.
        one.report["early"] += bool(one.reader._buffer)
        one.report["replies"] += 1
        await one.say(parts[-1])


async def ticks(one):
    one.report["ticks_ns"] = []
    while await one.line() is not None:
        one.report["ticks_ns"].append(time.monotonic_ns())
        await one.say(b"ok\n")


async def silent(one):
    while await one.reader.read(65536):
        pass


async def closing(one):
    await one.reader.read(1)


async def flood(one):
    await one.reader.read(1)
    while True:
        await one.say(bytes(65536))


KINDS = {name.__name__: name for name in (http, vault, smtp, records, steps, ticks, silent, closing, flood)}


async def main(kind, address, *words):
    options = dict(word.split("=", 1) for word in words)

    async def serve(reader, writer):
        # What is sent is on its way at once: a part of a reply must not wait for the acknowledgement of another one.
        sock = writer.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = Connection(reader, writer, options)
        try:
            await KINDS[kind](one)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            one.report["sent"] = one.sent
            print(json.dumps(one.report), flush=True)
    if address.startswith("unix:"):
        server = await asyncio.start_unix_server(serve, address[5:], backlog=BACKLOG)
    else:
        host, port = address.rsplit(":", 1)
        server = await asyncio.start_server(serve, host.strip("[]"), int(port), backlog=BACKLOG)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
