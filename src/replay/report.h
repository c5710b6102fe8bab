/* SPDX-License-Identifier: Apache-2.0 */
/**
 * report.h - what the replay found, as one JSON document (docs/replay.md has its schema), written as it comes to be
 * known: first the plan, then a row for each connection when it has ended, at last the sums. So its memory does not
 * depend on how many there are.
 *
 * A file is written beside its name, mode 0600, and renamed when whole, also after a stop; "-" is standard output.
 * What is no ordinary file (a pipe, /dev/null) is written as it is; a slow reader of one holds the replay up. After an
 * error nothing more is written, and every call returns it.
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_REPORT_H
#define GG_REPLAY_REPORT_H

#include <gogetway/replay.h>

struct gg_report;

int gg__report_create(struct gg_report **out, const char *path, const struct gg_replay_plan *plan,
                      const struct gg_replay_options *options, struct gg_failure *failure);
int gg__report_session(struct gg_report *report, const struct gg_replay_session *session, struct gg_failure *failure);
/* The sums; then the report is where it belongs. */
int gg__report_finish(struct gg_report *report, const struct gg_replay_outcome *outcome, struct gg_failure *failure);
void gg__report_destroy(struct gg_report *report); /* NULL is fine; an unfinished file is removed */

#endif
