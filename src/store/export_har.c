/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/).
 *
 * An entry is made in a buffer, all but the two bodies, which are written between its pieces:
 *
 *     {"startedDateTime":...,"postData":{...,"text":"│","params":...},...,"content":{...,"text":"│"},...}
 *                                                    └ body of the request                     └ of the answer
 *
 * What the specification has no name for begins with an underscore, as it wants: _encoding of postData, which has none
 * for bytes that are no text, and _session and _message, by which `show` finds the messages. */
#include "store/cookie_expiry.h"
#include "store/exchange_out.h"
#include "store/http_view.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "proto/content_kind.h"
#include "proto/form.h"

#include <gogetway/content.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  ENTRY_BYTES = 8 << 20,       /* of an entry without bodies: GG_MESSAGE_TEXT_MAX six times escaped, told four times */
  PARAMS_BODY_MAX = 1 << 16,   /* of a form whose parameters are told one by one, too */
  CONTENT_MAX = 16 << 20,      /* bytes of a body that was compressed */
  PIECE = 1 << 12,             /* of a body that is escaped or coded at once; divisible by 3 after one is cut off */
  PIECE_JSON = PIECE * 6 + 16, /* each letter may become an escape of six */
  COMMENT_MAX = 512,
};

static const char mask[] = "****";

struct body {
  const uint8_t *data;
  size_t length;
  bool text;
  struct gg__hiding hiding;
  size_t splice;    /* where in the entry it belongs; 0: nowhere */
  uint8_t *content; /* without its coding: room that is used again */
  size_t content_length, content_room;
  bool content_cut;
};

struct har {
  char *entry;
  struct gg_json json;
  struct body bodies[2]; /* of request and answer */
  char comment[COMMENT_MAX];
};

/* ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add_comment(struct har *har, const char *text)
{
  size_t used = strlen(har->comment);
  snprintf(har->comment + used, sizeof har->comment - used, "%s%s", used ? "; " : "", text);
}

static void put_string(struct gg_json *json, const char *key, struct gg__text text)
{
  gg_json_key(json, key);
  gg_json_string_n(json, text.at, text.length);
}

/* Milliseconds with all decimals that nanoseconds have. */
static void put_ms(struct gg_json *json, const char *key, uint64_t ns)
{
  char text[48];
  int length = snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64, ns / 1000000, ns % 1000000);
  gg_json_key(json, key);
  gg_json_raw(json, text, (size_t)length);
}

/* A copy of the text with the mask in the place of what is hidden. NULL: no memory. */
static char *masked(const struct gg__hiding *hiding, bool secrets, struct gg__text text, size_t *length)
{
  size_t count = secrets ? 0 : hiding->count, from = 0;
  char *out = malloc(text.length + count * (sizeof mask - 1) + 1), *at = out;
  for (size_t i = 0; out && i <= count; i++) {
    size_t to = i < count ? hiding->places[i].from : text.length;
    memcpy(at, text.at + from, to - from);
    at += to - from;
    if (i == count)
      break;
    memcpy(at, mask, sizeof mask - 1);
    at += sizeof mask - 1;
    from = hiding->places[i].to;
  }
  *length = out ? (size_t)(at - out) : 0;
  return out;
}

static void put_masked(struct gg__exchange_out *out, struct gg_json *json, const struct gg__hiding *hiding,
                       struct gg__text text)
{
  size_t length;
  char *shown = masked(hiding, out->secrets, text, &length);
  if (!shown)
    out->error = GG_ERR_NOMEM;
  gg_json_string_n(json, shown ? shown : "", length);
  free(shown);
}

struct pairs {
  struct gg__exchange_out *out;
  struct gg_json *json;
  const char *text;
  char *plain; /* room for one of them without its coding */
};

