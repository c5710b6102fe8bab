/* SPDX-License-Identifier: Apache-2.0 */
/* TLS seen in passing: SSL 3.0 and TLS 1.0 to 1.2 (RFC 5246), TLS 1.3 (RFC 8446), and the hello in the form of SSL 2.0
 * that old clients begin with (RFC 5246, E.2). Nothing is decrypted.
 *
 *     a side:   ┌──► record's header ──┬─ handshake ──► message, message, ... (or a part of one: GATHERED) ──┐
 *               │                      ├─ alert, change cipher spec ────────────────────────────────────────┤
 *               │                      └─ encrypted ──► its bytes pass by, counted ─────────────────────────┤
 *               └────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * What is encrypted is seen from outside. Application data always is; up to TLS 1.2, so is everything of a side behind
 * its change cipher spec. In TLS 1.3 that message means nothing, and what is no application data is plain: the second
 * hello after a retry request, an alert of a side that has no keys yet. A client may send its change cipher spec before
 * the version is known (early data): then a handshake record behind it is plain if it can be a client's hello.
 *
 * The first encrypted byte of a side is told as opaque. Of what follows, records are told together as one message: as
 * long as only that side speaks, and the records are of one type. So a conversation is seen as turns with their sizes
 * and times. TLS 1.2 shows the types: who sees an encrypted alert last has seen an orderly close.
 *
 * A message's first byte is that of its record's header, if it is the first in there; the next one in the same record
 * begins where the one before has ended. A handshake message that goes over several records is gathered, up to
 * HANDSHAKE_MAX bytes; of a longer one only the kind and the length are told.
 *
 * A record that cannot be one ends the side, and so does a gap that is not within one encrypted record: headers cannot
 * be found again among encrypted bytes. The other side goes on. */
#include "proto/tls.h"
#include "proto/decoders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
  HEADER_BYTES = 5,
  RECORD_MAX = (1 << 14) + 2048, /* RFC 5246, 6.2.3; TLS 1.3 has less */
  HANDSHAKE_HEADER = 4,
  HANDSHAKE_MAX = 1 << 16, /* bytes of a message that is gathered, without its header */
  OLD_HEADER = 3,          /* length and type of a hello of SSL 2.0 */
};

enum content { CHANGE_CIPHER_SPEC = 20, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT };

enum handshake {
  HELLO_REQUEST = 0,
  CLIENT_HELLO = 1,
  SERVER_HELLO = 2,
  NEW_SESSION_TICKET = 4,
  CERTIFICATE = 11,
  SERVER_KEY_EXCHANGE = 12,
  CERTIFICATE_REQUEST = 13,
  SERVER_HELLO_DONE = 14,
  CERTIFICATE_VERIFY = 15,
  CLIENT_KEY_EXCHANGE = 16,
  CERTIFICATE_STATUS = 22,
};

enum kind {
  KIND_CLIENT_HELLO,
  KIND_SERVER_HELLO,
  KIND_CERTIFICATE,
  KIND_KEY_EXCHANGE,
  KIND_CERTIFICATE_REQUEST,
  KIND_HELLO_DONE,
  KIND_CERTIFICATE_VERIFY,
  KIND_CERTIFICATE_STATUS,
  KIND_SESSION_TICKET,
  KIND_HANDSHAKE,
  KIND_CHANGE_CIPHER_SPEC,
  KIND_ALERT,
  KIND_HEARTBEAT,
  KIND_ENCRYPTED,
};
static const char *const kinds[] = {
  [KIND_CLIENT_HELLO] = "client-hello",
  [KIND_SERVER_HELLO] = "server-hello",
  [KIND_CERTIFICATE] = "certificate",
  [KIND_KEY_EXCHANGE] = "key-exchange",
  [KIND_CERTIFICATE_REQUEST] = "certificate-request",
  [KIND_HELLO_DONE] = "hello-done",
  [KIND_CERTIFICATE_VERIFY] = "certificate-verify",
  [KIND_CERTIFICATE_STATUS] = "certificate-status",
  [KIND_SESSION_TICKET] = "session-ticket",
  [KIND_HANDSHAKE] = "handshake",
  [KIND_CHANGE_CIPHER_SPEC] = "change-cipher-spec",
  [KIND_ALERT] = "alert",
  [KIND_HEARTBEAT] = "heartbeat",
  [KIND_ENCRYPTED] = "encrypted",
  NULL,
};

