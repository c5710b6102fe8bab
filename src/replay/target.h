/* SPDX-License-Identifier: Apache-2.0 */
/**
 * target.h - where a replay goes: what the user wrote, resolved once.
 *
 * Thread: any; may wait for the system's resolver.
 */
#ifndef GG_REPLAY_TARGET_H
#define GG_REPLAY_TARGET_H

#include "net/addr.h"

struct gg_target {
  struct gg_endpoint to; /* a literal address, or a unix path */
  struct gg_network source;
  bool has_source;
  char text[128]; /* `to`, as it was resolved */
};

/* `source` may be NULL. A name has its first IPv4 address, else its first one; of the source's family if there is a
 * source. 0.0.0.0 and [::] are the loopback address. GG_ERR_INVALID: one of the texts is not what it should be;
 * GG_ERR_RESOLVE. */
int gg__target_find(struct gg_target *out, const char *to, const char *source, struct gg_failure *failure);

/* An address as a connection to it is made: 0.0.0.0 is 127.0.0.1, [::] is [::1]; others stay. */
void gg__target_settle(struct gg_addr *addr);

#endif
