/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a store of many small sessions, as a gateway of one worker would have recorded them:
 *
 *   encode_many DIR SESSIONS TOGETHER ROUNDS [varied [NS]]
 *
 * DIR is made, with segments/ of SEGMENT_BYTES each. TOGETHER sessions are open at one time; each says ROUNDS times
 * "request K N" and hears "reply K N" (K: its number, N: the round), and ends in order. Time moves a microsecond for
 * each thing that happens.
 *
 * `varied`: as of several listeners over days. Times, clients, listeners, sizes, ends and tags follow from the
 * session's number by a hash, so they are the same each time; one in two thousand has no end, one in five thousand a
 * gap, one in ten thousand two megabytes. bench/store.py asks such a store. Time moves NS, or 5 ms.
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

enum { TOGETHER_MAX = 100000, ROOM = 64 << 10, CHUNK = 32 << 10, SEGMENT_BYTES = 256 << 20 };

struct session {
  struct gg_conversation conversation;
  uint64_t number;
  uint64_t chance; /* varied: what everything about it follows from; else 0 */
  uint64_t rounds;
  bool open;
  char id[25];
};

struct store {
  const char *path;
  FILE *file;
  uint64_t segment, written, time_ns, step_ns;
  bool varied;
  struct session *sessions;
  struct gg_chunk_layout layout;
  uint8_t room[ROOM];
};

static void die(const char *what)
{
  fprintf(stderr, "encode_many: %s: %s\n", what, strerror(errno));
  exit(2);
}

/* ── What is varied ──────────────────────────────────────────────────────────────────────────────────────────────── */

struct listener {
  const char *name;
  uint16_t port;
};

/* SplitMix64's mixing, of Steele, Lea and Flood: numbers in a row come out as good as chance. */
static uint64_t chance_of(uint64_t number)
{
  uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
  mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
  return mixed ^ mixed >> 31;
}

/* Whether the `use`th question about the session is answered yes: once in `of` sessions. */
static bool happens(const struct session *session, unsigned use, uint64_t of)
{
  return session->chance != 0 && chance_of(session->chance + use) % of == 0;
}

static const struct listener *listener_of(const struct session *session)
{
  static const struct listener plain = {"127.0.0.1:9000", 9000};
  static const struct listener listeners[] = {{"web", 8080}, {"web", 8080}, {"web", 8080},   {"web", 8080},
                                              {"ssh", 22},   {"ssh", 22},   {"redis", 6379}, {"telnet", 23}};
  return session->chance ? &listeners[session->chance >> 40 & 7] : &plain;
}

enum { USE_END, USE_SCANNER, USE_NOISE, USE_LARGE, USE_HUGE, USE_GAP, USE_CUT };

static size_t reply_bytes(const struct session *session)
{
  return happens(session, USE_HUGE, 10000) ? 2 << 20 : happens(session, USE_LARGE, 100) ? 20000 : 0;
}

static const char *end_of(const struct session *session, enum gg_closing *kind)
{
  bool reset = happens(session, USE_END, 16), client = session->chance >> 50 & 1;
  *kind = !reset ? GG_CLOSING_ORDERLY : client ? GG_CLOSING_CLIENT_RESET : GG_CLOSING_SERVER_RESET;
  return !reset ? "client-fin" : client ? "client-reset" : "server-reset";
}

static void put_tags(const struct session *session, struct gg_json *json)
{
  bool scanner = happens(session, USE_SCANNER, 50), noise = happens(session, USE_NOISE, 20);
  if (!scanner && !noise)
    return;
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  if (noise)
    gg_json_string(json, "noise");
  if (scanner)
    gg_json_string(json, "scanner");
  gg_json_array_end(json);
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void facts(const void *argument, struct gg_json *json)
{
  const struct session *session = argument;
  char text[GG_ADDR_TEXT_MAX];
  gg_json_field_string(json, "id", session->id);
  gg_json_field_string(json, "listener", listener_of(session)->name);
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
  enum gg_closing kind;
  gg_json_field_string(json, "close", end_of(session, &kind));
  put_tags(session, json);
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
  store->time_ns += store->step_ns;
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

/* So many bytes more from the server, and what is missing. */
static void say_much(struct store *store, struct session *session)
{
  if (happens(session, USE_GAP, 5000))
    gg_conversation_gap(&session->conversation, GG_FROM_SERVER, 1000, GG_GAP_LEFT_OUT);
  for (size_t left = reply_bytes(session), bytes; left > 0; left -= bytes) {
    bytes = left < CHUNK ? left : CHUNK;
    gg_conversation_lay(&session->conversation, &store->layout, GG_FROM_SERVER, bytes, store->room, store->segment);
    memset(store->layout.iov[0].iov_base, 'x', bytes);
    emit(store, gg_conversation_seal(&session->conversation, &store->layout, bytes, store->time_ns));
  }
}

static void begin_session(struct store *store, struct session *session, uint64_t number)
{
  struct gg_addr client = {.ip = {10, (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8)},
                           .port = (uint16_t)(10000 + (number & 255)),
                           .family = GG_FAMILY_IPV4};
  struct gg_addr server = {.ip = {127, 0, 0, 1}, .port = 9000, .family = GG_FAMILY_IPV4};
  const uint32_t initial[2] = {(uint32_t)number * 2654435761u, (uint32_t)number * 40503u};
  *session = (struct session){.number = number, .open = true, .chance = store->varied ? chance_of(number) | 1 : 0};
  snprintf(session->id, sizeof session->id, "%024" PRIx64, number + 1);
  if (store->varied) { /* the first twelve digits are milliseconds, as in a real one */
    const uint64_t digits12 = (UINT64_C(1) << 48) - 1;
    snprintf(session->id, sizeof session->id, "%012" PRIx64 "%012" PRIx64, store->time_ns / 1000000 & digits12,
             number & digits12);
    client.ip[1] = (uint8_t)(session->chance >> 8 & 15);
    client.ip[2] = (uint8_t)(session->chance >> 16);
    client.ip[3] = (uint8_t)(session->chance >> 24);
    client.port = (uint16_t)(10000 + number % 50000);
    server.port = listener_of(session)->port;
  }
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
    if (session->rounds++ == 0)
      say_much(store, session);
    return true;
  }
  enum gg_closing kind;
  end_of(session, &kind);
  if (!happens(session, USE_CUT, 2000))
    emit(store, gg_conversation_close(&session->conversation, kind, closing_facts, store->room, store->segment,
                                      store->time_ns));
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
  bool varied = (argc == 6 || argc == 7) && strcmp(argv[5], "varied") == 0, plain = argc == 5;
  uint64_t count = plain || varied ? strtoull(argv[2], NULL, 10) : 0;
  size_t together = plain || varied ? strtoull(argv[3], NULL, 10) : 0;
  uint64_t rounds = plain || varied ? strtoull(argv[4], NULL, 10) : 0;
  if (!store || count == 0 || together == 0 || together > TOGETHER_MAX) {
    fprintf(stderr, "usage: encode_many DIR SESSIONS TOGETHER ROUNDS [varied [NS]]\n");
    return 2;
  }
  store->varied = varied;
  store->step_ns = argc == 7 ? strtoull(argv[6], NULL, 10) : varied ? 5000000 : 1000;
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
