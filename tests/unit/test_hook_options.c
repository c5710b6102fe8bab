/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/tree.h"
#include "failing_memory.h"
#include "hook/options.h"
#include <stdio.h>

/* --- a plug-in with an option of every type ---------------------------------------------------------------------- */

static const char *const choices[] = {"drop", "keep-it", "3.x", NULL};
static const struct gg_plugin_option options[] = {
  {.name = "on", .type = GG_PLUGIN_BOOL, .preset = "yes", .help = "a switch"},
  {.name = "count", .type = GG_PLUGIN_COUNT, .help = "a number"},
  {.name = "max_bytes", .type = GG_PLUGIN_BYTES, .least = 1, .most = 1 << 20, .preset = "64KiB", .help = "a size"},
  {.name = "wait", .type = GG_PLUGIN_DURATION, .most = 1000000000, .preset = "250ms", .help = "a time"},
  {.name = "what", .type = GG_PLUGIN_CHOICE, .choices = choices, .preset = "keep-it", .help = "one of them"},
  {.name = "word", .type = GG_PLUGIN_TEXT, .least = 2, .most = 4, .help = "a text"},
  {.name = "literals", .type = GG_PLUGIN_TEXTS, .least = 1, .most = 3, .preset = "[a b, 'c, d']", .help = "texts"},
  {.name = "more", .type = GG_PLUGIN_TEXTS},
  {.name = "token", .type = GG_PLUGIN_TEXT, .required = true, .help = "a secret"},
};
enum { ON, COUNT, MAX_BYTES, WAIT, WHAT, WORD, LITERALS, MORE, TOKEN, OPTIONS };
static const struct gg_plugin plugin = {GG_PLUGIN_HEAD, .name = "sample", .options = options, .option_count = OPTIONS};

/* What stands around it in a configuration. */
struct entry {
  struct gg_tree *config;
};
static const struct gg_option entry_options[] = {{.key = "config", .type = GG_OPTION_TREE, .help = "c"}};
static const struct gg_schema entry_schema = {.options = entry_options, .option_count = 1};

static struct gg_config_errors errors;

static struct gg_tree *make_tree(const char *text)
{
  struct entry entry = {0};
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_read_text(&entry_schema, &entry, "f.yaml", text, strlen(text), NULL, &errors), 0);
  return entry.config;
}

static int read_values(struct gg_hook_values **values, const struct gg_plugin *of, const char *text)
{
  struct gg_tree *tree = text ? make_tree(text) : NULL;
  memset(&errors, 0, sizeof errors);
  int rc = gg_hook_values_read(values, of, tree, "f.yaml:1:9", &errors);
  gg_tree_destroy(tree);
  return rc;
}

static void check_errors(const char *text, const char *wanted)
{
  char got[4096] = "";
  size_t used = 0;
  struct gg_hook_values *values;
  int rc = read_values(&values, &plugin, text);
  for (size_t i = 0; i < errors.count; i++)
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", i ? "\n" : "", errors.items[i].text);
  assert_string_equal(got, wanted);
  assert_int_equal(rc, GG_ERR_FORMAT);
  assert_null(values);
}

/* --- values ------------------------------------------------------------------------------------------------------ */

static void presets_are_the_values_of_what_was_not_given(void **state)
{
  (void)state;
  struct gg_hook_values *values;
  assert_int_equal(read_values(&values, &plugin, "config: {token: x}"), 0);
  const struct gg_plugin_config *config = gg_hook_values_config(values);
  assert_int_equal(config->size, sizeof *config);
  assert_int_equal(config->count, OPTIONS);
  for (size_t i = 0; i < OPTIONS; i++)
    assert_int_equal(config->values[i].given, i == TOKEN);
  assert_true(config->values[ON].on);
  assert_int_equal(config->values[COUNT].number, 0);
  assert_int_equal(config->values[MAX_BYTES].number, 65536);
  assert_int_equal(config->values[WAIT].number, 250000000);
  assert_int_equal(config->values[WHAT].number, 1);
  assert_null(config->values[WORD].text);
  assert_int_equal(config->values[LITERALS].text_count, 2);
  assert_string_equal(config->values[LITERALS].texts[0], "a b");
  assert_string_equal(config->values[LITERALS].texts[1], "c, d");
  assert_int_equal(config->values[MORE].text_count, 0);
  assert_string_equal(config->values[TOKEN].text, "x");
  gg_hook_values_destroy(values);
  gg_hook_values_destroy(NULL);
}

