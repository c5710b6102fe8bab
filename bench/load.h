/* SPDX-License-Identifier: Apache-2.0 */
/**
 * load.h - what the load tool's two ends agree on.
 *
 * Every connection begins with a request of the client's: a kind and a number. What follows depends on the kind:
 *
 *     REQUEST_BULK   the server sends `count` bytes and closes
 *     REQUEST_ECHO   the server sends back whatever comes, until the client closes
 *     REQUEST_ONCE   the client sends one message, the server sends it back and closes first, so that the ports that
 *                    wait out TIME_WAIT are not the ones the next connections need
 *     REQUEST_REPLY  the server answers each message of the client's with `count` bytes, until the client closes
 *     REQUEST_NONE   (no request at all) the client ends, the server ends
 *
 * Both ends are single-threaded and epoll based. An error ends the program: a benchmark that lost something is void.
 */
#ifndef GG_BENCH_LOAD_H
#define GG_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { MESSAGE_BYTES = 64, CONNECTIONS_MAX = 16384, EVENTS_MAX = 256 };

enum request_kind { REQUEST_NONE = 0, REQUEST_BULK = 1, REQUEST_ECHO = 2, REQUEST_ONCE = 3, REQUEST_REPLY = 4 };

struct request {
  uint64_t kind;  /* enum request_kind, host order: both ends are on this machine */
  uint64_t count; /* REQUEST_BULK, REQUEST_REPLY: bytes */
};

/* Prints "load: what: errno's text" and exits with status 1. */
_Noreturn void load_die(const char *what);

/* Watches `fd` for `events`; `data` comes back with the event. */
void load_watch(int epoll, int operation, int fd, uint32_t events, void *data);

/* A port of 127.0.0.1 or, with a slash in it, the path of a unix socket; exits with status 2 when it is neither. */
socklen_t load_place(const char *text, struct sockaddr_storage *out);

/* Serves there until killed. */
_Noreturn void load_serve(const char *place);

#endif
