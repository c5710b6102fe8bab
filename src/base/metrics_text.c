/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_text.c - the registry in Prometheus' text exposition format 0.0.4.
 *
 *     # HELP gogetway_route_connect_seconds Time from connect(2) to the upstream's answer
 *     # TYPE gogetway_route_connect_seconds histogram
 *     gogetway_route_connect_seconds_bucket{listener="web",upstream="127.0.0.1:80",le="0.000001024"} 0
 *     ...
 *     gogetway_route_connect_seconds_bucket{listener="web",upstream="127.0.0.1:80",le="+Inf"} 12
 *     gogetway_route_connect_seconds_sum{listener="web",upstream="127.0.0.1:80"} 0.001302115
 *     gogetway_route_connect_seconds_count{listener="web",upstream="127.0.0.1:80"} 12
 *
 * Names are made from the definitions, so that nobody has to keep two lists: the prefix gogetway_, then the name with
 * its unit made a base unit (_ns becomes _seconds; _ppm, parts per million, becomes _ratio; bytes are one already), and
 * _total behind a counter. All samples of one name stand together: first the name, then the members of its family.
 *
 * Times are counted in whole nanoseconds, and written as decimals of seconds by integers only, as ratios are: exact,
 * and the same in every locale. A bucket's edge is a power of two of nanoseconds, and what lies on the edge itself is
 * in the next one: the registry counts "below", the format says "at most", and the two differ by the one nanosecond
 * that no clock here can tell. The registry's last bucket has no upper edge, so it is in +Inf alone; +Inf and _count
 * are one number by construction, though the workers count on while this reads.
 */
#include "base/metrics.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NS_DIGITS = 9, PPM_DIGITS = 6, NAME_MAX_BYTES = 128, BUCKET_SHIFT = 10 };
static const char prefix[] = "gogetway_";

/* What the samples of one name have in common. */
struct named {
  FILE *out;
  const struct gg_metric_def *def;
  char name[NAME_MAX_BYTES];
  int digits; /* of its values so many stand behind the point */
};

