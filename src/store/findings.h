/* SPDX-License-Identifier: Apache-2.0 */
/**
 * findings.h - what a session is found by, gathered from its messages while they are decoded.
 *
 *   decoding ──► gg__findings_sink ──► values, each once ──► gg__findings_each ──► facts of the catalogue
 *
 * Of a field that is a fact (decoder.h) the first distinct values are told, one more than the catalogue keeps, so that
 * it knows that there were more. Texts are made safe to print and cut. Memory is bounded: what was told is remembered
 * by its hash alone.
 *
 * Thread: one at a time.
 */
#ifndef GG_STORE_FINDINGS_H
#define GG_STORE_FINDINGS_H

#include <gogetway/decoder.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  GG_FINDINGS_TEXT_MAX = 256,   /* bytes of a value, with the NUL */
  GG_FINDINGS_FIELDS_MAX = 128, /* fields of one session */
  GG_FINDINGS_ASKED_MAX = 256,  /* requests whose answers are waited for: of more, the latest */
};

struct gg__findings;

/* A value of a field. `sets`: the session has one value of this field, and this is it now. */
struct gg__finding {
  const char *field;
  const char *text; /* NULL: it is the number */
  uint64_t number;
  bool sets;
};

int gg__findings_create(struct gg__findings **out); /* GG_ERR_NOMEM */
void gg__findings_destroy(struct gg__findings *findings);

struct gg_message_sink gg__findings_sink(struct gg__findings *findings);

/* Calls for what is new since the last time. Texts are borrowed for the call. A non-zero return ends it and is
 * returned; GG_ERR_NOMEM: something was not kept for want of memory. */
int gg__findings_each(struct gg__findings *findings, int (*visit)(void *context, const struct gg__finding *finding),
                      void *context);

/* What the session is called ; "": not told yet, or unknown. The text is the decoder's. */
const char *gg__findings_protocol(const struct gg__findings *findings);

#endif
