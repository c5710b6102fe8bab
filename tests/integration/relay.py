# SPDX-License-Identifier: Apache-2.0
"""A plain TCP and unix relay that can be told to do wrong: what the tests of the tests put in the gateway's place.

    relay.py LISTEN UPSTREAM [FAULT [SESSION]]

FAULT: none, flip, drop, duplicate, truncate, swallow-half-close, reset-to-close, swap. All but none touch one session
only, number SESSION (default 10; 0: all of them) in order of accept.
"""
import asyncio
import socket
import struct
import sys

FAULTS = ("none", "flip", "drop", "duplicate", "truncate", "swallow-half-close", "reset-to-close", "swap")


class Direction:
    def __init__(self, fault):
        self.fault = fault

    def change(self, data):
        if self.fault == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif self.fault == "drop":
            data = data[:-1]
        elif self.fault == "duplicate":
            data = data + data[-1:]
        elif self.fault == "swap" and len(data) > 1:
            data = data[:-2] + data[-1:] + data[-2:-1]
        else:
            return data
        self.fault = "none"
        return data


async def pump(loop, source, target, fault):
    """Moves one direction to its end. Returns whether it ended by a reset."""
    direction = Direction(fault)
    while True:
        try:
            data = await loop.sock_recv(source, 65536)
        except OSError:
            return fault != "reset-to-close"
        if not data:
            break
        try:
            await loop.sock_sendall(target, direction.change(data))
        except OSError:
            return True
        if fault == "truncate":
            break
    if fault != "swallow-half-close":
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return True
    return False


def close(sock, reset):
    if reset and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_socket(text):
    if text.startswith("unix:"):
        return socket.socket(socket.AF_UNIX), text[5:]
    host, port = text.rsplit(":", 1)
    host = host.strip("[]")
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))


async def session(loop, client, upstream, fault):
    server, address = open_socket(upstream)
    server.setblocking(False)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    try:
        await loop.sock_connect(server, address)
    except OSError:
        close(client, True)
        server.close()
        return
    pairs = ((client, server), (server, client))
    tasks = {asyncio.create_task(pump(loop, source, target, fault)) for source, target in pairs}
    reset = False
    while tasks and not reset:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        reset = any(task.result() for task in done)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    close(client, reset)
    close(server, reset)


async def main(listen, upstream, fault="none", number="10"):
    loop = asyncio.get_running_loop()
    listener, address = open_socket(listen)
    if listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    listener.bind(address)
    listener.listen(1024)
    listener.setblocking(False)
    count = 0
    running = set()
    while True:
        client, _ = await loop.sock_accept(listener)
        client.setblocking(False)
        count += 1
        task = asyncio.create_task(session(loop, client, upstream, fault if int(number) in (0, count) else "none"))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    if len(sys.argv) < 3 or (len(sys.argv) > 3 and sys.argv[3] not in FAULTS):
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
