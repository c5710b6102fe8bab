# SPDX-License-Identifier: Apache-2.0
"""Floods that never come as far as accept: the kernel fends them off and counts them, and the gateway's metrics are the
kernel's numbers. In a network of its own, which has counters and sysctls of its own."""
import contextlib
import os
import signal
import socket
import struct
import subprocess

import pytest

import faults
import namespaces
import processes
import prometheus
from gogetway import Gateway

pytestmark = pytest.mark.usefixtures("require_program")

NOWHERE = "10.9.0.0/24"  # addresses that take whatever is sent to them, and never answer
SYN, ACK = 0x02, 0x10
QUEUE = 8  # most half-open and most unaccepted connections of a socket
COUNTERS = {
    "kernel_listen_overflows": "ListenOverflows", "kernel_listen_drops": "ListenDrops",
    "kernel_syn_queue_full_cookies": "TCPReqQFullDoCookies", "kernel_syn_queue_full_drops": "TCPReqQFullDrop",
    "kernel_syncookies_sent": "SyncookiesSent", "kernel_syncookies_received": "SyncookiesRecv",
    "kernel_syncookies_failed": "SyncookiesFailed",
}


def kernels():
    """What this network's /proc/net/netstat says, by the metrics' names."""
    with open("/proc/net/netstat") as file:
        names, numbers = [line.split()[1:] for line in file if line.startswith("TcpExt:")]
    found = dict(zip(names, map(int, numbers)))
    return {metric: found[field] for metric, field in COUNTERS.items()}


def told(gateway):
    metrics = gateway.stats()["metrics"]
    return {name: metrics[name] for name in COUNTERS}


def told_to_prometheus(gateway):
    text = gateway.command("stats", "--format", "prometheus").stdout.decode()
    families = prometheus.parse(text)
    return {name: families[f"gogetway_{name}_total"].samples["", ()] for name in COUNTERS}


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source, target, flags, sequence, acknowledged=0):
    """A bare TCP segment in its IP packet; each address is (ip, port)."""
    ips = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    tcp = struct.pack(">HHIIBBHHH", source[1], target[1], sequence, acknowledged, 5 << 4, flags, 65535, 0, 0)
    summed = checksum(ips + struct.pack(">BBH", 0, socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack(">H", summed) + tcp[18:]
    return struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0) + ips + tcp


class Flood:
    """Sends segments to a listener from addresses that do not exist."""

    def __init__(self, address):
        subprocess.run(["ip", "route", "add", NOWHERE, "dev", "lo"], check=True)
        self.target = faults.host_port(address)
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.sent = 0

    def send(self, count, flags=SYN, acknowledged=0):
        for _ in range(count):
            self.sent += 1
            source = (f"10.9.0.{self.sent % 250 + 1}", 1024 + self.sent % 60000)
            self.raw.sendto(segment(source, self.target, flags, self.sent, acknowledged), (self.target[0], 0))


@contextlib.contextmanager
def flooded(scratch):
    """A gateway before an echo, with short queues, its flood, and an honest client's visit."""
    namespaces.set_kernel("net.core.somaxconn", QUEUE)
    with faults.Echo() as upstream, Gateway(scratch / "rec", upstream.address, scratch=scratch,
                                            options=["--workers", 1]) as gateway:
        assert told(gateway) == kernels() == dict.fromkeys(COUNTERS, 0)

        def visit():
            with faults.connect(gateway.listen) as client:
                client.sendall(b"hello")
                assert faults.read_exactly(client, 5) == b"hello"
        yield gateway, Flood(gateway.listen), visit
        assert gateway.stop()[0] == 0


def grown(before, gateway):
    """What the metrics have grown by; they are the kernel's, in every form."""
    now = kernels()
    assert told(gateway) == now == told_to_prometheus(gateway)
    return {name: now[name] - before[name] for name in COUNTERS if now[name] != before[name]}


@namespaces.own
def test_a_flood_that_cookies_answer(scratch):
    """When the queue of half-open connections is full, SYNs are answered by cookies, and who is honest is served."""
    namespaces.set_kernel("net.ipv4.tcp_syncookies", 1)
    with flooded(scratch) as (gateway, flood, visit):
        before = kernels()
        flood.send(500)
        more = grown(before, gateway)
        assert more["kernel_syncookies_sent"] == more["kernel_syn_queue_full_cookies"] >= 500 - 2 * QUEUE
        assert set(more) == {"kernel_syncookies_sent", "kernel_syn_queue_full_cookies"}
        flood.send(100)  # those of before may be gone by now
        before = kernels()
        for _ in range(20):
            visit()
        assert grown(before, gateway)["kernel_syncookies_received"] == 20
        before = kernels()
        flood.send(30, ACK, 4711)  # cookies that nobody baked
        assert grown(before, gateway) == {"kernel_syncookies_failed": 30}
        assert faults.metric(gateway, "sessions_closed") == 20


@namespaces.own
def test_cookies_for_everybody(scratch):
    namespaces.set_kernel("net.ipv4.tcp_syncookies", 2)
    with flooded(scratch) as (gateway, _, visit):
        before = kernels()
        for _ in range(7):
            visit()
        more = grown(before, gateway)  # the gateway's own connects to the upstream are of this network, too
        assert more["kernel_syncookies_sent"] == more["kernel_syncookies_received"] == 14


@namespaces.own
def test_a_flood_without_cookies(scratch):
    namespaces.set_kernel("net.ipv4.tcp_syncookies", 0)
    with flooded(scratch) as (gateway, flood, visit):
        visit()
        before = kernels()
        flood.send(300)
        more = grown(before, gateway)
        assert more["kernel_syn_queue_full_drops"] == more["kernel_listen_drops"] >= 300 - 2 * QUEUE
        assert set(more) == {"kernel_syn_queue_full_drops", "kernel_listen_drops"}


@namespaces.own
def test_handshakes_that_find_the_queue_full(scratch):
    """The gateway stands still: the queue fills with clients whose handshake is complete. They are served when it goes
    on; the others' handshakes are counted."""
    namespaces.set_kernel("net.ipv4.tcp_syncookies", 1)
    with flooded(scratch) as (gateway, _, visit):
        before = kernels()
        os.kill(gateway.process.pid, signal.SIGSTOP)
        clients = []
        try:
            for _ in range(4 * QUEUE):
                clients.append(socket.socket())
                clients[-1].setblocking(False)
                clients[-1].connect_ex(faults.host_port(gateway.listen))
            processes.wait_until(lambda: kernels()["kernel_listen_overflows"] > before["kernel_listen_overflows"], 20,
                                 "a handshake too many")
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
        clients[0].settimeout(20)
        clients[0].sendall(b"hello")
        assert faults.read_exactly(clients[0], 5) == b"hello"
        for client in clients:
            faults.reset(client)
        processes.wait_until(lambda: faults.metric(gateway, "sessions_open") == 0, 20, "all sessions ended")
        more = grown(before, gateway)
        assert more["kernel_listen_drops"] >= more["kernel_listen_overflows"] >= 1
        visit()
