/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/follow.h"

#include <gogetway/decoder.h>

#include <stdlib.h>
#include <string.h>

enum {
  PIECE_BYTES = 16 << 10, /* of the recording at one time, on the stack */
  READ_MAX = 1 << 20,     /* ... and in one turn */
  STEPS_MAX = 4096,       /* in one turn */
  ASKS_MIN = 16,
};

enum who { RECORDED, LIVE };

/* A request, by enum who. */
struct ask {
  uint64_t number[2]; /* the decoding's; 0: it has not told it yet */
  uint64_t offset;
  uint64_t last_ns[2]; /* of its answer so far */
  uint32_t parts[2];   /* answers that were not the last */
  bool done[2];        /* it has its whole answer */
  bool ended;          /* the recorded client has said all of it */
};

struct half {
  struct gg_follow *follow;
  struct gg_decoding *decoding;
  uint64_t offset[2]; /* of what comes next */
  uint64_t asked;     /* requests that were told */
  uint64_t last_number;
  uint64_t protocols; /* that the session was */
  const char *decoder;
  bool pairs;        /* the present protocol has requests and answers ... */
  bool guesses;      /* ... by prompts that the decoder learns: a new version may have others */
  uint64_t controls; /* the server's messages of the protocol's own running */
};

struct gg_follow {
  struct gg_script *script;
  struct gg_cursor cursor;
  uint64_t steps; /* before the cursor */
  struct gg_step step;
  uint32_t step_at; /* bytes of it that were read */
  bool in_step;
  bool client_spoke; /* since the server's last step */
  bool replaced, lost;
  struct half halves[2]; /* by enum who */

  struct ask *asks;
  size_t first, count, capacity;
  uint64_t gone; /* asks before the first */
  size_t owed;   /* that have their answer in the recording, and not here */
  size_t open;   /* that the recorded client has not ended */

  /* Of what the recorded server said since the client's last step. */
  struct gg_follow_turn turn;
  bool told;  /* something that is no answer's end: unsolicited, or of a stream */
  bool plain; /* a part of an answer of no stream */
};

/* ── Asks ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static enum who who_of(const struct half *half)
{
  return half == &half->follow->halves[RECORDED] ? RECORDED : LIVE;
}

static bool make_room(struct gg_follow *follow)
{
  if (follow->first + follow->count < follow->capacity)
    return true;
  if (follow->first > follow->capacity / 2) {
    memmove(follow->asks, follow->asks + follow->first, follow->count * sizeof *follow->asks);
    follow->first = 0;
    return true;
  }
  size_t wanted = follow->capacity ? follow->capacity * 2 : ASKS_MIN;
  struct ask *larger = wanted > GG_FOLLOW_ASKS_MAX ? NULL : realloc(follow->asks, wanted * sizeof *larger);
  if (!larger)
    return false;
  follow->asks = larger;
  follow->capacity = wanted;
  return true;
}

static void forget_answered(struct gg_follow *follow)
{
  while (follow->count > 0) {
    const struct ask *ask = &follow->asks[follow->first];
    if (!ask->done[RECORDED] || !ask->done[LIVE] || !ask->number[RECORDED] || !ask->number[LIVE] || !ask->ended)
      return;
    follow->first++;
    follow->count--;
    follow->gone++;
  }
}

/* A half's next request: the other one may have told it before. */
static void add_ask(struct half *half, const struct gg_message *message)
{
  struct gg_follow *follow = half->follow;
  enum who who = who_of(half);
  size_t at = (size_t)(half->asked - follow->gone);
  if (at == follow->count && !make_room(follow)) {
    follow->lost = true;
    return;
  }
  struct ask *ask = &follow->asks[follow->first + at];
  if (at == follow->count) {
    *ask = (struct ask){.offset = message->offset};
    follow->count++;
    follow->open++;
  }
  ask->number[who] = message->number;
  half->last_number = message->number;
  half->asked++;
  half->pairs = true;
  if (!follow->replaced && ask->offset != message->offset) /* other answers have made something else of it */
    follow->lost = true;
}

