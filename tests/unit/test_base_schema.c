/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/schema.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a small table with every type ------------------------------------------------------------------------------ */

enum color { RED, GREEN, BLUE };
struct door {
  char *at;
  uint64_t width;
};
struct sample {
  bool lit;
  uint64_t count;
  uint64_t size;
  uint64_t time;
  uint64_t mode;
  enum color color;
  char *string;
  char *path;
  char *kept;
  char *endpoint;
  struct gg_blob blob;
  struct gg_strings words;
  struct gg_strings networks;
  struct door *doors;
  size_t door_count;
};

static int check_x(const char *text, struct gg_failure *failure)
{
  return text[0] == 'x' ? 0 : gg_fail(failure, GG_ERR_FORMAT, "'%s' does not begin with x", text);
}

static int check_door(const void *item, struct gg_failure *failure)
{
  const struct door *door = item;
  return strcmp(door->at, "xwall") == 0 ? gg_fail(failure, GG_ERR_INVALID, "no door in a wall") : 0;
}

static const char *const colors[] = {"red", "green", "blue", NULL};
#define AT(field) .offset = offsetof(struct sample, field)
static const struct gg_option options[] = {
  {.key = "lit", .flag = "lit", .type = GG_OPTION_BOOL, AT(lit), .preset = "on", .help = "lit"},
  {.key = "count",
   .flag = "count",
   .type = GG_OPTION_COUNT,
   AT(count),
   .least = 1,
   .most = 9,
   .preset = "5",
   .help = "c"},
  {.key = "a.size",
   .flag = "a-size",
   .type = GG_OPTION_BYTES,
   AT(size),
   .least = 1024,
   .most = 1 << 20,
   .preset = "4KiB",
   .restart = true,
   .help = "s"},
  {.key = "a.time",
   .flag = "a-time",
   .type = GG_OPTION_DURATION,
   AT(time),
   .most = UINT64_C(60000000000),
   .preset = "1s",
   .help = "t"},
  {.key = "a.mode", .flag = "a-mode", .type = GG_OPTION_MODE, AT(mode), .most = 0777, .preset = "0640", .help = "m"},
  {.key = "b.color",
   .flag = "b-color",
   .type = GG_OPTION_ENUM,
   AT(color),
   .names = colors,
   .preset = "green",
   .help = "c"},
  {.key = "b.string", .flag = "b-string", .type = GG_OPTION_STRING, AT(string), .most = 8, .help = "s"},
  {.key = "b.path", .flag = "b-path", .type = GG_OPTION_PATH, AT(path), .preset = "/p", .help = "p"},
  {.key = "b.kept", .flag = "b-kept", .type = GG_OPTION_PATH, AT(kept), .restart = true, .help = "k"},
  {.key = "b.endpoint", .flag = "b-endpoint", .type = GG_OPTION_ENDPOINT, AT(endpoint), .check = check_x, .help = "e"},
  {.key = "b.blob", .flag = "b-blob", .type = GG_OPTION_BLOB, AT(blob), .most = 6, .help = "b", .more = "More of it."},
  {.key = "b.words", .flag = "b-words", .type = GG_OPTION_STRINGS, AT(words), .most = 3, .help = "w"},
  {.key = "b.networks", .flag = "b-networks", .type = GG_OPTION_NETWORKS, AT(networks), .check = check_x, .help = "n"},
};
static const struct gg_option door_options[] = {
  {.key = "at",
   .flag = "door",
   .type = GG_OPTION_ENDPOINT,
   .offset = offsetof(struct door, at),
   .required = true,
   .check = check_x,
   .help = "where"},
  {.key = "width",
   .flag = "width",
   .type = GG_OPTION_COUNT,
   .offset = offsetof(struct door, width),
   .most = 100,
   .required = true,
   .help = "how wide"},
};
static const struct gg_option_list lists[] = {
  {.key = "doors",
   .item = "door",
   .options = door_options,
   .option_count = 2,
   .items_offset = offsetof(struct sample, doors),
   .count_offset = offsetof(struct sample, door_count),
   .item_bytes = sizeof(struct door),
   .most = 3,
   .check = check_door,
   .help = "doors"},
};
static const struct gg_option_section sections[] = {{"", "General"}, {"a", "Numbers"}, {"b", "Texts"}};
static const struct gg_schema schema = {options, sizeof options / sizeof options[0], lists, 1, sections, 3};

