/* SPDX-License-Identifier: Apache-2.0 */
/**
 * kernel_metrics.h - metrics that nobody here counts: they are asked of the kernel, and of the gateway, when somebody
 * asks for the metrics. No worker is troubled. And what never changes: which version this is, and since when it runs.
 *
 * Thread: start on the engine's, before the first part that counts is made; what it starts runs on whatever thread
 * reads the metrics, one at a time.
 */
#ifndef GG_ENGINE_KERNEL_METRICS_H
#define GG_ENGINE_KERNEL_METRICS_H

#include <gogetway/error.h>

struct gg_gateway;
struct gg_kernel_metrics;

/* Registers them in engine->metrics. Where the kernel's file cannot be opened its counts stay 0. */
int gg__kernel_metrics_start(struct gg_kernel_metrics **out, struct gg_gateway *engine, struct gg_failure *failure);
/* Nobody reads the metrics any more. */
void gg__kernel_metrics_stop(struct gg_kernel_metrics *kernel);

#endif
