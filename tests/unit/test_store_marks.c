/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and holds: what is said is there, whoever reads it and whatever happened to the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/marks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 4 << 20 };

#define A "0123456789abcdef00000001"
#define B "0123456789abcdef00000002"
#define C "0123456789abcdef00000003"

struct fixture {
  char dir[64], journal[80], path[128];
  struct gg__marks *marks;
};

static struct gg__marks *open_marks(const struct fixture *fixture)
{
  struct gg__marks *marks = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__marks_open(&marks, fixture->dir, &failure) != 0)
    fail_msg("%s", failure.message);
  return marks;
}

static int begin(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  if (!fixture)
    return -1;
  snprintf(fixture->dir, sizeof fixture->dir, "/tmp/gogetway-marks-XXXXXX");
  if (!mkdtemp(fixture->dir))
    return -1;
  snprintf(fixture->journal, sizeof fixture->journal, "%s/journal", fixture->dir);
  snprintf(fixture->path, sizeof fixture->path, "%s/marks.jsonl", fixture->journal);
  fixture->marks = open_marks(fixture);
  *state = fixture;
  return 0;
}

static int end(void **state)
{
  struct fixture *fixture = *state;
  char path[160];
  static const char *const names[] = {"", ".new", ".damaged", ".damaged.2"};
  gg__marks_close(fixture->marks);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s%s", fixture->path, names[i]);
    unlink(path);
  }
  rmdir(fixture->journal);
  rmdir(fixture->dir);
  free(fixture);
  return 0;
}

static size_t read_file(const struct fixture *fixture, char text[TEXT_MAX])
{
  int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, TEXT_MAX - 1) : 0;
  if (fd >= 0)
    close(fd);
  text[n > 0 ? n : 0] = '\0';
  return (size_t)n;
}

static void write_file(const struct fixture *fixture, const char *text, size_t length)
{
  mkdir(fixture->journal, 0700);
  int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0 && write(fd, text, length) == (ssize_t)length && close(fd) == 0);
}

static size_t count_lines(const struct fixture *fixture)
{
  static char text[TEXT_MAX];
  size_t lines = 0;
  read_file(fixture, text);
  for (const char *at = text; (at = strchr(at, '\n')); at++)
    lines++;
  return lines;
}

static int tag(struct gg__marks *marks, const char *id, const char *add, const char *remove)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  return gg__marks_tag(marks, &id, 1, &add, add != NULL, &remove, remove != NULL, &failure);
}

static int hold(struct gg__marks *marks, const char *id, bool holding)
{
  return gg__marks_hold(marks, &id, 1, holding, NULL);
}

