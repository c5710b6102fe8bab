/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts of decoders: random filters over random facts, some sessions with more values than are kept, against brute
 * force; asked of a catalogue and of the segments, with somebody who finds values again, without, and with one who
 * cannot. And what becomes of facts when the catalogue is made anew, or a session goes.
 *
 * The facts are in what the sessions say: "path /p7" and "status 207" are lines of their clients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalogue_files.h"
#include "replay/plan.h"
#include "store/filter_ast.h"

#include <sqlite3.h>

enum { SESSIONS = 20, VALUES = 100, SAID_MAX = 90, SEEDS = 12, FILTERS = 30, FIRST = 4, TEXT_MAX = 4096 };

static struct gg__facts_table *table;

static uint64_t state;
static unsigned draw(unsigned below)
{
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (unsigned)(state >> 33) % below;
}

/* ── Sessions, and what is true of them ──────────────────────────────────────────────────────────────────────────── */

enum { PATH, STATUS, FIELDS };
static const char *const fields[FIELDS] = {"http.path", "http.status"};

static struct of_session {
  char id[25];
  unsigned value[FIELDS][SAID_MAX]; /* distinct, in the order in which they are put */
  unsigned count[FIELDS];
  uint64_t bytes;
} all[SESSIONS];

static void draw_values(struct of_session *of, unsigned field)
{
  bool taken[VALUES] = {false};
  static const unsigned around[] = {GG_FACT_VALUES_MAX, GG_FACT_VALUES_MAX + 1, SAID_MAX};
  of->count[field] = draw(3) ? draw(6) : around[draw(3)];
  for (unsigned i = 0; i < of->count[field]; i++) {
    unsigned value = draw(VALUES);
    while (taken[value])
      value = (value + 1) % VALUES;
    taken[value] = true;
    of->value[field][i] = value;
  }
}

static void say(struct files *files, unsigned index)
{
  static char text[TEXT_MAX];
  struct of_session *of = &all[index];
  struct talk talk;
  size_t used = 0;
  talk_open(files, &talk, index + 1, (uint16_t)(4000 + index));
  memcpy(of->id, talk.id, sizeof of->id);
  for (unsigned i = 0; i < SAID_MAX; i++) {
    if (i < of->count[PATH])
      used += (size_t)snprintf(text + used, sizeof text - used, "path /p%u\n", of->value[PATH][i]);
    if (i < of->count[STATUS])
      used += (size_t)snprintf(text + used, sizeof text - used, "status %u\n", 200 + of->value[STATUS][i]);
  }
  used += (size_t)snprintf(text + used, sizeof text - used, "end\n");
  talk_say(files, &talk, GG_FROM_CLIENT, text, used / 2);
  talk_say(files, &talk, GG_FROM_CLIENT, text + used / 2, used - used / 2);
  talk_close(files, &talk);
  of->bytes = used;
}

static void say_all(struct files *files)
{
  for (unsigned i = 0; i < SESSIONS; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i / 10);
    if (i % 10 == 0)
      files_segment(files, name);
    for (unsigned field = 0; field < FIELDS; field++)
      draw_values(&all[i], field);
    say(files, i);
    if (i % 10 == 9)
      files_write(files);
  }
}

static void put_fact(struct gg__catalogue *catalogue, const char *id, unsigned field, unsigned value)
{
  char text[32];
  uint64_t number = 200 + value;
  struct gg_failure failure = GG_FAILURE_INIT;
  snprintf(text, sizeof text, "/p%u", value);
  if (gg__catalogue_fact(catalogue, id, fields[field], field == PATH ? text : NULL, field == PATH ? NULL : &number,
                         &failure) != 0)
    fail_msg("%s", failure.message);
}

static void put_facts(struct gg__catalogue *catalogue)
{
  assert_int_equal(gg__catalogue_begin(catalogue, NULL), 0);
  for (unsigned i = 0; i < SESSIONS; i++)
    for (unsigned field = 0; field < FIELDS; field++)
      for (unsigned j = 0; j < all[i].count[field]; j++)
        put_fact(catalogue, all[i].id, field, all[i].value[field][j]);
  assert_int_equal(gg__catalogue_commit(catalogue, NULL), 0);
}

