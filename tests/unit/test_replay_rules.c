/* SPDX-License-Identifier: Apache-2.0 */
/* How the ends of replies are learned, from dialogs in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "replay/rules.h"
#include <gogetway/error.h>
#include <stdio.h>
#include <string.h>

enum { SESSIONS_MAX = 16384, STEPS_MAX = 1 << 20 };

/* ── A script in memory ──────────────────────────────────────────────────────────────────────────────────────────── */

struct memory_step {
  uint8_t kind;
  const uint8_t *data;
  uint32_t length;
};

struct memory_script {
  struct gg_script script; /* first */
  struct memory_step *steps;
  struct gg_script_session *sessions;
  size_t *first, *end; /* a session's steps */
  size_t steps_count, sessions_count;
  uint64_t bytes_read, steps_read;
  uint64_t fail_at; /* the call of `bytes` that fails, from 1 */
};

static size_t memory_count(const struct gg_script *script)
{
  return ((const struct memory_script *)script)->sessions_count;
}

static void memory_session(const struct gg_script *script, size_t index, struct gg_script_session *out)
{
  *out = ((const struct memory_script *)script)->sessions[index];
}

static struct gg_cursor memory_steps(const struct gg_script *script, size_t index)
{
  (void)script;
  return (struct gg_cursor){.block = index};
}

static int memory_next(struct gg_script *script, struct gg_cursor *cursor, struct gg_step *out,
                       struct gg_failure *failure)
{
  (void)failure;
  struct memory_script *memory = (struct memory_script *)script;
  size_t at = memory->first[cursor->block] + cursor->index;
  memory->steps_read++;
  if (at == memory->end[cursor->block])
    return 0;
  cursor->index++;
  *out = (struct gg_step){
    .place = at, .length = memory->steps[at].length, .kind = memory->steps[at].kind, .begins_chunk = true};
  return 1;
}

static int memory_bytes(struct gg_script *script, const struct gg_step *step, uint32_t skip, uint8_t *out,
                        uint32_t size, struct gg_failure *failure)
{
  struct memory_script *memory = (struct memory_script *)script;
  if (memory->fail_at && --memory->fail_at == 0)
    return gg_fail(failure, GG_ERR_CORRUPT, "the bytes are not what they were");
  assert_true(skip + size <= step->length);
  memcpy(out, memory->steps[step->place].data + skip, size);
  memory->bytes_read += size;
  return 0;
}

static const struct gg_script_ops memory_ops = {memory_count, memory_session, memory_steps, memory_next, memory_bytes};

static int set_up(void **state)
{
  struct memory_script *memory = calloc(1, sizeof *memory);
  memory->script.ops = &memory_ops;
  memory->steps = calloc(STEPS_MAX, sizeof *memory->steps);
  memory->sessions = calloc(SESSIONS_MAX, sizeof *memory->sessions);
  memory->first = calloc(SESSIONS_MAX, sizeof *memory->first);
  memory->end = calloc(SESSIONS_MAX, sizeof *memory->end);
  *state = memory;
  return memory->steps && memory->sessions && memory->first && memory->end ? 0 : -1;
}

static int tear_down(void **state)
{
  struct memory_script *memory = *state;
  free(memory->steps);
  free(memory->sessions);
  free(memory->first);
  free(memory->end);
  free(memory);
  return 0;
}

static void add(struct memory_script *memory, enum gg_step_kind kind, const void *data, size_t length)
{
  assert_true(memory->steps_count < STEPS_MAX);
  memory->steps[memory->steps_count++] = (struct memory_step){(uint8_t)kind, data, (uint32_t)length};
  memory->end[memory->sessions_count - 1] = memory->steps_count;
}

static struct gg_script_session *begin(struct memory_script *memory, uint32_t service)
{
  assert_true(memory->sessions_count < SESSIONS_MAX);
  size_t index = memory->sessions_count++;
  struct gg_script_session *session = &memory->sessions[index];
  *session = (struct gg_script_session){.service = service};
  memory->first[index] = memory->end[index] = memory->steps_count;
  return session;
}

