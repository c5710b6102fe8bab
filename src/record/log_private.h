/* SPDX-License-Identifier: Apache-2.0 */
/**
 * log_private.h - what the files of the log share: the recorder, the log, and who owns which member.
 *
 * Threads of one recorder, and the file that is their code:
 *
 *   producers   (one a log)  log.c        reserve, commit, seal; never a lock, never a system call but a futex wake
 *   writer      (one)        writer.c     the only one that writes records to segment files; closes no descriptor
 *   sync        (one)        sync.c       fdatasync, close, ops->sealed, the `running` file, removal of drained rings;
 *                                         may hang in the disk and delays nobody
 *   provisioner (one)        provision.c  makes larger and smaller rings; never touches the disk
 *
 * They meet in atomics only, but for `files_lock` (which descriptor is open), `running_lock` (what the `running` file
 * shall say) and `readers_lock` (which rings are mapped), all held for a few instructions, the last one by somebody
 * else's thread while it copies a packet (log_copy.c). A thread that has nothing to do sleeps on its bell.
 *
 * Rejected: a lock and condition variable between producer and writer (a futex call for each flush even when both
 * run), and a writer that polls (a wake-up every few milliseconds on an idle machine).
 */
#ifndef GG_RECORD_LOG_PRIVATE_H
#define GG_RECORD_LOG_PRIVATE_H

#include "base/clock.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "record/log.h"
#include "record/ring.h"
#include "record/sink.h"

#include <pthread.h>

enum {
  GG__PAD_RESERVE = 8 << 10,                   /* always left free, so that whatever was committed can be padded */
  GG__SEGMENT_HEAD_MAX = 4 << 10,              /* section header and interface block */
  GG__BOUNDARIES_MAX = 64,                     /* seals that the writer has not taken */
  GG__UNSEALED_MAX = 2 * GG_FILES_CLOSING_MAX, /* files that close, and those of the sync thread's round */
  GG__RUNNING_NAME_MAX = 32,
  GG__RING_STEP = 4, /* a ring that fills is followed by one of so many times its size */
};

enum gg__metric {
  GG__METRIC_FILL,
  GG__METRIC_RING,
  GG__METRIC_DISK_FULL,
  GG__METRIC_STALLS,
  GG__METRIC_GROWS,
  GG__METRIC_GROW_REFUSALS,
  GG__METRIC_FLUSHES,
  GG__METRIC_WRITTEN,
  GG__METRIC_PADDING,
  GG__METRIC_SEGMENTS,
  GG__METRIC_GAP,
  GG__METRIC_LOST,
  GG__METRIC_WRITE_ERRORS,
  GG__METRIC_WRITE_LATENCY, /* histograms are last */
  GG__METRIC_SYNC_LATENCY = GG__METRIC_WRITE_LATENCY + GG_METRIC_BUCKETS + 1,
};

/* A thread sleeps on its bell; whoever has work for it rings. Ringing costs a system call only if it sleeps. */
struct gg__bell {
  _Atomic uint32_t rung;
  _Atomic uint32_t sleeping;
};
void gg__bell_ring(struct gg__bell *bell);
void gg__bell_wait(struct gg__bell *bell, uint64_t until_mono_ns); /* UINT64_MAX: until it is rung */

/* A segment between its beginning and its last byte in the file. */
struct gg__segment {
  uint64_t number;
  uint64_t start;
  _Atomic uint64_t end; /* 0: open; set before anything beyond is sealed */
  char name[GG__SEGMENT_NAME_MAX];
};

struct gg_log {
  /* Fixed. */
  struct gg_recorder *recorder;
  unsigned index; /* among the recorder's logs */
  char name[GG__LOG_NAME_MAX];
  gg_log_wake_fn wake;
  void *wake_context;
  uint64_t initial_bytes;
  uint64_t generation; /* of the newest ring; the provisioner's once the log is published */

  /* The producer's alone. */
  _Alignas(64) uint8_t *data;
  uint64_t mask;
  uint64_t tail;     /* next byte */
  uint64_t limit[2]; /* by priority: a reservation may end here; 0 if a segment has to begin */
  uint64_t seal_at;  /* commit seals when the tail is here */
  struct gg__ring_header *header;
  uint64_t reserved;   /* bytes of the open reservation */
  uint64_t sealed_to;  /* the producer's copy of `sealed` */
  uint64_t ring_limit; /* end of the free part of the ring, as last seen */
  struct gg__ring *ring;
  struct gg_shard *shard;  /* NULL without metrics */
  uint64_t segment_number; /* of the current or last one */
  uint64_t segment_start;
  bool segment_open;
  bool refused;
  size_t refused_bytes; /* what was asked for then */
  enum gg_log_priority refused_priority;
  bool hasty; /* gg_log_hasten, since the last seal */
  bool finished;
  int64_t clock_offset_ns; /* wall clock minus monotonic, fixed per segment */
  int64_t clock_noted_ns;  /* the offset that the last note of a step spoke of */
  int64_t clock_step_ns;   /* to be told by the next statistics block; 0: none */
  uint64_t clock_checked_ns;
  uint64_t segment_begun_ns;                         /* monotonic */
  uint64_t unsealed_since_ns;                        /* 0: nothing was seen unsealed by a tick */
  uint64_t mark_position;                            /* when this is written, ... */
  uint64_t mark_ns;                                  /* ... the watermark is this */
  uint64_t busy_ns;                                  /* last time that the fill was not low */
  uint64_t gap_bytes, gap_count, lost_sessions;      /* in this segment */
  bool counts_untold;                                /* ... which no statistics block has told yet */
  struct gg__segment segments[GG_RING_SEGMENTS_MAX]; /* by number; the producer fills an entry, then others read it */

