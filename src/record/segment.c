/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - segment files: their names, their first blocks, making and appending to them.
 *
 * Names sort in the order in which segments begin, over all logs and runs of a store: everybody who lists the directory
 * goes by it. So a name has the time of the wall clock, but always one later than the newest name's: where
 * the clock was set back, names go on from there by a millisecond each until it has caught up. What the packets in the
 * segment say is the clock's time.
 */
#include "record/log_private.h"
#include "record/section.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { STAMP_YEAR_MAX = 9998 }; /* a later one may have no successor */

/* Milliseconds since 1970 of a name that begins with a stamp; 0 if it does not. */
static uint64_t stamp_of(const char *name)
{
  static const char shape[] = "00000000T000000.000Z-";
  for (unsigned i = 0; shape[i]; i++) {
    bool digit = name[i] >= '0' && name[i] <= '9';
    if (shape[i] == '0' ? !digit : name[i] != shape[i])
      return 0;
  }
  struct tm utc = {0};
  const char *end = strptime(name, "%Y%m%dT%H%M%S", &utc);
  if (!end || *end != '.' || utc.tm_year + 1900 > STAMP_YEAR_MAX)
    return 0;
  time_t seconds = timegm(&utc);
  return seconds < 0 ? 0 : (uint64_t)seconds * 1000u + strtoull(end + 1, NULL, 10);
}

/* The next name's time. */
static uint64_t next_stamp(struct gg_recorder *recorder, uint64_t now_ms)
{
  uint64_t newest = atomic_load(&recorder->newest_name_ms), next;
  do
    next = now_ms > newest ? now_ms : newest + 1;
  while (!atomic_compare_exchange_weak(&recorder->newest_name_ms, &newest, next));
  return next;
}

int gg__segment_newest(struct gg_recorder *recorder)
{
  int fd = openat(recorder->segments_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (!dir) {
    int error = errno;
    if (fd >= 0)
      close(fd);
    return error;
  }
  uint64_t newest = 0;
  errno = 0;
  for (struct dirent *entry; (entry = readdir(dir));) { /* bounded by the segments that there are */
    uint64_t stamp = stamp_of(entry->d_name);
    newest = stamp > newest ? stamp : newest;
  }
  int error = errno;
  closedir(dir);
  atomic_store(&recorder->newest_name_ms, newest);
  recorder->first_name_ms = next_stamp(recorder, gg_clock_real_ns() / GG_NS_PER_MS);
  return error;
}

void gg__segment_stamp(char text[GG__STAMP_TEXT], uint64_t ms)
{
  time_t seconds = (time_t)(ms / 1000u);
  struct tm utc;
  gmtime_r(&seconds, &utc);
  size_t length = strftime(text, GG__STAMP_TEXT, "%Y%m%dT%H%M%S", &utc);
  snprintf(text + length, GG__STAMP_TEXT - length, ".%03uZ", (unsigned)(ms % 1000u));
}

void gg__segment_name(char name[GG__SEGMENT_NAME_MAX], const struct gg_log *log, uint64_t real_ns, uint64_t number)
{
  char stamp[GG__STAMP_TEXT];
  gg__segment_stamp(stamp, next_stamp(log->recorder, real_ns / GG_NS_PER_MS));
  int n = snprintf(name, GG__SEGMENT_NAME_MAX, "%s-%s-%06" PRIu64 ".pcapng", stamp, log->name, number);
  assert(n > 0 && n < GG__SEGMENT_NAME_MAX);
}

bool gg__segment_name_valid(const char *name)
{
  size_t length = strnlen(name, GG__SEGMENT_NAME_MAX);
  const char suffix[] = ".pcapng";
  if (length < sizeof suffix || length >= GG__SEGMENT_NAME_MAX || name[0] == '.')
    return false;
  for (size_t i = 0; i < length; i++) {
    char c = name[i];
    bool good =
      (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
    if (!good)
      return false;
  }
  return strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

size_t gg__segment_head(const struct gg_log *log, uint8_t *at)
{
  struct utsname host;
  char os[160] = "Linux";
  if (uname(&host) == 0)
    snprintf(os, sizeof os, "%.64s %.64s", host.sysname, host.release);
  char comment[256];
  snprintf(comment, sizeof comment,
           "{\"gogetway\":{\"store\":\"%s\",\"log\":\"%s\",\"segment\":%" PRIu64 ",\"clock_offset_ns\":%" PRId64 "}}",
           log->recorder->uuid, log->name, log->segment_number, log->clock_offset_ns);
  size_t bytes = gg_section_header(at, "gogetway " GG_VERSION, os, comment);
  bytes += gg_section_interface(at + bytes, log->name);
  assert(bytes <= GG__SEGMENT_HEAD_MAX);
  return bytes;
}

int gg__segment_create(int dir_fd, const char *name, bool *direct)
{
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(dir_fd, name, flags, 0600);
  if (fd < 0)
    return -1;
  if (fchmod(fd, 0600) < 0) {
    int error = errno;
    close(fd);
    unlinkat(dir_fd, name, 0);
    errno = error;
    return -1;
  }
  /* Who removes what is old takes a file exclusively: this one is in use until it is closed, or its process died. */
  (void)flock(fd, LOCK_SH | LOCK_NB);
  /* Asked for only now: where open(2) refuses O_DIRECT, it may have made the file all the same. */
  int status = fcntl(fd, F_GETFL);
  *direct = status >= 0 && fcntl(fd, F_SETFL, status | O_DIRECT) == 0;
  return fd;
}

int gg__segment_write(int fd, bool *direct, const uint8_t *from, size_t bytes, uint64_t offset, size_t *done)
{
  *done = 0;
  while (*done < bytes) {
    ssize_t n = pwrite(fd, from + *done, bytes - *done, (off_t)(offset + *done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EINVAL && *direct) {
      int status = fcntl(fd, F_GETFL);
      if (status < 0 || fcntl(fd, F_SETFL, status & ~O_DIRECT) < 0)
        return errno;
      *direct = false;
      continue;
    }
    if (n < 0)
      return errno;
    if (n == 0)
      return EIO;
    *done += (size_t)n;
    if (*direct && *done < bytes)
      *done -= *done % GG__PAGE_BYTES; /* what follows has to be aligned again */
    if (*direct && *done < bytes && n < GG__PAGE_BYTES)
      return ENOSPC; /* no page went through: going on would try the same for ever */
  }
  return 0;
}
