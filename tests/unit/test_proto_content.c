/* SPDX-License-Identifier: Apache-2.0 */
/* Content codings undone: what other programs have made, what the libraries make at random, cut anywhere, damaged, too
 * short, too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gogetway/content.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef GG_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef GG_TEST_BROTLI
#include <brotli/encode.h>
#endif
#ifdef GG_HAVE_ZSTD
#include <zstd.h>
#endif
#if defined GG_HAVE_ZLIB || defined GG_TEST_BROTLI || defined GG_HAVE_ZSTD
#define CODERS /* there is one to make something with */
#endif

struct bytes {
  uint8_t *data;
  size_t length, capacity;
};

static void add(void *context, const void *data, size_t length)
{
  struct bytes *bytes = context;
  assert_true(length > 0);
  if (bytes->length + length > bytes->capacity) {
    bytes->capacity = (bytes->length + length) * 2;
    bytes->data = realloc(bytes->data, bytes->capacity);
    assert_non_null(bytes->data);
  }
  memcpy(bytes->data + bytes->length, data, length);
  bytes->length += length;
}

/* What comes out, and how it ends. `step`: bytes at once, at the most; by chance below that if there is a seed. */
static int undo(struct bytes *out, const char *codings, const void *data, size_t length, size_t step, unsigned seed,
                struct gg_failure *failure)
{
  struct gg_content *content = NULL;
  *out = (struct bytes){0};
  *failure = (struct gg_failure)GG_FAILURE_INIT;
  int error = gg_content_create(&content, codings, strlen(codings), NULL, add, out, failure);
  if (error)
    return error;
  for (size_t done = 0, part; done < length; done += part) {
    part = seed ? 1 + (size_t)rand_r(&seed) % step : step;
    part = part < length - done ? part : length - done;
    uint8_t *exactly = malloc(part); /* so that a sanitizer sees who looks behind it */
    assert_non_null(exactly);
    memcpy(exactly, (const uint8_t *)data + done, part);
    int before = error;
    error = gg_content_push(content, exactly, part, failure);
    assert_true(!before || before == error);
    free(exactly);
  }
  if (!error)
    error = gg_content_finish(content, failure);
  assert_int_equal(error, failure->code);
  gg_content_destroy(content);
  return error;
}

static void gives(const char *codings, const void *data, size_t length, const char *wanted, size_t wanted_length)
{
  for (unsigned seed = 0; seed < 6; seed++) {
    struct bytes out;
    struct gg_failure failure;
    if (undo(&out, codings, data, length, seed ? 9 : 1, seed, &failure) != 0)
      fail_msg("%s: %s", codings, failure.message);
    assert_int_equal(out.length, wanted_length);
    if (wanted_length)
      assert_memory_equal(out.data, wanted, wanted_length);
    free(out.data);
  }
}

static void fails(const char *codings, const void *data, size_t length, int wanted, const char *message,
                  const char *before)
{
  static const size_t steps[] = {1 << 20, 1, 3};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct bytes out;
    struct gg_failure failure;
    assert_int_equal(undo(&out, codings, data, length, steps[i], 0, &failure), wanted);
    assert_string_equal(failure.message, message);
    assert_int_equal(out.length, strlen(before));
    if (out.length)
      assert_memory_equal(out.data, before, out.length);
    free(out.data);
  }
}
#define LITERAL(text) text, sizeof(text) - 1

/* ── Made by other programs ──────────────────────────────────────────────────────────────────────────────────────── */

#define TEXT "hello hello hello, world"
/* Python's gzip and zlib, its brotli, and the command zstd. */
#define GZIP                                                                                                           \
  "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x3a\x0a\xe5\xf9\x45\x39\x29\x00\x9f"   \
  "\x90\xf8\xb0\x18\x00\x00\x00"
#define ZLIB "\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x3a\x0a\xe5\xf9\x45\x39\x29\x00\x70\x2e\x08\xf1"
#define RAW "\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x3a\x0a\xe5\xf9\x45\x39\x29\x00"
#define BROTLI                                                                                                         \
  "\x1b\x17\x00\xf8\x8d\xd4\x4e\xf9\xc3\x50\x54\x65\x68\x0d\xc2\xc2\xf6\xa6\x26\x81\xa7\x0e\x30\xa1\xd5\x20\x01"
