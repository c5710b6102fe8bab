/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/config.h"
#include <stdio.h>
#include <unistd.h>

static struct gg_config_errors errors;

static int load(struct gg_config *config, int argc, const char *const *argv)
{
  return gg_config_load(config, argc, (char *const *)(uintptr_t)argv, 0, &errors);
}

#define LOAD(config, ...)                                                                                              \
  load(config, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), (const char *const[]){__VA_ARGS__})

/* A file with this text; the caller unlinks it. */
static char *make_file(const char *text)
{
  char *path = strdup("/tmp/gg-config-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  return path;
}

static void drop_file(char *path)
{
  unlink(path);
  free(path);
}

static void check_loaded(int rc)
{
  if (rc != 0)
    fail_msg("%s", errors.count ? errors.items[0].text : "no error was told");
  assert_int_equal(errors.count, 0);
}

static void the_command_line_is_enough(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--listen", "127.0.0.1:9000", "--upstream", "127.0.0.1:80", "--dir", "rec"));
  assert_int_equal(config.action, GG_CONFIG_RUN);
  assert_string_equal(config.dir, "rec");
  assert_int_equal(config.listener_count, 1);
  const struct gg_config_listener *listener = &config.listeners[0];
  assert_string_equal(listener->name, "127.0.0.1:9000");
  assert_int_equal(listener->upstream_count, 1);
  assert_int_equal(listener->listen_endpoint.port, 9000);
  assert_int_equal(listener->upstreams[0].endpoint.family, GG_FAMILY_IPV4);
  assert_int_equal(listener->on_stall, GG_CONFIG_BLOCK);
  assert_int_equal(listener->unix_mode, 0660);
  gg_config_fini(&config);
  gg_config_fini(&config);
  gg_config_fini(NULL);
}

static void defaults_are_the_documented_ones(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--listen=:1", "--upstream=none"));
  assert_string_equal(config.dir, "./gogetway-data");
  assert_int_equal(config.workers, 0);
  assert_true(gg_config_workers(&config) >= 1 && gg_config_workers(&config) <= GG_CONFIG_WORKERS_MAX);
  assert_int_equal(config.relay.splice, GG_CONFIG_SPLICE_AUTO);
  assert_int_equal(config.log.ring_bytes, 2 << 20);
  assert_int_equal(config.log.max_bytes, 256 << 20);
  assert_string_equal(config.log.dir, "/dev/shm");
  assert_int_equal(config.log.flush_interval_ns, 1000000000);
  assert_int_equal(config.segment.max_bytes, 1 << 30);
  assert_true(config.segment.max_age_ns == UINT64_C(3600000000000));
  assert_int_equal(config.sync.mode, GG_CONFIG_SYNC_INTERVAL);
  assert_int_equal(config.sync.interval_ns, 1000000000);
  assert_int_equal(config.message.level, GG_LEVEL_INFO);
  assert_int_equal(config.message.format, GG_LOGGER_AUTO);
  assert_null(config.stats.file);
  assert_int_equal(config.listeners[0].upstream_count, 0);
  assert_string_equal(config.listeners[0].upstream_text, "none");
  assert_int_equal(config.listeners[0].balance, GG_CONFIG_ROUND_ROBIN);
  assert_int_equal(config.listeners[0].health_failures, 3);
  assert_true(config.listeners[0].health_out_ns == UINT64_C(10000000000));
  assert_true(config.listeners[0].health_out_max_ns == UINT64_C(300000000000));
  assert_int_equal(config.listeners[0].check_interval_ns, 0);
  assert_int_equal(config.listeners[0].check_timeout_ns, 2000000000);
  assert_int_equal(config.listeners[0].slow_start_ns, 0);
  assert_int_equal(config.listeners[0].connect_tries, 0);
  gg_config_fini(&config);
}

static void each_listen_begins_a_listener(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--listen", ":1", "--upstream", "db:5432", "--on-stall", "gap", "--listen", "unix:/tmp/s",
                    "--upstream", "none", "--greeting", "hi\\r\\n", "--name", "trap", "--workers", "3", "--listen",
                    "[::1]:2", "--upstream", "unix:/run/x", "--proxy-protocol-in", "any", "--trusted",
                    "10.0.0.0/8,fd00::/8", "--proxy-protocol-out", "v2", "--unix-mode", "0600"));
  assert_int_equal(config.listener_count, 3);
  assert_int_equal(config.listeners[0].on_stall, GG_CONFIG_GAP);
  assert_int_equal(config.listeners[1].on_stall, GG_CONFIG_BLOCK);
  assert_string_equal(config.listeners[0].upstreams[0].endpoint.host, "db");
  assert_string_equal(config.listeners[1].name, "trap");
  assert_int_equal(config.listeners[1].greeting.length, 4);
  assert_memory_equal(config.listeners[1].greeting.bytes, "hi\r\n", 4);
  const struct gg_config_listener *last = &config.listeners[2];
  assert_int_equal(last->proxy_protocol_in, GG_CONFIG_PROXY_ANY);
  assert_int_equal(last->proxy_protocol_out, GG_CONFIG_PROXY_V2);
  assert_int_equal(last->trusted.count, 2);
  assert_int_equal(last->trusted_networks[1].prefix, 8);
  assert_int_equal(last->trusted_networks[1].base.family, GG_FAMILY_IPV6);
  assert_int_equal(last->unix_mode, 0600);
  assert_int_equal(config.workers, 3);
  assert_int_equal(gg_config_workers(&config), 3);
  gg_config_fini(&config);
}

