/* SPDX-License-Identifier: Apache-2.0 */
/* What goes and what stays: limits, rules, holds, readers, and what a killed one leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "retention_scene.h"
#include "store/keep.h"
#include "store/marks.h"
#include "store/retained.h"
#include "store/retention.h"
#include "store/segment_name.h"

#include <gogetway/store.h>
#include <sys/file.h>
#include <sys/resource.h>

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_names(void **state)
{
  (void)state;
  unsigned generation;
  char name[128];
  const char *plain = "20261122T123759.123Z-w0-block-000001.pcapng";
  size_t base = gg__segment_base(plain, &generation);
  assert_int_equal(generation, 0);
  assert_true(gg__segment_next_name(plain, name, sizeof name));
  assert_string_equal(name, "20261122T123759.123Z-w0-block-000001.kept1.pcapng");
  assert_int_equal(gg__segment_base(name, &generation), base);
  assert_int_equal(generation, 1);
  assert_true(gg__segment_same_base(plain, name));
  assert_true(gg__segment_order(plain, name) < 0);
  char again[128], log[GG__SEGMENT_LOG_MAX];
  assert_true(gg__segment_next_name(name, again, sizeof again));
  assert_string_equal(again, "20261122T123759.123Z-w0-block-000001.kept2.pcapng");
  assert_true(gg__segment_order(name, again) < 0);
  assert_true(gg__segment_log(again, log));
  assert_string_equal(log, "w0-block");
  assert_int_equal(gg__segment_number(again), 1);
  assert_true(gg__segment_order(again, "20261122T123759.123Z-w0-block-000002.pcapng") < 0);
  assert_false(gg__segment_same_base("a.pcapng", "b.pcapng"));
  assert_false(gg__segment_same_base("a.kept.pcapng", "a.pcapng"));
  assert_false(gg__segment_same_base("a.kept0.pcapng", "a.pcapng"));
  assert_false(gg__segment_same_base("a.kept01.pcapng", "a.pcapng"));
  assert_false(gg__segment_next_name(plain, name, strlen(plain) + 1));
  assert_true(gg__keep_is_unfinished("a.kept1.pcapng.new"));
  assert_false(gg__keep_is_unfinished("a.pcapng.new"));
}

/* ── A store ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t bytes_of(const struct scene *scene, const char *name)
{
  struct stat status;
  char path[512];
  snprintf(path, sizeof path, "%s/segments/%s", scene->files.dir, name);
  return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static uint64_t total(const struct scene *scene)
{
  char path[128];
  uint64_t bytes = 0;
  snprintf(path, sizeof path, "%s/segments", scene->files.dir);
  DIR *directory = opendir(path);
  for (struct dirent *entry; (entry = readdir(directory));)
    bytes += entry->d_name[0] == '.' ? 0 : bytes_of(scene, entry->d_name);
  closedir(directory);
  return bytes;
}

/* The session as the store tells it now; its streams go to `hash`: one number for all bytes, gaps and places. */
static bool look(const char *dir, unsigned number, struct gg_session *out, uint64_t *hash, size_t *sessions)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  char id[25];
  unsigned found = 0;
  snprintf(id, sizeof id, "018c0000000000000000%04x", number);
  if (gg_store_open(&store, dir, NULL, &failure) != 0 || gg_store_query(store, NULL, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  *sessions = gg_session_list_count(list);
  for (size_t i = 0; i < *sessions; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    if (strcmp(session->id, id) != 0)
      continue;
    struct gg_reader *reader = NULL;
    struct gg_chunk chunk;
    found++;
    *out = *session;
    *hash = 14695981039346656037u;
    assert_int_equal(gg_reader_open(&reader, store, session, &failure), 0);
    while (gg_reader_next(reader, &chunk, &failure) == 1) {
      *hash = (*hash ^ chunk.offset ^ chunk.gap << 32 ^ (uint64_t)chunk.side << 63 ^ chunk.time_ns) * 1099511628211u;
      for (size_t at = 0; at < chunk.length; at++)
        *hash = (*hash ^ chunk.data[at]) * 1099511628211u;
    }
    gg_reader_close(reader);
  }
  gg_session_list_destroy(list);
  gg_store_close(store);
  assert_true(found <= 1);
  return found == 1;
}

static void check_verified(const struct scene *scene)
{
  struct gg_store *store = NULL;
  struct gg_verify_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_store_open(&store, scene->files.dir, NULL, &failure), 0);
  assert_int_equal(gg_store_verify(store, NULL, NULL, NULL, &result, &failure), 0);
  assert_int_equal(result.problems, 0);
  gg_store_close(store);
}