const struct gg_decoder_field gg__tls_fields[] = {
  [GG__TLS_SNI] = {"tls.sni", GG_FIELD_TEXT, true, "name of the server that the client asks for",
                   "tls.sni=*.example.com"},
  [GG__TLS_ALPN] = {"tls.alpn", GG_FIELD_TEXT, true,
                    "application protocol: offered in the client's hello, chosen in the server's", "tls.alpn=h2"},
  [GG__TLS_VERSION] = {"tls.version", GG_FIELD_TEXT, true, "version that the server has chosen", "tls.version=1.3"},
  [GG__TLS_CIPHER] = {"tls.cipher", GG_FIELD_TEXT, true, "cipher suite that the server has chosen",
                      "tls.cipher=TLS_AES_*"},
  [GG__TLS_JA3] = {"tls.ja3", GG_FIELD_TEXT, true, "JA3 fingerprint of the client's hello", "tls.ja3=ada70206*"},
  [GG__TLS_JA4] = {"tls.ja4", GG_FIELD_TEXT, true, "JA4 fingerprint of the client's hello", "tls.ja4=t13d1516h2_*"},
  [GG__TLS_SUBJECT] = {"tls.subject", GG_FIELD_TEXT, true, "subject of a certificate (up to TLS 1.2)",
                       "tls.subject~www"},
  [GG__TLS_ISSUER] = {"tls.issuer", GG_FIELD_TEXT, true, "issuer of a certificate (up to TLS 1.2)",
                      "tls.issuer~Example"},
  [GG__TLS_RESUMED] = {"tls.resumed", GG_FIELD_TEXT, true,
                       "an earlier session was resumed, by session-id, ticket, or psk (TLS 1.3)", "tls.resumed=ticket"},
  [GG__TLS_RETRY] = {"tls.retry", GG_FIELD_TEXT, false,
                     "what the server wants to see in a second hello: a group, or a cookie", NULL},
  [GG__TLS_ALERT] = {"tls.alert", GG_FIELD_TEXT, true, "description of an alert that was not encrypted",
                     "tls.alert=handshake_failure"},
  [GG__TLS_LEVEL] = {"tls.level", GG_FIELD_TEXT, false, "of an alert: warning or fatal", NULL},
  [GG__TLS_OFFERED_VERSION] = {"tls.offered_version", GG_FIELD_TEXT, false, "version that the client offers", NULL},
  [GG__TLS_OFFERED_CIPHER] = {"tls.offered_cipher", GG_FIELD_TEXT, false, "cipher suite that the client offers", NULL},
  [GG__TLS_EXTENSION] = {"tls.extension", GG_FIELD_TEXT, false, "extension of a hello", NULL},
  [GG__TLS_GROUP] = {"tls.group", GG_FIELD_TEXT, false, "group for the key exchange: offered, or chosen", NULL},
  [GG__TLS_SESSION_ID] = {"tls.session_id", GG_FIELD_TEXT, false, "session ID of a hello, in hex", NULL},
  [GG__TLS_JA3_TEXT] = {"tls.ja3_text", GG_FIELD_TEXT, false, "what the JA3 fingerprint is the MD5 of", NULL},
  [GG__TLS_JA3S] = {"tls.ja3s", GG_FIELD_TEXT, false, "JA3S fingerprint of the server's hello", NULL},
  [GG__TLS_NAME] = {"tls.name", GG_FIELD_TEXT, false, "alternative name of a certificate", NULL},
  [GG__TLS_SERIAL] = {"tls.serial", GG_FIELD_TEXT, false, "serial number of a certificate, in hex", NULL},
  [GG__TLS_NOT_BEFORE] = {"tls.not_before", GG_FIELD_TEXT, false, "when a certificate's validity begins", NULL},
  [GG__TLS_NOT_AFTER] = {"tls.not_after", GG_FIELD_TEXT, false, "when a certificate's validity ends", NULL},
  [GG__TLS_LIFETIME] = {"tls.lifetime", GG_FIELD_NUMBER, false, "seconds that a session ticket is good for", NULL},
  [GG__TLS_CONTENT] = {"tls.content", GG_FIELD_TEXT, false, "what is encrypted, by the type of its records", NULL},
  [GG__TLS_RECORDS] = {"tls.records", GG_FIELD_NUMBER, false, "how many encrypted records", NULL},
  [GG__TLS_BYTES] = {"tls.bytes", GG_FIELD_NUMBER, false, "bytes in them, as encrypted", NULL},
  [GG__TLS_ODD] = {"tls.odd", GG_FIELD_TEXT, false, "what is not as the specification has it", NULL},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

struct half {
  bool begun;     /* a record has been seen */
  bool encrypted; /* all records are, from here on: behind a change cipher spec, up to TLS 1.2 */
  bool perhaps;   /* the same, but the version is not known */

  /* A handshake message that is not there as a whole. */
  struct gg_draft *message; /* NULL: none */
  uint8_t header[HANDSHAKE_HEADER];
  size_t have, wanted;   /* bytes, with the header; `wanted` 0: that is not there as a whole either */
  uint8_t *gathered;     /* NULL: it is too long */
  uint64_t gathered_end; /* behind its last byte so far */

  /* Encrypted records that are told together. */
  struct gg_draft *run; /* NULL: none */
  unsigned content;
  uint64_t records, bytes, run_end;
  size_t left;     /* bytes of the record that is passing by */
  bool run_closes; /* with this record */
};

struct state {
  struct half halves[2];
  uint16_t version; /* 0: not chosen yet */
  uint16_t cipher;
  uint64_t hello; /* number of the client's, while it is not answered */
  uint8_t session_id[GG__TLS_SESSION_ID_MAX];
  size_t session_id_length; /* that the client wants to resume */
  bool ticket;              /* the client has sent one */
  bool resumed;             /* that is told */
  bool full;                /* the server has sent what it only sends in a full handshake */
};

static enum gg_side other(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__tls_text(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of,
                  const struct gg__tls_message *message, const uint8_t *bytes, size_t length)
{
  struct gg_field field = {.of = &gg__tls_fields[of], .value = bytes, .length = length};
  if (message->in_one && length) {
    field.raw_offset = message->offset + (uint64_t)(bytes - message->data);
    field.raw_length = length;
  }
  gg_decoded_field(decoding, draft, &field);
}

void gg__tls_word(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__tls_field of, const char *word)
{
  struct gg_field field = {.of = &gg__tls_fields[of], .value = (const uint8_t *)word, .length = strlen(word)};
  gg_decoded_field(decoding, draft, &field);
}

void gg__tls_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what)
{
  struct gg_message *message = gg_decoded_message(decoding, draft);
  message->flags |= GG_MESSAGE_ODD;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (field->of == &gg__tls_fields[GG__TLS_ODD] && field->length == strlen(what) &&
        memcmp(field->value, what, field->length) == 0)
      return;
  }
  gg__tls_word(decoding, draft, GG__TLS_ODD, what);
}

