/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/conversation.h"
#include "record/packet.h"
#include "record/packet_parse.h"
#include "record/pcapng.h"

static const struct gg_addr v4_client = {.ip = {192, 0, 2, 1}, .port = 40000, .family = GG_FAMILY_IPV4};
static const struct gg_addr v4_server = {.ip = {198, 51, 100, 7}, .port = 443, .family = GG_FAMILY_IPV4};
static const struct gg_addr v6_server = {.ip = {0x20, 1, 0x0d, 0xb8, [15] = 5}, .port = 443, .family = GG_FAMILY_IPV6};

/* An Ethernet frame of ours with "hello" in it. Returns its length. */
static size_t make_frame(uint8_t *frame, bool ipv6)
{
  uint8_t block[256];
  memcpy(block + gg_packet_payload_offset(ipv6), "hello", 5);
  struct gg_packet packet = {.from = &v4_client,
                             .to = ipv6 ? &v6_server : &v4_server,
                             .sequence = 0xfffffff0,
                             .acknowledged = 77,
                             .payload_bytes = 5,
                             .flags = GG_TCP_ACK | GG_TCP_PSH,
                             .ipv6 = ipv6};
  gg_packet_write(block, &packet);
  size_t bytes = gg_packet_payload_offset(ipv6) - 28 + 5;
  memcpy(frame, block + 28, bytes);
  return bytes;
}

static void check(const struct gg_tcp_packet *packet, bool ipv6)
{
  assert_memory_equal(&packet->from, &v4_client, sizeof v4_client);
  assert_memory_equal(&packet->to, ipv6 ? &v6_server : &v4_server, sizeof v4_server);
  assert_int_equal(packet->sequence, 0xfffffff0);
  assert_int_equal(packet->acknowledged, 77);
  assert_int_equal(packet->flags, GG_TCP_ACK | GG_TCP_PSH);
  assert_int_equal(packet->window, 65535);
  assert_int_equal(packet->payload_bytes, 5);
  assert_memory_equal(packet->payload, "hello", 5);
  assert_int_equal(packet->missing_bytes, 0);
  assert_int_equal(gg_tcp_packet_checksums(packet), 0);
}

/* Every link layer in front of the same IP packet; padding behind it. */
static void link_layers(void **state)
{
  (void)state;
  static const struct {
    uint16_t link_type;
    size_t head;
    size_t type_at; /* where an Ethernet type goes; SIZE_MAX: nowhere */
    const char *start;
    size_t start_bytes;
  } layers[] = {
    {GG_LINK_ETHERNET, 14, 12, "", 0},
    {GG_LINK_ETHERNET, 18, 16, "\1\2\3\4\5\6\1\2\3\4\5\6\x81\0\0\5", 16},
    {GG_LINK_ETHERNET, 22, 20, "\1\2\3\4\5\6\1\2\3\4\5\6\x88\xa8\0\5\x81\0\0\6", 20},
    {GG_LINK_LINUX_SLL, 16, 14, "", 0},
    {GG_LINK_LINUX_SLL2, 20, 0, "", 0},
    {GG_LINK_RAW, 0, SIZE_MAX, "", 0},
    {GG_LINK_RAW_BSD, 0, SIZE_MAX, "", 0},
    {GG_LINK_IPV4, 0, SIZE_MAX, "", 0},
    {GG_LINK_IPV6, 0, SIZE_MAX, "", 0},
    {GG_LINK_NULL, 4, SIZE_MAX, "\2\0\0\0", 4},
    {GG_LINK_LOOP, 4, SIZE_MAX, "\0\0\0\2", 4},
  };
  for (int ipv6 = 0; ipv6 < 2; ipv6++) {
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
      uint8_t frame[256], packet[512] = {0};
      struct gg_tcp_packet parsed;
      size_t bytes = make_frame(frame, ipv6 != 0) - 14;
      memcpy(packet, layers[i].start, layers[i].start_bytes);
      if (layers[i].type_at != SIZE_MAX)
        memcpy(packet + layers[i].type_at, ipv6 != 0 ? "\x86\xdd" : "\x08\x00", 2);
      memcpy(packet + layers[i].head, frame + 14, bytes);
      for (size_t padding = 0; padding < 10; padding += 3) {
        assert_int_equal(gg_tcp_packet_parse(&parsed, layers[i].link_type, packet, layers[i].head + bytes + padding),
                         0);
        check(&parsed, ipv6 != 0);
      }
      for (size_t cut = 0; cut < layers[i].head + bytes - 5; cut++) {
        uint8_t *exact = malloc(cut); /* so that a sanitizer sees a byte too far */
        memcpy(exact, packet, cut);
        assert_int_equal(gg_tcp_packet_parse(&parsed, layers[i].link_type, exact, cut), GG_ERR_TRUNCATED);
        free(exact);
      }
    }
  }
}

