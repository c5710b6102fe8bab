/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/known.h"

#include "base/clock.h"
#include "gateway/worker.h"

#include <stdlib.h>
#include <string.h>

void gg__known_init(struct gg_known *known)
{
  pthread_mutex_init(&known->lock, NULL);
}

void gg__known_fini(struct gg_known *known)
{
  pthread_mutex_destroy(&known->lock);
}

/* The last bytes of an id are a counter: sessions that follow each other are in buckets that do. */
static size_t bucket_of(const struct gg_session_id *id)
{
  const uint8_t *end = id->bytes + GG_SESSION_ID_BYTES;
  return ((size_t)end[-2] << 8 | end[-1]) % GG_KNOWN_BUCKETS;
}

void gg__known_add(struct gg_worker *worker, struct gg_session *session)
{
  struct gg_known *known = &worker->known;
  struct gg_session **bucket = &known->buckets[bucket_of(&session->id)];
  pthread_mutex_lock(&known->lock);
  session->known_next = *bucket;
  *bucket = session;
  pthread_mutex_unlock(&known->lock);
}

void gg__known_remove(struct gg_worker *worker, struct gg_session *session)
{
  struct gg_known *known = &worker->known;
  struct gg_session **at = &known->buckets[bucket_of(&session->id)];
  pthread_mutex_lock(&known->lock);
  while (*at && *at != session)
    at = &(*at)->known_next;
  if (*at)
    *at = session->known_next;
  pthread_mutex_unlock(&known->lock);
}

struct gg_session *gg__known_find(const struct gg_known *known, const struct gg_session_id *id)
{
  struct gg_session *session = known->buckets[bucket_of(id)];
  while (session && memcmp(&session->id, id, sizeof *id) != 0)
    session = session->known_next;
  return session;
}

static void copy_text(char *to, size_t size, const char *text)
{
  size_t length = strnlen(text, size - 1);
  memcpy(to, text, length);
  to[length] = '\0';
}

void gg__known_info(const struct gg_session *session, struct gg_session_info *out)
{
  *out = (struct gg_session_info){.size = sizeof *out, .worker = session->worker->index};
  gg_session_id_format(&session->id, out->key.text);
  copy_text(out->listener, sizeof out->listener, session->listener->options->name);
  gg_addr_format(&session->conversation.end[GG_FROM_CLIENT], out->client, sizeof out->client);
  gg_addr_format(&session->conversation.end[GG_FROM_SERVER], out->server, sizeof out->server);
  out->inlined = session->listener->options->decode_inline;
  if (session->member)
    copy_text(out->upstream, sizeof out->upstream, session->member->health->name);
  out->opened_real_ns = gg_clock_real_ns() - (gg_clock_mono_ns() - session->opened_ns);
  for (unsigned i = 0; i < 2; i++) {
    out->received[i] = gg__bytes_read(&session->end[i].received);
    out->forwarded[i] = gg__bytes_read(&session->end[i].forwarded);
  }
  if (!session->tags)
    return;
  out->tag_count = session->tags->count;
  memcpy(out->tags, session->tags->text, sizeof out->tags);
}

static int digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int gg__known_id(struct gg_session_id *out, const struct gg_session_key *key)
{
  for (unsigned i = 0; i < GG_SESSION_ID_BYTES; i++) {
    int high = digit(key->text[2 * i]);
    int low = high < 0 ? -1 : digit(key->text[2 * i + 1]);
    if (low < 0)
      return GG_ERR_FORMAT;
    out->bytes[i] = (uint8_t)(high << 4 | low);
  }
  return GG_OK;
}

static bool is_tag(const char *tag)
{
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.:-";
  size_t length = strnlen(tag, GG_TAG_MAX);
  return length > 0 && length < GG_TAG_MAX && strspn(tag, allowed) == length && !strchr("_.:-", tag[0]);
}

int gg__known_tag(struct gg_session *session, const char *tag, bool on)
{
  if (!is_tag(tag))
    return GG_ERR_INVALID;
  if (!session->tags && on && !(session->tags = calloc(1, sizeof *session->tags)))
    return GG_ERR_NOMEM;
  struct gg_tags *tags = session->tags;
  unsigned i = 0;
  while (tags && i < tags->count && strcmp(tags->text[i], tag) != 0)
    i++;
  bool there = tags && i < tags->count;
  if (there == on)
    return GG_OK;
  if (!on) {
    memmove(tags->text[i], tags->text[i + 1], (tags->count - i - 1) * sizeof tags->text[0]);
    memset(tags->text[--tags->count], 0, sizeof tags->text[0]);
    return GG_OK;
  }
  if (tags->count == GG_TAGS_MAX)
    return GG_ERR_LIMIT;
  memcpy(tags->text[tags->count++], tag, strlen(tag) + 1);
  return GG_OK;
}