static void later_goes_over_earlier(void **state)
{
  (void)state;
  struct gg_config config;
  char *first = make_file("dir: one\nworkers: 1\nlog: {ring: 1MiB}\nlisteners: [{listen: ':1', upstream: none}]\n");
  char *second = make_file("dir: two\nlog: {max: 8MiB}\nlisteners: [{listen: ':2', upstream: none}]\n");
  assert_int_equal(setenv("GOGETWAY_DIR", "from-environment", 1), 0);
  check_loaded(LOAD(&config, "--workers", "5", "-c", first, "-c", second));
  assert_string_equal(config.dir, "two");
  assert_int_equal(config.workers, 5);
  assert_int_equal(config.log.ring_bytes, 1 << 20);
  assert_int_equal(config.log.max_bytes, 8 << 20);
  assert_int_equal(config.listener_count, 1);
  assert_string_equal(config.listeners[0].listen, ":2");
  gg_config_fini(&config);
  check_loaded(LOAD(&config, "--listen", ":3", "--upstream", "none", "-c", first, "--dir=three"));
  assert_string_equal(config.dir, "three");
  assert_int_equal(config.listener_count, 1);
  assert_string_equal(config.listeners[0].listen, ":3");
  gg_config_fini(&config);
  check_loaded(LOAD(&config, "--listen", ":3", "--upstream", "none"));
  assert_string_equal(config.dir, "from-environment");
  gg_config_fini(&config);
  assert_int_equal(setenv("GOGETWAY_DIR", "\xFF", 1), 0);
  assert_int_equal(LOAD(&config, "--listen", ":3", "--upstream", "none"), GG_ERR_FORMAT);
  assert_string_equal(errors.items[0].text, "GOGETWAY_DIR: the value is not valid UTF-8");
  unsetenv("GOGETWAY_DIR");
  drop_file(first);
  drop_file(second);
}

static void actions_are_recognised(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--check-config", "--listen=:1", "--upstream=none"));
  assert_int_equal(config.action, GG_CONFIG_CHECK);
  gg_config_fini(&config);
  check_loaded(LOAD(&config, "--print-config"));
  assert_int_equal(config.action, GG_CONFIG_PRINT);
  gg_config_fini(&config);
  check_loaded(LOAD(&config, "--help", "--nonsense"));
  assert_int_equal(config.action, GG_CONFIG_HELP);
  gg_config_fini(&config);
}

/* Loads a file with --check-config and wants exactly these errors, one a line, with the file's name cut off. */
static void check_file_errors(const char *text, const char *wanted)
{
  struct gg_config config;
  char got[64 * 520] = "";
  size_t used = 0;
  char *path = make_file(text);
  int rc = LOAD(&config, "--check-config", "-c", path);
  for (size_t i = 0; i < errors.count; i++) {
    const char *at = errors.items[i].text;
    if (strncmp(at, path, strlen(path)) == 0)
      at += strlen(path) + 1;
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%.510s", i ? "\n" : "", at);
  }
  assert_string_equal(got, wanted);
  assert_int_equal(rc, GG_ERR_FORMAT);
  assert_null(config.dir);
  assert_null(config.listeners);
  drop_file(path);
}

