/* SPDX-License-Identifier: Apache-2.0 */
/* Who looks again and again is told what has changed, all of it, and it costs what has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalogue_files.h"
#include "store/index_private.h"
#include "store/indexer.h"

#include <sqlite3.h>

enum { TALKS = 12, MANY = 800 };

static uint32_t state = 5;
static uint32_t draw(uint32_t below)
{
  state = state * 1664525u + 1013904223u;
  return (state >> 8) % below;
}

static struct gg_store *open_store(const char *dir)
{
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  return store;
}

static struct gg_session_list *changed(struct gg_store *store, const struct gg_filter *filter, uint64_t since)
{
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_session_list *list = NULL;
  options.filter = filter;
  options.changed_since = since;
  if (gg_store_select(store, &options, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  return list;
}

static void catch_up(const char *dir)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__indexer_options options = {.store = dir};
  if (gg__indexer_catch_up(&options, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What a follower has been told of each session, and what there is. */
struct told {
  char id[25];
  char *json;
};

struct follower {
  struct gg_store *store;
  struct gg_filter *filter;
  struct told told[1024];
  size_t count;
  unsigned news, again; /* sessions that were told as they had been told before */
};

static struct told *told_of(struct follower *follower, const char *id)
{
  for (size_t i = 0; i < follower->count; i++)
    if (strcmp(follower->told[i].id, id) == 0)
      return &follower->told[i];
  assert_true(follower->count < sizeof follower->told / sizeof follower->told[0]);
  struct told *told = &follower->told[follower->count++];
  snprintf(told->id, sizeof told->id, "%s", id);
  told->json = NULL;
  return told;
}

static char *json_of(const struct gg_session *session)
{
  static char text[16384];
  assert_true(gg_session_json(session, text, sizeof text) < sizeof text);
  return strdup(text);
}

/* As `sessions --follow` does; then all that there is must have been told as it is. */
static void look(struct follower *follower)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  uint64_t since = gg_store_generation(follower->store);
  if (gg_store_refresh(follower->store, &failure) != 0)
    fail_msg("%s", failure.message);
  struct gg_session_list *news = changed(follower->store, follower->filter, since);
  for (size_t i = 0; i < gg_session_list_count(news); i++) {
    const struct gg_session *session = gg_session_list_at(news, i);
    struct told *told = told_of(follower, session->id);
    char *json = json_of(session);
    assert_true(session->generation > since);
    follower->news++;
    follower->again += told->json && strcmp(told->json, json) == 0;
    free(told->json);
    told->json = json;
  }
  gg_session_list_destroy(news);
}

static void has_been_told(struct follower *follower, const char *dir)
{
  struct gg_session_list *ignored = NULL;
  struct gg_store *store = scanned(dir, &ignored);
  struct gg_session_list *all = changed(store, follower->filter, 0);
  gg_session_list_destroy(ignored);
  for (size_t i = 0; i < gg_session_list_count(all); i++) {
    char *json = json_of(gg_session_list_at(all, i));
    const struct told *told = told_of(follower, gg_session_list_at(all, i)->id);
    if (!told->json || strcmp(told->json, json) != 0)
      fail_msg("not told: %s\n     but: %s", json, told->json ? told->json : "nothing");
    free(json);
  }
  gg_session_list_destroy(all);
  gg_store_close(store);
}

static void follower_end(struct follower *follower)
{
  assert_true(follower->news > 0);
  assert_int_equal(follower->again, 0);
  for (size_t i = 0; i < follower->count; i++)
    free(follower->told[i].json);
  gg_store_close(follower->store);
  gg_filter_destroy(follower->filter);
}

static void say_something(struct files *files, struct talk talks[TALKS], bool open[TALKS], unsigned *made)
{
  static uint8_t data[2000];
  unsigned which = draw(TALKS);
  if (!open[which]) {
    ++*made;
    talk_open(files, &talks[which], *made, (uint16_t)(4000 + *made));
  } else if (draw(5) == 0) {
    talk_close(files, &talks[which]);
  } else {
    talk_say(files, &talks[which], draw(2) ? GG_FROM_CLIENT : GG_FROM_SERVER, data, 1 + draw(1500));
    return;
  }
  open[which] = !open[which];
}

