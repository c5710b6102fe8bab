/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/schema.h"
#include "base/tree.h"
#include <stdio.h>

/* --- a table that keeps, and the one that what was kept is for --------------------------------------------------- */

struct outer {
  uint64_t number;
  struct gg_tree *kept;
};
static const struct gg_option outer_options[] = {
  {.key = "number", .type = GG_OPTION_COUNT, .offset = offsetof(struct outer, number), .most = 9, .help = "n"},
  {.key = "kept", .type = GG_OPTION_TREE, .offset = offsetof(struct outer, kept), .help = "k"},
};
static const struct gg_option_section sections[] = {{"", "General"}};
static const struct gg_schema outer_schema = {outer_options, 2, NULL, 0, sections, 1};

struct door {
  uint64_t width;
};
struct inner {
  uint64_t size;
  char *name;
  char *word;
  struct gg_strings words;
  struct gg_tree *deeper;
  struct door *doors;
  size_t door_count;
};
#define AT(field) .offset = offsetof(struct inner, field)
static const struct gg_option inner_options[] = {
  {.key = "size", .type = GG_OPTION_BYTES, AT(size), .least = 1, .most = 4096, .preset = "2KiB", .help = "s"},
  {.key = "name", .type = GG_OPTION_STRING, AT(name), .least = 2, .most = 5, .required = true, .help = "n"},
  {.key = "a.word", .type = GG_OPTION_STRING, AT(word), .help = "w"},
  {.key = "words", .type = GG_OPTION_STRINGS, AT(words), .least = 2, .most = 3, .help = "w"},
  {.key = "deeper", .type = GG_OPTION_TREE, AT(deeper), .help = "d"},
};
static const struct gg_option door_options[] = {
  {.key = "width", .type = GG_OPTION_COUNT, .most = 9, .required = true, .help = "w"},
};
static const struct gg_option_list lists[] = {
  {.key = "doors",
   .item = "door",
   .options = door_options,
   .option_count = 1,
   .items_offset = offsetof(struct inner, doors),
   .count_offset = offsetof(struct inner, door_count),
   .item_bytes = sizeof(struct door),
   .most = 3,
   .help = "doors"},
};
static const struct gg_schema inner_schema = {inner_options, 5, lists, 1, sections, 1};

static struct gg_config_errors errors;

static int read_outer(struct outer *outer, const char *text)
{
  memset(outer, 0, sizeof *outer);
  memset(&errors, 0, sizeof errors);
  return gg_schema_read_text(&outer_schema, outer, "f.yaml", text, strlen(text), NULL, &errors);
}

static int read_inner(struct inner *inner, const struct gg_tree *tree)
{
  memset(inner, 0, sizeof *inner);
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_defaults(&inner_schema, inner), 0);
  return gg_schema_read_tree(&inner_schema, inner, tree, "f.yaml:1:1: plug-in x", NULL, &errors);
}

static void check_told(int rc, const char *wanted)
{
  static char got[GG_CONFIG_ERRORS_MAX * 520];
  size_t used = 0;
  got[0] = '\0';
  for (size_t i = 0; i < errors.count; i++)
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", i ? "\n" : "", errors.items[i].text);
  assert_string_equal(got, wanted);
  assert_int_equal(rc, wanted[0] ? GG_ERR_FORMAT : 0);
}

static void check_outer_errors(const char *text, const char *wanted)
{
  struct outer outer;
  int rc = read_outer(&outer, text);
  check_told(rc, wanted);
  gg_schema_fini(&outer_schema, &outer);
}

/* What is wrong in a document that was kept first, and judged later. */
static void check_inner_errors(const char *text, const char *wanted)
{
  struct outer outer;
  struct inner inner;
  check_told(read_outer(&outer, text), "");
  assert_non_null(outer.kept);
  int rc = read_inner(&inner, outer.kept);
  check_told(rc, wanted);
  gg_schema_fini(&inner_schema, &inner);
  gg_schema_fini(&outer_schema, &outer);
}

