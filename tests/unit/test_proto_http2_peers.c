/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 decoder between two sessions of nghttp2's that talk to each other: 10,000 requests on one connection, with
 * all that nghttp2 can say. What each of the two was told by its callbacks is what the decoder has to tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "transcript.h"

enum {
  REQUESTS = 10000,
  STREAMS = 2 * REQUESTS + 2, /* by number */
  AT_ONCE = 64,
  BODY_MAX = 40000,
  HEADERS_MAX = 24,
};

/* What goes one way on a stream: its headers in order, and its data. */
struct flow {
  char *text;
  size_t length, capacity;
  uint64_t body_length, body_sum;
  bool ended;
};

static void add(struct flow *flow, char kind, const void *name, size_t name_length, const void *value,
                size_t value_length)
{
  size_t wanted = flow->length + name_length + value_length + 4;
  if (wanted > flow->capacity) {
    flow->capacity = wanted * 2;
    flow->text = realloc(flow->text, flow->capacity);
    assert_non_null(flow->text);
  }
  flow->text[flow->length++] = kind;
  memcpy(flow->text + flow->length, name, name_length);
  flow->length += name_length;
  flow->text[flow->length++] = '=';
  memcpy(flow->text + flow->length, value, value_length);
  flow->length += value_length;
  flow->text[flow->length++] = '\n';
  flow->text[flow->length] = '\0';
}

static void add_body(struct flow *flow, const uint8_t *data, size_t length)
{
  for (size_t i = 0; i < length; i++)
    flow->body_sum = flow->body_sum * 31 + data[i];
  flow->body_length += length;
}

/* [0]: of requests, [1]: of responses. */
struct peers {
  nghttp2_session *sessions[2]; /* by enum gg_side */
  struct gg_decoding *decoding;
  struct flow (*theirs)[STREAMS], (*ours)[STREAMS];
  uint64_t requests[STREAMS]; /* numbers of their messages */
  unsigned seed, submitted, answered, promised, told, completed;
  uint64_t offsets[2], time_ns;
  size_t memory_max;
};

static unsigned roll(struct peers *peers, unsigned sides)
{
  return (unsigned)rand_r(&peers->seed) % sides;
}

/* ── What is said ────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t body_byte(uint32_t stream, size_t at)
{
  return (uint8_t)(stream * 7 + at);
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *data, size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *context)
{
  (void)context;
  size_t *left = source->ptr;
  length = *left < length ? *left : length;
  for (size_t i = 0; i < length; i++)
    data[i] = body_byte((uint32_t)stream, *left - i);
  *left -= length;
  if (*left)
    return (ssize_t)length;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  free(left);
  if (stream % 5 == 0) {
    nghttp2_nv trailer = {(uint8_t *)"checksum", (uint8_t *)"0123", 8, 4, NGHTTP2_NV_FLAG_NONE};
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    assert_int_equal(nghttp2_submit_trailer(session, stream, &trailer, 1), 0);
  }
  return (ssize_t)length;
}

static nghttp2_data_provider body_of(struct peers *peers)
{
  size_t *left = malloc(sizeof *left);
  assert_non_null(left);
  *left = roll(peers, 4) ? roll(peers, 300) : roll(peers, BODY_MAX);
  return (nghttp2_data_provider){.source.ptr = left, .read_callback = read_body};
}

struct headers {
  nghttp2_nv list[HEADERS_MAX];
  size_t count;
  char room[HEADERS_MAX][6000];
};

static void add_header(struct headers *headers, const char *name, const char *value, uint8_t flags)
{
  headers->list[headers->count++] = (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), flags};
}

/* Some that come again and again, some that never do, some that need a CONTINUATION. */
static void add_random(struct peers *peers, struct headers *headers)
{
  static const char *const names[] = {"accept", "user-agent", "x-request-id", "cookie", "etag", "x-long", "date"};
  for (unsigned count = roll(peers, HEADERS_MAX - 8); count; count--) {
    char *value = headers->room[headers->count];
    unsigned length = roll(peers, 10) ? roll(peers, 40) : roll(peers, 50) ? roll(peers, 300) : 5999;
    unsigned kinds = roll(peers, 3) ? 2 : 94; /* few different values, or many */
    for (unsigned i = 0; i < length; i++)
      value[i] = (char)('!' + (kinds == 2 ? i % 5 : roll(peers, kinds)));
    value[length] = '\0';
    add_header(headers, names[roll(peers, sizeof names / sizeof *names)], value,
               roll(peers, 8) ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX);
  }
}

