/* SPDX-License-Identifier: Apache-2.0 */
/**
 * export_script.h - what sessions are made into that is played again: programs, and what was on a screen.
 *
 * Private to src/store. Thread: the store's.
 */
#ifndef GG_STORE_EXPORT_SCRIPT_H
#define GG_STORE_EXPORT_SCRIPT_H

#include "store/bounds.h"
#include "store/output.h"

#include <gogetway/messages.h>

struct gg__script {
  const char *decoder, *framing;
  bool secrets;
};

/* GG_ERR_UNSUPPORTED: the session is no text, or encrypted. What has been put then is nothing whole. */
int gg__asciicast_write(struct gg__writer *out, struct gg_store *store, const struct gg_session *session,
                        const struct gg__script *script, struct gg_failure *failure);

#endif