static void make_catalogue(const char *dir)
{
  struct gg_session_list *list = NULL;
  struct gg_store *store = scanned(dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(dir, GG__CATALOGUE_WRITE);
  assert_int_equal(gg_session_list_count(list), SESSIONS);
  put_all(catalogue, store, list);
  put_facts(catalogue);
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
}

/* ── A decoder ───────────────────────────────────────────────────────────────────────────────────────────────────── */

struct decoder {
  struct gg__fact_finder finder;
  struct gg_store *store;
  unsigned asked;
  bool broken;
};

static int find_facts(void *context, const struct gg_session *session, const char *field,
                      int (*tell)(void *telling, const struct gg__fact_value *value), void *telling)
{
  struct decoder *decoder = context;
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  char said[TEXT_MAX];
  size_t length = 0;
  int result = 0;
  decoder->asked++;
  if (decoder->broken)
    return GG_ERR_IO;
  assert_int_equal(gg_reader_open(&reader, decoder->store, session, NULL), 0);
  while (gg_reader_next(reader, &chunk, NULL) == 1) {
    memcpy(said + length, chunk.data, chunk.length);
    length += chunk.length;
  }
  gg_reader_close(reader);
  said[length] = '\0';
  assert_non_null(strstr(said, "end\n"));
  for (char *save, *line = strtok_r(said, "\n", &save); line && !result; line = strtok_r(NULL, "\n", &save)) {
    unsigned number;
    if (strcmp(field, "http.status") == 0 && sscanf(line, "status %u", &number) == 1)
      result = tell(telling, &(struct gg__fact_value){.number = number});
    else if (strcmp(field, "http.path") == 0 && strncmp(line, "path ", 5) == 0)
      result = tell(telling, &(struct gg__fact_value){.text = line + 5});
  }
  return result;
}

static struct gg_store *open_store(const char *dir, struct decoder *decoder)
{
  struct gg_store *store = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, dir, NULL, &failure) != 0)
    fail_msg("%s", failure.message);
  if (decoder) {
    decoder->finder = (struct gg__fact_finder){decoder, find_facts};
    decoder->store = store;
    gg__store_set_finder(store, &decoder->finder);
  } else {
    gg__store_set_finder(store, NULL);
  }
  assert_int_equal(gg_store_refresh(store, &failure), 0);
  return store;
}

/* ── Filters, and what they say of each session by brute force ───────────────────────────────────────────────────── */

struct answer {
  bool real[SESSIONS];            /* by all values */
  enum gg__truth known[SESSIONS]; /* by those that are kept */
};

enum { ONE, TWO, BEGINNING, RANGE };

static bool holds(unsigned form, unsigned a, unsigned b, unsigned value)
{
  switch (form) {
  case ONE:
    return value == a;
  case TWO:
    return value == a || value == b;
  case BEGINNING:
    return (value < 10 ? value : value / 10) == a % 10;
  default:
    return value >= a && value <= a + b / 10;
  }
}

GG_PRINTF(2, 3) static char *put(char *at, const char *format, ...)
{
  va_list list;
  va_start(list, format);
  int length = vsnprintf(at, 64, format, list); /* a filter of this depth is shorter than TEXT_MAX */
  va_end(list);
  assert_in_range(length, 1, 63);
  return at + length;
}

/* What a comparison says of each session. */
static void answer_leaf(struct answer *answer, unsigned field, unsigned form, unsigned a, unsigned b, bool negated)
{
  for (unsigned i = 0; i < SESSIONS; i++) {
    const struct of_session *of = &all[i];
    enum gg__truth known = of->count[field] > GG_FACT_VALUES_MAX ? GG__PERHAPS : GG__NO;
    bool real = false;
    for (unsigned j = 0; j < of->count[field]; j++)
      if (holds(form, a, b, of->value[field][j])) {
        real = true;
        known = j < GG_FACT_VALUES_MAX ? GG__YES : known;
      }
    answer->real[i] = real != negated;
    answer->known[i] = negated ? (enum gg__truth)(GG__YES - known) : known;
  }
}

static char *draw_leaf(char *at, struct answer *answer)
{
  static const unsigned forms[FIELDS][3] = {[PATH] = {ONE, TWO, BEGINNING}, [STATUS] = {ONE, TWO, RANGE}};
  unsigned field = draw(FIELDS), form = forms[field][draw(3)], a = draw(VALUES + 10), b = draw(VALUES);
  bool negated = draw(3) == 0;
  const char *before = field == PATH ? "/p" : "";
  unsigned offset = field == PATH ? 0 : 200;
  answer_leaf(answer, field, form, a, b, negated);
  if (form == TWO)
    return put(at, "%s %sin (%s%u, %s%u)", fields[field], negated ? "not " : "", before, a + offset, before,
               b + offset);
  at = put(at, "%s %s ", fields[field], negated ? "!=" : "=");
  if (form == ONE)
    return put(at, "%s%u", before, a + offset);
  return form == BEGINNING ? put(at, "/p%u*", a % 10) : put(at, "%u..%u", a + offset, a + b / 10 + offset);
}

