/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random filters over random sessions: what the library says is what a brute-force evaluation says (filter_oracle.h);
 * and a database that is asked with the filter's condition says the same, or has more where the condition says that it
 * may. GOGETWAY_FILTER_SEEDS=N runs N rounds instead of the usual ones; a failure names its seed and the filter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter_oracle.h"
#include "store/filter_ast.h"
#include "store/sweep.h"

#ifdef GG_TEST_SQLITE
#include <sqlite3.h>
#endif

enum { SEEDS = 40, FILTERS = 60, DEPTH = 4 };

static struct oracle_session sessions[SESSIONS];
static struct gg__facts_table *facts;
static bool regexes;

static unsigned seeds(void)
{
  const char *text = getenv("GOGETWAY_FILTER_SEEDS");
  return text ? (unsigned)strtoul(text, NULL, 10) : SEEDS;
}

static enum gg__truth any_fact(void *context, const struct gg_session *session, const char *field, gg__fact_fn holds_of,
                               const void *asked)
{
  const struct oracle_session *of = (const struct oracle_session *)(const void *)session;
  bool status = strcmp(field, "http.status") == 0, found = false;
  size_t count = status ? of->status_count : of->host_count;
  (void)context;
  for (size_t i = 0; i < count; i++)
    found |= holds_of(asked, &(struct gg__fact_value){status ? NULL : of->host[i], status ? of->status[i] : 0});
  return found ? GG__YES : GG__NO;
}
static const struct gg__fact_source source = {NULL, any_fact};

/* ── The database ────────────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef GG_TEST_SQLITE

static sqlite3 *database;
static const struct gg_filter *asked;

static void call_operand(sqlite3_context *context, int count, sqlite3_value **values)
{
  assert_int_equal(count, 2);
  const char *text = (const char *)sqlite3_value_text(values[1]);
  bool found = gg__filter_operand_match(asked, (unsigned)sqlite3_value_int(values[0]), text,
                                        (size_t)sqlite3_value_bytes(values[1]));
  sqlite3_result_int(context, found);
}

static void run(const char *text)
{
  char *message = NULL;
  if (sqlite3_exec(database, text, NULL, NULL, &message) != SQLITE_OK)
    fail_msg("%s: %s", text, message);
}

static sqlite3_stmt *prepared(const char *text)
{
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(database, text, -1, &statement, NULL) != SQLITE_OK)
    fail_msg("%s: %s", text, sqlite3_errmsg(database));
  return statement;
}

static void bind_value(sqlite3_stmt *statement, int at, const struct gg__sql_value *value)
{
  switch (value->kind) {
  case GG__SQL_INTEGER:
    sqlite3_bind_int64(statement, at, value->integer);
    break;
  case GG__SQL_TEXT:
    sqlite3_bind_text(statement, at, value->data, (int)value->length, SQLITE_TRANSIENT);
    break;
  case GG__SQL_BLOB:
    sqlite3_bind_blob(statement, at, value->length ? value->data : "", (int)value->length, SQLITE_TRANSIENT);
    break;
  default:
    sqlite3_bind_null(statement, at);
  }
}

static void step(sqlite3_stmt *statement)
{
  if (sqlite3_step(statement) != SQLITE_DONE)
    fail_msg("%s", sqlite3_errmsg(database));
  sqlite3_finalize(statement);
}

static void make_tables(void)
{
  static const char *const types[] = {"INTEGER", "TEXT NOT NULL", "BLOB NOT NULL"};
  char text[8192] = "CREATE TABLE sessions(number INTEGER PRIMARY KEY";
  const struct gg__column *column;
  assert_int_equal(sqlite3_open(":memory:", &database), SQLITE_OK);
  for (size_t i = 0; (column = gg__column_at(i)); i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), ", %s %s", column->name, types[column->kind]);
  snprintf(text + strlen(text), sizeof text - strlen(text), ", epoch INTEGER NOT NULL)");
  run(text);
  run("CREATE TABLE epochs(epoch INTEGER PRIMARY KEY); INSERT INTO epochs VALUES(0), (1), (2)");
  run("CREATE TABLE tags(session INTEGER NOT NULL, tag TEXT NOT NULL)");
  run("CREATE TABLE facts(session INTEGER NOT NULL, field TEXT NOT NULL, text TEXT, number INTEGER,"
      " overflow INTEGER NOT NULL)");
  assert_int_equal(sqlite3_create_function(database, "gg_regexp", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                           call_operand, NULL, NULL),
                   SQLITE_OK);
}

static void insert_fact(size_t session, const char *field, const char *text, const uint64_t *number)
{
  sqlite3_stmt *statement = prepared("INSERT INTO facts VALUES(?, ?, ?, ?, ?)");
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)session);
  sqlite3_bind_text(statement, 2, field, -1, SQLITE_STATIC);
  if (text)
    sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
  if (number)
    sqlite3_bind_int64(statement, 4, gg__sql_from_u64(*number));
  sqlite3_bind_int(statement, 5, !text && !number);
  step(statement);
}

/* One fact of three is in no row but in the mark that there were too many. */
static void insert_session(size_t index)
{
  const struct oracle_session *of = &sessions[index];
  const struct gg__column *column;
  char text[1024] = "INSERT INTO sessions VALUES(?";
  for (size_t i = 0; gg__column_at(i); i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), ",?");
  snprintf(text + strlen(text), sizeof text - strlen(text), ",%zu)", index % 3);
  sqlite3_stmt *statement = prepared(text);
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)index);
  for (size_t i = 0; (column = gg__column_at(i)); i++) {
    uint8_t scratch[GG__ADDRESS_KEY_BYTES];
    struct gg__sql_value value;
    gg__column_value(column, &of->session, scratch, &value);
    bind_value(statement, (int)i + 2, &value);
  }
  step(statement);
  for (size_t i = 0; i < of->session.tag_count; i++) {
    statement = prepared("INSERT INTO tags VALUES(?, ?)");
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)index);
    sqlite3_bind_text(statement, 2, of->session.tags[i], -1, SQLITE_STATIC);
    step(statement);
  }
  for (size_t i = 0; i < of->status_count; i++)
    insert_fact(index, "http.status", NULL, i == 2 ? NULL : &of->status[i]);
  for (size_t i = 0; i < of->host_count; i++)
    insert_fact(index, "http.host", i == 2 ? NULL : of->host[i], NULL);
}

