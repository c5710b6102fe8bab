/* SPDX-License-Identifier: Apache-2.0 */
#include "verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_texts[] = {
  [GG_VERDICT_PASS] = "pass",     [GG_VERDICT_HOLD] = "hold",
  [GG_VERDICT_CLOSE] = "close",   [GG_VERDICT_RESET] = "reset",
  [GG_VERDICT_TARPIT] = "tarpit", [GG_VERDICT_REPLY] = "reply",
  [GG_VERDICT_DIVERT] = "divert", NULL,
};
static const char *const open_kinds[] = {"pass", "close", "reset", "tarpit", "reply", NULL};

static bool is_among(const char *text, const char *const *texts)
{
  while (*texts && strcmp(*texts, text) != 0)
    texts++;
  return *texts != NULL;
}

enum gg_verdict_kind gg__lua_kind_read(lua_State *state, int index, const char *const *kinds)
{
  if (lua_isnil(state, index))
    return GG_VERDICT_PASS;
  const char *text = lua_type(state, index) == LUA_TSTRING ? lua_tostring(state, index) : NULL;
  if (!text)
    luaL_error(state, "a verdict is a text, not a %s", luaL_typename(state, index));
  else if (!is_among(text, kinds))
    luaL_error(state, "there is no verdict '%s' here", text);
  unsigned kind = 0;
  while (kind < GG_VERDICT_DIVERT && strcmp(kind_texts[kind], text) != 0)
    kind++;
  return (enum gg_verdict_kind)kind;
}

/* A misspelt member would be one that is silently not there. */
static void check_members(lua_State *state, int index, const char *const *names)
{
  if (!lua_istable(state, index))
    luaL_error(state, "a verdict is a text or a table, not a %s", luaL_typename(state, index));
  lua_pushnil(state);
  while (lua_next(state, index)) {
    lua_pop(state, 1);
    if (lua_type(state, -1) != LUA_TSTRING || !is_among(lua_tostring(state, -1), names))
      luaL_error(state, "a verdict has no member '%s'", luaL_tolstring(state, -1, NULL));
  }
}

/* The member's text in `out`, cut off if `cuts`, else an error if it is longer; NULL: it is not there. */
static const char *member_text(lua_State *state, int index, const char *name, char *out, size_t size, size_t *length,
                               bool cuts)
{
  size_t bytes = 0;
  int type = lua_getfield(state, index, name);
  if (type != LUA_TNIL && type != LUA_TSTRING)
    luaL_error(state, "'%s' is a %s, not a text", name, lua_typename(state, type));
  const char *text = lua_tolstring(state, -1, &bytes);
  if (text && bytes >= size + (length ? 1 : 0) && !cuts)
    luaL_error(state, "'%s' is longer than %d bytes", name, (int)(size - (length ? 0 : 1)));
  if (text) {
    size_t most = length ? size : size - 1;
    bytes = bytes < most ? bytes : most;
    memcpy(out, text, bytes);
    if (!length)
      out[bytes] = '\0';
  }
  if (length)
    *length = bytes;
  lua_pop(state, 1);
  return text ? out : NULL;
}

/* False: it is not there. */
static bool member_number(lua_State *state, int index, const char *name, lua_Number most, lua_Number *out)
{
  int type = lua_getfield(state, index, name);
  if (type == LUA_TNUMBER)
    *out = lua_tonumber(state, -1);
  if (type != LUA_TNIL && (type != LUA_TNUMBER || !(*out >= 0 && *out <= most)))
    luaL_error(state, "'%s' is not a number from 0 on", name);
  lua_pop(state, 1);
  return type != LUA_TNIL;
}

static enum gg_verdict_kind member_kind(lua_State *state, int index, const char *name, const char *const *kinds)
{
  lua_getfield(state, index, name);
  enum gg_verdict_kind kind = gg__lua_kind_read(state, lua_gettop(state), kinds);
  lua_pop(state, 1);
  return kind;
}

