/* SPDX-License-Identifier: Apache-2.0 */
/**
 * tree.h - a part of a YAML document as it was written, for somebody else's table to judge later.
 *
 * Maps, lists and scalars, with the line and column of every key and value and a copy of the file's name: what is
 * found to be wrong afterwards is told as if it had been judged at once. Nodes stand in the order of the document, and
 * each knows where what is below it ends:
 *
 *     config:                    0  map                 end 5
 *       literals: [a, b]         1    literals: list    end 4
 *                                2      scalar a        end 3
 *                                3      scalar b        end 4
 *       max_bytes: 64KiB         4    max_bytes: scalar end 5
 *
 * The first child of node i is i + 1 if that is below its end; the next sibling of a child is where the child ends.
 *
 * Nothing in a tree changes once it is built; what is read from it lives as long as it does.
 * Thread: one at a time while it is built, any after that.
 */
#ifndef GG_BASE_TREE_H
#define GG_BASE_TREE_H

#include <stdbool.h>
#include <stddef.h>

enum {
  GG_TREE_NODES_MAX = 4096,       /* of one tree */
  GG_TREE_BYTES_MAX = 256 * 1024, /* of all its keys and scalars */
  GG_TREE_DEPTH_MAX = 8,          /* nesting of maps and lists */
  GG_TREE_KEY_BYTES_MAX = 127,    /* of one key */
};

enum gg_tree_kind { GG_TREE_SCALAR, GG_TREE_LIST, GG_TREE_MAP };

/* A place in a file, both from 1. */
struct gg_mark {
  size_t line;
  size_t column;
};

struct gg_tree_node {
  enum gg_tree_kind kind;
  /* A scalar that was written without quotes, and has only what a number, a word or a path is made of; with quotes it
   * could mean something else. Where nothing was written it is "~". */
  bool bare;
  const char *key;  /* NULL in a list, and of the root */
  const char *text; /* of a scalar, without NUL bytes; NULL of the others */
  struct gg_mark key_mark;
  struct gg_mark mark;
  size_t end; /* the number of the first node that is not below this one */
};

struct gg_tree;

void gg_tree_destroy(struct gg_tree *tree); /* NULL is fine */
const char *gg_tree_file(const struct gg_tree *tree);
size_t gg_tree_count(const struct gg_tree *tree); /* nodes; at least one, the root */
const struct gg_tree_node *gg_tree_node(const struct gg_tree *tree, size_t index);
/* The tree on one line of YAML, "{literals: [a, b], max_bytes: 64KiB}": read back it gives the same nodes. Malloc'ed;
 * NULL without memory. */
char *gg_tree_text(const struct gg_tree *tree);

/* --- building ---------------------------------------------------------------------------------------------------- */

/* NULL without memory. */
struct gg_tree *gg_tree_create(const char *file);
/* Adds a copy of a node (of which `end` is not looked at) at the end of the collection that was begun last, and begins
 * it if it is a map or a list. The first is the root. In a map it has a key, which gg_tree_twin does not find, of at
 * most GG_TREE_KEY_BYTES_MAX. GG_ERR_LIMIT: the tree would be too large or too deep, and is left as it is;
 * GG_ERR_NOMEM. */
int gg_tree_add(struct gg_tree *tree, const struct gg_tree_node *node);
/* Ends the collection that was begun last and not ended. */
void gg_tree_end(struct gg_tree *tree);
/* Who has this key in the collection that was begun last; NULL: nobody. */
const struct gg_tree_node *gg_tree_twin(const struct gg_tree *tree, const char *key);
/* Whether a text without quotes has only characters that gg_tree_node.bare allows. */
bool gg_tree_may_be_bare(const char *text);

#endif
