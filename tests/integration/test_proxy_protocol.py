# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol v1 and v2, in from trusted networks and out to the upstream, by a reader and writer of our own."""
import shutil
import socket
import struct

import pytest

import faults
import processes
from gogetway import Stream
from recording import finish

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = ("192.0.2.7", 4711), ("198.51.100.1", 443)
CLIENT6, SERVER6 = ("2001:db8::7", 4711), ("2001:db8::1", 443)
TRUST = ["--trusted", "127.0.0.0/8"]


def v1(client=CLIENT, server=SERVER):
    family = "TCP6" if ":" in client[0] else "TCP4"
    return f"PROXY {family} {client[0]} {server[0]} {client[1]} {server[1]}\r\n".encode()


def v2(client=CLIENT, server=SERVER, command=1, more=b""):
    kind = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    body = socket.inet_pton(kind, client[0]) + socket.inet_pton(kind, server[0])
    body += struct.pack(">HH", client[1], server[1]) + more
    return SIGNATURE + bytes([0x20 | command, 0x21 if ":" in client[0] else 0x11]) + struct.pack(">H", len(body)) + body


def parse(data):
    """(client, server, bytes used) of either version; the address None for LOCAL and UNKNOWN."""
    if data.startswith(b"PROXY "):
        line, _, _ = data.partition(b"\r\n")
        words = line.decode().split(" ")
        if words[1] == "UNKNOWN":
            return None, None, len(line) + 2
        return (words[2], int(words[4])), (words[3], int(words[5])), len(line) + 2
    assert data.startswith(SIGNATURE), data[:16]
    assert data[12] >> 4 == 2
    length, = struct.unpack_from(">H", data, 14)
    if data[12] & 15 == 0:
        return None, None, 16 + length
    kind, size = (socket.AF_INET6, 16) if data[13] == 0x21 else (socket.AF_INET, 4)
    at = 16 + 2 * size
    ports = struct.unpack_from(">HH", data, at)
    return ((socket.inet_ntop(kind, data[16:16 + size]), ports[0]),
            (socket.inet_ntop(kind, data[16 + size:at]), ports[1]), 16 + length)


HEADERS = {"v1-4": v1(), "v1-6": v1(CLIENT6, SERVER6), "v2-4": v2(), "v2-6": v2(CLIENT6, SERVER6),
           "v2-tlv": v2(more=b"\x04\x00\x03abc"), "v2-long": v2(more=b"\xea\x03\xe8" + b"x" * 1000)}


@pytest.mark.parametrize("name,out", [*((name, "v2") for name in HEADERS), ("v1-4", "off"), ("v2-6", "off"),
                                      ("v1-6", "v1"), ("v2-4", "v1")])
def test_the_real_client_is_recorded_and_passed_on(gateways, name, out):
    """The header is taken off, the client of the header is the recorded one, and the upstream is told it."""
    header = HEADERS[name]
    client_address, server_address, used = parse(header)
    assert used == len(header)
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST,
                                                      "--proxy-protocol-out", out])
        with faults.connect(gateway.listen) as client:
            client.sendall(header + b"data at once")
            own = client.getsockname()
            with upstream.accept() as server:
                if out != "off":
                    told = faults.read_exactly(server, len(v1(client_address, server_address) if out == "v1"
                                                           else v2(client_address, server_address)))
                    assert parse(told) == (client_address, server_address, len(told))
                assert faults.read_exactly(server, 12) == b"data at once"
                server.sendall(b"reply")
                assert faults.read_exactly(client, 5) == b"reply"
    session, = finish(gateway, tshark=True)
    assert session.client == processes.address(*client_address) and session["server"] == processes.address(
        *server_address)
    assert gateway.payload(session.id, "client") == b"data at once"
    facts = gateway.segments()[0].read_bytes()
    assert processes.address(*own).encode() in facts, "the address of who connected is not in the facts"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f...f 1 2\r\n", v2(command=0)])
def test_a_header_without_an_address_leaves_the_connections_own(gateways, header):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST,
                                                      "--proxy-protocol-out", "v2"])
        with faults.connect(gateway.listen) as client:
            client.sendall(header + b"x")
            own = client.getsockname()
            with upstream.accept() as server:
                told = faults.read_exactly(server, len(v2()))
                assert parse(told)[0] == own
                assert server.recv(1) == b"x"
    session, = finish(gateway)
    assert session.client == processes.address(*own)


@pytest.mark.parametrize("version,header", [("v1", v1()), ("v2", v2()), ("any", v1()), ("any", v2())])
def test_a_header_byte_by_byte(gateways, version, header):
    """However slowly it comes (within the time), the header is whole before the upstream is connected."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", version, *TRUST])
        with faults.connect(gateway.listen) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header + b"!":
                client.sendall(bytes([byte]))
            with upstream.accept() as server:
                assert server.recv(1) == b"!"
    session, = finish(gateway)
    assert session.client == processes.address(*CLIENT)
    assert session.received("client") == 1


@pytest.mark.parametrize("header", [v1(), v2()])
def test_the_header_of_somebody_untrusted_is_data(gateways, header):
    """It is recorded and passed on as what it is, and the connection's own address stays."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", "--trusted", "10.0.0.0/8"])
        with faults.connect(gateway.listen) as client:
            client.sendall(header + b"data")
            own = client.getsockname()
            with upstream.accept() as server:
                assert faults.read_exactly(server, len(header) + 4) == header + b"data"
    session, = finish(gateway)
    assert session.client == processes.address(*own)
    assert gateway.payload(session.id, "client") == header + b"data"


