/* SPDX-License-Identifier: Apache-2.0 */
/* One letter at a time, but for bodies, of which all is told at once up to the next end of a line.
 *
 *     PREAMBLE ──► DELIMITER ──► TAIL ──┬─► HEAD ──► BODY ──► DELIMITER ──► ...
 *                                       └─► (with "--") EPILOGUE
 *
 * The delimiter is an end of line, "--" and the boundary; the first one may do without the end of line. A boundary has
 * no end of line in it, so when a letter does not match, what has matched so far can only have been the body's, and
 * matching begins anew with that letter. The same with what stands behind a boundary: if that is not the end of its
 * line, the boundary was only how a longer one begins, perhaps that of a multipart around or within this one. */
#include "proto/multipart.h"

#include "proto/secrets.h"

#include <string.h>
#include <strings.h>

enum phase { PREAMBLE, HEAD, BODY, EPILOGUE };

/* ── Parameters of headers ───────────────────────────────────────────────────────────────────────────────────────── */

static bool is(const struct gg__multipart_text *text, const char *word)
{
  return strlen(word) == text->length && strncasecmp(text->text, word, text->length) == 0;
}

static struct gg__multipart_text trimmed(const char *text, size_t length)
{
  while (length && memchr(" \t\r\n", *text, 4)) {
    text++;
    length--;
  }
  while (length && memchr(" \t\r\n", text[length - 1], 4))
    length--;
  return (struct gg__multipart_text){text, length};
}

/* Where the parameter that begins at `at` ends: a semicolon in quotes is none. */
static size_t parameter_end(const struct gg__multipart_text *value, size_t at)
{
  bool quoted = false;
  for (; at < value->length && (quoted || value->text[at] != ';'); at++) {
    if (quoted && value->text[at] == '\\' && at + 1 < value->length)
      at++;
    else if (value->text[at] == '"')
      quoted = !quoted;
  }
  return at;
}

/* The value of a parameter, without quotes: `out` has `size` bytes. False: there is none of that name. */
static bool parameter(const struct gg__multipart_text *value, const char *name, char *out, size_t size,
                      struct gg__multipart_text *found)
{
  for (size_t at = parameter_end(value, 0); at < value->length;) {
    size_t end = parameter_end(value, at + 1);
    const char *from = value->text + at + 1, *equals = memchr(from, '=', end - at - 1);
    at = end;
    if (!equals)
      continue;
    struct gg__multipart_text key = trimmed(from, (size_t)(equals - from));
    struct gg__multipart_text text = trimmed(equals + 1, (size_t)(value->text + end - equals - 1));
    if (!is(&key, name))
      continue;
    bool quoted = text.length >= 2 && text.text[0] == '"' && text.text[text.length - 1] == '"';
    *found = (struct gg__multipart_text){out, 0};
    for (size_t i = quoted; i < text.length - quoted && found->length < size; i++) {
      if (quoted && text.text[i] == '\\' && i + 2 < text.length && memchr("\"\\", text.text[i + 1], 2))
        i++; /* no other: paths of old browsers are full of backslashes */
      out[found->length++] = text.text[i];
    }
    return true;
  }
  return false;
}

static int digit_of(char letter)
{
  return letter >= '0' && letter <= '9'   ? letter - '0'
         : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
         : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                          : -1;
}

/* UTF-8''na%C3%AFve (RFC 8187): in place. */
static void undo_extended(struct gg__multipart_text *text, char *out)
{
  const char *quote = memchr(text->text, '\'', text->length);
  const char *second = quote ? memchr(quote + 1, '\'', (size_t)(text->text + text->length - quote - 1)) : NULL;
  size_t from = second ? (size_t)(second - text->text) + 1 : 0, length = 0;
  for (size_t i = from; i < text->length; i++) {
    bool coded = text->text[i] == '%' && i + 2 < text->length && digit_of(text->text[i + 1]) >= 0 &&
                 digit_of(text->text[i + 2]) >= 0;
    out[length++] = coded ? (char)(digit_of(text->text[i + 1]) << 4 | digit_of(text->text[i + 2])) : text->text[i];
    i += coded ? 2 : 0;
  }
  text->length = length;
}

