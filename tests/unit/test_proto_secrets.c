/* SPDX-License-Identifier: Apache-2.0 */
/* Names of credentials, and their values in short texts of any kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/secrets.h"

#include <gogetway/decoder.h>
#include <stdlib.h>
#include <string.h>

static void names(void **state)
{
  (void)state;
  static const char *const secret[] = {
    "password",    "Passwd",       "pwd",           "user_pwd",     "secret",         "client_secret",
    "token",       "access_token", "refreshToken",  "api_key",      "apiKey",         "API-KEY",
    "X-Api-Key",   "apikey",       "Authorization", "id token",     "user[password]", "db.password",
    "Set-Cookie",  "sid",          "passphrase",    "x-csrf-token", "AWSAccessKeyId", "private_key",
    "credentials", "pass",         "code_verifier", "jwt"};
  static const char *const open[] = {"",     "user",   "passenger",  "compass",  "key",      "tokens", "token_type",
                                     "name", "author", "side",       "assigned", "spinning", "host",   "content-type",
                                     "code", "path",   "expires_in", "oauthlib", "cookies",  "session"};
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
    if (!gg__secret_name(secret[i], strlen(secret[i])))
      fail_msg("%s", secret[i]);
  for (size_t i = 0; i < sizeof open / sizeof *open; i++)
    if (gg__secret_name(open[i], strlen(open[i])))
      fail_msg("%s", open[i]);
}

static void blank(const char *text, const char *wanted)
{
  char *copy = malloc(strlen(text)); /* exactly, so that a sanitizer sees who looks behind it */
  assert_non_null(copy);
  memcpy(copy, text, strlen(text));
  gg_text_mask(copy, strlen(text));
  assert_memory_equal(copy, wanted, strlen(wanted));
  free(copy);
}

static void texts(void **state)
{
  (void)state;
  blank("GET /a?user=ann&token=abc&x=1 HTTP/1.1", "GET /a?user=ann&token=***&x=1 HTTP/1.1");
  blank("user=ann&password=a%20b", "user=ann&password=*****");
  blank("{\"a\":1,\"password\":\"a\\\"b\",\"c\":[2]}", "{\"a\":1,\"password\":\"****\",\"c\":[2]}");
  blank("{\"apiKey\" : 'ab', pin: 1234}", "{\"apiKey\" : '**', pin: ****}");
  blank("Authorization: Basic abc\r\nHost: x", "Authorization: *********\r\nHost: x");
  blank("password", "password");
  blank("password=", "password=");
  blank("\"password\":\"ab\\", "\"password\":\"***");
  blank("token = \"ab", "token = \"**");
  blank("{password: {\"a\": \"b\"}, c: 1", "{password: **********, c: 1");
  blank("it is a password, and so on: yes", "it is a password, and so on: yes");
}

/* What is the first thing of its line has the rest of that for a value; else blanks, '&' and such end it. */
static void lines_of_text(void **state)
{
  (void)state;
  blank("user = ann\n password = a, b & c\nx = 1", "user = ann\n password = ********\nx = 1");
  blank("- token: {SSHA}a}b, c\r\n- x: 1", "- token: ************\r\n- x: 1");
  blank("token=a b&user=ann\npin=c\n", "token=***&user=ann\npin=*\n");
  blank("level=info password=ab user=ann", "level=info password=** user=ann");
  blank("see: token: abc, x: 1", "see: token: ***, x: 1");
  blank("password:\n  ab", "password:\n  ab");
  blank("'token' => 'a b', :pwd := \"c\"", "'token' => '***', :pwd := \"*\"");
  blank("log {\"password\":[\"a\",{\"b\":2}],\"c\":\"d\"}", "log {\"password\":*************,\"c\":\"d\"}");
  blank("{\\\"token\\\": \\\"a\\\\\\\"b\\\", \\\"c\\\": 1}", "{\\\"token\\\": \\\"*\\\\\\**\\\", \\\"c\\\": 1}");
  blank("key: 1\nPass phrase: 2", "key: 1\nPass phrase: 2"); /* two words, as people write */
}

