/* SPDX-License-Identifier: Apache-2.0 */
/**
 * history.h - what happened in a TCP conversation, in the words of Zeek's conn.log: `history`, and `conn_state`.
 *
 * A history has a letter for each kind of packet, in the order in which the kinds were first seen; upper case is the
 * client's:
 *
 *   s SYN          d data       t sent again (or late)     w window of zero     q SYN with FIN or RST
 *   h SYN and ACK  f FIN        g bytes are missing        i FIN with RST       ^ (in front) the server spoke first,
 *   a ACK alone    r RST                                                          and was told by its port or SYN-ACK
 *
 * Each letter stands at most once for each side, so that histories of a session's parts can be put together, and the
 * longest one has room. Zeek repeats s, h, f and r where the sequence number is another one, and c, g, t and w the
 * 10th time, the 100th and so on; c (a wrong checksum) is not looked for.
 *
 * Private to src/store. Pure functions on the caller's state.
 */
#ifndef GG_STORE_HISTORY_H
#define GG_STORE_HISTORY_H

#include "record/packet_parse.h"

#include <stdbool.h>
#include <stdint.h>

enum { GG_HISTORY_BYTES = 24, GG_CONN_STATE_BYTES = 8 };

/* The letters, in the order of their bits. */
enum gg__letter {
  GG__SYN,
  GG__HELLO,
  GG__ACK,
  GG__DATA,
  GG__FIN,
  GG__RST,
  GG__GAP,
  GG__TWICE,
  GG__WINDOW,
  GG__BOTH_ENDS,
  GG__SEVERAL,
  GG__FLIPPED,
  GG__LETTERS
};

struct gg__history {
  char text[GG_HISTORY_BYTES];
  uint32_t seen; /* a bit for each letter in it: gg__letter_bit */
};

static inline uint32_t gg__letter_bit(int side, enum gg__letter letter)
{
  return 1u << ((unsigned)letter + (side ? 16u : 0u));
}

/* Adds a letter, if it is not there; side 0: the client's. GG__FLIPPED comes before all others, and of side 0. */
void gg__history_mark(struct gg__history *history, int side, enum gg__letter letter);

/* What a packet is, told by its flags; GG__LETTERS: nothing that has a letter. */
enum gg__letter gg__letter_of(const struct gg_tcp_packet *tcp);

/* Its window is zero. */
void gg__history_window(struct gg__history *history, int side, const struct gg_tcp_packet *tcp);

/* The packet's own letter, and what its window says. Nearly always that is known: a scan has many packets. */
static inline void gg__history_packet(struct gg__history *history, int side, const struct gg_tcp_packet *tcp)
{
  enum gg__letter letter = gg__letter_of(tcp);
  if (__builtin_expect(letter != GG__LETTERS && !(history->seen & gg__letter_bit(side, letter)), 0))
    gg__history_mark(history, side, letter);
  if (__builtin_expect(tcp->window == 0, 0))
    gg__history_window(history, side, tcp);
}

/* Adds what a later part of the session has. */
void gg__history_join(char text[GG_HISTORY_BYTES], const char *later);

/* S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, RSTRH, SH, SHR or OTH. `silent`: no byte was said by either side. */
void gg__history_state(const char *text, bool silent, char state[GG_CONN_STATE_BYTES]);

#endif
