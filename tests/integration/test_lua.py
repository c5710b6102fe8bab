# SPDX-License-Identifier: Apache-2.0
"""Scripts in Lua (plugins/lua), seen from both ends: a small script for what each test wants."""
import contextlib
import os
import pathlib
import re
import socket
import threading
import time

import pytest

import processes
import restarting
import recording
from faults import Echo, Upstream, connect, read_exactly, read_to_end
from gogetway import ROOT, TEST_ALL, program
from live import exchange, listener, said
from scripting import LIBRARY

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason="built without Lua")


def first_of(address):
    """What a client gets: all of it, or None if it is reset, be it before it has seen that it is connected."""
    with contextlib.suppress(ConnectionResetError), connect(address) as peer:
        data, cut = read_to_end(peer)
        return None if cut else data
    return None


def last_comment(script):
    """The closing facts of the store's only session, when the gateway has ended."""
    script.process.stop()
    facts = [fact for fact in recording.comments(script.gateway.segments()) if "close" in fact]
    assert len(facts) == 1
    return facts[0]


# ── What each function is given, and what it can do ─────────────────────────────────────────────────────────────────


def test_accept(scripted, server):
    script = scripted(server.address, """
        function accept(arrival)
          gg.log("info", ("arrival %s %s %d %s %d"):format(arrival.listener, arrival.peer, arrival.family, arrival.ip,
            arrival.port))
          if arrival.ip == "127.0.0.2" then return "close" end
          if arrival.ip == "127.0.0.3" then return "reset" end
        end""", more={"name": "front"})
    with connect(script.address, source="127.0.0.1") as peer:
        exchange(peer, b"hello")
        script.wait("arrival front 127.0.0.1:%d 4 127.0.0.1 %d" % (peer.getsockname()[1], peer.getsockname()[1]))
    for source in ("127.0.0.2", "127.0.0.3"):
        with contextlib.suppress(ConnectionResetError), connect(script.address, source=source) as peer:
            assert peer.recv(1) == b""
    assert server.accepted == 1 and script.errors() == {"total": 0}
    assert script.gateway.ask("stats")["metrics"]["hook_refused_connections"] == 2


def test_what_a_session_tells(scripted, server):
    script = scripted(server.address, """
        local function tell(where, session)
          gg.log("info", table.concat({where, session.key, session.listener, session.client, session.server,
            session.upstream, session.received.client, session.forwarded.server, table.concat(session.tags, "+"),
            session.state.name or "-", tostring(session.ended), tostring(session.worker >= 0),
            tostring(math.abs(gg.now() - session.opened) < 60), tostring(session)}, " "))
        end
        function open(session)
          tell("open", session)
          session.state.name = "mine"
          assert(session:tag("one")); assert(session:tag("two")); assert(session:untag("one"))
        end
        function connected(session, name) gg.log("info", "connected " .. name) end
        function close(session, summary)
          tell("close", session)
          gg.log("info", ("summary %s [%s] %d %d %s"):format(summary.close, summary.reason, summary.received.client,
            summary.forwarded.server, summary.duration > 0 and summary.duration < 60))
        end""", more={"name": "front"})
    with connect(script.address) as peer:
        exchange(peer, b"hello")
        me = "%s:%d" % peer.getsockname()
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    script.wait("connected " + server.address, "summary client-fin [] 5 5 true")
    session, = processes.wait_until(script.gateway.sessions, 20, "a session in the recording")
    script.wait(f"open {session.id} front {me} {script.address}  0 0  - false true true session {session.id}",
                f"close {session.id} front {me} {script.address} {server.address} 5 5 two mine false true true")
    assert last_comment(script)["tags"] == ["two"]


@pytest.mark.parametrize("kind", ["close", "reset", "reply"])
def test_open_ends_it(scripted, server, kind):
    script = scripted(server.address, """
        function open(session)
          return {verdict = "%s", reply = "go\\0away\\n", reason = "not today"}
        end
        function close(session, summary)
          gg.log("info", "by " .. summary.plugin .. ": " .. summary.reason)
        end""" % kind)
    assert first_of(script.address) == {"close": b"", "reset": None, "reply": b"go\0away\n"}[kind]
    script.wait("by lua: not today")
    processes.wait_until(lambda: script.gateway.sessions(), 20, "a session in the recording")
    assert last_comment(script)["verdict"] == {"plugin": "lua", "kind": kind, "reason": "not today"}
    assert server.accepted == 0


