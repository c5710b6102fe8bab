/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How replies end: rules.h says what is learned, this is how.
 *
 * Every place keeps sums only, never replies: how many there were, the bytes that all of them end in, the largest u,
 * whether all were equally long or all the same. A reply is read once into one buffer, judged, added to its two places
 * and forgotten. When the sample is through, each place decides.
 *
 *     reply      250-mail.example\r\n250 HELP\r\n
 *     u                               "P\r\n"         "\r\n" is also in the middle, so it would not do
 *     C, shared with a reply of another host:  "example\r\n250 HELP\r\n"
 *     chosen                      "\n250 HELP\r\n"    between the two, and a whole line
 *
 * A recording may hold a few sessions of gigabytes or millions of small ones, and was possibly made by somebody who
 * means ill. So everything is bounded: sessions, and bytes and steps in all and for one session; and u is found in at
 * most GG_TERMINATOR_MAX comparisons a byte, whatever the bytes are. The sample is visited in bit-reversed order, so
 * that wherever a bound ends it, what was seen is spread evenly over the recording.
 *
 * Rejected: a rule for every kind of request. It would need to know what a request is; that is what decoders are for.
 */
#include "replay/rules.h"

#include "store/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
  SESSION_BYTES_MIN = 256 << 10, /* what one session may take of GG_RULES_BYTES_MAX, if there are many */
  STEPS_MAX = 4 << 20,           /* looked at in all */
  SESSION_STEPS_MIN = 16 << 10,
  NUMBERED_MIN = 2, /* replies that make a terminator, at a numbered place */
  SERVICE_MIN = 3,  /* ... for a whole service */
  BYTE_MIN = 4,     /* ... if it is one byte and no line end: two or three may share one by chance */
  LENGTH_MIN = 4,   /* replies that make a length */
};

struct sums {
  uint64_t hash; /* of the first reply */
  uint32_t count;
  uint32_t length; /* of the first reply */
  bool same_length, same_content;
  uint8_t unique;       /* the largest u; beyond GG_TERMINATOR_MAX: no terminator */
  uint8_t common_bytes; /* C */
  uint8_t common[GG_TERMINATOR_MAX];
};

/* A client that ends the connection may do so in the middle of a reply. So there are two sums, and the second decides
 * where the first cannot. */
struct place {
  struct sums all;
  struct sums answered; /* only replies behind which the client said more */
  struct gg_rule rule;
};

struct service {
  uint32_t number;
  struct place whole;
  struct place numbered[GG_RULES_PLACES_MAX];
};

struct gg_rules {
  size_t services;
  struct service *service[GG_RULES_SERVICES_MAX];
};

static const struct gg_rule no_rule = {.kind = GG_RULE_NONE};

/* ── One reply ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t least(size_t a, size_t b)
{
  return a < b ? a : b;
}

/* How many bytes, at most `most`, in front of two ends are the same. */
static size_t shared_suffix(const uint8_t *a_end, const uint8_t *b_end, size_t most)
{
  size_t shared = 0;
  while (shared < most && a_end[-1 - (ptrdiff_t)shared] == b_end[-1 - (ptrdiff_t)shared])
    shared++;
  return shared;
}

/* u: one more than the longest run that ends both at an earlier byte and at the last one. GG_TERMINATOR_MAX + 1 stands
 * for everything longer. A run from the beginning on has a line end in front of it, as it were. */
static unsigned unique_suffix(const uint8_t *reply, size_t bytes)
{
  const uint8_t *last = reply + bytes - 1;
  size_t longest = 0;
  for (size_t end = 1; end < bytes && longest < GG_TERMINATOR_MAX; end++) {
    /* Only a run longer than any before matters, and that has one certain byte more. */
    if (end < longest || (end > longest && reply[end - 1 - longest] != last[-(ptrdiff_t)longest]))
      continue;
    size_t shared = shared_suffix(reply + end, reply + bytes, least(end, GG_TERMINATOR_MAX));
    if (shared == end && shared < GG_TERMINATOR_MAX && last[-(ptrdiff_t)shared] == '\n')
      shared++;
    if (shared > longest)
      longest = shared;
  }
  return (unsigned)longest + 1;
}

/* What is known of one. */
struct reply {
  const uint8_t *data;
  size_t bytes;
  unsigned unique;
  uint64_t hash;
};

