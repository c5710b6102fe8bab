/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/document.h"

#include "proto/decoders.h"

#include <stdio.h>
#include <stdlib.h>

static const char head[] =
  "# Protocols\n"
  "\n"
  "<!-- Made from the tables of the decoders by `tools/document protocols`. Do not edit. -->\n"
  "\n"
  "What gogetway understands of sessions, on any port, and what it finds in their messages. A field with a filter\n"
  "is kept of each session by the catalogue: `gogetway sessions http.status=500..` finds those by it. Messages of a\n"
  "protocol that is not here can be told apart by a [framing](decoders.md#framings-messages-without-a-decoder), and a\n"
  "decoder of your own is a file: [decoders.md](decoders.md).\n";

/* In a cell of a table. */
static void put_cell(FILE *out, const char *text)
{
  for (; *text; text++)
    fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void put_fields(FILE *out, const struct gg_decoder_field *fields)
{
  fputs("\n| field | is | filter | what |\n|---|---|---|---|\n", out);
  for (; fields->name; fields++) {
    const char *quote = fields->example ? "`" : "";
    fprintf(out, "| `%s` | %s | %s", fields->name, fields->kind == GG_FIELD_NUMBER ? "number" : "text", quote);
    put_cell(out, fields->example ? fields->example : "");
    fprintf(out, "%s | ", quote);
    put_cell(out, fields->help);
    fputs(" |\n", out);
  }
}

static void put_decoder(FILE *out, const struct gg_decoder *decoder)
{
  fprintf(out, "\n## %s\n\n%s. Sessions are called `proto=%s`", decoder->name, decoder->title, decoder->protocol);
  fprintf(out, "%s.%s Messages:", decoder->envelope ? ", if what they carry has no name of its own" : "",
          decoder->identify ? "" : " It is never told by the first bytes.");
  for (size_t i = 0; decoder->kinds[i]; i++)
    fprintf(out, "%s %s", i ? "," : "", decoder->kinds[i]);
  fputs(".\n", out);
  if (decoder->fields->name)
    put_fields(out, decoder->fields);
}

char *gg__decoders_document(void)
{
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  if (!out)
    return NULL;
  fputs(head, out);
  fputs("\n## Every session\n\nWhat is kept of each that was decoded, whatever its protocol.\n", out);
  put_fields(out, gg_decoder_common_fields());
  for (size_t i = 0; gg_decoder_at(i); i++)
    put_decoder(out, gg_decoder_at(i));
  int failed = ferror(out);
  if (fclose(out) == 0 && !failed)
    return text;
  free(text);
  return NULL;
}
