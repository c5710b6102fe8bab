/* SPDX-License-Identifier: Apache-2.0 */
/* The first vector is the specification's own; the others were computed by another implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/community_id.h"

static void check(const char *a, const char *b, const char *expected)
{
  struct gg_addr left, right;
  char text[GG_COMMUNITY_ID_TEXT];
  assert_int_equal(gg_addr_parse(&left, a), 0);
  assert_int_equal(gg_addr_parse(&right, b), 0);
  gg_community_id(text, &left, &right);
  assert_string_equal(text, expected);
  gg_community_id(text, &right, &left);
  assert_string_equal(text, expected);
}

static void connections(void **state)
{
  (void)state;
  check("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
  check("[2001:db8::1]:40000", "[2001:db8::2]:443", "1:RYG3Msb11GthNt1OYXJouPzmrvA=");
  check("192.0.2.1:4000", "[2001:db8::2]:443", "1:UxcvfH47mvhFUewWMAoWEO2SNlk=");
  check("127.0.0.1:4000", "127.0.0.1:80", "1:8JS+I7AMVLCpbXkYysHYXjfrROE=");
}

static void nothing_without_addresses(void **state)
{
  (void)state;
  struct gg_addr addr, local = {.family = GG_FAMILY_UNIX}, none = {.family = GG_FAMILY_NONE};
  char text[GG_COMMUNITY_ID_TEXT];
  assert_int_equal(gg_addr_parse(&addr, "127.0.0.1:80"), 0);
  gg_community_id(text, &addr, &local);
  assert_string_equal(text, "");
  gg_community_id(text, &none, &addr);
  assert_string_equal(text, "");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(connections),
    cmocka_unit_test(nothing_without_addresses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
