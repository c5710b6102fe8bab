/* SPDX-License-Identifier: Apache-2.0 */
#include "store/filter_field.h"

#include "base/text.h"
#include "net/addr.h"
#include "store/bounds.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── Where a session has it ──────────────────────────────────────────────────────────────────────────────────────── */

static const char *only(const char *text, size_t index)
{
  return index > 0 ? NULL : text ? text : "";
}

#define TEXT(NAME, MEMBER)                                                                                             \
  static const char *text_##NAME(const struct gg_session *session, size_t index)                                       \
  {                                                                                                                    \
    return only(session->MEMBER, index);                                                                               \
  }
TEXT(id, id)
TEXT(listener, listener)
TEXT(client, client)
TEXT(server, server)
TEXT(server_path, server_path)
TEXT(upstream, upstream)
TEXT(close, close)
TEXT(why, why)
TEXT(verdict, verdict)
TEXT(verdict_by, verdict_by)
TEXT(protocol, protocol)
TEXT(conn_state, conn_state)
TEXT(history, history)
TEXT(original, original)
TEXT(as_sent_of, as_sent_of)
TEXT(community_client, community_id[0])
TEXT(community_upstream, community_id[1])
#undef TEXT

static const char *text_state(const struct gg_session *session, size_t index)
{
  return only(gg_session_state_text(session->state), index);
}

/* Of both connections; one that is not known is no value. */
static const char *text_community(const struct gg_session *session, size_t index)
{
  size_t at = index + !session->community_id[0][0];
  return at < 2 && session->community_id[at][0] ? session->community_id[at] : NULL;
}

static const char *text_tag(const struct gg_session *session, size_t index)
{
  return index < session->tag_count ? session->tags[index] : NULL;
}

/* Both directions: what does not fit 64 bits is as much as they hold. */
static uint64_t both(const uint64_t pair[2])
{
  uint64_t sum;
  return __builtin_add_overflow(pair[0], pair[1], &sum) ? UINT64_MAX : sum;
}

#define NUMBER(NAME, VALUE)                                                                                            \
  static bool number_##NAME(const struct gg_session *session, uint64_t *out)                                           \
  {                                                                                                                    \
    *out = (VALUE);                                                                                                    \
    return true;                                                                                                       \
  }
NUMBER(start, session->start_ns)
NUMBER(end, session->end_ns)
NUMBER(duration, session->end_ns > session->start_ns ? session->end_ns - session->start_ns : 0)
NUMBER(bytes, both(session->bytes))
NUMBER(bytes_client, session->bytes[GG_SIDE_CLIENT])
NUMBER(bytes_server, session->bytes[GG_SIDE_SERVER])
NUMBER(packets, both(session->packets))
NUMBER(packets_client, session->packets[GG_SIDE_CLIENT])
NUMBER(packets_server, session->packets[GG_SIDE_SERVER])
NUMBER(gaps, both(session->gaps))
NUMBER(gaps_client, session->gaps[GG_SIDE_CLIENT])
NUMBER(gaps_server, session->gaps[GG_SIDE_SERVER])
NUMBER(masked, both(session->masked))
NUMBER(masked_client, session->masked[GG_SIDE_CLIENT])
NUMBER(masked_server, session->masked[GG_SIDE_SERVER])
NUMBER(segments, session->segments)
NUMBER(state, (uint64_t)session->state)
NUMBER(held, session->held)
NUMBER(is_foreign, session->foreign)
NUMBER(partial, session->beginning_missing)
#undef NUMBER

static bool number_client_port(const struct gg_session *session, uint64_t *out)
{
  struct gg_addr addr;
  bool known = gg_addr_parse(&addr, session->client) == 0;
  *out = known ? addr.port : 0;
  return known;
}

static bool number_server_port(const struct gg_session *session, uint64_t *out)
{
  struct gg_addr addr;
  bool known = gg_addr_parse(&addr, session->server) == 0;
  *out = known ? addr.port : 0;
  return known;
}

