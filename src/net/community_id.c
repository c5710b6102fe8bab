/* SPDX-License-Identifier: Apache-2.0 */
#include "net/community_id.h"

#include "base/base64.h"
#include "base/sha1.h"

#include <assert.h>
#include <string.h>

enum { SEED_BYTES = 2, END_BYTES_MAX = 18, TCP = 6 };

/* An end as it is ordered: its address, then its port. */
static size_t put_end(uint8_t end[END_BYTES_MAX], const struct gg_addr *addr, bool ipv6)
{
  size_t bytes = ipv6 ? 16 : 4;
  memset(end, 0, bytes);
  if (ipv6 && addr->family == GG_FAMILY_IPV4) {
    end[10] = end[11] = 0xff;
    memcpy(end + 12, addr->ip, 4);
  } else {
    memcpy(end, addr->ip, bytes);
  }
  end[bytes] = (uint8_t)(addr->port >> 8);
  end[bytes + 1] = (uint8_t)addr->port;
  return bytes;
}

static bool is_ip(const struct gg_addr *addr)
{
  return addr->family == GG_FAMILY_IPV4 || addr->family == GG_FAMILY_IPV6;
}

void gg_community_id(char text[GG_COMMUNITY_ID_TEXT], const struct gg_addr *a, const struct gg_addr *b)
{
  uint8_t ends[2][END_BYTES_MAX], key[SEED_BYTES + 2 * END_BYTES_MAX + 2] = {0}, digest[GG_SHA1_BYTES];
  text[0] = '\0';
  if (!is_ip(a) || !is_ip(b))
    return;
  bool ipv6 = a->family == GG_FAMILY_IPV6 || b->family == GG_FAMILY_IPV6;
  size_t bytes = put_end(ends[0], a, ipv6);
  put_end(ends[1], b, ipv6);
  unsigned first = memcmp(ends[0], ends[1], bytes + 2) > 0;
  /* seed | address | address | protocol | 0 | port | port */
  uint8_t *at = key + SEED_BYTES;
  memcpy(at, ends[first], bytes);
  memcpy(at + bytes, ends[!first], bytes);
  at += 2 * bytes;
  at[0] = TCP;
  memcpy(at + 2, ends[first] + bytes, 2);
  memcpy(at + 4, ends[!first] + bytes, 2);
  gg_sha1(key, (size_t)(at + 6 - key), digest);
  memcpy(text, "1:", 2);
  char *end = gg_base64(text + 2, digest, sizeof digest);
  assert(end == text + GG_COMMUNITY_ID_TEXT - 1);
  *end = '\0';
}
