/* SPDX-License-Identifier: Apache-2.0 */
/**
 * preload_probe.c - for LD_PRELOAD: what an attacker would try who runs inside the gateway. A client that sends
 * "TRY NAME" makes the worker that receives it do so; the outcome goes to a file as a line "NAME ERROR", 0 for success.
 *
 *   PRELOAD_PROBE       that file, opened when the program starts
 *   PRELOAD_PROBE_DIR   a directory that the configuration does not name; "victim" in it is read, written and removed
 *   PRELOAD_PROBE_STORE the gateway's own store
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static int report = -1;
static ssize_t (*real_recv)(int, void *, size_t, int);
static char victim[PATH_BYTES], newcomer[PATH_BYTES], stored[PATH_BYTES], link_name[PATH_BYTES], pipe_name[PATH_BYTES];

static long open_and_close(const char *path, int flags)
{
  int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd >= 0)
    close(fd);
  return fd;
}

static long read_passwd(void)
{
  return open_and_close("/etc/passwd", O_RDONLY);
}

static long read_victim(void)
{
  return open_and_close(victim, O_RDONLY);
}

static long write_victim(void)
{
  return open_and_close(victim, O_WRONLY | O_TRUNC);
}

static long make_newcomer(void)
{
  return open_and_close(newcomer, O_WRONLY | O_CREAT);
}

static long remove_victim(void)
{
  return unlink(victim);
}

static long list_root(void)
{
  return open_and_close("/", O_RDONLY | O_DIRECTORY);
}

static long write_store(void)
{
  return open_and_close(stored, O_WRONLY | O_CREAT);
}

static long link_into_store(void)
{
  return symlink("/etc/passwd", link_name);
}

static long execute(void)
{
  char *const arguments[] = {"true", NULL};
  return execv("/bin/true", arguments);
}

static long fork_off(void)
{
  pid_t child = fork();
  if (child == 0)
    _exit(0);
  return child < 0 ? -1 : waitpid(child, NULL, 0);
}

static long trace(void)
{
  return ptrace(PTRACE_DETACH, getpid(), NULL, NULL); /* ESRCH, for who may ask */
}

static long mount_nothing(void)
{
  return mount("none", "/nonexistent/place", "tmpfs", 0, NULL);
}

static long use_bpf(void)
{
  return syscall(SYS_bpf, 0, NULL, 0);
}

static long load_module(void)
{
  return syscall(SYS_init_module, NULL, 0, "");
}

static long unshare_namespace(void)
{
  return syscall(SYS_unshare, 0);
}

static long set_ring(void)
{
  return syscall(SYS_io_uring_setup, 1, NULL);
}

static long packet_socket(void)
{
  return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long raw_socket(void)
{
  return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1);
}

static long stream_socket(void)
{
  return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long netlink_socket(void)
{
  return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
}

static long sequenced_socket(void)
{
  return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static long virtual_machine_socket(void)
{
  return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long make_pipe(void)
{
  return mknod(pipe_name, S_IFIFO | 0600, 0);
}

static long process_memory(void)
{
  return open_and_close("/proc/self/mem", O_RDWR);
}

static long executable_memory(void)
{
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1
                                                                                                                : 0;
}

static long signal_parent(void)
{
  return kill(getppid(), 0);
}

static long become_root(void)
{
  return syscall(SYS_setuid, 0);
}

static long memory_file(void)
{
  return syscall(SYS_memfd_create, "probe", 0);
}

static const struct probe {
  const char *name;
  long (*run)(void);
} probes[] = {
  {"read_passwd", read_passwd},
  {"read_victim", read_victim},
  {"write_victim", write_victim},
  {"make_newcomer", make_newcomer},
  {"remove_victim", remove_victim},
  {"list_root", list_root},
  {"write_store", write_store},
  {"link_into_store", link_into_store},
  {"execute", execute},
  {"fork", fork_off},
  {"trace", trace},
  {"mount", mount_nothing},
  {"bpf", use_bpf},
  {"load_module", load_module},
  {"unshare", unshare_namespace},
  {"io_uring", set_ring},
  {"packet_socket", packet_socket},
  {"raw_socket", raw_socket},
  {"stream_socket", stream_socket},
  {"netlink_socket", netlink_socket},
  {"sequenced_socket", sequenced_socket},
  {"virtual_machine_socket", virtual_machine_socket},
  {"make_pipe", make_pipe},
  {"process_memory", process_memory},
  {"executable_memory", executable_memory},
  {"signal_parent", signal_parent},
  {"become_root", become_root},
  {"memory_file", memory_file},
};

__attribute__((constructor)) static void prepare(void)
{
  real_recv = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
  const char *path = getenv("PRELOAD_PROBE"), *dir = getenv("PRELOAD_PROBE_DIR"),
             *store = getenv("PRELOAD_PROBE_STORE");
  if (!path || !dir || !store)
    return;
  report = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  snprintf(victim, sizeof victim, "%s/victim", dir);
  snprintf(newcomer, sizeof newcomer, "%s/newcomer", dir);
  snprintf(pipe_name, sizeof pipe_name, "%s/pipe", dir);
  snprintf(stored, sizeof stored, "%s/probe", store);
  snprintf(link_name, sizeof link_name, "%s/link", store);
}

static void attempt(const char *name, size_t length)
{
  char line[128];
  for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
    if (strlen(probes[i].name) != length || memcmp(probes[i].name, name, length) != 0)
      continue;
    int error = probes[i].run() < 0 ? errno : 0;
    int bytes = snprintf(line, sizeof line, "%s %d\n", probes[i].name, error);
    ssize_t written = write(report, line, (size_t)bytes);
    (void)written;
  }
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
  ssize_t got = real_recv(fd, buffer, size, flags);
  int error = errno;
  if (report >= 0 && got > 4 && memcmp(buffer, "TRY ", 4) == 0)
    attempt((const char *)buffer + 4, (size_t)got - 4);
  errno = error;
  return got;
}
