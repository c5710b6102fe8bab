/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sized.h"
#include "store/fact_finder.h"
#include "store/filter_ast.h"
#include "store/marks.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef GG_HAVE_CATALOGUE
enum { HAS_CATALOGUE = true };
#else
enum { HAS_CATALOGUE = false }; /* one that is there was made by another build: it is not looked at */
#endif

/* ── Opening ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg_store_open(struct gg_store **out, const char *path, const struct gg_store_options *given,
                  struct gg_failure *failure)
{
  struct gg_store_options options = GG_STORE_OPTIONS_INIT;
  *out = NULL;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_store_options, threads), given,
                                    "gg_store_options", failure)
                    : 0;
  if (error)
    return error;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned threads = options.threads ? options.threads : cores > 0 ? (unsigned)cores : 1;
  struct gg_store *store = calloc(1, sizeof *store);
  if (store)
    store->path = strdup(path);
  if (!store || !store->path) {
    free(store);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for a store");
  }
  struct gg__place place;
  error = gg__place_open(&place, path, failure);
  store->own = place.store != NULL;
  store->threads = threads;
  if (error)
    gg__place_fini(&place);
  else if (store->own && HAS_CATALOGUE)
    error = gg__index_source_create(&store->source, &place, threads, failure);
  else
    error = gg__scan_source_create(&store->source, &place, threads, failure);
  if (error) {
    gg_store_close(store);
    return error;
  }
  store->source->finder = &gg__fact_finder;
  *out = store;
  return 0;
}

void gg_store_close(struct gg_store *store)
{
  if (!store)
    return;
  if (store->source)
    store->source->ops->destroy(store->source);
  gg__marks_close(store->marks);
  free(store->path);
  free(store);
}

int gg_store_refresh(struct gg_store *store, struct gg_failure *failure)
{
  store->generation++;
  int error = gg__store_refresh_marks(store, failure);
  return error ? error : store->source->ops->refresh(store->source, store->generation, failure);
}

uint64_t gg_store_generation(const struct gg_store *store)
{
  return store->generation;
}

bool gg_store_is_indexed(struct gg_store *store)
{
  return store->source->ops->indexed && store->source->ops->indexed(store->source);
}

int gg__store_ready(struct gg_store *store, struct gg_failure *failure)
{
  return store->generation ? 0 : gg_store_refresh(store, failure);
}

const char *gg_store_warning(const struct gg_store *store, size_t index)
{
  size_t before = 0;
  const char *text = store->source->ops->warning(store->source, index);
  if (text)
    return text;
  while (before < index && store->source->ops->warning(store->source, before))
    before++;
  text = gg__store_marks_warning(store, index - before);
  before += gg__store_marks_warning(store, 0) != NULL;
  return text || index != before || !store->doubt[0] ? text : store->doubt;
}

/* ── Facts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

void gg__store_set_finder(struct gg_store *store, const struct gg__fact_finder *finder)
{
  assert(store->generation == 0);
  store->source->finder = finder;
}

void gg__store_note_doubt(struct gg_store *store, uint64_t sessions, const struct gg_filter *filter)
{
  const char *field = sessions > 0 ? gg__filter_fact(filter, NULL) : NULL;
  store->doubt[0] = '\0';
  if (field)
    snprintf(store->doubt, sizeof store->doubt, "%" PRIu64 " session%s too many values of %s%s to be sure that %s",
             sessions, sessions == 1 ? " has" : "s have", field,
             gg__filter_fact(filter, field) ? " or of another field" : "", sessions == 1 ? "it matches" : "they match");
}

static void find_protocol(const struct gg__fact_finder *finder, struct gg_session *session)
{
  if (finder && finder->protocol && !session->protocol[0])
    session->protocol = finder->protocol(finder->context, session);
}

/* Who asks for what was said is told of which protocol that is, as by a catalogue. */
bool gg__source_match(const struct gg__source *source, const struct gg_filter *filter, struct gg__record *record)
{
  if (gg__filter_asks(filter, "proto") || gg__filter_asks(filter, "protocol"))
    find_protocol(source->finder, &record->session);
  enum gg__truth truth = gg__filter_judge_finding(filter, &record->session, source->finder);
  record->perhaps = truth == GG__PERHAPS;
  if (truth != GG__NO && gg__filter_fact(filter, NULL))
    find_protocol(source->finder, &record->session);
  return truth != GG__NO;
}

int gg__source_check(const struct gg__source *source, const struct gg_filter *filter, struct gg_failure *failure)
{
  return source->finder ? 0 : gg__filter_refuse_facts(filter, failure);
}

