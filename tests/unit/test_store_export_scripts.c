/* SPDX-License-Identifier: Apache-2.0 */
/* Programs and screens made of sessions: how each kind of answer is waited for, what of a screen is kept, what is
 * refused, and memory that is not there. That programs run, and do the same, is the integration test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "store_files.h"

#include <gogetway/messages.h>

struct scene {
  struct files files;
  struct talk talk;
  struct gg_store *store;
  struct gg_session_list *list;
  char path[128];
  char text[1 << 16];
};

static void begin(struct scene *scene)
{
  *scene = (struct scene){.store = NULL};
  files_begin(&scene->files);
  files_segment(&scene->files, "0001.pcapng");
  talk_open(&scene->files, &scene->talk, 1, 4000);
}

static void client(struct scene *scene, const char *text)
{
  talk_say(&scene->files, &scene->talk, GG_FROM_CLIENT, text, strlen(text));
}

static void server(struct scene *scene, const char *text)
{
  talk_say(&scene->files, &scene->talk, GG_FROM_SERVER, text, strlen(text));
}

static void record(struct scene *scene)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  talk_close(&scene->files, &scene->talk);
  files_write(&scene->files);
  assert_int_equal(gg_store_open(&scene->store, scene->files.dir, NULL, &failure), 0);
  assert_int_equal(gg_store_query(scene->store, NULL, &scene->list, NULL), 0);
  snprintf(scene->path, sizeof scene->path, "%s/script", scene->files.dir);
}

static int export_as(struct scene *scene, enum gg_script_format format, bool secrets, struct gg_failure *failure)
{
  struct gg_script_options options = GG_SCRIPT_OPTIONS_INIT;
  options.format = format;
  options.path = scene->path;
  options.overwrite = true;
  options.secrets = secrets;
  return gg_store_export_scripts(scene->store, scene->list, &options, NULL, failure);
}

static const char *exported(struct scene *scene, enum gg_script_format format)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (export_as(scene, format, false, &failure) != 0)
    fail_msg("%s", failure.message);
  FILE *file = fopen(scene->path, "r");
  assert_non_null(file);
  size_t length = fread(scene->text, 1, sizeof scene->text - 1, file);
  scene->text[length] = '\0';
  fclose(file);
  return scene->text;
}

static void end(struct scene *scene)
{
  gg_session_list_destroy(scene->list);
  gg_store_close(scene->store);
  unlink(scene->path);
  files_end(&scene->files);
}

/* The conversation of the only session: what stands behind the connecting. */
static void check(struct scene *scene, const char *wanted)
{
  record(scene);
  const char *text = exported(scene, GG_SCRIPT_PYTHON), *from = strstr(text, "server = connect()\n\n");
  assert_non_null(from);
  assert_string_equal(from + strlen("server = connect()\n\n"), wanted);
  end(scene);
}

/* ── Waits ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void codes_dots_and_tags(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  server(&scene, "+OK hello\r\n");
  client(&scene, "LIST\r\n");
  server(&scene, "+OK 2\r\n1 100\r\n2 200\r\n.\r\n");
  client(&scene, "a7 NOOP\r\n");
  server(&scene, "* 3 EXISTS\r\na7 OK done\r\n");
  client(&scene, "FEAT\r\nSYST\r\n");
  server(&scene, "211-a\r\n b\r\n211 c\r\n215 d\r\n");
  client(&scene, "what\r\n");
  server(&scene, "this\r\nand that\r\n");
  check(&scene, "expect_line()\n"
                "# 2 line: LIST\nsend(\n    b\"LIST\\r\\n\",\n)\n"
                "expect_dot()\n"
                "# 7 line: a7 NOOP\nsend(\n    b\"a7 NOOP\\r\\n\",\n)\n"
                "expect_tag(b\"a7\")\n"
                "# 10 line: FEAT\nsend(\n    b\"FEAT\\r\\n\",\n)\n"
                "# 11 line: SYST\nsend(\n    b\"SYST\\r\\n\",\n)\n"
                "expect_code(2)\n"
                "# 16 line: what\nsend(\n    b\"what\\r\\n\",\n)\n"
                "expect_quiet()\n"
                "finish()\n");
}

/* Two answers to lines that were sent together; and what the server says last, behind the client's end. */
static void prompts_are_counted(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  server(&scene, "hi\r\n> ");
  client(&scene, "a\r\n");
  server(&scene, "1\r\n> ");
  client(&scene, "b\r\nc\r\n");
  server(&scene, "2\r\n> 3\r\n> ");
  check(&scene, "expect_prompt(b\"> \")\n"
                "# 3 line: a\nsend(\n    b\"a\\r\\n\",\n)\n"
                "expect_prompt(b\"> \")\n"
                "# 6 line: b\nsend(\n    b\"b\\r\\n\",\n)\n"
                "# 7 line: c\nsend(\n    b\"c\\r\\n\",\n)\n"
                "expect_prompt(b\"> \", 2)\n"
                "finish()\n");
}