/* ── The fields ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The reasons of docs/format.md; what others captured has some of them too. */
static const char *const close_names[] = {"client-fin",
                                          "server-fin",
                                          "client-reset",
                                          "server-reset",
                                          "connect-refused",
                                          "connect-timeout",
                                          "connect-failed",
                                          "unresolved",
                                          "idle-timeout",
                                          "drain",
                                          "limit",
                                          "stall",
                                          "proxy-invalid",
                                          "internal",
                                          "first-byte-timeout",
                                          "session-timeout",
                                          "stall-timeout",
                                          "source-sessions",
                                          "source-rate",
                                          "unavailable",
                                          "verdict",
                                          NULL};
static const char *const state_names[] = {"open", "closed", "cut", NULL};
static const char *const verdict_names[] = {"close", "reset", "tarpit", "reply", NULL};
/* Those of Zeek's conn.log. */
static const char *const conn_state_names[] = {"S0",   "S1",     "SF",    "REJ", "S2",  "S3",  "RSTO",
                                               "RSTR", "RSTOS0", "RSTRH", "SH",  "SHR", "OTH", NULL};

static const char *const kind_forms[GG__KINDS] = {
  "a text, or one with * and ?",
  "5, 1.., ..9 or 2..4",
  "0, 1M.., ..10k or 1k..2k",
  "5s, 1m30s.., ..250ms or 1s..5s",
  "1h, 2024-05-01 or 2024-05-01T12:00:00Z",
  "192.0.2.1, 192.0.2.1:4000, [::1]:4000 or 10.0.0.0/8",
  "80, 8000..8999, 1024.. or ..1023",
  "a tag, or one with * and ?",
  "one of its names",
  "the beginning of an id: hexadecimal digits",
  "yes or no",
};

