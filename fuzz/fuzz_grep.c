/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern up to the first NUL, behind a byte of choices and one of how the text is cut; then the text. What is found
 * in pieces must be what is found in one push, and, where no limit was met, what one look at the whole text finds.
 */
#include "store/window.h"

#include <string.h>

enum { HITS_MAX = 4096, LONGEST = 256, TEXT_MAX = 2048 };

struct found {
  struct gg__hit hits[HITS_MAX];
  size_t count;
  uint64_t limits;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(void *context, const struct gg__hit *hit)
{
  struct found *found = context;
  if (hit->length == 0)
    __builtin_trap();
  found->hits[found->count++] = *hit;
  return found->count == HITS_MAX;
}

static void search(const struct gg__windowing *how, struct gg__finder *finder, const uint8_t *text, size_t length,
                   size_t piece, struct found *found)
{
  struct gg__window window = {0};
  found->count = 0;
  for (size_t at = 0, bytes; at < length; at += bytes) {
    bytes = length - at < piece ? length - at : piece;
    if (gg__window_push(&window, how, finder, text + at, bytes, at, at, take, found) != 0)
      __builtin_trap();
  }
  gg__window_end(&window, how, finder, take, found);
  found->limits = window.cut + window.gave_up;
  gg__window_fini(&window);
}

static void search_once(struct gg__finder *finder, const uint8_t *text, size_t length, struct found *found)
{
  struct gg__span span = {0, 0};
  found->count = 0;
  while (found->count < HITS_MAX &&
         gg__finder_find(finder, text, length, span.end, GG__STRETCH_ENDS, &span) == GG__FOUND_MATCH)
    found->hits[found->count++] = (struct gg__hit){.offset = span.begin, .length = span.end - span.begin};
}

static void compare(const struct found *left, const struct found *right, bool contexts)
{
  if (left->count != right->count)
    __builtin_trap();
  for (size_t i = 0; i < left->count; i++) {
    const struct gg__hit *one = &left->hits[i], *other = &right->hits[i];
    if (one->offset != other->offset || one->length != other->length)
      __builtin_trap();
    if (contexts && (one->before != other->before || one->after != other->after))
      __builtin_trap();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct found whole, split, once;
  struct gg_pattern_options options = GG_PATTERN_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_pattern *pattern = NULL;
  struct gg__finder *finder = NULL;
  const uint8_t *end = size > 2 ? memchr(data + 2, 0, size - 2) : NULL;
  if (!end)
    return 0;
  options.literal = data[0] & 1;
  options.ignore_case = data[0] & 2;
  size_t step = 1 + (data[0] >> 2), piece = 1 + data[1], length = (size_t)(data + size - end) - 1;
  length = length < TEXT_MAX ? length : TEXT_MAX;
  if (gg_pattern_compile(&pattern, &options, data + 2, (size_t)(end - data) - 2, &failure) != 0) {
    if (failure.message[0] == '\0')
      __builtin_trap(); /* every refusal says why */
    return 0;
  }
  if (gg__finder_create(&finder, pattern, NULL) == 0) {
    const struct gg__windowing how = {pattern, step, LONGEST, 5, 7};
    search(&how, finder, end + 1, length, TEXT_MAX, &whole);
    search(&how, finder, end + 1, length, piece, &split);
    compare(&whole, &split, true);
    search_once(finder, end + 1, length, &once);
    if (whole.limits == 0 && length <= LONGEST)
      compare(&whole, &once, false);
  }
  gg__finder_destroy(finder);
  gg_pattern_destroy(pattern);
  return 0;
}
