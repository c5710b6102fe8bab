/* SPDX-License-Identifier: Apache-2.0 */
/**
 * notify.h - what the service manager is told, by the protocol of sd_notify(3): datagrams to $NOTIFY_SOCKET, a path
 * or an abstract name ("@..."). Small enough that no library is needed for it.
 *
 *     READY=1        once everything is bound and relays, and after each reload; with MAINPID=, so that a process that
 *                    took over from another becomes the main one
 *     RELOADING=1    with MONOTONIC_USEC=, before a reload
 *     STOPPING=1     when a drain or stop begins
 *     STATUS=        a line for people
 *     WATCHDOG=1     twice in each $WATCHDOG_USEC, as long as every worker is alive
 *
 * Every function takes NULL, which is what gg__notify_open gives where there is no manager: then nothing happens.
 *
 * Thread: the engine's. The watchdog is a thread of its own, that asks `alive` and sends; so a reload that waits for
 * names or a disk does not end the process, and a worker that hangs does.
 */
#ifndef GG_ENGINE_NOTIFY_H
#define GG_ENGINE_NOTIFY_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stdint.h>

struct gg_logger;
struct gg_notify;

/* Reads the environment. *out is NULL if it names no manager. GG_ERR_INVALID: it names one that cannot be. */
int gg__notify_open(struct gg_notify **out, struct gg_logger *logger, struct gg_failure *failure);
/* Ends the watchdog first. */
void gg__notify_close(struct gg_notify *notify);

void gg__notify_ready(struct gg_notify *notify, const char *status);
void gg__notify_reloading(struct gg_notify *notify);
void gg__notify_stopping(struct gg_notify *notify, const char *status);

/* Runs the watchdog, if the manager wants one. `alive` is called on its thread: whether all that must move has moved
 * within the last `grace_ns`. When it says no, this is told once, and the manager hears nothing until it says yes. */
typedef bool (*gg_notify_alive_fn)(void *context, uint64_t now_mono_ns, uint64_t grace_ns);
int gg__notify_watch(struct gg_notify *notify, gg_notify_alive_fn alive, void *context, struct gg_failure *failure);

#endif
