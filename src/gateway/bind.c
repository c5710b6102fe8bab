/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With SO_REUSEPORT a second process would silently share a port, so a bind without it comes first and finds a port
 * in use. That probe is left out where only we can be the one who uses it: a listener that is about to leave; and where
 * the system chooses the port, which it does among those that nobody has.
 *
 * Accepted sockets inherit TCP_NODELAY, SO_OOBINLINE and SO_KEEPALIVE from the listener: no system call per session.
 *
 * How a TCP listener leaves. Closing a listening socket resets those in its queue and those whose handshake is half
 * way. So it gets a filter that drops packets with SYN and without ACK: no new handshake begins, while those that have
 * begun go on. Who is dropped tries again within a second, and is refused by then, as is right for a port on which
 * nobody listens. What is in the queue is accepted meanwhile, and the socket is closed when handshakes have had time
 * to end and the queue is empty. Tried on Linux 6.18 with 100 clients that connect as fast as they can, 20 times: close
 * alone, or accepting until the queue is empty and then closing, reset 3,700 of them; with the filter, and 5 ms, none.
 * (Rejected: to take it out of its group of SO_REUSEPORT sockets by a BPF program. That sends clients to the other
 * members, but here all members leave; and the last of a group can only be closed.)
 *
 * Some kernels (6.18 among those tried) let only CAP_NET_ADMIN attach a filter to a TCP socket. Then packets must come
 * with 255 hops left, as next to none do: the kernel looks at that for a SYN, and not for the end of a handshake that
 * has begun. Accepted sockets inherit it, so it is taken from them; what their clients sent before that comes again.
 * (Only where the kernel answers with SYN cookies, as it does when a queue overflows, is a handshake half way lost:
 * nothing but the listening socket knows of it, and its end has too few hops.)
 *
 * A unix listener has neither packets nor handshakes: its path is removed, and shutdown(2) refuses whoever had opened
 * the path before. What is in the queue stays to be accepted.
 *
 * A foreign socket is also the service manager's, and whatever is done to it is done to his: a filter, or a shutdown,
 * would be there for the next process. When its listener is removed, those who wait at that time are accepted, and it
 * is let go. What becomes of clients who come after that is its owner's business (engine/refusing.c).
 */
#include "gateway/bind.h"

#include "base/clock.h"
#include "gateway/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t PARTING_MAX_NS = GG_NS_PER_S;
enum { PARTING_AGAIN_US = 100 };

static int bind_failed(struct gg_failure *failure, const struct gg_endpoint *endpoint, int error)
{
  char text[400];
  gg_endpoint_format(endpoint, text, sizeof text);
  return gg_fail_errno(failure, error, "cannot listen on %s", text);
}

static bool is_unix(const struct gg_binding *binding)
{
  return binding->listen.family == GG_FAMILY_UNIX;
}

static bool has_path(const struct gg_binding *binding)
{
  return is_unix(binding) && binding->listen.path[0] != '@';
}

bool gg__binding_is_foreign(const struct gg_binding *binding, unsigned slot)
{
  return slot < binding->foreign_count;
}

static bool is_wildcard(const struct gg_addr *addr)
{
  static const uint8_t zero[16];
  return memcmp(addr->ip, zero, sizeof zero) == 0;
}

static int own_address(int fd, struct gg_addr *out)
{
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
    return errno;
  gg_addr_from_sockaddr(out, (struct sockaddr *)&address, length);
  return 0;
}

static void socket_add(struct gg_binding *binding, int fd, bool fresh)
{
  struct gg_socket *socket = &binding->sockets[binding->socket_count++];
  socket->fd = fd;
  socket->fresh = fresh;
  atomic_store(&socket->state, GG_SOCKET_OPEN);
}

