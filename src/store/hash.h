/* SPDX-License-Identifier: Apache-2.0 */
/**
 * hash.h - hashes of what strangers chose, for tables: each process has its own, so that no capture can be made whose
 * keys all fall into one place.
 *
 * Any thread.
 */
#ifndef GG_STORE_HASH_H
#define GG_STORE_HASH_H

#include "net/addr.h"

#include <stddef.h>
#include <stdint.h>

uint64_t gg__hash(const void *data, size_t length);

/* Of a connection: the same in both directions. */
uint64_t gg__hash_pair(const struct gg_addr *a, const struct gg_addr *b);

#endif
