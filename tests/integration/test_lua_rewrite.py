# SPDX-License-Identifier: Apache-2.0
"""Scripts in Lua that say what goes on instead of what came, seen from both ends and in the recording."""
import contextlib
import random
import re
import socket
import threading

import pytest

import recording
from faults import Upstream, connect, read_exactly, read_to_end
from gogetway import ROOT
from live import said
from scripting import LIBRARY

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason="built without Lua")

REWRITE = """
    function open(session) assert(session:want("%s", "rewrite")) end
    function rewrite(session, data)
      local seen = session.state[data.from] or 0
      assert(data.offset == seen and data.kept == 0 and not data.due)
      session.state[data.from] = seen + #data.bytes
      if data.ended then assert(#data.bytes == 0) gg.log("info", "ended " .. data.from) end
      %s
    end"""


@contextlib.contextmanager
def session(script, upstream):
    with connect(script.address) as client, upstream.accept() as server:
        yield client, server


def end(script):
    """The bytes of one session as they came and as they were sent (None: nothing was), and its closing facts."""
    if script.process.running():
        assert script.process.stop() == 0
    gateway = script.gateway
    gateway.verify()
    came, = [one for one in gateway.sessions() if "as_sent_of" not in one]
    sent = [one for one in gateway.sessions() if "as_sent_of" in one]
    facts, = [fact for fact in recording.comments(gateway.segments()) if "close" in fact and "as_sent_of" not in fact]

    def both(one):
        return {side: gateway.payload(one.id, side) for side in ("client", "server")}
    return both(came), both(sent[0]) if sent else None, facts


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("text, gets", [
    ("", b"hello"),
    ("return nil", b"hello"),
    ('return ""', b""),
    ("return {}", b""),
    ("return data.bytes:upper()", b"HELLO"),
    ('return data.ended and "!" or "h"', b"h!"),
    ('return {"<", data.bytes, "", "\\0>"}', b"<hello\0><\0>"),
])
def test_what_goes_on(scripted, text, gets, sync):
    """Both are recorded. `sync: always` refuses plug-ins with a mask, so it must go with a script."""
    with Upstream() as upstream:
        script = scripted(upstream.address, REWRITE % ("client", text), options={"sync": {"mode": sync}})
        with session(script, upstream) as (client, server):
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(server) == (gets, False)
            server.sendall(b"well")
            server.close()
            assert read_to_end(client) == (b"well", False)
        script.wait("ended client")
        assert script.errors() == {"total": 0}
        came, sent, facts = end(script)
        assert came == {"client": b"hello", "server": b"well"}
        assert sent == ({"client": gets, "server": b""} if gets else None)
        assert facts["forwarded"] == {"client": len(gets), "server": 4}


def test_a_bulk_both_ways(scripted, server):
    """Each piece becomes two of its size, in order, on the way to the echo and back."""
    script = scripted(server.address, REWRITE % ("both", """
        if data.from == "client" then return {data.bytes:upper(), data.bytes} end
        return data.bytes:gsub("[A-Z]", "")"""))
    block = bytes(random.Random(7).choices(b"abcdefgh", k=1_000_000))
    with connect(script.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
        peer.shutdown(socket.SHUT_WR)
        assert read_to_end(peer) == (b"", False)
    script.wait("ended client", "ended server")
    assert script.errors() == {"total": 0}


def test_what_it_keeps_for_its_last_word(scripted):
    with Upstream() as upstream:
        script = scripted(upstream.address, REWRITE % ("client", """
            local kept = session.state
            kept[#kept + 1] = data.bytes
            gg.log("info", "kept " .. data.bytes)
            return data.ended and table.move(kept, 1, #kept, 1, {}) or \"\""""))
        with session(script, upstream) as (client, server):
            for text in (b"one ", b"two ", b"three"):
                client.sendall(text)
                script.wait("kept " + text.decode())
            server.settimeout(0.2)
            with pytest.raises(TimeoutError):
                server.recv(1)
            server.settimeout(20)
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(server) == (b"one two three", False)
        assert script.errors() == {"total": 0}


def test_given_back(scripted):
    with Upstream() as upstream:
        script = scripted(upstream.address, REWRITE % ("client", """
            assert(session:want("client", "none"))
            return "once: " .. data.bytes"""))
        with session(script, upstream) as (client, server):
            client.sendall(b"hello")
            assert read_exactly(server, 11) == b"once: hello"
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(server) == (b"hello", False)


def test_a_greeting_is_not_rewritten(scripted):
    script = scripted("none", """
        function open(session)
          local no, why = session:want("server", "rewrite")
          gg.log("info", tostring(no) .. ": " .. tostring(why))
        end
        function rewrite() end""", more={"greeting": "hello\n"})
    with connect(script.address) as peer:
        assert read_exactly(peer, 6) == b"hello\n"
    script.wait("nil: of this session that cannot be had")


# ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text, told", [
    ("return 7", "a string or a list of them, not a number"),
    ("return true", "a string or a list of them, not a boolean"),
    ("return {'a', 7}", "made of strings, not of a number"),
    ("return {'a', {'b'}}", "made of strings, not of a table"),
    ("return {bytes = 'a'}", "a list, which has no 'bytes'"),
    ("return {'a', 'b', nil, 'd'}", "a list"),
    ("return {[0] = 'a'}", "a list, which has no '0'"),
    ("error('no')", "mine.lua:7: no"),
])
def test_what_cannot_go_on(scripted, server, text, told):
    """Nothing of it does: with `on_error: pass` the bytes are as they came."""
    script = scripted(server.address, REWRITE % ("client", f"if not data.ended then {text} end"))
    said(script.address, b"hello")
    script.wait_errors("rewrite")
    assert told in script.last_error()


