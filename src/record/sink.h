/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sink.h - who else gets the recording's bytes, besides the segment files, and who is told of files that are complete.
 *
 *   ring ──► writer ──► segment file ──► each sink ──► `written` moves on: the ring has room again
 *                              │
 *                              └──► sync thread ──► each sink is told that the file is sealed
 *
 * A sink gets what the file has, byte for byte: whole pcapng blocks, in order, of each file from its beginning (or from
 * where the file was when the sink came), and at its end `last`. One that refuses is like a disk that is full: the log
 * is marked so, and the sink gets the same block again every GG_DISK_RETRY_NS; sinks that took it do not get it twice.
 * One that is slow is a slow disk. A sink that wants to be neither takes everything, and queues it.
 *
 * So `written` may be behind what the file has; what the ring's header says about that is what the next start goes by
 * after a kill: it writes the same bytes to the same place again, and a sink is told of the file as recovered.
 *
 * A sink lives as long as somebody holds it, by operations of its own, for the writer may be inside of it for any time
 * while it is taken away: nobody waits for that.
 */
#ifndef GG_RECORD_SINK_H
#define GG_RECORD_SINK_H

#include "record/bounds.h"
#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg_recorder;
struct gg_recorder_sink;

/* What a segment file has had added. */
struct gg_recorder_block {
  const char *segment; /* relative to segments/ */
  unsigned log;        /* which of the recorder's: below GG_LOGS_MAX */
  uint64_t number;     /* the file's, among those of its log: from 1 */
  uint64_t offset;
  const uint8_t *bytes;
  size_t length; /* 0 with `last` */
  bool last;     /* nothing follows in this file */
};

struct gg_recorder_sealed {
  const char *name; /* relative to segments/ */
  uint64_t bytes;
  bool recovered; /* a process that was killed had begun it */
};

struct gg_recorder_sink_ops {
  const char *(*name)(const struct gg_recorder_sink *sink); /* for messages */
  /* NULL: it wants no bytes. The writer thread; one call at a time. Negative: it does not take it. */
  int (*take)(struct gg_recorder_sink *sink, const struct gg_recorder_block *block, struct gg_failure *failure);
  /* NULL: it is not told. The sync thread, or with `recovered` the engine's; not for long. */
  void (*sealed)(struct gg_recorder_sink *sink, const struct gg_recorder_sealed *sealed);
  void (*hold)(struct gg_recorder_sink *sink); /* any thread, as the next; not for long */
  void (*release)(struct gg_recorder_sink *sink);
};

struct gg_recorder_sink {
  const struct gg_recorder_sink_ops *ops;
  /* The writer's, zeroed at first: of each log, the position up to which it has been taken, and the number of the last
   * file of which it knows that it has ended. */
  struct {
    uint64_t taken;
    uint64_t ended;
  } logs[GG_LOGS_MAX];
};

enum { GG_RECORDER_SINKS_MAX = 16 };

/* From now on these, and no others: each goes on where it is, a new one begins where the files are. They are held until
 * they are in this list no more, and no thread is inside of them. Engine's thread. */
void gg_recorder_sinks(struct gg_recorder *recorder, struct gg_recorder_sink *const *sinks, size_t count);
/* Tells them of the files that were recovered since the last time. Engine's thread. */
void gg_recorder_tell_recovered(struct gg_recorder *recorder);

#endif
