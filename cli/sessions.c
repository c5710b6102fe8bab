/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - the command that lists what was recorded. */
#include "commands.h"
#include "store_common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OPTION_JSON,
  OPTION_FOLLOW,
  OPTION_FILTER,
  OPTION_SORT,
  OPTION_LIMIT,
  FOLLOW_INTERVAL_NS = 500000000,
  COLUMNS = 10,
  TAGS_SHOWN_MAX = 200,
};

static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line, with exact numbers"},
  [OPTION_FOLLOW] = {"follow", 'f', NULL, "go on: new sessions, and those that changed, as they come"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
  [OPTION_SORT] = {"sort", 's', "FIELD", "in the order of a field, with - in front from the greatest; default: start"},
  [OPTION_LIMIT] = {"limit", 'n', "N", "no more than the first N; with --follow, of those that are there already"},
};

/* ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct row {
  const char *cells[COLUMNS];
  char start[GG_CLI_TIME_MAX], duration[GG_CLI_NUMBER_MAX], from_client[GG_CLI_NUMBER_MAX],
    from_server[GG_CLI_NUMBER_MAX], state[160], tags[TAGS_SHOWN_MAX];
};

static const struct {
  const char *title;
  bool right;
} columns[COLUMNS] = {{"ID", false},     {"START (UTC)", false}, {"DURATION", true},    {"CLIENT", false},
                      {"SERVER", false}, {"UPSTREAM", false},    {"FROM CLIENT", true}, {"FROM SERVER", true},
                      {"STATE", false},  {"TAGS", false}};

/* All of them if they find room. */
static const char *put_tags(const struct gg_session *session, char text[TAGS_SHOWN_MAX])
{
  static const char more[] = ",...";
  size_t used = 0;
  text[0] = '\0';
  for (size_t i = 0; i < session->tag_count; i++) {
    size_t length = strlen(session->tags[i]);
    if (used + 1 + length + sizeof more > TAGS_SHOWN_MAX) {
      memcpy(text + used, more, sizeof more);
      break;
    }
    used += (size_t)snprintf(text + used, TAGS_SHOWN_MAX - used, "%s%s", i > 0 ? "," : "", session->tags[i]);
  }
  return text;
}

static void fill_row(struct row *row, const struct gg_session *session, bool human)
{
  bool gaps = session->gaps[GG_SIDE_CLIENT] || session->gaps[GG_SIDE_SERVER];
  snprintf(row->state, sizeof row->state, "%s%s%.60s%s%s%s%s%s", gg_session_state_text(session->state),
           session->close[0] ? " " : "", session->close, gaps ? " gaps" : "",
           session->beginning_missing ? " partial" : "", session->held ? " held" : "",
           session->as_sent_of[0] ? ", as sent of " : "", session->as_sent_of);
  row->cells[0] = session->id;
  row->cells[1] = gg_cli_time(session->start_ns, human, row->start);
  row->cells[2] = gg_cli_duration(session->end_ns - session->start_ns, human, row->duration);
  row->cells[3] = session->client;
  row->cells[4] = session->server;
  row->cells[5] = session->upstream[0] ? session->upstream : "-";
  row->cells[6] = gg_cli_bytes(session->bytes[GG_SIDE_CLIENT], human, row->from_client);
  row->cells[7] = gg_cli_bytes(session->bytes[GG_SIDE_SERVER], human, row->from_server);
  row->cells[8] = row->state;
  row->cells[9] = put_tags(session, row->tags);
}

static void measure(const struct row *row, int widths[COLUMNS])
{
  for (size_t i = 0; i < COLUMNS; i++) {
    int width = (int)strlen(row->cells[i]);
    widths[i] = width > widths[i] ? width : widths[i];
  }
}

static void put_row(const struct row *row, const int widths[COLUMNS])
{
  size_t last = row->cells[COLUMNS - 1][0] ? COLUMNS - 1 : COLUMNS - 2; /* most have no tags: no blanks behind them */
  for (size_t i = 0; i < last; i++)
    printf("%*s  ", columns[i].right ? widths[i] : -widths[i], row->cells[i]);
  printf("%s\n", row->cells[last]);
}

struct listing {
  bool json;
  bool human;
  bool titled;
  uint64_t generation; /* sessions up to this one were shown */
  size_t shown;        /* so many of the list's first were, by the page before */
  int widths[COLUMNS];
};

static void put_list(struct listing *listing, const struct gg_session_list *list)
{
  size_t count = gg_session_list_count(list);
  struct row row;
  for (size_t i = listing->shown; i < count && !listing->json; i++) {
    fill_row(&row, gg_session_list_at(list, i), listing->human);
    measure(&row, listing->widths);
  }
  if (!listing->titled && !listing->json) {
    for (size_t i = 0; i < COLUMNS; i++)
      row.cells[i] = columns[i].title;
    measure(&row, listing->widths);
    put_row(&row, listing->widths);
    listing->titled = true;
  }
  for (size_t i = listing->shown; i < count && !ferror(stdout); i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    if (session->generation <= listing->generation)
      continue;
    if (listing->json) {
      gg_cli_put_session_json(session);
    } else {
      fill_row(&row, session, listing->human);
      put_row(&row, listing->widths);
    }
  }
}

/* ── Pages ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The rest of a list in order of start of which `chosen` has the first page. The next begins where the last session of
 * this one does, and what this one has shown of those is left out. */
