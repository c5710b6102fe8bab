/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter_field.h - what can be asked of a session: the fields of filters and sorting, and the columns that have them.
 *
 * One table has them all (filter_field.c). The parser, `gogetway help filters`, the evaluation on a session, the query
 * and the catalogue's columns are made from it, so that they cannot say different things. To add a field: one row in
 * the table of fields, one in that of columns, one case in the tests.
 *
 *     field   "bytes.client" ──► accessor ──► struct gg_session       evaluation, sorting
 *                   └─────────► column "bytes_client" ──► catalogue   query, sorting
 *
 * Fields of decoders and plug-ins ("http.status") are facts: they are in no struct but come by name, several values a
 * session. Who parses a filter hands over which of them there are; nothing here is global but constants.
 *
 * Thread: any; a table of facts one at a time while it is added to.
 */
#ifndef GG_STORE_FILTER_FIELD_H
#define GG_STORE_FILTER_FIELD_H

#include "store/filter_sql.h"

enum gg__kind {
  GG__KIND_TEXT,
  GG__KIND_NUMBER,
  GG__KIND_BYTES,
  GG__KIND_DURATION,
  GG__KIND_TIME,
  GG__KIND_ADDRESS,
  GG__KIND_PORT,
  GG__KIND_TAGS,
  GG__KIND_ENUM,
  GG__KIND_ID,
  GG__KIND_FLAG,
  GG__KINDS,
};

/* What `=` says of a time that is none of its own: `since=1h` is `end >= -1h`. */
enum gg__field_sense { GG__SENSE_OWN, GG__SENSE_SINCE, GG__SENSE_UNTIL };

struct gg__field {
  struct gg_filter_field shown;
  enum gg__kind kind;
  enum gg__field_sense sense;
  bool early;               /* what it looks at is known when a session begins, and stays */
  bool fact;                /* of a decoder: no accessor, no column */
  const char *form;         /* what a value looks like, for errors; NULL: as its kind's */
  const char *const *names; /* all that there are, up to a NULL; NULL: any */
  /* A session's value `index` (from 0); NULL past the last. Texts, tags, addresses, enumerations, ids. */
  const char *(*text)(const struct gg_session *session, size_t index);
  /* False: the session has none. Numbers and flags, and the order of an enumeration that has one. */
  bool (*number)(const struct gg_session *session, uint64_t *out);
  /* Columns: of its value; of its address as gg__address_key has it and of its port; of its second value. */
  const char *column, *key_column, *port_column, *second_column;
  const char *rare; /* what holds of the few that have a value: their index's condition. NULL: most have one */
};

/* The table, in the order in which the help lists it; NULL past the last. */
const struct gg__field *gg__field_at(size_t index);
/* NULL: there is none of that name. */
const struct gg__field *gg__field_find(const char *name, size_t length);
const char *gg__field_form(const struct gg__field *field);
bool gg__field_is_number(const struct gg__field *field); /* what has an order, and ranges */
bool gg__field_is_wide(const struct gg__field *field);   /* stored by gg__sql_from_u64 */

/* The field of gg__filter_sort_compare, found once for many comparisons; NULL: none, which is by start. */
const struct gg__field *gg__sort_find(const char *sort, bool *down);
int gg__sort_compare(const struct gg__field *field, bool down, const struct gg_session *a, const struct gg_session *b);

/* ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg__facts_table;

int gg__facts_table_create(struct gg__facts_table **out);
void gg__facts_table_destroy(struct gg__facts_table *table); /* after the filters that were parsed with it */

/* A field that decoders find: "http.status", lower-case words with dots between them. `kind`: GG__KIND_TEXT or
 * GG__KIND_NUMBER. The texts are copied. The same once more changes nothing. GG_ERR_INVALID: not such a name, a field
 * of sessions, or known as of the other kind; GG_ERR_LIMIT: more than GG_FILTER_FACTS_MAX; GG_ERR_NOMEM. */
int gg__facts_table_add(struct gg__facts_table *table, const char *name, enum gg__kind kind, const char *help,
                        const char *example, struct gg_failure *failure);
const struct gg__field *gg__facts_table_at(const struct gg__facts_table *table, size_t index); /* NULL past the last */

