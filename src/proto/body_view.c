/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as text for people.
 *
 *     push ──► content.c ──► layer: first bytes ──► what it is ──► JSON, form, text, binary ──► limit ──► write
 *                              ▲                        │
 *                              └── layer of a part ◄── multipart
 *
 * A layer keeps its first bytes until there are enough of them, or no more, to tell what it is: so that does not
 * depend on the pieces in which they come. What is beyond the limit is laid out all the same, and counted: how much
 * it is can be said then. Time is linear in what comes out of the coding, and that has a limit of its own.
 *
 * What a form and a part's head say stands in lines, and is escaped so that it cannot make lines of its own. A
 * multipart within a part is not taken apart, nor shown as text: nothing in it would be masked. Who is told what is
 * masked takes all of it for a credential. */
#include <gogetway/content.h>

#include "base/json.h"
#include "base/sized.h"
#include "base/text.h"
#include "base/utf8.h"
#include "proto/content_kind.h"
#include "proto/form.h"
#include "proto/json_view.h"
#include "proto/multipart.h"
#include "proto/secrets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
  TYPE_MAX = 512, /* bytes of a media type, with parameters */
  FIRST_MAX = 512,
  BEGIN_SHOWN_MAX = 16,
  LABEL_MAX = 128,
  ESCAPED_MAX = 10, /* letters for a byte */
};

enum shape { UNDECIDED, TEXT, JSON, FORM, MULTIPART, BINARY, WITHIN, MASKED };

/* A body, or that of a part. */
struct layer {
  struct gg_body_view *view;
  bool part;
  enum shape shape;
  char type[TYPE_MAX];
  size_t type_length;
  uint8_t first[FIRST_MAX];
  size_t first_length;
  uint64_t bytes;
  uint64_t base; /* where it begins in the body */
  union {
    struct {
      struct gg__secret_text text;
      struct gg__secret_range range;
      uint64_t offset;
    } plain;
    struct gg__json_view json;
    struct gg__form form;
    struct gg__multipart multipart;
  } as;
};

struct gg_body_view {
  struct gg_body_view_options options;
  gg_content_sink *write;
  void *context;
  struct gg_content *content; /* NULL: its coding is not known */
  int error;                  /* of the coding, for good */
  struct gg_body_view_result result;
  uint64_t written;
  uint64_t missing; /* bytes at its end */
  char last;        /* that was written */
  char last_put;    /* or would have been */
  struct layer whole, part;
};

static const char mask[] = GG__SECRET_SHOWN;

/* ── What is written ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void put(struct gg_body_view *view, const void *data, size_t length)
{
  uint64_t room = view->options.bytes_max - view->written;
  size_t told = length < room ? length : (size_t)room;
  if (length == 0)
    return;
  view->last_put = ((const char *)data)[length - 1];
  view->result.more += length - told;
  if (told == 0)
    return;
  view->written += told;
  view->last = ((const char *)data)[told - 1];
  view->write(view->context, data, told);
}

static void put_text(struct gg_body_view *view, const char *text)
{
  put(view, text, strlen(text));
}

/* Anybody's bytes, on one line. */
static void put_escaped(struct gg_body_view *view, const char *bytes, size_t length)
{
  char text[GG__FORM_VALUE_MAX * ESCAPED_MAX + 1];
  put(view, text, gg_text_sanitize(text, sizeof text, bytes, length, GG_TEXT_ONE_LINE));
}

static void end_line(struct gg_body_view *view)
{
  if (view->last_put && view->last_put != '\n')
    put_text(view, "\n");
}

/* The end of the last line, and lines about the body: the limit does not hold them. */
static void end_last_line(struct gg_body_view *view)
{
  if (view->last && view->last != '\n')
    view->write(view->context, "\n", 1);
  view->last = '\n';
}

static void put_note(struct gg_body_view *view, const char *text)
{
  view->write(view->context, text, strlen(text));
}

static void tell_masked(struct layer *layer, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  const struct gg_body_view_options *options = &layer->view->options;
  if (options->masked && to > from && !options->secrets)
    options->masked(options->masked_context, layer->base + from, layer->base + to, name, name_length);
}

static void on_masked(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  tell_masked(context, from, to, name, name_length);
}