static void every_type_is_read(void **state)
{
  (void)state;
  struct gg_hook_values *values;
  assert_int_equal(read_values(&values, &plugin,
                               "config:\n"
                               "  on: off\n"
                               "  count: 18446744073709551615\n"
                               "  max_bytes: 1MiB\n"
                               "  wait: 1s\n"
                               "  what: 3.x\n"
                               "  word: \"\\u00e4\"\n"
                               "  literals: hunter2\n"
                               "  more: []\n"
                               "  token: ''\n"),
                   0);
  const struct gg_plugin_value *got = gg_hook_values_config(values)->values;
  for (size_t i = 0; i < OPTIONS; i++)
    assert_true(got[i].given);
  assert_false(got[ON].on);
  assert_true(got[COUNT].number == UINT64_MAX);
  assert_int_equal(got[MAX_BYTES].number, 1 << 20);
  assert_int_equal(got[WAIT].number, 1000000000);
  assert_int_equal(got[WHAT].number, 2);
  assert_string_equal(got[WORD].text, "\xC3\xA4");
  assert_int_equal(got[LITERALS].text_count, 1);
  assert_string_equal(got[LITERALS].texts[0], "hunter2");
  assert_int_equal(got[MORE].text_count, 0);
  assert_string_equal(got[TOKEN].text, "");
  gg_hook_values_destroy(values);
}

static void a_plugin_without_options_takes_none(void **state)
{
  (void)state;
  static const struct gg_plugin bare = {GG_PLUGIN_HEAD, .name = "bare"};
  struct gg_hook_values *values;
  assert_int_equal(gg_hook_options_check(&bare, NULL), 0);
  assert_int_equal(read_values(&values, &bare, NULL), 0);
  assert_int_equal(gg_hook_values_config(values)->count, 0);
  gg_hook_values_destroy(values);
  assert_int_equal(read_values(&values, &bare, "config: {}"), 0);
  gg_hook_values_destroy(values);
  assert_int_equal(read_values(&values, &bare, "config: {a: [b]}"), GG_ERR_FORMAT);
  assert_string_equal(errors.items[0].text, "f.yaml:1:10: unknown option 'a'");
}

static void all_that_is_wrong_is_told(void **state)
{
  (void)state;
  check_errors("config:\n"
               "  on: maybe\n"
               "  count: -1\n"
               "  max_bytes: 0\n"
               "  wait: 2s\n"
               "  what: dorp\n"
               "  word: a\n"
               "  literals: []\n"
               "  more: {}\n"
               "  tokn: x\n",
               "f.yaml:2:7: on: 'maybe' is neither on nor off\n"
               "f.yaml:3:10: count: '-1' is not a whole number\n"
               "f.yaml:4:14: max_bytes: 0 is outside the range from 1 to 1MiB\n"
               "f.yaml:5:9: wait: 2s is outside the range from 0 to 1s\n"
               "f.yaml:6:9: what: 'dorp' is not one of drop, keep-it, 3.x; did you mean 'drop'?\n"
               "f.yaml:7:9: word: the value has 1 of at least 2 bytes\n"
               "f.yaml:8:13: literals: has 0 of at least 1 items\n"
               "f.yaml:9:9: more: takes a list, not a map\n"
               "f.yaml:10:3: unknown option 'tokn'; did you mean 'token'?\n"
               "f.yaml:1:9: plug-in sample: 'token' is missing");
  check_errors("config: {token: x, word: abcde, literals: [a, b, c, d]}",
               "f.yaml:1:26: word: the value has 5 bytes, 4 are allowed\n"
               "f.yaml:1:53: literals: more than 3 items");
  check_errors(NULL, "f.yaml:1:9: plug-in sample: 'token' is missing");
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

static void check_table(const struct gg_plugin_option *table, size_t count, const char *wanted)
{
  const struct gg_plugin wrong = {GG_PLUGIN_HEAD, .name = "wrong", .options = table, .option_count = count};
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_hook_options_check(&wrong, &failure), wanted[0] ? GG_ERR_INVALID : 0);
  assert_string_equal(failure.message, wanted);
}