static void wrong_files_are_told_whole(void **state)
{
  (void)state;
  check_file_errors("dri: x\n"
                    "workers: 65\n"
                    "listeners:\n"
                    "  - listen: 9000\n"
                    "    upstream: host\n"
                    "    on_stall: wait\n"
                    "    trusted: [10.0.0.1/8]\n"
                    "    name: two words\n"
                    "    unix_mode: 0999\n"
                    "  - listen: ':1'\n"
                    "log:\n"
                    "  max: 1\n"
                    "timeouts:\n"
                    "  conect: 1s\n",
                    "1:1: unknown option 'dri'; did you mean 'dir'?\n"
                    "2:10: workers: 65 is outside the range from 0 to 64\n"
                    "4:13: listen: '9000' is not an address: write host:port, [v6]:port, :port or unix:PATH\n"
                    "5:15: upstream: 'host' is not an address: write host:port, [v6]:port, :port or unix:PATH\n"
                    "6:15: on_stall: 'wait' is not one of block, gap, close\n"
                    "7:15: trusted: '10.0.0.1/8' has bits set after its prefix of 8\n"
                    "8:11: name: 'two words' is not a name: letters, digits and any of . _ : @ / [ ] - make one\n"
                    "9:16: unix_mode: '0999' is not a mode: write permission bits in octal, like 0660\n"
                    "10:5: the listener has no 'upstream'\n"
                    "12:8: log.max: 1 is outside the range from 256KiB to 64GiB\n"
                    "14:3: unknown option 'timeouts.conect'; did you mean 'timeouts.connect'?");
}

static void combinations_are_judged(void **state)
{
  (void)state;
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: 'h:1', greeting: hi}\n"
                    "  - {listen: ':2', upstream: none, proxy_protocol_out: v1}\n"
                    "  - {listen: ':3', upstream: none, proxy_protocol_in: v1}\n"
                    "  - {listen: ':4', upstream: none, trusted: 10.0.0.0/8}\n"
                    "  - {listen: 'unix:/x', upstream: none, proxy_protocol_in: v1}\n",
                    "2:5: a greeting is sent only with 'upstream: none'\n"
                    "3:5: proxy_protocol_out needs an upstream\n"
                    "4:5: proxy_protocol_in needs 'trusted': the networks whose header is believed\n"
                    "5:5: trusted has no effect while proxy_protocol_in is off");
  check_file_errors("log: {ring: 4MiB, max: 2MiB}\nsegment: {max_age: 1ns}\n",
                    "there is no listener: give --listen ADDR --upstream ADDR, or 'listeners:' in a file\n"
                    "1:13: log.ring is larger than log.max, which is the limit of all rings together\n"
                    "2:20: segment.max_age is below 100ms; 0 means by size only");
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: none, name: a}\n"
                    "  - {listen: '[::]:1', upstream: none, name: b}\n"
                    "  - {listen: ':2', upstream: none, name: a}\n"
                    "  - {listen: '127.0.0.1:0', upstream: none, name: c}\n"
                    "  - {listen: '127.0.0.1:0', upstream: none, name: d}\n",
                    "3:14: two listeners listen on [::]:1\n"
                    "4:42: two listeners are called 'a'");
}

/* One run tells what is wrong by itself and what is wrong together, each at its place. */
static void combinations_are_judged_beside_other_errors(void **state)
{
  (void)state;
  check_file_errors("workers: 100\n"
                    "log: {ring: 1GiB, max: 1MiB}\n"
                    "listeners:\n"
                    "  - {listen: ':1', upstream: none, name: x}\n"
                    "  - {listen: ':1', upstream: none, name: x}\n",
                    "1:10: workers: 100 is outside the range from 0 to 64\n"
                    "2:13: log.ring is larger than log.max, which is the limit of all rings together\n"
                    "5:14: two listeners listen on :1\n"
                    "5:42: two listeners are called 'x'");
  /* What was refused is not judged: its field has not what the user meant. */
  check_file_errors("log: {ring: 1GiB, max: 1}\n"
                    "listeners:\n"
                    "  - {listen: x, upstream: none, name: 'a b'}\n"
                    "  - {listen: x, upstream: none, name: 'a b'}\n"
                    "  - {upstream: none}\n",
                    "1:24: log.max: 1 is outside the range from 256KiB to 64GiB\n"
                    "3:14: listen: 'x' is not an address: write host:port, [v6]:port, :port or unix:PATH\n"
                    "3:39: name: 'a b' is not a name: letters, digits and any of . _ : @ / [ ] - make one\n"
                    "4:14: listen: 'x' is not an address: write host:port, [v6]:port, :port or unix:PATH\n"
                    "4:39: name: 'a b' is not a name: letters, digits and any of . _ : @ / [ ] - make one\n"
                    "5:5: the listener has no 'listen'");
  /* Nor is anything after a file that ends in the middle, or the lack of what may have been misspelt. */
  check_file_errors("log: {ring: 1GiB, max: 1MiB}\nlisteners: [\n",
                    "3:1: did not find expected node content while parsing a flow node");
  check_file_errors("listners: []\n", "1:1: unknown option 'listners'; did you mean 'listeners'?");
  check_file_errors("workers: 65\n",
                    "1:10: workers: 65 is outside the range from 0 to 64\n"
                    "there is no listener: give --listen ADDR --upstream ADDR, or 'listeners:' in a file");
}

