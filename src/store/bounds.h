/* SPDX-License-Identifier: Apache-2.0 */
/**
 * bounds.h - the bounds of reading recordings that are met from outside: docs/config.md lists them (engine/bounds.c).
 */
#ifndef GG_STORE_BOUNDS_H
#define GG_STORE_BOUNDS_H

#include <stdint.h>

/* Of one filter. Its evaluation and the database's, which has bounds of its own, go as deep as these allow. */
enum {
  GG_FILTER_BYTES_MAX = 1 << 16,    /* its text */
  GG_FILTER_DEPTH_MAX = 32,         /* parentheses and nots within one another; parentheses of a regular expression */
  GG_FILTER_FACTS_MAX = 1024,       /* fields that decoders and plug-ins add */
  GG_FILTER_REGEX_BYTES_MAX = 1024, /* of one regular expression */
  GG_FILTER_REGEX_HEAP_KIB_MAX = 1024,    /* memory of one match; ... */
  GG_FILTER_REGEX_STEPS_MAX = 100 * 1000, /* ... and its steps: what needs more does not match */
  GG_FILTER_TERMS_MAX = 64,               /* words */
  GG_FILTER_TESTS_MAX = 512,              /* comparisons, each value of a list counted */
  GG_FILTER_VALUE_BYTES_MAX = 1024,       /* of one value */
};

/* Of searches. */
enum {
  GG_GREP_BATCH_MEMORY_BYTES = 1 << 27, /* of windows, as they usually are, of sessions searched together */
  GG_GREP_BATCH_SESSIONS_MAX = 1 << 16, /* searched together */
  GG_PASS_HITS_BYTES = 1 << 24,         /* of matches that wait to be told, of sessions searched together */
  GG_PATTERN_STEPS_MAX = 1000000,       /* of one match; PCRE2 counts them */
  GG_SEARCH_CONTEXT_MAX = 1 << 12,      /* GG_GREP_CONTEXT_MAX of store.h; likewise the other two */
  GG_SEARCH_MATCH_MAX = 1 << 16,
  GG_SEARCH_PATTERN_MAX = 1 << 14,
  GG_WINDOW_CUTS_MAX = 256, /* attempts that are open after the longest match, in so many bytes */
};

/* Of the decoding of sessions that are open (understanding.h). */
enum {
  GG_UNDERSTANDING_AGAIN_BYTES = 4 << 20, /* one that is not kept is not begun again if its session has more */
  GG_UNDERSTANDING_LIVE_BYTES = 64 << 20, /* memory of those that are kept */
  GG_UNDERSTANDING_LIVE_MAX = 256,
};

/* Of the search for credentials in bodies. */
enum {
  GG__BODIES_UNDER_WAY_MAX = 64,
  GG__BODY_PIECES_MAX = 1 << 16, /* of one, that do not stand side by side */
};

/* Of a session that becomes a program, or what was on a screen. */
enum {
  GG__CAST_SIZES_MAX = 1024,          /* of a window */
  GG__STORY_CLIENT_MAX = 16 << 20,    /* bytes of the client */
  GG__STORY_COOKIES_MAX = 1024,       /* that were set last, among which one is looked for */
  GG__STORY_MESSAGES_MAX = 1 << 17,   /* of both sides */
  GG__STORY_PIECES_MAX = 1 << 20,     /* in which the server's bytes came */
  GG__STORY_SEARCHED_MAX = 256 << 20, /* bytes of replies, for text in front of all values */
  GG__STORY_SECRETS_MAX = 1 << 16,    /* places of credentials */
  GG__STORY_SERVER_MAX = 8 << 20,     /* bytes of the server that are looked at */
  GG__STORY_VALUES_MAX = 1 << 12,     /* that the server handed out */
};

enum {
  GG_KEEP_HELD_MAX = 1 << 20,         /* held sessions of one segment; it is passed over with more */
  GG_FEED_BYTES_MAX = 8 << 20,        /* of headers that wait to be indexed; the rest is read from the segments */
  GG_INDEXER_OPEN_MAX = 1 << 20,      /* sessions without an end; beyond them the longest known is told and let go */
  GG_MARK_TAGS_MAX = 64,              /* that people and rules have given one session; as many taken off */
  GG_MARK_TAG_BYTES_MAX = 64,         /* of one tag */
  GG_MARKS_MAX = 1 << 24,             /* sessions of which something is said; more are GG_ERR_LIMIT */
  GG_MARKS_KEPT_MAX = 99,             /* journals with damaged lines that stay beside it; then none is mended */
  GG_MARKS_STAGED_MAX = 4096,         /* sessions whose tags by rules wait to be written together */
  GG_MERGE_OPEN_MAX = 256,            /* files that overlap in time; more are GG_ERR_LIMIT */
  GG_PLACE_FILES_MAX = 1 << 20,       /* of one recording */
  GG_RETENTION_RULES_MAX = 64,        /* of a configuration */
  GG_STREAM_HELD_MAX = 64,            /* packets that wait for earlier ones */
  GG_STREAM_HELD_BYTES_MAX = 1 << 20, /* and their bytes together */
  GG_SWEEP_OPEN_MAX = 1 << 20,        /* sessions without an end at one time; more are GG_ERR_LIMIT */
  GG_TAG_RULES_MAX = 64,              /* of a configuration */
  GG_TAIL_LOGS_MAX = 1024,            /* whose segments are told in order */
};
#define GG_PLACE_STILL_NS UINT64_C(1000000000)   /* what is waited for who lists a folder, or changes it (place.h) */
#define GG_PRUNE_BUSY_NS UINT64_C(10000000000)   /* what `prune` waits for another one */
#define GG_MARKS_LOCK_NS UINT64_C(10000000000)   /* what is waited for who writes tags or holds at the same time */
#define GG_TAIL_PATIENCE_NS UINT64_C(5000000000) /* of one that is stopped, for a reader who has half a packet */

#endif
