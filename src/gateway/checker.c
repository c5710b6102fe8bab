/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread owns its loop and a table with a row for each upstream that is to be checked. A new table is made by the
 * engine's thread and taken by the checker's at the beginning of its next turn; the engine waits for that, since with
 * the old table's groups end the names in it. Turns are short: nothing in them waits but the poll, which is woken.
 */
#include "gateway/checker.h"

#include "base/clock.h"
#include "gateway/session.h"
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static const uint64_t crowded_retry_ns = 5 * GG_NS_PER_S / 1000;
static const uint64_t spread_ns = GG_NS_PER_S / 1000; /* between the first checks of two upstreams */

struct check {
  struct gg_source source; /* fd -1: none is under way */
  struct gg_checker *checker;
  struct gg_group *group; /* held */
  unsigned index;
  uint64_t due_ns;
  uint64_t deadline_ns; /* of the one under way */
};

struct table {
  size_t count;
  struct check checks[];
};

struct gg_checker {
  struct gg_loop loop;
  struct gg_wake wake;
  pthread_t thread;
  struct gg_shard *shard;
  struct table *table; /* the thread's */
  unsigned open;       /* ditto */
  pthread_mutex_t lock;
  pthread_cond_t taken;
  struct table *next; /* under the lock, as the rest */
  bool offered;
  bool stopping;
};

