/* SPDX-License-Identifier: Apache-2.0 */
/* getaddrinfo is replaced where a test says what it answers (`scripted`), and is the real one elsewhere; so is open,
 * where a test says which of libc's files may not be read (`refused_file`), or is missing (`missing_file`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "net/resolver_files.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { ANSWERS_MAX = 4, WAIT_MS = 5000 };

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool active;
  bool hang;                        /* the question waits until it is cleared */
  int error;                        /* what it returns, else: */
  const char *answers[ANSWERS_MAX]; /* ends in NULL */
  unsigned asked, left;
} scripted = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
void __real_freeaddrinfo(struct addrinfo *);
int __wrap_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
void __wrap_freeaddrinfo(struct addrinfo *);

static struct addrinfo *make(const char *text, struct addrinfo *next)
{
  struct addrinfo *info = calloc(1, sizeof *info);
  struct sockaddr_storage *storage = calloc(1, sizeof *storage);
  struct gg_addr addr;
  assert_int_equal(gg_addr_parse(&addr, text), 0);
  info->ai_addrlen = gg_addr_to_sockaddr(&addr, storage);
  info->ai_addr = (struct sockaddr *)storage;
  info->ai_family = storage->ss_family;
  info->ai_next = next;
  return info;
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
  pthread_mutex_lock(&scripted.lock);
  if (!scripted.active) {
    pthread_mutex_unlock(&scripted.lock);
    return __real_getaddrinfo(host, service, hints, out);
  }
  scripted.asked++;
  pthread_cond_broadcast(&scripted.changed);
  while (scripted.hang)
    pthread_cond_wait(&scripted.changed, &scripted.lock);
  int error = scripted.error;
  struct addrinfo *list = NULL;
  for (int i = ANSWERS_MAX - 1; i >= 0 && !error; i--)
    if (scripted.answers[i])
      list = make(scripted.answers[i], list);
  *out = list;
  scripted.left++;
  pthread_cond_broadcast(&scripted.changed);
  pthread_mutex_unlock(&scripted.lock);
  return error;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
  pthread_mutex_lock(&scripted.lock);
  bool active = scripted.active;
  pthread_mutex_unlock(&scripted.lock);
  if (!active) {
    __real_freeaddrinfo(list);
    return;
  }
  while (list) {
    struct addrinfo *next = list->ai_next;
    free(list->ai_addr);
    free(list);
    list = next;
  }
}

static _Atomic(const char *) refused_file, missing_file;

int __real_open64(const char *, int, ...);
int __wrap_open64(const char *, int, ...);

/* None of what is opened here is made, so there is never a mode. */
int __wrap_open64(const char *path, int flags, ...)
{
  const char *refused = atomic_load(&refused_file), *missing = atomic_load(&missing_file);
  bool is_refused = refused && strcmp(path, refused) == 0;
  if (!is_refused && !(missing && strcmp(path, missing) == 0))
    return __real_open64(path, flags);
  errno = is_refused ? EACCES : ENOENT;
  return -1;
}

static void script(int error, const char *first, const char *second, const char *third)
{
  pthread_mutex_lock(&scripted.lock);
  scripted.active = true;
  scripted.error = error;
  scripted.answers[0] = first;
  scripted.answers[1] = second;
  scripted.answers[2] = third;
  pthread_mutex_unlock(&scripted.lock);
}

/* Until `more` further questions were asked. */
static void await_questions(unsigned more)
{
  pthread_mutex_lock(&scripted.lock);
  unsigned until = scripted.asked + more;
  while (scripted.asked < until)
    pthread_cond_wait(&scripted.changed, &scripted.lock);
  pthread_mutex_unlock(&scripted.lock);
}

static int teardown(void **state)
{
  (void)state;
  pthread_mutex_lock(&scripted.lock);
  scripted.active = scripted.hang = false;
  scripted.asked = scripted.left = 0;
  pthread_mutex_unlock(&scripted.lock);
  atomic_store(&refused_file, NULL);
  atomic_store(&missing_file, NULL);
  return 0;
}

static void current_is(struct gg_name *name, const char *expected)
{
  struct gg_addr addr;
  char text[GG_ADDR_TEXT_MAX];
  assert_true(gg_name_current(name, &addr));
  gg_addr_format(&addr, text, sizeof text);
  assert_string_equal(text, expected);
}

static void localhost_resolves_and_an_invalid_name_does_not(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *good, *bad;
  struct gg_addr addr;
  assert_int_equal(gg_resolver_create(&resolver, GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "localhost", 8080, &good), 0);
  assert_int_equal(gg_resolver_add(resolver, "name.invalid", 80, &bad), 0);
  assert_false(gg_name_current(good, &addr));
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_true(gg_name_current(good, &addr));
  assert_true(gg_addr_is_loopback(&addr));
  assert_int_equal(addr.port, 8080);
  assert_false(gg_name_current(bad, &addr));
  gg_resolver_destroy(resolver);
}

