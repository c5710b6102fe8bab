/* SPDX-License-Identifier: Apache-2.0 */
/**
 * hiding.h - where in a URL, a header or a body credentials stand, by the names in front of them (proto/secrets.h).
 *
 * Pure functions; any thread. Private to src/store.
 */
#ifndef GG_STORE_HIDING_H
#define GG_STORE_HIDING_H

#include <stdbool.h>
#include <stddef.h>

enum { GG__HIDDEN_MAX = 256, GG__HIDDEN_NAME_MAX = 48 };

/* Undoes %XX, and '+' if it means a blank. `out` has room for `length` bytes. Returns how many came out. */
size_t gg__percent_undo(char *out, const char *text, size_t length, bool plus);
/* Where the query begins (behind the '?') and ends (at a '#'); equal: there is none. */
void gg__query_find(const char *url, size_t length, size_t *from, size_t *to);

/* Bytes from `from` to before `to`; the name is for people, and may be cut. */
struct gg__hidden {
  size_t from, to;
  char name[GG__HIDDEN_NAME_MAX];
  size_t name_length;
};
struct gg__hiding {
  struct gg__hidden places[GG__HIDDEN_MAX]; /* in order; what does not fit: the last one goes to the end */
  size_t count;
  bool coded;     /* of a body that is: one place is all of it */
  bool no_memory; /* likewise */
};

void gg__hide_whole(struct gg__hiding *out, size_t length, const char *name, size_t name_length);
void gg__hide_url(struct gg__hiding *out, const char *url, size_t length);
void gg__hide_text(struct gg__hiding *out, const char *text, size_t length);

/* What its headers say of a body: Content-Type, and the Content-Encoding that it still has. */
struct gg__body_kind {
  const char *type, *coding;
  size_t type_length, coding_length;
};
/* As gg_body_view masks it. */
void gg__hide_body(struct gg__hiding *out, const struct gg__body_kind *kind, const void *body, size_t length);

#endif
