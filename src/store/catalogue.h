/* SPDX-License-Identifier: Apache-2.0 */
/**
 * catalogue.h - the sessions of a store in a database (SQLite, `catalogue.db`), so that one of millions is found in
 * milliseconds, and read without scanning.
 *
 * It knows of sessions what a scan of the segments would find, no more, and can be made anew from them at any time;
 * what cannot (tags and holds of people) is in the journal (marks.h), of which the catalogue has a copy to ask.
 *
 *   segments ──► indexer.h ──► gg__catalogue_put ──► catalogue.db ──► gg__catalogue_query ──► records with parts
 *
 * What goes in and comes out is a record: a session and its parts, each of which says where in which segment its
 * packets are. So a session that goes on in a new segment is got, given one more part, and put again.
 *
 * One process writes, the holder of the store's lock or the one that indexes a store that nobody records into; any
 * number read meanwhile (write-ahead log). A batch is one transaction: after a kill it is there whole or not at all.
 * Segments say up to where they are indexed, in the same transaction.
 *
 * Thread: one at a time; readers open their own.
 */
#ifndef GG_STORE_CATALOGUE_H
#define GG_STORE_CATALOGUE_H

#include "store/filter_field.h"
#include "store/record.h"

#include <gogetway/error.h>
#include <gogetway/store.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  GG_CATALOGUE_VERSION = 2,
  GG_CATALOGUE_BATCH_SESSIONS = 4096, /* at most in one transaction */
};

struct gg__catalogue;

enum gg__catalogue_mode {
  GG__CATALOGUE_READ,  /* GG_ERR_NOT_FOUND if there is none */
  GG__CATALOGUE_WRITE, /* made if there is none, brought to this version if it is older */
  GG__CATALOGUE_BUILD, /* made, for nobody else to see until gg__catalogue_built; then the same */
};

/* What the database's library asks the system for once in a process' life: before a sandbox closes. */
void gg__catalogue_prepare(void);

/* `path` of the database's file. GG_ERR_UNSUPPORTED: it is of a later version; GG_ERR_CORRUPT: it is damaged, or no
 * database; GG_ERR_DENIED, BUSY (another process writes it), IO, NOMEM. Each failure says in one line what to do. */
int gg__catalogue_open(struct gg__catalogue **out, const char *path, enum gg__catalogue_mode mode,
                       struct gg_failure *failure);
/* The lock that who writes has, without opening anything: for who puts another file in its place. Closed to be given
 * back. GG_ERR_BUSY, DENIED, IO. */
int gg__catalogue_claim(int *out, const char *path, struct gg_failure *failure);
void gg__catalogue_close(struct gg__catalogue *catalogue); /* a batch that is open is given up */

/* What is known of the gateway (place.h): sessions without an end come out open or cut by it. Until then: as they were
 * put. */
struct gg__life;
void gg__catalogue_set_life(struct gg__catalogue *catalogue, const struct gg__life *life);

/* Records that come out have these captures, which outlive them, instead of their own; NULL of `find`: no memory. For
 * who reads many: those of one file are to have one. */
void gg__catalogue_use_captures(struct gg__catalogue *catalogue,
                                struct gg__capture *(*find)(void *context, const char *name), void *context);

/* Who finds the values of facts that are not kept; NULL: nobody. Outlives the catalogue. */
struct gg__fact_finder;
void gg__catalogue_set_finder(struct gg__catalogue *catalogue, const struct gg__fact_finder *finder);

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A segment file, as far as it is indexed. */
struct gg__catalogue_segment {
  char name[128];
  uint64_t scanned; /* bytes, to the end of a block */
  uint64_t first_ns, last_ns;
  bool scattered; /* capture.h */
  bool complete;  /* nothing will be added: it was sealed, or another process wrote it and has ended */
};

/* A catalogue that is built takes sessions as they come, any number of records for one, and puts nothing on the disk in
 * a way that would outlive a kill or a power failure: it is for a file that is thrown away then. This makes one session
 * of the records of one, and the indexes. Until then nothing can be found in it. No batch is open.
 * `renew` makes the session of a record from its parts; `progress` is told which of how many passes is done, often, and
 * says false to end it with GG_ERR_CLOSED. */
struct gg__catalogue_building {
  int (*renew)(void *context, struct gg__record *record);
  bool (*progress)(void *context, unsigned pass, unsigned passes);
  void *context;
};
int gg__catalogue_built(struct gg__catalogue *catalogue, const struct gg__catalogue_building *building,
                        struct gg_failure *failure);

int gg__catalogue_begin(struct gg__catalogue *catalogue, struct gg_failure *failure);
/* Everything since `begin` is there, also after a power failure at the latest with the next checkpoint. On an error
 * nothing of it is. */
int gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure);
/* Nothing since `begin` is there; nothing if no batch is open. After any error within a batch, this or a commit that
 * fails. */
void gg__catalogue_abandon(struct gg__catalogue *catalogue);

