/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways of a limited query (catalogue_query.c) find the same sessions, and each is taken where it is the better
 * one: a tag that many have is asked of the first sessions in order, one that few have is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "catalogue_files.h"
#include "store/filter_ast.h"
#include "store/filter_sql.h"

#include <sqlite3.h>

enum { SESSIONS = 2000, FEW = 5, MANY = 700, NOW = 1700000100 };

/* ── Time, and what is asked of the database ─────────────────────────────────────────────────────────────────────── */

enum way { BY_CONDITION, BY_ORDER };
static enum way last;
static unsigned asked[2];

int __real_sqlite3_prepare_v3(sqlite3 *db, const char *text, int bytes, unsigned flags, sqlite3_stmt **statement,
                              const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *text, int bytes, unsigned flags, sqlite3_stmt **statement,
                              const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *text, int bytes, unsigned flags, sqlite3_stmt **statement,
                              const char **tail)
{
  if (flags == 0 && strncmp(text, "SELECT number, ", strlen("SELECT number, ")) == 0) {
    last = strstr(text, " INDEXED BY ") ? BY_ORDER : BY_CONDITION;
    asked[last]++;
  }
  return __real_sqlite3_prepare_v3(db, text, bytes, flags, statement, tail);
}

/* A second at each look, of which there is one for each thousand steps of the database: whoever needs fewer is never
 * late, and of two who need more the one that needs less is done first. */
static enum { STANDS, FLIES, FLIES_BY_ORDER } clock_mode;
static uint64_t clock_ns = GG_NS_PER_S;

uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void)
{
  bool flies = clock_mode == FLIES || (clock_mode == FLIES_BY_ORDER && last == BY_ORDER);
  return clock_ns += flies ? GG_NS_PER_S : 0;
}

/* ── A store ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct files files;
static struct gg__catalogue *catalogue;
static struct found all;

static uint32_t state = 5;
static uint32_t draw(uint32_t below)
{
  state = state * 1664525u + 1013904223u;
  return (state >> 8) % below;
}

/* Half of them is common, ten are rare, the first half is old; so is noise here and there. */
static void tag(const char *id, unsigned index)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const char *tags[4];
  size_t count = 0;
  if (draw(2))
    tags[count++] = "common";
  if (draw(4) == 0)
    tags[count++] = "noise";
  if (index < SESSIONS / 2)
    tags[count++] = "old";
  if (index % (SESSIONS / 10) == 7)
    tags[count++] = "rare";
  assert_int_equal(gg__catalogue_mark(catalogue, id, tags, count, draw(9) == 0, &failure), 0);
}

static int set_up(void **unused)
{
  (void)unused;
  static const uint8_t data[1200];
  static struct talk talk;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 0; i < SESSIONS; i++) {
    talk_open(&files, &talk, i + 1, (uint16_t)(4000 + i));
    talk_say(&files, &talk, draw(2) ? GG_FROM_CLIENT : GG_FROM_SERVER, data, 1 + draw(sizeof data));
    if (draw(30))
      talk_close(&files, &talk);
  }
  files_write(&files);
  struct gg_store *store = scanned(files.dir, &list);
  assert_int_equal(gg_session_list_count(list), SESSIONS);
  catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_all(catalogue, store, list);
  assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
  for (unsigned i = 0; i < SESSIONS; i++)
    tag(gg_session_list_at(list, i)->id, i);
  assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
  gg_session_list_destroy(list);
  gg_store_close(store);
  find(catalogue, NULL, NULL, 0, &all);
  assert_int_equal(all.count, SESSIONS);
  return 0;
}

static int tear_down(void **unused)
{
  (void)unused;
  found_free(&all);
  gg__catalogue_close(catalogue);
  files_end(&files);
  return 0;
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_filter *parsed(const char *expression)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_filter_parse_text(&filter, expression, NOW * GG_NS_PER_S, &failure) != 0)
    fail_msg("%s: %s", expression, failure.message);
  return filter;
}

static int by_sort(const void *a, const void *b, void *sort)
{
  const struct gg__record *const *left = a, *const *right = b;
  return gg__filter_sort_compare(sort, &(*left)->session, &(*right)->session);
}

/* Those that match, by looking at all. */
static size_t choose(const struct gg_filter *filter, const char *sort, uint64_t limit, struct gg__record **chosen)
{
  size_t count = 0;
  char order[32];
  for (size_t i = 0; i < all.count; i++)
    if (gg__filter_judge(filter, &all.records[i]->session, NULL) == GG__YES)
      chosen[count++] = all.records[i];
  snprintf(order, sizeof order, "%s", sort);
  qsort_r(chosen, count, sizeof(struct gg__record *), by_sort, order);
  return limit && limit < count ? (size_t)limit : count;
}

