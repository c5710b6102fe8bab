/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <gogetway/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { DECIMALS_MAX = 6, DECIMALS_SHOWN_MAX = 3 };

struct unit {
  const char *name;
  uint64_t factor;
};

/* Every name that is read. Formatting uses the first of each factor, so the order says what is preferred. */
static const struct unit byte_units[] = {
  {"TiB", UINT64_C(1) << 40},
  {"GiB", UINT64_C(1) << 30},
  {"MiB", UINT64_C(1) << 20},
  {"KiB", UINT64_C(1) << 10},
  {"TB", UINT64_C(1000000000000)},
  {"GB", UINT64_C(1000000000)},
  {"MB", UINT64_C(1000000)},
  {"kB", UINT64_C(1000)},
  {"T", UINT64_C(1) << 40},
  {"G", UINT64_C(1) << 30},
  {"M", UINT64_C(1) << 20},
  {"K", UINT64_C(1) << 10},
  {"B", 1},
  {"", 1},
};
enum { BYTE_UNITS = sizeof byte_units / sizeof byte_units[0], BYTE_UNITS_SHOWN = 8 };

static const struct unit time_units[] = {
  {"w", UINT64_C(604800000000000)}, {"d", UINT64_C(86400000000000)},
  {"h", UINT64_C(3600000000000)},   {"m", UINT64_C(60000000000)},
  {"s", UINT64_C(1000000000)},      {"ms", UINT64_C(1000000)},
  {"us", UINT64_C(1000)},           {"ns", 1},
};
enum { TIME_UNITS = sizeof time_units / sizeof time_units[0] };

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* A number with optional decimals: `whole` + `part` / `scale`. */
struct number {
  uint64_t whole;
  uint64_t part;
  uint64_t scale;
};

static int read_number(const char **at, struct number *out)
{
  *out = (struct number){.scale = 1};
  if (!is_digit(**at))
    return GG_ERR_FORMAT;
  for (; is_digit(**at); (*at)++)
    if (__builtin_mul_overflow(out->whole, UINT64_C(10), &out->whole) ||
        __builtin_add_overflow(out->whole, (uint64_t)(**at - '0'), &out->whole))
      return GG_ERR_RANGE;
  if (**at != '.')
    return 0;
  (*at)++;
  unsigned decimals = 0;
  for (; is_digit(**at); (*at)++) {
    if (++decimals > DECIMALS_MAX)
      return GG_ERR_FORMAT;
    out->part = out->part * 10 + (uint64_t)(**at - '0');
    out->scale *= 10;
  }
  return decimals > 0 ? 0 : GG_ERR_FORMAT;
}

/* number * factor, if that is whole and fits. */
static int scale_number(const struct number *number, uint64_t factor, uint64_t *out)
{
  uint64_t whole, part;
  if (__builtin_mul_overflow(number->whole, factor, &whole))
    return GG_ERR_RANGE;
  if (__builtin_mul_overflow(number->part, factor, &part) || part % number->scale != 0)
    return GG_ERR_FORMAT;
  return __builtin_add_overflow(whole, part / number->scale, out) ? GG_ERR_RANGE : 0;
}

int gg_text_parse_bytes(uint64_t *out, const char *text)
{
  struct number number;
  const char *at = text;
  int rc = read_number(&at, &number);
  if (rc != 0)
    return rc;
  for (size_t i = 0; i < BYTE_UNITS; i++)
    if (strcasecmp(at, byte_units[i].name) == 0)
      return scale_number(&number, byte_units[i].factor, out);
  return GG_ERR_FORMAT;
}

/* The unit whose name stands at `at`, from index `from` on; the longest name wins ("ms" over "m"). */
static size_t unit_at(const char *at, size_t from, size_t *length)
{
  size_t letters = 0;
  while ((at[letters] >= 'a' && at[letters] <= 'z') || (at[letters] >= 'A' && at[letters] <= 'Z'))
    letters++;
  *length = letters;
  for (size_t i = from; i < TIME_UNITS; i++)
    if (strlen(time_units[i].name) == letters && strncmp(at, time_units[i].name, letters) == 0)
      return i;
  return TIME_UNITS;
}

int gg_text_parse_duration(uint64_t *out_ns, const char *text)
{
  uint64_t total = 0;
  size_t from = 0;
  const char *at = text;
  if (strcmp(text, "0") == 0) {
    *out_ns = 0;
    return 0;
  }
  do {
    struct number number;
    uint64_t value;
    size_t letters;
    int rc = read_number(&at, &number);
    if (rc != 0)
      return rc;
    size_t unit = unit_at(at, from, &letters);
    if (unit == TIME_UNITS)
      return GG_ERR_FORMAT;
    rc = scale_number(&number, time_units[unit].factor, &value);
    if (rc != 0)
      return rc;
    if (__builtin_add_overflow(total, value, &total))
      return GG_ERR_RANGE;
    at += letters;
    from = unit + 1;
  } while (*at);
  *out_ns = total;
  return 0;
}

