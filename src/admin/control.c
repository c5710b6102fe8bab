/* SPDX-License-Identifier: Apache-2.0 */
/**
 * control.c - the admin thread and its clients.
 *
 * One thread polls the listening socket, an eventfd that says "end", and at most GG_CONTROL_CLIENTS_MAX clients. A
 * client is in one of two states, told apart by whether a reply waits:
 *
 *          ┌─ a whole line came: run its command ─┐
 *          │                                      ▼
 *      reading ◄── the reply has gone out ── replying          closed: end of file, error, idle, a line too long
 *
 * A client that is replying is not read from, so it holds one line and one reply at the most. Several requests sent at
 * once are answered one after the other. Commands run here and not on a worker: what they show is read from metrics
 * and status words that any thread may read.
 */
#include "admin/control.h"

#include "base/clock.h"
#include "base/json_doc.h"
#include "base/logger.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPTS_MAX = 16, REQUESTS_MAX = 64 };

static const uint64_t accept_pause_ns = 200 * GG_NS_PER_MS;
static const char socket_name[] = "control";

enum { NAME_MAX_BYTES = 48, FDS_OF_MESSAGE = 253 /* the kernel's SCM_MAX_FD */ };

struct client {
  int fd; /* -1: free */
  char *line;
  size_t line_length;
  char *reply; /* NULL: reading */
  size_t reply_length;
  size_t reply_sent;
  int *fds; /* to go with the reply, in front of its last bytes: FDS_OF_MESSAGE with each of its first bytes */
  size_t fd_count;
  size_t fds_sent;
  uint64_t id;
  pid_t pid;
  uint64_t active_ns;
};

struct gg_control {
  struct gg_control_options options;
  char *dir; /* the same as the options' */
  int dir_fd;
  int listen_fd;
  int wake_fd;
  uint64_t accept_after_ns;  /* out of descriptors: the waiting clients are left alone until then */
  char name[NAME_MAX_BYTES]; /* what is removed at the end; empty: nothing. Under the lock */
  bool running;
  pthread_mutex_t lock;
  pthread_t thread;
  uint64_t clients_seen;
  char *scratch; /* GG_CONTROL_REPLY_MAX: where a reply is made */
  struct client clients[GG_CONTROL_CLIENTS_MAX];
};

/* ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A value as text; GG_ERR_FORMAT for what has no text (lists, objects, null), GG_ERR_RANGE if it is too long. */
static int argument_text(char out[GG_CONTROL_VALUE_MAX], const struct gg_json_value *value)
{
  int length = -1;
  if (gg_json_value_is(value, GG_JSON_TEXT))
    length = snprintf(out, GG_CONTROL_VALUE_MAX, "%s", gg_json_value_text(value));
  else if (gg_json_value_is(value, GG_JSON_WHOLE))
    length = snprintf(out, GG_CONTROL_VALUE_MAX, "%" PRId64, gg_json_value_whole(value));
  else if (gg_json_value_is(value, GG_JSON_BOOL))
    length = snprintf(out, GG_CONTROL_VALUE_MAX, "%s", gg_json_value_is_true(value) ? "true" : "false");
  if (length < 0)
    return GG_ERR_FORMAT;
  return length < GG_CONTROL_VALUE_MAX ? 0 : GG_ERR_RANGE;
}

static int parse_argument(struct gg_control_request *out, const char *name, const struct gg_json_value *value,
                          struct gg_failure *failure)
{
  if (out->argument_count == GG_CONTROL_ARGUMENTS_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "a request has at most %d arguments", GG_CONTROL_ARGUMENTS_MAX);
  struct gg_control_argument *argument = &out->arguments[out->argument_count];
  size_t length = strlen(name);
  if (length == 0 || length >= sizeof argument->name)
    return gg_fail(failure, GG_ERR_RANGE, "an argument's name has 1 to %zu letters", sizeof argument->name - 1);
  memcpy(argument->name, name, length + 1);
  int error = argument_text(argument->value, value);
  if (error == GG_ERR_FORMAT)
    return gg_fail(failure, error, "the value of \"%s\" must be a text, a whole number, true or false", name);
  if (error)
    return gg_fail(failure, error, "the value of \"%s\" is longer than %d bytes", name, GG_CONTROL_VALUE_MAX - 1);
  out->argument_count++;
  return 0;
}

