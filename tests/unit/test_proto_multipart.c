/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a multipart: names, ranges, boundaries that are none, and all of it cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/multipart.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
  char text[8192];
  size_t length;
  const char *body;
  char part[4096];
  size_t part_length;
};

static void begin(void *context, const struct gg__part *part)
{
  struct told *told = context;
  told->part_length = 0;
  told->length +=
    (size_t)snprintf(told->text + told->length, sizeof told->text - told->length,
                     "%" PRIu64 " at %" PRIu64 ", body at %" PRIu64 ":", part->number, part->offset, part->body_offset);
  for (size_t i = 0; i < part->header_count; i++)
    told->length += (size_t)snprintf(told->text + told->length, sizeof told->text - told->length, " {%.*s: %.*s}",
                                     (int)part->headers[i].name.length, part->headers[i].name.text,
                                     (int)part->headers[i].value.length, part->headers[i].value.text);
  assert_true(told->length < sizeof told->text);
}

static void body(void *context, const struct gg__part *part, const void *data, size_t length)
{
  struct told *told = context;
  assert_true(length > 0 && told->part_length + length <= sizeof told->part);
  memcpy(told->part + told->part_length, data, length);
  told->part_length += length;
  assert_int_equal(part->body_length, told->part_length);
}

static void end(void *context, const struct gg__part *part)
{
  struct told *told = context;
  /* What was told stands in the body, where it says. */
  assert_int_equal(part->body_length, told->part_length);
  assert_memory_equal(told->body + part->body_offset, told->part, told->part_length);
  told->length +=
    (size_t)snprintf(told->text + told->length, sizeof told->text - told->length, "%s%.*s%s%.*s%s%.*s%s%s%s [%.*s]\n",
                     part->name.text ? " name=" : "", (int)part->name.length, part->name.text ? part->name.text : "",
                     part->filename.text ? " file=" : "", (int)part->filename.length,
                     part->filename.text ? part->filename.text : "", part->type.text ? " type=" : "",
                     (int)part->type.length, part->type.text ? part->type.text : "", part->secret ? " secret" : "",
                     part->head_cut ? " head-cut" : "", part->cut ? " cut" : "", (int)told->part_length, told->part);
  assert_true(told->length < sizeof told->text);
}

static bool read_parts(struct told *told, const char *type, const char *data, size_t length, size_t step)
{
  static struct gg__multipart multipart;
  const struct gg__multipart_sink sink = {.context = told, .begin = begin, .body = body, .end = end};
  told->length = 0;
  told->text[0] = '\0';
  told->body = data;
  assert_true(gg__multipart_init(&multipart, &sink, type, strlen(type)));
  for (size_t done = 0; done < length; done += step) {
    size_t part = step < length - done ? step : length - done;
    char *exactly = malloc(part); /* so that a sanitizer sees who looks behind it */
    assert_non_null(exactly);
    memcpy(exactly, data + done, part);
    gg__multipart_push(&multipart, exactly, part);
    free(exactly);
  }
  return gg__multipart_finish(&multipart);
}

static void tell(const char *type, const char *data, const char *wanted, bool whole)
{
  static struct told told;
  for (size_t step = 1; step < 30; step++) {
    assert_int_equal(read_parts(&told, type, data, strlen(data), step), whole);
    assert_string_equal(told.text, wanted);
  }
}

#define FORM "multipart/form-data; boundary=xyz"

static void forms(void **state)
{
  (void)state;
  tell(FORM,
       "--xyz\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n"
       "--xyz\r\nContent-Disposition: form-data; name=password\r\n\r\ns3cret\r\n"
       "--xyz\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a;\\\"b\\\" C:\\x.txt\"\r\n"
       "Content-Type: text/plain; charset=utf-8\r\n\r\nline\r\nline\n\r\n\r\n--xyz--\r\nbehind",
       "1 at 7, body at 54: {Content-Disposition: form-data; name=\"user\"} name=user [ann]\n"
       "2 at 66, body at 115: {Content-Disposition: form-data; name=password} name=password secret [s3cret]\n"
       "3 at 130, body at 244: {content-disposition: form-data; name=\"f\"; filename=\"a;\\\"b\\\" C:\\x.txt\"} "
       "{Content-Type: text/plain; charset=utf-8} name=f file=a;\"b\" C:\\x.txt type=text/plain [line\r\nline\n\r\n]\n",
       true);
}

static void names(void **state)
{
  (void)state;
  tell("multipart/mixed; x=\"a;boundary=no\"; Boundary=\"a b\"",
       "--a b\nContent-Disposition: attachment; filename=\"x\"; filename*=UTF-8''na%C3%AFve%2\n\n1\n--a b--",
       "1 at 6, body at 84: {Content-Disposition: attachment; filename=\"x\"; filename*=UTF-8''na%C3%AFve%2} "
       "file=na\xc3\xafve%2 [1]\n",
       true);
  tell("multipart/mixed;boundary=b", "--b\r\nX: a\r\n  b\r\nnone\r\n\r\n\r\n--b--",
       "1 at 5, body at 24: {X: a\r\n  b} []\n", true);
}

