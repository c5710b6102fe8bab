/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads, one a side, each with an epoll of its own. The clients' thread keeps `concurrency`
 * sessions open until all were started; the server's thread accepts until the clients have finished
 * and nothing more can come. Results are slots of two arrays, written by one thread each and read
 * when both are joined. One process for both ends would also work with one thread, but then a
 * machine with two cores would test with one of them idle.
 */
#include "endpoints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_MAX 256
/* After the clients are done: how long no connection may arrive before those that are missing count as never made. */
#define QUIET_NS UINT64_C(1000000000)
#define NS_PER_S UINT64_C(1000000000)

struct run {
  const struct run_options *options;
  uint64_t start_ns;
  uint64_t deadline_ns;
  int listener;
  atomic_bool clients_done;
  struct half_result *clients;   /* by index - first */
  struct half_result *servers;   /* by index - first */
  struct half_result *anonymous; /* servers' halves that never learned their index */
  uint32_t anonymous_count;
  uint32_t accepted;
  uint64_t server_last_ns; /* when the last server's half ended */
  atomic_bool failed;
};

/* One thread's halves. A free slot has fd -1. */
struct pool {
  struct half_context context;
  struct half *halves;
  unsigned size;
  unsigned live;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
  (void)number;
  stop_asked = 1;
}

bool address_parse(const char *text, union endpoint_address *address, socklen_t *size)
{
  memset(address, 0, sizeof *address);
  if (strncmp(text, "unix:", 5) == 0) {
    if (strlen(text + 5) >= sizeof address->local.sun_path)
      return false;
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, text + 5, strlen(text + 5) + 1);
    *size = sizeof address->local;
    return true;
  }
  char host[64];
  const char *colon = strrchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof host)
    return false;
  long port = strtol(colon + 1, NULL, 10);
  if (port < 0 || port > 65535)
    return false;
  size_t length = (size_t)(colon - text);
  bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
  memcpy(host, text + (bracketed ? 1 : 0), length - (bracketed ? 2 : 0));
  host[length - (bracketed ? 2 : 0)] = '\0';
  if (bracketed) {
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons((uint16_t)port);
    *size = sizeof address->v6;
    return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1;
  }
  address->v4.sin_family = AF_INET;
  address->v4.sin_port = htons((uint16_t)port);
  *size = sizeof address->v4;
  return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1;
}

static bool pool_init(struct pool *pool, const struct run_options *options, unsigned size)
{
  pool->context.epoll = epoll_create1(EPOLL_CLOEXEC);
  pool->context.options = &options->script;
  pool->context.scratch = malloc(WRITE_BYTES_MAX);
  pool->context.expected = malloc(WRITE_BYTES_MAX);
  pool->halves = calloc(size, sizeof *pool->halves);
  pool->size = size;
  pool->live = 0;
  if (pool->context.epoll < 0 || !pool->context.scratch || !pool->context.expected || !pool->halves)
    return false;
  for (unsigned i = 0; i < size; i++)
    pool->halves[i].fd = -1;
  return true;
}

static void pool_fini(struct pool *pool)
{
  free(pool->context.scratch);
  free(pool->context.expected);
  free(pool->halves);
  close(pool->context.epoll);
}

static struct half *pool_free_slot(struct pool *pool)
{
  for (unsigned i = 0; i < pool->size; i++) {
    if (pool->halves[i].fd < 0)
      return &pool->halves[i];
  }
  return NULL;
}

/* Milliseconds until a half wants attention without an event, 50 at the most. */
static int pool_timeout_ms(const struct pool *pool)
{
  uint64_t due = UINT64_MAX;
  for (unsigned i = 0; i < pool->size; i++) {
    if (pool->halves[i].fd >= 0 && half_due_ns(&pool->halves[i]) < due)
      due = half_due_ns(&pool->halves[i]);
  }
  uint64_t now = half_now_ns();
  if (due <= now)
    return 0;
  uint64_t ms = due == UINT64_MAX ? 50 : (due - now) / 1000000;
  return ms > 50 ? 50 : (int)ms;
}

static void keep(struct run *run, const struct half *half)
{
  const struct half_result *result = &half->result;
  uint32_t slot = result->index - run->options->first;
  if (half->side == SIDE_CLIENT) {
    run->clients[slot] = *result;
    return;
  }
  run->server_last_ns = half_now_ns();
  if (result->known && slot < run->options->sessions && run->servers[slot].end == HALF_END_NONE)
    run->servers[slot] = *result;
  else if (run->anonymous_count < run->options->sessions)
    run->anonymous[run->anonymous_count++] = *result;
  else
    atomic_store(&run->failed, true);
}

static void step(struct run *run, struct pool *pool, struct half *half, uint32_t events)
{
  if (half->fd < 0 || !half_step(&pool->context, half, events))
    return;
  pool->live--;
  keep(run, half);
}

