/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - the parts of the plug-in fault. */
#ifndef FAULT_H
#define FAULT_H

#include <gogetway/plugin.h>

#include <stdatomic.h>

/* What can be done to a direction; each is an option and a setting, to_server_latency and so on. */
enum fault {
  LATENCY,     /* nanoseconds that a byte is late at the least ... */
  JITTER,      /* ... and up to so many more */
  RATE,        /* bytes a second */
  SLOW_CLOSE,  /* nanoseconds that the end of the stream is late, beside its latency */
  RESET_AFTER, /* so many bytes go on, and then both sides are reset */
  CORRUPT_AT,  /* the byte at this offset is another */
  FAULTS
};

/* ── settings.c: what is set, by the configuration and by commands. Read on any thread ───────────────────────────── */

enum { SHARE_ALL = 1000 * 1000, SETTING_TEXT_MAX = 32 };
#define OFF UINT64_MAX

struct settings {
  _Atomic bool on;
  _Atomic uint64_t share;          /* of SHARE_ALL: sessions that have faults */
  _Atomic uint64_t way[2][FAULTS]; /* by enum gg_side: of bytes that come from there; OFF: not set */
};

/* "25%", "0.5%". False: it is no share. */
bool share_parse(uint64_t *share, const char *text);
/* The setting of a name as "to_server_latency"; false: there is none. */
bool setting_find(const char *name, enum gg_side *from, enum fault *fault);
/* By the text of a command: "20ms", "64KiB", "off". */
int setting_parse(uint64_t *value, enum fault fault, const char *text, struct gg_failure *failure);
/* As setting_parse would take it. */
void setting_format(char out[SETTING_TEXT_MAX], enum fault fault, uint64_t value);
/* Of one direction: whether what is set goes together. */
int settings_check(const struct settings *settings, enum gg_side from, struct gg_failure *failure);
static inline uint64_t setting(const struct settings *settings, enum gg_side from, enum fault fault)
{
  return atomic_load_explicit(&settings->way[from][fault], memory_order_relaxed);
}
extern const char *const fault_names[FAULTS]; /* "latency", ... */
extern const char *const way_names[2];        /* by enum gg_side: "to_server", "to_client" */

/* ── delay.c: up to where a direction's bytes may go on, and when more may. A session's own ──────────────────────── */

enum { PIECES_MAX = 256 }; /* of a direction that wait; where there are more, the last takes what follows */
#define SLICE_NS (UINT64_C(20) * 1000 * 1000) /* a rate is kept by letting so much go at a time */

struct piece {
  uint64_t end; /* in the stream */
  uint64_t due_ns;
};

struct delay {
  struct piece *pieces; /* a ring of PIECES_MAX; NULL: nothing was late yet */
  unsigned first, count;
  uint64_t ripe;    /* up to here the bytes are as late as they should be */
  uint64_t last_ns; /* when the last piece is: none overtakes another */
  uint64_t free_ns; /* by the rate, the next byte may not go before */
  uint64_t end_ns;  /* when the end may go; 0: it has not come */
  uint64_t random;
};

/* Bytes up to `seen` have come. */
void delay_put(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t seen, uint64_t now_ns);
/* So has the end, once. */
void delay_end(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t now_ns);
/* Of the bytes from `passed` to `seen`: up to where they may go on now. *next_ns: when more of them may. */
uint64_t delay_go(struct delay *delay, const struct settings *settings, enum gg_side from, uint64_t passed,
                  uint64_t seen, uint64_t now_ns, uint64_t *next_ns);
void delay_fini(struct delay *delay);
uint64_t random_next(uint64_t *state);

#endif