static void edges(void **state)
{
  (void)state;
  tell(FORM, "", "", false);
  tell(FORM, "--xyz--", "", true);
  tell(FORM, "preamble\r\n--xyz\r\n\r\n\r\n--xyz--\r\n", "1 at 17, body at 19: []\n", true);
  tell(FORM, "--xyz\r\n\r\n--xyz--", "1 at 7, body at 9: []\n", true);
  tell(FORM, "--xyz \t\r\n\r\na\r\n--xyz-- \r\n", "1 at 9, body at 11: [a]\n", true);
  /* What only begins like a boundary */
  tell(FORM, "--xyz\r\n\r\n--xyzz\r\n--xy\r\r\n--xyz-\r\n--xyz a\n--xyz\r.\r\n--xyz--",
       "1 at 7, body at 9: [--xyzz\r\n--xy\r\r\n--xyz-\r\n--xyz a\n--xyz\r.]\n", true);
  tell(FORM, "--xyz\n\na\n--xyz\n\nb\n--xyz--\n", "1 at 6, body at 7: [a]\n2 at 15, body at 16: [b]\n", true);
}

static void cut(void **state)
{
  (void)state;
  tell(FORM, "--xyz\r\nA: b", "1 at 7, body at 11: {A: b} cut []\n", false);
  tell(FORM, "--xyz\r\n\r\nhalf\r\n--xy", "1 at 7, body at 9: cut [half\r\n--xy]\n", false);
  tell(FORM, "--xyz\r\n\r\nhalf\r\n--xyz", "1 at 7, body at 9: cut [half\r\n--xyz]\n", false);
  tell(FORM, "--xyz\r\n\r\nhalf\r\n--xyz\r\n", "1 at 7, body at 9: [half]\n2 at 22, body at 22: cut []\n", false);
}

static void long_heads(void **state)
{
  (void)state;
  static char data[20000];
  static struct told told;
  size_t length = (size_t)snprintf(data, sizeof data, "--xyz\r\nA: ");
  memset(data + length, 'x', 10000);
  length += 10000;
  length += (size_t)snprintf(data + length, sizeof data - length, "\r\nname: x\r\n\r\nbody\r\n--xyz\r\n");
  for (unsigned i = 0; i < 40; i++)
    length += (size_t)snprintf(data + length, sizeof data - length, "H%u:\r\n", i);
  length += (size_t)snprintf(data + length, sizeof data - length, "\r\nlast\r\n--xyz--");
  char shown[sizeof told.text];
  read_parts(&told, FORM, data, length, 100);
  memcpy(shown, told.text, sizeof shown);
  assert_non_null(strstr(shown, "head-cut [body]\n"));
  assert_non_null(strstr(shown, "{H31: } head-cut [last]\n"));
}

static void no_boundary(void **state)
{
  (void)state;
  static struct gg__multipart multipart;
  const struct gg__multipart_sink sink = {0};
  static const char *const types[] = {"",
                                      "multipart/mixed",
                                      "multipart/mixed; boundary=",
                                      "multipart/mixed; boundary",
                                      "multipart/mixed; boundary=\"\"",
                                      "boundary=x",
                                      "a;boundary=\"\n\"",
                                      "multipart/mixed; \"boundary=x"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (gg__multipart_init(&multipart, &sink, types[i], strlen(types[i])))
      fail_msg("%s", types[i]);
  char type[400] = "a;boundary=";
  memset(type + 11, 'x', 200);
  assert_true(gg__multipart_init(&multipart, &sink, type, 11 + 200));
  type[211] = 'x';
  assert_false(gg__multipart_init(&multipart, &sink, type, 11 + 201));
}

/* Anything that looks a little like it: the same however it is cut, and bodies stand where they say (see `end`). */
static void anything(void **state)
{
  (void)state;
  static const char *const pieces[] = {"\r\n--xyz\r\n", "--xyz", "--xyz--", "\r\n", "\n",          "\r", "\r\n\r\n",
                                       "A: b",          "--",    "-",       "xyz",  "\n--xyz\n\n", " ",  "body"};
  static struct told whole, parts;
  unsigned seed = 4, found = 0;
  for (unsigned i = 0; i < 20000; i++) {
    char data[256];
    size_t length = 0;
    for (unsigned n = (unsigned)rand_r(&seed) % 16; n; n--)
      length += (size_t)snprintf(data + length, sizeof data - length, "%s",
                                 pieces[(size_t)rand_r(&seed) % (sizeof pieces / sizeof *pieces)]);
    bool ended = read_parts(&whole, FORM, data, length, sizeof data);
    assert_int_equal(read_parts(&parts, FORM, data, length, 1 + i % 6), ended);
    assert_string_equal(whole.text, parts.text);
    found += whole.length > 0;
  }
  assert_true(found > 5000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(forms),      cmocka_unit_test(names),       cmocka_unit_test(edges),    cmocka_unit_test(cut),
    cmocka_unit_test(long_heads), cmocka_unit_test(no_boundary), cmocka_unit_test(anything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
