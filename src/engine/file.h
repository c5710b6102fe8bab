/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - files that are replaced as a whole: whoever reads `path` sees the old text or the new one, never a part. */
#ifndef GG_ENGINE_FILE_H
#define GG_ENGINE_FILE_H

#include <gogetway/error.h>
#include <stddef.h>
#include <sys/types.h>

/* By way of a temporary file in the same directory, PATH.PID.tmp, and rename(2). `mode` is the file's whatever the
 * umask. On failure the old file is as it was. Not for two threads with one path. */
int gg__file_replace(const char *path, const char *text, size_t length, mode_t mode, struct gg_failure *failure);

/* Whether that could be done now, so that a path that is wrong is told at start and not later. */
int gg__file_check(const char *path, struct gg_failure *failure);

#endif
