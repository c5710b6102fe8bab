/* SPDX-License-Identifier: Apache-2.0 */
/* SSH seen in passing (RFC 4253): what is plain, and then sizes and times.
 *
 *     a side:   LINES ──► banner ──► PACKETS ──► packet, packet, ... ──► NEWKEYS ──► ENCRYPTED
 *               (of a server:            │                                           │
 *                text in front of it)    └── KEXINIT, key exchange, disconnect ...   └── bursts
 *
 * Both offers are kept until both are there: what is chosen of them is told with the second one. A guessed packet
 * (7.1) is told as such; whether the guess is right, as soon as that is known.
 *
 * Behind NEWKEYS nothing is understood, in some ciphers not even where a packet ends (in the others, packets are
 * counted). What is seen are pieces: bytes of a side that came at one time, whatever they were cut into. Pieces are
 * told together as one message: as long as only that side speaks, and without a pause of BURST_PAUSE_NS. So each key
 * that somebody types is a message, and so is each answer. When both sides have ended, a last message says what that
 * looks like: an estimate (ssh_estimate.c), and called so.
 *
 * Plain packets are no longer than an offer; one that a window has no room for ends the side, and so does a gap in what
 * is plain. A gap in what is encrypted is only a hole. SSH 1 is recognized by its banner, and not decoded. */
#include "proto/ssh.h"
#include "proto/decoders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint64_t BURST_PAUSE_NS = 500000000;

enum {
  LINES_MAX = 1024,      /* in front of a server's banner ... */
  LINE_BYTES_MAX = 8192, /* ... each of so many bytes: as OpenSSH's client has it */
  BANNER_BYTES_MAX = 255,
  PACKET_HEADER = 5, /* its length, and that of the padding */
  PACKET_MAX = GG_DECODING_WINDOW_MAX - 1,
  PADDING_MIN = 4,
  BLOCK_BYTES = 8,
  ENCRYPTED_PACKET_MAX = 256 << 10, /* as OpenSSH has it */
};

enum number {
  DISCONNECT = 1,
  IGNORE = 2,
  UNIMPLEMENTED = 3,
  DEBUG = 4,
  EXT_INFO = 7,
  KEXINIT = 20,
  NEWKEYS = 21,
  KEX_FIRST = 30,
  KEX_LAST = 49,
};

enum kind {
  KIND_LINE,
  KIND_BANNER,
  KIND_KEXINIT,
  KIND_KEY_EXCHANGE,
  KIND_NEWKEYS,
  KIND_DISCONNECT,
  KIND_PACKET,
  KIND_ENCRYPTED,
  KIND_ESTIMATE,
};
static const char *const kinds[] = {
  [KIND_LINE] = "line",         [KIND_BANNER] = "banner",
  [KIND_KEXINIT] = "kexinit",   [KIND_KEY_EXCHANGE] = "key-exchange",
  [KIND_NEWKEYS] = "newkeys",   [KIND_DISCONNECT] = "disconnect",
  [KIND_PACKET] = "packet",     [KIND_ENCRYPTED] = "encrypted",
  [KIND_ESTIMATE] = "estimate", NULL,
};

