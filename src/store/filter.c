/* SPDX-License-Identifier: Apache-2.0 */
/**
 * filter.c - bare words that choose sessions.
 *
 * A filter is a list of terms, all of which must hold. Each key is one row of a table: how its value is read and how a
 * session is compared with it; `!=` turns a row's answer around. A key that needs no shell quoting was the one rule of
 * the grammar's design, which is why ranges are written N..M and not with < and >.
 */
#include "base/clock.h"
#include "base/text.h"
#include "net/addr.h"
#include "store/sweep.h"

#include <assert.h>
#include <gogetway/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  TEXT_MAX = 128,         /* bytes of a name or reason */
  BARE_ID_DIGITS_MIN = 6, /* a shorter bare word is more likely a slip than an id */
};

struct term {
  const struct key *key;
  bool negated;
  uint64_t from, to; /* of ranges, both included; `from` of times and states */
  char text[TEXT_MAX];
  struct gg_network network;
  struct gg_addr addr;
  bool with_port; /* `addr` counts, not `network` */
};

struct key {
  const char *name;
  const char *form;         /* what a value looks like, for errors */
  const char *const *names; /* all that there are, up to a NULL; NULL: any */
  bool (*parse)(struct term *term, const char *value, uint64_t now_ns);
  bool (*match)(const struct term *term, const struct gg_session *session);
  bool early; /* what it looks at is known when a session begins, and stays */
};

struct gg_filter {
  size_t count;
  struct term terms[];
};

static bool is_hex(const char *text)
{
  size_t length = strspn(text, "0123456789abcdefABCDEF");
  return text[length] == '\0' && length > 0 && length <= 24;
}

static bool parse_id(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  if (!is_hex(value))
    return false;
  for (size_t i = 0; value[i]; i++)
    term->text[i] = (char)(value[i] >= 'A' && value[i] <= 'F' ? value[i] + 32 : value[i]);
  return true;
}

static bool match_id(const struct term *term, const struct gg_session *session)
{
  return strncmp(session->id, term->text, strlen(term->text)) == 0;
}

static bool parse_address(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  if (strcmp(value, "unix") == 0) {
    term->addr.family = GG_FAMILY_UNIX;
    return true;
  }
  term->with_port = gg_addr_parse(&term->addr, value) == 0;
  if (term->with_port)
    return true;
  /* "[::1]": as with a port, for who leaves the port out. */
  char bare[TEXT_MAX];
  size_t length = strlen(value);
  if (length > 2 && length < sizeof bare && value[0] == '[' && value[length - 1] == ']' && strchr(value, ':')) {
    memcpy(bare, value + 1, length - 2);
    bare[length - 2] = '\0';
    value = bare;
  }
  return gg_network_parse(&term->network, value, NULL) == 0;
}

static bool match_address(const struct term *term, const char *text)
{
  struct gg_addr addr;
  if (term->addr.family == GG_FAMILY_UNIX)
    return strncmp(text, "unix", 4) == 0;
  if (gg_addr_parse(&addr, text) != 0)
    return false;
  return term->with_port ? gg_addr_equal(&addr, &term->addr) : gg_network_contains(&term->network, &addr);
}

static bool match_client(const struct term *term, const struct gg_session *session)
{
  return match_address(term, session->client);
}

static bool match_server(const struct term *term, const struct gg_session *session)
{
  return match_address(term, session->server);
}

/* "N", "N..", "..M", "N..M" with numbers that `number` reads. */
static bool parse_range(struct term *term, const char *value, int (*number)(uint64_t *, const char *))
{
  char left[TEXT_MAX];
  const char *dots = strstr(value, ".."), *right = dots ? dots + 2 : "";
  size_t length = dots ? (size_t)(dots - value) : strlen(value);
  if (length >= sizeof left || (length == 0 && !*right))
    return false;
  memcpy(left, value, length);
  left[length] = '\0';
  term->from = 0;
  term->to = UINT64_MAX;
  if (length > 0 && number(&term->from, left) != 0)
    return false;
  if (*right && number(&term->to, right) != 0)
    return false;
  if (!dots)
    term->to = term->from;
  return term->from <= term->to;
}

static bool parse_port(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  return parse_range(term, value, gg_text_parse_count) && term->from <= 65535 &&
         (term->to <= 65535 || term->to == UINT64_MAX);
}

static bool match_port(const struct term *term, const struct gg_session *session)
{
  struct gg_addr addr;
  return gg_addr_parse(&addr, session->server) == 0 && addr.port >= term->from && addr.port <= term->to;
}

