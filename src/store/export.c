/* SPDX-License-Identifier: Apache-2.0 */
/* Writes chosen sessions for other programs: as one capture (merge ──► sink), or as the bare bytes of each direction.
 * What becomes of the files when something fails is output.h's matter. */
#include "base/sized.h"
#include "store/merge.h"
#include "store/output.h"
#include "store/sink.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MTU_MIN = 576, MTU_MAX = 65535, PROGRESS_EVERY = 1024 };

/* ── One capture ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool may_go_on(const struct gg_export_options *options, uint64_t done, uint64_t total)
{
  return !options->progress || options->progress(options->progress_context, done, total);
}

/* The session's first packet that is here, though not its first. */
static bool needs_handshake(const struct gg__part *part, const struct gg__frame *frame)
{
  return gg__part_is_first(part) && frame->packet.block.offset == part->first_offset && !part->begins;
}

/* False: nobody wants to know, so it is an error. */
static bool tell_lost(const struct gg_export_options *options, const struct gg_session *session)
{
  if (options->lost)
    options->lost(options->lost_context, session);
  return options->lost != NULL;
}

static int tell_all_lost(struct gg__merge *merge, const struct gg_export_options *options, struct gg_failure *failure)
{
  size_t count;
  const struct gg_session *const *lost = gg__merge_lost(merge, &count);
  for (size_t i = 0; i < count; i++)
    if (!tell_lost(options, lost[i]))
      return gg_fail(failure, GG_ERR_NOT_FOUND, "a segment of session %s has gone since the store was read",
                     lost[i]->id);
  return 0;
}

static int copy_packets(struct gg__merge *merge, struct gg__sink *sink, const struct gg_export_options *options,
                        struct gg_failure *failure)
{
  const struct gg__frame *frame;
  const struct gg__part *part;
  int side, error = 0;
  for (uint64_t count = 0; (error = gg__merge_next(merge, &frame, &part, &side, failure)) == 0; count++) {
    if (needs_handshake(part, frame))
      error = gg__sink_handshake(sink, frame, side == 1, failure);
    if (!error)
      error = gg__sink_frame(sink, frame, side == 1, failure);
    if (error)
      return error;
    if (count % PROGRESS_EVERY == 0 && !may_go_on(options, gg__merge_done(merge), gg__merge_total(merge)))
      return gg_fail(failure, GG_ERR_CLOSED, "stopped");
  }
  if (error != GG_ERR_AGAIN)
    return error;
  may_go_on(options, gg__merge_total(merge), gg__merge_total(merge));
  error = tell_all_lost(merge, options, failure);
  return error ? error : gg__sink_flush(sink, failure);
}

static int export_capture(const struct gg_session_list *list, const struct gg_export_options *options,
                          struct gg_export_result *result, struct gg_failure *failure)
{
  bool standard = strcmp(options->path, "-") == 0;
  struct gg__output output = {.fd = STDOUT_FILENO};
  int error = standard ? 0 : gg__output_open(&output, options->path, options->overwrite, failure);
  struct gg__merge *merge = NULL;
  struct gg__sink *sink = NULL;
  if (!error)
    error = gg__merge_create(&merge, list, failure);
  if (!error)
    error = gg__sink_create(&sink, output.fd, standard ? "standard output" : options->path, options->format,
                            options->mtu, failure);
  if (!error)
    error = copy_packets(merge, sink, options, failure);
  if (sink) {
    result->packets = gg__sink_packets(sink);
    result->bytes = gg__sink_bytes(sink);
  }
  gg__sink_destroy(sink);
  gg__merge_destroy(merge);
  return standard ? error : gg__output_close(&output, error, failure);
}