const struct gg_decoder_field gg__ssh_fields[] = {
  [GG__SSH_CLIENT] = {"ssh.client", GG_FIELD_TEXT, true, "software of the client, as its banner says",
                      "ssh.client=OpenSSH_9*"},
  [GG__SSH_SERVER] = {"ssh.server", GG_FIELD_TEXT, true, "software of the server, as its banner says",
                      "ssh.server=OpenSSH_9*"},
  [GG__SSH_HASSH] = {"ssh.hassh", GG_FIELD_TEXT, true, "HASSH fingerprint of the client's offers",
                     "ssh.hassh=8a8ae540*"},
  [GG__SSH_HASSH_SERVER] = {"ssh.hassh_server", GG_FIELD_TEXT, true, "HASSH fingerprint of the server's offers",
                            "ssh.hassh_server=b1c6c0d5*"},
  [GG__SSH_KEX] = {"ssh.kex", GG_FIELD_TEXT, true, "method of key exchange that comes of both sides' offers",
                   "ssh.kex=curve25519-sha256"},
  [GG__SSH_CIPHER] = {"ssh.cipher", GG_FIELD_TEXT, true, "cipher that comes of both sides' offers",
                      "ssh.cipher=aes256-ctr"},
  [GG__SSH_KEYSTROKES] = {"ssh.keystrokes", GG_FIELD_NUMBER, true,
                          "how many keys were pressed: an estimate by sizes and times of encrypted bytes",
                          "ssh.keystrokes=100.."},
  [GG__SSH_VERSION] = {"ssh.version", GG_FIELD_TEXT, false, "version of the protocol in a banner", NULL},
  [GG__SSH_COMMENT] = {"ssh.comment", GG_FIELD_TEXT, false, "comment in a banner", NULL},
  [GG__SSH_TEXT] = {"ssh.text", GG_FIELD_TEXT, false, "a line in front of the banner; what a disconnect says", NULL},
  [GG__SSH_OFFER] = {"ssh.offer", GG_FIELD_TEXT, false, "list of algorithms that are offered", NULL},
  [GG__SSH_KEY_ALGORITHM] = {"ssh.key_algorithm", GG_FIELD_TEXT, false, "chosen algorithm of the host's key", NULL},
  [GG__SSH_MAC] = {"ssh.mac", GG_FIELD_TEXT, false, "chosen MAC, if the cipher needs one", NULL},
  [GG__SSH_COMPRESSION] = {"ssh.compression", GG_FIELD_TEXT, false, "chosen compression", NULL},
  [GG__SSH_GUESS] = {"ssh.guess", GG_FIELD_TEXT, false,
                     "a packet that was sent before the exchange was agreed upon: right, wrong, open", NULL},
  [GG__SSH_HOST_KEY] = {"ssh.host_key", GG_FIELD_TEXT, false, "type of the host's key", NULL},
  [GG__SSH_FINGERPRINT] = {"ssh.fingerprint", GG_FIELD_TEXT, false, "fingerprint of the host's key", NULL},
  [GG__SSH_REASON] = {"ssh.reason", GG_FIELD_NUMBER, false, "code of a disconnect", NULL},
  [GG__SSH_BYTES] = {"ssh.bytes", GG_FIELD_NUMBER, false, "encrypted bytes", NULL},
  [GG__SSH_PIECES] = {"ssh.pieces", GG_FIELD_NUMBER, false, "in how many pieces they came", NULL},
  [GG__SSH_PACKETS] = {"ssh.packets", GG_FIELD_NUMBER, false,
                       "how many encrypted packets began, where the cipher leaves their lengths plain", NULL},
  [GG__SSH_ESTIMATE] = {"ssh.estimate", GG_FIELD_TEXT, false,
                        "what encrypted bytes look like: typed, bulk-sent, bulk-received", NULL},
  [GG__SSH_BULK_SENT] = {"ssh.bulk_sent", GG_FIELD_NUMBER, false, "bytes that the client sent in bulk: an estimate",
                         NULL},
  [GG__SSH_BULK_RECEIVED] = {"ssh.bulk_received", GG_FIELD_NUMBER, false,
                             "bytes that the server sent in bulk: an estimate", NULL},
  [GG__SSH_ODD] = {"ssh.odd", GG_FIELD_TEXT, false, "what is not as the specification has it", NULL},
  {NULL, GG_FIELD_TEXT, false, NULL, NULL},
};

enum phase { LINES, PACKETS, ENCRYPTED };

struct half {
  enum phase phase;
  size_t lines;
  bool ended;
  bool has_offer;
  bool guesses;     /* the next packet of the key exchange is a guess */
  uint8_t *offered; /* the offer's bytes, while the other side's are not there */
  size_t offered_length;

  struct gg_draft *burst; /* NULL: none */
  uint64_t burst_bytes, burst_pieces, burst_end;
  uint64_t piece_bytes, piece_ns; /* of the piece that is coming; 0 bytes: none is */

