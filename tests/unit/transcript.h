/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders tell of a session, as text: a line for each thing. Who compares two has compared all of it but the
 * summaries' wording and where bodies are cut. */
#ifndef GG_TEST_TRANSCRIPT_H
#define GG_TEST_TRANSCRIPT_H

#include <assert.h>
#include <gogetway/decoder.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one side, with its time. A NULL `data`: `length` bytes are missing; `end`: it says that nothing follows. */
struct piece {
  enum gg_side side;
  const char *data;
  size_t length;
  bool end;
};
#define CLIENT(text)                                                                                                   \
  {                                                                                                                    \
    GG_SIDE_CLIENT, text, sizeof(text) - 1, false                                                                      \
  }
#define SERVER(text)                                                                                                   \
  {                                                                                                                    \
    GG_SIDE_SERVER, text, sizeof(text) - 1, false                                                                      \
  }
#define CLIENT_END                                                                                                     \
  {                                                                                                                    \
    GG_SIDE_CLIENT, "", 0, true                                                                                        \
  }
#define SERVER_END                                                                                                     \
  {                                                                                                                    \
    GG_SIDE_SERVER, "", 0, true                                                                                        \
  }
#define CLIENT_GAP(bytes)                                                                                              \
  {                                                                                                                    \
    GG_SIDE_CLIENT, NULL, bytes, false                                                                                 \
  }
#define SERVER_GAP(bytes)                                                                                              \
  {                                                                                                                    \
    GG_SIDE_SERVER, NULL, bytes, false                                                                                 \
  }

enum { TIME_BASE = 1000, TIME_STEP = 10, TRANSCRIPT_BODIES = 1 << 12 };

struct transcript {
  char *text;
  size_t length, capacity;
  /* Bodies of messages that have not ended: their bytes' sum, and the first of them. */
  struct transcript_body {
    uint64_t number, sum, raw;
    char first[25];
    size_t length;
  } bodies[TRANSCRIPT_BODIES];
  uint64_t numbers; /* the last that was told of */
  uint64_t messages, heads;
  bool with_bodies;
};

static inline void transcript_add(struct transcript *transcript, const char *format, ...)
{
  va_list words;
  for (;;) {
    va_start(words, format);
    size_t room = transcript->capacity - transcript->length;
    int wanted = vsnprintf(transcript->text ? transcript->text + transcript->length : NULL, transcript->text ? room : 0,
                           format, words);
    va_end(words);
    assert(wanted >= 0);
    if (transcript->text && (size_t)wanted < room) {
      transcript->length += (size_t)wanted;
      return;
    }
    transcript->capacity = (transcript->capacity + (size_t)wanted) * 2 + 256;
    transcript->text = realloc(transcript->text, transcript->capacity);
    assert(transcript->text);
  }
}

/* By hand: fuzzing goes through it for every byte of every field. */
static inline void transcript_bytes(struct transcript *transcript, const void *data, size_t length)
{
  if (transcript->capacity - transcript->length <= 4 * length) {
    transcript->capacity = (transcript->capacity + 4 * length) * 2 + 256;
    transcript->text = realloc(transcript->text, transcript->capacity);
    assert(transcript->text);
  }
  char *at = transcript->text + transcript->length;
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = ((const unsigned char *)data)[i];
    if (byte >= ' ' && byte < 127 && byte != '\\') {
      *at++ = byte == ' ' ? '_' : (char)byte;
    } else {
      *at++ = '\\';
      *at++ = 'x';
      *at++ = "0123456789abcdef"[byte >> 4];
      *at++ = "0123456789abcdef"[byte & 15];
    }
  }
  *at = '\0';
  transcript->length = (size_t)(at - transcript->text);
}

static inline void transcript_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  transcript_add(context, "is %s from %" PRIu64 " %" PRIu64 "\n", decoder->name, offset[0], offset[1]);
}

static inline struct transcript_body *transcript_body_of(struct transcript *transcript, uint64_t number)
{
  struct transcript_body *body = &transcript->bodies[number % TRANSCRIPT_BODIES];
  if (body->number != number)
    *body = (struct transcript_body){.number = number};
  return body;
}

