#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's servers, each on a free port of 127.0.0.1, in one process.

    http        HTTP/1.1 with keep-alive: GET /hello, GET /random/N (N bytes, the same for the same N)
    records     raw binary: a 4-byte length and that many bytes; the answer is the same bytes backwards, framed alike
    halfclose   reads until the client has said all it wants to say, then sends it back and closes

The first line of output is a JSON object of their ports. For each connection that ended one more line follows: the
service, and count and SHA-256 of what this end received and sent. That is the demo's evidence from the server's side.
"""
import asyncio
import hashlib
import json
import random
import re

BYTES_MAX = 64 << 20


class Wire:
    """A connection that keeps count of what it received and sent."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.received, self.sent = hashlib.sha256(), hashlib.sha256()
        self.received_bytes = self.sent_bytes = 0

    def took(self, data):
        self.received.update(data)
        self.received_bytes += len(data)
        return data

    async def send(self, data):
        self.sent.update(data)
        self.sent_bytes += len(data)
        self.writer.write(data)
        await self.writer.drain()


def random_bytes(count):
    return random.Random(count).randbytes(count)


async def serve_http(wire):
    while True:
        try:
            head = wire.took(await wire.reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as end:
            wire.took(end.partial)
            return
        match = re.match(rb"GET /(hello|random/([0-9]{1,8})) HTTP/1\.1\r\n", head)
        if not match:
            await wire.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            continue
        body = random_bytes(min(int(match.group(2)), BYTES_MAX)) if match.group(2) else b"Hello through the gateway.\n"
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(body), body))


async def serve_records(wire):
    while True:
        try:
            head = wire.took(await wire.reader.readexactly(4))
            size = int.from_bytes(head, "big")
            if size > BYTES_MAX:
                return
            body = wire.took(await wire.reader.readexactly(size))
        except asyncio.IncompleteReadError as end:
            wire.took(end.partial)
            return
        await wire.send(head + body[::-1])


async def serve_halfclose(wire):
    parts, total = [], 0
    while total <= BYTES_MAX:
        data = wire.took(await wire.reader.read(65536))
        if not data:
            break
        parts.append(data)
        total += len(data)
    await wire.send(b"".join(parts))


def handler(name, serve):
    async def handle(reader, writer):
        wire = Wire(reader, writer)
        try:
            await serve(wire)
        except ConnectionError:
            pass
        finally:
            writer.close()
            print(json.dumps({"service": name, "received": wire.received_bytes, "sent": wire.sent_bytes,
                              "received_sha256": wire.received.hexdigest(), "sent_sha256": wire.sent.hexdigest()}),
                  flush=True)
    return handle


async def main():
    ports = {}
    for name, serve in (("http", serve_http), ("records", serve_records), ("halfclose", serve_halfclose)):
        server = await asyncio.start_server(handler(name, serve), "127.0.0.1", 0)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
