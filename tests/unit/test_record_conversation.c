/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder against packets that scapy made, and against a slow encoder that shares nothing with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "record/conversation.h"
#include <stdio.h>

/* A seeded generator: the same numbers everywhere. */
static uint32_t next_number(void)
{
  static uint64_t seed = 42;
  seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(seed >> 33);
}

/* ── A slow encoder: bytes appended one at a time, checksums by the book ─────────────────────────────────────────── */

struct slow {
  uint8_t *data;
  size_t bytes;
  bool ipv6;
};

enum { SLOW_MAX = 3 << 20 };

static void add(struct slow *out, uint64_t value, unsigned bytes)
{
  assert_true(out->bytes + bytes <= SLOW_MAX);
  while (bytes-- > 0)
    out->data[out->bytes++] = (uint8_t)(value >> (8 * bytes));
}

static void add_native(struct slow *out, uint32_t value)
{
  memcpy(out->data + out->bytes, &value, 4);
  out->bytes += 4;
}

static void add_native16(struct slow *out, uint16_t value)
{
  memcpy(out->data + out->bytes, &value, 2);
  out->bytes += 2;
}

static uint32_t words(uint32_t sum, const uint8_t *data, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) {
    sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

/* The sender's address, then the receiver's. Returns the length of one. */
static size_t slow_addresses(bool ipv6, const struct gg_addr end[2], int direction, uint8_t addresses[32])
{
  size_t each = ipv6 ? 16 : 4;
  memset(addresses, 0, 32);
  for (unsigned side = 0; side < 2; side++) {
    const struct gg_addr *addr = &end[side == 0 ? direction : 1 - direction];
    if (ipv6 && addr->family == GG_FAMILY_IPV4) {
      addresses[side * each + 10] = addresses[side * each + 11] = 0xff;
      memcpy(addresses + side * each + 12, addr->ip, 4);
    } else {
      memcpy(addresses + side * each, addr->ip, each);
    }
  }
  return each;
}

static void slow_packet(struct slow *out, const struct gg_addr end[2], int direction, uint8_t flags, uint32_t sequence,
                        uint32_t acknowledged, const uint8_t *payload, size_t bytes, const char *comment,
                        uint64_t time_ns)
{
  size_t begin = out->bytes;
  size_t options = (flags & 2) != 0 ? 8 : 0;
  size_t captured = (out->ipv6 ? 74u : 54u) + options + bytes;
  add_native(out, 6);
  add_native(out, 0);
  add_native(out, 0);
  add_native(out, (uint32_t)(time_ns >> 32));
  add_native(out, (uint32_t)time_ns);
  add_native(out, (uint32_t)captured);
  add_native(out, (uint32_t)captured);
  add(out, direction == 0 ? 0x020000000002u : 0x020000000001u, 6);
  add(out, direction == 0 ? 0x020000000001u : 0x020000000002u, 6);
  uint8_t addresses[32];
  size_t each = slow_addresses(out->ipv6, end, direction, addresses);
  if (out->ipv6) {
    add(out, 0x86dd, 2);
    add(out, 0x60000000, 4);
    add(out, 20 + options + bytes, 2);
    add(out, 0x0640, 2);
  } else {
    add(out, 0x0800, 2);
    size_t head = out->bytes;
    add(out, 0x4500, 2);
    add(out, 40 + options + bytes, 2);
    add(out, 0x00004000, 4);
    add(out, 0x4006, 2);
    uint32_t sum = words(words(0, out->data + head, 10), addresses, 8);
    add(out, 0xffff - sum, 2);
  }
  memcpy(out->data + out->bytes, addresses, 2 * each);
  out->bytes += 2 * each;
  size_t tcp = out->bytes;
  add(out, end[direction].port, 2);
  add(out, end[1 - direction].port, 2);
  add(out, sequence, 4);
  add(out, acknowledged, 4);
  add(out, (5 + options / 4) << 4, 1);
  add(out, flags, 1);
  add(out, 0xffff, 2);
  add(out, 0, 4);
  if (options != 0) {
    add(out, out->ipv6 ? 0x0204ffc3 : 0x0204ffd7, 4);
    add(out, 0x01030307, 4);
  }
  if (bytes > 0)
    memcpy(out->data + out->bytes, payload, bytes);
  out->bytes += bytes;
  uint8_t pseudo[4] = {0, 6, (uint8_t)((20 + options + bytes) >> 8), (uint8_t)(20 + options + bytes)};
  uint32_t sum = words(words(0, addresses, 2 * each), pseudo, 4);
  sum = 0xffff - words(sum, out->data + tcp, 20 + options + bytes);
  out->data[tcp + 16] = (uint8_t)(sum >> 8);
  out->data[tcp + 17] = (uint8_t)sum;
  while (out->bytes % 4 != begin % 4)
    add(out, 0, 1);
  if (comment != NULL) {
    add_native16(out, 1);
    add_native16(out, (uint16_t)strlen(comment));
    for (size_t i = 0; i < (strlen(comment) + 3) / 4 * 4; i++)
      add(out, i < strlen(comment) ? (uint8_t)comment[i] : 0, 1);
  }
  add_native16(out, 2);
  add_native16(out, 4);
  add_native(out, direction == 0 ? 1 : 2);
  add_native(out, 0);
  uint32_t total = (uint32_t)(out->bytes + 4 - begin);
  add_native(out, total);
  memcpy(out->data + begin + 4, &total, 4);
}

/* ── What the tests share ────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg_addr v4_client = {.ip = {192, 0, 2, 1}, .port = 40000, .family = GG_FAMILY_IPV4};
static const struct gg_addr v4_server = {.ip = {198, 51, 100, 7}, .port = 443, .family = GG_FAMILY_IPV4};
static const struct gg_addr v6_server = {.ip = {0x20, 1, 0x0d, 0xb8, [15] = 5}, .port = 443, .family = GG_FAMILY_IPV6};
static const uint64_t when = UINT64_C(1700000000123456789);

static void some_facts(const void *session, struct gg_json *json)
{
  gg_json_field_string(json, "id", session);
}

static void closing_facts(const void *session, struct gg_json *json)
{
  (void)session;
  gg_json_field_string(json, "close", "drain");
}

static struct gg_conversation begin(const struct gg_addr *client, const struct gg_addr *server, uint32_t isn0,
                                    uint32_t isn1)
{
  struct gg_conversation conversation;
  const uint32_t initial[2] = {isn0, isn1};
  gg_conversation_init(&conversation, client, server, initial, some_facts, "x");
  return conversation;
}

static size_t chunk(struct gg_conversation *conversation, enum gg_direction direction, const uint8_t *bytes, size_t n,
                    size_t n_max, uint8_t *at, uint64_t segment)
{
  struct gg_chunk_layout layout;
  gg_conversation_lay(conversation, &layout, direction, n_max, at, segment);
  size_t done = 0, room = gg_conversation_chunk_room(conversation, n_max);
  for (unsigned i = 0; i < layout.iov_count && done < n; i++) {
    size_t take = layout.iov[i].iov_len < n - done ? layout.iov[i].iov_len : n - done;
    memcpy(layout.iov[i].iov_base, bytes + done, take);
    done += take;
  }
  assert_int_equal(done, n);
  size_t used = gg_conversation_seal(conversation, &layout, n, when);
  assert_true(used <= room);
  assert_int_equal(used % 4, 0);
  return used;
}

/* The comment of the packet at `at`; moves on to the next. Empty if it has none. */
static const char *comment_of(const uint8_t **at)
{
  static char text[GG_COMMENT_MAX + 1];
  uint32_t total, captured;
  memcpy(&total, *at + 4, 4);
  memcpy(&captured, *at + 20, 4);
  const uint8_t *option = *at + 28 + (captured + 3) / 4 * 4;
  uint16_t code, length;
  memcpy(&code, option, 2);
  memcpy(&length, option + 2, 2);
  text[0] = '\0';
  if (code == 1) {
    memcpy(text, option + 4, length);
    text[length] = '\0';
  }
  *at += total;
  return text;
}

static uint32_t sequence_of(const uint8_t *at)
{
  const uint8_t *s = at + 28 + 14 + 20 + 4;
  return (uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
}

static uint8_t flags_of(const uint8_t *at)
{
  return at[28 + 14 + 20 + 13];
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_hex(const uint8_t *at, size_t bytes, const char *hex)
{
  char text[512];
  assert_true(2 * bytes < sizeof text);
  for (size_t i = 0; i < bytes; i++)
    snprintf(text + 2 * i, 3, "%02x", at[i]);
  assert_string_equal(text, hex);
}

static void golden_packets(void **state)
{
  (void)state;
  uint8_t at[4096];
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 0x01020304, 7);
  gg_conversation_open(&conversation, at, 1, when);
  check_hex(at + 28, 62,
            "0200000000020200000000010800450000300000400040064e8cc0000201c63364079c4001bb01020304000000007002fffffbb6"
            "00000204ffd701030307");
  const uint8_t *next = at;
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"id\":\"x\"}");

  conversation = begin(&v4_client, &v6_server, 0x01020304, 0xfffffffd);
  gg_conversation_open(&conversation, at, 1, when);
  chunk(&conversation, GG_FROM_SERVER, (const uint8_t *)"hello", 5, 5, at, 1);
  check_hex(at + 28, 79,
            "02000000000102000000000286dd600000000019064020010db800000000000000000000000500000000000000000000ffffc000"
            "020101bb9c40fffffffe010203055018ffffda34000068656c6c6f");
  assert_int_equal(conversation.sequence[GG_FROM_SERVER], 3);
}

/* Any n, any shorter read, any state of acknowledgement: the same bytes as the slow encoder. */
static void layout_property(void **state)
{
  (void)state;
  static const size_t edges[] = {1,     2,     3,     63,    64,    32767,  32768,
                                 32769, 65535, 65536, 65537, 98304, 100001, GG_CHUNK_MAX};
  uint8_t *bytes = malloc(GG_CHUNK_MAX), *at = malloc(SLOW_MAX);
  struct slow slow = {.data = malloc(SLOW_MAX)};
  for (size_t i = 0; i < GG_CHUNK_MAX; i++)
    bytes[i] = (uint8_t)next_number();
  for (int round = 0; round < 150; round++) {
    slow.ipv6 = round % 2 != 0;
    struct gg_addr end[2] = {v4_client, slow.ipv6 ? v6_server : v4_server};
    struct gg_conversation conversation = begin(&end[0], &end[1], next_number() * 2, UINT32_MAX - 1000);
    slow.bytes = 0;
    size_t used = gg_conversation_open(&conversation, at, 1, when);
    assert_true(used <= GG_CONVERSATION_OPEN_MAX);
    uint32_t sequence[2] = {conversation.sequence[0], conversation.sequence[1]}, unacked[2] = {0, 0};
    bool answered = false; /* by the server: until then its window is that of its SYN, 65,535 bytes */
    slow_packet(&slow, end, 0, 2, sequence[0] - 1, 0, NULL, 0, "{\"gogetway\":1,\"id\":\"x\"}", when);
    slow_packet(&slow, end, 1, 18, sequence[1] - 1, sequence[0], NULL, 0, NULL, when);
    slow_packet(&slow, end, 0, 16, sequence[0], sequence[1], NULL, 0, NULL, when);
    assert_int_equal(used, slow.bytes);
    assert_memory_equal(at, slow.data, used);
    for (int step = 0; step < 6; step++) {
      size_t n_max = next_number() % 2 != 0 ? edges[next_number() % 14] : 1 + next_number() % 200000;
      size_t n = next_number() % 2 != 0 ? n_max : 1 + next_number() % n_max;
      int d = (int)(next_number() % 2);
      memset(at, 0xa5, SLOW_MAX / 2);
      used = chunk(&conversation, (enum gg_direction)d, bytes, n, n_max, at, 1);
      slow.bytes = 0;
      for (size_t done = 0; done < n;) {
        size_t take = n - done < 32768 ? n - done : 32768;
        slow_packet(&slow, end, d, done + take == n ? 24 : 16, sequence[d], sequence[1 - d], bytes + done, take, NULL,
                    when);
        done += take;
        sequence[d] += (uint32_t)take;
        unacked[d] += (uint32_t)take;
        unacked[1 - d] = 0;
        answered = answered || d == 1;
        assert_true(answered || unacked[d] < 65535);
        if (unacked[d] >= (answered ? 65536 : 32767)) {
          answered = true;
          slow_packet(&slow, end, 1 - d, 16, sequence[1 - d], sequence[d], NULL, 0, NULL, when);
          unacked[d] = 0;
        }
      }
      assert_int_equal(used, slow.bytes);
      assert_memory_equal(at, slow.data, used);
    }
  }
  free(bytes);
  free(at);
  free(slow.data);
}

static void room_and_fit_agree(void **state)
{
  (void)state;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1, 2);
  for (size_t room = 0; room < 400000; room += 1 + room % 7) {
    size_t bytes = gg_conversation_chunk_fit(&conversation, room);
    if (bytes > 0)
      assert_true(gg_conversation_chunk_room(&conversation, bytes) <= room);
    assert_true(gg_conversation_chunk_room(&conversation, bytes + 1) > room);
  }
  assert_int_equal(gg_conversation_chunk_fit(&conversation, SIZE_MAX / 2), GG_CHUNK_MAX);
}

