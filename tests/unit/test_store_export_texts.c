/* SPDX-License-Identifier: Apache-2.0 */
/* What exports make of texts of strangers: words of a shell, names of files, and where credentials stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/cookie_expiry.h"
#include "store/file_name.h"
#include "store/hiding.h"
#include "store/http_view.h"
#include "store/shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_word(const char *bytes, size_t length, const char *expected)
{
  char word[GG__SHELL_WORD_MAX(64) + 1];
  assert_true(length <= 64);
  size_t used = gg__shell_word(word, bytes, length);
  assert_true(used <= GG__SHELL_WORD_MAX(length));
  word[used] = '\0';
  assert_string_equal(word, expected);
}

static void words_of_a_shell(void **state)
{
  (void)state;
  check_word("", 0, "''");
  check_word("/a/b.c", 6, "/a/b.c");
  check_word("a b", 3, "'a b'");
  check_word("$(id)`id`!", 10, "'$(id)`id`!'");
  check_word("~", 1, "'~'");
  check_word("it's", 4, "$'it\\'s'");
  check_word("a\nb\r\t", 5, "$'a\\nb\\r\\t'");
  check_word("\\\n", 2, "$'\\\\\\n'");
  check_word("\033[2J1", 5, "$'\\x1b[2J1'");
  check_word("\xc3\xa4"
             "b",
             3, "$'\\xc3\\xa4b'");
}

/* Each byte but NUL, alone and before a digit that an escape could swallow: bash says what it takes it for. */
static void bash_reads_each_byte_back(void **state)
{
  (void)state;
  char command[8192] = "printf %s ", bytes[2 * 255];
  size_t length = 0, used = strlen(command);
  for (int i = 1; i < 256; i++) {
    bytes[length++] = (char)i;
    bytes[length++] = 'a';
  }
  used += gg__shell_word(command + used, bytes, length);
  snprintf(command + used, sizeof command - used, " | cat");
  char line[sizeof command + 64];
  FILE *script = tmpfile();
  assert_non_null(script);
  fputs(command, script);
  fflush(script);
  snprintf(line, sizeof line, "bash /dev/fd/%d", fileno(script));
  rewind(script);
  FILE *bash = popen(line, "r");
  assert_non_null(bash);
  char back[sizeof bytes + 8];
  size_t got = fread(back, 1, sizeof back, bash);
  assert_int_equal(pclose(bash), 0);
  fclose(script);
  assert_int_equal(got, length);
  assert_memory_equal(back, bytes, length);
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_name(const char *said, const char *expected)
{
  char name[GG__FILE_NAME_MAX];
  size_t length = gg__file_name(name, said, strlen(said));
  assert_int_equal(length, strlen(name));
  assert_string_equal(name, expected);
}

static void names_of_files(void **state)
{
  (void)state;
  check_name("page.html", "page.html");
  check_name("../../etc/passwd", "passwd");
  check_name("C:\\Windows\\evil.exe", "evil.exe");
  check_name("/", "");
  check_name("..", "");
  check_name("...", "");
  check_name(".bashrc", "bashrc");
  check_name("-rf", "rf");
  check_name("a\033[2J\nb.txt", "a_2J_b.txt");
  check_name("a:b|c*?.txt.", "a_b_c_.txt");
  check_name("na\xc3\xafve.txt", "na\xc3\xafve.txt");
  check_name("a\xe2\x80\xae"
             "txt.exe",
             "a_txt.exe"); /* a mark that turns the direction */
  check_name("a\xff.b", "a_.b");
  char longest[5000];
  memset(longest, 'x', sizeof longest);
  snprintf(longest + 4000, 6, ".html");
  char name[GG__FILE_NAME_MAX];
  assert_true(gg__file_name(name, longest, strlen(longest)) < sizeof name);
  assert_string_equal(name + strlen(name) - 6, "x.html");
  assert_int_equal(gg__file_name(name, "a\0b", 3), 3);
  assert_string_equal(name, "a_b");
}

static void check_disposition(const char *value, const char *expected)
{
  char name[GG__FILE_NAME_MAX];
  gg__file_name_disposition(name, value, strlen(value));
  assert_string_equal(name, expected);
}

static void names_of_dispositions(void **state)
{
  (void)state;
  check_disposition("attachment; filename=\"a b.pdf\"", "a b.pdf");
  check_disposition("attachment; filename=plain.txt; size=3", "plain.txt");
  check_disposition("attachment; filename=\"no.txt\"; filename*=UTF-8''na%C3%AFve.txt", "na\xc3\xafve.txt");
  check_disposition("attachment; filename*=latin'x'%E4; filename=\"yes.txt\"", "yes.txt");
  check_disposition("attachment; filename*=UTF-8''%2e%2e%2fetc%2fpasswd", "passwd");
  check_disposition("attachment; filename=\"..\\\\..\\\\boot.ini\"", "boot.ini");
  check_disposition("attachment; filename=\"a\\\"b\"", "a_b");
  check_disposition("attachment; filename=\"never ends", "never ends");
  check_disposition("attachment; name=\"x; filename=evil\"", "");
  check_disposition("inline", "");
  char name[GG__FILE_NAME_MAX];
  gg__file_name_path(name, "/a/%2e%2e%2fb%00c.js", 20);
  assert_string_equal(name, "b_c.js");
  assert_string_equal(gg__file_extension("text/html; charset=x", 20), ".html");
  assert_string_equal(gg__file_extension("", 0), ".bin");
}

#define FORM "application/x-www-form-urlencoded"
#define MULTIPART "multipart/form-data; boundary=B"

/* ── Credentials ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* `type`: of a body; NULL: it is a URL. */
static void hide(struct gg__hiding *hiding, const char *type, const char *text, size_t length)
{
  const struct gg__body_kind kind = {.type = type, .type_length = type ? strlen(type) : 0};
  if (type)
    gg__hide_body(hiding, &kind, text, length);
  else
    gg__hide_url(hiding, text, length);
}

/* `expected`: the text with '#' in the place of what is hidden. */
static void check_hidden(const char *type, const char *text, const char *expected)
{
  struct gg__hiding hiding;
  char shown[512], *at = shown;
  size_t from = 0;
  hide(&hiding, type, text, strlen(text));
  for (size_t i = 0; i < hiding.count; i++) {
    assert_true(hiding.places[i].from >= from && hiding.places[i].to > hiding.places[i].from);
    memcpy(at, text + from, hiding.places[i].from - from);
    at += hiding.places[i].from - from;
    *at++ = '#';
    from = hiding.places[i].to;
  }
  memcpy(at, text + from, strlen(text + from) + 1);
  assert_string_equal(shown, expected);
}

static void credentials_in_texts(void **state)
{
  (void)state;
  check_hidden(NULL, "/a?b=c&access_token=x%20y&d=e#f", "/a?b=c&access_token=#&d=e#f");
  check_hidden(NULL, "/a?pass%77ord=x", "/a?pass%77ord=#");
  check_hidden(NULL, "http://anna:geheim@h/a?b", "http://anna:#@h/a?b");
  check_hidden(NULL, "http://h/cb#access_token=x&state=1", "http://h/cb#access_token=#&state=1");
  check_hidden(NULL, "/password=x", "/password=x");
  check_hidden(FORM, "user=a&password=b&password=&pwd", "user=a&password=#&password=&pwd");
  check_hidden("application/json", "{\"user\":\"a\",\"password\":\"b*c\"}", "{\"user\":\"a\",\"password\":\"#\"}");
  check_hidden(MULTIPART,
               "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nanna\r\n"
               "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nge\r\nheim\r\n--B--\r\n",
               "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nanna\r\n"
               "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n#\r\n--B--\r\n");
  check_hidden(MULTIPART, "--B\r\nContent-Disposition: form-data; name=token\r\n\r\ncut",
               "--B\r\nContent-Disposition: form-data; name=token\r\n\r\n#");
  check_hidden(MULTIPART, "--B\r\nContent-Disposition: form-data; name=token\r\n\r\n\r\n--B--",
               "--B\r\nContent-Disposition: form-data; name=token\r\n\r\n\r\n--B--");
  check_hidden("text/plain", "password=x", "password=#");
  check_hidden("text/xml", "<a><token>x</token></a>", "<a><token>#</token></a>");
  check_hidden("image/png", "\1password=x", "\1password=x");
}

/* More than there is room for: all behind the last one that was found is hidden. */
static void too_many_credentials(void **state)
{
  (void)state;
  char text[8 * (GG__HIDDEN_MAX + 10) + 1];
  for (size_t i = 0; i < GG__HIDDEN_MAX + 10; i++)
    memcpy(text + 8 * i, "token=x&", 9);
  struct gg__hiding hiding;
  hide(&hiding, FORM, text, strlen(text));
  assert_int_equal(hiding.count, GG__HIDDEN_MAX);
  assert_int_equal(hiding.places[GG__HIDDEN_MAX - 1].to, strlen(text));
}

/* Each form at each length, and with its bits turned, reads and tells nothing that is not there. */
static void hostile_texts(void **state)
{
  (void)state;
  static const char *const texts[] = {
    "http://u:p@h/a?token=x&b=c#pin=1", "--B\r\nD: f; name=\"password\"\r\n\r\nx\r\n--B\r\n\r\n\r\n--B--\r\n",
    "{\"password\":\"a\\\"b\",\"token\":{\"x\":1}}", "attachment; filename*=UTF-8''%C3%AF; filename=\"a\\\"\""};
  unsigned seed = 7;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (unsigned turn = 0; turn < 4000; turn++) {
      size_t whole = strlen(texts[i]), length = turn <= whole ? turn : whole;
      char *copy = malloc(length + 1), name[GG__FILE_NAME_MAX];
      assert_non_null(copy);
      memcpy(copy, texts[i], length);
      for (unsigned flips = turn > whole ? 3 : 0; flips; flips--) {
        seed = seed * 1103515245 + 12345;
        copy[(seed >> 16) % length] ^= (char)(1 << (seed >> 8) % 8);
      }
      char *exact = realloc(copy, length ? length : 1);
      struct gg__hiding hiding;
      static const char *const types[] = {NULL, FORM, "application/json", MULTIPART, "text/plain"};
      for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
        hide(&hiding, types[type], exact, length);
        for (size_t j = 0; j < hiding.count; j++)
          assert_true(hiding.places[j].from < hiding.places[j].to && hiding.places[j].to <= length);
      }
      gg__file_name_disposition(name, exact, length);
      gg__file_name_path(name, exact, length);
      assert_null(strchr(name, '/'));
      free(exact);
    }
}