#define ZSTD                                                                                                           \
  "\x28\xb5\x2f\xfd\x04\x58\x9d\x00\x00\x68\x68\x65\x6c\x6c\x6f\x20\x2c\x20\x77\x6f\x72\x6c\x64\x01\x00\x31\x4a\x11"   \
  "\xbe\x3f\x39\x4d"
#define GZIP_OF_BROTLI                                                                                                 \
  "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x93\x16\x67\xf8\xd1\x7b\xc5\xef\xe7\xe1\x80\x90\xd4\x0c\xde\x43\x87\xbe"   \
  "\x2d\x53\x6b\x5c\xce\x67\xb0\xf0\xaa\x02\x23\x00\x4a\x0d\x7e\xab\x1b\x00\x00\x00"

static void identity(void **state)
{
  (void)state;
  gives("", LITERAL(TEXT), LITERAL(TEXT));
  gives("identity", LITERAL(TEXT), LITERAL(TEXT));
  gives(" , Identity ,", LITERAL(TEXT), LITERAL(TEXT));
  gives("identity", "", 0, "", 0);
}

static void not_known(void **state)
{
  (void)state;
  fails("compress", "", 0, GG_ERR_UNSUPPORTED, "the content coding 'compress' is not known", "");
  fails("\x1b[0m", "", 0, GG_ERR_UNSUPPORTED, "the content coding '\\e[0m' is not known", "");
#ifndef GG_HAVE_ZLIB
  fails("gzip", "", 0, GG_ERR_UNSUPPORTED, "gzip needs gogetway built with zlib", "");
#endif
#ifndef GG_HAVE_BROTLI
  fails("br", "", 0, GG_ERR_UNSUPPORTED, "br needs gogetway built with libbrotlidec", "");
#endif
#ifndef GG_HAVE_ZSTD
  fails("zstd", "", 0, GG_ERR_UNSUPPORTED, "zstd needs gogetway built with libzstd", "");
#endif
}

#ifdef GG_HAVE_ZLIB
static void gzip(void **state)
{
  (void)state;
  gives("gzip", LITERAL(GZIP), LITERAL(TEXT));
  gives("X-GZIP", LITERAL(GZIP), LITERAL(TEXT));
  gives("gzip", LITERAL(GZIP GZIP), LITERAL(TEXT TEXT));
  gives("gzip", LITERAL(GZIP "\0\0\0\0\0"), LITERAL(TEXT));
  gives("gzip", "", 0, "", 0);
  fails("gzip", LITERAL(GZIP "junk"), GG_ERR_FORMAT, "gzip: there is more behind its end", TEXT);
  fails("gzip", LITERAL(GZIP "\0" GZIP), GG_ERR_FORMAT, "gzip: there is more behind its end", TEXT);
  fails("gzip", LITERAL(GZIP "\x1f"), GG_ERR_TRUNCATED, "gzip: it ends in the middle", TEXT);
  fails("gzip", LITERAL("no gzip"), GG_ERR_FORMAT, "gzip: incorrect header check", "");
  fails("gzip", GZIP, sizeof GZIP - 3, GG_ERR_TRUNCATED, "gzip: it ends in the middle", TEXT);
  char wrong[] = GZIP;
  wrong[sizeof wrong - 7] ^= 1;
  fails("gzip", wrong, sizeof wrong - 1, GG_ERR_FORMAT, "gzip: incorrect data check", TEXT);
  fails("gzip,gzip,gzip,gzip,gzip", "", 0, GG_ERR_LIMIT, "more than 4 codings, one over the other", "");
}

static void deflated(void **state)
{
  (void)state;
  gives("deflate", LITERAL(ZLIB), LITERAL(TEXT));
  gives("deflate", LITERAL(RAW), LITERAL(TEXT));
  fails("deflate", LITERAL(ZLIB "x"), GG_ERR_FORMAT, "deflate: there is more behind its end", TEXT);
  fails("deflate", LITERAL("\x78"), GG_ERR_TRUNCATED, "deflate: it ends in the middle", "");
  fails("deflate", LITERAL("\x78\xbb\0\0\0\0"), GG_ERR_FORMAT, "deflate: it needs a dictionary", "");
}
#endif

