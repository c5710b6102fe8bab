/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language of filters, as words and as expressions.
 *
 *     expression   or
 *     or           and { "or" and }
 *     and          not { ["and"] not }
 *     not          "not" not  |  primary
 *     primary      "(" or ")"  |  comparison
 *     comparison   FIELD OPERATOR value  |  FIELD ["not"] "in" "(" value { "," value } ")"  |  FLAG  |  ID
 *     OPERATOR     = != < <= > >= ~ !~
 *
 * A word of the command line is one comparison: its value is the rest of the word as it is, so that a shell's quotes
 * are the only ones to think of. In an expression a value is what stands between blanks, parentheses, commas and
 * operators, or anything in quotes of either kind, in which the quote itself is written twice and nothing else is
 * special: a backslash is one, because regular expressions are full of them.
 *
 * It is a descent by hand: its depth is that of the parentheses, which is bounded, and each error knows where it is.
 */
#include "base/text.h"
#include "store/decoder_names.h"
#include "store/filter_ast.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
  BARE_ID_DIGITS_MIN = 6, /* a shorter bare word is more likely a slip than an id */
  BARE_ID_DIGITS_MAX = 24,
  NAMES_MAX = 64 + GG_FILTER_FACTS_MAX,
};

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_COMMA, TOKEN_OPERATOR };

struct relation {
  enum gg__comparison comparison;
  bool negated;
};

struct token {
  enum token_kind kind;
  const char *from, *to; /* of a quoted one, between the quotes */
  struct relation relation;
};

struct parser {
  const char *text; /* of an expression; NULL: words, whose errors have no column */
  const char *at;   /* behind `token` */
  struct token token;
  const struct gg__facts_table *facts;
  uint64_t now_ns;
  unsigned depth;
  size_t tests;
  struct gg_failure *failure;
  char value[GG_FILTER_VALUE_BYTES_MAX + 2]; /* one more than may be, so that too much is seen */
};

/* ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int wrong(struct parser *parser, const char *at, int error, const char *format, ...) GG_PRINTF(4, 5);

/* Characters from 1: bytes that go on with one are not counted. */
static int wrong(struct parser *parser, const char *at, int error, const char *format, ...)
{
  char message[sizeof parser->failure->message];
  size_t column = 1;
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  if (!parser->text)
    return gg_fail(parser->failure, error, "%s", message);
  for (const char *before = parser->text; before < at; before++)
    column += ((unsigned char)*before & 0xc0) != 0x80;
  return gg_fail(parser->failure, error, "column %zu: %s", column, message);
}

static int no_memory(struct parser *parser)
{
  return gg_fail(parser->failure, GG_ERR_NOMEM, "no memory for the filter");
}

static const struct gg__field *find_field(const struct parser *parser, const char *name, size_t length)
{
  const struct gg__field *field = gg__field_find(name, length);
  for (size_t i = 0; !field && gg__facts_table_at(parser->facts, i); i++) {
    const struct gg__field *fact = gg__facts_table_at(parser->facts, i);
    if (strlen(fact->shown.name) == length && memcmp(fact->shown.name, name, length) == 0)
      field = fact;
  }
  return field;
}

static int unknown_field(struct parser *parser, const char *word, size_t length)
{
  const char *names[NAMES_MAX];
  char name[GG_TEXT_WORD_MAX], shown[GG__SHOWN_MAX];
  size_t count = 0;
  snprintf(name, sizeof name, "%.*s", (int)(length < 40 ? length : 40), word);
  gg__value_show(name, strlen(name), shown);
  for (size_t i = 0; gg__field_at(i); i++)
    names[count++] = gg__field_at(i)->shown.name;
  for (size_t i = 0; gg__facts_table_at(parser->facts, i); i++)
    names[count++] = gg__facts_table_at(parser->facts, i)->shown.name;
  assert(count <= NAMES_MAX);
  size_t nearest = gg_text_nearest(name, names, count);
  if (nearest < count)
    return wrong(parser, word, GG_ERR_INVALID, "unknown field '%s'; did you mean '%s'?", shown, names[nearest]);
  return wrong(parser, word, GG_ERR_INVALID,
               "unknown field '%s'; known are id, client, server, port, listener, since, until, bytes, state, close, "
               "tag and more: 'gogetway help filters'",
               shown);
}

/* ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char separators[] = " \t\r\n(),=!<>~\"'";

/* "=", "!=", "<", "<=", ">", ">=", "~", "!~"; returns how long it is, 0: none. */
static size_t read_operator(const char *text, struct relation *out)
{
  static const struct {
    const char *text;
    struct relation relation;
  } operators[] = {{"!=", {GG__IS, true}},        {"!~", {GG__LIKE, true}}, {"<=", {GG__AT_MOST, false}},
                   {">=", {GG__AT_LEAST, false}}, {"=", {GG__IS, false}},   {"<", {GG__BELOW, false}},
                   {">", {GG__ABOVE, false}},     {"~", {GG__LIKE, false}}};
  for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
    if (strncmp(text, operators[i].text, strlen(operators[i].text)) == 0) {
      *out = operators[i].relation;
      return strlen(operators[i].text);
    }
  return 0;
}

static int read_quoted(struct parser *parser)
{
  char quote = *parser->at;
  const char *end = parser->at + 1;
  for (;; end += 2) {
    end = strchr(end, quote);
    if (!end)
      return wrong(parser, parser->at, GG_ERR_INVALID, "the quote is not closed");
    if (end[1] != quote)
      break;
  }
  parser->token.kind = TOKEN_QUOTED;
  parser->token.from = parser->at + 1;
  parser->token.to = end;
  parser->at = end + 1;
  return 0;
}

static int next(struct parser *parser)
{
  struct token *token = &parser->token;
  parser->at += strspn(parser->at, " \t\r\n");
  token->from = token->to = parser->at;
  size_t length = read_operator(parser->at, &token->relation);
  if (length > 0) {
    token->kind = TOKEN_OPERATOR;
    token->to = parser->at += length;
    if (parser->at[0] == '=' && length == 1)
      return wrong(parser, parser->at, GG_ERR_INVALID, "one = is enough");
    return 0;
  }
  switch (*parser->at) {
  case '\0':
    token->kind = TOKEN_END;
    return 0;
  case '(':
  case ')':
  case ',':
    token->kind = *parser->at == '(' ? TOKEN_OPEN : *parser->at == ')' ? TOKEN_CLOSE : TOKEN_COMMA;
    token->to = ++parser->at;
    return 0;
  case '"':
  case '\'':
    return read_quoted(parser);
  case '!':
    return wrong(parser, parser->at, GG_ERR_INVALID, "a ! by itself means nothing; write not");
  default:
    token->kind = TOKEN_WORD;
    token->to = parser->at += strcspn(parser->at, separators);
    return 0;
  }
}

static bool is_word(const struct token *token, const char *word)
{
  size_t length = strlen(word);
  return token->kind == TOKEN_WORD && (size_t)(token->to - token->from) == length &&
         strncasecmp(token->from, word, length) == 0;
}

/* What the token is called where something else should stand. */
static const char *called(const struct token *token, char shown[GG__SHOWN_MAX + 2])
{
  if (token->kind == TOKEN_END)
    return "the end";
  shown[0] = '\'';
  size_t length = strlen(gg__value_show(token->from, (size_t)(token->to - token->from), shown + 1));
  shown[length + 1] = '\'';
  shown[length + 2] = '\0';
  return shown;
}

/* ── Nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__node *make_node(enum gg__node_kind kind, struct gg__node *child)
{
  struct gg__node *node = calloc(1, sizeof *node);
  if (!node) {
    gg__node_destroy(child);
    return NULL;
  }
  node->kind = kind;
  node->child = child;
  return node;
}

/* Puts a NOT over what was made, if it is to be one. */
static int negate(struct parser *parser, struct gg__node **node, bool negated)
{
  if (!negated)
    return 0;
  *node = make_node(GG__NODE_NOT, *node);
  return *node ? 0 : no_memory(parser);
}

/* `origin`: where the value stands, for errors. */
static int make_test(struct parser *parser, struct gg__node **out, const struct gg__field *field,
                     struct relation relation, struct gg__value *value, const char *origin)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__node *node = make_node(GG__NODE_TEST, NULL);
  *out = NULL;
  if (!node)
    return no_memory(parser);
  value->now_ns = parser->now_ns;
  int error = ++parser->tests > GG_FILTER_TESTS_MAX
                ? gg_fail(&failure, GG_ERR_LIMIT, "a filter has at most %d comparisons", GG_FILTER_TESTS_MAX)
                : gg__test_make(&node->test, field, relation.comparison, value, &failure);
  if (error) {
    gg__node_destroy(node);
    return error == GG_ERR_NOMEM ? no_memory(parser)
                                 : wrong(parser, origin + value->wrong_at, error, "%s", failure.message);
  }
  *out = node;
  return negate(parser, out, relation.negated);
}

