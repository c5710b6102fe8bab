/* SPDX-License-Identifier: Apache-2.0 */
/* Any protocol of lines that people can read: FTP, POP3, IMAP, IRC, consoles, and what has no name.
 *
 *     server  text ──┬── LF ─────────────────────────────────► a line
 *                    ├── the client speaks, and the text has
 *                    │   the form of a prompt ───────────────► a prompt, which is learned
 *                    └── the text is a learned prompt ───────► a prompt, at once
 *     client  text ───── LF ─────────────────────────────────► a line
 *
 * What is said of pairing, and why no more:
 *   - A prompt is text without an end of line at which the client speaks, of at most 128 bytes that end as prompts do
 *     (gg__prompt_of). When the same text begins a line again it is the prompt again, and is told without waiting for
 *     the client: the answer is complete then, and who replays the session may send what comes next. If the server goes
 *     on in that line although nothing is left to answer, the text was no sign of that; from then on it is a prompt
 *     only where the client speaks.
 *   - What is said at a prompt is a request. If several lines wait, each prompt completes the first of them; what is
 *     said at a prompt finds all that was said before it answered.
 *   - Without prompts nobody can tell from bytes where an answer ends: the server's lines answer the line that the
 *     client has said last, and none completes it. That the client speaks again is no sign of use: who replays is the
 *     client.
 *   - Before the client has said something, and after a prompt, what the server says is unsolicited.
 *
 * Secrets: a line said at a prompt for a password; what follows PASS, APOP, OPER, LOGIN and AUTH in FTP, POP3, IRC and
 * IMAP; all that the client says until AUTH is through. What follows AUTH is a mechanism if it is known as one, and
 * else a password, or a user and a password, as in Redis, whose HELLO has such an AUTH in it, too. They are in
 * lines.password alone: such a line has no body.
 *
 * After STARTTLS, STLS and AUTH TLS the client's bytes wait for the server's line, and the session is TLS if that
 * agrees.
 *
 * Odd input: lines of any length are told in pieces, bytes are what they are; missing ones flag the lines on both sides
 * of the gap.
 */
#include "proto/decoders.h"
#include "proto/textual.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
  KEPT_MAX = 1024,   /* bytes of a line that are a field */
  PROMPTS_MAX = 16,  /* that are learned in a session */
  WAITING_MAX = 256, /* lines that wait for a prompt; the first are forgotten */
  SHOWN_MAX = 200,   /* bytes of a line in a summary */
};

struct half {
  struct gg_draft *draft;
  uint64_t offset, end; /* of the line, and behind its last byte */
  uint8_t text[KEPT_MAX];
  size_t length;      /* in `text` */
  bool flowing;       /* it is longer: its body is told as it comes */
  bool secret;        /* no body is told ... */
  size_t secret_from; /* ... and from there on it is one */
  bool after_gap;
  enum gg__prompt asked; /* by the prompt at which it is said */
};

struct prompt {
  uint8_t text[GG__PROMPT_MAX];
  size_t length;
  bool refuted;
};

struct state {
  struct half halves[2];
  struct prompt prompts[PROMPTS_MAX];
  size_t prompt_count;
  struct prompt *at_once; /* the server's last word, and told before the client spoke */
  bool prompted;          /* there are prompts */
  bool at_prompt;         /* the server's last word is one ... */
  enum gg__prompt asks;   /* ... for that */
  uint64_t waiting[WAITING_MAX];
  size_t first, count;
  bool logging_in; /* what the client says is part of AUTH */
  bool tls_asked;
  bool client_spoke, server_spoke;
};

static const char *const kinds[] = {"line", "prompt", NULL};
enum { LINE, PROMPT };

enum { TEXT, PROMPT_TEXT, BANNER, USER, PASSWORD };
static const struct gg_decoder_field fields[] = {
  [TEXT] = {"lines.text", GG_FIELD_TEXT, false, "the line, without its end", NULL},
  [PROMPT_TEXT] = {"lines.prompt", GG_FIELD_TEXT, false, "text at which the server waits", NULL},
  [BANNER] = {"lines.banner", GG_FIELD_TEXT, true, "the server's first line, before the client spoke",
              "lines.banner=220*"},
  [USER] = {"lines.user", GG_FIELD_TEXT, true, "who logs in", "lines.user=ann"},
  [PASSWORD] = {"lines.password", GG_FIELD_TEXT, false, "what must not be shown", NULL},
  {NULL, 0, false, NULL, NULL},
};

/* ── What the client says ────────────────────────────────────────────────────────────────────────────────────────── */