/* ── A part's head ───────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_header(struct gg__multipart *multipart, const char *line, size_t length)
{
  struct gg__part *part = &multipart->part;
  const char *colon = memchr(line, ':', length);
  if (!colon)
    return;
  if (part->header_count == GG__MULTIPART_HEADERS_MAX) {
    part->head_cut = true;
    return;
  }
  struct gg__multipart_header *header = &part->headers[part->header_count++];
  header->name = trimmed(line, (size_t)(colon - line));
  header->value = trimmed(colon + 1, (size_t)(line + length - colon - 1));
  const struct gg__multipart_text *value = &header->value;
  if (is(&header->name, "content-type")) {
    part->type = trimmed(value->text, parameter_end(value, 0));
  } else if (is(&header->name, "content-disposition")) {
    parameter(value, "name", multipart->name, sizeof multipart->name, &part->name);
    if (parameter(value, "filename*", multipart->filename, sizeof multipart->filename, &part->filename))
      undo_extended(&part->filename, multipart->filename);
    else
      parameter(value, "filename", multipart->filename, sizeof multipart->filename, &part->filename);
  }
}

/* The head is whole: its lines, each with those that continue it. */
static void end_head(struct gg__multipart *multipart, uint64_t body_offset)
{
  struct gg__part *part = &multipart->part;
  const char *head = multipart->head;
  for (size_t at = 0; at < multipart->head_length;) {
    size_t end = at;
    do {
      const char *found = memchr(head + end, '\n', multipart->head_length - end);
      end = found ? (size_t)(found - head) + 1 : multipart->head_length;
    } while (end < multipart->head_length && (head[end] == ' ' || head[end] == '\t'));
    take_header(multipart, head + at, end - at);
    at = end;
  }
  part->secret = gg__secret_name(part->name.text, part->name.length);
  part->body_offset = body_offset;
  multipart->phase = BODY;
  multipart->in_part = true;
  /* The end of line of the head may be that of a delimiter: the body is empty then. */
  multipart->matched = 1;
  multipart->implied = true;
  multipart->return_held = false;
  if (multipart->sink.begin)
    multipart->sink.begin(multipart->sink.context, part);
}

static void begin_head(struct gg__multipart *multipart)
{
  uint64_t number = multipart->part.number + 1;
  multipart->part = (struct gg__part){.number = number, .offset = multipart->offset + 1};
  multipart->head_length = 0;
  multipart->line_empty = true;
  multipart->phase = HEAD;
}

static void take_head(struct gg__multipart *multipart, char letter)
{
  if (letter == '\n' && multipart->line_empty) {
    end_head(multipart, multipart->offset + 1);
    return;
  }
  if (letter == '\n')
    multipart->line_empty = true;
  else if (letter != '\r')
    multipart->line_empty = false;
  if (multipart->head_length < sizeof multipart->head)
    multipart->head[multipart->head_length++] = letter;
  else
    multipart->part.head_cut = true;
}

/* ── Bodies and boundaries ───────────────────────────────────────────────────────────────────────────────────────── */

static void tell(struct gg__multipart *multipart, const void *data, size_t length)
{
  if (!multipart->in_part || !length)
    return;
  multipart->part.body_length += length;
  if (multipart->sink.body)
    multipart->sink.body(multipart->sink.context, &multipart->part, data, length);
}

static void end_part(struct gg__multipart *multipart, bool cut)
{
  if (!multipart->in_part)
    return;
  multipart->in_part = false;
  multipart->part.cut = cut;
  if (multipart->sink.end)
    multipart->sink.end(multipart->sink.context, &multipart->part);
}

/* What has matched was the body's after all; but for the end of line that stood in front of it. */
static void give_back(struct gg__multipart *multipart)
{
  if (multipart->return_held)
    tell(multipart, "\r", 1);
  if (multipart->matched)
    tell(multipart, multipart->delimiter + multipart->implied, multipart->matched - multipart->implied);
  tell(multipart, multipart->tail, multipart->padding);
  multipart->implied = false;
  multipart->return_held = false;
  multipart->matched = 0;
  multipart->padding = 0;
}

