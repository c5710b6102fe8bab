/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies: codings undone, and what forms, JSON and multiparts are laid out as, in whatever pieces they come.
 *
 * What has to hold: what comes out is within its limits; of what is not damaged the same comes however it is cut, and
 * of the views whatever it is; and parts of a multipart stand where they say. What a body is laid out as has no more
 * than it may, and is the same in whatever pieces, unless its coding is damaged.
 *
 * Input: a byte says what it is, the rest is the body.
 */
#include <gogetway/content.h>

#include "proto/form.h"
#include "proto/json_view.h"
#include "proto/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FORM, JSON, JSON_SECRETS, MULTIPART, CODINGS };
enum { BYTES_MAX = 1 << 20 };

static const char *const codings[] = {"gzip", "deflate", "br", "zstd", "gzip, gzip", "br, gzip", "zstd, deflate"};
enum { CODINGS_COUNT = sizeof codings / sizeof *codings };

static void require(bool holds)
{
  if (!holds)
    abort();
}

/* What was told, as bytes. */
struct told {
  uint8_t *data;
  size_t length, capacity;
  const uint8_t *body; /* what was pushed */
  size_t body_length;
};

static void add(void *context, const void *data, size_t length)
{
  struct told *told = context;
  if (told->length + length > told->capacity) {
    told->capacity = (told->length + length) * 2;
    told->data = realloc(told->data, told->capacity);
    require(told->data);
  }
  if (length)
    memcpy(told->data + told->length, data, length);
  told->length += length;
}

static void add_text(void *context, const char *text, size_t length)
{
  add(context, text, length);
}

static void add_number(void *context, uint64_t number)
{
  add(context, &number, sizeof number);
}

static void on_pair(void *context, const struct gg__form_pair *pair)
{
  struct told *told = context;
  require(pair->key_length <= GG__FORM_KEY_MAX && pair->value_length <= GG__FORM_VALUE_MAX);
  require(pair->raw_length <= told->body_length && pair->raw_offset <= told->body_length - pair->raw_length);
  add(told, pair->key, pair->key_length);
  add(told, pair->value, pair->value_length);
  add_number(told, pair->raw_offset);
  add_number(told, (uint64_t)pair->has_value | (uint64_t)pair->odd << 1 | (uint64_t)pair->secret << 2);
}

static void on_part(void *context, const struct gg__part *part)
{
  add_number(context, part->offset);
  for (size_t i = 0; i < part->header_count; i++) {
    add(context, part->headers[i].name.text, part->headers[i].name.length);
    add(context, part->headers[i].value.text, part->headers[i].value.length);
  }
  add(context, part->name.text, part->name.length);
  add(context, part->filename.text, part->filename.length);
  add(context, part->type.text, part->type.length);
}

static void on_part_body(void *context, const struct gg__part *part, const void *data, size_t length)
{
  struct told *told = context;
  uint64_t from = part->body_offset + part->body_length - length;
  require(from + length <= told->body_length && memcmp(told->body + from, data, length) == 0);
}

static void on_part_end(void *context, const struct gg__part *part)
{
  add_number(context, part->body_length << 1 | part->cut);
}

