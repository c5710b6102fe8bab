/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and holds of an open store: given to its sessions, and said by its user. */
#include "store/indexer.h"
#include "store/marks.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  APART_FEW = 1024, /* sessions of which the catalogue has not heard, which nobody minds */
  GONE_FEW = 1024,  /* marks of sessions that are gone, likewise */
};

/* ── What a record says ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_in(const char *tag, const char *const *tags, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(tag, tags[i]) == 0)
      return true;
  return false;
}

static int by_bytes(const void *a, const void *b)
{
  const char *const *left = a, *const *right = b;
  return strcmp(*left, *right);
}

/* Both lists may be in any order and say something twice: one comes from a recording. */
static size_t unite(const char **to, const struct gg__record *record, const struct gg__mark *mark)
{
  size_t count = 0, kept = 0;
  for (size_t i = 0; i < record->own_tag_count; i++)
    if (!is_in(record->own_tags[i], mark->removed, mark->removed_count))
      to[count++] = record->own_tags[i];
  for (size_t i = 0; i < mark->tag_count; i++)
    to[count++] = mark->tags[i];
  if (count > 1)
    qsort(to, count, sizeof *to, by_bytes);
  for (size_t i = 0; i < count; i++)
    if (kept == 0 || strcmp(to[kept - 1], to[i]) != 0)
      to[kept++] = to[i];
  return kept;
}

int gg__record_mark(struct gg__record *record, const struct gg__mark *mark)
{
  struct gg_session *session = &record->session;
  bool says = mark && mark->tag_count + mark->removed_count > 0;
  const char **joined = NULL;
  session->held = mark && mark->held;
  session->tags = record->own_tags;
  session->tag_count = record->own_tag_count;
  if (says && record->own_tag_count == 0) { /* nearly always: nothing needs memory then */
    session->tags = mark->tags;
    session->tag_count = mark->tag_count;
  } else if (says) {
    joined = calloc(record->own_tag_count + mark->tag_count, sizeof *joined);
  }
  if (joined) {
    session->tag_count = unite(joined, record, mark);
    session->tags = joined;
  }
  free(record->joined_tags);
  record->joined_tags = joined;
  return says && record->own_tag_count > 0 && !joined ? GG_ERR_NOMEM : 0;
}

/* ── Refreshing ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void visit(void *context, const struct gg__mark *mark)
{
  struct gg_store *store = context;
  if (store->source->ops->marked)
    store->source->ops->marked(store->source, mark, store->marking_generation);
}

static int refresh(struct gg_store *store, uint64_t generation, struct gg_failure *failure)
{
  store->marking_generation = generation;
  int error = store->marks ? gg__marks_refresh(store->marks, NULL, visit, store, failure)
                           : gg__marks_open(&store->marks, store->path, failure);
  store->source->marks = store->marks;
  return error;
}

int gg__store_refresh_marks(struct gg_store *store, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  store->marks_problem[0] = '\0';
  int error = store->own ? refresh(store, store->generation, &why) : 0;
  if (error == GG_ERR_NOMEM)
    return gg_fail(failure, error, "%s", why.message);
  if (error)
    snprintf(store->marks_problem, sizeof store->marks_problem, "%s; tags and holds are not known", why.message);
  return 0;
}

const char *gg__store_marks_warning(const struct gg_store *store, size_t index)
{
  if (store->marks_problem[0] && index-- == 0)
    return store->marks_problem;
  return store->marks ? gg__marks_warning(store->marks, index) : NULL;
}

/* ── What its user says ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Brought up to date first: what others have said since the last refresh counts. */
static int make_ready(struct gg_store *store, struct gg_failure *failure)
{
  if (!store->own)
    return gg_fail(failure, GG_ERR_UNSUPPORTED,
                   "%s is no store of a gateway: only in such sessions can be tagged and held", store->path);
  int error = gg__store_ready(store, failure);
  return error ? error : refresh(store, store->generation + 1, failure);
}

typedef bool (*wanted_fn)(const void *context, const struct gg_session *session);

static const char **ids_of(const struct gg_session_list *list, wanted_fn wanted, const void *context, size_t *count)
{
  const char **ids = calloc(list->count ? list->count : 1, sizeof *ids);
  *count = 0;
  for (size_t i = 0; i < list->count && ids; i++)
    if (wanted(context, list->sessions[i]))
      ids[(*count)++] = list->sessions[i]->id;
  return ids;
}

struct tagging {
  const char *const *add, *const *remove;
  size_t add_count, remove_count;
};

/* Whether it makes a difference: tags that are there are not added, those that are not are not removed. */
static bool to_tag(const void *context, const struct gg_session *session)
{
  const struct tagging *tagging = context;
  for (size_t i = 0; i < tagging->add_count; i++)
    if (!is_in(tagging->add[i], session->tags, session->tag_count))
      return true;
  for (size_t i = 0; i < tagging->remove_count; i++)
    if (is_in(tagging->remove[i], session->tags, session->tag_count))
      return true;
  return false;
}

