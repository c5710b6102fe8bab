/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/proxy_protocol.h"
#include <stdio.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static long parse_text(struct gg_proxy_header *out, const char *text)
{
  return gg_proxy_parse(out, GG_PROXY_ANY, (const uint8_t *)text, strlen(text));
}

static struct gg_addr ipv4(unsigned a, unsigned b, unsigned c, unsigned d, unsigned port)
{
  struct gg_addr addr = {.family = GG_FAMILY_IPV4, .port = (uint16_t)port};
  addr.ip[0] = (uint8_t)a;
  addr.ip[1] = (uint8_t)b;
  addr.ip[2] = (uint8_t)c;
  addr.ip[3] = (uint8_t)d;
  return addr;
}

/* Every proper prefix wants more, the whole is taken exactly, and bytes that follow are left alone. */
static void check_truncations(const uint8_t *header, size_t length)
{
  struct gg_proxy_header out;
  uint8_t *copy = malloc(length + 1);
  for (size_t cut = 0; cut < length; cut++) {
    uint8_t *exact = malloc(cut ? cut : 1); /* its own allocation: a sanitizer sees a read behind the end */
    memcpy(exact, header, cut);
    assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, exact, cut), 0);
    assert_false(out.known);
    free(exact);
  }
  memcpy(copy, header, length);
  copy[length] = 'X';
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, copy, length), (long)length);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, copy, length + 1), (long)length);
  free(copy);
}

static void the_examples_of_the_specification_are_read(void **state)
{
  (void)state;
  static const char *const lines[] = {
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    "PROXY UNKNOWN\r\n",
    "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
  };
  static const size_t lengths[] = {56, 104, 15, 107, 47};
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    assert_int_equal(strlen(lines[i]), lengths[i]);
    check_truncations((const uint8_t *)lines[i], strlen(lines[i]));
  }
  struct gg_proxy_header out;
  char request[128];
  snprintf(request, sizeof request, "%sGET / HTTP/1.1\r\n", lines[4]);
  assert_int_equal(parse_text(&out, request), 47);
  assert_int_equal(out.version, GG_PROXY_V1);
  assert_true(out.known);
  struct gg_addr client = ipv4(192, 168, 0, 1, 56324), server = ipv4(192, 168, 0, 11, 443);
  assert_memory_equal(&out.client, &client, sizeof client);
  assert_memory_equal(&out.server, &server, sizeof server);
  assert_int_equal(parse_text(&out, lines[3]), 107);
  assert_false(out.known);
  assert_int_equal(parse_text(&out, lines[1]), 104);
  assert_int_equal(out.client.family, GG_FAMILY_IPV6);
  assert_int_equal(out.client.port, 65535);
}

static void a_line_of_version_1_has_one_spelling(void **state)
{
  (void)state;
  static const char *const wrong[] = {
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\rX",
    "PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 \r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 65536\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 56324 0443\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 +1 443\r\n",
    "PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n",
    "PROXY TCP4 192.168.0.01 192.168.0.11 1 443\r\n",
    "PROXY TCP4 192.168.0 192.168.0.11 1 443\r\n",
    "PROXY TCP4 ::1 ::1 1 443\r\n",
    "PROXY TCP6 127.0.0.1 127.0.0.1 1 443\r\n",
    "PROXY TCP6 ::1%lo ::1 1 443\r\n",
    "PROXY UDP4 192.168.0.1 192.168.0.11 1 443\r\n",
    "PROXY UNKNOWNX\r\n",
    "PROXY \r\n",
    "PROXY\r\n",
    "proxy TCP4 192.168.0.1 192.168.0.11 1 443\r\n",
    "PROXZ",
    "GET / HTTP/1.1\r\n",
    "\n",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_proxy_header out;
    if (parse_text(&out, wrong[i]) != GG_ERR_FORMAT)
      fail_msg("taken: %s", wrong[i]);
    assert_false(out.known);
  }
  static const char with_nul[] = "PROXY TCP4 192.168.0.1\0 192.168.0.11 1 443\r\n";
  struct gg_proxy_header out;
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)with_nul, sizeof with_nul - 1), GG_ERR_FORMAT);
}

static void a_line_of_version_1_ends_within_107_bytes(void **state)
{
  (void)state;
  struct gg_proxy_header out;
  char line[160];
  memset(line, 'x', sizeof line);
  memcpy(line, "PROXY UNKNOWN ", 14);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 106), 0);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 107), GG_ERR_FORMAT);
  memcpy(line + 105, "\r\n", 2);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 106), 0);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 107), 107);
  memcpy(line + 105, "x\r\n", 3);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 107), GG_ERR_FORMAT);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, (const uint8_t *)line, 108), GG_ERR_FORMAT);
}