/* ── One of them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

union view {
  struct gg__form form;
  struct gg__json_view json;
  struct gg__multipart multipart;
};

static void begin(union view *view, unsigned what, struct told *told)
{
  static const char type[] = "multipart/mixed; boundary=b";
  const struct gg__multipart_sink parts = {told, on_part, on_part_body, on_part_end};
  if (what == FORM)
    gg__form_init(&view->form, on_pair, told);
  else if (what == MULTIPART)
    require(gg__multipart_init(&view->multipart, &parts, type, sizeof type - 1));
  else
    gg__json_view_init(&view->json, add_text, told, what == JSON_SECRETS);
}

static void push(union view *view, unsigned what, const uint8_t *data, size_t length)
{
  if (what == FORM)
    gg__form_push(&view->form, data, length);
  else if (what == MULTIPART)
    gg__multipart_push(&view->multipart, data, length);
  else
    gg__json_view_push(&view->json, data, length);
}

static void finish(union view *view, unsigned what, struct told *told)
{
  if (what == FORM) {
    gg__form_finish(&view->form);
  } else if (what == MULTIPART) {
    add_number(told, gg__multipart_finish(&view->multipart));
  } else {
    gg__json_view_finish(&view->json);
    add_number(told, view->json.broken ? view->json.broken_at + 1 : 0);
    require(told->length <= (told->body_length + 1) * (2 * GG__JSON_VIEW_INDENT_MAX + 8) + 16);
  }
}

/* Pushes it in steps; the error of codings. What is pushed is in a block of its exact size. */
static int tell(struct told *told, unsigned what, size_t step)
{
  static union view view;
  struct gg_content *content = NULL;
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  limits.bytes_max = BYTES_MAX;
  int error = 0;
  if (what < CODINGS) {
    begin(&view, what, told);
  } else {
    const char *coding = codings[what - CODINGS];
    error = gg_content_create(&content, coding, strlen(coding), &limits, add, told, NULL);
  }
  for (size_t done = 0, part; done < told->body_length && !error; done += part) {
    part = step < told->body_length - done ? step : told->body_length - done;
    uint8_t *exactly = malloc(part);
    require(exactly);
    memcpy(exactly, told->body + done, part);
    if (content)
      error = gg_content_push(content, exactly, part, NULL);
    else
      push(&view, what, exactly, part);
    free(exactly);
  }
  if (what < CODINGS)
    finish(&view, what, told);
  else if (!error)
    error = gg_content_finish(content, NULL);
  gg_content_destroy(content);
  require(what < CODINGS || told->length <= BYTES_MAX);
  return error;
}

/* ── Bodies as text ──────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
  const char *type, *coding;
} bodies[] = {{"", ""},
              {"application/json", ""},
              {"application/x-www-form-urlencoded", ""},
              {"multipart/mixed; boundary=b", ""},
              {"text/html", ""},
              {"image/png", "mystery"},
              {"multipart/mixed; boundary=b", "gzip"},
              {"application/json", "br"}};
enum { BODIES_COUNT = sizeof bodies / sizeof *bodies, TEXT_MAX = 300, NOTES_MAX = 400 };

/* Pushes it in steps; whether its coding is whole. */
static bool lay_out(struct told *told, unsigned which, size_t step)
{
  struct gg_body_view *view = NULL;
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  struct gg_body_view_result result = GG_BODY_VIEW_RESULT_INIT;
  const char *type = bodies[which].type, *coding = bodies[which].coding;
  options.bytes_max = TEXT_MAX;
  options.content_max = BYTES_MAX;
  if (gg_body_view_create(&view, type, strlen(type), coding, strlen(coding), &options, add, told, NULL) != 0)
    return false;
  for (size_t done = 0, part; done < told->body_length; done += part) {
    part = step < told->body_length - done ? step : told->body_length - done;
    uint8_t *exactly = malloc(part);
    require(exactly);
    memcpy(exactly, told->body + done, part);
    require(gg_body_view_push(view, exactly, part, NULL) == 0);
    free(exactly);
  }
  require(gg_body_view_finish(view, 0, &result, NULL) == 0);
  gg_body_view_destroy(view);
  require(told->length <= TEXT_MAX + NOTES_MAX);
  return !*coding || !(result.odd && strstr(result.odd, "cod"));
}

static void check_bodies(const uint8_t *data, size_t size)
{
  unsigned which = data[0] % BODIES_COUNT;
  struct told whole = {.body = data + 1, .body_length = size - 1}, cut = whole;
  bool sound = lay_out(&whole, which, size);
  require(lay_out(&cut, which, 1 + size % 3) == sound);
  if (sound)
    require(whole.length == cut.length && (!whole.length || memcmp(whole.data, cut.data, whole.length) == 0));
  free(whole.data);
  free(cut.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  check_bodies(data, size);
  unsigned what = data[0] % (CODINGS + CODINGS_COUNT);
  struct told whole = {.body = data + 1, .body_length = size - 1}, cut = whole;
  int error = tell(&whole, what, size);
  int error_of_cut = tell(&cut, what, 1 + size % 3);
  /* How much is told of what is damaged depends on how much of it was looked at at once. */
  require(error == error_of_cut || (error && error_of_cut));
  if (!error)
    require(whole.length == cut.length && (!whole.length || memcmp(whole.data, cut.data, whole.length) == 0));
  free(whole.data);
  free(cut.data);
  return 0;
}
