/* SPDX-License-Identifier: Apache-2.0 */
/* What encrypted bytes look like by their sizes and times alone. It is an estimate, and is called so wherever it is
 * told: nothing in the bytes says that a key was pressed.
 *
 * Keys. Who types sends one small packet for each key, and the server echoes it at once with a small one. All of these
 * packets are of one size, as one letter is padded to a block. So: small pieces of the client that the server answers
 * with a small piece within ECHO_NS are counted by size, and the size that is most frequent is taken for that of keys.
 * The packets of an authentication are small and answered, too, but few of them are of one size: below KEYS_MIN, there
 * are no keys. Not seen: keys that are not echoed (passwords in a full-screen program are), letters that come in one
 * packet because they were pasted or the line is slow. Taken for keys wrongly: requests of one size with short answers
 * (a directory that is listed by SFTP), and what clients send to hide keys (OpenSSH 9.5 and later).
 *
 * Bulk. A side that sends BULK_MIN bytes or more, while the other one says next to nothing, and without a pause. */
#include "proto/ssh.h"

#include <inttypes.h>
#include <stdio.h>

static const uint64_t ECHO_NS = 1000000000;  /* in which the server answers a key */
static const uint64_t PAUSE_NS = 1000000000; /* after which a run has ended */

enum {
  ECHO_BYTES_MAX = 512, /* of what the server answers to a key */
  KEYS_MIN = 5,
  BULK_MIN = 256 << 10,
  ANSWER_SHARE = 16,    /* the other side may say a 16th of it ... */
  ANSWER_BYTES = 16384, /* ... and so many bytes more: windows are opened in the beginning */
};

static void end_run(struct gg__ssh_estimate *estimate, enum gg_side side)
{
  struct gg__ssh_run *run = &estimate->runs[side];
  if (run->bytes >= BULK_MIN)
    estimate->bulk[side] += run->bytes;
  *run = (struct gg__ssh_run){0};
}

static void add_to_runs(struct gg__ssh_estimate *estimate, enum gg_side side, uint64_t time_ns, uint64_t bytes)
{
  enum gg_side other = side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT;
  struct gg__ssh_run *own = &estimate->runs[side], *others = &estimate->runs[other];
  if (own->bytes && time_ns > own->last_ns + PAUSE_NS)
    end_run(estimate, side);
  own->bytes += bytes;
  own->last_ns = time_ns;
  others->answered += others->bytes ? bytes : 0;
  if (others->answered > others->bytes / ANSWER_SHARE + ANSWER_BYTES)
    end_run(estimate, other);
}

static void add_to_keys(struct gg__ssh_estimate *estimate, enum gg_side side, uint64_t time_ns, uint64_t bytes)
{
  if (side == GG_SIDE_CLIENT) {
    if (bytes > GG__SSH_KEY_BYTES_MAX || estimate->waiting_count == GG__SSH_KEYS_WAITING)
      estimate->crowded = true;
    else
      estimate->waiting[estimate->waiting_count++] = (uint8_t)bytes;
    estimate->waiting_since = time_ns;
    return;
  }
  bool echo = !estimate->crowded && bytes <= ECHO_BYTES_MAX && time_ns <= estimate->waiting_since + ECHO_NS;
  for (size_t i = 0; echo && i < estimate->waiting_count; i++)
    estimate->echoed[estimate->waiting[i]]++;
  estimate->waiting_count = 0;
  estimate->crowded = false;
}

void gg__ssh_estimate_piece(struct gg__ssh_estimate *estimate, enum gg_side side, uint64_t time_ns, uint64_t bytes)
{
  add_to_keys(estimate, side, time_ns, bytes);
  add_to_runs(estimate, side, time_ns, bytes);
}

void gg__ssh_estimate_tell(struct gg__ssh_estimate *estimate, struct gg_decoding *decoding, struct gg_draft *draft)
{
  uint32_t keys = 0;
  for (size_t i = 0; i <= GG__SSH_KEY_BYTES_MAX; i++)
    keys = estimate->echoed[i] > keys ? estimate->echoed[i] : keys;
  keys = keys < KEYS_MIN ? 0 : keys;
  end_run(estimate, GG_SIDE_CLIENT);
  end_run(estimate, GG_SIDE_SERVER);
  uint64_t sent = estimate->bulk[GG_SIDE_CLIENT], received = estimate->bulk[GG_SIDE_SERVER];
  if (keys)
    gg__ssh_word(decoding, draft, GG__SSH_ESTIMATE, "typed");
  if (sent)
    gg__ssh_word(decoding, draft, GG__SSH_ESTIMATE, "bulk-sent");
  if (received)
    gg__ssh_word(decoding, draft, GG__SSH_ESTIMATE, "bulk-received");
  gg_decoded_number(decoding, draft, &gg__ssh_fields[GG__SSH_KEYSTROKES], keys);
  gg_decoded_number(decoding, draft, &gg__ssh_fields[GG__SSH_BULK_SENT], sent);
  gg_decoded_number(decoding, draft, &gg__ssh_fields[GG__SSH_BULK_RECEIVED], received);
  gg_decoded_summary(decoding, draft,
                     "an estimate by sizes and times: about %" PRIu32 " keystrokes; in bulk %" PRIu64
                     " bytes sent, %" PRIu64 " received",
                     keys, sent, received);
}
