/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a plan: the sweep tells sessions and their pieces, and each open session gathers its records here until a
 * block of them is full or the session ends.
 *
 *   piece ──► records of one session (8, then 16, ... up to BLOCK_RECORDS_MAX) ──full──► temporary file
 *                                                              the block before gets its link ──► changed there
 *
 * So a small session is one short block, written when it ends, next to those that end about the same time; a large one
 * costs a change of one record for every BLOCK_RECORDS_MAX of its own.
 *
 * What plug-ins have sent instead of a client's bytes is recorded as a session too. A plan has it only if it is named:
 * what the client said is what is played.
 *
 * What became of a session is known at its end only: whether it matches the filter, and whether its reset was
 * somebody's or the gateway's own. Blocks of sessions that do not match stay in the temporary file unused; sessions
 * that cannot match, by what is known from their first packet, are not gathered at all.
 */
#include "replay/plan_private.h"

#include "replay/target.h"
#include "store/filter_field.h"
#include "store/hash.h"
#include "store/said.h"
#include "store/sweep.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_RECORDS_MIN = 8, BLOCK_RECORDS_MAX = 128, ENTRIES_MIN = 64, SERVICES_MIN = 64 };

struct gathering {
  struct gg_plan_record *records; /* of the present block; one is left for what ends it */
  uint32_t count, room;
  uint64_t first; /* block of the session; GG_PLAN_NOWHERE: none was written yet */
  uint64_t link;  /* of the block before, which waits to be told its next */
  uint64_t chunks, dependent;
  uint64_t late_bytes; /* of a side that had ended */
  uint64_t last_ns, reset_ns;
  bool replied; /* there are bytes of the server, or its end */
  bool ended[2];
  uint8_t head[2][GG_OPAQUE_BYTES]; /* what each side said first */
  uint8_t head_bytes[2];
};

struct service {
  uint64_t hash;
  uint32_t number;
  bool used;
};

struct making {
  struct gg_plan *plan;
  const struct gg_plan_options *options;
  char to[256]; /* as a text, as it is read from a recording; empty: none */
  struct service *services;
  size_t service_count, service_room; /* a power of two */
  struct gg_failure *failure;
  struct gg__said *said; /* who match, if the filter asks for what was said; else NULL */
};

/* ── Records of a session ────────────────────────────────────────────────────────────────────────────────────────── */

/* Writes the block, whose last record is the link or the step OVER. */
static int write_block(struct making *making, struct gathering *gathering)
{
  struct gg_spool *spool = &making->plan->spool;
  uint64_t place;
  size_t bytes = gathering->count * sizeof gathering->records[0];
  int error = gg__spool_add(spool, gathering->records, bytes, &place, making->failure);
  if (error)
    return error;
  if (gathering->first == GG_PLAN_NOWHERE) {
    gathering->first = place;
  } else {
    struct gg_plan_record link = {.where = place, .kind = GG_PLAN_LINK};
    error = gg__spool_change(spool, gathering->link, &link, sizeof link, making->failure);
  }
  gathering->link = place + bytes - sizeof gathering->records[0];
  gathering->count = 0;
  return error;
}

static int add_record(struct making *making, struct gathering *gathering, const struct gg_plan_record *record)
{
  if (gathering->count + 1 == gathering->room) {
    uint32_t room = gathering->room;
    gathering->records[gathering->count++] = (struct gg_plan_record){.where = GG_PLAN_NOWHERE, .kind = GG_PLAN_LINK};
    int error = write_block(making, gathering);
    if (error)
      return error;
    if (room < BLOCK_RECORDS_MAX) {
      struct gg_plan_record *larger = realloc(gathering->records, 2 * room * sizeof *larger);
      if (!larger)
        return gg_fail(making->failure, GG_ERR_NOMEM, "no memory for a plan");
      gathering->records = larger;
      gathering->room = 2 * room;
    }
  }
  gathering->records[gathering->count++] = *record;
  gathering->last_ns = record->time_ns > gathering->last_ns ? record->time_ns : gathering->last_ns;
  return 0;
}

static void drop_gathering(void *token)
{
  struct gathering *gathering = token;
  if (gathering)
    free(gathering->records);
  free(gathering);
}

