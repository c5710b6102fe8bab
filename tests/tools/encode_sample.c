/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes recordings from a script on standard input, so that tests of the format need no gateway and no network:
 *
 *   file PATH                       a new segment; what follows goes there
 *   session K 4|6|46 PORT ISN ISN   session K (0 to 99); 46: an IPv4 client of an IPv6 server; initial sequence numbers
 *   open K
 *   send K c|s BYTES                one chunk
 *   gap K c|s BYTES stall|disk-full
 *   fin K c|s
 *   close K orderly|client|server
 *
 * Time moves a millisecond a line. Byte i of a direction d (0 or 1) of session K is
 * (7 i + 13 (i >> 8) + 101 d + 29 K) mod 256.
 */
#include "base/json.h"
#include "record/conversation.h"
#include "record/pcapng.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS_MAX = 100, WORDS_MAX = 6, ROOM = 3 << 20 };

struct sample {
  FILE *file;
  uint64_t segment, time_ns;
  uint8_t *room;
  struct gg_conversation session[SESSIONS_MAX];
  struct named {
    char id[25];
    const struct gg_conversation *conversation;
  } named[SESSIONS_MAX];
};

static void die(const char *what)
{
  fprintf(stderr, "encode_sample: %s\n", what);
  exit(2);
}

static void emit(struct sample *sample, const void *data, size_t bytes)
{
  if (sample->file == NULL || fwrite(data, 1, bytes, sample->file) != bytes)
    die("cannot write");
}

/* A section header, and one interface: Ethernet, nanoseconds. Written out here to owe nothing to the library. */
static void begin_file(struct sample *sample, const char *path)
{
  static const uint32_t section[] = {GG_PCAPNG_SHB, 28, GG_PCAPNG_BYTE_ORDER, 1, UINT32_MAX, UINT32_MAX, 28};
  const uint16_t resolution[] = {GG_PCAPNG_IF_TSRESOL, 1};
  uint32_t interface[] = {GG_PCAPNG_IDB, 32, GG_LINK_ETHERNET, GG_PCAPNG_SNAPLEN, 0, 0, 0, 32};
  memcpy(&interface[4], resolution, 4);
  memcpy(&interface[5], "\x09\0\0", 4);
  if (sample->file != NULL && fclose(sample->file) != 0)
    die("cannot write");
  sample->file = fopen(path, "we");
  if (sample->file == NULL)
    die(strerror(errno));
  sample->segment++;
  emit(sample, section, sizeof section);
  emit(sample, interface, sizeof interface);
}

static void facts(const void *session, struct gg_json *json)
{
  const struct named *named = session;
  gg_json_field_string(json, "id", named->id);
  gg_json_field_string(json, "listener", "sample");
}

static void closing_facts(const void *session, struct gg_json *json)
{
  const struct named *named = session;
  static const char *const members[] = {"received", "forwarded"};
  gg_json_field_string(json, "close", "sample");
  for (int i = 0; i < 2; i++) {
    gg_json_key(json, members[i]);
    gg_json_object_begin(json);
    gg_json_field_unsigned(json, "client", named->conversation->offset[GG_FROM_CLIENT]);
    gg_json_field_unsigned(json, "server", named->conversation->offset[GG_FROM_SERVER]);
    gg_json_object_end(json);
  }
}

static void begin_session(struct sample *sample, unsigned k, uint32_t family, uint32_t port, uint32_t isn0,
                          uint32_t isn1)
{
  struct gg_addr client = {.ip = {10, 0, 0, (uint8_t)k}, .port = (uint16_t)port, .family = GG_FAMILY_IPV4};
  struct gg_addr server = {.ip = {192, 0, 2, 9}, .port = 9999, .family = GG_FAMILY_IPV4};
  const struct gg_addr client6 = {.ip = {0xfd, 1, [15] = (uint8_t)k}, .port = (uint16_t)port, .family = GG_FAMILY_IPV6};
  const struct gg_addr server6 = {.ip = {0xfd, 2, [15] = 9}, .port = 9999, .family = GG_FAMILY_IPV6};
  const uint32_t initial[2] = {isn0, isn1};
  if (family == 6)
    client = client6;
  if (family == 6 || family == 46)
    server = server6;
  struct named *named = &sample->named[k];
  snprintf(named->id, sizeof named->id, "%024u", k);
  named->conversation = &sample->session[k];
  gg_conversation_init(&sample->session[k], &client, &server, initial, facts, named);
}

