/* SPDX-License-Identifier: Apache-2.0 */
/**
 * resolve.c - names of upstreams, resolved on one thread of their own.
 *
 * getaddrinfo(3) may block for half a minute and cannot be interrupted, so two things follow. The thread is detached,
 * and what it works on is counted: gg_resolver_destroy waits for it a moment only, and whoever leaves last frees. And
 * workers never share a lock with it: a name's addresses are published in two banks.
 *
 *     published = n            bank n & 1: what readers copy
 *                              bank (n + 1) & 1: where the resolver's thread writes the next answer, then published++
 *
 * A reader copies the bank of the number it saw and looks at the number again: if it is the same, nobody wrote there
 * meanwhile. Only a second renewal during one copy of a few words makes it copy again. (Rejected: swapping a pointer
 * to an immutable list. It needs to know when the last reader has left.)
 *
 * Names may come and go while the thread runs. The list is under the lock, which is not held during a question: the
 * name that is being asked for is `busy`, and if it is given back meanwhile, the thread frees it.
 *
 * Names are resolved one after the other. A name with addresses of both families uses the IPv4 ones: taking turns over
 * both would fail every second session of a server that listens on one family, as "localhost" usually does.
 */
#include "net/resolve.h"

#include "base/clock.h"
#include "base/logger.h"
#include "net/resolver_files.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names: those of the largest configuration, twice: during a reload there are two. */
enum { NAMES_MAX = 2 * 64 * 64, NAMES_FIRST = 16, COPY_TRIES_MAX = 64, ADDR_WORDS = 3 };

static const uint64_t leave_ns = GG_NS_PER_S / 5;

/* What one resolution gave: sorted, without duplicates. */
struct answer {
  size_t count;
  struct gg_addr addrs[GG_NAME_ADDRESSES_MAX];
};

struct bank {
  _Atomic uint64_t count;
  _Atomic uint64_t words[GG_NAME_ADDRESSES_MAX][ADDR_WORDS];
};

struct gg_name {
  char host[256];
  uint16_t port;
  _Atomic uint64_t published; /* 0: never resolved */
  _Atomic uint64_t turn;
  struct bank banks[2];
  struct answer last; /* the resolver's thread only */
  bool failing;       /* ditto: the last attempt failed, and was told */
  /* Under the resolver's lock: */
  unsigned references; /* how often it was added and not removed; 0: it is in no list, and freed when not busy */
  bool asked;          /* there was an answer, or none, at least once */
  bool busy;           /* the thread asks for it */
};

struct gg_resolver {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* any of what follows; on CLOCK_MONOTONIC */
  uint64_t interval_ns;
  struct gg_logger *logger; /* not used by the thread once `stopping` is set */
  unsigned files_readable;  /* libc's that we could read at first (resolver_files.h) */
  struct gg_name **names;
  size_t name_count, name_room;
  size_t cursor; /* of the pass that the thread makes: the next name */
  bool hurry;    /* the thread is to look again, without waiting */
  bool started;
  bool stopping;
  bool running;   /* the thread has not left */
  bool abandoned; /* destroy did not wait for the thread: it frees */
};

static_assert(sizeof(struct gg_addr) <= ADDR_WORDS * sizeof(uint64_t), "an address fits its words");

/* ── Publishing ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void publish(struct gg_name *name, const struct answer *answer)
{
  uint64_t next = atomic_load_explicit(&name->published, memory_order_relaxed) + 1;
  struct bank *bank = &name->banks[next & 1];
  /* Release: a reader that sees any of these words also sees the number published before them, and copies again. */
  for (size_t i = 0; i < answer->count; i++) {
    uint64_t words[ADDR_WORDS] = {0};
    memcpy(words, &answer->addrs[i], sizeof answer->addrs[i]);
    for (size_t w = 0; w < ADDR_WORDS; w++)
      atomic_store_explicit(&bank->words[i][w], words[w], memory_order_release);
  }
  atomic_store_explicit(&bank->count, answer->count, memory_order_release);
  atomic_store_explicit(&name->published, next, memory_order_release);
}

