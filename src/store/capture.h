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

#include "net/addr.h"
#include "store/stream.h"

#include <gogetway/store.h>

struct gg__record;
struct gg__capture;

enum { GG__PART_FIN_CLIENT = 1, GG__PART_FIN_SERVER = 2, GG__PART_RST = 4 };

/* A session's share of one segment. */
struct gg__part {
  struct gg__part *next_of_capture;
  struct gg__part *next_of_session; /* the store's: later in time */
  struct gg__part *next_changed;    /* of the list that the last scan made */
  struct gg__record *record;        /* the store's */
  struct gg__capture *capture;
  uint64_t first_offset;
  uint64_t last_offset; /* of its last packet's block */
  uint64_t start_ns, end_ns;
  uint64_t bytes[2], packets[2], gaps[2];
  uint64_t offset[2]; /* where the streams begin, if `continued` */
  uint64_t received[2], forwarded[2], closing_gaps[2];
  struct gg__stream stream[2];
  struct gg_addr end[2]; /* client, server: as in the packets */
  uint32_t initial;      /* the client's SYN, if `begins` */
  char id[25];
  uint8_t seen; /* GG__PART_... */
  bool foreign;
  bool begins;    /* has the SYN */
  bool continued; /* repeats facts with offsets */
  bool closed;    /* has the closing facts */
  bool counted;
  bool changed;                                                    /* is in the list of the last scan */
  const char *client, *server, *listener, *upstream, *close, *why; /* owned by the segment; never NULL */
};

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
  char problem[320];  /* one sentence, unless there is nothing to say */
  uint64_t strangers; /* packets that are not TCP over a known link type */
  bool explained;     /* a verification's: why sessions may have no end here */
  struct gg__part *parts, **parts_tail;
  struct gg__part *changed;
  struct gg__flows *flows;
  struct gg__texts *texts;
};

/* `directory` NULL: `name` is the whole path. GG_ERR_NOMEM. */
int gg__capture_create(struct gg__capture **out, const char *directory, const char *name, bool own);
void gg__capture_destroy(struct gg__capture *capture);

/* Reads what is new. Trouble with the file is not an error but told in `health` and `problem`; GG_ERR_NOMEM is one. */
int gg__capture_scan(struct gg__capture *capture);

/* Whether a packet has the part's 4-tuple: 0 from its client, 1 from its server, -1 it is another's. */
struct gg__frame;
int gg__part_side(const struct gg__part *part, const struct gg__frame *frame);

#endif
