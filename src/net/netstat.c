/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file has pairs of lines: names, and then as many numbers. A kernel adds names as it likes; the place of a number
 * is that of its name.
 *
 *     TcpExt: SyncookiesSent SyncookiesRecv ...
 *     TcpExt: 0 0 ...
 */
#include "net/netstat.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *const fields[GG_NETSTAT_VALUES] = {
#define FIELD(NAME, name, field, help) field,
  GG_NETSTAT_LIST(FIELD)
#undef FIELD
};
static const char head[] = "TcpExt:";

int gg_netstat_open(void)
{
  return open("/proc/net/netstat", O_RDONLY | O_CLOEXEC);
}

struct span {
  const char *at;
  const char *end;
};

/* The next line of `text` that begins with the head, behind it; false: there is none. */
static bool next_line(struct span *text, struct span *line)
{
  while (text->at < text->end) {
    const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
    *line = (struct span){text->at, end ? end : text->end};
    text->at = end ? end + 1 : text->end;
    if ((size_t)(line->end - line->at) >= sizeof head - 1 && memcmp(line->at, head, sizeof head - 1) == 0) {
      line->at += sizeof head - 1;
      return true;
    }
  }
  return false;
}

static bool next_word(struct span *line, struct span *word)
{
  while (line->at < line->end && *line->at == ' ')
    line->at++;
  word->at = line->at;
  while (line->at < line->end && *line->at != ' ')
    line->at++;
  word->end = line->at;
  return word->at < word->end;
}

static bool is_field(const struct span *word, const char *field)
{
  size_t length = (size_t)(word->end - word->at);
  return strlen(field) == length && memcmp(word->at, field, length) == 0;
}

static bool number(const struct span *word, uint64_t *out)
{
  *out = 0;
  for (const char *at = word->at; at < word->end; at++) {
    if (*at < '0' || *at > '9' || __builtin_mul_overflow(*out, 10, out) ||
        __builtin_add_overflow(*out, (uint64_t)(*at - '0'), out))
      return false;
  }
  return true;
}

bool gg_netstat_parse(const char *text, size_t length, uint64_t values[GG_NETSTAT_VALUES])
{
  struct span rest = {text, text + length}, names, numbers, name, digits;
  memset(values, 0, GG_NETSTAT_VALUES * sizeof values[0]);
  if (!next_line(&rest, &names) || !next_line(&rest, &numbers))
    return false;
  while (next_word(&names, &name) && next_word(&numbers, &digits))
    for (unsigned i = 0; i < GG_NETSTAT_VALUES; i++) {
      uint64_t value;
      if (is_field(&name, fields[i]) && number(&digits, &value))
        values[i] = value;
    }
  return true;
}

bool gg_netstat_read(int fd, uint64_t values[GG_NETSTAT_VALUES])
{
  char text[GG_NETSTAT_BYTES_MAX];
  size_t length = 0;
  memset(values, 0, GG_NETSTAT_VALUES * sizeof values[0]);
  while (length < sizeof text) {
    ssize_t got = pread(fd, text + length, sizeof text - length, (off_t)length);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return false;
    if (got == 0)
      break;
    length += (size_t)got;
  }
  return gg_netstat_parse(text, length, values);
}
