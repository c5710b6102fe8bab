/* SPDX-License-Identifier: Apache-2.0 */
/**
 * segment_name.h - what a segment's name tells: "STAMP-LOG-NUMBER.pcapng".
 *
 * What retention has kept of a segment has its name with a generation, "STAMP-LOG-NUMBER.kept1.pcapng": so it stands
 * where that stood in the order of names, and says what it replaces. Of files with one base only the newest generation
 * counts (keep.h); the segment itself is generation 0.
 *
 * Pure functions; any thread.
 */
#ifndef GG_STORE_SEGMENT_NAME_H
#define GG_STORE_SEGMENT_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG__SEGMENT_LOG_MAX = 128 };

/* False if that is no segment's name. */
bool gg__segment_log(const char *file, char log[GG__SEGMENT_LOG_MAX]);

/* Its place in its run of the gateway, from 1; 0 if it says none. */
uint64_t gg__segment_number(const char *file);

/* The number of the process that wrote it: 1, unless its log has one behind its name (record/process.c). 0: that is no
 * segment's name. */
unsigned gg__segment_process(const char *file);

/* How long the part of a name is that all generations share, and which generation it is; any file has one. */
size_t gg__segment_base(const char *file, unsigned *generation);

/* False: the names have other bases. */
bool gg__segment_same_base(const char *a, const char *b);

/* In order of bases, and of generations in them. */
int gg__segment_order(const char *a, const char *b);

/* The name of the next generation; false: too long, or there is none. */
bool gg__segment_next_name(const char *file, char *name, size_t size);

#endif
