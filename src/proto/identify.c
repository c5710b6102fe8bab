/* SPDX-License-Identifier: Apache-2.0 */
/* Which decoder, from the first bytes. All are asked; the first that is certain has it. Who is only likely has it when
 * nobody says any more that he may be it: so a line of text is not called "lines" while it may become a request. Who
 * has said of a side's bytes that they are not his is not asked of more of them. */
#include "base/utf8.h"
#include "proto/decoders.h"
#include "proto/decoding.h"

#include <assert.h>
#include <stdio.h>

static const struct gg_decoder *candidate(const struct gg_decoding *decoding, size_t index)
{
  return index < decoding->more_count ? decoding->more[index] : gg_decoder_at(index - decoding->more_count);
}

enum gg__identified gg__identify(struct gg_decoding *decoding, const struct gg_opening *opening, bool last,
                                 const struct gg_decoder **out)
{
  const struct gg_decoder *likely = NULL;
  bool open = false;
  for (size_t i = 0; candidate(decoding, i); i++) {
    const struct gg_decoder *decoder = candidate(decoding, i);
    assert(i < GG__CANDIDATES_MAX);
    enum gg_likeness likeness = decoder->identify && !decoding->out[i] ? decoder->identify(opening) : GG_LIKENESS_NONE;
    decoding->out[i] = likeness == GG_LIKENESS_NONE;
    if (likeness == GG_LIKENESS_CERTAIN) {
      *out = decoder;
      return GG__IDENTIFY_TOLD;
    }
    if (likeness == GG_LIKENESS_LIKELY && !likely)
      likely = decoder;
    open = open || likeness == GG_LIKENESS_OPEN;
  }
  if ((open || !likely) && !last) /* what nobody knows is described by as much of it as may be looked at */
    return GG__IDENTIFY_MORE;
  *out = likely;
  return likely ? GG__IDENTIFY_TOLD : GG__IDENTIFY_UNKNOWN;
}

/* ── What it is if it is nothing that is known ───────────────────────────────────────────────────────────────────── */

enum { LOG_BITS = 16 };

/* The logarithm to base 2 of a number from 1 on, times 1 << LOG_BITS: digit by digit, each the carry of a square. */
static uint64_t log_2(uint32_t number)
{
  unsigned whole = 31 - (unsigned)__builtin_clz(number);
  uint64_t rest = (uint64_t)number << (31 - whole); /* from 1 to 2, times 1 << 31 */
  uint64_t digits = whole;
  for (unsigned i = 0; i < LOG_BITS; i++) {
    rest = rest * rest >> 31;
    digits = digits << 1 | rest >> 32;
    rest >>= rest >> 32;
  }
  return digits;
}

/* Bits a byte, times ten. */
static unsigned entropy(const uint8_t *data, size_t length)
{
  uint32_t counts[256] = {0};
  for (size_t i = 0; i < length; i++)
    counts[data[i]]++;
  uint64_t bits = 0;
  for (size_t i = 0; i < 256; i++)
    if (counts[i])
      bits += counts[i] * (log_2((uint32_t)length) - log_2(counts[i]));
  return length ? (unsigned)((bits * 10 / length + (1u << (LOG_BITS - 1))) >> LOG_BITS) : 0;
}

static bool is_text(const uint8_t *data, size_t length)
{
  for (size_t i = 0; i < length;) {
    uint32_t point;
    size_t used = gg_utf8_next((const char *)data + i, length - i, &point);
    if (!used)
      return length - i < 4 && data[i] >= 0xc0; /* a character that is cut at the end */
    if (point < 0x20 && point != '\t' && point != '\n' && point != '\r' && point != '\f' && point != 0x1b)
      return false;
    i += used;
  }
  return true;
}

void gg__identify_describe(const struct gg_opening *opening, char *text, size_t size)
{
  enum gg_side side = opening->length[GG_SIDE_CLIENT] ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
  const uint8_t *data = opening->data[side];
  size_t length = opening->length[side];
  unsigned tenths = entropy(data, length);
  int written = snprintf(text, size, "%s, %u.%u bits of entropy a byte, begins",
                         is_text(data, length) ? "text" : "binary", tenths / 10, tenths % 10);
  for (size_t i = 0; i < length && i < 16 && written > 0 && (size_t)written + 4 < size; i++)
    written += snprintf(text + written, size - (size_t)written, " %02x", data[i]);
}
