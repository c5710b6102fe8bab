/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - sessions' beginnings and ends as lines of JSON, for whoever collects such things: the instance.
 *
 *     worker, open and close ──► line.c: a line ──► queue.c: a bounded queue ──► tick ──► sink.c: file, socket, syslog
 *
 * A session never waits for whoever reads the lines: a worker only copies a line into memory. Everything that can take
 * long is done by the tick, on the plug-in's own thread. What finds no room in the queue is counted, and told.
 */
#include "events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_AT, UNIX_AT, SYSLOG_AT, STARTS_AT, QUEUE_AT, OPTIONS };
static const struct gg_plugin_option options[OPTIONS] = {
  [FILE_AT] = {"file", GG_PLUGIN_TEXT, .least = 1,
               .help = "appended to; without a slash in front, in the state directory"},
  [UNIX_AT] = {"unix", GG_PLUGIN_TEXT, .least = 1, .most = 107, .help = "path of a stream or datagram socket"},
  [SYSLOG_AT] = {"syslog", GG_PLUGIN_TEXT, .least = 1, .most = 107, .help = "path of syslog's socket: /dev/log"},
  [STARTS_AT] = {"starts", GG_PLUGIN_BOOL, .preset = "on", .help = "tell of beginnings, too"},
  [QUEUE_AT] = {"queue", GG_PLUGIN_BYTES, .least = 64 << 10, .most = 256 << 20, .preset = "4MiB",
                .help = "most bytes of lines that wait to be written"},
};

struct events {
  const struct gg_host *host;
  bool starts;
  struct line_head head;
  struct queue queue;
  struct sink sink;
  _Atomic bool reopen; /* asked for by the command */
  uint64_t told_lost;  /* the tick's */
};

static int choose(struct events *events, const struct gg_plugin_value *values, struct gg_failure *failure)
{
  static const enum sink_kind kinds[] = {[FILE_AT] = SINK_FILE, [UNIX_AT] = SINK_UNIX, [SYSLOG_AT] = SINK_SYSLOG};
  int chosen = -1;
  for (int i = FILE_AT; i <= SYSLOG_AT; i++) {
    if (!values[i].text)
      continue;
    if (chosen >= 0)
      return gg_plugin_fail(failure, GG_ERR_INVALID, "%s and %s are both given: one of file, unix and syslog is enough",
                            options[chosen].name, options[i].name);
    chosen = i;
  }
  if (chosen < 0)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "one of file, unix and syslog must be given");
  return sink_init(&events->sink, kinds[chosen], values[chosen].text, events->host, failure);
}

static void on_destroy(void *self)
{
  struct events *events = self;
  sink_finish(&events->sink, &events->queue);
  sink_fini(&events->sink);
  queue_fini(&events->queue);
  free(events);
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct events *events = calloc(1, sizeof *events);
  if (!events)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  events->host = host;
  events->starts = config->values[STARTS_AT].on;
  line_head_init(&events->head, config->values[SYSLOG_AT].text != NULL);
  if (!queue_init(&events->queue, (size_t)config->values[QUEUE_AT].number)) {
    free(events);
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory for the queue");
  }
  int error = choose(events, config->values, failure);
  if (error) {
    queue_fini(&events->queue);
    free(events);
    return error;
  }
  *self = events;
  return 0;
}

/* ── Workers ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell(struct events *events, struct gg_live *session, const struct gg_session_summary *summary)
{
  char line[LINE_MAX_BYTES];
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  events->host->info(events->host, session, &info);
  size_t length = line_write(line, &events->head, &info, summary, events->host->real_ns(events->host));
  queue_put(&events->queue, line, length);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct events *events = self;
  (void)open;
  if (events->starts)
    tell(events, session, NULL);
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  tell(self, session, summary);
}

/* ── Its own thread ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_tick(void *self)
{
  struct events *events = self;
  char text[128];
  if (atomic_exchange(&events->reopen, false))
    sink_reopen(&events->sink);
  sink_run(&events->sink, &events->queue);
  struct queue_count count = queue_count(&events->queue);
  if (count.lost == events->told_lost)
    return;
  snprintf(text, sizeof text, "%" PRIu64 " lines are lost, of %" PRIu64 ": they come faster than they are taken",
           count.lost, count.lost + count.taken);
  events->told_lost = count.lost;
  events->host->log(events->host, GG_PLUGIN_WARNING, text);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { REOPEN, SHOW, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [REOPEN] = {"reopen", NULL, "opens the file anew, or connects anew"},
  [SHOW] = {"show", NULL, "how many lines were written, wait, and are lost"},
};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct events *events = self;
  char text[160];
  (void)word_count;
  (void)words;
  (void)failure;
  if (command == REOPEN) {
    events->reopen = true; /* by the tick, which comes within TICK_NS */
    return 0;
  }
  struct queue_count count = queue_count(&events->queue);
  uint64_t written = events->sink.written;
  snprintf(text, sizeof text, "written %" PRIu64 "\nwaiting %" PRIu64 "\nlost %" PRIu64 "\nstate %s\n", written,
           count.taken - written, count.lost, events->sink.works ? "open" : "not open");
  events->host->reply(events->host, reply, text);
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,        .name = "events",
  .version = "1.0",      .summary = "sessions as lines of JSON",
  .options = options,    .option_count = OPTIONS,
  .commands = commands,  .command_count = COMMANDS,
  .create = on_create,   .destroy = on_destroy,
  .open = on_open,       .close = on_close,
  .tick = on_tick,       .tick_interval_ns = TICK_NS,
  .command = on_command,
};
