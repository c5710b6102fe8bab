/* SPDX-License-Identifier: Apache-2.0 */
/**
 * replay_takes.h - what a player has recorded of itself, as one line of text, instead of a recording. The test is
 * linked with --wrap of all gg__take_* functions.
 */
#ifndef GG_TESTS_REPLAY_TAKES_H
#define GG_TESTS_REPLAY_TAKES_H

#include "replay_checks.h"

#include <stdio.h>

static char takes[4096]; /* what was recorded of the replay, in order */
static int take_error;   /* of the call that begins with ... */
static const char *take_fails;

static inline int took(const char *text)
{
  size_t at = strlen(takes);
  snprintf(takes + at, sizeof takes - at, "%s;", text);
  return take_fails && strncmp(text, take_fails, strlen(take_fails)) == 0 ? take_error : 0;
}

int __wrap_gg__take_open(struct gg_replay_recording *recording, struct gg_take *take, const char *original,
                         uint64_t copy, uint64_t loop, const struct gg_addr *local, const struct gg_addr *remote,
                         uint64_t mono_ns, struct gg_failure *failure);
int __wrap_gg__take_open(struct gg_replay_recording *recording, struct gg_take *take, const char *original,
                         uint64_t copy, uint64_t loop, const struct gg_addr *local, const struct gg_addr *remote,
                         uint64_t mono_ns, struct gg_failure *failure)
{
  char text[64];
  assert_non_null(recording);
  assert_true(local->port == 40000 && remote->port == 80 && mono_ns >= FAKE_START && copy == 0 && loop == 0);
  snprintf(text, sizeof text, "open %s", original);
  int error = took(text);
  if (error)
    return gg_fail(failure, error, "no room");
  take->open = true;
  return 0;
}

int __wrap_gg__take_bytes(struct gg_take *take, enum gg_direction direction, const uint8_t *data, size_t size,
                          uint64_t mono_ns, struct gg_failure *failure);
int __wrap_gg__take_bytes(struct gg_take *take, enum gg_direction direction, const uint8_t *data, size_t size,
                          uint64_t mono_ns, struct gg_failure *failure)
{
  char text[128];
  assert_true(take->open && mono_ns >= FAKE_START);
  snprintf(text, sizeof text, "%c %.*s", direction == GG_FROM_CLIENT ? 'c' : 's', (int)(size < 64 ? size : 64),
           (const char *)data);
  int error = took(text);
  return error ? gg_fail(failure, error, "no room") : 0;
}

int __wrap_gg__take_fin(struct gg_take *take, enum gg_direction direction, uint64_t mono_ns,
                        struct gg_failure *failure);
int __wrap_gg__take_fin(struct gg_take *take, enum gg_direction direction, uint64_t mono_ns, struct gg_failure *failure)
{
  assert_true(take->open && mono_ns >= FAKE_START);
  int error = took(direction == GG_FROM_CLIENT ? "client fin" : "server fin");
  return error ? gg_fail(failure, error, "no room") : 0;
}

int __wrap_gg__take_close(struct gg_take *take, enum gg_closing closing, const char *reason, uint64_t mono_ns,
                          struct gg_failure *failure);
int __wrap_gg__take_close(struct gg_take *take, enum gg_closing closing, const char *reason, uint64_t mono_ns,
                          struct gg_failure *failure)
{
  char text[64];
  assert_true(take->open && mono_ns >= FAKE_START);
  take->open = false;
  snprintf(text, sizeof text, "close %d %s", (int)closing, reason);
  int error = took(text);
  return error ? gg_fail(failure, error, "no room") : 0;
}

static inline void record_replay(void)
{
  takes[0] = '\0';
  take_fails = NULL;
  take_error = 0;
  fake.stage->recording = (struct gg_replay_recording *)(void *)&fake; /* only its wrapped functions know it */
}

/* Three requests; the client ends. */
static inline void record_three(void)
{
  fake_send(&fake, 0, "1");
  fake_expect(&fake, 1, "one\n");
  fake_send(&fake, 10, "2");
  fake_expect(&fake, 11, "two\n");
  fake_send(&fake, 20, "3");
  fake_expect(&fake, 21, "three\n");
  fake_step(&fake, GG_STEP_SEND_END, 30);
  fake_step(&fake, GG_STEP_EXPECT_END, 31);
  fake_step(&fake, GG_STEP_OVER, 31);
}

#endif