static int begin_session(void *context, void **token, const struct gg_session *begun)
{
  struct making *making = context;
  *token = NULL;
  if (!(making->said ? gg__said_has(making->said, begun->id) : gg_filter_may_match(making->options->filter, begun)) ||
      (begun->as_sent_of[0] && !gg_filter_names_as_sent(making->options->filter, begun)))
    return 0;
  struct gathering *gathering = calloc(1, sizeof *gathering);
  if (gathering)
    gathering->records = malloc(BLOCK_RECORDS_MIN * sizeof gathering->records[0]);
  if (!gathering || !gathering->records) {
    free(gathering);
    return gg_fail(making->failure, GG_ERR_NOMEM, "no memory for a plan");
  }
  gathering->room = BLOCK_RECORDS_MIN;
  gathering->first = GG_PLAN_NOWHERE;
  *token = gathering;
  return 0;
}

/* ── Pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_head(struct gathering *gathering, const struct gg_sweep_piece *piece)
{
  uint8_t have = gathering->head_bytes[piece->side];
  if (have == GG_OPAQUE_BYTES || piece->offset != have)
    return;
  size_t room = (size_t)GG_OPAQUE_BYTES - have, take = piece->length < room ? piece->length : room;
  memcpy(gathering->head[piece->side] + have, piece->data, take);
  gathering->head_bytes[piece->side] = (uint8_t)(have + take);
}

static int add_bytes(struct making *making, struct gathering *gathering, const struct gg_sweep_piece *piece)
{
  bool client = piece->side == GG_SIDE_CLIENT;
  int error = 0;
  take_head(gathering, piece);
  for (uint32_t done = 0, take; done < piece->length && !error; done += take) {
    uint32_t left = piece->length - done;
    take = left < GG_STEP_BYTES_MAX ? left : GG_STEP_BYTES_MAX;
    struct gg_plan_record record = {.time_ns = piece->time_ns,
                                    .offset = piece->offset + done,
                                    .where = piece->place + done,
                                    .file = piece->file,
                                    .length_less_one = (uint16_t)(take - 1),
                                    .kind = client ? GG_STEP_SEND : GG_STEP_EXPECT,
                                    .begins_chunk = piece->begins_chunk && done == 0};
    if (piece->place == UINT64_MAX) {
      record.file = GG_CACHE_SPOOL;
      error = gg__spool_add(&making->plan->spool, piece->data + done, take, &record.where, making->failure);
    }
    if (!error)
      error = add_record(making, gathering, &record);
  }
  if (client && piece->begins_chunk) {
    gathering->chunks++;
    gathering->dependent += gathering->replied;
  }
  gathering->replied |= !client;
  return error;
}

static int add_gap(struct making *making, struct gathering *gathering, const struct gg_sweep_piece *piece, uint64_t gap)
{
  bool client = piece->side == GG_SIDE_CLIENT;
  struct gg_plan_record record = {.time_ns = piece->time_ns,
                                  .offset = piece->offset,
                                  .where = gap,
                                  .kind = client ? GG_STEP_SEND_GAP : GG_STEP_EXPECT_GAP};
  gathering->replied |= !client;
  return add_record(making, gathering, &record);
}

static int take_piece(void *context, void **token, const struct gg_sweep_piece *piece)
{
  struct making *making = context;
  struct gathering *gathering = *token;
  bool client = piece->side == GG_SIDE_CLIENT;
  if (!gathering)
    return 0;
  switch (piece->kind) {
  case GG_SWEEP_BYTES:
    if (!gathering->ended[piece->side])
      return add_bytes(making, gathering, piece);
    /* No TCP sends behind its own end: another session's packets, perhaps. They cannot be played. */
    gathering->late_bytes += piece->length;
    return add_gap(making, gathering, piece, piece->length);
  case GG_SWEEP_GAP:
    return add_gap(making, gathering, piece, piece->gap);
  case GG_SWEEP_FIN: {
    struct gg_plan_record record = {
      .time_ns = piece->time_ns, .offset = piece->offset, .kind = client ? GG_STEP_SEND_END : GG_STEP_EXPECT_END};
    gathering->ended[piece->side] = true;
    gathering->replied |= !client;
    return add_record(making, gathering, &record);
  }
  case GG_SWEEP_RST: /* whose it is, is said by the session's end; nothing can be played behind it */
    gathering->reset_ns = piece->time_ns;
    return 0;
  }
  return 0;
}

/* ── What is known of a session at its end ───────────────────────────────────────────────────────────────────────── */

/* Whether its client was let in and led to nothing. In captures of others: nothing or a reset answered its SYN. */
static bool was_refused(const struct gg_session *session)
{
  if (!session->foreign)
    return strncmp(session->close, "connect-", 8) == 0 || strcmp(session->close, "unresolved") == 0;
  if (session->beginning_missing || session->bytes[GG_SIDE_CLIENT] > 0 || session->bytes[GG_SIDE_SERVER] > 0)
    return false;
  uint64_t answers = session->packets[GG_SIDE_SERVER];
  return answers == 0 || (answers == 1 && strcmp(session->close, "server-reset") == 0);
}

