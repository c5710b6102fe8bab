/* SPDX-License-Identifier: Apache-2.0 */
/**
 * player.h - one connection that plays one recorded session's client.
 *
 *   begin ──► CONNECTING ──CONNECTED──► PLAYING ──last step──► LEAVING ──the server's end, or time──► OVER
 *                  │                       │ reset, policy, stop                                       ▲
 *                  └──FAILED───────────────┴───────────────────────────────────────────────────────────┘
 *
 *   PLAYING waits for one thing at a time:
 *     REPLY  the live reply to be complete (causal, and the next step of the client followed bytes or the end of the
 *            server): by decoder, rule, identity, silence, the server's end, or reply_timeout
 *     TIME   the next step to be due
 *     ROOM   the socket to take more; at most reply_timeout without a byte taken
 *
 * Due times: a step is due at anchor + span(its recorded time - the anchor's recorded time). The anchor is the session's
 * due start until a reply is completed; then the time of that reply's last live byte, and of its last recorded one. So
 * errors do not add up between two replies, and a reply that took longer moves everything behind it, no more. A step
 * is never sent before its reply is complete, however long it is due.
 *
 * Lag is from when a chunk could go (due, its reply complete) to when its first byte was taken: ours. Slip is by how
 * much a reply was later than the recording says, counted from the anchor before it: the target's. Latency is from the
 * due time of the last chunk before a reply to the reply's last byte.
 *
 * Level bytes waits for no reply; the connection's end (FIN, RST, close) waits until the server has sent as much as was
 * recorded before it, or ended, reply_timeout at the most: otherwise as fast as possible would cut the last replies off.
 * Its whole session is one reply.
 *
 * Thread: the replay's. A player allocates nothing but its line and decoder; under 1 KiB.
 */
#ifndef GG_REPLAY_PLAYER_H
#define GG_REPLAY_PLAYER_H

#include "base/list.h"
#include "replay/recording.h"
#include "replay/reply.h"
#include "replay/stage.h"

enum gg_player_state {
  GG_PLAYER_CONNECTING,
  GG_PLAYER_PLAYING,
  GG_PLAYER_LEAVING,
  GG_PLAYER_OVER,
};

enum gg_player_wait { GG_WAIT_NOTHING, GG_WAIT_REPLY, GG_WAIT_TIME, GG_WAIT_ROOM };

enum {
  GG_SILENCE_MIN_NS = 20 * 1000 * 1000,         /* DESIGN: max(20 ms, 2 round trips, ... */
  GG_SILENCE_PAUSE_MAX_NS = 1000 * 1000 * 1000, /* ... the longest pause inside the recorded reply, up to 1 s) */
  GG_PLAYER_TURN_BYTES = 1 << 20,               /* received in one turn, then others have theirs */
};

struct gg_player {
  struct gg_list node; /* the scheduler's */
  size_t heap_index;   /* the scheduler's timer heap; SIZE_MAX: not in it */
  uint64_t when_ns;    /* ... and when it expires */
  struct gg_stage *stage;
  size_t session; /* index in the script */
  uint64_t copy, loop;
  struct gg_script_session facts;
  enum gg_player_state state;
  enum gg_player_wait wait;
  struct gg_line *line;
  void *decoder;
  struct gg_take take; /* of the replay's recording */

  struct gg_cursor cursor; /* behind `step` */
  struct gg_step step;     /* the client's next one */
  uint32_t step_at;        /* bytes of it that were sent */
  uint64_t number;         /* of the reply that is awaited or comes next, from 0 */
  struct gg_reply reply;

  uint64_t anchor_ns, anchor_recorded_ns;
  uint64_t due_ns;      /* of `step`; of the session until it has begun. On the wire's clock */
  uint64_t could_ns;    /* when `step` could go at the earliest */
  uint64_t intended_ns; /* due time of the last chunk sent */
  uint64_t awaited_since_ns;
  uint64_t last_byte_ns; /* received */
  uint64_t begun_ns;
  uint64_t round_trip_ns;         /* of the handshake */
  uint64_t pause_ns;              /* the longest inside the recorded reply that is awaited */
  uint64_t reply_recorded_ns;     /* time of its last recorded byte */
  uint64_t chunks_expected;       /* the server's recorded chunks before `step` */
  enum gg_replay_release release; /* of `step`, once it may go */
  struct gg_rule rule;            /* of the awaited reply, if it holds for the recorded one */
  bool awaits_bytes, awaits_end;  /* what REPLY waits for */
  bool readable;                  /* the last turn left bytes in the socket */
  bool server_ended, server_reset;
  bool end_expected; /* the recorded server's FIN lies behind us */
  bool finished;     /* our FIN was sent */
  struct gg_replay_session outcome;
};

/* Connects. `due_ns`: when it should have begun, on the wire's clock; `anchor_ns`: from when on its times count (due, or
 * when a connection was free). 0; or what gg_wire_ops.connect returned, and the player is not begun. */
int gg__player_begin(struct gg_player *player, struct gg_stage *stage, size_t session, uint64_t copy, uint64_t loop,
                     uint64_t due_ns, uint64_t anchor_ns, struct gg_failure *failure);
/* Its timer has expired. */
void gg__player_time(struct gg_player *player, uint64_t now_ns);
/* The replay ends: closes the connection now. The verdict is UNFINISHED unless it had differed. */
void gg__player_cut(struct gg_player *player);

#endif
