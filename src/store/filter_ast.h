/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter_ast.h - a parsed filter: what filter_parse.c makes, filter.c evaluates and filter_sql.c compiles.
 *
 *          AND                     bytes > 1M and not tag in (noise, scan)
 *         /    \
 *     bytes     NOT               Leaves are tests: a field, and what its value must be. Whatever operator was
 *     1M+1..     |                written, a test is one of a few forms; `!=` and `!~` are a NOT over it, `in` an OR.
 *               OR
 *              /  \
 *       tag noise  tag scan
 *
 * Private to src/store. A filter is not changed once it is made, so any thread may use it; gg_filter_and makes one of
 * two, and is its owner's.
 */
#ifndef GG_STORE_FILTER_AST_H
#define GG_STORE_FILTER_AST_H

#include "store/bounds.h"
#include "store/filter_field.h"

struct gg__regex;

enum gg__test_form {
  GG__TEST_RANGE,   /* from <= number <= to; never if from > to */
  GG__TEST_EQUAL,   /* the whole text */
  GG__TEST_PREFIX,  /* the text's beginning */
  GG__TEST_GLOB,    /* the whole text, with * and ? */
  GG__TEST_REGEX,   /* somewhere in the text */
  GG__TEST_NETWORK, /* the address's key is from key[0] to key[1]; its port, if that is one */
};

struct gg__test {
  const struct gg__field *field;
  enum gg__test_form form;
  uint64_t from, to;
  char *text; /* owned; ends in NUL */
  size_t length;
  size_t prefix_length;    /* of prefixes and globs: what a text that matches begins with ... */
  char *bound;             /* ... and the least text that is greater than all of these; owned; NULL: there is none */
  struct gg__regex *regex; /* owned */
  uint8_t key[2][GG__ADDRESS_KEY_BYTES];
  int port;         /* -1: any */
  unsigned operand; /* of globs and regular expressions: the number that the query binds */
};

enum gg__node_kind { GG__NODE_AND, GG__NODE_OR, GG__NODE_NOT, GG__NODE_TEST };

struct gg__node {
  enum gg__node_kind kind;
  struct gg__node *child; /* the first; of NOT the only one. AND of none is true, OR of none does not occur */
  struct gg__node *next;  /* of the same parent */
  struct gg__test test;
};

struct gg_filter {
  struct gg__node *root;
  size_t tests;                                        /* of all kinds */
  unsigned operands;                                   /* of them, globs and regular expressions */
  const struct gg__node *operand[GG_FILTER_TESTS_MAX]; /* by number */
};

void gg__node_destroy(struct gg__node *node); /* with its children, not those that follow it */
/* Numbers the operands of the tree anew. */
void gg__filter_number(struct gg_filter *filter);

/* Whether any comparison is of that field. */
bool gg__filter_asks(const struct gg_filter *filter, const char *field);

/* As gg_filter_parse_text and gg_filter_match, with fields of decoders. `facts` may be NULL; a table of them outlives
 * the filter. Without a source a session has no facts: then `http.status = 200` is false, and its negation true. What
 * is PERHAPS of a comparison is so of its negation. */
int gg__filter_parse_with(struct gg_filter **out, const char *expression, uint64_t now_ns,
                          const struct gg__facts_table *facts, struct gg_failure *failure);
enum gg__truth gg__filter_judge(const struct gg_filter *filter, const struct gg_session *session,
                                const struct gg__fact_source *facts);

/* ── Values (filter_value.c) ─────────────────────────────────────────────────────────────────────────────────────── */

/* What an operator asks of a value, without its negation. */
enum gg__comparison { GG__IS, GG__BELOW, GG__AT_MOST, GG__ABOVE, GG__AT_LEAST, GG__LIKE };

struct gg__value {
  const char *text; /* ends in NUL */
  size_t length;
  bool quoted; /* no character in it means anything else */
  uint64_t now_ns;
  size_t wrong_at; /* on failure: how many bytes of it are right, if that is known */
};

/* Makes the test of a field. GG_ERR_INVALID, LIMIT, UNSUPPORTED, NOMEM: the failure says what would be right. */
int gg__test_make(struct gg__test *test, const struct gg__field *field, enum gg__comparison comparison,
                  struct gg__value *value, struct gg_failure *failure);
void gg__test_fini(struct gg__test *test);
enum gg__truth gg__test_judge(const struct gg__test *test, const struct gg_session *session,
                              const struct gg__fact_source *facts);

/* The beginning of what was written, safe in a message. */
enum { GG__SHOWN_MAX = 256 };
const char *gg__value_show(const char *text, size_t length, char shown[GG__SHOWN_MAX]);

bool gg__glob_match(const char *glob, const char *text, size_t length);

/* ── Regular expressions (filter_regex.c) ────────────────────────────────────────────────────────────────────────── */

/* PCRE2 over UTF-8. `*wrong_at`: where in the pattern the error is. GG_ERR_INVALID, UNSUPPORTED, NOMEM. */
int gg__regex_create(struct gg__regex **out, const char *pattern, size_t length, size_t *wrong_at,
                     struct gg_failure *failure);
void gg__regex_destroy(struct gg__regex *regex);
/* False also if it would take more than GG_FILTER_REGEX_STEPS_MAX steps. */
bool gg__regex_match(const struct gg__regex *regex, const char *text, size_t length);

#endif
