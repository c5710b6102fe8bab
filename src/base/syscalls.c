/* SPDX-License-Identifier: Apache-2.0 */
#include "base/syscalls.h"

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct gg_syscall items[] = {
  /* clock.c; on most machines answered without the kernel */
  GG_SYSCALL(clock_gettime),
  GG_SYSCALL(clock_getres),
  GG_SYSCALL(gettimeofday),
  GG_SYSCALL(clock_nanosleep),
  GG_SYSCALL(nanosleep),
  /* logger.c: a line to standard error, after a look at whether it would wait; stdio */
  GG_SYSCALL(write),
  GG_SYSCALL(writev),
  GG_SYSCALL(ppoll),
  GG_SYSCALL(fcntl),
  GG_SYSCALL(lseek),
  /* yaml.c: configuration files, read again by a reload */
  GG_SYSCALL(openat),
  GG_SYSCALL(read),
  GG_SYSCALL(readv),
  GG_SYSCALL(close),
  GG_SYSCALL(newfstatat),
  GG_SYSCALL(fstat),
  GG_SYSCALL(statx),

  /* libc: memory. Nothing that is mapped can be executed: code that is injected stays data. */
  GG_SYSCALL(brk),
  GG_SYSCALL_IF(mmap, 2, PROT_EXEC, 0),
  GG_SYSCALL_IF(mprotect, 2, PROT_EXEC, 0),
  GG_SYSCALL(munmap),
  GG_SYSCALL(mremap),
  GG_SYSCALL(madvise),
  /* libc: threads. Only threads: a new process has no such flag. (clone3 is answered by ENOSYS, see seccomp.c.) */
  GG_SYSCALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),
  GG_SYSCALL(futex),
  GG_SYSCALL(set_robust_list),
  GG_SYSCALL(rseq),
  GG_SYSCALL(exit),
  GG_SYSCALL(exit_group),
  GG_SYSCALL(gettid),
  GG_SYSCALL(getpid),
  GG_SYSCALL(sched_yield),
  GG_SYSCALL(sched_getaffinity),
  GG_SYSCALL(getcpu),
  GG_SYSCALL(membarrier),
  GG_SYSCALL_IF(prctl, 0, GG_SYSCALL_EXACT, PR_SET_NAME),
  GG_SYSCALL_IF(prctl, 0, GG_SYSCALL_EXACT, PR_GET_NAME),
  /* libc: signals, and abort(3), which sends one to ourselves: the process is checked by seccomp.c */
  GG_SYSCALL(rt_sigaction),
  GG_SYSCALL(rt_sigprocmask),
  GG_SYSCALL(rt_sigreturn),
  GG_SYSCALL(sigaltstack),
  GG_SYSCALL(restart_syscall),
  /* libc: who and where we are */
  GG_SYSCALL(getuid),
  GG_SYSCALL(geteuid),
  GG_SYSCALL(getgid),
  GG_SYSCALL(getegid),
  GG_SYSCALL(uname),
  GG_SYSCALL(sysinfo),
  GG_SYSCALL(getrusage),
  GG_SYSCALL(getrandom),
  GG_SYSCALL_IF2(prlimit64, 0, GG_SYSCALL_EXACT, 0, 2, GG_SYSCALL_EXACT, 0), /* getrlimit(3): ours, nothing new */
#ifdef SYS_getrlimit
  GG_SYSCALL(getrlimit),
#endif

/* What libc calls by these names on the older machines. */
#ifdef SYS_open
  GG_SYSCALL(poll),
  GG_SYSCALL(open),
  GG_SYSCALL(stat),
  GG_SYSCALL(lstat),
  GG_SYSCALL(access),
  GG_SYSCALL(readlink),
  GG_SYSCALL(time),
#endif
  GG_SYSCALL(faccessat),
  GG_SYSCALL(faccessat2),
  GG_SYSCALL(readlinkat),
};

const struct gg_syscalls gg_base_syscalls = {items, sizeof items / sizeof items[0]};
