/* SPDX-License-Identifier: Apache-2.0 */
#include "store/untold.h"

#include <string.h>

struct comparing {
  struct gg__marks *marks;
  struct gg__catalogue *catalogue;
  int (*visit)(void *context, const char *id);
  void *context;
  struct gg_failure *failure;
  size_t same;
};

static bool same_tags(const char *packed, const char *const *tags, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(tags[i]);
    if (strncmp(packed, tags[i], length) != 0 || (packed[length] != ' ' && packed[length] != '\0'))
      return false;
    packed += length + (packed[length] == ' ');
  }
  return !*packed;
}

/* What the catalogue was told of a session, beside what people say now. */
static int compare_mark(void *context, const char *id, bool held, const char *added, const char *removed)
{
  struct comparing *comparing = context;
  const struct gg__mark *now = comparing->marks ? gg__marks_find(comparing->marks, id) : NULL;
  bool same = now && now->held == held && same_tags(added, now->tags, now->tag_count) &&
              same_tags(removed, now->removed, now->removed_count);
  comparing->same += same;
  return same ? 0 : comparing->visit(comparing->context, id);
}

static int note_mark(void *context, const struct gg__mark *now)
{
  struct comparing *comparing = context;
  bool known = false;
  int error = gg__catalogue_knows_mark(comparing->catalogue, now->id, &known, comparing->failure);
  return error ? error : known ? 0 : comparing->visit(comparing->context, now->id);
}

static int count_mark(void *context, const struct gg__mark *now)
{
  size_t *count = context;
  (void)now;
  ++*count;
  return 0;
}

static int compare_all(struct comparing *comparing)
{
  size_t count = 0;
  int error = gg__catalogue_marks(comparing->catalogue, compare_mark, comparing, comparing->failure);
  if (error || !comparing->marks)
    return error;
  gg__marks_each(comparing->marks, count_mark, &count);
  return count == comparing->same ? 0 : gg__marks_each(comparing->marks, note_mark, comparing);
}

int gg__untold_each(struct gg__marks *marks, struct gg__catalogue *catalogue,
                    int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure)
{
  struct comparing comparing = {marks, catalogue, visit, context, failure, 0};
  struct gg__marks_position told;
  bool noted = false, there = false;
  int error = gg__catalogue_journal(catalogue, &told, &noted, failure);
  if (!error && noted && marks)
    error = gg__marks_between(marks, &told, &there, visit, context, failure);
  if (error == GG_ERR_IO) { /* the journal's, not the catalogue's: what was read of it is in memory */
    error = 0;
    there = false;
  }
  return error || there ? error : compare_all(&comparing);
}
