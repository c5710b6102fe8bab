/* SPDX-License-Identifier: Apache-2.0 */
/* A store that has a catalogue answers as one that is scanned, whatever the catalogue knows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "random_store.h"
#include "store/filter_ast.h"
#include "store/marks.h"

#include <sqlite3.h>

enum { SEGMENTS = 6, NOW = 1700000100 };

/* ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_session_list *chosen(struct gg_store *store, const char *expression, const char *sort, uint64_t limit)
{
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_session_list *list = NULL;
  struct gg_filter *filter = NULL;
  if (gg_filter_parse_text(&filter, expression, NOW * GG_NS_PER_S, &failure) != 0)
    fail_msg("%s", failure.message);
  options.filter = filter;
  options.sort = sort;
  options.limit = limit;
  if (gg_store_select(store, &options, &list, &failure) != 0)
    fail_msg("%s: %s", expression, failure.message);
  gg_filter_destroy(filter);
  return list;
}

static void read_all(struct gg_store *store, const struct gg_session *session, uint64_t sum[3])
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  struct gg_failure failure = GG_FAILURE_INIT;
  sum[0] = sum[1] = sum[2] = 0;
  assert_int_equal(gg_reader_open(&reader, store, session, &failure), 0);
  for (int result; (result = gg_reader_next(reader, &chunk, &failure)) != 0;) {
    assert_int_equal(result, 1);
    for (size_t i = 0; i < chunk.length; i++)
      sum[0] = sum[0] * 31 + chunk.data[i];
    sum[1] += chunk.length;
    sum[2] += chunk.gap;
  }
  gg_reader_close(reader);
}

static const struct {
  const char *expression, *sort;
  uint64_t limit;
} questions[] = {
  {"", NULL, 0},
  {"", "-start", 5},
  {"", "start", 7},
  {"", "-bytes", 6},
  {"", "bytes", 9},
  {"", "-end", 4},
  {"", "duration", 8},
  {"", "-gaps", 3},
  {"", "id", 10},
  {"bytes > 3000", "-bytes", 4},
  {"bytes > 3000 or gaps > 0", "bytes", 0},
  {"client = 192.0.2.0/24", "-start", 5},
  {"not client = 192.0.2.0/24", NULL, 0},
  {"client = 192.0.2.1:4003", NULL, 0},
  {"state = open", NULL, 0},
  {"state = cut", "-start", 3},
  {"state != closed and bytes > 0", NULL, 0},
  {"state = closed and gaps > 0", "-end", 5},
  {"close = client-fin", "-start", 50},
  {"listener = web and start < 2023-11-14T22:13:20.100Z", NULL, 0},
  {"id = 018c", "-start", 2},
  {"segments > 1", "-segments", 3},
  {"", "state", 5},
  {"", "-state", 4},
  {"bytes > 2000", "state", 0},
  {"state != closed", "-state", 2},
  {"tag = noise or held", NULL, 0},
  {"tag != noise", "-bytes", 5},
};

static int print_total(void *context, const struct gg_total *total)
{
  FILE *out = context;
  fprintf(out, "%s %llu %llu %llu %llu %llu\n", total->key, (unsigned long long)total->sessions,
          (unsigned long long)total->bytes[0], (unsigned long long)total->bytes[1], (unsigned long long)total->gaps[0],
          (unsigned long long)total->gaps[1]);
  return 0;
}

static void print_totals(struct gg_store *store, const char *expression, const char *by, char text[4096])
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  FILE *out = fmemopen(text, 4096, "w");
  if (expression && gg_filter_parse_text(&filter, expression, NOW * GG_NS_PER_S, &failure) != 0)
    fail_msg("%s", failure.message);
  if (gg_store_totals(store, filter, by, print_total, out, &failure) != 0)
    fail_msg("%s", failure.message);
  fclose(out);
  gg_filter_destroy(filter);
}

static void compare_totals(struct gg_store *index, struct gg_store *scan)
{
  static const char *const bys[] = {"listener", "protocol", "close", "hour", "day", "client"};
  static const char *const expressions[] = {NULL, "bytes > 2000", "state != open", "tag = noise"};
  for (size_t i = 0; i < sizeof bys / sizeof bys[0]; i++)
    for (size_t j = 0; j < sizeof expressions / sizeof expressions[0]; j++) {
      char texts[2][4096];
      print_totals(index, expressions[j], bys[i], texts[0]);
      print_totals(scan, expressions[j], bys[i], texts[1]);
      assert_string_equal(texts[0], texts[1]);
    }
}

static void compare_stores(struct gg_store *index, const char *dir)
{
  struct gg_session_list *ignored = NULL;
  struct gg_store *scan = scanned(dir, &ignored);
  gg_session_list_destroy(ignored);
  for (size_t q = 0; q < sizeof questions / sizeof questions[0]; q++) {
    struct gg_session_list *a = chosen(index, questions[q].expression, questions[q].sort, questions[q].limit);
    struct gg_session_list *b = chosen(scan, questions[q].expression, questions[q].sort, questions[q].limit);
    if (gg_session_list_count(a) != gg_session_list_count(b))
      fail_msg("'%s': %zu, not %zu", questions[q].expression, gg_session_list_count(a), gg_session_list_count(b));
    for (size_t i = 0; i < gg_session_list_count(a); i++) {
      const struct gg_session *left = gg_session_list_at(a, i), *right = gg_session_list_at(b, i);
      char texts[2][8192];
      uint64_t sums[2][3];
      gg_session_json(left, texts[0], sizeof texts[0]);
      gg_session_json(right, texts[1], sizeof texts[1]);
      assert_string_equal(texts[0], texts[1]);
      if (q > 0)
        continue;
      read_all(index, left, sums[0]);
      read_all(scan, right, sums[1]);
      assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
    }
    gg_session_list_destroy(a);
    gg_session_list_destroy(b);
  }
  compare_totals(index, scan);
  gg_store_close(scan);
}

static struct gg_store *open_store(const char *dir)
{
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  return store;
}

static void compare(const char *dir)
{
  struct gg_store *store = open_store(dir);
  compare_stores(store, dir);
  gg_store_close(store);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The catalogue was fed at every stage, and the store grows behind it; one store is open all the while. */
