/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/sessions.h"

#include "base/sized.h"
#include "gateway/worker.h"

#include <stdlib.h>

enum { LISTED_AT_ONCE = 64 }; /* sessions that are copied under a worker's lock, unless a bucket has more */

static bool is_side(enum gg_side side)
{
  return side == GG_SIDE_CLIENT || side == GG_SIDE_SERVER;
}

/* The worker whose session it is, locked. NULL: there is no such session. */
static struct gg_worker *lock_worker_of(struct gg_plane *plane, const struct gg_session_id *id,
                                        struct gg_session **session)
{
  for (unsigned i = 0; plane && i < plane->worker_count; i++) {
    struct gg_worker *worker = plane->workers[i];
    pthread_mutex_lock(&worker->known.lock);
    *session = gg__known_find(&worker->known, id);
    if (*session)
      return worker;
    pthread_mutex_unlock(&worker->known.lock);
  }
  return NULL;
}

int gg_plane_session_find(struct gg_plane *plane, const struct gg_session_key *key, struct gg_session_info *out)
{
  struct gg_session_id id;
  struct gg_session *session;
  struct gg_session_info told;
  if (out->size < sizeof out->size)
    return GG_ERR_INVALID;
  if (gg__known_id(&id, key) != 0)
    return GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane, &id, &session);
  if (!worker)
    return GG_ERR_NOT_FOUND;
  gg__known_info(session, &told);
  pthread_mutex_unlock(&worker->known.lock);
  return gg_sized_tell(out, &told, sizeof told);
}

/* What is told of some of a worker's sessions at a time: while they are copied, it can neither open nor close one. */
struct listing {
  size_t room;
  size_t count;
  struct gg_session_info told[];
};

/* A bucket's sessions. False: there is no room for all of them. */
static bool copy_bucket(struct listing *listing, const struct gg_session *session)
{
  for (; session; session = session->known_next) {
    if (listing->count == listing->room)
      return false;
    gg__known_info(session, &listing->told[listing->count++]);
  }
  return true;
}

/* Whole buckets from the given one on; the one behind them. That it is the given one: there is no room for it. */
static unsigned copy_buckets(struct listing *listing, struct gg_known *known, unsigned bucket)
{
  bool fits = true;
  listing->count = 0;
  pthread_mutex_lock(&known->lock);
  while (bucket < GG_KNOWN_BUCKETS && fits) {
    size_t before = listing->count;
    fits = copy_bucket(listing, known->buckets[bucket]);
    if (fits)
      bucket++;
    else
      listing->count = before;
  }
  pthread_mutex_unlock(&known->lock);
  return bucket;
}

static struct listing *listing_grow(struct listing *listing, size_t room)
{
  struct listing *more = realloc(listing, sizeof *more + room * sizeof more->told[0]);
  if (!more)
    free(listing);
  else
    more->room = room;
  return more;
}

/* False: it was ended. Without memory for a bucket's sessions, *listing is NULL. */
static bool list_worker(struct listing **listing, struct gg_known *known,
                        bool (*each)(void *context, const struct gg_session_info *info), void *context)
{
  unsigned bucket = 0;
  while (*listing && bucket < GG_KNOWN_BUCKETS) {
    unsigned next = copy_buckets(*listing, known, bucket);
    for (size_t i = 0; i < (*listing)->count; i++)
      if (!each(context, &(*listing)->told[i]))
        return false;
    if (next == bucket)
      *listing = listing_grow(*listing, 2 * (*listing)->room);
    bucket = next;
  }
  return *listing != NULL;
}

void gg_plane_sessions(struct gg_plane *plane, bool (*each)(void *context, const struct gg_session_info *info),
                       void *context)
{
  struct listing *listing = plane ? listing_grow(NULL, LISTED_AT_ONCE) : NULL;
  bool more = listing != NULL;
  for (unsigned i = 0; more && i < plane->worker_count; i++)
    more = list_worker(&listing, &plane->workers[i]->known, each, context);
  free(listing);
}

int gg_plane_session_tag(struct gg_plane *plane, const struct gg_session_key *key, const char *tag, bool on)
{
  struct gg_session_id id;
  struct gg_session *session;
  if (gg__known_id(&id, key) != 0)
    return GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane, &id, &session);
  if (!worker)
    return GG_ERR_NOT_FOUND;
  int error = gg__known_tag(session, tag, on);
  pthread_mutex_unlock(&worker->known.lock);
  return error;
}

static int give(struct gg_plane *plane, const struct gg_session_key *key, struct gg_order *order)
{
  struct gg_session *session;
  if (gg__known_id(&order->id, key) != 0)
    return GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane, &order->id, &session);
  if (!worker)
    return GG_ERR_NOT_FOUND;
  pthread_mutex_unlock(&worker->known.lock);
  return gg__orders_give(worker, order);
}

int gg_plane_session_throttle(struct gg_plane *plane, const struct gg_session_key *key, enum gg_side from,
                              uint64_t bytes_per_second, struct gg_hook *by)
{
  struct gg_order order = {
    .kind = GG_ORDER_THROTTLE, .direction = (enum gg_direction)from, .bytes_per_second = bytes_per_second, .hook = by};
  return is_side(from) ? give(plane, key, &order) : GG_ERR_INVALID;
}

int gg_plane_session_cut(struct gg_plane *plane, const struct gg_session_key *key, const struct gg_verdict *verdict,
                         struct gg_hook *by)
{
  struct gg_order order = {
    .kind = GG_ORDER_CUT, .verdict = {.kind = verdict->kind, .reason = verdict->reason}, .hook = by};
  bool cuts =
    verdict->kind == GG_VERDICT_CLOSE || verdict->kind == GG_VERDICT_RESET || verdict->kind == GG_VERDICT_TARPIT;
  return cuts ? give(plane, key, &order) : GG_ERR_INVALID;
}

int gg_plane_session_resume(struct gg_plane *plane, const struct gg_session_key *key, enum gg_side from,
                            const struct gg_verdict *verdict, struct gg_hook *by)
{
  struct gg_order order = {
    .kind = GG_ORDER_RESUME, .direction = (enum gg_direction)from, .verdict = *verdict, .hook = by};
  bool sound = is_side(from) && (unsigned)verdict->kind <= GG_VERDICT_DIVERT && verdict->reply_length <= GG_REPLY_MAX;
  return sound ? give(plane, key, &order) : GG_ERR_INVALID;
}