static void markup(void **state)
{
  (void)state;
  blank("<a><user>ann</user><password>a b</password></a>", "<a><user>ann</user><password>***</password></a>");
  blank("<a>\n <s:Password Type=\"T\">a&lt;b</s:Password>\n</a>",
        "<a>\n <s:Password Type=\"*\">******</s:Password>\n</a>");
  blank("<token><![CDATA[a<b]]></token><c>d</c>", "<token><![CDATA[***]]></token><c>d</c>");
  blank("<credentials>\n <u x=\"1\">a</u>\n <n/><p>b</p>\n</credentials><c>d</c>",
        "<credentials>\n <u x=\"*\">*</u>\n <n/><p>*</p>\n</credentials><c>d</c>");
  blank("<password value='a' more=b/><c d=\"e\">f</c>", "<password value='*' more=**><c d=\"e\">f</c>");
  blank("<x password=\"ab\" c=\"d\">e</x>", "<x password=\"**\" c=\"d\">e</x>");
  blank("<a>Password: ab</a><b>c</b>", "<a>Password: **</a><b>c</b>");
  blank("<secret>a<!-- b --></secret>c", "<secret>*<!--***--></secret>c");
  blank("usage: login <user> <password>\nmore", "usage: login <user> <password>\nmore");
  blank("sent <password>ab</password> to c", "sent <password>**</password> to c");
}

/* Anything, cut anywhere: no byte but those of values changes, and none is looked at behind the end. */
static void anything(void **state)
{
  (void)state;
  static const char letters[] = "token=:\"'&,{}\\ \n\xff;a<>/![";
  unsigned seed = 1;
  for (unsigned i = 0; i < 20000; i++) {
    size_t length = (size_t)rand_r(&seed) % 40;
    char *text = malloc(length ? length : 1), before[40];
    assert_non_null(text);
    for (size_t at = 0; at < length; at++)
      text[at] = before[at] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
    if (length > 10)
      memcpy(text, "token", 5);
    memcpy(before, text, length);
    gg_text_mask(text, length);
    for (size_t at = 0; at < length; at++)
      assert_true(text[at] == before[at] || text[at] == '*');
    free(text);
  }
}

/* The fast look at a whole text may find too much, never too little. */
static void the_fast_look_misses_nothing(void **state)
{
  static const char *const words[] = {"password", "pass", "-",  "_",        "token", "x",     "Pin",    " ", "\t",
                                      "\n",       "\"",   "'",  "\\",       "=",     ":",     "<",      ">", "/",
                                      "&",        ";",    "{",  "}",        "[",     "]",     "secret", "$", "id",
                                      ".",        ",",    "ab", "\xc3\xa4", "!",     "CDATA", "sid"};
  unsigned seed = 7;
  size_t hidden = 0, quiet = 0;
  (void)state;
  for (unsigned round = 0; round < 200000; round++) {
    char text[256];
    size_t length = 0;
    for (unsigned count = 1 + (unsigned)rand_r(&seed) % 14; count > 0; count--) {
      const char *word = words[(size_t)rand_r(&seed) % (sizeof words / sizeof *words)];
      memcpy(text + length, word, strlen(word));
      length += strlen(word);
    }
    struct gg__secret_text machine = {0};
    bool any = false;
    for (size_t i = 0; i < length; i++)
      any |= gg__secret_text_take(&machine, text[i]);
    hidden += any;
    quiet += !gg__secret_text_has(text, length);
    if (any && !gg__secret_text_has(text, length))
      fail_msg("missed: %.*s", (int)length, text);
  }
  assert_true(hidden > 1000 && quiet > 1000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names),  cmocka_unit_test(texts),    cmocka_unit_test(lines_of_text),
    cmocka_unit_test(markup), cmocka_unit_test(anything), cmocka_unit_test(the_fast_look_misses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
