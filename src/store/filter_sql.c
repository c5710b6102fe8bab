/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter as the condition of a query. The text is put together of constants only: names of columns, operators, `?`.
 * Whatever the user wrote goes into the list of values.
 *
 * NOT goes down to the tests on the way, by De Morgan's rules. That keeps two things right. A column of a session that
 * has no such value is NULL (ports only), for which the database's NOT is neither true nor false: each test negates
 * itself so that it is true then. And a test that the database can only answer with "perhaps" says so of itself and of
 * its negation, where a NOT around it would turn "perhaps" into "no".
 */
#include "store/filter_ast.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct making {
  char *text;
  size_t length, room;
  struct gg__sql_value *values;
  size_t count, value_room;
  enum gg__sql_use use;
  bool exact;
  bool failed; /* no memory; sticky */
};

/* ── Putting it together ─────────────────────────────────────────────────────────────────────────────────────────── */

static void put(struct making *making, const char *text)
{
  size_t length = strlen(text);
  if (making->length + length + 1 > making->room) {
    size_t room = (making->length + length + 1) * 2;
    char *larger = making->failed ? NULL : realloc(making->text, room);
    if (!larger) {
      making->failed = true;
      return;
    }
    making->text = larger;
    making->room = room;
  }
  memcpy(making->text + making->length, text, length + 1);
  making->length += length;
}

static void bind(struct making *making, struct gg__sql_value value)
{
  if (making->count == making->value_room) {
    size_t room = making->value_room ? making->value_room * 2 : 16;
    struct gg__sql_value *larger = making->failed ? NULL : realloc(making->values, room * sizeof *larger);
    if (!larger) {
      making->failed = true;
      return;
    }
    making->values = larger;
    making->value_room = room;
  }
  making->values[making->count++] = value;
}

static void bind_integer(struct making *making, int64_t integer)
{
  bind(making, (struct gg__sql_value){.kind = GG__SQL_INTEGER, .integer = integer});
}

static void bind_text(struct making *making, const char *text, size_t length)
{
  bind(making, (struct gg__sql_value){.kind = GG__SQL_TEXT, .data = text, .length = length});
}

/* ── One test on one column ──────────────────────────────────────────────────────────────────────────────────────── */

static int64_t stored(const struct gg__field *field, uint64_t number)
{
  if (field->fact || gg__field_is_wide(field))
    return gg__sql_from_u64(number);
  return number < INT64_MAX ? (int64_t)number : INT64_MAX; /* what is smaller as it is; none is so great */
}

static void put_range(struct making *making, const struct gg__field *field, const char *column, uint64_t from,
                      uint64_t to)
{
  if (from > to) {
    put(making, "0");
    return;
  }
  put(making, column);
  if (from == to)
    put(making, " = ?");
  else if (from == 0 && to == UINT64_MAX)
    put(making, " IS NOT NULL");
  else if (from == 0)
    put(making, " <= ?");
  else if (to == UINT64_MAX)
    put(making, " >= ?");
  else
    put(making, " BETWEEN ? AND ?");
  if (from > 0 || from == to)
    bind_integer(making, stored(field, from));
  if (to < UINT64_MAX && from != to)
    bind_integer(making, stored(field, to));
}

/* The opposite of a range as what is below it and above it, so that an index can be of use. */
static void put_outside(struct making *making, const struct gg__field *field, const char *column, uint64_t from,
                        uint64_t to)
{
  if (from > to) {
    put(making, "1");
    return;
  }
  put(making, "(");
  put_range(making, field, column, from > 0 ? 0 : 1, from > 0 ? from - 1 : 0);
  put(making, " OR ");
  put_range(making, field, column, to < UINT64_MAX ? to + 1 : 1, to < UINT64_MAX ? UINT64_MAX : 0);
  if (field->kind == GG__KIND_PORT) {
    put(making, " OR ");
    put(making, column);
    put(making, " IS NULL");
  }
  put(making, ")");
}

