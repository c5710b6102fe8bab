/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store's sessions from its catalogue, and what the catalogue does not know yet from a scan.
 *
 *   segments ──► complete in the catalogue, or read to their ends ──────► catalogue ──┐
 *           └──► others: read from where the catalogue's knowledge ends ─► scan ──────┤
 *   marks   ──► said since the catalogue was told ──► apart ──────────────────────────┴──► records
 *
 * A session is "apart" if the scan has found anything of it, or people have said of it what the catalogue does not
 * know: it is put together here, of parts of both, and looked at by itself. A query asks the catalogue, leaves out
 * those that are apart, and adds those of them that match. Of a part that both know the one that goes further counts,
 * so that it does not matter if the catalogue learns of it meanwhile. With nothing apart, a query is the catalogue's
 * alone.
 *
 * A record that was given out stays where it is until the store is closed, and so do its parts: who reads a session
 * goes on by them. What changes is written over; memory grows with the sessions that were asked for, not with how
 * often.
 *
 * A catalogue that cannot be read, at first or later, is told of in one warning, and everything is scanned. That never
 * turns back: sessions would be other ones than those that were given out.
 */
#include "store/index_private.h"

#include "store/filter_ast.h"
#include "store/filter_sql.h"
#include "store/marks.h"
#include "store/tags.h"
#include "store/totals.h"
#include "store/untold.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES_MAX = 4096, ENOUGH = 1 };

/* A session by its id. */
static struct gg__index *index_of(struct gg__source *source)
{
  return (struct gg__index *)source;
}

static int by_name(const void *key, const void *name)
{
  return strcmp(key, ((const struct gg__index_name *)name)->name);
}

static struct gg__index_name *find_name(const struct gg__index *index, const char *name)
{
  return index->name_count ? bsearch(name, index->names, index->name_count, sizeof *index->names, by_name) : NULL;
}

/* ── Captures ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t place_of(const struct gg__index *index, const char *name)
{
  size_t low = 0, high = index->capture_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(index->captures[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Who jumps in a file has to know whether interfaces stand behind packets in it. */
static void note_scattered(const struct gg__index *index, struct gg__capture *capture)
{
  const struct gg__index_name *known = find_name(index, capture->name);
  capture->scattered |= known && known->scattered;
}

