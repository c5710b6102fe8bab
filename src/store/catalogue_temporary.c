/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue_temporary.c - where SQLite sorts what does not fit in memory: in files without a name beside the database.
 *
 * Left alone it takes them to /var/tmp or $TMPDIR, which may be small, or memory, and which belongs to the program that
 * has this library in it, not to us. The store's disk has to have room for the catalogue in any case. (Rejected:
 * sqlite3_temp_directory, which is one variable for the whole process; temp_store = MEMORY, which has no bound.)
 *
 * SQLite asks its system layer for them by opening a file without a name. So a catalogue that is built has a layer of
 * its own, which is the usual one but for that.
 */
#include "store/catalogue_private.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 48 };

struct gg__temporary {
  sqlite3_vfs vfs; /* first: it is what its functions are called with */
  sqlite3_vfs *usual;
  pthread_mutex_t lock; /* sorting has threads of its own: the name is theirs from when it is made to when it is gone */
  char name[NAME_BYTES];
  char path[]; /* lives as long as files do that were opened by it */
};

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *given)
{
  struct gg__temporary *temporary = (struct gg__temporary *)vfs;
  if (path)
    return temporary->usual->xOpen(temporary->usual, path, file, flags, given);
  pthread_mutex_lock(&temporary->lock);
  unlink(temporary->path); /* of one who was killed */
  int code = temporary->usual->xOpen(temporary->usual, temporary->path, file, flags, given);
  unlink(temporary->path);
  pthread_mutex_unlock(&temporary->lock);
  return code;
}

struct gg__temporary *gg__temporary_create(const char *path)
{
  sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
  size_t size = strlen(path) + sizeof GG__TEMPORARY_END;
  struct gg__temporary *temporary = usual ? calloc(1, sizeof *temporary + size) : NULL;
  if (!temporary)
    return NULL;
  snprintf(temporary->name, sizeof temporary->name, "gogetway-%" PRIxPTR, (uintptr_t)temporary);
  snprintf(temporary->path, size, "%s" GG__TEMPORARY_END, path);
  temporary->usual = usual;
  temporary->vfs = *usual; /* its functions look at nothing in it that is not the same in both */
  temporary->vfs.pNext = NULL;
  temporary->vfs.zName = temporary->name;
  temporary->vfs.xOpen = open_file;
  pthread_mutex_init(&temporary->lock, NULL);
  if (sqlite3_vfs_register(&temporary->vfs, 0) == SQLITE_OK)
    return temporary;
  pthread_mutex_destroy(&temporary->lock);
  free(temporary);
  return NULL;
}

const char *gg__temporary_name(const struct gg__temporary *temporary)
{
  return temporary ? temporary->name : NULL;
}

void gg__temporary_destroy(struct gg__temporary *temporary)
{
  if (!temporary)
    return;
  sqlite3_vfs_unregister(&temporary->vfs);
  pthread_mutex_destroy(&temporary->lock);
  free(temporary);
}
