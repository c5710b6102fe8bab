/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket over HTTP/1 (RFC 6455), with permessage-deflate (RFC 7692): all of a session behind the 101 of http1.c,
 * which says by `become.text` what the response's Sec-WebSocket-Extensions was. Frames are websocket_frames.c's.
 *
 * It is never told from bytes: a frame has no magic number. Who names it for a session that begins with frames gets
 * permessage-deflate undone wherever frames say that they are compressed. */
#include "proto/decoders.h"
#include "proto/websocket_frames.h"

static const char *const kinds[] = {GG__WS_KINDS, NULL};
static const struct gg_decoder_field fields[] = {GG__WS_FIELDS_AT(0), {NULL, GG_FIELD_TEXT, false, NULL, NULL}};

static void open_connection(void *state, struct gg_decoding *decoding, const struct gg_become *became)
{
  (void)decoding;
  gg__ws_init(state, became ? became->text : NULL, fields, 0, 0);
}

static size_t push(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  const char *why;
  size_t taken = gg__ws_push(state, decoding, window->side, window->offset, window->data, window->length, &why);
  if (why)
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, window->offset + taken, true, why);
  return taken;
}

static bool gap(void *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  return gg__ws_gap(state, decoding, side, offset, length);
}

const struct gg_decoder gg__decoder_websocket = {
  GG_DECODER_HEAD,
  .name = "websocket",
  .protocol = "websocket",
  .title = "WebSocket (RFC 6455) with permessage-deflate (RFC 7692)",
  .kinds = kinds,
  .fields = fields,
  .state_bytes = sizeof(struct gg__ws),
  .open = open_connection,
  .push = push,
  .gap = gap,
};