static void what_is_not_recorded_needs_an_upstream_and_no_log(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--workers=8", "--log-max=2MiB", "--log-ring=1MiB", "--listen=:1", "--upstream=:80",
                    "--listen=:2", "--upstream=:81", "--on-full=gap", "--record=off"));
  assert_int_equal(config.listeners[0].record, GG_CONFIG_RECORD_FULL);
  assert_int_equal(config.listeners[1].record, GG_CONFIG_RECORD_OFF);
  gg_config_fini(&config);
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: none, record: off}\n"
                    "  - {listen: ':2', upstream: ':80', record: none}\n",
                    "2:5: record: off with 'upstream: none' would neither record nor send on a byte\n"
                    "3:45: record: 'none' is not one of full, off");
}

static void limits_are_judged_against_the_workers(void **state)
{
  (void)state;
  struct gg_config config;
  check_file_errors("workers: 8\n"
                    "log: {ring: 256KiB, max: 3MiB}\n"
                    "relay: {pending_total: 39MiB}\n"
                    "listeners:\n"
                    "  - {listen: ':1', upstream: none}\n"
                    "  - {listen: ':2', upstream: none, on_full: close}\n",
                    "2:26: log.max is too small for 16 rings of 256KiB, one for each of 8 workers and each way to "
                    "stall: at least 4MiB is needed\n"
                    "3:24: relay.pending_total is too small for 8 workers, each of which takes 5MiB at the least: at "
                    "least 40MiB is needed");
  check_loaded(LOAD(&config, "--workers=8", "--log-max=2MiB", "--relay-pending-total=40MiB", "--listen=:1",
                    "--upstream=none", "--listen=:2", "--upstream=none"));
  gg_config_fini(&config);
  assert_int_equal(LOAD(&config, "--workers=8", "--log-max=1MiB", "--log-ring=1MiB", "--listen=:1", "--upstream=none"),
                   GG_ERR_FORMAT);
  assert_int_equal(errors.count, 1);
  assert_non_null(strstr(errors.items[0].text, "--log-max: log.max is too small for 8 rings"));
  assert_int_equal(LOAD(&config, "--workers=64", "--listen=:1", "--upstream=none", "--log-max=2MiB"), GG_ERR_FORMAT);
  assert_int_equal(errors.count, 1);
}

static void a_doubled_flag_is_refused(void **state)
{
  (void)state;
  struct gg_config config;
  assert_int_equal(LOAD(&config, "--listen=:1", "--upstream", "none", "--upstream", "127.0.0.1:80", "--dir=a",
                        "--dir=b", "--listen=:1", "--upstream=none", "--trusted=::1", "--trusted=::2",
                        "--proxy-protocol-in=v1"),
                   GG_ERR_FORMAT);
  assert_int_equal(errors.count, 3);
  assert_string_equal(errors.items[0].text, "--dir: was already given");
  assert_string_equal(errors.items[1].text, "--listen :1: 'none' cannot stand among other upstreams");
  assert_string_equal(errors.items[2].text, "--listen: two listeners listen on :1");
}

static void check_upstream(const struct gg_config_upstream *upstream, const char *name, unsigned weight, bool backup)
{
  assert_string_equal(upstream->name, name);
  assert_int_equal(upstream->weight, weight);
  assert_int_equal(upstream->backup, backup);
}