/* --- reading ---------------------------------------------------------------------------------------------------- */

static struct gg_config_errors errors;

static int read_text(struct sample *sample, const char *text)
{
  memset(sample, 0, sizeof *sample);
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_defaults(&schema, sample), 0);
  return gg_schema_read_text(&schema, sample, "f.yaml", text, strlen(text), NULL, &errors);
}

/* Reads and wants exactly these errors, one a line. */
static void check_errors(const char *text, const char *wanted)
{
  struct sample sample;
  char got[64 * 520] = "";
  size_t used = 0;
  int rc = read_text(&sample, text);
  for (size_t i = 0; i < errors.count; i++)
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", i ? "\n" : "", errors.items[i].text);
  assert_string_equal(got, wanted);
  assert_int_equal(rc, wanted[0] ? GG_ERR_FORMAT : 0);
  gg_schema_fini(&schema, &sample);
}

static void defaults_are_filled_and_freed(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(read_text(&sample, ""), 0);
  assert_true(sample.lit);
  assert_int_equal(sample.count, 5);
  assert_int_equal(sample.size, 4096);
  assert_int_equal(sample.time, 1000000000);
  assert_int_equal(sample.mode, 0640);
  assert_int_equal(sample.color, GREEN);
  assert_null(sample.string);
  assert_string_equal(sample.path, "/p");
  assert_int_equal(sample.door_count, 0);
  gg_schema_fini(&schema, &sample);
  assert_null(sample.path);
  gg_schema_fini(&schema, &sample);
}

static void every_type_is_read(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(read_text(&sample, "lit: off\n"
                                      "count: 9\n"
                                      "a:\n"
                                      "  size: 1.5KiB # a comment\n"
                                      "  time: 1m\n"
                                      "  mode: 0600\n"
                                      "b: {color: blue, string: '', path: \"q r\", endpoint: xe}\n"
                                      "b.blob: 'a\\r\\n\\x00'\n"
                                      "b.words: [one, \"two, three\"]\n"
                                      "b.networks: xonly\n"
                                      "doors:\n"
                                      "- at: x1\n"
                                      "  width: 7\n"
                                      "- {width: 8, at: x2}\n"),
                   0);
  assert_false(sample.lit);
  assert_int_equal(sample.count, 9);
  assert_int_equal(sample.size, 1536);
  assert_true(sample.time == UINT64_C(60000000000));
  assert_int_equal(sample.mode, 0600);
  assert_int_equal(sample.color, BLUE);
  assert_string_equal(sample.string, "");
  assert_string_equal(sample.path, "q r");
  assert_string_equal(sample.endpoint, "xe");
  assert_int_equal(sample.blob.length, 4);
  assert_memory_equal(sample.blob.bytes, "a\r\n\0", 4);
  assert_int_equal(sample.words.count, 2);
  assert_string_equal(sample.words.items[1], "two, three");
  assert_int_equal(sample.networks.count, 1);
  assert_int_equal(sample.door_count, 2);
  assert_string_equal(sample.doors[1].at, "x2");
  assert_int_equal(sample.doors[1].width, 8);
  gg_schema_fini(&schema, &sample);
}

static void empty_documents_are_fine(void **state)
{
  (void)state;
  check_errors("", "");
  check_errors("# nothing\n", "");
  check_errors("---\n...\n", "");
  check_errors("a:\nb:\n", ""); /* sections whose options are all commented out */
  check_errors("\xEF\xBB\xBF"
               "count: 1\n",
               "");
}