/* ── What is encrypted ───────────────────────────────────────────────────────────────────────────────────────────── */

static const char *content_name(unsigned content)
{
  static const char *const names[] = {"change-cipher-spec", "alert", "handshake", "application-data", "heartbeat"};
  return names[content - CHANGE_CIPHER_SPEC];
}

static void end_run(struct gg_decoding *decoding, struct half *half)
{
  if (!half->run)
    return;
  if (half->content != APPLICATION_DATA)
    gg_decoded_message(decoding, half->run)->flags |= GG_MESSAGE_CONTROL;
  gg__tls_word(decoding, half->run, GG__TLS_CONTENT, content_name(half->content));
  gg_decoded_number(decoding, half->run, &gg__tls_fields[GG__TLS_RECORDS], half->records);
  gg_decoded_number(decoding, half->run, &gg__tls_fields[GG__TLS_BYTES], half->bytes);
  gg_decoded_summary(decoding, half->run, "encrypted %s: %" PRIu64 " bytes in %" PRIu64 " record%s",
                     content_name(half->content), half->bytes, half->records, half->records == 1 ? "" : "s");
  gg_decoded_end(decoding, half->run, half->run_end);
  half->run = NULL;
  half->run_closes = false;
}

/* A side says something: the turn of the other one is over, if it still has one. */
static void take_turn(struct state *state, struct gg_decoding *decoding, enum gg_side side)
{
  struct half *half = &state->halves[other(side)];
  if (!half->run || gg_decoded_stopped(decoding, other(side)))
    return;
  if (half->left)
    half->run_closes = true;
  else
    end_run(decoding, half);
}

static void pass_record(struct gg_decoding *decoding, struct half *half, size_t length)
{
  half->left -= length;
  half->run_end += length;
  if (half->left == 0 && half->run_closes)
    end_run(decoding, half);
}

static void begin_encrypted(struct state *state, struct gg_decoding *decoding, enum gg_side side, unsigned content,
                            size_t length, uint64_t offset)
{
  struct half *half = &state->halves[side];
  char version[GG__TLS_HEX_MAX], text[96];
  if (half->run && half->content != content)
    end_run(decoding, half);
  snprintf(text, sizeof text, "by TLS%s%s; only sizes and times follow", state->version ? " " : "",
           state->version ? gg__tls_version_name(state->version, version) : "");
  gg_decoded_encrypted(decoding, side, offset, text);
  if (!half->run) {
    half->run = gg_decoded_begin(decoding, side, KIND_ENCRYPTED, offset);
    half->content = content;
    half->records = half->bytes = 0;
    half->run_end = offset;
  }
  half->records++;
  half->bytes += length;
  half->run_end += HEADER_BYTES;
  half->left = length;
  pass_record(decoding, half, 0);
}

/* ── Handshake messages ──────────────────────────────────────────────────────────────────────────────────────────── */

static void take_client_hello(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft,
                              const struct gg__tls_message *message)
{
  struct gg__tls_hello hello;
  if (!gg__tls_client_hello(&hello, message)) {
    gg__tls_odd(decoding, draft, "bad-hello");
    return;
  }
  struct gg_message *told = gg_decoded_message(decoding, draft);
  told->flags |= GG_MESSAGE_REQUEST;
  state->hello = told->number;
  state->ticket = hello.ticket;
  state->session_id_length = hello.session_id.left <= sizeof state->session_id ? hello.session_id.left : 0;
  if (state->session_id_length)
    memcpy(state->session_id, hello.session_id.at, state->session_id_length);
  gg__tls_tell_client(decoding, draft, &hello, message);
}

