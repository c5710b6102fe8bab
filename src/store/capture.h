/* SPDX-License-Identifier: Apache-2.0 */
/**
 * capture.h - what one segment file tells of sessions: the parts of them that are in it.
 *
 * A segment is scanned once from its beginning, and later from where it ended, if it has grown. It keeps one part for
 * each session in it (facts, counts, first and last offset) and the flows: which part a 4-tuple's packets belong to
 * now.
 *
 *   packets ──► flow (by 4-tuple) ──► part ──► (by id) session of the store
 *
 * A packet with facts binds its 4-tuple anew. Without facts a SYN does, and the session's id is made from the file's
 * name and the packet's offset.
 *
 * Thread: a segment is touched by one thread at a time; different segments may be scanned at once. What a scan returns
 * stays where it is until the segment is destroyed.
 */
#ifndef GG_STORE_CAPTURE_H
#define GG_STORE_CAPTURE_H

#include "store/part.h"

enum gg__capture_health {
  GG__CAPTURE_SOUND,
  GG__CAPTURE_TORN,       /* ends inside a block */
  GG__CAPTURE_DAMAGED,    /* a block is wrong: nothing behind it was read */
  GG__CAPTURE_UNREADABLE, /* nothing of it was read */
};

struct gg__flows;
struct gg__texts;

struct gg__capture {
  char *path;
  const char *name;           /* the end of `path`: relative to the store's segments */
  bool own;                   /* of a store's directory, not somebody's file */
  uint64_t scanned;           /* up to this offset */
  uint64_t bytes;             /* the file's size when it was scanned */
  uint64_t first_ns, last_ns; /* of its packets */
  uint64_t packets;           /* of TCP */
  bool scattered;             /* sections or interfaces stand behind packets */
  enum gg__capture_health health;
  char problem[320];             /* one sentence, unless there is nothing to say */
  uint64_t strangers;            /* packets that are not TCP over a known link type */
  bool explained;                /* a verification's: why sessions may have no end here */
  uint64_t listed;               /* a source's: the look at the folder that saw it last */
  struct gg__capture *next_gone; /* a source's */
  struct gg__part *parts, **parts_tail;
  struct gg__part *changed;
  struct gg__flows *flows;
  struct gg__texts *texts;
};

/* `directory` NULL: `name` is the whole path. GG_ERR_NOMEM. */
int gg__capture_create(struct gg__capture **out, const char *directory, const char *name, bool own);
void gg__capture_destroy(struct gg__capture *capture);

/* Before the first reading: it begins at capture->scanned, and this part of a session that has not ended goes on. All
 * that it points to is copied. GG_ERR_NOMEM. */
int gg__capture_adopt(struct gg__capture *capture, const struct gg__part *part);

/* Reads what is new. Trouble with the file is not an error but told in `health` and `problem`; GG_ERR_NOMEM is one. */
int gg__capture_scan(struct gg__capture *capture);

/* What a reading that ended with `result` (of gg__frames_next; `failure` is its own) has to say of the file: `health`
 * and `problem`. `packets` and `strangers` are counted by then. */
struct gg__frames;
void gg__capture_conclude(struct gg__capture *capture, struct gg__frames *frames, int result,
                          struct gg_failure *failure);
/* The file could not be opened. */
void gg__capture_unreadable(struct gg__capture *capture, const char *message);

#endif