static void all_errors_are_told_at_once(void **state)
{
  (void)state;
  check_errors(
    "lit: maybe\n"
    "count: 10\n"
    "conut: 3\n"
    "a:\n"
    "  size: 12Q\n"
    "  time: 30\n"
    "  mode: 888\n"
    "  siez: 1\n"
    "b:\n"
    "  color: grene\n"
    "  string: ninebytes\n"
    "  path: ''\n"
    "  endpoint: yes\n"
    "  blob: 'a\\q'\n"
    "  words: [a, b, c, d]\n"
    "  networks:\n"
    "    - xgood\n"
    "    -   bad\n"
    "doors:\n"
    "  - at: x1\n"
    "  - width: 101\n"
    "    at: x2\n"
    "  - at: xwall\n"
    "    width: 1\n",
    "f.yaml:1:6: lit: 'maybe' is neither on nor off\n"
    "f.yaml:2:8: count: 10 is outside the range from 1 to 9\n"
    "f.yaml:3:1: unknown option 'conut'; did you mean 'count'?\n"
    "f.yaml:5:9: a.size: '12Q' is not a size: write a number and a unit, like 4096, 64KiB or 1.5GiB\n"
    "f.yaml:6:9: a.time: '30' is not a duration: write a number and a unit, like 250ms, 10s or 1h30m\n"
    "f.yaml:7:9: a.mode: '888' is not a mode: write permission bits in octal, like 0660\n"
    "f.yaml:8:3: unknown option 'a.siez'; did you mean 'a.size'?\n"
    "f.yaml:10:10: b.color: 'grene' is not one of red, green, blue; did you mean 'green'?\n"
    "f.yaml:11:11: b.string: the value has 9 bytes, 8 are allowed\n"
    "f.yaml:12:9: b.path: the value is empty\n"
    "f.yaml:13:13: b.endpoint: 'yes' does not begin with x\n"
    "f.yaml:14:9: b.blob: an unknown escape: after a backslash come n, r, t, 0, a backslash, a quote, xHH or OOO\n"
    "f.yaml:15:20: b.words: more than 3 items\n"
    "f.yaml:18:9: b.networks: 'bad' does not begin with x\n"
    "f.yaml:20:5: the door has no 'width'\n"
    "f.yaml:21:12: width: 101 is outside the range from 0 to 100\n"
    "f.yaml:23:5: no door in a wall");
}

static void ranges_are_told_with_units(void **state)
{
  (void)state;
  check_errors("a: {size: 2MiB, time: 61s}", "f.yaml:1:11: a.size: 2MiB is outside the range from 1KiB to 1MiB\n"
                                             "f.yaml:1:23: a.time: 61s is outside the range from 0 to 1m");
  check_errors("a: {size: 99999999999999999999T, mode: 1000}",
               "f.yaml:1:11: a.size: 99999999999999999999T is outside the range from 1KiB to 1MiB\n"
               "f.yaml:1:40: a.mode: 1000 is outside the range from 0000 to 0777");
}

static void wrong_shapes_are_told(void **state)
{
  (void)state;
  check_errors("count: [1]\nlit: {a: b}\na: 5\nb: [x]\n", "f.yaml:1:8: count: takes one value, not a list\n"
                                                          "f.yaml:2:6: lit: takes one value, not a map\n"
                                                          "f.yaml:3:4: a: is a section, its options go below it\n"
                                                          "f.yaml:4:4: b: is a section, its options go below it");
  check_errors("b: {words: {a: b}, networks: [[x]]}\ndoors: xa\n",
               "f.yaml:1:12: b.words: takes a list, not a map\n"
               "f.yaml:1:31: b.networks: is a list of single values\n"
               "f.yaml:2:8: doors: is a list, each door begins with '- '");
  check_errors("doors: [x, [y], {at: x, width: 1}]", "f.yaml:1:9: a door is a map of options\n"
                                                     "f.yaml:1:12: a door is a map of options");
  check_errors("- a\n", "f.yaml:1:1: the document must be a map of options");
  check_errors("word", "f.yaml:1:1: the document must be a map of options");
  check_errors("count:\nlit: ~\nb: {words: [null]}\n", "f.yaml:1:7: count: has no value\n"
                                                       "f.yaml:2:6: lit: has no value\n"
                                                       "f.yaml:3:13: b.words: has no value");
  check_errors("? [a]\n: 1\n? {b: 2}\n: [3]\ncount: 0\n", "f.yaml:1:3: a key is a single word\n"
                                                          "f.yaml:3:3: a key is a single word\n"
                                                          "f.yaml:5:8: count: 0 is outside the range from 1 to 9");
  check_errors("\"count\\0x\": 1\n", "f.yaml:1:1: a key is a single word");
  check_errors("b: {string: \"a\\0b\"}", "f.yaml:1:13: b.string: a value cannot have a NUL byte in it");
}

static void unknown_keys_are_guessed(void **state)
{
  (void)state;
  check_errors("size: 1\ndors: []\nzzzzzz: {a: [b]}\ndoors: [{at: x, width: 1, widht: 2}]\n",
               "f.yaml:1:1: unknown option 'size'; did you mean 'a.size'?\n"
               "f.yaml:2:1: unknown option 'dors'; did you mean 'doors'?\n"
               "f.yaml:3:1: unknown option 'zzzzzz'\n"
               "f.yaml:4:27: unknown option 'widht' of a door; did you mean 'width'?");
  check_errors("'\x1b[31m': 1\n", "f.yaml:1:2: control characters are not allowed");
  check_errors("\"\\e[31m\": 1\n", "f.yaml:1:1: unknown option '\\e[31m'");
}

