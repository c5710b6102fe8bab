/* SPDX-License-Identifier: Apache-2.0 */
/* SMTP (RFC 5321) with PIPELINING (2920), CHUNKING (3030), AUTH (4954) and STARTTLS (3207); LMTP (2033) too.
 *
 *     client  COMMANDS ──┬── DATA ── held until the reply: 354 ──► DATA ──── CR LF "." CR LF ──► COMMANDS
 *                        ├── BDAT n ──► CHUNK ── n bytes ──► COMMANDS
 *                        ├── AUTH ── held until the reply: 334 ──► AUTH ── a response, held again ...
 *                        └── STARTTLS ── held until the reply: 220 ──► the session is TLS from there on
 *     server  lines "250-..." and a last one "250 ...": a reply
 *
 * What a client's bytes are depends on what the server says to DATA, AUTH and STARTTLS: they are held until that is
 * known, also if the client has not waited for it. Commands and mails wait in a queue, and each reply answers the first
 * of them; the first reply of a session is the banner, and answers nothing. To a mail an LMTP server says one reply for
 * each recipient that it has accepted.
 *
 * A mail is told without the dots that are stuffed in at the beginning of lines, and without the last line. It ends
 * only where RFC 5321 has it: a dot behind a line feed alone, at which some servers end a mail and others do not ("SMTP
 * smuggling"), is named in smtp.odd. A chunk is a mail's piece, and a message with its command.
 *
 * Odd input: lines that end with a line feed alone are named; a command that is no word is a command that the server
 * will refuse. A server's line without a code ends the decoding.
 */
#include "proto/smtp.h"

#include "proto/decoders.h"
#include "proto/textual.h"

#include <stdio.h>
#include <string.h>

enum {
  WAITING_MAX = 1 << 16, /* commands without a reply */
  SHOWN_MAX = 160,       /* bytes of a line in a summary */
};

enum mode { COMMANDS, AUTH, DATA, CHUNK };
enum verb { OTHER, HELLO, MAIL, RCPT, DATA_VERB, BDAT, AUTH_VERB, STARTTLS, RSET, CONTENT };

struct waiting {
  uint64_t number;
  uint32_t left; /* replies */
  uint8_t verb;
};

/* Where in a line of a mail the next byte is. */
enum place {
  WITHIN,
  BEGINNING, /* behind CR LF */
  BARE,      /* behind a LF alone ... */
  BARE_DOT,  /* ... and a dot behind that ... */
  BARE_CR,   /* ... and a CR */
};

struct state {
  enum mode mode;
  bool held; /* until the last command's reply */
  struct gg__smtp_auth auth;
  struct gg_draft *mail;
  enum place place;
  bool after_cr;
  uint64_t left; /* bytes of a chunk */
  bool lmtp;
  uint32_t accepted; /* recipients */

  struct waiting *queue; /* a ring */
  size_t first, count, capacity;

  struct gg_draft *reply;
  unsigned code;
  bool greeted;
};

static const char *const kinds[] = {"command", "reply", "mail", NULL};
enum { COMMAND, REPLY, MAIL_KIND };

const struct gg_decoder_field gg__smtp_fields[] = {
  [GG__SMTP_COMMAND] = {"smtp.command", GG_FIELD_TEXT, false, "name of the command, in upper case", NULL},
  [GG__SMTP_ARGUMENT] = {"smtp.argument", GG_FIELD_TEXT, false, "what stands behind the command", NULL},
  [GG__SMTP_HELO] = {"smtp.helo", GG_FIELD_TEXT, true, "name that the client gives itself",
                     "smtp.helo=mail.example.org"},
  [GG__SMTP_FROM] = {"smtp.from", GG_FIELD_TEXT, true, "sender of the envelope", "smtp.from=ann@example.org"},
  [GG__SMTP_TO] = {"smtp.to", GG_FIELD_TEXT, true, "recipient of the envelope", "smtp.to=bob@example.org"},
  [GG__SMTP_CODE] = {"smtp.code", GG_FIELD_NUMBER, false, "code of the reply", NULL},
  [GG__SMTP_STATUS] = {"smtp.status", GG_FIELD_NUMBER, true, "code of a refusal, 400 and above", "smtp.status=550"},
  [GG__SMTP_TEXT] = {"smtp.text", GG_FIELD_TEXT, false, "a line of the reply, without its code", NULL},
  [GG__SMTP_SERVER] = {"smtp.server", GG_FIELD_TEXT, true, "name in the server's banner", "smtp.server=mx.example.org"},
  [GG__SMTP_EXTENSION] = {"smtp.extension", GG_FIELD_TEXT, false, "what the server can, after EHLO", NULL},
  [GG__SMTP_MECHANISM] = {"smtp.mechanism", GG_FIELD_TEXT, false, "how the client logs in", NULL},
  [GG__SMTP_USER] = {"smtp.user", GG_FIELD_TEXT, true, "who logs in", "smtp.user=ann"},
  [GG__SMTP_PASSWORD] = {"smtp.password", GG_FIELD_TEXT, false, "password, token or digest", NULL},
  [GG__SMTP_ODD] = {"smtp.odd", GG_FIELD_TEXT, false, "what is not as RFC 5321 has it", NULL},
  {NULL, 0, false, NULL, NULL},
};