static bool to_hold(const void *context, const struct gg_session *session)
{
  const bool *hold = context;
  return session->held != *hold;
}

struct forgetting {
  const char **there; /* in order */
  size_t there_count;
  char (*gone)[25];
  size_t count, room;
};

static int note_gone(void *context, const struct gg__mark *mark)
{
  struct forgetting *forgetting = context;
  const char *id = mark->id;
  if (mark->held || bsearch(&id, forgetting->there, forgetting->there_count, sizeof id, by_bytes) ||
      forgetting->count == forgetting->room)
    return 0;
  memcpy(forgetting->gone[forgetting->count++], id, 25);
  return 0;
}

static void forget(struct gg_store *store, const struct gg_session_list *list)
{
  size_t room = gg__marks_count(store->marks);
  struct forgetting forgetting = {calloc(list->count + 1, sizeof(char *)), list->count, calloc(room, 25), 0, room};
  const char **ids = calloc(room, sizeof *ids);
  if (forgetting.there && forgetting.gone && ids) {
    for (size_t i = 0; i < list->count; i++)
      forgetting.there[i] = list->sessions[i]->id;
    qsort(forgetting.there, list->count, sizeof(char *), by_bytes);
    gg__marks_each(store->marks, note_gone, &forgetting);
    for (size_t i = 0; i < forgetting.count; i++)
      ids[i] = forgetting.gone[i];
    gg__marks_forget(store->marks, ids, forgetting.count, NULL);
  }
  free(ids);
  free(forgetting.gone);
  free(forgetting.there);
}

/* So many that it is worth the while to look which of them are there. */
static bool is_worn(const struct gg_store *store, const struct gg_session_list *list)
{
  return gg__marks_count(store->marks) > GONE_FEW + 2 * list->count && !gg_store_warning(store, 0);
}

/* Where a catalogue is kept, who keeps it forgets what is said of sessions that are gone (indexer_forget.c). Without
 * one only people say anything, and whoever says it has just looked at all there is. He looks once more, behind the
 * journal: what was said by then is of a session that is found, or of none. */
static void forget_gone(struct gg_store *store)
{
  struct gg_session_list *list = NULL;
  if (gg__marks_count(store->marks) <= GONE_FEW)
    return;
  bool worn = gg_store_query(store, NULL, &list, NULL) == 0 && is_worn(store, list);
  gg_session_list_destroy(list);
  list = NULL;
  if (worn && gg_store_refresh(store, NULL) == 0 && gg_store_query(store, NULL, &list, NULL) == 0 &&
      is_worn(store, list))
    forget(store, list);
  gg_session_list_destroy(list);
}

/* The sessions show it at once, and are new for the next refresh. Of very many the catalogue is told at once, or every
 * query would have to put them together; where a gateway keeps it, that one hears of it by itself. */
static void show_marks(struct gg_store *store)
{
  const struct gg__source_ops *ops = store->source->ops;
  refresh(store, store->generation + 1, NULL); /* it is done, whether it can be shown or not */
  size_t apart = ops->apart ? ops->apart(store->source) : SIZE_MAX;
  if (apart == SIZE_MAX)
    forget_gone(store);
  else if (apart > APART_FEW)
    gg__indexer_tell_marks(store->path);
}

int gg_store_tag(struct gg_store *store, const struct gg_session_list *list, const char *const *add, size_t add_count,
                 const char *const *remove, size_t remove_count, struct gg_failure *failure)
{
  const struct tagging tagging = {add, remove, add_count, remove_count};
  size_t count;
  int error = make_ready(store, failure);
  if (!error) /* tags that are none are refused whether or not there is a session */
    error = gg__marks_tag(store->marks, NULL, 0, add, add_count, remove, remove_count, failure);
  if (error)
    return error;
  const char **ids = ids_of(list, to_tag, &tagging, &count);
  if (!ids)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for tagging %zu sessions", list->count);
  error = gg__marks_tag(store->marks, ids, count, add, add_count, remove, remove_count, failure);
  free(ids);
  if (!error)
    show_marks(store);
  return error;
}

/* What is not there any more cannot be held: retention was faster. */
static int check_there(const struct gg_session_list *list, struct gg_failure *failure)
{
  struct stat status;
  for (size_t i = 0; i < list->count; i++) {
    const struct gg__part *part = gg__record_of(list->sessions[i])->parts;
    while (part && stat(part->capture->path, &status) != 0)
      part = part->next_of_session;
    if (!part)
      return gg_fail(failure, GG_ERR_NOT_FOUND, "session %s is gone: its segments have been removed",
                     list->sessions[i]->id);
  }
  return 0;
}

