/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Playing from a plan: entries are in memory, everything else comes through the cache.
 *
 * A step is a record of 32 bytes in the temporary file. Records of one session stand next to each other in blocks; the
 * last one of a block is a link to the session's next block, or the step OVER:
 *
 *   entry.first ──► [step][step][step][link]   ┌──► [step][step][OVER]
 *                                      └───────┘
 *
 * A cursor is a block's place and a number in it, so it may be copied, and a step costs one record's read.
 * plan_make.c writes all of this.
 */
#include "replay/plan_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS_TEXT_MAX = 63, TURNS_MAX = 8 };
_Static_assert(sizeof(struct gg_plan_record) == GG_SPOOL_ALIGN, "a record never lies across blocks");
_Static_assert(sizeof(struct gg_plan_entry) <= 96, "a million sessions are below 100 MB");

static struct gg_plan *plan_of(const struct gg_script *script)
{
  return (struct gg_plan *)(void *)(uintptr_t)script;
}

static size_t plan_count(const struct gg_script *script)
{
  return plan_of(script)->count;
}

static void plan_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  static const char *const opaque[] = {[GG_PLAN_CLEAR] = NULL, [GG_PLAN_TLS] = "TLS", [GG_PLAN_SSH] = "SSH"};
  const struct gg_plan *plan = plan_of(script);
  assert(index < plan->count);
  const struct gg_plan_entry *entry = &plan->entries[index];
  *out = (struct gg_script_session){.start_ns = entry->start_ns,
                                    .end_ns = entry->end_ns,
                                    .bytes = {entry->bytes[0], entry->bytes[1]},
                                    .chunks = entry->chunks,
                                    .dependent = entry->dependent,
                                    .gaps = entry->gaps,
                                    .service = entry->service,
                                    .refused = entry->refused,
                                    .beginning_missing = entry->beginning_missing,
                                    .opaque = opaque[entry->opaque]};
  gg_session_id_format(&entry->id, out->id);
}

static struct gg_cursor plan_steps(const struct gg_script *script, size_t index)
{
  const struct gg_plan *plan = plan_of(script);
  assert(index < plan->count);
  return (struct gg_cursor){.block = plan->entries[index].first};
}

static int read_record(struct gg_plan *plan, uint64_t place, struct gg_plan_record *record, struct gg_failure *failure)
{
  return gg__cache_read(&plan->cache, GG_CACHE_SPOOL, place, (uint8_t *)record, sizeof *record, false, failure);
}

int gg__plan_read(struct gg_plan *plan, struct gg_cursor *cursor, struct gg_plan_record *record,
                  struct gg_failure *failure)
{
  int error = read_record(plan, gg__plan_place(cursor), record, failure);
  if (error || record->kind != GG_PLAN_LINK)
    return error;
  *cursor = (struct gg_cursor){.block = record->where};
  return read_record(plan, cursor->block, record, failure);
}

static int plan_next(struct gg_script *script, struct gg_cursor *cursor, struct gg_step *out,
                     struct gg_failure *failure)
{
  struct gg_plan *plan = plan_of(script);
  struct gg_plan_record record;
  if (cursor->block == GG_PLAN_NOWHERE)
    return 0;
  int error = gg__plan_read(plan, cursor, &record, failure);
  if (error)
    return error;
  assert(record.kind <= GG_STEP_OVER);
  bool gap = record.kind == GG_STEP_SEND_GAP || record.kind == GG_STEP_EXPECT_GAP;
  bool bytes = record.kind == GG_STEP_SEND || record.kind == GG_STEP_EXPECT;
  *out = (struct gg_step){.time_ns = record.time_ns,
                          .offset = record.offset,
                          .place = bytes ? record.where : 0,
                          .record = gg__plan_place(cursor),
                          .gap = gap ? record.where : 0,
                          .length = bytes ? record.length_less_one + 1u : 0,
                          .file = record.file,
                          .kind = record.kind,
                          .begins_chunk = record.begins_chunk};
  cursor->index++;
  if (record.kind == GG_STEP_OVER)
    cursor->block = GG_PLAN_NOWHERE;
  return 1;
}

/* The record of a step whose file has gone: 1: it leads to another file by now; 0: it does not, the bytes have gone. */
static int find_again(struct gg_plan *plan, const struct gg_step *step, struct gg_plan_record *record,
                      struct gg_failure *failure)
{
  uint32_t file = record->file;
  int error = read_record(plan, step->record, record, failure);
  if (error || record->file != file)
    return error ? error : 1;
  error = gg__plan_follow(plan, file, failure);
  if (!error)
    error = read_record(plan, step->record, record, failure);
  return error ? error : record->file != file;
}

static int plan_bytes(struct gg_script *script, const struct gg_step *step, uint32_t skip, uint8_t *out, uint32_t size,
                      struct gg_failure *failure)
{
  struct gg_plan *plan = plan_of(script);
  struct gg_cache *cache = &plan->cache;
  struct gg_plan_record at = {.file = step->file, .where = step->place};
  assert(step->kind == GG_STEP_SEND || step->kind == GG_STEP_EXPECT);
  assert(skip <= step->length && size <= step->length - skip);
  int error = gg__cache_read(cache, at.file, at.where + skip, out, size, script->sparse, NULL);
  for (unsigned turn = 0; error == GG_ERR_NOT_FOUND && turn < TURNS_MAX; turn++) {
    int found = find_again(plan, step, &at, failure);
    if (found < 0)
      return found;
    if (!found)
      break;
    error = gg__cache_read(cache, at.file, at.where + skip, out, size, script->sparse, NULL);
  }
  /* Once more, to hear what is wrong. */
  return error ? gg__cache_read(cache, at.file, at.where + skip, out, size, script->sparse, failure) : 0;
}

const struct gg_script_ops gg__plan_ops = {
  .count = plan_count,
  .session = plan_session,
  .steps = plan_steps,
  .next = plan_next,
  .bytes = plan_bytes,
};

struct gg_script *gg__plan_script(struct gg_plan *plan)
{
  return &plan->script;
}

enum gg_plan_original gg__plan_original(const struct gg_plan *plan, size_t index)
{
  assert(index < plan->count);
  return (enum gg_plan_original)plan->entries[index].original;
}

/* Two texts behind each other, each with its NUL. */
int gg__plan_ends(struct gg_plan *plan, size_t index, char client[64], char server[64], struct gg_failure *failure)
{
  char texts[2 * (ENDS_TEXT_MAX + 1)];
  assert(index < plan->count);
  const struct gg_plan_entry *entry = &plan->entries[index];
  client[0] = server[0] = '\0';
  assert(entry->ends_bytes <= sizeof texts);
  int error =
    gg__cache_read(&plan->cache, GG_CACHE_SPOOL, entry->ends, (uint8_t *)texts, entry->ends_bytes, false, failure);
  if (error)
    return error;
  size_t first = strnlen(texts, entry->ends_bytes) + 1;
  memcpy(client, texts, first);
  memcpy(server, texts + first, entry->ends_bytes - first);
  return 0;
}

void gg__plan_destroy(struct gg_plan *plan)
{
  if (!plan)
    return;
  gg__cache_fini(&plan->cache);
  gg__spool_fini(&plan->spool);
  free(plan->entries);
  free(plan);
}