/* "x,y" or "x,y held"; what was taken off with a '-'. "none": nothing is said. */
static const char *said(struct gg__marks *marks, const char *id)
{
  static char text[GG_MARK_TAGS_MAX * (GG_MARK_TAG_BYTES_MAX + 2) * 2];
  const struct gg__mark *mark = gg__marks_find(marks, id);
  size_t used = 0;
  if (!mark)
    return "none";
  text[0] = '\0';
  for (size_t i = 0; i < mark->tag_count; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "", mark->tags[i]);
  for (size_t i = 0; i < mark->removed_count; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s-%s", used ? "," : "", mark->removed[i]);
  if (mark->held)
    snprintf(text + used, sizeof text - used, used ? " held" : "held");
  return text;
}

static void refresh(struct gg__marks *marks)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__marks_refresh(marks, NULL, NULL, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
}

/* ── Saying and reading ──────────────────────────────────────────────────────────────────────────────────────────── */

static void what_is_said_is_read_again(void **state)
{
  struct fixture *fixture = *state;
  struct gg__marks *marks = fixture->marks;
  assert_string_equal(said(marks, A), "none");
  assert_int_equal(access(fixture->journal, F_OK), -1); /* to ask makes nothing */
  assert_int_equal(tag(marks, A, "noise", NULL), 0);
  assert_int_equal(tag(marks, A, "interesting", "noise"), 0);
  assert_int_equal(hold(marks, B, true), 0);
  assert_int_equal(hold(marks, C, true), 0);
  assert_int_equal(hold(marks, C, false), 0);
  assert_string_equal(said(marks, A), "interesting,-noise");
  struct gg__marks *again = open_marks(fixture);
  assert_string_equal(said(again, A), "interesting,-noise");
  assert_string_equal(said(again, B), "held");
  assert_string_equal(said(again, C), "none");
  assert_int_equal(gg__marks_held(again), 1);
  assert_null(gg__marks_warning(again, 0));
  gg__marks_close(again);
  struct stat status;
  assert_int_equal(stat(fixture->path, &status), 0);
  assert_int_equal(status.st_mode & 07777, 0600);
}

static void what_is_there_writes_nothing(void **state)
{
  struct fixture *fixture = *state;
  struct gg__marks *marks = fixture->marks;
  const char *const ids[] = {A, B};
  assert_int_equal(tag(marks, A, "x", NULL), 0);
  assert_int_equal(count_lines(fixture), 1);
  assert_int_equal(tag(marks, A, "x", NULL), 0);
  assert_int_equal(hold(marks, A, false), 0);
  assert_int_equal(gg__marks_forget(marks, (const char *const[]){B}, 1, NULL), 0);
  assert_int_equal(count_lines(fixture), 1);
  const char *add[] = {"y", "x", "y"};
  assert_int_equal(gg__marks_tag(marks, ids, 2, add, 3, NULL, 0, NULL), 0);
  assert_int_equal(count_lines(fixture), 3);
  assert_string_equal(said(marks, A), "x,y");
  assert_string_equal(said(marks, B), "x,y");
  assert_int_equal(tag(marks, A, NULL, "y"), 0);
  assert_int_equal(tag(marks, A, NULL, "y"), 0);
  assert_int_equal(count_lines(fixture), 4);
  assert_int_equal(gg__marks_forget(marks, ids, 2, NULL), 0);
  assert_string_equal(said(marks, A), "none");
  assert_string_equal(said(marks, B), "none");
}

static void only_tags_are_tags(void **state)
{
  static const char *const wrong[] = {"",     "a b",   "a,b",      "+a",           "-a",           "a\tb", "a\x1b[2J",
                                      "\xff", "a\x7f", "\xc2\xa0", "\xe2\x80\xae", "\xe3\x80\x80", "\xc3", "\xc2\x85"};
  static const char *const right[] = {"a",  "A-b+c",  "\xc3\xa4",         "\"quoted\\\"",
                                      "{}", "';drop", "\xf0\x9f\x8e\xa3", "0"};
  struct fixture *fixture = *state;
  char longest[GG_MARK_TAG_BYTES_MAX + 2];
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    assert_int_equal(gg__tag_check(wrong[i], &failure), GG_ERR_INVALID);
    assert_true(strstr(failure.message, "tag") != NULL);
    assert_int_equal(tag(fixture->marks, A, wrong[i], NULL), GG_ERR_INVALID);
    assert_int_equal(tag(fixture->marks, A, NULL, wrong[i]), GG_ERR_INVALID);
  }
  assert_int_equal(count_lines(fixture), 0);
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
    assert_int_equal(tag(fixture->marks, A, right[i], NULL), 0);
  memset(longest, 'x', sizeof longest);
  longest[GG_MARK_TAG_BYTES_MAX + 1] = '\0';
  assert_int_equal(tag(fixture->marks, A, longest, NULL), GG_ERR_INVALID);
  longest[GG_MARK_TAG_BYTES_MAX] = '\0';
  assert_int_equal(tag(fixture->marks, A, longest, NULL), 0);
  assert_int_equal(tag(fixture->marks, A, "same", "same"), GG_ERR_INVALID);
  assert_int_equal(tag(fixture->marks, "0123", "x", NULL), GG_ERR_INVALID);
  struct gg__marks *again = open_marks(fixture);
  assert_int_equal(gg__marks_find(again, A)->tag_count, sizeof right / sizeof right[0] + 1);
  assert_null(gg__marks_warning(again, 0));
  gg__marks_close(again);
}