static bool parse_bytes(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  return parse_range(term, value, gg_text_parse_bytes);
}

static bool match_bytes(const struct term *term, const struct gg_session *session)
{
  uint64_t bytes = session->bytes[GG_SIDE_CLIENT] + session->bytes[GG_SIDE_SERVER];
  return bytes >= term->from && bytes <= term->to;
}

static bool parse_time(struct term *term, const char *value, uint64_t now_ns)
{
  uint64_t span;
  if (gg_text_parse_duration(&span, value) == 0) {
    term->from = span < now_ns ? now_ns - span : 0;
    return true;
  }
  return gg_clock_parse(&term->from, value) == 0;
}

/* A session that was still going on after `since` counts, as does one that had begun by `until`. */
static bool match_since(const struct term *term, const struct gg_session *session)
{
  return session->end_ns >= term->from;
}

static bool match_until(const struct term *term, const struct gg_session *session)
{
  return session->start_ns <= term->from;
}

static bool parse_state(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  for (enum gg_session_state state = GG_SESSION_OPEN; state <= GG_SESSION_CUT; state++)
    if (strcmp(value, gg_session_state_text(state)) == 0) {
      term->from = state;
      return true;
    }
  return false;
}

static bool match_state(const struct term *term, const struct gg_session *session)
{
  return session->state == (enum gg_session_state)term->from;
}

static bool parse_text(struct term *term, const char *value, uint64_t now_ns)
{
  (void)now_ns;
  size_t length = strlen(value);
  if (length == 0 || length >= sizeof term->text)
    return false;
  memcpy(term->text, value, length + 1);
  return true;
}

/* The reasons of docs/format.md; what others captured has some of them too. */
static const char *const close_names[] = {"client-fin",
                                          "server-fin",
                                          "client-reset",
                                          "server-reset",
                                          "connect-refused",
                                          "connect-timeout",
                                          "connect-failed",
                                          "unresolved",
                                          "idle-timeout",
                                          "drain",
                                          "limit",
                                          "stall",
                                          "proxy-invalid",
                                          "internal",
                                          "first-byte-timeout",
                                          "session-timeout",
                                          "stall-timeout",
                                          "source-sessions",
                                          "source-rate",
                                          "unavailable",
                                          "verdict",
                                          NULL};

static bool parse_close(struct term *term, const char *value, uint64_t now_ns)
{
  for (size_t i = 0; close_names[i]; i++)
    if (strcmp(value, close_names[i]) == 0)
      return parse_text(term, value, now_ns);
  return false;
}

static bool match_listener(const struct term *term, const struct gg_session *session)
{
  return strcmp(session->listener, term->text) == 0;
}

static bool match_close(const struct term *term, const struct gg_session *session)
{
  return strcmp(session->close, term->text) == 0;
}

