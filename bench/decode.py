#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast sessions are decoded, on one core and out of memory; HTTP/1 beside libhtp. README.md says how."""
import argparse
import base64
import hashlib
import json
import os
import random
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile

import hpack

from pairs import interval
from proxies import BenchError
from run import TOP, machine

PROGRAM = os.path.join(TOP, "build", "bench", "decode")
CLIENT, SERVER = 0, 1
FULL = {"rounds": 11, "bytes": 400 << 20}
QUICK = {"rounds": 3, "bytes": 60 << 20}
SECONDS_MAX = 300

# ── Sessions: lists of (side, bytes) ─────────────────────────────────────────────────────────────────────────────────

REQUEST = (b"GET /static/app/page.html?id=12345 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; "
           b"Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\nAccept: text/html,application/xhtml+xml,"
           b"application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
           b"Accept-Encoding: gzip, deflate, br\r\nReferer: http://www.example.org/\r\nConnection: keep-alive\r\n"
           b"Cookie: session=0123456789abcdef; "
           b"theme=dark\r\nCache-Control: no-cache\r\n\r\n")
RESPONSE = (b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: "
            b"text/html; charset=utf-8\r\nContent-Length: %d\r\nLast-Modified: Fri, 20 Nov 2026 12:00:00 GMT\r\n"
            b"Connection: keep-alive\r\nETag: \"637a1b2c-400\"\r\nAccept-Ranges: bytes\r\n\r\n")


def cut(side, data, size=1 << 16):
    return [(side, data[at:at + size]) for at in range(0, len(data), size)]


