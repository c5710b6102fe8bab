/* SPDX-License-Identifier: Apache-2.0 */
/* Forms as pairs, and which kind of body is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/content_kind.h"
#include "proto/form.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
  char text[8192];
  size_t length;
  const char *body;
  size_t body_length;
};

static void add(void *context, const struct gg__form_pair *pair)
{
  struct told *told = context;
  told->length += (size_t)snprintf(
    told->text + told->length, sizeof told->text - told->length, "%.*s%s%.*s%s%s%s [%.*s]\n", (int)pair->key_length,
    pair->key, pair->has_value ? "=" : "", (int)(pair->value_length < 40 ? pair->value_length : 40), pair->value,
    pair->secret ? " secret" : "", pair->odd ? " odd" : "", pair->key_cut || pair->value_cut ? " cut" : "",
    (int)(pair->raw_length < 40 ? pair->raw_length : 40), told->body + pair->raw_offset);
  assert_true(told->length < sizeof told->text);
  const char *key = told->body + pair->key_offset, *behind = key + pair->key_raw_length;
  assert_true(key == told->body || key[-1] == '&');
  if (behind < told->body + told->body_length)
    assert_int_equal(*behind, pair->has_value ? '=' : '&');
  else
    assert_false(pair->has_value);
  assert_true(pair->key_cut || pair->key_raw_length >= pair->key_length);
}

static void read_form(struct told *told, const char *body, size_t length, size_t step)
{
  static struct gg__form form;
  *told = (struct told){.body = body, .body_length = length};
  gg__form_init(&form, add, told);
  for (size_t done = 0; done < length; done += step) {
    size_t part = step < length - done ? step : length - done;
    char *exactly = malloc(part); /* so that a sanitizer sees who looks behind it */
    assert_non_null(exactly);
    memcpy(exactly, body + done, part);
    gg__form_push(&form, exactly, part);
    free(exactly);
  }
  gg__form_finish(&form);
}

static void tell(const char *body, const char *wanted)
{
  for (size_t step = 1; step < 20; step++) {
    struct told told;
    read_form(&told, body, strlen(body), step);
    assert_string_equal(told.text, wanted);
  }
}

static void pairs(void **state)
{
  (void)state;
  tell("", "");
  tell("a=1", "a=1 [1]\n");
  tell("a=1&b=x+y%20%c3%a4&c&d=&=e", "a=1 [1]\nb=x y \xc3\xa4 [x+y%20%c3%a4]\nc []\nd= []\n=e [e]\n");
  tell("&&a=b=c&", "a=b=c [b=c]\n");
  tell("a=%&b=%4&c=%zz&d=%%41&e=100%", "a=% odd [%]\nb=%4 odd [%4]\nc=%zz odd [%zz]\nd=%A odd [%%41]\ne=100% odd "
                                       "[100%]\n");
  tell("user=ann&pass%77ord=s3cr%21t&apiKey=1", "user=ann [ann]\npassword=s3cr!t secret [s3cr%21t]\n"
                                                "apiKey=1 secret [1]\n");
}

static void long_ones(void **state)
{
  (void)state;
  static char body[20000];
  memset(body, 'x', sizeof body - 1);
  struct told told;
  read_form(&told, body, sizeof body - 1, 100);
  assert_non_null(strstr(told.text, " cut []\n"));
  assert_int_equal(strspn(told.text, "x"), GG__FORM_KEY_MAX);
  memcpy(body, "k=", 2);
  read_form(&told, body, sizeof body - 1, 7);
  assert_memory_equal(told.text, "k=xxxxxxxx", 10);
  assert_non_null(strstr(told.text, " cut ["));
}

/* The same however it is cut, whatever it is. */
static void anything(void **state)
{
  (void)state;
  static const char letters[] = "%%%4aF=&&+g\xff";
  unsigned seed = 3;
  for (unsigned i = 0; i < 20000; i++) {
    char body[64];
    size_t length = (size_t)rand_r(&seed) % sizeof body;
    for (size_t at = 0; at < length; at++)
      body[at] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
    struct told whole, cut;
    read_form(&whole, body, length, sizeof body);
    read_form(&cut, body, length, 1 + i % 5);
    assert_string_equal(whole.text, cut.text);
  }
}

static void kinds(void **state)
{
  (void)state;
  static const struct {
    const char *type;
    enum gg__content_kind kind;
  } all[] = {{"application/x-www-form-urlencoded; charset=utf-8", GG__CONTENT_FORM},
             {" Application/JSON ", GG__CONTENT_JSON},
             {"application/problem+json;x", GG__CONTENT_JSON},
             {"application/x-ndjson", GG__CONTENT_JSON},
             {"multipart/form-data; boundary=x", GG__CONTENT_MULTIPART},
             {"text/html", GG__CONTENT_TEXT},
             {"image/svg+xml", GG__CONTENT_TEXT},
             {"image/png", GG__CONTENT_OTHER},
             {"json", GG__CONTENT_OTHER},
             {"", GG__CONTENT_OTHER},
             {";", GG__CONTENT_OTHER}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (gg__content_kind(all[i].type, strlen(all[i].type)) != all[i].kind)
      fail_msg("%s", all[i].type);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(pairs),
    cmocka_unit_test(long_ones),
    cmocka_unit_test(anything),
    cmocka_unit_test(kinds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
