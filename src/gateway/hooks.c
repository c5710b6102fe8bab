/* SPDX-License-Identifier: Apache-2.0 */
/* What the data plane does for plug-ins: struct gg_hook_sessions. */
#include "base/sized.h"
#include "gateway/live.h"
#include "gateway/rewrite.h"
#include "gateway/sessions.h"
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
  struct gg_session_info told;
  struct gg_known *known = &live->session->worker->known;
  pthread_mutex_lock(&known->lock); /* of the tags */
  gg__known_info(live->session, &told);
  pthread_mutex_unlock(&known->lock);
  (void)gg_sized_tell(out, &told, sizeof told); /* a size that cannot be: nothing is told */
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

/* Before anything was received; and where nothing goes on before it is durable, nothing can be kept out of the log. */
static bool can_mask(const struct gg_live *live)
{
  return live->asking && live->session->worker->plane->options.sync_mode != GG_SYNC_ALWAYS;
}

static int want(const struct gg_host *host, struct gg_live *live, enum gg_side from, enum gg_mode mode)
{
  unsigned index;
  const struct gg_plugin *plugin = &hook_of(host)->plugin;
  if (!own(host, live, &index) || (from != GG_SIDE_CLIENT && from != GG_SIDE_SERVER))
    return GG_ERR_INVALID;
  bool gates = plugin->gate || gg__messages_can(live, index);
  bool can = mode == GG_MODE_NONE || (mode == GG_MODE_COUNT && plugin->count) || (mode == GG_MODE_GATE && gates) ||
             (mode == GG_MODE_REWRITE && plugin->rewrite) || (mode == GG_MODE_MASK && plugin->mask && can_mask(live)) ||
             (mode == GG_MODE_OBSERVE && plugin->observe);
  if (!can)
    return GG_ERR_UNSUPPORTED;
  int error = mode == GG_MODE_REWRITE ? gg__rewrite_prepare(live, (enum gg_direction)from) : GG_OK;
  if (error)
    return error;
  return gg__gate_want(live, index, (enum gg_direction)from, mode);
}

/* ── On any thread ───────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg_hook *by(const struct gg_host *host)
{
  return (struct gg_hook *)(uintptr_t)hook_of(host);
}

static int find(const struct gg_host *host, const struct gg_session_key *session_key, struct gg_session_info *out)
{
  int error = gg_plane_session_find(plane_hold(host), session_key, out);
  plane_let_go(host);
  return error;
}

static void list(const struct gg_host *host, bool (*each)(void *context, const struct gg_session_info *info),
                 void *context)
{
  gg_plane_sessions(plane_hold(host), each, context);
  plane_let_go(host);
}

static int tag(const struct gg_host *host, const struct gg_session_key *session_key, const char *text, bool on)
{
  int error = gg_plane_session_tag(plane_hold(host), session_key, text, on);
  plane_let_go(host);
  return error;
}

static int throttle(const struct gg_host *host, const struct gg_session_key *session_key, enum gg_side from,
                    uint64_t bytes_per_second)
{
  int error = gg_plane_session_throttle(plane_hold(host), session_key, from, bytes_per_second, by(host));
  plane_let_go(host);
  return error;
}

static int cut(const struct gg_host *host, const struct gg_session_key *session_key, const struct gg_verdict *verdict)
{
  int error = gg_plane_session_cut(plane_hold(host), session_key, verdict, by(host));
  plane_let_go(host);
  return error;
}

static int resume(const struct gg_host *host, const struct gg_session_key *session_key, enum gg_side from,
                  const struct gg_verdict *verdict)
{
  int error = gg_plane_session_resume(plane_hold(host), session_key, from, verdict, by(host));
  plane_let_go(host);
  return error;
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
