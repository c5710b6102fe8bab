/* SPDX-License-Identifier: Apache-2.0 */
/**
 * segment_name.h - what a segment's name tells: "STAMP-LOG-NUMBER.pcapng".
 *
 * Pure functions; any thread.
 */
#ifndef GG_STORE_SEGMENT_NAME_H
#define GG_STORE_SEGMENT_NAME_H

#include <stdbool.h>
#include <stdint.h>

enum { GG__SEGMENT_LOG_MAX = 128 };

/* False if that is no segment's name. */
bool gg__segment_log(const char *file, char log[GG__SEGMENT_LOG_MAX]);

/* Its place in its run of the gateway, from 1; 0 if it says none. */
uint64_t gg__segment_number(const char *file);

#endif