/* Something that happens to a store besides being written. */
static void happen(unsigned what, unsigned segment, const char *dir, struct gg_store *store)
{
  static const char *const tags[] = {"noise", "flag"};
  struct gg_failure failure = GG_FAILURE_INIT;
  char path[160];
  struct gg_session_list *all;
  switch (what) {
  case 0:
    catch_up(dir);
    break;
  case 1: /* made anew: revisions begin anew, too */
    if (gg_store_reindex(dir, NULL, NULL, &failure) != 0)
      fail_msg("%s", failure.message);
    break;
  case 2:
    snprintf(path, sizeof path, "%s/segments/%04u.pcapng", dir, segment > 3 ? segment - 3 : 0);
    unlink(path);
    break;
  case 3:
  case 4:
    all = changed(store, NULL, 0);
    if (gg_session_list_count(all) > 0) {
      struct gg_session_list *one = NULL;
      gg_session_list_add(&one, gg_session_list_at(all, draw((uint32_t)gg_session_list_count(all))));
      assert_int_equal(what == 3 ? gg_store_tag(store, one, &tags[draw(2)], 1, &tags[draw(2)], 0, &failure)
                                 : gg_store_hold(store, one, draw(2), &failure),
                       0);
      gg_session_list_destroy(one);
    }
    gg_session_list_destroy(all);
    break;
  default:
    break;
  }
}

static void remove_journal(const char *dir)
{
  char path[160];
  snprintf(path, sizeof path, "%s/journal", dir);
  files_remove_in(path);
}

/* The store grows, is indexed, loses segments and is tagged; its catalogue is made anew. `from`: there is one. */
static void follow(const char *expression, bool from)
{
  static struct files files;
  static struct talk talks[TALKS];
  static struct follower follower;
  bool open[TALKS] = {false};
  unsigned made = 0;
  follower = (struct follower){0};
  files_begin(&files);
  files_segment(&files, "0000.pcapng");
  files_write(&files);
  if (from)
    catch_up(files.dir);
  if (expression && gg_filter_parse_text(&follower.filter, expression, 1700000100u * UINT64_C(1000000000), NULL) != 0)
    fail_msg("%s", expression);
  follower.store = open_store(files.dir);
  struct gg_store *other = open_store(files.dir);
  for (unsigned segment = 1; segment < 12; segment++) {
    char name[40];
    snprintf(name, sizeof name, "%04u.pcapng", segment);
    files_segment(&files, name);
    for (unsigned step = 0; step < 40; step++) {
      say_something(&files, talks, open, &made);
      if (draw(4) != 0)
        continue;
      files_write(&files);
      assert_int_equal(gg_store_refresh(other, NULL), 0);
      happen(from ? draw(8) : 2 + draw(4), segment, files.dir, other);
      look(&follower);
      has_been_told(&follower, files.dir);
    }
    files_write(&files);
  }
  gg_store_close(other);
  follower_end(&follower);
  remove_journal(files.dir);
  files_end(&files);
}

static void tells_all_that_changed(void **unused)
{
  (void)unused;
  for (unsigned round = 0; round < 3; round++) {
    follow(NULL, true);
    follow("bytes > 2000 or tag = noise", true);
    follow("state = open or held", true);
    follow(NULL, false);
  }
}

