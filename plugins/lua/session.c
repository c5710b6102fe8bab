/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "verdict.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASS "gogetway.session"

struct gg_lua_handle {
  struct gg_session_key key;
  struct gg_lua_session *session; /* NULL: it has ended, or it is known by its key alone */
};

static const char *const side_texts[] = {"client", "server", "both", NULL};

/* ── Making and ending ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_lua_handle *push_new(lua_State *state, const struct gg_session_key *key)
{
  struct gg_lua_handle *handle = lua_newuserdatauv(state, sizeof *handle, 1);
  *handle = (struct gg_lua_handle){.key = *key};
  luaL_setmetatable(state, CLASS);
  return handle;
}

void gg__lua_session_push_key(lua_State *state, const struct gg_session_key *key)
{
  push_new(state, key);
}

void gg__lua_session_push(lua_State *state, struct gg_lua_session *session)
{
  const struct gg_host *host = session->vm->lua->host;
  struct gg_session_key key;
  if (session->handle) {
    lua_rawgeti(state, LUA_REGISTRYINDEX, session->reference);
    return;
  }
  host->key(host, session->live, &key);
  struct gg_lua_handle *handle = push_new(state, &key);
  lua_pushvalue(state, -1);
  session->reference = luaL_ref(state, LUA_REGISTRYINDEX);
  session->handle = handle;
  handle->session = session;
}

struct gg_lua_session *gg__lua_session_get(struct gg_lua_vm *vm, struct gg_live *live)
{
  const struct gg_host *host = vm->lua->host;
  struct gg_lua_session *session = host->state(host, live);
  if (session) {
    assert(session->vm == vm); /* a session has one worker all its life */
    return session;
  }
  session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->live = live;
  session->vm = vm;
  if (atomic_load_explicit(&vm->worker, memory_order_relaxed) < 0) {
    struct gg_session_info info = GG_SESSION_INFO_INIT;
    host->info(host, live, &info);
    atomic_store_explicit(&vm->worker, (int)info.worker, memory_order_relaxed);
  }
  host->state_set(host, live, session);
  return session;
}

static int let_go(lua_State *state)
{
  const struct gg_lua_session *session = lua_touserdata(state, 1);
  luaL_unref(state, LUA_REGISTRYINDEX, session->reference);
  return 0;
}

void gg__lua_session_end(struct gg_lua *lua, struct gg_live *live)
{
  struct gg_lua_session *session = lua->host->state(lua->host, live);
  if (!session)
    return;
  lua->host->state_set(lua->host, live, NULL);
  if (session->handle) {
    session->handle->session = NULL;
    gg__lua_vm_protect(session->vm, let_go, session);
  }
  free(session->upstream);
  free(session);
}

/* ── What is known of it ─────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_lua_handle *handle_at(lua_State *state, int index)
{
  return luaL_checkudata(state, index, CLASS);
}

/* In a call for this very session. */
static struct gg_lua_session *current(const struct gg_lua_vm *vm, const struct gg_lua_handle *handle)
{
  return handle->session && handle->session == vm->current ? handle->session : NULL;
}

/* False: it has ended. */
static bool look(lua_State *state, const struct gg_lua_handle *handle, struct gg_session_info *info)
{
  const struct gg_lua_vm *vm = gg__lua_vm_of(state);
  const struct gg_host *host = vm->lua->host;
  const struct gg_lua_session *session = current(vm, handle);
  if (!session)
    return host->find(host, &handle->key, info) == 0;
  host->info(host, session->live, info);
  return true;
}

void gg__lua_push_pair(lua_State *state, const uint64_t values[2])
{
  lua_createtable(state, 0, 2);
  for (unsigned i = 0; i < 2; i++) {
    lua_pushinteger(state, (lua_Integer)values[i]);
    lua_setfield(state, -2, side_texts[i]);
  }
}

static void push_tags(lua_State *state, const struct gg_session_info *info)
{
  lua_createtable(state, (int)info->tag_count, 0);
  for (unsigned i = 0; i < info->tag_count; i++) {
    lua_pushstring(state, info->tags[i]);
    lua_rawseti(state, -2, (lua_Integer)i + 1);
  }
}

