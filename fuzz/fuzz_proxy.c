/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers: whatever comes, at most the limit is taken; a header taken whole wants more at every cut before its
 * end; what it says survives being built and read again. The first byte chooses the accepted versions. */
#include "net/proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void check(bool holds)
{
  if (!holds)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  if (length == 0)
    return 0;
  enum gg_proxy_version accept = (enum gg_proxy_version)(data[0] & 3u);
  data++;
  length--;
  struct gg_proxy_header header;
  long taken = gg_proxy_parse(&header, accept, data, length);
  check(taken <= (long)length && taken <= GG_PROXY_HEADER_MAX);
  check(taken >= 0 || taken == GG_ERR_FORMAT);
  check(taken > 0 || !header.known);
  if (taken == 0)
    check(length < GG_PROXY_HEADER_MAX);
  if (taken <= 0)
    return 0;
  struct gg_proxy_header again;
  for (size_t cut = 0; cut < (size_t)taken; cut += 1 + cut / 16)
    check(gg_proxy_parse(&again, accept, data, cut) == 0);
  for (int version = GG_PROXY_V1; version <= GG_PROXY_V2; version++) {
    uint8_t built[GG_PROXY_BUILD_MAX];
    size_t size = gg_proxy_build(built, (enum gg_proxy_version)version, &header.client, &header.server);
    check(gg_proxy_parse(&again, (enum gg_proxy_version)version, built, size) == (long)size);
    bool stream = header.known && header.client.family != GG_FAMILY_UNIX;
    check(again.known == stream);
    if (stream)
      check(memcmp(&again.client, &header.client, sizeof again.client) == 0 &&
            memcmp(&again.server, &header.server, sizeof again.server) == 0);
  }
  return 0;
}