/* A version 2 header with `body` behind the fixed part; returns its length. */
static size_t v2(uint8_t *out, uint8_t command, uint8_t family, const void *body, size_t body_length)
{
  memcpy(out, SIGNATURE, 12);
  out[12] = command;
  out[13] = family;
  out[14] = (uint8_t)(body_length >> 8);
  out[15] = (uint8_t)body_length;
  if (body_length)
    memcpy(out + 16, body, body_length);
  return 16 + body_length;
}

static const uint8_t body_ipv4[12] = {10, 1, 2, 3, 192, 0, 2, 7, 0x30, 0x39, 0x01, 0xbb};

static void version_2_is_read_in_every_family(void **state)
{
  (void)state;
  uint8_t data[512];
  struct gg_proxy_header out;
  size_t length = v2(data, 0x21, 0x11, body_ipv4, sizeof body_ipv4);
  check_truncations(data, length);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, length), (long)length);
  struct gg_addr client = ipv4(10, 1, 2, 3, 12345), server = ipv4(192, 0, 2, 7, 443);
  assert_true(out.known);
  assert_int_equal(out.version, GG_PROXY_V2);
  assert_memory_equal(&out.client, &client, sizeof client);
  assert_memory_equal(&out.server, &server, sizeof server);

  uint8_t ipv6[36] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, [16] = 0x20, 0x01, 0x0d, 0xb8, [31] = 2, [32] = 0, 80, 1, 0};
  length = v2(data, 0x21, 0x21, ipv6, sizeof ipv6);
  check_truncations(data, length);
  gg_proxy_parse(&out, GG_PROXY_V2, data, length);
  assert_int_equal(out.client.family, GG_FAMILY_IPV6);
  assert_memory_equal(out.client.ip, ipv6, 16);
  assert_memory_equal(out.server.ip, ipv6 + 16, 16);
  assert_int_equal(out.client.port, 80);
  assert_int_equal(out.server.port, 256);

  uint8_t mapped[36] = {[10] = 0xff, 0xff, 10, 1, 2, 3, [26] = 0xff, 0xff, 192, 0, 2, 7, 0x30, 0x39, 0x01, 0xbb};
  length = v2(data, 0x21, 0x21, mapped, sizeof mapped);
  gg_proxy_parse(&out, GG_PROXY_V2, data, length);
  assert_memory_equal(&out.client, &client, sizeof client);
  assert_memory_equal(&out.server, &server, sizeof server);

  uint8_t unix_body[216] = "/run/client";
  length = v2(data, 0x21, 0x31, unix_body, sizeof unix_body);
  check_truncations(data, length);
  gg_proxy_parse(&out, GG_PROXY_V2, data, length);
  assert_true(out.known);
  assert_int_equal(out.client.family, GG_FAMILY_UNIX);
  assert_int_equal(out.client.port, 0);
}

static void version_2_without_a_stream_is_unknown(void **state)
{
  (void)state;
  uint8_t data[512];
  struct gg_proxy_header out;
  static const struct {
    uint8_t command, family;
  } cases[] = {{0x20, 0x00}, {0x20, 0x11}, {0x20, 0xff}, {0x21, 0x00}, {0x21, 0x12}, {0x21, 0x10}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    bool unspecified = cases[i].family == 0;
    size_t length = v2(data, cases[i].command, cases[i].family, body_ipv4, unspecified ? 0 : sizeof body_ipv4);
    assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, length), (long)length);
    assert_false(out.known);
    assert_int_equal(out.client.family, GG_FAMILY_NONE);
  }
}

static void what_version_2_reserves_is_refused(void **state)
{
  (void)state;
  uint8_t data[512];
  struct gg_proxy_header out;
  static const struct {
    uint8_t command, family;
    size_t body;
  } cases[] = {{0x11, 0x11, 12}, {0x31, 0x11, 12}, {0x22, 0x11, 12}, {0x2f, 0x11, 12}, {0x21, 0x41, 12},
               {0x21, 0x13, 12}, {0x21, 0x11, 11}, {0x21, 0x11, 0},  {0x21, 0x21, 12}, {0x21, 0x31, 12}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t length = v2(data, cases[i].command, cases[i].family, body_ipv4, cases[i].body);
    assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, length), GG_ERR_FORMAT);
  }
  v2(data, 0x22, 0x11, body_ipv4, 12);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, 13), GG_ERR_FORMAT); /* as soon as it is seen */
  v2(data, 0x21, 0x11, body_ipv4, 12);
  data[5] = 'x';
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, 6), GG_ERR_FORMAT);
}

static void a_header_over_the_limit_is_refused_at_once(void **state)
{
  (void)state;
  struct gg_proxy_header out;
  uint8_t *data = calloc(1, 8192);
  memcpy(data, SIGNATURE, 12);
  data[12] = 0x20;
  size_t fits = GG_PROXY_HEADER_MAX - 16;
  data[14] = (uint8_t)(fits >> 8);
  data[15] = (uint8_t)fits;
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, 16), 0);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, GG_PROXY_HEADER_MAX), GG_PROXY_HEADER_MAX);
  data[14] = (uint8_t)((fits + 1) >> 8);
  data[15] = (uint8_t)(fits + 1);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, 16), GG_ERR_FORMAT);
  free(data);
}

