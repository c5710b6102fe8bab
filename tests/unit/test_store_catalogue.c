/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan finds comes out of a catalogue as it went in: equal in all its members, whatever it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "catalogue_files.h"
#include "store/catalogue_private.h"
#include "store/filter_field.h"

#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <sys/wait.h>

enum { TALKS = 24 };

static uint32_t state = 7;
static uint32_t draw(uint32_t below)
{
  state = state * 1664525u + 1013904223u;
  return (state >> 8) % below;
}

/* Sessions that begin, go on in later segments, have holes, end or do not; all from one seed. */
static void make_segments(struct files *files, unsigned segments)
{
  static struct talk talks[TALKS];
  static uint8_t data[6000];
  bool open[TALKS] = {false};
  unsigned made = 0;
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)draw(256);
  for (unsigned s = 0; s < segments; s++) {
    char name[40];
    snprintf(name, sizeof name, "%04u.pcapng", s + 1);
    files_segment(files, name);
    for (unsigned step = 0; step < 60; step++) {
      unsigned which = draw(TALKS);
      if (!open[which]) {
        const char *path = draw(8) == 0 ? "/run/x'; --" : NULL;
        made++;
        talk_open_as(files, &talks[which], made, (uint16_t)(4000 + made), path, NULL);
        open[which] = true;
      } else if (draw(10) == 0) {
        talk_close(files, &talks[which]);
        open[which] = false;
      } else {
        enum gg_direction side = draw(2) ? GG_FROM_CLIENT : GG_FROM_SERVER;
        if (draw(12) == 0)
          talk_miss(&talks[which], side, 1 + draw(1000));
        talk_say(files, &talks[which], side, data + draw(1000), 1 + draw(5000));
      }
    }
    files_write(files);
  }
}

