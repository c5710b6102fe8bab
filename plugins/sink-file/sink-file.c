/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink-file.c - the recording a second time, in another directory: the model of a custom sink.
 *
 *     sink (the writer, or the sink's own thread) ──► the same bytes at the same place of a file of the same name
 *     sealed (the plug-in's own thread)           ──► is the copy whole? else what is missing is taken from the file
 *     create                                      ──► the same for copies that are not as long as their file: a process
 *                                                     that was killed may not have come to tell of it
 *
 * A block needs nothing of the one before: the file is opened, written and closed. So what comes twice after an error,
 * or from another instance after a reload, changes nothing. What is kept is only, of files that are being written, how
 * far they are whole from the beginning; of one that is not known to be whole all is compared when it is sealed.
 */
#include <gogetway/plugin.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIR_AT, SYNC_AT, OPTIONS };
static const struct gg_plugin_option options[OPTIONS] = {
  [DIR_AT] = {"dir", GG_PLUGIN_TEXT, .least = 1, .preset = "segments",
              .help = "where the copies are; without a slash in front, in the state directory"},
  [SYNC_AT] = {"sync", GG_PLUGIN_BOOL, .preset = "off",
               .help = "a block has been taken when it is on the disk, not when the kernel has it"},
};

enum { NAME_BYTES = 128, FILES_MAX = 256, PART_BYTES = 256 << 10 };

/* A file that is being written, and whole up to `next`. One that finds no place here is compared in the end. */
struct file {
  char name[NAME_BYTES]; /* empty: a free place */
  uint64_t next;
};

struct copy {
  const struct gg_host *host;
  int dir;
  bool sync;
  pthread_mutex_t lock; /* of the files: `sink` and `sealed` may be two threads */
  struct file files[FILES_MAX];
};

/* ── How far files are whole ─────────────────────────────────────────────────────────────────────────────────────── */

static struct file *find(struct copy *copy, const char *name)
{
  for (int i = 0; i < FILES_MAX; i++)
    if (strcmp(copy->files[i].name, name) == 0)
      return &copy->files[i];
  return NULL;
}

static void note_block(struct copy *copy, const struct gg_sink_block *block)
{
  pthread_mutex_lock(&copy->lock);
  struct file *file = find(copy, block->segment);
  if (!file && block->offset == 0 && strlen(block->segment) < NAME_BYTES) {
    file = find(copy, "");
    if (file)
      snprintf(file->name, sizeof file->name, "%s", block->segment);
  }
  if (file && block->offset == file->next)
    file->next += block->length;
  pthread_mutex_unlock(&copy->lock);
}

/* Nothing more will be known of it. */
static uint64_t take_whole(struct copy *copy, const char *name)
{
  pthread_mutex_lock(&copy->lock);
  struct file *file = find(copy, name);
  uint64_t whole = file ? file->next : 0;
  if (file)
    *file = (struct file){.next = 0};
  pthread_mutex_unlock(&copy->lock);
  return whole;
}

/* ── Blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* 0, or an errno value. */
static int write_at(int fd, const uint8_t *bytes, size_t length, uint64_t offset)
{
  while (length > 0) {
    ssize_t n = pwrite(fd, bytes, length, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return n < 0 ? errno : EIO;
    bytes += n;
    length -= (size_t)n;
    offset += (uint64_t)n;
  }
  return 0;
}

static int open_copy(const struct copy *copy, const char *name)
{
  return openat(copy->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int on_sink(void *self, const struct gg_sink_block *block, struct gg_failure *failure)
{
  struct copy *copy = self;
  int fd = open_copy(copy, block->segment);
  int error = fd < 0 ? errno : write_at(fd, block->bytes, block->length, block->offset);
  if (!error && copy->sync && fdatasync(fd) != 0)
    error = errno;
  if (fd >= 0)
    close(fd);
  if (error)
    return gg_plugin_fail(failure, error == ENOSPC || error == EDQUOT ? GG_ERR_NO_SPACE : GG_ERR_IO,
                          "cannot write the copy of %s: %s", block->segment, strerror(error));
  note_block(copy, block);
  return 0;
}

/* ── Complete files ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* Where they differ, `to` gets what `of` has. 0, or an errno value. */
static int make_equal(int to, int of, uint64_t *written)
{
  uint64_t from = 0;
  uint8_t *buffer = malloc(2 * (size_t)PART_BYTES), *other = buffer ? buffer + PART_BYTES : NULL;
  int error = buffer ? 0 : ENOMEM;
  for (ssize_t n = 1; !error && n > 0; from += n > 0 ? (uint64_t)n : 0) {
    n = pread(of, buffer, PART_BYTES, (off_t)from);
    ssize_t had = n > 0 ? pread(to, other, (size_t)n, (off_t)from) : 0;
    if (n < 0 || had < 0)
      error = errno;
    else if (had != n || memcmp(buffer, other, (size_t)n) != 0) {
      error = write_at(to, buffer, (size_t)n, from);
      *written += (uint64_t)n;
    }
  }
  free(buffer);
  return error;
}

/* `bytes`: how long it shall be in the end; 0: whatever it comes to. */
static void complete(const struct copy *copy, const char *name, const char *path, uint64_t bytes)
{
  char text[512];
  uint64_t written = 0;
  int of = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = of < 0 ? -1 : open_copy(copy, name);
  int error = of < 0 || to < 0 ? errno : make_equal(to, of, &written);
  if (!error && bytes > 0 && ftruncate(to, (off_t)bytes) != 0)
    error = errno;
  if (!error && copy->sync && fdatasync(to) != 0)
    error = errno;
  if (of >= 0)
    close(of);
  if (to >= 0)
    close(to);
  snprintf(text, sizeof text, "copy of %s %s%s: %llu bytes were missing", name,
           error ? "cannot be completed: " : "completed", error ? strerror(error) : "", (unsigned long long)written);
  copy->host->log(copy->host, error ? GG_PLUGIN_ERROR : GG_PLUGIN_INFO, text);
}

static void on_sealed(void *self, const struct gg_sealed *sealed)
{
  uint64_t whole = take_whole(self, sealed->name);
  if (whole != sealed->bytes || sealed->recovered)
    complete(self, sealed->name, sealed->path, sealed->bytes);
}

/* Another process may be writing to some of both just now (a hot restart): what it does is the same, and nothing is
 * ever made shorter here. */
static void complete_all(const struct copy *copy)
{
  int fd = openat(copy->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  char path[4096];
  for (struct dirent *entry; list && (entry = readdir(list));) { /* bounded by the files that are there */
    struct stat of, to;
    int length = snprintf(path, sizeof path, "%s/../../segments/%s", copy->host->state_dir, entry->d_name);
    if (length > 0 && (size_t)length < sizeof path && lstat(path, &of) == 0 && S_ISREG(of.st_mode) &&
        fstatat(copy->dir, entry->d_name, &to, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(to.st_mode) &&
        to.st_size < of.st_size)
      complete(copy, entry->d_name, path, 0);
  }
  if (list)
    closedir(list);
  else if (fd >= 0)
    close(fd);
}

/* ── The instance ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Its directory is the one that it is to copy: <store>/segments, two above the state directory and one down. */
static bool is_recording(const struct copy *copy)
{
  char path[4096];
  struct stat own, store;
  int length = snprintf(path, sizeof path, "%s/../../segments", copy->host->state_dir);
  return length > 0 && (size_t)length < sizeof path && fstat(copy->dir, &own) == 0 && stat(path, &store) == 0 &&
         own.st_dev == store.st_dev && own.st_ino == store.st_ino;
}

static int open_dir(struct copy *copy, const char *dir, struct gg_failure *failure)
{
  char path[4096];
  int length = dir[0] == '/' ? snprintf(path, sizeof path, "%s", dir)
                             : snprintf(path, sizeof path, "%s/%s", copy->host->state_dir, dir);
  if (length < 0 || (size_t)length >= sizeof path)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "dir is too long");
  if (mkdir(path, 0700) != 0 && errno != EEXIST)
    return gg_plugin_fail(failure, GG_ERR_IO, "cannot make the directory %.400s: %s", path, strerror(errno));
  copy->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy->dir < 0)
    return gg_plugin_fail(failure, GG_ERR_IO, "cannot open the directory %.400s: %s", path, strerror(errno));
  if (!is_recording(copy))
    return 0;
  close(copy->dir);
  return gg_plugin_fail(failure, GG_ERR_INVALID, "dir is the recording itself: %.400s", path);
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct copy *copy = calloc(1, sizeof *copy);
  if (!copy)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  copy->host = host;
  copy->sync = config->values[SYNC_AT].on;
  int error = open_dir(copy, config->values[DIR_AT].text, failure);
  if (error) {
    free(copy);
    return error;
  }
  pthread_mutex_init(&copy->lock, NULL);
  complete_all(copy);
  *self = copy;
  return 0;
}

static void on_destroy(void *self)
{
  struct copy *copy = self;
  close(copy->dir);
  pthread_mutex_destroy(&copy->lock);
  free(copy);
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,      .name = "sink-file",
  .version = "1",      .summary = "the recording a second time, in another directory",
  .options = options,  .option_count = OPTIONS,
  .create = on_create, .destroy = on_destroy,
  .sink = on_sink,     .sealed = on_sealed,
};
