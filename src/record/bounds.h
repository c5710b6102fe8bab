/* SPDX-License-Identifier: Apache-2.0 */
/**
 * bounds.h - the recorder's bounds that are met from outside: docs/config.md lists them (engine/bounds.c).
 */
#ifndef GG_RECORD_BOUNDS_H
#define GG_RECORD_BOUNDS_H

#include <stdint.h>

enum {
  GG_RECORDER_PROCESSES_MAX = 64, /* that write to one store at one time */
  GG_LOGS_MAX = 1024,
  GG_RING_BYTES_MIN = 256 << 10,
  GG_RING_BYTES_MAX = 1 << 30,
  GG_RING_SEGMENTS_MAX = 8,    /* segments that may be begun and not completely written */
  GG_RINGS_ALIVE_MAX = 8,      /* generations of one log: from 2 MiB to 256 MiB while a disk hangs */
  GG_SEAL_BYTES_MAX = 2 << 20, /* this much gathered is handed to the writer */
  GG_FILES_CLOSING_MAX = 64,   /* files that wait for their last fdatasync */
  GG_LOG_CONTROL_RESERVE_BYTES = 64 << 10,
};
#define GG_DISK_RETRY_NS UINT64_C(100000000)    /* after the disk refused */
#define GG_LOG_HASTE_NS UINT64_C(250000000)     /* what a new session waits until it is handed over */
#define GG_ROOM_RETRY_NS UINT64_C(10000000)     /* the same, while retention makes room */
#define GG_RING_SHRINK_NS UINT64_C(10000000000) /* of low fill */
#define GG_WALL_CLOCK_STEP_NS 100000000         /* noted from here on; signed: a step goes either way */

#endif
