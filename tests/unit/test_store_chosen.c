/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep with a filter tells the same of the sessions that match, whether a catalogue says where they are or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "failing_memory.h"
#include "random_store.h"
#include "retention_scene.h"
#include "store/chosen.h"
#include "store/hash.h"
#include "store/sweep.h"

#include <sqlite3.h>
#include <sys/types.h>

enum { SEGMENTS = 6, NOW = 1700000100, TOLD_BYTES_MAX = 1 << 18, FILES_MAX = 32 };

static atomic_size_t bytes_read; /* lanes of a scan read at once */

ssize_t __real_pread64(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t bytes, off_t offset)
{
  ssize_t got = __real_pread64(fd, data, bytes, offset);
  bytes_read += got > 0 ? (size_t)got : 0;
  return got;
}

/* ── What a sweep tells ──────────────────────────────────────────────────────────────────────────────────────────── */

/* What stays from one sweep to the next. */
struct asking {
  const char *remove[2]; /* files that go just before they are read; NULL: none */
  struct scene *prune;   /* all of its segments go when the first one is to be read; NULL: none does */
  bool anywhere;         /* where the bytes are is not told */
};

struct told {
  const struct gg_filter *filter;
  char text[TOLD_BYTES_MAX]; /* a line for each session that matches */
  size_t length;
  unsigned matched, begun, dropped;
  char paths[FILES_MAX][256];
  uint32_t files;
  char warnings[8][600];
  size_t warning_count;
  bool finished; /* progress has said that all was read */
  struct asking asking;
};

/* Of one session: all of its pieces. */
struct token {
  struct told *told;
  uint64_t sum, pieces;
};

static int on_file(void *context, uint32_t index, const char *path)
{
  struct told *told = context;
  assert_int_equal(index, told->files);
  assert_true(index < FILES_MAX);
  snprintf(told->paths[told->files++], sizeof told->paths[0], "%s", path);
  for (size_t i = 0; i < 2; i++)
    if (told->asking.remove[i] && strstr(path, told->asking.remove[i]))
      assert_int_equal(unlink(path), 0);
  if (told->asking.prune && index == 0)
    prune(told->asking.prune, (struct gg_prune_options){.max_age_ns = 1});
  return 0;
}

static int on_begin(void *context, void **out, const struct gg_session *begun)
{
  struct told *told = context;
  struct token *token = malloc(sizeof *token);
  if (!token)
    return GG_ERR_NOMEM;
  *token = (struct token){.told = told, .sum = gg__hash(begun->id, 24)};
  told->begun++;
  *out = token;
  return 0;
}

static uint64_t add(uint64_t sum, uint64_t value)
{
  return (sum ^ value) * UINT64_C(0x100000001b3);
}

static int on_piece(void *context, void **at, const struct gg_sweep_piece *piece)
{
  struct told *told = context;
  struct token *token = *at;
  const uint64_t values[] = {
    (uint64_t)piece->kind, (uint64_t)piece->side, piece->begins_chunk, piece->time_ns,
    piece->offset,         piece->length,         piece->gap,          told->asking.anywhere ? 0 : piece->place};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
    token->sum = add(token->sum, values[i]);
  for (uint32_t i = 0; i < piece->length; i++)
    token->sum = add(token->sum, piece->data[i]);
  const char *path = told->paths[piece->file];
  token->sum = add(token->sum, told->asking.anywhere ? 0 : gg__hash(path, strlen(path)));
  token->pieces++;
  return 0;
}

static void put(struct told *told, const struct token *token, const struct gg_session *session)
{
  char *at = told->text + told->length;
  size_t room = sizeof told->text - told->length;
  int length = snprintf(
    at, room,
    "%s %d %d%d %s %s %s %s %s %llu-%llu %llu/%llu %llu/%llu %u %s %s tags %zu %s held %d as %s: %llu, %llu\n",
    session->id, (int)session->state, session->foreign, session->beginning_missing, session->client, session->server,
    session->listener, session->upstream, session->close, (unsigned long long)session->start_ns,
    (unsigned long long)session->end_ns, (unsigned long long)session->bytes[0], (unsigned long long)session->bytes[1],
    (unsigned long long)session->gaps[0], (unsigned long long)session->gaps[1], session->segments, session->conn_state,
    session->history, session->tag_count, session->tag_count ? session->tags[0] : "", session->held,
    session->as_sent_of, (unsigned long long)token->pieces, (unsigned long long)token->sum);
  assert_true(length > 0 && (size_t)length < room);
  told->length += (size_t)length;
}

