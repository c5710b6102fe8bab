/* SPDX-License-Identifier: Apache-2.0 */
#include "store/cookie_expiry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FIRST_YEAR = 1601, LAST_YEAR = 9999 };

struct date {
  unsigned day, month, year, hour, minute, second; /* the first three from 1; 0: not found yet */
  bool has_time, has_year;
};

static bool is_digit(char letter)
{
  return letter >= '0' && letter <= '9';
}

static bool ends_word(char letter)
{
  return letter == '\t' || (letter >= ' ' && letter <= '/') || (letter >= ';' && letter <= '@') ||
         (letter >= '[' && letter <= '`') || (letter >= '{' && letter <= '~');
}

/* A number of `least` to `most` digits at *at, and none behind it. */
static bool take_number(const char *text, size_t length, size_t *at, size_t least, size_t most, unsigned *number)
{
  size_t from = *at;
  *number = 0;
  while (*at < length && is_digit(text[*at]) && *at - from <= most)
    *number = *number * 10 + (unsigned)(text[(*at)++] - '0');
  return *at - from >= least && *at - from <= most;
}

static bool begins_with(const char *word, size_t length, size_t least, size_t most, unsigned *number)
{
  size_t at = 0;
  return take_number(word, length, &at, least, most, number);
}

static bool take_time(const char *word, size_t length, struct date *date)
{
  unsigned *const parts[] = {&date->hour, &date->minute, &date->second};
  size_t at = 0;
  for (size_t i = 0; i < 3; i++) {
    if ((i && (at == length || word[at++] != ':')) || !take_number(word, length, &at, 1, 2, parts[i]))
      return false;
  }
  return true;
}

static unsigned month_of(const char *word, size_t length)
{
  static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
  for (unsigned i = 0; i < 12 && length >= 3; i++)
    if (strncasecmp(word, names + 3 * (size_t)i, 3) == 0)
      return i + 1;
  return 0;
}

/* What a word is depends on what has been found: each once, in this order. */
static void take_word(const char *word, size_t length, struct date *date)
{
  unsigned number;
  if (!date->has_time && take_time(word, length, date)) {
    date->has_time = true;
  } else if (!date->day && begins_with(word, length, 1, 2, &number)) {
    date->day = number ? number : 32; /* found, and wrong */
  } else if (!date->month && month_of(word, length)) {
    date->month = month_of(word, length);
  } else if (!date->has_year && begins_with(word, length, 2, 4, &number)) {
    date->year = number + (number < 70 ? 2000 : number < 100 ? 1900 : 0);
    date->has_year = true;
  }
}

static bool exists(const struct date *date)
{
  static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (date->year % 4 == 0 && date->year % 100 != 0) || date->year % 400 == 0;
  return date->has_time && date->has_year && date->month && date->day && date->year >= FIRST_YEAR &&
         date->day <= days[date->month - 1] + (leap && date->month == 2) && date->hour < 24 && date->minute < 60 &&
         date->second < 60;
}

bool gg__cookie_expires(char out[GG_CLOCK_TEXT_MAX], const char *value, size_t length)
{
  struct date date = {0};
  for (size_t at = 0; at < length;) {
    size_t from = at;
    while (at < length && !ends_word(value[at]))
      at++;
    if (at > from)
      take_word(value + from, at - from, &date);
    else
      at++;
  }
  if (!exists(&date))
    return false;
  snprintf(out, GG_CLOCK_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02uZ", date.year % (LAST_YEAR + 1), date.month, date.day,
           date.hour, date.minute, date.second);
  return true;
}

bool gg__cookie_max_age(char out[GG_CLOCK_TEXT_MAX], const char *value, size_t length, uint64_t came_ns)
{
  const uint64_t second = 1000000000, most = UINT64_MAX / second - 1;
  uint64_t age = 0;
  bool negative = length && *value == '-';
  if (length == negative)
    return false;
  for (size_t i = negative; i < length; i++) {
    if (!is_digit(value[i]))
      return false;
    age = age > most / 10 ? most : age * 10 + (uint64_t)(value[i] - '0');
  }
  uint64_t left = UINT64_MAX - came_ns;
  uint64_t ends = age > left / second ? UINT64_MAX : came_ns + age * second;
  gg_clock_format(negative || age == 0 ? 0 : ends, 3, out, GG_CLOCK_TEXT_MAX);
  return true;
}