def test_open_chooses_the_upstream_and_what_is_recorded(scripted, servers):
    one, two = servers("one", "two")
    names = [f"{one.address} name=one", f"{two.address} name=two"]
    script = scripted(names, """
        function open(session) return {upstream = "two", recording = "first", record_first = 2} end""")
    for _ in range(2):
        with connect(script.address) as peer:
            assert read_exactly(peer, 3) == b"two"
    script.write('function open() return "reset" end')
    assert script.gateway.reload()[0] == 0
    assert first_of(script.address) is None
    script.process.stop()
    assert {script.gateway.payload(session.id, "server") for session in script.gateway.sessions()} == {b"tw", b""}


def test_first_bytes(scripted, server):
    with Echo() as other:
        script = scripted(server.address, f"""
            function open(session)
              return {{upstream = "{other.address}", hold_first_bytes = 4, hold_first_seconds = 0.3}}
            end
            function first(session, bytes)
              gg.log("info", "first " .. #bytes .. " " .. bytes)
              if bytes == "GET " then return {{upstream = "{server.address}"}} end
              if bytes == "BAD!" then return "reset" end
            end""")
        for text, counts in ((b"GET /", (1, 0)), (b"PUT /", (1, 1)), (b"PU", (1, 2))):
            with connect(script.address) as peer:
                exchange(peer, text)
            assert (server.accepted, other.accepted) == counts
        script.wait("first 4 GET ", "first 4 PUT ", "first 2 PU")
        with connect(script.address) as peer, pytest.raises(ConnectionResetError):
            peer.sendall(b"BAD!")
            peer.recv(1)
        assert script.errors() == {"total": 0}


def test_connect_and_failed(scripted, servers):
    one, two = servers("one", "two")
    dead = processes.free_address()
    script = scripted([f"{one.address} name=one", f"{dead} name=dead", f"{two.address} name=two"], """
        function connect(session, name, address)
          gg.log("info", "connect " .. name .. " " .. address)
          return name == "one" and "close" or "pass"
        end
        function connected(session, name) gg.log("info", "connected " .. name) end
        function failed(session, name, reason) gg.log("info", "failed " .. name .. " " .. reason) end""",
                      more={"health_failures": 0})
    for _ in range(6):
        with connect(script.address) as peer:
            assert read_exactly(peer, 3) == b"two"
    script.wait(f"connect one {one.address}", f"connect dead {dead}", "connected two", "failed dead connect-refused")
    assert not any("connected one" in line for line in script.said())