static void submit_request(struct peers *peers)
{
  struct headers *headers = calloc(1, sizeof *headers);
  assert_non_null(headers);
  char path[64];
  snprintf(path, sizeof path, "/r/%u?x=%u", peers->submitted, roll(peers, 5));
  bool post = roll(peers, 3) == 0;
  add_header(headers, ":method", post ? "POST" : "GET", NGHTTP2_NV_FLAG_NONE);
  add_header(headers, ":scheme", "http", NGHTTP2_NV_FLAG_NONE);
  add_header(headers, ":authority", roll(peers, 2) ? "a.test" : "b.test:81", NGHTTP2_NV_FLAG_NONE);
  add_header(headers, ":path", path, NGHTTP2_NV_FLAG_NONE);
  add_random(peers, headers);
  nghttp2_data_provider body = post ? body_of(peers) : (nghttp2_data_provider){0};
  int32_t stream = nghttp2_submit_request(peers->sessions[GG_SIDE_CLIENT], NULL, headers->list, headers->count,
                                          post ? &body : NULL, NULL);
  assert_true(stream > 0);
  peers->submitted++;
  if (peers->submitted % 1000 == 500) { /* another bound on the table, and pings */
    static const uint32_t sizes[] = {0, 100, 4096, 65536, 8192};
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, sizes[roll(peers, 5)]};
    nghttp2_submit_settings(peers->sessions[roll(peers, 2)], 0, &entry, 1);
    nghttp2_submit_ping(peers->sessions[roll(peers, 2)], 0, NULL);
  }
  free(headers);
}

static void submit_response(struct peers *peers, int32_t stream)
{
  nghttp2_session *session = peers->sessions[GG_SIDE_SERVER];
  struct headers *headers = calloc(1, sizeof *headers);
  assert_non_null(headers);
  if (roll(peers, 20) == 0) {
    nghttp2_nv early[] = {{(uint8_t *)":status", (uint8_t *)"103", 7, 3, 0},
                          {(uint8_t *)"link", (uint8_t *)"</style>", 4, 8, 0}};
    assert_int_equal(nghttp2_submit_headers(session, 0, stream, NULL, early, 2, NULL), 0);
  }
  bool empty = roll(peers, 4) == 0;
  add_header(headers, ":status", empty ? "204" : roll(peers, 5) ? "200" : "404", NGHTTP2_NV_FLAG_NONE);
  add_random(peers, headers);
  nghttp2_data_provider body = empty ? (nghttp2_data_provider){0} : body_of(peers);
  assert_int_equal(nghttp2_submit_response(session, stream, headers->list, headers->count, empty ? NULL : &body), 0);
  free(headers);
  peers->answered++;
}

static void submit_promise(struct peers *peers, int32_t stream)
{
  nghttp2_nv headers[] = {{(uint8_t *)":method", (uint8_t *)"GET", 7, 3, 0},
                          {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0},
                          {(uint8_t *)":authority", (uint8_t *)"a.test", 10, 6, 0},
                          {(uint8_t *)":path", (uint8_t *)"/pushed", 5, 7, 0}};
  int32_t promised = nghttp2_submit_push_promise(peers->sessions[GG_SIDE_SERVER], 0, stream, headers, 4, NULL);
  assert_true(promised > 0 && promised < STREAMS);
  peers->promised++;
  submit_response(peers, promised);
}

