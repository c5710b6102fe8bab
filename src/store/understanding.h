/* SPDX-License-Identifier: Apache-2.0 */
/**
 * understanding.h - decodes the sessions of a catalogue, so that they are found by what was said in them.
 *
 *   catalogue ──► sessions whose facts are not of all of their packets
 *                    │ their packets, from the segments
 *                    ▼
 *                 decoding (decoder.h) ──► findings (findings.h) ──► a batch ──► gg__understood_put ──► catalogue
 *
 * Who decodes only reads the catalogue, and hands batches to the one who writes it: both may be one thread, or two, and
 * decoding is never waited for. How much of a session was decoded stands in the catalogue, in the same transaction as
 * what was found, so after a kill it goes on where the last batch ended.
 *
 * Sessions that have ended come in the order in which they were written. Those that are open are looked at every
 * GG_UNDERSTANDING_OPEN_NS; the decoding of GG_UNDERSTANDING_LIVE_MAX of them is kept meanwhile, in
 * GG_UNDERSTANDING_LIVE_BYTES of memory, and others begin again from their first byte when they are looked at.
 *
 * Thread: one at a time.
 */
#ifndef GG_STORE_UNDERSTANDING_H
#define GG_STORE_UNDERSTANDING_H

#include "store/bounds.h"
#include "store/catalogue.h"

#include <stdbool.h>
#include <stdint.h>

enum {
  GG_UNDERSTANDING_BATCH = 1024,           /* sessions */
  GG_UNDERSTANDING_BATCH_BYTES = 64 << 20, /* of payload: a batch with more of it ends */
  GG_UNDERSTANDING_DECODERS_MAX = 128,     /* besides those that are built in */
};
#define GG_UNDERSTANDING_OPEN_NS UINT64_C(5000000000)

struct gg_decoder;
struct gg__understanding;
struct gg__understood; /* a batch */

struct gg__understanding_options {
  const char *store;              /* its directory */
  bool (*goes_on)(void *context); /* asked often; false: it ends with GG_ERR_CLOSED. May be NULL */
  void *context;
};

struct gg__understanding_stats {
  uint64_t sessions, messages, bytes; /* decoded; a session that was open may count several times */
  uint64_t failed;                    /* sessions that could not be read to their end */
  uint64_t behind;                    /* sessions that have ended and are not decoded, as far as was counted */
};

/* The catalogue is opened by the first step. GG_ERR_NOMEM. */
int gg__understanding_create(struct gg__understanding **out, const struct gg__understanding_options *options,
                             struct gg_failure *failure);
void gg__understanding_destroy(struct gg__understanding *understanding);

/* Decodes for one batch, which is the caller's. `*more`: there is more to do now; the next step is for when the batch
 * was put. Errors as those of the catalogue; what could not be read of a session is none. */
int gg__understanding_step(struct gg__understanding *understanding, uint64_t now_ns, struct gg__understood **out,
                           bool *more, struct gg_failure *failure);
/* A batch was not put: what was in it is decoded again. */
void gg__understanding_again(struct gg__understanding *understanding);
/* The decoders that are asked before the built-in ones from now on; the list is copied, the tables stay until they
 * are replaced or it is destroyed. What those before them have begun begins anew. No batch is under way. GG_ERR_NOMEM:
 * there are none now. */
int gg__understanding_decoders(struct gg__understanding *understanding, const struct gg_decoder *const *more,
                               size_t count, struct gg_failure *failure);
void gg__understanding_stats(const struct gg__understanding *understanding, struct gg__understanding_stats *out);

/* Writes a batch, in a transaction of its own. Sessions that have gone meanwhile are passed over. */
int gg__understood_put(const struct gg__understood *batch, struct gg__catalogue *catalogue, struct gg_failure *failure);
bool gg__understood_is_empty(const struct gg__understood *batch);
void gg__understood_destroy(struct gg__understood *batch);

#endif
