/* SPDX-License-Identifier: Apache-2.0 */
/* What the arguments of Redis' commands mean: which is a key, and which must not be shown. */
#include "proto/redis.h"

#include "proto/textual.h"

#include <stdlib.h>
#include <string.h>

/* Those whose first argument is a key, in order. */
static const char *const with_key[] = {
  "APPEND",
  "BITCOUNT",
  "BITFIELD",
  "BITFIELD_RO",
  "BITPOS",
  "BLMOVE",
  "BLPOP",
  "BRPOP",
  "BRPOPLPUSH",
  "BZPOPMAX",
  "BZPOPMIN",
  "COPY",
  "DECR",
  "DECRBY",
  "DEL",
  "DUMP",
  "EXISTS",
  "EXPIRE",
  "EXPIREAT",
  "EXPIRETIME",
  "GEOADD",
  "GEODIST",
  "GEOHASH",
  "GEOPOS",
  "GEORADIUS",
  "GEORADIUSBYMEMBER",
  "GEORADIUSBYMEMBER_RO",
  "GEORADIUS_RO",
  "GEOSEARCH",
  "GEOSEARCHSTORE",
  "GET",
  "GETBIT",
  "GETDEL",
  "GETEX",
  "GETRANGE",
  "GETSET",
  "HDEL",
  "HEXISTS",
  "HGET",
  "HGETALL",
  "HINCRBY",
  "HINCRBYFLOAT",
  "HKEYS",
  "HLEN",
  "HMGET",
  "HMSET",
  "HRANDFIELD",
  "HSCAN",
  "HSET",
  "HSETNX",
  "HSTRLEN",
  "HVALS",
  "INCR",
  "INCRBY",
  "INCRBYFLOAT",
  "LCS",
  "LINDEX",
  "LINSERT",
  "LLEN",
  "LMOVE",
  "LPOP",
  "LPOS",
  "LPUSH",
  "LPUSHX",
  "LRANGE",
  "LREM",
  "LSET",
  "LTRIM",
  "MGET",
  "MOVE",
  "MSET",
  "MSETNX",
  "PERSIST",
  "PEXPIRE",
  "PEXPIREAT",
  "PEXPIRETIME",
  "PFADD",
  "PFCOUNT",
  "PFMERGE",
  "PSETEX",
  "PTTL",
  "RENAME",
  "RENAMENX",
  "RESTORE",
  "RPOP",
  "RPOPLPUSH",
  "RPUSH",
  "RPUSHX",
  "SADD",
  "SCARD",
  "SDIFF",
  "SDIFFSTORE",
  "SET",
  "SETBIT",
  "SETEX",
  "SETNX",
  "SETRANGE",
  "SINTER",
  "SINTERSTORE",
  "SISMEMBER",
  "SMEMBERS",
  "SMISMEMBER",
  "SMOVE",
  "SORT",
  "SORT_RO",
  "SPOP",
  "SRANDMEMBER",
  "SREM",
  "SSCAN",
  "STRLEN",
  "SUBSTR",
  "SUNION",
  "SUNIONSTORE",
  "TOUCH",
  "TTL",
  "TYPE",
  "UNLINK",
  "WATCH",
  "XACK",
  "XADD",
  "XAUTOCLAIM",
  "XCLAIM",
  "XDEL",
  "XLEN",
  "XPENDING",
  "XRANGE",
  "XREVRANGE",
  "XTRIM",
  "ZADD",
  "ZCARD",
  "ZCOUNT",
  "ZDIFFSTORE",
  "ZINCRBY",
  "ZINTERSTORE",
  "ZLEXCOUNT",
  "ZMSCORE",
  "ZPOPMAX",
  "ZPOPMIN",
  "ZRANDMEMBER",
  "ZRANGE",
  "ZRANGEBYLEX",
  "ZRANGEBYSCORE",
  "ZRANGESTORE",
  "ZRANK",
  "ZREM",
  "ZREMRANGEBYLEX",
  "ZREMRANGEBYRANK",
  "ZREMRANGEBYSCORE",
  "ZREVRANGE",
  "ZREVRANGEBYLEX",
  "ZREVRANGEBYSCORE",
  "ZREVRANK",
  "ZSCAN",
  "ZSCORE",
  "ZUNIONSTORE",
};

