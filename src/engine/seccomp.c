/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/seccomp.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000u
#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MACHINE AUDIT_ARCH_AARCH64
#endif

static const int deadly[] = {
  SYS_execve,
  SYS_execveat,
  SYS_ptrace,
  SYS_process_vm_readv,
  SYS_process_vm_writev,
  SYS_init_module,
  SYS_finit_module,
  SYS_delete_module,
  SYS_kexec_load,
  SYS_bpf,
  SYS_perf_event_open,
  SYS_userfaultfd,
  SYS_mount,
  SYS_umount2,
  SYS_pivot_root,
  SYS_chroot,
  SYS_setns,
  SYS_unshare,
  SYS_keyctl,
  SYS_add_key,
  SYS_request_key,
  SYS_reboot,
  SYS_swapon,
  SYS_swapoff,
#ifdef SYS_fork
  SYS_fork,
  SYS_vfork,
  SYS_iopl,
  SYS_ioperm,
#endif
};

struct program {
  struct sock_filter *at;
  size_t count;
};

static void emit(struct program *program, struct sock_filter instruction)
{
  assert(program->count < GG_SECCOMP_INSTRUCTIONS_MAX);
  program->at[program->count++] = instruction;
}

static void load(struct program *program, size_t offset)
{
  emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* The next instruction is run if A is `value`; else `skip` are left out. */
static void unless(struct program *program, uint32_t value, unsigned skip)
{
  emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)skip));
}

static void give(struct program *program, uint32_t verdict)
{
  emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

/* The lower half of a 64-bit argument; both machines are little-endian. */
static size_t argument_offset(unsigned argument)
{
  return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t);
}

/* A holds the number before and, if there is no verdict, afterwards:
 *     number? ── [load, mask, equal?] for each condition ── verdict ── load number */
static void permit(struct program *program, const struct gg_syscall *call)
{
  unsigned conditions = 0;
  for (unsigned i = 0; i < GG_SYSCALL_CONDITIONS; i++)
    conditions += call->when[i].mask != 0;
  unsigned behind = conditions * 3 + 1;
  unless(program, (uint32_t)call->number, behind + (conditions > 0));
  for (unsigned i = 0; i < conditions; i++) {
    const struct gg_syscall_condition *when = &call->when[i];
    load(program, argument_offset(when->argument));
    emit(program, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, when->mask));
    unless(program, when->value, (conditions - i - 1) * 3 + 1);
  }
  give(program, SECCOMP_RET_ALLOW);
  if (conditions > 0)
    load(program, offsetof(struct seccomp_data, nr));
}

#ifdef MACHINE
static void check_machine(struct program *program)
{
  load(program, offsetof(struct seccomp_data, arch));
  emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0));
  give(program, SECCOMP_RET_KILL_PROCESS);
  load(program, offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
  emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
  give(program, SECCOMP_RET_KILL_PROCESS);
#endif
}
#else
static void check_machine(struct program *program)
{
  load(program, offsetof(struct seccomp_data, nr));
}
#endif

size_t gg__seccomp_program(struct sock_filter *out, const struct gg_syscalls *const *lists, size_t list_count,
                           uint32_t process)
{
  struct program program = {.at = out};
  const struct gg_syscall to_ourselves[] = {GG_SYSCALL_IF(tgkill, 0, GG_SYSCALL_EXACT, process)};
  check_machine(&program);
  for (size_t i = 0; i < list_count; i++)
    for (size_t j = 0; j < lists[i]->count; j++)
      permit(&program, &lists[i]->items[j]);
  permit(&program, to_ourselves);
  unless(&program, SYS_clone3, 1);
  give(&program, SECCOMP_RET_ALLOW);
  for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
    unless(&program, (uint32_t)deadly[i], 1);
    give(&program, SECCOMP_RET_KILL_PROCESS);
  }
  give(&program, SECCOMP_RET_ERRNO | EPERM);
  return program.count;
}

#ifdef MACHINE
/* A filter of its own, that is not logged: each new thread would be a line. Of two verdicts the stricter one counts. */
static size_t clone3_program(struct sock_filter *out)
{
  struct program program = {.at = out};
  load(&program, offsetof(struct seccomp_data, nr));
  unless(&program, SYS_clone3, 1);
  give(&program, SECCOMP_RET_ERRNO | ENOSYS);
  give(&program, SECCOMP_RET_ALLOW);
  return program.count;
}

/* For all threads, if the kernel can, and with a line in its log if that is wanted; else what it can. */
static int install(struct sock_filter *filter, size_t count, unsigned log)
{
  const unsigned ways[] = {SECCOMP_FILTER_FLAG_TSYNC | log, SECCOMP_FILTER_FLAG_TSYNC, 0};
  const struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, ways[i], &program) == 0)
      return 0;
  return errno;
}
#endif

int gg__seccomp_install(const struct gg_syscalls *const *lists, size_t list_count, struct gg_failure *failure)
{
#ifdef MACHINE
  struct sock_filter filter[GG_SECCOMP_INSTRUCTIONS_MAX];
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return gg_fail_errno(failure, errno, "no_new_privs");
  int error = install(filter, clone3_program(filter), 0);
  if (!error)
    error =
      install(filter, gg__seccomp_program(filter, lists, list_count, (uint32_t)getpid()), SECCOMP_FILTER_FLAG_LOG);
  return error ? gg_fail_errno(failure, error, "seccomp") : 0;
#else
  (void)lists;
  (void)list_count;
  return gg_fail(failure, GG_ERR_INVALID, "seccomp: its lists are for x86_64 and aarch64 only");
#endif
}
