/* SPDX-License-Identifier: Apache-2.0 */
/**
 * recover.h - what the files of the recovery share. Private to src/record; used by gg_recorder_open, on its thread,
 * after the store's lock was taken and before any ring of this process exists, and by gg_recorder_sibling_ended.
 */
#ifndef GG_RECORD_RECOVER_H
#define GG_RECORD_RECOVER_H

#include "record/log_private.h"

enum {
  GG__RUNNING_BYTES_MAX = 4 << 20,
  GG__RUNNING_ENTRIES_MAX = (GG_RINGS_ALIVE_MAX + GG_RING_SEGMENTS_MAX) * GG_LOGS_MAX,
};

/* A line of the `running` file. Texts point into the file's copy. */
struct gg__running_entry {
  bool is_ring;   /* else a segment */
  bool accounted; /* a ring that was found and written out */
  unsigned process;
  const char *log;
  const char *value; /* the ring's path, or the segment's name */
};

struct gg__running {
  bool other_boot;
  char *texts[GG_RECORDER_PROCESSES_MAX]; /* by number - 1; NULL: that process left none */
  unsigned count;
  struct gg__running_entry *entries;
};

/* Adds what the file of process number `process` says; absent is no error, what cannot be understood is skipped, and so
 * is the file of another process than `pid` (0: whoever). GG_ERR_NOMEM. */
int gg__running_read(struct gg__running *running, const struct gg_recorder *recorder, unsigned process, long pid);
bool gg__running_found(const struct gg__running *running);
void gg__running_fini(struct gg__running *running);

/* Where a ring file is. */
struct gg__ring_place {
  int dir_fd;
  const char *dir; /* for messages */
  const char *name;
};

/* recover.c. True if there is a `running` file or a ring of that number; also if it cannot be told. */
bool gg__recover_is_left(const struct gg_recorder *recorder, unsigned process);

/* recover_ring.c. Whose ring it is, without a look at what its owner may be changing: 0; GG_ERR_NOT_FOUND if it is
 * gone, GG_ERR_FORMAT if it is none of ours. */
int gg__recover_ring_owner(struct gg__ring_place place, unsigned *process, long *pid);

/* Is it a ring of ours, by its file and its header? False: it is refused, and the log says why. */
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