static void odd(struct gg_decoding *decoding, struct gg_draft *draft, const char *what)
{
  struct gg_field field = {.of = &gg__smtp_fields[GG__SMTP_ODD], .value = (const uint8_t *)what};
  struct gg_message *message = gg_decoded_message(decoding, draft);
  field.length = strlen(what);
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].of == field.of && message->fields[i].length == field.length &&
        memcmp(message->fields[i].value, what, field.length) == 0)
      return;
  message->flags |= GG_MESSAGE_ODD;
  gg_decoded_field(decoding, draft, &field);
}

/* ── What waits for a reply ──────────────────────────────────────────────────────────────────────────────────────── */

static void add_waiting(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, enum verb verb,
                        uint32_t left)
{
  struct gg_message *message = gg_decoded_message(decoding, draft);
  message->flags |= GG_MESSAGE_REQUEST;
  if (state->count == state->capacity) {
    size_t wanted = state->capacity ? state->capacity * 2 : 8;
    if (wanted > WAITING_MAX) {
      gg_decoded_opaque(decoding, GG_OPAQUE_LIMIT, GG_SIDE_CLIENT, message->offset, false,
                        "more than 65536 commands without a reply");
      return;
    }
    struct waiting *queue = gg_decoded_alloc(decoding, NULL, wanted * sizeof *queue);
    if (!queue)
      return;
    for (size_t i = 0; i < state->count; i++)
      queue[i] = state->queue[(state->first + i) % state->capacity];
    gg_decoded_alloc(decoding, state->queue, 0);
    state->queue = queue;
    state->first = 0;
    state->capacity = wanted;
  }
  state->queue[(state->first + state->count++) % state->capacity] =
    (struct waiting){.number = message->number, .left = left, .verb = (uint8_t)verb};
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static enum verb verb_of(const uint8_t *text, size_t length)
{
  static const struct {
    const char *name;
    enum verb verb;
  } verbs[] = {{"EHLO", HELLO},     {"HELO", HELLO}, {"LHLO", HELLO},     {"MAIL", MAIL},         {"RCPT", RCPT},
               {"DATA", DATA_VERB}, {"BDAT", BDAT},  {"AUTH", AUTH_VERB}, {"STARTTLS", STARTTLS}, {"RSET", RSET}};
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (gg__textual_is(text, length, verbs[i].name))
      return verbs[i].verb;
  return OTHER;
}

/* "FROM:<ann@example.org> SIZE=5": the address. */
static void add_address(struct gg_decoding *decoding, struct gg_draft *draft, enum gg__smtp_field of,
                        const uint8_t *text, size_t length, uint64_t offset)
{
  const uint8_t *from = memchr(text, ':', length), *end = text + length;
  if (!from)
    return;
  for (from++; from < end && *from == ' ';)
    from++;
  bool angle = from < end && *from == '<';
  from += angle ? 1 : 0;
  const uint8_t *to = memchr(from, angle ? '>' : ' ', (size_t)(end - from));
  to = to ? to : end;
  gg_decoded_text(decoding, draft, &gg__smtp_fields[of], from, (size_t)(to - from), offset + (uint64_t)(from - text));
}

static void add_auth(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, const uint8_t *text,
                     size_t length, uint64_t offset)
{
  struct gg__textword mechanism, response;
  size_t at = 0;
  if (!gg__textword_next(&mechanism, text, length, &at))
    return;
  gg__smtp_auth_begin(&state->auth, mechanism.text, mechanism.length);
  gg_decoded_text(decoding, draft, &gg__smtp_fields[GG__SMTP_ARGUMENT], mechanism.text, mechanism.length,
                  offset + mechanism.at);
  gg_decoded_text(decoding, draft, &gg__smtp_fields[GG__SMTP_MECHANISM], mechanism.text, mechanism.length,
                  offset + mechanism.at);
  bool initial = gg__textword_next(&response, text, length, &at);
  gg_decoded_summary(decoding, draft, "AUTH %.*s%s", (int)(mechanism.length < SHOWN_MAX ? mechanism.length : SHOWN_MAX),
                     mechanism.text, initial ? " ***" : "");
  if (initial)
    gg__smtp_auth_response(&state->auth, decoding, draft, response.text, length - response.at, offset + response.at);
}

static void add_arguments(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, enum verb verb,
                          const uint8_t *text, size_t length, uint64_t offset)
{
  if (verb == AUTH_VERB) {
    add_auth(state, decoding, draft, text, length, offset);
    return;
  }
  if (length)
    gg_decoded_text(decoding, draft, &gg__smtp_fields[GG__SMTP_ARGUMENT], text, length, offset);
  if (verb == HELLO)
    gg_decoded_text(decoding, draft, &gg__smtp_fields[GG__SMTP_HELO], text, length, offset);
  else if (verb == MAIL || verb == RCPT)
    add_address(decoding, draft, verb == MAIL ? GG__SMTP_FROM : GG__SMTP_TO, text, length, offset);
}

static uint64_t number_of(const uint8_t *text, size_t length)
{
  uint64_t number = 0;
  for (size_t i = 0; i < length && i < 18 && text[i] >= '0' && text[i] <= '9'; i++)
    number = number * 10 + (uint64_t)(text[i] - '0');
  return number;
}

/* "BDAT 86 LAST": its bytes follow at once. */
static void begin_chunk(struct state *state, struct gg_decoding *decoding, struct gg_draft *draft, const uint8_t *text,
                        size_t length, uint64_t end)
{
  bool last = gg__textual_has(text, length, "LAST");
  add_waiting(state, decoding, draft, BDAT, last && state->lmtp && state->accepted ? state->accepted : 1);
  state->left = number_of(text, length);
  if (state->left == 0) {
    gg_decoded_end(decoding, draft, end);
    return;
  }
  state->mail = draft;
  state->mode = CHUNK;
}

static void take_command(struct state *state, struct gg_decoding *decoding, const struct gg__textline *line,
                         uint64_t offset)
{
  struct gg__textword word = {.text = line->text};
  size_t at = 0;
  gg__textword_next(&word, line->text, line->length, &at);
  enum verb verb = verb_of(word.text, word.length);
  while (at < line->length && line->text[at] == ' ')
    at++;
  char name[32];
  size_t length = gg__textual_upper(name, sizeof name, word.text, word.length);
  struct gg_draft *draft = gg_decoded_begin(decoding, GG_SIDE_CLIENT, verb == BDAT ? MAIL_KIND : COMMAND, offset);
  gg_decoded_text(decoding, draft, &gg__smtp_fields[GG__SMTP_COMMAND], name, length, offset + word.at);
  size_t shown = line->length < SHOWN_MAX ? line->length : SHOWN_MAX;
  gg_decoded_summary_bytes(decoding, draft, line->text, shown);
  add_arguments(state, decoding, draft, verb, line->text + at, line->length - at, offset + at);
  if (line->bare)
    odd(decoding, draft, "bare-line-feed");
  if (verb == HELLO)
    state->lmtp = *name == 'L';
  if (verb == HELLO || verb == MAIL || verb == RSET)
    state->accepted = 0;
  if (verb == BDAT) {
    begin_chunk(state, decoding, draft, line->text + at, line->length - at, offset + line->whole);
    return;
  }
  add_waiting(state, decoding, draft, verb, 1);
  state->held = verb == DATA_VERB || verb == AUTH_VERB || verb == STARTTLS;
  gg_decoded_end(decoding, draft, offset + line->whole);
}

/* What the client says to a 334. */
static void take_response(struct state *state, struct gg_decoding *decoding, const struct gg__textline *line,
                          uint64_t offset)
{
  struct gg_draft *draft = gg_decoded_begin(decoding, GG_SIDE_CLIENT, COMMAND, offset);
  gg_decoded_summary(decoding, draft, "%s", line->length == 1 && *line->text == '*' ? "*" : "***");
  gg__smtp_auth_response(&state->auth, decoding, draft, line->text, line->length, offset);
  add_waiting(state, decoding, draft, AUTH_VERB, 1);
  state->mode = COMMANDS;
  state->held = true;
  gg_decoded_end(decoding, draft, offset + line->whole);
}

/* ── Mails ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void tell_body(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t from,
                      size_t to)
{
  struct gg_body body = {
    .data = window->data + from, .length = to - from, .raw_offset = window->offset + from, .raw_length = to - from};
  if (to > from)
    gg_decoded_body(decoding, state->mail, &body);
}

static void end_mail(struct state *state, struct gg_decoding *decoding, uint64_t end)
{
  gg_decoded_end(decoding, state->mail, end);
  state->mail = NULL;
  state->mode = COMMANDS;
}

static size_t take_chunk(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  size_t length = window->length - at;
  if (state->left < length)
    length = (size_t)state->left;
  tell_body(state, decoding, window, at, at + length);
  state->left -= length;
  if (state->left == 0)
    end_mail(state, decoding, window->offset + at + length);
  return length;
}

/* Moves behind bytes of a line that begins with no dot, or behind its dot. */
static size_t pass_line(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  uint8_t byte = window->data[at];
  bool ends = byte == '\n' && (state->place == BARE_DOT || state->place == BARE_CR);
  if (ends)
    odd(decoding, state->mail, "end-of-data-behind-bare-line-feed");
  if ((state->place == BARE && byte == '.') || (state->place == BARE_DOT && byte == '\r')) {
    state->place = byte == '.' ? BARE_DOT : BARE_CR;
    state->after_cr = byte == '\r';
    return at + 1;
  }
  const uint8_t *found = memchr(window->data + at, '\n', window->length - at);
  size_t end = found ? (size_t)(found - window->data) : window->length;
  if (end > at)
    state->after_cr = window->data[end - 1] == '\r';
  state->place = !found ? WITHIN : state->after_cr ? BEGINNING : BARE;
  if (!found)
    return end;
  if (!state->after_cr)
    odd(decoding, state->mail, "bare-line-feed");
  state->after_cr = false;
  return end + 1;
}

/* The bytes of a mail up to its end, or as far as they are there. */
static size_t take_data(struct state *state, struct gg_decoding *decoding, const struct gg_window *window, size_t at)
{
  const uint8_t *data = window->data;
  size_t from = at;
  if (!state->mail) {
    state->mail = gg_decoded_begin(decoding, GG_SIDE_CLIENT, MAIL_KIND, window->offset + at);
    gg_decoded_summary(decoding, state->mail, "mail");
    state->place = BEGINNING;
    state->after_cr = false;
    add_waiting(state, decoding, state->mail, CONTENT, state->lmtp && state->accepted ? state->accepted : 1);
  }
  while (at < window->length) {
    if (state->place != BEGINNING || data[at] != '.') {
      at = pass_line(state, decoding, window, at);
      continue;
    }
    tell_body(state, decoding, window, from, at);
    size_t known = window->length - at;
    if (known < 2 || (known < 3 && data[at + 1] == '\r'))
      return at; /* it may be the end */
    if (known >= 3 && data[at + 1] == '\r' && data[at + 2] == '\n') {
      end_mail(state, decoding, window->offset + at + 3);
      return at + 3;
    }
    if (data[at + 1] == '\n')
      odd(decoding, state->mail, "end-of-data-with-bare-line-feed");
    state->place = WITHIN;
    from = ++at; /* a dot that was stuffed in */
  }
  tell_body(state, decoding, window, from, at);
  return at;
}

static size_t push_client(struct state *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, GG_SIDE_CLIENT)) {
    struct gg__textline line;
    size_t before = done;
    if (state->held) {
      gg_decoded_hold(decoding, GG_SIDE_CLIENT);
      break;
    }
    if (state->mode == CHUNK) {
      done += take_chunk(state, decoding, window, done);
    } else if (state->mode == DATA) {
      done = take_data(state, decoding, window, done);
    } else if (gg__textline_find(&line, window->data + done, window->length - done,
                                 window->seen > done ? window->seen - done : 0)) {
      (state->mode == AUTH ? take_response : take_command)(state, decoding, &line, window->offset + done);
      done += line.whole;
    }
    if (done == before)
      break;
  }
  return done;
}

