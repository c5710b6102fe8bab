/* SPDX-License-Identifier: Apache-2.0 */
/**
 * failnth.c - for LD_PRELOAD: the Nth call of a chosen set fails, as if memory, descriptors or the disk had run out
 * just then. Whatever can fail can so be made to fail, one call after the other, in the program as it is shipped.
 *
 *   FAILNTH_CALLS    names of the set, "malloc,calloc", or kinds, "memory", "system" (default: none). write(2)
 *                    is of neither: it rings eventfds here, which cannot fail, and writes messages, which are lost
 *   FAILNTH_AT       which call fails, counted from 1 (default 0: none, only count)
 *   FAILNTH_TIMES    how many calls in a row fail, beginning there (default 1)
 *   FAILNTH_ERRNO    the number of the error; default: one that this very call is known for
 *   FAILNTH_NOT      a part of the name of a library whose own calls of malloc are left out
 *   FAILNTH_ARM      0: nothing is counted until the control block says so (default 1)
 *   FAILNTH_CONTROL  a file of 4096 bytes or more, mapped shared: the control block below. A test reads the count
 *                    there, and moves the fault from call to call while the program runs.
 *   FAILNTH_TRACE    a file that the stack of a failing call is appended to (addresses: addr2line -fie PROGRAM)
 *
 *    offset  control block, little-endian 64-bit words
 *       0    armed    1: count, and fail. Set it last
 *       8    at       as FAILNTH_AT
 *      16    times    as FAILNTH_TIMES
 *      24    errno    0: the call's own
 *      32    mask     bit i: call i of the names at offset 256 is of the set (128 bits)
 *      48    count    calls of the set while armed
 *      56    hits     calls that were made to fail
 *      64    last     index of the last of them
 *     256    names    of the calls, 32 bytes each, zero-terminated
 *
 * malloc and its like go to glibc's own names for them (__libc_malloc), because dlsym(3) itself allocates. What libc
 * allocates for its callers (strdup, asprintf, opendir, getaddrinfo) comes by here too; its system calls do not.
 */
#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Kind, name, error. The error is the likeliest one for which the caller cannot be blamed. */
#define CALLS(X)                                                                                                       \
  X(memory, malloc, ENOMEM)                                                                                            \
  X(memory, calloc, ENOMEM)                                                                                            \
  X(memory, realloc, ENOMEM)                                                                                           \
  X(memory, aligned_alloc, ENOMEM)                                                                                     \
  X(memory, posix_memalign, ENOMEM)                                                                                    \
  X(memory, mmap, ENOMEM)                                                                                              \
  X(system, open, EMFILE)                                                                                              \
  X(system, openat, EMFILE)                                                                                            \
  X(system, opendir, EMFILE)                                                                                           \
  X(system, fdopendir, ENOMEM)                                                                                         \
  X(system, readdir, EIO)                                                                                              \
  X(system, fdopen, ENOMEM)                                                                                            \
  X(system, close, EIO)                                                                                                \
  X(system, read, EIO)                                                                                                 \
  X(system, readv, ECONNRESET)                                                                                         \
  X(system, pread, EIO)                                                                                                \
  X(output, write, EIO)                                                                                                \
  X(system, pwrite, ENOSPC)                                                                                            \
  X(system, fstat, EIO)                                                                                                \
  X(system, stat, EACCES)                                                                                              \
  X(system, lstat, EACCES)                                                                                             \
  X(system, access, EACCES)                                                                                            \
  X(system, faccessat, EACCES)                                                                                         \
  X(system, mkdir, ENOSPC)                                                                                             \
  X(system, mkdirat, ENOSPC)                                                                                           \
  X(system, chmod, EPERM)                                                                                              \
  X(system, fchmod, EPERM)                                                                                             \
  X(system, fchmodat, EPERM)                                                                                           \
  X(system, linkat, ENOSPC)                                                                                            \
  X(system, rename, ENOSPC)                                                                                            \
  X(system, renameat, ENOSPC)                                                                                          \
  X(system, unlink, EACCES)                                                                                            \
  X(system, unlinkat, EACCES)                                                                                          \
  X(system, ftruncate, ENOSPC)                                                                                         \
  X(system, posix_fallocate, ENOSPC)                                                                                   \
  X(system, posix_fadvise, EINVAL)                                                                                     \
  X(system, fdatasync, EIO)                                                                                            \
  X(system, fsync, EIO)                                                                                                \
  X(system, fcntl, ENOLCK)                                                                                             \
  X(system, munmap, ENOMEM)                                                                                            \
  X(system, socket, EMFILE)                                                                                            \
  X(system, bind, EADDRINUSE)                                                                                          \
  X(system, listen, EADDRINUSE)                                                                                        \
  X(system, accept4, EMFILE)                                                                                           \
  X(system, connect, EAGAIN)                                                                                           \
  X(system, getsockname, ENOBUFS)                                                                                      \
  X(system, getsockopt, ENOBUFS)                                                                                       \
  X(system, setsockopt, ENOMEM)                                                                                        \
  X(system, recv, ENOMEM)                                                                                              \
  X(system, send, ENOBUFS)                                                                                             \
  X(system, sendmsg, ENOBUFS)                                                                                          \
  X(system, shutdown, ENOTCONN)                                                                                        \
  X(system, splice, ENOMEM)                                                                                            \
  X(system, tee, ENOMEM)                                                                                               \
  X(system, pipe2, EMFILE)                                                                                             \
  X(system, poll, EINTR)                                                                                               \
  X(system, epoll_create1, EMFILE)                                                                                     \
  X(system, epoll_ctl, ENOSPC)                                                                                         \
  X(system, epoll_wait, EINTR)                                                                                         \
  X(system, eventfd, EMFILE)                                                                                           \
  X(system, getifaddrs, ENOMEM)                                                                                        \
  X(system, getrandom, EINTR)                                                                                          \
  X(system, getrlimit, EPERM)                                                                                          \
  X(system, setrlimit, EPERM)                                                                                          \
  X(system, pthread_create, EAGAIN)