static void duplicates_are_refused(void **state)
{
  (void)state;
  check_errors("count: 1\ncount: [2]\na:\n  size: 1k\n  size: 2k\na:\n  time: 1\n",
               "f.yaml:2:1: 'count' was already given on line 1\n"
               "f.yaml:5:3: 'a.size' was already given on line 4\n"
               "f.yaml:6:1: 'a' was already given on line 3");
  check_errors("a.size: 1k\na: {size: 2k}\ndoors: []\ndoors: []\n", "f.yaml:2:5: 'a.size' was already given on line 1\n"
                                                                    "f.yaml:4:1: 'doors' was already given on line 3");
}

static void what_yaml_can_but_a_config_should_not(void **state)
{
  (void)state;
  check_errors("count: &n 3\n", "f.yaml:1:8: anchors are not supported");
  check_errors("a: &s {size: 1k}\nlit: *s\n", "f.yaml:1:4: anchors are not supported\n"
                                              "f.yaml:2:6: aliases are not supported");
  check_errors("count: !!int 3\n", "f.yaml:1:8: tags are not supported");
  check_errors("count: 3\n---\ncount: 0\n", "f.yaml:2:1: only one document is allowed");
  check_errors("%YAML 1.1\n---\ncount: 3\n", "f.yaml:1:1: directives are not supported, no line can begin with '%'");
  check_errors("count: 3\n...\n%TAG !a! b\n", "f.yaml:3:1: directives are not supported, no line can begin with '%'");
  check_errors("\xEF\xBB\xBF%TAG !a! b\n", "f.yaml:1:2: directives are not supported, no line can begin with '%'");
  check_errors("#\r%TAG !a! b\n", "f.yaml:1:3: directives are not supported, no line can begin with '%'");
  check_errors("b: {path: 'a%b'}\n# %\n", "");
  check_errors("x: [[[[[[[[[[1]]]]]]]]]]", "f.yaml:1:1: unknown option 'x'\n"
                                           "f.yaml:1:11: nested deeper than 8");
}

static void syntax_errors_have_a_place(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(read_text(&sample, "count: 10\nlit: [on\n"), GG_ERR_FORMAT);
  assert_int_equal(errors.count, 3);
  assert_string_equal(errors.items[0].text, "f.yaml:1:8: count: 10 is outside the range from 1 to 9");
  assert_string_equal(errors.items[1].text, "f.yaml:2:6: lit: takes one value, not a list");
  assert_int_equal(strncmp(errors.items[2].text, "f.yaml:3:1: did not find expected ',' or ']'", 44), 0);
  gg_schema_fini(&schema, &sample);
  assert_int_equal(read_text(&sample, "count: 1\n\tlit: on\n"), GG_ERR_FORMAT);
  assert_int_equal(strncmp(errors.items[0].text, "f.yaml:2:", 9), 0);
  gg_schema_fini(&schema, &sample);
  assert_int_equal(read_text(&sample, "count: \xFF\n"), GG_ERR_FORMAT);
  assert_non_null(strstr(errors.items[0].text, "f.yaml:1:8: "));
  gg_schema_fini(&schema, &sample);
}

static void many_errors_are_counted(void **state)
{
  (void)state;
  struct sample sample;
  char text[200 * 8 + 1] = "";
  for (size_t i = 0; i < 200; i++)
    snprintf(text + strlen(text), 9, "k%03zu: 1\n", i);
  assert_int_equal(read_text(&sample, text), GG_ERR_FORMAT);
  assert_int_equal(errors.count, GG_CONFIG_ERRORS_MAX);
  assert_int_equal(errors.left_out, 200 - GG_CONFIG_ERRORS_MAX);
  gg_schema_fini(&schema, &sample);
}

