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
#include <stdio.h>

struct gg__check;

enum { GG__PROTOCOL_BYTES = 32 }; /* of a protocol's name, with the NUL */

struct gg__record {
  struct gg_session session;         /* first: a public pointer is a pointer to this */
  struct gg__record *next;           /* of the table's bucket */
  struct gg__part *parts;            /* in order of time */
  struct gg__check *check;           /* a verification's, while one runs */
  void *tags;                        /* what session.tags points to; freed with it */
  char protocol[GG__PROTOCOL_BYTES]; /* what session.protocol points to, once it was named */
  uint64_t revision;                 /* of the catalogue's batch that wrote it; 0: it is not from there */
  bool stale;                        /* parts have changed since `session` was made from them */
  bool perhaps;                      /* the query that gave it out last is not sure that it matches (filter_field.h) */
  struct gg__texts *texts;           /* of a record by itself (gg__record_free): what its texts point to */

  const char *const *own_tags; /* that the recording gives it; `session.tags` has those of people and rules too */
  size_t own_tag_count;
  const char **joined_tags; /* what `session.tags` points to, if that needed memory: freed with the record */
};

/* A record by itself, as the catalogue gives it: with its parts, and a capture (name and path) for each. */
void gg__record_free(struct gg__record *record);

/* The session is called so from now on. The name is copied: decoders of plug-ins, which give names too, may go. */
static inline void gg__record_name(struct gg__record *record, const char *protocol)
{
  snprintf(record->protocol, sizeof record->protocol, "%s", protocol);
  record->session.protocol = record->protocol;
}

struct gg__mark;

/* Gives the session the tags and hold that people and rules have said (NULL: nothing), on top of `own_tags`. What it
 * points to is the marks' (marks.h), and lives as long as they do. Call it again whenever either changes. GG_ERR_NOMEM:
 * the tags are the recording's alone. */
int gg__record_mark(struct gg__record *record, const struct gg__mark *mark);

static inline const struct gg__record *gg__record_of(const struct gg_session *session)
{
  return (const struct gg__record *)session;
}

#endif
