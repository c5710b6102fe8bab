/* SPDX-License-Identifier: Apache-2.0 */
/* A search tells what the sessions' own streams have, in order, whatever they are recorded in and however many threads
 * look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/pass.h"
#include "store_files.h"

#include <gogetway/store.h>

enum { MATCHES_MAX = 4096, TALKS = 12 };

struct match {
  char id[25];
  enum gg_side side;
  uint64_t offset, time_ns;
  size_t length, before, after;
  char text[64];
};

struct found {
  struct match matches[MATCHES_MAX];
  size_t count, sessions, problems, stop_at;
  uint64_t counts[2];
  uint64_t done, total;
};

static bool take_match(void *context, const struct gg_grep_match *match)
{
  struct found *found = context;
  struct match *kept = &found->matches[found->count % MATCHES_MAX];
  memset(kept, 0, sizeof *kept);
  memcpy(kept->id, match->session->id, 25);
  kept->side = match->side;
  kept->offset = match->offset;
  kept->time_ns = match->time_ns;
  kept->length = match->length;
  kept->before = match->before;
  kept->after = match->after;
  size_t all = match->before + match->length + match->after;
  memcpy(kept->text, match->data - match->before, all < sizeof kept->text ? all : sizeof kept->text - 1);
  return ++found->count != found->stop_at;
}

static bool take_session(void *context, const struct gg_grep_session *session)
{
  struct found *found = context;
  found->sessions++;
  found->problems += session->problem != NULL;
  found->counts[0] += session->matches[0];
  found->counts[1] += session->matches[1];
  return true;
}

static bool take_progress(void *context, uint64_t done, uint64_t total)
{
  struct found *found = context;
  assert_true(done >= found->done && done <= total);
  found->done = done;
  found->total = total;
  return true;
}

static struct gg_grep_options options_of(struct found *found)
{
  struct gg_grep_options options = GG_GREP_OPTIONS_INIT;
  options.match = take_match;
  options.session = take_session;
  options.progress = take_progress;
  options.context = found;
  return options;
}

static int grep(const char *dir, const char *text, const struct gg_grep_options *options, struct gg_grep_result *result)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_pattern *pattern = NULL;
  struct gg_pattern_options literal = GG_PATTERN_OPTIONS_INIT;
  literal.literal = true;
  assert_int_equal(gg_store_open(&store, dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_pattern_compile(&pattern, &literal, text, strlen(text), NULL), 0);
  int error = gg_store_grep(store, list, pattern, options, result, NULL);
  gg_pattern_destroy(pattern);
  gg_session_list_destroy(list);
  gg_store_close(store);
  return error;
}

/* ── One session ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_pieces(void **state)
{
  static struct found found;
  struct files files;
  struct talk talk;
  struct gg_grep_result result;
  (void)state;
  found = (struct found){0};
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "xxne", 4);
  talk_say(&files, &talk, GG_FROM_SERVER, "needle", 6);
  talk_say(&files, &talk, GG_FROM_CLIENT, "edle, nee", 9);
  files_write(&files);
  files_segment(&files, "0002.pcapng"); /* the session goes on there */
  talk_say(&files, &talk, GG_FROM_CLIENT, "dle nee", 7);
  talk_miss(&talk, GG_FROM_CLIENT, 2);
  talk_say(&files, &talk, GG_FROM_CLIENT, "dle needle", 10);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_grep_options options = options_of(&found);
  options.before = 3;
  options.after = 2;
  assert_int_equal(grep(files.dir, "needle", &options, &result), 0);
  assert_int_equal(found.count, 4);
  assert_int_equal(found.matches[0].side, GG_SIDE_CLIENT);
  assert_int_equal(found.matches[0].offset, 2);
  assert_string_equal(found.matches[0].text, "xxneedle, ");
  assert_int_equal(found.matches[1].side, GG_SIDE_SERVER); /* it began later */
  assert_true(found.matches[1].time_ns > found.matches[0].time_ns);
  assert_int_equal(found.matches[2].offset, 10);
  assert_string_equal(found.matches[2].text, "e, needle n");
  assert_int_equal(found.matches[3].offset, 26); /* the missing bytes are counted, and nothing was found across them */
  assert_string_equal(found.matches[3].text, "le needle");
  assert_int_equal(result.matches, 4);
  assert_int_equal(result.sessions, 1);
  assert_int_equal(result.sessions_found, 1);
  assert_int_equal(result.bytes, 4 + 6 + 9 + 7 + 10);
  assert_int_equal(found.counts[0], 3);
  assert_int_equal(found.counts[1], 1);

  found = (struct found){0};
  options.skip[GG_SIDE_CLIENT] = true;
  assert_int_equal(grep(files.dir, "needle", &options, &result), 0);
  assert_int_equal(found.count, 1);
  assert_int_equal(result.bytes, 6);
  options.skip[GG_SIDE_SERVER] = true;
  assert_int_equal(grep(files.dir, "needle", &options, &result), GG_ERR_INVALID);
  files_end(&files);
}