static void send_chunk(struct sample *sample, unsigned k, enum gg_direction direction, size_t bytes)
{
  struct gg_conversation *conversation = &sample->session[k];
  struct gg_chunk_layout layout;
  if (bytes < 1 || bytes > GG_CHUNK_MAX || gg_conversation_chunk_room(conversation, bytes) > ROOM)
    die("a chunk of an impossible length");
  gg_conversation_lay(conversation, &layout, direction, bytes, sample->room, sample->segment);
  uint64_t offset = conversation->offset[direction];
  for (unsigned i = 0; i < layout.iov_count; i++) {
    uint8_t *at = layout.iov[i].iov_base;
    for (size_t n = 0; n < layout.iov[i].iov_len; n++, offset++)
      at[n] = (uint8_t)(7 * offset + 13 * (offset >> 8) + 101 * (unsigned)direction + 29 * k);
  }
  emit(sample, sample->room, gg_conversation_seal(conversation, &layout, bytes, sample->time_ns));
}

static void act(struct sample *sample, unsigned k, char *const words[WORDS_MAX])
{
  const char *verb = words[0], *a = words[2], *b = words[3], *c = words[4];
  struct gg_conversation *conversation = &sample->session[k];
  enum gg_direction direction = *a == 'c' ? GG_FROM_CLIENT : GG_FROM_SERVER;
  uint8_t *room = sample->room;
  uint64_t segment = sample->segment, now = sample->time_ns;
  if (strcmp(verb, "open") == 0)
    emit(sample, room, gg_conversation_open(conversation, room, segment, now));
  else if (strcmp(verb, "send") == 0)
    send_chunk(sample, k, direction, (size_t)strtoull(b, NULL, 10));
  else if (strcmp(verb, "gap") == 0)
    gg_conversation_gap(conversation, direction, strtoull(b, NULL, 10),
                        strcmp(c, "stall") == 0 ? GG_GAP_STALL : GG_GAP_DISK_FULL);
  else if (strcmp(verb, "fin") == 0)
    emit(sample, room, gg_conversation_fin(conversation, direction, room, segment, now));
  else if (strcmp(verb, "close") == 0)
    emit(sample, room,
         gg_conversation_close(conversation,
                               *a == 'o'   ? GG_CLOSING_ORDERLY
                               : *a == 'c' ? GG_CLOSING_CLIENT_RESET
                                           : GG_CLOSING_SERVER_RESET,
                               closing_facts, room, segment, now));
  else
    die("an unknown verb");
}

static uint32_t number(const char *text)
{
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value > UINT32_MAX)
    die("a number that is none");
  return (uint32_t)value;
}

static void line_of_script(struct sample *sample, char *line)
{
  char *words[WORDS_MAX], *rest = line;
  for (int i = 0; i < WORDS_MAX; i++) {
    char *word = strtok_r(rest, " \n", &rest);
    words[i] = word != NULL ? word : line + strlen(line);
  }
  if (strcmp(words[0], "file") == 0) {
    begin_file(sample, words[1]);
    return;
  }
  uint32_t k = number(words[1]);
  if (k >= SESSIONS_MAX)
    die("a session's number is below 100");
  if (strcmp(words[0], "session") == 0)
    begin_session(sample, k, number(words[2]), number(words[3]), number(words[4]), number(words[5]));
  else
    act(sample, k, words);
}

int main(void)
{
  struct sample *sample = calloc(1, sizeof *sample);
  char line[512];
  if (sample == NULL || (sample->room = malloc(ROOM)) == NULL)
    die("out of memory");
  sample->time_ns = UINT64_C(1700000000123456789);
  while (fgets(line, sizeof line, stdin) != NULL) {
    sample->time_ns += 1000000;
    line_of_script(sample, line);
  }
  if (sample->file != NULL && fclose(sample->file) != 0)
    die("cannot write");
  free(sample->room);
  free(sample);
  return 0;
}