static int parse_words(struct gg_control_request *out, const struct gg_json_value *words, struct gg_failure *failure)
{
  if (!gg_json_value_is(words, GG_JSON_ARRAY))
    return gg_fail(failure, GG_ERR_FORMAT, "\"words\" must be a list");
  if (gg_json_value_count(words) > GG_CONTROL_WORDS_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "a request has at most %d words", GG_CONTROL_WORDS_MAX);
  for (const struct gg_json_value *word = gg_json_value_first(words); word; word = gg_json_value_next(word)) {
    int error = argument_text(out->words[out->word_count], word);
    if (error == GG_ERR_FORMAT)
      return gg_fail(failure, error, "each of the \"words\" must be a text, a whole number, true or false");
    if (error)
      return gg_fail(failure, error, "one of the \"words\" is longer than %d bytes", GG_CONTROL_VALUE_MAX - 1);
    out->word_count++;
  }
  return 0;
}

static int parse_command(struct gg_control_request *out, const struct gg_json_value *command,
                         struct gg_failure *failure)
{
  const char *name = gg_json_value_text(command);
  size_t length = gg_json_value_length(command);
  if (!name)
    return gg_fail(failure, GG_ERR_FORMAT, "a request is a JSON object with a \"command\"");
  if (length == 0 || length >= sizeof out->command)
    return gg_fail(failure, GG_ERR_RANGE, "a command's name has 1 to %zu letters", sizeof out->command - 1);
  memcpy(out->command, name, length);
  return 0;
}

int gg_control_request_parse(struct gg_control_request *out, const char *line, size_t length,
                             struct gg_failure *failure)
{
  struct gg_json_doc doc;
  struct gg_failure why = GG_FAILURE_INIT;
  memset(out, 0, sizeof *out);
  if (length >= GG_CONTROL_LINE_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "a request is at most %d bytes", GG_CONTROL_LINE_MAX - 1);
  if (gg_json_doc_parse(&doc, line, length, &why) != 0)
    return gg_fail(failure, why.code, "a request is one JSON object: %.300s", why.message);
  int result = parse_command(out, gg_json_value_get(doc.root, "command"), failure);
  for (const struct gg_json_value *value = gg_json_value_first(doc.root); value && !result;
       value = gg_json_value_next(value)) {
    const char *name = gg_json_value_key(value);
    if (strcmp(name, "words") == 0)
      result = parse_words(out, value, failure);
    else if (strcmp(name, "command") != 0)
      result = parse_argument(out, name, value, failure);
  }
  gg_json_doc_fini(&doc);
  if (result)
    memset(out, 0, sizeof *out);
  return result;
}

const char *gg_control_argument(const struct gg_control_request *request, const char *name)
{
  for (unsigned i = 0; i < request->argument_count; i++)
    if (strcmp(request->arguments[i].name, name) == 0)
      return request->arguments[i].value;
  return NULL;
}

static int list_commands(const struct gg_control *control, struct gg_json *reply)
{
  gg_json_key(reply, "commands");
  gg_json_array_begin(reply);
  for (size_t i = 0; i < control->options.command_count; i++) {
    gg_json_object_begin(reply);
    gg_json_field_string(reply, "name", control->options.commands[i].name);
    gg_json_field_string(reply, "help", control->options.commands[i].help);
    gg_json_object_end(reply);
  }
  gg_json_array_end(reply);
  return 0;
}

static int run_command(const struct gg_control *control, struct client *client,
                       const struct gg_control_request *request, struct gg_json *reply, struct gg_failure *failure)
{
  const char *name = request->command;
  if (strcmp(name, "help") == 0)
    return list_commands(control, reply);
  for (size_t i = 0; i < control->options.command_count; i++) {
    const struct gg_control_command *command = &control->options.commands[i];
    if (strcmp(command->name, name) != 0)
      continue;
    int error = command->run(control->options.context, request, reply, failure);
    if (!error && command->descriptors)
      client->fd_count = command->descriptors(control->options.context, &client->fds);
    assert(client->fd_count <= GG_CONTROL_FDS_MAX);
    return error;
  }
  return gg_fail(failure, GG_ERR_NOT_FOUND, "unknown command \"%s\"; {\"command\":\"help\"} lists them", name);
}

