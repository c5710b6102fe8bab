/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of codings, the last that was applied first:
 *
 *     push ──► stage 0 ──► 16 KiB ──► stage 1 ──► 16 KiB ──► ... ──► limits ──► the sink
 *
 * A stage gives away what it has made before it makes more: nothing piles up between them. What each of them makes is
 * held against the limits, so that a bomb within another one is seen, too, whatever comes out at the end. */
#include <gogetway/content.h>

#include "base/sized.h"
#include "base/text.h"
#include "proto/coding.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PIECE = 16384, NAME_SHOWN_MAX = 64 };

struct stage {
  const struct gg__coding *coding;
  void *state;
  uint64_t made; /* bytes */
  uint8_t out[PIECE];
};

struct gg_content {
  gg_content_sink *sink;
  void *context;
  uint64_t bytes_max, ratio_max;
  uint64_t taken; /* bytes that were pushed */
  struct stage *stages[GG_CONTENT_CODINGS_MAX];
  size_t count;
  struct gg_failure failure; /* what was the matter, for good */
};

/* ── Which codings ───────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct known {
  const char *name;
  const char *needed;
  const struct gg__coding *coding; /* NULL: not built in */
} all[] = {
#ifdef GG_HAVE_ZLIB
  {"gzip", "zlib", &gg__coding_gzip},         {"x-gzip", "zlib", &gg__coding_gzip},
  {"deflate", "zlib", &gg__coding_deflate},
#else
  {"gzip", "zlib", NULL},       {"x-gzip", "zlib", NULL}, {"deflate", "zlib", NULL},
#endif
#ifdef GG_HAVE_BROTLI
  {"br", "libbrotlidec", &gg__coding_brotli},
#else
  {"br", "libbrotlidec", NULL},
#endif
#ifdef GG_HAVE_ZSTD
  {"zstd", "libzstd", &gg__coding_zstd},
#else
  {"zstd", "libzstd", NULL},
#endif
};

static bool is(const char *text, size_t length, const char *word)
{
  return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

static int unknown(const char *name, size_t length, struct gg_failure *failure)
{
  char shown[NAME_SHOWN_MAX];
  gg_text_sanitize(shown, sizeof shown, name, length, GG_TEXT_ONE_LINE);
  return gg_fail(failure, GG_ERR_UNSUPPORTED, "the content coding '%s' is not known", shown);
}

static int add_stage(struct gg_content *content, const struct gg__coding *coding, struct gg_failure *failure)
{
  if (content->count == GG_CONTENT_CODINGS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "more than %d codings, one over the other", GG_CONTENT_CODINGS_MAX);
  struct stage *stage = calloc(1, sizeof *stage);
  void *state = stage ? coding->open() : NULL;
  if (!state) {
    free(stage);
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to undo %s", coding->name);
  }
  stage->coding = coding;
  stage->state = state;
  /* The one that was applied last is undone first. */
  memmove(content->stages + 1, content->stages, content->count++ * sizeof *content->stages);
  content->stages[0] = stage;
  return 0;
}

static int add_coding(struct gg_content *content, const char *name, size_t length, struct gg_failure *failure)
{
  if (length == 0 || is(name, length, "identity"))
    return 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (!is(name, length, all[i].name))
      continue;
    if (!all[i].coding)
      return gg_fail(failure, GG_ERR_UNSUPPORTED, "%s needs gogetway built with %s", all[i].name, all[i].needed);
    return add_stage(content, all[i].coding, failure);
  }
  return unknown(name, length, failure);
}

static bool is_blank(char letter)
{
  return letter == ' ' || letter == '\t';
}

static int add_codings(struct gg_content *content, const char *codings, size_t length, struct gg_failure *failure)
{
  for (size_t at = 0; at < length;) {
    const char *comma = memchr(codings + at, ',', length - at);
    size_t end = comma ? (size_t)(comma - codings) : length, next = end + 1;
    while (at < end && is_blank(codings[at]))
      at++;
    while (end > at && is_blank(codings[end - 1]))
      end--;
    int error = add_coding(content, codings + at, end - at, failure);
    if (error)
      return error;
    at = next;
  }
  return 0;
}

