/* SPDX-License-Identifier: Apache-2.0 */
/**
 * admission.h - whether a client may have a session, by where it comes from (limits.source_*).
 *
 * Thread: the worker's.
 */
#ifndef GG_GATEWAY_ADMISSION_H
#define GG_GATEWAY_ADMISSION_H

#include "gateway/worker.h"

/* Whether sources are limited at all: with no limit this is what an accept costs. */
static inline bool gg__sources_are_limited(const struct gg_worker *worker)
{
  const struct gg_plane_options *options = worker->options;
  return (options->source_sessions_max | options->source_rate_max) != 0;
}

/* Whether one more client from there may come. If so, *bits is what gg__source_leave has to be given when its session
 * ends (0: nothing is counted); if not, *reason says which limit it is, and the operator has been told. */
bool gg__source_enter(const struct gg_listener *listener, const struct gg_addr *client, uint8_t *bits,
                      enum gg_close *reason);
void gg__source_leave(struct gg_worker *worker, const struct gg_addr *client, uint8_t bits);

/* A client is refused at accept: its connection is reset, and counted. No session has been made for it. */
void gg__source_refuse(struct gg_worker *worker, int fd, enum gg_close reason);

#endif
