/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which a plug-in's table, or its file, can be refused: the error, and what names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/library.h"
#include <gogetway/decoder.h>

#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_tick(void *self)
{
  (void)self;
}

static int on_command(void *self, unsigned command, size_t word_count, const char *const *words, void *reply,
                      struct gg_failure *failure)
{
  (void)self, (void)command, (void)word_count, (void)words, (void)reply, (void)failure;
  return 0;
}

static const struct gg_plugin good = {GG_PLUGIN_HEAD, .name = "good"};

static void refused(const struct gg_plugin *given, int error, const char *message)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin out;
  assert_int_equal(gg_plugin_judge(&out, given, "x.so", &failure), error);
  assert_int_equal(failure.code, error);
  assert_string_equal(failure.message, message);
}

static size_t on_mask(void *self, struct gg_live *session, struct gg_mask *piece)
{
  (void)self, (void)session, (void)piece;
  return 0;
}

static void a_mask_says_what_it_keeps_back(void **state)
{
  struct gg_plugin table = good, out;
  (void)state;
  table.mask = on_mask;
  refused(&table, GG_ERR_INVALID, "x.so: it has a mask, but mask_longest is 0, 1 to 16384");
  table.mask_longest = GG_MASK_LONGEST_MAX + 1;
  refused(&table, GG_ERR_INVALID, "x.so: it has a mask, but mask_longest is 16385, 1 to 16384");
  table.mask_longest = GG_MASK_LONGEST_MAX;
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", NULL), 0);
}

static size_t on_push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  (void)self, (void)decoding;
  return window->length;
}

static void on_message(void *self, struct gg_live *session, const struct gg_spoken *spoken, struct gg_verdict *verdict)
{
  (void)self, (void)session, (void)spoken, (void)verdict;
}

static void messages_are_of_this_version(void **state)
{
  struct gg_plugin table = good, out;
  (void)state;
  table.message = on_message;
  refused(&table, GG_ERR_UNSUPPORTED, "x.so: message_abi is 0, and this gateway tells messages as of 1");
  table.message_abi = GG_DECODER_ABI;
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", NULL), 0);
}

static void decoders_are_whole(void **state)
{
  static const char *const kinds[] = {"thing", NULL};
  static const struct gg_decoder_field fields[] = {{"own.word", GG_FIELD_TEXT, true, "x", "x"}, {.name = NULL}};
  static const struct gg_decoder_field shouting[] = {{"own.Word", GG_FIELD_TEXT, true, "x", "x"}, {.name = NULL}};
  static const struct gg_decoder_field kindless[] = {{"own.word", 7, true, "x", "x"}, {.name = NULL}};
  struct gg_decoder decoder = {GG_DECODER_HEAD, .name = "own",    .protocol = "own",
                               .kinds = kinds,  .fields = fields, .push = on_push};
  const struct gg_decoder *const decoders[] = {&decoder, &decoder};
  struct gg_plugin table = good, out;
  (void)state;
  table.decoder_count = GG_PLUGIN_DECODERS_MAX + 1;
  refused(&table, GG_ERR_LIMIT, "x.so: decoder_count is 9, at most 8");
  table.decoder_count = 2;
  refused(&table, GG_ERR_INVALID, "x.so: decoder_count is 2, but decoders is NULL");
  table.decoders = decoders;
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", NULL), 0);
  assert_ptr_equal(out.decoders, decoders);
  decoder.abi++;
  refused(&table, GG_ERR_INVALID, "x.so: decoders[0]: a decoder is not of version 1 of the interface");
  decoder.abi--;
  decoder.push = NULL;
  refused(&table, GG_ERR_INVALID, "x.so: decoders[0]: the decoder 'own' lacks its push");
  decoder.push = on_push;
  decoder.protocol = "o\033wn";
  refused(&table, GG_ERR_INVALID,
          "x.so: decoders[0]: protocol is 'o\033wn', which is not a-z and then a-z and 0-9, 31 at the most");
  decoder.protocol = "a2345678901234567890123456789012";
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", NULL), GG_ERR_INVALID);
  decoder.protocol = "own";
  decoder.fields = shouting;
  refused(
    &table, GG_ERR_INVALID,
    "x.so: decoders[0]: fields[0].name of the decoder 'own' is 'own.Word', which is not like own.word, a-z, 0-9, . "
    "and _");
  decoder.fields = kindless;
  refused(&table, GG_ERR_INVALID, "x.so: decoders[0]: fields[0].kind of the decoder 'own' is 7, which is none");
}