/* The segment as it is now; made if it is new. In the same batch every session that has anything in front of `scanned`
 * is put as it is there: who reads on from `scanned` knows the rest from the catalogue. */
int gg__catalogue_put_segment(struct gg__catalogue *catalogue, const struct gg__catalogue_segment *segment,
                              struct gg_failure *failure);
/* The session with all its parts; replaces what is there of it. The parts' segments have been put. */
int gg__catalogue_put(struct gg__catalogue *catalogue, const struct gg__record *record, struct gg_failure *failure);
/* The session as it is in the catalogue, without tags and holds of people; NULL in `*out`: not there. Freed by
 * gg__record_free; a part that was added to it is taken off before, and has its own memory. Parts of a session that has
 * not ended have their streams where they were, so that a reading goes on from there. */
int gg__catalogue_get(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                      struct gg_failure *failure);
/* The same with them. */
int gg__catalogue_find(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                       struct gg_failure *failure);
/* Calls for each session without an end that has a part in the segment, as gg__catalogue_get has it. Each record is the
 * callee's. */
int gg__catalogue_open_in(struct gg__catalogue *catalogue, const char *name,
                          int (*visit)(void *context, struct gg__record *record), void *context,
                          struct gg_failure *failure);
/* Calls with the id of each session that has a part in the segment. A non-zero return ends it and is returned. */
int gg__catalogue_sessions_in(struct gg__catalogue *catalogue, const char *name,
                              int (*visit)(void *context, const char *id), void *context, struct gg_failure *failure);

/* The segment is gone, or is to be indexed anew: so are its parts; sessions without parts go, others lose what was in
 * it (what other parts say of them stays, and so do facts of decoders). Outside a batch it makes its own, several if
 * there are many sessions; after a kill in between, the segment is still there, with the rest of them. */
int gg__catalogue_forget_segment(struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure);

/* What people have said of a session (marks.h): tags are added to those of the recording, or taken off. It takes the
 * place of what was said of it before, and is kept also of sessions that are not here. Outside a batch it makes its
 * own. */
struct gg__mark;
int gg__catalogue_mark_all(struct gg__catalogue *catalogue, const struct gg__mark *mark, struct gg_failure *failure);
/* The same where nothing is taken off. */
int gg__catalogue_mark(struct gg__catalogue *catalogue, const char *id, const char *const *tags, size_t tag_count,
                       bool held, struct gg_failure *failure);

/* Up to where of the journal (marks.h) that is all that was said. In a batch, with the marks. */
struct gg__marks_position;
int gg__catalogue_put_journal(struct gg__catalogue *catalogue, const struct gg__marks_position *position,
                              struct gg_failure *failure);
/* `*noted` false: it was never put. */
int gg__catalogue_journal(struct gg__catalogue *catalogue, struct gg__marks_position *position, bool *noted,
                          struct gg_failure *failure);

/* A segment is damaged: sessions may be in it that are not here. Noted for as long as the catalogue is, and
 * asked for: `*whole` false. */
int gg__catalogue_note_damage(struct gg__catalogue *catalogue, struct gg_failure *failure);
int gg__catalogue_is_whole(struct gg__catalogue *catalogue, bool *whole, struct gg_failure *failure);

/* A typed fact of a decoder or plug-in: one value, a text or a number, of a `field` that is registered with the filter
 * (filter_field.h). At most GG_FACT_VALUES_MAX distinct values of a field a session; one more sets the field's overflow
 * mark, and is not kept.
 *
 * Who finds facts puts them so:
 *   - on the catalogue's thread, in a batch: who has found them on another one hands them over to that one first. Not
 *     while it is built: after gg__catalogue_built;
 *   - after the session was put, in that batch or a later one (GG_ERR_NOT_FOUND: it is not there, or went meanwhile,
 *     which is no fault: what it was told of has gone too). They need not wait for its end;
 *   - as often as he likes: what is there already changes nothing, nor does another value of a field that has its
 *     overflow mark. New ones show the session anew to who follows;
 *   - again whenever he sees the session anew. A session that is put again keeps its facts, also if its segment is
 *     indexed anew and others have parts of it; one that was in that segment alone goes and comes back without. A
 *     catalogue that is made anew (reindex) has none, until they are put again. Nothing else brings them back: they are
 *     in no journal.
 * They go with the session, when its last segment does. While it has one left they stay, also those that were found in
 * segments that have gone. After a kill, those of the last batch are there, or none of it.
 * `text` is UTF-8 and safe to print, and as long as he lets it be. */
enum { GG_FACT_VALUES_MAX = 64 };
int gg__catalogue_fact(struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
                       const uint64_t *number, struct gg_failure *failure);

/* The same for a field of which a session has one value, which takes the place of the one before. */
int gg__catalogue_fact_set(struct gg__catalogue *catalogue, const char *id, const char *field, const char *text,
                           const uint64_t *number, struct gg_failure *failure);

