/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.c - keeps secrets out of the recording: the instance, its options and its callbacks.
 *
 *     options ──► pattern.c: one automaton ──┐
 *     worker, mask ──► matcher.c: a run of it, one a direction ──► bytes masked where they stand
 *
 * What goes on is never touched: a mask only changes what is recorded. Whatever goes wrong, a secret is not recorded: a
 * session that cannot be masked is closed when it opens, and without memory everything is masked.
 *
 * Thread: the automaton is not changed any more when the first session comes. A run is its session's worker's.
 */
#include "redact.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LITERALS_AT, BYTES_AT, REGEX_AT, IGNORE_CASE_AT, WITH_AT, SIDES_AT, OPTIONS };
enum { SIDES_BOTH, SIDES_CLIENT, SIDES_SERVER };
static const char *const sides[] = {"both", "client", "server", NULL};
static const struct gg_plugin_option options[OPTIONS] = {
  [LITERALS_AT] = {"literals", GG_PLUGIN_TEXTS, .help = "texts"},
  [BYTES_AT] = {"bytes", GG_PLUGIN_TEXTS, .help = "bytes in hexadecimal, ? for any digit: \"de ad ?? ef\""},
  [REGEX_AT] = {"regex", GG_PLUGIN_TEXTS, .help = "regular expressions of bounded width"},
  [IGNORE_CASE_AT] = {"ignore_case", GG_PLUGIN_BOOL, .preset = "off",
                      .help = "A is a, too, in literals and regular expressions"},
  [WITH_AT] = {"with", GG_PLUGIN_TEXT, .least = 1, .most = 1, .preset = "x",
               .help = "what is recorded instead of each byte"},
  [SIDES_AT] = {"sides", GG_PLUGIN_CHOICE, .choices = sides, .preset = "both", .help = "whose bytes are masked"},
};

struct redact {
  const struct gg_host *host;
  uint64_t sides;
  uint8_t fill;
  _Atomic uint64_t sessions; /* in which something was masked */
  _Atomic uint64_t bytes;
  struct automaton automaton;
};

/* What is known of a session. */
struct redaction {
  struct matcher matcher[2];
  bool found;
};

/* ── The instance ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The option's name and the item's number, not the item. */
static int add(struct redact *redact, unsigned option, const struct gg_plugin_value *values, struct gg_failure *failure)
{
  bool ignore_case = values[IGNORE_CASE_AT].on;
  int error = 0;
  for (size_t i = 0; i < values[option].text_count && !error; i++) {
    struct gg_failure why = GG_FAILURE_INIT;
    const char *text = values[option].texts[i];
    error = option == LITERALS_AT ? automaton_add_literal(&redact->automaton, text, ignore_case, &why)
            : option == BYTES_AT  ? automaton_add_bytes(&redact->automaton, text, &why)
                                  : automaton_add_regex(&redact->automaton, text, ignore_case, &why);
    if (error)
      gg_plugin_fail(failure, error, "%s, item %zu: %.300s", options[option].name, i + 1, why.message);
  }
  return error;
}

static void on_destroy(void *self)
{
  struct redact *redact = self;
  automaton_fini(&redact->automaton);
  free(redact);
}

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  const struct gg_plugin_value *values = config->values;
  struct redact *redact = calloc(1, sizeof *redact);
  if (!redact)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  redact->host = host;
  redact->sides = values[SIDES_AT].number;
  redact->fill = (uint8_t)values[WITH_AT].text[0];
  int error = 0;
  for (unsigned i = LITERALS_AT; i <= REGEX_AT && !error; i++)
    error = add(redact, i, values, failure);
  if (!error && redact->automaton.state_count == 0)
    error = gg_plugin_fail(failure, GG_ERR_INVALID, "one of literals, bytes and regex must be given");
  if (!error)
    error = automaton_finish(&redact->automaton, failure);
  if (error)
    on_destroy(redact);
  else
    *self = redact;
  return error;
}

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct redact *redact = self;
  const struct gg_host *host = redact->host;
  struct redaction *redaction = calloc(1, sizeof *redaction);
  int error = redaction ? 0 : GG_ERR_NOMEM;
  host->state_set(host, session, redaction);
  if (!error && redact->sides != SIDES_SERVER)
    error = host->want(host, session, GG_SIDE_CLIENT, GG_MODE_MASK);
  if (!error && redact->sides != SIDES_CLIENT)
    error = host->want(host, session, GG_SIDE_SERVER, GG_MODE_MASK);
  if (error)
    open->verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = "it could not be masked"};
}

static void found(struct redact *redact, struct gg_live *session, struct redaction *redaction)
{
  const struct gg_host *host = redact->host;
  struct gg_session_key key;
  redaction->found = true;
  redact->sessions++;
  host->key(host, session, &key);
  host->tag(host, &key, "redacted", true); /* it has as many as can be: then the bytes say it */
}

static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  struct redact *redact = self;
  struct redaction *redaction = redact->host->state(redact->host, session);
  size_t keep = matcher_run(&redaction->matcher[piece->from], &redact->automaton, piece->bytes, piece->length,
                            piece->seen, redact->fill, &piece->masked);
  if (piece->ended) /* what it has kept back of a beginning is recorded now */
    redaction->matcher[piece->from].count = 0;
  redact->bytes += piece->masked;
  if (piece->masked > 0 && !redaction->found)
    found(redact, session, redaction);
  return keep;
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct redact *redact = self;
  struct redaction *redaction = redact->host->state(redact->host, session);
  (void)summary;
  if (!redaction)
    return;
  matcher_fini(&redaction->matcher[GG_SIDE_CLIENT]);
  matcher_fini(&redaction->matcher[GG_SIDE_SERVER]);
  free(redaction);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { SHOW, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [SHOW] = {"show", NULL, "how many bytes were masked, and in how many sessions"},
};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct redact *redact = self;
  char text[96];
  (void)command;
  (void)word_count;
  (void)words;
  (void)failure;
  uint64_t bytes = redact->bytes, sessions = redact->sessions;
  snprintf(text, sizeof text, "bytes %" PRIu64 "\nsessions %" PRIu64 "\n", bytes, sessions);
  redact->host->reply(redact->host, reply, text);
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,      .name = "redact",        .version = "1.0",      .summary = "keeps secrets out of the recording",
  .options = options,  .option_count = OPTIONS, .commands = commands,  .command_count = COMMANDS,
  .create = on_create, .destroy = on_destroy,   .open = on_open,       .mask = on_mask,
  .close = on_close,   .mask_longest = LONGEST, .command = on_command,
};
