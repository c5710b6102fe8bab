/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as somebody's capture, through everything that reads one: sessions, their chunks, JSON, verification, and
 * export with and without segmentation. Beyond what the sanitizers see it is checked that chunks come in the order of
 * their streams, that a session's chunks add up to what it says it has, that its first bytes are those of its chunks,
 * and that an export verifies.
 */
#include <gogetway/store.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { CHUNKS_MAX = 100000, JSON_MAX = 64 << 10 };

static void must(int holds)
{
  if (!holds)
    abort();
}

/* The first bytes of each stream, as its chunks have them. */
struct beginning {
  uint8_t data[16];
  size_t length;
};

static void add_chunk(struct beginning *beginning, const struct gg_chunk *chunk)
{
  size_t room = sizeof beginning->data - beginning->length;
  if (chunk->offset != beginning->length || chunk->gap > 0)
    return;
  memcpy(beginning->data + beginning->length, chunk->data, chunk->length < room ? chunk->length : room);
  beginning->length += chunk->length < room ? chunk->length : room;
}

static void check_facts(const struct gg_session *session, const struct beginning beginnings[2])
{
  for (int side = 0; side < 2; side++) {
    must(session->first_length[side] == beginnings[side].length);
    must(memcmp(session->first[side], beginnings[side].data, beginnings[side].length) == 0);
    size_t length = strlen(session->community_id[side]);
    must(length == 0 || (length == 30 && memcmp(session->community_id[side], "1:", 2) == 0));
  }
  must(strlen(session->conn_state) >= 2 && strlen(session->history) < sizeof session->history);
  for (size_t i = 0; i < session->tag_count; i++)
    must(session->tags[i][0] && !strchr(session->tags[i], ' '));
}

static void read_session(struct gg_store *store, const struct gg_session *session)
{
  static char json[JSON_MAX];
  struct gg_reader *reader;
  struct gg_chunk chunk;
  struct beginning beginnings[2] = {0};
  uint64_t next[2] = {0, 0};
  int result = 1;
  gg_session_json(session, json, sizeof json);
  if (gg_reader_open(&reader, store, session, NULL) != 0)
    return;
  for (unsigned i = 0; i < CHUNKS_MAX && (result = gg_reader_next(reader, &chunk, NULL)) == 1; i++) {
    must(chunk.offset >= next[chunk.side] && chunk.length <= GG_READER_CHUNK_MAX);
    must((chunk.gap > 0) != (chunk.length > 0));
    next[chunk.side] = chunk.offset + chunk.length + chunk.gap;
    if (chunk.length < JSON_MAX / 8)
      gg_chunk_json(&chunk, json, sizeof json);
    add_chunk(&beginnings[chunk.side], &chunk);
  }
  if (result == 0)
    check_facts(session, beginnings);
  gg_reader_close(reader);
}

static void report(void *context, const struct gg_problem *problem)
{
  char json[4096];
  (void)context;
  must(problem->text != NULL && gg_problem_json(problem, json, sizeof json) < sizeof json);
}

static void use_store(struct gg_store *store, const struct gg_session_list *list)
{
  size_t count = gg_session_list_count(list);
  for (size_t i = 0; i < count && i < 64; i++)
    read_session(store, gg_session_list_at(list, i));
  struct gg_verify_result result;
  gg_store_verify(store, NULL, report, NULL, &result, NULL);
  struct gg_export_options options = GG_EXPORT_OPTIONS_INIT;
  options.path = "/dev/null";
  options.overwrite = true;
  gg_store_export(store, list, &options, NULL, NULL);
  options.mtu = 576;
  options.format = GG_EXPORT_PCAP;
  gg_store_export(store, list, &options, NULL, NULL);
}

/* The store opens paths: one file, written anew for each input. */
static const char *write_capture(const uint8_t *data, size_t bytes)
{
  static char path[64];
  static int fd = -1;
  if (fd < 0) {
    snprintf(path, sizeof path, "/dev/shm/gogetway-fuzz-%d.pcapng", (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0);
    unlink(path);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  must(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
  return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  struct gg_store_options options = GG_STORE_OPTIONS_INIT;
  options.threads = 1;
  struct gg_store *store;
  if (gg_store_open(&store, write_capture(data, bytes), &options, NULL) != 0)
    return 0;
  struct gg_session_list *list;
  if (gg_store_query(store, NULL, &list, NULL) == 0) {
    use_store(store, list);
    gg_session_list_destroy(list);
  }
  gg_store_close(store);
  return 0;
}