/* ── What it is ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_text(const uint8_t *data, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (data[i] == 0 || (data[i] < 0x20 && !strchr("\t\n\r\f\033", data[i])) || data[i] == 0x7f)
      return false;
  return true;
}

static void drop(void *context, const char *text, size_t length)
{
  (void)context;
  (void)text;
  (void)length;
}

static bool begins_like_json(const uint8_t *data, size_t length)
{
  struct gg__json_view json;
  size_t at = 0;
  while (at < length && data[at] && strchr(" \t\r\n", data[at]))
    at++;
  if (at == length || (data[at] != '{' && data[at] != '['))
    return false;
  gg__json_view_init(&json, drop, NULL, false);
  gg__json_view_push(&json, data, length);
  return !json.broken;
}

static bool is_plain(const struct layer *layer)
{
  static const char plain[] = "text/plain";
  return layer->type_length >= sizeof plain - 1 && strncasecmp(layer->type, plain, sizeof plain - 1) == 0;
}

static enum shape shape_of(const struct layer *layer)
{
  enum gg__content_kind kind = gg__content_kind(layer->type, layer->type_length);
  const uint8_t *first = layer->first;
  bool zero = layer->first_length && memchr(first, 0, layer->first_length);
  if (kind == GG__CONTENT_MULTIPART)
    return layer->part ? WITHIN : MULTIPART;
  if (kind == GG__CONTENT_JSON && !zero)
    return JSON;
  if (kind == GG__CONTENT_FORM)
    return FORM;
  if (!is_text(first, layer->first_length))
    return BINARY;
  if ((kind == GG__CONTENT_OTHER || is_plain(layer)) && begins_like_json(first, layer->first_length))
    return JSON;
  return TEXT;
}

/* ── Shapes ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void push_layer(struct layer *layer, const uint8_t *data, size_t length);
static void finish_layer(struct layer *layer, bool whole);

static void on_json(void *context, const char *text, size_t length)
{
  put(context, text, length);
}

static void on_pair(void *context, const struct gg__form_pair *pair)
{
  struct layer *layer = context;
  struct gg_body_view *view = layer->view;
  put_escaped(view, pair->key, pair->key_length);
  put_text(view, pair->key_cut ? "..." : "");
  if (pair->has_value) {
    put_text(view, ": ");
    if (gg__form_is_secret(pair) && !view->options.secrets) {
      put_text(view, mask);
      tell_masked(layer, pair->raw_offset, pair->raw_offset + pair->raw_length, pair->key, pair->key_length);
    } else {
      put_escaped(view, pair->value, pair->value_length);
    }
    put_text(view, pair->value_cut ? "... (cut)" : "");
  }
  put_text(view, "\n");
}

static void on_part(void *context, const struct gg__part *part)
{
  struct gg_body_view *view = context;
  struct layer *layer = &view->part;
  char line[64];
  snprintf(line, sizeof line, "--- part %" PRIu64 "\n", part->number);
  put_text(view, line);
  for (size_t i = 0; i < part->header_count; i++) {
    const struct gg__multipart_header *header = &part->headers[i];
    put_escaped(view, header->name.text, header->name.length);
    put_text(view, ": ");
    if (gg__secret_name(header->name.text, header->name.length) && !view->options.secrets) {
      uint64_t from = part->offset + (uint64_t)(header->value.text - view->whole.as.multipart.head);
      put_text(view, mask);
      tell_masked(&view->whole, from, from + header->value.length, header->name.text, header->name.length);
    } else {
      put_escaped(view, header->value.text, header->value.length);
    }
    put_text(view, "\n");
  }
  put_text(view, part->head_cut ? "... and more of its head\n\n" : "\n");
  if (part->head_cut)
    tell_masked(&view->whole, part->offset, part->body_offset, "head", 4);
  layer->shape = (part->secret || part->head_cut) && !view->options.secrets ? MASKED : UNDECIDED;
  layer->type_length = part->type.length < sizeof layer->type ? part->type.length : sizeof layer->type;
  if (layer->type_length)
    memcpy(layer->type, part->type.text, layer->type_length);
  layer->first_length = 0;
  layer->bytes = 0;
  layer->base = part->body_offset;
}

static void on_part_body(void *context, const struct gg__part *part, const void *data, size_t length)
{
  (void)part;
  push_layer(&((struct gg_body_view *)context)->part, data, length);
}

static void on_part_end(void *context, const struct gg__part *part)
{
  struct gg_body_view *view = context;
  if (view->part.shape == MASKED)
    tell_masked(&view->part, 0, view->part.bytes, part->name.text, part->name.length);
  finish_layer(&view->part, !part->cut);
  end_line(view);
}

/* A multipart without a boundary cannot be taken apart. */
static bool begin_multipart(struct layer *layer)
{
  const struct gg__multipart_sink sink = {layer->view, on_part, on_part_body, on_part_end};
  return gg__multipart_init(&layer->as.multipart, &sink, layer->type, layer->type_length);
}

