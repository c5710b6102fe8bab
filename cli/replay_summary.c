/* SPDX-License-Identifier: Apache-2.0 */
/* replay_summary.c - what a replay found, for people. The report is for programs. */
#include "replay.h"

#include <inttypes.h>
#include <string.h>

#define N PRIu64

const char *gg_cli_span(uint64_t ns, char text[GG_CLI_SPAN_MAX])
{
  uint64_t seconds = ns / 1000000000u;
  if (ns < 1000000)
    snprintf(text, GG_CLI_SPAN_MAX, "%" N "us", ns / 1000);
  else if (seconds < 1)
    snprintf(text, GG_CLI_SPAN_MAX, "%" N ".%" N "ms", ns / 1000000, ns / 100000 % 10);
  else if (seconds < 60)
    snprintf(text, GG_CLI_SPAN_MAX, "%" N ".%02" N "s", seconds, ns / 10000000 % 100);
  else if (seconds < 3600)
    snprintf(text, GG_CLI_SPAN_MAX, "%" N "m%02" N "s", seconds / 60, seconds % 60);
  else
    snprintf(text, GG_CLI_SPAN_MAX, "%" N "h%02" N "m", seconds / 3600, seconds / 60 % 60);
  return text;
}

/* ── Differences ─────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg_cli_found_add(struct gg_cli_found *found, const struct gg_replay_session *session)
{
  if (session->verdict != GG_REPLAY_DIFFERENT)
    return;
  found->refused += session->difference.kind == GG_REPLAY_DIFFERENCE_REFUSED;
  found->local += session->difference.kind == GG_REPLAY_DIFFERENCE_LOCAL;
  if (found->count == GG_CLI_DIFFERENCES_MAX)
    return;
  struct gg_cli_difference *kept = &found->first[found->count++];
  *kept = (struct gg_cli_difference){.copy = session->copy, .loop = session->loop, .difference = session->difference};
  snprintf(kept->id, sizeof kept->id, "%s", session->id);
}

static const char *sentence(enum gg_replay_difference_kind kind)
{
  static const char *const sentences[GG_REPLAY_DIFFERENCES] = {
    [GG_REPLAY_DIFFERENCE_NONE] = "nothing",
    [GG_REPLAY_DIFFERENCE_BYTES] = "a reply is another one",
    [GG_REPLAY_DIFFERENCE_SHORTER] = "a reply ended too early",
    [GG_REPLAY_DIFFERENCE_LONGER] = "a reply went on",
    [GG_REPLAY_DIFFERENCE_TIMEOUT] = "the server did not do it in time",
    [GG_REPLAY_DIFFERENCE_CLOSED] = "the server closed too early",
    [GG_REPLAY_DIFFERENCE_RESET] = "the server reset the connection",
    [GG_REPLAY_DIFFERENCE_NOT_CLOSED] = "the server did not close as it had",
    [GG_REPLAY_DIFFERENCE_REFUSED] = "no connection could be made",
    [GG_REPLAY_DIFFERENCE_CONNECTED] = "a connection was made where there had been none",
    [GG_REPLAY_DIFFERENCE_LOCAL] = "this host had no descriptor, port or memory for it",
  };
  return (size_t)kind < GG_REPLAY_DIFFERENCES ? sentences[kind] : "something";
}

static void put_excerpt(FILE *out, const char *what, const uint8_t *bytes, uint8_t size)
{
  size_t shown = size < GG_REPLAY_EXCERPT_MAX ? size : GG_REPLAY_EXCERPT_MAX;
  if (shown == 0) {
    fprintf(out, ", %s nothing", what);
    return;
  }
  fprintf(out, ", %s \"", what);
  gg_cli_put_safe(out, (const char *)bytes, shown);
  fputc('"', out);
}

static void put_difference(FILE *out, const struct gg_replay_difference *difference)
{
  bool in_stream = difference->kind != GG_REPLAY_DIFFERENCE_REFUSED &&
                   difference->kind != GG_REPLAY_DIFFERENCE_CONNECTED && difference->kind != GG_REPLAY_DIFFERENCE_LOCAL;
  fprintf(out, "%s: %s", gg_replay_difference_text(difference->kind), sentence(difference->kind));
  if (!in_stream)
    return;
  fprintf(out, ": chunk %" N ", offset %" N, difference->chunk, difference->offset);
  if (difference->expected_size || difference->got_size) {
    put_excerpt(out, "expected", difference->expected, difference->expected_size);
    put_excerpt(out, "got", difference->got, difference->got_size);
  }
}

void gg_cli_put_played(FILE *out, const struct gg_replay_session *session)
{
  char due[GG_CLI_SPAN_MAX], took[GG_CLI_SPAN_MAX];
  uint64_t lasted = session->ended_ns > session->begun_ns ? session->ended_ns - session->begun_ns : 0;
  fprintf(out,
          "%s %s copy %" N " loop %" N " from %s due %s took %s: %" N " chunks, %" N " bytes sent, %" N " received",
          session->id, gg_replay_verdict_text(session->verdict), session->copy, session->loop,
          session->local[0] ? session->local : "-", gg_cli_span(session->due_ns, due), gg_cli_span(lasted, took),
          session->counts.chunks_sent, session->counts.bytes_sent, session->counts.bytes_received);
  if (session->decoder)
    fprintf(out, ", waited by messages of %s", session->decoder);
  if (session->difference.kind != GG_REPLAY_DIFFERENCE_NONE) {
    fputs("; ", out);
    put_difference(out, &session->difference);
  }
  fputc('\n', out);
}

/* ── The summary ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "  sessions      " in front of each line: a name, then what is counted. */
static void put_name(FILE *out, const char *name)
{
  fprintf(out, "  %-13s", name);
}

