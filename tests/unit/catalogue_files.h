/* SPDX-License-Identifier: Apache-2.0 */
/**
 * catalogue_files.h - catalogues for tests: what a scan finds of a store is put into one.
 *
 *     files_begin(&files); ...; files_write(&files);      store_files.h
 *     struct gg_store *store; struct gg_session_list *list = scanned(files.dir, &store);
 *     struct gg__catalogue *catalogue = catalogue_of(files.dir, list);
 */
#ifndef GG_TESTS_CATALOGUE_FILES_H
#define GG_TESTS_CATALOGUE_FILES_H

#include "store_files.h"

#include "store/catalogue.h"
#include "store/place.h"
#include "store/source.h"
#include "store/store.h"

static inline void catalogue_path(const char *dir, char path[128])
{
  snprintf(path, 128, "%s/catalogue.db", dir);
}

static inline struct gg__catalogue *catalogue_open(const char *dir, enum gg__catalogue_mode mode)
{
  char path[128];
  struct gg__catalogue *catalogue = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  catalogue_path(dir, path);
  if (gg__catalogue_open(&catalogue, path, mode, &failure) != 0)
    fail_msg("%s", failure.message);
  return catalogue;
}

/* What a scan finds, whatever there is besides. */
static inline struct gg_store *scanned(const char *dir, struct gg_session_list **list)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__place place;
  struct gg_store *store = calloc(1, sizeof *store);
  store->own = true;
  store->path = strdup(dir);
  if (gg__place_open(&place, dir, &failure) != 0 || gg__scan_source_create(&store->source, &place, 1, &failure) != 0 ||
      gg_store_query(store, NULL, list, &failure) != 0)
    fail_msg("%s", failure.message);
  return store;
}