void gg_control_refuse(struct gg_json *reply, const struct gg_failure *failure)
{
  gg_json_init(reply, reply->buffer, reply->size);
  gg_json_object_begin(reply);
  gg_json_field_bool(reply, "ok", false);
  gg_json_field_string(reply, "error", failure->message[0] ? failure->message : gg_error_text(failure->code));
}

static size_t write_error(struct gg_json *reply, char *buffer, size_t size, const struct gg_failure *failure)
{
  gg_json_init(reply, buffer, size);
  gg_control_refuse(reply, failure);
  gg_json_object_end(reply);
  return gg_json_finish(reply);
}

/* Makes the reply to one line in the scratch buffer; its length, with a newline. */
static size_t answer(struct gg_control *control, struct client *client, const char *line, size_t length)
{
  struct gg_control_request request;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_json reply;
  size_t room = GG_CONTROL_REPLY_MAX - 1;
  int error = gg_control_request_parse(&request, line, length, &failure);
  if (!error) {
    request.client = client->id;
    request.pid = client->pid;
    gg_json_init(&reply, control->scratch, room);
    gg_json_object_begin(&reply);
    gg_json_field_bool(&reply, "ok", true);
    error = run_command(control, client, &request, &reply, &failure);
    if (error && failure.code == 0)
      failure.code = error;
  }
  size_t size = 0;
  if (!error) {
    gg_json_object_end(&reply);
    size = gg_json_finish(&reply);
    if (size == 0)
      error = gg_fail(&failure, GG_ERR_LIMIT, "the reply is longer than %zu bytes", room);
  }
  if (error)
    size = write_error(&reply, control->scratch, room, &failure);
  assert(size > 0);
  control->scratch[size] = '\n';
  return size + 1;
}

/* ── Clients ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void fds_close(struct client *client)
{
  for (size_t i = 0; i < client->fd_count; i++)
    close(client->fds[i]);
  free(client->fds);
  client->fds = NULL;
  client->fd_count = client->fds_sent = 0;
}

static void client_close(struct gg_control *control, struct client *client)
{
  fds_close(client);
  close(client->fd);
  if (control->options.gone)
    control->options.gone(control->options.context, client->id);
  free(client->line);
  free(client->reply);
  *client = (struct client){.fd = -1};
}

/* Sends one byte with the next descriptors, as sendmsg(2). */
static ssize_t send_fds(struct client *client)
{
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(FDS_OF_MESSAGE * sizeof(int))];
  } control;
  size_t left = client->fd_count - client->fds_sent, count = left < FDS_OF_MESSAGE ? left : FDS_OF_MESSAGE;
  struct iovec byte = {.iov_base = client->reply + client->reply_sent, .iov_len = 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control.bytes};
  memset(&control, 0, sizeof control);
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(&control.header), client->fds + client->fds_sent, count * sizeof(int));
  ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0)
    client->fds_sent += count;
  return sent;
}

/* Sends what waits. False: the client is gone. */
static bool client_send(struct client *client, uint64_t now_ns)
{
  while (client->reply && client->reply_sent < client->reply_length) {
    ssize_t sent = client->fds_sent < client->fd_count
                     ? send_fds(client)
                     : send(client->fd, client->reply + client->reply_sent, client->reply_length - client->reply_sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
      return errno == EAGAIN || errno == EINTR;
    client->reply_sent += (size_t)sent;
    client->active_ns = now_ns;
  }
  assert(!client->reply || client->fds_sent == client->fd_count); /* a reply has more bytes than messages */
  fds_close(client);
  free(client->reply);
  client->reply = NULL;
  return true;
}

/* It has closed the connection, and did not only end its requests. What it has asked for may lie here for long, if this
 * process was stopped meanwhile; and who does not wait for the reply has given up, and did something else instead. */
static bool has_hung_up(const struct client *client)
{
  struct pollfd polled = {.fd = client->fd};
  return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLERR | POLLHUP));
}

