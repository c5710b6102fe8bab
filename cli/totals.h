/* SPDX-License-Identifier: Apache-2.0 */
/* totals.h - sums over recorded sessions, as `gogetway stats` shows them. */
#ifndef GG_CLI_TOTALS_H
#define GG_CLI_TOTALS_H

#include "store_common.h"

/* GG_EXIT_DONE, or it was told that there are no totals by that. */
int gg_cli_totals_check(const char *by);

/* Shows them by `by`; NULL: by listener, by protocol and by hour, of these the last. Returns an enum gg_exit. */
int gg_cli_totals_put(struct gg_store *store, const struct gg_filter *filter, const char *by, bool json);
/* Likewise, of the store and the filter that the command names. */
int gg_cli_totals(const struct gg_cli *cli, const struct gg_cli_words *words, const char *by, bool json);

#endif