/* ── Cookies ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void dates_of_cookies(void **state)
{
  (void)state;
  static const struct {
    const char *value, *expected; /* NULL: it is passed over */
  } dates[] = {{"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"},
               {"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"},
               {"Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"},
               {"thu, 1 january 1970 0:0:0", "1970-01-01T00:00:00Z"},
               {"Tue, 29 Feb 2028 23:59:59 GMT", "2028-02-29T23:59:59Z"},
               {"Mon, 29 Feb 2027 23:59:59 GMT", NULL},
               {"Wed, 31 Dec 69 00:00:00", "2069-12-31T00:00:00Z"},
               {"Wed, 31 Dec 70 00:00:00", "1970-12-31T00:00:00Z"},
               {"Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59Z"},
               {"00 Jan 2000 00:00:00", NULL},
               {"1 Jan 1600 00:00:00", NULL},
               {"1 Jan 2000 24:00:00", NULL},
               {"1 Jan 2000", NULL},
               {"1 Foo 2000 00:00:00", NULL},
               {"1 Jan 20000 00:00:00", NULL},
               {"1 Jan 2000 000:00:00", NULL},
               {"0", NULL},
               {"", NULL}};
  char text[GG_CLOCK_TEXT_MAX];
  for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
    size_t length = strlen(dates[i].value);
    char *exactly = malloc(length ? length : 1);
    assert_non_null(exactly);
    memcpy(exactly, dates[i].value, length);
    bool found = gg__cookie_expires(text, exactly, length);
    free(exactly);
    if (found != (dates[i].expected != NULL))
      fail_msg("%s", dates[i].value);
    if (found)
      assert_string_equal(text, dates[i].expected);
  }
}

