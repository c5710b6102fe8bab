/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter_sql.h - a filter as the condition of a query, and the fields that filters, sorting and the catalogue share.
 *
 * Which fields and columns there are is in filter_field.h. Here is what a query is made of.
 *
 * Negations go down to the comparisons first, so that a comparison that the database cannot decide (whether a session
 * that has no end is open or cut, facts of which there were too many) may let more through on either side of a `not`,
 * and never less: the text always has every session that matches, and `exact` says whether it has only those.
 *
 * Thread: any; a compiled condition belongs to its caller.
 */
#ifndef GG_STORE_FILTER_SQL_H
#define GG_STORE_FILTER_SQL_H

#include <gogetway/error.h>
#include <gogetway/store.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value that a query binds. Texts are borrowed from the filter. */
struct gg__sql_value {
  enum { GG__SQL_INTEGER, GG__SQL_TEXT, GG__SQL_BLOB, GG__SQL_NULL } kind;
  int64_t integer; /* unsigned 64-bit numbers are stored as gg__sql_from_u64 has them, which keeps their order */
  const void *data;
  size_t length;
};

/* What a condition is for. Either way it has the same sessions, but what it costs to ask differs. */
enum gg__sql_use {
  GG__SQL_FIND,  /* those that match are to be found by it: by its indexes, lists of them are made */
  GG__SQL_JUDGE, /* sessions come by something else, and it is asked of one after the other: no list is made */
  GG__SQL_USES
};

/* `text` is made of column names, operators, 0, 1 and `?` only: nothing in it is the user's. It is a condition on
 * `sessions`, whose columns it names without the table; AND and others may stand beside it. One function is to be
 * registered with the database: gg_regexp(operand, text), which is gg__filter_operand_match of this filter. Networks
 * are ranges of the key columns. */
struct gg__sql {
  char *text;
  struct gg__sql_value *values;
  size_t count;
  bool exact; /* false: some session that matches the text may not match the filter, so each is still to be looked at */
};

/* `filter` NULL: everything ("1"). GG_ERR_NOMEM. */
int gg__filter_sql(const struct gg_filter *filter, enum gg__sql_use use, struct gg__sql *out);
void gg__sql_fini(struct gg__sql *sql);

/* Whether an operand of the filter (a regular expression or a glob) matches a column's text. */
bool gg__filter_operand_match(const struct gg_filter *filter, unsigned operand, const char *text, size_t length);

static inline int64_t gg__sql_from_u64(uint64_t value)
{
  return (int64_t)(value - (UINT64_C(1) << 63));
}
static inline uint64_t gg__sql_to_u64(int64_t value)
{
  return (uint64_t)value + (UINT64_C(1) << 63);
}

/* Whether `sort` (NULL: by start) is a field that has an order, with or without `-` in front. GG_ERR_INVALID: the
 * failure says which is meant, or where they are listed. */
int gg__filter_sort_check(const char *sort, struct gg_failure *failure);
/* The column that a field is sorted by; NULL: there is no such field, or it has no order. `*down`: `-` was in front.
 * What is equal is in order of start_ns, then id, upwards either way. */
const char *gg__filter_sort_column(const char *sort, bool *down);
/* Compares two sessions by a field, likewise: for stores without a catalogue. A sort that is none is by start. */
int gg__filter_sort_compare(const char *sort, const struct gg_session *a, const struct gg_session *b);

#endif
