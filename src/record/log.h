/* SPDX-License-Identifier: Apache-2.0 */
/**
 * log.h - the recording log: where bytes are received, recorded, sent from and written to disk from.
 *
 * One `struct gg_recorder` is a store opened for writing: its directory, its lock, its writer and sync threads. One
 * `struct gg_log` is one ring of one worker and one stall policy, and the sequence of segment files that its records
 * go to. A log has exactly one producer (the worker that owns it) and one consumer (the recorder's writer thread).
 *
 *        producer                                                                    writer thread
 *   gg_log_reserve  ──► bytes at the tail (encode, or recv(2) straight into them)
 *   gg_log_commit   ──► whole pcapng blocks become part of the log ("committed")
 *   gg_log_flush    ──► an ISB pads to 4 KiB ("sealed")                        ──►  pwrite(O_DIRECT), then "written"
 *   room again      ◄── wake callback (if the producer was refused before)     ◄──  fdatasync thread, then "durable"
 *
 *      written         sealed       committed = tail        written + ring_bytes
 *   ──────┬───────────────┬───────────────┬───────────────────────┬──────
 *         │ being written │ since flush   │  free                 │          all are ever-growing 64-bit positions;
 *   ──────┴───────────────┴───────────────┴───────────────────────┴──────    position - segment start = file offset
 *
 * The ring is a tmpfs file, its data mapped twice back to back, so that a reservation never wraps. Its header page
 * holds version, store, segments and positions, so when this process is killed the next start of a recorder on the
 * same store writes what was left (record/recover.c). Rings start small and are replaced by larger ones when they
 * fill; the sum of all is bounded.
 *
 * Everything here is by DESIGN.md "The recording contract" and "The log".
 *
 * Two processes may write to one store while one takes over from the other: they share the lock's descriptor (and so
 * the kernel's lock, which ends with the last of them), and everything else is each one's own: rings, segments, and its
 * `running` file, kept apart by a number that each has (record/process.c). gg_recorder_sibling_ended tells about the
 * one that is ending.
 *
 * Thread: create, start, stop: the engine's thread. Everything that takes a `struct gg_log` and is not said to be
 * otherwise: its producer only. The wake callback: any thread of the recorder, and the callers of gg_log_want_durable
 * and gg_recorder_rotate.
 */
#ifndef GG_RECORD_LOG_H
#define GG_RECORD_LOG_H

#include "record/bounds.h"
#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg_logger;
struct gg_metrics;
struct gg_recorder;
struct gg_recorder_block;
struct gg_log;

enum gg_sync_mode { GG_SYNC_INTERVAL, GG_SYNC_NEVER, GG_SYNC_ALWAYS };
enum gg_policy { GG_POLICY_BLOCK, GG_POLICY_GAP, GG_POLICY_CLOSE };

/* What a higher room may do for the log. All members may be NULL. */
struct gg_recorder_ops {
  /* The disk is full: try to free `bytes`. On the writer thread, which is not to be held up. Returns 0 if room is being
   * made: then it is tried again every 10 ms, and the log is slow so long, not full; a negative gg_error if there is
   * none to be made: then `on_full` decides, and this is asked again every 100 ms. */
  int (*make_room)(void *context, uint64_t bytes);
  /* A segment was sealed: no byte will be added to it any more, and it was synced (but for GG_SYNC_NEVER). On the sync
   * thread. `name` is relative to the store's segments/. */
  void (*sealed)(void *context, const char *name, uint64_t bytes);
  /* A segment file has more than before: whole blocks. On the writer thread, after each write: not for long. */
  void (*written)(void *context, const struct gg_recorder_block *block);
};

struct gg_recorder_options {
  size_t size;
  const char *dir;             /* the store; made with mode 0700 if missing, segments 0600, whatever the umask */
  const char *ring_dir;        /* a tmpfs; NULL: /dev/shm */
  uint64_t ring_bytes;         /* a new log's first ring; rounded up to a power of two; 256 KiB to 1 GiB */
  uint64_t log_max_bytes;      /* all rings together */
  unsigned logs_max;           /* how many logs will be created to begin with (0: none is needed yet); later ones need
                                  room in log_max_bytes */
  uint64_t segment_max_bytes;  /* a segment that reaches this is followed by a new one */
  uint64_t segment_max_age_ns; /* 0: by size only */
  uint64_t flush_interval_ns;  /* a committed record waits at most this long before it is handed to the disk */
  enum gg_sync_mode sync_mode;
  uint64_t sync_interval_ns;
  struct gg_logger *logger;          /* borrowed; may be NULL */
  struct gg_metrics *metrics;        /* borrowed; registered into at open; may be NULL */
  const struct gg_recorder_ops *ops; /* borrowed; may be NULL */
  void *ops_context;
  /* The lock's descriptor, from the process that has the store now and is about to drain (it was sent over a socket);
   * -1: the store has to be free. Taken, whatever happens. What that process' rings hold is its own while it lives.
   * GG_ERR_INVALID: it is another store's, or not locked; GG_ERR_BUSY: locked, but not by this descriptor. */
  int lock_fd;
};
#define GG_RECORDER_OPTIONS_INIT                                                                                       \
  {                                                                                                                    \
    .size = sizeof(struct gg_recorder_options), .ring_bytes = 2u << 20, .log_max_bytes = 256u << 20, .logs_max = 1,    \
    .segment_max_bytes = 1u << 30, .segment_max_age_ns = 3600000000000u, .flush_interval_ns = 1000000000u,             \
    .sync_interval_ns = 1000000000u, .lock_fd = -1                                                                     \
  }

