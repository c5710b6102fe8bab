/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds sessions by reading the headers of all segments, several at a time.
 *
 *   threads:   each takes the next segment that has changed ──► its parts (capture.c)
 *   then, one thread:   parts that changed ──► records by session id ──► stale records are made anew from their parts
 *
 * Threads share nothing but the number of the next segment, so none of this needs a lock. Memory is one record a
 * session and one part a session and segment, whatever the recording's size.
 * Rejected: cutting large segments into ranges for several threads. Blocks have no marks to find them by, and a store
 * that is large has many segments anyway.
 */
#include "store/source.h"

#include "store/hash.h"
#include "store/marks.h"
#include "store/tags.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64, RECORDS_MIN = 1024 };

struct scan {
  struct gg__source source;
  struct gg__place place;
  struct gg__life life; /* as it was before the last reading */
  unsigned threads;
  struct gg__scan_limits limits; /* none: every file is read */
  struct gg__capture **captures; /* in order of their names */
  size_t capture_count, capture_room;
  struct gg__capture *gone; /* files that were there: what their sessions said is still pointed to */
  uint64_t listing;         /* counts looks at the folder */
  struct gg__record **buckets;
  size_t bucket_count; /* a power of two */
  size_t record_count;
};

static struct scan *scan_of(struct gg__source *source)
{
  return (struct scan *)source;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int by_name(const void *a, const void *b)
{
  const struct gg__capture *const *left = a, *const *right = b;
  return strcmp((*left)->name, (*right)->name);
}

static struct gg__capture *find_known(const struct scan *scan, size_t count, const char *name)
{
  const struct gg__capture key = {.name = name}, *key_pointer = &key;
  struct gg__capture **found =
    count > 0 ? bsearch(&key_pointer, scan->captures, count, sizeof(struct gg__capture *), by_name) : NULL;
  return found ? *found : NULL;
}

static int add_capture(struct scan *scan, const char *name)
{
  if (scan->capture_count == GG_PLACE_FILES_MAX)
    return GG_ERR_LIMIT;
  if (scan->capture_count == scan->capture_room) {
    size_t room = scan->capture_room ? scan->capture_room * 2 : 64;
    struct gg__capture **larger = realloc(scan->captures, room * sizeof(struct gg__capture *));
    if (!larger)
      return GG_ERR_NOMEM;
    scan->captures = larger;
    scan->capture_room = room;
  }
  struct gg__capture **place = &scan->captures[scan->capture_count];
  int error = gg__capture_create(place, scan->place.directory, name, scan->life.store);
  if (error)
    return error;
  (*place)->listed = scan->listing;
  scan->capture_count++;
  return scan->limits.begin ? scan->limits.begin(scan->limits.context, *place) : 0;
}

struct listing {
  struct scan *scan;
  size_t known; /* captures in order; the others were added by this listing */
};

static int add_unknown(void *context, const char *name)
{
  struct listing *listing = context;
  const struct gg__scan_limits *limits = &listing->scan->limits;
  if (limits->covered && limits->covered(limits->context, name))
    return 0;
  struct gg__capture *known = find_known(listing->scan, listing->known, name);
  if (!known)
    return add_capture(listing->scan, name);
  known->listed = listing->scan->listing;
  return 0;
}

/* What was in the file is the session's no more, and may be in another one now. Who reads it goes on by the parts that
 * he has: they and the texts in them stay. */
static void forget_parts(struct gg__capture *capture)
{
  for (struct gg__part *part = capture->parts; part; part = part->next_of_capture) {
    struct gg__part **at = part->record ? &part->record->parts : NULL;
    while (at && *at && *at != part)
      at = &(*at)->next_of_session;
    if (!at || !*at)
      continue;
    *at = part->next_of_session;
    part->record->stale = true;
  }
}

/* Retention takes files away, and puts what it keeps of them into others. */
static void forget_gone(struct scan *scan)
{
  size_t left = 0;
  for (size_t i = 0; i < scan->capture_count; i++) {
    struct gg__capture *capture = scan->captures[i];
    if (capture->listed == scan->listing) {
      scan->captures[left++] = capture;
      continue;
    }
    forget_parts(capture);
    capture->next_gone = scan->gone;
    scan->gone = capture;
  }
  scan->capture_count = left;
}

static int list_files(struct scan *scan, struct gg_failure *failure)
{
  struct listing listing = {scan, scan->capture_count};
  if (!scan->place.directory && scan->capture_count > 0)
    return 0;
  scan->listing++;
  int error = gg__place_each(&scan->place, add_unknown, &listing, failure);
  if (!error && scan->place.directory)
    forget_gone(scan);
  if (scan->capture_count > 1)
    qsort(scan->captures, scan->capture_count, sizeof(struct gg__capture *), by_name);
  return error;
}

/* ── Threads ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct work {
  struct scan *scan;
  _Atomic size_t next;
  _Atomic int error;
};

static void *scan_main(void *argument)
{
  struct work *work = argument;
  size_t count = work->scan->capture_count;
  for (size_t at; (at = atomic_fetch_add(&work->next, 1)) < count;) {
    int error = gg__capture_scan(work->scan->captures[at]);
    if (error)
      atomic_store(&work->error, error);
  }
  return NULL;
}

static int scan_files(struct scan *scan)
{
  struct work work = {.scan = scan};
  pthread_t threads[THREADS_MAX];
  size_t wanted = scan->threads < scan->capture_count ? scan->threads : scan->capture_count, started = 0;
  /* This thread works as well, and alone where no other can be had. */
  while (started + 1 < wanted && pthread_create(&threads[started], NULL, scan_main, &work) == 0)
    started++;
  scan_main(&work);
  for (size_t i = 0; i < started; i++)
    pthread_join(threads[i], NULL);
  return atomic_load(&work.error);
}

