/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with the same two ends at the same time: each has its own packets, whoever reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/sweep.h"
#include "store_files.h"

#include <gogetway/store.h>

enum { TALKS = 5, PORTS = 2, SEGMENTS = 3, WORDS = 60, LENGTH_MAX = 300, SESSIONS_MAX = 512 };

static uint32_t random_state;
static uint32_t draw(uint32_t below)
{
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % below;
}

static uint8_t byte_at(unsigned session, unsigned direction, uint64_t at)
{
  return (uint8_t)(at * 7 + (at >> 8) * 13 + session * 31 + direction * 3);
}

struct making {
  struct files files;
  struct gg_pairs pairs;
  struct talk talks[TALKS];
  bool open[TALKS];
  unsigned number[TALKS];
  uint64_t said[SESSIONS_MAX][2]; /* by the number of the session */
  unsigned made;
};

static void say(struct making *making, unsigned which)
{
  uint8_t data[LENGTH_MAX];
  enum gg_direction direction = draw(2) ? GG_FROM_SERVER : GG_FROM_CLIENT;
  unsigned number = making->number[which];
  uint64_t *said = &making->said[number][direction];
  size_t length = 1 + draw(LENGTH_MAX);
  for (size_t i = 0; i < length; i++)
    data[i] = byte_at(number, direction, *said + i);
  talk_say(&making->files, &making->talks[which], direction, data, length);
  *said += length;
}

static void step(struct making *making, unsigned which)
{
  struct talk *talk = &making->talks[which];
  if (!making->open[which]) {
    making->number[which] = ++making->made;
    assert_true(making->made < SESSIONS_MAX);
    talk_open(&making->files, talk, making->made, (uint16_t)(4001 + which % PORTS));
    making->open[which] = true;
  } else if (draw(6) == 0) {
    talk_close(&making->files, talk);
    making->open[which] = false;
  } else {
    say(making, which);
  }
}

static void make(struct making *making, uint32_t seed)
{
  random_state = seed;
  memset(making, 0, sizeof *making);
  files_begin(&making->files);
  making->pairs.key = seed;
  making->files.pairs = &making->pairs;
  for (unsigned segment = 1; segment <= SEGMENTS; segment++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", segment);
    files_segment(&making->files, name);
    for (unsigned i = 0; i < WORDS; i++)
      step(making, draw(TALKS));
    for (unsigned which = 0; which < TALKS && segment == SEGMENTS; which++)
      if (making->open[which])
        talk_close(&making->files, &making->talks[which]);
    files_write(&making->files);
  }
}

static unsigned number_of(const struct gg_session *session)
{
  unsigned number = (unsigned)strtoul(session->id + 20, NULL, 16);
  assert_true(memcmp(session->id, "018c0000000000000000", 20) == 0 && number > 0 && number < SESSIONS_MAX);
  assert_string_equal(session->listener, "web");
  assert_int_equal(session->state, GG_SESSION_CLOSED);
  assert_false(session->foreign);
  return number;
}

static void check_bytes(struct gg_store *store, const struct gg_session *session, unsigned number)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_reader *reader = NULL;
  struct gg_chunk chunk;
  uint64_t read[2] = {0, 0};
  assert_int_equal(gg_reader_open(&reader, store, session, &failure), 0);
  int result;
  while ((result = gg_reader_next(reader, &chunk, &failure)) == 1) {
    assert_int_equal(chunk.offset, read[chunk.side]);
    for (size_t i = 0; i < chunk.length; i++)
      assert_int_equal(chunk.data[i], byte_at(number, chunk.side, chunk.offset + i));
    read[chunk.side] += chunk.length;
  }
  assert_int_equal(result, 0);
  assert_int_equal(read[0], session->bytes[0]);
  assert_int_equal(read[1], session->bytes[1]);
  gg_reader_close(reader);
}

