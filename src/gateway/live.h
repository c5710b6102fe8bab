/* SPDX-License-Identifier: Apache-2.0 */
/**
 * live.h - what plug-ins know and want of a session.
 *
 * A session that no plug-in sees has no struct gg_live. One that is seen has one, from when its ends are known until
 * its last packet is recorded. A direction of it that no plug-in wants anything of is not `engaged` (session.h), and
 * its bytes go as if there were no plug-ins.
 *
 *     begin ──► open of each hook ──► (hold_first ──► first of each) ──► upstream ──► relay
 *                                                                                       │ each read of a direction:
 *                                                                                       │   count, gates (gate.c)
 *                                                                                       │   throttle: may it read?
 *     orders (orders.h), of any thread: throttle, cut, resume ─────────────────────────►│
 *                                                                                       ▼
 *                                                                              close of each hook
 *
 * A callback never ends the session under whoever called it: a verdict is carried out when the callback has returned,
 * and what a callback orders is carried out in a later phase of the turn.
 *
 * Thread: the session's worker.
 */
#ifndef GG_GATEWAY_LIVE_H
#define GG_GATEWAY_LIVE_H

#include "gateway/relay.h"
#include "gateway/session.h"
#include "hook/hook.h"
#include "hook/output.h"
#include "net/alarms.h"

struct gg_as_sent;
struct gg_messages;

enum {
  GG_FIRST_MAX = 16384,             /* bytes that hold_first may wait for */
  GG_MESSAGES_MEMORY_MAX = 1 << 20, /* of a session that is decoded in its worker */
  GG_THROTTLE_READS_A_SECOND = 20,  /* a read of a throttled direction takes at the most what is due in this part */
};
#define GG_LINGER_NS (UINT64_C(5) * 1000000000) /* two sides that a verdict parts have so long to take what they get */

/* Whether a plug-in masks a direction. */
enum gg_mask_state {
  GG_MASK_NONE,
  GG_MASK_SEES,
  GG_MASK_LEAVES, /* it was given back, and has its last call before it */
};

/* What one plug-in has of the session. */
struct gg_live_hook {
  void *state;
  uint64_t seen[2];   /* GATE, REWRITE: up to where in each stream it was shown the bytes ... */
  uint64_t passed[2]; /* ... and up to where it has passed them */
  uint8_t mode[2];    /* enum gg_mode */
  bool holds[2];
  bool told_end[2];
  uint64_t due_ns[2]; /* GATE: when it is called without new bytes, if it was not called before; 0: it is not */
  uint64_t shift[2];  /* REWRITE: what it has put out, less what it was shown; wraps */
  uint8_t mask[2];    /* enum gg_mask_state */
  uint64_t shown[2];  /* MASK: up to where in each stream it was shown the bytes ... */
  uint64_t let_go[2]; /* ... and up to where it has let them go */
  struct gg_hook_watch *watch[2]; /* OBSERVE: by which its bytes are told of; also behind a verdict, until the end */
};

/* A direction, for all of them. */
struct gg_way {
  uint8_t counts; /* so many hooks are in this mode */
  uint8_t gates;
  uint8_t rewrites;
  uint8_t masks;
  bool was_masked; /* there was one, so nothing of it is recorded as sent (rewrite.c) */
  bool mask_ended; /* they were told that nothing follows */
  uint8_t observers;
  uint64_t record_most; /* bytes of the stream that are recorded */
  bool again;           /* a gate or a mask was given back, or the session diverted: the others are to be shown more */
  uint64_t rate;        /* bytes a second; 0: not throttled */
  uint64_t ready_ns;    /* throttled: not read before */
  uint64_t shift;       /* what goes on, less what was received; wraps */
  size_t entering;      /* bytes of a chunk that was counted as received, and still before the rewriters */
  struct gg_output stage; /* what rewriters have put out and has not gone on ... */
  size_t staged_at;       /* ... from here on */
  uint8_t *tail;          /* masked: the last bytes that were received, and are not in the log yet */
  size_t tail_length;
  size_t tail_size;
  uint64_t masked; /* bytes, as masks have said */
};

