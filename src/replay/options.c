/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - a replay's options from texts: the command line's, and those of any program that takes them from people.
 *
 * One table has every name, where its value goes, and how the text is read. A reader gets the row, so that bounds stand
 * beside the name they belong to. Nothing is changed unless the text is good.
 */
#include "base/text.h"
#include "replay/bounds.h"
#include <gogetway/replay.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
  SHOWN_MAX = 80,       /* of a wrong text, in a message */
  SPEED_DIGITS_MAX = 9, /* more is out of range whatever they are */
};

struct choice {
  const char *word;
  int value;
};

struct row {
  const char *name;
  int (*read)(const struct row *row, void *value, const char *text, struct gg_failure *failure);
  size_t at;                    /* in struct gg_replay_options */
  uint64_t least, most;         /* of counts and durations */
  const struct choice *choices; /* of words; the last one has no word */
};

static int wrong(const struct row *row, int error, const char *text, const char *right, struct gg_failure *failure)
{
  return gg_fail(failure, error, "%s: '%.*s' is not %s", row->name, SHOWN_MAX, text, right);
}

/* ── Readers: of a text for a row into the option's place ────────────────────────────────────────────────────────── */

static int read_text(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  if (!*text)
    return gg_fail(failure, GG_ERR_FORMAT, "%s is empty", row->name);
  memcpy(value, &text, sizeof text);
  return 0;
}

static int read_bool(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  return gg_text_parse_bool(value, text) == 0 ? 0 : wrong(row, GG_ERR_FORMAT, text, "true or false", failure);
}

static int out_of_range(const struct row *row, const char *text, const char *least, const char *most,
                        struct gg_failure *failure)
{
  return gg_fail(failure, GG_ERR_RANGE, "%s: '%.*s' is not from %s to %s", row->name, SHOWN_MAX, text, least, most);
}

static int count_in_range(const struct row *row, void *value, int error, uint64_t count, const char *text,
                          struct gg_failure *failure)
{
  char least[GG_TEXT_VALUE_MAX], most[GG_TEXT_VALUE_MAX];
  assert(row->most <= UINT32_MAX);
  if (error == GG_ERR_FORMAT)
    return wrong(row, GG_ERR_FORMAT, text, "a number", failure);
  if (error || count < row->least || count > row->most) {
    snprintf(least, sizeof least, "%" PRIu64, row->least);
    snprintf(most, sizeof most, "%" PRIu64, row->most);
    return out_of_range(row, text, least, most, failure);
  }
  *(uint32_t *)value = (uint32_t)count;
  return 0;
}

static int read_count(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  uint64_t count = 0;
  int error = gg_text_parse_count(&count, text);
  return count_in_range(row, value, error, count, text, failure);
}

/* "50/s" or "50". */
static int read_rate(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  char number[GG_TEXT_VALUE_MAX];
  uint64_t count = 0;
  size_t length = strlen(text);
  if (length > 2 && strcmp(text + length - 2, "/s") == 0)
    length -= 2;
  if (length >= sizeof number)
    return wrong(row, GG_ERR_FORMAT, text, "a number of sessions a second: 50/s", failure);
  memcpy(number, text, length);
  number[length] = '\0';
  int error = gg_text_parse_count(&count, number);
  if (error == GG_ERR_FORMAT)
    return wrong(row, GG_ERR_FORMAT, text, "a number of sessions a second: 50/s", failure);
  return count_in_range(row, value, error, count, text, failure);
}

static int read_duration(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  char least[GG_TEXT_VALUE_MAX], most[GG_TEXT_VALUE_MAX];
  uint64_t ns = 0;
  int error = gg_text_parse_duration(&ns, text);
  if (error == GG_ERR_FORMAT)
    return wrong(row, GG_ERR_FORMAT, text, "a time: 500ms, 10s, 1m30s", failure);
  if (error || ns < row->least || ns > row->most) {
    gg_text_format_duration(row->least, least, sizeof least);
    gg_text_format_duration(row->most, most, sizeof most);
    return out_of_range(row, text, least, most, failure);
  }
  *(uint64_t *)value = ns;
  return 0;
}

/* Hundredths of a number like "0.25" or "10", which ends at `end`. GG_ERR_RANGE if it is larger than any speed. */
static int read_hundredths(const char *text, const char *end, uint32_t *out)
{
  const char *at = text;
  uint32_t whole = 0, part = 0, scale = 100;
  for (; at < end && *at >= '0' && *at <= '9'; at++) {
    if (at - text == SPEED_DIGITS_MAX)
      return GG_ERR_RANGE;
    whole = whole * 10 + (uint32_t)(*at - '0');
  }
  if (at == text)
    return GG_ERR_FORMAT;
  if (at < end && *at == '.') {
    const char *decimals = ++at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
      scale /= 10;
      part += scale * (uint32_t)(*at - '0');
      if (scale == 0)
        return GG_ERR_RANGE;
    }
    if (at == decimals)
      return GG_ERR_FORMAT;
  }
  if (at != end)
    return GG_ERR_FORMAT;
  if (whole > GG_REPLAY_SPEED_PERCENT_MAX / 100)
    return GG_ERR_RANGE;
  *out = whole * 100 + part;
  return 0;
}

