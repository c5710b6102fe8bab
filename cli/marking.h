/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marking.h - sessions that are named one by one, or chosen by a filter: what `tag` and `hold` share.
 */
#ifndef GG_CLI_MARKING_H
#define GG_CLI_MARKING_H

#include "store_common.h"

/* The sessions that the words mean. Words that are the beginning of an id name one session each; all others are a
 * filter, and any number may match. Returns GG_EXIT_DONE with at least one session in `out->list`, or tells
 * what was wrong. What was made is the caller's in any case (gg_cli_chosen_free). */
int gg_cli_choose_marked(const struct gg_cli *cli, const char *command, const struct gg_cli_words *words,
                         struct gg_cli_chosen *out);

/* What was done: "tagged 12 sessions; 3 had it so already", or each session as JSON. */
void gg_cli_tell_marked(const struct gg_session_list *list, const char *done, size_t changed, bool json);

/* A plural: "1 session", "2 sessions". */
static inline const char *gg_cli_plural(size_t count)
{
  return count == 1 ? "" : "s";
}

#endif
