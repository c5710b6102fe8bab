/* SPDX-License-Identifier: Apache-2.0 */
/**
 * marks_journal.h - the journal's file: read as it grows, appended to under a lock, written anew.
 *
 * Reading takes no lock, and disturbs nobody: only whole lines are read, and before going on behind the last one it is
 * looked whether that is still there. If it is not (another file was put in the place of this one, or lines whose
 * writing failed were taken back), all is read anew.
 *
 * Private to src/store. Thread: the marks'.
 */
#ifndef GG_STORE_MARKS_JOURNAL_H
#define GG_STORE_MARKS_JOURNAL_H

#include "store/bounds.h"
#include "store/marks.h"
#include "store/marks_line.h"

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  GG__MARKS_BUFFER = 256 << 10,
  GG__MARKS_WARNINGS = 16,
  GG__MARKS_WARNING_BYTES = 192,
  GG__MARKS_BEGINNING = 1024
};

struct gg__marks_journal {
  char *store; /* its directory */
  char *path;  /* of the journal, for messages and for opening */
  int fd;      /* -1: there is none, or it was not opened yet */
  int folder;  /* while it is locked; else -1 */
  bool writable;
  bool replaced; /* `fd` is another file than the one that was read */
  dev_t device;
  ino_t inode;
  uint64_t offset;                  /* what is before was read */
  char last[GG__MARKS_CHECK_BYTES]; /* of that */
  size_t last_length;
  uint64_t lines;   /* that were read, and were whole */
  uint64_t damaged; /* that were left out */
  /* Told of each of them, while it is set; `text` is its beginning if it is longer than any line. */
  void (*tell_damaged)(void *context, uint64_t offset, const char *text, size_t length);
  void *tell_context;
  char *buffer;        /* for reading and for writing, never both */
  size_t gathered;     /* of what is to be written */
  uint64_t begin, end; /* where this writing began, and where it has come to */
  char warnings[GG__MARKS_WARNINGS][GG__MARKS_WARNING_BYTES];
};

int gg__marks_journal_init(struct gg__marks_journal *journal, const char *store, struct gg_failure *failure);
void gg__marks_journal_fini(struct gg__marks_journal *journal);

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Looks what there is. `*anew`: what was read before does not count any more; it is read from the beginning. */
int gg__marks_journal_look(struct gg__marks_journal *journal, bool *anew, struct gg_failure *failure);

/* Calls for each whole line that was not read yet. An error that a call returns ends it: that line was not read. */
int gg__marks_journal_read(struct gg__marks_journal *journal,
                           int (*take)(void *context, const struct gg__marks_line *line), void *context,
                           struct gg_failure *failure);

/* The same for the whole lines from one offset to another, which were read before, here or by somebody else. */
int gg__marks_journal_again(const struct gg__marks_journal *journal, uint64_t from, uint64_t to,
                            int (*take)(void *context, const struct gg__marks_line *line), void *context,
                            struct gg_failure *failure);

/* marks_position.c. How far it was read; false: the file cannot be read. */
bool gg__marks_journal_position(const struct gg__marks_journal *journal, struct gg__marks_position *out);
/* Whether that is it, by what is in memory. */
bool gg__marks_journal_is_at(const struct gg__marks_journal *journal, const struct gg__marks_position *position);
/* Whether it is a place in this file, in front of which is what was in front of it then. */
bool gg__marks_journal_has(const struct gg__marks_journal *journal, const struct gg__marks_position *position);

/* The next reading is from the beginning. */
void gg__marks_journal_rewind(struct gg__marks_journal *journal);

/* One sentence; NULL past the last. */
const char *gg__marks_journal_warning(const struct gg__marks_journal *journal, size_t index);

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Makes the journal if there is none, and waits for its lock. What is in it is to be looked at and read afterwards: it
 * may be another one than before. */
int gg__marks_journal_lock(struct gg__marks_journal *journal, struct gg_failure *failure);
void gg__marks_journal_unlock(struct gg__marks_journal *journal); /* fine without the lock */

/* With the lock, all read: `begin` cuts a torn last line, `add` gathers and writes whole lines, `end` writes the rest
 * and makes all of it durable. After an error nothing of it is there; it needs no end. */
int gg__marks_journal_begin(struct gg__marks_journal *journal, struct gg_failure *failure);
int gg__marks_journal_add(struct gg__marks_journal *journal, const struct gg__marks_line *line,
                          struct gg_failure *failure);
int gg__marks_journal_end(struct gg__marks_journal *journal, struct gg_failure *failure);

/* With the lock: writes a new journal of the lines that `next` fills until it returns false, and puts it in the place
 * of the old one, which stays beside it if it has damaged lines (marks.jsonl.damaged, .damaged.2, ...). After an error
 * the old one is as it was. */
int gg__marks_journal_rewrite(struct gg__marks_journal *journal,
                              bool (*next)(void *context, struct gg__marks_line *line), void *context,
                              struct gg_failure *failure);

#endif