/* The last bytes of a reply, the line end in front of it too if it is as short as that. Returns how many. */
static size_t reply_tail(const struct reply *reply, uint8_t tail[GG_TERMINATOR_MAX])
{
  size_t size = least(reply->bytes, GG_TERMINATOR_MAX);
  bool whole = size < GG_TERMINATOR_MAX;
  if (whole)
    *tail++ = '\n';
  memcpy(tail, reply->data + reply->bytes - size, size);
  return size + whole;
}

static void sums_add(struct sums *sums, const struct reply *reply)
{
  uint8_t tail[GG_TERMINATOR_MAX];
  size_t bytes = reply->bytes, size = reply_tail(reply, tail), common = size;
  assert(bytes > 0 && bytes <= GG_RULES_REPLY_MAX);
  if (sums->count == 0) {
    sums->length = (uint32_t)bytes;
    sums->hash = reply->hash;
    sums->same_length = sums->same_content = true;
  } else {
    sums->same_length = sums->same_length && sums->length == bytes;
    sums->same_content = sums->same_content && sums->length == bytes && sums->hash == reply->hash;
    common = shared_suffix(sums->common + sums->common_bytes, tail + size, least(size, sums->common_bytes));
  }
  memcpy(sums->common, tail + size - common, common);
  sums->common_bytes = (uint8_t)common;
  if (reply->unique > sums->unique)
    sums->unique = (uint8_t)reply->unique;
  sums->count++;
}

static void place_add(struct place *place, const struct reply *reply, bool answered)
{
  sums_add(&place->all, reply);
  if (answered)
    sums_add(&place->answered, reply);
}

/* ── What a place decides ────────────────────────────────────────────────────────────────────────────────────────── */

/* The terminator's length, within u and C. */
static size_t terminator_length(const struct sums *sums)
{
  const uint8_t *common = sums->common;
  size_t end = sums->common_bytes, line_end = 0;
  if (end > 0 && common[end - 1] == '\n')
    line_end = end > 1 && common[end - 2] == '\r' ? 2 : 1;
  if (line_end > 0 && sums->unique <= line_end)
    return line_end;
  const uint8_t *before = memrchr(common, '\n', end - line_end);
  size_t length = before ? (size_t)(common + end - before) : end;
  return length > sums->unique ? length : sums->unique;
}

static void sums_decide(struct gg_rule *rule, const struct sums *sums, uint32_t terminator_min)
{
  size_t length = 0;
  if (sums->count >= terminator_min && sums->unique <= sums->common_bytes) {
    length = terminator_length(sums);
    assert(length >= sums->unique && length <= sums->common_bytes);
    if (length == 1 && sums->count < BYTE_MIN && sums->common[sums->common_bytes - 1] != '\n')
      length = 0;
  }
  *rule = no_rule;
  if (length > 0) {
    rule->kind = GG_RULE_TERMINATOR;
    rule->terminator_bytes = (uint8_t)length;
    memcpy(rule->terminator, sums->common + sums->common_bytes - length, length);
  } else if (sums->count >= LENGTH_MIN && sums->same_length && !sums->same_content) {
    rule->kind = GG_RULE_LENGTH;
    rule->length = sums->length;
  }
}

static void place_decide(struct place *place, uint32_t terminator_min)
{
  sums_decide(&place->rule, &place->all, terminator_min);
  if (place->rule.kind == GG_RULE_NONE)
    sums_decide(&place->rule, &place->answered, terminator_min);
}

/* ── Gathering ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct learner {
  struct gg_rules *rules;
  struct gg_script *script;
  struct gg_failure *failure;
  uint64_t bytes_left, steps_left;       /* in all */
  uint64_t session_bytes, session_steps; /* for one session */
  uint8_t reply[GG_RULES_REPLY_MAX];
};

/* One session on its way. */
struct walk {
  struct service *service;
  struct gg_cursor cursor;
  uint64_t bytes_left, steps_left;
  uint64_t number; /* of the next reply */
  size_t bytes;    /* of this one, in learner.reply */
  bool numbered;   /* nothing is missing so far, so that the number is known */
  bool acted;      /* the server did something since the client's last step */
  bool excluded;   /* what it did is not a reply to learn from */
};

static int walk_expect(struct learner *learner, struct walk *walk, const struct gg_step *step)
{
  walk->acted = true;
  if (walk->excluded || step->length > GG_RULES_REPLY_MAX - walk->bytes) {
    walk->excluded = true;
    return 0;
  }
  if (step->length > walk->bytes_left) {
    walk->steps_left = 0;
    return 0;
  }
  walk->bytes_left -= step->length;
  learner->bytes_left -= step->length;
  int error =
    learner->script->ops->bytes(learner->script, step, 0, learner->reply + walk->bytes, step->length, learner->failure);
  walk->bytes += step->length;
  return error;
}