/* What is masked, and what stands between that in one piece. */
static void put_plain(struct layer *layer, const uint8_t *data, size_t length)
{
  struct gg_body_view *view = layer->view;
  struct gg__secret_text *text = &layer->as.plain.text;
  struct gg__secret_range *range = &layer->as.plain.range;
  size_t from = 0;
  if (view->options.secrets) {
    put(view, data, length);
    return;
  }
  for (size_t i = 0; i < length; i++) {
    bool masked = gg__secret_text_take(text, (char)data[i]);
    if (masked && !range->open) {
      put(view, data + from, i - from);
      put_text(view, mask);
    }
    gg__secret_range_take(range, layer->as.plain.offset++, masked, text->name, text->name_length);
    from = masked ? i + 1 : from;
  }
  put(view, data + from, length - from);
}

static void pass_on(struct layer *layer, const uint8_t *data, size_t length)
{
  struct gg_body_view *view = layer->view;
  if (layer->shape == JSON)
    gg__json_view_push(&layer->as.json, data, length);
  else if (layer->shape == FORM)
    gg__form_push(&layer->as.form, data, length);
  else if (layer->shape == MULTIPART)
    gg__multipart_push(&layer->as.multipart, data, length);
  else if (layer->shape == TEXT)
    put_plain(layer, data, length);
  else if (layer->shape == BINARY && view->options.bare && !layer->part)
    put(view, data, length);
}

static void decide(struct layer *layer)
{
  struct gg_body_view *view = layer->view;
  const struct gg__secret_range range = {.hidden = on_masked, .context = layer};
  layer->shape = shape_of(layer);
  if (layer->shape == MULTIPART && !begin_multipart(layer))
    layer->shape = WITHIN;
  if (layer->shape == JSON) {
    gg__json_view_init(&layer->as.json, on_json, view, view->options.secrets);
    layer->as.json.range = range;
  } else if (layer->shape == FORM) {
    gg__form_init(&layer->as.form, on_pair, layer);
  } else if (layer->shape == TEXT) {
    memset(&layer->as.plain, 0, sizeof layer->as.plain);
    layer->as.plain.range = range;
  }
  pass_on(layer, layer->first, layer->first_length);
}

static void push_layer(struct layer *layer, const uint8_t *data, size_t length)
{
  size_t room = FIRST_MAX - layer->first_length, kept = length < room ? length : room;
  layer->bytes += length;
  if (kept) {
    memcpy(layer->first + layer->first_length, data, kept);
    layer->first_length += kept;
  }
  if (layer->shape == UNDECIDED && layer->first_length < FIRST_MAX)
    return;
  if (layer->shape == UNDECIDED)
    decide(layer);
  else
    kept = 0;
  if (length > kept)
    pass_on(layer, data + kept, length - kept);
}