def test_count(scripted, server):
    script = scripted(server.address, """
        function open(session)
          session.state = {client = 0, server = 0}
          session:want("both", "count")
        end
        function count(session, from, n) session.state[from] = session.state[from] + n end
        function close(session) gg.log("info", "counted " .. session.state.client .. " " .. session.state.server) end
        """)
    block = os.urandom(1_000_000)
    with connect(script.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
    script.wait("counted 1000000 1000000")


GATE = """
    function open(session) assert(session:want("both", "gate")) end
    function gate(session, data)
      local state = session.state
      assert((state[data.from] or 0) == data.offset)
      state[data.from] = data.offset + #data.bytes
      if data.ended then gg.log("info", "ended " .. data.from) end
      %s
    end"""


def test_a_gate_sees_everything_in_order(scripted, server):
    script = scripted(server.address, GATE % "")
    block = os.urandom(2_000_000)
    with connect(script.address) as peer:
        sender = threading.Thread(target=peer.sendall, args=(block,))
        sender.start()
        assert read_exactly(peer, len(block)) == block
        sender.join()
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    script.wait("ended client", "ended server")
    assert script.errors() == {"total": 0}


@pytest.mark.parametrize("kind", ["close", "reset", "tarpit", "reply"])
def test_what_a_gate_stops_never_arrives(scripted, kind):
    with Upstream() as upstream:
        script = scripted(upstream.address, GATE % """
          if data.bytes:find("DROP", 1, true) then
            return {kind = "%s", reply = "no\\n", reason = "a word"}
          end""" % kind)
        with connect(script.address) as peer:
            peer.sendall(b"SELECT 1;")
            behind = upstream.accept()
            assert read_exactly(behind, 9) == b"SELECT 1;"
            peer.sendall(b"x; DROP TABLE t;")
            with contextlib.suppress(ConnectionResetError):
                assert behind.recv(1) == b""
            if kind == "reset":
                with pytest.raises(ConnectionResetError):
                    peer.recv(1)
            elif kind == "tarpit":
                peer.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    peer.recv(1)
            else:
                assert read_to_end(peer)[0] == (b"no\n" if kind == "reply" else b"")
        behind.close()
        facts = last_comment(script)
    assert facts["forwarded"]["client"] == 9
    assert facts["verdict"] == {"plugin": "lua", "kind": kind, "reason": "a word"}


def test_what_a_gate_keeps_back(scripted):
    with Upstream() as upstream:
        script = scripted(upstream.address, GATE % 'if data.from == "client" then return {keep = 3} end')
        with connect(script.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"abcdef")
            assert read_exactly(behind, 3) == b"abc"
            peer.sendall(b"g")
            assert read_exactly(behind, 1) == b"d"
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind)[0] == b"efg"
            behind.close()
            assert peer.recv(1) == b""
        assert script.errors() == {"total": 0}


def test_divert(scripted):
    with Upstream() as upstream, Echo() as trap:
        script = scripted(upstream.address, GATE % f"""
            if data.from == "client" and data.bytes:find("exploit") then
              return {{kind = "divert", upstream = "{trap.address}"}}
            end""")
        with connect(script.address) as peer:
            behind = upstream.accept()
            exchange(peer, b"an exploit")
            exchange(peer, b"and more")
            with contextlib.suppress(ConnectionResetError):
                assert behind.recv(1) == b""
            behind.close()


@pytest.mark.parametrize("verdict, passes", [
    ("", True), (', "reset"', False), (', {kind = "reply", reply = "no"}', None)])
def test_hold_and_resume_from_the_tick(scripted, verdict, passes):
    """The tick has a state of its own: it knows sessions by the gateway's list."""
    with Upstream() as upstream:
        script = scripted(upstream.address, GATE % """
            if data.bytes:find("WAIT") then session:tag("held") return "hold" end""" + """
            tick_interval = 0.1
            function tick()
              for _, session in ipairs(gg.sessions()) do
                if session.tags and session.tags[1] == "held" and gg.now() - session.opened > 0.5 then
                  assert(gg.session(session.key):untag("held"))
                  gg.log("info", "resumed " .. tostring(session:resume("client"%s)))
                  local no, why = session:want("client", "none")
                  gg.log("info", tostring(no) .. " " .. why)
                end
              end
            end""" % verdict)
        with connect(script.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"WAIT for it")
            behind.settimeout(0.2)
            with pytest.raises(TimeoutError):
                behind.recv(1)
            behind.settimeout(20)
            if passes:
                assert read_exactly(behind, 11) == b"WAIT for it"
            else:
                data, cut = read_to_end(peer)
                assert (data, cut) == ((b"no", False) if passes is None else (b"", True))
            script.wait("resumed true", "nil that can be said in a call for this session only")
        behind.close()


@pytest.mark.parametrize("kind", ["pass", "hold"])
def test_a_gate_is_asked_again(scripted, kind):
    """About what it keeps back, when the time that it has said is over and not before; also behind the end."""
    with Upstream() as upstream:
        script = scripted(upstream.address, GATE % ("""
            if data.due then
              gg.log("info", ("due %%d %%d %%s %%s"):format(#data.bytes, data.kept, data.ended,
                gg.monotonic() - session.state.at >= 0.25))
            elseif data.from == "client" then
              session.state.at = gg.monotonic()
              return {kind = "%s", keep = "all", after = 0.25}
            end""" % kind))
        with connect(script.address) as peer:
            behind = upstream.accept()
            begun = time.monotonic()
            peer.sendall(b"abc")
            assert read_exactly(behind, 3) == b"abc" and time.monotonic() - begun >= 0.25
            script.wait("due 0 3 false true")
            peer.sendall(b"de")
            peer.shutdown(socket.SHUT_WR)
            assert read_to_end(behind) == (b"de", False)
            script.wait(f"due 0 {2 if kind == 'pass' else 0} true true")
            behind.close()
        assert script.errors() == {"total": 0}


