/* SPDX-License-Identifier: Apache-2.0 */
/**
 * script.h - what is to be played: recorded sessions in order of their start, and of each its steps.
 *
 * A table of operations and an instance: the plan (plan.h) reads them from segments; tests and the simulation make
 * their own. Players know nothing else of a recording.
 *
 *   session ──► SEND SEND │ EXPECT EXPECT │ SEND │ EXPECT │ SEND_END │ EXPECT_END │ OVER
 *               a chunk in   one reply       depends on     also
 *               two pieces   of the server   the reply      dependent
 *
 * A chunk (what one read returned) is one step, or several of the same side, time and direction: the first has
 * `begins_chunk`. Steps stand in recorded order.
 *
 * Thread: the replay's.
 */
#ifndef GG_REPLAY_SCRIPT_H
#define GG_REPLAY_SCRIPT_H

#include <gogetway/store.h>

enum gg_step_kind {
  GG_STEP_SEND,         /* bytes of the client */
  GG_STEP_EXPECT,       /* bytes of the server */
  GG_STEP_SEND_GAP,     /* `gap` bytes of the client are missing in the recording; nothing is sent for them */
  GG_STEP_EXPECT_GAP,   /* ... of the server: any bytes are as good as these */
  GG_STEP_SEND_END,     /* the client's FIN */
  GG_STEP_EXPECT_END,   /* the server's FIN */
  GG_STEP_SEND_RESET,   /* the client's RST */
  GG_STEP_EXPECT_RESET, /* the server's, or what the gateway did for it */
  GG_STEP_OVER,         /* the last step: when the recorded session had ended, or the recording of it */
};

enum { GG_STEP_BYTES_MAX = 64 << 10 }; /* of one step: a packet's payload */

struct gg_step {
  uint64_t time_ns; /* UTC, as recorded */
  uint64_t offset;  /* in its direction's stream */
  uint64_t place;   /* the script's: where its bytes are */
  uint64_t record;  /* the script's: what it was made of */
  uint64_t gap;
  uint32_t length;
  uint32_t file; /* the script's */
  uint8_t kind;  /* enum gg_step_kind */
  bool begins_chunk;
};

/* A place in a session's steps; plain data, may be copied to go on from there once more. */
struct gg_cursor {
  uint64_t block; /* the script's */
  uint32_t index;
};

struct gg_script_session {
  char id[25];
  uint64_t start_ns; /* UTC, as recorded */
  uint64_t end_ns;
  uint64_t bytes[2];  /* by enum gg_side */
  uint64_t chunks;    /* of the client */
  uint64_t dependent; /* of those, behind bytes of the server */
  uint64_t gaps;      /* bytes missing, both ways */
  uint32_t service;   /* sessions of one service (what the client dialled) have the same number, from 0 */
  bool refused;       /* the client's connection led to no server: its upstream could not be had */
  bool beginning_missing;
  const char *opaque; /* "TLS", "SSH": encrypted end to end; NULL: not as far as its first bytes tell. Static */
};

struct gg_script;

struct gg_script_ops {
  size_t (*count)(const struct gg_script *script);
  void (*session)(const struct gg_script *script, size_t index, struct gg_script_session *out);
  struct gg_cursor (*steps)(const struct gg_script *script, size_t index); /* at its first step */
  /* 1: a step, and the cursor has moved behind it; 0: there are no more (the last one was GG_STEP_OVER); negative: an
   * error, with the failure filled. */
  int (*next)(struct gg_script *script, struct gg_cursor *cursor, struct gg_step *out, struct gg_failure *failure);
  /* `size` bytes of a SEND or EXPECT step from `skip` on. 0, or an error. */
  int (*bytes)(struct gg_script *script, const struct gg_step *step, uint32_t skip, uint8_t *out, uint32_t size,
               struct gg_failure *failure);
};

struct gg_script {
  const struct gg_script_ops *ops;
  /* The reader's hint: one session after the other is read, so that what stands beside its bytes is not wanted. While
   * it plays, a session's neighbours are. */
  bool sparse;
};

#endif
