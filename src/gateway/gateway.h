/* SPDX-License-Identifier: Apache-2.0 */
/**
 * gateway.h - the data plane: listeners, workers and their sessions, from accept to the last packet of the recording.
 *
 * Life:  create (binds every listener, adds a log per worker and policy to the recorder)
 *        start  (the workers run; the recorder must have been started)
 *        drain  (no new sessions; those that are open go on until they end or the deadline passes)
 *        join   (waits for the workers; every session has been closed and recorded, every log finished)
 *        destroy
 *
 * Thread: all of these on the engine's thread; drain and stop from any thread.
 */
#ifndef GG_GATEWAY_GATEWAY_H
#define GG_GATEWAY_GATEWAY_H

#include "net/addr.h"
#include "net/proxy_protocol.h"
#include "record/log.h"

struct gg_gateway;
struct gg_name;

enum gg_splice_mode { GG_SPLICE_AUTO, GG_SPLICE_ON, GG_SPLICE_OFF };
enum gg_refusal { GG_REFUSAL_RESET, GG_REFUSAL_CLOSE };

enum { GG_LISTENERS_MAX = 64, GG_TRUSTED_MAX = 64, GG_WORKERS_MAX = 64 };

struct gg_listener_options {
  const char *name;
  struct gg_endpoint listen;
  bool upstream_none;            /* accept and record what comes (a honeypot) */
  struct gg_endpoint upstream;   /* unless upstream_none */
  struct gg_name *upstream_name; /* of a name that has to be resolved; else NULL */
  const uint8_t *greeting;       /* sent to the client first, with upstream_none */
  size_t greeting_length;
  enum gg_proxy_version proxy_in; /* expected from trusted networks */
  const struct gg_network *trusted;
  size_t trusted_count;
  enum gg_proxy_version proxy_out; /* OFF, V1 or V2 */
  enum gg_policy on_stall;
  enum gg_policy on_full;
  enum gg_refusal on_connect_failure; /* what the client gets when the upstream cannot be had */
  uint64_t sessions_max;              /* of this listener; 0: only the gateway's */
  unsigned unix_mode;                 /* permissions of a unix listener's file */
};

struct gg_gateway_options {
  size_t size;
  unsigned workers;      /* 1 to GG_WORKERS_MAX */
  uint64_t sessions_max; /* over all workers; 0: bounded by descriptors only */
  enum gg_splice_mode splice;
  size_t pending_max;   /* bytes of a direction that wait in memory for a slow receiver; 4 KiB to 64 KiB */
  size_t pending_total; /* all of them together; beyond it the longest-stalled sessions are closed */
  uint64_t connect_timeout_ns;
  uint64_t idle_timeout_ns; /* 0: none */
  uint64_t proxy_header_timeout_ns;
  enum gg_sync_mode sync_mode; /* GG_SYNC_ALWAYS: in place only, a byte is durable before the next is read */
  const struct gg_listener_options *listeners; /* all borrowed until destroy */
  size_t listener_count;
  struct gg_recorder *recorder;
  struct gg_logger *logger;
  struct gg_metrics *metrics;
};

int gg_gateway_create(struct gg_gateway **out, const struct gg_gateway_options *options, struct gg_failure *failure);
/* Where a listener really listens (port 0 was asked for). */
int gg_gateway_listener_endpoint(const struct gg_gateway *gateway, size_t index, struct gg_endpoint *out);
/* How many logs create will add, for gg_recorder_options.logs_max. */
unsigned gg_gateway_logs(const struct gg_gateway_options *options);
int gg_gateway_start(struct gg_gateway *gateway, struct gg_failure *failure);
void gg_gateway_drain(struct gg_gateway *gateway, uint64_t deadline_mono_ns);
void gg_gateway_stop(struct gg_gateway *gateway); /* a drain whose deadline is now */
void gg_gateway_join(struct gg_gateway *gateway);
bool gg_gateway_running(const struct gg_gateway *gateway); /* some worker has not ended yet */
void gg_gateway_destroy(struct gg_gateway *gateway);

#endif
