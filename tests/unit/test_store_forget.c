/* SPDX-License-Identifier: Apache-2.0 */
/* What was said of sessions that are gone is forgotten: no sooner, whoever is killed, and whatever the journal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/catalogue.h"
#include "store/indexer.h"
#include "store/marks.h"
#include "store/tag_rules.h"
#include "store_files.h"

#include <gogetway/store.h>

enum { SEGMENTS = 3, EACH = 4 };

static uint64_t clock_ns = UINT64_C(1000000000);

/* Each look at the clock is a second later: nothing waits for it. */
uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void)
{
  return clock_ns += GG_NS_PER_S;
}

/* A commit that fails is a kill in front of it. */
static bool killed;
int __real_gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure);
int __wrap_gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure);
int __wrap_gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  if (!killed)
    return __real_gg__catalogue_commit(catalogue, failure);
  gg__catalogue_abandon(catalogue);
  return gg_fail(failure, GG_ERR_IO, "killed");
}

struct fixture {
  struct files files;
  struct gg__catalogue *catalogue;
  struct gg__indexer *indexer;
  struct gg__tag_rules *rules;
  size_t marks_max, told_full;
  bool forgets;
};

static void name_of(unsigned segment, char name[64])
{
  snprintf(name, 64, "20240101T00000%u.000Z-w0-block-%06u.pcapng", segment, segment);
}

static void path_of(const struct fixture *fixture, const char *name, char path[256])
{
  snprintf(path, 256, "%s/segments/%s", fixture->files.dir, name);
}

/* Session `number` ends, unless it is 0 modulo 4: those go on. */
static void add_segment(struct fixture *fixture, unsigned segment)
{
  char name[64];
  struct files *files = &fixture->files;
  name_of(segment, name);
  files_segment(files, name);
  for (unsigned i = 1; i <= EACH; i++) {
    struct talk talk;
    unsigned number = segment * 10 + i;
    talk_open(files, &talk, number, (uint16_t)(4000 + number));
    talk_say(files, &talk, GG_FROM_CLIENT, "hello there", 11);
    if (i < EACH)
      talk_close(files, &talk);
  }
  files_write(files);
}

static void remove_segment(const struct fixture *fixture, unsigned segment)
{
  char name[64], path[256];
  name_of(segment, name);
  path_of(fixture, name, path);
  assert_int_equal(unlink(path), 0);
}

static void id_of(unsigned number, char id[25])
{
  struct files files = {.bytes = calloc(1, FILES_BYTES_MAX), .number = 1};
  struct talk talk;
  talk_open(&files, &talk, number, 4000);
  memcpy(id, talk.id, 25);
  free(files.bytes);
}

/* ── An indexer ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void note_full(void *context, const char *text)
{
  struct fixture *fixture = context;
  assert_non_null(strstr(text, "prune"));
  fixture->told_full++;
}

static void start(struct fixture *fixture)
{
  char path[256];
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__indexer_options options = {.store = fixture->files.dir,
                                              .context = fixture,
                                              .forgets = fixture->forgets,
                                              .marks_max = fixture->marks_max,
                                              .full = note_full};
  snprintf(path, sizeof path, "%s/catalogue.db", fixture->files.dir);
  if (gg__catalogue_open(&fixture->catalogue, path, GG__CATALOGUE_WRITE, &failure) != 0 ||
      gg__indexer_create(&fixture->indexer, fixture->catalogue, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  gg__indexer_rules(fixture->indexer, fixture->rules);
}

static void stop(struct fixture *fixture)
{
  gg__indexer_destroy(fixture->indexer);
  gg__catalogue_close(fixture->catalogue);
  fixture->indexer = NULL;
  fixture->catalogue = NULL;
}

static int step(struct fixture *fixture)
{
  bool more = true;
  int error = 0;
  while (!error && more)
    error = gg__indexer_step(fixture->indexer, 0, &more, NULL);
  return error;
}

static int begin(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  const struct gg__tag_rule rule = {.tag = "closed", .filter = "bytes=1.."};
  if (!fixture || gg__tag_rules_create(&fixture->rules, &rule, 1, NULL) != 0)
    return -1;
  *state = fixture;
  fixture->forgets = true;
  files_begin(&fixture->files);
  for (unsigned i = 1; i <= SEGMENTS; i++)
    add_segment(fixture, i);
  start(fixture);
  return step(fixture);
}

static int end(void **state)
{
  struct fixture *fixture = *state;
  char path[128];
  killed = false;
  stop(fixture);
  gg__tag_rules_unref(fixture->rules);
  snprintf(path, sizeof path, "%s/journal", fixture->files.dir);
  files_remove_in(path);
  files_end(&fixture->files);
  free(fixture);
  return 0;
}

/* ── What is said ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* By somebody else. */
static struct gg__marks *people(const struct fixture *fixture)
{
  struct gg__marks *marks;
  assert_int_equal(gg__marks_open(&marks, fixture->files.dir, NULL), 0);
  return marks;
}

