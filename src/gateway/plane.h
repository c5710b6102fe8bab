/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plane.h - the data plane: listeners, workers and their sessions, from accept to the last packet of the recording.
 *
 * Life:  create (binds every listener, adds a log per worker and policy to the recorder)
 *        start  (the workers run; the recorder must have been started)
 *        reload (any number of times: other listeners, upstreams, limits, policies, time-outs; open sessions go on)
 *        drain  (no new sessions; those that are open go on until they end or the deadline passes)
 *        join   (waits for the workers; every session has been closed and recorded, every log finished)
 *        destroy
 *
 * A gateway of one worker may be `polled`: it has no thread, and whoever drives it calls gg_plane_turn when gg_plane_fd
 * is readable, or the time has come that the last turn said. That thread is the worker's, and the engine's too: what
 * waits for the workers elsewhere is done by it at once.
 *
 * Thread: all of these on the engine's thread; drain and stop from any thread; gg_plane_alive, gg_plane_upstream,
 * gg_plane_upstream_drain and gg_plane_listener_endpoint from any thread but a worker's.
 */
#ifndef GG_GATEWAY_PLANE_H
#define GG_GATEWAY_PLANE_H

#include "net/addr.h"
#include "net/proxy_protocol.h"
#include "record/log.h"

struct gg_hook_chain;
struct gg_hook_desk;
struct gg_plane;
struct gg_name;
struct gg_shard;

enum gg_splice_mode { GG_SPLICE_AUTO, GG_SPLICE_ON, GG_SPLICE_OFF };
enum gg_refusal { GG_REFUSAL_RESET, GG_REFUSAL_CLOSE };
enum gg_record { GG_RECORD_FULL, GG_RECORD_OFF };

enum gg_balance { GG_BALANCE_ROUND_ROBIN, GG_BALANCE_LEAST_SESSIONS, GG_BALANCE_HASH };

enum { GG_LISTENERS_MAX = 64, GG_TRUSTED_MAX = 64, GG_WORKERS_MAX = 64, GG_UPSTREAMS_MAX = 64 };
enum { GG_WEIGHT_MAX = 256, GG_UPSTREAM_NAME_MAX = 400 /* with its NUL */ };

/* One member of a listener's list. */
struct gg_upstream_options {
  const char *name; /* as the operator calls it; unique within the listener; by it a reload finds it again */
  struct gg_endpoint endpoint;
  struct gg_name *resolved; /* of a name that has to be resolved; else NULL */
  unsigned weight;          /* 1 to GG_WEIGHT_MAX: its share of the sessions */
  bool backup;              /* is chosen only while no other is healthy */
};

/* When a member is taken for broken, and how it comes back. */
struct gg_health_options {
  unsigned failures;          /* connects in a row that failed, and it is out; 0: never */
  uint64_t out_min_ns;        /* ... for this long the first time, twice as long each further time, ... */
  uint64_t out_max_ns;        /* ... but never longer; a connect that succeeds ends the growing */
  uint64_t check_interval_ns; /* active check by a TCP connect this often; 0: none */
  uint64_t check_timeout_ns;
  uint64_t slow_start_ns; /* its weight grows to the full one over this time after it came back; 0: at once */
  unsigned tries;         /* members that one session tries at the most; 0: each of them once */
};

struct gg_listener_options {
  const char *name;
  struct gg_endpoint listen;
  const struct gg_upstream_options *upstreams;
  size_t upstream_count; /* 0: accept and record what comes (a honeypot) */
  enum gg_balance balance;
  struct gg_health_options health;
  const uint8_t *greeting; /* sent to the client first, without upstreams */
  size_t greeting_length;
  enum gg_proxy_version proxy_in; /* expected from trusted networks */
  const struct gg_network *trusted;
  size_t trusted_count;
  enum gg_proxy_version proxy_out; /* OFF, V1 or V2 */
  /* OFF: its sessions leave nothing in any log, and no log holds them up: bytes are received, counted and sent on. A
   * session goes all its life by what was in force when it was accepted. */
  enum gg_record record;
  enum gg_policy on_stall; /* this and the next: of what is recorded */
  enum gg_policy on_full;
  enum gg_refusal on_connect_failure; /* what the client gets when the upstream cannot be had */
  uint64_t sessions_max;              /* of this listener; 0: only the gateway's */
  unsigned unix_mode;                 /* permissions of a unix listener's file */
  bool decode_inline;                 /* gates are told messages */
  /* The plug-ins that see its sessions; borrowed until create or reload returns. NULL: none. */
  struct gg_hook_chain *hooks;
  /* Sockets that listen there already: from the process before (one for each of its workers), or from systemd (one for
   * all workers). The gateway duplicates them, and binds nothing itself unless it has more workers than came. */
  const int *inherited;
  size_t inherited_count;
  size_t inherited_foreign; /* so many of the first are systemd's: it holds them too, so they and their paths stay */
  /* The process before still listens there: as foreign, and nobody is accepted, until gg_plane_taken_over. Sockets
   * for workers that the other has none for do not listen before that. */
  bool inherited_lent;
};

