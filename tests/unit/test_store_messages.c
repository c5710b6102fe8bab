/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of recorded sessions: where a side ended in order, what a reset or a cut does to a message, a session
 * that grows while it is read, and where credentials stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "store_files.h"

#include <gogetway/messages.h>
#include <inttypes.h>

struct told {
  char text[4096];
  size_t length;
};

static void add(struct told *told, const char *format, ...)
{
  va_list words;
  va_start(words, format);
  told->length += (size_t)vsnprintf(told->text + told->length, sizeof told->text - told->length, format, words);
  va_end(words);
  assert_true(told->length < sizeof told->text);
}

static void tell_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  add(context, "[%s %" PRIu64 " %" PRIu64 "]", decoder->name, offset[0], offset[1]);
}

static void tell_end(void *context, const struct gg_message *message)
{
  add(context, "[%" PRIu64 " %s, %" PRIu64 " of body%s%s]", message->number, message->summary, message->body_length,
      message->flags & GG_MESSAGE_CUT ? ", cut" : "", message->flags & GG_MESSAGE_COMPLETES ? ", completes" : "");
}

static void tell_opaque(void *context, const struct gg_opaque *opaque)
{
  add(context, "[%s from %" PRIu64 ": %s]", opaque->side == GG_SIDE_CLIENT ? "client" : "server", opaque->offset,
      gg_opaque_why_text(opaque->why));
}

static struct gg_message_sink sink_of(struct told *told)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  *told = (struct told){0};
  sink.context = told;
  sink.protocol = tell_protocol;
  sink.end = tell_end;
  sink.opaque = tell_opaque;
  return sink;
}

static struct gg_store *open_store(const struct files *files)
{
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, files->dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  return store;
}

static const struct gg_session *only(struct gg_store *store)
{
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  const struct gg_session *session = gg_session_list_at(list, 0);
  gg_session_list_destroy(list);
  return session;
}