/* A word without an operator: a flag, or the beginning of an id. */
static int make_bare(struct parser *parser, struct gg__node **out, const char *word, size_t length)
{
  const struct gg__field *field = find_field(parser, word, length);
  struct gg__value value = {.text = "yes", .length = 3};
  char shown[GG__SHOWN_MAX];
  if (field && field->kind == GG__KIND_FLAG)
    return make_test(parser, out, field, (struct relation){GG__IS, false}, &value, word);
  if (field)
    return wrong(parser, word, GG_ERR_INVALID, "%s is compared with nothing; right would be %s", field->shown.name,
                 field->shown.example);
  if (strspn(word, "&|") >= length)
    return wrong(parser, word, GG_ERR_INVALID, "'%s' means nothing; write %s", gg__value_show(word, length, shown),
                 word[0] == '&' ? "and" : "or");
  size_t digits = strspn(word, "0123456789abcdefABCDEF");
  if (digits < length || length < BARE_ID_DIGITS_MIN || length > BARE_ID_DIGITS_MAX)
    return wrong(parser, word, GG_ERR_INVALID,
                 "'%s' is neither FIELD=VALUE nor the beginning of an id (%d hexadecimal digits or more)",
                 gg__value_show(word, length, shown), BARE_ID_DIGITS_MIN);
  snprintf(parser->value, sizeof parser->value, "%.*s", (int)length, word);
  value = (struct gg__value){.text = parser->value, .length = length};
  return make_test(parser, out, gg__field_find("id", 2), (struct relation){GG__IS, false}, &value, word);
}

/* ── Expressions ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int parse_or(struct parser *parser, struct gg__node **out);

/* The token as a value, and the next token. */
static int parse_value(struct parser *parser, struct gg__node **out, const struct gg__field *field,
                       struct relation relation)
{
  const struct token *token = &parser->token;
  const char *origin = token->from;
  struct gg__value value = {.text = parser->value, .quoted = token->kind == TOKEN_QUOTED};
  char shown[GG__SHOWN_MAX + 2];
  if (token->kind != TOKEN_WORD && !value.quoted)
    return wrong(parser, origin, GG_ERR_INVALID, "a value is expected, not %s%s", called(token, shown),
                 relation.comparison == GG__LIKE ? "; a regular expression with ( or , or blanks needs quotes" : "");
  char quote = value.quoted ? token->from[-1] : '\0';
  for (const char *at = token->from; at < token->to && value.length < sizeof parser->value - 1; at++) {
    parser->value[value.length++] = *at;
    at += quote && *at == quote; /* it stands there twice */
  }
  parser->value[value.length] = '\0';
  bool cut = token->kind == TOKEN_WORD && relation.comparison == GG__LIKE && parser->at[0] && parser->at[0] != ')' &&
             !strchr(" \t\r\n", parser->at[0]);
  if (cut)
    return wrong(parser, parser->at, GG_ERR_INVALID, "a regular expression with '%c' in it needs quotes",
                 parser->at[0]);
  int error = make_test(parser, out, field, relation, &value, origin);
  return error ? error : next(parser);
}

/* "(" value { "," value } ")" */
static int parse_list(struct parser *parser, struct gg__node **out, const struct gg__field *field)
{
  char shown[GG__SHOWN_MAX + 2];
  if (parser->token.kind != TOKEN_OPEN)
    return wrong(parser, parser->token.from, GG_ERR_INVALID, "in needs a list: %s in (A, B)", field->shown.name);
  *out = make_node(GG__NODE_OR, NULL);
  if (!*out)
    return no_memory(parser);
  struct gg__node **tail = &(*out)->child;
  do {
    int error = next(parser);
    if (!error)
      error = parse_value(parser, tail, field, (struct relation){GG__IS, false});
    if (error)
      return error;
    tail = &(*tail)->next;
  } while (parser->token.kind == TOKEN_COMMA);
  if (parser->token.kind != TOKEN_CLOSE)
    return wrong(parser, parser->token.from, GG_ERR_INVALID, "the list goes on with a comma or ends with ), not %s",
                 called(&parser->token, shown));
  return next(parser);
}

