/* SPDX-License-Identifier: Apache-2.0 */
/**
 * session.h - one connection through the gateway: two sockets, two directions, one conversation in the recording.
 *
 * States, and who moves a session on:
 *
 *                    accept
 *                      │
 *                  [ACCEPTED] ──── a PROXY header is expected ───► [SNIFFING]      session.c
 *                      │  no                                           │ header valid
 *                      ├───────────────────────────────────────────────┘
 *                      │ upstream known                        upstream: none
 *                      ▼                                            │
 *                 [CONNECTING] ◄─┐ failed: the next upstream        │              upstream.c
 *                      │   └─────┘                                  │
 *                      │ connected                                  │
 *                      ▼                                            ▼
 *                 [RELAYING] ◄──────────────────────────────────────┘              relay.c, splice.c
 *                      │ one FIN has been passed on
 *                      ▼
 *               [HALF_CLOSED]
 *                      │ both FINs; or from any state: reset, time-out, refusal, drain
 *                      ▼
 *                 [CLOSING]   the sockets are closed; the last packet waits for room in the log
 *                      │ recorded
 *                      ▼
 *                 [CLOSED]    freed at the end of the loop's iteration
 *
 * Contracts: ACCEPTED, SNIFFING, CONNECTING read nothing that would have to be forwarded (the client's bytes stay in
 * the kernel). RELAYING and HALF_CLOSED may receive, record and send. From CLOSING on there are no descriptors, and
 * only the conversation and the facts are used.
 *
 * A session that is not recorded (record: off) goes through the same states without a log: nothing waits for room, and
 * CLOSING ends at once.
 *
 * A direction d runs from end[d] to end[!d]; what end[d] received and end[!d] has not taken lies either in
 * end[!d].pending (in place) or in end[d].pipe (splice) or, while the events of a wait are handled, in the worker's
 * batch, never in two of them. A direction receives only when all are empty.
 *
 * Thread: its worker's, always the same.
 */
#ifndef GG_GATEWAY_SESSION_H
#define GG_GATEWAY_SESSION_H

#include "base/list.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/timers.h"
#include "record/conversation.h"

#include <stdbool.h>
#include <stdint.h>

struct gg_plane;
struct gg_worker;
struct gg_worker_log;
struct gg_listener;
struct gg_pipe;
struct gg_route;
struct gg_member;
struct gg_attempts;
struct gg_live;
struct gg_tags;
struct gg_verdict;

enum gg_state {
  GG_STATE_ACCEPTED,
  GG_STATE_SNIFFING,
  GG_STATE_CONNECTING,
  GG_STATE_RELAYING,
  GG_STATE_HALF_CLOSED,
  GG_STATE_CLOSING,
  GG_STATE_CLOSED,
};

/* X(NAME, text): why a session ended; the text is the closing comment's "close". */
/* clang-format off */
#define GG_CLOSE_LIST(X)                                                                                               \
  X(CLIENT_FIN, "client-fin")           /* orderly, the client's FIN came first */                                     \
  X(SERVER_FIN, "server-fin")           /* orderly, the server's FIN came first */                                     \
  X(CLIENT_RESET, "client-reset")                                                                                      \
  X(SERVER_RESET, "server-reset")                                                                                      \
  X(CONNECT_REFUSED, "connect-refused")                                                                                \
  X(CONNECT_TIMEOUT, "connect-timeout")                                                                                \
  X(CONNECT_FAILED, "connect-failed")                                                                                  \
  X(UNRESOLVED, "unresolved")           /* the upstream's name has no address yet */                                   \
  X(UNAVAILABLE, "unavailable")         /* every upstream is drained */                                                \
  X(IDLE_TIMEOUT, "idle-timeout")                                                                                      \
  X(FIRST_BYTE_TIMEOUT, "first-byte-timeout")                                                                          \
  X(SESSION_TIMEOUT, "session-timeout")                                                                                \
  X(STALL_TIMEOUT, "stall-timeout")     /* a receiver took nothing while bytes waited for it */                        \
  X(SOURCE_SESSIONS, "source-sessions") /* the client of the PROXY header is beyond limits.source_sessions */          \
  X(SOURCE_RATE, "source-rate")         /* ... or limits.source_rate */                                                \
  X(DRAIN, "drain")                     /* open when the drain's deadline passed */                                    \
  X(LIMIT, "limit")                     /* descriptors or memory were used up */                                       \
  X(STALL, "stall")                     /* on_stall or on_full: close */                                               \
  X(VERDICT, "verdict")                 /* a plug-in's */                                                              \
  X(PROXY_INVALID, "proxy-invalid")                                                                                    \
  X(INTERNAL, "internal")
