/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preload_clock.c - for LD_PRELOAD: a wall clock that a test sets. $PRELOAD_CLOCK names a file of 8 bytes, a signed
 * number of nanoseconds that CLOCK_REALTIME is ahead of the kernel's; it is mapped once, so a test that writes to the
 * file steps the clock of every process that has it. All other clocks are the kernel's own.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL

static int (*real_gettime)(clockid_t, struct timespec *);
static const _Atomic int64_t *ahead_ns;

__attribute__((constructor)) static void begin(void)
{
  const char *path = getenv("PRELOAD_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *map = fd >= 0 ? mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (map == MAP_FAILED) {
    fprintf(stderr, "preload_clock: PRELOAD_CLOCK does not name a file that can be mapped\n");
    _exit(127);
  }
  close(fd);
  ahead_ns = map;
  *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t id, struct timespec *out)
{
  int status = real_gettime(id, out);
  if (status != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
    return status;
  int64_t now = (int64_t)out->tv_sec * NS_PER_S + out->tv_nsec + atomic_load(ahead_ns);
  out->tv_sec = (time_t)(now / NS_PER_S);
  out->tv_nsec = (long)(now % NS_PER_S);
  return 0;
}