def test_resume_says_when_to_ask_again(scripted):
    with Upstream() as upstream:
        script = scripted(upstream.address, GATE % """
            if data.due then gg.log("info", "due " .. data.kept) end
            if data.bytes == "WAIT" then session:tag("held") return "hold" end""" + """
            tick_interval = 0.1
            function tick()
              for _, session in ipairs(gg.sessions()) do
                if session:untag("held") and not asked then
                  asked = session:resume("client", {keep = "all", after = 0.1})
                end
              end
            end""")
        with connect(script.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"WAIT")
            assert read_exactly(behind, 4) == b"WAIT"
            script.wait("due 4")
        behind.close()


@pytest.mark.parametrize("after", ["-1", "'soon'", "2e9", "0/0", "true"])
def test_times_that_cannot_be(scripted, server, after):
    script = scripted(server.address, GATE % (
        "if #data.bytes > 0 then return {keep = 'all', after = %s} end" % after))
    said(script.address)
    script.wait_errors("gate", 2)
    assert "'after' is not a number from 0 on" in script.last_error()


def test_throttle_and_cut(scripted, server):
    script = scripted(server.address, """
        function open(session)
          assert(session:throttle("client", 100000))
          session:want("client", "count")
        end
        function count(session, from, n)
          if session.received.client == 50000 then session:cut("close", "enough") end
        end""")
    with connect(script.address) as peer:
        begun = time.monotonic()
        peer.sendall(bytes(50_000))
        read_to_end(peer)
        assert time.monotonic() - begun > 0.35
    assert last_comment(script)["verdict"]["reason"] == "enough"


def test_a_session_that_has_ended(scripted, server):
    """Is kept by the script, and answers that it has."""
    script = scripted(server.address, """
        function open(session) kept = kept or session end
        function close(session) closed = (closed or 0) + 1 end
        function connected(session)
          if session == kept then return end
          local told = {}
          for name, what in pairs({want = {"client", "none"}, tag = {"x"}, untag = {"x"}, throttle = {"both", 1},
            cut = {"reset"}, resume = {"client"}}) do
            local no, why = kept[name](kept, table.unpack(what))
            told[#told + 1] = name .. "=" .. tostring(no) .. ":" .. why
          end
          table.sort(told)
          told[#told + 1] = tostring(kept.ended) .. tostring(kept.tags) .. tostring(kept.client) .. kept.key
          gg.log("info", table.concat(told, " "))
        end""", options={"workers": 1})
    said(script.address)
    processes.wait_until(lambda: any(session.state == "closed" for session in script.gateway.sessions()), 20, "an end")
    session, = script.gateway.sessions()
    said(script.address)
    ended = "nil:the session has ended"
    script.wait(f"cut={ended} resume={ended} tag={ended} throttle={ended} untag={ended} "
                f"want=nil:that can be said in a call for this session only truenilnil{session.id}")