static void test_nothing(void **state)
{
  static struct found found;
  struct files files;
  struct talk talk;
  struct gg_grep_result result;
  (void)state;
  found = (struct found){0};
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000); /* a session without bytes */
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_grep_options options = options_of(&found);
  assert_int_equal(grep(files.dir, "a", &options, &result), 0);
  assert_int_equal(found.count, 0);
  assert_int_equal(found.sessions, 1);
  options.before = GG_GREP_CONTEXT_MAX + 1;
  assert_int_equal(grep(files.dir, "a", &options, &result), GG_ERR_RANGE);
  options.size = 4;
  assert_int_equal(grep(files.dir, "a", &options, &result), GG_ERR_INVALID);
  files_end(&files);
}

/* ── Many ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Interleaved ones in three segments; each byte that a session says follows from its number. */
static void write_many(struct files *files, size_t chunk, unsigned rounds)
{
  static struct talk talks[TALKS];
  static uint8_t data[1 << 16];
  for (unsigned round = 0; round < rounds; round++) {
    if (round % (rounds / 3) == 0 && round / (rounds / 3) < 3) {
      char name[32];
      if (round > 0)
        files_write(files);
      snprintf(name, sizeof name, "%04u.pcapng", round / (rounds / 3) + 1);
      files_segment(files, name);
    }
    for (unsigned i = 0; i < TALKS; i++) {
      if (round == 0)
        talk_open(files, &talks[i], i + 1, (uint16_t)(4000 + i));
      for (size_t at = 0; at < chunk; at++)
        data[at] = (uint8_t)("abcab"[(at * 6 + round * 3 + i) % 5]);
      talk_say(files, &talks[i], round % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, data, chunk);
      if (round + 1 == rounds)
        talk_close(files, &talks[i]);
    }
  }
  files_write(files);
}

static void test_order(void **state)
{
  static struct found one, two;
  struct files files;
  struct gg_grep_result result;
  (void)state;
  files_begin(&files);
  write_many(&files, 13, 9);
  one = two = (struct found){0};
  struct gg_grep_options options = options_of(&one);
  options.threads = 1;
  assert_int_equal(grep(files.dir, "abc", &options, &result), 0);
  options.context = &two;
  options.threads = 3;
  assert_int_equal(grep(files.dir, "abc", &options, &result), 0);
  assert_true(one.count > 50 && one.count < MATCHES_MAX);
  assert_int_equal(one.count, two.count);
  assert_memory_equal(one.matches, two.matches, sizeof one.matches);
  assert_int_equal(one.sessions, TALKS);
  assert_int_equal(two.done, two.total);
  for (size_t i = 1; i < one.count; i++) {
    const struct match *before = &one.matches[i - 1], *now = &one.matches[i];
    int order = strcmp(before->id, now->id);
    assert_true(order < 0 || (order == 0 && before->time_ns <= now->time_ns));
  }

  /* As many as are asked for, and the first ones. */
  two = (struct found){0};
  options.matches_max = 3;
  assert_int_equal(grep(files.dir, "abc", &options, &result), 0);
  assert_int_equal(two.count, (size_t)3 * TALKS);
  for (size_t i = 0, at = 0; i < TALKS; i++) {
    while (strcmp(one.matches[at].id, two.matches[3 * i].id) != 0)
      at++;
    assert_memory_equal(&one.matches[at], &two.matches[3 * i], 3 * sizeof one.matches[0]);
  }
  two = (struct found){0};
  options.match = NULL; /* counted only */
  assert_int_equal(grep(files.dir, "abc", &options, &result), 0);
  assert_int_equal(result.matches, 3 * TALKS);
  options.matches_max = 0;
  assert_int_equal(grep(files.dir, "abc", &options, &result), 0);
  assert_int_equal(result.matches, one.count);

  /* Who has enough is not told more. */
  two = (struct found){.stop_at = 5};
  options.match = take_match;
  assert_int_equal(grep(files.dir, "abc", &options, &result), GG_ERR_CLOSED);
  assert_int_equal(two.count, 5);
  files_end(&files);
}