static inline void put_capture(struct gg__catalogue *catalogue, const struct gg__capture *capture)
{
  struct gg__catalogue_segment segment = {.scanned = capture->scanned,
                                          .first_ns = capture->first_ns,
                                          .last_ns = capture->last_ns,
                                          .scattered = capture->scattered,
                                          .complete = true};
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(segment.name, sizeof segment.name, "%s", capture->name);
  if (gg__catalogue_put_segment(catalogue, &segment, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* One batch with all of it. */
static inline void put_all(struct gg__catalogue *catalogue, const struct gg_store *store,
                           const struct gg_session_list *list)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg__capture *capture;
  assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
  for (size_t i = 0; (capture = store->source->ops->capture(store->source, i)); i++)
    put_capture(catalogue, capture);
  for (size_t i = 0; i < gg_session_list_count(list); i++)
    if (gg__catalogue_put(catalogue, gg__record_of(gg_session_list_at(list, i)), &failure) != 0)
      fail_msg("%s", failure.message);
  if (gg__catalogue_commit(catalogue, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* Records of a query, in its order. */
struct found {
  struct gg__record *records[4096];
  size_t count;
};

static inline int keep_found(void *context, struct gg__record *record)
{
  struct found *found = context;
  assert_true(found->count < sizeof found->records / sizeof found->records[0]);
  found->records[found->count++] = record;
  return 0;
}

static inline void found_free(struct found *found)
{
  while (found->count > 0)
    gg__record_free(found->records[--found->count]);
}

static inline void find(struct gg__catalogue *catalogue, const char *word, const char *sort, uint64_t limit,
                        struct found *found)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  *found = (struct found){.count = 0};
  if (word && gg_filter_parse(&filter, &word, 1, UINT64_C(1700000100000000000), &failure) != 0)
    fail_msg("%s", failure.message);
  if (gg__catalogue_query(catalogue, filter, sort, limit, keep_found, found, &failure) != 0)
    fail_msg("%s", failure.message);
  gg_filter_destroy(filter);
}

/* All that a session and its parts say. */
static inline void assert_same(const struct gg__record *a, const struct gg__record *b)
{
  char left[16384], right[16384];
  struct gg_session session = b->session;
  assert_true(gg_session_json(&a->session, left, sizeof left) < sizeof left);
  assert_true(gg_session_json(&b->session, right, sizeof right) < sizeof right);
  assert_string_equal(left, right);
  assert_memory_equal(a->session.first, session.first, sizeof session.first);
  const struct gg__part *p = a->parts, *q = b->parts;
  for (; p && q; p = p->next_of_session, q = q->next_of_session) {
    assert_string_equal(p->id, q->id);
    assert_string_equal(p->capture->name, q->capture->name);
    assert_string_equal(p->capture->path, q->capture->path);
    assert_int_equal(p->capture->scattered, q->capture->scattered);
    assert_true(p->first_offset == q->first_offset && p->last_offset == q->last_offset);
    assert_true(p->last_bytes == q->last_bytes && p->start_ns == q->start_ns && p->end_ns == q->end_ns);
    assert_memory_equal(p->bytes, q->bytes, sizeof p->bytes);
    assert_memory_equal(p->packets, q->packets, sizeof p->packets);
    assert_memory_equal(p->gaps, q->gaps, sizeof p->gaps);
    assert_memory_equal(p->offset, q->offset, sizeof p->offset);
    assert_memory_equal(p->received, q->received, sizeof p->received);
    assert_memory_equal(p->forwarded, q->forwarded, sizeof p->forwarded);
    assert_memory_equal(p->closing_gaps, q->closing_gaps, sizeof p->closing_gaps);
    assert_memory_equal(p->masked, q->masked, sizeof p->masked);
    assert_memory_equal(p->end, q->end, sizeof p->end);
    assert_memory_equal(&p->gateway, &q->gateway, sizeof p->gateway);
    assert_memory_equal(p->first_length, q->first_length, sizeof p->first_length);
    for (int side = 0; side < 2; side++)
      assert_memory_equal(p->first[side], q->first[side], p->first_length[side]);
    assert_string_equal(p->history.text, q->history.text);
    assert_true(p->initial == q->initial && p->seen == q->seen && p->foreign == q->foreign);
    assert_true(p->begins == q->begins && p->continued == q->continued);
    assert_true(p->closed == q->closed && p->counted == q->counted);
    for (int side = 0; side < 2 && !p->closed; side++) {
      assert_true(p->stream[side].begun == q->stream[side].begun && p->stream[side].next == q->stream[side].next);
      assert_true(p->stream[side].offset == q->stream[side].offset);
      assert_true(p->history.seen == q->history.seen);
    }
    assert_int_equal(p->extent_count, q->extent_count);
    for (uint32_t i = 0; i < p->extent_count; i++)
      assert_true(p->extents[i].first == q->extents[i].first && p->extents[i].end == q->extents[i].end);
    const char *const left_texts[] = {p->client, p->server,   p->listener,   p->upstream, p->server_path, p->close,
                                      p->why,    p->original, p->as_sent_of, p->verdict,  p->verdict_by,  p->tags};
    const char *const right_texts[] = {q->client, q->server,   q->listener,   q->upstream, q->server_path, q->close,
                                       q->why,    q->original, q->as_sent_of, q->verdict,  q->verdict_by,  q->tags};
    for (size_t i = 0; i < sizeof left_texts / sizeof left_texts[0]; i++)
      assert_string_equal(left_texts[i], right_texts[i]);
  }
  assert_true(!p && !q);
}

/* The whole dump, to be freed. */
static inline char *dump_text(struct gg__catalogue *catalogue)
{
  char path[] = "/tmp/gogetway-dump-XXXXXX";
  int fd = mkstemp(path);
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_true(fd >= 0);
  unlink(path);
  if (gg__catalogue_dump(catalogue, fd, &failure) != 0)
    fail_msg("%s", failure.message);
  off_t length = lseek(fd, 0, SEEK_END);
  char *text = calloc(1, (size_t)length + 1);
  assert_int_equal(pread(fd, text, (size_t)length, 0), length);
  close(fd);
  return text;
}

#endif
