/* SPDX-License-Identifier: Apache-2.0 */
/* How a session is decoded, whoever decodes it: whose it is, what it may take, and what comes at the wrong time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

/* ── Decoders of our own ─────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const kinds[] = {"line", NULL};
static const struct gg_decoder_field fields[] = {
  {.name = "own.text", .kind = GG_FIELD_TEXT, .help = "what stands in the line"},
  {0},
};

/* Lines, each with its text as a field: also an empty one. */
static size_t push_line(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  (void)state;
  const uint8_t *end = memchr(window->data, '\n', window->length);
  if (!end)
    return 0;
  size_t length = (size_t)(end - window->data);
  struct gg_draft *draft = gg_decoded_begin(decoding, window->side, 0, window->offset);
  gg_decoded_text(decoding, draft, &fields[0], window->data, length, window->offset);
  gg_decoded_end(decoding, draft, window->offset + length + 1);
  return length + 1;
}

static enum gg_likeness begins(const struct gg_opening *opening, const char *magic)
{
  size_t wanted = strlen(magic), length = opening->length[GG_SIDE_CLIENT];
  if (memcmp(opening->data[GG_SIDE_CLIENT], magic, length < wanted ? length : wanted) != 0)
    return GG_LIKENESS_NONE;
  return length < wanted ? GG_LIKENESS_OPEN : GG_LIKENESS_CERTAIN;
}

static enum gg_likeness early(const struct gg_opening *opening)
{
  return begins(opening, "~~ab");
}

static enum gg_likeness late(const struct gg_opening *opening)
{
  return begins(opening, "~~abcdef");
}

#define LINES(called, how)                                                                                             \
  {                                                                                                                    \
    GG_DECODER_HEAD, .name = called, .protocol = "own", .title = "lines", .kinds = kinds, .fields = fields,            \
                     .identify = how, .push = push_line                                                                \
  }
static const struct gg_decoder early_lines = LINES("early", early), late_lines = LINES("late", late);
/* Client: "b" begins a message and "x" fails; "?" waits until the server has said something. Server: each byte is a
 * message. */
static size_t push_letters(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  bool *answered = state;
  size_t done = 0;
  while (done < window->length && (done == 0 || !gg_decoded_stopped(decoding, window->side))) {
    uint64_t at = window->offset + done;
    if (window->side == GG_SIDE_CLIENT && window->data[done] == 'x') {
      gg_decoded_opaque(decoding, GG_OPAQUE_FAILED, window->side, at, true, "an x");
      break;
    }
    if (window->side == GG_SIDE_CLIENT && window->data[done] == '?' && !*answered) {
      gg_decoded_hold(decoding, window->side);
      break;
    }
    *answered = window->side == GG_SIDE_SERVER;
    struct gg_draft *draft = gg_decoded_begin(decoding, window->side, 0, at);
    done++;
    if (window->data[done - 1] != 'b')
      gg_decoded_end(decoding, draft, at + 1);
  }
  return done;
}
static const struct gg_decoder letters = {
  GG_DECODER_HEAD, .name = "letters", .protocol = "own",           .title = "letters",
  .kinds = kinds,  .fields = fields,  .state_bytes = sizeof(bool), .push = push_letters};

/* All up to an "e" is a message of one byte: it ends further back than the window begins. */
static size_t push_late_end(void *state, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct gg_draft **draft = state;
  if (!*draft)
    *draft = gg_decoded_begin(decoding, window->side, 0, window->offset);
  if (window->data[0] == 'e') {
    gg_decoded_end(decoding, *draft, gg_decoded_message(decoding, *draft)->offset + 1);
    *draft = NULL;
  }
  return 1;
}
static const struct gg_decoder late_end = {GG_DECODER_HEAD,
                                           .name = "lateend",
                                           .protocol = "own",
                                           .title = "late ends",
                                           .kinds = kinds,
                                           .fields = fields,
                                           .state_bytes = sizeof(struct gg_draft *),
                                           .push = push_late_end};

static const struct gg_decoder *const more[] = {&late_lines, &early_lines, &letters, &late_end};

