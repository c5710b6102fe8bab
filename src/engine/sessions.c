/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - the open sessions, for the embedding program. The plane lives from start to destroy. */
#include "gateway/sessions.h"
#include "engine/engine.h"

int gg_gateway_session_find(const struct gg_gateway *engine, const struct gg_session_key *key,
                            struct gg_session_info *out)
{
  return gg_plane_session_find(engine->plane, key, out);
}

void gg_gateway_sessions(const struct gg_gateway *engine,
                         bool (*each)(void *context, const struct gg_session_info *info), void *context)
{
  gg_plane_sessions(engine->plane, each, context);
}

int gg_gateway_session_tag(struct gg_gateway *engine, const struct gg_session_key *key, const char *tag, bool on)
{
  return gg_plane_session_tag(engine->plane, key, tag, on);
}

int gg_gateway_session_throttle(struct gg_gateway *engine, const struct gg_session_key *key, enum gg_side from,
                                uint64_t bytes_per_second)
{
  return gg_plane_session_throttle(engine->plane, key, from, bytes_per_second, NULL);
}

int gg_gateway_session_cut(struct gg_gateway *engine, const struct gg_session_key *key,
                           const struct gg_verdict *verdict)
{
  return gg_plane_session_cut(engine->plane, key, verdict, NULL);
}
