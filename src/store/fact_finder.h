/* SPDX-License-Identifier: Apache-2.0 */
/**
 * fact_finder.h - the values of a field in one session, by decoding it: where the catalogue has not all of them, or
 * there is none.
 */
#ifndef GG_STORE_FACT_FINDER_H
#define GG_STORE_FACT_FINDER_H

#include "store/filter_field.h"

/* Decodes by the built-in decoders; static. */
extern const struct gg__fact_finder gg__fact_finder;

#endif
