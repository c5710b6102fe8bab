/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - what the engine's files share: its parts, and what is told about it. */
#ifndef GG_ENGINE_ENGINE_H
#define GG_ENGINE_ENGINE_H

#include "admin/control.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "engine/configured.h"
#include "engine/listen_fds.h"
#include "engine/reload.h"
#include "engine/takeover.h"
#include "record/log.h"
#include <gogetway/gateway.h>
#include <pthread.h>
#include <stdatomic.h>

enum gg_engine_state {
  GG_ENGINE_CREATED,
  GG_ENGINE_RUNNING,
  GG_ENGINE_DRAINING,
  GG_ENGINE_STOPPING,
  GG_ENGINE_ENDED, /* also: could not be started */
};

struct gg_edits;
struct gg_indexing;
struct gg_kernel_metrics;
struct gg_metrics_file;
struct gg_notify;
struct gg_polled;
struct gg_retaining;

/* What the disk is given to take the rest after the last session has ended. */
#define GG_RECORDER_STOP_NS (UINT64_C(10) * 1000000000)

struct gg_gateway {
  struct gg_arguments arguments; /* by which the configuration is read, now and again */
  /* What the gateway works by. Changed, with the gateway's listeners, by the engine's thread only and under the lock;
   * any other thread takes the lock to look at it, or at the gateway's listeners and upstreams. */
  struct gg_configured *now;
  pthread_mutex_t lock;
  gg_line_fn log_line;
  int log_fd;
  void *context;
  bool own_process; /* identity, sandbox and service manager are ours (service.h) */
  bool gave_up;     /* was root, and is the configured user now */
  bool confined;    /* the sandbox refuses files */

  /* In the order in which they are made, and the reverse of that in which they are undone. */
  struct gg_logger *logger;
  struct gg_metrics *metrics;
  struct gg_hook_desk *desk;
  struct gg_kernel_metrics *kernel_metrics;
  struct gg_indexing *indexing; /* NULL: catalogue: off */
  struct gg_resolver *resolver;
  struct gg_retaining *retaining;
  bool haunted; /* a thread that did not end may still use this */
  struct gg_recorder *recorder;
  struct gg_plane *plane;
  struct gg_control *control;
  struct gg_metrics_file *metrics_file; /* NULL: not asked for */
  struct gg_notify *notify;             /* NULL: no service manager */

  uint64_t started_real_ns;
  uint64_t started_mono_ns;
  int wake_fd;             /* eventfd: rung after a request below was set */
  _Atomic int state;       /* enum gg_engine_state; written by the engine's thread only */
  _Atomic unsigned drains; /* requests, from any thread or a signal handler */
  _Atomic unsigned stops;
  _Atomic unsigned hangups;
  struct gg_polled *polled; /* NULL: it has threads of its own */
  struct gg_reloads reloads;
  pthread_mutex_t edit_lock;     /* held by who edits, while that is waited for; never by the engine's thread */
  struct gg_edits *edits;        /* of the embedding program; under the reloads' lock, as the next; NULL: none */
  struct gg_edits *edits_next;   /* with the edit that is being carried out; NULL: none is */
  struct gg_handing handing;     /* another process takes over; under the lock */
  struct gg_takeover *takeover;  /* from which this one is taking over, until it serves */
  struct gg_siblings siblings;   /* from which this one took over; changed under the lock */
  struct gg_listen_fds *parents; /* sockets of a parent; for as long as this one serves; changed under the lock */
};

/* Writes version, process, listeners, workers and metrics as fields of the open object. */
int gg__engine_stats(const struct gg_gateway *engine, struct gg_json *json);
/* Writes the same as one object to the file `path`, whole or not at all. */
int gg__engine_stats_file(const struct gg_gateway *engine, const char *path, struct gg_failure *failure);

/* upstreams.c: commands of the control socket. */
int gg__command_upstreams(void *context, const struct gg_control_request *request, struct gg_json *reply,
                          struct gg_failure *failure);
int gg__command_upstream_drain(void *context, const struct gg_control_request *request, struct gg_json *reply,
                               struct gg_failure *failure);

struct gg_report;
struct pollfd;
/* refusing.c: clients who come to a parent's socket that no listener has. What tells that there are some: at most
 * GG_LISTEN_FDS_MAX places; returns how many. *again_ms becomes less if one is left out until then. */
size_t gg__refusing_polled(const struct gg_gateway *engine, struct pollfd *out, int *again_ms);
/* We have just taken over: who waits at such a socket may be served by the process before, for a while. */
void gg__refusing_wait(struct gg_gateway *engine);
/* Resets them; `polled` as filled above. */
void gg__refusing_serve(struct gg_gateway *engine, const struct pollfd *polled, size_t count);
/* Tells the report of each such socket, by the configuration in force. */
void gg__refusing_report(const struct gg_gateway *engine, struct gg_report *report);

/* The commands of the control socket; their context is the engine. */
extern const struct gg_control_command gg__engine_commands[];
extern const size_t gg__engine_command_count;
int gg__command_reload(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure); /* live.c: this and the next */
int gg__command_rotate(void *context, const struct gg_control_request *request, struct gg_json *reply,
                       struct gg_failure *failure);
int gg__command_rotated(void *context, const struct gg_control_request *request, struct gg_json *reply,
                        struct gg_failure *failure);

void gg__engine_lock(const struct gg_gateway *engine);
void gg__engine_unlock(const struct gg_gateway *engine);
/* gg_gateway_listener for who holds the lock, or is the engine's thread. */
size_t gg__engine_listener(const struct gg_gateway *engine, size_t index, char *text, size_t size);

/* Does what others ask for: to end, to reload. The engine's thread. */
void gg__engine_serve(struct gg_gateway *engine);
/* The end, in its three parts: sessions and whoever looks at them; the recorder, which may have to wait for the disk,
 * on any thread; what is told. The last one's error is that of gg_gateway_wait. */
void gg__engine_end_sessions(struct gg_gateway *engine);
int gg__engine_end_recorder(struct gg_gateway *engine, struct gg_failure *failure);
int gg__engine_ended(struct gg_gateway *engine, int error, const struct gg_failure *why, struct gg_failure *failure);

/* Nothing of a plug-in's is called any more, and those that nobody has are destroyed. NULL desk is fine. */
void gg__engine_end_plugins(struct gg_gateway *engine);

/* start.c: the options of the gateway, with what they borrow from the engine; the thread of the metrics file. */
int gg__engine_fill(struct gg_gateway *engine, struct gg_configured *configured, struct gg_failure *failure);
int gg__engine_index(struct gg_gateway *engine, struct gg_failure *failure);
int gg__engine_metrics_file(struct gg_gateway *engine, struct gg_failure *failure);
/* Undoes what was made; the threads are ended already, or were never begun. */
void gg__engine_free_parts(struct gg_gateway *engine);

#endif