enum field { LISTENER, CLIENT, SERVER, UPSTREAM, WORKER, OPENED, RECEIVED, FORWARDED, TAGS, FIELDS };
static const char *const field_texts[FIELDS] = {
  [LISTENER] = "listener", [CLIENT] = "client",       [SERVER] = "server",
  [UPSTREAM] = "upstream", [WORKER] = "worker",       [OPENED] = "opened",
  [RECEIVED] = "received", [FORWARDED] = "forwarded", [TAGS] = "tags",
};

static void push_field(lua_State *state, enum field field, const struct gg_session_info *info)
{
  switch (field) {
  case LISTENER:
    lua_pushstring(state, info->listener);
    break;
  case CLIENT:
    lua_pushstring(state, info->client);
    break;
  case SERVER:
    lua_pushstring(state, info->server);
    break;
  case UPSTREAM:
    lua_pushstring(state, info->upstream);
    break;
  case WORKER:
    lua_pushinteger(state, info->worker);
    break;
  case OPENED:
    lua_pushnumber(state, (lua_Number)info->opened_real_ns / 1e9);
    break;
  case RECEIVED:
    gg__lua_push_pair(state, info->received);
    break;
  case FORWARDED:
    gg__lua_push_pair(state, info->forwarded);
    break;
  case TAGS:
    push_tags(state, info);
    break;
  case FIELDS:
    lua_pushnil(state);
    break;
  }
}

/* A table from the first time that somebody asks. */
static void push_state(lua_State *state)
{
  if (lua_getiuservalue(state, 1, 1) == LUA_TTABLE)
    return;
  lua_pop(state, 1);
  lua_newtable(state);
  lua_pushvalue(state, -1);
  lua_setiuservalue(state, 1, 1);
}

/* Upvalue 1: the methods. */
static int get_field(lua_State *state)
{
  struct gg_lua_handle *handle = handle_at(state, 1);
  const char *name = luaL_checkstring(state, 2);
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  lua_pushvalue(state, 2);
  if (lua_rawget(state, lua_upvalueindex(1)) != LUA_TNIL)
    return 1;
  if (strcmp(name, "key") == 0)
    lua_pushstring(state, handle->key.text);
  else if (strcmp(name, "state") == 0)
    push_state(state);
  else if (strcmp(name, "ended") == 0)
    lua_pushboolean(state, !look(state, handle, &info));
  else {
    unsigned i = 0;
    while (i < FIELDS && strcmp(field_texts[i], name) != 0)
      i++;
    if (i == FIELDS)
      return luaL_error(state, "a session has no field '%s'", name);
    push_field(state, look(state, handle, &info) ? (enum field)i : FIELDS, &info);
  }
  return 1;
}

static int set_field(lua_State *state)
{
  handle_at(state, 1);
  const char *name = luaL_checkstring(state, 2);
  if (strcmp(name, "state") != 0)
    return luaL_error(state, "of a session only 'state' can be set, not '%s'; the script's own belongs into it", name);
  luaL_checktype(state, 3, LUA_TTABLE);
  lua_settop(state, 3);
  lua_setiuservalue(state, 1, 1);
  return 0;
}

static int as_text(lua_State *state)
{
  lua_pushfstring(state, "session %s", handle_at(state, 1)->key.text);
  return 1;
}

/* ── What can be done with it ────────────────────────────────────────────────────────────────────────────────────── */

/* true; or nil and why not. */
static int answer(lua_State *state, int error)
{
  if (!error) {
    lua_pushboolean(state, 1);
    return 1;
  }
  lua_pushnil(state);
  switch (error) {
  case GG_ERR_NOT_FOUND:
    lua_pushliteral(state, "the session has ended");
    break;
  case GG_ERR_INVALID:
    lua_pushliteral(state, "there can be no such thing");
    break;
  case GG_ERR_LIMIT:
    lua_pushliteral(state, "it has as many as it can have");
    break;
  case GG_ERR_UNSUPPORTED:
    lua_pushliteral(state, "of this session that cannot be had");
    break;
  case GG_ERR_AGAIN:
    lua_pushliteral(state, "too much waits to be done already");
    break;
  default:
    lua_pushfstring(state, "error %d", error);
  }
  return 2;
}

