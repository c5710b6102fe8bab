/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http.h"

#include "base/base64.h"
#include "proto/form.h"
#include "proto/secrets.h"
#ifdef GG_HAVE_HTTP2
#include "proto/websocket_frames.h"
#endif

#include <string.h>
#include <strings.h>

const struct gg_decoder_field gg__http_fields[] = {
  [GG__HTTP_METHOD] = {"http.method", GG_FIELD_TEXT, true, "what is asked for", "http.method=POST"},
  [GG__HTTP_TARGET] = {"http.target", GG_FIELD_TEXT, false, "of what, as it was sent, but for credentials in its query",
                       NULL},
  [GG__HTTP_QUERY] = {"http.query", GG_FIELD_TEXT, false, "a credential in the target's query, as it was sent", NULL},
  [GG__HTTP_PATH] = {"http.path", GG_FIELD_TEXT, true, "of what, without a query", "http.path~^/api/"},
  [GG__HTTP_HOST] = {"http.host", GG_FIELD_TEXT, true, "of which site", "http.host=example.org"},
  [GG__HTTP_VERSION] = {"http.version", GG_FIELD_TEXT, true, "1.0, 1.1 or 2", "http.version=2"},
  [GG__HTTP_STATUS] = {"http.status", GG_FIELD_NUMBER, true, "of a response", "http.status=500.."},
  [GG__HTTP_REASON] = {"http.reason", GG_FIELD_TEXT, false, "the words after the status", NULL},
  [GG__HTTP_HEADER] = {"http.header", GG_FIELD_TEXT, false, "a header", NULL},
  [GG__HTTP_TRAILER] = {"http.trailer", GG_FIELD_TEXT, false, "a header behind the body", NULL},
  [GG__HTTP_TYPE] = {"http.type", GG_FIELD_TEXT, true, "the body's media type", "http.type=application/json"},
  [GG__HTTP_AGENT] = {"http.agent", GG_FIELD_TEXT, true, "what the client says it is", "http.agent=curl/*"},
  [GG__HTTP_USER] = {"http.user", GG_FIELD_TEXT, true, "who logs in, by Basic authentication", "http.user=admin"},
  [GG__HTTP_PASSWORD] = {"http.password", GG_FIELD_TEXT, false, "and by which password", NULL},
  [GG__HTTP_ODD] = {"http.odd", GG_FIELD_TEXT, true, "what is not as RFC 9110 to 9113 have it",
                    "http.odd=conflicting-content-length"},
  [GG__SSE_EVENT] = {"sse.event", GG_FIELD_TEXT, true, "what kind of event a server has sent", "sse.event=price"},
  [GG__SSE_ID] = {"sse.id", GG_FIELD_TEXT, false, "by which a client says later what it had last", NULL},
  [GG__SSE_RETRY] = {"sse.retry", GG_FIELD_NUMBER, false, "milliseconds before a client is to come back", NULL},
#ifdef GG_HAVE_HTTP2
  [GG__GRPC_SERVICE] = {"grpc.service", GG_FIELD_TEXT, true, "of a call", "grpc.service=helloworld.Greeter"},
  [GG__GRPC_METHOD] = {"grpc.method", GG_FIELD_TEXT, true, "of a call", "grpc.method=SayHello"},
  [GG__GRPC_STATUS] = {"grpc.status", GG_FIELD_NUMBER, true, "how a call has ended; 0: well", "grpc.status=1.."},
  [GG__GRPC_MESSAGE] = {"grpc.message", GG_FIELD_TEXT, false, "why a call has failed", NULL},
  [GG__GRPC_COMPRESSED] = {"grpc.compressed", GG_FIELD_NUMBER, false, "1: as the header grpc-encoding says", NULL},
  [GG__GRPC_ODD] = {"grpc.odd", GG_FIELD_TEXT, true, "what is not as gRPC has it", "grpc.odd=unknown-flags"},
  [GG__HTTP2_ERROR] = {"http2.error", GG_FIELD_TEXT, true, "why a stream or the session was ended",
                       "http2.error=CANCEL"},
  [GG__HTTP2_PROMISED_ON] = {"http2.promised_on", GG_FIELD_NUMBER, false, "the stream on which it was promised", NULL},
  [GG__HTTP2_SETTING] = {"http2.setting", GG_FIELD_NUMBER, false, "what the side can take", NULL},
  [GG__HTTP2_ACK] = {"http2.ack", GG_FIELD_NUMBER, false, "1: it says that the other side's has come", NULL},
  [GG__HTTP2_INCREMENT] = {"http2.increment", GG_FIELD_NUMBER, false, "so many bytes more the other side may send",
                           NULL},
  [GG__HTTP2_PING] = {"http2.ping", GG_FIELD_NUMBER, false, "what comes back with the answer", NULL},
  [GG__HTTP2_LAST_STREAM] = {"http2.last_stream", GG_FIELD_NUMBER, false, "streams behind it were not looked at", NULL},
  [GG__HTTP2_DEBUG] = {"http2.debug", GG_FIELD_TEXT, false, "what else was said of the end", NULL},
  [GG__HTTP2_DEPENDS_ON] = {"http2.depends_on", GG_FIELD_NUMBER, false, "the stream that goes first", NULL},
  [GG__HTTP2_WEIGHT] = {"http2.weight", GG_FIELD_NUMBER, false, "1 to 256: its share", NULL},
  [GG__HTTP2_FRAME] = {"http2.frame", GG_FIELD_NUMBER, false, "type of a frame that is told as it is", NULL},
  GG__WS_FIELDS_AT(GG__HTTP2_WEBSOCKET),
#endif
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_blank(char letter)
{
  return letter == ' ' || letter == '\t';
}

static struct gg__span trim(const char *text, size_t length)
{
  while (length && is_blank(*text)) {
    text++;
    length--;
  }
  while (length && is_blank(text[length - 1]))
    length--;
  return (struct gg__span){.text = text, .length = length};
}

bool gg__http_lists(const struct gg__span *list, const char *wanted)
{
  for (size_t at = 0; at < list->length;) {
    const char *comma = memchr(list->text + at, ',', list->length - at);
    size_t end = comma ? (size_t)(comma - list->text) : list->length;
    struct gg__span word = trim(list->text + at, end - at);
    if (gg__http_is(&word, wanted))
      return true;
    at = end + 1;
  }
  return false;
}

struct gg__span gg__http_last(const struct gg__span *list)
{
  const char *comma = list->length ? memrchr(list->text, ',', list->length) : NULL;
  size_t from = comma ? (size_t)(comma - list->text) + 1 : 0;
  return trim(list->text + from, list->length - from);
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__http_add(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__http_field of,
                  const struct gg__span *value)
{
  struct gg_field field = {
    .of = &gg__http_fields[of],
    .value = (const uint8_t *)value->text,
    .length = value->length,
    .raw_offset = value->offset,
    .raw_length = value->raw_length,
  };
  gg_decoded_field(decoding, draft, &field);
}

const struct gg_field *gg__http_find(const struct gg_message *message, enum gg__http_field of)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].of == &gg__http_fields[of])
      return &message->fields[i];
  return NULL;
}

