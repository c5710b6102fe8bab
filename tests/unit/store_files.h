/* SPDX-License-Identifier: Apache-2.0 */
/**
 * store_files.h - stores for tests: a directory with segments that the encoder of recordings wrote.
 *
 *     struct files files;
 *     files_begin(&files);                                  a fresh directory with segments/
 *     files_segment(&files, "0001.pcapng");                 what follows goes into this file
 *     struct talk talk; talk_open(&files, &talk, 7, 4000);  a session: id ...07, client port 4000
 *     talk_say(&files, &talk, GG_FROM_CLIENT, "hello", 5);
 *     talk_close(&files, &talk);
 *     files_write(&files);                                  the segment is on disk now
 *     files_end(&files);                                    everything is removed
 */
#ifndef GG_TESTS_STORE_FILES_H
#define GG_TESTS_STORE_FILES_H

#include "base/json.h"
#include "record/conversation.h"
#include "record/pairs.h"
#include "record/section.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_BYTES_MAX = 8 << 20 };

struct files {
  char dir[64];
  char segment[256];
  uint8_t *bytes;
  size_t length;
  uint64_t number;        /* of the segment */
  uint64_t time_ns;       /* of the next packet */
  struct gg_pairs *pairs; /* of who talks with the same ends; NULL: nobody looks */
};

struct talk {
  struct gg_conversation conversation;
  char id[25];
  const char *path, *upstream; /* of a unix listener; NULL: none. NULL: "198.51.100.9:8080" */
  const char *gateway;         /* its end of the connection to the upstream; NULL: not told */
  gg_facts_fn more;            /* adds to the closing facts; NULL: nothing */
  uint64_t received[2];
};

static inline void files_begin(struct files *files)
{
  *files = (struct files){.time_ns = UINT64_C(1700000000000000000)};
  snprintf(files->dir, sizeof files->dir, "/tmp/gogetway-store-XXXXXX");
  char path[128];
  files->bytes = malloc(FILES_BYTES_MAX);
  if (!mkdtemp(files->dir) || !files->bytes)
    abort();
  snprintf(path, sizeof path, "%s/segments", files->dir);
  if (mkdir(path, 0700) != 0)
    abort();
}

static inline void files_segment(struct files *files, const char *name)
{
  snprintf(files->segment, sizeof files->segment, "%s/segments/%s", files->dir, name);
  files->length = gg_section_header(files->bytes, "gogetway test", NULL, NULL);
  files->length += gg_section_interface(files->bytes + files->length, NULL);
  files->number++;
}

/* The first `length` bytes of the segment. */
static inline void files_write_part(const struct files *files, size_t length)
{
  int fd = open(files->segment, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, files->bytes, length) != (ssize_t)length || close(fd) != 0)
    abort();
}

static inline void files_write(const struct files *files)
{
  files_write_part(files, files->length);
}

/* Two levels: the store's own files and its segments. */
static inline void files_remove_in(const char *path)
{
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    unlinkat(dirfd(directory), entry->d_name, 0);
  if (directory)
    closedir(directory);
  rmdir(path);
}

static inline void files_end(struct files *files)
{
  char path[128];
  snprintf(path, sizeof path, "%s/segments", files->dir);
  files_remove_in(path);
  files_remove_in(files->dir);
  free(files->bytes);
}

static inline void talk_facts(const void *session, struct gg_json *json)
{
  const struct talk *talk = session;
  gg_json_field_string(json, "id", talk->id);
  gg_json_field_string(json, "listener", "web");
  gg_json_field_string(json, "upstream", talk->upstream ? talk->upstream : "198.51.100.9:8080");
  if (talk->gateway)
    gg_json_field_string(json, "gateway", talk->gateway);
  if (talk->path)
    gg_json_field_string(json, "server_path", talk->path);
}

static inline void talk_closing(const void *session, struct gg_json *json)
{
  const struct talk *talk = session;
  static const char *const members[2] = {"received", "forwarded"};
  gg_json_field_string(json, "close", "client-fin");
  for (int i = 0; i < 2; i++) {
    gg_json_key(json, members[i]);
    gg_json_object_begin(json);
    gg_json_field_unsigned(json, "client", talk->received[0]);
    gg_json_field_unsigned(json, "server", talk->received[1]);
    gg_json_object_end(json);
  }
  if (talk->more)
    talk->more(talk, json);
}

static inline void talk_open_as(struct files *files, struct talk *talk, unsigned number, uint16_t port,
                                const char *path, const char *upstream)
{
  struct gg_addr client, server;
  char text[64];
  const uint32_t initial[2] = {0xfffffff0u - number, number * 1000};
  *talk = (struct talk){.path = path, .upstream = upstream};
  snprintf(talk->id, sizeof talk->id, "018c0000000000000000%04x", number);
  snprintf(text, sizeof text, "192.0.2.1:%u", port);
  gg_addr_parse(&client, text);
  gg_addr_parse(&server, "203.0.113.5:80");
  gg_conversation_init(&talk->conversation, &client, &server, initial, talk_facts, talk);
  if (files->pairs)
    gg_pairs_enter(files->pairs, &talk->conversation);
  files->length +=
    gg_conversation_open(&talk->conversation, files->bytes + files->length, files->number, files->time_ns);
  files->time_ns += 1000000;
}

static inline void talk_open(struct files *files, struct talk *talk, unsigned number, uint16_t port)
{
  talk_open_as(files, talk, number, port, NULL, NULL);
}

static inline void talk_say(struct files *files, struct talk *talk, enum gg_direction direction, const void *data,
                            size_t length)
{
  static struct gg_chunk_layout layout;
  assert(files->length + gg_conversation_chunk_room(&talk->conversation, length) < FILES_BYTES_MAX);
  gg_conversation_lay(&talk->conversation, &layout, direction, length, files->bytes + files->length, files->number);
  size_t done = 0;
  for (unsigned i = 0; i < layout.iov_count; i++) {
    memcpy(layout.iov[i].iov_base, (const uint8_t *)data + done, layout.iov[i].iov_len);
    done += layout.iov[i].iov_len;
  }
  files->length += gg_conversation_seal(&talk->conversation, &layout, length, files->time_ns);
  files->time_ns += 1000000;
  talk->received[direction] += length;
}

static inline void talk_miss(struct talk *talk, enum gg_direction direction, uint64_t bytes)
{
  gg_conversation_gap(&talk->conversation, direction, bytes, GG_GAP_STALL);
  talk->received[direction] += bytes;
}

static inline void talk_close(struct files *files, struct talk *talk)
{
  files->length += gg_conversation_close(&talk->conversation, GG_CLOSING_ORDERLY, talk_closing,
                                         files->bytes + files->length, files->number, files->time_ns);
  files->time_ns += 1000000;
  if (files->pairs)
    gg_pairs_leave(files->pairs, &talk->conversation);
}

#endif
