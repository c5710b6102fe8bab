/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The report's frame is written here by hand, everything inside of it by the JSON writer, one value at a time:
 *
 *     {"gogetway":"...","replay":{...},"plan":{...},"sessions":[
 *     {...},
 *     {...}
 *     ],"outcome":{...}}
 *
 * One row a line, so that a report of a million sessions can also be read by tools that know lines. The sums are known
 * last and stand last. Members are called as in replay.h; all numbers are integers.
 *
 * The file is made beside its name, for its owner only, synced and renamed, so under its name there is always a whole
 * report or the one before it. Where the name is a link, that is the name of the file that it leads to. What is no
 * ordinary file (a pipe, a terminal, /dev/null) is written as it is, and so is the one that standard output goes to,
 * by whatever name.
 */
#include "replay/report.h"

#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  BUFFER_BYTES = 64 << 10,
  VALUE_BYTES = 64 << 10, /* of one value, at most: a row has under 2 KiB, the options have paths in them */
  LINKS_MAX = 40,         /* one behind the other, as in the kernel */
};

struct gg_report {
  int fd;
  bool ours;        /* fd is closed by us */
  char *path;       /* what it was called by who wanted it */
  char *name;       /* what it is to be called: the same behind all links */
  char *unfinished; /* what it is called until then; NULL: it is written as it is */
  uint64_t rows;
  struct gg_failure failure; /* the first error; nothing is written behind it */
  size_t used;
  char buffer[BUFFER_BYTES];
  char value[VALUE_BYTES];
};

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int flush(struct gg_report *report)
{
  size_t done = 0;
  while (report->failure.code == 0 && done < report->used) {
    ssize_t written = write(report->fd, report->buffer + done, report->used - done);
    if (written >= 0)
      done += (size_t)written;
    else if (errno == EPIPE)
      gg_fail(&report->failure, GG_ERR_CLOSED, "nobody reads the report %s any more", report->path);
    else if (errno != EINTR)
      gg_fail_errno(&report->failure, errno, "cannot write the report %s", report->path);
  }
  report->used = 0;
  return report->failure.code;
}

static void put(struct gg_report *report, const char *text, size_t length)
{
  while (length > 0 && report->failure.code == 0) {
    size_t room = BUFFER_BYTES - report->used, take = length < room ? length : room;
    memcpy(report->buffer + report->used, text, take);
    report->used += take;
    text += take;
    length -= take;
    if (report->used == BUFFER_BYTES)
      flush(report);
  }
}

static void put_text(struct gg_report *report, const char *text)
{
  put(report, text, strlen(text));
}

static void put_value(struct gg_report *report, const struct gg_json *json)
{
  size_t length = gg_json_finish(json);
  if (length == 0)
    gg_fail(&report->failure, GG_ERR_RANGE, "the options are too long for the report %s", report->path);
  put(report, report->value, length);
}

static int told(const struct gg_report *report, struct gg_failure *failure)
{
  return report->failure.code == 0 ? 0 : gg_fail(failure, report->failure.code, "%s", report->failure.message);
}

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const levels[] = {[GG_REPLAY_CAUSAL] = "causal", [GG_REPLAY_BYTES] = "bytes"};
static const char *const policies[] = {
  [GG_REPLAY_CONTINUE] = "continue", [GG_REPLAY_STOP_SESSION] = "stop-session", [GG_REPLAY_STOP] = "stop"};

static void put_options(struct gg_report *report, const struct gg_replay_options *options)
{
  struct gg_json json;
  gg_json_init(&json, report->value, sizeof report->value);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "to", options->to);
  gg_json_field_string(&json, "level", levels[options->level]);
  gg_json_field_unsigned(&json, "speed_percent", options->speed_percent);
  gg_json_field_unsigned(&json, "rate", options->rate);
  gg_json_field_unsigned(&json, "ramp_ns", options->ramp_ns);
  gg_json_field_unsigned(&json, "copies", options->copies);
  gg_json_field_unsigned(&json, "loops", options->loops);
  gg_json_field_unsigned(&json, "connections_max", options->connections_max);
  gg_json_field_unsigned(&json, "reply_timeout_ns", options->reply_timeout_ns);
  gg_json_field_unsigned(&json, "connect_timeout_ns", options->connect_timeout_ns);
  gg_json_field_string(&json, "on_timeout", policies[options->on_timeout]);
  gg_json_field_string(&json, "on_close", policies[options->on_close]);
  gg_json_field_string(&json, "source", options->source);
  gg_json_field_bool(&json, "include_partial", options->include_partial);
  gg_json_field_bool(&json, "allow_original", options->allow_original);
  gg_json_field_string(&json, "record_dir", options->record_dir);
  gg_json_field_string(&json, "plugin", options->plugin);
  gg_json_object_end(&json);
  put_value(report, &json);
}