/* Keeps `candidate` if it is shorter than what `best` holds. */
static void keep_shorter(char best[GG_TEXT_VALUE_MAX], const char *candidate)
{
  if (strlen(candidate) < strlen(best))
    memcpy(best, candidate, strlen(candidate) + 1);
}

/* value / unit with up to three decimals, if that is exact and more than nothing. */
static bool format_in(uint64_t value, const struct unit *unit, char text[GG_TEXT_VALUE_MAX])
{
  uint64_t whole = value / unit->factor;
  uint64_t rest = value % unit->factor;
  if (whole == 0)
    return false;
  if (rest == 0) {
    snprintf(text, GG_TEXT_VALUE_MAX, "%" PRIu64 "%s", whole, unit->name);
    return true;
  }
  uint64_t scale = 1;
  for (int decimals = 1; decimals <= DECIMALS_SHOWN_MAX; decimals++) {
    scale *= 10;
    if (rest * scale % unit->factor == 0) { /* rest is below 2^50, so this cannot overflow */
      snprintf(text, GG_TEXT_VALUE_MAX, "%" PRIu64 ".%0*" PRIu64 "%s", whole, decimals, rest * scale / unit->factor,
               unit->name);
      return true;
    }
  }
  return false;
}

static size_t give(char *text, size_t size, const char *value)
{
  int length = snprintf(text, size, "%s", value);
  if (size == 0)
    return 0;
  return (size_t)length < size ? (size_t)length : size - 1;
}

size_t gg_text_format_bytes(uint64_t bytes, char *text, size_t size)
{
  char best[GG_TEXT_VALUE_MAX];
  char candidate[GG_TEXT_VALUE_MAX];
  snprintf(best, sizeof best, "%" PRIu64 " ", bytes); /* one longer: at equal length a unit reads better */
  for (size_t i = 0; i < BYTE_UNITS_SHOWN; i++)
    if (format_in(bytes, &byte_units[i], candidate))
      keep_shorter(best, candidate);
  best[strcspn(best, " ")] = '\0';
  return give(text, size, best);
}

/* "1h30m": each unit's share in turn; `from` leaves out the larger ones ("36h" rather than "1d12h"). */
static void format_compound(uint64_t ns, size_t from, char text[GG_TEXT_VALUE_MAX])
{
  size_t used = 0;
  text[0] = '\0';
  for (size_t i = from; i < TIME_UNITS && ns > 0; i++) {
    uint64_t share = ns / time_units[i].factor;
    ns %= time_units[i].factor;
    if (share > 0)
      used += (size_t)snprintf(text + used, GG_TEXT_VALUE_MAX - used, "%" PRIu64 "%s", share, time_units[i].name);
    assert(used < GG_TEXT_VALUE_MAX);
  }
}

size_t gg_text_format_duration(uint64_t ns, char *text, size_t size)
{
  char best[GG_TEXT_VALUE_MAX];
  char candidate[GG_TEXT_VALUE_MAX];
  if (ns == 0)
    return give(text, size, "0");
  snprintf(best, sizeof best, "%" PRIu64 "ns", ns);
  for (size_t i = 0; i < TIME_UNITS; i++)
    if (ns % time_units[i].factor == 0 && format_in(ns, &time_units[i], candidate))
      keep_shorter(best, candidate);
  for (size_t i = 0; i < TIME_UNITS; i++) {
    format_compound(ns, i, candidate);
    keep_shorter(best, candidate);
    if (format_in(ns, &time_units[i], candidate))
      keep_shorter(best, candidate);
  }
  return give(text, size, best);
}

size_t gg_text_digits(uint64_t number, char *text)
{
  char backwards[GG_TEXT_DIGITS_MAX];
  size_t count = 0;
  do
    backwards[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  for (size_t i = 0; i < count; i++)
    text[i] = backwards[count - 1 - i];
  return count;
}

int gg_text_parse_bool(bool *out, const char *text)
{
  static const char *const yes[] = {"true", "on", "yes", "1"};
  static const char *const no[] = {"false", "off", "no", "0"};
  for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
    if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
      *out = strcasecmp(text, yes[i]) == 0;
      return 0;
    }
  }
  return GG_ERR_FORMAT;
}

int gg_text_parse_count(uint64_t *out, const char *text)
{
  uint64_t value = 0;
  if (!is_digit(text[0]))
    return GG_ERR_FORMAT;
  for (const char *at = text; *at; at++) {
    if (*at == '_' && is_digit(at[1]))
      continue;
    if (!is_digit(*at))
      return GG_ERR_FORMAT;
    if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
        __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
      return GG_ERR_RANGE;
  }
  *out = value;
  return 0;
}

int gg_text_parse_octal(uint64_t *out, const char *text)
{
  uint64_t value = 0;
  const char *at = text[0] == '0' && text[1] == 'o' ? text + 2 : text;
  if (*at == '\0')
    return GG_ERR_FORMAT;
  for (; *at; at++) {
    if (*at < '0' || *at > '7')
      return GG_ERR_FORMAT;
    if (value >> 61)
      return GG_ERR_RANGE;
    value = value << 3 | (uint64_t)(*at - '0');
  }
  *out = value;
  return 0;
}