/* What is in a line. A secret goes to the line's end. */
struct credentials {
  const uint8_t *user;
  size_t user_length, secret_from;
  bool has_secret, logs_in, asks_tls;
};

/* The words of a line, as far as they matter. */
enum { WORDS_MAX = 8 };
struct words {
  struct gg__textword word[WORDS_MAX];
  size_t count;
};

static bool is(const struct words *words, size_t index, const char *name)
{
  return index < words->count && gg__textual_is(words->word[index].text, words->word[index].length, name);
}

enum { NOBODY = WORDS_MAX }; /* no word of the line */

static void from_word(struct credentials *out, const struct words *words, size_t user, size_t secret)
{
  if (user < words->count && *words->word[user].text != '{') { /* a literal says only how long it is */
    out->user = words->word[user].text;
    out->user_length = words->word[user].length;
    if (out->user_length > 1 && *out->user == '"' && out->user[out->user_length - 1] == '"') {
      out->user++;
      out->user_length -= 2;
    }
  }
  out->has_secret = secret < words->count;
  out->secret_from = out->has_secret ? words->word[secret].at : 0;
}

/* Mechanisms of SASL, and what FTP has instead (RFC 2228, 4217). */
static bool is_mechanism(const struct words *words, size_t index)
{
  static const char *const names[] = {"PLAIN",      "LOGIN",       "CRAM-MD5",    "DIGEST-MD5",  "GSSAPI",
                                      "GSS-SPNEGO", "KERBEROS_V4", "KERBEROS_V5", "NTLM",        "EXTERNAL",
                                      "ANONYMOUS",  "XOAUTH",      "XOAUTH2",     "OAUTHBEARER", "OTP",
                                      "S/KEY",      "SKEY",        "SECURID",     "TLS",         "SSL",
                                      "TLS-P",      "TLS-C",       "SAML20",      "OPENID20",    "APOP"};
  if (index >= words->count)
    return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (is(words, index, names[i]))
      return true;
  const struct gg__textword *word = &words->word[index];
  return gg__textual_begins(word->text, word->length, "SCRAM-SHA-") ||
         gg__textual_begins(word->text, word->length, "ECDSA-NIST") ||
         gg__textual_begins(word->text, word->length, "X-") || gg__textual_begins(word->text, word->length, "GS2-");
}

/* Whether it could be the name of a mechanism (RFC 4422, 3.1), and what follows could be what it asks for. */
static bool has_form_of_mechanism(const struct words *words, size_t index)
{
  if (index >= words->count || words->word[index].length > 20)
    return false;
  for (size_t i = 0; i < words->word[index].length; i++) {
    uint8_t letter = words->word[index].text[i];
    if (!(letter >= 'A' && letter <= 'Z') && !(letter >= '0' && letter <= '9') && letter != '-' && letter != '_')
      return false;
  }
  return true;
}

/* What follows AUTH. */
static void from_auth(struct credentials *out, const struct words *words, size_t first)
{
  if (is_mechanism(words, first) || first >= words->count) {
    from_word(out, words, NOBODY, first + 1);
    out->logs_in = true;
    return;
  }
  bool quoted = memchr("\"'", *words->word[first].text, 2);
  bool both = words->count == first + 2 && !quoted;
  from_word(out, words, both ? first : NOBODY, both ? first + 1 : first);
  out->logs_in = has_form_of_mechanism(words, first);
}

/* HELLO 3 AUTH user password: where its AUTH stands; 0: it has none. */
static size_t find_auth_of_hello(const struct words *words)
{
  for (size_t i = 2; i < words->count && is(words, 0, "HELLO"); i++)
    if (is(words, i, "AUTH"))
      return i;
  return 0;
}

static struct credentials find_credentials(const uint8_t *text, size_t length)
{
  struct words words = {0};
  for (size_t at = 0; words.count < WORDS_MAX && gg__textword_next(&words.word[words.count], text, length, &at);)
    words.count++;
  struct credentials found = {0};
  size_t of_hello = find_auth_of_hello(&words);
  bool tagged = is(&words, 1, "AUTHENTICATE") || is(&words, 1, "AUTH");
  bool asks = tagged || is(&words, 0, "AUTHENTICATE") || is(&words, 0, "AUTH");
  if (is(&words, 0, "PASS"))
    from_word(&found, &words, NOBODY, 1);
  else if (is(&words, 0, "USER"))
    from_word(&found, &words, 1, NOBODY);
  else if (is(&words, 0, "APOP") || is(&words, 0, "OPER"))
    from_word(&found, &words, 1, 2);
  else if (is(&words, 1, "LOGIN"))
    from_word(&found, &words, 2, 3);
  found.asks_tls = is(&words, 0, "STLS") || is(&words, 0, "STARTTLS") || is(&words, 1, "STARTTLS") ||
                   (is(&words, 0, "AUTH") && (is(&words, 1, "TLS") || is(&words, 1, "SSL")));
  if (of_hello)
    from_word(&found, &words, of_hello + 1, of_hello + 2);
  else if (asks && !found.asks_tls)
    from_auth(&found, &words, tagged ? 2 : 1);
  if (is(&words, 1, "LOGIN") && length && text[length - 1] == '}') /* literals follow (RFC 9051, 4.3) */
    found.logs_in = true;
  return found;
}

