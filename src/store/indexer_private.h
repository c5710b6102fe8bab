/* SPDX-License-Identifier: Apache-2.0 */
/**
 * indexer_private.h - what the files of the indexer share.
 *
 *   indexer.c         its life, its steps and batches
 *   indexer_files.c   which segments there are, and which are complete
 *   indexer_read.c    packets to parts
 *   indexer_put.c     parts to records of the catalogue
 *   indexer_build.c   all that is complete, into a catalogue that is built
 *   indexer_lanes.c   reads several segments at a time for that
 *   indexer_tags.c    tags that rules give
 *   indexer_forget.c  what was said of sessions that are gone
 *
 * Thread: the indexer's; but for what a lane reads, which is the lane's.
 */
#ifndef GG_STORE_INDEXER_PRIVATE_H
#define GG_STORE_INDEXER_PRIVATE_H

#include "base/list.h"
#include "store/capture.h"
#include "store/flows.h"
#include "store/indexer.h"
#include "store/marks.h"
#include "store/record.h"

struct gg__lane;
struct gg__reading;
struct gg__tag_rules;

/* A part of a session that may grow, or has to be told. */
struct gg__opened {
  struct gg__part part;   /* first: flows know it by this */
  struct gg_list node;    /* of its reading's */
  struct gg_list waiting; /* of the indexer's: it has changed since it was told */
  struct gg__reading *reading;
  char *text[GG__TEXTS]; /* what its part's texts point to; NULL: "" */
};

/* A segment that is not complete: what reading it needs and what is open in it. */
struct gg__reading {
  struct gg__capture *capture; /* for its name and path, and what is said of its health */
  struct gg__frames *frames;   /* NULL: closed, until there is more to read */
  struct gg__flows flows;
  struct gg_list parts;
  uint64_t used; /* the step that read it last */
  bool stuck;    /* nothing behind `scanned` can be read */
};

struct gg__indexed {
  char *name;
  uint64_t scanned;    /* to the end of a block */
  uint64_t bytes;      /* its size when it was looked at */
  uint64_t changed_ns; /* real time of the last change, likewise */
  uint64_t first_ns, last_ns;
  struct gg__reading *reading; /* NULL: complete, or not begun */
  bool scattered;
  bool complete;
  bool known; /* the catalogue has a row of it, of which this is a copy unless `dirty` */
  bool dirty;
  bool anew;     /* what the catalogue has of it is to be forgotten */
  bool listed;   /* by the last listing */
  bool named;    /* by a `running` file, when that was read last */
  bool followed; /* a later file of the same log is there */
};

struct gg__ids {
  char (*ids)[25];
  size_t count, room;
};

struct gg__indexer {
  struct gg__catalogue *catalogue;
  struct gg__indexer_options options;
  struct gg_failure *failure; /* of the step */
  struct gg__place place;
  struct gg__marks *marks;
  int marks_error;
  struct gg__marks_position told; /* how far the catalogue has heard of the journal */
  struct gg__tag_rules *rules;
  bool tagging;        /* rules were asked in this batch */
  bool heard;          /* the journal was read since the segments were looked at */
  bool unnamed;        /* there is a segment that the catalogue cannot name */
  struct gg__ids gone; /* sessions that have lost a segment, and of which something is said */
  char swept[25];      /* marks up to this id were looked through ... */
  bool sweep_over;     /* ... or all */
  uint64_t sweep_ns;   /* monotonic: not before */
  struct gg__life life;
  bool ended;
  struct gg__indexed **files; /* in order of their names */
  size_t file_count, file_room;
  uint64_t folder_ns;     /* when the folder had changed last, when it was listed */
  bool folder_fresh;      /* it may have changed in the same instant again */
  uint64_t looked_ns;     /* monotonic: at the complete ones */
  struct gg_list waiting; /* parts that have changed since they were told */
  size_t waiting_count;
  size_t open_count;
  size_t reader_count;
  uint64_t step;
  struct gg__lane *lane; /* this one only reads, for another: parts go there; NULL: it puts them itself */
  bool building;         /* the catalogue is built: what it has of a session is not asked for */
  bool batch;            /* one is open */
  size_t batch_sessions;
  uint64_t done, total; /* for progress */
  struct gg__indexer_stats stats;
};

/* ── indexer.c ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What people and rules have said since it was asked last; at first all that they ever have. */
int gg__indexer_take_marks(struct gg__indexer *indexer);
/* An error of a step or a build, in a sentence that says of which store. Returns it. */
int gg__indexer_told(const struct gg__indexer *indexer, int error, struct gg_failure *failure);
uint64_t gg__indexed_lag(const struct gg__indexed *file); /* bytes that are there and not read */

/* ── indexer_tags.c ──────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__indexer_tag(struct gg__indexer *indexer, const struct gg_session *session); /* by the rules, if it is closed */
int gg__indexer_write_tags(struct gg__indexer *indexer); /* what they said in this batch, before it is committed */

