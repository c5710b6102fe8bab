/* SPDX-License-Identifier: Apache-2.0 */
/**
 * read-recording.c - what is in a recording: its sessions, and who said how much when.
 *
 *   read-recording PATH [WORD...]
 *
 * PATH is a store (the directory of `gogetway run --dir`), a pcapng file or a folder of such files; words choose
 * sessions as in `gogetway sessions`: port=443 state=closed since=1h. Each session is a line on standard output,
 *
 *     0123456789abcdef01234567 192.0.2.1:40000 > 192.0.2.2:80 closed client-fin
 *
 * and below it each read that the gateway made of one of the two, with the time since the session's start, the place in
 * the stream and the length, and what was said, as far as a line has room:
 *
 *     +0.000102 client @0 16 GET / HTTP/1.0\r\n
 *
 * Build it with `cc read-recording.c $(pkg-config --cflags --libs gogetway)`.
 */
#include <gogetway/store.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SHOWN_MAX ((size_t)48) /* bytes of a chunk */

/* Bytes of anybody's may be commands to a terminal: gg_text_printable makes them harmless. */
static void put_bytes(const struct gg_chunk *chunk)
{
  char text[10 * SHOWN_MAX + 1];
  size_t used, length = chunk->length < SHOWN_MAX ? chunk->length : SHOWN_MAX;
  gg_text_printable(chunk->data, length, false, text, sizeof text, &used);
  printf(" %s%s\n", text, length < chunk->length ? "..." : "");
}

static void put_chunk(const struct gg_session *session, const struct gg_chunk *chunk)
{
  uint64_t since_ns = chunk->time_ns - session->start_ns;
  printf("  +%" PRIu64 ".%06" PRIu64 " %s @%" PRIu64, since_ns / 1000000000, since_ns % 1000000000 / 1000,
         chunk->side == GG_SIDE_CLIENT ? "client" : "server", chunk->offset);
  if (chunk->gap) { /* received, and not recorded: the disk was full, or somebody has chosen so */
    printf(" %" PRIu64 " missing\n", chunk->gap);
    return;
  }
  printf(" %zu", chunk->length);
  put_bytes(chunk);
}

static int put_session(struct gg_store *store, const struct gg_session *session, struct gg_failure *failure)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  printf("%s %s > %s %s %s\n", session->id, session->client, session->server, gg_session_state_text(session->state),
         session->close);
  int result = gg_reader_open(&reader, store, session, failure);
  if (result == 0)
    while ((result = gg_reader_next(reader, &chunk, failure)) > 0)
      put_chunk(session, &chunk);
  gg_reader_close(reader);
  return result; /* 0: its end */
}

/* Files that could be read only in part. What is whole was read all the same. */
static void tell_warnings(const struct gg_store *store)
{
  const char *text;
  for (size_t i = 0; (text = gg_store_warning(store, i)) != NULL; i++)
    fprintf(stderr, "read-recording: %s\n", text);
}

static int read_recording(const char *path, const char *const *words, size_t count, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  struct gg_filter *filter = NULL;
  struct gg_session_list *list = NULL;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now); /* "since=1h" is an hour before this */
  int error =
    gg_filter_parse(&filter, words, count, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, failure);
  if (!error)
    error = gg_store_open(&store, path, NULL, failure);
  if (!error)
    error = gg_store_query(store, filter, &list, failure);
  if (!error)
    tell_warnings(store);
  for (size_t i = 0; !error && i < gg_session_list_count(list); i++)
    error = put_session(store, gg_session_list_at(list, i), failure);
  gg_session_list_destroy(list);
  gg_store_close(store);
  gg_filter_destroy(filter);
  return error;
}

int main(int argc, char **argv)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (argc < 2) {
    fprintf(stderr, "usage: read-recording PATH [WORD...]\n");
    return 2;
  }
  if (read_recording(argv[1], (const char *const *)(argv + 2), (size_t)argc - 2, &failure) != 0) {
    fprintf(stderr, "read-recording: %s\n", failure.message);
    return failure.code == GG_ERR_INVALID ? 2 : 1;
  }
  return 0;
}