static void fill_database(void)
{
  run("DELETE FROM sessions; DELETE FROM tags; DELETE FROM facts; BEGIN");
  for (size_t i = 0; i < SESSIONS; i++)
    insert_session(i);
  run("COMMIT");
}

static bool is_allowed(const char *word, size_t length)
{
  static const char *const words[] = {"AND",     "OR",       "NOT",       "IN",     "IS",       "NULL",  "BETWEEN",
                                      "SELECT",  "FROM",     "WHERE",     "UNION",  "ALL",      "tags",  "facts",
                                      "session", "tag",      "field",     "number", "text",     "rowid", "0",
                                      "1",       "overflow", "gg_regexp", "EXISTS", "sessions", "epoch", "epochs"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strlen(words[i]) == length && memcmp(words[i], word, length) == 0)
      return true;
  for (size_t i = 0; gg__column_at(i); i++)
    if (strlen(gg__column_at(i)->name) == length && memcmp(gg__column_at(i)->name, word, length) == 0)
      return true;
  return false;
}

/* The text has words of ours, operators and `?` in it, and nothing else; and as many `?` as there are values. */
static void check_text(const struct gg__sql *sql)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  size_t marks = 0;
  for (const char *at = sql->text; *at;) {
    size_t length = strspn(at, letters);
    bool empty_text = strncmp(at, "''", 2) == 0;
    if (length > 0 ? !is_allowed(at, length) : !empty_text && !strchr(" ?()=<>,.", *at))
      fail_msg("%.20s is in %s", at, sql->text);
    marks += *at == '?';
    at += length > 0 ? length : empty_text ? 2 : 1;
  }
  assert_int_equal(marks, sql->count);
}

static size_t exact_count, inexact_count;