/* Type, size and first bytes of what is no text. */
static void put_binary(struct layer *layer)
{
  char label[LABEL_MAX], line[LABEL_MAX + 160];
  struct gg_body_view *view = layer->view;
  const char *semicolon = layer->type_length ? memchr(layer->type, ';', layer->type_length) : NULL;
  size_t length = semicolon ? (size_t)(semicolon - layer->type) : layer->type_length;
  gg_text_sanitize(label, sizeof label, layer->type, length, GG_TEXT_ONE_LINE);
  bool more = view->result.unbounded && view->content;
  int used =
    snprintf(line, sizeof line, "%s%s%s%s, %" PRIu64 " bytes%s",
             layer->shape == BINARY ? "binary" : "a multipart that is not taken apart", *label ? " (" : "", label,
             *label ? ")" : "", layer->bytes + (layer->part ? 0 : view->missing), more ? " or more" : "");
  put(view, line, (size_t)used);
  if (layer->shape == BINARY) {
    put_text(view, ", begins");
    for (size_t i = 0; i < layer->first_length && i < BEGIN_SHOWN_MAX; i++) {
      snprintf(line, sizeof line, " %02x", layer->first[i]);
      put_text(view, line);
    }
  }
  put_text(view, "\n");
}

/* `whole`: its end is there. */
static void finish_json(struct layer *layer, bool whole)
{
  struct gg_body_view *view = layer->view;
  const struct gg__json_view *json = &layer->as.json;
  gg__json_view_finish(&layer->as.json);
  if (!json->broken || (!whole && json->broken_at == layer->bytes))
    return;
  if (layer->part) {
    char line[160];
    snprintf(line, sizeof line, "... it is not JSON from byte %" PRIu64 " on: %s\n", json->broken_at, json->broken);
    put_text(view, line);
  } else {
    view->result.odd = json->broken;
    view->result.odd_at = json->broken_at;
  }
}

static void finish_layer(struct layer *layer, bool whole)
{
  struct gg_body_view *view = layer->view;
  if (layer->shape == UNDECIDED && layer->bytes)
    decide(layer);
  if (layer->shape == MASKED)
    put_text(view, layer->bytes ? mask : "");
  else if (layer->shape == TEXT)
    gg__secret_range_take(&layer->as.plain.range, layer->as.plain.offset, false, layer->as.plain.text.name,
                          layer->as.plain.text.name_length);
  else if (layer->shape == JSON)
    finish_json(layer, whole);
  else if (layer->shape == FORM)
    gg__form_finish(&layer->as.form);
  else if (layer->shape == MULTIPART && !gg__multipart_finish(&layer->as.multipart) && whole)
    view->result.odd = "its last boundary is missing";
  if (layer->shape == WITHIN)
    tell_masked(layer, 0, layer->bytes, "multipart", 9);
  if (layer->shape == WITHIN || (layer->shape == BINARY && (layer->part || !view->options.bare)))
    put_binary(layer);
}

/* ── A body ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_content(void *context, const void *data, size_t length)
{
  push_layer(&((struct gg_body_view *)context)->whole, data, length);
}

static int begin_content(struct gg_body_view *view, const char *encoding, size_t length, struct gg_failure *failure)
{
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  limits.bytes_max = view->options.content_max;
  if (length == 0)
    return 0;
  int error = gg_content_create(&view->content, encoding, length, &limits, on_content, view, failure);
  if (error != GG_ERR_UNSUPPORTED && error != GG_ERR_LIMIT)
    return error;
  /* As it came: whatever its type says, that is of something else. */
  view->whole.type_length = length < sizeof view->whole.type ? length : sizeof view->whole.type;
  memcpy(view->whole.type, encoding, view->whole.type_length);
  return 0;
}

int gg_body_view_create(struct gg_body_view **out, const char *type, size_t type_length, const char *encoding,
                        size_t encoding_length, const struct gg_body_view_options *given, gg_content_sink *write,
                        void *context, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  int error = gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_body_view_options, masked_context),
                            given ? given : &options, "gg_body_view_options", failure);
  if (error)
    return error;
  struct gg_body_view *view = calloc(1, sizeof *view);
  if (!view)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the view of a body");
  view->options = options;
  view->options.bytes_max = options.bytes_max ? options.bytes_max : GG_BODY_VIEW_BYTES_MAX;
  view->options.content_max = options.content_max ? options.content_max : GG_BODY_VIEW_CONTENT_MAX;
  view->result.size = sizeof view->result;
  view->write = write;
  view->context = context;
  view->whole.view = view->part.view = view;
  view->part.part = true;
  view->whole.type_length = type_length < sizeof view->whole.type ? type_length : sizeof view->whole.type;
  if (type_length)
    memcpy(view->whole.type, type, view->whole.type_length);
  error = begin_content(view, encoding, encoding_length, failure);
  if (error) {
    gg_body_view_destroy(view);
    return error;
  }
  *out = view;
  return 0;
}

