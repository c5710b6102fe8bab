/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions are found in what the encoder writes, whole, continued, cut and with gaps, and read back byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_files.h"

#include <gogetway/store.h>

static struct gg_store *open_store(const struct files *files)
{
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, files->dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  return store;
}

static struct gg_session_list *all(struct gg_store *store)
{
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_query(store, NULL, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  return list;
}

/* Both streams, and how many chunks and gaps they came in. */
struct streams {
  uint8_t *data[2];
  size_t length[2];
  uint64_t gaps[2];
  unsigned chunks;
};

static void read_streams(struct gg_store *store, const struct gg_session *session, struct streams *streams)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  struct gg_failure failure = GG_FAILURE_INIT;
  uint64_t next[2] = {0, 0};
  int result;
  *streams = (struct streams){.data = {malloc(FILES_BYTES_MAX), malloc(FILES_BYTES_MAX)}};
  assert_int_equal(gg_reader_open(&reader, store, session, &failure), 0);
  while ((result = gg_reader_next(reader, &chunk, &failure)) == 1) {
    if (streams->chunks == 0 || next[chunk.side] == 0)
      next[chunk.side] = chunk.offset;
    assert_int_equal(chunk.offset, next[chunk.side]);
    next[chunk.side] += chunk.length + chunk.gap;
    memcpy(streams->data[chunk.side] + streams->length[chunk.side], chunk.data ? chunk.data : (const uint8_t *)"",
           chunk.length);
    streams->length[chunk.side] += chunk.length;
    streams->gaps[chunk.side] += chunk.gap;
    streams->chunks++;
    assert_true(chunk.length <= GG_READER_CHUNK_MAX);
    assert_true((chunk.length == 0) == (chunk.gap > 0));
  }
  assert_int_equal(result, 0);
  gg_reader_close(reader);
}

static void free_streams(struct streams *streams)
{
  free(streams->data[0]);
  free(streams->data[1]);
}

static void a_whole_session(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "GET /\r\n", 7);
  talk_say(&files, &talk, GG_FROM_SERVER, "hello", 5);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  assert_int_equal(gg_session_list_count(list), 1);
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_string_equal(session->id, talk.id);
  assert_string_equal(session->client, "192.0.2.1:4000");
  assert_string_equal(session->server, "203.0.113.5:80");
  assert_string_equal(session->listener, "web");
  assert_string_equal(session->upstream, "198.51.100.9:8080");
  assert_string_equal(session->close, "client-fin");
  assert_int_equal(session->state, GG_SESSION_CLOSED);
  assert_false(session->foreign);
  assert_false(session->beginning_missing);
  assert_int_equal(session->bytes[0], 7);
  assert_int_equal(session->bytes[1], 5);
  assert_int_equal(session->received[1], 5);
  assert_int_equal(session->segments, 1);
  assert_null(gg_store_warning(store, 0));
  struct streams streams;
  read_streams(store, session, &streams);
  assert_int_equal(streams.chunks, 2);
  assert_memory_equal(streams.data[0], "GET /\r\n", 7);
  assert_memory_equal(streams.data[1], "hello", 5);
  free_streams(&streams);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* Somebody else's file may have names or keys before its first interface. */
static void blocks_before_the_interface(void **state)
{
  (void)state;
  static const uint32_t names[] = {4, 16, 0, 16}; /* a Name Resolution Block without a name */
  struct files files;
  struct talk talk;
  struct streams streams;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  files.length = gg_section_header(files.bytes, "gogetway test", NULL, NULL);
  memcpy(files.bytes + files.length, names, sizeof names);
  files.length += sizeof names;
  files.length += gg_section_interface(files.bytes + files.length, NULL);
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "hello", 5);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  assert_int_equal(gg_session_list_count(list), 1);
  read_streams(store, gg_session_list_at(list, 0), &streams);
  assert_int_equal(streams.length[0], 5);
  free_streams(&streams);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

static void fill(uint8_t *data, size_t length, uint32_t seed)
{
  for (size_t i = 0; i < length; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (uint8_t)(seed >> 24);
  }
}

