/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1.h"
#ifdef GG_HAVE_HTTP2
#include "proto/http2_upgrade.h"
#endif

#include <stdio.h>
#include <string.h>

/* tchar of RFC 9110, 5.6.2 */
static const bool in_token[256] = {
  ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
  ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
  ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool is_blank(char letter)
{
  return letter == ' ' || letter == '\t';
}

bool gg__http1_line(struct gg__http1_line *line, const uint8_t *data, size_t length, uint64_t offset, size_t from)
{
  const uint8_t *end = from < length ? memchr(data + from, '\n', length - from) : NULL;
  if (!end)
    return false;
  size_t text = (size_t)(end - data);
  line->whole = text + 1;
  line->bare = text == 0 || data[text - 1] != '\r';
  text -= line->bare ? 0 : 1;
  line->text = (struct gg__span){.text = (const char *)data, .length = text, .offset = offset, .raw_length = text};
  return true;
}

static struct gg__span part(const struct gg__span *of, size_t from, size_t to)
{
  return (struct gg__span){
    .text = of->text + from, .length = to - from, .offset = of->offset + from, .raw_length = to - from};
}

static bool is_version(const struct gg__span *span)
{
  return span->length == 8 && memcmp(span->text, "HTTP/1.", 7) == 0 && span->text[7] >= '0' && span->text[7] <= '9';
}

static size_t skip_token(const struct gg__span *line, size_t at)
{
  while (at < line->length && in_token[(uint8_t)line->text[at]])
    at++;
  return at;
}

static size_t skip_blanks(const struct gg__span *line, size_t at)
{
  while (at < line->length && is_blank(line->text[at]))
    at++;
  return at;
}

size_t gg__http1_token(const uint8_t *text, size_t length)
{
  return skip_token(&(struct gg__span){.text = (const char *)text, .length = length}, 0);
}

bool gg__http1_request(struct gg__http1_request *out, const struct gg__span *line)
{
  size_t method = skip_token(line, 0);
  size_t target = skip_blanks(line, method);
  size_t end = line->length;
  while (end > target && is_blank(line->text[end - 1]))
    end--;
  if (method == 0 || target == method || end < target + 8)
    return false;
  size_t version = end - 8, last = version;
  while (last > target && is_blank(line->text[last - 1]))
    last--;
  out->method = part(line, 0, method);
  out->target = part(line, target, last);
  out->version = part(line, version, end);
  out->odd_blanks = target - method != 1 || line->text[method] != ' ' || version - last != 1 ||
                    line->text[last] != ' ' || end != line->length ||
                    memchr(out->target.text, ' ', out->target.length) ||
                    memchr(out->target.text, '\t', out->target.length);
  return is_version(&out->version) && last > target && last < version;
}

bool gg__http1_status(struct gg__http1_status *out, const struct gg__span *line)
{
  if (line->length < 12)
    return false;
  out->version = part(line, 0, 8);
  size_t at = skip_blanks(line, 8);
  if (!is_version(&out->version) || at == 8 || line->length - at < 3)
    return false;
  out->status = 0;
  for (size_t i = 0; i < 3; i++) {
    char digit = line->text[at + i];
    if (digit < '0' || digit > '9')
      return false;
    out->status = out->status * 10 + (unsigned)(digit - '0');
  }
  size_t reason = at + 3;
  if (reason < line->length && line->text[reason] != ' ')
    return false;
  out->odd_blanks = at != 9 || line->text[8] != ' ' || out->status < 100;
  out->reason = part(line, reason < line->length ? reason + 1 : reason, line->length);
  return true;
}

/* ── Header lines ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Decimal digits alone. False: it is anything else, or too much for 64 bits. */
static bool read_length(uint64_t *out, const struct gg__span *text)
{
  uint64_t number = 0;
  for (size_t i = 0; i < text->length; i++) {
    unsigned digit = (unsigned)((uint8_t)text->text[i] - '0');
    if (digit > 9 || number > (UINT64_MAX - digit) / 10)
      return false;
    number = number * 10 + digit;
  }
  *out = number;
  return text->length > 0;
}

static struct gg__span trimmed(const struct gg__span *of, size_t from, size_t to)
{
  while (from < to && is_blank(of->text[from]))
    from++;
  while (to > from && is_blank(of->text[to - 1]))
    to--;
  return part(of, from, to);
}

/* Each of "5, 5" is a length of its own: some readers take the first, some the last. */
static void note_length(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__http1_framing *framing,
                        const struct gg__span *value)
{
  for (size_t at = 0; at <= value->length;) {
    const char *comma = at < value->length ? memchr(value->text + at, ',', value->length - at) : NULL;
    size_t end = comma ? (size_t)(comma - value->text) : value->length;
    struct gg__span word = trimmed(value, at, end);
    uint64_t length;
    if (!read_length(&length, &word)) {
      gg__http_odd(decoding, draft, "content-length-no-number");
      framing->bad_length = !framing->has_length;
    } else if (framing->has_length) {
      gg__http_odd(decoding, draft,
                   length == framing->length ? "repeated-content-length" : "conflicting-content-length");
    } else {
      framing->has_length = true;
      framing->length = length;
    }
    at = end + 1;
  }
}

static void note_coding(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__http1_framing *framing,
                        const struct gg__span *value)
{
  if (framing->has_coding)
    gg__http_odd(decoding, draft, "repeated-transfer-encoding");
  if (framing->chunked)
    gg__http_odd(decoding, draft, "chunked-not-last");
  struct gg__span last = gg__http_last(value);
  framing->has_coding = true;
  framing->chunked = gg__http_is(&last, "chunked");
  if (!framing->chunked && gg__http_lists(value, "chunked"))
    gg__http_odd(decoding, draft, "chunked-not-last");
  static const char *const codings[] = {"chunked", "gzip", "x-gzip", "deflate", "compress", "x-compress", "identity"};
  bool known = false;
  for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
    known = known || gg__http_is(&last, codings[i]);
  if (!known)
    gg__http_odd(decoding, draft, "unknown-transfer-encoding");
}

static void copy_lower(char *out, size_t size, const struct gg__span *text)
{
  size_t length = text->length < size - 1 ? text->length : size - 1;
  for (size_t i = 0; i < length; i++)
    out[i] = (char)(text->text[i] >= 'A' && text->text[i] <= 'Z' ? text->text[i] + 32 : text->text[i]);
  out[length] = '\0';
}

static void note_framing(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__http1_framing *framing,
                         const struct gg__span *name, const struct gg__span *value)
{
  if (gg__http_is(name, "content-length")) {
    note_length(decoding, draft, framing, value);
  } else if (gg__http_is(name, "transfer-encoding")) {
    note_coding(decoding, draft, framing, value);
  } else if (gg__http_is(name, "connection")) {
    framing->close = framing->close || gg__http_lists(value, "close");
    framing->upgrade = framing->upgrade || gg__http_lists(value, "upgrade");
  } else if (gg__http_is(name, "upgrade")) {
    copy_lower(framing->protocol, sizeof framing->protocol, value);
  } else if (gg__http_is(name, "sec-websocket-extensions")) {
    copy_lower(framing->extensions, sizeof framing->extensions, value);
#ifdef GG_HAVE_HTTP2
  } else if (gg__http_is(name, "http2-settings")) {
    framing->table = gg__http2_upgrade_table(value->text, value->length);
#endif
  } else if (gg__http_is(name, "host")) {
    if (framing->has_host)
      gg__http_odd(decoding, draft, "repeated-host");
    framing->has_host = true;
  }
}

/* A value over several lines, as one: each end of a line and the blanks around it become one blank. */
static size_t unfold(char *out, const struct gg__span *value)
{
  size_t length = 0;
  for (size_t i = 0; i < value->length;) {
    char letter = value->text[i++];
    if (letter != '\r' && letter != '\n') {
      out[length++] = letter;
      continue;
    }
    while (length && is_blank(out[length - 1]))
      length--;
    while (i < value->length && (is_blank(value->text[i]) || value->text[i] == '\r' || value->text[i] == '\n'))
      i++;
    out[length++] = ' ';
  }
  return length;
}

static bool has_control_within(const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if ((uint8_t)text[i] < ' ' && text[i] != '\t')
      return true;
  return false;
}

bool gg__http1_has_control(const struct gg__span *value)
{
  const uint64_t ones = UINT64_C(0x0101010101010101);
  size_t at = 0;
  for (; at + 8 <= value->length; at += 8) { /* nearly all values have no byte below a blank */
    uint64_t word;
    memcpy(&word, value->text + at, 8);
    if ((word - ones * ' ') & ~word & ones * 0x80 && has_control_within(value->text + at, 8))
      return true;
  }
  return has_control_within(value->text + at, value->length - at);
}

void gg__http1_header(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__http1_framing *framing,
                      const struct gg__span *line, bool folded, bool trailer)
{
  size_t name_end = skip_token(line, 0), colon = skip_blanks(line, name_end);
  if (colon == line->length || line->text[colon] != ':') {
    const char *found = memchr(line->text, ':', line->length);
    gg__http_odd(decoding, draft, found ? "bad-header-name" : "header-without-colon");
    if (!found)
      return;
    name_end = colon = (size_t)(found - line->text);
  }
  if (colon != name_end)
    gg__http_odd(decoding, draft, "blank-before-colon");
  if (colon == 0)
    gg__http_odd(decoding, draft, "empty-header-name");
  struct gg__span name = part(line, 0, name_end), value = trimmed(line, colon + 1, line->length);
  char plain[GG_DECODING_WINDOW_MAX];
  if (folded) {
    gg__http_odd(decoding, draft, "folded-header");
    value.length = unfold(plain, &value);
    value.text = plain;
  }
  if (gg__http1_has_control(&value))
    gg__http_odd(decoding, draft, "control-in-header");
  if (!trailer)
    note_framing(decoding, draft, framing, &name, &value);
  else if (gg__http_is(&name, "content-length") || gg__http_is(&name, "transfer-encoding") ||
           gg__http_is(&name, "host"))
    gg__http_odd(decoding, draft, "framing-in-trailer");
  gg__http_header(decoding, draft, &name, &value, trailer);
}

bool gg__http1_chunk(uint64_t *size, const struct gg__span *line, bool *odd)
{
  uint64_t number = 0;
  size_t at = 0;
  for (; at < line->length; at++) {
    char letter = line->text[at];
    unsigned digit = letter >= '0' && letter <= '9'   ? (unsigned)(letter - '0')
                     : letter >= 'a' && letter <= 'f' ? (unsigned)(letter - 'a' + 10)
                     : letter >= 'A' && letter <= 'F' ? (unsigned)(letter - 'A' + 10)
                                                      : 16;
    if (digit > 15)
      break;
    if (number >> 60)
      return false;
    number = number << 4 | digit;
  }
  size_t extension = skip_blanks(line, at);
  *odd = extension != at || memchr(line->text, '\r', line->length);
  *size = number;
  return at > 0 && (extension == line->length || line->text[extension] == ';');
}