/* What is told of the only session of what has been written. */
static void check_as(struct files *files, const struct gg_message_options *options, const char *wanted)
{
  struct told told;
  struct gg_message_sink sink = sink_of(&told);
  struct gg_failure failure = GG_FAILURE_INIT;
  files_write(files);
  struct gg_store *store = open_store(files);
  if (gg_store_messages(store, only(store), options, &sink, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_string_equal(told.text, wanted);
  gg_store_close(store);
  files_end(files);
}

static void begin(struct files *files, struct talk *talk)
{
  files_begin(files);
  files_segment(files, "0001.pcapng");
  talk_open(files, talk, 1, 4000);
}

static void say(struct files *files, struct talk *talk, enum gg_direction direction, const char *text)
{
  talk_say(files, talk, direction, text, strlen(text));
}

static void close_as(struct files *files, struct talk *talk, enum gg_closing closing)
{
  files->length += gg_conversation_close(&talk->conversation, closing, talk_closing, files->bytes + files->length,
                                         files->number, files->time_ns);
}

static void end_side(struct files *files, struct talk *talk, enum gg_direction direction)
{
  files->length +=
    gg_conversation_fin(&talk->conversation, direction, files->bytes + files->length, files->number, files->time_ns);
  files->time_ns += 1000000;
}

static const char request[] = "GET /a HTTP/1.0\r\n\r\n";
static const char until_close[] = "HTTP/1.0 200 OK\r\n\r\nhello";

static void an_answer_until_close_is_whole(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  say(&files, &talk, GG_FROM_SERVER, until_close);
  talk_close(&files, &talk);
  check_as(&files, NULL, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 5 of body, completes]");
}

static void a_reset_cuts_it(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  end_side(&files, &talk, GG_FROM_CLIENT); /* the other side's end says nothing of this one's */
  say(&files, &talk, GG_FROM_SERVER, until_close);
  close_as(&files, &talk, GG_CLOSING_SERVER_RESET);
  check_as(&files, NULL, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 5 of body, cut]");
}

static void the_recordings_end_cuts_it(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  say(&files, &talk, GG_FROM_SERVER, until_close);
  check_as(&files, NULL, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 5 of body, cut]");
}

/* What comes of the server behind the client's FIN is read, and its own FIN ends it. */
static void a_half_close_is_in_order(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  say(&files, &talk, GG_FROM_SERVER, "HTTP/1.0 200 OK\r\n\r\nhel");
  end_side(&files, &talk, GG_FROM_CLIENT);
  say(&files, &talk, GG_FROM_SERVER, "lo, you");
  end_side(&files, &talk, GG_FROM_SERVER);
  close_as(&files, &talk, GG_CLOSING_SERVER_RESET);
  check_as(&files, NULL, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 10 of body, completes]");
}

static void a_gap_is_told(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  say(&files, &talk, GG_FROM_SERVER, "HTTP/1.0 200 OK\r\nContent-");
  talk_miss(&talk, GG_FROM_SERVER, 1000);
  say(&files, &talk, GG_FROM_SERVER, "and the rest");
  talk_close(&files, &talk);
  check_as(&files, NULL,
           "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 0 of body, cut][server from 17: gap][client from 19: gap]");
}

static void an_unknown_one_says_so(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "\x01\x02\x03\x04 nothing that is known");
  talk_close(&files, &talk);
  check_as(&files, NULL, "[client from 0: unknown][server from 0: unknown]");
}

/* Encrypted both ways is not the end: what can be seen from outside is told as long as anything comes. */
static void an_encrypted_one_is_read_to_its_end(void **state)
{
  (void)state;
  static const char new_keys[] = "SSH-2.0-x\r\n\0\0\0\x0c\x0a\x15\0\0\0\0\0\0\0\0\0\0";
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  talk_say(&files, &talk, GG_FROM_CLIENT, new_keys, sizeof new_keys - 1);
  talk_say(&files, &talk, GG_FROM_SERVER, new_keys, sizeof new_keys - 1);
  say(&files, &talk, GG_FROM_CLIENT, "abc");
  say(&files, &talk, GG_FROM_SERVER, "defg");
  say(&files, &talk, GG_FROM_CLIENT, "hi");
  talk_close(&files, &talk);
  check_as(&files, NULL,
           "[ssh 0 0][1 SSH-2.0-x, 0 of body][2 new keys: what follows is encrypted, 0 of body]"
           "[3 SSH-2.0-x, 0 of body][4 new keys: what follows is encrypted, 0 of body][client from 27: encrypted]"
           "[server from 27: encrypted][5 encrypted: 3 bytes in 1 piece, 0 of body]"
           "[6 encrypted: 4 bytes in 1 piece, 0 of body][7 encrypted: 2 bytes in 1 piece, 0 of body]"
           "[8 an estimate by sizes and times: about 0 keystrokes; in bulk 0 bytes sent, 0 received, 0 of body]");
}

static void options_choose(void **state)
{
  (void)state;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  for (int i = 0; i < 3; i++) {
    struct files files;
    struct talk talk;
    begin(&files, &talk);
    say(&files, &talk, GG_FROM_CLIENT, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    say(&files, &talk, GG_FROM_SERVER, "HTTP/1.1 204 One\r\n\r\nHTTP/1.1 204 Two\r\n\r\n");
    talk_close(&files, &talk);
    options.from = i == 0 ? 3 : 0;
    options.skip[GG_SIDE_CLIENT] = i == 1;
    options.skip[GG_SIDE_SERVER] = i == 2;
    options.decoder = i == 2 ? "http1" : NULL;
    check_as(&files, &options,
             i == 2 ? "[http1 0 0][1 GET /a, 0 of body][2 GET /b, 0 of body]"
                    : "[http1 0 0][3 204 One, 0 of body, completes][4 204 Two, 0 of body, completes]");
  }
}

static bool never(void *context)
{
  ++*(unsigned *)context;
  return false;
}

static void wrong_options_and_an_end_from_outside(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct told told;
  unsigned asked = 0;
  struct gg_message_sink sink = sink_of(&told);
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  const struct gg_session *session = only(store);
  options.decoder = "nobody";
  assert_int_equal(gg_store_messages(store, session, &options, &sink, NULL), GG_ERR_NOT_FOUND);
  options.decoder = NULL;
  options.size = 8;
  assert_int_equal(gg_store_messages(store, session, &options, &sink, NULL), GG_ERR_INVALID);
  options.size = sizeof options;
  options.go_on = never;
  options.go_on_context = &asked;
  assert_int_equal(gg_store_messages(store, session, &options, &sink, NULL), GG_ERR_CLOSED);
  assert_int_equal(asked, 1);
  assert_int_equal(told.length, 0);
  gg_store_close(store);
  files_end(&files);
}

/* A decoder that sees nothing but sizes: both sides are encrypted, and still it tells of them. */
static const char *const seen_kinds[] = {"packet", NULL};
static const struct gg_decoder_field seen_fields[] = {{NULL, GG_FIELD_TEXT, false, NULL, NULL}};

static size_t see(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  bool *said = state;
  if (!said[window->side])
    gg_decoded_encrypted(decoding, window->side, window->offset, "of a test");
  said[window->side] = true;
  struct gg_draft *draft = gg_decoded_begin(decoding, window->side, 0, window->offset);
  gg_decoded_summary(decoding, draft, "%zu bytes", window->length);
  gg_decoded_end(decoding, draft, window->offset + window->length);
  return window->length;
}

static void what_is_encrypted_is_looked_at(void **state)
{
  (void)state;
  static const struct gg_decoder seen = {GG_DECODER_HEAD,
                                         .name = "seen",
                                         .protocol = "seen",
                                         .kinds = seen_kinds,
                                         .fields = seen_fields,
                                         .push = see,
                                         .state_bytes = 2 * sizeof(bool)};
  const struct gg_decoder *const more[] = {&seen};
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct files files;
  struct talk talk;
  options.more = more;
  options.more_count = 1;
  options.decoder = "seen";
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "one");
  say(&files, &talk, GG_FROM_SERVER, "three");
  say(&files, &talk, GG_FROM_CLIENT, "seventh");
  talk_close(&files, &talk);
  check_as(&files, &options,
           "[seen 0 0][client from 0: encrypted][1 3 bytes, 0 of body][server from 0: encrypted]"
           "[2 5 bytes, 0 of body][3 7 bytes, 0 of body]");
}

static void a_framing_is_given(void **state)
{
  (void)state;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct files files;
  struct talk talk;
  options.framing = "fixed 2 requests=client";
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "abcd");
  talk_close(&files, &talk);
  check_as(&files, &options, "[framing 0 0][1 2 bytes: ab, 2 of body][2 2 bytes: cd, 2 of body]");
}