static int add_closing(struct making *making, struct gathering *gathering, const struct gg_session *session,
                       bool refused)
{
  bool client = strcmp(session->close, "client-reset") == 0;
  bool server = strcmp(session->close, "server-reset") == 0 && !refused;
  struct gg_plan_record record = {.time_ns = gathering->reset_ns ? gathering->reset_ns : session->end_ns,
                                  .kind = client ? GG_STEP_SEND_RESET : GG_STEP_EXPECT_RESET};
  if (record.time_ns < gathering->last_ns)
    record.time_ns = gathering->last_ns;
  int error = client || server ? add_record(making, gathering, &record) : 0;
  if (error)
    return error;
  record = (struct gg_plan_record){.time_ns = session->end_ns, .kind = GG_STEP_OVER};
  assert(gathering->count < gathering->room);
  gathering->records[gathering->count++] = record;
  return write_block(making, gathering);
}

static struct service *service_slot(struct service *services, size_t room, uint64_t hash)
{
  size_t at = (size_t)hash & (room - 1);
  while (services[at].used && services[at].hash != hash)
    at = (at + 1) & (room - 1);
  return &services[at];
}

static int grow_services(struct making *making)
{
  size_t room = making->service_room ? making->service_room * 2 : SERVICES_MIN;
  struct service *larger = calloc(room, sizeof *larger);
  if (!larger)
    return gg_fail(making->failure, GG_ERR_NOMEM, "no memory for a plan");
  for (size_t i = 0; i < making->service_room; i++)
    if (making->services[i].used)
      *service_slot(larger, room, making->services[i].hash) = making->services[i];
  free(making->services);
  making->services = larger;
  making->service_room = room;
  return 0;
}

/* Listener and what was dialled, by a hash of 64 bits that nobody can aim at. */
static int number_service(struct making *making, const struct gg_session *session, uint32_t *number)
{
  char key[512];
  const char *dialled = session->server_path[0] ? session->server_path : session->server;
  int length = snprintf(key, sizeof key, "%s\n%s", dialled, session->listener);
  uint64_t hash = gg__hash(key, (size_t)length < sizeof key ? (size_t)length : sizeof key - 1);
  int error = making->service_count * 2 >= making->service_room ? grow_services(making) : 0;
  if (error)
    return error;
  struct service *service = service_slot(making->services, making->service_room, hash);
  if (!service->used)
    *service = (struct service){hash, (uint32_t)making->service_count++, true};
  *number = service->number;
  return 0;
}

/* Whether what a recording calls `text` is where this plan goes to. */
static bool is_to(const struct making *making, const char *text)
{
  struct gg_addr addr;
  if (strcmp(text, making->to) == 0)
    return true;
  if (gg_addr_parse(&addr, text) != 0)
    return false;
  gg__target_settle(&addr);
  return gg_addr_equal(&addr, &making->options->to->addr);
}

/* A unix listener's clients have dialled its path; the recording's address for it is made up. */
static enum gg_plan_original original_of(const struct making *making, const struct gg_session *session)
{
  if (!making->to[0])
    return GG_PLAN_ORIGINAL_NONE;
  if (is_to(making, session->upstream))
    return GG_PLAN_ORIGINAL_UPSTREAM;
  bool dialled = session->server_path[0]
                   ? strncmp(making->to, "unix:", 5) == 0 && strcmp(making->to + 5, session->server_path) == 0
                   : is_to(making, session->server);
  return dialled ? GG_PLAN_ORIGINAL_DIALLED : GG_PLAN_ORIGINAL_NONE;
}

static enum gg_plan_opaque opaque_of(const struct gathering *gathering)
{
  const char *name =
    gg__opaque_name(gathering->head[0], gathering->head_bytes[0], gathering->head[1], gathering->head_bytes[1]);
  if (!name)
    return GG_PLAN_CLEAR;
  return strcmp(name, "TLS") == 0 ? GG_PLAN_TLS : GG_PLAN_SSH;
}

static int add_ends(struct making *making, struct gg_plan_entry *entry, const struct gg_session *session)
{
  char texts[sizeof session->client + sizeof session->server];
  size_t first = strlen(session->client) + 1, second = strlen(session->server) + 1;
  memcpy(texts, session->client, first);
  memcpy(texts + first, session->server, second);
  entry->ends_bytes = (uint8_t)(first + second);
  return gg__spool_add(&making->plan->spool, texts, first + second, &entry->ends, making->failure);
}

