/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_forget.c - what people and rules have said of sessions that are gone is forgotten, or the journal of marks
 * would only grow.
 *
 *   a segment vanished ──► its sessions that have ended and of which something is said ──► gone ─┐
 *                                                                                               ├─► journal ──► commit
 *   once in an indexer's life, when all is read: marks without a session ──► sweep ─────────────┘
 *
 * The journal is first, as with tags: who is killed in between finds the segment in the catalogue and not in the folder
 * once more, and nothing left to forget. What is forgotten has no file any more by then, so a kill loses no mark of a
 * session that is there. What a kill, a full disk or another program leaves over is found by the next sweep.
 *
 * Not forgotten are:
 *   - held sessions, whoever took their files away: `gogetway hold --list` shows them, and a person releases them;
 *   - sessions without an end that lose a segment: more of them may come. The next sweep knows;
 *   - anything, while what retention has kept of a vanished segment is not read yet: its sessions were held;
 *   - anything of a sweep, in a catalogue of segments that could not be read to their ends: they may have the session;
 *   - anything at the first look of an indexer that finds none of the segments that were known, nor of its sweep: the
 *     disk may not be there. The next one's sweep, after a restart, takes what is there for all there is.
 *
 * Rejected: to forget in retention, which removes the files. It does not know which sessions are in them, nor does
 * it hear of files that somebody removes by hand.
 */
#include "store/indexer_private.h"

#include "base/clock.h"
#include "store/marks.h"
#include "store/segment_name.h"

#include <stdlib.h>
#include <string.h>

enum { SWEEP_PAGE = 4096, SWEEP_PAGES = 16 /* in one batch */ };

/* ── Lists of ids ────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__ids_add(struct gg__ids *ids, const char *id)
{
  if (ids->count == ids->room) {
    size_t room = ids->room ? ids->room * 2 : 256;
    char(*larger)[25] = realloc(ids->ids, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    ids->ids = larger;
    ids->room = room;
  }
  memcpy(ids->ids[ids->count], id, 24);
  ids->ids[ids->count++][24] = '\0';
  return 0;
}

void gg__ids_fini(struct gg__ids *ids)
{
  free(ids->ids);
  *ids = (struct gg__ids){0};
}

/* ── What vanishes ───────────────────────────────────────────────────────────────────────────────────────────────── */

static int note_gone(void *context, const char *id)
{
  struct gg__indexer *indexer = context;
  const struct gg__mark *mark = gg__marks_find(indexer->marks, id);
  return mark && !mark->held ? gg__ids_add(&indexer->gone, id) : 0;
}

int gg__indexer_note_gone(struct gg__indexer *indexer, const struct gg__indexed *file)
{
  size_t first = indexer->gone.count, left = first;
  if (!indexer->options.forgets)
    return 0;
  int error = gg__catalogue_sessions_in(indexer->catalogue, file->name, note_gone, indexer, indexer->failure);
  for (size_t i = first; i < indexer->gone.count && !error; i++) {
    struct gg__record *record = NULL;
    error = gg__catalogue_get(indexer->catalogue, indexer->gone.ids[i], &record, indexer->failure);
    if (!error && record && record->session.state == GG_SESSION_CLOSED)
      memmove(indexer->gone.ids[left++], indexer->gone.ids[i], sizeof indexer->gone.ids[0]);
    gg__record_free(record);
  }
  indexer->gone.count = left;
  return error;
}

/* Whether something that retention has kept of a segment is still to be read. */
static bool has_kept_unread(const struct gg__indexer *indexer)
{
  bool unread = false;
  for (size_t i = 0; i < indexer->file_count && !unread; i++) {
    unsigned generation;
    gg__segment_base(indexer->files[i]->name, &generation);
    unread = generation > 0 && gg__indexed_lag(indexer->files[i]) > 0;
  }
  return unread;
}

/* Those that the catalogue has nowhere else. One that has lost its end before its beginning waits for that to go; one
 * that has its end yet is noted again when that goes. */
