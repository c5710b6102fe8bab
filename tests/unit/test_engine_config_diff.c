/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/config_diff.h"
#include <stdio.h>
#include <unistd.h>

static struct gg_config_errors errors;

static void load(struct gg_config *out, const char *words)
{
  char *copy = strdup(words), *arguments[64];
  int count = 0;
  char *left;
  for (char *word = strtok_r(copy, " ", &left); word; word = strtok_r(NULL, " ", &left))
    arguments[count++] = word;
  if (gg_config_load(out, count, arguments, 0, &errors) != 0)
    fail_msg("%s", errors.items[0].text);
  free(copy);
}

/* The lines that tell the way from one command line to another. */
static void expect(const char *from, const char *to, const char *expected)
{
  static struct gg_report report;
  static const char *const kinds[] = {"", "restart ", "warning ", "error "};
  struct gg_config a, b;
  char text[4096] = "";
  load(&a, from);
  load(&b, to);
  gg__report_clear(&report);
  assert_int_equal(gg__config_diff(&a, &b, &report), 0);
  for (size_t i = 0; i < report.count; i++) {
    size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, "%s%s\n", kinds[report.lines[i].kind], report.lines[i].text);
  }
  assert_string_equal(text, expected);
  gg_config_fini(&a);
  gg_config_fini(&b);
}

#define WEB "--listen 127.0.0.1:9000 --upstream 127.0.0.1:80 --name web"
#define SSH "--listen 127.0.0.1:9022 --upstream 127.0.0.1:22 --name ssh"

static void equal_ones_differ_in_nothing(void **state)
{
  (void)state;
  expect(WEB " " SSH " --workers 2", WEB " " SSH " --workers 2", "");
  expect(WEB " " SSH, SSH " " WEB, ""); /* their order is nothing that anybody sees */
}

static void options_are_told_with_what_they_need(void **state)
{
  (void)state;
  expect(WEB " --workers 2", WEB " --workers 4 --sessions-max 5",
         "restart workers: 2 -> 4 needs a restart\n"
         "sessions_max: 100000 -> 5\n");
  expect(WEB, WEB " --stats /tmp/x --timeouts-idle 5s --message-level debug",
         "timeouts.idle: 1d -> 5s\nmessage.level: info -> debug\nstats.file: not set -> /tmp/x\n");
  expect(WEB " --sync-mode always", WEB, "restart sync.mode: always -> interval needs a restart\n");
}

static void listeners_come_go_and_change(void **state)
{
  (void)state;
  expect(WEB, WEB " " SSH, "listener ssh: added at 127.0.0.1:9022, upstream 127.0.0.1:22\n");
  expect(WEB " " SSH, SSH, "listener web: removed, was at 127.0.0.1:9000\n");
  expect(WEB, WEB " --on-stall gap", "listener web: on_stall: block -> gap\n");
  expect(WEB, WEB " --record off " SSH " --record off",
         "listener web: record: full -> off\n"
         "warning listener web: new sessions are not recorded\n"
         "listener ssh: added at 127.0.0.1:9022, upstream 127.0.0.1:22\n"
         "warning listener ssh: new sessions are not recorded\n");
  expect(WEB " --record off", WEB " --record off", "");
  expect(WEB " --record off", WEB, "listener web: record: off -> full\n");
  expect(WEB, "--listen 127.0.0.1:9000 --upstream 127.0.0.1:80 --name www", "listener www: name: web -> www\n");
  expect("--listen 127.0.0.1:9000 --upstream 127.0.0.1:80 --proxy-protocol-in v1 --trusted ::1",
         "--listen 127.0.0.1:9000 --upstream 127.0.0.1:80 --proxy-protocol-in v1 --trusted ::1,10.0.0.0/8",
         "listener 127.0.0.1:9000: trusted: [\"::1\"] -> [\"::1\", \"10.0.0.0/8\"]\n");
}

static void port_zero_is_told_apart_by_name(void **state)
{
  (void)state;
  expect("--listen 127.0.0.1:0 --upstream none --name a", "--listen 127.0.0.1:0 --upstream none --name b",
         "listener a: removed, was at 127.0.0.1:0\nlistener b: added at 127.0.0.1:0, upstream none\n");
  expect("--listen 127.0.0.1:0 --upstream none --name a", "--listen 127.0.0.1:0 --upstream none --name a", "");
  expect("--listen unix:/tmp/x --upstream none --name a", "--listen unix:/tmp/x --upstream none --name a", "");
  expect("--listen unix:/tmp/x --upstream none --name a", "--listen unix:/tmp/y --upstream none --name a",
         "listener a: removed, was at unix:/tmp/x\nlistener a: added at unix:/tmp/y, upstream none\n");
}

/* A plug-in has no name in the configuration: an entry that asks for the same is the same. */
static void plugins_come_go_and_change(void **state)
{
  (void)state;
  expect(WEB " --plugin a.so", WEB " --plugin a.so", "");
  expect(WEB, WEB " --plugin a.so --plugin b.so", "plug-in a.so: added\nplug-in b.so: added\n");
  expect(WEB " --plugin a.so --plugin b.so", WEB " --plugin b.so", "plug-in a.so: removed\n");
  expect(WEB " --plugin a.so --plugin b.so", WEB " --plugin b.so --plugin a.so", "plug-ins: their order changed\n");
  expect(WEB " --plugin a.so", WEB " --plugin a.so --plugin-listeners web",
         "plug-in a.so: listeners: not set -> [\"web\"]\n");
  /* Of two with one path the one that stays is found, wherever it stands. */
  expect(WEB " --plugin a.so --plugin a.so --plugin-listeners web", WEB " --plugin a.so --plugin-listeners web",
         "plug-in a.so: removed\n");
}

/* What it is told may be a secret. */
static void the_config_of_a_plugin_is_not_shown(void **state)
{
  (void)state;
  char path[2][32];
  for (int i = 0; i < 2; i++) {
    snprintf(path[i], sizeof path[i], "/tmp/gg-diff-XXXXXX");
    int fd = mkstemp(path[i]);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "plugins: [{path: a.so, config: {token: hunter%d}}]\n", i) > 0);
    close(fd);
  }
  char from[200], to[200];
  snprintf(from, sizeof from, WEB " -c %s", path[0]);
  snprintf(to, sizeof to, WEB " -c %s", path[1]);
  expect(from, from, "");
  expect(from, to, "plug-in a.so: its config changed\n");
  expect(from, WEB " --plugin a.so", "plug-in a.so: its config changed\n");
  unlink(path[0]);
  unlink(path[1]);
}

static void a_report_has_a_bound(void **state)
{
  (void)state;
  static struct gg_report report;
  gg__report_clear(&report);
  for (int i = 0; i < GG_REPORT_LINES_MAX + 3; i++)
    gg__report_add(&report, i % 2 ? GG_REPORT_CHANGED : GG_REPORT_ERROR, "%d", i);
  assert_int_equal(report.count, GG_REPORT_LINES_MAX);
  assert_int_equal(report.left_out, 3);
  assert_int_equal(gg__report_count(&report, GG_REPORT_CHANGED), GG_REPORT_LINES_MAX / 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(equal_ones_differ_in_nothing), cmocka_unit_test(options_are_told_with_what_they_need),
    cmocka_unit_test(listeners_come_go_and_change), cmocka_unit_test(port_zero_is_told_apart_by_name),
    cmocka_unit_test(plugins_come_go_and_change),   cmocka_unit_test(the_config_of_a_plugin_is_not_shown),
    cmocka_unit_test(a_report_has_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