BAD = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "v1-no-end": b"PROXY TCP4 " + b"1" * 107,
    "v1-bad-address": b"PROXY TCP4 300.0.0.1 1.2.3.4 1 2\r\n",
    "v1-bad-port": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    "v1-mixed": b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    "v2-version": SIGNATURE + b"\x31\x11\x00\x0c" + b"x" * 12,
    "v2-command": SIGNATURE + b"\x22\x11\x00\x0c" + b"x" * 12,
    "v2-short": SIGNATURE + b"\x21\x11\x00\x04" + b"x" * 4,
    "v2-oversized": SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 65535,
}


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_header_ends_the_session(gateways, name):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST])
        assert faults.attempt(gateway.listen, BAD[name])[0] == b""
        faults.wait_metric(gateway, "proxy_headers_invalid", 1)
        upstream.listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            upstream.listener.accept()
    session, = finish(gateway)
    assert session["close"] == "proxy-invalid" and session.forwarded("client") == 0
    assert BAD[name].startswith(gateway.payload(session.id, "client"))


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 1", v2()[:20]])
def test_a_header_that_does_not_come_in_time(gateways, begun):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST,
                                                      "--timeouts-proxy-header", "300ms"])
        assert faults.attempt(gateway.listen, begun)[0] == b""
        faults.wait_metric(gateway, "proxy_headers_invalid", 1)
    session, = finish(gateway)
    assert session["close"] == "proxy-invalid"


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 1", v2()[:20]])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_leaves_in_its_header(gateways, begun, how):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST])
        client = faults.connect(gateway.listen)
        client.sendall(begun)
        faults.wait_metric(gateway, "sessions_open", 1)
        if how == "reset":
            faults.reset(client)
        else:
            client.close()
        faults.wait_metric(gateway, "sessions_closed", 1, seconds=3)
    session, = finish(gateway)
    assert session["close"] in ("proxy-invalid", "client-reset")


def test_only_the_accepted_version_passes(gateways):
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "v2", *TRUST])
        assert faults.attempt(gateway.listen, v1() + b"x")[0] == b""
        faults.wait_metric(gateway, "proxy_headers_invalid", 1)


def test_slow_headers_hold_up_nobody(gateways):
    """Two hundred clients stop within their headers; an honest one is served meanwhile."""
    with faults.Upstream() as upstream:
        gateway = gateways(upstream.address, options=["--proxy-protocol-in", "any", *TRUST, "--workers", 1,
                                                      "--timeouts-proxy-header", "60s"])
        slow = [faults.connect(gateway.listen) for _ in range(200)]
        for number, client in enumerate(slow):
            client.sendall(v2()[:number % 28])
        with faults.connect(gateway.listen) as client:
            client.sendall(v1() + b"served")
            with upstream.accept() as server:
                assert faults.read_exactly(server, 6) == b"served"
        for client in slow:
            client.close()
        faults.wait_metric(gateway, "sessions_closed", 201)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
def test_haproxy_in_front_and_behind(gateways, scratch, send):
    """A real sender and a real receiver: haproxy, us, haproxy; the last one writes the client's address into HTTP."""
    front, back = (processes.address("127.0.0.1", processes.free_port()) for _ in range(2))
    with faults.Upstream() as upstream:
        gateway = gateways(back, options=["--proxy-protocol-in", "any", *TRUST, "--proxy-protocol-out",
                                          "v2" if send.endswith("v2") else "v1"])
        config = scratch / "haproxy.cfg"
        config.write_text(f"""
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen front
  mode tcp
  bind {front}
  server gateway {gateway.listen} {send}
listen back
  mode http
  bind {back} accept-proxy
  http-request set-header X-Client %[src]:%[src_port]
  server last {upstream.address}
""")
        with processes.Process(["haproxy", "-db", "-f", config], scratch) as proxy:
            proxy.wait_listening(front)
            proxy.wait_listening(back)
            with faults.connect(front) as client:
                own = client.getsockname()
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                with upstream.accept() as server:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += server.recv(4096)
                    assert f"x-client: {own[0]}:{own[1]}".encode() in request.lower()
                    server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    assert faults.read_to_end(client)[0].endswith(b"ok")
    session, = finish(gateway)
    assert session.client == processes.address(*own)
    assert gateway.payloads()[session.id]["client"].count > 0 and isinstance(session["duration_ns"], int)
    assert Stream.of_bytes(gateway.payload(session.id, "client")).count == session.received("client")