static void answers_as_a_scan(void **unused)
{
  (void)unused;
  static struct making making;
  struct gg_store *store = NULL;
  files_begin(&making.files);
  const char *dir = making.files.dir;
  for (unsigned s = 1; s <= SEGMENTS; s++) {
    begin_segment(&making, s);
    for (unsigned step = 0; step < 40; step++) {
      say_something(&making);
      if (step % 13 == 5) {
        files_write(&making.files);
        if (s > 1 || step > 30)
          compare(dir);
        if (step % 2 == 0)
          catalogue_now(dir, false);
        if (!store) {
          store = open_store(dir);
        } else {
          assert_int_equal(gg_store_refresh(store, NULL), 0);
          compare_stores(store, dir);
        }
      }
    }
    files_write(&making.files);
    compare(dir);
    if (s == 3) {
      catalogue_now(dir, true);
      compare(dir);
    }
  }
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  compare_stores(store, dir);
  assert_null(gg_store_warning(store, 0));
  gg_store_close(store);
  files_end(&making.files);
}

static void remove_journal(const char *dir)
{
  char path[160];
  snprintf(path, sizeof path, "%s/journal", dir);
  files_remove_in(path);
}

/* Files go while nobody indexes: their sessions are gone, too, or have lost what was in them. */
static void files_that_went_are_not_listed(void **unused)
{
  (void)unused;
  static struct making making;
  make_some(&making, 5);
  const char *dir = making.files.dir;
  catalogue_now(dir, true);
  static const unsigned gone[] = {1, 3, 5};
  struct gg_store *store = open_store(dir);
  compare_stores(store, dir);
  for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
    char path[256], name[NAME_ROOM];
    name_segment(name, gone[i]);
    snprintf(path, sizeof path, "%s/segments/%s", dir, name);
    assert_int_equal(unlink(path), 0);
    compare(dir);
    assert_int_equal(gg_store_refresh(store, NULL), 0);
    compare_stores(store, dir);
  }
  gg_store_close(store);
  files_end(&making.files);
}

/* Who jumps in them has to know what stands behind packets. */
static void captures_of_others(void **unused)
{
  (void)unused;
  struct files files;
  files_begin(&files);
  put_captures_of_others(&files);
  catalogue_now(files.dir, true);
  compare(files.dir);
  files_end(&files);
}

/* A segment that was indexed anew has another number in the catalogue: who had it open asks by that, when it goes. */
static void segments_indexed_anew_are_missed_too(void **unused)
{
  (void)unused;
  static struct making making;
  char path[256], name[NAME_ROOM];
  make_some(&making, 3);
  const char *dir = making.files.dir;
  catalogue_now(dir, true);
  struct gg_store *store = open_store(dir);
  name_segment(name, 2);
  snprintf(path, sizeof path, "%s/segments/%s", dir, name);
  char away[176];
  snprintf(away, sizeof away, "%s/0002", dir);
  assert_int_equal(rename(path, away), 0);
  assert_int_equal(gg_store_refresh(store, NULL), 0); /* it is asked for by its name */
  assert_int_equal(rename(away, path), 0);
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  assert_int_equal(gg__catalogue_forget_segment(catalogue, name, NULL), 0);
  gg__catalogue_close(catalogue);
  catalogue_now(dir, true);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  compare_stores(store, dir);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  compare_stores(store, dir);
  gg_store_close(store);
  files_end(&making.files);
}