def http1(body, count):
    return [(CLIENT, REQUEST), *cut(SERVER, RESPONSE % body + b"x" * body)] * count


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def http2(body, count):
    pieces = [(CLIENT, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")), (SERVER, frame(4, 0, 0, b""))]
    ask, answer = hpack.Encoder(), hpack.Encoder()
    for number in range(count):
        stream = 2 * number + 1
        head = ask.encode([(":method", "GET"), (":scheme", "http"), (":path", f"/page/{number % 50}"),
                           (":authority", "www.example.org"), ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
                           ("accept", "*/*"), ("accept-encoding", "gzip, deflate")])
        pieces.append((CLIENT, frame(1, 5, stream, head)))
        head = answer.encode([(":status", "200"), ("server", "nginx"), ("content-type", "text/html"),
                              ("content-length", str(body)), ("etag", f'"{number % 50}"')])
        left, data = body, frame(1, 4, stream, head)
        while left:
            size = min(left, 16384)
            left -= size
            data += frame(0, 0 if left else 1, stream, b"x" * size)
        pieces += cut(SERVER, data)
    return pieces


def websocket(size, count):
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    pieces = [(CLIENT, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
               + key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"),
              (SERVER, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")]
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else \
        b"\x7f" + struct.pack(">Q", size)
    masked = bytes([0x81, length[0] | 0x80]) + length[1:] + b"abcd" + bytes(
        ord("x") ^ b"abcd"[at % 4] for at in range(size))
    plain = bytes([0x81]) + length + b"x" * size
    return pieces + [*cut(CLIENT, masked), *cut(SERVER, plain)] * count


def redis(count):
    value = b"v" * 100
    return [(CLIENT, b"*3\r\n$3\r\nSET\r\n$8\r\nkey:%04d\r\n$100\r\n%s\r\n*2\r\n$3\r\nGET\r\n$8\r\nkey:%04d\r\n" %
             (number % 10000, value, number % 10000)) if side == CLIENT else (SERVER, b"+OK\r\n$100\r\n%s\r\n" % value)
            for number in range(count) for side in (CLIENT, SERVER)]


def tls(size):
    """A real session, by OpenSSL; the data in records of 16 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench", "-days", "2",
                        "-keyout", f"{folder}/key", "-out", f"{folder}/cert"], check=True, capture_output=True,
                       timeout=SECONDS_MAX)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert", f"{folder}/key")
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname="bench"),
            context.wrap_bio(to_server, to_client, server_side=True)]
    pieces = []

    class Tee:
        """What goes through a BIO, in order."""
        def __init__(self, side, bio):
            self.side, self.bio = side, bio

        def take(self):
            data = self.bio.read()
            if data:
                pieces.extend(cut(self.side, data))
            return data

    done = [False, False]
    while not all(done):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
            bio = to_server if number == 0 else to_client
            data = Tee(CLIENT if number == 0 else SERVER, bio).take()
            if data:
                bio.write(data)
    for _ in range(size >> 14):
        ends[1].write(b"x" * (1 << 14))
        ends[0].read(1 << 14) if not Tee(SERVER, to_client).take() else None
    return pieces


def text(line):
    return struct.pack(">I", len(line)) + line


def ssh(size):
    """What is in plain text in front, and then noise."""
    def packet(payload):
        padding = 16 - (len(payload) + 5) % 8
        return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + b"\0" * padding
    offers = b"".join(text(line) for line in (b"curve25519-sha256", b"ssh-ed25519", *[b"aes256-ctr"] * 2,
                                               *[b"hmac-sha2-256"] * 2, *[b"none"] * 2, b"", b""))
    offers = packet(b"\x14" + b"c" * 16 + offers + b"\0" * 5)
    noise = random.Random(5).randbytes(1 << 16)
    return [(CLIENT, b"SSH-2.0-OpenSSH_9.2\r\n"), (SERVER, b"SSH-2.0-OpenSSH_9.2\r\n"), (CLIENT, offers),
            (SERVER, offers), (CLIENT, packet(b"\x1e" + text(b"e" * 32))),
            (SERVER, packet(b"\x1f" + text(b"k" * 51) + text(b"f" * 32) + text(b"s" * 83)) + packet(b"\x15")),
            (CLIENT, packet(b"\x15"))] + [(SERVER, noise)] * (size >> 16)


def smtp(size, count):
    mail = b"Subject: a mail\r\n\r\n" + b"A line of it, as long as lines of mails are, more or less.\r\n" * (size // 60)
    return [(SERVER, b"220 mail.test ESMTP\r\n"), (CLIENT, b"EHLO here\r\n"),
            (SERVER, b"250-mail.test\r\n250 8BITMIME\r\n"),
            *[(CLIENT, b"MAIL FROM:<a@a.test>\r\n"), (SERVER, b"250 OK\r\n"), (CLIENT, b"RCPT TO:<b@b.test>\r\n"),
              (SERVER, b"250 OK\r\n"), (CLIENT, b"DATA\r\n"), (SERVER, b"354 go on\r\n"), *cut(CLIENT, mail + b".\r\n"),
              (SERVER, b"250 taken\r\n")] * count]


def telnet(count):
    answer = b"ls -l\r\n" + b"-rw-r--r-- 1 user user 12345 Nov 21 12:00 some-file\r\n" * 20 + b"$ "
    return [(SERVER, b"\xff\xfd\x18\xff\xfd\x1f"),
            (CLIENT, b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0"),
            *[(CLIENT, b"ls -l\r\n"), (SERVER, answer)] * count]


def lines(count):
    answer = b"a line of an answer to it\n" * 8 + b"> "
    return [(SERVER, b"> "), *[(CLIENT, b"list all of it\n"), (SERVER, answer)] * count]


# (what it is, the decoder as it is called, its pieces)
SESSIONS = [
    ("HTTP/1, 1 KiB bodies", "http1", lambda: http1(1024, 2000)),
    ("HTTP/1, 1 MiB bodies", "http1", lambda: http1(1 << 20, 16)),
    ("HTTP/2, 1 KiB bodies", "http2", lambda: http2(1024, 2000)),
    ("HTTP/2, 1 MiB bodies", "http2", lambda: http2(1 << 20, 16)),
    ("WebSocket, 40 bytes", "http1", lambda: websocket(40, 20000)),
    ("WebSocket, 1 MiB", "http1", lambda: websocket(1 << 20, 8)),
    ("TLS, 16 KiB records", "tls", lambda: tls(16 << 20)),
    ("SSH, encrypted", "ssh", lambda: ssh(16 << 20)),
    ("Redis, 100 bytes", "redis", lambda: redis(10000)),
    ("SMTP, 4 KiB mails", "smtp", lambda: smtp(4096, 1000)),
    ("telnet", "telnet", lambda: telnet(2000)),
    ("lines", "lines", lambda: lines(5000)),
]


def write(path, pieces):
    with open(path, "wb") as file:
        for side, data in pieces:
            file.write(struct.pack("<BI", side, len(data)) + data)
    return sum(len(data) for _, data in pieces)


def run(decoder, path, repeats):
    """(messages, bytes, seconds of CPU)"""
    done = subprocess.run(["taskset", "-c", "0", PROGRAM, decoder, path, str(repeats)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise BenchError(f"{decoder}: {done.stderr.strip()}")
    messages, size, nanoseconds = map(int, done.stdout.split())
    return messages, size, nanoseconds / 1e9


def measure(folder, settings):
    """{name: {"bytes_per_s": [...], "messages_per_s": [...], "over_libhtp": [...]}}, a value for each round"""
    files = {}
    for name, decoder, make in SESSIONS:
        path = os.path.join(folder, name.replace("/", "-"))
        files[name] = decoder, path, max(1, settings["bytes"] // write(path, make()))
    samples = {name: {"bytes_per_s": [], "messages_per_s": [], "over_libhtp": []} for name, _, _ in SESSIONS}
    for number in range(settings["rounds"]):
        for name in random.sample(sorted(files), len(files)):
            decoder, path, repeats = files[name]
            messages, size, seconds = run(decoder, path, repeats)
            own = samples[name]
            own["bytes_per_s"].append(size / seconds)
            own["messages_per_s"].append(messages / seconds)
            if name.startswith("HTTP/1"):
                theirs, _, their_seconds = run("libhtp", path, repeats)
                if theirs != messages:
                    raise BenchError(f"libhtp tells {theirs} messages, gogetway {messages}")
                own["over_libhtp"].append(their_seconds / seconds)
        print(f"round {number + 1} of {settings['rounds']}", file=sys.stderr)
    return samples


def show(samples):
    print("| one core | GB/s | messages/s | over libhtp |\n|---|---:|---:|---:|")
    for name, own in samples.items():
        ratio = ""
        if own["over_libhtp"]:
            least, most, _ = interval(own["over_libhtp"])
            ratio = f"{statistics.median(own['over_libhtp']):.2f} ({least:.2f} to {most:.2f})"
        print(f"| {name} | {statistics.median(own['bytes_per_s']) / 1e9:.2f} | "
              f"{statistics.median(own['messages_per_s']):,.0f} | {ratio} |")


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench decode", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of less: to try, not to quote")
    parser.add_argument("--json", metavar="FILE", help="write every round's figures there")
    options = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="gogetway-decode-") as folder:
        try:
            samples = measure(folder, QUICK if options.quick else FULL)
        except BenchError as error:
            print(f"decode: {error}", file=sys.stderr)
            return 1
    where = machine(TOP)
    print(f"{where['cpu']}, Linux {where['kernel']}; load average before {before:.1f}; medians\n")
    show(samples)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": where, "samples": samples}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
