/* SPDX-License-Identifier: Apache-2.0 */
/**
 * cookie_expiry.h - when a cookie ends, as RFC 6265 has clients read it (5.1.1, 5.2.1, 5.2.2), in ISO 8601.
 *
 * Pure functions; any thread. Private to src/store.
 */
#ifndef GG_STORE_COOKIE_EXPIRY_H
#define GG_STORE_COOKIE_EXPIRY_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the value of an Expires, in whatever form a date comes: "2026-11-23T21:28:37Z". False: clients pass it over. */
bool gg__cookie_expires(char out[GG_CLOCK_TEXT_MAX], const char *value, size_t length);
/* Of the value of a Max-Age that came at that time. None left is the beginning of 1970. False likewise. */
bool gg__cookie_max_age(char out[GG_CLOCK_TEXT_MAX], const char *value, size_t length, uint64_t came_ns);

#endif
