/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - Lua states with limits, and calls into them that always come back.
 *
 * A script gets two allowances. Memory is what its state has from the allocator below: beyond that there is none, and
 * Lua raises an error after it has collected its garbage. Instructions are counted by a hook, in steps, anew for each
 * call. Once they are used up the hook runs before every instruction and raises an error each time: a script that
 * catches errors catches that one, but gets no further, up to the end of the call. Large blocks of memory cost
 * instructions too, since filling them takes time that no hook sees.
 *
 * Hooks are a coroutine's own: each new one begins with a count of its own. guard.c charges a step for each entering,
 * so that a thousand short ones are not free, and sees to it that no finaliser runs, in which Lua calls no hook.
 *
 * What happens inside of a function of the C library without calling back (a pattern that tries everything) is seen by
 * no hook; plugins/lua/README.md says so. (Rejected: an alarm that breaks it off. There is no safe place to jump to.)
 *
 * A vm is found by a key of the thread: no lock, and no number of a worker, which `accept` would not know. The first
 * was made with the instance, so that a faulty script is refused; the others when their thread first comes.
 */
#include "vm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_AN_INSTRUCTION = 64, CHARGED_FROM = 1024 };

const char *const gg__lua_function_texts[GG_LUA_FUNCTIONS] = {
#define TEXT(NAME, text) text,
  GG_LUA_LIST(TEXT)
#undef TEXT
};

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* For a new block `old` is not a size, but what it will be. */
static void *allocate(void *context, void *block, size_t old, size_t size)
{
  struct gg_lua_vm *vm = context;
  size_t used = atomic_load_explicit(&vm->used, memory_order_relaxed), before = block ? old : 0;
  if (size == 0) {
    free(block);
    atomic_store_explicit(&vm->used, used - before, memory_order_relaxed);
    return NULL;
  }
  if (size >= CHARGED_FROM)
    vm->left -= (int64_t)(size / BYTES_AN_INSTRUCTION);
  if (size > before && (size > vm->lua->memory_max || used - before > vm->lua->memory_max - size))
    return NULL;
  void *other = realloc(block, size);
  if (!other)
    return NULL;
  used = used - before + size;
  atomic_store_explicit(&vm->used, used, memory_order_relaxed);
  if (used > atomic_load_explicit(&vm->peak, memory_order_relaxed))
    atomic_store_explicit(&vm->peak, used, memory_order_relaxed);
  return other;
}

/* ── Instructions ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_count(lua_State *state, lua_Debug *where);

static int step_of(const struct gg_lua *lua)
{
  return lua->instructions_max < GG_LUA_STEP ? (int)lua->instructions_max : GG_LUA_STEP;
}

/* The first time it is said where that was; then the same is said again and again. */
static void raise_over(lua_State *state, lua_Debug *where)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  if (!vm->over) {
    vm->over = true;
    if (where && lua_getinfo(state, "Sl", where))
      snprintf(vm->over_text, sizeof vm->over_text, "%s:%d: more than %lld instructions in one call", where->short_src,
               where->currentline, (long long)vm->lua->instructions_max);
    else
      snprintf(vm->over_text, sizeof vm->over_text, "more than %lld instructions in one call",
               (long long)vm->lua->instructions_max);
  }
  lua_sethook(state, on_count, LUA_MASKCOUNT, 1);
  lua_pushstring(state, vm->over_text);
  lua_error(state);
}

static void on_count(lua_State *state, lua_Debug *where)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  int step = lua_gethookcount(state);
  vm->left -= step;
  if (vm->over || vm->left < 0)
    raise_over(state, where);
  else if (step != step_of(vm->lua)) /* a coroutine that an earlier call has left behind */
    lua_sethook(state, on_count, LUA_MASKCOUNT, step_of(vm->lua));
}

void gg__lua_vm_charge(lua_State *state, int64_t instructions)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  lua_Debug where;
  vm->left -= instructions;
  if (vm->over || vm->left < 0)
    raise_over(state, lua_getstack(state, 1, &where) ? &where : NULL);
}

/* ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__lua_fail(struct gg_lua *lua, enum gg_lua_function function, const char *text)
{
  atomic_fetch_add_explicit(&lua->errors[function], 1, memory_order_relaxed);
  pthread_mutex_lock(&lua->lock);
  snprintf(lua->last_error, sizeof lua->last_error, "%s", text);
  pthread_mutex_unlock(&lua->lock);
  lua->host->log(lua->host, GG_PLUGIN_ERROR, text);
}

/* The error on the top of the stack as text; takes no memory of the state. */
static const char *text_of(lua_State *state)
{
  static const char *const others[] = {
    [LUA_TNIL] = "an error that is nil",
    [LUA_TBOOLEAN] = "an error that is a boolean",
    [LUA_TNUMBER] = "an error that is a number",
    [LUA_TTABLE] = "an error that is a table",
    [LUA_TFUNCTION] = "an error that is a function",
  };
  int type = lua_type(state, -1);
  if (type == LUA_TSTRING)
    return lua_tostring(state, -1);
  bool known = type >= 0 && (size_t)type < sizeof others / sizeof others[0] && others[type];
  return known ? others[type] : "an error that is no text";
}

/* "gate: mine.lua:12: ..."; where the error itself does not say where it was, the function's first line does. */
static void describe(struct gg_lua_vm *vm, enum gg_lua_function function, const char *error, char *text, size_t size)
{
  lua_Debug where;
  lua_rawgeti(vm->state, LUA_REGISTRYINDEX, vm->functions[function]);
  lua_getinfo(vm->state, ">S", &where);
  size_t length = strlen(where.short_src);
  if (strncmp(error, where.short_src, length) == 0 && error[length] == ':')
    snprintf(text, size, "%s: %s", gg__lua_function_texts[function], error);
  else
    snprintf(text, size, "%s: %s:%d: %s", gg__lua_function_texts[function], where.short_src, where.linedefined, error);
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int enter(lua_State *state)
{
  struct gg_lua_call *call = lua_touserdata(state, 1);
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  lua_rawgeti(state, LUA_REGISTRYINDEX, vm->functions[call->function]);
  lua_call(state, call->push ? call->push(state, call) : 0, 1);
  if (vm->over) /* it was caught by the last thing that the function did */
    return luaL_error(state, "%s", vm->over_text);
  if (call->take)
    call->take(state, call);
  return 0;
}

static void begin(struct gg_lua_vm *vm)
{
  const struct gg_lua *lua = vm->lua;
  vm->left = lua->instructions_max;
  if (vm->over || !lua_gethook(vm->state))
    lua_sethook(vm->state, on_count, LUA_MASKCOUNT, step_of(lua));
  vm->over = false;
}

bool gg__lua_vm_protect(struct gg_lua_vm *vm, lua_CFunction what, void *argument)
{
  begin(vm);
  lua_pushcfunction(vm->state, what);
  lua_pushlightuserdata(vm->state, argument);
  bool good = lua_pcall(vm->state, 1, 0, 0) == LUA_OK;
  lua_settop(vm->state, 0);
  return good;
}

bool gg__lua_vm_call(struct gg_lua_vm *vm, struct gg_lua_call *call)
{
  char text[GG_LUA_ERROR_MAX];
  assert(vm->functions[call->function] != LUA_NOREF && lua_gettop(vm->state) == 0);
  atomic_fetch_add_explicit(&vm->calls, 1, memory_order_relaxed);
  vm->current = call->session;
  begin(vm);
  lua_pushcfunction(vm->state, enter);
  lua_pushlightuserdata(vm->state, call);
  bool good = lua_pcall(vm->state, 1, 0, 0) == LUA_OK;
  vm->current = NULL;
  if (!good) {
    describe(vm, call->function, text_of(vm->state), text, sizeof text);
    gg__lua_fail(vm->lua, call->function, text);
  }
  lua_settop(vm->state, 0);
  return good;
}

/* ── Making ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void find_functions(lua_State *state, struct gg_lua_vm *vm)
{
  for (unsigned i = 0; i < GG_LUA_SCRIPT; i++) {
    int type = lua_getglobal(state, gg__lua_function_texts[i]);
    if (type != LUA_TNIL && type != LUA_TFUNCTION)
      luaL_error(state, "%s: '%s' is a %s, not a function", vm->lua->path, gg__lua_function_texts[i],
                 lua_typename(state, type));
    if (type == LUA_TFUNCTION)
      vm->functions[i] = luaL_ref(state, LUA_REGISTRYINDEX);
    else
      lua_pop(state, 1);
  }
}

static void find_interval(lua_State *state, struct gg_lua_vm *vm)
{
  int type = lua_getglobal(state, "tick_interval");
  lua_Number seconds = lua_tonumber(state, -1);
  if (type != LUA_TNIL && (type != LUA_TNUMBER || !(seconds >= 0.1 && seconds <= 86400)))
    luaL_error(state, "%s: 'tick_interval' is not a number of seconds between 0.1 and 86400", vm->lua->path);
  vm->tick_interval_ns = type == LUA_TNIL ? UINT64_C(1000000000) : (uint64_t)(seconds * 1e9);
}

static int set_up(lua_State *state)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  const struct gg_lua *lua = vm->lua;
  gg__lua_guard(state, lua);
  gg__lua_api(state);
  lua_settop(state, 0);
  lua_pushfstring(state, "@%s", lua->path);
  if (luaL_loadbufferx(state, lua->source, lua->source_length, lua_tostring(state, 1), "t") != LUA_OK)
    return lua_error(state);
  lua_call(state, 0, 0);
  if (vm->over)
    return luaL_error(state, "%s", vm->over_text);
  find_functions(state, vm);
  find_interval(state, vm);
  return 0;
}

/* False: `text` says why, and there is no state. */
static bool run(struct gg_lua_vm *vm, char text[GG_LUA_ERROR_MAX])
{
  for (unsigned i = 0; i < GG_LUA_SCRIPT; i++)
    vm->functions[i] = LUA_NOREF;
  vm->left = vm->lua->instructions_max;
  vm->state = lua_newstate(allocate, vm);
  if (!vm->state) {
    snprintf(text, GG_LUA_ERROR_MAX, "%s: not enough memory", vm->lua->path);
    return false;
  }
  *(struct gg_lua_vm **)lua_getextraspace(vm->state) = vm;
  begin(vm);
  lua_pushcfunction(vm->state, set_up);
  if (lua_pcall(vm->state, 0, 0, 0) == LUA_OK)
    return true;
  const char *error = text_of(vm->state);
  bool placed = strchr(error, ':') != NULL; /* "not enough memory" has no place */
  snprintf(text, GG_LUA_ERROR_MAX, "%s%s%s", placed ? "" : vm->lua->path, placed ? "" : ": ", error);
  lua_close(vm->state);
  vm->state = NULL;
  return false;
}

struct gg_lua_vm *gg__lua_vm_create(struct gg_lua *lua, char text[GG_LUA_ERROR_MAX])
{
  struct gg_lua_vm *vm = calloc(1, sizeof *vm);
  if (!vm) {
    snprintf(text, GG_LUA_ERROR_MAX, "%s: not enough memory", lua->path);
    return NULL;
  }
  vm->lua = lua;
  vm->worker = -1;
  if (run(vm, text))
    return vm;
  free(vm);
  return NULL;
}

void gg__lua_vm_destroy(struct gg_lua_vm *vm)
{
  if (vm && vm->state)
    lua_close(vm->state);
  free(vm);
}

/* ── A thread's ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* This thread's place, with or without a state; NULL: there is none to be had. */
static struct gg_lua_vm *place_here(struct gg_lua *lua)
{
  struct gg_lua_vm *vm = atomic_exchange(&lua->spare, NULL);
  bool is_new = !vm;
  if (is_new && !(vm = calloc(1, sizeof *vm)))
    return NULL;
  if (is_new) {
    vm->lua = lua;
    vm->worker = -1;
    pthread_mutex_lock(&lua->lock);
    bool full = lua->vm_count == GG_LUA_VMS_MAX;
    if (!full)
      lua->vms[lua->vm_count++] = vm;
    pthread_mutex_unlock(&lua->lock);
    if (full) {
      free(vm);
      return NULL;
    }
  }
  if (pthread_setspecific(lua->key, vm) == 0)
    return vm;
  if (!is_new)
    atomic_store(&lua->spare, vm);
  return NULL; /* the new one stays in the list, and goes with the instance */
}

struct gg_lua_vm *gg__lua_vm_here(struct gg_lua *lua)
{
  char text[GG_LUA_ERROR_MAX], line[GG_LUA_ERROR_MAX + 32];
  struct gg_lua_vm *vm = pthread_getspecific(lua->key);
  if (vm && vm->state)
    return vm;
  if (!vm && !(vm = place_here(lua))) {
    gg__lua_fail(lua, GG_LUA_SCRIPT, "there is no room for a state of this thread");
    return NULL;
  }
  uint64_t now_ns = lua->host->mono_ns(lua->host);
  if (vm->state)
    return vm;
  if (now_ns < vm->again_ns)
    return NULL;
  if (run(vm, text))
    return vm;
  vm->again_ns = now_ns + GG_LUA_AGAIN_NS;
  snprintf(line, sizeof line, "in a new state: %s", text);
  gg__lua_fail(lua, GG_LUA_SCRIPT, line);
  return NULL;
}