/* --- building ---------------------------------------------------------------------------------------------------- */

static int add_text(struct gg_tree *tree, const char *key, const char *text)
{
  const struct gg_tree_node node = {.kind = GG_TREE_SCALAR, .key = key, .text = text};
  return gg_tree_add(tree, &node);
}

static int add_begin(struct gg_tree *tree, const char *key, enum gg_tree_kind kind)
{
  const struct gg_tree_node node = {.kind = kind, .key = key};
  return gg_tree_add(tree, &node);
}

static void nodes_stand_in_order(void **state)
{
  (void)state;
  char file[] = "name";
  struct gg_tree *tree = gg_tree_create(file);
  file[0] = 'x';
  assert_string_equal(gg_tree_file(tree), "name");
  assert_int_equal(add_begin(tree, NULL, GG_TREE_MAP), 0);
  assert_int_equal(add_begin(tree, "list", GG_TREE_LIST), 0);
  assert_int_equal(add_text(tree, NULL, "a"), 0);
  assert_int_equal(add_text(tree, NULL, "b"), 0);
  gg_tree_end(tree);
  assert_int_equal(add_begin(tree, "map", GG_TREE_MAP), 0);
  assert_null(gg_tree_twin(tree, "list")); /* that is the outer one's */
  gg_tree_end(tree);
  assert_ptr_equal(gg_tree_twin(tree, "list"), gg_tree_node(tree, 1));
  assert_ptr_equal(gg_tree_twin(tree, "map"), gg_tree_node(tree, 4));
  assert_null(gg_tree_twin(tree, "m"));
  assert_int_equal(add_text(tree, "last", "c"), 0);
  gg_tree_end(tree);
  static const size_t ends[] = {6, 4, 3, 4, 5, 6};
  assert_int_equal(gg_tree_count(tree), 6);
  for (size_t i = 0; i < 6; i++)
    assert_int_equal(gg_tree_node(tree, i)->end, ends[i]);
  char *text = gg_tree_text(tree);
  assert_string_equal(text, "{list: [\"a\", \"b\"], map: {}, last: \"c\"}");
  free(text);
  gg_tree_destroy(tree);
  gg_tree_destroy(NULL);
}

static void a_tree_has_bounds(void **state)
{
  (void)state;
  struct gg_tree *tree = gg_tree_create("f");
  for (size_t i = 0; i < GG_TREE_DEPTH_MAX; i++)
    assert_int_equal(add_begin(tree, NULL, GG_TREE_LIST), 0);
  assert_int_equal(add_begin(tree, NULL, GG_TREE_LIST), GG_ERR_LIMIT);
  assert_int_equal(gg_tree_count(tree), GG_TREE_DEPTH_MAX);
  for (size_t i = GG_TREE_DEPTH_MAX; i < GG_TREE_NODES_MAX; i++)
    assert_int_equal(add_text(tree, NULL, ""), 0);
  assert_int_equal(add_text(tree, NULL, ""), GG_ERR_LIMIT);
  gg_tree_destroy(tree);
  char *large = malloc(GG_TREE_BYTES_MAX);
  assert_non_null(large);
  memset(large, 'x', GG_TREE_BYTES_MAX - 1);
  large[GG_TREE_BYTES_MAX - 1] = '\0';
  tree = gg_tree_create("f");
  assert_int_equal(add_begin(tree, NULL, GG_TREE_LIST), 0);
  assert_int_equal(add_text(tree, NULL, large), 0);
  assert_int_equal(add_text(tree, NULL, "xx"), GG_ERR_LIMIT);
  assert_int_equal(add_text(tree, NULL, "x"), 0);
  assert_int_equal(add_text(tree, NULL, "x"), GG_ERR_LIMIT);
  gg_tree_end(tree);
  assert_int_equal(gg_tree_count(tree), 3);
  gg_tree_destroy(tree);
  free(large);
}

