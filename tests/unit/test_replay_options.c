/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <gogetway/replay.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define SECOND UINT64_C(1000000000)

/* Sets it on fresh options; the error and its message come back. */
static struct gg_replay_options options;
static struct gg_failure failure;

static int set(const char *name, const char *text)
{
  options = (struct gg_replay_options)GG_REPLAY_OPTIONS_INIT;
  failure = (struct gg_failure)GG_FAILURE_INIT;
  return gg_replay_option_set(&options, name, text, &failure);
}

static void nothing_has_changed(const char *name, const char *text)
{
  struct gg_replay_options fresh = GG_REPLAY_OPTIONS_INIT;
  if (options.level != fresh.level || options.speed_percent != fresh.speed_percent || options.rate != fresh.rate ||
      options.ramp_ns != fresh.ramp_ns || options.copies != fresh.copies || options.loops != fresh.loops ||
      options.connections_max != fresh.connections_max || options.reply_timeout_ns != fresh.reply_timeout_ns ||
      options.connect_timeout_ns != fresh.connect_timeout_ns || options.on_timeout != fresh.on_timeout ||
      options.on_close != fresh.on_close || options.include_partial || options.allow_original || options.to ||
      options.source || options.record_dir || options.report_path)
    fail_msg("%s %s changed something", name, text);
}

static void is_refused(const char *name, const char *text, int error, const char *message)
{
  int got = set(name, text);
  if (got != error || failure.code != error)
    fail_msg("%s '%s': %d, not %d", name, text, got, error);
  if (!strstr(failure.message, message))
    fail_msg("%s '%s': \"%s\" does not say \"%s\"", name, text, failure.message, message);
  nothing_has_changed(name, text);
}

static void speeds_are_read(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    uint32_t percent;
  } good[] = {{"1x", 100},         {"1", 100},      {"0.5x", 50},  {"10x", 1000},      {"10", 1000},
              {"0.01x", 1},        {"0.01", 1},     {"2.5X", 250}, {"1.25x", 125},     {"1000x", 100000},
              {"1000.00", 100000}, {"00001x", 100}, {"max", 0},    {"999.99x", 99999}, {"0.1x", 10}};
  for (size_t i = 0; i < COUNT_OF(good); i++)
    if (set("speed", good[i].text) != 0 || options.speed_percent != good[i].percent)
      fail_msg("%s: %u %s", good[i].text, options.speed_percent, failure.message);
}

static void wrong_speeds_are_refused(void **state)
{
  (void)state;
  static const char *const malformed[] = {"",    "x",   "fast", "1xx", "-1x", "+1",  " 1x",  "1x ",
                                          "1.x", ".5x", "1,5x", "1e3", "Max", "1 x", "0x10", "1..5"};
  static const char *const outside[] = {"0",
                                        "0x",
                                        "0.00x",
                                        "0.005x",
                                        "1.001",
                                        "1000.01x",
                                        "1001x",
                                        "2000",
                                        "99999999999999999999x",
                                        "1.000000000000000000001"};
  for (size_t i = 0; i < COUNT_OF(malformed); i++)
    is_refused("speed", malformed[i], GG_ERR_FORMAT, "max");
  for (size_t i = 0; i < COUNT_OF(outside); i++)
    is_refused("speed", outside[i], GG_ERR_RANGE, "0.01x to 1000x");
}

static void rates_are_read(void **state)
{
  (void)state;
  assert_int_equal(set("rate", "50/s"), 0);
  assert_int_equal(options.rate, 50);
  assert_int_equal(set("rate", "1"), 0);
  assert_int_equal(options.rate, 1);
  assert_int_equal(set("rate", "1_000_000/s"), 0);
  assert_int_equal(options.rate, 1000000);
  is_refused("rate", "/s", GG_ERR_FORMAT, "50/s");
  is_refused("rate", "", GG_ERR_FORMAT, "50/s");
  is_refused("rate", "50/m", GG_ERR_FORMAT, "50/s");
  is_refused("rate", "0.5/s", GG_ERR_FORMAT, "50/s");
  is_refused("rate", "0/s", GG_ERR_RANGE, "1 to 1000000");
  is_refused("rate", "1000001/s", GG_ERR_RANGE, "1 to 1000000");
  is_refused("rate", "99999999999999999999/s", GG_ERR_RANGE, "1 to 1000000");
  is_refused("rate", "0000000000000000000000000000000000000000000000000000000000000000000000000050/s", GG_ERR_FORMAT,
             "50/s");
}

static void counts_are_read(void **state)
{
  (void)state;
  assert_int_equal(set("copies", "100"), 0);
  assert_int_equal(options.copies, 100);
  assert_int_equal(set("loop", "1000000"), 0);
  assert_int_equal(options.loops, 1000000);
  assert_int_equal(set("max-connections", "1"), 0);
  assert_int_equal(options.connections_max, 1);
  assert_int_equal(set("max-connections", "4294967295"), 0); /* what descriptors allow is less */
  assert_true(options.connections_max == UINT32_MAX);
  is_refused("max-connections", "0", GG_ERR_RANGE, "1 to 4294967295");
  is_refused("max-connections", "4294967296", GG_ERR_RANGE, "1 to 4294967295");
  static const char *const names[] = {"copies", "loop"};
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    is_refused(names[i], "0", GG_ERR_RANGE, "1 to 1000000");
    is_refused(names[i], "1000001", GG_ERR_RANGE, "1 to 1000000");
    is_refused(names[i], "4294967297", GG_ERR_RANGE, "1 to 1000000");
    is_refused(names[i], "18446744073709551617", GG_ERR_RANGE, "1 to 1000000");
    is_refused(names[i], "-1", GG_ERR_FORMAT, names[i]);
    is_refused(names[i], "many", GG_ERR_FORMAT, "many");
    is_refused(names[i], "", GG_ERR_FORMAT, "number");
  }
}

