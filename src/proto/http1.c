/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.0 and 1.1 (RFC 9112), of both sides.
 *
 *              ┌───────────────────────────────────────────────────────────────┐
 *              ▼                                                               │
 *     ┌──► START ──► HEADERS ──┬── no body ────────────────────────────────────┤
 *     │                  ▲     ├── LENGTH: so many bytes ──────────────────────┤
 *     │    SKIP ─────────┘     ├── CHUNK ──► DATA ──► DATA_END ──► CHUNK ...   │
 *     │    (a line that is     │     └────── the last one ──► TRAILERS ────────┘
 *     │     too long)          └── UNTIL_CLOSE: all there is
 *     └─ an end of line in front of a request
 *
 * Requests wait in a queue for their responses: a response answers the first of them, and if it is final (not 1xx) it
 * takes it out. When the queue is empty, a response answers nothing.
 *
 * A side that cannot be read any more is left alone; the other one goes on.
 */
#include "proto/http1.h"
#include "proto/decoders.h"
#include "proto/sse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
  METHOD_MAX = 24,       /* bytes of a first word, from which on it is no method */
  WAITING_MAX = 1 << 16, /* requests without a response */
  LONG_VALUE_MAX = 4096, /* bytes that are kept of a header line that is longer than a window */
};

enum phase { START, HEADERS, SKIP, LENGTH, CHUNK, DATA, DATA_END, TRAILERS, UNTIL_CLOSE };

/* What has to be known of a request when its response comes. */
struct waiting {
  uint64_t number;
  bool head, connect, upgrade;
  uint32_t table; /* for HTTP/2 */
};

struct half {
  enum phase phase, after_skip;
  struct gg_draft *draft;
  uint64_t left; /* bytes of a body or a chunk */
  struct gg__http1_framing framing;
  struct waiting own; /* of a request: what is put into the queue; of a response: what it answers */
  unsigned status;
  bool version_10;
  struct gg__sse *sse; /* of a response that carries events */
};

struct state {
  struct half halves[2];
  struct waiting *queue; /* a ring */
  size_t first, count, capacity;
  size_t switching; /* requests whose response may end HTTP/1: what follows them waits for the end of its head */
  bool decided;     /* one of them has been answered */
};

static const char *const kinds[] = {"request", "response", "event", NULL};
enum { REQUEST, RESPONSE, EVENT };

/* ── Requests that wait ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_waiting(struct state *state, struct gg_decoding *decoding, const struct waiting *request)
{
  if (state->count == state->capacity) {
    size_t wanted = state->capacity ? state->capacity * 2 : 8;
    struct waiting *queue = wanted > WAITING_MAX ? NULL : gg_decoded_alloc(decoding, NULL, wanted * sizeof *queue);
    if (!queue)
      return false;
    for (size_t i = 0; i < state->count; i++)
      queue[i] = state->queue[(state->first + i) % state->capacity];
    gg_decoded_alloc(decoding, state->queue, 0);
    state->queue = queue;
    state->first = 0;
    state->capacity = wanted;
  }
  state->queue[(state->first + state->count++) % state->capacity] = *request;
  state->switching += request->connect || request->upgrade;
  return true;
}

static struct waiting take_waiting(struct state *state)
{
  struct waiting request = state->queue[state->first];
  state->first = (state->first + 1) % state->capacity;
  state->count--;
  return request;
}

/* ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void finish(struct gg_decoding *decoding, struct half *half, enum gg_side side, uint64_t end)
{
  if (half->sse) {
    gg__sse_end(half->sse, decoding, end);
    gg_decoded_alloc(decoding, half->sse, 0);
    half->sse = NULL;
  }
  if (side == GG_SIDE_SERVER && half->status >= 200 && half->own.number)
    gg_decoded_message(decoding, half->draft)->flags |= GG_MESSAGE_COMPLETES;
  gg_decoded_end(decoding, half->draft, end);
  half->draft = NULL;
  half->phase = START;
}

static void fail(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text)
{
  gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, side, offset, true, text);
}

/* ── Start lines ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_request(struct gg_decoding *decoding, struct half *half, const struct gg__http1_request *request,
                          uint64_t offset)
{
  half->draft = gg_decoded_begin(decoding, GG_SIDE_CLIENT, REQUEST, offset);
  struct gg_message *message = gg_decoded_message(decoding, half->draft);
  message->flags |= GG_MESSAGE_REQUEST;
  half->own = (struct waiting){.number = message->number,
                               .head = gg__http_is(&request->method, "head"),
                               .connect = gg__http_is(&request->method, "connect")};
  half->version_10 = request->version.text[7] == '0';
  gg__http_target(decoding, half->draft, &request->method, &request->target);
  gg_decoded_text(decoding, half->draft, &gg__http_fields[GG__HTTP_VERSION], request->version.text + 5, 3,
                  request->version.offset + 5);
  const struct gg_field *target = gg__http_find(message, GG__HTTP_TARGET); /* its credentials are masked */
  gg_decoded_summary(decoding, half->draft, "%.*s %.*s", (int)request->method.length, request->method.text,
                     !target                ? 0
                     : target->length < 200 ? (int)target->length
                                            : 200,
                     target ? (const char *)target->value : "");
  if (request->odd_blanks)
    gg__http_odd(decoding, half->draft, "blanks-in-start-line");
  if (gg__http1_has_control(&request->target))
    gg__http_odd(decoding, half->draft, "control-in-target");
}

