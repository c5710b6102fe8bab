/* SPDX-License-Identifier: Apache-2.0 */
/**
 * ssh.h - what the files of the SSH decoder share.
 *
 *     ssh.c           banners, packets before encryption, what is encrypted
 *     ssh_kex.c       what both sides offer and what comes of it, HASSH, host keys
 *     ssh_estimate.c  what sizes and times of encrypted bytes look like
 */
#ifndef GG_PROTO_SSH_H
#define GG_PROTO_SSH_H

#include <gogetway/decoder.h>

#include "proto/reader.h"

enum gg__ssh_field {
  GG__SSH_CLIENT,
  GG__SSH_SERVER,
  GG__SSH_HASSH,
  GG__SSH_HASSH_SERVER,
  GG__SSH_KEX,
  GG__SSH_CIPHER,
  GG__SSH_KEYSTROKES,
  GG__SSH_VERSION,
  GG__SSH_COMMENT,
  GG__SSH_TEXT,
  GG__SSH_OFFER,
  GG__SSH_KEY_ALGORITHM,
  GG__SSH_MAC,
  GG__SSH_COMPRESSION,
  GG__SSH_GUESS,
  GG__SSH_HOST_KEY,
  GG__SSH_FINGERPRINT,
  GG__SSH_REASON,
  GG__SSH_BYTES,
  GG__SSH_PIECES,
  GG__SSH_PACKETS,
  GG__SSH_ESTIMATE,
  GG__SSH_BULK_SENT,
  GG__SSH_BULK_RECEIVED,
  GG__SSH_ODD,
};
extern const struct gg_decoder_field gg__ssh_fields[];

void gg__ssh_word(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__ssh_field of, const char *word);
/* What is not as it should be: "short-padding". */
void gg__ssh_odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what);

/* ── ssh_kex.c ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The lists of a KEXINIT, in its order (RFC 4253, 7.1). */
enum gg__ssh_list {
  GG__SSH_LIST_KEX,
  GG__SSH_LIST_KEY,
  GG__SSH_LIST_CIPHER_TO_SERVER,
  GG__SSH_LIST_CIPHER_TO_CLIENT,
  GG__SSH_LIST_MAC_TO_SERVER,
  GG__SSH_LIST_MAC_TO_CLIENT,
  GG__SSH_LIST_COMPRESSION_TO_SERVER,
  GG__SSH_LIST_COMPRESSION_TO_CLIENT,
  GG__SSH_LIST_LANGUAGE_TO_SERVER,
  GG__SSH_LIST_LANGUAGE_TO_CLIENT,
  GG__SSH_LISTS,
};

/* The readers are of the message's bytes. */
struct gg__ssh_offer {
  struct gg__reader lists[GG__SSH_LISTS];
  bool guesses; /* a packet follows that takes its first algorithms for chosen */
};

/* A name of a list. */
struct gg__ssh_name {
  const char *text;
  size_t length; /* 0: there is none */
};

/* Which kind of exchange a method is: what its messages are called. */
enum gg__ssh_exchange { GG__SSH_EXCHANGE_UNKNOWN, GG__SSH_EXCHANGE_PLAIN, GG__SSH_EXCHANGE_GROUP };

/* What comes of both offers, as far as the decoder has to know. */
struct gg__ssh_agreement {
  enum gg__ssh_exchange exchange;
  size_t seal_bytes[2]; /* behind each encrypted packet, by the side that sends it; 0: its length is encrypted, too */
};

/* `payload`: behind the message's number, `offset` in its side's stream. False: it is none. */
bool gg__ssh_offer(struct gg__ssh_offer *offer, struct gg__reader payload);
void gg__ssh_tell_offer(struct gg_decoding *decoding, struct gg_draft *draft, enum gg_side side,
                        const struct gg__ssh_offer *offer, const uint8_t *payload, uint64_t offset);
/* What comes of both, as the RFC has it. */
struct gg__ssh_name gg__ssh_chosen(const struct gg__ssh_offer *client, const struct gg__ssh_offer *server,
                                   enum gg__ssh_list list);
void gg__ssh_tell_chosen(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__ssh_offer *client,
                         const struct gg__ssh_offer *server, struct gg__ssh_agreement *agreement);
/* Whether the first names of both are the same, so that a packet which was sent for them counts. */
bool gg__ssh_guess_is_right(const struct gg__ssh_offer *client, const struct gg__ssh_offer *server);
/* The host's key in the answer to a key exchange. */
void gg__ssh_tell_host_key(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader payload);

/* ── ssh_estimate.c ──────────────────────────────────────────────────────────────────────────────────────────────── */

enum {
  GG__SSH_KEY_BYTES_MAX = 96, /* of a piece in which a client sends one key */
  GG__SSH_KEYS_WAITING = 16,  /* pieces of a client that the server has not answered */
};

struct gg__ssh_estimate {
  uint32_t echoed[GG__SSH_KEY_BYTES_MAX + 1]; /* pieces of a client by their size, which were answered shortly */
  uint8_t waiting[GG__SSH_KEYS_WAITING];      /* their sizes */
  size_t waiting_count;
  bool crowded; /* there were more, or larger ones: this is no typing */
  uint64_t waiting_since;
  struct gg__ssh_run {
    uint64_t bytes, answered, last_ns;
  } runs[2];        /* what each side sends in one go */
  uint64_t bulk[2]; /* bytes of long ones, by side */
};

/* Bytes of one side that came at once. */
void gg__ssh_estimate_piece(struct gg__ssh_estimate *estimate, enum gg_side side, uint64_t time_ns, uint64_t bytes);
/* Nothing follows: what it looks like. */
void gg__ssh_estimate_tell(struct gg__ssh_estimate *estimate, struct gg_decoding *decoding, struct gg_draft *draft);

#endif