static void send(struct memory_script *memory)
{
  add(memory, GG_STEP_SEND, "x\r\n", 3);
}

static void expect(struct memory_script *memory, const char *text)
{
  add(memory, GG_STEP_EXPECT, text, strlen(text));
}

static void over(struct memory_script *memory)
{
  add(memory, GG_STEP_OVER, "", 0);
}

/* A session of service 0 in which the server says these, each answered by the client. */
static void dialog(struct memory_script *memory, const char *const *replies)
{
  begin(memory, 0);
  for (; *replies; replies++) {
    expect(memory, *replies);
    send(memory);
  }
  over(memory);
}

#define DIALOG(memory, ...) dialog((memory), (const char *const[]){__VA_ARGS__, NULL})

static struct gg_rules *learn(struct memory_script *memory)
{
  struct gg_rules *rules = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__rules_learn(&rules, &memory->script, &failure) != 0)
    fail_msg("learning failed: %s", failure.message);
  return rules;
}

static void assert_terminator(const struct gg_rules *rules, uint32_t service, uint64_t number, const char *expected)
{
  const struct gg_rule *rule = gg__rules_find(rules, service, number);
  if (rule->kind != GG_RULE_TERMINATOR || rule->terminator_bytes != strlen(expected) ||
      memcmp(rule->terminator, expected, strlen(expected)) != 0)
    fail_msg("reply %u: kind %u, '%.*s', not '%s'", (unsigned)number, rule->kind, rule->terminator_bytes,
             (const char *)rule->terminator, expected);
}

static void assert_none(const struct gg_rules *rules, uint32_t service, uint64_t number)
{
  const struct gg_rule *rule = gg__rules_find(rules, service, number);
  if (rule->kind != GG_RULE_NONE)
    fail_msg("reply %u: kind %u, '%.*s', length %u", (unsigned)number, rule->kind, rule->terminator_bytes,
             (const char *)rule->terminator, rule->length);
}

/* ── Protocols ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void smtp(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "220 mail.example ESMTP 17:01\r\n", "250-mail.example\r\n250-SIZE 1000\r\n250 HELP\r\n", "250 OK\r\n",
         "354 go on\r\n", "250 queued as 17\r\n");
  DIALOG(memory, "220 mail.example ESMTP 17:02\r\n", "250-mail.example\r\n250-SIZE 9\r\n250 HELP\r\n", "250 OK\r\n",
         "550 no\r\n", "250 queued as 4711\r\n");
  DIALOG(memory, "220 mail.example ESMTP 17:03\r\n", "250-mail.example\r\n250-SIZE 9\r\n250 HELP\r\n", "250 OK\r\n");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_terminator(rules, 0, 1, "\n250 HELP\r\n"); /* the line end is also between its lines */
  assert_terminator(rules, 0, 2, "\r\n");
  assert_terminator(rules, 0, 3, "\r\n");
  assert_terminator(rules, 0, 4, "\r\n");
  assert_none(rules, 0, 5); /* all of the service share "\r\n" only, which is inside the EHLO replies */
  assert_none(rules, 0, 1000);
  assert_none(rules, 1, 0);
  const struct gg_rule *rule = gg__rules_find(rules, 0, 1);
  assert_true(gg__rule_holds(rule, (const uint8_t *)"250-x\r\n250 HELP\r\n", 17));
  assert_false(gg__rule_holds(rule, (const uint8_t *)"250-x\r\n250 HELP\r", 16));
  assert_false(gg__rule_holds(rule, (const uint8_t *)"1\n250 HELP\r\n250 HELP\r\n", 23));
  gg__rules_destroy(rules);
}

/* The service's rule serves where a number was seen once or never. */
static void lines_without_numbers(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "+OK\r\n", "+PONG\r\n", ":17\r\n", "-ERR what\r\n");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_terminator(rules, 0, 3, "\r\n");
  assert_terminator(rules, 0, 900, "\r\n");
  assert_none(rules, 7, 0);
  gg__rules_destroy(rules);

  memory->steps_count = memory->sessions_count = 0;
  DIALOG(memory, "a\n", "bc\n", "d\n");
  rules = learn(memory);
  assert_terminator(rules, 0, 5, "\n");
  const struct gg_rule *rule = gg__rules_find(rules, 0, 5);
  assert_false(gg__rule_ends(rule, (const uint8_t *)"", 0, 0)); /* nothing has no end, not even of a line */
  assert_true(gg__rule_ends(rule, (const uint8_t *)"\n", 1, 1));
  assert_true(gg__rule_ends(rule, (const uint8_t *)"c\n", 2, 9));
  gg__rules_destroy(rules);
}

