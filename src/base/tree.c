/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tree.h"

#include "base/schema.h"
#include <assert.h>
#include <gogetway/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 16 };

struct gg_tree {
  char *file;
  struct gg_tree_node *nodes; /* malloc'ed, as their texts are */
  size_t count, room;
  size_t bytes;
  size_t open[GG_TREE_DEPTH_MAX]; /* the collections that were begun and not ended */
  size_t depth;
};

struct gg_tree *gg_tree_create(const char *file)
{
  struct gg_tree *tree = calloc(1, sizeof *tree);
  if (!tree)
    return NULL;
  tree->file = strdup(file);
  if (tree->file)
    return tree;
  free(tree);
  return NULL;
}

static void free_texts(struct gg_tree_node *node)
{
  free((char *)node->key);
  free((char *)node->text);
}

void gg_tree_destroy(struct gg_tree *tree)
{
  if (!tree)
    return;
  for (size_t i = 0; i < tree->count; i++)
    free_texts(&tree->nodes[i]);
  free(tree->nodes);
  free(tree->file);
  free(tree);
}

const char *gg_tree_file(const struct gg_tree *tree)
{
  return tree->file;
}

size_t gg_tree_count(const struct gg_tree *tree)
{
  return tree->count;
}

const struct gg_tree_node *gg_tree_node(const struct gg_tree *tree, size_t index)
{
  assert(index < tree->count);
  return &tree->nodes[index];
}

/* ── Building ────────────────────────────────────────────────────────────────────────────────────────────────────── */

const struct gg_tree_node *gg_tree_twin(const struct gg_tree *tree, const char *key)
{
  assert(tree->depth > 0);
  for (size_t i = tree->open[tree->depth - 1] + 1; i < tree->count; i = tree->nodes[i].end)
    if (strcmp(tree->nodes[i].key, key) == 0)
      return &tree->nodes[i];
  return NULL;
}

static int make_room(struct gg_tree *tree)
{
  if (tree->count < tree->room)
    return 0;
  size_t room = tree->room ? 2 * tree->room : ROOM_FIRST;
  struct gg_tree_node *nodes = realloc(tree->nodes, room * sizeof *nodes);
  if (!nodes)
    return GG_ERR_NOMEM;
  tree->nodes = nodes;
  tree->room = room;
  return 0;
}

/* Whether a node may stand where the next one will. */
static void assert_fits(const struct gg_tree *tree, const struct gg_tree_node *node)
{
  bool in_map = tree->depth > 0 && tree->nodes[tree->open[tree->depth - 1]].kind == GG_TREE_MAP;
  assert(tree->depth > 0 || tree->count == 0);
  assert(in_map == (node->key != NULL) && (node->kind == GG_TREE_SCALAR) == (node->text != NULL));
  assert(!node->key || strlen(node->key) <= GG_TREE_KEY_BYTES_MAX);
  assert(!node->bare || gg_tree_may_be_bare(node->text));
  (void)in_map;
}

int gg_tree_add(struct gg_tree *tree, const struct gg_tree_node *node)
{
  assert_fits(tree, node);
  size_t bytes = (node->key ? strlen(node->key) : 0) + (node->text ? strlen(node->text) : 0);
  bool collection = node->kind != GG_TREE_SCALAR;
  if (tree->count == GG_TREE_NODES_MAX || bytes > GG_TREE_BYTES_MAX - tree->bytes ||
      (collection && tree->depth == GG_TREE_DEPTH_MAX))
    return GG_ERR_LIMIT;
  struct gg_tree_node copy = *node;
  copy.key = node->key ? strdup(node->key) : NULL;
  copy.text = node->text ? strdup(node->text) : NULL;
  copy.end = tree->count + 1;
  if (!copy.key != !node->key || !copy.text != !node->text || make_room(tree) != 0) {
    free_texts(&copy);
    return GG_ERR_NOMEM;
  }
  if (collection)
    tree->open[tree->depth++] = tree->count;
  tree->nodes[tree->count++] = copy;
  tree->bytes += bytes;
  return 0;
}

void gg_tree_end(struct gg_tree *tree)
{
  assert(tree->depth > 0);
  tree->nodes[tree->open[--tree->depth]].end = tree->count;
}

bool gg_tree_may_be_bare(const char *text)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+/~-";
  if (text[0] == '\0' || text[strspn(text, others)] != '\0')
    return false;
  /* A dash alone begins an item of a list, and three of them a document. */
  return text[0] != '-' || text[1] == '.' || (text[1] != '\0' && strchr(letters, text[1]));
}

/* ── As text ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool print_key(FILE *out, const char *key)
{
  bool done = true;
  if (gg_tree_may_be_bare(key))
    fputs(key, out);
  else
    done = gg__print_quoted(out, key);
  fputs(": ", out);
  return done;
}

static bool print_scalar(FILE *out, const struct gg_tree_node *node)
{
  if (!node->bare)
    return gg__print_quoted(out, node->text);
  fputs(node->text, out);
  return true;
}

static bool print_node(FILE *out, const struct gg_tree *tree, size_t index)
{
  const struct gg_tree_node *node = &tree->nodes[index];
  if (node->key && !print_key(out, node->key))
    return false;
  if (node->kind == GG_TREE_SCALAR)
    return print_scalar(out, node);
  fputc(node->kind == GG_TREE_MAP ? '{' : '[', out);
  for (size_t i = index + 1; i < node->end; i = tree->nodes[i].end) {
    fputs(i > index + 1 ? ", " : "", out);
    if (!print_node(out, tree, i))
      return false;
  }
  fputc(node->kind == GG_TREE_MAP ? '}' : ']', out);
  return true;
}

char *gg_tree_text(const struct gg_tree *tree)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  bool done = print_node(out, tree, 0) && !ferror(out);
  if (fclose(out) == 0 && done)
    return text;
  free(text);
  return NULL;
}
