/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that listed sessions before their segments went: what was held they read where it was kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retention_scene.h"

struct listing {
  struct gg_store *store;
  struct gg_session_list *list;
  uint64_t matches[4]; /* of sessions 1, 11, 12, 13 */
  bool problem[4], lost[4];
};

static unsigned index_of(const struct gg_session *session)
{
  static const char *const ids[] = {"018c00000000000000000001", "018c0000000000000000000b", "018c0000000000000000000c",
                                    "018c0000000000000000000d"};
  unsigned at = 0;
  while (strcmp(ids[at], session->id) != 0)
    assert_true(++at < 4);
  return at;
}

static void list_all(const struct scene *scene, struct listing *listing)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  *listing = (struct listing){0};
  if (gg_store_open(&listing->store, scene->files.dir, NULL, &failure) != 0 ||
      gg_store_query(listing->store, NULL, &listing->list, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg_session_list_count(listing->list), 4);
}

static void forget_all(struct listing *listing)
{
  gg_session_list_destroy(listing->list);
  gg_store_close(listing->store);
}

static bool count_matches(void *context, const struct gg_grep_session *session)
{
  struct listing *listing = context;
  unsigned at = index_of(session->session);
  listing->matches[at] += session->matches[0] + session->matches[1];
  listing->problem[at] = session->problem != NULL;
  assert_true(!session->problem || strstr(session->problem, "has gone since the store was read"));
  return true;
}

/* For what is in the first segment alone, and in the last. */
static void search(struct listing *listing)
{
  static const char *const texts[] = {"bb", "dd"};
  struct gg_pattern_options how = GG_PATTERN_OPTIONS_INIT;
  struct gg_grep_options options = GG_GREP_OPTIONS_INIT;
  struct gg_pattern *pattern = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  how.literal = true;
  options.session = count_matches;
  options.context = listing;
  memset(listing->matches, 0, sizeof listing->matches);
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    assert_int_equal(gg_pattern_compile(&pattern, &how, texts[i], 2, &failure), 0);
    if (gg_store_grep(listing->store, listing->list, pattern, &options, NULL, &failure) != 0)
      fail_msg("%s", failure.message);
    gg_pattern_destroy(pattern);
  }
}

static void note_lost(void *context, const struct gg_session *session)
{
  struct listing *listing = context;
  unsigned at = index_of(session);
  assert_false(listing->lost[at]);
  listing->lost[at] = true;
}

/* Returns what gg_store_export does; what it makes is removed. */
static int export(struct listing *listing, const struct scene *scene, enum gg_export_format format, bool tells,
                  struct gg_export_result *result)
{
  struct gg_export_options options = GG_EXPORT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  char path[128];
  snprintf(path, sizeof path, "%s/out", scene->files.dir);
  options.path = path;
  options.format = format;
  options.lost = tells ? note_lost : NULL;
  options.lost_context = listing;
  memset(listing->lost, 0, sizeof listing->lost);
  int error = gg_store_export(listing->store, listing->list, &options, result, &failure);
  if (format == GG_EXPORT_RAW)
    files_remove_in(path);
  else
    unlink(path);
  assert_true(!error || strstr(failure.message, "has gone since the store was read"));
  return error;
}

/* `wanted`: of 1, 11, 12, 13 those that are there whole. */
static void check_old_listing(struct listing *listing, const struct scene *scene, const bool wanted[4])
{
  struct listing before = *listing;
  struct gg_export_result whole, now;
  search(listing);
  for (unsigned i = 0; i < 4; i++) {
    assert_true(listing->problem[i] == !wanted[i]);
    if (wanted[i])
      assert_int_equal(listing->matches[i], before.matches[i]);
  }
  for (int raw = 0; raw < 2; raw++) {
    assert_int_equal(export(listing, scene, raw ? GG_EXPORT_RAW : GG_EXPORT_PCAPNG, false, &whole), GG_ERR_NOT_FOUND);
    assert_int_equal(export(listing, scene, raw ? GG_EXPORT_RAW : GG_EXPORT_PCAPNG, true, &now), 0);
    for (unsigned i = 0; i < 4; i++)
      assert_true(listing->lost[i] == !wanted[i]);
  }
}

static uint64_t hash_listed(struct listing *listing, unsigned at)
{
  uint64_t hash = 0;
  struct gg_failure failure = GG_FAILURE_INIT;
  for (size_t i = 0; i < 4; i++) {
    const struct gg_session *session = gg_session_list_at(listing->list, i);
    struct gg_reader *reader = NULL;
    struct gg_chunk chunk;
    if (index_of(session) != at)
      continue;
    assert_int_equal(gg_reader_open(&reader, listing->store, session, &failure), 0);
    int result;
    while ((result = gg_reader_next(reader, &chunk, &failure)) == 1)
      for (size_t byte = 0; byte <= chunk.length; byte++)
        hash = (hash ^ (byte < chunk.length ? chunk.data[byte] : chunk.offset)) * 1099511628211u;
    gg_reader_close(reader);
    if (result < 0)
      assert_int_equal(result, GG_ERR_NOT_FOUND);
    hash = result < 0 ? 0 : hash;
  }
  return hash;
}

static void test_listed_before(void **state)
{
  struct scene *scene = *state;
  static const bool two[4] = {true, true, false, false}, one[4] = {true, false, false, false};
  struct gg_export_result whole, now;
  struct listing listing;
  list_all(scene, &listing);
  search(&listing);
  assert_true(listing.matches[0] > 0 && listing.matches[1] > 0);
  uint64_t hash = hash_listed(&listing, 0), own = hash_listed(&listing, 1);
  assert_int_equal(export(&listing, scene, GG_EXPORT_RAW, false, &whole), 0);
  hold(scene, 1, true);
  hold(scene, 11, true);
  prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  check_old_listing(&listing, scene, two);
  assert_true(hash_listed(&listing, 0) == hash && hash_listed(&listing, 1) == own && hash_listed(&listing, 2) == 0);
  /* And once more: a second generation takes the place of the first. */
  hold(scene, 11, false);
  prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  check_old_listing(&listing, scene, one);
  assert_true(hash_listed(&listing, 0) == hash && hash_listed(&listing, 1) == 0);
  assert_int_equal(export(&listing, scene, GG_EXPORT_RAW, true, &now), 0);
  assert_int_equal(now.sessions, 1);
  assert_true(now.bytes > 0 && now.bytes < whole.bytes);
  hold(scene, 1, false);
  prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(hash_listed(&listing, 0), 0);
  forget_all(&listing);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_listed_before, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
