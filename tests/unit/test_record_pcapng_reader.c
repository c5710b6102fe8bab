/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/pcapng.h"
#include "record/pcapng_reader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ── Files made here, in either byte order ───────────────────────────────────────────────────────────────────────── */

enum { FILE_MAX = 8192, BLOCKS_MAX = 32 };

struct file {
  uint8_t data[FILE_MAX];
  size_t bytes;
  bool swapped;
  size_t block_end[BLOCKS_MAX];
  unsigned blocks;
};

static void add16(struct file *file, uint16_t value)
{
  value = file->swapped ? __builtin_bswap16(value) : value;
  memcpy(file->data + file->bytes, &value, 2);
  file->bytes += 2;
}

static void add32(struct file *file, uint32_t value)
{
  value = file->swapped ? __builtin_bswap32(value) : value;
  memcpy(file->data + file->bytes, &value, 4);
  file->bytes += 4;
}

static void add_text(struct file *file, const char *text)
{
  size_t bytes = strlen(text);
  memcpy(file->data + file->bytes, text, bytes);
  memset(file->data + file->bytes + bytes, 0, 3);
  file->bytes += gg_pcapng_pad(bytes);
}

static void add_option(struct file *file, uint16_t code, const char *text)
{
  add16(file, code);
  add16(file, (uint16_t)strlen(text));
  add_text(file, text);
}

static size_t begin_block(struct file *file, uint32_t type)
{
  size_t begin = file->bytes;
  add32(file, type);
  add32(file, 0);
  return begin;
}

static void end_block(struct file *file, size_t begin)
{
  uint32_t total = (uint32_t)(file->bytes + 4 - begin);
  add32(file, total);
  size_t end = file->bytes;
  file->bytes = begin + 4;
  add32(file, total);
  file->bytes = end;
  file->block_end[file->blocks++] = end;
}

static void add_section(struct file *file)
{
  size_t block = begin_block(file, GG_PCAPNG_SHB);
  add32(file, GG_PCAPNG_BYTE_ORDER);
  add16(file, 1);
  add16(file, 0);
  add32(file, UINT32_MAX);
  add32(file, UINT32_MAX);
  end_block(file, block);
}

static void add_interface(struct file *file, uint16_t link_type, int resolution, uint32_t offset_s)
{
  size_t block = begin_block(file, GG_PCAPNG_IDB);
  add16(file, link_type);
  add16(file, 0);
  add32(file, 100);
  if (resolution >= 0) {
    add16(file, GG_PCAPNG_IF_TSRESOL);
    add16(file, 1);
    file->data[file->bytes++] = (uint8_t)resolution;
    memset(file->data + file->bytes, 0, 3);
    file->bytes += 3;
  }
  if (offset_s != 0) {
    add16(file, GG_PCAPNG_IF_TSOFFSET);
    add16(file, 8);
    add32(file, file->swapped ? 0 : offset_s);
    add32(file, file->swapped ? offset_s : 0);
  }
  end_block(file, block);
}

static void add_packet(struct file *file, uint32_t interface, uint64_t ticks, const char *data, const char *comment,
                       uint32_t flags)
{
  size_t block = begin_block(file, GG_PCAPNG_EPB);
  add32(file, interface);
  add32(file, (uint32_t)(ticks >> 32));
  add32(file, (uint32_t)ticks);
  add32(file, (uint32_t)strlen(data));
  add32(file, (uint32_t)strlen(data) + 10);
  add_text(file, data);
  if (comment != NULL)
    add_option(file, GG_PCAPNG_OPT_COMMENT, comment);
  if (flags != 0) {
    add16(file, GG_PCAPNG_EPB_FLAGS);
    add16(file, 4);
    add32(file, flags);
  }
  if (comment != NULL || flags != 0)
    add32(file, 0);
  end_block(file, block);
}

static void add_simple(struct file *file, const char *data, uint32_t original)
{
  size_t block = begin_block(file, GG_PCAPNG_SPB);
  add32(file, original);
  add_text(file, data);
  end_block(file, block);
}