static void hold(const struct fixture *fixture, unsigned number, bool held)
{
  char id[25];
  const char *ids[] = {id};
  struct gg__marks *marks = people(fixture);
  id_of(number, id);
  assert_int_equal(gg__marks_hold(marks, ids, 1, held, NULL), 0);
  gg__marks_close(marks);
}

static void tag(const struct fixture *fixture, unsigned number)
{
  char id[25];
  const char *ids[] = {id}, *tags[] = {"mine"};
  struct gg__marks *marks = people(fixture);
  id_of(number, id);
  assert_int_equal(gg__marks_tag(marks, ids, 1, tags, 1, NULL, 0, NULL), 0);
  gg__marks_close(marks);
}

static bool says(const struct fixture *fixture, unsigned number)
{
  char id[25];
  struct gg__marks *marks = people(fixture);
  id_of(number, id);
  bool said = gg__marks_find(marks, id) != NULL;
  gg__marks_close(marks);
  return said;
}

static size_t count(const struct fixture *fixture)
{
  struct gg__marks *marks = people(fixture);
  size_t said = gg__marks_count(marks);
  gg__marks_close(marks);
  return said;
}

/* The catalogue's copy says the same. */
static int count_mark(void *context, const char *id, bool held, const char *added, const char *removed)
{
  (void)id, (void)held, (void)added, (void)removed;
  ++*(size_t *)context;
  return 0;
}

static void assert_count(const struct fixture *fixture, size_t expected)
{
  size_t copied = 0;
  assert_int_equal(count(fixture), expected);
  assert_int_equal(gg__catalogue_marks(fixture->catalogue, count_mark, &copied, NULL), 0);
  assert_int_equal(copied, expected);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void what_is_gone_is_forgotten(void **state)
{
  struct fixture *fixture = *state;
  assert_count(fixture, SEGMENTS * (EACH - 1));
  tag(fixture, 14);
  hold(fixture, 12, true);
  assert_int_equal(step(fixture), 0);
  remove_segment(fixture, 1);
  assert_int_equal(step(fixture), 0);
  assert_false(says(fixture, 11));
  assert_true(says(fixture, 12)); /* held */
  assert_true(says(fixture, 14)); /* without an end: for the next one to find */
  assert_true(says(fixture, 21));
  assert_count(fixture, 2 * (EACH - 1) + 2);
  stop(fixture);
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_true(says(fixture, 12));
  assert_false(says(fixture, 14));
  hold(fixture, 12, false);
  stop(fixture);
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_count(fixture, 2 * (EACH - 1));
}

static void killed_in_between(void **state)
{
  struct fixture *fixture = *state;
  remove_segment(fixture, 1);
  killed = true;
  assert_int_not_equal(step(fixture), 0);
  assert_int_equal(count(fixture), 2 * (EACH - 1)); /* the journal is first ... */
  stop(fixture);
  killed = false;
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_count(fixture, 2 * (EACH - 1)); /* ... and nobody else has lost anything */
}

/* A session that goes on elsewhere, and one that retention has kept, are there. */
static void what_is_elsewhere_stays(void **state)
{
  struct fixture *fixture = *state;
  char from[256], to[256], name[64];
  name_of(1, name);
  path_of(fixture, name, from);
  path_of(fixture, "20240101T000001.000Z-w0-block-000001.kept1.pcapng", to);
  tag(fixture, 12);
  assert_int_equal(rename(from, to), 0);
  assert_int_equal(step(fixture), 0);
  assert_count(fixture, SEGMENTS * (EACH - 1));
  assert_int_equal(unlink(to), 0);
  assert_int_equal(step(fixture), 0);
  assert_count(fixture, 2 * (EACH - 1));
}

static void a_sweep_finds_what_is_left_over(void **state)
{
  struct fixture *fixture = *state;
  tag(fixture, 77); /* of a session that was never here, or is gone */
  hold(fixture, 78, true);
  assert_int_equal(step(fixture), 0);
  assert_true(says(fixture, 77)); /* not swept again by the same one */
  stop(fixture);
  fixture->forgets = false;
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_true(says(fixture, 77)); /* nor by who only compares */
  stop(fixture);
  fixture->forgets = true;
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_false(says(fixture, 77));
  assert_true(says(fixture, 78));
  assert_count(fixture, SEGMENTS * (EACH - 1) + 1);
}

static void a_disk_that_is_not_there(void **state)
{
  struct fixture *fixture = *state;
  for (unsigned i = 1; i <= SEGMENTS; i++)
    remove_segment(fixture, i);
  add_segment(fixture, 9);
  stop(fixture);
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_int_equal(step(fixture), 0);
  assert_count(fixture, (SEGMENTS + 1) * (EACH - 1));
}

/* The rest of a segment may have the session. */
static void damaged_segments(void **state)
{
  struct fixture *fixture = *state;
  add_segment(fixture, 4);
  memset(fixture->files.bytes + fixture->files.length / 2 / 4 * 4, 0xff, 64);
  files_write(&fixture->files);
  assert_int_equal(step(fixture), 0);
  tag(fixture, 77);
  stop(fixture);
  start(fixture);
  assert_int_equal(step(fixture), 0);
  assert_true(says(fixture, 77));
}

/* The journal has as many as it may: sessions are in the catalogue all the same, and room comes when others go. */
static void a_full_journal(void **state)
{
  struct fixture *fixture = *state;
  bool known;
  struct gg__record *record = NULL;
  char id[25];
  stop(fixture);
  fixture->marks_max = SEGMENTS * (EACH - 1);
  start(fixture);
  add_segment(fixture, 4);
  assert_int_equal(step(fixture), 0);
  assert_int_equal(fixture->told_full, 1);
  id_of(41, id);
  assert_int_equal(gg__catalogue_get(fixture->catalogue, id, &record, NULL), 0);
  assert_non_null(record);
  gg__record_free(record);
  assert_int_equal(gg__catalogue_knows_mark(fixture->catalogue, id, &known, NULL), 0);
  assert_false(known);
  remove_segment(fixture, 1);
  add_segment(fixture, 5);
  assert_int_equal(step(fixture), 0);
  assert_true(says(fixture, 51));
  assert_count(fixture, SEGMENTS * (EACH - 1));
  assert_int_equal(fixture->told_full, 1);
}

/* ── A store that is open ────────────────────────────────────────────────────────────────────────────────────────── */

enum { MANY = 1100 };

static void record_many(struct fixture *fixture, unsigned segment, unsigned first, unsigned sessions)
{
  char name[64];
  name_of(segment, name);
  files_segment(&fixture->files, name);
  for (unsigned i = 0; i < sessions; i++) {
    struct talk talk;
    talk_open(&fixture->files, &talk, first + i, (uint16_t)(1000 + i));
    talk_say(&fixture->files, &talk, GG_FROM_CLIENT, "hello there", 11);
    talk_close(&fixture->files, &talk);
  }
  files_write(&fixture->files);
}

static void tag_all(struct gg_store *store, const char *tag)
{
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_store_tag(store, list, &tag, 1, NULL, 0, NULL), 0);
  gg_session_list_destroy(list);
}

