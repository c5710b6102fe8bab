/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the messages of chosen sessions for other programs, one session after the other:
 *
 *     session ──► messages ──┬──► requests with their answers ──► HAR, or lines of curl ──► one file
 *                            └──► bodies ──► a file each, and the manifest
 */
#include "base/sized.h"
#include "store/exchange_out.h"
#include "store/messages.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
  const struct gg_message_export_options *options;
  struct gg_message_export_result *result;
  uint64_t done, total; /* sessions */
  const struct gg__exchange_form *form;
  struct gg__exchanges exchanges;
  struct gg__exchange_out out;
  bool stopped;
  bool partly; /* this session */
};

/* ── One session ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool may_go_on(void *context)
{
  struct run *run = context;
  const struct gg_message_export_options *options = run->options;
  if (options->progress && !options->progress(options->progress_context, run->done, run->total))
    run->stopped = true;
  bool failed = run->out.error || run->exchanges.error || (run->out.writer && run->out.writer->error);
  return !run->stopped && !failed;
}

static void take_head(void *context, const struct gg_message *message)
{
  struct run *run = context;
  gg__exchanges_head(&run->exchanges, message);
}

static void take_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct run *run = context;
  gg__exchanges_body(&run->exchanges, message, body);
}

static void take_end(void *context, const struct gg_message *message)
{
  struct run *run = context;
  gg__exchanges_end(&run->exchanges, message);
}

static void take_opaque(void *context, const struct gg_opaque *opaque)
{
  struct run *run = context;
  run->partly = run->partly || gg__is_partly(opaque);
}

static void put_exchange(void *context, const struct gg__exchange *exchange)
{
  struct run *run = context;
  run->form->entry(&run->out, exchange);
}

/* What went wrong on this side of the session, if anything. */
static int own_error(const struct run *run, struct gg_failure *failure)
{
  const struct gg__writer *writer = run->out.writer;
  if (run->out.error || run->exchanges.error)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the messages of a session");
  if (writer && writer->error)
    return gg_fail(failure, writer->error, "%s", writer->failure.message);
  return run->stopped ? gg_fail(failure, GG_ERR_CLOSED, "stopped") : 0;
}

static int put_session(struct run *run, struct gg_store *store, const struct gg_session *session,
                       const struct gg_message_options *options, struct gg_failure *failure)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = run;
  sink.head = take_head;
  sink.body = take_body;
  sink.end = take_end;
  sink.opaque = take_opaque;
  run->out.session = session;
  run->partly = false;
  struct gg_failure why = GG_FAILURE_INIT; /* that it was stopped, where own_error knows better */
  int error = gg_store_messages(store, session, options, &sink, &why);
  gg__exchanges_finish(&run->exchanges);
  run->result->partly += run->partly;
  int own = own_error(run, failure);
  return own || !error ? own : gg_fail(failure, error, "%s", why.message);
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int put_sessions(struct run *run, struct gg_store *store, const struct gg_session_list *list,
                        struct gg__carving *carving, struct gg_failure *failure)
{
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  options.decoder = run->options->decoder;
  options.go_on = may_go_on;
  options.go_on_context = run;
  for (size_t i = 0; i < list->count; i++) {
    const struct gg_session *session = list->sessions[i];
    struct gg_failure why = GG_FAILURE_INIT;
    run->done = i;
    int error = may_go_on(run) ? 0 : own_error(run, &why);
    if (!error)
      error = carving ? gg__carving_session(carving, store, session, &options, &why)
                      : put_session(run, store, session, &options, &why);
    if (error == GG_ERR_NOT_FOUND && run->options->lost) {
      run->options->lost(run->options->lost_context, session);
      error = 0;
    }
    if (error)
      return gg_fail(failure, error, "%s", why.message);
  }
  run->done = run->total;
  may_go_on(run);
  return 0;
}

static int put_file(struct run *run, struct gg_store *store, const struct gg_session_list *list,
                    struct gg_failure *failure)
{
  bool standard = strcmp(run->options->path, "-") == 0;
  struct gg__output output = {.fd = STDOUT_FILENO};
  struct gg__writer *writer = malloc(sizeof *writer);
  if (!writer)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for an export");
  int error = standard ? 0 : gg__output_open(&output, run->options->path, run->options->overwrite, failure);
  if (!error) {
    gg__writer_init(writer, output.fd, standard ? "standard output" : output.path);
    run->out.writer = writer;
    gg__exchanges_init(&run->exchanges, run, put_exchange);
    run->exchanges.bodies[GG_SIDE_SERVER] = run->form->answers;
    error = run->form->begin(&run->out) ? gg_fail(failure, GG_ERR_NOMEM, "no memory for an export") : 0;
    if (!error)
      error = put_sessions(run, store, list, NULL, failure);
    run->form->end(&run->out);
    gg__writer_flush(writer);
    if (!error && writer->error)
      error = gg_fail(failure, writer->error, "%s", writer->failure.message);
    gg__exchanges_fini(&run->exchanges);
    run->result->entries = run->out.entries;
    run->result->skipped = run->exchanges.answers_alone;
    run->result->bytes = writer->bytes;
  }
  free(writer);
  return standard ? error : gg__output_close(&output, error, failure);
}

static int put_files(struct run *run, struct gg_store *store, const struct gg_session_list *list,
                     struct gg_failure *failure)
{
  if (strcmp(run->options->path, "-") == 0)
    return gg_fail(failure, GG_ERR_INVALID, "bodies become files: they need a directory");
  struct gg__carving *carving = NULL;
  int error = gg__carving_create(&carving, run->options->path, run->options->overwrite, failure);
  if (!error)
    error = put_sessions(run, store, list, carving, failure);
  return gg__carving_finish(carving, error, run->result, failure);
}

int gg_store_export_messages(struct gg_store *store, const struct gg_session_list *list,
                             const struct gg_message_export_options *given, struct gg_message_export_result *result,
                             struct gg_failure *failure)
{
  struct gg_message_export_options options = GG_MESSAGE_EXPORT_OPTIONS_INIT;
  struct gg_message_export_result ignored;
  result = result ? result : &ignored;
  *result = (struct gg_message_export_result){.sessions = list->count};
  int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_message_export_options, lost_context),
                            given, "gg_message_export_options", failure);
  if (error)
    return error;
  if (!options.path || !options.path[0])
    return gg_fail(failure, GG_ERR_INVALID, "the export needs a path");
  if (options.decoder && !gg_decoder_find(options.decoder))
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no decoder %s", options.decoder);
  struct run run = {.options = &options, .result = result, .total = list->count, .out.secrets = options.secrets};
  switch (options.format) {
  case GG_MESSAGE_EXPORT_HAR:
    run.form = &gg__exchange_har;
    return put_file(&run, store, list, failure);
  case GG_MESSAGE_EXPORT_CURL:
    run.form = &gg__exchange_curl;
    return put_file(&run, store, list, failure);
  case GG_MESSAGE_EXPORT_FILES:
    return put_files(&run, store, list, failure);
  }
  return gg_fail(failure, GG_ERR_INVALID, "the export format is not known");
}