void gg_body_view_destroy(struct gg_body_view *view)
{
  if (!view)
    return;
  gg_content_destroy(view->content);
  free(view);
}

static int no_memory(struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_NOMEM, "no memory to undo a body's coding");
}

int gg_body_view_push(struct gg_body_view *view, const void *data, size_t length, struct gg_failure *failure)
{
  if (!view->content && length)
    on_content(view, data, length);
  else if (!view->error && length)
    view->error = gg_content_push(view->content, data, length, NULL);
  return view->error == GG_ERR_NOMEM ? no_memory(failure) : 0;
}

static void put_notes(struct gg_body_view *view, bool json)
{
  const struct gg_body_view_result *result = &view->result;
  char line[160];
  if (result->odd && json && result->odd_at < view->whole.bytes)
    snprintf(line, sizeof line, "... it is not JSON from byte %" PRIu64 " on: %s\n", result->odd_at, result->odd);
  else if (result->odd)
    snprintf(line, sizeof line, "... %s\n", result->odd);
  if (result->odd)
    put_note(view, line);
  if (result->more)
    snprintf(line, sizeof line, "... %" PRIu64 "%s more bytes\n", result->more, result->unbounded ? " or" : "");
  if (result->more)
    put_note(view, line);
  else if (result->unbounded && view->whole.shape != BINARY)
    put_note(view, "... and more\n");
}

int gg_body_view_finish(struct gg_body_view *view, uint64_t missing, struct gg_body_view_result *result,
                        struct gg_failure *failure)
{
  struct gg_body_view_result none = GG_BODY_VIEW_RESULT_INIT;
  if (!result)
    result = &none;
  if (result->size != sizeof *result)
    return gg_fail(failure, GG_ERR_INVALID, "gg_body_view_result is not of this version");
  if (view->content && !view->error && !missing)
    view->error = gg_content_finish(view->content, NULL);
  view->result.unbounded = view->error == GG_ERR_LIMIT || (view->content && missing);
  view->missing = view->content ? 0 : missing;
  finish_layer(&view->whole, !view->error && !missing);
  if (view->options.bare || (view->whole.shape != BINARY && view->whole.shape != WITHIN))
    view->result.more += view->missing;
  view->whole.bytes += view->missing;
  if (view->error == GG_ERR_FORMAT)
    view->result.odd = "it is not coded as it says";
  else if (view->error == GG_ERR_TRUNCATED)
    view->result.odd = "its coding ends in the middle";
  if (!view->options.bare) {
    end_last_line(view);
    put_notes(view, view->whole.shape == JSON && !view->error);
  }
  view->result.bytes = view->whole.bytes;
  view->result.binary = view->whole.shape == BINARY;
  *result = view->result;
  return view->error == GG_ERR_NOMEM ? no_memory(failure) : 0;
}

/* ── For programs ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Without a character's first bytes at the end, where the others were cut. */
static size_t whole_characters(const char *text, size_t length)
{
  for (size_t back = 1; back < 4 && back <= length; back++) {
    uint8_t byte = (uint8_t)text[length - back];
    if (byte >= 0xc0)
      return back < (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) ? length - back : length;
    if (byte < 0x80)
      break;
  }
  return length;
}

size_t gg_body_view_json(const struct gg_body_view_result *result, const void *written, size_t length, char *text,
                         size_t size)
{
  struct gg_json json;
  bool cut = result->more || result->unbounded;
  size_t characters = cut ? whole_characters(written, length) : length;
  gg_json_init(&json, text, size);
  gg_json_object_begin(&json);
  if (!result->binary && gg_utf8_valid(written, characters)) {
    gg_json_key(&json, "text");
    gg_json_string_n(&json, written, characters);
  } else {
    gg_json_key(&json, "data");
    gg_json_base64(&json, written, length);
  }
  gg_json_field_unsigned(&json, "bytes", result->bytes);
  if (cut)
    gg_json_field_bool(&json, "cut", true);
  if (result->odd)
    gg_json_field_string(&json, "odd", result->odd);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}
