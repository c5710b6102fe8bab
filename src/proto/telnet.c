/* SPDX-License-Identifier: Apache-2.0 */
/* Telnet (RFC 854, 855): the text of both sides apart from commands and options.
 *
 *             ┌── IAC IAC: a byte 255 ──┐
 *     text ───┴── any other byte ───────┴──► body of a text
 *      │ ▲
 *      ▼ │
 *     IAC ─┬── WILL, WONT, DO, DONT, option ───► a command
 *          ├── SB option ... IAC SE ───────────► a command
 *          └── any other code ─────────────────► a command
 *
 * A text is what a side has said at one time: it ends when bytes come at another time, when a command stands between,
 * or when the other side speaks. So it does not depend on how the bytes were cut, and who plays the session has each
 * piece of a screen at the time when it came. Its body has no commands and no doubled IAC; CR NUL stays as it is.
 *
 * What the client types is gathered into lines, whatever they came in. When the server's unfinished line asks for a
 * name, the next line is telnet.user; when it asks for a password, what the client types from there to its end of line
 * is one text without body, and stands in telnet.password alone. The end of line is not part of it. What a server
 * echoes is the server's text, and shown: one that echoes passwords has shown them.
 *
 * After ENCRYPT START and after COMPRESS2 nothing more of that side is decoded. A gap is passed over: what follows is
 * taken as text.
 *
 * Odd input: a command within a subnegotiation ends that. A subnegotiation of more than a window ends the decoding.
 */
#include "proto/decoders.h"
#include "proto/textual.h"

#include <stdio.h>
#include <string.h>

enum { IAC = 255, DONT = 254, DO = 253, WONT = 252, WILL = 251, SB = 250, SE = 240, EOF_CODE = 236 };
enum {
  TERMINAL_TYPE = 24,
  WINDOW_SIZE = 31,
  ENVIRON = 36,
  AUTHENTICATION = 37,
  ENCRYPT = 38,
  NEW_ENVIRON = 39,
  COMPRESS2 = 86,
};
enum {
  TYPED_MAX = 256, /* bytes of a line that the client types */
  DATA_MAX = 1024, /* bytes of a subnegotiation that are looked at */
  PLAIN_MAX = 64,  /* bytes of a line that is begun in front of the first command of a session */
};

struct half {
  struct gg_draft *text;
  uint64_t time_ns, end; /* of the text */
  bool after_gap;
  uint64_t looked; /* from there on the end of a subnegotiation is looked for */
};

/* What the client types. */
struct typed {
  uint8_t text[TYPED_MAX];
  size_t length;
  bool begun, cut, after_cr;
  uint64_t offset;
  enum gg__prompt asked;
  struct gg_draft *secret;
  uint64_t secret_offset, secret_end;
};

struct state {
  struct half halves[2];
  struct typed typed;
  uint8_t tail[GG__PROMPT_MAX]; /* the end of the server's unfinished line */
  size_t tail_length;
};

static const char *const kinds[] = {"text", "command", NULL};
enum { TEXT, COMMAND };

enum { CODE, OPTION, WIDTH, HEIGHT, TERMINAL, VARIABLE, DATA, USER, PASSWORD };
static const struct gg_decoder_field fields[] = {
  [CODE] = {"telnet.command", GG_FIELD_TEXT, false, "name of the command: WILL, SB, IP, ...", NULL},
  [OPTION] = {"telnet.option", GG_FIELD_TEXT, false, "name or number of the option", NULL},
  [WIDTH] = {"telnet.width", GG_FIELD_NUMBER, false, "columns of the client's window", NULL},
  [HEIGHT] = {"telnet.height", GG_FIELD_NUMBER, false, "lines of the client's window", NULL},
  [TERMINAL] = {"telnet.terminal", GG_FIELD_TEXT, true, "type of the client's terminal", "telnet.terminal=xterm"},
  [VARIABLE] = {"telnet.variable", GG_FIELD_TEXT, false, "a variable of the client's environment, by its name", NULL},
  [DATA] = {"telnet.data", GG_FIELD_TEXT, false, "what is said of another option", NULL},
  [USER] = {"telnet.user", GG_FIELD_TEXT, true, "who logs in", "telnet.user=ann"},
  [PASSWORD] = {"telnet.password", GG_FIELD_TEXT, false, "what is typed at a prompt for a password", NULL},
  {NULL, 0, false, NULL, NULL},
};

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *command_name(uint8_t code, char *number, size_t size)
{
  static const char *const names[] = {"EOF", "SUSP", "ABORT", "EOR", "SE", "NOP",  "DM",   "BRK", "IP",  "AO",
                                      "AYT", "EC",   "EL",    "GA",  "SB", "WILL", "WONT", "DO",  "DONT"};
  if (code >= EOF_CODE && code < IAC)
    return names[code - EOF_CODE];
  snprintf(number, size, "%u", code);
  return number;
}

