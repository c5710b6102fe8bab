/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a session beside its bytes: verdict, tags, masked bytes, history, first bytes and Community IDs; in
 * one segment and in several, with parts that are missing, and with comments that nobody should trust. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "record/packet.h"
#include "store/frames.h"
#include "store/part.h"
#include "store_files.h"

#include <gogetway/store.h>

struct opened {
  struct gg_store *store;
  struct gg_session_list *list;
};

static const struct gg_session *open_one(struct opened *opened, const struct files *files)
{
  assert_int_equal(gg_store_open(&opened->store, files->dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(opened->store, NULL, &opened->list, NULL), 0);
  assert_int_equal(gg_session_list_count(opened->list), 1);
  return gg_session_list_at(opened->list, 0);
}

static void close_one(struct opened *opened)
{
  gg_session_list_destroy(opened->list);
  gg_store_close(opened->store);
}

static void check_first(const struct gg_session *session, enum gg_side side, const char *expected)
{
  assert_int_equal(session->first_length[side], strlen(expected));
  assert_memory_equal(session->first[side], expected, strlen(expected));
}

static void put_verdict(struct gg_json *json, const char *plugin, const char *kind)
{
  gg_json_key(json, "verdict");
  gg_json_object_begin(json);
  if (plugin)
    gg_json_field_string(json, "plugin", plugin);
  gg_json_field_string(json, "kind", kind);
  gg_json_object_end(json);
}

static void put_tags(struct gg_json *json, const char *const *tags, size_t count)
{
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  for (size_t i = 0; i < count; i++)
    gg_json_string(json, tags[i]);
  gg_json_array_end(json);
}

static void all_facts(const void *session, struct gg_json *json)
{
  static const char *const tags[] = {"scanner", "a.b", "scanner"};
  (void)session;
  put_verdict(json, "no-drop", "reset");
  put_tags(json, tags, 3);
  gg_json_key(json, "masked");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", 22);
  gg_json_field_unsigned(json, "server", UINT64_C(1) << 40);
  gg_json_object_end(json);
}

static void everything_at_once(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct opened opened;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk.gateway = "192.0.2.7:33000"; /* not known yet when it began */
  talk.more = all_facts;
  talk_say(&files, &talk, GG_FROM_CLIENT, "SSH-2.0-OpenSSH_9.2p1 and more", 30);
  talk_say(&files, &talk, GG_FROM_SERVER, "ok", 2);
  talk_close(&files, &talk);
  files_write(&files);
  const struct gg_session *session = open_one(&opened, &files);
  assert_string_equal(session->verdict, "reset");
  assert_string_equal(session->verdict_by, "no-drop");
  assert_int_equal(session->tag_count, 2);
  assert_string_equal(session->tags[0], "a.b");
  assert_string_equal(session->tags[1], "scanner");
  assert_int_equal(session->masked[0], 22);
  assert_int_equal(session->masked[1], UINT64_C(1) << 40);
  assert_string_equal(session->history, "ShADdFaf");
  assert_string_equal(session->conn_state, "SF");
  check_first(session, GG_SIDE_CLIENT, "SSH-2.0-OpenSSH_");
  check_first(session, GG_SIDE_SERVER, "ok");
  assert_string_equal(session->community_id[0], "1:mIYUIfX4zh+l2X8AFEljC6Md5ik=");
  assert_string_equal(session->community_id[1], "1:W0Xx4RtNzjzWttkk8YxHcy6RW2g=");
  close_one(&opened);
  files_end(&files);
}

/* Nothing was said of it, and it has no end. */
static void what_is_not_known_is_empty(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct opened opened;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  files_write(&files);
  const struct gg_session *session = open_one(&opened, &files);
  assert_int_equal(session->state, GG_SESSION_CUT);
  assert_string_equal(session->verdict, "");
  assert_string_equal(session->verdict_by, "");
  assert_int_equal(session->tag_count, 0);
  assert_int_equal(session->masked[0] + session->masked[1], 0);
  assert_string_equal(session->history, "ShA");
  assert_string_equal(session->conn_state, "S1");
  check_first(session, GG_SIDE_CLIENT, "");
  check_first(session, GG_SIDE_SERVER, "");
  assert_string_equal(session->community_id[1], "");
  close_one(&opened);
  files_end(&files);
}

/* The upstreams of which no Community ID can be, and one that is this host by another name. */
static void addresses_of_the_upstream(void **state)
{
  (void)state;
  static const struct {
    const char *gateway, *upstream, *id;
  } cases[] = {
    {NULL, "198.51.100.9:8080", ""},
    {"192.0.2.7:33000", "db:5432", ""},
    {"192.0.2.7:33000", "unix:/run/app", ""},
    {"nonsense", "198.51.100.9:8080", ""},
    {"127.0.0.1:4000", "0.0.0.0:80", "1:8JS+I7AMVLCpbXkYysHYXjfrROE="},
    {"127.0.0.1:4000", "127.0.0.1:80", "1:8JS+I7AMVLCpbXkYysHYXjfrROE="},
    {"[2001:db8::1]:40000", "[2001:db8::2]:443", "1:RYG3Msb11GthNt1OYXJouPzmrvA="},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct files files;
    struct talk talk;
    struct opened opened;
    files_begin(&files);
    files_segment(&files, "0001.pcapng");
    talk_open_as(&files, &talk, 1, 4000, NULL, cases[i].upstream);
    talk.gateway = cases[i].gateway;
    talk_close(&files, &talk);
    files_write(&files);
    assert_string_equal(open_one(&opened, &files)->community_id[1], cases[i].id);
    close_one(&opened);
    files_end(&files);
  }
}

/* Its history goes on, and its first bytes may be in more than one segment. */
static void over_several_segments(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct opened opened;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "01234", 5);
  files_write(&files);
  files_segment(&files, "0002.pcapng");
  talk_say(&files, &talk, GG_FROM_CLIENT, "56789", 5);
  talk_say(&files, &talk, GG_FROM_SERVER, "banner", 6);
  files_write(&files);
  files_segment(&files, "0003.pcapng");
  talk.more = all_facts;
  talk_say(&files, &talk, GG_FROM_CLIENT, "abcdefghij", 10);
  talk_miss(&talk, GG_FROM_SERVER, 100);
  talk_say(&files, &talk, GG_FROM_SERVER, "rest", 4);
  talk_close(&files, &talk);
  files_write(&files);
  const struct gg_session *session = open_one(&opened, &files);
  assert_int_equal(session->segments, 3);
  check_first(session, GG_SIDE_CLIENT, "0123456789abcdef");
  check_first(session, GG_SIDE_SERVER, "banner"); /* a hole is behind it */
  assert_string_equal(session->history, "ShADdgFaf");
  assert_string_equal(session->conn_state, "SF");
  assert_int_equal(session->tag_count, 2);
  assert_string_equal(session->verdict, "reset");
  close_one(&opened);

  /* Without the one in the middle what is known ends at the hole. */
  char path[160];
  snprintf(path, sizeof path, "%s/segments/0002.pcapng", files.dir);
  assert_int_equal(unlink(path), 0);
  session = open_one(&opened, &files);
  assert_int_equal(session->gaps[0], 5);
  check_first(session, GG_SIDE_CLIENT, "01234");
  check_first(session, GG_SIDE_SERVER, "");
  assert_string_equal(session->history, "ShADGgdFaf");
  close_one(&opened);

  /* Without its beginning nothing is known of the first bytes. */
  snprintf(path, sizeof path, "%s/segments/0001.pcapng", files.dir);
  assert_int_equal(unlink(path), 0);
  session = open_one(&opened, &files);
  assert_true(session->beginning_missing);
  check_first(session, GG_SIDE_CLIENT, "");
  assert_string_equal(session->history, "DdgFafA"); /* the first ACK of the client that is left */
  assert_string_equal(session->conn_state, "SF");
  close_one(&opened);
  files_end(&files);
}

