/* SPDX-License-Identifier: Apache-2.0 */
#include "store/understanding.h"

#include "proto/decoding.h"
#include "store/findings.h"
#include "store/reader.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)GG_UNDERSTANDING_DECODERS_MAX == (int)GG__MORE_DECODERS_MAX, "a decoding takes as many");
enum { PATH_BYTES_MAX = 4096, BEHIND_MAX = 1 << 20 };

/* ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What was found in one session. */
struct session {
  struct session *next;
  char id[25];
  const char *protocol;
  uint64_t packets;
  bool ended;
  struct fact *facts, **tail;
};

struct fact {
  struct fact *next;
  const char *field;
  uint64_t number;
  bool is_number, sets;
  char text[];
};

struct gg__understood {
  struct session *first, **tail;
  size_t count;
  uint64_t bytes;
};

void gg__understood_destroy(struct gg__understood *batch)
{
  while (batch && batch->first) {
    struct session *session = batch->first;
    batch->first = session->next;
    while (session->facts) {
      struct fact *fact = session->facts;
      session->facts = fact->next;
      free(fact);
    }
    free(session);
  }
  free(batch);
}

bool gg__understood_is_empty(const struct gg__understood *batch)
{
  return !batch->first;
}

static int put_facts(const struct session *session, struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  int error = session->protocol[0] ? gg__catalogue_set_protocol(catalogue, session->id, session->protocol, failure) : 0;
  for (const struct fact *fact = session->facts; fact && !error; fact = fact->next) {
    const char *text = fact->is_number ? NULL : fact->text;
    const uint64_t *number = fact->is_number ? &fact->number : NULL;
    error = fact->sets ? gg__catalogue_fact_set(catalogue, session->id, fact->field, text, number, failure)
                       : gg__catalogue_fact(catalogue, session->id, fact->field, text, number, failure);
  }
  return error ? error : gg__catalogue_decoded(catalogue, session->id, session->packets, session->ended, failure);
}

int gg__understood_put(const struct gg__understood *batch, struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  int error = gg__catalogue_begin(catalogue, failure);
  for (const struct session *session = batch->first; session && !error; session = session->next) {
    struct gg_failure gone = GG_FAILURE_INIT;
    error = put_facts(session, catalogue, &gone);
    if (error == GG_ERR_NOT_FOUND)
      error = 0;
    else if (error && failure)
      *failure = gone;
  }
  if (!error)
    return gg__catalogue_commit(catalogue, failure);
  gg__catalogue_abandon(catalogue);
  return error;
}

/* ── Decoding one session ────────────────────────────────────────────────────────────────────────────────────────── */

/* A session on its way, with what is known of it. */
struct live {
  struct gg__record *record; /* its reader's */
  struct gg_reader *reader;
  struct gg_decoding *decoding;
  struct gg__findings *findings;
  uint64_t used; /* turn in which it was looked at last */
};

struct gg__understanding {
  struct gg__understanding_options options;
  char path[PATH_BYTES_MAX];
  struct gg__catalogue *catalogue;
  uint64_t from;       /* revision: what was written before has been decoded */
  uint64_t open_at_ns; /* when those that are open are looked at again ... */
  uint64_t open_from;  /* ... on from this number; while `in_open` */
  bool in_open;
  uint64_t count_at_ns;
  struct live live[GG_UNDERSTANDING_LIVE_MAX];
  size_t live_count;
  uint64_t turn;
  struct gg__understanding_stats stats;
  const struct gg_decoder **more; /* of plug-ins */
  size_t more_count;

  struct gg__understood *batch; /* of the step under way */
  bool stopped;
};

static void end_live(struct live *live)
{
  gg_reader_close(live->reader);
  gg_decoding_destroy(live->decoding);
  gg__findings_destroy(live->findings);
  gg__record_free(live->record);
  *live = (struct live){0};
}

