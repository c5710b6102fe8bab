/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as they are shown: laid out as they come, or kept until their message has ended. */
#include "view.h"

#include <string.h>

enum { CONTENT_MAX = 1 << 20 /* bytes that come out of a coding */ };

static void take_text(void *context, const void *data, size_t length)
{
  struct gg_cli_body *body = context;
  size_t room = sizeof body->text - body->text_length, bytes = length < room ? length : room;
  memcpy(body->text + body->text_length, data, bytes);
  body->text_length += bytes;
}

static struct gg_field header(const struct gg_message *message, const char *name)
{
  const struct gg_field *field = gg_message_field(message, "http.header", name);
  return field ? *field : (struct gg_field){0};
}

/* Of a coding that is not undone, the type says nothing about the bytes. */
static void create(struct gg_cli_body *body, const struct gg_cli_style *style, const struct gg_message *message,
                   bool undone)
{
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  options.bytes_max = GG_CLI_BODY_SHOWN_MAX;
  options.content_max = CONTENT_MAX;
  options.secrets = style->secrets;
  options.bare = style->json;
  struct gg_field type = header(message, "content-type"), coding = header(message, "content-encoding");
  if (!undone && coding.length)
    type.length = coding.length = 0;
  int error = gg_body_view_create(&body->view, (const char *)type.value, type.length, (const char *)coding.value,
                                  coding.length, &options, take_text, body, NULL);
  body->failed = error != 0;
}

void gg_cli_body_begin(struct gg_cli_body *body, const struct gg_cli_style *style, const struct gg_message *message,
                       bool may_stream)
{
  body->number = message->number;
  body->view = NULL;
  body->failed = false;
  body->text_length = body->length = body->piece_count = 0;
  body->kept = !may_stream || (!gg_message_field(message, "http.header", "content-type") &&
                               !gg_message_field(message, "http.header", "content-encoding"));
  if (!body->kept)
    create(body, style, message, true);
}

static void keep(struct gg_cli_body *body, const struct gg_body *piece)
{
  size_t room = sizeof body->data - body->length, bytes = piece->length < room ? piece->length : room;
  if (bytes == 0 || body->piece_count == GG_CLI_BODY_PIECES_MAX)
    return;
  memcpy(body->data + body->length, piece->data, bytes);
  if (piece->raw_length == piece->length)
    body->pieces[body->piece_count++] =
      (struct gg_cli_body_piece){.raw_offset = piece->raw_offset, .at = body->length, .length = bytes};
  body->length += bytes;
}

void gg_cli_body_push(struct gg_cli_body *body, const struct gg_body *piece)
{
  if (body->kept)
    keep(body, piece);
  else if (body->view && gg_body_view_push(body->view, piece->data, piece->length, NULL) != 0)
    body->failed = true;
}

/* Credentials that stand in what was kept. */
static void mask(struct gg_cli_body *body, const struct gg_message *message)
{
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    for (size_t j = 0; field->secret && j < body->piece_count; j++) {
      const struct gg_cli_body_piece *piece = &body->pieces[j];
      for (size_t k = 0; k < piece->length; k++)
        if (piece->raw_offset + k - field->raw_offset < field->raw_length)
          body->data[piece->at + k] = '*';
    }
  }
}

void gg_cli_body_end(struct gg_cli_body *body, const struct gg_cli_style *style, const struct gg_message *message)
{
  uint64_t missing = 0;
  if (body->kept) {
    if (!style->secrets)
      mask(body, message);
    create(body, style, message, false);
    missing = message->body_length - body->length;
    if (body->view && gg_body_view_push(body->view, body->data, body->length, NULL) != 0)
      body->failed = true;
  }
  body->result = (struct gg_body_view_result)GG_BODY_VIEW_RESULT_INIT;
  if (body->view && gg_body_view_finish(body->view, missing, &body->result, NULL) != 0)
    body->failed = true;
  gg_cli_body_close(body);
}

void gg_cli_body_close(struct gg_cli_body *body)
{
  gg_body_view_destroy(body->view);
  body->view = NULL;
}

bool gg_cli_body_is_withheld(const struct gg_cli_style *style, const struct gg_message *message)
{
  return (message->flags & GG_MESSAGE_FIELDS_CUT) && !style->secrets;
}
