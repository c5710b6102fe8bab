/* SPDX-License-Identifier: Apache-2.0 */
/**
 * logger.h - messages for the operator: a level, an event in a few words, and named values.
 *
 * The library is silent unless a sink is set (STYLE 6). A message is a short constant text ("upstream connected") and
 * key-value pairs, so that the same call makes readable text on a terminal and one JSON object a line elsewhere.
 * Repeats of one call site are limited (GG_LOGGER_BURST a second); when it lets one through again, the message carries
 * how many were held back ("repeated": N).
 *
 *     2026-11-22T12:30:00.123Z warning upstream refused listener=web upstream="a b"
 *     {"time":"2026-11-22T12:30:00.123Z","level":"warning","event":"upstream refused","listener":"web"}
 *
 * Nobody who speaks waits for who listens: a line that the descriptor has no room for (a full pipe, a stopped terminal)
 * is dropped, and the next one that gets through says how many were ("lost": N). A file may still wait for its disk,
 * and a pipe that other processes write into may fill at just the wrong moment.
 *
 * Thread: one logger serves all threads; a message is one write(2), so lines never mix. Emitting takes a lock for the
 * few instructions of the rate limit and for that write, and allocates nothing. Values are escaped: control
 * characters, invalid UTF-8 and terminal escapes never reach the output as they are. Long values are cut, and fields
 * that find no room in a line are left out; the line then ends in "truncated": true. Event and keys are the program's
 * own constants.
 */
#ifndef GG_BASE_LOGGER_H
#define GG_BASE_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gg_level { GG_LEVEL_DEBUG, GG_LEVEL_INFO, GG_LEVEL_WARNING, GG_LEVEL_ERROR, GG_LEVEL_OFF };

enum gg_log_field_kind {
  GG_LOG_FIELD_STRING,
  GG_LOG_FIELD_UNSIGNED,
  GG_LOG_FIELD_SIGNED,
  GG_LOG_FIELD_DOUBLE,
  GG_LOG_FIELD_BOOL
};

struct gg_log_field {
  const char *key; /* lower_case, units last; borrowed for the call */
  enum gg_log_field_kind kind;
  union {
    const char *string; /* NULL is written as null */
    uint64_t number;
    int64_t integer;
    double real;
    bool truth;
  } value;
};

#define GG_S(name, text) ((struct gg_log_field){(name), GG_LOG_FIELD_STRING, {.string = (text)}})
#define GG_U(name, n) ((struct gg_log_field){(name), GG_LOG_FIELD_UNSIGNED, {.number = (uint64_t)(n)}})
#define GG_I(name, n) ((struct gg_log_field){(name), GG_LOG_FIELD_SIGNED, {.integer = (int64_t)(n)}})
#define GG_D(name, n) ((struct gg_log_field){(name), GG_LOG_FIELD_DOUBLE, {.real = (n)}})
#define GG_B(name, b) ((struct gg_log_field){(name), GG_LOG_FIELD_BOOL, {.truth = (b)}})

enum { GG_LOGGER_BURST = 10, GG_LOGGER_FIELDS_MAX = 24, GG_LOGGER_LINE_MAX = 4096 };

enum gg_logger_format {
  GG_LOGGER_AUTO,
  GG_LOGGER_TEXT,
  GG_LOGGER_JSON
}; /* AUTO: text if `fd` is a terminal; JSON for a sink */

struct gg_logger;

/* Where a finished line goes instead of a descriptor (embedding). `line` lives for the call, ends in NUL and has no
 * newline. It may be called on several threads at once, those that relay and write among them: it must not wait. */
typedef void (*gg_logger_sink_fn)(void *context, enum gg_level level, const char *line, size_t length);

/* Both return 0 or GG_ERR_NOMEM. */
int gg_logger_create(struct gg_logger **out, int fd, enum gg_level least, enum gg_logger_format format);
int gg_logger_create_sink(struct gg_logger **out, gg_logger_sink_fn sink, void *context, enum gg_level least,
                          enum gg_logger_format format);
/* From now on another level, another form (of a logger with a descriptor); any thread. NULL is fine. */
void gg_logger_set(struct gg_logger *logger, enum gg_level least, enum gg_logger_format format);
void gg_logger_destroy(struct gg_logger *logger); /* NULL is fine; the descriptor stays the caller's */

bool gg_logger_wants(const struct gg_logger *logger, enum gg_level level); /* false for a NULL logger */

/* Zero at first: what the rate limit remembers. Of a call site the logger keeps it; whoever speaks for somebody else
 * keeps one of his own. */
struct gg_log_site {
  uint64_t second;
  uint32_t count;
  uint32_t held_back;
};

/* A call site by the address of what is its own: so the limit is the logger's, and two gateways in one process do not
 * silence each other. Beyond so many, the others share one limit. */
enum { GG_LOGGER_PLACES_MAX = 256 };
void gg_logger_emit_at(struct gg_logger *logger, const void *place, enum gg_level level, const char *event,
                       const struct gg_log_field *fields, size_t field_count);

/* `site` may be NULL: no limit; else it is used with this logger only. At most GG_LOGGER_FIELDS_MAX fields. */
void gg_logger_emit(struct gg_logger *logger, struct gg_log_site *site, enum gg_level level, const char *event,
                    const struct gg_log_field *fields, size_t field_count);

/* gg_log_at(logger, GG_LEVEL_INFO, "listening", GG_S("address", text), GG_U("backlog", 4096)); a NULL logger is
 * silent. At least one field is needed. */
#define gg_log_at(logger, level, event, ...)                                                                           \
  do {                                                                                                                 \
    static const char gg_place_ = 0;                                                                                   \
    if (gg_logger_wants((logger), (level))) {                                                                          \
      const struct gg_log_field gg_fields_[] = {__VA_ARGS__};                                                          \
      gg_logger_emit_at((logger), &gg_place_, (level), (event), gg_fields_, sizeof gg_fields_ / sizeof gg_fields_[0]); \
    }                                                                                                                  \
  } while (0)

#define gg_debug(logger, ...) gg_log_at(logger, GG_LEVEL_DEBUG, __VA_ARGS__)
#define gg_info(logger, ...) gg_log_at(logger, GG_LEVEL_INFO, __VA_ARGS__)
#define gg_warn(logger, ...) gg_log_at(logger, GG_LEVEL_WARNING, __VA_ARGS__)
#define gg_error_log(logger, ...) gg_log_at(logger, GG_LEVEL_ERROR, __VA_ARGS__)

#endif
