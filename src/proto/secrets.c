/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/secrets.h"

#include <gogetway/decoder.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128, SHORTEST = 3 };

/* Without what joins words. One that is found anywhere in a name, and those that are all of it or its end: "token" is
 * in "accessToken", but "tokens" and "token_type" are none. */
static const char *const anywhere[] = {"password",  "passwd",    "passphrase", "passcode",   "secret",       "apikey",
                                       "authtoken", "accesskey", "privatekey", "credential", "authorization"};
static const char *const at_end[] = {"pwd", "token", "cookie", "jwt", "sessionid", "sessionkey", "signingkey"};
static const char *const whole[] = {"pass", "auth", "sid", "pin", "otp", "sig", "signature", "codeverifier"};

static char lower(char letter)
{
  return (char)(letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
}

static bool ends(const char *text, size_t length, const char *word)
{
  size_t wanted = strlen(word);
  return length >= wanted && memcmp(text + length - wanted, word, wanted) == 0;
}

bool gg__secret_name(const char *name, size_t length)
{
  char text[NAME_MAX_BYTES];
  size_t used = 0;
  for (size_t i = 0; i < length && used < sizeof text; i++)
    if (!memchr("-_ .:[]$", name[i], 8))
      text[used++] = lower(name[i]);
  if (used < SHORTEST)
    return false;
  for (size_t i = 0; i < sizeof at_end / sizeof *at_end; i++)
    if (ends(text, used, at_end[i]))
      return true;
  for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++)
    if (memmem(text, used, anywhere[i], strlen(anywhere[i])))
      return true;
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    if (strlen(whole[i]) == used && memcmp(text, whole[i], used) == 0)
      return true;
  return false;
}

/* ── In text of any kind ─────────────────────────────────────────────────────────────────────────────────────────── */

/*     OUTSIDE ──► NAME ──► BEHIND ──(: or =, and the name is one)──► BEFORE ──┬─► QUOTED ──► OUTSIDE
 *        │                                                                   └─► OPEN ────► OUTSIDE
 *        └─(<)─► TAG ──(the name is one, and a >)──► ELEMENT ◄──► MARK, INNER_TAG, DECLARED, CDATA
 *
 * Each letter is judged when it comes: where a value ends is never waited for, so one that does not end hides all that
 * follows. */
enum state {
  OUTSIDE,
  NAME,
  BEHIND, /* a name, and blanks or a quote */
  BEFORE, /* a value comes */
  QUOTED,
  OPEN,      /* a value without quotes */
  TAG,       /* the name of an element */
  ELEMENT,   /* one whose content is hidden, with all that is in it */
  MARK,      /* a '<' in it */
  INNER_TAG, /* only what is in quotes is hidden */
  DECLARED,  /* "<!" */
  CDATA,
};

static bool is_name(char letter)
{
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '_' || letter == '-' || letter == '.' || letter == '$' || letter == '[' || letter == ']';
}

static bool is_blank(char letter)
{
  return letter == ' ' || letter == '\t';
}

static bool ends_line(char letter)
{
  return letter == '\n' || letter == '\r';
}

static void name_letter(struct gg__secret_text *text, char letter)
{
  if (text->name_length == sizeof text->name) {
    text->name_length = sizeof text->name / 2;
    memmove(text->name, text->name + sizeof text->name / 2, text->name_length);
  }
  text->name[text->name_length++] = letter;
}

/* In the tag of an element that is hidden, all attributes are. */
static bool says_secret(const struct gg__secret_text *text, char joint)
{
  return (text->secret && joint == '=') || gg__secret_name(text->name, text->name_length);
}

static void take_outside(struct gg__secret_text *text, char letter)
{
  bool named = text->state == NAME || text->state == BEHIND;
  if (is_name(letter)) {
    if (text->state != NAME) {
      text->name_length = 0;
      text->leads = text->indented;
    }
    text->state = NAME;
    name_letter(text, letter);
    text->indented = text->indented && letter == '-';
  } else if (named && (is_blank(letter) || letter == '"' || letter == '\'' || letter == '\\')) {
    text->state = BEHIND;
  } else if (named && (letter == ':' || letter == '=') && says_secret(text, letter)) {
    text->tight = letter == '=' && text->state == NAME;
    text->state = BEFORE;
    text->joint = letter;
    text->quoting = text->depth = text->run = 0;
  } else {
    text->state = letter == '<' ? TAG : OUTSIDE;
    if (letter == '<')
      text->name_length = 0;
    if (letter == '>' && text->secret && text->last != '/') {
      text->state = ELEMENT;
      text->depth = 1;
      text->run = 0;
    }
    text->secret = text->secret && letter != '>' && (text->markup || !ends_line(letter));
    text->indented = ends_line(letter) || (text->indented && memchr(" \t#;*>/", letter, 7));
  }
}

/* The name of an element, without its prefix: "wsse:Password". What follows it is attributes. */
static void take_tag(struct gg__secret_text *text, char letter)
{
  if (is_name(letter)) {
    name_letter(text, letter);
  } else if (letter == ':') {
    text->name_length = 0;
  } else {
    text->secret = gg__secret_name(text->name, text->name_length);
    text->state = OUTSIDE;
    take_outside(text, letter);
  }
}

