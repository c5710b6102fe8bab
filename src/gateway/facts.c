/* SPDX-License-Identifier: Apache-2.0 */
/* The members of the first and of the last comment of a session, as docs/format.md lists them. */
#include "base/clock.h"
#include "base/json.h"
#include "gateway/rewrite.h"
#include "gateway/worker.h"

enum { TAGS_ROOM = 320, TRIED_ROOM = 576 }; /* bytes of a closing comment */

static const char *const close_texts[] = {
#define TEXT(NAME, text) text,
  GG_CLOSE_LIST(TEXT)
#undef TEXT
};

const char *gg__close_text(enum gg_close reason)
{
  return close_texts[reason];
}

static void address(struct gg_json *json, const char *key, const struct gg_addr *addr)
{
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_format(addr, text, sizeof text);
  gg_json_field_string(json, key, text);
}

/* Its upstream; before that is chosen, the only one that it can be. */
static void upstream(const struct gg_session *session, struct gg_json *json)
{
  const struct gg_group *group = session->listener->group;
  const struct gg_member *member = session->member;
  if (!member && group && group->count == 1)
    member = group->slots[0].member;
  if (session->upstream.family == GG_FAMILY_IPV4 || session->upstream.family == GG_FAMILY_IPV6)
    address(json, "upstream", &session->upstream);
  else
    gg_json_field_string(json, "upstream", member ? member->text : NULL);
}

static void id_field(struct gg_json *json, const char *key, const struct gg_session_id *id)
{
  char text[GG_SESSION_ID_TEXT];
  gg_session_id_format(id, text);
  gg_json_field_string(json, key, text);
}

void gg__session_facts(const void *argument, struct gg_json *json)
{
  const struct gg_session *session = argument;
  const struct gg_listener_options *options = session->listener->options;
  id_field(json, "id", &session->id);
  gg_json_field_string(json, "listener", options->name);
  address(json, "client", &session->conversation.end[GG_FROM_CLIENT]);
  address(json, "server", &session->conversation.end[GG_FROM_SERVER]);
  upstream(session, json);
  if (session->gateway.family != GG_FAMILY_NONE)
    address(json, "gateway", &session->gateway);
  gg_json_field_unsigned(json, "worker", session->worker->index);
  if (options->listen.family == GG_FAMILY_UNIX)
    gg_json_field_string(json, "server_path", options->listen.path);
  if (session->proxied) {
    gg_json_field_string(json, "proxy", session->proxied == GG_PROXY_V1 ? "v1" : "v2");
    address(json, "peer", &session->peer);
  }
}

static void pair(struct gg_json *json, const char *key, uint64_t client, uint64_t server)
{
  gg_json_key(json, key);
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", client);
  gg_json_field_unsigned(json, "server", server);
  gg_json_object_end(json);
}

/* Why not all that was received went on. */
static const char *why(const struct gg_session *session)
{
  if (!session->member && session->close != GG_CLOSE_UNAVAILABLE && !session->listener->group)
    return "no-upstream";
  switch (session->close) {
  case GG_CLOSE_CLIENT_RESET:
    return "client-gone";
  case GG_CLOSE_SERVER_RESET:
    return "server-gone";
  case GG_CLOSE_CONNECT_REFUSED:
  case GG_CLOSE_CONNECT_TIMEOUT:
  case GG_CLOSE_CONNECT_FAILED:
  case GG_CLOSE_UNRESOLVED:
  case GG_CLOSE_UNAVAILABLE:
  case GG_CLOSE_PROXY_INVALID:
  case GG_CLOSE_SOURCE_SESSIONS:
  case GG_CLOSE_SOURCE_RATE:
    return "not-connected";
  default:
    return "cut";
  }
}

/* The upstreams that could not be had, in the order in which they were tried; as many as there is room for. */
static void tried(struct gg_json *json, const struct gg_attempts *attempts)
{
  size_t begin = json->length;
  unsigned told = 0;
  gg_json_key(json, "tried");
  gg_json_array_begin(json);
  for (; told < attempts->count; told++) {
    struct gg_json mark = *json;
    gg_json_object_begin(json);
    gg_json_field_string(json, "upstream", attempts->tried[told].health->name);
    gg_json_field_string(json, "close", gg__close_text(attempts->tried[told].reason));
    gg_json_object_end(json);
    if (json->length - begin <= TRIED_ROOM)
      continue;
    *json = mark;
    break;
  }
  gg_json_array_end(json);
  if (told < attempts->count)
    gg_json_field_unsigned(json, "tried_more", attempts->count - told);
}

/* As many as there is room for. */
static void tags(struct gg_json *json, const struct gg_tags *list)
{
  size_t begin = json->length;
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  for (unsigned i = 0; i < list->count && json->length - begin + GG_TAG_MAX + 3 <= TAGS_ROOM; i++)
    gg_json_string(json, list->text[i]);
  gg_json_array_end(json);
}