static int add_entry(struct making *making, const struct gg_plan_entry *entry)
{
  struct gg_plan *plan = making->plan;
  if (plan->count == plan->room) {
    size_t room = plan->room ? plan->room * 2 : ENTRIES_MIN;
    struct gg_plan_entry *larger = realloc(plan->entries, room * sizeof *larger);
    if (!larger)
      return gg_fail(making->failure, GG_ERR_NOMEM, "no memory for a plan of %zu sessions", room);
    plan->entries = larger;
    plan->room = room;
  }
  plan->entries[plan->count++] = *entry;
  return 0;
}

static int keep_session(struct making *making, struct gathering *gathering, const struct gg_session *session)
{
  bool refused = was_refused(session);
  struct gg_plan_entry entry = {.id = gg_session_id_of(session->id),
                                .start_ns = session->start_ns,
                                .end_ns = session->end_ns,
                                .bytes = {session->bytes[0], session->bytes[1]},
                                .chunks = gathering->chunks,
                                .dependent = gathering->dependent,
                                .gaps = session->gaps[0] + session->gaps[1] + gathering->late_bytes,
                                .opaque = (uint8_t)opaque_of(gathering),
                                .original = (uint8_t)original_of(making, session),
                                .refused = refused,
                                .beginning_missing = session->beginning_missing};
  int error = add_ends(making, &entry, session);
  if (!error)
    error = number_service(making, session, &entry.service);
  if (!error)
    error = add_closing(making, gathering, session, refused);
  entry.first = gathering->first;
  return error ? error : add_entry(making, &entry);
}

static int end_session(void *context, void **token, const struct gg_session *session)
{
  struct making *making = context;
  struct gathering *gathering = *token;
  int error = 0;
  if (gathering && (making->said || gg_filter_match(making->options->filter, session)))
    error = keep_session(making, gathering, session);
  drop_gathering(gathering);
  return error;
}

/* ── The plan ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int take_file(void *context, uint32_t index, const char *path)
{
  struct making *making = context;
  assert(index == making->plan->cache.file_count);
  int error = gg__cache_add(&making->plan->cache, path);
  return error ? gg_fail(making->failure, error, "no memory for a plan") : 0;
}

static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  const struct making *making = context;
  return !making->options->progress || making->options->progress(making->options->context, done, total);
}

static void tell_warning(void *context, const char *text)
{
  const struct making *making = context;
  if (making->options->warning)
    making->options->warning(making->options->context, text);
}

static int by_start(const void *a, const void *b)
{
  const struct gg_plan_entry *left = a, *right = b;
  if (left->start_ns != right->start_ns)
    return left->start_ns < right->start_ns ? -1 : 1;
  return memcmp(&left->id, &right->id, sizeof left->id);
}

static const struct gg_sweep_ops making_ops = {
  .file = take_file,
  .begin = begin_session,
  .piece = take_piece,
  .end = end_session,
  .progress = tell_progress,
  .warning = tell_warning,
};

/* Texts of a recording are made safe to print when they are read. */
static void put_to(struct making *making, const struct gg_endpoint *to)
{
  char text[sizeof to->host + sizeof to->path];
  size_t used, length = gg_endpoint_format(to, text, sizeof text);
  gg_text_printable((const uint8_t *)text, length, false, making->to, sizeof making->to, &used);
}

static int make(struct gg_plan *plan, const struct gg_plan_options *options, struct gg_failure *failure)
{
  struct making making = {.plan = plan, .options = options, .failure = failure};
  if (options->to)
    put_to(&making, options->to);
  int error = gg__cache_init(&plan->cache);
  if (error)
    return gg_fail(failure, error, "no memory for a plan");
  error = gg__spool_init(&plan->spool, failure);
  if (!error)
    error = gg__said_find(&making.said, options->path, options->filter, failure);
  if (!error)
    error = gg_sweep(options->path, options->filter, &making_ops, drop_gathering, &making, failure);
  free(making.services);
  gg__said_destroy(making.said);
  if (!error)
    error = gg__spool_finish(&plan->spool, failure);
  plan->cache.spool = plan->spool.fd;
  if (!error && plan->count > 1)
    qsort(plan->entries, plan->count, sizeof plan->entries[0], by_start);
  return error;
}

int gg__plan_create(struct gg_plan **out, const struct gg_plan_options *options, struct gg_failure *failure)
{
  *out = NULL;
  struct gg_plan *plan = calloc(1, sizeof *plan);
  if (!plan)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a plan");
  plan->script.ops = &gg__plan_ops;
  plan->spool.fd = -1;
  int error = make(plan, options, failure);
  if (error) {
    gg__plan_destroy(plan);
    return error;
  }
  *out = plan;
  return 0;
}
