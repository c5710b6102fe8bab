/* SPDX-License-Identifier: Apache-2.0 */
/**
 * part.h - a session's share of one file, and the rules by which packets make it.
 *
 * The rules are here once, for those who keep every part (capture.h) and those who tell and forget them (sweep.h): to
 * whom a packet belongs, which side it came from, what a comment says of its session, what counts as missing.
 *
 * Private to src/store. Thread: whoever owns the part.
 */
#ifndef GG_STORE_PART_H
#define GG_STORE_PART_H

#include "net/addr.h"
#include "store/history.h"
#include "store/stream.h"

#include <gogetway/store.h>

struct gg__capture;
struct gg__facts;
struct gg__frame;
struct gg__record;

/* Where in its file a session's packets are: ranges of whole blocks, from `first` to before `end`, in order. Blocks of
 * others between two of them are read over as long as that is cheaper than a jump; when there are more ranges than
 * GG_EXTENTS_MAX, some of those with the least between them become one. */
enum { GG_EXTENTS_MAX = 512, GG_EXTENT_JUMP_BYTES = 1 << 16 };
struct gg__extent {
  uint64_t first, end;
};

enum { GG__PART_FIN_CLIENT = 1, GG__PART_FIN_SERVER = 2, GG__PART_RST = 4 };

/* A session's share of one segment. */
struct gg__part {
  struct gg__part *next_of_capture;
  struct gg__part *next_of_session; /* the store's: later in time */
  struct gg__part *next_changed;    /* of the list that the last scan made */
  struct gg__record *record;        /* the store's */
  struct gg__capture *capture;
  const struct gg__part *stands_for; /* the store's, whose file has gone (moved.h); NULL: it is the store's own */
  uint64_t first_offset;
  uint64_t last_offset; /* of its last packet's block */
  uint64_t start_ns, end_ns;
  uint64_t bytes[2], packets[2], gaps[2];
  uint64_t offset[2]; /* where the streams begin, if `continued` */
  uint64_t received[2], forwarded[2], closing_gaps[2], masked[2];
  struct gg__stream stream[2];
  struct gg_addr end[2];  /* client, server: as in the packets */
  struct gg_addr gateway; /* its own end of the connection to the upstream; no family: not known */
  uint32_t initial;       /* the client's SYN, if `begins` */
  uint32_t last_bytes;    /* of the block at last_offset */
  struct gg__history history;
  uint8_t first[2][16];    /* the first bytes of its streams ... */
  uint8_t first_length[2]; /* ... so many of them, if they are of the first 16 of the session's */
  char id[25];
  uint8_t seen;               /* GG__PART_... */
  struct gg__extent *extents; /* NULL: one range, first_offset to last_offset's block */
  uint32_t extent_count;
  bool foreign;
  bool begins;    /* has the SYN */
  bool continued; /* repeats facts with offsets */
  bool closed;    /* has the closing facts */
  bool counted;
  bool changed; /* is in the list of the last scan */
  /* Whoever keeps them; never NULL. */
  const char *client, *server, *listener, *upstream, *server_path, *close, *why, *original, *as_sent_of;
  const char *verdict, *verdict_by;
  const char *tags; /* in order of bytes, each once, with blanks between */
};

/* Makes a part of its first packet; `name` of the file, for the ids of what has none. */
void gg__part_begin(struct gg__part *part, const char *name, const struct gg__frame *frame,
                    const struct gg__facts *facts);

/* Frees what it holds besides texts: held packets and extents. */
void gg__part_fini(struct gg__part *part);

/* Whether these are the part's two ends, either way. */
bool gg__part_joins(const struct gg__part *part, const struct gg_addr *a, const struct gg_addr *b);

/* Whether a packet has the part's 4-tuple: 0 from its client, 1 from its server, -1 it is another's. */
int gg__part_side(const struct gg__part *part, const struct gg__frame *frame);

/* Whether a packet begins another session than the one that its 4-tuple had. */
bool gg__part_replaced(const struct gg__part *part, const struct gg__frame *frame, const struct gg__facts *facts);

enum gg__part_text {
  GG__TEXT_CLIENT,
  GG__TEXT_SERVER,
  GG__TEXT_LISTENER,
  GG__TEXT_UPSTREAM,
  GG__TEXT_SERVER_PATH,
  GG__TEXT_CLOSE,
  GG__TEXT_WHY,
  GG__TEXT_ORIGINAL,
  GG__TEXT_AS_SENT_OF,
  GG__TEXT_VERDICT,
  GG__TEXT_VERDICT_BY,
  GG__TEXT_TAGS,
  GG__TEXTS,
};
/* A copy of the text that lives as long as the part; NULL: no memory. */
typedef const char *(*gg__keep_fn)(void *context, enum gg__part_text which, const char *text);

/* What a comment of ours says. GG_ERR_NOMEM. */
int gg__part_take_facts(struct gg__part *part, const struct gg__facts *facts, gg__keep_fn keep, void *context);

/* The packet's place, time and flags. Before its payload is pushed. */
void gg__part_note(struct gg__part *part, int side, const struct gg__frame *frame);

/* The packet's payload, behind `gap` missing bytes: out come runs in stream order, which `out` is to give
 * gg__part_take_run; if `counting`, without bytes but for the first of a stream. Returns 0, what `out` returned, or
 * GG_ERR_NOMEM. */
int gg__part_push(struct gg__part *part, int side, const struct gg__frame *frame, uint64_t gap, bool counting,
                  gg__stream_fn out, void *context);

/* Counts a run, and keeps the first bytes. */
void gg__part_take_run(struct gg__part *part, int side, const struct gg__run *run);
/* Whether its session has none before it. */
bool gg__part_is_first(const struct gg__part *part);

/* Of two parts of one session: whether `a` comes first. */
bool gg__part_before(const struct gg__part *a, const struct gg__part *b);

/* ── A session from its parts ────────────────────────────────────────────────────────────────────────────────────── */

/* What the first part says; the caller sets id and state. Tags are not set here or below (tags.h): they are those of
 * the last part. */
void gg__session_begin(struct gg_session *session, const struct gg__part *first);

/* One more part. `told` is how far each stream has come (at first 0): a later part says where it begins, and what is
 * between was lost. */
void gg__session_add(struct gg_session *session, const struct gg__part *part, uint64_t told[2], bool first);

#endif