/* How this hello resumes an earlier session; NULL: it does not, as far as it tells. */
static const char *resumption(const struct state *state, const struct gg__tls_hello *hello)
{
  if (hello->retry)
    return NULL;
  if (hello->chosen_version >= GG__TLS_13)
    return hello->psk ? "psk" : NULL;
  bool same = hello->session_id.left > 0 && hello->session_id.left == state->session_id_length &&
              memcmp(hello->session_id.at, state->session_id, state->session_id_length) == 0;
  return !same ? NULL : state->ticket ? "ticket" : "session-id";
}

static void take_server_hello(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft,
                              const struct gg__tls_message *message)
{
  struct gg__tls_hello hello;
  if (!gg__tls_server_hello(&hello, message)) {
    gg__tls_odd(decoding, draft, "bad-hello");
    return;
  }
  state->version = hello.chosen_version;
  state->cipher = hello.cipher;
  const char *how = resumption(state, &hello);
  state->resumed = how;
  gg__tls_tell_server(decoding, draft, &hello, message, how);
  if (hello.chosen_version >= GG__TLS_13 && state->hello) {
    gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_COMPLETES; /* all of it that can be seen */
    state->hello = 0;
  }
}

/* The group that the server's key is of (RFC 8422, 5.4), if it is one that has a number. */
static void take_key_exchange(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft,
                              enum gg_side side, const struct gg__tls_message *message)
{
  enum { NAMED_CURVE = 3 };
  char hex[GG__TLS_HEX_MAX];
  if (side == GG_SIDE_SERVER && strstr(gg__tls_cipher_name(state->cipher, hex), "_ECDHE_") && message->length >= 3 &&
      message->data[0] == NAMED_CURVE)
    gg__tls_word(decoding, draft, GG__TLS_GROUP,
                 gg__tls_group_name((uint16_t)(message->data[1] << 8 | message->data[2]), hex));
  gg_decoded_summary(decoding, draft, "%s key exchange", side == GG_SIDE_SERVER ? "server" : "client");
}

static void take_ticket(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__tls_message *message)
{
  struct gg__reader reader = gg__reader_of(message->data, message->length);
  uint32_t lifetime = gg__read_number(&reader, 4);
  size_t bytes = gg__read_vector(&reader, 2).left;
  if (reader.failed)
    gg__tls_odd(decoding, draft, "bad-ticket");
  gg_decoded_number(decoding, draft, &gg__tls_fields[GG__TLS_LIFETIME], lifetime);
  gg_decoded_summary(decoding, draft, "session ticket of %zu bytes for %u s", bytes, lifetime);
}

static const struct {
  uint8_t type;
  uint8_t kind;
  const char *summary;
} types[] = {
  {HELLO_REQUEST, KIND_HANDSHAKE, "hello request"},
  {CLIENT_HELLO, KIND_CLIENT_HELLO, "client hello"},
  {SERVER_HELLO, KIND_SERVER_HELLO, "server hello"},
  {NEW_SESSION_TICKET, KIND_SESSION_TICKET, "session ticket"},
  {CERTIFICATE, KIND_CERTIFICATE, "certificate"},
  {SERVER_KEY_EXCHANGE, KIND_KEY_EXCHANGE, "server key exchange"},
  {CERTIFICATE_REQUEST, KIND_CERTIFICATE_REQUEST, "the client is asked for a certificate"},
  {SERVER_HELLO_DONE, KIND_HELLO_DONE, "server hello done"},
  {CERTIFICATE_VERIFY, KIND_CERTIFICATE_VERIFY, "proof that the client has its certificate's key"},
  {CLIENT_KEY_EXCHANGE, KIND_KEY_EXCHANGE, "client key exchange"},
  {CERTIFICATE_STATUS, KIND_CERTIFICATE_STATUS, "status of the certificate"},
};

static void begin_message(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint8_t type,
                          uint64_t offset)
{
  struct half *half = &state->halves[side];
  unsigned kind = KIND_HANDSHAKE;
  const char *summary = NULL;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].type == type) {
      kind = types[i].kind;
      summary = types[i].summary;
    }
  half->message = gg_decoded_begin(decoding, side, kind, offset);
  half->have = half->wanted = 0;
  struct gg_message *message = gg_decoded_message(decoding, half->message);
  message->flags |= GG_MESSAGE_CONTROL;
  if (side == GG_SIDE_SERVER)
    message->answers = state->hello;
  if (summary)
    gg_decoded_summary(decoding, half->message, "%s", summary);
  else
    gg_decoded_summary(decoding, half->message, "handshake message of type %u", type);
}

