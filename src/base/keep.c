/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a part of a document as a tree. Its shape is judged here, since a tree cannot have any other: a key is a text,
 * and is given once. What the keys and values mean is judged by who reads the tree. */
#include "base/events.h"

#include <assert.h>
#include <string.h>

struct keeper {
  struct gg__reader *reader;
  struct gg_tree *tree;
  bool full; /* which was told: what follows is passed over */
};

static void keep_value(struct keeper *keeper, const struct gg__event *key, const struct gg__event *first);

/* Whether a scalar can be kept; otherwise it was told why not. */
static bool judge_scalar(struct gg__reader *reader, const struct gg__event *event)
{
  if (event->length > GG_SCHEMA_VALUE_BYTES_MAX)
    gg__reader_report(reader, &event->mark, "the value has %zu bytes, %d are allowed", event->length,
                      GG_SCHEMA_VALUE_BYTES_MAX);
  else if (memchr(event->text, '\0', event->length))
    gg__reader_report(reader, &event->mark, "a value cannot have a NUL byte in it");
  else
    return true;
  return false;
}

static bool judge_key(struct keeper *keeper, const struct gg__event *key)
{
  struct gg__reader *reader = keeper->reader;
  if (key->kind != GG__EVENT_SCALAR || strlen(key->text) != key->length) {
    if (key->kind != GG__EVENT_ALIAS)
      gg__reader_report(reader, &key->mark, "a key is a single word");
    return false;
  }
  if (key->length > GG_TREE_KEY_BYTES_MAX) {
    gg__reader_report(reader, &key->mark, "the key has %zu bytes, %d are allowed", key->length, GG_TREE_KEY_BYTES_MAX);
    return false;
  }
  const struct gg_tree_node *twin = keeper->full ? NULL : gg_tree_twin(keeper->tree, key->text);
  if (twin)
    gg__reader_report(reader, &key->mark, "'%s' was already given on line %zu", key->text, twin->key_mark.line);
  return !twin;
}

static void keep_entry(struct keeper *keeper, const struct gg__event *key)
{
  struct gg__event value;
  if (!judge_key(keeper, key)) {
    gg__reader_skip_rest(keeper->reader, key);
    gg__reader_skip_value(keeper->reader);
  } else if (gg__reader_next(keeper->reader, &value)) {
    keep_value(keeper, key, &value);
    gg__event_drop(&value);
  }
}

/* What is in a map or a list, up to its end. */
static void keep_content(struct keeper *keeper, bool map)
{
  struct gg__event event;
  while (gg__reader_next(keeper->reader, &event)) {
    bool end = event.kind == (map ? GG__EVENT_MAP_END : GG__EVENT_LIST_END);
    if (!end && map)
      keep_entry(keeper, &event);
    else if (!end)
      keep_value(keeper, NULL, &event);
    gg__event_drop(&event);
    if (end)
      return;
  }
}

static bool add(struct keeper *keeper, const struct gg_tree_node *node)
{
  int error = gg_tree_add(keeper->tree, node);
  if (error == GG_ERR_NOMEM)
    gg__reader_stop_without_memory(keeper->reader);
  else if (error)
    gg__reader_report(keeper->reader, &node->mark, "more than %d values, or %d KiB of them, in one map",
                      GG_TREE_NODES_MAX, GG_TREE_BYTES_MAX / 1024);
  keeper->full = error != 0;
  return !error;
}

/* One value and all that is below it. */
static void keep_value(struct keeper *keeper, const struct gg__event *key, const struct gg__event *first)
{
  struct gg__reader *reader = keeper->reader;
  bool scalar = first->kind == GG__EVENT_SCALAR;
  if (keeper->full || first->kind == GG__EVENT_ALIAS || (scalar && !judge_scalar(reader, first))) {
    gg__reader_skip_rest(reader, first);
    return;
  }
  struct gg_tree_node node = {.key = key ? key->text : NULL, .text = first->text, .mark = first->mark};
  node.kind = scalar ? GG_TREE_SCALAR : first->kind == GG__EVENT_MAP ? GG_TREE_MAP : GG_TREE_LIST;
  if (scalar && first->plain && first->length == 0)
    node.text = "~";
  node.bare = scalar && first->plain && gg_tree_may_be_bare(node.text);
  if (key)
    node.key_mark = key->mark;
  if (!add(keeper, &node)) {
    gg__reader_skip_rest(reader, first);
    return;
  }
  if (scalar)
    return;
  keep_content(keeper, node.kind == GG_TREE_MAP);
  gg_tree_end(keeper->tree);
}

struct gg_tree *gg__reader_keep(struct gg__reader *reader, const struct gg__event *first)
{
  assert(gg__event_begins(first));
  struct keeper keeper = {.reader = reader, .tree = gg_tree_create(reader->name)};
  if (!keeper.tree) {
    gg__reader_stop_without_memory(reader);
    return NULL;
  }
  keep_value(&keeper, NULL, first);
  if (gg_tree_count(keeper.tree) > 0)
    return keeper.tree;
  gg_tree_destroy(keeper.tree); /* there was no memory for the root */
  return NULL;
}
