/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep tells what a query of the same files tells: every session once, with all that is known of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/place.h"
#include "store/sweep.h"
#include "store_files.h"

#include <fcntl.h>
#include <gogetway/store.h>
#include <sys/file.h>

enum { SESSIONS_MAX = 256, WARNINGS_MAX = 16 };

struct swept {
  struct gg_session session;
  char listener[64], upstream[64], close[64], why[64], verdict[64], verdict_by[64], tags[256];
};

struct sweeping {
  struct swept swept[SESSIONS_MAX];
  size_t count;
  size_t open, open_most;
  uint64_t bytes[2]; /* of all pieces */
  uint64_t fins, resets;
  char paths[16][256];
  uint32_t files;
  char warnings[WARNINGS_MAX][400];
  size_t warning_count;
  int fail_piece; /* that many pieces from now; 0: none */
  size_t dropped;
  uint64_t done, total;
};

struct token {
  struct sweeping *sweeping;
  char id[25];
  uint64_t next[2];
};

/* How many files there seem to be; 0: those that there are. */
static unsigned files_seen;

int __real_gg__place_each(const struct gg__place *place, int (*found)(void *context, const char *name), void *context,
                          struct gg_failure *failure);
int __wrap_gg__place_each(const struct gg__place *place, int (*found)(void *context, const char *name), void *context,
                          struct gg_failure *failure);
int __wrap_gg__place_each(const struct gg__place *place, int (*found)(void *context, const char *name), void *context,
                          struct gg_failure *failure)
{
  if (!files_seen)
    return __real_gg__place_each(place, found, context, failure);
  int error = 0;
  for (unsigned i = 0; i < files_seen && !error; i++)
    error = found(context, "x.pcapng");
  return error ? gg_fail(failure, error, "cannot list the files") : 0;
}

static int on_file(void *context, uint32_t index, const char *path)
{
  struct sweeping *sweeping = context;
  assert_int_equal(index, sweeping->files++);
  if (index < 16)
    snprintf(sweeping->paths[index], sizeof sweeping->paths[0], "%s", path);
  return 0;
}

static int on_begin(void *context, void **token, const struct gg_session *begun)
{
  struct sweeping *sweeping = context;
  struct token *made = calloc(1, sizeof *made);
  assert_non_null(made);
  made->sweeping = sweeping;
  memcpy(made->id, begun->id, sizeof made->id);
  assert_true(begun->client[0] && begun->server[0]);
  *token = made;
  sweeping->open_most = ++sweeping->open > sweeping->open_most ? sweeping->open : sweeping->open_most;
  return 0;
}