static void put_plan(struct gg_report *report, const struct gg_replay_plan *plan)
{
  struct gg_json json;
  gg_json_init(&json, report->value, sizeof report->value);
  gg_json_object_begin(&json);
  gg_json_field_unsigned(&json, "sessions", plan->sessions);
  gg_json_field_unsigned(&json, "opaque", plan->opaque);
  gg_json_field_unsigned(&json, "partial", plan->partial);
  gg_json_field_unsigned(&json, "played", plan->played);
  gg_json_field_unsigned(&json, "connections", plan->connections);
  gg_json_field_unsigned(&json, "connections_peak", plan->connections_peak);
  gg_json_field_unsigned(&json, "chunks", plan->chunks);
  gg_json_field_unsigned(&json, "chunks_dependent", plan->chunks_dependent);
  gg_json_field_unsigned(&json, "bytes", plan->bytes);
  gg_json_field_unsigned(&json, "bytes_expected", plan->bytes_expected);
  gg_json_field_unsigned(&json, "duration_ns", plan->duration_ns);
  gg_json_field_string(&json, "to", plan->to);
  gg_json_object_end(&json);
  put_value(report, &json);
}

static void put_counts(struct gg_json *json, const struct gg_replay_counts *counts)
{
  gg_json_field_unsigned(json, "chunks_sent", counts->chunks_sent);
  gg_json_field_unsigned(json, "chunks_unsent", counts->chunks_unsent);
  gg_json_key(json, "released");
  gg_json_object_begin(json);
  for (size_t i = 0; i < GG_REPLAY_RELEASES; i++)
    gg_json_field_unsigned(json, gg_replay_release_text((enum gg_replay_release)i), counts->released[i]);
  gg_json_object_end(json);
  gg_json_field_unsigned(json, "bytes_sent", counts->bytes_sent);
  gg_json_field_unsigned(json, "bytes_received", counts->bytes_received);
  gg_json_field_unsigned(json, "bytes_expected", counts->bytes_expected);
  gg_json_field_unsigned(json, "replies", counts->replies);
  gg_json_field_unsigned(json, "replies_equal", counts->replies_equal);
  gg_json_field_unsigned(json, "replies_shorter", counts->replies_shorter);
  gg_json_field_unsigned(json, "replies_longer", counts->replies_longer);
  gg_json_field_unsigned(json, "replies_different", counts->replies_different);
  gg_json_field_unsigned(json, "timeouts", counts->timeouts);
  gg_json_field_unsigned(json, "closed_early", counts->closed_early);
  gg_json_field_unsigned(json, "pieces_replaced", counts->pieces_replaced);
  gg_json_field_unsigned(json, "plugin_ended", counts->plugin_ended);
}

static void put_hex(struct gg_json *json, const char *key, const uint8_t *bytes, size_t size)
{
  static const char digits[] = "0123456789abcdef";
  char text[2 * GG_REPLAY_EXCERPT_MAX];
  assert(size <= GG_REPLAY_EXCERPT_MAX);
  for (size_t i = 0; i < size; i++) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  gg_json_key(json, key);
  gg_json_string_n(json, text, 2 * size);
}

static void put_difference(struct gg_json *json, const struct gg_replay_difference *difference)
{
  gg_json_key(json, "difference");
  if (difference->kind == GG_REPLAY_DIFFERENCE_NONE) {
    gg_json_null(json);
    return;
  }
  gg_json_object_begin(json);
  gg_json_field_string(json, "kind", gg_replay_difference_text(difference->kind));
  gg_json_field_unsigned(json, "chunk", difference->chunk);
  gg_json_field_unsigned(json, "offset", difference->offset);
  put_hex(json, "expected", difference->expected, difference->expected_size);
  put_hex(json, "got", difference->got, difference->got_size);
  gg_json_object_end(json);
}

