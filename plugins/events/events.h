/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - the parts of the plug-in events. */
#ifndef EVENTS_H
#define EVENTS_H

#include <gogetway/plugin.h>

#include <pthread.h>
#include <stdatomic.h>

enum {
  LINE_MAX_BYTES = 4096, /* of a line: more than the longest texts of gg_session_info need, each byte written as six */
};
#define TICK_NS (UINT64_C(50) * 1000 * 1000)
#define RETRY_NS (UINT64_C(1000) * 1000 * 1000)  /* between two attempts to open the file or to connect */
#define FINISH_NS (UINT64_C(1000) * 1000 * 1000) /* how long destroy waits for whoever takes the last lines */

/* line.c */
struct line_head {
  bool syslog;
  long pid;
  char host[64];
};
void line_head_init(struct line_head *head, bool syslog);
/* A whole line with its newline. `summary` NULL: the session's beginning. Any thread. */
size_t line_write(char *out, const struct line_head *head, const struct gg_session_info *info,
                  const struct gg_session_summary *summary, uint64_t now_ns);

/* queue.c: workers put lines in, one thread takes all at once. */
struct queue {
  pthread_mutex_t lock;
  char *lines; /* whole ones */
  char *other; /* what queue_take gives away next */
  size_t used, size;
  uint64_t taken, lost; /* lines */
};
struct queue_count {
  uint64_t taken; /* lines that found room */
  uint64_t lost;
};
bool queue_init(struct queue *queue, size_t bytes);
void queue_fini(struct queue *queue);
void queue_put(struct queue *queue, const char *line, size_t length);
/* All lines there are; *lines is good until the next call. */
size_t queue_take(struct queue *queue, const char **lines);
struct queue_count queue_count(struct queue *queue);

/* sink.c: where lines go. The tick's, and destroy's. */
enum sink_kind { SINK_FILE, SINK_UNIX, SINK_SYSLOG };
struct sink {
  enum sink_kind kind;
  const struct gg_host *host;
  char *path;
  int fd; /* -1: it could not be had */
  bool datagrams;
  const char *batch; /* of the queue */
  size_t batch_bytes;
  size_t line_at;   /* where the line begins that is being written ... */
  size_t at;        /* ... and up to where it is */
  uint64_t next_ns; /* no attempt before */
  bool told;        /* that it cannot be had, or not be written */
  _Atomic bool works;
  _Atomic uint64_t written; /* lines */
};
int sink_init(struct sink *sink, enum sink_kind kind, const char *path, const struct gg_host *host,
              struct gg_failure *failure);
void sink_fini(struct sink *sink);
void sink_reopen(struct sink *sink);
/* Writes what can be written without waiting. */
void sink_run(struct sink *sink, struct queue *queue);
/* The same, but waits a little for one who reads slowly. */
void sink_finish(struct sink *sink, struct queue *queue);

#endif