static void put_pair(void *context, const struct gg__form_pair *pair)
{
  const struct pairs *pairs = context;
  const char *text = pairs->text;
  char *plain = pairs->plain;
  size_t name = gg__percent_undo(plain, text + pair->key_offset, (size_t)pair->key_raw_length, true);
  gg_json_object_begin(pairs->json);
  put_string(pairs->json, "name", (struct gg__text){plain, name});
  size_t value = gg__percent_undo(plain, text + pair->raw_offset, (size_t)pair->raw_length, true);
  bool hidden = gg__form_is_secret(pair) && value && !pairs->out->secrets;
  put_string(pairs->json, "value", hidden ? (struct gg__text){mask, sizeof mask - 1} : (struct gg__text){plain, value});
  gg_json_object_end(pairs->json);
}

static void put_pairs(struct gg__exchange_out *out, struct gg_json *json, const char *key, struct gg__text text)
{
  struct gg__form form;
  struct pairs pairs = {out, json, text.at, malloc(text.length + 1)};
  gg_json_key(json, key);
  gg_json_array_begin(json);
  gg__form_init(&form, put_pair, &pairs);
  if (pairs.plain)
    gg__form_push(&form, text.at, text.length);
  else
    out->error = GG_ERR_NOMEM;
  gg__form_finish(&form);
  gg_json_array_end(json);
  free(pairs.plain);
}

static void put_headers(struct gg__exchange_out *out, struct gg_json *json, const struct gg_message *message)
{
  struct gg__hiding hiding;
  gg_json_key(json, "headers");
  gg_json_array_begin(json);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (!gg__http_is_field(field, "http.header"))
      continue;
    gg_json_object_begin(json);
    put_string(json, "name", (struct gg__text){field->key, field->key_length});
    gg_json_key(json, "value");
    gg__hide_header(&hiding, field);
    put_masked(out, json, &hiding, (struct gg__text){(const char *)field->value, field->length});
    gg_json_object_end(json);
  }
  gg_json_array_end(json);
}

/* ── Cookies ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__text next_part(struct gg__text text, size_t *at)
{
  while (*at < text.length && memchr("; \t", text.at[*at], 3))
    ++*at;
  size_t from = *at;
  while (*at < text.length && text.at[*at] != ';')
    ++*at;
  return (struct gg__text){text.at + from, *at - from};
}

static void split_pair(struct gg__text part, struct gg__text *name, struct gg__text *value)
{
  const char *equals = part.length ? memchr(part.at, '=', part.length) : NULL;
  name->at = part.at;
  name->length = equals ? (size_t)(equals - part.at) : part.length;
  value->at = equals ? equals + 1 : "";
  value->length = equals ? part.length - name->length - 1 : 0;
}

/* "name=value", opened: what else is known of it follows. */
static void begin_cookie(const struct gg__exchange_out *out, struct gg_json *json, struct gg__text part)
{
  struct gg__text name, value;
  split_pair(part, &name, &value);
  gg_json_object_begin(json);
  put_string(json, "name", name);
  put_string(json, "value", out->secrets ? value : (struct gg__text){mask, sizeof mask - 1});
}

/* "sid=x; Path=/; Max-Age=60; Secure". Of what comes twice the last one counts, and a Max-Age more than an Expires. */
static void put_set_cookie(const struct gg__exchange_out *out, struct gg_json *json, struct gg__text text,
                           uint64_t came_ns)
{
  char expires[GG_CLOCK_TEXT_MAX] = "", max_age[GG_CLOCK_TEXT_MAX] = "";
  size_t at = 0;
  struct gg__text path = {NULL, 0}, domain = {NULL, 0};
  bool http_only = false, secure = false;
  begin_cookie(out, json, next_part(text, &at));
  for (struct gg__text part; (part = next_part(text, &at)).length;) {
    struct gg__text name, value;
    split_pair(part, &name, &value);
    if (gg__text_is(name, "path"))
      path = value;
    else if (gg__text_is(name, "domain"))
      domain = value;
    else if (gg__text_is(name, "expires"))
      gg__cookie_expires(expires, value.at, value.length);
    else if (gg__text_is(name, "max-age"))
      gg__cookie_max_age(max_age, value.at, value.length, came_ns);
    http_only = http_only || gg__text_is(name, "httponly");
    secure = secure || gg__text_is(name, "secure");
  }
  if (path.at)
    put_string(json, "path", path);
  if (domain.at)
    put_string(json, "domain", domain);
  if (*expires || *max_age)
    gg_json_field_string(json, "expires", *max_age ? max_age : expires);
  gg_json_field_bool(json, "httpOnly", http_only);
  gg_json_field_bool(json, "secure", secure);
  gg_json_object_end(json);
}