static int on_end(void *context, void **at, const struct gg_session *session)
{
  struct told *told = context;
  struct token *token = *at;
  if (gg_filter_match(told->filter, session)) {
    told->matched++;
    put(told, token, session);
  }
  free(token);
  return 0;
}

static void on_drop(void *at)
{
  struct token *token = at;
  token->told->dropped++;
  free(token);
}

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
  struct told *told = context;
  assert_true(done <= total);
  told->finished = done == total;
  return true;
}

static void on_warning(void *context, const char *text)
{
  struct told *told = context;
  assert_true(told->warning_count < 8);
  snprintf(told->warnings[told->warning_count++], sizeof told->warnings[0], "%s", text);
}

static const struct gg_sweep_ops ops = {
  .file = on_file,
  .begin = on_begin,
  .piece = on_piece,
  .end = on_end,
  .progress = on_progress,
  .warning = on_warning,
};

static struct gg_filter *parse(const char *expression)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  if (gg_filter_parse_text(&filter, expression, NOW * GG_NS_PER_S, &failure) != 0)
    fail_msg("%s", failure.message);
  return filter;
}

static int sweep(const char *dir, const struct gg_filter *filter, struct told *told, struct gg_failure *failure)
{
  const struct asking asking = told->asking;
  memset(told, 0, sizeof *told);
  told->asking = asking;
  told->filter = filter;
  bytes_read = 0;
  return gg_sweep(dir, filter, &ops, on_drop, told, failure);
}

static void sweep_well(const char *dir, const struct gg_filter *filter, struct told *told)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (sweep(dir, filter, told, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_true(told->finished);
}

static struct told by_catalogue, by_all; /* large */

/* The catalogue as others leave it, and as it is without any. */
static void hide_catalogue(const char *dir, bool hide)
{
  char path[128], hidden[160];
  catalogue_path(dir, path);
  snprintf(hidden, sizeof hidden, "%s.hidden", path);
  assert_int_equal(rename(hide ? path : hidden, hide ? hidden : path), 0);
}

/* How many match. */
static unsigned compare(const char *dir, const char *expression)
{
  struct gg_filter *filter = parse(expression);
  sweep_well(dir, filter, &by_catalogue);
  hide_catalogue(dir, true);
  sweep_well(dir, filter, &by_all);
  hide_catalogue(dir, false);
  assert_string_equal(by_catalogue.text, by_all.text);
  assert_int_equal(by_catalogue.matched, by_all.matched);
  assert_true(by_catalogue.begun <= by_all.begun);
  gg_filter_destroy(filter);
  return by_catalogue.matched;
}

static unsigned compare_all(const char *dir)
{
  static const char *const expressions[] = {
    "bytes > 3000",
    "bytes > 3000 or gaps > 0",
    "client = 192.0.2.1:4003",
    "state = open",
    "state = cut",
    "state != closed",
    "state = closed",
    "segments > 1",
    "segments > 2",
    "gaps > 0",
    "id = 018c0000000000000000000b",
    "close = client-fin",
    "bytes = 0",
    "listener = nothing",
    "tag = noise",
    "tag != noise",
    "held or tag = x",
    "partial",
  };
  unsigned matched = 0;
  for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
    matched += compare(dir, expressions[i]);
    assert_int_equal(by_catalogue.warning_count, 0);
  }
  return matched;
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The catalogue is as old as it happens: of nothing, of a part of a segment, of all. */
static void tells_what_a_sweep_of_all_tells(void **state)
{
  (void)state;
  static struct making making;
  making = (struct making){0};
  files_begin(&making.files);
  const char *dir = making.files.dir;
  unsigned matched = 0;
  for (unsigned s = 1; s <= SEGMENTS; s++) {
    begin_segment(&making, s);
    for (unsigned step = 0; step < 40; step++) {
      say_something(&making);
      if (step % 13 != 5)
        continue;
      files_write(&making.files);
      if (step % 2 == 1)
        catalogue_now(dir, false);
      matched += s > 1 ? compare_all(dir) : 0;
    }
    files_write(&making.files);
    matched += compare_all(dir);
  }
  catalogue_now(dir, true);
  matched += compare_all(dir);
  assert_true(matched > 1000);
  files_end(&making.files);
}

static void facts_of_what_was_sent(const void *session, struct gg_json *json)
{
  const struct talk *talk = session;
  talk_facts(talk, json);
  gg_json_field_string(json, "as_sent_of", "018c00000000000000000001");
}

/* What a plug-in has sent instead of a session's bytes is a session that is asked for by itself. */
static void what_was_sent_instead(void **state)
{
  (void)state;
  static struct files files;
  static struct talk came, sent;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &came, 1, 4001);
  talk_say(&files, &came, GG_FROM_CLIENT, "as it came", 10);
  sent = came;
  snprintf(sent.id, sizeof sent.id, "018c00000000000000000002");
  struct gg_addr client, server;
  gg_addr_parse(&client, "198.51.100.1:4001");
  gg_addr_parse(&server, "198.51.100.9:8080");
  gg_conversation_init(&sent.conversation, &client, &server, (const uint32_t[]){1, 2}, facts_of_what_was_sent, &sent);
  files.length += gg_conversation_open(&sent.conversation, files.bytes + files.length, files.number, files.time_ns);
  talk_say(&files, &sent, GG_FROM_CLIENT, "as it was sent", 14);
  files_write(&files);
  catalogue_now(files.dir, true);
  assert_int_equal(compare(files.dir, "id = 018c00000000000000000002"), 1);
  assert_non_null(strstr(by_catalogue.text, "as 018c00000000000000000001:"));
  assert_int_equal(compare(files.dir, "as_sent_of = 018c00000000000000000001"), 1);
  assert_int_equal(compare(files.dir, "id = 018c00000000000000000001"), 1);
  assert_int_equal(compare(files.dir, "id = 018c0000"), 2);
  files_end(&files);
}