static void a_session_has_so_many_tags(void **state)
{
  struct fixture *fixture = *state;
  const char *const ids[] = {B, A};
  char name[GG_MARK_TAG_BYTES_MAX + 1];
  const char *longest = name;
  for (int i = 0; i < GG_MARK_TAGS_MAX; i++) {
    memset(name, '"', sizeof name); /* two bytes each in the journal */
    name[GG_MARK_TAG_BYTES_MAX] = '\0';
    name[0] = (char)('0' + i % 10);
    name[1] = (char)('0' + i / 10);
    assert_int_equal(tag(fixture->marks, A, name, NULL), 0);
  }
  size_t lines = count_lines(fixture);
  assert_int_equal(tag(fixture->marks, A, "more", NULL), GG_ERR_LIMIT);
  const char *more = "more";
  assert_int_equal(gg__marks_tag(fixture->marks, ids, 2, &more, 1, NULL, 0, NULL), GG_ERR_LIMIT);
  assert_string_equal(said(fixture->marks, B), "none"); /* all or nothing */
  assert_int_equal(count_lines(fixture), lines);
  assert_int_equal(tag(fixture->marks, A, "more", longest), 0); /* one goes, one comes */
  assert_int_equal(gg__marks_find(fixture->marks, A)->tag_count, GG_MARK_TAGS_MAX);
}

/* ── Several at once ─────────────────────────────────────────────────────────────────────────────────────────────── */

struct seen {
  unsigned count;
  char last[128];
};

static void see(void *context, const struct gg__mark *mark)
{
  struct seen *seen = context;
  seen->count++;
  snprintf(seen->last, sizeof seen->last, "%s %s%s", mark->id, mark->tag_count ? mark->tags[0] : "nothing",
           mark->held ? " held" : "");
}

static struct seen look(struct gg__marks *marks)
{
  struct seen seen = {0};
  bool changed = false;
  assert_int_equal(gg__marks_refresh(marks, &changed, see, &seen, NULL), 0);
  assert_int_equal(changed, seen.count > 0);
  return seen;
}

static void others_are_told_once(void **state)
{
  struct fixture *fixture = *state;
  struct gg__marks *other = open_marks(fixture);
  assert_int_equal(look(other).count, 0);
  assert_int_equal(tag(fixture->marks, A, "x", NULL), 0);
  struct seen seen = look(other);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.last, A " x");
  assert_int_equal(look(other).count, 0);
  assert_int_equal(look(fixture->marks).count, 1); /* one's own too */
  assert_int_equal(look(fixture->marks).count, 0);
  assert_int_equal(hold(other, A, true), 0);
  assert_int_equal(tag(fixture->marks, A, "y", NULL), 0); /* knows of the hold before it writes */
  assert_string_equal(said(fixture->marks, A), "x,y held");
  assert_int_equal(gg__marks_forget(other, (const char *const[]){A}, 1, NULL), 0); /* held: it stays */
  seen = look(fixture->marks);
  assert_string_equal(said(fixture->marks, A), "x,y held");
  assert_int_equal(hold(other, A, false), 0);
  assert_int_equal(gg__marks_forget(other, (const char *const[]){A}, 1, NULL), 0);
  seen = look(fixture->marks);
  assert_string_equal(seen.last, A " nothing");
  gg__marks_close(other);
}

static void id_of(unsigned number, char id[25])
{
  snprintf(id, 25, "%024x", number);
}

static void many_sessions(void **state)
{
  enum { MANY = 20000 };
  struct fixture *fixture = *state;
  static char ids[MANY][25];
  static const char *pointers[MANY];
  struct gg__marks *other = open_marks(fixture);
  const char *x = "x";
  for (unsigned i = 0; i < MANY; i++) {
    id_of(i, ids[i]);
    pointers[i] = ids[i];
  }
  assert_int_equal(gg__marks_tag(fixture->marks, pointers, MANY, &x, 1, NULL, 0, NULL), 0);
  assert_int_equal(count_lines(fixture), MANY);
  assert_int_equal(look(other).count, MANY); /* more than are kept by id */
  assert_int_equal(look(other).count, 0);
  for (unsigned i = 0; i < MANY; i += 97)
    assert_string_equal(said(other, ids[i]), "x");
  assert_int_equal(gg__marks_hold(fixture->marks, pointers, MANY, true, NULL), 0);
  assert_int_equal(gg__marks_held(fixture->marks), MANY);
  assert_int_equal(look(other).count, MANY);
  gg__marks_close(other);
}

