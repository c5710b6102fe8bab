/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/metrics_file.h"

#include "base/clock.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "engine/file.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { FILE_MODE = 0644 };

struct gg_metrics_file {
  struct gg_metrics_file_options options;
  char *path; /* the same as the options' */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t ended;
  bool ending;  /* under the lock */
  bool failing; /* the last write failed: the thread's, and after it who stops it */
};

static void write_once(struct gg_metrics_file *file)
{
  const struct gg_metrics_file_options *options = &file->options;
  struct gg_failure failure = GG_FAILURE_INIT;
  size_t length;
  char *text = gg_metrics_text(options->metrics, &length);
  int error = text ? gg__file_replace(options->path, text, length, FILE_MODE, &failure)
                   : gg_fail(&failure, GG_ERR_NOMEM, "out of memory for %s", options->path);
  free(text);
  if (error && !file->failing)
    gg_warn(options->logger, "metrics file not written", GG_S("error", failure.message),
            GG_S("effect", "it stays as it was, and is tried again"));
  if (!error && file->failing)
    gg_info(options->logger, "metrics file written again", GG_S("file", options->path));
  file->failing = error != 0;
}

/* Waits until that time of the monotonic clock; false: it is time to end. */
static bool wait_until(struct gg_metrics_file *file, uint64_t until_ns)
{
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&file->lock);
  while (!file->ending && waited == 0)
    waited = pthread_cond_timedwait(&file->ended, &file->lock, &until);
  bool ending = file->ending;
  pthread_mutex_unlock(&file->lock);
  return !ending;
}

static void *write_always(void *context)
{
  struct gg_metrics_file *file = context;
  uint64_t due_ns;
  prctl(PR_SET_NAME, "gg-metrics");
  do {
    due_ns = gg_clock_mono_ns() + file->options.interval_ns;
    write_once(file);
  } while (wait_until(file, due_ns));
  return NULL;
}

static void file_free(struct gg_metrics_file *file)
{
  pthread_cond_destroy(&file->ended);
  pthread_mutex_destroy(&file->lock);
  free(file->path);
  free(file);
}

int gg__metrics_file_start(struct gg_metrics_file **out, const struct gg_metrics_file_options *options,
                           struct gg_failure *failure)
{
  struct gg_metrics_file *file = calloc(1, sizeof *file);
  if (!file)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics file");
  file->options = *options;
  file->options.path = file->path = strdup(options->path);
  if (!file->path) {
    free(file);
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the metrics file");
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&file->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&file->lock, NULL);
  int created = pthread_create(&file->thread, NULL, write_always, file);
  if (created) {
    file_free(file);
    return gg_fail_errno(failure, created, "cannot start the thread of the metrics file");
  }
  *out = file;
  return 0;
}

static void end_thread(struct gg_metrics_file *file)
{
  pthread_mutex_lock(&file->lock);
  file->ending = true;
  pthread_cond_signal(&file->ended);
  pthread_mutex_unlock(&file->lock);
  pthread_join(file->thread, NULL);
}

void gg__metrics_file_stop(struct gg_metrics_file *file)
{
  if (!file)
    return;
  end_thread(file);
  write_once(file);
  file_free(file);
}

void gg__metrics_file_drop(struct gg_metrics_file *file)
{
  if (!file)
    return;
  end_thread(file);
  file_free(file);
}
