/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in for tests that rewrites: what its options say becomes of the bytes. Built under two names, since a
 * configuration has each only once.
 */
#include <gogetway/plugin.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifndef NAME
#define NAME "rewriter"
#endif

enum option { FROM, FIND, PUT, TIMES, WAIT, SUFFIX, TOO_MUCH, GIVE_BACK, LATE, OPTIONS };
enum { KEPT_MAX = 1 << 20 };

static const char *const sides[] = {"client", "server", "both", NULL};

static const struct gg_plugin_option options[OPTIONS] = {
  [FROM] = {"from", GG_PLUGIN_CHOICE, .choices = sides, .preset = "client", .help = "of which direction"},
  [FIND] = {"find", GG_PLUGIN_TEXT, .help = "these bytes, wherever pieces are cut ..."},
  [PUT] = {"put", GG_PLUGIN_TEXT, .help = "... become these; nothing, if it is not given"},
  [TIMES] = {"times", GG_PLUGIN_COUNT, .preset = "1", .most = 100, .help = "each byte so many times"},
  [WAIT] = {"wait", GG_PLUGIN_BOOL, .help = "nothing goes on before the end"},
  [SUFFIX] = {"suffix", GG_PLUGIN_TEXT, .help = "the last word, at the end"},
  [TOO_MUCH] = {"too_much", GG_PLUGIN_BYTES, .most = 1ull << 30, .help = "puts out so many bytes more in each call"},
  [GIVE_BACK] = {"give_back", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "gives it back after so many"},
  [LATE] = {"late", GG_PLUGIN_BYTES, .most = 1ull << 40, .help = "begins after so many, which it counts"},
};

struct rewriter {
  const struct gg_host *host;
  const struct gg_plugin_value *values;
  _Atomic uint64_t calls, bytes, out, ends, disorder, refused, closed;
};

/* What was shown and not put out yet, of a direction. */
struct kept {
  uint64_t next;
  uint64_t counted;
  size_t length;
  uint8_t bytes[KEPT_MAX];
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct rewriter *rewriter = calloc(1, sizeof *rewriter);
  if (!rewriter)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory");
  rewriter->host = host;
  rewriter->values = config->values;
  *self = rewriter;
  return 0;
}

static void on_destroy(void *self)
{
  const struct rewriter *rewriter = self;
  rewriter->host->log(rewriter->host, GG_PLUGIN_INFO, "the rewriter is gone");
  free(self);
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  struct rewriter *rewriter = self;
  const struct gg_host *host = rewriter->host;
  uint64_t from = rewriter->values[FROM].number;
  enum gg_mode mode = rewriter->values[LATE].number > 0 ? GG_MODE_COUNT : GG_MODE_REWRITE;
  struct kept *kept = calloc(2, sizeof *kept);
  if (!kept) {
    open->verdict = (struct gg_verdict){.kind = GG_VERDICT_CLOSE, .reason = "no memory"};
    return;
  }
  host->state_set(host, session, kept);
  for (unsigned i = 0; i < 2; i++)
    if (from == 2 || from == i)
      rewriter->refused += host->want(host, session, (enum gg_side)i, mode) != 0;
}

static void on_count(void *self, struct gg_live *session, enum gg_side from, size_t bytes)
{
  struct rewriter *rewriter = self;
  struct kept *kept = (struct kept *)rewriter->host->state(rewriter->host, session) + from;
  kept->counted += bytes;
  kept->next = kept->counted;
  if (kept->counted >= rewriter->values[LATE].number)
    rewriter->refused += rewriter->host->want(rewriter->host, session, from, GG_MODE_REWRITE) != 0;
}

static void put(struct rewriter *rewriter, struct gg_output *output, const void *bytes, size_t length)
{
  if (length == 0)
    return;
  int error = rewriter->host->emit(rewriter->host, output, bytes, length);
  rewriter->refused += error != 0;
  rewriter->out += error ? 0 : length;
}

static void put_text(struct rewriter *rewriter, struct gg_output *output, const char *text)
{
  put(rewriter, output, text, text ? strlen(text) : 0);
}