/* ── Bare bytes ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static int copy_bytes(struct gg_store *store, const struct gg_session *session, struct gg__output outputs[2],
                      const struct gg_export_options *options, struct gg_export_result *result,
                      struct gg_failure *failure)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  int error = gg_reader_open(&reader, store, session, failure);
  while (!error && (error = gg_reader_next(reader, &chunk, failure)) == 1) {
    if (chunk.gap && options->gap)
      options->gap(options->gap_context, session, chunk.side, chunk.offset, chunk.gap);
    error = gg__output_write(outputs[chunk.side].fd, chunk.data, chunk.length, outputs[chunk.side].path, failure);
    result->bytes += chunk.length;
  }
  gg_reader_close(reader);
  return error;
}

static int export_session(struct gg_store *store, const struct gg_session *session,
                          const struct gg_export_options *options, struct gg_export_result *result, bool *lost,
                          struct gg_failure *failure)
{
  static const char *const sides[2] = {"client", "server"};
  char paths[2][GG__OUTPUT_PATH_MAX];
  struct gg__output outputs[2] = {{.fd = -1}, {.fd = -1}};
  int error = 0;
  for (int side = 0; side < 2 && !error; side++) {
    if ((size_t)snprintf(paths[side], GG__OUTPUT_PATH_MAX, "%s/%s.%s", options->path, session->id, sides[side]) >=
        GG__OUTPUT_PATH_MAX)
      error = gg_fail(failure, GG_ERR_RANGE, "the path is too long");
    else
      error = gg__output_open(&outputs[side], paths[side], options->overwrite, failure);
  }
  if (!error)
    error = copy_bytes(store, session, outputs, options, result, failure);
  *lost = error == GG_ERR_NOT_FOUND && outputs[1].fd >= 0; /* else it was a file of the export's */
  for (int side = 0; side < 2; side++)
    error = gg__output_close(&outputs[side], error, failure);
  return error;
}

static int export_raw(struct gg_store *store, const struct gg_session_list *list,
                      const struct gg_export_options *options, struct gg_export_result *result,
                      struct gg_failure *failure)
{
  if (strcmp(options->path, "-") == 0)
    return gg_fail(failure, GG_ERR_INVALID, "raw writes two files a session: it needs a directory");
  int error = gg__output_directory(options->path, failure);
  for (size_t i = 0; i < list->count && !error; i++) {
    if (!may_go_on(options, i, list->count))
      return gg_fail(failure, GG_ERR_CLOSED, "stopped");
    struct gg_failure why = GG_FAILURE_INIT;
    uint64_t bytes = result->bytes;
    bool lost = false;
    error = export_session(store, list->sessions[i], options, result, &lost, &why);
    if (error && lost && tell_lost(options, list->sessions[i])) {
      result->sessions--;
      result->bytes = bytes;
      error = 0;
    }
    if (error)
      gg_fail(failure, error, "%s", why.message);
  }
  return error;
}

/* ── The public side ─────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_store_export(struct gg_store *store, const struct gg_session_list *list, const struct gg_export_options *given,
                    struct gg_export_result *result, struct gg_failure *failure)
{
  struct gg_export_options known = GG_EXPORT_OPTIONS_INIT;
  const struct gg_export_options *options = &known;
  struct gg_export_result ignored;
  result = result ? result : &ignored;
  *result = (struct gg_export_result){.sessions = list->count};
  int error = gg_sized_take(&known, sizeof known, GG_SIZED_END(struct gg_export_options, lost_context), given,
                            "gg_export_options", failure);
  if (error)
    return error;
  if (!options->path || !options->path[0])
    return gg_fail(failure, GG_ERR_INVALID, "the export needs a path");
  if (options->mtu && (options->mtu < MTU_MIN || options->mtu > MTU_MAX))
    return gg_fail(failure, GG_ERR_RANGE, "an MTU is between %d and %d", MTU_MIN, MTU_MAX);
  switch (options->format) {
  case GG_EXPORT_PCAPNG:
  case GG_EXPORT_PCAP:
    return export_capture(list, options, result, failure);
  case GG_EXPORT_RAW:
    return export_raw(store, list, options, result, failure);
  }
  return gg_fail(failure, GG_ERR_INVALID, "the export format is not known");
}
