/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <stdlib.h>
#include <string.h>

bool queue_init(struct queue *queue, size_t bytes)
{
  *queue = (struct queue){.lines = malloc(bytes), .other = malloc(bytes), .size = bytes};
  if (queue->lines && queue->other && pthread_mutex_init(&queue->lock, NULL) == 0)
    return true;
  free(queue->lines);
  free(queue->other);
  return false;
}

void queue_fini(struct queue *queue)
{
  pthread_mutex_destroy(&queue->lock);
  free(queue->lines);
  free(queue->other);
}

/* The lock is held for a copy at the most, by everybody. */
void queue_put(struct queue *queue, const char *line, size_t length)
{
  pthread_mutex_lock(&queue->lock);
  if (length <= queue->size - queue->used) {
    memcpy(queue->lines + queue->used, line, length);
    queue->used += length;
    queue->taken++;
  } else {
    queue->lost++;
  }
  pthread_mutex_unlock(&queue->lock);
}

size_t queue_take(struct queue *queue, const char **lines)
{
  pthread_mutex_lock(&queue->lock);
  char *full = queue->lines;
  size_t bytes = queue->used;
  queue->lines = queue->other;
  queue->other = full;
  queue->used = 0;
  pthread_mutex_unlock(&queue->lock);
  *lines = full;
  return bytes;
}

struct queue_count queue_count(struct queue *queue)
{
  pthread_mutex_lock(&queue->lock);
  struct queue_count count = {queue->taken, queue->lost};
  pthread_mutex_unlock(&queue->lock);
  return count;
}
