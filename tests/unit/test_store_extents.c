/* SPDX-License-Identifier: Apache-2.0 */
/* Where a session's packets are in a file: ranges, their bounds, and that who reads one session reads little else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/extents.h"
#include "store/record.h"
#include "store_files.h"

#include <gogetway/store.h>
#include <sys/types.h>

enum { JUMP = GG_EXTENT_JUMP_BYTES };

static size_t bytes_read;
static bool memory_fails;

ssize_t __real_pread64(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t bytes, off_t offset)
{
  ssize_t got = __real_pread64(fd, data, bytes, offset);
  bytes_read += got > 0 ? (size_t)got : 0;
  return got;
}

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes)
{
  return memory_fails ? NULL : __real_realloc(memory, bytes);
}

/* ── The ranges ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__part a_part(uint64_t first)
{
  struct gg__part part = {.first_offset = first};
  gg__extents_note(&part, first, 100);
  return part;
}

static void close_together_there_are_none(void **state)
{
  (void)state;
  struct gg__part part = a_part(1000);
  for (uint64_t at = 1100; at < 100 * (uint64_t)JUMP; at += 100 + JUMP - 1)
    gg__extents_note(&part, at, 100);
  assert_null(part.extents);
  assert_int_equal(part.extent_count, 0);
  assert_int_equal(gg__extents_next(&part, 0), 1000);
  assert_int_equal(gg__extents_next(&part, 5000), 5000);
  assert_int_equal(gg__extents_next(&part, part.last_offset), part.last_offset);
  assert_int_equal(gg__extents_next(&part, part.last_offset + 1), UINT64_MAX);
  gg__extents_free(&part);
}

static void whole_blocks_in_order(void **state)
{
  (void)state;
  struct gg__part part = a_part(1000);
  gg__extents_note(&part, 1100, 50);
  gg__extents_note(&part, 1150 + JUMP, 60);
  gg__extents_note(&part, 1250 + JUMP, 60);
  gg__extents_note(&part, 1310 + 3 * JUMP, 8);
  assert_int_equal(part.extent_count, 3);
  static const struct gg__extent expected[] = {
    {1000, 1150}, {1150 + JUMP, 1310 + JUMP}, {1310 + 3 * JUMP, 1318 + 3 * JUMP}};
  assert_memory_equal(part.extents, expected, sizeof expected);
  assert_int_equal(gg__extents_next(&part, 1149), 1149);
  assert_int_equal(gg__extents_next(&part, 1150), 1150 + JUMP);
  assert_int_equal(gg__extents_next(&part, 1200 + JUMP), 1200 + JUMP);
  assert_int_equal(gg__extents_next(&part, 1310 + JUMP), 1310 + 3 * JUMP);
  assert_int_equal(gg__extents_next(&part, 1318 + 3 * JUMP), UINT64_MAX);
  gg__extents_free(&part);
}

/* However many there are, every block is in one, and those that lie closest have become one. */
static void too_many_are_merged(void **state)
{
  (void)state;
  enum { BLOCKS = 4 * GG_EXTENTS_MAX };
  static uint64_t blocks[BLOCKS];
  struct gg__part part = a_part(1000);
  uint32_t seed = 7;
  blocks[0] = 1000;
  for (unsigned i = 1; i < BLOCKS; i++) {
    seed = seed * 1664525u + 1013904223u;
    blocks[i] = blocks[i - 1] + 100 + JUMP + (seed >> 8) + (i == 1 ? (uint64_t)1 << 40 : 0);
    gg__extents_note(&part, blocks[i], 100);
    assert_true(part.extent_count <= GG_EXTENTS_MAX);
  }
  assert_true(part.extent_count > GG_EXTENTS_MAX * 3 / 4);
  assert_int_equal(part.extents[0].end, 1100); /* the largest hole is kept */
  for (uint32_t i = 1; i < part.extent_count; i++)
    assert_true(part.extents[i].first >= part.extents[i - 1].end + JUMP);
  for (unsigned i = 0; i < BLOCKS; i++)
    assert_int_equal(gg__extents_next(&part, blocks[i]), blocks[i]);
  gg__extents_free(&part);
}

/* Without memory more is read, and nothing is missed. */
static void without_memory(void **state)
{
  (void)state;
  struct gg__part part = a_part(1000);
  gg__extents_note(&part, 1100 + JUMP, 100);
  gg__extents_note(&part, 1200 + 2 * JUMP, 100);
  gg__extents_note(&part, 1300 + 3 * JUMP, 100);
  memory_fails = true;
  gg__extents_note(&part, 1400 + 4 * JUMP, 100);
  memory_fails = false;
  assert_null(part.extents);
  assert_int_equal(gg__extents_next(&part, 1100), 1100);
  gg__extents_note(&part, 1500 + 5 * JUMP, 100);
  assert_int_equal(part.extent_count, 2);
  assert_int_equal(part.extents[0].first, 1000);
  assert_int_equal(part.extents[0].end, 1500 + 4 * JUMP);
  gg__extents_free(&part);
}

