/* SPDX-License-Identifier: Apache-2.0 */
/* What the filter of system calls answers, by a small interpreter of classic BPF: as the kernel runs it. */
#include "engine/seccomp.h"

#include "admin/syscalls.h"
#include "engine/syscalls.h"
#include "gateway/syscalls.h"
#include "net/syscalls.h"
#include "record/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

enum { PROCESS = 4711, REFUSED = SECCOMP_RET_ERRNO | EPERM };

static struct sock_filter filter[GG_SECCOMP_INSTRUCTIONS_MAX];
static size_t filter_count;

static int make_filter(void **state)
{
  static const struct gg_syscalls *const lists[] = {&gg_gateway_syscalls, &gg_net_syscalls,   &gg_base_syscalls,
                                                    &gg_record_syscalls,  &gg_admin_syscalls, &gg__engine_syscalls};
  (void)state;
  filter_count = gg__seccomp_program(filter, lists, sizeof lists / sizeof lists[0], PROCESS);
  return 0;
}

/* Every jump goes forward, so it ends; one that leaves the program, or an instruction that is not known, fails. */
static uint32_t run(const struct seccomp_data *data)
{
  uint32_t a = 0;
  for (size_t at = 0; at < filter_count; at++) {
    const struct sock_filter *step = &filter[at];
    switch (step->code) {
    case BPF_LD | BPF_W | BPF_ABS:
      assert_true(step->k % 4 == 0 && step->k + 4 <= sizeof *data);
      memcpy(&a, (const char *)data + step->k, sizeof a);
      break;
    case BPF_ALU | BPF_AND | BPF_K:
      a &= step->k;
      break;
    case BPF_JMP | BPF_JEQ | BPF_K:
      at += a == step->k ? step->jt : step->jf;
      break;
    case BPF_JMP | BPF_JGE | BPF_K:
      at += a >= step->k ? step->jt : step->jf;
      break;
    case BPF_RET | BPF_K:
      return step->k;
    default:
      fail_msg("instruction %zu is unknown", at);
    }
  }
  fail_msg("the program has no end");
  return 0;
}

static uint32_t ask(int number, uint64_t first, uint64_t second, uint64_t third)
{
  const struct seccomp_data data = {.nr = number, .arch = MACHINE, .args = {first, second, third}};
  return run(&data);
}

static void the_data_path_is_permitted(void **state)
{
  (void)state;
  assert_int_equal(ask(SYS_recvfrom, 1, 2, 3), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_splice, 1, 2, 3), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_pwrite64, 1, 2, 3), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_exit_group, 0, 0, 0), SECCOMP_RET_ALLOW);
}

/* libc calls these of its own accord: some only when memory is short, threads end or a disk is asked in another way,
 * some only in older or newer versions than the one that is here. */
static void what_some_libc_calls_is_permitted(void **state)
{
  (void)state;
  static const int numbers[] = {
    SYS_brk,        SYS_munmap,       SYS_mremap,      SYS_madvise,    SYS_futex,      SYS_set_robust_list,
    SYS_rseq,       SYS_membarrier,   SYS_sched_yield, SYS_getrandom,  SYS_getcpu,     SYS_clock_gettime,
    SYS_nanosleep,  SYS_clone3,       SYS_fstat,       SYS_newfstatat, SYS_statx,      SYS_clock_nanosleep,
    SYS_faccessat,  SYS_faccessat2,   SYS_ppoll,       SYS_sendmmsg,   SYS_recvmsg,    SYS_restart_syscall,
    SYS_readlinkat, SYS_rt_sigaction, SYS_sigaltstack, SYS_uname,      SYS_gettid,     SYS_getpid,
    SYS_renameat,   SYS_renameat2,    SYS_unlinkat,    SYS_fchmodat,   SYS_getdents64, SYS_epoll_pwait,
    SYS_exit,       SYS_rt_sigreturn, SYS_writev,      SYS_readv,      SYS_getpeername};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    assert_int_equal(ask(numbers[i], 1, 2, 3), SECCOMP_RET_ALLOW);
#ifdef SYS_open
  static const int older[] = {SYS_open, SYS_stat,   SYS_lstat,  SYS_access, SYS_readlink,
                              SYS_poll, SYS_rename, SYS_unlink, SYS_chmod,  SYS_epoll_wait};
  for (size_t i = 0; i < sizeof older / sizeof older[0]; i++)
    assert_int_equal(ask(older[i], 1, 2, 3), SECCOMP_RET_ALLOW);
#endif
}

