/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin.c - Lua 5.4 scripts as a plug-in: its options, its table, and what a script is called with.
 *
 *     plugins:
 *       - lua: mine.lua       # short for: path: <plugin_dir>/lua.so, config: {script: mine.lua}
 *
 * README.md beside this file is the manual for who writes scripts; vm.h says how a state is kept within its limits,
 * session.h what a session is to a script.
 */
#include "session.h"
#include "verdict.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_NS UINT64_C(100000000) /* how exactly a script's tick_interval is kept */

enum { OPTION_SCRIPT, OPTION_MEMORY_MAX, OPTION_INSTRUCTIONS_MAX, OPTION_ON_ERROR, OPTION_LIBRARIES, OPTIONS };
static const char *const on_error_texts[] = {"pass", "close", NULL};
static const struct gg_plugin_option options[OPTIONS] = {
  [OPTION_SCRIPT] =
    {.name = "script", .type = GG_PLUGIN_TEXT, .least = 1, .required = true, .help = "the file with the script"},
  [OPTION_MEMORY_MAX] = {.name = "memory_max",
                         .type = GG_PLUGIN_BYTES,
                         .least = 128 * 1024,
                         .most = UINT64_C(1) << 36,
                         .preset = "16MiB",
                         .help = "what the state of one worker may take"},
  [OPTION_INSTRUCTIONS_MAX] = {.name = "instructions_max",
                               .type = GG_PLUGIN_COUNT,
                               .least = 1,
                               .most = UINT64_C(1) << 40,
                               .preset = "10000000",
                               .help = "instructions of Lua's machine that one call may take"},
  [OPTION_ON_ERROR] = {.name = "on_error",
                       .type = GG_PLUGIN_CHOICE,
                       .choices = on_error_texts,
                       .preset = "pass",
                       .help = "what becomes of a session whose function has failed"},
  [OPTION_LIBRARIES] = {.name = "libraries",
                        .type = GG_PLUGIN_TEXTS,
                        .most = GG_LUA_LIBRARIES,
                        .help = "of io, os, package and debug, those that the script has"},
};

/* ── An instance ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int permit(struct gg_lua *lua, const struct gg_plugin_value *value, struct gg_failure *failure)
{
  for (size_t i = 0; i < value->text_count; i++) {
    unsigned library = 0;
    while (library < GG_LUA_LIBRARIES && strcmp(gg__lua_library_texts[library], value->texts[i]) != 0)
      library++;
    if (library == GG_LUA_LIBRARIES)
      return gg_plugin_fail(failure, GG_ERR_INVALID, "libraries: '%.60s' is none of io, os, package and debug",
                            value->texts[i]);
    lua->libraries[library] = true;
  }
  return 0;
}

/* A script does what the process may do, so nobody but root and who runs it can change its text. */
static int judge_owner(const struct gg_lua *lua, struct gg_failure *failure)
{
  if (lua->file.st_uid != 0 && lua->file.st_uid != geteuid())
    return gg_plugin_fail(failure, GG_ERR_DENIED,
                          "%.300s belongs to user %u: only root's scripts and those of user %u, who runs this, are run",
                          lua->path, (unsigned)lua->file.st_uid, (unsigned)geteuid());
  if (lua->file.st_mode & (S_IWGRP | S_IWOTH))
    return gg_plugin_fail(failure, GG_ERR_DENIED, "%.300s can be written by %s (mode %03o); chmod go-w", lua->path,
                          lua->file.st_mode & S_IWOTH ? "everybody" : "its group", (unsigned)lua->file.st_mode & 0777u);
  return 0;
}

static int read_source(struct gg_lua *lua, int fd, struct gg_failure *failure)
{
  if (fstat(fd, &lua->file) != 0)
    return gg_plugin_fail(failure, GG_ERR_IO, "%.300s: %s", lua->path, strerror(errno));
  if (!S_ISREG(lua->file.st_mode) || lua->file.st_size > GG_LUA_SCRIPT_MAX)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "%.300s: it is not a file of at most %d bytes", lua->path,
                          GG_LUA_SCRIPT_MAX);
  int error = judge_owner(lua, failure);
  if (error)
    return error;
  size_t size = (size_t)lua->file.st_size;
  lua->source = malloc(size + 1);
  if (!lua->source)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory for %.300s", lua->path);
  ssize_t got = 0;
  while (lua->source_length < size && (got = read(fd, lua->source + lua->source_length, size - lua->source_length)) > 0)
    lua->source_length += (size_t)got;
  if (got < 0)
    return gg_plugin_fail(failure, GG_ERR_IO, "%.300s: %s", lua->path, strerror(errno));
  if (lua->source_length > 1 && lua->source[0] == '#') /* "#!/usr/bin/lua": a comment, with its line */
    memcpy(lua->source, "--", 2);
  return 0;
}

