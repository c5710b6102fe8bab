/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is formatted on the caller's stack and leaves by one write(2). poll(2) says first whether there is room: a
 * pipe that is writable takes PIPE_BUF bytes, a line has no more, and the lock keeps our other threads from taking the
 * room in between. (Rejected: O_NONBLOCK on the descriptor. It belongs to the open file, which the parent's shell may
 * share. And a thread that writes from a queue: what is said last, before a crash, would be lost.)
 *
 * What the rate limit remembers of a call site is in the logger, found by the address of a constant of the site's, in
 * a table that none ever leaves. (Rejected: a static counter at each site. It is one for all gateways of a process, so
 * one that is attacked would silence the others.)
 *
 * A field that does not fit is left out and the line says so ("truncated"); the line stays well formed.
 */
#include "base/logger.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include <assert.h>
#include <errno.h>
#include <gogetway/error.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAIL_ROOM = 64, VALUE_MAX = 1024, EVENT_MAX = 256 };

struct gg_logger {
  int fd; /* -1 with a sink */
  gg_logger_sink_fn sink;
  void *context;
  _Atomic int least; /* enum gg_level */
  _Atomic bool json;
  pthread_mutex_t write_lock; /* held from finding room to having written */
  _Atomic uint64_t lost;      /* lines that found no room since the last one that told how many */
  pthread_mutex_t sites_lock; /* of what follows, and of all that others keep of their sites */
  struct place {
    const void *key; /* NULL: free */
    struct gg_log_site site;
  } places[GG_LOGGER_PLACES_MAX + 1]; /* the last one is shared by all that found none free */
};
_Static_assert(GG_LOGGER_LINE_MAX <= PIPE_BUF, "a line fits where poll says that a pipe is writable");

static const char *const level_names[] = {"debug", "info", "warning", "error", "off"};
_Static_assert(sizeof level_names / sizeof level_names[0] == GG_LEVEL_OFF + 1, "a name for each level");

static int create(struct gg_logger **out, int fd, enum gg_level least, bool json)
{
  struct gg_logger *logger = calloc(1, sizeof *logger);
  if (!logger)
    return GG_ERR_NOMEM;
  logger->fd = fd;
  atomic_init(&logger->least, (int)least);
  atomic_init(&logger->json, json);
  atomic_init(&logger->lost, 0);
  pthread_mutex_init(&logger->write_lock, NULL);
  pthread_mutex_init(&logger->sites_lock, NULL);
  *out = logger;
  return 0;
}

/* `fd` is -1 for a sink. */
static bool wants_json(int fd, enum gg_logger_format format)
{
  return format == GG_LOGGER_JSON || (format == GG_LOGGER_AUTO && (fd < 0 || !isatty(fd)));
}

int gg_logger_create(struct gg_logger **out, int fd, enum gg_level least, enum gg_logger_format format)
{
  return create(out, fd, least, wants_json(fd, format));
}

int gg_logger_create_sink(struct gg_logger **out, gg_logger_sink_fn sink, void *context, enum gg_level least,
                          enum gg_logger_format format)
{
  assert(sink);
  int error = create(out, -1, least, wants_json(-1, format));
  if (error)
    return error;
  (*out)->sink = sink;
  (*out)->context = context;
  return 0;
}

void gg_logger_set(struct gg_logger *logger, enum gg_level least, enum gg_logger_format format)
{
  if (!logger)
    return;
  atomic_store_explicit(&logger->least, (int)least, memory_order_relaxed);
  atomic_store_explicit(&logger->json, wants_json(logger->fd, format), memory_order_relaxed);
}

void gg_logger_destroy(struct gg_logger *logger)
{
  if (!logger)
    return;
  pthread_mutex_destroy(&logger->sites_lock);
  pthread_mutex_destroy(&logger->write_lock);
  free(logger);
}

bool gg_logger_wants(const struct gg_logger *logger, enum gg_level level)
{
  return logger && level < GG_LEVEL_OFF && (int)level >= atomic_load_explicit(&logger->least, memory_order_relaxed);
}

