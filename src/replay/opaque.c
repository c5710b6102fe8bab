/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan.h"

#include <string.h>

enum {
  TLS_HANDSHAKE = 22,
  TLS_CLIENT_HELLO = 1,
  TLS_SERVER_HELLO = 2,
  TLS_RECORD_MIN = 4 + 2 + 32, /* a hello's head, version and random */
  TLS_RECORD_MAX = (1 << 14) + 256,
};

/* A record of handshake, version 3.0 to 3.4, with a hello of the right kind first in it. */
static bool is_hello(const uint8_t *data, size_t bytes, uint8_t hello)
{
  if (bytes < 6 || data[0] != TLS_HANDSHAKE || data[1] != 3 || data[2] > 4 || data[5] != hello)
    return false;
  unsigned length = (unsigned)data[3] << 8 | data[4];
  return length >= TLS_RECORD_MIN && length <= TLS_RECORD_MAX;
}

static bool is_ssh(const uint8_t *data, size_t bytes)
{
  return bytes >= 4 && memcmp(data, "SSH-", 4) == 0;
}

const char *gg__opaque_name(const uint8_t *client, size_t client_bytes, const uint8_t *server, size_t server_bytes)
{
  if (is_hello(client, client_bytes, TLS_CLIENT_HELLO) || is_hello(server, server_bytes, TLS_SERVER_HELLO))
    return "TLS";
  return is_ssh(client, client_bytes) || is_ssh(server, server_bytes) ? "SSH" : NULL;
}
