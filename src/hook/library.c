/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.c - opening a shared library that is a plug-in.
 *
 * What dlopen says of a file that it cannot use is often puzzling (of one for another machine, that there is no such
 * file), so the file's head is looked at first.
 *
 * dlopen finds a library that is loaded already by the name that it was given then, before it looks at the file: after
 * a plug-in was replaced by another file, and while sessions still have the old one, it would give the old one again.
 * So each opening has a name of its own: the path, with the number of the opening written in slashes and dots, which
 * mean nothing to the kernel ("/usr/lib//././/mine.so"). A file that is loaded already is then found by its inode.
 * (Rejected: /proc/self/fd/N, which is not there in every container, and by which neither $ORIGIN nor a debugger finds
 * anything.)
 *
 * What is loaded is code of this process, so the file must be nobody's to change but root's and ours. It is opened
 * once, and stays open until it is loaded: what stands at its path then must still be what was judged.
 */
#include "hook/library.h"

#include "hook/options.h"

#include <assert.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPENING_BITS = 32 };

struct gg_library {
  int fd; /* until it is loaded; -1 */
  void *handle;
  struct gg_library_file file;
  struct gg_plugin table;
};

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#elif defined(__i386__)
#define MACHINE EM_386
#elif defined(__arm__)
#define MACHINE EM_ARM
#elif defined(__riscv)
#define MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define MACHINE EM_PPC64
#elif defined(__s390x__)
#define MACHINE EM_S390
#endif

/* ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg_library_file_equal(const struct gg_library_file *a, const struct gg_library_file *b)
{
  return gg_library_file_same_inode(a, b) && a->bytes == b->bytes && a->modified.tv_sec == b->modified.tv_sec &&
         a->modified.tv_nsec == b->modified.tv_nsec;
}

static int judge_head(const ElfW(Ehdr) * head, size_t length, const char *path, struct gg_failure *failure)
{
  const int class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
  const uint16_t one = 1;
  const int order = *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
  if (length < EI_NIDENT || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is not a shared library", path);
  if (head->e_ident[EI_CLASS] != class)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is built for another machine: it has %d bits, this program %d", path,
                   head->e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, (int)sizeof(void *) * 8);
  if (head->e_ident[EI_DATA] != order || length < sizeof *head)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is built for another machine, or damaged", path);
#ifdef MACHINE
  if (head->e_machine != MACHINE)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is built for another machine: number %u, this program for %u", path,
                   (unsigned)head->e_machine, (unsigned)MACHINE);
#endif
  if (head->e_type != ET_DYN)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is not a shared library: it was not linked with -shared", path);
  return 0;
}

/* What the head says is there, is: the loader maps it, and a page behind the end of the file is a process' death. */
static int judge_length(int fd, const ElfW(Ehdr) * head, off_t bytes, const char *path, struct gg_failure *failure)
{
  uint64_t length = (uint64_t)bytes;
  for (unsigned i = 0; i < head->e_phnum; i++) {
    ElfW(Phdr) part;
    off_t at = (off_t)(head->e_phoff + (uint64_t)i * sizeof part);
    bool whole = head->e_phentsize == sizeof part && pread(fd, &part, sizeof part, at) == sizeof part;
    if (!whole || (part.p_type == PT_LOAD && (part.p_offset > length || part.p_filesz > length - part.p_offset)))
      return gg_fail(failure, GG_ERR_FORMAT, "%.300s ends in the middle, or is damaged", path);
  }
  return 0;
}

/* Nobody else can change it. */
static int judge_owner(const struct stat *status, const char *path, struct gg_failure *failure)
{
  const char *who = status->st_mode & S_IWOTH ? "everybody" : status->st_mode & S_IWGRP ? "its group" : NULL;
  if (status->st_uid != 0 && status->st_uid != geteuid())
    return gg_fail(failure, GG_ERR_DENIED,
                   "%.300s belongs to user %u, and is code of this process once it is loaded: only root's and those of "
                   "user %u, who runs it, are",
                   path, (unsigned)status->st_uid, (unsigned)geteuid());
  if (who)
    return gg_fail(failure, GG_ERR_DENIED,
                   "%.300s can be written by %s (mode %03o), and is code of this process once it is loaded; chmod go-w",
                   path, who, (unsigned)status->st_mode & 0777u);
  return 0;
}

