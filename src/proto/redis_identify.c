/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the first bytes are: Redis' or somebody else's. An array of bulk strings is nobody else's. Inline commands are
 * words that others say, too: so the server's answer decides, and if a client does not wait for that, whether all that
 * is looked at are commands that Redis knows. */
#include "proto/redis.h"
#include "proto/textual.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* ── Inline commands ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* All that Redis 7 has, with how many words each takes, its name among them: as COMMAND tells it, -2 for two or more.
 * In order of the names. */
struct known {
  const char *name;
  int arity;
};
static const struct known commands[] = {{"ACL", -2},
                                        {"APPEND", 3},
                                        {"ASKING", 1},
                                        {"AUTH", -2},
                                        {"BGREWRITEAOF", 1},
                                        {"BGSAVE", -1},
                                        {"BITCOUNT", -2},
                                        {"BITFIELD", -2},
                                        {"BITFIELD_RO", -2},
                                        {"BITOP", -4},
                                        {"BITPOS", -3},
                                        {"BLMOVE", 6},
                                        {"BLMPOP", -5},
                                        {"BLPOP", -3},
                                        {"BRPOP", -3},
                                        {"BRPOPLPUSH", 4},
                                        {"BZMPOP", -5},
                                        {"BZPOPMAX", -3},
                                        {"BZPOPMIN", -3},
                                        {"CLIENT", -2},
                                        {"CLUSTER", -2},
                                        {"COMMAND", -1},
                                        {"CONFIG", -2},
                                        {"COPY", -3},
                                        {"DBSIZE", 1},
                                        {"DEBUG", -2},
                                        {"DECR", 2},
                                        {"DECRBY", 3},
                                        {"DEL", -2},
                                        {"DISCARD", 1},
                                        {"DUMP", 2},
                                        {"ECHO", 2},
                                        {"EVAL", -3},
                                        {"EVALSHA", -3},
                                        {"EVALSHA_RO", -3},
                                        {"EVAL_RO", -3},
                                        {"EXEC", 1},
                                        {"EXISTS", -2},
                                        {"EXPIRE", -3},
                                        {"EXPIREAT", -3},
                                        {"EXPIRETIME", 2},
                                        {"FAILOVER", -1},
                                        {"FCALL", -3},
                                        {"FCALL_RO", -3},
                                        {"FLUSHALL", -1},
                                        {"FLUSHDB", -1},
                                        {"FUNCTION", -2},
                                        {"GEOADD", -5},
                                        {"GEODIST", -4},
                                        {"GEOHASH", -2},
                                        {"GEOPOS", -2},
                                        {"GEORADIUS", -6},
                                        {"GEORADIUSBYMEMBER", -5},
                                        {"GEORADIUSBYMEMBER_RO", -5},
                                        {"GEORADIUS_RO", -6},
                                        {"GEOSEARCH", -7},
                                        {"GEOSEARCHSTORE", -8},
                                        {"GET", 2},
                                        {"GETBIT", 3},
                                        {"GETDEL", 2},
                                        {"GETEX", -2},
                                        {"GETRANGE", 4},
                                        {"GETSET", 3},
                                        {"HDEL", -3},
                                        {"HELLO", -1},
                                        {"HEXISTS", 3},
                                        {"HGET", 3},
                                        {"HGETALL", 2},
                                        {"HINCRBY", 4},
                                        {"HINCRBYFLOAT", 4},
                                        {"HKEYS", 2},
                                        {"HLEN", 2},
                                        {"HMGET", -3},
                                        {"HMSET", -4},
                                        {"HRANDFIELD", -2},
                                        {"HSCAN", -3},
                                        {"HSET", -4},
                                        {"HSETNX", 4},
                                        {"HSTRLEN", 3},
                                        {"HVALS", 2},
                                        {"INCR", 2},
                                        {"INCRBY", 3},
                                        {"INCRBYFLOAT", 3},
                                        {"INFO", -1},
                                        {"KEYS", 2},
                                        {"LASTSAVE", 1},
                                        {"LATENCY", -2},
                                        {"LCS", -3},
                                        {"LINDEX", 3},
                                        {"LINSERT", 5},
                                        {"LLEN", 2},
                                        {"LMOVE", 5},
                                        {"LMPOP", -4},
                                        {"LOLWUT", -1},
                                        {"LPOP", -2},
                                        {"LPOS", -3},
                                        {"LPUSH", -3},
                                        {"LPUSHX", -3},
                                        {"LRANGE", 4},
                                        {"LREM", 4},
                                        {"LSET", 4},
                                        {"LTRIM", 4},
                                        {"MEMORY", -2},
                                        {"MGET", -2},
                                        {"MIGRATE", -6},
                                        {"MODULE", -2},
                                        {"MONITOR", 1},
                                        {"MOVE", 3},
                                        {"MSET", -3},
                                        {"MSETNX", -3},
                                        {"MULTI", 1},
                                        {"OBJECT", -2},
                                        {"PERSIST", 2},
                                        {"PEXPIRE", -3},
                                        {"PEXPIREAT", -3},
                                        {"PEXPIRETIME", 2},
                                        {"PFADD", -2},
                                        {"PFCOUNT", -2},
                                        {"PFDEBUG", 3},
                                        {"PFMERGE", -2},
                                        {"PFSELFTEST", 1},
                                        {"PING", -1},
                                        {"PSETEX", 4},
                                        {"PSUBSCRIBE", -2},
                                        {"PSYNC", -3},
                                        {"PTTL", 2},
                                        {"PUBLISH", 3},
                                        {"PUBSUB", -2},
                                        {"PUNSUBSCRIBE", -1},
                                        {"QUIT", -1},
                                        {"RANDOMKEY", 1},
                                        {"READONLY", 1},
                                        {"READWRITE", 1},
                                        {"RENAME", 3},
                                        {"RENAMENX", 3},
                                        {"REPLCONF", -1},
                                        {"REPLICAOF", 3},
                                        {"RESET", 1},
                                        {"RESTORE", -4},
                                        {"RESTORE-ASKING", -4},
                                        {"ROLE", 1},
                                        {"RPOP", -2},
                                        {"RPOPLPUSH", 3},
                                        {"RPUSH", -3},
                                        {"RPUSHX", -3},
                                        {"SADD", -3},
                                        {"SAVE", 1},
                                        {"SCAN", -2},
                                        {"SCARD", 2},
                                        {"SCRIPT", -2},
                                        {"SDIFF", -2},
                                        {"SDIFFSTORE", -3},
                                        {"SELECT", 2},
                                        {"SET", -3},
                                        {"SETBIT", 4},
                                        {"SETEX", 4},
                                        {"SETNX", 3},
                                        {"SETRANGE", 4},
                                        {"SHUTDOWN", -1},
                                        {"SINTER", -2},
                                        {"SINTERCARD", -3},
                                        {"SINTERSTORE", -3},
                                        {"SISMEMBER", 3},
                                        {"SLAVEOF", 3},
                                        {"SLOWLOG", -2},
                                        {"SMEMBERS", 2},
                                        {"SMISMEMBER", -3},
                                        {"SMOVE", 4},
                                        {"SORT", -2},
                                        {"SORT_RO", -2},
                                        {"SPOP", -2},
                                        {"SPUBLISH", 3},
                                        {"SRANDMEMBER", -2},
                                        {"SREM", -3},
                                        {"SSCAN", -3},
                                        {"SSUBSCRIBE", -2},
                                        {"STRLEN", 2},
                                        {"SUBSCRIBE", -2},
                                        {"SUBSTR", 4},
                                        {"SUNION", -2},
                                        {"SUNIONSTORE", -3},
                                        {"SUNSUBSCRIBE", -1},
                                        {"SWAPDB", 3},
                                        {"SYNC", 1},
                                        {"TIME", 1},
                                        {"TOUCH", -2},
                                        {"TTL", 2},
                                        {"TYPE", 2},
                                        {"UNLINK", -2},
                                        {"UNSUBSCRIBE", -1},
                                        {"UNWATCH", 1},
                                        {"WAIT", 3},
                                        {"WAITAOF", 4},
                                        {"WATCH", -2},
                                        {"XACK", -4},
                                        {"XADD", -5},
                                        {"XAUTOCLAIM", -6},
                                        {"XCLAIM", -6},
                                        {"XDEL", -3},
                                        {"XGROUP", -2},
                                        {"XINFO", -2},
                                        {"XLEN", 2},
                                        {"XPENDING", -3},
                                        {"XRANGE", -4},
                                        {"XREAD", -4},
                                        {"XREADGROUP", -7},
                                        {"XREVRANGE", -4},
                                        {"XSETID", -3},
                                        {"XTRIM", -4},
                                        {"ZADD", -4},
                                        {"ZCARD", 2},
                                        {"ZCOUNT", 4},
                                        {"ZDIFF", -3},
                                        {"ZDIFFSTORE", -4},
                                        {"ZINCRBY", 4},
                                        {"ZINTER", -3},
                                        {"ZINTERCARD", -3},
                                        {"ZINTERSTORE", -4},
                                        {"ZLEXCOUNT", 4},
                                        {"ZMPOP", -4},
                                        {"ZMSCORE", -3},
                                        {"ZPOPMAX", -2},
                                        {"ZPOPMIN", -2},
                                        {"ZRANDMEMBER", -2},
                                        {"ZRANGE", -4},
                                        {"ZRANGEBYLEX", -4},
                                        {"ZRANGEBYSCORE", -4},
                                        {"ZRANGESTORE", -5},
                                        {"ZRANK", 3},
                                        {"ZREM", -3},
                                        {"ZREMRANGEBYLEX", 4},
                                        {"ZREMRANGEBYRANK", 4},
                                        {"ZREMRANGEBYSCORE", 4},
                                        {"ZREVRANGE", -4},
                                        {"ZREVRANGEBYLEX", -4},
                                        {"ZREVRANGEBYSCORE", -4},
                                        {"ZREVRANK", 3},
                                        {"ZSCAN", -3},
                                        {"ZSCORE", 3},
                                        {"ZUNION", -3},
                                        {"ZUNIONSTORE", -4}};

