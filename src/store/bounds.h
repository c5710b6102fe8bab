/* SPDX-License-Identifier: Apache-2.0 */
/**
 * bounds.h - the bounds of reading recordings that are met from outside: docs/config.md lists them (engine/bounds.c).
 */
#ifndef GG_STORE_BOUNDS_H
#define GG_STORE_BOUNDS_H

#include <stdint.h>

enum {
  GG_FILTER_TERMS_MAX = 64,           /* words of one filter */
  GG_MERGE_OPEN_MAX = 256,            /* files that overlap in time; more are GG_ERR_LIMIT */
  GG_PLACE_FILES_MAX = 1 << 20,       /* of one recording */
  GG_STREAM_HELD_MAX = 64,            /* packets that wait for earlier ones */
  GG_STREAM_HELD_BYTES_MAX = 1 << 20, /* and their bytes together */
  GG_SWEEP_OPEN_MAX = 1 << 20,        /* sessions without an end at one time; more are GG_ERR_LIMIT */
  GG_TAIL_LOGS_MAX = 1024,            /* whose segments are told in order */
};
#define GG_TAIL_PATIENCE_NS UINT64_C(5000000000) /* of one that is stopped, for a reader who has half a packet */

#endif