/* ── What the two are told ───────────────────────────────────────────────────────────────────────────────────────── */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *context)
{
  struct peers *peers = context;
  (void)flags;
  bool promise = frame->hd.type == NGHTTP2_PUSH_PROMISE;
  bool response = session == peers->sessions[GG_SIDE_CLIENT] && !promise;
  int32_t stream = promise ? frame->push_promise.promised_stream_id : frame->hd.stream_id;
  struct flow *flow = &peers->theirs[response][stream];
  /* Behind data, or an answer that was not the last: trailers. */
  bool trailer = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_HEADERS && flow->length > 0 &&
                 strstr(flow->text, "h:end=\n");
  add(flow, trailer ? 't' : 'h', name, name_length, value, value_length);
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
  struct peers *peers = context;
  bool server = session == peers->sessions[GG_SIDE_SERVER];
  bool promise = frame->hd.type == NGHTTP2_PUSH_PROMISE;
  if (frame->hd.type == NGHTTP2_HEADERS || promise) {
    int32_t stream = promise ? frame->push_promise.promised_stream_id : frame->hd.stream_id;
    struct flow *flow = &peers->theirs[!server && !promise][stream];
    if (!strstr(flow->text, "h:end=\n") && (server || promise || !strstr(flow->text, ":status=103\n") || flow->ended))
      add(flow, 'h', ":end", 4, "", 0);
    flow->ended = true; /* an announcement is followed by the answer itself */
  }
  bool ends =
    (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (server && ends) {
    if (peers->promised < 200 && roll(peers, 20) == 0)
      submit_promise(peers, frame->hd.stream_id);
    submit_response(peers, frame->hd.stream_id);
  }
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length,
                   void *context)
{
  struct peers *peers = context;
  (void)flags;
  add_body(&peers->theirs[session == peers->sessions[GG_SIDE_CLIENT]][stream], data, length);
  return 0;
}

static ssize_t pad(nghttp2_session *session, const nghttp2_frame *frame, size_t most, void *context)
{
  (void)session;
  size_t length = frame->hd.length + (roll(context, 3) ? 0 : roll(context, 100));
  return (ssize_t)(length < most ? length : most);
}

/* ── What the decoder tells ──────────────────────────────────────────────────────────────────────────────────────── */

static void decoded_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct peers *peers = context;
  assert_true(message->stream > 0 && message->stream < STREAMS);
  add_body(&peers->ours[strcmp(message->kind, "response") == 0][message->stream], body->data, body->length);
}

static const struct {
  const char *field, *name;
  char kind;
} known[] = {{"http.method", ":method", 'h'}, {"http.target", ":path", 'h'}, {"http.host", ":authority", 'h'},
             {"http.status", ":status", 'h'}, {"http.header", NULL, 'h'},    {"http.trailer", NULL, 't'}};

static void decoded_end(void *context, const struct gg_message *message)
{
  struct peers *peers = context;
  assert_int_equal(message->flags & (GG_MESSAGE_ODD | GG_MESSAGE_CUT | GG_MESSAGE_FIELDS_CUT), 0);
  if (message->flags & GG_MESSAGE_CONTROL)
    return;
  bool response = strcmp(message->kind, "response") == 0;
  struct flow *flow = &peers->ours[response][message->stream];
  bool behind = false, early = false;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    char number[24];
    for (size_t j = 0; j < sizeof known / sizeof *known; j++) {
      if (strcmp(field->of->name, known[j].field) != 0)
        continue;
      bool is_number = field->of->kind == GG_FIELD_NUMBER;
      size_t length = is_number ? (size_t)snprintf(number, sizeof number, "%" PRIu64, field->number) : field->length;
      early = early || (is_number && field->number == 103);
      if (known[j].kind == 't' && !behind)
        add(flow, 'h', ":end", 4, "", 0);
      behind = behind || known[j].kind == 't';
      add(flow, known[j].kind, field->key ? field->key : known[j].name,
          field->key ? field->key_length : strlen(known[j].name), is_number ? (const uint8_t *)number : field->value,
          length);
    }
  }
  if (!behind && !early)
    add(flow, 'h', ":end", 4, "", 0);
  if (!response)
    peers->requests[message->stream] = message->number;
  else
    assert_int_equal(message->answers, peers->requests[message->stream]);
  assert_int_equal(message->flags & GG_MESSAGE_COMPLETES, response && !early ? GG_MESSAGE_COMPLETES : 0);
  peers->told += response && !early;
}