/* ── Replies ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What a reply means for the client's next bytes. */
static void obey(struct state *state, struct gg_decoding *decoding, enum verb verb)
{
  if (verb == DATA_VERB || verb == AUTH_VERB || verb == STARTTLS)
    state->held = false;
  if (verb == DATA_VERB && state->code == 354)
    state->mode = DATA;
  else if (verb == AUTH_VERB && state->code == 334)
    state->mode = AUTH;
  else if (verb == RCPT && state->code / 100 == 2)
    state->accepted++;
  else if (verb == STARTTLS && state->code == 220)
    gg_decoded_become(decoding, &(struct gg_become){.decoder = "tls"});
}

static void end_reply(struct state *state, struct gg_decoding *decoding, uint64_t end)
{
  struct gg_message *message = gg_decoded_message(decoding, state->reply);
  struct waiting answered = {0};
  if (message->answers) {
    struct waiting *waiting = &state->queue[state->first];
    answered = *waiting;
    if (--waiting->left == 0) {
      message->flags |= GG_MESSAGE_COMPLETES;
      state->first = (state->first + 1) % state->capacity;
      state->count--;
    }
  }
  gg_decoded_end(decoding, state->reply, end);
  state->reply = NULL;
  state->greeted = true;
  if (answered.number)
    obey(state, decoding, (enum verb)answered.verb);
}

