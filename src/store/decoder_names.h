/* SPDX-License-Identifier: Apache-2.0 */
/**
 * decoder_names.h - the names that decoders bring along: those of the fields that sessions are found by.
 *
 * They live as long as the process. Thread: any.
 */
#ifndef GG_STORE_DECODER_NAMES_H
#define GG_STORE_DECODER_NAMES_H

#include "store/filter_field.h"

/* The fields of the decoders that are built in which are facts, with those that all decoded sessions have
 * (gg_decoder_common_fields); NULL: there was no memory for them. */
const struct gg__facts_table *gg__decoder_facts(void);

#endif