/* What the recovery of an earlier process' rings found; all zero after a clean stop. */
struct gg_recovery {
  unsigned rings;         /* rings that were written out */
  unsigned rings_refused; /* files that looked like ours and were not (foreign, half-written): left alone */
  unsigned rings_missing; /* named by the `running` file but gone (reboot): up to the sync interval may be missing */
  uint64_t bytes;         /* bytes that were written to segments now */
  uint64_t segments;      /* segments that were completed */
};

/* Opens the store: takes its lock (GG_ERR_BUSY names the process that holds it), recovers what an earlier process left
 * (and logs one line that says what), makes the directories. With lock_fd only what processes left that are known to be
 * dead, and a disk that refuses that is a warning. GG_ERR_LIMIT: GG_RECORDER_PROCESSES_MAX at one time. No thread runs
 * yet. */
int gg_recorder_open(struct gg_recorder **out, const struct gg_recorder_options *options, struct gg_recovery *recovery,
                     struct gg_failure *failure);
const char *gg_recorder_uuid(const struct gg_recorder *recorder); /* the store's, as text; borrowed */

/* To be sent to the process that takes over; borrowed. */
int gg_recorder_lock_fd(const struct gg_recorder *recorder);

/* With lock_fd, once the process before has let go: from now on this one is named as the store's holder, by whoever
 * finds it in use. Engine's thread. */
void gg_recorder_taken_over(struct gg_recorder *recorder);

/* Tells each ring directory that a process on this store has a ring in, as often as it is named: what
 * gg_recorder_sibling_ended may have to reach when that process has ended. GG_ERR_NOMEM, GG_ERR_IO. Engine's thread. */
typedef void (*gg_ring_dir_fn)(void *context, const char *dir);
int gg_recorder_ring_dirs(const struct gg_recorder *recorder, gg_ring_dir_fn each, void *context);

/* A process from which this one took over has ended (the engine's thread finds out by its pidfd): if it was killed,
 * what is left in its rings is written now, as at a start; if it ended well there is nothing to do. Any other process'
 * rings are left alone. A disk that refuses is an error that changes nothing: it may be called again, and the next
 * start on this store does it otherwise. Engine's thread, between start and stop. `recovery` as from
 * gg_recorder_open. */
int gg_recorder_sibling_ended(struct gg_recorder *recorder, long pid, struct gg_recovery *recovery,
                              struct gg_failure *failure);

/* Adds a log: before gg_recorder_start, or later (a reload brought a policy), on the engine's thread. `wake` must only
 * signal the producer (write an eventfd); it may also come without need: ask again (gg_log_reserve, gg_log_durable).
 * `name` goes into segment names: "w0-block"; in a process that took over, with its number: "w0-block-2" (so it may not
 * end in a number after a hyphen itself: GG_ERR_INVALID, as for a name that there is already). GG_ERR_LIMIT: no room in
 * log_max_bytes for its first ring; GG_ERR_NO_SPACE: none on the tmpfs. Owned by the recorder. */
typedef void (*gg_log_wake_fn)(void *context);
int gg_recorder_log(struct gg_recorder *recorder, const char *name, gg_log_wake_fn wake, void *wake_context,
                    struct gg_log **out, struct gg_failure *failure);

int gg_recorder_start(struct gg_recorder *recorder, struct gg_failure *failure);

/* After all producers have ended (each has called gg_log_finish): writes everything, seals and syncs the segments,
 * removes the rings and the `running` file, joins the threads. With a disk that takes no more by `deadline_ns`
 * (CLOCK_MONOTONIC) it leaves the rings for the next start to recover and returns GG_ERR_NO_SPACE or GG_ERR_TIMEOUT. */
int gg_recorder_stop(struct gg_recorder *recorder, uint64_t deadline_ns, struct gg_failure *failure);
void gg_recorder_destroy(struct gg_recorder *recorder); /* after stop, or after an open that was never started */
/* A thread did not end by the stop's deadline: it hangs in the disk or in a sink, and goes on to use whatever the
 * recorder was given, also after destroy. NULL is fine. */
bool gg_recorder_abandoned(const struct gg_recorder *recorder);

/* ── The producer's side ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Every log ends its segment with what is committed now, and begins another when there is something to record. Any
 * thread; returns at once: the producers are woken and do it in their next gg_log_tick. A log that has segments waiting
 * for a full disk does it when the disk takes some of them. gg_recorder_rotated: true when all segments of the last
 * such request are sealed. */
void gg_recorder_rotate(struct gg_recorder *recorder);
bool gg_recorder_rotated(const struct gg_recorder *recorder);