static void put_cookies(const struct gg__exchange_out *out, struct gg_json *json, const struct gg_message *message)
{
  gg_json_key(json, "cookies");
  gg_json_array_begin(json);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    struct gg__text key = {field->key, field->key_length}, value = {(const char *)field->value, field->length};
    if (!gg__http_is_field(field, "http.header"))
      continue;
    if (gg__text_is(key, "set-cookie"))
      put_set_cookie(out, json, value, message->first_ns);
    if (!gg__text_is(key, "cookie"))
      continue;
    size_t at = 0;
    for (struct gg__text part; (part = next_part(value, &at)).length;) {
      begin_cookie(out, json, part);
      gg_json_object_end(json);
    }
  }
  gg_json_array_end(json);
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_content(void *context, const void *data, size_t length)
{
  struct body *body = context;
  size_t wanted = body->content_length + length, room = body->content_room;
  if (body->content_cut)
    return;
  if (wanted > room) {
    for (room = room ? room : PIECE; room < wanted;)
      room *= 2;
    uint8_t *larger = realloc(body->content, room);
    body->content_cut = !larger;
    if (!larger)
      return;
    body->content = larger;
    body->content_room = room;
  }
  memcpy(body->content + body->content_length, data, length);
  body->content_length += length;
}

/* The body without its coding; false: with it, because that cannot be undone. */
static bool undo_coding(struct har *har, struct body *body, const struct gg__kept *kept)
{
  struct gg__text coding = gg__http_text(&kept->message, "http.header", "content-encoding");
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_content *content = NULL;
  body->content_length = 0;
  body->content_cut = false;
  if (coding.length == 0 || kept->body_length == 0)
    return false;
  limits.bytes_max = CONTENT_MAX;
  int error = gg_content_create(&content, coding.at, coding.length, &limits, take_content, body, &failure);
  if (!error)
    error = gg_content_push(content, kept->body, kept->body_length, &failure);
  if (!error)
    error = gg_content_finish(content, &failure);
  bool undone = content != NULL && (!error || body->content_length);
  gg_content_destroy(content);
  if (error) {
    add_comment(har, undone ? "content cut: " : "content as it was coded: ");
    snprintf(har->comment + strlen(har->comment), sizeof har->comment - strlen(har->comment), "%s", failure.message);
  }
  if (body->content_cut)
    add_comment(har, "content cut: no memory");
  return undone;
}

/* What is told of a body; its bytes follow when the entry is written. True: its coding was undone. */
static bool take_body(struct har *har, struct body *body, const struct gg__kept *kept)
{
  bool undone = undo_coding(har, body, kept);
  body->data = undone ? body->content : kept->body;
  body->length = undone ? body->content_length : kept->body_length;
  body->text = body->length == 0 || gg_utf8_valid((const char *)body->data, body->length);
  gg__hide_body_of(&body->hiding, &kept->message, undone, body->data, body->length);
  return undone;
}

/* An empty string, in the middle of which the body will be written. */
static void splice_body(struct har *har, struct body *body, const char *encoding_key)
{
  gg_json_field_string(&har->json, "text", "");
  body->splice = har->json.length - 1;
  if (!body->text)
    gg_json_field_string(&har->json, encoding_key, "base64");
}

static void write_escaped(struct gg__writer *writer, const char *text, size_t length)
{
  char piece[PIECE_JSON];
  while (length) {
    size_t taken = length < PIECE ? length : PIECE;
    while (taken < length && taken > 1 && ((uint8_t)text[taken] & 0xc0) == 0x80)
      taken--; /* not within a character */
    struct gg_json json;
    gg_json_init(&json, piece, sizeof piece);
    gg_json_string_n(&json, text, taken);
    size_t used = gg_json_finish(&json);
    gg__writer_put(writer, piece + 1, used - 2);
    text += taken;
    length -= taken;
  }
}

