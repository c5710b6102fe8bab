/* SPDX-License-Identifier: Apache-2.0 */
/**
 * verdict.h - what a script's functions return, as the gateway understands it.
 *
 * All raise errors of the script for what cannot be. Texts of a verdict are copied to the vm, where they stay until the
 * next verdict is read: the gateway reads them before it calls again.
 * Thread: the vm's.
 */
#ifndef GG_LUA_VERDICT_H
#define GG_LUA_VERDICT_H

#include "session.h"

/* Of `gate` and resume: nothing, a kind, or a table {kind, keep, after, reply, upstream, reason}. */
void gg__lua_verdict_read(lua_State *state, int index, struct gg_verdict *verdict);
/* Of `accept` and `connect`: nothing or a kind, which is one of `kinds`. */
enum gg_verdict_kind gg__lua_kind_read(lua_State *state, int index, const char *const *kinds);
/* Of `open` and `first`: nothing, a kind, or a table {verdict, upstream, recording, record_first, hold_first_bytes,
 * hold_first_seconds, reply, reason}. What it does not say stays. */
void gg__lua_open_read(lua_State *state, int index, struct gg_lua_session *session, struct gg_open *open);
/* Of `rewrite`: nothing (false), a string, or a table of strings, which are put out one after the other. */
bool gg__lua_output_read(lua_State *state, int index, struct gg_output *output);
/* session.c: {client = values[0], server = values[1]}. */
void gg__lua_push_pair(lua_State *state, const uint64_t values[2]);

#endif
