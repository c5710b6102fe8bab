/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include "admin/syscalls.h"
#include "engine/landlock.h"
#include "engine/seccomp.h"
#include "engine/syscalls.h"
#include "gateway/syscalls.h"
#include "hook/syscalls.h"
#include "net/resolver_files.h"
#include "net/syscalls.h"
#include "record/syscalls.h"
#include "store/syscalls.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  RULES_MAX = 384, /* 64 listeners, 64 configuration files, 64 processes, 16 plug-ins, and what is below */
  LINE_MAX_BYTES = 1024,
};

/* Sanitizers and coverage write reports, start programs and read /proc as they like: not to be told in a list. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(GG_COVERAGE)
#define INSTRUMENTED 1
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif

static const struct gg_syscalls *const all_calls[] = {
  &gg_gateway_syscalls, &gg_net_syscalls,   &gg_base_syscalls, /* the data path's first */
  &gg_record_syscalls,  &gg_store_syscalls, &gg_admin_syscalls,
  &gg__engine_syscalls, &gg_hook_syscalls, /* the last one, see below */
};
enum { CALL_LISTS = sizeof all_calls / sizeof all_calls[0] };

struct rules {
  struct gg_landlock_rule items[RULES_MAX];
  char *paths[RULES_MAX]; /* owned */
  size_t count;
  bool failed; /* no memory, or no room */
};

static void add(struct rules *rules, const char *path, enum gg_landlock_right right)
{
  for (size_t i = 0; i < rules->count; i++)
    if (rules->items[i].right == right && strcmp(rules->paths[i], path) == 0)
      return;
  char *copy = rules->count < RULES_MAX ? strdup(path) : NULL;
  if (!copy) {
    rules->failed = true;
    return;
  }
  rules->paths[rules->count] = copy;
  rules->items[rules->count++] = (struct gg_landlock_rule){copy, right};
}

static void add_directory_of(struct rules *rules, const char *path, enum gg_landlock_right right)
{
  char *copy = path ? strdup(path) : NULL;
  if (copy)
    add(rules, dirname(copy), right);
  else if (path)
    rules->failed = true;
  free(copy);
}

/* A link leads to a file that may be replaced beside it, as systemd-resolved does in /run. */
static void add_resolver_file(struct rules *rules, const char *path)
{
  char real[PATH_MAX];
  add(rules, path, GG_LANDLOCK_READ);
  if (realpath(path, real) && strncmp(real, "/run/", 5) == 0)
    add_directory_of(rules, real, GG_LANDLOCK_READ);
}

static void add_resolver(struct rules *rules)
{
  static const char *const others[] = {"/etc/services", "/etc/networks", "/etc/localtime", "/etc/ld.so.cache"};
  for (size_t i = 0; i < GG_RESOLVER_FILES; i++)
    add_resolver_file(rules, gg_resolver_files[i]);
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    add_resolver_file(rules, others[i]);
}

/* What libraries look at when they need it first: malloc how many processors there are, when threads want arenas, and
 * how memory is given, when it shrinks one; SQLite for its random numbers. All of them do without. */
static void add_libraries(struct rules *rules)
{
  static const char *const files[] = {"/sys/devices/system/cpu/online", "/proc/stat", "/proc/sys/vm/overcommit_memory",
                                      "/dev/urandom"};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    add(rules, files[i], GG_LANDLOCK_READ);
}

/* Where it is, and where the file is that it is a link to: that one may be replaced, too. */
static void add_file_to_read(struct rules *rules, const char *path)
{
  char real[PATH_MAX];
  add_directory_of(rules, path, GG_LANDLOCK_READ);
  if (realpath(path, real))
    add_directory_of(rules, real, GG_LANDLOCK_READ);
}

static void add_ring_dir(void *context, const char *dir)
{
  add(context, dir, GG_LANDLOCK_WRITE);
}

static void add_plugins_dir(struct rules *rules, const char *store)
{
  char *path = NULL;
  if (asprintf(&path, "%s/plugins", store) < 0) {
    rules->failed = true;
    return;
  }
  add(rules, path, GG_LANDLOCK_TREE); /* passed over, if there are no plug-ins */
  free(path);
}

