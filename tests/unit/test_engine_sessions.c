/* SPDX-License-Identifier: Apache-2.0 */
/* Open sessions by their keys, from threads that are not the gateway's, while sessions come and go. */
#include "embed_fixture.h"

enum { CLIENTS = 4, ROUNDS = 150, LOOKERS = 3, KEYS_MAX = 64 };

static struct echo echo;

struct keys {
  size_t count;
  struct gg_session_key items[KEYS_MAX];
};

static bool keep_key(void *context, const struct gg_session_info *info)
{
  struct keys *keys = context;
  assert_string_equal(info->listener, "web");
  keys->items[keys->count++] = info->key;
  return keys->count < KEYS_MAX;
}

static struct keys keys_of(struct embedded *it)
{
  struct keys keys = {0};
  gg_gateway_sessions(it->gateway, keep_key, &keys);
  return keys;
}

static bool has_none(void *context)
{
  return keys_of(context).count == 0;
}

static bool is_served(void *context)
{
  struct gg_session_info info = {.size = sizeof info};
  struct keys keys = keys_of(context);
  return keys.count == 1 &&
         gg_gateway_session_find(((struct embedded *)context)->gateway, &keys.items[0], &info) == 0 &&
         info.forwarded[GG_SIDE_SERVER] == 1;
}

/* A program of an earlier version gets what that version had, one of a later version all that there is. */
static void is_told_as_its_size_says(struct gg_gateway *gateway, const struct gg_session_key *key)
{
  struct {
    struct gg_session_info info;
    char behind[64];
  } later, none;
  memset(&later, 'x', sizeof later);
  memset(&none, 'x', sizeof none);
  later.info.size = offsetof(struct gg_session_info, client);
  assert_int_equal(gg_gateway_session_find(gateway, key, &later.info), 0);
  assert_int_equal(later.info.size, offsetof(struct gg_session_info, client));
  assert_string_equal(later.info.key.text, key->text);
  assert_memory_equal(later.info.client, none.info.client, sizeof later - offsetof(struct gg_session_info, client));
  later.info.size = sizeof later;
  assert_int_equal(gg_gateway_session_find(gateway, key, &later.info), 0);
  assert_int_equal(later.info.size, sizeof later.info);
  assert_memory_equal(later.behind, none.behind, sizeof later.behind);
  memset(&later, 'x', sizeof later);
  later.info.size = 0;
  assert_int_equal(gg_gateway_session_find(gateway, key, &later.info), GG_ERR_INVALID);
  assert_memory_equal(later.info.key.text, none.info.key.text, sizeof later - offsetof(struct gg_session_info, key));
}

static void a_session_is_found_tagged_and_cut(void **state)
{
  struct embedded it;
  struct gg_session_info info = {.size = sizeof info};
  const struct gg_verdict pass = {.kind = GG_VERDICT_PASS}, reset = {.kind = GG_VERDICT_RESET, .reason = "enough"};
  char byte;
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  struct gg_endpoint where = embedded_where(&it, 0);
  int fd = dial(&where);
  assert_int_equal(ask(fd), 0);
  assert_true(embedded_until(is_served, &it));
  struct gg_session_key key = keys_of(&it).items[0];
  assert_int_equal(gg_gateway_session_find(it.gateway, &key, &info), 0);
  assert_string_equal(info.key.text, key.text);
  assert_int_equal(info.received[GG_SIDE_CLIENT], 1);
  assert_string_equal(info.upstream, it.upstream);
  is_told_as_its_size_says(it.gateway, &key);
  assert_int_equal(gg_gateway_session_tag(it.gateway, &key, "seen", true), 0);
  assert_int_equal(gg_gateway_session_tag(it.gateway, &key, "Not One", true), GG_ERR_INVALID);
  assert_int_equal(gg_gateway_session_find(it.gateway, &key, &info), 0);
  assert_int_equal(info.tag_count, 1);
  assert_string_equal(info.tags[0], "seen");
  assert_int_equal(gg_gateway_session_throttle(it.gateway, &key, (enum gg_side)2, 1), GG_ERR_INVALID);
  assert_int_equal(gg_gateway_session_throttle(it.gateway, &key, GG_SIDE_CLIENT, 1000), 0);
  assert_int_equal(gg_gateway_session_cut(it.gateway, &key, &pass), GG_ERR_INVALID);
  assert_int_equal(gg_gateway_session_cut(it.gateway, &key, &reset), 0);
  assert_int_equal(recv(fd, &byte, 1, 0), -1);
  assert_int_equal(errno, ECONNRESET);
  close(fd);
  assert_true(embedded_until(has_none, &it));
  assert_int_equal(gg_gateway_session_find(it.gateway, &key, &info), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_gateway_session_tag(it.gateway, &key, "seen", true), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_gateway_session_throttle(it.gateway, &key, GG_SIDE_SERVER, 0), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_gateway_session_cut(it.gateway, &key, &reset), GG_ERR_NOT_FOUND);
  embedded_join(&it);
  assert_true(has_none(&it)); /* one that has ended has no sessions */
  embedded_fini(&it);
}

struct leaving {
  struct embedded *it;
  struct gg_session_key key;
  int fd;
  unsigned told;
  _Atomic bool left;
};