static int take_gone(struct gg__indexer *indexer, struct gg__ids *ids)
{
  size_t left = 0;
  int error = 0;
  if (indexer->gone.count == 0 || has_kept_unread(indexer))
    return 0;
  for (size_t i = 0; i < indexer->gone.count && !error; i++) {
    struct gg__record *record = NULL;
    error = gg__catalogue_get(indexer->catalogue, indexer->gone.ids[i], &record, indexer->failure);
    if (!error && !record)
      error = gg__ids_add(ids, indexer->gone.ids[i]);
    else if (record && record->session.state != GG_SESSION_CLOSED)
      memmove(indexer->gone.ids[left++], indexer->gone.ids[i], sizeof indexer->gone.ids[0]);
    gg__record_free(record);
  }
  indexer->gone.count = left;
  return error;
}

/* ── Sweeping ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sweep {
  struct gg__indexer *indexer;
  struct gg__ids *ids;
  size_t seen;
};

static int sweep_one(void *context, const char *id, bool there)
{
  struct sweep *sweep = context;
  struct gg__indexer *indexer = sweep->indexer;
  const struct gg__mark *mark = there ? NULL : gg__marks_find(indexer->marks, id);
  sweep->seen++;
  memcpy(indexer->swept, id, sizeof indexer->swept);
  return mark && !mark->held ? gg__ids_add(sweep->ids, id) : 0;
}

void gg__indexer_sweep_again(struct gg__indexer *indexer)
{
  indexer->sweep_over = false;
  indexer->swept[0] = '\0';
  indexer->sweep_ns = gg_clock_mono_ns() + GG_INDEXER_LOOK_NS;
}

/* The marks were read before the segments were looked at, not since, and those are read to where they were then: a
 * session of which something was said is in the catalogue, or nowhere. */
static int may_sweep(struct gg__indexer *indexer, bool *may)
{
  *may = false;
  if (indexer->sweep_over || indexer->unnamed || indexer->heard)
    return 0;
  for (size_t i = 0; i < indexer->file_count; i++)
    if (gg__indexed_lag(indexer->files[i]) > 0)
      return 0;
  if (indexer->sweep_ns > 0 && gg_clock_mono_ns() < indexer->sweep_ns)
    return 0;
  return gg__catalogue_is_whole(indexer->catalogue, may, indexer->failure);
}

static int sweep(struct gg__indexer *indexer, struct gg__ids *ids)
{
  bool may;
  int error = may_sweep(indexer, &may);
  for (int page = 0; page < SWEEP_PAGES && may && !error && !indexer->sweep_over; page++) {
    struct sweep sweep = {.indexer = indexer, .ids = ids};
    error = gg__catalogue_marked(indexer->catalogue, indexer->swept, SWEEP_PAGE, sweep_one, &sweep, indexer->failure);
    indexer->sweep_over = sweep.seen < SWEEP_PAGE;
  }
  return error;
}

/* ── Forgetting ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Where the journal cannot be written the catalogue goes on: the marks are only too many, and a sweep finds them. */
static int write_forgotten(struct gg__indexer *indexer, const struct gg__ids *ids)
{
  struct gg_failure ignored = GG_FAILURE_INIT;
  const char **list = calloc(ids->count, sizeof *list);
  if (!list)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < ids->count; i++)
    list[i] = ids->ids[i];
  int error = gg__marks_forget(indexer->marks, list, ids->count, &ignored);
  free(list);
  if (error)
    gg__indexer_sweep_again(indexer);
  else
    indexer->stats.forgotten += ids->count;
  return error == GG_ERR_NOMEM ? error : error ? 0 : gg__indexer_take_marks(indexer);
}

int gg__indexer_forget(struct gg__indexer *indexer)
{
  struct gg__ids ids = {0};
  if (!indexer->options.forgets || !indexer->marks)
    return 0;
  int error = take_gone(indexer, &ids);
  if (!error)
    error = sweep(indexer, &ids);
  if (!error && ids.count > 0)
    error = write_forgotten(indexer, &ids);
  gg__ids_fini(&ids);
  return error;
}
