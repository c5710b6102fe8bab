/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that decoders and plug-ins add to those of sessions, by name; and values that are found when asked for. */
#include "store/bounds.h"
#include "store/filter_ast.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, HELP_MAX_BYTES = 160 };

struct fact {
  struct gg__field field;
  char name[NAME_MAX_BYTES], help[HELP_MAX_BYTES], example[HELP_MAX_BYTES];
};

struct gg__facts_table {
  size_t count;
  struct fact *facts[GG_FILTER_FACTS_MAX];
};

int gg__facts_table_create(struct gg__facts_table **out)
{
  *out = calloc(1, sizeof **out);
  return *out ? 0 : GG_ERR_NOMEM;
}

void gg__facts_table_destroy(struct gg__facts_table *table)
{
  for (size_t i = 0; table && i < table->count; i++)
    free(table->facts[i]);
  free(table);
}

/* "http.status": words of small letters, digits and _, at least two, with a dot between them. */
static bool is_name(const char *name)
{
  size_t words = 0;
  if (strlen(name) >= NAME_MAX_BYTES)
    return false;
  for (const char *at = name;; at++, words++) {
    if (*at < 'a' || *at > 'z')
      return false;
    at += strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (*at != '.')
      return *at == '\0' && words > 0;
  }
}

static void copy(char *to, size_t size, const char *text)
{
  size_t length = strnlen(text, size - 1);
  memcpy(to, text, length);
  to[length] = '\0';
}

static struct fact *make(const char *name, enum gg__kind kind, const char *help, const char *example)
{
  struct fact *fact = calloc(1, sizeof *fact);
  if (!fact)
    return NULL;
  copy(fact->name, sizeof fact->name, name);
  copy(fact->help, sizeof fact->help, help);
  copy(fact->example, sizeof fact->example, example);
  fact->field = (struct gg__field){
    .shown = {fact->name, kind == GG__KIND_TEXT ? "text" : "number", fact->help, fact->example, false},
    .kind = kind,
    .fact = true};
  return fact;
}

int gg__facts_table_add(struct gg__facts_table *table, const char *name, enum gg__kind kind, const char *help,
                        const char *example, struct gg_failure *failure)
{
  assert(kind == GG__KIND_TEXT || kind == GG__KIND_NUMBER);
  if (!is_name(name))
    return gg_fail(failure, GG_ERR_INVALID,
                   "'%.80s' is no name of a field: small letters, digits and _, with a dot between words, as in "
                   "http.status",
                   name);
  if (gg__field_find(name, strlen(name)))
    return gg_fail(failure, GG_ERR_INVALID, "'%s' is a field that all sessions have", name);
  for (size_t i = 0; i < table->count; i++)
    if (strcmp(table->facts[i]->name, name) == 0)
      return table->facts[i]->field.kind == kind
               ? 0
               : gg_fail(failure, GG_ERR_INVALID, "'%s' is already a field of another kind", name);
  if (table->count == GG_FILTER_FACTS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d fields of decoders", GG_FILTER_FACTS_MAX);
  struct fact *fact = make(name, kind, help, example);
  if (!fact)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a field");
  table->facts[table->count++] = fact;
  return 0;
}

const struct gg__field *gg__facts_table_at(const struct gg__facts_table *table, size_t index)
{
  return table && index < table->count ? &table->facts[index]->field : NULL;
}

/* ── Finding ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct finding {
  gg__fact_fn is;
  const void *asked;
  bool found;
};

static int look_at(void *telling, const struct gg__fact_value *value)
{
  struct finding *finding = telling;
  finding->found = finding->found || finding->is(finding->asked, value);
  return finding->found;
}

enum gg__truth gg__fact_find(const struct gg__fact_finder *finder, const struct gg_session *session, const char *field,
                             gg__fact_fn is, const void *asked)
{
  struct finding finding = {is, asked, false};
  int result = finder->find(finder->context, session, field, look_at, &finding);
  return finding.found ? GG__YES : result < 0 ? GG__PERHAPS : GG__NO;
}

static enum gg__truth know_nothing(void *context, const struct gg_session *session, const char *field, gg__fact_fn is,
                                   const void *asked)
{
  (void)context, (void)session, (void)field, (void)is, (void)asked;
  return GG__PERHAPS;
}

static enum gg__truth find_any(void *context, const struct gg_session *session, const char *field, gg__fact_fn is,
                               const void *asked)
{
  const struct gg__fact_finder *const *finder = context;
  return gg__fact_find(*finder, session, field, is, asked);
}

enum gg__truth gg__filter_judge_finding(const struct gg_filter *filter, const struct gg_session *session,
                                        const struct gg__fact_finder *finder)
{
  const struct gg__fact_source before = {NULL, know_nothing}, finding = {&finder, find_any};
  enum gg__truth truth = gg__filter_judge(filter, session, &before);
  return truth == GG__PERHAPS && finder ? gg__filter_judge(filter, session, &finding) : truth;
}

int gg__filter_refuse_facts(const struct gg_filter *filter, struct gg_failure *failure)
{
  const char *field = gg__filter_fact(filter, NULL);
  if (!field)
    field = gg__filter_asks(filter, "proto") ? "proto" : gg__filter_asks(filter, "protocol") ? "protocol" : NULL;
  return !field
           ? 0
           : gg_fail(failure, GG_ERR_UNSUPPORTED,
                     "nothing is known of %s here: what decoders find is in the catalogue of a store, and there is "
                     "none that can be read; leave it out of the filter",
                     field);
}
