/* SPDX-License-Identifier: Apache-2.0 */
/**
 * counters.h - what the data plane counts: tables that make the enumerations and the registry's definitions.
 *
 * Four of them: what the gateway counts in all, what it counts of the sessions of each route, what of connecting to the
 * upstream of each route (route.h says what a route is), and what it asks the kernel of each listener (queue.h).
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
  X(SESSIONS_RECORD_OFF, sessions_record_off, COUNTER, "Sessions that have ended and were not recorded (record: off)") \
  X(RECORD_OFF_CLIENT, record_off_client_bytes, COUNTER,                                                               \
    "Of the bytes received from clients: not recorded (record: off)")                                                  \
  X(RECORD_OFF_SERVER, record_off_server_bytes, COUNTER,                                                               \
    "Of the bytes received from servers: not recorded (record: off)")                                                  \
  X(SPLICED, spliced_bytes, COUNTER, "Bytes that went by splice")                                                      \
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
  X(UNRESOLVED, sessions_unresolved, COUNTER, "Times that an upstream's name had no address to connect to")            \
  X(UNAVAILABLE, sessions_unavailable, COUNTER, "Sessions refused because every upstream is drained")                  \
  X(PROXY_INVALID, proxy_headers_invalid, COUNTER, "Sessions refused for a bad or missing PROXY header")               \
  X(RESETS_CLIENT, resets_client, COUNTER, "Sessions that the client reset")                                           \
  X(RESETS_SERVER, resets_server, COUNTER, "Sessions that the server reset")                                           \
  X(IDLE_TIMEOUTS, idle_timeouts, COUNTER, "Sessions closed for silence")                                              \
  X(FIRST_BYTE_TIMEOUTS, first_byte_timeouts, COUNTER, "Sessions closed because their client said nothing at all")     \
  X(SESSION_TIMEOUTS, session_timeouts, COUNTER, "Sessions closed because they had lasted as long as they may")        \
  X(STALL_TIMEOUTS, stall_timeouts, COUNTER, "Sessions closed because a receiver took nothing of what waited for it")  \
  X(SOURCE_SESSIONS, refused_source_sessions, COUNTER, "Clients refused by limits.source_sessions")                    \
  X(SOURCE_RATE, refused_source_rate, COUNTER, "Clients refused by limits.source_rate")                                \
  X(SOURCES, sources, GAUGE, "Sources that the table of limits.source_* holds now")                                    \
  X(SOURCES_UNCOUNTED, sources_uncounted, COUNTER, "Sessions whose source was not counted, for want of room")          \
  X(HOOK_REFUSED, hook_refused_connections, COUNTER, "Connections that a plug-in refused at accept")                   \
  X(HOOK_ENDED, hook_ended_sessions, COUNTER, "Sessions that a plug-in's verdict ended")                               \
  X(LEFT_OUT, left_out_bytes, COUNTER, "Bytes that a plug-in had left out of the recording")                           \
  X(MASKED, masked_bytes, COUNTER, "Bytes that plug-ins have masked in the recording")                                 \
  X(TARPITTED, tarpitted_clients, GAUGE, "Clients that are left hanging now, after their session or without one")      \
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

/* X(NAME, name, kind, label, value, help). A session is counted where it is when it ends, and its bytes where it is
 * when they come, so that sums over the routes are what the recording holds. The two RECEIVED and the two FORWARDED
 * are in the order of enum gg_direction. */
#define GG_FLOW_LIST(X)                                                                                                \
  X(CLOSED, route_sessions_closed, COUNTER, NULL, NULL, "Sessions that have ended, by listener and upstream")          \
  X(OPEN, route_sessions_open, GAUGE, NULL, NULL, "Sessions that are open now, by listener and upstream")              \
  X(RECEIVED_CLIENT, route_received_bytes, COUNTER, "side", "client",                                                  \
    "Bytes received, by listener, upstream and the side that they came from (a greeting is the server's)")             \
  X(RECEIVED_SERVER, route_received_bytes, COUNTER, "side", "server", "")                                              \
  X(FORWARDED_CLIENT, route_forwarded_bytes, COUNTER, "side", "client",                                                \
    "Bytes that the other side's socket took, by listener, upstream and the side that they came from")                 \
  X(FORWARDED_SERVER, route_forwarded_bytes, COUNTER, "side", "server", "")

