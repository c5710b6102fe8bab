/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in for tests that observes: it keeps what it is shown, at its place, in a file of each stream, counts what it
 * has missed, and is as slow as its options say. From this header alone, as anybody's plug-in.
 */
#include <gogetway/plugin.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option { FROM, SLEEP, SLEEP_ONCE, KEEP, STOP_AT, AGAIN_AT, RECORDING, GATE, OPTIONS };

static const char *const sides[] = {"client", "server", "both", NULL};
static const char *const recordings[] = {"full", "first", "metadata", "off", NULL};

static const struct gg_plugin_option options[OPTIONS] = {
  [FROM] = {"from", GG_PLUGIN_CHOICE, .choices = sides, .preset = "both", .help = "which direction is observed"},
  [SLEEP] = {"sleep", GG_PLUGIN_DURATION, .most = 1ull << 40, .help = "how long each call takes"},
  [SLEEP_ONCE] = {"sleep_once", GG_PLUGIN_DURATION, .most = 1ull << 40, .help = "... and the first one"},
  [KEEP] = {"keep", GG_PLUGIN_BOOL, .preset = "false", .help = "streams are kept in files"},
  [STOP_AT] = {"stop_at", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "so many bytes of the server end it"},
  [AGAIN_AT] = {"again_at", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "... and so many begin it anew"},
  [RECORDING] = {"recording", GG_PLUGIN_CHOICE, .choices = recordings, .preset = "full", .help = "what is recorded"},
  [GATE] = {"gate", GG_PLUGIN_TEXT, .help = "bytes of the server that reset the session"},
};

enum { STREAMS_MAX = 40000, BUCKETS = 65536 };

struct stream {
  struct gg_session_key key;
  enum gg_side from;
  uint64_t start, next, received, missed;
  unsigned calls, disorder;
  bool ended;
  int bucket_next; /* -1: the last */
};

struct observer {
  const struct gg_host *host;
  const struct gg_plugin_value *values;
  _Atomic uint64_t refused;
  _Atomic int refusal;
  _Atomic uint64_t slept;
  pthread_mutex_t lock; /* of the streams */
  int buckets[BUCKETS];
  int count;
  struct stream streams[STREAMS_MAX];
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct observer *observer = calloc(1, sizeof *observer);
  if (!observer)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory for the observer");
  observer->host = host;
  observer->values = config->values;
  memset(observer->buckets, 0xff, sizeof observer->buckets);
  pthread_mutex_init(&observer->lock, NULL);
  *self = observer;
  return 0;
}

static void tell_all(const struct observer *observer, char *text, size_t size);

static void on_destroy(void *self)
{
  struct observer *observer = self;
  char text[512];
  tell_all(observer, text, sizeof text);
  for (char *at = text; (at = strchr(at, '\n')) != NULL;)
    *at = ',';
  observer->host->log(observer->host, GG_PLUGIN_INFO, text);
  observer->host->log(observer->host, GG_PLUGIN_INFO, "the observer is gone");
  pthread_mutex_destroy(&observer->lock);
  free(observer);
}

static void want(struct observer *observer, struct gg_live *session, enum gg_side from, enum gg_mode mode)
{
  int error = observer->host->want(observer->host, session, from, mode);
  if (!error)
    return;
  observer->refused++;
  observer->refusal = error;
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct observer *observer = self;
  uint64_t from = observer->values[FROM].number;
  bool other = observer->values[STOP_AT].number > 0 || observer->values[GATE].text;
  open->recording = (enum gg_recording)observer->values[RECORDING].number;
  observer->host->state_set(observer->host, session, calloc(1, sizeof(uint64_t)));
  for (unsigned side = 0; side < 2; side++)
    if (from == 2 || from == side)
      want(observer, session, (enum gg_side)side, GG_MODE_OBSERVE);
    else if (other)
      want(observer, session, (enum gg_side)side, observer->values[GATE].text ? GG_MODE_GATE : GG_MODE_COUNT);
}

/* Of the direction that is not observed. */
static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  struct observer *observer = self;
  enum gg_side other = from == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
  uint64_t *seen = observer->host->state(observer->host, session), before = *seen;
  uint64_t stop_at = observer->values[STOP_AT].number, again_at = observer->values[AGAIN_AT].number;
  *seen += bytes;
  if (before < stop_at && *seen >= stop_at)
    want(observer, session, other, GG_MODE_NONE);
  if (again_at > 0 && before < again_at && *seen >= again_at)
    want(observer, session, other, GG_MODE_OBSERVE);
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct observer *observer = self;
  const char *match = observer->values[GATE].text;
  (void)session;
  if (memmem(data->bytes, data->length, match, strlen(match)))
    verdict->kind = GG_VERDICT_RESET;
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct observer *observer = self;
  (void)summary;
  free(observer->host->state(observer->host, session));
}

/* ── What it is shown ────────────────────────────────────────────────────────────────────────────────────────────── */