/* One of two that were held is released: a second generation. */
/* ── What goes ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_bytes(void **state)
{
  struct scene *scene = *state;
  char name[128];
  name_of(3, name);
  uint64_t last = bytes_of(scene, name);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_bytes = last});
  assert_int_equal(result.segments, 2);
  assert_int_equal(result.bytes_left, last);
  assert_true(result.met);
  assert_int_equal(total(scene), last);
  assert_int_equal(scene->last[0].why, GG_PRUNE_BYTES);
  name_of(1, name);
  assert_string_equal(scene->names[0], name);
  result = prune(scene, (struct gg_prune_options){.max_bytes = last});
  assert_int_equal(result.segments, 0);
}

static void test_age(void **state)
{
  struct scene *scene = *state;
  uint64_t now_ns = gg_clock_real_ns();
  char name[128];
  /* The second one's last record is some 10 ms before the third one's. */
  uint64_t age = now_ns - scene->files.time_ns + 6000000;
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = age + GG_NS_PER_S * 100});
  assert_int_equal(result.segments, 0);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = age, .dry_run = true});
  assert_true(result.segments >= 2);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 3);
  assert_int_equal(scene->last[2].why, GG_PRUNE_AGE);
  name_of(3, name);
  assert_string_equal(scene->names[2], name);
  assert_int_equal(total(scene), 0);
  assert_true(result.met);
}

static void test_room(void **state)
{
  struct scene *scene = *state;
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.min_free = 1});
  assert_int_equal(result.segments, 0);
  assert_true(result.met);
  result = prune(scene, (struct gg_prune_options){.min_free = UINT64_MAX / 2});
  assert_int_equal(result.segments, 3);
  assert_false(result.met);
}

static void test_rules_of_segments(void **state)
{
  struct scene *scene = *state;
  static const char *const held[] = {"client=192.0.2.1 max_age=0"}, *const web[] = {"listener=web max_age=1s"},
                           *const other[] = {"listener=ssh max_age=1s"}, *const one[] = {"bytes=3000..3500 max_age=0"};
  struct gg_prune_result result =
    prune(scene, (struct gg_prune_options){.max_age_ns = 1, .rules = held, .rule_count = 1});
  assert_int_equal(result.segments, 0);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1, .rules = one, .rule_count = 1});
  assert_int_equal(result.segments, 0); /* one session in each keeps the other there */
  result = prune(scene, (struct gg_prune_options){.rules = other, .rule_count = 1});
  assert_int_equal(result.segments, 0);
  result = prune(scene, (struct gg_prune_options){.rules = web, .rule_count = 1, .dry_run = true});
  assert_int_equal(result.segments, 3);
  result = prune(scene, (struct gg_prune_options){.rules = web, .rule_count = 1});
  assert_int_equal(result.segments, 3);
}

static struct gg_prune_result prune_by(struct scene *scene, uint64_t max_age_ns, const char *first, const char *second,
                                       bool dry)
{
  const char *const rules[] = {first, second};
  return prune(scene, (struct gg_prune_options){
                        .max_age_ns = max_age_ns, .rules = rules, .rule_count = second ? 2 : 1, .dry_run = dry});
}