static void begin_response(struct state *state, struct gg_decoding *decoding, struct half *half,
                           const struct gg__http1_status *status, uint64_t offset)
{
  half->draft = gg_decoded_begin(decoding, GG_SIDE_SERVER, RESPONSE, offset);
  half->own = (struct waiting){0};
  half->status = status->status;
  half->version_10 = status->version.text[7] == '0';
  struct gg_message *message = gg_decoded_message(decoding, half->draft);
  if (state->count == 0)
    message->flags |= GG_MESSAGE_UNSOLICITED;
  else if (status->status >= 200 || status->status == 101)
    half->own = take_waiting(state);
  else
    half->own = state->queue[state->first];
  message->answers = half->own.number;
  gg_decoded_number(decoding, half->draft, &gg__http_fields[GG__HTTP_STATUS], status->status);
  gg_decoded_text(decoding, half->draft, &gg__http_fields[GG__HTTP_REASON], status->reason.text, status->reason.length,
                  status->reason.offset);
  gg_decoded_text(decoding, half->draft, &gg__http_fields[GG__HTTP_VERSION], status->version.text + 5, 3,
                  status->version.offset + 5);
  gg_decoded_summary(decoding, half->draft, "%u %.*s", status->status,
                     (int)(status->reason.length < 200 ? status->reason.length : 200), status->reason.text);
  if (status->odd_blanks)
    gg__http_odd(decoding, half->draft, "blanks-in-start-line");
}

/* The start line, or an end of line in front of it. How many bytes were taken. */
static size_t take_start(struct state *state, struct gg_decoding *decoding, enum gg_side side,
                         const struct gg__http1_line *line)
{
  struct half *half = &state->halves[side];
  if (line->text.length == 0 && side == GG_SIDE_CLIENT)
    return line->whole; /* RFC 9112, 2.2: a robust server ignores it */
  struct gg__http1_request request;
  struct gg__http1_status status;
  if (side == GG_SIDE_CLIENT ? !gg__http1_request(&request, &line->text) : !gg__http1_status(&status, &line->text)) {
    fail(decoding, side, line->text.offset,
         side == GG_SIDE_CLIENT ? "a line that is no request" : "a line that is no status line");
    return 0;
  }
  half->framing = (struct gg__http1_framing){0};
  half->phase = HEADERS;
  if (side == GG_SIDE_CLIENT)
    begin_request(decoding, half, &request, line->text.offset);
  else
    begin_response(state, decoding, half, &status, line->text.offset);
  if (line->bare)
    gg__http_odd(decoding, half->draft, "bare-line-feed");
  return line->whole;
}

/* ── The end of a head ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool has_no_body(const struct half *half, enum gg_side side)
{
  if (side == GG_SIDE_CLIENT)
    return false;
  return half->own.head || half->status < 200 || half->status == 204 || half->status == 304 ||
         (half->own.connect && half->status < 300);
}

/* A response that carries events, if it has a body. */
static void expect_events(struct gg_decoding *decoding, struct half *half)
{
  if (!gg__sse_is(gg_decoded_message(decoding, half->draft)))
    return;
  half->sse = gg_decoded_alloc(decoding, NULL, sizeof *half->sse);
  if (half->sse)
    *half->sse = (struct gg__sse){.kind = EVENT, .answers = half->own.number};
}

