/* SPDX-License-Identifier: Apache-2.0 */
/* Plans whose segments retention takes while they are made and while they are played: sessions that are held are read
 * on where it has kept them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "replay/plan.h"
#include "replay/plan_cache.h"
#include "retention_scene.h"

enum { SEGMENTS = GG_CACHE_OPEN_MAX + 6, OTHERS = 3, SESSIONS = 1 + SEGMENTS * OTHERS, LENGTH = 700 };

/* More segments than a plan has open; in each some of session 1, which goes through all of them, between sessions of
 * its own: OTHERS * segment + 2, ... No byte of a stream is like its neighbours. */
struct store {
  struct scene scene;
  unsigned pruned; /* while a plan was made */
};

static void say(struct files *files, struct talk *talk, unsigned number, enum gg_direction direction)
{
  uint8_t data[LENGTH];
  for (size_t i = 0; i < LENGTH; i++) {
    uint64_t at = talk->received[direction] + i;
    data[i] = (uint8_t)(at * 7 + (at >> 8) * 13 + number * 31 + (unsigned)direction);
  }
  talk_say(files, talk, direction, data, LENGTH);
}

static struct store *make_store(unsigned segments)
{
  struct store *store = calloc(1, sizeof *store);
  struct files *files = &store->scene.files;
  struct talk *through = &store->scene.through, own[OTHERS];
  files_begin(files);
  for (unsigned segment = 0; segment < segments; segment++) {
    char name[128];
    snprintf(name, sizeof name, "20231114T22%02u%02u.000Z-w0-block-%06u.pcapng", segment / 60, segment % 60,
             segment + 1);
    files_segment(files, name);
    if (segment == 0)
      talk_open(files, through, 1, 4001);
    for (unsigned i = 0; i < OTHERS; i++) {
      unsigned number = 2 + OTHERS * segment + i;
      talk_open(files, &own[i], number, (uint16_t)(5000 + number));
      say(files, &own[i], number, GG_FROM_CLIENT);
      say(files, through, 1, i % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT);
      say(files, &own[i], number, GG_FROM_SERVER);
      say(files, through, 1, GG_FROM_CLIENT);
      talk_close(files, &own[i]);
    }
    if (segment + 1 == segments)
      talk_close(files, through);
    files_write(files);
  }
  return store;
}

static void remove_store(struct store *store)
{
  char path[128];
  snprintf(path, sizeof path, "%s/journal", store->scene.files.dir);
  files_remove_in(path);
  files_end(&store->scene.files);
  free(store);
}

static int begin_store(void **state)
{
  *state = make_store(SEGMENTS);
  return 0;
}

static int end_store(void **state)
{
  remove_store(*state);
  return 0;
}

static void prune_all(const struct store *store)
{
  struct gg_prune_options options = GG_PRUNE_OPTIONS_INIT;
  struct gg_prune_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  options.max_age_ns = 1;
  if (gg_store_prune(store->scene.files.dir, &options, &result, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* How many segments there are that are of this generation. */
static unsigned count_kept(const struct store *store, const char *generation)
{
  char path[128];
  unsigned count = 0;
  snprintf(path, sizeof path, "%s/segments", store->scene.files.dir);
  DIR *directory = opendir(path);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory));)
    count += strstr(entry->d_name, generation) != NULL;
  closedir(directory);
  return count;
}

static struct gg_plan *make_plan(struct store *store, bool (*progress)(void *context, uint64_t done, uint64_t total))
{
  const struct gg_plan_options options = {.path = store->scene.files.dir, .progress = progress, .context = store};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plan *plan;
  if (gg__plan_create(&plan, &options, &failure) != 0)
    fail_msg("%s", failure.message);
  gg__plan_script(plan)->sparse = true; /* what has been read is not in memory, but has to be read again */
  return plan;
}

static size_t index_of(struct gg_script *script, unsigned number)
{
  struct gg_script_session session;
  char id[25];
  snprintf(id, sizeof id, "018c0000000000000000%04x", number);
  for (size_t i = 0; i < script->ops->count(script); i++) {
    script->ops->session(script, i, &session);
    if (strcmp(session.id, id) == 0)
      return i;
  }
  fail_msg("session %u is not in the plan", number);
  return 0;
}

/* Whether all of its bytes are there, and are what was said: 0, or what the first error was. */
static int play(struct gg_plan *plan, unsigned number, struct gg_failure *failure)
{
  static uint8_t bytes[GG_STEP_BYTES_MAX];
  struct gg_script *script = gg__plan_script(plan);
  struct gg_cursor cursor = script->ops->steps(script, index_of(script, number));
  struct gg_step step;
  uint64_t told[2] = {0, 0};
  int result;
  while ((result = script->ops->next(script, &cursor, &step, failure)) == 1) {
    if (step.length == 0)
      continue;
    unsigned direction = step.kind == GG_STEP_EXPECT;
    int error = script->ops->bytes(script, &step, 0, bytes, step.length, failure);
    if (error)
      return error;
    assert_int_equal(step.offset, told[direction]);
    for (uint64_t i = 0, at = step.offset; i < step.length; i++, at++)
      assert_int_equal(bytes[i], (uint8_t)(at * 7 + (at >> 8) * 13 + number * 31 + direction));
    told[direction] += step.length;
  }
  assert_true(result != 0 || (told[0] > 0 && told[1] > 0));
  return result;
}

