/* SPDX-License-Identifier: Apache-2.0 */
/* A player of HTTP/2: answers of many streams, in another order than they were recorded in. */
#include "replay_checks.h"

#include "http2_frames.h"

static struct bytes *bytes; /* what the next step, or the live server, says */

static int set_up_frames(void **state)
{
  bytes = calloc(1, sizeof *bytes);
  assert_non_null(bytes);
  return set_up(state);
}

static int tear_down_frames(void **state)
{
  free(bytes);
  return tear_down(state);
}

static void frames_recorded(enum gg_step_kind kind, uint64_t at_ms)
{
  fake_payload(&fake, kind, at_ms * FAKE_MS, bytes->data, bytes->length, true);
  bytes->length = 0;
}

static void frames_come(uint64_t at_ms)
{
  fake_run(&fake, at_ms);
  fake_push(&fake, bytes->data, bytes->length);
  bytes->length = 0;
  fake_event(&fake, GG_WIRE_READABLE);
}

static void put_answer(uint32_t stream, const char *body, bool whole)
{
  put_headers(bytes, 0, stream, ":status", "200", "date", "now", NULL);
  put_frame(bytes, DATA, whole ? END_STREAM : 0, stream, body, strlen(body));
}

static void hello(void)
{
  put(bytes, PREFACE NO_SETTINGS, sizeof(PREFACE NO_SETTINGS) - 1);
}

/* Streams 1 and 3 are asked for; 3 is answered, and 1 half; 5 is asked for; then 1 and 5 are answered, and 7 is asked
 * for. */
static void record_streams(void)
{
  hello();
  put_get(bytes, END_STREAM, 1, "/1");
  put_get(bytes, END_STREAM, 3, "/3");
  frames_recorded(GG_STEP_SEND, 0);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_answer(3, "three", true);
  put_answer(1, "on", false);
  frames_recorded(GG_STEP_EXPECT, 5);
  put_get(bytes, END_STREAM, 5, "/5");
  frames_recorded(GG_STEP_SEND, 15);
  put_frame(bytes, DATA, END_STREAM, 1, "e", 1);
  put_answer(5, "five", true);
  frames_recorded(GG_STEP_EXPECT, 20);
  put_get(bytes, END_STREAM, 7, "/7");
  frames_recorded(GG_STEP_SEND, 30);
  fake_step(&fake, GG_STEP_OVER, 40);
}

static void streams_are_waited_for_by_themselves(void **state)
{
  (void)state;
  record_streams();
  begin(0);
  assert_int_equal(fake.send_count, 1);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_answer(1, "one, and much longer", true);
  frames_come(5);
  fake_run(&fake, 2000); /* that one was not waited for */
  assert_int_equal(fake.send_count, 1);
  put_answer(3, "3", true);
  frames_come(2000);
  fake_run(&fake, 2011);
  assert_int_equal(fake.send_count, 2);
  fake_run(&fake, 4000); /* 1 has come, 5 has not */
  assert_int_equal(fake.send_count, 2);
  put_answer(5, "5", true);
  frames_come(4000);
  fake_run(&fake, 4011);
  assert_int_equal(fake.send_count, 3);
  assert_int_equal(fake.player->outcome.counts.released[GG_REPLAY_RELEASED_BY_DECODER], 2);
  assert_string_equal(fake.player->outcome.decoder, "http2");
  gg__player_cut(fake.player);
}

/* What was half there in the recording need not be. */
static void a_part_of_an_answer_is_not_waited_for(void **state)
{
  (void)state;
  record_streams();
  begin(0);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_answer(3, "3", true);
  frames_come(5);
  fake_run(&fake, 16);
  assert_int_equal(fake.send_count, 2);
  gg__player_cut(fake.player);
}

/* A stream that has no end (a watch) holds nobody up. */
static void a_stream_without_an_end(void **state)
{
  (void)state;
  hello();
  put_get(bytes, END_STREAM, 1, "/watch");
  frames_recorded(GG_STEP_SEND, 0);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_answer(1, "first", false);
  frames_recorded(GG_STEP_EXPECT, 5);
  put_get(bytes, END_STREAM, 3, "/3");
  frames_recorded(GG_STEP_SEND, 15);
  put_answer(3, "three", true);
  frames_recorded(GG_STEP_EXPECT, 20);
  put_get(bytes, END_STREAM, 5, "/5");
  frames_recorded(GG_STEP_SEND, 30);
  put_frame(bytes, DATA, 0, 1, "second", 6);
  frames_recorded(GG_STEP_EXPECT, 1000);
  put_get(bytes, END_STREAM, 7, "/7");
  frames_recorded(GG_STEP_SEND, 1500);
  fake_step(&fake, GG_STEP_OVER, 2000);
  begin(0);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  put_answer(1, "other", false);
  frames_come(5);
  fake_run(&fake, 16);
  assert_int_equal(fake.send_count, 2);
  put_answer(3, "3", true);
  frames_come(25);
  fake_run(&fake, 36);
  assert_int_equal(fake.send_count, 3);
  fake_run(&fake, 1504); /* at its time behind the last answer, though nothing more is watched */
  assert_int_equal(fake.send_count, 3);
  fake_run(&fake, 1506);
  assert_int_equal(fake.send_count, 4);
  gg__player_cut(fake.player);
}

/* The client sends on when the window is opened: it must not go without that. */
static void frames_of_control_are_waited_for(void **state)
{
  (void)state;
  hello();
  put_headers(bytes, 0, 1, ":method", "PUT", ":scheme", "http", ":authority", "x.test", ":path", "/", NULL);
  frames_recorded(GG_STEP_SEND, 0);
  put(bytes, NO_SETTINGS, sizeof NO_SETTINGS - 1);
  frames_recorded(GG_STEP_EXPECT, 3);
  FRAME(bytes, DATA, 0, 1, "some");
  frames_recorded(GG_STEP_SEND, 4);
  FRAME(bytes, WINDOW_UPDATE, 0, 0, "\0\0\1\0");
  frames_recorded(GG_STEP_EXPECT, 5);
  FRAME(bytes, DATA, END_STREAM, 1, "more");
  frames_recorded(GG_STEP_SEND, 6);
  put_answer(1, "done", true);
  frames_recorded(GG_STEP_EXPECT, 10);
  put_get(bytes, END_STREAM, 3, "/3");
  frames_recorded(GG_STEP_SEND, 11);
  fake_step(&fake, GG_STEP_OVER, 20);
  begin(0);
  FRAME(bytes, SETTINGS, 0, 0, "\0\3\0\0\0\x64");
  frames_come(5);
  fake_run(&fake, 500);
  assert_int_equal(fake.send_count, 2);
  FRAME(bytes, WINDOW_UPDATE, 0, 0, "\0\0\2\0");
  frames_come(500);
  fake_run(&fake, 502);
  assert_int_equal(fake.send_count, 3);
  put_answer(1, "all done", true);
  frames_come(600);
  fake_run(&fake, 602);
  assert_int_equal(fake.send_count, 4);
  gg__player_cut(fake.player);
}

#undef T
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_frames, tear_down_frames)

int main(void)
{
  const struct CMUnitTest tests[] = {
    T(streams_are_waited_for_by_themselves),
    T(a_part_of_an_answer_is_not_waited_for),
    T(a_stream_without_an_end),
    T(frames_of_control_are_waited_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