static int read_script(struct gg_lua *lua, struct gg_failure *failure)
{
  int fd = open(lua->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return gg_plugin_fail(failure, errno == ENOENT ? GG_ERR_NOT_FOUND : GG_ERR_IO, "%.300s: %s", lua->path,
                          strerror(errno));
  int error = read_source(lua, fd, failure);
  close(fd);
  return error;
}

static void on_destroy(void *self)
{
  struct gg_lua *lua = self;
  for (unsigned i = 0; i < lua->vm_count; i++)
    gg__lua_vm_destroy(lua->vms[i]);
  pthread_key_delete(lua->key);
  pthread_mutex_destroy(&lua->lock);
  free(lua->source);
  free(lua);
}

static int fill(struct gg_lua *lua, const struct gg_plugin_config *config, struct gg_failure *failure)
{
  char text[GG_LUA_ERROR_MAX];
  const struct gg_plugin_value *values = config->values;
  lua->path = values[OPTION_SCRIPT].text;
  lua->memory_max = (size_t)values[OPTION_MEMORY_MAX].number;
  lua->instructions_max = (int64_t)values[OPTION_INSTRUCTIONS_MAX].number;
  lua->closes = values[OPTION_ON_ERROR].number == 1;
  int error = permit(lua, &values[OPTION_LIBRARIES], failure);
  if (!error)
    error = read_script(lua, failure);
  if (error)
    return error;
  struct gg_lua_vm *vm = gg__lua_vm_create(lua, text);
  if (!vm)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "%s", text);
  for (unsigned i = 0; i < GG_LUA_SCRIPT; i++)
    lua->has[i] = vm->functions[i] != LUA_NOREF;
  lua->vms[lua->vm_count++] = vm;
  lua->spare = vm;
  return 0;
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct gg_lua *lua = calloc(1, sizeof *lua);
  if (!lua)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory for Lua");
  lua->host = host;
  if (pthread_key_create(&lua->key, NULL) != 0) {
    free(lua);
    return gg_plugin_fail(failure, GG_ERR_LIMIT, "no key for a state of each thread is left");
  }
  pthread_mutex_init(&lua->lock, NULL);
  int error = fill(lua, config, failure);
  if (error) {
    on_destroy(lua);
    return error;
  }
  *self = lua;
  return 0;
}

/* The script is another than the one that was read, or cannot be found. */
static bool on_stale(void *self)
{
  const struct gg_lua *lua = self;
  struct stat now;
  return stat(lua->path, &now) != 0 || now.st_dev != lua->file.st_dev || now.st_ino != lua->file.st_ino ||
         now.st_size != lua->file.st_size || now.st_mtim.tv_sec != lua->file.st_mtim.tv_sec ||
         now.st_mtim.tv_nsec != lua->file.st_mtim.tv_nsec;
}

/* ── Calling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Calls a function of the script's for a session. False: it has failed. A function that is not there has not. */
static bool call(struct gg_lua *lua, struct gg_live *live, struct gg_lua_call *what)
{
  if (!lua->has[what->function])
    return true;
  struct gg_lua_session *known = live ? lua->host->state(lua->host, live) : NULL;
  struct gg_lua_vm *vm = known ? known->vm : gg__lua_vm_here(lua);
  if (!vm)
    return false;
  if (vm->functions[what->function] == LUA_NOREF)
    return true;
  what->session = live ? gg__lua_session_get(vm, live) : NULL;
  if (live && !what->session) {
    gg__lua_fail(lua, what->function, "not enough memory for a session");
    return false;
  }
  return gg__lua_vm_call(vm, what);
}

/* What becomes of a session whose function has failed, where no verdict can be given. */
static void follow(const struct gg_lua *lua, const struct gg_live *live)
{
  const struct gg_verdict verdict = {.kind = GG_VERDICT_CLOSE, .reason = "lua error"};
  struct gg_session_key key;
  if (!lua->closes)
    return;
  lua->host->key(lua->host, live, &key);
  lua->host->cut(lua->host, &key, &verdict);
}

