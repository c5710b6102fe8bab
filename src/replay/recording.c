/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store with one log, whose one producer is the replay's thread: what a worker of the gateway does for its sessions,
 * without a worker. The log never skips anything: when it has no room, the replay stands still until the writer has
 * made some. Others then send late, and the lag says so.
 *
 *   take_bytes ──► reserve ──NULL──► wait for the log's wake, tick ──┐ until there is room,
 *                     ▲  │ room                                      │ GG_RECORDING_WAIT_NS at the most
 *                     │  └─► lay, copy, seal, commit                 │
 *                     └──────────────────────────────────────────────┘
 *
 * Time stamps never decrease in a log, and none is before what a tick has published as its watermark: a caller's time
 * that is older than the newest seen, since the log made everybody wait, becomes that one.
 *
 * After a refusal nothing waits any more: the replay is over, and every session closed then would take as long.
 * A replay that is told to stop while it stands still waits for a short time only: a disk that is merely slow still
 * takes how its sessions ended. Whoever stops it sets a flag, which is looked at again and again: a signal handler
 * may do no more, and cannot know whether anybody waits.
 */
#include "replay/recording.h"

#include "base/clock.h"
#include "base/json.h"
#include "record/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STOP_LOOK_NS (100 * GG_NS_PER_MS)  /* how often the flag is looked at */
#define WRITTEN_LOOK_NS (5 * GG_NS_PER_MS) /* how often it is asked whether all is written */

struct gg_replay_recording {
  struct gg_recorder *recorder;
  struct gg_log *log;
  struct gg_session_id_source ids;
  char *dir;
  const atomic_bool *stopped; /* borrowed; NULL: never */
  uint64_t latest_ns;         /* CLOCK_MONOTONIC: no record with an earlier time may follow */
  uint64_t segment;           /* of the record before */
  uint32_t synthetic_port;    /* counts the ends without an address */
  int wake_fd;                /* the log has room */
  bool running;
  bool refused; /* the log had no room for GG_RECORDING_WAIT_NS */
};

/* ── Apart from what is played ───────────────────────────────────────────────────────────────────────────────────── */

static bool is_same(const char *a, const char *b)
{
  struct stat first, second;
  return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

/* Takes the last part off. False: there is none. */
static bool climb(char *path)
{
  char *slash = strrchr(path, '/');
  if (!slash || strcmp(path, "/") == 0)
    return false;
  slash[slash == path] = '\0';
  return true;
}

/* Whether `path` or what it lies in is `folder`. What does not exist yet lies in what exists of it. */
static bool lies_in(const char *path, const char *folder)
{
  char at[PATH_MAX], real[PATH_MAX];
  struct stat status;
  if ((size_t)snprintf(at, sizeof at, "%s", path) >= sizeof at)
    return false;
  while (stat(at, &status) != 0)
    if (!climb(at))
      memcpy(at, ".", 2);
  if (!realpath(at, real))
    return false;
  bool found;
  while (!(found = is_same(real, folder)) && climb(real))
    ;
  return found;
}

int gg__recording_check(const char *dir, const char *path, struct gg_failure *failure)
{
  char ours[PATH_MAX], theirs[PATH_MAX], around[PATH_MAX];
  struct stat status;
  if ((size_t)snprintf(ours, sizeof ours, "%s/segments", dir) >= sizeof ours ||
      (size_t)snprintf(theirs, sizeof theirs, "%s/segments", path) >= sizeof theirs || !realpath(path, around))
    return GG_OK; /* whoever opens them says what is wrong */
  bool one_file = stat(around, &status) == 0 && !S_ISDIR(status.st_mode) && climb(around);
  if (is_same(ours, around) || is_same(ours, theirs) || lies_in(dir, theirs) || (!one_file && is_same(dir, path)))
    return gg_fail(failure, GG_ERR_INVALID, "record: %.200s is the recording that is to be played; give another one",
                   dir);
  return GG_OK;
}

/* ── The store ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void log_wake(void *context)
{
  uint64_t one = 1;
  ssize_t put = write(((struct gg_replay_recording *)context)->wake_fd, &one, sizeof one);
  (void)put; /* EAGAIN: it is awake already */
}

/* The recorder's threads take no signals: those are for the program's own. */
static int start_threads(struct gg_recorder *recorder, struct gg_failure *failure)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = gg_recorder_start(recorder, failure);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static bool is_stopped(const struct gg_replay_recording *recording)
{
  return recording->stopped && atomic_load(recording->stopped);
}

