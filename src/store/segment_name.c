/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char suffix[] = ".pcapng", kept[] = ".kept";
enum { GENERATION_MAX = 999999 };

bool gg__segment_log(const char *file, char log[GG__SEGMENT_LOG_MAX])
{
  const char *first = strchr(file, '-'), *last = strrchr(file, '-'), *dot = strrchr(file, '.');
  if (!first || first == last || !dot || strcmp(dot, ".pcapng") != 0 || last - first > GG__SEGMENT_LOG_MAX - 1)
    return false;
  size_t length = (size_t)(last - first - 1);
  memcpy(log, first + 1, length);
  log[length] = '\0';
  return length > 0;
}

uint64_t gg__segment_number(const char *file)
{
  const char *last = strrchr(file, '-');
  return last ? strtoull(last + 1, NULL, 10) : 0;
}

unsigned gg__segment_process(const char *file)
{
  char log[GG__SEGMENT_LOG_MAX];
  if (!gg__segment_log(file, log))
    return 0;
  const char *last = strrchr(log, '-');
  bool numbered = last && last[1] && strspn(last + 1, "0123456789") == strlen(last + 1);
  return numbered ? (unsigned)strtoul(last + 1, NULL, 10) : 1;
}

size_t gg__segment_base(const char *file, unsigned *generation)
{
  size_t length = strlen(file), tail = sizeof suffix - 1;
  *generation = 0;
  if (length < tail || strcmp(file + length - tail, suffix) != 0)
    return length;
  length -= tail;
  size_t digits = 0;
  while (digits < length && file[length - 1 - digits] >= '0' && file[length - 1 - digits] <= '9')
    digits++;
  size_t mark = sizeof kept - 1, at = length - digits;
  if (digits == 0 || digits > 6 || at < mark || memcmp(file + at - mark, kept, mark) != 0 || file[at] == '0')
    return length;
  *generation = (unsigned)strtoul(file + at, NULL, 10);
  return at - mark;
}

bool gg__segment_same_base(const char *a, const char *b)
{
  unsigned ignored;
  size_t length = gg__segment_base(a, &ignored);
  return length == gg__segment_base(b, &ignored) && memcmp(a, b, length) == 0;
}

int gg__segment_order(const char *a, const char *b)
{
  unsigned generation_a, generation_b;
  size_t length_a = gg__segment_base(a, &generation_a), length_b = gg__segment_base(b, &generation_b);
  int order = memcmp(a, b, length_a < length_b ? length_a : length_b);
  if (order)
    return order;
  if (length_a != length_b)
    return length_a < length_b ? -1 : 1;
  return (generation_a > generation_b) - (generation_a < generation_b);
}

bool gg__segment_next_name(const char *file, char *name, size_t size)
{
  unsigned generation;
  size_t length = gg__segment_base(file, &generation);
  if (generation == GENERATION_MAX)
    return false;
  int printed = snprintf(name, size, "%.*s%s%u%s", (int)length, file, kept, generation + 1, suffix);
  return printed > 0 && (size_t)printed < size;
}
