/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of tags and holds, with whatever may stand in it: what is read of it is tags that can be tags, in order,
 * and no more than there may be. It is the same whether lines are read as we write them or as anybody's JSON, and
 * whether the file was read at once or as it grew. And whoever says something of a session is understood afterwards, by
 * who had the journal open and by who opens it.
 *
 * Input: the first byte says whether lines get the check that they need to be taken for ours (1), and where the file
 * was cut when it was read first (the rest of it); then the file.
 */
#include "store/marks.h"
#include "store/xxh.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES_MAX = 1 << 20, GIVEN_BYTES_MAX = 16 << 10, CHECK_ROOM = 64 };

#define OTHER "zz"
static const char ID[] = "0123456789abcdef00000001";
static char store[64], path[128];

static void remove_store(void)
{
  char journal[96];
  unlink(path);
  snprintf(journal, sizeof journal, "%s/journal", store);
  rmdir(journal);
  rmdir(store);
}

static void make_store(void)
{
  char journal[96];
  if (store[0])
    return;
  snprintf(store, sizeof store, "/dev/shm/fuzz-marks-XXXXXX");
  if (!mkdtemp(store))
    abort();
  snprintf(journal, sizeof journal, "%s/journal", store);
  snprintf(path, sizeof path, "%s/marks.jsonl", journal);
  if (mkdir(journal, 0700) != 0)
    abort();
  atexit(remove_store);
}

static void write_file(const char *text, size_t length)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, length) != (ssize_t)length || close(fd) != 0)
    abort();
}

/* The file, each line with its check, and behind `more`. A line is written without its closing brace. */
static size_t add_checks(const char *from, size_t length, char *to, const char *more)
{
  size_t used = 0;
  for (size_t at = 0; at < length;) {
    const char *newline = memchr(from + at, '\n', length - at);
    size_t bytes = newline ? (size_t)(newline - from) - at : length - at;
    if (used + bytes + CHECK_ROOM > FILE_BYTES_MAX)
      break;
    memcpy(to + used, from + at, bytes);
    used += bytes;
    if (newline) {
      memcpy(to + used, more, strlen(more));
      used += strlen(more);
      bytes += strlen(more);
      used += (size_t)snprintf(to + used, CHECK_ROOM, ",\"check\":\"%016" PRIx64 "\"}\n",
                               XXH3_64bits(to + used - bytes, bytes));
    }
    at = newline ? (size_t)(newline - from) + 1 : length;
  }
  return used;
}

static struct gg__marks *open_marks(void)
{
  struct gg__marks *marks = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__marks_open(&marks, store, &failure) != 0)
    abort();
  return marks;
}

static void check_tags(const char *const *tags, size_t count)
{
  assert(count <= GG_MARK_TAGS_MAX);
  for (size_t i = 0; i < count; i++)
    assert(gg__tag_check(tags[i], NULL) == 0 && (i == 0 || strcmp(tags[i - 1], tags[i]) < 0));
}

static bool equal(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
  if (a_count != b_count)
    return false;
  for (size_t i = 0; i < a_count; i++)
    if (strcmp(a[i], b[i]) != 0)
      return false;
  return true;
}

static size_t visited;

/* What one reader found another one finds too. */
static int compare(void *context, const struct gg__mark *mark)
{
  const struct gg__mark *other = gg__marks_find(context, mark->id);
  check_tags(mark->tags, mark->tag_count);
  check_tags(mark->removed, mark->removed_count);
  assert(other && other->held == mark->held && other->at_ns == mark->at_ns);
  assert(equal(mark->tags, mark->tag_count, other->tags, other->tag_count));
  assert(equal(mark->removed, mark->removed_count, other->removed, other->removed_count));
  visited++;
  return 0;
}

static void compare_all(struct gg__marks *a, struct gg__marks *b)
{
  visited = 0;
  gg__marks_each(a, compare, b);
  size_t in_a = visited;
  visited = 0;
  gg__marks_each(b, compare, a);
  assert(visited == in_a && gg__marks_held(a) == gg__marks_held(b));
}

static bool has(struct gg__marks *marks, const char *tag)
{
  const struct gg__mark *mark = gg__marks_find(marks, ID);
  for (size_t i = 0; mark && i < mark->tag_count; i++)
    if (strcmp(mark->tags[i], tag) == 0)
      return true;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static char file[FILE_BYTES_MAX];
  const char *tag = "fuzzed", *id = ID;
  make_store();
  if (size < 1 || size > GIVEN_BYTES_MAX)
    return 0;
  const char *given = (const char *)data + 1;
  size_t length = size - 1;
  if (data[0] & 1)
    length = add_checks(given, length, file, "");
  else
    memcpy(file, given, length);
  write_file(file, length * (data[0] >> 1) / 128);
  struct gg__marks *grown = open_marks();
  write_file(file, length);
  if (gg__marks_refresh(grown, NULL, NULL, NULL, NULL) != 0)
    abort();
  struct gg__marks *whole = open_marks();
  compare_all(grown, whole);
  gg__marks_close(whole);
  if (data[0] & 1 && !memmem(given, size - 1, OTHER, strlen(OTHER))) { /* nobody has this member: lines mean the same */
    static char other[FILE_BYTES_MAX];
    size_t other_length = add_checks(given, size - 1, other, ",\"" OTHER "\":0");
    write_file(other, other_length);
    struct gg__marks *documents = open_marks();
    compare_all(grown, documents);
    gg__marks_close(documents);
    write_file(file, length);
  }
  whole = open_marks();
  int error = gg__marks_tag(grown, &id, 1, &tag, 1, NULL, 0, NULL);
  assert(error == 0 || error == GG_ERR_LIMIT);
  assert(has(grown, tag) == (error == 0));
  error = gg__marks_hold(whole, &id, 1, true, NULL);
  assert(error == 0 && has(whole, tag) == has(grown, tag));
  if (gg__marks_refresh(grown, NULL, NULL, NULL, NULL) != 0)
    abort();
  compare_all(grown, whole);
  gg__marks_close(whole);
  whole = open_marks();
  compare_all(grown, whole);
  gg__marks_close(whole);
  gg__marks_close(grown);
  return 0;
}