static void write_base64(struct gg__writer *writer, const uint8_t *data, size_t length)
{
  char piece[PIECE / 3 * 4];
  for (size_t at = 0, taken; at < length; at += taken) {
    taken = length - at < PIECE - 1 ? length - at : PIECE - 1; /* 4095: whole groups of three */
    gg__writer_put(writer, piece, (size_t)(gg_base64(piece, data + at, taken) - piece));
  }
}

static void write_body(struct gg__exchange_out *out, const struct body *body)
{
  struct gg__text all = {(const char *)body->data, body->length};
  size_t length;
  if (body->length == 0)
    return;
  char *shown = masked(&body->hiding, out->secrets, all, &length);
  if (!shown || body->hiding.no_memory)
    out->error = GG_ERR_NOMEM;
  else if (body->text)
    write_escaped(out->writer, shown, length);
  else
    write_base64(out->writer, (const uint8_t *)shown, length);
  free(shown);
}

/* ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__text version_of(const struct gg_message *message)
{
  static const char *const names[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
  struct gg__text version = gg__http_text(message, "http.version", NULL);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (gg__text_is(version, names[i] + 5))
      return (struct gg__text){names[i], strlen(names[i])};
  return version.length                           ? version
         : strcmp(message->decoder, "http2") == 0 ? (struct gg__text){"HTTP/2", 6}
                                                  : (struct gg__text){"HTTP/1.1", 8};
}

/* Scheme, host and target; the target alone if it has them, or is no path (CONNECT). */
static void put_url(struct gg__exchange_out *out, struct gg_json *json, const struct gg_message *request)
{
  struct gg__hiding hiding;
  struct gg__text target = gg__http_text(request, "http.target", NULL);
  struct gg__text host = gg__http_text(request, "http.host", NULL);
  struct gg__text scheme = gg__http_text(request, "http.header", ":scheme");
  bool path = target.length && (*target.at == '/' || gg__text_is(target, "*"));
  if (host.length == 0)
    host = (struct gg__text){out->session->server, strlen(out->session->server)};
  if (scheme.length == 0)
    scheme = (struct gg__text){"http", 4};
  size_t room = scheme.length + host.length + target.length + 8;
  char *url = malloc(room);
  if (!url) {
    out->error = GG_ERR_NOMEM;
    return;
  }
  size_t length = 0;
  if (path)
    length = (size_t)snprintf(url, room, "%.*s://%.*s%s", (int)scheme.length, scheme.at, (int)host.length, host.at,
                              *target.at == '/' ? "" : "/");
  length = length < room - target.length ? length : 0; /* a NUL in the host */
  memcpy(url + length, target.at, target.length);
  length += target.length;
  gg__hide_url(&hiding, url, length);
  gg_json_key(json, "url");
  put_masked(out, json, &hiding, (struct gg__text){url, length});
  free(url);
}

/* Bytes of the head, if the body stands behind it as it is. */
static int64_t headers_size(const struct gg_message *message)
{
  bool whole = !(message->flags & (GG_MESSAGE_GAP | GG_MESSAGE_CUT));
  bool framed = gg_message_field(message, "http.header", "transfer-encoding") != NULL;
  bool plain = strcmp(message->decoder, "http1") == 0 && whole && !framed && message->length >= message->body_length;
  return plain ? (int64_t)(message->length - message->body_length) : -1;
}

static int64_t body_size(const struct gg_message *message)
{
  bool whole = !(message->flags & (GG_MESSAGE_GAP | GG_MESSAGE_CUT));
  return whole ? (int64_t)message->body_length : -1;
}

static void put_post_data(struct gg__exchange_out *out, struct har *har, const struct gg__kept *kept)
{
  struct body *body = &har->bodies[0];
  struct gg__text type = gg__http_text(&kept->message, "http.header", "content-type");
  take_body(har, body, kept);
  if (kept->message.body_length == 0)
    return;
  gg_json_key(&har->json, "postData");
  gg_json_object_begin(&har->json);
  put_string(&har->json, "mimeType", type);
  bool form = gg__content_kind(type.at, type.length) == GG__CONTENT_FORM && body->length <= PARAMS_BODY_MAX;
  struct gg__text text = {form ? (const char *)body->data : "", form ? body->length : 0};
  put_pairs(out, &har->json, "params", text);
  splice_body(har, body, "_encoding");
  gg_json_object_end(&har->json);
}