def test_wrong_use_is_an_error(scripted, server):
    """Each is told in words; none is worse than that."""
    wrong = {
        'session:want("up", "gate")': "invalid option 'up'",
        'session:want("client", "gate")': "the script has no function 'gate'",
        'session:want("both", "rewrite")': "the script has no function 'rewrite'",
        'session.name = 1': "only 'state' can be set",
        'return session.nme': "has no field 'nme'",
        'session.state = 1': "table expected",
        'session:tag()': "string expected",
        'session.tag("x")': "gogetway.session expected",
        'session:throttle("client", -1)': "not a number of bytes",
        'gg.session("abc")': "not a session's key",
        'gg.log("loud", "x")': "invalid option 'loud'",
        'return {verdict = "hold"}': "no verdict 'hold' here",
        'return {verdit = "close"}': "no member 'verdit'",
        'return {after = 1}': "no member 'after'",
        'return {verdict = "reply"}': "needs 'reply'",
        'return "reply"': "needs a table",
        'return 7': "a verdict is a text, not a number",
        'return {upstream = ("x"):rep(300)}': "'upstream' is longer than 255",
        'return {hold_first_bytes = 1}': "go together",
        'return {recording = "some"}': "'recording' is one of",
        'return {recording = "first"}': "go together",
        'return {reply = ("x"):rep(16385), verdict = "reply"}': "'reply' is longer than 16384",
        'error({})': "an error that is a table",
        'error()': "an error that is nil",
        'local x = nil + 1': "mine.lua:{line}: attempt to perform arithmetic",
        'setmetatable({}, {__gc = print})': "there is no __gc",
        'load(string.dump(function() end))()': "attempt to call a nil value",
        'getmetatable(session).__index = 1': "attempt to index a string value",
    }
    lines = "\n".join(f"  function(session) {text} end," for text in wrong)
    script = scripted(server.address, f"local wrong = {{\n{lines}\n}}\nlocal n = 0\n"
                      "function open(session) n = n + 1 return wrong[n](session) end", options={"workers": 1})
    for number, text in enumerate(wrong.values()):
        said(script.address)
        assert script.last_error().startswith(f"open: {script.file}:")
        assert text.format(line=number + 2) in script.last_error()
    assert script.errors() == {"open": len(wrong), "total": len(wrong)}


# ── At start and at reload ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text, told", [
    ("\n\nfunction open(\n", r"mine\.lua:4: <name>.* expected near <eof>"),
    ("\nerror('no')", r"mine\.lua:2: no"),
    ("local x = nil\nx.y = 1", r"mine\.lua:2: attempt to index a nil value"),
    ("while true do end", r"mine\.lua:1: more than 10000000 instructions"),
    ("t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", r"mine\.lua: not enough memory"),
    ("gate = 'x'", r"mine\.lua: 'gate' is a string, not a function"),
    ("tick_interval = 0", r"mine\.lua: 'tick_interval' is not a number of seconds"),
    ("\x1bLua", "mine.lua"),
])
def test_a_faulty_script_is_refused(scripted, server, text, told):
    def refused(where):
        return [line for line in where.splitlines() if re.search(told, line)]
    script = scripted(server.address, "-- good\n")
    script.file.write_text(text)
    status, answer = script.gateway.reload()
    assert status != 0 and refused(str(answer)), answer
    said(script.address)
    script.process.stop()
    second = script.gateway.start(wait=False)
    assert second.wait(20) != 0
    assert refused(second.errors()), second.errors()


def test_a_script_that_others_can_write_is_refused(scripted, server):
    script = scripted(server.address, "-- good\n")
    for mode, told in ((0o664, "can be written by its group"), (0o646, "can be written by everybody (mode 646)")):
        script.write("-- good, but\n")
        script.file.chmod(mode)
        status, answer = script.gateway.reload()
        assert status != 0 and f"{script.file} {told}" in str(answer), answer
    if os.geteuid() == 0:
        script.write("-- good, but\n")
        os.chown(script.file, 12345, -1)
        status, answer = script.gateway.reload()
        assert status != 0 and f"{script.file} belongs to user 12345" in str(answer), answer
    script.write("-- good\n")
    assert script.gateway.reload()[0] == 0


@pytest.mark.parametrize("on_error", ["pass", "close"])
def test_an_error_before_the_connect(scripted, on_error):
    """Who is closed for it never gets as far as the upstream."""
    with Upstream() as upstream:
        script = scripted(upstream.address, "function connect() error('no') end", on_error=on_error)
        with connect(script.address) as peer:
            if on_error == "pass":
                upstream.accept().close()
            assert peer.recv(1) == b""
        script.wait_errors("connect")
        if on_error == "close":
            assert last_comment(script)["verdict"] == {"plugin": "lua", "kind": "close", "reason": "lua error"}
            upstream.listener.settimeout(0.2)
            with pytest.raises(TimeoutError):
                upstream.accept()


