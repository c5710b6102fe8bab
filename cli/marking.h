/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marking.h - sessions that are named one by one, or chosen by a filter: what `tag` and `hold` share.
 */
#ifndef GG_CLI_MARKING_H
#define GG_CLI_MARKING_H

#include "store_common.h"

/* Sessions that are not recorded (any more), by their whole ids. */
struct gg_cli_gone {
  char ids[GG_CLI_WORDS_MAX][25];
  size_t count;
};

/* The sessions that the words mean. Words that are the beginning of an id name one session each; all others are a
 * filter, and any number may match. `gone` is for what only takes away, else NULL: whole ids that no session has are
 * noted there. Returns GG_EXIT_DONE with at least one session in `out->list` (NULL: none) or in `gone`, or tells
 * what was wrong. What was made is the caller's in any case (gg_cli_chosen_free). */
int gg_cli_choose_marked(const struct gg_cli *cli, const char *command, const struct gg_cli_words *words,
                         struct gg_cli_gone *gone, struct gg_cli_chosen *out);

/* Lets those go, or takes tags off them, and says that no recording of them is here. */
int gg_cli_unmark_gone(struct gg_store *store, const struct gg_cli_gone *gone, bool release, const char *const *remove,
                       size_t remove_count);

/* What was done: "tagged 12 sessions; 3 had it so already", or each session as JSON. `list` may be NULL. */
void gg_cli_tell_marked(const struct gg_session_list *list, const struct gg_cli_gone *gone, const char *done,
                        size_t changed, bool json);

/* Between quotes. */
void gg_cli_put_tag_json(const char *tag);

/* A plural: "1 session", "2 sessions". */
static inline const char *gg_cli_plural(size_t count)
{
  return count == 1 ? "" : "s";
}

#endif