/* Under the lock. */
static struct gg_log_site *site_of(struct gg_logger *logger, const void *key)
{
  size_t at = (size_t)((uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 32);
  for (size_t i = 0; i < GG_LOGGER_PLACES_MAX; i++) {
    struct place *place = &logger->places[(at + i) % GG_LOGGER_PLACES_MAX];
    if (!place->key)
      place->key = key;
    if (place->key == key)
      return &place->site;
  }
  return &logger->places[GG_LOGGER_PLACES_MAX].site;
}

/* Whether the site may speak now; *held_back is what it kept to itself since it last did. Under the lock. */
static bool site_permits(struct gg_log_site *site, uint32_t *held_back)
{
  uint64_t second = gg_clock_mono_ns() / GG_NS_PER_S + 1; /* never 0, which a fresh site has */
  if (site->second != second) {
    site->second = second;
    site->count = 0;
  }
  bool permitted = site->count < GG_LOGGER_BURST;
  if (permitted) {
    site->count++;
    *held_back = site->held_back;
    site->held_back = 0;
  } else {
    site->held_back++;
  }
  return permitted;
}

/* The part of a value that is shown: long ones are cut between characters, so that one cannot push out the others. */
static size_t shown_length(const char *text)
{
  size_t length = strnlen(text, VALUE_MAX + 1);
  if (length <= VALUE_MAX)
    return length;
  length = VALUE_MAX;
  while (length > VALUE_MAX - 4 && ((unsigned char)text[length] & 0xC0u) == 0x80u)
    length--;
  return length;
}

static void json_value(struct gg_json *json, const struct gg_log_field *field, bool *truncated)
{
  gg_json_key(json, field->key);
  switch (field->kind) {
  case GG_LOG_FIELD_STRING:
    if (!field->value.string) {
      gg_json_null(json);
      break;
    }
    size_t length = shown_length(field->value.string);
    *truncated |= field->value.string[length] != '\0';
    gg_json_string_n(json, field->value.string, length);
    break;
  case GG_LOG_FIELD_UNSIGNED:
    gg_json_unsigned(json, field->value.number);
    break;
  case GG_LOG_FIELD_SIGNED:
    gg_json_signed(json, field->value.integer);
    break;
  case GG_LOG_FIELD_DOUBLE:
    gg_json_double(json, field->value.real);
    break;
  case GG_LOG_FIELD_BOOL:
    gg_json_bool(json, field->value.truth);
    break;
  }
}

static size_t format_json(char *line, enum gg_level level, const char *time, const char *event,
                          const struct gg_log_field *fields, size_t count)
{
  struct gg_json json;
  bool truncated = false;
  gg_json_init(&json, line, GG_LOGGER_LINE_MAX - TAIL_ROOM);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "time", time);
  gg_json_field_string(&json, "level", level_names[level]);
  gg_json_key(&json, "event");
  gg_json_string_n(&json, event, strnlen(event, EVENT_MAX));
  for (size_t i = 0; i < count; i++) {
    struct gg_json mark = json;
    json_value(&json, &fields[i], &truncated);
    if (json.overflow) {
      json = mark;
      truncated = true;
    }
  }
  json.size += TAIL_ROOM;
  if (truncated)
    gg_json_field_bool(&json, "truncated", true);
  gg_json_object_end(&json);
  return gg_json_finish(&json);
}

/* Text: a cursor that never passes the end; `full` is sticky. */
struct text {
  char *line;
  size_t size;
  size_t length;
  bool full;
};

static void text_put(struct text *text, const char *bytes, size_t length)
{
  if (text->full || length > text->size - text->length) {
    text->full = true;
    return;
  }
  memcpy(text->line + text->length, bytes, length);
  text->length += length;
}

/* A value that could be taken for something else (spaces, quotes, '=', controls, nothing) is quoted, as in JSON. */
static void text_string(struct text *text, const char *value, size_t length)
{
  bool plain = length > 0;
  size_t at = 0;
  while (at < length && plain) {
    uint32_t point;
    size_t step = gg_utf8_next(value + at, length - at, &point);
    plain = step > 0 && point > ' ' && point != '"' && point != '\\' && point != '=' && !gg_utf8_is_unsafe(point);
    at += step;
  }
  if (plain) {
    text_put(text, value, length);
    return;
  }
  char quoted[6 * VALUE_MAX + 3]; /* each byte grows sixfold at the most */
  struct gg_json json;
  gg_json_init(&json, quoted, sizeof quoted);
  gg_json_string_n(&json, value, length);
  text_put(text, quoted, gg_json_finish(&json));
}

static void text_value(struct text *text, const struct gg_log_field *field, bool *truncated)
{
  char number[40];
  int length = 0;
  switch (field->kind) {
  case GG_LOG_FIELD_STRING:
    if (field->value.string) {
      size_t shown = shown_length(field->value.string);
      *truncated |= field->value.string[shown] != '\0';
      text_string(text, field->value.string, shown);
      return;
    }
    length = snprintf(number, sizeof number, "null");
    break;
  case GG_LOG_FIELD_UNSIGNED:
    length = snprintf(number, sizeof number, "%" PRIu64, field->value.number);
    break;
  case GG_LOG_FIELD_SIGNED:
    length = snprintf(number, sizeof number, "%" PRId64, field->value.integer);
    break;
  case GG_LOG_FIELD_DOUBLE:
    length = snprintf(number, sizeof number, "%.6g", field->value.real);
    break;
  case GG_LOG_FIELD_BOOL:
    length = snprintf(number, sizeof number, "%s", field->value.truth ? "true" : "false");
    break;
  }
  text_put(text, number, (size_t)length);
}