static void of_several_parts(void **state)
{
  (void)state;
  struct gg__part one = a_part(1000), two = a_part(5000), three = a_part(2000);
  gg__extents_note(&one, 10 * JUMP, 100);
  gg__extents_note(&one, 20 * JUMP, 100);
  gg__extents_note(&two, 10 * JUMP + 500, 100);
  three.last_offset = 3000;
  const struct gg__part *parts[] = {&one, &three, &two};
  size_t count;
  struct gg__extent *joined = gg__extents_join(parts, 3, &count);
  static const struct gg__extent expected[] = {
    {1000, 5100}, {10 * JUMP, 10 * JUMP + 600}, {20 * JUMP, 20 * JUMP + 100}};
  assert_int_equal(count, 3);
  assert_memory_equal(joined, expected, sizeof expected);
  free(joined);
  assert_null(gg__extents_join(parts, 0, &count));
  assert_int_equal(count, 0);
  static const struct gg__part *many[GG_EXTENTS_JOINED_MAX + 1];
  for (size_t i = 0; i <= GG_EXTENTS_JOINED_MAX; i++)
    many[i] = &three;
  assert_null(gg__extents_join(many, GG_EXTENTS_JOINED_MAX + 1, &count));
  assert_int_equal(count, 0);
  gg__extents_free(&one);
  gg__extents_free(&two);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { ROUNDS = 12, SAID = 100 };

/* A session that says little, and another one that says much between. */
static void make_store(struct files *files)
{
  static struct talk talks[2];
  static uint8_t much[2 * JUMP];
  files_begin(files);
  files_segment(files, "0001.pcapng");
  talk_open(files, &talks[0], 1, 4000);
  talk_open(files, &talks[1], 2, 4001);
  for (unsigned i = 0; i < ROUNDS; i++) {
    char said[SAID];
    memset(said, (int)('a' + i), sizeof said);
    talk_say(files, &talks[0], i % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, said, sizeof said);
    talk_say(files, &talks[1], GG_FROM_CLIENT, much, sizeof much);
  }
  talk_close(files, &talks[0]);
  talk_close(files, &talks[1]);
  files_write(files);
}

static void check_stream(struct gg_store *store, const struct gg_session *session)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  unsigned chunks = 0;
  assert_int_equal(gg_reader_open(&reader, store, session, NULL), 0);
  for (; gg_reader_next(reader, &chunk, NULL) == 1; chunks++) {
    assert_int_equal(chunk.length, SAID);
    assert_int_equal(chunk.gap, 0);
    assert_int_equal(chunk.data[0], 'a' + chunks);
    assert_int_equal(chunk.offset, chunks / 2 * SAID);
  }
  assert_int_equal(chunks, ROUNDS);
  gg_reader_close(reader);
}

static void one_session_is_read_alone(void **state)
{
  (void)state;
  struct files files;
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_filter *filter = NULL;
  char path[128];
  make_store(&files);
  const char *words[] = {"id=018c00000000000000000001"};
  assert_int_equal(gg_filter_parse(&filter, words, 1, 0, NULL), 0);
  assert_int_equal(gg_store_open(&store, files.dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, filter, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  assert_true(bytes_read >= files.length); /* the scan has read everything */
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_int_equal(gg__record_of(session)->parts->extent_count, ROUNDS + 1); /* it began before them all */
  bytes_read = 0;
  check_stream(store, session);
  assert_true(bytes_read > 0 && bytes_read <= (ROUNDS + 2) * (64 << 10));

  struct gg_export_options options = GG_EXPORT_OPTIONS_INIT;
  struct gg_export_result result = {0};
  snprintf(path, sizeof path, "%s/out.pcapng", files.dir);
  options.path = path;
  bytes_read = 0;
  assert_int_equal(gg_store_export(store, list, &options, &result, NULL), 0);
  assert_true(bytes_read > 0 && bytes_read <= (ROUNDS + 2) * (64 << 10));
  assert_int_equal(result.packets, session->packets[0] + session->packets[1]);
  gg_session_list_destroy(list);
  gg_store_close(store);

  assert_int_equal(gg_store_open(&store, path, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  session = gg_session_list_at(list, 0);
  assert_null(gg__record_of(session)->parts->extents);
  check_stream(store, session);
  gg_session_list_destroy(list);
  gg_store_close(store);
  gg_filter_destroy(filter);
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(close_together_there_are_none),
    cmocka_unit_test(whole_blocks_in_order),
    cmocka_unit_test(too_many_are_merged),
    cmocka_unit_test(without_memory),
    cmocka_unit_test(of_several_parts),
    cmocka_unit_test(one_session_is_read_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