static void begin_reply(struct state *state, struct gg_decoding *decoding, const struct gg__textline *line,
                        uint64_t offset)
{
  state->reply = gg_decoded_begin(decoding, GG_SIDE_SERVER, REPLY, offset);
  struct gg_message *message = gg_decoded_message(decoding, state->reply);
  if (state->greeted && state->count)
    message->answers = state->queue[state->first].number;
  else
    message->flags |= GG_MESSAGE_UNSOLICITED;
  gg_decoded_number(decoding, state->reply, &gg__smtp_fields[GG__SMTP_CODE], state->code);
  if (state->code >= 400)
    gg_decoded_number(decoding, state->reply, &gg__smtp_fields[GG__SMTP_STATUS], state->code);
  size_t shown = line->length < SHOWN_MAX ? line->length : SHOWN_MAX;
  gg_decoded_summary_bytes(decoding, state->reply, line->text, shown);
  struct gg__textword name;
  size_t at = 4;
  if (!state->greeted && state->code == 220 && line->length > 4 &&
      gg__textword_next(&name, line->text, line->length, &at))
    gg_decoded_text(decoding, state->reply, &gg__smtp_fields[GG__SMTP_SERVER], name.text, name.length,
                    offset + name.at);
}

/* "250-text", or the last one: "250 text". False: it is none. */
static bool take_reply_line(struct state *state, struct gg_decoding *decoding, const struct gg__textline *line,
                            uint64_t offset)
{
  const uint8_t *text = line->text;
  bool good = line->length >= 3 && text[0] >= '1' && text[0] <= '5' && text[1] >= '0' && text[1] <= '9' &&
              text[2] >= '0' && text[2] <= '9' && (line->length == 3 || text[3] == ' ' || text[3] == '-');
  if (!good)
    return false;
  unsigned code = (unsigned)(text[0] - '0') * 100 + (unsigned)(text[1] - '0') * 10 + (unsigned)(text[2] - '0');
  bool first = !state->reply;
  if (first) {
    state->code = code;
    begin_reply(state, decoding, line, offset);
  }
  if (code != state->code)
    odd(decoding, state->reply, "other-code");
  if (line->bare)
    odd(decoding, state->reply, "bare-line-feed");
  size_t from = line->length > 4 ? 4 : line->length;
  bool extension = !first && gg_decoded_message(decoding, state->reply)->answers && code == 250 &&
                   state->queue[state->first].verb == HELLO;
  gg_decoded_text(decoding, state->reply, &gg__smtp_fields[extension ? GG__SMTP_EXTENSION : GG__SMTP_TEXT], text + from,
                  line->length - from, offset + from);
  if (line->length == 3 || text[3] == ' ')
    end_reply(state, decoding, offset + line->whole);
  return true;
}

