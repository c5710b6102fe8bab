/* SPDX-License-Identifier: Apache-2.0 */
/**
 * retaining.h - retention of the running gateway: its own thread does what `gogetway prune` does, all the time.
 *
 *   every second, or as often as the limits demand ──► look: bytes, free space, how fast both change
 *   sync thread: a segment is sealed ──► bell ──────┤
 *                                                   │ limits, less what comes in a second
 *   writer: the disk is full ──► make_room ──► bell ┴──► step (store/retention.h) ──► metrics, messages
 *
 * It keeps so far from the limits as a second of the present rate is, so that they hold while it works; and where no
 * sealed segment is left that could go, it has the open ones sealed. Without limits it only looks: how much there is,
 * and when the disk will be full.
 *
 * Thread: create, start, follow, rest, stop, destroy: the engine's. The operations: the recorder's threads.
 */
#ifndef GG_ENGINE_RETAINING_H
#define GG_ENGINE_RETAINING_H

#include "engine/config.h"
#include <gogetway/error.h>
#include <stdbool.h>
#include <stdint.h>

#define GG_RETAINING_TURN_MAX_NS UINT64_C(1000000000) /* between two looks, and oftener as a limit comes near */
#define GG_RETAINING_TURN_MIN_NS UINT64_C(20000000)
#define GG_RETAINING_ROOM_NS UINT64_C(2000000000) /* in which room has to be made on a full disk */
#define GG_RETAINING_SEAL_NS UINT64_C(250000000)  /* between two requests to seal what is open */
#define GG_RETAINING_READ_NS UINT64_C(200000000)  /* of a look, for reading segments that rules are to be asked about */
#define GG_RETAINING_STOP_NS UINT64_C(10000000000)

struct gg_metrics;
struct gg_recorder;
struct gg_retaining;

/* The disk is full: as gg_recorder_ops.make_room (record/log.h). The writer's thread. */
int gg__retaining_make_room(struct gg_retaining *retaining, uint64_t bytes);
/* A segment was sealed: something can go that could not before. The sync thread. */
void gg__retaining_sealed(struct gg_retaining *retaining, const char *name);

/* Registers its metrics, so it is made in front of whatever makes a shard; borrows both. */
int gg__retaining_create(struct gg_retaining **out, struct gg_metrics *metrics, struct gg_logger *logger,
                         struct gg_failure *failure);
/* Runs the thread. `recorder` is borrowed until the stop. */
int gg__retaining_start(struct gg_retaining *retaining, const struct gg_config *config, struct gg_recorder *recorder,
                        struct gg_failure *failure);
/* By this configuration from now on. GG_ERR_NOMEM: by the one before. */
int gg__retaining_follow(struct gg_retaining *retaining, const struct gg_config *config, struct gg_failure *failure);
/* Another process does it now. */
void gg__retaining_rest(struct gg_retaining *retaining);
/* Ends the thread; false: it hangs in the disk, and goes on to use what it was given. NULL is fine, and one that was
 * never started. */
bool gg__retaining_stop(struct gg_retaining *retaining);
void gg__retaining_destroy(struct gg_retaining *retaining);

#endif