/* ── Lines that wait for a prompt ────────────────────────────────────────────────────────────────────────────────── */

static void add_waiting(struct state *state, uint64_t number)
{
  if (state->count == WAITING_MAX) {
    state->first = (state->first + 1) % WAITING_MAX;
    state->count--;
  }
  state->waiting[(state->first + state->count++) % WAITING_MAX] = number;
}

static uint64_t answered(const struct state *state)
{
  if (!state->count)
    return 0;
  return state->waiting[(state->first + (state->prompted ? 0 : state->count - 1)) % WAITING_MAX];
}

/* That one, and those before it. */
static void complete(struct state *state, uint64_t number)
{
  while (state->count && state->waiting[state->first] <= number) {
    state->first = (state->first + 1) % WAITING_MAX;
    state->count--;
  }
}

/* ── Text of a line ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_body(struct gg_decoding *decoding, struct half *half, const uint8_t *data, size_t length,
                      uint64_t offset)
{
  struct gg_body body = {.data = data, .length = length, .raw_offset = offset, .raw_length = length};
  if (length)
    gg_decoded_body(decoding, half->draft, &body);
}

static void add_secret(struct gg_decoding *decoding, struct half *half)
{
  size_t from = half->secret_from;
  struct gg_field field = {.of = &fields[PASSWORD],
                           .value = half->text + from,
                           .length = half->length - from,
                           .secret = true,
                           .raw_offset = half->offset + from,
                           .raw_length = half->end - half->offset - from};
  field.cut = field.length < field.raw_length;
  gg_decoded_field(decoding, half->draft, &field);
}

/* The text is known as far as it is kept. */
static void tell_text(struct gg_decoding *decoding, struct half *half, unsigned of, size_t length, const char *hidden)
{
  struct gg_field field = {
    .of = &fields[of], .value = half->text, .length = length, .raw_offset = half->offset, .raw_length = length};
  field.cut = half->flowing && !half->secret;
  if (length || !half->secret)
    gg_decoded_field(decoding, half->draft, &field);
  char shown[SHOWN_MAX + sizeof "***"];
  size_t room = length < SHOWN_MAX ? length : SHOWN_MAX, stars = strlen(hidden);
  assert(room + stars <= sizeof shown);
  memcpy(shown, half->text, room);
  memcpy(shown + room, hidden, stars);
  gg_decoded_summary_bytes(decoding, half->draft, shown, room + stars);
  if (!half->secret)
    tell_body(decoding, half, half->text, half->length, half->offset);
}

/* What the client's line says, all of it or its first bytes. */
static void tell_client(struct state *state, struct gg_decoding *decoding, struct half *half)
{
  struct credentials found = find_credentials(half->text, half->length);
  size_t shown = half->length;
  if (half->asked == GG__PROMPT_SECRET || state->logging_in) {
    found = (struct credentials){.has_secret = true, .logs_in = state->logging_in};
  } else if (half->asked == GG__PROMPT_USER) {
    found.user = half->text;
    found.user_length = half->length;
  }
  state->logging_in = found.logs_in;
  state->tls_asked = found.asks_tls && !half->flowing; /* what is so long goes on, and is no command */
  half->secret = found.has_secret;
  half->secret_from = found.secret_from;
  if (found.has_secret)
    shown = found.secret_from;
  tell_text(decoding, half, TEXT, shown, found.has_secret ? "***" : "");
  if (found.user)
    gg_decoded_text(decoding, half->draft, &fields[USER], found.user, found.user_length,
                    half->offset + (uint64_t)(found.user - half->text));
  if (found.has_secret && !half->flowing)
    add_secret(decoding, half);
}

static void tell(struct state *state, struct gg_decoding *decoding, enum gg_side side)
{
  struct half *half = &state->halves[side];
  if (side == GG_SIDE_CLIENT)
    tell_client(state, decoding, half);
  else
    tell_text(decoding, half, state->server_spoke || state->client_spoke ? TEXT : BANNER, half->length, "");
}