static void set_text(lua_State *state, const char *name, const char *text)
{
  lua_pushstring(state, text);
  lua_setfield(state, -2, name);
}

static void set_integer(lua_State *state, const char *name, uint64_t number)
{
  lua_pushinteger(state, (lua_Integer)number);
  lua_setfield(state, -2, name);
}

static const char *side_text(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? "client" : "server";
}

/* ── Accept ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int push_arrival(lua_State *state, struct gg_lua_call *what)
{
  const struct gg_arrival *arrival = what->in;
  char ip[INET6_ADDRSTRLEN] = "";
  lua_createtable(state, 0, 5);
  set_text(state, "listener", arrival->listener);
  set_text(state, "peer", arrival->peer);
  set_integer(state, "family", (uint64_t)arrival->family);
  if (arrival->family == 0)
    return 1;
  inet_ntop(arrival->family == 4 ? AF_INET : AF_INET6, arrival->ip, ip, sizeof ip);
  set_text(state, "ip", ip);
  set_integer(state, "port", arrival->port);
  return 1;
}

static void take_accept(lua_State *state, struct gg_lua_call *what)
{
  static const char *const kinds[] = {"pass", "close", "reset", "tarpit", NULL};
  *(enum gg_verdict_kind *)what->out = gg__lua_kind_read(state, lua_gettop(state), kinds);
}

static enum gg_verdict_kind on_accept(void *self, const struct gg_arrival *arrival)
{
  struct gg_lua *lua = self;
  enum gg_verdict_kind kind = GG_VERDICT_PASS;
  struct gg_lua_call what = {
    .function = GG_LUA_ACCEPT, .push = push_arrival, .take = take_accept, .in = arrival, .out = &kind};
  if (call(lua, NULL, &what))
    return kind;
  return lua->closes ? GG_VERDICT_CLOSE : GG_VERDICT_PASS;
}

/* ── Open, first ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void refuse(const struct gg_lua *lua, struct gg_open *open)
{
  if (lua->closes)
    open->verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = "lua error"};
}

static int push_session(lua_State *state, struct gg_lua_call *what)
{
  gg__lua_session_push(state, what->session);
  return 1;
}

static void take_open(lua_State *state, struct gg_lua_call *what)
{
  gg__lua_open_read(state, lua_gettop(state), what->session, what->out);
}

static void on_open(void *self, struct gg_live *live, struct gg_open *open)
{
  struct gg_lua *lua = self;
  struct gg_lua_call what = {.function = GG_LUA_OPEN, .push = push_session, .take = take_open, .out = open};
  if (!call(lua, live, &what))
    refuse(lua, open);
}

struct bytes {
  const void *bytes;
  size_t length;
};

static int push_first(lua_State *state, struct gg_lua_call *what)
{
  const struct bytes *first = what->in;
  gg__lua_session_push(state, what->session);
  lua_pushlstring(state, first->bytes, first->length);
  return 2;
}

static void on_first(void *self, struct gg_live *live, const uint8_t *bytes, size_t length, struct gg_open *open)
{
  struct gg_lua *lua = self;
  const struct bytes in = {length > 0 ? (const void *)bytes : "", length};
  struct gg_lua_call what = {.function = GG_LUA_FIRST, .push = push_first, .take = take_open, .in = &in, .out = open};
  if (!call(lua, live, &what))
    refuse(lua, open);
}

/* ── Connect ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int push_texts(lua_State *state, struct gg_lua_call *what)
{
  const char *const *texts = what->in;
  gg__lua_session_push(state, what->session);
  lua_pushstring(state, texts[0]);
  lua_pushstring(state, texts[1]); /* NULL is nil */
  return 3;
}

static void take_connect(lua_State *state, struct gg_lua_call *what)
{
  static const char *const kinds[] = {"pass", "close", NULL};
  *(enum gg_verdict_kind *)what->out = gg__lua_kind_read(state, lua_gettop(state), kinds);
}

static enum gg_verdict_kind on_connect(void *self, struct gg_live *live, const char *name, const char *address)
{
  struct gg_lua *lua = self;
  enum gg_verdict_kind kind = GG_VERDICT_PASS;
  const char *const texts[] = {name, address};
  struct gg_lua_call what = {
    .function = GG_LUA_CONNECT, .push = push_texts, .take = take_connect, .in = texts, .out = &kind};
  if (call(lua, live, &what))
    return kind;
  follow(lua, live);
  return lua->closes ? GG_VERDICT_CLOSE : GG_VERDICT_PASS; /* nobody is connected to meanwhile */
}

