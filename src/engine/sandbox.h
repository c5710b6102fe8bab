/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sandbox.h - the gateway's process gives up what relaying and recording do not need: files, by landlock.h, and system
 * calls, by seccomp.h. docs/operations.md tells operators what does not work inside.
 *
 * It closes when all is opened and bound, before the first thread is made: both are inherited by threads. Files that
 * stay within reach are named by the configuration:
 *
 *     dir, log.dir                            read and write
 *     ring directories of processes on the    read and write: they may have had another log.dir, and what is left of
 *       store that still drain                  them when they are killed is written by this one
 *     directories of stats and metrics files  read and write: they are replaced as a whole
 *     directories of unix listeners           make and remove sockets
 *     directories of configuration files      read, for a reload: an editor may have replaced the file; where a file
 *                                               is a link, the directory that it leads to as well
 *     directories of plug-ins                 read, for a reload: the new version of one, or one beside it
 *     state directories of plug-ins           read, write, and make directories
 *     what the resolver reads                 read; libraries that it would load are loaded before
 *
 * Where there are plug-ins, a file that can be read can be mapped to be executed, so that a reload can load one. Where
 * there are none at start, nothing can.
 *
 * Thread: the engine's, as service.h.
 */
#ifndef GG_ENGINE_SANDBOX_H
#define GG_ENGINE_SANDBOX_H

#include "engine/config.h"
#include "record/log.h"

/* Goes in as far as the kernel lets us, and tells how far, and whether files are refused; no error ends a start for it,
 * but GG_ERR_NOMEM. `plugins`: there are some. */
int gg__sandbox_enter(const struct gg_config *config, bool plugins, const struct gg_recorder *recorder,
                      struct gg_logger *logger, bool *files_refused, struct gg_failure *failure);

#endif
