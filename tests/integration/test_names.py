# SPDX-License-Identifier: Apache-2.0
"""Names of upstreams while the sandbox is on: asked of a DNS server by UDP and TCP, of nscd, of /etc/hosts; and what
happens when a file that libc needs for it is taken away. Each test has a network and an /etc of its own, so that what
libc does here is what it does at an operator's."""
import contextlib
import os

import pytest

import faults
import names
import namespaces
import processes
from gogetway import Gateway, tool
from test_sandbox import is_instrumented

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(is_instrumented(), reason="the sandbox is left open in such a build")]

RENEWAL = ["--resolve-interval", "1s"]
DNS_HERE = "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"
PORT = 8080


@contextlib.contextmanager
def upstreams(*addresses):
    """An echo at each of these addresses; they count the sessions that have ended."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(faults.Echo(processes.address(ip, PORT))) for ip in addresses]


@contextlib.contextmanager
def gateway_to(name, scratch, **more):
    with Gateway(scratch / "rec", f"{name}:{PORT}", scratch=scratch, options=RENEWAL, **more) as gateway:
        told, = faults.events(gateway, "sandbox")
        assert told["calls"] and told["files"]
        yield gateway
        assert gateway.stop()[0] == 0
        assert "not permitted" not in gateway.process.errors()


def visit(gateway):
    with faults.connect(gateway.listen) as client:
        client.sendall(b"hello")
        assert faults.read_exactly(client, 5) == b"hello"


def reaches(gateway, upstream):
    """Whether a session goes there, and nowhere else."""
    before = upstream.served
    visit(gateway)
    with contextlib.suppress(processes.DeadlineExceeded):
        return processes.wait_until(lambda: upstream.served > before, 1, "the session")
    return False


def addresses_told(gateway):
    return [(line["address"].split(":")[0], line["addresses"]) for line in faults.events(gateway, "name resolved")]


@namespaces.own
def test_a_name_is_asked_for_by_datagrams(scratch):
    namespaces.own_etc(scratch / "etc", resolv_conf=DNS_HERE)
    with names.Dns({"gate.test": ["127.0.0.2"]}) as dns, upstreams("127.0.0.2", "127.0.0.3") as (first, second):
        with gateway_to("gate.test", scratch) as gateway:
            assert reaches(gateway, first)
            asked = dns.count("udp", "gate.test")
            assert asked >= 2  # for either family
            processes.wait_until(lambda: dns.count("udp", "gate.test") > asked, 10, "another question")
            dns.hosts["gate.test"] = ["127.0.0.3"]
            processes.wait_until(lambda: len(addresses_told(gateway)) == 2, 10, "the new address")
            assert addresses_told(gateway) == [("127.0.0.2", 1), ("127.0.0.3", 1)]
            assert reaches(gateway, second) and not reaches(gateway, first)
            assert dns.count("tcp", "gate.test") == 0
            del dns.hosts["gate.test"]
            faults.wait_event(gateway, "name no longer resolves")
            assert reaches(gateway, second)


@namespaces.own
def test_a_truncated_answer_is_asked_for_by_tcp(scratch):
    """Forty addresses are too much for a datagram; of those a name has sixteen, the lowest."""
    namespaces.own_etc(scratch / "etc", resolv_conf=DNS_HERE)
    many = [f"127.0.1.{number}" for number in range(1, 41)]
    with names.Dns({"many.test": many}) as dns, contextlib.ExitStack() as stack:
        with gateway_to("many.test", scratch) as gateway:
            (address, count), = addresses_told(gateway)
            assert count == 16 and address in many
            assert dns.count("udp", "many.test") >= 1 and dns.count("tcp", "many.test") >= 1
            stack.enter_context(faults.Echo(processes.address("0.0.0.0", PORT)))
            for _ in range(16):
                visit(gateway)
            used = {session["upstream"] for session in finished(gateway, 16)}
            assert len(used) == 16 and {server.split(":")[0] for server in used} <= set(many)


def finished(gateway, count):
    gateway.wait_sessions_closed(count)
    return gateway.sessions()


@namespaces.own
def test_a_server_that_is_silent_is_followed_by_the_next(scratch):
    namespaces.own_etc(scratch / "etc", resolv_conf="nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1\n"
                                                    "search gate.test\n")
    with names.Dns({"one.gate.test": ["127.0.0.2"]}) as dns, upstreams("127.0.0.2") as (upstream,):
        with contextlib.closing(names.silent(("127.0.0.9", 53))), gateway_to("one", scratch) as gateway:
            faults.wait_event(gateway, "name resolved")
            assert reaches(gateway, upstream) and dns.count("udp", "one.gate.test") >= 1


@namespaces.own
def test_a_local_daemon_is_asked(scratch):
    """nscd's socket, and its protocol: as systemd-resolved's it is a unix socket that libc connects to."""
    namespaces.own_etc(scratch / "etc", resolv_conf="nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    with names.Nscd(namespaces.own_run(), "127.0.0.2") as nscd, upstreams("127.0.0.2") as (upstream,):
        with gateway_to("gate.test", scratch) as gateway:
            assert reaches(gateway, upstream)
            asked = len(nscd.asked)
            processes.wait_until(lambda: len(nscd.asked) > asked, 10, "another question")
            assert set(nscd.asked) == {"gate.test"} and addresses_told(gateway) == [("127.0.0.2", 1)]


@namespaces.own
def test_a_module_of_libc_is_loaded_before_the_sandbox_closes(scratch):
    """Afterwards nothing can be executed any more that was not before, be it code of libc's."""
    place = os.path.dirname(tool("libnss_gogetway.so.2"))
    namespaces.own_etc(scratch / "etc", nsswitch_conf="hosts: gogetway [NOTFOUND=return] dns\n", resolv_conf=DNS_HERE)
    with names.Dns({"module.test": ["127.0.0.3"]}) as dns, upstreams("127.0.0.2") as (upstream,):
        with gateway_to("module.test", scratch, env={"LD_LIBRARY_PATH": place}) as gateway:
            assert addresses_told(gateway) == [("127.0.0.2", 1)]
            assert reaches(gateway, upstream) and not dns.asked


