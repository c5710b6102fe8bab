/* SPDX-License-Identifier: Apache-2.0 */
/**
 * random_store.h - stores for tests in which talks begin, interleave, go on in other segments and end as it happens,
 * with a catalogue of as much as there is when it is asked for.
 */
#ifndef GG_TESTS_RANDOM_STORE_H
#define GG_TESTS_RANDOM_STORE_H

#include "catalogue_files.h"

enum { TALKS = 16 };

static uint32_t random_state = 11;
static inline uint32_t draw(uint32_t below)
{
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

struct making {
  struct files files;
  struct talk talks[TALKS];
  bool open[TALKS];
  unsigned made;
};

static inline void say_something(struct making *making)
{
  static uint8_t data[4000];
  unsigned which = draw(TALKS);
  struct talk *talk = &making->talks[which];
  if (!making->open[which]) {
    making->made++;
    talk_open(&making->files, talk, making->made, (uint16_t)(4000 + making->made));
    making->open[which] = true;
  } else if (draw(8) == 0) {
    talk_close(&making->files, talk);
    making->open[which] = false;
  } else {
    enum gg_direction side = draw(2) ? GG_FROM_CLIENT : GG_FROM_SERVER;
    if (draw(10) == 0)
      talk_miss(talk, side, 1 + draw(500));
    talk_say(&making->files, talk, side, data, 1 + draw(3500));
  }
}

enum { NAME_ROOM = 64 };
static inline void name_segment(char name[NAME_ROOM], unsigned number)
{
  snprintf(name, NAME_ROOM, "20231114T2213%02u.000Z-w0-block-%06u.pcapng", number % 60, number);
}

static inline void begin_segment(struct making *making, unsigned number)
{
  char name[NAME_ROOM];
  name_segment(name, number);
  files_segment(&making->files, name);
}

/* Puts what a scan finds now; the last segment is not complete. */
static inline void catalogue_now(const char *dir, bool complete)
{
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *store = scanned(dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  const struct gg__capture *capture;
  assert_int_equal(gg__catalogue_begin(catalogue, &failure), 0);
  for (size_t i = 0; (capture = store->source->ops->capture(store->source, i)); i++) {
    struct gg__catalogue_segment segment = {.scanned = capture->scanned,
                                            .first_ns = capture->first_ns,
                                            .last_ns = capture->last_ns,
                                            .scattered = capture->scattered,
                                            .complete = complete || store->source->ops->capture(store->source, i + 1)};
    snprintf(segment.name, sizeof segment.name, "%s", capture->name);
    assert_int_equal(gg__catalogue_put_segment(catalogue, &segment, &failure), 0);
  }
  for (size_t i = 0; i < gg_session_list_count(list); i++)
    assert_int_equal(gg__catalogue_put(catalogue, gg__record_of(gg_session_list_at(list, i)), &failure), 0);
  assert_int_equal(gg__catalogue_commit(catalogue, &failure), 0);
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
}

static inline void make_some(struct making *making, unsigned segments)
{
  *making = (struct making){0};
  files_begin(&making->files);
  for (unsigned s = 1; s <= segments; s++) {
    begin_segment(making, s);
    for (unsigned step = 0; step < 40; step++)
      say_something(making);
    files_write(&making->files);
  }
}

static inline bool is_capture(const char *name)
{
  const char *dot = strrchr(name, '.');
  return dot && strcmp(dot, ".pcapng") == 0;
}

/* Segments that are captures of others: with ports that are used again, interfaces behind packets, and damage. */
static inline void put_captures_of_others(struct files *files)
{
  static const char folder[] = GG_SOURCE_ROOT "/fuzz/corpus/store";
  DIR *directory = opendir(folder);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory));) {
    char path[512];
    if (!is_capture(entry->d_name))
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t length = read(fd, files->bytes, FILES_BYTES_MAX);
    close(fd);
    assert_true(length > 0);
    snprintf(files->segment, sizeof files->segment, "%s/segments/%.100s", files->dir, entry->d_name);
    files_write_part(files, (size_t)length);
  }
  closedir(directory);
}

#endif
