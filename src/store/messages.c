/* SPDX-License-Identifier: Apache-2.0 */
/* A session's recording on its way through a decoding:
 *
 *     segments ──► reader ──► chunk, gap, FIN ──► decoding ──► filtered by number and side ──► the caller's sink
 *
 * A FIN is where a side has ended in order; whatever else ends a session (a reset, a cut, the end of what is recorded
 * so far) is the decoding's end. When nothing will be told any more, the rest is not read. */
#include "store/messages.h"

#include "base/sized.h"
#include "store/reader.h"

#include <stdlib.h>

struct gg_message_reader {
  const struct gg_session *session;
  struct gg_reader *bytes;
  struct gg_decoding *decoding;
  struct gg_message_options options;
  struct gg_message_sink sink; /* the caller's */
  bool done;
};

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_asked_for(const struct gg_message_reader *reader, const struct gg_message *message)
{
  return message->number >= reader->options.from && !reader->options.skip[message->side];
}

static void tell_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct gg_message_reader *reader = context;
  if (reader->sink.protocol)
    reader->sink.protocol(reader->sink.context, decoder, offset);
}

static void tell_head(void *context, const struct gg_message *message)
{
  struct gg_message_reader *reader = context;
  if (reader->sink.head && is_asked_for(reader, message))
    reader->sink.head(reader->sink.context, message);
}

static void tell_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct gg_message_reader *reader = context;
  if (reader->sink.body && is_asked_for(reader, message))
    reader->sink.body(reader->sink.context, message, body);
}

static void tell_end(void *context, const struct gg_message *message)
{
  struct gg_message_reader *reader = context;
  if (reader->sink.end && is_asked_for(reader, message))
    reader->sink.end(reader->sink.context, message);
}

static void tell_opaque(void *context, const struct gg_opaque *opaque)
{
  struct gg_message_reader *reader = context;
  if (reader->sink.opaque)
    reader->sink.opaque(reader->sink.context, opaque);
}

/* ── Steps ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int set_up(struct gg_message_reader *reader, const struct gg_message_options *given,
                  const struct gg_message_sink *sink, struct gg_failure *failure)
{
  reader->options = (struct gg_message_options)GG_MESSAGE_OPTIONS_INIT;
  reader->sink = (struct gg_message_sink)GG_MESSAGE_SINK_INIT;
  int error = given
                ? gg_sized_take(&reader->options, sizeof reader->options,
                                GG_SIZED_END(struct gg_message_options, framing), given, "gg_message_options", failure)
                : 0;
  if (!error)
    error = gg_sized_take(&reader->sink, sizeof reader->sink, GG_SIZED_END(struct gg_message_sink, opaque), sink,
                          "gg_message_sink", failure);
  if (error)
    return error;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = reader->options.decoder;
  options.memory_max = reader->options.memory_max;
  options.beginning_missing = reader->session->beginning_missing;
  options.more = reader->options.more;
  options.more_count = reader->options.more_count;
  options.framing = reader->options.framing;
  struct gg_message_sink own = GG_MESSAGE_SINK_INIT;
  own.context = reader;
  own.protocol = tell_protocol;
  own.head = tell_head;
  own.body = tell_body;
  own.end = tell_end;
  own.opaque = tell_opaque;
  error = gg_decoding_create(&reader->decoding, &options, &own, failure);
  return error ? error : gg__reader_open(&reader->bytes, gg__record_of(reader->session), failure);
}

int gg_message_reader_open(struct gg_message_reader **out, struct gg_store *store, const struct gg_session *session,
                           const struct gg_message_options *options, const struct gg_message_sink *sink,
                           struct gg_failure *failure)
{
  *out = NULL;
  struct gg_message_reader *reader = calloc(1, sizeof *reader);
  if (!reader)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the messages of a session");
  reader->session = session;
  (void)store; /* that the session is of: it is to stay open meanwhile */
  int error = set_up(reader, options, sink, failure);
  if (error) {
    gg_message_reader_close(reader);
    return error;
  }
  *out = reader;
  return 0;
}

static void take(struct gg_message_reader *reader, int read, const struct gg_chunk *chunk)
{
  if (read == GG__READ_FIN)
    gg_decoding_end(reader->decoding, chunk->side, chunk->time_ns);
  else if (chunk->gap)
    gg_decoding_gap(reader->decoding, chunk->side, chunk->offset, chunk->gap, chunk->time_ns);
  else
    gg_decoding_push(reader->decoding, chunk->side, chunk->offset, chunk->time_ns, chunk->data, chunk->length);
}

/* Takes what there is. 0: there is no more of it, or nobody wants it; else an error. */
static int take_all(struct gg_message_reader *reader, struct gg_failure *failure)
{
  struct gg_chunk chunk;
  while (!gg_decoding_is_over(reader->decoding)) { /* bounded by the recording: each turn takes some of it */
    if (reader->options.go_on && !reader->options.go_on(reader->options.go_on_context))
      return gg_fail(failure, GG_ERR_CLOSED, "ended by the caller");
    int read = gg__reader_step(reader->bytes, &chunk, failure);
    if (read == GG__READ_END || read < 0)
      return read < 0 ? read : 0;
    take(reader, read, &chunk);
  }
  return 0;
}

/* Nothing follows: what has begun is told, too, as far as it could be read. */
static int conclude(struct gg_message_reader *reader, int error)
{
  if (error != GG_ERR_CLOSED)
    gg_decoding_finish(reader->decoding, reader->session->end_ns);
  reader->done = true;
  return error;
}

int gg__message_reader_finish(struct gg_message_reader *reader, struct gg_failure *failure)
{
  gg__reader_follow(reader->bytes, false);
  return conclude(reader, take_all(reader, failure));
}

int gg_message_reader_read(struct gg_message_reader *reader, struct gg_failure *failure)
{
  if (reader->done)
    return 0;
  gg__reader_follow(reader->bytes, true);
  int error = take_all(reader, failure);
  if (error)
    return conclude(reader, error);
  bool more = reader->session->state == GG_SESSION_OPEN && !gg_decoding_is_over(reader->decoding);
  return more ? 1 : gg__message_reader_finish(reader, failure);
}

void gg_message_reader_close(struct gg_message_reader *reader)
{
  if (!reader)
    return;
  gg_decoding_destroy(reader->decoding);
  gg_reader_close(reader->bytes);
  free(reader);
}

int gg_store_messages(struct gg_store *store, const struct gg_session *session,
                      const struct gg_message_options *options, const struct gg_message_sink *sink,
                      struct gg_failure *failure)
{
  struct gg_message_reader *reader = NULL;
  int error = gg_message_reader_open(&reader, store, session, options, sink, failure);
  if (!error)
    error = gg__message_reader_finish(reader, failure);
  gg_message_reader_close(reader);
  return error;
}
