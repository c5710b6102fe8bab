/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sweep.h - every session of a store in one pass over its files, with memory for the open ones only.
 *
 * gg_store_query keeps what it found, a record for each session; a sweep tells it once and forgets. It is for those who
 * make something of their own from millions of sessions (a replay's plan, an index) and want to know where in the files
 * a session's bytes are:
 *
 *     session begins ──► piece, piece, gap, end, piece, ... ──► session ends, with all that is known of it
 *
 * A piece is a run of payload in stream order: one packet's, as a rule. Sessions interleave as they do in the files;
 * the pieces of one come in the order in which they were recorded. Bytes that a capture of others has out of order are
 * no longer where they stand in the file when their turn comes: these pieces have no place, only bytes.
 *
 * Ids, counts, states and times are those that gg_store_query tells of the same files, as long as their names are in
 * order of time, as those of a store's segments are: a session that goes on in a file before the one it begins in is
 * told twice. What people have said of the sessions of a store (tags, holds) is told with their ends.
 * Thread: one at a time. Memory: open sessions, at most GG_SWEEP_OPEN_MAX, and one file's flows; with a filter what
 * chosen.h has, and of what a catalogue does not know yet a record for each session, as gg_store_query has it.
 */
#ifndef GG_STORE_SWEEP_H
#define GG_STORE_SWEEP_H

#include "store/bounds.h"

#include <gogetway/store.h>

enum gg_sweep_kind {
  GG_SWEEP_BYTES,
  GG_SWEEP_GAP, /* `gap` bytes are missing at `offset` */
  GG_SWEEP_FIN, /* the side's orderly end */
  GG_SWEEP_RST, /* the session was reset by that side (or by the gateway, on its behalf) */
};

struct gg_sweep_piece {
  enum gg_sweep_kind kind;
  enum gg_side side;
  bool begins_chunk; /* the first piece of what one read of the gateway returned */
  uint64_t time_ns;
  uint64_t offset;     /* in its direction's stream, missing bytes counted */
  const uint8_t *data; /* borrowed for the call */
  uint32_t length;
  uint64_t gap;
  uint32_t file;  /* where the bytes are: index from 0 in the order in which files are read ... */
  uint64_t place; /* ... in that file; UINT64_MAX: at no one place */
};

/* A non-zero return ends the sweep with it. `token` is the caller's, one for each open session. */
struct gg_sweep_ops {
  /* A file of the sweep, before it is read. One that has gone by then is told too, and behind it what retention has
   * kept of it, which is read in its place. */
  int (*file)(void *context, uint32_t index, const char *path);
  /* `begun` has what is known of a session by its first packet: id, foreign, client, server, listener, upstream and
   * start; borrowed for the call. */
  int (*begin)(void *context, void **token, const struct gg_session *begun);
  int (*piece)(void *context, void **token, const struct gg_sweep_piece *piece);
  /* A packet of its, in front of its pieces: that takes so many bytes of its file; or NULL. */
  void (*packet)(void *context, void **token, uint64_t bytes);
  /* The token is not seen again. `session` is borrowed for the call; gg_session_segment and gg_session_json do not know
   * it. */
  int (*end)(void *context, void **token, const struct gg_session *session);
  /* Bytes of files; false: stop, GG_ERR_CLOSED; or NULL. */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  void (*warning)(void *context, const char *text); /* a file that is not whole, and the like, one sentence; or NULL */
};

/* Sweeps what gg_store_open would open at `path`. `filter` NULL, or without a condition: all sessions are told.
 * Otherwise all that match are, and others may be: of a store that has a catalogue it is asked where those are, and
 * nothing else is read. Errors as gg_store_open and gg_store_refresh have them, and GG_ERR_NOT_FOUND: all that match
 * went with their files meanwhile; tokens of sessions that are open when it ends with an error get `drop` (may be
 * NULL). */
int gg_sweep(const char *path, const struct gg_filter *filter, const struct gg_sweep_ops *ops,
             void (*drop)(void *token), void *context, struct gg_failure *failure);

/* Whether a session that was recorded as sent (as_sent_of) is asked for by its own id, or a beginning of it that is not
 * also that of the session that it belongs to. */
bool gg_filter_names_as_sent(const struct gg_filter *filter, const struct gg_session *session);

/* False: a session that begins like this cannot match, whatever comes; true: it may. `filter` NULL: it will. */
bool gg_filter_may_match(const struct gg_filter *filter, const struct gg_session *begun);

#endif
