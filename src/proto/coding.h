/* SPDX-License-Identifier: Apache-2.0 */
/**
 * coding.h - one content coding: what content.c chains. Each is in a file of its own, with the library that it needs.
 */
#ifndef GG_PROTO_CODING_H
#define GG_PROTO_CODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gg__coding_result {
  GG__CODING_ON,      /* it took all that was given, or filled the room */
  GG__CODING_DAMAGED, /* `why` says what is wrong */
  GG__CODING_NOMEM,
};

/* One call: what is given, and room for what comes out. */
struct gg__coding_step {
  const uint8_t *in;
  size_t in_length; /* both go on by what was taken */
  uint8_t *out;
  size_t room;
  size_t made;
  const char *why; /* static, or until the next call */
};

struct gg__coding {
  const char *name;
  void *(*open)(void); /* NULL: no memory */
  enum gg__coding_result (*run)(void *state, struct gg__coding_step *step);
  bool (*is_whole)(const void *state); /* what was taken may be all */
  void (*close)(void *state);
};

extern const struct gg__coding gg__coding_brotli;
extern const struct gg__coding gg__coding_deflate;
extern const struct gg__coding gg__coding_gzip;
extern const struct gg__coding gg__coding_zstd;

#endif
