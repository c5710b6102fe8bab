/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sized.h"

#include <assert.h>
#include <string.h>

static size_t size_of(const void *sized)
{
  size_t size;
  memcpy(&size, sized, sizeof size);
  return size;
}

int gg_sized_take(void *out, size_t known, size_t least, const void *given, const char *name,
                  struct gg_failure *failure)
{
  size_t size = size_of(given);
  assert(size_of(out) == known && least >= sizeof size && least <= known);
  if (size < least)
    return gg_fail(failure, GG_ERR_INVALID,
                   "%s.size is %zu, and was never less than %zu: it is set by the struct's _INIT", name, size, least);
  if (size > known)
    return gg_fail(failure, GG_ERR_INVALID,
                   "%s.size is %zu, but this library, version " GG_VERSION ", knows %zu: the "
                   "program was built for a later one",
                   name, size, known);
  memcpy(out, given, size);
  memcpy(out, &known, sizeof known);
  return 0;
}

int gg_sized_tell(void *out, const void *from, size_t known)
{
  size_t size = size_of(out);
  if (size < sizeof size)
    return GG_ERR_INVALID;
  size = size < known ? size : known;
  memcpy(out, from, size);
  memcpy(out, &size, sizeof size);
  return 0;
}
