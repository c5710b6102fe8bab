/* SPDX-License-Identifier: Apache-2.0 */
/**
 * community_id.h - the Community ID of a TCP connection (version 1, seed 0): a text that Zeek, Suricata, Arkime and
 * tshark make of the same connection, whichever of its packets they saw.
 *
 * A pure function; any thread.
 */
#ifndef GG_NET_COMMUNITY_ID_H
#define GG_NET_COMMUNITY_ID_H

#include "net/addr.h"

enum { GG_COMMUNITY_ID_TEXT = 31 /* "1:", 28 letters, NUL */ };

/* The same for both orders of the ends. Where one end is IPv6, the other is taken as mapped into it. Empty unless both
 * are internet addresses. */
void gg_community_id(char text[GG_COMMUNITY_ID_TEXT], const struct gg_addr *a, const struct gg_addr *b);

#endif
