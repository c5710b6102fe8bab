/* SPDX-License-Identifier: Apache-2.0 */
#include "record/session_id.h"

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

void gg_session_id_format(const struct gg_session_id *id, char text[GG_SESSION_ID_TEXT])
{
  static const char digits[] = "0123456789abcdef";
  for (unsigned i = 0; i < GG_SESSION_ID_BYTES; i++) {
    text[2 * i] = digits[id->bytes[i] >> 4];
    text[2 * i + 1] = digits[id->bytes[i] & 15];
  }
  text[2 * GG_SESSION_ID_BYTES] = '\0';
}
