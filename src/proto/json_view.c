/* SPDX-License-Identifier: Apache-2.0 */
/* Two things go on side by side. The layout follows brackets, commas and colons alone, so it works on anything. The
 * grammar says what should come, and only notes the first place where something else does:
 *
 *     VALUE ──► END ──, in an array──► VALUE          '{' ──► NAME_OR_END ──► COLON ──► VALUE ──► END
 *                │                                               ▲                               │
 *                └──, in an object──► NAME ──────────────────────┘◄──────────────────────────────┘
 *
 * A string that a colon follows is a name, whatever the grammar thinks: so secrets are masked in broken JSON, too. In a
 * container that is masked as a whole, where names are shown, the grammar has to say which strings are names; when it
 * has lost its way, all are masked. */
#include "proto/json_view.h"

#include <string.h>

enum expected { VALUE, VALUE_OR_END, NAME, NAME_OR_END, COLON, END, ANYTHING };
enum lexeme { NOTHING, STRING, WORD };
enum last { BEGINNING, OPENED, A_VALUE, COMMA, A_COLON };
enum escape { PLAIN, BACKSLASH, HEX_1, HEX_2, HEX_3, HEX_4 };
/* Numbers of RFC 8259, 6; or one of the three words. */
enum number { MINUS, ZERO, WHOLE, POINT, FRACTION, EXPONENT, SIGN, DIGITS, LITERAL, NONE };

/* ── What comes out ──────────────────────────────────────────────────────────────────────────────────────────────── */

static void flush(struct gg__json_view *view)
{
  if (view->out_length)
    view->sink(view->context, view->out, view->out_length);
  view->out_length = 0;
}

static void put(struct gg__json_view *view, char letter)
{
  if (view->out_length == sizeof view->out)
    flush(view);
  view->out[view->out_length++] = letter;
}

static void put_text(struct gg__json_view *view, const char *text)
{
  while (*text)
    put(view, *text++);
}

static void put_line(struct gg__json_view *view)
{
  size_t levels = view->depth < GG__JSON_VIEW_INDENT_MAX ? view->depth : GG__JSON_VIEW_INDENT_MAX;
  put(view, '\n');
  for (size_t i = 0; i < levels; i++)
    put_text(view, "  ");
}

/* What stands between the last thing and the one that comes now. */
static void put_gap(struct gg__json_view *view)
{
  if (view->newline)
    put_line(view);
  else if (view->last == A_VALUE)
    put(view, ' '); /* broken: two values without a comma */
  view->newline = false;
}

static void broken(struct gg__json_view *view, const char *why)
{
  if (view->broken)
    return;
  view->broken = why;
  view->broken_at = view->offset;
}

/* ── Levels ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool in_object(const struct gg__json_view *view)
{
  size_t level = view->depth - 1;
  return view->depth && !view->beyond && (view->objects[level / 8] >> level % 8 & 1);
}

static void after_value(struct gg__json_view *view)
{
  view->last = A_VALUE;
  view->next_masked = false;
  view->expected = view->beyond ? ANYTHING : view->depth ? END : VALUE;
  if (view->depth == 0)
    view->newline = true;
}

static void open_level(struct gg__json_view *view, bool object)
{
  if (view->expected != VALUE && view->expected != VALUE_OR_END && view->expected != ANYTHING)
    broken(view, "a value where none belongs");
  put_gap(view);
  put(view, object ? '{' : '[');
  view->last = OPENED;
  view->newline = true;
  if (view->depth == GG__JSON_VIEW_DEPTH_MAX) {
    broken(view, "more than 1024 levels");
    view->beyond++;
    view->expected = ANYTHING;
    return;
  }
  size_t level = view->depth++;
  uint8_t bit = (uint8_t)(1u << level % 8);
  view->objects[level / 8] = (uint8_t)(object ? view->objects[level / 8] | bit : view->objects[level / 8] & ~bit);
  view->expected = object ? NAME_OR_END : VALUE_OR_END;
  if (view->next_masked && !view->masked_top)
    view->masked_top = view->depth;
  view->next_masked = false;
}

static void close_level(struct gg__json_view *view, bool object)
{
  bool empty = view->last == OPENED;
  if (view->depth == 0) {
    broken(view, "an end without a beginning");
    put_gap(view);
    put(view, object ? '}' : ']');
    after_value(view);
    return;
  }
  if (view->beyond) {
    view->beyond--;
  } else {
    bool allowed = view->expected == END || view->expected == (object ? NAME_OR_END : VALUE_OR_END);
    if (!allowed || in_object(view) != object)
      broken(view, "an end where none belongs");
    if (view->masked_top == view->depth && in_object(view) == object) /* if not, nobody knows where it ends */
      view->masked_top = 0;
    view->depth--;
  }
  if (!empty)
    put_line(view);
  view->newline = false;
  put(view, object ? '}' : ']');
  after_value(view);
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_digit(char letter)
{
  return letter >= '0' && letter <= '9';
}

