/* SPDX-License-Identifier: Apache-2.0 */
/**
 * plugin-readonly.c - a plug-in to copy: of HTTP/1 it lets only requests go on whose method is permitted, and answers
 * the others itself. What is not HTTP/1 is cut.
 *
 *     cc -shared -fPIC plugin-readonly.c -o plugin-readonly.so $(pkg-config --cflags gogetway-plugin)
 *
 *     listeners:                                # in the gateway's configuration
 *       - listen: :8080
 *         upstream: [127.0.0.1:80]
 *         decode: inline                        # the session's worker tells messages
 *     plugins:
 *       - path: ./plugin-readonly.so
 *         config: {methods: [GET, HEAD, OPTIONS]}
 *
 *     $ curl -i -X DELETE http://localhost:8080/
 *     HTTP/1.1 405 Method Not Allowed
 *
 * A request is decided about when its head is whole, and before the last byte of it goes on. Until it is known that the
 * session is HTTP/1 nothing goes on at all: the first line of some protocols can be one of another, which only the
 * server's answer would tell. The recording has what the client said, the answer, and that it was this plug-in's.
 *
 * The answer takes the place of all that the server has not said by then. So a request behind one that is not answered
 * yet is not answered either: the session is closed.
 */
#include <gogetway/decoder.h>
#include <gogetway/plugin.h>

#include <stdlib.h>
#include <string.h>

enum { OPTION_METHODS, OPTIONS };
static const struct gg_plugin_option options[OPTIONS] = {
  [OPTION_METHODS] = {.name = "methods",
                      .type = GG_PLUGIN_TEXTS,
                      .least = 1,
                      .most = 16,
                      .preset = "[GET, HEAD, OPTIONS]",
                      .help = "requests that go on"},
};

static const char refused[] = "HTTP/1.1 405 Method Not Allowed\r\n"
                              "Content-Length: 0\r\n"
                              "Connection: close\r\n\r\n";

#define PATIENCE_NS UINT64_C(10000000000) /* for the first head */

/* What is kept of each session. */
struct seen {
  bool known;               /* it is HTTP/1 */
  uint64_t asked, answered; /* requests that went on, and answers that are complete */
};

struct readonly {
  const struct gg_host *host;
  const struct gg_plugin_value *methods; /* lives as long as the instance */
};

static int on_create(void **self, const struct gg_host *host, const struct gg_plugin_config *config,
                     struct gg_failure *failure)
{
  struct readonly *readonly = calloc(1, sizeof *readonly);
  if (!readonly)
    return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  readonly->host = host;
  readonly->methods = &config->values[OPTION_METHODS];
  *self = readonly;
  return 0;
}

static void on_destroy(void *self)
{
  free(self);
}

/* Where messages are not told, nothing could be decided: such a session is not let in. */
static void on_open(void *self, struct gg_live *session, struct gg_open *open)
{
  const struct readonly *readonly = self;
  const struct gg_host *host = readonly->host;
  struct gg_session_info info = GG_SESSION_INFO_INIT;
  host->info(host, session, &info);
  struct seen *seen = info.inlined ? calloc(1, sizeof *seen) : NULL;
  host->state_set(host, session, seen);
  if (seen && host->want(host, session, GG_SIDE_CLIENT, GG_MODE_GATE) == 0 &&
      host->want(host, session, GG_SIDE_SERVER, GG_MODE_GATE) == 0)
    return;
  open->verdict.kind = GG_VERDICT_RESET;
  open->verdict.reason = info.inlined ? "no memory" : "its listener does not decode inline";
}

static void on_close(void *self, struct gg_live *session, const struct gg_session_summary *summary)
{
  const struct readonly *readonly = self;
  (void)summary;
  free(readonly->host->state(readonly->host, session));
}

/* Called behind on_message, which may have learned from the same bytes. */
static void on_gate(void *self, struct gg_live *session, const struct gg_data *data, struct gg_verdict *verdict)
{
  const struct readonly *readonly = self;
  const struct seen *seen = readonly->host->state(readonly->host, session);
  if (data->from == GG_SIDE_SERVER || seen->known)
    return;
  if (data->due || data->ended) {
    verdict->kind = GG_VERDICT_RESET;
    verdict->reason = "no request";
    return;
  }
  verdict->keep = data->kept + data->length;
  verdict->after_ns = PATIENCE_NS;
}

static bool is_permitted(const struct gg_plugin_value *methods, const struct gg_field *method)
{
  for (size_t i = 0; i < methods->text_count; i++)
    if (strlen(methods->texts[i]) == method->length && memcmp(methods->texts[i], method->value, method->length) == 0)
      return true;
  return false;
}

static void refuse(const struct seen *seen, struct gg_verdict *verdict)
{
  verdict->kind = seen->asked == seen->answered ? GG_VERDICT_REPLY : GG_VERDICT_CLOSE;
  verdict->reply = refused;
  verdict->reply_length = sizeof refused - 1;
  verdict->reason = "method not permitted";
}

static void on_message(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict)
{
  const struct readonly *readonly = self;
  const struct gg_message *message = spoken->message;
  struct seen *seen = readonly->host->state(readonly->host, session);
  if (!message || strcmp(message->decoder, "http1") != 0) {
    verdict->kind = GG_VERDICT_RESET;
    verdict->reason = "not HTTP/1";
    return;
  }
  seen->known = true;
  if (spoken->from == GG_SIDE_SERVER) {
    seen->answered += spoken->kind == GG_SPOKEN_END && (message->flags & GG_MESSAGE_COMPLETES) != 0;
    return;
  }
  if (spoken->kind == GG_SPOKEN_END) /* of one whose head was let go on */
    return;
  bool permitted = false;
  for (size_t i = 0; i < message->field_count && !permitted; i++)
    permitted =
      strcmp(message->fields[i].of->name, "http.method") == 0 && is_permitted(readonly->methods, &message->fields[i]);
  seen->asked += permitted;
  if (!permitted)
    refuse(seen, verdict);
}

GG_PLUGIN_EXPORT const struct gg_plugin gogetway_plugin = {
  GG_PLUGIN_HEAD,
  .name = "readonly",
  .version = "1.0",
  .summary = "lets only requests go on whose method is permitted",
  .options = options,
  .option_count = OPTIONS,
  .create = on_create,
  .destroy = on_destroy,
  .open = on_open,
  .close = on_close,
  .gate = on_gate,
  .message = on_message,
  .message_abi = GG_DECODER_ABI,
};
