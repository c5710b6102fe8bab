/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/counters.h"

const struct gg_metric_def gg__gateway_counters[GG_COUNTERS] = {
#define DEFINITION(NAME, name, kind, help) {#name, GG_METRIC_##kind, help},
  GG_COUNTER_LIST(DEFINITION)
#undef DEFINITION
};
