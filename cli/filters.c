/* SPDX-License-Identifier: Apache-2.0 */
/* filters.c - the page of the help that says how sessions are chosen, and lists every field. */
#include "commands.h"

#include <gogetway/decoder.h>
#include <gogetway/store.h>
#include <string.h>

static const char language[] =
  "Bare words choose sessions; all of them must hold:   gogetway sessions proto=http since=1h bytes=1M.. tag!=noise\n"
  "An expression has the whole language:                gogetway sessions --filter 'bytes > 1M and not tag = noise'\n"
  "\n"
  "  FIELD = VALUE   != < <= > >=    compared; a word may have them, too, but < and > need a shell's quotes\n"
  "  FIELD ~ REGEX   !~              a regular expression (PCRE2) that is found somewhere in the text\n"
  "  FIELD in (A, B, 5..7)           any of them; not in: none\n"
  "  and, or, not, ( )               not binds closest, then and\n"
  "  FLAG                            held, foreign, partial: the same as FLAG = yes\n"
  "  018c2f                          six or more digits of an id\n"
  "\n"
  "values:\n"
  "  text, tags, enum   web, web*, web-?; in quotes of either kind * and ? are themselves: \"we*b\", 'it''s'\n"
  "  number, port       80, 8000..8999, 1024.., ..1023\n"
  "  bytes              4096, 64k, 1M, 64KiB (powers of 1024); 10kB, 1MB (of 1000); 1M..2M\n"
  "  duration           250ms, 5s, 1m30s, 2h, 1d; 5s..\n"
  "  time               1h or -1h: so long ago; now; 2026-11-01: that day, UTC; 2026-11-01T12:00:00Z; 2h..1h\n"
  "  address            192.0.2.1, 192.0.2.1:4000, [::1]:4000, 10.0.0.0/8, unix\n"
  "  id                 the beginning of one\n"
  "  flag               yes, no\n"
  "\n"
  "A field with several values, such as tag, is equal if any of them is; `not` means that none is.\n"
  "\n";

/* Whether a decoder before `index` has a field of that name: HTTP/1 and HTTP/2 have the same. */
static bool is_known(const char *name, size_t index)
{
  for (size_t i = 0; i < index; i++)
    for (const struct gg_decoder_field *field = gg_decoder_at(i)->fields; field->name; field++)
      if (strcmp(field->name, name) == 0)
        return true;
  return false;
}

static void print_fields(FILE *out, const struct gg_decoder_field *field, size_t index)
{
  for (; field->name; field++)
    if (field->fact && !is_known(field->name, index))
      fprintf(out, "%-18s %-7s %-31s %s\n", field->name, field->kind == GG_FIELD_NUMBER ? "number" : "text",
              field->example, field->help);
}

int gg_cli_print_filters(FILE *out)
{
  fputs(language, out);
  fprintf(out, "%-15s %-9s %-24s %s\n", "FIELD", "KIND", "EXAMPLE", "WHAT IT IS (*: can be sorted by)");
  const struct gg_filter_field *field;
  for (size_t i = 0; (field = gg_filter_field_at(i)); i++)
    fprintf(out, "%-15s %-9s %-24s %s%s\n", field->name, field->kind, field->example, field->help,
            field->sortable ? " *" : "");
  fputs(
    "\nWhat decoders find in a session's messages is in the catalogue ('gogetway protocols' tells of decoders):\n\n",
    out);
  fprintf(out, "%-18s %-7s %-31s %s\n", "FIELD", "KIND", "EXAMPLE", "WHAT IT IS");
  print_fields(out, gg_decoder_common_fields(), 0);
  for (size_t i = 0; gg_decoder_at(i); i++)
    print_fields(out, gg_decoder_at(i)->fields, i);
  return GG_EXIT_DONE;
}