/* NULL: it is not known. */
static const char *known_option(uint8_t option)
{
  static const char *const names[256] = {[0] = "binary",
                                         [1] = "echo",
                                         [2] = "reconnection",
                                         [3] = "suppress-go-ahead",
                                         [5] = "status",
                                         [6] = "timing-mark",
                                         [7] = "rcte",
                                         [10] = "nao-crd",
                                         [17] = "extended-ascii",
                                         [18] = "logout",
                                         [19] = "byte-macro",
                                         [20] = "data-entry-terminal",
                                         [21] = "supdup",
                                         [22] = "supdup-output",
                                         [23] = "send-location",
                                         [24] = "terminal-type",
                                         [25] = "end-of-record",
                                         [26] = "tacacs-user",
                                         [27] = "output-marking",
                                         [28] = "terminal-location",
                                         [29] = "3270-regime",
                                         [30] = "x3-pad",
                                         [31] = "window-size",
                                         [32] = "terminal-speed",
                                         [33] = "flow-control",
                                         [34] = "linemode",
                                         [35] = "x-display",
                                         [36] = "environ",
                                         [37] = "authentication",
                                         [38] = "encrypt",
                                         [39] = "new-environ",
                                         [40] = "tn3270e",
                                         [41] = "xauth",
                                         [42] = "charset",
                                         [43] = "remote-serial-port",
                                         [44] = "com-port",
                                         [45] = "suppress-local-echo",
                                         [46] = "start-tls",
                                         [47] = "kermit",
                                         [48] = "send-url",
                                         [49] = "forward-x",
                                         [69] = "msdp",
                                         [70] = "mssp",
                                         [85] = "compress",
                                         [86] = "compress2",
                                         [90] = "msp",
                                         [91] = "mxp",
                                         [93] = "zmp",
                                         [102] = "aardwolf",
                                         [200] = "atcp",
                                         [201] = "gmcp",
                                         [255] = "extended-options"};
  return names[option];
}

static const char *option_name(uint8_t option, char *number, size_t size)
{
  if (known_option(option))
    return known_option(option);
  snprintf(number, size, "%u", option);
  return number;
}

/* ── Text ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void end_text(struct gg_decoding *decoding, struct half *half)
{
  gg_decoded_end(decoding, half->text, half->end);
  half->text = NULL;
}

/* Bytes of one time that were made of `raw` bytes: of the text that is open, or of a new one. */
static void tell_text(struct state *state, struct gg_decoding *decoding, enum gg_side side, const uint8_t *data,
                      size_t length, uint64_t offset, uint64_t raw)
{
  struct half *half = &state->halves[side];
  if (length == 0)
    return;
  uint64_t time_ns = gg_decoded_time(decoding, side, offset);
  if (half->text && time_ns != half->time_ns)
    end_text(decoding, half);
  if (!half->text) {
    half->text = gg_decoded_begin(decoding, side, TEXT, offset);
    half->time_ns = time_ns;
    gg_decoded_message(decoding, half->text)->flags |= half->after_gap ? GG_MESSAGE_GAP : 0;
    half->after_gap = false;
    gg_decoded_summary_bytes(decoding, half->text, data, length < 200 ? length : 200);
  }
  half->end = offset + raw;
  struct gg_body body = {.data = data, .length = length, .raw_offset = offset, .raw_length = raw};
  gg_decoded_body(decoding, half->text, &body);
}

