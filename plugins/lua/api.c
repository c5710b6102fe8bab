/* SPDX-License-Identifier: Apache-2.0 */
/* api.c - the table `gg`: what a script can ask of the gateway besides its sessions. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

enum {
  SESSIONS_MAX = 65536,       /* of one listing */
  SESSION_INSTRUCTIONS = 100, /* what telling one costs, counted as instructions */
};

static int log_text(lua_State *state)
{
  static const char *const levels[] = {"debug", "info", "warning", "error", NULL};
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  int level = luaL_checkoption(state, 1, NULL, levels);
  host->log(host, (enum gg_plugin_level)level, luaL_tolstring(state, 2, NULL));
  return 0;
}

static int now(lua_State *state)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  lua_pushnumber(state, (lua_Number)host->real_ns(host) / 1e9);
  return 1;
}

static int monotonic(lua_State *state)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  lua_pushnumber(state, (lua_Number)host->mono_ns(host) / 1e9);
  return 1;
}

/* Of any worker. Whether there is such a session is asked when it is used. */
static int session_of(lua_State *state)
{
  struct gg_session_key key = {{0}};
  size_t length = 0;
  const char *text = luaL_checklstring(state, 1, &length);
  luaL_argcheck(state, length == sizeof key.text - 1 && strspn(text, "0123456789abcdef") == length, 1,
                "not a session's key");
  memcpy(key.text, text, length);
  gg__lua_session_push_key(state, &key);
  return 1;
}

/* Keys are collected first: while the gateway tells them, nothing may be raised. The room is the script's. */
struct listing {
  struct gg_session_key *keys;
  size_t count;
  size_t size;
  size_t most;
};

static bool collect(void *context, const struct gg_session_info *info)
{
  struct listing *listing = context;
  if (listing->count < listing->size)
    listing->keys[listing->count] = info->key;
  listing->count++;
  return listing->count < listing->most;
}

static int sessions(lua_State *state)
{
  const struct gg_lua_vm *vm = gg__lua_vm_of(state);
  const struct gg_host *host = vm->lua->host;
  gg__lua_vm_charge(state, GG_LUA_STEP);
  uint64_t paid =
    (uint64_t)vm->left / SESSION_INSTRUCTIONS + 1; /* no more are looked at than can be paid for, and one */
  struct listing listing = {.most = paid < SESSIONS_MAX ? (size_t)paid : SESSIONS_MAX};
  host->list(host, collect, &listing);
  listing.size = listing.count;
  gg__lua_vm_charge(state, (int64_t)listing.count * SESSION_INSTRUCTIONS);
  if (listing.count > 0)
    listing.keys = lua_newuserdatauv(state, listing.size * sizeof *listing.keys, 0);
  listing.count = 0;
  if (listing.keys)
    host->list(host, collect, &listing);
  size_t count = listing.count < listing.size ? listing.count : listing.size;
  lua_createtable(state, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    gg__lua_session_push_key(state, &listing.keys[i]);
    lua_rawseti(state, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {
  {"log", log_text},       {"now", now},           {"monotonic", monotonic},
  {"session", session_of}, {"sessions", sessions}, {NULL, NULL},
};

void gg__lua_api(lua_State *state)
{
  gg__lua_session_class(state);
  luaL_newlib(state, functions);
  lua_setglobal(state, "gg");
}
