/* SPDX-License-Identifier: Apache-2.0 */
/* config_judge.h - the checks that concern options of several places; for config.c only. */
#ifndef GG_ENGINE_CONFIG_JUDGE_H
#define GG_ENGINE_CONFIG_JUDGE_H

#include "engine/config.h"

/* Tells every combination that cannot be in `errors`, each at its place. Listeners may be half filled: what `places`
 * says is wrong, or is NULL, is passed over. 0, GG_ERR_FORMAT, GG_ERR_NOMEM. */
int gg__config_judge(const struct gg_config *config, struct gg_schema_places *places, struct gg_config_errors *errors);

#endif
