/* SPDX-License-Identifier: Apache-2.0 */
#include "record/section.h"

#include <assert.h>
#include <string.h>

enum {
  BLOCK_SECTION = 0x0A0D0D0A,
  BLOCK_INTERFACE = 1,
  BLOCK_STATISTICS = 5,
  BYTE_ORDER_MAGIC = 0x1A2B3C4D,
  LINKTYPE_ETHERNET = 1,
  OPTION_END = 0,
  OPTION_COMMENT = 1,
  OPTION_SHB_OS = 3,
  OPTION_SHB_APPLICATION = 4,
  OPTION_IF_NAME = 2,
  OPTION_IF_TSRESOL = 9,
  OPTION_ISB_IFDROP = 5,
  OPTION_HEAD = 4,
  BLOCK_LEAST = 12,
};

static uint8_t *put16(uint8_t *at, unsigned value)
{
  uint16_t v = (uint16_t)value;
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}

static uint8_t *put32(uint8_t *at, uint64_t value)
{
  uint32_t v = (uint32_t)value;
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}

static uint32_t get32(const uint8_t *at)
{
  uint32_t v;
  memcpy(&v, at, sizeof v);
  return v;
}

static size_t padded(size_t length)
{
  return (length + 3) & ~(size_t)3;
}

static uint8_t *put_option(uint8_t *at, unsigned code, const void *value, size_t length)
{
  at = put16(at, code);
  at = put16(at, (unsigned)length);
  if (length)
    memcpy(at, value, length);
  memset(at + length, 0, padded(length) - length);
  return at + padded(length);
}

static uint8_t *put_text(uint8_t *at, unsigned code, const char *text)
{
  if (!text || !*text)
    return at;
  size_t length = strnlen(text, GG_SECTION_TEXT_MAX + 1);
  if (length > GG_SECTION_TEXT_MAX) {
    length = GG_SECTION_TEXT_MAX;
    while (length > 0 && ((unsigned char)text[length] & 0xC0u) == 0x80u)
      length--;
  }
  return put_option(at, code, text, length);
}

/* Writes the end of the options and both lengths of the block that begins at `block`. */
static size_t close_block(uint8_t *block, uint8_t *at)
{
  at = put_option(at, OPTION_END, NULL, 0);
  size_t length = (size_t)(at - block) + 4;
  put32(block + 4, length);
  put32(at, length);
  return length;
}

size_t gg_section_header(uint8_t *at, const char *application, const char *os, const char *comment)
{
  uint8_t *p = put32(at, BLOCK_SECTION);
  p = put32(p, 0); /* length: close_block */
  p = put32(p, BYTE_ORDER_MAGIC);
  p = put16(p, 1); /* version 1.0 */
  p = put16(p, 0);
  p = put32(p, UINT32_MAX); /* section length unknown: -1 in 64 bits */
  p = put32(p, UINT32_MAX);
  p = put_text(p, OPTION_COMMENT, comment);
  p = put_text(p, OPTION_SHB_OS, os);
  p = put_text(p, OPTION_SHB_APPLICATION, application);
  size_t length = close_block(at, p);
  assert(length <= GG_SECTION_HEADER_MAX);
  return length;
}

size_t gg_section_interface(uint8_t *at, const char *name)
{
  const uint8_t nanoseconds = 9;
  uint8_t *p = put32(at, BLOCK_INTERFACE);
  p = put32(p, 0);
  p = put16(p, LINKTYPE_ETHERNET);
  p = put16(p, 0);
  p = put32(p, GG_SECTION_SNAPLEN);
  p = put_text(p, OPTION_IF_NAME, name);
  p = put_option(p, OPTION_IF_TSRESOL, &nanoseconds, 1);
  size_t length = close_block(at, p);
  assert(length <= GG_SECTION_INTERFACE_MAX);
  return length;
}

size_t gg_section_statistics_least(const struct gg_section_statistics *statistics)
{
  size_t least = GG_SECTION_STATISTICS_MIN;
  if (statistics->has_dropped)
    least += OPTION_HEAD + 8;
  if (statistics->comment_length)
    least += OPTION_HEAD + padded(statistics->comment_length);
  return least > GG_SECTION_STATISTICS_MIN ? least + OPTION_HEAD : least;
}

size_t gg_section_padding(uint64_t position, uint64_t unit, size_t least)
{
  assert((unit & (unit - 1)) == 0 && unit > 0 && position % 4 == 0);
  size_t bytes = (size_t)((0 - position) & (unit - 1));
  if (bytes == 0 && least == 0)
    return 0;
  if (least < GG_SECTION_STATISTICS_MIN)
    least = GG_SECTION_STATISTICS_MIN;
  while (bytes < least)
    bytes += (size_t)unit;
  return bytes;
}

void gg_section_statistics(uint8_t *at, size_t bytes, const struct gg_section_statistics *statistics)
{
  assert(bytes % 4 == 0 && bytes >= gg_section_statistics_least(statistics) && bytes <= GG_SECTION_STATISTICS_MAX);
  assert(statistics->comment_length <= GG_SECTION_TEXT_MAX);
  uint8_t *p = put32(at, BLOCK_STATISTICS);
  p = put32(p, bytes);
  p = put32(p, 0); /* interface */
  p = put32(p, statistics->time_ns >> 32);
  p = put32(p, statistics->time_ns & UINT32_MAX);
  if (statistics->has_dropped)
    p = put_option(p, OPTION_ISB_IFDROP, &statistics->dropped, sizeof statistics->dropped);
  uint8_t *end = at + bytes - 4;
  if (end - p >= 2 * OPTION_HEAD) { /* a comment that fills what is left before the end of the options */
    size_t length = (size_t)(end - p) - 2 * OPTION_HEAD;
    p = put16(p, OPTION_COMMENT);
    p = put16(p, (unsigned)length);
    if (statistics->comment_length)
      memcpy(p, statistics->comment, statistics->comment_length);
    memset(p + statistics->comment_length, ' ', length - statistics->comment_length);
    p += length;
  }
  if (end - p == OPTION_HEAD)
    p = put_option(p, OPTION_END, NULL, 0);
  assert(p == end);
  put32(p, bytes);
}

size_t gg_block_whole(const uint8_t *at, size_t room)
{
  if (room < BLOCK_LEAST)
    return 0;
  size_t length = get32(at + 4);
  if (get32(at) == 0 || length < BLOCK_LEAST || length % 4 != 0 || length > room)
    return 0;
  return get32(at + length - 4) == length ? length : 0;
}
