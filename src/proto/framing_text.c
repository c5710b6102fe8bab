/* SPDX-License-Identifier: Apache-2.0 */
/* A framing as a person writes it: what kind it is, and settings in any order.
 *
 *     delimiter "\r\n"
 *     fixed 128
 *     length offset=2 width=2 endian=big adjust=-4 header=4
 *     ... requests=client
 */
#include "base/text.h"
#include "proto/framing.h"

#include <inttypes.h>
#include <string.h>

#define SIZE_LARGEST (UINT64_C(1) << 40)

/* Where the reader is in the text. */
struct reading {
  const char *text, *at;
  struct gg_failure *failure;
};

struct word {
  const char *text;
  size_t length;
};

static size_t column(const struct reading *reading, const char *at)
{
  return (size_t)(at - reading->text) + 1;
}

static int wrong(const struct reading *reading, const char *at, const char *what)
{
  return gg_fail(reading->failure, GG_ERR_FORMAT, "framing, column %zu: %s", column(reading, at), what);
}

static void skip_blanks(struct reading *reading)
{
  reading->at += strspn(reading->at, " \t");
}

static struct word next_word(struct reading *reading)
{
  skip_blanks(reading);
  struct word word = {reading->at, strcspn(reading->at, " \t")};
  reading->at += word.length;
  return word;
}

static bool is(const struct word *word, const char *text)
{
  return strlen(text) == word->length && memcmp(word->text, text, word->length) == 0;
}

/* ── What kind ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* In quotes of either sort, with C's escapes. */
static int read_delimiter(struct gg__framing *out, struct reading *reading)
{
  char escaped[4 * GG__DELIMITER_MAX + 1], bytes[4 * GG__DELIMITER_MAX + 1];
  skip_blanks(reading);
  const char *begin = reading->at;
  if (*begin != '"' && *begin != '\'')
    return wrong(reading, begin, "the delimiter stands in quotes: delimiter \"\\r\\n\"");
  const char *end = begin + 1;
  while (*end && *end != *begin)
    end += *end == '\\' && end[1] ? 2 : 1;
  if (!*end)
    return wrong(reading, begin, "the delimiter's second quote is missing");
  size_t length = (size_t)(end - begin) - 1;
  reading->at = end + 1;
  if (length == 0)
    return wrong(reading, begin, "an empty delimiter ends nothing");
  if (length >= sizeof escaped)
    return wrong(reading, begin, "a delimiter has at most 16 bytes");
  memcpy(escaped, begin + 1, length);
  escaped[length] = '\0';
  if (gg_text_unescape(bytes, &out->delimiter_length, escaped) != 0)
    return wrong(reading, begin + 1, "an unknown escape; there are \\n \\r \\t \\0 \\\\ \\\" and \\xHH");
  if (out->delimiter_length > GG__DELIMITER_MAX)
    return wrong(reading, begin, "a delimiter has at most 16 bytes");
  memcpy(out->delimiter, bytes, out->delimiter_length);
  return 0;
}

/* Decimal digits, all of the word's from `from` on, up to `most`. False: it is something else. */
static bool read_number(uint64_t *out, const struct word *word, size_t from, uint64_t most)
{
  char digits[24];
  size_t length = word->length - from;
  if (length == 0 || length >= sizeof digits)
    return false;
  memcpy(digits, word->text + from, length);
  digits[length] = '\0';
  return gg_text_parse_count(out, digits) == 0 && *out <= most;
}

static int read_fixed(struct gg__framing *out, struct reading *reading)
{
  struct word word = next_word(reading);
  if (!read_number(&out->size, &word, 0, SIZE_LARGEST) || out->size == 0)
    return wrong(reading, word.text, "a message has so many bytes, at least one: fixed 128");
  return 0;
}

static int read_kind(struct gg__framing *out, struct reading *reading)
{
  struct word kind = next_word(reading);
  if (is(&kind, "delimiter")) {
    out->kind = GG__FRAMING_DELIMITER;
    return read_delimiter(out, reading);
  }
  if (is(&kind, "fixed")) {
    out->kind = GG__FRAMING_FIXED;
    return read_fixed(out, reading);
  }
  if (is(&kind, "length")) {
    out->kind = GG__FRAMING_LENGTH;
    return 0;
  }
  return wrong(reading, kind.text,
               "a framing is one of: delimiter \"\\r\\n\"; fixed 128; length offset=0 width=4 endian=big");
}

