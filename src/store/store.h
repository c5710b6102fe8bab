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
};

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
