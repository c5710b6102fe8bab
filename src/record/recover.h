/* SPDX-License-Identifier: Apache-2.0 */
/**
 * recover.h - what the files of the recovery share. Private to src/record; used by gg_recorder_open, on its thread,
 * after the store's lock was taken and before any ring of this process exists.
 */
#ifndef GG_RECORD_RECOVER_H
#define GG_RECORD_RECOVER_H

#include "record/log_private.h"

enum {
  GG__RUNNING_BYTES_MAX = 4 << 20,
  GG__RUNNING_ENTRIES_MAX = (GG__RINGS_ALIVE_MAX + GG__RING_SEGMENTS_MAX) * GG__LOGS_MAX,
};

/* A line of the `running` file. Texts point into the file's copy. */
struct gg__running_entry {
  bool is_ring;   /* else a segment */
  bool accounted; /* a ring that was found and written out */
  const char *log;
  const char *value; /* the ring's path, or the segment's name */
};

struct gg__running {
  bool found;
  bool other_boot;
  char *text;
  unsigned count;
  struct gg__running_entry *entries;
};

/* Reads the file; absent is no error (found: false), and what cannot be understood is skipped. GG_ERR_NOMEM. */
int gg__running_read(struct gg__running *running, const struct gg_recorder *recorder);
void gg__running_fini(struct gg__running *running);

/* Where a ring file is. */
struct gg__ring_place {
  int dir_fd;
  const char *dir; /* for messages */
  const char *name;
};

/* recover_ring.c. Is it a ring of ours, by its file and its header? False: it is refused, and the log says why. */
bool gg__recover_ring_check(const struct gg_recorder *recorder, struct gg__ring_place place);

/* Writes what is left in one ring file to its segments. 0: done, the file may be removed; 1: refused, to be left alone;
 * a negative gg_error: a disk's refusal, the ring is still whole. */
int gg__recover_ring(struct gg_recorder *recorder, struct gg__ring_place place, struct gg_recovery *recovery,
                     struct gg_failure *failure);

/* Removes one that was written out. */
void gg__recover_ring_remove(struct gg__ring_place place);

/* recover_segment.c: cuts a segment after its last whole block and says in a statistics block that its end may be
 * missing; once only, however often it is called. 1 if it did, 0 if there was nothing to do. */
int gg__recover_segment(struct gg_recorder *recorder, const char *name, struct gg_failure *failure);

/* True if a whole block of the file ends at `offset`, and it is not the note that something is missing there. */
bool gg__recover_can_follow(int fd, uint64_t offset);

/* Opens a segment for writing: a regular file of ours with one name. A descriptor; -1 and errno. */
int gg__recover_open(struct gg_recorder *recorder, const char *name, int flags, uint64_t *bytes);

#endif