/* Each segment has a session of 3000 bytes, and one of less. */
static void test_bytes_of_rules(void **state)
{
  struct scene *scene = *state;
  char name[128], rule[64];
  struct gg_prune_result result = prune_by(scene, 0, "bytes=3000 max_bytes=1", NULL, true);
  assert_int_equal(result.segments, 0); /* the other one keeps it there */
  result = prune_by(scene, 0, "bytes=3000 max_bytes=1", "listener=web max_bytes=1", true);
  assert_int_equal(result.segments, 2); /* the newest has them, and they are enough */
  assert_int_equal(scene->last[0].why, GG_PRUNE_RULE);
  name_of(2, name);
  assert_string_equal(scene->names[1], name);
  result = prune_by(scene, 0, "bytes=3000 max_bytes=3001", "listener=web max_bytes=1", true);
  assert_int_equal(result.segments, 2); /* what their packets take of the file, which is more than they say */
  name_of(3, name);
  snprintf(rule, sizeof rule, "bytes=3000 max_bytes=%llu", (unsigned long long)bytes_of(scene, name));
  result = prune_by(scene, 0, rule, "listener=web max_bytes=1", true);
  assert_int_equal(result.segments, 1); /* but not all of it: the second newest is still within */
  result = prune_by(scene, 0, "bytes=3000 max_bytes=1T", "listener=web max_bytes=1", true);
  assert_int_equal(result.segments, 0);
  result = prune_by(scene, 0, "bytes=3000 max_bytes=0", "listener=web max_bytes=1", true);
  assert_int_equal(result.segments, 0); /* no limit */
  result = prune_by(scene, 1, "bytes=3000 max_age=0 max_bytes=1", NULL, true);
  assert_int_equal(result.segments, 2); /* the store's age for some, the rule's bytes for the others */
  assert_int_equal(scene->last[0].why, GG_PRUNE_RULE);
  result = prune_by(scene, 1, "bytes=3000 max_bytes=1T", NULL, true);
  assert_int_equal(result.segments, 3); /* a rule without an age has the store's */
  assert_int_equal(scene->last[0].why, GG_PRUNE_AGE);
  hold(scene, 1, true);
  result = prune_by(scene, 0, "bytes=3000 max_bytes=1", "listener=web max_bytes=1", false);
  assert_int_equal(result.segments, 2);
  assert_int_equal(result.kept_sessions, 2);
  check_verified(scene);
  result = prune_by(scene, 0, "bytes=3000 max_bytes=1", "listener=web max_bytes=1", false);
  assert_int_equal(result.segments, 0); /* what is left of them is held */
}

static bool answer(void *context)
{
  return *(bool *)context;
}

/* What a gateway has not read yet goes by the store's limits only; and it reads at least one segment in each turn. */
static void test_reading_little_by_little(void **state)
{
  struct scene *scene = *state;
  static const char *const rules[] = {"listener=web max_bytes=1"};
  bool idle = false;
  const struct gg__retention_ops ops = {.idle = answer, .read_ns = 1, .context = &idle};
  struct gg__retention_limits limits = {0};
  struct gg__retention *retention = NULL;
  struct gg_prune_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg__retention_rules_parse(&limits, rules, 1, 0, &failure), 0);
  assert_int_equal(gg__retention_open(&retention, scene->files.dir, &ops, &failure), 0);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(gg__retention_step(retention, &limits, false, &result, &failure), 0);
    assert_int_equal(result.segments, 0);
  }
  idle = true;
  for (unsigned i = 0; i < 3; i++) { /* the newest fills it; then the one before it is read, and goes */
    assert_int_equal(gg__retention_step(retention, &limits, false, &result, &failure), 0);
    assert_int_equal(result.segments, i > 0);
  }
  idle = false;
  limits.max_bytes = 1;
  gg__retention_renewed(retention);
  assert_int_equal(gg__retention_step(retention, &limits, false, &result, &failure), 0);
  assert_int_equal(result.segments, 1);
  gg__retention_close(retention);
  gg__retention_rules_free(&limits);
}

/* What is kept of a segment is not looked at again in the same pass. */
static void test_each_is_told_once(void **state)
{
  struct scene *scene = *state;
  hold(scene, 1, true);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_bytes = 1, .max_age_ns = 1});
  assert_int_equal(result.segments, 3);
  assert_int_equal(scene->told, 3);
  assert_int_equal(result.passed, 0);
}

/* What may go anyway goes first, though it is newer: it need not push out what may stay. */
static void test_due_goes_first(void **state)
{
  struct scene *scene = *state;
  static const char *const rules[] = {"id=018c0000000000000000000b max_age=0"};
  char name[128];
  name_of(1, name);
  struct gg_prune_options options = {
    .max_bytes = bytes_of(scene, name), .max_age_ns = 1, .rules = rules, .rule_count = 1, .dry_run = true};
  struct gg_prune_result result = prune(scene, options);
  assert_int_equal(result.segments, 2);
  options.dry_run = false;
  result = prune(scene, options);
  assert_int_equal(result.segments, 2);
  assert_int_equal(scene->last[0].why, GG_PRUNE_AGE);
  assert_true(result.met && total(scene) == bytes_of(scene, name));
  options.max_bytes--;
  result = prune(scene, options);
  assert_int_equal(result.segments, 1);
  assert_int_equal(scene->last[0].why, GG_PRUNE_BYTES);
}