static void turn(struct answer *answer)
{
  for (unsigned i = 0; i < SESSIONS; i++) {
    answer->real[i] = !answer->real[i];
    answer->known[i] = (enum gg__truth)(GG__YES - answer->known[i]);
  }
}

static void join(struct answer *answer, const struct answer *other, bool both)
{
  for (unsigned i = 0; i < SESSIONS; i++) {
    bool takes = both ? other->known[i] < answer->known[i] : other->known[i] > answer->known[i];
    answer->known[i] = takes ? other->known[i] : answer->known[i];
    answer->real[i] = both ? answer->real[i] && other->real[i] : answer->real[i] || other->real[i];
  }
}

static void larger_than(struct answer *answer, unsigned bytes)
{
  for (unsigned i = 0; i < SESSIONS; i++) {
    answer->real[i] = all[i].bytes > bytes;
    answer->known[i] = all[i].bytes > bytes ? GG__YES : GG__NO;
  }
}

static char *draw_filter(char *at, unsigned depth, struct answer *answer)
{
  struct answer other;
  unsigned kind = depth == 0 ? 0 : draw(5), bytes = draw(3) * 500;
  if (kind == 0)
    return draw_leaf(at, answer);
  if (kind == 1) {
    at = draw_filter(put(at, "not ("), depth - 1, answer);
    turn(answer);
  } else if (kind == 2) {
    at = draw_filter(put(at, "(bytes > %u and ", bytes), depth - 1, answer);
    larger_than(&other, bytes);
    join(answer, &other, true);
  } else {
    at = draw_filter(put(at, "("), depth - 1, answer);
    at = draw_filter(put(at, kind == 3 ? " and " : " or "), depth - 1, &other);
    join(answer, &other, kind == 3);
  }
  return put(at, ")");
}

/* ── Holding one against the other ───────────────────────────────────────────────────────────────────────────────── */

static uint64_t doubted(const struct gg_store *store)
{
  uint64_t count = 0;
  const char *text;
  for (size_t i = 0; (text = gg_store_warning(store, i)); i++)
    if (strstr(text, "too many values of http."))
      count += strtoull(text, NULL, 10);
  return count;
}

static int add_sessions(void *context, const struct gg_total *total)
{
  *(uint64_t *)context += total->sessions;
  return 0;
}

/* Whether `index` is among the first so many by size of those that are wanted. */
static bool is_first(const bool wanted[SESSIONS], unsigned index)
{
  unsigned before = 0;
  for (unsigned i = 0; i < SESSIONS; i++)
    before += wanted[i] && (all[i].bytes > all[index].bytes || (all[i].bytes == all[index].bytes && i < index));
  return wanted[index] && before < FIRST;
}

