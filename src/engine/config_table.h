/* SPDX-License-Identifier: Apache-2.0 */
/** config_table.h - the one table of the gateway's options; what struct gg_config is filled from. Constant data. */
#ifndef GG_ENGINE_CONFIG_TABLE_H
#define GG_ENGINE_CONFIG_TABLE_H

#include "base/schema.h"

extern const struct gg_schema gg__config_schema;

/* Its lists. */
enum gg__config_list { GG__CONFIG_LISTENERS, GG__CONFIG_PLUGINS, GG__CONFIG_TAGS, GG__CONFIG_LISTS };
static inline const struct gg_option_list *gg__config_list(enum gg__config_list which)
{
  return &gg__config_schema.lists[which];
}

#endif