/* How the session's protocol is called from now on; it stays when the session is put again. As for facts. */
int gg__catalogue_set_protocol(struct gg__catalogue *catalogue, const char *id, const char *protocol,
                               struct gg_failure *failure);

/* The facts of the session are those of its first `packets` packets; `ended`: of all that it ever had. As for facts,
 * but that nobody who follows is shown anything. */
int gg__catalogue_decoded(struct gg__catalogue *catalogue, const char *id, uint64_t packets, bool ended,
                          struct gg_failure *failure);

/* Sessions whose facts are not of all that is in the catalogue of them, no more than `limit`: those that have ended
 * (`open` false), in order of the batches that wrote them last, from that of revision `from` on; or those that have
 * not, whose numbers come behind `from`. `next`: from where to ask on; if fewer than `limit` were told, there are no
 * others now. Each record is the callee's. */
int gg__catalogue_undecoded(struct gg__catalogue *catalogue, bool open, uint64_t from, size_t limit,
                            int (*visit)(void *context, struct gg__record *record), void *context, uint64_t *next,
                            struct gg_failure *failure);
/* How many there are that have ended, at most `limit`. */
int gg__catalogue_undecoded_count(struct gg__catalogue *catalogue, uint64_t from, uint64_t limit, uint64_t *count,
                                  struct gg_failure *failure);

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Calls for each segment by name. A non-zero return ends it and is returned. */
int gg__catalogue_segments(struct gg__catalogue *catalogue,
                           int (*visit)(void *context, const struct gg__catalogue_segment *segment), void *context,
                           struct gg_failure *failure);

/* What it was told that people say, of all sessions; tags with blanks between. A non-zero return ends it and is
 * returned. And whether it was told anything of one. */
int gg__catalogue_marks(struct gg__catalogue *catalogue,
                        int (*visit)(void *context, const char *id, bool held, const char *added, const char *removed),
                        void *context, struct gg_failure *failure);
int gg__catalogue_knows_mark(struct gg__catalogue *catalogue, const char *id, bool *known, struct gg_failure *failure);

/* The first `count` of whose ids come behind `after`, in order: whether the session is here. The callee does not write
 * the catalogue. */
int gg__catalogue_marked(struct gg__catalogue *catalogue, const char *after, size_t count,
                         int (*visit)(void *context, const char *id, bool there), void *context,
                         struct gg_failure *failure);

/* All that is read between these two is of one moment. They may be within one another. */
int gg__catalogue_hold(struct gg__catalogue *catalogue, struct gg_failure *failure);
void gg__catalogue_release(struct gg__catalogue *catalogue);

/* The sessions that match, in the order asked for (`sort`: a field's name, `-` in front for descending; NULL: by
 * start), no more than `limit` (0: all). Each record is the callee's, to be freed by gg__record_free. Only values that
 * are bound reach the database, never a text of the filter's (filter_sql.h). */
int gg__catalogue_query(struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *sort,
                        uint64_t limit, int (*visit)(void *context, struct gg__record *record), void *context,
                        struct gg_failure *failure);

/* Whether the session matches, by the facts that are known of it here; GG__PERHAPS (filter_field.h): it has more of a
 * field than are kept, and nobody has found the others. What queries tell has `perhaps` set then. */
int gg__catalogue_judge(struct gg__catalogue *catalogue, const struct gg_filter *filter,
                        const struct gg_session *session, enum gg__truth *truth, struct gg_failure *failure);

/* Counts batches: greater with each, over restarts and whatever the clock does, as long as the file is the same one
 * (gg__catalogue_moved). */
int gg__catalogue_revision(struct gg__catalogue *catalogue, uint64_t *revision, struct gg_failure *failure);
/* Those of them that match which were put, marked or given a fact in a batch after that of `revision`, in no particular
 * order; what it costs is a matter of how many those are, not of how many there are. */
int gg__catalogue_changed(struct gg__catalogue *catalogue, const struct gg_filter *filter, uint64_t revision,
                          int (*visit)(void *context, struct gg__record *record), void *context,
                          struct gg_failure *failure);
/* Whether another file, or none, has the name of the one that is open: it was made anew, or taken away. */
bool gg__catalogue_moved(struct gg__catalogue *catalogue);

/* Totals of the sessions that match, as gg_store_totals has them, of those that are in the catalogue; in no particular
 * order, and a key may come more than once. `*perhaps` (may be NULL): how many of them may not match
 * (gg__catalogue_judge). */
int gg__catalogue_totals(struct gg__catalogue *catalogue, const struct gg_filter *filter, const char *by,
                         int (*visit)(void *context, const struct gg_total *total), void *context, uint64_t *perhaps,
                         struct gg_failure *failure);

/* Every row of every table as text but what decoders have found, in an order that depends on nothing but what is there:
 * two that are made of the same segments are equal. For tests, and `reindex --check`. */
int gg__catalogue_dump(struct gg__catalogue *catalogue, int fd, struct gg_failure *failure);

#endif
