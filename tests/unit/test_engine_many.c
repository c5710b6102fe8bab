/* SPDX-License-Identifier: Apache-2.0 */
/* Many gateways in one process, each with a plug-in of a file and one of the program's own: at once, one after the
 * other and from many threads. No thread, descriptor, mapping or memory of theirs stays behind. */
#include "embed_fixture.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { GATEWAYS = 20, THREADS = 4, TURNS = 5, HELD = 32, WARM_ROUNDS = 2, ROUNDS = 3, GROWTH_MAX_BYTES = 16 << 10 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0 /* malloc is not ours to be asked otherwise */
#endif

static struct echo echo;

/* ── A plug-in of the program's own: a gate with state of each session, and a tick ───────────────────────────────── */

struct instance {
  const struct gg_host *host;
  char *memory;
};

/* A client that says this is held, until the end. */
#define HOLD 'h'
static _Atomic int instances, states, gated, holding, ticks;

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct instance *instance = calloc(1, sizeof *instance);
  (void)config;
  if (!instance || !(instance->memory = malloc(4096))) {
    free(instance);
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  }
  instance->host = host;
  *self = instance;
  atomic_fetch_add(&instances, 1);
  return 0;
}

static void on_destroy(void *self)
{
  struct instance *instance = self;
  free(instance->memory);
  free(instance);
  atomic_fetch_sub(&instances, 1);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = ((struct instance *)self)->host;
  void *state = malloc(256);
  (void)open;
  host->state_set(host, session, state);
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE);
  atomic_fetch_add(&states, state != NULL);
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  (void)self;
  (void)session;
  atomic_fetch_add(&gated, data->length > 0);
  if (data->length > 0 && data->bytes[data->length - 1] == HOLD) {
    verdict->kind = GG_VERDICT_HOLD;
    verdict->keep = 1;
    atomic_fetch_add(&holding, 1);
  }
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  const struct gg_host *host = ((struct instance *)self)->host;
  void *state = host->state(host, session);
  (void)summary;
  atomic_fetch_sub(&states, state != NULL);
  free(state);
  host->state_set(host, session, NULL);
}

static void on_tick(void *self)
{
  (void)self;
  atomic_fetch_add(&ticks, 1);
}

static const struct gg_plugin own = {
  GG_PLUGIN_HEAD,  .name = "own",     .create = on_create, .destroy = on_destroy,       .open = on_open,
  .gate = on_gate, .close = on_close, .tick = on_tick,     .tick_interval_ns = 2000000,
};

/* ── Gateways ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_one(struct embedded *it, bool polled)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  embedded_init(it, &echo);
  embedded_word(it, "--plugin");
  embedded_word(it, GG_BUILD_ROOT "/examples/plugin-hello.so");
  if (embedded_try(it, polled, &failure) != 0 || gg_gateway_plugin_add(it->gateway, &own, NULL, &failure) != 0 ||
      gg_gateway_start(it->gateway, &failure) != 0)
    fail_msg("%s", failure.message);
  if (!polled)
    assert_int_equal(pthread_create(&it->thread, NULL, embedded_wait, it), 0);
}

struct visitor {
  pthread_t thread;
  struct gg_endpoint where;
  int error;
  _Atomic bool done;
};

static void *visit(void *context)
{
  struct visitor *visitor = context;
  visitor->error = dial_and_ask(&visitor->where);
  atomic_store(&visitor->done, true);
  return NULL;
}

static void use(struct embedded *it, bool polled)
{
  struct visitor visitor = {.where = embedded_where(it, 0)};
  assert_int_equal(pthread_create(&visitor.thread, NULL, visit, &visitor), 0);
  while (polled && !atomic_load(&visitor.done))
    assert_int_equal(gg_gateway_poll(it->gateway, 50, NULL), GG_GATEWAY_GOES_ON);
  pthread_join(visitor.thread, NULL);
  assert_int_equal(visitor.error, 0);
}

/* Every other one is polled; all live at the same time. Those that are polled end with a session open. */
static void twenty_at_once(void)
{
  static struct embedded all[GATEWAYS];
  int held[GATEWAYS];
  for (int i = 0; i < GATEWAYS; i++)
    begin_one(&all[i], i % 2);
  assert_int_equal(atomic_load(&instances), GATEWAYS);
  for (int i = 0; i < GATEWAYS; i++) {
    struct gg_endpoint where = embedded_where(&all[i], 0);
    use(&all[i], i % 2);
    held[i] = dial(&where);
    assert_true(held[i] >= 0);
  }
  for (int i = 0; i < GATEWAYS; i++) {
    if (i % 2 == 0)
      embedded_join(&all[i]);
    embedded_fini(&all[i]);
    close(held[i]);
  }
  assert_int_equal(atomic_load(&instances), 0);
  assert_int_equal(atomic_load(&states), 0);
}

