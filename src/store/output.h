/* SPDX-License-Identifier: Apache-2.0 */
/**
 * output.h - files that an export makes: new ones are removed when something fails, and those that replace another get
 * its name when they are whole, so that nobody takes half an export for all of it.
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_OUTPUT_H
#define GG_STORE_OUTPUT_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GG__OUTPUT_PATH_MAX = 4096, GG__WRITER_BYTES = 1 << 16 };

struct gg__output {
  int fd;
  bool made;    /* by us: is removed on failure */
  bool renamed; /* `path` becomes `final` at the end */
  char path[GG__OUTPUT_PATH_MAX];
  const char *final;
};
#define GG__OUTPUT_NONE                                                                                                \
  {                                                                                                                    \
    .fd = -1                                                                                                           \
  }

/* Mode 0600. `path` outlives the output. GG_ERR_EXISTS, RANGE, or as the system says. */
int gg__output_open(struct gg__output *output, const char *path, bool overwrite, struct gg_failure *failure);
/* `error` is how it went until here, and is returned unless something else fails. */
int gg__output_close(struct gg__output *output, int error, struct gg_failure *failure);
/* A directory with mode 0700, if there is none. */
int gg__output_directory(const char *path, struct gg_failure *failure);
/* All of it; `path` is for the failure. */
int gg__output_write(int fd, const void *data, size_t length, const char *path, struct gg_failure *failure);

/* Small pieces on their way into a file. The first error stays: nothing is written after it. */
struct gg__writer {
  int fd;
  const char *path;
  int error;
  struct gg_failure failure;
  uint64_t bytes; /* that were put */
  size_t used;
  char buffer[GG__WRITER_BYTES];
};
void gg__writer_init(struct gg__writer *writer, int fd, const char *path);
void gg__writer_put(struct gg__writer *writer, const void *data, size_t length);
void gg__writer_text(struct gg__writer *writer, const char *text);
void gg__writer_flush(struct gg__writer *writer);

#endif
