/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.c - a session's beginning or end as one line. Whatever the texts hold, and some hold what a stranger chose, the
 * line is one line of valid UTF-8 and valid JSON: control characters are escaped, what is no UTF-8 becomes U+FFFD.
 */
#include "events.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PRIORITY = 3 * 8 + 6 /* daemon.info */ };

struct text {
  char *bytes;
  size_t length; /* always less than LINE_MAX_BYTES */
};

static void add(struct text *text, const char *format, ...) GG_PRINTF(2, 3);
static void add(struct text *text, const char *format, ...)
{
  va_list arguments;
  size_t room = LINE_MAX_BYTES - text->length;
  va_start(arguments, format);
  int length = vsnprintf(text->bytes + text->length, room, format, arguments);
  va_end(arguments);
  if (length > 0)
    text->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void add_time(struct text *text, uint64_t real_ns)
{
  time_t seconds = (time_t)(real_ns / 1000000000);
  char date[32] = "";
  struct tm parts;
  if (gmtime_r(&seconds, &parts))
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  add(text, "%s.%06uZ", date, (unsigned)(real_ns % 1000000000 / 1000)); /* syslog takes six digits at the most */
}

/* Bytes of the UTF-8 character at `at`, which ends in NUL somewhere; 0: it is none. */
static size_t character(const unsigned char *at)
{
  size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
  if (length < 2)
    return length;
  for (size_t i = 1; i < length; i++)
    if (at[i] >> 6 != 2)
      return 0;
  bool too_long = at[0] < 0xC2 || (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
  bool surrogate = at[0] == 0xED && at[1] >= 0xA0;
  bool beyond = at[0] > 0xF4 || (at[0] == 0xF4 && at[1] >= 0x90);
  return too_long || surrogate || beyond ? 0 : length;
}

/* What ends a line, here or for some reader, or steers a terminal: its number; else 0. */
static unsigned control(const unsigned char *at, size_t length)
{
  if (length == 1)
    return *at < 0x20 || *at == 0x7F ? *at : 0;
  if (length == 2)
    return at[0] == 0xC2 && at[1] < 0xA0 ? at[1] : 0; /* C1, NEL among them */
  bool separator = length == 3 && at[0] == 0xE2 && at[1] == 0x80 && (at[2] == 0xA8 || at[2] == 0xA9);
  return separator ? 0x2000u + (at[2] & 0x3F) : 0;
}

static void add_string(struct text *text, const char *string)
{
  const unsigned char *at = (const unsigned char *)string;
  add(text, "\"");
  while (*at) {
    size_t length = character(at);
    unsigned number = control(at, length);
    if (length == 0)
      add(text, "\\ufffd");
    else if (number > 0)
      add(text, "\\u%04x", number);
    else
      add(text, "%s%.*s", *at == '"' || *at == '\\' ? "\\" : "", (int)length, (const char *)at);
    at += length ? length : 1;
  }
  add(text, "\"");
}

static void add_field(struct text *text, const char *name, const char *string)
{
  add(text, ",\"%s\":", name);
  add_string(text, string);
}

static void add_end(struct text *text, const struct gg_session_info *info, const struct gg_session_summary *summary)
{
  add(text, ",\"bytes\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64 "}", summary->received[GG_SIDE_CLIENT],
      summary->received[GG_SIDE_SERVER]);
  add(text, ",\"forwarded\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64 "}", summary->forwarded[GG_SIDE_CLIENT],
      summary->forwarded[GG_SIDE_SERVER]);
  add(text, ",\"duration_ns\":%" PRIu64, summary->duration_ns);
  add_field(text, "close", summary->close);
  add_field(text, "reason", summary->reason);
  add(text, ",\"tags\":[");
  for (unsigned i = 0; i < info->tag_count; i++) {
    add(text, i > 0 ? "," : "");
    add_string(text, info->tags[i]);
  }
  add(text, "]");
}

void line_head_init(struct line_head *head, bool syslog)
{
  *head = (struct line_head){.syslog = syslog, .pid = (long)getpid()};
  if (gethostname(head->host, sizeof head->host - 1) != 0 || !head->host[0] || strpbrk(head->host, " \t"))
    memcpy(head->host, "-", 2);
}

size_t line_write(char *out, const struct line_head *head, const struct gg_session_info *info,
                  const struct gg_session_summary *summary, uint64_t now_ns)
{
  struct text text = {.bytes = out};
  const char *event = summary ? "end" : "start";
  if (head->syslog) {
    add(&text, "<%d>1 ", PRIORITY);
    add_time(&text, now_ns);
    add(&text, " %s gogetway %ld session-%s - ", head->host, head->pid, event);
  }
  add(&text, "{\"event\":\"%s\",\"time\":\"", event);
  add_time(&text, now_ns);
  add(&text, "\",\"id\":\"%s\"", info->key.text);
  add_field(&text, "listener", info->listener);
  add_field(&text, "client", info->client);
  add_field(&text, "server", info->server);
  add_field(&text, "upstream", info->upstream);
  add(&text, ",\"opened\":\"");
  add_time(&text, info->opened_real_ns);
  add(&text, "\"");
  if (summary)
    add_end(&text, info, summary);
  add(&text, "}");
  /* What can be in info and summary fits. A later version whose texts are longer would be cut: into one line still. */
  text.length = text.length < LINE_MAX_BYTES - 2 ? text.length : LINE_MAX_BYTES - 2;
  out[text.length++] = '\n';
  return text.length;
}