/* Adds bytes to the line. */
static void gather(struct state *state, struct gg_decoding *decoding, enum gg_side side, const uint8_t *data,
                   size_t length, uint64_t offset)
{
  struct half *half = &state->halves[side];
  size_t room = KEPT_MAX - half->length, kept = length < room ? length : room;
  if (!half->flowing) {
    memcpy(half->text + half->length, data, kept);
    half->length += kept;
  }
  half->end = offset + (half->flowing ? length : kept);
  if (!half->flowing && kept < length) {
    half->flowing = true;
    tell(state, decoding, side);
    half->end = offset + length;
    if (!half->secret)
      tell_body(decoding, half, data + kept, length - kept, offset + kept);
  } else if (half->flowing && !half->secret) {
    tell_body(decoding, half, data, length, offset);
  }
}

/* ── Prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct prompt *find_prompt(struct state *state, const uint8_t *text, size_t length)
{
  for (size_t i = 0; i < state->prompt_count; i++)
    if (state->prompts[i].length == length && memcmp(state->prompts[i].text, text, length) == 0)
      return &state->prompts[i];
  return NULL;
}

/* With how many of these bytes the server's line becomes a learned prompt; 0: with none. */
static size_t until_prompt(const struct state *state, const uint8_t *data, size_t length)
{
  const struct half *half = &state->halves[GG_SIDE_SERVER];
  size_t least = 0;
  for (size_t i = 0; i < state->prompt_count && !half->flowing; i++) {
    const struct prompt *prompt = &state->prompts[i];
    if (prompt->refuted || prompt->length <= half->length || prompt->length - half->length > length)
      continue;
    size_t rest = prompt->length - half->length;
    if (memcmp(prompt->text, half->text, half->length) == 0 && memcmp(prompt->text + half->length, data, rest) == 0 &&
        (!least || rest < least))
      least = rest;
  }
  return least;
}

