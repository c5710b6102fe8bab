/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the first bytes are: Redis' or somebody else's. */
#include "proto/redis.h"
#include "proto/textual.h"

#include <string.h>

/* "*3\r\n$3\r\n" */
static enum gg_likeness like_array(const uint8_t *data, size_t length)
{
  static const char form[] = "*9\r\n$9\r\n"; /* 9: digits */
  size_t at = 0;
  for (const char *wanted = form; *wanted; wanted++) {
    size_t before = at;
    if (at == length)
      return GG_LIKENESS_OPEN;
    if (*wanted == '9')
      while (at < length && at - before < 10 && data[at] >= '0' && data[at] <= '9')
        at++;
    else if (data[at] == (uint8_t)*wanted)
      at++;
    if (at == before)
      return GG_LIKENESS_NONE;
  }
  return GG_LIKENESS_CERTAIN;
}

/* An inline command, by its name, as far as it is there. */
static enum gg_likeness like_inline(const uint8_t *text, size_t length)
{
  static const char *const names[] = {"PING",    "AUTH",    "HELLO",   "INFO",      "ECHO",       "SELECT",
                                      "QUIT",    "MONITOR", "CONFIG",  "CLIENT",    "DBSIZE",     "KEYS",
                                      "ROLE",    "TIME",    "SCAN",    "COMMAND",   "PSYNC",      "REPLCONF",
                                      "PUBLISH", "MULTI",   "CLUSTER", "SUBSCRIBE", "PSUBSCRIBE", "FLUSHALL"};
  size_t word = 0;
  while (word < length && word < GG__REDIS_WORD_MAX && ((text[word] | 0x20) >= 'a' && (text[word] | 0x20) <= 'z'))
    word++;
  if (word == length && word && word < GG__REDIS_WORD_MAX)
    return GG_LIKENESS_OPEN;
  if (!word || word == GG__REDIS_WORD_MAX || !memchr(" \r\n", text[word], 3))
    return GG_LIKENESS_NONE;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (gg__textual_is(text, word, names[i]))
      return GG_LIKENESS_LIKELY;
  struct gg__redis_command command = {.argc = 1};
  gg__redis_argument(&command, text, word);
  return command.key_at ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
}

/* What the server says to it: only Redis says some of that. */
static enum gg_likeness like_answer(const uint8_t *data, size_t length)
{
  static const struct {
    const char *begin;
    enum gg_likeness likeness;
  } answers[] = {{"+PONG\r\n", GG_LIKENESS_CERTAIN}, {"-NOAUTH ", GG_LIKENESS_CERTAIN},
                 {"-ERR ", GG_LIKENESS_LIKELY},      {"-DENIED ", GG_LIKENESS_CERTAIN},
                 {"+OK\r\n", GG_LIKENESS_LIKELY},    {"-WRONGPASS ", GG_LIKENESS_CERTAIN},
                 {"$-1\r\n", GG_LIKENESS_LIKELY}};
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    size_t wanted = strlen(answers[i].begin), known = length < wanted ? length : wanted;
    if (memcmp(data, answers[i].begin, known) == 0)
      return known < wanted ? GG_LIKENESS_OPEN : answers[i].likeness;
  }
  struct gg__textline line;
  if (!memchr("$*:%", *data, 4))
    return GG_LIKENESS_NONE;
  if (!gg__textline_find(&line, data, length, 0))
    return length < 16 ? GG_LIKENESS_OPEN : GG_LIKENESS_NONE;
  int64_t number;
  return !line.bare && gg__redis_number(&number, line.text + 1, line.length - 1) ? GG_LIKENESS_LIKELY
                                                                                 : GG_LIKENESS_NONE;
}

enum gg_likeness gg__redis_identify(const struct gg_opening *opening)
{
  const uint8_t *client = opening->data[GG_SIDE_CLIENT];
  size_t length = opening->length[GG_SIDE_CLIENT];
  if (!opening->spoke_first || opening->first != GG_SIDE_CLIENT || !length)
    return GG_LIKENESS_NONE;
  if (*client == '*')
    return like_array(client, length);
  enum gg_likeness likeness = like_inline(client, length);
  if (likeness != GG_LIKENESS_LIKELY)
    return likeness;
  if (!opening->length[GG_SIDE_SERVER])
    return opening->ended[GG_SIDE_SERVER] ? GG_LIKENESS_NONE : GG_LIKENESS_OPEN;
  return like_answer(opening->data[GG_SIDE_SERVER], opening->length[GG_SIDE_SERVER]);
}
