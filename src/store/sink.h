/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sink.h - writes packets to a descriptor as pcapng or classic pcap with nanoseconds: what export and tail end in.
 *
 * The stream is one section with one Ethernet interface. Buffered by whole records; gg__sink_flush writes what is
 * there. After an error the sink takes nothing more. Thread: one at a time.
 */
#ifndef GG_STORE_SINK_H
#define GG_STORE_SINK_H

#include <gogetway/store.h>
#include <stdatomic.h>

struct gg__frame;
struct gg_packet;
struct gg__sink;

/* Borrows `fd`; `name` is for errors. `mtu`: no IP packet is longer, 0: only what readers cannot take is cut. The
 * file's head is written at once into the buffer. */
int gg__sink_create(struct gg__sink **out, int fd, const char *name, enum gg_export_format format, unsigned mtu,
                    struct gg_failure *failure);
void gg__sink_destroy(struct gg__sink *sink);

/* Of pcapng. Once `*stop` is set (borrowed; by a signal handler, too) a flush waits for a slow reader only until the
 * record that he has begun to get is whole; what he does not take at once of the others is dropped. GG_ERR_TIMEOUT
 * from a flush: he does not take the rest of that record. */
void gg__sink_stop_by(struct gg__sink *sink, const atomic_bool *stop);

/* A frame as it was captured, if it is Ethernet and short enough; otherwise built anew from what its TCP says.
 * `outbound`: it came from the server. GG_ERR_CLOSED: the reader of a pipe has gone. */
int gg__sink_frame(struct gg__sink *sink, const struct gg__frame *frame, bool outbound, struct gg_failure *failure);

/* SYN, SYN-ACK and ACK in front of a frame whose conversation's beginning is missing. */
int gg__sink_handshake(struct gg__sink *sink, const struct gg__frame *frame, bool outbound, struct gg_failure *failure);

int gg__sink_flush(struct gg__sink *sink, struct gg_failure *failure);
uint64_t gg__sink_bytes(const struct gg__sink *sink);
uint64_t gg__sink_packets(const struct gg__sink *sink);

#endif
