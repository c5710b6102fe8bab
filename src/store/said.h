/* SPDX-License-Identifier: Apache-2.0 */
/**
 * said.h - which sessions match a filter that asks for what was said in them: for who goes through packets, of which
 * none says that by itself.
 *
 * Private to src. Thread: one at a time.
 */
#ifndef GG_STORE_SAID_H
#define GG_STORE_SAID_H

#include "store/filter_ast.h"

struct gg__said;

/* Whether the filter (NULL: everything) asks for a protocol, or for facts of decoders. */
bool gg__said_is_asked(const struct gg_filter *filter);

/* Asks the store, whose catalogue knows it, or who decodes its sessions to find out: 24 bytes for each that matches.
 * `*out` NULL: the filter does not ask for what was said. Errors as gg_store_query has them. */
int gg__said_find(struct gg__said **out, const char *path, const struct gg_filter *filter, struct gg_failure *failure);
bool gg__said_has(const struct gg__said *said, const char *id);
void gg__said_destroy(struct gg__said *said);

#endif