static void upstreams_are_lists(void **state)
{
  (void)state;
  struct gg_config config;
  char *path =
    make_file("listeners:\n"
              "  - listen: ':1'\n"
              "    upstream: [10.0.0.1:80 weight=3 name=a, 10.0.0.2:80, 'unix:/run/my app, too.sock backup']\n"
              "    balance: hash\n"
              "    slow_start: 3s\n"
              "  - listen: ':2'\n"
              "    upstream: unix:/run/name=x\n");
  check_loaded(LOAD(&config, "-c", path));
  assert_int_equal(config.listeners[0].upstream_count, 3);
  check_upstream(&config.listeners[0].upstreams[0], "a", 3, false);
  check_upstream(&config.listeners[0].upstreams[1], "10.0.0.2:80", 1, false);
  check_upstream(&config.listeners[0].upstreams[2], "unix:/run/my app, too.sock", 1, true);
  assert_string_equal(config.listeners[0].upstreams[2].endpoint.path, "/run/my app, too.sock");
  assert_int_equal(config.listeners[0].balance, GG_CONFIG_HASH);
  assert_int_equal(config.listeners[1].upstream_count, 1);
  assert_string_equal(config.listeners[1].upstreams[0].endpoint.path, "/run/name=x");
  gg_config_fini(&config);
  drop_file(path);
  check_loaded(LOAD(&config, "--listen", ":1", "--upstream", "unix:/a,b", "--upstream", " h:1  backup weight=256 ",
                    "--connect-tries=2", "--listen", ":2", "--upstream", "h:2"));
  assert_int_equal(config.listeners[0].upstream_count, 2);
  check_upstream(&config.listeners[0].upstreams[0], "unix:/a,b", 1, false);
  check_upstream(&config.listeners[0].upstreams[1], "h:1", 256, true);
  assert_int_equal(config.listeners[0].connect_tries, 2);
  assert_string_equal(config.listeners[0].upstream_text, "unix:/a,b,  h:1  backup weight=256 ");
  assert_int_equal(config.listeners[1].upstream_count, 1);
  gg_config_fini(&config);
}

static void wrong_upstreams_are_told(void **state)
{
  (void)state;
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: []}\n"
                    "  - {listen: ':2', upstream: [none, 'h:1']}\n"
                    "  - {listen: ':3', upstream: ['h:1', 'h:1 weight=2']}\n"
                    "  - {listen: ':4', upstream: ['h:1 name=a', 'h:2 name=a']}\n"
                    "  - {listen: ':5', upstream: 'h:1 weight=0'}\n"
                    "  - {listen: ':6', upstream: 'h:1 weight=257'}\n"
                    "  - {listen: ':7', upstream: 'h:1 wieght=2'}\n"
                    "  - {listen: ':8', upstream: 'h:1 backup backup'}\n"
                    "  - {listen: ':9', upstream: 'h:1 name='}\n"
                    "  - {listen: ':10', upstream: 'weight=3'}\n"
                    "  - {listen: ':11', upstream: 'h:1', health_out: 2s, health_out_max: 1s}\n"
                    "  - {listen: ':12', upstream: 'h:1', check_interval: 9ms}\n",
                    "2:5: upstream is an empty list\n"
                    "3:5: 'none' cannot stand among other upstreams\n"
                    "4:5: two upstreams are called 'h:1': give one a name=NAME\n"
                    "5:5: two upstreams are called 'a': give one a name=NAME\n"
                    "6:30: upstream: weight=0 is not a number from 1 to 256\n"
                    "7:30: upstream: weight=257 is not a number from 1 to 256\n"
                    "8:30: upstream: 'wieght=2' is not known: behind an address may stand weight=N, name=NAME and "
                    "backup\n"
                    "9:30: upstream: 'h:1 backup backup' has backup twice\n"
                    "10:30: upstream: '' is not a name: letters, digits and any of . _ : @ / [ ] - make one\n"
                    "11:31: upstream: 'weight=3' is not an address: write host:port, [v6]:port, :port or unix:PATH\n"
                    "12:5: health_out_max is below health_out, the shortest time that it may be\n"
                    "13:5: check_interval is below 10ms; 0 means no check");
}

static void free_ports_get_names_of_their_own(void **state)
{
  (void)state;
  struct gg_config config;
  check_loaded(LOAD(&config, "--listen=127.0.0.1:0", "--upstream=none", "--listen=127.0.0.1:0", "--upstream=none",
                    "--listen=127.0.0.1:0", "--upstream=none", "--listen=:9", "--upstream=none",
                    "--name=127.0.0.1:0-2"));
  assert_string_equal(config.listeners[0].name, "127.0.0.1:0");
  assert_string_equal(config.listeners[1].name, "127.0.0.1:0-3");
  assert_string_equal(config.listeners[2].name, "127.0.0.1:0-4");
  gg_config_fini(&config);
}

