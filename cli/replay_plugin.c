/* SPDX-License-Identifier: Apache-2.0 */
/* replay_plugin.c - the options of a replay's plug-in, from files and from the command line, as one text of YAML. */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* Reads `path` behind what is in `out`. An errno value; EFBIG: it is larger than any configuration. */
static int append_file(FILE *out, const char *path)
{
  char part[4096];
  size_t sum = 0, length;
  FILE *in = fopen(path, "re");
  if (!in)
    return errno;
  while ((length = fread(part, 1, sizeof part, in)) > 0 && sum <= CONFIG_BYTES_MAX) {
    fwrite(part, 1, length, out);
    sum += length;
  }
  int error = sum > CONFIG_BYTES_MAX ? EFBIG : ferror(in) ? errno : 0;
  fclose(in);
  return error;
}

/* What stands behind the `=` is the value as it is, whatever YAML would make of it; only a list is YAML. */
static void write_value(FILE *out, const char *name, const char *equals)
{
  fprintf(out, "%.*s: ", (int)(equals - name), name);
  if (equals[1] == '[') {
    fputs(equals + 1, out);
    return;
  }
  fputc('\'', out);
  for (const char *at = equals + 1; *at; at++)
    fputs(*at == '\'' ? "''" : (const char[]){*at, '\0'}, out);
  fputc('\'', out);
}

int gg_cli_plugin_config(char **yaml, const char *value)
{
  char *text = NULL;
  size_t size = 0;
  const char *equals = strchr(value, '=');
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return gg_cli_fail("out of memory");
  fputs(*yaml ? *yaml : "", out);
  int error = 0;
  if (equals)
    write_value(out, value, equals);
  else
    error = append_file(out, value);
  fputc('\n', out);
  if (fclose(out) != 0 && !error)
    error = ENOMEM;
  if (error) {
    free(text);
    return gg_cli_wrong("replay: --plugin-config: cannot read %s: %s", value, strerror(error));
  }
  free(*yaml);
  *yaml = text;
  return GG_EXIT_DONE;
}
