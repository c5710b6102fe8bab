/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody had on the screen, as asciicast v2 (docs.asciinema.org/manual/asciicast/v2).
 *
 *     recording ──► chunks, with their times ──► telnet: commands left out ──► whole characters ──► events
 *         └──► messages ──► size of the window, type of the terminal, credentials
 *
 * The chunks themselves are played, not the decoder's messages: each has the time at which it came, also in the middle
 * of a line. What the client said is an input event; where the server does not echo, it stands on the screen too, as a
 * terminal shows it that echoes by itself. Credentials are stars in both.
 *
 * The recording is read twice, for a window's size and credentials are known only when they have been decoded; nothing
 * is kept of what was said. */
#include "store/export_script.h"

#include "base/json.h"
#include "base/utf8.h"
#include "store/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
  WIDTH = 80, /* where nobody says how large the window is */
  HEIGHT = 24,
  TERMINAL_MAX = 64,
  EVENT_BYTES = 1 << 12, /* of text in an event; a longer chunk is several of one time */
  EVENT_TEXT = EVENT_BYTES * 8,
  TAIL_MAX = 4, /* bytes of a character that is not whole */
};

struct size {
  uint64_t time_ns;
  unsigned width, height;
};

struct cast {
  struct gg__writer *out;
  const struct gg_session *session;
  const struct gg_secrets *secrets;
  const char *decoder; /* the session's last; NULL: none */
  bool echoes;         /* the server says itself what the client types */
  bool encrypted;
  uint64_t encrypted_from;
  enum gg_side encrypted_side;
  char terminal[TERMINAL_MAX];
  struct size sizes[GG__CAST_SIZES_MAX];
  size_t size_count, size_told;
  struct screen {
    enum telnet { TEXT, AFTER_CR, COMMAND, OPTION, DATA, DATA_COMMAND } state;
    uint8_t text[EVENT_BYTES + TAIL_MAX]; /* that is not told yet */
    size_t length;
  } screens[2];
};

/* ── What decoders know ──────────────────────────────────────────────────────────────────────────────────────────── */

static void note_decoder(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct cast *cast = context;
  (void)offset;
  cast->decoder = decoder->name;
}

static bool is_text(const struct gg_field *field, const char *text)
{
  return field && field->length == strlen(text) && memcmp(field->value, text, field->length) == 0;
}

static void note_message(void *context, const struct gg_message *message)
{
  struct cast *cast = context;
  const struct gg_field *width = gg_message_field(message, "telnet.width", NULL);
  const struct gg_field *height = gg_message_field(message, "telnet.height", NULL);
  const struct gg_field *terminal = gg_message_field(message, "telnet.terminal", NULL);
  if (width && height && width->number && height->number && cast->size_count < GG__CAST_SIZES_MAX)
    cast->sizes[cast->size_count++] =
      (struct size){.time_ns = message->last_ns, .width = (unsigned)width->number, .height = (unsigned)height->number};
  if (terminal && !*cast->terminal && gg_utf8_valid((const char *)terminal->value, terminal->length))
    snprintf(cast->terminal, sizeof cast->terminal, "%.*s", (int)terminal->length, (const char *)terminal->value);
  if (message->side == GG_SIDE_SERVER && is_text(gg_message_field(message, "telnet.command", NULL), "WILL") &&
      is_text(gg_message_field(message, "telnet.option", NULL), "echo"))
    cast->echoes = true;
}

static void note_opaque(void *context, const struct gg_opaque *opaque)
{
  struct cast *cast = context;
  if (opaque->why != GG_OPAQUE_ENCRYPTED || cast->encrypted)
    return;
  cast->encrypted = true;
  cast->encrypted_side = opaque->side;
  cast->encrypted_from = opaque->offset;
}