@namespaces.own
def test_hosts_are_read_again(scratch):
    etc = namespaces.own_etc(scratch / "etc", hosts="127.0.0.2 gate.test\n", nsswitch_conf="hosts: files\n")
    with upstreams("127.0.0.2", "127.0.0.3") as (first, second), gateway_to("gate.test", scratch) as gateway:
        assert reaches(gateway, first)
        (etc / "hosts").write_text("127.0.0.3 gate.test\n")  # in place
        processes.wait_until(lambda: len(addresses_told(gateway)) == 2, 10, "the new address")
        assert reaches(gateway, second)


def replace(file, text):
    """As editors, DHCP clients and configuration management do: by another file under the name."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


@namespaces.own
def test_a_file_of_hosts_that_is_replaced_is_told_of(scratch):
    """Without the file, which the sandbox refuses, libc would ask the server, and get something else."""
    etc = namespaces.own_etc(scratch / "etc", hosts="127.0.0.2 gate.test\n", resolv_conf=DNS_HERE)
    with names.Dns({"gate.test": ["127.0.0.3"]}) as dns, upstreams("127.0.0.2", "127.0.0.3") as (first, second):
        with gateway_to("gate.test", scratch) as gateway:
            assert reaches(gateway, first)
            replace(etc / "hosts", "127.0.0.2 gate.test\n")
            warning = faults.wait_event(gateway, "name no longer resolves")
            assert "/etc/hosts" in warning["error"] and "restart" in warning["error"]
            assert reaches(gateway, first) and second.served == 0 and not dns.asked


@namespaces.own
@pytest.mark.parametrize("file", ("gai.conf", "host.conf"))
def test_a_file_that_is_made_later_changes_nothing(scratch, file):
    """The sandbox refuses it: to libc it is as missing as it was."""
    etc = namespaces.own_etc(scratch / "etc", hosts="127.0.0.2 gate.test\n", nsswitch_conf="hosts: files\n")
    with upstreams("127.0.0.2", "127.0.0.3") as (first, second), gateway_to("gate.test", scratch) as gateway:
        assert reaches(gateway, first)
        (etc / file).write_text("# made later\n")
        (etc / "hosts").write_text("127.0.0.3 gate.test\n")
        processes.wait_until(lambda: len(addresses_told(gateway)) == 2, 10, "the new address")
        assert reaches(gateway, second) and not faults.events(gateway, "name no longer resolves")


@namespaces.own
def test_a_list_of_servers_that_is_replaced_is_told_of(scratch):
    """Without the file libc would ask 127.0.0.1, whoever that is."""
    etc = namespaces.own_etc(scratch / "etc", resolv_conf="nameserver 127.0.0.5\n")
    with names.Dns({"gate.test": ["127.0.0.2"]}, ("127.0.0.5", 53)), names.Dns({"gate.test": ["127.0.0.3"]}) as other:
        with upstreams("127.0.0.2", "127.0.0.3") as (first, second), gateway_to("gate.test", scratch) as gateway:
            assert reaches(gateway, first)
            replace(etc / "resolv.conf", "nameserver 127.0.0.5\n")
            warning = faults.wait_event(gateway, "name no longer resolves")
            assert "/etc/resolv.conf" in warning["error"]
            assert reaches(gateway, first) and second.served == 0 and not other.asked


@namespaces.own
def test_a_link_to_a_list_of_servers_may_be_replaced(scratch):
    """As systemd-resolved and NetworkManager do it: /etc/resolv.conf leads to a file in /run."""
    etc, run = namespaces.own_etc(scratch / "etc"), namespaces.own_run()
    (run / "resolve").mkdir()
    replace(run / "resolve/resolv.conf", "nameserver 127.0.0.5\n")
    (etc / "resolv.conf").symlink_to(run / "resolve/resolv.conf")
    with names.Dns({"gate.test": ["127.0.0.2"]}, ("127.0.0.5", 53)), names.Dns({"gate.test": ["127.0.0.3"]}):
        with upstreams("127.0.0.2", "127.0.0.3") as (first, second), gateway_to("gate.test", scratch) as gateway:
            assert reaches(gateway, first)
            replace(run / "resolve/resolv.conf", "nameserver 127.0.0.1\n")
            processes.wait_until(lambda: len(addresses_told(gateway)) == 2, 10, "the new address")
            assert reaches(gateway, second)
