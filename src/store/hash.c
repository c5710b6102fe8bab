/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3 with a seed that is drawn once a process. It is no keyed hash that withstands who sees its values; nobody does:
 * they choose slots of tables in memory and nothing else.
 */
#include "store/hash.h"

#include "base/clock.h"
#include "store/xxh.h"

#include <pthread.h>
#include <sys/random.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t seed;

static void draw(void)
{
  /* Without randomness (a sandbox without the call) the time and the place in memory have to do. */
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
    seed = gg_clock_mono_ns() ^ (uint64_t)(uintptr_t)&once;
}

uint64_t gg__hash(const void *data, size_t length)
{
  pthread_once(&once, draw);
  return XXH3_64bits_withSeed(data, length, seed);
}

uint64_t gg__hash_pair(const struct gg_addr *a, const struct gg_addr *b)
{
  return gg__hash(a, sizeof *a) + gg__hash(b, sizeof *b);
}