static int recording_init(struct gg_replay_recording *recording, const char *dir, struct gg_failure *failure)
{
  struct gg_recorder_options options = GG_RECORDER_OPTIONS_INIT;
  gg_session_id_source_init(&recording->ids);
  recording->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (recording->wake_fd < 0)
    return gg_fail_errno(failure, errno, "cannot record into %.200s", dir);
  recording->dir = strdup(dir);
  if (!recording->dir)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to record into %.200s", dir);
  options.dir = recording->dir;
  int error = gg_recorder_open(&recording->recorder, &options, NULL, failure);
  if (!error)
    error = gg_recorder_log(recording->recorder, "replay", log_wake, recording, &recording->log, failure);
  if (!error)
    error = start_threads(recording->recorder, failure);
  recording->running = error == 0;
  return error;
}

int gg__recording_create(struct gg_replay_recording **out, const char *dir, const atomic_bool *stopped,
                         struct gg_failure *failure)
{
  struct gg_replay_recording *recording = calloc(1, sizeof *recording);
  if (!recording)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to record into %.200s", dir);
  recording->stopped = stopped;
  int error = recording_init(recording, dir, failure);
  if (error) {
    gg__recording_destroy(recording);
    return error;
  }
  *out = recording;
  return GG_OK;
}

/* Waits until all is in the segments. False: the disk has taken nothing for as long as it is waited for, which is not
 * long for who has done so before, or when the replay was stopped. */
static bool await_written(const struct gg_replay_recording *recording, uint64_t deadline_ns)
{
  struct gg_log_status status;
  uint64_t left = UINT64_MAX, since_ns = 0;
  while (gg_recorder_log_status(recording->recorder, 0, &status) == 0 && status.fill_bytes > 0) {
    uint64_t now_ns = gg_clock_mono_ns();
    if (status.fill_bytes != left)
      since_ns = now_ns;
    left = status.fill_bytes;
    bool hurry = recording->refused || is_stopped(recording);
    if (now_ns >= deadline_ns || (hurry && now_ns - since_ns >= GG_RECORDING_STOPPED_WAIT_NS))
      return false;
    const struct timespec pause = {.tv_nsec = WRITTEN_LOOK_NS};
    nanosleep(&pause, NULL);
  }
  return true;
}

int gg__recording_finish(struct gg_replay_recording *recording, struct gg_failure *failure)
{
  struct gg_failure told = GG_FAILURE_INIT;
  if (!recording->running)
    return GG_OK;
  recording->running = false;
  gg_log_finish(recording->log);
  uint64_t deadline_ns = gg_clock_mono_ns() + GG_RECORDING_WAIT_NS;
  if (!await_written(recording, deadline_ns))
    deadline_ns = gg_clock_mono_ns() + GG_NS_PER_S / 4; /* for the threads to end; the disk has had its time */
  int error = gg_recorder_stop(recording->recorder, deadline_ns, &told);
  if (error)
    return gg_fail(failure, error, "the recording in %.200s is not whole yet: %.200s", recording->dir,
                   told.message[0] ? told.message : gg_error_text(error));
  return GG_OK;
}

void gg__recording_destroy(struct gg_replay_recording *recording)
{
  if (!recording)
    return;
  gg__recording_finish(recording, NULL);
  if (recording->recorder)
    gg_recorder_destroy(recording->recorder);
  if (recording->wake_fd >= 0)
    close(recording->wake_fd);
  free(recording->dir);
  free(recording);
}

/* A time for the next record. */
static uint64_t no_earlier(struct gg_replay_recording *recording, uint64_t mono_ns)
{
  if (mono_ns > recording->latest_ns)
    recording->latest_ns = mono_ns;
  return recording->latest_ns;
}

uint64_t gg__recording_tick(struct gg_replay_recording *recording, uint64_t mono_ns)
{
  if (!recording->running)
    return UINT64_MAX;
  return gg_log_tick(recording->log, no_earlier(recording, mono_ns));
}

/* ── Room ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int no_room(struct gg_replay_recording *recording, struct gg_failure *failure)
{
  bool full = gg_log_pressure(recording->log) == GG_LOG_DISK_FULL;
  recording->refused = true;
  return gg_fail(failure, GG_ERR_NO_SPACE, "the replay cannot be recorded into %.200s: %s", recording->dir,
                 full ? "the disk is full, or refuses what is written"
                      : "the disk has taken nothing for as long as the replay waits");
}

/* The log refused: waits until it may have room. 0, or GG_ERR_NO_SPACE when `deadline_ns` has passed; it is set by the
 * first call. */
