/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the protocol's own running: each is a message with the flag CONTROL. There may be more of them than of all
 * others (a window update for each few kilobytes), so they have few fields, and numbers rather than texts. */
#include "base/base64.h"
#include "proto/http2.h"
#include "proto/http2_upgrade.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const settings[] = {NULL,
                                       "HEADER_TABLE_SIZE",
                                       "ENABLE_PUSH",
                                       "MAX_CONCURRENT_STREAMS",
                                       "INITIAL_WINDOW_SIZE",
                                       "MAX_FRAME_SIZE",
                                       "MAX_HEADER_LIST_SIZE",
                                       NULL,
                                       "ENABLE_CONNECT_PROTOCOL",
                                       "NO_RFC7540_PRIORITIES"};
enum { SETTING_BYTES = 6, HEADER_TABLE_SIZE = 1 };

const char *gg__http2_error_text(uint32_t code, char room[GG__HTTP2_ERROR_TEXT])
{
  static const char *const texts[] = {"NO_ERROR",
                                      "PROTOCOL_ERROR",
                                      "INTERNAL_ERROR",
                                      "FLOW_CONTROL_ERROR",
                                      "SETTINGS_TIMEOUT",
                                      "STREAM_CLOSED",
                                      "FRAME_SIZE_ERROR",
                                      "REFUSED_STREAM",
                                      "CANCEL",
                                      "COMPRESSION_ERROR",
                                      "CONNECT_ERROR",
                                      "ENHANCE_YOUR_CALM",
                                      "INADEQUATE_SECURITY",
                                      "HTTP_1_1_REQUIRED"};
  if (code < sizeof texts / sizeof *texts)
    return texts[code];
  snprintf(room, GG__HTTP2_ERROR_TEXT, "0x%" PRIx32, code);
  return room;
}

static void add_number(struct gg__http2 *http2, struct gg_draft *draft, enum gg__http_field of, uint64_t number)
{
  gg_decoded_number(http2->decoding, draft, &gg__http_fields[of], number);
}

static const char *add_error(struct gg__http2 *http2, struct gg_draft *draft, uint32_t code,
                             char room[GG__HTTP2_ERROR_TEXT])
{
  const char *text = gg__http2_error_text(code, room);
  struct gg__span span = {.text = text, .length = strlen(text)};
  gg__http_add(http2->decoding, draft, GG__HTTP2_ERROR, &span);
  return text;
}

struct gg_draft *gg__http2_control_begin(struct gg__http2 *http2, enum gg_side side, enum gg__http2_kind kind)
{
  const struct gg__http2_half *half = &http2->halves[side];
  struct gg_draft *draft = gg_decoded_begin(http2->decoding, side, kind, half->offset);
  struct gg_message *message = gg_decoded_message(http2->decoding, draft);
  message->flags |= GG_MESSAGE_CONTROL;
  message->stream = half->stream;
  return draft;
}

/* ── One for each type ───────────────────────────────────────────────────────────────────────────────────────────── */

static void take_settings(struct gg__http2 *http2, enum gg_side side, struct gg_draft *draft, const uint8_t *data,
                          size_t length)
{
  bool ack = http2->halves[side].flags & GG__HTTP2_IS_ACK;
  if (ack)
    add_number(http2, draft, GG__HTTP2_ACK, 1);
  for (size_t at = 0; length - at >= SETTING_BYTES; at += SETTING_BYTES) {
    unsigned id = (unsigned)data[at] << 8 | data[at + 1];
    char number[12];
    const char *name = id < sizeof settings / sizeof *settings ? settings[id] : NULL;
    if (!name)
      snprintf(number, sizeof number, "0x%x", id);
    struct gg_field field = {
      .of = &gg__http_fields[GG__HTTP2_SETTING], .key = name ? name : number, .number = gg__http2_u32(data + at + 2)};
    field.key_length = strlen(field.key);
    gg_decoded_field(http2->decoding, draft, &field);
    if (id == HEADER_TABLE_SIZE && !gg_decoded_stopped(http2->decoding, side))
      gg__http2_allow_table(http2, gg__http2_other(side), (uint32_t)field.number);
  }
  gg_decoded_summary(http2->decoding, draft, ack ? "settings, acknowledged" : "settings");
}

static void take_ping(struct gg__http2 *http2, enum gg_side side, struct gg_draft *draft, const uint8_t *data)
{
  bool ack = http2->halves[side].flags & GG__HTTP2_IS_ACK;
  if (ack)
    add_number(http2, draft, GG__HTTP2_ACK, 1);
  add_number(http2, draft, GG__HTTP2_PING, (uint64_t)gg__http2_u32(data) << 32 | gg__http2_u32(data + 4));
  gg_decoded_summary(http2->decoding, draft, ack ? "ping, answered" : "ping");
}

static void take_window(struct gg__http2 *http2, struct gg_draft *draft, const uint8_t *data)
{
  uint32_t increment = gg__http2_u31(data);
  add_number(http2, draft, GG__HTTP2_INCREMENT, increment);
  gg_decoded_summary(http2->decoding, draft, "window +%" PRIu32, increment);
}

