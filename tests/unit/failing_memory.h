/* SPDX-License-Identifier: Apache-2.0 */
/**
 * failing_memory.h - allocations that are counted, and of which one fails. A test that includes this wraps malloc,
 * calloc, realloc, strdup and free.
 */
#ifndef TEST_FAILING_MEMORY_H
#define TEST_FAILING_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

/* Atomic: what is tested may have threads of its own. */
static atomic_bool counting;
static atomic_ulong calls;    /* allocations since counting began */
static unsigned long failing; /* the one that fails, from 1; 0: none */
static atomic_long live;      /* blocks that were allocated and not freed */

static bool fails(void)
{
  return counting && ++calls == failing;
}

static void *counted(void *block)
{
  live += counting && block ? 1 : 0;
  return block;
}

void *__wrap_malloc(size_t size)
{
  return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
  return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
  if (fails())
    return NULL;
  void *moved = __real_realloc(block, size);
  return block ? moved : counted(moved);
}

char *__wrap_strdup(const char *text)
{
  return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *block)
{
  live -= counting && block ? 1 : 0;
  __real_free(block);
}

#endif
