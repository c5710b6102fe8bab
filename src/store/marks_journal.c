/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's file, for readers. What writes it is in marks_append.c.
 *
 *     ┌────────┬────────┬────────┬─────┬───────
 *     │ line   │ line   │ damaged│ line│ torn...        what has no newline is not there yet, or never was
 *     └────────┴────────┴────────┴─────┴───────
 *                                      ▲ offset: the end of the last whole line; `last` are the bytes before it
 *
 * The last bytes of a line are its check, and what was checked has the time in nanoseconds: two lines do not end alike.
 * So if they are found again where they were, what was read is still what the file begins with.
 *
 * Rejected: a lock for readers. A listing would then wait for a disk that makes a tag durable, and a reader that is
 * stopped in the middle would keep everybody from tagging.
 */
#include "store/marks_journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert((int)GG__MARKS_BUFFER > (int)GG__MARKS_LINE_BYTES, "a line fits");

int gg__marks_journal_init(struct gg__marks_journal *journal, const char *store, struct gg_failure *failure)
{
  size_t bytes = strlen(store) + sizeof "/journal/marks.jsonl";
  *journal = (struct gg__marks_journal){
    .fd = -1, .folder = -1, .store = strdup(store), .path = malloc(bytes), .buffer = malloc(GG__MARKS_BUFFER)};
  if (journal->store && journal->path && journal->buffer) {
    snprintf(journal->path, bytes, "%s/journal/marks.jsonl", store);
    return 0;
  }
  gg__marks_journal_fini(journal);
  return gg_fail(failure, GG_ERR_NOMEM, "no memory for tags and holds");
}

void gg__marks_journal_fini(struct gg__marks_journal *journal)
{
  if (journal->folder >= 0)
    close(journal->folder);
  if (journal->fd >= 0)
    close(journal->fd); /* and its lock */
  free(journal->store);
  free(journal->path);
  free(journal->buffer);
  *journal = (struct gg__marks_journal){.fd = -1, .folder = -1};
}

void gg__marks_journal_rewind(struct gg__marks_journal *journal)
{
  journal->offset = journal->last_length = 0;
  journal->lines = journal->damaged = 0;
}

/* ── Warnings ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void note_damaged(struct gg__marks_journal *journal, uint64_t offset, const char *text, size_t length)
{
  if (journal->damaged < GG__MARKS_WARNINGS)
    snprintf(journal->warnings[journal->damaged], GG__MARKS_WARNING_BYTES,
             "journal/marks.jsonl: the line at byte %" PRIu64
             " is damaged; its tags or hold are left out ('gogetway hold --damaged' shows it)",
             offset);
  if (journal->tell_damaged)
    journal->tell_damaged(journal->tell_context, offset, text, length);
  journal->damaged++;
}

const char *gg__marks_journal_warning(const struct gg__marks_journal *journal, size_t index)
{
  return index < GG__MARKS_WARNINGS && index < journal->damaged ? journal->warnings[index] : NULL;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether what was read is still there, up to its last line. */
static bool goes_on(const struct gg__marks_journal *journal)
{
  char found[sizeof journal->last];
  size_t length = journal->last_length;
  return length == 0 || (pread(journal->fd, found, length, (off_t)(journal->offset - length)) == (ssize_t)length &&
                         memcmp(found, journal->last, length) == 0);
}

static int open_again(struct gg__marks_journal *journal, struct gg_failure *failure)
{
  struct stat status;
  int fd = open(journal->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
    return gg_fail_errno(failure, errno, "cannot open %s", journal->path);
  if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
    close(fd);
    return gg_fail(failure, GG_ERR_FORMAT, "%s is no file", journal->path);
  }
  if (journal->fd >= 0)
    close(journal->fd);
  journal->fd = fd;
  journal->writable = false;
  if (fd >= 0) {
    journal->device = status.st_dev;
    journal->inode = status.st_ino;
  }
  return 0;
}

int gg__marks_journal_look(struct gg__marks_journal *journal, bool *anew, struct gg_failure *failure)
{
  struct stat status;
  *anew = false;
  int missing = stat(journal->path, &status) == 0 ? 0 : errno;
  if (missing && missing != ENOENT && missing != ENOTDIR)
    return gg_fail_errno(failure, missing, "cannot look at %s", journal->path);
  bool same =
    missing ? journal->fd < 0 : journal->fd >= 0 && journal->device == status.st_dev && journal->inode == status.st_ino;
  int error = same ? 0 : open_again(journal, failure);
  if (error)
    return error;
  *anew = journal->offset > 0 && (!same || journal->replaced || !goes_on(journal));
  journal->replaced = false;
  if (*anew)
    gg__marks_journal_rewind(journal);
  return 0;
}

