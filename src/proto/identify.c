/* SPDX-License-Identifier: Apache-2.0 */
/* Which decoder, from the first bytes. All are asked; the first that is certain has it. Who is only likely has it when
 * nobody says any more that he may be it: so a line of text is not called "lines" while it may become a request. Who
 * has said of a side's bytes that they are not his is not asked of more of them. */
#include "base/utf8.h"
#include "proto/decoders.h"
#include "proto/decoding.h"

#include <assert.h>
#include <math.h>
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

static double entropy(const uint8_t *data, size_t length)
{
  unsigned counts[256] = {0};
  for (size_t i = 0; i < length; i++)
    counts[data[i]]++;
  double bits = 0;
  for (size_t i = 0; i < 256; i++)
    if (counts[i])
      bits -= counts[i] * log2((double)counts[i] / (double)length);
  return length ? bits / (double)length : 0;
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
  int written = snprintf(text, size, "%s, %.1f bits of entropy a byte, begins",
                         is_text(data, length) ? "text" : "binary", entropy(data, length));
  for (size_t i = 0; i < length && i < 16 && written > 0 && (size_t)written + 4 < size; i++)
    written += snprintf(text + written, size - (size_t)written, " %02x", data[i]);
}