static void gap_is_marked_by_the_next_packet(void **state)
{
  (void)state;
  uint8_t at[8192];
  const uint8_t *next = at;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_open(&conversation, at, 1, when);
  gg_conversation_gap(&conversation, GG_FROM_CLIENT, 500, GG_GAP_STALL);
  chunk(&conversation, GG_FROM_SERVER, (const uint8_t *)"abc", 3, 3, at, 1);
  assert_string_equal(comment_of(&next), ""); /* the other direction has nothing to tell */
  next = at;
  chunk(&conversation, GG_FROM_CLIENT, (const uint8_t *)"abc", 3, 3, at, 1);
  assert_int_equal(sequence_of(at), 1501);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"gap\":{\"bytes\":500,\"reason\":\"stall\"}}");
  next = at;
  chunk(&conversation, GG_FROM_CLIENT, (const uint8_t *)"abc", 3, 3, at, 1);
  assert_string_equal(comment_of(&next), "");
  assert_int_equal(conversation.offset[GG_FROM_CLIENT], 506);
}

static void long_and_repeated_gaps(void **state)
{
  (void)state;
  uint8_t at[8192];
  const uint8_t *next = at;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_open(&conversation, at, 1, when);
  gg_conversation_gap(&conversation, GG_FROM_SERVER, UINT64_C(5) << 30, GG_GAP_STALL);
  gg_conversation_gap(&conversation, GG_FROM_SERVER, 11, GG_GAP_DISK_FULL);
  chunk(&conversation, GG_FROM_SERVER, (const uint8_t *)"abc", 3, 3, at, 1);
  assert_int_equal(sequence_of(at), 2001 + (1 << 30));
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"gap\":{\"bytes\":5368709131,\"reason\":\"disk-full\"}}");
}