static void end_secret(struct gg_decoding *decoding, struct typed *typed)
{
  if (!typed->secret)
    return;
  struct gg_field field = {.of = &fields[PASSWORD],
                           .value = typed->text,
                           .length = typed->length,
                           .secret = true,
                           .cut = typed->cut,
                           .raw_offset = typed->secret_offset,
                           .raw_length = typed->secret_end - typed->secret_offset};
  gg_decoded_field(decoding, typed->secret, &field);
  gg_decoded_summary(decoding, typed->secret, "***");
  gg_decoded_end(decoding, typed->secret, typed->secret_end);
  typed->secret = NULL;
}

/* What it is that the client types now. */
static void ask(struct state *state, struct gg_decoding *decoding, uint64_t offset)
{
  struct typed *typed = &state->typed;
  enum gg__prompt prompt = gg__prompt_of(state->tail, state->tail_length);
  if (typed->begun && prompt != GG__PROMPT_SECRET)
    return; /* the line has been asked for before; an echo has changed the prompt since */
  if (typed->asked == GG__PROMPT_SECRET)
    return;
  typed->asked = prompt;
  if (prompt == GG__PROMPT_SECRET) { /* what was typed ahead of it is known already */
    if (state->halves[GG_SIDE_CLIENT].text)
      end_text(decoding, &state->halves[GG_SIDE_CLIENT]);
    typed->length = 0;
    typed->cut = false;
  }
  if (!typed->begun)
    typed->offset = offset;
}

/* A piece of a line that the client types, without its end. */
static void type(struct state *state, struct gg_decoding *decoding, const uint8_t *data, size_t length, uint64_t offset,
                 uint64_t raw)
{
  struct typed *typed = &state->typed;
  ask(state, decoding, offset);
  typed->begun = true;
  for (size_t i = 0; i < length; i++) {
    if (data[i] == '\b' || data[i] == 127)
      typed->length -= typed->length ? 1 : 0;
    else if (typed->length < TYPED_MAX)
      typed->text[typed->length++] = data[i];
    else
      typed->cut = true;
  }
  if (typed->asked != GG__PROMPT_SECRET) {
    tell_text(state, decoding, GG_SIDE_CLIENT, data, length, offset, raw);
    return;
  }
  if (!typed->secret) {
    typed->secret = gg_decoded_begin(decoding, GG_SIDE_CLIENT, TEXT, offset);
    typed->secret_offset = offset;
  }
  typed->secret_end = offset + raw;
}

/* CR, LF or NUL: the first of them ends what is typed. */
static void end_typed(struct state *state, struct gg_decoding *decoding, const uint8_t *data, uint64_t offset)
{
  struct typed *typed = &state->typed;
  bool second = typed->after_cr && *data != '\r';
  typed->after_cr = *data == '\r';
  end_secret(decoding, typed);
  tell_text(state, decoding, GG_SIDE_CLIENT, data, 1, offset, 1);
  if (second)
    return;
  if (typed->begun && typed->asked == GG__PROMPT_USER && typed->length) {
    struct gg_field field = {.of = &fields[USER],
                             .value = typed->text,
                             .length = typed->length,
                             .cut = typed->cut,
                             .raw_offset = typed->offset,
                             .raw_length = offset - typed->offset};
    gg_decoded_field(decoding, state->halves[GG_SIDE_CLIENT].text, &field);
  }
  typed->begun = typed->cut = false;
  typed->length = 0;
  typed->asked = GG__PROMPT_NOT;
  state->tail_length = 0;
}

static void take_client(struct state *state, struct gg_decoding *decoding, const uint8_t *data, size_t length,
                        uint64_t offset)
{
  for (size_t at = 0; at < length;) {
    size_t end = at;
    while (end < length && data[end] != '\r' && data[end] != '\n' && data[end] != '\0')
      end++;
    if (end > at) {
      state->typed.after_cr = false;
      type(state, decoding, data + at, end - at, offset + at, end - at);
    }
    if (end < length)
      end_typed(state, decoding, data + end, offset + end);
    at = end + 1;
  }
}

