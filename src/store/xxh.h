/* SPDX-License-Identifier: Apache-2.0 */
/* xxh.h - xxHash, compiled into whoever includes this: there is nothing to link, and nothing that is exported. */
#ifndef GG_STORE_XXH_H
#define GG_STORE_XXH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#endif
