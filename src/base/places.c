/* SPDX-License-Identifier: Apache-2.0 */
/* Where each option was given: a row for each of the schema's own options, then for each item that a list may have. */
#include "base/schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gg_schema_places_create(struct gg_schema_places **out, const struct gg_schema *schema)
{
  size_t rows = schema->option_count;
  for (size_t i = 0; i < schema->list_count; i++)
    rows += schema->lists[i].most * schema->lists[i].option_count;
  struct gg_schema_places *places = calloc(1, sizeof *places + rows * sizeof places->rows[0]);
  if (!places)
    return GG_ERR_NOMEM;
  places->schema = schema;
  *out = places;
  return 0;
}

void gg_schema_places_destroy(struct gg_schema_places *places)
{
  free(places);
}

struct gg_place *gg__places_of_item(struct gg_schema_places *places, const struct gg_option_list *list, size_t index)
{
  if (!places)
    return NULL;
  assert(index < list->most);
  size_t row = places->schema->option_count;
  for (const struct gg_option_list *before = places->schema->lists; before < list; before++)
    row += before->most * before->option_count;
  return &places->rows[row + index * list->option_count];
}

void gg__places_clear_list(struct gg_schema_places *places, const struct gg_option_list *list)
{
  if (places)
    memset(gg__places_of_item(places, list, 0), 0, list->most * list->option_count * sizeof places->rows[0]);
}

static size_t find(const struct gg_option *options, size_t count, const char *key)
{
  size_t i = 0;
  while (i < count && strcmp(options[i].key, key) != 0)
    i++;
  assert(i < count);
  return i;
}

const struct gg_place *gg_schema_place(const struct gg_schema_places *places, const char *key)
{
  return &places->rows[find(places->schema->options, places->schema->option_count, key)];
}

const struct gg_place *gg_schema_item_place(struct gg_schema_places *places, const struct gg_option_list *list,
                                            size_t index, const char *key)
{
  return gg__places_of_item(places, list, index) + find(list->options, list->option_count, key);
}

bool gg_place_is_given(const struct gg_place *place)
{
  return place->file || place->flag;
}

void gg_place_text(const struct gg_place *place, char *text, size_t size)
{
  text[0] = '\0';
  if (place->file)
    snprintf(text, size, "%s:%zu:%zu", place->file, place->line, place->column);
  else if (place->flag)
    snprintf(text, size, "--%s", place->flag);
}
