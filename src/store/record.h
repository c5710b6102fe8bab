/* SPDX-License-Identifier: Apache-2.0 */
/**
 * record.h - a store's own view of a session: what the public struct says, and where its packets are.
 *
 * Private to src/store. Thread: the store's.
 */
#ifndef GG_STORE_RECORD_H
#define GG_STORE_RECORD_H

#include "store/capture.h"

#include <gogetway/store.h>

struct gg__check;

struct gg__record {
  struct gg_session session; /* first: a public pointer is a pointer to this */
  struct gg__record *next;   /* of the table's bucket */
  struct gg__part *parts;    /* in order of time */
  struct gg__check *check;   /* a verification's, while one runs */
  bool stale;                /* parts have changed since `session` was made from them */
};

static inline const struct gg__record *gg__record_of(const struct gg_session *session)
{
  return (const struct gg__record *)session;
}

#endif
