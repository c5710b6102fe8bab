/* SPDX-License-Identifier: Apache-2.0 */
/**
 * config_diff.h - two configurations side by side: what differs, in words, made from the table of options.
 *
 * Pure functions; any thread.
 */
#ifndef GG_ENGINE_CONFIG_DIFF_H
#define GG_ENGINE_CONFIG_DIFF_H

#include "engine/config.h"
#include "engine/report.h"

/* Whether both are the same listener, as the gateway sees it: the same `listen`, or, where that has port 0 and so may
 * be any, the same name. */
bool gg__config_same_listener(const struct gg_config_listener *a, const struct gg_config_listener *b);

/* Tells every option that differs, each listener that came or went, and what differs in those that stayed. What needs
 * a restart is told as that. GG_ERR_NOMEM. */
int gg__config_diff(const struct gg_config *from, const struct gg_config *to, struct gg_report *report);

#endif