/* Waits for events and serves them, then whatever is due. A NULL pointer in an event is the listener's. */
static bool pool_turn(struct run *run, struct pool *pool)
{
  struct epoll_event events[EVENTS_MAX];
  bool listener_ready = false;
  int count = epoll_wait(pool->context.epoll, events, EVENTS_MAX, pool_timeout_ms(pool));
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == NULL)
      listener_ready = true;
    else
      step(run, pool, events[i].data.ptr, events[i].events);
  }
  uint64_t now = half_now_ns();
  for (unsigned i = 0; i < pool->size; i++) {
    if (pool->halves[i].fd >= 0 && half_due_ns(&pool->halves[i]) <= now)
      step(run, pool, &pool->halves[i], 0);
  }
  return listener_ready;
}

static void abandon_all(struct run *run, struct pool *pool)
{
  for (unsigned i = 0; i < pool->size; i++) {
    if (pool->halves[i].fd < 0)
      continue;
    half_abandon(&pool->halves[i]);
    keep(run, &pool->halves[i]);
    pool->live--;
  }
}

static void note_own_address(struct half_result *result, int fd)
{
  union endpoint_address address;
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.generic, &size) != 0)
    return;
  if (address.generic.sa_family == AF_INET) {
    result->port = ntohs(address.v4.sin_port);
    inet_ntop(AF_INET, &address.v4.sin_addr, result->address, sizeof result->address);
  } else if (address.generic.sa_family == AF_INET6) {
    result->port = ntohs(address.v6.sin6_port);
    inet_ntop(AF_INET6, &address.v6.sin6_addr, result->address, sizeof result->address);
  }
}

static bool bind_unique(int fd, uint32_t slot)
{
  int on = 1;
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F100001u + slot)};
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  return bind(fd, (const struct sockaddr *)&source, sizeof source) == 0;
}