static void check_select(struct gg_store *store, const struct gg_filter *filter, const char *text,
                         const bool wanted[SESSIONS], const bool unsure[SESSIONS], bool first)
{
  struct gg_select_options options = GG_SELECT_OPTIONS_INIT;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  bool found[SESSIONS] = {false};
  uint64_t doubts = 0;
  options.filter = filter;
  options.sort = first ? "-bytes" : NULL;
  options.limit = first ? FIRST : 0;
  if (gg_store_select(store, &options, &list, &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  for (size_t i = 0; i < gg_session_list_count(list); i++)
    found[strtoul(gg_session_list_at(list, i)->id + 20, NULL, 16) - 1] = true;
  for (unsigned i = 0; i < SESSIONS; i++) {
    if (found[i] != (first ? is_first(wanted, i) : wanted[i]))
      fail_msg("%s: session %u is %sfound", text, i, found[i] ? "" : "not ");
    doubts += found[i] && unsure[i];
  }
  if (doubted(store) != doubts)
    fail_msg("%s: %llu in doubt, not %llu", text, (unsigned long long)doubted(store), (unsigned long long)doubts);
  gg_session_list_destroy(list);
}

static void check(struct gg_store *store, const struct gg_filter *filter, const char *text, const bool wanted[SESSIONS],
                  const bool unsure[SESSIONS])
{
  uint64_t count = 0, expected = 0, doubts = 0;
  check_select(store, filter, text, wanted, unsure, false);
  check_select(store, filter, text, wanted, unsure, true);
  for (unsigned i = 0; i < SESSIONS; i++) {
    expected += wanted[i];
    doubts += wanted[i] && unsure[i];
  }
  assert_int_equal(gg_store_totals(store, filter, "client", add_sessions, &count, NULL), 0);
  assert_int_equal(count, expected);
  assert_int_equal(doubted(store), doubts);
}

/* One session is apart: what people say of it is newer than the catalogue. */
static void set_apart(struct gg_store *store)
{
  static const char *const add[] = {"apart"};
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  const char *word = "id=018c00000000000000000003";
  struct gg_filter *filter = NULL;
  assert_int_equal(gg_filter_parse(&filter, &word, 1, 0, NULL), 0);
  assert_int_equal(gg_store_query(store, filter, &list, &failure), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  if (gg_store_tag(store, list, add, 1, NULL, 0, &failure) != 0)
    fail_msg("%s", failure.message);
  gg_session_list_destroy(list);
  gg_filter_destroy(filter);
}

static struct gg_filter *parse(const char *text)
{
  struct gg_filter *filter = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__filter_parse_with(&filter, text, 0, table, &failure) != 0)
    fail_msg("%s: %s", text, failure.message);
  return filter;
}

static unsigned perhaps_count,
  wrong_count; /* of answers: that were not sure, and of these the ones that do not match */

static void check_filters(struct gg_store *const stores[5])
{
  static const bool nobody[SESSIONS];
  for (unsigned i = 0; i < FILTERS; i++) {
    char text[TEXT_MAX];
    struct answer answer;
    bool may[SESSIONS], unsure[SESSIONS];
    draw_filter(text, 3, &answer);
    for (unsigned j = 0; j < SESSIONS; j++) {
      may[j] = answer.known[j] != GG__NO;
      unsure[j] = answer.known[j] == GG__PERHAPS;
      assert_true(unsure[j] || may[j] == answer.real[j]);
      perhaps_count += unsure[j];
      wrong_count += unsure[j] && !answer.real[j];
    }
    struct gg_filter *filter = parse(text);
    struct gg_session_list *list = NULL;
    struct gg_failure failure = GG_FAILURE_INIT;
    check(stores[0], filter, text, may, unsure);         /* by catalogue, and nobody finds anything */
    check(stores[1], filter, text, answer.real, nobody); /* by catalogue, and somebody does */
    check(stores[2], filter, text, may, unsure);         /* by catalogue, and somebody cannot */
    check(stores[3], filter, text, answer.real, nobody); /* by sweep, and somebody does */
    /* By sweep, and nobody does. */
    assert_int_equal(gg_store_query(stores[4], filter, &list, &failure), GG_ERR_UNSUPPORTED);
    assert_non_null(strstr(failure.message, "nothing is known of http."));
    assert_int_equal(gg_store_totals(stores[4], filter, "client", add_sessions, NULL, NULL), GG_ERR_UNSUPPORTED);
    gg_filter_destroy(filter);
  }
}

/* Nobody goes through segments for what is known without. */
static void check_need(struct gg_store *const stores[5], const struct decoder decoders[3])
{
  static const char *const texts[] = {"http.path = /p7 and bytes > 1G", "http.path != /p7 or bytes > 0",
                                      "not (http.status = 207 or http.path = /p7) and listener = other"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct gg_filter *filter = parse(texts[i]);
    unsigned asked[2] = {decoders[0].asked, decoders[2].asked};
    for (unsigned j = 0; j < 2; j++) {
      struct gg_session_list *list = NULL;
      assert_int_equal(gg_store_query(stores[j == 0 ? 1 : 3], filter, &list, NULL), 0);
      assert_int_equal(gg_session_list_count(list), i == 1 ? SESSIONS : 0);
      gg_session_list_destroy(list);
    }
    assert_int_equal(asked[0], decoders[0].asked);
    assert_int_equal(asked[1], decoders[2].asked);
    gg_filter_destroy(filter);
  }
}

static void random_facts_are_found(void **unused)
{
  (void)unused;
  for (unsigned seed = 1; seed <= SEEDS; seed++) {
    struct files files;
    struct decoder decoders[3] = {{.asked = 0}, {.broken = true}, {.asked = 0}};
    struct gg_store *stores[5];
    state = seed;
    files_begin(&files);
    say_all(&files);
    stores[3] = open_store(files.dir, &decoders[2]);
    stores[4] = open_store(files.dir, NULL);
    make_catalogue(files.dir);
    stores[0] = open_store(files.dir, NULL);
    stores[1] = open_store(files.dir, &decoders[0]);
    stores[2] = open_store(files.dir, &decoders[1]);
    for (unsigned i = 0; i < 4 && seed % 2; i++)
      set_apart(stores[i]);
    check_filters(stores);
    assert_true(decoders[0].asked > 0 && decoders[1].asked > 0 && decoders[2].asked > 0);
    check_need(stores, decoders);
    for (unsigned i = 0; i < 5; i++)
      gg_store_close(stores[i]);
    files_end(&files);
  }
  assert_true(perhaps_count > 200 && wrong_count > 100);
}

/* ── What becomes of them ────────────────────────────────────────────────────────────────────────────────────────── */

static size_t found_by(const char *dir, const char *text)
{
  struct gg_store *store = open_store(dir, NULL);
  struct gg_filter *filter = parse(text);
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_query(store, filter, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  size_t count = gg_session_list_count(list);
  gg_session_list_destroy(list);
  gg_filter_destroy(filter);
  gg_store_close(store);
  return count;
}

static int count_rows(const char *dir)
{
  char path[128];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  catalogue_path(dir, path);
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  static const char sql[] = "SELECT count(*) FROM facts WHERE field LIKE 'http.%'";
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  int count = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return count;
}

static int count_changed(void *context, struct gg__record *record)
{
  ++*(unsigned *)context;
  gg__record_free(record);
  return 0;
}

static unsigned changed_since(struct gg__catalogue *catalogue, uint64_t revision)
{
  unsigned count = 0;
  assert_int_equal(gg__catalogue_changed(catalogue, NULL, revision, count_changed, &count, NULL), 0);
  return count;
}

static void begin_with_one(struct files *files)
{
  files_begin(files);
  for (unsigned i = 0; i < SESSIONS; i++)
    memset(all[i].count, 0, sizeof all[i].count);
  for (unsigned i = 0; i < 2; i++) {
    files_segment(files, i == 0 ? "0000.pcapng" : "0001.pcapng");
    for (unsigned j = i * 10; j < i * 10 + 10; j++)
      say(files, j);
    files_write(files);
  }
  make_catalogue(files->dir);
}

static void put_two(struct gg__catalogue *catalogue)
{
  assert_int_equal(gg__catalogue_begin(catalogue, NULL), 0);
  put_fact(catalogue, all[3].id, PATH, 7);
  for (unsigned i = 0; i <= GG_FACT_VALUES_MAX + 1; i++)
    put_fact(catalogue, all[13].id, STATUS, i);
  assert_int_equal(gg__catalogue_commit(catalogue, NULL), 0);
}

/* What is there changes nothing, nor does one too many once more; a batch that is given up leaves nothing. */
static void again_changes_nothing(void **unused)
{
  (void)unused;
  struct files files;
  uint64_t revision;
  begin_with_one(&files);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  assert_int_equal(gg__catalogue_revision(catalogue, &revision, NULL), 0);
  put_two(catalogue);
  assert_int_equal(changed_since(catalogue, revision), 2);
  assert_int_equal(gg__catalogue_revision(catalogue, &revision, NULL), 0);
  put_two(catalogue);
  assert_int_equal(changed_since(catalogue, revision), 0);
  assert_int_equal(count_rows(files.dir), 1 + GG_FACT_VALUES_MAX + 1);
  assert_int_equal(gg__catalogue_begin(catalogue, NULL), 0);
  put_fact(catalogue, all[4].id, PATH, 8);
  gg__catalogue_abandon(catalogue);
  gg__catalogue_close(catalogue);
  assert_int_equal(found_by(files.dir, "http.path = /p7"), 1);
  assert_int_equal(found_by(files.dir, "http.path = /p8"), 0);
  assert_int_equal(found_by(files.dir, "http.path != /p7"), SESSIONS - 1);
  files_end(&files);
}

/* Returns how many lines are different, if it is only to compare. */
static uint64_t reindex(const char *dir, bool check_only)
{
  struct gg_reindex_options options = GG_REINDEX_OPTIONS_INIT;
  struct gg_reindex_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  options.check = check_only;
  if (gg_store_reindex(dir, &options, &result, &failure) != 0)
    fail_msg("%s", failure.message);
  return result.different;
}

/* A catalogue that is made anew has none, until they are put again; it is no other one for that. */
static void they_are_put_again_after_a_reindex(void **unused)
{
  (void)unused;
  struct files files;
  begin_with_one(&files);
  reindex(files.dir, false);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_two(catalogue);
  gg__catalogue_close(catalogue);
  assert_int_equal(found_by(files.dir, "http.path = /p7 or http.status = 200"), 2);
  assert_int_equal(reindex(files.dir, true), 0);
  reindex(files.dir, false);
  assert_int_equal(found_by(files.dir, "http.path = /p7 or http.status = 200"), 0);
  assert_int_equal(count_rows(files.dir), 0);
  catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_two(catalogue);
  gg__catalogue_close(catalogue);
  assert_int_equal(found_by(files.dir, "http.path = /p7 or http.status = 200"), 2);
  files_end(&files);
}

/* Whoever is put again keeps them; whose only segment goes, loses them, and comes back without. */
static void they_go_with_the_session(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_session_list *list = NULL;
  begin_with_one(&files);
  struct gg_store *store = scanned(files.dir, &list);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_two(catalogue);
  put_all(catalogue, store, list);
  assert_int_equal(found_by(files.dir, "http.path = /p7"), 1);
  const char *name = gg_session_segment(gg_session_list_at(list, 3), 0);
  assert_int_equal(gg__catalogue_forget_segment(catalogue, name, NULL), 0);
  assert_int_equal(count_rows(files.dir), GG_FACT_VALUES_MAX + 1); /* of the other session */
  assert_int_equal(gg__catalogue_begin(catalogue, NULL), 0);
  assert_int_equal(gg__catalogue_fact(catalogue, all[3].id, "http.path", "/p7", NULL, NULL), GG_ERR_NOT_FOUND);
  gg__catalogue_abandon(catalogue);
  put_all(catalogue, store, list);
  assert_int_equal(found_by(files.dir, "http.path = /p7"), 0);
  put_two(catalogue);
  assert_int_equal(found_by(files.dir, "http.path = /p7"), 1);
  assert_int_equal(count_rows(files.dir), 1 + GG_FACT_VALUES_MAX + 1);
  gg__catalogue_close(catalogue);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&files);
}

/* Who goes through packets asks first whose these are. */
static void others_ask(void **unused)
{
  (void)unused;
  struct files files;
  struct gg_verify_result result;
  struct gg_plan_options options = {.path = files.dir};
  struct gg_plan *plan = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  begin_with_one(&files);
  reindex(files.dir, false);
  struct gg__catalogue *catalogue = catalogue_open(files.dir, GG__CATALOGUE_WRITE);
  put_two(catalogue);
  gg__catalogue_close(catalogue);
  struct gg_store *store = open_store(files.dir, NULL);
  struct gg_filter *filter = parse("http.path = /p7 or proto = nothing");
  assert_int_equal(gg_store_verify(store, filter, NULL, NULL, &result, &failure), 0);
  options.filter = filter;
  assert_int_equal(gg__plan_create(&plan, &options, NULL), 0);
  struct gg_script *script = gg__plan_script(plan);
  assert_int_equal(script->ops->count(script), 1);
  gg__plan_destroy(plan);
  gg_filter_destroy(filter);
  gg_store_close(store);
  files_end(&files);
}

static int set_up(void **unused)
{
  (void)unused;
  assert_int_equal(gg__facts_table_create(&table), 0);
  assert_int_equal(gg__facts_table_add(table, "http.path", GG__KIND_TEXT, "path", "http.path=/x*", NULL), 0);
  assert_int_equal(gg__facts_table_add(table, "http.status", GG__KIND_NUMBER, "status", "http.status=404", NULL), 0);
  return 0;
}

static int tear_down(void **unused)
{
  (void)unused;
  gg__facts_table_destroy(table);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_facts_are_found),
    cmocka_unit_test(again_changes_nothing),
    cmocka_unit_test(they_go_with_the_session),
    cmocka_unit_test(they_are_put_again_after_a_reindex),
    cmocka_unit_test(others_ask),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