/* The client goes on: what came before it was a reply. */
static void walk_turn(struct learner *learner, struct walk *walk, bool answered)
{
  if (!walk->acted)
    return;
  if (!walk->excluded && walk->bytes > 0) {
    const struct reply reply = {
      .data = learner->reply,
      .bytes = walk->bytes,
      .unique = unique_suffix(learner->reply, walk->bytes),
      .hash = gg__hash(learner->reply, walk->bytes),
    };
    place_add(&walk->service->whole, &reply, answered);
    if (walk->numbered && walk->number < GG_RULES_PLACES_MAX)
      place_add(&walk->service->numbered[walk->number], &reply, answered);
  }
  walk->number++;
  walk->bytes = 0;
  walk->acted = walk->excluded = false;
}

static int walk_step(struct learner *learner, struct walk *walk, const struct gg_step *step)
{
  switch ((enum gg_step_kind)step->kind) {
  case GG_STEP_EXPECT:
    return walk_expect(learner, walk, step);
  case GG_STEP_EXPECT_GAP:
    walk->numbered = false;
    walk->acted = walk->excluded = true;
    break;
  case GG_STEP_SEND_GAP: /* somewhere in here the client went on */
    walk->numbered = false;
    walk->excluded = true;
    break;
  case GG_STEP_EXPECT_END:
  case GG_STEP_EXPECT_RESET:
    walk->acted = walk->excluded = true;
    break;
  case GG_STEP_SEND:
  case GG_STEP_SEND_END:
  case GG_STEP_SEND_RESET:
    walk_turn(learner, walk, step->kind == GG_STEP_SEND);
    break;
  case GG_STEP_OVER:
    break;
  }
  return 0;
}

static int learn_session(struct learner *learner, size_t index, const struct gg_script_session *facts,
                         struct service *service)
{
  struct gg_script *script = learner->script;
  struct walk walk = {
    .service = service,
    .cursor = script->ops->steps(script, index),
    .bytes_left = least(learner->session_bytes, learner->bytes_left),
    .steps_left = least(learner->session_steps, learner->steps_left),
    .numbered = !facts->beginning_missing,
  };
  while (walk.steps_left > 0) {
    struct gg_step step;
    int got = script->ops->next(script, &walk.cursor, &step, learner->failure);
    if (got <= 0)
      return got;
    walk.steps_left--;
    learner->steps_left--;
    int error = walk_step(learner, &walk, &step);
    if (error)
      return error;
  }
  return 0;
}

/* ── The sample ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Fills `chosen` with sessions that are not opaque, evenly over all of these; returns how many. */
static size_t choose(const struct gg_script *script, size_t chosen[GG_RULES_SESSIONS_MAX])
{
  size_t count = script->ops->count(script), fit = 0, seen = 0, used = 0;
  struct gg_script_session facts;
  for (size_t i = 0; i < count; i++) {
    script->ops->session(script, i, &facts);
    fit += facts.opaque == NULL;
  }
  size_t want = least(fit, GG_RULES_SESSIONS_MAX);
  for (size_t i = 0; i < count && used < want; i++) {
    script->ops->session(script, i, &facts);
    if (facts.opaque)
      continue;
    if (seen == used * fit / want)
      chosen[used++] = i;
    seen++;
  }
  return used;
}

/* NULL: no memory, or (with *full) there are as many services as have rules. */
static struct service *service_of(struct gg_rules *rules, uint32_t number, bool *full)
{
  *full = false;
  for (size_t i = 0; i < rules->services; i++)
    if (rules->service[i]->number == number)
      return rules->service[i];
  *full = rules->services == GG_RULES_SERVICES_MAX;
  struct service *service = *full ? NULL : calloc(1, sizeof *service);
  if (!service)
    return NULL;
  service->number = number;
  return rules->service[rules->services++] = service;
}

static size_t bits_reversed(size_t value, unsigned bits)
{
  size_t reversed = 0;
  for (unsigned i = 0; i < bits; i++)
    reversed |= (value >> i & 1) << (bits - 1 - i);
  return reversed;
}

