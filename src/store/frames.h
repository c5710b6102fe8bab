/* SPDX-License-Identifier: Apache-2.0 */
/**
 * frames.h - the TCP packets of one pcapng file, one after the other, whoever wrote it.
 *
 * A pcapng reader and a packet parser with a file around them: opens it, leaves out what is no TCP, steps over damaged
 * blocks that have an end, names the file in errors, and goes on at a place that an earlier reading found.
 *
 * Thread: one at a time. The file may be growing: what is not complete yet is the end, and later calls go on there.
 */
#ifndef GG_STORE_FRAMES_H
#define GG_STORE_FRAMES_H

#include "record/packet_parse.h"
#include "record/pcapng_reader.h"

struct gg__frame {
  struct gg_pcapng_packet packet;
  struct gg_tcp_packet tcp;
  const char *comment; /* the first that begins as ours do, else the first; NULL: none */
  size_t comment_bytes;
};

/* Sets `comment` from `packet`. */
void gg__frame_comment(struct gg__frame *frame);

struct gg__frames;

enum { GG__FRAME_HELD = 64 };

/* GG_ERR_FORMAT says what the file is instead (classic pcap, compressed, no capture at all). An empty file has no
 * frames. */
int gg__frames_open(struct gg__frames **out, const char *path, struct gg_failure *failure);
/* The same without the claim below: for who reads for himself in the background, and is not to keep anything. */
int gg__frames_open_yielding(struct gg__frames **out, const char *path, struct gg_failure *failure);
void gg__frames_close(struct gg__frames *frames);

/* Whoever reads a file says so by a shared flock(2) on its descriptor: retention passes over what is read. Where it
 * cannot be had (retention was first, or the file system has none), the descriptor keeps the file all the same. */
void gg__frames_claim(int fd);

/* From now on only headers are wanted: of a long packet's payload no more than the first GG__FRAME_HELD bytes can be
 * looked at, the others are not read from the disk; all else that is said of the packet is as it would be. Off: payload
 * is wanted again. GG_ERR_NOMEM. */
int gg__frames_skim(struct gg__frames *frames, bool skim, struct gg_failure *failure);

/* 0: a frame, borrowed until the next call; GG_ERR_AGAIN: the end of what is complete; GG_ERR_CORRUPT, GG_ERR_IO, ...:
 * nothing behind can be read. */
int gg__frames_next(struct gg__frames *frames, struct gg__frame *frame, struct gg_failure *failure);

/* The same of a block that the caller has (gg_pcapng_reader_feed): 0; GG_ERR_NOT_FOUND: it has no TCP packet. */
int gg__frames_feed(struct gg__frames *frames, const struct gg_pcapng_block *block, struct gg__frame *frame,
                    struct gg_failure *failure);

uint64_t gg__frames_offset(const struct gg__frames *frames); /* where the last whole block ended */
bool gg__frames_torn(const struct gg__frames *frames);       /* after GG_ERR_AGAIN: part of a block follows */

/* Damaged blocks that were stepped over, and a sentence about the first; NULL: none. */
const char *gg__frames_damage(const struct gg__frames *frames, uint64_t *blocks);

uint64_t gg__frames_strangers(const struct gg__frames *frames); /* packets that were left out: no TCP that is known */

/* Sections or interfaces stand behind packets: then a jump has to read what it jumps over. */
bool gg__frames_scattered(const struct gg__frames *frames);

/* Goes on at a block's offset in a file just opened; `scattered` as an earlier reading found. GG_ERR_CORRUPT if the
 * file is not what it was. */
int gg__frames_jump(struct gg__frames *frames, uint64_t offset, bool scattered, struct gg_failure *failure);

/* Leaves out what is in front of a later block, which is at `offset`; in a scattered file nothing. After a jump. */
int gg__frames_skip(struct gg__frames *frames, uint64_t offset, struct gg_failure *failure);

#endif