static void redis_bulk(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "+OK\r\n", "$5\r\nhello\r\n", "$-1\r\n");
  DIALOG(memory, "+OK\r\n", "$3\r\nabc\r\n", "$2\r\nno\r\n");
  DIALOG(memory, "+OK\r\n", "$4\r\nwxyz\r\n", "$1\r\nq\r\n");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_none(rules, 0, 1); /* "\r\n" is also behind the length */
  assert_none(rules, 0, 2);
  gg__rules_destroy(rules);
}

static void redis_bulk_of_one_length_and_end(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "$4\r\n17:a\r\n");
  DIALOG(memory, "$4\r\n18:a\r\n");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, ":a\r\n"); /* as much of the last line as they share */
  gg__rules_destroy(rules);
}

static void prompts(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "Welcome, guest 1\n1) go\n> ", "you went north\n> ", "dead\n$ ");
  DIALOG(memory, "Welcome, guest 2\nnews: none\n1) go\n> ", "you went south\nand fell\n> ", "dead\n# ");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\n> "); /* they share more: the line before it is left out */
  assert_terminator(rules, 0, 1, "\n> ");
  assert_none(rules, 0, 2); /* different prompts: a blank in common is too little */
  gg__rules_destroy(rules);
}

static void one_byte_takes_four_replies(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "first;", "1\n");
  DIALOG(memory, "next;", "two\n");
  DIALOG(memory, "another;");
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  assert_terminator(rules, 0, 1, "\n"); /* a line end is known as one */
  gg__rules_destroy(rules);
  DIALOG(memory, "last;");
  rules = learn(memory);
  assert_terminator(rules, 0, 0, ";");
  gg__rules_destroy(rules);
}

static void prompt_without_newline(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "login: ", "a name of more than thirty-two letters, asks for the secret word: ");
  DIALOG(memory, "login: ", "a name of more than thirty-two letters, asks for the secret word: ");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\nlogin: ");
  assert_terminator(rules, 0, 1, &"letters, asks for the secret word: "[3]); /* the last 32 bytes */
  gg__rules_destroy(rules);
}

/* A prompt that also stands inside of the reply: more bytes are taken until it is the only one. */
static void prompt_in_the_middle(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "help\n> ls\n> cd\nbye 1 x\n> ");
  DIALOG(memory, "help\n> ls\n> cd\nbye 2 x\n> ");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "x\n> ");
  gg__rules_destroy(rules);
}

static void memcached(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "STORED\r\n", "VALUE a 0 2\r\n17\r\nEND\r\n", "END\r\n");
  DIALOG(memory, "STORED\r\n", "VALUE b 0 3\r\n170\r\nEND\r\n", "VALUE a 0 2\r\n17\r\nEND\r\n");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_terminator(rules, 0, 1, "\nEND\r\n");
  assert_terminator(rules, 0, 2, "\nEND\r\n"); /* a miss has no line before it, and is one all the same */
  const struct gg_rule *rule = gg__rules_find(rules, 0, 2);
  assert_true(gg__rule_holds(rule, (const uint8_t *)"END\r\n", 5));
  assert_true(gg__rule_ends(rule, (const uint8_t *)"END\r\n", 5, 5));
  assert_false(gg__rule_ends(rule, (const uint8_t *)"END\r\n", 5, 6)); /* there was another byte in front of it */
  assert_false(gg__rule_ends(rule, (const uint8_t *)"ND\r\n", 4, 4));
  assert_false(gg__rule_holds(rule, (const uint8_t *)"SEND\r\n", 6));
  assert_false(gg__rule_holds(rule, (const uint8_t *)"END\r\nEND\r\n", 10)); /* the first line looks like the last */
  assert_false(gg__rule_holds(rule, (const uint8_t *)"", 0));
  gg__rules_destroy(rules);
}