static int want(lua_State *state)
{
  static const char *const modes[] = {"none", "count", "gate", "rewrite", NULL};
  static const enum gg_mode values[] = {GG_MODE_NONE, GG_MODE_COUNT, GG_MODE_GATE, GG_MODE_REWRITE};
  static const enum gg_lua_function needed[] = {GG_LUA_SCRIPT, GG_LUA_COUNT, GG_LUA_GATE, GG_LUA_REWRITE};
  const struct gg_lua_vm *vm = gg__lua_vm_of(state);
  const struct gg_host *host = vm->lua->host;
  const struct gg_lua_session *session = current(vm, handle_at(state, 1));
  int from = luaL_checkoption(state, 2, NULL, side_texts), index = luaL_checkoption(state, 3, NULL, modes);
  int error = 0;
  if (index > 0 && vm->functions[needed[index]] == LUA_NOREF)
    return luaL_error(state, "the script has no function '%s'", modes[index]);
  if (!session) {
    lua_pushnil(state);
    lua_pushliteral(state, "that can be said in a call for this session only");
    return 2;
  }
  for (int i = 0; i < 2 && !error; i++)
    if (from == i || from == 2)
      error = host->want(host, session->live, (enum gg_side)i, values[index]);
  return answer(state, error);
}

static int tag_on(lua_State *state, bool on)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  const struct gg_lua_handle *handle = handle_at(state, 1);
  return answer(state, host->tag(host, &handle->key, luaL_checkstring(state, 2), on));
}

static int tag(lua_State *state)
{
  return tag_on(state, true);
}

static int untag(lua_State *state)
{
  return tag_on(state, false);
}

static int throttle(lua_State *state)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  const struct gg_lua_handle *handle = handle_at(state, 1);
  int from = luaL_checkoption(state, 2, NULL, side_texts);
  lua_Number rate = floor(luaL_checknumber(state, 3));
  int error = 0;
  luaL_argcheck(state, rate >= 0 && rate < 1e18, 3, "not a number of bytes a second");
  for (int i = 0; i < 2 && !error; i++)
    if (from == i || from == 2)
      error = host->throttle(host, &handle->key, (enum gg_side)i, (uint64_t)rate);
  return answer(state, error);
}

static int cut(lua_State *state)
{
  static const char *const kinds[] = {"close", "reset", "tarpit", NULL};
  static const enum gg_verdict_kind values[] = {GG_VERDICT_CLOSE, GG_VERDICT_RESET, GG_VERDICT_TARPIT};
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  const struct gg_lua_handle *handle = handle_at(state, 1);
  struct gg_verdict verdict = {.kind = values[luaL_checkoption(state, 2, "close", kinds)]};
  verdict.reason = luaL_optstring(state, 3, NULL);
  return answer(state, host->cut(host, &handle->key, &verdict));
}

/* The verdict as from `gate`; nothing: it passes. */
static int resume(lua_State *state)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  const struct gg_lua_handle *handle = handle_at(state, 1);
  int from = luaL_checkoption(state, 2, NULL, side_texts);
  struct gg_verdict verdict = {.kind = GG_VERDICT_PASS};
  int error = 0;
  lua_settop(state, 3);
  gg__lua_verdict_read(state, 3, &verdict);
  for (int i = 0; i < 2 && !error; i++)
    if (from == i || from == 2)
      error = host->resume(host, &handle->key, (enum gg_side)i, &verdict);
  return answer(state, error);
}

static const luaL_Reg methods[] = {
  {"want", want}, {"tag", tag},       {"untag", untag}, {"throttle", throttle},
  {"cut", cut},   {"resume", resume}, {NULL, NULL},
};

void gg__lua_session_class(lua_State *state)
{
  luaL_newmetatable(state, CLASS);
  luaL_newlib(state, methods);
  lua_pushcclosure(state, get_field, 1);
  lua_setfield(state, -2, "__index");
  lua_pushcfunction(state, set_field);
  lua_setfield(state, -2, "__newindex");
  lua_pushcfunction(state, as_text);
  lua_setfield(state, -2, "__tostring");
  lua_pushliteral(state, "session"); /* what getmetatable gives: the class stays as it is */
  lua_setfield(state, -2, "__metatable");
  lua_pop(state, 1);
}