#ifdef GG_HAVE_BROTLI
static void brotli(void **state)
{
  (void)state;
  gives("br", LITERAL(BROTLI), LITERAL(TEXT));
  fails("br", LITERAL(BROTLI "x"), GG_ERR_FORMAT, "br: there is more behind its end", TEXT);
  struct bytes out;
  struct gg_failure failure;
  assert_int_equal(undo(&out, "br", BROTLI, sizeof BROTLI - 4, 1, 0, &failure), GG_ERR_TRUNCATED);
  assert_string_equal(failure.message, "br: it ends in the middle");
  free(out.data);
}
#endif

#ifdef GG_HAVE_ZSTD
static void zstd(void **state)
{
  (void)state;
  gives("zstd", LITERAL(ZSTD), LITERAL(TEXT));
  gives("zstd", LITERAL(ZSTD "\x50\x2a\x4d\x18\x03\0\0\0abc" ZSTD), LITERAL(TEXT TEXT)); /* a frame to skip */
  fails("zstd", LITERAL("no zstd at all"), GG_ERR_FORMAT, "zstd: Unknown frame descriptor", "");
  fails("zstd", ZSTD, sizeof ZSTD - 3, GG_ERR_TRUNCATED, "zstd: it ends in the middle", TEXT);
  /* A window of 16 MiB */
  fails("zstd", LITERAL("\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00"), GG_ERR_FORMAT,
        "zstd: Frame requires too much memory for decoding", "");
}
#endif

#if defined GG_HAVE_ZLIB && defined GG_HAVE_BROTLI
static void one_over_the_other(void **state)
{
  (void)state;
  gives("br, gzip", LITERAL(GZIP_OF_BROTLI), LITERAL(TEXT));
  gives("br,identity , gzip", LITERAL(GZIP_OF_BROTLI), LITERAL(TEXT));
  fails("gzip, br", LITERAL(GZIP), GG_ERR_FORMAT, "br: CL_SPACE", "");
  fails("br, gzip", GZIP_OF_BROTLI, sizeof GZIP_OF_BROTLI - 3, GG_ERR_TRUNCATED, "gzip: it ends in the middle", TEXT);
}
#endif

/* ── Made by the libraries, by chance ────────────────────────────────────────────────────────────────────────────── */

#ifdef CODERS
static struct bytes random_text(unsigned *seed, size_t most)
{
  struct bytes text = {.length = (size_t)rand_r(seed) % most};
  text.data = malloc(text.length + 1);
  assert_non_null(text.data);
  unsigned letters = 1 + (unsigned)rand_r(seed) % 200;
  for (size_t i = 0; i < text.length; i++)
    text.data[i] = (uint8_t)(i > 50 && rand_r(seed) % 3 ? text.data[i - 50] : (unsigned)rand_r(seed) % letters);
  return text;
}

#endif