/* One for each file, whoever names it: exports compare them. */
struct gg__capture *gg__index_capture_of(void *context, const char *name)
{
  struct gg__index *index = context;
  size_t at = place_of(index, name);
  if (at < index->capture_count && strcmp(index->captures[at]->name, name) == 0)
    return index->captures[at];
  if (index->capture_count == index->capture_room) {
    size_t room = index->capture_room ? index->capture_room * 2 : 64;
    struct gg__capture **larger = realloc(index->captures, room * sizeof(struct gg__capture *));
    if (!larger)
      return NULL;
    index->captures = larger;
    index->capture_room = room;
  }
  struct gg__capture *capture = NULL;
  if (gg__capture_create(&capture, index->place.directory, name, true) != 0)
    return NULL;
  memmove(index->captures + at + 1, index->captures + at, (index->capture_count - at) * sizeof(struct gg__capture *));
  index->captures[at] = capture;
  index->capture_count++;
  note_scattered(index, capture);
  return capture;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int add_name(void *context, const struct gg__catalogue_segment *segment)
{
  struct gg__index *index = context;
  if (index->name_count == index->name_room) {
    size_t room = index->name_room ? index->name_room * 2 : 64;
    struct gg__index_name *larger = realloc(index->names, room * sizeof *larger);
    if (!larger)
      return GG_ERR_NOMEM;
    index->names = larger;
    index->name_room = room;
  }
  struct gg__index_name *name = &index->names[index->name_count++];
  *name = (struct gg__index_name){.scanned = segment->scanned,
                                  .first_ns = segment->first_ns,
                                  .last_ns = segment->last_ns,
                                  .complete = segment->complete,
                                  .scattered = segment->scattered};
  memcpy(name->name, segment->name, sizeof name->name);
  return 0;
}

/* What the catalogue has read to its end is not read again. A file that is shorter than it was, or goes on behind its
 * end, is another one: as if the one that was read had gone, and this one is read from its beginning. */
static bool is_covered(void *context, const char *file)
{
  const struct gg__index *index = context;
  struct gg__index_name *name = index->catalogue ? find_name(index, file) : NULL;
  char path[PATH_BYTES_MAX];
  struct stat status;
  if (!name)
    return false;
  bool known = (size_t)snprintf(path, sizeof path, "%s/%s", index->place.directory, file) < sizeof path &&
               stat(path, &status) == 0;
  uint64_t bytes = known ? (uint64_t)status.st_size : 0;
  name->replaced = known && (bytes < name->scanned || (name->complete && bytes != name->scanned));
  name->there = !name->replaced;
  return known && bytes == name->scanned;
}

struct adopting {
  struct gg__capture *capture;
};

static int adopt(void *context, struct gg__record *record)
{
  struct adopting *adopting = context;
  int error = 0;
  for (const struct gg__part *part = record->parts; part && !error; part = part->next_of_session)
    if (strcmp(part->capture->name, adopting->capture->name) == 0)
      error = gg__capture_adopt(adopting->capture, part);
  gg__record_free(record);
  return error;
}

/* Reading begins where the catalogue's knowledge ends, with the sessions that had not ended there. */
static int begin_capture(void *context, struct gg__capture *capture)
{
  struct gg__index *index = context;
  const struct gg__index_name *name = index->catalogue ? find_name(index, capture->name) : NULL;
  struct adopting adopting = {capture};
  if (!name || name->scanned == 0 || name->replaced)
    return 0;
  capture->scanned = name->scanned;
  capture->scattered = name->scattered;
  capture->first_ns = name->first_ns;
  capture->last_ns = name->last_ns;
  capture->packets = 1; /* it is no empty file, and its first packet has told the time */
  int error = gg__catalogue_open_in(index->catalogue, capture->name, adopt, &adopting, NULL);
  return error && error != GG_ERR_NOMEM ? GG_ERR_IO : error;
}

/* ── What is apart ───────────────────────────────────────────────────────────────────────────────────────────────── */

static int note_scanned(void *context, struct gg__record *record)
{
  struct gg__index *index = context;
  int error = gg__index_set_apart(index, record->session.id);
  if (!error)
    gg__index_find(index, record->session.id)->scanned = index->look;
  return error;
}

/* ── Refreshing ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The catalogue is of no use any more, or never was: everything is scanned. */
static void give_up(struct gg__index *index, const struct gg_failure *why)
{
  gg__catalogue_close(index->catalogue);
  index->catalogue = NULL;
  snprintf(index->problem, sizeof index->problem, "%s%s", why ? why->message : "",
           why ? "; until then the segments are read instead" : "");
}

/* One that is not there, or that others may not read, is no news: it is scanned as without one. */
static void open_catalogue(struct gg__index *index)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  char path[PATH_BYTES_MAX];
  struct gg__catalogue *catalogue;
  if ((size_t)snprintf(path, sizeof path, "%s/catalogue.db", index->place.store) >= sizeof path)
    return;
  int error = gg__catalogue_open(&catalogue, path, GG__CATALOGUE_READ, &failure);
  if (!index->decided && (error == GG_ERR_CORRUPT || error == GG_ERR_UNSUPPORTED))
    give_up(index, &failure);
  index->decided = true;
  if (error)
    return;
  gg__catalogue_close(index->catalogue);
  index->catalogue = catalogue;
  index->seen_count = 0; /* its revisions are others */
  index->first = (struct gg__index_seen){0};
  gg__catalogue_use_captures(catalogue, gg__index_capture_of, index);
  gg__catalogue_set_finder(catalogue, index->source.finder);
}

/* Up to here the catalogue is known at this look. */
static int note_seen(struct gg__index *index, struct gg_failure *failure)
{
  struct gg__index_seen now = {.generation = index->generation};
  int error = gg__catalogue_revision(index->catalogue, &now.revision, failure);
  if (error)
    return error;
  if (index->seen_count == GG__INDEX_SEEN_MAX)
    memmove(index->seen, index->seen + 1, --index->seen_count * sizeof *index->seen);
  index->seen[index->seen_count++] = now;
  if (index->look == 0) {
    index->first = now;
    index->first_life = index->life;
  }
  return 0;
}