static void check_place(const struct sweeping *sweeping, const struct gg_sweep_piece *piece)
{
  uint8_t read[64];
  size_t bytes = piece->length < sizeof read ? piece->length : sizeof read;
  if (piece->place == UINT64_MAX || piece->file >= 16)
    return;
  int fd = open(sweeping->paths[piece->file], O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(pread(fd, read, bytes, (off_t)piece->place), bytes);
  assert_memory_equal(read, piece->data, bytes);
  close(fd);
}

static int on_piece(void *context, void **token, const struct gg_sweep_piece *piece)
{
  struct sweeping *sweeping = context;
  struct token *known = *token;
  assert_non_null(known);
  if (sweeping->fail_piece && --sweeping->fail_piece == 0)
    return GG_ERR_IO;
  assert_true(piece->offset >= known->next[piece->side]);
  known->next[piece->side] = piece->offset + piece->length + piece->gap;
  sweeping->bytes[piece->side] += piece->length;
  sweeping->fins += piece->kind == GG_SWEEP_FIN;
  sweeping->resets += piece->kind == GG_SWEEP_RST;
  assert_int_equal(piece->kind == GG_SWEEP_BYTES, piece->length > 0);
  assert_int_equal(piece->kind == GG_SWEEP_GAP, piece->gap > 0);
  if (piece->length)
    check_place(sweeping, piece);
  return 0;
}

static void put_tags(char *text, size_t size, const struct gg_session *session)
{
  size_t length = 0;
  text[0] = '\0';
  for (size_t i = 0; i < session->tag_count && length < size; i++)
    length += (size_t)snprintf(text + length, size - length, "%s,", session->tags[i]);
}

static int on_end(void *context, void **token, const struct gg_session *session)
{
  struct sweeping *sweeping = context;
  struct token *known = *token;
  assert_string_equal(known->id, session->id);
  assert_true(sweeping->count < SESSIONS_MAX);
  struct swept *swept = &sweeping->swept[sweeping->count++];
  swept->session = *session;
  snprintf(swept->listener, sizeof swept->listener, "%s", session->listener);
  snprintf(swept->upstream, sizeof swept->upstream, "%s", session->upstream);
  snprintf(swept->close, sizeof swept->close, "%s", session->close);
  snprintf(swept->why, sizeof swept->why, "%s", session->why);
  snprintf(swept->verdict, sizeof swept->verdict, "%s", session->verdict);
  snprintf(swept->verdict_by, sizeof swept->verdict_by, "%s", session->verdict_by);
  put_tags(swept->tags, sizeof swept->tags, session);
  free(known);
  sweeping->open--;
  return 0;
}

static void on_drop(void *token)
{
  struct token *known = token;
  known->sweeping->dropped++;
  known->sweeping->open--;
  free(known);
}

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
  struct sweeping *sweeping = context;
  assert_true(done >= sweeping->done && done <= total);
  sweeping->done = done;
  sweeping->total = total;
  return true;
}

static void on_warning(void *context, const char *text)
{
  struct sweeping *sweeping = context;
  assert_true(sweeping->warning_count < WARNINGS_MAX);
  snprintf(sweeping->warnings[sweeping->warning_count++], sizeof sweeping->warnings[0], "%s", text);
}

static const struct gg_sweep_ops ops = {
  .file = on_file,
  .begin = on_begin,
  .piece = on_piece,
  .end = on_end,
  .progress = on_progress,
  .warning = on_warning,
};

/* What was added to what is known of a session. */
static void compare_more(const struct swept *swept, const struct gg_session *session)
{
  const struct gg_session *told = &swept->session;
  char tags[256];
  put_tags(tags, sizeof tags, session);
  assert_string_equal(swept->tags, tags);
  assert_int_equal(told->held, session->held);
  assert_string_equal(swept->verdict, session->verdict);
  assert_string_equal(swept->verdict_by, session->verdict_by);
  assert_string_equal(told->history, session->history);
  assert_string_equal(told->conn_state, session->conn_state);
  assert_true(told->conn_state[0]);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(told->masked[i], session->masked[i]);
    assert_int_equal(told->first_length[i], session->first_length[i]);
    assert_memory_equal(told->first[i], session->first[i], session->first_length[i]);
    assert_string_equal(told->community_id[i], session->community_id[i]);
  }
}

static void compare_session(const struct swept *swept, const struct gg_session *session)
{
  const struct gg_session *told = &swept->session;
  assert_int_equal(told->state, session->state);
  assert_int_equal(told->foreign, session->foreign);
  assert_int_equal(told->beginning_missing, session->beginning_missing);
  assert_string_equal(told->client, session->client);
  assert_string_equal(told->server, session->server);
  assert_string_equal(swept->listener, session->listener);
  assert_string_equal(swept->upstream, session->upstream);
  assert_string_equal(swept->close, session->close);
  assert_string_equal(swept->why, session->why);
  assert_int_equal(told->start_ns, session->start_ns);
  assert_int_equal(told->end_ns, session->end_ns);
  assert_int_equal(told->counted, session->counted);
  assert_int_equal(told->segments, session->segments);
  for (int side = 0; side < 2; side++) {
    assert_int_equal(told->bytes[side], session->bytes[side]);
    assert_int_equal(told->packets[side], session->packets[side]);
    assert_int_equal(told->gaps[side], session->gaps[side]);
    assert_int_equal(told->received[side], session->received[side]);
    assert_int_equal(told->forwarded[side], session->forwarded[side]);
  }
  compare_more(swept, session);
}

