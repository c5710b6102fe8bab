/* SPDX-License-Identifier: Apache-2.0 */
/* protocols.c - the command that says which protocols are understood. */
#include "commands.h"

#include <gogetway/decoder.h>
#include <string.h>

enum { OPTION_JSON, NAMES_MAX = 256 };

static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line, with kinds of messages and fields"},
};

static void put_row(const struct gg_decoder *decoder)
{
  printf("%-12s %-10s %s\n", decoder->name, decoder->protocol, decoder->title ? decoder->title : "");
}

static void put_fields(const struct gg_decoder *decoder)
{
  fputs("\nmessages:", stdout);
  for (const char *const *kind = decoder->kinds; *kind; kind++)
    printf(" %s", *kind);
  fputs("\n\n", stdout);
  printf("%-20s %-7s %-5s %-44s %s\n", "FIELD", "KIND", "FACT", "WHAT", "EXAMPLE");
  for (const struct gg_decoder_field *field = decoder->fields; field->name; field++)
    printf("%-20s %-7s %-5s %-44s %s\n", field->name, field->kind == GG_FIELD_NUMBER ? "number" : "text",
           field->fact ? "yes" : "no", field->help, field->example ? field->example : "-");
}

static int put_json(const struct gg_decoder *decoder)
{
  static char text[GG_DECODER_JSON_MAX];
  if (gg_decoder_json(decoder, text, sizeof text) == 0)
    return gg_cli_fail("the decoder %s has too many fields to be shown as JSON", decoder->name);
  puts(text);
  return GG_EXIT_DONE;
}

static int unknown(const char *name)
{
  const char *names[NAMES_MAX];
  size_t count = 0;
  for (; count < NAMES_MAX && gg_decoder_at(count); count++)
    names[count] = gg_decoder_at(count)->name;
  const char *nearest = gg_cli_nearest(name, names, count);
  return gg_cli_wrong("protocols: there is no decoder '%s'; %s%s%s", name,
                      nearest ? "did you mean " : "'gogetway protocols' lists them", nearest ? nearest : "",
                      nearest ? "?" : "");
}

/* `name` NULL: all of them, in the order in which they are asked. */
static int list(const char *name, bool json)
{
  if (!json)
    printf("%-12s %-10s %s\n", "DECODER", "PROTOCOL", "TITLE");
  for (size_t i = 0; gg_decoder_at(i); i++) {
    const struct gg_decoder *decoder = gg_decoder_at(i);
    if (name && strcmp(name, decoder->name) != 0)
      continue;
    int status = GG_EXIT_DONE;
    if (json)
      status = put_json(decoder);
    else
      put_row(decoder);
    if (status != GG_EXIT_DONE)
      return status;
    if (name && !json)
      put_fields(decoder);
  }
  return GG_EXIT_DONE;
}

static int run_protocols(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  const char *name = NULL;
  bool json = false;
  (void)cli;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_JSON)
      json = true;
    else if (what == GG_CLI_WORD && !name)
      name = args.value;
    else if (what == GG_CLI_WORD)
      return gg_cli_wrong("protocols: one decoder at a time, but there are '%s' and '%s'", name, args.value);
    else
      return GG_EXIT_USAGE;
  }
  return name && !gg_decoder_find(name) ? unknown(name) : list(name, json);
}

const struct gg_command gg_command_protocols = {
  .name = "protocols",
  .summary = "which protocols are understood, and what is found in them",
  .synopsis = "[DECODER] [--json]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "PROTOCOL is what sessions are called (proto=NAME); DECODER who understands them (--decoder NAME of show and\n"
    "messages). With a DECODER, its fields come too; facts among them are kept of each session.\n"
    "\n"
    "examples:\n"
    "  gogetway protocols\n"
    "  gogetway protocols http1\n",
  .run = run_protocols,
};