/* ── Querying ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int append(struct gg_session_list *list, const struct gg_session *session)
{
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 64;
    const struct gg_session **larger = realloc(list->sessions, room * sizeof(const struct gg_session *));
    if (!larger)
      return GG_ERR_NOMEM;
    list->sessions = larger;
    list->room = room;
  }
  list->sessions[list->count++] = session;
  return 0;
}

int gg_session_list_add(struct gg_session_list **list, const struct gg_session *session)
{
  if (!*list)
    *list = calloc(1, sizeof **list);
  return *list ? append(*list, session) : GG_ERR_NOMEM;
}

struct choosing {
  const struct gg__source *source;
  const struct gg_filter *filter;
  uint64_t since;
  struct gg_session_list *list;
};

static int choose(void *context, struct gg__record *record)
{
  struct choosing *choosing = context;
  struct gg_session_list *list = choosing->list;
  if (record->session.generation <= choosing->since || !gg__source_match(choosing->source, choosing->filter, record))
    return 0;
  return append(list, &record->session);
}

static int take(void *context, struct gg__record *record)
{
  const struct choosing *choosing = context;
  return record->session.generation > choosing->since ? append(choosing->list, &record->session) : 0;
}

/* GG_ERR_AGAIN: the source has changed its ways, so all of it once more. */
static int choose_all(struct gg_store *store, const struct gg_select_options *options, struct choosing *choosing,
                      struct gg_failure *failure)
{
  struct gg__source *source = store->source;
  const struct gg__selection selection = {options->filter, options->sort, options->changed_since ? 0 : options->limit,
                                          options->changed_since};
  int error = source->ops->select ? 0 : gg__source_check(source, options->filter, failure);
  if (error)
    return error;
  error = GG_ERR_AGAIN;
  for (int turn = 0; turn < 2 && error == GG_ERR_AGAIN; turn++) {
    choosing->list->count = 0;
    error = source->ops->select ? source->ops->select(source, &selection, take, choosing, failure)
                                : source->ops->each(source, choose, choosing);
  }
  return error ? gg_fail(failure, error, "no memory for a list of sessions") : 0;
}

struct order {
  const struct gg__field *field;
  bool down;
};

static int compare(const void *a, const void *b, void *context)
{
  const struct gg_session *const *left = a, *const *right = b;
  const struct order *order = context;
  return gg__sort_compare(order->field, order->down, *left, *right);
}

int gg_store_select(struct gg_store *store, const struct gg_select_options *given, struct gg_session_list **out,
                    struct gg_failure *failure)
{
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  struct order order;
  *out = NULL;
  int error = given ? gg_sized_take(&options, sizeof options, GG_SIZED_END(struct gg_select_options, changed_since),
                                    given, "gg_select_options", failure)
                    : 0;
  if (!error)
    error = gg__filter_sort_check(options.sort, failure);
  if (!error)
    error = gg__store_ready(store, failure);
  if (error)
    return error;
  order.field = gg__sort_find(options.sort, &order.down);
  struct choosing choosing = {store->source, options.filter, options.changed_since,
                              calloc(1, sizeof(struct gg_session_list))};
  error = choosing.list ? choose_all(store, &options, &choosing, failure)
                        : gg_fail(failure, GG_ERR_NOMEM, "no memory for a list of sessions");
  if (error) {
    gg_session_list_destroy(choosing.list);
    return error;
  }
  struct gg_session_list *list = choosing.list;
  if (list->count > 1)
    qsort_r(list->sessions, list->count, sizeof(const struct gg_session *), compare, &order);
  if (options.limit > 0 && list->count > options.limit)
    list->count = (size_t)options.limit;
  uint64_t perhaps = 0;
  for (size_t i = 0; i < list->count; i++)
    perhaps += gg__record_of(list->sessions[i])->perhaps;
  gg__store_note_doubt(store, perhaps, options.filter);
  *out = list;
  return 0;
}

int gg_store_query(struct gg_store *store, const struct gg_filter *filter, struct gg_session_list **out,
                   struct gg_failure *failure)
{
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  options.filter = filter;
  return gg_store_select(store, &options, out, failure);
}

size_t gg_session_list_count(const struct gg_session_list *list)
{
  return list->count;
}

const struct gg_session *gg_session_list_at(const struct gg_session_list *list, size_t index)
{
  assert(index < list->count);
  return list->sessions[index];
}