static void knows_what_people_say(void **state)
{
  (void)state;
  static struct making making;
  make_some(&making, 3);
  const char *dir = making.files.dir, *const noise[] = {"noise"};
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_filter *some = parse("bytes > 4000");
  char journal[160];
  catalogue_now(dir, true);
  assert_int_equal(gg_store_open(&store, dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, some, &list, NULL), 0);
  unsigned count = (unsigned)gg_session_list_count(list);
  assert_true(count > 3);
  assert_int_equal(gg_store_tag(store, list, noise, 1, NULL, 0, NULL), 0);
  gg_session_list_destroy(list);
  gg_store_close(store);
  assert_int_equal(compare(dir, "tag = noise"), count);
  assert_int_equal(compare(dir, "tag = noise and not held"), count);
  assert_int_equal(compare(dir, "held"), 0);
  snprintf(journal, sizeof journal, "%s/journal", dir);
  files_remove_in(journal);
  gg_filter_destroy(some);
  files_end(&making.files);
}

/* One small session in a large store. */
static void reads_little_else(void **state)
{
  (void)state;
  struct files files;
  struct talk talk[2];
  static uint8_t data[60000];
  files_begin(&files);
  for (unsigned s = 1; s <= 4; s++) {
    char name[40];
    snprintf(name, sizeof name, "%04u.pcapng", s);
    files_segment(&files, name);
    if (s == 1)
      talk_open(&files, &talk[0], 1, 4001);
    for (unsigned i = 0; i < 60; i++) {
      talk_say(&files, &talk[0], GG_FROM_CLIENT, data, sizeof data);
      if (s == 2 && i == 30)
        talk_open(&files, &talk[1], 2, 4002);
      if (s == 3 && i == 30) {
        talk_say(&files, &talk[1], GG_FROM_SERVER, data, 100);
        talk_close(&files, &talk[1]);
      }
    }
    files_write(&files);
  }
  catalogue_now(files.dir, true);
  assert_int_equal(compare(files.dir, "id = 018c00000000000000000002"), 1);
  size_t of_all = bytes_read;
  struct gg_filter *filter = parse("id = 018c00000000000000000002");
  sweep_well(files.dir, filter, &by_catalogue);
  assert_int_equal(by_catalogue.files, 2);
  assert_int_equal(by_catalogue.begun, 1);
  assert_true(of_all > 14000000);
  assert_true(bytes_read < of_all / 20);
  gg_filter_destroy(filter);
  files_end(&files);
}

