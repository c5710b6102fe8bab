/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/pcapng.h"
#include "record/pcapng_writer.h"

struct output {
  uint8_t data[8192];
  size_t bytes;
  int calls_left; /* then it fails; negative: never */
};

static int take(void *context, const void *data, size_t bytes)
{
  struct output *output = context;
  if (output->calls_left-- == 0)
    return GG_ERR_NO_SPACE;
  assert_true(output->bytes + bytes <= sizeof output->data);
  memcpy(output->data + output->bytes, data, bytes);
  output->bytes += bytes;
  return 0;
}

static struct gg_pcapng_packet make_packet(uint16_t link_type, const char *data, uint64_t time_ns)
{
  return (struct gg_pcapng_packet){.data = (const uint8_t *)data,
                                   .captured = (uint32_t)strlen(data),
                                   .original = (uint32_t)strlen(data) + 3,
                                   .link_type = link_type,
                                   .time_ns = time_ns,
                                   .interface = 9};
}

static void expect(struct gg_pcapng_reader *reader, const struct gg_pcapng_packet *wanted, uint32_t interface,
                   const char *comment, uint8_t direction)
{
  struct gg_pcapng_packet packet;
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), 0);
  assert_int_equal(packet.captured, wanted->captured);
  assert_memory_equal(packet.data, wanted->data, wanted->captured);
  assert_int_equal(packet.original, wanted->original);
  assert_int_equal(packet.time_ns, wanted->time_ns);
  assert_int_equal(packet.link_type, wanted->link_type);
  assert_int_equal(packet.interface, interface);
  assert_int_equal(packet.direction, direction);
  assert_int_equal(packet.comment_bytes, strlen(comment));
  if (*comment != '\0')
    assert_memory_equal(packet.comment, comment, strlen(comment));
}

/* Two comments, a flag, an option that only one byte order can carry over. */
static const uint8_t options[] = {1, 0, 5, 0, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 4,   0, 4, 0, 1, 2, 3, 4,
                                  2, 0, 4, 0, 2,   0,   0,   0,   1,   0, 1, 0, 'x', 0, 0, 0, 0, 0, 0, 0};
static const uint8_t swapped_options[] = {0, 1, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 0,   4, 0, 4, 1, 2, 3, 4,
                                          0, 2, 0, 4, 0,   0,   0,   2,   0,   1, 0, 1, 'x', 0, 0, 0, 0, 0, 0, 0};

static void packets_come_back(void **state)
{
  (void)state;
  struct output output = {.calls_left = -1};
  struct gg_pcapng_writer writer;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packets[4] = {
    make_packet(GG_LINK_ETHERNET, "one", 1), make_packet(GG_LINK_RAW, "three", UINT64_C(1700000000123456789)),
    make_packet(GG_LINK_ETHERNET, "four", UINT64_MAX), make_packet(GG_LINK_RAW, "", 7)};
  packets[0].options = options;
  packets[0].options_bytes = sizeof options;
  packets[1].options = swapped_options;
  packets[1].options_bytes = sizeof swapped_options;
  packets[1].block.swapped = true;
  assert_int_equal(gg_pcapng_writer_begin(&writer, take, &output, "test", NULL), 0);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(gg_pcapng_writer_packet(&writer, &packets[i]), 0);
  assert_int_equal(gg_pcapng_reader_open_memory(&reader, output.data, output.bytes, NULL), 0);
  expect(reader, &packets[0], 0, "hello", GG_PCAPNG_OUTBOUND);
  expect(reader, &packets[1], 1, "hello", GG_PCAPNG_OUTBOUND);
  expect(reader, &packets[2], 0, "", 0);
  expect(reader, &packets[3], 1, "", 0);
  assert_int_equal(gg_pcapng_reader_next(reader, &packets[0], NULL), GG_ERR_AGAIN);
  assert_false(gg_pcapng_reader_torn(reader));
  gg_pcapng_reader_destroy(reader);
}

