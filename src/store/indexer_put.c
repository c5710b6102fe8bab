/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_put.c - from parts to records of the catalogue, in batches.
 *
 * A session may have parts in several segments, and the indexer may long have forgotten the others. So what the
 * catalogue has of it is got, this part takes its place among them, or that of what was told of it before, and the
 * session is made anew from all of them, as a scan makes it.
 *
 * A batch is opened by the first thing that goes into it. With the sessions it says how far each segment is read, and
 * it is always of one moment: every session that has a packet in front of there is as it is there, those that are open
 * as well. So who reads on from there, a listing of a live store or whoever comes after us, knows all from the
 * catalogue. Where very many sessions are open, batches are longer, so that it is mostly new ones that are written.
 */
#include "store/indexer_private.h"

#include "store/tags.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int put_segment(struct gg__indexer *indexer, struct gg__indexed *file)
{
  struct gg__catalogue_segment row = {.scanned = file->scanned,
                                      .first_ns = file->first_ns,
                                      .last_ns = file->last_ns,
                                      .scattered = file->scattered,
                                      .complete = file->complete};
  assert(strlen(file->name) < sizeof row.name);
  memcpy(row.name, file->name, strlen(file->name) + 1);
  file->known = true;
  file->dirty = false;
  return gg__catalogue_put_segment(indexer->catalogue, &row, indexer->failure);
}

int gg__indexer_begin(struct gg__indexer *indexer)
{
  if (indexer->batch)
    return 0;
  int error = gg__catalogue_begin(indexer->catalogue, indexer->failure);
  indexer->batch = !error;
  return error;
}

int gg__indexer_touch(struct gg__indexer *indexer, struct gg__indexed *file)
{
  int error = gg__indexer_begin(indexer);
  if (!error && file->anew)
    error = gg__catalogue_forget_segment(indexer->catalogue, file->name, indexer->failure);
  if (!error && (file->anew || !file->known)) { /* parts may name it only when it is there */
    file->anew = false;
    error = put_segment(indexer, file);
  }
  return error;
}

bool gg__indexer_is_full(const struct gg__indexer *indexer)
{
  return indexer->batch_sessions >= GG_CATALOGUE_BATCH_SESSIONS && indexer->batch_sessions >= indexer->waiting_count;
}

void gg__opened_settle(struct gg__indexer *indexer, struct gg__opened *opened)
{
  if (gg_list_empty(&opened->waiting))
    return;
  gg_list_remove(&opened->waiting);
  indexer->waiting_count--;
}

int gg__indexer_commit(struct gg__indexer *indexer)
{
  int error = 0;
  while (!error && !gg_list_empty(&indexer->waiting))
    error = gg__indexer_put(indexer, GG_CONTAINER(indexer->waiting.next, struct gg__opened, waiting));
  if (!error)
    error = gg__indexer_forget(indexer);
  if (error || !indexer->batch)
    return error;
  error = gg__indexer_write_tags(indexer);
  for (size_t i = 0; i < indexer->file_count && !error; i++)
    if (indexer->files[i]->dirty)
      error = put_segment(indexer, indexer->files[i]);
  if (!error)
    error = gg__catalogue_commit(indexer->catalogue, indexer->failure);
  indexer->batch = false;
  indexer->batch_sessions = 0;
  indexer->stats.batches += !error;
  if (!error && !gg__indexer_tell(indexer))
    error = gg_fail(indexer->failure, GG_ERR_CLOSED, "indexing was given up");
  return error;
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_same(const struct gg__part *a, const struct gg__part *b)
{
  return a->first_offset == b->first_offset && strcmp(a->capture->name, b->capture->name) == 0;
}

/* The session of these parts. */
int gg__indexer_renew(const struct gg__indexer *indexer, struct gg__record *record)
{
  const char *tags = "";
  struct gg_session session = {.generation = 1};
  uint64_t told[2] = {0, 0};
  memcpy(session.id, record->parts->id, sizeof session.id);
  gg__session_begin(&session, record->parts);
  session.state = gg__life_state(&indexer->life, record->parts->capture->name);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__session_add(&session, part, told, part == record->parts);
    tags = part->closed ? part->tags : tags;
  }
  int error = gg__tags_set(&session, &record->tags, tags);
  record->session = session;
  return error;
}

/* Puts the part among those that are known, in the place of what was known of it: that is returned, for part_out. */
static struct gg__part *part_in(struct gg__part **parts, struct gg__part *part)
{
  struct gg__part *before = NULL;
  struct gg__part **at = parts;
  while (*at && !is_same(*at, part))
    at = &(*at)->next_of_session;
  if (*at) {
    before = *at;
    *at = before->next_of_session;
  }
  at = parts;
  while (*at && gg__part_before(*at, part))
    at = &(*at)->next_of_session;
  part->next_of_session = *at;
  *at = part;
  return before;
}

static void part_out(struct gg__part **parts, struct gg__part *part, struct gg__part *before)
{
  struct gg__part **at = parts;
  while (*at != part)
    at = &(*at)->next_of_session;
  *at = part->next_of_session;
  part->next_of_session = NULL;
  if (before) { /* its order does not matter any more: it is freed with the others */
    before->next_of_session = *parts;
    *parts = before;
  }
}

int gg__indexer_put(struct gg__indexer *indexer, struct gg__opened *opened)
{
  struct gg__part *part = &opened->part;
  struct gg__record *known = NULL, record = {0};
  gg__opened_settle(indexer, opened);
  int error = gg__indexer_begin(indexer);
  if (!error && !indexer->building)
    error = gg__catalogue_get(indexer->catalogue, part->id, &known, indexer->failure);
  if (error)
    return error;
  record.parts = known ? known->parts : NULL;
  struct gg__part *before = part_in(&record.parts, part);
  error = gg__indexer_renew(indexer, &record);
  if (!error)
    error = gg__catalogue_put(indexer->catalogue, &record, indexer->failure);
  if (!error && part->closed)
    error = gg__indexer_tag(indexer, &record.session);
  free(record.tags);
  part_out(&record.parts, part, before);
  if (known) {
    known->parts = record.parts;
    gg__record_free(known);
  }
  indexer->stats.sessions++;
  indexer->batch_sessions++;
  return error;
}
