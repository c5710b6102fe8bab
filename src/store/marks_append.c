/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the journal: several processes may, the gateway among them.
 *
 *   lock ──► look, read (marks_journal.c): what others have said since counts before it is decided what to write
 *     ──► begin   a torn last line is cut: nobody was told that it is there
 *     ──► add     whole lines are gathered, and written together at the end of the file
 *     ──► end     fdatasync; from here on it is done, and nothing takes it back
 *     ──► unlock
 *
 * When anything fails the file is cut to where it was: a command has done all or nothing, but for a kill in the middle,
 * after which any of its lines may be there, none of them promised.
 *
 * To write it anew: the new file is whole, durable and locked before it gets the old one's name, and stays locked until
 * the name is durable too. So nobody can be told that a line is safe that a power failure would lose together with the
 * name. Who waited for the old file's lock sees, when he has it, that its name is another's now, and begins again.
 *
 * The lock is of the open file description, so it ends with its holder however that dies. It is waited for by asking
 * again: a holder that is stopped must not stop the gateway's catalogue for good.
 */
#include "store/marks_journal.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ASK_AGAIN_NS = 2000000 };

#define NAME "marks.jsonl"
#define NAME_NEW NAME ".new"
#define NAME_DAMAGED NAME ".damaged"

/* ── The folder and the file ─────────────────────────────────────────────────────────────────────────────────────── */

/* What root makes in somebody's store is his, or his gateway could not go on with it. */
static void give_to_owner(const struct gg__marks_journal *journal, int fd)
{
  struct stat status;
  if (geteuid() == 0 && stat(journal->store, &status) == 0 && status.st_uid != 0 &&
      fchown(fd, status.st_uid, status.st_gid) != 0)
    return; /* a file system that knows no owners: everybody may write then, or nobody but root */
}

static int sync_folder(const struct gg__marks_journal *journal, int fd, struct gg_failure *failure)
{
  return fsync(fd) == 0 || errno == EINVAL
           ? 0
           : gg_fail_errno(failure, errno, "cannot make %s/journal durable", journal->store);
}