@pytest.mark.parametrize("config, told", [
    ({"script": "/nowhere.lua"}, "/nowhere.lua: No such file"),
    ({"script": "/"}, "not a file"),
    ({"instructions_max": 0}, "instructions_max"),
    ({"memory_max": 1}, "memory_max"),
    ({"libraries": ["string"]}, "'string' is none of io, os, package and debug"),
    ({"on_error": "shrug"}, "on_error"),
])
def test_options_that_cannot_be(scripted, server, config, told):
    script = scripted(server.address, "", wait=False, **config)
    assert script.process.wait(20) != 0
    assert told in script.process.errors()


def test_reload_takes_a_script_that_has_changed(scripted, server):
    """Also where its options are the same; sessions that are open keep the old one."""
    script = scripted(server.address, GATE % 'if data.bytes == "OLD" then return "reset" end')
    with connect(script.address) as before:
        exchange(before, b"hello")
        script.write(GATE % 'if data.bytes == "NEW" then return "reset" end')
        assert script.gateway.reload()[0] == 0
        exchange(before, b"NEW")
        with connect(script.address) as after:
            exchange(after, b"OLD")
            after.sendall(b"NEW")
            with pytest.raises(ConnectionResetError):
                after.recv(1)
        before.sendall(b"OLD")
        with pytest.raises(ConnectionResetError):
            before.recv(1)
    assert script.gateway.reload()[0] == 0
    loaded = [line for line in script.gateway.log() if line["event"] == "plug-in loaded"]
    assert len(loaded) == 2


def test_the_short_form(configured, server):
    """`lua:` is the plug-in of plugin_dir with that script; what `config` says besides is its, too."""
    script = configured.scratch / "mine.lua"
    script.write_text('function open(session) session:want("client", "count") end function count() error("no") end')
    where = listener(server.address)

    def write(*entries):
        configured.write(where, plugin_dir=str(LIBRARY.parent), plugins=entries)
    write({"lua": str(script), "config": {"on_error": "close", "libraries": ["io"]}})
    process = configured.start()
    with connect(where["listen"]) as peer:
        peer.sendall(b"hello")
        read_to_end(peer)
    assert configured.command("lua", "errors").stdout.startswith(b"count ")
    script.write_text('function open(session) return "reset" end function x(')
    status, answer = configured.reload()
    assert status != 0 and "gateway.yaml:1:" in answer["error"] and "mine.lua:1:" in answer["error"]
    script.write_text('function open(session) return "reset" end')
    assert configured.reload()[0] == 0
    assert first_of(where["listen"]) is None
    for entry, told in (({"listeners": []}, "it needs 'path', a shared library, or 'lua', a script"),
                        ({"lua": str(script), "path": "x.so"}, "it has 'path' and 'lua'"),
                        ({"lua": str(script), "config": {"script": "x"}}, "say the same"),
                        ({"lua": str(script), "config": {"on_eror": "pass"}}, "on_eror"),
                        ({"lua": "/nowhere.lua"}, "/nowhere.lua: No such file")):
        write(entry)
        status, answer = configured.reload()
        assert status != 0 and told in str(answer), answer
    write({"lua": str(script)})
    assert configured.reload()[0] == 0
    process.stop()
    again = processes.run([program(), "run", "-c", configured.file, "--print-config"]).stdout.decode()
    assert f'  - lua: "{script}"\n' in again and "path:" not in again.split("plugins:")[1].split("\n\n")[0]


# ── Libraries, states, many sessions ────────────────────────────────────────────────────────────────────────────────


TELL = """
    local there = {}
    for _, name in ipairs({"io", "os", "package", "debug", "require", "dofile", "loadfile", "warn", "string", "table",
      "math", "utf8", "coroutine", "load", "gg"}) do
      if _G[name] then there[#there + 1] = name end
    end
    gg.log("info", "there: " .. table.concat(there, " ") .. ";")
    gg.log("info", "exit: " .. tostring(os and os.exit) .. " execute: " .. type(os and os.execute) ..
      " open: " .. type(io and io.open))"""