/* What only the files had said, and they have gone: the catalogue's row of it is as it was. */
static void tells_what_is_no_more(void **unused)
{
  (void)unused;
  static struct files files;
  static struct talk talk;
  static struct follower follower;
  char path[160];
  follower = (struct follower){0};
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4001);
  files_write(&files);
  catch_up(files.dir);
  files_segment(&files, "0002.pcapng");
  talk_say(&files, &talk, GG_FROM_CLIENT, "more", 4);
  files_write(&files);
  follower.store = open_store(files.dir);
  look(&follower);
  has_been_told(&follower, files.dir);
  snprintf(path, sizeof path, "%s/segments/0002.pcapng", files.dir);
  assert_int_equal(unlink(path), 0);
  look(&follower);
  has_been_told(&follower, files.dir);
  look(&follower);
  assert_int_equal(follower.news, 2);
  follower_end(&follower);
  files_end(&files);
}

/* One that was made anew is gone on with: what it knows is not read from the files at each look for ever. */
static void goes_over_to_a_new_catalogue(void **unused)
{
  (void)unused;
  static struct files files;
  static struct talk talk;
  static struct follower follower;
  follower = (struct follower){0};
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4001);
  files_write(&files);
  catch_up(files.dir);
  follower.store = open_store(files.dir);
  const struct gg__index *index = (const struct gg__index *)follower.store->source;
  look(&follower);
  files_segment(&files, "0002.pcapng");
  talk_say(&files, &talk, GG_FROM_CLIENT, "more", 4);
  files_write(&files);
  look(&follower);
  assert_non_null(index->scan->ops->capture(index->scan, 0));
  assert_int_equal(gg_store_reindex(files.dir, NULL, NULL, NULL), 0);
  look(&follower);
  assert_null(index->scan->ops->capture(index->scan, 0));
  has_been_told(&follower, files.dir);
  assert_int_equal(follower.news, 2);
  follower_end(&follower);
  files_end(&files);
}

/* ── What it costs ───────────────────────────────────────────────────────────────────────────────────────────────── */

struct work {
  uint64_t rows, steps;
};

static int count_work(unsigned what, void *context, void *statement, void *more)
{
  struct work *work = context;
  (void)more;
  if (what == SQLITE_TRACE_ROW)
    work->rows++;
  else
    work->steps += (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
  return 0;
}

/* The catalogue's handle has the database in front. */
static sqlite3 *database_of(const struct gg_store *store)
{
  const struct gg__index *index = (const struct gg__index *)store->source;
  assert_non_null(index->catalogue);
  return *(sqlite3 *const *)index->catalogue;
}

static void record_many(struct files *files, unsigned many)
{
  static struct talk talk;
  struct gg_session_list *list = NULL;
  files_begin(files);
  files_segment(files, "0001.pcapng");
  for (unsigned i = 1; i <= many; i++) {
    talk_open(files, &talk, i, (uint16_t)(1024 + i));
    talk_close(files, &talk);
  }
  files_write(files);
  struct gg_store *store = scanned(files->dir, &list);
  struct gg__catalogue *made = catalogue_open(files->dir, GG__CATALOGUE_WRITE);
  put_all(made, store, list);
  gg__catalogue_close(made);
  gg_session_list_destroy(list);
  gg_store_close(store);
}

static void put_first(const char *dir, const struct gg_session_list *list)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
  assert_int_equal(gg__catalogue_put(catalogue, gg__record_of(gg_session_list_at(list, 0)), &failure), 0);
  assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
  gg__catalogue_close(catalogue);
}

static void tag_all(const char *dir)
{
  static const char *const tags[] = {"noise"};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *store = open_store(dir);
  struct gg_session_list *all = changed(store, NULL, 0);
  if (gg_store_tag(store, all, tags, 1, NULL, 0, &failure) != 0)
    fail_msg("%s", failure.message);
  gg_session_list_destroy(all);
  gg_store_close(store);
  catch_up(dir);
}