/* Each child tags its own sessions, and all of them one that they share. */
static void processes_at_once(void **state)
{
  enum { CHILDREN = 4, EACH = 60 };
  struct fixture *fixture = *state;
  pid_t children[CHILDREN];
  for (unsigned child = 0; child < CHILDREN; child++) {
    children[child] = fork();
    assert_true(children[child] >= 0);
    if (children[child] > 0)
      continue;
    struct gg__marks *marks = NULL;
    char id[25], name[32];
    int error = gg__marks_open(&marks, fixture->dir, NULL);
    for (unsigned i = 0; i < EACH && !error; i++) {
      id_of(child * 1000 + i, id);
      snprintf(name, sizeof name, "t%u", child);
      error = tag(marks, id, name, NULL);
      snprintf(name, sizeof name, "c%u-%u", child, i % 10);
      if (!error)
        error = tag(marks, A, name, NULL);
    }
    _exit(error ? 1 : 0);
  }
  for (unsigned child = 0; child < CHILDREN; child++) {
    int status = -1;
    assert_int_equal(waitpid(children[child], &status, 0), children[child]);
    assert_int_equal(status, 0);
  }
  struct gg__marks *again = open_marks(fixture);
  assert_null(gg__marks_warning(again, 0));
  assert_int_equal(count_lines(fixture), CHILDREN * (EACH + 10));
  assert_int_equal(gg__marks_find(again, A)->tag_count, CHILDREN * 10);
  for (unsigned child = 0; child < CHILDREN; child++)
    for (unsigned i = 0; i < EACH; i++) {
      char id[25], name[32];
      id_of(child * 1000 + i, id);
      snprintf(name, sizeof name, "t%u", child);
      assert_string_equal(said(again, id), name);
    }
  gg__marks_close(again);
}

/* ── Damage ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whatever is cut off, what was whole is read, and the next who writes cuts the rest. */
static void a_torn_line_is_cut(void **state)
{
  struct fixture *fixture = *state;
  static char text[TEXT_MAX], after[TEXT_MAX];
  assert_int_equal(tag(fixture->marks, A, "x", NULL), 0);
  size_t whole = read_file(fixture, text);
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  size_t length = read_file(fixture, text);
  for (size_t cut = whole; cut < length; cut++) {
    write_file(fixture, text, cut);
    struct gg__marks *marks = open_marks(fixture);
    assert_string_equal(said(marks, A), "x");
    assert_string_equal(said(marks, B), "none");
    assert_null(gg__marks_warning(marks, 0)); /* nobody was told that it is there */
    assert_int_equal(tag(marks, C, "z", NULL), 0);
    gg__marks_close(marks);
    size_t now = read_file(fixture, after);
    assert_memory_equal(after, text, whole);
    assert_true(now > whole && after[whole] == '{' && strstr(after + whole, C) != NULL);
    assert_ptr_equal(strchr(after + whole, '\n'), after + now - 1);
  }
}

/* Each byte of the middle line in turn is another one. */
static void a_damaged_line_is_left_out(void **state)
{
  struct fixture *fixture = *state;
  static char text[TEXT_MAX];
  assert_int_equal(tag(fixture->marks, A, "x", NULL), 0);
  size_t first = read_file(fixture, text);
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  size_t second = read_file(fixture, text);
  assert_int_equal(hold(fixture->marks, C, true), 0);
  size_t length = read_file(fixture, text);
  for (size_t at = first; at < second; at++) {
    char was = text[at];
    text[at] = was == '#' ? '%' : '#';
    write_file(fixture, text, length);
    text[at] = was;
    struct gg__marks *marks = open_marks(fixture);
    assert_string_equal(said(marks, A), "x");
    assert_string_equal(said(marks, B), "none");
    if (at + 1 < second) { /* without its newline it takes the next one with it */
      assert_string_equal(said(marks, C), "held");
      assert_int_equal(tag(marks, B, "again", NULL), 0);
      assert_string_equal(said(marks, B), "again");
    }
    assert_true(strstr(gg__marks_warning(marks, 0), "damaged") != NULL);
    assert_null(gg__marks_warning(marks, 1));
    gg__marks_close(marks);
  }
}