static void http(void **state)
{
  struct memory_script *memory = *state;
  static const char *const at[] = {
    "HTTP/1.1 200 OK\r\nDate: 17:00:01\r\nContent-Length: 12\r\n\r\nHello there!",
    "HTTP/1.1 200 OK\r\nDate: 17:00:02\r\nContent-Length: 12\r\n\r\nHello there!",
    "HTTP/1.1 304 Not Modified\r\nDate: 17:00:03\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nDate: 17:00:04\r\n\r\n",
  };
  DIALOG(memory, at[0], at[2], at[0], at[3]);
  DIALOG(memory, at[1], at[3], at[2], at[1]);
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\nHello there!");
  assert_terminator(rules, 0, 1, "\n\r\n");
  assert_none(rules, 0, 2); /* one has a body, the other has not */
  assert_none(rules, 0, 3);
  gg__rules_destroy(rules);
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t seed = 88172645463325252u;

static void fill_random(uint8_t *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    bytes[i] = (uint8_t)(seed >> 24);
  }
}

static void binary_of_any_length(void **state)
{
  struct memory_script *memory = *state;
  uint8_t bytes[16][64];
  for (size_t i = 0; i < 16; i++) {
    begin(memory, 0);
    fill_random(bytes[i], sizeof bytes[i]);
    bytes[i][20 + i] = (uint8_t)i; /* the last byte of each is another one */
    add(memory, GG_STEP_EXPECT, bytes[i], 21 + i);
    send(memory);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  assert_none(rules, 0, 1);
  gg__rules_destroy(rules);
}

static void lengths(void **state)
{
  struct memory_script *memory = *state;
  uint8_t bytes[4][80];
  for (size_t i = 0; i < 4; i++) {
    begin(memory, 3);
    fill_random(bytes[i], sizeof bytes[i]);
    bytes[i][39] = bytes[i][79] = (uint8_t)i;
    add(memory, GG_STEP_EXPECT, bytes[i], 25); /* two pieces are one reply */
    add(memory, GG_STEP_EXPECT, bytes[i] + 25, 15);
    send(memory);
    if (i < 3) { /* three are too few */
      add(memory, GG_STEP_EXPECT, bytes[i] + 40, 40);
      send(memory);
    }
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  const struct gg_rule *rule = gg__rules_find(rules, 3, 0);
  assert_int_equal(rule->kind, GG_RULE_LENGTH);
  assert_int_equal(rule->length, 40);
  assert_true(gg__rule_holds(rule, bytes[0], 40));
  assert_false(gg__rule_holds(rule, bytes[0], 39));
  assert_false(gg__rule_holds(rule, bytes[0], 41));
  rule = gg__rules_find(rules, 3, 1); /* the service's: all seven have it */
  assert_int_equal(rule->kind, GG_RULE_LENGTH);
  gg__rules_destroy(rules);
}

/* All the same and nothing but zeros: neither an end nor a length can be told. */
static void same_replies_make_no_length(void **state)
{
  struct memory_script *memory = *state;
  static const uint8_t zeros[64];
  for (size_t i = 0; i < 9; i++) {
    begin(memory, 0);
    add(memory, GG_STEP_EXPECT, zeros, sizeof zeros);
    send(memory);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  gg__rules_destroy(rules);
}

/* Runs of equal bytes within GG_TERMINATOR_MAX: the whole of them is what occurs nowhere earlier. */
static void runs_of_equal_bytes(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "\n\n\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  DIALOG(memory, "\n\n\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\n\n\n\n"); /* three of them, from the beginning */
  assert_terminator(rules, 0, 1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  assert_none(rules, 0, 2);
  gg__rules_destroy(rules);
}

/* Against the definition, on words of two letters, where suffixes occur earlier all the time. */
static void unique_suffix_by_definition(void **state)
{
  struct memory_script *memory = *state;
  for (unsigned round = 0; round < 3000; round++) {
    memory->steps_count = memory->sessions_count = 0;
    uint8_t word[48];
    size_t size = 1 + round % sizeof word, unique = 1;
    fill_random(word, size);
    for (size_t i = 0; i < size; i++)
      word[i] = word[i] % 8 ? 'a' : '\n';
    uint8_t line[sizeof word + 1] = "\n"; /* as if there were a line end in front */
    memcpy(line + 1, word, size);
    while (unique <= size && (unique == 1 ? memmem(word, size - 1, word + size - unique, unique)
                                          : memmem(line, size, line + 1 + size - unique, unique)))
      unique++;
    for (unsigned session = 0; session < 4; session++) {
      begin(memory, 0);
      add(memory, GG_STEP_EXPECT, word, size);
      send(memory);
    }
    struct gg_rules *rules = learn(memory);
    const struct gg_rule *rule = gg__rules_find(rules, 0, 0);
    assert_int_equal(rule->kind, unique <= GG_TERMINATOR_MAX ? GG_RULE_TERMINATOR : GG_RULE_NONE);
    if (rule->kind == GG_RULE_TERMINATOR) {
      assert_true(rule->terminator_bytes >= unique);
      assert_true(gg__rule_holds(rule, word, size));
    }
    gg__rules_destroy(rules);
  }
}

/* ── What is a reply ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void one_reply_only(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "hello\r\n");
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  gg__rules_destroy(rules);
}

static void only_replies_that_the_client_follows(void **state)
{
  struct memory_script *memory = *state;
  for (unsigned i = 0; i < 3; i++) {
    begin(memory, 0);
    send(memory);
    expect(memory, "ready\r\n");
    add(memory, GG_STEP_SEND, "a", 1); /* one chunk in two pieces has one reply before it */
    add(memory, GG_STEP_SEND, "b", 1);
    expect(memory, "a prompt> ");
    add(memory, GG_STEP_SEND_END, "", 0);
    expect(memory, "nobody waits for this");
    add(memory, GG_STEP_EXPECT_END, "", 0);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_terminator(rules, 0, 1, "\na prompt> ");
  assert_terminator(rules, 0, 2, "\r\n"); /* the service's, of those behind which the client said more */
  gg__rules_destroy(rules);
}

/* Clients that left in the middle of a reply do not hide how replies end. */
static void cut_replies_do_not_count_against_the_others(void **state)
{
  struct memory_script *memory = *state;
  for (unsigned i = 0; i < 4; i++) {
    begin(memory, 0);
    for (unsigned k = 0; k < 3; k++) {
      expect(memory, k == i ? "some\nend\n" : "some more\nend\n");
      send(memory);
    }
    expect(memory, i % 2 ? "some m" : "some more\ne");
    add(memory, i < 2 ? GG_STEP_SEND_RESET : GG_STEP_SEND_END, "", 0);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\nend\n");
  assert_terminator(rules, 0, 3, "\nend\n"); /* the service's */
  assert_terminator(rules, 0, 99, "\nend\n");
  gg__rules_destroy(rules);
}

static void gaps_and_ends_exclude(void **state)
{
  struct memory_script *memory = *state;
  for (unsigned i = 0; i < 4; i++) {
    begin(memory, 0);
    expect(memory, "one\r\n");
    send(memory);
    if (i == 3) { /* excluded, or the place would have no terminator */
      expect(memory, "tw");
      add(memory, GG_STEP_EXPECT_GAP, "", 0);
      expect(memory, "?");
      send(memory);
      expect(memory, "behind a gap the number is not known");
      send(memory);
      over(memory);
      continue;
    }
    expect(memory, "two\n");
    send(memory);
    expect(memory, "the last words of a server that goes.");
    add(memory, GG_STEP_EXPECT_END, "", 0);
    send(memory);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_terminator(rules, 0, 0, "\r\n");
  assert_terminator(rules, 0, 1, "\n");
  assert_none(rules, 0, 2); /* ended by the server, and one behind a gap that shares no end with the others */
  gg__rules_destroy(rules);
}

/* Missing beginnings and bytes of the client leave the numbers unknown, not the service. */
static void unnumbered_replies_count_for_the_service(void **state)
{
  struct memory_script *memory = *state;
  for (unsigned i = 0; i < 3; i++) {
    struct gg_script_session *session = begin(memory, 0);
    session->beginning_missing = i < 2;
    if (i == 2)
      add(memory, GG_STEP_SEND_GAP, "", 0);
    expect(memory, "two replies that stand as one");
    send(memory);
    expect(memory, i == 0 ? "x;" : "yz;");
    send(memory);
    over(memory);
  }
  memory->sessions[1].opaque = "TLS"; /* nor are opaque ones looked at */
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  assert_none(rules, 0, 1);
  gg__rules_destroy(rules);

  memory->sessions[1].opaque = NULL;
  for (unsigned i = 0; i < 3; i++) /* all of them end in ';' */
    memory->steps[memory->first[i] + (i == 2)].data = (const uint8_t *)"two replies that stand as on;";
  rules = learn(memory);
  assert_terminator(rules, 0, 0, ";");
  assert_terminator(rules, 0, 63, ";");
  gg__rules_destroy(rules);
}

static void services_have_rules_of_their_own(void **state)
{
  struct memory_script *memory = *state;
  for (uint32_t i = 0; i < 2 * GG_RULES_SERVICES_MAX + 20; i++) {
    begin(memory, i / 2);
    expect(memory, i / 2 % 2 ? "a\r\n" : "b;");
    send(memory);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  unsigned found = 0;
  for (uint32_t service = 0; service < GG_RULES_SERVICES_MAX + 10; service++)
    if (gg__rules_find(rules, service, 0)->kind == GG_RULE_TERMINATOR) {
      assert_terminator(rules, service, 0, service % 2 ? "\r\n" : "\nb;");
      found++;
    }
  assert_int_equal(found, GG_RULES_SERVICES_MAX);
  gg__rules_destroy(rules);
}

/* ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void long_replies_are_at_no_place(void **state)
{
  struct memory_script *memory = *state;
  static uint8_t large[GG_RULES_REPLY_MAX];
  memset(large, 'x', sizeof large);
  large[sizeof large - 1] = '!';
  for (unsigned i = 0; i < 3; i++) {
    begin(memory, 0);
    add(memory, GG_STEP_EXPECT, large, sizeof large); /* just so */
    send(memory);
    expect(memory, "one more;");
    add(memory, GG_STEP_EXPECT, large, sizeof large);
    send(memory);
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  const struct gg_rule *rule = gg__rules_find(rules, 0, 0);
  assert_int_equal(rule->kind, GG_RULE_TERMINATOR);
  assert_int_equal(rule->terminator[rule->terminator_bytes - 1], '!');
  assert_ptr_equal(gg__rules_find(rules, 0, 1), gg__rules_find(rules, 0, 5)); /* the service's */
  gg__rules_destroy(rules);
}

/* 64 MiB of equal bytes: a second or less, and no more than that is read. */
static void hostile_bytes_take_no_time(void **state)
{
  struct memory_script *memory = *state;
  static uint8_t equal[GG_RULES_REPLY_MAX], almost[GG_RULES_REPLY_MAX];
  memset(equal, 'a', sizeof equal);
  for (size_t i = 0; i < sizeof almost; i++) /* runs of 31, so that every byte is a near miss */
    almost[i] = i % 32 ? 'a' : 'b';
  memset(almost + sizeof almost - 33, 'a', 33);
  begin(memory, 0);
  for (unsigned i = 0; i < 2000; i++) {
    add(memory, GG_STEP_EXPECT, i % 2 ? equal : almost, GG_RULES_REPLY_MAX);
    send(memory);
  }
  over(memory);
  uint64_t before = gg_clock_mono_ns();
  struct gg_rules *rules = learn(memory);
  assert_true(memory->bytes_read <= GG_RULES_BYTES_MAX);
  assert_true(memory->bytes_read > GG_RULES_BYTES_MAX / 2);
  /* One reply by the square of its length would be 4 * 10^9 comparisons, a thousand of them hours. */
  assert_true(gg_clock_mono_ns() - before < 60 * GG_NS_PER_S);
  assert_int_equal(gg__rules_find(rules, 0, 0)->kind, GG_RULE_LENGTH); /* all the service's are as long */
  gg__rules_destroy(rules);
}

/* The first sessions are as large as the bound; those behind them are seen all the same. */
static void the_sample_is_even(void **state)
{
  struct memory_script *memory = *state;
  static uint8_t large[GG_RULES_REPLY_MAX];
  memset(large, 'x', sizeof large);
  for (unsigned i = 0; i < 10000; i++) {
    struct gg_script_session *session = begin(memory, i < 5000 ? 0 : 1);
    session->opaque = i % 100 == 7 ? "SSH" : NULL;
    for (unsigned k = 0; k < 8 && i < 5000; k++) {
      add(memory, GG_STEP_EXPECT, large, sizeof large);
      send(memory);
    }
    if (i >= 5000) {
      expect(memory, i % 2 ? "odd\n" : "even\n");
      send(memory);
    }
    over(memory);
  }
  struct gg_rules *rules = learn(memory);
  assert_true(memory->bytes_read <= GG_RULES_BYTES_MAX);
  assert_terminator(rules, 1, 0, "\n");
  assert_terminator(rules, 1, 9, "\n");
  gg__rules_destroy(rules);
}

static void steps_are_bounded(void **state)
{
  struct memory_script *memory = *state;
  begin(memory, 0);
  while (memory->steps_count < STEPS_MAX - 1)
    add(memory, GG_STEP_SEND, "x", 1);
  over(memory);
  for (unsigned i = 1; i < 400; i++) { /* the same million steps, many times */
    memory->first[i] = memory->first[0];
    memory->end[i] = memory->end[0];
  }
  memory->sessions_count = 400;
  struct gg_rules *rules = learn(memory);
  assert_true(memory->steps_read <= 4 << 20);
  assert_true(memory->steps_read > 3 << 20);
  gg__rules_destroy(rules);
}

static void errors_are_the_scripts(void **state)
{
  struct memory_script *memory = *state;
  DIALOG(memory, "a\n", "b\n");
  DIALOG(memory, "a\n", "b\n");
  for (unsigned call = 1; call <= 4; call++) {
    struct gg_rules *rules = (struct gg_rules *)memory;
    struct gg_failure failure = GG_FAILURE_INIT;
    memory->fail_at = call;
    assert_int_equal(gg__rules_learn(&rules, &memory->script, &failure), GG_ERR_CORRUPT);
    assert_null(rules);
    assert_string_equal(failure.message, "the bytes are not what they were");
  }
  gg__rules_destroy(NULL);
}

static void nothing_recorded(void **state)
{
  struct memory_script *memory = *state;
  struct gg_rules *rules = learn(memory);
  assert_none(rules, 0, 0);
  gg__rules_destroy(rules);
  begin(memory, 0)->opaque = "TLS";
  over(memory);
  begin(memory, 0);
  rules = learn(memory);
  assert_none(rules, 0, 0);
  gg__rules_destroy(rules);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(smtp),
    TEST(lines_without_numbers),
    TEST(redis_bulk),
    TEST(redis_bulk_of_one_length_and_end),
    TEST(prompts),
    TEST(one_byte_takes_four_replies),
    TEST(prompt_without_newline),
    TEST(prompt_in_the_middle),
    TEST(memcached),
    TEST(http),
    TEST(binary_of_any_length),
    TEST(lengths),
    TEST(same_replies_make_no_length),
    TEST(runs_of_equal_bytes),
    TEST(unique_suffix_by_definition),
    TEST(one_reply_only),
    TEST(only_replies_that_the_client_follows),
    TEST(cut_replies_do_not_count_against_the_others),
    TEST(gaps_and_ends_exclude),
    TEST(unnumbered_replies_count_for_the_service),
    TEST(services_have_rules_of_their_own),
    TEST(long_replies_are_at_no_place),
    TEST(hostile_bytes_take_no_time),
    TEST(the_sample_is_even),
    TEST(steps_are_bounded),
    TEST(errors_are_the_scripts),
    TEST(nothing_recorded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