static void put_percentiles(struct gg_json *json, const char *key, const struct gg_replay_percentiles *percentiles)
{
  gg_json_key(json, key);
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "count", percentiles->count);
  gg_json_field_unsigned(json, "mean_ns", percentiles->mean_ns);
  gg_json_field_unsigned(json, "p50_ns", percentiles->p50_ns);
  gg_json_field_unsigned(json, "p90_ns", percentiles->p90_ns);
  gg_json_field_unsigned(json, "p99_ns", percentiles->p99_ns);
  gg_json_field_unsigned(json, "p999_ns", percentiles->p999_ns);
  gg_json_field_unsigned(json, "max_ns", percentiles->max_ns);
  gg_json_object_end(json);
}

static void put_outcome(struct gg_report *report, const struct gg_replay_outcome *outcome)
{
  struct gg_json json;
  gg_json_init(&json, report->value, sizeof report->value);
  gg_json_object_begin(&json);
  gg_json_field_bool(&json, "partial", outcome->partial);
  gg_json_field_unsigned(&json, "elapsed_ns", outcome->elapsed_ns);
  gg_json_field_unsigned(&json, "sessions_planned", outcome->sessions_planned);
  gg_json_key(&json, "sessions");
  gg_json_object_begin(&json);
  for (size_t i = 0; i < GG_REPLAY_VERDICTS; i++)
    gg_json_field_unsigned(&json, gg_replay_verdict_text((enum gg_replay_verdict)i), outcome->sessions[i]);
  gg_json_object_end(&json);
  gg_json_field_unsigned(&json, "connections_made", outcome->connections_made);
  gg_json_field_unsigned(&json, "connections_refused", outcome->connections_refused);
  gg_json_field_unsigned(&json, "connections_peak", outcome->connections_peak);
  gg_json_field_unsigned(&json, "sessions_held", outcome->sessions_held);
  gg_json_field_unsigned(&json, "held_max_ns", outcome->held_max_ns);
  gg_json_field_unsigned(&json, "waited_by_messages", outcome->waited_by_messages);
  gg_json_field_unsigned(&json, "waited_by_bytes", outcome->waited_by_bytes);
  put_counts(&json, &outcome->counts);
  put_percentiles(&json, "latency", &outcome->latency);
  put_percentiles(&json, "lag", &outcome->lag);
  put_percentiles(&json, "slip", &outcome->slip);
  gg_json_object_end(&json);
  put_value(report, &json);
}

/* ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Where the link `name` leads to, relative to where `name` is relative to. NULL: it is no link, or no memory for it. */
static char *follow(const char *name)
{
  char to[PATH_MAX], *next = NULL;
  ssize_t length = readlink(name, to, sizeof to - 1);
  if (length <= 0)
    return NULL;
  to[length] = '\0';
  const char *slash = to[0] == '/' ? NULL : strrchr(name, '/');
  return asprintf(&next, "%.*s%s", slash ? (int)(slash - name + 1) : 0, name, to) < 0 ? NULL : next;
}

/* The name behind all links, which there need not be a file of yet. NULL: no memory. */
static char *resolve(const char *path)
{
  char *name = strdup(path), *next;
  for (unsigned i = 0; name && i < LINKS_MAX && (next = follow(name)); i++) {
    free(name);
    name = next;
  }
  return name;
}

static bool is_standard_output(const struct stat *status)
{
  struct stat output;
  return fstat(STDOUT_FILENO, &output) == 0 && output.st_dev == status->st_dev && output.st_ino == status->st_ino;
}

