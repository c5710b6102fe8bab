/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/edits.h"

#include "engine/config_judge.h"
#include "engine/config_table.h"
#include "engine/config_upstream.h"
#include "gateway/plane.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Sets of edits ───────────────────────────────────────────────────────────────────────────────────────────────── */

static bool same(const char *a, const char *b)
{
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static int append(struct gg_edits *edits, const struct gg_edit *edit)
{
  if (edits->count == GG_EDITS_MAX)
    return GG_ERR_LIMIT;
  struct gg_edit *copy = &edits->items[edits->count++];
  *copy = (struct gg_edit){.kind = edit->kind,
                           .listener = strdup(edit->listener),
                           .upstream = edit->upstream ? strdup(edit->upstream) : NULL,
                           .text = edit->text ? strdup(edit->text) : NULL};
  bool whole = copy->listener && !copy->upstream == !edit->upstream && !copy->text == !edit->text;
  return whole ? 0 : GG_ERR_NOMEM;
}

/* What is removed is nothing that was added or changed any more. */
static bool undoes(const struct gg_edit *later, const struct gg_edit *earlier)
{
  if (strcmp(later->listener, earlier->listener) != 0)
    return false;
  return later->kind == GG_EDIT_LISTENER_REMOVE ||
         (later->kind == GG_EDIT_UPSTREAM_REMOVE && earlier->upstream && same(later->upstream, earlier->upstream));
}

int gg__edits_with(struct gg_edits **out, const struct gg_edits *before, const struct gg_edit *edit)
{
  struct gg_edits *edits = calloc(1, sizeof *edits);
  bool from_files = true; /* what is removed was there without the program */
  bool decided = false;
  int error = edits ? 0 : GG_ERR_NOMEM;
  for (size_t i = 0; before && i < before->count && !error; i++) {
    const struct gg_edit *earlier = &before->items[i];
    if (!undoes(edit, earlier)) {
      error = append(edits, earlier);
      continue;
    }
    bool own = edit->upstream || !earlier->upstream; /* not an upstream of a listener that goes */
    if (own && !decided) {
      from_files = earlier->kind == GG_EDIT_LISTENER_REMOVE || earlier->kind == GG_EDIT_UPSTREAM_REMOVE;
      decided = true;
    }
  }
  if (!error && from_files)
    error = append(edits, edit);
  if (error) {
    gg__edits_free(edits);
    edits = NULL;
  }
  *out = edits;
  return error;
}

void gg__edits_free(struct gg_edits *edits)
{
  for (size_t i = 0; edits && i < edits->count; i++) {
    free(edits->items[i].listener);
    free(edits->items[i].upstream);
    free(edits->items[i].text);
  }
  free(edits);
}

/* ── A listener's text ───────────────────────────────────────────────────────────────────────────────────────────── */

/* An item's options are a table like any other: its text is a document of its own, with the places that its writer
 * sees. */
static struct gg_schema listener_schema(void)
{
  const struct gg_option_list *list = gg__config_list(GG__CONFIG_LISTENERS);
  return (struct gg_schema){.options = list->options, .option_count = list->option_count};
}

static void listener_fini(struct gg_config_listener *listener)
{
  const struct gg_schema schema = listener_schema();
  free(listener->trusted_networks);
  gg__config_upstreams_free(listener);
  gg_schema_fini(&schema, listener);
}

static int listener_derive(struct gg_config_listener *listener, struct gg_failure *failure)
{
  int error = gg_endpoint_parse(&listener->listen_endpoint, listener->listen, true, failure);
  if (!error && gg__config_upstreams_derive(listener) != 0)
    error = gg_fail(failure, GG_ERR_NOMEM, "out of memory for a listener");
  if (error || listener->trusted.count == 0)
    return error;
  listener->trusted_networks = calloc(listener->trusted.count, sizeof *listener->trusted_networks);
  if (!listener->trusted_networks)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for a listener");
  for (size_t i = 0; i < listener->trusted.count && !error; i++)
    error = gg_network_parse(&listener->trusted_networks[i], listener->trusted.items[i], failure);
  return error;
}

static int listener_read(struct gg_config_listener *listener, const char *yaml, struct gg_config_errors *errors,
                         struct gg_failure *failure)
{
  const struct gg_schema schema = listener_schema();
  int error = gg_schema_defaults(&schema, listener);
  if (!error)
    error = gg_schema_read_text(&schema, listener, "listener", yaml, strlen(yaml), NULL, errors);
  if (error)
    return gg_fail(failure, error, "%s", errors->count > 0 ? errors->items[0].text : gg_error_text(error));
  if (!listener->name || !listener->listen || listener->upstream.count == 0)
    return gg_fail(failure, GG_ERR_FORMAT, "a listener that is added needs name, listen and upstream");
  error = gg__config_list(GG__CONFIG_LISTENERS)->check(listener, failure);
  return error ? error : listener_derive(listener, failure);
}

/* On an error nothing of it is left. */
static int listener_make(struct gg_config_listener *out, const char *yaml, struct gg_failure *failure)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  *out = (struct gg_config_listener){0};
  int error =
    errors ? listener_read(out, yaml, errors, failure) : gg_fail(failure, GG_ERR_NOMEM, "out of memory for a listener");
  free(errors);
  if (error)
    listener_fini(out);
  return error;
}