static void what_nobody_needs_is_refused(void **state)
{
  (void)state;
  static const int numbers[] = {SYS_setresuid, SYS_kill, SYS_io_uring_setup, SYS_memfd_create,
                                SYS_symlinkat, SYS_acct, SYS_socketpair,     SYS_shmget};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    assert_int_equal(ask(numbers[i], 0, 0, 0), REFUSED);
  assert_int_equal(ask(1 << 20, 0, 0, 0), REFUSED);
  assert_int_equal(ask(-1, 0, 0, 0), ask(-1, 1, 1, 1));
}

static void executing_and_tracing_are_deadly(void **state)
{
  (void)state;
  static const int numbers[] = {SYS_execve, SYS_execveat, SYS_ptrace, SYS_mount, SYS_bpf, SYS_finit_module, SYS_setns};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    assert_int_equal(ask(numbers[i], 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

static void another_machine_is_deadly(void **state)
{
  (void)state;
  const struct seccomp_data old = {.nr = SYS_recvfrom, .arch = AUDIT_ARCH_I386};
  assert_int_equal(run(&old), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
  assert_int_equal(ask(0x40000000 | SYS_recvfrom, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
#endif
}

static void arguments_decide(void **state)
{
  (void)state;
  assert_int_equal(ask(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC), REFUSED);
  assert_int_equal(ask(SYS_mprotect, 0, 4096, PROT_EXEC), REFUSED);
  assert_int_equal(ask(SYS_clone, CLONE_VM | CLONE_THREAD, 0, 0), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_clone, CLONE_VM | 17, 0, 0), REFUSED);
  assert_int_equal(ask(SYS_tgkill, PROCESS, 1, 6), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_tgkill, PROCESS + 1, 1, 6), REFUSED);
  assert_int_equal(ask(SYS_prctl, PR_SET_NAME, 0, 0), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_prctl, PR_SET_DUMPABLE, 0, 0), REFUSED);
  assert_int_equal(ask(SYS_ioctl, 1, FIONREAD, 0), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_ioctl, 1, TIOCSTI, 0), REFUSED);
  assert_int_equal(ask(SYS_prlimit64, 0, 7, 0), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_prlimit64, 0, 7, 0x1000), REFUSED);
  assert_int_equal(ask(SYS_prlimit64, 1, 7, 0), REFUSED);
}

static void sockets_are_of_these_kinds(void **state)
{
  (void)state;
  static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
  for (size_t i = 0; i < 3; i++)
    for (size_t j = 0; j < 2; j++)
      assert_int_equal(ask(SYS_socket, (uint64_t)families[i], (uint64_t)(types[j] | SOCK_CLOEXEC | SOCK_NONBLOCK), 0),
                       SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), SECCOMP_RET_ALLOW);
  assert_int_equal(ask(SYS_socket, AF_NETLINK, SOCK_RAW, 9), REFUSED); /* audit */
  assert_int_equal(ask(SYS_socket, AF_INET, SOCK_RAW, 1), REFUSED);
  assert_int_equal(ask(SYS_socket, AF_PACKET, SOCK_RAW, 0), REFUSED);
  assert_int_equal(ask(SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0), REFUSED);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_data_path_is_permitted),   cmocka_unit_test(what_some_libc_calls_is_permitted),
    cmocka_unit_test(what_nobody_needs_is_refused), cmocka_unit_test(executing_and_tracing_are_deadly),
    cmocka_unit_test(another_machine_is_deadly),    cmocka_unit_test(arguments_decide),
    cmocka_unit_test(sockets_are_of_these_kinds),
  };
  return cmocka_run_group_tests(tests, make_filter, NULL);
}