/* Keeps the end of the server's line. */
static void remember(struct state *state, const uint8_t *data, size_t length)
{
  for (size_t i = length; i > 0; i--)
    if (data[i - 1] == '\n' || data[i - 1] == '\r') {
      state->tail_length = 0;
      data += i;
      length -= i;
      break;
    }
  if (length > sizeof state->tail) {
    data += length - sizeof state->tail;
    length = sizeof state->tail;
  }
  size_t kept = sizeof state->tail - length < state->tail_length ? sizeof state->tail - length : state->tail_length;
  memmove(state->tail, state->tail + state->tail_length - kept, kept);
  memcpy(state->tail + kept, data, length);
  state->tail_length = kept + length;
}

static void take_server(struct state *state, struct gg_decoding *decoding, const uint8_t *data, size_t length,
                        uint64_t offset, uint64_t raw)
{
  remember(state, data, length);
  tell_text(state, decoding, GG_SIDE_SERVER, data, length, offset, raw);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* VAR and USERVAR name, VALUE value (RFC 1572). */
static void add_variables(struct gg_decoding *decoding, struct gg_draft *draft, const uint8_t *data, size_t length,
                          uint64_t offset, uint64_t raw)
{
  enum { VAR, VALUE, ESC, USERVAR };
  uint8_t text[2][DATA_MAX];
  size_t lengths[2] = {0, 0};
  bool value = false;
  for (size_t i = 1; i <= length; i++) {
    if (i == length || data[i] == VAR || data[i] == USERVAR) {
      bool user = gg__textual_is(text[0], lengths[0], "USER");
      struct gg_field field = {.of = &fields[VARIABLE],
                               .key = (const char *)text[0],
                               .key_length = lengths[0],
                               .value = text[1],
                               .length = lengths[1],
                               .secret = gg__textual_has(text[0], lengths[0], "PASS"),
                               .raw_offset = offset,
                               .raw_length = raw};
      if (lengths[0])
        gg_decoded_field(decoding, draft, &field);
      field = (struct gg_field){.of = &fields[USER], .value = text[1], .length = lengths[1]};
      if (user && lengths[1])
        gg_decoded_field(decoding, draft, &field);
      lengths[0] = lengths[1] = 0;
      value = false;
    } else if (data[i] == VALUE) {
      value = true;
    } else {
      i += data[i] == ESC && i + 1 < length ? 1 : 0;
      text[value][lengths[value]++] = data[i];
    }
  }
}

/* What is between SB option and IAC SE, IACs not doubled any more; it stands at `offset` in `raw` bytes. */
static void add_data(struct gg_decoding *decoding, struct gg_draft *draft, uint8_t option, const uint8_t *data,
                     size_t length, uint64_t offset, uint64_t raw)
{
  struct gg_field field = {
    .of = &fields[DATA], .value = data, .length = length, .raw_offset = offset, .raw_length = raw};
  if (option == WINDOW_SIZE && length == 4) {
    unsigned width = data[0] * 256u + data[1], height = data[2] * 256u + data[3];
    gg_decoded_number(decoding, draft, &fields[WIDTH], width);
    gg_decoded_number(decoding, draft, &fields[HEIGHT], height);
    gg_decoded_summary(decoding, draft, "SB window-size %u x %u", width, height);
  } else if (option == TERMINAL_TYPE && length > 1 && data[0] == 0) {
    field = (struct gg_field){.of = &fields[TERMINAL], .value = data + 1, .length = length - 1};
    gg_decoded_field(decoding, draft, &field);
    gg_decoded_summary(decoding, draft, "SB terminal-type %.*s", (int)(length - 1), (const char *)data + 1);
  } else if ((option == NEW_ENVIRON || option == ENVIRON) && length && data[0] != 1) {
    add_variables(decoding, draft, data, length, offset, raw);
  } else if (length) {
    field.secret = option == AUTHENTICATION;
    gg_decoded_field(decoding, draft, &field);
  }
}

/* What is one byte in the stream. */
static void add_name(struct gg_decoding *decoding, struct gg_draft *draft, unsigned of, const char *name,
                     uint64_t offset)
{
  struct gg_field field = {
    .of = &fields[of], .value = (const uint8_t *)name, .length = strlen(name), .raw_offset = offset, .raw_length = 1};
  gg_decoded_field(decoding, draft, &field);
}

static struct gg_draft *begin_command(struct state *state, struct gg_decoding *decoding, enum gg_side side,
                                      const uint8_t *data, bool with_option, uint64_t offset)
{
  struct half *half = &state->halves[side];
  if (half->text)
    end_text(decoding, half);
  char number[8], option_number[8];
  const char *name = command_name(data[1], number, sizeof number);
  const char *option = with_option ? option_name(data[2], option_number, sizeof option_number) : "";
  struct gg_draft *draft = gg_decoded_begin(decoding, side, COMMAND, offset);
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_CONTROL;
  add_name(decoding, draft, CODE, name, offset + 1);
  if (with_option)
    add_name(decoding, draft, OPTION, option, offset + 2);
  gg_decoded_summary(decoding, draft, with_option ? "%s %s" : "%s", name, option);
  return draft;
}

/* From `data` + 3 on: where IAC and a byte that is not IAC stand; 0: not yet. */
static size_t find_end(struct half *half, const uint8_t *data, size_t length, uint64_t offset)
{
  size_t at = half->looked > offset ? (size_t)(half->looked - offset) : 3;
  while (at < length) {
    const uint8_t *found = memchr(data + at, IAC, length - at);
    at = found ? (size_t)(found - data) : length;
    if (at + 1 >= length)
      break;
    if (data[at + 1] != IAC)
      return at;
    at += 2;
  }
  half->looked = offset + at;
  return 0;
}

static size_t take_subnegotiation(struct state *state, struct gg_decoding *decoding, enum gg_side side,
                                  const uint8_t *data, size_t length, uint64_t offset)
{
  size_t end = find_end(&state->halves[side], data, length, offset);
  if (!end)
    return 0;
  uint8_t plain[DATA_MAX];
  size_t plain_length = 0;
  for (size_t i = 3; i < end && plain_length < sizeof plain; i++) {
    plain[plain_length++] = data[i];
    i += data[i] == IAC ? 1 : 0;
  }
  bool whole = data[end + 1] == SE;
  size_t taken = whole ? end + 2 : end; /* another command stands for itself */
  struct gg_draft *draft = begin_command(state, decoding, side, data, true, offset);
  add_data(decoding, draft, data[2], plain, plain_length, offset + 3, end - 3);
  gg_decoded_message(decoding, draft)->flags |= whole ? 0 : GG_MESSAGE_ODD;
  gg_decoded_end(decoding, draft, offset + taken);
  if (data[2] == ENCRYPT && plain_length && plain[0] == 3)
    gg_decoded_opaque(decoding, GG_OPAQUE_ENCRYPTED, side, offset + taken, true, "ENCRYPT START");
  else if (data[2] == COMPRESS2 && side == GG_SIDE_SERVER)
    gg_decoded_opaque(decoding, GG_OPAQUE_UNKNOWN, side, offset + taken, true, "compressed");
  return taken;
}

/* At an IAC. 0: more bytes are needed. */
static size_t take_command(struct state *state, struct gg_decoding *decoding, enum gg_side side, const uint8_t *data,
                           size_t length, uint64_t offset)
{
  if (length < 2 || (data[1] >= SB && data[1] < IAC && length < 3))
    return 0;
  if (data[1] == IAC) {
    if (side == GG_SIDE_CLIENT)
      type(state, decoding, data, 1, offset, 2);
    else
      take_server(state, decoding, data, 1, offset, 2);
    return 2;
  }
  if (data[1] == SB)
    return take_subnegotiation(state, decoding, side, data, length, offset);
  size_t taken = data[1] >= WILL ? 3 : 2;
  struct gg_draft *draft = begin_command(state, decoding, side, data, taken == 3, offset);
  gg_decoded_end(decoding, draft, offset + taken);
  return taken;
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct state *state = self;
  enum gg_side side = window->side;
  struct half *other = &state->halves[side == GG_SIDE_CLIENT ? GG_SIDE_SERVER : GG_SIDE_CLIENT];
  if (other->text)
    end_text(decoding, other);
  size_t done = 0;
  while (done < window->length && !gg_decoded_stopped(decoding, side)) {
    const uint8_t *data = window->data + done;
    size_t length = window->length - done;
    uint64_t offset = window->offset + done;
    const uint8_t *command = memchr(data, IAC, length);
    size_t text = command ? (size_t)(command - data) : length;
    if (text && side == GG_SIDE_CLIENT)
      take_client(state, decoding, data, text, offset);
    else if (text)
      take_server(state, decoding, data, text, offset, text);
    size_t taken = text;
    if (!text)
      taken = take_command(state, decoding, side, data, length, offset);
    if (!taken)
      break;
    done += taken;
  }
  return done;
}

static bool gap(void *self, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length)
{
  (void)offset;
  (void)length;
  struct state *state = self;
  struct half *half = &state->halves[side];
  if (half->text) {
    gg_decoded_message(decoding, half->text)->flags |= GG_MESSAGE_GAP;
    end_text(decoding, half);
  }
  half->after_gap = true;
  half->looked = 0;
  return true;
}

static void end(void *self, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset)
{
  (void)orderly;
  (void)end_offset;
  struct state *state = self;
  if (state->halves[side].text)
    end_text(decoding, &state->halves[side]);
  if (side == GG_SIDE_CLIENT)
    end_secret(decoding, &state->typed);
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* Whether the client has begun with something else: then bytes of a command may be part of whatever that is. */
static bool client_began_otherwise(const struct gg_opening *opening)
{
  return opening->length[GG_SIDE_CLIENT] && opening->spoke_first && opening->first == GG_SIDE_CLIENT &&
         *opening->data[GG_SIDE_CLIENT] != IAC;
}

/* Bytes in front of the first command: a server's banner, of lines that are whole for certain. */
static enum gg_likeness like_text(const struct gg_opening *opening, enum gg_side side, size_t length)
{
  const uint8_t *text = opening->data[side];
  bool otherwise = client_began_otherwise(opening);
  if (length == 0)
    return otherwise ? GG_LIKENESS_LIKELY : GG_LIKENESS_CERTAIN;
  if (side == GG_SIDE_CLIENT || otherwise || !gg__textual_readable(text, length))
    return GG_LIKENESS_NONE;
  const uint8_t *newline = memrchr(text, '\n', length);
  size_t begun = newline ? length - (size_t)(newline + 1 - text) : length;
  return begun == 0 ? GG_LIKENESS_CERTAIN : begun <= PLAIN_MAX ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
}

/* A command with an option that is known, in front of all that a side says or behind a banner. */
static enum gg_likeness like(const struct gg_opening *opening, enum gg_side side)
{
  const uint8_t *data = opening->data[side];
  size_t length = opening->length[side];
  const uint8_t *command = memchr(data, IAC, length);
  size_t text = command ? (size_t)(command - data) : length, known = length - text;
  enum gg_likeness likeness = like_text(opening, side, text);
  if (likeness == GG_LIKENESS_NONE || known < 2)
    return likeness == GG_LIKENESS_NONE ? GG_LIKENESS_NONE : GG_LIKENESS_OPEN;
  if (command[1] < SB || command[1] == IAC)
    return GG_LIKENESS_NONE;
  return known < 3 ? GG_LIKENESS_OPEN : known_option(command[2]) ? likeness : GG_LIKENESS_NONE;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  enum gg_likeness best = GG_LIKENESS_NONE;
  for (unsigned side = 0; side < 2; side++) {
    size_t length = opening->length[side];
    enum gg_likeness likeness = length ? like(opening, (enum gg_side)side) : GG_LIKENESS_NONE;
    bool plain = length && !memchr(opening->data[side], IAC, length);
    if (plain && opening->length[side ? 0 : 1]) /* the other side has taken it for an invitation to speak */
      likeness = GG_LIKENESS_NONE;
    best = likeness > best ? likeness : best;
  }
  return best;
}

const struct gg_decoder gg__decoder_telnet = {
  GG_DECODER_HEAD,
  .name = "telnet",
  .protocol = "telnet",
  .title = "telnet (RFC 854, 855)",
  .kinds = kinds,
  .fields = fields,
  .state_bytes = sizeof(struct state),
  .identify = identify,
  .push = push,
  .gap = gap,
  .end = end,
};
