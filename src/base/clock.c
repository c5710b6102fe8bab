/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <assert.h>
#include <gogetway/error.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
  struct timespec now;
  int rc = clock_gettime(id, &now);
  assert(rc == 0 && now.tv_sec >= 0);
  (void)rc;
  return (uint64_t)now.tv_sec * GG_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t gg_clock_mono_ns(void)
{
  return read_clock(CLOCK_MONOTONIC);
}

uint64_t gg_clock_real_ns(void)
{
  return read_clock(CLOCK_REALTIME);
}

size_t gg_clock_format(uint64_t real_ns, unsigned digits, char *text, size_t size)
{
  assert(digits <= 9);
  if (size == 0)
    return 0;
  time_t seconds = (time_t)(real_ns / GG_NS_PER_S);
  struct tm parts;
  gmtime_r(&seconds, &parts);
  char fraction[12] = "";
  if (digits > 0) {
    snprintf(fraction, sizeof fraction, ".%09u", (unsigned)(real_ns % GG_NS_PER_S));
    fraction[digits + 1] = '\0';
  }
  int length = snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", parts.tm_year + 1900, parts.tm_mon + 1,
                        parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, fraction);
  if (length < 0 || (size_t)length >= size) {
    text[0] = '\0';
    return 0;
  }
  return (size_t)length;
}

/* Reads exactly `count` digits at *at and moves on. */
static bool read_digits(const char **at, unsigned count, unsigned *out)
{
  unsigned value = 0;
  for (unsigned i = 0; i < count; i++) {
    char c = (*at)[i];
    if (c < '0' || c > '9')
      return false;
    value = value * 10 + (unsigned)(c - '0');
  }
  *at += count;
  *out = value;
  return true;
}

static bool read_char(const char **at, char wanted)
{
  if (**at != wanted)
    return false;
  (*at)++;
  return true;
}

struct when {
  unsigned year, month, day, hour, minute, second, nanosecond;
  int offset_minutes;
};

static bool read_fraction(const char **at, unsigned *nanosecond)
{
  unsigned digits = 0;
  unsigned value = 0;
  while (**at >= '0' && **at <= '9' && digits < 9) {
    value = value * 10 + (unsigned)(**at - '0');
    digits++;
    (*at)++;
  }
  if (digits == 0)
    return false;
  for (; digits < 9; digits++)
    value *= 10;
  *nanosecond = value;
  return true;
}

static bool read_offset(const char **at, int *offset_minutes)
{
  if (read_char(at, 'Z') || read_char(at, 'z'))
    return true;
  char sign = **at;
  unsigned hours, minutes;
  if (sign != '+' && sign != '-')
    return false;
  (*at)++;
  if (!read_digits(at, 2, &hours) || !read_char(at, ':') || !read_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
    return false;
  int total = (int)(hours * 60 + minutes);
  *offset_minutes = sign == '-' ? -total : total;
  return true;
}

static bool read_when(const char *text, struct when *out)
{
  const char *at = text;
  if (!read_digits(&at, 4, &out->year) || !read_char(&at, '-') || !read_digits(&at, 2, &out->month) ||
      !read_char(&at, '-') || !read_digits(&at, 2, &out->day))
    return false;
  if (*at == '\0')
    return true;
  if (!read_char(&at, 'T') && !read_char(&at, 't') && !read_char(&at, ' '))
    return false;
  if (!read_digits(&at, 2, &out->hour) || !read_char(&at, ':') || !read_digits(&at, 2, &out->minute) ||
      !read_char(&at, ':') || !read_digits(&at, 2, &out->second))
    return false;
  if (read_char(&at, '.') && !read_fraction(&at, &out->nanosecond))
    return false;
  return read_offset(&at, &out->offset_minutes) && *at == '\0';
}

static unsigned days_in(unsigned year, unsigned month)
{
  static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

int gg_clock_parse(uint64_t *out_ns, const char *text)
{
  struct when when = {0};
  if (!read_when(text, &when))
    return GG_ERR_FORMAT;
  if (when.year < 1970 || when.year > 2554 || when.month < 1 || when.month > 12 || when.day < 1 ||
      when.day > days_in(when.year, when.month) || when.hour > 23 || when.minute > 59 || when.second > 60)
    return GG_ERR_RANGE;
  struct tm parts = {.tm_year = (int)when.year - 1900,
                     .tm_mon = (int)when.month - 1,
                     .tm_mday = (int)when.day,
                     .tm_hour = (int)when.hour,
                     .tm_min = (int)when.minute,
                     .tm_sec = (int)when.second};
  int64_t seconds = (int64_t)timegm(&parts) - (int64_t)when.offset_minutes * 60;
  uint64_t ns;
  if (seconds < 0 || __builtin_mul_overflow((uint64_t)seconds, GG_NS_PER_S, &ns) ||
      __builtin_add_overflow(ns, (uint64_t)when.nanosecond, &ns))
    return GG_ERR_RANGE;
  *out_ns = ns;
  return 0;
}