static inline void transcript_head(void *context, const struct gg_message *message)
{
  struct transcript *transcript = context;
  transcript->heads++;
  assert(message->number >= 1);
  if (message->number > transcript->numbers)
    transcript->numbers = message->number;
}

static inline void transcript_body(void *context, const struct gg_message *message, const struct gg_body *piece)
{
  struct transcript_body *body = transcript_body_of(context, message->number);
  const uint8_t *data = piece->data;
  for (size_t i = 0; i < piece->length; i++) {
    body->sum = body->sum * 31 + data[i];
    if (body->length + i < sizeof body->first - 1)
      body->first[body->length + i] = (char)data[i];
  }
  body->length += piece->length;
  body->raw += piece->raw_length;
  assert(body->length == message->body_length);
}

static inline void transcript_end(void *context, const struct gg_message *message)
{
  static const char *const flags[] = {"request", "completes",  "unsolicited", "cut",
                                      "gap",     "fields-cut", "odd",         "control"};
  struct transcript *transcript = context;
  transcript->messages++;
  transcript_add(transcript, "%" PRIu64 " %s %s %" PRIu64 "+%" PRIu64 " at %" PRIu64 "..%" PRIu64, message->number,
                 message->kind, message->side == GG_SIDE_CLIENT ? "client" : "server", message->offset, message->length,
                 message->first_ns, message->last_ns);
  if (message->stream)
    transcript_add(transcript, " stream %" PRIu64, message->stream);
  if (message->answers)
    transcript_add(transcript, " answers %" PRIu64, message->answers);
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (message->flags & 1u << i)
      transcript_add(transcript, " %s", flags[i]);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    transcript_add(transcript, " %s", field->of->name);
    if (field->key) {
      transcript_add(transcript, "[");
      transcript_bytes(transcript, field->key, field->key_length);
      transcript_add(transcript, "]");
    }
    transcript_add(transcript, field->secret ? "=*" : "=");
    if (field->of->kind == GG_FIELD_NUMBER)
      transcript_add(transcript, "%" PRIu64, field->number);
    else
      transcript_bytes(transcript, field->value, field->length);
    if (field->cut)
      transcript_add(transcript, "...");
  }
  if (message->body_length) {
    const struct transcript_body *body = transcript_body_of(transcript, message->number);
    transcript_add(transcript, " body %" PRIu64 " (%" PRIu64 " raw, %016" PRIx64 ") ", message->body_length, body->raw,
                   body->sum);
    transcript_bytes(transcript, body->first,
                     body->length < sizeof body->first - 1 ? body->length : sizeof body->first - 1);
  }
  transcript_add(transcript, "\n");
}

static inline void transcript_opaque(void *context, const struct gg_opaque *opaque)
{
  transcript_add(context, "%s opaque from %" PRIu64 ": %s: %s\n", opaque->side == GG_SIDE_CLIENT ? "client" : "server",
                 opaque->offset, gg_opaque_why_text(opaque->why), opaque->text);
}

static inline struct gg_message_sink transcript_sink(struct transcript *transcript)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = transcript;
  sink.protocol = transcript_protocol;
  sink.head = transcript_head;
  sink.body = transcript_body;
  sink.end = transcript_end;
  sink.opaque = transcript_opaque;
  return sink;
}

/* How the pieces are cut. */
enum transcript_cut { CUT_NOT, CUT_BYTES, CUT_RANDOMLY };

/* What is told of these pieces, piece i at TIME_BASE + i * TIME_STEP; the text is the caller's to free. `seed`: of the
 * random cuts. */
