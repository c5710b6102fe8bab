/* SPDX-License-Identifier: Apache-2.0 */
/* What every decoder that is built in must come with: a section of docs/protocols.md with all of its fields, inputs for
 * its fuzz target, and tables that are in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/decoders.h"
#include "proto/document.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MAX = 1 << 20 };

static char *read_file(const char *path)
{
  FILE *file = fopen(path, "r");
  if (!file)
    fail_msg("%s cannot be opened (pages: build/tools/document protocols > docs/protocols.md)", path);
  char *page = calloc(1, PAGE_MAX);
  assert_non_null(page);
  assert_in_range(fread(page, 1, PAGE_MAX - 1, file), 1, PAGE_MAX - 2);
  fclose(file);
  return page;
}

/* A section ends where the next one begins; the last one with the page. A decoder whose library was not there at build
 * time has its section in the page all the same. */
static void every_section_is_in_the_committed_page(void **state)
{
  (void)state;
  char *page = read_file(GG_SOURCE_ROOT "/docs/protocols.md"), *text = gg__decoders_document();
  assert_non_null(text);
  for (char *section = text, *next; section; section = next) {
    next = strstr(section + 1, "\n## ");
    size_t length = next ? (size_t)(next - section) : strlen(section);
    const char *found = memmem(page, strlen(page), section, length);
    if (!found || (found[length] && strncmp(found + length, "\n## ", 4) != 0))
      fail_msg("docs/protocols.md is stale: run build/tools/document protocols > docs/protocols.md (%.40s)",
               section + 1);
  }
  free(text);
  free(page);
}

static void every_decoder_is_fuzzed(void **state)
{
  (void)state;
  char *targets = read_file(GG_SOURCE_ROOT "/fuzz/meson.build");
  char *decoders = strstr(targets, "fuzz_decoders = [");
  char *behind = decoders ? strstr(decoders, "fuzz_files = ") : NULL;
  assert_non_null(behind);
  *behind = '\0';
  for (size_t i = 0; gg_decoder_at(i); i++) {
    char path[4096];
    unsigned inputs = 0;
    snprintf(path, sizeof path, "%s/fuzz/corpus/decode_%s", GG_SOURCE_ROOT, gg_decoder_at(i)->name);
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
      inputs++;
    if (folder)
      closedir(folder);
    if (inputs < 3) /* itself, the one above, and one input */
      fail_msg("the decoder '%s' has no inputs in fuzz/corpus/decode_%s: fuzz/seed.py writes them",
               gg_decoder_at(i)->name, gg_decoder_at(i)->name);
    snprintf(path, sizeof path, "'%s'", gg_decoder_at(i)->name);
    if (!strstr(decoders, path))
      fail_msg("the decoder %s is not in the list fuzz_decoders of fuzz/meson.build", path);
  }
  free(targets);
}

static bool is_name(const char *name, const char *others)
{
  return name[0] >= 'a' && name[0] <= 'z' && strspn(name, others) == strlen(name);
}

static void every_field_is_in_order(void **state)
{
  (void)state;
  for (size_t i = 0; gg_decoder_at(i); i++) {
    const struct gg_decoder *decoder = gg_decoder_at(i);
    assert_true(is_name(decoder->name, "abcdefghijklmnopqrstuvwxyz0123456789"));
    assert_ptr_equal(gg_decoder_find(decoder->name), decoder);
    for (const struct gg_decoder_field *field = decoder->fields; field->name; field++) {
      assert_true(is_name(field->name, "abcdefghijklmnopqrstuvwxyz0123456789._"));
      size_t length = strlen(field->name);
      if (!field->help || !field->help[0] || field->fact != (field->example != NULL) ||
          (field->example && strncmp(field->example, field->name, length) != 0))
        fail_msg("the field %s lacks its help, or is a fact without a filter as its example", field->name);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_section_is_in_the_committed_page),
    cmocka_unit_test(every_decoder_is_fuzzed),
    cmocka_unit_test(every_field_is_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