/* One line in each call: what the client has said may have waited for it. */
static size_t push_server(struct state *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct gg__textline line;
  if (!gg__textline_find(&line, window->data, window->length, window->seen))
    return 0;
  if (!take_reply_line(state, decoding, &line, window->offset)) {
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, GG_SIDE_SERVER, window->offset, false, "a line that is no reply");
    return 0;
  }
  return line.whole;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  return window->side == GG_SIDE_CLIENT ? push_client(self, decoding, window) : push_server(self, decoding, window);
}

/* A gap within a chunk is only a hole in it; one in a mail may hide the mail's end. */
static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  struct state *state = self;
  if (side != GG_SIDE_CLIENT || state->mode != CHUNK || length > state->left)
    return false;
  gg_decoded_message(decoding, state->mail)->flags |= GG_MESSAGE_GAP;
  state->left -= length;
  if (state->left == 0)
    end_mail(state, decoding, offset + length);
  return true;
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* "220 mx.example.org ESMTP": certain; "220 " and anything else: it may be, as the client's first word will tell. */
static enum gg_likeness like_banner(const uint8_t *data, size_t length)
{
  static const char *const codes[] = {"220", "554", "421"};
  size_t known = length < 3 ? length : 3;
  bool code = false;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    code = code || memcmp(data, codes[i], known) == 0;
  if (!code || (length > 3 && data[3] != ' ' && data[3] != '-'))
    return GG_LIKENESS_NONE;
  struct gg__textline line;
  if (!gg__textline_find(&line, data, length, 0))
    return GG_LIKENESS_OPEN;
  return gg__textual_has(line.text, line.length, "SMTP") || gg__textual_has(line.text, line.length, "LMTP")
           ? GG_LIKENESS_CERTAIN
           : GG_LIKENESS_OPEN;
}

