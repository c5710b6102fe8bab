/* SPDX-License-Identifier: Apache-2.0 */
/**
 * http_view.h - what the forms of export have to know of a message of HTTP.
 *
 * Pure functions; any thread. Private to src/store.
 */
#ifndef GG_STORE_HTTP_VIEW_H
#define GG_STORE_HTTP_VIEW_H

#include "store/exchange.h"
#include "store/hiding.h"

struct gg__text {
  const char *at;
  size_t length;
};
/* The message's first field of that name and key (NULL: whatever key); empty if there is none. */
struct gg__text gg__http_text(const struct gg_message *message, const char *name, const char *key);
bool gg__http_is_field(const struct gg_field *field, const char *name);
bool gg__text_is(struct gg__text text, const char *word); /* any case */
/* Where in a header's value credentials stand; `secret`: all of it does. */
void gg__hide_header(struct gg__hiding *out, const struct gg_field *field);
/* Where in a message's body they do. `undone`: without its Content-Encoding. */
void gg__hide_body_of(struct gg__hiding *out, const struct gg_message *message, bool undone, const void *body,
                      size_t length);
/* "192.0.2.1" and "80" of "192.0.2.1:80", "::1" and "80" of "[::1]:80". */
void gg__address_split(const char *address, struct gg__text *host, struct gg__text *port);
/* Whether it may stand as it is between "http://" and a path. */
bool gg__is_authority(struct gg__text text);

#endif
