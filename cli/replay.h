/* SPDX-License-Identifier: Apache-2.0 */
/**
 * replay.h - what the files of `gogetway replay` share.
 *
 *   replay.c           the command: options, signals, exit status
 *   replay_plan.c      --dry-run: what would be sent
 *   replay_plugin.c    --plugin-config: the options of the plug-in's own
 *   replay_progress.c  what is shown on stderr while it plans and runs
 *   replay_summary.c   what is printed when it is over, and for each connection with -v
 */
#ifndef GG_CLI_REPLAY_H
#define GG_CLI_REPLAY_H

#include "common.h"

#include <gogetway/replay.h>

enum { GG_CLI_DIFFERENCES_MAX = 10, GG_CLI_SPAN_MAX = 32 };

/* On a terminal one line that is drawn again and again; otherwise a line every few seconds. */
struct gg_cli_progress {
  bool terminal;       /* stderr is one */
  bool drawn;          /* the line is there now */
  uint64_t told_ns;    /* CLOCK_REALTIME, of the last line or drawing */
  uint64_t counted_ns; /* of the replay: when chunks were last counted for the rate */
  uint64_t counted_chunks;
  uint64_t rate; /* chunks a second */
};
void gg_cli_progress_begin(struct gg_cli_progress *progress);
void gg_cli_progress_planning(struct gg_cli_progress *progress, uint64_t done, uint64_t total);
void gg_cli_progress_playing(struct gg_cli_progress *progress, const struct gg_replay_progress *now);
/* Before anything else is written: the line is taken away. It comes back with the next drawing. */
void gg_cli_progress_clear(struct gg_cli_progress *progress);

/* A difference, kept for the summary. */
struct gg_cli_difference {
  char id[25];
  uint64_t copy, loop;
  struct gg_replay_difference difference;
};

/* What is gathered while connections end. */
struct gg_cli_found {
  struct gg_cli_difference first[GG_CLI_DIFFERENCES_MAX];
  size_t count;     /* of those */
  uint64_t refused; /* sessions whose first difference is that there was no connection */
  uint64_t local;   /* ... or that this host could not make one */
};
void gg_cli_found_add(struct gg_cli_found *found, const struct gg_replay_session *session);

/* One line for an ended connection. */
void gg_cli_put_played(FILE *out, const struct gg_replay_session *session);
void gg_cli_put_summary(FILE *out, const struct gg_replay_plan *plan, const struct gg_replay_outcome *outcome,
                        const struct gg_cli_found *found);

/* The dry run's table, or one JSON object a line. */
void gg_cli_put_plan(FILE *out, const struct gg_replay *replay, const struct gg_replay_options *options, bool json);

/* Adds what one --plugin-config has, a file or NAME=VALUE, to the YAML that is there; to be freed. */
int gg_cli_plugin_config(char **yaml, const char *value);

const char *gg_cli_span(uint64_t ns, char text[GG_CLI_SPAN_MAX]); /* "812us", "12.3ms", "1.25s", "1m02s" */

#endif