/* ── One check ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg_health_options *options_of(const struct check *check)
{
  return &check->group->health;
}

/* Reset, not closed in order: that would leave a port of ours in TIME_WAIT for each check. */
static void check_end(struct check *check)
{
  gg_source_forget(&check->source);
  if (check->source.fd < 0)
    return;
  gg_loop_ignore(&check->checker->loop, &check->source);
  setsockopt(check->source.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(check->source.fd);
  check->source.fd = -1;
  check->checker->open--;
}

static void check_failed(struct check *check, enum gg_close reason)
{
  check_end(check);
  /* On trial too: whoever is out stays out for longer when it is found to be so at its time. */
  struct gg_health *health = check->group->slots[check->index].member->health;
  uint64_t now_ns = gg_clock_mono_ns();
  bool trial = gg__health_claim(health, options_of(check), now_ns);
  gg__health_failed(health, options_of(check), trial, gg__close_text(reason), now_ns, check->checker->shard);
}

static void check_succeeded(struct check *check)
{
  check_end(check);
  gg__health_succeeded(check->group->slots[check->index].member->health, gg_clock_mono_ns(), check->checker->shard);
}

/* What the kernel said; our own want of something, or a full backlog, says nothing of the upstream. */
static void check_answered(struct check *check, int error)
{
  bool ours;
  enum gg_close reason = gg__connect_reason(error, &ours);
  if (error == 0)
    check_succeeded(check);
  else if (ours || error == EAGAIN)
    check_end(check);
  else
    check_failed(check, reason);
}

static void check_ready(struct gg_source *source, uint32_t events)
{
  struct check *check = GG_CONTAINER(source, struct check, source);
  int error = 0;
  socklen_t length = sizeof error;
  (void)events;
  if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
    error = errno;
  /* Connected, and reset already: as for a session, somebody was there. */
  check_answered(check, error == ECONNRESET || error == EPIPE ? 0 : error);
}

static void check_begin(struct check *check, uint64_t now_ns)
{
  struct gg_addr address;
  struct sockaddr_storage to;
  const struct gg_member *member = check->group->slots[check->index].member;
  check->due_ns += options_of(check)->check_interval_ns;
  if (check->due_ns <= now_ns)
    check->due_ns = now_ns + options_of(check)->check_interval_ns;
  if (!gg__group_address(check->group, check->index, &address)) {
    check_failed(check, GG_CLOSE_UNRESOLVED);
    return;
  }
  socklen_t length = address.family == GG_FAMILY_UNIX
                       ? gg_endpoint_to_sockaddr_un(&member->endpoint, (struct sockaddr_un *)(void *)&to)
                       : gg_addr_to_sockaddr(&address, &to);
  check->source = (struct gg_source){check_ready, socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (check->source.fd < 0)
    return;
  check->checker->open++;
  check->deadline_ns = now_ns + options_of(check)->check_timeout_ns;
  if (connect(check->source.fd, (struct sockaddr *)&to, length) == 0)
    check_answered(check, 0);
  else if (errno != EINPROGRESS)
    check_answered(check, errno);
  else if (gg_loop_watch(&check->checker->loop, &check->source, EPOLLOUT) != GG_OK)
    check_end(check);
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void table_destroy(struct table *table)
{
  for (size_t i = 0; table && i < table->count; i++) {
    check_end(&table->checks[i]);
    gg__group_destroy(table->checks[i].group);
  }
  free(table);
}

/* Takes the table that was offered. False: it is time to end. */
static bool take(struct gg_checker *checker)
{
  pthread_mutex_lock(&checker->lock);
  if (checker->offered) {
    table_destroy(checker->table);
    checker->table = checker->next;
    checker->next = NULL;
    checker->offered = false;
    pthread_cond_broadcast(&checker->taken);
  }
  bool goes_on = !checker->stopping;
  pthread_mutex_unlock(&checker->lock);
  return goes_on;
}

/* Begins and ends what is due; returns when the next is. */
static uint64_t look(struct gg_checker *checker)
{
  uint64_t next_ns = UINT64_MAX, now_ns = gg_clock_mono_ns();
  for (size_t i = 0; checker->table && i < checker->table->count; i++) {
    struct check *check = &checker->table->checks[i];
    if (check->source.fd >= 0 && check->deadline_ns <= now_ns)
      check_failed(check, GG_CLOSE_CONNECT_TIMEOUT);
    bool due = check->source.fd < 0 && check->due_ns <= now_ns;
    if (due && checker->open < GG_CHECKS_OPEN_MAX)
      check_begin(check, now_ns);
    else if (due && next_ns > now_ns + crowded_retry_ns)
      next_ns = now_ns + crowded_retry_ns;
    uint64_t at_ns = check->source.fd >= 0 ? check->deadline_ns : check->due_ns;
    if (at_ns > now_ns && at_ns < next_ns)
      next_ns = at_ns;
  }
  return next_ns;
}

static void *run(void *context)
{
  struct gg_checker *checker = context;
  prctl(PR_SET_NAME, "gg-checker"); /* by itself: the sandbox refuses another thread's name */
  while (take(checker))
    gg_loop_poll(&checker->loop, look(checker));
  table_destroy(checker->table);
  checker->table = NULL;
  return NULL;
}

static void woken(void *context)
{
  (void)context; /* the poll has ended: that was all */
}

/* ── The engine's side ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_checked(const struct gg_group *group)
{
  return group && group->health.check_interval_ns > 0;
}

bool gg__checker_wanted(struct gg_group *const *groups, size_t count)
{
  bool wanted = false;
  for (size_t i = 0; i < count; i++)
    wanted = wanted || is_checked(groups[i]);
  return wanted;
}

static struct table *table_create(struct gg_checker *checker, struct gg_group *const *groups, size_t count)
{
  size_t rows = 0;
  for (size_t i = 0; i < count; i++)
    rows += is_checked(groups[i]) ? groups[i]->count : 0;
  struct table *table = calloc(1, sizeof *table + rows * sizeof table->checks[0]);
  if (!table)
    return NULL;
  uint64_t now_ns = gg_clock_mono_ns();
  for (size_t i = 0; i < count; i++)
    for (unsigned index = 0; is_checked(groups[i]) && index < groups[i]->count; index++) {
      table->checks[table->count] = (struct check){.source = {NULL, -1},
                                                   .checker = checker,
                                                   .group = gg__group_ref(groups[i]),
                                                   .index = index,
                                                   .due_ns = now_ns + table->count * spread_ns};
      table->count++;
    }
  return table;
}

int gg__checker_set(struct gg_checker *checker, struct gg_group *const *groups, size_t count)
{
  struct table *table = table_create(checker, groups, count);
  pthread_mutex_lock(&checker->lock);
  assert(!checker->offered);
  checker->next = table;
  checker->offered = true;
  gg_wake_signal(&checker->wake);
  while (checker->offered)
    pthread_cond_wait(&checker->taken, &checker->lock);
  pthread_mutex_unlock(&checker->lock);
  return table ? GG_OK : GG_ERR_NOMEM;
}

static void checker_free(struct gg_checker *checker)
{
  gg_wake_fini(&checker->wake);
  gg_loop_fini(&checker->loop);
  pthread_cond_destroy(&checker->taken);
  pthread_mutex_destroy(&checker->lock);
  free(checker);
}

int gg__checker_start(struct gg_checker **out, struct gg_metrics *metrics, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_checker *checker = calloc(1, sizeof *checker);
  if (!checker)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the checks of upstreams");
  pthread_mutex_init(&checker->lock, NULL);
  pthread_cond_init(&checker->taken, NULL);
  checker->loop.base.fd = checker->wake.source.fd = -1;
  int error = gg_metrics_shard(metrics, &checker->shard);
  if (!error)
    error = gg_loop_init(&checker->loop, 1);
  if (!error)
    error = gg_wake_init(&checker->wake, &checker->loop, woken, checker);
  if (!error) {
    sigset_t all, before; /* signals are the engine's */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int refused = pthread_create(&checker->thread, NULL, run, checker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    error = refused ? gg_error_from_errno(refused) : GG_OK;
  }
  if (error) {
    checker_free(checker);
    return gg_fail(failure, error, "cannot start the thread that checks upstreams: %s", gg_error_text(error));
  }
  *out = checker;
  return GG_OK;
}

void gg__checker_stop(struct gg_checker *checker)
{
  if (!checker)
    return;
  pthread_mutex_lock(&checker->lock);
  checker->stopping = true;
  pthread_mutex_unlock(&checker->lock);
  gg_wake_signal(&checker->wake);
  pthread_join(checker->thread, NULL);
  checker_free(checker);
}