/* Nobody keeps a list of what is gone: who tags looks, now and then. */
static void without_a_catalogue(void **state)
{
  struct fixture *fixture = *state;
  char path[256];
  struct gg_store *store;
  stop(fixture);
  snprintf(path, sizeof path, "%s/catalogue.db", fixture->files.dir);
  assert_int_equal(unlink(path), 0);
  record_many(fixture, 7, 1000, MANY);
  assert_int_equal(gg_store_open(&store, fixture->files.dir, NULL, NULL), 0);
  tag_all(store, "x");
  size_t others = SEGMENTS * EACH;
  assert_int_equal(count(fixture), MANY + others);
  hold(fixture, 1001, true);
  remove_segment(fixture, 7);
  tag_all(store, "y");
  gg_store_close(store);
  assert_int_equal(gg_store_open(&store, fixture->files.dir, NULL, NULL), 0);
  tag_all(store, "z");
  assert_int_equal(count(fixture), others + 1);
  assert_true(says(fixture, 1001));
  gg_store_close(store);
  start(fixture);
}

/* What is said of very many while nobody indexes need not be put together by every query. */
static void the_catalogue_hears_of_many(void **state)
{
  struct fixture *fixture = *state;
  struct gg_store *store;
  record_many(fixture, 7, 1000, MANY);
  assert_int_equal(step(fixture), 0);
  stop(fixture);
  hold(fixture, 1001, true);
  assert_int_equal(gg_store_open(&store, fixture->files.dir, NULL, NULL), 0);
  tag_all(store, "x");
  gg_store_close(store);
  char path[256];
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(path, sizeof path, "%s/catalogue.db", fixture->files.dir);
  assert_int_equal(gg__catalogue_open(&fixture->catalogue, path, GG__CATALOGUE_READ, &failure), 0);
  assert_count(fixture, MANY + SEGMENTS * EACH);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(what_is_gone_is_forgotten, begin, end),
    cmocka_unit_test_setup_teardown(killed_in_between, begin, end),
    cmocka_unit_test_setup_teardown(what_is_elsewhere_stays, begin, end),
    cmocka_unit_test_setup_teardown(a_sweep_finds_what_is_left_over, begin, end),
    cmocka_unit_test_setup_teardown(a_disk_that_is_not_there, begin, end),
    cmocka_unit_test_setup_teardown(damaged_segments, begin, end),
    cmocka_unit_test_setup_teardown(a_full_journal, begin, end),
    cmocka_unit_test_setup_teardown(without_a_catalogue, begin, end),
    cmocka_unit_test_setup_teardown(the_catalogue_hears_of_many, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
