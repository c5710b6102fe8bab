/* SPDX-License-Identifier: Apache-2.0 */
/**
 * clock.h - the two clocks, and the text of a time.
 *
 * Times are unsigned nanoseconds: on the monotonic clock for durations and deadlines, since 1970-01-01T00:00:00Z for
 * what is shown and stored (enough until the year 2554). Any thread.
 */
#ifndef GG_BASE_CLOCK_H
#define GG_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define GG_NS_PER_US UINT64_C(1000)
#define GG_NS_PER_MS UINT64_C(1000000)
#define GG_NS_PER_S UINT64_C(1000000000)

enum { GG_CLOCK_TEXT_MAX = 40 };

uint64_t gg_clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t gg_clock_real_ns(void); /* CLOCK_REALTIME */

/* RFC 3339 in UTC with `digits` (0 to 9) decimals, cut, not rounded: "2026-11-22T12:30:00.123Z" for 3. Always ends in
 * NUL; returns the length, which is at most GG_CLOCK_TEXT_MAX - 1; 0 if `size` is too small. */
size_t gg_clock_format(uint64_t real_ns, unsigned digits, char *text, size_t size);

/* Reads RFC 3339: a date, 'T' or a space, a time with up to nine decimals, and 'Z' or an offset (+02:00). A date alone
 * is its midnight in UTC. GG_ERR_FORMAT if it is not such a text, GG_ERR_RANGE before 1970, after 2554 or on a day that
 * does not exist; *out is untouched then. A leap second (:60) is the first instant of the next minute. */
int gg_clock_parse(uint64_t *out_ns, const char *text);

#endif
