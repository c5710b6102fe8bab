/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a conversation follows from its history alone: what moves an end on is the first packet of a kind, and
 * that is what a letter stands for. So a part keeps nothing but letters, and the states are gone through when a session
 * is told of:
 *
 *                    SYN                SYN-ACK of the other
 *       INACTIVE ─────────► SYN_SENT ─────────────────────────► ESTABLISHED
 *          │ SYN-ACK of the server, or ACK after it ───────────────► ▲
 *          │ anything else                                           │
 *          └─────────► PARTIAL                       FIN ► CLOSED    │ RST ► RESET, from any of them
 *
 * These are Zeek's states and moves (TCPSessionAdapter.cc), and its rules for a conn_state (conn/main.zeek), told anew.
 * A q does not say whether SYN came with FIN or with RST: it is taken as the former, which port scanners send.
 */
#include "store/history.h"

#include "record/packet.h"

#include <assert.h>
#include <string.h>

/* As the client's are told, by enum gg__letter. */
static const char letters[] = "SHADFRGTWIQ^";

static_assert(sizeof letters - 1 == GG__LETTERS, "each has a letter");
static_assert(2 * GG__FLIPPED + 1 < GG_HISTORY_BYTES, "the longest history, with one ^, and its NUL have room");

void gg__history_mark(struct gg__history *history, int side, enum gg__letter letter)
{
  uint32_t bit = gg__letter_bit(side, letter);
  if (history->seen & bit)
    return;
  history->seen |= bit;
  size_t length = strlen(history->text);
  assert(length + 1 < GG_HISTORY_BYTES && (letter != GG__FLIPPED || (length == 0 && side == 0)));
  history->text[length] = side ? (char)(letters[letter] - 'A' + 'a') : letters[letter];
}

enum gg__letter gg__letter_of(const struct gg_tcp_packet *tcp)
{
  bool ack = (tcp->flags & GG_TCP_ACK) != 0;
  switch (tcp->flags & (GG_TCP_SYN | GG_TCP_FIN | GG_TCP_RST)) {
  case 0:
    return tcp->payload_bytes + tcp->missing_bytes > 0 ? GG__DATA : ack ? GG__ACK : GG__LETTERS;
  case GG_TCP_SYN:
    return ack ? GG__HELLO : GG__SYN;
  case GG_TCP_FIN:
    return GG__FIN;
  case GG_TCP_RST:
    return GG__RST;
  case GG_TCP_FIN | GG_TCP_RST:
  case GG_TCP_FIN | GG_TCP_RST | GG_TCP_SYN:
    return GG__BOTH_ENDS;
  default:
    return GG__SEVERAL;
  }
}

/* Of no interest once the other side sends no more, or after a reset. */
void gg__history_window(struct gg__history *history, int side, const struct gg_tcp_packet *tcp)
{
  uint32_t over = gg__letter_bit(!side, GG__FIN) | gg__letter_bit(side, GG__RST);
  if (!(tcp->flags & GG_TCP_RST) && !(history->seen & over))
    gg__history_mark(history, side, GG__WINDOW);
}

void gg__history_join(char text[GG_HISTORY_BYTES], const char *later)
{
  size_t length = strlen(text);
  for (; *later && length + 1 < GG_HISTORY_BYTES; later++)
    if (!strchr(text, *later)) {
      text[length++] = *later;
      text[length] = '\0';
    }
}

/* ── States ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum state { INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET };

struct ends {
  enum state now[2], before[2]; /* the client's, the server's */
};

static void set(struct ends *ends, int side, enum state state)
{
  if (ends->now[side] == state)
    return;
  ends->before[side] = ends->now[side];
  ends->now[side] = state;
}

/* The first packet of a side. */
static void begin(struct ends *ends, int side, char kind, bool fin, bool rst)
{
  enum state other = ends->now[!side];
  if (kind == 'S' || kind == 'H' || kind == 'Q') {
    if (side == 1 && other == SYN_SENT)
      set(ends, 0, ESTABLISHED);
    set(ends, side, side == 1 ? ESTABLISHED : kind == 'H' ? SYN_ACK_SENT : SYN_SENT);
  }
  if (fin)
    set(ends, side, CLOSED);
  if (rst)
    set(ends, side, RESET);
  if (ends->now[side] != INACTIVE || (side == 1 && kind == 'A' && other == SYN_SENT)) /* an ACK before its SYN */
    return;
  set(ends, side, other == ESTABLISHED ? ESTABLISHED : PARTIAL);
}

static void go_on(struct ends *ends, int side, char kind, bool fin, bool rst)
{
  if (ends->now[side] == PARTIAL && ends->now[!side] == INACTIVE && kind == 'S')
    set(ends, side, SYN_SENT);
  if (fin && !rst) {
    set(ends, side, CLOSED);
    /* The other one's reset came behind its own end: that was an orderly one. */
    if (ends->now[!side] == RESET && ends->before[!side] == CLOSED)
      set(ends, !side, CLOSED);
  }
  if (rst)
    set(ends, side, RESET);
}

static void step(struct ends *ends, int side, char kind)
{
  bool fin = kind == 'F' || kind == 'Q' || kind == 'I', rst = kind == 'R' || kind == 'I';
  switch (ends->now[side]) {
  case INACTIVE:
    begin(ends, side, kind, fin, rst);
    break;
  case SYN_SENT:
  case SYN_ACK_SENT:
  case PARTIAL:
  case ESTABLISHED:
    go_on(ends, side, kind, fin, rst);
    break;
  case CLOSED:
    if (rst && ends->now[!side] != CLOSED)
      set(ends, side, RESET);
    break;
  case RESET:
    break;
  }
}

/* The client's SYN and RST, and nothing else of it between them. */
static bool is_given_up(const char *text)
{
  text += *text == '^';
  return text[0] == 'S' && text[1 + strcspn(text + 1, "HAFGIQR")] == 'R';
}

static const char *reset_by_server(enum state client, bool silent)
{
  if (client == SYN_SENT || client == SYN_ACK_SENT || (client == RESET && silent))
    return "REJ";
  return client == INACTIVE || client == PARTIAL ? "RSTRH" : "RSTR";
}

static const char *name(enum state client, enum state server, const char *text, bool silent)
{
  bool no_client = client == INACTIVE || client == PARTIAL, no_server = server == INACTIVE || server == PARTIAL;
  if (server == RESET)
    return reset_by_server(client, silent);
  if (client == RESET)
    return !no_server ? "RSTO" : is_given_up(text) ? "RSTOS0" : "OTH";
  if (client == CLOSED && server == CLOSED)
    return "SF";
  if (client == CLOSED)
    return no_server ? "SH" : "S2";
  if (server == CLOSED)
    return no_client ? "SHR" : "S3";
  if (client == SYN_SENT && server == INACTIVE)
    return "S0";
  return client == ESTABLISHED && server == ESTABLISHED ? "S1" : "OTH";
}

void gg__history_state(const char *text, bool silent, char state[GG_CONN_STATE_BYTES])
{
  struct ends ends = {0};
  for (const char *at = text; *at; at++) {
    bool server = *at >= 'a' && *at <= 'z';
    char kind = server ? (char)(*at - 'a' + 'A') : *at;
    if (kind != 'G' && kind != 'T' && kind != 'W' && kind != '^') /* they say more of a packet that has its letter */
      step(&ends, server, kind);
  }
  const char *found = name(ends.now[0], ends.now[1], text, silent);
  memcpy(state, found, strlen(found) + 1);
}