/* Captures of others, with ports that are used again, interfaces behind packets, and damage. */
static void captures_of_others(void **state)
{
  (void)state;
  struct files files;
  unsigned matched = 0;
  files_begin(&files);
  put_captures_of_others(&files);
  catalogue_now(files.dir, true);
  struct gg_filter *all = parse("");
  sweep_well(files.dir, all, &by_all);
  gg_filter_destroy(all);
  static char ids[TOLD_BYTES_MAX];
  memcpy(ids, by_all.text, sizeof ids);
  for (const char *line = ids; *line; line = strchr(line, '\n') + 1) {
    char expression[64];
    snprintf(expression, sizeof expression, "id = %.24s", line);
    matched += compare(files.dir, expression);
  }
  assert_true(matched > 5);
  matched = compare(files.dir, "foreign");
  assert_true(matched > 3);
  files_end(&files);
}

/* A session in the second and third of three segments; others in all. */
static void make_three(struct files *files)
{
  struct talk talk[2];
  files_begin(files);
  for (unsigned s = 1; s <= 3; s++) {
    char name[40];
    snprintf(name, sizeof name, "%04u.pcapng", s);
    files_segment(files, name);
    if (s == 1)
      talk_open(files, &talk[0], 1, 4001);
    if (s == 2)
      talk_open(files, &talk[1], 2, 4002);
    talk_say(files, &talk[0], GG_FROM_CLIENT, "to and fro", 10);
    if (s > 1)
      talk_say(files, &talk[1], GG_FROM_CLIENT, "walking", 7);
    files_write(files);
  }
  catalogue_now(files->dir, true);
}

static void files_go_meanwhile(void **state)
{
  (void)state;
  struct files files;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *second = parse("id = 018c00000000000000000002");
  make_three(&files);
  by_catalogue.asking.remove[0] = "0003.pcapng";
  sweep_well(files.dir, second, &by_catalogue);
  assert_int_equal(by_catalogue.matched, 1);
  assert_int_equal(by_catalogue.warning_count, 1);
  assert_string_equal(by_catalogue.warnings[0],
                      "0003.pcapng has gone from the store while it was asked, and with that a "
                      "part of the sessions that match");
  files_end(&files);

  make_three(&files);
  by_catalogue.asking.remove[0] = "0002.pcapng";
  by_catalogue.asking.remove[1] = "0003.pcapng";
  assert_int_equal(sweep(files.dir, second, &by_catalogue, &failure), GG_ERR_NOT_FOUND);
  assert_int_equal(by_catalogue.warning_count, 0);
  assert_string_equal(failure.message, "0002.pcapng and 1 more have gone from the store while it was asked, and with "
                                       "that all sessions that match");
  memset(by_catalogue.asking.remove, 0, sizeof by_catalogue.asking.remove);
  sweep_well(files.dir, second, &by_catalogue); /* it knows by now */
  assert_int_equal(by_catalogue.begun, 0);
  assert_int_equal(by_catalogue.warning_count, 0);
  gg_filter_destroy(second);
  files_end(&files);
}

/* Retention takes all that it may when the first file is to be read. What was held is told as before, and of the others
 * it is said that they have gone. */
static void sweep_beside_prune(const char *expression, bool by_catalogue_too)
{
  void *state = NULL;
  begin(&state);
  struct scene *scene = state;
  const char *dir = scene->files.dir;
  struct gg_filter *asked = parse(expression), *kept = parse("held");
  catalogue_now(dir, true);
  if (!by_catalogue_too)
    hide_catalogue(dir, true);
  hold(scene, 1, true);
  by_all.asking.anywhere = by_catalogue.asking.anywhere = true;
  sweep_well(dir, kept, &by_all);
  assert_int_equal(by_all.matched, 1);
  by_catalogue.asking.prune = scene;
  sweep_well(dir, asked, &by_catalogue);
  by_catalogue.asking.prune = NULL;
  by_all.asking.anywhere = by_catalogue.asking.anywhere = false;
  assert_string_equal(by_catalogue.text, by_all.text);
  gg_filter_destroy(asked);
  gg_filter_destroy(kept);
  end(&state);
}

static void held_ones_are_read_where_they_are_kept(void **state)
{
  (void)state;
  sweep_beside_prune("id = 018c00000000000000000001", true);
  assert_int_equal(by_catalogue.warning_count, 0);
  assert_int_equal(by_catalogue.files, 6); /* each of three, and what was kept of it */
  sweep_beside_prune("id = 018c00000000000000000001", false);
  assert_int_equal(by_catalogue.warning_count, 0);
  sweep_beside_prune("bytes > 0", true);
  assert_int_equal(by_catalogue.warning_count, 1);
  assert_non_null(strstr(by_catalogue.warnings[0], "000001.pcapng and 2 more have gone from the store"));
  sweep_beside_prune("bytes > 0", false);
}

