/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include <stdlib.h>

void gg__record_free(struct gg__record *record)
{
  if (!record)
    return;
  for (struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__stream_fini(&part->stream[0]);
    gg__stream_fini(&part->stream[1]);
  }
  free(record->joined_tags);
  free(record->tags);
  free(record); /* its parts, their ranges, captures and texts are in one piece of memory with it */
}