static void put_times(struct rewriter *rewriter, struct gg_output *output, const uint8_t *bytes, size_t length)
{
  uint64_t times = rewriter->values[TIMES].number;
  if (times == 1) {
    put(rewriter, output, bytes, length);
    return;
  }
  uint8_t *more = malloc(length * times + 1);
  for (size_t i = 0; more && i < length; i++)
    memset(more + i * times, bytes[i], times);
  put(rewriter, output, more, more ? length * times : 0);
  free(more);
}

/* How many of the last bytes may be the beginning of what is looked for. */
static size_t beginning(const uint8_t *bytes, size_t length, const char *find, size_t find_length)
{
  size_t most = length < find_length ? length : find_length - 1;
  while (most > 0 && memcmp(bytes + length - most, find, most) != 0)
    most--;
  return most;
}

static void work(struct rewriter *rewriter, struct kept *kept, bool ended, struct gg_output *output)
{
  const char *find = rewriter->values[FIND].text;
  size_t find_length = find ? strlen(find) : 0, at = 0;
  for (const uint8_t *hit; find && (hit = memmem(kept->bytes + at, kept->length - at, find, find_length)) != NULL;) {
    size_t before = (size_t)(hit - (kept->bytes + at));
    put_times(rewriter, output, kept->bytes + at, before);
    put_text(rewriter, output, rewriter->values[PUT].text);
    at += before + find_length;
  }
  size_t left = kept->length - at;
  size_t stays = find && !ended ? beginning(kept->bytes + at, left, find, find_length) : 0;
  put_times(rewriter, output, kept->bytes + at, left - stays);
  memmove(kept->bytes, kept->bytes + kept->length - stays, stays);
  kept->length = stays;
}

static void on_rewrite(void *self, struct gg_live *session, const struct gg_data *data, struct gg_output *output)
{
  static const uint8_t zeros[4096];
  struct rewriter *rewriter = self;
  struct kept *kept = (struct kept *)rewriter->host->state(rewriter->host, session) + data->from;
  rewriter->calls++;
  rewriter->bytes += data->length;
  rewriter->ends += data->ended;
  rewriter->disorder += data->offset != kept->next || data->kept != 0 || (data->length == 0) != data->ended;
  kept->next = data->offset + data->length;
  if (kept->length + data->length > KEPT_MAX) {
    rewriter->disorder++;
    return;
  }
  memcpy(kept->bytes + kept->length, data->bytes, data->length);
  kept->length += data->length;
  uint64_t give_back = rewriter->values[GIVE_BACK].number;
  bool gives_back = give_back > 0 && kept->next >= give_back;
  if (!rewriter->values[WAIT].on || data->ended || gives_back)
    work(rewriter, kept, data->ended || gives_back, output);
  for (uint64_t left = rewriter->values[TOO_MUCH].number; left > 0;) {
    size_t part = left < sizeof zeros ? (size_t)left : sizeof zeros;
    put(rewriter, output, zeros, part);
    left -= part;
  }
  if (data->ended)
    put_text(rewriter, output, rewriter->values[SUFFIX].text);
  if (gives_back)
    rewriter->host->want(rewriter->host, session, data->from, GG_MODE_NONE);
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  struct rewriter *rewriter = self;
  (void)summary;
  rewriter->closed++;
  free(rewriter->host->state(rewriter->host, session));
}

static const struct gg_plugin_command commands[] = {{"seen", NULL, "what the rewriter has seen", {0}}};

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  struct rewriter *rewriter = self;
  char text[256];
  (void)command, (void)word_count, (void)words, (void)failure;
  snprintf(text, sizeof text, "calls %llu\nbytes %llu\nout %llu\nends %llu\ndisorder %llu\nrefused %llu\nclosed %llu\n",
           (unsigned long long)rewriter->calls, (unsigned long long)rewriter->bytes, (unsigned long long)rewriter->out,
           (unsigned long long)rewriter->ends, (unsigned long long)rewriter->disorder,
           (unsigned long long)rewriter->refused, (unsigned long long)rewriter->closed);
  rewriter->host->reply(rewriter->host, reply, text);
  return 0;
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin;
const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,        .name = NAME,
  .version = "1",        .summary = "rewrites as a test wants",
  .options = options,    .option_count = OPTIONS,
  .commands = commands,  .command_count = 1,
  .create = on_create,   .destroy = on_destroy,
  .open = on_open,       .count = on_count,
  .rewrite = on_rewrite, .close = on_close,
  .command = on_command,
};