static void sizes_are_bounded(void **state)
{
  (void)state;
  struct sample sample;
  size_t length = GG_SCHEMA_DOCUMENT_BYTES_MAX + 1;
  char *text = malloc(length + 1);
  assert_non_null(text);
  memset(text, '#', length);
  text[length] = '\0';
  assert_int_equal(read_text(&sample, text), GG_ERR_FORMAT);
  assert_string_equal(errors.items[0].text, "f.yaml: larger than 1MiB");
  gg_schema_fini(&schema, &sample);
  text[length - 1] = '\0';
  assert_int_equal(read_text(&sample, text), 0);
  gg_schema_fini(&schema, &sample);
  free(text);
  char value[5100];
  snprintf(value, sizeof value, "b: {path: %05000d}", 1);
  check_errors(value, "f.yaml:1:11: b.path: the value has 5000 bytes, 4096 are allowed");
  check_errors("doors: [{at: x, width: 1}, {at: x, width: 1}, {at: x, width: 1}, {at: x}, {}]",
               "f.yaml:1:66: more than 3 doors\nf.yaml:1:75: more than 3 doors");
}

static void files_are_read(void **state)
{
  (void)state;
  struct sample sample = {0};
  char path[] = "/tmp/gg-schema-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "count: 7\n", 9), 9);
  close(fd);
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_defaults(&schema, &sample), 0);
  assert_int_equal(gg_schema_read_file(&schema, &sample, path, 0, NULL, &errors), 0);
  assert_int_equal(sample.count, 7);
  unlink(path);
  assert_int_equal(gg_schema_read_file(&schema, &sample, path, 0, NULL, &errors), GG_ERR_NOT_FOUND);
  assert_non_null(strstr(errors.items[0].text, "No such file"));
  assert_int_equal(gg_schema_read_file(&schema, &sample, "/tmp", 0, NULL, &errors), GG_ERR_IO);
  gg_schema_fini(&schema, &sample);
}

/* --- pipes ------------------------------------------------------------------------------------------------------ */

struct writer {
  const char *path;
  const char *text;
  bool came;
};

/* Comes when the pipe is being read, and not before: until then this open fails. */
static void *write_when_read(void *context)
{
  struct writer *writer = context;
  int fd = -1;
  for (uint64_t until = gg_clock_mono_ns() + 5 * GG_NS_PER_S; fd < 0 && gg_clock_mono_ns() < until;)
    fd = open(writer->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  writer->came = fd >= 0 && write(fd, writer->text, strlen(writer->text)) == (ssize_t)strlen(writer->text);
  if (fd >= 0)
    close(fd);
  return NULL;
}

static int read_pipe(const char *path, int silence_ms, uint64_t *count)
{
  struct sample sample = {0};
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_defaults(&schema, &sample), 0);
  int rc = gg_schema_read_file(&schema, &sample, path, silence_ms, NULL, &errors);
  *count = sample.count;
  gg_schema_fini(&schema, &sample);
  return rc;
}

/* The bound is far away where it must not be met, and near where it must. */
static void a_pipe_is_waited_for(void **state)
{
  (void)state;
  uint64_t count, unchanged;
  char dir[] = "/tmp/gg-schema-XXXXXX", path[sizeof dir + sizeof "/pipe"];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/pipe", dir);
  assert_int_equal(mkfifo(path, 0600), 0);

  assert_int_equal(read_pipe(path, 30, &unchanged), GG_ERR_TIMEOUT);
  assert_non_null(strstr(errors.items[0].text, "nobody writes to this pipe"));

  static const char *const texts[] = {"count: 7\n", ""};
  for (size_t i = 0; i < 2; i++) {
    struct writer writer = {.path = path, .text = texts[i]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_when_read, &writer), 0);
    int rc = read_pipe(path, 60000, &count);
    pthread_join(thread, NULL);
    assert_true(writer.came);
    assert_int_equal(rc, 0);
    assert_int_equal(count, i == 0 ? 7 : unchanged);
  }

  int end = open(path, O_RDWR | O_CLOEXEC);
  assert_true(end >= 0);
  assert_int_equal(read_pipe(path, 30, &count), GG_ERR_TIMEOUT);
  assert_non_null(strstr(errors.items[0].text, "timed out"));
  close(end);
  unlink(path);
  rmdir(dir);
}

/* --- flags ------------------------------------------------------------------------------------------------------ */

static const struct gg_schema_extra extras[] = {{"config", 'c', "FILE", "read"}, {"help", 'h', NULL, "show"}};

static int read_flags(struct sample *sample, int argc, const char *const *argv)
{
  struct gg_flag_use uses[32];
  size_t count = 0;
  memset(sample, 0, sizeof *sample);
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_defaults(&schema, sample), 0);
  int rc = gg_schema_flags_split(&schema, extras, 2, argc, (char *const *)(uintptr_t)argv, uses, &count, &errors);
  int applied = gg_schema_flags_apply(&schema, sample, uses, count, NULL, &errors);
  return rc ? rc : applied;
}