static void take_priority(struct gg__http2 *http2, struct gg_draft *draft, const uint8_t *data)
{
  add_number(http2, draft, GG__HTTP2_DEPENDS_ON, gg__http2_u31(data));
  add_number(http2, draft, GG__HTTP2_WEIGHT, (uint64_t)data[4] + 1);
  gg_decoded_summary(http2->decoding, draft, "priority %u behind %" PRIu32, data[4] + 1u, gg__http2_u31(data));
}

static void take_goaway(struct gg__http2 *http2, struct gg_draft *draft, const uint8_t *data, size_t length)
{
  char room[GG__HTTP2_ERROR_TEXT];
  add_number(http2, draft, GG__HTTP2_LAST_STREAM, gg__http2_u31(data));
  const char *error = add_error(http2, draft, gg__http2_u32(data + 4), room);
  struct gg__span debug = {.text = (const char *)data + 8, .length = length - 8};
  if (debug.length)
    gg__http_add(http2->decoding, draft, GG__HTTP2_DEBUG, &debug);
  gg_decoded_summary(http2->decoding, draft, "goaway %s, last stream %" PRIu32 "%s%.*s", error, gg__http2_u31(data),
                     debug.length ? ": " : "", debug.length < 128 ? (int)debug.length : 128, debug.text);
}

/* Both ways of the stream are over: the side's own messages before this frame, the other's where it is now. One of the
 * server is the last that is to be had of an answer. */
static void take_reset(struct gg__http2 *http2, enum gg_side side, struct gg_draft *draft, const uint8_t *data)
{
  struct gg__http2_half *half = &http2->halves[side];
  struct gg__http2_stream *stream = gg__http2_find(http2, half->stream);
  char room[GG__HTTP2_ERROR_TEXT];
  const char *error = add_error(http2, draft, gg__http2_u32(data), room);
  gg_decoded_summary(http2->decoding, draft, "reset %s", error);
  if (!stream)
    return;
  if (side == GG_SIDE_SERVER && stream->request && !stream->flows[side].closed) {
    struct gg_message *message = gg_decoded_message(http2->decoding, draft);
    message->answers = stream->request;
    message->flags |= GG_MESSAGE_COMPLETES;
  }
  gg__http2_cut(http2, stream, side, error, half->offset);
  enum gg_side other = gg__http2_other(side);
  gg__http2_cut(http2, stream, other, error, http2->halves[other].position);
  gg__http2_settle(http2, stream);
}

static bool has_right_size(uint8_t type, uint8_t flags, size_t length)
{
  switch (type) {
  case GG__HTTP2_SETTINGS:
    return length % SETTING_BYTES == 0 && (length == 0 || !(flags & GG__HTTP2_IS_ACK));
  case GG__HTTP2_PING_FRAME:
    return length == 8;
  case GG__HTTP2_PRIORITY:
    return length == 5;
  case GG__HTTP2_GOAWAY:
    return length >= 8;
  default:
    return length == 4;
  }
}

void gg__http2_control(struct gg__http2 *http2, enum gg_side side, const uint8_t *data, size_t length)
{
  static const uint8_t kinds[] = {[GG__HTTP2_SETTINGS] = GG__HTTP2_KIND_SETTINGS,
                                  [GG__HTTP2_PING_FRAME] = GG__HTTP2_KIND_PING,
                                  [GG__HTTP2_WINDOW_UPDATE] = GG__HTTP2_KIND_WINDOW_UPDATE,
                                  [GG__HTTP2_PRIORITY] = GG__HTTP2_KIND_PRIORITY,
                                  [GG__HTTP2_RST_STREAM] = GG__HTTP2_KIND_RESET,
                                  [GG__HTTP2_GOAWAY] = GG__HTTP2_KIND_GOAWAY};
  const struct gg__http2_half *half = &http2->halves[side];
  uint64_t end = half->offset + GG__HTTP2_HEAD_BYTES + length;
  struct gg_draft *draft = gg__http2_control_begin(http2, side, kinds[half->type]);
  if (!has_right_size(half->type, half->flags, length))
    gg__http_odd(http2->decoding, draft, "bad-frame-size");
  else if (half->type == GG__HTTP2_SETTINGS)
    take_settings(http2, side, draft, data, length);
  else if (half->type == GG__HTTP2_PING_FRAME)
    take_ping(http2, side, draft, data);
  else if (half->type == GG__HTTP2_WINDOW_UPDATE)
    take_window(http2, draft, data);
  else if (half->type == GG__HTTP2_PRIORITY)
    take_priority(http2, draft, data);
  else if (half->type == GG__HTTP2_GOAWAY)
    take_goaway(http2, draft, data, length);
  else
    take_reset(http2, side, draft, data);
  gg_decoded_end(http2->decoding, draft, end);
}

uint32_t gg__http2_upgrade_table(const char *text, size_t length)
{
  enum { LONGEST = 512 };
  char plain[LONGEST];
  uint8_t data[LONGEST / 4 * 3 + 3];
  size_t count;
  uint32_t bytes = 0;
  if (length > sizeof plain)
    return 0;
  for (size_t i = 0; i < length; i++) /* the alphabet for URLs */
    plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
  if (!gg_base64_read(data, &count, plain, length))
    return 0;
  for (size_t at = 0; count - at >= SETTING_BYTES; at += SETTING_BYTES)
    if (data[at] == 0 && data[at + 1] == HEADER_TABLE_SIZE)
      bytes = gg__http2_u32(data + at + 2);
  return bytes;
}