static void command_line_and_file_errors_come_together(void **state)
{
  (void)state;
  struct gg_config config;
  char *path = make_file("workers: x\n");
  assert_int_equal(LOAD(&config, "--wrong", "-c", path, "-c", "/nonexistent/file", "--log-max", "5"), GG_ERR_FORMAT);
  assert_int_equal(errors.count, 4);
  assert_string_equal(errors.items[0].text, "unknown option '--wrong'");
  assert_non_null(strstr(errors.items[1].text, ":1:10: workers: 'x' is not a whole number"));
  assert_string_equal(errors.items[2].text, "/nonexistent/file: No such file or directory");
  assert_string_equal(errors.items[3].text, "--log-max: 5 is outside the range from 256KiB to 64GiB");
  assert_int_equal(LOAD(&config, "-c", "/nonexistent/file"), GG_ERR_NOT_FOUND);
  drop_file(path);
}

static void what_is_printed_loads_again(void **state)
{
  (void)state;
  struct gg_config config, again;
  check_loaded(LOAD(&config, "--listen", ":1", "--upstream", "none", "--greeting", "\\xff\\r\\n\\\"", "--listen", ":2",
                    "--upstream", "db:1", "--proxy-protocol-in", "v2", "--trusted", "10.0.0.0/8", "--trusted", "::1",
                    "--timeouts-idle", "0", "--stats", "/tmp/a b", "--log-max", "1.5GiB", "--timeouts-connect",
                    "1500ms", "--listen", ":3", "--upstream", "a:1 weight=2 name=x", "--upstream", "unix:/a,b backup",
                    "--balance", "least-sessions", "--check-interval", "1s"));
  char *text = gg_config_print(&config);
  char *path = make_file(text);
  check_loaded(LOAD(&again, "-c", path));
  char *twice = gg_config_print(&again);
  assert_string_equal(text, twice);
  assert_int_equal(again.listeners[0].greeting.length, 4);
  assert_int_equal(again.listeners[1].trusted.count, 2);
  assert_string_equal(again.stats.file, "/tmp/a b");
  assert_true(again.timeouts.connect_ns == UINT64_C(1500000000));
  assert_non_null(strstr(text, "upstream: \"db:1\"\n"));
  assert_non_null(strstr(text, "upstream: [\"a:1 weight=2 name=x\", \"unix:/a,b backup\"]\n"));
  check_upstream(&again.listeners[2].upstreams[0], "x", 2, false);
  check_upstream(&again.listeners[2].upstreams[1], "unix:/a,b", 1, true);
  assert_int_equal(again.listeners[2].balance, GG_CONFIG_LEAST_SESSIONS);
  free(text);
  free(twice);
  drop_file(path);
  gg_config_fini(&config);
  gg_config_fini(&again);
}

/* --- plug-ins ---------------------------------------------------------------------------------------------------- */

static void plugins_are_a_list(void **state)
{
  (void)state;
  struct gg_config config;
  static const char text[] = "listeners:\n"
                             "  - {listen: ':1', upstream: none, name: web}\n"
                             "  - {listen: ':2', upstream: none}\n"
                             "plugins:\n"
                             "  - path: a.so\n"
                             "    listeners: [web]\n"
                             "    config:\n"
                             "      literals: [hunter2, '5']\n"
                             "      max_bytes: 64KiB\n"
                             "  - path: /b.so\n";
  char *path = make_file(text), place[100];
  check_loaded(LOAD(&config, "-c", path));
  assert_int_equal(config.plugin_count, 2);
  assert_string_equal(config.plugins[0].path, "a.so");
  assert_true(gg_config_plugin_sees(&config.plugins[0], &config.listeners[0]));
  assert_false(gg_config_plugin_sees(&config.plugins[0], &config.listeners[1]));
  assert_true(gg_config_plugin_sees(&config.plugins[1], &config.listeners[1]));
  assert_int_equal(gg_tree_count(config.plugins[0].config), 5);
  assert_string_equal(gg_tree_file(config.plugins[0].config), path);
  assert_null(config.plugins[1].config);
  snprintf(place, sizeof place, "%s:5:11", path);
  assert_string_equal(config.plugins[0].place, place);
  assert_int_equal(gg_config_plugin_equal(&config.plugins[0], &config.plugins[0]), 1);
  assert_int_equal(gg_config_plugin_equal(&config.plugins[0], &config.plugins[1]), 0);
  char *printed = gg_config_print(&config);
  assert_non_null(strstr(printed, "plugins:\n"
                                  "  - path: \"a.so\"\n"
                                  "    listeners: [\"web\"]\n"
                                  "    config: {literals: [hunter2, \"5\"], max_bytes: 64KiB}\n"
                                  "  - path: \"/b.so\"\n"));
  gg_config_fini(&config);
  drop_file(path);
  path = make_file(printed);
  check_loaded(LOAD(&config, "-c", path));
  char *twice = gg_config_print(&config);
  assert_string_equal(printed, twice);
  gg_config_fini(&config);
  free(printed);
  free(twice);
  /* Those of the command line replace those of the file. */
  check_loaded(LOAD(&config, "-c", path, "--plugin", "c.so", "--plugin-listeners", "web,:2", "--plugin=d.so"));
  assert_int_equal(config.plugin_count, 2);
  assert_string_equal(config.plugins[0].path, "c.so");
  assert_int_equal(config.plugins[0].listeners.count, 2);
  assert_null(config.plugins[0].config);
  assert_string_equal(config.plugins[0].place, "--plugin");
  assert_int_equal(config.plugins[1].listeners.count, 0);
  gg_config_fini(&config);
  drop_file(path);
}