static int look(int fd, struct gg_library_file *out, const char *path, struct gg_failure *failure)
{
  struct stat status;
  ElfW(Ehdr) head;
  if (fstat(fd, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot read %.300s", path);
  if (!S_ISREG(status.st_mode))
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is not a file", path);
  *out = (struct gg_library_file){status.st_dev, status.st_ino, status.st_size, status.st_mtim};
  ssize_t length = pread(fd, &head, sizeof head, 0);
  if (length < 0)
    return gg_fail_errno(failure, errno, "cannot read %.300s", path);
  int error = judge_head(&head, (size_t)length, path, failure);
  if (!error)
    error = judge_length(fd, &head, status.st_size, path, failure);
  return error ? error : judge_owner(&status, path, failure);
}

static int open_file(int *fd, struct gg_library_file *out, const char *path, struct gg_failure *failure)
{
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is no library, and not to be waited for */
  return *fd < 0 ? gg_fail_errno(failure, errno, "cannot open %.300s", path) : look(*fd, out, path, failure);
}

int gg_library_look(struct gg_library_file *out, const char *path, struct gg_failure *failure)
{
  int fd;
  int error = open_file(&fd, out, path, failure);
  if (fd >= 0)
    close(fd);
  return error;
}

/* Whether what stands at the path is the file that was judged, which is still open: no other one can have its inode. */
static bool is_still_there(const struct gg_library *library, const char *path)
{
  struct stat now;
  if (stat(path, &now) != 0)
    return false;
  const struct gg_library_file file = {now.st_dev, now.st_ino, now.st_size, now.st_mtim};
  return gg_library_file_equal(&file, &library->file);
}

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A name of the same file that no opening had before; malloc'ed. */
static char *own_name(const char *path)
{
  static _Atomic uint32_t openings; /* of the process: its libraries are */
  uint32_t opening = atomic_fetch_add_explicit(&openings, 1, memory_order_relaxed);
  const char *slash = strrchr(path, '/');
  size_t head = slash ? (size_t)(slash - path) : 1;
  char *name = malloc(head + 2 * OPENING_BITS + 1 + strlen(path) + 1);
  if (!name)
    return NULL;
  char *end = mempcpy(name, slash ? path : ".", head);
  for (; opening > 0; opening >>= 1) {
    *end++ = '/';
    if (opening & 1)
      *end++ = '.';
  }
  *end++ = '/';
  memcpy(end, slash ? slash + 1 : path, strlen(slash ? slash + 1 : path) + 1);
  return name;
}

/* What dlerror says, without the name that nobody has given. */
static int tell_dlerror(const char *name, const char *path, struct gg_failure *failure)
{
  const char *text = dlerror();
  size_t length = strlen(name);
  if (!text)
    text = "no reason is given";
  if (strncmp(text, name, length) == 0 && strncmp(text + length, ": ", 2) == 0)
    text += length + 2;
  /* Code cannot be mapped any more, as when the sandbox has closed. */
  bool refused = strstr(text, "failed to map segment") || strstr(text, strerror(EPERM));
  return gg_fail(failure, refused ? GG_ERR_DENIED : GG_ERR_FORMAT, "%.200s cannot be loaded: %.280s", path, text);
}

/* The symbol's size is what the linker wrote down: nothing is read behind it. */
static int find_table(void *handle, const char *name, const char *path, const struct gg_plugin **out,
                      struct gg_failure *failure)
{
  Dl_info info;
  const ElfW(Sym) *symbol = NULL;
  dlerror();
  const void *table = dlsym(handle, GG_PLUGIN_SYMBOL);
  if (!table) {
    const char *text = dlerror();
    size_t length = strlen(name);
    if (text && strncmp(text, name, length) == 0 && strncmp(text + length, ": ", 2) == 0)
      text += length + 2;
    return gg_fail(failure, GG_ERR_FORMAT, "%.200s is no plug-in: %.280s", path, text ? text : "its table is NULL");
  }
  if (dladdr1(table, &info, (void **)&symbol, RTLD_DL_SYMENT) == 0 || !symbol)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is no plug-in: %s is not its own", path, GG_PLUGIN_SYMBOL);
  if ((symbol->st_info & 0xF) != STT_OBJECT)
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is no plug-in: %s is no table", path, GG_PLUGIN_SYMBOL);
  const struct gg_plugin *plugin = table;
  if (symbol->st_size < offsetof(struct gg_plugin, name))
    return gg_fail(failure, GG_ERR_FORMAT, "%.300s is no plug-in: %s has %zu bytes, too few for abi and size", path,
                   GG_PLUGIN_SYMBOL, (size_t)symbol->st_size);
  /* Of another ABI, size may mean something else. */
  if (plugin->abi == GG_PLUGIN_ABI && plugin->size > symbol->st_size)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: size is %u, but %s has %zu bytes", path, plugin->size,
                   GG_PLUGIN_SYMBOL, (size_t)symbol->st_size);
  *out = plugin;
  return 0;
}

int gg_library_load(struct gg_library *library, const char *path, struct gg_failure *failure)
{
  const struct gg_plugin *given = NULL;
  char *name = own_name(path);
  if (!name)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for %.300s", path);
  library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  int error = library->handle ? 0 : tell_dlerror(name, path, failure);
  if (!error && !is_still_there(library, path))
    error = gg_fail(failure, GG_ERR_BUSY, "%.300s was replaced while it was loaded", path);
  close(library->fd);
  library->fd = -1;
  if (!error)
    error = find_table(library->handle, name, path, &given, failure);
  free(name);
  return error ? error : gg_plugin_judge(&library->table, given, path, failure);
}

int gg_library_find(struct gg_library **out, const char *path, struct gg_failure *failure)
{
  struct gg_library *library = calloc(1, sizeof *library);
  *out = NULL;
  if (!library)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for %.300s", path);
  int error = open_file(&library->fd, &library->file, path, failure);
  if (error) {
    gg_library_close(library);
    return error;
  }
  *out = library;
  return 0;
}

int gg_library_open(struct gg_library **out, const char *path, struct gg_failure *failure)
{
  int error = gg_library_find(out, path, failure);
  if (!error)
    error = gg_library_load(*out, path, failure);
  if (error) {
    gg_library_close(*out);
    *out = NULL;
  }
  return error;
}

void gg_library_close(struct gg_library *library)
{
  if (!library)
    return;
  if (library->handle)
    dlclose(library->handle);
  if (library->fd >= 0)
    close(library->fd);
  free(library);
}

const struct gg_plugin *gg_library_table(const struct gg_library *library)
{
  return &library->table;
}

const struct gg_library_file *gg_library_file(const struct gg_library *library)
{
  return &library->file;
}
