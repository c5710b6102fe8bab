/* SPDX-License-Identifier: Apache-2.0 */
/* The order of sessions by a field, for the database and without one. */
#include "base/text.h"
#include "store/filter_ast.h"

#include <string.h>

enum { NAMES_MAX = 64 };

const struct gg__field *gg__sort_find(const char *sort, bool *down)
{
  *down = sort && sort[0] == '-';
  const char *name = sort ? sort + *down : "start";
  const struct gg__field *field = gg__field_find(name, strlen(name));
  return field && field->shown.sortable ? field : NULL;
}

int gg__filter_sort_check(const char *sort, struct gg_failure *failure)
{
  bool down;
  char shown[GG__SHOWN_MAX];
  if (gg__sort_find(sort, &down))
    return 0;
  const char *name = sort + down, *names[NAMES_MAX];
  size_t count = 0;
  gg__value_show(name, strlen(name), shown);
  for (const struct gg__field *field; count < NAMES_MAX && (field = gg__field_at(count)); count++)
    names[count] = field->shown.name;
  if (gg__field_find(name, strlen(name)))
    return gg_fail(failure, GG_ERR_INVALID, "'%s' has no order to sort by", shown);
  size_t nearest = gg_text_nearest(name, names, count);
  if (nearest < count)
    return gg_fail(failure, GG_ERR_INVALID, "there is no field '%s' to sort by; did you mean '%s'?", shown,
                   names[nearest]);
  return gg_fail(failure, GG_ERR_INVALID,
                 "there is no field '%s' to sort by; there are start, end, duration, bytes and more: 'gogetway help "
                 "filters'",
                 shown);
}

const char *gg__filter_sort_column(const char *sort, bool *down)
{
  const struct gg__field *field = gg__sort_find(sort, down);
  if (!field)
    return NULL;
  return field->key_column ? field->key_column : field->column;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
  return a < b ? -1 : a > b;
}

/* As blobs in the database: bytes first, then the length; what is no address comes first. */
static int compare_addresses(const char *a, const char *b)
{
  uint8_t key[2][GG__ADDRESS_KEY_BYTES];
  int port;
  size_t left = gg__address_key(a, key[0], &port), right = gg__address_key(b, key[1], &port);
  if (left == 0 || right == 0)
    return compare_numbers(left, right);
  return memcmp(key[0], key[1], sizeof key[0]);
}

static int compare_by(const struct gg__field *field, const struct gg_session *a, const struct gg_session *b)
{
  if (field->key_column)
    return compare_addresses(field->text(a, 0), field->text(b, 0));
  if (!field->number)
    return strcmp(field->text(a, 0), field->text(b, 0));
  uint64_t left, right;
  bool has_left = field->number(a, &left), has_right = field->number(b, &right);
  return has_left && has_right ? compare_numbers(left, right) : has_left - has_right;
}

int gg__sort_compare(const struct gg__field *field, bool down, const struct gg_session *a, const struct gg_session *b)
{
  int order = field ? compare_by(field, a, b) : 0;
  if (order != 0)
    return down ? -order : order;
  order = compare_numbers(a->start_ns, b->start_ns);
  return order != 0 ? order : strcmp(a->id, b->id);
}

int gg__filter_sort_compare(const char *sort, const struct gg_session *a, const struct gg_session *b)
{
  bool down;
  const struct gg__field *field = gg__sort_find(sort, &down);
  return gg__sort_compare(field, down, a, b);
}