  /* Producer writes, others read. */
  _Alignas(64) _Atomic uint64_t committed;
  _Atomic uint64_t claimed; /* positions below may be written at any time: see gg__log_claim */
  _Atomic uint64_t sealed;
  _Atomic uint64_t boundaries_head;
  _Atomic uint64_t boundaries[GG__BOUNDARIES_MAX];
  _Atomic uint64_t watermark_ns;
  _Atomic uint64_t ring_bytes;
  _Atomic uint64_t ring_wanted;     /* bytes of the ring that the provisioner shall make; 0: none */
  _Atomic uint32_t pressure;        /* enum gg_log_pressure, for gg_recorder_log_status */
  _Atomic uint64_t rotations;       /* the last request that was done, as counted by recorder->rotate_wanted */
  _Atomic uint64_t rotated_segment; /* and the last segment then; set before `rotations` */
  _Atomic bool handed_over;         /* finished: the writer does what the producer did */

  /* The writer writes, others read. */
  _Alignas(64) _Atomic uint64_t written;
  _Atomic uint64_t boundaries_tail;
  _Atomic uint64_t segments_done; /* number of the last segment that is completely in its file */
  _Atomic bool disk_full;
  struct gg__ring *oldest; /* the writer's: where it reads */
  uint64_t filed;          /* so far the file has it; beyond `written` while a sink has not taken it */
  uint64_t retry_at_ns;
  uint64_t refusals; /* of the disk, in a row */
  int last_errno;
  _Atomic bool sink_refuses;  /* the refusal is a sink's */
  bool direct;                /* the open file takes O_DIRECT */
  _Atomic bool finish_sealed; /* after the hand-over: nothing is left to seal */

  /* Anybody. */
  _Atomic uint64_t wake_at;         /* the producer wants a wake when `written` is here; UINT64_MAX: no */
  _Atomic uint64_t durable;         /* the sync thread's */
  _Atomic uint64_t want_durable;    /* UINT64_MAX: no */
  struct gg__ring *_Atomic offered; /* a new ring, from the provisioner to the producer */
  struct gg__ring *_Atomic drained; /* an old ring, from the writer to the sync thread */
  _Atomic uint32_t rings_alive;

  struct gg__ring *readable; /* the oldest that is mapped; under recorder->readers_lock */

  uint64_t synced; /* the sync thread's alone: position up to which fdatasync succeeded */

  /* The provisioner's alone. */
  uint64_t ring_again_ns; /* after a refusal; 0: none */
  bool growth_refused;    /* and said so */

  /* Under recorder->files_lock. */
  int file;            /* being written; -1: none */
  uint64_t file_start; /* position of its first byte */
  char file_name[GG__SEGMENT_NAME_MAX];

  /* Under recorder->running_lock. */
  char ring_names[GG_RINGS_ALIVE_MAX][GG__RING_NAME_MAX];
  char running_segments[GG_RING_SEGMENTS_MAX][GG__SEGMENT_NAME_MAX];
};

/* A file that is complete and waits for fdatasync, close and ops->sealed. */
struct gg__closing {
  int fd;
  struct gg_log *log;
  uint64_t number;
  uint64_t bytes;
  char name[GG__SEGMENT_NAME_MAX];
};

/* A segment that is complete and that ops->sealed has not been told of. */
struct gg__unsealed {
  const struct gg_log *log;
  uint64_t number;
};

/* A file that the recovery has completed, and that sinks have not been told of. */
struct gg__recovered {
  uint64_t bytes;
  char name[GG__SEGMENT_NAME_MAX];
};

/* One log in a round of the sync thread. */
struct gg__sync_file {
  int fd;
  uint64_t written;
};

enum gg__phase { GG__RUNNING, GG__STOPPING };

