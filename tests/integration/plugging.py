# SPDX-License-Identifier: Apache-2.0
"""Plug-ins for tests: the gateway is installed to a directory, and they are built there as a stranger would build them.

    kit.build("mine", kit.table(name="mine"))       # a .so, by cc and pkg-config alone
    kit.build("other", "int x;")                    # of any source
"""
import os
import pathlib
import shutil
import subprocess

import processes
from gogetway import program

# A whole plug-in but for what the test adds; it writes what is done to it to a file in its state directory.
SOURCE = r"""
#include <gogetway/plugin.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plug { const struct gg_host *host; long number; char text[64]; };

static void note(const struct gg_host *host, const char *word)
{
  char path[512], line[600];
  snprintf(path, sizeof path, "%%s/notes", host->state_dir);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  int length = snprintf(line, sizeof line, "%%s %(mark)s\n", word);
  if (fd < 0 || write(fd, line, (size_t)length) != length)
    host->log(host, GG_PLUGIN_ERROR, "cannot note");
  if (fd >= 0)
    close(fd);
}

static const struct gg_plugin_option options[] = {
  {.name = "number", .type = GG_PLUGIN_COUNT, .most = 100, .preset = "7", .help = "a number"},
  {.name = "text", .type = GG_PLUGIN_TEXT, .help = "a text"},
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  if (config->values[0].number == 99)
    return gg_plugin_fail(failure, GG_ERR_DENIED, "99 is not a number that I like");
  struct plug *plug = calloc(1, sizeof *plug);
  if (!plug)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  plug->host = host;
  plug->number = (long)config->values[0].number;
  snprintf(plug->text, sizeof plug->text, "%%s", config->values[1].text ? config->values[1].text : "none");
  host->log(host, GG_PLUGIN_INFO, "created %(mark)s");
  note(host, "create");
  *self = plug;
  return 0;
}

static void on_destroy(void *self)
{
  struct plug *plug = self;
  note(plug->host, "destroy");
  free(plug);
}

static const struct gg_plugin_command commands[] = {
  {.verb = "say", .words = "WORD...", .help = "says the words"},
  {.verb = "state", .help = "its number and text"},
  {.verb = "fail", .words = "HOW", .help = "does not do it"},
};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct plug *plug = self;
  char line[256];
  if (command == 2)
    return gg_plugin_fail(failure, word_count == 1 && strcmp(words[0], "io") == 0 ? GG_ERR_IO : GG_ERR_INVALID,
                          "as you wish");
  if (command == 1) {
    snprintf(line, sizeof line, "%%ld %%s %(mark)s\n", plug->number, plug->text);
    plug->host->reply(plug->host, reply, line);
  }
  for (size_t i = 0; command == 0 && i < word_count; i++) {
    plug->host->reply(plug->host, reply, words[i]);
    plug->host->reply(plug->host, reply, "\n");
  }
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD, .name = "%(name)s", .version = "%(version)s", .summary = "what the tests plug in",
  .options = options, .option_count = 2, .commands = commands, .command_count = 3,
  .create = on_create, .destroy = on_destroy, .command = on_command, %(more)s
};
"""


class Kit:
    """An installed gateway, seen through pkg-config only."""

    def __init__(self, place):
        self.place = place
        build = pathlib.Path(os.path.realpath(program())).parent
        processes.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", place / "root"], 120)
        found = sorted((place / "root").rglob("*.pc"))
        self.env = {**os.environ, "PKG_CONFIG_PATH": ":".join(sorted({str(file.parent) for file in found})),
                    "PKG_CONFIG_SYSROOT_DIR": str(place / "root")}

    @staticmethod
    def available():
        build = pathlib.Path(os.path.realpath(program())).parent
        return all(shutil.which(tool) for tool in ("meson", "cc", "pkg-config")) and (build / "build.ninja").is_file()

    def flags(self, package, *what):
        return processes.run(["pkg-config", *what, package], env=self.env).stdout.decode().split()

    def libraries(self):
        return str(next((self.place / "root").rglob("libgogetway.so")).parent)

    @staticmethod
    def table(name="plug", version="1.0", mark="1", more=""):
        return SOURCE % {"name": name, "version": version, "mark": mark, "more": more}

    def build(self, out, source, *options, package="gogetway-plugin", compiler="cc", suffix=".c"):
        """The file that was built: `out` is a path without suffix. It comes there by a rename, as an installation's."""
        text = pathlib.Path(out).with_suffix(suffix)
        text.write_text(source)
        made = pathlib.Path(out).with_suffix(".made")
        libraries = self.flags(package, "--libs") if package != "gogetway-plugin" else []
        shape = [] if package != "gogetway-plugin" else ["-shared", "-fPIC"]
        done = subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", *shape, *options, str(text), "-o", str(made),
                               *self.flags(package, "--cflags"), *libraries], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        final = pathlib.Path(out).with_suffix(".so" if shape else "")
        os.replace(made, final)
        return final