static void tlvs_are_walked_to_the_very_end(void **state)
{
  (void)state;
  uint8_t data[512], body[64];
  struct gg_proxy_header out;
  static const uint8_t alpn[] = {0x01, 0, 2, 'h', '2', 0x04, 0, 0};
  memcpy(body, body_ipv4, 12);
  memcpy(body + 12, alpn, sizeof alpn);
  size_t length = v2(data, 0x21, 0x11, body, 12 + sizeof alpn);
  check_truncations(data, length);
  for (size_t cut = 1; cut < sizeof alpn; cut++) {
    length = v2(data, 0x21, 0x11, body, 12 + cut);
    bool whole = cut == 5;
    assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, length), whole ? (long)length : GG_ERR_FORMAT);
  }
}

/* Its own implementation, by table, checked by the known value of "123456789". */
static uint32_t crc32c(const uint8_t *data, size_t length)
{
  uint32_t table[256], crc = 0xffffffffu;
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++)
      c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    table[i] = c;
  }
  for (size_t i = 0; i < length; i++)
    crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
  return ~crc;
}

static void a_checksum_is_checked_where_there_is_one(void **state)
{
  (void)state;
  assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283u);
  uint8_t data[512], body[64] = {0};
  struct gg_proxy_header out;
  memcpy(body, body_ipv4, 12);
  memcpy(body + 12, "\x03\x00\x04\0\0\0\0\x04\x00\x01\x00", 11);
  size_t length = v2(data, 0x21, 0x11, body, 23);
  uint32_t crc = crc32c(data, length);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, length), GG_ERR_FORMAT);
  for (int i = 0; i < 4; i++)
    data[31 + i] = (uint8_t)(crc >> (24 - 8 * i));
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, length), (long)length);
  data[17] ^= 1;
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, length), GG_ERR_FORMAT);
  memcpy(body + 12, "\x03\x00\x03\0\0\0", 6); /* of a length that no checksum has */
  length = v2(data, 0x21, 0x11, body, 18);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_ANY, data, length), GG_ERR_FORMAT);
}

static void only_accepted_versions_are_read(void **state)
{
  (void)state;
  struct gg_proxy_header out;
  uint8_t data[64];
  size_t length = v2(data, 0x20, 0, NULL, 0);
  const uint8_t *line = (const uint8_t *)"PROXY UNKNOWN\r\n";
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V1, data, length), GG_ERR_FORMAT);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, line, 15), GG_ERR_FORMAT);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_OFF, line, 15), GG_ERR_FORMAT);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V1, line, 15), 15);
  assert_int_equal(gg_proxy_parse(&out, GG_PROXY_V2, data, length), 16);
}

static void what_is_built_is_read_back(void **state)
{
  (void)state;
  struct gg_addr v4 = ipv4(10, 0, 0, 1, 65535), other = ipv4(10, 0, 0, 2, 0);
  struct gg_addr v6 = {.family = GG_FAMILY_IPV6, .port = 65534};
  memset(v6.ip, 0xfe, 16);
  struct gg_addr unix_peer = {.family = GG_FAMILY_UNIX};
  const struct gg_addr *pairs[][2] = {{&v4, &other}, {&v6, &v6},        {&v4, &v6},
                                      {&v6, &v4},    {&unix_peer, &v4}, {&v4, &unix_peer}};
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    for (int version = GG_PROXY_V1; version <= GG_PROXY_V2; version++) {
      uint8_t built[GG_PROXY_BUILD_MAX];
      struct gg_proxy_header out;
      size_t length = gg_proxy_build(built, (enum gg_proxy_version)version, pairs[i][0], pairs[i][1]);
      check_truncations(built, length);
      assert_int_equal(gg_proxy_parse(&out, (enum gg_proxy_version)version, built, length), (long)length);
      assert_int_equal(out.known, i < 4);
      if (!out.known)
        continue;
      assert_memory_equal(&out.client, pairs[i][0], sizeof out.client);
      assert_memory_equal(&out.server, pairs[i][1], sizeof out.server);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_examples_of_the_specification_are_read),
    cmocka_unit_test(a_line_of_version_1_has_one_spelling),
    cmocka_unit_test(a_line_of_version_1_ends_within_107_bytes),
    cmocka_unit_test(version_2_is_read_in_every_family),
    cmocka_unit_test(version_2_without_a_stream_is_unknown),
    cmocka_unit_test(what_version_2_reserves_is_refused),
    cmocka_unit_test(a_header_over_the_limit_is_refused_at_once),
    cmocka_unit_test(tlvs_are_walked_to_the_very_end),
    cmocka_unit_test(a_checksum_is_checked_where_there_is_one),
    cmocka_unit_test(only_accepted_versions_are_read),
    cmocka_unit_test(what_is_built_is_read_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