/* ── A session that grows ────────────────────────────────────────────────────────────────────────────────────────── */

/* Each packet by itself becomes readable, in two segments; nothing is told twice, nothing is left out. */
static void a_growing_session_is_read_once(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct told told;
  struct gg_message_sink sink = sink_of(&told);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_reader *reader = NULL;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "GET /a HTTP/1.1\r\nHo");
  files_write(&files);
  struct gg_store *store = open_store(&files);
  struct gg_session *session = (struct gg_session *)(uintptr_t)only(store);
  session->state = GG_SESSION_OPEN; /* as of a gateway that is at work */
  assert_int_equal(gg_message_reader_open(&reader, store, session, NULL, &sink, &failure), 0);
  static const struct {
    enum gg_direction direction;
    const char *text, *wanted;
  } steps[] = {
    {GG_FROM_CLIENT, NULL, "[http1 0 0]"},
    {GG_FROM_CLIENT, "st: x\r\n\r\n", "[1 GET /a, 0 of body]"},
    {GG_FROM_SERVER, "HTTP/1.1 200 OK\r\n", ""},
    {GG_FROM_SERVER, "Content-Length: 6\r\n\r\nhel", ""},
    {GG_FROM_SERVER, "lo!", "[2 200 OK, 6 of body, completes]"},
    {GG_FROM_CLIENT, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n", "[3 GET /b, 0 of body]"},
    {GG_FROM_SERVER, "HTTP/1.1 200 OK\r\n\r\nuntil", ""},
    {GG_FROM_SERVER, " close", ""},
  };
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    told = (struct told){0};
    if (i == 5)
      files_segment(&files, "0002.pcapng");
    if (steps[i].text)
      say(&files, &talk, steps[i].direction, steps[i].text);
    files_write(&files);
    assert_int_equal(gg_store_refresh(store, &failure), 0);
    session->state = GG_SESSION_OPEN;
    for (int again = 0; again < 2; again++)
      if (gg_message_reader_read(reader, &failure) != 1)
        fail_msg("step %zu: %s", i, failure.message);
    if (strcmp(told.text, steps[i].wanted) != 0)
      fail_msg("step %zu: %s", i, told.text);
  }
  told = (struct told){0};
  talk_close(&files, &talk);
  files_write(&files);
  assert_int_equal(gg_store_refresh(store, &failure), 0);
  assert_int_equal(session->state, GG_SESSION_CLOSED);
  assert_int_equal(gg_message_reader_read(reader, &failure), 0);
  assert_string_equal(told.text, "[4 200 OK, 11 of body, completes]");
  assert_int_equal(gg_message_reader_read(reader, &failure), 0);
  gg_message_reader_close(reader);
  gg_store_close(store);
  files_end(&files);
}