void gg__http_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what)
{
  struct gg_message *message = gg_decoded_message(decoding, draft);
  message->flags |= GG_MESSAGE_ODD;
  size_t length = strlen(what);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (field->of == &gg__http_fields[GG__HTTP_ODD] && field->length == length &&
        memcmp(field->value, what, length) == 0)
      return;
  }
  struct gg_field field = {.of = &gg__http_fields[GG__HTTP_ODD], .value = (const uint8_t *)what, .length = length};
  gg_decoded_field(decoding, draft, &field);
}

/* "Basic dXNlcjpwYXNz": who, and by which password. */
static void add_credentials(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *value)
{
  enum { SCHEME = 6, LONGEST = 1024 };
  uint8_t plain[LONGEST / 4 * 3 + 3];
  size_t length;
  if (value->length <= SCHEME || strncasecmp(value->text, "basic ", SCHEME) != 0 || value->length - SCHEME > LONGEST)
    return;
  struct gg__span coded = trim(value->text + SCHEME, value->length - SCHEME);
  if (!gg_base64_read(plain, &length, coded.text, coded.length))
    return;
  const uint8_t *colon = memchr(plain, ':', length);
  if (!colon)
    return;
  uint64_t offset = value->raw_length ? value->offset + (uint64_t)(coded.text - value->text) : 0;
  struct gg_field field = {
    .of = &gg__http_fields[GG__HTTP_USER],
    .value = plain,
    .length = (size_t)(colon - plain),
  };
  gg_decoded_field(decoding, draft, &field);
  field.of = &gg__http_fields[GG__HTTP_PASSWORD];
  field.value = colon + 1;
  field.length = length - field.length - 1;
  field.secret = true;
  field.raw_offset = offset;
  field.raw_length = value->raw_length ? coded.length : 0;
  gg_decoded_field(decoding, draft, &field);
}