struct gg_plane_options {
  size_t size;
  unsigned workers;      /* 1 to GG_WORKERS_MAX */
  uint64_t sessions_max; /* over all workers; 0: bounded by descriptors only */
  bool polled;           /* its only worker has no thread; not changed by reload */
  size_t fds_kept;       /* descriptors that the caller keeps beside its usual ones: sessions cannot have them */
  /* A client beyond these is reset at once, before it costs a session: counted, and told at most once in a while. A
   * source is an IPv4 address or an IPv6 network of source_prefix6 bits; of the PROXY header where one is trusted: then
   * the session exists, and is closed when its header has come. Sessions that were opened while there was no limit are
   * not counted. */
  uint64_t source_sessions_max; /* open at a time from one source; 0: no such limit */
  uint64_t source_rate_max;     /* new ones a second from one source (a burst of as many is allowed); 0: none */
  unsigned source_prefix6;      /* 1 to 128 */
  enum gg_splice_mode splice;
  size_t pending_max;   /* bytes of a direction that wait in memory for a slow receiver; 4 KiB to 64 KiB */
  size_t pending_total; /* all of them together; beyond it the longest-stalled sessions are closed */
  uint64_t connect_timeout_ns;
  uint64_t idle_timeout_ns; /* 0: none */
  uint64_t proxy_header_timeout_ns;
  uint64_t tarpit_timeout_ns;     /* a client that a plug-in leaves hanging, at the longest; 0: until it leaves */
  uint64_t first_byte_timeout_ns; /* from accept to the client's first byte, whatever the server says; 0: none */
  uint64_t session_timeout_ns;    /* the longest that a session may last; 0: none */
  uint64_t stall_timeout_ns;      /* a receiver that takes nothing while bytes wait for it; 0: none */
  enum gg_sync_mode sync_mode;    /* GG_SYNC_ALWAYS: in place only, a byte is durable before the next is read */
  const struct gg_listener_options *listeners; /* all borrowed until destroy */
  size_t listener_count;
  struct gg_recorder *recorder;
  struct gg_logger *logger;
  struct gg_metrics *metrics;
  struct gg_hook_desk *hooks; /* NULL: there are never any plug-ins; not changed by reload */
};
/* What the data plane does for plug-ins, for the desk. */
extern const struct gg_hook_sessions gg_plane_hook_sessions;

int gg_plane_create(struct gg_plane **out, const struct gg_plane_options *options, struct gg_failure *failure);
/* Goes over to `options`, all of it or, on an error, nothing. A listener is the same one as before if it has the same
 * `listen` (where port 0 was asked for: the same name); an upstream, if its listener and its name are the same: then
 * counts and health go on. Everything may differ but workers, pending_total, sync_mode, recorder, logger, metrics
 * (GG_ERR_INVALID). Open sessions keep the upstream and the log that they have; their time-outs are the new ones.
 *
 * What is new is bound before anything changes, so a port in use is refused here. A listener that is gone accepts no
 * new handshake, serves every client whose handshake is complete, and is then closed; no connection is reset. From a
 * foreign socket it serves who waits there at that time, and lets it go.
 * Returns when every worker works by `options`; from then on the old options are not borrowed any more. */
int gg_plane_reload(struct gg_plane *plane, const struct gg_plane_options *options, struct gg_failure *failure);