/* A look at a store of so many sessions, all of which have a tag or none, and one was written since the last look. */
static struct work work_of_a_look(unsigned many, bool tagged)
{
  static struct files files;
  struct work work = {0};
  record_many(&files, many);
  if (tagged)
    tag_all(files.dir);
  struct gg_store *store = open_store(files.dir);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  assert_int_equal(sqlite3_trace_v2(database_of(store), SQLITE_TRACE_ROW | SQLITE_TRACE_PROFILE, count_work, &work),
                   SQLITE_OK);
  struct gg_session_list *list = changed(store, NULL, 0);
  assert_int_equal(gg_session_list_count(list), many);
  put_first(files.dir, list);
  gg_session_list_destroy(list);
  work = (struct work){0};
  uint64_t since = gg_store_generation(store);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  list = changed(store, NULL, since);
  assert_int_equal(gg_session_list_count(list), 0); /* it was put as it had been */
  sqlite3_trace_v2(database_of(store), 0, NULL, NULL);
  gg_session_list_destroy(list);
  gg_store_close(store);
  remove_journal(files.dir);
  files_end(&files);
  return work;
}

static void costs_what_changed(void **unused)
{
  (void)unused;
  for (int tagged = 0; tagged < 2; tagged++) {
    struct work few = work_of_a_look(MANY / 16, tagged), many = work_of_a_look(MANY, tagged);
    assert_true(few.rows > 0 && few.steps > 0);
    assert_int_equal(many.rows, few.rows);
    assert_int_equal(many.steps, few.steps);
  }
}

/* ── How far the journal was read ────────────────────────────────────────────────────────────────────────────────── */

/* How many sessions the catalogue is told of by an indexer that begins now. */
static uint64_t told_by_indexing(const char *dir)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__indexer_options options = {.store = dir};
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  struct gg__indexer *indexer = NULL;
  struct gg__indexer_stats stats;
  bool more;
  if (gg__indexer_create(&indexer, catalogue, &options, &failure) != 0 ||
      gg__indexer_step(indexer, 0, &more, &failure) != 0)
    fail_msg("%s", failure.message);
  gg__indexer_stats(indexer, &stats);
  gg__indexer_destroy(indexer);
  gg__catalogue_close(catalogue);
  return stats.marked;
}

static void is_as_made_anew(const char *dir)
{
  struct gg_reindex_options options = GG_REINDEX_OPTIONS_INIT;
  struct gg_reindex_result result = {0};
  struct gg_failure failure = GG_FAILURE_INIT;
  options.check = true;
  if (gg_store_reindex(dir, &options, &result, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(result.different, 0);
}

static void hold_first(const char *dir, bool held)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_session_list *one = NULL;
  struct gg_store *store = open_store(dir);
  struct gg_session_list *all = changed(store, NULL, 0);
  gg_session_list_add(&one, gg_session_list_at(all, 0));
  if (gg_store_hold(store, one, held, &failure) != 0)
    fail_msg("%s", failure.message);
  gg_session_list_destroy(one);
  gg_session_list_destroy(all);
  gg_store_close(store);
}

static char *journal_text(const char *dir, size_t *length)
{
  char path[160];
  static char text[1 << 20];
  snprintf(path, sizeof path, "%s/journal/marks.jsonl", dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  *length = (size_t)read(fd, text, sizeof text);
  assert_true(*length > 0 && *length < sizeof text);
  close(fd);
  return text;
}

/* In the file that is there, or in another one. */
static void put_journal(const char *dir, const char *text, size_t length, bool other)
{
  char path[160], before[176];
  snprintf(path, sizeof path, "%s/journal/marks.jsonl", dir);
  snprintf(before, sizeof before, "%s.before", path);
  if (other)
    assert_int_equal(rename(path, before), 0); /* so that its number is not used again */
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_int_equal(write(fd, text, length), length);
  close(fd);
  unlink(before);
}

/* A store that was open all the while knows what is said, whoever told the catalogue, and so does one opened now. */
static void all_know(struct follower *follower, const char *dir)
{
  look(follower);
  has_been_told(follower, dir);
}

static void goes_on_in_the_journal(void **unused)
{
  (void)unused;
  static struct files files;
  static struct follower follower;
  static char first[1 << 20];
  size_t length, now;
  follower = (struct follower){0};
  record_many(&files, 40);
  const char *dir = files.dir;
  tag_all(dir);
  memcpy(first, journal_text(dir, &length), sizeof first);
  follower.store = open_store(dir);
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 0);
  hold_first(dir, true);
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 1);
  all_know(&follower, dir);
  is_as_made_anew(dir);
  hold_first(dir, false); /* of that nothing is left to say */
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 1);
  is_as_made_anew(dir);
  const char *text = journal_text(dir, &now);
  put_journal(dir, text, now, true); /* another file, of the same */
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 0);
  hold_first(dir, true);
  text = journal_text(dir, &now);
  put_journal(dir, text, now, true); /* ... and more */
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 1);
  is_as_made_anew(dir);
  put_journal(dir, first, length, false); /* the file that was there, with less */
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 1);
  is_as_made_anew(dir);
  const char *second = (const char *)memchr(text, '\n', now) + 1,
             *third = (const char *)memchr(second, '\n', now / 2) + 1;
  length = (size_t)(second - text);
  memcpy(first, text, length);
  memcpy(first + length, third, now - (size_t)(third - text));
  put_journal(dir, first, now - (size_t)(third - second), false); /* ... as long, and a line of it is missing */
  all_know(&follower, dir);
  assert_true(told_by_indexing(dir) > 0);
  is_as_made_anew(dir);
  for (unsigned i = 0; i < 1000; i++)
    hold_first(dir, i % 2 != 0); /* until it is written anew */
  journal_text(dir, &now);
  assert_true(now < 20000);
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 0);
  hold_first(dir, true);
  remove_journal(dir);
  all_know(&follower, dir);
  assert_int_equal(told_by_indexing(dir), 39);
  is_as_made_anew(dir);
  all_know(&follower, dir);
  follower_end(&follower);
  remove_journal(dir);
  files_end(&files);
}

