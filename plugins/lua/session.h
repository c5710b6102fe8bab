/* SPDX-License-Identifier: Apache-2.0 */
/**
 * session.h - sessions as a script sees them.
 *
 * A session of the script is a userdata that has a key, and one value of its own: `session.state`. As long as the
 * gateway has the session, the gateway's state of it is a struct gg_lua_session, which leads to the userdata; in a call
 * for that session the userdata leads back. A script may keep it for as long as it likes: outside of the session's own
 * calls everything goes by the key, which a session that has ended does not answer to.
 *
 *     gg_live ──state──► gg_lua_session ──registry──► userdata ──► key
 *                               ▲                         │  └────► state, a table
 *                               └── until close returns ──┘
 *
 * Thread: the vm's.
 */
#ifndef GG_LUA_SESSION_H
#define GG_LUA_SESSION_H

#include "vm.h"

struct gg_lua_handle;

struct gg_lua_session {
  struct gg_live *live;
  struct gg_lua_vm *vm;
  struct gg_lua_handle *handle; /* the userdata; NULL: it was not needed yet */
  int reference;                /* its */
  char *upstream; /* what `open` has chosen, which the gateway may read again after `first`; NULL: nothing */
  bool stopped;   /* `rewrite` has failed, and on_error is close: nothing more is put out */
};

/* Makes the class of sessions. Raises errors, as the next two. */
void gg__lua_session_class(lua_State *state);
/* Pushes one's userdata. */
void gg__lua_session_push(lua_State *state, struct gg_lua_session *session);
/* Pushes that of a key, which serves any session, be it another worker's. */
void gg__lua_session_push_key(lua_State *state, const struct gg_session_key *key);

/* The gateway's session as the script's; made when it is first needed. NULL: without memory. */
struct gg_lua_session *gg__lua_session_get(struct gg_lua_vm *vm, struct gg_live *live);
/* Ends what was made, if something was. */
void gg__lua_session_end(struct gg_lua *lua, struct gg_live *live);

#endif
