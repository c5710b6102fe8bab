/* SPDX-License-Identifier: Apache-2.0 */
/* A plug-in of the program's own holds sessions on two workers, and threads of the program end the holds while clients
 * come and leave: each hold is ended by the verdict it was given, and nothing is raced for (a build with TSan says). */
#include "embed_fixture.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SESSIONS = 200, RESUMERS = 3, KEYS_MAX = 4096, VISITORS = 4, VISITS = 40 };

static struct echo echo;

/* ── The plug-in: it holds whatever a client says, until it is told otherwise ────────────────────────────────────── */

struct holder {
  const struct gg_host *host;
  pthread_mutex_t lock; /* of the keys */
  size_t count;
  struct gg_session_key keys[KEYS_MAX];
};

static struct holder *holder; /* of the one gateway there is */
static _Atomic unsigned opened, closed, held, refused;

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  (void)config;
  holder = calloc(1, sizeof *holder);
  if (!holder)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  holder->host = host;
  pthread_mutex_init(&holder->lock, NULL);
  *self = holder;
  return 0;
}

static void on_destroy(void *self)
{
  pthread_mutex_destroy(&((struct holder *)self)->lock);
  free(self);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct gg_host *host = ((struct holder *)self)->host;
  (void)open;
  atomic_fetch_add(&opened, 1);
  atomic_fetch_add(&refused, host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE) != 0);
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct holder *it = self;
  if (data->length == 0)
    return;
  *verdict = (struct gg_verdict){.kind = GG_VERDICT_HOLD, .keep = SIZE_MAX};
  pthread_mutex_lock(&it->lock);
  if (it->count < KEYS_MAX)
    it->host->key(it->host, session, &it->keys[it->count++]);
  pthread_mutex_unlock(&it->lock);
  atomic_fetch_add(&held, 1);
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  (void)self;
  (void)session;
  (void)summary;
  atomic_fetch_add(&closed, 1);
}

static const struct gg_plugin own = {
  GG_PLUGIN_HEAD,  .name = "holder", .create = on_create, .destroy = on_destroy,
  .open = on_open, .gate = on_gate,  .close = on_close,
};

/* ── Threads that end the holds ──────────────────────────────────────────────────────────────────────────────────── */

struct resumers {
  pthread_t threads[RESUMERS];
  enum gg_verdict_kind kind;
  _Atomic bool over;
  _Atomic unsigned wrong;
};

/* False: there is none. */
static bool take(struct gg_session_key *key)
{
  pthread_mutex_lock(&holder->lock);
  bool any = holder->count > 0;
  if (any)
    *key = holder->keys[--holder->count];
  pthread_mutex_unlock(&holder->lock);
  return any;
}

/* Each hold by one of them; and what is not held too, where there is nothing to do, or nobody. */
static void *resume(void *context)
{
  struct resumers *resumers = context;
  const struct timespec pause = {.tv_nsec = 200000};
  const struct gg_verdict verdict = {.kind = resumers->kind, .reason = "a test"};
  const struct gg_host *host = holder->host;
  struct gg_session_key key;
  while (!atomic_load(&resumers->over)) {
    if (!take(&key)) {
      nanosleep(&pause, NULL);
      continue;
    }
    int error;
    while ((error = host->resume(host, &key, GG_SIDE_CLIENT, &verdict)) == GG_ERR_AGAIN)
      nanosleep(&pause, NULL);
    int other = host->resume(host, &key, GG_SIDE_SERVER, &verdict);
    bool fine =
      (error == 0 || error == GG_ERR_NOT_FOUND) && (other == 0 || other == GG_ERR_NOT_FOUND || other == GG_ERR_AGAIN);
    atomic_fetch_add(&resumers->wrong, !fine);
  }
  return NULL;
}

static void resumers_start(struct resumers *resumers)
{
  for (int i = 0; i < RESUMERS; i++)
    assert_int_equal(pthread_create(&resumers->threads[i], NULL, resume, resumers), 0);
}

static void resumers_join(struct resumers *resumers)
{
  atomic_store(&resumers->over, true);
  for (int i = 0; i < RESUMERS; i++)
    pthread_join(resumers->threads[i], NULL);
  assert_int_equal(resumers->wrong, 0);
}

