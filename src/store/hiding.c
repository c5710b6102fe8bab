/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hiding.h"

#include "proto/form.h"
#include "proto/secrets.h"

#include <gogetway/content.h>
#include <string.h>

/* ── Queries ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int hex_digit(char letter)
{
  if (letter >= '0' && letter <= '9')
    return letter - '0';
  char lower = (char)(letter | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

size_t gg__percent_undo(char *out, const char *text, size_t length, bool plus)
{
  size_t used = 0;
  for (size_t at = 0; at < length; at++) {
    bool coded = text[at] == '%' && length - at > 2 && hex_digit(text[at + 1]) >= 0 && hex_digit(text[at + 2]) >= 0;
    if (coded) {
      out[used++] = (char)(hex_digit(text[at + 1]) << 4 | hex_digit(text[at + 2]));
      at += 2;
    } else {
      out[used++] = plus && text[at] == '+' ? ' ' : text[at];
    }
  }
  return used;
}

void gg__query_find(const char *url, size_t length, size_t *from, size_t *to)
{
  const char *fragment = length ? memchr(url, '#', length) : NULL;
  *to = fragment ? (size_t)(fragment - url) : length;
  const char *question = *to ? memchr(url, '?', *to) : NULL;
  *from = question ? (size_t)(question - url) + 1 : *to;
}

/* ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add(struct gg__hiding *out, size_t from, size_t to, size_t text_length, const char *name,
                size_t name_length)
{
  if (out->count == GG__HIDDEN_MAX) {
    out->places[out->count - 1].to = text_length;
  } else if (to > from) {
    struct gg__hidden *place = &out->places[out->count++];
    *place = (struct gg__hidden){from, to, "", name_length < sizeof place->name ? name_length : sizeof place->name};
    memcpy(place->name, name, place->name_length);
  }
}

void gg__hide_whole(struct gg__hiding *out, size_t length, const char *name, size_t name_length)
{
  out->count = 0;
  add(out, 0, length, length, name, name_length);
}

struct pairs {
  struct gg__hiding *out;
  size_t from, length;
};

static void take_pair(void *context, const struct gg__form_pair *pair)
{
  const struct pairs *pairs = context;
  size_t from = pairs->from + (size_t)pair->raw_offset;
  if (gg__form_is_secret(pair))
    add(pairs->out, from, from + (size_t)pair->raw_length, pairs->length, pair->key, pair->key_length);
}

static void hide_pairs(struct gg__hiding *out, const char *text, size_t from, size_t to, size_t length)
{
  struct pairs pairs = {out, from, length};
  struct gg__form form;
  gg__form_init(&form, take_pair, &pairs);
  gg__form_push(&form, text + from, to - from);
  gg__form_finish(&form);
}

/* "http://user:password@host/path?query" */
static void hide_in_url(struct gg__hiding *out, const char *text, size_t length)
{
  const char *scheme = length ? memmem(text, length, "://", 3) : NULL;
  if (scheme && *text != '/') {
    size_t from = (size_t)(scheme - text) + 3, end = from;
    while (end < length && !memchr("/?#", text[end], 3))
      end++;
    const char *at = end > from ? memrchr(text + from, '@', end - from) : NULL;
    const char *colon = at ? memchr(text + from, ':', (size_t)(at - text) - from) : NULL;
    if (colon)
      add(out, (size_t)(colon - text) + 1, (size_t)(at - text), length, "password", 8);
  }
  size_t from, to;
  gg__query_find(text, length, &from, &to);
  hide_pairs(out, text, from, to, length);
  if (to < length)
    hide_pairs(out, text, to + 1, length, length); /* where tokens of OAuth stand in a Location */
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct masked {
  struct gg__hiding *out;
  size_t length;
};

static void take_masked(void *context, uint64_t from, uint64_t to, const char *name, size_t name_length)
{
  struct masked *masked = context;
  add(masked->out, (size_t)from, (size_t)to, masked->length, name, name_length);
}

static void drop(void *context, const void *data, size_t length)
{
  (void)context;
  (void)data;
  (void)length;
}

void gg__hide_body(struct gg__hiding *out, const struct gg__body_kind *kind, const void *body, size_t length)
{
  struct gg_body_view_options options = GG_BODY_VIEW_OPTIONS_INIT;
  struct masked masked = {out, length};
  struct gg_body_view *view = NULL;
  out->count = 0;
  out->coded = kind->coding_length != 0;
  out->no_memory = false;
  options.masked = take_masked;
  options.masked_context = &masked;
  if (length == 0)
    return;
  int error = gg_body_view_create(&view, kind->type, kind->type_length, kind->coding, kind->coding_length, &options,
                                  drop, NULL, NULL);
  if (!error)
    error = gg_body_view_push(view, body, length, NULL);
  if (!error)
    error = gg_body_view_finish(view, 0, NULL, NULL);
  gg_body_view_destroy(view);
  out->no_memory = error == GG_ERR_NOMEM;
  if (error || (out->coded && out->count)) /* where they stand in coded bytes nobody knows */
    gg__hide_whole(out, length, "body", 4);
}

void gg__hide_url(struct gg__hiding *out, const char *url, size_t length)
{
  out->count = 0;
  out->coded = false;
  hide_in_url(out, url, length);
}

void gg__hide_text(struct gg__hiding *out, const char *text, size_t length)
{
  struct masked masked = {out, length};
  struct gg__secret_range range = {.hidden = take_masked, .context = &masked};
  struct gg__secret_text state = {0};
  out->count = 0;
  out->coded = false;
  for (size_t i = 0; i <= length; i++)
    gg__secret_range_take(&range, i, i < length && gg__secret_text_take(&state, text[i]), state.name,
                          state.name_length);
}