static int await_room(struct gg_replay_recording *recording, uint64_t *deadline_ns, struct gg_failure *failure)
{
  uint64_t now_ns = gg_clock_mono_ns(), count;
  if (*deadline_ns == 0)
    *deadline_ns = recording->refused ? now_ns : now_ns + GG_RECORDING_WAIT_NS;
  if (is_stopped(recording) && *deadline_ns > now_ns + GG_RECORDING_STOPPED_WAIT_NS)
    *deadline_ns = now_ns + GG_RECORDING_STOPPED_WAIT_NS;
  if (now_ns >= *deadline_ns)
    return no_room(recording, failure);
  uint64_t until_ns = gg__recording_tick(recording, now_ns);
  if (until_ns > *deadline_ns)
    until_ns = *deadline_ns;
  if (until_ns > now_ns + STOP_LOOK_NS)
    until_ns = now_ns + STOP_LOOK_NS;
  struct pollfd woken = {.fd = recording->wake_fd, .events = POLLIN};
  poll(&woken, 1, until_ns > now_ns ? (int)((until_ns - now_ns) / GG_NS_PER_MS + 1) : 0);
  ssize_t got = read(recording->wake_fd, &count, sizeof count);
  (void)got; /* EAGAIN: it was the time, not a wake */
  return GG_OK;
}

static int reserve(struct gg_replay_recording *recording, size_t bytes, enum gg_log_priority priority, uint8_t **at,
                   struct gg_failure *failure)
{
  uint64_t deadline_ns = 0;
  int error = GG_OK;
  while (!error && !(*at = gg_log_reserve(recording->log, bytes, priority)))
    error = await_room(recording, &deadline_ns, failure);
  return error;
}

/* Room for one chunk of `size` bytes, or for as much of it as the log can ever take at once: *fit. */
static int reserve_chunk(struct gg_take *take, size_t size, uint8_t **at, size_t *fit, struct gg_failure *failure)
{
  struct gg_replay_recording *recording = take->recording;
  uint64_t deadline_ns = 0;
  for (int error = GG_OK; !error; error = await_room(recording, &deadline_ns, failure)) {
    size_t most = gg_conversation_chunk_fit(&take->conversation, gg_log_reserve_max(recording->log));
    *fit = size < most ? size : most;
    *at = gg_log_reserve(recording->log, gg_conversation_chunk_room(&take->conversation, *fit), GG_LOG_DATA);
    if (*at)
      return GG_OK;
  }
  return GG_ERR_NO_SPACE;
}

/* The time stamp of the record that is reserved. Each segment has an offset of its own between its time stamps and
 * CLOCK_MONOTONIC, which is never measured quite the same; so that a session's parts stand in the order of their
 * segments all the same, a segment begins with the present, not with when the caller last looked at the clock. */
static uint64_t stamp(struct gg_replay_recording *recording, uint64_t mono_ns)
{
  if (recording->segment != gg_log_segment(recording->log)) {
    recording->segment = gg_log_segment(recording->log);
    no_earlier(recording, gg_clock_mono_ns());
  }
  return gg_log_time(recording->log, no_earlier(recording, mono_ns));
}

/* ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void address(struct gg_json *json, const char *key, const struct gg_addr *addr)
{
  char text[GG_ADDR_TEXT_MAX];
  gg_addr_format(addr, text, sizeof text);
  gg_json_field_string(json, key, text);
}

static void take_facts(const void *argument, struct gg_json *json)
{
  const struct gg_take *take = argument;
  char id[GG_SESSION_ID_TEXT];
  gg_session_id_format(&take->id, id);
  gg_json_field_string(json, "id", id);
  gg_json_field_string(json, "listener", "replay");
  address(json, "client", &take->conversation.end[GG_FROM_CLIENT]);
  address(json, "server", &take->conversation.end[GG_FROM_SERVER]);
  address(json, "upstream", &take->remote);
  gg_json_field_unsigned(json, "worker", 0);
  gg_json_field_string(json, "original", take->original);
  gg_json_field_unsigned(json, "copy", take->copy);
  gg_json_field_unsigned(json, "loop", take->loop);
}

static void pair(struct gg_json *json, const char *key, uint64_t client, uint64_t server)
{
  gg_json_key(json, key);
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", client);
  gg_json_field_unsigned(json, "server", server);
  gg_json_object_end(json);
}

/* Why not all of the client's bytes went on. */
static const char *why(const char *reason)
{
  if (strncmp(reason, "connect-", 8) == 0)
    return "not-connected";
  return strncmp(reason, "server-", 7) == 0 ? "server-gone" : "cut";
}

static void closing_facts(const void *argument, struct gg_json *json)
{
  const struct gg_take *take = argument;
  uint64_t client = take->bytes[GG_FROM_CLIENT], server = take->bytes[GG_FROM_SERVER];
  gg_json_field_string(json, "close", take->reason);
  pair(json, "received", client, server);
  pair(json, "forwarded", take->sent, server);
  if (take->sent != client)
    gg_json_field_string(json, "why", why(take->reason));
  gg_json_field_unsigned(json, "duration_ns", take->recording->latest_ns - take->opened_ns);
}

