/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a journal was read, for who goes on from there in another process' life, and what is said behind it.
 *
 * The file is known by its number, and by a hash of its beginning and of what is in front of the offset. Numbers are
 * used again: of a journal that was written anew, and once more since, only what is in it tells.
 * (Rejected: a hash of all that was read. It would be read again each time, which is what this is to save.)
 */
#include "store/marks_journal.h"
#include "store/xxh.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOKED_AT = 4096 }; /* bytes at both ends */

/* False: they are not there. */
static bool add_bytes(const struct gg__marks_journal *journal, uint64_t from, size_t length, uint64_t *check)
{
  char bytes[LOOKED_AT];
  if (pread(journal->fd, bytes, length, (off_t)from) != (ssize_t)length)
    return false;
  *check = XXH3_64bits_withSeed(bytes, length, *check);
  return true;
}

/* Of the file up to the offset. */
static bool find_check(const struct gg__marks_journal *journal, uint64_t offset, uint64_t *check)
{
  size_t length = offset < LOOKED_AT ? (size_t)offset : LOOKED_AT;
  *check = offset;
  return add_bytes(journal, 0, length, check) && add_bytes(journal, offset - length, length, check);
}

bool gg__marks_journal_position(const struct gg__marks_journal *journal, struct gg__marks_position *out)
{
  *out = (struct gg__marks_position){0};
  if (journal->fd < 0 || journal->offset == 0)
    return true;
  *out = (struct gg__marks_position){.device = journal->device, .inode = journal->inode, .offset = journal->offset};
  return find_check(journal, out->offset, &out->check);
}

bool gg__marks_journal_is_at(const struct gg__marks_journal *journal, const struct gg__marks_position *position)
{
  if (journal->fd < 0 || journal->offset == 0)
    return position->offset == 0;
  return position->device == journal->device && position->inode == journal->inode &&
         position->offset == journal->offset;
}

bool gg__marks_journal_has(const struct gg__marks_journal *journal, const struct gg__marks_position *position)
{
  uint64_t check;
  if (position->offset == 0 || journal->fd < 0 || journal->offset == 0)
    return gg__marks_journal_is_at(journal, position);
  return position->device == journal->device && position->inode == journal->inode &&
         find_check(journal, position->offset, &check) && check == position->check;
}
