/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/listen_fds.h"

#include "base/text.h"
#include "engine/config_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACE_TEXT_MAX = 512 };

/* ── The environment ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* How many there are for this process; 0 without the variables, or with another's. */
static int count_fds(uint64_t *out, struct gg_failure *failure)
{
  const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
  uint64_t number;
  *out = 0;
  if (!pid || !fds)
    return 0;
  if (gg_text_parse_count(&number, pid) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "LISTEN_PID is '%.40s', which is no process", pid);
  if (number != (uint64_t)getpid())
    return 0;
  if (gg_text_parse_count(out, fds) != 0 || *out > GG_LISTEN_FDS_MAX)
    return gg_fail(failure, GG_ERR_INVALID, "LISTEN_FDS is '%.40s', which is no number from 0 to %d", fds,
                   GG_LISTEN_FDS_MAX);
  return 0;
}

static int endpoint_of(struct gg_endpoint *out, int fd)
{
  struct sockaddr_storage address = {0};
  const struct sockaddr_un *local = (const struct sockaddr_un *)&address;
  socklen_t length = sizeof address;
  memset(out, 0, sizeof *out);
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
    return GG_ERR_INVALID;
  if (address.ss_family == AF_INET || address.ss_family == AF_INET6) {
    gg_addr_from_sockaddr(&out->addr, (const struct sockaddr *)&address, length);
    out->family = (enum gg_family)out->addr.family;
    out->port = out->addr.port;
    return 0;
  }
  if (address.ss_family != AF_UNIX || length <= offsetof(struct sockaddr_un, sun_path))
    return GG_ERR_INVALID;
  size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
  out->family = GG_FAMILY_UNIX;
  memcpy(out->path, local->sun_path, bytes < sizeof out->path ? bytes : sizeof out->path - 1);
  if (out->path[0] == '\0')
    out->path[0] = '@';
  return 0;
}

