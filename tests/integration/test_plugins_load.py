# SPDX-License-Identifier: Apache-2.0
"""Plug-ins from outside: built from the installed headers, loaded, refused with the reason, reloaded, asked."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import faults
import processes
import test_sandbox
from gogetway import ROOT, program
from live import listener, said
from plugging import Kit

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def plugged(configured, server, scratch, kit):
    """configured, with a listener `web`; put(entry, ...) writes the file with these plug-ins."""
    configured.web = listener(server.address, name="web")
    configured.ssh = listener(server.address, name="ssh")
    configured.so = kit.build(scratch / "plug", kit.table())

    def put(*entries, **options):
        configured.write(configured.web, configured.ssh, plugins=list(entries), workers=1, **options)
    configured.put = put
    return configured


def checked(gateway):
    """(exit status, lines of standard error) of --check-config."""
    words = ["run", "-c", gateway.file, "--dir", gateway.directory, "--check-config"]
    done = processes.run([program(), *words], check=False)
    return done.returncode, [line.removeprefix("gogetway: ") for line in done.stderr.decode().splitlines()]


def command(gateway, *words):
    done = gateway.command(*words, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def plugins(gateway):
    return [json.loads(line) for line in gateway.command("plugins", "--json").stdout.splitlines()]


def notes(gateway, name="plug"):
    return (gateway.directory / "plugins" / name / "notes").read_text().splitlines()


# ── Loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_plugin_is_loaded_asked_and_unloaded(plugged):
    plugged.put({"path": str(plugged.so), "listeners": ["web"], "config": {"number": 5, "text": "hello"}})
    assert checked(plugged) == (0, [])
    assert not (plugged.directory / "plugins").exists()  # a check makes nothing
    process = plugged.start()
    assert os.stat(plugged.directory / "plugins" / "plug").st_mode & 0o777 == 0o700
    assert notes(plugged) == ["create 1"]
    told, = plugged.events(process, "plug-in loaded")
    assert (told["plugin"], told["version"], told["path"]) == ("plug", "1.0", str(plugged.so))
    told, = plugged.events(process, "plug-in")
    assert (told["plugin"], told["text"], told["level"]) == ("plug", "created 1", "info")
    assert command(plugged, "plug", "state") == (0, "5 hello 1\n", "")
    found, = plugins(plugged)
    assert found["name"] == "plug" and found["version"] == "1.0" and found["state"] == "loaded"
    assert found["summary"] == "what the tests plug in" and found["path"] == str(plugged.so)
    assert found["listeners"] == ["web"] and found["slow_calls"] == 0
    assert found["state_dir"] == str(plugged.directory / "plugins" / "plug")
    assert [verb["verb"] for verb in found["commands"]] == ["say", "state", "fail"]
    point, = found["hooks"]
    assert point["hook"] == "command" and point["calls"] == found["calls"] == 1
    assert point["ns"] == point["mean_ns"] == found["ns"] > 0
    status, text, errors = command(plugged, "plugins")
    assert status == 0 and errors == ""
    lines = text.splitlines()
    assert lines[0] == "plug 1.0: what the tests plug in"
    assert lines[1:3] == [f"  file       {plugged.so}", "  listeners  web"]
    assert lines[3] == "  directions none is open"
    assert lines[4] == "  command    gogetway plug say WORD...   says the words"
    assert lines[7].split() == ["HOOK", "CALLS", "TIME", "MEAN", "SLOW"]
    assert [line.split()[:2] for line in lines[8:]] == [["command", "1"], ["all", "1"]]
    said(plugged.web["listen"])
    said(plugged.ssh["listen"])
    assert process.stop(20) == 0
    assert notes(plugged) == ["create 1", "destroy 1"]
    assert len(plugged.events(process, "plug-in unloaded")) == 1


@pytest.mark.parametrize("mode, who", [(0o775, "its group"), (0o757, "everybody"), (0o777, "everybody")])
def test_a_file_that_others_can_write_is_no_plugin(plugged, mode, who):
    """Neither at start nor at a reload, after which everything is as it was."""
    plugged.put({"path": str(plugged.so)})
    plugged.start()
    other = plugged.so.with_name("other.so")
    shutil.copy(plugged.so, other)
    other.chmod(mode)
    plugged.put({"path": str(other)})
    told = f"{other} can be written by {who} (mode {mode:o}), and is code of this process once it is loaded; chmod go-w"
    status, lines = checked(plugged)
    assert status != 0 and told in lines[0]
    status, reply = plugged.reload()
    assert status != 0 and told in str(reply)
    assert [found["path"] for found in plugins(plugged)] == [str(plugged.so)]
    other.chmod(mode & 0o755)
    assert checked(plugged) == (0, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_file_of_another_user_is_no_plugin(plugged):
    plugged.put({"path": str(plugged.so)})
    os.chown(plugged.so, 12345, -1)
    status, lines = checked(plugged)
    assert status != 0 and f"{plugged.so} belongs to user 12345" in lines[0]


def test_no_plugins(plugged):
    plugged.put()
    plugged.start()
    assert command(plugged, "plugins") == (0, "no plug-ins\n", "")
    assert plugins(plugged) == []
    assert command(plugged, "plugin")[0] == 2


@pytest.mark.parametrize("compiler, suffix, standard", [
    ("cc", ".c", "c11"), ("clang", ".c", "c11"), ("c++", ".cc", "c++17"), ("clang++", ".cc", "c++17")])
def test_the_example_is_built_from_what_is_installed(plugged, kit, scratch, compiler, suffix, standard):
    """In C and in C++: the same options, tag and command."""
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    source = (ROOT / f"examples/plugin-hello{suffix}").read_text()
    assert source.count("\n") < 200
    so = kit.build(scratch / "hello", source, f"-std={standard}", "-Wpedantic", compiler=compiler, suffix=suffix)
    plugged.put({"path": str(so), "config": {"large": "1KiB", "tag": "huge"}})
    process = plugged.start()
    status, text, errors = command(plugged, "hello", "show")
    assert (status, errors) == (0, "") and text.splitlines()[0] == "sessions 0"
    assert kit.flags("gogetway-plugin", "--libs") == []
    said(plugged.web["listen"], b"x" * 1000)
    done = "sessions 1\nopen 0\ntagged 1\nclient bytes 1000\nserver bytes 1000\n"
    processes.wait_until(lambda: command(plugged, "hello", "show") == (0, done, ""), 10, "it has seen a session")
    assert process.stop(20) == 0


def test_two_plugins_and_the_command_line(plugged, kit, scratch):
    other = kit.build(scratch / "other", kit.table(name="other", mark="2"))
    plugged.put({"path": str(plugged.so)}, {"path": str(other)})
    plugged.start()
    assert [found["name"] for found in plugins(plugged)] == ["plug", "other"]
    assert command(plugged, "other", "state") == (0, "7 none 2\n", "")
    plugged.processes[-1].stop(20)
    plugged.start("--plugin", other, "--plugin-listeners", "ssh")
    found, = plugins(plugged)
    assert found["name"] == "other" and found["listeners"] == ["ssh"]


# ── Refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────

HEAD = "#include <gogetway/plugin.h>\n"
BAD = {
    "another ABI": (HEAD + "GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {.abi = 2, .size = "
                    'sizeof(struct gg_plugin), .name = "x"};', "abi is 2, this gateway's is 1"),
    "a short table": (HEAD + "GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {.abi = GG_PLUGIN_ABI, "
                      '.size = offsetof(struct gg_plugin, close), .name = "x"};', "so its table has no field close"),
    "a size that is not its own": (HEAD + "GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {.abi = "
                                   'GG_PLUGIN_ABI, .size = 4096, .name = "x"};',
                                   "size is 4096, but gogetway_plugin has"),
    "a later version": (HEAD + "GG_PLUGIN_EXPORT const struct { struct gg_plugin known; void *more; } table "
                        '__asm__("gogetway_plugin") = {{.abi = GG_PLUGIN_ABI, .size = sizeof table, .name = "x"}, '
                        "(void *)&table};", "it was built for a later version"),
    "no symbol": ("int unrelated;", "is no plug-in: undefined symbol: gogetway_plugin"),
    "a function": ("void gogetway_plugin(void) {}", "is no plug-in: gogetway_plugin is no table"),
    "too small a symbol": ("int gogetway_plugin = 1;", "has 4 bytes, too few for abi and size"),
    "a symbol that it needs": ("extern int nobody_has_this(void); int f(void) { return nobody_has_this(); }",
                               "cannot be loaded: undefined symbol: nobody_has_this"),
    "no name": (HEAD + "GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {GG_PLUGIN_HEAD};", "name is NULL"),
    "a bad name": (HEAD + 'GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {GG_PLUGIN_HEAD, .name = "../x"};',
                   "name is '../x', which is not"),
    "a tick without an interval": (HEAD + "static void t(void *s) { (void)s; }\nGG_PLUGIN_EXPORT const "
                                   'struct gg_plugin gogetway_plugin = {GG_PLUGIN_HEAD, .name = "x", .tick = t};',
                                   "it has a tick, but tick_interval_ns is 0"),
    "a bad option": (HEAD + "static const struct gg_plugin_option o[] = {{.name = \"a b\", .type = GG_PLUGIN_BOOL, "
                     '.help = "x"}};\nGG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {GG_PLUGIN_HEAD, '
                     '.name = "x", .options = o, .option_count = 1};', "a b"),
}


def refused(gateway, path, reason):
    """The same sentence, with its place, from a check and from a start."""
    gateway.write_text(f"listeners: [{json.dumps(gateway.web)}]\nplugins:\n  - path: {path}\n")
    status, lines = checked(gateway)
    assert status != 0 and len(lines) == 1, lines
    assert lines[0].startswith(f"{gateway.file}:3:11: {path}") or lines[0].startswith(
        f"{gateway.file}:3:11: cannot open {path}"), lines
    assert reason in lines[0], lines
    process = gateway.start(wait=False)
    assert process.wait(20) == status
    assert lines[0] in process.errors()


@pytest.mark.parametrize("what", BAD)
def test_a_bad_plugin_is_refused_with_the_reason(plugged, kit, scratch, what):
    source, reason = BAD[what]
    refused(plugged, kit.build(scratch / "bad", source), reason)


def test_what_is_no_plugin_is_refused(plugged, scratch):
    refused(plugged, scratch / "nothing.so", "No such file or directory")
    text = scratch / "text.so"
    text.write_text("#!/bin/sh\necho I am not a library\n")
    refused(plugged, text, "is not a shared library")
    refused(plugged, scratch, "is not a file")
    cut = scratch / "cut.so"
    cut.write_bytes(plugged.so.read_bytes()[:4096])
    refused(plugged, cut, "ends in the middle, or is damaged")
    other = bytearray(plugged.so.read_bytes())
    other[18:20] = b"\x02\x00"  # e_machine: SPARC
    foreign = scratch / "foreign.so"
    foreign.write_bytes(other)
    refused(plugged, foreign, "is built for another machine")
    text = checked_with(plugged, program())
    assert "cannot be loaded" in text or "is not a shared library" in text


def checked_with(gateway, path):
    gateway.put({"path": str(path)})
    status, lines = checked(gateway)
    assert status != 0
    return "\n".join(lines)


def test_options_are_refused_with_their_place(plugged):
    plugged.write_text(f"listeners: [{json.dumps(plugged.web)}]\nplugins:\n  - path: {plugged.so}\n    config:\n"
                       "      number: 101\n      txt: hello\n")
    status, lines = checked(plugged)
    assert status != 0 and len(lines) == 2, lines
    assert lines[0].startswith(f"{plugged.file}:5:15: ") and "100" in lines[0]
    assert lines[1].startswith(f"{plugged.file}:6:7: ") and "did you mean 'text'" in lines[1]


def test_one_of_a_name(plugged, kit, scratch):
    twin = kit.build(scratch / "twin", kit.table(mark="2"))
    plugged.write_text(f"listeners: [{json.dumps(plugged.web)}]\nplugins:\n  - path: {plugged.so}\n  - path: {twin}\n")
    assert checked(plugged)[1] == [
        f"{plugged.file}:4:11: plug-in plug is there twice: also at {plugged.file}:3:11"]


def test_a_create_that_fails_ends_the_start(plugged):
    plugged.write_text(f"listeners: [{json.dumps(plugged.web)}]\nplugins:\n  - path: {plugged.so}\n    config: "
                       "{number: 99}\n")
    assert checked(plugged) == (0, [])
    process = plugged.start(wait=False)
    assert process.wait(20) == 3
    assert f"{plugged.file}:3:11: plug-in plug: 99 is not a number that I like" in process.errors()
    assert not (plugged.directory / "plugins/plug/notes").exists()


# ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_commands_of_a_plugin(plugged):
    plugged.put({"path": str(plugged.so)})
    plugged.start()
    assert command(plugged, "plug", "say", "a b", "--c", "-d", "\N{SNOWMAN}") == (0, "a b\n--c\n-d\n\N{SNOWMAN}\n", "")
    assert command(plugged, "plug", "say", "\x1b[31mred") == (0, "\\x1b[31mred\n", "")
    assert command(plugged, "plug", "say") == (0, "", "")
    status, out, errors = command(plugged, "plug", "sing")
    assert (status, out) == (2, "") and errors.splitlines()[0] == (
        "gogetway: plug has no command 'sing'; its commands are:")
    assert "  gogetway plug state   its number and text" in errors.splitlines()
    status, out, errors = command(plugged, "plug", "state", "now")
    assert status == 2 and errors.startswith("gogetway: plug state takes no words, and was given 'now'")
    status, out, errors = command(plugged, "plug", "fail", "so")
    assert status == 2 and errors.startswith("gogetway: plug fail: as you wish")
    assert command(plugged, "plug", "fail", "io") == (3, "", "gogetway: plug fail: as you wish\n")
    assert command(plugged, "plug")[0] == 2
    assert command(plugged, "plug", "say", *"abcdefghijklmnopq")[0] == 3  # one word more than a request has room for
    status, out, errors = command(plugged, "plug", "--help")
    assert status == 0 and "gogetway plug say WORD...   says the words" in out
    assert command(plugged, "help", "plug") == (status, out, errors)


def test_a_command_that_nobody_has(plugged):
    plugged.put({"path": str(plugged.so)})
    unknown = (2, "", "gogetway: unknown command 'plgu'; 'gogetway help' lists them\n")
    assert command(plugged, "plgu", "say") == unknown  # no gateway runs
    plugged.start()
    assert command(plugged, "plgu", "say") == (2, "", "gogetway: unknown command 'plgu'; did you mean 'plug'?\n")
    assert command(plugged, "sesions") == (2, "", "gogetway: unknown command 'sesions'; did you mean 'sessions'?\n")
    reply = plugged.ask("plugin", plugin="nobody", verb="x")
    assert reply["ok"] is False and reply["unknown"] is True and reply["plugins"] == ["plug"]
    assert plugged.ask("plugin")["ok"] is False
    assert plugged.ask("plugin", plugin="plug", verb="say", words="x")["error"] == '"words" must be a list'
    assert "unknown" not in plugged.ask("plugin", plugin="plug", verb="say", words=[None])


# ── Reload ───────────────────────────────────────────────────────────────────────────────────────────────────────────

def test_a_reload_loads_changes_and_unloads(plugged, kit, scratch):
    plugged.put({"path": str(plugged.so)})
    process = plugged.start()
    other = kit.build(scratch / "other", kit.table(name="other"))
    plugged.put({"path": str(plugged.so)}, {"path": str(other)})
    status, reply = plugged.reload()
    assert status == 0 and f"plug-in other: loaded, version 1.0 from {other}" in reply["changed"], reply
    assert notes(plugged) == ["create 1"]  # the one that is unchanged is the same
    assert [found["name"] for found in plugins(plugged)] == ["plug", "other"]
    plugged.put({"path": str(plugged.so), "config": {"number": 8}}, {"path": str(other)})
    status, reply = plugged.reload()
    assert status == 0 and f"plug-in plug: loaded again, version 1.0 from {plugged.so}" in reply["changed"], reply
    processes.wait_until(lambda: notes(plugged) == ["create 1", "create 1", "destroy 1"], 10, "the old one's end")
    assert command(plugged, "plug", "state") == (0, "8 none 1\n", "")
    plugged.put({"path": str(other)})
    status, reply = plugged.reload()
    assert status == 0
    assert "plug-in plug: unloaded when the last session that it sees has ended" in reply["changed"], reply
    processes.wait_until(lambda: len(notes(plugged)) == 4, 10, "it is destroyed")
    assert [found["name"] for found in plugins(plugged)] == ["other"]
    assert command(plugged, "plug", "state")[0] == 2
    assert process.stop(20) == 0
    assert notes(plugged, "other") == ["create 1", "destroy 1"]


def test_a_reload_takes_a_new_file(plugged, kit, scratch):
    plugged.put({"path": str(plugged.so)})
    plugged.start()
    kit.build(scratch / "plug", kit.table(version="2.0", mark="2"))
    status, reply = plugged.reload()
    assert status == 0 and reply["changed"] == [f"plug-in plug: loaded again, version 2.0 from {plugged.so}"], reply
    assert command(plugged, "plug", "state") == (0, "7 none 2\n", "")
    processes.wait_until(lambda: notes(plugged) == ["create 1", "create 2", "destroy 1"], 10, "the old one's end")
    status, reply = plugged.reload()
    assert status == 0 and reply["changed"] == []
    kit.build(scratch / "plug", kit.table(version="3.0", mark="3"))
    assert plugged.reload()[0] == 0
    assert command(plugged, "plug", "state") == (0, "7 none 3\n", "")


def test_only_the_listeners_change(plugged):
    plugged.put({"path": str(plugged.so)})
    plugged.start()
    plugged.put({"path": str(plugged.so), "listeners": ["ssh"]})
    status, reply = plugged.reload()
    assert status == 0 and not any("loaded" in line for line in reply["changed"]), reply
    assert plugins(plugged)[0]["listeners"] == ["ssh"] and notes(plugged) == ["create 1"]


def test_a_reload_that_is_refused_changes_nothing(plugged, kit, scratch):
    plugged.put({"path": str(plugged.so)})
    process = plugged.start()
    other = kit.build(scratch / "other", kit.table(name="other"))
    bad = kit.build(scratch / "bad", BAD["another ABI"][0])
    taken = faults.Echo()
    for entries, reason in (
            ([{"path": str(plugged.so)}, {"path": str(bad)}], "abi is 2, this gateway's is 1"),
            ([{"path": str(plugged.so), "config": {"number": 99}}, {"path": str(other)}],
             "plug-in plug: 99 is not a number that I like"),
            ([{"path": str(other)}, {"path": str(plugged.so), "config": {"number": 99}}],
             "plug-in plug: 99 is not a number that I like"),
            ([{"path": str(plugged.so), "listeners": ["wob"]}], "there is no listener 'wob'; did you mean 'web'?"),
            ([{"path": str(scratch / "gone.so")}], "No such file or directory")):
        plugged.put(*entries)
        status, reply = plugged.reload()
        assert status == 3 and reply["ok"] is False and reason in reply["errors"][0], reply
        found, = plugins(plugged)
        assert found["name"] == "plug" and notes(plugged) == ["create 1"]
    with taken:  # refused at the very last: what was made for it is destroyed
        plugged.write(plugged.web, plugged.ssh, {"listen": taken.address, "upstream": "none"},
                      plugins=[{"path": str(other)}], workers=1)
        status, reply = plugged.reload()
        assert status == 3 and "in use" in reply["errors"][0].lower(), reply
    assert notes(plugged, "other") == ["create 1", "destroy 1"] * (len(notes(plugged, "other")) // 2)
    said(plugged.web["listen"])
    assert process.stop(20) == 0


def test_a_file_that_is_written_over_is_refused(plugged):
    """In place, with the same bytes: what runs is not hurt, but nobody could know."""
    plugged.put({"path": str(plugged.so)})
    plugged.start()
    os.utime(plugged.so)
    status, reply = plugged.reload()
    assert status == 3 and "was written over while it is loaded" in reply["errors"][0], reply


# ── In the sandbox ───────────────────────────────────────────────────────────────────────────────────────────────────

@pytest.fixture
def confined(plugged):
    if test_sandbox.is_instrumented():
        pytest.skip("the sandbox is left open in such a build")
    return plugged


def has_sandbox(gateway, process):
    told, = gateway.events(process, "sandbox")
    return told["files"] and told["calls"]


def test_what_a_reload_can_load_in_the_sandbox(confined, kit, scratch):
    far = scratch / "far"
    far.mkdir()
    strange = kit.build(far / "strange", kit.table(name="strange"))
    confined.put({"path": str(confined.so)})
    process = confined.start()
    if not has_sandbox(confined, process):
        pytest.skip("this kernel has no sandbox to give")
    confined.put({"path": str(confined.so)}, {"path": str(strange)})
    assert confined.reload()[0] == 0  # below a directory that was named
    assert process.stop(20) == 0


def test_a_directory_that_was_not_named_is_refused(confined, kit, scratch, tmp_path):
    strange = kit.build(tmp_path / "strange", kit.table(name="strange"))
    confined.put({"path": str(confined.so)})
    process = confined.start()
    if not has_sandbox(confined, process):
        pytest.skip("this kernel has no sandbox to give")
    confined.put({"path": str(confined.so)}, {"path": str(strange)})
    status, reply = confined.reload()
    assert status == 3 and f"cannot open {strange}: Permission denied" in reply["errors"][0], reply
    assert "a restart may help" in reply["errors"][0]


def test_memory_that_was_written_is_not_executed(scratch, kit):
    """Code comes from files, with plug-ins too."""
    if test_sandbox.is_instrumented():
        pytest.skip("the sandbox is left open in such a build")
    with test_sandbox.Inside(scratch, ["--plugin", kit.build(scratch / "plug", kit.table())]) as inside:
        if test_sandbox.events(inside.gateway, "sandbox incomplete"):
            pytest.skip("this kernel has no sandbox to give")
        names = ("executable_memory", "write_victim", "fork", "become_root")
        assert {name: inside.attempt(name) for name in names} == {name: test_sandbox.REFUSED[name] for name in names}
        assert inside.gateway.stop()[0] == 0


def test_without_plugins_at_start_none_can_be_loaded(confined):
    confined.put()
    process = confined.start()
    if not has_sandbox(confined, process):
        pytest.skip("this kernel has no sandbox to give")
    confined.put({"path": str(confined.so)})
    status, reply = confined.reload()
    assert status == 3 and "cannot be loaded" in reply["errors"][0], reply
    assert "a restart may help" in reply["errors"][0], reply
    assert plugins(confined) == []


# ── A program that embeds the gateway ────────────────────────────────────────────────────────────────────────────────

EMBEDDING = r"""
#include <gogetway/gogetway.h>
#include <gogetway/plugin.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct gg_plugin_option options[] = {
  {.name = "number", .type = GG_PLUGIN_COUNT, .most = 100, .help = "a number"},
};
static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)failure;
  *self = (void *)host;
  printf("created with %d at %s\n", (int)config->values[0].number, strstr(host->state_dir, "plugins/"));
  return 0;
}
static void on_destroy(void *self)
{
  (void)self;
  puts("destroyed");
}
static const struct gg_plugin plugin = {GG_PLUGIN_HEAD, .name = "inside", .options = options, .option_count = 1,
                                        .create = on_create, .destroy = on_destroy};