static void some_texts_need_no_quotes(void **state)
{
  (void)state;
  static const char *const bare[] = {"a", "5", "-5", "-.5", "1.5e+3", "~", "null", "/p/q.so", "a-b", ".", "+", "64KiB"};
  static const char *const quoted[] = {"",   "-",        "--",  "---", "- a", "a b", "a:b", "a,b", "#",
                                       "*a", "&a",       "!",   "%",   "?",   "'",   "\"",  "[",   "{",
                                       "@",  "\xC3\xA4", "a\n", "=",   "<",   ">",   "|",   "`"};
  for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++)
    assert_true(gg_tree_may_be_bare(bare[i]));
  for (size_t i = 0; i < sizeof quoted / sizeof quoted[0]; i++)
    assert_false(gg_tree_may_be_bare(quoted[i]));
}

/* --- keeping ----------------------------------------------------------------------------------------------------- */

static void check_node(const struct gg_tree *tree, size_t index, const char *key, const char *text, bool bare,
                       size_t line, size_t column)
{
  const struct gg_tree_node *node = gg_tree_node(tree, index);
  assert_int_equal(node->key != NULL, key != NULL);
  if (key)
    assert_string_equal(node->key, key);
  assert_int_equal(node->text != NULL, text != NULL);
  if (text)
    assert_string_equal(node->text, text);
  assert_int_equal(node->bare, bare);
  assert_int_equal(node->mark.line, line);
  assert_int_equal(node->mark.column, column);
}

static void what_is_written_is_kept_with_its_places(void **state)
{
  (void)state;
  struct outer outer;
  check_told(read_outer(&outer, "number: 3\n"
                                "kept:\n"
                                "  plain: 64KiB\n"
                                "  quoted: '64KiB'\n"
                                "  'spaced key': two words\n"
                                "  list:\n"
                                "    - x\n"
                                "    - {deep: [~]}\n"
                                "  nothing:\n"),
             "");
  assert_int_equal(outer.number, 3);
  const struct gg_tree *tree = outer.kept;
  assert_string_equal(gg_tree_file(tree), "f.yaml");
  assert_int_equal(gg_tree_count(tree), 10);
  check_node(tree, 0, NULL, NULL, false, 3, 3);
  check_node(tree, 1, "plain", "64KiB", true, 3, 10);
  check_node(tree, 2, "quoted", "64KiB", false, 4, 11);
  check_node(tree, 3, "spaced key", "two words", false, 5, 17);
  assert_int_equal(gg_tree_node(tree, 3)->key_mark.column, 3);
  check_node(tree, 4, "list", NULL, false, 7, 5);
  check_node(tree, 5, NULL, "x", true, 7, 7);
  check_node(tree, 6, NULL, NULL, false, 8, 7);
  check_node(tree, 7, "deep", NULL, false, 8, 14);
  check_node(tree, 8, NULL, "~", true, 8, 15);
  assert_string_equal(gg_tree_node(tree, 9)->text, "~");
  assert_int_equal(gg_tree_node(tree, 9)->key_mark.line, 9);
  char *text = gg_schema_print(&outer_schema, &outer);
  assert_string_equal(text, "number: 3\n"
                            "kept: {plain: 64KiB, quoted: \"64KiB\", \"spaced key\": \"two words\", "
                            "list: [x, {deep: [~]}], nothing: ~}\n");
  struct outer again;
  check_told(read_outer(&again, text), "");
  char *twice = gg_schema_print(&outer_schema, &again);
  assert_string_equal(text, twice);
  for (size_t i = 0; i < gg_tree_count(tree); i++)
    assert_int_equal(gg_tree_node(tree, i)->bare, gg_tree_node(again.kept, i)->bare);
  free(text);
  free(twice);
  gg_schema_fini(&outer_schema, &again);
  gg_schema_fini(&outer_schema, &outer);
  assert_null(outer.kept);
  gg_schema_fini(&outer_schema, &outer);
}

