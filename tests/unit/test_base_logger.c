/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/logger.h"
#include <fcntl.h>
#include <gogetway/error.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

struct catch
{
  char line[GG_LOGGER_LINE_MAX + 1];
  size_t length;
  size_t count;
  enum gg_level level;
};

static void catch_line(void *context, enum gg_level level, const char *line, size_t length)
{
  struct catch *caught = context;
  assert_true(length < GG_LOGGER_LINE_MAX);
  assert_int_equal(strlen(line), length);
  assert_null(strchr(line, '\n'));
  memcpy(caught->line, line, length + 1);
  caught->length = length;
  caught->level = level;
  caught->count++;
}

static struct gg_logger *make(struct catch *caught, enum gg_level least, enum gg_logger_format format)
{
  struct gg_logger *logger = NULL;
  memset(caught, 0, sizeof *caught);
  assert_int_equal(gg_logger_create_sink(&logger, catch_line, caught, least, format), 0);
  return logger;
}

static void json_has_every_kind(void **state)
{
  (void)state;
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_INFO, GG_LOGGER_AUTO);
  gg_warn(logger, "upstream refused", GG_S("upstream", "a\x1b[2J\xFF"), GG_S("none", NULL), GG_U("n", INT64_MAX),
          GG_I("i", -5), GG_D("d", 0.25), GG_B("b", true));
  assert_int_equal(caught.level, GG_LEVEL_WARNING);
  assert_null(strchr(caught.line, 0x1b));
  json_t *read = json_loads(caught.line, 0, NULL);
  assert_non_null(read);
  assert_string_equal(json_string_value(json_object_get(read, "level")), "warning");
  assert_string_equal(json_string_value(json_object_get(read, "event")), "upstream refused");
  assert_int_equal(json_string_length(json_object_get(read, "time")), 24);
  json_decref(read);
  assert_string_equal(strstr(caught.line, "\"upstream\":"),
                      "\"upstream\":\"a\\u001b[2J\xEF\xBF\xBD\",\"none\":null,\"n\":9223372036854775807,\"i\":-5,"
                      "\"d\":0.25,\"b\":true}");
  gg_logger_destroy(logger);
}

static void text_quotes_what_is_not_plain(void **state)
{
  (void)state;
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_DEBUG, GG_LOGGER_TEXT);
  gg_info(logger, "listening", GG_S("address", "[::1]:80"), GG_S("empty", ""), GG_S("name", "a b"),
          GG_S("esc", "\x1b]0;x"), GG_S("none", NULL), GG_U("n", 7), GG_I("i", -7), GG_D("d", 1.5), GG_B("b", false));
  assert_string_equal(caught.line + 25,
                      "info    listening address=[::1]:80 empty=\"\" name=\"a b\" esc=\"\\u001b]0;x\" "
                      "none=null n=7 i=-7 d=1.5 b=false");
  gg_logger_destroy(logger);
}

static void levels_are_kept(void **state)
{
  (void)state;
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_WARNING, GG_LOGGER_JSON);
  gg_info(logger, "quiet", GG_U("n", 1));
  gg_debug(logger, "quiet", GG_U("n", 1));
  assert_int_equal(caught.count, 0);
  gg_error_log(logger, "loud", GG_U("n", 1));
  assert_int_equal(caught.count, 1);
  gg_logger_destroy(logger);
  logger = make(&caught, GG_LEVEL_OFF, GG_LOGGER_JSON);
  gg_error_log(logger, "loud", GG_U("n", 1));
  assert_int_equal(caught.count, 0);
  assert_false(gg_logger_wants(logger, GG_LEVEL_OFF));
  assert_false(gg_logger_wants(NULL, GG_LEVEL_ERROR));
  struct gg_logger *nobody = NULL;
  gg_error_log(nobody, "unheard", GG_U("n", 1));
  gg_logger_destroy(logger);
  gg_logger_destroy(NULL);
}