/* What begins with the test's prefix: from it to before its bound, if it has one. */
static void put_prefix(struct making *making, const struct gg__test *test, const char *column)
{
  put(making, column);
  put(making, " >= ?");
  bind_text(making, test->text, test->prefix_length);
  if (!test->bound)
    return;
  put(making, " AND ");
  put(making, column);
  put(making, " < ?");
  bind_text(making, test->bound, strlen(test->bound));
}

static void put_text(struct making *making, const struct gg__test *test, const char *column)
{
  if (test->form == GG__TEST_EQUAL) {
    put(making, column);
    put(making, " = ?");
    bind_text(making, test->text, test->length);
    return;
  }
  if (test->prefix_length > 0)
    put_prefix(making, test, column);
  if (test->form == GG__TEST_PREFIX)
    return;
  put(making, test->prefix_length > 0 ? " AND gg_regexp(?, " : "gg_regexp(?, ");
  put(making, column);
  put(making, ")");
  bind_integer(making, test->operand);
}

static void put_key(struct making *making, const uint8_t key[GG__ADDRESS_KEY_BYTES])
{
  bind(making, (struct gg__sql_value){.kind = GG__SQL_BLOB, .data = key, .length = GG__ADDRESS_KEY_BYTES});
}

static void put_network(struct making *making, const struct gg__test *test)
{
  bool one = memcmp(test->key[0], test->key[1], sizeof test->key[0]) == 0;
  put(making, test->field->key_column);
  put(making, one ? " = ?" : " BETWEEN ? AND ?");
  put_key(making, test->key[0]);
  if (!one)
    put_key(making, test->key[1]);
  if (test->port < 0)
    return;
  put(making, " AND ");
  put(making, test->field->port_column);
  put(making, " = ?");
  bind_integer(making, test->port);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether a session without an end is open or cut depends on whether its gateway is still there, which the catalogue
 * does not know: it may be either. */
static void put_state(struct making *making, const struct gg__test *test, bool negated)
{
  bool wanted[3];
  for (int state = GG_SESSION_OPEN; state <= GG_SESSION_CUT; state++) {
    struct gg_session session = {.state = (enum gg_session_state)state};
    wanted[state] = (gg__test_judge(test, &session, NULL) == GG__YES) != negated;
  }
  bool unended = wanted[GG_SESSION_OPEN] || wanted[GG_SESSION_CUT];
  making->exact = making->exact && wanted[GG_SESSION_OPEN] == wanted[GG_SESSION_CUT];
  static_assert(GG_SESSION_CLOSED == 1, "as in the text");
  if (wanted[GG_SESSION_CLOSED])
    put(making, unended ? "1" : "state = 1");
  else
    put(making, unended ? "state <> 1" : "0");
}

/* Tags have a table of their own. Who has one is found at once by its index, which lists all of them, and there may be
 * millions: so where the first few are wanted of those that come, each is asked. Who has it not is always asked: all
 * others would have to be listed first. */
static void put_tag(struct making *making, const struct gg__test *test, bool negated)
{
  bool listed = making->use == GG__SQL_FIND && !negated;
  put(making, negated ? "NOT " : "");
  put(making, listed ? "rowid IN (SELECT session FROM tags WHERE "
                     : "EXISTS (SELECT 1 FROM tags WHERE session = sessions.rowid AND ");
  put_text(making, test, "tag");
  put(making, ")");
}

/* Of a field with too many values not all are in the table: such a session may match, and its negation too. */
static void put_fact(struct making *making, const struct gg__test *test, bool negated)
{
  const char *name = test->field->shown.name;
  making->exact = false;
  put(making, negated ? "NOT EXISTS (SELECT 1 FROM facts WHERE session = sessions.rowid AND field = ? AND "
                      : "rowid IN (SELECT session FROM facts WHERE field = ? AND ");
  bind_text(making, name, strlen(name));
  if (test->form == GG__TEST_RANGE) {
    put_range(making, test->field, "number", test->from, test->to);
    put(making, " AND number IS NOT NULL");
  } else {
    put_text(making, test, "text");
    put(making, " AND text IS NOT NULL");
  }
  if (!negated) {
    put(making, " UNION ALL SELECT session FROM facts WHERE field = ? AND overflow = 1");
    bind_text(making, name, strlen(name));
  }
  put(making, ")");
}

/* Either of two columns; what is empty in them is no value. Each has an index by epoch, which is of use to a query for
 * it alone, and not to one with an OR. */
static void put_either(struct making *making, const struct gg__test *test)
{
  static const char each[] = "SELECT rowid FROM sessions WHERE epoch IN (SELECT epoch FROM epochs) AND ";
  const char *columns[] = {test->field->column, test->field->second_column};
  bool found = test->form == GG__TEST_EQUAL;
  put(making, found ? "rowid IN (" : "(");
  for (size_t i = 0; i < 2; i++) {
    put(making, i == 0 ? "" : found ? " UNION ALL " : " OR ");
    put(making, found ? each : "");
    put(making, columns[i]);
    put(making, " <> '' AND ");
    put_text(making, test, columns[i]);
  }
  put(making, ")");
}

/* An index of the few that have a value is of use to who says that it is for them. */
static void put_rare(struct making *making, const struct gg__test *test)
{
  bool one_of_them = test->form == GG__TEST_RANGE ? test->from > 0 : test->form == GG__TEST_EQUAL && test->length > 0;
  if (!test->field->rare || !one_of_them)
    return;
  put(making, test->field->rare);
  put(making, " AND ");
}

static void put_test(struct making *making, const struct gg__test *test, bool negated)
{
  const struct gg__field *field = test->field;
  if (!negated)
    put_rare(making, test);
  if (field->fact) {
    put_fact(making, test, negated);
  } else if (field->kind == GG__KIND_TAGS) {
    put_tag(making, test, negated);
  } else if (field->number && field->text) {
    put_state(making, test, negated);
  } else if (test->form == GG__TEST_RANGE) {
    (negated ? put_outside : put_range)(making, field, field->column, test->from, test->to);
  } else {
    put(making, negated ? "NOT (" : "(");
    if (test->form == GG__TEST_NETWORK)
      put_network(making, test);
    else if (field->second_column)
      put_either(making, test);
    else
      put_text(making, test, field->column);
    put(making, ")");
  }
}

/* How many levels of nodes are below it. */
static unsigned height(const struct gg__node *node)
{
  unsigned most = 0;
  for (const struct gg__node *child = node->child; child; child = child->next) {
    unsigned one = height(child) + 1;
    most = one > most ? one : most;
  }
  return most;
}

/* The child that goes deepest comes first: what is to the left of a parenthesis waits on the database's parser's stack,
 * which has a hundred places, until it is closed. For the same reason there are no more parentheses than are needed:
 * an OR within an AND has them. */
static void put_node(struct making *making, const struct gg__node *node, bool negated, bool within_and)
{
  for (; node->kind == GG__NODE_NOT; node = node->child)
    negated = !negated;
  if (node->kind == GG__NODE_TEST) {
    put_test(making, &node->test, negated);
    return;
  }
  bool all = (node->kind == GG__NODE_AND) != negated;
  const struct gg__node *deepest = node->child;
  if (!deepest) {
    put(making, all ? "1" : "0");
    return;
  }
  for (const struct gg__node *child = node->child; child; child = child->next)
    deepest = height(child) > height(deepest) ? child : deepest;
  put(making, within_and && !all ? "(" : "");
  put_node(making, deepest, negated, all);
  for (const struct gg__node *child = node->child; child; child = child->next) {
    if (child == deepest)
      continue;
    put(making, all ? " AND " : " OR ");
    put_node(making, child, negated, all);
  }
  put(making, within_and && !all ? ")" : "");
}

int gg__filter_sql(const struct gg_filter *filter, enum gg__sql_use use, struct gg__sql *out)
{
  struct making making = {.use = use, .exact = true};
  *out = (struct gg__sql){0};
  if (filter && filter->root)
    put_node(&making, filter->root, false, true);
  else
    put(&making, "1");
  if (making.failed) {
    free(making.text);
    free(making.values);
    return GG_ERR_NOMEM;
  }
  *out = (struct gg__sql){making.text, making.values, making.count, making.exact};
  return 0;
}

void gg__sql_fini(struct gg__sql *sql)
{
  free(sql->text);
  free(sql->values);
  *sql = (struct gg__sql){0};
}