/* Said before the catalogue hears of it, and after; taken back; and of one that the recording says nothing of. */
static void knows_what_people_say(void **unused)
{
  (void)unused;
  static struct making making;
  make_some(&making, 3);
  const char *dir = making.files.dir;
  struct gg_failure failure = GG_FAILURE_INIT;
  catalogue_now(dir, true);
  struct gg_store *store = open_store(dir);
  struct gg_session_list *some = chosen(store, "bytes > 2000", "-bytes", 6);
  const char *const noise[] = {"noise", "x"}, *const x[] = {"x"};
  assert_int_equal(gg_store_tag(store, some, noise, 2, NULL, 0, &failure), 0);
  struct gg_session_list *tagged = chosen(store, "tag = noise", NULL, 0);
  assert_int_equal(gg_session_list_count(tagged), gg_session_list_count(some));
  gg_session_list_destroy(tagged);
  compare(dir);
  struct gg_session_list *two = chosen(store, "tag = noise", "-bytes", 2);
  assert_int_equal(gg_store_hold(store, two, true, &failure), 0);
  compare(dir);
  /* The catalogue hears of all of it, and then something is taken back. */
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  struct gg__marks *marks = NULL;
  assert_int_equal(gg__marks_open(&marks, dir, &failure), 0);
  for (size_t i = 0; i < gg_session_list_count(some); i++)
    assert_int_equal(
      gg__catalogue_mark_all(catalogue, gg__marks_find(marks, gg_session_list_at(some, i)->id), &failure), 0);
  gg__marks_close(marks);
  gg__catalogue_close(catalogue);
  compare(dir);
  assert_int_equal(gg_store_tag(store, two, NULL, 0, x, 1, &failure), 0);
  assert_int_equal(gg_store_hold(store, two, false, &failure), 0);
  compare(dir);
  struct gg_session_list *left = chosen(store, "tag = x", NULL, 0);
  assert_int_equal(gg_session_list_count(left), gg_session_list_count(some) - 2);
  gg_session_list_destroy(left);
  gg_session_list_destroy(two);
  gg_session_list_destroy(some);
  gg_store_close(store);
  remove_journal(dir);
  files_end(&making.files);
}

/* Nothing that happens to the catalogue hides a session, and each is told of in one line that says what to do. */
static void damage_is_told_and_read_around(void **unused)
{
  (void)unused;
  static struct making making;
  make_some(&making, 3);
  const char *dir = making.files.dir;
  char path[128], other[160];
  catalogue_now(dir, true);
  catalogue_path(dir, path);
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  for (unsigned kind = 0; kind < 6; kind++) {
    sqlite3 *db = NULL;
    if (kind == 0)
      assert_int_equal(truncate(path, status.st_size / 2), 0);
    if (kind == 1 || kind == 2) {
      int fd = open(path, O_WRONLY | O_CLOEXEC);
      uint8_t noise[4096];
      for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)draw(256);
      for (off_t at = kind == 1 ? 0 : 4096; at < status.st_size; at += (off_t)sizeof noise)
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
      close(fd);
    }
    if (kind == 3) {
      assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
      assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
      sqlite3_close(db);
    }
    if (kind == 4) {
      assert_int_equal(unlink(path), 0);
      assert_int_equal(mkdir(path, 0700), 0);
    }
    if (kind == 5) {
      assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
      assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
      sqlite3_close(db);
    }
    struct gg_store *store = open_store(dir);
    compare_stores(store, dir);
    const char *warning = gg_store_warning(store, 0);
    assert_non_null(warning);
    if (kind != 4 && !strstr(warning, "gogetway reindex"))
      fail_msg("%u: %s", kind, warning);
    assert_null(gg_store_warning(store, 1));
    gg_store_close(store);
    assert_int_equal(kind == 4 ? rmdir(path) : unlink(path), 0);
    snprintf(other, sizeof other, "%s-wal", path);
    unlink(other);
    snprintf(other, sizeof other, "%s-shm", path);
    unlink(other);
    if (kind != 4) /* the next is the bare database of somebody */
      catalogue_now(dir, true);
  }
  files_end(&making.files);
}

/* A page of it is wrong, of which nobody knows before it is read. */
static void damage_is_found_in_the_middle(void **unused)
{
  (void)unused;
  static struct making making;
  make_some(&making, 3);
  const char *dir = making.files.dir;
  char path[128];
  catalogue_now(dir, true);
  catalogue_path(dir, path);
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "UPDATE sessions SET parts = x'ff' WHERE number % 3 = 0", NULL, NULL, NULL),
                   SQLITE_OK);
  sqlite3_close(db);
  struct gg_store *store = open_store(dir);
  compare_stores(store, dir);
  assert_non_null(gg_store_warning(store, 0));
  assert_non_null(strstr(gg_store_warning(store, 0), "gogetway reindex"));
  gg_store_close(store);
  files_end(&making.files);
}

