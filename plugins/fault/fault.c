/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - what networks and peers do to sessions, on purpose: the instance.
 *
 *     open: a draw by the seed ──► is the session one of the share? ──► each direction asks for what its faults need:
 *
 *         none of its faults is set ──► count    the bytes go as they would; when one is set, the next call changes it
 *         latency, ..., reset_after ──► gate     delay.c says up to where bytes may go on, and when more may
 *         corrupt_at                ──► rewrite  that byte goes on as another
 *
 * A gate keeps bytes back and says when it wants to be asked again (after_ns): the plug-in has no thread and no timer,
 * and a session that waits costs nothing. Settings are atomics that any call reads, so a command changes what open
 * sessions do from their next call on. With `off`, gates and rewriters stay and let all pass: `on` works at once.
 */
#include "fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ON_AT, SHARE_AT, SEED_AT, FIRST_AT, OPTIONS = FIRST_AT + 2 * FAULTS };

#define MOST_NS (UINT64_C(3600) * 1000000000)
#define MOST_BYTES (UINT64_C(1) << 40)
#define WAY(at, way)                                                                                                   \
  [at + LATENCY] = {way "_latency", GG_PLUGIN_DURATION, .most = MOST_NS, .help = "each byte is so late"},              \
        [at + JITTER] = {way "_jitter", GG_PLUGIN_DURATION, .most = MOST_NS, .help = "... and up to so much later"},   \
        [at + RATE] = {way "_rate", GG_PLUGIN_BYTES, .least = 1, .most = MOST_BYTES, .help = "bytes a second"},        \
        [at + SLOW_CLOSE] = {way "_slow_close", GG_PLUGIN_DURATION, .most = MOST_NS, .help = "the end is so late"},    \
        [at +                                                                                                          \
          RESET_AFTER] = {way "_reset_after", GG_PLUGIN_BYTES, .most = MOST_BYTES, .help = "so many, then a reset"},   \
        [at + CORRUPT_AT] = {way "_corrupt_at", GG_PLUGIN_BYTES, .most = MOST_BYTES, .help = "where a byte is wrong"}

static const struct gg_plugin_option options[OPTIONS] = {
  [ON_AT] = {"on", GG_PLUGIN_BOOL, .preset = "on", .help = "begins switched on"},
  [SHARE_AT] = {"share", GG_PLUGIN_TEXT, .preset = "100%", .help = "of sessions that have faults: 25%, 0.5%"},
  [SEED_AT] = {"seed", GG_PLUGIN_COUNT, .help = "the same draws each time; 0: by the clock"},
  WAY(FIRST_AT, "to_server"),
  WAY(FIRST_AT + FAULTS, "to_client"),
};

#define RESET_POLL_NS (UINT64_C(5) * 1000 * 1000)        /* how often it is asked whether all has gone on, ... */
#define RESET_WAIT_NS (UINT64_C(5) * 1000 * 1000 * 1000) /* ... for how long, ... */
#define RESET_SETTLE_NS (UINT64_C(50) * 1000 * 1000)     /* ... and what it gets then to arrive: a RST overtakes */

struct fault_plugin {
  const struct gg_host *host;
  struct settings settings;
  uint64_t seed;
  _Atomic uint64_t draws, faulty, resets, corrupted;
};

/* A session's. */
struct state {
  uint64_t draw; /* of SHARE_ALL: it has faults if the share is larger */
  bool counted;  /* among the faulty */
  enum gg_mode mode[2];
  struct delay delay[2];
  uint64_t reset_ns[2]; /* RESET_AFTER: since when it is waited for that all goes on; 0: it is not */
  uint64_t gone_ns[2];  /* ... and when it had; 0: it has not */
};

static bool is_chosen(const struct fault_plugin *plugin, const struct state *state)
{
  return state->draw < plugin->settings.share;
}

