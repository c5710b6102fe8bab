/* SPDX-License-Identifier: Apache-2.0 */
/**
 * read-messages.c - what was said in a recording, message by message.
 *
 *   read-messages PATH [WORD...]
 *
 * PATH is a store (the directory of `gogetway run --dir`), a pcapng file or a folder of such files; words choose
 * sessions as in `gogetway messages`. Each message is a line, as it ends: the session, its number, who said it, what it
 * is in short, and what it answers:
 *
 *     0123456789abcdef01234567 2 server 200 OK (612 bytes of body, answers 1)
 *
 * The interface is unstable: it may change in any release.
 *
 * Build it with `cc read-messages.c $(pkg-config --cflags --libs gogetway)`.
 */
#include <gogetway/messages.h>

#include <inttypes.h>
#include <stdio.h>

static const char *name_of(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? "client" : "server";
}

/* A summary is safe to print, and has no credentials in it; fields and bodies are bytes of anybody's. */
static void on_end(void *context, const struct gg_message *message)
{
  const struct gg_session *session = (const struct gg_session *)context;
  printf("%s %" PRIu64 " %s %s (%" PRIu64 " bytes of body", session->id, message->number, name_of(message->side),
         message->summary, message->body_length);
  if (message->answers)
    printf(", answers %" PRIu64, message->answers);
  printf("%s)\n", message->flags & GG_MESSAGE_CUT ? ", cut" : "");
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  const struct gg_session *session = (const struct gg_session *)context;
  printf("%s - %s not decoded from byte %" PRIu64 " on: %s: %s\n", session->id, name_of(opaque->side), opaque->offset,
         gg_opaque_why_text(opaque->why), opaque->text);
}

static int put_session(struct gg_store *store, const struct gg_session *session, struct gg_failure *failure)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = (void *)(uintptr_t)session; /* the sink only reads it */
  sink.end = on_end;
  sink.opaque = on_opaque;
  return gg_store_messages(store, session, NULL, &sink, failure);
}

static int read_messages(const char *path, const char *const *words, size_t count, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  struct gg_filter *filter = NULL;
  struct gg_session_list *list = NULL;
  int error = gg_filter_parse(&filter, words, count, 0, failure);
  if (!error)
    error = gg_store_open(&store, path, NULL, failure);
  if (!error)
    error = gg_store_query(store, filter, &list, failure);
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
    fprintf(stderr, "usage: read-messages PATH [WORD...]\n");
    return 2;
  }
  if (read_messages(argv[1], (const char *const *)(argv + 2), (size_t)argc - 2, &failure) != 0) {
    fprintf(stderr, "read-messages: %s\n", failure.message);
    return failure.code == GG_ERR_INVALID ? 2 : 1;
  }
  return 0;
}
