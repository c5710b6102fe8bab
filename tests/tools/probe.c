/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in for tests: it does with sessions what its options say, keeps count of what it has seen, and tells that when
 * its command asks. From this header alone, as anybody's plug-in.
 */
#include <gogetway/plugin.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option {
  MODE,
  FROM,
  ACCEPT,
  OPEN,
  MATCH,
  VERDICT,
  REPLY,
  UPSTREAM,
  KEEP,
  AFTER,
  ON_DUE,
  GIVE_BACK,
  TAGS,
  RECORDING,
  RECORD_FIRST,
  FIRST_BYTES,
  FIRST_TIME,
  AVOID,
  RATE,
  SLEEP,
  CLOSE_IN,
  CUT_KIND,
  RESUME_TICK,
  WANT_FIRST,
  OPTIONS
};

static const char *const modes[] = {"none", "count", "observe", "gate", "rewrite", "mask", NULL}; /* enum gg_mode */
static const char *const sides[] = {"client", "server", "both", NULL};
static const char *const kinds[] = {"pass", "hold", "close", "reset", "tarpit", "reply", "divert", NULL};
static const char *const recordings[] = {"full", "first", "metadata", "off", NULL};
static const char *const points[] = {"none",  "open", "first", "connect", "observe", "connected", "failed",
                                     "count", "gate", "mask",  "rewrite", "close",   "tick",      NULL};

static const struct gg_plugin_option options[OPTIONS] = {
  [MODE] = {"mode", GG_PLUGIN_CHOICE, .choices = modes, .preset = "none", .help = "what is asked for at open"},
  [FROM] = {"from", GG_PLUGIN_CHOICE, .choices = sides, .preset = "client", .help = "of which direction"},
  [ACCEPT] = {"accept", GG_PLUGIN_CHOICE, .choices = kinds, .preset = "pass", .help = "verdict at accept"},
  [OPEN] = {"open", GG_PLUGIN_CHOICE, .choices = kinds, .preset = "pass", .help = "verdict at open"},
  [MATCH] = {"match", GG_PLUGIN_TEXT, .help = "bytes that bring the verdict"},
  [VERDICT] = {"verdict", GG_PLUGIN_CHOICE, .choices = kinds, .preset = "reset", .help = "which"},
  [REPLY] = {"reply", GG_PLUGIN_TEXT, .preset = "no\n", .help = "what is replied"},
  [UPSTREAM] = {"upstream", GG_PLUGIN_TEXT, .help = "where to: at open, at first, or by divert"},
  [KEEP] = {"keep", GG_PLUGIN_BYTES, .most = 1 << 20, .help = "so many bytes stay back"},
  [AFTER] = {"after", GG_PLUGIN_DURATION, .most = 1ull << 40, .help = "and are decided about after so long"},
  [ON_DUE] = {"on_due", GG_PLUGIN_CHOICE, .choices = kinds, .preset = "pass", .help = "by this verdict"},
  [GIVE_BACK] = {"give_back", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "the gate is given back after so many"},
  [TAGS] = {"tags", GG_PLUGIN_TEXTS, .help = "tags of every session"},
  [RECORDING] = {"recording", GG_PLUGIN_CHOICE, .choices = recordings, .preset = "full", .help = "what is recorded"},
  [RECORD_FIRST] = {"record_first", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "of each direction"},
  [FIRST_BYTES] = {"first_bytes", GG_PLUGIN_BYTES, .most = 1 << 20, .help = "waited for before the upstream is chosen"},
  [FIRST_TIME] = {"first_time", GG_PLUGIN_DURATION, .most = 1ull << 40, .help = "... and no longer"},
  [AVOID] = {"avoid", GG_PLUGIN_TEXT, .help = "an upstream that no session goes to"},
  [RATE] = {"rate", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "bytes a second from the client"},
  [SLEEP] = {"sleep", GG_PLUGIN_DURATION, .most = 1ull << 40, .help = "how long a gate's call takes"},
  [CLOSE_IN] = {"close_in", GG_PLUGIN_CHOICE, .choices = points, .preset = "none", .help = "cuts the session there"},
  [CUT_KIND] = {"cut_kind", GG_PLUGIN_CHOICE, .choices = kinds, .preset = "close", .help = "and how"},
  [RESUME_TICK] = {"resume_tick", GG_PLUGIN_BOOL, .help = "each tick ends every hold by passing"},
  [WANT_FIRST] = {"want_first", GG_PLUGIN_BOOL, .help = "the mode is asked for at first instead"},
};

