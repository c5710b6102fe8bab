/* SPDX-License-Identifier: Apache-2.0 */
/**
 * counters.h - what the data plane counts: one table that makes the enumeration and the registry's definitions.
 */
#ifndef GG_GATEWAY_COUNTERS_H
#define GG_GATEWAY_COUNTERS_H

#include "base/metrics.h"

/* X(NAME, name, kind, help); histograms last. */
#define GG_COUNTER_LIST(X)                                                                                             \
  X(SESSIONS_OPENED, sessions_opened, COUNTER, "Sessions that were accepted")                                          \
  X(SESSIONS_CLOSED, sessions_closed, COUNTER, "Sessions that have ended")                                             \
  X(SESSIONS_OPEN, sessions_open, GAUGE, "Sessions that are open now")                                                 \
  X(RECEIVED_CLIENT, received_client_bytes, COUNTER, "Bytes received from clients")                                    \
  X(RECEIVED_SERVER, received_server_bytes, COUNTER, "Bytes received from servers (and greetings)")                    \
  X(FORWARDED_CLIENT, forwarded_client_bytes, COUNTER, "Clients' bytes that the upstream's socket took")               \
  X(FORWARDED_SERVER, forwarded_server_bytes, COUNTER, "Servers' bytes that the client's socket took")                 \
  X(CHUNKS, chunks, COUNTER, "Reads that brought bytes")                                                               \
  X(UNRECORDED, unrecorded_bytes, COUNTER, "Bytes that went on without being recorded (gap policy)")                   \
  X(SPLICED, spliced_bytes, COUNTER, "Bytes that went by splice and tee")                                              \
  X(SPLICE_BEGUN, splice_begun, COUNTER, "Directions that changed from in place to splice")                            \
  X(SPLICE_ENDED, splice_ended, COUNTER, "Directions that changed back")                                               \
  X(TEE_SHORT, tee_short, COUNTER, "Times that tee duplicated only a part")                                            \
  X(PIPES_OPEN, pipes_open, GAUGE, "Pipes that the pools have made")                                                   \
  X(PIPES_REFUSED, pipes_refused, COUNTER, "Times that no pipe of useful size was to be had")                          \
  X(PENDING, pending_bytes, GAUGE, "Memory mapped for bytes that slow receivers have not taken yet")                   \
  X(PENDING_EXHAUSTED, pending_exhausted, COUNTER, "Sessions closed because that memory was used up")                  \
  X(STALLS, worker_stalls, COUNTER, "Times that reading stopped because the log had no room")                          \
  X(ACCEPT_PAUSES, accept_pauses, COUNTER, "Times that accepting paused for want of descriptors, memory or sessions")  \
  X(ACCEPT_FAILURES, accept_failures, COUNTER, "accept(2) errors other than a connection gone again")                  \
  X(CONNECTS_REFUSED, connects_refused, COUNTER, "Upstream connects that were refused")                                \
  X(CONNECTS_TIMED_OUT, connects_timed_out, COUNTER, "Upstream connects that timed out")                               \
  X(CONNECTS_FAILED, connects_failed, COUNTER, "Upstream connects that failed otherwise")                              \
  X(UNRESOLVED, sessions_unresolved, COUNTER, "Sessions refused because the upstream's name has no address")           \
  X(PROXY_INVALID, proxy_headers_invalid, COUNTER, "Sessions refused for a bad or missing PROXY header")               \
  X(RESETS_CLIENT, resets_client, COUNTER, "Sessions that the client reset")                                           \
  X(RESETS_SERVER, resets_server, COUNTER, "Sessions that the server reset")                                           \
  X(IDLE_TIMEOUTS, idle_timeouts, COUNTER, "Sessions closed for silence")                                              \
  X(DRAIN_CUT, drain_cut, COUNTER, "Sessions cut at the end of a drain")                                               \
  X(STALL_CLOSED, stall_closed, COUNTER, "Sessions closed by on_stall or on_full: close")                              \
  X(LOOPS, loop_iterations, COUNTER, "Iterations of the workers' loops")                                               \
  X(CONNECT_LATENCY, connect_latency_ns, HISTOGRAM, "Time from connect(2) to the upstream's answer")

enum gg_counter {
#define GG_COUNTER_ENUM(NAME, name, kind, help) GG_COUNT_##NAME,
  GG_COUNTER_LIST(GG_COUNTER_ENUM)
#undef GG_COUNTER_ENUM
    GG_COUNTERS
};

extern const struct gg_metric_def gg__gateway_counters[GG_COUNTERS];

#endif
