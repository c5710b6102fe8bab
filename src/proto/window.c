/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/decoding.h"

#include <stdlib.h>
#include <string.h>

uint64_t gg__window_time(const struct gg__window *window, uint64_t offset)
{
  size_t low = 0;
  for (size_t high = window->time_count; high - low > 1;) { /* the last that is not behind it */
    size_t middle = low + (high - low) / 2;
    if (window->times[middle].offset <= offset)
      low = middle;
    else
      high = middle;
  }
  return window->time_count ? window->times[low].time_ns : 0;
}

/* Those of bytes that were taken, but for the last ones: a message may end where one before the window does. */
static void forget_times(struct gg__window *window)
{
  size_t gone = 0;
  while (gone < window->time_count - GG__TIMES_KEPT && window->times[gone + 1].offset < window->offset)
    gone++;
  if (gone >= GG__TIMES_KEPT) {
    window->time_count -= gone;
    memmove(window->times, window->times + gone, window->time_count * sizeof *window->times);
  }
}

bool gg__window_mark(struct gg_decoding *decoding, struct gg__window *window, uint64_t offset, uint64_t time_ns)
{
  if (window->time_count && window->times[window->time_count - 1].time_ns == time_ns)
    return true;
  if (window->time_count >= 2 * GG__TIMES_KEPT)
    forget_times(window);
  if (window->time_count == window->time_capacity) {
    size_t wanted = window->time_capacity ? window->time_capacity * 2 : 8;
    struct gg__mark_of_time *times =
      gg__decoding_resize(decoding, window->times, window->time_capacity * sizeof *times, wanted * sizeof *times);
    if (!times)
      return false;
    window->times = times;
    window->time_capacity = wanted;
  }
  window->times[window->time_count++] = (struct gg__mark_of_time){.offset = offset, .time_ns = time_ns};
  return true;
}

bool gg__window_keep(struct gg_decoding *decoding, struct gg__window *window, const uint8_t *data, size_t length)
{
  if (window->length + length > window->capacity) {
    size_t wanted = window->capacity ? window->capacity : 512;
    while (wanted < window->length + length)
      wanted *= 2;
    uint8_t *kept = gg__decoding_resize(decoding, window->data, window->capacity, wanted);
    if (!kept)
      return false;
    window->data = kept;
    window->capacity = wanted;
  }
  memcpy(window->data + window->length, data, length);
  window->length += length;
  return true;
}

void gg__window_take(struct gg__window *window, size_t length)
{
  window->length -= length;
  window->offset += length;
  if (length)
    memmove(window->data, window->data + length, window->length);
}

void gg__window_free(struct gg_decoding *decoding, struct gg__window *window)
{
  decoding->memory -= window->capacity + window->time_capacity * sizeof *window->times;
  free(window->data);
  free(window->times);
  *window = (struct gg__window){.offset = window->offset};
}
