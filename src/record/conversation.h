/* SPDX-License-Identifier: Apache-2.0 */
/**
 * conversation.h - a session as a well-formed TCP conversation in pcapng: docs/format.md put to work.
 *
 * A `struct gg_conversation` is the part of a session that the recording needs: the two endpoints, sequence numbers,
 * what is unacknowledged, which gaps wait to be marked. It writes Enhanced Packet Blocks into memory that the caller
 * reserved in the log and neither allocates nor does I/O. The usual life:
 *
 *   open        SYN, SYN-ACK, ACK; the first carries the session's facts as JSON in its comment
 *   lay/seal    chunks: `lay` says where in the reservation the payload goes (so recv(2) puts it there), `seal` writes
 *               headers, checksums and trailers around what came
 *   fin         a direction's orderly end, in the order in which it happened
 *   close       the last packet (RST, or the last ACK) with the closing facts
 *
 * Chunk layout, for one read of up to n bytes (GG_PACKET_PAYLOAD_MAX a packet; an ACK of the other side follows a
 * packet that leaves GG_UNACKED_MAX bytes or more unacknowledged, and until the server has answered the client's first
 * bytes one that leaves GG_UNACKED_FIRST_MAX):
 *
 *   |EPB head, Ethernet, IP, TCP| payload 32 KiB |pad, options, length|EPB head ...| payload |...|EPB of an ACK| ...
 *                                 ^ iov[0]                                           ^ iov[1]
 *
 * The places depend on full packets only, so a short read leaves a valid beginning of the same layout. Comments are
 * on the first packet of a chunk.
 * Within one chunk all packets share one time stamp, and only the last has PSH.
 *
 * Thread: the worker that owns the session. Nothing here can fail but by a caller's mistake (asserted).
 */
#ifndef GG_RECORD_CONVERSATION_H
#define GG_RECORD_CONVERSATION_H

#include "net/addr.h"
#include "record/session_id.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum gg_direction { GG_FROM_CLIENT = 0, GG_FROM_SERVER = 1 };

enum {
  GG_PACKET_PAYLOAD_MAX = 32 << 10,
  GG_UNACKED_MAX = 64 << 10,
  GG_UNACKED_FIRST_MAX = (32 << 10) - 1, /* and a packet are less than 65,535: the window of a SYN is not scaled */
  GG_COMMENT_MAX = 2048,                 /* bytes of one JSON comment */
  GG_CHUNK_MAX = 1 << 20,                /* bytes of one read */
  GG_CHUNK_IOV_MAX = GG_CHUNK_MAX / GG_PACKET_PAYLOAD_MAX,
  GG_CONVERSATION_OPEN_MAX = 3 * 160 + GG_COMMENT_MAX,      /* reservation for open */
  GG_CONVERSATION_FIN_MAX = 2 * 160 + GG_COMMENT_MAX,       /* reservation for fin */
  GG_CONVERSATION_CLOSE_MAX = 6 * 160 + 4 * GG_COMMENT_MAX, /* reservation for close */
};

struct gg_json;

/* Why bytes went on without being recorded. */
enum gg_gap_reason { GG_GAP_STALL, GG_GAP_DISK_FULL, GG_GAP_LEFT_OUT };

/* Writes a session's members (no braces: "id", "listener", "client", "server", "upstream", ...) into an open JSON
 * object. Called back where the facts are needed, so that no session has to keep them as text. Members that would make
 * the comment longer than GG_COMMENT_MAX are left out, all of them: keep names and paths bounded. */
typedef void (*gg_facts_fn)(const void *session, struct gg_json *json);

/* No segment has this number: the conversation goes on as in a further one. */
#define GG_SEGMENT_ELSEWHERE UINT64_MAX

struct gg_conversation {
  struct gg_addr end[2];   /* by direction: the client, and the server address that the client dialled */
  uint32_t sequence[2];    /* next sequence number of each direction */
  uint32_t acked[2];       /* highest acknowledgement number recorded for each direction */
  uint32_t unacked[2];     /* payload bytes of the direction since the other side's last packet */
  uint64_t offset[2];      /* stream offset: all bytes so far, recorded and missing */
  uint64_t gap_pending[2]; /* missing bytes that no packet has told of yet */
  uint64_t gap_total[2];
  uint64_t segment; /* where its last packet is; 0: nothing recorded yet; GG_SEGMENT_ELSEWHERE: another's came since */
  gg_facts_fn facts;
  const void *session;          /* the callback's argument */
  struct gg_conversation *twin; /* the next one with the same ends, a ring (pairs.h); NULL: it is not looked for */
  struct gg_conversation *paired_next;
  uint8_t finned[2];
  uint8_t gap_reason[2]; /* enum gg_gap_reason of what is pending */
  uint8_t opened;        /* the handshake is recorded */
  uint8_t ipv6;          /* how packets are written: IPv6 if either end is */
  uint8_t answered;      /* the server has a packet behind its SYN: its window is scaled from there on */
};