/* ── Settings ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *set_number(uint64_t *out, const struct word *word, size_t from, uint64_t least, uint64_t most,
                              const char *or_else)
{
  return read_number(out, word, from, most) && *out >= least ? NULL : or_else;
}

static const char *set_adjust(int64_t *out, const struct word *word, size_t from)
{
  bool negative = from < word->length && word->text[from] == '-';
  uint64_t number;
  if (!read_number(&number, word, from + negative, SIZE_LARGEST))
    return "adjust is a number, which may have a minus: adjust=-4";
  *out = negative ? -(int64_t)number : (int64_t)number;
  return NULL;
}

/* One of `names`, which ends with a NULL. */
static const char *set_choice(unsigned *out, const struct word *word, size_t from, const char *const *names,
                              const char *or_else)
{
  for (unsigned i = 0; names[i]; i++)
    if (strlen(names[i]) == word->length - from && memcmp(names[i], word->text + from, word->length - from) == 0) {
      *out = i;
      return NULL;
    }
  return or_else;
}

enum setting { OFFSET, WIDTH, ENDIAN, ADJUST, HEADER, REQUESTS, SETTINGS };
static const char *const setting_names[SETTINGS] = {"offset", "width", "endian", "adjust", "header", "requests"};

/* NULL, or what would be right. */
static const char *set(struct gg__framing *out, enum setting setting, const struct word *word, size_t from)
{
  static const char *const sides[] = {"client", "server", "none", NULL}, *const ends[] = {"big", "little", NULL};
  uint64_t number = 0;
  unsigned choice = 0;
  const char *mistake = NULL;
  switch (setting) {
  case OFFSET:
    mistake = set_number(&number, word, from, 0, GG__LENGTH_OFFSET_MAX, "offset is 0 to 1024 bytes: offset=2");
    out->offset = (size_t)number;
    break;
  case WIDTH:
    mistake = set_number(&number, word, from, 1, GG__LENGTH_WIDTH_MAX, "width is 1 to 8 bytes: width=4");
    out->width = (size_t)number;
    break;
  case ENDIAN:
    mistake = set_choice(&choice, word, from, ends, "endian is big or little");
    out->little_endian = choice == 1;
    break;
  case ADJUST:
    return set_adjust(&out->adjust, word, from);
  case HEADER:
    return set_number(&out->header, word, from, 0, SIZE_LARGEST, "header is a number of bytes: header=4");
  default:
    mistake = set_choice(&choice, word, from, sides, "requests is client, server or none");
    out->requests = (enum gg__framing_requests)choice;
  }
  return mistake;
}

static int read_setting(struct gg__framing *out, struct reading *reading, const struct word *word, bool given[SETTINGS])
{
  const char *equals = memchr(word->text, '=', word->length);
  struct word name = {word->text, equals ? (size_t)(equals - word->text) : word->length};
  unsigned setting = 0;
  while (setting < SETTINGS && !is(&name, setting_names[setting]))
    setting++;
  bool known = setting < SETTINGS && equals && (setting == REQUESTS || out->kind == GG__FRAMING_LENGTH);
  if (!known)
    return wrong(reading, word->text,
                 out->kind == GG__FRAMING_LENGTH
                   ? "what may follow is offset=, width=, endian=, adjust=, header= and requests="
                   : "what may follow is requests=client, server or none");
  if (given[setting])
    return wrong(reading, word->text, "this is set twice");
  given[setting] = true;
  size_t from = name.length + 1;
  const char *mistake = set(out, (enum setting)setting, word, from);
  return mistake ? wrong(reading, word->text + from, mistake) : 0;
}

int gg__framing_parse(struct gg__framing *out, const char *text, struct gg_failure *failure)
{
  struct reading reading = {text, text, failure};
  bool given[SETTINGS] = {false};
  *out = (struct gg__framing){.width = 4};
  int error = read_kind(out, &reading);
  for (skip_blanks(&reading); !error && *reading.at; skip_blanks(&reading)) {
    if (reading.at[-1] != ' ' && reading.at[-1] != '\t')
      return wrong(&reading, reading.at, "a blank belongs in front of this");
    struct word word = next_word(&reading);
    error = read_setting(out, &reading, &word, given);
  }
  if (!error && out->kind == GG__FRAMING_LENGTH && !given[WIDTH])
    return wrong(&reading, reading.at, "how many bytes the length field has is missing: width=4");
  if (!given[HEADER])
    out->header = out->offset + out->width;
  return error;
}

int gg_framing_check(const char *text, struct gg_failure *failure)
{
  struct gg__framing framing;
  return gg__framing_parse(&framing, text, failure);
}