/* A message that is there as a whole: `message` is behind its header. */
static void take_message(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint8_t type,
                         const struct gg__tls_message *message, uint64_t end)
{
  struct half *half = &state->halves[side];
  struct gg_draft *draft = half->message;
  bool of_server = type == SERVER_HELLO || type == SERVER_KEY_EXCHANGE || type == SERVER_HELLO_DONE ||
                   type == CERTIFICATE_REQUEST || type == NEW_SESSION_TICKET;
  bool of_client = type == CLIENT_HELLO || type == CLIENT_KEY_EXCHANGE;
  if (side == GG_SIDE_SERVER ? of_client : of_server)
    gg__tls_odd(decoding, draft, "of-the-other-side");
  else if (type == CLIENT_HELLO)
    take_client_hello(state, decoding, draft, message);
  else if (type == SERVER_HELLO)
    take_server_hello(state, decoding, draft, message);
  else if (type == CERTIFICATE)
    gg__tls_certificates(decoding, draft, message);
  else if (type == SERVER_KEY_EXCHANGE || type == CLIENT_KEY_EXCHANGE)
    take_key_exchange(state, decoding, draft, side, message);
  else if (type == NEW_SESSION_TICKET)
    take_ticket(decoding, draft, message);
  if (side == GG_SIDE_SERVER && (type == CERTIFICATE || type == SERVER_KEY_EXCHANGE || type == SERVER_HELLO_DONE))
    state->full = true;
  if (side == GG_SIDE_SERVER && type == SERVER_HELLO_DONE && state->hello) {
    gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_COMPLETES;
    state->hello = 0;
  }
  gg_decoded_end(decoding, draft, end);
  half->message = NULL;
}

/* More of a message that has begun; how much was taken. */
static size_t gather(struct state *state, struct gg_decoding *decoding, enum gg_side side, const uint8_t *data,
                     size_t length, uint64_t offset)
{
  struct half *half = &state->halves[side];
  size_t done = 0;
  while (half->have < HANDSHAKE_HEADER && done < length)
    half->header[half->have++] = data[done++];
  half->gathered_end = offset + done;
  if (half->have < HANDSHAKE_HEADER)
    return done;
  if (half->wanted == 0) {
    size_t body = (size_t)half->header[1] << 16 | (size_t)half->header[2] << 8 | half->header[3];
    half->wanted = HANDSHAKE_HEADER + body;
    half->gathered = body <= HANDSHAKE_MAX ? gg_decoded_alloc(decoding, NULL, body + 1) : NULL;
    if (gg_decoded_stopped(decoding, side))
      return done;
  }
  size_t step = half->wanted - half->have < length - done ? half->wanted - half->have : length - done;
  if (half->gathered && step)
    memcpy(half->gathered + half->have - HANDSHAKE_HEADER, data + done, step);
  half->have += step;
  half->gathered_end = offset + done + step;
  if (half->have < half->wanted)
    return done + step;
  if (half->gathered) {
    struct gg__tls_message message = {.data = half->gathered, .length = half->wanted - HANDSHAKE_HEADER};
    take_message(state, decoding, side, half->header[0], &message, half->gathered_end);
  } else {
    gg_decoded_message(decoding, half->message)->flags |= GG_MESSAGE_FIELDS_CUT;
    gg__tls_odd(decoding, half->message, "long-message");
    gg_decoded_end(decoding, half->message, half->gathered_end);
    half->message = NULL;
  }
  half->gathered = gg_decoded_alloc(decoding, half->gathered, 0);
  return done + step;
}

/* The messages of a handshake record. `record`: where its header is. */
static void take_handshake(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t record,
                           const uint8_t *data, size_t length)
{
  struct half *half = &state->halves[side];
  uint64_t offset = record + HEADER_BYTES;
  for (size_t at = 0; at < length && !gg_decoded_stopped(decoding, side);) {
    size_t left = length - at;
    if (!half->message) {
      begin_message(state, decoding, side, data[at], at ? offset + at : record);
      struct gg__reader reader = gg__reader_of(data + at + 1, left - 1), body = gg__read_vector(&reader, 3);
      if (!reader.failed && body.left <= HANDSHAKE_MAX) {
        size_t whole = HANDSHAKE_HEADER + body.left;
        struct gg__tls_message message = {
          .data = body.at, .length = body.left, .offset = offset + at + HANDSHAKE_HEADER, .in_one = true};
        take_message(state, decoding, side, data[at], &message, offset + at + whole);
        at += whole;
        continue;
      }
    }
    at += gather(state, decoding, side, data + at, left, offset + at);
  }
}

/* A message that something else has come in between of, or that nothing follows of. */
static void cut_message(struct gg_decoding *decoding, struct half *half)
{
  if (!half->message)
    return;
  gg_decoded_message(decoding, half->message)->flags |= GG_MESSAGE_CUT;
  gg_decoded_end(decoding, half->message, half->gathered_end);
  half->message = NULL;
  half->gathered = gg_decoded_alloc(decoding, half->gathered, 0);
}