enum { HELD_MAX = 20000, MASK_LONGEST = 64 };

struct probe {
  const struct gg_host *host;
  const struct gg_plugin_value *values;
  _Atomic uint64_t accepted, opened, firsts, connects, connected, failed, counted_bytes, counts, gated_bytes, gates;
  _Atomic uint64_t closed, ends, disorder, dues, rate, refused;
  pthread_mutex_t lock; /* of those that are held */
  unsigned held_count;
  struct gg_session_key held[HELD_MAX];
};

/* Where the gate of each direction is. */
struct state {
  uint64_t next[2];
};

static bool is_from(const struct probe *probe, enum gg_side side)
{
  uint64_t from = probe->values[FROM].number;
  return from == 2 || from == (uint64_t)side;
}

static void cut_by_key(struct probe *probe, const struct gg_session_key *key, const char *point)
{
  const struct gg_verdict verdict = {.kind = (enum gg_verdict_kind)probe->values[CUT_KIND].number, .reason = point};
  if (strcmp(points[probe->values[CLOSE_IN].number], point) == 0)
    probe->host->cut(probe->host, key, &verdict);
}

static void cut_in(struct probe *probe, struct gg_live *session, const char *point)
{
  struct gg_session_key key;
  probe->host->key(probe->host, session, &key);
  cut_by_key(probe, &key, point);
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct probe *probe = calloc(1, sizeof *probe);
  if (!probe)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory for the probe");
  probe->host = host;
  probe->values = config->values;
  probe->rate = config->values[RATE].number;
  pthread_mutex_init(&probe->lock, NULL);
  *self = probe;
  host->log(host, GG_PLUGIN_INFO, "the probe is there");
  return 0;
}

static void on_destroy(void *self)
{
  struct probe *probe = self;
  probe->host->log(probe->host, GG_PLUGIN_INFO, "the probe is gone");
  pthread_mutex_destroy(&probe->lock);
  free(probe);
}

static enum gg_verdict_kind on_accept(void *self, const struct gg_arrival *arrival)
{
  struct probe *probe = self;
  (void)arrival;
  probe->accepted++;
  return (enum gg_verdict_kind)probe->values[ACCEPT].number;
}

static void choose(const struct probe *probe, struct gg_open *open)
{
  bool later = (enum gg_verdict_kind)probe->values[VERDICT].number == GG_VERDICT_DIVERT;
  open->upstream = later ? NULL : probe->values[UPSTREAM].text;
  open->verdict.kind = (enum gg_verdict_kind)probe->values[OPEN].number;
  open->verdict.reply = probe->values[REPLY].text;
  open->verdict.reply_length = strlen(probe->values[REPLY].text);
  open->verdict.reason = "as configured";
}

static void want(struct probe *probe, struct gg_live *session)
{
  enum gg_mode mode = (enum gg_mode)probe->values[MODE].number;
  for (unsigned i = 0; i < 2; i++)
    if (is_from(probe, (enum gg_side)i))
      probe->refused += probe->host->want(probe->host, session, (enum gg_side)i, mode) != 0;
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct probe *probe = self;
  const struct gg_host *host = probe->host;
  struct gg_session_key key;
  probe->opened++;
  if (!probe->values[WANT_FIRST].on) /* before anything that may fail: a session that ends here may be masked too */
    want(probe, session);
  struct state *state = calloc(1, sizeof *state);
  if (!state) {
    open->verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = "no memory"};
    return;
  }
  host->state_set(host, session, state);
  host->key(host, session, &key);
  for (size_t i = 0; i < probe->values[TAGS].text_count; i++)
    host->tag(host, &key, probe->values[TAGS].texts[i], true);
  if (probe->rate > 0)
    host->throttle(host, &key, GG_SIDE_CLIENT, probe->rate);
  open->recording = (enum gg_recording)probe->values[RECORDING].number;
  open->record_first = probe->values[RECORD_FIRST].number;
  open->hold_first_bytes = (size_t)probe->values[FIRST_BYTES].number;
  open->hold_first_ns = probe->values[FIRST_TIME].number;
  if (open->hold_first_bytes == 0)
    choose(probe, open);
  cut_in(probe, session, "open");
}