static void test_dry_run(void **state)
{
  struct scene *scene = *state;
  hold(scene, 11, true);
  uint64_t before = total(scene);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = 1, .dry_run = true});
  assert_int_equal(result.segments, 3);
  assert_int_equal(result.kept_sessions, 1);
  assert_int_equal(scene->last[0].fate, GG_PRUNE_KEPT);
  assert_int_equal(scene->last[1].fate, GG_PRUNE_GONE);
  assert_int_equal(total(scene), before);
  uint64_t would_free = result.bytes, would_keep = result.kept_bytes;
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.bytes, would_free);
  assert_int_equal(total(scene), would_keep);
}

/* ── What stays ──────────────────────────────────────────────────────────────────────────────────────────────────── */

static void test_held(void **state)
{
  struct scene *scene = *state;
  struct gg_session before, after;
  uint64_t hash_before, hash_after;
  size_t sessions;
  hold(scene, 1, true);
  assert_true(look(scene->files.dir, 1, &before, &hash_before, &sessions));
  assert_int_equal(sessions, 4);
  /* Some of its segments go. */
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_bytes = total(scene) - 1});
  assert_int_equal(result.segments, 1);
  assert_int_equal(result.kept_sessions, 1);
  assert_true(look(scene->files.dir, 1, &after, &hash_after, &sessions));
  assert_int_equal(sessions, 3);
  assert_true(hash_before == hash_after);
  assert_int_equal(after.segments, 3);
  /* Now all of them. */
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 2);
  assert_int_equal(result.passed, 1); /* the one that was kept before */
  assert_false(result.met);
  assert_true(look(scene->files.dir, 1, &after, &hash_after, &sessions));
  assert_int_equal(sessions, 1);
  assert_true(hash_before == hash_after);
  assert_int_equal(after.state, GG_SESSION_CLOSED);
  assert_memory_equal(after.bytes, before.bytes, sizeof before.bytes);
  assert_memory_equal(after.packets, before.packets, sizeof before.packets);
  assert_memory_equal(after.gaps, before.gaps, sizeof before.gaps);
  assert_true(after.start_ns == before.start_ns && after.end_ns == before.end_ns);
  /* Everything is held: nothing goes, and nothing is written again. */
  uint64_t kept = total(scene);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 0);
  assert_int_equal(result.passed, 3);
  assert_int_equal(scene->last[0].fate, GG_PRUNE_HELD);
  assert_int_equal(total(scene), kept);
  hold(scene, 1, false);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 3);
  assert_int_equal(total(scene), 0);
}

static void test_generations(void **state)
{
  struct scene *scene = *state;
  struct gg_session session;
  uint64_t hash;
  size_t sessions;
  hold(scene, 1, true);
  hold(scene, 11, true);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 2);
  assert_int_equal(result.passed, 1); /* in the first one everything is held */
  check_verified(scene);
  hold(scene, 11, false);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 1);
  assert_int_equal(result.passed, 2);
  assert_true(look(scene->files.dir, 1, &session, &hash, &sessions));
  assert_int_equal(sessions, 1);
  assert_false(look(scene->files.dir, 11, &session, &hash, &sessions));
  check_verified(scene);
}

static void test_reader(void **state)
{
  struct scene *scene = *state;
  char path[512], name[128];
  name_of(2, name);
  snprintf(path, sizeof path, "%s/segments/%s", scene->files.dir, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_int_equal(flock(fd, LOCK_SH), 0);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 2);
  assert_int_equal(result.passed, 1);
  assert_int_equal(scene->last[1].fate, GG_PRUNE_READ);
  assert_true(total(scene) == bytes_of(scene, name));
  close(fd);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.segments, 1);
  assert_int_equal(total(scene), 0);
}

/* A store that is open sees what has gone and what was kept with its next refresh, and each session once. */
static void test_open_store(void **state)
{
  struct scene *scene = *state;
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  hold(scene, 1, true);
  assert_int_equal(gg_store_open(&store, scene->files.dir, NULL, &failure), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, &failure), 0);
  assert_int_equal(gg_session_list_count(list), 4);
  const struct gg_session *gone = gg_session_list_at(list, 1), *held = gg_session_list_at(list, 0);
  uint64_t packets = held->packets[0];
  prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(gg_store_refresh(store, &failure), 0);
  assert_int_equal(held->packets[0], packets);
  assert_int_equal(held->segments, 3);
  assert_non_null(gone->client);
  assert_null(gg_session_segment(gone, 0));
  gg_session_list_destroy(list);
  assert_int_equal(gg_store_query(store, NULL, &list, &failure), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  gg_session_list_destroy(list);
  gg_store_close(store);
}

