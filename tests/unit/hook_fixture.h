/* SPDX-License-Identifier: Apache-2.0 */
/* hook_fixture.h - a desk with a store of its own, a worker's shard, and what is told on a logger; tables of the tests'
 * own are made into hooks on it. */
#ifndef GG_TEST_HOOK_FIXTURE_H
#define GG_TEST_HOOK_FIXTURE_H

#include "hook/hook.h"
#include "hook/library.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hook_fixture {
  char store[64];
  struct gg_metrics *metrics;
  struct gg_logger *logger;
  struct gg_shard *shard; /* a worker's */
  struct gg_hook_desk desk;
  pthread_mutex_t lock; /* of what was told */
  char told[8192];
};

static void hook_fixture_told(void *context, enum gg_level level, const char *line, size_t length)
{
  struct hook_fixture *f = context;
  (void)level;
  (void)length;
  pthread_mutex_lock(&f->lock);
  size_t used = strlen(f->told);
  snprintf(f->told + used, sizeof f->told - used, "%s\n", line);
  pthread_mutex_unlock(&f->lock);
}

static int hook_fixture_remove(const char *path, const struct stat *status, int flag, struct FTW *place)
{
  (void)status;
  (void)flag;
  (void)place;
  return remove(path);
}

/* No data plane: a plug-in of these tests asks about no sessions. */
static const struct gg_hook_sessions hook_fixture_sessions = {0};

static inline void hook_fixture_make(struct hook_fixture *f)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(f, 0, sizeof *f);
  pthread_mutex_init(&f->lock, NULL);
  snprintf(f->store, sizeof f->store, "/tmp/gogetway-hook-XXXXXX");
  assert_non_null(mkdtemp(f->store));
  assert_int_equal(gg_metrics_create(&f->metrics), 0);
  assert_int_equal(gg_logger_create_sink(&f->logger, hook_fixture_told, f, GG_LEVEL_DEBUG, GG_LOGGER_JSON), 0);
  assert_int_equal(gg_hook_desk_init(&f->desk, f->metrics, f->logger, &hook_fixture_sessions, f->store, &failure), 0);
  assert_int_equal(gg_metrics_shard(f->metrics, &f->shard), 0);
}

static inline void hook_fixture_unmake(struct hook_fixture *f)
{
  gg_hook_desk_stop(&f->desk);
  gg_hook_reap(&f->desk);
  gg_hook_desk_fini(&f->desk);
  gg_logger_destroy(f->logger);
  gg_metrics_destroy(f->metrics);
  pthread_mutex_destroy(&f->lock);
  nftw(f->store, hook_fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline bool hook_fixture_was_told(struct hook_fixture *f, const char *text)
{
  pthread_mutex_lock(&f->lock);
  bool was = strstr(f->told, text) != NULL;
  pthread_mutex_unlock(&f->lock);
  return was;
}

/* A hook of a table that is judged first, as an engine would. */
static inline struct gg_hook *hook_fixture_hook(struct hook_fixture *f, const struct gg_plugin *given)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin table;
  struct gg_hook *hook = NULL;
  if (gg_plugin_judge(&table, given, "table", &failure) != 0 ||
      gg_hook_create(&hook, &f->desk, &table, NULL, NULL, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  return hook;
}

#endif
