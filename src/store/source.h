/* SPDX-License-Identifier: Apache-2.0 */
/**
 * source.h - where a store's knowledge of its sessions comes from: a table of operations and an instance.
 *
 * Today one kind exists, gg__scan_source, which reads every segment's headers. An index serves the same table: it
 * fills in records (facts and parts) from its own files, and leaves to the scan what it has not indexed yet.
 *
 * Thread: the store's; an operation may use threads of its own while it runs.
 */
#ifndef GG_STORE_SOURCE_H
#define GG_STORE_SOURCE_H

#include "store/place.h"
#include "store/record.h"

#include <gogetway/error.h>

struct gg__source;

struct gg__source_ops {
  /* Looks for what is new; sessions that changed get `generation`. */
  int (*refresh)(struct gg__source *source, uint64_t generation, struct gg_failure *failure);
  /* Calls for every session, in no particular order, until a call returns non-zero, which is returned. */
  int (*each)(struct gg__source *source, int (*visit)(void *context, struct gg__record *record), void *context);
  /* One sentence about a file that is not whole; NULL past the last. */
  const char *(*warning)(const struct gg__source *source, size_t index);
  /* The files themselves, in order of their names; NULL past the last. For those that read every packet. */
  struct gg__capture *(*capture)(const struct gg__source *source, size_t index);
  void (*destroy)(struct gg__source *source);
};

struct gg__source {
  const struct gg__source_ops *ops;
};

/* Scans with up to `threads` threads. Takes the place over, also if it fails. */
int gg__scan_source_create(struct gg__source **out, struct gg__place *place, unsigned threads,
                           struct gg_failure *failure);

/* Whether a gateway writes this store now; false also when that cannot be told. `since_ns`: when the last one began
 * (UTC), now or before; as it was if that is not known. */
bool gg__store_is_live(const char *store, uint64_t *since_ns);

/* The `running` files as they are, one after the other, which name rings and open segments; NULL: there is none that
 * can be read. Yours to free. */
char *gg__store_running(const char *store);

/* Whether the gateway that wrote it last has ended without closing it (killed, or the disk was full), and has not been
 * started again; `text` then says so in one sentence. */
bool gg__store_is_unclosed(const char *store, char *text, size_t size);

#endif