static void the_least_table_is_taken(void **state)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin out;
  (void)state;
  assert_int_equal(gg_plugin_judge(&out, &good, "x.so", &failure), 0);
  assert_string_equal(out.name, "good");
  assert_true(!out.gate && !out.tick && out.option_count == 0);
}

static bool on_stale(void *self)
{
  (void)self;
  return true;
}

/* What stands behind the end of a table is not looked at. */
static void a_table_of_the_first_version_is_taken(void **state)
{
  struct gg_plugin table = good, out;
  (void)state;
  table.stale = on_stale;
  table.size = (uint32_t)offsetof(struct gg_plugin, stale);
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", NULL), 0);
  assert_true(!out.stale);
}

static void another_abi_is_refused(void **state)
{
  struct gg_plugin table = good;
  (void)state;
  table.abi = 2;
  refused(&table, GG_ERR_UNSUPPORTED, "x.so: abi is 2, this gateway's is 1");
  table.abi = 0;
  refused(&table, GG_ERR_UNSUPPORTED, "x.so: abi is 0, this gateway's is 1");
}

static void a_short_table_names_what_it_lacks(void **state)
{
  struct gg_plugin table = good;
  char message[160];
  const size_t least = offsetof(struct gg_plugin, stale); /* what the first version had */
  (void)state;
  table.size = (uint32_t)offsetof(struct gg_plugin, gate);
  snprintf(message, sizeof message, "x.so: size is %zu, so its table has no field gate (it needs %zu)",
           offsetof(struct gg_plugin, gate), least);
  refused(&table, GG_ERR_UNSUPPORTED, message);
  table.size = (uint32_t)least - 1;
  snprintf(message, sizeof message, "x.so: size is %zu, so its table has no field command (it needs %zu)", least - 1,
           least);
  refused(&table, GG_ERR_UNSUPPORTED, message);
  table.size = 0;
  snprintf(message, sizeof message, "x.so: size is 0, so its table has no field abi (it needs %zu)", least);
  refused(&table, GG_ERR_UNSUPPORTED, message);
}

/* A later version's table: what we do not know must not be used. */
static void a_longer_table_is_taken_if_its_rest_is_empty(void **state)
{
  struct {
    struct gg_plugin known;
    uint64_t rest[2];
  } table = {.known = good};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin out;
  char message[200];
  (void)state;
  table.known.size = (uint32_t)sizeof table;
  assert_int_equal(gg_plugin_judge(&out, &table.known, "x.so", &failure), 0);
  assert_int_equal(out.size, sizeof out);
  table.rest[1] = 1;
  snprintf(message, sizeof message,
           "x.so: size is %zu, of which this gateway knows %zu, and byte %zu is set: it was built for a later version",
           sizeof table, sizeof out, sizeof out + 8);
  refused(&table.known, GG_ERR_UNSUPPORTED, message);
}

static void names_are_words(void **state)
{
  static const char *const bad[] = {
    "", "Hello", "1a", "-a", "a b", "a_b", "a/b", "../a", "a.b", "\xc3\xa4", "a2345678901234567890123456789012"};
  struct gg_plugin table = good;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_plugin out;
  (void)state;
  table.name = NULL;
  refused(&table, GG_ERR_INVALID, "x.so: name is NULL");
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char message[160];
    table.name = bad[i];
    snprintf(message, sizeof message,
             "x.so: name is '%s', which is not a-z and then a-z, 0-9 and -, 31 letters at the most", bad[i]);
    refused(&table, GG_ERR_INVALID, message);
  }
  table.name = "a234567890123456789012345678901";
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", &failure), 0);
}

static void options_are_a_table(void **state)
{
  struct gg_plugin table = good;
  (void)state;
  table.option_count = 65;
  refused(&table, GG_ERR_LIMIT, "x.so: option_count is 65, at most 64");
  table.option_count = 1;
  refused(&table, GG_ERR_INVALID, "x.so: option_count is 1, but options is NULL");
}