static void equal_names_share_and_the_number_is_bounded(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *a, *b, *c;
  char host[300];
  assert_int_equal(gg_resolver_create(&resolver, 0, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &a), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &b), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 81, &c), 0);
  assert_ptr_equal(a, b);
  assert_ptr_not_equal(a, c);
  memset(host, 'a', sizeof host - 1);
  host[sizeof host - 1] = '\0';
  assert_int_equal(gg_resolver_add(resolver, host, 80, &c), GG_ERR_RANGE);
  for (uint16_t port = 1000; port < 1000 + 2 * 64 * 64 - 2; port++)
    assert_int_equal(gg_resolver_add(resolver, "a.test", port, &c), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 20000, &c), GG_ERR_LIMIT);
  gg_resolver_remove(resolver, a);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 20000, &c), GG_ERR_LIMIT); /* b is still there */
  gg_resolver_remove(resolver, b);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 20000, &c), 0);
  gg_resolver_destroy(resolver);
  gg_resolver_destroy(NULL);
}

static void addresses_are_taken_in_turn_of_one_family(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  script(0, "[::1]:0", "192.0.2.2:0", "192.0.2.1:0");
  assert_int_equal(gg_resolver_create(&resolver, 0, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  current_is(name, "192.0.2.1:80");
  current_is(name, "192.0.2.2:80");
  current_is(name, "192.0.2.1:80");
  gg_resolver_destroy(resolver);
  script(0, "[2001:db8::1]:0", "[2001:db8::1]:0", NULL);
  assert_int_equal(gg_resolver_create(&resolver, 0, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  current_is(name, "[2001:db8::1]:80");
  gg_resolver_destroy(resolver);
}

static void a_renewal_that_fails_keeps_the_addresses(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 20 * GG_NS_PER_MS, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  script(EAI_AGAIN, NULL, NULL, NULL);
  await_questions(3); /* the second of them, at least, was answered by the failure */
  current_is(name, "192.0.2.1:80");
  script(0, "192.0.2.9:0", NULL, NULL);
  await_questions(3);
  current_is(name, "192.0.2.9:80");
  gg_resolver_destroy(resolver);
}

static void a_name_without_an_address_is_tried_again_soon(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  struct gg_addr addr;
  script(EAI_NONAME, NULL, NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 3600 * GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_false(gg_name_current(name, &addr));
  script(0, "192.0.2.1:0", NULL, NULL);
  uint64_t until = gg_clock_mono_ns() + WAIT_MS * GG_NS_PER_MS;
  while (!gg_name_current(name, &addr) && gg_clock_mono_ns() < until)
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000000}, NULL);
  current_is(name, "192.0.2.1:80");
  gg_resolver_destroy(resolver);
}

static void a_question_that_hangs_holds_up_nobody(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 10 * GG_NS_PER_MS, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  pthread_mutex_lock(&scripted.lock);
  scripted.hang = true;
  pthread_mutex_unlock(&scripted.lock);
  await_questions(1);
  current_is(name, "192.0.2.1:80");
  uint64_t begin = gg_clock_mono_ns();
  gg_resolver_destroy(resolver); /* abandons the thread, which frees what it works on when it is answered */
  assert_true(gg_clock_mono_ns() - begin < 2 * GG_NS_PER_S);
  pthread_mutex_lock(&scripted.lock);
  unsigned left = scripted.left;
  scripted.hang = false;
  pthread_cond_broadcast(&scripted.changed);
  while (scripted.left == left)
    pthread_cond_wait(&scripted.changed, &scripted.lock);
  pthread_mutex_unlock(&scripted.lock);
}

/* Readers during constant renewal see one of the two answers, whole. */
static _Atomic bool reading;

static void *read_constantly(void *context)
{
  struct gg_name *name = context;
  uintptr_t wrong = 0;
  while (atomic_load(&reading)) {
    struct gg_addr addr;
    if (!gg_name_current(name, &addr))
      continue;
    for (int i = 1; i < 4; i++)
      wrong += addr.ip[i] != addr.ip[0];
    wrong += addr.port != 80 || addr.family != GG_FAMILY_IPV4;
  }
  return (void *)wrong;
}

static void readers_see_whole_addresses(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  pthread_t threads[2];
  script(0, "1.1.1.1:0", "2.2.2.2:0", NULL);
  assert_int_equal(gg_resolver_create(&resolver, 1, NULL), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  atomic_store(&reading, true);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, read_constantly, name), 0);
  for (int i = 0; i < 200; i++) {
    script(0, i & 1 ? "1.1.1.1:0" : "3.3.3.3:0", i & 2 ? "4.4.4.4:0" : NULL, NULL);
    await_questions(2);
  }
  atomic_store(&reading, false);
  for (int i = 0; i < 2; i++) {
    void *wrong;
    pthread_join(threads[i], &wrong);
    assert_null(wrong);
  }
  gg_resolver_destroy(resolver);
}

static void names_come_and_go_while_it_runs(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *first, *second, *third;
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 3600 * GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_start(resolver), 0); /* with nothing to ask */
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &first), 0);
  assert_false(gg_name_resolved(first));
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  assert_true(gg_name_resolved(first));
  current_is(first, "192.0.2.1:80");
  assert_string_equal(gg_name_host(first), "a.test");

  script(0, "192.0.2.2:0", NULL, NULL);
  assert_int_equal(gg_resolver_add(resolver, "b.test", 80, &second), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  current_is(second, "192.0.2.2:80");
  current_is(first, "192.0.2.1:80"); /* was not asked for again */
  assert_int_equal(scripted.asked, 2);
  gg_resolver_remove(resolver, first);

  script(EAI_NONAME, NULL, NULL, NULL);
  assert_int_equal(gg_resolver_add(resolver, "c.test", 80, &third), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0); /* there is an answer, if not a good one */
  assert_false(gg_name_resolved(third));

  gg_resolver_set_interval(resolver, 10 * GG_NS_PER_MS);
  script(0, "192.0.2.3:0", NULL, NULL);
  await_questions(5);
  current_is(second, "192.0.2.3:80");
  gg_resolver_destroy(resolver);
}