#define FLAGS(sample, ...)                                                                                             \
  read_flags(sample, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)),                               \
             (const char *const[]){__VA_ARGS__})

static void flags_set_options(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(FLAGS(&sample, "--count", "4", "--a-size=2k", "--no-lit", "-c", "file", "--b-words", "a,b",
                         "--b-words=c", "--door", "x1", "--width", "5", "--door=x2", "--width=6", "-h", "--b-string="),
                   0);
  assert_int_equal(sample.count, 4);
  assert_int_equal(sample.size, 2048);
  assert_false(sample.lit);
  assert_int_equal(sample.words.count, 3);
  assert_string_equal(sample.words.items[2], "c");
  assert_int_equal(sample.door_count, 2);
  assert_string_equal(sample.doors[1].at, "x2");
  assert_int_equal(sample.doors[0].width, 5);
  assert_string_equal(sample.string, "");
  gg_schema_fini(&schema, &sample);
  assert_int_equal(FLAGS(&sample, "--lit"), 0);
  assert_true(sample.lit);
  gg_schema_fini(&schema, &sample);
}

static void a_flag_of_one_value_is_given_once(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(
    FLAGS(&sample, "--count", "3", "--count=4", "--door", "x1", "--width", "5", "--width=6", "--no-lit", "--lit"),
    GG_ERR_FORMAT);
  assert_int_equal(errors.count, 3);
  assert_string_equal(errors.items[0].text, "--count: was already given");
  assert_string_equal(errors.items[1].text, "--width: was already given");
  assert_string_equal(errors.items[2].text, "--lit: was already given");
  gg_schema_fini(&schema, &sample);
}

static void check_place(const struct gg_place *place, const char *wanted, bool wrong)
{
  char text[100];
  gg_place_text(place, text, sizeof text);
  assert_string_equal(text, wanted);
  assert_int_equal(gg_place_is_given(place), wanted[0] != '\0');
  assert_int_equal(place->wrong, wrong);
}

static void places_say_where_and_whether_right(void **state)
{
  (void)state;
  struct sample sample = {0};
  struct gg_schema_places *places;
  struct gg_flag_use uses[8];
  static const char text[] = "count: 5\na:\n  size: x\ndoors:\n  - at: x1\n    width: 2\n  - {at: x2, width: y}\n";
  static char *const arguments[] = {(char *)(uintptr_t) "--door", (char *)(uintptr_t) "x3",
                                    (char *)(uintptr_t) "--width", (char *)(uintptr_t) "3"};
  size_t count = 0;
  memset(&errors, 0, sizeof errors);
  assert_int_equal(gg_schema_places_create(&places, &schema), 0);
  assert_int_equal(gg_schema_defaults(&schema, &sample), 0);
  assert_int_equal(gg_schema_read_text(&schema, &sample, "f", text, strlen(text), places, &errors), GG_ERR_FORMAT);
  assert_int_equal(errors.count, 2);
  check_place(gg_schema_place(places, "count"), "f:1:8", false);
  check_place(gg_schema_place(places, "a.size"), "f:3:9", true);
  check_place(gg_schema_place(places, "lit"), "", false);
  check_place(gg_schema_item_place(places, schema.lists, 0, "width"), "f:6:12", false);
  check_place(gg_schema_item_place(places, schema.lists, 1, "at"), "f:7:10", false);
  check_place(gg_schema_item_place(places, schema.lists, 1, "width"), "f:7:21", true);
  assert_false(places->unclear);
  assert_false(places->unread);
  assert_int_equal(gg_schema_flags_split(&schema, extras, 2, 4, arguments, uses, &count, &errors), 0);
  assert_int_equal(gg_schema_flags_apply(&schema, &sample, uses, count, places, &errors), 0);
  check_place(gg_schema_item_place(places, schema.lists, 0, "width"), "--width", false);
  check_place(gg_schema_item_place(places, schema.lists, 1, "width"), "", false); /* the list was replaced */
  assert_int_equal(gg_schema_read_text(&schema, &sample, "f", "cuont: 1", 8, places, &errors), GG_ERR_FORMAT);
  assert_true(places->unclear);
  assert_false(places->unread);
  assert_int_equal(gg_schema_read_text(&schema, &sample, "f", "count: [", 8, places, &errors), GG_ERR_FORMAT);
  assert_true(places->unread);
  gg_schema_places_destroy(places);
  gg_schema_places_destroy(NULL);
  gg_schema_fini(&schema, &sample);
}

