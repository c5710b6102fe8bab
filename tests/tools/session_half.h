/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The half of a session at one endpoint: a socket, a script, and what happened.
 *
 * Each thread of the program owns the halves of one side and its epoll; nothing is shared between
 * the two threads but the results, of which each writes its own side's and no other.
 */
#ifndef TESTS_TOOLS_SESSION_HALF_H
#define TESTS_TOOLS_SESSION_HALF_H

#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "session_script.h"

/* How a half ended, as it saw it. */
enum half_end {
  HALF_END_NONE,           /* it never began */
  HALF_END_ORDERLY,        /* everything sent, everything received up to the peer's end of stream */
  HALF_END_EOF_EARLY,      /* the peer's stream ended, but not with the bytes it should have had */
  HALF_END_RESET_SENT,     /* this side reset it */
  HALF_END_CLOSED_EARLY,   /* this side closed without reading the rest */
  HALF_END_RESET_RECEIVED, /* ECONNRESET or EPIPE */
  HALF_END_CONNECT_FAILED,
  HALF_END_TIMEOUT, /* still open at the deadline */
  HALF_END_COUNT
};

struct half_result {
  enum half_end end;
  int error;        /* errno of what failed, or 0 */
  unsigned port;    /* a client's own port, or 0 */
  char address[64]; /* a client's own address, or "" */
  bool known;       /* the header was whole: the index is certain */
  uint32_t index;
  uint64_t begin_ns; /* CLOCK_MONOTONIC; a server's half begins when it was accepted */
  uint64_t end_ns;
  uint64_t sent;
  uint64_t received;
  uint64_t first_difference; /* offset of the first received byte that was not the scripted one; UINT64_MAX: none */
  unsigned char sent_sha256[32];
  unsigned char received_sha256[32];
};

union endpoint_address {
  struct sockaddr generic;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un local;
};

struct half {
  int fd; /* -1: this slot is free */
  enum side side;
  struct session_script script;
  bool scripted; /* a server's half learns its script from the header */
  bool connecting;
  bool write_over; /* half-closed, or the peer takes no more */
  bool read_over;
  bool header_bad;   /* a server's half got 16 bytes that are no header of this seed */
  int write_error;   /* errno of the send that failed, or 0 */
  uint32_t interest; /* what epoll was told */
  uint64_t random;
  uint64_t write_due_ns; /* not before; 0: now */
  uint64_t read_due_ns;
  unsigned urgent_next;
  uint8_t header[HEADER_BYTES];
  EVP_MD_CTX *sent_hash;
  EVP_MD_CTX *received_hash;
  struct half_result result;
};

/* One side's thread: its epoll, its scratch memory and its options. */
struct half_context {
  int epoll;
  const struct script_options *options;
  uint8_t *scratch;  /* WRITE_BYTES_MAX bytes: what is sent, or was received */
  uint8_t *expected; /* WRITE_BYTES_MAX bytes: what should have been received */
};

uint64_t half_now_ns(void);

/* Takes `fd` (non-blocking) into `half` and epoll. `script` is NULL for a server's half. False on a failure. */
bool half_begin(struct half_context *context, struct half *half, int fd, enum side side,
                const struct session_script *script, bool connecting);

/* Does what can be done now; returns true when the half has ended, its result complete and its descriptor closed. */
bool half_step(struct half_context *context, struct half *half, uint32_t events);

/* Ends a half that is still open at the deadline. */
void half_abandon(struct half *half);

/* When half_step wants to be called without an event, or UINT64_MAX. */
uint64_t half_due_ns(const struct half *half);

const char *half_end_name(enum half_end end);

#endif
