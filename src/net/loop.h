/* SPDX-License-Identifier: Apache-2.0 */
/**
 * loop.h - readiness of descriptors, by epoll, as small as it can be.
 *
 * A loop has one base set (writes, wake-ups, whatever must always be heard) and some read sets. Who has to stop
 * reading from thousands of sockets at once disables the read set they are in: one operation, and no event of theirs
 * is lost, since they wait in the kernel. The first read set is the one that is waited upon, with the base set inside
 * it, so that in the common case (one read set, enabled, nothing but reads) an iteration is a single epoll_wait; when
 * it is disabled, the base set is waited upon alone. Further read sets are inside the base set:
 *
 *        read set 0  ∋  base set  ∋  read set 1, read set 2, ...
 *
 * In a loop that somebody else waits for (gg_loop_init_outward), the base set has all read sets inside, and is itself
 * what is waited upon: its descriptor is readable if and only if there is an event, whichever sets are disabled. That
 * costs an epoll_wait more for each iteration that reads.
 *
 * Sockets are watched edge-triggered: an event says "something came", and the owner remembers that it may read until
 * a read says otherwise. So stopping one direction costs no system call.
 *
 * A source is embedded in its owner and must stay at its address while watched. Sources may be forgotten from inside
 * any callback; events of a forgotten source that are already fetched are dropped, provided that its memory stays
 * until gg_loop_poll returns (owners defer their freeing to the end of the iteration).
 *
 * Thread: one loop, one thread; gg_wake_signal from any thread.
 */
#ifndef GG_NET_LOOP_H
#define GG_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct gg_source;
typedef void (*gg_source_fn)(struct gg_source *source, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */

struct gg_source {
  gg_source_fn ready; /* NULL: forgotten */
  int fd;
};

/* Few enough events of one wait that the kernel's sockets, which the wait has looked at, are in the cache still when it
 * is their turn, and that no session waits long for the others' (bench/README.md). */
enum { GG_READ_SETS_MAX = 10, GG_LOOP_EVENTS_MAX = 64 };

struct gg_read_set {
  struct gg_source source; /* fd: the epoll descriptor */
  bool enabled;
};

struct gg_loop {
  struct gg_source base; /* fd: the base set */
  struct gg_read_set sets[GG_READ_SETS_MAX];
  unsigned set_count;
  bool outward;    /* the base set has all read sets inside */
  uint64_t now_ns; /* CLOCK_MONOTONIC when the last wait ended, and again when its callbacks had run */
};

int gg_loop_init(struct gg_loop *loop, unsigned read_sets); /* 1 to GG_READ_SETS_MAX; an error leaves nothing open */
/* The same for a loop that is polled when `loop->base.fd` is readable. */
int gg_loop_init_outward(struct gg_loop *loop, unsigned read_sets);
void gg_loop_fini(struct gg_loop *loop);
/* Opens a further read set, the next one that the loop does not have yet; a second time it does nothing. On any thread,
 * one at a time, also while the loop runs: nothing is in the set. */
int gg_loop_set_open(struct gg_loop *loop, unsigned set);
/* The loop's thread: there are so many sets from here on, all opened; never fewer than before. */
void gg_loop_sets_use(struct gg_loop *loop, unsigned count);

/* Adds `source` (its fd and ready are set) to the base set. `events` as epoll_ctl takes them. */
int gg_loop_watch(struct gg_loop *loop, struct gg_source *source, uint32_t events);
/* Takes it out of the base set again. */
void gg_loop_ignore(struct gg_loop *loop, struct gg_source *source);
/* Adds it to a read set. A descriptor may be in the base set too, for writing. */
int gg_loop_watch_reads(struct gg_loop *loop, unsigned set, struct gg_source *source, uint32_t events);
/* Takes it out of a read set again, to be watched anew later (a listener that pauses). */
void gg_loop_ignore_reads(struct gg_loop *loop, unsigned set, struct gg_source *source);
/* Drops what was fetched for it. Before its descriptor is closed it is taken out of its sets: closing would do the
 * same, but not in a program that forks. A child has the descriptor, too, until it executes something, and until then
 * the sets would tell of a source that is nobody's any more. */
static inline void gg_source_forget(struct gg_source *source)
{
  source->ready = 0;
}

void gg_loop_reads_enable(struct gg_loop *loop, unsigned set, bool enabled);

/* Waits for events until `deadline_ns` (CLOCK_MONOTONIC; 0: does not wait; UINT64_MAX: for ever) and calls the sources.
 * Returns the number of calls. */
unsigned gg_loop_poll(struct gg_loop *loop, uint64_t deadline_ns);

/* An eventfd in the base set, by which other threads interrupt a poll. */
struct gg_wake {
  struct gg_source source;
  void (*woken)(void *context);
  void *context;
};
int gg_wake_init(struct gg_wake *wake, struct gg_loop *loop, void (*woken)(void *context), void *context);
void gg_wake_fini(struct gg_wake *wake);
void gg_wake_signal(struct gg_wake *wake); /* any thread; async-signal-safe */

#endif
