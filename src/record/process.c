/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - several processes on one store: while one takes over from another, both write.
 *
 * Each has a number from 1 that no other living one has, and that nobody has of whom something is left. All that would
 * else collide goes by it:
 *
 *     number   its logs        its segments                              its rings                its list
 *        1     w0-block        20261122T123759.123Z-w0-block-000001      gogetway-<uuid>.w0-...   running
 *        2     w0-block-2      20261122T123759.123Z-w0-block-2-000001    gogetway-<uuid>.w0-...   running.2
 *
 * So no two of them can ever mean the same file, however their clocks stand, and each log is what it always was: one
 * sequence of segments with one producer. A number that came free is taken again, the lowest first; who takes it lists
 * the names in segments/ after that, and goes on behind the newest.
 *
 * Whether a number's process lives is asked of the kernel. Locks on the store's `lock` file:
 *
 *     byte 0      the store's: its descriptor is shared by all of them, and so the lock ends with the last
 *     byte n      number n's own: on a description of its own, so it ends with that process, however that dies
 *
 * (Older versions locked the whole file, which refuses and is refused by byte 0.) Whoever writes out what a dead one
 * left holds its byte meanwhile, so two survivors never do it at once, and nobody takes that number.
 *
 * Rejected: process ids instead of numbers (they come again, and containers give everybody the same one), and stamps
 * divided among the processes (names would be off the time, and `tail` would still see two producers in one log).
 */
#include "record/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock byte_of(unsigned number, short type)
{
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};
}

bool gg__process_lock(const struct gg_recorder *recorder, unsigned number)
{
  struct flock lock = byte_of(number, F_WRLCK);
  return number != recorder->process && fcntl(recorder->process_fd, F_OFD_SETLK, &lock) == 0;
}

void gg__process_unlock(const struct gg_recorder *recorder, unsigned number)
{
  struct flock lock = byte_of(number, F_UNLCK);
  (void)fcntl(recorder->process_fd, F_OFD_SETLK, &lock); /* else it ends with this process */
}

bool gg__process_is_alone(const struct gg_recorder *recorder)
{
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++) {
    struct flock lock = byte_of(number, F_WRLCK);
    if (fcntl(recorder->process_fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK)
      return false;
  }
  return true;
}

int gg__process_number(struct gg_recorder *recorder, struct gg_failure *failure)
{
  bool beside = recorder->options.lock_fd >= 0;
  for (unsigned number = 1; number <= GG_RECORDER_PROCESSES_MAX; number++) {
    if (!gg__process_lock(recorder, number))
      continue;
    /* Looked for only now that nobody can be adding to it. After a start on a free store there is none but what the
     * recovery refused. */
    if (!beside || !gg__recover_is_left(recorder, number)) {
      recorder->process = recorder->owner.process = number;
      return 0;
    }
    gg__process_unlock(recorder, number);
  }
  return gg_fail(failure, GG_ERR_LIMIT, "%d processes write to store %s already, or have left something in it",
                 GG_RECORDER_PROCESSES_MAX, recorder->dir);
}

void gg__process_running_name(char name[GG__RUNNING_NAME_MAX], unsigned number, const char *suffix)
{
  if (number == 1)
    snprintf(name, GG__RUNNING_NAME_MAX, "running%s", suffix);
  else
    snprintf(name, GG__RUNNING_NAME_MAX, "running.%u%s", number, suffix);
}