/* How long the body is: RFC 9112, 6.3. */
static void choose_body(struct gg_decoding *decoding, struct half *half, enum gg_side side, uint64_t end)
{
  const struct gg__http1_framing *framing = &half->framing;
  if (framing->has_coding && (framing->has_length || framing->bad_length))
    gg__http_odd(decoding, half->draft, "content-length-and-transfer-encoding");
  if (framing->has_coding && half->version_10)
    gg__http_odd(decoding, half->draft, "transfer-encoding-in-1.0");
  if (has_no_body(half, side)) {
    finish(decoding, half, side, end);
    return;
  }
  if (side == GG_SIDE_SERVER)
    expect_events(decoding, half);
  if (framing->has_coding && framing->chunked) {
    half->phase = CHUNK;
  } else if (side == GG_SIDE_CLIENT && (framing->has_coding || framing->bad_length)) {
    fail(decoding, side, end, "a request whose length cannot be told");
  } else if (!framing->has_coding && framing->has_length) {
    half->phase = LENGTH;
    half->left = framing->length;
    if (half->left == 0)
      finish(decoding, half, side, end);
  } else if (side == GG_SIDE_CLIENT) {
    finish(decoding, half, side, end);
  } else {
    half->phase = UNTIL_CLOSE;
  }
}

/* A response after which the session is no HTTP/1 any more. */
static bool switches(struct gg_decoding *decoding, struct half *half, uint64_t end)
{
  struct gg_become become = {0};
  char settings[32]; /* that HTTP/2 has to know of the request */
  if (half->own.connect && half->status >= 200 && half->status < 300) {
    finish(decoding, half, GG_SIDE_SERVER, end);
  } else if (half->status == 101 && half->own.upgrade) {
    bool h2c = strcmp(half->framing.protocol, "h2c") == 0;
    if (h2c)
      become.answers = half->own.number; /* the response comes as HTTP/2 */
    else
      gg_decoded_message(decoding, half->draft)->flags |= GG_MESSAGE_COMPLETES;
    become.decoder = h2c ? "http2" : strcmp(half->framing.protocol, "websocket") == 0 ? "websocket" : NULL;
    snprintf(settings, sizeof settings, "%" PRIu32 "%s", half->own.table, half->own.head ? " head" : "");
    become.text = h2c ? settings : half->framing.extensions;
    finish(decoding, half, GG_SIDE_SERVER, end);
  } else {
    return false;
  }
  gg_decoded_become(decoding, &become);
  return true;
}

static void end_head(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t end)
{
  struct half *half = &state->halves[side];
  if (side == GG_SIDE_CLIENT) {
    if (!half->framing.has_host && !half->version_10)
      gg__http_odd(decoding, half->draft, "no-host");
    half->own.upgrade = half->framing.upgrade && half->framing.protocol[0];
    half->own.table = half->framing.table;
    if (!add_waiting(state, decoding, &half->own)) {
      gg_decoded_opaque(decoding, GG_OPAQUE_LIMIT, side, end, false, "more than 65536 requests without a response");
      return;
    }
  }
  gg_decoded_head(decoding, half->draft);
  if (side == GG_SIDE_SERVER && (half->status >= 200 || half->status == 101)) {
    state->decided = half->own.connect || half->own.upgrade;
    state->switching -= state->decided;
    if (switches(decoding, half, end))
      return;
  }
  choose_body(decoding, half, side, end);
}

/* ── Lines between start line and body, and behind it ────────────────────────────────────────────────────────────── */

/* Adds the lines that continue this one. False: it cannot be told yet whether one does. */
static bool fold(struct gg__http1_line *line, const struct gg_window *window, size_t at, bool *folded)
{
  *folded = false;
  for (;;) {
    size_t next = at + line->whole;
    if (next == window->length)
      return window->last;
    if (window->data[next] != ' ' && window->data[next] != '\t')
      return true;
    struct gg__http1_line more;
    if (!gg__http1_line(&more, window->data + next, window->length - next, window->offset + next, 0))
      return window->last;
    line->text.length = line->whole + more.text.length;
    line->text.raw_length = line->text.length;
    line->whole += more.whole;
    line->bare = line->bare || more.bare;
    *folded = true;
  }
}