static int open_file(struct gg_report *report, const char *path, struct gg_failure *failure)
{
  struct stat status;
  if (!(report->path = strdup(strcmp(path, "-") == 0 ? "on standard output" : path)))
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the report %s", path);
  bool exists = stat(path, &status) == 0;
  if (strcmp(path, "-") == 0 || (exists && is_standard_output(&status))) {
    report->fd = STDOUT_FILENO;
    return 0;
  }
  if (!exists && errno == ELOOP)
    return gg_fail_errno(failure, errno, "cannot write the report %s", path);
  report->ours = true;
  if (exists && !S_ISREG(status.st_mode)) {
    report->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  } else {
    uint64_t chance = 0; /* two replays may be told to write the same report */
    report->name = resolve(path);
    if (!report->name || getrandom(&chance, sizeof chance, 0) != sizeof chance ||
        asprintf(&report->unfinished, "%s.%016" PRIx64, report->name, chance) < 0) {
      report->unfinished = NULL;
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for the report %s", path);
    }
    report->fd = open(report->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  }
  if (report->fd >= 0)
    return 0;
  int error = gg_fail_errno(failure, errno, "cannot write the report %s", path);
  free(report->unfinished); /* nothing of that name was made */
  report->unfinished = NULL;
  return error;
}

/* Some file systems tell of a full disk only now. */
static void keep_file(struct gg_report *report)
{
  if (report->failure.code || !report->unfinished)
    return;
  if (fsync(report->fd) != 0)
    gg_fail_errno(&report->failure, errno, "cannot write the report %s", report->path);
  else if (rename(report->unfinished, report->name) != 0)
    gg_fail_errno(&report->failure, errno, "cannot give the report its name %s", report->path);
  else {
    free(report->unfinished);
    report->unfinished = NULL;
  }
}

/* ── The report ──────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__report_create(struct gg_report **out, const char *path, const struct gg_replay_plan *plan,
                      const struct gg_replay_options *options, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_report *report = malloc(sizeof *report);
  if (!report)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the report %s", path);
  report->fd = -1;
  report->ours = false;
  report->path = report->name = report->unfinished = NULL;
  report->rows = 0;
  report->failure = (struct gg_failure)GG_FAILURE_INIT;
  report->used = 0;
  int error = open_file(report, path, failure);
  if (!error) {
    put_text(report, "{\"gogetway\":\"" GG_VERSION "\",\"replay\":");
    put_options(report, options);
    put_text(report, ",\"plan\":");
    put_plan(report, plan);
    put_text(report, ",\"sessions\":[");
    flush(report); /* a full disk is told before anything is sent */
    error = told(report, failure);
  }
  if (error) {
    gg__report_destroy(report);
    return error;
  }
  *out = report;
  return 0;
}

int gg__report_session(struct gg_report *report, const struct gg_replay_session *session, struct gg_failure *failure)
{
  struct gg_json json;
  gg_json_init(&json, report->value, sizeof report->value);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "id", session->id);
  gg_json_field_unsigned(&json, "loop", session->loop);
  gg_json_field_unsigned(&json, "copy", session->copy);
  gg_json_field_string(&json, "verdict", gg_replay_verdict_text(session->verdict));
  gg_json_field_bool(&json, "connected", session->connected);
  gg_json_field_string(&json, "local", session->local[0] ? session->local : NULL);
  gg_json_field_unsigned(&json, "due_ns", session->due_ns);
  gg_json_field_unsigned(&json, "begun_ns", session->begun_ns);
  gg_json_field_unsigned(&json, "ended_ns", session->ended_ns);
  gg_json_field_unsigned(&json, "latency_max_ns", session->latency_max_ns);
  gg_json_field_string(&json, "decoder", session->decoder);
  put_counts(&json, &session->counts);
  put_difference(&json, &session->difference);
  gg_json_object_end(&json);
  put_text(report, report->rows++ ? ",\n" : "\n");
  put_value(report, &json);
  return told(report, failure);
}

int gg__report_finish(struct gg_report *report, const struct gg_replay_outcome *outcome, struct gg_failure *failure)
{
  put_text(report, "\n],\"outcome\":");
  put_outcome(report, outcome);
  put_text(report, "}\n");
  flush(report);
  keep_file(report);
  return told(report, failure);
}

void gg__report_destroy(struct gg_report *report)
{
  if (!report)
    return;
  if (report->unfinished)
    unlink(report->unfinished);
  if (report->ours && report->fd >= 0)
    close(report->fd);
  free(report->unfinished);
  free(report->name);
  free(report->path);
  free(report);
}