static void collect(struct rules *rules, const struct gg_config *config, const struct gg_recorder *recorder)
{
  add(rules, config->dir, GG_LANDLOCK_WRITE);
  add(rules, config->dir, GG_LANDLOCK_SOCKETS);
  add(rules, config->log.dir, GG_LANDLOCK_WRITE);
  /* What processes that drain may leave is written by this one. What cannot be read now is the next start's. */
  if (gg_recorder_ring_dirs(recorder, add_ring_dir, rules) == GG_ERR_NOMEM)
    rules->failed = true;
  add_directory_of(rules, config->stats.file, GG_LANDLOCK_WRITE);
  add_directory_of(rules, config->stats.metrics_file, GG_LANDLOCK_WRITE);
  for (size_t i = 0; i < config->listener_count; i++) {
    const struct gg_endpoint *listen = &config->listeners[i].listen_endpoint;
    if (listen->family == GG_FAMILY_UNIX && listen->path[0] != '@')
      add_directory_of(rules, listen->path, GG_LANDLOCK_SOCKETS);
  }
  for (size_t i = 0; i < config->files.count; i++)
    add_file_to_read(rules, config->files.items[i]);
  for (size_t i = 0; i < config->plugin_count; i++)
    if (config->plugins[i].lua)
      add_file_to_read(rules, config->plugins[i].lua);
  for (size_t i = 0; i < config->plugin_count; i++)
    add_file_to_read(rules, config->plugins[i].object);
  add_plugins_dir(rules, config->dir);
  add_resolver(rules);
  add_libraries(rules);
}

/* getaddrinfo(3) loads a library for each source of hosts but files and dns when it first comes to it: too late then,
 * nothing can be executed any more. Those that are loaded already are found by their name. */
static void load_resolver_libraries(void)
{
  char line[LINE_MAX_BYTES], library[LINE_MAX_BYTES + 32];
  FILE *file = fopen("/etc/nsswitch.conf", "re");
  while (file && fgets(line, sizeof line, file)) {
    char *rest = NULL, *word = strtok_r(line, " \t\n", &rest);
    if (!word || strcmp(word, "hosts:") != 0)
      continue;
    while ((word = strtok_r(NULL, " \t\n", &rest)) && word[0] != '#') {
      if (word[0] == '[' || strchr(word, '/'))
        continue;
      snprintf(library, sizeof library, "libnss_%s.so.2", word);
      dlopen(library, RTLD_NOW | RTLD_GLOBAL); /* stays; NULL: libc has it inside, or it is not installed */
    }
  }
  if (file)
    fclose(file);
}

static void tell(struct gg_logger *logger, int version, const struct gg_failure *files, int calls_error,
                 const struct gg_failure *calls)
{
  if (version < 0 || calls_error) {
    char missing[sizeof files->message + sizeof calls->message + 8];
    snprintf(missing, sizeof missing, "%s%s%s", version < 0 ? files->message : "",
             version < 0 && calls_error ? "; " : "", calls_error ? calls->message : "");
    gg_warn(logger, "sandbox incomplete", GG_S("missing", missing),
            GG_S("effect", "what is missing is not refused to whoever takes this process over"));
  }
  gg_info(logger, "sandbox", GG_B("files", version > 0), GG_I("landlock", version > 0 ? version : 0),
          GG_B("calls", !calls_error), GG_S("refused", "files that the configuration did not name at start, programs"));
}

int gg__sandbox_enter(const struct gg_config *config, bool plugins, const struct gg_recorder *recorder,
                      struct gg_logger *logger, bool *files_refused, struct gg_failure *failure)
{
  *files_refused = false;
  struct gg_failure files = GG_FAILURE_INIT, calls = GG_FAILURE_INIT;
  if (INSTRUMENTED) {
    gg_info(logger, "sandbox left open", GG_S("why", "this build is instrumented, which needs calls of its own"));
    return 0;
  }
  struct rules *rules = calloc(1, sizeof *rules);
  if (rules)
    collect(rules, config, recorder);
  int error = !rules || rules->failed ? gg_fail(failure, GG_ERR_NOMEM, "out of memory for the sandbox") : 0;
  if (!error) {
    load_resolver_libraries();
    int version = gg__landlock_restrict(rules->items, rules->count, &files);
    int calls_error = gg__seccomp_install(all_calls, plugins ? CALL_LISTS : CALL_LISTS - 1, &calls);
    *files_refused = version > 0;
    tell(logger, version, &files, calls_error, &calls);
  }
  for (size_t i = 0; rules && i < rules->count; i++)
    free(rules->paths[i]);
  free(rules);
  return error;
}
