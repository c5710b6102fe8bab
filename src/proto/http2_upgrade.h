/* SPDX-License-Identifier: Apache-2.0 */
/**
 * http2_upgrade.h - what HTTP/1 has to tell of a request that becomes the first stream of HTTP/2 (h2c).
 */
#ifndef GG_PROTO_HTTP2_UPGRADE_H
#define GG_PROTO_HTTP2_UPGRADE_H

#include <stddef.h>
#include <stdint.h>

/* The header HTTP2-Settings: how many bytes of a table for headers the client allows; 0: it does not say. */
uint32_t gg__http2_upgrade_table(const char *text, size_t length);

#endif
