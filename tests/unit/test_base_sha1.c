/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 and Base64 against vectors of their specifications, and lengths around a block's end against another
 * implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/sha1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const void *data, size_t length, const char *expected)
{
  uint8_t digest[GG_SHA1_BYTES];
  char text[2 * GG_SHA1_BYTES + 1];
  gg_sha1(data, length, digest);
  for (size_t i = 0; i < GG_SHA1_BYTES; i++)
    snprintf(text + 2 * i, 3, "%02x", digest[i]);
  assert_string_equal(text, expected);
}

static void the_standard(void **state)
{
  (void)state;
  check("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
  check("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  char *many = malloc(1000000);
  assert_non_null(many);
  memset(many, 'a', 1000000);
  check(many, 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  free(many);
}

/* Of the bytes 0, 1, ... 250, 0, ... */
static void around_the_end_of_a_block(void **state)
{
  (void)state;
  static const struct {
    size_t length;
    const char *digest;
  } cases[] = {
    {1, "5ba93c9db0cff93f52b521d7420e43f6eda2784f"},   {55, "8ae2d46729cfe68ff927af5eec9c7d1b66d65ac2"},
    {56, "636e2ec698dac903498e648bd2f3af641d3c88cb"},  {57, "7cb1330f35244b57437539253304ea78a6b7c443"},
    {63, "6d942da0c4392b123528f2905c713a3ce28364bd"},  {64, "c6138d514ffa2135bfce0ed0b8fac65669917ec7"},
    {65, "69bd728ad6e13cd76ff19751fde427b00e395746"},  {119, "41c89d06001bab4ab78736b44efe7ce18ce6ae08"},
    {120, "d3dbd653bd8597b7475321b60a36891278e6a04a"}, {121, "3723f8ab857804f89f80970e9fc88cf8f890adc2"},
    {128, "e6434bc401f98603d7eda504790c98c67385d535"}, {1000, "c9c960a0b925474fab83942cc27d504fc24ac37b"},
  };
  uint8_t data[1000];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i % 251);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    check(data, cases[i].length, cases[i].digest);
}

/* RFC 4648, 10. */
static void base64(void **state)
{
  (void)state;
  static const char *const cases[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[16];
    size_t length = strlen(cases[i][0]);
    *gg_base64(text, (const uint8_t *)cases[i][0], length) = '\0';
    assert_string_equal(text, cases[i][1]);
    assert_int_equal(gg_base64_length(length), strlen(text));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_standard),
    cmocka_unit_test(around_the_end_of_a_block),
    cmocka_unit_test(base64),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