/* ── TCP ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void inheritable_options(int fd)
{
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int tcp_socket(const struct gg_endpoint *endpoint, bool share, int *out)
{
  struct sockaddr_storage address;
  socklen_t length = gg_addr_to_sockaddr(&endpoint->addr, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share)
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  inheritable_options(fd);
  if (bind(fd, (struct sockaddr *)&address, length) != 0) {
    int error = errno;
    close(fd);
    return error;
  }
  *out = fd;
  return 0;
}

static bool overlap(const struct gg_binding *binding, const struct gg_endpoint *endpoint)
{
  return !is_unix(binding) && endpoint->port != 0 && binding->bound.port == endpoint->port &&
         (binding->wildcard || is_wildcard(&endpoint->addr) ||
          memcmp(binding->bound.addr.ip, endpoint->addr.ip, sizeof endpoint->addr.ip) == 0);
}

/* Whether it is a socket of our own that would be in the way of the probe, of a listener that is to leave. */
static bool is_ours(const struct gg_plane *plane, const struct gg_endpoint *endpoint)
{
  bool ours = false;
  for (const struct gg_list *node = plane->bindings.next; node != &plane->bindings; node = node->next) {
    const struct gg_binding *binding = GG_CONTAINER(node, struct gg_binding, node);
    if (!overlap(binding, endpoint))
      continue;
    if (binding->chosen) /* two listeners want the same */
      return false;
    for (unsigned i = 0; i < binding->socket_count && !ours; i++)
      ours = atomic_load(&binding->sockets[i].state) != GG_SOCKET_CLOSED;
  }
  return ours;
}

enum { TCP_FLAGS_AT = 13, TCP_SYN = 0x02, TCP_ACK = 0x10, TTL_GREATEST = 255 };

/* Of the IPv4 clients of a socket, and of the IPv6 ones where it is of that family. */
static void hops_least(int fd, int hops)
{
  setsockopt(fd, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops);
  setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &hops, sizeof hops);
}

/* Keeps new clients out of a listening socket: who is on the way still arrives, a new one sends its SYN again later.
 * Where a TCP socket's filter begins to look is the TCP header, in both families. */
static void filter_attach(int fd)
{
  static struct sock_filter drop_new[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_SYN | TCP_ACK),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_SYN, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  const struct sock_fprog program = {sizeof drop_new / sizeof drop_new[0], drop_new};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    hops_least(fd, TTL_GREATEST);
}

/* From a listening socket, or from one that was accepted there and has inherited it. */
static void filter_detach(int fd)
{
  int nothing = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof nothing) != 0) /* there was none */
    hops_least(fd, 0);
}

/* The first one of a listener, which knows whether there is IPv6. */
static int tcp_first(struct gg_endpoint *bound, bool share, int *out)
{
  int error = tcp_socket(bound, share, out);
  if (error != EAFNOSUPPORT || !is_wildcard(&bound->addr))
    return error;
  bound->addr = (struct gg_addr){.port = bound->addr.port, .family = GG_FAMILY_IPV4}; /* ":port" means IPv4 here */
  bound->family = GG_FAMILY_IPV4;
  return tcp_socket(bound, share, out);
}

/* Finds a port that is in use. */
static int tcp_probe(struct gg_endpoint *bound)
{
  int probe;
  int error = tcp_first(bound, false, &probe);
  if (error)
    return error;
  filter_attach(probe);                      /* a client that came to it would be reset when it is closed */
  error = listen(probe, 1) != 0 ? errno : 0; /* bind alone lets two sockets that do not listen share a port */
  close(probe);
  return error;
}

static void tcp_add(struct gg_binding *binding, int fd)
{
  socket_add(binding, fd, true);
  if (!atomic_load(&binding->elsewhere))
    return;
  struct gg_socket *added = &binding->sockets[binding->socket_count - 1];
  added->fresh = false; /* it does not listen with this snapshot: gg__binding_serve */
  atomic_store(&added->state, GG_SOCKET_BOUND);
}

/* Where 0 was asked for. A probe would not do: when it is closed, the port could become another gateway's, which shares
 * it as our own sockets do. The system chooses none that is shared, and the first socket keeps it. */
static int tcp_choose(struct gg_binding *binding)
{
  int fd;
  struct gg_addr address;
  int error = tcp_first(&binding->bound, true, &fd);
  if (error)
    return error;
  error = own_address(fd, &address);
  if (error) {
    close(fd);
    return error;
  }
  binding->bound.addr.port = binding->bound.port = address.port;
  tcp_add(binding, fd);
  return 0;
}