def test_an_error_that_closes(scripted):
    """What follows the failed piece does not go on either, though the function would do again."""
    with Upstream() as upstream:
        script = scripted(upstream.address, REWRITE % ("client", "if data.bytes:find('BAD') then error('no') end"),
                          on_error="close")
        with session(script, upstream) as (client, server):
            client.sendall(b"good")
            assert read_exactly(server, 4) == b"good"
            with contextlib.suppress(OSError):
                client.sendall(b"BAD" + bytes(200_000))
            assert read_to_end(server)[0] == b""
            with contextlib.suppress(ConnectionResetError):
                assert read_to_end(client)[0] == b""
        assert script.errors() == {"rewrite": 1, "total": 1}
        came, sent, facts = end(script)
        assert came["client"].startswith(b"goodBAD") and sent["client"] == b"good"
        assert facts["verdict"] == {"plugin": "lua", "kind": "close", "reason": "lua error"}
        assert facts["forwarded"]["client"] == 4


@pytest.mark.parametrize("on_error", ["pass", "close"])
@pytest.mark.parametrize("text", ["return ('x'):rep(65537)", "return {('x'):rep(65536), 'x'}"])
def test_too_much(scripted, text, on_error):
    """Nothing goes on, and the session is reset: not even a part of it, or what came."""
    with Upstream() as upstream:
        script = scripted(upstream.address, REWRITE % ("client", text), on_error=on_error)
        with session(script, upstream) as (client, server):
            client.sendall(b"hello")
            assert read_to_end(server) == (b"", True) and read_to_end(client) == (b"", True)
        assert script.errors() == {"rewrite": 1, "total": 1}
        assert "it puts out more than relay.pending_max" in script.last_error()
        came, sent, facts = end(script)
        assert came["client"] == b"hello" and sent is None
        assert facts["verdict"] == {"plugin": "lua", "kind": "reset", "reason": "it put out more than may be"}


# ── The manual ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_of_the_manual(scripted):
    """As it stands there; cut at each place of the word."""
    text = (ROOT / "plugins/lua/README.md").read_text()
    example, = re.findall(r"^```lua\n-- secret\.lua\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    with Upstream() as upstream:
        script = scripted(upstream.address, example)
        with session(script, upstream) as (client, server):
            for cut in range(7):
                server.sendall(b"a " + b"secret"[:cut])
                assert read_exactly(client, 2) == b"a "
                server.sendall(b"secret"[cut:] + b".")
                assert read_exactly(client, 7) == b"------."
            server.sendall(b"no secre")
            server.close()
            assert read_to_end(client) == (b"no secre", False)
        assert script.errors() == {"total": 0}
        came, sent, _ = end(script)
        assert came["server"] == b"a secret." * 7 + b"no secre"
        assert sent["server"] == b"a ------." * 7 + b"no secre"
