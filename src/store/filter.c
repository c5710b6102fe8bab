/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter.c - filters that choose sessions: what a parsed one says of a session.
 *
 * There are two questions. Of a whole session: does it match? Of one that has only begun: may it match, whatever comes?
 * The second is answered with a third truth value for what is not known yet.
 *
 * Recursion is as deep as the filter's parentheses and nots, which the parser bounds.
 */
#include "store/filter_ast.h"
#include "store/sweep.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__node_destroy(struct gg__node *node)
{
  if (!node)
    return;
  for (struct gg__node *child = node->child, *next; child; child = next) {
    next = child->next;
    gg__node_destroy(child);
  }
  gg__test_fini(&node->test);
  free(node);
}

void gg_filter_destroy(struct gg_filter *filter)
{
  if (filter)
    gg__node_destroy(filter->root);
  free(filter);
}

static void number(struct gg_filter *filter, struct gg__node *node)
{
  for (struct gg__node *child = node->child; child; child = child->next)
    number(filter, child);
  if (node->kind != GG__NODE_TEST)
    return;
  filter->tests++;
  if (node->test.form != GG__TEST_GLOB && node->test.form != GG__TEST_REGEX)
    return;
  assert(filter->operands < GG_FILTER_TESTS_MAX);
  node->test.operand = filter->operands;
  filter->operand[filter->operands++] = node;
}

void gg__filter_number(struct gg_filter *filter)
{
  filter->tests = 0;
  filter->operands = 0;
  if (filter->root)
    number(filter, filter->root);
}

/* Both below one AND: what is there already is one, so that many filters do not become as many levels. */
static void join(struct gg__node *both, struct gg__node *root)
{
  struct gg__node **tail = &both->child;
  while (*tail)
    tail = &(*tail)->next;
  if (root && root->kind == GG__NODE_AND) {
    *tail = root->child;
    root->child = NULL;
    gg__node_destroy(root);
  } else {
    *tail = root;
  }
}

int gg_filter_and(struct gg_filter **filter, struct gg_filter *other, struct gg_failure *failure)
{
  if (!other)
    return 0;
  if (!*filter) {
    *filter = other;
    return 0;
  }
  assert(*filter != other);
  if ((*filter)->tests + other->tests > GG_FILTER_TESTS_MAX) {
    gg_filter_destroy(other);
    return gg_fail(failure, GG_ERR_LIMIT, "a filter has at most %d comparisons", GG_FILTER_TESTS_MAX);
  }
  struct gg__node *both = calloc(1, sizeof *both);
  if (!both) {
    gg_filter_destroy(other);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the filter");
  }
  both->kind = GG__NODE_AND;
  join(both, (*filter)->root);
  join(both, other->root);
  (*filter)->root = both;
  other->root = NULL;
  gg_filter_destroy(other);
  gg__filter_number(*filter);
  return 0;
}

/* ── One test ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t character_length(const char *text, size_t length)
{
  size_t used = 1;
  while (used < length && ((unsigned char)text[used] & 0xc0) == 0x80)
    used++;
  return used;
}

/* After a `*` it is enough to try again from the last one: what an earlier one took can only have been too little. */
bool gg__glob_match(const char *glob, const char *text, size_t length)
{
  if (length == 0) /* of a text that is not there: NULL, perhaps */
    text = "";
  const char *end = text + length, *star = NULL, *again = NULL;
  while (text < end) {
    if (*glob == '*') {
      star = ++glob;
      again = text;
    } else if (*glob == '?') {
      glob++;
      text += character_length(text, (size_t)(end - text));
    } else if (*glob == *text && *glob) {
      glob++;
      text++;
    } else if (star) {
      glob = star;
      again += character_length(again, (size_t)(end - again));
      text = again;
    } else {
      return false;
    }
  }
  return glob[strspn(glob, "*")] == '\0';
}

static bool match_text(const struct gg__test *test, const char *text, size_t length)
{
  switch (test->form) {
  case GG__TEST_EQUAL:
    return length == test->length && memcmp(text, test->text, length) == 0;
  case GG__TEST_PREFIX:
    return length >= test->length && memcmp(text, test->text, test->length) == 0;
  case GG__TEST_GLOB:
    return gg__glob_match(test->text, text, length);
  case GG__TEST_REGEX:
    return gg__regex_match(test->regex, text, length);
  default:
    return false;
  }
}

static bool match_network(const struct gg__test *test, const char *text)
{
  uint8_t key[GG__ADDRESS_KEY_BYTES];
  int port;
  return gg__address_key(text, key, &port) > 0 && memcmp(key, test->key[0], sizeof key) >= 0 &&
         memcmp(key, test->key[1], sizeof key) <= 0 && (test->port < 0 || test->port == port);
}

static bool match_number(const struct gg__test *test, uint64_t number)
{
  return number >= test->from && number <= test->to;
}

static bool is_asked(const void *asked, const struct gg__fact_value *value)
{
  const struct gg__test *test = asked;
  if (test->form == GG__TEST_RANGE)
    return !value->text && match_number(test, value->number);
  return value->text && match_text(test, value->text, strlen(value->text));
}

