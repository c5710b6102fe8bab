/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tags.h"

#include <stdlib.h>
#include <string.h>

int gg__tags_set(struct gg_session *session, void **memory, const char *packed)
{
  free(*memory);
  *memory = NULL;
  session->tags = NULL;
  session->tag_count = 0;
  if (!packed[0])
    return 0;
  size_t count = 1, length = strlen(packed);
  for (const char *at = packed; (at = strchr(at, ' ')); at++)
    count++;
  /* The list, and behind it the text with NULs instead of blanks. */
  const char **list = malloc(count * sizeof *list + length + 1);
  if (!list)
    return GG_ERR_NOMEM;
  char *at = memcpy(list + count, packed, length + 1);
  for (size_t i = 0; i < count; i++) {
    list[i] = at;
    at += strcspn(at, " ");
    *at++ = '\0';
  }
  *memory = list;
  session->tags = list;
  session->tag_count = count;
  return 0;
}