static void a_gap_in_front(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct opened opened;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_miss(&talk, GG_FROM_CLIENT, 4);
  talk_say(&files, &talk, GG_FROM_CLIENT, "late", 4);
  talk_say(&files, &talk, GG_FROM_SERVER, "abc", 3);
  talk_say(&files, &talk, GG_FROM_SERVER, "def", 3);
  files_write(&files);
  const struct gg_session *session = open_one(&opened, &files);
  check_first(session, GG_SIDE_CLIENT, "");
  check_first(session, GG_SIDE_SERVER, "abcdef");
  assert_string_equal(session->history, "ShADGd");
  close_one(&opened);
  files_end(&files);
}

/* The store is read again while it grows: what was known stays, and goes on. */
static void while_it_grows(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct opened opened;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "0123456789", 10);
  files_write(&files);
  const struct gg_session *session = open_one(&opened, &files);
  check_first(session, GG_SIDE_CLIENT, "0123456789");
  talk.more = all_facts;
  talk_say(&files, &talk, GG_FROM_CLIENT, "0123456789", 10);
  talk_close(&files, &talk);
  files_write(&files);
  for (int i = 0; i < 2; i++)
    assert_int_equal(gg_store_refresh(opened.store, NULL), 0);
  check_first(session, GG_SIDE_CLIENT, "0123456789012345");
  assert_string_equal(session->history, "ShADFaf");
  assert_int_equal(session->tag_count, 2);
  assert_string_equal(session->tags[1], "scanner");
  close_one(&opened);
  files_end(&files);
}

static int count_run(void *context, const struct gg__run *run)
{
  gg__part_take_run(context, 1, run);
  return 0;
}

/* Long packets of which only the beginning was read: the first bytes are known where they are in order, and what lies
 * behind is not touched, not even by packets that come early, late or twice. */