/* ── indexer_forget.c ────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__ids_add(struct gg__ids *ids, const char *id); /* GG_ERR_NOMEM */
void gg__ids_fini(struct gg__ids *ids);
/* The file has vanished, and the catalogue has its sessions yet. */
int gg__indexer_note_gone(struct gg__indexer *indexer, const struct gg__indexed *file);
int gg__indexer_forget(struct gg__indexer *indexer);       /* in the journal, before the batch is committed */
void gg__indexer_sweep_again(struct gg__indexer *indexer); /* in a while, all marks */

/* ── indexer_files.c ─────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__indexer_load(struct gg__indexer *indexer, struct gg_failure *failure); /* what the catalogue has of segments */
/* Lists the folder if it changed, and asks for the size of each file that is not complete. */
int gg__indexer_look(struct gg__indexer *indexer, struct gg_failure *failure);
bool gg__indexer_is_over(const struct gg__indexer *indexer, const struct gg__indexed *file); /* nothing will be added */
void gg__indexed_free(struct gg__indexed *file);

/* ── indexer_read.c ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* Reads on for `bytes`, or to the end of what is there, which `*end` says. */
int gg__indexer_read(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t bytes, bool *end);
/* The same for a lane, who has no catalogue. */
int gg__indexer_read_on(struct gg__indexer *indexer, struct gg__indexed *file, uint64_t bytes, bool *end);
int gg__indexer_end_parts(struct gg__indexer *indexer, struct gg__reading *reading); /* those that are open */
/* Nothing will be added: what is open in it is told and let go. */
int gg__indexer_complete(struct gg__indexer *indexer, struct gg__indexed *file);
void gg__reading_close(struct gg__indexer *indexer, struct gg__reading *reading); /* its file, until there is more */
void gg__reading_free(struct gg__indexer *indexer, struct gg__reading *reading);
void gg__opened_free(struct gg__indexer *indexer, struct gg__opened *opened);
void gg__opened_destroy(struct gg__opened *opened); /* one that its reading has let go */

/* ── indexer_put.c ───────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__indexer_put(struct gg__indexer *indexer, struct gg__opened *opened);
int gg__indexer_renew(const struct gg__indexer *indexer, struct gg__record *record); /* the session of its parts */
int gg__indexer_begin(struct gg__indexer *indexer);                                  /* a batch, if none is open */
/* The same, and forgets in it what is to be told anew of the file. */
int gg__indexer_touch(struct gg__indexer *indexer, struct gg__indexed *file);
/* Tells what is open and has changed, and ends the batch. */
int gg__indexer_commit(struct gg__indexer *indexer);
bool gg__indexer_is_full(const struct gg__indexer *indexer);                    /* the batch: it is time to commit */
void gg__opened_settle(struct gg__indexer *indexer, struct gg__opened *opened); /* it does not wait to be told */
bool gg__indexer_tell(struct gg__indexer *indexer);                             /* progress; false: stop */

/* ── indexer_lanes.c ─────────────────────────────────────────────────────────────────────────────────────────────── */

enum {
  GG_INDEXER_LANES = 4,         /* segments that are read at a time, whatever the machine: order depends on it */
  GG_INDEXER_LANE_BATCHES = 4,  /* that wait in a lane to be taken */
  GG_INDEXER_BATCH_PARTS = 256, /* in each */
  GG_INDEXER_PATIENCE_MS = 100, /* before who takes looks whether to go on */
};

/* Parts of one file, in the order in which they ended. */
struct gg__lane_batch {
  struct gg__indexed *file;
  struct gg__opened *parts[GG_INDEXER_BATCH_PARTS];
  size_t count, put; /* who takes frees what he has put, and counts it */
  bool last;         /* of the file, which is the indexer's from now on */
};

struct gg__lanes;
/* Reads these files, which are in the catalogue and whose ends are told, on threads of its own. Until its last batch a
 * file's scanned, times and reading are the lane's. */
int gg__lanes_start(struct gg__lanes **out, const struct gg__indexer *indexer, struct gg__indexed **files, size_t count,
                    struct gg_failure *failure);
/* The next batch, which is always the same one for the same files; valid until the next call. `*batch` NULL: that was
 * all. GG_ERR_AGAIN: there is none yet. */
int gg__lanes_take(struct gg__lanes *lanes, struct gg__lane_batch **batch, struct gg_failure *failure);
uint64_t gg__lanes_bytes(struct gg__lanes *lanes); /* that were read */
/* Ends the threads, and frees what was not taken. What they have done is added to `stats`. */
void gg__lanes_destroy(struct gg__lanes *lanes, struct gg__indexer_stats *stats);

int gg__lane_put(struct gg__lane *lane, struct gg__opened *opened); /* takes it over */

#endif
