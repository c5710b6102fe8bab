/* SPDX-License-Identifier: Apache-2.0 */
/**
 * queue.h - who waits to be accepted, as the kernel knows it: gauges for each TCP listener, asked for when somebody
 * reads the metrics.
 *
 * A listener's place among the metrics is its name's. It keeps it for as long as the present or the next snapshot has a
 * TCP listener of that name; then it shows 0, until a reload gives the place to another.
 *
 * Thread: the engine's; collect on the thread that reads the metrics.
 */
#ifndef GG_GATEWAY_QUEUE_H
#define GG_GATEWAY_QUEUE_H

#include "gateway/plane.h"

struct gg_queues;

/* What is, and what is to be. */
enum { GG_QUEUES_MAX = 2 * GG_LISTENERS_MAX };
#define GG_QUEUE_NONE SIZE_MAX

/* Registers the gauges, with places for GG_QUEUES_MAX listeners; before the first worker's shard. */
int gg__queues_create(struct gg_queues **out, struct gg_metrics *metrics, struct gg_failure *failure);
void gg__queues_destroy(struct gg_queues *queues);

/* The listener's place. */
int gg__queue_get(struct gg_queues *queues, const char *listener, size_t *out, struct gg_failure *failure);
/* As with routes: between these two, what is asked for is what the next snapshot needs. With `done` it is the present
 * one's. */
void gg__queues_begin(struct gg_queues *queues);
void gg__queues_end(struct gg_queues *queues, bool done);

/* Asks the kernel, and sets all of them. */
void gg__queues_collect(struct gg_plane *plane, struct gg_shard *shard);

#endif