static void note_read(struct gg__marks_journal *journal, const char *text, size_t length)
{
  size_t take = length < sizeof journal->last ? length : sizeof journal->last;
  memcpy(journal->last, text + length - take, take);
  journal->last_length = take;
  journal->offset += length;
}

/* One line without its newline. */
static int take_one(struct gg__marks_journal *journal, const char *text, size_t length,
                    int (*take)(void *context, const struct gg__marks_line *line), void *context)
{
  struct gg__marks_line line;
  struct gg_json_doc doc;
  int error = gg__marks_line_read(&line, &doc, text, length);
  if (error == GG_ERR_CORRUPT) {
    note_damaged(journal, journal->offset, text, length);
    error = 0;
  } else if (!error) {
    error = take(context, &line);
    journal->lines += !error;
  }
  gg_json_doc_fini(&doc);
  return error;
}

/* The whole lines of what is in the buffer. `*used` says how much that was. */
static int take_lines(struct gg__marks_journal *journal, size_t length, size_t *used,
                      int (*take)(void *context, const struct gg__marks_line *line), void *context)
{
  *used = 0;
  while (*used < length) {
    const char *text = journal->buffer + *used, *newline = memchr(text, '\n', length - *used);
    if (!newline)
      return 0;
    size_t bytes = (size_t)(newline - text);
    int error = take_one(journal, text, bytes, take, context);
    if (error)
      return error;
    note_read(journal, text, bytes + 1);
    *used += bytes + 1;
  }
  return 0;
}

/* Something that is longer than any line, and is damaged therefore: passes over it, if it has an end. */
static bool pass_over(struct gg__marks_journal *journal)
{
  char beginning[GG__MARKS_BEGINNING];
  uint64_t at = journal->offset;
  memcpy(beginning, journal->buffer, sizeof beginning); /* it is full of it */
  for (ssize_t n; (n = pread(journal->fd, journal->buffer, GG__MARKS_BUFFER, (off_t)at)) > 0; at += (uint64_t)n) {
    const char *newline = memchr(journal->buffer, '\n', (size_t)n);
    if (!newline)
      continue;
    note_damaged(journal, journal->offset, beginning, sizeof beginning);
    journal->offset = at + (uint64_t)(newline - journal->buffer) + 1;
    ssize_t length = pread(journal->fd, journal->last, sizeof journal->last,
                           (off_t)(journal->offset - sizeof journal->last)); /* it is much longer than that */
    journal->last_length = length > 0 ? (size_t)length : 0;
    return true;
  }
  return false;
}

static size_t least_of(uint64_t a, size_t b)
{
  return a < b ? (size_t)a : b;
}

static int read_to(struct gg__marks_journal *journal, uint64_t end,
                   int (*take)(void *context, const struct gg__marks_line *line), void *context,
                   struct gg_failure *failure)
{
  int error = 0;
  bool more = journal->fd >= 0;
  while (more && !error) {
    size_t used = 0;
    size_t length = least_of(end - journal->offset, GG__MARKS_BUFFER);
    ssize_t n = pread(journal->fd, journal->buffer, length, (off_t)journal->offset);
    if (n < 0)
      return gg_fail_errno(failure, errno, "cannot read %s", journal->path);
    error = take_lines(journal, (size_t)n, &used, take, context);
    more = used > 0 || (n == GG__MARKS_BUFFER && pass_over(journal));
  }
  if (error == GG_ERR_LIMIT)
    return gg_fail(failure, error, "%s has tags or holds of more than %d sessions", journal->path, GG_MARKS_MAX);
  return error ? gg_fail(failure, error, "no memory for tags and holds") : 0;
}

int gg__marks_journal_read(struct gg__marks_journal *journal,
                           int (*take)(void *context, const struct gg__marks_line *line), void *context,
                           struct gg_failure *failure)
{
  return read_to(journal, UINT64_MAX, take, context, failure);
}

int gg__marks_journal_again(const struct gg__marks_journal *journal, uint64_t from, uint64_t to,
                            int (*take)(void *context, const struct gg__marks_line *line), void *context,
                            struct gg_failure *failure)
{
  struct gg__marks_journal copy = *journal; /* its place, and what it warns of, are its own */
  copy.offset = from;
  return read_to(&copy, to, take, context, failure);
}
