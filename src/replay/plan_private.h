/* SPDX-License-Identifier: Apache-2.0 */
/* plan_private.h - what a plan consists of, for the files that make it and that play from it. */
#ifndef GG_REPLAY_PLAN_PRIVATE_H
#define GG_REPLAY_PLAN_PRIVATE_H

#include "record/session_id.h"
#include "replay/plan.h"
#include "replay/plan_cache.h"
#include "replay/plan_spool.h"

enum gg_plan_opaque { GG_PLAN_CLEAR, GG_PLAN_TLS, GG_PLAN_SSH };

struct gg_plan_entry {
  uint64_t start_ns, end_ns;
  uint64_t bytes[2];
  uint64_t chunks, dependent, gaps;
  uint64_t first; /* its first block of records, in the temporary file */
  uint64_t ends;  /* texts of its ends, there too */
  uint32_t service;
  struct gg_session_id id;
  uint8_t ends_bytes;
  uint8_t opaque;   /* enum gg_plan_opaque */
  uint8_t original; /* enum gg_plan_original */
  bool refused, beginning_missing;
};

enum { GG_PLAN_LINK = 255 }; /* a record's kind: the session goes on in another block */
#define GG_PLAN_NOWHERE UINT64_MAX

/* Of the temporary file. */
struct gg_plan_record {
  uint64_t time_ns;
  uint64_t offset;
  uint64_t where; /* of bytes in their file; a gap's length; a link's next block */
  uint32_t file;
  uint16_t length_less_one; /* of bytes: 1 to GG_STEP_BYTES_MAX */
  uint8_t kind;             /* enum gg_step_kind, or GG_PLAN_LINK */
  bool begins_chunk;
};

struct gg_plan {
  struct gg_script script; /* first */
  struct gg_plan_entry *entries;
  size_t count, room;
  struct gg_spool spool;
  struct gg_cache cache;
};

extern const struct gg_script_ops gg__plan_ops;

/* Where the record at a cursor is in the temporary file. */
static inline uint64_t gg__plan_place(const struct gg_cursor *cursor)
{
  return cursor->block + (uint64_t)cursor->index * sizeof(struct gg_plan_record);
}

/* The record at the cursor, which is not at GG_PLAN_NOWHERE: at a link it goes to where that leads. */
int gg__plan_read(struct gg_plan *plan, struct gg_cursor *cursor, struct gg_plan_record *record,
                  struct gg_failure *failure);

/* The file has gone: records of sessions that retention has kept lead to the file that has them then (plan_moved.c). No
 * error if it has kept nothing. */
int gg__plan_follow(struct gg_plan *plan, uint32_t file, struct gg_failure *failure);

#endif
