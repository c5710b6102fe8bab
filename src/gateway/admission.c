/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admission.h"

#include "base/logger.h"
#include "gateway/sources.h"

#include <sys/socket.h>
#include <unistd.h>

static void tell(const struct gg_listener *listener, const struct gg_addr *client, unsigned bits, enum gg_close reason,
                 uint64_t refused)
{
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_format_ip(client, text, sizeof text);
  gg_warn(listener->worker->plane->options.logger, "clients of one source are refused", GG_S("client", text),
          GG_U("bits", bits),
          GG_S("reason",
               reason == GG_CLOSE_SOURCE_RATE ? "limits.source_rate is reached" : "limits.source_sessions is reached"),
          GG_U("refused", refused), GG_S("listener", listener->options->name));
}

bool gg__source_enter(const struct gg_listener *listener, const struct gg_addr *client, uint8_t *bits,
                      enum gg_close *reason)
{
  struct gg_worker *worker = listener->worker;
  const struct gg_plane_options *options = worker->options;
  const struct gg_source_limits limits = {options->source_sessions_max, options->source_rate_max};
  unsigned source_bits = gg_source_bits(client, options->source_prefix6);
  uint64_t refused;
  *bits = 0;
  if (source_bits == 0)
    return true;
  switch (gg_source_table_take(worker->plane->sources, client, source_bits, &limits, worker->loop.now_ns, &refused)) {
  case GG_SOURCE_TAKEN:
    *bits = (uint8_t)source_bits;
    return true;
  case GG_SOURCE_UNCOUNTED:
    gg__count(worker, GG_COUNT_SOURCES_UNCOUNTED, 1);
    return true;
  case GG_SOURCE_TOO_MANY:
    *reason = GG_CLOSE_SOURCE_SESSIONS;
    break;
  case GG_SOURCE_TOO_FAST:
    *reason = GG_CLOSE_SOURCE_RATE;
    break;
  }
  if (refused > 0)
    tell(listener, client, source_bits, *reason, refused);
  return false;
}

void gg__source_leave(struct gg_worker *worker, const struct gg_addr *client, uint8_t bits)
{
  if (bits > 0)
    gg_source_table_give(worker->plane->sources, client, bits, worker->loop.now_ns);
}

void gg__source_refuse(struct gg_worker *worker, int fd, enum gg_close reason)
{
  gg__count(worker, reason == GG_CLOSE_SOURCE_RATE ? GG_COUNT_SOURCE_RATE : GG_COUNT_SOURCE_SESSIONS, 1);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(fd);
}