enum gg_log_priority {
  GG_LOG_DATA,    /* chunks and openings */
  GG_LOG_CONTROL, /* closes and gap marks: may also use the reserve of GG_LOG_CONTROL_RESERVE_BYTES */
};

/* Room of `bytes` at the tail, contiguous and writable, or NULL if the ring has none: then the log remembers that it
 * refused (gg_log_pressure) and wakes the producer when there is room of that size again, or when another reservation
 * was granted. A wake may come too early: the producer looks at the pressure, and calls gg_log_tick, which asks for
 * another. Where a segment has to begin (the
 * first record, rotation), it does so here, in front of the returned bytes. 4-byte aligned. Only one
 * reservation is open at a time; a new one, or none, replaces it. */
uint8_t *gg_log_reserve(struct gg_log *log, size_t bytes, enum gg_log_priority priority);

/* The position of a byte of the open reservation, by which gg_log_copy finds it when it is committed. */
uint64_t gg_log_position(const struct gg_log *log, const void *at);

/* Makes the first `bytes` of the reservation (whole pcapng blocks, a multiple of 4) part of the log: a kill after this
 * returns cannot lose them. May seal (when enough has gathered) and hand over to the writer. 0 gives it back. */
void gg_log_commit(struct gg_log *log, size_t bytes);

/* The largest reservation that the log can ever satisfy at its present size; at least 128 KiB. Ask before each larger
 * one: a ring that shrank makes it smaller. */
size_t gg_log_reserve_max(const struct gg_log *log);

/* Counts segments from 1; a session whose last packet is in an earlier one repeats its facts. 0: none begun. Ask after
 * gg_log_reserve, which may begin one. */
uint64_t gg_log_segment(const struct gg_log *log);

/* A packet's time stamp (UTC nanoseconds) for a CLOCK_MONOTONIC reading: the offset is fixed per segment. Ask after
 * gg_log_reserve. */
uint64_t gg_log_time(const struct gg_log *log, uint64_t mono_ns);

enum gg_log_pressure {
  GG_LOG_FLOWING,   /* the last reservation was granted, or there is room for it again */
  GG_LOG_STALLED,   /* refused: the disk is slower than the traffic -> on_stall */
  GG_LOG_DISK_FULL, /* refused, and the disk is full or failing -> on_full */
};
enum gg_log_pressure gg_log_pressure(const struct gg_log *log);

/* What could not be recorded: carried by the next ISB (ifdrop and its comment) and by the metrics. */
void gg_log_count_gap(struct gg_log *log, uint64_t bytes);
void gg_log_count_lost_session(struct gg_log *log);

/* Once a loop iteration: publishes the watermark (no record with an earlier time will follow), flushes what has waited
 * for flush_interval_ns, rotates by age, replaces a ring that wants to grow or shrink. Returns when it wants to be
 * called again (CLOCK_MONOTONIC), UINT64_MAX if it does not matter. */
uint64_t gg_log_tick(struct gg_log *log, uint64_t mono_ns);
/* Seals what is committed and hands it to the writer now (group commit of sync: always; a live reader's wish). */
void gg_log_flush(struct gg_log *log);
/* What is committed shall be seen soon: a tick hands it over when it has waited GG_LOG_HASTE_NS, if the flush interval
 * is longer. */
void gg_log_hasten(struct gg_log *log);
/* No record will follow: flushes. The log may not be used by the producer after this. */
void gg_log_finish(struct gg_log *log);

/* For sync: always. Positions: everything committed so far, and everything that is on stable storage; a wake is sent
 * when the latter reaches what gg_log_want_durable asked for (the last asking counts, so ask for the highest). The next
 * gg_log_tick hands over what that takes: one commit for all that one loop iteration asked for. */
uint64_t gg_log_committed(const struct gg_log *log);
uint64_t gg_log_durable(const struct gg_log *log);
void gg_log_want_durable(struct gg_log *log, uint64_t position);

/* ── For any thread ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* What `tail` and `stats` want to know of a log. */
struct gg_log_status {
  char name[32];          /* "w0-block" */
  char segment[96];       /* the file being written, relative to segments/; empty: none */
  uint64_t segment_bytes; /* of it, what is in the file */
  uint64_t watermark_ns;  /* UTC: no record with an earlier time will be added to what is in the files; now, if none */
  uint64_t ring_bytes;
  uint64_t fill_bytes; /* committed and not written */
  enum gg_log_pressure pressure;
  bool untouched; /* no producer has taken it up, and perhaps none will: do not wait for its watermark */
};
/* Copies what was committed (or is about to be) at `position`: `bytes` of one reservation. False: it is not there any
 * more, or was written over while it was copied. The producer is never held up by it, and never waits for it: who comes
 * too late comes too late. log_copy.c says how. */
bool gg_log_copy(struct gg_log *log, uint64_t position, void *to, size_t bytes);

unsigned gg_recorder_logs(const struct gg_recorder *recorder);
int gg_recorder_log_status(const struct gg_recorder *recorder, unsigned index, struct gg_log_status *out);

#endif
