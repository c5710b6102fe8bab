/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as text for people: each shape, in whatever pieces, cut anywhere, damaged, hostile, too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gogetway/content.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef GG_HAVE_ZLIB
#include <zlib.h>
#endif

enum { OUT_MAX = 1 << 17, FLIPS = 10000 };

struct out {
  char text[OUT_MAX];
  size_t length;
  struct gg_body_view_result result;
  char masked[OUT_MAX]; /* "from-to name\n" */
};

struct given {
  const char *type, *encoding;
  const void *data;
  size_t length;
  uint64_t missing;
  struct gg_body_view_options options;
};

static struct given given_of(const char *type, const char *text)
{
  return (struct given){.type = type, .data = text, .length = strlen(text), .options = GG_BODY_VIEW_OPTIONS_INIT};
}

static void take(void *context, const void *data, size_t length)
{
  struct out *out = context;
  assert_in_range(length, 1, sizeof out->text - out->length - 1);
  memcpy(out->text + out->length, data, length);
  out->length += length;
  out->text[out->length] = '\0';
}

static void take_masked(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  struct out *out = context;
  size_t used = strlen(out->masked);
  assert_true(to > from);
  snprintf(out->masked + used, sizeof out->masked - used, "%u-%u %.*s\n", (unsigned)from, (unsigned)to,
           (int)name_length, name);
}

/* `step`: bytes at once, at the most; by chance below that if there is a seed. Each piece is in a block of its size. */
static void view(struct out *out, const struct given *given, size_t step, unsigned seed)
{
  struct gg_body_view *view = NULL;
  const char *encoding = given->encoding ? given->encoding : "";
  out->length = 0;
  out->text[0] = out->masked[0] = '\0';
  struct gg_body_view_options options = given->options;
  options.masked = take_masked;
  options.masked_context = out;
  out->result = (struct gg_body_view_result)GG_BODY_VIEW_RESULT_INIT;
  assert_int_equal(gg_body_view_create(&view, given->type, given->type ? strlen(given->type) : 0, encoding,
                                       strlen(encoding), &options, take, out, NULL),
                   0);
  for (size_t done = 0, part; done < given->length; done += part) {
    part = seed ? 1 + (size_t)rand_r(&seed) % step : step;
    part = part < given->length - done ? part : given->length - done;
    void *exactly = malloc(part);
    assert_non_null(exactly);
    memcpy(exactly, (const uint8_t *)given->data + done, part);
    assert_int_equal(gg_body_view_push(view, exactly, part, NULL), 0);
    free(exactly);
  }
  assert_int_equal(gg_body_view_finish(view, given->missing, &out->result, NULL), 0);
  gg_body_view_destroy(view);
}

static struct out whole, cut;

/* The same in whatever pieces. */
static const char *seen(const struct given *given)
{
  view(&whole, given, given->length + 1, 0);
  for (unsigned seed = 0; seed < 20; seed++) {
    view(&cut, given, seed ? 1 + seed * 7 : 1, seed);
    assert_string_equal(cut.text, whole.text);
    assert_string_equal(cut.masked, whole.masked);
    assert_int_equal(cut.result.bytes, whole.result.bytes);
    assert_int_equal(cut.result.more, whole.result.more);
  }
  return whole.text;
}

static const char *seen_as(const char *type, const char *text)
{
  struct given given = given_of(type, text);
  return seen(&given);
}

static const char json[] = "{\"n\":12345678901234567890.10,\"password\":\"geheim\",\"a\":[1,{\"token\":[\"geheim\"]}]}";

