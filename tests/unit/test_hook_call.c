/* SPDX-License-Identifier: Apache-2.0 */
/* Chains and calls: who is asked, in which order, whose verdict counts, and that each call is counted and timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/output.h"
#include "hook_fixture.h"

#include <gogetway/decoder.h>

enum { HOOKS = 3, LOG_MAX = 64 };

/* Three plug-ins, 'a' to 'c', write down their names when they are called, and give the verdicts that are set. The
 * clock moves by what is set whenever a plug-in is called. */
static struct {
  char called[LOG_MAX];
  enum gg_verdict_kind verdict[HOOKS];
  uint64_t takes_ns;
} plan;

static uint64_t clock_ns = 1000;
uint64_t __wrap_gg_clock_mono_ns(void);
uint64_t __wrap_gg_clock_mono_ns(void)
{
  return clock_ns;
}

static size_t index_of(void *self)
{
  return (size_t)(gg_hook_of(self)->name[0] - 'a');
}

static enum gg_verdict_kind called(void *self)
{
  size_t length = strlen(plan.called);
  assert_true(length + 1 < LOG_MAX);
  plan.called[length] = (char)('a' + index_of(self));
  clock_ns += plan.takes_ns;
  return plan.verdict[index_of(self)];
}

static enum gg_verdict_kind on_accept(void *self, const struct gg_arrival *arrival)
{
  assert_string_equal(arrival->listener, "web");
  return called(self);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)session;
  open->verdict.kind = called(self);
  open->record_first++;
}

static void on_first(void *self, struct gg_live *session, const uint8_t *bytes, size_t length, struct gg_open *open)
{
  (void)session;
  assert_memory_equal(bytes, "GET", length);
  open->verdict.kind = called(self);
}

static enum gg_verdict_kind on_connect(void *self, struct gg_live *session, const char *name, const char *address)
{
  (void)session;
  assert_string_equal(name, "up");
  assert_string_equal(address, "127.0.0.1:80");
  return called(self);
}

static void on_connected(void *self, struct gg_live *session, const char *name)
{
  (void)session;
  assert_string_equal(name, "up");
  called(self);
}

static void on_failed(void *self, struct gg_live *session, const char *name, const char *reason)
{
  (void)session;
  (void)name;
  assert_string_equal(reason, "connect-refused");
  called(self);
}

static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  (void)session;
  assert_true(from == GG_SIDE_SERVER && bytes == 77);
  called(self);
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  (void)session;
  assert_int_equal(data->length, 3);
  verdict->kind = called(self);
}

static void on_message(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict)
{
  (void)session;
  assert_int_equal(spoken->from, GG_SIDE_SERVER);
  verdict->kind = called(self);
}

static void on_rewrite(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output)
{
  const struct gg_host *host = self;
  (void)session;
  called(self);
  assert_int_equal(host->emit(host, output, data->bytes, data->length), 0);
  assert_int_equal(host->emit(host, output, "!", 1), 0);
}

static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  (void)session;
  called(self);
  piece->bytes[0] = 'x';
  return 7; /* more than it may */
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  (void)session;
  assert_string_equal(summary->close, "client-fin");
  called(self);
}

struct chained {
  struct hook_fixture f;
  struct gg_hook *hooks[HOOKS];
  struct gg_hook_chain *chain;
};

/* All three have all operations; `lacks` of the second one has not. */
static void make(struct chained *c, void (*lacks)(struct gg_plugin *))
{
  static const char *const names[HOOKS] = {"a", "b", "c"};
  memset(&plan, 0, sizeof plan);
  hook_fixture_make(&c->f);
  for (size_t i = 0; i < HOOKS; i++) {
    struct gg_plugin table = {
      GG_PLUGIN_HEAD,        .name = names[i],      .accept = on_accept,   .open = on_open,
      .first = on_first,     .connect = on_connect, .failed = on_failed,   .connected = on_connected,
      .count = on_count,     .gate = on_gate,       .message = on_message, .message_abi = GG_DECODER_ABI,
      .rewrite = on_rewrite, .mask = on_mask,       .mask_longest = 3,     .close = on_close};
    if (i == 1 && lacks)
      lacks(&table);
    c->hooks[i] = hook_fixture_hook(&c->f, &table);
  }
  c->chain = gg_hook_chain_create(c->hooks, HOOKS);
  assert_non_null(c->chain);
}

