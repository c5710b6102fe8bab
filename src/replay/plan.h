/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plan.h - a script made from a recording: one sweep over what matches in its segments, or over all of them (sweep.h),
 * then everything is read when it is due.
 *
 *   segments ──gg_sweep──► sessions that match ──► entries in memory, sorted by start (under 100 bytes each)
 *                     └──► their steps ──► a temporary file: 32 bytes a step, chained blocks of one session
 *
 *   playing:  entry ──► steps ──► bytes, through one cache of blocks of the segments and of the temporary file
 *
 * So memory is the entries, the sessions open at one time while planning, and the cache: a million sessions took
 * 120 MiB. Payload is never copied into the plan, but for bytes that a capture of others has out of order. What such a
 * capture has behind a side's own end is told as a gap: no TCP can play it.
 * Sessions next to each other in time are next to each other in the segments, so the cache serves most reads, for
 * thousands of sessions at once. Rejected: a reader for each session (gg_reader), which reads past all packets of the
 * others: with n sessions at once the file is read n times.
 *
 * The temporary file has no name (O_TMPFILE, or unlinked at once) and is in $TMPDIR, else /var/tmp, else /tmp; a
 * $TMPDIR that cannot be used is an error. It has some 32 bytes a packet with payload of the sessions that may match.
 * A segment that is removed or changes while the replay runs is told (GG_ERR_NOT_FOUND, GG_ERR_CORRUPT), not guessed;
 * but of what retention has removed, the sessions that were held are read on where it has kept them (plan_moved.c).
 * Thread: one at a time.
 */
#ifndef GG_REPLAY_PLAN_H
#define GG_REPLAY_PLAN_H

#include "net/addr.h"
#include "replay/script.h"

struct gg_plan;

struct gg_plan_options {
  const char *path; /* as gg_store_open takes it */
  const struct gg_filter *filter;
  const struct gg_endpoint *to; /* what will be played to, resolved; NULL: no session is found to come from it */
  bool (*progress)(void *context, uint64_t done, uint64_t total); /* false: stop, GG_ERR_CLOSED */
  void (*warning)(void *context, const char *text);
  void *context;
};

/* What `to` was for a session when it was recorded. */
enum gg_plan_original {
  GG_PLAN_ORIGINAL_NONE,
  GG_PLAN_ORIGINAL_UPSTREAM, /* the server it led to */
  GG_PLAN_ORIGINAL_DIALLED,  /* where its client connected to: the gateway, or the server of a capture of others */
};

/* No session matching is not an error here. */
int gg__plan_create(struct gg_plan **out, const struct gg_plan_options *options, struct gg_failure *failure);
void gg__plan_destroy(struct gg_plan *plan); /* NULL is fine */

struct gg_script *gg__plan_script(struct gg_plan *plan); /* borrowed; all sessions that match, also those not to play */
enum gg_plan_original gg__plan_original(const struct gg_plan *plan, size_t index);
/* Texts that only the dry run wants; from the temporary file. */
int gg__plan_ends(struct gg_plan *plan, size_t index, char client[64], char server[64], struct gg_failure *failure);

/* "TLS", "SSH" or NULL, from the first bytes of either side (RFC 8446 5.1, RFC 4253 4.2). Static. */
const char *gg__opaque_name(const uint8_t *client, size_t client_bytes, const uint8_t *server, size_t server_bytes);
enum { GG_OPAQUE_BYTES = 8 }; /* of each side are enough */

#endif
