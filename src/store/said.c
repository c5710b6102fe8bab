/* SPDX-License-Identifier: Apache-2.0 */
#include "store/said.h"

#include <stdlib.h>
#include <string.h>

enum { ID_DIGITS = 24 };

struct gg__said {
  size_t count;
  char ids[][ID_DIGITS]; /* in order */
};

bool gg__said_is_asked(const struct gg_filter *filter)
{
  return gg__filter_fact(filter, NULL) || gg__filter_asks(filter, "proto") || gg__filter_asks(filter, "protocol");
}

static int by_id(const void *a, const void *b)
{
  return memcmp(a, b, ID_DIGITS);
}

static int list(struct gg__said **out, struct gg_store *store, const struct gg_filter *filter,
                struct gg_failure *failure)
{
  struct gg_session_list *sessions = NULL;
  int error = gg_store_query(store, filter, &sessions, failure);
  if (error)
    return error;
  size_t count = gg_session_list_count(sessions);
  struct gg__said *said = malloc(sizeof *said + count * ID_DIGITS);
  if (said) {
    said->count = count;
    for (size_t i = 0; i < count; i++)
      memcpy(said->ids[i], gg_session_list_at(sessions, i)->id, ID_DIGITS);
    if (count > 1)
      qsort(said->ids, count, ID_DIGITS, by_id);
  }
  gg_session_list_destroy(sessions);
  *out = said;
  return said ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for the sessions of this store");
}

int gg__said_find(struct gg__said **out, const char *path, const struct gg_filter *filter, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  *out = NULL;
  if (!gg__said_is_asked(filter))
    return 0;
  int error = gg_store_open(&store, path, NULL, failure);
  if (!error)
    error = list(out, store, filter, failure);
  gg_store_close(store);
  return error;
}

bool gg__said_has(const struct gg__said *said, const char *id)
{
  return bsearch(id, said->ids, said->count, ID_DIGITS, by_id) != NULL;
}

void gg__said_destroy(struct gg__said *said)
{
  free(said);
}