static void add_obsolete(struct file *file, uint16_t interface, uint64_t ticks, const char *data)
{
  size_t block = begin_block(file, GG_PCAPNG_PB);
  add16(file, interface);
  add16(file, 77);
  add32(file, (uint32_t)(ticks >> 32));
  add32(file, (uint32_t)ticks);
  add32(file, (uint32_t)strlen(data));
  add32(file, (uint32_t)strlen(data));
  add_text(file, data);
  end_block(file, block);
}

static void add_unknown(struct file *file)
{
  size_t block = begin_block(file, 0x0bad);
  add_text(file, "whatever is in there");
  end_block(file, block);
}

/* One of everything. Eight packets. */
static void make_file(struct file *file, bool swapped)
{
  memset(file, 0, sizeof *file);
  file->swapped = swapped;
  add_section(file);
  add_interface(file, GG_LINK_ETHERNET, 9, 0);
  add_packet(file, 0, UINT64_C(1700000000123456789), "first", "a comment", 1);
  add_unknown(file);
  add_interface(file, GG_LINK_RAW, -1, 0);
  add_packet(file, 1, UINT64_C(1700000000123456), "second!", NULL, 2);
  add_simple(file, "simple", 6);
  add_obsolete(file, 1, UINT64_C(1700000000123456), "old");
  add_packet(file, 0, 5, "", "empty", 0);
  add_section(file);
  add_interface(file, GG_LINK_LINUX_SLL, 0x80 | 20, 1000);
  add_packet(file, 0, (UINT64_C(7) << 20) + (1 << 19), "binary ticks", NULL, 0);
  add_interface(file, GG_LINK_NULL, 3, 0);
  add_interface(file, GG_LINK_NULL, 12, 0);
  add_packet(file, 1, 1500, "ms", NULL, 3);
  add_packet(file, 2, 1500, "ps", "c", 1);
}

static int memory_file(const void *data, size_t bytes)
{
  int fd = memfd_create("capture", MFD_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, data, bytes), bytes);
  return fd;
}

static void expect(struct gg_pcapng_reader *reader, const char *data, uint64_t time_ns, uint16_t link_type,
                   uint8_t direction, const char *comment)
{
  struct gg_pcapng_packet packet;
  struct gg_failure failure = GG_FAILURE_INIT;
  int error = gg_pcapng_reader_next(reader, &packet, &failure);
  if (error != 0)
    fail_msg("%s: %s", data, failure.message);
  assert_int_equal(packet.captured, strlen(data));
  assert_memory_equal(packet.data, data, strlen(data));
  assert_int_equal(packet.time_ns, time_ns);
  assert_int_equal(packet.link_type, link_type);
  assert_int_equal(packet.direction, direction);
  assert_int_equal(packet.comment_bytes, comment == NULL ? 0 : strlen(comment));
  if (comment != NULL)
    assert_memory_equal(packet.comment, comment, strlen(comment));
}

static void expect_all(struct gg_pcapng_reader *reader)
{
  struct gg_pcapng_packet packet;
  expect(reader, "first", UINT64_C(1700000000123456789), GG_LINK_ETHERNET, 1, "a comment");
  expect(reader, "second!", UINT64_C(1700000000123456000), GG_LINK_RAW, 2, NULL);
  expect(reader, "simple", 0, GG_LINK_ETHERNET, 0, NULL);
  expect(reader, "old", UINT64_C(1700000000123456000), GG_LINK_RAW, 0, NULL);
  expect(reader, "", 5, GG_LINK_ETHERNET, 0, "empty");
  expect(reader, "binary ticks", UINT64_C(1007500000000), GG_LINK_LINUX_SLL, 0, NULL);
  expect(reader, "ms", 1500000000, GG_LINK_NULL, 0, NULL);
  expect(reader, "ps", 1, GG_LINK_NULL, 1, "c");
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), GG_ERR_AGAIN);
  assert_false(gg_pcapng_reader_torn(reader));
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void everything_in_both_byte_orders(void **state)
{
  (void)state;
  for (int swapped = 0; swapped < 2; swapped++) {
    struct file file;
    struct gg_pcapng_reader *reader;
    make_file(&file, swapped != 0);
    assert_int_equal(gg_pcapng_reader_open_memory(&reader, file.data, file.bytes, NULL), 0);
    expect_all(reader);
    assert_int_equal(gg_pcapng_reader_offset(reader), file.bytes);
    gg_pcapng_reader_destroy(reader);
    int fd = memory_file(file.data, file.bytes);
    assert_int_equal(gg_pcapng_reader_open(&reader, fd, NULL), 0);
    expect_all(reader);
    gg_pcapng_reader_destroy(reader);
    close(fd);
  }
}

