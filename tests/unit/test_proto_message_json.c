/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders tell, as JSON: exact numbers, bytes of any kind, credentials masked, and nothing where it does not
 * fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gogetway/decoder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct gg_decoder_field text_field = {"x.text", GG_FIELD_TEXT, false, "a text", NULL};
static const struct gg_decoder_field number_field = {"x.number", GG_FIELD_NUMBER, true, "a number", "x.number=1"};

static void a_message_with_everything(void **state)
{
  (void)state;
  const struct gg_field fields[] = {
    {.of = &text_field, .key = "K\xff", .key_length = 2, .value = (const uint8_t *)"\x80", .length = 1},
    {.of = &text_field,
     .key = "Cookie",
     .key_length = 6,
     .value = (const uint8_t *)"hunter2",
     .length = 7,
     .secret = true,
     .raw_offset = 10,
     .raw_length = 7},
    {.of = &number_field, .number = UINT64_MAX},
    {.of = &number_field, .number = 4711, .secret = true},
    {.of = &text_field, .value = (const uint8_t *)"a\"\x1b", .length = 3, .cut = true},
    {.of = &text_field},
  };
  const struct gg_message message = {
    .number = UINT64_C(9007199254740993),
    .answers = 3,
    .decoder = "x1",
    .protocol = "x",
    .kind = "reply",
    .side = GG_SIDE_SERVER,
    .flags = 0xff,
    .stream = 5,
    .offset = UINT64_MAX - 9,
    .length = 9,
    .first_ns = UINT64_C(1700000000000000001),
    .last_ns = UINT64_C(1700000001000000000),
    .body_length = 12,
    .fields = fields,
    .field_count = 6,
    .summary = "200 \"OK\"",
  };
  static const char head[] =
    "{\"number\":9007199254740993,\"answers\":3,\"protocol\":\"x\",\"decoder\":\"x1\",\"kind\":\"reply\","
    "\"from\":\"server\",\"stream\":5,\"flags\":[\"request\",\"completes\",\"unsolicited\",\"cut\",\"gap\","
    "\"fields_cut\",\"odd\",\"control\"],\"first\":\"2023-11-14T22:13:20.000000001Z\","
    "\"last\":\"2023-11-14T22:13:21.000000000Z\",\"offset\":18446744073709551606,\"length\":9,\"body_length\":12,"
    "\"summary\":\"200 \\\"OK\\\"\",\"fields\":[{\"name\":\"x.text\",\"key_base64\":\"S/8=\",\"base64\":\"gA==\"},";
  static const char masked[] =
    "{\"name\":\"x.text\",\"key\":\"Cookie\",\"value\":\"****\",\"secret\":true,\"offset\":10,\"length\":7},"
    "{\"name\":\"x.number\",\"number\":18446744073709551615},"
    "{\"name\":\"x.number\",\"value\":\"****\",\"secret\":true},";
  static const char open[] =
    "{\"name\":\"x.text\",\"key\":\"Cookie\",\"value\":\"hunter2\",\"secret\":true,\"offset\":10,\"length\":7},"
    "{\"name\":\"x.number\",\"number\":18446744073709551615},"
    "{\"name\":\"x.number\",\"number\":4711,\"secret\":true},";
  static const char tail[] =
    "{\"name\":\"x.text\",\"value\":\"a\\\"\\u001b\",\"cut\":true},{\"name\":\"x.text\",\"value\":\"\"}]}";
  char text[4096], wanted[4096];
  snprintf(wanted, sizeof wanted, "%s%s%s", head, masked, tail);
  assert_int_equal(gg_message_json(&message, 0, text, sizeof text), strlen(wanted));
  assert_string_equal(text, wanted);
  assert_null(strstr(text, "hunter2"));
  snprintf(wanted, sizeof wanted, "%s%s%s", head, open, tail);
  assert_int_equal(gg_message_json(&message, GG_MESSAGE_JSON_SECRETS, text, sizeof text), strlen(wanted));
  assert_string_equal(text, wanted);
  size_t length = strlen(wanted);
  for (size_t size = 0; size <= length; size++) { /* in memory of just that size */
    char *exact = malloc(size ? size : 1);
    assert_int_equal(gg_message_json(&message, GG_MESSAGE_JSON_SECRETS, exact, size), 0);
    free(exact);
  }
  assert_int_equal(gg_message_json(&message, GG_MESSAGE_JSON_SECRETS, text, length + 1), length);
}

