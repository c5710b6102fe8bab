/* SPDX-License-Identifier: Apache-2.0 */
/* Structs that grow from version to version, handed over by programs of other versions: taken and filled as far as both
 * sides know them. And every public one is taken by this: what has no size, too little or too much of it, is refused by
 * the struct's name. */
#include "base/sized.h"
#include <gogetway/gogetway.h>
#include <gogetway/replay.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct first {
  size_t size;
  uint64_t number;
};
struct second {
  size_t size;
  uint64_t number;
  const char *text;
};
struct third {
  size_t size;
  uint64_t number;
  const char *text;
  int fd;
  bool on;
};
static const struct third defaults = {sizeof(struct third), 7, "text", -1, true};

static int take(struct third *out, const void *given, struct gg_failure *failure)
{
  *out = defaults;
  *failure = (struct gg_failure)GG_FAILURE_INIT;
  return gg_sized_take(out, sizeof *out, GG_SIZED_END(struct third, number), given, "gg_third", failure);
}

static void what_an_earlier_version_lacks_keeps_its_default(void **state)
{
  const struct first first = {sizeof first, 1};
  const struct second second = {sizeof second, 2, "given"};
  const struct third third = {sizeof third, 3, NULL, 5, false};
  struct gg_failure failure;
  struct third out;
  (void)state;
  assert_int_equal(take(&out, &first, &failure), 0);
  assert_int_equal(out.size, sizeof out);
  assert_int_equal(out.number, 1);
  assert_string_equal(out.text, "text");
  assert_int_equal(out.fd, -1);
  assert_int_equal(take(&out, &second, &failure), 0);
  assert_int_equal(out.size, sizeof out);
  assert_int_equal(out.number, 2);
  assert_string_equal(out.text, "given");
  assert_int_equal(out.fd, -1);
  assert_true(out.on);
  assert_int_equal(take(&out, &third, &failure), 0);
  assert_memory_equal(&out, &third, GG_SIZED_END(struct third, on));
}

static void what_cannot_be_is_refused_by_name(void **state)
{
  const size_t sizes[] = {0,
                          1,
                          sizeof(size_t),
                          GG_SIZED_END(struct third, number) - 1,
                          sizeof(struct third) + 1,
                          sizeof(struct third) * 2,
                          SIZE_MAX / 2,
                          SIZE_MAX};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    struct third given = {sizes[i], 1, "given", 1, false}, out;
    struct gg_failure failure;
    assert_int_equal(take(&out, &given, &failure), GG_ERR_INVALID);
    assert_int_equal(failure.code, GG_ERR_INVALID);
    assert_non_null(strstr(failure.message, "gg_third.size is "));
    assert_memory_equal(&out, &defaults, sizeof out);
  }
}

static void so_much_is_filled_as_there_is(void **state)
{
  const struct second from = {sizeof from, 2, "text"};
  struct third out = {0, 9, "before", 9, true};
  (void)state;
  assert_int_equal(gg_sized_tell(&out, &from, sizeof from), GG_ERR_INVALID);
  assert_int_equal(out.number, 9);
  out.size = sizeof(struct first);
  assert_int_equal(gg_sized_tell(&out, &from, sizeof from), 0);
  assert_int_equal(out.size, sizeof(struct first));
  assert_int_equal(out.number, 2);
  assert_string_equal(out.text, "before");
  out.size = sizeof out;
  assert_int_equal(gg_sized_tell(&out, &from, sizeof from), 0);
  assert_int_equal(out.size, sizeof from);
  assert_string_equal(out.text, "text");
  assert_int_equal(out.fd, 9);
}

/* ── The public ones ─────────────────────────────────────────────────────────────────────────────────────────────── */

static int create_gateway(const void *given, struct gg_failure *failure)
{
  struct gg_gateway *gateway = NULL;
  int error = gg_gateway_create(&gateway, given, failure);
  assert_true(error ? !gateway : gateway != NULL);
  gg_gateway_destroy(gateway);
  return error;
}

