/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - what the gateway does for a plug-in that has nothing to do with sessions, and the replies of commands. */
#include "base/clock.h"
#include "hook/hook.h"
#include "hook/output.h"

#include <stdlib.h>
#include <string.h>

enum { REPLY_FIRST_BYTES = 512 };

static void host_log(const struct gg_host *host, enum gg_plugin_level level, const char *text)
{
  static const enum gg_level levels[] = {
    [GG_PLUGIN_DEBUG] = GG_LEVEL_DEBUG,
    [GG_PLUGIN_INFO] = GG_LEVEL_INFO,
    [GG_PLUGIN_WARNING] = GG_LEVEL_WARNING,
    [GG_PLUGIN_ERROR] = GG_LEVEL_ERROR,
  };
  struct gg_hook *hook = gg_hook_of(host);
  const struct gg_log_field fields[] = {GG_S("plugin", hook->name), GG_S("text", text)};
  bool known = (size_t)level < sizeof levels / sizeof levels[0];
  gg_logger_emit(hook->desk->logger, &hook->log_site, known ? levels[level] : GG_LEVEL_WARNING, "plug-in", fields,
                 sizeof fields / sizeof fields[0]);
}

static uint64_t host_real_ns(const struct gg_host *host)
{
  (void)host;
  return gg_clock_real_ns();
}

static uint64_t host_mono_ns(const struct gg_host *host)
{
  (void)host;
  return gg_clock_mono_ns();
}

/* Room for `more` bytes and the NUL; false: there is none. */
static bool reply_grow(struct gg_hook_reply *reply, size_t more)
{
  size_t size = reply->size ? reply->size : REPLY_FIRST_BYTES;
  while (size < reply->length + more + 1)
    size *= 2;
  if (size == reply->size)
    return true;
  char *text = realloc(reply->text, size);
  if (!text)
    return false;
  reply->text = text;
  reply->size = size;
  return true;
}

static void host_reply(const struct gg_host *host, void *to, const char *text)
{
  struct gg_hook_reply *reply = to;
  size_t length = strlen(text), room = GG_HOOK_REPLY_MAX - 1 - reply->length;
  (void)host;
  if (length > room) {
    reply->cut = true;
    length = room;
  }
  if (!reply_grow(reply, length)) {
    reply->cut = true;
    return;
  }
  memcpy(reply->text + reply->length, text, length);
  reply->length += length;
  reply->text[reply->length] = '\0';
}

static int host_emit(const struct gg_host *host, struct gg_output *output, const void *bytes, size_t length)
{
  (void)host;
  return gg_output_append(output, bytes, length);
}

/* ── No sessions ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void no_key(const struct gg_host *host, const struct gg_live *session, struct gg_session_key *out)
{
  (void)host;
  (void)session;
  *out = (struct gg_session_key){0};
}

static void no_info(const struct gg_host *host, const struct gg_live *session, struct gg_session_info *out)
{
  (void)host;
  (void)session;
  (void)out;
}

static void no_state_set(const struct gg_host *host, struct gg_live *session, void *state)
{
  (void)host;
  (void)session;
  (void)state;
}

static void *no_state(const struct gg_host *host, const struct gg_live *session)
{
  (void)host;
  (void)session;
  return NULL;
}

static int no_want(const struct gg_host *host, struct gg_live *session, enum gg_side from, enum gg_mode mode)
{
  (void)host;
  (void)session;
  (void)from;
  (void)mode;
  return GG_ERR_NOT_FOUND;
}

static int no_find(const struct gg_host *host, const struct gg_session_key *key, struct gg_session_info *out)
{
  (void)host;
  (void)key;
  (void)out;
  return GG_ERR_NOT_FOUND;
}

static void no_list(const struct gg_host *host, bool (*each)(void *context, const struct gg_session_info *info),
                    void *context)
{
  (void)host;
  (void)each;
  (void)context;
}

static int no_tag(const struct gg_host *host, const struct gg_session_key *key, const char *tag, bool on)
{
  (void)host;
  (void)key;
  (void)tag;
  (void)on;
  return GG_ERR_NOT_FOUND;
}

static int no_throttle(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                       uint64_t bytes_per_second)
{
  (void)host;
  (void)key;
  (void)from;
  (void)bytes_per_second;
  return GG_ERR_NOT_FOUND;
}

static int no_cut(const struct gg_host *host, const struct gg_session_key *key, const struct gg_verdict *verdict)
{
  (void)host;
  (void)key;
  (void)verdict;
  return GG_ERR_NOT_FOUND;
}

static int no_resume(const struct gg_host *host, const struct gg_session_key *key, enum gg_side from,
                     const struct gg_verdict *verdict)
{
  (void)host;
  (void)key;
  (void)from;
  (void)verdict;
  return GG_ERR_NOT_FOUND;
}

const struct gg_hook_sessions gg_hook_no_sessions = {
  .key = no_key,
  .info = no_info,
  .state_set = no_state_set,
  .state = no_state,
  .want = no_want,
  .find = no_find,
  .list = no_list,
  .tag = no_tag,
  .throttle = no_throttle,
  .cut = no_cut,
  .resume = no_resume,
};

void gg__host_fill(struct gg_hook *hook)
{
  const struct gg_hook_sessions *sessions = hook->desk->sessions;
  hook->host = (struct gg_host){
    .abi = GG_PLUGIN_ABI,
    .size = sizeof hook->host,
    .gateway_version = GG_VERSION,
    .state_dir = hook->state_dir,
    .log = host_log,
    .real_ns = host_real_ns,
    .mono_ns = host_mono_ns,
    .key = sessions->key,
    .info = sessions->info,
    .state_set = sessions->state_set,
    .state = sessions->state,
    .want = sessions->want,
    .find = sessions->find,
    .list = sessions->list,
    .tag = sessions->tag,
    .throttle = sessions->throttle,
    .cut = sessions->cut,
    .resume = sessions->resume,
    .reply = host_reply,
    .emit = host_emit,
  };
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg_hook_reply_fini(struct gg_hook_reply *reply)
{
  free(reply->text);
  *reply = (struct gg_hook_reply){0};
}

int gg_hook_verb(const struct gg_hook *hook, const char *verb)
{
  for (size_t i = 0; i < hook->plugin.command_count; i++)
    if (strcmp(hook->plugin.commands[i].verb, verb) == 0)
      return (int)i;
  return -1;
}

int gg_hook_command(struct gg_hook *hook, unsigned command, size_t word_count, const char *const *words,
                    struct gg_hook_reply *reply, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  uint64_t began_ns = gg_clock_mono_ns();
  int error = hook->plugin.command(hook->self, command, word_count, words, reply, &why);
  gg__hook_count_other(hook, GG_HOOK_COMMAND, gg_clock_mono_ns() - began_ns);
  if (!error)
    return 0;
  why.message[sizeof why.message - 1] = '\0';
  error = error < 0 ? error : GG_ERR_INVALID;
  return gg_fail(failure, error, "%s", why.message[0] ? why.message : gg_error_text(error));
}
