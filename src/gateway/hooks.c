/* SPDX-License-Identifier: Apache-2.0 */
/* What the data plane does for plug-ins: struct gg_hook_sessions. */
#include "gateway/live.h"
#include "gateway/worker.h"

static const struct gg_hook *hook_of(const struct gg_host *host)
{
  return (const struct gg_hook *)(const void *)((const char *)host - offsetof(struct gg_hook, host));
}

/* The plane stays until it is let go; NULL: there is none. */
static struct gg_plane *plane_hold(const struct gg_host *host)
{
  struct gg_hook_desk *desk = hook_of(host)->desk;
  pthread_rwlock_rdlock(&desk->plane_lock);
  return desk->plane;
}

static void plane_let_go(const struct gg_host *host)
{
  pthread_rwlock_unlock(&hook_of(host)->desk->plane_lock);
}

/* ── In callbacks of the session ─────────────────────────────────────────────────────────────────────────────────── */

static struct gg_live_hook *own(const struct gg_host *host, struct gg_live *live, unsigned *index)
{
  const struct gg_hook *hook = hook_of(host);
  for (unsigned i = 0; live->chain && i < live->chain->count; i++) {
    if (live->chain->hooks[i] != hook)
      continue;
    *index = i;
    return &live->hooks[i];
  }
  return NULL;
}

static void key(const struct gg_host *host, const struct gg_live *live, struct gg_session_key *out)
{
  (void)host;
  gg_session_id_format(&live->session->id, out->text);
}

static void info(const struct gg_host *host, const struct gg_live *live, struct gg_session_info *out)
{
  (void)host;
  struct gg_known *known = &live->session->worker->known;
  pthread_mutex_lock(&known->lock); /* of the tags */
  gg__known_info(live->session, out);
  pthread_mutex_unlock(&known->lock);
}

static void state_set(const struct gg_host *host, struct gg_live *live, void *state)
{
  unsigned index;
  struct gg_live_hook *hook = own(host, live, &index);
  if (hook)
    hook->state = state;
}

static void *state(const struct gg_host *host, const struct gg_live *live)
{
  unsigned index;
  const struct gg_live_hook *hook = own(host, (struct gg_live *)(uintptr_t)live, &index);
  return hook ? hook->state : NULL;
}

static int want(const struct gg_host *host, struct gg_live *live, enum gg_side from, enum gg_mode mode)
{
  unsigned index;
  const struct gg_plugin *plugin = &hook_of(host)->plugin;
  if (!own(host, live, &index) || (from != GG_SIDE_CLIENT && from != GG_SIDE_SERVER))
    return GG_ERR_INVALID;
  bool can = mode == GG_MODE_NONE || (mode == GG_MODE_COUNT && plugin->count) || (mode == GG_MODE_GATE && plugin->gate);
  if (!can)
    return GG_ERR_UNSUPPORTED;
  gg__gate_want(live, index, (enum gg_direction)from, mode);
  return GG_OK;
}

/* ── On any thread ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* The worker whose session it is, locked, of a plane that is held. NULL: there is no such session. */
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

static int find(const struct gg_host *host, const struct gg_session_key *session_key, struct gg_session_info *out)
{
  struct gg_session_id id;
  struct gg_session *session;
  if (gg__known_id(&id, session_key) != 0)
    return GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane_hold(host), &id, &session);
  if (worker) {
    gg__known_info(session, out);
    pthread_mutex_unlock(&worker->known.lock);
  }
  plane_let_go(host);
  return worker ? GG_OK : GG_ERR_NOT_FOUND;
}

static bool list_worker(struct gg_known *known, bool (*each)(void *context, const struct gg_session_info *info),
                        void *context)
{
  for (unsigned i = 0; i < GG_KNOWN_BUCKETS; i++)
    for (const struct gg_session *session = known->buckets[i]; session; session = session->known_next) {
      struct gg_session_info told;
      gg__known_info(session, &told);
      if (!each(context, &told))
        return false;
    }
  return true;
}

static void list(const struct gg_host *host, bool (*each)(void *context, const struct gg_session_info *info),
                 void *context)
{
  struct gg_plane *plane = plane_hold(host);
  bool more = true;
  for (unsigned i = 0; plane && i < plane->worker_count && more; i++) {
    struct gg_known *known = &plane->workers[i]->known;
    pthread_mutex_lock(&known->lock);
    more = list_worker(known, each, context);
    pthread_mutex_unlock(&known->lock);
  }
  plane_let_go(host);
}

static int tag(const struct gg_host *host, const struct gg_session_key *session_key, const char *text, bool on)
{
  struct gg_session_id id;
  struct gg_session *session;
  if (gg__known_id(&id, session_key) != 0)
    return GG_ERR_NOT_FOUND;
  int error = GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane_hold(host), &id, &session);
  if (worker) {
    error = gg__known_tag(session, text, on);
    pthread_mutex_unlock(&worker->known.lock);
  }
  plane_let_go(host);
  return error;
}

static int give(const struct gg_host *host, const struct gg_session_key *session_key, struct gg_order *order)
{
  struct gg_session *session;
  if (gg__known_id(&order->id, session_key) != 0)
    return GG_ERR_NOT_FOUND;
  int error = GG_ERR_NOT_FOUND;
  struct gg_worker *worker = lock_worker_of(plane_hold(host), &order->id, &session);
  if (worker) {
    pthread_mutex_unlock(&worker->known.lock);
    order->hook = (struct gg_hook *)(uintptr_t)hook_of(host);
    error = gg__orders_give(worker, order);
  }
  plane_let_go(host);
  return error;
}

static int throttle(const struct gg_host *host, const struct gg_session_key *session_key, enum gg_side from,
                    uint64_t bytes_per_second)
{
  struct gg_order order = {
    .kind = GG_ORDER_THROTTLE, .direction = (enum gg_direction)from, .bytes_per_second = bytes_per_second};
  return from == GG_SIDE_CLIENT || from == GG_SIDE_SERVER ? give(host, session_key, &order) : GG_ERR_INVALID;
}

static int cut(const struct gg_host *host, const struct gg_session_key *session_key, const struct gg_verdict *verdict)
{
  struct gg_order order = {.kind = GG_ORDER_CUT, .verdict = *verdict};
  bool cuts =
    verdict->kind == GG_VERDICT_CLOSE || verdict->kind == GG_VERDICT_RESET || verdict->kind == GG_VERDICT_TARPIT;
  return cuts ? give(host, session_key, &order) : GG_ERR_INVALID;
}

static int resume(const struct gg_host *host, const struct gg_session_key *session_key, enum gg_side from,
                  const struct gg_verdict *verdict)
{
  if ((unsigned)verdict->kind > GG_VERDICT_DIVERT)
    return GG_ERR_INVALID;
  struct gg_order order = {.kind = GG_ORDER_RESUME, .direction = (enum gg_direction)from, .verdict = *verdict};
  return from == GG_SIDE_CLIENT || from == GG_SIDE_SERVER ? give(host, session_key, &order) : GG_ERR_INVALID;
}

const struct gg_hook_sessions gg_plane_hook_sessions = {
  .key = key,
  .info = info,
  .state_set = state_set,
  .state = state,
  .want = want,
  .find = find,
  .list = list,
  .tag = tag,
  .throttle = throttle,
  .cut = cut,
  .resume = resume,
};