/* ── Other records ───────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_draft *begin_control(struct gg_decoding *decoding, enum gg_side side, unsigned kind, uint64_t offset)
{
  struct gg_draft *draft = gg_decoded_begin(decoding, side, kind, offset);
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_CONTROL;
  return draft;
}

static void take_change_cipher_spec(struct state *state, struct gg_decoding *decoding, enum gg_side side,
                                    uint64_t offset, const uint8_t *data, size_t length)
{
  struct half *half = &state->halves[side];
  struct gg_draft *draft = begin_control(decoding, side, KIND_CHANGE_CIPHER_SPEC, offset);
  bool old = state->version && state->version < GG__TLS_13;
  if (length != 1 || data[0] != 1)
    gg__tls_odd(decoding, draft, "bad-change-cipher-spec");
  if (old && side == GG_SIDE_SERVER && !state->full) {
    /* RFC 5077, 3.4: with a ticket, that nothing else has come is all that tells */
    if (!state->resumed)
      gg__tls_word(decoding, draft, GG__TLS_RESUMED, state->ticket ? "ticket" : "session-id");
    struct gg_message *message = gg_decoded_message(decoding, draft);
    message->answers = state->hello;
    message->flags |= state->hello ? GG_MESSAGE_COMPLETES : 0;
    state->hello = 0;
    state->resumed = true;
  }
  gg_decoded_summary(decoding, draft, "change cipher spec%s", old ? ": what follows is encrypted" : "");
  gg_decoded_end(decoding, draft, offset + HEADER_BYTES + length);
  half->encrypted = old;
  half->perhaps = !state->version;
}

static void take_alert(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                       const uint8_t *data, size_t length)
{
  struct gg_draft *draft = begin_control(decoding, side, KIND_ALERT, offset);
  char hex[GG__TLS_HEX_MAX];
  if (length == 2) {
    const char *level = data[0] == 1 ? "warning" : data[0] == 2 ? "fatal" : "";
    const char *name = gg__tls_alert_name(data[1], hex);
    if (!level[0])
      gg__tls_odd(decoding, draft, "bad-level");
    gg__tls_word(decoding, draft, GG__TLS_ALERT, name);
    gg__tls_word(decoding, draft, GG__TLS_LEVEL, level);
    gg_decoded_summary(decoding, draft, "%s%salert: %s", level, level[0] ? " " : "", name);
  } else {
    gg__tls_odd(decoding, draft, "bad-alert");
    gg_decoded_summary(decoding, draft, "alert of %zu bytes", length);
  }
  if (side == GG_SIDE_SERVER && state->hello) {
    struct gg_message *message = gg_decoded_message(decoding, draft);
    message->answers = state->hello;
    message->flags |= GG_MESSAGE_COMPLETES;
    state->hello = 0;
  }
  gg_decoded_end(decoding, draft, offset + HEADER_BYTES + length);
}

static void take_plain(struct state *state, struct gg_decoding *decoding, enum gg_side side, unsigned content,
                       uint64_t offset, const uint8_t *data, size_t length)
{
  struct half *half = &state->halves[side];
  end_run(decoding, half);
  if (content == HANDSHAKE) {
    take_handshake(state, decoding, side, offset, data, length);
    return;
  }
  if (content == CHANGE_CIPHER_SPEC) {
    cut_message(decoding, half);
    take_change_cipher_spec(state, decoding, side, offset, data, length);
  } else if (content == ALERT) {
    take_alert(state, decoding, side, offset, data, length);
  } else {
    struct gg_draft *draft = begin_control(decoding, side, KIND_HEARTBEAT, offset);
    gg_decoded_summary(decoding, draft, "heartbeat of %zu bytes", length);
    gg_decoded_end(decoding, draft, offset + HEADER_BYTES + length);
  }
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void fail(struct gg_decoding *decoding, struct half *half, enum gg_side side, uint64_t offset, const char *text)
{
  if (half->run) /* that it is opaque was told already: this is where one sees that it is not only encrypted */
    gg__tls_odd(decoding, half->run, "lost-records");
  end_run(decoding, half);
  cut_message(decoding, half);
  gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, side, offset, true, text);
}

/* A client's first message in the form of SSL 2.0: whether it is one, from its first three bytes. */
static bool is_old(const uint8_t *data)
{
  return data[0] & 0x80 && data[2] == CLIENT_HELLO;
}