/* Answers the lines that are whole, while their replies go out at once. False: the client is to be closed. */
static bool client_answer(struct gg_control *control, struct client *client, uint64_t now_ns)
{
  for (int requests = 0; requests < REQUESTS_MAX && !client->reply; requests++) {
    char *newline = memchr(client->line, '\n', client->line_length);
    if (!newline)
      return client->line_length < GG_CONTROL_LINE_MAX;
    if (has_hung_up(client))
      return false;
    size_t length = (size_t)(newline - client->line);
    size_t reply_length = answer(control, client, client->line, length);
    client->reply = malloc(reply_length);
    if (!client->reply)
      return false;
    memcpy(client->reply, control->scratch, reply_length);
    client->reply_length = reply_length;
    client->reply_sent = 0;
    client->line_length -= length + 1;
    memmove(client->line, newline + 1, client->line_length);
    if (!client_send(client, now_ns))
      return false;
  }
  return true;
}

static bool client_read(struct gg_control *control, struct client *client, uint64_t now_ns)
{
  ssize_t got =
    recv(client->fd, client->line + client->line_length, GG_CONTROL_LINE_MAX - client->line_length, MSG_DONTWAIT);
  if (got < 0)
    return errno == EAGAIN || errno == EINTR;
  if (got == 0)
    return false;
  client->line_length += (size_t)got;
  client->active_ns = now_ns;
  return client_answer(control, client, now_ns);
}

static bool client_serve(struct gg_control *control, struct client *client, short events, uint64_t now_ns)
{
  if (client->reply) {
    if (!client_send(client, now_ns))
      return false;
    if (client->reply)
      return !(events & (POLLERR | POLLHUP));
    return client_answer(control, client, now_ns);
  }
  /* Lines that came in one piece and were left when this call's share was used up. */
  if (memchr(client->line, '\n', client->line_length))
    return client_answer(control, client, now_ns);
  return events == 0 || client_read(control, client, now_ns);
}

/* Says why a client is not served, and closes it. */
static void refuse(int fd, const char *why)
{
  char text[256];
  struct gg_json json;
  struct gg_failure failure = GG_FAILURE_INIT;
  gg_fail(&failure, GG_ERR_DENIED, "%s", why);
  size_t length = write_error(&json, text, sizeof text - 1, &failure);
  text[length++] = '\n';
  ssize_t sent = send(fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)sent; /* he that is refused may be gone already */
  close(fd);
}

static bool peer_is_trusted(int fd, pid_t *pid)
{
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return false;
  *pid = peer.pid;
  return peer.uid == 0 || peer.uid == geteuid();
}

static struct client *free_client(struct gg_control *control)
{
  for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++)
    if (control->clients[i].fd < 0)
      return &control->clients[i];
  return NULL;
}

static void accept_clients(struct gg_control *control, uint64_t now_ns)
{
  for (int accepts = 0; accepts < ACCEPTS_MAX; accepts++) {
    int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        control->accept_after_ns = now_ns + accept_pause_ns;
      return;
    }
    struct client *client = free_client(control);
    pid_t pid;
    if (!peer_is_trusted(fd, &pid)) {
      gg_warn(control->options.logger, "control client refused", GG_S("why", "it runs as another user"));
      refuse(fd, "only the user that the gateway runs as may ask");
      continue;
    }
    char *line = client ? malloc(GG_CONTROL_LINE_MAX) : NULL;
    if (!line) {
      refuse(fd, "too many clients");
      continue;
    }
    *client = (struct client){.fd = fd, .line = line, .active_ns = now_ns, .id = ++control->clients_seen, .pid = pid};
  }
}

/* ── The thread ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_busy(const struct gg_control *control, const struct client *client)
{
  return control->options.busy && control->options.busy(control->options.context, client->id);
}

/* Closes idle clients; milliseconds until there may be something to do without an event, -1 if never. */
static int sweep(struct gg_control *control, uint64_t now_ns)
{
  uint64_t next_ns = control->accept_after_ns > now_ns ? control->accept_after_ns - now_ns : UINT64_MAX;
  for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++) {
    struct client *client = &control->clients[i];
    if (client->fd < 0)
      continue;
    uint64_t until = client->active_ns + control->options.idle_timeout_ns;
    if (until <= now_ns && is_busy(control, client)) {
      client->active_ns = now_ns;
      until = now_ns + control->options.idle_timeout_ns;
    }
    if (until <= now_ns)
      client_close(control, client);
    else if (until - now_ns < next_ns)
      next_ns = until - now_ns;
    if (client->fd >= 0 && !client->reply && memchr(client->line, '\n', client->line_length))
      next_ns = 0;
  }
  if (next_ns == UINT64_MAX)
    return -1;
  uint64_t ms = (next_ns + GG_NS_PER_MS - 1) / GG_NS_PER_MS;
  return ms > 3600000 ? 3600000 : (int)ms;
}