/* `client` and `server` are as recorded (real client of a PROXY header; synthetic ports for unix peers). The initial
 * sequence numbers must be random per session and direction. */
void gg_conversation_init(struct gg_conversation *conversation, const struct gg_addr *client,
                          const struct gg_addr *server, const uint32_t initial_sequence[2], gg_facts_fn facts,
                          const void *session);

/* The handshake into `at` (GG_CONVERSATION_OPEN_MAX bytes reserved). Returns the bytes used. `segment` and `time_ns` as
 * gg_log_segment and gg_log_time say. */
size_t gg_conversation_open(struct gg_conversation *conversation, uint8_t *at, uint64_t segment, uint64_t time_ns);

/* How much to reserve for a chunk of at most `bytes` (1 to GG_CHUNK_MAX) whatever has to be said with it. */
size_t gg_conversation_chunk_room(const struct gg_conversation *conversation, size_t bytes);
/* The largest chunk whose room is at most `room`; 0 if none. */
size_t gg_conversation_chunk_fit(const struct gg_conversation *conversation, size_t room);

/* What lay worked out for seal; lives on the caller's stack between the two. */
struct gg_chunk_layout {
  uint8_t *at;
  enum gg_direction direction;
  uint64_t segment;
  size_t bytes_max;
  unsigned iov_count;
  size_t comment_length; /* of the first packet; 0: none */
  char comment[GG_COMMENT_MAX];
  struct iovec iov[GG_CHUNK_IOV_MAX]; /* where the payload goes; together bytes_max bytes */
};

void gg_conversation_lay(const struct gg_conversation *conversation, struct gg_chunk_layout *layout,
                         enum gg_direction direction, size_t bytes_max, uint8_t *at, uint64_t segment);

/* Writes everything around the first `bytes` (1 to bytes_max) of payload that are now at their places, and moves the
 * conversation on. Returns the bytes to commit. The iov entries stay valid for sending (the last one used is longer
 * than what came if the read was short: send `bytes` in all). */
size_t gg_conversation_seal(struct gg_conversation *conversation, struct gg_chunk_layout *layout, size_t bytes,
                            uint64_t time_ns);

/* `bytes` of a direction went on without being recorded (on_stall, on_full: gap). The direction's next packet with
 * data, FIN or RST moves the sequence number by them (by 2^30 at the most) and its comment says
 * {"gap":{"bytes":N,"reason":"stall" or "disk-full"}}; if none comes, the closing comment's "gaps" alone tells. Also
 * allowed before open, and not between lay and seal of the same direction. */
void gg_conversation_gap(struct gg_conversation *conversation, enum gg_direction direction, uint64_t bytes,
                         enum gg_gap_reason reason);

/* The direction's FIN/ACK (once each), and, for the first of the two, the other side's ACK; the second one's ACK is
 * left to close. A FIN for which the log had no room may be left out: an orderly close then records it. */
size_t gg_conversation_fin(struct gg_conversation *conversation, enum gg_direction direction, uint8_t *at,
                           uint64_t segment, uint64_t time_ns);

enum gg_closing {
  GG_CLOSING_ORDERLY,      /* both FINs are recorded: the last ACK */
  GG_CLOSING_CLIENT_RESET, /* RST from the client */
  GG_CLOSING_SERVER_RESET, /* RST from the server; also when the gateway itself ends the session */
};
/* The session's last packet(s). The closing comment is the facts again (so "id" is in it), then what `closing_facts`
 * writes (close, received, forwarded, ... but no "id"; docs/format.md lists them), then "gaps" from the conversation's
 * own count if there were any. A conversation that was never opened (gap policy) is opened first, FINs of an orderly
 * close that are not recorded yet (client's first) are recorded before the last ACK. */
size_t gg_conversation_close(struct gg_conversation *conversation, enum gg_closing closing, gg_facts_fn closing_facts,
                             uint8_t *at, uint64_t segment, uint64_t time_ns);

#endif
