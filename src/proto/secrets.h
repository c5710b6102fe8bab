/* SPDX-License-Identifier: Apache-2.0 */
/**
 * secrets.h - names of what lets its owner in: of headers, parameters, members of forms and of JSON.
 *
 * Names are told by their words, in any case and however they are joined: "apiKey", "api_key", "X-Api-Key", "API KEY".
 * That is a guess, and meant to err on the side of hiding. Pure functions; any thread.
 */
#ifndef GG_PROTO_SECRETS_H
#define GG_PROTO_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#define GG__SECRET_SHOWN "****" /* in place of a value that is not shown */

bool gg__secret_name(const char *name, size_t length);

/* Overwrites with '*', in place, the values that follow such a name in text that looks like a query, a form, headers or
 * JSON (name=value, "name": "value", name: value), also if the text is cut anywhere. For summaries, which are short:
 * views that know what they show mask by gg__secret_name. */
void gg__secret_blank(char *text, size_t length);

#endif