static void unmake(struct chained *c)
{
  gg_hook_chain_unref(c->chain);
  for (size_t i = 0; i < HOOKS; i++)
    gg_hook_unref(c->hooks[i]);
  hook_fixture_unmake(&c->f);
}

/* What was called since the last look. */
static void were_called(const char *expected)
{
  assert_string_equal(plan.called, expected);
  memset(plan.called, 0, sizeof plan.called);
}

static void counted(const struct gg_hook *hook, enum gg_hook_point point, uint64_t calls, uint64_t ns)
{
  struct gg_hook_reading reading;
  gg_hook_read(hook, point, &reading);
  assert_int_equal(reading.calls, calls);
  assert_int_equal(reading.ns, ns);
}

static const struct gg_arrival arrival = {.size = sizeof arrival, .listener = "web", .peer = "192.0.2.1:4000"};

static void all_are_asked_in_order(void **state)
{
  struct chained c;
  const struct gg_hook *by = (void *)&c;
  const struct gg_session_summary summary = {.size = sizeof summary, .close = "client-fin", .reason = ""};
  const struct gg_data data = {.size = sizeof data, .bytes = (const uint8_t *)"GET", .length = 3};
  struct gg_verdict verdict = {0};
  struct gg_open open = {.size = sizeof open};
  (void)state;
  make(&c, NULL);
  plan.takes_ns = 5;
  assert_int_equal(gg_hook_accept(c.chain, c.f.shard, &arrival, &by), GG_VERDICT_PASS);
  assert_null(by);
  were_called("abc");
  gg_hook_open(c.chain, c.f.shard, NULL, &open, &by);
  assert_int_equal(open.record_first, 3); /* each found what those before it have said */
  were_called("abc");
  gg_hook_first(c.chain, c.f.shard, NULL, (const uint8_t *)"GET", 3, &open, &by);
  were_called("abc");
  assert_int_equal(gg_hook_connect(c.chain, c.f.shard, NULL, "up", "127.0.0.1:80"), GG_VERDICT_PASS);
  gg_hook_failed(c.chain, c.f.shard, NULL, "up", "connect-refused");
  gg_hook_connected(c.chain, c.f.shard, NULL, "up");
  were_called("abcabcabc");
  gg_hook_count(c.hooks[1], c.f.shard, NULL, GG_SIDE_SERVER, 77);
  plan.verdict[2] = GG_VERDICT_DIVERT; /* what a gate says is for the data plane */
  gg_hook_gate(c.hooks[2], c.f.shard, NULL, &data, &verdict);
  assert_int_equal(verdict.kind, GG_VERDICT_DIVERT);
  were_called("bc");
  const struct gg_spoken spoken = {.size = sizeof spoken, .from = GG_SIDE_SERVER};
  gg_hook_message(c.hooks[2], c.f.shard, NULL, &spoken, &verdict);
  assert_int_equal(verdict.kind, GG_VERDICT_DIVERT);
  plan.verdict[2] = GG_VERDICT_HOLD; /* which is not about a message */
  gg_hook_message(c.hooks[2], c.f.shard, NULL, &spoken, &verdict);
  assert_int_equal(verdict.kind, GG_VERDICT_CLOSE);
  were_called("cc");
  struct gg_output output = {.most = 16};
  gg_hook_rewrite(c.hooks[0], c.f.shard, NULL, &data, &output);
  were_called("a");
  assert_int_equal(output.length, 4);
  assert_memory_equal(output.bytes, "GET!", 4);
  gg_output_fini(&output);
  uint8_t secret[] = {'G', 'E', 'T'};
  struct gg_mask piece = {.size = sizeof piece, .bytes = secret, .length = sizeof secret};
  assert_int_equal(gg_hook_mask(c.hooks[2], c.f.shard, NULL, &piece), 2);
  assert_int_equal(secret[0], 'x');
  were_called("c");
  gg_hook_close(c.chain, c.f.shard, NULL, &summary);
  were_called("abc");
  for (size_t i = 0; i < HOOKS; i++)
    for (unsigned point = 0; point < GG__HOOK_WORKER_POINTS; point++) {
      bool last = point == GG_HOOK_GATE || point == GG_HOOK_MASK;
      uint64_t calls = point == GG_HOOK_COUNT ? i == 1 : point == GG_HOOK_REWRITE ? i == 0 : !last || i == 2;
      calls = point == GG_HOOK_MESSAGE ? 2 * (i == 2) : calls;
      counted(c.hooks[i], point, calls, 5 * calls);
    }
  unmake(&c);
}