/* All of one moment: what is in the catalogue, and up to where. */
static int look(struct gg__index *index, uint64_t generation, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  index->name_count = 0;
  int error = index->catalogue ? gg__catalogue_hold(index->catalogue, &why) : 0;
  if (!error && index->catalogue)
    error = note_seen(index, &why);
  if (!error && index->catalogue)
    error = gg__catalogue_segments(index->catalogue, add_name, index, &why);
  if (error && error != GG_ERR_NOMEM)
    give_up(index, &why);
  if (error == GG_ERR_NOMEM)
    return gg_fail(failure, error, "no memory for the catalogue");
  for (size_t i = 0; i < index->capture_count; i++)
    note_scattered(index, index->captures[i]);
  index->scan->marks = index->source.marks;
  error = index->scan->ops->refresh(index->scan, generation, failure);
  if (index->catalogue)
    gg__catalogue_release(index->catalogue);
  return error;
}

static int note_id(void *context, const char *id)
{
  return gg__index_set_apart(context, id);
}

static int note_apart(struct gg__index *index)
{
  gg__index_look(index);
  if (!index->catalogue)
    return 0;
  int error = index->scan->ops->each(index->scan, note_scanned, index);
  /* Files that have gone, and the catalogue has not heard of it: nobody indexes. */
  for (size_t i = 0; i < index->name_count && !error; i++)
    if (!index->names[i].there)
      error = gg__catalogue_sessions_in(index->catalogue, index->names[i].name, note_id, index, NULL);
  if (!error)
    error = gg__untold_each(index->source.marks, index->catalogue, note_id, index, NULL);
  return error ? error : gg__index_set_former_apart(index);
}

static void look_at_life(struct gg__index *index)
{
  struct gg__life before = index->life;
  gg__place_ask(&index->place, &index->life);
  if (before.live != index->life.live || memcmp(before.from, index->life.from, sizeof before.from) != 0)
    index->life_generation = index->generation;
}

static int index_refresh(struct gg__source *source, uint64_t generation, struct gg_failure *failure)
{
  struct gg__index *index = index_of(source);
  index->generation = generation;
  if (!index->decided || (index->catalogue && gg__catalogue_moved(index->catalogue)))
    open_catalogue(index); /* the one that is open is good until there is another */
  look_at_life(index);
  if (index->catalogue)
    gg__catalogue_set_life(index->catalogue, &index->life);
  int error = look(index, generation, failure);
  if (error == GG_ERR_FORMAT && index->catalogue)
    error = 0; /* none of the files that are left could be read, but there are others: warnings tell of each */
  if (error)
    return error;
  error = note_apart(index);
  if (error == GG_ERR_NOMEM)
    return gg_fail(failure, error, "no memory for the sessions of this store");
  if (error) {
    const struct gg_failure why = {.code = GG_ERR_CORRUPT,
                                   .message = "the catalogue cannot be read: 'gogetway reindex'"
                                              " makes it anew"};
    give_up(index, &why);
    return index->scan->ops->refresh(index->scan, generation, failure);
  }
  return 0;
}

/* ── Selecting ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct selecting {
  struct gg__index *index;
  const struct gg_filter *filter;
  int (*visit)(void *context, struct gg__record *record);
  void *context;
  uint64_t limit, told;
  bool picks;  /* records are not kept */
  bool failed; /* a visit did, or there was no memory: it is not the catalogue's fault */
};

static int tell(struct selecting *selecting, struct gg__record *record)
{
  int error = selecting->visit(selecting->context, record);
  selecting->failed |= error != 0;
  selecting->told++;
  return error;
}

static int select_known(void *context, struct gg__record *record)
{
  struct selecting *selecting = context;
  struct gg__index *index = selecting->index;
  struct gg__index_entry *entry =
    selecting->picks ? gg__index_find(index, record->session.id) : gg__index_need(index, record->session.id);
  if (entry && entry->apart == index->look) {
    gg__record_free(record);
    return 0;
  }
  if (selecting->picks) {
    int failed = tell(selecting, record);
    gg__record_free(record);
    return failed;
  }
  bool perhaps = record->perhaps;
  int error = entry ? gg__index_take(index, entry, record) : GG_ERR_NOMEM;
  if (error) {
    if (!entry)
      gg__record_free(record);
    selecting->failed = true;
    return error;
  }
  entry->record->perhaps = perhaps;
  error = tell(selecting, entry->record);
  return error ? error : selecting->limit && selecting->told >= selecting->limit ? ENOUGH : 0;
}

