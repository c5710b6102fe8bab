/* SPDX-License-Identifier: Apache-2.0 */
#include "totals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS = 6, LATEST_MAX = 24 };

static const char *const titles[COLUMNS] = {NULL, "SESSIONS", "FROM CLIENT", "FROM SERVER", "MISSING", "SHARE"};

struct line {
  char *key;
  uint64_t sessions, bytes[2], gaps;
};

/* Kept until all are known: columns are as wide as their widest, and shares are of the whole. */
struct table {
  const char *by;
  bool json, human;
  struct line *lines, sum;
  size_t count, room;
  size_t most; /* lines that are shown, the last ones; 0: all */
};

int gg_cli_totals_check(const char *by)
{
  static const char *const names[] = {"listener", "protocol", "close", "hour", "day", "client"};
  enum { COUNT = sizeof names / sizeof names[0] };
  for (size_t i = 0; i < COUNT; i++)
    if (strcmp(by, names[i]) == 0)
      return GG_EXIT_DONE;
  const char *nearest = gg_cli_nearest(by, names, COUNT);
  return gg_cli_wrong("stats: there are no totals by '%s'; %s%s%s", by, nearest ? "did you mean " : "there are by ",
                      nearest ? nearest : "listener, protocol, close, hour, day and client", nearest ? "?" : "");
}

static void put_json_text(const char *text)
{
  putchar('"');
  for (; *text; text++)
    if (*text == '"' || *text == '\\')
      printf("\\%c", *text);
    else
      putchar(*text); /* texts of the library have no control characters in them */
  putchar('"');
}

static void put_json(const struct table *table, const struct gg_total *total)
{
  printf("{\"%s\":", table->by);
  put_json_text(total->key);
  printf(",\"sessions\":%" PRIu64 ",\"bytes\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64
         "},\"gaps\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64 "}}\n",
         total->sessions, total->bytes[0], total->bytes[1], total->gaps[0], total->gaps[1]);
}

static int take(void *context, const struct gg_total *total)
{
  struct table *table = context;
  if (table->json) {
    put_json(table, total);
    return ferror(stdout) ? GG_ERR_IO : 0;
  }
  if (table->count == table->room) {
    size_t room = table->room ? table->room * 2 : 32;
    struct line *larger = realloc(table->lines, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    table->lines = larger;
    table->room = room;
  }
  struct line *line = &table->lines[table->count];
  *line = (struct line){.key = strdup(total->key[0] ? total->key : "-"),
                        .sessions = total->sessions,
                        .bytes = {total->bytes[0], total->bytes[1]},
                        .gaps = total->gaps[0] + total->gaps[1]};
  if (!line->key)
    return GG_ERR_NOMEM;
  table->count++;
  table->sum.sessions += line->sessions;
  table->sum.bytes[0] += line->bytes[0];
  table->sum.bytes[1] += line->bytes[1];
  table->sum.gaps += line->gaps;
  return 0;
}

struct cells {
  char text[COLUMNS][GG_CLI_NUMBER_MAX];
};

static void fill(const struct table *table, const struct line *line, struct cells *cells)
{
  double share = table->sum.sessions ? 100.0 * (double)line->sessions / (double)table->sum.sessions : 0;
  snprintf(cells->text[1], GG_CLI_NUMBER_MAX, "%" PRIu64, line->sessions);
  gg_cli_bytes(line->bytes[0], table->human, cells->text[2]);
  gg_cli_bytes(line->bytes[1], table->human, cells->text[3]);
  gg_cli_bytes(line->gaps, table->human, cells->text[4]);
  snprintf(cells->text[5], GG_CLI_NUMBER_MAX, "%.1f%%", share);
}

static void put_line(const struct table *table, const struct line *line, const int widths[COLUMNS])
{
  struct cells cells;
  fill(table, line, &cells);
  printf("%-*s", widths[0], line->key);
  for (int i = 1; i < COLUMNS; i++)
    printf("  %*s", widths[i], cells.text[i]);
  putchar('\n');
}

static void put_table(const struct table *table)
{
  int widths[COLUMNS];
  char title[GG_CLI_NUMBER_MAX];
  struct cells cells;
  snprintf(title, sizeof title, "%s", table->by);
  for (char *c = title; *c; c++)
    *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
  for (int i = 0; i < COLUMNS; i++)
    widths[i] = (int)strlen(i ? titles[i] : title);
  for (size_t at = 0; at <= table->count; at++) {
    const struct line *line = at < table->count ? &table->lines[at] : &table->sum;
    int width = (int)strlen(line->key);
    fill(table, line, &cells);
    widths[0] = width > widths[0] ? width : widths[0];
    for (int i = 1; i < COLUMNS; i++)
      widths[i] = (int)strlen(cells.text[i]) > widths[i] ? (int)strlen(cells.text[i]) : widths[i];
  }
  printf("%-*s", widths[0], title);
  for (int i = 1; i < COLUMNS; i++)
    printf("  %*s", widths[i], titles[i]);
  putchar('\n');
  size_t left_out = table->most && table->count > table->most ? table->count - table->most : 0;
  if (left_out)
    printf("(%zu earlier: gogetway stats --totals --by %s)\n", left_out, table->by);
  for (size_t at = left_out; at < table->count && !ferror(stdout); at++)
    put_line(table, &table->lines[at], widths);
  put_line(table, &table->sum, widths);
}

static int put_totals(struct gg_store *store, const struct gg_filter *filter, struct table *table)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  int status = GG_EXIT_DONE;
  if (gg_store_totals(store, filter, table->by, take, table, &failure) != 0 && !ferror(stdout))
    status = gg_cli_fail("%s", failure.message[0] ? failure.message : "no memory for totals");
  if (status == GG_EXIT_DONE && !table->json)
    put_table(table);
  for (size_t i = 0; i < table->count; i++)
    free(table->lines[i].key);
  free(table->lines);
  return status;
}

int gg_cli_totals_put(struct gg_store *store, const struct gg_filter *filter, const char *by, bool json)
{
  static const char *const usual[] = {"listener", "protocol", "hour"};
  const char *const *bys = by ? &by : usual;
  size_t count = by ? 1 : sizeof usual / sizeof usual[0];
  char all[] = "all";
  int status = GG_EXIT_DONE;
  for (size_t i = 0; i < count && status == GG_EXIT_DONE && !ferror(stdout); i++) {
    struct table table = {.by = bys[i], .json = json, .human = isatty(STDOUT_FILENO) == 1, .sum = {.key = all}};
    table.most = !by && strcmp(bys[i], "hour") == 0 ? LATEST_MAX : 0;
    if (i > 0 && !json)
      putchar('\n');
    status = put_totals(store, filter, &table);
  }
  if (status == GG_EXIT_DONE)
    gg_cli_tell_warnings(store);
  return status;
}

int gg_cli_totals(const struct gg_cli *cli, const struct gg_cli_words *words, const char *by, bool json)
{
  struct gg_store *store = NULL;
  struct gg_filter *filter = NULL;
  int status = words->count + words->filter_count ? gg_cli_parse_filter(words, &filter) : GG_EXIT_DONE;
  if (status == GG_EXIT_DONE)
    status = gg_cli_open_store(cli, &store);
  if (status == GG_EXIT_DONE)
    status = gg_cli_totals_put(store, filter, by, json);
  gg_filter_destroy(filter);
  gg_store_close(store);
  return status;
}