static void on_first(void *self, struct gg_live *session, const uint8_t *bytes, size_t length, struct gg_open *open)
{
  struct probe *probe = self;
  const char *match = probe->values[MATCH].text;
  probe->firsts++;
  if (!match || (length >= strlen(match) && memmem(bytes, length, match, strlen(match))))
    choose(probe, open);
  if (probe->values[WANT_FIRST].on)
    want(probe, session);
  cut_in(probe, session, "first");
}

static enum gg_verdict_kind on_connect(void *self, struct gg_live *session, const char *name, const char *address)
{
  struct probe *probe = self;
  (void)address;
  probe->connects++;
  cut_in(probe, session, "connect");
  const char *avoid = probe->values[AVOID].text;
  return avoid && strcmp(avoid, name) == 0 ? GG_VERDICT_CLOSE : GG_VERDICT_PASS;
}

static void on_connected(void *self, struct gg_live *session, const char *name)
{
  struct probe *probe = self;
  (void)name;
  probe->connected++;
  cut_in(probe, session, "connected");
}

static void on_failed(void *self, struct gg_live *session, const char *name, const char *reason)
{
  struct probe *probe = self;
  (void)name;
  (void)reason;
  probe->failed++;
  cut_in(probe, session, "failed");
}

static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  struct probe *probe = self;
  (void)from;
  probe->counts++;
  probe->counted_bytes += bytes;
  cut_in(probe, session, "count");
}

static void hold(struct probe *probe, const struct gg_live *session)
{
  pthread_mutex_lock(&probe->lock);
  if (probe->held_count < HELD_MAX)
    probe->host->key(probe->host, session, &probe->held[probe->held_count++]);
  pthread_mutex_unlock(&probe->lock);
}

static void decide(struct probe *probe, const struct gg_live *session, enum option by, struct gg_verdict *verdict)
{
  *verdict = (struct gg_verdict){
    .kind = (enum gg_verdict_kind)probe->values[by].number,
    .after_ns = probe->values[AFTER].number,
    .reply = probe->values[REPLY].text,
    .reply_length = strlen(probe->values[REPLY].text),
    .upstream = probe->values[UPSTREAM].text,
    .reason = "matched",
  };
  if (verdict->kind != GG_VERDICT_HOLD)
    return;
  verdict->keep = SIZE_MAX; /* all that was not passed */
  hold(probe, session);
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct probe *probe = self;
  const struct gg_host *host = probe->host;
  struct state *state = host->state(host, session);
  const char *match = probe->values[MATCH].text;
  probe->gates++;
  probe->gated_bytes += data->length;
  probe->ends += data->ended && !data->due;
  probe->dues += data->due;
  probe->disorder += state->next[data->from] != data->offset;
  state->next[data->from] = data->offset + data->length;
  if (data->due) {
    decide(probe, session, ON_DUE, verdict);
    return;
  }
  verdict->keep = (size_t)probe->values[KEEP].number;
  verdict->after_ns = probe->values[AFTER].number;
  if (probe->values[SLEEP].number > 0)
    usleep((useconds_t)(probe->values[SLEEP].number / 1000));
  if (match && data->length >= strlen(match) && memmem(data->bytes, data->length, match, strlen(match)))
    decide(probe, session, VERDICT, verdict);
  uint64_t give_back = probe->values[GIVE_BACK].number;
  if (give_back > 0 && state->next[data->from] >= give_back)
    host->want(host, session, data->from, GG_MODE_NONE);
  cut_in(probe, session, "gate");
}

/* What matches is not recorded. Not in every probe: of a session that ends before a plug-in that could mask has said
 * whether it does, nothing is recorded. */