/* Returns by which way it was found. */
static enum way check(const char *expression, const char *sort, uint64_t limit)
{
  static struct gg__record *chosen[SESSIONS];
  static struct found found;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = parsed(expression);
  size_t count = choose(filter, sort, limit, chosen);
  asked[BY_ORDER] = asked[BY_CONDITION] = 0;
  found.count = 0;
  if (gg__catalogue_query(catalogue, filter, sort, limit, keep_found, &found, &failure) != 0)
    fail_msg("%s: %s", expression, failure.message);
  if (found.count != count)
    fail_msg("'%s' by %s, %llu: %zu, not %zu", expression, sort, (unsigned long long)limit, found.count, count);
  for (size_t i = 0; i < count; i++)
    if (strcmp(found.records[i]->session.id, chosen[i]->session.id) != 0)
      fail_msg("'%s' by %s, %llu: %s at %zu, not %s", expression, sort, (unsigned long long)limit,
               found.records[i]->session.id, i, chosen[i]->session.id);
  found_free(&found);
  gg_filter_destroy(filter);
  return last;
}

static const char *const expressions[] = {
  "tag = common",
  "tag = rare",
  "tag = old",
  "tag = nobody",
  "tag = common and tag != noise",
  "tag = rare and not tag = common",
  "tag = old and tag in (common, rare)",
  "tag = c*",
  "tag = *mm*",
  "tag != common",
  "tag = rare or tag = noise and held",
  "tag = common and bytes > 600",
  "tag = common and client = 192.0.2.0/28 and state = closed",
  "not (tag = common or tag = old)",
};
enum { EXPRESSIONS = sizeof expressions / sizeof expressions[0] };

static void both_ways_find_the_same(void **unused)
{
  (void)unused;
  static const char *const sorts[] = {"start", "-start", "bytes", "-bytes", "-duration", "end", "-id", "gaps"};
  unsigned ways[2] = {0};
  for (size_t e = 0; e < EXPRESSIONS; e++)
    for (size_t s = 0; s < sizeof sorts / sizeof sorts[0]; s++)
      for (unsigned limit = FEW; limit <= MANY; limit += MANY - FEW) {
        clock_mode = STANDS; /* the way that is tried first has all the time that there is */
        assert_int_equal(check(expressions[e], sorts[s], limit), BY_ORDER);
        assert_int_equal(asked[BY_CONDITION], 0);
        clock_mode = FLIES_BY_ORDER; /* the other one has */
        ways[check(expressions[e], sorts[s], limit)]++;
        clock_mode = FLIES;
        check(expressions[e], sorts[s], limit);
      }
  assert_true(ways[BY_CONDITION] > EXPRESSIONS * sizeof sorts / sizeof sorts[0] && ways[BY_ORDER] > 0);
}

/* By another order, and without a limit: by the condition alone. */
static void what_has_no_order_is_found_too(void **unused)
{
  (void)unused;
  clock_mode = STANDS;
  for (size_t e = 0; e < EXPRESSIONS; e++) {
    assert_int_equal(check(expressions[e], "-segments", FEW), BY_CONDITION);
    assert_int_equal(check(expressions[e], "-start", 0), BY_CONDITION);
  }
}

static void the_better_way_is_taken(void **unused)
{
  (void)unused;
  static const char *const common[] = {"tag = common", "tag = common and tag != noise", "tag = c*", "tag = old"};
  static const char *const rare[] = {"tag = rare", "tag = rare and tag != noise", "tag = r*", "tag = nobody"};
  clock_mode = FLIES;
  for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
      const char *order = by_bytes ? "-bytes" : strcmp(common[i], "tag = old") == 0 ? "start" : "-start";
      assert_int_equal(check(common[i], order, FEW), BY_ORDER);
      assert_true(asked[BY_ORDER] == 1 && asked[BY_CONDITION] == 0); /* at once */
      assert_int_equal(check(rare[i], order, FEW), BY_CONDITION);
      assert_true(asked[BY_ORDER] == 1 && asked[BY_CONDITION] == 1);
    }
}

/* Those that have changed come by their revision, and are judged. */
static void what_has_changed_is_judged(void **unused)
{
  (void)unused;
  static struct gg__record *chosen[SESSIONS];
  static struct found found;
  for (size_t e = 0; e < EXPRESSIONS; e++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct gg_filter *filter = parsed(expressions[e]);
    found.count = 0;
    assert_int_equal(gg__catalogue_changed(catalogue, filter, 0, keep_found, &found, &failure), 0);
    assert_int_equal(found.count, choose(filter, "start", 0, chosen));
    found_free(&found);
    gg_filter_destroy(filter);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(both_ways_find_the_same),
    cmocka_unit_test(what_has_no_order_is_found_too),
    cmocka_unit_test(the_better_way_is_taken),
    cmocka_unit_test(what_has_changed_is_judged),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