  bool counts; /* lengths of encrypted packets are plain, and none was lost */
  uint8_t length[4];
  size_t length_have, packet_left;
  uint64_t burst_packets; /* that have begun in it */
};

enum guess { GUESS_OPEN, GUESS_RIGHT, GUESS_WRONG };

struct state {
  struct half halves[2];
  struct gg__ssh_agreement agreement;
  enum guess guess;
  uint64_t request; /* number of the client's last message of the exchange; 0: it is answered */
  struct gg__ssh_estimate estimate;
};

static enum gg_side other(enum gg_side side)
{
  return side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
}

void gg__ssh_word(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__ssh_field of, const char *word)
{
  struct gg_field field = {.of = &gg__ssh_fields[of], .value = (const uint8_t *)word, .length = strlen(word)};
  gg_decoded_field(decoding, draft, &field);
}

void gg__ssh_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what)
{
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_ODD;
  gg__ssh_word(decoding, draft, GG__SSH_ODD, what);
}

static void text_at(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__ssh_field of, const uint8_t *text,
                    size_t length, uint64_t offset)
{
  gg_decoded_text(decoding, draft, &gg__ssh_fields[of], text, length, offset);
}

static void fail(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text)
{
  gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, side, offset, true, text);
}

/* ── What is encrypted ───────────────────────────────────────────────────────────────────────────────────────────── */

static void end_piece(struct state *state, struct half *half, enum gg_side side)
{
  if (half->piece_bytes)
    gg__ssh_estimate_piece(&state->estimate, side, half->piece_ns, half->piece_bytes);
  half->piece_bytes = 0;
}

static void end_burst(struct state *state, struct gg_decoding *decoding, enum gg_side side)
{
  struct half *half = &state->halves[side];
  end_piece(state, half, side);
  if (!half->burst)
    return;
  gg_decoded_number(decoding, half->burst, &gg__ssh_fields[GG__SSH_BYTES], half->burst_bytes);
  gg_decoded_number(decoding, half->burst, &gg__ssh_fields[GG__SSH_PIECES], half->burst_pieces);
  if (half->counts)
    gg_decoded_number(decoding, half->burst, &gg__ssh_fields[GG__SSH_PACKETS], half->burst_packets);
  gg_decoded_summary(decoding, half->burst, "encrypted: %" PRIu64 " bytes in %" PRIu64 " piece%s", half->burst_bytes,
                     half->burst_pieces, half->burst_pieces == 1 ? "" : "s");
  gg_decoded_end(decoding, half->burst, half->burst_end);
  half->burst = NULL;
}

/* A side has said something: the other one's burst is over. */
static void take_turn(struct state *state, struct gg_decoding *decoding, enum gg_side side)
{
  if (!gg_decoded_stopped(decoding, other(side)))
    end_burst(state, decoding, other(side));
}

/* Where the lengths of packets are plain, how many there are. After a key exchange of which nothing is seen they may be
 * no more: what cannot be a length ends the counting. */
static void count_packets(struct half *half, size_t seal_bytes, const uint8_t *data, size_t length)
{
  for (size_t done = 0; half->counts && done < length;) {
    if (half->packet_left) {
      size_t step = half->packet_left < length - done ? half->packet_left : length - done;
      half->packet_left -= step;
      done += step;
      continue;
    }
    half->burst_packets += half->length_have == 0;
    half->length[half->length_have++] = data[done++];
    if (half->length_have < sizeof half->length)
      continue;
    struct gg__reader reader = gg__reader_of(half->length, sizeof half->length);
    size_t packet = gg__read_number(&reader, sizeof half->length);
    half->counts = packet >= BLOCK_BYTES && packet <= ENCRYPTED_PACKET_MAX && packet % BLOCK_BYTES == 0;
    half->packet_left = packet + seal_bytes;
    half->length_have = 0;
  }
}