#define CHECK_ONE(wanted, ...) check_table(&(const struct gg_plugin_option){__VA_ARGS__}, 1, wanted)

static void a_sound_table_passes(void **state)
{
  (void)state;
  check_table(options, OPTIONS, "");
  CHECK_ONE("", .name = "a_very_long_name_of_an_option_that_has_just_as_much_as_it_can__");
  CHECK_ONE("", .name = "a", .type = GG_PLUGIN_DURATION, .least = 5, .preset = "5ns");
  CHECK_ONE("", .name = "a", .type = GG_PLUGIN_TEXTS, .preset = "alone");
  CHECK_ONE("", .name = "a", .type = GG_PLUGIN_TEXT, .preset = "");
}

static void names_are_checked(void **state)
{
  (void)state;
  static const struct gg_plugin_option twins[] = {{.name = "a"}, {.name = "b"}, {.name = "a"}};
  static const char *const names[] = {"", "A", "1a", "_a", "a-b", "a.b", "a b", "a:", "\xC3\xA4", "a\n"};
  check_table(twins, 3, "two options are called 'a'");
  CHECK_ONE("option 1 has no name", .name = NULL);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char wanted[200];
    snprintf(wanted, sizeof wanted,
             "option 1: '%s' is not a name: a small letter, then small letters, digits and _, 63 at the most",
             names[i]);
    CHECK_ONE(wanted, .name = names[i]);
  }
  CHECK_ONE("option 1: 'a_very_long_name_of_an_option_that_has_a_byte_more_than_it_can_h' is not a name: a small "
            "letter, then small letters, digits and _, 63 at the most",
            .name = "a_very_long_name_of_an_option_that_has_a_byte_more_than_it_can_have");
}

static void counts_types_and_ranges_are_checked(void **state)
{
  (void)state;
  check_table(options, GG_PLUGIN_OPTIONS_MAX + 1, "65 options, of which there can be 64");
  check_table(NULL, 1, "1 options, and no table of them");
  CHECK_ONE("option 'a' has the type 7, which is not known", .name = "a", .type = (enum gg_plugin_option_type)7);
  CHECK_ONE("option 'a' has the type 4294967295, which is not known", .name = "a",
            .type = (enum gg_plugin_option_type) - 1);
  CHECK_ONE("option 'a' has a range that is empty: its least is above its most", .name = "a", .type = GG_PLUGIN_BYTES,
            .least = 2, .most = 1);
  CHECK_ONE("option 'a' has a range that goes beyond 4096", .name = "a", .type = GG_PLUGIN_TEXT, .most = 4097);
  CHECK_ONE("option 'a' has a range that goes beyond 64", .name = "a", .type = GG_PLUGIN_TEXTS, .least = 65);
}

static void choices_are_checked(void **state)
{
  (void)state;
  static const char *const none[] = {NULL}, *const twice[] = {"a", "b", "a", NULL}, *const odd[] = {"a", "b c", NULL};
  static const char *endless[GG_HOOK_OPTION_CHOICES_MAX + 2];
  static char texts[GG_HOOK_OPTION_CHOICES_MAX + 2][64];
  CHECK_ONE("option 'a' has no choices", .name = "a", .type = GG_PLUGIN_CHOICE);
  CHECK_ONE("option 'a' has no choices", .name = "a", .type = GG_PLUGIN_CHOICE, .choices = none);
  CHECK_ONE("option 'a' has the choice 'a' twice", .name = "a", .type = GG_PLUGIN_CHOICE, .choices = twice);
  CHECK_ONE("option 'a': choice 2 is not a word of small letters, digits and any of _ . -", .name = "a",
            .type = GG_PLUGIN_CHOICE, .choices = odd);
  for (size_t i = 0; i <= GG_HOOK_OPTION_CHOICES_MAX; i++) {
    snprintf(texts[i], sizeof texts[i], "a-long-choice-of-which-there-are-many-%zu", i);
    endless[i] = texts[i];
  }
  CHECK_ONE("option 'a' has more than 64 choices, or no NULL behind them", .name = "a", .type = GG_PLUGIN_CHOICE,
            .choices = endless);
  /* So many are too long for a message, which is cut. */
  endless[GG_HOOK_OPTION_CHOICES_MAX] = NULL;
  const struct gg_plugin_option many = {.name = "a", .type = GG_PLUGIN_CHOICE, .choices = endless};
  const struct gg_plugin with_many = {GG_PLUGIN_HEAD, .name = "many", .options = &many, .option_count = 1};
  struct gg_hook_values *values;
  check_table(&many, 1, "");
  assert_int_equal(read_values(&values, &with_many, "config: {a: x}"), GG_ERR_FORMAT);
  assert_int_equal(strncmp(errors.items[0].text, "f.yaml:1:13: a: 'x' is not one of a-long-choice-", 47), 0);
}