/* A gateway at work, whose first segment is that one. Returns what ends it. */
static int begin_life(const char *dir, unsigned first)
{
  char path[160], from[NAME_ROOM];
  name_segment(from, first - 1);
  snprintf(path, sizeof path, "%s/running", dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, "gogetway running 1\nboot b\npid 1\nfrom %.20s\n", from);
  assert_int_equal(fclose(file), 0);
  snprintf(path, sizeof path, "%s/lock", dir);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 2};
  assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
  return fd;
}

static void end_life(const char *dir, int fd)
{
  char path[160];
  snprintf(path, sizeof path, "%s/running", dir);
  unlink(path);
  snprintf(path, sizeof path, "%s/lock", dir);
  unlink(path);
  close(fd);
}

static int by_sort(const void *a, const void *b, void *sort)
{
  const struct gg_session *const *left = a, *const *right = b;
  return gg__filter_sort_compare(sort, *left, *right);
}

/* `all` that match, in order, the first so many; against what the store says. */
static void compare_order(struct gg_store *store, struct gg_store *scan, const char *expression, char *sort,
                          uint64_t limit)
{
  const struct gg_session *all[512];
  struct gg_session_list *every = chosen(scan, expression, NULL, 0), *list = chosen(store, expression, sort, limit);
  size_t count = gg_session_list_count(every);
  assert_true(count <= sizeof all / sizeof all[0]);
  for (size_t i = 0; i < count; i++)
    all[i] = gg_session_list_at(every, i);
  qsort_r(all, count, sizeof(const struct gg_session *), by_sort, sort);
  count = limit && limit < count ? limit : count;
  assert_int_equal(gg_session_list_count(list), count);
  for (size_t i = 0; i < count; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    if (strcmp(session->id, all[i]->id) != 0 || session->state != all[i]->state)
      fail_msg("'%s' by %s, %llu: %s %s at %zu, not %s %s", expression, sort, (unsigned long long)limit, session->id,
               gg_session_state_text(session->state), i, all[i]->id, gg_session_state_text(all[i]->state));
  }
  gg_session_list_destroy(every);
  gg_session_list_destroy(list);
}

/* Each field that sessions can be sorted by, either way. */
static void compare_orders(const char *dir)
{
  static const char *const expressions[] = {"",
                                            "",
                                            "",
                                            "bytes > 2000",
                                            "gaps = 0",
                                            "state != cut",
                                            "state = closed",
                                            "not state = closed",
                                            "port != 80",
                                            "segments > 1"};
  struct gg_session_list *ignored = NULL;
  struct gg_store *scan = scanned(dir, &ignored), *store = open_store(dir);
  const struct gg_filter_field *field;
  gg_session_list_destroy(ignored);
  for (size_t i = 0; (field = gg_filter_field_at(i)); i++)
    for (int down = 0; down < 2 && field->sortable; down++) {
      char sort[64];
      snprintf(sort, sizeof sort, "%s%s", down ? "-" : "", field->name);
      compare_order(store, scan, expressions[draw(sizeof expressions / sizeof expressions[0])], sort, draw(30));
      compare_order(store, scan, "", sort, 1 + draw(12));
    }
  assert_null(gg_store_warning(store, 0));
  gg_store_close(store);
  gg_store_close(scan);
}

/* Of random sessions, some of which are open and some cut, with a catalogue that knows of all or of some. */
static void orders_are_those_of_all(void **unused)
{
  (void)unused;
  static struct making making;
  for (unsigned round = 0; round < 6; round++) {
    make_some(&making, 3);
    const char *dir = making.files.dir;
    int life = begin_life(dir, 2 + draw(3));
    catalogue_now(dir, false);
    compare_orders(dir);
    end_life(dir, life);
    compare_orders(dir);
    life = begin_life(dir, 2 + draw(3));
    compare_orders(dir);
    begin_segment(&making, 4);
    for (unsigned step = 0; step < 40; step++)
      say_something(&making);
    files_write(&making.files);
    compare_orders(dir);
    end_life(dir, life);
    compare_orders(dir);
    files_end(&making.files);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(answers_as_a_scan),
    cmocka_unit_test(files_that_went_are_not_listed),
    cmocka_unit_test(captures_of_others),
    cmocka_unit_test(segments_indexed_anew_are_missed_too),
    cmocka_unit_test(orders_are_those_of_all),
    cmocka_unit_test(knows_what_people_say),
    cmocka_unit_test(damage_is_told_and_read_around),
    cmocka_unit_test(damage_is_found_in_the_middle),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
