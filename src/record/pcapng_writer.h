/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pcapng_writer.h - writes packets that a reader gave to a new capture: pcapng, or classic pcap with nanoseconds.
 *
 * The output goes to the caller's `write`, in order, in whole blocks or records, but one of them in several calls. The
 * writer holds no memory and is plain data. What `write` returns (negative: an error) ends the call and is returned.
 *
 * A pcapng packet keeps its bytes, time, comments and flags; one of our own recordings is copied as it is. Interfaces
 * are renumbered: one a link type (all with nanoseconds, so times of coarser captures stay what they were).
 *
 * Thread: one at a time per writer.
 */
#ifndef GG_RECORD_PCAPNG_WRITER_H
#define GG_RECORD_PCAPNG_WRITER_H

#include "record/pcapng_reader.h"

typedef int (*gg_capture_write_fn)(void *context, const void *data, size_t bytes);

enum { GG_PCAPNG_WRITER_LINKS_MAX = 16 };

struct gg_pcapng_writer {
  gg_capture_write_fn write;
  void *context;
  unsigned link_count;
  uint16_t link_types[GG_PCAPNG_WRITER_LINKS_MAX]; /* by interface number */
};

/* Writes the section header (`application`, its name and version, and `comment` may be NULL) and the interface of
 * Ethernet, number 0. */
int gg_pcapng_writer_begin(struct gg_pcapng_writer *writer, gg_capture_write_fn write, void *context,
                           const char *application, const char *comment);
/* Writes a packet, behind a new interface if its link type is. GG_ERR_LIMIT: too many link types; GG_ERR_RANGE: a
 * packet longer than GG_PCAPNG_BLOCK_MAX allows. */
int gg_pcapng_writer_packet(struct gg_pcapng_writer *writer, const struct gg_pcapng_packet *packet);

/* Classic pcap, magic 0xa1b23c4d (nanoseconds), in this machine's byte order. */
struct gg_pcap_writer {
  gg_capture_write_fn write;
  void *context;
  uint16_t link_type;
};

int gg_pcap_writer_begin(struct gg_pcap_writer *writer, gg_capture_write_fn write, void *context, uint16_t link_type);
/* GG_ERR_UNSUPPORTED: another link type than the file's, of which it has only one. Times from 2106 on, whose seconds
 * the format cannot hold, are GG_ERR_RANGE. */
int gg_pcap_writer_packet(struct gg_pcap_writer *writer, const struct gg_pcapng_packet *packet);

#endif
