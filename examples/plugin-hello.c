/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin-hello.c - a plug-in to copy: it counts sessions and their bytes, puts a tag on large ones, and says what it
 * has counted when it is asked.
 *
 *     cc -shared -fPIC plugin-hello.c -o plugin-hello.so $(pkg-config --cflags gogetway-plugin)
 *
 *     plugins:                                  # in the gateway's configuration
 *       - path: ./plugin-hello.so
 *         config:
 *           large: 1MiB                         # a session with so many bytes, both ways together, is tagged ...
 *           tag: huge                           # ... with this
 *
 *     gogetway hello show                       # while the gateway runs
 *
 * The tag is in the recording, in the session's last comment.
 *
 * Workers call it at the same time, each for sessions of its own: what they share is atomic, what belongs to one
 * session needs nothing.
 */
#include <gogetway/plugin.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { OPTION_LARGE, OPTION_TAG, OPTIONS };
static const struct gg_plugin_option options[OPTIONS] = {
  [OPTION_LARGE] = {.name = "large",
                    .type = GG_PLUGIN_BYTES,
                    .least = 1,
                    .most = UINT64_MAX,
                    .preset = "1MiB",
                    .help = "bytes of a session, both ways together, from which on it is tagged"},
  [OPTION_TAG] = {.name = "tag",
                  .type = GG_PLUGIN_TEXT,
                  .least = 1,
                  .most = GG_TAG_MAX - 1,
                  .preset = "large",
                  .help = "the tag of a large session"},
};

/* ── An instance ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct hello {
  const struct gg_host *host;
  uint64_t large;
  const char *tag; /* lives as long as the instance */
  _Atomic uint64_t sessions;
  _Atomic uint64_t open;
  _Atomic uint64_t tagged;
  _Atomic uint64_t bytes[2]; /* by enum gg_side */
};

/* What is kept of each session: host->state has it. */
struct seen {
  uint64_t bytes;
  bool tagged;
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct hello *hello = calloc(1, sizeof *hello);
  if (!hello)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  hello->host = host;
  hello->large = config->values[OPTION_LARGE].number;
  hello->tag = config->values[OPTION_TAG].text;
  *self = hello;
  return 0;
}

static void on_destroy(void *self)
{
  free(self);
}

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Without memory the session is not counted, which is no reason to refuse it. */
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct hello *hello = self;
  const struct gg_host *host = hello->host;
  struct seen *seen = calloc(1, sizeof *seen);
  (void)open;
  hello->sessions++;
  hello->open++;
  host->state_set(host, session, seen);
  if (!seen)
    return;
  host->want(host, session, GG_SIDE_CLIENT, GG_MODE_COUNT);
  host->want(host, session, GG_SIDE_SERVER, GG_MODE_COUNT);
}

static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  struct hello *hello = self;
  const struct gg_host *host = hello->host;
  struct seen *seen = host->state(host, session);
  struct gg_session_key key;
  hello->bytes[from] += bytes;
  seen->bytes += bytes;
  if (seen->tagged || seen->bytes < hello->large)
    return;
  seen->tagged = true;
  host->key(host, session, &key);
  if (host->tag(host, &key, hello->tag, true) == 0)
    hello->tagged++;
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct hello *hello = self;
  (void)summary;
  free(hello->host->state(hello->host, session));
  hello->host->state_set(hello->host, session, NULL);
  hello->open--;
}

/* ── Its command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

enum { COMMAND_SHOW, COMMANDS };
static const struct gg_plugin_command commands[COMMANDS] = {
  [COMMAND_SHOW] = {.verb = "show", .help = "how many sessions and bytes it has seen"},
};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct hello *hello = self;
  char text[256];
  (void)word_count; /* none: the table says that there are no words, so the gateway refuses any */
  (void)words;
  if (command != COMMAND_SHOW)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "there is no such command");
  snprintf(text, sizeof text,
           "sessions %" PRIu64 "\nopen %" PRIu64 "\ntagged %" PRIu64 "\nclient bytes %" PRIu64 "\nserver bytes %" PRIu64
           "\n",
           hello->sessions, hello->open, hello->tagged, hello->bytes[GG_SIDE_CLIENT], hello->bytes[GG_SIDE_SERVER]);
  hello->host->reply(hello->host, reply, text);
  return 0;
}

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,      .name = "hello",         .version = "1.0",     .summary = "counts sessions and bytes",
  .options = options,  .option_count = OPTIONS, .commands = commands, .command_count = COMMANDS,
  .create = on_create, .destroy = on_destroy,   .open = on_open,      .count = on_count,
  .close = on_close,   .command = on_command,
};
