/* SPDX-License-Identifier: Apache-2.0 */
/**
 * json_view.h - JSON laid out for people: a line for each member and element, two blanks a level.
 *
 * Strings and numbers stay as they came, letter by letter: 1.10 is not 1.1, and 12345678901234567890 loses nothing.
 * What is broken is laid out all the same, and where it is not JSON any more is said. Several values, one behind the
 * other, are taken as lines (NDJSON). It may come in any pieces; nothing is allocated.
 *
 * The values of members that are called like credentials are masked unless secrets are asked for, also if they are
 * objects or arrays: then all strings and numbers in them. So is what looks like one within other strings (secrets.h).
 *
 * What comes out may have any bytes that went in: who shows it makes it safe (gg_text_sanitize).
 */
#ifndef GG_PROTO_JSON_VIEW_H
#define GG_PROTO_JSON_VIEW_H

#include "proto/secrets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__JSON_VIEW_DEPTH_MAX = 1024,               /* that is followed; what is deeper counts as broken */
  GG__JSON_VIEW_INDENT_MAX = 32,                /* levels that are seen */
  GG__JSON_VIEW_NAME_MAX = GG__SECRET_NAME_MAX, /* bytes of a name by which it may be secret */
};

struct gg__json_view {
  void (*sink)(void *context, const char *text, size_t length);
  void *context;
  bool secrets;                  /* they are shown */
  struct gg__secret_range range; /* told of what is masked, without quotes; zeroed: nobody wants to know */
  uint64_t broken_at;            /* which byte is the first that is not as it should be ... */
  const char *broken;            /* ... half a sentence; NULL: none is */

  uint64_t offset;                              /* of the next byte */
  uint8_t objects[GG__JSON_VIEW_DEPTH_MAX / 8]; /* a bit for each level: it is an object */
  size_t depth, beyond;                         /* levels, and those that are not followed */
  uint8_t expected, lexeme, last, escape;
  bool newline;      /* in front of what comes next */
  bool masked;       /* the string or word that is under way is not told */
  size_t masked_top; /* level of a container all of whose values are masked; 0: none */
  bool next_masked;  /* the value that comes next is */
  uint8_t number;    /* how far a word is one */
  const char *literal;
  size_t literal_length;
  uint16_t unit; /* of a \u */
  char name[GG__JSON_VIEW_NAME_MAX];
  size_t name_length;
  char secret_name[GG__JSON_VIEW_NAME_MAX]; /* of what is masked */
  size_t secret_name_length;
  struct gg__secret_text text; /* of a string */
  bool in_text;                /* it is within a credential there */
  char out[1024];
  size_t out_length;
};

void gg__json_view_init(struct gg__json_view *view, void (*sink)(void *context, const char *text, size_t length),
                        void *context, bool secrets);
void gg__json_view_push(struct gg__json_view *view, const void *data, size_t length);
void gg__json_view_finish(struct gg__json_view *view); /* ends with a line's end, unless nothing came */

#endif