struct gg_live {
  struct gg_session *session;
  const struct gg_hook_chain *chain; /* the plan's; NULL: only orders have come */
  struct gg_alarm alarm;             /* not later than what is waited for first: see gg__live_wake_at */
  struct gg_way way[2];
  struct gg_as_sent *as_sent;       /* rewrite.c; NULL: no plug-in has wanted to rewrite */
  struct gg_messages *messages;     /* messages.c; NULL: no gate is told them */
  const struct gg_live_hook *asked; /* whose `rewrite` is being called ... */
  uint64_t asked_to;                /* ... with bytes up to here ... */
  uint8_t asked_way;                /* ... for this direction */
  bool asking;                      /* `open` or `first` is being called */
  bool opened;                      /* its hooks have seen it open, and will see it close */
  bool waits_first;                 /* hold_first: the upstream is not chosen yet */
  bool ended;                       /* a verdict has been carried out; no plug-in but masks is asked any more */
  uint8_t kind;                     /* ... this one: enum gg_verdict_kind */
  struct gg_open open;              /* what `open` and `first` have said; no text in it is read later */
  uint64_t first_until_ns;
  uint64_t linger_until_ns; /* 0: a verdict has not parted the two, or not in an orderly way: linger.c */
  char *upstream;           /* that a plug-in has chosen; NULL: none did */
  bool upstream_tried;
  uint8_t *reply; /* what is sent instead of the other side's bytes; NULL: nothing */
  size_t reply_length;
  uint32_t withheld;           /* REPLY: so many bytes in front of it gates had kept back: they did not go on */
  uint64_t reply_at;           /* where in the stream of the side that it stands for it begins */
  uint8_t replaced;            /* enum gg_direction: that side, ... */
  bool rest_readable;          /* ... of which something may have come since ... */
  bool rest_ended;             /* ... and its FIN, or RST */
  char by[GG_PLUGIN_NAME_MAX]; /* whose verdict it was */
  char reason[GG_REASON_MAX];
  struct gg_live_hook hooks[];
};

/* A session's; made if it has none. NULL without memory. */
struct gg_live *gg__live_get(struct gg_session *session);
/* The session is over and recorded. NULL is fine. */
void gg__live_destroy(struct gg_live *live);

/* The listener's plug-ins say whether a connection is let in. False: it was dealt with, `fd` too. */
bool gg__live_accept(struct gg_listener *listener, int fd, const struct gg_addr *peer);
/* The session's ends are known: its plug-ins are asked. False: it is over, or waits for the first bytes. */
bool gg__live_open(struct gg_session *session);
/* SNIFFING, and something came: is it what was waited for? */
void gg__live_first(struct gg_session *session);
/* A verdict leaves the client hanging: its socket leaves the session. */
void gg__live_hang(struct gg_session *session);
/* What a hook wants of a direction becomes another, and is counted so. */
void gg__live_mode_set(struct gg_live *live, unsigned index, enum gg_direction direction, enum gg_mode mode);
/* The session has ended, its sockets are closed. */
void gg__live_close(struct gg_session *session);

/* Ends the session by a verdict: CLOSE, RESET, TARPIT, or REPLY to the side that `from` comes from. Of that direction's
 * stream nothing behind `stands` goes on. By CLOSE and REPLY the session may live on for a while: it lingers. */
void gg__live_end(struct gg_session *session, enum gg_direction from, const char *by, const struct gg_verdict *verdict,
                  uint64_t stands);
/* The session is to be looked at then, at the latest. */
void gg__live_wake_at(struct gg_live *live, uint64_t at_ns);

/* linger.c: a verdict has parted the two, who have a while to take what they get. */
static inline bool gg__lingers(const struct gg_session *session)
{
  return session->live && session->live->linger_until_ns > 0;
}
void gg__linger_begin(struct gg_session *session, enum gg_direction to, const struct gg_verdict *verdict);
/* The turn of a direction, and an event of an end's socket. */
enum gg_step gg__linger_step(struct gg_session *session, enum gg_direction direction);
void gg__linger_ready(struct gg_session *session, struct gg_end *end, uint32_t events);
/* Nothing can go to the end any more. */
void gg__linger_lost(struct gg_session *session, struct gg_end *end);
/* Whether what this end says is the gateway's own text: a greeting, or a reply in its name. */
bool gg__linger_speaks_for(const struct gg_session *session, const struct gg_end *end);

/* A verdict that is more than to pass or to keep back. */
struct gg_final {
  struct gg_verdict verdict;   /* PASS: there is none */
  const struct gg_hook *by;    /* whose */
  enum gg_direction direction; /* of which side's bytes */
  uint64_t stands;             /* what is before this of that stream is none of its business */
};

/* messages.c: whether the plug-in is told messages if it gates. */
bool gg__messages_can(const struct gg_live *live, unsigned index);
/* It will: from the next read on the session is decoded, if it is not yet. GG_ERR_NOMEM. */
int gg__messages_begin(struct gg_live *live);
/* Whether anybody still wants them; if not, they end. */
void gg__messages_judge(struct gg_live *live);
void gg__messages_fini(struct gg_live *live);
/* live->messages: what has just come of a direction; its end. `final` is PASS before. */
void gg__messages_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t bytes,
                        struct gg_final *final);
void gg__messages_end(struct gg_session *session, enum gg_direction direction, struct gg_final *final);

/* gate.c: a chunk of the direction was received, recorded and counted: asks its gates. */
enum gg_gated {
  GG_GATED_PASS, /* it goes on as if there were no gate */
  GG_GATED_KEPT, /* it was put behind what waits for the receiver, of which a part may go */
  GG_GATED_OVER, /* the session is over */
};
enum gg_gated gg__gate_chunk(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                             size_t bytes);
/* Its end was read, and all before it shown. False: a gate keeps something back, or the session is over. */
bool gg__gate_end(struct gg_session *session, enum gg_direction direction);
/* How many of the bytes that wait for the direction's receiver may go now. */
size_t gg__gate_free(const struct gg_session *session, enum gg_direction direction);
/* Something has changed in what gates keep back: shows the next ones what they may see. False: the session is over, or
 * does not relay any more. */