static bool take_open(struct gg__secret_text *text, char letter)
{
  if (text->depth) { /* it begins with a bracket: up to that one's end */
    text->depth += letter == '{' || letter == '[';
    text->depth -= letter == '}' || letter == ']';
    return true;
  }
  bool ends = ends_line(letter) || (text->markup && letter == '<') || (text->secret && letter == '>');
  if (text->leads)
    ends = ends || (text->tight && letter == '&');
  else
    ends = ends || memchr(text->joint == '=' ? "&; \t\"'" : ",}", letter, text->joint == '=' ? 6 : 2);
  if (ends) {
    text->state = OUTSIDE;
    take_outside(text, letter);
  }
  return !ends;
}

static bool take_before(struct gg__secret_text *text, char letter)
{
  if (letter == '\\' && text->quoting < 63) {
    text->quoting++;
  } else if (letter == '"' || letter == '\'') {
    text->quote = letter;
    text->state = QUOTED;
  } else if (!is_blank(letter) && !memchr("=>", letter, 2)) { /* also "=>" and ":=" */
    text->state = OPEN;
    bool hidden = take_open(text, letter);
    text->depth = hidden && (letter == '{' || letter == '[');
    return hidden;
  } else {
    text->tight = false;
  }
  return false;
}

/* A quote is the value's last if as many backslashes stand in front of it as in front of the first one; a backslash of
 * the value is two of them. */
static bool take_quoted(struct gg__secret_text *text, char letter)
{
  bool hidden = true;
  if (letter == text->quote && text->run % (2 * (text->quoting + 1)) == text->quoting) {
    text->state = OUTSIDE;
    hidden = false;
  } else if (letter == '\\' && text->quoting) {
    hidden = false; /* perhaps one in front of the last quote */
  }
  text->run = letter == '\\' ? text->run + 1 : 0;
  return hidden;
}

/* Blanks in front of a value are none of it. `run`: it has begun. */
static bool take_element(struct gg__secret_text *text, char letter)
{
  if (letter == '<') {
    text->state = MARK;
    text->run = 0;
    return false;
  }
  if (!text->markup && ends_line(letter)) { /* a word in brackets, perhaps */
    text->state = OUTSIDE;
    take_outside(text, letter);
    return false;
  }
  text->run = text->run || (!is_blank(letter) && !ends_line(letter));
  return text->run;
}

static bool take_in_element(struct gg__secret_text *text, char letter)
{
  switch ((enum state)text->state) {
  case MARK:
    text->quote = '\0';
    text->state = letter == '!' ? DECLARED : INNER_TAG;
    if (letter == '/' && --text->depth == 0)
      text->state = OUTSIDE;
    else if (letter != '/' && letter != '!')
      text->depth++;
    return false;
  case INNER_TAG:
    if (letter == '>' && !text->quote) {
      text->depth -= text->last == '/' && text->depth > 1;
      text->state = ELEMENT;
    }
    if (text->quote && letter != text->quote)
      return true;
    if (letter == '"' || letter == '\'')
      text->quote = text->quote ? '\0' : letter;
    return false;
  case DECLARED: /* "<![CDATA[", or a comment */
    text->run += letter == '[';
    text->state = letter == '>' ? ELEMENT : text->run == 2 ? CDATA : DECLARED;
    text->run = letter == '>' ? 0 : text->run;
    return !text->run && !memchr("->", letter, 2);
  case CDATA:
    text->state = letter == '>' && text->last == ']' ? ELEMENT : CDATA;
    text->run = text->state == ELEMENT ? 0 : 2;
    return letter != ']' && text->state == CDATA;
  default:
    return take_element(text, letter);
  }
}

bool gg__secret_text_take(struct gg__secret_text *text, char letter)
{
  bool hidden = false;
  if (!text->begun && !is_blank(letter) && !ends_line(letter) && (letter & 0x80) == 0) {
    text->begun = true;
    text->markup = letter == '<';
    text->indented = true;
  }
  switch ((enum state)text->state) {
  case BEFORE:
    hidden = take_before(text, letter);
    break;
  case QUOTED:
    hidden = take_quoted(text, letter);
    break;
  case OPEN:
    hidden = take_open(text, letter);
    break;
  case TAG:
    take_tag(text, letter);
    break;
  case OUTSIDE:
  case NAME:
  case BEHIND:
    take_outside(text, letter);
    break;
  default:
    hidden = take_in_element(text, letter);
  }
  text->last = letter;
  return hidden;
}

void gg__secret_range_take(struct gg__secret_range *range, uint64_t offset, bool secret, const char *name,
                           size_t name_length)
{
  if (secret && !range->open)
    range->from = offset;
  else if (!secret && range->open && range->hidden)
    range->hidden(range->context, range->from, offset, name, name_length);
  range->open = secret;
}

bool gg__secret_text_may_be(const void *text, size_t length)
{
  return length && (memchr(text, '=', length) || memchr(text, ':', length) || memchr(text, '<', length));
}

bool gg__secret_text_has(const char *text, size_t length)
{
  if (length && memchr(text, '<', length))
    return true;
  for (size_t i = 0; i < length; i++) {
    if (text[i] != '=' && text[i] != ':')
      continue;
    size_t end = i;
    while (end > 0 && memchr(" \t\"'\\", text[end - 1], 5))
      end--;
    size_t from = end;
    while (from > 0 && is_name(text[from - 1]))
      from--;
    if (end - from >= GG__SECRET_NAME_MAX / 2 || (end > from && gg__secret_name(text + from, end - from)))
      return true;
  }
  return false;
}

void gg_text_mask(char *text, size_t length)
{
  if (!gg__secret_text_has(text, length))
    return;
  struct gg__secret_text state = {0};
  for (size_t i = 0; i < length; i++)
    if (gg__secret_text_take(&state, text[i]))
      text[i] = '*';
}