/* ── What a killed one leaves ────────────────────────────────────────────────────────────────────────────────────── */

static void copy_file(const struct scene *scene, const char *from, const char *to)
{
  char paths[2][512];
  static uint8_t bytes[FILES_BYTES_MAX];
  snprintf(paths[0], sizeof paths[0], "%s/segments/%s", scene->files.dir, from);
  snprintf(paths[1], sizeof paths[1], "%s/segments/%s", scene->files.dir, to);
  int in = open(paths[0], O_RDONLY), out = open(paths[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ssize_t length = read(in, bytes, sizeof bytes);
  assert_int_equal(write(out, bytes, (size_t)length), length);
  close(in);
  close(out);
}

static void test_leftovers(void **state)
{
  struct scene *scene = *state;
  struct gg_session session;
  uint64_t hash, before;
  size_t sessions;
  char name[128], kept[160], unfinished[192];
  hold(scene, 1, true);
  assert_true(look(scene->files.dir, 1, &session, &before, &sessions));
  name_of(1, name);
  assert_true(gg__segment_next_name(name, kept, sizeof kept));
  copy_file(scene, name, "saved");
  prune(scene, (struct gg_prune_options){.max_bytes = total(scene) - bytes_of(scene, "saved") - 1});
  assert_true(bytes_of(scene, kept) > 0);
  /* As if it had been killed between the rename and the unlink, and another one in the middle of a copy. */
  copy_file(scene, "saved", name);
  name_of(2, unfinished);
  assert_true(gg__segment_next_name(unfinished, kept, sizeof kept));
  snprintf(unfinished, sizeof unfinished, "%s.new", kept);
  copy_file(scene, "saved", unfinished);
  assert_true(look(scene->files.dir, 1, &session, &hash, &sessions));
  assert_int_equal(sessions, 3);
  assert_true(hash == before);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_bytes = UINT64_MAX / 2, .dry_run = true});
  assert_int_equal(result.mended, 0);
  assert_true(bytes_of(scene, name) > 0);
  result = prune(scene, (struct gg_prune_options){.max_bytes = UINT64_MAX / 2});
  assert_int_equal(result.mended, 2);
  assert_int_equal(bytes_of(scene, name), 0);
  assert_int_equal(bytes_of(scene, unfinished), 0);
  assert_true(look(scene->files.dir, 1, &session, &hash, &sessions));
  assert_int_equal(sessions, 3);
  assert_true(hash == before);
}

/* A damaged segment may have a held session where it cannot be read. */
static void test_damaged(void **state)
{
  struct scene *scene = *state;
  char path[512], name[128];
  name_of(2, name);
  snprintf(path, sizeof path, "%s/segments/%s", scene->files.dir, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_int_equal(pwrite(fd, "\0\0\0\1", 4, (off_t)bytes_of(scene, name) / 2 & ~3), 4);
  assert_int_equal(pwrite(fd, "\0\0\0\1", 4, (off_t)bytes_of(scene, name) - 4), 4);
  close(fd);
  hold(scene, 13, true);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.passed, 1);
  assert_int_equal(scene->last[1].fate, GG_PRUNE_DAMAGED);
  hold(scene, 13, false);
  result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(total(scene), 0);
}

/* The offset of the first block that has the text in it. */
static size_t block_with(const uint8_t *bytes, size_t length, const char *text)
{
  uint32_t block;
  for (size_t at = 0; at < length; at += block) {
    memcpy(&block, bytes + at + 4, sizeof block);
    assert_true(block >= 12 && block <= length - at);
    if (memmem(bytes + at, block, text, strlen(text)))
      return at;
  }
  fail_msg("no block says %s", text);
  return 0;
}