/* ── Which mode ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_mode mode_for(const struct fault_plugin *plugin, const struct state *state, enum gg_side from)
{
  const struct settings *settings = &plugin->settings;
  if (!is_chosen(plugin, state))
    return GG_MODE_COUNT;
  if (setting(settings, from, CORRUPT_AT) != OFF)
    return GG_MODE_REWRITE;
  for (unsigned i = 0; i < CORRUPT_AT; i++)
    if (setting(settings, from, (enum fault)i) != OFF)
      return GG_MODE_GATE;
  return GG_MODE_COUNT;
}

/* Asks for what the direction's faults need from here on. */
static void adapt(struct fault_plugin *plugin, struct gg_live *session, struct state *state, enum gg_side from)
{
  const struct gg_host *host = plugin->host;
  enum gg_mode mode = mode_for(plugin, state, from);
  if (mode == state->mode[from] || host->want(host, session, from, mode) != 0)
    return;
  state->mode[from] = mode;
  if (mode == GG_MODE_COUNT || state->counted)
    return;
  struct gg_session_key key;
  state->counted = true;
  plugin->faulty++;
  host->key(host, session, &key);
  host->tag(host, &key, "fault", true);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct fault_plugin *plugin = self;
  struct state *state = calloc(1, sizeof *state);
  (void)open;
  if (!state) /* without memory it goes as it would */
    return;
  uint64_t random = plugin->seed + plugin->draws++ * UINT64_C(0xD1342543DE82EF95);
  state->draw = random_next(&random) % SHARE_ALL;
  for (unsigned from = 0; from < 2; from++)
    state->delay[from].random = random_next(&random);
  plugin->host->state_set(plugin->host, session, state);
  adapt(plugin, session, state, GG_SIDE_CLIENT);
  adapt(plugin, session, state, GG_SIDE_SERVER);
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct fault_plugin *plugin = self;
  struct state *state = plugin->host->state(plugin->host, session);
  (void)summary;
  if (!state)
    return;
  delay_fini(&state->delay[GG_SIDE_CLIENT]);
  delay_fini(&state->delay[GG_SIDE_SERVER]);
  free(state);
}

static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  struct fault_plugin *plugin = self;
  (void)bytes;
  adapt(plugin, session, plugin->host->state(plugin->host, session), from);
}

/* ── Late, slow, and cut off ─────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t until(uint64_t at_ns, uint64_t now_ns)
{
  return at_ns > now_ns ? at_ns - now_ns : 1;
}

/* As many bytes have been let go as shall be, and `keep` are left. What was let go may not have gone yet. */
static void reset(struct fault_plugin *plugin, struct gg_live *session, struct state *state, enum gg_side from,
                  uint64_t keep, uint64_t now_ns, struct gg_verdict *verdict)
{
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  uint64_t wanted = setting(&plugin->settings, from, RESET_AFTER);
  uint64_t *since_ns = &state->reset_ns[from], *gone_ns = &state->gone_ns[from];
  plugin->host->info(plugin->host, session, &info);
  if (*since_ns == 0)
    *since_ns = now_ns;
  if (*gone_ns == 0 && info.forwarded[from] >= wanted)
    *gone_ns = now_ns;
  bool gone = (*gone_ns > 0 && now_ns >= *gone_ns + RESET_SETTLE_NS) || now_ns > *since_ns + RESET_WAIT_NS;
  if (wanted > 0 && !gone) {
    *verdict = (struct gg_verdict){.kind = GG_VERDICT_HOLD, .keep = (size_t)keep, .after_ns = RESET_POLL_NS};
    return;
  }
  *verdict = (struct gg_verdict){.kind = GG_VERDICT_RESET, .reason = "reset_after"};
  plugin->resets++;
}

static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct fault_plugin *plugin = self;
  const struct settings *settings = &plugin->settings;
  struct state *state = plugin->host->state(plugin->host, session);
  struct delay *delay = &state->delay[data->from];
  uint64_t now_ns = plugin->host->mono_ns(plugin->host), next_ns;
  uint64_t seen = data->offset + data->length, passed = data->offset - data->kept;
  if (!settings->on || !is_chosen(plugin, state)) { /* also what waits goes on now */
    delay->count = 0;
    delay->ripe = seen;
    adapt(plugin, session, state, data->from);
    return;
  }
  if (data->length > 0)
    delay_put(delay, settings, data->from, seen, now_ns);
  if (data->ended)
    delay_end(delay, settings, data->from, now_ns);
  uint64_t go = delay_go(delay, settings, data->from, passed, seen, now_ns, &next_ns);
  uint64_t most = setting(settings, data->from, RESET_AFTER);
  if (go >= most) {
    go = most > passed ? most : passed;
    reset(plugin, session, state, data->from, seen - go, now_ns, verdict);
    return;
  }
  verdict->keep = (size_t)(seen - go);
  verdict->after_ns = until(next_ns, now_ns);
  if (verdict->keep > 0)
    return;
  verdict->after_ns = 0;
  if (data->ended && now_ns < delay->end_ns)
    *verdict = (struct gg_verdict){.kind = GG_VERDICT_HOLD, .after_ns = until(delay->end_ns, now_ns)};
  else
    adapt(plugin, session, state, data->from);
}

/* ── Another byte ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_rewrite(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output)
{
  struct fault_plugin *plugin = self;
  const struct gg_host *host = plugin->host;
  struct state *state = host->state(host, session);
  uint64_t at = setting(&plugin->settings, data->from, CORRUPT_AT);
  bool here = at >= data->offset && at - data->offset < data->length;
  size_t before = here && plugin->settings.on && is_chosen(plugin, state) ? (size_t)(at - data->offset) : data->length;
  host->emit(host, output, data->bytes, before); /* one that finds no room has ended the session */
  if (before < data->length) {
    uint8_t other = (uint8_t)(data->bytes[before] ^ 0xFF);
    plugin->corrupted++;
    host->emit(host, output, &other, 1);
    host->emit(host, output, data->bytes + before + 1, data->length - before - 1);
  }
  adapt(plugin, session, state, data->from);
}