/* Its gateway has ended without a word: what had begun is told then. */
static void a_growing_session_is_cut(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct told told;
  struct gg_message_sink sink = sink_of(&told);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_reader *reader = NULL;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, request);
  say(&files, &talk, GG_FROM_SERVER, until_close);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  struct gg_session *session = (struct gg_session *)(uintptr_t)only(store);
  session->state = GG_SESSION_OPEN;
  assert_int_equal(gg_message_reader_open(&reader, store, session, NULL, &sink, &failure), 0);
  assert_int_equal(gg_message_reader_read(reader, &failure), 1);
  assert_string_equal(told.text, "[http1 0 0][1 GET /a, 0 of body]");
  session->state = GG_SESSION_CUT;
  assert_int_equal(gg_message_reader_read(reader, &failure), 0);
  assert_string_equal(told.text, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 5 of body, cut]");
  gg_message_reader_close(reader);
  gg_store_close(store);
  files_end(&files);
}

/* ── Credentials ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void credentials_are_masked_where_they_stand(void **state)
{
  (void)state;
  static const char said[] = "GET /a HTTP/1.1\r\nHost: x\r\nCookie: id=17\r\n\r\n"
                             "GET /b HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YTpi\r\nAccept: *\r\n\r\n";
  static const char wanted[] = "GET /a HTTP/1.1\r\nHost: x\r\nCookie: *****\r\n\r\n"
                               "GET /b HTTP/1.1\r\nHost: x\r\nAuthorization: **********\r\nAccept: *\r\n\r\n";
  struct files files;
  struct talk talk;
  struct gg_secrets *secrets = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, said);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  assert_int_equal(gg_secrets_find(&secrets, store, only(store), NULL, &failure), 0);
  size_t length = sizeof said - 1;
  for (size_t from = 0; from <= length; from++)
    for (size_t to = from; to <= length; to++) {
      uint8_t piece[sizeof said];
      size_t stars = 0;
      memcpy(piece, said + from, to - from);
      size_t masked = gg_secrets_mask(secrets, GG_SIDE_CLIENT, from, piece, to - from);
      assert_memory_equal(piece, wanted + from, to - from);
      for (size_t i = from; i < to; i++)
        stars += wanted[i] != said[i];
      assert_int_equal(masked, stars);
    }
  uint8_t other[64];
  memcpy(other, said, sizeof other);
  assert_int_equal(gg_secrets_mask(secrets, GG_SIDE_SERVER, 0, other, sizeof other), 0);
  assert_int_equal(gg_secrets_mask(NULL, GG_SIDE_CLIENT, 0, other, sizeof other), 0);
  assert_memory_equal(other, said, sizeof other);
  gg_secrets_destroy(secrets);
  gg_secrets_destroy(NULL);
  gg_store_close(store);
  files_end(&files);
}

/* Nobody knows whether one of the fields that are not kept was a credential. */
static void a_message_with_too_many_fields_is_masked(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct gg_secrets *secrets = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  static char said[1 << 17];
  size_t length = (size_t)snprintf(said, sizeof said, "GET /a HTTP/1.1\r\nHost: x\r\n");
  for (int i = 0; i < GG_MESSAGE_FIELDS_MAX; i++)
    length += (size_t)snprintf(said + length, sizeof said - length, "X: %d\r\n", i);
  length += (size_t)snprintf(said + length, sizeof said - length, "Cookie: id=17\r\n\r\n");
  size_t head = length;
  length += (size_t)snprintf(said + length, sizeof said - length, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, said);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  assert_int_equal(gg_secrets_find(&secrets, store, only(store), NULL, &failure), 0);
  assert_int_equal(gg_secrets_mask(secrets, GG_SIDE_CLIENT, 0, (uint8_t *)said, length), head);
  assert_string_equal(said + head, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  gg_secrets_destroy(secrets);
  gg_store_close(store);
  files_end(&files);
}

/* ── Without memory, and without files ───────────────────────────────────────────────────────────────────────────── */

/* A refusal is an error, or it ends the decoding, which says so; nothing is left behind. */
static void memory_is_refused(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  static const char asked[] = "GET /a HTTP/1.1\r\nHost: x\r\nCookie: id=17\r\n\r\n";
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, asked);
  say(&files, &talk, GG_FROM_SERVER, until_close);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  const struct gg_session *session = only(store);
  enum { ALLOCATIONS_MAX = 200 };
  for (int finds = 0; finds < 2; finds++) {
    bool refused = true;
    for (failing = 1; refused; failing++) {
      struct told told;
      struct gg_message_sink sink = sink_of(&told);
      struct gg_failure failure = GG_FAILURE_INIT;
      struct gg_secrets *secrets = NULL;
      assert_true(failing < ALLOCATIONS_MAX);
      calls = 0;
      live = 0;
      counting = true;
      int error = finds ? gg_secrets_find(&secrets, store, session, NULL, &failure)
                        : gg_store_messages(store, session, NULL, &sink, &failure);
      gg_secrets_destroy(secrets);
      counting = false;
      refused = calls >= failing;
      assert_int_equal(live, 0);
      assert_int_equal(failure.code, error);
      assert_true(error == 0 || error == GG_ERR_NOMEM);
      if (!finds && refused && error == 0)
        assert_non_null(strstr(told.text, ": limit]"));
      if (!finds && !refused)
        assert_string_equal(told.text, "[http1 0 0][1 GET /a, 0 of body][2 200 OK, 5 of body, completes]");
    }
    assert_true(failing > 8);
  }
  gg_store_close(store);
  files_end(&files);
}