static void nothing_and_an_empty_map_are_fine(void **state)
{
  (void)state;
  struct outer outer;
  static const char *const texts[] = {"number: 1\n", "kept:\n", "kept: ~\n"};
  for (size_t i = 0; i < 3; i++) {
    check_told(read_outer(&outer, texts[i]), "");
    assert_null(outer.kept);
    char *value = gg_schema_value(&outer_options[1], &outer);
    assert_string_equal(value, "");
    free(value);
    gg_schema_fini(&outer_schema, &outer);
  }
  check_told(read_outer(&outer, "kept: {}\n"), "");
  assert_int_equal(gg_tree_count(outer.kept), 1);
  char *value = gg_schema_value(&outer_options[1], &outer);
  assert_string_equal(value, "{}");
  free(value);
  /* A later file's goes over an earlier one's. */
  assert_int_equal(gg_schema_read_text(&outer_schema, &outer, "g", "kept: {a: b}", 12, NULL, &errors), 0);
  assert_string_equal(gg_tree_file(outer.kept), "g");
  assert_int_equal(gg_schema_read_text(&outer_schema, &outer, "g", "kept:", 5, NULL, &errors), 0);
  assert_null(outer.kept);
  gg_schema_fini(&outer_schema, &outer);
}

static void what_no_tree_can_be_is_refused(void **state)
{
  (void)state;
  check_outer_errors("kept: 5\n", "f.yaml:1:7: kept: takes a map, not one value");
  check_outer_errors("kept: ''\n", "f.yaml:1:7: kept: takes a map, not one value");
  check_outer_errors("kept: [{a: b}]\nnumber: 10\n", "f.yaml:1:7: kept: takes a map, not a list\n"
                                                     "f.yaml:2:9: number: 10 is outside the range from 0 to 9");
  check_outer_errors("kept: {a: 1, b: {a: 2, c: 3, a: 4}, a: [5]}\nkept: {}\n",
                     "f.yaml:1:30: 'a' was already given on line 1\n"
                     "f.yaml:1:37: 'a' was already given on line 1\n"
                     "f.yaml:2:1: 'kept' was already given on line 1");
  check_outer_errors("kept: {a: &x 1, b: *x, c: !!int 2, *x : 3, d: &y [1]}\n",
                     "f.yaml:1:11: anchors are not supported\n"
                     "f.yaml:1:20: aliases are not supported\n"
                     "f.yaml:1:27: tags are not supported\n"
                     "f.yaml:1:36: aliases are not supported\n"
                     "f.yaml:1:47: anchors are not supported");
  check_outer_errors("kept: *x\n", "f.yaml:1:7: aliases are not supported");
  check_outer_errors("kept: {a: \"x\\0y\", \"k\\0\": 1, [b]: [c], d: {[e]: f}}\nnumber: 10\n",
                     "f.yaml:1:11: a value cannot have a NUL byte in it\n"
                     "f.yaml:1:19: a key is a single word\n"
                     "f.yaml:1:29: a key is a single word\n"
                     "f.yaml:1:43: a key is a single word\n"
                     "f.yaml:2:9: number: 10 is outside the range from 0 to 9");
  check_outer_errors("kept: [[[[[[[[1]]]]]]]]\n", "f.yaml:1:7: kept: takes a map, not a list\n"
                                                  "f.yaml:1:14: nested deeper than 8");
  check_outer_errors("kept: {a: [[[[[[1]]]]]]}\n", "");
  check_outer_errors("kept: {a: [[[[[[[1]]]]]]]}\n", "f.yaml:1:17: nested deeper than 8");
  check_outer_errors("kept: {a: [b\n", "f.yaml:2:1: did not find expected ',' or ']' while parsing a flow sequence");
}

