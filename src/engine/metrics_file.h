/* SPDX-License-Identifier: Apache-2.0 */
/**
 * metrics_file.h - the metrics in a file, written anew every interval, for whoever collects them from there.
 *
 * A thread of its own writes it: a directory that hangs holds up no worker and no answer of the control socket. The
 * file has mode 0644, because the collector (node_exporter's textfile collector reads *.prom) runs as another user.
 * It holds counts and the names of listeners and upstreams, nothing of what passes through.
 *
 * Thread: start and stop on the engine's thread.
 */
#ifndef GG_ENGINE_METRICS_FILE_H
#define GG_ENGINE_METRICS_FILE_H

#include <gogetway/error.h>
#include <stdint.h>

struct gg_logger;
struct gg_metrics;
struct gg_metrics_file;

struct gg_metrics_file_options {
  const char *path;
  uint64_t interval_ns;
  struct gg_metrics *metrics; /* borrowed until stop, as the logger */
  struct gg_logger *logger;   /* a file that cannot be written is warned of once, until it can be again */
};

/* Runs the thread, which writes at once. */
int gg__metrics_file_start(struct gg_metrics_file **out, const struct gg_metrics_file_options *options,
                           struct gg_failure *failure);
/* Ends the thread, writes once more, and frees. NULL is fine. */
void gg__metrics_file_stop(struct gg_metrics_file *file);
/* The same, but the file is another's to write now. */
void gg__metrics_file_drop(struct gg_metrics_file *file);

#endif