/* What a plug-in has made of it, or the embedding program. */
static void verdict(struct gg_json *json, const struct gg_live *live)
{
  static const char *const texts[] = {
    [GG_VERDICT_PASS] = "pass",     [GG_VERDICT_HOLD] = "hold",     [GG_VERDICT_CLOSE] = "close",
    [GG_VERDICT_RESET] = "reset",   [GG_VERDICT_TARPIT] = "tarpit", [GG_VERDICT_REPLY] = "reply",
    [GG_VERDICT_DIVERT] = "divert",
  };
  gg_json_key(json, "verdict");
  gg_json_object_begin(json);
  if (live->by[0])
    gg_json_field_string(json, "plugin", live->by);
  gg_json_field_string(json, "kind", texts[live->kind]);
  if (live->reason[0])
    gg_json_field_string(json, "reason", live->reason);
  if (live->withheld > 0)
    gg_json_field_unsigned(json, "withheld", live->withheld);
  gg_json_object_end(json);
}

/* Whether all that there was to send was sent. */
static bool all_went_on(const struct gg_session *session, enum gg_direction direction)
{
  const struct gg_way *way = session->live ? &session->live->way[direction] : NULL;
  return gg__live_position(session, direction) == session->end[direction].forwarded &&
         (!way || (way->stage.length == 0 && way->entering == 0));
}

void gg__session_closing_facts(const void *argument, struct gg_json *json)
{
  const struct gg_session *session = argument;
  const struct gg_end *client = &session->end[GG_FROM_CLIENT], *server = &session->end[GG_FROM_SERVER];
  gg_json_field_string(json, "close", gg__close_text(session->close));
  if (session->live && session->live->ended)
    verdict(json, session->live);
  if (session->tags && session->tags->count > 0)
    tags(json, session->tags);
  if (session->attempts)
    tried(json, session->attempts);
  pair(json, "received", client->received, server->received);
  pair(json, "forwarded", client->forwarded, server->forwarded);
  if (session->close != GG_CLOSE_CLIENT_FIN && session->close != GG_CLOSE_SERVER_FIN)
    pair(json, "acked", session->acked[GG_FROM_CLIENT], session->acked[GG_FROM_SERVER]);
  const struct gg_way *way = session->live ? session->live->way : NULL;
  if (way && (way[GG_FROM_CLIENT].masked > 0 || way[GG_FROM_SERVER].masked > 0))
    pair(json, "masked", way[GG_FROM_CLIENT].masked, way[GG_FROM_SERVER].masked);
  if (!all_went_on(session, GG_FROM_CLIENT) || !all_went_on(session, GG_FROM_SERVER))
    gg_json_field_string(json, "why", why(session));
  const struct gg_as_sent *as_sent = session->live ? session->live->as_sent : NULL;
  if (as_sent && as_sent->begun)
    id_field(json, "as_sent", &as_sent->id);
  gg_json_field_unsigned(json, "duration_ns", gg_clock_mono_ns() - session->opened_ns);
}

/* ── What was sent instead of it ─────────────────────────────────────────────────────────────────────────────────── */

void gg__as_sent_facts(const void *argument, struct gg_json *json)
{
  const struct gg_as_sent *as_sent = argument;
  const struct gg_session *session = as_sent->session;
  id_field(json, "id", &as_sent->id);
  id_field(json, "as_sent_of", &session->id);
  gg_json_field_string(json, "listener", session->listener->options->name);
  address(json, "client", &as_sent->conversation.end[GG_FROM_CLIENT]);
  address(json, "server", &as_sent->conversation.end[GG_FROM_SERVER]);
  upstream(session, json);
  gg_json_field_unsigned(json, "worker", session->worker->index);
}

/* Of the stream up to the last byte that was put out for it: what went on as it came behind that is the session's. */
void gg__as_sent_closing_facts(const void *argument, struct gg_json *json)
{
  const struct gg_as_sent *as_sent = argument;
  const struct gg_session *session = as_sent->session;
  uint64_t length[2], sent[2];
  for (unsigned i = 0; i < 2; i++) {
    uint64_t forwarded = session->end[i].forwarded;
    length[i] = as_sent->conversation.offset[i];
    sent[i] = forwarded < length[i] ? forwarded : length[i];
  }
  gg_json_field_string(json, "close", gg__close_text(session->close));
  pair(json, "received", length[GG_FROM_CLIENT], length[GG_FROM_SERVER]);
  pair(json, "forwarded", sent[GG_FROM_CLIENT], sent[GG_FROM_SERVER]);
  if (length[GG_FROM_CLIENT] != sent[GG_FROM_CLIENT] || length[GG_FROM_SERVER] != sent[GG_FROM_SERVER])
    gg_json_field_string(json, "why", why(session));
  gg_json_field_unsigned(json, "duration_ns", gg_clock_mono_ns() - session->opened_ns);
}
