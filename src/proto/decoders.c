/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/decoders.h"

#include <string.h>

/* In the order in which they are asked whose a session is: those that know theirs by a magic number first, and those
 * that take any text last. */
static const struct gg_decoder *const decoders[] = {
  &gg__decoder_tls,     &gg__decoder_ssh,       &gg__decoder_proxy, &gg__decoder_socks,
#ifdef GG_HAVE_HTTP2
  &gg__decoder_http2,
#endif
  &gg__decoder_http1,   &gg__decoder_redis,     &gg__decoder_smtp,  &gg__decoder_telnet,
  &gg__decoder_lines,   &gg__decoder_websocket, /* never told, only become */
  &gg__decoder_framing,                         /* only named */
};

const struct gg_decoder *gg_decoder_at(size_t index)
{
  return index < sizeof decoders / sizeof *decoders ? decoders[index] : NULL;
}

const struct gg_decoder *gg_decoder_find(const char *name)
{
  for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
    if (strcmp(decoders[i]->name, name) == 0)
      return decoders[i];
  return NULL;
}

static const struct gg_decoder_field common[] = {
  [GG__COMMON_LAYER] = {"message.layer", GG_FIELD_TEXT, true, "each protocol that the session was, also within another",
                        "message.layer=tls"},
  [GG__COMMON_FIRST] = {"message.first", GG_FIELD_TEXT, true, "the first request, as it is shown",
                        "message.first~^GET"},
  [GG__COMMON_COUNT] = {"message.count", GG_FIELD_NUMBER, true, "messages, of both sides", "message.count=100.."},
  [GG__COMMON_REQUESTS] = {"message.requests", GG_FIELD_NUMBER, true, "messages that ask for an answer",
                           "message.requests=2.."},
  [GG__COMMON_SLOWEST] = {"message.slowest", GG_FIELD_NUMBER, true,
                          "longest time from a request to the end of its answer, in milliseconds",
                          "message.slowest=1000.."},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

const struct gg_decoder_field *gg_decoder_common_fields(void)
{
  return common;
}