/* Behind "--boundary". */
static void take_tail(struct gg__multipart *multipart, char letter)
{
  const char *tail = multipart->tail;
  size_t padding = multipart->padding;
  bool is_last = padding >= 2 && memcmp(tail, "--", 2) == 0;
  if (letter == '\n' || (is_last && padding == 2)) {
    end_part(multipart, false);
    multipart->matched = 0;
    multipart->padding = 0;
    multipart->return_held = false;
    multipart->ended = is_last;
    if (is_last)
      multipart->phase = EPILOGUE;
    else
      begin_head(multipart);
  } else {
    multipart->tail[multipart->padding++] = letter;
  }
}

static bool belongs_to_tail(const struct gg__multipart *multipart, char letter)
{
  size_t padding = multipart->padding;
  if (padding == 0 || (padding == 1 && multipart->tail[0] == '-'))
    return memchr(padding ? "-" : "- \t\r\n", letter, padding ? 1 : 5) != NULL;
  return memchr(" \t\r\n", letter, 4) != NULL && padding < sizeof multipart->tail;
}

static void take_letter(struct gg__multipart *multipart, char letter)
{
  if (multipart->matched == multipart->delimiter_length) {
    if (belongs_to_tail(multipart, letter)) {
      take_tail(multipart, letter);
      return;
    }
    give_back(multipart);
  } else if (multipart->matched && letter == multipart->delimiter[multipart->matched]) {
    multipart->matched++;
    return;
  } else if (multipart->matched || (multipart->return_held && letter != '\n')) {
    give_back(multipart);
  }
  if (letter == '\r')
    multipart->return_held = true;
  else if (letter == '\n')
    multipart->matched = 1;
  else
    tell(multipart, &letter, 1);
}

/* How many bytes cannot be anything but the body's. */
static size_t plain(const struct gg__multipart *multipart, const char *text, size_t length)
{
  if (multipart->matched || multipart->return_held)
    return 0;
  const char *feed = memchr(text, '\n', length);
  size_t until = feed ? (size_t)(feed - text) : length;
  const char *carriage = memchr(text, '\r', until);
  return carriage ? (size_t)(carriage - text) : until;
}

void gg__multipart_push(struct gg__multipart *multipart, const void *data, size_t length)
{
  const char *text = data;
  for (size_t i = 0; i < length && multipart->phase != EPILOGUE;) {
    size_t known = multipart->phase == HEAD ? 0 : plain(multipart, text + i, length - i);
    if (known) {
      tell(multipart, text + i, known);
      multipart->offset += known;
      i += known;
      continue;
    }
    if (multipart->phase == HEAD)
      take_head(multipart, text[i]);
    else
      take_letter(multipart, text[i]);
    multipart->offset++;
    i++;
  }
}

bool gg__multipart_finish(struct gg__multipart *multipart)
{
  bool last = multipart->matched == multipart->delimiter_length && multipart->padding == 2 &&
              memcmp(multipart->tail, "--", 2) == 0;
  if (multipart->phase == HEAD)
    end_head(multipart, multipart->offset);
  if (last)
    multipart->ended = true;
  else
    give_back(multipart);
  end_part(multipart, !last);
  return multipart->ended;
}

bool gg__multipart_init(struct gg__multipart *multipart, const struct gg__multipart_sink *sink, const char *type,
                        size_t length)
{
  char boundary[GG__MULTIPART_BOUNDARY_MAX + 1];
  struct gg__multipart_text value = {type, length}, found;
  *multipart = (struct gg__multipart){.sink = *sink, .phase = PREAMBLE, .matched = 1, .implied = true};
  if (!parameter(&value, "boundary", boundary, sizeof boundary, &found) || found.length == 0 ||
      found.length == sizeof boundary || memchr(boundary, '\n', found.length) || memchr(boundary, '\r', found.length))
    return false;
  memcpy(multipart->delimiter, "\n--", 3);
  memcpy(multipart->delimiter + 3, boundary, found.length);
  multipart->delimiter_length = found.length + 3;
  return true;
}
