/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment that has gone while its plan is played. What retention has kept of it (store/moved.h) has the same packets
 * of held sessions at other places: it is swept once, and the records that lead into the segment are changed to lead
 * into that.
 *
 *   X.kept1 ──gg_sweep──► piece: session, side, offset, place
 *                                   │ the session's next record of X: the same side, and an offset in it
 *                                   ▼
 *   temporary file:  [X, where] ──► [X.kept1, place]
 *
 * Pieces of a session come in the order of its records, so those are walked once, beside them. A record's bytes are of
 * one packet, and so is what they become: where its first one is, there are the others.
 *
 * A step that was read before still has the old place. It knows its record, which is read again (plan.c). Records of
 * sessions that were not held stay as they are, and lead to what has gone.
 *
 * Rejected: a table from old places to new ones. It would take as much room as the records, and be asked for each read.
 */
#include "replay/plan_private.h"

#include "store/capture.h"
#include "store/moved.h"
#include "store/sweep.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TURNS_MAX = 8 };

struct following {
  struct gg_plan *plan;
  const struct gg__moved *moved;
  size_t *entries; /* of the plan, of each part's session by the first of its parts; SIZE_MAX: it has none */
  uint32_t from, to;
  struct gg_failure *failure;
};

/* A session that is swept. */
struct follower {
  struct gg_cursor cursor;      /* GG_PLAN_NOWHERE: no more records of its lead to the file */
  struct gg_plan_record record; /* at the cursor: it waits for its piece */
  bool begun;                   /* it is not the first */
};

/* The next record that leads to the file. Those of one file are together, as files are read one after the other. */
static int find_record(const struct following *following, struct follower *follower)
{
  struct gg_cursor *cursor = &follower->cursor;
  const struct gg_plan_record *record = &follower->record;
  for (; cursor->block != GG_PLAN_NOWHERE; cursor->index++) {
    int error = gg__plan_read(following->plan, cursor, &follower->record, following->failure);
    if (error)
      return error;
    bool has_place = (record->kind == GG_STEP_SEND || record->kind == GG_STEP_EXPECT) && record->file != GG_CACHE_SPOOL;
    if (has_place && record->file == following->from) {
      follower->begun = true;
      return 0;
    }
    if (record->kind == GG_STEP_OVER || (has_place && follower->begun))
      break;
  }
  cursor->block = GG_PLAN_NOWHERE;
  return 0;
}

static int begin_session(void *context, void **token, const struct gg_session *begun)
{
  const struct following *following = context;
  size_t first = gg__moved_first(following->moved, begun->id);
  size_t entry = first < following->moved->count ? following->entries[first] : SIZE_MAX;
  *token = NULL;
  if (entry == SIZE_MAX)
    return 0;
  struct follower *follower = calloc(1, sizeof *follower);
  if (!follower)
    return gg_fail(following->failure, GG_ERR_NOMEM, "no memory for a plan");
  follower->cursor.block = following->plan->entries[entry].first;
  int error = find_record(following, follower);
  if (error)
    free(follower);
  else
    *token = follower;
  return error;
}

static bool is_in(const struct gg_plan_record *record, const struct gg_sweep_piece *piece)
{
  enum gg_step_kind kind = piece->side == GG_SIDE_CLIENT ? GG_STEP_SEND : GG_STEP_EXPECT;
  return record->kind == kind && record->offset >= piece->offset && record->offset - piece->offset < piece->length;
}

static int take_piece(void *context, void **token, const struct gg_sweep_piece *piece)
{
  const struct following *following = context;
  struct follower *follower = *token;
  struct gg_plan *plan = following->plan;
  int error = 0;
  if (!follower || piece->kind != GG_SWEEP_BYTES || piece->place == UINT64_MAX)
    return 0;
  while (!error && follower->cursor.block != GG_PLAN_NOWHERE && is_in(&follower->record, piece)) {
    struct gg_plan_record *record = &follower->record;
    uint64_t place = gg__plan_place(&follower->cursor);
    record->file = following->to;
    record->where = piece->place + (record->offset - piece->offset);
    error = gg__spool_change(&plan->spool, place, record, sizeof *record, following->failure);
    if (error)
      return error;
    gg__cache_note(&plan->cache, GG_CACHE_SPOOL, place, record, sizeof *record);
    follower->cursor.index++;
    error = find_record(following, follower);
  }
  return error;
}

static int end_session(void *context, void **token, const struct gg_session *session)
{
  (void)context;
  (void)session;
  free(*token);
  return 0;
}

static const struct gg_sweep_ops following_ops = {.begin = begin_session, .piece = take_piece, .end = end_session};

/* Which of the plan's sessions are in it. */
static bool find_entries(struct following *following)
{
  const struct gg__moved *moved = following->moved;
  const struct gg_plan *plan = following->plan;
  following->entries = malloc((moved->count + 1) * sizeof following->entries[0]);
  if (!following->entries)
    return false;
  for (size_t i = 0; i < moved->count; i++)
    following->entries[i] = SIZE_MAX;
  for (size_t i = 0; i < plan->count; i++) {
    char id[GG_SESSION_ID_TEXT];
    gg_session_id_format(&plan->entries[i].id, id);
    size_t first = gg__moved_first(moved, id);
    if (first < moved->count)
      following->entries[first] = i;
  }
  return true;
}

/* GG_ERR_AGAIN: it has gone, too. What was found is claimed, so that is rare. */
static int follow_into(struct gg_plan *plan, const struct gg__moved *moved, uint32_t from, struct gg_failure *failure)
{
  const char *path = moved->capture->path;
  struct following following = {
    .plan = plan, .moved = moved, .from = from, .to = (uint32_t)plan->cache.file_count, .failure = failure};
  struct gg_failure why = GG_FAILURE_INIT;
  int error = find_entries(&following) ? gg__cache_add(&plan->cache, path) : GG_ERR_NOMEM;
  if (error)
    gg_fail(&why, error, "no memory for a plan");
  else
    error = gg_sweep(path, NULL, &following_ops, free, &following, &why);
  free(following.entries);
  if (error && access(path, F_OK) != 0 && errno == ENOENT)
    return GG_ERR_AGAIN;
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

int gg__plan_follow(struct gg_plan *plan, uint32_t file, struct gg_failure *failure)
{
  struct gg__capture *gone = NULL;
  int error = GG_ERR_AGAIN;
  assert(file < plan->cache.file_count);
  if (gg__capture_create(&gone, NULL, plan->cache.files[file].path, true) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a plan");
  for (unsigned turn = 0; error == GG_ERR_AGAIN && turn < TURNS_MAX; turn++) {
    struct gg__moved moved;
    struct gg_failure why = GG_FAILURE_INIT;
    error = gg__moved_find(&moved, gone, &why);
    if (!error)
      error = follow_into(plan, &moved, file, failure);
    else if (error != GG_ERR_NOT_FOUND)
      gg_fail(failure, error, "%s", why.message);
    gg__moved_fini(&moved);
  }
  gg__capture_destroy(gone);
  return error == GG_ERR_NOT_FOUND || error == GG_ERR_AGAIN ? 0 : error;
}