struct traces {
  size_t threads, fds, mappings, bytes;
};

/* Mappings: of files, which are libraries and rings; malloc's own come and go as it likes. */
static size_t mapped_files(void)
{
  char line[512];
  size_t count = 0;
  FILE *file = fopen("/proc/self/maps", "re");
  assert_non_null(file);
  while (fgets(line, sizeof line, file))
    count += strchr(line, '/') != NULL;
  fclose(file);
  return count;
}

static struct traces look_around(void)
{
  return (struct traces){entries_of("/proc/self/task"), entries_of("/proc/self/fd"), mapped_files(),
                         mallinfo2().uordblks};
}

static bool are_back(void *context)
{
  const struct traces *before = context, now = look_around();
  return now.threads == before->threads && now.fds == before->fds && now.mappings == before->mappings;
}

static void many_gateways_leave_nothing_behind(void **state)
{
  (void)state;
  const struct timespec pause = {.tv_nsec = 200000000};
  for (int i = 0; i < WARM_ROUNDS; i++)
    twenty_at_once();      /* what libraries make once is made */
  nanosleep(&pause, NULL); /* the upstream closes its ends */
  struct traces before = look_around();
  for (int i = 0; i < ROUNDS; i++)
    twenty_at_once();
  assert_true(atomic_load(&gated) >= GATEWAYS * (WARM_ROUNDS + ROUNDS) && atomic_load(&ticks) > 0);
  assert_true(embedded_until(are_back, &before)); /* a thread that was joined is in the list for a moment */
  if (!INSTRUMENTED && look_around().bytes > before.bytes + GROWTH_MAX_BYTES)
    fail_msg("%zu bytes before, %zu after %d gateways", before.bytes, look_around().bytes, GATEWAYS * ROUNDS);
}

/* ── From many threads ───────────────────────────────────────────────────────────────────────────────────────────── */

struct turn {
  struct embedded *it;
  struct gg_endpoint where;
  _Atomic bool over;
};

/* Clients that come while the gateway ends: refused, reset or served, they end. */
static void *knock(void *context)
{
  struct turn *turn = context;
  while (!atomic_load(&turn->over)) {
    int fd = dial(&turn->where);
    if (fd >= 0)
      (void)ask(fd);
    if (fd >= 0)
      close(fd);
  }
  return NULL;
}

/* Looks at it, and ends it in all ways at once, until it is destroyed. */
static void *end_it(void *context)
{
  struct turn *turn = context;
  for (unsigned i = 0; !atomic_load(&turn->over); i++) {
    char *json = NULL;
    if (i % 3 == 0)
      gg_gateway_drain(turn->it->gateway);
    else if (i % 3 == 1)
      gg_gateway_signal(turn->it->gateway, SIGTERM);
    else if (gg_gateway_stats(turn->it->gateway, &json, NULL) == 0)
      free(json);
    if (i == 7)
      gg_gateway_stop(turn->it->gateway);
  }
  return NULL;
}

static void *come_and_go(void *context)
{
  (void)context;
  for (int i = 0; i < TURNS; i++) {
    struct embedded it;
    pthread_t threads[2];
    begin_one(&it, false);
    struct turn turn = {.it = &it, .where = embedded_where(&it, 0)};
    assert_int_equal(pthread_create(&threads[0], NULL, knock, &turn), 0);
    assert_int_equal(dial_and_ask(&turn.where), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, end_it, &turn), 0);
    embedded_join(&it);
    atomic_store(&turn.over, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    embedded_fini(&it);
  }
  return NULL;
}