static int learn_sample(struct learner *learner)
{
  size_t chosen[GG_RULES_SESSIONS_MAX], count = choose(learner->script, chosen);
  unsigned bits = 0;
  while ((size_t)1 << bits < count)
    bits++;
  if (count == 0)
    return 0;
  learner->session_bytes = learner->bytes_left / count;
  if (learner->session_bytes < SESSION_BYTES_MIN)
    learner->session_bytes = SESSION_BYTES_MIN;
  learner->session_steps = learner->steps_left / count;
  if (learner->session_steps < SESSION_STEPS_MIN)
    learner->session_steps = SESSION_STEPS_MIN;
  for (size_t i = 0; i < (size_t)1 << bits; i++) {
    size_t at = bits_reversed(i, bits);
    if (at >= count)
      continue;
    struct gg_script_session facts;
    learner->script->ops->session(learner->script, chosen[at], &facts);
    bool full;
    struct service *service = service_of(learner->rules, facts.service, &full);
    if (!service && full)
      continue;
    if (!service)
      return gg_fail(learner->failure, GG_ERR_NOMEM, "no memory for the rules of how replies end");
    int error = learn_session(learner, chosen[at], &facts, service);
    if (error)
      return error;
  }
  return 0;
}

int gg__rules_learn(struct gg_rules **out, struct gg_script *script, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_rules *rules = calloc(1, sizeof *rules);
  struct learner *learner = calloc(1, sizeof *learner);
  int error = 0;
  if (!rules || !learner) {
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory for the rules of how replies end");
  } else {
    learner->rules = rules;
    learner->script = script;
    learner->failure = failure;
    learner->bytes_left = GG_RULES_BYTES_MAX;
    learner->steps_left = STEPS_MAX;
    script->sparse = true;
    error = learn_sample(learner);
    script->sparse = false;
  }
  free(learner);
  if (error) {
    gg__rules_destroy(rules);
    return error;
  }
  for (size_t i = 0; i < rules->services; i++) {
    struct service *service = rules->service[i];
    place_decide(&service->whole, SERVICE_MIN);
    for (size_t number = 0; number < GG_RULES_PLACES_MAX; number++)
      place_decide(&service->numbered[number], NUMBERED_MIN);
  }
  *out = rules;
  return 0;
}

void gg__rules_destroy(struct gg_rules *rules)
{
  if (!rules)
    return;
  for (size_t i = 0; i < rules->services; i++)
    free(rules->service[i]);
  free(rules);
}

/* ── Their use ───────────────────────────────────────────────────────────────────────────────────────────────────── */

const struct gg_rule *gg__rules_find(const struct gg_rules *rules, uint32_t service, uint64_t number)
{
  for (size_t i = 0; i < rules->services; i++) {
    const struct service *found = rules->service[i];
    if (found->number != service)
      continue;
    if (number < GG_RULES_PLACES_MAX && found->numbered[number].rule.kind != GG_RULE_NONE)
      return &found->numbered[number].rule;
    return &found->whole.rule;
  }
  return &no_rule;
}

bool gg__rule_ends(const struct gg_rule *rule, const uint8_t *tail, size_t tail_bytes, uint64_t bytes)
{
  size_t size = rule->terminator_bytes;
  assert(rule->kind == GG_RULE_TERMINATOR && size > 0 && tail_bytes <= bytes);
  if (tail_bytes >= size)
    return memcmp(tail + tail_bytes - size, rule->terminator, size) == 0;
  return rule->terminator[0] == '\n' && bytes > 0 && bytes == size - 1 && tail_bytes == bytes &&
         memcmp(tail, rule->terminator + 1, tail_bytes) == 0;
}

static bool occurs_earlier(const struct gg_rule *rule, const uint8_t *reply, size_t bytes)
{
  size_t size = rule->terminator_bytes;
  bool begins =
    rule->terminator[0] == '\n' && size > 1 && bytes >= size && memcmp(reply, rule->terminator + 1, size - 1) == 0;
  return begins || memmem(reply, bytes - 1, rule->terminator, size);
}

bool gg__rule_holds(const struct gg_rule *rule, const uint8_t *reply, size_t bytes)
{
  switch ((enum gg_rule_kind)rule->kind) {
  case GG_RULE_TERMINATOR:
    return bytes > 0 && gg__rule_ends(rule, reply, bytes, bytes) && !occurs_earlier(rule, reply, bytes);
  case GG_RULE_LENGTH:
    return bytes == rule->length;
  case GG_RULE_NONE:
    break;
  }
  return false;
}
