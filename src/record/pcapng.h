/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pcapng.h - the numbers of the pcapng format (draft-ietf-opsawg-pcapng) that a recording is made of.
 *
 * Everything in a block is in the byte order of its section; gogetway writes in the machine's own.
 */
#ifndef GG_RECORD_PCAPNG_H
#define GG_RECORD_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define GG_PCAPNG_BYTE_ORDER 0x1a2b3c4du
#define GG_PCAPNG_BYTE_ORDER_SWAPPED 0x4d3c2b1au

/* Block types. */
#define GG_PCAPNG_SHB 0x0a0d0d0au /* section header; reads the same in both byte orders */
#define GG_PCAPNG_IDB 1u          /* interface description */
#define GG_PCAPNG_PB 2u           /* packet, obsolete */
#define GG_PCAPNG_SPB 3u          /* simple packet */
#define GG_PCAPNG_NRB 4u          /* name resolution */
#define GG_PCAPNG_ISB 5u          /* interface statistics */
#define GG_PCAPNG_EPB 6u          /* enhanced packet */

/* Options of every block, and of some. */
enum {
  GG_PCAPNG_OPT_END = 0,
  GG_PCAPNG_OPT_COMMENT = 1,
  GG_PCAPNG_EPB_FLAGS = 2,
  GG_PCAPNG_IF_NAME = 2,
  GG_PCAPNG_IF_TSRESOL = 9,
  GG_PCAPNG_IF_TSOFFSET = 14,
};

/* epb_flags, bits 0 and 1. */
enum { GG_PCAPNG_INBOUND = 1, GG_PCAPNG_OUTBOUND = 2 };

enum {
  GG_PCAPNG_BLOCK_MIN = 12,       /* type, length, length */
  GG_PCAPNG_BLOCK_MAX = 16 << 20, /* larger ones are taken for damage */
  GG_PCAPNG_EPB_HEAD = 28,        /* up to the packet's bytes */
  GG_PCAPNG_EPB_LIMIT = 65543,    /* the longest EPB that every known reader takes */
  GG_PCAPNG_SNAPLEN = 262144,
};

/* Link types (LINKTYPE_...) that the parser knows. */
enum {
  GG_LINK_NULL = 0,
  GG_LINK_ETHERNET = 1,
  GG_LINK_RAW_BSD = 12,
  GG_LINK_RAW_OPENBSD = 14,
  GG_LINK_RAW = 101,
  GG_LINK_LOOP = 108,
  GG_LINK_LINUX_SLL = 113,
  GG_LINK_IPV4 = 228,
  GG_LINK_IPV6 = 229,
  GG_LINK_LINUX_SLL2 = 276,
};

/* Lengths in a block are padded to four bytes. */
static inline size_t gg_pcapng_pad(size_t bytes)
{
  return (bytes + 3) & ~(size_t)3;
}

#endif