static int begin_live(const struct gg__understanding *understanding, struct live *live, struct gg__record *record,
                      struct gg_failure *failure)
{
  *live = (struct live){.record = record};
  int error = gg__findings_create(&live->findings);
  if (error)
    return gg_fail(failure, error, "no memory for what is found in a session");
  const struct gg_message_sink sink = gg__findings_sink(live->findings);
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.beginning_missing = record->session.beginning_missing;
  options.more = understanding->more;
  options.more_count = understanding->more_count;
  error = gg_decoding_create(&live->decoding, &options, &sink, failure);
  if (!error)
    error = gg__reader_open(&live->reader, record, failure);
  if (!error)
    gg__reader_yield(live->reader); /* else sessions would stay whose later segments have gone already */
  return error;
}

/* The same session, which has grown. Its record is replaced. */
static int go_on(struct live *live, struct gg__record *record, struct gg_failure *failure)
{
  int error = gg_decoding_is_over(live->decoding) ? 0 : gg__reader_go_on(live->reader, record, failure);
  gg__record_free(live->record);
  live->record = record;
  return error;
}

static bool asked_to_stop(struct gg__understanding *understanding)
{
  const struct gg__understanding_options *options = &understanding->options;
  understanding->stopped = understanding->stopped || (options->goes_on && !options->goes_on(options->context));
  return understanding->stopped;
}

/* All that is recorded of it. What cannot be read any more is left out: others will not find it there either. */
static void read_on(struct gg__understanding *understanding, struct live *live, bool ended)
{
  struct gg_failure why = GG_FAILURE_INIT;
  struct gg_chunk chunk;
  gg__reader_follow(live->reader, !ended);
  while (!gg_decoding_is_over(live->decoding) && !asked_to_stop(understanding)) {
    int read = gg__reader_step(live->reader, &chunk, &why);
    understanding->stats.failed += read < 0;
    if (read <= GG__READ_END)
      return;
    if (read == GG__READ_FIN)
      gg_decoding_end(live->decoding, chunk.side, chunk.time_ns);
    else if (chunk.gap)
      gg_decoding_gap(live->decoding, chunk.side, chunk.offset, chunk.gap, chunk.time_ns);
    else
      gg_decoding_push(live->decoding, chunk.side, chunk.offset, chunk.time_ns, chunk.data, chunk.length);
    understanding->stats.bytes += chunk.length;
    understanding->batch->bytes += chunk.length;
  }
}

static int keep_fact(void *context, const struct gg__finding *finding)
{
  struct session *session = context;
  size_t bytes = finding->text ? strlen(finding->text) + 1 : 1;
  struct fact *fact = malloc(sizeof *fact + bytes);
  if (!fact)
    return GG_ERR_NOMEM;
  *fact = (struct fact){
    .field = finding->field, .number = finding->number, .is_number = !finding->text, .sets = finding->sets};
  memcpy(fact->text, finding->text ? finding->text : "", bytes);
  *session->tail = fact;
  session->tail = &fact->next;
  return 0;
}

/* What is new of it goes into the batch. */
static int hand_in(struct gg__understanding *understanding, const struct live *live)
{
  const struct gg_session *recorded = &live->record->session;
  struct session *session = calloc(1, sizeof *session);
  if (!session)
    return GG_ERR_NOMEM;
  memcpy(session->id, recorded->id, sizeof session->id);
  session->protocol = gg__findings_protocol(live->findings);
  session->packets = recorded->packets[0] + recorded->packets[1];
  session->ended = recorded->state == GG_SESSION_CLOSED;
  session->tail = &session->facts;
  struct gg__understood *batch = understanding->batch;
  *batch->tail = session;
  batch->tail = &session->next;
  batch->count++;
  understanding->stats.sessions++;
  return gg__findings_each(live->findings, keep_fact, session);
}

/* ── Those that are open ─────────────────────────────────────────────────────────────────────────────────────────── */

static struct live *find_live(struct gg__understanding *understanding, const char *id)
{
  for (size_t i = 0; i < understanding->live_count; i++)
    if (strcmp(understanding->live[i].record->session.id, id) == 0)
      return &understanding->live[i];
  return NULL;
}

static void drop_live(struct gg__understanding *understanding, struct live *live)
{
  end_live(live);
  *live = understanding->live[--understanding->live_count];
}

static struct live *oldest(struct gg__understanding *understanding)
{
  struct live *oldest = &understanding->live[0];
  for (size_t i = 1; i < understanding->live_count; i++)
    if (understanding->live[i].used < oldest->used)
      oldest = &understanding->live[i];
  return oldest;
}