/* What was in files that have gone is not the session's any more. */
static void leave_out_gone(const struct gg__index *index, struct gg__record *record)
{
  for (struct gg__part **at = &record->parts; *at;) {
    const struct gg__index_name *name = find_name(index, (*at)->capture->name);
    if (name && !name->there)
      *at = (*at)->next_of_session;
    else
      at = &(*at)->next_of_session;
  }
}

/* One that is apart: of both, and looked at by itself. */
static int select_apart(struct selecting *selecting, struct gg__index_entry *entry, const struct gg__record *scanned)
{
  struct gg__index *index = selecting->index;
  struct gg__record *known = NULL;
  int error = gg__catalogue_get(index->catalogue, entry->id, &known, NULL);
  if (error)
    return error;
  if (known)
    leave_out_gone(index, known);
  error = gg__index_unite(index, entry, known, scanned);
  gg__record_free(known);
  selecting->failed |= error != 0;
  if (error || !entry->record->parts)
    return error;
  enum gg__truth truth;
  error = gg__catalogue_judge(index->catalogue, selecting->filter, &entry->record->session, &truth, NULL);
  entry->record->perhaps = truth == GG__PERHAPS;
  return error || truth == GG__NO ? error : tell(selecting, entry->record);
}

static int select_scanned(void *context, struct gg__record *record)
{
  struct selecting *selecting = context;
  struct gg__index_entry *entry = gg__index_find(selecting->index, record->session.id);
  return entry && entry->apart == selecting->index->look ? select_apart(selecting, entry, record) : 0;
}

/* Those that only people's words have set apart. */
static int select_marked(struct selecting *selecting)
{
  struct gg__index *index = selecting->index;
  int error = 0;
  for (size_t i = 0; i < index->apart_count && !error; i++)
    if (index->apart[i]->scanned != index->look)
      error = select_apart(selecting, index->apart[i], NULL);
  return error;
}

/* The batch of the catalogue behind which all is that has changed since; 0: that is not known. A gateway that began or
 * ended since then has changed sessions that are in no batch. */
static uint64_t revision_at(const struct gg__index *index, uint64_t generation)
{
  uint64_t revision = 0;
  for (size_t i = 0; i < index->seen_count && index->life_generation <= generation; i++)
    if (index->seen[i].generation <= generation)
      revision = index->seen[i].revision;
  return revision;
}

static int select_by_catalogue(struct selecting *selecting, const struct gg__selection *selection,
                               struct gg_failure *failure)
{
  struct gg__index *index = selecting->index;
  uint64_t limit = selection->limit, since = selection->since ? revision_at(index, selection->since) : 0;
  int error = index->scan->ops->each(index->scan, select_scanned, selecting);
  if (!error)
    error = select_marked(selecting);
  if (error)
    return error;
  selecting->limit = limit;
  selecting->told = 0; /* of those that are not apart; the caller has the last word */
  uint64_t asked = limit ? limit + index->apart_count : 0;
  error = since ? gg__catalogue_changed(index->catalogue, selecting->filter, since, select_known, selecting, failure)
                : gg__catalogue_query(index->catalogue, selecting->filter, selection->sort, asked, select_known,
                                      selecting, failure);
  return error == ENOUGH ? 0 : error;
}

/* Without a catalogue. */
static int match_all(void *context, struct gg__record *record)
{
  struct selecting *selecting = context;
  return gg__source_match(&selecting->index->source, selecting->filter, record) ? tell(selecting, record) : 0;
}

/* The catalogue could not be read after all. */
static void give_up_late(struct gg__index *index, struct gg_failure *why)
{
  if (!why->message[0])
    gg_fail(why, GG_ERR_CORRUPT, "the catalogue cannot be read: 'gogetway reindex' makes it anew");
  give_up(index, why);
}

/* What was asked is asked once more, of a scan. */
static int fall_back(struct gg__index *index, struct gg_failure *why, struct gg_failure *failure)
{
  give_up_late(index, why);
  int error = index->scan->ops->refresh(index->scan, index->generation, failure);
  return error ? error : GG_ERR_AGAIN;
}

