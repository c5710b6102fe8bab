/* SPDX-License-Identifier: Apache-2.0 */
/**
 * session_id.h - the name of a session: 96 bits, ordered by time of accept, unique over workers and restarts.
 *
 *   6 bytes  milliseconds since 1970, big endian
 *   2 bytes  salt of the process and worker
 *   4 bytes  counter of the worker, from a random start
 *
 * Written as 24 lower-case hexadecimal digits; commands accept any prefix that is unique.
 */
#ifndef GG_RECORD_SESSION_ID_H
#define GG_RECORD_SESSION_ID_H

#include <stdint.h>

enum { GG_SESSION_ID_BYTES = 12, GG_SESSION_ID_TEXT = 25 };

struct gg_session_id {
  uint8_t bytes[GG_SESSION_ID_BYTES];
};

/* One per worker; its functions are for that worker's thread only. */
struct gg_session_id_source {
  uint16_t salt;
  uint32_t counter;
};

void gg_session_id_source_init(struct gg_session_id_source *source); /* random (getrandom) */
struct gg_session_id gg_session_id_next(struct gg_session_id_source *source, uint64_t real_ns);
void gg_session_id_format(const struct gg_session_id *id, char text[GG_SESSION_ID_TEXT]);
struct gg_session_id gg_session_id_of(const char *text); /* that was written so */

#endif