static void gateways_come_and_go_on_many_threads(void **state)
{
  pthread_t threads[THREADS];
  (void)state;
  struct traces before = look_around();
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&instances), 0);
  assert_int_equal(atomic_load(&states), 0);
  assert_true(embedded_until(are_back, &before));
}

/* ── In a process that forks ─────────────────────────────────────────────────────────────────────────────────────── */

/* A child that executes nothing keeps a copy of every descriptor: closing ours ends no connection then, and takes
 * nothing out of a set of epoll(7). */
static pid_t fork_idle(const int not_these[HELD])
{
  pid_t child = fork();
  for (int i = 0; child == 0 && i < HELD; i++)
    close(not_these[i]);
  while (child == 0)
    pause();
  assert_true(child > 0);
  return child;
}

static bool keep_each(void *context, const struct gg_session_info *info)
{
  struct gg_session_key **next = context;
  *(*next)++ = info->key;
  return true;
}

static void open_all(const struct embedded *it, int fds[HELD])
{
  struct gg_endpoint where = embedded_where(it, 0);
  for (int i = 0; i < HELD; i++) {
    fds[i] = dial(&where);
    assert_int_equal(ask(fds[i]), 0);
  }
}

static bool has_none(void *context)
{
  struct gg_session_key keys[HELD], *end = keys;
  gg_gateway_sessions(((struct embedded *)context)->gateway, keep_each, &end);
  return end == keys;
}

static bool are_held(void *context)
{
  (void)context;
  return atomic_load(&holding) >= HELD;
}

static size_t open_sessions(const struct embedded *it)
{
  struct gg_session_key keys[2 * HELD], *end = keys;
  gg_gateway_sessions(it->gateway, keep_each, &end);
  return (size_t)(end - keys);
}

static void what_a_child_still_has_is_nobodys(void **state)
{
  const struct gg_verdict reset = {.kind = GG_VERDICT_RESET, .reason = "a test"};
  struct gg_session_key keys[HELD], *end = keys;
  int before[HELD], after[HELD];
  struct embedded it;
  (void)state;
  begin_one(&it, false);
  struct gg_endpoint where = embedded_where(&it, 0);
  open_all(&it, before);
  pid_t child = fork_idle(before);
  gg_gateway_sessions(it.gateway, keep_each, &end);
  assert_int_equal(end - keys, HELD);
  for (int i = 0; i < HELD; i++)
    assert_int_equal(gg_gateway_session_cut(it.gateway, &keys[i], &reset), 0);
  assert_true(embedded_until(has_none, &it));
  open_all(&it, after); /* in the memory of those before */
  for (int i = 0; i < HELD; i++)
    assert_int_equal(send(after[i], &(char){HOLD}, 1, MSG_NOSIGNAL), 1);
  assert_true(embedded_until(are_held, NULL));
  for (int i = 0; i < HELD; i++) {
    setsockopt(before[i], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(before[i]); /* a reset of what only the child still has */
  }
  for (int turn = 0; turn < TURNS; turn++)
    assert_int_equal(dial_and_ask(&where), 0); /* the worker has turned since */
  assert_true(open_sessions(&it) >= HELD);
  for (int i = 0; i < HELD; i++)
    assert_int_equal(poll(&(struct pollfd){.fd = after[i], .events = POLLIN}, 1, 0), 0);
  for (int i = 0; i < HELD; i++)
    close(after[i]);
  embedded_join(&it);
  embedded_fini(&it);
  assert_int_equal(kill(child, SIGKILL), 0);
  assert_int_equal(waitpid(child, NULL, 0), child);
}

static int begin(void **state)
{
  (void)state;
  echo_begin(&echo);
  return 0;
}

static int end(void **state)
{
  (void)state;
  echo_end(&echo);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(many_gateways_leave_nothing_behind),
    cmocka_unit_test(gateways_come_and_go_on_many_threads),
    cmocka_unit_test(what_a_child_still_has_is_nobodys),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