/* ── Records ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__record **bucket_of(const struct scan *scan, const char *id)
{
  return &scan->buckets[gg__hash(id, 24) & (scan->bucket_count - 1)];
}

static int grow_table(struct scan *scan)
{
  struct scan larger = {.bucket_count = scan->bucket_count ? scan->bucket_count * 2 : RECORDS_MIN};
  larger.buckets = calloc(larger.bucket_count, sizeof(struct gg__record *));
  if (!larger.buckets)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < scan->bucket_count; i++)
    for (struct gg__record *record = scan->buckets[i], *next; record; record = next) {
      struct gg__record **bucket = bucket_of(&larger, record->session.id);
      next = record->next;
      record->next = *bucket;
      *bucket = record;
    }
  free(scan->buckets);
  scan->buckets = larger.buckets;
  scan->bucket_count = larger.bucket_count;
  return 0;
}

static struct gg__record *find_or_add(struct scan *scan, const char *id)
{
  if (scan->record_count >= scan->bucket_count && grow_table(scan) != 0)
    return NULL;
  struct gg__record **bucket = bucket_of(scan, id);
  for (struct gg__record *at = *bucket; at; at = at->next)
    if (memcmp(at->session.id, id, 24) == 0)
      return at;
  struct gg__record *record = calloc(1, sizeof *record);
  if (!record)
    return NULL;
  memcpy(record->session.id, id, 24);
  record->next = *bucket;
  *bucket = record;
  scan->record_count++;
  return record;
}

static int merge_part(struct scan *scan, struct gg__part *part)
{
  if (!part->record) {
    part->record = find_or_add(scan, part->id);
    if (!part->record)
      return GG_ERR_NOMEM;
    struct gg__part **at = &part->record->parts;
    while (*at && gg__part_before(*at, part))
      at = &(*at)->next_of_session;
    part->next_of_session = *at;
    *at = part;
  }
  part->record->stale = true;
  return 0;
}

/* ── A session from its parts ────────────────────────────────────────────────────────────────────────────────────── */

static int renew(const struct scan *scan, struct gg__record *record, uint64_t generation)
{
  struct gg_session session = {.generation = generation};
  uint64_t told[2] = {0, 0};
  memcpy(session.id, record->session.id, sizeof session.id);
  gg__session_begin(&session, record->parts);
  session.state = gg__life_state(&scan->life, record->parts->capture->name);
  const char *tags = "";
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    gg__session_add(&session, part, told, part == record->parts);
    tags = part->closed ? part->tags : tags;
  }
  int error = gg__tags_set(&session, &record->tags, tags);
  record->session = session;
  record->own_tags = session.tags;
  record->own_tag_count = session.tag_count;
  if (!error)
    error = gg__record_mark(record, scan->source.marks ? gg__marks_find(scan->source.marks, session.id) : NULL);
  record->stale = error != 0;
  return error;
}

/* Sessions without an end change their state when the gateway starts or ends. */
static int renew_stale(struct scan *scan, uint64_t generation)
{
  int error = 0;
  for (size_t i = 0; i < scan->bucket_count && !error; i++)
    for (struct gg__record *record = scan->buckets[i]; record && !error; record = record->next) {
      if (!record->parts)
        continue; /* all its files are gone */
      bool unclosed = record->session.state != GG_SESSION_CLOSED;
      if (record->stale ||
          (unclosed && record->session.state != gg__life_state(&scan->life, record->parts->capture->name)))
        error = renew(scan, record, generation);
    }
  return error;
}

