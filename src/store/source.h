/* SPDX-License-Identifier: Apache-2.0 */
/**
 * source.h - where a store's knowledge of its sessions comes from: a table of operations and an instance.
 *
 * Two kinds exist: gg__scan_source, which reads every segment's headers; and gg__index_source, which has records from
 * the catalogue, and leaves to a scan of its own what that does not know yet.
 *
 * Thread: the store's; an operation may use threads of its own while it runs.
 */
#ifndef GG_STORE_SOURCE_H
#define GG_STORE_SOURCE_H

#include "store/place.h"
#include "store/record.h"

#include <gogetway/error.h>

struct gg__fact_finder;
struct gg__mark;
struct gg__marks;
struct gg__source;
struct gg__sums;

/* What is asked for. */
struct gg__selection {
  const struct gg_filter *filter;
  const char *sort;
  uint64_t limit; /* the first so many by `sort`; 0: all */
  uint64_t since; /* only what has another generation than this or an earlier one; there is no limit then. 0: all */
};

struct gg__source_ops {
  /* Looks for what is new; sessions that changed get `generation`. */
  int (*refresh)(struct gg__source *source, uint64_t generation, struct gg_failure *failure);
  /* Calls for every session, in no particular order, until a call returns non-zero, which is returned. */
  int (*each)(struct gg__source *source, int (*visit)(void *context, struct gg__record *record), void *context);
  /* GG_ERR_AGAIN of these two: what was told is to be forgotten, and asked for once more.
   * Calls for those that match, in no particular order: all that are asked for, and maybe others that the limit or the
   * generation leaves out. NULL: by `each`. */
  int (*select)(struct gg__source *source, const struct gg__selection *selection,
                int (*visit)(void *context, struct gg__record *record), void *context, struct gg_failure *failure);
  /* Whether it knows where sessions are without reading all files; it may look for what says so. NULL: it does not. */
  bool (*indexed)(struct gg__source *source);
  /* Calls for all that match, in no particular order, and keeps nothing of them: a record is gone when the call
   * returns. GG_ERR_UNSUPPORTED: it is not indexed, or that cannot be read after all; what was told is to be forgotten.
   * NULL: it never is. */
  int (*pick)(struct gg__source *source, const struct gg_filter *filter,
              int (*visit)(void *context, struct gg__record *record), void *context);
  /* Adds up those that match (totals.h). NULL: by `each`. */
  int (*totals)(struct gg__source *source, const struct gg_filter *filter, const char *by, struct gg__sums *sums,
                struct gg_failure *failure);
  /* One sentence about a file that is not whole; NULL past the last. */
  const char *(*warning)(const struct gg__source *source, size_t index);
  /* The files themselves, in order of their names; NULL past the last. For those that read every packet. */
  struct gg__capture *(*capture)(const struct gg__source *source, size_t index);
  /* Something else is said of a session: if it is there, it shows that and gets `generation`. NULL: it asks itself. */
  void (*marked)(struct gg__source *source, const struct gg__mark *mark, uint64_t generation);
  /* How many sessions are not as a catalogue has them; SIZE_MAX: there is none. NULL: likewise. */
  size_t (*apart)(const struct gg__source *source);
  void (*destroy)(struct gg__source *source);
};

struct gg__source {
  const struct gg__source_ops *ops;
  struct gg__marks *marks; /* the store's; for the records that are made (gg__record_mark). NULL: there are none */
  const struct gg__fact_finder *finder; /* of values that are not kept; NULL: nobody finds any */
};

/* Of a source that asks no catalogue: whether the session is to be told, which sets its `perhaps`; and before, whether
 * that can be said at all (GG_ERR_UNSUPPORTED: the filter asks for facts, and nobody finds any). */
bool gg__source_match(const struct gg__source *source, const struct gg_filter *filter, struct gg__record *record);
int gg__source_check(const struct gg__source *source, const struct gg_filter *filter, struct gg_failure *failure);

/* Scans with up to `threads` threads. Takes the place over, also if it fails. */
int gg__scan_source_create(struct gg__source **out, struct gg__place *place, unsigned threads,
                           struct gg_failure *failure);

/* Of a scan that is to read some of the files only: those of which `covered` says true are left out, also if they were
 * read before; `begin` (may be NULL) may say where reading begins, before a file is read for the first time.
 * GG_ERR_NOMEM of it is returned by the refresh. */
struct gg__scan_limits {
  bool (*covered)(void *context, const char *name);
  int (*begin)(void *context, struct gg__capture *capture);
  void *context;
};
void gg__scan_source_limit(struct gg__source *source, const struct gg__scan_limits *limits);

/* Reads a store by its catalogue, if it has one when it is first refreshed and it can be read; else by a scan. Takes
 * the place over, also if it fails. */
int gg__index_source_create(struct gg__source **out, struct gg__place *place, unsigned threads,
                            struct gg_failure *failure);

/* Whether a gateway writes this store now; false also when that cannot be told. `since_ns`: when the last one began
 * (UTC), now or before; as it was if that is not known. */
bool gg__store_is_live(const char *store, uint64_t *since_ns);

/* Whether a gateway writes this store now, and where in the order of segments each of its processes began: `live` and
 * `from` of gg__life, which was empty. */
struct gg__life;
void gg__store_life(const char *store, struct gg__life *life);

/* The `running` files as they are, one after the other, which name rings and open segments; NULL: there is none that
 * can be read. Yours to free. */
char *gg__store_running(const char *store);

/* Both, for who must not be wrong about it: false if either could not be told, as without descriptors. `*running` is
 * yours to free, also then. */
bool gg__store_writers(const char *store, bool *live, char **running);

/* Whether the gateway that wrote it last has ended without closing it (killed, or the disk was full), and has not been
 * started again; `text` then says so in one sentence. */
bool gg__store_is_unclosed(const char *store, char *text, size_t size);

#endif