/* Sweeps and queries; *out is filled with what the sweep told. */
static void compare(const char *path, struct sweeping *out)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(out, 0, sizeof *out);
  if (gg_sweep(path, NULL, &ops, on_drop, out, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg_store_open(&store, path, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(out->count, gg_session_list_count(list));
  assert_int_equal(out->open, 0);
  assert_int_equal(out->dropped, 0);
  for (size_t i = 0; i < out->count; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    const struct swept *swept = out->swept;
    while (swept < out->swept + out->count && strcmp(swept->session.id, session->id) != 0)
      swept++;
    if (swept == out->swept + out->count)
      fail_msg("%s was not told", session->id);
    compare_session(swept, session);
  }
  for (size_t i = 0; i < out->warning_count; i++)
    assert_string_equal(out->warnings[i], gg_store_warning(store, i));
  assert_null(gg_store_warning(store, out->warning_count));
  gg_session_list_destroy(list);
  gg_store_close(store);
}

static struct sweeping sweeping; /* large */

static void more_facts(const void *session, struct gg_json *json)
{
  const struct talk *talk = session;
  gg_json_key(json, "verdict");
  gg_json_object_begin(json);
  gg_json_field_string(json, "plugin", "no-drop");
  gg_json_field_string(json, "kind", "reset");
  gg_json_object_end(json);
  gg_json_key(json, "tags");
  gg_json_array_begin(json);
  gg_json_string(json, "late");
  gg_json_string(json, talk->id + 20);
  gg_json_array_end(json);
  gg_json_key(json, "masked");
  gg_json_object_begin(json);
  gg_json_field_unsigned(json, "client", 3);
  gg_json_field_unsigned(json, "server", 5);
  gg_json_object_end(json);
}

/* Whole, continued, cut, with gaps, with 4-tuples that come again, in two logs, with a torn file at the end. */
static void a_store(void **state)
{
  (void)state;
  enum { SEGMENTS = 6, SESSIONS = 30 };
  static struct talk talks[SESSIONS];
  struct files files;
  files_begin(&files);
  for (unsigned segment = 0; segment < SEGMENTS; segment++) {
    char name[32];
    snprintf(name, sizeof name, "%04u-w%u-%u.pcapng", segment, segment % 2, segment / 2 + 1);
    files_segment(&files, name);
    for (unsigned i = 0; i < SESSIONS; i++) {
      struct talk *talk = &talks[i];
      unsigned begins = i % 2 + i % 4 / 2 * 2,
               ends = begins + 2 * (i % 3); /* within one log: two segments are one step */
      if (segment == begins)
        talk_open(&files, talk, i + 1, (uint16_t)(4000 + i));
      talk->gateway = i % 4 && segment == ends ? "198.51.100.1:33000" : NULL;
      talk->more = i % 3 ? more_facts : NULL;
      if (segment < begins || segment > ends || i % 2 != segment % 2)
        continue;
      talk_say(&files, talk, GG_FROM_CLIENT, "question", 8);
      if (i % 7 == 0)
        talk_miss(talk, GG_FROM_SERVER, i + 1);
      talk_say(&files, talk, GG_FROM_SERVER, "answer", 6);
      if (segment == ends && i % 5)
        talk_close(&files, talk);
    }
    for (unsigned i = 0; i < 3; i++) {
      struct talk again;
      talk_open(&files, &again, 100 + segment * 3 + i, 3999);
      talk_say(&files, &again, GG_FROM_CLIENT, "again", 5);
      if (i != 1)
        talk_close(&files, &again);
    }
    files_write_part(&files, files.length - (segment == SEGMENTS - 1 ? 5 : 0));
  }
  compare(files.dir, &sweeping);
  assert_int_equal(sweeping.count, SESSIONS + 3 * SEGMENTS);
  assert_int_equal(sweeping.files, SEGMENTS);
  assert_int_equal(sweeping.warning_count, 1);
  assert_int_equal(sweeping.done, sweeping.total);
  assert_true(sweeping.total > 0 && sweeping.fins > 0);
  files_end(&files);
}

/* Sessions that end are forgotten at once. */
static void few_are_open(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 0; i < 200; i++) {
    talk_open(&files, &talk, i + 1, (uint16_t)(4000 + i));
    talk_say(&files, &talk, GG_FROM_CLIENT, "x", 1);
    talk_close(&files, &talk);
  }
  files_write(&files);
  compare(files.dir, &sweeping);
  assert_int_equal(sweeping.open_most, 1);
  files_end(&files);
}

static void put_text(const char *dir, const char *name, const char *text)
{
  char path[160];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static enum gg_session_state swept_state(const char *dir, unsigned number)
{
  char id[25];
  snprintf(id, sizeof id, "018c0000000000000000%04x", number);
  compare(dir, &sweeping);
  for (unsigned i = 0; i < sweeping.count; i++)
    if (strcmp(sweeping.swept[i].session.id, id) == 0)
      return sweeping.swept[i].session.state;
  fail_msg("session %u is not told", number);
  return GG_SESSION_CLOSED;
}

/* Gateways at work: what is in their segments is open, by names and not by times, and a file that ends within a block
 * is no news. Of the second one's number there is nobody now. */
static void a_live_store(void **state)
{
  (void)state;
  struct files files;
  struct talk talks[3];
  char path[128];
  static const char *const names[] = {"20231114T221300.000Z-w0-block-000009.pcapng",
                                      "20231114T221330.000Z-w0-block-2-000001.pcapng",
                                      "20231114T221340.000Z-w0-block-000001.pcapng"};
  files_begin(&files);
  for (unsigned i = 0; i < 3; i++) {
    files_segment(&files, names[i]);
    files.time_ns -= UINT64_C(3600000000000) * i; /* the clock goes back */
    talk_open(&files, &talks[i], 1 + i, (uint16_t)(4000 + i));
    talk_say(&files, &talks[i], GG_FROM_CLIENT, "x", 1);
    files_write_part(&files, files.length - (i == 2 ? 3 : 0));
  }
  snprintf(path, sizeof path, "%s/lock", files.dir);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 2};
  assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
  put_text(files.dir, "running", "gogetway running 1\nboot b\npid 7\nfrom 20231114T221310.000Z\nring w0-block /r\n");
  put_text(files.dir, "running.2", "gogetway running 1\nboot b\npid 8\nfrom 20231114T221310.000Z\n");
  assert_int_equal(swept_state(files.dir, 1), GG_SESSION_CUT);
  assert_int_equal(swept_state(files.dir, 2), GG_SESSION_CUT);
  assert_int_equal(swept_state(files.dir, 3), GG_SESSION_OPEN);
  assert_int_equal(sweeping.warning_count, 0);
  struct flock second = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 1};
  assert_int_equal(fcntl(fd, F_OFD_SETLK, &second), 0);
  assert_int_equal(swept_state(files.dir, 2), GG_SESSION_OPEN);
  assert_int_equal(swept_state(files.dir, 1), GG_SESSION_CUT);
  /* One of an older version says nothing of it. */
  put_text(files.dir, "running", "gogetway running 1\nboot b\npid 7\nring w0-block /r\n");
  assert_int_equal(swept_state(files.dir, 1), GG_SESSION_OPEN);
  close(fd);
  for (unsigned number = 1; number <= 3; number++)
    assert_int_equal(swept_state(files.dir, number), GG_SESSION_CUT);
  unlink(path);
  snprintf(path, sizeof path, "%s/running", files.dir);
  unlink(path);
  snprintf(path, sizeof path, "%s/running.2", files.dir);
  unlink(path);
  files_end(&files);
}