/* More hits than are kept: sessions are searched again, some by themselves. */
static void test_crowd(void **state)
{
  static struct found found;
  struct files files;
  struct gg_grep_result result;
  char last[25] = "";
  (void)state;
  found = (struct found){0};
  files_begin(&files);
  write_many(&files, 60000, 9);
  struct gg_grep_options options = options_of(&found);
  options.before = options.after = 24;
  assert_int_equal(grep(files.dir, "a", &options, &result), 0);
  assert_int_equal(found.count, (size_t)TALKS * 9 * 60000 / 5 * 2);
  assert_true(found.count * 64 > 3 * (size_t)GG_PASS_HITS_BYTES);
  assert_int_equal(result.sessions, TALKS);
  for (size_t i = 0; i < MATCHES_MAX; i++) { /* the last ones, in order */
    const struct match *now = &found.matches[(found.count + i) % MATCHES_MAX];
    assert_true(strcmp(last, now->id) <= 0);
    memcpy(last, now->id, sizeof last);
  }
  options.threads = 1;
  options.before = options.after = 2000; /* one session alone has too many */
  found = (struct found){.stop_at = 300000};
  assert_int_equal(grep(files.dir, "a", &options, &result), GG_ERR_CLOSED);
  assert_int_equal(found.count, 300000);
  files_end(&files);
}

/* ── Trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A segment that has gone since the store was read is told of its sessions; the others are searched. */
static void test_gone(void **state)
{
  static struct found found;
  struct files files;
  struct talk talk[2];
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_pattern *pattern = NULL;
  struct gg_grep_result result;
  (void)state;
  found = (struct found){0};
  files_begin(&files);
  for (unsigned i = 0; i < 2; i++) {
    files_segment(&files, i ? "0002.pcapng" : "0001.pcapng");
    talk_open(&files, &talk[i], i + 1, (uint16_t)(4000 + i));
    talk_say(&files, &talk[i], GG_FROM_CLIENT, "needle", 6);
    talk_close(&files, &talk[i]);
    files_write(&files);
  }
  struct gg_pattern_options literal = GG_PATTERN_OPTIONS_INIT;
  literal.literal = true;
  assert_int_equal(gg_store_open(&store, files.dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_pattern_compile(&pattern, &literal, "needle", 6, NULL), 0);
  files_segment(&files, "0001.pcapng");
  assert_int_equal(unlink(files.segment), 0);
  struct gg_grep_options options = options_of(&found);
  assert_int_equal(gg_store_grep(store, list, pattern, &options, &result, NULL), 0);
  assert_int_equal(found.count, 1);
  assert_string_equal(found.matches[0].id, talk[1].id);
  assert_int_equal(found.problems, 1);
  assert_int_equal(result.failed, 1);
  gg_pattern_destroy(pattern);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

static void test_json(void **state)
{
  static char text[GG_GREP_JSON_MAX];
  static uint8_t worst[GG_GREP_MATCH_MAX + 2 * GG_GREP_CONTEXT_MAX];
  struct gg_session session = {.id = "018c00000000000000000001"};
  struct gg_grep_match match = {.session = &session,
                                .side = GG_SIDE_SERVER,
                                .offset = 7,
                                .data = (const uint8_t *)"<hi\x1b>" + 1,
                                .length = 3,
                                .before = 1,
                                .after = 1};
  (void)state;
  assert_true(gg_grep_match_json(&match, text, sizeof text) > 0);
  assert_string_equal(text, "{\"session\":\"018c00000000000000000001\",\"from\":\"server\",\"offset\":7,"
                            "\"time\":\"1970-01-01T00:00:00.000000000Z\",\"length\":3,\"data\":\"aGkb\","
                            "\"text\":\"hi\\u001b\",\"before\":\"PA==\",\"after\":\"Pg==\"}");
  memset(worst, 0x1b, sizeof worst);
  match.data = worst + GG_GREP_CONTEXT_MAX;
  match.length = GG_GREP_MATCH_MAX;
  match.before = match.after = GG_GREP_CONTEXT_MAX;
  assert_true(gg_grep_match_json(&match, text, sizeof text) > 0);
  assert_int_equal(gg_grep_match_json(&match, text, 1000), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pieces), cmocka_unit_test(test_nothing), cmocka_unit_test(test_order),
    cmocka_unit_test(test_crowd),  cmocka_unit_test(test_gone),    cmocka_unit_test(test_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
