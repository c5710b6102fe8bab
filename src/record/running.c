/* SPDX-License-Identifier: Apache-2.0 */
/*
 * running.c - a process' `running` file: which rings and open segments it has. `running` is that of process number 1;
 * one that takes over while another is at work has running.2, and so on (process.c).
 *
 *     gogetway running 1
 *     boot 101c1174-f4ab-4b63-9d5d-beb7a6effdd4
 *     pid 4711
 *     from 20261122T123759.122Z
 *     ring w0-block /dev/shm/gogetway-<uuid>.w0-block.2891336453
 *     segment w0-block 20261122T123759.123Z-w0-block-000001.pcapng
 *
 * Times in the names of its segments are later than `from`, and those of all that were there before earlier, whatever
 * was done to the clock: so it can be told of a session whether this process has it (store/live.c).
 *
 * The file is there while the store is open, and replaced as a whole (write, sync, rename). Rings are found by their
 * names, without it; what it tells is that a ring was there when none is now (the machine was restarted): then the next
 * start says in those segments that their ends may be missing. For that it is enough that one ring of each log is named
 * at any time: the first one is named before it is used; a newer one is used at once (growth must not wait for a disk
 * that hangs: that is what it is for) and named before an older one's file is removed. The first ring of a log that
 * is added while running is named before anything that the log wrote is synced. A segment is named before its entry in
 * segments/ is synced, and until it is complete and synced.
 */
#include "record/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_log(FILE *file, const struct gg_recorder *recorder, const struct gg_log *log)
{
  for (unsigned i = 0; i < GG_RINGS_ALIVE_MAX; i++)
    if (log->ring_names[i][0])
      fprintf(file, "ring %s %s/%s\n", log->name, recorder->ring_dir, log->ring_names[i]);
  for (unsigned i = 0; i < GG_RING_SEGMENTS_MAX; i++)
    if (log->running_segments[i][0])
      fprintf(file, "segment %s %s\n", log->name, log->running_segments[i]);
}

/* The whole text, so that the disk is not waited for under the lock. */
static char *print_all(struct gg_recorder *recorder, size_t *length)
{
  char *text = NULL;
  FILE *file = open_memstream(&text, length);
  if (!file)
    return NULL;
  char from[GG__STAMP_TEXT];
  gg__segment_stamp(from, recorder->first_name_ms);
  fprintf(file, "gogetway running 1\nboot %s\npid %" PRId32 "\nfrom %s\n", recorder->boot_id, recorder->owner.pid,
          from);
  pthread_mutex_lock(&recorder->running_lock);
  for (unsigned i = 0, count = gg__log_count(recorder); i < count; i++)
    print_log(file, recorder, recorder->logs[i]);
  pthread_mutex_unlock(&recorder->running_lock);
  if (fclose(file) == 0)
    return text;
  free(text);
  return NULL;
}

/* Closes `fd`. An errno value. */
static int write_file(struct gg_recorder *recorder, int fd)
{
  size_t length = 0;
  char *text = print_all(recorder, &length);
  int error = text ? 0 : ENOMEM;
  for (size_t done = 0; !error && done < length;) {
    ssize_t n = write(fd, text + done, length - done);
    if (n > 0)
      done += (size_t)n;
    else if (n == 0 || errno != EINTR)
      error = n == 0 ? ENOSPC : errno;
  }
  if (!error && fsync(fd) < 0)
    error = errno;
  close(fd);
  free(text);
  return error;
}