static void a_verdict_ends_the_asking(void **state)
{
  struct chained c;
  const struct gg_hook *by;
  struct gg_open open = {.size = sizeof open};
  (void)state;
  make(&c, NULL);
  plan.verdict[1] = GG_VERDICT_TARPIT;
  assert_int_equal(gg_hook_accept(c.chain, c.f.shard, &arrival, &by), GG_VERDICT_TARPIT);
  assert_ptr_equal(by, c.hooks[1]);
  were_called("ab");
  plan.verdict[1] = GG_VERDICT_REPLY;
  gg_hook_open(c.chain, c.f.shard, NULL, &open, &by);
  assert_int_equal(open.verdict.kind, GG_VERDICT_REPLY);
  assert_ptr_equal(by, c.hooks[1]);
  were_called("abc"); /* who only watches sees it, too */
  open = (struct gg_open){.size = sizeof open};
  gg_hook_first(c.chain, c.f.shard, NULL, (const uint8_t *)"", 0, &open, &by);
  assert_int_equal(open.verdict.kind, GG_VERDICT_REPLY);
  assert_ptr_equal(by, c.hooks[1]);
  were_called("abc");
  plan.verdict[1] = GG_VERDICT_CLOSE;
  assert_int_equal(gg_hook_connect(c.chain, c.f.shard, NULL, "up", "127.0.0.1:80"), GG_VERDICT_CLOSE);
  were_called("ab");
  unmake(&c);
}

static void a_verdict_that_cannot_be_there_closes(void **state)
{
  struct chained c;
  const struct gg_hook *by;
  struct gg_open open = {.size = sizeof open};
  (void)state;
  make(&c, NULL);
  plan.verdict[0] = GG_VERDICT_REPLY; /* to a connection for which nothing was made */
  assert_int_equal(gg_hook_accept(c.chain, c.f.shard, &arrival, &by), GG_VERDICT_CLOSE);
  assert_ptr_equal(by, c.hooks[0]);
  plan.verdict[0] = GG_VERDICT_HOLD;
  gg_hook_open(c.chain, c.f.shard, NULL, &open, &by);
  assert_int_equal(open.verdict.kind, GG_VERDICT_CLOSE);
  plan.verdict[0] = (enum gg_verdict_kind)99;
  assert_int_equal(gg_hook_connect(c.chain, c.f.shard, NULL, "up", "127.0.0.1:80"), GG_VERDICT_CLOSE);
  were_called("aabca");
  assert_true(hook_fixture_was_told(&c.f, "\"plugin\":\"a\",\"hook\":\"accept\",\"verdict\":5"));
  assert_true(hook_fixture_was_told(&c.f, "\"plugin\":\"a\",\"hook\":\"connect\",\"verdict\":99"));
  unmake(&c);
}

static void lacks_all(struct gg_plugin *table)
{
  const struct gg_plugin bare = {GG_PLUGIN_HEAD, .name = table->name};
  *table = bare;
}

static void who_has_no_operation_is_passed_over(void **state)
{
  struct chained c;
  const struct gg_hook *by;
  struct gg_open open = {.size = sizeof open};
  const struct gg_session_summary summary = {.size = sizeof summary, .close = "client-fin", .reason = ""};
  (void)state;
  make(&c, lacks_all);
  gg_hook_accept(c.chain, c.f.shard, &arrival, &by);
  gg_hook_open(c.chain, c.f.shard, NULL, &open, &by);
  gg_hook_first(c.chain, c.f.shard, NULL, (const uint8_t *)"", 0, &open, &by);
  gg_hook_connect(c.chain, c.f.shard, NULL, "up", "127.0.0.1:80");
  gg_hook_connected(c.chain, c.f.shard, NULL, "up");
  gg_hook_failed(c.chain, c.f.shard, NULL, "up", "connect-refused");
  gg_hook_close(c.chain, c.f.shard, NULL, &summary);
  were_called("acacacacacacac");
  struct gg_hook_chain *bare = gg_hook_chain_create(&c.hooks[1], 1);
  for (unsigned point = 0; point < GG_HOOK_POINTS; point++) {
    assert_false(gg_hook_chain_has(bare, point));
    assert_false(gg_hook_chain_has(NULL, point));
    assert_int_equal(gg_hook_chain_has(c.chain, point), point < GG__HOOK_WORKER_POINTS);
  }
  gg_hook_chain_unref(bare);
  unmake(&c);
}