/* "all" is as much as there is. */
static size_t read_keep(lua_State *state, int index)
{
  lua_Number keep = 0;
  bool all = lua_getfield(state, index, "keep") == LUA_TSTRING && strcmp(lua_tostring(state, -1), "all") == 0;
  lua_pop(state, 1);
  if (all)
    return SIZE_MAX;
  member_number(state, index, "keep", 1e15, &keep);
  return (size_t)keep;
}

/* In whole nanoseconds; 0 is no time at all, so what is not is at least one. */
static uint64_t read_after_ns(lua_State *state, int index)
{
  lua_Number seconds = 0;
  member_number(state, index, "after", 1e9, &seconds);
  return (uint64_t)ceil(seconds * 1e9);
}

static void read_reply(lua_State *state, int index, struct gg_verdict *verdict)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  verdict->reply = member_text(state, index, "reply", vm->reply, sizeof vm->reply, &verdict->reply_length, false);
  if (verdict->kind == GG_VERDICT_REPLY && verdict->reply_length == 0)
    luaL_error(state, "the verdict 'reply' needs 'reply', which is not empty");
}

void gg__lua_verdict_read(lua_State *state, int index, struct gg_verdict *verdict)
{
  static const char *const members[] = {"kind", "keep", "after", "reply", "upstream", "reason", NULL};
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  struct gg_verdict read = {.kind = GG_VERDICT_PASS};
  if (lua_isnil(state, index) || lua_isstring(state, index)) {
    read.kind = gg__lua_kind_read(state, index, kind_texts);
    if (read.kind == GG_VERDICT_REPLY || read.kind == GG_VERDICT_DIVERT)
      luaL_error(state, "the verdict '%s' needs a table: it says no more by itself", kind_texts[read.kind]);
    if (read.kind == GG_VERDICT_HOLD)
      read.keep = SIZE_MAX; /* what nobody has decided about does not go on */
    *verdict = read;
    return;
  }
  check_members(state, index, members);
  read.kind = member_kind(state, index, "kind", kind_texts);
  read.keep = read_keep(state, index);
  read.after_ns = read_after_ns(state, index);
  read_reply(state, index, &read);
  read.upstream = member_text(state, index, "upstream", vm->upstream, sizeof vm->upstream, NULL, false);
  if (read.kind == GG_VERDICT_DIVERT && !read.upstream)
    luaL_error(state, "the verdict 'divert' needs 'upstream'");
  read.reason = member_text(state, index, "reason", vm->reason, sizeof vm->reason, NULL, true);
  *verdict = read;
}

/* ── Rewrite ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_out(lua_State *state, int index, struct gg_output *output)
{
  const struct gg_host *host = gg__lua_vm_of(state)->lua->host;
  size_t length = 0;
  const char *bytes = lua_tolstring(state, index, &length);
  int error = host->emit(host, output, bytes, length);
  if (error)
    luaL_error(state, error == GG_ERR_LIMIT ? "it puts out more than relay.pending_max" : "not enough memory");
}

/* A list without holes, of strings and nothing else: how many. */
static lua_Integer check_list(lua_State *state, int index)
{
  lua_Integer count = (lua_Integer)lua_rawlen(state, index), found = 0;
  gg__lua_vm_charge(state, count);
  lua_pushnil(state);
  for (; lua_next(state, index); found++) {
    lua_Integer key = lua_isinteger(state, -2) ? lua_tointeger(state, -2) : 0;
    if (key < 1 || key > count)
      luaL_error(state, "what goes on is a list, which has no '%s'", luaL_tolstring(state, -2, NULL));
    if (lua_type(state, -1) != LUA_TSTRING)
      luaL_error(state, "what goes on is made of strings, not of a %s", luaL_typename(state, -1));
    lua_pop(state, 1);
  }
  if (found != count)
    luaL_error(state, "what goes on is a list without holes");
  return count;
}

/* All of it is looked at before anything is put out: on an error nothing was. */
bool gg__lua_output_read(lua_State *state, int index, struct gg_output *output)
{
  int type = lua_type(state, index);
  if (type == LUA_TNIL)
    return false;
  if (type == LUA_TSTRING) {
    put_out(state, index, output);
    return true;
  }
  if (type != LUA_TTABLE)
    luaL_error(state, "what goes on is a string or a list of them, not a %s", lua_typename(state, type));
  lua_Integer count = check_list(state, index);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(state, index, i);
    put_out(state, -1, output);
    lua_pop(state, 1);
  }
  return true;
}