/* What is wrong with a file is told if it is where something is read, and only then. */
static void damage_is_told_where_it_is_read(void **state)
{
  (void)state;
  struct files files;
  struct talk talk[3];
  char path[160];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  size_t ends[3];
  static uint8_t data[50000];
  for (unsigned i = 0; i < 3; i++) {
    talk_open(&files, &talk[i], i + 1, (uint16_t)(4001 + i));
    for (unsigned round = 0; round < 4; round++)
      talk_say(&files, &talk[i], GG_FROM_SERVER, data, sizeof data);
    talk_close(&files, &talk[i]);
    ends[i] = files.length;
  }
  files_write(&files);
  catalogue_now(files.dir, true);
  snprintf(path, sizeof path, "%s/segments/0001.pcapng", files.dir);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_int_equal(pwrite(fd, "\1\1\1\1", 4, (off_t)ends[1] - 4), 4); /* a block's second length */
  close(fd);
  struct gg_filter *filter = parse("id = 018c00000000000000000001");
  sweep_well(files.dir, filter, &by_catalogue);
  assert_int_equal(by_catalogue.matched, 1);
  assert_int_equal(by_catalogue.warning_count, 0);
  gg_filter_destroy(filter);
  filter = parse("id = 018c00000000000000000002");
  sweep_well(files.dir, filter, &by_catalogue);
  assert_int_equal(by_catalogue.begun, 1);
  assert_int_equal(by_catalogue.warning_count, 1);
  assert_non_null(strstr(by_catalogue.warnings[0], "0001.pcapng"));
  gg_filter_destroy(filter);
  files_end(&files);
}

/* One warning more, and everything is read. */
static void a_catalogue_that_cannot_be_read(void **state)
{
  (void)state;
  static const char *const troubles[] = {"PRAGMA user_version = 99", "UPDATE sessions SET parts = x'ff'"};
  for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
    static struct making making;
    char path[128];
    sqlite3 *db = NULL;
    make_some(&making, 3);
    files_write_part(&making.files, making.files.length - 3);
    catalogue_now(making.files.dir, true);
    assert_true(compare(making.files.dir, "bytes > 3000") > 3);
    assert_int_equal(by_catalogue.warning_count, 1);
    assert_non_null(strstr(by_catalogue.warnings[0], "0003.pcapng"));
    catalogue_path(making.files.dir, path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, troubles[i], NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_true(compare(making.files.dir, "bytes > 3000") > 3);
    assert_int_equal(by_catalogue.begun, by_all.begun);
    assert_int_equal(by_catalogue.warning_count, 2);
    assert_non_null(strstr(by_catalogue.warnings[0], "gogetway reindex"));
    assert_non_null(strstr(by_catalogue.warnings[1], "0003.pcapng"));
    files_end(&making.files);
  }
}

static void no_memory(void **state)
{
  (void)state;
  static struct making making;
  struct gg_filter *filter = parse("bytes > 1000");
  make_some(&making, 3);
  catalogue_now(making.files.dir, true);
  for (failing = 1;; failing++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    calls = 0;
    live = 0;
    counting = true;
    int error = sweep(making.files.dir, filter, &by_catalogue, &failure);
    counting = false;
    assert_int_equal(live, 0);
    if (error)
      assert_int_equal(error, GG_ERR_NOMEM);
    else if (calls < failing)
      break;
    assert_true(!error || failure.message[0]);
  }
  assert_true(failing > 100);
  failing = 0;
  gg_filter_destroy(filter);
  files_end(&making.files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(tells_what_a_sweep_of_all_tells),
    cmocka_unit_test(what_was_sent_instead),
    cmocka_unit_test(knows_what_people_say),
    cmocka_unit_test(reads_little_else),
    cmocka_unit_test(captures_of_others),
    cmocka_unit_test(files_go_meanwhile),
    cmocka_unit_test(held_ones_are_read_where_they_are_kept),
    cmocka_unit_test(damage_is_told_where_it_is_read),
    cmocka_unit_test(a_catalogue_that_cannot_be_read),
    cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
