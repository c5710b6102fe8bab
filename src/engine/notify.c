/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/notify.h"

#include "base/clock.h"
#include "base/logger.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024, SEND_TIMEOUT_S = 5, BEATS_PER_LIMIT = 2 };

struct gg_notify {
  int fd;
  struct sockaddr_un address;
  socklen_t address_length;
  struct gg_logger *logger;
  bool deaf; /* a message could not be sent, and that was told; under the lock */

  uint64_t limit_ns; /* the manager's patience; 0: it wants no watchdog */
  gg_notify_alive_fn alive;
  void *context;
  pthread_t thread;
  bool watching;
  bool ending; /* under the lock */
  pthread_mutex_t lock;
  pthread_cond_t ended;
};

/* ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Each message carries its address: the manager may have been started anew since the last one. */
static void put(struct gg_notify *notify, const char *text, size_t length)
{
  ssize_t sent =
    sendto(notify->fd, text, length, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address, notify->address_length);
  int error = sent == (ssize_t)length ? 0 : errno;
  pthread_mutex_lock(&notify->lock);
  bool news = error && !notify->deaf;
  notify->deaf = error != 0;
  pthread_mutex_unlock(&notify->lock);
  if (news)
    gg_warn(notify->logger, "the service manager cannot be told", GG_S("error", strerrordesc_np(error)),
            GG_S("effect", "it may take this process for hung, or not ready"));
}

static void say(struct gg_notify *notify, const char *format, ...) GG_PRINTF(2, 3);
static void say(struct gg_notify *notify, const char *format, ...)
{
  char text[MESSAGE_MAX];
  va_list list;
  va_start(list, format);
  int length = vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (length > 0)
    put(notify, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void gg__notify_ready(struct gg_notify *notify, const char *status)
{
  if (notify)
    say(notify, "READY=1\nMAINPID=%ld\nSTATUS=%s", (long)getpid(), status);
}

void gg__notify_reloading(struct gg_notify *notify)
{
  if (notify)
    say(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", gg_clock_mono_ns() / GG_NS_PER_US);
}

void gg__notify_stopping(struct gg_notify *notify, const char *status)
{
  if (notify)
    say(notify, "STOPPING=1\nSTATUS=%s", status);
}

/* ── The watchdog ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Waits until that time of the monotonic clock; false: it is time to end. */
static bool wait_until(struct gg_notify *notify, uint64_t until_ns)
{
  const struct timespec until = {.tv_sec = (time_t)(until_ns / GG_NS_PER_S), .tv_nsec = (long)(until_ns % GG_NS_PER_S)};
  int waited = 0;
  pthread_mutex_lock(&notify->lock);
  while (!notify->ending && waited == 0)
    waited = pthread_cond_timedwait(&notify->ended, &notify->lock, &until);
  bool ending = notify->ending;
  pthread_mutex_unlock(&notify->lock);
  return !ending;
}

static void *watch(void *context)
{
  struct gg_notify *notify = context;
  static const char beat[] = "WATCHDOG=1";
  uint64_t beat_ns = notify->limit_ns / BEATS_PER_LIMIT, now_ns;
  bool hung = false;
  prctl(PR_SET_NAME, "gg-watchdog");
  do {
    now_ns = gg_clock_mono_ns();
    bool alive = notify->alive(notify->context, now_ns, beat_ns);
    if (alive)
      put(notify, beat, sizeof beat - 1);
    else if (!hung)
      gg_error_log(notify->logger, "a worker hangs",
                   GG_S("effect", "the service manager's watchdog is not fed, and may end this process"));
    hung = !alive;
  } while (wait_until(notify, now_ns + beat_ns));
  return NULL;
}

int gg__notify_watch(struct gg_notify *notify, gg_notify_alive_fn alive, void *context, struct gg_failure *failure)
{
  if (!notify || notify->limit_ns == 0)
    return 0;
  notify->alive = alive;
  notify->context = context;
  /* Signals are for the engine's thread. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(&notify->thread, NULL, watch, notify);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return gg_fail_errno(failure, error, "cannot start the watchdog's thread");
  notify->watching = true;
  return 0;
}

/* ── Open and close ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* "@name" is an abstract one: its first byte is zero, and its length is what counts. */
static bool make_address(struct gg_notify *notify, const char *name)
{
  size_t length = strlen(name);
  if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof notify->address.sun_path)
    return false;
  notify->address.sun_family = AF_UNIX;
  memcpy(notify->address.sun_path, name, length);
  if (name[0] == '@')
    notify->address.sun_path[0] = '\0';
  notify->address_length =
    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/')); /* a path ends in NUL */
  return true;
}

/* Microseconds in $WATCHDOG_USEC, meant for us if $WATCHDOG_PID is absent or ours. */
static uint64_t watchdog_limit_ns(void)
{
  const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  char *end;
  if (!limit || (pid && strtol(pid, NULL, 10) != (long)getpid()))
    return 0;
  errno = 0;
  unsigned long long limit_us = strtoull(limit, &end, 10);
  if (errno || end == limit || *end != '\0' || limit_us > UINT64_MAX / GG_NS_PER_US / 2)
    return 0;
  return limit_us * GG_NS_PER_US;
}

static void notify_free(struct gg_notify *notify)
{
  if (notify->fd >= 0)
    close(notify->fd);
  pthread_cond_destroy(&notify->ended);
  pthread_mutex_destroy(&notify->lock);
  free(notify);
}

int gg__notify_open(struct gg_notify **out, struct gg_logger *logger, struct gg_failure *failure)
{
  const char *name = getenv("NOTIFY_SOCKET");
  *out = NULL;
  if (!name || !*name)
    return 0;
  struct gg_notify *notify = calloc(1, sizeof *notify);
  if (!notify)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for the service manager's socket");
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&notify->ended, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&notify->lock, NULL);
  notify->logger = logger;
  notify->limit_ns = watchdog_limit_ns();
  notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int error = notify->fd < 0 ? gg_fail_errno(failure, errno, "cannot make the service manager's socket") : 0;
  if (!error && !make_address(notify, name))
    error = gg_fail(failure, GG_ERR_INVALID, "NOTIFY_SOCKET is neither a path nor an abstract name: '%.120s'", name);
  if (error) {
    notify_free(notify);
    return error;
  }
  /* A manager that does not read its socket must not hold up a start for ever. */
  const struct timeval patience = {.tv_sec = SEND_TIMEOUT_S};
  setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  *out = notify;
  return 0;
}

void gg__notify_close(struct gg_notify *notify)
{
  if (!notify)
    return;
  if (notify->watching) {
    pthread_mutex_lock(&notify->lock);
    notify->ending = true;
    pthread_cond_signal(&notify->ended);
    pthread_mutex_unlock(&notify->lock);
    pthread_join(notify->thread, NULL);
  }
  notify_free(notify);
}