/* Whether the token is "in", or "not" and the next one is: then `*negated`, and the token is "in". */
static int take_in(struct parser *parser, bool *list, bool *negated)
{
  const struct token token = parser->token;
  const char *at = parser->at;
  *negated = is_word(&token, "not");
  int error = *negated ? next(parser) : 0;
  *list = !error && is_word(&parser->token, "in");
  if (!error && *negated && !*list) { /* the next comparison's */
    parser->token = token;
    parser->at = at;
  }
  return error;
}

static int parse_comparison(struct parser *parser, struct gg__node **out)
{
  const struct token word = parser->token;
  size_t length = (size_t)(word.to - word.from);
  bool list = false, negated = false;
  int error = next(parser);
  if (!error)
    error = take_in(parser, &list, &negated);
  if (error)
    return error;
  if (parser->token.kind != TOKEN_OPERATOR && !list)
    return make_bare(parser, out, word.from, length);
  const struct gg__field *field = find_field(parser, word.from, length);
  struct relation relation = parser->token.relation;
  if (!field)
    return unknown_field(parser, word.from, length);
  if ((error = next(parser)) != 0)
    return error;
  if (!list)
    return parse_value(parser, out, field, relation);
  error = parse_list(parser, out, field);
  return error ? error : negate(parser, out, negated);
}

static int enter(struct parser *parser)
{
  if (++parser->depth > GG_FILTER_DEPTH_MAX)
    return wrong(parser, parser->token.from, GG_ERR_LIMIT, "more than %d parentheses and nots within one another",
                 GG_FILTER_DEPTH_MAX);
  return next(parser);
}

static int parse_parentheses(struct parser *parser, struct gg__node **out)
{
  const char *opened = parser->token.from;
  char shown[GG__SHOWN_MAX + 2];
  int error = enter(parser);
  if (!error)
    error = parse_or(parser, out);
  if (error)
    return error;
  if (parser->token.kind == TOKEN_END)
    return wrong(parser, opened, GG_ERR_INVALID, "the parenthesis is not closed");
  if (parser->token.kind != TOKEN_CLOSE)
    return wrong(parser, parser->token.from, GG_ERR_INVALID, "and, or, or ) is expected, not %s",
                 called(&parser->token, shown));
  parser->depth--;
  return next(parser);
}

static int parse_not(struct parser *parser, struct gg__node **out)
{
  char shown[GG__SHOWN_MAX + 2];
  if (is_word(&parser->token, "not")) {
    int error = enter(parser);
    if (!error)
      error = parse_not(parser, out);
    parser->depth--;
    return error ? error : negate(parser, out, true);
  }
  if (parser->token.kind == TOKEN_OPEN)
    return parse_parentheses(parser, out);
  if (parser->token.kind != TOKEN_WORD || is_word(&parser->token, "and") || is_word(&parser->token, "or"))
    return wrong(parser, parser->token.from, GG_ERR_INVALID, "a comparison such as bytes > 1M is expected, not %s",
                 called(&parser->token, shown));
  return parse_comparison(parser, out);
}

/* One more below what is there, which becomes a node of `kind` if it is not one that this has made. */
static int add_to(struct parser *parser, struct gg__node **out, struct gg__node ***tail, enum gg__node_kind kind)
{
  if (*tail)
    return 0;
  struct gg__node *first = *out;
  *out = make_node(kind, first);
  if (!*out)
    return no_memory(parser);
  *tail = &first->next;
  return 0;
}

static bool begins_part(const struct token *token)
{
  return token->kind == TOKEN_OPEN || (token->kind == TOKEN_WORD && !is_word(token, "or"));
}

/* What stands side by side without a word between must all hold, as words of the command line do. */
static int parse_and(struct parser *parser, struct gg__node **out)
{
  struct gg__node **tail = NULL;
  int error = parse_not(parser, out);
  while (!error && begins_part(&parser->token)) {
    error = is_word(&parser->token, "and") ? next(parser) : 0;
    if (!error)
      error = add_to(parser, out, &tail, GG__NODE_AND);
    if (!error)
      error = parse_not(parser, tail);
    if (!error)
      tail = &(*tail)->next;
  }
  return error;
}