/* Keeps it for the next time, in the place of those that have not grown for longest. */
static void keep_live(struct gg__understanding *understanding, struct live *live)
{
  size_t bytes = gg_decoding_memory(live->decoding);
  for (size_t i = 0; i < understanding->live_count; i++)
    bytes += gg_decoding_memory(understanding->live[i].decoding);
  while (understanding->live_count > 0 &&
         (understanding->live_count == GG_UNDERSTANDING_LIVE_MAX || bytes > GG_UNDERSTANDING_LIVE_BYTES)) {
    struct live *gone = oldest(understanding);
    bytes -= gg_decoding_memory(gone->decoding);
    drop_live(understanding, gone);
  }
  understanding->live[understanding->live_count++] = *live;
}

/* ── One session of the catalogue ────────────────────────────────────────────────────────────────────────────────── */

static int take(struct gg__understanding *understanding, struct gg__record *record, struct gg_failure *failure)
{
  struct live *known = find_live(understanding, record->session.id), own;
  bool ended = record->session.state == GG_SESSION_CLOSED;
  int error = 0;
  if (known && go_on(known, record, NULL) == 0) {
    own = *known;
    *known = understanding->live[--understanding->live_count];
  } else {
    if (known) { /* its segment has gone, and its record with it: what is left is for when it ends */
      drop_live(understanding, known);
      return 0;
    }
    error = begin_live(understanding, &own, record, failure);
  }
  if (!error) {
    read_on(understanding, &own, ended);
    if (ended && !understanding->stopped)
      gg_decoding_finish(own.decoding, record->session.end_ns);
    error = understanding->stopped ? GG_ERR_CLOSED : hand_in(understanding, &own);
    if (error)
      gg_fail(failure, error, error == GG_ERR_CLOSED ? "decoding was given up" : "no memory for what was found");
  }
  own.used = ++understanding->turn;
  if (error || ended)
    end_live(&own);
  else
    keep_live(understanding, &own);
  return error;
}

struct taking {
  struct gg__understanding *understanding;
  struct gg__record *records[GG_UNDERSTANDING_BATCH];
  size_t count;
};

static int list(void *context, struct gg__record *record)
{
  struct taking *taking = context;
  taking->records[taking->count++] = record;
  return 0;
}

static bool is_full(const struct gg__understanding *understanding)
{
  return understanding->batch->count >= GG_UNDERSTANDING_BATCH ||
         understanding->batch->bytes >= GG_UNDERSTANDING_BATCH_BYTES;
}

/* Decodes what the catalogue lists. `*all`: there are no others. */
static int take_listed(struct gg__understanding *understanding, bool open, uint64_t from, uint64_t *next, bool *all,
                       struct gg_failure *failure)
{
  struct taking *taking = malloc(sizeof *taking);
  if (!taking)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the sessions of the catalogue");
  taking->understanding = understanding;
  taking->count = 0;
  size_t room = GG_UNDERSTANDING_BATCH - understanding->batch->count;
  int error = gg__catalogue_undecoded(understanding->catalogue, open, from, room, list, taking, next, failure);
  *all = taking->count < room;
  for (size_t i = 0; i < taking->count; i++) {
    struct gg__record *record = taking->records[i];
    if (!error && is_full(understanding)) { /* the rest is listed again; of those that are open, at the next look */
      *next = open ? *next : from;
      *all = false;
    }
    uint64_t bytes = record->session.bytes[0] + record->session.bytes[1];
    bool too_much = open && bytes > GG_UNDERSTANDING_AGAIN_BYTES && understanding->live_count > 0 &&
                    !find_live(understanding, record->session.id) &&
                    understanding->live_count == GG_UNDERSTANDING_LIVE_MAX;
    if (error || is_full(understanding) || too_much)
      gg__record_free(record);
    else
      error = take(understanding, record, failure);
  }
  free(taking);
  return error;
}

