/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - what the files of this room know of an open store. Private; the store's thread. */
#ifndef GG_STORE_STORE_H
#define GG_STORE_STORE_H

#include "store/source.h"

struct gg_store {
  struct gg__source *source;
  uint64_t generation;
  bool own; /* a gateway's store, not somebody's files */
  char *path;
  unsigned threads;
  struct gg__marks *marks;     /* tags and holds, from the first refresh on; NULL: somebody's files, or not readable */
  uint64_t marking_generation; /* of sessions of which something else is said, while that is read */
  char marks_problem[560];     /* a sentence: why they are not known; empty: they are */
  char doubt[256];             /* a sentence: how many that were told last may not match; empty: none */
};

/* Who finds the values of facts that the catalogue does not keep (filter_field.h), before the first refresh; outlives
 * the store. Without one, a session that has too many values to be sure is told as if it matched, and a warning says
 * how many those are. Of a store that has no catalogue, he is asked for all; without him, filters that ask for facts
 * are GG_ERR_UNSUPPORTED there. */
void gg__store_set_finder(struct gg_store *store, const struct gg__fact_finder *finder);

/* What the last query was not sure of: `sessions` of those that it told may not match the filter. */
void gg__store_note_doubt(struct gg_store *store, uint64_t sessions, const struct gg_filter *filter);

struct gg_session_list {
  size_t count;
  size_t room;
  const struct gg_session **sessions;
};

/* Reads what has been said of sessions since; before the source is refreshed. What is wrong with the journal is a
 * warning, so that the recording can still be read. GG_ERR_NOMEM. */
int gg__store_refresh_marks(struct gg_store *store, struct gg_failure *failure);
const char *gg__store_marks_warning(const struct gg_store *store, size_t index);

/* Refreshes if that was never done. */
int gg__store_ready(struct gg_store *store, struct gg_failure *failure);

#endif