static size_t take_old_hello(struct state *state, struct gg_decoding *decoding, const uint8_t *data, size_t length,
                             uint64_t offset)
{
  size_t whole = 2 + ((size_t)(data[0] & 0x7f) << 8 | data[1]);
  if (whole < OLD_HEADER) {
    fail(decoding, &state->halves[GG_SIDE_CLIENT], GG_SIDE_CLIENT, offset, "a hello of SSL 2.0 that is too short");
    return 0;
  }
  if (length < whole)
    return 0;
  struct gg__tls_hello hello;
  struct gg__reader specs;
  struct gg__tls_message message = {.data = data + OLD_HEADER, .length = whole - OLD_HEADER};
  if (!gg__tls_old_hello(&hello, &specs, &message)) {
    fail(decoding, &state->halves[GG_SIDE_CLIENT], GG_SIDE_CLIENT, offset, "a broken hello of SSL 2.0");
    return 0;
  }
  struct gg_draft *draft = begin_control(decoding, GG_SIDE_CLIENT, KIND_CLIENT_HELLO, offset);
  struct gg_message *told = gg_decoded_message(decoding, draft);
  told->flags |= GG_MESSAGE_REQUEST;
  state->hello = told->number;
  gg__tls_tell_old(decoding, draft, &hello, specs);
  gg_decoded_end(decoding, draft, offset + whole);
  if (hello.version < GG__TLS_SSL3)
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, GG_SIDE_CLIENT, offset + whole, false, "SSL 2.0 is not decoded");
  return whole;
}

/* Whether a record is encrypted; `length` bytes of it are there, as many as that takes. */
static bool is_encrypted(const struct state *state, struct half *half, const uint8_t *record, size_t record_length)
{
  unsigned content = record[0];
  if (half->perhaps && state->version) {
    half->encrypted = state->version < GG__TLS_13;
    half->perhaps = false;
  }
  if (half->perhaps && content == HANDSHAKE) {
    struct gg__reader reader = gg__reader_of(record + HEADER_BYTES, record_length);
    bool hello = gg__read_number(&reader, 1) == CLIENT_HELLO && gg__read_vector(&reader, 3).left && !reader.failed &&
                 reader.left == 0;
    return !hello;
  }
  return half->encrypted || content == APPLICATION_DATA;
}

/* One record, or the header of an encrypted one. 0: more bytes are needed. */
static size_t take_record(struct state *state, struct gg_decoding *decoding, enum gg_side side, const uint8_t *data,
                          size_t available, uint64_t offset)
{
  struct half *half = &state->halves[side];
  if (side == GG_SIDE_CLIENT && !half->begun && data[0] & 0x80) {
    if (available < OLD_HEADER)
      return 0;
    if (is_old(data)) {
      size_t taken = take_old_hello(state, decoding, data, available, offset);
      half->begun = taken > 0;
      return taken;
    }
  }
  if (available < HEADER_BYTES)
    return 0;
  size_t length = (size_t)data[3] << 8 | data[4];
  if (data[0] < CHANGE_CIPHER_SPEC || data[0] > HEARTBEAT || data[1] != 3 || length > RECORD_MAX) {
    fail(decoding, half, side, offset, "what should be a record is none");
    return 0;
  }
  bool passes = half->encrypted || data[0] == APPLICATION_DATA;
  if (!passes && available - HEADER_BYTES < length)
    return 0;
  half->begun = true;
  take_turn(state, decoding, side);
  if (passes || is_encrypted(state, half, data, length)) {
    cut_message(decoding, half);
    begin_encrypted(state, decoding, side, data[0], length, offset);
    return HEADER_BYTES;
  }
  take_plain(state, decoding, side, data[0], offset, data + HEADER_BYTES, length);
  return HEADER_BYTES + length;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  struct half *half = &state->halves[window->side];
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, window->side)) {
    size_t available = window->length - done, taken;
    if (half->left) {
      taken = half->left < available ? half->left : available;
      pass_record(decoding, half, taken);
    } else {
      taken = take_record(state, decoding, window->side, window->data + done, available, window->offset + done);
    }
    done += taken;
    if (taken == 0)
      break;
  }
  if (window->last && done < window->length && !gg_decoded_stopped(decoding, window->side)) {
    end_run(decoding, half); /* so that it says what it has, before the rest is told as cut */
    cut_message(decoding, half);
  }
  return done;
}

/* A gap within an encrypted record is only a hole in it. */
static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct half *half = &((struct state *)self)->halves[side];
  if (half->run)
    gg_decoded_message(decoding, half->run)->flags |= GG_MESSAGE_GAP;
  if (length <= half->left) {
    pass_record(decoding, half, (size_t)length);
    return true;
  }
  end_run(decoding, half);
  cut_message(decoding, half);
  gg_decoded_opaque(decoding, GG_OPAQUE_GAP, side, offset, true, "bytes are missing, and records with them");
  return true;
}