/* Two sections of different byte orders in one file. */
static void byte_order_changes_with_the_section(void **state)
{
  (void)state;
  struct file file;
  struct gg_pcapng_reader *reader;
  memset(&file, 0, sizeof file);
  add_section(&file);
  add_interface(&file, GG_LINK_ETHERNET, 9, 0);
  add_packet(&file, 0, 1, "one", NULL, 1);
  file.swapped = true;
  add_section(&file);
  add_interface(&file, GG_LINK_RAW, 9, 0);
  add_packet(&file, 0, 2, "two", "x", 2);
  assert_int_equal(gg_pcapng_reader_open_memory(&reader, file.data, file.bytes, NULL), 0);
  expect(reader, "one", 1, GG_LINK_ETHERNET, 1, NULL);
  expect(reader, "two", 2, GG_LINK_RAW, 2, "x");
  gg_pcapng_reader_destroy(reader);
}

static void a_pipe_in_small_pieces(void **state)
{
  (void)state;
  struct file file;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  int ends[2];
  make_file(&file, false);
  assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
  assert_int_equal(gg_pcapng_reader_open(&reader, ends[0], NULL), 0);
  unsigned packets = 0;
  for (size_t i = 0; i < file.bytes; i++) {
    assert_int_equal(write(ends[1], file.data + i, 1), 1);
    int error;
    while ((error = gg_pcapng_reader_next(reader, &packet, NULL)) == 0)
      packets++;
    assert_int_equal(error, GG_ERR_AGAIN);
  }
  assert_int_equal(packets, 8);
  assert_int_equal(gg_pcapng_reader_seek(reader, 0), GG_ERR_UNSUPPORTED);
  gg_pcapng_reader_destroy(reader);
  close(ends[0]);
  close(ends[1]);
}

/* Cut at every byte: the whole blocks before the cut are kept, nothing else comes, and the rest follows when it is
 * there again. */
static void truncated_at_every_byte_and_grown_again(void **state)
{
  (void)state;
  struct file file;
  for (int swapped = 0; swapped < 2; swapped++) {
    make_file(&file, swapped != 0);
    for (size_t cut = 0; cut <= file.bytes; cut++) {
      struct gg_pcapng_reader *reader;
      struct gg_pcapng_block block;
      int fd = memory_file(file.data, cut), error;
      unsigned whole = 0, seen = 0;
      while (whole < file.blocks && file.block_end[whole] <= cut)
        whole++;
      size_t end = whole == 0 ? 0 : file.block_end[whole - 1];
      assert_int_equal(gg_pcapng_reader_open(&reader, fd, NULL), 0);
      while ((error = gg_pcapng_reader_next_block(reader, &block, NULL)) == 0)
        assert_int_equal(block.offset + block.bytes, file.block_end[seen++]);
      assert_int_equal(error, GG_ERR_AGAIN);
      assert_int_equal(seen, whole);
      assert_int_equal(gg_pcapng_reader_offset(reader), end);
      assert_int_equal(gg_pcapng_reader_torn(reader), end != cut);
      assert_int_equal(pwrite(fd, file.data + end, file.bytes - end, (off_t)end), file.bytes - end);
      while ((error = gg_pcapng_reader_next_block(reader, &block, NULL)) == 0)
        seen++;
      assert_int_equal(seen, file.blocks);
      gg_pcapng_reader_destroy(reader);
      close(fd);
    }
  }
}