bool gg__gate_again(struct gg_session *session, enum gg_direction direction);
/* A gate's HOLD ends. */
void gg__gate_resume(struct gg_session *session, enum gg_direction direction, const struct gg_hook *hook,
                     const struct gg_verdict *verdict);
/* `index` of the chain wants it so. */
int gg__gate_want(struct gg_live *live, unsigned index, enum gg_direction direction, enum gg_mode mode);
/* Calls the gates that are due, and has the session woken for those that will be. False: it is over. */
bool gg__gate_due(struct gg_session *session, uint64_t now_ns);
/* What gates of the direction have not passed, and what is behind `limit`, never goes on. */
void gg__gate_drop(struct gg_session *session, enum gg_direction direction, uint64_t limit);
/* Whether a gate of the direction holds; or that, or so much is kept back that nothing more is read. */
bool gg__gate_holds(const struct gg_session *session, enum gg_direction direction);
bool gg__gate_stops(const struct gg_session *session, enum gg_direction direction);

/* mask.c: whether what is received of the direction enters the log by way of masks only. Nobody else writes its bytes
 * anywhere then. */
bool gg__mask_on(const struct gg_session *session, enum gg_direction direction);
/* What the direction's masks let go finds its place here. */
struct gg_mask_room {
  uint8_t *at; /* of the log's one reservation; NULL: nothing will be recorded */
  size_t bytes;
};
/* A masked direction is about to read `asked` bytes: memory and room. AGAIN: it may; otherwise as a step. */
enum gg_step gg__mask_prepare(struct gg_session *session, enum gg_direction direction, size_t asked,
                              struct gg_mask_room *room);
/* These came, and are not counted as received yet. False: no memory, the session has to end. */
bool gg__mask_take(struct gg_session *session, enum gg_direction direction, const uint8_t *bytes, size_t length,
                   const struct gg_mask_room *room);
/* The direction has ended. AGAIN: all of it is in the log; otherwise as a step. */
enum gg_step gg__mask_end(struct gg_session *session, enum gg_direction direction);
/* Receives once into private memory; all other ways of reading are closed. */
void gg__mask_unheard(struct gg_session *session, ssize_t (*receive)(int fd, void *data, size_t bytes, int flags),
                      size_t most);
/* The session has ended: the masks' last calls. */
void gg__mask_close(struct gg_session *session);
/* ... and then, before its last packet, what they have kept back enters the log. False: no room. */
bool gg__mask_close_record(struct gg_session *session);
/* What has no place in the log is counted as missing. */
void gg__mask_abandon(struct gg_session *session, enum gg_direction direction);
/* `index` of the chain is a mask of the direction, or no more. */
void gg__mask_want(struct gg_live *live, unsigned index, enum gg_direction direction, bool on);
/* A mask may have been given back. */
void gg__mask_again(struct gg_session *session, enum gg_direction direction);
/* Frees private memory. */
void gg__mask_forget(struct gg_way *way);
void gg__mask_private_free(struct gg_worker *worker);

/* Whether the direction may read now; if not, it is run when it may. */
bool gg__live_may_read(struct gg_session *session, enum gg_direction direction);
/* No more than `bytes`, and what a throttle allows. */
size_t gg__live_read_size(const struct gg_session *session, enum gg_direction direction, size_t bytes);
/* How much more of what gates keep back may wait for the direction's receiver. */
size_t gg__live_room(const struct gg_session *session, enum gg_direction direction);
/* How long the stream is that goes on, what waits for its receiver included: gates count by it. What was received, but
 * for what rewriters have made of that. */
static inline uint64_t gg__live_position(const struct gg_session *session, enum gg_direction direction)
{
  return session->end[direction].received + (session->live ? session->live->way[direction].shift : 0);
}
/* So many bytes of the direction came. */
void gg__live_received(struct gg_session *session, enum gg_direction direction, size_t bytes);
void gg__live_throttle(struct gg_session *session, enum gg_direction direction, uint64_t bytes_per_second);
/* Whether plug-ins, or their orders, have a part in what the direction receives next. */
bool gg__live_engaged(const struct gg_session *session, enum gg_direction direction);
/* Whether the plug-ins let the direction go by splice. */
bool gg__live_may_splice(const struct gg_session *session, enum gg_direction direction);
/* Whether the next bytes of the direction are recorded. */
bool gg__live_records(const struct gg_session *session, enum gg_direction direction);

/* The options are others: relay.pending_max may let a direction be read on which had as much kept back as there may
 * be. */
void gg__live_adopt(struct gg_worker *worker);
/* The alarm's callback. */
void gg__live_expired(struct gg_alarm *alarm, uint64_t now_ns);

#endif