/* Counts by name, but those that are zero: "3 equal, 1 different". */
static void put_counts(FILE *out, const uint64_t *counts, size_t size, const char *(*text)(size_t index))
{
  bool any = false;
  for (size_t i = 0; i < size; i++) {
    if (!counts[i])
      continue;
    fprintf(out, "%s%" N " %s", any ? ", " : "", counts[i], text(i));
    any = true;
  }
  fputs(any ? "\n" : "none\n", out);
}

static const char *verdict_text(size_t index)
{
  return gg_replay_verdict_text((enum gg_replay_verdict)index);
}

static const char *release_text(size_t index)
{
  return gg_replay_release_text((enum gg_replay_release)index);
}

static void put_traffic(FILE *out, const struct gg_replay_outcome *outcome)
{
  const struct gg_replay_counts *counts = &outcome->counts;
  put_name(out, "sessions");
  put_counts(out, outcome->sessions, GG_REPLAY_VERDICTS, verdict_text);
  put_name(out, "connections");
  fprintf(out, "%" N " made, %" N " refused, %" N " at once at most\n", outcome->connections_made,
          outcome->connections_refused, outcome->connections_peak);
  put_name(out, "chunks");
  fprintf(out, "%" N " sent", counts->chunks_sent);
  if (counts->chunks_unsent)
    fprintf(out, ", %" N " not", counts->chunks_unsent);
  if (counts->pieces_replaced)
    fprintf(out, ", %" N " pieces replaced by the plug-in", counts->pieces_replaced);
  if (counts->plugin_ended)
    fprintf(out, ", %" N " sessions ended by it", counts->plugin_ended);
  fputs("; released by: ", out);
  put_counts(out, counts->released, GG_REPLAY_RELEASES, release_text);
  if (outcome->waited_by_messages || outcome->waited_by_bytes) {
    put_name(out, "waited");
    fprintf(out, "%" N " sessions by messages, %" N " by bytes alone\n", outcome->waited_by_messages,
            outcome->waited_by_bytes);
  }
  put_name(out, "bytes");
  fprintf(out, "%" N " sent, %" N " received, %" N " expected\n", counts->bytes_sent, counts->bytes_received,
          counts->bytes_expected);
  put_name(out, "replies");
  fprintf(out, "%" N ": %" N " equal, %" N " different, %" N " shorter, %" N " longer\n", counts->replies,
          counts->replies_equal, counts->replies_different, counts->replies_shorter, counts->replies_longer);
  put_name(out, "server");
  fprintf(out, "%" N " time-outs, %" N " closed too early\n", counts->timeouts, counts->closed_early);
}