static int compare(const void *name, const void *entry)
{
  return strcmp(name, ((const struct known *)entry)->name);
}

/* The command of that name, in any case; NULL: there is none. */
static const struct known *find(const uint8_t *text, size_t length)
{
  char name[GG__REDIS_WORD_MAX];
  if (gg__textual_upper(name, sizeof name, text, length) < length)
    return NULL;
  return bsearch(name, commands, sizeof commands / sizeof *commands, sizeof *commands, compare);
}

static bool begins_a_name(const uint8_t *text, size_t length)
{
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strlen(commands[i].name) >= length && strncasecmp(commands[i].name, (const char *)text, length) == 0)
      return true;
  return false;
}

/* The first command, by its name, as far as it is there. */
static enum gg_likeness like_inline(const uint8_t *text, size_t length)
{
  size_t word = 0;
  while (word < length && word < GG__REDIS_WORD_MAX && !memchr(" \r\n", text[word], 3))
    word++;
  if (!word || word == GG__REDIS_WORD_MAX)
    return GG_LIKENESS_NONE;
  if (word == length)
    return begins_a_name(text, word) ? GG_LIKENESS_OPEN : GG_LIKENESS_NONE;
  return find(text, word) ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
}

/* A line that is one, by its name and how many words there are; of one that is cut, as far as it is there. */
static bool is_command(const struct gg__textline *line, bool cut)
{
  struct gg__textword word, name = {0};
  int words = 0;
  for (size_t at = 0; gg__redis_inline_word(&word, line, &at); words++)
    if (words == 0)
      name = word;
  if (words == 0)
    return true; /* the server passes it over */
  if (cut && words == 1 && name.at + name.length == line->length)
    return begins_a_name(name.text, name.length);
  const struct known *known = find(name.text, name.length);
  if (!known)
    return false;
  if (known->arity < 0)
    return cut || words >= -known->arity;
  return cut ? words <= known->arity : words == known->arity;
}