static int index_select(struct gg__source *source, const struct gg__selection *selection,
                        int (*visit)(void *context, struct gg__record *record), void *context,
                        struct gg_failure *failure)
{
  struct gg__index *index = index_of(source);
  struct selecting selecting = {.index = index, .filter = selection->filter, .visit = visit, .context = context};
  struct gg_failure why = GG_FAILURE_INIT;
  if (index->catalogue) {
    int error = select_by_catalogue(&selecting, selection, &why);
    if (!error || selecting.failed)
      return error;
    return fall_back(index, &why, failure);
  }
  int error = gg__source_check(source, selection->filter, failure);
  return error ? error : index->scan->ops->each(index->scan, match_all, &selecting);
}

static bool index_indexed(struct gg__source *source)
{
  struct gg__index *index = index_of(source);
  if (!index->decided)
    open_catalogue(index);
  return index->catalogue != NULL;
}

static int index_pick(struct gg__source *source, const struct gg_filter *filter,
                      int (*visit)(void *context, struct gg__record *record), void *context)
{
  struct gg__index *index = index_of(source);
  struct selecting selecting = {.index = index, .filter = filter, .visit = visit, .context = context, .picks = true};
  struct gg_failure why = GG_FAILURE_INIT;
  if (!index->catalogue)
    return GG_ERR_UNSUPPORTED;
  const struct gg__selection all = {.filter = filter};
  int error = select_by_catalogue(&selecting, &all, &why);
  if (!error || selecting.failed)
    return error;
  give_up_late(index, &why);
  return GG_ERR_UNSUPPORTED;
}

struct summing {
  struct gg__index *index;
  const struct gg_filter *filter;
  enum gg__total_by by;
  struct gg__sums *sums;
  int error; /* no memory: it is not the catalogue's fault */
};

static int add_total(void *context, const struct gg_total *total)
{
  struct summing *summing = context;
  return summing->error = gg__sums_add(summing->sums, total, false);
}

static int add_apart(void *context, struct gg__record *record)
{
  struct summing *summing = context;
  gg__sums_doubt(summing->sums, record->perhaps);
  return summing->error = gg__sums_add_session(summing->sums, summing->by, &record->session, false);
}

static int add_matching(void *context, struct gg__record *record)
{
  struct summing *summing = context;
  return gg__source_match(&summing->index->source, summing->filter, record) ? add_apart(context, record) : 0;
}

/* Those that are apart count as they are, not as the catalogue has them. */
static int take_off(struct summing *summing)
{
  const struct gg__index *index = summing->index;
  int error = 0;
  for (size_t i = 0; i < index->apart_count && !error; i++) {
    struct gg__record *known = NULL;
    enum gg__truth truth = GG__NO;
    error = gg__catalogue_find(index->catalogue, index->apart[i]->id, &known, NULL);
    if (!error && known)
      error = gg__catalogue_judge(index->catalogue, summing->filter, &known->session, &truth, NULL);
    if (!error && truth != GG__NO)
      error = summing->error = gg__sums_add_session(summing->sums, summing->by, &known->session, true);
    gg__sums_doubt(summing->sums, !error && truth == GG__PERHAPS ? UINT64_MAX : 0);
    gg__record_free(known);
  }
  return error;
}

static int sum_by_catalogue(struct summing *summing, const char *by, struct gg_failure *failure)
{
  struct gg__index *index = summing->index;
  struct selecting selecting = {.index = index, .filter = summing->filter, .visit = add_apart, .context = summing};
  uint64_t perhaps = 0;
  int error = gg__catalogue_totals(index->catalogue, summing->filter, by, add_total, summing, &perhaps, failure);
  gg__sums_doubt(summing->sums, perhaps);
  if (!error)
    error = take_off(summing);
  if (!error)
    error = index->scan->ops->each(index->scan, select_scanned, &selecting);
  if (!error)
    error = select_marked(&selecting);
  summing->error = selecting.failed ? error : summing->error;
  return error;
}