static void put_percentiles(FILE *out, const char *name, const struct gg_replay_percentiles *of, const char *what)
{
  char p50[GG_CLI_SPAN_MAX], p90[GG_CLI_SPAN_MAX], p99[GG_CLI_SPAN_MAX], p999[GG_CLI_SPAN_MAX], max[GG_CLI_SPAN_MAX];
  put_name(out, name);
  if (of->count == 0)
    fputs("none measured", out);
  else
    fprintf(out, "p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", gg_cli_span(of->p50_ns, p50), gg_cli_span(of->p90_ns, p90),
            gg_cli_span(of->p99_ns, p99), gg_cli_span(of->p999_ns, p999), gg_cli_span(of->max_ns, max));
  fprintf(out, " (%s)\n", what);
}

static void put_advice(FILE *out, const struct gg_replay_plan *plan, const struct gg_replay_outcome *outcome,
                       const struct gg_cli_found *found)
{
  char held[GG_CLI_SPAN_MAX];
  if (plan->opaque)
    fprintf(out,
            "Not played, because they are encrypted end to end (opaque): %" N " of %" N " sessions. Record behind the "
            "end of TLS to replay them.\n",
            plan->opaque, plan->sessions);
  if (outcome->sessions[GG_REPLAY_PARTIAL])
    fprintf(out,
            "Not played, because they have gaps or no beginning (partial): %" N " of %" N " sessions. "
            "--include-partial plays what there is of them.\n",
            plan->partial, plan->sessions);
  if (outcome->sessions_held)
    fprintf(out,
            "Begun late, by up to %s, because no more connections were allowed at once: %" N " sessions. "
            "--max-connections and the limit on descriptors (ulimit -n) say how many.\n",
            gg_cli_span(outcome->held_max_ns, held), outcome->sessions_held);
  if (found->local)
    fprintf(out,
            "Not played for want of a descriptor, a port or memory on this host, which says nothing about the server: "
            "%" N " sessions. Fewer --max-connections help, or more addresses by --source.\n",
            found->local);
}

static void put_differences(FILE *out, const struct gg_replay_outcome *outcome, const struct gg_cli_found *found)
{
  uint64_t all = outcome->sessions[GG_REPLAY_DIFFERENT];
  if (found->count == 0)
    return;
  fputs("differences:\n", out);
  for (size_t i = 0; i < found->count; i++) {
    const struct gg_cli_difference *kept = &found->first[i];
    fprintf(out, "  %s copy %" N " loop %" N " ", kept->id, kept->copy, kept->loop);
    put_difference(out, &kept->difference);
    fputc('\n', out);
  }
  if (all > found->count)
    fprintf(out, "  and %" N " sessions more: --report FILE has them all\n", all - found->count);
}

void gg_cli_put_summary(FILE *out, const struct gg_replay_plan *plan, const struct gg_replay_outcome *outcome,
                        const struct gg_cli_found *found)
{
  char took[GG_CLI_SPAN_MAX];
  uint64_t different = outcome->sessions[GG_REPLAY_DIFFERENT], unfinished = outcome->sessions[GG_REPLAY_UNFINISHED];
  uint64_t played =
    outcome->sessions_planned - outcome->sessions[GG_REPLAY_OPAQUE] - outcome->sessions[GG_REPLAY_PARTIAL];
  fprintf(out, "%s against ", outcome->partial ? "Partly played" : "Played");
  gg_cli_put_safe(out, plan->to, strlen(plan->to));
  fprintf(out, " in %s: ", gg_cli_span(outcome->elapsed_ns, took));
  if (different)
    fprintf(out, "%" N " of %" N " sessions differ\n", different, played);
  else if (unfinished || outcome->partial)
    fputs("nothing differed until it was stopped\n", out);
  else
    fputs("all as recorded\n", out);
  put_traffic(out, outcome);
  put_percentiles(out, "latency", &outcome->latency, "from when a chunk should have gone to the end of its reply");
  put_percentiles(out, "send lag", &outcome->lag, "how late we were");
  put_percentiles(out, "slip", &outcome->slip, "how much later than recorded replies were");
  put_advice(out, plan, outcome, found);
  put_differences(out, outcome, found);
}