/* The wall clock was set back between any two segments: the session goes on as it was recorded all the same. */
static void segments_stand_in_order_whatever_the_clock_says(void **state)
{
  (void)state;
  enum { COUNT = 6, CHUNK = 1000 };
  struct files files;
  struct talk talk;
  uint8_t data[COUNT * CHUNK];
  fill(data, sizeof data, 7);
  files_begin(&files);
  for (unsigned i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    files_segment(&files, name);
    if (i == 0)
      talk_open(&files, &talk, 1, 4000);
    if (i < COUNT - 1) /* nothing but the end is in the last */
      talk_say(&files, &talk, GG_FROM_CLIENT, data + (size_t)i * CHUNK, CHUNK);
    if (i == COUNT - 2) /* the part behind it has the same offsets as this one's end, and an earlier time */
      talk_say(&files, &talk, GG_FROM_SERVER, "x", 1);
    if (i == COUNT - 1)
      talk_close(&files, &talk);
    files_write(&files);
    files.time_ns -= 3600 * GG_NS_PER_S;
  }
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  const struct gg_session *session = gg_session_list_at(list, 0);
  for (unsigned i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    assert_string_equal(gg_session_segment(session, i), name);
  }
  assert_int_equal(session->gaps[0] + session->gaps[1], 0);
  assert_int_equal(session->state, GG_SESSION_CLOSED);
  struct streams streams;
  read_streams(store, session, &streams);
  assert_int_equal(streams.length[0], (COUNT - 1) * CHUNK);
  assert_memory_equal(streams.data[0], data, streams.length[0]);
  free_streams(&streams);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* A chunk is a chunk again, however many packets it took; sequence numbers wrap on the way. */
static void large_chunks_over_segments(void **state)
{
  (void)state;
  enum { CHUNK = 700000, COUNT = 6 };
  struct files files;
  struct talk talk, other;
  uint8_t *data = malloc((size_t)CHUNK * COUNT);
  fill(data, (size_t)CHUNK * COUNT, 42);
  files_begin(&files);
  for (unsigned i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    files_segment(&files, name);
    if (i == 0) {
      talk_open(&files, &talk, 1, 4000);
      talk_open(&files, &other, 2, 4001);
    }
    talk_say(&files, &talk, i % 2 ? GG_FROM_SERVER : GG_FROM_CLIENT, data + (size_t)i * CHUNK, CHUNK);
    if (i == 3)
      talk_say(&files, &other, GG_FROM_CLIENT, "x", 1);
    if (i == COUNT - 1)
      talk_close(&files, &talk);
    files_write(&files);
  }
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  assert_int_equal(gg_session_list_count(list), 2);
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_string_equal(session->id, talk.id);
  assert_int_equal(session->segments, COUNT);
  assert_int_equal(session->bytes[0], CHUNK * COUNT / 2);
  assert_int_equal(session->gaps[0] + session->gaps[1], 0);
  assert_string_equal(gg_session_segment(session, 5), "0005.pcapng");
  assert_null(gg_session_segment(session, 6));
  /* The other one has no end, and no gateway runs. */
  assert_int_equal(gg_session_list_at(list, 1)->state, GG_SESSION_CUT);
  assert_int_equal(gg_session_list_at(list, 1)->segments, 2);
  struct streams streams;
  read_streams(store, session, &streams);
  assert_int_equal(streams.chunks, COUNT);
  for (unsigned i = 0; i < COUNT; i++)
    assert_memory_equal(streams.data[i % 2] + (size_t)(i / 2) * CHUNK, data + (size_t)i * CHUNK, CHUNK);
  free_streams(&streams);
  free(data);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

static void gaps_are_told(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "before", 6);
  talk_miss(&talk, GG_FROM_CLIENT, UINT64_C(5000000000)); /* more than the sequence number may move */
  talk_say(&files, &talk, GG_FROM_CLIENT, "after", 5);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_int_equal(session->gaps[0], 5000000000);
  assert_int_equal(session->bytes[0], 11);
  assert_int_equal(session->received[0], 5000000011);
  struct streams streams;
  read_streams(store, session, &streams);
  assert_int_equal(streams.gaps[0], 5000000000);
  assert_memory_equal(streams.data[0], "beforeafter", 11);
  free_streams(&streams);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* The first segment is gone, and one in the middle: what is there has its right offsets. */
static void lost_segments(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  for (unsigned i = 0; i < 4; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    files_segment(&files, name);
    if (i == 0)
      talk_open(&files, &talk, 1, 4000);
    talk_say(&files, &talk, GG_FROM_CLIENT, "0123456789", 10);
    talk_say(&files, &talk, GG_FROM_SERVER, "abc", 3);
    if (i == 1 || i == 3)
      files_write(&files);
  }
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  assert_int_equal(gg_session_list_count(list), 1);
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_true(session->beginning_missing);
  assert_int_equal(session->bytes[0], 20);
  assert_int_equal(session->gaps[0], 10);
  assert_int_equal(session->gaps[1], 3);
  struct streams streams;
  read_streams(store, session, &streams);
  assert_int_equal(streams.length[0], 20);
  assert_int_equal(streams.gaps[0], 10);
  assert_int_equal(streams.gaps[1], 3);
  free_streams(&streams);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* A 4-tuple is used again, and a second listing sees what was added to a file and new files. */
static void growing_store(void **state)
{
  (void)state;
  struct files files;
  struct talk first, second;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &first, 1, 4000);
  talk_say(&files, &first, GG_FROM_CLIENT, "one", 3);
  files_write_part(&files, files.length - 5); /* the last block is not whole yet */
  struct gg_store *store = open_store(&files);
  struct gg_session_list *list = all(store);
  assert_int_equal(gg_session_list_count(list), 1);
  assert_int_equal(gg_session_list_at(list, 0)->bytes[0], 0);
  gg_session_list_destroy(list);
  talk_close(&files, &first);
  talk_open(&files, &second, 2, 4000);
  talk_say(&files, &second, GG_FROM_CLIENT, "two!", 4);
  files_write(&files);
  files_segment(&files, "0002.pcapng");
  talk_close(&files, &second);
  files_write(&files);
  assert_int_equal(gg_store_refresh(store, NULL), 0);
  list = all(store);
  assert_int_equal(gg_session_list_count(list), 2);
  assert_int_equal(gg_session_list_at(list, 0)->bytes[0], 3);
  assert_int_equal(gg_session_list_at(list, 0)->state, GG_SESSION_CLOSED);
  assert_int_equal(gg_session_list_at(list, 1)->bytes[0], 4);
  assert_int_equal(gg_session_list_at(list, 1)->segments, 2);
  assert_int_equal(gg_session_list_at(list, 1)->generation, 2);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* Every beginning of a segment: never a crash, never a byte that was not said, nor one missing before the cut. */
static void every_truncation(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "0123456789", 10);
  talk_say(&files, &talk, GG_FROM_CLIENT, "abcdefghij", 10);
  talk_close(&files, &talk);
  size_t last = 0;
  for (size_t length = 1; length <= files.length; length++) {
    files_write_part(&files, length);
    struct gg_store *store = open_store(&files);
    struct gg_session_list *list = NULL;
    if (gg_store_query(store, NULL, &list, NULL) == 0 && gg_session_list_count(list) > 0) {
      struct streams streams;
      assert_int_equal(gg_session_list_count(list), 1);
      read_streams(store, gg_session_list_at(list, 0), &streams);
      assert_true(streams.length[0] >= last && streams.length[0] <= 20);
      assert_memory_equal(streams.data[0], "0123456789abcdefghij", streams.length[0]);
      last = streams.length[0];
      free_streams(&streams);
    }
    gg_session_list_destroy(list);
    gg_store_close(store);
  }
  assert_int_equal(last, 20);
  files_end(&files);
}

static void no_store(void **state)
{
  (void)state;
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_store_open(&store, "/nonexistent/here", NULL, &failure), GG_ERR_NOT_FOUND);
  assert_null(store);
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_store_open(&store, "/proc/self", NULL, &failure), GG_ERR_FORMAT);
  assert_non_null(strstr(failure.message, "no store"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_whole_session),
    cmocka_unit_test(blocks_before_the_interface),
    cmocka_unit_test(segments_stand_in_order_whatever_the_clock_says),
    cmocka_unit_test(large_chunks_over_segments),
    cmocka_unit_test(gaps_are_told),
    cmocka_unit_test(lost_segments),
    cmocka_unit_test(growing_store),
    cmocka_unit_test(every_truncation),
    cmocka_unit_test(no_store),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