/* Bytes that came at one time. */
static void take_bytes(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                       const uint8_t *data, size_t length, uint64_t time_ns)
{
  struct half *half = &state->halves[side];
  take_turn(state, decoding, side);
  if (half->burst && time_ns > half->piece_ns + BURST_PAUSE_NS)
    end_burst(state, decoding, side);
  if (half->piece_bytes && half->piece_ns != time_ns)
    end_piece(state, half, side);
  if (!half->burst) {
    half->burst = gg_decoded_begin(decoding, side, KIND_ENCRYPTED, offset);
    half->burst_bytes = half->burst_pieces = half->burst_packets = 0;
  }
  half->burst_pieces += half->piece_bytes == 0;
  half->burst_bytes += length;
  half->burst_end = offset + length;
  half->piece_bytes += length;
  half->piece_ns = time_ns;
  count_packets(half, state->agreement.seal_bytes[side], data, length);
}

/* How many of the bytes came together with the first one. */
static size_t at_one_time(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, size_t length,
                          uint64_t time_ns)
{
  size_t low = 0, high = length; /* byte `low` did; byte `high` did not, if it is there */
  while (high - low > 1) {
    size_t middle = high == length ? length - 1 : low + (high - low) / 2;
    if (gg_decoded_time(decoding, side, offset + middle) == time_ns)
      low = middle;
    else
      high = middle;
  }
  return high;
}

static size_t take_encrypted(struct state *state, struct gg_decoding *decoding, const struct gg_window *window,
                             size_t at)
{
  uint64_t offset = window->offset + at, time_ns = gg_decoded_time(decoding, window->side, offset);
  size_t length = at_one_time(decoding, window->side, offset, window->length - at, time_ns);
  gg_decoded_encrypted(decoding, window->side, offset, "by SSH; only sizes and times follow");
  take_bytes(state, decoding, window->side, offset, window->data + at, length, time_ns);
  return length;
}

/* ── Banners ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "SSH-2.0-OpenSSH_9.2p1 Debian-2", without its end. */
static void take_banner(struct state *state, struct gg_decoding *decoding, enum gg_side side, struct gg_draft *draft,
                        const uint8_t *line, size_t length, uint64_t offset, uint64_t end)
{
  const uint8_t *version = line + 4;
  const uint8_t *dash = memchr(version, '-', length - 4);
  size_t version_length = dash ? (size_t)(dash - version) : length - 4;
  text_at(decoding, draft, GG__SSH_VERSION, version, version_length, offset + 4);
  if (dash) {
    const uint8_t *software = dash + 1;
    size_t left = length - (size_t)(software - line);
    const uint8_t *blank = memchr(software, ' ', left);
    size_t software_length = blank ? (size_t)(blank - software) : left;
    text_at(decoding, draft, side == GG_SIDE_CLIENT ? GG__SSH_CLIENT : GG__SSH_SERVER, software, software_length,
            offset + (uint64_t)(software - line));
    if (blank)
      text_at(decoding, draft, GG__SSH_COMMENT, blank + 1, left - software_length - 1,
              offset + (uint64_t)(blank + 1 - line));
  } else {
    gg__ssh_odd(decoding, draft, "no-software");
  }
  if (memchr(line, '\0', length))
    gg__ssh_odd(decoding, draft, "zero-in-banner");
  gg_decoded_summary_bytes(decoding, draft, line, length);
  gg_decoded_end(decoding, draft, end);
  state->halves[side].phase = PACKETS;
  bool known =
    (version_length == 3 && memcmp(version, "2.0", 3) == 0) || (version_length == 4 && memcmp(version, "1.99", 4) == 0);
  if (!known)
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, side, end, false, "a version of SSH that is not decoded");
}

