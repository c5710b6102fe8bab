/* SPDX-License-Identifier: Apache-2.0 */
/* replay_plan.c - the dry run: what a replay would send, when, and over how many connections. */
#include "replay.h"
#include "store_common.h"

#include <inttypes.h>
#include <string.h>

enum { COLUMNS = 8, MEASURED_MAX = 1000 }; /* rows whose width counts: of a million, not all are read twice */

struct row {
  const char *cells[COLUMNS];
  char due[GG_CLI_SPAN_MAX], duration[GG_CLI_SPAN_MAX], chunks[GG_CLI_NUMBER_MAX], bytes[GG_CLI_NUMBER_MAX];
};

static const struct {
  const char *title;
  bool right;
} columns[COLUMNS] = {{"ID", false},     {"DUE", true},    {"DURATION", true}, {"CLIENT", false},
                      {"SERVER", false}, {"CHUNKS", true}, {"BYTES", true},    {"SKIPPED", false}};

static void fill_row(struct row *row, const struct gg_replay_planned *planned)
{
  snprintf(row->chunks, sizeof row->chunks, "%" PRIu64, planned->chunks);
  snprintf(row->bytes, sizeof row->bytes, "%" PRIu64, planned->bytes[GG_SIDE_CLIENT]);
  row->cells[0] = planned->id;
  row->cells[1] = planned->skipped[0] ? "-" : gg_cli_span(planned->due_ns, row->due);
  row->cells[2] = gg_cli_span(planned->duration_ns, row->duration);
  row->cells[3] = planned->client;
  row->cells[4] = planned->server;
  row->cells[5] = row->chunks;
  row->cells[6] = row->bytes;
  row->cells[7] = planned->skipped;
}

static void measure(const struct row *row, size_t widths[COLUMNS])
{
  for (size_t i = 0; i < COLUMNS; i++) {
    size_t width = strlen(row->cells[i]);
    widths[i] = width > widths[i] ? width : widths[i];
  }
}

static void put_row(FILE *out, const struct row *row, const size_t widths[COLUMNS])
{
  for (size_t i = 0; i < COLUMNS; i++) {
    size_t length = strlen(row->cells[i]);
    int padding = length < widths[i] ? (int)(widths[i] - length) : 0;
    bool last = i + 1 == COLUMNS;
    fprintf(out, "%*s", columns[i].right ? padding : 0, "");
    gg_cli_put_safe(out, row->cells[i], length);
    fprintf(out, "%*s%s", columns[i].right || last ? 0 : padding, "", last ? "\n" : "  ");
  }
}

static void put_table(FILE *out, const struct gg_replay *replay)
{
  size_t widths[COLUMNS] = {0};
  struct gg_replay_planned planned;
  struct row row;
  for (size_t i = 0; i < COLUMNS; i++)
    row.cells[i] = columns[i].title;
  measure(&row, widths);
  for (size_t i = 0; i < MEASURED_MAX && gg_replay_planned(replay, i, &planned); i++) {
    struct row measured;
    fill_row(&measured, &planned);
    measure(&measured, widths);
  }
  put_row(out, &row, widths);
  for (size_t i = 0; !ferror(out) && gg_replay_planned(replay, i, &planned); i++) {
    fill_row(&row, &planned);
    put_row(out, &row, widths);
  }
}

/* `fastest`: nothing but the server says how long it takes. */
static void put_totals(FILE *out, const struct gg_replay_plan *plan, bool fastest)
{
  char duration[GG_CLI_SPAN_MAX];
  fprintf(out, "%" PRIu64 " sessions, %" PRIu64 " played (%" PRIu64 " opaque, %" PRIu64 " partial): ", plan->sessions,
          plan->played, plan->opaque, plan->partial);
  fprintf(out, "%" PRIu64 " connections to ", plan->connections);
  gg_cli_put_safe(out, plan->to, strlen(plan->to));
  fprintf(out,
          ", %" PRIu64 " at once at most; %" PRIu64 " chunks of %" PRIu64 " bytes, %" PRIu64
          " of them after a reply; %" PRIu64 " bytes expected; ",
          plan->connections_peak, plan->chunks, plan->bytes, plan->chunks_dependent, plan->bytes_expected);
  if (plan->played && fastest)
    fputs("as fast as possible\n", out);
  else
    fprintf(out, "takes %s\n", gg_cli_span(plan->duration_ns, duration));
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_string(FILE *out, const char *text)
{
  putc('"', out);
  for (const char *at = text; *at; at++) {
    unsigned char byte = (unsigned char)*at;
    if (byte == '"' || byte == '\\')
      fprintf(out, "\\%c", byte);
    else if (byte >= 0x20 && byte < 0x7f)
      putc(byte, out);
    else
      fprintf(out, "\\u%04x", byte);
  }
  putc('"', out);
}

static void put_planned_json(FILE *out, const struct gg_replay_planned *planned)
{
  fputs("{\"id\":", out);
  put_string(out, planned->id);
  fprintf(out,
          ",\"start_ns\":%" PRIu64 ",\"due_ns\":%" PRIu64 ",\"duration_ns\":%" PRIu64 ",\"client\":", planned->start_ns,
          planned->due_ns, planned->duration_ns);
  put_string(out, planned->client);
  fputs(",\"server\":", out);
  put_string(out, planned->server);
  fprintf(out, ",\"chunks\":%" PRIu64 ",\"bytes\":{\"client\":%" PRIu64 ",\"server\":%" PRIu64 "},\"skipped\":",
          planned->chunks, planned->bytes[GG_SIDE_CLIENT], planned->bytes[GG_SIDE_SERVER]);
  if (planned->skipped[0])
    put_string(out, planned->skipped);
  else
    fputs("null", out);
  fputs("}\n", out);
}

static void put_totals_json(FILE *out, const struct gg_replay_plan *plan)
{
  fprintf(out,
          "{\"summary\":true,\"sessions\":%" PRIu64 ",\"opaque\":%" PRIu64 ",\"partial\":%" PRIu64
          ",\"played\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"connections_peak\":%" PRIu64 ",\"chunks\":%" PRIu64
          ",\"chunks_dependent\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"bytes_expected\":%" PRIu64
          ",\"duration_ns\":%" PRIu64 ",\"to\":",
          plan->sessions, plan->opaque, plan->partial, plan->played, plan->connections, plan->connections_peak,
          plan->chunks, plan->chunks_dependent, plan->bytes, plan->bytes_expected, plan->duration_ns);
  put_string(out, plan->to);
  fputs("}\n", out);
}

void gg_cli_put_plan(FILE *out, const struct gg_replay *replay, const struct gg_replay_options *options, bool json)
{
  struct gg_replay_plan plan;
  struct gg_replay_planned planned;
  gg_replay_plan(replay, &plan);
  if (!json) {
    put_table(out, replay);
    put_totals(out, &plan, options->speed_percent == 0 && options->rate == 0);
    return;
  }
  for (size_t i = 0; !ferror(out) && gg_replay_planned(replay, i, &planned); i++)
    put_planned_json(out, &planned);
  put_totals_json(out, &plan);
}
