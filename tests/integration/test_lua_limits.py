# SPDX-License-Identifier: Apache-2.0
"""What a script in Lua may do wrong: errors, loops and memory, in each function, and ways around the limits."""
import contextlib
import re
import socket
import time

import pytest

import processes
import recording
from faults import connect, read_to_end
from live import said
from scripting import LIBRARY

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason="built without Lua")

# Each function, in which `trouble` is put.
EVERY = """
    function accept(arrival) if trouble("accept") then %(body)s end end
    function open(session)
      session:want("client", "gate"); session:want("server", trouble("rewrite") and "rewrite" or "count")
      if trouble("open") then %(body)s end
      return {hold_first_bytes = 1, hold_first_seconds = 2}
    end
    function first(session, bytes) if trouble("first") then %(body)s end end
    function connect(session, name, address) if trouble("connect") then %(body)s end end
    function connected(session, name) if trouble("connected") then %(body)s end end
    function failed(session, name, reason) if trouble("failed") then %(body)s end end
    function count(session, from, n) if trouble("count") then %(body)s end end
    function gate(session, data) if trouble("gate") then %(body)s end end
    function rewrite(session, data) if trouble("rewrite") then %(body)s end end
    function close(session, summary) if trouble("close") then %(body)s end end
    tick_interval = 0.1
    function tick() if trouble("tick") then %(body)s end end
    function trouble(name) return name == "%(name)s" end
    """
FUNCTIONS = ["accept", "open", "first", "connect", "connected", "failed", "count", "gate", "rewrite", "close", "tick"]
BODIES = {
    "error": ('error("on purpose")', "on purpose"),
    "loop": ("while true do end", "more than 200000 instructions in one call"),
    "loop that catches": ("while true do pcall(function() while true do end end) end", "more than 200000 instructions"),
    "memory": ('local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(10000) .. i end', "not enough memory"),
}


@pytest.mark.parametrize("on_error", ["pass", "close"])
@pytest.mark.parametrize("body", ["error", "loop", "memory"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_trouble_in_each_function(scripted, server, function, body, on_error):
    """It is told and counted; the session passes, or is closed; the next client is served."""
    text, told = BODIES[body]
    dead = processes.free_address()
    script = scripted([f"{dead} name=dead", f"{server.address} name=one"] if function == "failed" else server.address,
                      EVERY % {"name": function, "body": text}, on_error=on_error, memory_max="1MiB",
                      instructions_max=200_000 if body != "memory" else 100_000_000,
                      more={"health_failures": 0} if function == "failed" else {})
    closes = on_error == "close" and function not in ("close", "tick")
    for _ in range(2):
        if closes:
            with contextlib.suppress(OSError), connect(script.address) as peer:
                peer.sendall(b"hello")
                if function == "failed":
                    peer.shutdown(socket.SHUT_WR)  # one of the two finds the other upstream first
                data, _ = read_to_end(peer)
                assert function in ("count", "failed") or data == b""
        else:
            said(script.address, b"hello")
    script.wait_errors(function)
    lines = script.wait(told)
    pattern = rf"{function}: \S*mine\.lua:\d+: .*{re.escape(told)}"
    assert any(re.search(pattern, line) for line in lines), lines
    if closes and function not in ("accept", "failed"):
        script.process.stop()
        facts = [fact for fact in recording.comments(script.gateway.segments()) if "verdict" in fact]
        assert len(facts) == 2
        assert {fact["verdict"]["reason"] for fact in facts} == {"lua error"}


@pytest.mark.parametrize("body", [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function f() pcall(f) while true do end end f()",
    "return pcall(function() while true do end end)",
    "for i = 1, 100 do pcall(error) end return select(2, pcall(function() while true do end end)) and nil",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "while true do pcall(coroutine.wrap(function() for i = 1, 900 do end end)) end",
    "local c = coroutine.create(function() while true do coroutine.yield() end end) "
    "while true do coroutine.resume(c) end",
    "local t <close> = setmetatable({}, {__close = function() while true do end end}) error('x')",
    "xpcall(error, function() while true do end end) while true do end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "while true do xpcall(error, error) end",
    "error(setmetatable({}, {__tostring = function() while true do end end}))",
    "while true do local s = ('x'):rep(500000) end",
    "local s = (''):rep(1 << 60)",
    "while true do collectgarbage() end",
    "while true do gg.sessions() end",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
    "table.sort({3, 2, 1, 4, 5}, function() while true do end end)",
    "return string.gsub(('x'):rep(100), 'x', function() while true do end end)",
])
def test_no_way_around_the_limits(scripted, server, body):
    """Whatever a function does, it returns soon, and the next client of this worker finds it in order."""
    script = scripted(server.address, "calls = 0 function open(session) calls = calls + 1 "
                      "if calls ~= 2 then %s end end" % body,
                      instructions_max=300_000, memory_max="1MiB", options={"workers": 1})
    for _ in range(3):
        begun = time.monotonic()
        said(script.address)
        assert time.monotonic() - begun < 10
    assert script.errors().get("open", 0) == (0 if "rep(1 <<" in body else 2)
    assert script.process.running()


def test_memory_that_is_let_go_can_be_had_again(scripted, server):
    script = scripted(server.address, """
        function open(session)
          local good, why = pcall(function() return ("x"):rep(1 << 20) end)
          gg.log("info", tostring(good) .. " " .. tostring(why))
        end
        function close() collectgarbage() end""", memory_max="512KiB")
    said(script.address)
    script.wait("false not enough memory")
    (_, _, used, peak), *_ = script.states()
    assert used < peak <= 512 * 1024
