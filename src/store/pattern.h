/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pattern.h - what is searched for, and finding it in one stretch of bytes.
 *
 * A pattern is a literal or a regular expression (PCRE2, where it was built with it). It is immutable once compiled, so
 * threads share it; what a search writes to is in its finder, of which each thread has its own.
 *
 * The rules of a match, for both kinds: the first one from the left, of those that begin there the one that the pattern
 * prefers (as in Perl), never an empty one; the next is looked for behind its end.
 *
 * Private to src/store.
 */
#ifndef GG_STORE_PATTERN_H
#define GG_STORE_PATTERN_H

#include "store/bounds.h"

#include <gogetway/error.h>
#include <gogetway/store.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes in front of where an attempt begins it may look at. */
size_t gg__pattern_behind(const struct gg_pattern *pattern);
/* It can only match where the search begins: if it does not there, no later place of what it has seen will do. */
bool gg__pattern_anchored(const struct gg_pattern *pattern);

struct gg__finder;

/* Borrows the pattern. GG_ERR_NOMEM. */
int gg__finder_create(struct gg__finder **out, const struct gg_pattern *pattern, struct gg_failure *failure);
void gg__finder_destroy(struct gg__finder *finder);

enum gg__found {
  GG__FOUND_NONE,    /* and none will be that begins in this stretch, whatever follows */
  GG__FOUND_MATCH,   /* whatever follows */
  GG__FOUND_PARTIAL, /* what begins at `begin` may match or not: that depends on what follows; nothing in front does */
  GG__FOUND_GAVE_UP, /* the limits of steps or memory were reached */
};

enum gg__stretch {
  GG__STRETCH_GOES_ON, /* more follows that is not here */
  GG__STRETCH_ENDS,    /* with the text */
  GG__STRETCH_CUT,     /* more follows, but is not to be looked at; and only a match that begins at `from` counts */
};

struct gg__span {
  size_t begin, end;
};

/* Looks for the first match that begins at `from` or behind it, in `length` bytes of text. What is in front of `from`
 * is only looked behind at. */
enum gg__found gg__finder_find(struct gg__finder *finder, const uint8_t *text, size_t length, size_t from,
                               enum gg__stretch stretch, struct gg__span *span);

#endif