static void wrong_flags_are_all_told(void **state)
{
  (void)state;
  static const char *const wanted[] = {
    "unknown option '--cuont'; did you mean '--count'?",
    "'7' is not an option",
    "'word' is not an option",
    "unknown option '-x'",
    "unknown option '--no-count'",
    "--help: takes no value",
    "--count: needs a value",
    "--a-size: needs a value",
    "--width: belongs to a door: write it after its --door",
    "--lit: 'maybe' is neither on nor off",
    "--door: 'y' does not begin with x",
    "--door y: --width is missing",
    "--door xwall: no door in a wall",
  };
  struct sample sample;
  assert_int_equal(FLAGS(&sample, "--cuont", "7", "word", "-x", "--no-count", "--help=1", "--count", "--width", "1",
                         "--lit=maybe", "--door", "y", "--door", "xwall", "--width", "2", "--a-size"),
                   GG_ERR_FORMAT);
  for (size_t i = 0; i < errors.count; i++) {
    bool found = false;
    for (size_t j = 0; j < sizeof wanted / sizeof wanted[0]; j++)
      found = found || strcmp(errors.items[i].text, wanted[j]) == 0;
    if (!found)
      fail_msg("unexpected: %s", errors.items[i].text);
  }
  assert_int_equal(errors.count, sizeof wanted / sizeof wanted[0]);
  gg_schema_fini(&schema, &sample);
}

static void too_many_items_are_told(void **state)
{
  (void)state;
  struct sample sample;
  assert_int_equal(FLAGS(&sample, "--door", "x1", "--width", "1", "--door", "x2", "--width", "1", "--door", "x3",
                         "--width", "1", "--door", "x4"),
                   GG_ERR_FORMAT);
  assert_string_equal(errors.items[0].text, "--door x4: more than 3 doors");
  gg_schema_fini(&schema, &sample);
}

/* --- texts ------------------------------------------------------------------------------------------------------ */

static void what_is_printed_reads_back(void **state)
{
  (void)state;
  struct sample sample, again;
  assert_int_equal(read_text(&sample, "lit: off\na: {size: 5000, time: 1.5s, mode: 7}\n"
                                      "b: {color: red, string: 'a\"\\: ', path: \"x\\ny\", blob: '\\x00\\xff\\\\'}\n"
                                      "b.words: ['#', '', ' ']\n"),
                   GG_ERR_FORMAT); /* the empty word */
  gg_schema_fini(&schema, &sample);
  assert_int_equal(read_text(&sample, "lit: off\na: {size: 5000, time: 1.5s, mode: 7}\n"
                                      "b: {color: red, string: 'a\"\\: ', path: \"x\\ny\", blob: '\\x00\\xff\\\\'}\n"
                                      "b.words: ['#', ' ']\ndoors: [{at: x1, width: 3}, {at: x2, width: 4}]\n"),
                   0);
  char *text = gg_schema_print(&schema, &sample);
  assert_string_equal(text, "doors:\n"
                            "  - at: \"x1\"\n"
                            "    width: 3\n"
                            "  - at: \"x2\"\n"
                            "    width: 4\n"
                            "lit: off\n"
                            "count: 5\n"
                            "a:\n"
                            "  size: 5kB\n"
                            "  time: 1.5s\n"
                            "  mode: \"0007\"\n"
                            "b:\n"
                            "  color: red\n"
                            "  string: \"a\\\"\\\\: \"\n"
                            "  path: \"x\\ny\"\n"
                            "  blob: \"\\\\x00\\\\xff\\\\\\\\\"\n"
                            "  words: [\"#\", \" \"]\n");
  assert_int_equal(read_text(&again, text), 0);
  char *twice = gg_schema_print(&schema, &again);
  assert_string_equal(text, twice);
  assert_memory_equal(again.blob.bytes, "\0\xFF\\", 3);
  free(text);
  free(twice);
  gg_schema_fini(&schema, &sample);
  gg_schema_fini(&schema, &again);
}