struct gg_recorder {
  struct gg_recorder_options options; /* the texts in it are the caller's: use those below */
  struct gg_logger *logger;
  char *dir;
  char *ring_dir;
  char uuid[GG__UUID_TEXT];
  char boot_id[64];
  int dir_fd, segments_fd, ring_dir_fd;
  int lock_fd;      /* byte 0 of `lock` is locked: shared with those that this one took over from */
  int process_fd;   /* a description of its own, for the byte of `process` */
  unsigned process; /* this one's number; 0: none yet */
  uint64_t opened_real_ns;
  uint64_t first_name_ms; /* times in its segments' names are later, and those of all that were there before earlier */
  struct gg__ring_owner owner;       /* of the rings that are made */
  uint64_t initial_bytes;            /* of each log's first ring */
  _Atomic uint64_t ring_budget_used; /* bytes of all rings, with the first ones of logs that are to come */
  struct gg_log *logs[GG_LOGS_MAX];  /* the first log_count are whole, and stay */
  _Atomic unsigned log_count;        /* the engine's thread adds one: see gg__log_count */
  _Atomic uint64_t rotate_wanted;    /* requests so far */
  _Atomic uint64_t newest_name_ms;   /* time in the newest segment's name */

  size_t metrics_first;
  struct gg_shard *writer_shard, *sync_shard, *provision_shard;

  pthread_mutex_t files_lock;
  struct gg__closing closing[GG_FILES_CLOSING_MAX];
  unsigned closing_count;
  struct gg__unsealed unsealed[GG__UNSEALED_MAX];
  unsigned unsealed_count;
  struct gg__sync_file sync_files[GG_LOGS_MAX]; /* the sync thread's alone */
  bool segments_dir_changed;                    /* needs fsync before what is in new files counts as durable */

  pthread_mutex_t sinks_lock;
  struct gg_recorder_sink *sinks[GG_RECORDER_SINKS_MAX]; /* held; changed by the engine's thread */
  _Atomic unsigned sink_count;
  struct gg__recovered *recovered; /* the engine's thread's */
  size_t recovered_count;

  pthread_mutex_t running_lock;
  pthread_mutex_t readers_lock; /* held while a ring is read by another thread (log_copy.c); no producer takes it */
  _Atomic bool running_stale;   /* the file does not say what it should yet */

  struct gg__bell writer_bell, sync_bell, provision_bell, stop_bell;
  pthread_t writer_thread, sync_thread, provision_thread;
  _Atomic uint32_t writer_phase, sync_phase, provision_phase; /* enum gg__phase */
  _Atomic bool writer_ended, sync_ended, provision_ended;
  _Atomic uint64_t stop_deadline_ns;
  bool started;
  bool abandoned;  /* a thread hangs in the disk: nothing may be freed */
  bool keep_rings; /* they hold what is in no file */
  bool rings_removed;
};

/* Logs come while the threads run: who goes round them asks once, at the beginning of the round. */
static inline unsigned gg__log_count(const struct gg_recorder *recorder)
{
  return atomic_load_explicit(&recorder->log_count, memory_order_acquire);
}

/* No producer has taken it up: it was made for a reload that came to nothing, or for one that is being adopted. Nobody
 * ticks it, so it neither rotates nor says up to what time it is complete, and there is nothing in it. */
static inline bool gg__log_untouched(const struct gg_log *log)
{
  return atomic_load(&log->watermark_ns) == 0 && atomic_load(&log->committed) == 0;
}

static inline void gg__count(const struct gg_recorder *recorder, struct gg_shard *shard, enum gg__metric metric,
                             uint64_t n)
{
  if (shard)
    gg_shard_add(shard, recorder->metrics_first + (size_t)metric, n);
}

static inline void gg__gauge(const struct gg_recorder *recorder, struct gg_shard *shard, enum gg__metric metric,
                             uint64_t n)
{
  if (shard)
    gg_shard_set(shard, recorder->metrics_first + (size_t)metric, n);
}

static inline void gg__observe(const struct gg_recorder *recorder, struct gg_shard *shard, enum gg__metric metric,
                               uint64_t ns)
{
  if (shard)
    gg_shard_observe(shard, recorder->metrics_first + (size_t)metric, ns);
}

/* What the producer is about to write ends at `end`: told first, so that whoever copies behind its back can tell
 * afterwards what may have been written over meanwhile. One plain store; on x86 the fence is one for the compiler. */
static inline void gg__log_claim(struct gg_log *log, uint64_t end)
{
  atomic_store_explicit(&log->claimed, end, memory_order_relaxed);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wtsan" /* it does not follow fences, and the reader is none that it looks at */
  atomic_thread_fence(memory_order_release);
#pragma GCC diagnostic pop
}

/* Whoever has finished its log is not woken any more: it may be gone. Any thread. */
static inline void gg__log_wake(const struct gg_log *log)
{
  if (log->wake && !atomic_load(&log->handed_over))
    log->wake(log->wake_context);
}