static void test_json(void **state)
{
  (void)state;
  static const char expected[] = "{\n  \"n\": 12345678901234567890.10,\n  \"password\": \"****\",\n  \"a\": [\n    1,\n"
                                 "    {\n      \"token\": [\n        \"****\"\n      ]\n    }\n  ]\n}\n";
  static const char *const types[] = {"application/json; charset=utf-8", "application/problem+json", NULL, "text/plain",
                                      "application/octet-stream"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    assert_string_equal(seen_as(types[i], json), expected);
  assert_string_equal(seen_as("text/html", json), "{\"n\":12345678901234567890.10,\"password\":\"****\",\"a\":[1,{"
                                                  "\"token\":****}]}\n");
  assert_string_equal(whole.masked, "41-47 password\n65-75 token\n");
  struct given given = given_of("application/json", json);
  given.options.secrets = true;
  assert_non_null(strstr(seen(&given), "\"geheim\""));
  assert_string_equal(seen_as("application/json", "{\"a\":1}}"),
                      "{\n  \"a\": 1\n}\n}\n... it is not JSON from byte 7 on: an end without a beginning\n");
  assert_non_null(strstr(seen_as("application/json", "{\"a\":[1,"), "\n... it ends in the middle\n"));
  given = given_of("application/json", "{\"a\":[1,");
  given.missing = 70;
  assert_null(strstr(seen(&given), "in the middle"));
  assert_non_null(strstr(seen(&given), "\n... 70 more bytes\n"));
}

static void test_text(void **state)
{
  (void)state;
  assert_string_equal(seen_as("text/plain", "[section] is no JSON"), "[section] is no JSON\n");
  assert_string_equal(seen_as(NULL, "a\r\nb\n"), "a\r\nb\n");
  assert_string_equal(seen_as(NULL, ""), "");
  struct given given = given_of("text/plain", "0123456789");
  given.options.bytes_max = 4;
  assert_string_equal(seen(&given), "0123\n... 6 more bytes\n");
  given.missing = 5;
  assert_string_equal(seen(&given), "0123\n... 11 more bytes\n");
}

/* Where each credential is told to be, its own bytes stand. */
static void masked_are(const char *type, const char *text, const char *const *credentials)
{
  seen_as(type, text);
  char *at = whole.masked;
  for (; *credentials; credentials++) {
    char *end;
    unsigned long from = strtoul(at, &end, 10), to = strtoul(end + 1, &end, 10);
    assert_int_equal(to - from, strlen(*credentials));
    assert_memory_equal(text + from, *credentials, to - from);
    at = strchr(end, '\n') + 1;
  }
  assert_string_equal(at, "");
}

static void test_masked_text(void **state)
{
  (void)state;
  static const char log[] = "user=ann password=geheim x\nAuthorization: Basic geheim, yes\nlast";
  assert_string_equal(seen_as("text/plain", log), "user=ann password=**** x\nAuthorization: ****\nlast\n");
  masked_are("text/plain", log, (const char *const[]){"geheim", "Basic geheim, yes", NULL});
  masked_are(NULL, "token: geheim", (const char *const[]){"geheim", NULL});
  static const char xml[] = "<?xml version=\"1.0\"?>\n<a><password>geheim</password><b token='geheim'/>c</a>";
  assert_string_equal(seen_as("text/xml", xml),
                      "<?xml version=\"1.0\"?>\n<a><password>****</password><b token='****'/>c</a>\n");
  masked_are("application/xml", xml, (const char *const[]){"geheim", "geheim", NULL});
  struct given given = given_of("text/plain", log);
  given.options.secrets = true;
  assert_true(strncmp(seen(&given), log, sizeof log - 1) == 0 && !*whole.masked);
  static const char within[] =
    "{\"log\":\"GET /?token=geheim&x=1\",\"sent\":\"{\\\"pin\\\":\\\"geheim\\\"}\",\"pin\":123}";
  assert_string_equal(seen_as("application/json", within),
                      "{\n  \"log\": \"GET /?token=****&x=1\",\n  \"sent\": \"{\\\"pin\\\":\\\"****\\\"}\",\n"
                      "  \"pin\": \"****\"\n}\n");
  masked_are("application/json", within, (const char *const[]){"geheim", "geheim", "123", NULL});
  masked_are("application/json", "{\"token\":{\"a\":[\"geheim\",12],\"b\":\"\"}} {\"pwd\":\"cut",
             (const char *const[]){"geheim", "12", "cut", NULL});
}

static void test_form(void **state)
{
  (void)state;
  static const char form[] = "user=anna+b&password=geh%65im&x=%0A%1b[2J&flag&api_key=k";
  static const char type[] = "application/x-www-form-urlencoded";
  assert_string_equal(seen_as(type, form), "user: anna b\npassword: ****\nx: \\n\\e[2J\nflag\napi_key: ****\n");
  struct given given = given_of(type, form);
  given.options.secrets = true;
  assert_string_equal(seen(&given), "user: anna b\npassword: geheim\nx: \\n\\e[2J\nflag\napi_key: k\n");
  masked_are(type, form, (const char *const[]){"geh%65im", "k", NULL});
  char longer[400];
  snprintf(longer, sizeof longer, "%0300dpassword=geheim", 0);
  assert_null(strstr(seen_as(type, longer), "geheim"));
}

static const char multipart[] =
  "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
  "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ngeheim\r\n"
  "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\x1b[2J\"\r\nContent-Type: application/json\r\n"
  "Authorization: geheim\r\n\r\n{\"secret\":\"geheim\"}\r\n"
  "--b\r\nContent-Type: image/png\r\n\r\n\x89PNG\x01\x02\r\n"
  "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\npassword=geheim\r\n--c--\r\n--b--\r\n";

static void test_multipart(void **state)
{
  (void)state;
  assert_string_equal(
    seen_as("multipart/form-data; boundary=b", multipart),
    "--- part 1\nContent-Disposition: form-data; name=\"note\"\n\nhello\n"
    "--- part 2\nContent-Disposition: form-data; name=\"password\"\n\n****\n"
    "--- part 3\nContent-Disposition: form-data; name=\"f\"; filename=\"a\\e[2J\"\nContent-Type: application/json\n"
    "Authorization: ****\n\n{\n  \"secret\": \"****\"\n}\n"
    "--- part 4\nContent-Type: image/png\n\nbinary (image/png), 6 bytes, begins 89 50 4e 47 01 02\n"
    "--- part 5\nContent-Type: multipart/mixed; boundary=c\n\n"
    "a multipart that is not taken apart (multipart/mixed), 29 bytes\n");
  static const char nested[] = "--c\r\n\r\npassword=geheim\r\n--c--";
  masked_are("multipart/form-data; boundary=b", multipart,
             (const char *const[]){"geheim", "geheim", "geheim", nested, NULL});
  assert_string_equal(seen_as("multipart/mixed", "--b\r\n\r\npassword=geheim"),
                      "a multipart that is not taken apart (multipart/mixed), 22 bytes\n");
  assert_non_null(strstr(seen_as("multipart/mixed; boundary=b", "--b\r\n\r\nx"), "... its last boundary is missing\n"));
}

static void test_binary(void **state)
{
  (void)state;
  struct given given = {
    .type = "image/x\x1b[2J; a=b", .data = "\0\1\2\3", .length = 4, .options = GG_BODY_VIEW_OPTIONS_INIT};
  assert_string_equal(seen(&given), "binary (image/x\\e[2J), 4 bytes, begins 00 01 02 03\n");
  given.missing = 96;
  assert_string_equal(seen(&given), "binary (image/x\\e[2J), 100 bytes, begins 00 01 02 03\n");
  given.missing = 0;
  given.options.bare = true;
  static struct out out;
  char text[100];
  view(&out, &given, 2, 0);
  assert_memory_equal(out.text, "\0\1\2\3", 4);
  assert_int_equal(gg_body_view_json(&out.result, out.text, out.length, text, sizeof text), 29);
  assert_string_equal(text, "{\"data\":\"AAECAw==\",\"bytes\":4}");
  given = given_of("application/json", json);
  given.encoding = "mystery";
  assert_non_null(strstr(seen(&given), "\"password\": \"****\""));
}

static void test_json_for_programs(void **state)
{
  (void)state;
  static struct out out;
  char text[200];
  struct given given = given_of("text/html", "gr\xc3\xbc\xc3\x9f");
  given.options.bare = true;
  given.options.bytes_max = 5; /* in the middle of a character */
  view(&out, &given, 1, 0);
  assert_int_not_equal(gg_body_view_json(&out.result, out.text, out.length, text, sizeof text), 0);
  assert_string_equal(text, "{\"text\":\"gr\xc3\xbc\",\"bytes\":6,\"cut\":true}");
  assert_int_equal(gg_body_view_json(&out.result, out.text, out.length, text, 10), 0);
  given = given_of("application/json", "{]");
  given.options.bare = true;
  view(&out, &given, 1, 0);
  assert_null(strstr(out.text, "..."));
  assert_int_not_equal(gg_body_view_json(&out.result, out.text, out.length, text, sizeof text), 0);
  assert_non_null(strstr(text, ",\"odd\":\"an end where none belongs\"}"));
}

#ifdef GG_HAVE_ZLIB
static size_t zip(uint8_t *out, size_t size, const void *data, size_t length)
{
  z_stream stream = {
    .next_in = (void *)(uintptr_t)data, .avail_in = (uInt)length, .next_out = out, .avail_out = (uInt)size};
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  deflateEnd(&stream);
  return size - stream.avail_out;
}

static void test_coded(void **state)
{
  (void)state;
  static uint8_t zipped[1 << 16];
  static struct out out;
  struct given given = given_of("application/json", json);
  given.length = zip(zipped, sizeof zipped, json, sizeof json - 1);
  given.data = zipped;
  given.encoding = "gzip";
  assert_non_null(strstr(seen(&given), "  \"password\": \"****\",\n"));
  given.length -= 9;
  assert_non_null(strstr(seen(&given), "\n... its coding ends in the middle\n"));
  given.length += 9;
  zipped[given.length - 6] ^= 1;
  view(&out, &given, sizeof zipped, 0);
  assert_non_null(strstr(out.text, "\n... it is not coded as it says\n"));
  static char zeros[4 << 20];
  given.length = zip(zipped, sizeof zipped, zeros, sizeof zeros);
  given.type = NULL;
  assert_string_equal(seen(&given), "binary, 1048576 bytes or more, begins 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
                                    "00 00\n");
  memset(zeros, 'a', sizeof zeros);
  given.length = zip(zipped, sizeof zipped, zeros, sizeof zeros);
  given.options.bytes_max = 3;
  assert_string_equal(seen(&given), "aaa\n... 1048573 or more bytes\n");
  given.options.content_max = 3;
  assert_string_equal(seen(&given), "aaa\n... and more\n");
}
#endif

static void survive(const char *type, const char *encoding, const void *data, size_t length)
{
  static struct out out;
  static const unsigned seed_of_flips = 7;
  unsigned seed = seed_of_flips;
  uint8_t *copy = malloc(length);
  assert_non_null(copy);
  struct given given = {.type = type, .encoding = encoding, .data = copy, .options = GG_BODY_VIEW_OPTIONS_INIT};
  memcpy(copy, data, length);
  for (given.length = 0; given.length < length; given.length++) {
    view(&out, &given, 11, 3);
    assert_true(encoding || !strstr(out.text, "geheim"));
  }
  print_message("%s: seed %u\n", type, seed_of_flips);
  for (int i = 0; i < FLIPS; i++) {
    size_t at = (size_t)rand_r(&seed) % length;
    uint8_t bit = (uint8_t)(1u << (rand_r(&seed) % 8));
    copy[at] ^= bit;
    view(&out, &given, 11, 3);
    if (i % 4) /* some stay */
      copy[at] ^= bit;
    else if (i % 400 == 0)
      memcpy(copy, data, length);
  }
  free(copy);
}

static void test_damaged(void **state)
{
  (void)state;
  survive("application/json", NULL, json, sizeof json - 1);
  survive("multipart/form-data; boundary=b", NULL, multipart, sizeof multipart - 1);
  survive("application/x-www-form-urlencoded", NULL, "a=%41&password=geheim&b", 23);
#ifdef GG_HAVE_ZLIB
  uint8_t zipped[4096];
  survive("multipart/mixed; boundary=b", "gzip", zipped, zip(zipped, sizeof zipped, multipart, sizeof multipart - 1));
#endif
}

static void test_wrong_sizes(void **state)
{
  (void)state;
  struct gg_body_view *view = NULL;
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  struct gg_body_view_result result = {.size = 1};
  static struct out out;
  options.size = 3;
  assert_int_equal(gg_body_view_create(&view, NULL, 0, NULL, 0, &options, take, &out, NULL), GG_ERR_INVALID);
  assert_null(view);
  assert_int_equal(gg_body_view_create(&view, NULL, 0, NULL, 0, NULL, take, &out, NULL), 0);
  assert_int_equal(gg_body_view_finish(view, 0, &result, NULL), GG_ERR_INVALID);
  gg_body_view_destroy(view);
  gg_body_view_destroy(NULL);
}

static unsigned refuse; /* which one of the next calls; 0: none */

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
  return refuse && --refuse == 0 ? NULL : __real_calloc(count, bytes);
}

static void test_no_memory(void **state)
{
  (void)state;
  static struct out out;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_body_view *view = NULL;
  for (unsigned nth = 1; nth <= 2; nth++) { /* the view, what undoes its coding */
    refuse = nth;
    assert_int_equal(gg_body_view_create(&view, NULL, 0, "identity", 8, NULL, take, &out, &failure), GG_ERR_NOMEM);
    assert_null(view);
    assert_int_equal(refuse, 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_json),
    cmocka_unit_test(test_text),
    cmocka_unit_test(test_masked_text),
    cmocka_unit_test(test_form),
    cmocka_unit_test(test_multipart),
    cmocka_unit_test(test_binary),
    cmocka_unit_test(test_json_for_programs),
#ifdef GG_HAVE_ZLIB
    cmocka_unit_test(test_coded),
#endif
    cmocka_unit_test(test_damaged),
    cmocka_unit_test(test_wrong_sizes),
    cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