/* What decoders have found in a session. A comparison means any of the values, `not` that it is none of them. */
struct gg__fact_value {
  const char *text; /* NULL: it is the number */
  uint64_t number;
};
typedef bool (*gg__fact_fn)(const void *asked, const struct gg__fact_value *value);

/* Not all values of a session are kept if they are many: what is none of those that are may be one of the others. */
enum gg__truth { GG__NO, GG__PERHAPS, GG__YES };

struct gg__fact_source {
  void *context;
  /* Whether `is` holds of any of the session's values of the field. */
  enum gg__truth (*any)(void *context, const struct gg_session *session, const char *field, gg__fact_fn is,
                        const void *asked);
};

/* Who can find all values of a field again, where not all are kept: a decoder that goes through the streams that are
 * recorded of the session (gg_reader_open), and asks the store for nothing else. It calls `tell` for each value, in any
 * order and as often as it comes, until a call returns non-zero; that is enough. Returns 0, or a negative error: not
 * all of it could be read, so what was not told may still be there.
 *
 * Thread: the store's, while a query runs. It may be asked for one session several times in a query: once for each
 * comparison that the values that are kept do not decide. */
struct gg__fact_finder {
  void *context;
  int (*find)(void *context, const struct gg_session *session, const char *field,
              int (*tell)(void *telling, const struct gg__fact_value *value), void *telling);
  /* What the session's protocol is called (gg__protocol_name); "": it is not known. NULL: he does not find that. */
  const char *(*protocol)(void *context, const struct gg_session *session);
};
enum gg__truth gg__fact_find(const struct gg__fact_finder *finder, const struct gg_session *session, const char *field,
                             gg__fact_fn is, const void *asked);
/* Whether the session matches where nothing is kept and all has to be found: only if the rest of the filter does not
 * decide. `finder` NULL: the filter asks for no facts. */
enum gg__truth gg__filter_judge_finding(const struct gg_filter *filter, const struct gg_session *session,
                                        const struct gg__fact_finder *finder);

/* The name of a fact that the filter (NULL: everything) asks for, other than `but` (NULL: of any); NULL: there is
 * none. */
const char *gg__filter_fact(const struct gg_filter *filter, const char *but);
/* For who has no catalogue to ask, and nobody who finds: GG_ERR_UNSUPPORTED if the filter asks for a fact, or a
 * protocol. */
int gg__filter_refuse_facts(const struct gg_filter *filter, struct gg_failure *failure);

/* ── Columns ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The columns of the catalogue's table `sessions` that filters and sorting name. None of them is ever NULL but ports of
 * what has none (unix): that is how negations come out right. Members of 64 bits are stored by gg__sql_from_u64, what
 * is smaller as it is. Beside them:
 *
 *   tags(session, tag)                             session: sessions.rowid
 *   facts(session, field, text, number, overflow)  text or number is NULL; number by gg__sql_from_u64; overflow is 1 in
 *                                                  a row that says that there were more values (both are NULL), else 0
 */
struct gg__column {
  const char *name;
  int kind; /* GG__SQL_... */
  const char *(*text)(const struct gg_session *session, size_t index);
  size_t index;
  bool (*number)(const struct gg_session *session, uint64_t *out);
  bool wide;
};

const struct gg__column *gg__column_at(size_t index); /* NULL past the last */

/* The session's value for the column; `scratch` is what it may point to, as it may to the session. */
enum { GG__ADDRESS_KEY_BYTES = 17 };
void gg__column_value(const struct gg__column *column, const struct gg_session *session,
                      uint8_t scratch[GG__ADDRESS_KEY_BYTES], struct gg__sql_value *out);

/* An address as bytes that sort and compare as it does: family, and 16 bytes of which IPv4 uses the first four. Takes
 * what gg_session has ("192.0.2.1:4000", "[::1]:80", "unix..."). Returns GG__ADDRESS_KEY_BYTES, or 0: it is none.
 * `*port` is its port, -1 if it has none. */
size_t gg__address_key(const char *text, uint8_t key[GG__ADDRESS_KEY_BYTES], int *port);

#endif