bool gg_name_current(struct gg_name *name, struct gg_addr *out)
{
  uint64_t turn = atomic_fetch_add_explicit(&name->turn, 1, memory_order_relaxed);
  for (int tries = 0; tries < COPY_TRIES_MAX; tries++) {
    uint64_t seen = atomic_load_explicit(&name->published, memory_order_acquire);
    if (seen == 0)
      return false;
    struct bank *bank = &name->banks[seen & 1];
    uint64_t count = atomic_load_explicit(&bank->count, memory_order_acquire);
    uint64_t words[ADDR_WORDS];
    assert(count > 0 && count <= GG_NAME_ADDRESSES_MAX);
    for (size_t w = 0; w < ADDR_WORDS; w++)
      words[w] = atomic_load_explicit(&bank->words[turn % count][w], memory_order_acquire);
    if (atomic_load_explicit(&name->published, memory_order_relaxed) != seen)
      continue;
    memcpy(out, words, sizeof *out);
    return true;
  }
  return false;
}

/* ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int compare_addrs(const void *a, const void *b)
{
  return memcmp(a, b, sizeof(struct gg_addr));
}

static void collect(struct answer *out, const struct addrinfo *list, int family, uint16_t port)
{
  for (; list && out->count < GG_NAME_ADDRESSES_MAX; list = list->ai_next) {
    if (list->ai_family != family)
      continue;
    struct gg_addr addr;
    gg_addr_from_sockaddr(&addr, list->ai_addr, list->ai_addrlen);
    addr.port = port;
    bool known = false;
    for (size_t i = 0; i < out->count; i++)
      known = known || gg_addr_equal(&out->addrs[i], &addr);
    if (!known)
      out->addrs[out->count++] = addr;
  }
}

/* Returns 0 or getaddrinfo's error. Sorted, so that an answer in another order is the same answer. */
static int ask(const struct gg_name *name, struct answer *out)
{
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  memset(out, 0, sizeof *out);
  int error = getaddrinfo(name->host, NULL, &hints, &list);
  if (error)
    return error;
  collect(out, list, AF_INET, name->port);
  if (out->count == 0)
    collect(out, list, AF_INET6, name->port);
  freeaddrinfo(list);
  qsort(out->addrs, out->count, sizeof out->addrs[0], compare_addrs);
  return out->count ? 0 : EAI_NONAME;
}

/* `lost`: the file that is the reason; NULL: the error is getaddrinfo's. */
static void tell_failure(struct gg_logger *logger, struct gg_name *name, int error, const char *lost)
{
  bool has_old = atomic_load(&name->published) != 0;
  char text[128];
  snprintf(text, sizeof text, "%s cannot be read any more: a restart may help", lost ? lost : "");
  gg_warn(logger, has_old ? "name no longer resolves" : "name does not resolve", GG_S("name", name->host),
          GG_S("error", lost ? text : gai_strerror(error)),
          GG_S("effect", has_old ? "the addresses it had are used" : "its sessions are refused until it does"));
}

static void tell_success(struct gg_logger *logger, const struct gg_name *name, const struct answer *answer)
{
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_format(&answer->addrs[0], text, sizeof text);
  gg_info(logger, "name resolved", GG_S("name", name->host), GG_S("address", text), GG_U("addresses", answer->count));
}

/* One of libc's files that could be read at first, and is refused now; NULL: there is none. One that was missing at
 * first, and is refused since somebody made it, is still missing to libc, which answers as it did. */
static const char *lost_file(const struct gg_resolver *resolver)
{
  return gg_resolver_files_first(gg_resolver_files_look().refused & resolver->files_readable);
}

/* Resolves one name and publishes what is new. Under no lock but while it tells. A file is looked for on both sides of
 * the question, as it may go during it. */
