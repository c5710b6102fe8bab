/* SPDX-License-Identifier: Apache-2.0 */
/**
 * rules.h - how replies end, learned from a recording before it is played.
 *
 * A reply is what the recorded server sent between two chunks of its client. Only those that a later step of the client
 * followed are looked at: nothing waits for the others. Replies are gathered at places: first those of the same service
 * and the same number in their session (the greeting is number 0), then all of the service. At a place there is
 *
 *   a terminator  if all its replies end in the same bytes, and these occur nowhere earlier in any of them:
 *                 "\r\n", "\n> ", "END\r\n". With two replies or more (three for a whole service; four if all that
 *                 they share is one byte and no line end).
 *   a length      if there is none, and at least four replies, not all the same, are equally long.
 *   nothing       otherwise.
 *
 * A client may leave in the middle of a reply. Where not all of a place's replies agree, only those count that the
 * client answered by more than its end.
 *
 * For each reply u is the shortest suffix that occurs nowhere earlier in it, and C the longest that all replies share;
 * any length from max(u) to C would do. A short one finds the end of replies that differ, a long one is not fooled by
 * their middle. So: of lines, the line end alone if that is enough, else as much of the last line as is common; of
 * prompts, back to the line end before them, GG_TERMINATOR_MAX bytes at the most.
 *
 * A reply's number is how many turns of its session came before it: steps of the client (SEND, SEND_END, SEND_RESET)
 * that followed anything of the server. Where the beginning or bytes are missing it is not known; such replies count
 * for the service. Replies with gaps, and those that the server ended, count nowhere.
 *
 * The beginning of a reply is the beginning of a line: a terminator "\nEND\r\n" is also the whole of a reply "END\r\n".
 *
 * Whoever uses a terminator also looks whether the recorded reply at hand obeys it (gg__rule_holds): the learning sees
 * a bounded sample.
 *
 * Thread: learning: the replay's; then immutable.
 */
#ifndef GG_REPLAY_RULES_H
#define GG_REPLAY_RULES_H

#include "replay/script.h"

enum {
  GG_TERMINATOR_MAX = 32,
  GG_RULES_REPLY_MAX = 64 << 10, /* longer replies are at no place: silence ends them */
  GG_RULES_PLACES_MAX = 64,      /* numbered places of a service; further replies have the service's */
  GG_RULES_SERVICES_MAX = 64,    /* services with rules */
  GG_RULES_SESSIONS_MAX = 4096,  /* that are looked at, evenly chosen */
  GG_RULES_BYTES_MAX = 64 << 20, /* of replies that are looked at */
};

enum gg_rule_kind { GG_RULE_NONE, GG_RULE_TERMINATOR, GG_RULE_LENGTH };

struct gg_rule {
  uint8_t kind; /* enum gg_rule_kind */
  uint8_t terminator_bytes;
  uint8_t terminator[GG_TERMINATOR_MAX];
  uint32_t length;
};

struct gg_rules;

/* Errors are the script's. */
int gg__rules_learn(struct gg_rules **out, struct gg_script *script, struct gg_failure *failure);
void gg__rules_destroy(struct gg_rules *rules); /* NULL is fine */

/* The rule for reply `number` (from 0) of a session of `service`; never NULL, its kind may be NONE. */
const struct gg_rule *gg__rules_find(const struct gg_rules *rules, uint32_t service, uint64_t number);

/* Whether a reply of `bytes` bytes, of which the last ones are at hand (GG_TERMINATOR_MAX of them, or all), ends in the
 * rule's terminator; only of a rule that has one. */
bool gg__rule_ends(const struct gg_rule *rule, const uint8_t *tail, size_t tail_bytes, uint64_t bytes);

/* Whether a whole recorded reply is as the rule says: ends in the terminator, which is nowhere earlier in it; has the
 * length. */
bool gg__rule_holds(const struct gg_rule *rule, const uint8_t *reply, size_t bytes);

#endif