#ifdef MASKS
static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  struct probe *probe = self;
  const char *match = probe->values[MATCH].text;
  size_t length = match ? strlen(match) : 0, keep = (size_t)probe->values[KEEP].number;
  uint8_t *at = piece->bytes, *end = piece->bytes + piece->length;
  for (; length > 0 && (at = memmem(at, (size_t)(end - at), match, length)) != NULL; at += length) {
    memset(at, '#', length);
    piece->masked += length;
  }
  cut_in(probe, session, "mask");
  keep = keep < MASK_LONGEST ? keep : MASK_LONGEST - 1;
  return keep < piece->length ? keep : piece->length;
}
#endif

/* All goes on as it came. */
static void on_rewrite(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output)
{
  struct probe *probe = self;
  if (data->length > 0)
    probe->refused += probe->host->emit(probe->host, output, data->bytes, data->length) != 0;
  cut_in(probe, session, "rewrite");
}

static void on_observe(void *self, const struct gg_observed *piece)
{
  cut_by_key(self, &piece->key, "observe");
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct probe *probe = self;
  (void)summary;
  cut_in(probe, session, "close");
  free(probe->host->state(probe->host, session));
  probe->closed++;
}

/* ── Its ticks ───────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { CUTS_A_TICK = 64 };
struct victims {
  unsigned count;
  struct gg_session_key keys[CUTS_A_TICK];
};

/* Those that have said something. */
static bool find_victim(void *context, const struct gg_session_info *info)
{
  struct victims *victims = context;
  if (info->received[GG_SIDE_CLIENT] > 0)
    victims->keys[victims->count++] = info->key;
  return victims->count < CUTS_A_TICK;
}

static void resume_all(struct probe *probe, const struct gg_verdict *verdict);

static void on_tick(void *self)
{
  struct probe *probe = self;
  if (probe->values[RESUME_TICK].on)
    resume_all(probe, &(const struct gg_verdict){.kind = GG_VERDICT_PASS});
  const struct gg_verdict verdict = {.kind = (enum gg_verdict_kind)probe->values[CUT_KIND].number, .reason = "tick"};
  struct victims victims = {.count = 0};
  if (strcmp(points[probe->values[CLOSE_IN].number], "tick") != 0)
    return;
  probe->host->list(probe->host, find_victim, &victims);
  for (unsigned i = 0; i < victims.count; i++)
    probe->host->cut(probe->host, &victims.keys[i], &verdict);
}

/* ── Its commands ────────────────────────────────────────────────────────────────────────────────────────────────── */

enum command { SEEN, RESUME, CUT, LIST, RATE_TO, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [SEEN] = {"seen", NULL, "what the probe has seen"},
  [RESUME] = {"resume", "KIND", "ends every hold by this verdict"},
  [CUT] = {"cut", "KEY KIND", "ends a session"},
  [LIST] = {"list", NULL, "the sessions that are open"},
  [RATE_TO] = {"rate", "BYTES", "the clients of later sessions may send so many a second"},
};

static int kind_of(const char *text)
{
  for (int i = 0; kinds[i]; i++)
    if (strcmp(kinds[i], text) == 0)
      return i;
  return -1;
}

static void tell_seen(struct probe *probe, void *reply)
{
  char text[512];
  pthread_mutex_lock(&probe->lock);
  unsigned held = probe->held_count;
  pthread_mutex_unlock(&probe->lock);
  snprintf(text, sizeof text,
           "accepted %llu\nopened %llu\nfirsts %llu\nconnects %llu\nconnected %llu\nfailed %llu\ncounts %llu\n"
           "counted_bytes %llu\ngates %llu\ngated_bytes %llu\nends %llu\nclosed %llu\ndisorder %llu\ndues %llu\n"
           "refused %llu\nheld %u\n",
           (unsigned long long)probe->accepted, (unsigned long long)probe->opened, (unsigned long long)probe->firsts,
           (unsigned long long)probe->connects, (unsigned long long)probe->connected, (unsigned long long)probe->failed,
           (unsigned long long)probe->counts, (unsigned long long)probe->counted_bytes,
           (unsigned long long)probe->gates, (unsigned long long)probe->gated_bytes, (unsigned long long)probe->ends,
           (unsigned long long)probe->closed, (unsigned long long)probe->disorder, (unsigned long long)probe->dues,
           (unsigned long long)probe->refused, held);
  probe->host->reply(probe->host, reply, text);
}

