/* SPDX-License-Identifier: Apache-2.0 */
/**
 * embed_fixture.h - a gateway by the public interface, as a program embeds it, with an upstream that gives back what it
 * is sent and clients that want it back (gateway_fixture.h).
 */
#ifndef TEST_EMBED_FIXTURE_H
#define TEST_EMBED_FIXTURE_H

#include "gateway_fixture.h"

#include <dirent.h>
#include <ftw.h>
#include <gogetway/gateway.h>
#include <pthread.h>

enum { EMBEDDED_WORDS_MAX = 24, EMBEDDED_PATIENCE_MS = 20000 };

struct embedded {
  struct echo *echo;
  char dir[64], store[96], log_dir[96], upstream[64];
  const char *words[EMBEDDED_WORDS_MAX];
  size_t word_count;
  struct gg_gateway *gateway;
  pthread_t thread;
  int result; /* of the wait */
};

static inline void embedded_word(struct embedded *it, const char *word)
{
  assert_true(it->word_count < EMBEDDED_WORDS_MAX);
  it->words[it->word_count++] = word;
}

/* A directory, and arguments for one listener; more may be added before it is created. */
static inline void embedded_init(struct embedded *it, struct echo *echo)
{
  memset(it, 0, sizeof *it);
  it->echo = echo;
  snprintf(it->dir, sizeof it->dir, "/dev/shm/gogetway-embed-XXXXXX");
  assert_non_null(mkdtemp(it->dir));
  snprintf(it->store, sizeof it->store, "%s/rec", it->dir);
  snprintf(it->upstream, sizeof it->upstream, "127.0.0.1:%u", echo->endpoint.port);
  const char *const words[] = {"--listen", "127.0.0.1:0", "--name", "web",       "--upstream", it->upstream, "--dir",
                               it->store,  "--log-dir",   it->dir,  "--log-max", "32MiB",      "--log-ring", "256KiB"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    embedded_word(it, words[i]);
}

static inline int embedded_try(struct embedded *it, bool polled, struct gg_failure *failure)
{
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  options.arguments = it->words;
  options.argument_count = it->word_count;
  options.polled = polled;
  return gg_gateway_create(&it->gateway, &options, failure);
}

static inline void embedded_start(struct embedded *it, bool polled)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (embedded_try(it, polled, &failure) != 0 || gg_gateway_start(it->gateway, &failure) != 0)
    fail_msg("%s", failure.message);
}

static inline void *embedded_wait(void *context)
{
  struct embedded *it = context;
  it->result = gg_gateway_wait(it->gateway, NULL);
  return NULL;
}

/* With a thread that waits for it. */
static inline void embedded_run(struct embedded *it)
{
  embedded_start(it, false);
  assert_int_equal(pthread_create(&it->thread, NULL, embedded_wait, it), 0);
}

static inline void embedded_join(struct embedded *it)
{
  gg_gateway_stop(it->gateway);
  pthread_join(it->thread, NULL);
  assert_int_equal(it->result, 0);
}

static inline int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
  (void)status;
  (void)kind;
  (void)place;
  return remove(path);
}

/* No child is made for it: it would have the descriptors of other threads' gateways for a while. */
static inline void embedded_fini(struct embedded *it)
{
  gg_gateway_destroy(it->gateway);
  assert_int_equal(nftw(it->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline struct gg_endpoint embedded_where(const struct embedded *it, size_t index)
{
  struct gg_endpoint endpoint;
  char text[64];
  assert_true(gg_gateway_listener(it->gateway, index, text, sizeof text) > 0);
  assert_int_equal(gg_endpoint_parse(&endpoint, text, true, NULL), 0);
  return endpoint;
}

static inline bool embedded_until(bool (*is)(void *context), void *context)
{
  const struct timespec pause = {.tv_nsec = 1000000};
  for (uint64_t began_ns = gg_clock_mono_ns(); !is(context); nanosleep(&pause, NULL))
    if (gg_clock_mono_ns() - began_ns > EMBEDDED_PATIENCE_MS * GG_NS_PER_MS)
      return false;
  return true;
}

/* Entries of a directory of /proc. */
static inline size_t entries_of(const char *path)
{
  size_t count = 0;
  DIR *dir = opendir(path);
  assert_non_null(dir);
  while (readdir(dir))
    count++;
  closedir(dir);
  return count;
}

#endif
