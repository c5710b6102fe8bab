/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preload_hang.c - for LD_PRELOAD: the first thread that comes to a call while a switch is on stays in it until the
 * switch is off again, as one that hangs in the kernel.
 *
 *   PRELOAD_HANG       a file, mapped when the program starts: its first byte is the switch, its second one is 1 while
 *                      somebody hangs
 *   PRELOAD_HANG_CALL  epoll_wait (after its time-out, or event), recv, pwrite64, fdatasync or unlinkat
 *   PRELOAD_HANG_THREAD  only the thread of that name; default: any
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
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
static const char *call, *thread;
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static ssize_t (*real_recv)(int, void *, size_t, int);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static int (*real_fdatasync)(int);
static int (*real_unlinkat)(int, const char *, int);

__attribute__((constructor)) static void prepare(void)
{
  real_epoll_wait = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
  real_recv = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
  real_pwrite64 = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  real_unlinkat = (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
  const char *path = getenv("PRELOAD_HANG");
  call = getenv("PRELOAD_HANG_CALL");
  thread = getenv("PRELOAD_HANG_THREAD");
  int fd = path && call ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  void *mapped = mmap(NULL, 2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  hang = mapped == MAP_FAILED ? NULL : mapped;
  close(fd);
}

static int is_meant(void)
{
  char name[16];
  return !thread || (pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, thread) == 0);
}

static void stay(const char *name)
{
  const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
  int expected = 0;
  if (!hang || !*hang || strcmp(name, call) != 0 || !is_meant() ||
      !atomic_compare_exchange_strong(&hanging, &expected, 1))
    return;
  hang[1] = 1;
  while (*hang)
    nanosleep(&moment, NULL);
  hang[1] = 0;
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

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
  stay("pwrite64");
  return real_pwrite64(fd, buffer, size, offset);
}

int fdatasync(int fd)
{
  stay("fdatasync");
  return real_fdatasync(fd);
}

int unlinkat(int fd, const char *path, int flags)
{
  stay("unlinkat");
  return real_unlinkat(fd, path, flags);
}