def test_libraries(scripted, server):
    script = scripted(server.address, TELL)
    script.wait("there: string table math utf8 coroutine load gg;", "exit: nil execute: nil open: nil")
    for libraries, names in ((["io"], "io"), (["os", "debug"], "os debug"), (["package"], "package require")):
        script.write(TELL, libraries=libraries)
        assert script.gateway.reload()[0] == 0
        script.wait(f"there: {names} string table math utf8 coroutine load gg;")
    script.write(TELL, libraries=["io", "os"])
    assert script.gateway.reload()[0] == 0
    script.wait("exit: nil execute: function open: function")


def test_a_state_for_each_worker(scripted, server):
    script = scripted(server.address, """
        local n = 0
        function open(session) n = n + 1 gg.log("info", "worker " .. session.worker .. " n " .. n) end
        function accept() accepted = (accepted or 0) + 1 end""", options={"workers": 2})

    def both():
        said(script.address)
        return {state[0] for state in script.states()} == {"worker 0", "worker 1"}
    processes.wait_until(both, 30, "sessions of two workers")
    script.wait("worker 0 n 1", "worker 1 n 1")
    counts = {}
    for worker, n in re.findall(r"worker (\d) n (\d+)", "\n".join(script.said())):
        assert int(n) == counts.get(worker, 0) + 1
        counts[worker] = int(n)
    assert sum(state[1] for state in script.states()) == 2 * sum(counts.values())


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def test_many_sessions_leave_nothing(scripted, server):
    """Neither in the script's memory after its garbage was collected, nor in the gateway's, nor descriptors."""
    script = scripted(server.address, """
        local n = 0
        function open(session) session.state.text = ("x"):rep(100) session:want("both", "gate") session:tag("t") end
        function gate(session, data) session.state[data.from] = data.bytes return {keep = 0, reason = "fine"} end
        function close(session)
          n = n + 1
          if n % 100 == 0 then collectgarbage() end
          if n % 7 == 0 then error("now and then", 0) end
        end""", options={"workers": 1})
    sessions = 10_000 if TEST_ALL else 3_000
    done = 0

    def run(count):
        nonlocal done
        errors = []

        def some():
            try:
                for _ in range(count // 4):
                    said(script.address)
            except (OSError, AssertionError) as problem:
                errors.append(problem)
        threads = [threading.Thread(target=some) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        done += count
        processes.wait_until(lambda: script.errors().get("close", 0) == done // 7, 20, "the last close")
        (_, calls, used, _), = script.states()
        assert calls >= 4 * done
        return rss(script.process.pid), used

    def descriptors():
        return restarting.descriptors(script.process)
    before = descriptors()
    memory, used = run(sessions // 5)
    more_memory, more_used = run(sessions // 5 * 4)
    # A connection to the control socket may still be closing, and the writer has a segment by now.
    processes.wait_until(lambda: descriptors() <= before + 4, 20, "no descriptor of a session")
    assert more_used < used + 8 * 1024, "the state grows"
    assert more_memory < memory + (16 << 20)


# ── The manual ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_of_the_manual(scripted):
    """As it stands there."""
    text = (ROOT / "plugins/lua/README.md").read_text()
    example, = re.findall(r"^```lua\n-- mine\.lua\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    with Upstream() as upstream, Echo() as echo:
        script = scripted(upstream.address, example)
        with connect(script.address) as peer:
            behind = upstream.accept()
            peer.sendall(b"SELECT 1;")
            assert read_exactly(behind, 9) == b"SELECT 1;"
            peer.sendall(b"DROP TA")
            peer.sendall(b"BLE t;")
            assert read_to_end(peer)[0] == b"ERROR: not here\n"
            with contextlib.suppress(ConnectionResetError):
                assert b"DROP TABLE" not in read_to_end(behind)[0]
        behind.close()
        script.wait("tried to drop a table")
        assert echo.accepted == 0
        facts = last_comment(script)
    assert facts["tags"] == ["drop"] and facts["verdict"]["reason"] == "DROP TABLE"