static void what_is_no_journal(void **state)
{
  struct fixture *fixture = *state;
  static char text[TEXT_MAX];
  struct gg__marks *marks;
  memset(text, '\0', 700000); /* much longer than a line, and no end: torn, however long */
  write_file(fixture, text, 700000);
  marks = open_marks(fixture);
  assert_null(gg__marks_warning(marks, 0));
  assert_int_equal(tag(marks, A, "x", NULL), 0);
  gg__marks_close(marks);
  assert_int_equal(count_lines(fixture), 1);

  static char tail[TEXT_MAX];
  size_t length = read_file(fixture, tail);
  memset(text, 'x', 700000); /* with an end: damaged; what follows is read */
  text[700000] = '\n';
  memcpy(text + 700001, tail, length);
  write_file(fixture, text, 700001 + length);
  marks = open_marks(fixture);
  assert_string_equal(said(marks, A), "x");
  assert_non_null(gg__marks_warning(marks, 0));
  assert_int_equal(tag(marks, B, "y", NULL), 0);
  assert_string_equal(said(marks, B), "y");
  gg__marks_close(marks);

  assert_int_equal(unlink(fixture->path), 0);
  assert_int_equal(mkfifo(fixture->path, 0600), 0);
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__marks_open(&marks, fixture->dir, &failure), GG_ERR_FORMAT);
  assert_null(marks);
}

/* An open reader notices whatever was done to what it has read. */
static void a_reader_notices(void **state)
{
  struct fixture *fixture = *state;
  static char one[TEXT_MAX], two[TEXT_MAX];
  assert_int_equal(tag(fixture->marks, A, "x", NULL), 0);
  size_t first = read_file(fixture, one);
  struct gg__marks *reader = open_marks(fixture);
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  refresh(reader);
  assert_string_equal(said(reader, B), "y");
  write_file(fixture, one, first); /* its writing failed afterwards, and was taken back */
  struct seen seen = look(reader);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.last, B " nothing");
  assert_string_equal(said(reader, B), "none");
  assert_int_equal(tag(fixture->marks, B, "z", NULL), 0); /* as long as what was there before */
  assert_int_equal(read_file(fixture, two), 2 * first);
  seen = look(reader);
  assert_string_equal(seen.last, B " z");
  assert_int_equal(unlink(fixture->path), 0);
  assert_int_equal(look(reader).count, 2);
  assert_string_equal(said(reader, A), "none");
  assert_int_equal(tag(reader, A, "anew", NULL), 0);
  refresh(fixture->marks);
  assert_string_equal(said(fixture->marks, A), "anew");
  gg__marks_close(reader);
}

/* ── Writing it anew ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void wear_out(struct gg__marks *marks, unsigned lines)
{
  for (unsigned i = 0; i < lines; i++)
    assert_int_equal(hold(marks, A, i % 2 == 0), 0);
}

static void a_worn_journal_is_written_anew(void **state)
{
  struct fixture *fixture = *state;
  struct stat before, after;
  assert_int_equal(tag(fixture->marks, B, "y", "gone"), 0);
  struct gg__marks *reader = open_marks(fixture);
  uint64_t at_ns = gg__marks_find(reader, B)->at_ns;
  assert_int_equal(stat(fixture->path, &before), 0);
  wear_out(fixture->marks, 1024);
  assert_int_equal(stat(fixture->path, &after), 0);
  assert_true(before.st_ino != after.st_ino || count_lines(fixture) < 100);
  assert_true(count_lines(fixture) < 100);
  assert_int_equal(after.st_mode & 07777, 0600);
  assert_string_equal(said(fixture->marks, B), "y,-gone");
  assert_int_equal(hold(fixture->marks, A, true), 0);
  struct seen seen = look(reader); /* it has the old file open */
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.last, A " nothing held");
  assert_string_equal(said(reader, B), "y,-gone");
  assert_int_equal(gg__marks_find(reader, B)->at_ns, at_ns);
  assert_int_equal(tag(reader, B, "more", NULL), 0); /* and writes to the new one */
  refresh(fixture->marks);
  assert_string_equal(said(fixture->marks, B), "more,y,-gone");
  assert_null(gg__marks_warning(reader, 0));
  gg__marks_close(reader);
}

/* What was forgotten before the journal was written anew is told to who had read it. */
static void what_is_gone_is_told(void **state)
{
  struct fixture *fixture = *state;
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  struct gg__marks *reader = open_marks(fixture);
  assert_int_equal(gg__marks_forget(fixture->marks, (const char *const[]){B}, 1, NULL), 0);
  wear_out(fixture->marks, 1100);
  static char text[TEXT_MAX];
  read_file(fixture, text);
  assert_null(strstr(text, B));
  struct seen seen = look(reader);
  assert_true(seen.count >= 1);
  assert_string_equal(said(reader, B), "none");
  gg__marks_close(reader);
}