/* The second segment has gone: what is in the first is told, credentials of it are masked, and the error says which. */
static void a_segment_has_gone(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct told told;
  struct gg_message_sink sink = sink_of(&told);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_secrets *secrets = NULL;
  static const char asked[] = "POST /a HTTP/1.1\r\nCookie: id=17\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234";
  uint8_t copy[sizeof asked];
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, asked);
  files_write(&files);
  files_segment(&files, "0002.pcapng");
  say(&files, &talk, GG_FROM_CLIENT, "56789");
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  const struct gg_session *session = only(store);
  assert_int_equal(unlink(files.segment), 0);
  assert_int_equal(gg_store_messages(store, session, NULL, &sink, &failure), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(failure.message, "0002.pcapng"));
  assert_string_equal(told.text, "[http1 0 0][1 POST /a, 4 of body, cut]");
  assert_int_equal(gg_secrets_find(&secrets, store, session, NULL, &failure), GG_ERR_NOT_FOUND);
  memcpy(copy, asked, sizeof copy);
  assert_int_equal(gg_secrets_mask(secrets, GG_SIDE_CLIENT, 0, copy, sizeof copy), strlen("id=17"));
  assert_non_null(strstr((const char *)copy, "Cookie: *****\r\n"));
  gg_secrets_destroy(secrets);
  gg_store_close(store);
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_answer_until_close_is_whole),
    cmocka_unit_test(a_reset_cuts_it),
    cmocka_unit_test(the_recordings_end_cuts_it),
    cmocka_unit_test(a_half_close_is_in_order),
    cmocka_unit_test(a_gap_is_told),
    cmocka_unit_test(an_unknown_one_says_so),
    cmocka_unit_test(an_encrypted_one_is_read_to_its_end),
    cmocka_unit_test(options_choose),
    cmocka_unit_test(what_is_encrypted_is_looked_at),
    cmocka_unit_test(a_framing_is_given),
    cmocka_unit_test(wrong_options_and_an_end_from_outside),
    cmocka_unit_test(a_growing_session_is_read_once),
    cmocka_unit_test(a_growing_session_is_cut),
    cmocka_unit_test(credentials_are_masked_where_they_stand),
    cmocka_unit_test(a_message_with_too_many_fields_is_masked),
    cmocka_unit_test(memory_is_refused),
    cmocka_unit_test(a_segment_has_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