static int understand(struct cast *cast, struct gg_store *store, const struct gg__script *script,
                      struct gg_failure *failure)
{
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  options.decoder = script->decoder;
  sink.context = cast;
  sink.protocol = note_decoder;
  sink.end = note_message;
  sink.opaque = note_opaque;
  int error = gg_store_messages(store, cast->session, &options, &sink, failure);
  if (error)
    return error;
  const char *id = cast->session->id;
  if (cast->encrypted)
    return gg_fail(failure, GG_ERR_UNSUPPORTED,
                   "session %s is encrypted from byte %" PRIu64 " of the %s on: there is no text to be played", id,
                   cast->encrypted_from, cast->encrypted_side == GG_SIDE_CLIENT ? "client" : "server");
  if (!cast->decoder || (strcmp(cast->decoder, "telnet") != 0 && strcmp(cast->decoder, "lines") != 0))
    return gg_fail(failure, GG_ERR_UNSUPPORTED, "session %s is %s, and no telnet or lines: there is no terminal", id,
                   cast->decoder ? cast->decoder : "of an unknown protocol");
  return 0;
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Times since the beginning, to the nanosecond: no floating point has touched them. */
static void put_event(struct cast *cast, uint64_t time_ns, const char *code, const char *text, size_t length)
{
  char line[EVENT_TEXT], time[40];
  struct gg_json json;
  uint64_t since = time_ns > cast->session->start_ns ? time_ns - cast->session->start_ns : 0;
  int size = snprintf(time, sizeof time, "%" PRIu64 ".%09" PRIu64, since / 1000000000, since % 1000000000);
  gg_json_init(&json, line, sizeof line);
  gg_json_array_begin(&json);
  gg_json_raw(&json, time, (size_t)size);
  gg_json_string(&json, code);
  gg_json_string_n(&json, text, length);
  gg_json_array_end(&json);
  gg__writer_put(cast->out, line, gg_json_finish(&json));
  gg__writer_text(cast->out, "\n");
}

static void put_sizes(struct cast *cast, uint64_t until_ns)
{
  for (; cast->size_told < cast->size_count && cast->sizes[cast->size_told].time_ns <= until_ns; cast->size_told++) {
    const struct size *size = &cast->sizes[cast->size_told];
    char text[32];
    int length = snprintf(text, sizeof text, "%ux%u", size->width, size->height);
    if (cast->size_told > 0) /* the first one is the header's */
      put_event(cast, size->time_ns, "r", text, (size_t)length);
  }
}

/* How many of the bytes are whole characters, or none: the rest may be the beginning of one. */
static size_t whole_characters(const uint8_t *text, size_t length)
{
  for (size_t back = 1; back < TAIL_MAX && back <= length; back++) {
    uint8_t byte = text[length - back];
    size_t wants = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if ((byte & 0xc0) != 0x80)
      return wants > back ? length - back : length;
  }
  return length;
}

static void flush(struct cast *cast, enum gg_side side, uint64_t time_ns, bool last)
{
  struct screen *screen = &cast->screens[side];
  size_t length = last ? screen->length : whole_characters(screen->text, screen->length);
  if (!length)
    return;
  const char *text = (const char *)screen->text;
  bool shown = side == GG_SIDE_SERVER || !cast->echoes;
  if (side == GG_SIDE_CLIENT)
    put_event(cast, time_ns, "i", text, length);
  if (shown)
    put_event(cast, time_ns, "o", text, length);
  memmove(screen->text, screen->text + length, screen->length - length);
  screen->length -= length;
}

static void put_byte(struct cast *cast, enum gg_side side, uint64_t time_ns, uint8_t byte)
{
  struct screen *screen = &cast->screens[side];
  screen->text[screen->length++] = byte;
  if (screen->length >= EVENT_BYTES)
    flush(cast, side, time_ns, false);
}

/* RFC 854: what is text, and what is not. */
static void take_byte(struct cast *cast, enum gg_side side, uint64_t time_ns, uint8_t byte)
{
  enum { IAC = 255, DONT = 254, WILL = 251, SB = 250, SE = 240 };
  struct screen *screen = &cast->screens[side];
  switch (screen->state) {
  case TEXT:
  case AFTER_CR:
    if (byte == IAC) {
      screen->state = COMMAND;
      return;
    }
    if (byte != '\0' || screen->state != AFTER_CR) /* CR NUL is a CR alone */
      put_byte(cast, side, time_ns, byte);
    screen->state = byte == '\r' ? AFTER_CR : TEXT;
    return;
  case COMMAND:
    if (byte == IAC)
      put_byte(cast, side, time_ns, byte);
    screen->state = byte == SB ? DATA : byte >= WILL && byte <= DONT ? OPTION : TEXT;
    return;
  case OPTION:
    screen->state = TEXT;
    return;
  case DATA:
    screen->state = byte == IAC ? DATA_COMMAND : DATA;
    return;
  case DATA_COMMAND:
    screen->state = byte == IAC ? DATA : byte == SE ? TEXT : byte == SB ? DATA : TEXT;
    return;
  }
}

static void take_chunk(struct cast *cast, const struct gg_chunk *chunk)
{
  bool telnet = strcmp(cast->decoder, "telnet") == 0;
  uint8_t masked[EVENT_BYTES];
  put_sizes(cast, chunk->time_ns);
  for (size_t at = 0; at < chunk->length; at += sizeof masked) {
    size_t length = chunk->length - at < sizeof masked ? chunk->length - at : sizeof masked;
    memcpy(masked, chunk->data + at, length);
    gg_secrets_mask(cast->secrets, chunk->side, chunk->offset + at, masked, length);
    for (size_t i = 0; i < length; i++) {
      if (telnet)
        take_byte(cast, chunk->side, chunk->time_ns, masked[i]);
      else
        put_byte(cast, chunk->side, chunk->time_ns, masked[i]);
    }
  }
  flush(cast, chunk->side, chunk->time_ns, false);
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_header(struct cast *cast)
{
  const struct gg_session *session = cast->session;
  char line[2048], title[256];
  struct gg_json json;
  snprintf(title, sizeof title, "%s: %s to %s, session %s", cast->decoder, session->client, session->server,
           session->id);
  gg_json_init(&json, line, sizeof line);
  gg_json_object_begin(&json);
  gg_json_field_unsigned(&json, "version", 2);
  gg_json_field_unsigned(&json, "width", cast->size_count ? cast->sizes[0].width : WIDTH);
  gg_json_field_unsigned(&json, "height", cast->size_count ? cast->sizes[0].height : HEIGHT);
  gg_json_field_unsigned(&json, "timestamp", session->start_ns / 1000000000);
  gg_json_field_string(&json, "title", title);
  gg_json_key(&json, "env");
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "TERM", *cast->terminal ? cast->terminal : "xterm");
  gg_json_object_end(&json);
  gg_json_object_end(&json);
  gg__writer_put(cast->out, line, gg_json_finish(&json));
  gg__writer_text(cast->out, "\n");
}

static int play(struct cast *cast, struct gg_store *store, struct gg_failure *failure)
{
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  put_header(cast);
  int read = gg_reader_open(&reader, store, cast->session, failure);
  while (read == 0 || read == 1) {
    read = gg_reader_next(reader, &chunk, failure);
    if (read != 1)
      break;
    take_chunk(cast, &chunk);
  }
  gg_reader_close(reader);
  flush(cast, GG_SIDE_CLIENT, cast->session->end_ns, true);
  flush(cast, GG_SIDE_SERVER, cast->session->end_ns, true);
  return read;
}

int gg__asciicast_write(struct gg__writer *out, struct gg_store *store, const struct gg_session *session,
                        const struct gg__script *script, struct gg_failure *failure)
{
  struct cast cast = {.out = out, .session = session};
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  struct gg_secrets *secrets = NULL;
  options.decoder = script->decoder;
  int error = understand(&cast, store, script, failure);
  if (!error && !script->secrets)
    error = gg_secrets_find(&secrets, store, session, &options, failure);
  cast.secrets = secrets;
  if (!error)
    error = play(&cast, store, failure);
  gg_secrets_destroy(secrets);
  return error;
}