static void a_name_may_go_while_it_is_asked_for(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name, *other;
  script(0, "192.0.2.1:0", NULL, NULL);
  scripted.hang = true;
  assert_int_equal(gg_resolver_create(&resolver, 3600 * GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_add(resolver, "b.test", 80, &other), 0);
  assert_int_equal(gg_resolver_await(resolver, 20 * GG_NS_PER_MS), GG_ERR_TIMEOUT);
  gg_resolver_remove(resolver, name);
  pthread_mutex_lock(&scripted.lock);
  scripted.hang = false;
  pthread_cond_broadcast(&scripted.changed);
  pthread_mutex_unlock(&scripted.lock);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  current_is(other, "192.0.2.1:80"); /* was not passed over when the list became shorter */
  gg_resolver_destroy(resolver);
}

static void a_file_that_is_lost_is_an_error_and_another_answer_is_not_taken(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *first, *second;
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 10 * GG_NS_PER_MS, NULL), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &first), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  current_is(first, "192.0.2.1:80");

  /* libc would take the file for missing, and answer by what is left. */
  atomic_store(&refused_file, gg_resolver_files[1]);
  script(0, "192.0.2.66:0", NULL, NULL);
  assert_int_equal(gg_resolver_add(resolver, "b.test", 80, &second), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  assert_false(gg_name_resolved(second));
  current_is(first, "192.0.2.1:80");

  atomic_store(&refused_file, NULL);
  await_questions(4); /* a round of both, whole */
  current_is(first, "192.0.2.66:80");
  current_is(second, "192.0.2.66:80");
  gg_resolver_destroy(resolver);
}

static void a_file_that_never_could_be_read_changes_nothing(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *name;
  atomic_store(&refused_file, gg_resolver_files[0]);
  assert_string_equal(gg_resolver_files_first(gg_resolver_files_look().refused), gg_resolver_files[0]);
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 3600 * GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &name), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  current_is(name, "192.0.2.1:80");
  gg_resolver_destroy(resolver);
}

/* As the sandbox does it: it has no rule for what was not there when it closed. */
static void a_file_that_was_missing_and_is_refused_later_changes_nothing(void **state)
{
  (void)state;
  struct gg_resolver *resolver;
  struct gg_name *first, *second;
  atomic_store(&missing_file, gg_resolver_files[4]);
  script(0, "192.0.2.1:0", NULL, NULL);
  assert_int_equal(gg_resolver_create(&resolver, 3600 * GG_NS_PER_S, NULL), 0);
  assert_int_equal(gg_resolver_start(resolver), 0);
  assert_int_equal(gg_resolver_add(resolver, "a.test", 80, &first), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  current_is(first, "192.0.2.1:80");

  atomic_store(&refused_file, gg_resolver_files[4]);
  assert_int_equal(gg_resolver_add(resolver, "b.test", 80, &second), 0);
  assert_int_equal(gg_resolver_await(resolver, 5 * GG_NS_PER_S), 0);
  assert_true(gg_name_resolved(second));
  gg_resolver_destroy(resolver);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_teardown(localhost_resolves_and_an_invalid_name_does_not, teardown),
    cmocka_unit_test_teardown(equal_names_share_and_the_number_is_bounded, teardown),
    cmocka_unit_test_teardown(addresses_are_taken_in_turn_of_one_family, teardown),
    cmocka_unit_test_teardown(a_renewal_that_fails_keeps_the_addresses, teardown),
    cmocka_unit_test_teardown(a_name_without_an_address_is_tried_again_soon, teardown),
    cmocka_unit_test_teardown(readers_see_whole_addresses, teardown),
    cmocka_unit_test_teardown(names_come_and_go_while_it_runs, teardown),
    cmocka_unit_test_teardown(a_name_may_go_while_it_is_asked_for, teardown),
    cmocka_unit_test_teardown(a_file_that_is_lost_is_an_error_and_another_answer_is_not_taken, teardown),
    cmocka_unit_test_teardown(a_file_that_never_could_be_read_changes_nothing, teardown),
    cmocka_unit_test_teardown(a_file_that_was_missing_and_is_refused_later_changes_nothing, teardown),
    cmocka_unit_test(a_question_that_hangs_holds_up_nobody), /* last: its thread may still be leaving */
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