static size_t format_text(char *line, enum gg_level level, const char *time, const char *event,
                          const struct gg_log_field *fields, size_t count)
{
  static const char tail[] = " truncated=true";
  struct text text = {.line = line, .size = GG_LOGGER_LINE_MAX - TAIL_ROOM};
  bool truncated = false;
  int head = snprintf(line, text.size, "%s %-7s %.*s", time, level_names[level], (int)EVENT_MAX, event);
  text.length = (size_t)head;
  for (size_t i = 0; i < count; i++) {
    struct text mark = text;
    text_put(&text, " ", 1);
    text_put(&text, fields[i].key, strlen(fields[i].key));
    text_put(&text, "=", 1);
    text_value(&text, &fields[i], &truncated);
    if (text.full) {
      text = mark;
      truncated = true;
    }
  }
  text.size += TAIL_ROOM;
  if (truncated)
    text_put(&text, tail, sizeof tail - 1);
  return text.length;
}

/* False if there was no room, or the write failed: nobody is left to be told then but the reader of the next line. */
static bool write_line(struct gg_logger *logger, const char *line, size_t length)
{
  struct pollfd polled = {.fd = logger->fd, .events = POLLOUT};
  ssize_t rc = -1;
  pthread_mutex_lock(&logger->write_lock);
  int ready = poll(&polled, 1, 0);
  if (ready < 0 || (polled.revents & POLLOUT)) { /* if poll itself fails, the line is worth the risk */
    do
      rc = write(logger->fd, line, length);
    while (rc < 0 && errno == EINTR);
  }
  pthread_mutex_unlock(&logger->write_lock);
  return rc >= 0;
}

static void emit(struct gg_logger *logger, uint32_t held_back, enum gg_level level, const char *event,
                 const struct gg_log_field *fields, size_t field_count)
{
  assert(field_count <= GG_LOGGER_FIELDS_MAX);
  struct gg_log_field all[GG_LOGGER_FIELDS_MAX + 2];
  memcpy(all, fields, field_count * sizeof *fields);
  if (held_back > 0)
    all[field_count++] = GG_U("repeated", held_back);
  uint64_t lost = atomic_exchange_explicit(&logger->lost, 0, memory_order_relaxed);
  if (lost > 0)
    all[field_count++] = GG_U("lost", lost);
  char time[GG_CLOCK_TEXT_MAX];
  gg_clock_format(gg_clock_real_ns(), 3, time, sizeof time);
  char line[GG_LOGGER_LINE_MAX + 1];
  size_t length = logger->json ? format_json(line, level, time, event, all, field_count)
                               : format_text(line, level, time, event, all, field_count);
  assert(length > 0 && length < GG_LOGGER_LINE_MAX);
  if (logger->sink) {
    line[length] = '\0';
    logger->sink(logger->context, level, line, length);
    return;
  }
  line[length++] = '\n';
  if (!write_line(logger, line, length))
    atomic_fetch_add_explicit(&logger->lost, lost + 1, memory_order_relaxed);
}

void gg_logger_emit_at(struct gg_logger *logger, const void *place, enum gg_level level, const char *event,
                       const struct gg_log_field *fields, size_t field_count)
{
  uint32_t held_back = 0;
  if (!gg_logger_wants(logger, level))
    return;
  pthread_mutex_lock(&logger->sites_lock);
  bool permitted = site_permits(site_of(logger, place), &held_back);
  pthread_mutex_unlock(&logger->sites_lock);
  if (permitted)
    emit(logger, held_back, level, event, fields, field_count);
}

void gg_logger_emit(struct gg_logger *logger, struct gg_log_site *site, enum gg_level level, const char *event,
                    const struct gg_log_field *fields, size_t field_count)
{
  uint32_t held_back = 0;
  bool permitted = true;
  if (!gg_logger_wants(logger, level))
    return;
  if (site) {
    pthread_mutex_lock(&logger->sites_lock);
    permitted = site_permits(site, &held_back);
    pthread_mutex_unlock(&logger->sites_lock);
  }
  if (permitted)
    emit(logger, held_back, level, event, fields, field_count);
}