/* A socket for each worker, in the places that have none. */
static int tcp_fill(struct gg_binding *binding, unsigned workers, struct gg_failure *failure)
{
  while (binding->socket_count < workers) {
    int fd;
    int error = tcp_socket(&binding->bound, true, &fd);
    if (error)
      return bind_failed(failure, &binding->bound, error);
    tcp_add(binding, fd);
  }
  return GG_OK;
}

static int tcp_bind(struct gg_plane *plane, struct gg_binding *binding, struct gg_failure *failure)
{
  binding->bound = binding->listen;
  int error = 0;
  if (binding->listen.port == 0)
    error = tcp_choose(binding);
  else if (!is_ours(plane, &binding->listen))
    error = tcp_probe(&binding->bound);
  if (error)
    return bind_failed(failure, &binding->bound, error);
  binding->address = binding->bound.addr;
  binding->wildcard = is_wildcard(&binding->bound.addr);
  return tcp_fill(binding, plane->worker_count, failure);
}

/* ── Unix ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A socket file that nobody answers on is left from an earlier process. */
static bool unix_is_stale(const struct sockaddr_un *address, socklen_t length)
{
  struct stat status;
  if (address->sun_path[0] == '\0' || lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
    return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  bool stale = connect(fd, (const struct sockaddr *)address, length) != 0 && errno == ECONNREFUSED;
  close(fd);
  return stale;
}

/* Recorded as 127.0.0.1; the path is among the facts. */
static void unix_address(struct gg_plane *plane, struct gg_binding *binding)
{
  binding->bound = binding->listen;
  binding->shared = true;
  binding->address =
    (struct gg_addr){.ip = {127, 0, 0, 1}, .port = (uint16_t)plane->bindings_made, .family = GG_FAMILY_IPV4};
}

static int unix_bind(struct gg_plane *plane, struct gg_binding *binding, struct gg_failure *failure)
{
  unix_address(plane, binding);
  struct sockaddr_un address;
  socklen_t length = gg_endpoint_to_sockaddr_un(&binding->listen, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return bind_failed(failure, &binding->listen, errno);
  if (unix_is_stale(&address, length))
    unlink(address.sun_path);
  if (bind(fd, (struct sockaddr *)&address, length) != 0) {
    int error = errno;
    close(fd);
    return bind_failed(failure, &binding->listen, error);
  }
  socket_add(binding, fd, true); /* from here on the path is ours */
  return GG_OK;
}

/* ── Inherited ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static int int_option(int fd, int level, int name)
{
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

/* Where a socket listens. */
static int endpoint_of(int fd, struct gg_endpoint *out)
{
  struct sockaddr_storage storage = {0};
  socklen_t length = sizeof storage;
  *out = (struct gg_endpoint){0};
  if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
    return errno;
  if (storage.ss_family == AF_UNIX) {
    const struct sockaddr_un *address = (const struct sockaddr_un *)&storage;
    size_t path = length > offsetof(struct sockaddr_un, sun_path) ? length - offsetof(struct sockaddr_un, sun_path) : 0;
    out->family = GG_FAMILY_UNIX;
    memcpy(out->path, address->sun_path, path < sizeof out->path ? path : sizeof out->path - 1);
    if (path > 1 && out->path[0] == '\0')
      out->path[0] = '@';
    return 0;
  }
  gg_addr_from_sockaddr(&out->addr, (const struct sockaddr *)&storage, length);
  out->family = out->addr.family;
  out->port = out->addr.port;
  return out->family == GG_FAMILY_NONE ? EAFNOSUPPORT : 0;
}

/* ":80" is [::]:80, or 0.0.0.0:80 where there is no IPv6. */
static bool is_where(const struct gg_endpoint *wanted, const struct gg_endpoint *found)
{
  if (wanted->family == GG_FAMILY_UNIX || found->family == GG_FAMILY_UNIX)
    return wanted->family == found->family && strcmp(wanted->path, found->path) == 0;
  if (wanted->port != 0 && wanted->port != found->port)
    return false;
  return memcmp(wanted->addr.ip, found->addr.ip, sizeof wanted->addr.ip) == 0 &&
         (wanted->family == found->family || (is_wildcard(&wanted->addr) && wanted->family == GG_FAMILY_IPV6));
}

static int inherit_one(struct gg_binding *binding, int fd, struct gg_failure *failure)
{
  char wanted[400], found[400];
  struct gg_endpoint endpoint;
  gg_endpoint_format(binding->socket_count > 0 ? &binding->bound : &binding->listen, wanted, sizeof wanted);
  if (int_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 || int_option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
    return gg_fail(failure, GG_ERR_INVALID, "descriptor %d, inherited to listen on %s, is no listening stream socket",
                   fd, wanted);
  int error = endpoint_of(fd, &endpoint);
  if (error)
    return gg_fail_errno(failure, error, "cannot find out where inherited descriptor %d listens", fd);
  if (!is_where(binding->socket_count > 0 ? &binding->bound : &binding->listen, &endpoint)) {
    gg_endpoint_format(&endpoint, found, sizeof found);
    return gg_fail(failure, GG_ERR_INVALID, "descriptor %d, inherited to listen on %s, listens on %s", fd, wanted,
                   found);
  }
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  int flags = own >= 0 ? fcntl(own, F_GETFL) : -1;
  if (flags < 0 || fcntl(own, F_SETFL, flags | O_NONBLOCK) != 0) {
    error = errno;
    if (own >= 0)
      close(own);
    return gg_fail_errno(failure, error, "cannot take over descriptor %d, which listens on %s", fd, wanted);
  }
  if (endpoint.family != GG_FAMILY_UNIX)
    inheritable_options(own);
  binding->bound = endpoint;
  socket_add(binding, own, false);
  return GG_OK;
}

/* Sockets of the process before, one for each of its workers, or one for all from the service manager. */
static int inherit(struct gg_plane *plane, struct gg_binding *binding, const struct gg_listener_options *options,
                   struct gg_failure *failure)
{
  binding->foreign_count = (unsigned)options->inherited_foreign;
  assert(options->inherited_foreign <= options->inherited_count);
  atomic_store(&binding->elsewhere, options->inherited_lent);
  atomic_store(&binding->waits, options->inherited_lent);
  if (options->inherited_count > GG_SOCKETS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d inherited sockets for listener %s", GG_SOCKETS_MAX,
                   options->name);
  if (is_unix(binding) && options->inherited_count > 1)
    return gg_fail(failure, GG_ERR_INVALID, "listener %s inherits %zu sockets of one path", options->name,
                   options->inherited_count);
  for (size_t i = 0; i < options->inherited_count; i++) {
    int error = inherit_one(binding, options->inherited[i], failure);
    if (error)
      return error;
  }
  if (is_unix(binding)) {
    unix_address(plane, binding);
    return GG_OK;
  }
  binding->address = binding->bound.addr;
  binding->wildcard = is_wildcard(&binding->bound.addr);
  if (int_option(binding->sockets[0].fd, SOL_SOCKET, SO_REUSEPORT) == 1)
    return tcp_fill(binding, plane->worker_count, failure);
  binding->shared = true; /* none of ours: it was made for one process that is started anew */
  binding->foreign_count = binding->socket_count;
  return GG_OK;
}

/* ── Finding, making, freeing ────────────────────────────────────────────────────────────────────────────────────── */

static bool is_same(const struct gg_binding *binding, const struct gg_listener_options *options)
{
  const struct gg_endpoint *a = &binding->listen, *b = &options->listen;
  if (a->family != b->family || a->port != b->port)
    return false;
  if (a->family == GG_FAMILY_UNIX)
    return strcmp(a->path, b->path) == 0;
  return gg_addr_equal(&a->addr, &b->addr) && (a->port != 0 || strcmp(binding->name, options->name) == 0);
}

static bool is_left(const struct gg_binding *binding)
{
  for (unsigned i = 0; i < binding->socket_count; i++)
    if (atomic_load(&binding->sockets[i].state) >= GG_SOCKET_LEAVING)
      return true;
  return false;
}

/* A worker closes what parts within its turn: a few system calls, and as long as it waits for a processor. */
static bool wait_closed(struct gg_binding *binding)
{
  uint64_t until_ns = gg_clock_mono_ns() + PARTING_MAX_NS;
  for (unsigned i = 0; i < binding->socket_count; i++)
    while (atomic_load(&binding->sockets[i].state) == GG_SOCKET_PARTING) {
      if (gg_clock_mono_ns() > until_ns)
        return false;
      usleep(PARTING_AGAIN_US);
    }
  return true;
}

static void want_no_more(struct gg_binding *binding)
{
  for (unsigned i = 0; i < binding->socket_count; i++) {
    int wanted = GG_SOCKET_WANTED;
    atomic_compare_exchange_strong(&binding->sockets[i].state, &wanted, GG_SOCKET_LEAVING);
  }
}

/* A binding that has been removed, and may be had again while it leaves: those of its sockets that no worker has
 * closed meanwhile, if there is one. None of the others parts any more: their places can be filled. */
static bool want_again(struct gg_binding *binding)
{
  unsigned wanted = 0;
  if (binding->shared || binding->foreign_count > 0)
    return false;
  for (unsigned i = 0; i < binding->socket_count; i++) {
    int leaving = GG_SOCKET_LEAVING;
    wanted += atomic_compare_exchange_strong(&binding->sockets[i].state, &leaving, GG_SOCKET_WANTED);
  }
  if (wanted > 0 && wait_closed(binding))
    return true;
  want_no_more(binding); /* it leaves; the listener gets sockets of its own */
  return false;
}

static struct gg_binding *find(struct gg_plane *plane, const struct gg_listener_options *options)
{
  for (struct gg_list *node = plane->bindings.next; node != &plane->bindings; node = node->next) {
    struct gg_binding *binding = GG_CONTAINER(node, struct gg_binding, node);
    if (is_same(binding, options) && !binding->chosen && (!is_left(binding) || want_again(binding)))
      return binding;
  }
  return NULL;
}

/* The workers whose sockets are closed by now get others. */
static int refill(struct gg_binding *binding, struct gg_failure *failure)
{
  for (unsigned i = 0; i < binding->socket_count; i++) {
    struct gg_socket *socket = &binding->sockets[i];
    if (atomic_load(&socket->state) != GG_SOCKET_CLOSED)
      continue;
    int error = tcp_socket(&binding->bound, true, &socket->fd);
    if (error)
      return bind_failed(failure, &binding->bound, error);
    socket->fresh = true;
    atomic_store(&socket->left, false);
  }
  return GG_OK;
}

static void binding_free(struct gg_binding *binding)
{
  gg_list_remove(&binding->node);
  if (has_path(binding) && binding->socket_count > 0 && binding->foreign_count == 0 &&
      !atomic_load(&binding->elsewhere) && !atomic_load(&binding->parted))
    unlink(binding->bound.path);
  for (unsigned i = 0; i < binding->socket_count; i++)
    if (atomic_load(&binding->sockets[i].state) != GG_SOCKET_CLOSED)
      close(binding->sockets[i].fd);
  free(binding->name);
  free(binding);
}

int gg__binding_make(struct gg_binding **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure)
{
  struct gg_binding *binding = calloc(1, sizeof *binding);
  if (!binding)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for listener %s", options->name);
  gg_list_init(&binding->node);
  binding->listen = options->listen;
  binding->name = strdup(options->name);
  atomic_store(&binding->refs, 1);
  plane->bindings_made++;
  int error = !binding->name ? gg_fail(failure, GG_ERR_NOMEM, "no memory for listener %s", options->name)
              : options->inherited_count > 0 ? inherit(plane, binding, options, failure)
              : is_unix(binding)             ? unix_bind(plane, binding, failure)
                                             : tcp_bind(plane, binding, failure);
  if (error) {
    binding_free(binding);
    return error;
  }
  gg_list_append(&plane->bindings, &binding->node);
  binding->chosen = true;
  *out = binding;
  return GG_OK;
}

int gg__binding_find(struct gg_binding **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_failure *failure)
{
  *out = find(plane, options);
  if (!*out)
    return GG_OK;
  (*out)->chosen = true; /* on an error as well: what was begun has to be settled */
  return refill(*out, failure);
}

static int set_mode(struct gg_binding *binding, unsigned mode, struct gg_failure *failure)
{
  if (!has_path(binding) || binding->foreign_count > 0 || atomic_load(&binding->elsewhere) || mode == 0 ||
      mode == binding->unix_mode)
    return GG_OK;
  if (chmod(binding->bound.path, mode) != 0)
    return bind_failed(failure, &binding->bound, errno);
  binding->mode_before = binding->unix_mode;
  binding->unix_mode = mode;
  return GG_OK;
}

static void mode_settle(struct gg_binding *binding, bool done)
{
  if (!done && binding->mode_before != 0 && chmod(binding->bound.path, binding->mode_before) == 0)
    binding->unix_mode = binding->mode_before;
  binding->mode_before = 0;
}

int gg__binding_listen(struct gg_binding *binding, const struct gg_listener_options *options,
                       struct gg_failure *failure)
{
  int error = set_mode(binding, options->unix_mode, failure);
  for (unsigned i = 0; i < binding->socket_count && !error; i++)
    if (binding->sockets[i].fresh && listen(binding->sockets[i].fd, GG_BACKLOG) != 0)
      error = bind_failed(failure, &binding->bound, errno);
  return error;
}

static void socket_settle(struct gg_socket *socket, bool done)
{
  int wanted = GG_SOCKET_WANTED;
  if (socket->fresh && done)
    atomic_store(&socket->state, GG_SOCKET_OPEN);
  else if (socket->fresh && atomic_load(&socket->state) == GG_SOCKET_CLOSED)
    close(socket->fd);
  socket->fresh = false;
  if (atomic_compare_exchange_strong(&socket->state, &wanted, done ? GG_SOCKET_OPEN : GG_SOCKET_LEAVING) && done)
    filter_detach(socket->fd);
}

void gg__bindings_settle(struct gg_plane *plane, bool done)
{
  struct gg_list *next;
  for (struct gg_list *node = plane->bindings.next; node != &plane->bindings; node = next) {
    struct gg_binding *binding = GG_CONTAINER(node, struct gg_binding, node);
    next = node->next;
    if (!binding->chosen)
      continue;
    binding->chosen = false;
    if (!done && atomic_load(&binding->refs) == 1) { /* it was made for this */
      binding_free(binding);
      continue;
    }
    mode_settle(binding, done);
    for (unsigned i = 0; i < binding->socket_count; i++)
      socket_settle(&binding->sockets[i], done);
  }
}

void gg__bindings_sweep(struct gg_plane *plane, bool all)
{
  struct gg_list *next;
  for (struct gg_list *node = plane->bindings.next; node != &plane->bindings; node = next) {
    struct gg_binding *binding = GG_CONTAINER(node, struct gg_binding, node);
    next = node->next;
    if (all || atomic_load_explicit(&binding->refs, memory_order_acquire) == 1)
      binding_free(binding);
  }
}

/* ── Taken over ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* An errno value. */
static int begin(struct gg_socket *socket)
{
  if (atomic_load(&socket->state) != GG_SOCKET_BOUND)
    return 0;
  if (listen(socket->fd, GG_BACKLOG) != 0)
    return errno;
  atomic_store(&socket->state, GG_SOCKET_OPEN);
  return 0;
}

int gg__binding_serve(struct gg_binding *binding, bool beside, struct gg_failure *failure)
{
  int error = 0;
  for (unsigned i = 0; i < binding->socket_count && !beside; i++) {
    int refused = begin(&binding->sockets[i]);
    error = refused ? refused : error;
  }
  if (!beside)
    atomic_store_explicit(&binding->elsewhere, false, memory_order_release);
  atomic_store_explicit(&binding->waits, false, memory_order_release);
  return error ? bind_failed(failure, &binding->bound, error) : GG_OK;
}

bool gg__binding_serves(struct gg_binding *binding, unsigned slot)
{
  struct gg_socket *socket = &binding->sockets[slot];
  if (atomic_load_explicit(&binding->waits, memory_order_acquire))
    return false;
  if (atomic_load(&socket->state) != GG_SOCKET_BOUND)
    return true;
  return !atomic_load_explicit(&binding->elsewhere, memory_order_acquire) && begin(socket) == 0;
}

void gg__binding_unref(struct gg_binding *binding)
{
  unsigned before = atomic_fetch_sub_explicit(&binding->refs, 1, memory_order_release);
  assert(before > 1);
  (void)before;
}

/* ── Leaving ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__binding_leave(struct gg_binding *binding, unsigned slot)
{
  struct gg_socket *socket = &binding->sockets[slot];
  if (gg__binding_is_foreign(binding, slot)) {
    atomic_store(&socket->state, GG_SOCKET_LEAVING);
    return;
  }
  if (is_unix(binding)) {
    if (atomic_exchange(&binding->parted, true))
      return;
    if (has_path(binding))
      unlink(binding->bound.path);
    shutdown(socket->fd, SHUT_RD);
  } else {
    atomic_store(&socket->left, true);
    filter_attach(socket->fd);
  }
  atomic_store(&socket->state, GG_SOCKET_LEAVING);
}

/* Also when the socket leaves no more: who ended the handshake before that may have waited in the queue since. */
void gg__binding_accepted(const struct gg_binding *binding, unsigned slot, int fd)
{
  if (atomic_load_explicit(&binding->sockets[slot].left, memory_order_relaxed))
    filter_detach(fd);
}

/* Who waits to be accepted at a listening TCP socket, and how many may. */
static bool queue_of(int fd, uint32_t *waiting, uint32_t *most)
{
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state != TCP_LISTEN)
    return false;
  *waiting = info.tcpi_unacked;
  *most = info.tcpi_sacked;
  return true;
}

uint32_t gg__binding_waiting(const struct gg_binding *binding, unsigned slot)
{
  uint32_t waiting, most;
  if (is_unix(binding))
    return GG_BACKLOG;
  return queue_of(binding->sockets[slot].fd, &waiting, &most) ? waiting : 0;
}

bool gg__binding_overflows(const struct gg_binding *binding, unsigned slot)
{
  uint32_t waiting, most;
  return !is_unix(binding) && queue_of(binding->sockets[slot].fd, &waiting, &most) && waiting >= most;
}

bool gg__binding_accepts_at(const struct gg_binding *binding, const struct gg_endpoint *place)
{
  if (binding->foreign_count == 0 || !is_where(place, &binding->bound))
    return false;
  for (unsigned i = 0; i < binding->foreign_count; i++)
    if (atomic_load(&binding->sockets[i].users) > 0)
      return true;
  return false;
}

static bool is_open(const struct gg_socket *socket)
{
  int state = atomic_load(&socket->state);
  return state != GG_SOCKET_PARTING && state != GG_SOCKET_CLOSED;
}

/* A worker may close a socket at any moment, and another descriptor have its number; it says so before. */
void gg__binding_queue(const struct gg_binding *binding, struct gg_accept_queue *out)
{
  for (unsigned i = 0; i < binding->socket_count && !is_unix(binding); i++) {
    const struct gg_socket *socket = &binding->sockets[i];
    uint32_t waiting, most;
    if (!is_open(socket) || !queue_of(socket->fd, &waiting, &most) || !is_open(socket))
      continue;
    out->waiting += waiting;
    out->longest = waiting > out->longest ? waiting : out->longest;
    out->limit = most > out->limit ? most : out->limit;
  }
}

bool gg__binding_may_part(struct gg_binding *binding, unsigned slot)
{
  int leaving = GG_SOCKET_LEAVING;
  return binding->shared || atomic_compare_exchange_strong(&binding->sockets[slot].state, &leaving, GG_SOCKET_PARTING);
}

void gg__binding_drop(struct gg_binding *binding, unsigned slot)
{
  struct gg_socket *socket = &binding->sockets[slot];
  if (atomic_fetch_sub(&socket->users, 1) != 1)
    return;
  int fd = socket->fd; /* from CLOSED on the place is the engine's, which may fill it at once */
  atomic_store(&socket->state, GG_SOCKET_PARTING);
  close(fd);
  atomic_store(&socket->state, GG_SOCKET_CLOSED);
}
