/* SPDX-License-Identifier: Apache-2.0 */
/* metric_named.h - reads one metric of a registry by its name. */
#ifndef GG_TEST_METRIC_NAMED_H
#define GG_TEST_METRIC_NAMED_H

#include "base/metrics.h"
#include <stdbool.h>
#include <string.h>

static inline bool metric_named(const struct gg_metrics *metrics, const char *name, struct gg_reading *out)
{
  for (size_t i = 0; gg_metrics_read(metrics, i, out) == 0; i++)
    if (strcmp(out->def->name, name) == 0)
      return true;
  return false;
}

#endif