#ifdef GG_HAVE_ZLIB
static struct bytes by_zlib(const struct bytes *text, int bits, int level)
{
  z_stream zlib = {0};
  assert_int_equal(deflateInit2(&zlib, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  struct bytes packed = {.length = deflateBound(&zlib, text->length)};
  packed.data = malloc(packed.length);
  assert_non_null(packed.data);
  zlib.next_in = text->data;
  zlib.avail_in = (uInt)text->length;
  zlib.next_out = packed.data;
  zlib.avail_out = (uInt)packed.length;
  assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  packed.length -= zlib.avail_out;
  deflateEnd(&zlib);
  return packed;
}

static struct bytes by_gzip(const struct bytes *text, unsigned *seed)
{
  return by_zlib(text, 31, 1 + rand_r(seed) % 9);
}

static struct bytes by_framed(const struct bytes *text, unsigned *seed)
{
  return by_zlib(text, 9 + rand_r(seed) % 7, 1 + rand_r(seed) % 9);
}

static struct bytes by_bare(const struct bytes *text, unsigned *seed)
{
  return by_zlib(text, -9 - rand_r(seed) % 7, 1 + rand_r(seed) % 9);
}
#endif

#ifdef GG_TEST_BROTLI
static struct bytes by_brotli(const struct bytes *text, unsigned *seed)
{
  struct bytes packed = {.length = BrotliEncoderMaxCompressedSize(text->length) + 16};
  packed.data = malloc(packed.length);
  assert_non_null(packed.data);
  assert_true(BrotliEncoderCompress(rand_r(seed) % 8, 10 + rand_r(seed) % 15, BROTLI_MODE_GENERIC, text->length,
                                    text->data, &packed.length, packed.data));
  return packed;
}
#endif

#ifdef GG_HAVE_ZSTD
static struct bytes by_zstd(const struct bytes *text, unsigned *seed)
{
  struct bytes packed = {.length = ZSTD_compressBound(text->length)};
  packed.data = malloc(packed.length);
  assert_non_null(packed.data);
  packed.length = ZSTD_compress(packed.data, packed.length, text->data, text->length, 1 + rand_r(seed) % 9);
  assert_false(ZSTD_isError(packed.length));
  return packed;
}
#endif

static const struct coder {
  const char *name;
  struct bytes (*pack)(const struct bytes *text, unsigned *seed);
} coders[] = {
#ifdef GG_HAVE_ZLIB
  {"gzip", by_gzip}, {"deflate", by_framed}, {"deflate", by_bare},
#endif
#ifdef GG_TEST_BROTLI
  {"br", by_brotli},
#endif
#ifdef GG_HAVE_ZSTD
  {"zstd", by_zstd},
#endif
  {NULL, NULL},
};

#ifdef CODERS

/* Packs a text once or several times, one over the other. */
static struct bytes pack(const struct bytes *text, char *codings, size_t size, unsigned times, unsigned *seed)
{
  struct bytes packed = {.length = text->length, .data = malloc(text->length + 1)};
  assert_non_null(packed.data);
  memcpy(packed.data, text->data, text->length);
  codings[0] = '\0';
  for (unsigned i = 0; i < times; i++) {
    const struct coder *coder = &coders[(size_t)rand_r(seed) % (sizeof coders / sizeof *coders - 1)];
    struct bytes more = coder->pack(&packed, seed);
    free(packed.data);
    packed = more;
    size_t used = strlen(codings);
    snprintf(codings + used, size - used, "%s%s", used ? ", " : "", coder->name);
  }
  return packed;
}

static void at_random(void **state)
{
  (void)state;
  for (unsigned seed = 1; seed <= 150; seed++) {
    unsigned random = seed;
    char codings[64];
    struct bytes text = random_text(&random, seed % 4 ? 2000 : 200000), out;
    struct bytes packed = pack(&text, codings, sizeof codings, 1 + seed % 4, &random);
    struct gg_failure failure;
    static const size_t steps[] = {1 << 20, 1, 1000, 40};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
      if (undo(&out, codings, packed.data, packed.length, steps[i], i > 1 ? seed : 0, &failure) != 0 ||
          out.length != text.length || (text.length && memcmp(out.data, text.data, text.length) != 0))
        fail_msg("seed %u, %s, step %zu: %s", seed, codings, steps[i], failure.message);
      free(out.data);
    }
    free(text.data);
    free(packed.data);
  }
}

/* Cut at any length: what comes is how the text begins, and it is said. */
static void truncated(void **state)
{
  (void)state;
  for (unsigned seed = 1; seed <= 10; seed++) {
    unsigned random = seed;
    char codings[64];
    struct bytes text = random_text(&random, 1500), out;
    text.data[text.length++] = 'x';
    struct bytes packed = pack(&text, codings, sizeof codings, 1 + seed % 3, &random);
    for (size_t length = 1; length < packed.length; length++) {
      struct gg_failure failure;
      int error = undo(&out, codings, packed.data, length, 1 + length % 100, 0, &failure);
      if (error != GG_ERR_TRUNCATED || out.length > text.length ||
          (out.length && memcmp(out.data, text.data, out.length) != 0))
        fail_msg("seed %u, %s, %zu bytes: %s", seed, codings, length, failure.message);
      free(out.data);
    }
    free(text.data);
    free(packed.data);
  }
}

static void damaged(void **state)
{
  (void)state;
  unsigned wrong = 0;
  for (unsigned seed = 1; seed <= 100; seed++) {
    unsigned random = seed;
    char codings[64];
    struct bytes text = random_text(&random, 300), out;
    struct bytes packed = pack(&text, codings, sizeof codings, 1 + seed % 2, &random);
    for (unsigned i = 0; i < 100; i++) {
      size_t bit = (size_t)rand_r(&random) % (packed.length * 8);
      packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
      struct gg_failure failure;
      wrong += undo(&out, codings, packed.data, packed.length, 1 + i * 3, 0, &failure) != 0;
      free(out.data);
      packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(text.data);
    free(packed.data);
  }
  assert_true(wrong > 5000);
}

#endif

/* ── Bombs ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

#ifdef GG_HAVE_ZLIB
struct sum {
  uint64_t length;
};

static void count(void *context, const void *data, size_t length)
{
  (void)data;
  ((struct sum *)context)->length += length;
}

static void bomb(const char *codings, const struct bytes *packed, uint64_t bytes_max, uint64_t wanted,
                 const char *message)
{
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  limits.bytes_max = bytes_max;
  struct sum sum = {0};
  struct gg_content *content = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  assert_int_equal(gg_content_create(&content, codings, strlen(codings), &limits, count, &sum, &failure), 0);
  int error = 0;
  for (size_t done = 0; done < packed->length; done += 1000)
    error = gg_content_push(content, packed->data + done, packed->length - done < 1000 ? packed->length - done : 1000,
                            &failure);
  if (!error)
    error = gg_content_finish(content, &failure);
  gg_content_destroy(content);
  assert_int_equal(error, *message ? GG_ERR_LIMIT : 0);
  assert_memory_equal(failure.message, message, strlen(message));
  assert_true(!*message || strstr(failure.message, " times its size"));
  assert_int_equal(sum.length, wanted);
}

/* 40 MiB of zeros, packed once and twice. */
static void bombs(void **state)
{
  (void)state;
  unsigned seed = 5;
  struct bytes zeros = {.length = 40 << 20, .data = calloc(1, 40 << 20)};
  assert_non_null(zeros.data);
  struct bytes once = by_zlib(&zeros, 31, 9), twice = by_zlib(&once, 31, 9);
  bomb("gzip", &once, 1 << 20, 1 << 20, "cut after 1MiB: ");
  bomb("gzip", &once, 100000, 100000, "cut after 100kB: ");
  bomb("gzip", &once, 0, 16 << 20, "cut after 16MiB: ");
  bomb("gzip, gzip", &twice, 0, 16 << 20, "cut after 16MiB: ");
  free(once.data);
  free(twice.data);
  /* What does not become that much more than it was comes whole. */
  for (size_t i = 0; i < zeros.length; i += 16)
    zeros.data[i] = (uint8_t)rand_r(&seed);
  once = by_zlib(&zeros, 31, 1);
  bomb("gzip", &once, 0, 40 << 20, "");
  free(once.data);
  free(zeros.data);
}
#endif

/* ── Want of memory ──────────────────────────────────────────────────────────────────────────────────────────────── */

static unsigned refuse; /* which allocation of ours from now on; 0: none */

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
  return refuse && --refuse == 0 ? NULL : __real_calloc(count, bytes);
}

static void no_memory(void **state)
{
  (void)state;
  char codings[64] = "";
  for (size_t i = 0; coders[i].name && i < GG_CONTENT_CODINGS_MAX; i++) {
    size_t used = strlen(codings);
    snprintf(codings + used, sizeof codings - used, "%s,", coders[i].name);
  }
  int error = GG_ERR_NOMEM;
  unsigned calls = 0;
  while (error) {
    struct gg_content *content = NULL;
    struct gg_failure failure = GG_FAILURE_INIT;
    refuse = ++calls;
    error = gg_content_create(&content, codings, strlen(codings), NULL, add, NULL, &failure);
    refuse = 0;
    assert_true(error ? error == GG_ERR_NOMEM && strstr(failure.message, "no memory") && !content : calls > 1);
    gg_content_destroy(content);
  }
}

static void limits(void **state)
{
  (void)state;
  struct gg_content *content = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_content_limits wrong = {0};
  assert_int_equal(gg_content_create(&content, "", 0, &wrong, add, NULL, &failure), GG_ERR_INVALID);
  assert_null(content);
  gg_content_destroy(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(identity),
    cmocka_unit_test(not_known),
#ifdef CODERS
    cmocka_unit_test(at_random),
    cmocka_unit_test(truncated),
    cmocka_unit_test(damaged),
#endif
    cmocka_unit_test(limits),
    cmocka_unit_test(no_memory),
#ifdef GG_HAVE_ZLIB
    cmocka_unit_test(gzip),
    cmocka_unit_test(deflated),
    cmocka_unit_test(bombs),
#endif
#ifdef GG_HAVE_BROTLI
    cmocka_unit_test(brotli),
#endif
#ifdef GG_HAVE_ZSTD
    cmocka_unit_test(zstd),
#endif
#if defined GG_HAVE_ZLIB && defined GG_HAVE_BROTLI
    cmocka_unit_test(one_over_the_other),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
