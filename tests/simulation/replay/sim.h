/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sim.h - a world in which replays are tried: the recording, the network, the servers and the clock are simulated, and
 * everything follows from one seed. The scheduler, the players, the rules and the comparison are the real ones.
 *
 *   world.c     random numbers, the virtual clock, what will happen and when
 *   scripts.c   recordings in memory: random dialogs of several services, and how they ended
 *   wire.c      connections: partial sends, short reads, EAGAIN, late and failing connects, limits
 *   servers.c   what answers: as recorded, or otherwise
 *   checks.c    what must hold while bytes move, when a connection has ended, and at the end
 *   fixed.c     plans of an hour, whose every due time is known
 *   main.c      a seed's configuration, the drive, the command line
 *
 * A server knows which session it is talking to (a real one would not): so it can answer exactly as recorded, and what
 * it gets can be compared with the recording at once.
 */
#ifndef SIM_H
#define SIM_H

#include "base/clock.h"
#include "replay/scheduler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_SESSIONS_MAX = 40, SIM_SERVICES = 3, SIM_LATE_NS = 1000000 };

#define SIM_MS UINT64_C(1000000)

/* ── Recordings ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A step of the client's that sends bytes, and what it has to wait for. */
struct sim_send {
  uint64_t from, length; /* in what is really sent: gaps do not count */
  uint64_t time_ns;
  bool begins_chunk;
  bool replied;        /* the server's bytes came since the client's chunk before */
  bool ends;           /* the server's end is somewhere before it */
  uint64_t server_at;  /* what the server had sent before: offset, gaps counted */
  uint64_t server_ns;  /* when it sent the last of that; 0: nothing yet */
  uint64_t reply;      /* number of that reply, if there was one */
  uint64_t reply_from; /* where it begins in the server's bytes */
  bool any_reply;
};

enum sim_act_kind { SIM_ACT_BYTES, SIM_ACT_FIN, SIM_ACT_RESET };

/* What the recorded server did, and after what. */
struct sim_act {
  enum sim_act_kind kind;
  uint64_t trigger;      /* bytes of the client that it had got */
  bool trigger_fin;      /* and its end */
  bool begins_reply;     /* the first of a reply; otherwise pauses are bounded */
  bool ends_reply;       /* the last bytes of one that a chunk of the client followed */
  uint64_t pause_max_ns; /* that nobody takes for the reply's end */
  uint64_t delay_ns;     /* behind whatever went before it */
  uint64_t reply;
  bool gap;
  const uint8_t *data;
  uint32_t length;
};

struct sim_session {
  struct gg_script_session facts;
  struct gg_step *steps;
  size_t step_count;
  uint8_t *bytes[2]; /* what there is of them */
  uint64_t byte_count[2], byte_room[2];
  struct sim_send *sends;
  size_t send_count;
  struct sim_act *acts;
  size_t act_count;
  uint64_t replies;
  bool open_end; /* nobody ended it while it was recorded */
  bool lines;    /* every reply ends in its service's terminator, and has it nowhere else */
  uint64_t recorded_ns;
};

struct sim_script {
  struct gg_script script;
  struct sim_session *sessions;
  size_t count;
  uint64_t fail_in; /* calls until reading fails; 0: never */
};

void sim_script_make(struct sim_script *script); /* random, by sim.config */
void sim_script_free(struct sim_script *script);
/* Building one by hand. */
void sim_session_begin(struct sim_session *session, size_t index, uint64_t start_ns, uint32_t service);
void sim_session_step(struct sim_session *session, enum gg_step_kind kind, uint64_t time_ns, const void *data,
                      uint32_t length, bool begins_chunk);
void sim_session_end(struct sim_session *session, uint64_t time_ns);
extern const struct gg_script_ops sim_script_ops;

/* ── The wire ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum sim_conduct {
  SIM_AS_RECORDED,
  SIM_VARIED,  /* replies of other lengths and bytes, with the same end */
  SIM_FLIPPED, /* one byte is another */
  SIM_SHORT,   /* one reply ends early */
  SIM_LONG,    /* ... goes on */
  SIM_CLOSES,  /* ends the connection at some point */
  SIM_RESETS,
  SIM_MUTE,   /* says nothing from some point on */
  SIM_FLOODS, /* says everything */
  SIM_SPEAKS, /* first, what nobody recorded */
  SIM_HALF,   /* ends its side at some point and listens on */
  SIM_DEAF,   /* reads nothing from some point on */
  SIM_CONDUCTS,
};

enum sim_connect { SIM_CONNECTS, SIM_REFUSES, SIM_NEVER, SIM_LIMIT, SIM_BREAKS };

struct gg_line {
  struct gg_player *player; /* looked at for its numbers only */
  const struct sim_session *session;
  unsigned number;
  uint64_t copy, loop;
  gg_wire_fn event;
  void *sink;
  unsigned pending; /* events for the next wait */
  enum sim_connect connect;
  bool open, failed, closed;
  bool told_connected;
  bool reset_sent;
  uint64_t latency_ns;
  uint64_t began_ns, told_ns; /* of the connection: begun, told that it is made */
  bool blocked;               /* it took less than it was given */
  size_t send_next;           /* of session->sends: whose first byte has not left */