static int parse_or(struct parser *parser, struct gg__node **out)
{
  struct gg__node **tail = NULL;
  int error = parse_and(parser, out);
  while (!error && is_word(&parser->token, "or")) {
    error = next(parser);
    if (!error)
      error = add_to(parser, out, &tail, GG__NODE_OR);
    if (!error)
      error = parse_and(parser, tail);
    if (!error)
      tail = &(*tail)->next;
  }
  return error;
}

static int parse_expression(struct parser *parser, struct gg__node **out)
{
  char shown[GG__SHOWN_MAX + 2];
  int error = next(parser);
  if (error || parser->token.kind == TOKEN_END)
    return error;
  error = parse_or(parser, out);
  if (error || parser->token.kind == TOKEN_END)
    return error;
  if (parser->token.kind == TOKEN_CLOSE)
    return wrong(parser, parser->token.from, GG_ERR_INVALID, "there is no parenthesis to close");
  return wrong(parser, parser->token.from, GG_ERR_INVALID, "and, or, or the end is expected, not %s",
               called(&parser->token, shown));
}

int gg__filter_parse_with(struct gg_filter **out, const char *expression, uint64_t now_ns,
                          const struct gg__facts_table *facts, struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  struct parser parser = {
    .text = expression, .at = expression, .facts = facts, .now_ns = now_ns, .failure = failure ? failure : &own};
  *out = NULL;
  if (strlen(expression) > GG_FILTER_BYTES_MAX)
    return wrong(&parser, expression, GG_ERR_LIMIT, "a filter has at most %d bytes", GG_FILTER_BYTES_MAX);
  struct gg_filter *filter = calloc(1, sizeof *filter);
  int error = filter ? parse_expression(&parser, &filter->root) : no_memory(&parser);
  if (error) {
    gg_filter_destroy(filter);
    return error;
  }
  gg__filter_number(filter);
  *out = filter;
  return 0;
}

static int no_fields(struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_NOMEM, "no memory for the fields of filters");
}

int gg_filter_parse_text(struct gg_filter **out, const char *expression, uint64_t now_ns, struct gg_failure *failure)
{
  const struct gg__facts_table *facts = gg__decoder_facts();
  *out = NULL;
  return facts ? gg__filter_parse_with(out, expression, now_ns, facts, failure) : no_fields(failure);
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int parse_word(struct parser *parser, struct gg__node **out, const char *word)
{
  size_t length = strcspn(word, "=~<>");
  struct relation relation;
  if (!word[length])
    return make_bare(parser, out, word, strlen(word));
  length -= length > 0 && word[length - 1] == '!';
  size_t taken = read_operator(word + length, &relation);
  if (taken == 0) /* "!<" */
    return wrong(parser, word, GG_ERR_INVALID, "! stands in front of = and ~ only");
  const struct gg__field *field = find_field(parser, word, length);
  if (!field)
    return unknown_field(parser, word, length);
  const char *text = word + length + taken;
  struct gg__value value = {.text = text, .length = strlen(text)};
  return make_test(parser, out, field, relation, &value, text);
}

int gg_filter_parse(struct gg_filter **out, const char *const *words, size_t count, uint64_t now_ns,
                    struct gg_failure *failure)
{
  struct gg_failure own = GG_FAILURE_INIT;
  struct parser parser = {.facts = gg__decoder_facts(), .now_ns = now_ns, .failure = failure ? failure : &own};
  *out = NULL;
  if (!parser.facts)
    return no_fields(failure);
  if (count > GG_FILTER_TERMS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "a filter has at most %d words", GG_FILTER_TERMS_MAX);
  struct gg_filter *filter = calloc(1, sizeof *filter);
  if (filter)
    filter->root = make_node(GG__NODE_AND, NULL);
  int error = filter && filter->root ? 0 : no_memory(&parser);
  struct gg__node **tail = error ? NULL : &filter->root->child;
  for (size_t i = 0; i < count && !error; i++) {
    error = parse_word(&parser, tail, words[i]);
    tail = error ? tail : &(*tail)->next;
  }
  if (error) {
    gg_filter_destroy(filter);
    return error;
  }
  gg__filter_number(filter);
  *out = filter;
  return 0;
}
