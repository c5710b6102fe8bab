/* SPDX-License-Identifier: Apache-2.0 */
/**
 * vm.h - Lua states with limits, and calls into them that always come back.
 *
 *     struct gg_lua, one an instance of the plug-in
 *        │  the script's text, read once; options; how often which function has failed
 *        ├── vm of the first worker ── lua_State, globals of its own
 *        ├── vm of the second worker
 *        └── vm of the thread of `tick`
 *
 * Thread: a vm belongs to the thread that has got it first, and only that one touches it; what is atomic is read by the
 * commands' thread as well. Instances are made and destroyed on the main thread.
 */
#ifndef GG_LUA_VM_H
#define GG_LUA_VM_H

#include <gogetway/plugin.h>
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
  GG_LUA_VMS_MAX = 64,                 /* states of an instance */
  GG_LUA_SCRIPT_MAX = 4 * 1024 * 1024, /* bytes of a script */
  GG_LUA_ERROR_MAX = 400,              /* bytes of an error's text that are kept */
  GG_LUA_UPSTREAM_MAX = 256,           /* bytes of an upstream's name in a verdict, with the NUL */
  GG_LUA_STEP = 1000,                  /* instructions after which they are counted */
};
#define GG_LUA_AGAIN_NS UINT64_C(1000000000) /* a state that could not be made is tried again after that */

/* X(NAME, function): the functions that a script may have. SCRIPT is the script itself. */
#define GG_LUA_LIST(X)                                                                                                 \
  X(ACCEPT, "accept")                                                                                                  \
  X(OPEN, "open")                                                                                                      \
  X(FIRST, "first")                                                                                                    \
  X(CONNECT, "connect")                                                                                                \
  X(CONNECTED, "connected")                                                                                            \
  X(FAILED, "failed")                                                                                                  \
  X(COUNT, "count")                                                                                                    \
  X(GATE, "gate")                                                                                                      \
  X(REWRITE, "rewrite")                                                                                                \
  X(CLOSE, "close")                                                                                                    \
  X(TICK, "tick")                                                                                                      \
  X(SCRIPT, "the script")
enum gg_lua_function {
#define GG_LUA_ENUM(NAME, text) GG_LUA_##NAME,
  GG_LUA_LIST(GG_LUA_ENUM)
#undef GG_LUA_ENUM
    GG_LUA_FUNCTIONS
};
extern const char *const gg__lua_function_texts[GG_LUA_FUNCTIONS];

enum gg_lua_library { GG_LUA_IO, GG_LUA_OS, GG_LUA_PACKAGE, GG_LUA_DEBUG, GG_LUA_LIBRARIES };
extern const char *const gg__lua_library_texts[GG_LUA_LIBRARIES];

struct gg_lua_session;
struct gg_lua;

struct gg_lua_vm {
  struct gg_lua *lua;
  lua_State *state;             /* NULL: it could not be made */
  int functions[GG_LUA_SCRIPT]; /* in the registry; LUA_NOREF: the script has none */
  uint64_t again_ns;            /* when to try again, without a state */
  uint64_t tick_interval_ns;    /* as the script has it */
  /* Of the call that is under way: */
  int64_t left; /* instructions; below 0: no more, whatever the script catches */
  bool over;
  char over_text[GG_LUA_ERROR_MAX];
  struct gg_lua_session *current; /* NULL: it is of no session */
  /* What a verdict points to until the gateway has read it: */
  char reason[GG_REASON_MAX];
  char upstream[GG_LUA_UPSTREAM_MAX];
  char reply[GG_REPLY_MAX];
  /* For the commands: */
  _Atomic size_t used, peak; /* bytes */
  _Atomic uint64_t calls;
  _Atomic int worker; /* -1: not known yet */
};

struct gg_lua {
  const struct gg_host *host;
  const char *path; /* of the script, as the configuration has it */
  struct stat file; /* when it was read */
  char *source;
  size_t source_length;
  size_t memory_max;
  int64_t instructions_max;
  bool closes; /* on_error */
  bool libraries[GG_LUA_LIBRARIES];
  bool has[GG_LUA_FUNCTIONS];        /* what the script has, by its first run */
  uint64_t ticked_ns;                /* the tick's thread */
  pthread_key_t key;                 /* a thread's vm */
  _Atomic(struct gg_lua_vm *) spare; /* made with the instance, for the first thread that comes */
  _Atomic uint64_t errors[GG_LUA_FUNCTIONS];
  pthread_mutex_t lock; /* of what follows; nobody takes it but who makes a vm, fails or asks */
  unsigned vm_count;
  struct gg_lua_vm *vms[GG_LUA_VMS_MAX];
  char last_error[GG_LUA_ERROR_MAX];
};

/* A call of one of the script's functions. `push` pushes its arguments and returns how many, `take` looks at the one
 * result, on the top of the stack; both may raise errors, which are the script's. Either may be NULL. */
struct gg_lua_call {
  enum gg_lua_function function;
  int (*push)(lua_State *state, struct gg_lua_call *call);
  void (*take)(lua_State *state, struct gg_lua_call *call);
  struct gg_lua_session *session; /* NULL: of none */
  const void *in;
  void *out;
};

static inline struct gg_lua_vm *gg__lua_vm_of(lua_State *state)
{
  return *(struct gg_lua_vm **)lua_getextraspace(state);
}

/* A state in which the script has run. NULL: *text says why, with file and line. */
struct gg_lua_vm *gg__lua_vm_create(struct gg_lua *lua, char text[GG_LUA_ERROR_MAX]);
void gg__lua_vm_destroy(struct gg_lua_vm *vm); /* NULL is fine */
/* This thread's, which is made if it has none; NULL: it cannot be had, which was counted and told. */
struct gg_lua_vm *gg__lua_vm_here(struct gg_lua *lua);
/* False: it has failed, which was counted and told. The script must have the function. */
bool gg__lua_vm_call(struct gg_lua_vm *vm, struct gg_lua_call *call);
/* Carries out `what` with `argument` as its light userdata, without the script; false: without memory. */
bool gg__lua_vm_protect(struct gg_lua_vm *vm, lua_CFunction what, void *argument);
/* Takes instructions off the call's; raises an error if there are none left. */
void gg__lua_vm_charge(lua_State *state, int64_t instructions);
/* Counts and tells an error. */
void gg__lua_fail(struct gg_lua *lua, enum gg_lua_function function, const char *text);

/* guard.c: opens the libraries that are permitted, without what would lead around the limits. Raises errors. */
void gg__lua_guard(lua_State *state, const struct gg_lua *lua);
/* api.c: the table `gg`. Raises errors. */
void gg__lua_api(lua_State *state);

#endif