/* What is decoded no more is part of the silence that is waited for already. */
static void a_silence_takes_all(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  client(&scene, "GET / HTTP/1.1\r\n\r\n");
  server(&scene, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  server(&scene, "ever");
  check(&scene, "# 1 request: GET /\nsend(\n    b\"GET / HTTP/1.1\\r\\n\"\n    b\"\\r\\n\",\n)\n"
                "expect_quiet()\n"
                "finish()\n");
}

/* Values that are handed out in a place that cannot be told are marked; equal requests with other answers too. */
static void values_are_marked(void **state)
{
  (void)state;
  struct scene scene;
  static const char ask[] = "GET /a HTTP/1.1\r\n\r\n";
  begin(&scene);
  client(&scene, ask);
  server(&scene, "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\nid=abc123xyz, id=abc123xyz");
  client(&scene, ask);
  server(&scene, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!");
  client(&scene, "GET /abc123xyz HTTP/1.1\r\n\r\n");
  server(&scene, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  record(&scene);
  const char *text = exported(&scene, GG_SCRIPT_PYTHON);
  assert_non_null(strstr(text, "expect_http(\"GET\")\n# the client says this of it again, as recorded: value 1, "
                               "9 bytes at 42\n# 3 request: GET /a\n"));
  assert_non_null(strstr(text, "# the same was sent before, and answered otherwise from byte 33 on: behind "
                               "b\"Content-Length: \"\nexpect_http(\"GET\")\n"));
  assert_non_null(
    strstr(text, "    # as recorded, and from a reply above: value 1, 9 bytes at 42\n    b\"abc123xyz\",\n"));
  end(&scene);
}

/* ── Screens ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Commands stand nowhere, CR NUL is a CR, and a character that is cut comes as a whole; its size comes with it. */
static void telnet_without_its_commands(void **state)
{
  (void)state;
  static const uint8_t offer[] = {255, 253, 31, 255, 253, 24, 255, 251, 1};
  static const uint8_t size[] = {255, 251, 31, 255, 250, 31, 0, 100, 0, 40, 255, 240};
  static const uint8_t type[] = {255, 251, 24, 255, 250, 24, 0, 'v', 't', '1', 255, 240};
  static const uint8_t later[] = {255, 250, 31, 0, 120, 0, 50, 255, 240};
  struct scene scene;
  begin(&scene);
  talk_say(&scene.files, &scene.talk, GG_FROM_SERVER, offer, sizeof offer);
  talk_say(&scene.files, &scene.talk, GG_FROM_CLIENT, size, sizeof size);
  talk_say(&scene.files, &scene.talk, GG_FROM_CLIENT, type, sizeof type);
  talk_say(&scene.files, &scene.talk, GG_FROM_SERVER, "caf\xc3", 4);
  talk_say(&scene.files, &scene.talk, GG_FROM_SERVER, "\xa9\r\0\xff\xf9 \xff\xff> ", 10);
  talk_say(&scene.files, &scene.talk, GG_FROM_CLIENT, "ls\r\0", 4);
  talk_say(&scene.files, &scene.talk, GG_FROM_CLIENT, later, sizeof later);
  talk_say(&scene.files, &scene.talk, GG_FROM_SERVER, "a", 1);
  record(&scene);
  assert_string_equal(
    exported(&scene, GG_SCRIPT_ASCIICAST),
    "{\"version\":2,\"width\":100,\"height\":40,\"timestamp\":1700000000,\"title\":\"telnet: "
    "192.0.2.1:4000 to 203.0.113.5:80, session 018c00000000000000000001\",\"env\":{\"TERM\":\"vt1\"}}\n"
    "[0.004000000,\"o\",\"caf\"]\n"
    "[0.005000000,\"o\",\"\xc3\xa9\\r \xef\xbf\xbd> \"]\n"
    "[0.006000000,\"i\",\"ls\\r\"]\n"
    "[0.007000000,\"r\",\"120x50\"]\n"
    "[0.008000000,\"o\",\"a\"]\n");
  end(&scene);
}

static void what_is_encrypted_is_refused(void **state)
{
  (void)state;
  struct scene scene;
  struct gg_failure failure = GG_FAILURE_INIT;
  begin(&scene);
  server(&scene, "* OK hello\r\n");
  client(&scene, "a STARTTLS\r\n");
  server(&scene, "a OK go\r\n");
  static const uint8_t data[] = {23, 3, 3, 0, 4, 1, 2, 3, 4};
  talk_say(&scene.files, &scene.talk, GG_FROM_CLIENT, data, sizeof data);
  record(&scene);
  assert_int_equal(export_as(&scene, GG_SCRIPT_ASCIICAST, false, &failure), GG_ERR_UNSUPPORTED);
  assert_true(access(scene.path, F_OK) != 0);
  end(&scene);
}

/* ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_refused(struct scene *scene, const char *why)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  record(scene);
  assert_int_equal(export_as(scene, GG_SCRIPT_PYTHON, false, &failure), GG_ERR_UNSUPPORTED);
  assert_non_null(strstr(failure.message, why));
  assert_true(access(scene->path, F_OK) != 0);
}

static void bytes_that_are_missing(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  client(&scene, "a\r\n");
  talk_miss(&scene.talk, GG_FROM_CLIENT, 5);
  client(&scene, "b\r\n");
  check_refused(&scene, "lacks bytes that the client said, at 3");
  end(&scene);
}

static void credentials_among_too_many_fields(void **state)
{
  (void)state;
  struct scene scene;
  struct gg_failure failure = GG_FAILURE_INIT;
  begin(&scene);
  client(&scene, "GET / HTTP/1.1\r\n");
  for (int i = 0; i < 1100; i++)
    client(&scene, "a: b\r\n");
  client(&scene, "\r\n");
  check_refused(&scene, "--secrets writes them");
  assert_int_equal(export_as(&scene, GG_SCRIPT_PYTHON, true, &failure), 0);
  end(&scene);
}

static void wrong_options(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  client(&scene, "a\r\n");
  record(&scene);
  struct gg_script_options options = GG_SCRIPT_OPTIONS_INIT;
  assert_int_equal(gg_store_export_scripts(scene.store, scene.list, &options, NULL, NULL), GG_ERR_INVALID);
  options.path = scene.path;
  options.format = 7;
  assert_int_equal(gg_store_export_scripts(scene.store, scene.list, &options, NULL, NULL), GG_ERR_INVALID);
  options.format = GG_SCRIPT_ASCIICAST;
  options.framing = "fixed 3";
  assert_int_equal(gg_store_export_scripts(scene.store, scene.list, &options, NULL, NULL), GG_ERR_INVALID);
  options.format = GG_SCRIPT_PYTHON;
  options.framing = "fixed";
  assert_int_equal(gg_store_export_scripts(scene.store, scene.list, &options, NULL, NULL), GG_ERR_FORMAT);
  options.framing = NULL;
  options.decoder = "nobody";
  assert_int_equal(gg_store_export_scripts(scene.store, scene.list, &options, NULL, NULL), GG_ERR_NOT_FOUND);
  end(&scene);
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void memory_is_refused(void **state)
{
  (void)state;
  enum { ALLOCATIONS_MAX = 400 };
  struct scene scene;
  begin(&scene);
  server(&scene, "220 token-12345\r\n");
  client(&scene, "PASS secret\r\ntoken-12345\r\n");
  server(&scene, "230 ok\r\n");
  record(&scene);
  for (enum gg_script_format format = GG_SCRIPT_PYTHON; format <= GG_SCRIPT_ASCIICAST; format++) {
    bool refused = true;
    for (failing = 1; refused; failing++) {
      struct gg_failure failure = GG_FAILURE_INIT;
      assert_true(failing < ALLOCATIONS_MAX);
      calls = 0;
      live = 0;
      counting = true;
      int error = export_as(&scene, format, false, &failure);
      counting = false;
      refused = calls >= failing;
      assert_int_equal(live, 0);
      assert_int_equal(failure.code, error);
      assert_true(error == 0 || refused);
    }
    assert_true(failing > 8);
  }
  end(&scene);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(codes_dots_and_tags),
    cmocka_unit_test(prompts_are_counted),
    cmocka_unit_test(a_silence_takes_all),
    cmocka_unit_test(values_are_marked),
    cmocka_unit_test(telnet_without_its_commands),
    cmocka_unit_test(what_is_encrypted_is_refused),
    cmocka_unit_test(bytes_that_are_missing),
    cmocka_unit_test(credentials_among_too_many_fields),
    cmocka_unit_test(wrong_options),
    cmocka_unit_test(memory_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
