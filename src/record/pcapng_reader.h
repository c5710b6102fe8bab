/* SPDX-License-Identifier: Apache-2.0 */
/**
 * pcapng_reader.h - reads the blocks and packets of any pcapng file: ours, other programs', growing, torn or damaged.
 *
 *     struct gg_pcapng_reader *reader;
 *     struct gg_pcapng_packet packet;
 *     int error = gg_pcapng_reader_open(&reader, fd, NULL);
 *     while (error == 0 && (error = gg_pcapng_reader_next(reader, &packet, &failure)) == 0)
 *       use(&packet);
 *     // GG_ERR_AGAIN: the end of what is there. Anything else: `failure` says what and where.
 *     gg_pcapng_reader_destroy(reader);
 *
 * Files of any size are read through one buffer (1 MiB, more only for a longer block, GG_PCAPNG_BLOCK_MAX at the most);
 * what a packet points to is in this buffer. Both byte orders, several sections and interfaces, every time resolution,
 * Enhanced, Simple and the obsolete Packet Blocks; other blocks are skipped by `next` and yielded by `next_block`.
 *
 * The end: a file that ends between two blocks, or within one, gives GG_ERR_AGAIN; gg_pcapng_reader_torn tells which,
 * gg_pcapng_reader_offset where the last whole block ended. Call again when the file has grown. A length that leads
 * past the end of the file cannot be told from a torn tail.
 *
 * Damage is GG_ERR_CORRUPT (GG_ERR_FORMAT if the file never was pcapng, GG_ERR_UNSUPPORTED for another version of it).
 * If the lengths of the damaged block agree, the reader stands behind it and the next call goes on; if not, nothing
 * behind it can be trusted and the same error comes again.
 *
 * Thread: one at a time per reader. Several readers may share a descriptor of a regular file.
 */
#ifndef GG_RECORD_PCAPNG_READER_H
#define GG_RECORD_PCAPNG_READER_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gg_pcapng_reader;

enum {
  GG_PCAPNG_INTERFACES_MAX = 65536, /* in one section; more are an error */
  GG_PCAPNG_SKIM_BYTES = 16 << 10,
  GG_PCAPNG_SKIM_HEAD = 512,
};

/* A whole block as it is in the file. Borrowed until the next call. */
struct gg_pcapng_block {
  uint64_t offset;     /* in the file */
  const uint8_t *data; /* from its type to its second length */
  uint32_t bytes;
  uint32_t type;
  bool swapped;      /* its numbers are in the other byte order */
  uint32_t left_out; /* skimming: so many of its bytes are not in `data`, behind those of the packet that are held */
};

struct gg_pcapng_packet {
  struct gg_pcapng_block block;
  uint64_t time_ns;    /* since 1970, UTC; 0 for a Simple Packet Block, which has none */
  const uint8_t *data; /* the packet, from its link layer on */
  uint32_t captured;   /* its bytes here */
  uint32_t held;       /* so many of them are at `data`: all, but of a long packet when skimming */
  uint32_t original;   /* its bytes on the wire */
  uint32_t interface;  /* its number in the section */
  uint16_t link_type;
  uint8_t direction; /* GG_PCAPNG_INBOUND, GG_PCAPNG_OUTBOUND, 0 if it is not said */
  bool has_time;
  uint32_t comment_bytes;
  const char *comment;    /* the first one; no NUL at its end, any bytes; NULL: none */
  const uint8_t *options; /* all of them, for gg_pcapng_option_next */
  uint32_t options_bytes;
};

/* Reads from a descriptor: a regular file from its begin, whatever its position, which is not moved; anything else (a
 * pipe, a socket) as it comes. Borrows `fd`. GG_ERR_NOMEM. */
int gg_pcapng_reader_open(struct gg_pcapng_reader **out, int fd, struct gg_failure *failure);
/* Reads from memory, which has to stay. */
int gg_pcapng_reader_open_memory(struct gg_pcapng_reader **out, const void *data, size_t bytes,
                                 struct gg_failure *failure);
void gg_pcapng_reader_destroy(struct gg_pcapng_reader *reader); /* NULL is fine */

/* The next packet. 0; GG_ERR_AGAIN at the end (`failure` stays as it is); an error as above. */
int gg_pcapng_reader_next(struct gg_pcapng_reader *reader, struct gg_pcapng_packet *out, struct gg_failure *failure);

/* The next block of whatever type; section headers and interfaces are taken note of. Errors as above. */
int gg_pcapng_reader_next_block(struct gg_pcapng_reader *reader, struct gg_pcapng_block *out,
                                struct gg_failure *failure);
/* What a block that next_block gave says as a packet. GG_ERR_NOT_FOUND: it is no packet. */
int gg_pcapng_reader_packet(const struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                            struct gg_pcapng_packet *out, struct gg_failure *failure);

/* Where the last whole block ended. */
uint64_t gg_pcapng_reader_offset(const struct gg_pcapng_reader *reader);
/* After GG_ERR_AGAIN: bytes of an unfinished block follow. */
bool gg_pcapng_reader_torn(const struct gg_pcapng_reader *reader);

/* Goes on at `offset`, where a block of the same section has to begin (its header and interfaces must have been read).
 * GG_ERR_UNSUPPORTED for what is no regular file or memory. */
int gg_pcapng_reader_seek(struct gg_pcapng_reader *reader, uint64_t offset);

/* From now on long packets' bytes are left out (of Enhanced Packet Blocks of GG_PCAPNG_SKIM_BYTES and more, in regular
 * files), but for the first GG_PCAPNG_SKIM_HEAD: for those who count what was said. Of a bulk recording an eighth is
 * read so. Off: what comes next is whole again. GG_ERR_NOMEM. */
int gg_pcapng_reader_skim(struct gg_pcapng_reader *reader, bool skim);

/* Takes a block that the caller has as what follows, instead of reading it: section headers and interfaces are taken
 * note of, and the next reading goes on behind it. GG_ERR_IO: of a regular file only. Other errors as those of
 * next_block. */
int gg_pcapng_reader_feed(struct gg_pcapng_reader *reader, const struct gg_pcapng_block *block,
                          struct gg_failure *failure);

/* Walks over options: 1 and the option; 0 at their end; GG_ERR_CORRUPT if one does not fit. `at` and `left` move on. */
int gg_pcapng_option_next(const uint8_t **at, size_t *left, bool swapped, uint16_t *code, uint16_t *bytes,
                          const uint8_t **value);

#endif
