/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what a reload did, or why it did nothing: lines for people, each of a kind. Plain data. */
#ifndef GG_ENGINE_REPORT_H
#define GG_ENGINE_REPORT_H

#include "base/json.h"
#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { GG_REPORT_LINES_MAX = 256, GG_REPORT_TEXT_MAX = 512 };

enum gg_report_kind {
  GG_REPORT_CHANGED, /* "listener web: on_stall: block -> gap" */
  GG_REPORT_RESTART, /* "workers: 2 -> 4 needs a restart" */
  GG_REPORT_WARNING, /* it was done, but ... */
  GG_REPORT_ERROR,   /* nothing was done, because ... */
  GG_REPORT_KINDS,
};

struct gg_report_line {
  enum gg_report_kind kind;
  char text[GG_REPORT_TEXT_MAX];
};

struct gg_report {
  size_t count;
  size_t left_out; /* lines for which there was no room */
  struct gg_report_line lines[GG_REPORT_LINES_MAX];
};

void gg__report_clear(struct gg_report *report);
void gg__report_add(struct gg_report *report, enum gg_report_kind kind, const char *format, ...) GG_PRINTF(3, 4);
size_t gg__report_count(const struct gg_report *report, enum gg_report_kind kind);
/* An array of the lines of a kind, as the field `key`. */
void gg__report_write(const struct gg_report *report, enum gg_report_kind kind, const char *key, struct gg_json *json);

#endif