/* ── The public side ─────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__understanding_create(struct gg__understanding **out, const struct gg__understanding_options *options,
                             struct gg_failure *failure)
{
  struct gg__understanding *understanding = calloc(1, sizeof *understanding);
  *out = understanding;
  if (!understanding)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for decoding sessions");
  understanding->options = *options;
  int length = snprintf(understanding->path, sizeof understanding->path, "%s/catalogue.db", options->store);
  if (length >= 0 && (size_t)length < sizeof understanding->path)
    return 0;
  gg__understanding_destroy(understanding);
  *out = NULL;
  return gg_fail(failure, GG_ERR_RANGE, "the path %s is too long", options->store);
}

void gg__understanding_destroy(struct gg__understanding *understanding)
{
  if (!understanding)
    return;
  while (understanding->live_count)
    drop_live(understanding, &understanding->live[0]);
  gg__catalogue_close(understanding->catalogue);
  free(understanding->more);
  free(understanding);
}

static int look_at_open(struct gg__understanding *understanding, uint64_t now_ns, struct gg_failure *failure)
{
  if (!understanding->in_open) {
    if (now_ns < understanding->open_at_ns)
      return 0;
    understanding->in_open = true;
    understanding->open_from = 0;
    understanding->open_at_ns = now_ns + GG_UNDERSTANDING_OPEN_NS;
  }
  bool all = false;
  int error = take_listed(understanding, true, understanding->open_from, &understanding->open_from, &all, failure);
  understanding->in_open = !all;
  return error;
}

/* It takes a look at each of them, so not after every batch. */
static int count_behind(struct gg__understanding *understanding, uint64_t now_ns, struct gg_failure *failure)
{
  if (now_ns < understanding->count_at_ns)
    return 0;
  understanding->count_at_ns = now_ns + GG_UNDERSTANDING_OPEN_NS;
  return gg__catalogue_undecoded_count(understanding->catalogue, understanding->from, BEHIND_MAX,
                                       &understanding->stats.behind, failure);
}

int gg__understanding_step(struct gg__understanding *understanding, uint64_t now_ns, struct gg__understood **out,
                           bool *more, struct gg_failure *failure)
{
  *out = NULL;
  *more = false;
  if (understanding->catalogue && gg__catalogue_moved(understanding->catalogue)) {
    gg__catalogue_close(understanding->catalogue);
    understanding->catalogue = NULL;
    understanding->from = 0;
    while (understanding->live_count)
      drop_live(understanding, &understanding->live[0]);
  }
  int error = understanding->catalogue
                ? 0
                : gg__catalogue_open(&understanding->catalogue, understanding->path, GG__CATALOGUE_READ, failure);
  if (error)
    return error;
  struct gg__understood *batch = calloc(1, sizeof *batch);
  if (!batch)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for what is found in sessions");
  batch->tail = &batch->first;
  understanding->batch = batch;
  bool all = false;
  uint64_t next = understanding->from;
  error = take_listed(understanding, false, understanding->from, &next, &all, failure);
  if (!error && all)
    error = look_at_open(understanding, now_ns, failure);
  if (!error)
    error = count_behind(understanding, now_ns, failure);
  understanding->batch = NULL;
  if (error) {
    gg__understood_destroy(batch);
    return error;
  }
  understanding->stats.behind -=
    batch->count < understanding->stats.behind ? batch->count : understanding->stats.behind;
  understanding->from = next; /* those that are in the batch are listed until it is put, and not any more then */
  *more = !all || understanding->in_open;
  *out = batch;
  return 0;
}

void gg__understanding_again(struct gg__understanding *understanding)
{
  understanding->from = 0;
  while (understanding->live_count)
    drop_live(understanding, &understanding->live[0]);
}

int gg__understanding_decoders(struct gg__understanding *understanding, const struct gg_decoder *const *more,
                               size_t count, struct gg_failure *failure)
{
  while (understanding->live_count)
    drop_live(understanding, &understanding->live[0]);
  free(understanding->more);
  understanding->more = NULL;
  understanding->more_count = 0;
  if (count == 0)
    return 0;
  understanding->more = malloc(count * sizeof *more);
  if (!understanding->more)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the plug-ins' decoders");
  memcpy(understanding->more, more, count * sizeof *more);
  understanding->more_count = count;
  return 0;
}

void gg__understanding_stats(const struct gg__understanding *understanding, struct gg__understanding_stats *out)
{
  *out = understanding->stats;
}
