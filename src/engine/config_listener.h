/* SPDX-License-Identifier: Apache-2.0 */
/** config_listener.h - the options of a listener, for the table of all (config_table.h). Constant data. */
#ifndef GG_ENGINE_CONFIG_LISTENER_H
#define GG_ENGINE_CONFIG_LISTENER_H

#include "base/schema.h"

enum { GG__CONFIG_LISTENER_OPTIONS = 22 };
extern const struct gg_option gg__config_listener_options[GG__CONFIG_LISTENER_OPTIONS];

/* Whether they go together; `item` is a struct gg_config_listener. GG_ERR_INVALID says what does not. */
int gg__config_listener_check(const void *item, struct gg_failure *failure);

#endif