/* The headers that most messages are made of, none of which has a secret: the words of their names need not be looked
 * at. */
static bool is_common(const struct gg__span *name)
{
  static const char *const names[][6] = {
    [3] = {"age", "via"},
    [4] = {"date", "etag", "from", "host", "vary"},
    [5] = {"allow"},
    [6] = {"accept", "expect", "origin", "pragma", "server"},
    [7] = {"alt-svc", "expires", "referer", "trailer", "upgrade"},
    [8] = {"if-match", "if-range", "location"},
    [10] = {"connection", "keep-alive", "user-agent"},
    [12] = {"content-type"},
    [13] = {"accept-ranges", "cache-control", "content-range", "if-none-match", "last-modified"},
    [14] = {"content-length", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user"},
    [15] = {"accept-encoding", "accept-language", "x-forwarded-for"},
    [16] = {"content-encoding", "content-language"},
    [17] = {"if-modified-since", "transfer-encoding"},
    [25] = {"strict-transport-security", "upgrade-insecure-requests"},
  };
  if (name->length >= sizeof names / sizeof *names)
    return false;
  const char *const *same = names[name->length];
  for (size_t i = 0; i < sizeof *names / sizeof **names && same[i]; i++)
    if (same[i][0] == (name->text[0] | 0x20) && strncasecmp(same[i], name->text, name->length) == 0)
      return true;
  return false;
}

void gg__http_header(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *name,
                     const struct gg__span *value, bool trailer)
{
  struct gg_field field = {
    .of = &gg__http_fields[trailer ? GG__HTTP_TRAILER : GG__HTTP_HEADER],
    .key = name->text,
    .key_length = name->length,
    .value = (const uint8_t *)value->text,
    .length = value->length,
    .secret = !is_common(name) && gg__secret_name(name->text, name->length),
    .raw_offset = value->offset,
    .raw_length = value->raw_length,
  };
  gg_decoded_field(decoding, draft, &field);
  if (trailer)
    return;
  if (gg__http_is(name, "host")) {
    gg__http_add(decoding, draft, GG__HTTP_HOST, value);
  } else if (gg__http_is(name, "user-agent")) {
    gg__http_add(decoding, draft, GG__HTTP_AGENT, value);
  } else if (gg__http_is(name, "content-type")) {
    const char *semicolon = memchr(value->text, ';', value->length);
    struct gg__span type = trim(value->text, semicolon ? (size_t)(semicolon - value->text) : value->length);
    type.offset = value->offset;
    type.raw_length = value->raw_length ? type.length : 0;
    gg__http_add(decoding, draft, GG__HTTP_TYPE, &type);
  } else if (gg__http_is(name, "authorization") || gg__http_is(name, "proxy-authorization")) {
    add_credentials(decoding, draft, value);
  }
}

static struct gg__span part(const struct gg__span *of, size_t from, size_t to)
{
  return (struct gg__span){.text = of->text + from,
                           .length = to - from,
                           .offset = of->offset + from,
                           .raw_length = of->raw_length ? to - from : 0};
}

/* ── Credentials in a target ─────────────────────────────────────────────────────────────────────────────────────── */

struct query {
  struct gg_decoding *decoding;
  struct gg_draft *draft;
  struct gg__span text;
  char *shown; /* the same, to be masked; NULL: they are to be told, not masked */
  size_t secrets;
};

static void take_parameter(void *context, const struct gg__form_pair *pair)
{
  struct query *query = context;
  if (!pair->secret || pair->raw_length == 0)
    return;
  query->secrets++;
  if (query->shown) {
    memset(query->shown + pair->raw_offset, '*', pair->raw_length);
    return;
  }
  struct gg_field field = {
    .of = &gg__http_fields[GG__HTTP_QUERY],
    .key = pair->key,
    .key_length = pair->key_length,
    .value = (const uint8_t *)query->text.text + pair->raw_offset,
    .length = pair->raw_length,
    .secret = true,
    .raw_offset = query->text.raw_length ? query->text.offset + pair->raw_offset : 0,
    .raw_length = query->text.raw_length ? pair->raw_length : 0,
  };
  gg_decoded_field(query->decoding, query->draft, &field);
}

static void read_query(struct query *query)
{
  struct gg__form form;
  gg__form_init(&form, take_parameter, query);
  gg__form_push(&form, query->text.text, query->text.length);
  gg__form_finish(&form);
}

/* The target with stars for its credentials, which are fields of their own: whoever asks for secrets has them there,
 * and where they stand. */
static void add_target(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *target)
{
  char shown[GG_DECODING_WINDOW_MAX];
  struct gg__span told = *target;
  const char *mark = memchr(target->text, '?', target->length), *end = memchr(target->text, '#', target->length);
  size_t from = mark ? (size_t)(mark - target->text) + 1 : target->length;
  size_t to = end && end > mark ? (size_t)(end - target->text) : target->length;
  struct query query = {.decoding = decoding, .draft = draft, .shown = shown + from};
  if (from < to && to <= sizeof shown) {
    query.text = part(target, from, to);
    memcpy(shown, target->text, target->length < sizeof shown ? target->length : sizeof shown);
    read_query(&query);
  }
  if (query.secrets) {
    told.text = shown;
    told.length = target->length < sizeof shown ? target->length : sizeof shown;
  }
  gg__http_add(decoding, draft, GG__HTTP_TARGET, &told);
  query.shown = NULL;
  if (query.secrets)
    read_query(&query);
}

void gg__http_path(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *target)
{
  add_target(decoding, draft, target);
  size_t from = 0;
  const char *scheme = memmem(target->text, target->length, "://", 3);
  if (target->length && *target->text != '/' && scheme) { /* absolute form: of a proxy's client */
    size_t host = (size_t)(scheme - target->text) + 3;
    for (from = host; from < target->length && !memchr("/?#", target->text[from], 3);)
      from++;
    struct gg__span authority = part(target, host, from);
    gg__http_add(decoding, draft, GG__HTTP_HOST, &authority);
  }
  size_t end = from;
  while (end < target->length && target->text[end] != '?' && target->text[end] != '#')
    end++;
  struct gg__span path = part(target, from, end);
  gg__http_add(decoding, draft, GG__HTTP_PATH, &path);
}

void gg__http_target(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *method,
                     const struct gg__span *target)
{
  gg__http_add(decoding, draft, GG__HTTP_METHOD, method);
  if (gg__http_is(method, "connect")) {
    gg__http_add(decoding, draft, GG__HTTP_TARGET, target);
    gg__http_add(decoding, draft, GG__HTTP_HOST, target);
    return;
  }
  gg__http_path(decoding, draft, target);
}