/* An unfinished block is not remembered: what is in the file when it is whole counts. */
static void an_unfinished_block_may_be_replaced(void **state)
{
  (void)state;
  struct file file, other;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  make_file(&file, false);
  memset(&other, 0, sizeof other);
  add_section(&other);
  add_interface(&other, GG_LINK_ETHERNET, 9, 0);
  add_packet(&other, 0, 9, "other", NULL, 0);
  int fd = memory_file(file.data, other.block_end[1] + 20);
  assert_int_equal(gg_pcapng_reader_open(&reader, fd, NULL), 0);
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), GG_ERR_AGAIN);
  assert_true(gg_pcapng_reader_torn(reader));
  assert_int_equal(pwrite(fd, other.data, other.bytes, 0), other.bytes);
  expect(reader, "other", 9, GG_LINK_ETHERNET, 0, NULL);
  gg_pcapng_reader_destroy(reader);
  close(fd);
}

static int first_error(const uint8_t *data, size_t bytes, struct gg_failure *failure, unsigned *packets)
{
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  int error;
  *packets = 0;
  *failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_pcapng_reader_open_memory(&reader, data, bytes, NULL), 0);
  while ((error = gg_pcapng_reader_next(reader, &packet, failure)) == 0)
    (*packets)++;
  gg_pcapng_reader_destroy(reader);
  return error;
}

static void damage_is_told_with_its_place(void **state)
{
  (void)state;
  struct file file;
  struct gg_failure failure;
  unsigned packets;
  char where[32];
  make_file(&file, false);
  size_t unknown = file.block_end[2]; /* behind the first packet */
  snprintf(where, sizeof where, "at offset %zu", unknown);
  static const uint32_t lengths[] = {0, 8, 13, 17 << 20, UINT32_MAX, 24};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    memcpy(file.data + unknown + 4, &lengths[i], 4);
    assert_int_equal(first_error(file.data, file.bytes, &failure, &packets), GG_ERR_CORRUPT);
    assert_int_equal(packets, 1);
    assert_non_null(strstr(failure.message, where));
  }
}

static void broken_framing_stays_broken(void **state)
{
  (void)state;
  struct file file;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  struct gg_failure first = GG_FAILURE_INIT, second = GG_FAILURE_INIT;
  make_file(&file, false);
  file.data[file.block_end[2] - 4] ^= 4;
  assert_int_equal(gg_pcapng_reader_open_memory(&reader, file.data, file.bytes, NULL), 0);
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, &first), GG_ERR_CORRUPT);
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, &second), GG_ERR_CORRUPT);
  assert_string_equal(first.message, second.message);
  assert_int_equal(gg_pcapng_reader_offset(reader), file.block_end[1]);
  gg_pcapng_reader_destroy(reader);
}

/* Damage within a block whose lengths agree is told once; the next packet follows. */
static void damaged_contents_are_stepped_over(void **state)
{
  (void)state;
  struct file file;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  struct gg_failure failure;
  static const struct {
    size_t at;
    uint32_t value;
  } damage[] = {{8, 7}, {20, 1 << 30}, {20, 49}, {28 + 8, 0x00ff0001}};
  for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
    make_file(&file, false);
    memcpy(file.data + file.block_end[1] + damage[i].at, &damage[i].value, 4);
    failure = (struct gg_failure)GG_FAILURE_INIT;
    assert_int_equal(gg_pcapng_reader_open_memory(&reader, file.data, file.bytes, NULL), 0);
    assert_int_equal(gg_pcapng_reader_next(reader, &packet, &failure), GG_ERR_CORRUPT);
    expect(reader, "second!", UINT64_C(1700000000123456000), GG_LINK_RAW, 2, NULL);
    gg_pcapng_reader_destroy(reader);
  }
}

