/* SPDX-License-Identifier: Apache-2.0 */
/* Tags by rule, and tags and holds of an open store: sessions show them, however they got them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/tag_rules.h"
#include "store_files.h"

#include <gogetway/store.h>

enum { SESSIONS = 3 };

struct fixture {
  struct files files;
  struct gg_store *store;
  struct gg_session_list *list;
};

static struct gg_session_list *all(struct gg_store *store)
{
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_query(store, NULL, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  return list;
}

static int begin(void **state)
{
  struct fixture *fixture = calloc(1, sizeof *fixture);
  if (!fixture)
    return -1;
  files_begin(&fixture->files);
  files_segment(&fixture->files, "0001.pcapng");
  for (unsigned i = 0; i < SESSIONS; i++) {
    struct talk talk;
    talk_open(&fixture->files, &talk, i + 1, (uint16_t)(4000 + i));
    talk_say(&fixture->files, &talk, GG_FROM_CLIENT, "hello there", 3 * (i + 1));
    talk_close(&fixture->files, &talk);
  }
  files_write(&fixture->files);
  *state = fixture;
  if (gg_store_open(&fixture->store, fixture->files.dir, NULL, NULL) != 0)
    return -1;
  fixture->list = all(fixture->store);
  return 0;
}

static int end(void **state)
{
  struct fixture *fixture = *state;
  char path[128];
  gg_session_list_destroy(fixture->list);
  gg_store_close(fixture->store);
  snprintf(path, sizeof path, "%s/journal", fixture->files.dir);
  files_remove_in(path);
  files_end(&fixture->files);
  free(fixture);
  return 0;
}

static const struct gg_session *session(const struct fixture *fixture, size_t index)
{
  return gg_session_list_at(fixture->list, index);
}

/* "a,b held" */
static const char *shown(const struct gg_session *session)
{
  static char text[512];
  size_t used = 0;
  text[0] = '\0';
  for (size_t i = 0; i < session->tag_count; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "", session->tags[i]);
  snprintf(text + used, sizeof text - used, "%s", session->held ? " held" : "");
  return text;
}

static struct gg_session_list *one(const struct gg_session *session)
{
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_session_list_add(&list, session), 0);
  return list;
}

static int tag(struct fixture *fixture, const struct gg_session_list *list, const char *add, const char *remove)
{
  return gg_store_tag(fixture->store, list, &add, add != NULL, &remove, remove != NULL, NULL);
}

/* ── A store ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void sessions_show_what_is_said(void **state)
{
  struct fixture *fixture = *state;
  struct gg_session_list *first = one(session(fixture, 0));
  assert_int_equal(tag(fixture, fixture->list, "all", NULL), 0);
  assert_int_equal(tag(fixture, first, "first", "all"), 0);
  assert_int_equal(gg_store_hold(fixture->store, first, true, NULL), 0);
  assert_string_equal(shown(session(fixture, 0)), "first held");
  assert_string_equal(shown(session(fixture, 1)), "all");
  char json[4096];
  assert_true(gg_session_json(session(fixture, 0), json, sizeof json) < sizeof json);
  assert_non_null(strstr(json, "\"tags\":[\"first\"],\"held\":true"));
  assert_null(strstr(strstr(json, "\"tags\"") + 1, "\"tags\""));
  gg_session_list_destroy(first);
  /* Another one reads the same. */
  struct gg_store *again = NULL;
  assert_int_equal(gg_store_open(&again, fixture->files.dir, NULL, NULL), 0);
  struct gg_session_list *list = all(again);
  assert_string_equal(shown(gg_session_list_at(list, 0)), "first held");
  assert_string_equal(shown(gg_session_list_at(list, 2)), "all");
  gg_session_list_destroy(list);
  gg_store_close(again);
}

static void who_follows_sees_what_changed(void **state)
{
  struct fixture *fixture = *state;
  struct gg_store *other = NULL;
  assert_int_equal(gg_store_open(&other, fixture->files.dir, NULL, NULL), 0);
  struct gg_session_list *list = all(other), *second = one(session(fixture, 1));
  uint64_t before = gg_store_generation(other);
  assert_int_equal(tag(fixture, second, "x", NULL), 0);
  assert_true(session(fixture, 1)->generation > gg_store_generation(fixture->store)); /* for its own listing, too */
  assert_int_equal(gg_store_refresh(other, NULL), 0);
  for (size_t i = 0; i < SESSIONS; i++)
    assert_int_equal(gg_session_list_at(list, i)->generation > before, i == 1);
  assert_string_equal(shown(gg_session_list_at(list, 1)), "x");
  before = gg_store_generation(other);
  assert_int_equal(tag(fixture, second, "x", NULL), 0); /* nothing new */
  assert_int_equal(gg_store_refresh(other, NULL), 0);
  assert_true(gg_session_list_at(list, 1)->generation <= before);
  assert_int_equal(gg_store_hold(fixture->store, second, true, NULL), 0);
  assert_int_equal(gg_store_refresh(fixture->store, NULL), 0);
  assert_int_equal(session(fixture, 1)->generation, gg_store_generation(fixture->store));
  gg_session_list_destroy(list);
  gg_session_list_destroy(second);
  gg_store_close(other);
}