static void check_listed(const struct making *making)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_store_open(&store, making->files.dir, NULL, &failure) != 0 ||
      gg_store_query(store, NULL, &list, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(gg_session_list_count(list), making->made);
  for (size_t i = 0; i < making->made; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    unsigned number = number_of(session);
    for (unsigned side = 0; side < 2; side++) {
      assert_int_equal(session->bytes[side], making->said[number][side]);
      assert_int_equal(session->received[side], making->said[number][side]);
      assert_int_equal(session->gaps[side], 0);
    }
    check_bytes(store, session, number);
  }
  gg_session_list_destroy(list);
  gg_store_close(store);
}

/* ── A sweep ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct swept {
  const struct making *making;
  unsigned ended;
};

static int on_begin(void *context, void **token, const struct gg_session *begun)
{
  (void)context;
  uint64_t *told = calloc(3, sizeof *told); /* its number, and the bytes of both sides */
  assert_non_null(told);
  told[0] = strtoul(begun->id + 20, NULL, 16);
  *token = told;
  return 0;
}

static int on_piece(void *context, void **token, const struct gg_sweep_piece *piece)
{
  (void)context;
  uint64_t *told = *token;
  assert_true(piece->kind != GG_SWEEP_GAP);
  if (piece->kind != GG_SWEEP_BYTES)
    return 0;
  assert_int_equal(piece->offset, told[1 + piece->side]);
  for (uint32_t i = 0; i < piece->length; i++)
    assert_int_equal(piece->data[i], byte_at((unsigned)told[0], piece->side, piece->offset + i));
  told[1 + piece->side] += piece->length;
  return 0;
}

static int on_end(void *context, void **token, const struct gg_session *session)
{
  struct swept *swept = context;
  uint64_t *told = *token;
  unsigned number = number_of(session);
  assert_int_equal(told[0], number);
  assert_memory_equal(told + 1, swept->making->said[number], sizeof swept->making->said[number]);
  swept->ended++;
  free(told);
  return 0;
}

static void check_swept(const struct making *making)
{
  static const struct gg_sweep_ops ops = {.begin = on_begin, .piece = on_piece, .end = on_end};
  struct swept swept = {.making = making};
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_sweep(making->files.dir, NULL, &ops, free, &swept, &failure) != 0)
    fail_msg("%s", failure.message);
  assert_int_equal(swept.ended, making->made);
}

/* ── Tests ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void each_has_its_own(void **state)
{
  static struct making making; /* large */
  (void)state;
  for (uint32_t seed = 1; seed <= 40; seed++) {
    make(&making, seed);
    check_listed(&making);
    check_swept(&making);
    files_end(&making.files);
    for (size_t i = 0; i < GG_PAIRS_BUCKETS; i++)
      assert_null(making.pairs.buckets[i]);
  }
}

/* Nothing is repeated where nobody else spoke. */
static void says_nothing_more_alone(void **state)
{
  static struct gg_pairs pairs;
  struct files with, without;
  (void)state;
  for (unsigned looked = 0; looked < 2; looked++) {
    struct files *files = looked ? &with : &without;
    struct talk talk[2];
    files_begin(files);
    files->pairs = looked ? &pairs : NULL;
    files_segment(files, "0001.pcapng");
    for (unsigned i = 0; i < 2; i++)
      talk_open(files, &talk[i], 1 + i, (uint16_t)(4001 + i));
    for (unsigned i = 0; i < 20; i++)
      talk_say(files, &talk[i % 2], i % 3 ? GG_FROM_CLIENT : GG_FROM_SERVER, "and so on", 9);
    for (unsigned i = 0; i < 2; i++)
      talk_close(files, &talk[i]);
  }
  assert_int_equal(with.length, without.length);
  assert_memory_equal(with.bytes, without.bytes, with.length);
  files_end(&with);
  files_end(&without);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_has_its_own),
    cmocka_unit_test(says_nothing_more_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