static struct gg_decoding_options with_more(const char *name)
{
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = name;
  options.more = more;
  options.more_count = sizeof more / sizeof *more;
  return options;
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void who_is_certain_first_has_it_however_the_bytes_came(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more(NULL);
  TELL_AS(&options,
          "is early from 0 0\n"
          "1 line client 0+9 at 1000..1000 own.text=~~abcdef\n",
          CLIENT("~~abcdef\n"));
}

static void what_nobody_knows_is_described_by_all_of_its_first_bytes(void **state)
{
  (void)state;
  TELL_AS(NULL,
          "client opaque from 0: unknown: binary, 2.0 bits of entropy a byte, begins 00 01 02 ff\n"
          "server opaque from 0: unknown: binary, 2.0 bits of entropy a byte, begins 00 01 02 ff\n",
          CLIENT("\0\1"), CLIENT("\2\377"), SERVER("\1"));
}

static void a_field_may_be_empty(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("early");
  TELL_AS(&options,
          "is early from 0 0\n"
          "1 line client 0+1 at 1000..1000 own.text=\n",
          CLIENT("\n"));
}

static void what_comes_behind_an_end_is_not_taken(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("early");
  TELL_AS(&options,
          "is early from 0 0\n"
          "1 line client 0+2 at 1000..1000 own.text=a\n"
          "2 line server 0+2 at 1040..1040 own.text=c\n",
          CLIENT("a\n"), CLIENT_END, CLIENT("b\n"), CLIENT_GAP(4), SERVER("c\n"));
}

static void less_memory_than_nothing_takes_is_none(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("early");
  options.memory_max = 1;
  TELL_AS(&options,
          "client opaque from 0: limit: no memory for the decoder\n"
          "server opaque from 0: limit: no memory for the decoder\n",
          CLIENT("a\n"));
}

static void what_has_begun_ends_where_its_side_is_not_understood_any_more(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("letters");
  TELL_AS(&options,
          "is letters from 0 0\n"
          "2 line client 1+1 at 1000..1000\n"
          "1 line client 0+2 at 1000..1000 cut\n"
          "client opaque from 2: failed: an x\n"
          "3 line server 0+1 at 1010..1010\n",
          CLIENT("baxyz"), SERVER("s"));
}

static void a_side_that_fails_at_a_full_window_does_not_end_the_other(void **state)
{
  (void)state;
  static char many[GG_DECODING_WINDOW_MAX + 1];
  memset(many, 'x', sizeof many);
  struct gg_decoding_options options = with_more("letters");
  struct piece pieces[] = {{GG_SIDE_CLIENT, many, sizeof many, false}, SERVER("s")};
  transcript_tell(&options,
                  "is letters from 0 0\n"
                  "client opaque from 0: failed: an x\n"
                  "1 line server 0+1 at 1010..1010\n",
                  pieces, 2);
}

static void who_waits_is_asked_again_behind_each_element(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("letters");
  TELL_AS(&options,
          "is letters from 0 0\n"
          "1 line client 0+1 at 1000..1000\n"
          "2 line server 0+1 at 1010..1010\n"
          "3 line client 1+1 at 1000..1000\n"
          "4 line client 2+1 at 1000..1000\n"
          "5 line server 1+1 at 1010..1010\n"
          "6 line server 2+1 at 1010..1010\n",
          CLIENT("a?c"), SERVER("rst"));
}

static void a_message_may_end_before_what_was_taken(void **state)
{
  (void)state;
  struct gg_decoding_options options = with_more("lateend");
  TELL_AS(&options,
          "is lateend from 0 0\n"
          "1 line client 0+1 at 1000..1000\n",
          CLIENT("ab"), CLIENT("cd"), CLIENT("de"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(who_is_certain_first_has_it_however_the_bytes_came),
    cmocka_unit_test(what_nobody_knows_is_described_by_all_of_its_first_bytes),
    cmocka_unit_test(a_field_may_be_empty),
    cmocka_unit_test(what_comes_behind_an_end_is_not_taken),
    cmocka_unit_test(less_memory_than_nothing_takes_is_none),
    cmocka_unit_test(what_has_begun_ends_where_its_side_is_not_understood_any_more),
    cmocka_unit_test(a_side_that_fails_at_a_full_window_does_not_end_the_other),
    cmocka_unit_test(who_waits_is_asked_again_behind_each_element),
    cmocka_unit_test(a_message_may_end_before_what_was_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