static bool is_taken(int error)
{
  return error != GG_ERR_AGAIN && error != GG_ERR_NOMEM;
}

/* Those whose order could not be taken stay, for the next time. */
static void resume_all(struct probe *probe, const struct gg_verdict *verdict)
{
  unsigned left = 0;
  pthread_mutex_lock(&probe->lock);
  for (unsigned i = 0; i < probe->held_count; i++) {
    bool taken = true;
    for (unsigned side = 0; side < 2; side++)
      taken &= is_taken(probe->host->resume(probe->host, &probe->held[i], (enum gg_side)side, verdict));
    if (!taken)
      probe->held[left++] = probe->held[i];
  }
  probe->held_count = left;
  pthread_mutex_unlock(&probe->lock);
}

static void resume_by_command(struct probe *probe, int kind)
{
  const struct gg_verdict verdict = {
    .kind = (enum gg_verdict_kind)kind,
    .reply = probe->values[REPLY].text,
    .reply_length = strlen(probe->values[REPLY].text),
    .upstream = probe->values[UPSTREAM].text,
    .reason = "resumed",
  };
  resume_all(probe, &verdict);
}

struct telling {
  struct probe *probe;
  void *reply;
};

static bool tell_session(void *context, const struct gg_session_info *info)
{
  const struct telling *telling = context;
  char text[512];
  snprintf(text, sizeof text, "%s %s %s %s %llu %llu %s\n", info->key.text, info->listener, info->client,
           info->upstream[0] ? info->upstream : "-", (unsigned long long)info->received[GG_SIDE_CLIENT],
           (unsigned long long)info->forwarded[GG_SIDE_CLIENT], info->tag_count > 0 ? info->tags[0] : "-");
  telling->probe->host->reply(telling->probe->host, telling->reply, text);
  return true;
}

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct probe *probe = self;
  struct telling telling = {probe, reply};
  int kind = word_count > 0 ? kind_of(words[word_count - 1]) : -1;
  switch ((enum command)command) {
  case SEEN:
    tell_seen(probe, reply);
    return 0;
  case LIST:
    probe->host->list(probe->host, tell_session, &telling);
    return 0;
  case RESUME:
    if (kind < 0)
      return gg_plugin_fail(failure, GG_ERR_INVALID, "resume takes a kind of verdict");
    resume_by_command(probe, kind);
    return 0;
  case CUT: {
    struct gg_session_key key = {{0}};
    const struct gg_verdict verdict = {.kind = (enum gg_verdict_kind)kind, .reason = "cut"};
    if (word_count != 2 || kind < 0 || strlen(words[0]) != sizeof key.text - 1)
      return gg_plugin_fail(failure, GG_ERR_INVALID, "cut takes a key and a kind of verdict");
    memcpy(key.text, words[0], sizeof key.text - 1);
    int error = probe->host->cut(probe->host, &key, &verdict);
    return error ? gg_plugin_fail(failure, error, "there is no session %s", key.text) : 0;
  }
  case RATE_TO:
    probe->rate = word_count > 0 ? strtoull(words[0], NULL, 10) : 0;
    return 0;
  case COMMANDS:
    break;
  }
  return gg_plugin_fail(failure, GG_ERR_INVALID, "no such command");
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin;
const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,
  .name = "probe",
  .version = "1",
  .summary = "does what a test wants",
  .options = options,
  .option_count = OPTIONS,
  .commands = commands,
  .command_count = COMMANDS,
  .create = on_create,
  .destroy = on_destroy,
  .accept = on_accept,
  .open = on_open,
  .first = on_first,
  .connect = on_connect,
  .connected = on_connected,
  .failed = on_failed,
  .count = on_count,
  .gate = on_gate,
  .rewrite = on_rewrite,
#ifdef MASKS
  .mask = on_mask,
  .mask_longest = MASK_LONGEST,
#endif
  .observe = on_observe,
  .close = on_close,
  .tick = on_tick,
  .tick_interval_ns = 20000000,
  .command = on_command,
};
