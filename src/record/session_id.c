/* SPDX-License-Identifier: Apache-2.0 */
#include "record/session_id.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void gg_session_id_source_init(struct gg_session_id_source *source)
{
  uint8_t random[6];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
    /* Only on a kernel without the call. The id has to be unique here, not secret. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t mix = ((uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32 ^ (uintptr_t)source) * 0x9e3779b97f4a7c15u;
    memcpy(random, &mix, sizeof random);
  }
  memcpy(&source->salt, random, 2);
  memcpy(&source->counter, random + 2, 4);
}

struct gg_session_id gg_session_id_next(struct gg_session_id_source *source, uint64_t real_ns)
{
  struct gg_session_id id;
  uint64_t milliseconds = real_ns / 1000000;
  uint32_t counter = source->counter++;
  for (unsigned i = 0; i < 6; i++)
    id.bytes[i] = (uint8_t)(milliseconds >> (40 - 8 * i));
  id.bytes[6] = (uint8_t)(source->salt >> 8);
  id.bytes[7] = (uint8_t)source->salt;
  for (unsigned i = 0; i < 4; i++)
    id.bytes[8 + i] = (uint8_t)(counter >> (24 - 8 * i));
  return id;
}

/* Eight digits of four bytes at once: a plug-in is told the id with each call, and a loop over the digits was a seventh
 * of what one cost that wants nothing. */
static void put_digits(const uint8_t bytes[4], char text[8])
{
  const uint64_t each = UINT64_C(0x0101010101010101);
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  uint64_t lanes = le32toh(word); /* each byte into 16 bits, so that its halves have a byte each */
  lanes = (lanes | lanes << 16) & UINT64_C(0x0000ffff0000ffff);
  lanes = (lanes | lanes << 8) & UINT64_C(0x00ff00ff00ff00ff);
  uint64_t halves = (lanes >> 4 & UINT64_C(0x000f000f000f000f)) | (lanes & UINT64_C(0x000f000f000f000f)) << 8;
  uint64_t letters = (halves + 6 * each) >> 4 & each; /* 1 where it is 10 or more */
  uint64_t digits = htole64(halves + '0' * each + letters * ('a' - '0' - 10));
  memcpy(text, &digits, sizeof digits);
}

void gg_session_id_format(const struct gg_session_id *id, char text[GG_SESSION_ID_TEXT])
{
  _Static_assert(GG_SESSION_ID_BYTES % 4 == 0, "whole words");
  for (size_t i = 0; i < GG_SESSION_ID_BYTES; i += 4)
    put_digits(id->bytes + i, text + 2 * i);
  text[2 * GG_SESSION_ID_BYTES] = '\0';
}

static uint8_t digit(char c)
{
  return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

struct gg_session_id gg_session_id_of(const char *text)
{
  struct gg_session_id id;
  for (size_t i = 0; i < GG_SESSION_ID_BYTES; i++)
    id.bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
  return id;
}