/* clang-format on */

enum gg_close {
#define GG_CLOSE_ENUM(NAME, text) GG_CLOSE_##NAME,
  GG_CLOSE_LIST(GG_CLOSE_ENUM)
#undef GG_CLOSE_ENUM
};

/* One side of a session: its socket, and both what came from it and what waits to go to it. */
struct gg_end {
  struct gg_source source; /* fd -1: none (upstream: none, or closed) */
  struct gg_list run; /* in the worker's run queue or `unwatched`, its log's waiting list, or the durability list */
  uint8_t *pending;   /* bytes of the other end that wait to go to this one */
  uint32_t pending_at;
  uint32_t pending_left;
  struct gg_pipe *pipe; /* bytes of this end that are in the kernel, on their way to the other one */
  uint64_t received;    /* from this end */
  uint64_t forwarded;   /* of those, taken by the other end's socket */
  uint64_t durable_at;  /* sync: always: `pending` may go when the log is durable up to here */
  uint8_t side;         /* enum gg_direction: the direction that begins here */
  bool readable;        /* edge-triggered: something came, and no read has said that it was all */
  bool finishing;       /* FIN, RST or urgent data were announced: a short read proves nothing */
  bool hung_up;         /* FIN or RST were announced: nothing comes behind what its socket holds */
  bool ended;           /* its FIN was read */
  bool end_recorded;    /* ... and recorded */
  bool shut;            /* the other end's FIN was passed on to it */
  bool write_blocked;   /* its socket was full; EPOLLOUT will tell */
  bool write_watched;   /* it is in the base set */
  bool read_watched;    /* ... in its log's read set */
  bool dead;            /* a send failed: nothing can go to it any more */
  uint8_t bulk;         /* reads in a row that filled their buffer, or by splice: that did not */
  bool splicing;
  bool put_off; /* a message of this end is in the worker's batch */
  bool engaged; /* plug-ins, or their orders, have a part in what comes from it: session.live is looked at */
};

struct gg_session {
  struct gg_end end[2]; /* by enum gg_direction: the client, the server */
  struct gg_conversation conversation;
  struct gg_timer timer;  /* PROXY header, then connect, then those of deadlines.c */
  struct gg_list node;    /* all sessions of the worker; in CLOSING: its log's closing list */
  struct gg_list stalled; /* has pending bytes: in order of since when; CONNECTING: in the worker's reconnect list */
  struct gg_worker *worker;
  struct gg_worker_log *log;
  struct gg_listener *listener;
  const struct gg_route *route;  /* where it is counted (route.h) */
  struct gg_addr peer;           /* who connected to us: not the conversation's client if a PROXY header said so */
  struct gg_member *member;      /* the upstream that it goes to, held (group.h) */
  struct gg_attempts *attempts;  /* the upstreams that could not be had; NULL: none */
  struct gg_live *live;          /* what plug-ins know and want of it; NULL: none sees it */
  struct gg_session *known_next; /* known.h */
  struct gg_tags *tags;          /* under the lock of known.h; NULL: there are none */
  struct gg_addr upstream;       /* the member's address; of a unix upstream only the family */
  struct gg_addr gateway;        /* our end of the connection to it; no family: there is none, or it has no address */
  struct gg_session_id id;
  bool recorded;          /* or nothing of it ever goes into a log; `log->log` is NULL then (record: off) */
  uint8_t state;          /* enum gg_state */
  uint8_t close;          /* enum gg_close, from CLOSING on */
  bool addressed;         /* ... and it had the client's address */
  bool trial;             /* CONNECTING: the member was out, and this session tries it */
  uint8_t announced;      /* bytes of the PROXY header that the upstream was sent */
  uint8_t proxied;        /* enum gg_proxy_version of the header that was read */
  uint8_t source_bits;    /* of its client's address, under which it is counted (sources.h); 0: it is not */
  bool splice_allowed[2]; /* by relay.splice and where the end is */
  uint64_t opened_ns;     /* CLOCK_MONOTONIC */
  uint64_t active_ns;     /* last time something came or went */
  uint64_t connected_ns;  /* when the upstream answered; 0: it did not, there is none, or its first byte has come */
  union {
    uint64_t waits_ns[2]; /* while relaying: when the receiver of each direction last took some of what waits for it */
    uint64_t acked[2];    /* after a reset: bytes of each direction that the receiver's TCP acknowledged */
  };
};

