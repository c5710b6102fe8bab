/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preload_hang.c - for LD_PRELOAD: the first thread that comes to a call while a switch is on stays in it until the
 * switch is off again, as one that hangs in the kernel.
 *
 *   PRELOAD_HANG       a file, mapped when the program starts: its first byte is the switch
 *   PRELOAD_HANG_CALL  epoll_wait (after its time-out, or event) or recv
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned char *hang; /* NULL: never */
static _Atomic int hanging;
static const char *call;
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static ssize_t (*real_recv)(int, void *, size_t, int);

__attribute__((constructor)) static void prepare(void)
{
  real_epoll_wait = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
  real_recv = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
  const char *path = getenv("PRELOAD_HANG");
  call = getenv("PRELOAD_HANG_CALL");
  int fd = path && call ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  void *mapped = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  hang = mapped == MAP_FAILED ? NULL : mapped;
  close(fd);
}

static void stay(const char *name)
{
  const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
  int expected = 0;
  if (!hang || !*hang || strcmp(name, call) != 0 || !atomic_compare_exchange_strong(&hanging, &expected, 1))
    return;
  while (*hang)
    nanosleep(&moment, NULL);
  atomic_store(&hanging, 0);
}

int epoll_wait(int set, struct epoll_event *events, int most, int timeout_ms)
{
  int count = real_epoll_wait(set, events, most, timeout_ms);
  stay("epoll_wait");
  return count;
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
  stay("recv");
  return real_recv(fd, buffer, size, flags);
}
