/* SPDX-License-Identifier: Apache-2.0 */
/**
 * netstat.h - what the kernel counts of TCP connections that never came as far as accept: floods of SYNs, queues that
 * were full. Read from /proc/net/netstat, so of the whole network namespace, not of this process alone.
 *
 * The file is opened once and read again from its beginning each time, so that a process that may open no file any
 * more can still read it. Thread: one at a time.
 */
#ifndef GG_NET_NETSTAT_H
#define GG_NET_NETSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, name, field, help): `field` as the kernel calls it in the lines "TcpExt:". */
#define GG_NETSTAT_LIST(X)                                                                                             \
  X(LISTEN_OVERFLOWS, kernel_listen_overflows, "ListenOverflows",                                                      \
    "Handshakes that were completed and found the accept queue full (whole network namespace)")                        \
  X(LISTEN_DROPS, kernel_listen_drops, "ListenDrops",                                                                  \
    "SYNs and handshakes that a listening socket dropped for any reason (whole network namespace)")                    \
  X(SYN_QUEUE_COOKIES, kernel_syn_queue_full_cookies, "TCPReqQFullDoCookies",                                          \
    "SYNs that found the queue full and were answered by a cookie (whole network namespace)")                          \
  X(SYN_QUEUE_DROPS, kernel_syn_queue_full_drops, "TCPReqQFullDrop",                                                   \
    "SYNs that found the queue full and were dropped (whole network namespace)")                                       \
  X(SYNCOOKIES_SENT, kernel_syncookies_sent, "SyncookiesSent", "SYN cookies sent (whole network namespace)")           \
  X(SYNCOOKIES_RECEIVED, kernel_syncookies_received, "SyncookiesRecv",                                                 \
    "Valid SYN cookies that came back (whole network namespace)")                                                      \
  X(SYNCOOKIES_FAILED, kernel_syncookies_failed, "SyncookiesFailed",                                                   \
    "Invalid SYN cookies that came back (whole network namespace)")

enum gg_netstat_value {
#define GG_NETSTAT_ENUM(NAME, name, field, help) GG_NETSTAT_##NAME,
  GG_NETSTAT_LIST(GG_NETSTAT_ENUM)
#undef GG_NETSTAT_ENUM
    GG_NETSTAT_VALUES
};

enum { GG_NETSTAT_BYTES_MAX = 32 << 10 }; /* of the file; those of today have 5 KiB */

int gg_netstat_open(void); /* a descriptor, or -1 with errno */
/* Reads it anew. What the kernel does not tell is 0. False with all of them 0: the file cannot be read. */
bool gg_netstat_read(int fd, uint64_t values[GG_NETSTAT_VALUES]);
/* The same from a text of `length` bytes. */
bool gg_netstat_parse(const char *text, size_t length, uint64_t values[GG_NETSTAT_VALUES]);

#endif
