/* SPDX-License-Identifier: Apache-2.0 */
/**
 * tags.h - tags as a part keeps them, one text with blanks between, and as a session has them, a list.
 *
 * Private to src/store. Thread: whoever owns them.
 */
#ifndef GG_STORE_TAGS_H
#define GG_STORE_TAGS_H

#include <gogetway/store.h>

/* Gives the session the tags of `packed`, in memory of its own: `*memory` (NULL at first) is replaced by it, and is the
 * caller's to free. GG_ERR_NOMEM: it has none. */
int gg__tags_set(struct gg_session *session, void **memory, const char *packed);

#endif