/* A length that leads past the end looks like a segment that goes on growing: what is behind it may be held. */
static void test_damaged_length(void **state)
{
  struct scene *scene = *state;
  static uint8_t bytes[FILES_BYTES_MAX];
  const uint32_t beyond = 1 << 16;
  char path[512], name[128];
  name_of(2, name);
  snprintf(path, sizeof path, "%s/segments/%s", scene->files.dir, name);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  ssize_t length = read(fd, bytes, sizeof bytes);
  size_t at = block_with(bytes, (size_t)length, "018c0000000000000000000c");
  assert_true(at + beyond > (size_t)length);
  assert_int_equal(pwrite(fd, &beyond, sizeof beyond, (off_t)at + 4), sizeof beyond);
  close(fd);
  hold(scene, 12, true);
  struct gg_prune_result result = prune(scene, (struct gg_prune_options){.max_age_ns = 1});
  assert_int_equal(result.passed, 1);
  assert_int_equal(scene->last[1].fate, GG_PRUNE_DAMAGED);
  assert_int_equal(bytes_of(scene, name), (int)length);
}

/* Without descriptors it cannot be told who writes: then nothing is sealed that was not before. */
static void test_out_of_descriptors(void **state)
{
  struct scene *scene = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg__retained_table table;
  struct rlimit before, none;
  char path[128];
  snprintf(path, sizeof path, "%s/running", scene->files.dir);
  FILE *file = fopen(path, "w"); /* of one that was killed: its newest segment is not complete */
  assert_true(file && fputs("\nring w0-block /nonexistent\n", file) >= 0 && fclose(file) == 0);
  uint64_t now_ns = gg_clock_real_ns() + 3600 * GG_NS_PER_S;
  assert_int_equal(gg__retained_open(&table, scene->files.dir, &failure), 0);
  assert_int_equal(gg__retained_refresh(&table, now_ns, &failure), 0);
  assert_true(table.count == 3 && table.open == 1 && !table.items[2].sealed);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  int error = gg__retained_refresh(&table, now_ns, &failure);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_int_equal(error, 0);
  assert_true(table.open == 1 && !table.items[2].sealed);
  unlink(path);
  assert_int_equal(gg__retained_refresh(&table, now_ns, &failure), 0);
  assert_true(table.open == 0 && table.items[2].sealed);
  gg__retained_fini(&table);
}

static void test_refusals(void **state)
{
  struct scene *scene = *state;
  struct gg_prune_options options = GG_PRUNE_OPTIONS_INIT;
  struct gg_prune_result result;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_store_prune(scene->files.dir, &options, &result, &failure), GG_ERR_INVALID);
  options.max_bytes = 1;
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_store_prune("/nonexistent", &options, &result, &failure), GG_ERR_NOT_FOUND);
  char path[512];
  snprintf(path, sizeof path, "%s/segments", scene->files.dir);
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg_store_prune(path, &options, &result, &failure), GG_ERR_FORMAT);
  assert_true(total(scene) > 0);
  assert_int_equal(gg_prune_option_set(&options, "max_bytes", "lots", NULL), GG_ERR_INVALID);
  assert_int_equal(gg_prune_option_set(&options, "max_age", "7", NULL), GG_ERR_INVALID);
  assert_int_equal(gg_prune_option_set(&options, "min", "7", NULL), GG_ERR_NOT_FOUND);
  assert_int_equal(gg_prune_option_set(&options, "min_free", "1GiB", NULL), 0);
  assert_true(options.min_free == 1 << 30);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_names),
    cmocka_unit_test_setup_teardown(test_bytes, begin, end),
    cmocka_unit_test_setup_teardown(test_age, begin, end),
    cmocka_unit_test_setup_teardown(test_room, begin, end),
    cmocka_unit_test_setup_teardown(test_rules_of_segments, begin, end),
    cmocka_unit_test_setup_teardown(test_bytes_of_rules, begin, end),
    cmocka_unit_test_setup_teardown(test_reading_little_by_little, begin, end),
    cmocka_unit_test_setup_teardown(test_each_is_told_once, begin, end),
    cmocka_unit_test_setup_teardown(test_due_goes_first, begin, end),
    cmocka_unit_test_setup_teardown(test_dry_run, begin, end),
    cmocka_unit_test_setup_teardown(test_held, begin, end),
    cmocka_unit_test_setup_teardown(test_generations, begin, end),
    cmocka_unit_test_setup_teardown(test_reader, begin, end),
    cmocka_unit_test_setup_teardown(test_open_store, begin, end),
    cmocka_unit_test_setup_teardown(test_leftovers, begin, end),
    cmocka_unit_test_setup_teardown(test_damaged, begin, end),
    cmocka_unit_test_setup_teardown(test_damaged_length, begin, end),
    cmocka_unit_test_setup_teardown(test_out_of_descriptors, begin, end),
    cmocka_unit_test_setup_teardown(test_refusals, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