static void presets_are_checked(void **state)
{
  (void)state;
  static char large[GG_SCHEMA_VALUE_BYTES_MAX + 2];
  CHECK_ONE("option 'a' has a wrong preset: '5' is not a duration: write a number and a unit, like 250ms, 10s or 1h30m",
            .name = "a", .type = GG_PLUGIN_DURATION, .preset = "5");
  CHECK_ONE("option 'a' has a wrong preset: 3 is outside the range from 0 to 2", .name = "a", .type = GG_PLUGIN_COUNT,
            .most = 2, .preset = "3");
  CHECK_ONE("option 'a' has a wrong preset: 'x' is not one of drop, keep-it, 3.x", .name = "a",
            .type = GG_PLUGIN_CHOICE, .choices = choices, .preset = "x");
  CHECK_ONE("option 'a' has a wrong preset: the value has 1 of at least 2 bytes", .name = "a", .type = GG_PLUGIN_TEXT,
            .least = 2, .preset = "x");
  CHECK_ONE("option 'a' has a wrong preset: preset:1:11: a: more than 2 items", .name = "a", .type = GG_PLUGIN_TEXTS,
            .most = 2, .preset = "[x, y, z]");
  CHECK_ONE("option 'a' has a wrong preset: preset:2:1: unknown option 'b'", .name = "a", .type = GG_PLUGIN_TEXTS,
            .preset = "x\nb: y");
  CHECK_ONE("option 'a' is required, so its preset would never be used", .name = "a", .type = GG_PLUGIN_COUNT,
            .preset = "1", .required = true);
  CHECK_ONE("option 'a' has a wrong preset: the value is not valid UTF-8", .name = "a", .type = GG_PLUGIN_TEXT,
            .preset = "\xFF");
  memset(large, 'x', sizeof large - 1);
  CHECK_ONE("option 'a' has a wrong preset: it is too long", .name = "a", .type = GG_PLUGIN_TEXT, .preset = large);
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

static int read_once(const struct gg_tree *tree, unsigned long fail_at)
{
  struct gg_hook_values *values;
  memset(&errors, 0, sizeof errors);
  counting = true;
  calls = 0;
  live = 0;
  failing = fail_at;
  int rc = gg_hook_options_check(&plugin, NULL);
  if (rc == 0) {
    rc = gg_hook_values_read(&values, &plugin, tree, "x", &errors);
    assert_int_equal(errors.count, rc == 0 ? 0 : 1);
    gg_hook_values_destroy(values);
  }
  counting = false;
  return rc;
}

static void each_allocation_fails_in_turn(void **state)
{
  (void)state;
  struct gg_tree *tree = make_tree("config: {token: x, word: abc, literals: [a, b, c]}");
  assert_int_equal(read_once(tree, 0), 0);
  assert_int_equal(live, 0);
  unsigned long all = calls;
  assert_true(all > 20);
  for (unsigned long i = 1; i <= all; i++) {
    int rc = read_once(tree, i);
    if (rc != GG_ERR_NOMEM || live != 0)
      fail_msg("allocation %lu: %d, %ld blocks left", i, rc, live);
  }
  gg_tree_destroy(tree);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(presets_are_the_values_of_what_was_not_given),
    cmocka_unit_test(every_type_is_read),
    cmocka_unit_test(a_plugin_without_options_takes_none),
    cmocka_unit_test(all_that_is_wrong_is_told),
    cmocka_unit_test(a_sound_table_passes),
    cmocka_unit_test(names_are_checked),
    cmocka_unit_test(counts_types_and_ranges_are_checked),
    cmocka_unit_test(choices_are_checked),
    cmocka_unit_test(presets_are_checked),
    cmocka_unit_test(each_allocation_fails_in_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
