/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plan_compare.h - whether a plan has the same sessions, chunks and bytes as a store tells of the same files.
 *
 * Every session is read twice: by gg_reader, chunk by chunk, and by the steps of its script, put together again where
 * no chunk begins.
 */
#ifndef GG_TESTS_PLAN_COMPARE_H
#define GG_TESTS_PLAN_COMPARE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay/plan.h"

#include <gogetway/store.h>
#include <stdlib.h>
#include <string.h>

static inline struct gg_plan *compare_plan(const char *path, const struct gg_filter *filter)
{
  const struct gg_plan_options options = {.path = path, .filter = filter};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plan *plan = NULL;
  if (gg__plan_create(&plan, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  return plan;
}

/* The steps of one session, seen as chunks. */
struct compare_steps {
  struct gg_script *script;
  struct gg_cursor cursor;
  struct gg_step step;
  bool ended;
  uint8_t *data; /* of the chunk: GG_READER_CHUNK_MAX */
};

static inline bool compare_is_mark(const struct gg_step *step)
{
  return step->kind >= GG_STEP_SEND_END && step->kind <= GG_STEP_EXPECT_RESET;
}

static inline void compare_step(struct compare_steps *steps)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  do {
    if (steps->script->ops->next(steps->script, &steps->cursor, &steps->step, &failure) != 1)
      fail_msg("no step before the last one: %s", failure.message);
  } while (compare_is_mark(&steps->step));
  steps->ended = steps->step.kind == GG_STEP_OVER;
}

/* The next chunk or gap, as a reader tells it. False: there is none. */
static inline bool compare_chunk(struct compare_steps *steps, struct gg_chunk *chunk)
{
  if (steps->ended)
    return false;
  const struct gg_step first = steps->step;
  bool client = first.kind == GG_STEP_SEND || first.kind == GG_STEP_SEND_GAP;
  *chunk = (struct gg_chunk){.time_ns = first.time_ns,
                             .side = client ? GG_SIDE_CLIENT : GG_SIDE_SERVER,
                             .offset = first.offset,
                             .gap = first.gap,
                             .data = steps->data};
  if (first.gap) {
    compare_step(steps);
    return true;
  }
  assert_true(first.begins_chunk);
  do {
    struct gg_step *step = &steps->step;
    uint32_t half = step->length / 2;
    assert_true(step->length > 0 && step->length <= GG_STEP_BYTES_MAX);
    assert_true(chunk->length + step->length <= GG_READER_CHUNK_MAX);
    assert_int_equal(step->offset, chunk->offset + chunk->length);
    assert_int_equal(step->time_ns, chunk->time_ns);
    uint8_t *at = steps->data + chunk->length;
    assert_int_equal(steps->script->ops->bytes(steps->script, step, half, at + half, step->length - half, NULL), 0);
    assert_int_equal(steps->script->ops->bytes(steps->script, step, 0, at, half, NULL), 0);
    chunk->length += step->length;
    compare_step(steps);
  } while (!steps->ended && steps->step.kind == first.kind && !steps->step.begins_chunk);
  return true;
}

static inline void compare_chunks(struct gg_store *store, const struct gg_session *session, struct gg_script *script,
                                  size_t index)
{
  struct compare_steps steps = {.script = script, .cursor = script->ops->steps(script, index)};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_reader *reader = NULL;
  struct gg_chunk read, planned;
  steps.data = malloc(GG_READER_CHUNK_MAX);
  assert_non_null(steps.data);
  assert_int_equal(gg_reader_open(&reader, store, session, &failure), 0);
  compare_step(&steps);
  int result;
  while ((result = gg_reader_next(reader, &read, &failure)) == 1) {
    assert_true(compare_chunk(&steps, &planned));
    assert_int_equal(planned.time_ns, read.time_ns);
    assert_int_equal(planned.side, read.side);
    assert_int_equal(planned.offset, read.offset);
    assert_int_equal(planned.gap, read.gap);
    assert_int_equal(planned.length, read.length);
    if (read.length > 0)
      assert_memory_equal(planned.data, read.data, read.length);
  }
  assert_int_equal(result, 0);
  assert_false(compare_chunk(&steps, &planned));
  assert_int_equal(steps.step.time_ns, session->end_ns);
  assert_int_equal(script->ops->next(script, &steps.cursor, &steps.step, &failure), 0);
  gg_reader_close(reader);
  free(steps.data);
}

static inline void compare_session(struct gg_store *store, const struct gg_session *session, struct gg_plan *plan,
                                   size_t index)
{
  struct gg_script *script = gg__plan_script(plan);
  struct gg_script_session planned;
  char client[64], server[64];
  script->ops->session(script, index, &planned);
  assert_string_equal(planned.id, session->id);
  assert_int_equal(planned.start_ns, session->start_ns);
  assert_int_equal(planned.end_ns, session->end_ns);
  assert_int_equal(planned.bytes[0], session->bytes[0]);
  assert_int_equal(planned.bytes[1], session->bytes[1]);
  assert_int_equal(planned.gaps, session->gaps[0] + session->gaps[1]);
  assert_int_equal(planned.beginning_missing, session->beginning_missing);
  assert_int_equal(gg__plan_ends(plan, index, client, server, NULL), 0);
  assert_string_equal(client, session->client);
  assert_string_equal(server, session->server);
  compare_chunks(store, session, script, index);
}

/* `words` of a filter, NULL at the end; NULL: none. Returns how many sessions there were. */
static inline size_t compare_with_store(const char *path, const char *const *words)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_filter *filter = NULL;
  size_t count = 0;
  while (words && words[count])
    count++;
  assert_int_equal(gg_filter_parse(&filter, words, count, 0, NULL), 0);
  assert_int_equal(gg_store_open(&store, path, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, filter, &list, NULL), 0);
  struct gg_plan *plan = compare_plan(path, filter);
  struct gg_script *script = gg__plan_script(plan);
  count = gg_session_list_count(list);
  assert_int_equal(script->ops->count(script), count);
  for (size_t i = 0; i < count; i++)
    compare_session(store, gg_session_list_at(list, i), plan, i);
  gg__plan_destroy(plan);
  gg_session_list_destroy(list);
  gg_store_close(store);
  gg_filter_destroy(filter);
  return count;
}

#endif
