/* SPDX-License-Identifier: Apache-2.0 */
/* What those can ask who are told of messages. */
#include <gogetway/decoder.h>
#include <string.h>
#include <strings.h>

const char *gg_opaque_why_text(enum gg_opaque_why why)
{
  static const char *const texts[] = {[GG_OPAQUE_ENCRYPTED] = "encrypted", [GG_OPAQUE_UNKNOWN] = "unknown",
                                      [GG_OPAQUE_FAILED] = "failed",       [GG_OPAQUE_GAP] = "gap",
                                      [GG_OPAQUE_LIMIT] = "limit",         [GG_OPAQUE_CUT] = "cut"};
  return (size_t)why < sizeof texts / sizeof *texts ? texts[why] : "";
}

const struct gg_field *gg_message_field(const struct gg_message *message, const char *name, const char *key)
{
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (strcmp(field->of->name, name) == 0 && (!key || (field->key && strlen(key) == field->key_length &&
                                                        strncasecmp(key, field->key, field->key_length) == 0)))
      return field;
  }
  return NULL;
}