/* A connection was accepted, and its place taken. Takes both. */
void gg__session_accept(struct gg_listener *listener, int fd, const struct sockaddr_storage *peer, socklen_t length);

/* SNIFFING: something came that should be a PROXY header. */
void gg__session_sniff(struct gg_session *session);

/* Its plug-ins have seen it open: chooses an upstream, or relays without one. */
void gg__session_go_on(struct gg_session *session);

/* The upstream is connected (or there is none): begins to relay. */
void gg__session_relay(struct gg_session *session);

/* Ends it: closes the sockets (with RST unless the end was orderly or the listener wants otherwise), records the last
 * packet, or waits for room. The session may not be used by the caller afterwards, but its memory stays until the
 * iteration ends, and its state says CLOSING or CLOSED. */
void gg__session_close(struct gg_session *session, enum gg_close reason);

/* Tries again to record the last packet; true when it is done. */
bool gg__session_close_record(struct gg_session *session);
/* Gives up recording it (shutdown with a log that takes nothing): counted as lost. */
void gg__session_close_abandon(struct gg_session *session);
/* Takes an end out of the worker's sets, before its socket is closed or given away (gg_source_forget says why). */
void gg__end_leave(struct gg_session *session, struct gg_end *end);

/* Records the handshake, unless there is nothing to record; false: no room. */
bool gg__session_open_record(struct gg_session *session);

/* An address for who has none, as a unix peer: 127.0.0.1, and a port that no other open session of this gateway is
 * given soon. */
struct gg_addr gg__session_synthetic(struct gg_worker *worker);

/* Whether it is an address of this host; a unix one always is. */
bool gg__session_is_local(const struct gg_plane *plane, const struct gg_addr *addr);

/* How many of the direction's bytes that were sent on the receiver's TCP has acknowledged. */
uint64_t gg__session_acked(const struct gg_session *session, enum gg_direction direction);

/* How the direction goes from now on: whether plug-ins have a part in it, and whether by splice (if not, takes it back
 * in place). Called when anything that this depends on has changed. */
void gg__session_judge(struct gg_session *session, enum gg_direction direction);

/* A count of bytes, which only the session's worker changes and any thread may read. */
static inline void gg__bytes_add(uint64_t *count, uint64_t bytes)
{
  __atomic_store_n(count, *count + bytes, __ATOMIC_RELAXED);
}
static inline uint64_t gg__bytes_read(const uint64_t *count)
{
  return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static inline bool gg__session_over(const struct gg_session *session)
{
  return session->state >= GG_STATE_CLOSING;
}

/* facts.c: what the closing comment and the messages call it; static. */
const char *gg__close_text(enum gg_close reason);

/* facts.c: the members of the first and the last comment. */
void gg__session_facts(const void *session, struct gg_json *json);
void gg__session_closing_facts(const void *session, struct gg_json *json);

/* upstream.c: chooses an upstream, records the handshake, and begins to connect; an upstream that cannot be had is
 * followed by the next. What becomes of it ends in gg__session_relay or gg__session_close. */
void gg__upstream_connect(struct gg_session *session);
/* What an error of connect(2) means, and whether the fault is ours: want of descriptors, memory or ports. */
enum gg_close gg__connect_reason(int error, bool *ours);
/* What was chosen is not tried, or not to the end, and that says nothing about it. */
void gg__upstream_give_back_trial(struct gg_session *session);
/* The session is over, and needs to know of its upstream no more. */
void gg__upstream_let_go(struct gg_session *session);
/* A plug-in sends what the client has said, and all that follows, elsewhere. False: it cannot be done any more. */
bool gg__upstream_divert(struct gg_session *session, const char *by, const struct gg_verdict *verdict);
/* The server's socket had an event while connecting. */
void gg__upstream_ready(struct gg_session *session, uint32_t events);

/* Phase 3: tries the unix upstreams again whose backlog was full. */
void gg__upstream_reconnect(struct gg_worker *worker);

/* Since when its sockets have been listened to: while the log has no room (block) they are not. A time-out counts from
 * there, since what it waits for may have come and not been heard. */
uint64_t gg__session_heard_since(const struct gg_session *session, uint64_t now_ns);

/* Timers' callbacks. */
uint64_t gg__session_header_expired(struct gg_timer *timer, uint64_t now_ns);
uint64_t gg__session_connect_expired(struct gg_timer *timer, uint64_t now_ns);
uint64_t gg__session_relay_expired(struct gg_timer *timer, uint64_t now_ns); /* deadlines.c */

/* deadlines.c: begins the time-outs of relaying. */
void gg__relay_timer_start(struct gg_session *session);

#endif