static void large_ones_are_refused(void **state)
{
  (void)state;
  char *text = malloc(GG_SCHEMA_DOCUMENT_BYTES_MAX);
  assert_non_null(text);
  int used = snprintf(text, 100, "kept:\n  list:\n");
  for (int i = 0; i < GG_TREE_NODES_MAX; i++)
    used += snprintf(text + used, 100, "   - %d\n", i);
  snprintf(text + used, 100, "  more: {a: [b]}\nnumber: 10\n");
  check_outer_errors(text, "f.yaml:4097:6: more than 4096 values, or 256 KiB of them, in one map\n"
                           "f.yaml:4100:9: number: 10 is outside the range from 0 to 9");
  used = snprintf(text, 100, "kept:\n  list:\n");
  for (int i = 0; i < 65; i++)
    used += snprintf(text + used, 4200, "   - %04096d\n", i);
  check_outer_errors(text, "f.yaml:66:6: more than 4096 values, or 256 KiB of them, in one map");
  snprintf(text, 5000, "kept: {a: %04097d}\n", 1);
  check_outer_errors(text, "f.yaml:1:11: the value has 4097 bytes, 4096 are allowed");
  snprintf(text, 5000, "kept: {%0128d: 1, %0127d: 1}\n", 1, 1);
  check_outer_errors(text, "f.yaml:1:8: the key has 128 bytes, 127 are allowed");
  free(text);
}

static void note_change(void *context, const struct gg_option *option, const char *from, const char *to)
{
  snprintf(context, 200, "%s: %s -> %s", option->key, from, to);
}

static void two_trees_are_compared_as_they_are_written(void **state)
{
  (void)state;
  struct outer a, b;
  char told[200] = "";
  check_told(read_outer(&a, "kept:\n  x: 1\n  y: [2, 3]\n"), "");
  check_told(read_outer(&b, "kept: {'x': 1, y: [2, 3]} # the same\n"), "");
  assert_int_equal(gg_schema_compare(&outer_schema, &a, &b, note_change, told), 0);
  assert_string_equal(told, "");
  gg_schema_fini(&outer_schema, &b);
  check_told(read_outer(&b, "kept: {x: '1', y: [2, 3]}\n"), "");
  assert_int_equal(gg_schema_compare(&outer_schema, &a, &b, note_change, told), 0);
  assert_string_equal(told, "kept: {x: 1, y: [2, 3]} -> {x: \"1\", y: [2, 3]}");
  gg_schema_fini(&outer_schema, &b);
  gg_schema_fini(&outer_schema, &a);
}

/* --- judging what was kept --------------------------------------------------------------------------------------- */

static void what_was_kept_is_read_later(void **state)
{
  (void)state;
  struct outer outer;
  struct inner inner;
  check_told(read_outer(&outer, "kept:\n"
                                "  name: abc\n"
                                "  a: {word: \"x\\u0085y\"}\n"
                                "  words: [one, 'two']\n"
                                "  deeper: {z: [1, {y: '2'}]}\n"
                                "  doors: [{width: 3}, {width: 4}]\n"),
             "");
  check_told(read_inner(&inner, outer.kept), "");
  gg_schema_fini(&outer_schema, &outer);
  assert_int_equal(inner.size, 2048);
  assert_string_equal(inner.name, "abc");
  assert_string_equal(inner.word, "x\xC2\x85y");
  assert_int_equal(inner.words.count, 2);
  assert_string_equal(inner.words.items[1], "two");
  assert_int_equal(inner.door_count, 2);
  assert_int_equal(inner.doors[1].width, 4);
  char *text = gg_tree_text(inner.deeper);
  assert_string_equal(text, "{z: [1, {y: \"2\"}]}");
  assert_int_equal(gg_tree_node(inner.deeper, 1)->key_mark.line, 5);
  free(text);
  gg_schema_fini(&inner_schema, &inner);
}

