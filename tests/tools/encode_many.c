/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a store of many small sessions, as a gateway of one worker would have recorded them:
 *
 *   encode_many DIR SESSIONS TOGETHER ROUNDS
 *
 * DIR is made, with segments/ of SEGMENT_BYTES each. TOGETHER sessions are open at one time; each says ROUNDS times
 * "request K N" and hears "reply K N" (K: its number, N: the round), and ends in order. Time moves a microsecond for
 * each thing that happens.
 */
#include "base/json.h"
#include "record/conversation.h"
#include "record/section.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TOGETHER_MAX = 100000, ROOM = 16 << 10, SEGMENT_BYTES = 256 << 20 };

struct session {
  struct gg_conversation conversation;
  uint64_t number;
  uint64_t rounds;
  bool open;
  char id[25];
};

struct store {
  const char *path;
  FILE *file;
  uint64_t segment, written, time_ns;
  struct session *sessions;
  struct gg_chunk_layout layout;
  uint8_t room[ROOM];
};

static void die(const char *what)
{
  fprintf(stderr, "encode_many: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void facts(const void *argument, struct gg_json *json)
{
  const struct session *session = argument;
  char text[GG_ADDR_TEXT_MAX];
  gg_json_field_string(json, "id", session->id);
  gg_json_field_string(json, "listener", "127.0.0.1:9000");
  gg_addr_format(&session->conversation.end[0], text, sizeof text);
  gg_json_field_string(json, "client", text);
  gg_addr_format(&session->conversation.end[1], text, sizeof text);
  gg_json_field_string(json, "server", text);
  gg_json_field_string(json, "upstream", "192.0.2.9:80");
}

static void closing_facts(const void *argument, struct gg_json *json)
{
  static const char *const members[] = {"received", "forwarded"};
  const struct session *session = argument;
  gg_json_field_string(json, "close", "client-fin");
  for (int i = 0; i < 2; i++) {
    gg_json_key(json, members[i]);
    gg_json_object_begin(json);
    gg_json_field_unsigned(json, "client", session->conversation.offset[GG_FROM_CLIENT]);
    gg_json_field_unsigned(json, "server", session->conversation.offset[GG_FROM_SERVER]);
    gg_json_object_end(json);
  }
}

static void emit(struct store *store, size_t bytes)
{
  if (fwrite(store->room, 1, bytes, store->file) != bytes)
    die("cannot write");
  store->written += bytes;
  store->time_ns += 1000;
}

static void begin_segment(struct store *store)
{
  char path[4096];
  if (store->file && fclose(store->file) != 0)
    die("cannot write");
  store->segment++;
  snprintf(path, sizeof path, "%s/segments/20240101T000000Z-w0-%06" PRIu64 ".pcapng", store->path, store->segment);
  store->file = fopen(path, "we");
  if (!store->file)
    die(path);
  store->written = 0;
  emit(store, gg_section_header(store->room, "encode_many", NULL, NULL));
  emit(store, gg_section_interface(store->room, NULL));
}

static void say(struct store *store, struct session *session, enum gg_direction direction)
{
  char text[64];
  size_t bytes = (size_t)snprintf(text, sizeof text, "%s %" PRIu64 " %" PRIu64 "\n",
                                  direction == GG_FROM_CLIENT ? "request" : "reply", session->number, session->rounds);
  gg_conversation_lay(&session->conversation, &store->layout, direction, bytes, store->room, store->segment);
  memcpy(store->layout.iov[0].iov_base, text, bytes);
  emit(store, gg_conversation_seal(&session->conversation, &store->layout, bytes, store->time_ns));
}

static void begin_session(struct store *store, struct session *session, uint64_t number)
{
  const struct gg_addr client = {.ip = {10, (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8)},
                                 .port = (uint16_t)(10000 + (number & 255)),
                                 .family = GG_FAMILY_IPV4};
  const struct gg_addr server = {.ip = {127, 0, 0, 1}, .port = 9000, .family = GG_FAMILY_IPV4};
  const uint32_t initial[2] = {(uint32_t)number * 2654435761u, (uint32_t)number * 40503u};
  *session = (struct session){.number = number, .open = true};
  snprintf(session->id, sizeof session->id, "%024" PRIx64, number + 1);
  gg_conversation_init(&session->conversation, &client, &server, initial, facts, session);
  emit(store, gg_conversation_open(&session->conversation, store->room, store->segment, store->time_ns));
}

/* One more thing happens to a session. False: it has ended. */
static bool go_on(struct store *store, struct session *session, uint64_t rounds)
{
  if (store->written > SEGMENT_BYTES)
    begin_segment(store);
  if (session->rounds < rounds) {
    say(store, session, GG_FROM_CLIENT);
    say(store, session, GG_FROM_SERVER);
    session->rounds++;
    return true;
  }
  emit(store, gg_conversation_close(&session->conversation, GG_CLOSING_ORDERLY, closing_facts, store->room,
                                    store->segment, store->time_ns));
  return false;
}

static void write_sessions(struct store *store, uint64_t count, size_t together, uint64_t rounds)
{
  uint64_t begun = 0, ended = 0;
  while (ended < count)
    for (size_t i = 0; i < together; i++) {
      struct session *session = &store->sessions[i];
      if (!session->open && begun < count)
        begin_session(store, session, begun++);
      else if (session->open && !go_on(store, session, rounds)) {
        session->open = false;
        ended++;
      }
    }
}

int main(int argc, char **argv)
{
  struct store *store = calloc(1, sizeof *store);
  char path[4096];
  uint64_t count = argc == 5 ? strtoull(argv[2], NULL, 10) : 0;
  size_t together = argc == 5 ? strtoull(argv[3], NULL, 10) : 0;
  uint64_t rounds = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
  if (!store || count == 0 || together == 0 || together > TOGETHER_MAX) {
    fprintf(stderr, "usage: encode_many DIR SESSIONS TOGETHER ROUNDS\n");
    return 2;
  }
  store->path = argv[1];
  store->time_ns = UINT64_C(1704067200000000000);
  store->sessions = calloc(together, sizeof store->sessions[0]);
  snprintf(path, sizeof path, "%s/segments", store->path);
  if (!store->sessions || mkdir(store->path, 0700) != 0 || mkdir(path, 0700) != 0)
    die(store->path);
  begin_segment(store);
  write_sessions(store, count, together, rounds);
  if (fclose(store->file) != 0)
    die("cannot write");
  free(store->sessions);
  free(store);
  return 0;
}