static enum gg_likeness like_hello(const uint8_t *data, size_t length)
{
  static const char *const words[] = {"EHLO ", "HELO ", "LHLO "};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t known = length < 5 ? length : 5;
    if (strncasecmp((const char *)data, words[i], known) == 0)
      return known < 5 ? GG_LIKENESS_OPEN : GG_LIKENESS_CERTAIN;
  }
  return GG_LIKENESS_NONE;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  enum gg_likeness banner = GG_LIKENESS_OPEN, hello = GG_LIKENESS_OPEN;
  if (opening->length[GG_SIDE_SERVER])
    banner = like_banner(opening->data[GG_SIDE_SERVER], opening->length[GG_SIDE_SERVER]);
  if (opening->length[GG_SIDE_CLIENT])
    hello = like_hello(opening->data[GG_SIDE_CLIENT], opening->length[GG_SIDE_CLIENT]);
  if (banner == GG_LIKENESS_NONE || banner == GG_LIKENESS_CERTAIN || hello == GG_LIKENESS_NONE)
    return banner == GG_LIKENESS_CERTAIN ? GG_LIKENESS_CERTAIN : GG_LIKENESS_NONE;
  if (hello == GG_LIKENESS_CERTAIN) /* of a client that does not wait for the banner */
    return opening->length[GG_SIDE_SERVER] >= 4 ? GG_LIKENESS_CERTAIN : GG_LIKENESS_OPEN;
  return GG_LIKENESS_OPEN;
}

const struct gg_decoder gg__decoder_smtp = {
  GG_DECODER_HEAD,
  .name = "smtp",
  .protocol = "smtp",
  .title = "SMTP and LMTP (RFC 5321, 2033)",
  .kinds = kinds,
  .fields = gg__smtp_fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
};