/* Beside the tags of its recording; of one that has none; and a hold. */
static void what_people_say(void **state)
{
  (void)state;
  static const char *const noise[] = {"noise"}, *const late[] = {"late"};
  struct files files;
  struct talk talk[2];
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  char journal[128];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 0; i < 2; i++) {
    talk_open(&files, &talk[i], i + 1, (uint16_t)(4000 + i));
    talk[i].more = i ? NULL : more_facts;
    talk_close(&files, &talk[i]);
  }
  files_write(&files);
  compare(files.dir, &sweeping);
  assert_int_equal(gg_store_open(&store, files.dir, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_store_tag(store, list, noise, 1, late, 1, NULL), 0);
  assert_int_equal(gg_store_hold(store, list, true, NULL), 0);
  gg_session_list_destroy(list);
  gg_store_close(store);
  compare(files.dir, &sweeping);
  for (size_t i = 0; i < 2; i++) {
    assert_true(sweeping.swept[i].session.held);
    assert_non_null(strstr(sweeping.swept[i].tags, "noise,"));
  }
  snprintf(journal, sizeof journal, "%s/journal", files.dir);
  files_remove_in(journal);
  files_end(&files);
}

static void the_corpus(void **state)
{
  (void)state;
  static const char folder[] = GG_SOURCE_ROOT "/fuzz/corpus/store";
  DIR *directory = opendir(folder);
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory));) {
    char path[512];
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || strcmp(dot, ".pcapng") != 0)
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    compare(path, &sweeping);
  }
  closedir(directory);
  compare(folder, &sweeping);
  assert_true(sweeping.count > 0);
}