/* A line: the banner, or text of a server in front of it. */
static size_t take_line(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  struct half *half = &state->halves[window->side];
  const uint8_t *line = window->data + at;
  size_t available = window->length - at, seen = window->seen > at ? window->seen - at : 0;
  uint64_t offset = window->offset + at;
  const uint8_t *newline = seen < available ? memchr(line + seen, '\n', available - seen) : NULL;
  size_t whole = newline ? (size_t)(newline - line) + 1 : available;
  if (whole > LINE_BYTES_MAX || half->lines == LINES_MAX) {
    fail(decoding, window->side, offset,
         whole > LINE_BYTES_MAX ? "a line of more than 8192 bytes before the banner"
                                : "more than 1024 lines before the banner");
    return 0;
  }
  if (!newline)
    return 0;
  size_t length = whole - 1;
  bool bare = length == 0 || line[length - 1] != '\r';
  length -= bare ? 0 : 1;
  bool banner = length >= 4 && memcmp(line, "SSH-", 4) == 0;
  if (!banner && window->side == GG_SIDE_CLIENT) {
    fail(decoding, window->side, offset, "what should be the banner is none");
    return 0;
  }
  half->lines++;
  take_turn(state, decoding, window->side);
  struct gg_draft *draft = gg_decoded_begin(decoding, window->side, banner ? KIND_BANNER : KIND_LINE, offset);
  gg_decoded_message(decoding, draft)->flags |= banner ? GG_MESSAGE_CONTROL : 0;
  if (banner && bare)
    gg__ssh_odd(decoding, draft, "bare-line-feed");
  if (banner && whole > BANNER_BYTES_MAX)
    gg__ssh_odd(decoding, draft, "long-banner");
  if (banner) {
    take_banner(state, decoding, window->side, draft, line, length, offset, offset + whole);
    return whole;
  }
  text_at(decoding, draft, GG__SSH_TEXT, line, length, offset);
  gg_decoded_summary_bytes(decoding, draft, line, length);
  gg_decoded_end(decoding, draft, offset + whole);
  return whole;
}

/* ── Packets ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *guess_name(enum guess guess)
{
  return guess == GUESS_RIGHT ? "right" : guess == GUESS_WRONG ? "wrong" : "open";
}

/* Both offers are there: what comes of them. */
static void take_both_offers(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft,
                             enum gg_side side, const struct gg__ssh_offer *offer)
{
  struct half *first = &state->halves[other(side)];
  struct gg__ssh_offer earlier;
  if (!gg__ssh_offer(&earlier, gg__reader_of(first->offered, first->offered_length)))
    return;
  const struct gg__ssh_offer *client = side == GG_SIDE_CLIENT ? offer : &earlier;
  const struct gg__ssh_offer *server = side == GG_SIDE_CLIENT ? &earlier : offer;
  gg__ssh_tell_chosen(decoding, draft, client, server, &state->agreement);
  state->guess = gg__ssh_guess_is_right(client, server) ? GUESS_RIGHT : GUESS_WRONG;
  if (client->guesses || server->guesses)
    gg__ssh_word(decoding, draft, GG__SSH_GUESS, guess_name(state->guess));
  first->offered = gg_decoded_alloc(decoding, first->offered, 0);
}

static void take_kexinit(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, enum gg_side side,
                         struct gg__reader payload, uint64_t offset)
{
  struct half *half = &state->halves[side];
  struct gg__ssh_offer offer;
  if (half->has_offer || !gg__ssh_offer(&offer, payload)) {
    gg__ssh_odd(decoding, draft, half->has_offer ? "second-kexinit" : "bad-kexinit");
    return;
  }
  half->has_offer = true;
  half->guesses = offer.guesses;
  gg__ssh_tell_offer(decoding, draft, side, &offer, payload.at, offset);
  if (state->halves[other(side)].has_offer) {
    take_both_offers(state, decoding, draft, side, &offer);
    return;
  }
  half->offered = gg_decoded_alloc(decoding, NULL, payload.left);
  if (!half->offered)
    return;
  memcpy(half->offered, payload.at, payload.left);
  half->offered_length = payload.left;
}

/* What messages 30 to 34 are called depends on the method. */
static const char *exchange_name(enum gg__ssh_exchange exchange, unsigned number)
{
  static const char *const plain[] = {"begin", "answer"};
  static const char *const group[] = {"request of a group, as of old", "group", "begin", "answer",
                                      "request of a group"};
  if (exchange == GG__SSH_EXCHANGE_PLAIN && number - KEX_FIRST < sizeof plain / sizeof *plain)
    return plain[number - KEX_FIRST];
  if (exchange == GG__SSH_EXCHANGE_GROUP && number - KEX_FIRST < sizeof group / sizeof *group)
    return group[number - KEX_FIRST];
  return "message";
}