/* ── Operations ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool all_unreadable(const struct scan *scan)
{
  for (size_t i = 0; i < scan->capture_count; i++)
    if (scan->captures[i]->health != GG__CAPTURE_UNREADABLE)
      return false;
  return scan->capture_count > 0;
}

static int scan_refresh(struct gg__source *source, uint64_t generation, struct gg_failure *failure)
{
  struct scan *scan = scan_of(source);
  gg__place_ask(&scan->place, &scan->life);
  int error = list_files(scan, failure);
  if (error)
    return error;
  error = scan_files(scan);
  for (size_t i = 0; i < scan->capture_count; i++) {
    struct gg__capture *capture = scan->captures[i];
    for (struct gg__part *part = capture->changed, *next; part; part = next) {
      next = part->next_changed;
      part->changed = false;
      part->next_changed = NULL;
      if (!error)
        error = merge_part(scan, part);
    }
    capture->changed = NULL;
  }
  if (!error)
    error = renew_stale(scan, generation);
  if (error)
    return gg_fail(failure, error, "no memory for the sessions of this store");
  return all_unreadable(scan) ? gg_fail(failure, GG_ERR_FORMAT, "%s", scan->captures[0]->problem) : 0;
}

static int scan_each(struct gg__source *source, int (*visit)(void *context, struct gg__record *record), void *context)
{
  struct scan *scan = scan_of(source);
  int result = 0;
  for (size_t i = 0; i < scan->bucket_count && result == 0; i++)
    for (struct gg__record *record = scan->buckets[i]; record && result == 0; record = record->next)
      result = record->parts ? visit(context, record) : 0;
  return result;
}

static const char *scan_warning(const struct gg__source *source, size_t index)
{
  const struct scan *scan = (const struct scan *)source;
  for (size_t i = 0; i < scan->capture_count; i++) {
    const struct gg__capture *capture = scan->captures[i];
    /* The last record of what is being written may be unfinished. */
    bool growing = capture->health == GG__CAPTURE_TORN && scan->life.live;
    if (capture->problem[0] && !growing && index-- == 0)
      return capture->problem;
  }
  return scan->life.unclosed[0] && index == 0 ? scan->life.unclosed : NULL;
}

static struct gg__capture *scan_capture(const struct gg__source *source, size_t index)
{
  const struct scan *scan = (const struct scan *)source;
  return index < scan->capture_count ? scan->captures[index] : NULL;
}

static void scan_marked(struct gg__source *source, const struct gg__mark *mark, uint64_t generation)
{
  const struct scan *scan = scan_of(source);
  struct gg__record *record = scan->bucket_count > 0 ? *bucket_of(scan, mark->id) : NULL;
  while (record && memcmp(record->session.id, mark->id, 24) != 0)
    record = record->next;
  if (!record || record->stale)
    return; /* it is made, or made anew, by a refresh, which asks for its marks */
  record->session.generation = generation;
  if (gg__record_mark(record, mark) != 0)
    record->stale = true; /* tried again by the next refresh */
}

static void scan_destroy(struct gg__source *source)
{
  struct scan *scan = scan_of(source);
  for (size_t i = 0; i < scan->bucket_count; i++)
    for (struct gg__record *record = scan->buckets[i], *next; record; record = next) {
      next = record->next;
      free(record->tags);
      free(record->joined_tags);
      free(record);
    }
  for (size_t i = 0; i < scan->capture_count; i++)
    gg__capture_destroy(scan->captures[i]);
  for (struct gg__capture *capture = scan->gone, *next; capture; capture = next) {
    next = capture->next_gone;
    gg__capture_destroy(capture);
  }
  free(scan->captures);
  free(scan->buckets);
  gg__place_fini(&scan->place);
  free(scan);
}

static const struct gg__source_ops scan_ops = {
  .refresh = scan_refresh,
  .each = scan_each,
  .warning = scan_warning,
  .capture = scan_capture,
  .marked = scan_marked,
  .destroy = scan_destroy,
};

void gg__scan_source_limit(struct gg__source *source, const struct gg__scan_limits *limits)
{
  scan_of(source)->limits = *limits;
}

int gg__scan_source_create(struct gg__source **out, struct gg__place *place, unsigned threads,
                           struct gg_failure *failure)
{
  struct scan *scan = calloc(1, sizeof *scan);
  *out = scan ? &scan->source : NULL;
  if (!scan) {
    gg__place_fini(place);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a store");
  }
  scan->source.ops = &scan_ops;
  scan->threads = threads > THREADS_MAX ? THREADS_MAX : threads;
  scan->place = *place;
  *place = (struct gg__place){0};
  return 0;
}
