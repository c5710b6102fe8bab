/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers: in whatever order these come, with the bounds of what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 1 << 14 };

/* What is told: "3=200,9" for a request 3 that was answered with 9 bytes; "3-" for one without an answer. */
struct scene {
  struct gg__exchanges exchanges;
  char told[TOLD_MAX];
  size_t count;
  size_t request_bytes, answer_bytes; /* kept of the last one */
  bool early;
};

static const struct gg_decoder_field status_field = {.name = "http.status", .kind = GG_FIELD_NUMBER};
static const struct gg_decoder_field path_field = {.name = "http.path"};

static void done(void *context, const struct gg__exchange *exchange)
{
  struct scene *scene = context;
  const struct gg_message *request = &exchange->request.message;
  const struct gg_field *path = gg_message_field(request, "http.path", NULL);
  char expected[32];
  int length = snprintf(expected, sizeof expected, "/%u", (unsigned)request->number);
  assert_non_null(path);
  assert_int_equal(path->length, length);
  assert_memory_equal(path->value, expected, path->length);
  scene->count++;
  scene->early = exchange->early;
  scene->request_bytes = exchange->request.body_length;
  scene->answer_bytes = exchange->response.body_length;
  size_t used = strlen(scene->told);
  if (used > sizeof scene->told - 32)
    return;
  if (exchange->response.ended)
    snprintf(scene->told + used, sizeof scene->told - used, "%u=%u ", (unsigned)request->number,
             (unsigned)gg_message_field(&exchange->response.message, "http.status", NULL)->number);
  else
    snprintf(scene->told + used, sizeof scene->told - used, "%u- ", (unsigned)request->number);
}

static void begin_scene(struct scene *scene)
{
  memset(scene, 0, sizeof *scene);
  gg__exchanges_init(&scene->exchanges, scene, done);
}

static void end_scene(struct scene *scene)
{
  gg__exchanges_finish(&scene->exchanges);
  assert_int_equal(scene->exchanges.count, 0);
  assert_int_equal(scene->exchanges.memory, 0);
  assert_null(scene->exchanges.first);
  gg__exchanges_fini(&scene->exchanges);
}

/* The fields live as long as they do in a decoding: until the call has returned. */
static void message(struct scene *scene, unsigned number, unsigned answers, unsigned status, const char *parts)
{
  char path[32];
  int length = snprintf(path, sizeof path, "/%u", number);
  struct gg_field field = {.of = answers ? &status_field : &path_field, .number = status};
  field.value = answers ? NULL : (const uint8_t *)path;
  field.length = answers ? 0 : (size_t)length;
  struct gg_message message = {.number = number,
                               .answers = answers,
                               .decoder = "http2",
                               .protocol = "http",
                               .kind = answers ? "response" : "request",
                               .side = answers ? GG_SIDE_SERVER : GG_SIDE_CLIENT,
                               .fields = &field,
                               .field_count = 1};
  for (; *parts; parts++)
    if (*parts == 'h')
      gg__exchanges_head(&scene->exchanges, &message);
    else if (*parts == 'e')
      gg__exchanges_end(&scene->exchanges, &message);
    else
      gg__exchanges_body(&scene->exchanges, &message, &(struct gg_body){.data = (const uint8_t *)"body", .length = 4});
  memset(path, 'x', sizeof path);
}

static void request(struct scene *scene, unsigned number)
{
  message(scene, number, 0, 0, "he");
}

static void answer(struct scene *scene, unsigned number, unsigned answers)
{
  message(scene, number, answers, 200 + answers % 100, "hbe");
}

static void in_order_whatever_comes(void **state)
{
  (void)state;
  struct scene scene;
  begin_scene(&scene);
  request(&scene, 1);
  request(&scene, 2);
  request(&scene, 3);
  answer(&scene, 4, 3);
  answer(&scene, 5, 2);
  assert_string_equal(scene.told, "");
  message(&scene, 6, 1, 100, "he"); /* 100 Continue */
  assert_string_equal(scene.told, "");
  message(&scene, 7, 1, 404, "hbb");
  assert_string_equal(scene.told, "");
  message(&scene, 7, 1, 404, "e");
  assert_string_equal(scene.told, "1=404 2=202 3=203 ");
  request(&scene, 8);
  answer(&scene, 9, 99); /* of a request that nobody has seen */
  end_scene(&scene);
  assert_string_equal(scene.told, "1=404 2=202 3=203 8- ");
  assert_int_equal(scene.exchanges.answers_alone, 1);
}

/* An answer that is complete before its request is (a refusal in the middle of an upload). */
static void an_answer_before_the_end(void **state)
{
  (void)state;
  struct scene scene;
  begin_scene(&scene);
  message(&scene, 1, 0, 0, "hb");
  answer(&scene, 2, 1);
  assert_string_equal(scene.told, "");
  message(&scene, 1, 0, 0, "bbe");
  assert_string_equal(scene.told, "1=201 ");
  assert_int_equal(scene.request_bytes, 12);
  assert_int_equal(scene.answer_bytes, 4);
  end_scene(&scene);
}

static void too_many_wait(void **state)
{
  (void)state;
  struct scene scene;
  begin_scene(&scene);
  for (unsigned i = 1; i <= GG__EXCHANGES_MAX; i++)
    request(&scene, i);
  answer(&scene, 5000, 2);
  answer(&scene, 5001, 700);
  assert_string_equal(scene.told, "");
  request(&scene, 6000); /* the complete ones go, though the first has no answer */
  assert_string_equal(scene.told, "2=202 700=200 ");
  request(&scene, 6001);
  assert_int_equal(scene.count, 2);
  request(&scene, 6002); /* none is complete: the oldest goes as it is */
  assert_string_equal(scene.told, "2=202 700=200 1- ");
  assert_true(scene.early);
  answer(&scene, 7000, 1);
  assert_int_equal(scene.exchanges.answers_alone, 1);
  answer(&scene, 7001, 6002);
  end_scene(&scene);
  assert_int_equal(scene.count, GG__EXCHANGES_MAX + 3);
}

static void long_bodies_are_cut(void **state)
{
  (void)state;
  struct scene scene;
  begin_scene(&scene);
  request(&scene, 1);
  message(&scene, 2, 1, 200, "h");
  for (unsigned i = 0; i < GG__EXCHANGE_BODY_MAX / 4 + 100; i++)
    message(&scene, 2, 1, 200, "b");
  message(&scene, 2, 1, 200, "e");
  assert_int_equal(scene.answer_bytes, GG__EXCHANGE_BODY_MAX);
  for (unsigned i = 0; i < 20; i++) { /* all at once: no more than there is memory for */
    request(&scene, 100 + i);
    message(&scene, 200 + i, 100 + i, 200, "h");
  }
  static uint8_t piece[1 << 20];
  for (unsigned i = 0; i < 20 * 8; i++) {
    struct gg_message message = {
      .number = 200 + i % 20, .answers = 100 + i % 20, .decoder = "http2", .kind = "response", .side = GG_SIDE_SERVER};
    gg__exchanges_body(&scene.exchanges, &message, &(struct gg_body){.data = piece, .length = sizeof piece});
    assert_true(scene.exchanges.memory <= GG__EXCHANGE_MEMORY_MAX);
  }
  assert_true(scene.exchanges.memory > GG__EXCHANGE_MEMORY_MAX / 4);
  end_scene(&scene);
  assert_int_equal(scene.count, 21);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(in_order_whatever_comes),
    cmocka_unit_test(an_answer_before_the_end),
    cmocka_unit_test(too_many_wait),
    cmocka_unit_test(long_bodies_are_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