int gg_content_create(struct gg_content **out, const char *codings, size_t length,
                      const struct gg_content_limits *given, gg_content_sink *sink, void *context,
                      struct gg_failure *failure)
{
  *out = NULL;
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  int error = gg_sized_take(&limits, sizeof limits, GG_SIZED_END(struct gg_content_limits, ratio_max),
                            given ? given : &limits, "gg_content_limits", failure);
  if (error)
    return error;
  struct gg_content *content = calloc(1, sizeof *content);
  if (!content)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to undo codings");
  content->sink = sink;
  content->context = context;
  content->bytes_max = limits.bytes_max ? limits.bytes_max : GG_CONTENT_BYTES_MAX;
  content->ratio_max = limits.ratio_max ? limits.ratio_max : GG_CONTENT_RATIO_MAX;
  error = add_codings(content, codings, length, failure);
  if (error) {
    gg_content_destroy(content);
    return error;
  }
  *out = content;
  return 0;
}

void gg_content_destroy(struct gg_content *content)
{
  if (!content)
    return;
  for (size_t i = 0; i < content->count; i++) {
    content->stages[i]->coding->close(content->stages[i]->state);
    free(content->stages[i]);
  }
  free(content);
}

/* ── Bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* How many of `length` bytes that follow `made` may be told. */
static size_t allowed(const struct gg_content *content, uint64_t made, size_t length)
{
  uint64_t by_ratio = UINT64_MAX;
  if (content->taken <= UINT64_MAX / content->ratio_max)
    by_ratio = content->taken * content->ratio_max;
  if (by_ratio < GG_CONTENT_RATIO_BYTES)
    by_ratio = GG_CONTENT_RATIO_BYTES;
  uint64_t most = content->bytes_max < by_ratio ? content->bytes_max : by_ratio;
  uint64_t room = made < most ? most - made : 0;
  return length < room ? length : (size_t)room;
}

static int cut(struct gg_content *content, uint64_t made)
{
  char size[GG_TEXT_VALUE_MAX];
  uint64_t times = content->taken ? made / content->taken : 0;
  if (made >> 20) /* whole ones: the exact number says nothing more */
    made = made >> 20 << 20;
  gg_text_format_bytes(made, size, sizeof size);
  if (times < 10)
    return gg_fail(&content->failure, GG_ERR_LIMIT, "cut after %s", size);
  return gg_fail(&content->failure, GG_ERR_LIMIT, "cut after %s: %" PRIu64 " times its size", size, times);
}

static int feed(struct gg_content *content, size_t index, const uint8_t *data, size_t length);

/* What a stage has made, as much of it as may go on. */
static int pass_on(struct gg_content *content, size_t index, size_t length)
{
  struct stage *stage = content->stages[index];
  size_t told = allowed(content, stage->made, length);
  stage->made += told;
  int error = told ? feed(content, index + 1, stage->out, told) : 0;
  return error || told == length ? error : cut(content, stage->made);
}

static int feed(struct gg_content *content, size_t index, const uint8_t *data, size_t length)
{
  if (index == content->count) {
    content->sink(content->context, data, length);
    return 0;
  }
  struct stage *stage = content->stages[index];
  struct gg__coding_step step = {.in = data, .in_length = length};
  for (;;) {
    size_t before = step.in_length;
    step.out = stage->out;
    step.room = sizeof stage->out;
    step.made = 0;
    enum gg__coding_result result = stage->coding->run(stage->state, &step);
    int error = pass_on(content, index, step.made);
    if (error)
      return error;
    if (result == GG__CODING_NOMEM)
      return gg_fail(&content->failure, GG_ERR_NOMEM, "no memory to undo %s", stage->coding->name);
    if (result == GG__CODING_DAMAGED)
      return gg_fail(&content->failure, GG_ERR_FORMAT, "%s: %s", stage->coding->name, step.why);
    if (step.in_length == 0 && step.made < step.room)
      return 0;
    if (step.in_length == before && step.made == 0)
      return gg_fail(&content->failure, GG_ERR_FORMAT, "%s: it makes no headway", stage->coding->name);
  }
}

static int answer(const struct gg_content *content, struct gg_failure *failure)
{
  if (content->failure.code && failure)
    *failure = content->failure;
  return content->failure.code;
}

int gg_content_push(struct gg_content *content, const void *data, size_t length, struct gg_failure *failure)
{
  if (!content->failure.code && length) {
    content->taken += length;
    if (content->count)
      feed(content, 0, data, length);
    else
      content->sink(content->context, data, length);
  }
  return answer(content, failure);
}

int gg_content_finish(struct gg_content *content, struct gg_failure *failure)
{
  for (size_t i = 0; i < content->count && content->taken && !content->failure.code; i++) {
    const struct stage *stage = content->stages[i];
    if (!stage->coding->is_whole(stage->state))
      gg_fail(&content->failure, GG_ERR_TRUNCATED, "%s: it ends in the middle", stage->coding->name);
  }
  return answer(content, failure);
}