static void renew(struct gg_resolver *resolver, struct gg_name *name)
{
  struct answer answer;
  const char *lost = lost_file(resolver);
  int error = lost ? EAI_SYSTEM : ask(name, &answer);
  if (!lost && (lost = lost_file(resolver)) != NULL)
    error = EAI_SYSTEM;
  bool news = !error && memcmp(&answer, &name->last, sizeof answer) != 0;
  if (news) {
    name->last = answer;
    publish(name, &answer);
  }
  pthread_mutex_lock(&resolver->lock);
  if (!resolver->stopping) {
    if (error && !name->failing)
      tell_failure(resolver->logger, name, error, lost);
    else if (!error && (news || name->failing))
      tell_success(resolver->logger, name, &answer);
  }
  pthread_mutex_unlock(&resolver->lock);
  name->failing = error != 0;
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void resolver_free(struct gg_resolver *resolver)
{
  for (size_t i = 0; i < resolver->name_count; i++)
    free(resolver->names[i]);
  free(resolver->names);
  pthread_cond_destroy(&resolver->changed);
  pthread_mutex_destroy(&resolver->lock);
  free(resolver);
}

static struct timespec timespec_at(uint64_t mono_ns)
{
  return (struct timespec){.tv_sec = (time_t)(mono_ns / GG_NS_PER_S), .tv_nsec = (long)(mono_ns % GG_NS_PER_S)};
}

/* Resolves all names, or those only that have no address. Returns whether one has none afterwards. The lock is held
 * on both ends, and let go during a question. */
static bool pass(struct gg_resolver *resolver, bool all)
{
  bool missing = false;
  for (resolver->cursor = 0; resolver->cursor < resolver->name_count && !resolver->stopping;) {
    struct gg_name *name = resolver->names[resolver->cursor++];
    if (!all && atomic_load(&name->published) != 0)
      continue;
    name->busy = true;
    pthread_mutex_unlock(&resolver->lock);
    renew(resolver, name);
    pthread_mutex_lock(&resolver->lock);
    name->busy = false;
    if (!name->asked) {
      name->asked = true;
      pthread_cond_broadcast(&resolver->changed);
    }
    if (name->references == 0)
      free(name);
    else
      missing = missing || atomic_load(&name->published) == 0;
  }
  return missing;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
  return a > UINT64_MAX / 2 - b % (UINT64_MAX / 2) ? UINT64_MAX / 2 : a + b;
}

static void *run(void *context)
{
  struct gg_resolver *resolver = context;
  uint64_t renewed_ns = 0; /* never */
  pthread_mutex_lock(&resolver->lock);
  while (!resolver->stopping) {
    bool all = renewed_ns == 0 || gg_clock_mono_ns() >= add_capped(renewed_ns, resolver->interval_ns);
    resolver->hurry = false;
    bool missing = pass(resolver, all);
    uint64_t now_ns = gg_clock_mono_ns();
    if (all)
      renewed_ns = now_ns;
    uint64_t next_ns = add_capped(renewed_ns, resolver->interval_ns);
    if (missing && now_ns + GG_NAME_RETRY_NS < next_ns)
      next_ns = now_ns + GG_NAME_RETRY_NS;
    struct timespec until = timespec_at(next_ns);
    while (!resolver->stopping && !resolver->hurry)
      if (pthread_cond_timedwait(&resolver->changed, &resolver->lock, &until) == ETIMEDOUT)
        break;
  }
  resolver->running = false;
  pthread_cond_broadcast(&resolver->changed);
  bool abandoned = resolver->abandoned;
  pthread_mutex_unlock(&resolver->lock);
  if (abandoned)
    resolver_free(resolver);
  return NULL;
}

/* ── The engine's side ───────────────────────────────────────────────────────────────────────────────────────────── */

int gg_resolver_create(struct gg_resolver **out, uint64_t interval_ns, struct gg_logger *logger)
{
  struct gg_resolver *resolver = calloc(1, sizeof *resolver);
  if (!resolver)
    return GG_ERR_NOMEM;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&resolver->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&resolver->lock, NULL);
  resolver->interval_ns = interval_ns ? interval_ns : UINT64_MAX / 2;
  resolver->logger = logger;
  resolver->files_readable = gg_resolver_files_look().readable;
  *out = resolver;
  return 0;
}

void gg_resolver_set_interval(struct gg_resolver *resolver, uint64_t interval_ns)
{
  pthread_mutex_lock(&resolver->lock);
  resolver->interval_ns = interval_ns ? interval_ns : UINT64_MAX / 2;
  resolver->hurry = true;
  pthread_cond_broadcast(&resolver->changed);
  pthread_mutex_unlock(&resolver->lock);
}

static struct gg_name *find(const struct gg_resolver *resolver, const char *host, uint16_t port)
{
  for (size_t i = 0; i < resolver->name_count; i++)
    if (strcmp(resolver->names[i]->host, host) == 0 && resolver->names[i]->port == port)
      return resolver->names[i];
  return NULL;
}

static int make_room(struct gg_resolver *resolver)
{
  if (resolver->name_count < resolver->name_room)
    return 0;
  if (resolver->name_count == NAMES_MAX)
    return GG_ERR_LIMIT;
  size_t room = resolver->name_room ? resolver->name_room * 2 : NAMES_FIRST;
  struct gg_name **names = realloc(resolver->names, room * sizeof(struct gg_name *));
  if (!names)
    return GG_ERR_NOMEM;
  resolver->names = names;
  resolver->name_room = room;
  return 0;
}

