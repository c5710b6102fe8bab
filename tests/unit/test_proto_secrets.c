/* SPDX-License-Identifier: Apache-2.0 */
/* Names of credentials, and their values in short texts of any kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/secrets.h"

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
  gg__secret_blank(copy, strlen(text));
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
  blank("password: {\"a\": \"b\"}, c: 1", "password: *********}, c: 1");
  blank("it is a password, and so on: yes", "it is a password, and so on: yes");
}

/* Anything, cut anywhere: no byte but those of values changes, and none is looked at behind the end. */
static void anything(void **state)
{
  (void)state;
  static const char letters[] = "token=:\"'&,{}\\ \n\xff;a";
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
    gg__secret_blank(text, length);
    for (size_t at = 0; at < length; at++)
      assert_true(text[at] == before[at] || text[at] == '*');
    free(text);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names),
    cmocka_unit_test(texts),
    cmocka_unit_test(anything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