static uint8_t first_of_word(struct gg__json_view *view, char letter)
{
  view->literal_length = 1;
  view->literal = letter == 't' ? "true" : letter == 'f' ? "false" : letter == 'n' ? "null" : NULL;
  return view->literal ? LITERAL : letter == '-' ? MINUS : letter == '0' ? ZERO : is_digit(letter) ? WHOLE : NONE;
}

static uint8_t next_of_word(struct gg__json_view *view, char letter)
{
  bool digit = is_digit(letter), exponent = letter == 'e' || letter == 'E';
  switch (view->number) {
  case LITERAL:
    return view->literal[view->literal_length] == letter && view->literal[view->literal_length++] ? LITERAL : NONE;
  case MINUS:
    return letter == '0' ? ZERO : digit ? WHOLE : NONE;
  case ZERO:
    return letter == '.' ? POINT : exponent ? EXPONENT : NONE;
  case WHOLE:
    return digit ? WHOLE : letter == '.' ? POINT : exponent ? EXPONENT : NONE;
  case POINT:
    return digit ? FRACTION : NONE;
  case FRACTION:
    return digit ? FRACTION : exponent ? EXPONENT : NONE;
  case EXPONENT:
    return digit ? DIGITS : letter == '+' || letter == '-' ? SIGN : NONE;
  case SIGN:
  case DIGITS:
    return digit ? DIGITS : NONE;
  default:
    return NONE;
  }
}

/* Whether the letter that comes, or the end of what it was in, belongs to a credential. */
static void note(struct gg__json_view *view, bool hidden)
{
  const char *name = view->masked ? view->secret_name : view->text.name;
  size_t length = view->masked ? view->secret_name_length : view->text.name_length;
  gg__secret_range_take(&view->range, view->offset, hidden, name, length);
}

static void end_word(struct gg__json_view *view)
{
  bool whole = view->number == LITERAL
                 ? !view->literal[view->literal_length]
                 : view->number == ZERO || view->number == WHOLE || view->number == FRACTION || view->number == DIGITS;
  if (!whole)
    broken(view, "a word that is no value");
  view->lexeme = NOTHING;
  after_value(view);
}

/* A value that is no container begins. Whether it is masked. */
static void begin_scalar(struct gg__json_view *view, bool string)
{
  bool name = string && (view->expected == NAME || view->expected == NAME_OR_END);
  if (!name && view->expected != VALUE && view->expected != VALUE_OR_END && view->expected != ANYTHING)
    broken(view, "a value where none belongs");
  put_gap(view);
  bool lost = view->broken || view->expected == ANYTHING;
  view->masked = !view->secrets && (view->next_masked || (view->masked_top && (!name || lost)));
  if (view->masked)
    put_text(view, "\"" GG__SECRET_SHOWN "\"");
  view->lexeme = string ? STRING : WORD;
  view->name_length = 0;
  view->text = (struct gg__secret_text){0};
  view->in_text = false;
}

/* ── Strings ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void name_letter(struct gg__json_view *view, char letter)
{
  if (view->name_length < sizeof view->name)
    view->name[view->name_length++] = letter;
}

/* The inside of an escape. */
static void take_escape(struct gg__json_view *view, char letter)
{
  if (view->escape == BACKSLASH && letter == 'u') {
    view->escape = HEX_1;
    view->unit = 0;
    return;
  }
  if (view->escape == BACKSLASH) {
    if (!letter || !strchr("\"\\/bfnrt", letter))
      broken(view, "an escape that is none");
    name_letter(view, letter);
    view->escape = PLAIN;
    return;
  }
  char lower = (char)(letter | 0x20);
  int digit = is_digit(letter) ? letter - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  if (digit < 0)
    broken(view, "an escape that is none");
  view->unit = (uint16_t)(view->unit << 4 | (digit & 15));
  view->escape = view->escape == HEX_4 ? PLAIN : view->escape + 1;
  if (view->escape == PLAIN)
    name_letter(view, view->unit < 0x80 ? (char)view->unit : '?');
}