int gg__edits_listener_name(char **out, const char *yaml, struct gg_failure *failure)
{
  struct gg_config_listener listener;
  int error = listener_make(&listener, yaml, failure);
  *out = NULL;
  if (error)
    return error;
  assert(listener.name);
  *out = strdup(listener.name);
  listener_fini(&listener);
  return *out ? 0 : gg_fail(failure, GG_ERR_NOMEM, "out of memory for a listener");
}

/* ── Applying ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_config_listener *find(struct gg_config *config, const char *name)
{
  for (size_t i = 0; i < config->listener_count; i++)
    if (strcmp(config->listeners[i].name, name) == 0)
      return &config->listeners[i];
  return NULL;
}

static int add_listener(struct gg_config *config, const struct gg_edit *edit, struct gg_failure *failure)
{
  if (find(config, edit->listener))
    return gg_fail(failure, GG_ERR_EXISTS, "there is a listener '%.80s' already", edit->listener);
  if (config->listener_count == GG_CONFIG_LISTENERS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "there are %d listeners already", GG_CONFIG_LISTENERS_MAX);
  struct gg_config_listener *all = realloc(config->listeners, (config->listener_count + 1) * sizeof *all);
  if (!all)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for a listener");
  config->listeners = all;
  int error = listener_make(&all[config->listener_count], edit->text, failure);
  if (!error)
    config->listener_count++;
  return error;
}

static void remove_listener(struct gg_config *config, struct gg_config_listener *listener)
{
  listener_fini(listener);
  size_t behind = (size_t)(config->listeners + config->listener_count - (listener + 1));
  memmove(listener, listener + 1, behind * sizeof *listener);
  config->listener_count--;
}

/* The text of an upstream, by its name. */
static size_t text_of(const struct gg_config_listener *listener, const char *name)
{
  struct gg__upstream_words words;
  size_t i = 0;
  for (; i < listener->upstream.count; i++)
    if (gg__config_upstream_parse(&words, listener->upstream.items[i], NULL) == 0 &&
        strcmp(words.name[0] ? words.name : words.address, name) == 0)
      break;
  return i;
}

static int add_upstream(struct gg_config_listener *listener, const char *text, struct gg_failure *failure)
{
  struct gg_strings *texts = &listener->upstream;
  if (listener->upstream_count == GG_UPSTREAMS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "listener %.80s has %d upstreams already", listener->name, GG_UPSTREAMS_MAX);
  char **items = realloc(texts->items, (texts->count + 1) * sizeof *items), *copy = items ? strdup(text) : NULL;
  if (items)
    texts->items = items;
  if (!copy)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for an upstream");
  items[texts->count++] = copy;
  return 0;
}

static int edit_upstreams(struct gg_config_listener *listener, const struct gg_edit *edit, struct gg_failure *failure)
{
  struct gg_strings *texts = &listener->upstream;
  size_t at = text_of(listener, edit->upstream);
  bool add = edit->kind == GG_EDIT_UPSTREAM_ADD, there = at < texts->count;
  if (!add && there) {
    free(texts->items[at]);
    memmove(&texts->items[at], &texts->items[at + 1], (texts->count - at - 1) * sizeof *texts->items);
    texts->count--;
  }
  int error = add && !there ? add_upstream(listener, edit->text, failure) : 0;
  if (error)
    return error;
  gg__config_upstreams_free(listener);
  if (gg__config_upstreams_derive(listener) != 0)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for an upstream");
  return 0;
}

static int apply(struct gg_config *config, const struct gg_edit *edit, struct gg_failure *failure)
{
  if (edit->kind == GG_EDIT_LISTENER_ADD)
    return add_listener(config, edit, failure);
  struct gg_config_listener *listener = find(config, edit->listener);
  if (!listener)
    return 0;
  if (edit->kind != GG_EDIT_LISTENER_REMOVE)
    return edit_upstreams(listener, edit, failure);
  remove_listener(config, listener);
  return 0;
}

/* Between two edits a listener may be what it must not be in the end: without an upstream. */
static int judge_listeners(const struct gg_config *config, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; i < config->listener_count && !error; i++) {
    const struct gg_config_listener *listener = &config->listeners[i];
    error = listener->upstream.count > 0
              ? gg__config_list(GG__CONFIG_LISTENERS)->check(listener, failure)
              : gg_fail(failure, GG_ERR_INVALID, "listener %.80s would have no upstream left", listener->name);
  }
  return error;
}

/* What was right with the files' listeners may not be with these: names, logs, plug-ins that name one. */
static int judge_all(const struct gg_config *config, struct gg_failure *failure)
{
  struct gg_config_errors *errors = calloc(1, sizeof *errors);
  struct gg_schema_places *places = NULL;
  int error = errors ? gg_schema_places_create(&places, &gg__config_schema) : GG_ERR_NOMEM;
  if (!error)
    error = gg__config_judge(config, places, errors);
  if (error)
    gg_fail(failure, error, "%s", errors && errors->count > 0 ? errors->items[0].text : gg_error_text(error));
  gg_schema_places_destroy(places);
  free(errors);
  return error;
}

int gg__edits_apply(struct gg_config *config, const struct gg_edits *edits, struct gg_failure *failure)
{
  int error = 0;
  for (size_t i = 0; edits && i < edits->count && !error; i++)
    error = apply(config, &edits->items[i], failure);
  if (error || !edits || edits->count == 0)
    return error;
  error = judge_listeners(config, failure);
  return error ? error : judge_all(config, failure);
}
