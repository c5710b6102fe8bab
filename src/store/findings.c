/* SPDX-License-Identifier: Apache-2.0 */
#include "store/findings.h"

#include "base/clock.h"
#include "base/text.h"
#include "proto/decoders.h"
#include "store/catalogue.h"
#include "store/hash.h"

#include <stdlib.h>
#include <string.h>

enum { TEXTS_MAX = GG_FACT_VALUES_MAX + 1 }; /* of one field: one more than are kept */

/* What is known of one field. */
struct field {
  const struct gg_decoder_field *of;
  unsigned count;
  uint64_t hashes[TEXTS_MAX];
};

/* A value that nobody was told of yet. */
struct untold {
  struct untold *next;
  const char *field;
  uint64_t number;
  bool is_number;
  char text[];
};

struct asked {
  uint64_t number, last_ns;
};

struct gg__findings {
  struct field *fields;
  size_t field_count, field_room;
  struct untold *first, **tail;
  bool failed;
  const char *protocol;
  uint64_t messages, requests, slowest_ms;
  uint64_t told_messages, told_requests, told_slowest_ms;
  bool has_first, has_answer;
  struct asked asked[GG_FINDINGS_ASKED_MAX]; /* by number */
};

int gg__findings_create(struct gg__findings **out)
{
  struct gg__findings *findings = calloc(1, sizeof *findings);
  *out = findings;
  if (!findings)
    return GG_ERR_NOMEM;
  findings->tail = &findings->first;
  findings->protocol = "";
  return 0;
}

static void drop_first(struct gg__findings *findings)
{
  struct untold *gone = findings->first;
  findings->first = gone->next;
  if (!findings->first)
    findings->tail = &findings->first;
  free(gone);
}

void gg__findings_destroy(struct gg__findings *findings)
{
  if (!findings)
    return;
  while (findings->first)
    drop_first(findings);
  free(findings->fields);
  free(findings);
}

/* ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* HTTP/1 and HTTP/2 have the same fields in one table; what is called the same in two tables is one, too. */
static struct field *field_of(struct gg__findings *findings, const struct gg_decoder_field *of)
{
  for (size_t i = 0; i < findings->field_count; i++)
    if (findings->fields[i].of == of || strcmp(findings->fields[i].of->name, of->name) == 0)
      return &findings->fields[i];
  if (findings->field_count == GG_FINDINGS_FIELDS_MAX)
    return NULL;
  if (findings->field_count == findings->field_room) {
    size_t room = findings->field_room ? findings->field_room * 2 : 8;
    struct field *larger = realloc(findings->fields, room * sizeof *larger);
    if (!larger) {
      findings->failed = true;
      return NULL;
    }
    findings->fields = larger;
    findings->field_room = room;
  }
  struct field *field = &findings->fields[findings->field_count++];
  *field = (struct field){.of = of};
  return field;
}

/* Whether it is a value that the field has not had, and there is room for it. */
static bool is_new(struct field *field, uint64_t hash)
{
  if (!field || field->count == TEXTS_MAX)
    return false;
  for (unsigned i = 0; i < field->count; i++)
    if (field->hashes[i] == hash)
      return false;
  field->hashes[field->count++] = hash;
  return true;
}

static void keep(struct gg__findings *findings, const char *field, const char *text, uint64_t number)
{
  size_t bytes = text ? strlen(text) + 1 : 1;
  struct untold *untold = malloc(sizeof *untold + bytes);
  if (!untold) {
    findings->failed = true;
    return;
  }
  *untold = (struct untold){.field = field, .number = number, .is_number = !text};
  memcpy(untold->text, text ? text : "", bytes);
  *findings->tail = untold;
  findings->tail = &untold->next;
}

static void add_text(struct gg__findings *findings, const struct gg_decoder_field *of, const void *bytes, size_t length)
{
  struct field *field = field_of(findings, of);
  if (!is_new(field, gg__hash(bytes, length)))
    return;
  char text[GG_FINDINGS_TEXT_MAX];
  gg_text_sanitize(text, sizeof text, bytes, length, GG_TEXT_ONE_LINE);
  keep(findings, of->name, text, 0);
}

