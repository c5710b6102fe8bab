/* SPDX-License-Identifier: Apache-2.0 */
/**
 * place.h - where a recording is: a store's directory, a folder of captures, or one file; which files it has, and
 * whether a gateway is at work on it.
 *
 * Private to src/store. Immutable once opened; any thread.
 */
#ifndef GG_STORE_PLACE_H
#define GG_STORE_PLACE_H

#include "record/bounds.h"
#include "store/bounds.h"

#include <gogetway/error.h>
#include <gogetway/store.h>

struct gg__place {
  char *directory; /* of the files; NULL: `file` alone */
  char *file;
  char *store; /* the store's directory; NULL: files of somebody, no gateway writes them */
};

/* Errors as gg_store_open has them. Fini also after an error. */
int gg__place_open(struct gg__place *out, const char *path, struct gg_failure *failure);
void gg__place_fini(struct gg__place *place);

/* Calls for each file that is there now; its name is relative to `directory`, or the whole path of `file`. Of a store's
 * segment and what retention kept of it only the latter. A non-zero return ends it and is returned, with a failure. */
int gg__place_each(const struct gg__place *place, int (*found)(void *context, const char *name), void *context,
                   struct gg_failure *failure);

/* While somebody lists a folder of segments, or holds a session, none of its segments goes: these have it shared, and
 * retention has it exclusively for the moment in which one goes (retention.h). A flock(2) of the folder itself, so that
 * nothing has to be made on a full disk, and it ends with whoever has it. Waits GG_PLACE_STILL_NS at the most: somebody
 * who is stopped must not stop all others; false: it was not had, or cannot be had on this file system. `fd` is the
 * folder's. */
bool gg__place_still(int fd, bool exclusively);
void gg__place_stir(int fd);

enum { GG__LIFE_FROM_BYTES = 21 };

/* What is known of the gateway that writes a place, asked once before its files are read. */
struct gg__life {
  bool store;
  bool live;
  /* Of each process that may write to it, by its number - 1: names of its segments are greater than this, and those of
   * earlier ones with its number less. Empty: it lives, and that is not known; "~", behind every name: none lives. */
  char from[GG_RECORDER_PROCESSES_MAX][GG__LIFE_FROM_BYTES];
  char unclosed[512]; /* a sentence: it ended without closing the store; empty: it was closed, or is live */
};

void gg__place_ask(const struct gg__place *place, struct gg__life *out);

/* The state of a session that has no end and is in the segment, or any of its segments: it is open if the process that
 * wrote that lives. Times say nothing of it, since clocks are set; nor does which segments are being written: a quiet
 * session is in none of them. */
enum gg_session_state gg__life_state(const struct gg__life *life, const char *segment);

#endif