static void take_key_exchange(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft,
                              enum gg_side side, unsigned number, struct gg__reader payload)
{
  struct half *half = &state->halves[side];
  struct gg_message *message = gg_decoded_message(decoding, draft);
  bool guessed = half->guesses;
  half->guesses = false;
  gg_decoded_summary(decoding, draft, "key exchange: %s (%u)", exchange_name(state->agreement.exchange, number),
                     number);
  if (guessed)
    gg__ssh_word(decoding, draft, GG__SSH_GUESS, guess_name(state->guess));
  if (guessed && state->guess == GUESS_WRONG)
    return; /* the other side takes no notice of it */
  if (side == GG_SIDE_CLIENT) {
    message->flags |= GG_MESSAGE_REQUEST;
    state->request = message->number;
    return;
  }
  message->answers = state->request;
  message->flags |= state->request ? GG_MESSAGE_COMPLETES : 0;
  state->request = 0;
  if ((state->agreement.exchange == GG__SSH_EXCHANGE_PLAIN && number == 31) ||
      (state->agreement.exchange == GG__SSH_EXCHANGE_GROUP && number == 33))
    gg__ssh_tell_host_key(decoding, draft, payload);
}

/* RFC 4253, 11.1. */
static void take_disconnect(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader payload,
                            const uint8_t *packet, uint64_t offset)
{
  uint32_t reason = gg__read_number(&payload, 4);
  struct gg__reader text = gg__read_vector(&payload, 4);
  if (payload.failed) {
    gg__ssh_odd(decoding, draft, "bad-disconnect");
    return;
  }
  gg_decoded_number(decoding, draft, &gg__ssh_fields[GG__SSH_REASON], reason);
  text_at(decoding, draft, GG__SSH_TEXT, text.at, text.left, offset + (uint64_t)(text.at - packet));
  gg_decoded_summary(decoding, draft, "disconnect, reason %" PRIu32 ": %.*s", reason,
                     (int)(text.left < 200 ? text.left : 200), (const char *)text.at);
}

static const char *packet_name(unsigned number)
{
  switch (number) {
  case IGNORE:
    return "ignore";
  case UNIMPLEMENTED:
    return "unimplemented";
  case DEBUG:
    return "debug";
  case EXT_INFO:
    return "extensions";
  default:
    return NULL;
  }
}

static unsigned kind_of(unsigned number)
{
  return number == KEXINIT                           ? KIND_KEXINIT
         : number == NEWKEYS                         ? KIND_NEWKEYS
         : number == DISCONNECT                      ? KIND_DISCONNECT
         : number >= KEX_FIRST && number <= KEX_LAST ? KIND_KEY_EXCHANGE
                                                     : KIND_PACKET;
}

/* A packet that is there as a whole: `payload` begins with its number. */
static void take_payload(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, enum gg_side side,
                         struct gg__reader payload, const uint8_t *packet, uint64_t offset)
{
  unsigned number = gg__read_number(&payload, 1);
  uint64_t at = offset + (uint64_t)(payload.at - packet);
  if (number == KEXINIT) {
    take_kexinit(state, decoding, draft, side, payload, at);
  } else if (number == NEWKEYS) {
    gg_decoded_summary(decoding, draft, "new keys: what follows is encrypted");
    state->halves[side].phase = ENCRYPTED;
    state->halves[side].counts = state->agreement.seal_bytes[side] > 0;
  } else if (number >= KEX_FIRST && number <= KEX_LAST) {
    take_key_exchange(state, decoding, draft, side, number, payload);
  } else if (number == DISCONNECT) {
    take_disconnect(decoding, draft, payload, packet, offset);
  } else {
    const char *name = packet_name(number);
    if (!name)
      gg__ssh_odd(decoding, draft, "plain");
    gg_decoded_summary(decoding, draft, "%s (message %u)", name ? name : "a packet that should be encrypted", number);
  }
}

