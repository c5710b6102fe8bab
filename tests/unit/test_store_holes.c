/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that are missing from a capture and are told by nobody: what a side has said behind the hole comes all the
 * same, in front of its FIN, and what is counted is what is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/reader.h"
#include "store_files.h"

#include <gogetway/messages.h>
#include <inttypes.h>

struct told {
  char text[1024];
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

static void lose(struct files *files, struct talk *talk, enum gg_direction direction, const char *text)
{
  size_t length = files->length;
  say(files, talk, direction, text);
  files->length = length;
}

static void end_side(struct files *files, struct talk *talk, enum gg_direction direction)
{
  files->length +=
    gg_conversation_fin(&talk->conversation, direction, files->bytes + files->length, files->number, files->time_ns);
  files->time_ns += 1000000;
}

/* The FIN of a side whose last words, from `at` on, were captured behind it. */
static void end_side_early(struct files *files, struct talk *talk, enum gg_direction direction, size_t at)
{
  uint8_t late[4096];
  size_t bytes = files->length - at;
  assert_true(bytes <= sizeof late);
  memcpy(late, files->bytes + at, bytes);
  files->length = at;
  end_side(files, talk, direction);
  memcpy(files->bytes + files->length, late, bytes);
  files->length += bytes;
}

static struct gg_store *open_store(struct files *files, const struct gg_session **session)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  files_write(files);
  if (gg_store_open(&store, files->dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  *session = gg_session_list_at(list, 0);
  gg_session_list_destroy(list);
  return store;
}

static void close_store(struct gg_store *store, struct files *files)
{
  gg_store_close(store);
  files_end(files);
}

/* Each step of the only session, as "C0:text C4-10 C.": a chunk, a gap of 10 bytes, the FIN. */
static void check(struct files *files, const char *wanted)
{
  const struct gg_session *session;
  struct gg_store *store = open_store(files, &session);
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  struct told told = {0};
  uint64_t gaps[2] = {0};
  assert_int_equal(gg_reader_open(&reader, store, session, NULL), 0);
  for (int read; (read = gg__reader_step(reader, &chunk, NULL)) != GG__READ_END;) {
    char side = chunk.side == GG_SIDE_CLIENT ? 'C' : 'S';
    assert_true(read > 0);
    gaps[chunk.side] += chunk.gap;
    if (read == GG__READ_FIN)
      add(&told, "%c. ", side);
    else if (chunk.gap)
      add(&told, "%c%" PRIu64 "-%" PRIu64 " ", side, chunk.offset, chunk.gap);
    else
      add(&told, "%c%" PRIu64 ":%.*s ", side, chunk.offset, (int)chunk.length, (const char *)chunk.data);
  }
  assert_string_equal(told.text, wanted);
  assert_int_equal(gaps[0], session->gaps[0]);
  assert_int_equal(gaps[1], session->gaps[1]);
  gg_reader_close(reader);
  close_store(store, files);
}

static void in_front_of_the_servers_fin(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "ask");
  say(&files, &talk, GG_FROM_SERVER, "one");
  lose(&files, &talk, GG_FROM_SERVER, "lost");
  say(&files, &talk, GG_FROM_SERVER, "two");
  say(&files, &talk, GG_FROM_SERVER, "three");
  talk_close(&files, &talk);
  check(&files, "C0:ask S0:one C. S3-4 S7:twothree S. ");
}

static void in_front_of_the_clients_fin(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "one");
  lose(&files, &talk, GG_FROM_CLIENT, "lost");
  say(&files, &talk, GG_FROM_CLIENT, "two");
  say(&files, &talk, GG_FROM_SERVER, "answer");
  talk_close(&files, &talk);
  check(&files, "C0:one S0:answer S. C3-4 C7:two C. ");
}

static void in_front_of_both(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "one");
  lose(&files, &talk, GG_FROM_CLIENT, "lost");
  say(&files, &talk, GG_FROM_CLIENT, "two");
  say(&files, &talk, GG_FROM_SERVER, "1");
  lose(&files, &talk, GG_FROM_SERVER, "gone");
  say(&files, &talk, GG_FROM_SERVER, "2");
  lose(&files, &talk, GG_FROM_SERVER, "again");
  say(&files, &talk, GG_FROM_SERVER, "3");
  talk_close(&files, &talk);
  check(&files, "C0:one S0:1 C3-4 C7:two C. S1-4 S5:2 S6-5 S11:3 S. ");
}

