/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_fixture.h"

#include "gateway/queue.h"

enum { WAITING = 30 };

static struct echo echo;

/* What the gateway tells of a listener, after asking the kernel; false: it tells nothing of it. */
static bool told(struct fixture *f, struct gg_shard *shard, const char *name, struct gg_accept_queue *out)
{
  gg_plane_collect(f->plane, shard);
  for (size_t i = 0; gg_metrics_family(f->metrics, i); i++) {
    const struct gg_metric_family *family = gg_metrics_family(f->metrics, i);
    if (strcmp(family->table[0].name, "listener_accept_queue_clients") != 0)
      continue;
    assert_true(family->member_count <= GG_QUEUES_MAX);
    for (size_t member = 0; member < family->member_count; member++) {
      struct gg_reading readings[GG_QUEUE_COUNTERS];
      if (strcmp(family->values[member], name) != 0)
        continue;
      for (size_t j = 0; j < GG_QUEUE_COUNTERS; j++)
        assert_int_equal(gg_metrics_read_member(f->metrics, i, member, j, &readings[j]), 0);
      *out = (struct gg_accept_queue){readings[0].value, readings[1].value, readings[2].value};
      return true;
    }
  }
  return false;
}

static uint64_t kernel_limit(void)
{
  FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
  unsigned long most = 0;
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%lu", &most), 1);
  fclose(file);
  return most < GG_BACKLOG ? most : GG_BACKLOG;
}

static struct gg_endpoint unix_endpoint(const struct fixture *f)
{
  struct gg_endpoint endpoint = {.family = GG_FAMILY_UNIX};
  snprintf(endpoint.path, sizeof endpoint.path, "%s/in", f->base);
  return endpoint;
}

/* Nobody accepts yet: the workers have not begun. */
static void who_waits_is_told(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_shard *shard;
  struct gg_accept_queue queue;
  int clients[WAITING];
  fixture_init(&f, &echo);
  add_listener(&f, "web", loopback(0));
  add_listener(&f, "quiet", loopback(0));
  add_listener(&f, "unix", unix_endpoint(&f));
  fixture_create(&f);
  assert_int_equal(gg_metrics_shard(f.metrics, &shard), 0);
  struct gg_endpoint web = where(&f, 0), path = where(&f, 2);
  int unix_client = dial(&path);
  assert_true(unix_client >= 0);
  for (int i = 0; i < WAITING; i++) {
    clients[i] = dial(&web);
    assert_true(clients[i] >= 0);
    assert_true(told(&f, shard, "web", &queue));
    assert_int_equal(queue.waiting, i + 1);
    assert_true(queue.longest <= queue.waiting && 2 * queue.longest >= queue.waiting);
    assert_int_equal(queue.limit, kernel_limit());
  }
  assert_true(told(&f, shard, "quiet", &queue));
  assert_true(queue.waiting == 0 && queue.longest == 0 && queue.limit == kernel_limit());
  assert_false(told(&f, shard, "unix", &queue));
  assert_int_equal(gg_recorder_start(f.recorder, &f.failure), 0);
  assert_int_equal(gg_plane_start(f.plane, &f.failure), 0);
  for (int i = 0; i < WAITING; i++) {
    assert_int_equal(ask(clients[i]), 0);
    close(clients[i]);
  }
  assert_int_equal(ask(unix_client), 0);
  close(unix_client);
  assert_true(told(&f, shard, "web", &queue));
  assert_true(queue.waiting == 0 && queue.longest == 0 && queue.limit == kernel_limit());
  fixture_fini(&f);
}

/* One that is gone has no queue, and its place is another's when there are many. */
static void names_come_and_go(void **state)
{
  (void)state;
  struct fixture f;
  struct gg_shard *shard;
  struct gg_accept_queue queue;
  char name[2][24];
  fixture_init(&f, &echo);
  add_listener(&f, "stays", loopback(0));
  fixture_start(&f);
  assert_int_equal(gg_metrics_shard(f.metrics, &shard), 0);
  for (unsigned i = 0; i < 2 * GG_QUEUES_MAX; i++) {
    snprintf(name[i % 2], sizeof name[0], "n%u", i);
    f.options.listener_count = 1;
    add_listener(&f, name[i % 2], loopback(0));
    reload(&f);
    assert_true(told(&f, shard, name[i % 2], &queue));
    assert_int_equal(queue.limit, kernel_limit());
    assert_true(told(&f, shard, "stays", &queue));
    assert_int_equal(queue.limit, kernel_limit());
    if (i > 0 && told(&f, shard, name[(i + 1) % 2], &queue))
      assert_true(queue.waiting == 0 && queue.longest == 0 && queue.limit == 0);
  }
  gg_plane_drain(f.plane, gg_clock_mono_ns() + 20 * GG_NS_PER_S);
  gg_plane_join(f.plane);
  assert_true(told(&f, shard, "stays", &queue));
  assert_int_equal(queue.limit, 0);
  fixture_fini(&f);
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
    cmocka_unit_test(who_waits_is_told),
    cmocka_unit_test(names_come_and_go),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
