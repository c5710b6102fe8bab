/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/decoders.h"

#include <string.h>

/* In the order in which they are asked whose a session is: those that know theirs by a magic number first, and those
 * that take any text last. */
static const struct gg_decoder *const decoders[] = {
  &gg__decoder_http1,
};

const struct gg_decoder *gg_decoder_at(size_t index)
{
  return index < sizeof decoders / sizeof *decoders ? decoders[index] : NULL;
}

const struct gg_decoder *gg_decoder_find(const char *name)
{
  for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
    if (strcmp(decoders[i]->name, name) == 0)
      return decoders[i];
  return NULL;
}