/* Whether all of it is commands, and one at least is whole. They may go on as arrays. */
static bool all_inline(const uint8_t *text, size_t length)
{
  struct gg__textline line;
  size_t at = 0;
  for (; gg__textline_find(&line, text + at, length - at, 0); at += line.whole) {
    if (at && *line.text == '*')
      return like_array(line.text, length - at) != GG_LIKENESS_NONE;
    if (!is_command(&line, false))
      return false;
  }
  size_t left = length - at;
  if (left && text[length - 1] == '\r')
    left--;
  line = (struct gg__textline){.text = text + at, .length = left};
  return at && ((left && text[at] == '*') || is_command(&line, true));
}

/* A first line that is a request of HTTP, whatever its method: Redis says nothing of that kind. */
static bool is_of_http(const uint8_t *text, size_t length)
{
  static const char *const ends[] = {" HTTP/1.0", " HTTP/1.1"};
  struct gg__textline line;
  if (!gg__textline_find(&line, text, length, 0))
    return false;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t end = strlen(ends[i]);
    if (line.length > end && memcmp(line.text + line.length - end, ends[i], end) == 0)
      return true;
  }
  return false;
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
  enum gg_likeness likeness = is_of_http(client, length) ? GG_LIKENESS_NONE : like_inline(client, length);
  if (likeness != GG_LIKENESS_LIKELY)
    return likeness;
  if (!opening->length[GG_SIDE_SERVER] && length >= GG_IDENTIFY_MAX) /* no more is waited for */
    return all_inline(client, length) ? GG_LIKENESS_LIKELY : GG_LIKENESS_NONE;
  if (!opening->length[GG_SIDE_SERVER])
    return opening->ended[GG_SIDE_SERVER] ? GG_LIKENESS_NONE : GG_LIKENESS_OPEN;
  return like_answer(opening->data[GG_SIDE_SERVER], opening->length[GG_SIDE_SERVER]);
}