static const struct key keys[] = {
  {"id", "the beginning of an id: hexadecimal digits", NULL, parse_id, match_id, true},
  {"client", "192.0.2.1, 192.0.2.1:4000, [::1]:4000 or 10.0.0.0/8", NULL, parse_address, match_client, true},
  {"server", "192.0.2.1, 192.0.2.1:80, [::1]:80 or 10.0.0.0/8", NULL, parse_address, match_server, true},
  {"port", "80, 8000..8999, 1024.. or ..1023", NULL, parse_port, match_port, true},
  {"since", "1h, 2024-05-01 or 2024-05-01T12:00:00Z", NULL, parse_time, match_since, false},
  {"until", "1h, 2024-05-01 or 2024-05-01T12:00:00Z", NULL, parse_time, match_until, false},
  {"bytes", "0, 1M.., ..10k or 1k..2k", NULL, parse_bytes, match_bytes, false},
  {"state", "open, closed or cut", NULL, parse_state, match_state, false},
  {"listener", "a listener's name", NULL, parse_text, match_listener, true},
  {"close", "client-fin, server-fin, client-reset, server-reset, connect-refused or another reason of a close",
   close_names, parse_close, match_close, false},
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

static int unknown_key(const char *word, size_t length, struct gg_failure *failure)
{
  const char *names[KEY_COUNT];
  char name[TEXT_MAX], shown[TEXT_MAX];
  snprintf(name, sizeof name, "%.*s", (int)(length < 40 ? length : 40), word);
  gg_text_sanitize(shown, sizeof shown, name, strlen(name), GG_TEXT_ONE_LINE);
  for (size_t i = 0; i < KEY_COUNT; i++)
    names[i] = keys[i].name;
  size_t nearest = gg_text_nearest(name, names, KEY_COUNT);
  if (nearest < KEY_COUNT)
    return gg_fail(failure, GG_ERR_INVALID, "unknown filter key '%s'; did you mean '%s'?", shown, names[nearest]);
  return gg_fail(failure, GG_ERR_INVALID,
                 "unknown filter key '%s'; known are id, client, server, port, since, until, bytes, state, listener, "
                 "close",
                 shown);
}

static const char *nearest_name(const struct key *key, const char *value)
{
  size_t count = 0;
  while (key->names && key->names[count])
    count++;
  size_t nearest = count > 0 ? gg_text_nearest(value, key->names, count) : 0;
  return nearest < count ? key->names[nearest] : NULL;
}

/* The beginning of what was written, safe in a message. */
static const char *show(const char *word, char shown[2 * TEXT_MAX])
{
  size_t length = strnlen(word, 60);
  gg_text_sanitize(shown, 2 * TEXT_MAX, word, length, GG_TEXT_ONE_LINE);
  return shown;
}

static int parse_word(struct term *term, const char *word, uint64_t now_ns, struct gg_failure *failure)
{
  const char *equals = strchr(word, '=');
  char shown[2 * TEXT_MAX];
  *term = (struct term){0};
  if (!equals) {
    if (strlen(word) < BARE_ID_DIGITS_MIN || !parse_id(term, word, now_ns))
      return gg_fail(failure, GG_ERR_INVALID,
                     "'%s' is neither KEY=VALUE nor the beginning of an id (%d hexadecimal digits or more)",
                     show(word, shown), BARE_ID_DIGITS_MIN);
    term->key = &keys[0];
    return 0;
  }
  size_t length = (size_t)(equals - word);
  if (length > 0 && word[length - 1] == '!') {
    term->negated = true;
    length--;
  }
  for (size_t i = 0; i < KEY_COUNT && !term->key; i++)
    if (strlen(keys[i].name) == length && memcmp(keys[i].name, word, length) == 0)
      term->key = &keys[i];
  if (!term->key)
    return unknown_key(word, length, failure);
  if (term->key->parse(term, equals + 1, now_ns))
    return 0;
  const char *nearest = nearest_name(term->key, equals + 1);
  if (nearest)
    return gg_fail(failure, GG_ERR_INVALID, "%s='%s' is not known; did you mean '%s'?", term->key->name,
                   show(equals + 1, shown), nearest);
  return gg_fail(failure, GG_ERR_INVALID, "%s='%s' is not understood; right would be %s", term->key->name,
                 show(equals + 1, shown), term->key->form);
}

int gg_filter_parse(struct gg_filter **out, const char *const *words, size_t count, uint64_t now_ns,
                    struct gg_failure *failure)
{
  *out = NULL;
  if (count > GG_FILTER_TERMS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "a filter has at most %d words", GG_FILTER_TERMS_MAX);
  struct gg_filter *filter = calloc(1, sizeof *filter + count * sizeof filter->terms[0]);
  if (!filter)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the filter");
  for (size_t i = 0; i < count; i++) {
    int error = parse_word(&filter->terms[i], words[i], now_ns, failure);
    if (error) {
      free(filter);
      return error;
    }
  }
  filter->count = count;
  *out = filter;
  return 0;
}

void gg_filter_destroy(struct gg_filter *filter)
{
  free(filter);
}

bool gg_filter_match(const struct gg_filter *filter, const struct gg_session *session)
{
  assert(session);
  for (size_t i = 0; filter && i < filter->count; i++) {
    const struct term *term = &filter->terms[i];
    if (term->key->match(term, session) == term->negated)
      return false;
  }
  return true;
}

bool gg_filter_names_as_sent(const struct gg_filter *filter, const struct gg_session *session)
{
  for (size_t i = 0; filter && i < filter->count; i++) {
    const struct term *term = &filter->terms[i];
    if (term->key->match == match_id && !term->negated &&
        strncmp(session->as_sent_of, term->text, strlen(term->text)) != 0)
      return true;
  }
  return false;
}

bool gg_filter_may_match(const struct gg_filter *filter, const struct gg_session *begun)
{
  for (size_t i = 0; filter && i < filter->count; i++) {
    const struct term *term = &filter->terms[i];
    if (term->key->early && term->key->match(term, begun) == term->negated)
      return false;
  }
  return true;
}
