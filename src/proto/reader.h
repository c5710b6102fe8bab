/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reader.h - numbers, bytes and vectors out of a message that is there as a whole.
 *
 * What is not there any more reads as 0 or as nothing, and `failed` says so for good: a parser reads on, and asks once.
 */
#ifndef GG_PROTO_READER_H
#define GG_PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg__reader {
  const uint8_t *at;
  size_t left;
  bool failed;
};

static inline struct gg__reader gg__reader_of(const uint8_t *data, size_t length)
{
  return (struct gg__reader){.at = data, .left = length};
}

/* The next `length` bytes; NULL: there are less. */
static inline const uint8_t *gg__read_bytes(struct gg__reader *reader, size_t length)
{
  if (length > reader->left || !reader->at) {
    reader->failed = true;
    reader->left = 0;
    return NULL;
  }
  const uint8_t *bytes = reader->at;
  reader->at += length;
  reader->left -= length;
  return bytes;
}

/* A number of 1 to 4 bytes, the highest first. */
static inline uint32_t gg__read_number(struct gg__reader *reader, size_t bytes)
{
  const uint8_t *at = gg__read_bytes(reader, bytes);
  uint32_t number = 0;
  for (size_t i = 0; at && i < bytes; i++)
    number = number << 8 | at[i];
  return number;
}

static inline uint16_t gg__read_u16(struct gg__reader *reader)
{
  return (uint16_t)gg__read_number(reader, 2);
}

/* What a length of so many bytes in front says. A reader of its own; of nothing, if it is not all there. */
static inline struct gg__reader gg__read_vector(struct gg__reader *reader, size_t length_bytes)
{
  size_t length = gg__read_number(reader, length_bytes);
  const uint8_t *at = gg__read_bytes(reader, length);
  return (struct gg__reader){.at = at, .left = at ? length : 0, .failed = !at};
}

#endif