/* The FIN's own number tells that there was more. */
static void at_the_very_end(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, "ask");
  lose(&files, &talk, GG_FROM_CLIENT, "lost");
  say(&files, &talk, GG_FROM_SERVER, "answer");
  lose(&files, &talk, GG_FROM_SERVER, "gone");
  talk_close(&files, &talk);
  check(&files, "C0:ask S0:answer C3-4 C. S6-4 S. ");
}

static void behind_a_hole_and_at_the_very_end(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_SERVER, "one");
  lose(&files, &talk, GG_FROM_SERVER, "lost");
  say(&files, &talk, GG_FROM_SERVER, "two");
  lose(&files, &talk, GG_FROM_SERVER, "gone");
  talk_close(&files, &talk);
  check(&files, "S0:one C. S3-4 S7:two S10-4 S. ");
}

/* Not missing, only late: the FIN waits for it. */
static void words_that_come_behind_the_fin(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  for (int waits = 0; waits < 2; waits++) {
    begin(&files, &talk);
    say(&files, &talk, GG_FROM_SERVER, "one");
    say(&files, &talk, GG_FROM_CLIENT, "ask");
    size_t at = files.length;
    if (waits)
      say(&files, &talk, GG_FROM_SERVER, "and ");
    say(&files, &talk, GG_FROM_SERVER, "two");
    end_side_early(&files, &talk, GG_FROM_SERVER, at);
    end_side(&files, &talk, GG_FROM_CLIENT);
    check(&files, waits ? "S0:one C0:ask S3:and  S7:two S. C. " : "S0:one C0:ask S3:two S. C. ");
  }
}

static void tell_end(void *context, const struct gg_message *message)
{
  add(context, "[%s%s%s]", message->summary, message->flags & GG_MESSAGE_CUT ? ", cut" : "",
      message->flags & GG_MESSAGE_GAP ? ", gap" : "");
}

static void tell_opaque(void *context, const struct gg_opaque *opaque)
{
  add(context, "[from %" PRIu64 ": %s]", opaque->offset, gg_opaque_why_text(opaque->why));
}

static void check_messages(struct files *files, const char *wanted)
{
  const struct gg_session *session;
  struct gg_store *store = open_store(files, &session);
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  struct told told = {0};
  sink.context = &told;
  sink.end = tell_end;
  sink.opaque = tell_opaque;
  assert_int_equal(gg_store_messages(store, session, NULL, &sink, NULL), 0);
  assert_string_equal(told.text, wanted);
  close_store(store, files);
}

static const char get[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

static void messages_follow(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  for (int i = 0; i < 2; i++)
    say(&files, &talk, GG_FROM_CLIENT, get);
  say(&files, &talk, GG_FROM_SERVER, "HTTP/1.1 200 One\r\nContent-Length: 11\r\n\r\nhel");
  lose(&files, &talk, GG_FROM_SERVER, "lo w");
  say(&files, &talk, GG_FROM_SERVER, "orld");
  say(&files, &talk, GG_FROM_SERVER, "HTTP/1.1 204 Two\r\n\r\n");
  talk_close(&files, &talk);
  check_messages(&files, "[GET /][GET /][200 One, gap][204 Two]");
}

/* A body that lasts until the end was longer than what is there. */
static void a_message_lacks_its_end(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  begin(&files, &talk);
  say(&files, &talk, GG_FROM_CLIENT, get);
  say(&files, &talk, GG_FROM_SERVER, "HTTP/1.1 200 OK\r\n\r\nhello");
  lose(&files, &talk, GG_FROM_SERVER, ", you");
  talk_close(&files, &talk);
  check_messages(&files, "[GET /][200 OK, gap]");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(in_front_of_the_servers_fin),
    cmocka_unit_test(in_front_of_the_clients_fin),
    cmocka_unit_test(in_front_of_both),
    cmocka_unit_test(at_the_very_end),
    cmocka_unit_test(behind_a_hole_and_at_the_very_end),
    cmocka_unit_test(words_that_come_behind_the_fin),
    cmocka_unit_test(messages_follow),
    cmocka_unit_test(a_message_lacks_its_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
