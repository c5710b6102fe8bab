/* SPDX-License-Identifier: Apache-2.0 */
/* Key exchange as far as it is plain: RFC 4253, 7 and 8, RFC 4419, RFC 5656.
 *
 * HASSH (Salesforce) is the MD5 of the lists of exchange methods, ciphers, MACs and compressions with semicolons
 * between them: of the client those for what it sends, of the server those for what that sends. */
#include "base/base64.h"
#include "base/md5.h"
#include "base/sha256.h"
#include "proto/ssh.h"

#include <stdio.h>
#include <string.h>

enum { COOKIE_BYTES = 16 };

static const char *const list_names[GG__SSH_LISTS] = {
  [GG__SSH_LIST_KEX] = "kex_algorithms",
  [GG__SSH_LIST_KEY] = "server_host_key_algorithms",
  [GG__SSH_LIST_CIPHER_TO_SERVER] = "encryption_algorithms_client_to_server",
  [GG__SSH_LIST_CIPHER_TO_CLIENT] = "encryption_algorithms_server_to_client",
  [GG__SSH_LIST_MAC_TO_SERVER] = "mac_algorithms_client_to_server",
  [GG__SSH_LIST_MAC_TO_CLIENT] = "mac_algorithms_server_to_client",
  [GG__SSH_LIST_COMPRESSION_TO_SERVER] = "compression_algorithms_client_to_server",
  [GG__SSH_LIST_COMPRESSION_TO_CLIENT] = "compression_algorithms_server_to_client",
  [GG__SSH_LIST_LANGUAGE_TO_SERVER] = "languages_client_to_server",
  [GG__SSH_LIST_LANGUAGE_TO_CLIENT] = "languages_server_to_client",
};

bool gg__ssh_offer(struct gg__ssh_offer *offer, struct gg__reader payload)
{
  gg__read_bytes(&payload, COOKIE_BYTES);
  for (size_t i = 0; i < GG__SSH_LISTS; i++)
    offer->lists[i] = gg__read_vector(&payload, 4);
  offer->guesses = gg__read_number(&payload, 1) != 0;
  gg__read_number(&payload, 4); /* reserved */
  return !payload.failed;
}

/* ── Names of lists ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* The list's next name; false: there is none. Empty names are names, too. */
static bool next_name(struct gg__reader *list, struct gg__ssh_name *name)
{
  if (!list->left)
    return false;
  const uint8_t *comma = memchr(list->at, ',', list->left);
  size_t length = comma ? (size_t)(comma - list->at) : list->left;
  *name = (struct gg__ssh_name){.text = (const char *)list->at, .length = length};
  gg__read_bytes(list, comma ? length + 1 : length);
  return true;
}