static int index_totals(struct gg__source *source, const struct gg_filter *filter, const char *by,
                        struct gg__sums *sums, struct gg_failure *failure)
{
  struct gg__index *index = index_of(source);
  struct summing summing = {.index = index, .filter = filter, .sums = sums};
  struct gg_failure why = GG_FAILURE_INIT;
  int error = gg__total_find(by, &summing.by, failure);
  if (!error && !index->catalogue)
    error = gg__source_check(source, filter, failure);
  if (error || !index->catalogue)
    return error ? error : index->scan->ops->each(index->scan, add_matching, &summing);
  error = gg__catalogue_hold(index->catalogue, &why); /* all of one moment */
  if (!error) {
    error = sum_by_catalogue(&summing, by, &why);
    gg__catalogue_release(index->catalogue);
  }
  return !error || summing.error ? error : fall_back(index, &why, failure);
}

static int index_each(struct gg__source *source, int (*visit)(void *context, struct gg__record *record), void *context)
{
  const struct gg__selection all = {0};
  int error = index_select(source, &all, visit, context, NULL);
  return error == GG_ERR_AGAIN ? index_select(source, &all, visit, context, NULL) : error;
}

/* ── The rest ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *index_warning(const struct gg__source *source, size_t index)
{
  const struct gg__index *own = (const struct gg__index *)source;
  if (own->problem[0] && index-- == 0)
    return own->problem;
  return own->scan->ops->warning(own->scan, index);
}

static struct gg__capture *index_capture(const struct gg__source *source, size_t index)
{
  const struct gg__index *own = (const struct gg__index *)source;
  return own->scan->ops->capture(own->scan, index);
}

/* The catalogue hears of it later: until then the session is looked at by itself. */
static void index_marked(struct gg__source *source, const struct gg__mark *said, uint64_t generation)
{
  struct gg__index *index = index_of(source);
  index->scan->ops->marked(index->scan, said, generation);
  if (!index->catalogue)
    return;
  struct gg__index_entry *entry = gg__index_find(index, said->id);
  if (entry && entry->record) {
    entry->record->session.generation = generation;
    gg__record_mark(entry->record, said);
  }
  gg__index_set_apart(index, said->id);
}

static size_t index_apart(const struct gg__source *source)
{
  const struct gg__index *index = (const struct gg__index *)source;
  return index->catalogue ? index->apart_count : SIZE_MAX;
}

static void index_destroy(struct gg__source *source)
{
  struct gg__index *index = index_of(source);
  for (size_t i = 0; i < index->bucket_count; i++)
    for (struct gg__index_entry *entry = index->buckets[i], *next; entry; entry = next) {
      next = entry->next;
      gg__record_free(entry->record);
      free(entry);
    }
  for (struct gg__index_kept *kept = index->kept, *next; kept; kept = next) {
    next = kept->next;
    free(kept);
  }
  for (size_t i = 0; i < index->capture_count; i++)
    gg__capture_destroy(index->captures[i]);
  gg__catalogue_close(index->catalogue);
  if (index->scan)
    index->scan->ops->destroy(index->scan);
  gg__place_fini(&index->place);
  free(index->captures);
  free(index->names);
  free(index->apart);
  free(index->before);
  free(index->buckets);
  free(index);
}

static const struct gg__source_ops index_ops = {
  .refresh = index_refresh,
  .each = index_each,
  .select = index_select,
  .indexed = index_indexed,
  .pick = index_pick,
  .totals = index_totals,
  .warning = index_warning,
  .capture = index_capture,
  .marked = index_marked,
  .apart = index_apart,
  .destroy = index_destroy,
};

static char *copy(const char *text)
{
  return text ? strdup(text) : NULL;
}

int gg__index_source_create(struct gg__source **out, struct gg__place *place, unsigned threads,
                            struct gg_failure *failure)
{
  struct gg__index *index = calloc(1, sizeof *index);
  *out = NULL;
  assert(place->store && place->directory);
  if (!index) {
    gg__place_fini(place);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a store");
  }
  index->source.ops = &index_ops;
  index->place = (struct gg__place){.directory = copy(place->directory), .store = copy(place->store)};
  int error = gg__scan_source_create(&index->scan, place, threads, failure);
  if (!error && (!index->place.directory || !index->place.store))
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory for a store");
  if (error) {
    index_destroy(&index->source);
    return error;
  }
  const struct gg__scan_limits limits = {.covered = is_covered, .begin = begin_capture, .context = index};
  gg__scan_source_limit(index->scan, &limits);
  *out = &index->source;
  return 0;
}
