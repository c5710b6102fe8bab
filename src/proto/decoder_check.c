/* SPDX-License-Identifier: Apache-2.0 */
/* decoder_check.c - whether a decoder that is not built in can be worked with. What it names comes into the catalogue
 * and onto terminals, so names have the letters that ours have. */
#include "proto/decoders.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum { FIELDS_MAX = 1024 }; /* a table without its end is somebody else's memory */

static bool is_name(const char *name, const char *letters, size_t size)
{
  size_t length = strnlen(name, size);
  return length > 0 && length < size && strchr(LETTERS, name[0]) && strspn(name, letters) == length;
}

static int check_names(const struct gg_decoder *decoder, struct gg_failure *failure)
{
  const char *const names[] = {decoder->name, decoder->protocol};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!is_name(names[i], LETTERS DIGITS, GG__DECODER_NAME_MAX))
      return gg_fail(failure, GG_ERR_INVALID, "%s is '%.40s', which is not a-z and then a-z and 0-9, %d at the most",
                     i == 0 ? "name" : "protocol", names[i], GG__DECODER_NAME_MAX - 1);
  return 0;
}

static int check_fields(const struct gg_decoder *decoder, struct gg_failure *failure)
{
  for (size_t i = 0; decoder->fields[i].name; i++) {
    const struct gg_decoder_field *field = &decoder->fields[i];
    if (i == FIELDS_MAX)
      return gg_fail(failure, GG_ERR_INVALID, "the decoder '%s' has more than %d fields", decoder->name, FIELDS_MAX);
    if (!is_name(field->name, LETTERS DIGITS "._", GG__DECODER_FIELD_MAX) || !strchr(field->name, '.'))
      return gg_fail(failure, GG_ERR_INVALID,
                     "fields[%zu].name of the decoder '%s' is '%.80s', which is not like %s.word, a-z, 0-9, . and _", i,
                     decoder->name, field->name, decoder->protocol);
    if (field->kind != GG_FIELD_TEXT && field->kind != GG_FIELD_NUMBER)
      return gg_fail(failure, GG_ERR_INVALID, "fields[%zu].kind of the decoder '%s' is %d, which is none", i,
                     decoder->name, (int)field->kind);
  }
  return 0;
}

int gg__decoder_check(const struct gg_decoder *decoder, struct gg_failure *failure)
{
  if (!decoder || decoder->abi != GG_DECODER_ABI || decoder->size < sizeof *decoder)
    return gg_fail(failure, GG_ERR_INVALID, "a decoder is not of version %d of the interface", GG_DECODER_ABI);
  if (!decoder->name || !decoder->protocol || !decoder->kinds || !decoder->fields || !decoder->push)
    return gg_fail(failure, GG_ERR_INVALID, "the decoder '%.40s' lacks its %s", decoder->name ? decoder->name : "",
                   !decoder->name       ? "name"
                   : !decoder->protocol ? "protocol"
                   : !decoder->kinds    ? "kinds"
                   : !decoder->fields   ? "fields"
                                        : "push");
  int error = check_names(decoder, failure);
  return error ? error : check_fields(decoder, failure);
}