static void gap_before_fin_and_gap_never_followed(void **state)
{
  (void)state;
  uint8_t at[GG_CONVERSATION_CLOSE_MAX];
  const uint8_t *next = at;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_open(&conversation, at, 1, when);
  gg_conversation_gap(&conversation, GG_FROM_CLIENT, 9, GG_GAP_STALL);
  size_t used = gg_conversation_fin(&conversation, GG_FROM_CLIENT, at, 1, when);
  assert_int_equal(sequence_of(at), 1010);
  assert_int_equal(flags_of(at), 17);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"gap\":{\"bytes\":9,\"reason\":\"stall\"}}");
  assert_int_equal(flags_of(next), 16);
  assert_string_equal(comment_of(&next), "");
  assert_ptr_equal(next, at + used);
  gg_conversation_gap(&conversation, GG_FROM_SERVER, 4, GG_GAP_STALL);
  next = at;
  used = gg_conversation_close(&conversation, GG_CLOSING_CLIENT_RESET, closing_facts, at, 1, when);
  assert_int_equal(flags_of(at), 20);
  assert_string_equal(comment_of(&next),
                      "{\"gogetway\":1,\"id\":\"x\",\"close\":\"drain\",\"gaps\":{\"client\":9,\"server\":4}}");
  assert_ptr_equal(next, at + used);
}

