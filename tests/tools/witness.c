/* SPDX-License-Identifier: Apache-2.0 */
/* A plug-in that sees every session begin and end, and wants nothing of it: what the bench measures as `none`. */
#include <gogetway/plugin.h>

#include <stdatomic.h>

static _Atomic uint64_t begun, ended;

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)self;
  (void)session;
  (void)open;
  atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed);
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  (void)self;
  (void)session;
  (void)summary;
  atomic_fetch_add_explicit(&ended, 1, memory_order_relaxed);
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,  .name = "witness", .version = "1.0", .summary = "sees sessions begin and end",
  .open = on_open, .close = on_close,
};