/* log.c */
void gg__log_init(struct gg_log *log, struct gg_recorder *recorder, struct gg__ring *ring);
void gg__log_seal(struct gg_log *log);
bool gg__log_finish_step(struct gg_log *log);  /* writer, after hand-over: seals the rest; true when all is sealed */
void gg__log_wake_if_room(struct gg_log *log); /* writer, provisioner */

/* writer.c, sync.c, provision.c: thread bodies. */
void *gg__writer_main(void *recorder);
void *gg__sync_main(void *recorder);
void *gg__provision_main(void *recorder);

/* provision.c. Any thread: `bytes` of log_max_bytes, or false. */
bool gg__ring_budget_take(struct gg_recorder *recorder, uint64_t bytes);

/* rotate.c */
void gg__unsealed_add(struct gg_recorder *recorder, const struct gg_log *log, uint64_t number); /* under files_lock */
void gg__unsealed_remove(struct gg_recorder *recorder, const struct gg_log *log, uint64_t number);

/* sink.c. Writer: gives each sink what it has not taken of [from, to), which the file has; that the file ends there.
 * False: some sink did not take it. */
bool gg__sinks_take(struct gg_log *log, const struct gg__segment *segment, uint64_t from, uint64_t to);
bool gg__sinks_end(struct gg_log *log, const struct gg__segment *segment, uint64_t end);
void gg__sinks_sealed(struct gg_recorder *recorder, const struct gg_recorder_sealed *sealed); /* any thread */
/* Notes a file that was recovered; again: it is larger now. Engine's thread. */
void gg__recovered_add(struct gg_recorder *recorder, const char *name, uint64_t bytes);

/* segment.c */
/* At open, once the recovery is done: where names go on. An errno value. */
int gg__segment_newest(struct gg_recorder *recorder);

/* A time in names as in a name: "20261122T123759.123Z". */
enum { GG__STAMP_TEXT = 32 };
void gg__segment_stamp(char text[GG__STAMP_TEXT], uint64_t ms);
void gg__segment_name(char name[GG__SEGMENT_NAME_MAX], const struct gg_log *log, uint64_t real_ns, uint64_t number);
bool gg__segment_name_valid(const char *name);
size_t gg__segment_head(const struct gg_log *log, uint8_t *at);
int gg__segment_create(int dir_fd, const char *name, bool *direct); /* a descriptor, or -1 and errno */
/* All of it, or an errno value; then *done bytes may have been written. Clears *direct where the file refuses it. */
int gg__segment_write(int fd, bool *direct, const uint8_t *from, size_t bytes, uint64_t offset, size_t *done);

/* running.c: this process' `running` file, and what it shall say. Writing: the engine's thread at start, then the sync
 * thread. Changing what it shall say: any thread; the sync thread is told. */
void gg__running_write(struct gg_recorder *recorder);
void gg__running_remove(struct gg_recorder *recorder, unsigned process);
/* Whose file that number has; 0: there is none, or it does not say. */
long gg__running_pid(const struct gg_recorder *recorder, unsigned process);
void gg__running_ring_add(struct gg_recorder *recorder, struct gg_log *log, const char *name);
void gg__running_ring_remove(struct gg_recorder *recorder, struct gg_log *log, const char *name);
void gg__running_segment_add(struct gg_recorder *recorder, struct gg_log *log, const char *name);
void gg__running_segment_remove(struct gg_recorder *recorder, struct gg_log *log, const char *name);

/* store_lock.c: the directory, its lock and its name. */
int gg__store_open(struct gg_recorder *recorder, struct gg_failure *failure);
/* Says in the lock (by its time, store/live.c reads it) that who is at work now began with this process' start. */
void gg__store_began_here(struct gg_recorder *recorder);

/* process.c: numbers of the processes on one store. */
/* At open, after the recovery: sets recorder->process. */
int gg__process_number(struct gg_recorder *recorder, struct gg_failure *failure);
/* True if nobody of that number lives, and until the unlock nobody will. False for this process' own. */
bool gg__process_lock(const struct gg_recorder *recorder, unsigned number);
void gg__process_unlock(const struct gg_recorder *recorder, unsigned number);
bool gg__process_is_alone(const struct gg_recorder *recorder);
/* "running" and "running.2", with a suffix. */
void gg__process_running_name(char name[GG__RUNNING_NAME_MAX], unsigned number, const char *suffix);

/* recover.c */
/* The store was free: everything that is left in it. */
int gg__recover(struct gg_recorder *recorder, struct gg_recovery *recovery, struct gg_failure *failure);
/* Others are at work: only what those have left that do not live any more; of them, the one with `pid` (0: all). */
int gg__recover_ended(struct gg_recorder *recorder, long pid, struct gg_recovery *recovery, struct gg_failure *failure);

#endif