/* A file of ours is copied byte for byte. */
static void a_copy_is_the_same(void **state)
{
  (void)state;
  struct output first = {.calls_left = -1}, second = {.calls_left = -1};
  struct gg_pcapng_writer writer;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet = make_packet(GG_LINK_ETHERNET, "some data", 1234567890123456789);
  packet.options = options;
  packet.options_bytes = sizeof options;
  assert_int_equal(gg_pcapng_writer_begin(&writer, take, &first, "test", "note"), 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(gg_pcapng_writer_packet(&writer, &packet), 0);
  assert_int_equal(gg_pcapng_reader_open_memory(&reader, first.data, first.bytes, NULL), 0);
  assert_int_equal(gg_pcapng_writer_begin(&writer, take, &second, "test", "note"), 0);
  while (gg_pcapng_reader_next(reader, &packet, NULL) == 0)
    assert_int_equal(gg_pcapng_writer_packet(&writer, &packet), 0);
  assert_int_equal(first.bytes, second.bytes);
  assert_memory_equal(first.data, second.data, first.bytes);
  gg_pcapng_reader_destroy(reader);
}

static void limits(void **state)
{
  (void)state;
  struct output output = {.calls_left = -1};
  struct gg_pcapng_writer writer;
  assert_int_equal(gg_pcapng_writer_begin(&writer, take, &output, NULL, NULL), 0);
  for (uint16_t i = 0; i < GG_PCAPNG_WRITER_LINKS_MAX + 2; i++) {
    struct gg_pcapng_packet packet = make_packet((uint16_t)(i + 1), "x", i);
    assert_int_equal(gg_pcapng_writer_packet(&writer, &packet), i < GG_PCAPNG_WRITER_LINKS_MAX ? 0 : GG_ERR_LIMIT);
  }
  struct gg_pcapng_packet packet = make_packet(GG_LINK_ETHERNET, "x", 1);
  packet.captured = UINT32_MAX;
  assert_int_equal(gg_pcapng_writer_packet(&writer, &packet), GG_ERR_RANGE);
}

/* Whichever write fails, its error comes back. */
static void a_failing_write(void **state)
{
  (void)state;
  int error = GG_ERR_NO_SPACE, fails = 0;
  for (; error != 0; fails++) {
    struct output output = {.calls_left = fails};
    struct gg_pcapng_writer writer;
    struct gg_pcapng_packet packet = make_packet(GG_LINK_RAW, "hello", 1);
    packet.options = swapped_options;
    packet.options_bytes = sizeof swapped_options;
    packet.block.swapped = true;
    error = gg_pcapng_writer_begin(&writer, take, &output, NULL, NULL);
    if (error == 0)
      error = gg_pcapng_writer_packet(&writer, &packet);
    assert_true(error == 0 || error == GG_ERR_NO_SPACE);
    assert_true(fails < 100);
  }
  assert_true(fails > 10);
}

static void classic_pcap(void **state)
{
  (void)state;
  struct output output = {.calls_left = -1};
  struct gg_pcap_writer writer;
  struct gg_pcapng_packet packet = make_packet(GG_LINK_ETHERNET, "hello", UINT64_C(1700000000123456789));
  assert_int_equal(gg_pcap_writer_begin(&writer, take, &output, GG_LINK_ETHERNET), 0);
  assert_int_equal(gg_pcap_writer_packet(&writer, &packet), 0);
  uint32_t words[10];
  memcpy(words, output.data, sizeof words);
  const uint32_t wanted[10] = {0xa1b23c4d, 0x00040002, 0, 0, 262144, 1, 1700000000, 123456789, 5, 8};
  assert_memory_equal(words, wanted, sizeof wanted);
  assert_int_equal(output.bytes, 40 + 5);
  assert_memory_equal(output.data + 40, "hello", 5);
  packet.link_type = GG_LINK_RAW;
  assert_int_equal(gg_pcap_writer_packet(&writer, &packet), GG_ERR_UNSUPPORTED);
  packet = make_packet(GG_LINK_ETHERNET, "hello", UINT64_MAX);
  assert_int_equal(gg_pcap_writer_packet(&writer, &packet), GG_ERR_RANGE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(packets_come_back), cmocka_unit_test(a_copy_is_the_same), cmocka_unit_test(limits),
    cmocka_unit_test(a_failing_write),   cmocka_unit_test(classic_pcap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