/* Those whose first key stands elsewhere. */
static const struct {
  const char *name;
  unsigned at;
} with_key_at[] = {{"BITOP", 2},  {"OBJECT", 2},  {"XINFO", 2},   {"XGROUP", 2}, {"SINTERCARD", 2}, {"ZUNION", 2},
                   {"ZINTER", 2}, {"ZDIFF", 2},   {"LMPOP", 2},   {"ZMPOP", 2},  {"BLMPOP", 3},     {"BZMPOP", 3},
                   {"EVAL", 3},   {"EVALSHA", 3}, {"EVAL_RO", 3}, {"FCALL", 3},  {"FCALL_RO", 3},   {"MIGRATE", 3}};

static int compare(const void *name, const void *entry)
{
  return strcmp(name, *(const char *const *)entry);
}

static unsigned key_of(const char *name)
{
  if (bsearch(name, with_key, sizeof with_key / sizeof *with_key, sizeof *with_key, compare))
    return 1;
  for (size_t i = 0; i < sizeof with_key_at / sizeof *with_key_at; i++)
    if (strcmp(name, with_key_at[i].name) == 0)
      return with_key_at[i].at;
  return 0;
}

bool gg__redis_named(const struct gg__redis_command *command, const char *name)
{
  return strcmp(command->name, name) == 0;
}

bool gg__redis_secret_setting(const uint8_t *text, size_t length)
{
  static const char *const settings[] = {
    "requirepass", "masterauth", "sentinel-pass", "tls-key-file-pass", "tls-client-key-file-pass", "auth-pass"};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (gg__textual_is(text, length, settings[i]))
      return true;
  return false;
}

static enum gg__redis_meaning auth(const struct gg__redis_command *command, uint64_t index)
{
  return index == 1 && command->argc > 2 ? GG__REDIS_USER : GG__REDIS_SECRET;
}

/* A word behind which a password comes. */
static void expect(struct gg__redis_command *command, uint64_t index, const uint8_t *text, size_t length)
{
  bool hello = gg__redis_named(command, "HELLO"), migrate = gg__redis_named(command, "MIGRATE");
  bool config = gg__redis_named(command, "CONFIG") && strcmp(command->second, "SET") == 0 && index % 2 == 0;
  bool sentinel = gg__redis_named(command, "SENTINEL");
  if (hello || migrate) {
    bool both = gg__textual_is(text, length, hello ? "AUTH" : "AUTH2");
    bool alone = migrate && gg__textual_is(text, length, "AUTH");
    command->user_next = both;
    command->secret_in = both ? 2 : alone ? 1 : 0;
  } else if ((config || sentinel) && gg__redis_secret_setting(text, length)) {
    command->secret_in = 1;
  }
}

static bool is_key(struct gg__redis_command *command, uint64_t index, const uint8_t *text, size_t length)
{
  if (command->key_at == index)
    return true;
  if (index == 2 && command->key_at == 3 && length == 1 && *text == '0' && !gg__redis_named(command, "MIGRATE"))
    command->key_at = 0; /* EVAL script 0: no keys */
  bool streams = gg__redis_named(command, "XREAD") || gg__redis_named(command, "XREADGROUP");
  if (streams && !command->key_at && gg__textual_is(text, length, "STREAMS"))
    command->key_at = (unsigned)index + 1;
  return false;
}

enum gg__redis_meaning gg__redis_argument(struct gg__redis_command *command, const uint8_t *text, size_t length)
{
  uint64_t index = command->index++;
  if (index == 0) {
    gg__textual_upper(command->name, sizeof command->name, text, length);
    command->key_at = key_of(command->name);
    return GG__REDIS_PLAIN;
  }
  if (gg__redis_named(command, "AUTH"))
    return auth(command, index);
  if (command->secret_in) {
    bool user = command->user_next;
    command->user_next = false;
    return --command->secret_in == 0 ? GG__REDIS_SECRET : user ? GG__REDIS_USER : GG__REDIS_PLAIN;
  }
  if (index <= 2)
    gg__textual_upper(index == 1 ? command->second : command->third, GG__REDIS_WORD_MAX, text, length);
  if (gg__redis_named(command, "ACL") && strcmp(command->second, "SETUSER") == 0 && index >= 3 && length &&
      memchr("><#!", *text, 4))
    return GG__REDIS_SECRET;
  expect(command, index, text, length);
  return is_key(command, index, text, length) ? GG__REDIS_KEY : GG__REDIS_PLAIN;
}
