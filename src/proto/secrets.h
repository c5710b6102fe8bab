/* SPDX-License-Identifier: Apache-2.0 */
/**
 * secrets.h - names of what lets its owner in: of headers, parameters, members of forms and of JSON, elements of XML.
 *
 * Names are told by their words, in any case and however they are joined: "apiKey", "api_key", "X-Api-Key", "API KEY".
 * That is a guess, and meant to err on the side of hiding. Pure functions; any thread.
 */
#ifndef GG_PROTO_SECRETS_H
#define GG_PROTO_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GG__SECRET_SHOWN "****"    /* in place of a value that is not shown */
enum { GG__SECRET_NAME_MAX = 64 }; /* bytes of a name that are kept: of a longer one, the last */

bool gg__secret_name(const char *name, size_t length);

/* Text of any kind, letter by letter, in whatever pieces it comes: which of its letters are the value of such a name.
 * Zeroed, it is at the text's beginning. docs/messages.md says what is recognised. */
struct gg__secret_text {
  uint8_t state;
  bool begun, markup; /* its first letter was a '<' */
  bool indented;      /* the line has had nothing but blanks and marks of lists and comments */
  bool leads;         /* the name is the first thing of its line: its value is the rest of that */
  char joint;         /* ':' or '=' between name and value ... */
  bool tight;         /* ... which is '=', without blanks around it: a form, perhaps */
  char quote;         /* of the value */
  unsigned quoting;   /* backslashes in front of that quote, in text within a string ... */
  unsigned run;       /* ... and those that came just now */
  unsigned depth;     /* brackets in a value, elements in an element */
  bool secret;        /* of an element's name */
  char last;
  char name[GG__SECRET_NAME_MAX];
  size_t name_length;
};
bool gg__secret_text_take(struct gg__secret_text *text, char letter);
/* Whether anything of a whole text may be hidden: faster than to look at each letter, for of most texts nothing is. */
bool gg__secret_text_has(const char *text, size_t length);
/* Of a part of one: whether any of these may be hidden, or make a credential of what follows. */
bool gg__secret_text_may_be(const void *text, size_t length);

/* Makes ranges of such letters. `hidden` may be NULL: then nothing is done. */
struct gg__secret_range {
  void (*hidden)(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length);
  void *context;
  bool open;
  uint64_t from;
};
void gg__secret_range_take(struct gg__secret_range *range, uint64_t offset, bool secret, const char *name,
                           size_t name_length);

#endif
