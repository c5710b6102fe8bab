/* SPDX-License-Identifier: Apache-2.0 */
/**
 * untold.h - what people have said of sessions (marks.h), and a catalogue has not heard, or has heard otherwise.
 *
 * The catalogue notes how far the journal was read for it. If that is a place in the journal that is there now, what is
 * behind it is all; else, because the journal was written anew, replaced or taken away, the two are compared.
 *
 * Private to src/store. Thread: that of both.
 */
#ifndef GG_STORE_UNTOLD_H
#define GG_STORE_UNTOLD_H

#include "store/catalogue.h"
#include "store/marks.h"

/* Calls for sessions of which something else may be said than the catalogue was told, some twice; `marks` NULL:
 * nothing is said of any. A non-zero return ends it and is returned. The callee does not write the catalogue. */
int gg__untold_each(struct gg__marks *marks, struct gg__catalogue *catalogue,
                    int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure);

#endif