static void damage(const struct fixture *fixture)
{
  int fd = open(fixture->path, O_WRONLY | O_APPEND | O_CLOEXEC);
  assert_true(fd >= 0 && write(fd, "damaged\n", 8) == 8 && close(fd) == 0);
}

static void count_damaged(void *context, uint64_t offset, const char *text, size_t length)
{
  unsigned *count = context;
  assert_true(offset > 0 && length == 7);
  assert_memory_equal(text, "damaged", 7);
  ++*count;
}

/* Somebody is to look at them: they are in the journal until he takes them out, and beside it from then on. */
static void damaged_lines_are_kept_to_be_looked_at(void **state)
{
  struct fixture *fixture = *state;
  struct gg__marks *other = open_marks(fixture);
  struct gg_failure failure = GG_FAILURE_INIT;
  char kept[160];
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  damage(fixture);
  wear_out(fixture->marks, 1100);
  assert_true(count_lines(fixture) > 1100);
  for (unsigned round = 0; round < 2; round++) {
    unsigned told = 0;
    uint64_t count = 0;
    assert_int_equal(gg__marks_refresh(fixture->marks, NULL, NULL, NULL, &failure), 0);
    assert_int_equal(gg__marks_damaged(fixture->marks), 1);
    assert_int_equal(gg__marks_mend(fixture->marks, false, count_damaged, &told, &count, &failure), 0);
    assert_true(told == 1 && count == 1 && gg__marks_damaged(fixture->marks) == 1);
    assert_int_equal(gg__marks_mend(fixture->marks, true, count_damaged, &told, &count, &failure), 0);
    assert_true(told == 2 && count == 1 && gg__marks_damaged(fixture->marks) == 0);
    assert_true(count_lines(fixture) < 200);
    snprintf(kept, sizeof kept, "%s.damaged%s", fixture->path, round ? ".2" : "");
    assert_int_equal(access(kept, F_OK), 0);
    assert_string_equal(said(fixture->marks, B), "y");
    assert_int_equal(gg__marks_refresh(other, NULL, NULL, NULL, &failure), 0);
    assert_int_equal(gg__marks_damaged(other), 0);
    assert_string_equal(said(other, B), "y");
    assert_int_equal(gg__marks_mend(fixture->marks, true, count_damaged, &told, &count, &failure), 0);
    assert_true(told == 2 && count == 0);
    damage(fixture);
  }
  gg__marks_close(other);
}

static void name_kept(const struct fixture *fixture, unsigned number, char kept[160])
{
  char digits[16] = "";
  if (number > 1)
    snprintf(digits, sizeof digits, ".%u", number);
  snprintf(kept, 160, "%s.damaged%s", fixture->path, digits);
}

static void damaged_lines_are_not_kept_for_ever(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  char kept[160];
  uint64_t count;
  assert_int_equal(tag(fixture->marks, B, "y", NULL), 0);
  damage(fixture);
  for (unsigned i = 1; i <= GG_MARKS_KEPT_MAX; i++) {
    name_kept(fixture, i, kept);
    assert_int_equal(link(fixture->path, kept), 0);
  }
  assert_int_equal(gg__marks_mend(fixture->marks, true, NULL, NULL, &count, &failure), GG_ERR_LIMIT);
  assert_int_equal(count_lines(fixture), 2);
  assert_int_equal(unlink(kept), 0);
  assert_int_equal(gg__marks_mend(fixture->marks, true, NULL, NULL, &count, &failure), 0);
  assert_int_equal(access(kept, F_OK), 0);
  for (unsigned i = 1; i <= GG_MARKS_KEPT_MAX; i++) {
    name_kept(fixture, i, kept);
    assert_int_equal(unlink(kept), 0);
  }
}