static int hold_sessions(struct gg_store *store, const struct gg_session_list *list, bool hold,
                         struct gg_failure *failure)
{
  size_t count;
  int error = 0;
  /* It may have been held before, and be in another file by now. */
  if (hold && check_there(list, NULL) != 0)
    error = gg_store_refresh(store, failure);
  if (!error && hold)
    error = check_there(list, failure);
  if (error)
    return error;
  const char **ids = ids_of(list, to_hold, &hold, &count);
  if (!ids)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for %zu sessions", list->count);
  error = gg__marks_hold(store->marks, ids, count, hold, failure);
  free(ids);
  return error;
}

/* No segment goes meanwhile, so a session that was there when it was held stays (place.h). */
int gg_store_hold(struct gg_store *store, const struct gg_session_list *list, bool hold, struct gg_failure *failure)
{
  char path[4096];
  int error = make_ready(store, failure); /* which may take long */
  if (error)
    return error;
  snprintf(path, sizeof path, "%s/segments", store->path);
  int folder = hold && store->own ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  bool still = folder >= 0 && gg__place_still(folder, false);
  error = hold_sessions(store, list, hold, failure);
  if (still)
    gg__place_stir(folder);
  if (folder >= 0)
    close(folder);
  if (!error)
    show_marks(store);
  return error;
}

/* ── Whether or not they are recorded ────────────────────────────────────────────────────────────────────────────── */

struct holds {
  char (*ids)[25];
  size_t count, room;
};

static int note_held(void *context, const struct gg__mark *mark)
{
  struct holds *holds = context;
  if (mark->held && holds->count < holds->room)
    memcpy(holds->ids[holds->count++], mark->id, 25);
  return 0;
}

static int by_id(const void *a, const void *b)
{
  return memcmp(a, b, 25);
}

static int by_session(const void *a, const void *b)
{
  const struct gg_session *const *left = a, *const *right = b;
  return strcmp((*left)->id, (*right)->id);
}

/* Both are in order of ids. */
static int tell_holds(struct gg_store *store, const struct holds *holds, const struct gg_session_list *list,
                      int (*tell)(void *context, const struct gg_hold *hold), void *context)
{
  int result = 0;
  for (size_t i = 0, at = 0; i < holds->count && result == 0; i++) {
    const struct gg__mark *mark = gg__marks_find(store->marks, holds->ids[i]);
    struct gg_hold hold = {.id = holds->ids[i]};
    while (at < list->count && strcmp(list->sessions[at]->id, hold.id) < 0)
      at++;
    if (at < list->count && strcmp(list->sessions[at]->id, hold.id) == 0)
      hold.session = list->sessions[at];
    if (mark) {
      hold.said_ns = mark->at_ns;
      hold.tags = mark->tags;
      hold.tag_count = mark->tag_count;
    }
    result = tell(context, &hold);
  }
  return result;
}

int gg_store_each_hold(struct gg_store *store, int (*tell)(void *context, const struct gg_hold *hold), void *context,
                       struct gg_failure *failure)
{
  const char *words[] = {"held=yes"};
  struct gg_session_list *list = NULL;
  struct gg_filter *filter = NULL;
  struct holds holds = {0};
  int error = make_ready(store, failure);
  if (!error)
    error = gg_filter_parse(&filter, words, 1, 0, failure);
  if (!error)
    error = gg_store_query(store, filter, &list, failure);
  holds.room = error ? 0 : gg__marks_held(store->marks);
  holds.ids = calloc(holds.room + 1, sizeof *holds.ids);
  if (!error && !holds.ids)
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory for a list of holds");
  if (!error) {
    gg__marks_each(store->marks, note_held, &holds);
    qsort(holds.ids, holds.count, sizeof *holds.ids, by_id);
    if (list->count > 1)
      qsort(list->sessions, list->count, sizeof *list->sessions, by_session);
    error = tell_holds(store, &holds, list, tell, context);
  }
  free(holds.ids);
  gg_session_list_destroy(list);
  gg_filter_destroy(filter);
  return error;
}

int gg_store_unmark(struct gg_store *store, const char *id, bool release, const char *const *remove,
                    size_t remove_count, struct gg_failure *failure)
{
  int error = make_ready(store, failure);
  if (!error) /* tags that are none are refused whoever has them */
    error = gg__marks_tag(store->marks, NULL, 0, NULL, 0, remove, remove_count, failure);
  if (error)
    return error;
  const struct gg__mark *mark = gg__marks_find(store->marks, id);
  bool held = release && mark && mark->held, tagged = false;
  for (size_t i = 0; i < remove_count; i++)
    tagged |= mark && is_in(remove[i], mark->tags, mark->tag_count);
  if (!held && !tagged)
    return gg_fail(failure, GG_ERR_NOT_FOUND,
                   "session %s is neither recorded nor %s; 'gogetway hold --list' shows holds", id,
                   release ? "held" : "tagged so");
  if (tagged)
    error = gg__marks_tag(store->marks, &id, 1, NULL, 0, remove, remove_count, failure);
  if (!error && held)
    error = gg__marks_hold(store->marks, &id, 1, false, failure);
  if (!error)
    show_marks(store);
  return error;
}
