/* SPDX-License-Identifier: Apache-2.0 */
#include "net/netstat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool parse(const char *text, uint64_t values[GG_NETSTAT_VALUES])
{
  memset(values, 0xff, GG_NETSTAT_VALUES * sizeof values[0]);
  return gg_netstat_parse(text, strlen(text), values);
}

static void a_number_stands_where_its_name_stands(void **state)
{
  (void)state;
  uint64_t values[GG_NETSTAT_VALUES];
  assert_true(parse("Other: ListenDrops\nOther: 99\n"
                    "TcpExt: SyncookiesSent New ListenOverflows ListenDrops ListenDropsNot\n"
                    "TcpExt: 18446744073709551615 7 5 6 8\n"
                    "IpExt: ListenDrops\nIpExt: 77\n",
                    values));
  assert_int_equal(values[GG_NETSTAT_SYNCOOKIES_SENT], UINT64_MAX);
  assert_int_equal(values[GG_NETSTAT_LISTEN_OVERFLOWS], 5);
  assert_int_equal(values[GG_NETSTAT_LISTEN_DROPS], 6);
  assert_int_equal(values[GG_NETSTAT_SYNCOOKIES_FAILED], 0); /* an older kernel */
}

static void what_is_not_understood_is_zero(void **state)
{
  (void)state;
  static const char *const broken[] = {
    "", "\n", "TcpExt:", "TcpExt: ListenDrops", "TcpExt: ListenDrops\nIpExt: 5\n", "IpExt: ListenDrops\nIpExt: 5\n"};
  static const char *const odd[] = {"TcpExt: ListenDrops\nTcpExt:\n", "TcpExt: ListenDrops\nTcpExt: -5\n",
                                    "TcpExt: ListenDrops\nTcpExt: 18446744073709551616\n", "TcpExt:\nTcpExt: 5 6 7\n",
                                    "TcpExt: ListenDrops\nTcpExt: 5x"};
  uint64_t values[GG_NETSTAT_VALUES];
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
    assert_false(parse(broken[i], values));
    assert_int_equal(values[GG_NETSTAT_LISTEN_DROPS], 0);
  }
  for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
    assert_true(parse(odd[i], values));
    assert_int_equal(values[GG_NETSTAT_LISTEN_DROPS], 0);
  }
}

static void the_kernels_own_is_read_again_and_again(void **state)
{
  (void)state;
  uint64_t values[GG_NETSTAT_VALUES], again[GG_NETSTAT_VALUES];
  int fd = gg_netstat_open();
  if (fd < 0)
    skip();
  assert_true(gg_netstat_read(fd, values));
  assert_true(gg_netstat_read(fd, again));
  for (unsigned i = 0; i < GG_NETSTAT_VALUES; i++)
    assert_true(again[i] >= values[i]);
  close(fd);
  assert_false(gg_netstat_read(-1, values));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_number_stands_where_its_name_stands),
    cmocka_unit_test(what_is_not_understood_is_zero),
    cmocka_unit_test(the_kernels_own_is_read_again_and_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