/* A descriptor, connected or connecting; -1 with errno set, EAGAIN for a full unix backlog. */
static int open_client(const struct run_options *options, uint32_t slot, bool *connecting)
{
  int fd = socket(options->connect.generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int done = 0;
  if (options->unique_source && options->connect.generic.sa_family == AF_INET && !bind_unique(fd, slot))
    done = -1;
  else
    done = connect(fd, &options->connect.generic, options->connect_size);
  *connecting = done != 0;
  if (done == 0 || errno == EINPROGRESS)
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* Starts the client's half of session `slot`. False when it should be tried again later. */
static bool start_client(struct run *run, struct pool *pool, uint32_t slot)
{
  const struct run_options *options = run->options;
  struct session_script script;
  bool connecting = false;
  session_script_make(&options->script, options->first + slot, &script);
  int fd = open_client(options, slot, &connecting);
  if (fd < 0 && errno == EAGAIN)
    return false;
  struct half *half = pool_free_slot(pool);
  if (fd < 0 || half == NULL || !half_begin(&pool->context, half, fd, SIDE_CLIENT, &script, connecting)) {
    run->clients[slot].end = HALF_END_CONNECT_FAILED;
    run->clients[slot].error = errno;
    run->clients[slot].begin_ns = run->clients[slot].end_ns = half_now_ns();
    run->clients[slot].first_difference = UINT64_MAX;
    return true;
  }
  note_own_address(&half->result, fd);
  pool->live++;
  return true;
}

static void *clients_main(void *argument)
{
  struct run *run = argument;
  struct pool pool;
  uint32_t next = 0;
  if (!pool_init(&pool, run->options, run->options->concurrency)) {
    atomic_store(&run->failed, true);
    atomic_store(&run->clients_done, true);
    return NULL;
  }
  while ((next < run->options->sessions || pool.live > 0) && half_now_ns() < run->deadline_ns && !stop_asked) {
    while (next < run->options->sessions && pool.live < pool.size && start_client(run, &pool, next))
      next++;
    pool_turn(run, &pool);
  }
  abandon_all(run, &pool);
  pool_fini(&pool);
  atomic_store(&run->clients_done, true);
  return NULL;
}

static void accept_some(struct run *run, struct pool *pool)
{
  struct half *half = NULL;
  while ((half = pool_free_slot(pool)) != NULL) {
    int fd = accept4(run->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    run->accepted++;
    run->server_last_ns = half_now_ns();
    if (half_begin(&pool->context, half, fd, SIDE_SERVER, NULL, false))
      pool->live++;
    else
      atomic_store(&run->failed, true);
  }
}

static bool server_done(struct run *run, const struct pool *pool)
{
  if (pool->live > 0)
    return false;
  if (stop_asked)
    return true;
  if (run->accepted >= run->options->sessions)
    return atomic_load(&run->clients_done) || run->options->connect_size == 0;
  return atomic_load(&run->clients_done) && run->options->connect_size != 0 &&
         half_now_ns() > run->server_last_ns + QUIET_NS;
}

static void *server_main(void *argument)
{
  struct run *run = argument;
  struct pool pool;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  /* The proxy may close its half of a session later than the client has its own: room for both. */
  if (!pool_init(&pool, run->options, 2 * run->options->concurrency + 64) ||
      epoll_ctl(pool.context.epoll, EPOLL_CTL_ADD, run->listener, &event) != 0) {
    atomic_store(&run->failed, true);
    return NULL;
  }
  bool clients_were_done = false;
  while (!server_done(run, &pool) && half_now_ns() < run->deadline_ns) {
    if (pool_turn(run, &pool))
      accept_some(run, &pool);
    if (!clients_were_done && atomic_load(&run->clients_done)) {
      clients_were_done = true;
      run->server_last_ns = half_now_ns();
    }
  }
  abandon_all(run, &pool);
  pool_fini(&pool);
  return NULL;
}

static int open_listener(const struct run_options *options)
{
  int on = 1;
  int fd = socket(options->listen.generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  /* Inherited: an urgent byte may arrive before accept returns. */
  setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  if (options->listen.generic.sa_family == AF_UNIX)
    unlink(options->listen.local.sun_path);
  if (bind(fd, &options->listen.generic, options->listen_size) != 0 || listen(fd, 4096) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

void print_hex(FILE *out, const unsigned char *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++)
    fprintf(out, "%02x", bytes[i]);
}

static void print_half(const struct half_result *result)
{
  if (result->end == HALF_END_NONE) {
    printf("null");
    return;
  }
  printf("{\"end\":\"%s\",\"error\":\"%s\",\"began_s\":%.6f,\"ended_s\":%.6f,\"sent\":%" PRIu64 ",\"received\":%" PRIu64
         ",\"sent_sha256\":\"",
         half_end_name(result->end), result->error != 0 ? strerrorname_np(result->error) : "",
         (double)result->begin_ns / 1e9, (double)result->end_ns / 1e9, result->sent, result->received);
  print_hex(stdout, result->sent_sha256, sizeof result->sent_sha256);
  printf("\",\"received_sha256\":\"");
  print_hex(stdout, result->received_sha256, sizeof result->received_sha256);
  printf("\",\"first_difference\":");
  if (result->first_difference == UINT64_MAX)
    printf("null}");
  else
    printf("%" PRIu64 "}", result->first_difference);
}

static void print_session(const struct run *run, uint32_t slot)
{
  struct session_script script;
  session_script_make(&run->options->script, run->options->first + slot, &script);
  printf("{\"index\":%" PRIu32 ",\"zero\":\"%s\",\"order\":\"%s\",\"ending\":\"%s\",\"ending_side\":\"%s\",",
         script.index, session_zero_name(script.zero), session_order_name(script.order),
         session_ending_name(script.ending), script.ending_side == SIDE_CLIENT ? "client" : "server");
  printf("\"urgent\":%u,\"client_bytes\":%" PRIu64 ",\"server_bytes\":%" PRIu64 ",\"client_address\":\"%s\","
         "\"client_port\":%u,\"client\":",
         script.side[SIDE_CLIENT].urgent_count + script.side[SIDE_SERVER].urgent_count,
         script.side[SIDE_CLIENT].stream_bytes, script.side[SIDE_SERVER].stream_bytes, run->clients[slot].address,
         run->clients[slot].port);
  print_half(&run->clients[slot]);
  printf(",\"server\":");
  print_half(&run->servers[slot]);
  printf("}\n");
}

static int report(const struct run *run)
{
  for (uint32_t i = 0; i < run->options->sessions; i++)
    print_session(run, i);
  for (uint32_t i = 0; i < run->anonymous_count; i++) {
    printf("{\"index\":null,\"server\":");
    print_half(&run->anonymous[i]);
    printf("}\n");
  }
  printf("{\"summary\":true,\"seed\":%" PRIu64 ",\"sessions\":%" PRIu32 ",\"accepted\":%" PRIu32
         ",\"anonymous\":%" PRIu32 ",\"seconds\":%.3f}\n",
         run->options->script.seed, run->options->sessions, run->accepted, run->anonymous_count,
         (double)(half_now_ns() - run->start_ns) / 1e9);
  return fflush(stdout) == 0 && !atomic_load(&run->failed) ? 0 : 3;
}

static void raise_descriptor_limit(void)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int endpoints_run(const struct run_options *options)
{
  struct run run = {.options = options, .listener = -1, .start_ns = half_now_ns()};
  struct sigaction action = {.sa_handler = on_signal};
  pthread_t clients;
  pthread_t server;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  run.deadline_ns = run.start_ns + options->deadline_s * NS_PER_S;
  run.clients = calloc(options->sessions + 1u, sizeof *run.clients);
  run.servers = calloc(options->sessions + 1u, sizeof *run.servers);
  run.anonymous = calloc(options->sessions + 1u, sizeof *run.anonymous);
  if (!run.clients || !run.servers || !run.anonymous)
    return 3;
  if (options->listen_size > 0 && (run.listener = open_listener(options)) < 0) {
    perror("endpoints: listen");
    return 3;
  }
  bool serving = options->listen_size > 0 && pthread_create(&server, NULL, server_main, &run) == 0;
  bool calling = options->connect_size > 0 && pthread_create(&clients, NULL, clients_main, &run) == 0;
  if (!calling)
    atomic_store(&run.clients_done, true);
  if (calling)
    pthread_join(clients, NULL);
  if (serving)
    pthread_join(server, NULL);
  int status = report(&run);
  free(run.clients);
  free(run.servers);
  free(run.anonymous);
  if (run.listener >= 0)
    close(run.listener);
  return status;
}