static int put_pages(const struct gg_cli *cli, const struct gg_cli_words *words, uint64_t limit,
                     struct gg_cli_chosen *chosen, struct listing *listing)
{
  int status = GG_EXIT_DONE;
  uint64_t page = GG_CLI_PAGE_SESSIONS;
  for (uint64_t left = limit ? limit : UINT64_MAX; status == GG_EXIT_DONE && !ferror(stdout);) {
    size_t count = gg_session_list_count(chosen->list);
    put_list(listing, chosen->list);
    left -= count - listing->shown;
    if (count < page || left == 0)
      break;
    listing->shown = gg_cli_page_shown(chosen->list);
    page = listing->shown + (left < GG_CLI_PAGE_SESSIONS ? left : GG_CLI_PAGE_SESSIONS);
    status = gg_cli_next_page(cli, words, page, chosen);
  }
  return status;
}

/* All of it at once, where it is in memory anyway. */
static int put_all(uint64_t limit, struct gg_cli_chosen *chosen, struct listing *listing)
{
  struct gg_select_options select = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  select.filter = chosen->filter;
  select.limit = limit;
  gg_session_list_destroy(chosen->list);
  chosen->list = NULL;
  if (gg_store_select(chosen->store, &select, &chosen->list, &failure) != 0)
    return gg_cli_store_fail(&failure);
  put_list(listing, chosen->list);
  return GG_EXIT_DONE;
}

/* ── Following ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Ends when nobody reads any more, or by a signal. What comes is in the order asked for each time that is looked. */
static int follow(struct gg_cli_chosen *chosen, struct listing *listing, const char *sort)
{
  struct gg_select_options select = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  select.filter = chosen->filter;
  select.sort = sort;
  gg_cli_catch_signals(NULL);
  for (;;) {
    put_list(listing, chosen->list);
    fflush(stdout);
    listing->generation = gg_store_generation(chosen->store);
    select.changed_since = listing->generation;
    if (!gg_cli_pause(FOLLOW_INTERVAL_NS))
      return GG_EXIT_DONE;
    gg_session_list_destroy(chosen->list);
    chosen->list = NULL;
    if (gg_store_refresh(chosen->store, &failure) != 0 ||
        gg_store_select(chosen->store, &select, &chosen->list, &failure) != 0)
      return gg_cli_fail("%s", failure.message);
  }
}

static bool read_limit(const char *text, uint64_t *limit)
{
  char *end;
  errno = 0;
  unsigned long long number = strtoull(text, &end, 10);
  bool good = *text >= '0' && *text <= '9' && !*end && number > 0 && errno == 0;
  if (!good)
    gg_cli_wrong("sessions: --limit %s is no number from 1", text);
  *limit = number;
  return good;
}

static int run_sessions(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct listing listing = {.human = isatty(STDOUT_FILENO) == 1};
  const char *sort = NULL;
  uint64_t limit = 0;
  bool following = false;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    switch (what) {
    case OPTION_JSON:
      listing.json = true;
      break;
    case OPTION_FOLLOW:
      following = true;
      break;
    case OPTION_SORT:
      sort = args.value;
      break;
    case OPTION_LIMIT:
      if (!read_limit(args.value, &limit))
        return GG_EXIT_USAGE;
      break;
    case OPTION_FILTER:
      if (!gg_cli_add_filter(&words, args.value))
        return GG_EXIT_USAGE;
      break;
    case GG_CLI_WORD:
      if (!gg_cli_add_word(&words, args.value))
        return GG_EXIT_USAGE;
      break;
    default:
      return GG_EXIT_USAGE;
    }
  }
  struct gg_cli_chosen chosen;
  bool paged = !following && !sort && (limit == 0 || limit > GG_CLI_PAGE_SESSIONS);
  int status = gg_cli_choose_sorted(cli, &words, sort, paged ? GG_CLI_PAGE_SESSIONS : limit, &chosen);
  if (status == GG_EXIT_DONE && following)
    status = follow(&chosen, &listing, sort);
  else if (status == GG_EXIT_DONE && paged && gg_store_is_indexed(chosen.store))
    status = put_pages(cli, &words, limit, &chosen, &listing);
  else if (status == GG_EXIT_DONE && paged)
    status = put_all(limit, &chosen, &listing);
  else if (status == GG_EXIT_DONE)
    put_list(&listing, chosen.list);
  gg_cli_chosen_free(&chosen);
  return status;
}

const struct gg_command gg_command_sessions = {
  .name = "sessions",
  .summary = "list recorded sessions",
  .synopsis = "[FILTER...] [--filter EXPR] [--sort FIELD] [--limit N] [--json] [--follow]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details = "FILTER words, all of which must hold (!= negates; 'gogetway help filters' has all of them):\n"
             "  id=PREFIX             the beginning of an id; six or more digits also without id=\n"
             "  client=ADDRESS        192.0.2.1, 192.0.2.1:4000, [::1]:4000 or 10.0.0.0/8; server= likewise\n"
             "  port=N|N..M           the server's port\n"
             "  since=TIME until=TIME 90s, 1h, 2d ago; 2024-05-01; 2024-05-01T12:00:00Z\n"
             "  bytes=N|N..|..M       both directions together: bytes=0, bytes=1M.., bytes=..10k\n"
             "  state=open|closed|cut, close=REASON, listener=NAME, proto=NAME, tag=TAG\n"
             "  --filter 'EXPR'       the same with <, >, ~, in (A, B), and, or, not, parentheses\n"
             "\n"
             "DIR may also be a pcapng file or a folder of them, whoever wrote them.\n"
             "\n"
             "examples:\n"
             "  gogetway sessions since=1h bytes=1M..\n"
             "  gogetway sessions client=10.0.0.0/8 port=22 state!=open --json\n"
             "  gogetway sessions --filter 'bytes > 1M and not tag = noise' --sort -bytes --limit 50\n"
             "  gogetway sessions --dir capture.pcapng\n",
  .run = run_sessions,
};