static void decoded_opaque(void *context, const struct gg_opaque *opaque)
{
  (void)context;
  fail_msg("opaque from %" PRIu64 ": %s", opaque->offset, opaque->text);
}

/* ── Both together ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* All that a side has to say, to the other one and to the decoder. False: that was nothing. */
static bool pump(struct peers *peers, enum gg_side side)
{
  bool any = false;
  const uint8_t *data;
  for (ssize_t length; (length = nghttp2_session_mem_send(peers->sessions[side], &data)) != 0; any = true) {
    assert_true(length > 0);
    for (size_t at = 0, step; at < (size_t)length; at += step) {
      size_t rest = (size_t)length - at;
      step = 1 + roll(peers, 3000) < rest ? 1 + roll(peers, (unsigned)rest) : rest;
      gg_decoding_push(peers->decoding, side, peers->offsets[side], ++peers->time_ns, data + at, step);
      peers->offsets[side] += step;
    }
    size_t memory = gg_decoding_memory(peers->decoding);
    peers->memory_max = memory > peers->memory_max ? memory : peers->memory_max;
    assert_int_equal(nghttp2_session_mem_recv(peers->sessions[!side], data, (size_t)length), length);
  }
  return any;
}

static void meet(struct peers *peers)
{
  nghttp2_session_callbacks *callbacks;
  nghttp2_option *option;
  assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
  assert_int_equal(nghttp2_option_new(&option), 0);
  nghttp2_option_set_max_deflate_dynamic_table_size(option, 65536);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_select_padding_callback(callbacks, pad);
  assert_int_equal(nghttp2_session_client_new2(&peers->sessions[0], callbacks, peers, option), 0);
  assert_int_equal(nghttp2_session_server_new2(&peers->sessions[1], callbacks, peers, option), 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);
  nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 8192},
                                      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};
  for (unsigned side = 0; side < 2; side++)
    nghttp2_submit_settings(peers->sessions[side], 0, entries, 2);
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = peers;
  sink.body = decoded_body;
  sink.end = decoded_end;
  sink.opaque = decoded_opaque;
  assert_int_equal(gg_decoding_create(&peers->decoding, NULL, &sink, NULL), 0);
}

static void compare(const struct peers *peers)
{
  for (unsigned response = 0; response < 2; response++) {
    for (unsigned stream = 1; stream < STREAMS; stream++) {
      const struct flow *theirs = &peers->theirs[response][stream], *ours = &peers->ours[response][stream];
      if (!theirs->text && !ours->text)
        continue;
      assert_non_null(theirs->text);
      assert_non_null(ours->text);
      assert_string_equal(ours->text, theirs->text);
      assert_int_equal(ours->body_length, theirs->body_length);
      assert_int_equal(ours->body_sum, theirs->body_sum);
      free(theirs->text);
      free(ours->text);
    }
  }
}

static void ten_thousand_requests(void **state)
{
  (void)state;
  struct peers *peers = calloc(1, sizeof *peers);
  assert_non_null(peers);
  peers->theirs = calloc(2, sizeof *peers->theirs);
  peers->ours = calloc(2, sizeof *peers->ours);
  peers->seed = 9113;
  meet(peers);
  bool any = true;
  while (any) {
    for (unsigned i = roll(peers, AT_ONCE); i && peers->submitted < REQUESTS; i--)
      submit_request(peers);
    any = pump(peers, GG_SIDE_CLIENT);
    any = pump(peers, GG_SIDE_SERVER) || any || peers->submitted < REQUESTS;
  }
  gg_decoding_finish(peers->decoding, peers->time_ns);
  gg_decoding_destroy(peers->decoding);
  assert_int_equal(peers->submitted, REQUESTS);
  assert_true(peers->promised > 50);
  assert_int_equal(peers->answered, REQUESTS + peers->promised);
  assert_int_equal(peers->told, peers->answered);
  assert_true(peers->memory_max < 4 << 20);
  compare(peers);
  for (unsigned side = 0; side < 2; side++)
    nghttp2_session_del(peers->sessions[side]);
  free(peers->theirs);
  free(peers->ours);
  free(peers);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(ten_thousand_requests),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
