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
 * A request is decided about when its head is whole, and before the last byte of it goes on. The recording has what the
 * client said, the answer, and that it was this plug-in's.
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
  if (readonly->host->want(readonly->host, session, GG_SIDE_CLIENT, GG_MODE_GATE) == 0)
    return;
  open->verdict.kind = GG_VERDICT_RESET;
  open->verdict.reason = "its listener does not decode inline";
}

static bool is_permitted(const struct gg_plugin_value *methods, const struct gg_field *method)
{
  for (size_t i = 0; i < methods->text_count; i++)
    if (strlen(methods->texts[i]) == method->length && memcmp(methods->texts[i], method->value, method->length) == 0)
      return true;
  return false;
}

static void on_message(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict)
{
  const struct readonly *readonly = self;
  const struct gg_message *message = spoken->message;
  (void)session;
  if (spoken->kind == GG_SPOKEN_END) /* of one whose head was let go on */
    return;
  if (!message || strcmp(message->decoder, "http1") != 0) {
    verdict->kind = GG_VERDICT_RESET;
    verdict->reason = "not HTTP/1";
    return;
  }
  for (size_t i = 0; i < message->field_count; i++)
    if (strcmp(message->fields[i].of->name, "http.method") == 0 && is_permitted(readonly->methods, &message->fields[i]))
      return;
  verdict->kind = GG_VERDICT_REPLY;
  verdict->reply = refused;
  verdict->reply_length = sizeof refused - 1;
  verdict->reason = "method not permitted";
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
  .message = on_message,
  .message_abi = GG_DECODER_ABI,
};