/* "1x", "0.5x", "10x", "10", "max". */
static int read_speed(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  uint32_t percent = 0;
  if (strcmp(text, "max") == 0) {
    *(uint32_t *)value = 0;
    return 0;
  }
  size_t length = strlen(text);
  const char *end = text + length - (length > 1 && (text[length - 1] == 'x' || text[length - 1] == 'X'));
  int error = read_hundredths(text, end, &percent);
  if (error == GG_ERR_FORMAT)
    return wrong(row, GG_ERR_FORMAT, text, "a factor or 'max': 1x, 0.5x, 10x, max", failure);
  if (error || percent == 0 || percent > GG_REPLAY_SPEED_PERCENT_MAX)
    return gg_fail(failure, GG_ERR_RANGE, "%s: '%.*s' is not from 0.01x to 1000x in hundredths, nor max", row->name,
                   SHOWN_MAX, text);
  *(uint32_t *)value = percent;
  return 0;
}

static int read_choice(const struct row *row, void *value, const char *text, struct gg_failure *failure)
{
  enum { CHOICES_MAX = 8 };
  const char *words[CHOICES_MAX] = {0};
  char list[GG_TEXT_WORD_MAX] = "";
  size_t count = 0, length = 0;
  for (const struct choice *choice = row->choices; choice->word; choice++) {
    if (strcmp(choice->word, text) == 0) {
      memcpy(value, &choice->value, sizeof choice->value);
      return 0;
    }
    assert(count < CHOICES_MAX && length < sizeof list);
    length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", count ? ", " : "", choice->word);
    words[count++] = choice->word;
  }
  size_t nearest = gg_text_nearest(text, words, count);
  if (nearest < count)
    return gg_fail(failure, GG_ERR_FORMAT, "%s: '%.*s' is not known; did you mean '%s'?", row->name, SHOWN_MAX, text,
                   words[nearest]);
  return gg_fail(failure, GG_ERR_FORMAT, "%s: '%.*s' is not one of %s", row->name, SHOWN_MAX, text, list);
}

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct choice levels[] = {{"causal", GG_REPLAY_CAUSAL}, {"bytes", GG_REPLAY_BYTES}, {0}};
static const struct choice policies[] = {
  {"continue", GG_REPLAY_CONTINUE}, {"stop-session", GG_REPLAY_STOP_SESSION}, {"stop", GG_REPLAY_STOP}, {0}};
static_assert(sizeof(enum gg_replay_level) == sizeof(int) && sizeof(enum gg_replay_policy) == sizeof(int),
              "read_choice writes an int");

#define AT(member) offsetof(struct gg_replay_options, member)
static const struct row rows[] = {
  {"to", read_text, AT(to), 0, 0, NULL},
  {"level", read_choice, AT(level), 0, 0, levels},
  {"speed", read_speed, AT(speed_percent), 0, 0, NULL},
  {"rate", read_rate, AT(rate), 1, GG_REPLAY_RATE_MAX, NULL},
  {"ramp", read_duration, AT(ramp_ns), 0, GG_REPLAY_RAMP_MAX_NS, NULL},
  {"copies", read_count, AT(copies), 1, GG_REPLAY_COPIES_MAX, NULL},
  {"loop", read_count, AT(loops), 1, GG_REPLAY_LOOPS_MAX, NULL},
  {"max-connections", read_count, AT(connections_max), 1, UINT32_MAX, NULL},
  {"reply-timeout", read_duration, AT(reply_timeout_ns), GG_REPLAY_TIMEOUT_MIN_NS, GG_REPLAY_TIMEOUT_MAX_NS, NULL},
  {"connect-timeout", read_duration, AT(connect_timeout_ns), GG_REPLAY_TIMEOUT_MIN_NS, GG_REPLAY_TIMEOUT_MAX_NS, NULL},
  {"on-timeout", read_choice, AT(on_timeout), 0, 0, policies},
  {"on-close", read_choice, AT(on_close), 0, 0, policies},
  {"source", read_text, AT(source), 0, 0, NULL},
  {"include-partial", read_bool, AT(include_partial), 0, 0, NULL},
  {"allow-original", read_bool, AT(allow_original), 0, 0, NULL},
  {"record", read_text, AT(record_dir), 0, 0, NULL},
  {"report", read_text, AT(report_path), 0, 0, NULL},
  {"plugin", read_text, AT(plugin), 0, 0, NULL},
  {"plugin-config", read_text, AT(plugin_config), 0, 0, NULL},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

int gg_replay_option_set(struct gg_replay_options *options, const char *name, const char *text,
                         struct gg_failure *failure)
{
  const char *names[ROW_COUNT];
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (strcmp(rows[i].name, name) == 0 && rows[i].at >= options->size)
      return gg_fail(failure, GG_ERR_INVALID,
                     "%s: the program was built for an earlier version, which had no such option", rows[i].name);
    if (strcmp(rows[i].name, name) == 0)
      return rows[i].read(&rows[i], (char *)options + rows[i].at, text, failure);
    names[i] = rows[i].name;
  }
  size_t nearest = gg_text_nearest(name, names, ROW_COUNT);
  if (nearest < ROW_COUNT)
    return gg_fail(failure, GG_ERR_INVALID, "unknown option '%.*s'; did you mean '%s'?", SHOWN_MAX, name,
                   names[nearest]);
  return gg_fail(failure, GG_ERR_INVALID, "unknown option '%.*s'", SHOWN_MAX, name);
}
