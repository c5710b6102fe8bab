/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/addr.h"
#include <stdio.h>

static void check_endpoint(const char *text, bool listen, enum gg_family family, const char *wanted)
{
  struct gg_endpoint endpoint;
  struct gg_failure failure = GG_FAILURE_INIT;
  char back[sizeof endpoint.host + 16];
  if (gg_endpoint_parse(&endpoint, text, listen, &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  assert_int_equal(endpoint.family, family);
  assert_int_equal(gg_endpoint_format(&endpoint, back, sizeof back), strlen(wanted));
  assert_string_equal(back, wanted);
}

static void endpoints_are_read_and_written(void **state)
{
  (void)state;
  check_endpoint("127.0.0.1:80", false, GG_FAMILY_IPV4, "127.0.0.1:80");
  check_endpoint("[::1]:65535", false, GG_FAMILY_IPV6, "[::1]:65535");
  check_endpoint("[2001:DB8:0:0::1]:1", false, GG_FAMILY_IPV6, "[2001:db8::1]:1");
  check_endpoint("[::ffff:192.0.2.1]:9", false, GG_FAMILY_IPV4, "192.0.2.1:9");
  check_endpoint(":9000", true, GG_FAMILY_IPV6, "[::]:9000");
  check_endpoint(":9000", false, GG_FAMILY_IPV4, "127.0.0.1:9000");
  check_endpoint("0.0.0.0:0", true, GG_FAMILY_IPV4, "0.0.0.0:0");
  check_endpoint("db_1.example-x.org.:5432", false, GG_FAMILY_NONE, "db_1.example-x.org.:5432");
  check_endpoint("1.example:1", false, GG_FAMILY_NONE, "1.example:1");
  check_endpoint("unix:/run/x.sock", true, GG_FAMILY_UNIX, "unix:/run/x.sock");
  check_endpoint("unix:@abstract:name", false, GG_FAMILY_UNIX, "unix:@abstract:name");
}

static void check_refused(const char *text, bool listen, const char *part)
{
  struct gg_endpoint endpoint;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_endpoint_parse(&endpoint, text, listen, &failure) != GG_ERR_FORMAT)
    fail_msg("'%s' was accepted", text);
  if (!strstr(failure.message, part))
    fail_msg("'%s': '%s' says nothing of '%s'", text, failure.message, part);
}

static void wrong_endpoints_are_explained(void **state)
{
  (void)state;
  char deep[200];
  char label[80];
  check_refused("", true, "write host:port");
  check_refused("9000", true, "write host:port");
  check_refused("host", false, "write host:port");
  check_refused("::1", false, "[::1]:port");
  check_refused("::1:80", false, "brackets");
  check_refused("[::1]", false, "write host:port");
  check_refused("[::1]80", false, "write host:port");
  check_refused("[1.2.3.4]:80", false, "not an IPv6 address");
  check_refused("[fe80::1%lo]:80", false, "not an IPv6 address");
  check_refused("a:b:1", false, "write host:port");
  check_refused("h:", false, "not a port");
  check_refused("h:0", false, "cannot be connected to");
  check_refused("h:65536", false, "1 to 65535");
  check_refused("h:+1", false, "not a port");
  check_refused("h:080", false, "not a port");
  check_refused("h:1 ", true, "not a port");
  check_refused(" h:1", false, "neither");
  check_refused("256.1.1.1:1", false, "neither");
  check_refused("1.2.3:1", false, "neither");
  check_refused("a..b:1", false, "neither");
  check_refused("-a:1", false, "neither");
  check_refused("unix:", true, "no path");
  check_refused("unix:@", true, "no path");
  snprintf(deep, sizeof deep, "unix:/%0150d", 0);
  check_refused(deep, true, "at most 107");
  snprintf(label, sizeof label, "%064d.x:1", 1);
  check_refused(label, false, "neither");
}

static void unix_addresses_have_exact_lengths(void **state)
{
  (void)state;
  struct gg_endpoint endpoint;
  struct sockaddr_un sun;
  gg_endpoint_parse(&endpoint, "unix:/a", true, NULL);
  assert_int_equal(gg_endpoint_to_sockaddr_un(&endpoint, &sun), offsetof(struct sockaddr_un, sun_path) + 3);
  assert_string_equal(sun.sun_path, "/a");
  gg_endpoint_parse(&endpoint, "unix:@ab", true, NULL);
  assert_int_equal(gg_endpoint_to_sockaddr_un(&endpoint, &sun), offsetof(struct sockaddr_un, sun_path) + 3);
  assert_memory_equal(sun.sun_path, "\0ab", 3);
  gg_endpoint_parse(&endpoint, ":1", true, NULL);
  assert_int_equal(gg_endpoint_to_sockaddr_un(&endpoint, &sun), 0);
}

static void check_network(const char *text, const char *in, const char *out)
{
  struct gg_network network;
  struct gg_addr addr;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_network_parse(&network, text, &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  assert_int_equal(gg_addr_parse(&addr, in), 0);
  assert_true(gg_network_contains(&network, &addr));
  assert_int_equal(gg_addr_parse(&addr, out), 0);
  assert_false(gg_network_contains(&network, &addr));
}

static void networks_contain(void **state)
{
  (void)state;
  check_network("10.0.0.0/8", "10.255.1.2:1", "11.0.0.0:1");
  check_network("10.0.0.0/8", "10.0.0.0:1", "[::1]:1");
  check_network("192.0.2.128/25", "192.0.2.128:1", "192.0.2.127:1");
  check_network("192.0.2.7", "192.0.2.7:5", "192.0.2.6:5");
  check_network("0.0.0.0/0", "255.255.255.255:5", "[::]:5");
  check_network("::/0", "[ffff::1]:5", "1.2.3.4:5");
  check_network("2001:db8::/33", "[2001:db8:7fff::]:1", "[2001:db8:8000::]:1");
  check_network("::1", "[::1]:1", "[::2]:1");
  check_network("::ffff:10.0.0.0/104", "10.1.2.3:1", "11.1.2.3:1");
}

static void wrong_networks_are_refused(void **state)
{
  (void)state;
  static const char *const wrong[] = {"",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.1/8",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/08",
                                      "::/129",
                                      "::ffff:0.0.0.0/90",
                                      "x",
                                      "1.2.3.4:80",
                                      "10.0.0.0/-1",
                                      "2001:db8::1/64",
                                      "[::1]/128",
                                      "1111111111111111111111111111111111111111111111111111111111111/8"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_network network;
    struct gg_failure failure = GG_FAILURE_INIT;
    if (gg_network_parse(&network, wrong[i], &failure) != GG_ERR_FORMAT)
      fail_msg("'%s' was accepted", wrong[i]);
    assert_true(failure.message[0] != '\0');
  }
}

static void addresses_go_through_sockaddr(void **state)
{
  (void)state;
  static const char *const texts[] = {"127.0.0.1:80", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:1"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct gg_addr addr, back;
    struct sockaddr_storage storage;
    char text[GG_ADDR_TEXT_MAX];
    assert_int_equal(gg_addr_parse(&addr, texts[i]), 0);
    socklen_t length = gg_addr_to_sockaddr(&addr, &storage);
    assert_true(length > 0);
    gg_addr_from_sockaddr(&back, (struct sockaddr *)&storage, length);
    assert_true(gg_addr_equal(&addr, &back));
    gg_addr_format(&back, text, sizeof text);
    assert_string_equal(text, texts[i]);
    back.port++;
    assert_false(gg_addr_equal(&addr, &back));
  }
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  struct gg_addr addr;
  struct sockaddr_storage storage;
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_from_sockaddr(&addr, (struct sockaddr *)&sun, sizeof sun.sun_family);
  assert_int_equal(addr.family, GG_FAMILY_UNIX);
  gg_addr_format(&addr, text, sizeof text);
  assert_string_equal(text, "unix");
  assert_int_equal(gg_addr_to_sockaddr(&addr, &storage), 0);
  struct sockaddr_in in = {.sin_family = AF_INET};
  gg_addr_from_sockaddr(&addr, (struct sockaddr *)&in, sizeof in - 1);
  assert_int_equal(addr.family, GG_FAMILY_NONE);
}

static void mapped_addresses_are_ipv4(void **state)
{
  (void)state;
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
  static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127, 0, 0, 9};
  memcpy(&in6.sin6_addr, mapped, 16);
  struct gg_addr addr;
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_from_sockaddr(&addr, (struct sockaddr *)&in6, sizeof in6);
  gg_addr_format(&addr, text, sizeof text);
  assert_string_equal(text, "127.0.0.9:7");
  gg_addr_format_ip(&addr, text, sizeof text);
  assert_string_equal(text, "127.0.0.9");
  assert_true(gg_addr_is_loopback(&addr));
  gg_addr_parse(&addr, "[::1]:1");
  assert_true(gg_addr_is_loopback(&addr));
  gg_addr_parse(&addr, "128.0.0.1:1");
  assert_false(gg_addr_is_loopback(&addr));
}

static void wrong_literals_are_refused(void **state)
{
  (void)state;
  static const char *const wrong[] = {"",       "1.2.3.4",     "1.2.3.4:", ":1",
                                      "name:1", "[1.2.3.4]:1", "::1:1",    "1.2.3.4:70000"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_addr addr;
    assert_int_equal(gg_addr_parse(&addr, wrong[i]), GG_ERR_FORMAT);
  }
}

static void small_buffers_end_in_nul(void **state)
{
  (void)state;
  struct gg_addr addr;
  char text[5] = "####";
  gg_addr_parse(&addr, "127.0.0.1:80");
  assert_int_equal(gg_addr_format(&addr, text, sizeof text), 4);
  assert_string_equal(text, "127.");
  assert_int_equal(gg_addr_format(&addr, text, 0), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(endpoints_are_read_and_written),    cmocka_unit_test(wrong_endpoints_are_explained),
    cmocka_unit_test(unix_addresses_have_exact_lengths), cmocka_unit_test(networks_contain),
    cmocka_unit_test(wrong_networks_are_refused),        cmocka_unit_test(addresses_go_through_sockaddr),
    cmocka_unit_test(mapped_addresses_are_ipv4),         cmocka_unit_test(wrong_literals_are_refused),
    cmocka_unit_test(small_buffers_end_in_nul),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