static void a_message_with_nothing(void **state)
{
  (void)state;
  const struct gg_message message = {
    .number = 1, .decoder = "x", .protocol = "x", .kind = "frame", .side = GG_SIDE_CLIENT, .summary = ""};
  char text[1024];
  assert_true(gg_message_json(&message, 0, text, sizeof text) > 0);
  assert_string_equal(text, "{\"number\":1,\"protocol\":\"x\",\"decoder\":\"x\",\"kind\":\"frame\",\"from\":\"client\","
                            "\"flags\":[],\"first\":\"1970-01-01T00:00:00.000000000Z\","
                            "\"last\":\"1970-01-01T00:00:00.000000000Z\",\"offset\":0,\"length\":0,\"body_length\":0,"
                            "\"summary\":\"\",\"fields\":[]}");
}

/* As many fields and bytes as a message can have, of the kinds that take the most letters. */
static void the_largest_message_fits(void **state)
{
  (void)state;
  static struct gg_field fields[GG_MESSAGE_FIELDS_MAX];
  static uint8_t bytes[GG_MESSAGE_TEXT_MAX];
  char *text = malloc(GG_MESSAGE_JSON_MAX);
  for (int kind = 0; kind < 2; kind++) {
    memset(bytes, kind == 0 ? 0x01 : 0xff, sizeof bytes);
    for (size_t i = 0; i < GG_MESSAGE_FIELDS_MAX; i++)
      fields[i] = (struct gg_field){.of = &text_field,
                                    .key = (const char *)bytes,
                                    .key_length = 32,
                                    .value = bytes,
                                    .length = sizeof bytes / GG_MESSAGE_FIELDS_MAX - 32,
                                    .secret = true,
                                    .cut = true,
                                    .raw_offset = UINT64_MAX,
                                    .raw_length = UINT64_MAX};
    const struct gg_message message = {.number = UINT64_MAX,
                                       .decoder = "x",
                                       .protocol = "x",
                                       .kind = "frame",
                                       .side = GG_SIDE_CLIENT,
                                       .fields = fields,
                                       .field_count = GG_MESSAGE_FIELDS_MAX,
                                       .summary = ""};
    assert_true(gg_message_json(&message, GG_MESSAGE_JSON_SECRETS, text, GG_MESSAGE_JSON_MAX) > 0);
  }
  free(text);
}

static void an_opaque(void **state)
{
  (void)state;
  const struct gg_opaque opaque = {
    .why = GG_OPAQUE_UNKNOWN, .side = GG_SIDE_SERVER, .offset = 7, .text = "text, begins 22 \"x\""};
  char text[256];
  size_t length = gg_opaque_json(&opaque, text, sizeof text);
  assert_string_equal(text, "{\"opaque\":\"unknown\",\"from\":\"server\",\"offset\":7,"
                            "\"text\":\"text, begins 22 \\\"x\\\"\"}");
  assert_int_equal(length, strlen(text));
  assert_int_equal(gg_opaque_json(&opaque, text, length), 0);
}

static void every_decoder_fits(void **state)
{
  (void)state;
  char *text = malloc(GG_DECODER_JSON_MAX);
  for (size_t i = 0; gg_decoder_at(i); i++) {
    char begin[256];
    snprintf(begin, sizeof begin, "{\"name\":\"%s\",\"protocol\":\"%s\",", gg_decoder_at(i)->name,
             gg_decoder_at(i)->protocol);
    assert_true(gg_decoder_json(gg_decoder_at(i), text, GG_DECODER_JSON_MAX) > 0);
    assert_memory_equal(text, begin, strlen(begin));
  }
  assert_true(gg_decoder_json(gg_decoder_find("http1"), text, GG_DECODER_JSON_MAX) > 0);
  assert_non_null(strstr(text, "\"kinds\":[\"request\",\"response\""));
  assert_non_null(strstr(text, "{\"name\":\"http.status\",\"kind\":\"number\",\"fact\":true,\"help\":\"of a response\","
                               "\"example\":\"http.status=500..\"}"));
  free(text);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_message_with_everything), cmocka_unit_test(a_message_with_nothing),
    cmocka_unit_test(the_largest_message_fits),  cmocka_unit_test(an_opaque),
    cmocka_unit_test(every_decoder_fits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
