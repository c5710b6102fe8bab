/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/report.h"

#include <stdarg.h>
#include <stdio.h>

void gg__report_clear(struct gg_report *report)
{
  report->count = 0;
  report->left_out = 0;
}

void gg__report_add(struct gg_report *report, enum gg_report_kind kind, const char *format, ...)
{
  va_list list;
  if (report->count == GG_REPORT_LINES_MAX) {
    report->left_out++;
    return;
  }
  struct gg_report_line *line = &report->lines[report->count++];
  line->kind = kind;
  va_start(list, format);
  vsnprintf(line->text, sizeof line->text, format, list);
  va_end(list);
}

size_t gg__report_count(const struct gg_report *report, enum gg_report_kind kind)
{
  size_t count = 0;
  for (size_t i = 0; i < report->count; i++)
    count += report->lines[i].kind == kind;
  return count;
}

void gg__report_write(const struct gg_report *report, enum gg_report_kind kind, const char *key, struct gg_json *json)
{
  gg_json_key(json, key);
  gg_json_array_begin(json);
  for (size_t i = 0; i < report->count; i++)
    if (report->lines[i].kind == kind)
      gg_json_string(json, report->lines[i].text);
  gg_json_array_end(json);
}