static void on_connected(void *self, struct gg_live *live, const char *name)
{
  struct gg_lua *lua = self;
  const char *const texts[] = {name, NULL};
  struct gg_lua_call what = {.function = GG_LUA_CONNECTED, .push = push_texts, .in = texts};
  if (!call(lua, live, &what))
    follow(lua, live);
}

static void on_failed(void *self, struct gg_live *live, const char *name, const char *reason)
{
  struct gg_lua *lua = self;
  const char *const texts[] = {name, reason};
  struct gg_lua_call what = {.function = GG_LUA_FAILED, .push = push_texts, .in = texts};
  if (!call(lua, live, &what))
    follow(lua, live);
}

/* ── Data ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int push_count(lua_State *state, struct gg_lua_call *what)
{
  const struct gg_data *data = what->in;
  gg__lua_session_push(state, what->session);
  lua_pushstring(state, side_text(data->from));
  lua_pushinteger(state, (lua_Integer)data->length);
  return 3;
}

static void on_count(void *self, struct gg_live *live, enum gg_side from, size_t bytes)
{
  struct gg_lua *lua = self;
  const struct gg_data data = {.size = sizeof data, .from = from, .length = bytes};
  struct gg_lua_call what = {.function = GG_LUA_COUNT, .push = push_count, .in = &data};
  if (!call(lua, live, &what))
    follow(lua, live);
}

static int push_data(lua_State *state, struct gg_lua_call *what)
{
  const struct gg_data *data = what->in;
  gg__lua_session_push(state, what->session);
  lua_createtable(state, 0, 6);
  lua_pushlstring(state, data->length > 0 ? (const char *)data->bytes : "", data->length);
  lua_setfield(state, -2, "bytes");
  set_text(state, "from", side_text(data->from));
  set_integer(state, "offset", data->offset);
  set_integer(state, "kept", data->kept);
  lua_pushboolean(state, data->ended);
  lua_setfield(state, -2, "ended");
  lua_pushboolean(state, data->due);
  lua_setfield(state, -2, "due");
  return 2;
}

static void take_verdict(lua_State *state, struct gg_lua_call *what)
{
  gg__lua_verdict_read(state, lua_gettop(state), what->out);
}

static void on_gate(void *self, struct gg_live *live, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct gg_lua *lua = self;
  struct gg_lua_call what = {
    .function = GG_LUA_GATE, .push = push_data, .take = take_verdict, .in = data, .out = verdict};
  if (!call(lua, live, &what) && lua->closes)
    *verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = "lua error"};
}

struct rewriting {
  struct gg_output *output;
  bool given; /* the script has said what goes on */
};

static void take_output(lua_State *state, struct gg_lua_call *what)
{
  struct rewriting *rewriting = what->out;
  rewriting->given = gg__lua_output_read(state, lua_gettop(state), rewriting->output);
}

/* A cut is carried out a while later. Until then nothing goes on: it would follow a hole. */
static void on_rewrite(void *self, struct gg_live *live, const struct gg_data *data, struct gg_output *output)
{
  struct gg_lua *lua = self;
  struct gg_lua_session *session = lua->host->state(lua->host, live); /* it was wanted in a call of the script's */
  struct rewriting rewriting = {.output = output};
  struct gg_lua_call what = {
    .function = GG_LUA_REWRITE, .push = push_data, .take = take_output, .in = data, .out = &rewriting};
  assert(session);
  if (!session->stopped)
    session->stopped = !call(lua, live, &what) && lua->closes;
  if (session->stopped)
    follow(lua, live);
  else if (!rewriting.given)
    lua->host->emit(lua->host, output, data->bytes, data->length);
}