static bool has_left(void *context)
{
  struct leaving *leaving = context;
  struct gg_session_info info = {.size = sizeof info};
  return gg_gateway_session_find(leaving->it->gateway, &leaving->key, &info) == GG_ERR_NOT_FOUND;
}

/* From inside a listing nothing is asked of the gateway: another thread does. */
static void *look_whether_it_left(void *context)
{
  struct leaving *leaving = context;
  atomic_store(&leaving->left, embedded_until(has_left, leaving));
  return NULL;
}

/* The first time the client leaves, and its worker must be able to close the session before this returns. */
static bool let_leave(void *context, const struct gg_session_info *info)
{
  struct leaving *leaving = context;
  (void)info;
  leaving->told++;
  if (leaving->fd < 0)
    return true;
  pthread_t looker;
  close(leaving->fd);
  leaving->fd = -1;
  assert_int_equal(pthread_create(&looker, NULL, look_whether_it_left, leaving), 0);
  pthread_join(looker, NULL);
  return true;
}

/* More of them than are copied at once. */
static void a_listing_holds_nobody_up(void **state)
{
  enum { SESSIONS = 200 };
  struct embedded it;
  int fds[SESSIONS];
  (void)state;
  embedded_init(&it, &echo);
  embedded_run(&it);
  struct gg_endpoint where = embedded_where(&it, 0);
  struct leaving leaving = {.it = &it, .fd = dial(&where)};
  assert_int_equal(ask(leaving.fd), 0);
  assert_true(embedded_until(is_served, &it));
  leaving.key = keys_of(&it).items[0];
  for (int i = 0; i < SESSIONS; i++) {
    fds[i] = dial(&where);
    assert_int_equal(ask(fds[i]), 0);
  }
  gg_gateway_sessions(it.gateway, let_leave, &leaving);
  assert_true(leaving.left);
  assert_in_range(leaving.told, SESSIONS, SESSIONS + 1); /* the one that left may have been told, or not */
  for (int i = 0; i < SESSIONS; i++)
    close(fds[i]);
  embedded_join(&it);
  embedded_fini(&it);
}

/* ── From many threads at once ───────────────────────────────────────────────────────────────────────────────────── */

struct crowd {
  struct embedded it;
  struct gg_endpoint where;
  _Atomic bool over;
  _Atomic unsigned met, wrong;
};

/* Some of them are cut in the middle: that is no error. */
static void *come_and_go(void *context)
{
  struct crowd *crowd = context;
  for (int i = 0; i < ROUNDS; i++) {
    int fd = dial(&crowd->where);
    for (int j = 0; fd >= 0 && j < 5 && ask(fd) == 0; j++)
      continue;
    if (fd >= 0)
      close(fd);
  }
  return NULL;
}

static bool expected(int error)
{
  return error == 0 || error == GG_ERR_NOT_FOUND;
}

static void *look(void *context)
{
  struct crowd *crowd = context;
  struct gg_gateway *gateway = crowd->it.gateway;
  struct gg_session_info info = {.size = sizeof info};
  const struct gg_verdict cut = {.kind = GG_VERDICT_CLOSE, .reason = "a test"};
  for (unsigned turn = 0; !atomic_load(&crowd->over); turn++) {
    struct keys keys = keys_of(&crowd->it);
    for (size_t i = 0; i < keys.count; i++) {
      const struct gg_session_key *key = &keys.items[i];
      bool fine = expected(gg_gateway_session_find(gateway, key, &info)) &&
                  expected(gg_gateway_session_tag(gateway, key, turn % 2 ? "odd" : "even", turn % 3 > 0)) &&
                  expected(gg_gateway_session_throttle(gateway, key, GG_SIDE_CLIENT, turn % 5 ? 0 : 1000000)) &&
                  (turn % 7 > 0 || expected(gg_gateway_session_cut(gateway, key, &cut)));
      atomic_fetch_add(fine ? &crowd->met : &crowd->wrong, 1);
    }
  }
  return NULL;
}

static void sessions_come_and_go_meanwhile(void **state)
{
  struct crowd crowd = {0};
  pthread_t clients[CLIENTS], lookers[LOOKERS];
  (void)state;
  embedded_init(&crowd.it, &echo);
  embedded_word(&crowd.it, "--workers");
  embedded_word(&crowd.it, "2");
  embedded_run(&crowd.it);
  crowd.where = embedded_where(&crowd.it, 0);
  for (int i = 0; i < LOOKERS; i++)
    assert_int_equal(pthread_create(&lookers[i], NULL, look, &crowd), 0);
  for (int i = 0; i < CLIENTS; i++)
    assert_int_equal(pthread_create(&clients[i], NULL, come_and_go, &crowd), 0);
  for (int i = 0; i < CLIENTS; i++)
    pthread_join(clients[i], NULL);
  embedded_join(&crowd.it); /* they look on while it ends, and after */
  atomic_store(&crowd.over, true);
  for (int i = 0; i < LOOKERS; i++)
    pthread_join(lookers[i], NULL);
  assert_int_equal(crowd.wrong, 0);
  assert_true(crowd.met > 0);
  embedded_fini(&crowd.it);
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
    cmocka_unit_test(a_session_is_found_tagged_and_cut),
    cmocka_unit_test(a_listing_holds_nobody_up),
    cmocka_unit_test(sessions_come_and_go_meanwhile),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