static bool ends_in(const char *text, size_t length, const char *end)
{
  size_t end_length = strlen(end);
  return length >= end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

static void name_make(struct named *named, FILE *out, const struct gg_metric_def *def)
{
  size_t length = strlen(def->name);
  named->out = out;
  named->def = def;
  named->digits = 0;
  const char *unit = "";
  if (ends_in(def->name, length, "_ppm")) {
    length -= strlen("_ppm");
    unit = "_ratio";
    named->digits = PPM_DIGITS;
  } else if (def->kind == GG_METRIC_HISTOGRAM || ends_in(def->name, length, "_ns")) {
    length -= ends_in(def->name, length, "_ns") ? strlen("_ns") : 0;
    unit = "_seconds";
    named->digits = NS_DIGITS;
  }
  int made = snprintf(named->name, sizeof named->name, "%s%.*s%s%s", prefix, (int)length, def->name, unit,
                      def->kind == GG_METRIC_COUNTER ? "_total" : "");
  assert(made > 0 && (size_t)made < sizeof named->name);
  (void)made;
}

/* A character that is not valid UTF-8 becomes U+FFFD: the format is UTF-8, and one bad byte would cost all of it. */
static void put_escaped(FILE *out, const char *text, bool quoted)
{
  for (size_t left = strlen(text); left > 0;) {
    uint32_t point;
    size_t length = gg_utf8_next(text, left, &point);
    if (length == 0) {
      fputs("\xEF\xBF\xBD", out);
      length = 1;
    } else if (*text == '\\' || (quoted && *text == '"')) {
      fprintf(out, "\\%c", *text);
    } else if (*text == '\n') {
      fputs("\\n", out);
    } else {
      fwrite(text, 1, length, out);
    }
    text += length;
    left -= length;
  }
}

static void put_head(const struct named *named)
{
  static const char *const kinds[] = {
    [GG_METRIC_COUNTER] = "counter", [GG_METRIC_GAUGE] = "gauge", [GG_METRIC_HISTOGRAM] = "histogram"};
  fprintf(named->out, "# HELP %s ", named->name);
  put_escaped(named->out, named->def->help, false);
  fprintf(named->out, "\n# TYPE %s %s\n", named->name, kinds[named->def->kind]);
}

/* With so many of its digits behind the point, without zeros that say nothing. */
static void put_scaled(FILE *out, uint64_t value, int digits)
{
  uint64_t scale = 1;
  for (int i = 0; i < digits; i++)
    scale *= 10;
  uint64_t part = value % scale;
  for (; digits > 1 && part % 10 == 0; digits--)
    part /= 10;
  fprintf(out, "%" PRIu64, value / scale);
  if (part > 0)
    fprintf(out, ".%0*" PRIu64, digits, part);
}

static void put_seconds(FILE *out, uint64_t ns)
{
  put_scaled(out, ns, NS_DIGITS);
}

/* The labels of a sample; of an unlabelled metric `family` is NULL. */
struct labels {
  const struct gg_metric_family *family;
  const char *const *values;
  const struct gg_metric_def *def;
};

static void put_label(FILE *out, bool *any, const char *name, const char *value)
{
  fprintf(out, "%c%s=\"", *any ? ',' : '{', name);
  put_escaped(out, value, true);
  fputc('"', out);
  *any = true;
}

/* Name and labels. `edge_ns`: of a bucket, 0 for +Inf; NULL: this is no bucket. */
static void put_series(const struct named *named, const char *suffix, const struct labels *labels,
                       const uint64_t *edge_ns)
{
  FILE *out = named->out;
  bool any = false;
  fprintf(out, "%s%s", named->name, suffix);
  for (size_t i = 0; labels->family && i < labels->family->label_count; i++)
    put_label(out, &any, labels->family->labels[i], labels->values[i]);
  if (labels->def->label)
    put_label(out, &any, labels->def->label, labels->def->label_value);
  if (edge_ns) {
    fprintf(out, "%cle=\"", any ? ',' : '{');
    if (*edge_ns > 0)
      put_seconds(out, *edge_ns);
    else
      fputs("+Inf", out);
    fputc('"', out);
    any = true;
  }
  fputs(any ? "} " : " ", out);
}

static void put_number(const struct named *named, const struct gg_reading *reading)
{
  uint64_t value = reading->value;
  if (named->def->kind == GG_METRIC_GAUGE && (int64_t)value < 0) {
    fputc('-', named->out);
    value = 0 - value;
  }
  put_scaled(named->out, value, named->digits);
  fputc('\n', named->out);
}

static void put_histogram(const struct named *named, const struct labels *labels, const struct gg_reading *reading)
{
  uint64_t below = 0, no_edge = 0;
  for (size_t i = 0; i + 1 < GG_METRIC_BUCKETS; i++) {
    uint64_t edge_ns = UINT64_C(1) << (i + BUCKET_SHIFT);
    below += reading->buckets[i];
    put_series(named, "_bucket", labels, &edge_ns);
    fprintf(named->out, "%" PRIu64 "\n", below);
  }
  put_series(named, "_bucket", labels, &no_edge);
  fprintf(named->out, "%" PRIu64 "\n", reading->value);
  put_series(named, "_sum", labels, NULL);
  put_seconds(named->out, reading->sum);
  fputc('\n', named->out);
  put_series(named, "_count", labels, NULL);
  fprintf(named->out, "%" PRIu64 "\n", reading->value);
}

static void put_sample(const struct named *named, const struct labels *labels, const struct gg_reading *reading)
{
  if (named->def->kind == GG_METRIC_HISTOGRAM) {
    put_histogram(named, labels, reading);
    return;
  }
  put_series(named, "", labels, NULL);
  put_number(named, reading);
}

/* All definitions of one name, from table[first] on, over all members. Returns the first of the next name. */
static size_t put_family_name(FILE *out, const struct gg_metrics *metrics, size_t number, size_t first)
{
  const struct gg_metric_family *family = gg_metrics_family(metrics, number);
  struct named named;
  size_t end = first + 1;
  while (end < family->count && strcmp(family->table[end].name, family->table[first].name) == 0)
    end++;
  if (family->member_count == 0)
    return end;
  name_make(&named, out, &family->table[first]);
  put_head(&named);
  for (size_t member = 0; member < family->member_count; member++)
    for (size_t i = first; i < end; i++) {
      struct gg_reading reading;
      const struct labels labels = {family, family->values + member * family->label_count, &family->table[i]};
      if (gg_metrics_read_member(metrics, number, member, i, &reading) == 0)
        put_sample(&named, &labels, &reading);
    }
  return end;
}

static void put_all(FILE *out, const struct gg_metrics *metrics)
{
  struct gg_reading reading;
  for (size_t i = 0; gg_metrics_read(metrics, i, &reading) == 0; i++) {
    struct named named;
    const struct labels none = {.def = reading.def};
    name_make(&named, out, reading.def);
    put_head(&named);
    put_sample(&named, &none, &reading);
  }
  for (size_t number = 0; gg_metrics_family(metrics, number); number++)
    for (size_t i = 0; i < gg_metrics_family(metrics, number)->count;)
      i = put_family_name(out, metrics, number, i);
}

char *gg_metrics_text(struct gg_metrics *metrics, size_t *length)
{
  char *text = NULL;
  FILE *out = open_memstream(&text, length);
  if (!out)
    return NULL;
  gg_metrics_collect(metrics);
  gg_metrics_hold(metrics);
  put_all(out, metrics);
  gg_metrics_let_go(metrics);
  bool failed = ferror(out) != 0;
  if (fclose(out) != 0 || failed) {
    free(text);
    return NULL;
  }
  return text;
}
