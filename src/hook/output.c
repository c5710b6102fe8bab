/* SPDX-License-Identifier: Apache-2.0 */
#include "hook/output.h"

#include <stdlib.h>
#include <string.h>

int gg_output_reserve(struct gg_output *output, size_t more)
{
  if (more > output->most || output->length > output->most - more)
    return GG_ERR_LIMIT;
  size_t needed = output->length + more, size = output->size ? output->size : GG_OUTPUT_FIRST_BYTES;
  while (size < needed)
    size *= 2;
  if (size == output->size)
    return GG_OK;
  uint8_t *bytes = realloc(output->bytes, size);
  if (!bytes)
    return GG_ERR_NOMEM;
  output->bytes = bytes;
  output->size = size;
  return GG_OK;
}

int gg_output_append(struct gg_output *output, const void *bytes, size_t length)
{
  int error = length > 0 ? gg_output_reserve(output, length) : GG_OK;
  if (error) {
    output->error = output->error ? output->error : error;
    return error;
  }
  output->given = true;
  if (length > 0)
    memcpy(output->bytes + output->length, bytes, length);
  output->length += length;
  return GG_OK;
}

void gg_output_fini(struct gg_output *output)
{
  free(output->bytes);
  *output = (struct gg_output){.most = output->most};
}
