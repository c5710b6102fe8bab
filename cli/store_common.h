/* SPDX-License-Identifier: Apache-2.0 */
/**
 * store_common.h - what the commands that read recordings share: opening, filter words, numbers for people.
 */
#ifndef GG_CLI_STORE_COMMON_H
#define GG_CLI_STORE_COMMON_H

#include "common.h"

#include <gogetway/store.h>

enum { GG_CLI_WORDS_MAX = 64, GG_CLI_FILTERS_MAX = 16, GG_CLI_NUMBER_MAX = 32, GG_CLI_TIME_MAX = 40 };

/* What chooses sessions: bare words, and expressions; all must hold. */
struct gg_cli_words {
  const char *words[GG_CLI_WORDS_MAX];
  size_t count;
  const char *filters[GG_CLI_FILTERS_MAX];
  size_t filter_count;
};

/* The row for it in a command's table of options. */
/* clang-format off */
#define GG_CLI_FILTER_OPTION                                                                                           \
  {"filter", 0, "EXPR", "only sessions that match it: 'gogetway help filters'"}
/* clang-format on */

/* Keeps a bare word; false after telling that there are too many. */
bool gg_cli_add_word(struct gg_cli_words *words, const char *word);
/* The same with an expression of --filter. */
bool gg_cli_add_filter(struct gg_cli_words *words, const char *expression);

/* All return GG_EXIT_DONE, or tell what was wrong and return another status. */
int gg_cli_open_store(const struct gg_cli *cli, struct gg_store **out);
/* Tells the failure of a store, and if it is in the place, or in its rights, what to do about that. GG_EXIT_FAILED. */
int gg_cli_store_fail(const struct gg_failure *failure);
int gg_cli_parse_filter(const struct gg_cli_words *words, struct gg_filter **out);
/* Opens, parses and queries. What was made is the caller's also on failure (NULL where nothing was). */
struct gg_cli_chosen {
  struct gg_store *store;
  struct gg_filter *filter;
  struct gg_session_list *list;
};
int gg_cli_choose(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_cli_chosen *out);
/* Likewise, in another order (NULL: by start), and not more than `limit` (0: all). */
int gg_cli_choose_sorted(const struct gg_cli *cli, const struct gg_cli_words *words, const char *sort, uint64_t limit,
                         struct gg_cli_chosen *out);
void gg_cli_chosen_free(struct gg_cli_chosen *chosen);

/* Of a list in order of start, which may be longer than there is memory, GG_CLI_PAGE_SESSIONS at once. The next page
 * begins where the last session of `chosen` does, and has so many that that page had, too, at its beginning. */
enum { GG_CLI_PAGE_SESSIONS = 20000 };
size_t gg_cli_page_shown(const struct gg_session_list *list);
/* Puts the first `limit` sessions of that page in the place of what `chosen` has: with another store, for a store keeps
 * what it has told of. */
int gg_cli_next_page(const struct gg_cli *cli, const struct gg_cli_words *words, uint64_t limit,
                     struct gg_cli_chosen *chosen);

/* One line on stderr for each file that is not whole. */
void gg_cli_tell_warnings(const struct gg_store *store);

/* One JSON object and a newline on stdout. */
void gg_cli_put_session_json(const struct gg_session *session);

const char *gg_cli_bytes(uint64_t bytes, bool human, char text[GG_CLI_NUMBER_MAX]); /* "1.5M", or "1572864" */
const char *gg_cli_duration(uint64_t ns, bool human, char text[GG_CLI_NUMBER_MAX]); /* "1m02s", or "62.000000000" */
const char *gg_cli_time(uint64_t ns, bool human, char text[GG_CLI_TIME_MAX]);       /* UTC */

uint64_t gg_cli_now_ns(void);

/* Whether nothing more can be written to stdout: whoever reads it has gone, or it failed. */
bool gg_cli_stdout_gone(void);

/* Whether the export to `path` has ended with `error` since whoever reads stdout has gone. */
bool gg_cli_read_enough(const char *path, int error);

/* For commands that go on until they are told to end: the first SIGINT or SIGTERM from here on is noted, the second
 * one ends the process. `then` (may be NULL) is called by the handler of the first. */
void gg_cli_catch_signals(void (*then)(void));
bool gg_cli_signalled(void);

/* Waits, and says whether to go on: no signal was noted and stdout is still read. */
bool gg_cli_pause(uint64_t ns);

#endif
