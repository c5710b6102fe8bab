/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/counters.h"

const struct gg_metric_def gg__gateway_counters[GG_COUNTERS] = {
#define DEFINITION(NAME, name, kind, help) {#name, GG_METRIC_##kind, help, NULL, NULL},
  GG_COUNTER_LIST(DEFINITION)
#undef DEFINITION
};

#define DEFINITION(NAME, name, kind, label, value, help) {#name, GG_METRIC_##kind, help, label, value},
const struct gg_metric_def gg__flow_counters[GG_FLOW_COUNTERS] = {GG_FLOW_LIST(DEFINITION)};
const struct gg_metric_def gg__connect_counters[GG_CONNECT_COUNTERS] = {GG_CONNECT_LIST(DEFINITION)};
const struct gg_metric_def gg__queue_counters[GG_QUEUE_COUNTERS] = {GG_QUEUE_LIST(DEFINITION)};
#undef DEFINITION
