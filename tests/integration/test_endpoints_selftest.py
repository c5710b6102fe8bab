# SPDX-License-Identifier: Apache-2.0
"""Tests of the tests: the generator and the checks must pass without a gateway, and must see every fault on purpose."""
import json
import pathlib
import sys

import pytest

import endpoints
import processes
import relay

HERE = pathlib.Path(__file__).resolve().parent


def run(scratch, connect, listen, seed=11, sessions=150, **options):
    return endpoints.Endpoints(scratch, seed, sessions, connect, listen, **options).start().finish(90)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "unix"])
def test_without_anything_between(scratch, host):
    where = f"unix:{scratch}/s" if host == "unix" else processes.address(host, processes.free_port(host))
    options = {"reset_percent": 0, "urgent_percent": 0} if host == "unix" else {}
    result = run(scratch, where, where, sessions=400, deadline=60, unique_source=True, **options)
    problems = endpoints.check_endpoints(result)
    assert not problems, endpoints.show(problems)
    assert len(result.sessions) == 400 and result.summary["accepted"] == 400


def test_every_kind_of_session_is_among_them(scratch):
    where = processes.address("127.0.0.1", processes.free_port())
    result = run(scratch, where, where, sessions=2000, bytes_max=65536, slow_percent=0)
    kinds = {(session["order"], session["ending"]) for session in result.sessions if session["zero"] == "no"}
    assert len(kinds) == 15, kinds
    assert {session["zero"] for session in result.sessions} == {"no", "close", "half_close", "reset"}
    assert sum(session["urgent"] for session in result.sessions) > 100
    sides = {session["ending_side"] for session in result.sessions if session["ending"] == "reset"}
    assert sides == {"client", "server"}


def test_the_same_seed_gives_the_same_sessions(scratch):
    where = processes.address("127.0.0.1", processes.free_port())
    first = run(scratch, where, where, seed=5, reset_percent=0)
    again = run(scratch, where, where, seed=5, reset_percent=0)
    other = run(scratch, where, where, seed=6, reset_percent=0)

    def hashes(result):
        return [session["client"]["sent_sha256"] for session in result.sessions]
    assert hashes(first) == hashes(again)
    assert hashes(first) != hashes(other)


def test_stream_and_verify_agree_with_what_was_sent(scratch, endpoints_tool):
    where = processes.address("127.0.0.1", processes.free_port())
    result = run(scratch, where, where, seed=3, sessions=20, reset_percent=0, zero_percent=0)
    session = max(result.sessions, key=lambda one: one["server_bytes"])
    index = session["index"]
    data = processes.run([endpoints_tool, "stream", "--seed", 3, "--index", index, "--side", "server",
                          "--reset-percent", 0, "--zero-percent", 0]).stdout
    assert len(data) == session["server"]["sent"] > 1000
    good, cut, wrong, moved = (scratch / name for name in ("good", "cut", "wrong", "moved"))
    good.write_bytes(data)
    cut.write_bytes(data[:777])
    wrong.write_bytes(data[:500] + bytes([data[500] ^ 0x80]) + data[501:])
    moved.write_bytes(data[1:])
    lines = endpoints.verify_prefixes(3, [(index, "server", path) for path in (good, cut, wrong, moved)])
    assert [line["first_difference"] for line in lines] == [None, None, 500, 0]
    assert lines[0]["sha256"] == session["server"]["sent_sha256"] == session["client"]["received_sha256"]
    part = processes.run([endpoints_tool, "stream", "--seed", 3, "--index", index, "--side", "server", "--offset", 333,
                          "--bytes", 99]).stdout
    assert part == data[333:432]


def through_relay(scratch, fault, deadline=10, every=False, **options):
    listen = processes.address("127.0.0.1", processes.free_port())
    upstream = processes.address("127.0.0.1", processes.free_port())
    command = ["/usr/bin/python3", HERE / "relay.py", listen, upstream, fault, "0" if every else "10"]
    with processes.Process(command, scratch, name="relay") as plain:
        plain.wait_listening(listen)
        return run(scratch, listen, upstream, deadline=deadline, unique_source=True, **options)


def test_a_plain_relay_passes(scratch):
    result = through_relay(scratch, "none")
    problems = endpoints.check_endpoints(result)
    assert not problems, endpoints.show(problems)


@pytest.mark.parametrize("fault", [fault for fault in relay.FAULTS if fault not in ("none", "reset-to-close")])
def test_a_relay_that_does_wrong_is_found_out(scratch, fault):
    result = through_relay(scratch, fault, sessions=30, reset_percent=0, zero_percent=0, slow_percent=0,
                           concurrency=4, deadline=3)
    problems = endpoints.check_endpoints(result)
    assert problems, f"{fault}: not noticed"
    damaged = {problem.split()[1] for problem in problems if problem.startswith("session ")}
    assert len(damaged) <= 1, f"one session was damaged, {damaged} were blamed"


def test_a_reset_that_became_a_close_is_found_out(scratch):
    result = through_relay(scratch, "reset-to-close", sessions=60, reset_percent=100, zero_percent=0, slow_percent=0,
                           concurrency=1, every=True, deadline=3)
    assert any("came as an end of stream" in problem for problem in endpoints.check_endpoints(result))


def test_a_wrong_command_line_is_refused(endpoints_tool):
    for words in ([], ["run"], ["run", "--connect", "nonsense"], ["run", "--bogus"], ["fly"]):
        assert processes.run([endpoints_tool, *words], check=False).returncode == 2, words


def test_nobody_listening_is_a_failed_connect(scratch):
    where = processes.address("127.0.0.1", processes.free_port())
    command = [endpoints.gogetway.tool("endpoints"), "run", "--connect", where, "--sessions", 3]
    process = processes.Process(command, scratch)
    assert process.wait(20) == 0
    lines = [json.loads(line) for line in process.output().splitlines()]
    assert [line["client"]["end"] for line in lines[:-1]] == ["connect_failed"] * 3


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
