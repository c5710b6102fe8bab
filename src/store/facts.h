/* SPDX-License-Identifier: Apache-2.0 */
/**
 * facts.h - what the JSON comments of a recording say (docs/format.md).
 *
 * A comment is trusted no further than its form: numbers are bounded by their type, texts by their arrays and made safe
 * to print, members of another type than they should have are left out. Any thread.
 */
#ifndef GG_STORE_FACTS_H
#define GG_STORE_FACTS_H

#include "net/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GG__FACTS_TEXT_MAX = 256,
  GG__FACTS_TAGS_MAX = 512, /* all of them */
  GG__FACTS_TAG_MAX = 64,
};

struct gg__facts {
  char id[25]; /* empty: none, or not 24 hexadecimal digits */
  char listener[GG__FACTS_TEXT_MAX];
  char client[GG__FACTS_TEXT_MAX];
  char server[GG__FACTS_TEXT_MAX];
  char upstream[GG__FACTS_TEXT_MAX];
  char server_path[GG__FACTS_TEXT_MAX];
  char close[GG__FACTS_TEXT_MAX]; /* empty: this is no closing comment */
  char why[GG__FACTS_TEXT_MAX];
  char original[25];   /* of the session that was played; empty: none, or not 24 hexadecimal digits */
  char as_sent_of[25]; /* what rewriters have sent instead of this session's bytes; empty: none, or no such id */
  char verdict[GG__FACTS_TEXT_MAX];
  char verdict_by[GG__FACTS_TEXT_MAX];
  char
    tags[GG__FACTS_TAGS_MAX + 1]; /* in order of bytes, each once, with blanks between; those that there is room for */
  struct gg_addr gateway;         /* its end of the connection to the upstream; no family: none */
  bool continued;
  bool has_offset; /* offset[] is there */
  bool has_counts; /* received[] is there */
  bool has_forwarded;
  uint64_t offset[2]; /* by direction: client, server */
  uint64_t received[2];
  uint64_t forwarded[2];
  uint64_t gaps[2]; /* of the whole session, in the closing comment */
  uint64_t masked[2];
  uint64_t gap; /* bytes missing in front of this packet */
};

enum gg__facts_kind { GG__FACTS_NONE, GG__FACTS_OURS, GG__FACTS_BROKEN, GG__FACTS_NOMEM };

/* NONE: somebody else's comment. BROKEN: it begins like ours and is not readable. NOMEM: it was not read for want of
 * memory. `facts` is set for OURS only. */
enum gg__facts_kind gg__facts_parse(struct gg__facts *facts, const char *text, size_t length);

#endif