static void end_string(struct gg__json_view *view)
{
  bool name = view->expected == NAME || view->expected == NAME_OR_END;
  view->lexeme = NOTHING;
  if (name) {
    view->expected = COLON;
    view->last = A_VALUE;
  } else {
    after_value(view);
  }
}

static void take_in_string(struct gg__json_view *view, char letter)
{
  bool ends = letter == '"' && view->escape != BACKSLASH;
  bool in_text = !ends && !view->secrets && !view->masked && gg__secret_text_take(&view->text, letter);
  note(view, !ends && (view->masked || in_text));
  if (in_text && !view->in_text)
    put_text(view, GG__SECRET_SHOWN);
  else if (!in_text && !view->masked)
    put(view, letter);
  view->in_text = in_text;
  if (view->escape != PLAIN && letter != '"') {
    take_escape(view, letter);
  } else if (view->escape == BACKSLASH) {
    take_escape(view, letter);
  } else if (letter == '"') {
    if (view->escape != PLAIN)
      broken(view, "an escape that is none");
    view->escape = PLAIN;
    end_string(view);
  } else if (letter == '\\') {
    view->escape = BACKSLASH;
  } else {
    if ((uint8_t)letter < 0x20)
      broken(view, "a control character in a string");
    name_letter(view, letter);
  }
}

/* ── Letters ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_colon(struct gg__json_view *view)
{
  if (view->expected != COLON && view->expected != ANYTHING)
    broken(view, "a colon where none belongs");
  put_text(view, ": ");
  view->newline = false;
  if (gg__secret_name(view->name, view->name_length)) {
    view->next_masked = true;
    memcpy(view->secret_name, view->name, view->name_length);
    view->secret_name_length = view->name_length;
  }
  view->last = A_COLON;
  view->expected = view->beyond ? ANYTHING : VALUE;
}

static void take_comma(struct gg__json_view *view)
{
  if (view->expected != END && view->expected != ANYTHING)
    broken(view, "a comma where none belongs");
  put(view, ',');
  view->newline = true;
  view->next_masked = false;
  view->last = COMMA;
  view->expected = view->beyond ? ANYTHING : in_object(view) ? NAME : VALUE;
}

static void take_between(struct gg__json_view *view, char letter)
{
  switch (letter) {
  case ' ':
  case '\t':
  case '\r':
  case '\n':
    break;
  case '{':
  case '[':
    open_level(view, letter == '{');
    break;
  case '}':
  case ']':
    close_level(view, letter == '}');
    break;
  case ':':
    take_colon(view);
    break;
  case ',':
    take_comma(view);
    break;
  case '"':
    begin_scalar(view, true);
    if (!view->masked)
      put(view, letter);
    break;
  default:
    begin_scalar(view, false);
    view->number = first_of_word(view, letter);
    name_letter(view, letter); /* some write names without quotes */
    note(view, view->masked);
    if (!view->masked)
      put(view, letter);
  }
}

static void take(struct gg__json_view *view, char letter)
{
  if (view->lexeme == STRING) {
    take_in_string(view, letter);
    return;
  }
  if (view->lexeme == WORD && !memchr(" \t\r\n{}[]:,\"", letter, 11)) {
    view->number = next_of_word(view, letter);
    name_letter(view, letter);
    note(view, view->masked);
    if (!view->masked)
      put(view, letter);
    return;
  }
  if (view->lexeme == WORD) {
    note(view, false);
    end_word(view);
  }
  take_between(view, letter);
}

void gg__json_view_init(struct gg__json_view *view, void (*sink)(void *context, const char *text, size_t length),
                        void *context, bool secrets)
{
  *view = (struct gg__json_view){.sink = sink, .context = context, .secrets = secrets};
}

void gg__json_view_push(struct gg__json_view *view, const void *data, size_t length)
{
  static const char mark[] = "\xef\xbb\xbf"; /* of byte order, in front of what some programs write */
  const char *text = data;
  for (size_t i = 0; i < length; i++, view->offset++)
    if (view->offset >= sizeof mark - 1 || view->last != BEGINNING || text[i] != mark[view->offset])
      take(view, text[i]);
  flush(view);
}

void gg__json_view_finish(struct gg__json_view *view)
{
  note(view, false);
  if (view->lexeme == WORD)
    end_word(view);
  if (view->lexeme == STRING || view->depth || view->expected == COLON)
    broken(view, "it ends in the middle");
  if (view->last != BEGINNING || view->lexeme != NOTHING)
    put(view, '\n');
  flush(view);
}
