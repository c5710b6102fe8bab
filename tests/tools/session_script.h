/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one random session does, derived from nothing but (seed, index).
 *
 * Both halves of a session, and whoever checks a recording later, compute the same script and the
 * same bytes on their own, so nothing has to be passed between them but the 16-byte header that a
 * client sends first. A stream's bytes are a function of their offset: any part of it can be made
 * again at any time, which is how a prefix is checked without keeping what was sent.
 *
 * All functions are pure and may be called on any thread.
 */
#ifndef TESTS_TOOLS_SESSION_SCRIPT_H
#define TESTS_TOOLS_SESSION_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "ggEP", the index and the seed, big endian: what the client's stream begins with. */
#define HEADER_BYTES 16u
#define WRITE_BYTES_MAX 65536u
#define URGENT_MAX 4u

enum side { SIDE_CLIENT, SIDE_SERVER };

/* Who stops sending first, and how. */
enum order {
  ORDER_BOTH,          /* both send at once; each half-closes when it has sent its all */
  ORDER_CLIENT_FIRST,  /* the server sends nothing before the client's half-close */
  ORDER_SERVER_FIRST,  /* the client sends its header, then waits for the server's half-close */
  ORDER_CLIENT_CLOSES, /* nobody half-closes; the client closes when all has arrived */
  ORDER_SERVER_CLOSES,
  ORDER_COUNT
};

enum ending { ENDING_ORDERLY, ENDING_RESET, ENDING_EARLY_CLOSE, ENDING_COUNT };

/* A session without a byte: the server never learns which one it was. */
enum zero { ZERO_NOT, ZERO_CLOSE, ZERO_HALF_CLOSE, ZERO_RESET, ZERO_COUNT };

enum writes {
  WRITES_BYTE,  /* one byte each */
  WRITES_SMALL, /* up to an Ethernet frame */
  WRITES_ANY,   /* 1 byte to 64 KiB, every magnitude equally likely */
  WRITES_FULL,  /* 64 KiB each */
  WRITES_MIXED, /* 128 KiB of small ones and 128 KiB of full ones in turn */
  WRITES_COUNT
};

struct side_script {
  uint64_t stream_bytes; /* all this side sends, a client's header included */
  enum writes writes;
  bool nodelay;
  uint32_t write_pause_us;       /* after each write; 0: none */
  uint32_t read_bytes_max;       /* a read's size */
  uint32_t read_pause_us;        /* after each read; 0: none */
  uint32_t read_delay_us;        /* before the first read */
  uint32_t receive_buffer_bytes; /* SO_RCVBUF; 0: the kernel's own choice */
  unsigned urgent_count;
  uint64_t urgent_at[URGENT_MAX]; /* offsets of urgent bytes, ascending */
};

struct session_script {
  uint32_t index;
  enum zero zero;
  enum order order;
  enum ending ending;
  enum side ending_side; /* who resets or closes early */
  uint64_t ending_sent;  /* it does so when it has sent this much */
  struct side_script side[2];
};

/* What may be asked of the generator; the same options give the same scripts. */
struct script_options {
  uint64_t seed;
  unsigned reset_percent;  /* sessions ended by a reset or an early close */
  unsigned urgent_percent; /* sessions with urgent bytes */
  unsigned zero_percent;   /* sessions without any byte */
  unsigned slow_percent;   /* sessions with a slow reader or writer */
  uint64_t bytes_max;      /* the longest body one side sends */
  /* A fixed plain session instead: both sides at once, full writes. */
  bool fixed;
  uint64_t fixed_bytes[2];
};

#define SCRIPT_OPTIONS_INIT                                                                                            \
  {                                                                                                                    \
    .reset_percent = 12, .urgent_percent = 12, .zero_percent = 3, .slow_percent = 8, .bytes_max = 8u << 20             \
  }

void session_script_make(const struct script_options *options, uint32_t index, struct session_script *script);

/* Writes bytes [offset, offset + size) of what `side` of session `index` sends to `out`. */
void session_stream_bytes(uint64_t seed, uint32_t index, enum side side, uint64_t offset, uint8_t *out, size_t size);

/* Reads a client's header. False when it is not one of this seed. */
bool session_header_parse(uint64_t seed, const uint8_t header[HEADER_BYTES], uint32_t *index);

/*
 * The size of the next write of `side` after `sent` bytes; `random` is that half's own state.
 * Never 0, never above WRITE_BYTES_MAX; what is left to send may be less.
 */
size_t session_write_size(const struct side_script *side, uint64_t sent, uint64_t *random);

/* splitmix64: one step of a small good generator; `state` may begin as anything. */
uint64_t session_random(uint64_t *state);

const char *session_order_name(enum order order);
const char *session_ending_name(enum ending ending);
const char *session_zero_name(enum zero zero);

#endif