/* ── The gateway ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin_gateway(struct embedded *it)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  opened = closed = held = refused = 0;
  embedded_init(it, &echo);
  embedded_word(it, "--workers");
  embedded_word(it, "2");
  if (embedded_try(it, false, &failure) != 0 || gg_gateway_plugin_add(it->gateway, &own, NULL, &failure) != 0 ||
      gg_gateway_start(it->gateway, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(pthread_create(&it->thread, NULL, embedded_wait, it), 0);
}

static void end_gateway(struct embedded *it)
{
  embedded_join(it);
  assert_int_equal(opened, closed);
  assert_int_equal(refused, 0);
  embedded_fini(it);
}

static void say_all(const struct embedded *it, int fds[SESSIONS])
{
  struct gg_endpoint where = embedded_where(it, 0);
  for (int i = 0; i < SESSIONS; i++) {
    char byte = (char)i;
    fds[i] = dial(&where);
    assert_true(fds[i] >= 0);
    assert_int_equal(send(fds[i], &byte, 1, MSG_NOSIGNAL), 1);
  }
}

static bool all_are_held(void *context)
{
  (void)context;
  return held == SESSIONS;
}

static void many_are_held_and_go_on(void **state)
{
  struct embedded it;
  struct resumers resumers = {.kind = GG_VERDICT_PASS};
  int fds[SESSIONS];
  char byte;
  (void)state;
  begin_gateway(&it);
  say_all(&it, fds);
  assert_true(embedded_until(all_are_held, NULL));
  for (int i = 0; i < SESSIONS; i++)
    assert_int_equal(poll(&(struct pollfd){.fd = fds[i], .events = POLLIN}, 1, 0), 0);
  resumers_start(&resumers);
  for (int i = 0; i < SESSIONS; i++) {
    assert_int_equal(recv(fds[i], &byte, 1, 0), 1);
    assert_int_equal(byte, (char)i);
  }
  for (int i = 0; i < SESSIONS; i++) { /* it is held anew, while others go on */
    byte = (char)(i + 1);
    assert_int_equal(send(fds[i], &byte, 1, MSG_NOSIGNAL), 1);
  }
  for (int i = 0; i < SESSIONS; i++) {
    assert_int_equal(recv(fds[i], &byte, 1, 0), 1);
    assert_int_equal(byte, (char)(i + 1));
    close(fds[i]);
  }
  resumers_join(&resumers);
  assert_int_equal(held, 2 * SESSIONS);
  end_gateway(&it);
}

static void holds_end_by_a_reset(void **state)
{
  struct embedded it;
  struct resumers resumers = {.kind = GG_VERDICT_RESET};
  int fds[SESSIONS];
  char byte;
  (void)state;
  begin_gateway(&it);
  resumers_start(&resumers);
  say_all(&it, fds);
  for (int i = 0; i < SESSIONS; i++) {
    assert_int_equal(recv(fds[i], &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fds[i]);
  }
  resumers_join(&resumers);
  end_gateway(&it);
}

/* Clients that are served, and such that leave while they are held. */
static void *visit(void *context)
{
  const struct gg_endpoint *where = context;
  char byte = 'v';
  for (int i = 0; i < VISITS; i++) {
    int fd = dial(where);
    assert_true(fd >= 0);
    if (i % 3 == 0)
      assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    else
      assert_int_equal(ask(fd), 0);
    if (i % 2 == 0)
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(fd);
  }
  return NULL;
}

static void clients_come_and_leave_meanwhile(void **state)
{
  struct embedded it;
  struct resumers resumers = {.kind = GG_VERDICT_PASS};
  pthread_t visitors[VISITORS];
  (void)state;
  begin_gateway(&it);
  struct gg_endpoint where = embedded_where(&it, 0);
  resumers_start(&resumers);
  for (int i = 0; i < VISITORS; i++)
    assert_int_equal(pthread_create(&visitors[i], NULL, visit, &where), 0);
  for (int i = 0; i < VISITORS; i++)
    pthread_join(visitors[i], NULL);
  resumers_join(&resumers);
  assert_true(held >= VISITORS * VISITS / 2);
  end_gateway(&it);
}

/* What nobody resumes ends with the gateway. */
static void the_gateway_ends_while_they_are_held(void **state)
{
  struct embedded it;
  int fds[SESSIONS];
  (void)state;
  begin_gateway(&it);
  say_all(&it, fds);
  assert_true(embedded_until(all_are_held, NULL));
  end_gateway(&it);
  for (int i = 0; i < SESSIONS; i++)
    close(fds[i]);
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
    cmocka_unit_test(many_are_held_and_go_on),
    cmocka_unit_test(holds_end_by_a_reset),
    cmocka_unit_test(clients_come_and_leave_meanwhile),
    cmocka_unit_test(the_gateway_ends_while_they_are_held),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
