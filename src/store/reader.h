/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reader.h - reading a session for who has its record (record.h), and on from where a reading ended; and what a reader
 * tells besides chunks: where a side has said that nothing follows.
 */
#ifndef GG_STORE_READER_H
#define GG_STORE_READER_H

#include "store/record.h"

/* As gg_reader_open. The record has to live as long as it is read. */
int gg__reader_open(struct gg_reader **out, const struct gg__record *record, struct gg_failure *failure);

/* Retention takes no notice of this reader: what it has open it reads to its end, what it comes to too late is gone. */
void gg__reader_yield(struct gg_reader *reader);

enum gg__read { GG__READ_END, GG__READ_CHUNK, GG__READ_FIN };

/* gg_reader_next, and also GG__READ_FIN when all that `side` of `chunk` has said has been given out, and its FIN was
 * recorded at `time_ns`. An enum gg__read, or a negative error. */
int gg__reader_step(struct gg_reader *reader, struct gg_chunk *chunk, struct gg_failure *failure);

/* What is recorded is not all: the end is where it goes on when it is asked again, after a refresh of the store whose
 * record it is, until `follows` is false. Meanwhile no file is open. */
void gg__reader_follow(struct gg_reader *reader, bool follows);
/* Such a reader at its end goes on with this record of the same session, in place of the one that it had, which still
 * is there. GG_ERR_NOT_FOUND: the file at whose end it is is not among the record's; it stays as it was. */
int gg__reader_go_on(struct gg_reader *reader, const struct gg__record *record, struct gg_failure *failure);

#endif
