# SPDX-License-Identifier: Apache-2.0
"""The library as a file, and its headers as they are installed: what it exports, what it needs, what it leaves alone;
and that each header is good C11 and C++17 by itself."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import processes
import test_sandbox
from gogetway import ROOT, program
from plugging import Kit

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not Kit.available(), reason="needs meson, cc, pkg-config and a build directory")]
as_built = pytest.mark.skipif(test_sandbox.is_instrumented(), reason="the instrumentation has symbols of its own")

HEADERS = sorted(file.name for file in (ROOT / "include/gogetway").glob("*.h"))
VERSION = "GOGETWAY_0.1"  # of everything until there is a later one


def one_line(text):
    return " ".join(text.split()).replace("* ", "*")


def prototypes():
    """name -> "type name(parameters)" of every function that a header declares to be exported."""
    found = []
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (ROOT / "include/gogetway" / header).read_text(), flags=re.DOTALL)
        declared = re.findall(r"^GG_API\s+([^;(]*?)\b(gg_\w+)\s*(\([^;]*?\))\s*(?:GG_PRINTF\([^)]*\))?;", text,
                              re.MULTILINE)
        found += [(name, one_line(f"{kind} {name}{parameters}")) for kind, name, parameters in declared]
        # None is written otherwise; what else has the attribute is the macro itself, and the table of a plug-in.
        other = len(re.findall(r"^#define GG_(?:API|PLUGIN_EXPORT)\b.*", text, re.MULTILINE))
        other += len(re.findall(r"^GG_API extern const struct gg_plugin ", text, re.MULTILINE))
        assert len(declared) == len(re.findall(r"\bGG_API\b", text)) - other, header
    assert len(found) == len(dict(found)) > 50
    return dict(found)


def public_functions():
    return sorted(prototypes())


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="module")
def library(kit):
    return pathlib.Path(kit.libraries()) / "libgogetway.so"


def output_of(*command):
    return processes.run(list(command)).stdout.decode()


# ── What it exports ──────────────────────────────────────────────────────────────────────────────────────────────────

def test_exports_are_the_headers_functions(library):
    """All of them, each by a version, and nothing else: neither a private name nor one of a library in it."""
    lines = output_of("nm", "-D", "--defined-only", library).splitlines()
    exported = sorted(line.split()[2] for line in lines if line.split()[2] != VERSION)
    assert exported == [f"{name}@@{VERSION}" for name in public_functions()]
    listed = re.findall(r"^    (\w+);$", (ROOT / "src/libgogetway.map").read_text(), re.MULTILINE)
    assert listed == public_functions()


def test_the_file_is_called_by_its_abi(library):
    dynamic = output_of("readelf", "-d", library)
    assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic) == ["libgogetway.so.0"]
    assert library.is_symlink() and (library.parent / "libgogetway.so.0").exists()


# ── What it needs ────────────────────────────────────────────────────────────────────────────────────────────────────

OPTIONAL = {"libpcre2-8.so.0": "libpcre2-8", "libsqlite3.so.0": "sqlite3", "libz.so.1": "zlib",
            "libbrotlidec.so.1": "libbrotlidec", "libzstd.so.1": "libzstd", "libnghttp2.so.14": "libnghttp2"}


@as_built
def test_it_needs_libc_and_libyaml(library, kit):
    """And what its features ask for, where they are built; pkg-config tells of each. test_minimal.py does without."""
    dynamic = output_of("readelf", "-d", library)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    needed = [name for name in needed if not re.match(r"ld-linux|libgcc_s|libgcov", name)]
    optional = [name for name in needed if name in OPTIONAL]
    assert sorted(set(needed) - set(optional)) == ["libc.so.6", "libyaml-0.so.2"]
    package = next((kit.place / "root").rglob("gogetway.pc")).read_text()
    private = re.search(r"^Requires.private: (.*)$", package, re.M)[1]
    modules = {re.split(r"\s", module.strip())[0] for module in private.split(",")}
    assert modules == {"yaml-0.1"} | {OPTIONAL[name] for name in optional}


# ── What it leaves alone ─────────────────────────────────────────────────────────────────────────────────────────────

# Calls that end the process, change how it takes signals, write to what it has open, or change what is all the
# process'. A failed assertion does the first (__assert_fail): then nothing is to be saved.
LEFT_ALONE = r"""
exit _exit _Exit quick_exit abort atexit on_exit __cxa_atexit raise kill killpg tgkill pthread_kill pthread_cancel
pthread_exit signal __sysv_signal sigaction sigprocmask sigaltstack siginterrupt alarm ualarm setitimer
printf vprintf puts putchar perror psignal psiginfo stdout stderr stdin __printf_chk __vprintf_chk syslog openlog
vsyslog err errx warn warnx error getchar gets scanf
fork vfork _Fork clone posix_spawn posix_spawnp system popen execve execv execvp execvpe wait waitpid
setlocale uselocale setenv putenv clearenv umask chdir fchdir chroot srand srandom setrlimit setrlimit64 nice
sched_setaffinity mlockall dup2 dup3 pthread_atfork setsid
strtok strerror_l localtime gmtime ctime asctime gethostbyname inet_ntoa readdir_r rand random tmpnam getpwent
""".split()
# What is the process' and is changed all the same, and when: include/gogetway/gateway.h.
FOR_OWN_PROCESS = {"unsetenv", "setresuid", "setresgid", "setgroups", "initgroups"}


@as_built
def test_it_leaves_the_process_alone(library):
    lines = output_of("nm", "-D", "--undefined-only", library).splitlines()
    wanted = {line.split()[-1].split("@")[0] for line in lines}
    assert {"read", "pthread_create", "snprintf"} < wanted
    assert sorted(wanted & set(LEFT_ALONE)) == []
    # What becomes of the whole process is in files that look whether it is the gateway's alone.
    assert FOR_OWN_PROCESS < wanted
    users = {name: sorted(str(file.relative_to(ROOT)) for file in (ROOT / "src").rglob("*.c")
                          if re.search(rf"\b{name}\(", file.read_text())) for name in FOR_OWN_PROCESS}
    assert {file for files in users.values() for file in files} == {"src/engine/listen_fds.c",
                                                                    "src/engine/privileges.c"}
    for place, only in [("start.c", "engine->own_process ? gg__listen_fds_take("),
                        ("service.c", "if (!engine->own_process)\n    return")]:
        assert only in (ROOT / "src/engine" / place).read_text()


# ── Its headers ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Every macro that makes a struct, by the header that has it.
MADE = {
    "error.h": [("gg_failure", "GG_FAILURE_INIT")],
    "gateway.h": [("gg_gateway_options", "GG_GATEWAY_OPTIONS_INIT"),
                  ("gg_plugin_add_options", "GG_PLUGIN_ADD_OPTIONS_INIT")],
    "plugin.h": [("gg_session_info", "GG_SESSION_INFO_INIT"), ("gg_plugin", "GG_PLUGIN_INIT")],
    "store.h": [("gg_store_options", "GG_STORE_OPTIONS_INIT"), ("gg_select_options", "GG_SELECT_OPTIONS_INIT"),
                ("gg_export_options", "GG_EXPORT_OPTIONS_INIT"), ("gg_pattern_options", "GG_PATTERN_OPTIONS_INIT"),
                ("gg_grep_options", "GG_GREP_OPTIONS_INIT"), ("gg_prune_options", "GG_PRUNE_OPTIONS_INIT"),
                ("gg_reindex_options", "GG_REINDEX_OPTIONS_INIT")],
    "decoder.h": [("gg_message_sink", "GG_MESSAGE_SINK_INIT"),
                  ("gg_decoding_options", "GG_DECODING_OPTIONS_INIT")],
    "content.h": [("gg_content_limits", "GG_CONTENT_LIMITS_INIT"),
                  ("gg_body_view_options", "GG_BODY_VIEW_OPTIONS_INIT"),
                  ("gg_body_view_result", "GG_BODY_VIEW_RESULT_INIT")],
    "messages.h": [("gg_message_options", "GG_MESSAGE_OPTIONS_INIT"),
                   ("gg_message_export_options", "GG_MESSAGE_EXPORT_OPTIONS_INIT"),
                   ("gg_script_options", "GG_SCRIPT_OPTIONS_INIT")],
    "replay.h": [("gg_replay_options", "GG_REPLAY_OPTIONS_INIT")],
}
C = ["-std=c11", "-pedantic-errors", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
CXX = ["-std=c++17", "-pedantic-errors", "-Wall", "-Wextra", "-Wconversion", "-Wold-style-cast", "-Werror"]
COMPILERS = [("gcc", ".c", C), ("clang", ".c", C), ("clang-14", ".c", C),
             ("g++", ".cc", CXX), ("clang++", ".cc", CXX), ("clang++-14", ".cc", CXX)]


def test_every_macro_that_makes_a_struct_is_tried():
    for header in HEADERS:
        defined = set(re.findall(r"^#define (GG_\w+_INIT)\b", (ROOT / "include/gogetway" / header).read_text(), re.M))
        assert defined <= {macro for _, macro in MADE.get(header, [])}, header


@pytest.mark.parametrize("compiler, suffix, flags", COMPILERS, ids=[compiler for compiler, _, _ in COMPILERS])
def test_each_header_by_itself(kit, scratch, compiler, suffix, flags):
    """Nothing is included before it; twice is as good as once; and its macros are used where a program would."""
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    for header in HEADERS:
        made = MADE.get(header, [])
        source = f"#include <gogetway/{header}>\n#include <gogetway/{header}>\n"
        source += "".join(f"struct {struct} global_{i} = {macro};\n" for i, (struct, macro) in enumerate(made))
        body = "".join(f"  struct {struct} local_{i} = {macro};\n  size += sizeof local_{i};\n"
                       for i, (struct, macro) in enumerate(made))
        source += f"unsigned long use(void);\nunsigned long use(void)\n{{\n  unsigned long size = 0;\n{body}" \
                  "  return size;\n}\n"
        text = scratch / f"{pathlib.Path(header).stem}{suffix}"
        text.write_text(source)
        done = subprocess.run([compiler, *flags, "-fsyntax-only", *kit.flags("gogetway-plugin", "--cflags"), str(text)],
                              capture_output=True, timeout=60, env={**os.environ, "LC_ALL": "C"})
        assert done.returncode == 0, f"{header}: {done.stderr.decode()}"


# ── Its manual ───────────────────────────────────────────────────────────────────────────────────────────────────────

PAGES = {file.name: file.read_text() for file in sorted((ROOT / "docs/man").glob("*.[1-9]"))}


def synopsis(page):
    """The prototypes of a page's synopsis."""
    found = re.findall(r'^\.Ft "?(.*?)"?\n\.Fo (\w+)\n((?:\.Fa .*\n)*)\.Fc$', page, re.MULTILINE)
    return [(name, one_line(f"{kind} {name}(" + ", ".join(re.findall(r'^\.Fa "(.*)"$', given, re.MULTILINE)) + ")"))
            for kind, name, given in found]


