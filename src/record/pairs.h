/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pairs.h - conversations with the same two ends that are open in a log at the same time.
 *
 * A client may have its port again as soon as the kernel has done with a connection. A gateway that is busy accepts the
 * new one before it has come to the end of the old one, and that end may wait for room, or for a slow receiver. Packets
 * of both are among each other in the file then, and readers, who tell sessions by their addresses, have to be told
 * whose a packet is:
 *
 *     old   SYN, id ── data ───────────────────────── FIN, id, continued ── end, id
 *     new                      SYN, id ── SYN-ACK ─┘                                └─ data, id, continued ── ...
 *
 * Those with the same ends are a ring. When one of them has written a packet, all others are as if they went on in
 * another segment: their next one repeats the facts (docs/format.md).
 *
 * Rejected: to end the old one first. What it has received is recorded when its receiver takes it, not before. And to
 * leave it to readers, by sequence numbers: others' would not do so.
 *
 * Thread: the one that writes these conversations. Nothing here can fail.
 */
#ifndef GG_RECORD_PAIRS_H
#define GG_RECORD_PAIRS_H

#include "record/conversation.h"

enum { GG_PAIRS_BUCKETS = 4096 };

/* Zeros but for the key are an empty one. */
struct gg_pairs {
  uint64_t key; /* random, so that nobody chooses addresses that are in one bucket */
  struct gg_conversation *buckets[GG_PAIRS_BUCKETS];
};

/* Before its first packet is written, its ends are known for good. Nothing for one that is there. */
void gg_pairs_enter(struct gg_pairs *pairs, struct gg_conversation *conversation);
/* Behind its last packet. Nothing for one that is not there. */
void gg_pairs_leave(struct gg_pairs *pairs, struct gg_conversation *conversation);

#endif
