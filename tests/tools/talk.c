/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in for tests that is told messages: it notes them, and at one of them says a verdict or gives its gates back.
 * With GATES it keeps the client's bytes back until a head was told. From the public headers alone.
 */
#include <gogetway/decoder.h>
#include <gogetway/plugin.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum option { FROM, AT, FIELD, VALUE, VERDICT, TEXT, OPTIONS };

static const char *const sides[] = {"client", "server", "both", NULL};
static const char *const points[] = {"head", "end", "opaque", "never", NULL};
static const char *const verdicts[] = {"pass", "hold", "close", "reset", "tarpit", "reply", "divert", "leave", NULL};
enum { LEAVE = GG_VERDICT_DIVERT + 1 };

static const struct gg_plugin_option options[OPTIONS] = {
  [FROM] = {"from", GG_PLUGIN_CHOICE, .choices = sides, .preset = "both", .help = "which sides it gates"},
  [AT] = {"at", GG_PLUGIN_CHOICE, .choices = points, .preset = "never", .help = "where it says its verdict"},
  [FIELD] = {"field", GG_PLUGIN_TEXT, .help = "of messages with this field"},
  [VALUE] = {"value", GG_PLUGIN_TEXT, .help = "... with this value"},
  [VERDICT] = {"verdict", GG_PLUGIN_CHOICE, .choices = verdicts, .preset = "reset", .help = "the verdict"},
  [TEXT] = {"text", GG_PLUGIN_TEXT, .help = "the reply, or the upstream"},
};

enum { HEARD_MAX = 1 << 14 }; /* what comes later is counted only */

struct talk {
  const struct gg_host *host;
  const struct gg_plugin_value *values;
  _Atomic int refusal;
  _Atomic bool inlined;
  pthread_mutex_t lock;
  unsigned long told;
  size_t length;
  char heard[HEARD_MAX];
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct talk *talk = calloc(1, sizeof *talk);
  if (!talk)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "no memory");
  talk->host = host;
  talk->values = config->values;
  pthread_mutex_init(&talk->lock, NULL);
  *self = talk;
  return 0;
}

static void on_destroy(void *self)
{
  free(self);
}

static void want(struct talk *talk, struct gg_live *session, enum gg_mode mode)
{
  uint64_t from = talk->values[FROM].number;
  for (unsigned side = 0; side < 2; side++)
    if (from == 2 || from == side) {
      int error = talk->host->want(talk->host, session, (enum gg_side)side, mode);
      if (error)
        talk->refusal = error;
    }
}

static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  (void)open;
  struct talk *talk = self;
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  talk->host->info(talk->host, session, &info);
  talk->inlined = info.inlined;
  want(talk, session, GG_MODE_GATE);
}

static void note(struct talk *talk, const struct gg_spoken *spoken)
{
  const struct gg_message *message = spoken->message;
  char line[1024];
  if (message)
    snprintf(line, sizeof line, "%s %s %s %" PRIu64 " %" PRIu64 " %s\n", sides[spoken->from], points[spoken->kind],
             message->kind, message->offset, message->length, message->summary);
  else
    snprintf(line, sizeof line, "%s opaque %" PRIu64 " %s\n", sides[spoken->from], spoken->opaque->offset,
             spoken->opaque->text ? spoken->opaque->text : "");
  pthread_mutex_lock(&talk->lock);
  size_t length = strlen(line);
  talk->told++;
  if (talk->length + length < HEARD_MAX) {
    memcpy(talk->heard + talk->length, line, length + 1);
    talk->length += length;
  }
  pthread_mutex_unlock(&talk->lock);
}

static bool is_meant(const struct talk *talk, const struct gg_spoken *spoken)
{
  const char *name = talk->values[FIELD].text, *value = talk->values[VALUE].text;
  if (talk->values[AT].number != (uint64_t)spoken->kind || !spoken->message || !name)
    return talk->values[AT].number == (uint64_t)spoken->kind;
  for (size_t i = 0; i < spoken->message->field_count; i++) {
    const struct gg_field *field = &spoken->message->fields[i];
    char number[32];
    snprintf(number, sizeof number, "%" PRIu64, field->number);
    bool text = field->of->kind == GG_FIELD_TEXT;
    const char *has = text ? (const char *)field->value : number;
    size_t length = text ? field->length : strlen(number);
    if (strcmp(field->of->name, name) == 0 && length == strlen(value) && memcmp(has, value, length) == 0)
      return true;
  }
  return false;
}

static void on_message(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict)
{
  struct talk *talk = self;
  note(talk, spoken);
  if (spoken->kind == GG_SPOKEN_HEAD && spoken->from == GG_SIDE_CLIENT)
    talk->host->state_set(talk->host, session, talk); /* a head was told */
  if (!is_meant(talk, spoken))
    return;
  const char *text = talk->values[TEXT].text;
  if (talk->values[VERDICT].number == LEAVE) {
    want(talk, session, GG_MODE_NONE);
    return;
  }
  verdict->kind = (enum gg_verdict_kind)talk->values[VERDICT].number;
  verdict->reason = "as the test wants it";
  verdict->reply = text;
  verdict->reply_length = text ? strlen(text) : 0;
  verdict->upstream = text;
}

#ifdef GATES
static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  struct talk *talk = self;
  if (data->from == GG_SIDE_CLIENT && !talk->host->state(talk->host, session))
    verdict->keep = data->kept + data->length;
}
#endif

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  (void)command, (void)word_count, (void)words, (void)failure;
  struct talk *talk = self;
  char line[64];
  pthread_mutex_lock(&talk->lock);
  snprintf(line, sizeof line, "refusal %d inlined %d told %lu\n", talk->refusal, talk->inlined, talk->told);
  talk->host->reply(talk->host, reply, line);
  talk->host->reply(talk->host, reply, talk->heard);
  pthread_mutex_unlock(&talk->lock);
  return 0;
}

static const struct gg_plugin_command commands[] = {{"heard", NULL, "what it was told", {0}}};

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,        .name = "talk",          .summary = "is told messages, for tests",
  .options = options,    .option_count = OPTIONS, .commands = commands,
  .command_count = 1,    .create = on_create,     .destroy = on_destroy,
  .open = on_open,
#ifdef GATES
  .gate = on_gate,
#endif
  .command = on_command, .message = on_message,   .message_abi = GG_DECODER_ABI,
};