static int make_folder(struct gg__marks_journal *journal, int store_fd, struct gg_failure *failure)
{
  if (mkdirat(store_fd, "journal", 0700) != 0 && errno != EEXIST)
    return gg_fail_errno(failure, errno, "cannot make %s/journal", journal->store);
  journal->folder = openat(store_fd, "journal", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (journal->folder < 0)
    return gg_fail_errno(failure, errno, "cannot open %s/journal", journal->store);
  give_to_owner(journal, journal->folder);
  return sync_folder(journal, store_fd, failure);
}

static int open_folder(struct gg__marks_journal *journal, struct gg_failure *failure)
{
  int store_fd = open(journal->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (store_fd < 0)
    return gg_fail_errno(failure, errno, "cannot open %s", journal->store);
  journal->folder = openat(store_fd, "journal", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = 0;
  if (journal->folder < 0)
    error = errno == ENOENT ? make_folder(journal, store_fd, failure)
                            : gg_fail_errno(failure, errno, "cannot open %s/journal", journal->store);
  close(store_fd);
  return error;
}

/* A descriptor for writing; the file is made if there is none. */
static int open_file(struct gg__marks_journal *journal, int *out, struct gg_failure *failure)
{
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = openat(journal->folder, NAME, flags);
  bool made = fd < 0 && errno == ENOENT;
  if (made)
    fd = openat(journal->folder, NAME, flags | O_CREAT | O_EXCL, 0600);
  if (fd < 0 && made && errno == EEXIST) { /* another one was quicker */
    made = false;
    fd = openat(journal->folder, NAME, flags);
  }
  if (fd < 0)
    return gg_fail_errno(failure, errno, "cannot write %s", journal->path);
  *out = fd;
  if (!made)
    return 0;
  give_to_owner(journal, fd);
  int error = sync_folder(journal, journal->folder, failure);
  if (error)
    close(fd);
  return error;
}

/* From here on the journal is the file of this descriptor. */
static int adopt(struct gg__marks_journal *journal, int fd, struct gg_failure *failure)
{
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return gg_fail(failure, GG_ERR_FORMAT, "%s is no file", journal->path);
  }
  if (journal->fd >= 0) {
    journal->replaced = journal->replaced || status.st_dev != journal->device || status.st_ino != journal->inode;
    close(journal->fd);
  }
  journal->fd = fd;
  journal->writable = true;
  journal->device = status.st_dev;
  journal->inode = status.st_ino;
  return 0;
}

/* ── The lock ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int set_lock(int fd, short type)
{
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
  return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

static int wait_lock(const struct gg__marks_journal *journal, uint64_t deadline_ns, struct gg_failure *failure)
{
  static const struct timespec pause = {.tv_nsec = ASK_AGAIN_NS};
  for (int error; (error = set_lock(journal->fd, F_WRLCK)) != 0;) {
    if (error != EAGAIN && error != EACCES)
      return gg_fail_errno(failure, error, "cannot lock %s", journal->path);
    if (gg_clock_mono_ns() >= deadline_ns)
      return gg_fail(failure, GG_ERR_BUSY, "another process has kept %s locked for %d seconds; try again",
                     journal->path, (int)(GG_MARKS_LOCK_NS / GG_NS_PER_S));
    nanosleep(&pause, NULL);
  }
  return 0;
}

/* Whether the journal's name is still that of the file whose lock we have. */
static bool is_current(const struct gg__marks_journal *journal)
{
  struct stat status;
  return fstatat(journal->folder, NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_dev == journal->device &&
         status.st_ino == journal->inode;
}

int gg__marks_journal_lock(struct gg__marks_journal *journal, struct gg_failure *failure)
{
  uint64_t deadline_ns = gg_clock_mono_ns() + GG_MARKS_LOCK_NS;
  assert(journal->folder < 0);
  int error = open_folder(journal, failure);
  while (!error) {
    if (!journal->writable || !is_current(journal)) {
      int fd = -1;
      error = open_file(journal, &fd, failure);
      if (!error)
        error = adopt(journal, fd, failure);
    }
    if (!error)
      error = wait_lock(journal, deadline_ns, failure);
    if (!error && is_current(journal))
      return 0;
    if (journal->writable) /* it was put away while we waited */
      set_lock(journal->fd, F_UNLCK);
  }
  gg__marks_journal_unlock(journal);
  return error;
}

void gg__marks_journal_unlock(struct gg__marks_journal *journal)
{
  if (journal->folder < 0)
    return;
  if (journal->writable)
    set_lock(journal->fd, F_UNLCK);
  close(journal->folder);
  journal->folder = -1;
}

/* ── Appending ───────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__marks_journal_begin(struct gg__marks_journal *journal, struct gg_failure *failure)
{
  struct stat status;
  assert(journal->folder >= 0);
  if (fstat(journal->fd, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot look at %s", journal->path);
  journal->gathered = 0;
  journal->begin = journal->end = journal->offset;
  if ((uint64_t)status.st_size > journal->offset && ftruncate(journal->fd, (off_t)journal->offset) != 0)
    return gg_fail_errno(failure, errno, "cannot cut the torn last line of %s", journal->path);
  return 0;
}

/* Puts what was gathered behind what is there; 0 or an errno value. */
static int write_gathered(struct gg__marks_journal *journal, int fd)
{
  for (size_t at = 0; at < journal->gathered;) {
    ssize_t n = pwrite(fd, journal->buffer + at, journal->gathered - at, (off_t)journal->end);
    if (n <= 0)
      return n < 0 ? errno : ENOSPC;
    at += (size_t)n;
    journal->end += (uint64_t)n;
  }
  journal->gathered = 0;
  return 0;
}

static int take_back(struct gg__marks_journal *journal, int error, struct gg_failure *failure)
{
  gg_fail_errno(failure, error, "cannot write %s", journal->path);
  journal->gathered = 0;
  if (ftruncate(journal->fd, (off_t)journal->begin) != 0)
    return GG_ERR_IO; /* the disk does not even take that: the next who writes tries again */
  return gg_error_from_errno(error);
}

static int gather(struct gg__marks_journal *journal, int fd, const struct gg__marks_line *line)
{
  int error = GG__MARKS_BUFFER - journal->gathered < GG__MARKS_LINE_BYTES ? write_gathered(journal, fd) : 0;
  if (!error)
    journal->gathered += gg__marks_line_write(line, journal->buffer + journal->gathered);
  return error;
}

int gg__marks_journal_add(struct gg__marks_journal *journal, const struct gg__marks_line *line,
                          struct gg_failure *failure)
{
  int error = gather(journal, journal->fd, line);
  return error ? take_back(journal, error, failure) : 0;
}

int gg__marks_journal_end(struct gg__marks_journal *journal, struct gg_failure *failure)
{
  int error = write_gathered(journal, journal->fd);
  if (!error && fdatasync(journal->fd) != 0)
    error = errno;
  return error ? take_back(journal, error, failure) : 0;
}

/* ── Writing it anew ─────────────────────────────────────────────────────────────────────────────────────────────── */

static int fill(struct gg__marks_journal *journal, int fd, bool (*next)(void *context, struct gg__marks_line *line),
                void *context, uint64_t *lines)
{
  struct gg__marks_line line;
  int error = set_lock(fd, F_WRLCK);
  for (*lines = 0; !error && next(context, &line); ++*lines)
    error = gather(journal, fd, &line);
  if (!error)
    error = write_gathered(journal, fd);
  return !error && fdatasync(fd) != 0 ? errno : error;
}

/* A file that has damaged lines stays, to be looked at. */
static int keep_damaged(const struct gg__marks_journal *journal)
{
  char name[sizeof NAME_DAMAGED + 4] = NAME_DAMAGED;
  for (unsigned number = 2; linkat(journal->folder, NAME, journal->folder, name, 0) != 0; number++) {
    if (errno != EEXIST || number > GG_MARKS_KEPT_MAX)
      return errno;
    snprintf(name, sizeof name, NAME_DAMAGED ".%u", number);
  }
  return 0;
}

/* Gives the new file the journal's name. */
static int change_names(const struct gg__marks_journal *journal)
{
  int error = journal->damaged > 0 ? keep_damaged(journal) : 0;
  if (error)
    return error;
  if (renameat(journal->folder, NAME_NEW, journal->folder, NAME) != 0)
    return errno;
  fsync(journal->folder); /* should it fail, either file says the same */
  return 0;
}

/* The new file is the journal now, and is as if it had been read: it says what was read of the old one. */
static int go_on_with(struct gg__marks_journal *journal, int fd, uint64_t lines, struct gg_failure *failure)
{
  int error = adopt(journal, fd, failure);
  if (error)
    return error;
  size_t take = journal->end < sizeof journal->last ? (size_t)journal->end : sizeof journal->last;
  ssize_t n = pread(fd, journal->last, take, (off_t)(journal->end - take));
  journal->last_length = n > 0 ? (size_t)n : 0;
  journal->offset = journal->end;
  journal->lines = lines;
  journal->damaged = 0;
  journal->replaced = false;
  return 0;
}

int gg__marks_journal_rewrite(struct gg__marks_journal *journal,
                              bool (*next)(void *context, struct gg__marks_line *line), void *context,
                              struct gg_failure *failure)
{
  uint64_t lines;
  assert(journal->folder >= 0 && journal->gathered == 0);
  if (unlinkat(journal->folder, NAME_NEW, 0) != 0 && errno != ENOENT) /* of one that was killed: we have the lock */
    return gg_fail_errno(failure, errno, "cannot remove %s.new", journal->path);
  int fd = openat(journal->folder, NAME_NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return gg_fail_errno(failure, errno, "cannot write %s.new", journal->path);
  give_to_owner(journal, fd);
  journal->end = 0;
  int error = fill(journal, fd, next, context, &lines);
  if (!error)
    error = change_names(journal);
  if (error) {
    journal->gathered = 0;
    unlinkat(journal->folder, NAME_NEW, 0);
    close(fd);
    return error == EEXIST ? gg_fail(failure, GG_ERR_LIMIT, "there are %d of %s.damaged*; move some of them elsewhere",
                                     GG_MARKS_KEPT_MAX, journal->path)
                           : gg_fail_errno(failure, error, "cannot write %s.new", journal->path);
  }
  return go_on_with(journal, fd, lines, failure);
}