static void help_and_page_name_every_option(void **state)
{
  (void)state;
  char *help = gg_schema_help(&schema, extras, 2);
  char *page = gg_schema_document(&schema);
  for (size_t i = 0; i < schema.option_count; i++) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "--%s", options[i].flag);
    assert_non_null(strstr(help, wanted));
    snprintf(wanted, sizeof wanted, "| `%s` |", options[i].key);
    assert_non_null(strstr(page, wanted));
  }
  assert_non_null(strstr(help, "  -c, --config FILE               read\n"));
  assert_non_null(strstr(help, "  --b-color red|green|blue        c (green)\n"));
  assert_non_null(strstr(help, "Each --door begins a door"));
  assert_non_null(strstr(page, "| `a.size` | size, 1KiB to 1MiB | `4KiB` | `--a-size` | s | restart |\n"));
  assert_non_null(strstr(page, "- `b.blob`: More of it.\n"));
  assert_non_null(strstr(page, "| `at` | address | required | `--door` | where | reload |\n"));
  free(help);
  free(page);
}

static void note_change(void *context, const struct gg_option *option, const char *from, const char *to)
{
  char *text = context;
  size_t length = strlen(text);
  snprintf(text + length, 512 - length, "%s: %s -> %s%s\n", option->key, from, to, option->restart ? " restart" : "");
}

static void what_differs_is_told_and_some_is_kept(void **state)
{
  (void)state;
  struct sample from = {0}, to = {0};
  char told[512] = "";
  static const char first[] = "a: {size: 8KiB}\nb: {words: [p, q], kept: /old}\n";
  static const char second[] = "count: 7\na: {size: 16KiB}\nb: {words: [p], color: blue, kept: /new}\n";
  assert_int_equal(gg_schema_defaults(&schema, &from), 0);
  assert_int_equal(gg_schema_defaults(&schema, &to), 0);
  assert_int_equal(gg_schema_read_text(&schema, &from, "1", first, strlen(first), NULL, &errors), 0);
  assert_int_equal(gg_schema_read_text(&schema, &to, "2", second, strlen(second), NULL, &errors), 0);
  assert_int_equal(gg_schema_compare(&schema, &from, &from, note_change, told), 0);
  assert_string_equal(told, "");
  assert_int_equal(gg_schema_compare(&schema, &from, &to, note_change, told), 0);
  assert_string_equal(told, "count: 5 -> 7\na.size: 8KiB -> 16KiB restart\nb.color: green -> blue\n"
                            "b.kept: /old -> /new restart\nb.words: [\"p\", \"q\"] -> [\"p\"]\n");
  assert_int_equal(gg_schema_keep(&schema, &to, &from), 0);
  assert_int_equal(to.size, 8192);
  assert_string_equal(to.kept, "/old");
  assert_int_equal(to.count, 7);
  gg_schema_fini(&schema, &from);
  memset(&from, 0, sizeof from);
  assert_int_equal(gg_schema_keep(&schema, &to, &from), GG_ERR_RANGE); /* values that were never valid */
  assert_int_equal(gg_schema_defaults(&schema, &from), 0);
  assert_int_equal(gg_schema_keep(&schema, &to, &from), 0); /* what was not set is not set */
  assert_null(to.kept);
  gg_schema_fini(&schema, &from);
  gg_schema_fini(&schema, &to);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(defaults_are_filled_and_freed),
    cmocka_unit_test(every_type_is_read),
    cmocka_unit_test(empty_documents_are_fine),
    cmocka_unit_test(all_errors_are_told_at_once),
    cmocka_unit_test(ranges_are_told_with_units),
    cmocka_unit_test(wrong_shapes_are_told),
    cmocka_unit_test(unknown_keys_are_guessed),
    cmocka_unit_test(duplicates_are_refused),
    cmocka_unit_test(what_yaml_can_but_a_config_should_not),
    cmocka_unit_test(syntax_errors_have_a_place),
    cmocka_unit_test(many_errors_are_counted),
    cmocka_unit_test(sizes_are_bounded),
    cmocka_unit_test(files_are_read),
    cmocka_unit_test(a_pipe_is_waited_for),
    cmocka_unit_test(flags_set_options),
    cmocka_unit_test(a_flag_of_one_value_is_given_once),
    cmocka_unit_test(places_say_where_and_whether_right),
    cmocka_unit_test(wrong_flags_are_all_told),
    cmocka_unit_test(too_many_items_are_told),
    cmocka_unit_test(what_is_printed_reads_back),
    cmocka_unit_test(what_differs_is_told_and_some_is_kept),
    cmocka_unit_test(help_and_page_name_every_option),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