def test_every_function_has_a_page():
    """With its prototype as the header has it, and is spoken of below."""
    told = [entry for page in PAGES.values() for entry in synopsis(page)]
    assert len(told) == len(dict(told))
    assert {name: text for name, text in told if name != "gg_plugin_fail"} == prototypes()
    for name, page in PAGES.items():
        below = page.partition(".Sh DESCRIPTION")[2]
        assert [function for function, _ in synopsis(page) if not re.search(rf"\bFn {function}\b", below)] == [], name


def test_the_page_of_plugins_has_every_operation():
    header = (ROOT / "include/gogetway/plugin.h").read_text()
    table = re.search(r"^struct gg_plugin \{\n(.*?)^\};$", header, re.DOTALL | re.MULTILINE)[1]
    operations = re.findall(r"\(\*(\w+)\)\(", table)
    assert len(operations) > 15
    assert [name for name in operations if not re.search(rf"\bVa {name}\b", PAGES["gogetway-plugin.3"])] == []


def test_pages_are_installed_and_name_what_there_is(kit):
    found = (kit.place / "root").rglob("man/**/*.[1-9]*")
    installed = {file.name.removesuffix(".gz") for file in found if file.is_file()}
    assert installed == set(PAGES)
    for name, page in PAGES.items():
        for other, section in re.findall(r"\.?Xr ((?:lib)?gogetway\S*) (\d)", page):
            assert f"{other}.{section}" in PAGES, name


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_are_good_mdoc(name):
    done = processes.run(["groff", "-mdoc", "-ww", "-z", "-Tutf8", ROOT / "docs/man" / name])
    assert done.stderr == b""