static void ages_of_cookies(void **state)
{
  (void)state;
  static const struct {
    const char *value, *expected;
  } ages[] = {{"60", "2001-09-09T01:47:40.123Z"},
              {"0", "1970-01-01T00:00:00.000Z"},
              {"-5", "1970-01-01T00:00:00.000Z"},
              {"99999999999999999999999999", "2554-07-21T23:34:33.709Z"},
              {"6x", NULL},
              {"-", NULL},
              {"", NULL}};
  char text[GG_CLOCK_TEXT_MAX];
  for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
    bool found = gg__cookie_max_age(text, ages[i].value, strlen(ages[i].value), 1000000000123456789);
    if (found != (ages[i].expected != NULL))
      fail_msg("%s", ages[i].value);
    if (found)
      assert_string_equal(text, ages[i].expected);
  }
}

static void addresses(void **state)
{
  (void)state;
  static const char *const fine[] = {"h", "h.example:80", "127.0.0.1:65535", "[::1]", "[::1]:8"};
  static const char *const wrong[] = {"",     "h:", "h:0",  "h:65536", "h/x", "-h", "u@h",
                                      "[::1", "[]", "h:8x", "a b",     "h?",  "::1"};
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
    assert_true(gg__is_authority((struct gg__text){fine[i], strlen(fine[i])}));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(gg__is_authority((struct gg__text){wrong[i], strlen(wrong[i])}));
  struct gg__text host, port;
  gg__address_split("[::1]:80", &host, &port);
  assert_true(gg__text_is(host, "::1") && gg__text_is(port, "80"));
  gg__address_split("192.0.2.1:8080", &host, &port);
  assert_true(gg__text_is(host, "192.0.2.1") && gg__text_is(port, "8080"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(words_of_a_shell),     cmocka_unit_test(bash_reads_each_byte_back),
    cmocka_unit_test(names_of_files),       cmocka_unit_test(names_of_dispositions),
    cmocka_unit_test(credentials_in_texts), cmocka_unit_test(too_many_credentials),
    cmocka_unit_test(hostile_texts),        cmocka_unit_test(addresses),
    cmocka_unit_test(dates_of_cookies),     cmocka_unit_test(ages_of_cookies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