static bool plays(struct gg_plan *plan, unsigned number)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = play(plan, number, &failure);
  assert_int_equal(failure.code, error);
  assert_true(!error || (error == GG_ERR_NOT_FOUND && strstr(failure.message, "has gone since it was planned")));
  return !error;
}

/* Session 1, and of the others these alone. */
static void check_plays(struct gg_plan *plan, unsigned first, unsigned every)
{
  assert_true(plays(plan, 1));
  for (unsigned number = 2; number <= SESSIONS; number++)
    assert_true(plays(plan, number) == (number % every == first));
}

static void goes_while_it_is_played(void **state)
{
  struct store *store = *state;
  struct gg_plan *plan = make_plan(store, NULL);
  check_plays(plan, 0, 1);
  gg__plan_destroy(plan);

  plan = make_plan(store, NULL);
  hold(&store->scene, 1, true);
  for (unsigned number = 3; number <= SESSIONS; number += 4)
    hold(&store->scene, number, true);
  prune_all(store);
  assert_int_equal(count_kept(store, ".kept1."), SEGMENTS);
  check_plays(plan, 3, 4);

  /* Of those that are not open any more, a second generation takes the place of the first. */
  assert_true(plays(plan, 1));
  for (unsigned number = 3; number <= SESSIONS; number += 4)
    hold(&store->scene, number, false);
  prune_all(store);
  assert_true(count_kept(store, ".kept2.") > 0);
  assert_true(plays(plan, 1));
  hold(&store->scene, 1, false);
  prune_all(store);
  assert_false(plays(plan, 1));
  gg__plan_destroy(plan);
}

/* Steps that were read before their file went know nothing of where their bytes are now. */
static void steps_from_before(void **state)
{
  static struct gg_step steps[SESSIONS];
  struct store *store = *state;
  struct gg_plan *plan = make_plan(store, NULL);
  struct gg_script *script = gg__plan_script(plan);
  struct gg_failure failure = GG_FAILURE_INIT;
  uint8_t bytes[2][LENGTH];
  struct gg_cursor cursor = script->ops->steps(script, index_of(script, 1));
  unsigned count = 0;
  while (count < SESSIONS && script->ops->next(script, &cursor, &steps[count], &failure) == 1)
    count += steps[count].kind == GG_STEP_SEND;
  assert_true(count > SEGMENTS);
  hold(&store->scene, 1, true);
  prune_all(store);
  assert_true(plays(plan, 1));
  for (unsigned i = count; i-- > 0;) {
    assert_int_equal(script->ops->bytes(script, &steps[i], 0, bytes[0], LENGTH, &failure), 0);
    assert_int_equal(script->ops->bytes(script, &steps[i], LENGTH - 9, bytes[1], 9, &failure), 0);
    assert_memory_equal(bytes[0] + LENGTH - 9, bytes[1], 9);
    for (uint64_t at = steps[i].offset; at < steps[i].offset + LENGTH; at++)
      assert_int_equal(bytes[0][at - steps[i].offset], (uint8_t)(at * 7 + (at >> 8) * 13 + 31));
  }
  gg__plan_destroy(plan);
}

/* In the first file, which nobody else takes as long as it is read. */
static bool prune_once(void *context, uint64_t done, uint64_t total)
{
  struct store *store = context;
  assert_true(done <= total);
  if (store->pruned++ == 0)
    prune_all(store);
  return true;
}

static void goes_while_it_is_made(void **state)
{
  struct store *store = *state;
  hold(&store->scene, 1, true);
  hold(&store->scene, 20, true);
  struct gg_plan *plan = make_plan(store, prune_once);
  assert_true(count_kept(store, ".kept1.") >= SEGMENTS - 1);
  assert_true(plays(plan, 1) && plays(plan, 20));
  gg__plan_destroy(plan);
}

/* Whatever was refused, and when: nothing is lost by it. */
static void no_memory(void **state)
{
  (void)state;
  for (failing = 1;; failing++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    struct store *store = make_store(3);
    struct gg_plan *plan = make_plan(store, NULL);
    hold(&store->scene, 1, true);
    prune_all(store);
    calls = 0;
    counting = true;
    int error = play(plan, 1, &failure);
    counting = false;
    assert_true(error == 0 || (error == GG_ERR_NOMEM && failure.message[0]));
    assert_true(plays(plan, 1));
    gg__plan_destroy(plan);
    remove_store(store);
    if (calls < failing)
      break;
  }
  assert_true(failing > 30);
  failing = 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(goes_while_it_is_played, begin_store, end_store),
    cmocka_unit_test_setup_teardown(steps_from_before, begin_store, end_store),
    cmocka_unit_test_setup_teardown(goes_while_it_is_made, begin_store, end_store),
    cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