static void put_request(struct gg__exchange_out *out, struct har *har, const struct gg__kept *kept)
{
  const struct gg_message *request = &kept->message;
  struct gg_json *json = &har->json;
  struct gg__text target = gg__http_text(request, "http.target", NULL);
  size_t from, to;
  gg__query_find(target.at, target.length, &from, &to);
  gg_json_key(json, "request");
  gg_json_object_begin(json);
  put_string(json, "method", gg__http_text(request, "http.method", NULL));
  put_url(out, json, request);
  put_string(json, "httpVersion", version_of(request));
  put_cookies(out, json, request);
  put_headers(out, json, request);
  put_pairs(out, json, "queryString", (struct gg__text){target.at + from, to - from});
  put_post_data(out, har, kept);
  gg_json_field_signed(json, "headersSize", headers_size(request));
  gg_json_field_signed(json, "bodySize", body_size(request));
  gg_json_object_end(json);
}

/* ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_content(struct har *har, const struct gg__kept *kept)
{
  struct body *body = &har->bodies[1];
  struct gg_json *json = &har->json;
  bool undone = take_body(har, body, kept);
  uint64_t size = undone || kept->body_cut ? body->length : kept->message.body_length;
  gg_json_key(json, "content");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "size", size);
  if (undone && !kept->body_cut)
    gg_json_field_signed(json, "compression", (int64_t)size - (int64_t)kept->message.body_length);
  put_string(json, "mimeType", gg__http_text(&kept->message, "http.header", "content-type"));
  if (body->length)
    splice_body(har, body, "encoding");
  gg_json_object_end(json);
}

static void put_response(struct gg__exchange_out *out, struct har *har, const struct gg__kept *kept)
{
  static const struct gg_message none = {.decoder = "", .kind = "", .summary = ""};
  const struct gg_message *response = kept->ended ? &kept->message : &none;
  struct gg__kept empty = {.message = none};
  struct gg_json *json = &har->json;
  const struct gg_field *status = gg_message_field(response, "http.status", NULL);
  struct gg__hiding hiding;
  struct gg__text location = gg__http_text(response, "http.header", "location");
  gg_json_key(json, "response");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "status", status ? status->number : 0);
  put_string(json, "statusText", gg__http_text(response, "http.reason", NULL));
  put_string(json, "httpVersion", kept->ended ? version_of(response) : (struct gg__text){"", 0});
  put_cookies(out, json, response);
  put_headers(out, json, response);
  put_content(har, kept->ended ? kept : &empty);
  gg_json_key(json, "redirectURL");
  gg__hide_url(&hiding, location.at, location.length);
  put_masked(out, json, &hiding, location);
  gg_json_field_signed(json, "headersSize", kept->ended ? headers_size(response) : -1);
  gg_json_field_signed(json, "bodySize", kept->ended ? body_size(response) : -1);
  gg_json_object_end(json);
}

/* ── Entries ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void note_flags(struct har *har, const char *whose, const struct gg__kept *kept)
{
  static const struct {
    uint32_t flag;
    const char *text;
  } notes[] = {{GG_MESSAGE_CUT, "ends before it is complete"},
               {GG_MESSAGE_GAP, "has bytes that are missing in the recording"},
               {GG_MESSAGE_FIELDS_CUT, "has more headers than are kept"},
               {GG_MESSAGE_ODD, "is not as HTTP has it"}};
  char text[128];
  for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
    if (kept->message.flags & notes[i].flag) {
      snprintf(text, sizeof text, "the %s %s", whose, notes[i].text);
      add_comment(har, text);
    }
  if (kept->body_cut) {
    snprintf(text, sizeof text, "of the %s's body the first %zu bytes are here", whose, kept->body_length);
    add_comment(har, text);
  }
}

static uint64_t since(uint64_t later, uint64_t earlier)
{
  return later > earlier ? later - earlier : 0;
}

static void put_timings(struct gg_json *json, const struct gg__exchange *exchange)
{
  const struct gg_message *request = &exchange->request.message, *response = &exchange->response.message;
  bool answered = exchange->response.ended;
  uint64_t send = since(request->last_ns, request->first_ns);
  uint64_t wait = answered ? since(response->first_ns, request->last_ns) : 0;
  uint64_t receive = answered ? since(response->last_ns, response->first_ns) : 0;
  put_ms(json, "time", send + wait + receive);
  gg_json_key(json, "timings");
  gg_json_object_begin(json);
  static const char *const unknown[] = {"blocked", "dns", "connect", "ssl"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    gg_json_field_signed(json, unknown[i], -1);
  put_ms(json, "send", send);
  put_ms(json, "wait", wait);
  put_ms(json, "receive", receive);
  gg_json_object_end(json);
}

static void write_entry(struct gg__exchange_out *out, struct har *har, size_t length)
{
  size_t from = 0;
  if (out->entries++)
    gg__writer_text(out->writer, ",\n");
  for (size_t i = 0; i < 2; i++) {
    if (!har->bodies[i].splice)
      continue;
    gg__writer_put(out->writer, har->entry + from, har->bodies[i].splice - from);
    write_body(out, &har->bodies[i]);
    from = har->bodies[i].splice;
  }
  gg__writer_put(out->writer, har->entry + from, length - from);
}

static void put_entry(struct gg__exchange_out *out, const struct gg__exchange *exchange)
{
  struct har *har = out->state;
  struct gg_json *json = &har->json;
  char time[GG_CLOCK_TEXT_MAX];
  struct gg__text host, port;
  har->comment[0] = '\0';
  har->bodies[0].splice = har->bodies[1].splice = 0;
  note_flags(har, "request", &exchange->request);
  note_flags(har, "answer", &exchange->response);
  if (exchange->early)
    add_comment(har, "too many requests waited: the answer was not waited for");
  gg_clock_format(exchange->request.message.first_ns, 9, time, sizeof time);
  gg_json_init(json, har->entry, ENTRY_BYTES);
  gg_json_object_begin(json);
  gg_json_field_string(json, "startedDateTime", time);
  put_timings(json, exchange);
  put_request(out, har, &exchange->request);
  put_response(out, har, &exchange->response);
  gg_json_key(json, "cache");
  gg_json_object_begin(json);
  gg_json_object_end(json);
  gg__address_split(out->session->server, &host, &port);
  if (host.length)
    put_string(json, "serverIPAddress", host);
  gg_json_field_string(json, "connection", out->session->id);
  if (har->comment[0])
    gg_json_field_string(json, "comment", har->comment);
  gg_json_field_string(json, "_session", out->session->id);
  gg_json_field_unsigned(json, "_message", exchange->request.message.number);
  if (exchange->response.ended)
    gg_json_field_unsigned(json, "_answer", exchange->response.message.number);
  gg_json_object_end(json);
  size_t length = gg_json_finish(json);
  if (length)
    write_entry(out, har, length);
  else
    out->error = GG_ERR_NOMEM; /* greater than any that fields of a message can make */
}

static void end(struct gg__exchange_out *out)
{
  struct har *har = out->state;
  if (!har)
    return;
  gg__writer_text(out->writer, "\n]}}\n");
  free(har->bodies[0].content);
  free(har->bodies[1].content);
  free(har->entry);
  free(har);
}

static int begin(struct gg__exchange_out *out)
{
  struct har *har = calloc(1, sizeof *har);
  char *entry = malloc(ENTRY_BYTES);
  if (!har || !entry) {
    free(har);
    free(entry);
    return GG_ERR_NOMEM;
  }
  har->entry = entry;
  out->state = har;
  gg__writer_text(out->writer, "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"gogetway\",\"version\":\"");
  gg__writer_text(out->writer, GG_VERSION);
  gg__writer_text(out->writer, "\"},\"entries\":[\n");
  return 0;
}

const struct gg__exchange_form gg__exchange_har = {.answers = true, .begin = begin, .entry = put_entry, .end = end};