/* For a process that takes over: the sockets of a listener, at most `most` of them; borrowed. Returns how many. */
size_t gg_plane_listener_fds(const struct gg_plane *plane, size_t index, int *fds, size_t most);
/* How many of the first of them somebody else holds too, and a unix path is his: inherited_foreign for who is given
 * them. */
size_t gg_plane_listener_foreign(const struct gg_plane *plane, size_t index);
/* Whether clients of a foreign socket at that place are accepted: by a listener that is there, or by one that a reload
 * has removed and whose clients still wait. Engine's thread. */
bool gg_plane_accepts_at(const struct gg_plane *plane, const struct gg_endpoint *place);
/* Another process listens on these sockets now: they are let go without a look at who waits there, and unix paths stay.
 * `taken` says for each listener whether it was taken; the others are removed as by a reload. Then it drains. */
void gg_plane_hand_over(struct gg_plane *plane, const bool *taken, uint64_t deadline_mono_ns);
/* And for the one that took over: the process before has let go of the sockets, which are this gateway's alone now, and
 * every worker accepts. Engine's thread. */
void gg_plane_taken_over(struct gg_plane *plane);
/* The process before does not say whether it lets go, and may not accept: it is served from the sockets that it lent,
 * which stay lent. Engine's thread. */
void gg_plane_serve_beside(struct gg_plane *plane);

enum gg_upstream_state { GG_UPSTREAM_UP, GG_UPSTREAM_SLOW_START, GG_UPSTREAM_OUT, GG_UPSTREAM_DRAINED };
struct gg_upstream_status {
  char listener[GG_UPSTREAM_NAME_MAX];
  char name[GG_UPSTREAM_NAME_MAX];
  char address[400]; /* as gg_endpoint_format writes it */
  enum gg_upstream_state state;
  bool backup;
  unsigned weight;
  unsigned weight_ppm; /* the part of it by which it is chosen now: less than a million in SLOW_START, 0 if it is not */
  uint64_t sessions;   /* open now */
  uint64_t failures;   /* connects in a row */
  uint64_t back_mono_ns; /* OUT: when it is tried again */
};
/* The index-th upstream of all listeners, from 0; GG_ERR_NOT_FOUND: there are no more. */
int gg_plane_upstream(struct gg_plane *plane, size_t index, struct gg_upstream_status *out);
/* Drained: gets no new session until it is not drained any more (or the process ends); open ones go on. `listener`
 * NULL: of every listener that has it. GG_ERR_NOT_FOUND. */
int gg_plane_upstream_drain(struct gg_plane *plane, const char *listener, const char *name, bool drained,
                            struct gg_failure *failure);

/* Sets in `shard` what is not counted but known, here or in the kernel: sources that are held, clients that wait to be
 * accepted; and, in one of the gateway's own, the weights of upstreams. One call at a time, all with the same shard;
 * while nobody reloads. */
void gg_plane_collect(struct gg_plane *plane, struct gg_shard *shard);

/* Where a listener really listens (port 0 was asked for). */
int gg_plane_listener_endpoint(struct gg_plane *plane, size_t index, struct gg_endpoint *out);
/* How many logs create will add, for gg_recorder_options.logs_max. */
unsigned gg_plane_logs(const struct gg_plane_options *options);
int gg_plane_start(struct gg_plane *plane, struct gg_failure *failure);
void gg_plane_drain(struct gg_plane *plane, uint64_t deadline_mono_ns);
void gg_plane_stop(struct gg_plane *plane); /* a drain whose deadline is now */
/* Of one that is polled, it makes the turns that are left. */
void gg_plane_join(struct gg_plane *plane);
/* Of one that is polled: what is readable when a turn has something to do, and a turn, which waits for nothing.
 * *next_mono_ns is when the next one is due at the latest. False: this was the last one. */
int gg_plane_fd(const struct gg_plane *plane);
bool gg_plane_turn(struct gg_plane *plane, uint64_t *next_mono_ns);
/* Whether every worker that has not ended began its turn when it was due, or at most `grace_ns` later. */
bool gg_plane_alive(const struct gg_plane *plane, uint64_t now_mono_ns, uint64_t grace_ns);
bool gg_plane_running(const struct gg_plane *plane); /* some worker has not ended yet */
void gg_plane_destroy(struct gg_plane *plane);

#endif