static void add(struct gg_gateway *gateway, const struct gg_plugin *table, const char *config, const char *listener)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin_add_options options = GG_PLUGIN_ADD_OPTIONS_INIT;
  options.config = config;
  options.listeners = &listener;
  options.listener_count = listener != NULL;
  int error = gg_gateway_plugin_add(gateway, table, &options, &failure);
  printf("%s%s%s\n", gg_error_name(error), error ? ": " : "", failure.message);
}

static void *wait_for_it(void *gateway)
{
  gg_gateway_wait(gateway, NULL);
  return NULL;
}

/* It is read again: the program's own plug-in stays. */
static void reload(struct gg_gateway *gateway, const char *dir)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char *reply = NULL;
  printf("reload: %s%s\n", gg_error_name(gg_gateway_reload(gateway, NULL, NULL, &failure)), failure.message);
  gg_control_call(dir, "{\"command\":\"plugins\"}", &reply, &failure);
  puts(reply ? reply : failure.message);
  free(reply);
}

int main(int argc, char **argv)
{
  pthread_t waiter;
  const char *arguments[] = {"--listen", "127.0.0.1:0", "--name", "web", "--upstream", "none", "--dir", argv[1]};
  struct gg_gateway_options gateway_options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_gateway *gateway;
  struct gg_plugin bad = plugin;
  gateway_options.arguments = arguments;
  gateway_options.argument_count = argc == 2 ? 8 : 0;
  if (gg_gateway_create(&gateway, &gateway_options, &failure))
    return 1;
  bad.abi = 2;
  add(gateway, &bad, NULL, NULL);
  add(gateway, &plugin, "number: 101", NULL);
  add(gateway, &plugin, "\nnumber: 3\nnmber: 4\n", NULL);
  add(gateway, &plugin, "{number: 1, other: 2}", NULL);
  add(gateway, &plugin, "[", NULL);
  add(gateway, &plugin, NULL, "wob");
  add(gateway, &plugin, "number: 42", "web");
  add(gateway, &plugin, "number: 42", "web");
  if (gg_gateway_start(gateway, &failure))
    puts(failure.message);
  add(gateway, &bad, NULL, NULL);
  pthread_create(&waiter, NULL, wait_for_it, gateway);
  reload(gateway, argv[1]);
  gg_gateway_stop(gateway);
  pthread_join(waiter, NULL);
  gg_gateway_destroy(gateway);
  return 0;
}
"""


@pytest.mark.skipif(test_sandbox.is_instrumented(), reason="a program would have to be instrumented as the library is")
def test_a_program_adds_its_own(kit, scratch):
    built = kit.build(scratch / "embedding", EMBEDDING, package="gogetway")
    done = subprocess.run([built, scratch / "rec"], capture_output=True, timeout=30,
                          env={**os.environ, "LD_LIBRARY_PATH": kit.libraries()})
    assert done.returncode == 0, done
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "UNSUPPORTED: the plug-in's table: abi is 2, this gateway's is 1"
    assert lines[1].startswith("FORMAT: plug-in inside:1:9: ") and "100" in lines[1]
    assert lines[2].startswith("FORMAT: plug-in inside:3:1: ") and "did you mean 'number'" in lines[2]
    assert lines[3].startswith("FORMAT: plug-in inside:1:13: ")
    assert lines[4].startswith("FORMAT: ")
    assert lines[5] == "NOT_FOUND: plug-in inside: there is no listener 'wob'"
    assert lines[6] == "OK"
    assert lines[7] == "EXISTS: there is a plug-in inside already"
    assert lines[8] == "created with 42 at plugins/inside"
    assert lines[9].startswith("INVALID: plug-ins are added before")
    assert lines[10] == "reload: OK"
    found, = json.loads(lines[11])["plugins"]
    assert (found["name"], found["path"], found["listeners"], found["state"]) == ("inside", None, ["web"], "loaded")
    assert lines[12:] == ["destroyed"]
    assert pathlib.Path(scratch / "rec/plugins/inside").is_dir()
