/* SPDX-License-Identifier: Apache-2.0 */
/* mend_marks.c - the public side of a journal with damaged lines: what they are, and without them. */
#include "store/marks.h"
#include "store/place.h"

#include <gogetway/store.h>

struct telling {
  void (*tell)(void *context, const struct gg_damaged_line *line);
  void *context;
};

static void tell_line(void *context, uint64_t offset, const char *text, size_t length)
{
  const struct telling *telling = context;
  const struct gg_damaged_line line = {.offset = offset, .text = text, .length = length};
  if (telling->tell)
    telling->tell(telling->context, &line);
}

int gg_store_mend_marks(const char *path, bool dry_run, void (*tell)(void *context, const struct gg_damaged_line *line),
                        void *context, uint64_t *count, struct gg_failure *failure)
{
  struct telling telling = {tell, context};
  struct gg__place place;
  struct gg__marks *marks = NULL;
  uint64_t ignored;
  int error = gg__place_open(&place, path, failure);
  bool own = !error && place.store;
  gg__place_fini(&place);
  if (!error && !own)
    error = gg_fail(failure, GG_ERR_UNSUPPORTED, "%s is no store of a gateway: only such have tags and holds", path);
  if (!error)
    error = gg__marks_open(&marks, path, failure);
  if (!error)
    error = gg__marks_mend(marks, !dry_run, tell_line, &telling, count ? count : &ignored, failure);
  gg__marks_close(marks);
  return error;
}