static inline char *transcript_of(const struct gg_decoding_options *options, const struct piece *pieces, size_t count,
                                  enum transcript_cut cut, unsigned seed)
{
  struct transcript *transcript = calloc(1, sizeof *transcript);
  assert(transcript);
  transcript_add(transcript, "");
  struct gg_message_sink sink = transcript_sink(transcript);
  struct gg_decoding *decoding = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (gg_decoding_create(&decoding, options, &sink, &failure) != 0) {
    transcript_add(transcript, "%s\n", failure.message);
    char *text = transcript->text;
    free(transcript);
    return text;
  }
  uint64_t offset[2] = {0, 0};
  for (size_t i = 0; i < count; i++) {
    const struct piece *piece = &pieces[i];
    uint64_t time = TIME_BASE + i * TIME_STEP;
    if (piece->end) {
      gg_decoding_end(decoding, piece->side, time);
    } else if (!piece->data) {
      gg_decoding_gap(decoding, piece->side, offset[piece->side], piece->length, time);
    } else {
      for (size_t done = 0, step; done < piece->length; done += step) {
        size_t rest = piece->length - done;
        step = cut == CUT_NOT ? rest : cut == CUT_BYTES ? 1 : 1 + (size_t)rand_r(&seed) % 9;
        step = step < rest ? step : rest;
        char *exactly = malloc(step); /* so that a sanitizer sees who looks behind it */
        assert(exactly);
        memcpy(exactly, piece->data + done, step);
        gg_decoding_push(decoding, piece->side, offset[piece->side] + done, time, exactly, step);
        free(exactly);
        assert(gg_decoding_memory(decoding) <= GG_DECODING_MEMORY_MAX + (1 << 12));
      }
    }
    offset[piece->side] += piece->length;
  }
  gg_decoding_finish(decoding, TIME_BASE + count * TIME_STEP);
  gg_decoding_destroy(decoding);
  assert(transcript->heads == transcript->messages);
  char *text = transcript->text;
  free(transcript);
  return text;
}

/* The same for every cut: asserts it, and returns it. */
static inline char *transcript_checked(const struct gg_decoding_options *options, const struct piece *pieces,
                                       size_t count)
{
  char *whole = transcript_of(options, pieces, count, CUT_NOT, 0);
  for (unsigned seed = 0; seed < 6; seed++) {
    char *cut = transcript_of(options, pieces, count, seed ? CUT_RANDOMLY : CUT_BYTES, seed);
    if (strcmp(whole, cut) != 0) {
      fprintf(stderr, "seed %u; whole:\n%s\ncut:\n%s\n", seed, whole, cut);
      abort();
    }
    free(cut);
  }
  return whole;
}

static inline void transcript_tell(const struct gg_decoding_options *options, const char *wanted,
                                   const struct piece *pieces, size_t count)
{
  char *told = transcript_checked(options, pieces, count);
  if (strcmp(told, wanted) != 0) {
    fprintf(stderr, "told:\n%s.\nwanted:\n%s.\n", told, wanted);
    abort();
  }
  free(told);
}

/* Lists of texts that end with NULL, which are all in it, or not; the second one may be NULL. */
static inline void transcript_find(const char *const *wanted, const char *const *unwanted, const struct piece *pieces,
                                   size_t count)
{
  char *told = transcript_checked(NULL, pieces, count);
  for (bool in = true;; in = false) {
    for (const char *const *text = in ? wanted : unwanted; text && *text; text++)
      if ((strstr(told, *text) != NULL) != in) {
        fprintf(stderr, "%s '%s' in:\n%s\n", in ? "no" : "there is", *text, told);
        abort();
      }
    if (!in)
      break;
  }
  free(told);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* That these pieces are told so, or with these words in it, whatever the cuts. */
#define TELL_AS(options, wanted, ...)                                                                                  \
  do {                                                                                                                 \
    const struct piece pieces[] = {__VA_ARGS__};                                                                       \
    transcript_tell(options, wanted, pieces, sizeof pieces / sizeof *pieces);                                          \
  } while (0)
#define TELL(wanted, ...) TELL_AS(NULL, wanted, __VA_ARGS__)
#define FIND_NOT(wanted, unwanted, ...)                                                                                \
  do {                                                                                                                 \
    const struct piece pieces[] = {__VA_ARGS__};                                                                       \
    transcript_find(wanted, unwanted, pieces, sizeof pieces / sizeof *pieces);                                         \
  } while (0)
#define FIND(wanted, ...) FIND_NOT(wanted, NULL, __VA_ARGS__)

#endif