static int *bucket_of(struct observer *observer, const struct gg_session_key *key, enum gg_side from)
{
  uint32_t hash = 2166136261u + (uint32_t)from;
  for (const char *at = key->text; *at; at++)
    hash = (hash ^ (uint8_t)*at) * 16777619u;
  return &observer->buckets[hash % BUCKETS];
}

/* One that has ended may begin anew: that is another stream. */
static struct stream *stream_of(struct observer *observer, const struct gg_observed *piece)
{
  int *bucket = bucket_of(observer, &piece->key, piece->from);
  for (int i = *bucket; i >= 0; i = observer->streams[i].bucket_next) {
    struct stream *stream = &observer->streams[i];
    if (!stream->ended && stream->from == piece->from && strcmp(stream->key.text, piece->key.text) == 0)
      return stream;
  }
  if (observer->count == STREAMS_MAX)
    return NULL;
  struct stream *stream = &observer->streams[observer->count];
  *stream = (struct stream){.key = piece->key, .from = piece->from, .bucket_next = *bucket};
  stream->start = stream->next = piece->offset - piece->missed;
  *bucket = observer->count++;
  return stream;
}

static void keep(const struct observer *observer, const struct gg_observed *piece)
{
  char path[1024];
  snprintf(path, sizeof path, "%s/%s.%s", observer->host->state_dir, piece->key.text, sides[piece->from]);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || pwrite(fd, piece->bytes, piece->length, (off_t)piece->offset) != (ssize_t)piece->length)
    observer->host->log(observer->host, GG_PLUGIN_ERROR, "cannot keep what was observed");
  if (fd >= 0)
    close(fd);
}

static void on_observe(void *self, const struct gg_observed *piece)
{
  struct observer *observer = self;
  if (observer->values[SLEEP_ONCE].number > 0 && observer->slept++ == 0)
    usleep((useconds_t)(observer->values[SLEEP_ONCE].number / 1000));
  if (observer->values[SLEEP].number > 0)
    usleep((useconds_t)(observer->values[SLEEP].number / 1000));
  uint64_t now_ns = observer->host->real_ns(observer->host);
  pthread_mutex_lock(&observer->lock);
  struct stream *stream = stream_of(observer, piece);
  if (stream) {
    stream->calls++;
    stream->disorder += piece->offset != stream->next + piece->missed || piece->real_ns > now_ns ||
                        now_ns - piece->real_ns > 120000000000u || (piece->length == 0) != piece->ended;
    stream->next = piece->offset + piece->length;
    stream->received += piece->length;
    stream->missed += piece->missed;
    stream->ended = piece->ended;
  }
  pthread_mutex_unlock(&observer->lock);
  if (piece->length > 0 && observer->values[KEEP].on)
    keep(observer, piece);
}

/* ── Its commands ────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg_plugin_command commands[] = {
  {"seen", NULL, "what the observer has seen, in all"},
  {"streams", NULL, "... and of each stream"},
};

static void tell_all(const struct observer *observer, char *text, size_t size)
{
  uint64_t received = 0, missed = 0, total = 0;
  unsigned ended = 0, disorder = 0, calls = 0;
  for (int i = 0; i < observer->count; i++) {
    const struct stream *stream = &observer->streams[i];
    received += stream->received;
    missed += stream->missed;
    total += stream->next - stream->start;
    ended += stream->ended;
    disorder += stream->disorder;
    calls += stream->calls;
  }
  snprintf(text, size,
           "streams %d\nended %u\ncalls %u\ndisorder %u\nreceived %llu\nmissed %llu\ntotal %llu\nrefused %llu\n"
           "refusal %d\n",
           observer->count, ended, calls, disorder, (unsigned long long)received, (unsigned long long)missed,
           (unsigned long long)total, (unsigned long long)observer->refused, observer->refusal);
}

static void tell_seen(const struct observer *observer, void *reply)
{
  char text[512];
  tell_all(observer, text, sizeof text);
  observer->host->reply(observer->host, reply, text);
}

static void tell_streams(struct observer *observer, void *reply)
{
  char text[256];
  for (int i = 0; i < observer->count; i++) {
    const struct stream *stream = &observer->streams[i];
    snprintf(text, sizeof text, "%s %s %llu %llu %llu %llu %d\n", stream->key.text, sides[stream->from],
             (unsigned long long)stream->start, (unsigned long long)stream->next, (unsigned long long)stream->received,
             (unsigned long long)stream->missed, stream->ended);
    observer->host->reply(observer->host, reply, text);
  }
}

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct observer *observer = self;
  (void)word_count;
  (void)words;
  (void)failure;
  pthread_mutex_lock(&observer->lock);
  if (command == 0)
    tell_seen(observer, reply);
  else
    tell_streams(observer, reply);
  pthread_mutex_unlock(&observer->lock);
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin;
const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,       .name = "observer",
  .version = "1",       .summary = "observes what a test wants",
  .options = options,   .option_count = OPTIONS,
  .commands = commands, .command_count = sizeof commands / sizeof commands[0],
  .create = on_create,  .destroy = on_destroy,
  .open = on_open,      .count = on_count,
  .gate = on_gate,      .observe = on_observe,
  .close = on_close,    .command = on_command,
};