static void comes_out_as_it_went_in(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  static struct found found;
  files_begin(&files);
  make_segments(&files, 9);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  assert_true(gg_session_list_count(list) > 20);
  put_all(catalogue, store, list);
  gg__catalogue_close(catalogue);
  catalogue = catalogue_open(files.dir, GG__CATALOGUE_READ);
  find(catalogue, NULL, NULL, 0, &found);
  assert_int_equal(found.count, gg_session_list_count(list));
  unsigned parts = 0;
  for (size_t i = 0; i < found.count; i++) {
    const struct gg__record *record = gg__record_of(gg_session_list_at(list, i));
    struct gg__record *alone = NULL;
    assert_same(found.records[i], record);
    parts = record->session.segments > parts ? record->session.segments : parts;
    assert_int_equal(gg__catalogue_get(catalogue, record->session.id, &alone, &failure), 0);
    assert_same(alone, record);
    gg__record_free(alone);
  }
  assert_true(parts > 2);
  found_free(&found);
  struct gg__record *none = NULL;
  assert_int_equal(gg__catalogue_get(catalogue, "ffffffffffffffffffffffff", &none, &failure), 0);
  assert_null(none);
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* Putting again what is there changes nothing, and neither does another order, or several batches. */
static void dumps_are_equal(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  char path[128];
  files_begin(&files);
  make_segments(&files, 5);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_all(catalogue, store, list);
  char *first = dump_text(catalogue);
  put_all(catalogue, store, list);
  char *second = dump_text(catalogue);
  assert_string_equal(first, second);
  free(second);
  gg__catalogue_close(catalogue);
  catalogue_path(files.dir, path);
  assert_int_equal(unlink(path), 0); /* its log stays, and is not to be taken for the new one's */
  catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  const struct gg__capture *capture;
  for (size_t i = gg_session_list_count(list); i-- > 0;) {
    assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
    for (size_t j = 0; (capture = store->source->ops->capture(store->source, j)); j++)
      put_capture(catalogue, capture);
    assert_int_equal(gg__catalogue_put(catalogue, gg__record_of(gg_session_list_at(list, i)), &failure), 0);
    assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
  }
  second = dump_text(catalogue);
  assert_string_equal(first, second);
  free(first);
  free(second);
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* ── Segments that go ────────────────────────────────────────────────────────────────────────────────────────────── */

static int count_segment(void *context, const struct gg__catalogue_segment *segment)
{
  size_t *count = context;
  *count += segment->name[0] != '\0';
  return 0;
}

/* What is left is what a scan finds without the file; within a batch and outside. */
static void forgets_segments(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  static struct found found;
  files_begin(&files);
  make_segments(&files, 6);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_all(catalogue, store, list);
  gg_session_list_destroy(list);
  gg_store_close(store);
  static const char *const names[] = {"0001.pcapng", "0004.pcapng", "0006.pcapng", "none.pcapng"};
  for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
    char path[160];
    snprintf(path, sizeof path, "%s/segments/%s", files.dir, names[n]);
    unlink(path);
    if (n == 1)
      assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
    assert_int_equal(gg__catalogue_forget_segment(catalogue, names[n], &failure), 0);
    if (n == 1)
      assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
    store = scanned(files.dir, &list);
    find(catalogue, NULL, NULL, 0, &found);
    assert_int_equal(found.count, gg_session_list_count(list));
    for (size_t i = 0; i < found.count; i++)
      assert_same(found.records[i], gg__record_of(gg_session_list_at(list, i)));
    found_free(&found);
    /* As if it had never been there. */
    char *before = dump_text(catalogue), path_of_other[] = "/tmp/gogetway-other-XXXXXX";
    assert_non_null(mkdtemp(path_of_other));
    struct gg__catalogue *other = catalogue_open(path_of_other, GG__CATALOGUE_WRITE);
    put_all(other, store, list);
    char *after = dump_text(other);
    assert_string_equal(before, after);
    gg__catalogue_close(other);
    files_remove_in(path_of_other);
    free(before);
    free(after);
    gg_session_list_destroy(list);
    gg_store_close(store);
  }
  size_t segments = 0;
  assert_int_equal(gg__catalogue_segments(catalogue, count_segment, &segments, &failure), 0);
  assert_int_equal(segments, 3);
  gg__catalogue_close(catalogue);
  files_end(&files);
}

/* ── What is said of sessions ────────────────────────────────────────────────────────────────────────────────────── */

static size_t found_by(struct gg__catalogue *catalogue, const char *word)
{
  static struct found found;
  find(catalogue, word, NULL, 0, &found);
  size_t count = found.count;
  found_free(&found);
  return count;
}

static int count_facts(const char *dir, const char *sql)
{
  char path[128];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  catalogue_path(dir, path);
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  int count = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return count;
}

/* Said of sessions that are there, that come later, and that go and come again. */
static void keeps_marks_and_facts(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  files_begin(&files);
  make_segments(&files, 2);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  const char *const tags[] = {"a'b", "noise"};
  const char *first = gg_session_list_at(list, 0)->id, *second = gg_session_list_at(list, 1)->id;
  assert_int_equal(gg__catalogue_mark(catalogue, first, tags, 2, true, &failure), 0); /* before it is there */
  put_all(catalogue, store, list);
  assert_int_equal(gg__catalogue_mark(catalogue, second, tags + 1, 1, false, &failure), 0);
  assert_int_equal(found_by(catalogue, "tag=noise"), 2);
  assert_int_equal(found_by(catalogue, "tag=a'b"), 1);
  assert_int_equal(found_by(catalogue, "held=yes"), 1);
  struct gg__record *record = NULL;
  assert_int_equal(gg__catalogue_find(catalogue, first, &record, &failure), 0);
  assert_true(record->session.held && record->session.tag_count == 2);
  assert_string_equal(record->session.tags[0], "a'b");
  gg__record_free(record);
  assert_int_equal(gg__catalogue_get(catalogue, first, &record, &failure), 0);
  assert_true(!record->session.held && record->session.tag_count == 0);
  gg__record_free(record);
  put_all(catalogue, store, list); /* putting again takes nothing of it */
  assert_int_equal(found_by(catalogue, "tag=noise"), 2);
  assert_int_equal(gg__catalogue_mark(catalogue, first, NULL, 0, false, &failure), 0);
  assert_int_equal(found_by(catalogue, "held=yes"), 0);
  assert_int_equal(found_by(catalogue, "tag=noise"), 1);
  /* One value more than there may be. */
  assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
  for (uint64_t value = 0; value < GG_FACT_VALUES_MAX + 3; value++)
    for (int twice = 0; twice < 2; twice++)
      assert_int_equal(gg__catalogue_fact(catalogue, first, "http.status", NULL, &value, &failure), 0);
  assert_int_equal(gg__catalogue_fact(catalogue, first, "http.host", "x'); --", NULL, &failure), 0);
  assert_int_equal(gg__catalogue_fact(catalogue, "ffffffffffffffffffffffff", "x", "y", NULL, NULL), GG_ERR_NOT_FOUND);
  assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
  gg__catalogue_close(catalogue);
  assert_int_equal(count_facts(files.dir, "SELECT count(*) FROM facts"), GG_FACT_VALUES_MAX + 2);
  assert_int_equal(count_facts(files.dir, "SELECT count(*) FROM facts WHERE overflow = 1"), 1);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* ── Versions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void run_sql(const char *path, const char *sql)
{
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
    fail_msg("%s", sqlite3_errmsg(db));
  sqlite3_close(db);
}

/* Two steps from a schema that there never was: what is there is carried over, and a step that fails changes
 * nothing. */
static void migrates_step_by_step(void **unused)
{
  (void)unused;
  char dir[] = "/tmp/gogetway-catalogue-XXXXXX", path[128];
  assert_non_null(mkdtemp(dir));
  catalogue_path(dir, path);
  run_sql(path, "PRAGMA application_id = 1734834019; CREATE TABLE old(id TEXT); INSERT INTO old VALUES('x')");
  static const struct gg__migration steps[] = {
    {"CREATE TABLE newer(id TEXT, more INTEGER NOT NULL); INSERT INTO newer SELECT id, 7 FROM old; DROP TABLE old"},
    {"ALTER TABLE newer RENAME TO newest"},
  };
  const struct gg__migration broken[] = {{steps[0].sql}, {"DROP TABLE newer; SELECT * FROM nowhere"}};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__catalogue catalogue = {.path = path, .mode = GG__CATALOGUE_WRITE};
  assert_int_equal(GG_CATALOGUE_APPLICATION, 1734834019);
  assert_int_equal(sqlite3_open(path, &catalogue.db), SQLITE_OK);
  assert_true(gg__catalogue_migrate(&catalogue, broken, 2, &failure) < 0);
  assert_true(sqlite3_get_autocommit(catalogue.db));
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg__catalogue_migrate(&catalogue, steps, 2, &failure), 0);
  assert_int_equal(gg__catalogue_migrate(&catalogue, steps, 2, &failure), 0); /* there is nothing left to do */
  sqlite3_stmt *statement = NULL;
  assert_int_equal(sqlite3_prepare_v2(catalogue.db, "SELECT id, more FROM newest", -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_string_equal(sqlite3_column_text(statement, 0), "x");
  assert_int_equal(sqlite3_column_int(statement, 1), 7);
  sqlite3_finalize(statement);
  assert_int_equal(gg__catalogue_migrate(&catalogue, steps, 1, &failure), GG_ERR_UNSUPPORTED);
  assert_non_null(strstr(failure.message, "version 2"));
  assert_non_null(strstr(failure.message, "gogetway reindex"));
  sqlite3_close(catalogue.db);
  files_remove_in(dir);
}

static int open_error(const char *path, enum gg__catalogue_mode mode, struct gg_failure *failure)
{
  struct gg__catalogue *catalogue = NULL;
  *failure = (struct gg_failure)GG_FAILURE_INIT;
  int error = gg__catalogue_open(&catalogue, path, mode, failure);
  assert_true(error == 0 || (!catalogue && failure->message[0]));
  gg__catalogue_close(catalogue);
  return error;
}

static void refuses_what_is_no_catalogue(void **unused)
{
  (void)unused;
  char dir[] = "/tmp/gogetway-catalogue-XXXXXX", path[128];
  struct gg_failure failure;
  assert_non_null(mkdtemp(dir));
  catalogue_path(dir, path);
  assert_int_equal(open_error(path, GG__CATALOGUE_READ, &failure), GG_ERR_NOT_FOUND);
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  assert_int_equal(open_error(path, GG__CATALOGUE_WRITE, &failure), GG_ERR_BUSY);
  assert_int_equal(open_error(path, GG__CATALOGUE_READ, &failure), 0);
  gg__catalogue_close(catalogue);
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0600);
  run_sql(path, "PRAGMA user_version = 99");
  for (int mode = GG__CATALOGUE_READ; mode <= GG__CATALOGUE_WRITE; mode++) {
    assert_int_equal(open_error(path, (enum gg__catalogue_mode)mode, &failure), GG_ERR_UNSUPPORTED);
    assert_non_null(strstr(failure.message, "gogetway reindex"));
  }
  unlink(path);
  run_sql(path, "CREATE TABLE theirs(x)");
  assert_int_equal(open_error(path, GG__CATALOGUE_WRITE, &failure), GG_ERR_CORRUPT);
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_int_equal(write(fd, "this is no database, but it is long enough to be one of them, or so it seems to be", 80),
                   80);
  close(fd);
  assert_int_equal(open_error(path, GG__CATALOGUE_WRITE, &failure), GG_ERR_CORRUPT);
  assert_int_equal(open_error(path, GG__CATALOGUE_READ, &failure), GG_ERR_CORRUPT);
  assert_non_null(strstr(failure.message, "gogetway reindex"));
  files_remove_in(dir);
}

/* Nobody can write there, root not counted: then nothing can be tested. */
static void is_read_where_nothing_can_be_written(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  char path[160];
  files_begin(&files);
  make_segments(&files, 1);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_all(catalogue, store, list);
  gg__catalogue_close(catalogue);
  for (int bare = 0; bare < 2; bare++) {
    for (int i = 0; i < 2 && bare; i++) { /* somebody has copied the database alone */
      snprintf(path, sizeof path, "%s/catalogue.db%s", files.dir, i ? "-wal" : "-shm");
      unlink(path);
    }
    pid_t child = fork();
    if (child == 0) {
      static struct found found;
      chmod(files.dir, 0555);
      snprintf(path, sizeof path, "%s/catalogue.db", files.dir);
      chmod(path, 0444);
      if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(0);
      struct gg__catalogue *reader = NULL;
      struct gg_failure failure = GG_FAILURE_INIT;
      if (gg__catalogue_open(&reader, path, GG__CATALOGUE_READ, &failure) != 0)
        _exit(bare ? 2 : failure.code == GG_ERR_DENIED || failure.code == GG_ERR_IO ? 0 : 3);
      found.count = 0;
      _exit(gg__catalogue_query(reader, NULL, NULL, 0, keep_found, &found, &failure) == 0 &&
                found.count == gg_session_list_count(list)
              ? 0
              : 4);
    }
    int status = 0;
    waitpid(child, &status, 0);
    chmod(files.dir, 0700);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* ── Nothing of anybody's is SQL ─────────────────────────────────────────────────────────────────────────────────── */

/* Texts as strangers would write them, in every text that a recording has, and in filters. */
static void texts_are_never_sql(void **unused)
{
  (void)unused;
  static const char letters[] = "'\";-()%_\\x?:@$ \t\xc3\xa4";
  struct files files;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  static struct found found;
  files_begin(&files);
  make_segments(&files, 1);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_all(catalogue, store, list);
  struct gg__record *record = (struct gg__record *)gg__record_of(gg_session_list_at(list, 0));
  struct gg__record saved = *record;
  struct gg__part part = *record->parts;
  const char **const texts[] = {&part.listener, &part.upstream, &part.server_path, &part.why,
                                &part.close,    &part.verdict,  &part.verdict_by};
  for (unsigned round = 0; round < 300; round++) {
    char odd[7][16];
    for (size_t t = 0; t < 7; t++) {
      size_t length = 1 + draw(12);
      for (size_t i = 0; i < length; i++)
        odd[t][i] = letters[draw(sizeof letters - 3)];
      odd[t][length] = '\0';
      *texts[t] = odd[t];
    }
    uint64_t told[2] = {0, 0};
    part.closed = true;
    part.next_of_session = NULL;
    record->parts = &part;
    gg__session_begin(&record->session, &part);
    memset(record->session.bytes, 0, sizeof record->session.bytes);
    memset(record->session.packets, 0, sizeof record->session.packets);
    memset(record->session.gaps, 0, sizeof record->session.gaps);
    memset(record->session.history, 0, sizeof record->session.history);
    memset(record->session.first_length, 0, sizeof record->session.first_length);
    record->session.segments = 0;
    gg__session_add(&record->session, &part, told, true);
    assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
    if (gg__catalogue_put(catalogue, record, &failure) != 0)
      fail_msg("%s", failure.message);
    assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
    struct gg_filter *filter = NULL;
    char word[40];
    snprintf(word, sizeof word, "listener=%s", odd[0]);
    const char *words[] = {word};
    if (gg_filter_parse(&filter, words, 1, 0, NULL) != 0)
      continue; /* it is none of the language */
    found.count = 0;
    if (gg__catalogue_query(catalogue, filter, NULL, 0, keep_found, &found, &failure) != 0)
      fail_msg("%s", failure.message);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.records[0]->session.listener, odd[0]);
    assert_string_equal(found.records[0]->session.why, odd[3]);
    found_free(&found);
    gg_filter_destroy(filter);
  }
  *record = saved;
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* In the sources: SQL is made of constants, and of names of columns that are constants. */
static void sources_bind_what_they_ask_for(void **unused)
{
  (void)unused;
  static const char *const banned[] = {
    "sqlite3_mprintf", "sqlite3_vmprintf", "sqlite3_snprintf", "sqlite3_str_", "sqlite3_get_table", "%Q", "%q", "%w"};
  glob_t sources;
  assert_int_equal(glob(GG_SOURCE_ROOT "/src/*/*.c", 0, NULL, &sources), 0);
  size_t looked = 0;
  for (size_t i = 0; i < sources.gl_pathc; i++) {
    FILE *in = fopen(sources.gl_pathv[i], "r");
    char line[1024];
    bool ours = strstr(sources.gl_pathv[i], "catalogue") != NULL;
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
      if (!ours && strstr(line, "sqlite3_"))
        fail_msg("%s uses SQLite besides the catalogue", sources.gl_pathv[i]);
      for (size_t b = 0; ours && b < sizeof banned / sizeof banned[0]; b++)
        if (strstr(line, banned[b]))
          fail_msg("%s: %s", sources.gl_pathv[i], line);
      looked++;
    }
    fclose(in);
  }
  globfree(&sources);
  assert_true(looked > 10000);
}

/* What filters name is what there is. */
static void columns_are_those_of_filters(void **unused)
{
  (void)unused;
  char dir[] = "/tmp/gogetway-catalogue-XXXXXX";
  assert_non_null(mkdtemp(dir));
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  const struct gg__column *column;
  size_t count = 0, found = 0;
  for (; (column = gg__column_at(count)); count++) {
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(catalogue->db,
                                        "SELECT type, \"notnull\" FROM pragma_table_info('sessions') WHERE name = ?1",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(statement, 1, column->name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_ROW)
      fail_msg("there is no column %s", column->name);
    const char *type = column->kind == GG__SQL_INTEGER ? "INTEGER" : column->kind == GG__SQL_TEXT ? "TEXT" : "BLOB";
    assert_string_equal(sqlite3_column_text(statement, 0), type);
    found += sqlite3_column_int(statement, 1) != 0;
    sqlite3_finalize(statement);
  }
  assert_int_equal(found, count - 2); /* ports of what has none are NULL */
  gg__catalogue_close(catalogue);
  files_remove_in(dir);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(comes_out_as_it_went_in),
    cmocka_unit_test(dumps_are_equal),
    cmocka_unit_test(forgets_segments),
    cmocka_unit_test(keeps_marks_and_facts),
    cmocka_unit_test(migrates_step_by_step),
    cmocka_unit_test(refuses_what_is_no_catalogue),
    cmocka_unit_test(is_read_where_nothing_can_be_written),
    cmocka_unit_test(texts_are_never_sql),
    cmocka_unit_test(sources_bind_what_they_ask_for),
    cmocka_unit_test(columns_are_those_of_filters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
