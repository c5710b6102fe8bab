/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_copy.c - reading a ring behind its producer's back.
 *
 * Another thread wants bytes that were committed, and the producer must not know: it takes no lock for it, counts no
 * reader, and writes over what it will. So the reader copies first, and looks afterwards whether what it has copied was
 * there all the time. That is a seqlock's protocol, with the log's own positions for a sequence number:
 *
 *     producer   claimed = end of what will be written (store, release fence)   then writes there
 *     reader     copies [position, position + bytes)   (acquire fence)          then loads claimed
 *
 *            position                    claimed
 *   ────────────┬───────┬───────────────────┬─────────      position p lies where p + ring_bytes will lie: what is
 *               │ copy  │                   │               below claimed - ring_bytes may have been written over
 *   ────────────┴───────┴───────────────────┴─────────
 *
 * If the reader has seen a byte of what the producer wrote behind its fence, then it also sees what was claimed in
 * front of it; so a copy that is torn is always found out.
 *
 * A log changes its ring, and the old one is unmapped by the sync thread when it was written out. That waits for
 * `readers_lock`, which a reader holds while it copies one piece; neither the producer nor the writer takes it. A ring
 * that the producer has left is not written to any more, so there nothing needs to be looked at.
 *
 * ThreadSanitizer is right that this is a race, and need not tell: the function that copies is kept from it, and copies
 * word by word, as a call of memcpy would be told of all the same.
 *
 * Rejected: a cursor that reads the whole log and looks for the packets of a few sessions. It would have to keep up
 * with all traffic to find a little, and to tell sessions by addresses, which are used again. Who wants bytes is told
 * the position by the producer, to whom that is a few stores.
 */
#include "record/log_private.h"

typedef uint64_t __attribute__((aligned(1), may_alias)) word;

/* `volatile`, or the compiler makes a memcpy of it. */
__attribute__((no_sanitize("thread"))) static void copy_racing(uint8_t *to, const uint8_t *from, size_t bytes)
{
  for (; bytes >= sizeof(word); bytes -= sizeof(word), to += sizeof(word), from += sizeof(word))
    *(word *)to = *(const volatile word *)from;
  for (; bytes > 0; bytes--)
    *to++ = *(const volatile uint8_t *)from++;
}

/* The ring that has the position. NULL: none any more. Under readers_lock. */
static const struct gg__ring *ring_at(const struct gg_log *log, uint64_t position)
{
  const struct gg__ring *ring = log->readable;
  if (position < ring->begin)
    return NULL;
  while (position >= atomic_load_explicit(&ring->end, memory_order_acquire))
    ring = ring->next;
  return ring;
}

bool gg_log_copy(struct gg_log *log, uint64_t position, void *to, size_t bytes)
{
  pthread_mutex_lock(&log->recorder->readers_lock);
  const struct gg__ring *ring = ring_at(log, position);
  if (ring && bytes <= ring->bytes)
    copy_racing(to, ring->data + (position & (ring->bytes - 1)), bytes);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wtsan"
  atomic_thread_fence(memory_order_acquire);
#pragma GCC diagnostic pop
  /* What is claimed beyond the ring's end was claimed in the next one. */
  uint64_t claimed = atomic_load_explicit(&log->claimed, memory_order_relaxed);
  uint64_t end = ring ? atomic_load_explicit(&ring->end, memory_order_acquire) : 0;
  claimed = claimed < end ? claimed : end;
  bool whole = ring && bytes <= ring->bytes && position + ring->bytes >= claimed;
  pthread_mutex_unlock(&log->recorder->readers_lock);
  return whole;
}