static void what_cannot_be_read(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(&sweeping, 0, sizeof sweeping);
  files_begin(&files);
  snprintf(files.segment, sizeof files.segment, "%s/segments/0001.pcapng", files.dir);
  memcpy(files.bytes, "no capture at all", 17);
  files_write_part(&files, 17);
  assert_int_equal(gg_sweep(files.dir, NULL, &ops, on_drop, &sweeping, &failure), GG_ERR_FORMAT);
  assert_non_null(strstr(failure.message, "0001.pcapng"));
  files_segment(&files, "0002.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "x", 1);
  files_write(&files);
  compare(files.dir, &sweeping);
  assert_int_equal(sweeping.count, 1);
  assert_int_equal(sweeping.warning_count, 1);
  files_end(&files);
}

static void too_many_files_are_not_too_many_sessions(void **state)
{
  (void)state;
  struct files files;
  struct gg_failure failure = GG_FAILURE_INIT;
  memset(&sweeping, 0, sizeof sweeping);
  files_begin(&files);
  files_seen = GG_PLACE_FILES_MAX + 1;
  int error = gg_sweep(files.dir, NULL, &ops, on_drop, &sweeping, &failure);
  files_seen = 0;
  assert_int_equal(error, GG_ERR_LIMIT);
  assert_string_equal(failure.message, "the recording has more than 1048576 files");
  files_end(&files);
}

/* The caller's error ends the sweep as it is, and its tokens come back. */
static void the_caller_fails(void **state)
{
  (void)state;
  struct files files;
  struct talk talk[3];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 0; i < 3; i++)
    talk_open(&files, &talk[i], i + 1, (uint16_t)(4000 + i));
  for (unsigned i = 0; i < 3; i++)
    talk_say(&files, &talk[i], GG_FROM_CLIENT, "x", 1);
  talk_close(&files, &talk[0]);
  files_write(&files);
  for (int piece = 1; piece <= 5; piece++) {
    memset(&sweeping, 0, sizeof sweeping);
    sweeping.fail_piece = piece;
    assert_int_equal(gg_sweep(files.dir, NULL, &ops, on_drop, &sweeping, NULL), GG_ERR_IO);
    assert_int_equal(sweeping.open, 0);
    assert_int_equal(sweeping.dropped, 3);
  }
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_store),          cmocka_unit_test(few_are_open),
    cmocka_unit_test(a_live_store),     cmocka_unit_test(what_people_say),
    cmocka_unit_test(the_corpus),       cmocka_unit_test(what_cannot_be_read),
    cmocka_unit_test(the_caller_fails), cmocka_unit_test(too_many_files_are_not_too_many_sessions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
