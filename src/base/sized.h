/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sized.h - structs of a public header that programs of an earlier version hand over, or have filled.
 *
 * Each begins with its `size`, as the program that gives it was built with it, and only ever grows at its end:
 *
 *     struct gg_store_options options = GG_STORE_OPTIONS_INIT;
 *     int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_store_options, threads), given,
 *                               "gg_store_options", failure);
 *
 * What an earlier version did not have keeps its default. A longer one is refused, also if all that is unknown is zero:
 * a default need not be zero, and a size that was never set would have us read what is nobody's.
 *
 * A member that is added begins where the struct has ended before, its padding included: what a program of the version
 * before has in its padding is not known.
 */
#ifndef GG_BASE_SIZED_H
#define GG_BASE_SIZED_H

#include <gogetway/error.h>
#include <stddef.h>

/* Where a member ends: the least size is that of the last member of the first version. */
#define GG_SIZED_END(type, member) (offsetof(type, member) + sizeof(((const type *)0)->member))

/* `out`: `known` bytes with the defaults in them; gets what `given` has, and keeps its own size. GG_ERR_INVALID: the
 * size of `given` is below `least` or above `known`; the failure says so of `name`. */
int gg_sized_take(void *out, size_t known, size_t least, const void *given, const char *name,
                  struct gg_failure *failure);

/* The other way: fills `out`, whose owner has said how much of it there is, with so much of `from` (`known` bytes), and
 * says how much that was. GG_ERR_INVALID: there is no room for the size itself; nothing was written. */
int gg_sized_tell(void *out, const void *from, size_t known);

#endif
