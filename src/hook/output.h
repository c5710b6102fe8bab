/* SPDX-License-Identifier: Apache-2.0 */
/**
 * output.h - what a plug-in puts out by host->emit: a buffer that grows up to a bound.
 *
 * Thread: the one that calls the plug-in.
 */
#ifndef GG_HOOK_OUTPUT_H
#define GG_HOOK_OUTPUT_H

#include <gogetway/plugin.h>

enum { GG_OUTPUT_FIRST_BYTES = 512 };

/* Zeroed but for `most`, it is empty. Emptied again by setting `length` (and `error` and `given`) to 0. */
struct gg_output {
  uint8_t *bytes;
  size_t length;
  size_t size;
  size_t most; /* bytes that it may have */
  bool given;  /* something was put out, if only nothing at all */
  int error;   /* the first that an append has come to: whoever called the plug-in ends what it was called for */
};

/* Room for `more` bytes behind those that are there. GG_ERR_LIMIT: that is more than `most`; GG_ERR_NOMEM. */
int gg_output_reserve(struct gg_output *output, size_t more);
/* Appends a copy. An error takes nothing of it, and stays in `error`. */
int gg_output_append(struct gg_output *output, const void *bytes, size_t length);
/* Frees what it has; `most` stays. */
void gg_output_fini(struct gg_output *output);

#endif