/* Two write and wear it out together: each must find the lock of the file that has the name. */
static void two_write_it_anew(void **state)
{
  enum { EACH = 1500 };
  struct fixture *fixture = *state;
  pid_t child = fork();
  assert_true(child >= 0);
  struct gg__marks *marks = open_marks(fixture);
  const char *mine = child ? A : B;
  char name[32];
  int error = 0;
  for (unsigned i = 0; i < EACH && !error; i++) {
    error = hold(marks, mine, i % 2 == 0);
    snprintf(name, sizeof name, "n%u", i / 100);
    if (!error && i % 100 == 0)
      error = tag(marks, mine, name, NULL);
  }
  if (!child)
    _exit(error ? 1 : 0);
  int status = -1;
  assert_int_equal(error, 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  gg__marks_close(marks);
  marks = open_marks(fixture);
  assert_int_equal(gg__marks_find(marks, A)->tag_count, EACH / 100);
  assert_int_equal(gg__marks_find(marks, B)->tag_count, EACH / 100);
  assert_int_equal(gg__marks_held(marks), 0);
  assert_null(gg__marks_warning(marks, 0));
  assert_true(count_lines(fixture) < 2 * EACH);
  gg__marks_close(marks);
}

/* ── Many, by rules ──────────────────────────────────────────────────────────────────────────────────────────────── */

static int stage(struct gg__marks *marks, const char *id, const char *name)
{
  return gg__marks_stage(marks, id, &name, 1, NULL);
}

static void staged_tags_come_with_the_flush(void **state)
{
  struct fixture *fixture = *state;
  struct gg__marks *marks = fixture->marks;
  assert_int_equal(gg__marks_flush(marks, NULL), 0); /* nothing waits: nothing is made */
  assert_int_equal(access(fixture->journal, F_OK), -1);
  assert_int_equal(tag(marks, B, NULL, "r"), 0); /* a person wants it off */
  assert_int_equal(stage(marks, A, "r"), 0);
  assert_int_equal(stage(marks, A, "r"), 0);
  assert_int_equal(stage(marks, B, "r"), 0);
  assert_int_equal(count_lines(fixture), 1);
  struct gg__marks *other = open_marks(fixture);
  assert_int_equal(tag(other, C, NULL, "r"), 0); /* another one does, in between */
  gg__marks_close(other);
  assert_int_equal(stage(marks, C, "r"), 0);
  assert_int_equal(gg__marks_flush(marks, NULL), 0);
  assert_string_equal(said(marks, A), "r");
  assert_string_equal(said(marks, B), "-r");
  assert_string_equal(said(marks, C), "-r");
  size_t lines = count_lines(fixture);
  assert_int_equal(stage(marks, A, "r"), 0); /* seen again after a restart */
  assert_int_equal(gg__marks_flush(marks, NULL), 0);
  assert_int_equal(count_lines(fixture), lines);
}

static void staged_tags_are_bounded(void **state)
{
  struct fixture *fixture = *state;
  char id[25];
  for (unsigned i = 0; i < GG_MARKS_STAGED_MAX + 1; i++) {
    id_of(i, id);
    assert_int_equal(stage(fixture->marks, id, "r"), 0);
  }
  assert_int_equal(count_lines(fixture), GG_MARKS_STAGED_MAX);
  assert_int_equal(gg__marks_flush(fixture->marks, NULL), 0);
  assert_int_equal(count_lines(fixture), GG_MARKS_STAGED_MAX + 1);
}

static void a_rule_finds_no_room(void **state)
{
  struct fixture *fixture = *state;
  char name[16];
  for (int i = 0; i < GG_MARK_TAGS_MAX; i++) {
    snprintf(name, sizeof name, "t%d", i);
    assert_int_equal(tag(fixture->marks, A, name, NULL), 0);
  }
  assert_int_equal(stage(fixture->marks, A, "r"), 0);
  assert_int_equal(stage(fixture->marks, B, "r"), 0);
  assert_int_equal(gg__marks_flush(fixture->marks, NULL), 0);
  assert_string_equal(said(fixture->marks, B), "r");
  assert_int_equal(gg__marks_find(fixture->marks, A)->tag_count, GG_MARK_TAGS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(what_is_said_is_read_again),
    TEST(what_is_there_writes_nothing),
    TEST(only_tags_are_tags),
    TEST(a_session_has_so_many_tags),
    TEST(others_are_told_once),
    TEST(many_sessions),
    TEST(processes_at_once),
    TEST(a_torn_line_is_cut),
    TEST(a_damaged_line_is_left_out),
    TEST(what_is_no_journal),
    TEST(a_reader_notices),
    TEST(a_worn_journal_is_written_anew),
    TEST(what_is_gone_is_told),
    TEST(damaged_lines_are_kept_to_be_looked_at),
    TEST(damaged_lines_are_not_kept_for_ever),
    TEST(two_write_it_anew),
    TEST(staged_tags_come_with_the_flush),
    TEST(staged_tags_are_bounded),
    TEST(a_rule_finds_no_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