static void wrong_plugins_are_told(void **state)
{
  (void)state;
  struct gg_config config;
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: none, name: db}\n"
                    "  - {listen: ':2', upstream: none, name: webshop}\n"
                    "plugins:\n"
                    "  - {path: a, listeners: [db, websohp, zzzzzz]}\n"
                    "  - {path: '', listeners: [x]}\n"
                    "  - {listeners: db, config: [1]}\n"
                    "  - {path: b, conifg: {x: y}}\n"
                    "  - c.so\n",
                    "6:12: path: the value is empty\n"
                    "7:29: config: takes a map, not a list\n"
                    "8:15: unknown option 'conifg' of a plug-in; did you mean 'config'?\n"
                    "9:5: a plug-in is a map of options");
  check_file_errors("listeners:\n"
                    "  - {listen: ':1', upstream: none, name: db}\n"
                    "  - {listen: ':2', upstream: none, name: webshop}\n"
                    "plugins:\n"
                    "  - {path: a, listeners: [db, websohp, zzzzzz]}\n"
                    "  - {path: '', listeners: [x]}\n",
                    "6:12: path: the value is empty\n"
                    "5:26: there is no listener 'websohp'; did you mean 'webshop'?\n"
                    "5:26: there is no listener 'zzzzzz'\n"
                    "6:27: there is no listener 'x'");
  /* A name that was refused may be the one that is meant. */
  check_file_errors("listeners: [{listen: ':1', upstream: none, name: 'a b'}]\n"
                    "plugins: [{path: a, listeners: [ab]}]\n",
                    "1:50: name: 'a b' is not a name: letters, digits and any of . _ : @ / [ ] - make one");
  assert_int_equal(LOAD(&config, "--listen=:1", "--upstream=none", "--name=web", "--plugin=a", "--plugin-listeners=wbe",
                        "--plugin-listeners=web"),
                   GG_ERR_FORMAT);
  assert_int_equal(errors.count, 1);
  assert_string_equal(errors.items[0].text, "--plugin-listeners: there is no listener 'wbe'; did you mean 'web'?");
  assert_int_equal(LOAD(&config, "--listen=:1", "--upstream=none", "--plugin-listeners=:1"), GG_ERR_FORMAT);
  assert_string_equal(errors.items[0].text, "--plugin-listeners: belongs to a plug-in: write it after its --plugin");
}

static void an_entry_has_a_path_or_a_script(void **state)
{
  (void)state;
  struct gg_config config;
  check_file_errors("listeners: [{listen: ':1', upstream: none}]\n"
                    "plugins:\n"
                    "  - {listeners: []}\n"
                    "  - {path: a.so, lua: a.lua}\n"
                    "  - {lua: a.lua, config: {on_error: close, script: b.lua}}\n",
                    "3:5: it needs 'path', a shared library, or 'lua', a script\n"
                    "4:5: it has 'path' and 'lua'; one of them says what it is\n"
                    "5:5: 'lua' and 'config.script' say the same");
  char *path = make_file("listeners: [{listen: ':1', upstream: none}]\n"
                         "plugin_dir: /there\n"
                         "plugins:\n"
                         "  - lua: 'my script.lua'\n"
                         "    config: {libraries: [io, os], on_error: close}\n"
                         "  - lua: b.lua\n"
                         "  - path: c.so\n");
  check_loaded(LOAD(&config, "-c", path));
  static const char *const options[] = {"{script: \"my script.lua\", libraries: [io, os], on_error: close}",
                                        "{script: \"b.lua\"}"};
  for (size_t i = 0; i < 2; i++) {
    char *text = gg_tree_text(config.plugins[i].options);
    assert_string_equal(text, options[i]);
    assert_string_equal(config.plugins[i].object, "/there/lua.so");
    free(text);
  }
  assert_string_equal(config.plugins[2].object, "c.so");
  assert_null(config.plugins[2].options);
  gg_config_fini(&config);
  drop_file(path);
}