/* ── The instance ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_destroy(void *self)
{
  free(self);
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  const struct gg_plugin_value *values = config->values;
  struct fault_plugin *plugin = calloc(1, sizeof *plugin);
  uint64_t share;
  int error = 0;
  if (!plugin)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  plugin->host = host;
  plugin->seed = values[SEED_AT].number ? values[SEED_AT].number : host->real_ns(host);
  plugin->settings.on = values[ON_AT].on;
  for (unsigned i = 0; i < 2 * FAULTS; i++)
    plugin->settings.way[i / FAULTS][i % FAULTS] = values[FIRST_AT + i].given ? values[FIRST_AT + i].number : OFF;
  if (share_parse(&share, values[SHARE_AT].text))
    plugin->settings.share = share;
  else
    error =
      gg_plugin_fail(failure, GG_ERR_INVALID, "share is '%.40s', which is not 0%% to 100%%", values[SHARE_AT].text);
  for (unsigned from = 0; from < 2 && !error; from++)
    error = settings_check(&plugin->settings, (enum gg_side)from, failure);
  if (error)
    free(plugin);
  else
    *self = plugin;
  return error;
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { ON, SWITCH_OFF, SET, STATUS, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [ON] = {"on", NULL, "faults happen", {0}},
  [SWITCH_OFF] = {"off", NULL, "none happen; what waits goes on", {0}},
  [SET] = {"set", "NAME VALUE", "sets share, or a fault as the option of its name; off: not set", {0}},
  [STATUS] = {"status", NULL, "what is set, and what happened", {0}},
};

static int set(struct fault_plugin *plugin, const char *name, const char *text, struct gg_failure *failure)
{
  enum gg_side from;
  enum fault fault;
  uint64_t value;
  if (strcmp(name, "share") == 0) {
    if (!share_parse(&value, text))
      return gg_plugin_fail(failure, GG_ERR_INVALID, "'%.40s' is not 0%% to 100%%", text);
    plugin->settings.share = value;
    return 0;
  }
  if (!setting_find(name, &from, &fault))
    return gg_plugin_fail(failure, GG_ERR_INVALID, "there is no '%.40s' to be set", name);
  int error = setting_parse(&value, fault, text, failure);
  if (error)
    return error;
  uint64_t before = atomic_exchange(&plugin->settings.way[from][fault], value);
  error = settings_check(&plugin->settings, from, failure);
  if (error)
    plugin->settings.way[from][fault] = before;
  return error;
}

static void tell_status(struct fault_plugin *plugin, void *reply)
{
  const struct settings *settings = &plugin->settings;
  char text[256], value[SETTING_TEXT_MAX];
  snprintf(text, sizeof text,
           "state %s\nshare %g%%\nsessions %" PRIu64 "\nfaulty %" PRIu64 "\nresets %" PRIu64 "\ncorrupted %" PRIu64
           "\n",
           settings->on ? "on" : "off", (double)settings->share * 100 / SHARE_ALL, plugin->draws, plugin->faulty,
           plugin->resets, plugin->corrupted);
  plugin->host->reply(plugin->host, reply, text);
  for (unsigned i = 0; i < 2 * FAULTS; i++) {
    enum fault fault = (enum fault)(i % FAULTS);
    setting_format(value, fault, setting(settings, (enum gg_side)(i / FAULTS), fault));
    snprintf(text, sizeof text, "%s_%s %s\n", way_names[i / FAULTS], fault_names[fault], value);
    plugin->host->reply(plugin->host, reply, text);
  }
}

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct fault_plugin *plugin = self;
  if (word_count != (command == SET ? 2 : 0))
    return gg_plugin_fail(failure, GG_ERR_INVALID, "%s takes %s", commands[command].verb,
                          command == SET ? "a name and a value" : "no words");
  if (command == SET)
    return set(plugin, words[0], words[1], failure);
  if (command == STATUS)
    tell_status(plugin, reply);
  else
    plugin->settings.on = command == ON;
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,       .name = "fault",
  .version = "1.0",     .summary = "latency, rates, resets and wrong bytes, on purpose",
  .options = options,   .option_count = OPTIONS,
  .commands = commands, .command_count = COMMANDS,
  .create = on_create,  .destroy = on_destroy,
  .open = on_open,      .count = on_count,
  .gate = on_gate,      .rewrite = on_rewrite,
  .close = on_close,    .command = on_command,
};