enum gg_flow_counter {
#define GG_FLOW_ENUM(NAME, name, kind, label, value, help) GG_FLOW_##NAME,
  GG_FLOW_LIST(GG_FLOW_ENUM)
#undef GG_FLOW_ENUM
    GG_FLOW_COUNTERS
};

extern const struct gg_metric_def gg__flow_counters[GG_FLOW_COUNTERS];

/* X(NAME, name, kind, label, value, help); histograms last. A failure is one attempt's. */
#define GG_CONNECT_LIST(X)                                                                                             \
  X(REFUSED, route_connect_failures, COUNTER, "kind", "refused",                                                       \
    "Connects to the upstream that failed: refused, timed out, its name unresolved, local want of descriptors or "     \
    "memory, or otherwise")                                                                                            \
  X(TIMED_OUT, route_connect_failures, COUNTER, "kind", "timed_out", "")                                               \
  X(UNRESOLVED, route_connect_failures, COUNTER, "kind", "unresolved", "")                                             \
  X(LOCAL, route_connect_failures, COUNTER, "kind", "local", "")                                                       \
  X(OTHER, route_connect_failures, COUNTER, "kind", "other", "")                                                       \
  X(UP, route_upstream_up, GAUGE, NULL, NULL, "1 while the upstream is given sessions: it is neither out nor drained") \
  X(OUT, route_upstream_out, GAUGE, NULL, NULL, "1 while the upstream is taken out, for connects that failed")         \
  X(DRAINED, route_upstream_drained, GAUGE, NULL, NULL, "1 while the upstream is drained by the operator")             \
  X(OUTS, route_upstream_outs, COUNTER, NULL, NULL, "Times that the upstream was taken out")                           \
  X(WEIGHT, route_upstream_weight, GAUGE, NULL, NULL, "The upstream's weight as configured (0: not in the list)")      \
  X(WEIGHT_PART, route_upstream_weight_ppm, GAUGE, NULL, NULL,                                                         \
    "Part of its weight by which the upstream is chosen now: 1, less in slow start, 0 while it is out or drained")     \
  X(LATENCY, route_connect_ns, HISTOGRAM, NULL, NULL, "Time from connect(2) to the upstream's answer")                 \
  X(FIRST_BYTE, route_first_byte_ns, HISTOGRAM, NULL, NULL, "Time from connected to the upstream's first byte")

enum gg_connect_counter {
#define GG_CONNECT_ENUM(NAME, name, kind, label, value, help) GG_CONNECT_##NAME,
  GG_CONNECT_LIST(GG_CONNECT_ENUM)
#undef GG_CONNECT_ENUM
    GG_CONNECT_COUNTERS
};

/* X(NAME, name, kind, label, value, help). Of TCP listeners, as the kernel has them: a unix socket does not tell. */
#define GG_QUEUE_LIST(X)                                                                                               \
  X(WAITING, listener_accept_queue_clients, GAUGE, NULL, NULL,                                                         \
    "Clients whose handshake is complete and who wait to be accepted, at all sockets of the TCP listener")             \
  X(LONGEST, listener_accept_queue_longest_clients, GAUGE, NULL, NULL,                                                 \
    "The same, at that one of its sockets (each worker has one) where most of them wait")                              \
  X(LIMIT, listener_accept_queue_limit_clients, GAUGE, NULL, NULL,                                                     \
    "Clients that may wait at one of its sockets before the kernel drops them (0: nobody listens any more)")

enum gg_queue_counter {
#define GG_QUEUE_ENUM(NAME, name, kind, label, value, help) GG_QUEUE_##NAME,
  GG_QUEUE_LIST(GG_QUEUE_ENUM)
#undef GG_QUEUE_ENUM
    GG_QUEUE_COUNTERS
};

extern const struct gg_metric_def gg__queue_counters[GG_QUEUE_COUNTERS];

/* A histogram's slots are many: where the second one begins is not its number in the table. */
enum {
  GG_CONNECT_SLOT_LATENCY = GG_CONNECT_LATENCY,
  GG_CONNECT_SLOT_FIRST_BYTE = GG_CONNECT_SLOT_LATENCY + GG_METRIC_HISTOGRAM_SLOTS,
};

extern const struct gg_metric_def gg__connect_counters[GG_CONNECT_COUNTERS];

#endif