static void plugins_have_a_bound(void **state)
{
  (void)state;
  struct gg_config config;
  const char *arguments[GG_CONFIG_PLUGINS_MAX + 3] = {"--listen=:1", "--upstream=none"};
  for (size_t i = 0; i <= GG_CONFIG_PLUGINS_MAX; i++)
    arguments[i + 2] = "--plugin=p";
  check_loaded(load(&config, GG_CONFIG_PLUGINS_MAX + 2, arguments));
  gg_config_fini(&config);
  assert_int_equal(load(&config, GG_CONFIG_PLUGINS_MAX + 3, arguments), GG_ERR_FORMAT);
  assert_int_equal(errors.count, 1);
  assert_string_equal(errors.items[0].text, "--plugin p: more than 16 plugins");
}

static void the_committed_page_is_the_generated_one(void **state)
{
  (void)state;
  char *text = gg_config_document();
  assert_non_null(text);
  FILE *file = fopen(GG_SOURCE_ROOT "/docs/config.md", "r");
  if (!file)
    fail_msg("docs/config.md is missing");
  size_t size = strlen(text) + 2;
  char *committed = calloc(1, size);
  assert_non_null(committed);
  size_t length = fread(committed, 1, size - 1, file);
  fclose(file);
  if (length != strlen(text) || strcmp(text, committed) != 0)
    fail_msg("docs/config.md is stale: run build/tools/document > docs/config.md");
  free(committed);
  free(text);
}

/* What the page shows as an example is a configuration. */
static void the_example_of_the_page_loads(void **state)
{
  (void)state;
  struct gg_config config;
  char *text = gg_config_document();
  char *begin = strstr(text, "```yaml\n") + 8;
  *strstr(begin, "```") = '\0';
  char *path = make_file(begin);
  check_loaded(LOAD(&config, "-c", path));
  assert_int_equal(config.listener_count, 3);
  assert_string_equal(config.listeners[1].name, "telnet-trap");
  assert_int_equal(config.listeners[2].upstream_count, 3);
  assert_int_equal(config.plugin_count, 2);
  gg_config_fini(&config);
  drop_file(path);
  free(text);
}

static void help_has_the_flags(void **state)
{
  (void)state;
  static const char *const wanted[] = {"--listen ADDR", "--upstream ADDR", "--dir PATH",     "-c, --config FILE",
                                       "--on-stall",    "--log-max SIZE",  "--check-config", "--timeouts-idle TIME"};
  char *text = gg_config_help();
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
    assert_non_null(strstr(text, wanted[i]));
  for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
    if (strcspn(line, "\n") > 120)
      fail_msg("a line of help is too long: %.40s", line);
  free(text);
}

int main(void)
{
  unsetenv("GOGETWAY_DIR");
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_command_line_is_enough),
    cmocka_unit_test(defaults_are_the_documented_ones),
    cmocka_unit_test(each_listen_begins_a_listener),
    cmocka_unit_test(later_goes_over_earlier),
    cmocka_unit_test(actions_are_recognised),
    cmocka_unit_test(wrong_files_are_told_whole),
    cmocka_unit_test(combinations_are_judged_beside_other_errors),
    cmocka_unit_test(limits_are_judged_against_the_workers),
    cmocka_unit_test(what_is_not_recorded_needs_an_upstream_and_no_log),
    cmocka_unit_test(a_doubled_flag_is_refused),
    cmocka_unit_test(upstreams_are_lists),
    cmocka_unit_test(wrong_upstreams_are_told),
    cmocka_unit_test(free_ports_get_names_of_their_own),
    cmocka_unit_test(combinations_are_judged),
    cmocka_unit_test(command_line_and_file_errors_come_together),
    cmocka_unit_test(what_is_printed_loads_again),
    cmocka_unit_test(plugins_are_a_list),
    cmocka_unit_test(wrong_plugins_are_told),
    cmocka_unit_test(an_entry_has_a_path_or_a_script),
    cmocka_unit_test(plugins_have_a_bound),
    cmocka_unit_test(the_committed_page_is_the_generated_one),
    cmocka_unit_test(the_example_of_the_page_loads),
    cmocka_unit_test(help_has_the_flags),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
