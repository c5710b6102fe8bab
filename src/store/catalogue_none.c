/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_none.c - a library that was built without SQLite: there is no catalogue to be opened, so nothing else is
 * ever called. */
#include "store/catalogue.h"

#include <assert.h>

int gg__catalogue_open(struct gg__catalogue **out, const char *path, enum gg__catalogue_mode mode,
                       struct gg_failure *failure)
{
  (void)path;
  (void)mode;
  *out = NULL;
  return gg_fail(failure, GG_ERR_UNSUPPORTED, "this gogetway was built without SQLite, so it has no catalogue");
}

void gg__catalogue_prepare(void)
{
}

int gg__catalogue_claim(int *out, const char *path, struct gg_failure *failure)
{
  struct gg__catalogue *none;
  *out = -1;
  return gg__catalogue_open(&none, path, GG__CATALOGUE_WRITE, failure);
}

void gg__catalogue_close(struct gg__catalogue *catalogue)
{
  assert(!catalogue);
  (void)catalogue;
}

/* All that follows is given a catalogue, and there is none. */
static int never(void)
{
  assert(!"there is no catalogue");
  return GG_ERR_UNSUPPORTED;
}

#define NEVER(name, ...)                                                                                               \
  int name(__VA_ARGS__)                                                                                                \
  {                                                                                                                    \
    return never();                                                                                                    \
  }
/* clang-format off */
#pragma GCC diagnostic ignored "-Wunused-parameter"
NEVER(gg__catalogue_built, struct gg__catalogue *catalogue, const struct gg__catalogue_building *building,
      struct gg_failure *failure)
NEVER(gg__catalogue_begin, struct gg__catalogue *catalogue, struct gg_failure *failure)
NEVER(gg__catalogue_commit, struct gg__catalogue *catalogue, struct gg_failure *failure)
NEVER(gg__catalogue_put_segment, struct gg__catalogue *catalogue, const struct gg__catalogue_segment *segment,
      struct gg_failure *failure)
NEVER(gg__catalogue_put, struct gg__catalogue *catalogue, const struct gg__record *record, struct gg_failure *failure)
NEVER(gg__catalogue_get, struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
      struct gg_failure *failure)
NEVER(gg__catalogue_find, struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
      struct gg_failure *failure)
NEVER(gg__catalogue_open_in, struct gg__catalogue *catalogue, const char *name,
      int (*visit)(void *context, struct gg__record *record), void *context, struct gg_failure *failure)
NEVER(gg__catalogue_sessions_in, struct gg__catalogue *catalogue, const char *name,
      int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure)
NEVER(gg__catalogue_forget_segment, struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure)
NEVER(gg__catalogue_mark, struct gg__catalogue *catalogue, const char *id, const char *const *tags, size_t tag_count,
      bool held, struct gg_failure *failure)
NEVER(gg__catalogue_mark_all, struct gg__catalogue *catalogue, const struct gg__mark *mark, struct gg_failure *failure)
NEVER(gg__catalogue_fact, struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
      const uint64_t *number, struct gg_failure *failure)
NEVER(gg__catalogue_fact_set, struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
      const uint64_t *number, struct gg_failure *failure)
NEVER(gg__catalogue_set_protocol, struct gg__catalogue *catalogue, const char *id, const char *protocol,
      struct gg_failure *failure)
NEVER(gg__catalogue_decoded, struct gg__catalogue *catalogue, const char *id, uint64_t packets, bool ended,
      struct gg_failure *failure)
NEVER(gg__catalogue_undecoded, struct gg__catalogue *catalogue, bool open, uint64_t from, size_t limit,
      int (*visit)(void *context, struct gg__record *record), void *context, uint64_t *next, struct gg_failure *failure)
NEVER(gg__catalogue_undecoded_count, struct gg__catalogue *catalogue, uint64_t from, uint64_t limit, uint64_t *count,
      struct gg_failure *failure)
NEVER(gg__catalogue_marks, struct gg__catalogue *catalogue,
      int (*visit)(void *context, const char *id, bool held, const char *added, const char *removed), void *context,
      struct gg_failure *failure)
NEVER(gg__catalogue_knows_mark, struct gg__catalogue *catalogue, const char *id, bool *known,
      struct gg_failure *failure)
NEVER(gg__catalogue_marked, struct gg__catalogue *catalogue, const char *after, size_t count,
      int (*visit)(void *context, const char *id, bool there), void *context, struct gg_failure *failure)
NEVER(gg__catalogue_note_damage, struct gg__catalogue *catalogue, struct gg_failure *failure)
NEVER(gg__catalogue_is_whole, struct gg__catalogue *catalogue, bool *whole, struct gg_failure *failure)
NEVER(gg__catalogue_put_journal, struct gg__catalogue *catalogue, const struct gg__marks_position *position,
      struct gg_failure *failure)
NEVER(gg__catalogue_journal, struct gg__catalogue *catalogue, struct gg__marks_position *position, bool *noted,
      struct gg_failure *failure)
NEVER(gg__catalogue_hold, struct gg__catalogue *catalogue, struct gg_failure *failure)
NEVER(gg__catalogue_segments, struct gg__catalogue *catalogue,
      int (*visit)(void *context, const struct gg__catalogue_segment *segment), void *context,
      struct gg_failure *failure)
NEVER(gg__catalogue_query, struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *sort,
      uint64_t limit, int (*visit)(void *context, struct gg__record *record), void *context,
      struct gg_failure *failure)
NEVER(gg__catalogue_revision, struct gg__catalogue *catalogue, uint64_t *revision, struct gg_failure *failure)
NEVER(gg__catalogue_changed, struct gg__catalogue *catalogue, const struct gg_filter *filter, uint64_t revision,
      int (*visit)(void *context, struct gg__record *record), void *context, struct gg_failure *failure)
NEVER(gg__catalogue_totals, struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *by,
      int (*visit)(void *context, const struct gg_total *total), void *context, uint64_t *perhaps,
      struct gg_failure *failure)
NEVER(gg__catalogue_judge, struct gg__catalogue *catalogue, const struct gg_filter *filter,
      const struct gg_session *session, enum gg__truth *truth, struct gg_failure *failure)
NEVER(gg__catalogue_dump, struct gg__catalogue *catalogue, int fd, struct gg_failure *failure)
/* clang-format on */

void gg__catalogue_abandon(struct gg__catalogue *catalogue)
{
  (void)catalogue;
  never();
}

void gg__catalogue_release(struct gg__catalogue *catalogue)
{
  (void)catalogue;
  never();
}

bool gg__catalogue_moved(struct gg__catalogue *catalogue)
{
  (void)catalogue;
  return never() == 0;
}

void gg__catalogue_set_life(struct gg__catalogue *catalogue, const struct gg__life *life)
{
  (void)catalogue;
  (void)life;
  never();
}

void gg__catalogue_set_finder(struct gg__catalogue *catalogue, const struct gg__fact_finder *finder)
{
  (void)catalogue;
  (void)finder;
  never();
}

void gg__catalogue_use_captures(struct gg__catalogue *catalogue,
                                struct gg__capture *(*find)(void *context, const char *name), void *context)
{
  (void)catalogue;
  (void)find;
  (void)context;
  never();
}