static void check_use(const struct gg_filter *filter, enum gg__sql_use use, const char *text)
{
  struct gg__sql sql;
  char *query = NULL;
  bool found[SESSIONS] = {false};
  assert_int_equal(gg__filter_sql(filter, use, &sql), 0);
  check_text(&sql);
  assert_true(asprintf(&query, "SELECT number FROM sessions WHERE 1 AND %s AND 1", sql.text) > 0);
  asked = filter;
  sqlite3_stmt *statement = prepared(query);
  for (size_t i = 0; i < sql.count; i++)
    bind_value(statement, (int)i + 1, &sql.values[i]);
  int result;
  while ((result = sqlite3_step(statement)) == SQLITE_ROW)
    found[sqlite3_column_int(statement, 0)] = true;
  if (result != SQLITE_DONE)
    fail_msg("%s: %s", query, sqlite3_errmsg(database));
  for (size_t i = 0; i < SESSIONS; i++) {
    bool matches = gg__filter_judge(filter, &sessions[i].session, &source) == GG__YES;
    if (matches ? !found[i] : sql.exact && found[i])
      fail_msg("seed %llu: %s\nsession %zu is %sfound by %s", (unsigned long long)oracle_seed, text, i,
               found[i] ? "" : "not ", query);
  }
  *(sql.exact ? &exact_count : &inexact_count) += 1;
  sqlite3_finalize(statement);
  free(query);
  gg__sql_fini(&sql);
}

static void check_database(const struct gg_filter *filter, const char *text)
{
  for (enum gg__sql_use use = 0; use < GG__SQL_USES; use++)
    check_use(filter, use, text);
}

/* Each column of a field has the field's value, and what it is sorted by is in the order of the comparison. */
static void check_order(const char *sort)
{
  bool down;
  char query[256];
  const struct gg_session *last = NULL;
  const char *column = gg__filter_sort_column(sort, &down);
  assert_non_null(column);
  snprintf(query, sizeof query, "SELECT number FROM sessions ORDER BY %s %s, start_ns, id", column, down ? "DESC" : "");
  sqlite3_stmt *statement = prepared(query);
  while (sqlite3_step(statement) == SQLITE_ROW) {
    const struct gg_session *session = &sessions[sqlite3_column_int(statement, 0)].session;
    if (last && gg__filter_sort_compare(sort, last, session) > 0)
      fail_msg("%s: %s and %s", sort, last->id, session->id);
    last = session;
  }
  sqlite3_finalize(statement);
}

static void orders_are_equal(void **state)
{
  (void)state;
  for (oracle_seed = 1; oracle_seed < 4; oracle_seed++) {
    for (size_t i = 0; i < SESSIONS; i++)
      draw_session(&sessions[i], i);
    fill_database();
    for (size_t i = 0; gg_filter_field_at(i); i++) {
      char down[64];
      snprintf(down, sizeof down, "-%s", gg_filter_field_at(i)->name);
      if (!gg_filter_field_at(i)->sortable)
        continue;
      check_order(down + 1);
      check_order(down);
    }
  }
}

/* As much as a filter may be, however it is nested, is not too much for a database. */
static void check_greatest(const char *level, const char *end)
{
  static char text[GG_FILTER_BYTES_MAX + 1];
  char *at = text;
  size_t depth = 0, tests = 0, per_level = 0;
  for (const char *each = level; *each; each++) {
    depth += *each == '(' || strncmp(each, "not ", 4) == 0;
    per_level += *each == '=';
  }
  for (const char *each = end; *each; each++)
    per_level += *each == '=';
  size_t levels = (strchr(end, '(') ? GG_FILTER_DEPTH_MAX - 1 : GG_FILTER_DEPTH_MAX) / depth;
  for (size_t i = 0; i < levels; i++, tests += per_level)
    at = stpcpy(at, level);
  for (bool first = true; tests < GG_FILTER_TESTS_MAX; tests++, first = false)
    at += snprintf(at, (size_t)(text + sizeof text - at), "%shttp.host%sx%zu", first ? "" : " or ",
                   tests % 2 ? "=" : "!=", tests);
  for (size_t i = 0; i < levels; i++)
    at = stpcpy(at, end);
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__filter_parse_with(&filter, text, NOW, facts, &failure) != 0)
    fail_msg("%s", failure.message);
  check_database(filter, level);
  gg_filter_destroy(filter);
}

static void the_greatest_filters_run(void **state)
{
  (void)state;
  check_greatest("(port=1 or ", ")");
  check_greatest("not (port=1 or ", ")");
  check_greatest("(port=1 and port=2 or ", ")");
  check_greatest("port=1 and port=2 or port=3 and (port=1 or port=3 and port=4 or port=5 and ", ")");
  check_greatest("(", " and (port=2 or tag=b and http.host=c))");
  check_greatest("not ", "");
  check_greatest("(", ")");
}

#endif

