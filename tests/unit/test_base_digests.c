/* SPDX-License-Identifier: Apache-2.0 */
/* MD5 and SHA-256 against vectors of their specifications, and lengths around a block's end against another
 * implementation; in one piece and in many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/md5.h"
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_digest(const uint8_t *digest, size_t bytes, const char *expected)
{
  char text[2 * GG_SHA256_BYTES + 1];
  for (size_t i = 0; i < bytes; i++)
    snprintf(text + 2 * i, 3, "%02x", digest[i]);
  assert_string_equal(text, expected);
}

/* `step`: bytes of a piece. */
static void check(const void *data, size_t length, size_t step, const char *md5_expected, const char *sha256_expected)
{
  struct gg_md5 md5;
  struct gg_sha256 sha256;
  gg_md5_begin(&md5);
  gg_sha256_begin(&sha256);
  for (size_t at = 0; at < length; at += step) {
    size_t piece = length - at < step ? length - at : step;
    gg_md5_add(&md5, (const uint8_t *)data + at, piece);
    gg_sha256_add(&sha256, (const uint8_t *)data + at, piece);
  }
  uint8_t digest[GG_SHA256_BYTES];
  gg_md5_end(&md5, digest);
  check_digest(digest, GG_MD5_BYTES, md5_expected);
  gg_sha256_end(&sha256, digest);
  check_digest(digest, GG_SHA256_BYTES, sha256_expected);
}

/* RFC 1321, A.5, and FIPS 180-4's examples. */
static void the_standards(void **state)
{
  (void)state;
  check("abc", 3, 3, "900150983cd24fb0d6963f7d28e17f72",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 56, "8215ef0796a20bcaaae116d3876c664a",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  char *many = malloc(1000000);
  assert_non_null(many);
  memset(many, 'a', 1000000);
  check(many, 1000000, 1000, "7707d6ae4e027c70eea2a935c2296f21",
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(many);
}

/* Of the bytes 0, 1, ... 250, 0, ... */
static void around_the_end_of_a_block(void **state)
{
  (void)state;
  static const struct {
    size_t length;
    const char *md5, *sha256;
  } cases[] = {
    {0, "d41d8cd98f00b204e9800998ecf8427e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {1, "93b885adfe0da089cdf634904fd59f71", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {55, "6912ee65fff2d9f9ce2508cddf8bcda0", "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59"},
    {56, "51fdd1acda72405dfdfa03fcb85896d7", "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562"},
    {57, "5320ef4c17ef34a0cf2db763338d25eb", "2fe741af801cc238602ac0ec6a7b0c3a8a87c7fc7d7f02a3fe03d1c12eac4d8f"},
    {63, "48a6295221902e8e0938f773a7185e72", "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488"},
    {64, "b2d3f56bc197fd985d5965079b5e7148", "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108"},
    {65, "8bd7053801c768420faf816fadba971c", "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781"},
    {119, "1c772251899a7ff007400b888d6b2042", "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6"},
    {120, "b7ba1efc6022e9ed272f00b8831e26e6", "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c"},
    {121, "b0b2d719a838db877b6d6571a39a1cdc", "335a461692b30bba1d647cc71604e88e676c90e4c22455d0b8c83f4bd7c8ac9b"},
    {128, "37eff01866ba3f538421b30b7cbefcac", "471fb943aa23c511f6f72f8d1652d9c880cfa392ad80503120547703e56a2be5"},
    {1000, "a24f1e3ef66950e1327f210e3997ba2c", "4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d"},
  };
  uint8_t data[1000];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i % 251);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    for (size_t step = 1; step < 200; step += 9)
      check(data, cases[i].length, step, cases[i].md5, cases[i].sha256);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_standards),
    cmocka_unit_test(around_the_end_of_a_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
