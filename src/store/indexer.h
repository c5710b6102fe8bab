/* SPDX-License-Identifier: Apache-2.0 */
/**
 * indexer.h - brings a catalogue up to what the segments say, and keeps it there.
 *
 * One thing reads segments for the catalogue, whether they are being written by this process, were left by one that was
 * killed, or are all there is (`reindex`): so all of these find the same. It reads a segment from where it ended the
 * last time, and knows of the sessions in it that have not ended; of those that have it keeps nothing.
 *
 *   segment grows ──► frames ──► parts (part.h) ──► records ──► one batch of the catalogue
 *                                  │ ended: told once, forgotten
 *                                  └ open: told with each batch if it has changed, and when it ends
 *
 * It is behind the data path: a worker does not know of it, nothing waits for it, and when it lags it reads on where it
 * was, from the disk. Memory: open sessions, GG_INDEXER_OPEN_MAX at the most, and a batch.
 *
 * Segments that were complete when another indexer left them are not read again, unless their size is another now. Of
 * those that were not, what is known is forgotten, in the same batch in which their first sessions are told anew. For a
 * segment that is complete the catalogue has its size as `scanned`, wherever reading ended in it.
 *
 * Thread: one at a time.
 */
#ifndef GG_STORE_INDEXER_H
#define GG_STORE_INDEXER_H

#include "store/bounds.h"
#include "store/catalogue.h"
#include "store/place.h"

#include <gogetway/error.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  GG_INDEXER_READERS_MAX = 256,    /* files that stay open between two steps */
  GG_INDEXER_TURN_BYTES = 8 << 20, /* of one segment, before the next has its turn */
};
#define GG_INDEXER_QUIET_NS UINT64_C(3000000000) /* nothing was added for so long, and no gateway names the segment */
#define GG_INDEXER_LOOK_NS UINT64_C(10000000000) /* between two looks whether complete segments are what they were */

struct gg__feed;
struct gg__indexer;
struct gg__tag_rules;

struct gg__indexer_options {
  const char *store;     /* its directory */
  struct gg__feed *feed; /* borrowed; NULL: all is read from the segments */
  /* Bytes of segments; false: stop at the next batch, GG_ERR_CLOSED. May be NULL. */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  void (*warning)(void *context, const char *text); /* one sentence about a segment that is not whole; may be NULL */
  void *context;
  /* What was said of sessions that are gone is forgotten (indexer_forget.c): of who keeps a catalogue, not of who only
   * compares one. */
  bool forgets;
  size_t marks_max; /* instead of GG_MARKS_MAX; 0: that */
  /* Rules' tags were not set, for the journal has as many sessions as it may: why. May be NULL. */
  void (*full)(void *context, const char *text);
};

/* What it has done so far. */
struct gg__indexer_stats {
  uint64_t sessions, segments, bytes; /* put, forgotten ones too; read */
  uint64_t lag_bytes;                 /* that segments had when it looked last, and it has not read */
  uint64_t open;                      /* sessions it holds now */
  uint64_t batches;                   /* that were committed */
  uint64_t behind; /* bytes that the catalogue did not have when this indexer looked first: what it catches up with */
  uint64_t anew;   /* segments of which it forgot what was known, for they were not complete, or had changed */
  uint64_t marked; /* sessions of which the journal of marks (marks.h) has told anything */
  uint64_t gone;   /* segments that are not there any more */
  uint64_t forgotten; /* sessions of which nothing is said any more, for they are gone */
};

/* The catalogue is borrowed, and written by nobody else. After an error of a step the indexer can only be destroyed;
 * another one goes on where the last batch ended. */
int gg__indexer_create(struct gg__indexer **out, struct gg__catalogue *catalogue,
                       const struct gg__indexer_options *options, struct gg_failure *failure);
void gg__indexer_destroy(struct gg__indexer *indexer);

/* What sessions are tagged by whose end is read from here on (tag_rules.h); NULL, as at first: nothing. It keeps a
 * reference. */
void gg__indexer_rules(struct gg__indexer *indexer, struct gg__tag_rules *rules);

/* Looks for segments that came, grew or went, reads at most `bytes` of them (0: all there is), and commits. `*more`:
 * there is more to read now. */
int gg__indexer_step(struct gg__indexer *indexer, uint64_t bytes, bool *more, struct gg_failure *failure);

/* For a catalogue that is built (GG__CATALOGUE_BUILD) and has nothing yet, before the first step: all segments that are
 * complete, several at a time, and no batch is of one moment. Then the catalogue is as any other, and steps go on with
 * what is left. */
int gg__indexer_build(struct gg__indexer *indexer, struct gg_failure *failure);

/* Takes what people have said of sessions, and commits; no segment is looked at. Errors as those of a step. */
int gg__indexer_hear(struct gg__indexer *indexer, struct gg_failure *failure);

/* The gateway has ended: what no `running` file names is complete, however fresh it is. */
void gg__indexer_ended(struct gg__indexer *indexer);

/* Brings the catalogue of a store up to date that nobody writes, in one go, for whoever has changed the store, or is
 * about to ask: made, if there is none. `options` has the store, and no feed. Errors as gg__catalogue_open and
 * gg__indexer_step have them; GG_ERR_BUSY: a gateway is at work on it, and does that itself. */
int gg__indexer_catch_up(const struct gg__indexer_options *options, struct gg_failure *failure);

/* What people have just said of sessions, for whoever said it, so that no query has to put those sessions together by
 * itself. Nothing where there is no catalogue, or where it cannot be written; a gateway that keeps it hears by
 * itself. */
void gg__indexer_tell_marks(const char *store);

void gg__indexer_stats(const struct gg__indexer *indexer, struct gg__indexer_stats *out);

#endif