/* One packet (RFC 4253, 6). 0: more bytes are needed. */
static size_t take_packet(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  const uint8_t *packet = window->data + at;
  size_t available = window->length - at;
  uint64_t offset = window->offset + at;
  if (available < PACKET_HEADER)
    return 0;
  struct gg__reader reader = gg__reader_of(packet, available);
  size_t length = gg__read_number(&reader, 4), padding = gg__read_number(&reader, 1);
  if (length < padding + 2 || length > PACKET_MAX - 4) {
    fail(decoding, window->side, offset, "what should be a packet is none");
    return 0;
  }
  if (available - 4 < length)
    return 0;
  size_t whole = length + 4;
  take_turn(state, decoding, window->side);
  struct gg_draft *draft = gg_decoded_begin(decoding, window->side, kind_of(packet[PACKET_HEADER]), offset);
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_CONTROL;
  if (padding < PADDING_MIN || whole % BLOCK_BYTES != 0)
    gg__ssh_odd(decoding, draft, padding < PADDING_MIN ? "short-padding" : "no-whole-blocks");
  struct gg__reader payload = gg__reader_of(reader.at, length - 1 - padding);
  take_payload(state, decoding, draft, window->side, payload, packet, offset);
  gg_decoded_end(decoding, draft, offset + whole);
  return whole;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  struct half *half = &state->halves[window->side];
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, window->side)) {
    size_t taken = half->phase == LINES     ? take_line(state, decoding, window, done)
                   : half->phase == PACKETS ? take_packet(state, decoding, window, done)
                                            : take_encrypted(state, decoding, window, done);
    done += taken;
    if (taken == 0)
      break;
  }
  return done;
}

static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct state *state = self;
  struct half *half = &state->halves[side];
  if (half->phase != ENCRYPTED) {
    gg_decoded_opaque(decoding, GG_OPAQUE_GAP, side, offset, true, "bytes are missing before what is encrypted");
    return true;
  }
  if (half->burst) {
    gg_decoded_message(decoding, half->burst)->flags |= GG_MESSAGE_GAP;
    half->burst_end = offset + length;
  }
  half->counts = false;
  end_burst(state, decoding, side);
  return true;
}

/* When both have ended, what it looked like, if there was anything encrypted to look at. */
static void end(void *self, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset)
{
  (void)orderly;
  struct state *state = self;
  struct half *half = &state->halves[side], *others = &state->halves[other(side)];
  end_burst(state, decoding, side);
  half->ended = true;
  bool last = others->ended || gg_decoded_stopped(decoding, other(side));
  if (!last || (half->phase != ENCRYPTED && others->phase != ENCRYPTED))
    return;
  struct gg_draft *draft = gg_decoded_begin(decoding, side, KIND_ESTIMATE, end_offset);
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_CONTROL;
  gg__ssh_estimate_tell(&state->estimate, decoding, draft);
  gg_decoded_end(decoding, draft, end_offset);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

static enum gg_likeness like_banner(const uint8_t *data, size_t length)
{
  static const char begin[] = "SSH-";
  size_t known = length < sizeof begin - 1 ? length : sizeof begin - 1;
  if (known == 0 || memcmp(data, begin, known) != 0)
    return GG_LIKENESS_NONE;
  if ((length > 4 && data[4] != '1' && data[4] != '2') || (length > 5 && data[5] != '.'))
    return GG_LIKENESS_NONE;
  return length > 5 ? GG_LIKENESS_CERTAIN : GG_LIKENESS_OPEN;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  enum gg_likeness client = like_banner(opening->data[0], opening->length[0]);
  enum gg_likeness server = like_banner(opening->data[1], opening->length[1]);
  return client > server ? client : server;
}

const struct gg_decoder gg__decoder_ssh = {
  GG_DECODER_HEAD,
  .name = "ssh",
  .protocol = "ssh",
  .title = "SSH 2.0, seen in passing (RFC 4253)",
  .kinds = kinds,
  .fields = gg__ssh_fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
  .end = end,
};
