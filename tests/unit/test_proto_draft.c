/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that have begun: what a decoder may still do with them when they were cut, and how many there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

static const char *const kinds[] = {"thing", NULL};
static const struct gg_decoder_field fields[] = {{"test.word", GG_FIELD_TEXT, false, "a word", NULL},
                                                 {NULL, GG_FIELD_TEXT, false, NULL, NULL}};

/* More than there are spare ones: the memory of some would be given back. */
enum { THINGS = 12 };

struct things {
  struct gg_draft *drafts[THINGS];
};

static void use(struct gg_decoding *decoding, struct gg_draft *draft)
{
  struct gg_body body = {.data = (const uint8_t *)"late", .length = 4, .raw_offset = 1, .raw_length = 4};
  gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_ODD;
  gg_decoded_text(decoding, draft, &fields[0], "late", 4, 0);
  gg_decoded_summary(decoding, draft, "late");
  gg_decoded_head(decoding, draft);
  gg_decoded_body(decoding, draft, &body);
  gg_decoded_end(decoding, draft, 1);
}

/* 'b': the client's messages begin; 'c': they are cut; 'u': all are used again. */
static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct things *things = self;
  for (size_t i = 0; i < THINGS; i++) {
    if (*window->data == 'b')
      things->drafts[i] = gg_decoded_begin(decoding, GG_SIDE_CLIENT, 0, window->offset);
    else if (*window->data == 'u')
      use(decoding, things->drafts[i]);
  }
  if (*window->data == 'c')
    gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, GG_SIDE_CLIENT, window->offset, true, "cut");
  return 1;
}

static const struct gg_decoder things = {GG_DECODER_HEAD, .name = "things", .protocol = "things",
                                         .kinds = kinds,  .fields = fields, .state_bytes = sizeof(struct things),
                                         .push = push};

static struct gg_decoding_options options_of(const struct gg_decoder *const *decoder)
{
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = (*decoder)->name;
  options.more = decoder;
  options.more_count = 1;
  return options;
}

/* One side was given up; the decoder, which goes on with the other one, comes with what it had begun there. */
static void a_message_that_was_cut_is_told_no_more(void **state)
{
  (void)state;
  static const struct gg_decoder *const more[] = {&things};
  struct gg_decoding_options options = options_of(more);
  const struct piece pieces[] = {CLIENT("bc"), SERVER("u"), SERVER("uu")};
  char *told = transcript_checked(&options, pieces, sizeof pieces / sizeof *pieces);
  char wanted[2048];
  size_t length = (size_t)snprintf(wanted, sizeof wanted, "is things from 0 0\n");
  for (unsigned i = 1; i <= THINGS; i++)
    length += (size_t)snprintf(wanted + length, sizeof wanted - length, "%u thing client 0+1 at 1000..1000 cut\n", i);
  snprintf(wanted + length, sizeof wanted - length, "client opaque from 1: failed: cut\n");
  assert_string_equal(told, wanted);
  free(told);
}

static size_t begin_one(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  (void)self;
  gg_decoded_begin(decoding, GG_SIDE_CLIENT, 0, window->offset);
  return 1;
}

static const struct gg_decoder one_each = {GG_DECODER_HEAD, .name = "oneeach", .protocol = "oneeach",
                                           .kinds = kinds,  .fields = fields,  .push = begin_one};

static void so_many_may_begin_and_one_more_ends_it(void **state)
{
  (void)state;
  static const struct gg_decoder *const more[] = {&one_each};
  struct gg_decoding_options options = options_of(more);
  char *bytes = calloc(1, GG_DRAFTS_MAX + 1);
  assert_non_null(bytes);
  const struct piece most[] = {{GG_SIDE_CLIENT, bytes, GG_DRAFTS_MAX, false}};
  char *told = transcript_of(&options, most, 1, CUT_NOT, 0);
  assert_null(strstr(told, "opaque"));
  free(told);
  const struct piece more_than_that[] = {{GG_SIDE_CLIENT, bytes, GG_DRAFTS_MAX + 1, false}};
  told = transcript_of(&options, more_than_that, 1, CUT_NOT, 0);
  assert_non_null(strstr(told, "limit: more than 4096 messages have begun and not ended\n"));
  free(told);
  free(bytes);
}

static void add_summary(void *context, const struct gg_message *message)
{
  char *text = context;
  size_t length = strlen(text);
  snprintf(text + length, 1024 - length, "%s|", message->summary);
}

/* printf would end a line at its first NUL. */
static void zeros_do_not_end_a_summary(void **state)
{
  static const struct {
    const char *decoder, *said, *summaries;
    size_t length;
  } cases[] = {
    {"redis", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\0b\0c\r\n", "SET k a\\0b\\0c|", 31},
    {"lines", "a\0b\r\nls\r\n\0x\033[31m\r\n", "a\\0b|ls|\\0x\\e[31m|", 18},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char told[1024] = "";
    struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
    sink.context = told;
    sink.end = add_summary;
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.decoder = cases[i].decoder;
    struct gg_decoding *decoding = NULL;
    assert_int_equal(gg_decoding_create(&decoding, &options, &sink, NULL), 0);
    gg_decoding_push(decoding, GG_SIDE_CLIENT, 0, 1, cases[i].said, cases[i].length);
    gg_decoding_finish(decoding, 3);
    gg_decoding_destroy(decoding);
    assert_string_equal(told, cases[i].summaries);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_message_that_was_cut_is_told_no_more),
    cmocka_unit_test(so_many_may_begin_and_one_more_ends_it),
    cmocka_unit_test(zeros_do_not_end_a_summary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