/* Whoever speaks into a full pipe goes on at once; the first line after that says what was lost. */
static void a_full_pipe_holds_nobody_up(void **state)
{
  (void)state;
  struct gg_logger *logger = NULL;
  char line[4096];
  int ends[2];
  assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  memset(line, '.', sizeof line);
  while (write(ends[1], line, sizeof line) > 0)
    ;
  while (write(ends[1], line, 1) > 0)
    ;
  assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
  assert_int_equal(gg_logger_create(&logger, ends[1], GG_LEVEL_INFO, GG_LOGGER_JSON), 0);
  alarm(20); /* ends the test if it is held up */
  for (int i = 0; i < 3; i++)
    gg_info(logger, "unheard", GG_U("n", i));
  while (read(ends[0], line, sizeof line) > 0)
    assert_int_equal(line[0], '.');
  gg_info(logger, "heard", GG_U("n", 3));
  gg_info(logger, "heard", GG_U("n", 4));
  alarm(0);
  ssize_t length = read(ends[0], line, sizeof line - 1);
  assert_true(length > 0);
  line[length] = '\0';
  char *second = strchr(line, '\n') + 1;
  assert_non_null(strstr(line, "\"event\":\"heard\",\"n\":3,\"lost\":3}\n"));
  assert_non_null(strstr(second, "\"event\":\"heard\",\"n\":4}\n"));
  gg_logger_destroy(logger);
  close(ends[0]);
  close(ends[1]);
}

static void repeats_are_held_back_and_counted(void **state)
{
  (void)state;
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_INFO, GG_LOGGER_JSON);
  struct gg_log_site site = {0};
  struct gg_log_field field = GG_U("n", 1);
  /* The second may turn once in the middle: then there are two bursts. */
  for (int i = 0; i < 100; i++)
    gg_logger_emit(logger, &site, GG_LEVEL_INFO, "again", &field, 1);
  assert_true(caught.count == GG_LOGGER_BURST || caught.count == 2 * GG_LOGGER_BURST);
  uint32_t held = site.held_back;
  assert_true(held > 0 && held <= 100 - GG_LOGGER_BURST);
  site.second = 1; /* as if that second had passed */
  gg_logger_emit(logger, &site, GG_LEVEL_INFO, "again", &field, 1);
  char wanted[64];
  snprintf(wanted, sizeof wanted, "\"repeated\":%u}", held);
  assert_non_null(strstr(caught.line, wanted));
  gg_logger_destroy(logger);
}

static void say_at(struct gg_logger *logger, const void *place, int times)
{
  const struct gg_log_field field = GG_U("n", 1);
  for (int i = 0; i < times; i++)
    gg_logger_emit_at(logger, place, GG_LEVEL_INFO, "again", &field, 1);
}

/* One whose messages are held back does not keep another one from speaking, of the same logger or at the same place. */
static void each_place_of_each_logger_has_its_own_limit(void **state)
{
  static const char places[GG_LOGGER_PLACES_MAX + 64];
  struct catch caught, other_caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_INFO, GG_LOGGER_JSON);
  struct gg_logger *other = make(&other_caught, GG_LEVEL_INFO, GG_LOGGER_JSON);
  (void)state;
  say_at(logger, &places[0], 1000);
  assert_in_range(caught.count, GG_LOGGER_BURST, 3 * GG_LOGGER_BURST); /* seconds may turn meanwhile */
  say_at(other, &places[0], 1);
  assert_int_equal(other_caught.count, 1);
  caught.count = 0;
  for (int i = 1; i < GG_LOGGER_PLACES_MAX; i++)
    say_at(logger, &places[i], 1);
  assert_int_equal(caught.count, GG_LOGGER_PLACES_MAX - 1);
  caught.count = 0;
  for (int i = GG_LOGGER_PLACES_MAX; i < GG_LOGGER_PLACES_MAX + 64; i++)
    say_at(logger, &places[i], 1); /* none has room any more: they share one */
  assert_in_range(caught.count, GG_LOGGER_BURST, 3 * GG_LOGGER_BURST);
  gg_logger_destroy(logger);
  gg_logger_destroy(other);
}