/* What an option must be is judged elsewhere; that it is asked, here. */
static void an_option_is_judged(void **state)
{
  static const struct gg_plugin_option options[] = {{.name = NULL, .type = GG_PLUGIN_COUNT, .help = "x"}};
  struct gg_plugin table = good, out;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  table.options = options;
  table.option_count = 1;
  assert_true(gg_plugin_judge(&out, &table, "x.so", &failure) < 0);
  assert_memory_equal(failure.message, "x.so: ", 6);
}

static void commands_are_whole(void **state)
{
  static const struct gg_plugin_command fine[] = {{"show", NULL, "x"}, {"set", "N", "x"}};
  static const struct gg_plugin_command twice[] = {{"show", NULL, "x"}, {"show", NULL, "x"}};
  static const struct gg_plugin_command nameless[] = {{NULL, NULL, "x"}};
  static const struct gg_plugin_command option[] = {{"--show", NULL, "x"}};
  static const struct gg_plugin_command helpless[] = {{"show", NULL, NULL}};
  struct gg_plugin table = good, out;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  table.command_count = 17;
  refused(&table, GG_ERR_LIMIT, "x.so: command_count is 17, at most 16");
  table.command_count = 2;
  refused(&table, GG_ERR_INVALID, "x.so: command_count is 2, but commands is NULL");
  table.commands = fine;
  refused(&table, GG_ERR_INVALID, "x.so: it has commands, but command is NULL");
  table.command = on_command;
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", &failure), 0);
  table.commands = twice;
  refused(&table, GG_ERR_INVALID, "x.so: commands[1].verb is 'show', as that of commands[0]");
  table.command_count = 1;
  table.commands = nameless;
  refused(&table, GG_ERR_INVALID,
          "x.so: commands[0].verb is 'NULL', which is not a-z and then a-z, 0-9 and -, 31 letters at the most");
  table.commands = option;
  refused(&table, GG_ERR_INVALID,
          "x.so: commands[0].verb is '--show', which is not a-z and then a-z, 0-9 and -, 31 letters at the most");
  table.commands = helpless;
  refused(&table, GG_ERR_INVALID, "x.so: commands[0].help is NULL");
}

static void what_is_not_its_own_is_not_read(void **state)
{
  struct gg_plugin table = good;
  (void)state;
  table.size = 16385;
  refused(&table, GG_ERR_UNSUPPORTED, "x.so: size is 16385, and no table has more than 16384 bytes");
  table.size = UINT32_MAX;
  refused(&table, GG_ERR_UNSUPPORTED, "x.so: size is 4294967295, and no table has more than 16384 bytes");
}

static void a_tick_has_an_interval(void **state)
{
  struct gg_plugin table = good, out;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  table.tick = on_tick;
  refused(&table, GG_ERR_INVALID, "x.so: it has a tick, but tick_interval_ns is 0, at least 1000000");
  table.tick_interval_ns = 999999;
  refused(&table, GG_ERR_INVALID, "x.so: it has a tick, but tick_interval_ns is 999999, at least 1000000");
  table.tick_interval_ns = 1000000;
  assert_int_equal(gg_plugin_judge(&out, &table, "x.so", &failure), 0);
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static char path[64];

static void write_file(const void *bytes, size_t length)
{
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
}

static void file_refused(int error, const char *rest)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_library *library;
  char message[512];
  snprintf(message, sizeof message, "%s%s", path, rest);
  assert_int_equal(gg_library_open(&library, path, &failure), error);
  assert_null(library);
  if (!strstr(failure.message, message))
    fail_msg("'%s' does not have '%s'", failure.message, message);
}