static void *serve(void *context)
{
  struct gg_control *control = context;
  for (;;) {
    struct pollfd polled[GG_CONTROL_CLIENTS_MAX + 2];
    uint64_t now_ns = gg_clock_mono_ns();
    int timeout_ms = sweep(control, now_ns);
    polled[0] = (struct pollfd){.fd = control->wake_fd, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = control->accept_after_ns > now_ns ? -1 : control->listen_fd, .events = POLLIN};
    for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++)
      polled[i + 2] =
        (struct pollfd){.fd = control->clients[i].fd, .events = control->clients[i].reply ? POLLOUT : POLLIN};
    if (poll(polled, GG_CONTROL_CLIENTS_MAX + 2, timeout_ms) < 0 && errno != EINTR)
      return NULL;
    if (polled[0].revents)
      return NULL;
    now_ns = gg_clock_mono_ns();
    for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++) {
      struct client *client = &control->clients[i];
      if (client->fd >= 0 && !client_serve(control, client, polled[i + 2].revents, now_ns))
        client_close(control, client);
    }
    if (polled[1].revents)
      accept_clients(control, now_ns);
  }
}

/* ── Start and stop ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* "control.<pid>" or "control.new.<pid>". */
static bool is_name_of_a_process(const char *name)
{
  static const char head[] = "control.", fresh[] = "new.";
  if (strncmp(name, head, sizeof head - 1) != 0)
    return false;
  name += sizeof head - 1;
  if (strncmp(name, fresh, sizeof fresh - 1) == 0)
    name += sizeof fresh - 1;
  return *name && strspn(name, "0123456789") == strlen(name);
}

static void address_of(const struct gg_control *control, const char *name, struct sockaddr_un *out)
{
  *out = (struct sockaddr_un){.sun_family = AF_UNIX};
  snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%.*s", control->dir_fd, NAME_MAX_BYTES, name);
}

