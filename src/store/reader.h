/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reader.h - reading a session for who has its record (record.h), and on from where a reading ended.
 */
#ifndef GG_STORE_READER_H
#define GG_STORE_READER_H

#include "store/record.h"

/* As gg_reader_open. The record has to live as long as it is read. */
int gg__reader_open(struct gg_reader **out, const struct gg__record *record, struct gg_failure *failure);

/* The session has grown: behind its end, the reader goes on with what this record has more, in place of the one before.
 * GG_ERR_NOT_FOUND: the segment in which it ended is not among the record's; GG_ERR_IO, NOMEM, ... as gg_reader_next
 * has them. After an error it can only be closed. */
int gg__reader_go_on(struct gg_reader *reader, const struct gg__record *record, struct gg_failure *failure);

#endif
