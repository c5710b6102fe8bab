/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of ./dev bench: one program for both ends (upstream.c is the server). Each client command prints one JSON
 * object when it is done, and fails if a byte is missing.
 *
 *     load serve PORT                        the upstream
 *     load bulk PORT CONNECTIONS BYTES       downloads BYTES in all, split evenly
 *     load pingpong PORT CONNECTIONS COUNT   COUNT round trips of 64 bytes, one under way on each connection
 *     load reply PORT CONNECTIONS COUNT SIZE COUNT messages of 64 bytes, each answered with SIZE bytes
 *     load setup PORT CONNECTIONS COUNT      COUNT short sessions (connect, 64 bytes there and back, close)
 *     load empty PORT CONNECTIONS COUNT      COUNT sessions without a byte (connect, both ends, close)
 *     load idle PORT CONNECTIONS             opens, exchanges 64 bytes once, prints "ready", waits for end of input
 *
 * What was done is also counted by the second, for the worst one.
 *
 * Latencies go into a histogram of 64 steps for each power of two (an error under 1.6 %), so that millions of them
 * cost no memory. A closed loop measures what this many clients see; it does not measure a fixed arrival rate.
 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
  SECONDS_MAX = 600,
  STEP_BITS = 6,
  STEPS = 1 << STEP_BITS,
  BUCKETS = (64 - STEP_BITS) * STEPS,
  READ_BYTES = 1 << 20
};

struct connection {
  int fd;
  size_t received;     /* of the message under way */
  uint64_t started_ns; /* when it was sent, or the connect begun */
  uint64_t left;       /* bulk: bytes still to come */
  uint8_t message[MESSAGE_BYTES];
};

struct load {
  int epoll;
  struct sockaddr_storage place;
  socklen_t place_length;
  size_t connection_count;
  struct connection *connections;
  uint64_t to_start; /* round trips or sessions that were not begun */
  uint64_t done;
  uint64_t bytes;
  uint64_t reply_bytes; /* how long an answer is */
  uint64_t started_ns;
  uint64_t by_second[SECONDS_MAX]; /* round trips, sessions; of bulk: bytes */
  uint64_t histogram[BUCKETS];
};