/* Nobody listens on a socket whose process is gone. Its number says less: it may be another's by now. */
static bool is_deserted(const struct gg_control *control, const char *name)
{
  struct sockaddr_un address;
  address_of(control, name, &address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return false;
  bool deserted = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
  close(fd);
  return deserted;
}

/* Those of processes that are gone. What cannot be removed harms nobody: no one answers there. */
static void remove_names(const struct gg_control *control)
{
  int fd = openat(control->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  if (!list && fd >= 0)
    close(fd);
  if (!list)
    return;
  for (struct dirent *entry; (entry = readdir(list));) /* bounded by the names that are there */
    if (is_name_of_a_process(entry->d_name) && (control->options.alone || is_deserted(control, entry->d_name)))
      unlinkat(control->dir_fd, entry->d_name, 0);
  closedir(list);
}

void gg_control_forget(struct gg_control *control, long pid)
{
  char name[NAME_MAX_BYTES];
  if (!control)
    return;
  snprintf(name, sizeof name, "%s.%ld", socket_name, pid);
  unlinkat(control->dir_fd, name, 0);
  snprintf(name, sizeof name, "%s.new.%ld", socket_name, pid);
  unlinkat(control->dir_fd, name, 0);
}

/* Binds by way of /proc, so that a store's path may be longer than a socket's address. */
static int bind_socket(struct gg_control *control, struct gg_failure *failure)
{
  struct sockaddr_un address;
  const char *dir = control->options.dir;
  char name[NAME_MAX_BYTES];
  control->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (control->dir_fd < 0)
    return gg_fail_errno(failure, errno, "cannot open the store %s", dir);
  remove_names(control);
  control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (control->listen_fd < 0)
    return gg_fail_errno(failure, errno, "cannot make the control socket");
  snprintf(name, sizeof name, "%s.new.%ld", socket_name, (long)getpid());
  address_of(control, name, &address);
  if (unlinkat(control->dir_fd, name, 0) != 0 && errno != ENOENT)
    return gg_fail_errno(failure, errno, "cannot replace %s/%s", dir, name);
  /* The mode is set on the socket before it gets a name, so no other mode is ever seen. */
  if (fchmod(control->listen_fd, 0600) != 0 ||
      bind(control->listen_fd, (const struct sockaddr *)&address, sizeof address) != 0)
    return gg_fail_errno(failure, errno, "cannot make %s/%s", dir, name);
  memcpy(control->name, name, sizeof name);
  if (fchmodat(control->dir_fd, name, 0600, 0) != 0) /* a umask may have taken more than it should */
    return gg_fail_errno(failure, errno, "cannot make %s/%s private", dir, name);
  if (listen(control->listen_fd, GG_CONTROL_BACKLOG) != 0)
    return gg_fail_errno(failure, errno, "cannot listen on %s/%s", dir, name);
  return 0;
}

int gg_control_publish(struct gg_control *control, struct gg_failure *failure)
{
  pthread_mutex_lock(&control->lock);
  int result = renameat(control->dir_fd, control->name, control->dir_fd, socket_name), rename_errno = errno;
  if (result == 0)
    snprintf(control->name, sizeof control->name, "%s", socket_name);
  pthread_mutex_unlock(&control->lock);
  return result == 0 ? 0 : gg_fail_errno(failure, rename_errno, "cannot make %s/%s", control->options.dir, socket_name);
}

int gg_control_step_aside(struct gg_control *control, struct gg_failure *failure)
{
  char name[NAME_MAX_BYTES];
  snprintf(name, sizeof name, "%s.%ld", socket_name, (long)getpid());
  pthread_mutex_lock(&control->lock);
  int result = 0, link_errno = 0;
  if (strcmp(control->name, name) != 0) { /* it has not done so before */
    unlinkat(control->dir_fd, name, 0);   /* of a process that had our number and was killed */
    result = linkat(control->dir_fd, control->name, control->dir_fd, name, 0), link_errno = errno;
  }
  if (result == 0)
    memcpy(control->name, name, sizeof name);
  pthread_mutex_unlock(&control->lock);
  return result == 0 ? 0 : gg_fail_errno(failure, link_errno, "cannot make %s/%s", control->options.dir, name);
}

static int start(struct gg_control *control, struct gg_failure *failure)
{
  int error = bind_socket(control, failure);
  if (error)
    return error;
  control->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  control->scratch = malloc(GG_CONTROL_REPLY_MAX);
  if (control->wake_fd < 0 || !control->scratch)
    return gg_fail(failure, GG_ERR_NOMEM, "cannot start the control socket");
  int created = pthread_create(&control->thread, NULL, serve, control);
  if (created)
    return gg_fail_errno(failure, created, "cannot start the admin thread");
  control->running = true;
  return 0;
}

int gg_control_start(struct gg_control **out, const struct gg_control_options *options, struct gg_failure *failure)
{
  struct gg_control *control = calloc(1, sizeof *control);
  if (!control)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the control socket");
  control->options = *options;
  control->options.dir = control->dir = strdup(options->dir);
  if (!control->dir) {
    free(control);
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the control socket");
  }
  if (control->options.idle_timeout_ns == 0)
    control->options.idle_timeout_ns = GG_CONTROL_IDLE_NS;
  control->dir_fd = control->listen_fd = control->wake_fd = -1;
  pthread_mutex_init(&control->lock, NULL);
  for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++)
    control->clients[i].fd = -1;
  int error = start(control, failure);
  if (error) {
    gg_control_stop(control);
    return error;
  }
  *out = control;
  return 0;
}

void gg_control_stop(struct gg_control *control)
{
  if (!control)
    return;
  if (control->running) {
    eventfd_write(control->wake_fd, 1);
    pthread_join(control->thread, NULL);
  }
  for (size_t i = 0; i < GG_CONTROL_CLIENTS_MAX; i++)
    if (control->clients[i].fd >= 0)
      client_close(control, &control->clients[i]);
  if (control->name[0] != '\0')
    unlinkat(control->dir_fd, control->name, 0);
  if (control->listen_fd >= 0)
    close(control->listen_fd);
  if (control->wake_fd >= 0)
    close(control->wake_fd);
  if (control->dir_fd >= 0)
    close(control->dir_fd);
  pthread_mutex_destroy(&control->lock);
  free(control->scratch);
  free(control->dir);
  free(control);
}
