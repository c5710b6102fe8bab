/* SPDX-License-Identifier: Apache-2.0 */
/* bounds.c - the bounds that no option changes, as docs/config.md lists them: taken from the code that keeps them. */
#include "engine/bounds.h"

#include "admin/control.h"
#include "base/metrics.h"
#include "engine/config.h"
#include "engine/listen_fds.h"
#include "engine/report.h"
#include "engine/takeover.h"
#include "gateway/relay.h"
#include "gateway/sources.h"
#include "gateway/worker.h"
#include "net/netstat.h"
#include "net/proxy_protocol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char *what;
  uint64_t value;
  const char *beyond; /* what happens */
} bounds[] = {
  {"listeners", GG_CONFIG_LISTENERS_MAX, "refused at start or reload"},
  {"workers", GG_CONFIG_WORKERS_MAX, "refused at start"},
  {"upstreams of a listener", GG_UPSTREAMS_MAX, "refused at start or reload"},
  {"trusted networks of a listener", GG_CONFIG_TRUSTED_MAX, "refused at start or reload"},
  {"clients that one turn of a listener accepts", GG_ACCEPT_BATCH, "the rest have the next turn"},
  {"bytes of a PROXY header", GG_PROXY_HEADER_MAX,
   "the session is closed (`proxy-invalid`); of version 1 the protocol allows 107"},
  {"sources that are counted", GG_SOURCES_MAX, "let in uncounted; metric `sources_uncounted`"},
  {"messages a second about refused sources", GG_SOURCE_SHARDS *GG_SOURCE_TOLD_MAX,
   "counted in the metrics, and in the source's next message"},
  {"bytes of one read", GG_READ_BULK_BYTES, "another read follows"},
  {"reads of a direction in one turn", GG_TURN_STEPS, "other sessions have their turn first"},
  {"events of one wait of a worker", GG_LOOP_EVENTS_MAX, "the rest come with the next"},
  {"pipes of a worker", GG_PIPES_MAX, "bulk data is received in place"},
  {"bytes of a pipe", GG_PIPE_BYTES, "what the kernel grants if it is less"},
  {"closed sessions of a log whose last packet waits for room, unless policy is `block`", GG_CLOSING_MAX,
   "the oldest is counted as lost"},
  {"clients of the control socket", GG_CONTROL_CLIENTS_MAX, "refused"},
  {"bytes of a request to the control socket", GG_CONTROL_LINE_MAX, "the client is told, and cut off"},
  {"bytes of a reply of the control socket", GG_CONTROL_REPLY_MAX, "an error is the reply"},
  {"descriptors with a reply of the control socket", GG_CONTROL_FDS_MAX, "a takeover is refused"},
  {"lines that a reload tells", GG_REPORT_LINES_MAX, "their number is told"},
  {"processes that still end, of those taken over from", GG_SIBLINGS_MAX, "a takeover is refused"},
  {"sockets from a parent (`LISTEN_FDS`)", GG_LISTEN_FDS_MAX, "refused at start"},
  {"members of a family of metrics", GG_FAMILY_MEMBERS_MAX, "refused at start or reload"},
  {"threads that count", GG_SHARDS_MAX, "refused at start"},
  {"bytes that are read of /proc/net/netstat", GG_NETSTAT_BYTES_MAX, "the rest is not looked at"},
};

char *gg__bounds_document(void)
{
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  if (!out)
    return NULL;
  fputs("\n## Bounds that no option changes\n\nEverything is bounded. Besides the options above these are fixed:\n\n"
        "| at most | how many | beyond it |\n|---|---|---|\n",
        out);
  for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
    fprintf(out, "| %s | %" PRIu64 " | %s |\n", bounds[i].what, bounds[i].value, bounds[i].beyond);
  fputs("\nClients whose handshake the kernel has completed wait in its queue, of 4096 at most and of "
        "`net.core.somaxconn`; what\nis beyond it the kernel drops and counts (metrics `kernel_listen_overflows` and "
        "others).\n",
        out);
  bool failed = ferror(out) != 0;
  if (fclose(out) == 0 && !failed)
    return text;
  free(text);
  return NULL;
}
