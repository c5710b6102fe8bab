/* SPDX-License-Identifier: Apache-2.0 */
/* messages.h - a session's messages, for those of this room who look for something in them. Private; the store's
 * thread. */
#ifndef GG_STORE_MESSAGES_H
#define GG_STORE_MESSAGES_H

#include <gogetway/messages.h>

/* Tells all that is recorded; where the session is still open, as if it had ended there. Errors as gg_store_messages
 * has them. */
int gg__message_reader_finish(struct gg_message_reader *reader, struct gg_failure *failure);

#endif