static struct ask *find_ask(const struct half *half, uint64_t number)
{
  const struct gg_follow *follow = half->follow;
  enum who who = who_of(half);
  size_t low = 0, high = (size_t)(half->asked - follow->gone);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    struct ask *ask = &follow->asks[follow->first + middle];
    if (ask->number[who] == number)
      return ask;
    if (ask->number[who] < number)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static void end_request(struct half *half, uint64_t number)
{
  struct gg_follow *follow = half->follow;
  struct ask *ask = find_ask(half, number);
  if (who_of(half) != RECORDED || !ask || ask->ended)
    return;
  ask->ended = true;
  follow->open--;
  forget_answered(follow);
}

static void note_later(uint64_t *at_ns, uint64_t ns)
{
  if (*at_ns < ns)
    *at_ns = ns;
}

static void answer(struct half *half, const struct gg_message *message)
{
  struct gg_follow *follow = half->follow;
  enum who who = who_of(half);
  struct ask *ask = find_ask(half, message->answers);
  bool completes = message->flags & GG_MESSAGE_COMPLETES;
  half->pairs |= completes;
  if (!ask || ask->done[who])
    return;
  ask->last_ns[who] = message->last_ns;
  if (!completes)
    ask->parts[who]++;
  else if (who == LIVE)
    follow->owed -= ask->done[RECORDED];
  else
    follow->owed += !ask->done[LIVE];
  ask->done[who] |= completes;
  if (who == RECORDED && (completes || !ask->ended))
    note_later(&follow->turn.recorded_ns, message->last_ns);
  if (ask->done[RECORDED] && ask->done[LIVE])
    note_later(&follow->turn.live_ns, ask->last_ns[LIVE]);
  forget_answered(follow);
}

/* The client has gone on: nothing is waited for twice. */
static void go_on(struct gg_follow *follow)
{
  for (size_t i = 0; i < follow->count && (follow->owed > 0 || follow->open > 0); i++) {
    struct ask *ask = &follow->asks[follow->first + i];
    if (ask->done[RECORDED] && !ask->done[LIVE]) {
      ask->done[LIVE] = true;
      follow->owed--;
    }
    if (ask->parts[LIVE] < ask->parts[RECORDED])
      ask->parts[LIVE] = ask->parts[RECORDED];
  }
  if (follow->halves[LIVE].controls < follow->halves[RECORDED].controls)
    follow->halves[LIVE].controls = follow->halves[RECORDED].controls;
  follow->turn = (struct gg_follow_turn){0};
  follow->told = follow->plain = false;
  forget_answered(follow);
}

/* ── What decodings tell ─────────────────────────────────────────────────────────────────────────────────────────── */

static void on_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct half *half = context;
  (void)offset;
  half->protocols++;
  half->decoder = decoder->name;
  half->pairs = false;
  half->guesses = strcmp(decoder->name, "lines") == 0;
}

static bool is_new_request(const struct half *half, const struct gg_message *message)
{
  return message->side == GG_SIDE_CLIENT && (message->flags & GG_MESSAGE_REQUEST) &&
         message->number > half->last_number;
}

static void on_head(void *context, const struct gg_message *message)
{
  struct half *half = context;
  if (is_new_request(half, message))
    add_ask(half, message);
  else if (message->side == GG_SIDE_SERVER && message->stream == 0)
    half->follow->plain |= who_of(half) == RECORDED && !(message->flags & GG_MESSAGE_UNSOLICITED);
}

/* Of an answer that began before the client's last step, too. */
static void on_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct half *half = context;
  (void)body;
  if (who_of(half) != RECORDED || message->side != GG_SIDE_SERVER)
    return;
  half->follow->told |= message->stream != 0;
  half->follow->plain |= message->stream == 0 && !(message->flags & GG_MESSAGE_UNSOLICITED);
}