static void of_skimmed_packets(void **state)
{
  (void)state;
  static const struct {
    uint32_t first_length;
    int32_t second; /* where the second packet begins, from the end of the first */
    const char *first;
  } cases[] = {{4, 0, "abcdefghijklmnop"},    {4, 8, "abcd"}, {4, -30000, "abcd"}, {4, -4, "abcd"}, {4, 100, "abcd"},
               {20000, 0, "abcdefghijklmnop"}};
  enum { LONG = 31000 };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct files files;
    struct gg__part part = {.next_of_capture = NULL};
    struct gg__frames *frames = NULL;
    struct gg__frame frame;
    const uint32_t lengths[] = {cases[i].first_length, LONG};
    files_begin(&files);
    files_segment(&files, "0001.pcapng");
    struct gg_addr client, server;
    gg_addr_parse(&client, "192.0.2.1:4000");
    gg_addr_parse(&server, "203.0.113.5:80");
    for (unsigned n = 0; n < 2; n++) {
      struct gg_packet packet = {.from = &server,
                                 .to = &client,
                                 .flags = GG_TCP_ACK | GG_TCP_PSH,
                                 .outbound = true,
                                 .sequence = n ? 100000 + lengths[0] + (uint32_t)cases[i].second : 100000,
                                 .payload_bytes = lengths[n],
                                 .time_ns = files.time_ns};
      for (uint32_t at = 0; at < lengths[n]; at++)
        files.bytes[files.length + gg_packet_payload_offset(false) + at] = (uint8_t)('a' + (4 * n + at) % 26);
      files.length += gg_packet_write(files.bytes + files.length, &packet);
    }
    files_write(&files);
    assert_int_equal(gg__frames_open(&frames, files.segment, NULL), 0);
    assert_int_equal(gg__frames_skim(frames, true, NULL), 0);
    for (unsigned n = 0; gg__frames_next(frames, &frame, NULL) == 0; n++) {
      if (n == 0)
        gg__part_begin(&part, "x", &frame, NULL);
      else
        assert_true(frame.packet.held < frame.packet.captured);
      gg__part_note(&part, 1, &frame);
      assert_int_equal(gg__part_push(&part, 1, &frame, 0, true, count_run, &part), 0);
    }
    gg__stream_flush(&part.stream[1], count_run, &part);
    assert_int_equal(part.first_length[1], strlen(cases[i].first));
    assert_memory_equal(part.first[1], cases[i].first, strlen(cases[i].first));
    gg__part_fini(&part);
    gg__frames_close(frames);
    files_end(&files);
  }
}

static void hostile_facts(const void *session, struct gg_json *json)
{
  static const char *const tags[] = {"\033[2J", "", "with blank", "a,b", "z", "\xe2\x80\xae right to left", "a", "z"};
  static char longest[66], longer[80];
  (void)session;
  put_verdict(json, "\033]0;x\007", "re\nset");
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
    gg_json_string(json, tags[i]);
  memset(longest, 'l', 64);
  memset(longer, 'm', 65);
  gg_json_string(json, longest);
  gg_json_string(json, longer);
  gg_json_unsigned(json, 7);
  gg_json_array_end(json);
  gg_json_key(json, "masked");
  gg_json_object_begin(json);
  gg_json_field_string(json, "client", "many");
  gg_json_object_end(json);
}

static void hostile_tags(const void *session, struct gg_json *json)
{
  (void)session;
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  for (unsigned i = 0; i < 60; i++) {
    char tag[32];
    snprintf(tag, sizeof tag, "%02u-%016u", i, i);
    gg_json_string(json, tag);
  }
  gg_json_array_end(json);
}

/* Texts are safe to print, and bounded; what is no tag is left out. */
static void comments_are_not_trusted(void **state)
{
  (void)state;
  static const gg_facts_fn facts[] = {hostile_facts, hostile_tags};
  for (size_t i = 0; i < 2; i++) {
    struct files files;
    struct talk talk;
    struct opened opened;
    files_begin(&files);
    files_segment(&files, "0001.pcapng");
    talk_open(&files, &talk, 1, 4000);
    talk.more = facts[i];
    talk_close(&files, &talk);
    files_write(&files);
    const struct gg_session *session = open_one(&opened, &files);
    if (i == 0) {
      assert_string_equal(session->verdict, "re\\x0aset");
      assert_string_equal(session->verdict_by, "\\x1b]0;x\\x07");
      assert_int_equal(session->tag_count, 3);
      assert_string_equal(session->tags[0], "a");
      assert_int_equal(strlen(session->tags[1]), 64);
      assert_string_equal(session->tags[2], "z");
      assert_int_equal(session->masked[0], 0);
    } else {
      assert_int_equal(session->tag_count, 25); /* 512 bytes, each with a blank */
      assert_string_equal(session->tags[24], "24-0000000000000024");
    }
    close_one(&opened);
    files_end(&files);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(everything_at_once),
    cmocka_unit_test(what_is_not_known_is_empty),
    cmocka_unit_test(addresses_of_the_upstream),
    cmocka_unit_test(over_several_segments),
    cmocka_unit_test(a_gap_in_front),
    cmocka_unit_test(while_it_grows),
    cmocka_unit_test(of_skimmed_packets),
    cmocka_unit_test(comments_are_not_trusted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