/* ── Open ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void read_recording(lua_State *state, int index, struct gg_open *open)
{
  static const char *const texts[] = {[GG_RECORDING_FULL] = "full",
                                      [GG_RECORDING_FIRST] = "first",
                                      [GG_RECORDING_METADATA] = "metadata",
                                      [GG_RECORDING_OFF] = "off"};
  lua_Number bytes = 0;
  int type = lua_getfield(state, index, "recording");
  if (type != LUA_TNIL) {
    const char *text = type == LUA_TSTRING ? lua_tostring(state, -1) : "";
    unsigned i = 0;
    while (i <= GG_RECORDING_OFF && strcmp(texts[i], text) != 0)
      i++;
    if (i > GG_RECORDING_OFF)
      luaL_error(state, "'recording' is one of 'full', 'first', 'metadata' and 'off'");
    open->recording = (enum gg_recording)i;
  }
  lua_pop(state, 1);
  bool counted = member_number(state, index, "record_first", 1e18, &bytes);
  if (counted != (type != LUA_TNIL && open->recording == GG_RECORDING_FIRST))
    luaL_error(state, "'record_first' and the recording 'first' go together");
  if (counted)
    open->record_first = (uint64_t)bytes;
}

static void read_hold_first(lua_State *state, int index, struct gg_open *open)
{
  lua_Number bytes = 0, seconds = 0;
  bool some = member_number(state, index, "hold_first_bytes", 16384, &bytes);
  if (some != member_number(state, index, "hold_first_seconds", 86400, &seconds))
    luaL_error(state, "'hold_first_bytes' and 'hold_first_seconds' go together");
  if (!some)
    return;
  open->hold_first_bytes = (size_t)bytes;
  open->hold_first_ns = (uint64_t)(seconds * 1e9);
}

/* A copy of the session's, since the gateway reads it again after `first`. */
static void read_upstream(lua_State *state, int index, struct gg_lua_session *session, struct gg_open *open)
{
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  const char *upstream = member_text(state, index, "upstream", vm->upstream, sizeof vm->upstream, NULL, false);
  char *copy = upstream ? strdup(upstream) : NULL;
  if (!upstream)
    return;
  if (!copy)
    luaL_error(state, "not enough memory");
  if (open->upstream == session->upstream)
    open->upstream = NULL;
  free(session->upstream);
  session->upstream = copy;
  open->upstream = copy;
}

void gg__lua_open_read(lua_State *state, int index, struct gg_lua_session *session, struct gg_open *open)
{
  static const char *const members[] = {"verdict",      "upstream",         "recording",
                                        "record_first", "hold_first_bytes", "hold_first_seconds",
                                        "reply",        "reason",           NULL};
  struct gg_lua_vm *vm = gg__lua_vm_of(state);
  struct gg_open read = *open;
  struct gg_verdict verdict = {.kind = GG_VERDICT_PASS};
  if (lua_isnil(state, index))
    return;
  if (lua_isstring(state, index)) {
    verdict.kind = gg__lua_kind_read(state, index, open_kinds);
    if (verdict.kind == GG_VERDICT_REPLY)
      luaL_error(state, "the verdict 'reply' needs a table: it says no more by itself");
    if (verdict.kind != GG_VERDICT_PASS)
      open->verdict = verdict;
    return;
  }
  check_members(state, index, members);
  verdict.kind = member_kind(state, index, "verdict", open_kinds);
  read_reply(state, index, &verdict);
  verdict.reason = member_text(state, index, "reason", vm->reason, sizeof vm->reason, NULL, true);
  read_recording(state, index, &read);
  read_hold_first(state, index, &read);
  read_upstream(state, index, session, &read); /* behind all that may raise an error */
  if (verdict.kind != GG_VERDICT_PASS)
    read.verdict = verdict; /* of one that passes nothing is read, and its texts do not last */
  *open = read;
}