static void foreign_files_are_named(void **state)
{
  (void)state;
  struct gg_failure failure;
  unsigned packets;
  static const struct {
    const char *data;
    const char *word;
  } foreign[] = {{"\xd4\xc3\xb2\xa1\2\0\4\0........", "classic pcap"},
                 {"\x4d\x3c\xb2\xa1\2\0\4\0........", "classic pcap"},
                 {"\x28\xb5\x2f\xfd............", "zstd"},
                 {"\x1f\x8b\x08\x01............", "gzip"},
                 {"GET / HTTP/1.1..", "not a pcapng file"},
                 {"\x0a\x0d\x0d\x0a\x1c\1\1\1abcd....", "byte-order magic"}};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    assert_int_equal(first_error((const uint8_t *)foreign[i].data, 16, &failure, &packets), GG_ERR_FORMAT);
    assert_non_null(strstr(failure.message, foreign[i].word));
  }
  struct file file;
  make_file(&file, false);
  file.data[12] = 2;
  assert_int_equal(first_error(file.data, file.bytes, &failure, &packets), GG_ERR_UNSUPPORTED);
}

static void seeking(void **state)
{
  (void)state;
  struct file file;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  make_file(&file, false);
  int fd = memory_file(file.data, file.bytes);
  assert_int_equal(gg_pcapng_reader_open(&reader, fd, NULL), 0);
  expect(reader, "first", UINT64_C(1700000000123456789), GG_LINK_ETHERNET, 1, "a comment");
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), 0);
  uint64_t second = packet.block.offset;
  assert_int_equal(second, file.block_end[4]);
  while (gg_pcapng_reader_next(reader, &packet, NULL) == 0)
    continue;
  assert_int_equal(gg_pcapng_reader_seek(reader, 0), 0);
  expect_all(reader);
  assert_int_equal(gg_pcapng_reader_seek(reader, UINT64_C(1) << 40), 0);
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), GG_ERR_AGAIN);
  gg_pcapng_reader_destroy(reader);
  close(fd);
}

/* A block longer than the buffer, and many that do not divide it. */
static void long_blocks(void **state)
{
  (void)state;
  static const uint32_t sizes[] = {100, 3 << 20, 65543 / 4 * 4, 900000, 16, (16 << 20) - 32, 64};
  struct file head;
  struct gg_pcapng_reader *reader;
  struct gg_pcapng_packet packet;
  memset(&head, 0, sizeof head);
  add_section(&head);
  add_interface(&head, GG_LINK_ETHERNET, 9, 0);
  int fd = memory_file(head.data, head.bytes);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint32_t total = sizes[i] + 32, head_words[7] = {GG_PCAPNG_EPB, total, 0, 0, (uint32_t)i, sizes[i], sizes[i]};
    uint8_t *data = malloc(sizes[i]);
    memset(data, (int)i + 1, sizes[i]);
    assert_int_equal(write(fd, head_words, 28), 28);
    assert_int_equal(write(fd, data, sizes[i]), sizes[i]);
    assert_int_equal(write(fd, &total, 4), 4);
    free(data);
  }
  assert_int_equal(gg_pcapng_reader_open(&reader, fd, NULL), 0);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), 0);
    assert_int_equal(packet.captured, sizes[i]);
    assert_int_equal(packet.data[0], i + 1);
    assert_int_equal(packet.data[sizes[i] - 1], i + 1);
  }
  assert_int_equal(gg_pcapng_reader_next(reader, &packet, NULL), GG_ERR_AGAIN);
  gg_pcapng_reader_destroy(reader);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(everything_in_both_byte_orders),
    cmocka_unit_test(byte_order_changes_with_the_section),
    cmocka_unit_test(a_pipe_in_small_pieces),
    cmocka_unit_test(truncated_at_every_byte_and_grown_again),
    cmocka_unit_test(an_unfinished_block_may_be_replaced),
    cmocka_unit_test(damage_is_told_with_its_place),
    cmocka_unit_test(broken_framing_stays_broken),
    cmocka_unit_test(damaged_contents_are_stepped_over),
    cmocka_unit_test(foreign_files_are_named),
    cmocka_unit_test(seeking),
    cmocka_unit_test(long_blocks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
