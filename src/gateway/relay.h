/* SPDX-License-Identifier: Apache-2.0 */
/**
 * relay.h - moves the bytes of a direction: receive into the log, commit, send from there.
 *
 * Thread: the worker's.
 */
#ifndef GG_GATEWAY_RELAY_H
#define GG_GATEWAY_RELAY_H

#include "gateway/session.h"

#include <assert.h>

enum {
  GG_READ_BYTES = 32 << 10,       /* a read, while reads are small */
  GG_READ_BULK_BYTES = 64 << 10,  /* a read after one that filled its buffer; also bounded by pending_max */
  GG_TURN_STEPS = 8,              /* reads of a direction before others have their turn */
  GG_EVICTIONS_MAX = 16,          /* sessions closed to make room for one tail: sizes differ */
  GG_BULK_READS = 2,              /* full reads in a row that make a flow a bulk flow */
  GG_BATCH_MESSAGES = 256,        /* that are put off in one wait; it has GG_LOOP_EVENTS_MAX of each read set */
  GG_BATCH_MESSAGE_MAX = 2 << 10, /* larger ones are sent at once: the copy would cost what the order saves */
  GG_BATCH_BYTES = 64 << 10,      /* in all: they shall stay in the cache until they are sent */
};

static_assert((int)GG_BATCH_MESSAGE_MAX <= UINT16_MAX, "gg_batch_message.bytes");

struct gg_batch_message {
  struct gg_session *session;
  uint32_t at; /* in the batch's bytes */
  uint16_t bytes;
  uint8_t direction;
};

/* A worker's small messages of one wait, received and committed, to be sent. */
struct gg_batch {
  bool open; /* events are being handled */
  unsigned count;
  size_t used;
  uint8_t *bytes;
  struct gg_batch_message messages[GG_BATCH_MESSAGES];
};

/* What one step of a direction came to. */
enum gg_step {
  GG_STEP_AGAIN, /* did something, may do more */
  GG_STEP_WAIT,  /* waits: for an event, for room, for durability */
  GG_STEP_OVER,  /* the session has ended */
};

/* An event of one of the session's sockets (all states). */
void gg__end_ready(struct gg_source *source, uint32_t events);

/* From open to close, small messages are put off; flush and close send them. Any session may be over afterwards. */
void gg__relay_batch_open(struct gg_worker *worker);
void gg__relay_batch_flush(struct gg_worker *worker);
void gg__relay_batch_close(struct gg_worker *worker);

/* Moves what can be moved from end[direction] to the other one. */
void gg__relay_pump(struct gg_session *session, enum gg_direction direction);

/* Receives once into the log and sends on from there. */
enum gg_step gg__relay_in_place(struct gg_session *session, enum gg_direction direction);
/* Splices once (splice.c). */
enum gg_step gg__relay_splice(struct gg_session *session, enum gg_direction direction);
/* Sends what waits for end[!direction] and may go. */
enum gg_step gg__relay_flush_pending(struct gg_session *session, enum gg_direction direction);
/* session.c: records the FIN of end[direction], once. WAIT, OVER: there is no room. */
enum gg_step gg__session_end_record(struct gg_session *session, enum gg_direction direction);
/* Moves what the direction's pipe holds and is recorded. */
enum gg_step gg__relay_flush_pipe(struct gg_session *session, enum gg_direction direction);

/* The first `bytes` of what was laid out have come: makes them part of the log. */
void gg__relay_commit(struct gg_session *session, struct gg_chunk_layout *layout, size_t bytes);

/* The log refused a reservation: what the policy says. `waits` for block; for gap the caller goes on without
 * recording. */
enum gg_no_room { GG_NO_ROOM_WAIT, GG_NO_ROOM_GAP, GG_NO_ROOM_OVER };
enum gg_no_room gg__relay_no_room(struct gg_session *session, enum gg_direction direction);

/* Notes that `bytes` of the direction go on without being recorded (gap). */
void gg__relay_unrecorded(struct gg_session *session, enum gg_direction direction, size_t bytes);
/* The same in another conversation of the session than its own. */
void gg__relay_missing(struct gg_session *session, struct gg_conversation *conversation, enum gg_direction direction,
                       size_t bytes);
/* The same for all that is in the direction's pipe, and sends it (splice.c). */
/* The same, because a plug-in wants it so. */
void gg__relay_left_out(struct gg_session *session, enum gg_direction direction, size_t bytes);
/* As gg__relay_unrecorded for all that is in the direction's pipe, and sends it (splice.c). */
enum gg_step gg__relay_raw_unrecorded(struct gg_session *session, enum gg_direction direction);

/* Counts what was received of a session that is not recorded (record: off). */
void gg__relay_off_record(struct gg_session *session, enum gg_direction direction, size_t bytes);

/* Gives up the direction's pipe: what is in it will not go on. What of it is not in the log yet is recorded, or counted
 * as a gap where the log has no room at all (splice.c). */
void gg__relay_drop_pipe(struct gg_session *session, enum gg_direction direction);

/* The direction goes in place from here on; what is in its pipe is moved first (splice.c). */
void gg__splice_leave(struct gg_session *session, enum gg_direction direction);

/* Sends on what is committed, now or behind what else this wait has brought, once gates let it pass. */
enum gg_step gg__relay_send_on(struct gg_session *session, enum gg_direction direction, struct iovec *iov,
                               unsigned count, size_t bytes);

/* The read side of end[direction] said `error` (0: FIN). */
enum gg_step gg__relay_ended(struct gg_session *session, enum gg_direction direction, int error);
/* A send to end[!direction] failed. */
enum gg_step gg__relay_send_failed(struct gg_session *session, enum gg_direction direction, int error);
/* The socket of `end` is full: EPOLLOUT will tell. */
void gg__relay_write_blocked(struct gg_end *end);
/* Bookkeeping of received and of forwarded bytes. */
void gg__relay_received(struct gg_session *session, enum gg_direction direction, size_t bytes);
void gg__relay_forwarded(struct gg_session *session, enum gg_direction direction, size_t bytes);
/* Copies `bytes` from `skip` on of the iovec to the pending buffer of end[!direction]; false: no memory, session
 * over. */
bool gg__relay_keep(struct gg_session *session, enum gg_direction direction, const struct iovec *iov, size_t skip,
                    size_t bytes);
/* The same behind what waits there already, which is none that could be sent now. */
bool gg__relay_keep_more(struct gg_session *session, enum gg_direction direction, const struct iovec *iov,
                         size_t bytes);
/* Moves all ends of a list to the run queue. */
void gg__relay_run_all(struct gg_worker *worker, struct gg_list *list);
/* Takes one out of whatever list it waits in and pumps it. */
void gg__relay_run(struct gg_end *end);

#endif