static void opened_late_and_closed_at_once(void **state)
{
  (void)state;
  uint8_t at[GG_CONVERSATION_CLOSE_MAX];
  const uint8_t *next = at;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_gap(&conversation, GG_FROM_CLIENT, 50, GG_GAP_STALL);
  size_t used = gg_conversation_close(&conversation, GG_CLOSING_ORDERLY, closing_facts, at, 3, when);
  static const uint8_t flags[] = {2, 18, 16, 17, 16, 17, 16};
  static const char *const comments[] = {
    "{\"gogetway\":1,\"id\":\"x\"}",
    "",
    "",
    "{\"gogetway\":1,\"gap\":{\"bytes\":50,\"reason\":\"stall\"}}",
    "",
    "",
    "{\"gogetway\":1,\"id\":\"x\",\"close\":\"drain\",\"gaps\":{\"client\":50,\"server\":0}}"};
  for (size_t i = 0; i < sizeof flags; i++) {
    assert_int_equal(flags_of(next), flags[i]);
    assert_string_equal(comment_of(&next), comments[i]);
  }
  assert_ptr_equal(next, at + used);

  /* Opened late with data to follow: the handshake says nothing of the gap, the data does. */
  conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_gap(&conversation, GG_FROM_CLIENT, 50, GG_GAP_STALL);
  next = at;
  used = gg_conversation_open(&conversation, at, 1, when);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"id\":\"x\"}");
  next = at + used;
  chunk(&conversation, GG_FROM_CLIENT, (const uint8_t *)"abc", 3, 3, at + used, 1);
  assert_int_equal(sequence_of(at + used), 1051);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"gap\":{\"bytes\":50,\"reason\":\"stall\"}}");
}

