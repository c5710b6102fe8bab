/* SPDX-License-Identifier: Apache-2.0 */
/* The run of both ends: options in, JSON lines on standard output. */
#ifndef TESTS_TOOLS_ENDPOINTS_H
#define TESTS_TOOLS_ENDPOINTS_H

#include <stdio.h>

#include "session_half.h"

#define SESSIONS_MAX 1000000u
#define CONCURRENCY_MAX 8192u

struct run_options {
  struct script_options script;
  uint32_t first; /* the first session's index */
  uint32_t sessions;
  unsigned concurrency; /* clients at the same time */
  union endpoint_address connect;
  socklen_t connect_size; /* 0: no clients here */
  union endpoint_address listen;
  socklen_t listen_size; /* 0: no server here */
  bool unique_source;    /* IPv4 clients each have an address of their own in 127.16.0.0/12 */
  uint64_t deadline_s;   /* what is open then is abandoned and reported so */
};

/* host:port, [v6]:port with numeric hosts, or unix:PATH. */
bool address_parse(const char *text, union endpoint_address *address, socklen_t *size);

/* Runs the sessions and prints what they saw. Returns the exit status. */
int endpoints_run(const struct run_options *options);

void print_hex(FILE *out, const unsigned char *bytes, size_t size);

#endif