static void end_prompt(struct state *state, struct gg_decoding *decoding, bool at_once)
{
  struct half *half = &state->halves[GG_SIDE_SERVER];
  struct gg_message *message = gg_decoded_message(decoding, half->draft);
  message->kind = kinds[PROMPT];
  if (message->answers) {
    message->flags |= GG_MESSAGE_COMPLETES;
    complete(state, message->answers);
  }
  tell_text(decoding, half, PROMPT_TEXT, half->length, "");
  gg_decoded_end(decoding, half->draft, half->end);
  half->draft = NULL;
  struct prompt *prompt = find_prompt(state, half->text, half->length);
  if (!prompt && state->prompt_count < PROMPTS_MAX) {
    prompt = &state->prompts[state->prompt_count++];
    memcpy(prompt->text, half->text, half->length);
    prompt->length = half->length;
  }
  state->at_once = at_once ? prompt : NULL;
  state->prompted = true;
  state->at_prompt = true;
  state->server_spoke = true;
  state->asks = gg__prompt_of(half->text, half->length);
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void client_begins(struct state *state, struct gg_decoding *decoding)
{
  struct half *half = &state->halves[GG_SIDE_SERVER];
  if (half->draft && !half->flowing && gg__prompt_of(half->text, half->length) != GG__PROMPT_NOT)
    end_prompt(state, decoding, false);
}

static void begin(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint8_t first, uint64_t offset)
{
  struct half *half = &state->halves[side];
  if (side == GG_SIDE_CLIENT)
    client_begins(state, decoding);
  half->draft = gg_decoded_begin(decoding, side, LINE, offset);
  half->offset = half->end = offset;
  half->length = 0;
  half->flowing = half->secret = false;
  half->asked = GG__PROMPT_NOT;
  struct gg_message *message = gg_decoded_message(decoding, half->draft);
  message->flags |= half->after_gap ? GG_MESSAGE_GAP : 0;
  half->after_gap = false;
  if (side == GG_SIDE_CLIENT) {
    if (state->at_prompt) {
      message->flags |= GG_MESSAGE_REQUEST;
      half->asked = state->asks;
      state->count = 0;
    }
    add_waiting(state, message->number);
    state->client_spoke = true;
  } else {
    message->answers = answered(state);
    message->flags |= message->answers ? 0 : GG_MESSAGE_UNSOLICITED;
    if (state->at_once && !state->count && first != '\n' && first != '\r')
      state->at_once->refuted = true;
  }
  state->at_once = NULL;
  state->at_prompt = false;
}

/* "+OK", "234 ...", "a1 OK": whether the server agrees. */
static bool agrees(const struct half *half)
{
  static const char *const good[] = {"+OK", "220", "234", "382"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (gg__textual_begins(half->text, half->length, good[i]))
      return true;
  struct gg__textword word;
  size_t at = 0;
  return gg__textword_next(&word, half->text, half->length, &at) &&
         gg__textword_next(&word, half->text, half->length, &at) && gg__textual_is(word.text, word.length, "OK");
}

/* "+ ", "AUTHENTICATE +": the server wants more of what logs somebody in. */
static bool goes_on(const struct half *half)
{
  static const char irc[] = "AUTHENTICATE +";
  if (half->length && *half->text == '+' && (half->length == 1 || half->text[1] == ' '))
    return true;
  return half->length >= sizeof irc - 1 &&
         gg__textual_is(half->text + half->length - (sizeof irc - 1), sizeof irc - 1, irc);
}

static void end_line(struct state *state, struct gg_decoding *decoding, enum gg_side side, uint64_t end)
{
  struct half *half = &state->halves[side];
  if (!half->flowing)
    tell(state, decoding, side);
  else if (half->secret) /* it is only known now how long it is */
    add_secret(decoding, half);
  gg_decoded_end(decoding, half->draft, end);
  half->draft = NULL;
  if (side == GG_SIDE_CLIENT)
    return;
  state->server_spoke = true;
  state->logging_in = state->logging_in && goes_on(half);
  if (state->tls_asked && agrees(half))
    gg_decoded_become(decoding, &(struct gg_become){.decoder = "tls"});
  state->tls_asked = false;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  enum gg_side side = window->side;
  size_t done = 0;
  while (done < window->length) {
    if (side == GG_SIDE_CLIENT && state->tls_asked) {
      gg_decoded_hold(decoding, side);
      break;
    }
    const uint8_t *data = window->data + done, *end = memchr(data, '\n', window->length - done);
    size_t length = end ? (size_t)(end - data) : window->length - done;
    size_t whole = length + (end ? 1 : 0);
    if (length && data[length - 1] == '\r' && (end || !window->last))
      length--; /* it belongs to the line's end, if that comes */
    whole = end ? whole : length;
    if (!whole)
      break;
    if (!state->halves[side].draft)
      begin(state, decoding, side, *data, window->offset + done);
    size_t prompt = side == GG_SIDE_SERVER ? until_prompt(state, data, length) : 0;
    gather(state, decoding, side, data, prompt ? prompt : length, window->offset + done);
    done += prompt ? prompt : whole;
    if (prompt)
      end_prompt(state, decoding, true);
    else if (end)
      end_line(state, decoding, side, window->offset + done);
    if (gg_decoded_stopped(decoding, side))
      break;
  }
  return done;
}

static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  (void)length;
  struct state *state = self;
  struct half *half = &state->halves[side];
  if (half->draft) {
    gg_decoded_message(decoding, half->draft)->flags |= GG_MESSAGE_GAP;
    end_line(state, decoding, side, offset);
  }
  half->after_gap = true;
  return true;
}

/* A last line without an end. */
static void end(void *self, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset)
{
  struct state *state = self;
  struct half *half = &state->halves[side];
  if (!half->draft)
    return;
  if (orderly)
    end_line(state, decoding, side, end_offset);
  else if (!half->flowing)
    tell(state, decoding, side);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* The last that is asked: text of both sides with an end of line, or a server that waits at a prompt. */
static enum gg_likeness identify(const struct gg_opening *opening)
{
  bool line = false, full = false;
  for (unsigned side = 0; side < 2; side++) {
    if (!gg__textual_readable(opening->data[side], opening->length[side]))
      return GG_LIKENESS_NONE;
    line = line || memchr(opening->data[side], '\n', opening->length[side]);
    full = full || opening->length[side] >= GG_IDENTIFY_MAX;
  }
  bool server_first = opening->spoke_first && opening->first == GG_SIDE_SERVER;
  bool waits = server_first && opening->length[GG_SIDE_CLIENT] &&
               gg__prompt_of(opening->data[GG_SIDE_SERVER], opening->length[GG_SIDE_SERVER]) != GG__PROMPT_NOT;
  return line || waits ? GG_LIKENESS_LIKELY : full ? GG_LIKENESS_NONE : GG_LIKENESS_OPEN;
}

const struct gg_decoder gg__decoder_lines = {
  GG_DECODER_HEAD,
  .name = "lines",
  .protocol = "lines",
  .title = "lines of text, with prompts (FTP, POP3, IMAP, IRC, consoles)",
  .kinds = kinds,
  .fields = fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
  .end = end,
};
