/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of a catalogue as text: what it is made of decides every byte, not in which order or how often it was put. What
 * decoders have found is left out: that comes later, at any time.
 * Numbers of rows and batches are left out; segments go by their names. Sessions without an end are told as such:
 * whether they are open or cut is a matter of the gateway, not of the recording.
 */
#include "store/catalogue_private.h"
#include "store/filter_field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_texts(FILE *out, sqlite3_stmt *statement, int count)
{
  for (int i = 0; i < count; i++)
    fprintf(out, "%s%s", i ? " | " : "", gg__column_text(statement, i));
  fputc('\n', out);
}

static int dump_rows(struct gg__catalogue *catalogue, FILE *out, const char *name, const char *sql,
                     struct gg_failure *failure)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(catalogue->db, sql, -1, &statement, NULL);
  int count = sqlite3_column_count(statement);
  while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    fprintf(out, "%s ", name);
    put_texts(out, statement, count);
    code = SQLITE_OK;
  }
  sqlite3_finalize(statement);
  return code == SQLITE_DONE ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
}

static void put_pair(FILE *out, const char *name, const uint64_t pair[2])
{
  fprintf(out, " %s=%" PRIu64 "/%" PRIu64, name, pair[0], pair[1]);
}

static void put_first(FILE *out, const struct gg__part *part)
{
  for (int side = 0; side < 2; side++) {
    fprintf(out, " first%d=", side);
    for (uint8_t i = 0; i < part->first_length[side]; i++)
      fprintf(out, "%02x", part->first[side][i]);
  }
}

static void put_part(FILE *out, const struct gg__part *part)
{
  char ends[3][GG_ADDR_TEXT_MAX];
  gg_addr_format(&part->end[0], ends[0], sizeof ends[0]);
  gg_addr_format(&part->end[1], ends[1], sizeof ends[1]);
  gg_addr_format(&part->gateway, ends[2], sizeof ends[2]);
  fprintf(out, "part %s %s offsets=%" PRIu64 "..%" PRIu64 "+%" PRIu32 " times=%" PRIu64 "..%" PRIu64, part->id,
          part->capture->name, part->first_offset, part->last_offset, part->last_bytes, part->start_ns, part->end_ns);
  put_pair(out, "bytes", part->bytes);
  put_pair(out, "packets", part->packets);
  put_pair(out, "gaps", part->gaps);
  put_pair(out, "offset", part->offset);
  put_pair(out, "received", part->received);
  put_pair(out, "forwarded", part->forwarded);
  put_pair(out, "closing_gaps", part->closing_gaps);
  put_pair(out, "masked", part->masked);
  put_first(out, part);
  fprintf(
    out,
    " ends=%s,%s,%s initial=%" PRIu32 " flags=%d%d%d%d%d seen=%d history=%s texts=%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s",
    ends[0], ends[1], ends[2], part->initial, part->foreign, part->begins, part->continued, part->closed, part->counted,
    part->seen, part->history.text, part->client, part->server, part->listener, part->upstream, part->server_path,
    part->close, part->why, part->original, part->as_sent_of, part->verdict, part->verdict_by, part->tags);
  for (uint32_t i = 0; part->extents && i < part->extent_count; i++)
    fprintf(out, " %" PRIu64 "-%" PRIu64, part->extents[i].first, part->extents[i].end);
  fputc('\n', out);
}

static void put_session(FILE *out, const struct gg_session *session)
{
  fprintf(out, "session %s state=%s", session->id, session->state == GG_SESSION_CLOSED ? "closed" : "unclosed");
  for (size_t i = 0; i < session->tag_count; i++)
    fprintf(out, " tag=%s", session->tags[i]);
  if (session->held)
    fputs(" held", out);
  const struct gg__column *column;
  for (size_t i = 0; (column = gg__column_at(i)); i++) {
    struct gg__sql_value value;
    uint8_t scratch[GG__ADDRESS_KEY_BYTES];
    gg__column_value(column, session, scratch, &value);
    if (strcmp(column->name, "protocol") == 0)
      continue;
    if (value.kind == GG__SQL_TEXT)
      fprintf(out, " %s=%.*s", column->name, (int)value.length, (const char *)value.data);
    else if (value.kind == GG__SQL_INTEGER && strcmp(column->name, "state") != 0)
      fprintf(out, " %s=%" PRIu64, column->name,
              column->wide ? gg__sql_to_u64(value.integer) : (uint64_t)value.integer);
  }
  fputc('\n', out);
}

static int dump_sessions(struct gg__catalogue *catalogue, FILE *out, struct gg_failure *failure)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(catalogue->db, "SELECT number FROM sessions ORDER BY id", -1, &statement, NULL);
  int error = code == SQLITE_OK ? 0 : gg__catalogue_fail(catalogue, code, "read", failure);
  while (!error && (code = sqlite3_step(statement)) == SQLITE_ROW) {
    struct gg__record *record = NULL;
    error = gg__catalogue_load(catalogue, sqlite3_column_int64(statement, 0), true, &record, failure);
    if (error || !record)
      break;
    put_session(out, &record->session);
    for (const struct gg__part *part = record->parts; part; part = part->next_of_session)
      put_part(out, part);
    gg__record_free(record);
  }
  if (!error && code != SQLITE_DONE)
    error = gg__catalogue_fail(catalogue, code, "read", failure);
  sqlite3_finalize(statement);
  return error;
}

/* Over protocols, as decoders name those. Back from what gg__sql_from_u64 has made of them. */
#define SUM(column) "sum(" column " + 9223372036854775807 + 1)"

static const struct {
  const char *name, *sql;
} tables[] = {
  {"segment", "SELECT name, scanned, first_ns, last_ns, scattered, complete FROM segments ORDER BY name"},
  {"place", "SELECT name, id FROM places JOIN segments ON segments.number = segment JOIN sessions ON"
            " sessions.number = session ORDER BY name, id"},
  {"tag", "SELECT tag, id FROM tags JOIN sessions ON number = session ORDER BY tag, id"},
  {"mark", "SELECT id, held, added, removed FROM marks ORDER BY id"},
  {"total", "SELECT hour, listener, close, " SUM("sessions") ", " SUM("bytes_client") ", " SUM("bytes_server") ", " SUM(
              "gaps_client") ", " SUM("gaps_server") " FROM totals GROUP BY hour, listener, close"
                                                     " ORDER BY hour, listener, close"},
};

int gg__catalogue_dump(struct gg__catalogue *catalogue, int fd, struct gg_failure *failure)
{
  int copy = dup(fd);
  FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
  if (!out) {
    int error = gg_fail_errno(failure, errno, "cannot write the dump");
    if (copy >= 0)
      close(copy);
    return error;
  }
  int error = gg__catalogue_hold(catalogue, failure);
  if (!error) {
    error = dump_sessions(catalogue, out, failure);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && !error; i++)
      error = dump_rows(catalogue, out, tables[i].name, tables[i].sql, failure);
    gg__catalogue_release(catalogue);
  }
  bool written = fclose(out) == 0;
  return error || written ? error : gg_fail_errno(failure, errno, "cannot write the dump");
}