/* A header line that a window has no room for: what it begins with. */
static size_t cut_line(struct gg_decoding *decoding, struct half *half, const struct gg_window *window, size_t at)
{
  struct gg__span line = {.text = (const char *)window->data + at,
                          .length = LONG_VALUE_MAX,
                          .offset = window->offset + at,
                          .raw_length = LONG_VALUE_MAX};
  gg_decoded_message(decoding, half->draft)->flags |= GG_MESSAGE_FIELDS_CUT;
  gg__http_odd(decoding, half->draft, "long-header");
  gg__http1_header(decoding, half->draft, &half->framing, &line, false, half->phase == TRAILERS);
  half->after_skip = half->phase;
  half->phase = SKIP;
  return window->length - at;
}

/* A line of a head or of trailers. */
static size_t take_header(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at,
                          struct gg__http1_line *line)
{
  struct half *half = &state->halves[window->side];
  uint64_t end = line->text.offset + line->whole;
  if (line->bare)
    gg__http_odd(decoding, half->draft, "bare-line-feed");
  if (line->text.length == 0) {
    if (half->phase == TRAILERS)
      finish(decoding, half, window->side, end);
    else
      end_head(state, decoding, window->side, end);
    return line->whole;
  }
  bool folded;
  if (!fold(line, window, at, &folded)) {
    if (window->length - at < GG_DECODING_WINDOW_MAX)
      return 0;
    return cut_line(decoding, half, window, at);
  }
  gg__http1_header(decoding, half->draft, &half->framing, &line->text, folded, half->phase == TRAILERS);
  return line->whole;
}

static size_t take_chunk_size(struct gg_decoding *decoding, struct half *half, enum gg_side side,
                              const struct gg__http1_line *line)
{
  bool odd;
  if (!gg__http1_chunk(&half->left, &line->text, &odd)) {
    fail(decoding, side, line->text.offset, "a chunk without a size");
    return 0;
  }
  if (odd || line->bare)
    gg__http_odd(decoding, half->draft, odd ? "blanks-in-chunk-size" : "bare-line-feed");
  half->phase = half->left ? DATA : TRAILERS;
  return line->whole;
}

static size_t skip_line(struct half *half, const uint8_t *data, size_t length)
{
  const uint8_t *end = memchr(data, '\n', length);
  if (!end)
    return length;
  half->phase = half->after_skip;
  return (size_t)(end - data) + 1;
}

/* One line, whatever the phase has it for. 0: more bytes are needed. */
static size_t take_line(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  struct half *half = &state->halves[window->side];
  const uint8_t *data = window->data + at;
  size_t length = window->length - at;
  if (half->phase == SKIP)
    return skip_line(half, data, length);
  struct gg__http1_line line;
  size_t seen = window->seen > at ? window->seen - at : 0;
  /* A header line that was seen whole waits for the one behind it: it is looked for from its beginning. */
  if (half->phase == HEADERS || half->phase == TRAILERS)
    seen = 0;
  if (!gg__http1_line(&line, data, length, window->offset + at, seen)) {
    bool header = half->phase == HEADERS || half->phase == TRAILERS;
    return header && length == GG_DECODING_WINDOW_MAX ? cut_line(decoding, half, window, at) : 0;
  }
  switch (half->phase) {
  case START:
    return take_start(state, decoding, window->side, &line);
  case CHUNK:
    return take_chunk_size(decoding, half, window->side, &line);
  case DATA_END:
    if (line.text.length) {
      fail(decoding, window->side, line.text.offset, "a chunk that is longer than its size");
      return 0;
    }
    half->phase = CHUNK;
    return line.whole;
  default:
    return take_header(state, decoding, window, at, &line);
  }
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_body(struct gg_decoding *decoding, struct half *half, const struct gg_window *window, size_t at)
{
  size_t length = window->length - at;
  if (half->phase != UNTIL_CLOSE && half->left < length)
    length = (size_t)half->left;
  struct gg_body body = {
    .data = window->data + at, .length = length, .raw_offset = window->offset + at, .raw_length = length};
  gg_decoded_body(decoding, half->draft, &body);
  if (half->sse)
    gg__sse_push(half->sse, decoding, &body);
  if (half->phase == UNTIL_CLOSE)
    return length;
  half->left -= length;
  if (half->left == 0 && half->phase == LENGTH)
    finish(decoding, half, window->side, window->offset + at + length);
  else if (half->left == 0)
    half->phase = DATA_END;
  return length;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  struct half *half = &state->halves[window->side];
  size_t done = 0;
  state->decided = false;
  while (done < window->length && !state->decided) {
    size_t taken;
    if (half->phase == LENGTH || half->phase == DATA || half->phase == UNTIL_CLOSE) {
      taken = take_body(decoding, half, window, done);
    } else if (half->phase == START && window->side == GG_SIDE_CLIENT && state->switching && !window->last) {
      gg_decoded_hold(decoding, GG_SIDE_CLIENT);
      break;
    } else {
      taken = take_line(state, decoding, window, done);
    }
    done += taken;
    if (taken == 0 || gg_decoded_stopped(decoding, window->side))
      break;
  }
  return done;
}

/* A gap that lies within a body whose length is known is only a hole in it. */
static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct half *half = &((struct state *)self)->halves[side];
  bool in_body = half->phase == UNTIL_CLOSE || ((half->phase == LENGTH || half->phase == DATA) && length <= half->left);
  if (!in_body)
    return false;
  gg_decoded_message(decoding, half->draft)->flags |= GG_MESSAGE_GAP;
  if (half->sse)
    gg__sse_hole(half->sse, decoding, offset);
  if (half->phase == UNTIL_CLOSE)
    return true;
  half->left -= length;
  if (half->left == 0 && half->phase == LENGTH)
    finish(decoding, half, side, offset + length);
  else if (half->left == 0)
    half->phase = DATA_END;
  return true;
}