static void add_number(struct gg__findings *findings, const struct gg_decoder_field *of, uint64_t number)
{
  if (is_new(field_of(findings, of), number))
    keep(findings, of->name, NULL, number);
}

/* ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void on_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct gg__findings *findings = context;
  (void)offset;
  if (!decoder->envelope || !findings->protocol[0])
    findings->protocol = decoder->protocol;
  add_text(findings, &gg_decoder_common_fields()[GG__COMMON_LAYER], decoder->protocol, strlen(decoder->protocol));
}

static void note_answer(struct gg__findings *findings, const struct gg_message *message)
{
  const struct asked *asked = &findings->asked[message->answers % GG_FINDINGS_ASKED_MAX];
  if (!(message->flags & GG_MESSAGE_COMPLETES) || asked->number != message->answers)
    return;
  uint64_t took_ns = message->last_ns > asked->last_ns ? message->last_ns - asked->last_ns : 0;
  uint64_t took_ms = took_ns / (GG_NS_PER_S / 1000);
  findings->has_answer = true;
  if (took_ms > findings->slowest_ms)
    findings->slowest_ms = took_ms;
}

static void on_end(void *context, const struct gg_message *message)
{
  struct gg__findings *findings = context;
  findings->messages++;
  if (message->flags & GG_MESSAGE_REQUEST) {
    findings->requests++;
    findings->asked[message->number % GG_FINDINGS_ASKED_MAX] =
      (struct asked){.number = message->number, .last_ns = message->last_ns};
    if (!findings->has_first && message->summary[0]) {
      findings->has_first = true;
      add_text(findings, &gg_decoder_common_fields()[GG__COMMON_FIRST], message->summary, strlen(message->summary));
    }
  }
  if (message->answers)
    note_answer(findings, message);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (!field->of->fact || field->secret)
      continue;
    if (field->of->kind == GG_FIELD_NUMBER)
      add_number(findings, field->of, field->number);
    else
      add_text(findings, field->of, field->value, field->length);
  }
}

struct gg_message_sink gg__findings_sink(struct gg__findings *findings)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = findings;
  sink.protocol = on_protocol;
  sink.end = on_end;
  return sink;
}

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int tell_number(uint64_t *told, uint64_t now, enum gg__common_field which,
                       int (*visit)(void *context, const struct gg__finding *finding), void *context)
{
  struct gg__finding finding = {.field = gg_decoder_common_fields()[which].name, .number = now, .sets = true};
  if (*told == now)
    return 0;
  *told = now;
  return visit(context, &finding);
}

int gg__findings_each(struct gg__findings *findings, int (*visit)(void *context, const struct gg__finding *finding),
                      void *context)
{
  int result = 0;
  while (findings->first && !result) {
    const struct untold *untold = findings->first;
    struct gg__finding finding = {
      .field = untold->field, .text = untold->is_number ? NULL : untold->text, .number = untold->number};
    result = visit(context, &finding);
    drop_first(findings);
  }
  if (!result)
    result = tell_number(&findings->told_messages, findings->messages, GG__COMMON_COUNT, visit, context);
  if (!result)
    result = tell_number(&findings->told_requests, findings->requests, GG__COMMON_REQUESTS, visit, context);
  uint64_t slowest = findings->has_answer ? findings->slowest_ms + 1 : 0; /* so that 0 ms is told, too */
  if (!result && slowest != findings->told_slowest_ms) {
    uint64_t none = UINT64_MAX;
    findings->told_slowest_ms = slowest;
    result = tell_number(&none, findings->slowest_ms, GG__COMMON_SLOWEST, visit, context);
  }
  return result ? result : findings->failed ? GG_ERR_NOMEM : 0;
}

const char *gg__findings_protocol(const struct gg__findings *findings)
{
  return findings->protocol;
}