static void a_long_line_stays_well_formed(void **state)
{
  (void)state;
  char hostile[3000];
  memset(hostile, 0x1b, sizeof hostile);
  hostile[sizeof hostile - 1] = '\0';
  struct gg_log_field fields[GG_LOGGER_FIELDS_MAX];
  for (size_t i = 0; i < GG_LOGGER_FIELDS_MAX; i++)
    fields[i] = i % 2 ? GG_S("long", hostile) : GG_U("n", i);
  for (int format = GG_LOGGER_TEXT; format <= GG_LOGGER_JSON; format++) {
    struct catch caught;
    struct gg_logger *logger = make(&caught, GG_LEVEL_INFO, (enum gg_logger_format)format);
    gg_logger_emit(logger, NULL, GG_LEVEL_INFO, "long", fields, GG_LOGGER_FIELDS_MAX);
    assert_int_equal(caught.count, 1);
    assert_non_null(strstr(caught.line, "truncated"));
    if (format == GG_LOGGER_JSON) {
      json_t *read = json_loads(caught.line, 0, NULL);
      assert_non_null(read);
      json_decref(read);
    }
    gg_logger_destroy(logger);
  }
}

static void cut_values_end_between_characters(void **state)
{
  (void)state;
  char text[3001];
  for (size_t i = 0; i < 1000; i++)
    memcpy(text + 3 * i, "\xE2\x82\xAC", 3);
  text[3000] = '\0';
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_INFO, GG_LOGGER_JSON);
  gg_info(logger, "cut", GG_S("text", text));
  assert_null(strstr(caught.line, "\xEF\xBF\xBD"));
  assert_non_null(strstr(caught.line, "\"truncated\":true"));
  gg_logger_destroy(logger);
}

static void level_and_form_may_change(void **state)
{
  (void)state;
  struct catch caught;
  struct gg_logger *logger = make(&caught, GG_LEVEL_WARNING, GG_LOGGER_JSON);
  gg_logger_set(logger, GG_LEVEL_DEBUG, GG_LOGGER_TEXT);
  assert_true(gg_logger_wants(logger, GG_LEVEL_DEBUG));
  gg_debug(logger, "said", GG_U("n", 1));
  assert_non_null(strstr(caught.line, " debug   said n=1"));
  gg_logger_set(logger, GG_LEVEL_OFF, GG_LOGGER_AUTO);
  assert_false(gg_logger_wants(logger, GG_LEVEL_ERROR));
  gg_logger_set(NULL, GG_LEVEL_INFO, GG_LOGGER_AUTO);
  gg_logger_destroy(logger);
}

enum { THREADS = 4, LINES = 200 };

static void *speak(void *context)
{
  struct gg_log_field field = GG_S("value", "0123456789012345678901234567890123456789");
  for (int i = 0; i < LINES; i++)
    gg_logger_emit(context, NULL, GG_LEVEL_INFO, "said", &field, 1);
  return NULL;
}

static void lines_of_threads_never_mix(void **state)
{
  (void)state;
  FILE *file = tmpfile();
  assert_non_null(file);
  struct gg_logger *logger = NULL;
  pthread_t threads[THREADS];
  assert_int_equal(gg_logger_create(&logger, fileno(file), GG_LEVEL_INFO, GG_LOGGER_AUTO), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, speak, logger), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  gg_logger_destroy(logger);
  rewind(file);
  char line[512];
  int count = 0;
  while (fgets(line, sizeof line, file)) {
    json_t *read = json_loads(line, 0, NULL);
    assert_non_null(read);
    json_decref(read);
    count++;
  }
  assert_int_equal(count, THREADS * LINES);
  fclose(file);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(json_has_every_kind),
    cmocka_unit_test(text_quotes_what_is_not_plain),
    cmocka_unit_test(levels_are_kept),
    cmocka_unit_test(a_full_pipe_holds_nobody_up),
    cmocka_unit_test(repeats_are_held_back_and_counted),
    cmocka_unit_test(each_place_of_each_logger_has_its_own_limit),
    cmocka_unit_test(a_long_line_stays_well_formed),
    cmocka_unit_test(cut_values_end_between_characters),
    cmocka_unit_test(level_and_form_may_change),
    cmocka_unit_test(lines_of_threads_never_mix),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