static int add_plugin(const void *given, struct gg_failure *failure)
{
  static const struct gg_plugin table = {GG_PLUGIN_HEAD, .name = "mine"};
  const char *const arguments[] = {"--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"};
  struct gg_gateway_options options = GG_GATEWAY_OPTIONS_INIT;
  struct gg_gateway *gateway = NULL;
  options.arguments = arguments;
  options.argument_count = sizeof arguments / sizeof arguments[0];
  assert_int_equal(gg_gateway_create(&gateway, &options, NULL), 0);
  int error = gg_gateway_plugin_add(gateway, &table, given, failure);
  gg_gateway_destroy(gateway);
  return error;
}

static int open_store(const void *given, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  int error = gg_store_open(&store, "/", given, failure);
  gg_store_close(store);
  return error == GG_ERR_FORMAT || error == GG_ERR_NOT_FOUND ? 0 : error; /* there is none */
}

static int export_nothing(const void *given, struct gg_failure *failure)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  assert_int_equal(gg_store_open(&store, GG_SOURCE_ROOT "/fuzz/corpus/pcapng_reader", NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  int error = gg_store_export(store, list, given, NULL, failure);
  gg_session_list_destroy(list);
  gg_store_close(store);
  return error;
}

static int create_replay(const void *given, struct gg_failure *failure)
{
  struct gg_replay *replay = NULL;
  int error = gg_replay_create(&replay, "/nonexistent", NULL, given, failure);
  gg_replay_destroy(replay);
  return error == GG_ERR_NOT_FOUND ? 0 : error; /* the size was fine */
}

static void try(int (*call)(const void *given, struct gg_failure *failure), void *given, size_t least, size_t known,
                const char *name)
{
  const size_t wrong[] = {0, sizeof(size_t) - 1, least - 1, known + 1, SIZE_MAX};
  char message[64];
  snprintf(message, sizeof message, "%s.size is ", name);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    memcpy(given, &wrong[i], sizeof wrong[i]);
    assert_int_equal(call(given, &failure), GG_ERR_INVALID);
    assert_memory_equal(failure.message, message, strlen(message));
  }
  const size_t right[] = {least, known};
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
    struct gg_failure failure = GG_FAILURE_INIT;
    memcpy(given, &right[i], sizeof right[i]);
    int error = call(given, &failure);
    if (error)
      fail_msg("%s of %zu bytes: %s", name, right[i], failure.message);
  }
}

static void every_public_one_is_taken_so(void **state)
{
  const char *arguments[] = {"--help"};
  struct gg_gateway_options gateway = GG_GATEWAY_OPTIONS_INIT;
  struct gg_plugin_add_options add = GG_PLUGIN_ADD_OPTIONS_INIT;
  struct gg_store_options store = GG_STORE_OPTIONS_INIT;
  struct gg_export_options export = GG_EXPORT_OPTIONS_INIT;
  struct gg_replay_options replay = GG_REPLAY_OPTIONS_INIT;
  (void)state;
  gateway.arguments = arguments;
  gateway.argument_count = 1;
  try(create_gateway, &gateway, GG_SIZED_END(struct gg_gateway_options, context), sizeof gateway, "gg_gateway_options");
  try(add_plugin, &add, GG_SIZED_END(struct gg_plugin_add_options, sink), sizeof add, "gg_plugin_add_options");
  try(open_store, &store, GG_SIZED_END(struct gg_store_options, threads), sizeof store, "gg_store_options");
  export.path = "/dev/null";
  export.overwrite = true;
  try(export_nothing, &export, sizeof export, sizeof export, "gg_export_options");
  replay.to = "127.0.0.1:1";
  try(create_replay, &replay, sizeof replay, sizeof replay, "gg_replay_options");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_an_earlier_version_lacks_keeps_its_default),
    cmocka_unit_test(what_cannot_be_is_refused_by_name),
    cmocka_unit_test(so_much_is_filled_as_there_is),
    cmocka_unit_test(every_public_one_is_taken_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