static bool same(const struct gg__ssh_name *a, const struct gg__ssh_name *b)
{
  return a->length == b->length && (a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
}

static bool lists(struct gg__reader list, const struct gg__ssh_name *wanted)
{
  struct gg__ssh_name name;
  while (next_name(&list, &name))
    if (same(&name, wanted))
      return true;
  return false;
}

static struct gg__ssh_name first_name(struct gg__reader list)
{
  struct gg__ssh_name name = {0};
  next_name(&list, &name);
  return name;
}

/* The first of the client's that the server has, too. (That a method also needs a host key which can sign or encrypt is
 * true of all that are in use.) */
struct gg__ssh_name gg__ssh_chosen(const struct gg__ssh_offer *client, const struct gg__ssh_offer *server,
                                   enum gg__ssh_list list)
{
  enum { NAMES_MAX = 256 }; /* each is looked for in a list that may be as long */
  struct gg__reader wanted = client->lists[list];
  struct gg__ssh_name name;
  for (size_t i = 0; i < NAMES_MAX && next_name(&wanted, &name); i++)
    if (name.length && lists(server->lists[list], &name))
      return name;
  return (struct gg__ssh_name){0};
}

bool gg__ssh_guess_is_right(const struct gg__ssh_offer *client, const struct gg__ssh_offer *server)
{
  struct gg__ssh_name first[] = {
    first_name(client->lists[GG__SSH_LIST_KEX]), first_name(server->lists[GG__SSH_LIST_KEX]),
    first_name(client->lists[GG__SSH_LIST_KEY]), first_name(server->lists[GG__SSH_LIST_KEY])};
  return same(&first[0], &first[1]) && same(&first[2], &first[3]);
}

/* ── As fields ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_digest(struct gg_decoding *decoding, struct gg_draft *draft, enum gg_side side,
                        const struct gg__ssh_offer *offer)
{
  static const enum gg__ssh_list of[2][4] = {
    {GG__SSH_LIST_KEX, GG__SSH_LIST_CIPHER_TO_SERVER, GG__SSH_LIST_MAC_TO_SERVER, GG__SSH_LIST_COMPRESSION_TO_SERVER},
    {GG__SSH_LIST_KEX, GG__SSH_LIST_CIPHER_TO_CLIENT, GG__SSH_LIST_MAC_TO_CLIENT, GG__SSH_LIST_COMPRESSION_TO_CLIENT}};
  struct gg_md5 md5;
  uint8_t digest[GG_MD5_BYTES];
  char digits[2 * GG_MD5_BYTES + 1];
  gg_md5_begin(&md5);
  for (size_t i = 0; i < 4; i++) {
    const struct gg__reader *list = &offer->lists[of[side][i]];
    gg_md5_add(&md5, ";", i > 0);
    gg_md5_add(&md5, list->at, list->left);
  }
  gg_md5_end(&md5, digest);
  for (size_t i = 0; i < sizeof digest; i++)
    snprintf(digits + 2 * i, 3, "%02x", digest[i]);
  gg__ssh_word(decoding, draft, side == GG_SIDE_CLIENT ? GG__SSH_HASSH : GG__SSH_HASSH_SERVER, digits);
}

void gg__ssh_tell_offer(struct gg_decoding *decoding, struct gg_draft *draft, enum gg_side side,
                        const struct gg__ssh_offer *offer, const uint8_t *payload, uint64_t offset)
{
  tell_digest(decoding, draft, side, offer);
  for (size_t i = 0; i < GG__SSH_LISTS; i++) {
    const struct gg__reader *list = &offer->lists[i];
    struct gg_field field = {.of = &gg__ssh_fields[GG__SSH_OFFER],
                             .key = list_names[i],
                             .key_length = strlen(list_names[i]),
                             .value = list->at,
                             .length = list->left,
                             .raw_offset = offset + (uint64_t)(list->at - payload),
                             .raw_length = list->left};
    if (list->left)
      gg_decoded_field(decoding, draft, &field);
  }
  gg_decoded_summary(decoding, draft, "offers for the key exchange%s", offer->guesses ? ", and guesses" : "");
}

/* Adds what was chosen for both directions: once, if it is the same. */
static void tell_pair(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__ssh_field of,
                      const struct gg__ssh_name *to_server, const struct gg__ssh_name *to_client)
{
  struct gg_field field = {.of = &gg__ssh_fields[of]};
  const struct gg__ssh_name *names[] = {to_server, to_client};
  for (size_t i = 0; i < 2; i++) {
    field.value = (const uint8_t *)names[i]->text;
    field.length = names[i]->length;
    if (field.length && (i == 0 || !same(names[0], names[1])))
      gg_decoded_field(decoding, draft, &field);
  }
}

static bool contains(const struct gg__ssh_name *name, const char *word)
{
  return name->length && memmem(name->text, name->length, word, strlen(word));
}

/* Ciphers that need no MAC beside them: what is negotiated for it is not used (RFC 5647, OpenSSH's PROTOCOL). */
static bool authenticates(const struct gg__ssh_name *cipher)
{
  return contains(cipher, "-gcm") || contains(cipher, "AEAD_AES") || contains(cipher, "-poly1305");
}

static enum gg__ssh_exchange exchange_of(const struct gg__ssh_name *kex)
{
  static const char *const plain[] = {"curve25519",           "curve448",  "ecdh-", "ecmqv",
                                      "diffie-hellman-group", "sntrup761", "mlkem"};
  if (contains(kex, "gss-"))
    return GG__SSH_EXCHANGE_UNKNOWN;
  if (contains(kex, "group-exchange"))
    return GG__SSH_EXCHANGE_GROUP;
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (contains(kex, plain[i]))
      return GG__SSH_EXCHANGE_PLAIN;
  return GG__SSH_EXCHANGE_UNKNOWN;
}

/* What stands behind each packet of a direction, if its length in front is plain: the tag of AES-GCM (RFC 5647), or a
 * MAC that is taken of what is encrypted (OpenSSH's PROTOCOL, 1.6). */
static size_t seal_of(const struct gg__ssh_name *cipher, const struct gg__ssh_name *mac)
{
  static const struct {
    const char *name;
    size_t bytes;
  } macs[] = {{"-96-etm", 12},      {"hmac-sha2-256-etm", 32}, {"hmac-sha2-512-etm", 64}, {"hmac-sha1-etm", 20},
              {"hmac-md5-etm", 16}, {"umac-64-etm", 8},        {"umac-128-etm", 16},      {"ripemd160-etm", 20}};
  if (contains(cipher, "-gcm") || contains(cipher, "AEAD_AES"))
    return 16;
  for (size_t i = 0; i < sizeof macs / sizeof *macs; i++)
    if (contains(mac, macs[i].name))
      return macs[i].bytes;
  return 0;
}

void gg__ssh_tell_chosen(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__ssh_offer *client,
                         const struct gg__ssh_offer *server, struct gg__ssh_agreement *agreement)
{
  struct gg__ssh_name chosen[GG__SSH_LISTS];
  for (unsigned i = 0; i < GG__SSH_LISTS; i++)
    chosen[i] = gg__ssh_chosen(client, server, (enum gg__ssh_list)i);
  const struct gg__ssh_name *kex = &chosen[GG__SSH_LIST_KEX], *cipher = &chosen[GG__SSH_LIST_CIPHER_TO_SERVER];
  const struct gg__ssh_name none = {0};
  tell_pair(decoding, draft, GG__SSH_KEX, kex, &none);
  tell_pair(decoding, draft, GG__SSH_KEY_ALGORITHM, &chosen[GG__SSH_LIST_KEY], &none);
  tell_pair(decoding, draft, GG__SSH_CIPHER, cipher, &chosen[GG__SSH_LIST_CIPHER_TO_CLIENT]);
  agreement->exchange = exchange_of(kex);
  for (unsigned i = 0; i < 2; i++) {
    if (authenticates(&cipher[i]))
      chosen[GG__SSH_LIST_MAC_TO_SERVER + i] = none;
    agreement->seal_bytes[i] = seal_of(&cipher[i], &chosen[GG__SSH_LIST_MAC_TO_SERVER + i]);
  }
  tell_pair(decoding, draft, GG__SSH_MAC, &chosen[GG__SSH_LIST_MAC_TO_SERVER], &chosen[GG__SSH_LIST_MAC_TO_CLIENT]);
  tell_pair(decoding, draft, GG__SSH_COMPRESSION, &chosen[GG__SSH_LIST_COMPRESSION_TO_SERVER],
            &chosen[GG__SSH_LIST_COMPRESSION_TO_CLIENT]);
  if (!kex->length || !cipher[0].length || !cipher[1].length) {
    gg__ssh_odd(decoding, draft, "nothing-in-common");
    gg_decoded_summary(decoding, draft, "offers for the key exchange, with nothing in common");
    return;
  }
  gg_decoded_summary(decoding, draft, "offers for the key exchange; chosen: %.*s, %.*s",
                     (int)(kex->length < 80 ? kex->length : 80), kex->text,
                     (int)(cipher->length < 80 ? cipher->length : 80), cipher->text);
}

/* "ssh-ed25519" and "SHA256:..." as ssh-keygen -l shows it. */
void gg__ssh_tell_host_key(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__reader payload)
{
  struct gg__reader key = gg__read_vector(&payload, 4), rest = key, type = gg__read_vector(&rest, 4);
  if (payload.failed || rest.failed) {
    gg__ssh_odd(decoding, draft, "bad-host-key");
    return;
  }
  struct gg_field field = {.of = &gg__ssh_fields[GG__SSH_HOST_KEY], .value = type.at, .length = type.left};
  gg_decoded_field(decoding, draft, &field);
  struct gg_sha256 sha256;
  uint8_t digest[GG_SHA256_BYTES];
  gg_sha256_begin(&sha256);
  gg_sha256_add(&sha256, key.at, key.left);
  gg_sha256_end(&sha256, digest);
  char text[64] = "SHA256:";
  char *end = gg_base64(text + strlen(text), digest, sizeof digest);
  end[-1] = '\0'; /* the padding: of 32 bytes, one letter */
  gg__ssh_word(decoding, draft, GG__SSH_FINGERPRINT, text);
  gg_decoded_summary(decoding, draft, "key exchange: answer, with the host's key %.*s %s",
                     (int)(type.left < 60 ? type.left : 60), (const char *)type.at, text);
}
