/* SPDX-License-Identifier: Apache-2.0 */
/**
 * edits.h - listeners and upstreams that the embedding program has added and removed while the gateway runs.
 *
 *     arguments, files ──► configuration ──► edits, in their order ──► judged again ──► in force
 *
 * An edit is carried out by a reload, and by every later one: what the program has done stays done, whatever the files
 * say by then. One that has nothing to do any more (its listener is gone from the files) does nothing.
 *
 * A set of edits is never changed: another one is made with one edit more, which replaces those that it undoes.
 *
 * Thread: pure functions; any thread.
 */
#ifndef GG_ENGINE_EDITS_H
#define GG_ENGINE_EDITS_H

#include "engine/config.h"

enum { GG_EDITS_MAX = 256 };

enum gg_edit_kind { GG_EDIT_LISTENER_ADD, GG_EDIT_LISTENER_REMOVE, GG_EDIT_UPSTREAM_ADD, GG_EDIT_UPSTREAM_REMOVE };

struct gg_edit {
  enum gg_edit_kind kind;
  char *listener;
  char *upstream; /* its name; NULL for a listener's edits */
  char *text;     /* ADD: the listener as YAML, the upstream as the configuration has it */
};

struct gg_edits {
  size_t count;
  struct gg_edit items[GG_EDITS_MAX];
};

/* NULL for `before`, here and below: there are none. GG_ERR_LIMIT: there would be more than GG_EDITS_MAX; GG_ERR_NOMEM.
 */
int gg__edits_with(struct gg_edits **out, const struct gg_edits *before, const struct gg_edit *edit);
void gg__edits_free(struct gg_edits *edits);
/* Of a configuration that was loaded. GG_ERR_FORMAT, EXISTS and others; the failure says what does not fit. */
int gg__edits_apply(struct gg_config *config, const struct gg_edits *edits, struct gg_failure *failure);

/* The name that a listener would have; malloc'ed. Everything about it alone is judged. */
int gg__edits_listener_name(char **out, const char *yaml, struct gg_failure *failure);

#endif