static void end(void *self, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset)
{
  struct half *half = &((struct state *)self)->halves[side];
  if (half->phase == UNTIL_CLOSE && orderly)
    finish(decoding, half, side, end_offset);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* A whole first line that can be read as one, whatever its method is and in whatever case, or that was meant so. Before
 * its end, words in upper case, and any word as long as the server (`answered`) has not said something to it. */
static enum gg_likeness like_request(const char *text, size_t length, bool answered)
{
  static const char *const methods[] = {"GET",     "HEAD",  "POST",  "PUT", "DELETE",   "CONNECT",
                                        "OPTIONS", "TRACE", "PATCH", "PRI", "PROPFIND", "REPORT"};
  bool more = length < GG_IDENTIFY_MAX;
  while (length && (*text == '\r' || *text == '\n')) {
    text++;
    length--;
  }
  struct gg__http1_line line;
  struct gg__http1_request request;
  size_t upper = 0, word = gg__http1_token((const uint8_t *)text, length);
  while (upper < word && text[upper] >= 'A' && text[upper] <= 'Z')
    upper++;
  if (gg__http1_line(&line, (const uint8_t *)text, length, 0, 0)) {
    bool meant = upper && upper == word && text[word] == ' ' && memmem(text, line.text.length, " HTTP/1.", 8);
    return meant || gg__http1_request(&request, &line.text) ? GG_LIKENESS_CERTAIN : GG_LIKENESS_NONE;
  }
  if (word >= METHOD_MAX || (upper < word && answered))
    return GG_LIKENESS_NONE;
  if (word == length)
    return GG_LIKENESS_OPEN;
  if (word == 0 || text[word] != ' ')
    return GG_LIKENESS_NONE;
  bool path = word + 1 < length && text[word + 1] == '/';
  for (size_t i = 0; i < sizeof methods / sizeof *methods && !more; i++)
    if (strlen(methods[i]) == word && strncasecmp(methods[i], text, word) == 0 && (path || upper == word))
      return GG_LIKENESS_LIKELY;
  return GG_LIKENESS_OPEN;
}

static enum gg_likeness like_response(const char *text, size_t length)
{
  static const char begin[] = "HTTP/1.";
  size_t known = length < sizeof begin - 1 ? length : sizeof begin - 1;
  if (known == 0 || memcmp(text, begin, known) != 0)
    return GG_LIKENESS_NONE;
  return length < sizeof begin ? GG_LIKENESS_OPEN : GG_LIKENESS_CERTAIN;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  enum gg_likeness request =
    like_request((const char *)opening->data[0], opening->length[0], opening->length[GG_SIDE_SERVER]);
  enum gg_likeness response = like_response((const char *)opening->data[1], opening->length[1]);
  return request > response ? request : response;
}

const struct gg_decoder gg__decoder_http1 = {
  GG_DECODER_HEAD,
  .name = "http1",
  .protocol = "http",
  .title = "HTTP/1.0 and HTTP/1.1 (RFC 9112)",
  .kinds = kinds,
  .fields = gg__http_fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
  .end = end,
};