/* ── Close ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int push_summary(lua_State *state, struct gg_lua_call *what)
{
  const struct gg_session_summary *summary = what->in;
  gg__lua_session_push(state, what->session);
  lua_createtable(state, 0, 6);
  set_text(state, "close", summary->close);
  set_text(state, "plugin", summary->plugin);
  set_text(state, "reason", summary->reason);
  gg__lua_push_pair(state, summary->received);
  lua_setfield(state, -2, "received");
  gg__lua_push_pair(state, summary->forwarded);
  lua_setfield(state, -2, "forwarded");
  lua_pushnumber(state, (lua_Number)summary->duration_ns / 1e9);
  lua_setfield(state, -2, "duration");
  return 2;
}

static void on_close(void *self, struct gg_live *live, const struct gg_session_summary *summary)
{
  struct gg_lua *lua = self;
  struct gg_lua_call what = {.function = GG_LUA_CLOSE, .push = push_summary, .in = summary};
  call(lua, live, &what);
  gg__lua_session_end(lua, live);
}

/* ── Ticks ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_tick(void *self)
{
  struct gg_lua *lua = self;
  struct gg_lua_call what = {.function = GG_LUA_TICK};
  if (!lua->has[GG_LUA_TICK])
    return;
  struct gg_lua_vm *vm = gg__lua_vm_here(lua);
  uint64_t now_ns = lua->host->mono_ns(lua->host);
  if (!vm || (lua->ticked_ns > 0 && now_ns + TICK_NS / 2 < lua->ticked_ns + vm->tick_interval_ns))
    return;
  lua->ticked_ns = now_ns;
  call(lua, NULL, &what);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { COMMAND_ERRORS, COMMAND_STATES, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [COMMAND_ERRORS] = {.verb = "errors",
                      .help = "how often which function of the script has failed, and the last error"},
  [COMMAND_STATES] = {.verb = "states", .help = "the script's states: their calls and memory"},
};

static void tell_errors(struct gg_lua *lua, void *reply)
{
  char line[GG_LUA_ERROR_MAX + 64];
  uint64_t total = 0;
  for (unsigned i = 0; i < GG_LUA_FUNCTIONS; i++) {
    uint64_t count = atomic_load_explicit(&lua->errors[i], memory_order_relaxed);
    total += count;
    snprintf(line, sizeof line, "%s %" PRIu64 "\n", gg__lua_function_texts[i], count);
    if (count > 0)
      lua->host->reply(lua->host, reply, line);
  }
  snprintf(line, sizeof line, "total %" PRIu64 "\n", total);
  lua->host->reply(lua->host, reply, line);
  pthread_mutex_lock(&lua->lock);
  snprintf(line, sizeof line, "last %s\n", lua->last_error);
  pthread_mutex_unlock(&lua->lock);
  if (total > 0)
    lua->host->reply(lua->host, reply, line);
}

static void tell_states(struct gg_lua *lua, void *reply)
{
  char line[160], owner[32];
  pthread_mutex_lock(&lua->lock);
  unsigned count = lua->vm_count;
  pthread_mutex_unlock(&lua->lock);
  for (unsigned i = 0; i < count; i++) {
    struct gg_lua_vm *vm = lua->vms[i];
    int worker = atomic_load_explicit(&vm->worker, memory_order_relaxed);
    snprintf(owner, sizeof owner, worker < 0 ? "no worker" : "worker %d", worker);
    snprintf(line, sizeof line, "state %u: %s, calls %" PRIu64 ", memory %zu, peak %zu, memory_max %zu\n", i, owner,
             atomic_load_explicit(&vm->calls, memory_order_relaxed),
             atomic_load_explicit(&vm->used, memory_order_relaxed),
             atomic_load_explicit(&vm->peak, memory_order_relaxed), lua->memory_max);
    lua->host->reply(lua->host, reply, line);
  }
}

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct gg_lua *lua = self;
  (void)word_count; /* the table says that there are no words, so the gateway refuses any */
  (void)words;
  if (command >= COMMANDS)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "there is no such command");
  if (command == COMMAND_ERRORS)
    tell_errors(lua, reply);
  else
    tell_states(lua, reply);
  return 0;
}

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,
  .name = "lua",
  .version = "1.0",
  .summary = "scripts in " LUA_VERSION,
  .options = options,
  .option_count = OPTIONS,
  .commands = commands,
  .command_count = COMMANDS,
  .create = on_create,
  .destroy = on_destroy,
  .accept = on_accept,
  .open = on_open,
  .first = on_first,
  .connect = on_connect,
  .connected = on_connected,
  .failed = on_failed,
  .count = on_count,
  .gate = on_gate,
  .rewrite = on_rewrite, /* no `mask`: README.md says why */
  .close = on_close,
  .tick = on_tick,
  .tick_interval_ns = TICK_NS,
  .command = on_command,
  .stale = on_stale,
};