static void end(void *self, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset)
{
  (void)orderly;
  (void)end_offset;
  struct half *half = &((struct state *)self)->halves[side];
  if (half->run && half->left)
    gg_decoded_message(decoding, half->run)->flags |= GG_MESSAGE_CUT;
  end_run(decoding, half);
  cut_message(decoding, half);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* A record with an alert of TLS that has a name: RFC 8446, 6. */
static enum gg_likeness like_alert(const uint8_t *data, size_t length)
{
  static const uint8_t least[] = {ALERT, 3, 0, 0, 2, 1, 0}, most[] = {ALERT, 3, 4, 0, 2, 2, UINT8_MAX};
  for (size_t i = 0; i < length && i < sizeof most; i++)
    if (data[i] < least[i] || data[i] > most[i])
      return GG_LIKENESS_NONE;
  char hex[GG__TLS_HEX_MAX];
  if (length < sizeof most)
    return GG_LIKENESS_OPEN;
  return gg__tls_alert_name(data[sizeof most - 1], hex) == hex ? GG_LIKENESS_NONE : GG_LIKENESS_CERTAIN;
}

/* A record with a hello of that type in front: RFC 8446, 4.1.2 and 5.1. One that is cut so early that its version is in
 * the next record has that record's header behind it. */
static enum gg_likeness like_hello(const uint8_t *data, size_t length, uint8_t type)
{
  enum { ANY = 0x100, VERSION_AT = HANDSHAKE_HEADER, RANDOM_AT = VERSION_AT + 2 };
  const uint16_t hello[RANDOM_AT] = {type, ANY, ANY, ANY, 3, ANY};
  static const uint8_t record[2] = {HANDSHAKE, 3};
  if (data[0] == ALERT) /* all that a side says that finds nothing to offer */
    return like_alert(data, length);
  for (size_t i = 0; i < length && i < sizeof record; i++)
    if (data[i] != record[i])
      return GG_LIKENESS_NONE;
  if ((length > 2 && data[2] > 4) || (length > 3 && data[3] > RECORD_MAX >> 8))
    return GG_LIKENESS_NONE;
  if (length < HEADER_BYTES)
    return GG_LIKENESS_OPEN;
  size_t fragment = (size_t)data[3] << 8 | data[4], left = length - HEADER_BYTES;
  const uint8_t *at = data + HEADER_BYTES;
  for (size_t i = 0; i < fragment && i < left && i < RANDOM_AT; i++)
    if (hello[i] != ANY && at[i] != hello[i])
      return GG_LIKENESS_NONE;
  for (size_t i = 0; fragment < RANDOM_AT && i < sizeof record && fragment + i < left; i++)
    if (at[fragment + i] != record[i])
      return GG_LIKENESS_NONE;
  size_t wanted = fragment < RANDOM_AT ? fragment + sizeof record : RANDOM_AT;
  return fragment == 0 ? GG_LIKENESS_NONE : left < wanted ? GG_LIKENESS_OPEN : GG_LIKENESS_CERTAIN;
}

static enum gg_likeness like_old_hello(const uint8_t *data, size_t length)
{
  enum { FIXED_BYTES = 11 };
  if (!(data[0] & 0x80) || (length > 2 && data[2] != CLIENT_HELLO))
    return GG_LIKENESS_NONE;
  if (length < FIXED_BYTES)
    return GG_LIKENESS_OPEN;
  struct gg__reader reader = gg__reader_of(data, length);
  size_t whole = gg__read_u16(&reader) & 0x7fff;
  gg__read_number(&reader, 1);
  uint16_t version = gg__read_u16(&reader), ciphers = gg__read_u16(&reader);
  uint16_t session_id = gg__read_u16(&reader), challenge = gg__read_u16(&reader);
  bool good = (version == 2 || (version >= GG__TLS_SSL3 && version <= GG__TLS_12)) && ciphers && ciphers % 3 == 0 &&
              (session_id == 0 || session_id == 16) && challenge >= 16 && challenge <= 32 &&
              whole == (size_t)9 + ciphers + session_id + challenge;
  return good ? GG_LIKENESS_CERTAIN : GG_LIKENESS_NONE;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  const uint8_t *client = opening->data[GG_SIDE_CLIENT], *server = opening->data[GG_SIDE_SERVER];
  size_t client_length = opening->length[GG_SIDE_CLIENT], server_length = opening->length[GG_SIDE_SERVER];
  if (client_length) {
    enum gg_likeness like = like_hello(client, client_length, CLIENT_HELLO);
    return like == GG_LIKENESS_NONE ? like_old_hello(client, client_length) : like;
  }
  /* A server does not begin; but what the client has said may be missing. */
  enum gg_likeness like = server_length ? like_hello(server, server_length, SERVER_HELLO) : GG_LIKENESS_NONE;
  return like == GG_LIKENESS_CERTAIN ? GG_LIKENESS_LIKELY : like;
}

const struct gg_decoder gg__decoder_tls = {
  GG_DECODER_HEAD,
  .name = "tls",
  .protocol = "tls",
  .title = "TLS 1.0 to 1.3 and SSL 3.0, seen in passing (RFC 5246, RFC 8446)",
  .kinds = kinds,
  .fields = gg__tls_fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
  .end = end,
};
