/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pass.h - the search of some sessions together, in one reading of the files that have them.
 *
 *   files, by name ──► frames of the sessions' extents ──► whose (lookup.h) ──► item: stream ──► window ──► hits
 *
 * However many sessions are interleaved in a segment, each block is read once; and for one session in a large store
 * only its own extents are. So the same code is fast at both ends.
 *
 * Hits are kept in memory by session and side, until the pass is over, because sessions are told one after the other
 * and are read at the same time. When they become more than GG_PASS_HITS_BYTES, those of the last sessions are dropped,
 * and `limit` says from which one on another pass is needed. A session that alone has more is read with `tell`: then
 * its hits are told while it is read, and nothing but what has to wait for its place in the order is kept.
 *
 * Rejected: a temporary file for hits. Whoever searches for a letter would fill a disk with what he stops reading after
 * a page; here he waits for the first page only.
 *
 * Private to src/store. Thread: one at a time; several passes may read the same store's sessions, as they change
 * nothing of them.
 */
#ifndef GG_STORE_PASS_H
#define GG_STORE_PASS_H

#include "store/record.h"
#include "store/window.h"

#include <stdatomic.h>

struct gg__hits {
  uint8_t *bytes;
  size_t length, room;
  size_t taken; /* so many of the bytes were told */
};

/* One session. */
struct gg__item {
  const struct gg_session *session;
  const struct gg__part *part; /* that is being read; NULL: none yet */
  struct gg__stream stream[2];
  struct gg__window window[2];
  struct gg__hits hits[2];
  uint64_t clock_ns; /* of the newest packet so far */
  uint64_t bytes;    /* that were searched */
  uint64_t matches[2];
  char *problem; /* NULL: none */
  bool done;
};

/* What all passes of a search share. */
struct gg__search {
  struct gg_store *store;
  const struct gg_pattern *pattern;
  const struct gg_grep_options *options;
  struct gg__windowing how;
  _Atomic uint64_t bytes; /* of payload that were passed, for progress */
  atomic_bool stopped;    /* passes end soon, with GG_ERR_CLOSED */
};

struct gg__pass {
  struct gg__search *search;
  struct gg__finder *finder;
  struct gg__item *items;
  size_t count;
  size_t limit; /* items from here on are not done; `count` at first */
  size_t hits_bytes;
  /* While it reads, or NULL; false: stop. */
  bool (*tick)(void *context);
  /* Something was found, or searched to its end: gg__item_next may have more. NULL: hits are kept. One item only. */
  bool (*tell)(void *context, struct gg__item *item);
  void *context;
};

/* GG_ERR_NOMEM, or GG_ERR_CLOSED if it was stopped. Trouble with files is the items'. */
int gg__pass_run(struct gg__pass *pass, struct gg_failure *failure);

/* The next match of a session in order of time, the client's first of those at one time. Borrowed until the next call.
 * False: there is none, or while it is being read (not `done`), none of which it is known that it is the next. */
bool gg__item_next(struct gg__pass *pass, struct gg__item *item, struct gg_grep_match *match);
void gg__item_fini(struct gg__item *item);

/* hits.c */
int gg__hits_add(struct gg__hits *hits, const struct gg__hit *hit); /* GG_ERR_NOMEM */
size_t gg__hits_bytes(const struct gg__hits *hits);                 /* that were not told yet */
void gg__hits_fini(struct gg__hits *hits);

#endif