void gg_session_list_destroy(struct gg_session_list *list)
{
  if (list)
    free(list->sessions);
  free(list);
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

const char *gg_session_state_text(enum gg_session_state state)
{
  static const char *const texts[] = {"open", "closed", "cut"};
  return (unsigned)state < sizeof texts / sizeof texts[0] ? texts[state] : "unknown";
}

const char *gg_session_segment(const struct gg_session *session, unsigned index)
{
  const struct gg__part *part = gg__record_of(session)->parts;
  while (part && index-- > 0)
    part = part->next_of_session;
  return part ? part->capture->name : NULL;
}

static void put_pair(struct gg_json *json, const char *key, const uint64_t pair[2])
{
  gg_json_key(json, key);
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", pair[GG_SIDE_CLIENT]);
  gg_json_field_unsigned(json, "server", pair[GG_SIDE_SERVER]);
  gg_json_object_end(json);
}

static void put_time(struct gg_json *json, const char *key, uint64_t time_ns)
{
  char text[GG_CLOCK_TEXT_MAX];
  gg_clock_format(time_ns, 9, text, sizeof text);
  gg_json_field_string(json, key, text);
}

static const char *or_null(const char *text)
{
  return text[0] ? text : NULL;
}

/* What was found out about it: how its connection went, what it began with, what plug-ins have made of it. */
static void put_findings(struct gg_json *json, const struct gg_session *session)
{
  char letters[2][sizeof session->first[0] * 2];
  gg_json_field_string(json, "protocol", or_null(session->protocol));
  gg_json_field_string(json, "conn_state", session->conn_state);
  gg_json_field_string(json, "history", session->history);
  gg_json_key(json, "first");
  gg_json_object_begin(json);
  for (int side = 0; side < 2; side++) {
    char *end = gg_base64(letters[side], session->first[side], session->first_length[side]);
    gg_json_key(json, side == 0 ? "client" : "server");
    gg_json_string_n(json, letters[side], (size_t)(end - letters[side]));
  }
  gg_json_object_end(json);
  gg_json_key(json, "community_id");
  gg_json_object_begin(json);
  gg_json_field_string(json, "client", or_null(session->community_id[0]));
  gg_json_field_string(json, "upstream", or_null(session->community_id[1]));
  gg_json_object_end(json);
  gg_json_field_string(json, "verdict", or_null(session->verdict));
  gg_json_field_string(json, "verdict_by", or_null(session->verdict_by));
  put_pair(json, "masked", session->masked);
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  for (size_t i = 0; i < session->tag_count; i++)
    gg_json_string(json, session->tags[i]);
  gg_json_array_end(json);
  gg_json_field_bool(json, "held", session->held);
}

static void put_session(struct gg_json *json, const struct gg_session *session)
{
  gg_json_object_begin(json);
  gg_json_field_string(json, "id", session->id);
  gg_json_field_string(json, "listener", session->listener);
  gg_json_field_string(json, "client", session->client);
  gg_json_field_string(json, "server", session->server);
  gg_json_field_string(json, "upstream", session->upstream[0] ? session->upstream : NULL);
  put_time(json, "start", session->start_ns);
  put_time(json, "end", session->end_ns);
  gg_json_field_unsigned(json, "duration_ns", session->end_ns - session->start_ns);
  gg_json_field_string(json, "state", gg_session_state_text(session->state));
  gg_json_field_string(json, "close", session->close[0] ? session->close : NULL);
  gg_json_field_string(json, "why", session->why[0] ? session->why : NULL);
  if (session->original[0])
    gg_json_field_string(json, "original", session->original);
  if (session->as_sent_of[0])
    gg_json_field_string(json, "as_sent_of", session->as_sent_of);
  put_pair(json, "bytes", session->bytes);
  put_pair(json, "packets", session->packets);
  put_pair(json, "gaps", session->gaps);
  if (session->counted) {
    put_pair(json, "received", session->received);
    put_pair(json, "forwarded", session->forwarded);
  }
  put_findings(json, session);
  gg_json_field_bool(json, "foreign", session->foreign);
  gg_json_field_bool(json, "beginning_missing", session->beginning_missing);
  gg_json_key(json, "segments");
  gg_json_array_begin(json);
  for (const struct gg__part *part = gg__record_of(session)->parts; part; part = part->next_of_session)
    gg_json_string(json, part->capture->name);
  gg_json_array_end(json);
  gg_json_object_end(json);
}

size_t gg_session_json(const struct gg_session *session, char *text, size_t size)
{
  struct gg_json json;
  gg_json_init(&json, text, size);
  put_session(&json, session);
  size_t length = gg_json_finish(&json);
  if (length > 0)
    return length;
  /* Too small: measure by growing. The bound is a session in every segment that a store may have. */
  for (size_t larger = size < 4096 ? 8192 : size * 2; larger <= (size_t)1 << 30; larger *= 2) {
    char *room = malloc(larger);
    if (!room)
      break;
    gg_json_init(&json, room, larger);
    put_session(&json, session);
    length = gg_json_finish(&json);
    free(room);
    if (length > 0)
      return length;
  }
  return 0;
}