static void slow_is_told_now_and_then(void **state)
{
  struct chained c;
  struct gg_hook_reading reading;
  (void)state;
  make(&c, NULL);
  plan.takes_ns = GG_HOOK_SLOW_NS;
  gg_hook_count(c.hooks[0], c.f.shard, NULL, GG_SIDE_SERVER, 77);
  assert_false(hook_fixture_was_told(&c.f, "slow"));
  plan.takes_ns = GG_HOOK_SLOW_NS + 500000;
  gg_hook_count(c.hooks[0], c.f.shard, NULL, GG_SIDE_SERVER, 77);
  assert_true(hook_fixture_was_told(&c.f, "\"level\":\"warning\",\"event\":\"plug-in is slow\",\"plugin\":\"a\","
                                          "\"hook\":\"count\",\"milliseconds\":10.5,"));
  plan.takes_ns = GG_HOOK_SLOW_NS + 1000000;
  gg_hook_count(c.hooks[0], c.f.shard, NULL, GG_SIDE_SERVER, 77);
  assert_false(hook_fixture_was_told(&c.f, ":11,"));
  gg_hook_count(c.hooks[1], c.f.shard, NULL, GG_SIDE_SERVER, 77); /* each plug-in by itself */
  assert_true(hook_fixture_was_told(&c.f, "\"plugin\":\"b\",\"hook\":\"count\",\"milliseconds\":11,"));
  clock_ns += GG_HOOK_SLOW_TELL_NS;
  plan.takes_ns = GG_HOOK_SLOW_NS + 2000000;
  gg_hook_count(c.hooks[0], c.f.shard, NULL, GG_SIDE_SERVER, 77);
  assert_true(hook_fixture_was_told(&c.f, "\"plugin\":\"a\",\"hook\":\"count\",\"milliseconds\":12,"));
  gg_hook_read(c.hooks[0], GG_HOOK_COUNT, &reading);
  assert_int_equal(reading.calls, 4);
  assert_int_equal(reading.slow, 3);
  unmake(&c);
}

static void metrics_have_their_names(void **state)
{
  struct chained c;
  const struct gg_hook *by;
  size_t length;
  (void)state;
  make(&c, NULL);
  plan.takes_ns = 1500;
  gg_hook_accept(c.chain, c.f.shard, &arrival, &by);
  char *text = gg_metrics_text(c.f.metrics, &length);
  assert_non_null(text);
  assert_non_null(strstr(text, "\ngogetway_plugin_calls_total{plugin=\"b\",hook=\"accept\"} 1\n"));
  assert_non_null(strstr(text, "\ngogetway_plugin_calls_total{plugin=\"b\",hook=\"command\"} 0\n"));
  assert_non_null(strstr(text, "\ngogetway_plugin_call_seconds_total{plugin=\"b\",hook=\"accept\"} 0.0000015\n"));
  assert_non_null(strstr(text, "\ngogetway_plugin_slow_calls_total{plugin=\"b\",hook=\"close\"} 0\n"));
  assert_null(strstr(text, "gogetway_plugin_slow_calls_total{plugin=\"b\",hook=\"tick\"}"));
  free(text);
  unmake(&c);
}

/* A worker's points are the first, and each has the text of its slot. */
static void points_have_texts(void **state)
{
  (void)state;
  assert_int_equal(GG__HOOK_WORKER_POINTS, GG_HOOK_CLOSE + 1);
  assert_string_equal(gg_hook_point_text(GG_HOOK_ACCEPT), "accept");
  assert_string_equal(gg_hook_point_text(GG_HOOK_COMMAND), "command");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(all_are_asked_in_order),
    cmocka_unit_test(a_verdict_ends_the_asking),
    cmocka_unit_test(a_verdict_that_cannot_be_there_closes),
    cmocka_unit_test(who_has_no_operation_is_passed_over),
    cmocka_unit_test(slow_is_told_now_and_then),
    cmocka_unit_test(metrics_have_their_names),
    cmocka_unit_test(points_have_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
