/* SPDX-License-Identifier: Apache-2.0 */
/* redact.h - the parts of the plug-in redact. */
#ifndef REDACT_H
#define REDACT_H

#include <gogetway/plugin.h>

enum {
  LONGEST = 4096,    /* bytes of the longest thing that a pattern may match */
  STATES_MAX = 8192, /* bytes of all patterns together, each repetition counted out */
  EDGES_MAX = 65535, /* ways from one of them to the next */
  DEPTH_MAX = 32,    /* of groups in groups */
};

/* pattern.c: the patterns as one automaton without loops. Each state is a byte of some pattern; it is entered by one of
 * the bytes in its class, and left to those that can follow it. */
struct automaton {
  struct {
    uint32_t class[8]; /* bit by bit, the bytes that enter it */
    bool accepts;      /* a match may end with it */
  } state[STATES_MAX];
  uint32_t state_count;
  struct {
    uint16_t from, to;
  } edge[EDGES_MAX];
  uint32_t edge_count;
  /* Made by automaton_finish: the states behind state s are follow[follow_at[s]] and on up to follow_at[s + 1], those
   * that byte b begins with are begin[begin_at[b]] and on. */
  uint16_t follow[EDGES_MAX];
  uint32_t follow_at[STATES_MAX + 1];
  bool begins[STATES_MAX];
  uint16_t *begin;
  uint32_t begin_at[257];
};

/* Each adds a pattern. What is wrong with it is said in the failure without a word of the pattern itself: it may be a
 * secret. */
int automaton_add_literal(struct automaton *automaton, const char *text, bool ignore_case, struct gg_failure *failure);
int automaton_add_bytes(struct automaton *automaton, const char *text, struct gg_failure *failure);
int automaton_add_regex(struct automaton *automaton, const char *text, bool ignore_case, struct gg_failure *failure);
/* When all are added. */
int automaton_finish(struct automaton *automaton, struct gg_failure *failure);
void automaton_fini(struct automaton *automaton);

/* matcher.c: one direction of a session. */
struct beginning {
  uint16_t state; /* that was entered by the last byte */
  uint16_t bytes; /* since its earliest beginning */
};
struct matcher {
  struct beginning *begun; /* what has begun to match, and not ended */
  size_t count, size;
  bool blind; /* there was no memory: everything is masked */
};
void matcher_fini(struct matcher *matcher);
/* Looks at all bytes behind the first `seen`, which it knows, and puts `fill` in the place of every byte that is part
 * of a match; of overlapping ones all. *masked: so many were changed. Returns how many of the last bytes may turn out
 * to be a match's beginning. */
size_t matcher_run(struct matcher *matcher, const struct automaton *automaton, uint8_t *bytes, size_t length,
                   size_t seen, uint8_t fill, size_t *masked);

#endif