static void damage_is_a_warning(void **state)
{
  struct fixture *fixture = *state;
  char path[128];
  assert_int_equal(tag(fixture, fixture->list, "x", NULL), 0);
  snprintf(path, sizeof path, "%s/journal/marks.jsonl", fixture->files.dir);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_true(fd >= 0 && pwrite(fd, "#", 1, 3) == 1 && close(fd) == 0);
  struct gg_store *other = NULL;
  assert_int_equal(gg_store_open(&other, fixture->files.dir, NULL, NULL), 0);
  struct gg_session_list *list = all(other);
  assert_string_equal(shown(gg_session_list_at(list, 0)), "");
  assert_string_equal(shown(gg_session_list_at(list, 1)), "x");
  assert_non_null(strstr(gg_store_warning(other, 0), "marks.jsonl"));
  assert_null(gg_store_warning(other, 1));
  gg_session_list_destroy(list);
  gg_store_close(other);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(path, 0700), 0); /* something else stands in its place */
  assert_int_equal(gg_store_open(&other, fixture->files.dir, NULL, NULL), 0);
  list = all(other);
  assert_int_equal(gg_session_list_count(list), SESSIONS);
  assert_non_null(strstr(gg_store_warning(other, 0), "not known"));
  gg_session_list_destroy(list);
  gg_store_close(other);
  assert_int_equal(rmdir(path), 0);
}

static void only_a_store_has_tags(void **state)
{
  struct fixture *fixture = *state;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_store *other = NULL;
  assert_int_equal(gg_store_open(&other, fixture->files.segment, NULL, NULL), 0);
  struct gg_session_list *list = all(other);
  assert_int_equal(gg_store_hold(other, list, true, &failure), GG_ERR_UNSUPPORTED);
  assert_non_null(strstr(failure.message, "no store"));
  gg_session_list_destroy(list);
  gg_store_close(other);
  assert_int_equal(tag(fixture, fixture->list, "no tag", NULL), GG_ERR_INVALID);
}

/* ── Rules ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg__tag_rule given[] = {{"small", "bytes=..5"}, {"web", "listener=web"}, {"other", "port=1"}};

static struct gg__tag_rules *make(void)
{
  struct gg__tag_rules *rules = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg__tag_rules_create(&rules, given, 3, &failure) != 0)
    fail_msg("%s", failure.message);
  return rules;
}

static void rules_tag_what_matches(void **state)
{
  struct fixture *fixture = *state;
  struct gg__tag_rules *rules = make(), *kept = gg__tag_rules_ref(rules);
  struct gg__marks *marks = NULL;
  char path[128];
  struct stat status, after;
  assert_int_equal(gg__tag_rules_count(rules), 3);
  gg__tag_rules_unref(rules); /* the configuration is gone */
  assert_int_equal(gg__marks_open(&marks, fixture->files.dir, NULL), 0);
  for (size_t i = 0; i < SESSIONS; i++)
    assert_int_equal(gg__tag_rules_apply(kept, session(fixture, i), marks, NULL), 0);
  assert_int_equal(gg__marks_flush(marks, NULL), 0);
  assert_int_equal(gg_store_refresh(fixture->store, NULL), 0);
  assert_string_equal(shown(session(fixture, 0)), "small,web");
  assert_string_equal(shown(session(fixture, 2)), "web");
  gg__marks_close(marks);
  /* Again, as after a restart: nothing is written. A person has taken one off. */
  struct gg_session_list *first = one(session(fixture, 0));
  assert_int_equal(tag(fixture, first, NULL, "small"), 0);
  snprintf(path, sizeof path, "%s/journal/marks.jsonl", fixture->files.dir);
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(gg__marks_open(&marks, fixture->files.dir, NULL), 0);
  for (size_t i = 0; i < SESSIONS; i++)
    assert_int_equal(gg__tag_rules_apply(kept, session(fixture, i), marks, NULL), 0);
  assert_int_equal(gg__marks_flush(marks, NULL), 0);
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(status.st_size, after.st_size);
  assert_string_equal(shown(session(fixture, 0)), "web");
  gg__marks_close(marks);
  gg_session_list_destroy(first);
  gg__tag_rules_unref(kept);
}

static void wrong_rules_are_refused(void **state)
{
  (void)state;
  static const struct gg__tag_rule wrong[] = {{"a b", "port=80"}, {"x", "nonsense=1"},  {"x", ""},       {"x", "  "},
                                              {"x", "since=1h"},  {"x", "start > -2s"}, {"x", "end<now"}};
  struct gg__tag_rules *rules;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    assert_int_equal(gg__tag_rules_create(&rules, &wrong[i], 1, &failure), GG_ERR_INVALID);
    assert_null(rules);
    assert_true(failure.message[0] != '\0');
  }
  assert_int_equal(gg__tag_rules_create(&rules, wrong, GG_TAG_RULES_MAX + 1, NULL), GG_ERR_LIMIT);
  assert_int_equal(gg__tag_rules_create(&rules, NULL, 0, NULL), 0); /* none at all is fine */
  gg__tag_rules_unref(rules);
  assert_int_equal(gg__tag_rules_count(NULL), 0);
  gg__tag_rules_unref(gg__tag_rules_ref(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(sessions_show_what_is_said), TEST(who_follows_sees_what_changed), TEST(damage_is_a_warning),
    TEST(only_a_store_has_tags),      TEST(rules_tag_what_matches),        TEST(wrong_rules_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