_Noreturn void load_die(const char *what)
{
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

void load_watch(int epoll, int operation, int fd, uint32_t events, void *data)
{
  struct epoll_event event = {.events = events, .data.ptr = data};
  if (epoll_ctl(epoll, operation, fd, &event) != 0)
    load_die("epoll_ctl");
}

static uint64_t now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Values below STEPS have a bucket each; above, the highest STEP_BITS + 1 bits choose it. */
static size_t bucket_of(uint64_t value)
{
  if (value < STEPS)
    return (size_t)value;
  unsigned shift = (unsigned)(63 - __builtin_clzll(value)) - STEP_BITS;
  return (size_t)(((uint64_t)shift << STEP_BITS) + (value >> shift));
}

static uint64_t bucket_value(size_t bucket)
{
  if (bucket < 2 * STEPS)
    return bucket;
  unsigned shift = (unsigned)(bucket >> STEP_BITS) - 1;
  return ((uint64_t)(bucket & (STEPS - 1)) + STEPS) << shift;
}

static void second_add(struct load *load, uint64_t now, uint64_t amount)
{
  uint64_t second = (now - load->started_ns) / 1000000000u;
  load->by_second[second < SECONDS_MAX ? second : SECONDS_MAX - 1] += amount;
}

static void latency_add(struct load *load, uint64_t ns)
{
  size_t bucket = bucket_of(ns);
  load->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static uint64_t latency_at(const struct load *load, double share)
{
  uint64_t total = 0, seen = 0;
  for (size_t i = 0; i < BUCKETS; i++)
    total += load->histogram[i];
  for (size_t i = 0; i < BUCKETS; i++) {
    seen += load->histogram[i];
    if (seen > 0 && (double)seen >= share * (double)total)
      return bucket_value(i);
  }
  return 0;
}

/* Connects (blocking: on loopback the backlog answers at once) and sends the request, with `extra` behind it. */
static void open_connection(const struct load *load, struct connection *connection, struct request request,
                            size_t extra)
{
  uint8_t first[sizeof request + MESSAGE_BYTES];
  int one = 1;
  memcpy(first, &request, sizeof request);
  memcpy(first + sizeof request, connection->message, MESSAGE_BYTES);
  connection->started_ns = now_ns();
  connection->received = 0;
  connection->fd = socket(load->place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection->fd < 0 || connect(connection->fd, (const struct sockaddr *)&load->place, load->place_length) != 0)
    load_die("connect");
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  size_t size = request.kind == REQUEST_NONE ? 0 : sizeof request + extra;
  if (size == 0 ? shutdown(connection->fd, SHUT_WR) != 0
                : send(connection->fd, first, size, MSG_NOSIGNAL) != (ssize_t)size)
    load_die("send");
  load_watch(load->epoll, EPOLL_CTL_ADD, connection->fd, EPOLLIN, connection);
}

/* Calls `ready` for each connection with something to read until `*done` reaches `goal`. */
static void run_until(struct load *load, const uint64_t *done, uint64_t goal,
                      void (*ready)(struct load *, struct connection *))
{
  struct epoll_event events[EVENTS_MAX];
  while (*done < goal) {
    int count = epoll_wait(load->epoll, events, EVENTS_MAX, 30000);
    if (count == 0) {
      errno = ETIMEDOUT;
      load_die("nothing came for 30 s");
    }
    if (count < 0 && errno != EINTR)
      load_die("epoll_wait");
    for (int i = 0; i < count; i++)
      ready(load, events[i].data.ptr);
  }
}

static void bulk_ready(struct load *load, struct connection *connection)
{
  /* MSG_TRUNC drops the bytes in the kernel: the reader must not be what is measured. */
  ssize_t got = recv(connection->fd, NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got < 0)
    load_die("recv");
  if (got == 0) {
    if (connection->left > 0) {
      errno = EPIPE;
      load_die("the stream ended early");
    }
    close(connection->fd);
    load->done++;
    return;
  }
  if ((uint64_t)got > connection->left) {
    errno = EPROTO;
    load_die("more came than was asked for");
  }
  connection->left -= (uint64_t)got;
  load->bytes += (uint64_t)got;
  second_add(load, now_ns(), (uint64_t)got);
}

/* Reads what there is of an echoed message. True when it is whole; it must be the one that was sent. */
static bool message_arrived(struct connection *connection)
{
  uint8_t data[MESSAGE_BYTES];
  ssize_t got = recv(connection->fd, data, MESSAGE_BYTES - connection->received, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN)
    return false;
  if (got == 0)
    errno = EPIPE;
  if (got <= 0)
    load_die("recv");
  if (memcmp(data, connection->message + connection->received, (size_t)got) != 0) {
    errno = EPROTO;
    load_die("an echo differs");
  }
  connection->received += (size_t)got;
  return connection->received == MESSAGE_BYTES;
}

/* A round trip is over: the next one begins if there is one. */
static void next_message(struct load *load, struct connection *connection, uint64_t bytes)
{
  uint64_t now = now_ns();
  latency_add(load, now - connection->started_ns);
  second_add(load, now, 1);
  load->done++;
  load->bytes += bytes;
  if (load->to_start == 0)
    return;
  load->to_start--;
  connection->received = 0;
  connection->started_ns = now;
  if (send(connection->fd, connection->message, MESSAGE_BYTES, MSG_NOSIGNAL) != MESSAGE_BYTES)
    load_die("send");
}

static void pingpong_ready(struct load *load, struct connection *connection)
{
  if (message_arrived(connection))
    next_message(load, connection, MESSAGE_BYTES);
}

static void reply_ready(struct load *load, struct connection *connection)
{
  ssize_t got = recv(connection->fd, NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got == 0)
    errno = EPIPE;
  if (got <= 0)
    load_die("recv");
  connection->received += (size_t)got;
  if (connection->received > load->reply_bytes) {
    errno = EPROTO;
    load_die("more came than was asked for");
  }
  if (connection->received == load->reply_bytes)
    next_message(load, connection, load->reply_bytes);
}

/* A session is over: the next one begins if there is one. */
static void next_session(struct load *load, struct connection *connection, enum request_kind kind)
{
  uint8_t more;
  ssize_t got = recv(connection->fd, &more, 1, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got != 0)
    load_die("the session did not end in order");
  close(connection->fd);
  uint64_t now = now_ns();
  latency_add(load, now - connection->started_ns);
  second_add(load, now, 1);
  load->done++;
  if (load->to_start == 0)
    return;
  load->to_start--;
  open_connection(load, connection, (struct request){.kind = kind}, kind == REQUEST_NONE ? 0 : MESSAGE_BYTES);
}

static void setup_ready(struct load *load, struct connection *connection)
{
  if (connection->received == MESSAGE_BYTES)
    next_session(load, connection, REQUEST_ONCE);
  else if (message_arrived(connection))
    load->bytes += MESSAGE_BYTES;
}

static void empty_ready(struct load *load, struct connection *connection)
{
  next_session(load, connection, REQUEST_NONE);
}

static void print_result(const struct load *load)
{
  double seconds = (double)(now_ns() - load->started_ns) / 1e9;
  printf("{\"seconds\": %.6f, \"done\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, "
         "\"p999_us\": %.1f, \"by_second\": [",
         seconds, load->done, load->bytes, (double)latency_at(load, 0.5) / 1e3, (double)latency_at(load, 0.99) / 1e3,
         (double)latency_at(load, 0.999) / 1e3);
  for (size_t i = 0; i + 1 < SECONDS_MAX && (double)(i + 1) <= seconds; i++) /* the last one is not whole */
    printf("%s%" PRIu64, i > 0 ? ", " : "", load->by_second[i]);
  printf("]}\n");
}

static void run_bulk(struct load *load, uint64_t bytes)
{
  for (size_t i = 0; i < load->connection_count; i++) {
    uint64_t share = bytes / load->connection_count + (i < bytes % load->connection_count ? 1 : 0);
    load->connections[i].left = share;
    open_connection(load, &load->connections[i], (struct request){.kind = REQUEST_BULK, .count = share}, 0);
  }
  run_until(load, &load->done, load->connection_count, bulk_ready);
}

static void run_messages(struct load *load, uint64_t count, enum request_kind kind,
                         void (*ready)(struct load *, struct connection *))
{
  if (count < load->connection_count) {
    errno = ERANGE;
    load_die("fewer messages than connections");
  }
  load->to_start = count - load->connection_count;
  for (size_t i = 0; i < load->connection_count; i++)
    open_connection(load, &load->connections[i], (struct request){.kind = kind, .count = load->reply_bytes},
                    MESSAGE_BYTES);
  run_until(load, &load->done, count, ready);
}

static void run_idle(struct load *load)
{
  uint8_t ignored;
  run_messages(load, load->connection_count, REQUEST_ECHO, pingpong_ready);
  printf("ready\n");
  fflush(stdout);
  while (read(STDIN_FILENO, &ignored, 1) > 0)
    continue;
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno || end == text || *end || value < least || value > most) {
    fprintf(stderr, "load: %s is not a number from %" PRIu64 " to %" PRIu64 "\n", text, least, most);
    exit(2);
  }
  return value;
}

socklen_t load_place(const char *text, struct sockaddr_storage *out)
{
  *out = (struct sockaddr_storage){0};
  if (!strchr(text, '/')) {
    struct sockaddr_in *internet = (struct sockaddr_in *)out;
    internet->sin_family = AF_INET;
    internet->sin_port = htons((uint16_t)number(text, 1, 65535));
    internet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof *internet;
  }
  struct sockaddr_un *local = (struct sockaddr_un *)out;
  local->sun_family = AF_UNIX;
  if (strlen(text) >= sizeof local->sun_path) {
    fprintf(stderr, "load: %s is too long for the path of a socket\n", text);
    exit(2);
  }
  memcpy(local->sun_path, text, strlen(text) + 1);
  return sizeof *local;
}

int main(int argc, char **argv)
{
  const char *command = argc > 2 ? argv[1] : "";
  if (argc == 3 && strcmp(command, "serve") == 0)
    load_serve(argv[2]);
  bool idle = strcmp(command, "idle") == 0, reply = strcmp(command, "reply") == 0;
  if (argc != (idle ? 4 : reply ? 6 : 5)) {
    fprintf(stderr, "usage: load serve PLACE | bulk|pingpong|setup|empty PLACE CONNECTIONS COUNT |\n"
                    "       reply PLACE CONNECTIONS COUNT SIZE | idle PLACE CONNECTIONS\n"
                    "PLACE: a port of 127.0.0.1, or the path of a unix socket\n");
    return 2;
  }
  static struct load load;
  load.place_length = load_place(argv[2], &load.place);
  load.connection_count = (size_t)number(argv[3], 1, CONNECTIONS_MAX);
  load.reply_bytes = reply ? number(argv[5], 1, UINT32_MAX) : 0;
  load.connections = calloc(load.connection_count, sizeof *load.connections);
  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!load.connections || load.epoll < 0)
    load_die("start");
  for (size_t i = 0; i < load.connection_count; i++)
    memset(load.connections[i].message, 'a' + (int)(i % 26), MESSAGE_BYTES);
  uint64_t count = idle ? 0 : number(argv[4], 1, LLONG_MAX);
  load.started_ns = now_ns();
  if (idle)
    run_idle(&load);
  else if (strcmp(command, "bulk") == 0)
    run_bulk(&load, count);
  else if (strcmp(command, "pingpong") == 0)
    run_messages(&load, count, REQUEST_ECHO, pingpong_ready);
  else if (strcmp(command, "setup") == 0)
    run_messages(&load, count, REQUEST_ONCE, setup_ready);
  else if (reply)
    run_messages(&load, count, REQUEST_REPLY, reply_ready);
  else if (strcmp(command, "empty") == 0)
    run_messages(&load, count, REQUEST_NONE, empty_ready);
  else
    number(command, 1, 0);
  if (!idle)
    print_result(&load);
  free(load.connections);
  return 0;
}