/* ── What was not asked for at first ─────────────────────────────────────────────────────────────────────────────── */

/* The first look had a limit: what it left out is no news. And a clock that goes back hides nothing. */
static void what_was_there_is_no_news(void **unused)
{
  (void)unused;
  static struct files files;
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  struct gg_session_list *list = NULL;
  record_many(&files, 20);
  struct gg_store *store = open_store(files.dir);
  options.limit = 3;
  assert_int_equal(gg_store_select(store, &options, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 3);
  gg_session_list_destroy(list);
  uint64_t since = gg_store_generation(store);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  list = changed(store, NULL, 0); /* all are asked for; none of them is new */
  assert_int_equal(gg_session_list_count(list), 20);
  for (size_t i = 0; i < 20; i++)
    assert_true(gg_session_list_at(list, i)->generation <= since);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

static void counts_on_whatever_the_clock_says(void **unused)
{
  (void)unused;
  static struct files files;
  char path[128];
  sqlite3 *db = NULL;
  uint64_t before, after;
  record_many(&files, 2);
  catalogue_path(files.dir, path);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(
    sqlite3_exec(db, "UPDATE notes SET value = 9000000000000000000 WHERE name = 'revision'", NULL, NULL, NULL),
    SQLITE_OK);
  sqlite3_close(db);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  assert_int_equal(gg__catalogue_revision(catalogue, &before, NULL), 0);
  assert_int_equal(gg__catalogue_begin(catalogue, NULL), 0);
  assert_int_equal(gg__catalogue_commit(catalogue, NULL), 0);
  assert_int_equal(gg__catalogue_revision(catalogue, &after, NULL), 0);
  assert_true(before == UINT64_C(9000000000000000000) && after == before + 1);
  gg__catalogue_close(catalogue);
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(tells_all_that_changed),
    cmocka_unit_test(tells_what_is_no_more),
    cmocka_unit_test(goes_over_to_a_new_catalogue),
    cmocka_unit_test(costs_what_changed),
    cmocka_unit_test(goes_on_in_the_journal),
    cmocka_unit_test(what_was_there_is_no_news),
    cmocka_unit_test(counts_on_whatever_the_clock_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