  /* to the server */
  uint64_t sent, arrived, room;
  bool fin_sent, fin_arrived, wants_room;
  bool refuses; /* what comes is answered by a reset */
  bool deaf;    /* ... is left in the socket */
  /* to the client */
  uint8_t *stream; /* what the server says; behind it, if it floods, anything */
  uint64_t stream_bytes, stream_room;
  uint64_t written, delivered, read; /* of the stream; `written` is on its way */
  uint64_t last_delivery_ns;
  bool fin_delivered, reset_delivered;
  bool fin_told;
  uint64_t sent_before_fin; /* that was told */
  /* the server */
  enum sim_conduct conduct;
  size_t act;     /* next one */
  size_t act_odd; /* at which it misbehaves */
  bool act_waits; /* it has been scheduled */
  bool floods;
  bool done;           /* nothing more comes from it */
  uint64_t *reply_end; /* by number of reply: where the live one ends in the stream; UINT64_MAX: not yet */
  uint64_t *reply_ns;  /* ... and when that was delivered */
};

void sim_wire_begin(void);
void sim_wire_end(void);
void sim_line_deliver(struct gg_line *line); /* what the server has written is on its way */
void sim_line_wake(struct gg_line *line, unsigned events);

/* servers.c */
void sim_server_begin(struct gg_line *line);    /* it is connected */
void sim_server_look(struct gg_line *line);     /* something has come */
void sim_server_farewell(struct gg_line *line); /* the client's end, perhaps where nobody recorded one */
void sim_server_free(struct gg_line *line);

/* checks.c */
void sim_check_connect(const struct gg_player *player, int error);
void sim_check_send(struct gg_line *line, const uint8_t *data, size_t size);
void sim_check_finish(struct gg_line *line);
void sim_check_session(const struct gg_replay_session *told);
void sim_check_end(int error);

/* ── The world ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sim_config {
  bool peaceful; /* every server answers as recorded, in time */
  bool slow;     /* ... and takes its time, as much as when it was recorded */
  unsigned sessions;
  uint64_t span_ns;
  uint64_t delay_ns;     /* of a server's answers, at the most */
  uint64_t latency_ns;   /* of the network */
  uint64_t cost_ns;      /* of asking for the time, at the most */
  uint64_t oversleep_ns; /* of a wait, at the most */
  unsigned pause;        /* one in so many waits takes very long */
  unsigned short_io, again, limit, spurious;
  uint32_t limit_open;              /* connections that the system has; 0: any number */
  bool gaps, odd_connects, patient; /* `patient`: no wait for a reply ends by time */
  bool stops;
  uint64_t stop_ns;
  uint32_t connections_max;
  struct gg_replay_options options;
};

struct sim_world {
  uint64_t seed, random, now_ns, base_ns;
  bool trace;
  struct sim_config config;
  struct sim_script script;
  struct gg_wire wire;
  bool interrupted;
  struct gg_line **lines;
  size_t line_count, line_room;
  size_t lines_closed; /* the first so many of them are */
  uint64_t open;
  struct gg_scheduler *scheduler;
  struct gg_rules *rules;
  bool running, script_failed, stopped, paused, policy_stops;
  uint64_t waits, idle_waits, spurious;
  /* what was seen */
  uint64_t told_made, bytes_sent, bytes_received;
  struct gg_replay_counts sums;
  uint64_t verdicts[GG_REPLAY_VERDICTS];
  bool any_begun;
  uint64_t begun[3]; /* loop, session, copy of the last connection */
  uint8_t *told;     /* by loop, session, copy */
  uint64_t peak;
  uint64_t full_until_ns;               /* when as many connections were open as may be */
  uint64_t late_worst_ns, late_last_ns; /* of the first bytes of chunks */
  uint64_t begun_late_ns, due_late_ns;  /* the worst beginning: by when it could be, and by when it was due */
};
extern struct sim_world sim;

/* Over all seeds. */
struct sim_totals {
  uint64_t sessions, bytes, verdicts[GG_REPLAY_VERDICTS], differences[GG_REPLAY_DIFFERENCES];
  uint64_t released[GG_REPLAY_RELEASES];
  uint64_t held, stopped, failed, guarded, exact, peaceful;
};
extern struct sim_totals totals;

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t sim_random(void);
uint64_t sim_below(uint64_t n);   /* 0 for 0 */
bool sim_chance(unsigned one_in); /* 0: never */
uint64_t sim_size(uint64_t most); /* any magnitude up to `most` */

typedef void (*sim_event_fn)(void *argument, uint64_t number);
void sim_at(uint64_t time_ns, sim_event_fn event, void *argument, uint64_t number);
bool sim_next_event(uint64_t until_ns); /* runs the next one if it is due by then; the clock goes there */
void sim_world_reset(void);
void sim_world_fini(void);

/* fixed.c */
void sim_fixed_plans(void);
/* main.c */
int sim_drive(void);

#endif
