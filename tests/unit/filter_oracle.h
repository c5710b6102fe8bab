/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter_oracle.h - random sessions, random filters, and what these mean, by brute force.
 *
 * A filter is made as a tree, which is written down as a text for the parser, and evaluated here by the plainest means:
 * addresses by inet_pton, globs by trying everything, regular expressions by POSIX. Nothing of src/store is used for
 * that.
 */
#ifndef FILTER_ORACLE_H
#define FILTER_ORACLE_H

#include <arpa/inet.h>
#include <gogetway/store.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW UINT64_C(1700000000123456789)
#define SECOND UINT64_C(1000000000)
#define DAY (86400 * SECOND)

enum { SESSIONS = 160, TAGS_MAX = 4, FACTS_MAX = 3, TEXT_BYTES = 1 << 15 };

struct oracle_session {
  struct gg_session session;
  const char *tags[TAGS_MAX];
  uint64_t status[FACTS_MAX]; /* the facts http.status ... */
  size_t status_count;
  const char *host[FACTS_MAX]; /* ... and http.host */
  size_t host_count;
};

static uint64_t oracle_seed;

static uint64_t draw(uint64_t below)
{
  oracle_seed = oracle_seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  uint64_t mixed = (oracle_seed ^ oracle_seed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
  return (mixed ^ mixed >> 32) % below;
}
#define PICK(list) ((list)[draw(sizeof(list) / sizeof((list)[0]))])

/* ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const names[] = {"",        "web",  "web-1",      "we*b", "web?",        "\xc3\xa4pfel", "a b",
                                    "it's \"", "http", "ssh",        "x'y",  "and",         "a,b(c)",       "Web",
                                    "%",       "_",    "'; DROP --", "1:x=", "a.b.c.d.e.f", "aaaaaaaab"};
static const char *const addresses[] = {"192.0.2.1:4000",
                                        "192.0.2.1:80",
                                        "192.0.2.255:0",
                                        "10.0.0.7:65535",
                                        "10.1.2.3:22",
                                        "[::1]:443",
                                        "[2001:db8::1]:80",
                                        "[2001:db8:0:1::]:8080",
                                        "unix",
                                        "unix:/run/x",
                                        "",
                                        "nowhere",
                                        "0.0.0.0:1",
                                        "127.0.0.1:80",
                                        "255.255.255.255:9",
                                        "[ffff::]:5"};
static const char *const ids[] = {"018c00000000000000000abc", "018c00000000000000000abd", "018d00000000000000000001",
                                  "ffffffffffffffffffffffff", "000000000000000000000000", "018c01234567890123456789"};
static const char *const closes[] = {"", "client-fin", "server-fin", "client-reset", "drain", "stall-timeout"};
static const char *const verdicts[] = {"", "close", "reset", "tarpit", "reply"};
static const char *const conn_states[] = {"", "S0", "S1", "SF", "RSTO", "RSTOS0"};
static const char *const histories[] = {"", "ShADadFf", "ShR", "^dD"};
static const char *const communities[] = {"", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:abc"};
static const uint64_t numbers[] = {
  0, 1, 2, 3, 1000, 1023, 1024, 65535, 1048576, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};

static uint64_t draw_number(void)
{
  return draw(3) == 0 ? PICK(numbers) : draw(5);
}

static uint64_t draw_time(void)
{
  static const uint64_t offsets[] = {0, 1, SECOND, 3600 * SECOND, DAY, 40 * DAY};
  uint64_t time = NOW - PICK(offsets);
  if (draw(2))
    time = time / DAY * DAY - draw(2);
  return draw(20) == 0 ? PICK(numbers) : time;
}

static void draw_session(struct oracle_session *out, size_t index)
{
  static const char *const tag_pool[] = {"a", "flag", "noise", "web-1", "we*b", "x'y"};
  struct gg_session *session = &out->session;
  *out = (struct oracle_session){0};
  snprintf(session->id, sizeof session->id, "%s", PICK(ids));
  if (draw(2))
    snprintf(session->id, sizeof session->id, "018c%020zx", index);
  session->state = (enum gg_session_state)draw(3);
  session->foreign = draw(2);
  session->beginning_missing = draw(2);
  snprintf(session->client, sizeof session->client, "%s", PICK(addresses));
  snprintf(session->server, sizeof session->server, "%s", PICK(addresses));
  session->listener = PICK(names);
  session->upstream = PICK(names);
  session->close = PICK(closes);
  session->why = PICK(names);
  session->start_ns = draw_time();
  session->end_ns = draw(5) ? session->start_ns + draw_number() : draw_time();
  for (int side = 0; side < 2; side++) {
    session->bytes[side] = draw_number();
    session->packets[side] = draw_number();
    session->gaps[side] = draw_number();
    session->masked[side] = draw_number();
    snprintf(session->community_id[side], sizeof session->community_id[side], "%s", PICK(communities));
  }
  session->segments = (unsigned)draw(4);
  session->original = draw(2) ? PICK(ids) : "";
  session->as_sent_of = draw(2) ? PICK(ids) : "";
  session->server_path = PICK(names);
  session->protocol = PICK(names);
  session->verdict = PICK(verdicts);
  session->verdict_by = PICK(names);
  snprintf(session->conn_state, sizeof session->conn_state, "%s", PICK(conn_states));
  snprintf(session->history, sizeof session->history, "%s", PICK(histories));
  session->held = draw(2);
  for (session->tag_count = draw(TAGS_MAX + 1); session->tag_count > 0;) {
    for (size_t i = 0; i < session->tag_count; i++)
      out->tags[i] = tag_pool[(index + i) % 6];
    break;
  }
  session->tags = out->tags;
  out->status_count = draw(FACTS_MAX + 1);
  out->host_count = draw(FACTS_MAX + 1);
  for (size_t i = 0; i < FACTS_MAX; i++) {
    out->status[i] = draw(2) ? 200 + i : draw_number();
    out->host[i] = PICK(names);
  }
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum oracle_kind { WHOLE, BYTES, SPAN, TIME, PORT, TEXT, ENUM, ID, ADDRESS, FLAG };

/* Values as the oracle has them: any of `texts`, or of `numbers`. */
struct oracle_values {
  size_t count;
  const char *texts[TAGS_MAX];
  uint64_t numbers[TAGS_MAX];
};

static void one_number(struct oracle_values *out, uint64_t number)
{
  out->count = 1;
  out->numbers[0] = number;
}

static void one_text(struct oracle_values *out, const char *text)
{
  out->count = 1;
  out->texts[0] = text;
}

static uint64_t sum(const uint64_t pair[2])
{
  return pair[0] > UINT64_MAX - pair[1] ? UINT64_MAX : pair[0] + pair[1];
}

static void port_of(struct oracle_values *out, const char *address)
{
  const char *colon = strrchr(address, ':');
  if (colon && strncmp(address, "unix", 4) != 0)
    one_number(out, strtoull(colon + 1, NULL, 10));
}

static const char *const oracle_states[] = {"open", "closed", "cut"};

struct oracle_field {
  const char *name;
  enum oracle_kind kind;
};
static const struct oracle_field oracle_fields[] = {
  {"id", ID},
  {"listener", TEXT},
  {"client", ADDRESS},
  {"client.port", PORT},
  {"server", ADDRESS},
  {"server.port", PORT},
  {"port", PORT},
  {"server.path", TEXT},
  {"upstream", TEXT},
  {"start", TIME},
  {"end", TIME},
  {"since", TIME},
  {"until", TIME},
  {"duration", SPAN},
  {"bytes", BYTES},
  {"bytes.client", BYTES},
  {"bytes.server", BYTES},
  {"packets", WHOLE},
  {"packets.client", WHOLE},
  {"packets.server", WHOLE},
  {"gaps", BYTES},
  {"gaps.client", BYTES},
  {"gaps.server", BYTES},
  {"state", ENUM},
  {"close", ENUM},
  {"why", TEXT},
  {"verdict", ENUM},
  {"verdict.by", TEXT},
  {"tag", TEXT},
  {"held", FLAG},
  {"proto", TEXT},
  {"protocol", TEXT},
  {"conn_state", ENUM},
  {"history", TEXT},
  {"community_id", TEXT},
  {"masked", BYTES},
  {"masked.client", BYTES},
  {"masked.server", BYTES},
  {"segments", WHOLE},
  {"foreign", FLAG},
  {"partial", FLAG},
  {"original", ID},
  {"as_sent_of", ID},
  {"http.status", WHOLE},
  {"http.host", TEXT},
};
enum { ORACLE_FIELDS = sizeof oracle_fields / sizeof oracle_fields[0] };

static bool is(const char *name, const char *other)
{
  return strcmp(name, other) == 0;
}

/* Of a pair "bytes", "bytes.client", "bytes.server". */
static bool pair_of(struct oracle_values *out, const char *name, const char *pair_name, const uint64_t pair[2])
{
  size_t length = strlen(pair_name);
  if (strncmp(name, pair_name, length) != 0 || (name[length] && name[length] != '.'))
    return false;
  one_number(out, !name[length] ? sum(pair) : pair[name[length + 1] == 's']);
  return true;
}

static void texts_of(struct oracle_values *out, const char *name, const struct oracle_session *of)
{
  const struct gg_session *session = &of->session;
  const struct {
    const char *name, *text;
  } all[] = {{"id", session->id},
             {"listener", session->listener},
             {"client", session->client},
             {"server", session->server},
             {"server.path", session->server_path},
             {"upstream", session->upstream},
             {"close", session->close},
             {"why", session->why},
             {"verdict", session->verdict},
             {"verdict.by", session->verdict_by},
             {"proto", session->protocol},
             {"protocol", session->protocol},
             {"conn_state", session->conn_state},
             {"history", session->history},
             {"original", session->original},
             {"as_sent_of", session->as_sent_of},
             {"state", oracle_states[session->state]}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (is(name, all[i].name))
      one_text(out, all[i].text);
  if (is(name, "tag"))
    for (size_t i = 0; i < session->tag_count; i++)
      out->texts[out->count++] = session->tags[i];
  if (is(name, "http.host"))
    for (size_t i = 0; i < of->host_count; i++)
      out->texts[out->count++] = of->host[i];
  if (is(name, "community_id"))
    for (size_t i = 0; i < 2; i++)
      if (session->community_id[i][0])
        out->texts[out->count++] = session->community_id[i];
}

static struct oracle_values values_of(const struct oracle_field *field, const struct oracle_session *of)
{
  struct oracle_values out = {0};
  const struct gg_session *session = &of->session;
  const char *name = field->name;
  bool longer = session->end_ns > session->start_ns;
  if (pair_of(&out, name, "bytes", session->bytes) || pair_of(&out, name, "packets", session->packets) ||
      pair_of(&out, name, "gaps", session->gaps) || pair_of(&out, name, "masked", session->masked))
    return out;
  if (is(name, "client.port"))
    port_of(&out, session->client);
  else if (is(name, "server.port") || is(name, "port"))
    port_of(&out, session->server);
  else if (is(name, "start") || is(name, "until"))
    one_number(&out, session->start_ns);
  else if (is(name, "end") || is(name, "since"))
    one_number(&out, session->end_ns);
  else if (is(name, "duration"))
    one_number(&out, longer ? session->end_ns - session->start_ns : 0);
  else if (is(name, "segments"))
    one_number(&out, session->segments);
  else if (is(name, "held"))
    one_number(&out, session->held);
  else if (is(name, "foreign"))
    one_number(&out, session->foreign);
  else if (is(name, "partial"))
    one_number(&out, session->beginning_missing);
  else if (is(name, "http.status"))
    for (size_t i = 0; i < of->status_count; i++)
      out.numbers[out.count++] = of->status[i];
  else
    texts_of(&out, name, of);
  return out;
}

/* ── Trees ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum oracle_form { COMPARE, BETWEEN, EQUAL, GLOB, REGEX, PREFIX, NETWORK };

struct oracle_value {
  enum oracle_form form;
  char text[256];    /* as it is written */
  char plain[128];   /* what is meant */
  uint64_t from, to; /* of numbers */
  int port;          /* -1: any */
  unsigned bits;
  bool quoted;
};

struct oracle_node {
  enum { ALL, ANY, NOT, LEAF } kind;
  struct oracle_node *children[3];
  size_t count;
  const struct oracle_field *field;
  char word[4]; /* "=", ...; "in" */
  bool negated; /* "not in" */
  struct oracle_value values[3];
  size_t value_count;
};

static bool glob(const char *pattern, const char *text)
{
  if (*pattern == '*')
    return glob(pattern + 1, text) || (*text && glob(pattern, text + 1));
  if (!*text)
    return !*pattern;
  if (*pattern == '?') {
    size_t bytes = 1;
    while (((unsigned char)text[bytes] & 0xc0) == 0x80)
      bytes++;
    return glob(pattern + 1, text + bytes);
  }
  return *pattern == *text && glob(pattern + 1, text + 1);
}

/* 16 bytes and how many bits they are; 0: no address. */
static unsigned address_of(const char *text, uint8_t bytes[16], int *port)
{
  char copy[128];
  memset(bytes, 0, 16);
  *port = -1;
  snprintf(copy, sizeof copy, "%s", text);
  char *colon = strrchr(copy, ':');
  if (!colon)
    return 0;
  *port = (int)strtol(colon + 1, NULL, 10);
  *colon = '\0';
  if (copy[0] != '[')
    return inet_pton(AF_INET, copy, bytes) == 1 ? 32 : 0;
  copy[strlen(copy) - 1] = '\0';
  return inet_pton(AF_INET6, copy + 1, bytes) == 1 ? 128 : 0;
}

static bool in_network(const struct oracle_value *value, const char *text)
{
  uint8_t wanted[16], bytes[16];
  int port, ignored;
  if (is(value->plain, "unix") || strncmp(text, "unix", 4) == 0)
    return is(value->plain, "unix") && strncmp(text, "unix", 4) == 0;
  unsigned family = address_of(value->plain, wanted, &ignored), own = address_of(text, bytes, &port);
  if (own == 0 || own != family || (value->port >= 0 && value->port != port))
    return false;
  for (unsigned bit = 0; bit < value->bits; bit++)
    if ((wanted[bit / 8] ^ bytes[bit / 8]) & 0x80u >> bit % 8)
      return false;
  return true;
}

static bool regex_found(const char *pattern, const char *text)
{
  regex_t regex;
  if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
    abort();
  bool found = regexec(&regex, text, 0, NULL, 0) == 0;
  regfree(&regex);
  return found;
}

static bool number_holds(const struct oracle_node *leaf, const struct oracle_value *value, uint64_t number)
{
  const char *word = leaf->word;
  if (is(leaf->field->name, "since"))
    return number >= value->from;
  if (is(leaf->field->name, "until"))
    return number <= value->from;
  if (is(word, "<"))
    return number < value->from;
  if (is(word, "<="))
    return number <= value->to;
  if (is(word, ">"))
    return number > value->to;
  if (is(word, ">="))
    return number >= value->from;
  return number >= value->from && number <= value->to;
}

static bool value_holds(const struct oracle_node *leaf, const struct oracle_value *value, const char *text,
                        uint64_t number)
{
  switch (value->form) {
  case COMPARE:
  case BETWEEN:
    return number_holds(leaf, value, number);
  case EQUAL:
    return is(value->plain, text);
  case GLOB:
    return glob(value->plain, text);
  case REGEX:
    return regex_found(value->plain, text);
  case PREFIX:
    return strncmp(text, value->plain, strlen(value->plain)) == 0;
  default:
    return in_network(value, text);
  }
}

static bool leaf_holds(const struct oracle_node *leaf, const struct oracle_session *of)
{
  struct oracle_values values = values_of(leaf->field, of);
  bool any = false;
  for (size_t i = 0; i < values.count; i++)
    for (size_t j = 0; j < leaf->value_count; j++)
      any = any || value_holds(leaf, &leaf->values[j], values.texts[i], values.numbers[i]);
  return any != (leaf->negated || leaf->word[0] == '!');
}

static bool holds(const struct oracle_node *node, const struct oracle_session *of)
{
  bool all = true, any = false;
  if (node->kind == LEAF)
    return leaf_holds(node, of);
  for (size_t i = 0; i < node->count; i++) {
    bool one = holds(node->children[i], of);
    all = all && one;
    any = any || one;
  }
  return node->kind == ALL ? all : node->kind == ANY ? any : !any;
}

static void oracle_free(struct oracle_node *node)
{
  for (size_t i = 0; i < node->count; i++)
    oracle_free(node->children[i]);
  free(node);
}

/* ── Drawing them ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_time_text(uint64_t ns, char *text, size_t size)
{
  time_t seconds = (time_t)(ns / SECOND);
  struct tm utc;
  gmtime_r(&seconds, &utc);
  size_t length = strftime(text, size, "%FT%T", &utc);
  snprintf(text + length, size - length, ".%09uZ", (unsigned)(ns % SECOND));
}

/* A number in one of the forms that its kind has; `*to` is greater for a day. */
static void put_number(enum oracle_kind kind, uint64_t *from, uint64_t *to, bool equality, char *text, size_t size)
{
  *to = *from;
  if (kind == BYTES && *from > 0 && *from % 1024 == 0 && draw(2))
    snprintf(text, size, draw(2) ? "%luk" : "%luKiB", (unsigned long)(*from / 1024));
  else if (kind == SPAN && *from % SECOND == 0 && draw(2))
    snprintf(text, size, "%lus", (unsigned long)(*from / SECOND));
  else if (kind == SPAN)
    snprintf(text, size, "%luns", (unsigned long)*from);
  else if (kind == TIME && !equality && *from <= NOW && *from > DAY && draw(2))
    snprintf(text, size, draw(2) ? "-%luns" : "%luns", (unsigned long)(NOW - *from));
  else if (kind == TIME && draw(3) == 0) {
    *from = *from / DAY * DAY;
    *to = *from + DAY - 1;
    put_time_text(*from, text, size);
    text[10] = '\0';
  } else if (kind == TIME) {
    put_time_text(*from, text, size);
  } else {
    snprintf(text, size, "%lu", (unsigned long)*from);
  }
}

/* What some session has, or next to it. */
static uint64_t draw_near(const struct oracle_field *field, const struct oracle_session *sessions)
{
  struct oracle_values values = values_of(field, &sessions[draw(SESSIONS)]);
  uint64_t number = values.count ? values.numbers[0] + draw(3) - 1 : draw_number();
  if (field->kind == TIME && (number < 2 * DAY || number > UINT64_C(18000000000000000000)))
    number = NOW; /* not all years can be written */
  return field->kind == PORT && number > 65535 ? 80 : number;
}

static void draw_number_value(struct oracle_node *leaf, struct oracle_value *value,
                              const struct oracle_session *sessions)
{
  char left[64], right[64];
  const struct oracle_field *field = leaf->field;
  bool equality = strcmp(leaf->word, "=") == 0 || leaf->word[0] == '!' || is(leaf->word, "in");
  bool sense = is(field->name, "since") || is(field->name, "until");
  uint64_t ignored;
  value->form = COMPARE;
  value->from = draw_near(field, sessions);
  if (!equality || sense || draw(2)) {
    put_number(field->kind, &value->from, &value->to, equality && !sense, value->text, sizeof value->text);
    return;
  }
  value->form = BETWEEN;
  value->to = draw_near(field, sessions);
  if (value->to < value->from) {
    uint64_t greater = value->from;
    value->from = value->to;
    value->to = greater;
  }
  put_number(field->kind, &value->from, &ignored, false, left, sizeof left);
  put_number(field->kind, &value->to, &ignored, false, right, sizeof right);
  value->to = ignored;
  uint64_t form = draw(3);
  snprintf(value->text, sizeof value->text, "%s..%s", form == 1 ? "" : left, form == 2 ? "" : right);
  value->from = form == 1 ? 0 : value->from;
  value->to = form == 2 ? UINT64_MAX : value->to;
}

static void put_quoted(struct oracle_value *value)
{
  char quote = draw(2) ? '"' : '\'', *at = value->text;
  *at++ = quote;
  for (const char *from = value->plain; *from; from++) {
    *at++ = *from;
    if (*from == quote)
      *at++ = quote;
  }
  *at++ = quote;
  *at = '\0';
  value->quoted = true;
}

static bool is_bare(const char *text)
{
  return *text && !strpbrk(text, " (),=!<>~\"'");
}

static void put_text(struct oracle_value *value, bool special)
{
  bool must = !is_bare(value->plain) || (!special && strpbrk(value->plain, "*?"));
  bool may = !special || value->form == REGEX;
  if (must || (may && draw(3) == 0))
    put_quoted(value);
  else
    snprintf(value->text, sizeof value->text, "%s", value->plain);
}

static void draw_text_value(struct oracle_node *leaf, struct oracle_value *value, const struct oracle_session *sessions)
{
  static const char *const patterns[] = {"^a", "b$", "web|ssh", "[0-9]+", "^.$", ".",     "a.*c",
                                         "^$", "x",  "(a|b)+$", "\\.",    "fin", "^[^a]", "'"};
  struct oracle_values values = values_of(leaf->field, &sessions[draw(SESSIONS)]);
  bool several =
    is(leaf->field->name, "tag") || is(leaf->field->name, "community_id") || is(leaf->field->name, "http.host");
  const char *text = values.count ? values.texts[0] : "none";
  if (strchr(leaf->word, '~')) {
    value->form = REGEX;
    snprintf(value->plain, sizeof value->plain, "%s", PICK(patterns));
    put_text(value, false);
    return;
  }
  value->form = EQUAL;
  snprintf(value->plain, sizeof value->plain, "%s", several && !*text ? "none" : text);
  size_t length = strlen(value->plain);
  if (draw(2) && length > 0 && is_bare(value->plain)) {
    size_t at = draw(length);
    while (at > 0 && ((unsigned char)value->plain[at] & 0xc0) == 0x80)
      at--;
    size_t end = at + 1;
    while (((unsigned char)value->plain[end] & 0xc0) == 0x80)
      end++;
    value->plain[at] = draw(2) ? '*' : '?';
    bool rest = value->plain[at] == '?' || draw(2);
    memmove(value->plain + at + 1, rest ? value->plain + end : "", rest ? strlen(value->plain + end) + 1 : 1);
    value->form = GLOB;
  } else if (strpbrk(value->plain, "*?") && is_bare(value->plain) && draw(2)) {
    value->form = GLOB;
  }
  put_text(value, value->form == GLOB);
}

static void draw_id_value(struct oracle_node *leaf, struct oracle_value *value, const struct oracle_session *sessions)
{
  struct oracle_values values = values_of(leaf->field, &sessions[draw(SESSIONS)]);
  value->form = PREFIX;
  snprintf(value->plain, sizeof value->plain, "%.*s", (int)(1 + draw(24)), values.texts[0][0] ? values.texts[0] : "01");
  if (!is(leaf->field->name, "id") && draw(8) == 0) {
    value->form = EQUAL;
    value->plain[0] = '\0';
  }
  put_text(value, false);
  if (!value->quoted && draw(3) == 0)
    for (char *at = value->text; *at; at++)
      *at = (char)(*at >= 'a' ? *at - 32 : *at);
}

static void draw_network_value(struct oracle_node *leaf, struct oracle_value *value,
                               const struct oracle_session *sessions)
{
  uint8_t bytes[16];
  char shown[64];
  struct oracle_values values = values_of(leaf->field, &sessions[draw(SESSIONS)]);
  unsigned most = address_of(values.texts[0], bytes, &value->port);
  value->form = NETWORK;
  snprintf(value->plain, sizeof value->plain, "%s", most ? values.texts[0] : "unix");
  snprintf(value->text, sizeof value->text, "%s", value->plain);
  value->bits = most;
  if (most == 0 || draw(3) == 0)
    return;
  value->port = -1;
  value->bits = draw(2) ? (unsigned)draw(most + 1) : most;
  for (unsigned bit = value->bits; bit < most; bit++)
    bytes[bit / 8] = (uint8_t)(bytes[bit / 8] & ~(0x80u >> bit % 8));
  inet_ntop(most == 32 ? AF_INET : AF_INET6, bytes, shown, sizeof shown);
  snprintf(value->plain, sizeof value->plain, most == 32 ? "%s:0" : "[%s]:0", shown);
  if (value->bits < most || draw(2))
    snprintf(value->text, sizeof value->text, "%s/%u", shown, value->bits);
  else
    snprintf(value->text, sizeof value->text, most == 128 && draw(2) ? "[%s]" : "%s", shown);
}

static void draw_value(struct oracle_node *leaf, struct oracle_value *value, const struct oracle_session *sessions)
{
  switch (leaf->field->kind) {
  case TEXT:
  case ENUM:
    draw_text_value(leaf, value, sessions);
    break;
  case ID:
    if (strchr(leaf->word, '~'))
      draw_text_value(leaf, value, sessions);
    else
      draw_id_value(leaf, value, sessions);
    break;
  case ADDRESS:
    if (strchr(leaf->word, '~'))
      draw_text_value(leaf, value, sessions);
    else
      draw_network_value(leaf, value, sessions);
    break;
  case FLAG:
    value->form = COMPARE;
    value->from = value->to = draw(2);
    snprintf(value->text, sizeof value->text, "%s", value->from ? "yes" : "no");
    break;
  default:
    draw_number_value(leaf, value, sessions);
  }
}

static struct oracle_node *draw_leaf(const struct oracle_session *sessions, bool regexes)
{
  static const char *const ordered[] = {"=", "!=", "<", "<=", ">", ">=", "in"};
  static const char *const textual[] = {"=", "!=", "in", "~", "!~"};
  static const char *const equal[] = {"=", "!=", "in"};
  struct oracle_node *leaf = calloc(1, sizeof *leaf);
  leaf->kind = LEAF;
  leaf->field = &PICK(oracle_fields);
  bool sense = is(leaf->field->name, "since") || is(leaf->field->name, "until");
  const char *word = leaf->field->kind == FLAG || sense ? PICK(equal)
                     : leaf->field->kind < TEXT         ? PICK(ordered)
                     : regexes                          ? PICK(textual)
                                                        : PICK(equal);
  snprintf(leaf->word, sizeof leaf->word, "%s", word);
  bool list = is(word, "in");
  leaf->negated = list && draw(2);
  leaf->value_count = list ? 1 + draw(3) : 1;
  for (size_t i = 0; i < leaf->value_count; i++)
    draw_value(leaf, &leaf->values[i], sessions);
  return leaf;
}

static struct oracle_node *draw_tree(const struct oracle_session *sessions, unsigned depth, bool regexes)
{
  if (depth == 0 || draw(3) == 0)
    return draw_leaf(sessions, regexes);
  struct oracle_node *node = calloc(1, sizeof *node);
  node->kind = draw(3) == 0 ? NOT : draw(2) ? ALL : ANY;
  node->count = node->kind == NOT ? 1 : 2 + draw(2);
  for (size_t i = 0; i < node->count; i++)
    node->children[i] = draw_tree(sessions, depth - 1, regexes);
  return node;
}

/* ── Writing them ────────────────────────────────────────────────────────────────────────────────────────────────── */

static char *put(char *at, const char *text)
{
  return stpcpy(at, text);
}

static char *write_leaf(char *at, const struct oracle_node *leaf)
{
  static const char *const blanks[] = {"", " ", "  ", "\t"};
  at = put(at, leaf->field->name);
  if (!is(leaf->word, "in")) {
    at = put(put(put(at, PICK(blanks)), leaf->word), PICK(blanks));
    return put(at, leaf->values[0].text);
  }
  at = put(at, leaf->negated ? " not in" : " in");
  at = put(put(at, PICK(blanks)), "(");
  for (size_t i = 0; i < leaf->value_count; i++)
    at = put(put(put(at, i ? "," : ""), PICK(blanks)), leaf->values[i].text);
  return put(at, ")");
}

/* Parentheses where they are needed, and now and then where not. `within`: the parent's kind. */
static char *write_tree(char *at, const struct oracle_node *node, int within)
{
  bool needed = (node->kind == ANY && within != ANY) || (node->kind == ALL && within == NOT);
  bool put_parentheses = needed || (node->kind != LEAF && draw(4) == 0);
  if (put_parentheses)
    at = put(at, "(");
  if (node->kind == LEAF)
    at = write_leaf(at, node);
  else if (node->kind == NOT)
    at = write_tree(put(at, "not "), node->children[0], NOT);
  for (size_t i = 0; node->kind != LEAF && node->kind != NOT && i < node->count; i++) {
    const char *between = node->kind == ANY ? " or " : draw(3) ? " and " : " ";
    at = write_tree(put(at, i ? between : ""), node->children[i], (int)node->kind);
  }
  return put_parentheses ? put(at, ")") : at;
}

#endif
