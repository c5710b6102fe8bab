/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - the libraries that a script has, without what would lead around its limits.
 *
 *     load               text only: the bytes of a compiled chunk can do anything
 *     setmetatable       no __gc: Lua calls no hook in a finaliser, so one could run for ever
 *     coroutine.resume   and what coroutine.wrap returns: a step of instructions each, since a coroutine counts its own
 *     string.rep         of nothing is nothing, however often: Lua would count all the times
 *     xpcall             asks the handler when the error has unwound: Lua asks it where the error is raised, which may
 *                        be the hook that counts, and calls no hook in a hook
 *     collectgarbage     costs instructions by the size of what there is
 *     print              is a message of the gateway: its output is not the script's
 *     dofile, loadfile, warn, os.exit, os.setlocale   are not there
 *
 * Who permits `debug` or `package` permits the script to get around all of it.
 */
#include "vm.h"

#include <lualib.h>

enum { COLLECT_BYTES_AN_INSTRUCTION = 16 };

const char *const gg__lua_library_texts[GG_LUA_LIBRARIES] = {
  [GG_LUA_IO] = "io",
  [GG_LUA_OS] = "os",
  [GG_LUA_PACKAGE] = "package",
  [GG_LUA_DEBUG] = "debug",
};

/* Calls the function that stands in its place, with all arguments. */
static int call_original(lua_State *state)
{
  lua_pushvalue(state, lua_upvalueindex(1));
  lua_insert(state, 1);
  lua_call(state, lua_gettop(state) - 1, LUA_MULTRET);
  return lua_gettop(state);
}

static int guarded_load(lua_State *state)
{
  bool has_environment = lua_gettop(state) >= 4; /* nil is one, too */
  lua_settop(state, has_environment ? 4 : 2);
  lua_pushliteral(state, "t");
  if (has_environment)
    lua_replace(state, 3);
  return call_original(state);
}

static int guarded_setmetatable(lua_State *state)
{
  if (lua_istable(state, 2)) {
    lua_pushliteral(state, "__gc");
    if (lua_rawget(state, 2) != LUA_TNIL)
      return luaL_error(state, "there is no __gc here");
    lua_pop(state, 1);
  }
  return call_original(state);
}

/* Behind the call: the function, its handler, true, and then what it has returned, or its error. */
static int end_of_xpcall(lua_State *state, int status, lua_KContext context)
{
  (void)context;
  if (status == LUA_OK || status == LUA_YIELD)
    return lua_gettop(state) - 2;
  lua_pushboolean(state, 0);
  lua_pushvalue(state, 2);
  lua_pushvalue(state, -3);
  lua_call(state, 1, 1);
  return 2;
}

static int guarded_xpcall(lua_State *state)
{
  int count = lua_gettop(state);
  luaL_checktype(state, 2, LUA_TFUNCTION);
  lua_pushboolean(state, 1);
  lua_pushvalue(state, 1);
  lua_rotate(state, 3, 2);
  return end_of_xpcall(state, lua_pcallk(state, count - 2, LUA_MULTRET, 0, 0, end_of_xpcall), 0);
}

static int charged(lua_State *state)
{
  gg__lua_vm_charge(state, GG_LUA_STEP);
  return call_original(state);
}

static int guarded_wrap(lua_State *state)
{
  call_original(state);
  lua_pushcclosure(state, charged, 1);
  return 1;
}

static int guarded_rep(lua_State *state)
{
  size_t length = 0, between = 0;
  luaL_checklstring(state, 1, &length);
  luaL_optlstring(state, 3, "", &between);
  if (length + between > 0)
    return call_original(state);
  lua_pushliteral(state, "");
  return 1;
}

static int guarded_collect(lua_State *state)
{
  gg__lua_vm_charge(state, (int64_t)(gg__lua_vm_of(state)->used / COLLECT_BYTES_AN_INSTRUCTION));
  return call_original(state);
}

static int guarded_print(lua_State *state)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  int count = lua_gettop(state);
  luaL_Buffer text;
  luaL_buffinit(state, &text);
  for (int i = 1; i <= count; i++) {
    if (i > 1)
      luaL_addchar(&text, '\t');
    luaL_tolstring(state, i, NULL);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  host->log(host, GG_PLUGIN_INFO, lua_tostring(state, -1));
  return 0;
}

/* In the library on the top of the stack. */
static void guard(lua_State *state, const char *name, lua_CFunction function)
{
  lua_getfield(state, -1, name);
  lua_pushcclosure(state, function, 1);
  lua_setfield(state, -2, name);
}

static void leave_out(lua_State *state, const char *name)
{
  lua_pushnil(state);
  lua_setfield(state, -2, name);
}

static void open_library(lua_State *state, const char *name, lua_CFunction open)
{
  lua_settop(state, 0);
  luaL_requiref(state, name, open, 1);
}

static void open_base(lua_State *state)
{
  open_library(state, LUA_GNAME, luaopen_base);
  guard(state, "load", guarded_load);
  guard(state, "setmetatable", guarded_setmetatable);
  guard(state, "collectgarbage", guarded_collect);
  guard(state, "print", guarded_print);
  lua_pushcfunction(state, guarded_xpcall);
  lua_setfield(state, -2, "xpcall");
  leave_out(state, "dofile");
  leave_out(state, "loadfile");
  leave_out(state, "warn");
  open_library(state, LUA_STRLIBNAME, luaopen_string);
  guard(state, "rep", guarded_rep);
  open_library(state, LUA_COLIBNAME, luaopen_coroutine);
  guard(state, "resume", charged);
  guard(state, "wrap", guarded_wrap);
  open_library(state, LUA_TABLIBNAME, luaopen_table);
  open_library(state, LUA_MATHLIBNAME, luaopen_math);
  open_library(state, LUA_UTF8LIBNAME, luaopen_utf8);
}

void gg__lua_guard(lua_State *state, const struct gg_lua *lua)
{
  open_base(state);
  if (lua->libraries[GG_LUA_PACKAGE])
    open_library(state, LUA_LOADLIBNAME, luaopen_package);
  if (lua->libraries[GG_LUA_IO])
    open_library(state, LUA_IOLIBNAME, luaopen_io);
  if (lua->libraries[GG_LUA_DEBUG])
    open_library(state, LUA_DBLIBNAME, luaopen_debug);
  if (lua->libraries[GG_LUA_OS]) {
    open_library(state, LUA_OSLIBNAME, luaopen_os);
    leave_out(state, "exit");
    leave_out(state, "setlocale");
  }
  lua_settop(state, 0);
}
