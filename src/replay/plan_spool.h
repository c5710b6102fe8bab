/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plan_spool.h - a plan's temporary file while it is made: append only, but for small changes in what is there.
 *
 * It has no name (O_TMPFILE, or unlinked at once): nothing is left behind however the program ends. All begins at a
 * multiple of GG_SPOOL_ALIGN, so that what is not longer than this never lies across blocks of the plan's cache.
 * Private to src/replay's plan. Thread: one at a time.
 */
#ifndef GG_REPLAY_PLAN_SPOOL_H
#define GG_REPLAY_PLAN_SPOOL_H

#include <gogetway/error.h>
#include <stddef.h>
#include <stdint.h>

enum { GG_SPOOL_ALIGN = 32, GG_SPOOL_BUFFER_BYTES = 256 << 10 };

struct gg_spool {
  int fd; /* -1: none */
  const char *directory;
  uint8_t *buffer; /* what is behind `written` */
  size_t used;
  uint64_t written;
};

/* In $TMPDIR, else /var/tmp, else /tmp. Errors of the directory; fini also after an error. */
int gg__spool_init(struct gg_spool *spool, struct gg_failure *failure);
void gg__spool_fini(struct gg_spool *spool);

/* GG_ERR_NO_SPACE, GG_ERR_IO. `*place` is where the bytes will be. */
int gg__spool_add(struct gg_spool *spool, const void *data, size_t bytes, uint64_t *place, struct gg_failure *failure);
/* At most GG_SPOOL_ALIGN bytes that do not cross a multiple of it, in front of the end. */
int gg__spool_change(struct gg_spool *spool, uint64_t place, const void *data, size_t bytes,
                     struct gg_failure *failure);
/* Writes what is in the buffer, and frees it: nothing is added any more. */
int gg__spool_finish(struct gg_spool *spool, struct gg_failure *failure);

#endif