static void what_is_no_library_is_refused(void **state)
{
  ElfW(Ehdr) head = {.e_type = ET_DYN};
  (void)state;
  snprintf(path, sizeof path, "/tmp/gogetway-judge-%ld", (long)getpid());
  file_refused(GG_ERR_NOT_FOUND, ": No such file or directory");
  assert_int_equal(mkdir(path, 0700), 0);
  file_refused(GG_ERR_FORMAT, " is not a file");
  assert_int_equal(rmdir(path), 0);
  assert_int_equal(mkfifo(path, 0600), 0);
  file_refused(GG_ERR_FORMAT, " is not a file");
  assert_int_equal(unlink(path), 0);
  write_file("", 0);
  file_refused(GG_ERR_FORMAT, " is not a shared library");
  write_file("#!/bin/sh\necho hello, I am a text\n", 34);
  file_refused(GG_ERR_FORMAT, " is not a shared library");
  memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS32 : ELFCLASS64;
  write_file(&head, sizeof head);
  file_refused(GG_ERR_FORMAT, sizeof(void *) == 8 ? " is built for another machine: it has 32 bits, this program 64"
                                                  : " is built for another machine: it has 64 bits, this program 32");
  head.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
  head.e_ident[EI_DATA] = 3;
  write_file(&head, sizeof head);
  file_refused(GG_ERR_FORMAT, " is built for another machine, or damaged");
  head.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  write_file(&head, sizeof head / 2);
  file_refused(GG_ERR_FORMAT, " is built for another machine, or damaged");
#if defined(__x86_64__) || defined(__aarch64__)
  head.e_machine = EM_SPARCV9;
  write_file(&head, sizeof head);
  file_refused(GG_ERR_FORMAT, " is built for another machine: number 43, this program for ");
#if defined(__x86_64__)
  head.e_machine = EM_X86_64;
#else
  head.e_machine = EM_AARCH64;
#endif
  head.e_type = ET_REL;
  write_file(&head, sizeof head);
  file_refused(GG_ERR_FORMAT, " is not a shared library: it was not linked with -shared");
  head.e_type = ET_DYN; /* and nothing behind it: this is what the loader says */
  write_file(&head, sizeof head);
  file_refused(GG_ERR_FORMAT, " cannot be loaded: ");
#endif
  assert_int_equal(unlink(path), 0);
}

static void copy_probe(void)
{
  char bytes[4096];
  size_t length;
  FILE *from = fopen(GG_PROBE, "r"), *to = fopen(path, "w");
  assert_true(from && to);
  while ((length = fread(bytes, 1, sizeof bytes, from)) > 0)
    assert_int_equal(fwrite(bytes, 1, length, to), length);
  assert_int_equal(fclose(from), 0);
  assert_int_equal(fclose(to), 0);
}

/* The plug-in that stands here is good: each refusal is for who could change it. */
static void what_others_can_change_is_refused(void **state)
{
  struct gg_library *library;
  struct gg_failure failure = GG_FAILURE_INIT;
  (void)state;
  snprintf(path, sizeof path, "/tmp/gogetway-judge-%ld", (long)getpid());
  copy_probe();
  assert_int_equal(chmod(path, 0664), 0);
  file_refused(GG_ERR_DENIED, " can be written by its group (mode 664), and is code of this process");
  assert_int_equal(chmod(path, 0646), 0);
  file_refused(GG_ERR_DENIED, " can be written by everybody (mode 646), and is code of this process");
  assert_int_equal(chmod(path, 0444), 0);
  if (geteuid() == 0) {
    assert_int_equal(chown(path, 12345, 0), 0);
    file_refused(GG_ERR_DENIED, " belongs to user 12345, and is code of this process");
    assert_int_equal(chown(path, 0, 0), 0);
  }
  assert_int_equal(gg_library_open(&library, path, &failure), 0);
  gg_library_close(library);
  /* And what is put in its place when it was judged is not loaded for it. */
  assert_int_equal(gg_library_find(&library, path, &failure), 0);
  assert_int_equal(unlink(path), 0);
  copy_probe();
  assert_int_equal(chmod(path, 0444), 0);
  assert_int_equal(gg_library_load(library, path, &failure), GG_ERR_BUSY);
  assert_non_null(strstr(failure.message, " was replaced while it was loaded"));
  gg_library_close(library);
  assert_int_equal(unlink(path), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(decoders_are_whole),
    cmocka_unit_test(messages_are_of_this_version),
    cmocka_unit_test(the_least_table_is_taken),
    cmocka_unit_test(a_mask_says_what_it_keeps_back),
    cmocka_unit_test(a_table_of_the_first_version_is_taken),
    cmocka_unit_test(another_abi_is_refused),
    cmocka_unit_test(a_short_table_names_what_it_lacks),
    cmocka_unit_test(a_longer_table_is_taken_if_its_rest_is_empty),
    cmocka_unit_test(names_are_words),
    cmocka_unit_test(options_are_a_table),
    cmocka_unit_test(an_option_is_judged),
    cmocka_unit_test(commands_are_whole),
    cmocka_unit_test(a_tick_has_an_interval),
    cmocka_unit_test(what_is_not_its_own_is_not_read),
    cmocka_unit_test(what_is_no_library_is_refused),
    cmocka_unit_test(what_others_can_change_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