static int take_one(struct gg_listen_fd *item, struct gg_failure *failure)
{
  int accepts = 0, type = 0;
  socklen_t length = sizeof accepts;
  int flags = fcntl(item->fd, F_GETFL);
  if (flags < 0)
    return gg_fail(failure, GG_ERR_INVALID, "LISTEN_FDS: there is no descriptor %d", item->fd);
  if (getsockopt(item->fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) != 0 || !accepts ||
      getsockopt(item->fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM ||
      endpoint_of(&item->endpoint, item->fd) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "LISTEN_FDS: descriptor %d is no stream socket that listens", item->fd);
  if (fcntl(item->fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(item->fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return gg_fail_errno(failure, errno, "LISTEN_FDS: descriptor %d", item->fd);
  item->asked = item->endpoint;
  return 0;
}

/* The next of the names, which colons part. */
static const char *take_name(const char *names, char out[GG_LISTEN_FDS_NAME_MAX])
{
  size_t length = names ? strcspn(names, ":") : 0;
  snprintf(out, GG_LISTEN_FDS_NAME_MAX, "%.*s", (int)(length < INT16_MAX ? length : INT16_MAX), names ? names : "");
  return names && names[length] == ':' ? names + length + 1 : NULL;
}

int gg__listen_fds_take(struct gg_listen_fds *out, struct gg_failure *failure)
{
  uint64_t count;
  int error = count_fds(&count, failure);
  const char *names = getenv("LISTEN_FDNAMES");
  out->count = 0;
  for (uint64_t i = 0; i < count && !error; i++) {
    struct gg_listen_fd *item = &out->items[i];
    item->fd = GG_LISTEN_FDS_FIRST + (int)i;
    item->ours = true;
    names = take_name(names, item->name);
    error = take_one(item, failure);
  }
  if (!error)
    out->count = (size_t)count;
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return error;
}

/* ── Whose they are ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* The first listener at that place; the count if there is none. Where port 0 was asked for the name counts, too. */
static size_t listener_at(const struct gg_config *config, const struct gg_endpoint *place, const char *name)
{
  struct gg_config_listener there = {.listen_endpoint = *place, .name = (char *)(uintptr_t)name};
  size_t i = 0;
  while (i < config->listener_count && !gg__config_same_listener(&config->listeners[i], &there))
    i++;
  return i;
}

/* The listener at whose address it is, else the one that had it first. */
static size_t owner(const struct gg_listen_fd *item, const struct gg_config *config)
{
  size_t i = listener_at(config, &item->endpoint, item->name);
  return i < config->listener_count ? i : listener_at(config, &item->asked, item->name);
}

/* Or, at start, the one of its name, which it is the socket of from then on, if only the address fits. */
static size_t first_owner(struct gg_listen_fd *item, const struct gg_config *config)
{
  size_t i = owner(item, config);
  if (i < config->listener_count || !item->ours)
    return i;
  for (i = 0; i < config->listener_count && strcmp(config->listeners[i].name, item->name) != 0;)
    i++;
  if (i < config->listener_count)
    item->asked = config->listeners[i].listen_endpoint;
  return i;
}

bool gg__listen_fd_is_owned(const struct gg_listen_fd *item, const struct gg_config *config)
{
  return owner(item, config) < config->listener_count;
}

/* Whether they are the same socket: each process has a descriptor of its own for it. */
static bool is_same_socket(int a, int b)
{
  struct stat one, other;
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool is_among(int fd, const int *others, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (is_same_socket(fd, others[i]))
      return true;
  return false;
}

int gg__listen_fds_add(struct gg_listen_fds *fds, int fd, const char *name, const struct gg_endpoint *asked,
                       struct gg_failure *failure)
{
  for (size_t i = 0; i < fds->count; i++)
    if (is_same_socket(fd, fds->items[i].fd))
      return 0;
  if (fds->count == GG_LISTEN_FDS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "there are more than %d sockets from parents", GG_LISTEN_FDS_MAX);
  struct gg_listen_fd *item = &fds->items[fds->count];
  *item = (struct gg_listen_fd){.fd = fcntl(fd, F_DUPFD_CLOEXEC, GG_LISTEN_FDS_FIRST)};
  if (item->fd < 0)
    return gg_fail_errno(failure, errno, "cannot keep a parent's socket");
  fds->count++;
  if (endpoint_of(&item->endpoint, item->fd) != 0)
    return gg_fail(failure, GG_ERR_INVALID, "what is to be kept as a parent's socket is none");
  snprintf(item->name, sizeof item->name, "%s", name);
  item->asked = *asked;
  return 0;
}

/* The listener has the sockets of the process that is taken over. If a parent's were others, then who connects to those
 * would wait for somebody who never comes. */
static int match_taken(const struct gg_listen_fds *fds, const int *sorted, size_t count,
                       const struct gg_listener_options *listener, struct gg_failure *failure)
{
  char text[PLACE_TEXT_MAX];
  for (size_t i = 0; i < fds->count; i++) {
    const struct gg_listen_fd *item = &fds->items[i];
    if (!item->ours || !is_among(item->fd, sorted, count) ||
        is_among(item->fd, listener->inherited, listener->inherited_count))
      continue;
    gg_endpoint_format(&item->endpoint, text, sizeof text);
    return gg_fail(
      failure, GG_ERR_INVALID,
      "LISTEN_FDS: descriptor %d listens on %.200s, where the process that is to be taken over has another "
      "socket; clients would wait at one of them without end: stop that process first, or start this one "
      "without the descriptor",
      item->fd, text);
  }
  return 0;
}

/* Sorts the descriptors by their owners, so that each listener's are one behind the other, and gives each listener its
 * own; one that has sockets already, from the process before, keeps those, and they must be the same. */
static int give(struct gg_listen_fds *fds, const size_t *owners, struct gg_configured *configured,
                struct gg_failure *failure)
{
  size_t at = 0;
  int error = 0;
  for (size_t i = 0; i < configured->config.listener_count && !error; i++) {
    struct gg_listener_options *listener = &configured->listeners[i];
    size_t first = at;
    for (size_t j = 0; j < fds->count; j++)
      if (owners[j] == i)
        fds->sorted[at++] = fds->items[j].fd;
    if (at > first && listener->inherited_count > 0) {
      error = match_taken(fds, fds->sorted + first, at - first, listener, failure);
      if (listener->inherited_foreign == 0) /* the process before did not have it from the parent */
        listener->inherited_foreign = listener->inherited_count;
    } else if (at > first) {
      listener->inherited = fds->sorted + first;
      listener->inherited_count = listener->inherited_foreign = at - first;
    }
  }
  return error;
}

int gg__listen_fds_match(struct gg_listen_fds *fds, struct gg_configured *configured, struct gg_failure *failure)
{
  char text[PLACE_TEXT_MAX];
  size_t owners[GG_LISTEN_FDS_MAX];
  for (size_t i = 0; i < fds->count; i++) {
    owners[i] = first_owner(&fds->items[i], &configured->config);
    if (owners[i] < configured->config.listener_count || !fds->items[i].ours)
      continue;
    gg_endpoint_format(&fds->items[i].endpoint, text, sizeof text);
    return gg_fail(failure, GG_ERR_NOT_FOUND,
                   "LISTEN_FDS: descriptor %d listens on %.200s, where no listener of the configuration does, and none "
                   "is called '%.64s'",
                   fds->items[i].fd, text, fds->items[i].name);
  }
  return give(fds, owners, configured, failure);
}

void gg__listen_fds_lend(struct gg_listen_fds *fds, struct gg_configured *configured)
{
  size_t owners[GG_LISTEN_FDS_MAX];
  for (size_t i = 0; i < fds->count; i++)
    owners[i] = owner(&fds->items[i], &configured->config);
  give(fds, owners, configured, NULL); /* cannot fail: in a reload no listener has sockets from another process */
}

void gg__listen_fds_given(struct gg_configured *configured)
{
  for (size_t i = 0; configured->listeners && i < configured->config.listener_count; i++) {
    configured->listeners[i].inherited = NULL;
    configured->listeners[i].inherited_count = configured->listeners[i].inherited_foreign = 0;
  }
}

void gg__listen_fds_close(struct gg_listen_fds *fds)
{
  for (size_t i = 0; fds && i < fds->count; i++)
    close(fds->items[i].fd);
  if (fds)
    fds->count = 0;
}