static void cut_by_the_capture(void **state)
{
  (void)state;
  uint8_t frame[256];
  struct gg_tcp_packet parsed;
  for (int ipv6 = 0; ipv6 < 2; ipv6++) {
    size_t bytes = make_frame(frame, ipv6 != 0);
    assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes - 3), 0);
    assert_int_equal(parsed.payload_bytes, 2);
    assert_int_equal(parsed.missing_bytes, 3);
    assert_int_equal(gg_tcp_packet_checksums(&parsed), GG_CHECKSUM_TCP_UNKNOWN);
  }
}

static void wrong_checksums(void **state)
{
  (void)state;
  uint8_t frame[256];
  struct gg_tcp_packet parsed;
  for (int ipv6 = 0; ipv6 < 2; ipv6++) {
    size_t bytes = make_frame(frame, ipv6 != 0);
    for (size_t i = ipv6 != 0 ? 22 : 23; i < bytes; i++) {
      frame[i] ^= 0x40;
      if (gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes) == 0)
        assert_int_not_equal(gg_tcp_packet_checksums(&parsed), 0);
      frame[i] ^= 0x40;
    }
  }
}

/* Extension headers in front of TCP: hop-by-hop, routing, a first fragment, authentication. */
static void ipv6_extensions(void **state)
{
  (void)state;
  static const uint8_t chain[] = {43, 0, 1, 4,  0, 0, 0, 0,                         /* hop-by-hop */
                                  60, 0, 0, 0,  0, 0, 0, 0,                         /* routing */
                                  44, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* destination */
                                  51, 0, 0, 1,  0, 0, 0, 9,                         /* fragment */
                                  6,  1, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0 /* authentication */};
  uint8_t frame[256], longer[512];
  struct gg_tcp_packet parsed;
  size_t bytes = make_frame(frame, true);
  memcpy(longer, frame, 54);
  longer[20] = 0;
  longer[19] = (uint8_t)(longer[19] + sizeof chain);
  memcpy(longer + 54, chain, sizeof chain);
  memcpy(longer + 54 + sizeof chain, frame + 54, bytes - 54);
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, longer, bytes + sizeof chain), 0);
  check(&parsed, true);
  for (size_t cut = 54; cut < 54 + sizeof chain + 20; cut++) {
    uint8_t *exact = malloc(cut);
    memcpy(exact, longer, cut);
    assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, exact, cut), GG_ERR_TRUNCATED);
    free(exact);
  }
  longer[54 + 8 + 8 + 16 + 2] = 1; /* a later fragment */
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, longer, bytes + sizeof chain), GG_ERR_UNSUPPORTED);
  memset(longer + 54, 0, 200); /* hop-by-hop without end */
  longer[18] = 0;
  longer[19] = 200;
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, longer, 300), GG_ERR_UNSUPPORTED);
}

static void what_is_not_tcp(void **state)
{
  (void)state;
  uint8_t frame[256];
  struct gg_tcp_packet parsed;
  size_t bytes = make_frame(frame, false);
  frame[23] = 17;
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_UNSUPPORTED);
  frame[23] = 6;
  frame[21] = 1;
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_UNSUPPORTED);
  frame[21] = 0;
  frame[14] = 0x43;
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_CORRUPT);
  frame[14] = 0x45;
  frame[46] = 0x40; /* a TCP header of 16 bytes */
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_CORRUPT);
  frame[46] = 0xf0; /* longer than the packet */
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_CORRUPT);
  frame[12] = 0x08;
  frame[13] = 0x06;
  assert_int_equal(gg_tcp_packet_parse(&parsed, GG_LINK_ETHERNET, frame, bytes), GG_ERR_UNSUPPORTED);
  assert_int_equal(gg_tcp_packet_parse(&parsed, 147, frame, bytes), GG_ERR_UNSUPPORTED);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(link_layers),     cmocka_unit_test(cut_by_the_capture), cmocka_unit_test(wrong_checksums),
    cmocka_unit_test(ipv6_extensions), cmocka_unit_test(what_is_not_tcp),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
