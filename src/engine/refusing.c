/* SPDX-License-Identifier: Apache-2.0 */
/**
 * refusing.c - clients who come to a socket of a parent's that no listener has.
 *
 * A parent (systemd) listens on its sockets whatever we do. So when a reload removes a listener that had one of them,
 * the kernel goes on to complete handshakes there, and who connects would wait for somebody who never comes, while the
 * operator believes the port closed. We cannot close it: shutdown(2), or a filter, would be there for the parent and
 * the next process, too. So they are accepted here and reset at once, which is what they would get at a port without a
 * listener, one round trip later.
 *
 *     reload removes the listener ──► its workers serve who waits, and let the socket go
 *                                     ──► gg_plane_accepts_at: false ──► polled here ──► who comes is reset
 *     reload adds it again        ──► gg_plane_accepts_at: true, and we leave the socket alone
 *
 * Who comes between two looks of ours, a second at the most, waits until the next. A process that drains, or ends,
 * refuses nobody: who comes then waits in the queue for the next process, as whoever uses socket activation expects. So
 * does who comes while another process takes over. That one begins to accept when this one has let go, and not before:
 * it might have a listener there, and a client must not be served or reset by who is the faster. If it has none, and
 * the one before had, it refuses nobody for another two seconds: that one serves who waits there.
 *
 * (Rejected: to leave them waiting, as clients of a successor. There is none when a listener is removed: the parent
 * starts us again when we end, not when we do not accept. And 4,096 dead connections would be the first that a listener
 * serves which is added there a day later.)
 *
 * Thread: the engine's.
 */
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/report.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  REFUSED_MAX = 64, /* of one socket, before others have their turn */
  ADDRESS_TEXT_MAX = 512,
};

static const uint64_t again_ns = 200 * GG_NS_PER_MS; /* at a socket that could not be accepted from */
static const uint64_t served_first_ns = 2 * GG_NS_PER_S;

/* Whoever takes over has these sockets as well, and perhaps a listener there: who comes may be its client. */
static bool is_taken_over(const struct gg_gateway *engine)
{
  gg__engine_lock(engine);
  bool taken_over = engine->handing.client != 0;
  gg__engine_unlock(engine);
  return taken_over;
}

/* In milliseconds, rounded up: not to look too early and find nothing. */
static int time_left(const struct gg_listen_fd *item, uint64_t now_ns)
{
  return item->refuse_after_ns > now_ns ? (int)((item->refuse_after_ns - now_ns + GG_NS_PER_MS - 1) / GG_NS_PER_MS) : 0;
}

void gg__refusing_wait(struct gg_gateway *engine)
{
  for (size_t i = 0; i < engine->parents->count; i++)
    engine->parents->items[i].refuse_after_ns = gg_clock_mono_ns() + served_first_ns;
}

size_t gg__refusing_polled(const struct gg_gateway *engine, struct pollfd *out, int *again_ms)
{
  size_t count = 0;
  if (atomic_load(&engine->state) != GG_ENGINE_RUNNING || is_taken_over(engine))
    return 0;
  uint64_t now_ns = gg_clock_mono_ns();
  for (size_t i = 0; i < engine->parents->count; i++) {
    const struct gg_listen_fd *item = &engine->parents->items[i];
    if (gg_plane_accepts_at(engine->plane, &item->endpoint))
      continue;
    int left_ms = time_left(item, now_ns);
    if (left_ms == 0)
      out[count++] = (struct pollfd){.fd = item->fd, .events = POLLIN};
    else if (left_ms < *again_ms)
      *again_ms = left_ms;
  }
  return count;
}

static void refuse(const struct gg_gateway *engine, int fd, const struct gg_endpoint *place,
                   const struct gg_addr *client)
{
  const struct linger reset = {.l_onoff = 1};
  char from[GG_ADDR_TEXT_MAX], to[ADDRESS_TEXT_MAX];
  gg_addr_format(client, from, sizeof from);
  gg_endpoint_format(place, to, sizeof to);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  gg_warn(engine->logger, "refused at a parent's socket", GG_S("address", to), GG_S("client", from),
          GG_S("reason", "no listener of the configuration is there"));
}

static void refuse_some(struct gg_gateway *engine, struct gg_listen_fd *item)
{
  for (unsigned i = 0; i < REFUSED_MAX; i++) {
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    struct gg_addr client;
    int fd = accept4(item->fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      gg_addr_from_sockaddr(&client, (const struct sockaddr *)&peer, length);
      refuse(engine, fd, &item->endpoint, &client);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
      item->refuse_after_ns = gg_clock_mono_ns() + again_ns; /* out of descriptors, or the parent has shut it */
    return;
  }
}

void gg__refusing_serve(struct gg_gateway *engine, const struct pollfd *polled, size_t count)
{
  size_t at = 0;
  if (count == 0 || is_taken_over(engine)) /* since it was polled */
    return;
  for (size_t i = 0; i < engine->parents->count && at < count; i++) {
    if (engine->parents->items[i].fd != polled[at].fd)
      continue;
    if (polled[at].revents)
      refuse_some(engine, &engine->parents->items[i]);
    at++;
  }
}

void gg__refusing_report(const struct gg_gateway *engine, struct gg_report *report)
{
  char text[ADDRESS_TEXT_MAX];
  for (size_t i = 0; i < engine->parents->count; i++) {
    const struct gg_listen_fd *item = &engine->parents->items[i];
    if (gg__listen_fd_is_owned(item, &engine->now->config))
      continue;
    gg_endpoint_format(&item->endpoint, text, sizeof text);
    gg__report_add(
      report, GG_REPORT_WARNING,
      "%.200s is a parent's socket without a listener: clients there are refused, and so is the next start "
      "if the parent still has it",
      text);
  }
}
