/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans a recording and walks over the plan as a replay does that is as fast as possible:
 *
 *   plan_walk PATH TOGETHER [FILTER-WORD...]
 *
 * TOGETHER sessions are read at one time, a step of each in turn, with all its bytes. One JSON object comes out: what
 * was planned and read, how long both took, and the most memory that was resident after each.
 */
#include "base/clock.h"
#include "replay/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walking {
  struct gg_script *script;
  size_t next; /* session that has not begun */
  uint64_t steps, bytes;
};

static void fail(const struct gg_failure *failure)
{
  fprintf(stderr, "plan_walk: %s\n", failure->message);
  exit(1);
}

static void warn(void *context, const char *text)
{
  (void)context;
  fprintf(stderr, "plan_walk: %s\n", text);
}

/* Peak of resident memory, in KiB. */
static uint64_t peak_kib(void)
{
  char line[256];
  uint64_t kib = 0;
  FILE *file = fopen("/proc/self/status", "re");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "VmHWM:", 6) == 0)
      kib = strtoull(line + 6, NULL, 10);
  if (file)
    fclose(file);
  return kib;
}

/* One step. False: the session has ended. */
static bool go_on(struct walking *walking, struct gg_cursor *cursor)
{
  static uint8_t bytes[GG_STEP_BYTES_MAX];
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_step step;
  struct gg_script *script = walking->script;
  int result = script->ops->next(script, cursor, &step, &failure);
  if (result == 1 && step.length > 0 && script->ops->bytes(script, &step, 0, bytes, step.length, &failure) != 0)
    result = -1;
  if (result < 0)
    fail(&failure);
  walking->steps += (uint64_t)result;
  walking->bytes += result == 1 ? step.length : 0;
  return result == 1;
}

static void walk(struct walking *walking, size_t together)
{
  struct gg_script *script = walking->script;
  struct gg_cursor *cursors = calloc(together, sizeof *cursors);
  bool *open = calloc(together, sizeof *open);
  size_t count = script->ops->count(script);
  if (!cursors || !open)
    abort();
  for (size_t left = count; left > 0;)
    for (size_t i = 0; i < together; i++) {
      if (!open[i] && walking->next < count) {
        cursors[i] = script->ops->steps(script, walking->next++);
        open[i] = true;
      }
      if (open[i] && !go_on(walking, &cursors[i])) {
        open[i] = false;
        left--;
      }
    }
  free(cursors);
  free(open);
}

int main(int argc, char **argv)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  struct gg_plan *plan = NULL;
  size_t together = argc >= 3 ? strtoull(argv[2], NULL, 10) : 0;
  if (together == 0) {
    fprintf(stderr, "usage: plan_walk PATH TOGETHER [FILTER-WORD...]\n");
    return 2;
  }
  if (gg_filter_parse(&filter, (const char *const *)argv + 3, (size_t)argc - 3, gg_clock_real_ns(), &failure) != 0)
    fail(&failure);
  struct gg_plan_options options = {.path = argv[1], .filter = filter, .warning = warn};
  uint64_t begun_ns = gg_clock_mono_ns();
  if (gg__plan_create(&plan, &options, &failure) != 0)
    fail(&failure);
  uint64_t planned_ns = gg_clock_mono_ns(), planned_kib = peak_kib();
  struct walking walking = {.script = gg__plan_script(plan)};
  walk(&walking, together);
  printf("{\"sessions\":%zu,\"steps\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"plan_ns\":%" PRIu64 ",\"walk_ns\":%" PRIu64
         ",\"plan_peak_kib\":%" PRIu64 ",\"peak_kib\":%" PRIu64 "}\n",
         walking.script->ops->count(walking.script), walking.steps, walking.bytes, planned_ns - begun_ns,
         gg_clock_mono_ns() - planned_ns, planned_kib, peak_kib());
  gg__plan_destroy(plan);
  gg_filter_destroy(filter);
  return 0;
}