/* ── A connection ────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_ip(const struct gg_addr *addr)
{
  return addr->family == GG_FAMILY_IPV4 || addr->family == GG_FAMILY_IPV6;
}

/* An end without an address is 127.0.0.1 with a port that no other open session is given soon. */
static struct gg_addr recorded_end(struct gg_replay_recording *recording, const struct gg_addr *addr)
{
  enum { FIRST = 1024, PORTS = 65536 - FIRST };
  if (is_ip(addr))
    return *addr;
  uint32_t number = recording->synthetic_port++;
  return (struct gg_addr){.ip = {127, 0, 0, 1}, .port = (uint16_t)(FIRST + number % PORTS), .family = GG_FAMILY_IPV4};
}

int gg__take_open(struct gg_replay_recording *recording, struct gg_take *take, const char *original, uint64_t copy,
                  uint64_t loop, const struct gg_addr *local, const struct gg_addr *remote, uint64_t mono_ns,
                  struct gg_failure *failure)
{
  uint8_t *at;
  uint32_t initial[2];
  struct gg_addr client = recorded_end(recording, local), server = recorded_end(recording, remote);
  *take = (struct gg_take){.recording = recording, .copy = copy, .loop = loop, .local = *local, .remote = *remote};
  assert(strlen(original) < sizeof take->original);
  memcpy(take->original, original, strlen(original) + 1);
  take->id = gg_session_id_next(&recording->ids, gg_clock_real_ns());
  if (getrandom(initial, sizeof initial, 0) != sizeof initial)
    initial[0] = initial[1] = (uint32_t)mono_ns;
  gg_conversation_init(&take->conversation, &client, &server, initial, take_facts, take);
  int error = reserve(recording, GG_CONVERSATION_OPEN_MAX, GG_LOG_DATA, &at, failure);
  if (error)
    return error;
  uint64_t time_ns = stamp(recording, mono_ns);
  take->opened_ns = recording->latest_ns;
  gg_log_commit(recording->log, gg_conversation_open(&take->conversation, at, gg_log_segment(recording->log), time_ns));
  take->open = true;
  return GG_OK;
}

int gg__take_bytes(struct gg_take *take, enum gg_direction direction, const uint8_t *data, size_t size,
                   uint64_t mono_ns, struct gg_failure *failure)
{
  struct gg_replay_recording *recording = take->recording;
  struct gg_chunk_layout layout;
  assert(take->open);
  while (size > 0) {
    uint8_t *at;
    size_t fit, done = 0;
    int error = reserve_chunk(take, size, &at, &fit, failure);
    if (error)
      return error;
    gg_conversation_lay(&take->conversation, &layout, direction, fit, at, gg_log_segment(recording->log));
    for (unsigned i = 0; i < layout.iov_count; i++) {
      memcpy(layout.iov[i].iov_base, data + done, layout.iov[i].iov_len);
      done += layout.iov[i].iov_len;
    }
    assert(done == fit);
    gg_log_commit(recording->log, gg_conversation_seal(&take->conversation, &layout, fit, stamp(recording, mono_ns)));
    take->bytes[direction] += fit;
    data += fit;
    size -= fit;
  }
  return GG_OK;
}

int gg__take_fin(struct gg_take *take, enum gg_direction direction, uint64_t mono_ns, struct gg_failure *failure)
{
  struct gg_replay_recording *recording = take->recording;
  uint8_t *at;
  assert(take->open && !take->conversation.finned[direction]);
  int error = reserve(recording, GG_CONVERSATION_FIN_MAX, GG_LOG_CONTROL, &at, failure);
  if (error)
    return error;
  gg_log_commit(recording->log, gg_conversation_fin(&take->conversation, direction, at, gg_log_segment(recording->log),
                                                    stamp(recording, mono_ns)));
  return GG_OK;
}

int gg__take_close(struct gg_take *take, enum gg_closing closing, const char *reason, uint64_t mono_ns,
                   struct gg_failure *failure)
{
  struct gg_replay_recording *recording = take->recording;
  uint8_t *at;
  assert(take->open);
  take->open = false;
  take->reason = reason;
  int error = reserve(recording, GG_CONVERSATION_CLOSE_MAX, GG_LOG_CONTROL, &at, failure);
  if (error)
    return error;
  uint64_t time_ns = stamp(recording, mono_ns);
  gg_log_commit(recording->log, gg_conversation_close(&take->conversation, closing, closing_facts, at,
                                                      gg_log_segment(recording->log), time_ns));
  return GG_OK;
}