/* ── The filters ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_filter(const struct gg_filter *filter, const struct oracle_node *tree, const char *text,
                         unsigned seed)
{
  for (size_t i = 0; i < SESSIONS; i++) {
    bool expected = holds(tree, &sessions[i]), matches;
    matches = gg__filter_judge(filter, &sessions[i].session, &source) == GG__YES;
    if (matches != expected)
      fail_msg("seed %u: %s\nis %s of %s (client %s, server %s)", seed, text, matches ? "true" : "false",
               sessions[i].session.id, sessions[i].session.client, sessions[i].session.server);
    if (matches && !gg_filter_may_match(filter, &sessions[i].session))
      fail_msg("seed %u: %s\nmay match", seed, text);
  }
}

/* The same as words, as far as a tree can be: one comparison, or several that must all hold. */
static void check_words(const struct oracle_node *tree, unsigned seed)
{
  static char texts[3][1024];
  const char *words[3];
  size_t count = tree->kind == LEAF ? 1 : tree->kind == ALL ? tree->count : 0;
  for (size_t i = 0; i < count; i++) {
    const struct oracle_node *leaf = tree->kind == LEAF ? tree : tree->children[i];
    if (leaf->kind != LEAF || leaf->field->name[0] == 'h' || leaf->value_count != 1 || leaf->values[0].quoted ||
        strcmp(leaf->word, "in") == 0)
      return;
    snprintf(texts[i], sizeof texts[i], "%s%s%s", leaf->field->name, leaf->word, leaf->values[0].text);
    words[i] = texts[i];
  }
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (count == 0)
    return;
  if (gg_filter_parse(&filter, words, count, NOW, &failure) != 0)
    fail_msg("seed %u: %s: %s", seed, texts[0], failure.message);
  check_filter(filter, tree, texts[0], seed);
  gg_filter_destroy(filter);
}

static void random_filters_are_right(void **state)
{
  (void)state;
  static char text[TEXT_BYTES];
  for (unsigned seed = 1; seed <= seeds(); seed++) {
    oracle_seed = seed;
    for (size_t i = 0; i < SESSIONS; i++)
      draw_session(&sessions[i], i);
#ifdef GG_TEST_SQLITE
    fill_database();
#endif
    for (size_t i = 0; i < FILTERS; i++) {
      struct oracle_node *tree = draw_tree(sessions, (unsigned)draw(DEPTH), regexes);
      struct gg_filter *filter = NULL;
      struct gg_failure failure = GG_FAILURE_INIT;
      *write_tree(text, tree, -1) = '\0';
      if (gg__filter_parse_with(&filter, text, NOW, facts, &failure) != 0)
        fail_msg("seed %u: %s\n%s", seed, text, failure.message);
      check_filter(filter, tree, text, seed);
      check_words(tree, seed);
#ifdef GG_TEST_SQLITE
      check_database(filter, text);
#endif
      gg_filter_destroy(filter);
      oracle_free(tree);
    }
  }
}

/* The oracle knows each field that there is. */
static void no_field_is_left_out(void **state)
{
  (void)state;
  for (size_t i = 0; gg_filter_field_at(i); i++) {
    bool known = false;
    for (size_t j = 0; j < ORACLE_FIELDS; j++)
      known = known || strcmp(oracle_fields[j].name, gg_filter_field_at(i)->name) == 0;
    if (!known)
      fail_msg("%s is not asked for", gg_filter_field_at(i)->name);
  }
#ifdef GG_TEST_SQLITE
  assert_true(seeds() < SEEDS || (exact_count > 500 && inexact_count > 100));
#endif
}

static int set_up(void **state)
{
  (void)state;
  struct gg_filter *filter = NULL;
  regexes = gg_filter_parse_text(&filter, "tag ~ x", NOW, NULL) == 0;
  gg_filter_destroy(filter);
  assert_int_equal(gg__facts_table_create(&facts), 0);
  assert_int_equal(gg__facts_table_add(facts, "http.status", GG__KIND_NUMBER, "status", "http.status=404", NULL), 0);
  assert_int_equal(gg__facts_table_add(facts, "http.host", GG__KIND_TEXT, "host", "http.host=api*", NULL), 0);
#ifdef GG_TEST_SQLITE
  make_tables();
#endif
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  gg__facts_table_destroy(facts);
#ifdef GG_TEST_SQLITE
  sqlite3_close(database);
#endif
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_filters_are_right),
    cmocka_unit_test(no_field_is_left_out),
#ifdef GG_TEST_SQLITE
    cmocka_unit_test(orders_are_equal),
    cmocka_unit_test(the_greatest_filters_run),
#endif
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
