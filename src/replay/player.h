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
 * Due times: a step is due at anchor + span(its recorded time - the anchor's recorded time). The anchor is the
 * session's due start until the client goes on behind a reply; then the time of that reply's last live byte, and of its
 * last recorded one. So errors do not add up between two replies, and a reply that took longer moves everything behind
 * it, no more. A step is never sent before its reply is complete, however long it is due. Where messages say what is
 * waited for, the reply's last byte is that of the last answer; if nothing is, the anchor stays where it was.
 *
 * A reply that silence completed is complete until it goes on: if more of it comes while the client thinks, the silence
 * is waited for again. The turn (reply.h) is when the client's step goes, not when the reply seems complete.
 *
 * Lag is from when a chunk could go (due, connected, its reply complete) to when its first byte was taken, and from a
 * session's anchor to when its connection was begun: ours. A first chunk could go when it is due and the connection
 * would have been made if it had been begun in time. Slip is by how much a reply was later than the recording says,
 * counted from the anchor before it, of the first one without our lateness in beginning: the target's; nothing is late
 * where everything is due at once. Latency is from the intended time of the last chunk before a reply to the reply's
 * last byte, or to the time-out if it did not come. A chunk's intended time is when it was due, or when its reply was
 * known to be complete, if that is later: what it takes us to find out about a silence is not the target's latency.
 *
 * A wait for the server lasts reply_timeout longer than it did when recorded, at the most: what is as slow as it was is
 * no difference, at whatever speed. The recorded wait is from the client's step before (at level bytes: all of them) to
 * the server's last byte or end before its next one.
 *
 * Level bytes waits for no reply; the connection's end (FIN, RST, close) waits until the server has sent as much as was
 * recorded before it, or ended, as long as any wait: otherwise as fast as possible would cut the last replies off. Its
 * whole session is one reply.
 *
 * A server that has said all that was recorded, and ends while the client still has something to say, is excused: where
 * both speak freely either may be done first. But it has to take what is still sent. So a reset is looked for until a
 * silence behind the last chunk is over; if it comes, the end was early.
 *
 * Where the recording ends without the server's end, nothing is known of what it would have said then: what comes
 * behind our own end is received, and not compared.
 *
 * Thread: the replay's. A player allocates nothing but its line and what it follows messages by (follow.h); 1.5 KiB at
 * most, of which the half is its outcome and what the recording of the replay has to know.
 */
#ifndef GG_REPLAY_PLAYER_H
#define GG_REPLAY_PLAYER_H

#include "base/list.h"
#include "hook/output.h"
#include "replay/follow.h"
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
  GG_SILENCE_PAUSE_MAX_NS = 1000 * 1000 * 1000, /* ... the longest pause inside the recorded reply, up to 1 s); a
                                                   handshake may seem longer than that, but no round trip is */
  GG_PLAYER_TURN_BYTES = 1 << 20,               /* received in one turn, then others have theirs */
  GG_PLAYER_TURN_CHUNKS = 64,                   /* sent in one turn */
  GG_PLAYER_TURN_STEPS = 4096,                  /* looked at in one turn; longer replies have no rule */
  GG_PLAYER_FOLLOW_NS = 100 * 1000 * 1000,      /* an equal reply that takes so long is asked what it is */
  GG_PLAYER_OVERDUE_NS = 1000 * 1000,           /* what was missed while this process stood is looked for so long */
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
  struct gg_follow *follow; /* its messages; NULL: not followed yet, or not any more */
  struct gg_take take;      /* of the replay's recording */

  struct gg_cursor cursor;  /* behind `step` */
  struct gg_step step;      /* the client's next one */
  uint64_t steps;           /* of the script, until behind that */
  uint32_t step_at;         /* bytes of it that were sent, or of what goes instead */
  struct gg_output instead; /* what the plug-in put out for `step` */
  uint64_t number;          /* of the reply that is awaited or comes next, from 0 */
  struct gg_reply reply;

  /* Times on the wire's clock, but the recorded ones. */
  uint64_t begun_ns;
  uint64_t anchor_ns, anchor_recorded_ns;
  uint64_t due_ns;           /* of `step`; of the session until it has begun */
  uint64_t ready_ns;         /* before then `step` could not go, if it is due or not */
  uint64_t could_ns;         /* when `step` could go at the earliest */
  uint64_t intended_ns;      /* of the last chunk sent */
  uint64_t awaited_since_ns; /* REPLY; ROOM: since a byte was taken; LEAVING */
  uint64_t wait_began_ns;    /* REPLY, LEAVING: as a recorded wait counts. Level bytes: when it was connected */
  uint64_t extended_ns;      /* ... by so much, as what ended it came while this process stood: once */
  uint64_t missed_ns;        /* when the reply timed out; 0: it did not */
  uint64_t late_ns;          /* of what the first reply waits for, as the connection was begun late */
  uint64_t confirmed_ns;     /* when the awaited reply was found complete; 0: nothing was awaited */
  uint64_t reply_ns;         /* ... its last live byte; 0: none came */
  uint64_t turn_ns;          /* ... the anchor that it will be */
  uint64_t last_byte_ns;     /* received */
  uint64_t server_ended_ns;
  uint64_t round_trip_ns; /* of the handshake */

  /* Of the recorded reply that is awaited. */
  uint64_t pause_ns;          /* the longest inside of it */
  uint64_t reply_recorded_ns; /* time of its last recorded byte, or of the server's end behind it */
  uint64_t gone_recorded_ns;  /* time of the client's step before */
  uint64_t wait_recorded_ns;  /* how long was waited for it; level bytes: for all of them */
  uint32_t reply_bytes;       /* at hand, for its rule */
  uint64_t expected_end;      /* offset in the server's recorded stream before `step` */
  uint64_t chunks_expected;   /* the server's recorded chunks before `step` */
  struct gg_rule rule;        /* if it holds for the recorded one */
  bool awaits_bytes, awaits_end;

  uint8_t release;       /* enum gg_replay_release of `step`, once it may go */
  uint8_t says;          /* enum gg_follow_says of the awaited reply */
  bool unfollowed;       /* messages are not asked, or not any more */
  bool follow_behind;    /* ... of the recording are still to be read */
  bool by_messages;      /* they have let `step` go */
  bool gathering;        /* the client's next step is not found yet */
  bool gapped;           /* bytes of the awaited reply are missing, or it was not looked at whole */
  bool behind_gap;       /* the client's last step was SEND_GAP */
  bool end_awaited;      /* level bytes: the wait for the recorded bytes is over */
  bool chunk_begun;      /* a byte of this chunk was taken */
  bool step_taken;       /* `step` is in the replay's recording */
  bool step_asked;       /* the plug-in was asked about `step` ... */
  bool step_replaced;    /* ... and `instead` goes */
  bool plugin_ended;     /* it has ended the session: what was still to come is nobody's fault */
  bool readable;         /* the last turn left bytes in the socket */
  bool writable_awaited; /* the socket was full */
  bool server_ended;     /* FIN or RST */
  bool server_reset;     /* RST */
  bool server_end_first; /* its FIN came before ours */
  bool excused;          /* it came early, and is none if what is still sent is taken */
  bool end_open;         /* the recording is over, and does not have the server's end */
  bool fin_expected;     /* the recorded server's FIN lies behind us */
  bool reset_expected;   /* ... its RST */
  bool end_waited;       /* ... and was waited for long enough */
  bool finished;         /* our FIN was sent */
  bool overdue;          /* connect_timeout is over; what came meanwhile is still to be seen */
  bool unfinished;       /* cut */
  struct gg_replay_session outcome;
};

/* Connects. `due_ns`: when it should have begun, on the wire's clock; `anchor_ns`: from when on its times count (due,
 * or when a connection was free). `node`, `heap_index` and `when_ns` are the caller's and stay as they are. 0; or what
 * gg_wire_ops.connect returned, and the player is not begun. */
int gg__player_begin(struct gg_player *player, struct gg_stage *stage, size_t session, uint64_t copy, uint64_t loop,
                     uint64_t due_ns, uint64_t anchor_ns, struct gg_failure *failure);
/* Its timer has expired. */
void gg__player_time(struct gg_player *player, uint64_t now_ns);
/* The replay ends: closes the connection now. The verdict is UNFINISHED unless it had differed. */
void gg__player_cut(struct gg_player *player);

#endif
