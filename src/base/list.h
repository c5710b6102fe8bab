/* SPDX-License-Identifier: Apache-2.0 */
/**
 * list.h - a doubly linked ring of nodes embedded in their owners. A node alone points at itself, so removing twice,
 * or one that was never put in, is harmless.
 */
#ifndef GG_BASE_LIST_H
#define GG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct gg_list {
  struct gg_list *next;
  struct gg_list *previous;
};

#define GG_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void gg_list_init(struct gg_list *node)
{
  node->next = node->previous = node;
}

static inline bool gg_list_empty(const struct gg_list *node)
{
  return node->next == node;
}

static inline void gg_list_append(struct gg_list *head, struct gg_list *node)
{
  node->previous = head->previous;
  node->next = head;
  head->previous->next = node;
  head->previous = node;
}

static inline void gg_list_remove(struct gg_list *node)
{
  node->previous->next = node->next;
  node->next->previous = node->previous;
  gg_list_init(node);
}

/* Moves all nodes of `from` behind those of `to`. */
static inline void gg_list_splice(struct gg_list *to, struct gg_list *from)
{
  if (gg_list_empty(from))
    return;
  from->next->previous = to->previous;
  to->previous->next = from->next;
  from->previous->next = to;
  to->previous = from->previous;
  gg_list_init(from);
}

#endif
