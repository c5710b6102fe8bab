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
};

struct gg_session_list {
  size_t count;
  size_t room;
  const struct gg_session **sessions;
};

/* Refreshes if that was never done. */
int gg__store_ready(struct gg_store *store, struct gg_failure *failure);

#endif