static bool match_own(const struct gg__test *test, const struct gg_session *session)
{
  const struct gg__field *field = test->field;
  uint64_t number;
  if (test->form == GG__TEST_RANGE)
    return field->number(session, &number) && match_number(test, number);
  if (test->form == GG__TEST_NETWORK)
    return match_network(test, field->text(session, 0));
  const char *text;
  for (size_t i = 0; (text = field->text(session, i)); i++)
    if (match_text(test, text, strlen(text)))
      return true;
  return false;
}

enum gg__truth gg__test_judge(const struct gg__test *test, const struct gg_session *session,
                              const struct gg__fact_source *facts)
{
  if (!test->field->fact)
    return match_own(test, session) ? GG__YES : GG__NO;
  return facts ? facts->any(facts->context, session, test->field->shown.name, is_asked, test) : GG__NO;
}

bool gg__filter_operand_match(const struct gg_filter *filter, unsigned operand, const char *text, size_t length)
{
  return filter && operand < filter->operands && match_text(&filter->operand[operand]->test, text, length);
}

/* ── Whole sessions ──────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg__truth judge_node(const struct gg__node *node, const struct gg_session *session,
                                 const struct gg__fact_source *facts)
{
  enum gg__truth result = node->kind == GG__NODE_OR ? GG__NO : GG__YES, one;
  switch (node->kind) {
  case GG__NODE_AND:
    for (const struct gg__node *child = node->child; child && result > GG__NO; child = child->next)
      result = (one = judge_node(child, session, facts)) < result ? one : result;
    return result;
  case GG__NODE_OR:
    for (const struct gg__node *child = node->child; child && result < GG__YES; child = child->next)
      result = (one = judge_node(child, session, facts)) > result ? one : result;
    return result;
  case GG__NODE_NOT:
    return (enum gg__truth)(GG__YES - judge_node(node->child, session, facts));
  default:
    return gg__test_judge(&node->test, session, facts);
  }
}

enum gg__truth gg__filter_judge(const struct gg_filter *filter, const struct gg_session *session,
                                const struct gg__fact_source *facts)
{
  assert(session);
  return !filter || !filter->root ? GG__YES : judge_node(filter->root, session, facts);
}

bool gg_filter_match(const struct gg_filter *filter, const struct gg_session *session)
{
  return gg__filter_judge(filter, session, NULL) == GG__YES;
}

static const char *find_fact(const struct gg__node *node, const char *but)
{
  const char *found = NULL;
  if (node->kind == GG__NODE_TEST && node->test.field->fact) {
    const char *name = node->test.field->shown.name;
    found = but && strcmp(name, but) == 0 ? NULL : name;
  }
  for (const struct gg__node *child = node->child; child && !found; child = child->next)
    found = find_fact(child, but);
  return found;
}

const char *gg__filter_fact(const struct gg_filter *filter, const char *but)
{
  return filter && filter->root ? find_fact(filter->root, but) : NULL;
}

/* ── Sessions that have begun ────────────────────────────────────────────────────────────────────────────────────── */

static enum gg__truth judge_begun(const struct gg__node *node, const struct gg_session *begun)
{
  enum gg__truth result = node->kind == GG__NODE_OR ? GG__NO : GG__YES;
  switch (node->kind) {
  case GG__NODE_AND:
  case GG__NODE_OR:
    for (const struct gg__node *child = node->child; child; child = child->next) {
      enum gg__truth one = judge_begun(child, begun);
      if (node->kind == GG__NODE_OR ? one > result : one < result)
        result = one;
    }
    return result;
  case GG__NODE_NOT:
    return (enum gg__truth)(GG__YES - judge_begun(node->child, begun));
  default:
    if (!node->test.field->early)
      return GG__PERHAPS;
    return match_own(&node->test, begun) ? GG__YES : GG__NO;
  }
}

bool gg_filter_may_match(const struct gg_filter *filter, const struct gg_session *begun)
{
  return !filter || !filter->root || judge_begun(filter->root, begun) != GG__NO;
}

static bool asks(const struct gg__node *node, const char *field)
{
  bool any = node->kind == GG__NODE_TEST && strcmp(node->test.field->shown.name, field) == 0;
  for (const struct gg__node *child = node->child; child && !any; child = child->next)
    any = asks(child, field);
  return any;
}

bool gg__filter_asks(const struct gg_filter *filter, const char *field)
{
  return filter && filter->root && asks(filter->root, field);
}

/* A comparison with an id that the session has and its original has not. */
static bool names_as_sent(const struct gg__node *node, const struct gg_session *session, bool negated)
{
  if (node->kind == GG__NODE_TEST) {
    const struct gg__test *test = &node->test;
    if (negated || test->field->kind != GG__KIND_ID || !match_own(test, session))
      return false;
    return strcmp(test->field->shown.name, "id") != 0
             ? strcmp(test->field->shown.name, "as_sent_of") == 0
             : !match_text(test, session->as_sent_of, strlen(session->as_sent_of));
  }
  for (const struct gg__node *child = node->child; child; child = child->next)
    if (names_as_sent(child, session, negated != (node->kind == GG__NODE_NOT)))
      return true;
  return false;
}

bool gg_filter_names_as_sent(const struct gg_filter *filter, const struct gg_session *session)
{
  return filter && filter->root && names_as_sent(filter->root, session, false);
}
