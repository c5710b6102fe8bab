/* SPDX-License-Identifier: Apache-2.0 */
/**
 * service.h - the engine as a process of its own: who it runs as, what it may do, and what the service manager hears.
 *
 * Only for a process that belongs to the gateway (gg_gateway_options.own_process): an embedding program keeps its
 * identity, its system calls and its manager. Without that all of these do nothing.
 *
 *     begin     the logger is there, nothing else: becomes `user`
 *     confine   all is opened and bound, no thread runs yet: the last capability goes, the sandbox closes
 *     ready     the workers relay: READY=1, and the watchdog runs
 *     ...       reloading, reloaded, stopping
 *     end
 *
 * Thread: the engine's, which must be the process' only one until `confine` has returned; threads made later inherit
 * what it has become.
 */
#ifndef GG_ENGINE_SERVICE_H
#define GG_ENGINE_SERVICE_H

#include "engine/engine.h"

int gg__service_begin(struct gg_gateway *engine, struct gg_failure *failure);
int gg__service_confine(struct gg_gateway *engine, struct gg_failure *failure);
void gg__service_ready(struct gg_gateway *engine);
/* Adds to a denied reload what was given up at start, which may be why. */
void gg__service_explain(const struct gg_gateway *engine, struct gg_failure *failure);
void gg__service_reloading(struct gg_gateway *engine);
void gg__service_reloaded(struct gg_gateway *engine);
void gg__service_stopping(struct gg_gateway *engine);
/* Another process serves in our place: the manager is its to speak to from now on. Also the end. */
void gg__service_end(struct gg_gateway *engine);

#endif