static void durations_are_read(void **state)
{
  (void)state;
  assert_int_equal(set("reply-timeout", "2s"), 0);
  assert_true(options.reply_timeout_ns == 2 * SECOND);
  assert_int_equal(set("connect-timeout", "250ms"), 0);
  assert_true(options.connect_timeout_ns == SECOND / 4);
  assert_int_equal(set("ramp", "1m30s"), 0);
  assert_true(options.ramp_ns == 90 * SECOND);
  assert_int_equal(set("ramp", "0"), 0);
  is_refused("reply-timeout", "2", GG_ERR_FORMAT, "500ms");
  is_refused("reply-timeout", "soon", GG_ERR_FORMAT, "soon");
  is_refused("reply-timeout", "0", GG_ERR_RANGE, "1ms to 1d");
  is_refused("connect-timeout", "2d", GG_ERR_RANGE, "1ms to 1d");
  is_refused("connect-timeout", "99999999999999w", GG_ERR_RANGE, "1ms to 1d");
  is_refused("ramp", "8d", GG_ERR_RANGE, "0 to 1w");
}

static void words_are_read(void **state)
{
  (void)state;
  assert_int_equal(set("level", "bytes"), 0);
  assert_int_equal(options.level, GG_REPLAY_BYTES);
  assert_int_equal(set("level", "causal"), 0);
  assert_int_equal(options.level, GG_REPLAY_CAUSAL);
  assert_int_equal(set("on-timeout", "stop-session"), 0);
  assert_int_equal(options.on_timeout, GG_REPLAY_STOP_SESSION);
  assert_int_equal(set("on-timeout", "stop"), 0);
  assert_int_equal(options.on_timeout, GG_REPLAY_STOP);
  assert_int_equal(set("on-close", "continue"), 0);
  assert_int_equal(options.on_close, GG_REPLAY_CONTINUE);
  is_refused("level", "byte", GG_ERR_FORMAT, "did you mean 'bytes'?");
  is_refused("level", "message", GG_ERR_FORMAT, "causal, bytes");
  is_refused("on-close", "stop-sesion", GG_ERR_FORMAT, "did you mean 'stop-session'?");
  is_refused("on-timeout", "", GG_ERR_FORMAT, "continue, stop-session, stop");
}

static void booleans_are_read(void **state)
{
  (void)state;
  assert_int_equal(set("include-partial", "true"), 0);
  assert_true(options.include_partial);
  assert_int_equal(set("allow-original", "yes"), 0);
  assert_true(options.allow_original);
  assert_int_equal(gg_replay_option_set(&options, "allow-original", "off", NULL), 0);
  assert_false(options.allow_original);
  is_refused("include-partial", "perhaps", GG_ERR_FORMAT, "true or false");
}

static void texts_are_borrowed(void **state)
{
  (void)state;
  const char *text = "unix:/run/server";
  assert_int_equal(set("to", text), 0);
  assert_ptr_equal(options.to, text);
  assert_int_equal(set("source", text), 0);
  assert_ptr_equal(options.source, text);
  assert_int_equal(set("record", text), 0);
  assert_ptr_equal(options.record_dir, text);
  assert_int_equal(set("report", text), 0);
  assert_ptr_equal(options.report_path, text);
  is_refused("to", "", GG_ERR_FORMAT, "to is empty");
}

static void unknown_options_are_named(void **state)
{
  (void)state;
  is_refused("sped", "1x", GG_ERR_INVALID, "did you mean 'speed'?");
  is_refused("loops", "1", GG_ERR_INVALID, "did you mean 'loop'?");
  is_refused("colour", "red", GG_ERR_INVALID, "unknown option 'colour'");
  is_refused("", "", GG_ERR_INVALID, "unknown option ''");
  /* A failure need not be asked for. */
  assert_int_equal(gg_replay_option_set(&options, "colour", "red", NULL), GG_ERR_INVALID);
}

static void long_texts_are_cut_in_messages(void **state)
{
  (void)state;
  char text[4096];
  memset(text, 'z', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  static const char *const names[] = {"speed", "rate", "copies", "ramp", "level", "allow-original"};
  for (size_t i = 0; i < COUNT_OF(names); i++)
    is_refused(names[i], text, GG_ERR_FORMAT, names[i]);
  is_refused(text, "1", GG_ERR_INVALID, "unknown option");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(speeds_are_read),
    cmocka_unit_test(wrong_speeds_are_refused),
    cmocka_unit_test(rates_are_read),
    cmocka_unit_test(counts_are_read),
    cmocka_unit_test(durations_are_read),
    cmocka_unit_test(words_are_read),
    cmocka_unit_test(booleans_are_read),
    cmocka_unit_test(texts_are_borrowed),
    cmocka_unit_test(unknown_options_are_named),
    cmocka_unit_test(long_texts_are_cut_in_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