/* Under the lock. */
static int add(struct gg_resolver *resolver, const char *host, uint16_t port, struct gg_name **out)
{
  *out = find(resolver, host, port);
  if (*out) {
    (*out)->references++;
    return 0;
  }
  if (strlen(host) >= sizeof(*out)->host)
    return GG_ERR_RANGE;
  int error = make_room(resolver);
  if (error)
    return error;
  struct gg_name *name = calloc(1, sizeof *name);
  if (!name)
    return GG_ERR_NOMEM;
  memcpy(name->host, host, strlen(host) + 1);
  name->port = port;
  name->references = 1;
  resolver->names[resolver->name_count++] = name;
  *out = name;
  return 0;
}

int gg_resolver_add(struct gg_resolver *resolver, const char *host, uint16_t port, struct gg_name **out)
{
  pthread_mutex_lock(&resolver->lock);
  int error = add(resolver, host, port, out);
  pthread_mutex_unlock(&resolver->lock);
  return error;
}

void gg_resolver_remove(struct gg_resolver *resolver, struct gg_name *name)
{
  pthread_mutex_lock(&resolver->lock);
  assert(name->references > 0);
  bool last = --name->references == 0;
  size_t at = 0;
  while (last && resolver->names[at] != name)
    at++;
  if (last) {
    resolver->name_count--;
    memmove(&resolver->names[at], &resolver->names[at + 1], (resolver->name_count - at) * sizeof(struct gg_name *));
    if (at < resolver->cursor)
      resolver->cursor--;
    if (!name->busy)
      free(name);
  }
  pthread_mutex_unlock(&resolver->lock);
}

static bool all_asked(const struct gg_resolver *resolver)
{
  for (size_t i = 0; i < resolver->name_count; i++)
    if (!resolver->names[i]->asked)
      return false;
  return true;
}

/* Under the lock; GG_ERR_*. */
static int begin_thread(struct gg_resolver *resolver)
{
  pthread_t thread;
  if (resolver->running || resolver->name_count == 0)
    return 0;
  resolver->running = true;
  int error = pthread_create(&thread, NULL, run, resolver);
  if (error) {
    resolver->running = false;
    return gg_error_from_errno(error);
  }
  pthread_detach(thread);
  return 0;
}

int gg_resolver_await(struct gg_resolver *resolver, uint64_t bound_ns)
{
  struct timespec until = timespec_at(gg_clock_mono_ns() + bound_ns);
  pthread_mutex_lock(&resolver->lock);
  int error = resolver->started ? begin_thread(resolver) : GG_ERR_INVALID;
  if (!error && !all_asked(resolver)) {
    resolver->hurry = true;
    pthread_cond_broadcast(&resolver->changed);
  }
  while (!error && !all_asked(resolver))
    if (pthread_cond_timedwait(&resolver->changed, &resolver->lock, &until) == ETIMEDOUT)
      error = GG_ERR_TIMEOUT;
  pthread_mutex_unlock(&resolver->lock);
  return error;
}

int gg_resolver_start(struct gg_resolver *resolver)
{
  assert(!resolver->started);
  resolver->started = true;
  int error = gg_resolver_await(resolver, GG_NAME_FIRST_NS);
  if (error != GG_ERR_TIMEOUT)
    return error;
  gg_warn(resolver->logger, "names are not resolved yet",
          GG_S("effect", "sessions to those without an address are refused until they are"));
  return 0;
}

bool gg_name_resolved(const struct gg_name *name)
{
  return atomic_load_explicit(&name->published, memory_order_acquire) != 0;
}

const char *gg_name_host(const struct gg_name *name)
{
  return name->host;
}

void gg_resolver_destroy(struct gg_resolver *resolver)
{
  if (!resolver)
    return;
  struct timespec until = timespec_at(gg_clock_mono_ns() + leave_ns);
  pthread_mutex_lock(&resolver->lock);
  resolver->stopping = true;
  pthread_cond_broadcast(&resolver->changed);
  while (resolver->running)
    if (pthread_cond_timedwait(&resolver->changed, &resolver->lock, &until) == ETIMEDOUT)
      break;
  bool running = resolver->running;
  resolver->abandoned = running;
  pthread_mutex_unlock(&resolver->lock);
  if (!running)
    resolver_free(resolver);
}