#define X_INDEX(kind, name, error) CALL_##name,
#define X_NAME(kind, name, error) #name,
#define X_KIND(kind, name, error) #kind,
#define X_ERROR(kind, name, error) error,
enum call { CALLS(X_INDEX) CALL_COUNT };
static const char *const names[] = {CALLS(X_NAME)};
static const char *const kinds[] = {CALLS(X_KIND)};
static const int errors[] = {CALLS(X_ERROR)};

enum { NAMES_OFFSET = 256, NAME_BYTES = 32, CONTROL_BYTES = 4096, STACK_MAX = 32 };
static_assert(CALL_COUNT <= 128 && NAMES_OFFSET + CALL_COUNT * NAME_BYTES <= CONTROL_BYTES, "the block holds them all");

struct control {
  _Atomic uint64_t armed, at, times, error, mask[2], count, hits, last;
};
static_assert(sizeof(struct control) <= NAMES_OFFSET, "the names come behind it");

static union {
  struct control control;
  char bytes[CONTROL_BYTES];
} own;
static struct control *control = &own.control;
static const char *trace_path;
static uintptr_t left_out_from, left_out_to; /* code of FAILNTH_NOT */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

/* The next one of that name, libc's. Resolved at the first call: others' constructors may run before ours. */
#define REAL(name)                                                                                                     \
  ({                                                                                                                   \
    static __typeof__(name) *real_;                                                                                    \
    if (!real_)                                                                                                        \
      *(void **)&real_ = dlsym(RTLD_NEXT, #name);                                                                      \
    real_;                                                                                                             \
  })

static void append_trace(enum call call)
{
  void *stack[STACK_MAX];
  int fd = REAL(open)(trace_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return;
  dprintf(fd, "%s\n", names[call]);
  backtrace_symbols_fd(stack, backtrace(stack, STACK_MAX), fd);
  REAL(close)(fd);
}

/* 0, or the error that this call has to fail with. */
static int fault(enum call call)
{
  if (!atomic_load(&control->armed) || !(atomic_load(&control->mask[call / 64]) >> call % 64 & 1))
    return 0;
  uint64_t number = atomic_fetch_add(&control->count, 1) + 1, at = atomic_load(&control->at);
  if (at == 0 || number < at || number - at >= atomic_load(&control->times))
    return 0;
  atomic_store(&control->last, call);
  atomic_fetch_add(&control->hits, 1);
  if (trace_path)
    append_trace(call);
  int error = (int)atomic_load(&control->error);
  return error ? error : errors[call];
}

static bool fails(enum call call)
{
  int saved_errno = errno, error = fault(call);
  errno = error ? error : saved_errno;
  return error != 0;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
  const char *text = getenv(variable);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void select_calls(const char *set)
{
  for (unsigned i = 0; i < CALL_COUNT; i++)
    for (const char *word = set; word && *word; word = strchr(word, ',') ? strchr(word, ',') + 1 : "") {
      size_t length = strcspn(word, ",");
      if ((strlen(names[i]) == length && memcmp(word, names[i], length) == 0) ||
          (strlen(kinds[i]) == length && memcmp(word, kinds[i], length) == 0))
        atomic_fetch_or(&control->mask[i / 64], (uint64_t)1 << i % 64);
    }
}

static int find_left_out(struct dl_phdr_info *info, size_t size, void *part)
{
  (void)size;
  if (!strstr(info->dlpi_name, part))
    return 0;
  for (unsigned i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
      left_out_from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
      left_out_to = left_out_from + info->dlpi_phdr[i].p_memsz;
    }
  return 1;
}

__attribute__((constructor)) static void begin(void)
{
  const char *path = getenv("FAILNTH_CONTROL");
  void *stack[1];
  trace_path = getenv("FAILNTH_TRACE");
  if (getenv("FAILNTH_NOT"))
    dl_iterate_phdr(find_left_out, getenv("FAILNTH_NOT"));
  if (trace_path)
    (void)backtrace(stack, 1); /* loads its library now, which allocates */
  char *at = own.bytes;
  int fd = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd >= 0) {
    void *mapped = REAL(mmap)(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REAL(close)(fd);
    if (mapped != MAP_FAILED)
      at = mapped;
  }
  if (path && at == own.bytes) {
    fprintf(stderr, "failnth: cannot map %s\n", path);
    abort();
  }
  for (unsigned i = 0; i < CALL_COUNT; i++)
    snprintf(at + NAMES_OFFSET + i * NAME_BYTES, NAME_BYTES, "%s", names[i]);
  control = (struct control *)(void *)at;
  atomic_store(&control->at, number_of("FAILNTH_AT", 0));
  atomic_store(&control->times, number_of("FAILNTH_TIMES", 1));
  atomic_store(&control->error, number_of("FAILNTH_ERRNO", 0));
  select_calls(getenv("FAILNTH_CALLS"));
  atomic_store(&control->armed, number_of("FAILNTH_ARM", 1));
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void *malloc(size_t bytes)
{
  uintptr_t caller = (uintptr_t)__builtin_return_address(0);
  bool left_out = caller >= left_out_from && caller < left_out_to;
  return !left_out && fails(CALL_malloc) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
  return fails(CALL_calloc) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
  return fails(CALL_realloc) ? NULL : __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
  return fails(CALL_aligned_alloc) ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
  int error = fault(CALL_posix_memalign);
  if (error)
    return error;
  void *memory = __libc_memalign(alignment, bytes);
  if (memory)
    *out = memory;
  return memory ? 0 : ENOMEM;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
  return fails(CALL_mmap) ? MAP_FAILED : REAL(mmap)(address, bytes, protection, flags, fd, offset);
}

/* ── Calls that return -1 or NULL, with the same arguments ───────────────────────────────────────────────────────── */

#define WRAP(type, bad, name, parameters, arguments)                                                                   \
  type name parameters                                                                                                 \
  {                                                                                                                    \
    return fails(CALL_##name) ? (bad) : REAL(name) arguments;                                                          \
  }

WRAP(DIR *, NULL, opendir, (const char *path), (path))
WRAP(DIR *, NULL, fdopendir, (int fd), (fd))
WRAP(struct dirent *, NULL, readdir, (DIR * dir), (dir))
WRAP(FILE *, NULL, fdopen, (int fd, const char *mode), (fd, mode))
WRAP(ssize_t, -1, read, (int fd, void *to, size_t bytes), (fd, to, bytes))
WRAP(ssize_t, -1, readv, (int fd, const struct iovec *to, int count), (fd, to, count))
WRAP(ssize_t, -1, pread, (int fd, void *to, size_t bytes, off_t offset), (fd, to, bytes, offset))
WRAP(ssize_t, -1, write, (int fd, const void *from, size_t bytes), (fd, from, bytes))
WRAP(ssize_t, -1, pwrite, (int fd, const void *from, size_t bytes, off_t offset), (fd, from, bytes, offset))
WRAP(int, -1, fstat, (int fd, struct stat *out), (fd, out))
WRAP(int, -1, stat, (const char *path, struct stat *out), (path, out))
WRAP(int, -1, lstat, (const char *path, struct stat *out), (path, out))
WRAP(int, -1, access, (const char *path, int mode), (path, mode))
WRAP(int, -1, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
WRAP(int, -1, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, -1, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags))
WRAP(int, -1, linkat, (int dir, const char *path, int to, const char *new, int flags), (dir, path, to, new, flags))
WRAP(int, -1, rename, (const char *old, const char *new), (old, new))
WRAP(int, -1, renameat, (int dir, const char *old, int to, const char *new), (dir, old, to, new))
WRAP(int, -1, unlink, (const char *path), (path))
WRAP(int, -1, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(int, -1, ftruncate, (int fd, off_t bytes), (fd, bytes))
WRAP(int, -1, fdatasync, (int fd), (fd))
WRAP(int, -1, fsync, (int fd), (fd))
WRAP(int, -1, munmap, (void *address, size_t bytes), (address, bytes))
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, -1, bind, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
WRAP(int, -1, listen, (int fd, int backlog), (fd, backlog))
WRAP(int, -1, accept4, (int fd, struct sockaddr *peer, socklen_t *length, int flags), (fd, peer, length, flags))
WRAP(int, -1, connect, (int fd, const struct sockaddr *peer, socklen_t length), (fd, peer, length))
WRAP(int, -1, getsockname, (int fd, struct sockaddr *out, socklen_t *length), (fd, out, length))
WRAP(int, -1, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),
     (fd, level, name, value, length))
WRAP(int, -1, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
     (fd, level, name, value, length))
WRAP(ssize_t, -1, recv, (int fd, void *to, size_t bytes, int flags), (fd, to, bytes, flags))
WRAP(ssize_t, -1, send, (int fd, const void *from, size_t bytes, int flags), (fd, from, bytes, flags))
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(int, -1, shutdown, (int fd, int how), (fd, how))
WRAP(ssize_t, -1, splice, (int in, off64_t *from, int out, off64_t *to, size_t bytes, unsigned flags),
     (in, from, out, to, bytes, flags))
WRAP(ssize_t, -1, tee, (int in, int out, size_t bytes, unsigned flags), (in, out, bytes, flags))
WRAP(int, -1, pipe2, (int ends[2], int flags), (ends, flags))
WRAP(int, -1, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(int, -1, epoll_create1, (int flags), (flags))
WRAP(int, -1, epoll_ctl, (int set, int what, int fd, struct epoll_event *event), (set, what, fd, event))
WRAP(int, -1, epoll_wait, (int set, struct epoll_event *out, int count, int timeout), (set, out, count, timeout))
WRAP(int, -1, eventfd, (unsigned initial, int flags), (initial, flags))
WRAP(int, -1, getifaddrs, (struct ifaddrs * *out), (out))
WRAP(ssize_t, -1, getrandom, (void *to, size_t bytes, unsigned flags), (to, bytes, flags))
WRAP(int, -1, getrlimit, (__rlimit_resource_t resource, struct rlimit *out), (resource, out))
WRAP(int, -1, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit))

/* ── Calls with a shape of their own ─────────────────────────────────────────────────────────────────────────────── */

/* A descriptor is gone even when close(2) tells of an error. */
int close(int fd)
{
  int result = REAL(close)(fd);
  return fails(CALL_close) ? -1 : result;
}

int open(const char *path, int flags, ...)
{
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails(CALL_open) ? -1 : REAL(open)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return fails(CALL_openat) ? -1 : REAL(openat)(dir, path, flags, mode);
}

int fcntl(int fd, int what, ...)
{
  va_list rest;
  va_start(rest, what);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return fails(CALL_fcntl) ? -1 : REAL(fcntl)(fd, what, argument);
}

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
  int error = fault(CALL_posix_fallocate);
  return error ? error : REAL(posix_fallocate)(fd, offset, bytes);
}

int posix_fadvise(int fd, off_t offset, off_t bytes, int advice)
{
  int error = fault(CALL_posix_fadvise);
  return error ? error : REAL(posix_fadvise)(fd, offset, bytes, advice);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
  int error = fault(CALL_pthread_create);
  return error ? error : REAL(pthread_create)(out, attributes, start, argument);
}
