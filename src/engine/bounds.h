/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GG_ENGINE_BOUNDS_H
#define GG_ENGINE_BOUNDS_H

/* The section of docs/config.md; the caller frees it; NULL without memory. */
char *gg__bounds_document(void);

#endif
