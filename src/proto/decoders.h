/* SPDX-License-Identifier: Apache-2.0 */
/**
 * decoders.h - the decoders that are built in: one table each, in a file of its own.
 *
 * To add one, write its file, name its table here and in the list of decoders.c (docs/decoders.md).
 */
#ifndef GG_PROTO_DECODERS_H
#define GG_PROTO_DECODERS_H

#include <gogetway/decoder.h>

extern const struct gg_decoder gg__decoder_framing;
extern const struct gg_decoder gg__decoder_http1;
#ifdef GG_HAVE_HTTP2
extern const struct gg_decoder gg__decoder_http2;
#endif
extern const struct gg_decoder gg__decoder_lines;
extern const struct gg_decoder gg__decoder_proxy;
extern const struct gg_decoder gg__decoder_redis;
extern const struct gg_decoder gg__decoder_smtp;
extern const struct gg_decoder gg__decoder_socks;
extern const struct gg_decoder gg__decoder_ssh;
extern const struct gg_decoder gg__decoder_telnet;
extern const struct gg_decoder gg__decoder_tls;
extern const struct gg_decoder gg__decoder_websocket;

enum { GG__DECODER_NAME_MAX = 32, GG__DECODER_FIELD_MAX = 64 }; /* bytes, with the NUL */

/* Whether a table is of this version, has what it cannot do without, and names that can be shown. GG_ERR_INVALID. */
int gg__decoder_check(const struct gg_decoder *decoder, struct gg_failure *failure);

/* Places in the table of gg_decoder_common_fields. */
enum gg__common_field { GG__COMMON_LAYER, GG__COMMON_FIRST, GG__COMMON_COUNT, GG__COMMON_REQUESTS, GG__COMMON_SLOWEST };

#endif