/* As if it had been judged where it stands. */
static void its_errors_have_the_places_of_the_file(void **state)
{
  (void)state;
  check_inner_errors("kept:\n"
                     "  size: 5KiB\n"
                     "  nmae: abc\n"
                     "  name: x\n"
                     "  words: [one]\n"
                     "  deeper: 1\n"
                     "  doors:\n"
                     "    - width: 10\n"
                     "    - {}\n"
                     "    - 5\n"
                     "  a:\n"
                     "    word:\n"
                     "    wrod: [x]\n"
                     "  doors.width: {a: b}\n",
                     "f.yaml:2:9: size: 5KiB is outside the range from 1 to 4KiB\n"
                     "f.yaml:3:3: unknown option 'nmae'; did you mean 'name'?\n"
                     "f.yaml:4:9: name: the value has 1 of at least 2 bytes\n"
                     "f.yaml:5:10: words: has 1 of at least 2 items\n"
                     "f.yaml:6:11: deeper: takes a map, not one value\n"
                     "f.yaml:8:14: width: 10 is outside the range from 0 to 9\n"
                     "f.yaml:9:7: the door has no 'width'\n"
                     "f.yaml:10:7: a door is a map of options\n"
                     "f.yaml:12:10: a.word: has no value\n"
                     "f.yaml:13:5: unknown option 'a.wrod'; did you mean 'a.word'?\n"
                     "f.yaml:14:3: unknown option 'doors.width'");
  check_inner_errors("kept: {a.word: x, name: [abc], a: {word: y}, size: {a: b}, words: {}}\n",
                     "f.yaml:1:25: name: takes one value, not a list\n"
                     "f.yaml:1:36: 'a.word' was already given on line 1\n"
                     "f.yaml:1:52: size: takes one value, not a map\n"
                     "f.yaml:1:67: words: takes a list, not a map");
}

static void what_is_required_is_missed(void **state)
{
  (void)state;
  struct inner inner;
  check_told(read_inner(&inner, NULL), "f.yaml:1:1: plug-in x: 'name' is missing");
  assert_int_equal(inner.size, 2048);
  gg_schema_fini(&inner_schema, &inner);
  check_inner_errors("kept: {}\n", "f.yaml:1:1: plug-in x: 'name' is missing");
  check_inner_errors("kept: {size: 0}\n", "f.yaml:1:14: size: 0 is outside the range from 1 to 4KiB\n"
                                          "f.yaml:1:1: plug-in x: 'name' is missing");
}

static void places_tell_what_was_given(void **state)
{
  (void)state;
  struct outer outer;
  struct inner inner = {0};
  struct gg_schema_places *places;
  char text[100];
  check_told(read_outer(&outer, "kept: {name: abc, size: 0}\n"), "");
  assert_int_equal(gg_schema_places_create(&places, &inner_schema), 0);
  assert_int_equal(gg_schema_read_tree(&inner_schema, &inner, outer.kept, "x", places, &errors), GG_ERR_FORMAT);
  gg_place_text(gg_schema_place(places, "name"), text, sizeof text);
  assert_string_equal(text, "f.yaml:1:14");
  assert_false(gg_schema_place(places, "name")->wrong);
  assert_true(gg_schema_place(places, "size")->wrong);
  assert_false(gg_place_is_given(gg_schema_place(places, "words")));
  gg_schema_places_destroy(places);
  gg_schema_fini(&inner_schema, &inner);
  gg_schema_fini(&outer_schema, &outer);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(nodes_stand_in_order),
    cmocka_unit_test(a_tree_has_bounds),
    cmocka_unit_test(some_texts_need_no_quotes),
    cmocka_unit_test(what_is_written_is_kept_with_its_places),
    cmocka_unit_test(nothing_and_an_empty_map_are_fine),
    cmocka_unit_test(what_no_tree_can_be_is_refused),
    cmocka_unit_test(large_ones_are_refused),
    cmocka_unit_test(two_trees_are_compared_as_they_are_written),
    cmocka_unit_test(what_was_kept_is_read_later),
    cmocka_unit_test(its_errors_have_the_places_of_the_file),
    cmocka_unit_test(what_is_required_is_missed),
    cmocka_unit_test(places_tell_what_was_given),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
