/* SPDX-License-Identifier: Apache-2.0 */
/* replay_progress.c - what a replay shows on stderr while it plans and runs. */
#include "replay.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
  LINE_MAX_BYTES = 256,
  BAR_MAX = 30, /* columns of the bar */
  BAR_MIN = 8,  /* a shorter one says nothing */
  COLUMNS_USUAL = 80,
  PERCENT_COLUMNS = 5, /* "100% ", where there is no room for a bar */
};

#define DRAW_INTERVAL_NS UINT64_C(100000000)
#define TELL_INTERVAL_NS UINT64_C(5000000000)
#define RATE_INTERVAL_NS UINT64_C(1000000000)
#define PLANNING_QUIET_NS UINT64_C(500000000)

void gg_cli_progress_begin(struct gg_cli_progress *progress)
{
  uint64_t now = gg_cli_now_ns();
  *progress = (struct gg_cli_progress){.terminal = isatty(STDERR_FILENO) == 1, .told_ns = now};
  if (progress->terminal) /* planning is shown only if it takes long */
    progress->told_ns = now + PLANNING_QUIET_NS - DRAW_INTERVAL_NS;
}

void gg_cli_progress_clear(struct gg_cli_progress *progress)
{
  if (progress->drawn)
    fputs("\r\033[K", stderr);
  progress->drawn = false;
}

/* Whether it is time for a line; if so, the next one is due an interval from now. */
static bool is_due(struct gg_cli_progress *progress)
{
  uint64_t now = gg_cli_now_ns();
  uint64_t interval = progress->terminal ? DRAW_INTERVAL_NS : TELL_INTERVAL_NS;
  bool stepped_back = progress->told_ns > now + interval + PLANNING_QUIET_NS; /* somebody has set the clock */
  if (now < progress->told_ns + interval && !stepped_back)
    return false;
  progress->told_ns = now;
  return true;
}

static size_t terminal_columns(void)
{
  struct winsize window;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : COLUMNS_USUAL;
}

/* The whole line in one write, the bar in what the text leaves of the terminal's width. */
static void draw(struct gg_cli_progress *progress, double share, const char *text)
{
  size_t columns = terminal_columns() - 1, length = strlen(text), bar = 0;
  char drawing[BAR_MAX + 1];
  if (columns > length + 3 + BAR_MIN)
    bar = columns - length - 3 < BAR_MAX ? columns - length - 3 : BAR_MAX;
  size_t full = (size_t)(share * (double)bar);
  memset(drawing, '-', bar);
  memset(drawing, '#', full < bar ? full : bar);
  drawing[bar] = '\0';
  if (bar > 0)
    fprintf(stderr, "\r[%s] %s\033[K", drawing, text);
  else
    fprintf(stderr, "\r%3.0f%% %.*s\033[K", 100 * share,
            (int)(columns > PERCENT_COLUMNS ? columns - PERCENT_COLUMNS : 0), text);
  fflush(stderr);
  progress->drawn = true;
}

static void show(struct gg_cli_progress *progress, uint64_t done, uint64_t total, const char *text)
{
  double share = total > 0 ? (double)done / (double)total : 0;
  if (progress->terminal)
    draw(progress, share, text);
  else
    fprintf(stderr, "gogetway: replay: %s\n", text);
}

void gg_cli_progress_planning(struct gg_cli_progress *progress, uint64_t done, uint64_t total)
{
  char text[LINE_MAX_BYTES], read[GG_CLI_NUMBER_MAX], all[GG_CLI_NUMBER_MAX];
  if (!is_due(progress))
    return;
  snprintf(text, sizeof text, "planning: %s of %s bytes read", gg_cli_bytes(done, true, read),
           gg_cli_bytes(total, true, all));
  show(progress, done, total, text);
}

static void count_rate(struct gg_cli_progress *progress, const struct gg_replay_progress *now)
{
  uint64_t span = now->elapsed_ns - progress->counted_ns;
  if (progress->counted_ns > 0 && span < RATE_INTERVAL_NS)
    return;
  if (span > 0)
    progress->rate = (uint64_t)((double)(now->chunks_sent - progress->counted_chunks) * 1e9 / (double)span);
  progress->counted_ns = now->elapsed_ns;
  progress->counted_chunks = now->chunks_sent;
}

void gg_cli_progress_playing(struct gg_cli_progress *progress, const struct gg_replay_progress *now)
{
  char text[LINE_MAX_BYTES], lag[GG_CLI_SPAN_MAX], left[GG_CLI_SPAN_MAX];
  count_rate(progress, now);
  if (!is_due(progress))
    return;
  bool known = now->left_ns != UINT64_MAX;
  snprintf(text, sizeof text,
           "%" PRIu64 "/%" PRIu64 " sessions, %" PRIu64 " chunks, %" PRIu64 "/s, %" PRIu64 " differ, lag %s%s%s%s",
           now->sessions_done, now->sessions_planned, now->chunks_sent, progress->rate, now->differences,
           gg_cli_span(now->lag_now_ns, lag), known ? ", " : "", known ? gg_cli_span(now->left_ns, left) : "",
           known ? " left" : "");
  show(progress, now->sessions_done, now->sessions_planned, text);
}