#define NAME_TEXT "text"
#define NAME_NUMBER "number"
#define NAME_BYTES "bytes"
#define NAME_DURATION "duration"
#define NAME_TIME "time"
#define NAME_ADDRESS "address"
#define NAME_PORT "port"
#define NAME_TAGS "tags"
#define NAME_ENUM "enum"
#define NAME_ID "id"
#define NAME_FLAG "flag"
#define SHOWN(NAME, KIND, EXAMPLE, SORTABLE, HELP)                                                                     \
  .shown = {NAME, NAME_##KIND, HELP, EXAMPLE, SORTABLE}, .kind = GG__KIND_##KIND
#define TEXTS(NAME, KIND, COLUMN, FROM, EXAMPLE, HELP)                                                                 \
  {                                                                                                                    \
    SHOWN(NAME, KIND, EXAMPLE, true, HELP), .text = (FROM), .column = (COLUMN)                                         \
  }
#define NUMBERS(NAME, KIND, COLUMN, FROM, EXAMPLE, HELP)                                                               \
  {                                                                                                                    \
    SHOWN(NAME, KIND, EXAMPLE, true, HELP), .number = (FROM), .column = (COLUMN)                                       \
  }

/* clang-format off */
static const struct gg__field fields[] = {
  {SHOWN("id", ID, "id=018c2f", true, "the beginning of its id; six or more digits also without id="),
   .text = text_id, .column = "id", .early = true},
  {SHOWN("listener", TEXT, "listener=web*", true, "the listener's name"),
   .text = text_listener, .column = "listener", .early = true, .form = "a listener's name"},
  {SHOWN("client", ADDRESS, "client=10.0.0.0/8", true, "the client's address"),
   .text = text_client, .column = "client", .key_column = "client_key", .port_column = "client_port", .early = true},
  {SHOWN("client.port", PORT, "client.port=1024..", true, "the client's port"),
   .number = number_client_port, .column = "client_port", .early = true},
  {SHOWN("server", ADDRESS, "server=192.0.2.1:80", true, "the address that the client dialled"),
   .text = text_server, .column = "server", .key_column = "server_key", .port_column = "server_port", .early = true},
  {SHOWN("server.port", PORT, "server.port=8000..8999", true, "the port that the client dialled"),
   .number = number_server_port, .column = "server_port", .early = true},
  {SHOWN("port", PORT, "port=443", true, "the same as server.port"),
   .number = number_server_port, .column = "server_port", .early = true},
  TEXTS("server.path", TEXT, "server_path", text_server_path, "server.path=/run/*", "the unix socket that was dialled"),
  TEXTS("upstream", TEXT, "upstream", text_upstream, "upstream=10.0.0.7:*", "the server that it went to"),
  NUMBERS("start", TIME, "start_ns", number_start, "start>-1h", "when it began"),
  NUMBERS("end", TIME, "end_ns", number_end, "end<2026-11-01", "when it ended, or last said anything"),
  {SHOWN("since", TIME, "since=1h", false, "was still going on then, or began later: as end >="),
   .number = number_end, .column = "end_ns", .sense = GG__SENSE_SINCE},
  {SHOWN("until", TIME, "until=2026-11-01", false, "had begun by then: as start <="),
   .number = number_start, .column = "start_ns", .sense = GG__SENSE_UNTIL},
  NUMBERS("duration", DURATION, "duration_ns", number_duration, "duration=5s..", "from its start to its end"),
  NUMBERS("bytes", BYTES, "bytes", number_bytes, "bytes=1M..", "payload of both directions that is recorded"),
  NUMBERS("bytes.client", BYTES, "bytes_client", number_bytes_client, "bytes.client=0", "what the client sent"),
  NUMBERS("bytes.server", BYTES, "bytes_server", number_bytes_server, "bytes.server=..10k", "what the server sent"),
  NUMBERS("packets", NUMBER, "packets", number_packets, "packets=100..", "packets of both directions"),
  NUMBERS("packets.client", NUMBER, "packets_client", number_packets_client, "packets.client=1..3", "the client's"),
  NUMBERS("packets.server", NUMBER, "packets_server", number_packets_server, "packets.server=0", "the server's"),
  NUMBERS("gaps", BYTES, "gaps", number_gaps, "gaps=1..", "bytes that are missing in the recording"),
  NUMBERS("gaps.client", BYTES, "gaps_client", number_gaps_client, "gaps.client=1..", "the client's"),
  NUMBERS("gaps.server", BYTES, "gaps_server", number_gaps_server, "gaps.server=1..", "the server's"),
  {SHOWN("state", ENUM, "state=closed", true, "open, closed, or cut: without an end, its gateway is gone"),
   .text = text_state, .number = number_state, .column = "state", .names = state_names,
   .form = "open, closed or cut"},
  {SHOWN("close", ENUM, "close=client-*", true, "why it was closed: client-fin, server-reset, idle-timeout, ..."),
   .text = text_close, .column = "close", .names = close_names,
   .form = "client-fin, server-fin, client-reset, server-reset, connect-refused or another reason of a close"},
  TEXTS("why", TEXT, "why", text_why, "why=?*", "why what was received and what was forwarded differ, if they do"),
  {SHOWN("verdict", ENUM, "verdict=reset", true, "how a plug-in ended it: close, reset, tarpit or reply"),
   .text = text_verdict, .column = "verdict", .names = verdict_names, .form = "close, reset, tarpit or reply",
   .rare = "verdict <> ''"},
  TEXTS("verdict.by", TEXT, "verdict_by", text_verdict_by, "verdict.by=guard", "the plug-in that ended it"),
  {SHOWN("tag", TAGS, "tag=flag", false, "any of its tags; tag!=X: none of them"), .text = text_tag},
  {SHOWN("held", FLAG, "held", true, "retention leaves it alone"),
   .number = number_held, .column = "held", .rare = "held <> 0"},
  TEXTS("proto", TEXT, "protocol", text_protocol, "proto=http", "the protocol, as decoders name it"),
  TEXTS("protocol", TEXT, "protocol", text_protocol, "protocol=ssh", "the same as proto"),
  {SHOWN("conn_state", ENUM, "conn_state=S0", true, "how the connection went, as Zeek has it: SF, S0, REJ, RSTO, ..."),
   .text = text_conn_state, .column = "conn_state", .names = conn_state_names,
   .form = "S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, RSTRH, SH, SHR or OTH"},
  TEXTS("history", TEXT, "history", text_history, "history~^ShA", "what happened in it, as Zeek has it: ShADadFf"),
  {SHOWN("community_id", TEXT, "community_id=1:LQU9qZ*", false, "of the client's connection or the upstream's"),
   .text = text_community, .column = "community_client", .second_column = "community_upstream"},
  NUMBERS("masked", BYTES, "masked", number_masked, "masked=1..", "bytes that a plug-in masked in the recording"),
  NUMBERS("masked.client", BYTES, "masked_client", number_masked_client, "masked.client=1..", "the client's"),
  NUMBERS("masked.server", BYTES, "masked_server", number_masked_server, "masked.server=0", "the server's"),
  NUMBERS("segments", NUMBER, "segments", number_segments, "segments=2..", "how many files it is in"),
  NUMBERS("foreign", FLAG, "is_foreign", number_is_foreign, "foreign", "not recorded by gogetway"),
  NUMBERS("partial", FLAG, "partial", number_partial, "partial=no", "its beginning is in no segment that is here"),
  TEXTS("original", ID, "original", text_original, "original=018c2f", "of a replay: the session that was played"),
  TEXTS("as_sent_of", ID, "as_sent_of", text_as_sent_of, "as_sent_of=018c2f",
        "the session instead of whose bytes a plug-in sent these"),
};
/* clang-format on */
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

const struct gg__field *gg__field_at(size_t index)
{
  return index < FIELD_COUNT ? &fields[index] : NULL;
}

const struct gg_filter_field *gg_filter_field_at(size_t index)
{
  return index < FIELD_COUNT ? &fields[index].shown : NULL;
}

const struct gg__field *gg__field_find(const char *name, size_t length)
{
  for (size_t i = 0; i < FIELD_COUNT; i++)
    if (strlen(fields[i].shown.name) == length && memcmp(fields[i].shown.name, name, length) == 0)
      return &fields[i];
  return NULL;
}

const char *gg__field_form(const struct gg__field *field)
{
  return field->form ? field->form : kind_forms[field->kind];
}

bool gg__field_is_number(const struct gg__field *field)
{
  switch (field->kind) {
  case GG__KIND_NUMBER:
  case GG__KIND_BYTES:
  case GG__KIND_DURATION:
  case GG__KIND_TIME:
  case GG__KIND_PORT:
    return true;
  default:
    return false;
  }
}

bool gg__field_is_wide(const struct gg__field *field)
{
  return gg__field_is_number(field) && field->kind != GG__KIND_PORT && field->number != number_segments;
}

/* ── Addresses ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static_assert(GG__ADDRESS_KEY_BYTES == 1 + sizeof(((struct gg_addr *)0)->ip), "family and address");

size_t gg__address_key(const char *text, uint8_t key[GG__ADDRESS_KEY_BYTES], int *port)
{
  struct gg_addr addr = {0};
  *port = -1;
  if (strncmp(text, "unix", 4) == 0)
    addr.family = GG_FAMILY_UNIX;
  else if (gg_addr_parse(&addr, text) == 0)
    *port = addr.port;
  else
    return 0;
  key[0] = addr.family;
  memcpy(key + 1, addr.ip, sizeof addr.ip);
  return GG__ADDRESS_KEY_BYTES;
}

/* ── Columns ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

#define TEXT_COLUMN(NAME, FROM)                                                                                        \
  {                                                                                                                    \
    (NAME), GG__SQL_TEXT, (FROM), 0, NULL, false                                                                       \
  }
#define KEY_COLUMN(NAME, FROM)                                                                                         \
  {                                                                                                                    \
    (NAME), GG__SQL_BLOB, (FROM), 0, NULL, false                                                                       \
  }
#define WIDE_COLUMN(NAME, FROM)                                                                                        \
  {                                                                                                                    \
    (NAME), GG__SQL_INTEGER, NULL, 0, (FROM), true                                                                     \
  }
#define SMALL_COLUMN(NAME, FROM)                                                                                       \
  {                                                                                                                    \
    (NAME), GG__SQL_INTEGER, NULL, 0, (FROM), false                                                                    \
  }

/* clang-format off */
static const struct gg__column columns[] = {
  TEXT_COLUMN("id", text_id),
  TEXT_COLUMN("listener", text_listener),
  TEXT_COLUMN("client", text_client),
  KEY_COLUMN("client_key", text_client),
  SMALL_COLUMN("client_port", number_client_port),
  TEXT_COLUMN("server", text_server),
  KEY_COLUMN("server_key", text_server),
  SMALL_COLUMN("server_port", number_server_port),
  TEXT_COLUMN("server_path", text_server_path),
  TEXT_COLUMN("upstream", text_upstream),
  WIDE_COLUMN("start_ns", number_start),
  WIDE_COLUMN("end_ns", number_end),
  WIDE_COLUMN("duration_ns", number_duration),
  WIDE_COLUMN("bytes", number_bytes),
  WIDE_COLUMN("bytes_client", number_bytes_client),
  WIDE_COLUMN("bytes_server", number_bytes_server),
  WIDE_COLUMN("packets", number_packets),
  WIDE_COLUMN("packets_client", number_packets_client),
  WIDE_COLUMN("packets_server", number_packets_server),
  WIDE_COLUMN("gaps", number_gaps),
  WIDE_COLUMN("gaps_client", number_gaps_client),
  WIDE_COLUMN("gaps_server", number_gaps_server),
  SMALL_COLUMN("state", number_state),
  TEXT_COLUMN("close", text_close),
  TEXT_COLUMN("why", text_why),
  TEXT_COLUMN("verdict", text_verdict),
  TEXT_COLUMN("verdict_by", text_verdict_by),
  SMALL_COLUMN("held", number_held),
  TEXT_COLUMN("protocol", text_protocol),
  TEXT_COLUMN("conn_state", text_conn_state),
  TEXT_COLUMN("history", text_history),
  TEXT_COLUMN("community_client", text_community_client),
  TEXT_COLUMN("community_upstream", text_community_upstream),
  WIDE_COLUMN("masked", number_masked),
  WIDE_COLUMN("masked_client", number_masked_client),
  WIDE_COLUMN("masked_server", number_masked_server),
  SMALL_COLUMN("segments", number_segments),
  SMALL_COLUMN("is_foreign", number_is_foreign),
  SMALL_COLUMN("partial", number_partial),
  TEXT_COLUMN("original", text_original),
  TEXT_COLUMN("as_sent_of", text_as_sent_of),
};
/* clang-format on */
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

const struct gg__column *gg__column_at(size_t index)
{
  return index < COLUMN_COUNT ? &columns[index] : NULL;
}

void gg__column_value(const struct gg__column *column, const struct gg_session *session,
                      uint8_t scratch[GG__ADDRESS_KEY_BYTES], struct gg__sql_value *out)
{
  uint64_t number = 0;
  int port;
  *out = (struct gg__sql_value){0};
  switch (column->kind) {
  case GG__SQL_INTEGER:
    out->kind = column->number(session, &number) ? GG__SQL_INTEGER : GG__SQL_NULL;
    out->integer = column->wide ? gg__sql_from_u64(number) : (int64_t)number;
    break;
  case GG__SQL_TEXT:
    out->kind = GG__SQL_TEXT;
    out->data = column->text(session, 0);
    out->length = strlen(out->data);
    break;
  default:
    out->kind = GG__SQL_BLOB;
    out->data = scratch;
    out->length = gg__address_key(column->text(session, 0), scratch, &port);
    break;
  }
}
