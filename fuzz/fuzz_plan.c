/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan from any bytes as segments: one file, or two of the same recording when the input has the mark between them.
 * Beyond what the sanitizers see it is checked of every session that its steps come in the order of their times and
 * streams, that nothing follows a side's end, that the last one is OVER and the only one, and that the steps' bytes and
 * gaps add up to what the session says it has.
 */
#include "replay/plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { STEPS_MAX = 1000000 };

static void must(int holds)
{
  if (!holds)
    abort();
}

/* What the steps of a session come to. */
struct sums {
  uint64_t next[2]; /* offsets */
  uint64_t bytes[2], gaps;
  uint64_t chunks, dependent;
  uint64_t last_ns;
  bool replied, ended[2], reset;
};

static void take_step(struct gg_script *script, const struct gg_step *step, struct sums *sums)
{
  static uint8_t room[GG_STEP_BYTES_MAX];
  static const uint8_t sides[] = {0, 1, 0, 1, 0, 1, 0, 1};
  bool bytes = step->kind == GG_STEP_SEND || step->kind == GG_STEP_EXPECT;
  bool gap = step->kind == GG_STEP_SEND_GAP || step->kind == GG_STEP_EXPECT_GAP;
  must(step->kind < GG_STEP_OVER && !sums->reset);
  must(bytes == (step->length > 0) && gap == (step->gap > 0) && step->length <= GG_STEP_BYTES_MAX);
  uint8_t side = sides[step->kind];
  if (bytes) {
    must(!sums->ended[side]);
    must(script->ops->bytes(script, step, 0, room, step->length, NULL) == 0);
    sums->chunks += side == 0 && step->begins_chunk;
    sums->dependent += side == 0 && step->begins_chunk && sums->replied;
  }
  if (bytes || gap) {
    must(step->offset >= sums->next[side]);
    sums->next[side] = step->offset + step->length + step->gap;
  }
  sums->bytes[side] += step->length;
  sums->gaps += step->gap;
  if (step->kind == GG_STEP_SEND_END || step->kind == GG_STEP_EXPECT_END) {
    must(!sums->ended[side]);
    sums->ended[side] = true;
  }
  sums->replied |= side == 1;
  sums->reset = step->kind == GG_STEP_SEND_RESET || step->kind == GG_STEP_EXPECT_RESET;
}

static void walk_session(struct gg_plan *plan, size_t index)
{
  struct gg_script *script = gg__plan_script(plan);
  struct gg_script_session session;
  struct gg_cursor cursor = script->ops->steps(script, index);
  struct gg_step step;
  struct sums sums = {0};
  char client[64], server[64];
  unsigned count = 0;
  script->ops->session(script, index, &session);
  must(strlen(session.id) == 24 && session.start_ns <= session.end_ns);
  must(gg__plan_ends(plan, index, client, server, NULL) == 0 && client[0] && server[0]);
  for (;; count++) {
    must(count < STEPS_MAX && script->ops->next(script, &cursor, &step, NULL) == 1);
    if (step.kind == GG_STEP_OVER)
      break;
    take_step(script, &step, &sums);
  }
  must(script->ops->next(script, &cursor, &step, NULL) == 0);
  /* Closing facts may know of gaps that no packet does, and bytes behind an end are told as missing. */
  must(sums.gaps <= session.gaps && sums.bytes[0] <= session.bytes[0] && sums.bytes[1] <= session.bytes[1]);
  must(sums.bytes[0] + sums.bytes[1] + sums.gaps >= session.bytes[0] + session.bytes[1]);
  must(sums.chunks == session.chunks && sums.dependent == session.dependent && sums.chunks >= sums.dependent);
}

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  must(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && close(fd) == 0);
}

static char folder[64], first[96], second[96];

static void remove_folder(void)
{
  unlink(first);
  unlink(second);
  rmdir(folder);
}

static void make_folder(void)
{
  if (folder[0])
    return;
  snprintf(folder, sizeof folder, "/dev/shm/gogetway-fuzz-plan-XXXXXX");
  must(mkdtemp(folder) != NULL);
  snprintf(first, sizeof first, "%s/1.pcapng", folder);
  snprintf(second, sizeof second, "%s/2.pcapng", folder);
  setenv("TMPDIR", "/dev/shm", 1);
  atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  static const char mark[] = "NEXT-SEGMENT";
  struct gg_endpoint to;
  make_folder();
  const uint8_t *cut = memmem(data, bytes, mark, sizeof mark - 1);
  size_t behind = cut ? (size_t)(cut - data) + sizeof mark - 1 : bytes;
  write_file(first, data, cut ? (size_t)(cut - data) : bytes);
  write_file(second, data + behind, bytes - behind);
  must(gg_endpoint_parse(&to, "127.0.0.1:80", false, NULL) == 0);
  struct gg_plan_options options = {.path = folder, .to = &to};
  struct gg_plan *plan;
  if (gg__plan_create(&plan, &options, NULL) != 0)
    return 0;
  struct gg_script *script = gg__plan_script(plan);
  struct gg_script_session session, before = {0};
  for (size_t i = 0; i < script->ops->count(script); i++) {
    script->ops->session(script, i, &session);
    must(session.start_ns >= before.start_ns);
    before = session;
    walk_session(plan, i);
  }
  gg__plan_destroy(plan);
  return 0;
}