static void on_end(void *context, const struct gg_message *message)
{
  struct half *half = context;
  struct gg_follow *follow = half->follow;
  if (message->side == GG_SIDE_CLIENT) {
    if (is_new_request(half, message)) /* some know only then that it is one */
      add_ask(half, message);
    end_request(half, message->number);
    return;
  }
  if (message->flags & GG_MESSAGE_CUT)
    return;
  if (message->answers) {
    answer(half, message);
  } else if (message->flags & GG_MESSAGE_CONTROL) {
    half->controls++;
    if (who_of(half) == RECORDED)
      note_later(&follow->turn.recorded_ns, message->last_ns);
  }
  if (who_of(half) == RECORDED)
    follow->told |= message->stream != 0 || (message->flags & GG_MESSAGE_UNSOLICITED);
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  struct half *half = context;
  (void)opaque;
  half->follow->lost = true;
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_follow *gg__follow_create(struct gg_script *script, size_t session, bool replaced)
{
  struct gg_follow *follow = calloc(1, sizeof *follow);
  if (!follow)
    return NULL;
  follow->script = script;
  follow->cursor = script->ops->steps(script, session);
  follow->replaced = replaced;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.memory_max = GG_FOLLOW_MEMORY_MAX;
  for (unsigned who = 0; who < 2; who++) {
    struct half *half = &follow->halves[who];
    struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
    sink.context = half;
    sink.protocol = on_protocol;
    sink.head = on_head;
    sink.body = on_body;
    sink.end = on_end;
    sink.opaque = on_opaque;
    half->follow = follow;
    if (gg_decoding_create(&half->decoding, &options, &sink, NULL) != 0) {
      gg__follow_destroy(follow);
      return NULL;
    }
  }
  return follow;
}

void gg__follow_destroy(struct gg_follow *follow)
{
  if (!follow)
    return;
  for (unsigned who = 0; who < 2; who++)
    gg_decoding_destroy(follow->halves[who].decoding);
  free(follow->asks);
  free(follow);
}

static void push(struct half *half, enum gg_side side, const uint8_t *data, size_t size, uint64_t ns)
{
  if (half->follow->lost)
    return;
  gg_decoding_push(half->decoding, side, half->offset[side], ns, data, size);
  half->offset[side] += size;
}

void gg__follow_sent(struct gg_follow *follow, const uint8_t *data, size_t size, uint64_t now_ns)
{
  push(&follow->halves[LIVE], GG_SIDE_CLIENT, data, size, now_ns);
}

void gg__follow_received(struct gg_follow *follow, uint64_t offset, const uint8_t *data, size_t size, uint64_t now_ns)
{
  struct half *live = &follow->halves[LIVE];
  uint64_t known = live->offset[GG_SIDE_SERVER] - offset;
  if (known < size)
    push(live, GG_SIDE_SERVER, data + known, size - (size_t)known, now_ns);
}

/* ── The recording ───────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_side side_of(const struct gg_step *step)
{
  return step->kind == GG_STEP_SEND ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
}

static bool has_bytes(const struct gg_step *step)
{
  return step->kind == GG_STEP_SEND || step->kind == GG_STEP_EXPECT;
}

/* `size` bytes of a step, at most a piece. */
static int push_piece(struct half *half, const struct gg_step *step, uint32_t from, uint32_t size, uint64_t ns,
                      struct gg_failure *failure)
{
  uint8_t piece[PIECE_BYTES];
  struct gg_script *script = half->follow->script;
  int error = script->ops->bytes(script, step, from, piece, size, failure);
  if (!error)
    push(half, side_of(step), piece, size, ns);
  return error;
}

int gg__follow_begin(struct gg_follow *follow, size_t session, uint64_t sent, uint64_t received, uint64_t last_ns,
                     struct gg_failure *failure)
{
  struct half *live = &follow->halves[LIVE];
  struct gg_script *script = follow->script;
  struct gg_cursor cursor = script->ops->steps(script, session);
  struct gg_step step;
  uint64_t left[2] = {sent, received};
  while (!follow->lost && (left[GG_SIDE_CLIENT] > 0 || left[GG_SIDE_SERVER] > 0)) {
    int got = script->ops->next(script, &cursor, &step, failure);
    if (got < 0)
      return got;
    follow->lost |= got == 0;
    uint64_t *of = &left[side_of(&step)];
    for (uint32_t at = 0; got > 0 && has_bytes(&step) && at<step.length && * of> 0;) {
      uint64_t size = step.length - at < PIECE_BYTES ? step.length - at : PIECE_BYTES;
      size = size < *of ? size : *of;
      int error = push_piece(live, &step, at, (uint32_t)size, last_ns, failure);
      if (error)
        return error;
      at += (uint32_t)size;
      *of -= size;
    }
  }
  return 0;
}

/* Makes `step` the next one. What a decoder tells only when the client has spoken on, it has told by the server's next
 * step. 0: there is none. */
static int next_step(struct gg_follow *follow, struct gg_failure *failure)
{
  struct gg_step *step = &follow->step;
  int got = follow->script->ops->next(follow->script, &follow->cursor, step, failure);
  if (got <= 0)
    return got;
  follow->steps++;
  follow->step_at = 0;
  follow->in_step = has_bytes(step);
  if (step->kind == GG_STEP_EXPECT && follow->client_spoke)
    go_on(follow);
  if (step->kind == GG_STEP_EXPECT)
    follow->client_spoke = false;
  else
    follow->client_spoke |= step->kind == GG_STEP_SEND || step->kind == GG_STEP_SEND_END;
  return 1;
}

int gg__follow_read(struct gg_follow *follow, uint64_t steps, struct gg_failure *failure)
{
  const struct gg_step *step = &follow->step;
  size_t bytes = 0;
  for (unsigned turns = 0; turns < STEPS_MAX && bytes < READ_MAX; turns++) {
    if (follow->lost || (!follow->in_step && follow->steps >= steps))
      return 1;
    if (!follow->in_step) {
      int got = next_step(follow, failure);
      if (got < 0)
        return got;
      follow->lost |= got == 0;
      continue;
    }
    uint32_t left = step->length - follow->step_at, size = left < PIECE_BYTES ? left : PIECE_BYTES;
    int error = push_piece(&follow->halves[RECORDED], step, follow->step_at, size, step->time_ns, failure);
    if (error)
      return error;
    bytes += size;
    follow->step_at += size;
    follow->in_step = follow->step_at < step->length;
  }
  return 0;
}

/* ── What is said ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Of a request that the client was still saying, something had come that may have let it go on. */
static bool lacks_part(const struct gg_follow *follow)
{
  for (size_t i = 0, open = follow->open; i < follow->count && open > 0; i++) {
    const struct ask *ask = &follow->asks[follow->first + i];
    open -= !ask->ended;
    if (!ask->ended && !ask->done[LIVE] && ask->parts[LIVE] < ask->parts[RECORDED])
      return true;
  }
  return false;
}

static bool is_same_protocol(const struct half *recorded, const struct half *live)
{
  return recorded->decoder && live->decoder && recorded->protocols == live->protocols &&
         strcmp(recorded->decoder, live->decoder) == 0;
}

enum gg_follow_says gg__follow_says(const struct gg_follow *follow, struct gg_follow_turn *turn)
{
  const struct half *recorded = &follow->halves[RECORDED], *live = &follow->halves[LIVE];
  *turn = follow->turn;
  turn->guessed = live->guesses;
  if (follow->lost || !is_same_protocol(recorded, live) || !recorded->pairs || !live->pairs)
    return GG_FOLLOW_UNKNOWN;
  if (follow->owed > 0 || lacks_part(follow))
    return live->guesses ? GG_FOLLOW_SEEMS_NOT : GG_FOLLOW_NOT_YET;
  if (live->controls < recorded->controls)
    return GG_FOLLOW_UNKNOWN;
  if (turn->recorded_ns == 0)
    return follow->told && !follow->plain ? GG_FOLLOW_COMPLETE : GG_FOLLOW_UNKNOWN;
  return GG_FOLLOW_COMPLETE;
}

bool gg__follow_is_lost(const struct gg_follow *follow)
{
  return follow->lost;
}

const char *gg__follow_decoder(const struct gg_follow *follow)
{
  return follow->halves[LIVE].decoder;
}