static int replace(struct gg_recorder *recorder)
{
  char name[GG__RUNNING_NAME_MAX], fresh[GG__RUNNING_NAME_MAX];
  gg__process_running_name(name, recorder->process, "");
  gg__process_running_name(fresh, recorder->process, ".new");
  int fd = openat(recorder->dir_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return errno;
  int error = write_file(recorder, fd);
  if (!error && renameat(recorder->dir_fd, fresh, recorder->dir_fd, name) < 0)
    error = errno;
  if (!error && fsync(recorder->dir_fd) < 0)
    error = errno;
  return error;
}

void gg__running_write(struct gg_recorder *recorder)
{
  atomic_store(&recorder->running_stale, false);
  int error = replace(recorder);
  if (error) {
    atomic_store(&recorder->running_stale, true);
    gg_warn(recorder->logger, "cannot write the store's `running` file, trying again",
            GG_S("reason", strerrordesc_np(error)), GG_S("dir", recorder->dir));
  }
}

static void tell_sync_thread(struct gg_recorder *recorder)
{
  atomic_store(&recorder->running_stale, true);
  gg__bell_ring(&recorder->sync_bell);
}

void gg__running_remove(struct gg_recorder *recorder, unsigned process)
{
  char name[GG__RUNNING_NAME_MAX];
  gg__process_running_name(name, process, "");
  unlinkat(recorder->dir_fd, name, 0);
  gg__process_running_name(name, process, ".new");
  unlinkat(recorder->dir_fd, name, 0);
  (void)fsync(recorder->dir_fd);
}

void gg__running_ring_add(struct gg_recorder *recorder, struct gg_log *log, const char *name)
{
  pthread_mutex_lock(&recorder->running_lock);
  for (unsigned i = 0; i < GG_RINGS_ALIVE_MAX; i++) {
    if (log->ring_names[i][0])
      continue;
    snprintf(log->ring_names[i], sizeof log->ring_names[i], "%s", name);
    break;
  }
  pthread_mutex_unlock(&recorder->running_lock);
  tell_sync_thread(recorder);
}

void gg__running_ring_remove(struct gg_recorder *recorder, struct gg_log *log, const char *name)
{
  pthread_mutex_lock(&recorder->running_lock);
  for (unsigned i = 0; i < GG_RINGS_ALIVE_MAX; i++)
    if (strcmp(log->ring_names[i], name) == 0)
      log->ring_names[i][0] = '\0';
  pthread_mutex_unlock(&recorder->running_lock);
  tell_sync_thread(recorder);
}

/* More than the table holds are complete and wait for a disk that hangs; then the newest are named. */
void gg__running_segment_add(struct gg_recorder *recorder, struct gg_log *log, const char *name)
{
  const size_t one = sizeof log->running_segments[0];
  pthread_mutex_lock(&recorder->running_lock);
  memmove(log->running_segments[1], log->running_segments[0], (GG_RING_SEGMENTS_MAX - 1) * one);
  snprintf(log->running_segments[0], one, "%s", name);
  pthread_mutex_unlock(&recorder->running_lock);
  tell_sync_thread(recorder);
}

void gg__running_segment_remove(struct gg_recorder *recorder, struct gg_log *log, const char *name)
{
  bool named = false;
  pthread_mutex_lock(&recorder->running_lock);
  for (unsigned i = 0; i < GG_RING_SEGMENTS_MAX; i++) {
    if (strcmp(log->running_segments[i], name) != 0)
      continue;
    log->running_segments[i][0] = '\0';
    named = true;
  }
  pthread_mutex_unlock(&recorder->running_lock);
  if (named)
    tell_sync_thread(recorder);
}

/* ── Reading what a process left ─────────────────────────────────────────────────────────────────────────────────── */

/* Ends a line's first two words and takes them; what is left is the value. */
static void parse_line(struct gg__running *running, const struct gg_recorder *recorder, unsigned process, char *line)
{
  if (strncmp(line, "boot ", 5) == 0) {
    running->other_boot |= strcmp(line + 5, recorder->boot_id) != 0;
    return;
  }
  bool is_ring = strncmp(line, "ring ", 5) == 0;
  if ((!is_ring && strncmp(line, "segment ", 8) != 0) || running->count >= GG__RUNNING_ENTRIES_MAX)
    return;
  char *log = line + (is_ring ? 5 : 8);
  char *space = strchr(log, ' ');
  if (!space || !space[1])
    return;
  *space = '\0';
  running->entries[running->count++] =
    (struct gg__running_entry){.is_ring = is_ring, .process = process, .log = log, .value = space + 1};
}

static ssize_t read_text(int fd, char *text, size_t room)
{
  size_t used = 0;
  while (used < room) {
    ssize_t n = read(fd, text + used, room - used);
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    used += (size_t)n;
  }
  return (ssize_t)used;
}

/* The file's text, to be freed; NULL with *error 0 if there is none. */
static char *load(const struct gg_recorder *recorder, unsigned process, int *error)
{
  char name[GG__RUNNING_NAME_MAX];
  gg__process_running_name(name, process, "");
  int fd = openat(recorder->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  *error = fd < 0 && errno != ENOENT ? gg_error_from_errno(errno) : 0;
  if (fd < 0)
    return NULL;
  struct stat status;
  size_t room = fstat(fd, &status) == 0 && status.st_size < GG__RUNNING_BYTES_MAX ? (size_t)status.st_size : 0;
  char *text = malloc(room + 1);
  ssize_t used = text ? read_text(fd, text, room) : -1;
  *error = !text ? GG_ERR_NOMEM : used < 0 ? GG_ERR_IO : 0;
  close(fd);
  if (*error) {
    free(text);
    return NULL;
  }
  text[used] = '\0';
  return text;
}

/* Of an older version, or damaged: 0. */
static long pid_in(const char *text)
{
  const char *line = strstr(text, "\npid ");
  return line ? strtol(line + 5, NULL, 10) : 0;
}

long gg__running_pid(const struct gg_recorder *recorder, unsigned process)
{
  int error;
  char *text = load(recorder, process, &error);
  long pid = text ? pid_in(text) : 0;
  free(text);
  return pid;
}

int gg__running_read(struct gg__running *running, const struct gg_recorder *recorder, unsigned process, long pid)
{
  if (!running->entries)
    running->entries = calloc(GG__RUNNING_ENTRIES_MAX, sizeof running->entries[0]);
  if (!running->entries)
    return GG_ERR_NOMEM; /* the caller's fini frees */
  int error;
  char *text = load(recorder, process, &error);
  if (!text)
    return error;
  if (pid && pid_in(text) != pid) {
    free(text);
    return 0;
  }
  running->texts[process - 1] = text;
  for (char *line = text, *end; line; line = end) {
    end = strchr(line, '\n');
    if (!end)
      break; /* an unfinished line says nothing */
    *end++ = '\0';
    parse_line(running, recorder, process, line);
  }
  return 0;
}

bool gg__running_found(const struct gg__running *running)
{
  for (unsigned i = 0; i < GG_RECORDER_PROCESSES_MAX; i++)
    if (running->texts[i])
      return true;
  return false;
}

void gg__running_fini(struct gg__running *running)
{
  for (unsigned i = 0; i < GG_RECORDER_PROCESSES_MAX; i++)
    free(running->texts[i]);
  free(running->entries);
}
