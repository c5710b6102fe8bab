/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retention.h - takes segments away that have to go: what the running gateway does all the time (engine/retaining.h),
 * and gg_store_prune once.
 *
 *   table (retained.h) ──► oldest sealed one ──► judge (retention_plan.h) ──► nothing in it is held: unlink
 *        ▲                  that may go                                       some are:  keep.h, then unlink
 *        └───────────────────────┴── bytes, free space as they are then ◄──── all are, or it is read: passed over
 *
 * First what is due by age and rules goes, wherever it is; only what the store's own limits then still ask for is taken
 * from the oldest on. So what may go anyway never pushes out what may stay.
 *
 * For rules segments have to be read, those for bytes from the newest on. A gateway does that little by little: what it
 * has not read yet is not due, and goes only for the store's limits, which need no reading.
 *
 * Three locks, all of them flock(2), so that nothing has to be made on a full disk and all end with who has them:
 *
 *   the store's folder    exclusively: one prunes at a time; the other one waits, or is told (GG_ERR_BUSY)
 *   segments/             place.h: for the moment in which a segment goes, with a last look at what is held
 *   a segment's file      shared by who reads it; exclusively while it goes. Taken: it is passed over
 *
 * Thread: one at a time.
 */
#ifndef GG_STORE_RETENTION_H
#define GG_STORE_RETENTION_H

#include "store/retention_plan.h"

struct gg__retention;

struct gg__retention_ops {
  void (*segment)(void *context, const struct gg_pruned *pruned);
  bool (*progress)(void *context, uint64_t done, uint64_t total); /* as gg_prune_options has them; may be NULL */
  /* Whether there is time to read for rules; asked also in the middle of a segment, which is given up then. May be
   * NULL. */
  bool (*idle)(void *context);
  uint64_t read_ns; /* after this time of a step no further segment is begun for rules; 0: as long as it takes */
  void *context;
};

/* Errors as gg_store_prune has them. Nothing is changed, and no lock is held, between two steps. */
int gg__retention_open(struct gg__retention **out, const char *store, const struct gg__retention_ops *ops,
                       struct gg_failure *failure);
void gg__retention_close(struct gg__retention *retention);

/* Removes what has to go now. GG_ERR_BUSY: another one prunes. `dry`: only tells. */
int gg__retention_step(struct gg__retention *retention, const struct gg__retention_limits *limits, bool dry,
                       struct gg_prune_result *result, struct gg_failure *failure);
/* The rules are others from now on. */
void gg__retention_renewed(struct gg__retention *retention);

/* Who writes that segment says that nothing will be added to it: otherwise it takes a minute until that is believed. */
void gg__retention_sealed(struct gg__retention *retention, const char *name);

/* How much there is, without removing anything. */
int gg__retention_look(struct gg__retention *retention, uint64_t *bytes, uint64_t *open, uint64_t *free_bytes,
                       struct gg_failure *failure);

#endif
