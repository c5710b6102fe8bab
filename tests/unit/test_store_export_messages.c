/* SPDX-License-Identifier: Apache-2.0 */
/* Exports of messages by the library: wrong options, files that exist, memory that is refused at each allocation, disks
 * that are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_memory.h"
#include "store_files.h"

#include <dirent.h>
#include <gogetway/messages.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256, CONTENT_BYTES = 1 << 16 };

static const char asked[] = "POST /login?token=geheim HTTP/1.1\r\nHost: x\r\nCookie: id=geheim\r\n"
                            "Content-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"password\":\"geheim\"}";
static const char answered[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

struct scene {
  struct files files;
  struct talk talk;
  struct gg_store *store;
  struct gg_session_list *list;
  char out[PATH_BYTES];
};

static void begin(struct scene *scene)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  files_begin(&scene->files);
  files_segment(&scene->files, "0001.pcapng");
  talk_open(&scene->files, &scene->talk, 1, 4000);
  talk_say(&scene->files, &scene->talk, GG_FROM_CLIENT, asked, strlen(asked));
  talk_say(&scene->files, &scene->talk, GG_FROM_SERVER, answered, strlen(answered));
  talk_close(&scene->files, &scene->talk);
  files_write(&scene->files);
  if (gg_store_open(&scene->store, scene->files.dir, NULL, &failure) != 0 ||
      gg_store_query(scene->store, NULL, &scene->list, &failure) != 0)
    fail_msg("%s", failure.message);
  snprintf(scene->out, sizeof scene->out, "/tmp/gogetway-export-%ld", (long)getpid());
}

static void remove_out(const struct scene *scene)
{
  char path[2 * PATH_BYTES];
  DIR *folder = opendir(scene->out);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    snprintf(path, sizeof path, "%s/%s", scene->out, entry->d_name);
    unlink(path);
  }
  if (folder)
    closedir(folder);
  rmdir(scene->out);
  unlink(scene->out);
}

static void end(struct scene *scene)
{
  remove_out(scene);
  gg_session_list_destroy(scene->list);
  gg_store_close(scene->store);
  files_end(&scene->files);
}

static struct gg_message_export_options options_of(const struct scene *scene, enum gg_message_export_format format)
{
  struct gg_message_export_options options = GG_MESSAGE_EXPORT_OPTIONS_INIT;
  options.format = format;
  options.path = scene->out;
  return options;
}

static size_t content_of(const char *path, char text[CONTENT_BYTES])
{
  FILE *file = fopen(path, "r");
  size_t length = file ? fread(text, 1, CONTENT_BYTES - 1, file) : 0;
  text[length] = '\0';
  if (file)
    fclose(file);
  return length;
}

static void wrong_options(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_message_export_options options = options_of(&scene, GG_MESSAGE_EXPORT_HAR);
  options.path = "";
  assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_INVALID);
  options = options_of(&scene, (enum gg_message_export_format)17);
  assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_INVALID);
  options = options_of(&scene, GG_MESSAGE_EXPORT_FILES);
  options.path = "-";
  assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_INVALID);
  options = options_of(&scene, GG_MESSAGE_EXPORT_HAR);
  options.decoder = "none";
  assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_NOT_FOUND);
  options = options_of(&scene, GG_MESSAGE_EXPORT_HAR);
  options.size += 8;
  assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_INVALID);
  assert_int_equal(access(scene.out, F_OK), -1);
  end(&scene);
}

/* What is whole is so with one session, and has nothing that is to be hidden. */
static void check_whole(const struct scene *scene, enum gg_message_export_format format,
                        const struct gg_message_export_result *result)
{
  static char text[CONTENT_BYTES];
  char path[2 * PATH_BYTES];
  bool files = format == GG_MESSAGE_EXPORT_FILES;
  assert_int_equal(result->entries, files ? 2 : 1);
  snprintf(path, sizeof path, "%s%s", scene->out, files ? "/manifest.jsonl" : "");
  assert_true(content_of(path, text) > 0);
  assert_non_null(strstr(text, files ? "\"name\":" : format == GG_MESSAGE_EXPORT_HAR ? "hello" : "curl "));
  if (!files)
    assert_null(strstr(text, "geheim"));
}

/* An error leaves no file, or the decoding has ended early, and that is counted; nothing is left behind. */
static void memory_is_refused(void **state)
{
  (void)state;
  struct scene scene;
  static char text[CONTENT_BYTES];
  begin(&scene);
  for (int format = GG_MESSAGE_EXPORT_HAR; format <= GG_MESSAGE_EXPORT_FILES; format++) {
    bool refused = true;
    for (failing = 1; refused; failing++) {
      struct gg_message_export_options options = options_of(&scene, (enum gg_message_export_format)format);
      struct gg_message_export_result result;
      struct gg_failure failure = GG_FAILURE_INIT;
      assert_true(failing < 300);
      remove_out(&scene);
      calls = 0;
      live = 0;
      counting = true;
      int error = gg_store_export_messages(scene.store, scene.list, &options, &result, &failure);
      counting = false;
      refused = calls >= failing;
      assert_int_equal(live, 0);
      assert_int_equal(failure.code, error);
      assert_true(error == 0 || error == GG_ERR_NOMEM);
      assert_null(content_of(scene.out, text) ? strstr(text, "geheim") : NULL);
      if (error && format != GG_MESSAGE_EXPORT_FILES)
        assert_int_equal(access(scene.out, F_OK), -1);
      if (!error && result.partly == 0)
        check_whole(&scene, (enum gg_message_export_format)format, &result);
    }
    assert_true(failing > 10);
  }
  end(&scene);
}

static void a_full_disk(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  for (int format = GG_MESSAGE_EXPORT_HAR; format < GG_MESSAGE_EXPORT_FILES; format++) {
    struct gg_message_export_options options = options_of(&scene, (enum gg_message_export_format)format);
    struct gg_failure failure = GG_FAILURE_INIT;
    options.path = "/dev/full";
    assert_true(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure) < 0);
    assert_non_null(strstr(failure.message, "/dev/full"));
  }
  end(&scene);
}

static bool stop(void *context, uint64_t done, uint64_t total)
{
  (void)context;
  (void)done;
  (void)total;
  return false;
}

static void who_asks_stops_it(void **state)
{
  (void)state;
  struct scene scene;
  begin(&scene);
  for (int format = GG_MESSAGE_EXPORT_HAR; format <= GG_MESSAGE_EXPORT_FILES; format++) {
    struct gg_message_export_options options = options_of(&scene, (enum gg_message_export_format)format);
    struct gg_failure failure = GG_FAILURE_INIT;
    options.progress = stop;
    assert_int_equal(gg_store_export_messages(scene.store, scene.list, &options, NULL, &failure), GG_ERR_CLOSED);
    assert_true(format == GG_MESSAGE_EXPORT_FILES || access(scene.out, F_OK) == -1);
    remove_out(&scene);
  }
  end(&scene);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(wrong_options),
    cmocka_unit_test(memory_is_refused),
    cmocka_unit_test(a_full_disk),
    cmocka_unit_test(who_asks_stops_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