static void later_segments_repeat_the_facts(void **state)
{
  (void)state;
  uint8_t at[GG_CONVERSATION_CLOSE_MAX];
  const uint8_t *next = at;
  struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
  gg_conversation_open(&conversation, at, 1, when);
  chunk(&conversation, GG_FROM_CLIENT, (const uint8_t *)"abc", 3, 3, at, 1);
  gg_conversation_gap(&conversation, GG_FROM_SERVER, 7, GG_GAP_STALL);
  chunk(&conversation, GG_FROM_SERVER, (const uint8_t *)"defgh", 5, 5, at, 2);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"id\":\"x\",\"continued\":true,\"client_offset\":3,"
                                         "\"server_offset\":0,\"gap\":{\"bytes\":7,\"reason\":\"stall\"}}");
  next = at;
  chunk(&conversation, GG_FROM_SERVER, (const uint8_t *)"d", 1, 1, at, 2);
  assert_string_equal(comment_of(&next), "");
  next = at;
  gg_conversation_fin(&conversation, GG_FROM_SERVER, at, 3, when);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"id\":\"x\",\"continued\":true,\"client_offset\":3,"
                                         "\"server_offset\":13}");
  gg_conversation_fin(&conversation, GG_FROM_CLIENT, at, 3, when);
  next = at;
  gg_conversation_close(&conversation, GG_CLOSING_ORDERLY, closing_facts, at, 4, when);
  assert_string_equal(comment_of(&next),
                      "{\"gogetway\":1,\"id\":\"x\",\"continued\":true,\"client_offset\":3,\"server_offset\":13,"
                      "\"close\":\"drain\",\"gaps\":{\"client\":0,\"server\":7}}");
}

static void endless_facts(const void *session, struct gg_json *json)
{
  char text[600];
  (void)session;
  memset(text, 1, sizeof text - 1); /* each becomes six characters */
  text[sizeof text - 1] = '\0';
  gg_json_field_string(json, "id", text);
}

static void facts_that_do_not_fit_are_left_out(void **state)
{
  (void)state;
  uint8_t at[GG_CONVERSATION_CLOSE_MAX];
  const uint8_t *next = at;
  const uint32_t initial[2] = {5, 6};
  struct gg_conversation conversation;
  gg_conversation_init(&conversation, &v4_client, &v4_server, initial, endless_facts, NULL);
  gg_conversation_open(&conversation, at, 1, when);
  assert_string_equal(comment_of(&next), "{\"gogetway\":1,\"truncated\":true}");
}

/* The last ACK belongs to the side whose FIN came first. */
static void last_packets(void **state)
{
  (void)state;
  uint8_t at[GG_CONVERSATION_CLOSE_MAX];
  for (int first = 0; first < 2; first++) {
    struct gg_conversation conversation = begin(&v4_client, &v4_server, 1000, 2000);
    gg_conversation_open(&conversation, at, 1, when);
    gg_conversation_fin(&conversation, (enum gg_direction)first, at, 1, when);
    gg_conversation_fin(&conversation, (enum gg_direction)(1 - first), at, 1, when);
    gg_conversation_close(&conversation, GG_CLOSING_ORDERLY, closing_facts, at, 1, when);
    assert_int_equal(flags_of(at), 16);
    assert_int_equal(sequence_of(at), first == 0 ? 1002 : 2002);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(golden_packets),
    cmocka_unit_test(layout_property),
    cmocka_unit_test(room_and_fit_agree),
    cmocka_unit_test(gap_is_marked_by_the_next_packet),
    cmocka_unit_test(long_and_repeated_gaps),
    cmocka_unit_test(gap_before_fin_and_gap_never_followed),
    cmocka_unit_test(opened_late_and_closed_at_once),
    cmocka_unit_test(later_segments_repeat_the_facts),
    cmocka_unit_test(facts_that_do_not_fit_are_left_out),
    cmocka_unit_test(last_packets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
