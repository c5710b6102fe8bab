/* SPDX-License-Identifier: Apache-2.0 */
/**
 * section.h - the pcapng blocks around the packets: section header, interface description, statistics (padding), and
 * the check that a block is whole.
 *
 * Blocks are written in the byte order of this machine, as pcapng allows; readers tell it from the section header.
 * Everything here writes into memory that the caller provides and cannot fail but by the caller's mistake (asserted).
 *
 * Thread: any; no state.
 */
#ifndef GG_RECORD_SECTION_H
#define GG_RECORD_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG_SECTION_TEXT_MAX = 512,            /* bytes of one text option; longer ones are cut at a character boundary */
  GG_SECTION_HEADER_MAX = 2048,         /* bytes that gg_section_header writes at the most */
  GG_SECTION_INTERFACE_MAX = 640,       /* bytes that gg_section_interface writes at the most */
  GG_SECTION_STATISTICS_MIN = 24,       /* the smallest statistics block */
  GG_SECTION_STATISTICS_MAX = 60 << 10, /* the largest that was tried with every reader */
  GG_SECTION_SNAPLEN = 262144,
};

/* Section Header Block of unknown length (-1). `application`, `os` and `comment` may be NULL. Returns its bytes. */
size_t gg_section_header(uint8_t *at, const char *application, const char *os, const char *comment);

/* Interface Description Block: Ethernet, nanoseconds, snaplen GG_SECTION_SNAPLEN; `name` may be NULL. */
size_t gg_section_interface(uint8_t *at, const char *name);

struct gg_section_statistics {
  uint64_t time_ns; /* UTC */
  bool has_dropped; /* write isb_ifdrop */
  uint64_t dropped;
  const char *comment;   /* may be NULL; borrowed; spaces are added to fill the block */
  size_t comment_length; /* up to GG_SECTION_TEXT_MAX */
};
/* The least bytes of a block that carries all of `statistics`; a multiple of 4. */
size_t gg_section_statistics_least(const struct gg_section_statistics *statistics);

/* How many bytes (0 if none are needed) a statistics block at `position` must have to end on a multiple of `unit` and
 * to have `least` bytes or more. With `least` 0, none is needed where `position` is such a multiple already. */
size_t gg_section_padding(uint64_t position, uint64_t unit, size_t least);

/* An Interface Statistics Block for interface 0 of exactly `bytes` (a multiple of 4, gg_section_statistics_least or
 * more): it is no frame to any reader, and so it is our padding. */
void gg_section_statistics(uint8_t *at, size_t bytes, const struct gg_section_statistics *statistics);

/* The length of the block at `at` if all of it is within `room` and its lengths agree; else 0. */
size_t gg_block_whole(const uint8_t *at, size_t room);

#endif
